#include "os/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

static char folder[] = "/tmp/trimtab-child-XXXXXX";
static char listen_pid[32];
static char *environment[] = { (char[]){ "PATH=/usr/bin:/bin" }, (char[]){ "COLOUR=blue" }, listen_pid, NULL };
static struct signals_inherited inherited;
static char *script_argv[16];
static char output[4096]; /* of the last run */

static struct child_spec spec_of(char **argv)
{
    return (struct child_spec){ .argv = argv,
                                .env = environment,
                                .path = "/usr/bin:/bin",
                                .script_argv = script_argv,
                                .signals = &inherited,
                                .cwd_fd = -1 };
}

static struct child_spec shell(const char *script)
{
    static char name[] = "sh", option[] = "-c", *argv[] = { name, option, NULL, NULL };
    argv[2] = (char *)script;
    return spec_of(argv);
}

static struct child_spec program(const char *name)
{
    static char *argv[2];
    argv[0] = (char *)name;
    return spec_of(argv);
}

/* Wait for the end of the child without reaping it, then reap it. */
static struct child_end end_of(pid_t pid)
{
    siginfo_t info;
    struct child_end end;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(child_reap(&end), 0);
    assert_int_equal(end.pid, pid);
    return end;
}

/* Run it to its end; returns the exit status. */
static int run(const struct child_spec *spec)
{
    struct child_failure failure;
    int ends[2];
    size_t length = 0;
    ssize_t count;
    pid_t pid = 0;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(saved >= 0 && dup2(ends[1], STDOUT_FILENO) >= 0);
    int r = child_spawn(spec, &pid, &failure);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    (void)close(saved);
    (void)close(ends[1]);
    assert_int_equal(r, 0);
    assert_int_equal(failure.error, 0);
    while ((count = read(ends[0], output + length, sizeof output - 1 - length)) > 0)
        length += (size_t)count;
    output[length] = '\0';
    (void)close(ends[0]);
    struct child_end end = end_of(pid);
    assert_false(end.signaled);
    return end.status;
}

static void assert_shell_says(struct child_spec *spec, const char *script, const char *expected)
{
    spec->argv = shell(script).argv;
    assert_int_equal(run(spec), 0);
    assert_string_equal(output, expected);
}

static void assert_fails(const struct child_spec *spec, enum child_stage stage, int error)
{
    struct child_failure failure;
    struct child_end end;
    pid_t pid = -7;
    errno = ERANGE;
    assert_int_equal(child_spawn(spec, &pid, &failure), -error);
    assert_int_equal(errno, ERANGE); /* ours, although the child had the same */
    assert_int_equal(failure.stage, stage);
    assert_int_equal(failure.error, error);
    assert_int_equal(pid, -7);
    assert_int_equal(child_reap(&end), -ECHILD); /* nothing is left behind */
    assert_int_equal(end.pid, 0);
}

static void make_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static int make_files(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || chdir(folder) < 0 || mkdir("sub", 0755) < 0)
        return -1;
    make_file("plain", "exit 21\n", 0644);
    make_file("text", "echo \"$#:$1:$2\"; exit 21\n", 0755);
    make_file("orphan", "#!/no/such/interpreter\n", 0755);
    make_file("sub/plain", "#!/bin/sh\nexit 22\n", 0755);
    return 0;
}

