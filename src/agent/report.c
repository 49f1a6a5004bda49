#include "report.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "kernel.h"
#include "outside.h"
#include "request.h"

#pragma weak getauxval

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the report is little-endian");

enum { STATM_TEXT_MAX = 128, PAGE_BYTES_DEFAULT = 4096 }; /* statm: seven numbers */

static struct sockaddr_un receiver;
static socklen_t receiver_size; /* 0: nobody is to be told */
static uint64_t page_bytes = PAGE_BYTES_DEFAULT;

void report_start(const char *address)
{
    size_t length = 0;
    if (getauxval != NULL && getauxval(AT_PAGESZ) != 0)
        page_bytes = getauxval(AT_PAGESZ);
    while (address != NULL && length < sizeof receiver.sun_path && address[length] != '\0')
        length++;
    if (length < 2 || length >= sizeof receiver.sun_path)
        return;
    receiver.sun_family = AF_UNIX;
    memcpy(receiver.sun_path, address, length);
    receiver_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (address[0] == '@') /* unix(7): an abstract name ends with the address */
        receiver.sun_path[0] = '\0';
    else
        receiver_size++;
}

static uint64_t read_rss(void)
{
    char text[STATM_TEXT_MAX];
    long fd = kernel_call(SYS_openat, AT_FDCWD, (long)"/proc/self/statm", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return TRIMTAB_AGENT_UNKNOWN;
    long size = kernel_call(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
    (void)kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
    if (size <= 0)
        return TRIMTAB_AGENT_UNKNOWN;
    text[size] = '\0';
    const char *at = text;
    uint64_t pages = 0;
    while (*at != '\0' && *at != ' ')
        at++;
    if (*at == '\0')
        return TRIMTAB_AGENT_UNKNOWN;
    for (at++; *at >= '0' && *at <= '9'; at++)
        pages = pages * 10 + (uint64_t)(*at - '0');
    return pages * page_bytes;
}

void report_begin(struct trimtab_agent_report *report, const struct trim_request *request)
{
    *report = (struct trimtab_agent_report){ .magic = TRIMTAB_AGENT_MAGIC,
                                             .version = TRIMTAB_AGENT_VERSION,
                                             .size = sizeof *report,
                                             .pid = (uint32_t)kernel_call(SYS_getpid, 0, 0, 0, 0, 0, 0),
                                             .tid = (uint32_t)kernel_call(SYS_gettid, 0, 0, 0, 0, 0, 0),
                                             .held_bytes = TRIMTAB_AGENT_UNKNOWN,
                                             .used_bytes = TRIMTAB_AGENT_UNKNOWN,
                                             .free_bytes = TRIMTAB_AGENT_UNKNOWN,
                                             .delay_ns = (uint64_t)request->delay_ns };
    for (size_t i = 0; i < sizeof report->where - 1 && request->where[i] != '\0'; i++)
        report->where[i] = request->where[i];
    report->rss_before_bytes = read_rss();
}

void report_end(struct trimtab_agent_report *report, const struct trim_request *request)
{
    report->rss_after_bytes = read_rss();
    report->took_ns = (uint64_t)(request_now_ns() - request->begin_ns);
    if (receiver_size == 0)
        return;
    /* Opened each time: a worker closes descriptors it does not know. */
    long fd = kernel_call(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
    if (fd < 0)
        return;
    (void)kernel_call(SYS_sendto, fd, (long)report, sizeof *report, MSG_DONTWAIT | MSG_NOSIGNAL, (long)&receiver,
                      receiver_size);
    (void)kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
}
