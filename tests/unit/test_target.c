#include "policy/target.h"

#include "cmocka_all.h"

static const struct target_facts worker = { .is_worker = true, .same_executable = true, .matched = true };
static const struct target_facts twin = { .is_child = true, .same_executable = true, .matched = true };
static const struct target_facts helper = { .is_child = true, .matched = true };
static const struct target_facts grandchild = { .same_executable = true, .matched = true };

static void each_mode_counts_its_own(void **state)
{
    (void)state;
    static const struct {
        enum target_mode mode;
        bool worker, twin, helper, grandchild;
    } rows[] = {
        { TARGET_AUTO, true, false, false, false },
        { TARGET_WORKER, true, false, false, false },
        { TARGET_CHILDREN, false, true, true, false },
        { TARGET_TREE, true, true, true, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct target target;
        target_init(&target, rows[i].mode);
        assert_int_equal(target_counts(&target, &worker), rows[i].worker);
        assert_int_equal(target_counts(&target, &twin), rows[i].twin);
        assert_int_equal(target_counts(&target, &helper), rows[i].helper);
        assert_int_equal(target_counts(&target, &grandchild), rows[i].grandchild);
    }
}

static void auto_turns_to_the_pool_once_and_stays(void **state)
{
    (void)state;
    struct target target;
    target_init(&target, TARGET_AUTO);
    assert_false(target_learn(&target, &helper)); /* a shell or a sidecar makes no pool */
    assert_false(target_learn(&target, &grandchild));
    assert_false(target_learn(&target, &worker));
    assert_true(target_learn(&target, &twin));
    assert_false(target_learn(&target, &twin)); /* no news the second time */
    assert_false(target_counts(&target, &worker));
    assert_true(target_counts(&target, &twin));
    assert_false(target_counts(&target, &helper));

    target_init(&target, TARGET_AUTO); /* a new worker */
    assert_true(target_counts(&target, &worker));
}

static void other_modes_learn_nothing(void **state)
{
    (void)state;
    struct target target;
    target_init(&target, TARGET_WORKER);
    assert_false(target_learn(&target, &twin));
    assert_true(target_counts(&target, &worker));
}

static void patterns_narrow_every_mode(void **state)
{
    (void)state;
    static const enum target_mode modes[] = { TARGET_AUTO, TARGET_WORKER, TARGET_TREE };
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct target target;
        target_init(&target, modes[i]);
        struct target_facts facts = worker;
        facts.matched = false;
        assert_false(target_counts(&target, &facts));
        facts = worker;
        facts.excluded = true;
        assert_false(target_counts(&target, &facts));
    }
}

static void a_mode_that_does_not_exist_counts_nothing(void **state)
{
    (void)state;
    struct target target;
    target_init(&target, (enum target_mode)99);
    assert_false(target_counts(&target, &worker));
    assert_false(target_learn(&target, &twin));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mode_counts_its_own),
        cmocka_unit_test(auto_turns_to_the_pool_once_and_stays),
        cmocka_unit_test(other_modes_learn_nothing),
        cmocka_unit_test(patterns_narrow_every_mode),
        cmocka_unit_test(a_mode_that_does_not_exist_counts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
