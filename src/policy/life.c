#include "life.h"

#include "policy/u64.h"

void life_init(struct life *life, const struct life_config *config)
{
    *life = (struct life){
        .config = *config,
        .state = LIFE_DOWN,
        .restart_at_ms = LIFE_NEVER,
        .kill_at_ms = LIFE_NEVER,
        .delay_ms = config->restart_delay_ms,
    };
}

void life_started(struct life *life, uint64_t now_ms)
{
    life->state = LIFE_UP;
    life->recycling = false;
    life->up_since_ms = now_ms;
    life->restart_at_ms = LIFE_NEVER;
}

static void restart_after_delay(struct life *life, uint64_t now_ms)
{
    life->state = LIFE_DOWN;
    life->restart_at_ms = now_ms + life->delay_ms;
    life->delay_ms = min_u64(life->delay_ms * 2, LIFE_DELAY_MAX_MS);
}

void life_start_failed(struct life *life, uint64_t now_ms)
{
    restart_after_delay(life, now_ms);
}

void life_recycle(struct life *life)
{
    life->recycling = true;
}

/* There is no worker and there will be none: wait for the rest, or go. */
static enum life_action drain(struct life *life)
{
    if (life->config.wait_all || (life->stopping && life->config.stop_grace_ms > 0)) {
        life->state = LIFE_DRAINING;
        return life->stopping ? LIFE_STOP_REST : LIFE_NONE;
    }
    life->state = LIFE_OVER;
    return LIFE_LEAVE;
}

enum life_action life_stop(struct life *life, uint64_t now_ms)
{
    if (!life->stopping) {
        life->stopping = true;
        if (life->config.stop_grace_ms > 0)
            life->kill_at_ms = now_ms + life->config.stop_grace_ms;
    }
    switch (life->state) {
    case LIFE_UP:
        return LIFE_WAKE;
    case LIFE_DOWN:
        life->restart_at_ms = LIFE_NEVER;
        return drain(life);
    case LIFE_DRAINING:
        return LIFE_STOP_REST;
    case LIFE_OVER:
        break;
    }
    return LIFE_NONE;
}

enum life_action life_child_changed(const struct life *life)
{
    return life->stopping && life->state == LIFE_UP ? LIFE_WAKE : LIFE_NONE;
}

static bool wants_restart(const struct life *life, bool failed)
{
    if (life->stopping)
        return false;
    switch (life->config.restart) {
    case LIFE_RESTART_NEVER:
        return false;
    case LIFE_RESTART_RECYCLED:
        return life->recycling;
    case LIFE_RESTART_FAILED:
        return life->recycling || failed;
    case LIFE_RESTART_ALWAYS:
        return true;
    }
    return false;
}

enum life_action life_worker_gone(struct life *life, bool failed, uint64_t now_ms)
{
    if (!wants_restart(life, failed))
        return drain(life);
    if (life->recycling || now_ms - life->up_since_ms >= LIFE_STEADY_MS)
        life->delay_ms = life->config.restart_delay_ms;
    if (life->recycling) {
        life->state = LIFE_DOWN;
        life->restart_at_ms = now_ms;
    } else {
        restart_after_delay(life, now_ms);
    }
    return LIFE_NONE;
}

enum life_action life_all_gone(struct life *life)
{
    if (life->state != LIFE_DRAINING)
        return LIFE_NONE;
    life->state = LIFE_OVER;
    return LIFE_LEAVE;
}

enum life_action life_tick(struct life *life, uint64_t now_ms)
{
    if (life->state == LIFE_DOWN && now_ms >= life->restart_at_ms)
        return LIFE_START;
    if (life->state != LIFE_OVER && now_ms >= life->kill_at_ms) {
        life->kill_at_ms = now_ms + LIFE_KILL_REPEAT_MS;
        return LIFE_KILL_REST;
    }
    return LIFE_NONE;
}

uint64_t life_deadline_ms(const struct life *life)
{
    return life->state == LIFE_DOWN ? min_u64(life->restart_at_ms, life->kill_at_ms) : life->kill_at_ms;
}

bool life_may_restart(const struct life_config *config, bool recycles_worker)
{
    switch (config->restart) {
    case LIFE_RESTART_NEVER:
        return false;
    case LIFE_RESTART_RECYCLED:
        return recycles_worker;
    case LIFE_RESTART_FAILED:
    case LIFE_RESTART_ALWAYS:
        return true;
    }
    return false;
}
