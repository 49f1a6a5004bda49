#include "trim.h"

#include <malloc.h>
#include <stddef.h>

#include "kernel.h"
#include "outside.h"
#include "python.h"
#include "report.h"
#include "request.h"
#include "resolve.h"

typedef int (*mallctl_function)(const char *name, void *old, size_t *old_size, void *new, size_t new_size);

enum { JEMALLOCS = 3 };

static struct {
    unsigned long long generation;
    bool found;
    int (*malloc_trim)(size_t pad);
    struct mallinfo2 (*mallinfo2)(void);
    mallctl_function mallctl[JEMALLOCS];
    void (*tcmalloc_release)(void);
    int (*tcmalloc_property)(const char *name, size_t *value);
    void (*mimalloc_collect)(bool force);
    void (*mimalloc_process)(size_t *, size_t *, size_t *, size_t *, size_t *, size_t *, size_t *, size_t *);
    struct resolve_object own[JEMALLOCS + 2]; /* where the allocators are that may call what we wrap */
} with;

/* Its object, unless it is the program itself: then the callers are the program's. */
static void *find(const char *name, struct resolve_object *ret_object)
{
    struct resolve_object object = { 0 };
    void *function = resolve_any(name, &object);
    *ret_object = function != NULL && !object.main ? object : (struct resolve_object){ 0 };
    return function;
}

void trim_find(void)
{
    static const char *const names[JEMALLOCS] = { "mallctl", "je_mallctl", "_rjem_mallctl" };
    unsigned long long generation = resolve_generation();
    if (with.found && generation == with.generation && generation != 0)
        return;
    with.generation = generation;
    with.malloc_trim = (int (*)(size_t))resolve_any("malloc_trim", NULL);
    with.mallinfo2 = (struct mallinfo2(*)(void))resolve_any("mallinfo2", NULL);
    for (int i = 0; i < JEMALLOCS; i++)
        with.mallctl[i] = (mallctl_function)find(names[i], &with.own[i]);
    with.tcmalloc_release = (void (*)(void))find("MallocExtension_ReleaseFreeMemory", &with.own[JEMALLOCS]);
    with.tcmalloc_property = (int (*)(const char *, size_t *))resolve_any("MallocExtension_GetNumericProperty", NULL);
    with.mimalloc_collect = (void (*)(bool))find("mi_collect", &with.own[JEMALLOCS + 1]);
    with.mimalloc_process = (void (*)(size_t *, size_t *, size_t *, size_t *, size_t *, size_t *, size_t *,
                                      size_t *))resolve_any("mi_process_info", NULL);
    python_find();
    with.found = true;
}

/* An allocator that waits, for a lock or when it reads from /proc, may hold its own locks. */
static bool is_own(const void *caller)
{
    for (size_t i = 0; i < sizeof with.own / sizeof with.own[0]; i++) {
        if ((uintptr_t)caller >= with.own[i].begin && (uintptr_t)caller < with.own[i].end)
            return true;
    }
    return false;
}

static uint64_t mallctl_size(mallctl_function mallctl, const char *name)
{
    size_t value = 0;
    size_t size = sizeof value;
    return mallctl(name, &value, &size, NULL, 0) == 0 ? value : TRIMTAB_AGENT_UNKNOWN;
}

/* jemalloc 5 has a number for all arenas; before, it was the number of arenas. */
static void purge(mallctl_function mallctl)
{
    char name[] = "arena.4294967295.purge";
    unsigned arenas = 0;
    size_t size = sizeof arenas;
    (void)mallctl("thread.tcache.flush", NULL, NULL, NULL, 0); /* refused where there is none */
    if (mallctl("arena.4096.purge", NULL, NULL, NULL, 0) == 0 ||
        mallctl("arenas.narenas", &arenas, &size, NULL, 0) != 0)
        return;
    char digits[10];
    size_t count = 0;
    size_t at = sizeof "arena." - 1;
    do
        digits[count++] = (char)('0' + arenas % 10);
    while ((arenas /= 10) != 0);
    while (count > 0)
        name[at++] = digits[--count];
    static const char end[] = ".purge";
    for (size_t i = 0; i < sizeof end; i++)
        name[at++] = end[i];
    (void)mallctl(name, NULL, NULL, NULL, 0);
}

