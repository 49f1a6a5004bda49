/* Scenarios as a whole: what the policy core does in each of those that are shipped. */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "ctl/simulate.h"

#define MIB (UINT64_C(1) << 20)

enum { PIDS_MAX = 4096 };

/* What was told of a run. */
struct seen {
    struct simulate_result result;
    uint64_t last_ms;
    unsigned looks, samples, starts, exits, ooms, refused, events, limits;
    unsigned actions[FLEET_HELPLESS + 1];
    unsigned reasons[FLEET_REASON_PRESSURE + 1]; /* of recycles */
    unsigned verdicts[VERDICT_OUTSIDE + 1];
    unsigned grace_kept;
    uint64_t asked_ms[PIDS_MAX];
    uint64_t pss_bytes, used_bytes;
};

static struct scenario scenario;
static struct seen seen;

static void advance(struct seen *to, uint64_t now_ms)
{
    assert_true(now_ms >= to->last_ms);
    to->last_ms = now_ms;
}

static void take_process(void *user, uint64_t now_ms, const struct simulate_process *process)
{
    struct seen *to = user;
    advance(to, now_ms);
    to->samples += process->rss_bytes != FLEET_UNKNOWN;
    to->pss_bytes += process->pss_bytes;
    assert_true(process->uss_bytes <= process->pss_bytes);
}

static void take_look(void *user, uint64_t now_ms, const struct simulate_look *look)
{
    struct seen *to = user;
    advance(to, now_ms);
    to->looks++;
    to->used_bytes = look->used_bytes;
    assert_true(to->pss_bytes <= look->used_bytes); /* what is shared counts once */
    to->pss_bytes = 0;
}

static void take_decision(void *user, uint64_t now_ms, const struct fleet_decision *decision)
{
    struct seen *to = user;
    advance(to, now_ms);
    to->actions[decision->action]++;
    if (decision->action == FLEET_RECYCLE) {
        to->reasons[decision->reason]++;
        to->asked_ms[decision->pid % PIDS_MAX] = now_ms;
    }
    if (decision->action == FLEET_VERDICT)
        to->verdicts[decision->verdict]++;
    if (decision->action == FLEET_KILL && now_ms - to->asked_ms[decision->pid % PIDS_MAX] >= 30000)
        to->grace_kept++;
}

static void take_happening(void *user, uint64_t now_ms, enum simulate_happening what, int32_t pid, uint64_t bytes,
                           const char *text)
{
    struct seen *to = user;
    (void)bytes;
    advance(to, now_ms);
    to->starts += what == SIMULATE_START;
    to->exits += what == SIMULATE_EXIT;
    to->ooms += what == SIMULATE_OOM;
    to->refused += what == SIMULATE_REFUSED;
    to->limits += what == SIMULATE_LIMIT;
    to->events += what == SIMULATE_EVENT;
    assert_true((what == SIMULATE_EVENT) == (text != NULL));
    assert_true((what == SIMULATE_EVENT || what == SIMULATE_LIMIT) == (pid == 0));
}

static struct simulate_policy policy_of(void)
{
    return (struct simulate_policy){ .fleet = { .can_trim = true,
                                                .can_respawn = true,
                                                .samples = 3,
                                                .at_once = 1,
                                                .jitter_permyriad = 1000,
                                                .min_yield_permyriad = 500,
                                                .settle_ms = 2000,
                                                .grace_ms = 30000,
                                                .interval_ms = 30000,
                                                .min_age_ms = 60000,
                                                .look_ms = 1000 },
                                     .life = { .restart = LIFE_RESTART_ALWAYS, .restart_delay_ms = 1000 },
                                     .target = TARGET_AUTO };
}

/* Runs it twice: the second time is the first again, to the last figure. */
static void run(const char *name, const struct simulate_policy *policy)
{
    const struct simulate_observer observer = { .user = &seen,
                                                .process = take_process,
                                                .look = take_look,
                                                .decision = take_decision,
                                                .happening = take_happening };
    const struct simulate_observer silent = { 0 };
    char path[512], error[SCENARIO_ERROR_MAX];
    struct simulate_result again;
    (void)snprintf(path, sizeof path, "%s/%s.ini", SCENARIOS, name);
    if (scenario_read(&scenario, path, error) != 0)
        fail_msg("%s", error);
    memset(&seen, 0, sizeof seen);
    assert_int_equal(simulate_run(&scenario, policy, &observer, &seen.result), 0);
    assert_int_equal(simulate_run(&scenario, policy, &silent, &again), 0);
    assert_memory_equal(&seen.result, &again, sizeof again);
    assert_int_equal(seen.result.looks, seen.looks);
    assert_int_equal(seen.result.samples, seen.samples);
    assert_int_equal(seen.result.trims, seen.actions[FLEET_TRIM]);
    assert_int_equal(seen.result.recycles, seen.actions[FLEET_RECYCLE]);
    assert_int_equal(seen.result.ooms, seen.ooms);
    assert_true(seen.starts >= seen.exits);
}

static void leak_is_bounded_by_recycles(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.recycle_at.share_permyriad = 2000;
    run("leak", &policy);
    assert_int_equal(seen.ooms, 0);
    assert_in_range(seen.result.recycles, 15, 40);
    assert_int_equal(seen.actions[FLEET_REPLACED], seen.result.recycles);
    assert_true(seen.verdicts[VERDICT_GROWTH] > 0);
    assert_int_equal(seen.verdicts[VERDICT_PINNED], 0);
    assert_true(seen.result.peak_bytes < scenario.limit_bytes);
}

