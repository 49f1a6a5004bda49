#include "target.h"

void target_init(struct target *target, enum target_mode mode)
{
    *target = (struct target){ .mode = mode };
}

bool target_learn(struct target *target, const struct target_facts *facts)
{
    if (target->mode != TARGET_AUTO || target->pooled || !facts->is_child || !facts->same_executable)
        return false;
    target->pooled = true;
    return true;
}

bool target_counts(const struct target *target, const struct target_facts *facts)
{
    if (facts->excluded || !facts->matched)
        return false;
    switch (target->mode) {
    case TARGET_WORKER:
        return facts->is_worker;
    case TARGET_CHILDREN:
        return facts->is_child;
    case TARGET_TREE:
        return true;
    case TARGET_AUTO:
        return target->pooled ? facts->is_child && facts->same_executable : facts->is_worker;
    }
    return false;
}
