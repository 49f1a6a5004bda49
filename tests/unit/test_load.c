/* Settings from the environment and the command line, and the checks across keys. */
#include "config/config.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/keys.h"

#define FILE_NAME     "conf/x.ini"
#define TEXT(literal) literal, sizeof(literal) - 1
#define FORTY         "QWERTYUIOPASDFGHJKLZQWERTYUIOPASDFGHJKLZ"

static int parse(struct config_load *load, const char *text, size_t size)
{
    config_defaults(load);
    load->file = FILE_NAME;
    return config_parse(load, FILE_NAME, text, size);
}

static void set_wins_over_environment_over_file(void **state)
{
    char *environment[] = { "PATH=/bin",
                            "TRIMTAB_RECYCLE_SAMPLES=5",
                            "TRIMTAB_RECYCLE_GRACE=50s",
                            "TRIMTAB_WATCH_LIMIT=",
                            "TRIMTAB_POLICY=nothing",
                            NULL };
    struct config_load load;

    (void)state;
    assert_int_equal(parse(&load, TEXT("[recycle]\nsamples = 4\ngrace = 40s\nmin_age = 4s\n")), 0);
    assert_int_equal(config_read_environment(&load, environment), 0);
    assert_int_equal(config_set(&load, "recycle.grace=60s"), 0);
    assert_int_equal(load.config.recycle.min_age_ms, 4000);
    assert_int_equal(load.config.recycle.samples, 5);
    assert_int_equal(load.config.recycle.grace_ms, 60000);
    assert_int_equal(load.origin[keys_find("recycle", "min_age")].source, SOURCE_FILE);
    assert_int_equal(load.origin[keys_find("recycle", "samples")].source, SOURCE_ENVIRONMENT);
    assert_int_equal(load.origin[keys_find("recycle", "grace")].source, SOURCE_COMMAND_LINE);
    assert_int_equal(load.origin[keys_find("watch", "limit")].source, SOURCE_DEFAULT);
    assert_string_equal(load.warning, "");
}

static void every_key_has_a_variable(void **state)
{
    (void)state;
    for (int i = 0; i < keys_count; i++) {
        char variable[256];
        char *environment[] = { variable, NULL };
        struct config_load load;
        int length = snprintf(variable, sizeof variable, "TRIMTAB_%s_%s", keys[i].section, keys[i].name);
        for (int j = 0; j < length; j++)
            variable[j] = (char)(variable[j] >= 'a' && variable[j] <= 'z' ? variable[j] - 'a' + 'A' : variable[j]);
        (void)snprintf(variable + length, sizeof variable - (size_t)length, "=%s", keys[i].fallback);
        config_defaults(&load);
        assert_int_equal(config_read_environment(&load, environment), 0);
        assert_true(load.any == (*keys[i].fallback != '\0'));
        assert_int_equal(load.origin[i].source, load.any ? SOURCE_ENVIRONMENT : SOURCE_DEFAULT);
    }
}

