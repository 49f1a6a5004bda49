#include "report_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

int report_socket_open(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const int yes = 1;
    size_t length = strlen(name);
    if (length < 2 || name[0] != '@' || length > sizeof address.sun_path)
        return -EINVAL;
    memcpy(address.sun_path + 1, name + 1, length - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) < 0 ||
        bind(fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0) {
        int r = -errno;
        (void)close(fd);
        return r;
    }
    return fd;
}

/* There is room for this part alone: descriptors that somebody sends are not taken. */
static pid_t sender_of(struct msghdr *message)
{
    struct ucred credentials = { 0 };
    const struct cmsghdr *part = CMSG_FIRSTHDR(message);
    if (part != NULL && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS)
        memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
    return credentials.pid;
}

int report_socket_receive(int fd, struct trimtab_agent_report *ret_report, pid_t *ret_pid)
{
    union {
        struct cmsghdr header;
        char text[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec room = { .iov_base = ret_report, .iov_len = sizeof *ret_report };
    struct msghdr message = {
        .msg_iov = &room, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0)
        return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
    *ret_pid = sender_of(&message);
    if ((size_t)size != sizeof *ret_report || ret_report->magic != TRIMTAB_AGENT_MAGIC ||
        ret_report->version < TRIMTAB_AGENT_VERSION || ret_report->size < sizeof *ret_report || *ret_pid <= 0)
        return -EBADMSG;
    ret_report->where[sizeof ret_report->where - 1] = '\0';
    return 0;
}
