/* What holds of every text that src/os parses: what was written is read back, damage is refused or means something,
 * and nothing is read behind the end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "os/cgroup.h"
#include "os/child.h"
#include "os/process.h"
#include "random.h"

enum { TEXT_ROOM = 4096, UNTOUCHED = 4711 };

/* 0 .. INT32_MAX */
static int random_pid(struct random *random)
{
    return (int)(random_number(random) & INT32_MAX);
}

/* A name as a process may give itself: any bytes but NUL. */
static void random_name(struct random *random, char ret_name[16])
{
    const size_t length = random_below(random, 16);

    for (size_t i = 0; i < length; i++) {
        const char c = random_byte(random);
        ret_name[i] = c ? c : ')';
    }
    ret_name[length] = '\0';
}

static int parse_stat(const char *text, size_t size, struct process_stat *ret_stat)
{
    char *exact = exact_copy(text, size);
    const int result = process_parse_stat(exact, size, ret_stat);

    free(exact);
    return result;
}

static void a_stat_line_is_read_back_whatever_the_name(void **state)
{
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const int pid = random_pid(&random), parent = random_pid(&random);
        const uint64_t start = random_number(&random);
        char name[16], text[TEXT_ROOM];
        random_name(&random, name);
        size_t size = (size_t)snprintf(text, sizeof text,
                                       "%d (%s) S %d 1 1 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 %" PRIu64 " 26624 2\n",
                                       pid, name, parent, start);
        struct process_stat stat;
        assert_int_equal(parse_stat(text, size, &stat), 0);
        assert_true(stat.pid == pid && stat.parent == parent && stat.state == 'S' && stat.start_ticks == start);
        assert_string_equal(stat.name, name);

        struct process_stat damaged = { .pid = -UNTOUCHED };
        random_damage(&random, text, &size, sizeof text);
        const int result = parse_stat(text, size, &damaged);
        assert_true(result == 0 || (result == -EINVAL && damaged.pid == -UNTOUCHED));
        assert_true(result != 0 || (damaged.pid >= 0 && damaged.parent >= 0));
    }
}

/* A parser of one number, a text that holds it at %s, and whether it is written in hexadecimal. */
static int parse_caught(const char *text, size_t size, uint64_t *ret_mask)
{
    return process_parse_mask(text, size, PROCESS_CAUGHT, ret_mask);
}

struct number_text {
    int (*parse)(const char *text, size_t size, uint64_t *ret_number);
    const char *before, *behind;
    bool hex;
};

static const struct number_text number_texts[] = {
    { process_parse_statm, "8321 ", " 1000 2 0 900 0\n", false },
    { parse_caught, "Name:\tpython3\nSigIgn:\t0000000001001000\nSigCgt:\t", "\nCapInh:\t0\n", true },
    { process_parse_generation, "0.00 0.01 0.05 2/345 ", "\n", false },
};

static int parse_number(const struct number_text *row, const char *text, size_t size, uint64_t *ret_number)
{
    char *exact = exact_copy(text, size);
    const int result = row->parse(exact, size, ret_number);

    free(exact);
    return result;
}

static void a_number_is_read_back_and_never_cut(void **state)
{
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const struct number_text *row =
            &number_texts[random_below(&random, sizeof number_texts / sizeof *number_texts)];
        const uint64_t number = random_number(&random);
        char text[TEXT_ROOM], digits[32];
        uint64_t read = UNTOUCHED;
        (void)snprintf(digits, sizeof digits, row->hex ? "%" PRIx64 : "%" PRIu64, number);
        size_t size = (size_t)snprintf(text, sizeof text, "%s%s%s", row->before, digits, row->behind);
        assert_int_equal(parse_number(row, text, size, &read), 0);
        assert_true(read == number);

        const size_t cut = random_below(&random, strlen(row->before) + strlen(digits) + 1);
        read = UNTOUCHED;
        assert_int_equal(parse_number(row, text, cut, &read), -EINVAL);
        assert_true(read == UNTOUCHED);

        random_damage(&random, text, &size, sizeof text);
        const int result = parse_number(row, text, size, &read);
        assert_true(result == 0 || (result == -EINVAL && read == UNTOUCHED));
    }
}

/* One digit more than fits is refused by all of them: no number is taken modulo 2^64. */
static void a_number_too_large_is_refused(void **state)
{
    static const char *const decimal[] = { "18446744073709551616", "99999999999999999999", "184467440737095516150" };
    static const char *const hex[] = { "10000000000000000", "00000000000000000", "fffffffffffffffff" };

    (void)state;
    for (size_t i = 0; i < sizeof number_texts / sizeof *number_texts; i++) {
        for (size_t j = 0; j < sizeof decimal / sizeof *decimal; j++) {
            const struct number_text *row = &number_texts[i];
            char text[TEXT_ROOM];
            uint64_t read = UNTOUCHED;
            const size_t size =
                (size_t)snprintf(text, sizeof text, "%s%s%s", row->before, row->hex ? hex[j] : decimal[j], row->behind);
            assert_int_equal(parse_number(row, text, size, &read), -EINVAL);
            assert_true(read == UNTOUCHED);
        }
    }
}

