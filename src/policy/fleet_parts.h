/*
 * What the parts of the fleet share: fleet.c keeps the table and the look,
 * trim.c and recycle.c decide. Nobody else includes this.
 */
#ifndef TRIMTAB_POLICY_FLEET_PARTS_H
#define TRIMTAB_POLICY_FLEET_PARTS_H

#include "policy/fleet.h"
#include "policy/u64.h"

/* bytes * permyriad / 10000 without overflow. */
static inline uint64_t share_of(uint64_t bytes, uint32_t permyriad)
{
    return bytes / 10000 * permyriad + bytes % 10000 * permyriad / 10000;
}

static inline struct fleet_decision fleet_nothing(void)
{
    return (struct fleet_decision){ .action = FLEET_NONE };
}

/* ---- fleet.c ---- */

/* Watched, and read in this look. Nothing is begun with one that is as large as nobody knows. */
bool fleet_sees(const struct fleet *fleet, const struct fleet_process *process);

void fleet_wish_look(struct fleet *fleet, uint64_t at_ms);

/* When what grows at this rate may have reached its line, with as much time again to spare. */
void fleet_wish_look_before(struct fleet *fleet, uint64_t bytes, uint64_t line, uint64_t rate);

/* A sample at or above a line counts if it is a pace later than the one before. */
void fleet_count_over(struct fleet *fleet, uint16_t *over, uint64_t *counted_ms);

/* To the container's limit, at the robust rate of its growth. */
uint64_t fleet_eta_ms(const struct fleet *fleet);

/* The lowest line that it has: its own for trims, else that of its recycle, before which a trim is tried. 0: none. */
uint64_t fleet_first_line(const struct fleet *fleet, const struct fleet_process *process);

/* Whether the budget of exact measures allows one now. */
bool fleet_may_measure(const struct fleet *fleet);
struct fleet_decision fleet_measure(struct fleet *fleet, uint16_t slot, enum fleet_reason reason);

/* ---- trim.c ---- */

/* Grown since its last trim by what is worth another. */
bool trim_is_worth(const struct fleet *fleet, const struct fleet_process *process);
bool trim_is_worth_at(const struct fleet *fleet, const struct fleet_process *process, uint64_t rss_bytes);

/* What the new sample means for trims: idleness, a picture that changed. */
void trim_note(struct fleet *fleet, struct fleet_process *process, uint64_t cpu_ms);

struct fleet_decision trim_if_due(struct fleet *fleet, uint16_t slot);
struct fleet_decision trim_judge(struct fleet *fleet, uint16_t slot);

/* One trim for the container's sake, if that is over its line or under pressure. */
struct fleet_decision trim_for_container(struct fleet *fleet);

/* A process that trims and could not be read in this look: what its trim brought is not known. */
void trim_unseen(struct fleet *fleet, struct fleet_process *process);

/* The trim is over, or there was none: leave the state. */
void trim_end(struct fleet *fleet, struct fleet_process *process);

/* Think again about what is the matter with the process. */
void trim_review(struct fleet *fleet, struct fleet_process *process);

/* A verdict that is to be said. */
struct fleet_decision trim_verdict(struct fleet *fleet);

/* ---- recycle.c ---- */

/* A process that came takes the place of one that was recycled. */
struct fleet_decision recycle_take_place(struct fleet *fleet, uint16_t slot, uint64_t now_ms);

/* A process has gone: from now on its replacement is awaited. */
void recycle_gone(struct fleet *fleet, uint16_t slot, uint64_t now_ms);

/* Whether the process is a candidate now. */
void recycle_consider(struct fleet *fleet, uint16_t slot);
struct fleet_decision recycle_kill_if_late(struct fleet *fleet, uint16_t slot);

/* The next recycle, for a process's own size or for the container. */
struct fleet_decision recycle_next(struct fleet *fleet);

#endif
