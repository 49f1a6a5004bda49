#include "policy/life.h"

#include "cmocka_all.h"

static struct life started(struct life_config config)
{
    struct life life;
    life_init(&life, &config);
    life_started(&life, 1000);
    return life;
}

static void before_the_first_start_nothing_runs(void **state)
{
    (void)state;
    struct life life;
    life_init(&life, &(struct life_config){ .restart_delay_ms = 1000, .stop_grace_ms = 0 });
    assert_int_equal(life.state, LIFE_DOWN);
    assert_true(life_deadline_ms(&life) == LIFE_NEVER);
    assert_int_equal(life_tick(&life, 1000000), LIFE_NONE);
    assert_int_equal(life_stop(&life, 1000000), LIFE_LEAVE);
}

/* restart_at_ms and kill_at_ms count only where life.h says so. */
static void a_stale_time_means_nothing(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_ALWAYS, .restart_delay_ms = 1000 });
    assert_true(life.restart_at_ms == LIFE_NEVER);
    life.restart_at_ms = 2000;
    assert_true(life_deadline_ms(&life) == LIFE_NEVER);
    assert_int_equal(life_tick(&life, 3000), LIFE_NONE);
    life_started(&life, 4000);
    assert_true(life.restart_at_ms == LIFE_NEVER);
}

static void a_plain_init_leaves_with_its_worker(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_RECYCLED, .restart_delay_ms = 1000 });
    assert_true(life_deadline_ms(&life) == LIFE_NEVER);
    assert_int_equal(life_child_changed(&life), LIFE_NONE);
    assert_int_equal(life_stop(&life, 2000), LIFE_WAKE);    /* it may be stopped */
    assert_int_equal(life_child_changed(&life), LIFE_WAKE); /* or be so later */
    assert_true(life_deadline_ms(&life) == LIFE_NEVER);
    assert_int_equal(life_stop(&life, 2500), LIFE_WAKE);
    assert_int_equal(life_worker_gone(&life, true, 3000), LIFE_LEAVE);
    assert_int_equal(life.state, LIFE_OVER);
    assert_int_equal(life_child_changed(&life), LIFE_NONE);
    assert_true(life_deadline_ms(&life) == LIFE_NEVER);
    assert_int_equal(life_stop(&life, 3001), LIFE_NONE);
}

static void a_stop_waits_for_the_rest_and_kills_it_after_the_grace(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .stop_grace_ms = 5000 });
    assert_int_equal(life_stop(&life, 2000), LIFE_WAKE);
    assert_int_equal(life_worker_gone(&life, false, 2500), LIFE_STOP_REST);
    assert_int_equal(life_tick(&life, 6999), LIFE_NONE); /* one ms before the grace ends */
    assert_int_equal(life_tick(&life, 7000), LIFE_KILL_REST);
    assert_int_equal(life_tick(&life, 7000 + LIFE_KILL_REPEAT_MS - 1), LIFE_NONE);
    assert_int_equal(life_tick(&life, 7000 + LIFE_KILL_REPEAT_MS), LIFE_KILL_REST);
    assert_int_equal(life_all_gone(&life), LIFE_LEAVE);
    assert_int_equal(life.state, LIFE_OVER);
    assert_int_equal(life_tick(&life, 100000), LIFE_NONE);
}

static void the_shortest_grace_is_one(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .stop_grace_ms = 1 });
    assert_int_equal(life_stop(&life, 2000), LIFE_WAKE);
    assert_true(life_deadline_ms(&life) == 2001);
    assert_int_equal(life_worker_gone(&life, false, 2000), LIFE_STOP_REST);
    assert_int_equal(life_tick(&life, 2001), LIFE_KILL_REST);
}

static void a_grace_is_for_stops_only(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .stop_grace_ms = 5000 });
    assert_int_equal(life_worker_gone(&life, false, 2000), LIFE_LEAVE); /* nobody asked it to stop */
}

