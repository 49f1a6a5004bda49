/* Scenarios as text: what is understood, and how what is not is refused. */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "ctl/scenario.h"

#define MIB (UINT64_C(1) << 20)

static struct scenario scenario;
static struct scenario untouched;
static char error[SCENARIO_ERROR_MAX];

static int parse(const char *text)
{
    memset(&scenario, 0x5a, sizeof scenario);
    memset(&untouched, 0x5a, sizeof untouched);
    return scenario_parse(&scenario, "s.ini", text, strlen(text), error);
}

static void refused(const char *text, const char *message)
{
    assert_int_equal(parse(text), -1);
    assert_string_equal(error, message);
    assert_memory_equal(&scenario, &untouched, sizeof scenario);
}

static void understood(const char *text)
{
    if (parse(text) != 0)
        fail_msg("%s", error);
}

static void little_is_enough(void **state)
{
    (void)state;
    understood("[scenario]\nlimit = 1G\n");
    assert_int_equal(scenario.limit_bytes, 1024 * MIB);
    assert_int_equal(scenario.duration_ms, 3600000);
    assert_int_equal(scenario.workers, 0);
    assert_int_equal(scenario.worker.base_bytes, 50 * MIB);
    assert_true(scenario.worker.handles_trim);
    assert_int_equal(scenario.events, 0);
}

static void every_kind_of_value(void **state)
{
    (void)state;
    understood("; comment\n\n  [scenario]  \n\ttitle = A b = c\nduration=90m\nlimit = 512M\nworkers = 3\nseed = 7\n"
               "[traffic]\nswing = 25%\npeak = 13h\n"
               "[worker]\nleak = 6M/m\nfragment = 1K/h\npinned = 50%\ncpu = 12.5%\nhandles_trim = no\nagent = yes\n"
               "[master]\nbase = 40M\ndrain = 3s\n"
               "[event a]\nwhat = limit\nat = 10m\nvalue = 256M\n"
               "[event b]\nat = 1m\nevery = 2m\nwhat = spike\nvalue = 10M\nfor = 5s\nprocess = 2\n"
               "[event c]\nat = 1m\nwhat = leak\nvalue = 0\n[event d]\nat = 0\nwhat = crash");
    assert_string_equal(scenario.title, "A b = c");
    assert_int_equal(scenario.duration_ms, 5400000);
    assert_int_equal(scenario.workers, 3);
    assert_int_equal(scenario.seed, 7);
    assert_int_equal(scenario.traffic.swing_permyriad, 2500);
    assert_int_equal(scenario.worker.leak_rate, 6 * MIB * 1000 / 60);
    assert_int_equal(scenario.worker.fragment_rate, 284); /* 1/1000 bytes a second */
    assert_int_equal(scenario.worker.pinned_permyriad, 5000);
    assert_int_equal(scenario.worker.cpu_permille, 125);
    assert_false(scenario.worker.handles_trim);
    assert_true(scenario.worker.agent);
    assert_int_equal(scenario.master.base_bytes, 40 * MIB);
    assert_int_equal(scenario.master.drain_ms, 3000);
    assert_int_equal(scenario.events, 4);
    assert_string_equal(scenario.event[0].name, "a");
    assert_int_equal(scenario.event[0].value, 256 * MIB);
    assert_int_equal(scenario.event[1].every_ms, 120000);
    assert_int_equal(scenario.event[1].process, 2);
    assert_int_equal(scenario.event[2].value, 0);
    assert_int_equal(scenario.event[3].process, 1);
}

static void names_that_are_mistyped(void **state)
{
    (void)state;
    refused("[scenari]\n", "s.ini:1: [scenari]: unknown section; did you mean 'scenario'?");
    refused("[something]\n",
            "s.ini:1: [something]: unknown section; there are scenario, traffic, worker, master and event");
    refused("[scenario]\nlimit = 1G\n[worker]\n\nleek = 1M/m\n",
            "s.ini:5: [worker] leek: unknown key; did you mean 'leak'?");
    refused("[scenario]\nzzz = 1\n", "s.ini:2: [scenario] zzz: unknown key");
    refused("[scenario]\nlimit = 1G\n[event a]\nwhat = limits\n",
            "s.ini:4: [event a] what: nothing is called 'limits'; did you mean 'limit'?");
    refused("[scenario]\nlimit = 1G\n[event a]\nwhat = zzz\n", "s.ini:4: [event a] what: nothing is called 'zzz'");
    refused("[scenario]\nlimit = 1G\n[master]\nbase = 1M\nbaze = 1M",
            "s.ini:5: [master] baze: unknown key; did you mean 'base'?");
}

