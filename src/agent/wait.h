/*
 * A wrapped call while a thread is in it.
 *
 * Each wrapper puts a struct wait on its stack and the address of it into the
 * thread's wait_current; the handler of SIGURG reads it there. Three kinds:
 *
 * WAIT_MASK: calls that end with EINTR after any handler, and that have a form
 *   which takes a signal mask. The wrapper blocks every signal and waits in
 *   that form with the program's own mask. So SIGURG comes nowhere but in the
 *   wait itself, and it alone: another signal of the program's stays pending
 *   while the wrapper trims, and ends the wait with its EINTR when it goes on.
 *   One thing shows: when a signal for the whole process wakes one thread and
 *   another takes it, epoll_wait alone ends with EINTR, as it does after
 *   SIGCONT. So ask a thread, not the process, where there are several.
 * WAIT_RESTART: calls that the kernel begins again after our handler
 *   (SA_RESTART, signal(7)). The handler trims, if the thread is in the wait.
 *   Two moments stay open, as there is no form that unblocks and waits at once:
 *   asked between the wrapper's look and the system call, some 10 ns, the
 *   thread waits with the wish unserved until it is asked again or woken; and a
 *   signal of the program's that comes between the handler's last look and its
 *   return, some 200 ns, is handled as if it had come before the call.
 * WAIT_TIMED: a timed wait on a semaphore, which ends with EINTR after any
 *   handler. Ours returns with every signal blocked; the wrapper trims and waits
 *   again until the same point in time. Under musl, which may hide the EINTR,
 *   it trims as WAIT_RESTART does.
 *
 * A thread leaves a wait by returning, by cancellation or an exception
 * (unwind.c), or by longjmp(3) out of a handler; all of them take the mark away.
 */
#ifndef AGENT_WAIT_H
#define AGENT_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel.h"
#include "outside.h"
#include "request.h"
#include "resolve.h"

#define EXPORT __attribute__((visibility("default")))

enum wait_class { WAIT_MASK, WAIT_RESTART, WAIT_TIMED };

/* Of each wrapper, without a pointer: nothing to relocate at every exec. */
struct wait_kind {
    char call[24];    /* as a report has it */
    int16_t number;   /* of the system call the thread waits in */
    bool shows_eintr; /* a handler of the program's makes the call fail with EINTR */
    uint8_t class;    /* enum wait_class */
};

struct wait {
    struct wait *outer; /* of a handler that interrupted a wait and waits itself */
    const struct wait_kind *kind;
    const void *caller;
    bool blocked;               /* every signal is blocked; program_mask is to be set again */
    bool muted;                 /* SIGURG alone is blocked */
    bool pushed;                /* onto the cleanup handlers of musl */
    volatile sig_atomic_t ours; /* nothing but our handler has interrupted the wait */
    int error;                  /* errno when the wait began: an EINTR that is not shown leaves no trace */
    uint64_t program_mask;
    void *cleanup[4]; /* musl's struct __ptcb */
};

extern _Thread_local struct wait *volatile wait_current __attribute__((tls_model("initial-exec")));

/* Only under musl, which runs cleanup handlers on top of the frames of a cancelled thread: pthread.h. */
extern void (*wait_cleanup_push)(void *entry, void (*run)(void *), void *argument);
extern void (*wait_cleanup_pop)(void *entry, int run);

/* Set the mask again that the program had. */
void wait_restore(struct wait *wait);

/* What is to be done at the begin of a wait under musl, and at the end of one that is not as it was begun. */
void wait_push(struct wait *wait);
void wait_undo(struct wait *wait);

/* Forget a wait that is left other than by its end. */
void wait_forget(void *wait);

/* Block every signal; false if the kernel refuses (seccomp(2)). */
bool wait_block(struct wait *wait);

/* Block SIGURG until the wait ends. */
void wait_mute(struct wait *wait);

/*
 * Do what is to be done before a wait that has no form with a mask, or when our
 * handler has ended one. fd: what it waits for, or -1. False: a signal of the program's came meanwhile, and errno is
 * EINTR, with which the call has to fail.
 */
bool wait_attend(struct wait *wait, int fd);

static inline __attribute__((always_inline)) void wait_begin_inline(struct wait *wait, const struct wait_kind *kind,
                                                                    const void *caller)
{
    wait->outer = wait_current;
    wait->kind = kind;
    wait->caller = caller;
    wait->blocked = false;
    wait->muted = false;
    wait->pushed = false;
    wait->ours = 0;
    atomic_signal_fence(memory_order_release);
    wait_current = wait;
    if (UNLIKELY(wait_cleanup_push != NULL))
        wait_push(wait);
}

static inline void wait_begin(struct wait *wait, const struct wait_kind *kind, const void *caller)
{
    wait_begin_inline(wait, kind, caller);
}

static inline __attribute__((always_inline)) void wait_end(struct wait *wait)
{
    wait_current = wait->outer;
    if (UNLIKELY(wait->blocked || wait->muted || wait->pushed))
        wait_undo(wait);
}

/*
 * `wait` until the end of the block, which is the wrapper's: by the attribute, or, when the thread is unwound, by the
 * personality of the frame. It is named by hand (0x1b: relative to its place, 4 bytes), for a compiler that is told of
 * exceptions makes code and tables for each wrapper that would never be used.
 */
#define WAIT(kind_pointer) WAIT_BY(wait_begin, kind_pointer)
#define WAIT_BY(begin, kind_pointer)                                                                                   \
    __asm__(".cfi_personality 0x1b, wait_personality");                                                                \
    struct wait wait __attribute__((cleanup(wait_end)));                                                               \
    begin(&wait, (kind_pointer), __builtin_return_address(0))

/* `real`: the function of that name behind ours, NULL if there is none. */
#define REAL_NAMED(name, text)                                                                                         \
    static __typeof__(&name) real; /* any thread finds the same one */                                                 \
    if (UNLIKELY(real == NULL))                                                                                        \
    real = (__typeof__(&name))resolve_next(text)
#define REAL(name) REAL_NAMED(name, #name)

/* The call straight to the kernel, for where there is no such function. */
#define KERNEL6(number, a, b, c, d, e, f)                                                                              \
    kernel_result(kernel_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)))
#define KERNEL5(number, a, b, c, d, e) KERNEL6(number, a, b, c, d, e, 0)
#define KERNEL4(number, a, b, c, d)    KERNEL6(number, a, b, c, d, 0, 0)
#define KERNEL3(number, a, b, c)       KERNEL6(number, a, b, c, 0, 0, 0)
#define KERNEL2(number, a, b)          KERNEL6(number, a, b, 0, 0, 0, 0)

#endif
