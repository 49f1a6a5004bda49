/* The worker's environment: what is set, and what of the user's stays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "os/allocator.h"

static struct allocator_environment built;

static const char *built_value(const char *name)
{
    size_t length = strlen(name);
    const char *found = NULL;
    for (char **entry = built.env; *entry; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            assert_null(found); /* never twice */
            found = *entry + length + 1;
        }
    }
    return found;
}

static void build(char *const *inherited, const struct allocator_plan *plan)
{
    assert_int_equal(allocator_environment_build(inherited, plan, 42, &built), 0);
}

static void drop(char *const *inherited)
{
    if (built.env != inherited)
        free(built.env);
}

static void nothing_to_do_copies_nothing(void **state)
{
    (void)state;
    static const struct allocator_plan none = { .override = true };
    char *inherited[] = { "A=1", "PATH=/x:/y", "LISTEN_PID=41", "MALLOC_ARENA_MAX=8", NULL };
    build(inherited, &none);
    assert_ptr_equal(built.env, inherited);
    assert_string_equal(built.path, "/x:/y");
    assert_null(built.listen_pid);
    assert_string_equal(built.set, "");
    assert_string_equal(built.kept, "");

    char *empty[] = { NULL };
    build(empty, &none);
    assert_ptr_equal(built.env, empty);
    assert_null(built.path);
}

static void unset_variables_are_set(void **state)
{
    (void)state;
    struct allocator_plan plan = { 0 };
    allocator_plan_preload(&plan, "/usr/lib/libjemalloc.so.2");
    allocator_plan_add(&plan, "MALLOC_ARENA_MAX", "2");
    allocator_plan_add(&plan, "MALLOC_CONF", "narenas:1,tcache:false");
    char *inherited[] = { "HOME=/", "no equals sign", "MALLOC_ARENA_MAXIMUM=1", "PATH=/bin", "", NULL };
    build(inherited, &plan);
    assert_string_equal(built_value("MALLOC_ARENA_MAX"), "2");
    assert_string_equal(built_value("MALLOC_CONF"), "narenas:1,tcache:false");
    assert_string_equal(built_value("LD_PRELOAD"), "/usr/lib/libjemalloc.so.2");
    assert_string_equal(built.set,
                        "MALLOC_ARENA_MAX=2,MALLOC_CONF=narenas:1,tcache:false,LD_PRELOAD=/usr/lib/libjemalloc.so.2");
    assert_string_equal(built.kept, "");
    for (int i = 0; inherited[i]; i++) /* all of the user's, in order, and as it was */
        assert_ptr_equal(built.env[i], inherited[i]);
    drop(inherited);
}

static void what_is_ours_alone_is_set_whatever_there_was(void **state)
{
    (void)state;
    struct allocator_plan plan = { 0 };
    allocator_plan_always(&plan, "TRIMTAB_AGENT_REPORT", "@ours");
    char *inherited[] = { "TRIMTAB_AGENT_REPORT=@of-another", "A=1", NULL };
    build(inherited, &plan);
    assert_string_equal(built_value("TRIMTAB_AGENT_REPORT"), "@ours");
    assert_string_equal(built.set, "TRIMTAB_AGENT_REPORT=@ours");
    assert_string_equal(built.kept, "");
    drop(inherited);
}

static void users_values_win(void **state)
{
    (void)state;
    struct allocator_plan plan = { 0 };
    allocator_plan_add(&plan, "MALLOC_ARENA_MAX", "2");
    allocator_plan_add(&plan, "MALLOC_CONF", "narenas:1");
    allocator_plan_add(&plan, "PYTHONMALLOC", "malloc");
    char *inherited[] = { "MALLOC_CONF=", "MALLOC_ARENA_MAX=8", NULL };
    build(inherited, &plan);
    assert_string_equal(built_value("MALLOC_ARENA_MAX"), "8");
    assert_string_equal(built_value("MALLOC_CONF"), ""); /* empty is a value too */
    assert_string_equal(built_value("PYTHONMALLOC"), "malloc");
    assert_string_equal(built.kept, "MALLOC_ARENA_MAX,MALLOC_CONF");
    assert_string_equal(built.set, "PYTHONMALLOC=malloc");
    drop(inherited);

    plan.override = true;
    char *twice[] = { "MALLOC_ARENA_MAX=8", "A=1", "MALLOC_ARENA_MAX=9", NULL };
    build(twice, &plan);
    assert_string_equal(built_value("MALLOC_ARENA_MAX"), "2");
    assert_string_equal(built_value("A"), "1");
    assert_string_equal(built.kept, "");
    drop(twice);
}

