/*
 * Watching a tree of processes and writing down what is seen, one row a
 * process and look (trace.h). Nothing is asked of the processes, and no
 * privilege is needed for those of one's own user; what may not be read stays
 * empty.
 */
#ifndef TRIMTAB_CTL_RECORD_H
#define TRIMTAB_CTL_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/trace.h"
#include "os/cgroup.h"
#include "os/process.h"

enum {
    RECORD_EXACT_PERMILLE = 10,     /* of one CPU: what PSS and USS may cost */
    RECORD_EXACT_SAVED_US = 200000, /* and so much at once, after a time without */
    RECORD_LINE_SIZE = 1024         /* of a row */
};

/* A process that was in the last look. */
struct record_known {
    struct process process;
    int64_t start_ms;
    bool seen;     /* in this look */
    char *command; /* as written last; NULL: never */
};

/* Large: on the heap. */
struct record {
    int fd;           /* rows go there */
    int64_t size;     /* of what was written, whole lines */
    pid_t root;       /* the tree is it and its descendants */
    bool is_init;     /* root is an init, trimtab or another: its oldest child is the worker, and it has no row */
    bool exact;       /* PSS and USS too */
    bool commands;    /* and command lines */
    bool same_cgroup; /* the container's columns are of the tree; else they stay empty */
    pid_t worker;     /* 0: none now */
    uint64_t begin_ms;
    int64_t exact_us;                     /* what may be spent on exact measures now */
    uint64_t exact_at_us;                 /* when that was reckoned */
    pid_t exact_after;                    /* whose turn it was last; 0: a new round */
    int pressure_fd;                      /* or -1 */
    struct process_executable executable; /* the worker's */
    bool executable_known;
    struct cgroup cgroup;
    struct trace_container container;
    struct process_list list;
    struct record_known *known; /* by pid */
    uint32_t known_count, known_room;
    char *text; /* rows of this look */
    size_t text_used, text_room;
    uint64_t looks, rows;
    uint64_t unread; /* rows that could not be made, for want of descriptors or rights */
    bool cut;        /* more processes than PROCESS_LIST_MAX */
};

/* root: 0 is PID 1. fd stays the caller's. exact and commands are set afterwards. 0 or -errno; -ESRCH: no such process. */
int record_open(struct record *record, pid_t root, int fd);
void record_close(struct record *record);

/*
 * One look. 0; -ESRCH: the tree has ended, nothing was written; -errno of the
 * writing: the file then ends in a whole line where that can be had.
 */
int record_look(struct record *record);

#endif
