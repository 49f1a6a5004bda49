/*
 * System calls without the C library, and the two places where the processor
 * shows: what a signal interrupted, and on which stack to go on.
 *
 * Signal masks here are the kernel's: 64 bits, bit n - 1 for signal n.
 */
#ifndef AGENT_KERNEL_H
#define AGENT_KERNEL_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define SIGNAL_BIT(number) (UINT64_C(1) << ((number)-1))

/* struct sigaction of rt_sigaction(2), to look at only. */
struct kernel_sigaction {
    uintptr_t handler;
    unsigned long flags;
#ifdef __x86_64__
    uintptr_t restorer;
#endif
    uint64_t mask;
};

/* The result as the kernel gives it: -errno on failure. */
static inline long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
#error "the agent knows x86-64 and arm64"
#endif
}

/* The result as the C library gives it: -1 and errno on failure. */
static inline long kernel_result(long result)
{
    if (result >= 0 || result < -4095)
        return result;
    errno = (int)-result;
    return -1;
}

/* rt_sigprocmask(2). */
static inline long kernel_mask(int how, const uint64_t *set, uint64_t *ret_before)
{
    return kernel_call(SYS_rt_sigprocmask, how, (long)set, (long)ret_before, sizeof *set, 0, 0);
}

static inline uint64_t kernel_pending(void)
{
    uint64_t pending = 0;
    (void)kernel_call(SYS_rt_sigpending, (long)&pending, sizeof pending, 0, 0, 0, 0);
    return pending;
}

static inline long kernel_look_at_action(int number, struct kernel_sigaction *ret_action)
{
    return kernel_call(SYS_rt_sigaction, number, 0, (long)ret_action, sizeof ret_action->mask, 0, 0);
}

/* What a handler interrupted, seen from a wait whose frame is at `frame` and whose system call has `number`. */
enum machine_place {
    MACHINE_ELSEWHERE,
    MACHINE_BEFORE, /* at the system call instruction: about to begin, or to begin again */
    MACHINE_AFTER   /* behind it, and it returned EINTR */
};

enum { MACHINE_DEPTH_BYTES = 4096 }; /* the C library needs some 500 from its entry to the system call */

static inline uintptr_t machine_stack(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#else
    return (uintptr_t)context->uc_mcontext.sp;
#endif
}

static inline enum machine_place machine_place(const ucontext_t *context, const void *frame, long number)
{
    uintptr_t stack = machine_stack(context);
    if (stack > (uintptr_t)frame || (uintptr_t)frame - stack > MACHINE_DEPTH_BYTES)
        return MACHINE_ELSEWHERE;
#if defined(__x86_64__)
    const unsigned char *at = (const unsigned char *)context->uc_mcontext.gregs[REG_RIP];
    long long result = context->uc_mcontext.gregs[REG_RAX];
    if (result == number && at[0] == 0x0f && at[1] == 0x05)
        return MACHINE_BEFORE;
    return result == -EINTR && at[-2] == 0x0f && at[-1] == 0x05 ? MACHINE_AFTER : MACHINE_ELSEWHERE;
#else
    enum { SVC_0 = 0xd4000001 };
    const uint32_t *at = (const uint32_t *)context->uc_mcontext.pc;
    if ((long)context->uc_mcontext.regs[8] != number)
        return MACHINE_ELSEWHERE;
    if (at[0] == (uint32_t)SVC_0)
        return MACHINE_BEFORE;
    return (long)context->uc_mcontext.regs[0] == -EINTR && at[-1] == (uint32_t)SVC_0 ? MACHINE_AFTER
                                                                                     : MACHINE_ELSEWHERE;
#endif
}

/* At MACHINE_BEFORE: the call shall fail with EINTR instead. */
static inline void machine_fail(ucontext_t *context)
{
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_RAX] = -EINTR;
    context->uc_mcontext.gregs[REG_RIP] += 2;
#else
    context->uc_mcontext.regs[0] = (unsigned long long)-EINTR;
    context->uc_mcontext.pc += 4;
#endif
}

/* Call run(argument) on another stack, which ends at `end`. */
static inline void machine_run_on(uintptr_t end, void (*run)(void *), void *argument)
{
    end &= ~(uintptr_t)15;
#if defined(__x86_64__)
    __asm__ volatile("mov %%rsp, %%rbx\n\tmov %[end], %%rsp\n\tcall *%[run]\n\tmov %%rbx, %%rsp"
                     : "+D"(argument), [end] "+r"(end), [run] "+r"(run)
                     :
                     : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3",
                       "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15", "cc", "memory");
#else
    register void *x0 __asm__("x0") = argument;
    __asm__ volatile("mov x19, sp\n\tmov sp, %[end]\n\tblr %[run]\n\tmov sp, x19"
                     : "+r"(x0)
                     : [end] "r"(end), [run] "r"(run)
                     : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
                       "x16", "x17", "x18", "x19", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17",
                       "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31",
                       "cc", "memory");
#endif
}

#endif
