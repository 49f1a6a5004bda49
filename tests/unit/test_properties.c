/* What holds of every input to src/config: units against a second way to compute them, keys, policies, options. */
#include "config/config.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/keys.h"
#include "config/options.h"
#include "config/units.h"
#include "random.h"
#include "same_config.h"

enum { TEXT_ROOM = 2048, UNTOUCHED = 4711 };

/* ---- units ---- */

struct spelling {
    const char *unit;
    uint64_t factor;
};

static const struct spelling sizes[] = {
    { "KiB", UINT64_C(1) << 10 }, { "MiB", UINT64_C(1) << 20 }, { "GiB", UINT64_C(1) << 30 },
    { "TiB", UINT64_C(1) << 40 }, { "m", UINT64_C(1) << 20 },   { "GB", UINT64_C(1) << 30 },
};
static const struct spelling times[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
};

/* A random number with up to six digits behind the point, and what it is in units of factor. */
static void write_quantity(struct random *random, const struct spelling *spelling, char *ret_text, size_t size,
                           unsigned __int128 *ret_value, bool *ret_vanishes)
{
    const uint64_t whole = random_below(random, 2) ? random_number(random) : random_number(random) / spelling->factor;
    const int digits = (int)random_below(random, 7);
    uint64_t scale = 1;

    for (int i = 0; i < digits; i++)
        scale *= 10;
    const uint64_t part = random_below(random, scale);
    if (digits > 0)
        (void)snprintf(ret_text, size, "%" PRIu64 ".%0*" PRIu64 "%s", whole, digits, part, spelling->unit);
    else
        (void)snprintf(ret_text, size, "%" PRIu64 "%s", whole, spelling->unit);
    *ret_value = (unsigned __int128)whole * spelling->factor + (unsigned __int128)part * spelling->factor / scale;
    *ret_vanishes = *ret_value == 0 && part > 0;
}

/* Rounded down, refused beyond 64 bits, and refused when something would become nothing. */
static void check_quantities(const struct spelling *spellings, size_t count,
                             int (*parse)(const char *text, uint64_t *ret_number))
{
    struct random random = random_begin();
    char text[96];

    for (int i = 0; i < RANDOM_CASES; i++) {
        unsigned __int128 value = 0;
        bool vanishes = false;
        uint64_t number = UNTOUCHED;
        write_quantity(&random, &spellings[random_below(&random, count)], text, sizeof text, &value, &vanishes);
        const bool refused = value > UINT64_MAX || vanishes;
        if (parse(text, &number) != (refused ? -1 : 0) || number != (refused ? UNTOUCHED : (uint64_t)value))
            fail_msg("%s became %" PRIu64, text, number);
    }
}

static void sizes_are_what_arithmetic_says(void **state)
{
    (void)state;
    check_quantities(sizes, sizeof sizes / sizeof sizes[0], units_parse_bytes);
}

static void times_are_what_arithmetic_says(void **state)
{
    (void)state;
    check_quantities(times, sizeof times / sizeof times[0], units_parse_ms);
}

static void a_larger_text_is_no_smaller_number(void **state)
{
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const size_t unit = random_below(&random, sizeof sizes / sizeof sizes[0]);
        const uint64_t low = random_number(&random) >> 24, high = low + random_below(&random, 3);
        const uint64_t low_part = random_below(&random, 1000), high_part = random_below(&random, 1000);
        uint64_t low_bytes = 0, high_bytes = 0;
        char text[64];
        (void)snprintf(text, sizeof text, "%" PRIu64 ".%03" PRIu64 "%s", low, low_part, sizes[unit].unit);
        const int low_result = units_parse_bytes(text, &low_bytes);
        (void)snprintf(text, sizeof text, "%" PRIu64 ".%03" PRIu64 "%s", high, high_part, sizes[unit].unit);
        const int high_result = units_parse_bytes(text, &high_bytes);
        if (high == low && high_part < low_part)
            continue;
        assert_true(high_result != 0 || low_result == 0 || low_bytes == 0);
        if (low_result == 0 && high_result == 0)
            assert_true(low_bytes <= high_bytes);
    }
}