static void without_a_policy_memory_runs_out(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    run("leak", &policy);
    assert_int_equal(seen.looks, 0);
    assert_true(seen.ooms > 0);
}

static void fragmentation_is_trimmed_away(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.trim_at.bytes = 300 * MIB;
    policy.fleet.recycle_at.bytes = 700 * MIB;
    run("fragmentation", &policy);
    assert_int_equal(seen.result.recycles, 0);
    assert_true(seen.result.trims_worth >= 8);
    assert_true(seen.verdicts[VERDICT_FRAGMENTATION] > 0);
    assert_int_equal(seen.verdicts[VERDICT_PINNED] + seen.verdicts[VERDICT_GROWTH], 0);
    assert_true(seen.result.peak_bytes < 330 * MIB);
}

static void what_is_pinned_is_told(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.trim_at.bytes = 300 * MIB;
    run("pinned", &policy);
    assert_true(seen.verdicts[VERDICT_PINNED] > 0);
    assert_int_equal(seen.verdicts[VERDICT_FRAGMENTATION], 0);
    assert_in_range(seen.result.trims, 3, 20); /* ever rarer, in four hours */
}

static void plateau_is_left_alone(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.container_trim_at.share_permyriad = 7000;
    policy.fleet.container_recycle_at.share_permyriad = 8500;
    run("plateau", &policy);
    assert_true(seen.used_bytes >= scenario.limit_bytes / 10000 * 8500);
    assert_int_equal(seen.result.recycles, 0);
    assert_true(seen.result.above_recycle_ms > 3600000);
}

static void spike_is_no_leak(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.can_trim = false;
    policy.fleet.recycle_at.bytes = 250 * MIB;
    run("spikes", &policy);
    assert_int_equal(seen.result.recycles, 1); /* the one that lasts */
    assert_int_equal(seen.events, 1);
}

static void slow_boot_is_waited_for(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.recycle_at.bytes = 400 * MIB;
    run("slow_boot", &policy);
    assert_true(seen.result.recycles > 0);
    assert_int_equal(seen.actions[FLEET_REPLACED], seen.result.recycles);
    assert_int_equal(seen.actions[FLEET_KILL], 0);
}

static void ignored_signal_ends_in_a_kill(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.recycle_at.bytes = 200 * MIB;
    run("ignored_signal", &policy);
    assert_true(seen.result.recycles > 0);
    assert_in_range(seen.result.kills, seen.result.recycles - 1, seen.result.recycles);
    assert_int_equal(seen.grace_kept, seen.actions[FLEET_KILL]);
    assert_true(seen.actions[FLEET_KILL] > seen.result.kills); /* it outlives the first */
}

static void lines_follow_the_limit(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.container_trim_at.share_permyriad = 7000;
    policy.fleet.container_recycle_at.share_permyriad = 8500;
    run("resize", &policy);
    assert_int_equal(seen.limits, 2);
    assert_int_equal(seen.ooms, 0);
    assert_true(seen.reasons[FLEET_REASON_CONTAINER] > 0);
}

static void shared_pages_count_once(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.metric = FLEET_METRIC_PSS;
    policy.fleet.recycle_at.bytes = 270 * MIB;
    policy.fleet.can_trim = false;
    run("fork_sharing", &policy);
    assert_true(seen.result.measures > 0);
    assert_int_equal(seen.ooms, 0);
}

static void faults_lead_to_nothing_wrong(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.recycle_at.share_permyriad = 2500;
    run("faults", &policy);
    assert_int_equal(seen.ooms, 0);
    assert_true(seen.result.recycles > 0);
    assert_int_equal(seen.result.starts, 2);
    assert_int_equal(seen.result.end_ms, scenario.duration_ms);
}

static void end_of_the_worker_ends_the_run(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.recycle_at.share_permyriad = 2500;
    policy.life.restart = LIFE_RESTART_RECYCLED;
    run("faults", &policy);
    assert_int_equal(seen.result.starts, 1);
    assert_int_equal(seen.result.end_ms, 6 * UINT64_C(3600000));
}

static void dry_run_decides_and_does_nothing(void **state)
{
    struct simulate_policy policy = policy_of();
    (void)state;
    policy.fleet.recycle_at.share_permyriad = 2000;
    policy.fleet.dry_run = true;
    run("leak", &policy);
    assert_true(seen.result.recycles > 0);
    assert_int_equal(seen.actions[FLEET_REPLACED] + seen.actions[FLEET_TRIMMED] + seen.actions[FLEET_KILL], 0);
    assert_true(seen.ooms > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leak_is_bounded_by_recycles),
        cmocka_unit_test(without_a_policy_memory_runs_out),
        cmocka_unit_test(fragmentation_is_trimmed_away),
        cmocka_unit_test(what_is_pinned_is_told),
        cmocka_unit_test(plateau_is_left_alone),
        cmocka_unit_test(spike_is_no_leak),
        cmocka_unit_test(slow_boot_is_waited_for),
        cmocka_unit_test(ignored_signal_ends_in_a_kill),
        cmocka_unit_test(lines_follow_the_limit),
        cmocka_unit_test(shared_pages_count_once),
        cmocka_unit_test(faults_lead_to_nothing_wrong),
        cmocka_unit_test(end_of_the_worker_ends_the_run),
        cmocka_unit_test(dry_run_decides_and_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
