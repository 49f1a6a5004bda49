/* Reports of agents: who sends is proven by the kernel, and what is no report is none. */
#include "os/report_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

static char name[40];
static int receiver;

static int begin(void **state)
{
    (void)state;
    (void)snprintf(name, sizeof name, "@trimtab-test-%d", (int)getpid());
    receiver = report_socket_open(name);
    return receiver >= 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    return close(receiver);
}

static struct trimtab_agent_report example(void)
{
    return (struct trimtab_agent_report){ .magic = TRIMTAB_AGENT_MAGIC,
                                          .version = TRIMTAB_AGENT_VERSION,
                                          .size = sizeof(struct trimtab_agent_report),
                                          .pid = 1, /* what it says of itself is not believed */
                                          .allocator = TRIMTAB_AGENT_GLIBC,
                                          .rss_before_bytes = 300,
                                          .rss_after_bytes = 200,
                                          .where = "poll" };
}

/* From a socket of its own, as the agent does; descriptor: sent along, -1: none. */
static void send_bytes(const void *bytes, size_t size, int descriptor)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    union {
        struct cmsghdr header;
        char text[CMSG_SPACE(sizeof(int))];
    } control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
    memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
    struct msghdr message = { .msg_name = &address,
                              .msg_namelen = (socklen_t)(sizeof(sa_family_t) + strlen(name)),
                              .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = descriptor >= 0 ? &control : NULL,
                              .msg_controllen = descriptor >= 0 ? sizeof control : 0 };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(sendmsg(fd, &message, MSG_DONTWAIT), size);
    (void)close(fd);
}

static int receive(struct trimtab_agent_report *report, pid_t *pid)
{
    memset(report, 'x', sizeof *report);
    *pid = -1;
    return report_socket_receive(receiver, report, pid);
}

static void a_report_comes_with_the_true_sender(void **state)
{
    (void)state;
    struct trimtab_agent_report sent = example(), got;
    pid_t pid;
    assert_int_equal(receive(&got, &pid), -EAGAIN);
    pid_t child = fork();
    if (child == 0) {
        send_bytes(&sent, sizeof sent, -1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(receive(&got, &pid), 0);
    assert_int_equal(pid, child);
    assert_memory_equal(&got, &sent, sizeof got);
    assert_int_equal(receive(&got, &pid), -EAGAIN);
}

static void a_later_version_is_read_as_far_as_it_is_known(void **state)
{
    (void)state;
    struct {
        struct trimtab_agent_report known;
        char more[100];
    } sent = { .known = example() };
    struct trimtab_agent_report got;
    pid_t pid;
    sent.known.version = TRIMTAB_AGENT_VERSION + 1;
    sent.known.size = sizeof sent;
    send_bytes(&sent, sizeof sent, -1);
    assert_int_equal(receive(&got, &pid), 0);
    assert_int_equal(pid, getpid());
    assert_memory_equal(&got, &sent.known, sizeof got);
}

static void what_is_no_report_is_passed_over(void **state)
{
    (void)state;
    struct trimtab_agent_report good = example(), bad = good, got;
    pid_t pid;
    send_bytes("", 0, -1);
    send_bytes(&good, sizeof good - 1, -1);
    bad.magic++;
    send_bytes(&bad, sizeof bad, -1);
    bad = good;
    bad.version = 0;
    send_bytes(&bad, sizeof bad, -1);
    bad = good;
    bad.size--;
    send_bytes(&bad, sizeof bad, -1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(receive(&got, &pid), -EBADMSG);
    memset(good.where, 'w', sizeof good.where); /* without its NUL */
    send_bytes(&good, sizeof good, -1);
    assert_int_equal(receive(&got, &pid), 0);
    assert_int_equal(strlen(got.where), sizeof got.where - 1);
    assert_int_equal(receive(&got, &pid), -EAGAIN);
}

static void descriptors_sent_along_are_not_taken(void **state)
{
    (void)state;
    struct trimtab_agent_report sent = example(), got;
    pid_t pid;
    int before = dup(receiver);
    (void)close(before);
    send_bytes(&sent, sizeof sent, STDIN_FILENO);
    assert_int_equal(receive(&got, &pid), 0);
    assert_int_equal(pid, getpid());
    int after = dup(receiver);
    (void)close(after);
    assert_int_equal(after, before);
}

static void names_that_cannot_be(void **state)
{
    (void)state;
    char longest[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 2];
    memset(longest, 'n', sizeof longest);
    longest[0] = '@';
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(report_socket_open(longest), -EINVAL);
    longest[sizeof longest - 2] = '\0';
    int fd = report_socket_open(longest);
    assert_true(fd >= 0);
    assert_int_equal(report_socket_open(longest), -EADDRINUSE);
    (void)close(fd);
    assert_int_equal(report_socket_open("@"), -EINVAL);
    assert_int_equal(report_socket_open(""), -EINVAL);
    assert_int_equal(report_socket_open("/run/x"), -EINVAL);
    struct trimtab_agent_report got;
    assert_int_equal(report_socket_receive(-1, &got, &(pid_t){ 0 }), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_report_comes_with_the_true_sender, begin, end),
        cmocka_unit_test_setup_teardown(a_later_version_is_read_as_far_as_it_is_known, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_report_is_passed_over, begin, end),
        cmocka_unit_test_setup_teardown(descriptors_sent_along_are_not_taken, begin, end),
        cmocka_unit_test(names_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
