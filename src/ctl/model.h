/*
 * How a process uses memory: a pure function of its shape, its past and time.
 * Integers only, so that a seed gives the same run on every machine.
 *
 * Everything is computed when it is asked for: a process that nobody looks at
 * costs nothing.
 */
#ifndef TRIMTAB_CTL_MODEL_H
#define TRIMTAB_CTL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { MODEL_DAY_MINUTES = 1440, MODEL_DAY_MS = 86400000 };

#define MODEL_NEVER UINT64_MAX

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t model_random(uint64_t *state);
/* 0 .. below - 1; below is not 0. */
uint64_t model_random_below(uint64_t *state, uint64_t below);

/* How much work comes: in cycles of busy and quiet, or over the day, or always the same. */
struct model_traffic {
    uint64_t busy_ms;                          /* work comes for so long, */
    uint64_t quiet_ms;                         /* then none for so long; 0: no cycles */
    uint32_t swing_permyriad;                  /* of the mean, that the day's peak is above it; 0: no day */
    uint64_t peak_ms;                          /* time of the day of that peak */
    uint64_t start_ms;                         /* time of the day at time 0 */
    uint64_t worked_ms[MODEL_DAY_MINUTES + 1]; /* filled by model_traffic_init: work from midnight to each minute */
};

void model_traffic_init(struct model_traffic *traffic);
/*
 * Work that has come by now_ms, as ms of the traffic that rates are given for:
 * that of a busy time, or the day's mean. Only differences count; never falls.
 */
uint64_t model_worked_ms(const struct model_traffic *traffic, uint64_t now_ms);

/* What kind of process it is. */
struct model_shape {
    uint64_t base_bytes;       /* held once it has booted */
    uint64_t shared_bytes;     /* of these, pages it has in common with the master that forked it */
    uint64_t unshare_ms;       /* work after which it has written to all of them; 0: never */
    uint64_t boot_ms;          /* from its start until it holds base_bytes */
    uint64_t leak_rate;        /* 1/1000 bytes a second of full traffic, in use and never given back */
    uint64_t cache_bytes;      /* a cache that fills: fast, then slower, then not at all */
    uint64_t cache_ms;         /* until it is full */
    uint64_t fragment_rate;    /* 1/1000 bytes a second of full traffic, free inside the heap but held */
    uint64_t fragment_bytes;   /* at most so many; 0: no bound */
    uint32_t pinned_permyriad; /* of these, that no trim returns */
    uint64_t regrow_ms;        /* what a trim returned is back so long after; 0: only by fragment_rate */
    uint64_t spike_bytes;      /* a request that takes so much, */
    uint64_t spike_every_ms;   /* so often, on average; 0: none */
    uint64_t spike_ms;         /* for so long */
    uint32_t cpu_permille;     /* of one CPU, at full traffic */
    uint64_t drain_ms;         /* from the signal that asks it to end until it does */
    uint64_t replace_ms;       /* from its end until its parent has a new one */
    uint64_t kill_ms;          /* it outlives a KILL for so long (state D) */
    bool handles_trim;         /* has a handler for the trim signal */
    bool handles_recycle;      /* has a handler for the recycle signal */
    bool ignores_recycle;      /* and its handler does nothing */
    uint64_t answer_ms;        /* from the trim to the report of it */
    bool agent;                /* tells what a trim brought, and what its heap holds and uses */
    bool opaque;               /* PSS and USS cannot be read */
};

struct model_process {
    const struct model_shape *shape;
    uint64_t born_ms;
    uint64_t born_worked_ms;   /* the same, in ms worked */
    uint64_t leak_rate;        /* its own */
    uint64_t leak_from_ms;     /* since when, in ms worked */
    uint64_t leaked_bytes;     /* before */
    uint64_t trimmed_ms;       /* when the heap was last trimmed, or born */
    uint64_t fragment_from_ms; /* the same, in ms worked */
    uint64_t pinned_bytes;     /* left by that trim */
    uint64_t trimmed_bytes;    /* returned by that trim */
    uint64_t spike_from_ms;    /* of the current or the next spike */
    uint64_t spike_until_ms;
    uint64_t spike_bytes;
    uint64_t random;
};

struct model_memory {
    uint64_t rss_bytes;
    uint64_t private_bytes; /* its USS */
    uint64_t shared_bytes;  /* still in common with the master */
    uint64_t held_bytes;    /* by its heap */
    uint64_t used_bytes;    /* of these, by the program */
};

void model_begin(struct model_process *process, const struct model_shape *shape, const struct model_traffic *traffic,
                 uint64_t seed, uint64_t now_ms);

/* now_ms may not go back. */
void model_memory(struct model_process *process, const struct model_traffic *traffic, uint64_t now_ms,
                  struct model_memory *ret_memory);

/* CPU time used in its life. */
uint64_t model_cpu_ms(const struct model_process *process, const struct model_traffic *traffic, uint64_t now_ms);

/* It was asked to trim its heap, and did. */
void model_trim(struct model_process *process, const struct model_traffic *traffic, uint64_t now_ms);

void model_set_leak(struct model_process *process, const struct model_traffic *traffic, uint64_t rate, uint64_t now_ms);
void model_spike(struct model_process *process, uint64_t bytes, uint64_t for_ms, uint64_t now_ms);

#endif
