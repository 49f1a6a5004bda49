/* The table of keys: its own soundness, look-ups, and every kind of value there and back. */
#include "config/keys.h"

#include <ctype.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "same_config.h"

enum { PRINTED_SIZE = 2048 };

static const struct key *key(const char *section, const char *name)
{
    const int row = keys_find(section, name);

    if (row < 0)
        fail_msg("no key [%s] %s", section, name);
    return &keys[row];
}

static void defaults(struct config *config)
{
    memset(config, 0, sizeof *config);
    for (int i = 0; i < keys_count; i++) {
        const char *wrong = keys_apply(&keys[i], keys[i].fallback, config);
        if (wrong)
            fail_msg("default of [%s] %s is %s", keys[i].section, keys[i].name, wrong);
    }
}

static void the_table_is_sound(void **state)
{
    struct config config;

    (void)state;
    defaults(&config);
    for (int i = 0; i < keys_count; i++) {
        assert_int_equal(keys_find(keys[i].section, keys[i].name), i); /* no two rows of one name */
        assert_true(keys[i].offset < sizeof(struct config));
        assert_true((keys[i].kind == KEY_CHOICE) == (keys[i].choices != NULL));
        assert_true(strlen(keys[i].name) <= 32);
        for (const char *p = keys[i].name; *p != '\0'; p++)
            assert_true(islower((unsigned char)*p) || *p == '_');
        assert_null(strchr(keys[i].section, '_')); /* TRIMTAB_<SECTION>_<KEY> is cut at the first one */
        for (int j = i + 1; j < keys_count; j++)
            assert_true(keys[i].offset != keys[j].offset);
    }
}

static void sections_stand_together(void **state)
{
    static const char *const order[] = { "worker", "allocator", "watch", "trim", "recycle", "container", "log" };
    size_t section = 0;

    (void)state;
    for (int i = 0; i < keys_count; i++) {
        if (strcmp(keys[i].section, order[section]) != 0)
            section++;
        assert_true(section < sizeof order / sizeof order[0]);
        assert_string_equal(keys[i].section, order[section]);
    }
    assert_int_equal(section, sizeof order / sizeof order[0] - 1);
}

/* The contract's values, in the units of their fields. */
static void defaults_are_those_of_the_contract(void **state)
{
    struct config config;

    (void)state;
    defaults(&config);
    assert_string_equal(config.worker.user, "");
    assert_false(config.worker.capabilities.set);
    assert_false(config.worker.no_new_privs);
    assert_false(config.worker.oom_score_adj.set);
    for (int i = 0; i < CONFIG_SIGNALS; i++)
        assert_int_equal(config.worker.rewrite[i], i);
    assert_true(config.worker.stop_signals == (UINT64_C(1) << SIGTERM | UINT64_C(1) << SIGINT));
    assert_int_equal(config.worker.stop_grace_ms, 0);
    assert_int_equal(config.worker.wait_for, CONFIG_WAIT_WORKER);
    assert_int_equal(config.worker.restart, CONFIG_RESTART_RECYCLED);
    assert_int_equal(config.worker.restart_delay_ms, 1000);
    assert_string_equal(config.allocator.malloc, "inherit");
    assert_true(config.allocator.arena_max.set);
    assert_int_equal(config.allocator.arena_max.value, 2);
    assert_false(config.allocator.trim_threshold.set);
    assert_false(config.allocator.override);
    assert_int_equal(config.watch.target, CONFIG_TARGET_AUTO);
    assert_int_equal(config.watch.interval_ms, 1000);
    assert_int_equal(config.watch.limit_bytes, 0);
    assert_int_equal(config.trim.at.bytes + config.trim.at.share_permyriad, 0);
    assert_int_equal(config.trim.signal, CONFIG_SIGNAL_AGENT);
    assert_false(config.trim.collect);
    assert_int_equal(config.allocator.agent, CONFIG_AGENT_AUTO);
    assert_int_equal(config.trim.settle_ms, 2000);
    assert_int_equal(config.trim.min_yield_permyriad, 500);
    assert_int_equal(config.recycle.at.bytes + config.recycle.at.share_permyriad, 0);
    assert_int_equal(config.recycle.samples, 3);
    assert_int_equal(config.recycle.method, CONFIG_METHOD_AUTO);
    assert_int_equal(config.recycle.signal, SIGTERM);
    assert_int_equal(config.recycle.grace_ms, 60000);
    assert_int_equal(config.recycle.at_once, 1);
    assert_int_equal(config.recycle.interval_ms, 30000);
    assert_int_equal(config.recycle.min_age_ms, 60000);
    assert_int_equal(config.recycle.jitter_permyriad, 1000);
    assert_int_equal(config.log.format, CONFIG_FORMAT_TEXT);
    assert_int_equal(config.log.level, CONFIG_LEVEL_INFO);
}

