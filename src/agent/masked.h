/*
 * Waits in their form with a mask (wait.h, WAIT_MASK), for the wrappers of
 * several files.
 */
#ifndef AGENT_MASKED_H
#define AGENT_MASKED_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>

#include "limit.h"
#include "wait.h"

/*
 * Block every signal, trim if that is asked for, and give the mask to wait
 * with: `own` if the program gave one, else the one it had. NULL: the kernel
 * refuses, and the call is to be passed on as it is.
 */
const sigset_t *masked_enter(struct wait *wait, const sigset_t *own, sigset_t *space);

/* After the wait: whether nothing but our handler ended it; then it was served, and the wait goes on. */
bool masked_again(struct wait *wait, struct limit *limit, long result);

/*
 * Whether the form with a mask is missing or forbidden (seccomp(2)): the signals are as before but for SIGURG, which
 * stays away, and the call is to be passed on as it is.
 */
bool masked_refused(struct wait *wait, long result);

int masked_ppoll(struct wait *wait, struct pollfd *fds, nfds_t count, struct limit *limit, const sigset_t *mask);

#endif
