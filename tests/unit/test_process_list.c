/* Finding processes: both ways, on trees of forked children. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/process.h"

static struct process_list list, other_list;

static bool has(const struct process_list *where, pid_t pid, pid_t parent)
{
    for (uint32_t i = 0; i < where->count; i++)
        if (where->item[i].pid == pid && where->item[i].parent == parent)
            return true;
    return false;
}

static void *thread_with_child(void *arg)
{
    pid_t *pid = arg;
    int ready[2];
    char byte;
    (void)!pipe(ready);
    *pid = fork();
    if (*pid == 0) {
        (void)close(ready[1]);
        (void)!read(ready[0], &byte, 1); /* until the parent closes its end, or is gone */
        _exit(0);
    }
    (void)close(ready[0]);
    *(int *)(void *)(pid + 1) = ready[1];
    return NULL;
}

static void *waiting_thread(void *arg)
{
    void **both = arg;
    (void)thread_with_child(both[0]);
    (void)pthread_barrier_wait(both[1]);
    (void)pthread_barrier_wait(both[1]);
    return NULL;
}

static void assert_same_lists(pid_t root, enum process_depth depth)
{
    assert_int_equal(process_list(root, depth, false, &list), 0);
    assert_int_equal(process_list(root, depth, true, &other_list), 0);
    assert_int_equal(list.count, other_list.count);
    for (uint32_t i = 0; i < list.count; i++) {
        assert_int_equal(list.item[i].pid, other_list.item[i].pid);
        assert_int_equal(list.item[i].parent, other_list.item[i].parent);
    }
}

static void children_of_every_thread_are_found(void **state)
{
    (void)state;
    int child[2] = { 0 };
    pthread_barrier_t barrier;
    void *both[] = { child, &barrier };
    pthread_t thread;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, waiting_thread, both), 0);
    (void)pthread_barrier_wait(&barrier);
    assert_same_lists(getpid(), PROCESS_CHILDREN);
    assert_true(has(&list, child[0], getpid()));
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_join(thread, NULL);
    (void)close(child[1]);
    assert_int_equal(waitpid(child[0], NULL, 0), child[0]);
}

/* us -> a -> b -> c; each waits for its pipe to be closed. */
static pid_t chain(int depth, int keep_open, int report)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char byte;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid_t self = getpid();
    pid_t below = depth > 1 ? chain(depth - 1, keep_open, report) : 0;
    (void)!write(report, &self, sizeof self);
    (void)!read(keep_open, &byte, 1);
    if (below > 0)
        (void)waitpid(below, NULL, 0);
    _exit(0);
}

static void descendants_are_found_at_any_depth(void **state)
{
    (void)state;
    enum { DEPTH = 40 };
    int hold[2], report[2];
    pid_t pids[DEPTH];
    assert_return_code(pipe2(hold, O_CLOEXEC), errno);
    assert_return_code(pipe(report), errno);
    pid_t top = fork();
    if (top == 0) {
        (void)close(hold[1]);
        pid_t first = chain(DEPTH, hold[0], report[1]);
        (void)waitpid(first, NULL, 0);
        _exit(0);
    }
    (void)close(hold[0]);
    for (int i = 0; i < DEPTH; i++)
        assert_int_equal(read(report[0], &pids[i], sizeof pids[i]), sizeof pids[i]);
    assert_same_lists(top, PROCESS_DESCENDANTS);
    assert_int_equal(list.count, DEPTH);
    assert_same_lists(top, PROCESS_CHILDREN);
    assert_int_equal(list.count, 1);
    assert_same_lists(list.item[0].pid, PROCESS_DESCENDANTS);
    assert_int_equal(list.count, DEPTH - 1);
    assert_int_equal(process_list(getpid(), PROCESS_DESCENDANTS, false, &list), 0);
    assert_int_equal(list.count, DEPTH + 1);
    (void)close(hold[1]);
    assert_int_equal(waitpid(top, NULL, 0), top);
    (void)close(report[0]);
    (void)close(report[1]);
}

/* More numbers than one read can hold, so that some are cut in two. */
static void a_thousand_children_are_found(void **state)
{
    (void)state;
    enum { CHILDREN = 1000 };
    static pid_t pids[CHILDREN];
    int hold[2];
    char byte;
    assert_return_code(pipe(hold), errno);
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            (void)close(hold[1]);
            (void)!read(hold[0], &byte, 1);
            _exit(0);
        }
    }
    assert_same_lists(getpid(), PROCESS_CHILDREN);
    assert_int_equal(list.count, CHILDREN);
    assert_false(list.cut);
    for (int i = 0; i < CHILDREN; i++)
        assert_true(has(&list, pids[i], getpid()));
    assert_same_lists(getpid(), PROCESS_DESCENDANTS);
    assert_int_equal(list.count, CHILDREN);
    (void)close(hold[0]);
    (void)close(hold[1]);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
}

static void no_children_is_an_empty_list(void **state)
{
    (void)state;
    assert_same_lists(getpid(), PROCESS_DESCENDANTS);
    assert_int_equal(list.count, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(process_list(pid, PROCESS_CHILDREN, false, &list), -ESRCH);
    assert_int_equal(list.count, 0);
    assert_int_equal(process_list(pid, PROCESS_DESCENDANTS, true, &list), -ESRCH);
    assert_int_equal(list.count, 0);
}

/* How many descriptors are open. */
static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void listing_leaks_no_descriptors(void **state)
{
    (void)state;
    int before = open_descriptors();
    for (int i = 0; i < 50; i++)
        assert_int_equal(process_list(1, PROCESS_DESCENDANTS, i % 2, &list), 0);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_of_every_thread_are_found), cmocka_unit_test(descendants_are_found_at_any_depth),
        cmocka_unit_test(a_thousand_children_are_found),      cmocka_unit_test(no_children_is_an_empty_list),
        cmocka_unit_test(listing_leaks_no_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