/* The report is about the allocator that holds most. */
static void account(struct trimtab_agent_report *report, enum trimtab_agent_allocator allocator, uint64_t held,
                    uint64_t used)
{
    report->allocators = (uint16_t)(report->allocators | allocator);
    bool more =
        report->held_bytes == TRIMTAB_AGENT_UNKNOWN || (held != TRIMTAB_AGENT_UNKNOWN && held > report->held_bytes);
    if (report->allocator != TRIMTAB_AGENT_NONE && !more)
        return;
    bool known = held != TRIMTAB_AGENT_UNKNOWN && used != TRIMTAB_AGENT_UNKNOWN;
    report->allocator = (uint16_t)allocator;
    report->held_bytes = held;
    report->used_bytes = used;
    report->free_bytes = !known ? TRIMTAB_AGENT_UNKNOWN : held > used ? held - used : 0;
}

static void trim_jemalloc(struct trimtab_agent_report *report)
{
    for (int i = 0; i < JEMALLOCS; i++) {
        mallctl_function mallctl = with.mallctl[i];
        uint64_t epoch = 1;
        if (mallctl == NULL)
            continue;
        purge(mallctl);
        (void)mallctl("epoch", NULL, NULL, &epoch, sizeof epoch); /* take the statistics anew */
        account(report, TRIMTAB_AGENT_JEMALLOC, mallctl_size(mallctl, "stats.resident"),
                mallctl_size(mallctl, "stats.allocated"));
    }
}

static void trim_tcmalloc(struct trimtab_agent_report *report)
{
    size_t heap = 0;
    size_t unmapped = 0;
    size_t used = 0;
    if (with.tcmalloc_release == NULL)
        return;
    with.tcmalloc_release();
    bool known = with.tcmalloc_property != NULL && with.tcmalloc_property("generic.heap_size", &heap) &&
                 with.tcmalloc_property("tcmalloc.pageheap_unmapped_bytes", &unmapped) &&
                 with.tcmalloc_property("generic.current_allocated_bytes", &used);
    account(report, TRIMTAB_AGENT_TCMALLOC, known ? heap - unmapped : TRIMTAB_AGENT_UNKNOWN,
            known ? used : TRIMTAB_AGENT_UNKNOWN);
}

static void trim_mimalloc(struct trimtab_agent_report *report)
{
    size_t ignored;
    size_t committed = 0;
    if (with.mimalloc_collect == NULL)
        return;
    with.mimalloc_collect(true);
    if (with.mimalloc_process != NULL)
        with.mimalloc_process(&ignored, &ignored, &ignored, &ignored, &ignored, &committed, &ignored, &ignored);
    account(report, TRIMTAB_AGENT_MIMALLOC, with.mimalloc_process != NULL ? committed : TRIMTAB_AGENT_UNKNOWN,
            TRIMTAB_AGENT_UNKNOWN);
}

static void trim_glibc(struct trimtab_agent_report *report)
{
    if (with.malloc_trim == NULL)
        return;
    (void)with.malloc_trim(0);
    if (with.mallinfo2 == NULL) {
        account(report, TRIMTAB_AGENT_GLIBC, TRIMTAB_AGENT_UNKNOWN, TRIMTAB_AGENT_UNKNOWN);
        return;
    }
    struct mallinfo2 info = with.mallinfo2();
    account(report, TRIMTAB_AGENT_GLIBC, info.arena + info.hblkhd, info.uordblks + info.hblkhd);
}

void trim_run(const struct trim_request *request)
{
    struct trimtab_agent_report report;
    if (!request->in_handler)
        trim_find();
    if (!with.found || is_own(request->caller))
        return;
    report_begin(&report, request);
    if (!request->in_handler) {
        report.collected = python_collect();
        report.collect_ns = report.collected != 0 ? (uint64_t)(request_now_ns() - request->begin_ns) : 0;
    }
    trim_jemalloc(&report);
    trim_tcmalloc(&report);
    trim_mimalloc(&report);
    trim_glibc(&report);
    report_end(&report, request);
}

void trim_start_background(void)
{
    trim_find();
    for (int i = 0; i < JEMALLOCS; i++) {
        bool on = true;
        if (with.mallctl[i] != NULL)
            (void)with.mallctl[i]("background_thread", NULL, NULL, &on, sizeof on);
    }
}