static void values_that_are_wrong(void **state)
{
    (void)state;
    refused("[scenario]\nlimit = 1 G\n", "s.ini:2: [scenario] limit: '1 G' is not a size (512M, 1.5G)");
    refused("[scenario]\nlimit = 5\n", "s.ini:2: [scenario] limit: '5' is too small");
    refused("[scenario]\nlimit = 8192T\n", "s.ini:2: [scenario] limit: '8192T' is too large");
    refused("[scenario]\nduration = 5\n", "s.ini:2: [scenario] duration: '5' is not a time (200ms, 1.5s, 10m)");
    refused("[scenario]\nworkers = 65\n", "s.ini:2: [scenario] workers: '65' is too large");
    refused("[scenario]\nworkers = -1\n", "s.ini:2: [scenario] workers: '-1' is not a number");
    refused("[worker]\nleak = 1M\n", "s.ini:2: [worker] leak: '1M' is not a size in a time (4K/s, 10M/h)");
    refused("[worker]\nleak = 1M/y\n", "s.ini:2: [worker] leak: '1M/y' is not a size in a time (4K/s, 10M/h)");
    refused("[worker]\npinned = 101%\n", "s.ini:2: [worker] pinned: '101%' is not a share (20%)");
    refused("[worker]\nagent = maybe\n", "s.ini:2: [worker] agent: 'maybe' is neither yes nor no");
    refused("[worker]\nbase =\n", "s.ini:2: [worker] base: empty value");
    refused("[scenario]\nlimit = 1G\n[event a]\nat = 1m\nwhat = limit\nvalue = x\n",
            "s.ini:6: [event a] value: 'x' is not a size (512M, 1.5G)");
}

static void lines_that_are_wrong(void **state)
{
    (void)state;
    refused("limit = 1G\n", "s.ini:1: limit = 1G: key before any section");
    refused("[scenario\n", "s.ini:1: '[' without ']'");
    refused("[scenario] x\n", "s.ini:1: text after ']'");
    refused("[scenario]\nlimit\n", "s.ini:2: limit: no '='; a key is set as in 'limit = 512M'");
    refused("[scenario]\n= 1G\n", "s.ini:2: = 1G: no key before '='; a key is set as in 'limit = 512M'");
    refused("[scenario]\nlimit = 1G # much\n", "s.ini:2: limit = 1G # much: '#'; a comment has a line of its own");
    refused("[scenario]\na:b = 1G\n", "s.ini:2: a:b = 1G: ':'; a comment has a line of its own");
    refused("[scenario]\nlimit = 1G\nlimit = 2G\n", "s.ini:3: [scenario] limit: already set in line 2");
    refused("[worker]\n[scenario]\n[worker]\n", "s.ini:3: [worker]: already begun in line 1");
    refused("[scenario]\nlimit = \x01\n", "s.ini:2: control character 0x01; is this a text file?");
    char text[400] = "[scenario]\ntitle = ";
    memset(text + strlen(text), 'x', 200);
    refused(text, "s.ini:2: line longer than 198 bytes");
}

static void events_that_are_not_whole(void **state)
{
    (void)state;
    refused("[scenario]\nlimit = 1G\n[event]\n", "s.ini:3: [event]: an event has a name, as in '[event more_memory]'");
    refused("[event a]\n[scenario]\nlimit = 1G\n", "s.ini:1: [event a] needs 'at'");
    refused("[event a]\nat = 1m\n[scenario]\n", "s.ini:1: [event a] needs 'what'");
    refused("[event a]\nat = 1m\nwhat = limit\n", "s.ini:1: [event a] what = limit needs 'value'");
    refused("[event a]\nat = 1m\nwhat = no_fork\n", "s.ini:1: [event a] what = no_fork needs 'for'");
    refused("[event a]\nat = 1m\nwhat = pressure\nvalue = 1\n", "s.ini:4: [event a] what = pressure takes no 'value'");
    refused("[event a]\nat = 1m\nwhat = limit\nvalue = 1G\nprocess = 1\n",
            "s.ini:5: [event a] what = limit takes no 'process'");
    refused("[event a]\nat = 1m\nwhat = crash\n[event a]\n", "s.ini:4: [event a]: there is one of that name in line 1");
    refused("[scenario]\nlimit = 1G\nduration = 1h\n[event a]\nat = 2h\nwhat = crash\n",
            "s.ini:4: [event a] at: after the end, see [scenario] duration");
    refused("[scenario]\nlimit = 1G\n[event a]\nat = 1m\nwhat = crash\nprocess = 1\n",
            "s.ini:3: [event a] process: there is no pool, the worker is 0");
    refused("[scenario]\nlimit = 1G\n[event a]\nat = 1m\nwhat = workers\nvalue = 1\n",
            "s.ini:3: [event a] what = workers: there is no pool");
}

