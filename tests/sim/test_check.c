/*
 * That every promise can be broken: the check is fed, by hand, with a course of
 * things that keeps it, and with the same course gone wrong in one place.
 * (over 500 lines, because every promise has a course of its own)
 */
#include "cmocka_all.h"

#include <string.h>

#include "sim/check.h"

#define MIB (UINT64_C(1) << 20)

enum { FIRST = 1, SECOND = 2, POOL = 4, PIDS = 100 };

static struct fleet fleet;
static struct pod pod;
static struct pod_spec spec;
static struct check check;
static struct model_shape shape;

/* A pool of four, half an hour old, all below their line of 400M; looks every second. */
static int begin(void **state)
{
    (void)state;
    memset(&fleet, 0, sizeof fleet);
    memset(&pod, 0, sizeof pod);
    memset(&check, 0, sizeof check);
    shape = (struct model_shape){ .handles_trim = true, .handles_recycle = true };
    spec = (struct pod_spec){ .workers = POOL,
                              .worker = &shape,
                              .master = &shape,
                              .life = { .restart_delay_ms = 1000, .stop_grace_ms = 5000 },
                              .fleet = { .recycle_at = { .bytes = 400 * MIB },
                                         .can_respawn = true,
                                         .samples = 3,
                                         .at_once = 1,
                                         .settle_ms = 2000,
                                         .grace_ms = 10000,
                                         .interval_ms = 30000,
                                         .min_age_ms = 60000,
                                         .look_ms = 1000 } };
    pod.spec = &spec;
    pod.fleet = &fleet;
    pod.places = POOL + 1;
    pod.pool = POOL;
    pod.now_ms = 1800000;
    fleet.high_slot = POOL + 1;
    fleet.now_ms = pod.now_ms;
    fleet.recycle_line = 400 * MIB;
    fleet.next_look_ms = pod.now_ms + 1000;
    check_begin(&check, &spec);
    for (uint16_t place = 0; place <= POOL; place++) {
        pod.place_of[place] = place;
        pod.process[place] = (struct pod_process){
            .pid = PIDS + place, .slot = place, .alive = true, .model = { .shape = &shape }, .told_bytes = 100 * MIB
        };
        fleet.process[place] = (struct fleet_process){
            .pid = PIDS + place, .state = FLEET_WATCHED, .counts = place > 0, .rss_bytes = 100 * MIB, .born_ms = 0
        };
        check.process[place] = (struct check_process){ .pid = PIDS + place, .known = true };
    }
    return 0;
}

static void holds(void)
{
    if (check.violated >= 0)
        fail_msg("'%s': %s", check_rule_name((enum rule)check.violated), check.text);
}

static void broken(enum rule rule)
{
    assert_int_equal(check.violated, rule);
    assert_true(check.text[0] != '\0');
}

static void step(enum pod_step what, uint16_t place)
{
    check_step(&check, &pod, what, place, NULL);
}

static void later(uint64_t ms)
{
    pod.now_ms += ms;
    fleet.now_ms += ms;
    fleet.next_look_ms = fleet.now_ms + 1000;
}

static void look_done(void)
{
    step(POD_LOOK_DONE, POD_NOWHERE);
}

static void decide(enum pod_step what, enum fleet_action action, enum fleet_reason reason, uint16_t place)
{
    const struct fleet_decision decision = { .action = action,
                                             .reason = reason,
                                             .method = FLEET_METHOD_SIGNAL,
                                             .slot = place,
                                             .pid = PIDS + place,
                                             .rss_bytes = fleet.process[place].rss_bytes,
                                             .eta_ms = FLEET_NEVER };
    check_step(&check, &pod, what, what == POD_LOOK_END ? POD_NOWHERE : place, &decision);
}

static void sample(uint16_t place, uint64_t bytes)
{
    pod.process[place].told_bytes = bytes;
    pod.process[place].memory.rss_bytes = bytes;
    fleet.process[place].rss_bytes = bytes;
    fleet.process[place].metric_bytes = bytes;
    step(POD_SAMPLE, place);
}

static void over_for(uint16_t place, unsigned samples)
{
    for (unsigned i = 0; i < samples; i++) {
        later(1000);
        sample(place, 500 * MIB);
    }
}

