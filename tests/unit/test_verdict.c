#include "policy/verdict.h"

#include <string.h>

#include "cmocka_all.h"

#define MIB(n) ((uint64_t)(n) << 20)

struct row {
    const char *what;
    struct verdict_evidence evidence;
    enum verdict want;
    const char *advice; /* a part of it */
};

#define NO_FIGURES .held_bytes = VERDICT_NO_FIGURE, .used_bytes = VERDICT_NO_FIGURE

static const struct row rows[] = {
    { "nothing was tried", { NO_FIGURES }, VERDICT_UNKNOWN, "too little" },
    { "it grows, and nothing was trimmed", { NO_FIGURES, .shape = TREND_RISING }, VERDICT_UNKNOWN, "look alike" },
    { "trims help, what stays is flat",
      { NO_FIGURES, .trims = 4, .worth = 2, .shape = TREND_FLAT },
      VERDICT_FRAGMENTATION,
      "nothing to do" },
    { "trims help, but what stays grows",
      { NO_FIGURES, .trims = 4, .worth = 4, .shape = TREND_RISING },
      VERDICT_GROWTH,
      "leak" },
    { "trims do not help, and it grows", { NO_FIGURES, .trims = 2, .shape = TREND_RISING }, VERDICT_GROWTH, "leak" },
    { "trims seldom help, and it is flat",
      { NO_FIGURES, .trims = 3, .worth = 1, .shape = TREND_FLAT },
      VERDICT_UNKNOWN,
      "cache" },
    { "one trim in vain, and it grows", { NO_FIGURES, .trims = 1, .shape = TREND_RISING }, VERDICT_GROWTH, "leak" },
    { "one trim that helped, and it grows",
      { NO_FIGURES, .trims = 1, .worth = 1, .shape = TREND_RISING },
      VERDICT_UNKNOWN,
      "too little" },
    { "one trim is none", { NO_FIGURES, .trims = 1, .worth = 1, .shape = TREND_FLAT }, VERDICT_UNKNOWN, "too little" },
    { "two helped, too early for a shape", { NO_FIGURES, .trims = 2, .worth = 2 }, VERDICT_FRAGMENTATION, "" },
    { "a quarter of the heap is free, and stays",
      { .rss_bytes = MIB(400), .held_bytes = MIB(400), .used_bytes = MIB(300), .trims = 2, .shape = TREND_FLAT },
      VERDICT_PINNED,
      "jemalloc" },
    { "as much, in another allocator",
      { .rss_bytes = MIB(400),
        .held_bytes = MIB(400),
        .used_bytes = MIB(300),
        .trims = 2,
        .shape = TREND_FLAT,
        .other_heap = true },
      VERDICT_PINNED,
      "[recycle] at" },
    { "most lies outside the heap",
      { .rss_bytes = MIB(402), .held_bytes = MIB(200), .used_bytes = MIB(190), .trims = 2, .shape = TREND_FLAT },
      VERDICT_OUTSIDE,
      "pythonmalloc" },
    { "most lies outside the heap, and much of that is free",
      { .rss_bytes = MIB(402), .held_bytes = MIB(200), .used_bytes = MIB(1), .trims = 2 },
      VERDICT_OUTSIDE,
      "pythonmalloc" },
    { "most lies outside the heap, and grows",
      { .rss_bytes = MIB(402), .held_bytes = MIB(200), .used_bytes = MIB(1), .trims = 2, .shape = TREND_RISING },
      VERDICT_GROWTH,
      "leak" },
    { "most lies outside the heap, and one trim is none",
      { .rss_bytes = MIB(402), .held_bytes = MIB(200), .used_bytes = MIB(190), .trims = 1 },
      VERDICT_UNKNOWN,
      "too little" },
    { "most lies outside the heap, but trims help",
      { .rss_bytes = MIB(402), .held_bytes = MIB(200), .used_bytes = MIB(190), .trims = 2, .worth = 1 },
      VERDICT_FRAGMENTATION,
      "nothing to do" },
    { "half of it does, and much of that is free",
      { .rss_bytes = MIB(400), .held_bytes = MIB(200), .used_bytes = MIB(100), .trims = 2 },
      VERDICT_PINNED,
      "jemalloc" },
    { "half of it does",
      { .rss_bytes = MIB(400), .held_bytes = MIB(200), .used_bytes = MIB(190), .trims = 2, .shape = TREND_FLAT },
      VERDICT_UNKNOWN,
      "cache" },
    { "it grows, and one trim helped",
      { NO_FIGURES, .rss_bytes = MIB(400), .trims = 1, .worth = 1, .shape = TREND_RISING },
      VERDICT_UNKNOWN,
      "too little" },
    { "nobody knows how much the heap holds",
      { NO_FIGURES, .rss_bytes = UINT64_MAX, .trims = 2, .shape = TREND_FLAT },
      VERDICT_UNKNOWN,
      "cache" },
    { "as much, and growing",
      { .rss_bytes = MIB(400), .held_bytes = MIB(400), .used_bytes = MIB(300), .trims = 2, .shape = TREND_RISING },
      VERDICT_PINNED,
      "jemalloc" },
    { "most of what is free was returned",
      { .rss_bytes = MIB(27),
        .held_bytes = MIB(323),
        .used_bytes = MIB(3),
        .trims = 4,
        .worth = 1,
        .shape = TREND_FLAT },
      VERDICT_UNKNOWN,
      "cache" },
    { "half of what is free was returned",
      { .rss_bytes = MIB(200), .held_bytes = MIB(300), .used_bytes = MIB(100), .trims = 2, .shape = TREND_FLAT },
      VERDICT_PINNED,
      "jemalloc" },
    { "a little more than half",
      { .rss_bytes = MIB(199), .held_bytes = MIB(300), .used_bytes = MIB(100), .trims = 2, .shape = TREND_FLAT },
      VERDICT_UNKNOWN,
      "cache" },
    { "more is used than is resident",
      { .rss_bytes = MIB(100), .held_bytes = MIB(200), .used_bytes = MIB(190), .trims = 2, .shape = TREND_FLAT },
      VERDICT_UNKNOWN,
      "cache" },
    { "less than a quarter is free",
      { .rss_bytes = MIB(400), .held_bytes = MIB(400), .used_bytes = MIB(301), .trims = 2, .shape = TREND_FLAT },
      VERDICT_UNKNOWN,
      "cache" },
    { "the heap is in use and grows",
      { .rss_bytes = MIB(400), .held_bytes = MIB(400), .used_bytes = MIB(390), .trims = 2, .shape = TREND_RISING },
      VERDICT_GROWTH,
      "leak" },
    { "much is free, but trims return it",
      { .rss_bytes = MIB(400),
        .held_bytes = MIB(400),
        .used_bytes = MIB(100),
        .trims = 2,
        .worth = 1,
        .shape = TREND_FLAT },
      VERDICT_FRAGMENTATION,
      "nothing to do" },
    { "figures that cannot be",
      { .rss_bytes = MIB(400), .held_bytes = MIB(400), .used_bytes = MIB(900), .trims = 2, .shape = TREND_FLAT },
      VERDICT_UNKNOWN,
      "cache" },
    { "an empty heap", { .held_bytes = 0, .used_bytes = 0, .trims = 2, .shape = TREND_FLAT }, VERDICT_UNKNOWN, "" },
    { "half of the figures",
      { .rss_bytes = MIB(400),
        .held_bytes = MIB(400),
        .used_bytes = VERDICT_NO_FIGURE,
        .trims = 2,
        .shape = TREND_FLAT },
      VERDICT_UNKNOWN,
      "" },
    { "trims do not help, too early for a shape", { NO_FIGURES, .trims = 4 }, VERDICT_UNKNOWN, "too little" },
};

static void every_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum verdict verdict = verdict_of(&rows[i].evidence);
        if (verdict != rows[i].want)
            fail_msg("%s: %s", rows[i].what, verdict_name(verdict));
        const char *advice = verdict_advice(verdict, &rows[i].evidence);
        if (strstr(advice, rows[i].advice) == NULL)
            fail_msg("%s: advice is '%s'", rows[i].what, advice);
    }
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(verdict_name(VERDICT_UNKNOWN), "unknown");
    assert_string_equal(verdict_name(VERDICT_FRAGMENTATION), "fragmentation");
    assert_string_equal(verdict_name(VERDICT_PINNED), "pinned");
    assert_string_equal(verdict_name(VERDICT_GROWTH), "growth");
    assert_string_equal(verdict_name(VERDICT_OUTSIDE), "outside");
    assert_string_equal(verdict_name((enum verdict)99), "unknown");
    assert_string_equal(verdict_advice((enum verdict)99, &rows[0].evidence), "too little was seen to tell");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_case), cmocka_unit_test(names) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