static void tunables_count_as_set(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tunable;
    } pairs[] = { { "MALLOC_ARENA_MAX", "glibc.malloc.arena_max" },
                  { "MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold" },
                  { "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold" },
                  { "MALLOC_TOP_PAD_", "glibc.malloc.top_pad" } };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct allocator_plan plan = { 0 };
        char tunables[128];
        (void)snprintf(tunables, sizeof tunables, "GLIBC_TUNABLES=glibc.rtld.nns=2:%s=4", pairs[i].tunable);
        char *inherited[] = { tunables, NULL };
        allocator_plan_add(&plan, pairs[i].name, "7");
        build(inherited, &plan);
        assert_null(built_value(pairs[i].name));
        assert_string_equal(built.kept, pairs[i].tunable);
        assert_string_equal(built.set, "");
        drop(inherited);
        plan.override = true;
        build(inherited, &plan);
        assert_string_equal(built_value(pairs[i].name), "7");
        assert_string_equal(built_value("GLIBC_TUNABLES"), "glibc.rtld.nns=2");
        drop(inherited);
    }
}

static void tunables_that_win_are_taken_out(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
    } cases[] = {
        { "glibc.malloc.arena_max=8", "" },
        { "glibc.malloc.arena_max=8:glibc.malloc.arena_max=9", "" },
        { "glibc.malloc.arena_max=8:a=1", "a=1" },
        { "a=1:glibc.malloc.arena_max=8", "a=1" },
        { "a=1:glibc.malloc.arena_max=8:b=2", "a=1:b=2" },
        { "a=1:glibc.malloc.arena_max=8:glibc.malloc.top_pad=4096:b=2", "a=1:b=2" },
        { "a=1:glibc.malloc.arena_max", NULL },
        { "glibc.malloc.arena_maximum=1", NULL },
        { "xglibc.malloc.arena_max=1", NULL },
        { "", NULL },
        { ":", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct allocator_plan plan = { .override = true };
        char tunables[128];
        allocator_plan_add(&plan, "MALLOC_ARENA_MAX", "2");
        allocator_plan_add(&plan, "MALLOC_TOP_PAD_", "65536");
        (void)snprintf(tunables, sizeof tunables, "GLIBC_TUNABLES=%s", cases[i].before);
        char *inherited[] = { "X=1", tunables, "Y=2", NULL };
        build(inherited, &plan);
        assert_string_equal(built_value("MALLOC_ARENA_MAX"), "2");
        assert_string_equal(built_value("GLIBC_TUNABLES"), cases[i].after ? cases[i].after : cases[i].before);
        assert_string_equal(inherited[1] + sizeof "GLIBC_TUNABLES",
                            cases[i].before); /* the user's own is not touched */
        drop(inherited);
    }
}

static void library_goes_in_front(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after; /* after NULL: kept */
    } cases[] = {
        { "/opt/x.so", "/usr/lib/libm.so.2:/opt/x.so" },
        { "/opt/x.so /opt/y.so", "/usr/lib/libm.so.2:/opt/x.so /opt/y.so" },
        { "", "/usr/lib/libm.so.2" },
        { "/usr/lib/libm.so.2", NULL },
        { "/opt/x.so:/usr/lib/libm.so.2", NULL },
        { "/opt/x.so /usr/lib/libm.so.2 /opt/y.so", NULL },
        { " :/usr/lib/libm.so.2", NULL },
        { "libm.so.2", NULL },          /* by name: the loader finds the same */
        { "/home/me/libm.so.2", NULL }, /* one of the user's own */
        { "/opt/xlibm.so.2", "/usr/lib/libm.so.2:/opt/xlibm.so.2" },
        { "/usr/lib/libm.so.2.0", "/usr/lib/libm.so.2:/usr/lib/libm.so.2.0" },
    };
    struct allocator_plan plan = { 0 };
    allocator_plan_preload(&plan, "/usr/lib/libm.so.2");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char preload[128];
        (void)snprintf(preload, sizeof preload, "LD_PRELOAD=%s", cases[i].before);
        char *inherited[] = { preload, NULL };
        build(inherited, &plan);
        assert_string_equal(built_value("LD_PRELOAD"), cases[i].after ? cases[i].after : cases[i].before);
        assert_string_equal(built.set, cases[i].after ? "LD_PRELOAD=/usr/lib/libm.so.2" : "");
        assert_string_equal(built.kept, cases[i].after ? "" : "LD_PRELOAD");
        drop(inherited);
    }
}

static void two_libraries_keep_their_order(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after, *set, *kept;
    } cases[] = {
        { "", "/usr/lib/libm.so.2:/usr/lib/a.so", "LD_PRELOAD=/usr/lib/libm.so.2:/usr/lib/a.so", "" },
        { "/x.so", "/usr/lib/libm.so.2:/usr/lib/a.so:/x.so", "LD_PRELOAD=/usr/lib/libm.so.2:/usr/lib/a.so", "" },
        { "/opt/a.so:/x.so", "/usr/lib/libm.so.2:/opt/a.so:/x.so", "LD_PRELOAD=/usr/lib/libm.so.2", "LD_PRELOAD" },
        { "/opt/libm.so.2", "/usr/lib/a.so:/opt/libm.so.2", "LD_PRELOAD=/usr/lib/a.so", "LD_PRELOAD" },
        { "/opt/a.so /opt/libm.so.2", "/opt/a.so /opt/libm.so.2", "", "LD_PRELOAD" },
    };
    struct allocator_plan plan = { 0 };
    allocator_plan_preload(&plan, "/usr/lib/libm.so.2");
    allocator_plan_preload(&plan, "/usr/lib/a.so");
    allocator_plan_preload(&plan, "/usr/lib/one_too_many.so");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char preload[128];
        (void)snprintf(preload, sizeof preload, "LD_PRELOAD=%s", cases[i].before);
        char *inherited[] = { preload, NULL };
        build(inherited, &plan);
        assert_string_equal(built_value("LD_PRELOAD"), cases[i].after);
        assert_string_equal(built.set, cases[i].set);
        assert_string_equal(built.kept, cases[i].kept);
        drop(inherited);
    }
}