static void bad_variables_are_named(void **state)
{
    static const struct {
        char *variable;
        const char *error;
    } rows[] = {
        { "TRIMTAB_TRIM_AT=51X2", "TRIMTAB_TRIM_AT: '51X2' is not a size (512M, 1.5G) or a share (80%)" },
        { "TRIMTAB_TRIM_AT=a\nb\x01", "TRIMTAB_TRIM_AT: 'a\\x0ab\\x01' is not a size (512M, 1.5G) or a share (80%)" },
        { "TRIMTAB_RECYCLE_ATT=1G", "TRIMTAB_RECYCLE_ATT: unknown key; did you mean TRIMTAB_RECYCLE_AT?" },
        { "TRIMTAB_TRIM_GRACE=1G", "TRIMTAB_TRIM_GRACE: unknown key; did you mean TRIMTAB_RECYCLE_GRACE?" },
        { "TRIMTAB_TRIM_QQQQ=1G", "TRIMTAB_TRIM_QQQQ: unknown key" },
        { "TRIMTAB_TRIM=1G", "TRIMTAB_TRIM: unknown key" },
        { "TRIMTAB_TRIM_=1G", "TRIMTAB_TRIM_: unknown key" },
        { "TRIMTAB_TRIM_" FORTY FORTY "=1G", "TRIMTAB_TRIM_" FORTY FORTY ": unknown key" },
        { "TRIMTAB_TRIM_PORTS=1G", "TRIMTAB_TRIM_PORTS: unknown key" },
        { "TRIMTAB_WORKER_USER='app'", "TRIMTAB_WORKER_USER: 'app': a value is written without quotes" },
    };
    struct config_load load;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *environment[] = { rows[i].variable, NULL };
        config_defaults(&load);
        assert_int_equal(config_read_environment(&load, environment), -1);
        assert_string_equal(load.error, rows[i].error);
    }
    char *twice[] = { "TRIMTAB_TRIM_AT=1G", "TRIMTAB_TRIM_AT=2G", NULL };
    config_defaults(&load);
    assert_int_equal(config_read_environment(&load, twice), -1);
    assert_string_equal(load.error, "TRIMTAB_TRIM_AT: set twice");
}

static void variables_of_kubernetes_are_passed_over(void **state)
{
    char *links[] = { "TRIMTAB_PORT=tcp://10.0.0.1:80",
                      "TRIMTAB_SERVICE_HOST=10.0.0.1",
                      "TRIMTAB_SERVICE_PORT=80",
                      "TRIMTAB_SERVICE_PORT_HTTP=80",
                      "TRIMTAB_PORT_80_TCP=tcp://10.0.0.1:80",
                      "TRIMTAB_PORT_80_TCP_ADDR=10.0.0.1",
                      "TRIMTAB_PORT_80_TCP_PROTO=tcp",
                      "TRIMTAB_WATCH_SERVICE_HOST=10.0.0.1",
                      "TRIMTAB_WATCH_PORT_80_TCP_PORT=80",
                      "TRIMTAB_WORKER_SERVICE_PORT=80",
                      "TRIMTAB_BIN=/usr/bin/trimtab",
                      "TRIMTAB_HOME_PAGE=x",
                      "TRIMTAB=x",
                      "TRIMTAB_=x",
                      "TRIMTAB_" FORTY FORTY "_AT=x",
                      "TRIMTAB_TRIM_AT",
                      "NOTRIMTAB_TRIM_AT=x",
                      "garbage",
                      NULL };
    char *near[] = { "TRIMTAB_TRMI_AT=1G", "TRIMTAB_RECYCEL_AT=1G", NULL };
    struct config_load load;

    (void)state;
    config_defaults(&load);
    assert_int_equal(config_read_environment(&load, links), 0);
    assert_string_equal(load.warning, "");
    assert_false(load.any);
    assert_int_equal(config_read_environment(&load, near), 0);
    assert_string_equal(load.warning,
                        "TRIMTAB_TRMI_AT: unknown section 'trmi', ignoring the variable; did you mean 'trim'?");
    assert_false(load.any);
}

static void bad_settings_are_named(void **state)
{
    static const struct {
        const char *assignment, *error;
    } rows[] = {
        { "trim.at=51X2", "--set trim.at=51X2: '51X2' is not a size (512M, 1.5G) or a share (80%)" },
        { "trim.at=", "--set trim.at=: empty value" },
        { "trim.at", "--set trim.at: no '='; write section.key=value" },
        { "at=1G", "--set at=1G: no section; write section.key=value" },
        { "=1G", "--set =1G: no section; write section.key=value" },
        { "", "--set : no '='; write section.key=value" },
        { "trmi.at=1G", "--set trmi.at=1G: [trmi]: unknown section; did you mean 'trim'?" },
        { "recycle.att=1G", "--set recycle.att=1G: [recycle] att: unknown key; did you mean 'at'?" },
        { "trim.grace=1s", "--set trim.grace=1s: [trim] grace: unknown key; did you mean [recycle] grace?" },
        { ".=", "--set .=: []: unknown section" },
        { FORTY FORTY FORTY FORTY "=1G",
          "--set " FORTY FORTY FORTY "QWERTYUIOPASDFGHJKLZQWERTYUIOPASDFGH...: no such key" },
    };
    struct config_load load;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        config_defaults(&load);
        assert_int_equal(config_set(&load, rows[i].assignment), -1);
        assert_string_equal(load.error, rows[i].error);
        assert_false(load.any);
    }
    config_defaults(&load);
    assert_int_equal(config_set(&load, "trim.at=1G"), 0);
    assert_true(load.any);
    assert_int_equal(config_set(&load, "trim.at=2G"), -1);
    assert_string_equal(load.error, "--set trim.at=2G: already set by an earlier option");
}