/* The container was at its line in so many looks. */
static void container_over_for(unsigned looks)
{
    fleet.container.recycle_line = 1000 * MIB;
    fleet.container.used_bytes = 1000 * MIB;
    for (unsigned i = 0; i < looks; i++) {
        later(1000);
        if (check.look_ends > 0)
            look_done();
        step(POD_LOOK_END, POD_NOWHERE);
    }
}

static void recycle(uint16_t place)
{
    decide(POD_LOOK_END, FLEET_RECYCLE, FLEET_REASON_AT, place);
    fleet.process[place].state = FLEET_LEAVING;
    fleet.process[place].since_ms = fleet.now_ms;
    fleet.process[place].deadline_ms = fleet.now_ms + spec.fleet.grace_ms;
    fleet.awaited_count++;
    pod.process[place].asked = true;
}

static void trim(uint16_t place)
{
    fleet.process[place].state = FLEET_TRIMMING;
    fleet.process[place].since_ms = fleet.now_ms;
    fleet.process[place].deadline_ms = fleet.now_ms + spec.fleet.settle_ms;
    decide(POD_SAMPLE, FLEET_TRIM, FLEET_REASON_AT, place);
}

static void trimmed(uint16_t place)
{
    fleet.process[place].state = FLEET_WATCHED;
    decide(POD_SAMPLE, FLEET_TRIMMED, FLEET_REASON_AT, place);
}

/* ---- one promise after another ---- */

static void kill_before_the_grace_is_over(void **state)
{
    (void)state;
    over_for(FIRST, 3);
    recycle(FIRST);
    later(10000);
    decide(POD_SAMPLE, FLEET_KILL, FLEET_REASON_NONE, FIRST);
    later(5000);
    decide(POD_SAMPLE, FLEET_KILL, FLEET_REASON_NONE, FIRST);
    holds();
    begin(state);
    over_for(FIRST, 3);
    recycle(FIRST);
    later(9999);
    decide(POD_SAMPLE, FLEET_KILL, FLEET_REASON_NONE, FIRST);
    broken(RULE_GRACE);
}

static void kill_again_too_soon(void **state)
{
    (void)state;
    over_for(FIRST, 3);
    recycle(FIRST);
    later(10000);
    decide(POD_SAMPLE, FLEET_KILL, FLEET_REASON_NONE, FIRST);
    later(4999);
    decide(POD_SAMPLE, FLEET_KILL, FLEET_REASON_NONE, FIRST);
    broken(RULE_GRACE);
}

static void kill_of_one_that_was_not_asked(void **state)
{
    (void)state;
    decide(POD_SAMPLE, FLEET_KILL, FLEET_REASON_NONE, FIRST);
    broken(RULE_GRACE);
}

static void kill_of_what_is_left_before_the_stop_grace(void **state)
{
    (void)state;
    step(POD_TOLD_TO_STOP, POD_NOWHERE);
    later(5000);
    pod.life_action = LIFE_KILL_REST;
    step(POD_LIFE, POD_NOWHERE);
    holds();
    begin(state);
    step(POD_TOLD_TO_STOP, POD_NOWHERE);
    later(4999);
    pod.life_action = LIFE_KILL_REST;
    step(POD_LIFE, POD_NOWHERE);
    broken(RULE_STOP_GRACE);
}

static void one_more_than_at_once(void **state)
{
    (void)state;
    over_for(FIRST, 3);
    over_for(SECOND, 3);
    recycle(FIRST);
    holds();
    recycle(SECOND);
    broken(RULE_AT_ONCE);
}

static void two_of_the_pool_missing(void **state)
{
    (void)state;
    over_for(FIRST, 3);
    recycle(FIRST);
    look_done();
    holds();
    pod.process[SECOND].asked = true;
    look_done();
    broken(RULE_CAPACITY);
}

static void worker_started_too_early(void **state)
{
    (void)state;
    pod.process[FLEET_WORKER].failed = true;
    step(POD_EXIT, FLEET_WORKER);
    later(1000);
    step(POD_START, FLEET_WORKER);
    holds();
    step(POD_EXIT, FLEET_WORKER); /* at once: this time it takes twice as long */
    later(1999);
    step(POD_START, FLEET_WORKER);
    broken(RULE_BACKOFF);
}