/* What is printed is taken, and nothing with a byte more or less means the same. */
static void what_is_printed_is_taken_and_nothing_behind_it(void **state)
{
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const uint64_t number = random_number(&random);
        const char behind = (char)(1 + random_below(&random, 255));
        char text[32];
        uint64_t bytes = 0, ms = 0;
        uint32_t permyriad = 0;
        units_print_bytes(number, text, sizeof text);
        assert_int_equal(units_parse_bytes(text, &bytes), 0);
        assert_true(bytes == number);
        (void)snprintf(text + strlen(text), 2, "%c", behind);
        assert_true(units_parse_bytes(text, &bytes) != 0 || bytes != number || number == 0 || strchr("bBiI", behind));
        units_print_ms(number, text, sizeof text);
        assert_int_equal(units_parse_ms(text, &ms), 0);
        assert_true(ms == number);
        (void)snprintf(text + strlen(text), 2, "%c", behind);
        assert_true(units_parse_ms(text, &ms) != 0 || ms != number || number == 0);
        units_print_permyriad((uint32_t)(number % 10001), text, sizeof text);
        assert_int_equal(units_parse_permyriad(text, &permyriad), 0);
        assert_int_equal(permyriad, number % 10001);
        (void)snprintf(text + strlen(text), 2, "%c", behind);
        assert_int_equal(units_parse_permyriad(text, &permyriad), -1);
    }
}

/* Any bytes: taken or refused without a look behind them; taken ones are made of a few letters only. */
static void nothing_strange_is_a_unit(void **state)
{
    static const char *const good[] = { "512M", "1.5GiB", "10m", "200ms", "80%", "2.5%", "TERM", "SIGRTMIN+3", "64" };
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        char text[64];
        const char *seed = good[random_below(&random, sizeof good / sizeof good[0])];
        size_t size = strlen(seed);
        memcpy(text, seed, size);
        random_damage(&random, text, &size, sizeof text);
        char *exact = exact_string(text, size);
        uint64_t bytes = UNTOUCHED, ms = UNTOUCHED, count = UNTOUCHED;
        uint32_t permyriad = UNTOUCHED;
        int signal = UNTOUCHED;
        const bool is_bytes = units_parse_bytes(exact, &bytes) == 0, is_ms = units_parse_ms(exact, &ms) == 0,
                   is_count = units_parse_count(exact, &count) == 0,
                   is_share = units_parse_permyriad(exact, &permyriad) == 0,
                   is_signal = units_parse_signal(exact, &signal) == 0;
        if (strspn(exact, "0123456789.KMGTkmgtiIbB") != strlen(exact))
            assert_true(!is_bytes && bytes == UNTOUCHED);
        if (strspn(exact, "0123456789.msdh") != strlen(exact))
            assert_true(!is_ms && ms == UNTOUCHED);
        assert_true(is_share == (permyriad != UNTOUCHED) && (!is_share || permyriad <= 10000));
        assert_true(is_signal == (signal != UNTOUCHED) && (!is_signal || (signal >= 1 && signal <= 64)));
        assert_true(!is_count || (is_bytes && bytes == count)); /* a count is a size in bytes */
        assert_true(!(is_share && (is_bytes || is_ms)));
        free(exact);
    }
}

/* ---- keys ---- */

static const char *const values[] = {
    "512M",
    "1.5G",
    "64K",
    "0",
    "1",
    "65536",
    "80%",
    "2.5%",
    "off",
    "auto",
    "none",
    "inherit",
    "yes",
    "no",
    "true",
    "10m",
    "1.5s",
    "200ms",
    "1d",
    "TERM",
    "SIGRTMIN+3",
    "15",
    "KILL",
    "TERM, INT",
    "TERM:QUIT, HUP:0",
    "RTMAX:0",
    "worker",
    "children",
    "signal",
    "respawn",
    "json",
    "debug",
    "always",
    "chown, net_bind_service",
    "cap_chown",
    "-1000",
    "1000",
    "app",
    "gunicorn: worker*",
    "/usr/lib/libjemalloc.so.2",
    "narenas:1,tcache:false",
    "some 200ms/2s",
    "full 100ms/500ms",
    "",
};

/* A value, damaged or not, on the heap. */
static char *random_value(struct random *random)
{
    char text[TEXT_ROOM];
    const char *seed = values[random_below(random, sizeof values / sizeof values[0])];
    size_t size = strlen(seed);

    memcpy(text, seed, size);
    if (random_below(random, 2))
        random_damage(random, text, &size, random_below(random, 16) ? 64 : sizeof text);
    return exact_string(text, size);
}

