#include "request.h"

#include <unistd.h>

#include "fork.h"
#include "kernel.h"
#include "limit.h"
#include "outside.h"
#include "resolve.h"
#include "trim.h"
#include "trimtab/agent.h"
#include "wait.h"

enum {
    STORM_SIGNALS = 20, /* in one second */
    HANDLER_STACK_BYTES = 32 << 10,
    RED_ZONE_BYTES = 256 /* at least what the ABI lets a function use below its stack pointer */
};
#define INTERVAL_NS (TRIMTAB_AGENT_INTERVAL_MS * INT64_C(1000000))

atomic_uint request_attention;
bool request_active;

static atomic_bool trimming;      /* one thread at a time */
static _Atomic int64_t asked_ns;  /* when the oldest signal came that is not served */
static _Atomic int64_t served_ns; /* when the last trim began */
static _Atomic int64_t count_ns;  /* begin of the second in which signals are counted */
static atomic_uint count;
static uint64_t all_signals;
static bool under_musl;
static long process; /* our pid: not that of a child of vfork(2), which has our memory */

int64_t request_now_ns(void)
{
    struct timespec now = { 0 };
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * LIMIT_SECOND_NS + now.tv_nsec;
}

uint64_t request_all_signals(void)
{
    return all_signals;
}

bool request_under_musl(void)
{
    return under_musl;
}

bool request_interrupted(uint64_t mask, bool restarts)
{
    uint64_t waiting = kernel_pending() & ~mask;
    for (int number = 1; waiting != 0 && number <= 64; number++) {
        struct kernel_sigaction action = { 0 };
        if ((waiting & SIGNAL_BIT(number)) == 0 || number == SIGURG || kernel_look_at_action(number, &action) < 0)
            continue;
        bool handled = action.handler != (uintptr_t)SIG_DFL && action.handler != (uintptr_t)SIG_IGN;
        if (handled && (restarts || (action.flags & SA_RESTART) == 0))
            return true;
    }
    return false;
}

bool request_in_storm(void)
{
    if (request_now_ns() - atomic_load(&count_ns) <= LIMIT_SECOND_NS)
        return true;
    (void)atomic_fetch_and(&request_attention, ~(unsigned)REQUEST_STORM);
    return false;
}

/* Whether this signal is one of too many. */
static bool count_signal(int64_t now_ns)
{
    if (now_ns - atomic_load(&count_ns) > LIMIT_SECOND_NS) {
        atomic_store(&count_ns, now_ns);
        atomic_store(&count, 0);
    }
    if (atomic_fetch_add(&count, 1) < STORM_SIGNALS)
        return false;
    atomic_store(&count_ns, now_ns); /* it is over a second after its last signal */
    (void)atomic_fetch_or(&request_attention, REQUEST_STORM);
    return true;
}

static void note(int64_t now_ns)
{
    if ((atomic_load(&request_attention) & REQUEST_TRIM) != 0)
        return;
    atomic_store(&asked_ns, now_ns);
    (void)atomic_fetch_or(&request_attention, REQUEST_TRIM);
}

void request_note(void)
{
    note(request_now_ns());
}

static void serve(const struct wait *wait, bool in_handler)
{
    if (atomic_exchange(&trimming, true)) /* the wish is kept for the next wait */
        return;
    if (!in_handler)
        fork_do_chore();
    if ((atomic_fetch_and(&request_attention, ~(unsigned)REQUEST_TRIM) & REQUEST_TRIM) != 0) {
        int64_t now_ns = request_now_ns();
        int64_t last_ns = atomic_load(&served_ns);
        if (last_ns == 0 || now_ns - last_ns >= INTERVAL_NS) {
            atomic_store(&served_ns, now_ns);
            struct trim_request request = { .where = wait->kind->call,
                                            .caller = wait->caller,
                                            .begin_ns = now_ns,
                                            .delay_ns = now_ns - atomic_load(&asked_ns),
                                            .in_handler = in_handler };
            trim_run(&request);
        }
    }
    atomic_store(&trimming, false);
}

void request_serve(const struct wait *wait)
{
    serve(wait, false);
}

static void serve_in_handler(void *wait)
{
    serve(wait, true);
}

/*
 * A small alternate stack is no place for an allocator: the trim then runs on
 * the stack of the wait, below it.
 */
