#include "container.h"

#include <errno.h>

#include "os/log.h"

int container_open_pressure(const struct setup *setup, struct pressure *ret_pressure)
{
    const struct config_pressure *config = &setup->load.config.container.pressure;
    struct pressure_trigger trigger = { .full = config->full,
                                        .stall_us = config->stall_ms * 1000,
                                        .window_us = config->window_ms * 1000 };
    return pressure_open(ret_pressure, &trigger, "");
}

const char *container_pressure_way(const struct pressure *pressure)
{
    return pressure->method == PRESSURE_TRIGGER ? "trigger" : "reading";
}

static void open_pressure(struct container *container, struct loop *loop, uint32_t tag)
{
    if (container->setup->load.config.container.pressure.window_ms == 0)
        return;
    struct pressure *pressure = &container->pressure;
    int r = container_open_pressure(container->setup, pressure);
    if (r == 0 && pressure->method == PRESSURE_TRIGGER) {
        r = loop_add_priority(loop, pressure->fd, tag);
        if (r < 0)
            pressure_close(pressure);
    }
    if (r < 0) {
        log_warning("no memory pressure is to be seen here: [container] pressure has no effect",
                    log_text("file", pressure->path[0] != '\0' ? pressure->path : NULL), -r);
        return;
    }
    log_event(LOG_DEBUG, "pressure", log_text("file", pressure->path), log_text("by", container_pressure_way(pressure)),
              log_ms("stall", pressure->trigger.stall_us / 1000), log_ms("window", pressure->trigger.window_us / 1000));
}

bool container_pressure(struct container *container, struct loop *loop, uint64_t now_ms)
{
    struct pressure *pressure = &container->pressure;
    bool exceeded = false;
    int r = pressure_read(pressure, now_ms, &exceeded);
    if (r == 0)
        return exceeded;
    log_warning("the pressure file has gone: [container] pressure has no effect any more",
                log_text("file", pressure->path), -r);
    if (pressure->method == PRESSURE_TRIGGER)
        (void)loop_remove(loop, pressure->fd);
    pressure_close(pressure);
    return false;
}

void container_init(struct container *container, const struct setup *setup, struct cgroup *cgroup, struct loop *loop,
                    uint32_t tag)
{
    container->setup = setup;
    container->cgroup = cgroup;
    container->limit_bytes = setup->limit_bytes;
    container->counts_events = cgroup_events(cgroup, &container->events) == 0;
    open_pressure(container, loop, tag);
}

static void read_limit(struct container *container)
{
    uint64_t limit_bytes = 0;
    if (container->setup->load.config.watch.limit_bytes > 0)
        return;
    if (cgroup_limit(container->cgroup, &limit_bytes) < 0 || limit_bytes == container->limit_bytes)
        return;
    log_event(LOG_INFO, "limit", log_bytes("old", container->limit_bytes), log_bytes("new", limit_bytes));
    container->limit_bytes = limit_bytes;
}

/* Returns whether the kernel has throttled our processes. */
static bool read_events(struct container *container)
{
    struct cgroup_events before = container->events;
    if (!container->counts_events || cgroup_events(container->cgroup, &container->events) < 0)
        return false;
    const struct cgroup_events *now = &container->events;
    if (now->oom_kill > before.oom_kill || now->oom > before.oom)
        log_event(LOG_WARNING, "oom", log_number("killed", (int64_t)(now->oom_kill - before.oom_kill)),
                  log_bytes("limit", container->limit_bytes));
    return now->high > before.high;
}

bool container_read(struct container *container, struct loop *loop, uint64_t enough_bytes, uint64_t now_ms)
{
    bool pressed = false;
    if (now_ms - container->read_ms >= CONTAINER_READ_MS) {
        container->read_ms = now_ms;
        read_limit(container);
        pressed = read_events(container);
        if (container->pressure.method == PRESSURE_READING)
            pressed = container_pressure(container, loop, now_ms) || pressed;
    }
    if (cgroup_used(container->cgroup, enough_bytes, &container->used_bytes) < 0)
        container->used_bytes = FLEET_UNKNOWN;
    return pressed;
}

int container_descriptor(const struct container *container)
{
    return container->pressure.method != PRESSURE_NONE ? container->pressure.fd : -1;
}
