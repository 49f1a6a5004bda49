#include "verdict.h"

#include <stdbool.h>

#include "policy/u64.h"

static bool has_figures(const struct verdict_evidence *evidence)
{
    return evidence->held_bytes != VERDICT_NO_FIGURE && evidence->used_bytes != VERDICT_NO_FIGURE &&
           evidence->held_bytes > 0;
}

/*
 * Whether a good part of what the heap holds is free, and resident. An
 * allocator counts as held what trims have returned of the middle of its heap:
 * no more than the RSS is there, and where that is most of what is free, it
 * was not returned.
 */
static bool much_is_free(const struct verdict_evidence *evidence)
{
    uint64_t held = evidence->held_bytes;
    uint64_t used = min_u64(evidence->used_bytes, held);
    uint64_t there = min_u64(held, evidence->rss_bytes);
    uint64_t free = less_u64(there, used);
    return free >= there / 100 * VERDICT_FREE_PCT && free >= (held - used) / 2;
}

/* Less than half of the process is heap. */
static bool most_is_outside(const struct verdict_evidence *evidence)
{
    return evidence->held_bytes < evidence->rss_bytes / 2;
}

enum verdict verdict_of(const struct verdict_evidence *evidence)
{
    bool helps = evidence->worth * 2 >= evidence->trims;
    bool often = evidence->trims >= VERDICT_TRIMS_MIN;
    bool in_vain = !helps && often && has_figures(evidence);
    if (in_vain && !most_is_outside(evidence) && much_is_free(evidence))
        return VERDICT_PINNED;
    if (evidence->shape == TREND_RISING && (often || !helps))
        return VERDICT_GROWTH;
    if (in_vain && most_is_outside(evidence))
        return VERDICT_OUTSIDE;
    return helps && often ? VERDICT_FRAGMENTATION : VERDICT_UNKNOWN;
}

const char *verdict_name(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_FRAGMENTATION:
        return "fragmentation";
    case VERDICT_PINNED:
        return "pinned";
    case VERDICT_GROWTH:
        return "growth";
    case VERDICT_OUTSIDE:
        return "outside";
    case VERDICT_UNKNOWN:
        break;
    }
    return "unknown";
}

const char *verdict_advice(enum verdict verdict, const struct verdict_evidence *evidence)
{
    switch (verdict) {
    case VERDICT_FRAGMENTATION:
        return "trims give it back: nothing to do";
    case VERDICT_PINNED:
        return evidence->other_heap
                   ? "free inside the heap, but trims cannot return it: what is in use lies between; "
                     "[recycle] at bounds it"
                   : "free inside the heap, but trims cannot return it: set [allocator] malloc = jemalloc";
    case VERDICT_GROWTH:
        return "what stays after trims keeps growing, as a leak does: look for it in the program; "
               "[recycle] at bounds it meanwhile";
    case VERDICT_OUTSIDE:
        return "most of it lies outside the heap that trims reach, in use or in a language's own pools: for Python's "
               "small objects set [allocator] pythonmalloc = malloc; [recycle] at bounds it";
    case VERDICT_UNKNOWN:
        break;
    }
    if (evidence->trims == 0 && evidence->shape == TREND_RISING)
        return "it grows, but nothing was trimmed, so that a leak and fragmentation look alike";
    if (evidence->trims < VERDICT_TRIMS_MIN || evidence->shape != TREND_FLAT)
        return "too little was seen to tell";
    return "trims bring little and it no longer grows: most likely it is in use, as a cache is";
}
