#include "rules.h"

#include <stdio.h>

#include "config/units.h"

enum { AMOUNT_MAX = 32 };

static struct fleet_threshold threshold_of(const struct config_amount *amount)
{
    return (struct fleet_threshold){ .bytes = amount->bytes, .share_permyriad = amount->share_permyriad };
}

struct life_config rules_life(const struct config *config)
{
    static const enum life_restart restarts[] = { [CONFIG_RESTART_NEVER] = LIFE_RESTART_NEVER,
                                                  [CONFIG_RESTART_RECYCLED] = LIFE_RESTART_RECYCLED,
                                                  [CONFIG_RESTART_FAILED] = LIFE_RESTART_FAILED,
                                                  [CONFIG_RESTART_ALWAYS] = LIFE_RESTART_ALWAYS };
    return (struct life_config){ .restart = restarts[config->worker.restart],
                                 .restart_delay_ms = config->worker.restart_delay_ms,
                                 .stop_grace_ms = config->worker.stop_grace_ms,
                                 .wait_all = config->worker.wait_for == CONFIG_WAIT_ALL };
}

struct fleet_config rules_fleet(const struct config *config)
{
    static const enum fleet_method methods[] = { [CONFIG_METHOD_AUTO] = FLEET_METHOD_AUTO,
                                                 [CONFIG_METHOD_SIGNAL] = FLEET_METHOD_SIGNAL,
                                                 [CONFIG_METHOD_RESPAWN] = FLEET_METHOD_RESPAWN };
    static const enum fleet_metric metrics[] = { [CONFIG_METRIC_RSS] = FLEET_METRIC_RSS,
                                                 [CONFIG_METRIC_PSS] = FLEET_METRIC_PSS,
                                                 [CONFIG_METRIC_USS] = FLEET_METRIC_USS };
    bool agent = config->trim.signal == CONFIG_SIGNAL_AGENT;
    return (struct fleet_config){ .trim_at = threshold_of(&config->trim.at),
                                  .recycle_at = threshold_of(&config->recycle.at),
                                  .container_trim_at = threshold_of(&config->container.trim_at),
                                  .container_recycle_at = threshold_of(&config->container.recycle_at),
                                  .metric = metrics[config->watch.metric],
                                  .can_trim =
                                      agent ? config->allocator.agent != CONFIG_AGENT_NO : config->trim.signal > 0,
                                  .hears_pressure = config->container.pressure.window_ms > 0,
                                  .expects_reports = agent,
                                  .can_respawn = config->worker.restart != CONFIG_RESTART_NEVER,
                                  .method = methods[config->recycle.method],
                                  .samples = config->recycle.samples,
                                  .at_once = config->recycle.at_once,
                                  .jitter_permyriad = config->recycle.jitter_permyriad,
                                  .min_yield_permyriad = config->trim.min_yield_permyriad,
                                  .trim_every_ms = config->trim.every_ms,
                                  .trim_idle_ms = config->trim.idle_ms,
                                  .settle_ms = config->trim.settle_ms,
                                  .grace_ms = config->recycle.grace_ms,
                                  .interval_ms = config->recycle.interval_ms,
                                  .min_age_ms = config->recycle.min_age_ms,
                                  .look_ms = config->watch.interval_ms };
}

enum target_mode rules_target(const struct config *config)
{
    static const enum target_mode targets[] = { [CONFIG_TARGET_AUTO] = TARGET_AUTO,
                                                [CONFIG_TARGET_WORKER] = TARGET_WORKER,
                                                [CONFIG_TARGET_CHILDREN] = TARGET_CHILDREN,
                                                [CONFIG_TARGET_TREE] = TARGET_TREE };
    return targets[config->watch.target];
}

struct pair {
    const char *trim_name;
    const char *recycle_name;
    uint64_t trim_bytes;
    uint64_t recycle_bytes;
};

static int check_pair(const struct pair *pair, uint64_t limit_bytes, char *ret_error, size_t size)
{
    char trim[AMOUNT_MAX], recycle[AMOUNT_MAX], limit[AMOUNT_MAX];
    units_print_bytes(pair->trim_bytes, trim, sizeof trim);
    units_print_bytes(pair->recycle_bytes, recycle, sizeof recycle);
    units_print_bytes(limit_bytes, limit, sizeof limit);
    if (pair->trim_bytes > 0 && pair->recycle_bytes > 0 && pair->recycle_bytes <= pair->trim_bytes) {
        (void)snprintf(ret_error, size, "%s is %s, not above %s, %s, under the limit of %s", pair->recycle_name,
                       recycle, pair->trim_name, trim, limit);
        return -1;
    }
    if (pair->recycle_bytes > limit_bytes) {
        (void)snprintf(ret_error, size, "%s is %s, above the limit of %s: the kernel would act first",
                       pair->recycle_name, recycle, limit);
        return -1;
    }
    return 0;
}

int rules_check(const struct fleet_config *fleet, uint64_t limit_bytes, char *ret_error, size_t size)
{
    uint64_t trim = fleet->can_trim ? fleet_threshold_bytes(&fleet->trim_at, limit_bytes) : 0;
    uint64_t container = fleet->can_trim ? fleet_threshold_bytes(&fleet->container_trim_at, limit_bytes) : 0;
    const struct pair pairs[] = {
        { "[trim] at", "[recycle] at", trim, fleet_threshold_bytes(&fleet->recycle_at, limit_bytes) },
        { "[container] trim_at", "[container] recycle_at", container,
          fleet_threshold_bytes(&fleet->container_recycle_at, limit_bytes) },
    };
    if (check_pair(&pairs[0], limit_bytes, ret_error, size) < 0)
        return -1;
    return check_pair(&pairs[1], limit_bytes, ret_error, size);
}