/* A value is refused and nothing is changed, or what is printed of it gives the same configuration. */
static void a_value_is_refused_or_read_back(void **state)
{
    struct random random = random_begin();
    static struct config_load load;
    int taken = 0;

    (void)state;
    config_defaults(&load);
    for (int i = 0; i < RANDOM_CASES; i++) {
        const struct key *key = &keys[random_below(&random, (size_t)keys_count)];
        struct config config = load.config, again = load.config;
        char *value = random_value(&random);
        char printed[TEXT_ROOM];
        const char *wrong = keys_apply(key, value, &config);
        if (wrong) {
            assert_true(*wrong != '\0');
            assert_memory_equal(&config, &load.config, sizeof config);
        } else {
            taken++;
            keys_print(key, &config, printed, sizeof printed);
            assert_null(keys_apply(key, printed, &again));
            assert_same_config(&again, &config);
        }
        free(value);
    }
    assert_in_range(taken, RANDOM_CASES / 20, RANDOM_CASES);
}

/* ---- policies ---- */

/* Some lines of keys and values, most of them right, then damaged. Returns its size. */
static size_t random_policy(struct random *random, char *ret_text, size_t room)
{
    size_t size = 0;
    const char *section = "";

    for (size_t line = random_below(random, 12); line > 0 && size + 2 * CONFIG_TEXT_MAX < room; line--) {
        const struct key *key = &keys[random_below(random, (size_t)keys_count)];
        const char *value = values[random_below(random, sizeof values / sizeof values[0])];
        struct config config;
        if (random_below(random, 16) && keys_apply(key, value, &config))
            value = *key->fallback ? key->fallback : "none";
        if (strcmp(section, key->section) != 0)
            size += (size_t)snprintf(ret_text + size, room - size, "[%s]\n", key->section);
        section = key->section;
        if (random_below(random, 8) == 0)
            size += (size_t)snprintf(ret_text + size, room - size, "# comment\r\n\n");
        size += (size_t)snprintf(ret_text + size, room - size, "%s%s= %s%s", key->name,
                                 random_below(random, 2) ? " " : "", value, random_below(random, 16) ? "\n" : "");
    }
    if (random_below(random, 2))
        random_damage(random, ret_text, &size, room);
    return size;
}

static int parse(struct config_load *load, const char *text, size_t size)
{
    char *exact = exact_copy(text, size);
    const int result = config_parse(load, "x.ini", exact, size);

    free(exact);
    return result;
}

/* Where line number (from 1) begins. */
static size_t line_begin(const char *text, size_t size, int number)
{
    size_t at = 0;

    for (int line = 1; line < number; line++) {
        const char *newline = memchr(text + at, '\n', size - at);
        assert_non_null(newline);
        at = (size_t)(newline - text) + 1;
    }
    return at;
}

/* The message names the first line that is wrong: what stands before it is a policy, and what behind it is not read. */
static void check_refusal(const struct config_load *load, const struct config_load *before, const char *text,
                          size_t size)
{
    struct config_load part = *before;
    int line = 0, read = 0;

    assert_memory_equal(&load->config, &before->config, sizeof load->config);
    assert_memory_equal(load->origin, before->origin, sizeof load->origin);
    assert_int_equal(load->any, before->any);
    assert_int_equal(sscanf(load->error, "x.ini:%d: %n", &line, &read), 1);
    assert_true(read > 0 && load->error[read] != '\0' && line >= 1);
    const size_t begin = line_begin(text, size, line);
    assert_int_equal(parse(&part, text, begin), 0);
    const char *newline = memchr(text + begin, '\n', size - begin);
    part = *before;
    assert_int_equal(parse(&part, text, newline ? (size_t)(newline - text) : size), -1);
    assert_string_equal(part.error, load->error);
}

static void a_policy_is_taken_whole_or_its_first_wrong_line_is_named(void **state)
{
    struct random random = random_begin();
    static struct config_load before, load;
    int taken = 0;

    (void)state;
    config_defaults(&before);
    assert_int_equal(config_set(&before, "recycle.samples=7"), 0);
    for (int i = 0; i < RANDOM_CASES; i++) {
        char text[TEXT_ROOM];
        const size_t size = random_policy(&random, text, sizeof text);
        load = before;
        if (parse(&load, text, size) != 0) {
            check_refusal(&load, &before, text, size);
            continue;
        }
        taken++;
        assert_true(load.any);
        for (int row = 0; row < keys_count; row++) {
            if (load.origin[row].source == SOURCE_FILE)
                assert_true(line_begin(text, size, load.origin[row].line) < size);
        }
    }
    assert_in_range(taken, RANDOM_CASES / 20, RANDOM_CASES - RANDOM_CASES / 20);
}

