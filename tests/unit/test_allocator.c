/* The allocator library and the worker's environment: what is found, what is set, what of the user's stays. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/allocator.h"

static char root[] = "/tmp/trimtab-allocator-XXXXXX";

/* ---- finding a library ---- */

static int remove_entry(const char *path, const struct stat *file, int kind, struct FTW *ftw)
{
    (void)file;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int make_root(void **state)
{
    (void)state;
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Copy a file of this machine below root; size: of it, 0 for all. */
static void copy_to(const char *from, const char *to, size_t size)
{
    static char bytes[4 << 20];
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s", root, to);
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *in = fopen(from, "re");
    FILE *out = fopen(path, "we");
    assert_non_null(in);
    assert_non_null(out);
    size_t got = fread(bytes, 1, size > 0 ? size : sizeof bytes, in);
    assert_int_equal(fwrite(bytes, 1, got, out), got);
    assert_int_equal(fclose(out), 0);
    (void)fclose(in);
}

static bool compile(const char *compiler, const char *flags, const char *source, const char *name)
{
    char command[1024];
    (void)snprintf(command, sizeof command, "command -v %s >/dev/null && echo '%s' | %s -x c - %s -o %s%s 2>/dev/null",
                   compiler, source, compiler, flags, root, name);
    if (system(command) == 0)
        return true;
    print_message("SKIPPED: '%s %s' does not work on this machine\n", compiler, flags);
    return false;
}

static struct program inspected(const char *name)
{
    struct program program;
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s", root, name);
    assert_int_equal(program_inspect(path, NULL, &program), 0);
    return program;
}

/* Our own program, as all on this machine. */
static struct program own_program(void)
{
    struct program program;
    assert_int_equal(program_inspect("/proc/self/exe", NULL, &program), 0);
    return program;
}

static void assert_found(const char *name, const struct program *program, enum allocator_problem wanted,
                         const char *wanted_path)
{
    char path[PROGRAM_PATH_MAX], full[512];
    enum allocator_problem problem = allocator_find(name, program, root, path, sizeof path);
    if (problem != wanted)
        fail_msg("%s: '%s' instead of '%s'", name, allocator_problem_text(problem), allocator_problem_text(wanted));
    (void)snprintf(full, sizeof full, "%s%s", wanted_path ? root : "", wanted_path ? wanted_path : "");
    assert_string_equal(path, full);
}

/* The places differ by architecture: a program of any kind will do to look at them. */
static void library_is_searched_by_architecture(void **state)
{
    (void)state;
    if (!compile("cc", "-shared -fPIC", "int ours;", "/any.so"))
        skip();
    char any[512];
    (void)snprintf(any, sizeof any, "%s/any.so", root);
    struct program program = own_program();
#ifdef __x86_64__
    static const char triplet[] = "x86_64-linux-gnu";
#elif defined __aarch64__
    static const char triplet[] = "aarch64-linux-gnu";
#else
    print_message("SKIPPED: no place is written down here for this architecture\n");
    skip();
    static const char triplet[] = "";
#endif
    char place[256];
    assert_found("jemalloc", &program, ALLOCATOR_MISSING, NULL);
    assert_found("nonesuch", &program, ALLOCATOR_MISSING, NULL);

    /* From the last place looked at to the first: each takes over from the one before. */
    const char *const places[] = { "/lib",       "/lib64",      "/lib/%s",       "/usr/lib",
                                   "/usr/lib64", "/usr/lib/%s", "/usr/local/lib" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *slot = strstr(places[i], "%s");
        (void)snprintf(place, sizeof place, "%.*s%s/libjemalloc.so.2", slot ? (int)(slot - places[i]) : 99, places[i],
                       slot ? triplet : "");
        copy_to(any, place, 0);
        assert_found("jemalloc", &program, ALLOCATOR_FINE, place);
    }
    copy_to(any, "/usr/lib/libtcmalloc.so.4", 0);
    assert_found("tcmalloc", &program, ALLOCATOR_FINE, "/usr/lib/libtcmalloc.so.4");
    copy_to(any, "/lib/libtcmalloc_minimal.so.4", 0);
    assert_found("tcmalloc", &program, ALLOCATOR_FINE, "/lib/libtcmalloc_minimal.so.4");
    copy_to(any, "/usr/lib/libmimalloc.so.2.0", 0);
    assert_found("mimalloc", &program, ALLOCATOR_FINE, "/usr/lib/libmimalloc.so.2.0");
    copy_to(any, "/lib64/libmimalloc.so.2", 0);
    assert_found("mimalloc", &program, ALLOCATOR_FINE, "/lib64/libmimalloc.so.2");
}

static void a_fitting_library_anywhere_beats_an_unfit_one(void **state)
{
    (void)state;
    if (!compile("cc", "-shared -fPIC", "int ours;", "/any.so"))
        skip();
    char any[512];
    (void)snprintf(any, sizeof any, "%s/any.so", root);
    struct program program = own_program();
    copy_to(any, "/usr/local/lib/libjemalloc.so.2", 100); /* cut short */
    assert_found("jemalloc", &program, ALLOCATOR_UNFIT, "/usr/local/lib/libjemalloc.so.2");
    copy_to(any, "/usr/lib/libjemalloc.so.2", 1000);
    assert_found("jemalloc", &program, ALLOCATOR_UNFIT, "/usr/local/lib/libjemalloc.so.2");
    copy_to(any, "/lib/libjemalloc.so.1", 0);
    assert_found("jemalloc", &program, ALLOCATOR_FINE, "/lib/libjemalloc.so.1");
}

static void a_path_is_taken_as_it_is(void **state)
{
    (void)state;
    if (!compile("cc", "-shared -fPIC", "int ours;", "/any.so"))
        skip();
    char any[512], path[PROGRAM_PATH_MAX];
    struct program program = own_program();
    (void)snprintf(any, sizeof any, "%s/any.so", root);
    assert_found("/any.so", &program, ALLOCATOR_FINE, "/any.so");
    assert_found("/none.so", &program, ALLOCATOR_MISSING, NULL);
    assert_found("/any.so/x", &program, ALLOCATOR_MISSING, NULL);
    assert_found("/with blank.so", &program, ALLOCATOR_UNPRELOADABLE, NULL);
    assert_found("/with:colon.so", &program, ALLOCATOR_UNPRELOADABLE, NULL);
    assert_int_equal(allocator_find(any, &program, "", path, sizeof path), ALLOCATOR_FINE);
    assert_string_equal(path, any);
    assert_int_equal(allocator_find(any, &program, "", path, 8), ALLOCATOR_MISSING); /* no room, no half path */
    assert_string_equal(path, "");

    program.set_id = true;
    assert_found("/any.so", &program, ALLOCATOR_SET_ID, NULL);
    program.libc = PROGRAM_LIBC_STATIC;
    assert_found("/any.so", &program, ALLOCATOR_STATIC, NULL);
}

/* The real jemalloc with programs of the real compilers. */
static void installed_jemalloc_fits_glibc_only(void **state)
{
    (void)state;
    char path[PROGRAM_PATH_MAX];
    struct program program = own_program();
    static const char empty[] = "int main(void) { return 0; }";
    if (program.libc != PROGRAM_LIBC_GLIBC ||
        allocator_find("jemalloc", &program, "", path, sizeof path) == ALLOCATOR_MISSING) {
        print_message("SKIPPED: libjemalloc2 for glibc is not installed on this machine\n");
        skip();
    }
    assert_int_equal(allocator_find("jemalloc", &program, "", path, sizeof path), ALLOCATOR_FINE);
    assert_int_equal(access(path, R_OK), 0);
    if (compile("cc", "-static", empty, "/static")) {
        program = inspected("/static");
        assert_int_equal(allocator_find("jemalloc", &program, "", path, sizeof path), ALLOCATOR_STATIC);
    }
    if (compile("musl-gcc", "", empty, "/musl")) {
        program = inspected("/musl");
        assert_int_equal(allocator_find("jemalloc", &program, "", path, sizeof path), ALLOCATOR_UNFIT);
        assert_non_null(strstr(path, "libjemalloc.so"));
    }
}

/* ---- the environment ---- */

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
    for (plan.libraries = 0; plan.libraries < ALLOCATOR_LIBRARIES_MAX; plan.libraries++)
        memset(plan.library[plan.libraries], 'l' + (int)plan.libraries, sizeof plan.library[0] - 1);
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
                     ALLOCATOR_LIBRARIES_MAX * PROGRAM_PATH_MAX + sizeof preload - 12);
    assert_int_equal(strlen(built_value("GLIBC_TUNABLES")), sizeof tunables - 41);
    assert_string_equal(built_value("LISTEN_PID"), "2147483647");
    assert_in_range(strlen(built.set), 255, ALLOCATOR_NAMES_MAX - 1);
    assert_int_equal(built.set[strlen(built.set) - 1], 'v'); /* only whole words */
    drop(inherited);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(library_is_searched_by_architecture, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_fitting_library_anywhere_beats_an_unfit_one, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_path_is_taken_as_it_is, make_root, remove_root),
        cmocka_unit_test_setup_teardown(installed_jemalloc_fits_glibc_only, make_root, remove_root),
        cmocka_unit_test(nothing_to_do_copies_nothing),
        cmocka_unit_test(unset_variables_are_set),
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