static int remove_files(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void an_end_is_told_apart(void **state)
{
    struct child_failure failure;
    struct child_end end;
    pid_t pid;
    (void)state;
    struct child_spec spec = shell("exit 201");
    assert_int_equal(child_spawn(&spec, &pid, &failure), 0);
    end = end_of(pid);
    assert_false(end.signaled);
    assert_int_equal(end.status, 201);

    spec = shell("kill -9 $$");
    assert_int_equal(child_spawn(&spec, &pid, &failure), 0);
    end = end_of(pid);
    assert_true(end.signaled);
    assert_int_equal(end.status, SIGKILL);
    assert_int_equal(child_reap(&end), -ECHILD);

    char *waits[] = { (char[]){ "sleep" }, (char[]){ "100" }, NULL };
    spec = spec_of(waits);
    assert_int_equal(child_spawn(&spec, &pid, &failure), 0);
    assert_int_equal(child_reap(&end), 0);
    assert_int_equal(end.pid, 0); /* there is a child, and it has not ended */
    assert_int_equal(kill(pid, SIGTERM), 0);
    end = end_of(pid);
    assert_true(end.signaled && end.status == SIGTERM);
}

static void what_cannot_be_run_is_told_with_its_reason(void **state)
{
    (void)state;
    const struct {
        const char *name, *path;
        int error, exit_status;
    } rows[] = { { "no-such-program", "/usr/bin:/bin", ENOENT, 127 },
                 { "/no/such/program", "", ENOENT, 127 },
                 { "", "/bin", ENOENT, 127 },
                 { "./plain", "", EACCES, 126 },
                 { "/", "", EACCES, 126 },
                 { "./plain/x", "", ENOTDIR, 127 },
                 { "./orphan", "", ENOENT, 127 },
                 { "plain", "/no/such:.:/bin", EACCES, 126 }, /* remembered, though it is not in /bin */
                 { "sub", "", EACCES, 126 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct child_spec spec = program(rows[i].name);
        spec.path = rows[i].path;
        assert_fails(&spec, CHILD_STAGE_EXEC, rows[i].error);
        assert_int_equal(child_exec_status(rows[i].error), rows[i].exit_status);
    }
    assert_int_equal(child_exec_status(ENOMEM), 111);
}

static void a_text_file_is_run_by_the_shell(void **state)
{
    char name[] = "./text", first[] = "a b", second[] = "c";
    char *argv[] = { name, first, second, NULL };
    struct child_spec with = spec_of(argv), without = program(name);
    (void)state;
    memset(script_argv, 0xff, sizeof script_argv);
    assert_int_equal(run(&with), 21);
    assert_string_equal(output, "2:a b:c\n");
    assert_int_equal(run(&without), 21);
    assert_string_equal(output, "0::\n");
}

static void the_search_goes_on_past_what_cannot_be_run(void **state)
{
    struct child_spec spec = program("plain");
    (void)state;
    spec.path = "/no/such::sub";
    assert_int_equal(run(&spec), 22);
}

static void candidates_are_those_of_execvp(void **state)
{
    (void)state;
    const struct {
        const char *name, *path, *expected;
    } rows[] = { { "x", "/a:/b", "/a/x /b/x " },
                 { "x", ":/b:", "x /b/x x " },
                 { "x", "", "x " },
                 { "./x", "/a", "./x " },
                 { "/x", NULL, "/x " },
                 { "x", "/12345678901234:/b", "/b/x " },
                 { "", "/a", "" },
                 { "x", "/a:", "/a/x x " },
                 { "1234567890123456", "/a:", "" },
                 { "/234567890123456", "/a", "" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char all[128] = "", candidate[16];
        const char *at = NULL, *next;
        while ((next = child_path_next(rows[i].name, rows[i].path, &at, candidate, sizeof candidate)) != NULL) {
            assert_ptr_equal(next, candidate);
            (void)strcat(strcat(all, candidate), " ");
        }
        assert_string_equal(all, rows[i].expected);
        if (rows[i].name[0] != '\0')
            assert_null(child_path_next(rows[i].name, rows[i].path, &at, candidate, sizeof candidate));
    }
}

static void signals_are_as_they_were_inherited(void **state)
{
    uint64_t mask = UINT64_C(0x8000000380000800);                                /* USR2, 32, 33, 34 and 64 */
    char *argv[] = { (char[]){ "cat" }, (char[]){ "/proc/self/status" }, NULL }; /* a shell changes some */
    struct child_spec spec = spec_of(argv);
    (void)state;

    memcpy(&inherited.mask, &mask, sizeof mask);
    inherited.child_ignored = true;
    assert_true(signal(SIGHUP, SIG_IGN) != SIG_ERR);
    assert_true(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    assert_int_equal(run(&spec), 0);
    assert_true(signal(SIGHUP, SIG_DFL) != SIG_ERR);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
    assert_non_null(strstr(output,
                           "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n"
                           "SigBlk:\t8000000380000800\nSigIgn:\t0000000000010201\nSigCgt:\t0000000000000000\n"));

    memset(&inherited, 0, sizeof inherited);
    assert_int_equal(run(&spec), 0);
    assert_non_null(
        strstr(output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"));
}

static void the_child_leads_a_group_and_knows_its_environment(void **state)
{
    (void)state;
    struct child_spec spec = spec_of(NULL);
    (void)strcpy(listen_pid, "LISTEN_PID=1111111111");
    spec.listen_pid = listen_pid + strlen("LISTEN_PID=");
    assert_shell_says(&spec,
                      "read pid name letter parent group rest < /proc/self/stat; "
                      "[ $group = $$ ] && [ $LISTEN_PID = $$ ] && echo $COLOUR",
                      "blue\n");
}

static void descriptors_are_only_those_that_are_to_be(void **state)
{
    struct child_spec spec = spec_of(NULL);
    (void)state;
    assert_int_equal(dup3(STDIN_FILENO, 50, 0), 50);
    assert_int_equal(dup3(STDIN_FILENO, 51, O_CLOEXEC), 51);
    assert_shell_says(&spec, "for i in 0 1 2 50 51; do [ -e /proc/$$/fd/$i ] && echo $i; done; true", "0\n1\n2\n50\n");
    (void)close(50);
    (void)close(51);
}

static void directory_limit_and_oom_score_are_set(void **state)
{
    char expected[256], before[64], after[64];
    (void)state;
    struct child_spec spec = spec_of(NULL);
    assert_true(getcwd(before, sizeof before) != NULL);
    spec.cwd_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(spec.cwd_fd >= 0);
    spec.restore_nofile = true;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &spec.nofile), 0);
    spec.nofile.rlim_cur = 77;
    spec.set_oom_score_adj = true;
    spec.oom_score_adj = 613;
    (void)snprintf(expected, sizeof expected, "%s\n77\n613\n", folder);
    assert_shell_says(&spec, "pwd; ulimit -Sn; cat /proc/self/oom_score_adj", expected);
    (void)close(spec.cwd_fd);

    struct rlimit limit; /* and ours are what they were */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_cur != 77);
    assert_true(getcwd(after, sizeof after) != NULL);
    assert_string_equal(before, after);
    FILE *file = fopen("/proc/self/oom_score_adj", "re");
    assert_non_null(file);
    assert_true(fgets(after, sizeof after, file) != NULL);
    (void)fclose(file);
    assert_string_not_equal(after, "613\n");
}

static void each_stage_that_fails_is_named(void **state)
{
    struct child_spec spec = program("true");
    (void)state;
    spec.cwd_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_fails(&spec, CHILD_STAGE_DIRECTORY, ENOTDIR);
    (void)close(spec.cwd_fd);

    spec = program("true");
    spec.restore_nofile = true;
    spec.nofile = (struct rlimit){ .rlim_cur = 20, .rlim_max = 10 };
    assert_fails(&spec, CHILD_STAGE_LIMIT, EINVAL);

    spec = program("true");
    spec.set_oom_score_adj = true;
    spec.oom_score_adj = 1001;
    assert_fails(&spec, CHILD_STAGE_OOM, EINVAL);
    spec.oom_score_adj = -1001;
    assert_fails(&spec, CHILD_STAGE_OOM, EINVAL);
}

/* What needs a process of its own; the exit status 0 is that all held. */
static void run_story(int (*story)(void))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(20);
        _exit(story());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void run_story_as_root(int (*story)(void))
{
    if (geteuid() != 0) {
        print_message("SKIPPED: needs root\n");
        skip();
    }
    run_story(story);
}

static int tell_refused_privileges(void)
{
    struct child_spec spec = program("true");
    struct privileges privileges = {
        .set_ids = true, .uid = 4321, .gid = 4321, .groups = { 4321, 4322 }, .group_count = 2
    };
    struct child_failure failure;
    pid_t pid;
    if (privileges_keep(0) < 0 || privileges_prepare(&privileges) < 0)
        return 1;
    spec.privileges = &privileges;
    if (child_spawn(&spec, &pid, &failure) != -EPERM)
        return 2;
    if (failure.stage != CHILD_STAGE_PRIVILEGES || failure.step != PRIVILEGES_GROUPS)
        return 3;
    return strcmp(child_stage_name(&failure), "set the supplementary groups") == 0 ? 0 : 4;
}

static void a_privilege_that_is_refused_is_named(void **state)
{
    (void)state;
    run_story(tell_refused_privileges);
}

static int tell_user(void)
{
    struct child_spec spec = shell("[ $(id -u):$(id -g):$(id -G) = 4321:99:99 ]");
    struct privileges privileges = { .set_ids = true, .uid = 4321, .gid = 99, .groups = { 99 }, .group_count = 1 };
    struct child_failure failure;
    struct child_end end;
    siginfo_t info;
    pid_t pid;
    if (prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L) < 0 || privileges_prepare(&privileges) < 0)
        return 1;
    spec.privileges = &privileges;
    for (int i = 0; i < 2; i++) { /* a restart finds all as it was */
        if (child_spawn(&spec, &pid, &failure) < 0)
            return 2;
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 || child_reap(&end) < 0 || end.signaled ||
            end.status)
            return 3;
        if (geteuid() != 0 || prctl(PR_GET_DUMPABLE, 0L, 0L, 0L, 0L) != 1 || privileges_held() == 0)
            return 4;
    }
    return 0;
}

static void another_user_is_taken_on_by_the_child_alone(void **state)
{
    (void)state;
    run_story_as_root(tell_user);
}

static int tell_no_shell(void)
{
    struct child_spec spec = program("/text");
    struct child_failure failure;
    pid_t pid;
    if (chroot(folder) < 0 || chdir("/") < 0)
        return 1;
    return child_spawn(&spec, &pid, &failure) == -ENOEXEC && failure.stage == CHILD_STAGE_EXEC ? 0 : 2;
}

static void without_a_shell_the_text_file_is_to_blame(void **state)
{
    (void)state;
    run_story_as_root(tell_no_shell);
}

static int tell_terminal(void)
{
    char slave_name[64];
    struct child_spec spec = shell("read pid name letter parent group session tty foreground rest < /proc/self/stat; "
                                   "[ $foreground = $$ ]");
    struct signals_inherited before;
    struct child_failure failure;
    int status;
    pid_t pid;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || setsid() < 0)
        return 1;
    if (ptsname_r(master, slave_name, sizeof slave_name) != 0)
        return 2;
    int slave = open(slave_name, O_RDWR); /* a session leader's first terminal is its controlling one */
    if (slave < 0 || dup2(slave, STDIN_FILENO) < 0 || signals_take(&before) < 0)
        return 3;
    spec.signals = &before;
    for (int i = 0; i < 2; i++) { /* the second time we are in the background */
        if (child_spawn(&spec, &pid, &failure) < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            return 4 + i;
    }
    return 0;
}

static void the_child_has_the_terminal(void **state)
{
    (void)state;
    run_story(tell_terminal);
}

static int tell_closed_input(void)
{
    struct child_spec spec = program("true");
    struct child_failure failure;
    int status;
    pid_t pid;
    (void)close(STDIN_FILENO);
    return child_spawn(&spec, &pid, &failure) < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

static void a_closed_input_is_no_obstacle(void **state)
{
    (void)state;
    run_story(tell_closed_input);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(an_end_is_told_apart),
                                        cmocka_unit_test(what_cannot_be_run_is_told_with_its_reason),
                                        cmocka_unit_test(a_text_file_is_run_by_the_shell),
                                        cmocka_unit_test(the_search_goes_on_past_what_cannot_be_run),
                                        cmocka_unit_test(candidates_are_those_of_execvp),
                                        cmocka_unit_test(signals_are_as_they_were_inherited),
                                        cmocka_unit_test(the_child_leads_a_group_and_knows_its_environment),
                                        cmocka_unit_test(descriptors_are_only_those_that_are_to_be),
                                        cmocka_unit_test(directory_limit_and_oom_score_are_set),
                                        cmocka_unit_test(each_stage_that_fails_is_named),
                                        cmocka_unit_test(a_privilege_that_is_refused_is_named),
                                        cmocka_unit_test(another_user_is_taken_on_by_the_child_alone),
                                        cmocka_unit_test(without_a_shell_the_text_file_is_to_blame),
                                        cmocka_unit_test(the_child_has_the_terminal),
                                        cmocka_unit_test(a_closed_input_is_no_obstacle) };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