static const struct {
    const char *section, *name, *value;
    const char *printed; /* NULL: as it was written */
} good[] = {
    { "worker", "user", "app", NULL },
    { "worker", "user", "1000", NULL },
    { "worker", "capabilities", "inherit", NULL },
    { "worker", "capabilities", "none", NULL },
    { "worker", "capabilities", "CAP_NET_BIND_SERVICE,chown", "chown, net_bind_service" },
    { "worker", "no_new_privs", "yes", NULL },
    { "worker", "no_new_privs", "true", "yes" },
    { "worker", "no_new_privs", "false", "no" },
    { "worker", "oom_score_adj", "-1000", NULL },
    { "worker", "oom_score_adj", "1000", NULL },
    { "worker", "oom_score_adj", "0", NULL },
    { "worker", "rewrite", "none", "" },
    { "worker", "rewrite", "TERM:QUIT", NULL },
    { "worker", "rewrite", "15:3,SIGHUP:0 , RTMIN+3:KILL", "HUP:0, TERM:QUIT, RTMIN+3:KILL" },
    { "worker", "stop_signals", "QUIT", NULL },
    { "worker", "stop_signals", "RTMIN+3,1", "HUP, RTMIN+3" },
    { "worker", "stop_signals", "\tHUP\t,\t INT \t", "HUP, INT" },
    { "worker", "stop_grace", "0", NULL },
    { "worker", "stop_grace", "1.5m", "90s" },
    { "worker", "wait_for", "all", NULL },
    { "worker", "restart", "always", NULL },
    { "worker", "restart_delay", "100ms", NULL },
    { "worker", "restart_delay", "60s", "1m" },
    { "allocator", "malloc", "/usr/lib/libjemalloc.so.2", NULL },
    { "allocator", "arena_max", "0", NULL },
    { "allocator", "arena_max", "", NULL },
    { "allocator", "trim_threshold", "512K", NULL },
    { "allocator", "trim_threshold", "0", NULL },
    { "allocator", "mmap_threshold", "131072", "128K" },
    { "allocator", "top_pad", "", NULL },
    { "allocator", "malloc_conf", "narenas:1,tcache:false", NULL },
    { "watch", "target", "tree", NULL },
    { "watch", "match", "gunicorn: worker*, \xc3\xa4*", NULL },
    { "watch", "interval", "1h", NULL },
    { "watch", "limit", "auto", NULL },
    { "watch", "limit", "0", "auto" },
    { "watch", "limit", "1.5G", "1536M" },
    { "trim", "at", "off", NULL },
    { "trim", "at", "0", "off" },
    { "trim", "at", "0%", "off" },
    { "trim", "at", "80%", NULL },
    { "trim", "at", "100%", NULL },
    { "trim", "at", "64K", NULL },
    { "trim", "signal", "none", NULL },
    { "trim", "signal", "agent", NULL },
    { "trim", "collect", "yes", NULL },
    { "allocator", "agent", "no", NULL },
    { "trim", "signal", "sigusr2", "USR2" },
    { "trim", "signal", "TERM", NULL },
    { "recycle", "at", "9223372036854775807", NULL },
    { "recycle", "samples", "1000", NULL },
    { "recycle", "signal", "QUIT", NULL },
    { "recycle", "jitter", "50%", NULL },
    { "recycle", "at_once", "64", NULL },
    { "container", "pressure", "off", NULL },
    { "container", "pressure", "some 200ms/2s", NULL },
    { "container", "pressure", "full 500ms/0.5s", "full 500ms/500ms" },
    { "container", "pressure", "some 0.001s/10s", "some 1ms/10s" },
    { "log", "format", "json", NULL },
    { "log", "level", "debug", NULL },
};