static void an_endless_word_is_cut_in_the_message(void **state)
{
    static char assignment[100000] = "trim.at=";
    struct config_load load;

    (void)state;
    memset(assignment + strlen(assignment), '\x01', sizeof assignment - 1 - strlen(assignment));
    config_defaults(&load);
    assert_int_equal(config_set(&load, assignment), -1);
    assert_true(strlen(load.error) < CONFIG_ERROR_MAX);
    assert_non_null(strstr(load.error, "..."));
    assert_non_null(strstr(load.error, "is not a size"));
    memset(assignment, 'a', sizeof assignment - 1);
    assert_int_equal(config_set(&load, assignment), -1);
    assert_int_equal(config_rewrite(&load, assignment), -1);
    char *environment[] = { assignment, NULL };
    memcpy(assignment, "TRIMTAB_TRIM_", strlen("TRIMTAB_TRIM_"));
    assignment[50000] = '=';
    assert_int_equal(config_read_environment(&load, environment), 0);
}

static void rewrites_add_up_and_make_no_policy(void **state)
{
    struct config_load load;

    (void)state;
    config_defaults(&load);
    assert_int_equal(config_rewrite(&load, "TERM:QUIT"), 0);
    assert_int_equal(config_rewrite(&load, "SIGHUP:0"), 0);
    assert_int_equal(config_rewrite(&load, "RTMIN+3:15"), 0);
    assert_int_equal(load.config.worker.rewrite[SIGTERM], SIGQUIT);
    assert_int_equal(load.config.worker.rewrite[SIGHUP], 0);
    assert_int_equal(load.config.worker.rewrite[37], SIGTERM);
    assert_int_equal(load.config.worker.rewrite[SIGINT], SIGINT);
    assert_false(load.any);
    assert_int_equal(load.origin[keys_find("worker", "rewrite")].source, SOURCE_COMMAND_LINE);
    assert_int_equal(config_rewrite(&load, "FOO:QUIT"), -1);
    assert_string_equal(load.error, "--rewrite FOO:QUIT: 'FOO:QUIT' is not a signal (TERM, RTMIN+3, 15): 'FOO'");
    assert_int_equal(config_rewrite(&load, ""), -1);
    assert_int_equal(config_rewrite(&load, "none"), -1);
    assert_int_equal(config_rewrite(&load, "TERM:QUIT,HUP:0"), -1);
    assert_int_equal(config_rewrite(&load, "KILL:TERM"), -1);
    assert_int_equal(load.config.worker.rewrite[SIGTERM], SIGQUIT);
}