static void a_limit_is_read_back_or_none(void **state)
{
    static const uint64_t none_from = INT64_MAX - 0xffff; /* v1's "none" on the machine with the largest pages */
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const uint64_t number = random_number(&random);
        char text[TEXT_ROOM];
        uint64_t read = UNTOUCHED;
        size_t size = (size_t)snprintf(text, sizeof text, "%" PRIu64 "\n", number);
        char *exact = exact_copy(text, size);
        int result = cgroup_parse_limit(exact, size, &read);
        free(exact);
        if (result == 0)
            assert_true(read == (number >= none_from ? UINT64_MAX : number));
        else
            assert_true(result == -EINVAL && read == UNTOUCHED && number > none_from);

        if (random_below(&random, 4) == 0)
            size = (size_t)snprintf(text, sizeof text, "max\n");
        random_damage(&random, text, &size, sizeof text);
        exact = exact_copy(text, size);
        read = UNTOUCHED;
        result = cgroup_parse_limit(exact, size, &read);
        free(exact);
        assert_true(result == 0 || (result == -EINVAL && read == UNTOUCHED));
    }
}

static const char *const mountinfos[] = {
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
    "30 23 0:26 /docker/0123 /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n",
    "25 23 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
    "31 25 0:27 /docker/0123 /sys/fs/cgroup/memory ro master:12 shared:1 - cgroup cgroup rw,memory\n"
    "32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
    "40 23 0:26 / /a\\040folder\\134of\\011mine rw - cgroup2 none rw\n",
};
static const char *const cgroups[] = {
    "0::/\n",
    "0::/docker/0123\n",
    "0::/../../other\n",
    "12:cpu,cpuacct:/docker/0123\n9:memory:/docker/0123\n1:name=systemd:/x\n0::/system.slice\n",
};

/* Damaged tables and buffers of any size: a version, two texts with their NULs, and nothing written behind them. */
static void a_cgroup_is_located_or_not(void **state)
{
    struct random random = random_begin();
    int found = 0;

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        char texts[2][TEXT_ROOM], *exact[2], *result[2];
        size_t room[2];
        const char *const seeds[2] = { mountinfos[random_below(&random, sizeof mountinfos / sizeof *mountinfos)],
                                       cgroups[random_below(&random, sizeof cgroups / sizeof *cgroups)] };
        for (int j = 0; j < 2; j++) {
            size_t size = strlen(seeds[j]);
            memcpy(texts[j], seeds[j], size);
            random_damage(&random, texts[j], &size, sizeof texts[j]);
            exact[j] = exact_string(texts[j], size);
            room[j] = 1 + random_below(&random, random_below(&random, 4) ? CGROUP_PATH_MAX : 32);
            result[j] = malloc(room[j]);
            assert_non_null(result[j]);
        }
        const int version = cgroup_locate(exact[0], exact[1], random_below(&random, 2) ? CGROUP_MEMORY : CGROUP_UNIFIED,
                                          result[0], room[0], result[1], room[1]);
        assert_in_range(version, 0, 2);
        found += version > 0;
        for (int j = 0; j < 2; j++) {
            assert_true(version == 0 || strnlen(result[j], room[j]) < room[j]);
            free(exact[j]);
            free(result[j]);
        }
    }
    assert_in_range(found, RANDOM_CASES / 20, RANDOM_CASES);
}

/* Every candidate for a program ends in its name, they end, and the first elements of PATH come first. */
static void candidates_for_a_program_are_finite(void **state)
{
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        static const char folders[] = "/usr/local/bin:/usr/bin::.:/bin:";
        char path[TEXT_ROOM], name[16];
        size_t size = sizeof folders - 1;
        memcpy(path, folders, size);
        random_damage(&random, path, &size, sizeof path);
        random_name(&random, name);
        char *exact_path = exact_string(path, size), *exact_name = exact_string(name, strlen(name));
        const size_t room = 1 + random_below(&random, 64);
        char *result = malloc(room);
        assert_non_null(result);
        size_t most = strchr(name, '/') ? 1 : 1 + size, count = 0;
        const char *at = NULL, *candidate = NULL;
        while ((candidate = child_path_next(exact_name, exact_path, &at, result, room))) {
            const size_t length = strnlen(candidate, room), name_length = strlen(name);
            assert_true(length < room && length >= name_length);
            assert_string_equal(candidate + length - name_length, name);
            assert_true(++count <= most);
        }
        free(exact_path);
        free(exact_name);
        free(result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stat_line_is_read_back_whatever_the_name),
        cmocka_unit_test(a_number_is_read_back_and_never_cut),
        cmocka_unit_test(a_number_too_large_is_refused),
        cmocka_unit_test(a_limit_is_read_back_or_none),
        cmocka_unit_test(a_cgroup_is_located_or_not),
        cmocka_unit_test(candidates_for_a_program_are_finite),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