static void good_values_are_taken_and_printed(void **state)
{
    char text[PRINTED_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const struct key *row = key(good[i].section, good[i].name);
        struct config config, again;
        defaults(&config);
        defaults(&again);
        const char *wrong = keys_apply(row, good[i].value, &config);
        if (wrong)
            fail_msg("[%s] %s: '%s' is %s", row->section, row->name, good[i].value, wrong);
        keys_print(row, &config, text, sizeof text);
        assert_string_equal(text, good[i].printed ? good[i].printed : good[i].value);
        assert_null(keys_apply(row, text, &again));
        assert_same_config(&again, &config);
    }
}

static const struct {
    const char *section, *name, *value, *reason;
} bad[] = {
    { "worker", "user", "a\nb", "control character" },
    { "worker", "capabilities", "", "neither inherit, none nor" },
    { "worker", "capabilities", "chown,", "neither inherit, none nor" },
    { "worker", "capabilities", "chown, chwon", "'chwon'" },
    { "worker", "capabilities", "12", "'12'" },
    { "worker", "capabilities", "none, chown", "'none'" },
    { "worker", "no_new_privs", "", "neither yes nor no" },
    { "worker", "no_new_privs", "maybe", "neither yes nor no" },
    { "worker", "oom_score_adj", "1001", "not from -1000 to 1000" },
    { "worker", "oom_score_adj", "-1001", "not from -1000 to 1000" },
    { "worker", "oom_score_adj", "99999999999999999999", "not a whole number" },
    { "worker", "oom_score_adj", "18446744073709551615", "not from" },
    { "worker", "oom_score_adj", "--1", "not a whole number" },
    { "worker", "oom_score_adj", "-", "not a whole number" },
    { "worker", "rewrite", "TERM", "not a list of FROM:TO" },
    { "worker", "rewrite", "TERM:", "neither a signal" },
    { "worker", "rewrite", ":TERM", "not a signal" },
    { "worker", "rewrite", "0:TERM", "not a signal" },
    { "worker", "rewrite", "TERM:QUIT:INT", "neither a signal" },
    { "worker", "rewrite", "KILL:TERM", "cannot be caught: 'KILL'" },
    { "worker", "rewrite", "STOP:TERM", "cannot be caught: 'STOP'" },
    { "worker", "rewrite", "CHLD:TERM", "every child that ends: 'CHLD'" },
    { "worker", "rewrite", "TERM:CHLD", "every child that ends: 'CHLD'" },
    { "worker", "rewrite", "TERM:QUIT, 15:INT", "twice: '15'" },
    { "worker", "rewrite", "TERM:QUIT,,HUP:0", "not a list of FROM:TO" },
    { "worker", "rewrite", "TERM:QUIT,", "not a list of FROM:TO" },
    { "worker", "stop_signals", "", "not a list of signals" },
    { "worker", "stop_signals", "TERM,,INT", "not a list of signals" },
    { "worker", "stop_signals", "TERM, KILL", "cannot be caught: 'KILL'" },
    { "worker", "stop_signals", "STOP", "cannot be caught: 'STOP'" },
    { "worker", "stop_signals", "CHLD", "every child that ends: 'CHLD'" },
    { "worker", "stop_signals", "RTMAX", "the last real-time signal" },
    { "worker", "stop_signals", "TERM INT", "'TERM INT'" },
    { "worker", "stop_grace", "10", "not a time (1.5s, 10m)" },
    { "worker", "stop_grace", "2d", "not from 0 to 1d" },
    { "worker", "wait_for", "All", "not one of worker, all" },
    { "worker", "restart", "", "not one of never, recycled, failed, always" },
    { "worker", "restart_delay", "99ms", "not from 100ms to 1m" },
    { "worker", "restart_delay", "61s", "not from 100ms to 1m" },
    { "allocator", "arena_max", "two", "not a whole number" },
    { "allocator", "arena_max", "-1", "not a whole number" },
    { "allocator", "trim_threshold", "512X", "not a size (512M, 1.5G)" },
    { "allocator", "trim_threshold", "-1", "not a size" },
    { "allocator", "top_pad", "18446744073709551615", "above" },
    { "watch", "interval", "99ms", "not from 100ms to 1h" },
    { "watch", "interval", "61m", "not from 100ms to 1h" },
    { "watch", "limit", "80%", "not a size (512M, 1.5G)" },
    { "watch", "limit", "512", "below 64K: is its unit missing" },
    { "watch", "limit", "16777215T", "above" },
    { "trim", "at", "51X2", "not a size (512M, 1.5G) or a share (80%)" },
    { "trim", "at", "512", "below 64K: is its unit missing" },
    { "trim", "at", "101%", "not a size (512M, 1.5G) or a share (80%)" },
    { "trim", "at", "18446744073709551616", "not a size" },
    { "trim", "at", "9223372036854775808", "above" },
    { "trim", "signal", "KILL", "cannot be caught" },
    { "trim", "signal", "STOP", "cannot be caught" },
    { "trim", "signal", "CHLD", "every child that ends" },
    { "recycle", "signal", "agent", "not a signal (TERM, RTMIN+3, 15)" },
    { "trim", "signal", "FOO", "not a signal (TERM, RTMIN+3, 15), agent or none" },
    { "trim", "settle", "99ms", "not from 100ms to 10m" },
    { "trim", "min_yield", "5", "not a share (80%)" },
    { "recycle", "samples", "0", "not from 1 to 1000" },
    { "recycle", "samples", "1001", "not from 1 to 1000" },
    { "recycle", "samples", "4294967297", "not from 1 to 1000" },
    { "recycle", "samples", "3.0", "not a whole number" },
    { "recycle", "signal", "none", "not a signal (TERM, RTMIN+3, 15)" },
    { "recycle", "signal", "KILL", "there would be no grace" },
    { "recycle", "signal", "CHLD", "every child that ends" },
    { "recycle", "grace", "0", "not from 100ms to 1d" },
    { "recycle", "at_once", "65", "not from 1 to 64" },
    { "recycle", "at_once", "0", "not from 1 to 64" },
    { "recycle", "jitter", "51%", "not from 0% to 50%" },
    { "container", "pressure", "", "neither off nor a trigger (some 200ms/2s)" },
    { "container", "pressure", "200ms/2s", "neither off nor a trigger" },
    { "container", "pressure", "some 200ms", "neither off nor a trigger" },
    { "container", "pressure", "some /2s", "neither off nor a trigger" },
    { "container", "pressure", "some 200/2s", "neither off nor a trigger" },
    { "container", "pressure", "some 200ms/2", "neither off nor a trigger" },
    { "container", "pressure", "some 0000000000000000000000000000000000000000000200ms/2s",
      "neither off nor a trigger" },
    { "container", "pressure", "some 100ms/499ms", "whose window is not from 500ms to 10s" },
    { "container", "pressure", "some 100ms/10001ms", "whose window is not from 500ms to 10s" },
    { "container", "pressure", "some 0/2s", "whose time is not within its window" },
    { "container", "pressure", "full 2001ms/2s", "whose time is not within its window" },
    { "log", "level", "verbose", "not one of error, warning, info, debug" },
};

