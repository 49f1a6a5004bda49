/*
 * Where agents report what they trimmed: a datagram socket with an abstract
 * name, which needs no directory that a worker of any user can write to. See
 * unix(7), trimtab/agent.h.
 */
#ifndef TRIMTAB_OS_REPORT_SOCKET_H
#define TRIMTAB_OS_REPORT_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

#include "trimtab/agent.h"

/* name: with the @ that stands for the NUL, as the agent is told. Returns the descriptor or -errno. */
int report_socket_open(const char *name);

/*
 * The next report that is there. *ret_pid: the sender's, proven by the kernel.
 * Returns 0, -EAGAIN when there is none, -EBADMSG for what is no report (there
 * may be more behind it), or -errno.
 */
int report_socket_receive(int fd, struct trimtab_agent_report *ret_report, pid_t *ret_pid);

#endif