static void start_tried_again_too_early(void **state)
{
    (void)state;
    step(POD_EXIT, FLEET_WORKER);
    later(1000);
    step(POD_START_FAILED, FLEET_WORKER);
    holds();
    later(1999);
    step(POD_START_FAILED, FLEET_WORKER);
    broken(RULE_BACKOFF);
}

static void state_without_an_end(void **state)
{
    (void)state;
    trim(FIRST);
    look_done();
    holds();
    fleet.process[FIRST].deadline_ms = fleet.process[FIRST].since_ms + 2001;
    look_done();
    broken(RULE_DEADLINE);
}

static void look_after_a_deadline(void **state)
{
    (void)state;
    trim(FIRST);
    fleet.next_look_ms = fleet.process[FIRST].deadline_ms + 1;
    look_done();
    broken(RULE_DEADLINE);
}

static void look_in_the_past(void **state)
{
    (void)state;
    fleet.next_look_ms = fleet.now_ms + FLEET_LOOK_MIN_MS;
    look_done();
    holds();
    fleet.next_look_ms = fleet.now_ms + FLEET_LOOK_MIN_MS - 1;
    look_done();
    broken(RULE_LOOK_PAST);
}

static void look_too_far_away(void **state)
{
    (void)state;
    fleet.next_look_ms = fleet.now_ms + 10000;
    look_done();
    holds();
    fleet.next_look_ms = fleet.now_ms + 10001;
    look_done();
    broken(RULE_LOOK_FAR);
}

static void look_without_an_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= 4 * POD_SLOTS; i++)
        step(POD_LOOK_END, POD_NOWHERE);
    broken(RULE_LOOK_ENDS);
}

static void trims_too_often(void **state)
{
    (void)state;
    trim(FIRST);
    later(2000);
    trimmed(FIRST);
    later(8000);
    trim(FIRST);
    holds();
    trimmed(FIRST);
    later(9999);
    trim(FIRST);
    broken(RULE_TRIM_RATE);
}

static void too_many_trim_at_one_time(void **state)
{
    (void)state;
    trim(FIRST);
    holds();
    trim(SECOND);
    broken(RULE_TRIM_PART);
}

static void recycle_after_too_few_looks(void **state)
{
    (void)state;
    over_for(FIRST, 2);
    later(1000);
    sample(FIRST, 399 * MIB);
    over_for(FIRST, 2);
    recycle(FIRST);
    broken(RULE_SAMPLES);
}

static void container_over_in_too_few_looks(void **state)
{
    (void)state;
    fleet.container.shape = TREND_RISING;
    container_over_for(3);
    decide(POD_LOOK_END, FLEET_RECYCLE, FLEET_REASON_CONTAINER, FIRST);
    holds();
    begin(state);
    fleet.container.shape = TREND_RISING;
    container_over_for(2);
    decide(POD_LOOK_END, FLEET_RECYCLE, FLEET_REASON_CONTAINER, FIRST);
    broken(RULE_SAMPLES);
}

static void recycle_before_a_trim(void **state)
{
    (void)state;
    spec.fleet.can_trim = true;
    sample(FIRST, 500 * MIB);
    trim(FIRST);
    later(2000);
    sample(FIRST, 500 * MIB);
    trimmed(FIRST);
    over_for(FIRST, 1);
    recycle(FIRST);
    holds();
    begin(state);
    spec.fleet.can_trim = true;
    over_for(FIRST, 3);
    recycle(FIRST);
    broken(RULE_TRIM_FIRST);
}

static void recycle_for_the_container_before_a_trim(void **state)
{
    (void)state;
    spec.fleet.can_trim = true;
    fleet.container.shape = TREND_RISING;
    container_over_for(3);
    decide(POD_LOOK_END, FLEET_RECYCLE, FLEET_REASON_CONTAINER, FIRST);
    broken(RULE_TRIM_FIRST);
}

static void recycle_of_a_spared_one(void **state)
{
    (void)state;
    over_for(FIRST, 3);
    fleet.process[FIRST].spared = true;
    recycle(FIRST);
    broken(RULE_PROTECTED);
}

static void recycle_of_no_target(void **state)
{
    (void)state;
    over_for(FIRST, 3);
    fleet.process[FIRST].counts = false;
    recycle(FIRST);
    broken(RULE_PROTECTED);
}

static void recycle_of_a_young_one(void **state)
{
    (void)state;
    over_for(FIRST, 3);
    fleet.process[FIRST].born_ms = fleet.now_ms - 59999;
    recycle(FIRST);
    broken(RULE_PROTECTED);
}