static void bad_values_are_refused_and_change_nothing(void **state)
{
    struct config before, config;

    (void)state;
    defaults(&before);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct key *row = key(bad[i].section, bad[i].name);
        config = before;
        const char *wrong = keys_apply(row, bad[i].value, &config);
        if (!wrong || !strstr(wrong, bad[i].reason))
            fail_msg("[%s] %s: '%s' is %s", row->section, row->name, bad[i].value, wrong ? wrong : "taken");
        assert_same_config(&config, &before);
    }
}

static void a_text_has_a_longest_length(void **state)
{
    char text[CONFIG_TEXT_MAX + 1];
    struct config config;

    (void)state;
    defaults(&config);
    memset(text, 'x', sizeof text);
    text[CONFIG_TEXT_MAX] = '\0';
    assert_string_equal(keys_apply(key("worker", "user"), text, &config), "too long (199 bytes at most)");
    text[CONFIG_TEXT_MAX - 1] = '\0';
    assert_null(keys_apply(key("worker", "user"), text, &config));
    assert_string_equal(config.worker.user, text);
    assert_null(keys_apply(key("worker", "user"), "app", &config)); /* nothing of the longer one is left */
    for (size_t i = 3; i < sizeof config.worker.user; i++)
        assert_int_equal(config.worker.user[i], 0);
}