static void serve_interrupted(const ucontext_t *context, struct wait *wait)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t low = (uintptr_t)context->uc_stack.ss_sp;
    uintptr_t high = low + context->uc_stack.ss_size;
    bool here_on_it = low != 0 && here >= low && here < high;
    bool wait_on_it = machine_stack(context) >= low && machine_stack(context) < high;
    if (here_on_it && !wait_on_it)
        machine_run_on(machine_stack(context) - RED_ZONE_BYTES, serve_in_handler, wait);
    else if (!here_on_it || here - low > HANDLER_STACK_BYTES)
        serve_in_handler(wait);
}

/* The kernel's mask in the context: the first 64 bits. */
static uint64_t context_mask(const ucontext_t *context)
{
    uint64_t mask;
    memcpy(&mask, &context->uc_sigmask, sizeof mask);
    return mask;
}

static void interrupted(ucontext_t *context, struct wait *wait, bool storm)
{
    const struct wait_kind *kind = wait->kind;
    enum machine_place place = machine_place(context, wait, kind->number);
    /* EINTR of a call that our handler does not interrupt is the program's own. */
    if (place == MACHINE_ELSEWHERE || (place == MACHINE_AFTER && kind->shows_eintr && kind->class == WAIT_RESTART))
        return;
    uint64_t mask = context_mask(context);
    if (place == MACHINE_AFTER && kind->class == WAIT_TIMED && !under_musl) {
        uint64_t blocked = mask | all_signals;
        wait->program_mask = mask;
        wait->blocked = true;
        wait->ours = 1;
        memcpy(&context->uc_sigmask, &blocked, sizeof blocked);
        return;
    }
    if ((atomic_load(&request_attention) & REQUEST_TRIM) != 0)
        serve_interrupted(context, wait);
    if (place == MACHINE_AFTER)
        wait->ours = !request_interrupted(mask, true);
    else if (kind->shows_eintr && request_interrupted(mask, kind->class == WAIT_TIMED))
        machine_fail(context);
    if (storm) {
        mask |= SIGNAL_BIT(SIGURG);
        memcpy(&context->uc_sigmask, &mask, sizeof mask);
        wait->muted = true;
    }
}

static void handle(int number, siginfo_t *info, void *argument)
{
    (void)number;
    int error = errno;
    struct wait *wait = wait_current;
    ucontext_t *context = argument;
    if (kernel_call(SYS_getpid, 0, 0, 0, 0, 0, 0) == process) {
        bool storm = false;
        if (info->si_code <= 0) { /* sent by a process; the kernel's own is about urgent data of a socket */
            int64_t now_ns = request_now_ns();
            storm = count_signal(now_ns);
            note(now_ns);
        }
        if (wait != NULL && wait->kind->class != WAIT_MASK)
            interrupted(context, wait, storm);
        /*
         * With every signal blocked, the mask to be set again has SIGURG: only in the wait itself it was not blocked.
         * Before that the wrapper only tries the call.
         */
        else if (wait != NULL && (!wait->blocked || (context_mask(context) & SIGNAL_BIT(SIGURG)) != 0))
            wait->ours = 1;
    }
    errno = error;
}

bool request_is_ours(void)
{
    struct kernel_sigaction action = { 0 };
    return kernel_look_at_action(SIGURG, &action) == 0 && action.handler == (uintptr_t)handle;
}

void request_stop(void)
{
    const struct sigaction action = { .sa_handler = SIG_DFL };
    request_active = false;
    if (request_is_ours())
        (void)sigaction(SIGURG, &action, NULL);
}

void request_forget(void)
{
    process = kernel_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    (void)atomic_fetch_and(&request_attention, ~(unsigned)(REQUEST_TRIM | REQUEST_STORM));
    atomic_store(&trimming, false);
}

static uint64_t find_all_signals(void)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    uint64_t set = ~(SIGNAL_BIT(32) | SIGNAL_BIT(33)); /* cancellation and set*id(2) of threads, in both C libraries */
    if (under_musl)
        set &= ~SIGNAL_BIT(34); /* musl has one more */
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        set &= ~SIGNAL_BIT(faults[i]);
    return set;
}

void request_start(void)
{
    struct kernel_sigaction now = { 0 };
    struct sigaction action = { 0 };
    under_musl = resolve_any("gnu_get_libc_version", NULL) == NULL;
    all_signals = find_all_signals();
    request_forget();
    if (sigaction == NULL || clock_gettime == NULL || kernel_look_at_action(SIGURG, &now) < 0 ||
        now.handler != (uintptr_t)SIG_DFL)
        return;
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    memcpy(&action.sa_mask, &all_signals, sizeof all_signals);
    request_active = sigaction(SIGURG, &action, NULL) == 0;
}