static void bytes_of_any_kind_are_no_policy_or_one(void **state)
{
    struct random random = random_begin();
    static struct config_load before, load;

    (void)state;
    config_defaults(&before);
    for (int i = 0; i < RANDOM_CASES; i++) {
        char text[64];
        const size_t size = random_below(&random, sizeof text);
        for (size_t j = 0; j < size; j++)
            text[j] = random_byte(&random);
        load = before;
        if (parse(&load, text, size) != 0)
            check_refusal(&load, &before, text, size);
    }
}

/* ---- environment and command line ---- */

static const char *const words[] = {
    "TRIMTAB_TRIM_AT=1G",
    "TRIMTAB_RECYCLE_MIN_AGE=5m",
    "TRIMTAB_WORKER_REWRITE=TERM:QUIT",
    "TRIMTAB_WATCH_SERVICE_HOST=10.0.0.1",
    "TRIMTAB_TRMI_AT=1G",
    "TRIMTAB_POLICY=x",
    "trim.at=80%",
    "recycle.grace=30s",
    "TERM:QUIT",
    "-sgv",
    "-pTERM",
    "-e",
    "143",
    "--set",
    "--policy=gunicorn",
    "--rewrite",
    "--check",
    "--",
    "sh",
};

static char *random_word(struct random *random)
{
    char text[TEXT_ROOM];
    const char *seed = words[random_below(random, sizeof words / sizeof words[0])];
    size_t size = strlen(seed);

    memcpy(text, seed, size);
    if (random_below(random, 2))
        random_damage(random, text, &size, 64);
    return exact_string(text, size);
}

static void assert_printable(const char *text)
{
    assert_true(*text != '\0');
    for (; *text != '\0'; text++)
        assert_in_range((unsigned char)*text, 0x20, 0x7e);
}

static void a_setting_is_taken_or_said_to_be_wrong(void **state)
{
    struct random random = random_begin();
    static struct config_load load;

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        char *word = random_word(&random);
        char *environment[] = { word, NULL };
        config_defaults(&load);
        if (config_read_environment(&load, environment) != 0) {
            assert_printable(load.error);
            assert_true(strncmp(load.error, "TRIMTAB_", 8) == 0);
        }
        if (config_set(&load, word) != 0) {
            assert_printable(load.error);
            assert_true(strncmp(load.error, "--set ", 6) == 0);
        }
        if (config_rewrite(&load, word) != 0) {
            assert_printable(load.error);
            assert_true(strncmp(load.error, "--rewrite ", 10) == 0);
        }
        free(word);
    }
}

static void a_command_line_is_taken_or_said_to_be_wrong(void **state)
{
    struct random random = random_begin();
    static struct options options;

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        char *argv[8] = { exact_string("trimtab", 7) };
        int argc = 1;
        for (const int count = (int)random_below(&random, 7); argc <= count; argc++)
            argv[argc] = random_word(&random);
        if (options_parse(&options, argc, argv) != 0)
            assert_printable(options.error);
        else if (!options.program)
            assert_true(options.check || options.help || options.version || options.license);
        else
            assert_true(options.program > argv && options.program < argv + argc && options.program[0]);
        for (int j = 0; j < argc; j++)
            free(argv[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_what_arithmetic_says),
        cmocka_unit_test(times_are_what_arithmetic_says),
        cmocka_unit_test(a_larger_text_is_no_smaller_number),
        cmocka_unit_test(what_is_printed_is_taken_and_nothing_behind_it),
        cmocka_unit_test(nothing_strange_is_a_unit),
        cmocka_unit_test(a_value_is_refused_or_read_back),
        cmocka_unit_test(a_policy_is_taken_whole_or_its_first_wrong_line_is_named),
        cmocka_unit_test(bytes_of_any_kind_are_no_policy_or_one),
        cmocka_unit_test(a_setting_is_taken_or_said_to_be_wrong),
        cmocka_unit_test(a_command_line_is_taken_or_said_to_be_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
