/*
 * What libtrimtab-agent.so is told and what it reports.
 *
 * The library is preloaded (ld.so(8), LD_PRELOAD) into a worker. It is asked by
 * SIGURG sent with kill(2), pidfd_send_signal(2) or the like, and trims when a
 * thread of the worker is about to wait or is waiting in a call of the C
 * library that it wraps. It reports each trim by one datagram.
 *
 * SIGURG because its default is to be ignored (signal(7)): a process that has
 * just been exec'd and has no agent yet is not harmed. The handler is installed
 * only over that default; a program that sets its own keeps it.
 */
#ifndef TRIMTAB_AGENT_H
#define TRIMTAB_AGENT_H

#include <stdint.h>

/* Environment of the worker, read once when it starts. */

/*
 * Where reports go: the path of an AF_UNIX datagram socket, or @name for an
 * abstract one (unix(7)); at most 107 bytes. Unset: trims are not reported.
 */
#define TRIMTAB_AGENT_REPORT_VARIABLE "TRIMTAB_AGENT_REPORT"
/* 1: run Python's garbage collector before the trim, where its state allows that. */
#define TRIMTAB_AGENT_COLLECT_VARIABLE "TRIMTAB_AGENT_COLLECT"

/* Asks that come closer together than this are answered by one trim and one report. */
#define TRIMTAB_AGENT_INTERVAL_MS 200

#define TRIMTAB_AGENT_MAGIC   UINT32_C(0x52415454) /* the bytes TTAR */
#define TRIMTAB_AGENT_VERSION 1
#define TRIMTAB_AGENT_UNKNOWN UINT64_MAX /* of a quantity that could not be found out */

/* Allocators that were trimmed (a set), and the one of them that holds most (a single one, or none). */
enum trimtab_agent_allocator {
    TRIMTAB_AGENT_NONE = 0,
    TRIMTAB_AGENT_GLIBC = 1,
    TRIMTAB_AGENT_JEMALLOC = 2,
    TRIMTAB_AGENT_TCMALLOC = 4,
    TRIMTAB_AGENT_MIMALLOC = 8
};

/*
 * One datagram, little-endian, no padding. A reader takes what it knows of a
 * longer one: later versions only append.
 *
 * pid is what the worker calls itself. The receiver sets SO_PASSCRED and takes
 * the pid of SCM_CREDENTIALS, which the kernel vouches for (unix(7)).
 */
struct trimtab_agent_report {
    uint32_t magic;
    uint16_t version;
    uint16_t size; /* bytes of the datagram */
    uint32_t pid;
    uint32_t tid;              /* the thread that trimmed */
    uint16_t allocators;       /* trimmed: set of enum trimtab_agent_allocator */
    uint16_t allocator;        /* the one that holds most; held, used and free are its own */
    uint32_t collected;        /* 1: Python's collector was run */
    uint64_t rss_before_bytes; /* of the process, /proc/self/statm */
    uint64_t rss_after_bytes;  /* the same after the trim */
    uint64_t held_bytes;       /* what the allocator has from the kernel, after the trim */
    uint64_t used_bytes;       /* of that: what the program has allocated */
    uint64_t free_bytes;       /* of that: free in the allocator, not returned */
    uint64_t took_ns;          /* the trim, with the collection */
    uint64_t collect_ns;       /* of that: the collection */
    uint64_t delay_ns;         /* from the signal to the begin of the trim */
    char where[24];            /* the call the thread was in, padded with 0 */
};

_Static_assert(sizeof(struct trimtab_agent_report) == 112, "the report has no padding");

#endif
