/* Each story runs in a process of its own, because what it gives up does not come back. */
#include "os/privileges.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

#define BIT(capability) (UINT64_C(1) << (capability))

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);                    \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static void run_story(void (*story)(void))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        story();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void run_story_as_root(void (*story)(void))
{
    uint64_t needed = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_CHOWN);
    if (geteuid() != 0 || (privileges_held() & needed) != needed) {
        print_message("SKIPPED: needs root with its capabilities\n");
        skip();
    }
    run_story(story);
}

/* The line of /proc/self/status that starts with key, without it. */
static const char *status_of(const char *key)
{
    static char line[512];
    FILE *file = fopen("/proc/self/status", "re");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL && strncmp(line, key, strlen(key)) != 0)
        ;
    (void)fclose(file);
    CHECK(strncmp(line, key, strlen(key)) == 0);
    line[strcspn(line, "\n")] = '\0';
    return line + strlen(key) + 1;
}

static uint64_t set_of(const char *key)
{
    return strtoull(status_of(key), NULL, 16);
}

static void check_working_sets(uint64_t expected, uint64_t ambient)
{
    CHECK(set_of("CapPrm:") == expected && set_of("CapEff:") == expected && set_of("CapInh:") == expected);
    CHECK(set_of("CapAmb:") == ambient);
}

static void apply(struct privileges *privileges)
{
    enum privileges_step step = PRIVILEGES_UID;
    CHECK(privileges_any(privileges));
    CHECK(privileges_prepare(privileges) == 0);
    CHECK(privileges_apply(privileges, &step) == 0);
    CHECK(step == PRIVILEGES_NONE);
}

static void check_refused(struct privileges *privileges, enum privileges_step expected)
{
    enum privileges_step step = PRIVILEGES_NONE;
    CHECK(privileges_prepare(privileges) == 0);
    CHECK(privileges_apply(privileges, &step) == -EPERM);
    CHECK(step == expected);
}

static struct privileges user(uid_t uid, gid_t gid)
{
    return (struct privileges){ .set_ids = true, .uid = uid, .gid = gid, .groups = { gid }, .group_count = 1 };
}

/* Runs after exec what /proc/self/status says. */
static void check_after_exec(const char *script)
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(9);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
}

static void tell_user(void)
{
    uint64_t bounding = set_of("CapBnd:");
    struct privileges privileges = user(65534, 4321);
    privileges.groups[privileges.group_count++] = 77;
    apply(&privileges);
    CHECK(strcmp(status_of("Uid:"), "65534\t65534\t65534\t65534") == 0);
    CHECK(strcmp(status_of("Gid:"), "4321\t4321\t4321\t4321") == 0);
    CHECK(strcmp(status_of("Groups:"), "77 4321 ") == 0);
    check_working_sets(0, 0);
    CHECK(set_of("CapBnd:") == bounding && set_of("NoNewPrivs:") == 0);
}

static void a_user_has_no_capabilities(void **state)
{
    (void)state;
    run_story_as_root(tell_user);
}

static void tell_user_with_ambient(void)
{
    struct privileges with = user(65534, 65534), without = user(65534, 65534);
    with.set_capabilities = true;
    with.mask = BIT(CAP_NET_BIND_SERVICE);
    apply(&with);
    check_working_sets(BIT(CAP_NET_BIND_SERVICE), BIT(CAP_NET_BIND_SERVICE));
    CHECK(set_of("CapBnd:") == BIT(CAP_NET_BIND_SERVICE));
    check_after_exec("grep -q 'CapEff:.0*400$' /proc/self/status");
    apply(&without); /* an ordinary user that came with an ambient set, set to itself */
    check_working_sets(0, 0);
}

static void a_user_may_keep_some(void **state)
{
    (void)state;
    run_story_as_root(tell_user_with_ambient);
}

static void tell_root_with_few(void)
{
    struct privileges privileges = { .set_capabilities = true, .mask = BIT(CAP_CHOWN) | BIT(CAP_NET_BIND_SERVICE) };
    apply(&privileges);
    CHECK(set_of("CapBnd:") == privileges.mask);
    check_working_sets(privileges.mask, privileges.mask);
    CHECK(geteuid() == 0);
    check_after_exec("grep -q 'CapPrm:.0*401$' /proc/self/status");
}

static void root_is_held_to_what_is_given(void **state)
{
    (void)state;
    run_story_as_root(tell_root_with_few);
}

static void tell_root_with_none(void)
{
    struct privileges privileges = { .set_capabilities = true, .no_new_privs = true };
    apply(&privileges);
    CHECK(set_of("CapBnd:") == 0 && set_of("NoNewPrivs:") == 1);
    check_after_exec("grep -q 'CapPrm:.0*$' /proc/self/status");
    apply(&privileges); /* all is so already: no CAP_SETPCAP is needed */
}

static void root_without_any_is_possible(void **state)
{
    (void)state;
    run_story_as_root(tell_root_with_none);
}

