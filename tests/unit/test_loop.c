#include "os/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cmocka_all.h"

enum { TAG_FIRST = 7, TAG_SECOND = 0xffffffff };

static struct loop loop;
static int first[2], second[2];

static int open_all(void **state)
{
    (void)state;
    return loop_open(&loop, true) | pipe(first) | pipe(second);
}

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        (void)close(first[i]);
        (void)close(second[i]);
    }
    return close(loop.epoll_fd) | close(loop.signal_fd);
}

static void a_deadline_is_never_early(void **state)
{
    struct loop_events events;
    (void)state;
    for (int i = 0; i < 20; i++) {
        uint64_t deadline_ms = loop_now_ms() + 3;
        assert_int_equal(loop_wait(&loop, 0, deadline_ms, &events), 0);
        assert_int_equal(events.count, 0);
        assert_true(loop_now_ms() >= deadline_ms);
    }
}

static void a_deadline_that_has_passed_does_not_wait(void **state)
{
    struct loop_events events;
    (void)state;
    uint64_t before_ms = loop_now_ms();
    for (int i = 0; i < 100; i++)
        assert_int_equal(loop_wait(&loop, 0, i % 2 == 0 ? 0 : before_ms, &events), 0);
    assert_true(loop_now_ms() - before_ms < 1000);
}

static void what_is_readable_is_told_by_its_tag_until_it_is_read(void **state)
{
    struct loop_events events;
    char byte;
    (void)state;
    assert_int_equal(loop_add(&loop, first[0], TAG_FIRST), 0);
    assert_int_equal(loop_add(&loop, second[0], TAG_SECOND), 0);
    assert_int_equal(write(second[1], "x", 1), 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop_wait(&loop, 0, LOOP_FOREVER, &events), 0);
        assert_int_equal(events.count, 1);
        assert_int_equal(events.tag[0], TAG_SECOND);
    }
    assert_int_equal(read(second[0], &byte, 1), 1);
    assert_int_equal(loop_wait(&loop, 0, 0, &events), 0);
    assert_int_equal(events.count, 0);
}

/* Urgent data of a socket, tcp(7), is told as pressure is. */
static void what_has_priority_is_told_once(void **state)
{
    struct loop_events events;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    (void)state;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(bind(listener, (struct sockaddr *)&address, sizeof address), errno);
    assert_return_code(listen(listener, 1), errno);
    assert_return_code(getsockname(listener, (struct sockaddr *)&address, &size), errno);
    assert_return_code(connect(to, (struct sockaddr *)&address, sizeof address), errno);
    int from = accept(listener, NULL, NULL);
    assert_return_code(from, errno);

    assert_int_equal(loop_add_priority(&loop, from, TAG_FIRST), 0);
    assert_int_equal(send(to, "x", 1, 0), 1); /* readable alone is not told */
    assert_int_equal(loop_wait(&loop, 0, loop_now_ms() + 5, &events), 0);
    assert_int_equal(events.count, 0);
    assert_int_equal(send(to, "y", 1, MSG_OOB), 1);
    assert_int_equal(loop_wait(&loop, 0, LOOP_FOREVER, &events), 0);
    assert_int_equal(events.count, 1);
    assert_int_equal(events.tag[0], TAG_FIRST);
    assert_int_equal(loop_wait(&loop, 0, 0, &events), 0);
    assert_int_equal(events.count, 0);
    assert_int_equal(loop_remove(&loop, from), 0);

    /* A pipe without readers: an error for ever. */
    assert_int_equal(close(first[0]), 0);
    assert_int_equal(loop_add_priority(&loop, first[1], TAG_SECOND), 0);
    assert_int_equal(loop_wait(&loop, 0, LOOP_FOREVER, &events), 0);
    assert_int_equal(events.count, 1);
    assert_int_equal(events.tag[0], TAG_SECOND);
    assert_int_equal(loop_wait(&loop, 0, 0, &events), 0);
    assert_int_equal(events.count, 0);
    (void)close(listener);
    (void)close(from);
    (void)close(to);
}

static void what_was_removed_is_silent(void **state)
{
    struct loop_events events;
    (void)state;
    assert_int_equal(loop_add(&loop, first[0], TAG_FIRST), 0);
    assert_int_equal(loop_add(&loop, first[0], TAG_FIRST), -EEXIST);
    assert_int_equal(write(first[1], "x", 1), 1);
    assert_int_equal(loop_remove(&loop, first[0]), 0);
    assert_int_equal(loop_remove(&loop, first[0]), -ENOENT);
    assert_int_equal(loop_wait(&loop, 0, 0, &events), 0);
    assert_int_equal(events.count, 0);
}

static void on_alarm(int number)
{
    (void)number;
}

static void a_signal_gives_no_events_and_no_error(void **state)
{
    struct loop_events events;
    (void)state;
    struct sigaction action = { .sa_handler = on_alarm }; /* without SA_RESTART */
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    struct itimerval soon = { .it_value.tv_usec = 20000, .it_interval.tv_usec = 20000 };
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    int r = loop_wait(&loop, 0, LOOP_FOREVER, &events);
    assert_int_equal(setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL), 0);
    assert_int_equal(r, 0);
    assert_int_equal(events.count, 0);
}

static void a_refusal_is_told_after_a_pause(void **state)
{
    struct loop broken = { .epoll_fd = 9999, .signal_fd = -1 };
    struct loop_events events = { .count = 5 };
    (void)state;
    uint64_t before_ms = loop_now_ms();
    assert_int_equal(loop_wait(&broken, 0, LOOP_FOREVER, &events), -EBADF);
    assert_int_equal(events.count, 0);
    assert_true(loop_now_ms() - before_ms >= 99);
}

static void signals_are_told_with_and_without_descriptors(void **state)
{
    struct signals_inherited inherited;
    struct loop_events events;
    struct loop alone;
    (void)state;
    assert_int_equal(loop_open(&alone, false), 0);
    assert_int_equal(signals_take(&inherited), 0);
    struct loop *loops[] = { &alone, &loop };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop_wait(loops[i], 0, 0, &events), 0);
        assert_int_equal(events.signal_count, 0);
        uint64_t deadline_ms = loop_now_ms() + 3;
        assert_int_equal(loop_wait(loops[i], 0, deadline_ms, &events), 0);
        assert_true(loop_now_ms() >= deadline_ms);
        assert_int_equal(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 41 }), 0);
        assert_int_equal(loop_wait(loops[i], 0, LOOP_FOREVER, &events), 0);
        assert_int_equal(events.signal_count, 1);
        assert_int_equal(events.signal[0].number, SIGRTMIN + 1);
        assert_int_equal((int)events.signal[0].value, 41);
        assert_true(events.signal[0].queued && !events.signal[0].from_kernel);
        assert_int_equal(events.signal[0].sender, getpid());
        assert_int_equal(kill(getpid(), SIGPIPE), 0); /* as a write of our own would */
        assert_int_equal(loop_wait(loops[i], 0, 0, &events), 0);
        assert_int_equal(events.signal_count, 0);
    }
    assert_int_equal(signals_restore(&inherited), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = { CASE(a_deadline_is_never_early),
                                        CASE(a_deadline_that_has_passed_does_not_wait),
                                        CASE(what_is_readable_is_told_by_its_tag_until_it_is_read),
                                        CASE(what_has_priority_is_told_once),
                                        CASE(what_was_removed_is_silent),
                                        CASE(a_signal_gives_no_events_and_no_error),
                                        CASE(signals_are_told_with_and_without_descriptors),
                                        CASE(a_refusal_is_told_after_a_pause) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