static void listen_pid_can_be_written(void **state)
{
    (void)state;
    static const struct allocator_plan none;
    static const char *const ours[] = { "LISTEN_PID=42", "LISTEN_PID=0000000000000000000000000000042" };
    static const char *const others[] = { "LISTEN_PID=421", "LISTEN_PID=", "LISTEN_PID=42x", "LISTEN_PIDS=42" };
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        char entry[64];
        (void)snprintf(entry, sizeof entry, "%s", ours[i]);
        char *inherited[] = { "LISTEN_FDS=1", entry, "A=1", NULL };
        build(inherited, &none);
        assert_ptr_not_equal(built.env, inherited);
        assert_ptr_equal(built.listen_pid, built_value("LISTEN_PID"));
        memcpy(built.listen_pid, "2147483647", 11); /* the longest there is */
        assert_string_equal(built_value("LISTEN_PID"), "2147483647");
        assert_string_equal(built_value("LISTEN_FDS"), "1");
        assert_string_equal(built_value("A"), "1");
        assert_string_equal(entry, ours[i]);
        assert_string_equal(built.set, ""); /* not a matter of the allocator */
        drop(inherited);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char entry[64];
        (void)snprintf(entry, sizeof entry, "%s", others[i]);
        char *inherited[] = { entry, NULL };
        build(inherited, &none);
        assert_ptr_equal(built.env, inherited);
        assert_null(built.listen_pid);
    }
}

/* Everything at once, at its longest: the sanitizers look on. */
static void largest_plan_fits(void **state)
{
    (void)state;
    struct allocator_plan plan = { .override = true };
    static char value[400], tunables[5000], preload[70000], names[ALLOCATOR_SETTINGS_MAX][24];
    memset(value, 'v', sizeof value - 1);
    for (plan.preloads = 0; plan.preloads < ALLOCATOR_PRELOADS_MAX; plan.preloads++)
        memset(plan.preload[plan.preloads], 'l' + (int)plan.preloads, sizeof plan.preload[0] - 1);
    for (int i = 0; i < ALLOCATOR_SETTINGS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], i == 0 ? "MALLOC_ARENA_MAX" : "NAME_%d", i);
        allocator_plan_add(&plan, names[i], value);
    }
    allocator_plan_add(&plan, "ONE_TOO_MANY", "1");
    assert_int_equal(plan.count, ALLOCATOR_SETTINGS_MAX);
    memset(preload, 'p', sizeof preload - 1);
    memcpy(preload, "LD_PRELOAD=", 11);
    memset(tunables, 't', sizeof tunables - 1);
    memcpy(tunables, "GLIBC_TUNABLES=glibc.malloc.arena_max=1:", 40);
    char *inherited[] = { preload, "LISTEN_PID=42", tunables, NULL };
    build(inherited, &plan);
    memcpy(built.listen_pid, "2147483647", 11);
    assert_int_equal(strlen(built_value("MALLOC_ARENA_MAX")), 255);
    assert_int_equal(strlen(built_value("NAME_7")), 255);
    assert_null(built_value("ONE_TOO_MANY"));
    assert_int_equal(strlen(built_value("LD_PRELOAD")),
                     ALLOCATOR_PRELOADS_MAX * PROGRAM_PATH_MAX + sizeof preload - 12);
    assert_int_equal(strlen(built_value("GLIBC_TUNABLES")), sizeof tunables - 41);
    assert_string_equal(built_value("LISTEN_PID"), "2147483647");
    assert_in_range(strlen(built.set), 255, ALLOCATOR_NAMES_MAX - 1);
    assert_int_equal(built.set[strlen(built.set) - 1], 'v'); /* only whole words */
    drop(inherited);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do_copies_nothing),
        cmocka_unit_test(unset_variables_are_set),
        cmocka_unit_test(what_is_ours_alone_is_set_whatever_there_was),
        cmocka_unit_test(users_values_win),
        cmocka_unit_test(tunables_count_as_set),
        cmocka_unit_test(tunables_that_win_are_taken_out),
        cmocka_unit_test(library_goes_in_front),
        cmocka_unit_test(two_libraries_keep_their_order),
        cmocka_unit_test(listen_pid_can_be_written),
        cmocka_unit_test(largest_plan_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