static void the_grace_kills_a_worker_that_does_not_go(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .stop_grace_ms = 5000 });
    assert_int_equal(life_stop(&life, 2000), LIFE_WAKE);
    assert_int_equal(life_stop(&life, 6900), LIFE_WAKE); /* a second stop does not lengthen it */
    assert_true(life_deadline_ms(&life) == 7000);
    assert_int_equal(life_tick(&life, 7000), LIFE_KILL_REST);
}

static void wait_all_outlives_the_worker(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .wait_all = true });
    assert_int_equal(life_worker_gone(&life, false, 2000), LIFE_NONE);
    assert_true(life_deadline_ms(&life) == LIFE_NEVER);
    assert_int_equal(life_stop(&life, 3000), LIFE_STOP_REST);
    assert_int_equal(life_all_gone(&life), LIFE_LEAVE);
}

static void all_gone_means_nothing_while_the_worker_is_between_two_lives(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_ALWAYS, .restart_delay_ms = 1000 });
    assert_int_equal(life_worker_gone(&life, false, 2000), LIFE_NONE);
    assert_int_equal(life_all_gone(&life), LIFE_NONE);
}

static void failures_are_restarted_ever_later(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_FAILED, .restart_delay_ms = 1000 });
    static const uint64_t delays_ms[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
    uint64_t now_ms = 1000;
    for (size_t i = 0; i < sizeof delays_ms / sizeof delays_ms[0]; i++) {
        assert_int_equal(life_worker_gone(&life, true, now_ms), LIFE_NONE);
        assert_true(life_deadline_ms(&life) == now_ms + delays_ms[i]);
        assert_int_equal(life_tick(&life, now_ms + delays_ms[i] - 1), LIFE_NONE);
        assert_int_equal(life_tick(&life, now_ms + delays_ms[i]), LIFE_START);
        now_ms += delays_ms[i];
        life_started(&life, now_ms);
    }
    now_ms += LIFE_STEADY_MS; /* it held: the next failure starts anew */
    assert_int_equal(life_worker_gone(&life, true, now_ms), LIFE_NONE);
    assert_true(life_deadline_ms(&life) == now_ms + 1000);
}

static void a_worker_one_ms_short_of_steady_keeps_its_delay(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_FAILED, .restart_delay_ms = 1000 });
    (void)life_worker_gone(&life, true, 1000);
    life_started(&life, 2000);
    (void)life_worker_gone(&life, true, 2000 + LIFE_STEADY_MS - 1);
    assert_true(life_deadline_ms(&life) == 2000 + LIFE_STEADY_MS - 1 + 2000);
}

static void success_ends_a_worker_that_restarts_on_failure(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_FAILED, .restart_delay_ms = 1000 });
    assert_int_equal(life_worker_gone(&life, false, 2000), LIFE_LEAVE);
}

static void a_recycled_worker_starts_at_once_and_only_once(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_RECYCLED, .restart_delay_ms = 1000 });
    life_recycle(&life);
    assert_int_equal(life_worker_gone(&life, true, 2000), LIFE_NONE);
    assert_int_equal(life_tick(&life, 2000), LIFE_START);
    life_started(&life, 2000);
    assert_int_equal(life_worker_gone(&life, true, 3000), LIFE_LEAVE); /* this end was its own */

    life = started((struct life_config){ .restart = LIFE_RESTART_FAILED, .restart_delay_ms = 1000 });
    life_recycle(&life);
    assert_int_equal(life_worker_gone(&life, false, 2000), LIFE_NONE); /* it went as it was told: no failure */
    assert_int_equal(life_tick(&life, 2000), LIFE_START);
}

static void a_recycle_ends_a_row_of_failures(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_FAILED, .restart_delay_ms = 1000 });
    assert_int_equal(life_worker_gone(&life, true, 1000), LIFE_NONE); /* the next delay would be 2000 */
    life_started(&life, 2000);
    life_recycle(&life);
    assert_int_equal(life_worker_gone(&life, true, 3000), LIFE_NONE);
    life_started(&life, 3000);
    assert_int_equal(life_worker_gone(&life, true, 4000), LIFE_NONE);
    assert_true(life_deadline_ms(&life) == 5000);
}

