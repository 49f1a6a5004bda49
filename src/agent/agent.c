/*
 * The beginning: what the environment says, and the handler.
 */
#include "trimtab/agent.h"
#include "fork.h"
#include "outside.h"
#include "python.h"
#include "report.h"
#include "request.h"
#include "resolve.h"
#include "trim.h"
#include "wait.h"

/* musl runs the cleanup handlers of a cancelled thread without unwinding; glibc unwinds (unwind.c). */
static void find_cleanup(void)
{
    if (!request_under_musl())
        return;
    void (*push)(void *, void (*)(void *), void *) =
        (void (*)(void *, void (*)(void *), void *))resolve_any("_pthread_cleanup_push", NULL);
    void (*pop)(void *, int) = (void (*)(void *, int))resolve_any("_pthread_cleanup_pop", NULL);
    if (push != NULL && pop != NULL) {
        wait_cleanup_pop = pop;
        wait_cleanup_push = push;
    }
}

__attribute__((constructor)) static void start(void)
{
    if (getenv == NULL)
        return;
    const char *collect = getenv(TRIMTAB_AGENT_COLLECT_VARIABLE);
    report_start(getenv(TRIMTAB_AGENT_REPORT_VARIABLE));
    python_start(collect != NULL && collect[0] == '1' && collect[1] == '\0');
    trim_find();
    fork_start(getenv("MALLOC_CONF"));
    request_start();
    find_cleanup();
}
