#include "python.h"

#include <stddef.h>

#include "resolve.h"
#include "wait.h"

static bool wanted;

/* Documentation: "Thread State and the Global Interpreter Lock" and "Supporting Cyclic Garbage Collection". */
static struct {
    int (*is_initialized)(void);
    int (*is_finalizing)(void);
    void *(*this_thread)(void);
    int (*holds_lock)(void);
    int (*ensure)(void);
    void (*release)(int state);
    ptrdiff_t (*collect)(void);
} python;

void python_start(bool collect)
{
    wanted = collect;
}

void python_find(void)
{
    if (!wanted)
        return;
    python.is_initialized = (int (*)(void))resolve_any("Py_IsInitialized", NULL);
    python.is_finalizing = (int (*)(void))resolve_any("Py_IsFinalizing", NULL); /* since 3.13 */
    if (python.is_finalizing == NULL)
        python.is_finalizing = (int (*)(void))resolve_any("_Py_IsFinalizing", NULL);
    python.this_thread = (void *(*)(void))resolve_any("PyGILState_GetThisThreadState", NULL);
    python.holds_lock = (int (*)(void))resolve_any("PyGILState_Check", NULL);
    python.ensure = (int (*)(void))resolve_any("PyGILState_Ensure", NULL);
    python.release = (void (*)(int))resolve_any("PyGILState_Release", NULL);
    python.collect = (ptrdiff_t(*)(void))resolve_any("PyGC_Collect", NULL);
}

/* The interpreter's lock is itself a condition: a thread that waits for it holds the mutex that we would ask for. */
static bool waits_for_thread(void)
{
    const struct wait *wait = wait_current;
    return wait == NULL || (wait->kind->class == WAIT_RESTART && wait->kind->number == SYS_futex);
}

uint32_t python_collect(void)
{
    if (python.is_initialized == NULL || python.is_finalizing == NULL || python.this_thread == NULL ||
        python.holds_lock == NULL || python.ensure == NULL || python.release == NULL || python.collect == NULL)
        return 0;
    if (waits_for_thread() || !python.is_initialized() || python.is_finalizing() || python.this_thread() == NULL ||
        python.holds_lock())
        return 0;
    int state = python.ensure();
    (void)python.collect();
    python.release(state);
    return 1;
}