static void a_start_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_ALWAYS, .restart_delay_ms = 1000 });
    assert_int_equal(life_worker_gone(&life, false, 2000), LIFE_NONE);
    assert_int_equal(life_tick(&life, 3000), LIFE_START);
    life_start_failed(&life, 3000);
    assert_int_equal(life_tick(&life, 4999), LIFE_NONE);
    assert_int_equal(life_tick(&life, 5000), LIFE_START);
}

static void a_stop_between_two_workers_ends_it(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_ALWAYS, .restart_delay_ms = 1000 });
    assert_int_equal(life_worker_gone(&life, true, 2000), LIFE_NONE);
    assert_int_equal(life_stop(&life, 2500), LIFE_LEAVE);

    life =
        started((struct life_config){ .restart = LIFE_RESTART_ALWAYS, .restart_delay_ms = 1000, .stop_grace_ms = 50 });
    assert_int_equal(life_worker_gone(&life, true, 2000), LIFE_NONE);
    assert_int_equal(life_stop(&life, 2500), LIFE_STOP_REST);
    assert_true(life.restart_at_ms == LIFE_NEVER);
    assert_int_equal(life_tick(&life, 3000), LIFE_KILL_REST); /* and never LIFE_START */
}

static void a_stopping_worker_is_not_restarted(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = LIFE_RESTART_ALWAYS, .restart_delay_ms = 1000 });
    (void)life_stop(&life, 2000);
    assert_int_equal(life_worker_gone(&life, true, 2001), LIFE_LEAVE);
}

static void only_some_configurations_restart(void **state)
{
    (void)state;
    struct life_config config = { .restart = LIFE_RESTART_NEVER };
    assert_false(life_may_restart(&config, true));
    config.restart = LIFE_RESTART_RECYCLED;
    assert_false(life_may_restart(&config, false));
    assert_true(life_may_restart(&config, true));
    config.restart = LIFE_RESTART_FAILED;
    assert_true(life_may_restart(&config, false));
    config.restart = LIFE_RESTART_ALWAYS;
    assert_true(life_may_restart(&config, false));
}

/* Whatever has overwritten them, the worker is not started in a loop. */
static void values_that_do_not_exist_do_nothing(void **state)
{
    (void)state;
    struct life life = started((struct life_config){ .restart = (enum life_restart)99, .restart_delay_ms = 1000 });
    assert_false(life_may_restart(&life.config, true));
    life_recycle(&life);
    assert_int_equal(life_worker_gone(&life, true, 2000), LIFE_LEAVE);
    life.state = (enum life_state)99;
    assert_int_equal(life_stop(&life, 3000), LIFE_NONE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_first_start_nothing_runs),
        cmocka_unit_test(a_stale_time_means_nothing),
        cmocka_unit_test(a_plain_init_leaves_with_its_worker),
        cmocka_unit_test(a_stop_waits_for_the_rest_and_kills_it_after_the_grace),
        cmocka_unit_test(the_shortest_grace_is_one),
        cmocka_unit_test(a_grace_is_for_stops_only),
        cmocka_unit_test(the_grace_kills_a_worker_that_does_not_go),
        cmocka_unit_test(wait_all_outlives_the_worker),
        cmocka_unit_test(all_gone_means_nothing_while_the_worker_is_between_two_lives),
        cmocka_unit_test(failures_are_restarted_ever_later),
        cmocka_unit_test(a_worker_one_ms_short_of_steady_keeps_its_delay),
        cmocka_unit_test(success_ends_a_worker_that_restarts_on_failure),
        cmocka_unit_test(a_recycled_worker_starts_at_once_and_only_once),
        cmocka_unit_test(a_recycle_ends_a_row_of_failures),
        cmocka_unit_test(a_start_that_fails_is_tried_again),
        cmocka_unit_test(a_stop_between_two_workers_ends_it),
        cmocka_unit_test(a_stopping_worker_is_not_restarted),
        cmocka_unit_test(only_some_configurations_restart),
        cmocka_unit_test(values_that_do_not_exist_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