static void parts_that_do_not_go_together(void **state)
{
    (void)state;
    refused("", "s.ini: no [scenario] limit: how much memory has the container?");
    refused("[scenario]\nlimit = 1G\n[master]\n", "s.ini:3: [master]: without [scenario] workers there is none");
    refused("[scenario]\nlimit = 1G\n[worker]\nshared = 1M\n", "s.ini:3: [worker] shared: with whom? there is no pool");
    refused("[scenario]\nlimit = 1G\nworkers = 1\n[worker]\nbase = 90M\nshared = 60M\n",
            "s.ini:4: [worker] shared: more than the master's base");
    refused("[scenario]\nlimit = 1G\nworkers = 1\n[worker]\nbase = 10M\nshared = 20M\n",
            "s.ini:4: [worker] shared: more than base");
    refused("[scenario]\nlimit = 1G\n[traffic]\nbusy = 1m\n", "s.ini:3: [traffic] busy and quiet go together");
    refused("[scenario]\nlimit = 1G\n[traffic]\nbusy = 1m\nquiet = 1m\nswing = 1%\n",
            "s.ini:3: [traffic] swing: not together with busy and quiet");
    refused("[scenario]\nlimit = 1G\n[worker]\nspike_every = 1m\n", "s.ini:3: [worker] spike_every: there is no spike");
    refused("[scenario]\nlimit = 1G\n[worker]\nfragment_max = 1M\n",
            "s.ini:3: [worker] fragment_max: nothing fragments, set fragment");
    refused("[scenario]\nlimit = 1G\n[worker]\nhandles_recycle = no\nignores_recycle = yes\n",
            "s.ini:3: [worker] ignores_recycle: without a handler the signal ends it");
}

static void as_many_events_as_there_is_room_for(void **state)
{
    static char text[SCENARIO_SIZE_MAX];
    (void)state;
    size_t used = (size_t)snprintf(text, sizeof text, "[scenario]\nlimit = 1G\n");
    for (int i = 0; i < SCENARIO_EVENTS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "[event e%d]\nat = 1m\nwhat = pressure\n", i);
    understood(text);
    assert_int_equal(scenario.events, SCENARIO_EVENTS_MAX);
    (void)snprintf(text + used, sizeof text - used, "[event x]\nat = 1m\nwhat = pressure\n");
    assert_int_equal(parse(text), -1);
    assert_non_null(strstr(error, "more than 256 events"));
}

/* Whatever bytes come, it ends, says something when it refuses, and leaves the result alone. */
static void bytes_of_any_kind(void **state)
{
    static const char good[] = "[scenario]\nlimit = 1G\nworkers = 3\n[worker]\nleak = 6M/m\nshared = 1M\n[master]\n"
                               "base = 40M\n[event a]\nwhat = limit\nat = 10m\nvalue = 256M\n";
    uint64_t random = 1;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        size_t size = model_random_below(&random, sizeof good);
        for (uint64_t slips = model_random_below(&random, 4); slips > 0; slips--)
            text[model_random_below(&random, sizeof good)] = (char)model_random(&random);
        memset(&scenario, 0x5a, sizeof scenario);
        memset(&untouched, 0x5a, sizeof untouched);
        if (scenario_parse(&scenario, "s.ini", text, size, error) == 0)
            continue;
        assert_memory_equal(error, "s.ini:", 6);
        assert_memory_equal(&scenario, &untouched, sizeof scenario);
    }
}

static void files_that_are_none(void **state)
{
    (void)state;
    assert_int_equal(scenario_read(&scenario, "/nonexistent/s.ini", error), -1);
    assert_string_equal(error, "/nonexistent/s.ini: cannot be read: No such file or directory");
    assert_int_equal(scenario_read(&scenario, "/", error), -1);
    assert_string_equal(error, "/: cannot be read: Is a directory");
    assert_int_equal(scenario_read(&scenario, "/dev/zero", error), -1);
    assert_string_equal(error, "/dev/zero: larger than 65536 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_enough),
        cmocka_unit_test(every_kind_of_value),
        cmocka_unit_test(names_that_are_mistyped),
        cmocka_unit_test(values_that_are_wrong),
        cmocka_unit_test(lines_that_are_wrong),
        cmocka_unit_test(events_that_are_not_whole),
        cmocka_unit_test(parts_that_do_not_go_together),
        cmocka_unit_test(as_many_events_as_there_is_room_for),
        cmocka_unit_test(bytes_of_any_kind),
        cmocka_unit_test(files_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