static void recycle_of_a_refused_one(void **state)
{
    (void)state;
    over_for(FIRST, 3);
    recycle(FIRST);
    fleet.process[FIRST].state = FLEET_WATCHED;
    fleet.awaited_count = 0;
    pod.process[FIRST].asked = false;
    step(POD_REFUSED_RECYCLE, FIRST);
    holds();
    later(FLEET_REFUSED_MS - 1);
    recycle(FIRST);
    broken(RULE_PROTECTED);
}

static void recycle_for_a_container_that_is_flat(void **state)
{
    (void)state;
    container_over_for(3);
    fleet.container.shape = TREND_FLAT;
    decide(POD_LOOK_END, FLEET_RECYCLE, FLEET_REASON_CONTAINER, FIRST);
    broken(RULE_FLAT);
    begin(state);
    container_over_for(3); /* that it thinks it rises is no excuse */
    check.flat = true;
    check.flat_after_ms = 60000;
    fleet.container.shape = TREND_RISING;
    decide(POD_LOOK_END, FLEET_RECYCLE, FLEET_REASON_CONTAINER, FIRST);
    broken(RULE_FLAT);
}

static void dry_run_that_acts(void **state)
{
    (void)state;
    spec.fleet.dry_run = true;
    fleet.process[FIRST].state = FLEET_TRIMMING;
    look_done();
    broken(RULE_DRY_RUN);
    begin(state);
    spec.fleet.dry_run = true;
    decide(POD_SAMPLE, FLEET_KILL, FLEET_REASON_NONE, FIRST);
    broken(RULE_DRY_RUN);
}

static void nothing_is_done_about_one_over_its_line(void **state)
{
    (void)state;
    check.fair = true;
    sample(FIRST, 500 * MIB);
    later(check.progress_ms);
    look_done();
    holds();
    later(1);
    look_done();
    broken(RULE_PROGRESS);
}

static void replacement_of_nobody(void **state)
{
    (void)state;
    decide(POD_APPEAR, FLEET_REPLACED, FLEET_REASON_NONE, FIRST);
    broken(RULE_REPLACED);
    begin(state);
    fleet.awaited_count = 1;
    look_done();
    broken(RULE_REPLACED);
}

static void decision_on_nobody(void **state)
{
    (void)state;
    fleet.process[FIRST].state = FLEET_FREE;
    decide(POD_SAMPLE, FLEET_TRIM, FLEET_REASON_AT, FIRST);
    broken(RULE_SENSE);
    begin(state);
    over_for(FIRST, 3);
    recycle(FIRST);
    decide(POD_SAMPLE, FLEET_TRIM, FLEET_REASON_AT, FIRST);
    broken(RULE_SENSE);
}

static void every_rule_has_words(void **state)
{
    (void)state;
    for (int rule = 0; rule < RULES; rule++) {
        assert_non_null(check_rule_name((enum rule)rule));
        assert_non_null(check_rule_text((enum rule)rule));
    }
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kill_before_the_grace_is_over),
        TEST(kill_again_too_soon),
        TEST(kill_of_one_that_was_not_asked),
        TEST(kill_of_what_is_left_before_the_stop_grace),
        TEST(one_more_than_at_once),
        TEST(two_of_the_pool_missing),
        TEST(worker_started_too_early),
        TEST(start_tried_again_too_early),
        TEST(state_without_an_end),
        TEST(look_after_a_deadline),
        TEST(look_in_the_past),
        TEST(look_too_far_away),
        TEST(look_without_an_end),
        TEST(trims_too_often),
        TEST(too_many_trim_at_one_time),
        TEST(recycle_after_too_few_looks),
        TEST(container_over_in_too_few_looks),
        TEST(recycle_before_a_trim),
        TEST(recycle_for_the_container_before_a_trim),
        TEST(recycle_of_a_spared_one),
        TEST(recycle_of_no_target),
        TEST(recycle_of_a_young_one),
        TEST(recycle_of_a_refused_one),
        TEST(recycle_for_a_container_that_is_flat),
        TEST(dry_run_that_acts),
        TEST(nothing_is_done_about_one_over_its_line),
        TEST(replacement_of_nobody),
        TEST(decision_on_nobody),
        TEST(every_rule_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
