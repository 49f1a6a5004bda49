/*
 * The policy core over recorded looks: what trimtab would have decided, had
 * it looked when the recording did. What src/watch.c does with /proc is done
 * here with rows; a recording does not change, so decisions are as in a dry
 * run.
 */
#ifndef TRIMTAB_CTL_REPLAY_H
#define TRIMTAB_CTL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/policy.h"
#include "ctl/report.h"
#include "ctl/trace_file.h"
#include "policy/fleet.h"
#include "policy/target.h"

enum {
    REPLAY_LIVE_MAX = 2 * TRACE_LOOK_MAX, /* processes of one look and of the one before */
    REPLAY_ADMIT_MS = 1000,               /* a younger process may be a fork on its way to exec, as in watch.h */
    REPLAY_PRESSURE_MAX = 64
};

#define REPLAY_NO_SLOT (-1)

/* A process that was in the last look. */
struct replay_live {
    struct report_process *seen;
    const struct trace_row *row; /* in the current look */
    struct target_facts facts;
    int32_t pid;
    int slot;      /* in the fleet, or REPLAY_NO_SLOT */
    bool nameless; /* counted as such */
    bool no_room;  /* the fleet had none for it */
    uint64_t look;
    uint64_t pss_bytes, uss_bytes;   /* as last read, or TRACE_UNKNOWN */
    char command[TRACE_COMMAND_MAX]; /* as last told; empty: not recorded */
};

struct replay_counts {
    uint64_t duplicates; /* rows of a process that the look had already */
    uint64_t orphans;    /* processes whose parent is in no row */
    uint64_t unwatched;  /* processes for which the fleet had no room */
    uint64_t nameless;   /* processes that patterns were held against without a command line */
    uint64_t unmeasured; /* exact measures that were asked for and are not in the recording */
};

/* Large: on the heap. */
struct replay {
    struct policy *policy;
    struct report *report;
    struct fleet fleet;
    struct target target;
    struct replay_live *worker; /* NULL: none in the last look */
    bool had_worker;            /* in any look */
    uint64_t looks, base_ms, now_ms, next_look_ms, limit_bytes, oom_kill;
    struct {
        uint64_t at_ms, total_us;
    } pressure[REPLAY_PRESSURE_MAX]; /* the last looks, a ring */
    uint32_t pressures;
    struct replay_counts counts;
    struct replay_live *live[REPLAY_LIVE_MAX];
    uint32_t live_count;
    struct replay_live *by_slot[FLEET_MAX];
    char error[512];
};

/* replay: zeroed. policy and report must outlive it. */
void replay_init(struct replay *replay, struct policy *policy, struct report *report, uint64_t seed);
void replay_close(struct replay *replay);

/* One look of the recording. 0, or -1 with replay->error. */
int replay_look(struct replay *replay, const struct trace_look *look);

/* No more looks: what is known of those that are left goes to the report. */
void replay_end(struct replay *replay);

#endif
