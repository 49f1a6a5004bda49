/*
 * The ways out of a wrapper other than its end.
 *
 * glibc cancels a thread by unwinding its stack, C++ throws through it: for
 * each frame the unwinder calls its personality (wait.h, WAIT). Whatever the
 * frame, the thread leaves its innermost wait.
 */
#include <setjmp.h>

#include "wait.h"

enum { UNWIND_CLEANUP_PHASE = 2, UNWIND_CONTINUE = 8 }; /* Itanium C++ ABI: Exception Handling, 1.2 and 1.6 */

int wait_personality(int version, int actions, uint64_t class, void *exception, void *context);

int wait_personality(int version, int actions, uint64_t class, void *exception, void *context)
{
    (void)version;
    (void)class;
    (void)exception;
    (void)context;
    if ((actions & UNWIND_CLEANUP_PHASE) != 0 && wait_current != NULL)
        wait_forget(wait_current);
    return UNWIND_CONTINUE;
}

/*
 * longjmp(3) out of a handler that interrupted a wait. When the jump stays
 * within the handler, the wait goes on without its mark, and is not asked to
 * trim any more. The mask is the program's there, but for SIGURG.
 */
static void leave(void)
{
    struct wait *wait = wait_current;
    if (wait == NULL)
        return;
    wait_current = NULL;
    if (wait->muted && !wait->blocked)
        wait_restore(wait);
}

typedef void jump(struct __jmp_buf_tag *, int);

#define JUMP(name)                                                                                                     \
    EXPORT _Noreturn void name(struct __jmp_buf_tag buffer[1], int value);                                             \
    EXPORT _Noreturn void name(struct __jmp_buf_tag buffer[1], int value)                                              \
    {                                                                                                                  \
        static jump *real;                                                                                             \
        if (real == NULL)                                                                                              \
            real = (jump *)resolve_next(#name);                                                                        \
        leave();                                                                                                       \
        if (real != NULL)                                                                                              \
            real(buffer, value);                                                                                       \
        __builtin_trap();                                                                                              \
    }

JUMP(longjmp)
JUMP(_longjmp)
JUMP(siglongjmp)
JUMP(__longjmp_chk)