static void tell_unprivileged(void)
{
    struct privileges same = user(65534, 4321), bounded = { .set_capabilities = true };
    struct privileges greedy = { .set_capabilities = true, .mask = ~UINT64_C(0) >> (64 - cap_max_bits()) };
    struct privileges other_groups = same, other_gid = user(65534, 4322), other_uid = user(65533, 4321);
    other_groups.groups[other_groups.group_count++] = 78;
    bool bounding = set_of("CapBnd:") != 0;

    if (geteuid() == 0) { /* as `docker run --user 65534:4321` */
        struct privileges start = same;
        apply(&start);
    } else {
        same = user(geteuid(), getegid());
        int count = getgroups(PRIVILEGES_GROUPS_MAX - 1, same.groups + 1);
        CHECK(count >= 0);
        same.group_count += (size_t)count;
        other_gid = same;
        other_gid.gid = same.gid + 1;
        other_uid = same;
        other_uid.uid = same.uid + 1;
        other_groups = same;
        other_groups.groups[other_groups.group_count++] = same.gid + 2;
    }
    same.no_new_privs = true;
    apply(&same);
    same.group_count = 0; /* the primary group counts as there, whether it is listed or not */
    if (geteuid() == 65534)
        apply(&same);
    check_refused(&other_groups, PRIVILEGES_GROUPS);
    check_refused(&other_gid, geteuid() == 65534 ? PRIVILEGES_GROUPS : PRIVILEGES_GID);
    check_refused(&other_uid, PRIVILEGES_UID);
    if (bounding)
        check_refused(&bounded, PRIVILEGES_BOUNDING);
    if (set_of("CapBnd:") == greedy.mask)
        check_refused(&greedy, PRIVILEGES_SETS);
}

static void without_privilege_only_what_is_so_already_works(void **state)
{
    (void)state;
    run_story(tell_unprivileged);
}

static void tell_not_held(void)
{
    struct privileges privileges = { .set_capabilities = true, .mask = BIT(CAP_CHOWN) };
    CHECK(privileges_keep(BIT(CAP_SETPCAP)) == 0);
    check_refused(&privileges, PRIVILEGES_SETS);
}

static void what_is_not_held_cannot_be_given(void **state)
{
    (void)state;
    run_story_as_root(tell_not_held);
}

static void tell_keeping(void)
{
    struct privileges worker = user(65534, 65534);
    uint64_t bounding = set_of("CapBnd:"), inheritable = set_of("CapInh:");
    uint64_t mask = BIT(CAP_KILL) | BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(63);
    CHECK(privileges_keep(mask) == 0);
    CHECK(privileges_held() == (mask & ~BIT(63)));
    CHECK(set_of("CapEff:") == privileges_held());
    CHECK(set_of("CapBnd:") == bounding && set_of("CapInh:") == inheritable);
    CHECK(privileges_keep(~UINT64_C(0)) == 0); /* nothing comes back */
    CHECK(privileges_held() == (mask & ~BIT(63)));
    apply(&worker); /* enough for the next worker */
}

static void pid_1_keeps_what_a_restart_needs(void **state)
{
    (void)state;
    run_story_as_root(tell_keeping);
}

static void a_capability_that_the_kernel_lacks_is_refused(void **state)
{
    struct privileges privileges = { .set_capabilities = true, .mask = BIT(63) };
    (void)state;
    assert_int_equal(privileges_prepare(&privileges), -EINVAL);
    privileges.mask = BIT(CAP_KILL);
    assert_int_equal(privileges_prepare(&privileges), 0);
    assert_false(privileges_any(&(struct privileges){ 0 }));
}

static void masks_are_printed(void **state)
{
    char text[32];
    (void)state;
    privileges_print(0, text, sizeof text);
    assert_string_equal(text, "none");
    privileges_print(BIT(CAP_KILL) | BIT(CAP_SETUID), text, sizeof text);
    assert_string_equal(text, "cap_kill,cap_setuid");
    privileges_print(BIT(CAP_CHOWN) | BIT(CAP_SETPCAP) | BIT(CAP_DAC_READ_SEARCH), text, 21);
    assert_string_equal(text, "cap_chown"); /* cut between two */
    privileges_print(~UINT64_C(0), text, 4);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_user_has_no_capabilities),
                                        cmocka_unit_test(a_user_may_keep_some),
                                        cmocka_unit_test(root_is_held_to_what_is_given),
                                        cmocka_unit_test(root_without_any_is_possible),
                                        cmocka_unit_test(without_privilege_only_what_is_so_already_works),
                                        cmocka_unit_test(what_is_not_held_cannot_be_given),
                                        cmocka_unit_test(pid_1_keeps_what_a_restart_needs),
                                        cmocka_unit_test(a_capability_that_the_kernel_lacks_is_refused),
                                        cmocka_unit_test(masks_are_printed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