static void keys_are_checked_against_each_other(void **state)
{
    static const struct {
        const char *set[4];
        const char *error; /* NULL: fine */
    } rows[] = {
        { { NULL }, NULL },
        { { "recycle.at=512M" }, NULL },
        { { "trim.at=400M", "trim.signal=USR2", "recycle.at=512M" }, NULL },
        { { "trim.at=80%", "trim.signal=USR2", "recycle.at=512M" }, NULL },
        { { "trim.at=1G", "trim.signal=USR2", "recycle.at=80%" }, NULL },
        { { "trim.at=512M", "trim.signal=USR2", "recycle.at=512M" },
          "--set recycle.at=512M: 512M must be above [trim] at, which is 512M" },
        { { "trim.at=80%", "trim.signal=USR2", "recycle.at=70%" },
          "--set recycle.at=70%: 70% must be above [trim] at, which is 80%" },
        { { "trim.at=80%" }, NULL },
        { { "trim.at=80%", "trim.signal=none" },
          "--set trim.at=80%: nothing would be asked to trim; set [trim] signal to agent, or to one that the worker "
          "handles" },
        { { "trim.every=10m", "allocator.agent=no" },
          "--set trim.every=10m: nothing would be asked to trim; set [trim] signal to agent, or to one that the worker "
          "handles" },
        { { "container.pressure=some 200ms/2s", "trim.signal=none" },
          "--set container.pressure=some 200ms/2s: nothing would be asked to trim; set [trim] signal to agent, or to "
          "one that the "
          "worker handles" },
        { { "trim.signal=USR2" }, NULL },                /* when idle, and for the container */
        { { "trim.signal=USR2", "trim.idle=0" }, NULL }, /* for the container alone */
        { { "trim.signal=USR2", "trim.idle=0", "container.trim_at=off", "trim.at=1G" }, NULL },
        { { "trim.idle=0", "container.trim_at=off" }, NULL },
        { { "trim.signal=USR2", "trim.idle=0", "container.trim_at=off" },
          "--set trim.signal=USR2: it would never be sent; set [trim] at" },
        { { "container.recycle_at=60%", "trim.signal=none" }, NULL },
        { { "container.recycle_at=60%" },
          "--set container.recycle_at=60%: 60% must be above [container] trim_at, which is 70%" },
        { { "worker.restart=never", "recycle.method=respawn" },
          "--set recycle.method=respawn: respawn cannot be while [worker] restart is never" },
        { { "worker.restart=never", "recycle.method=signal" }, NULL },
        { { "worker.group=web" }, NULL },
    };
    struct config_load load;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        config_defaults(&load);
        for (int j = 0; j < 4 && rows[i].set[j]; j++)
            assert_int_equal(config_set(&load, rows[i].set[j]), 0);
        assert_int_equal(config_check(&load), rows[i].error ? -1 : 0);
        if (rows[i].error)
            assert_string_equal(load.error, rows[i].error);
    }
    assert_int_equal(parse(&load, TEXT("[trim]\nat = 1G\nsignal = USR2\n[recycle]\nat = 512M\n")), 0);
    assert_int_equal(config_check(&load), -1);
    assert_string_equal(load.error, "conf/x.ini:5: [recycle] at: 512M must be above [trim] at, which is 1G");
    char *environment[] = { "TRIMTAB_RECYCLE_AT=600M", NULL };
    assert_int_equal(config_read_environment(&load, environment), 0);
    assert_int_equal(config_check(&load), -1);
    assert_string_equal(load.error, "TRIMTAB_RECYCLE_AT: 600M must be above [trim] at, which is 1G");
}

/* Defaults pass the checks; what is said if one of them did not. */
static void a_default_that_fails_a_check_is_named(void **state)
{
    static const enum config_source sources[] = { SOURCE_DEFAULT, (enum config_source)99 };
    struct config_load load;

    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        config_defaults(&load);
        load.config.worker.restart = CONFIG_RESTART_NEVER;
        load.config.recycle.method = CONFIG_METHOD_RESPAWN;
        load.origin[keys_find("recycle", "method")].source = sources[i];
        assert_int_equal(config_check(&load), -1);
        assert_string_equal(load.error, "defaults: respawn cannot be while [worker] restart is never");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_wins_over_environment_over_file),
        cmocka_unit_test(every_key_has_a_variable),
        cmocka_unit_test(bad_variables_are_named),
        cmocka_unit_test(variables_of_kubernetes_are_passed_over),
        cmocka_unit_test(bad_settings_are_named),
        cmocka_unit_test(an_endless_word_is_cut_in_the_message),
        cmocka_unit_test(rewrites_add_up_and_make_no_policy),
        cmocka_unit_test(keys_are_checked_against_each_other),
        cmocka_unit_test(a_default_that_fails_a_check_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