static void every_signal_can_be_rewritten_but_three(void **state)
{
    (void)state;
    for (int from = 1; from <= 64; from++) {
        struct config config;
        char pair[16];
        defaults(&config);
        (void)snprintf(pair, sizeof pair, "%d:0", from);
        const bool refused = from == SIGKILL || from == SIGSTOP || from == SIGCHLD;
        assert_true(refused == (keys_apply(key("worker", "rewrite"), pair, &config) != NULL));
        for (int i = 0; i < CONFIG_SIGNALS; i++)
            assert_int_equal(config.worker.rewrite[i], i == from && !refused ? 0 : i);
    }
}

static void the_longest_rewrite_is_read_back(void **state)
{
    struct config config, again;
    char text[PRINTED_SIZE];

    (void)state;
    defaults(&config);
    defaults(&again);
    for (int i = 1; i < CONFIG_SIGNALS; i++) {
        if (i != SIGKILL && i != SIGSTOP && i != SIGCHLD)
            config.worker.rewrite[i] = (uint8_t)(i == 40 ? 41 : 40);
    }
    keys_print(key("worker", "rewrite"), &config, text, sizeof text);
    assert_null(keys_apply(key("worker", "rewrite"), text, &again));
    assert_same_config(&again, &config);
    char small[8];
    keys_print(key("worker", "rewrite"), &config, small, sizeof small); /* cut, not overrun */
    assert_int_equal(strlen(small), sizeof small - 1);
}

static void every_capability_is_read_back(void **state)
{
    (void)state;
    for (int i = 0; i <= CAP_LAST_CAP && i <= 40; i++) {
        struct config config, again;
        char text[PRINTED_SIZE];
        defaults(&config);
        defaults(&again);
        config.worker.capabilities.set = true;
        config.worker.capabilities.mask = UINT64_C(1) << i;
        keys_print(key("worker", "capabilities"), &config, text, sizeof text);
        assert_null(keys_apply(key("worker", "capabilities"), text, &again));
        assert_true(again.worker.capabilities.mask == UINT64_C(1) << i);
    }
}

/* A newer libcap may know names for bits that ours has none for; it prints these as numbers. */
static void a_capability_without_a_name_is_printed_as_its_number(void **state)
{
    struct config config;
    char text[PRINTED_SIZE];

    (void)state;
    defaults(&config);
    config.worker.capabilities.set = true;
    config.worker.capabilities.mask = UINT64_C(1) << 63 | 1;
    keys_print(key("worker", "capabilities"), &config, text, sizeof text);
    assert_string_equal(text, "chown, 63");
}

static void a_share_may_have_a_least_value(void **state)
{
    struct key row = *key("trim", "min_yield");
    struct config config;

    (void)state;
    defaults(&config);
    row.min = 200;
    assert_string_equal(keys_apply(&row, "1.99%", &config), "not from 2% to 100%");
    assert_int_equal(config.trim.min_yield_permyriad, 500);
    assert_null(keys_apply(&row, "2%", &config));
    assert_int_equal(config.trim.min_yield_permyriad, 200);
}

static void a_kind_that_does_not_exist_is_refused_and_prints_nothing(void **state)
{
    struct key row = *key("trim", "at");
    struct config config;
    char text[8] = "before";

    (void)state;
    defaults(&config);
    row.kind = (enum key_kind)99;
    assert_string_equal(keys_apply(&row, "1G", &config), "of an unknown kind");
    keys_print(&row, &config, text, 0); /* no room: untouched */
    assert_string_equal(text, "before");
    keys_print(&row, &config, text, sizeof text);
    assert_string_equal(text, "");
}

static void slips_find_the_name_that_was_meant(void **state)
{
    static const struct {
        const char *section, *typed, *meant;
    } rows[] = { { "recycle", "att", "at" },
                 { "recycle", "AT", "at" },
                 { "recycle", "min-age", "min_age" },
                 { "recycle", "grcae", "grace" },
                 { "recycle", "sample", "samples" },
                 { "worker", "usr", "user" },
                 { "worker", "restart_dealy", "restart_delay" },
                 { "watch", "intervall", "interval" },
                 { "watch", "xyz", NULL },
                 { "watch", "", NULL },
                 { "trim", "zz", NULL },
                 { "nothing", "at", NULL } };
    char longest[400];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *nearest = keys_nearest(rows[i].section, rows[i].typed);
        if (!rows[i].meant != !nearest || (nearest && strcmp(nearest, rows[i].meant) != 0))
            fail_msg("[%s] %s: %s", rows[i].section, rows[i].typed, nearest ? nearest : "none");
    }
    assert_string_equal(keys_nearest_section("trmi"), "trim");
    assert_string_equal(keys_nearest_section("Recycle"), "recycle");
    assert_string_equal(keys_nearest_section("allocater"), "allocator");
    assert_null(keys_nearest_section("service"));
    assert_null(keys_nearest_section("http"));
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(keys_nearest_section(longest));
    assert_null(keys_nearest("trim", longest));
    size_t best = KEYS_NOT_NEAR;
    assert_false(keys_near("aaaa", longest, &best));
    longest[33] = '\0'; /* both of one length, at the edge */
    assert_false(keys_near(longest + 1, longest, &best));
    assert_false(keys_near(longest, longest + 1, &best));
    assert_true(keys_near(longest + 1, longest + 1, &best));
    assert_int_equal(best, 0);
}

static void a_key_of_another_section_is_found(void **state)
{
    (void)state;
    const int grace = keys_find_elsewhere("trim", "grace");
    assert_true(grace >= 0);
    assert_string_equal(keys[grace].section, "recycle");
    assert_int_equal(keys_find_elsewhere("recycle", "grace"), -1);
    assert_int_equal(keys_find("trim", "grace"), -1);
    assert_true(keys_has_section("trim"));
    assert_false(keys_has_section("Trim"));
    assert_false(keys_has_section(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(sections_stand_together),
        cmocka_unit_test(defaults_are_those_of_the_contract),
        cmocka_unit_test(good_values_are_taken_and_printed),
        cmocka_unit_test(bad_values_are_refused_and_change_nothing),
        cmocka_unit_test(a_text_has_a_longest_length),
        cmocka_unit_test(every_signal_can_be_rewritten_but_three),
        cmocka_unit_test(the_longest_rewrite_is_read_back),
        cmocka_unit_test(every_capability_is_read_back),
        cmocka_unit_test(a_capability_without_a_name_is_printed_as_its_number),
        cmocka_unit_test(a_share_may_have_a_least_value),
        cmocka_unit_test(a_kind_that_does_not_exist_is_refused_and_prints_nothing),
        cmocka_unit_test(slips_find_the_name_that_was_meant),
        cmocka_unit_test(a_key_of_another_section_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
