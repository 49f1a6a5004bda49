/* The command line: tini's spellings, the long names, and what is said about a wrong word. */
#include "config/options.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct options options;

/* Parse a line of words; a NULL ends them. */
#define PARSE(...) parse((char *[]){ "trimtab", __VA_ARGS__, NULL })

static int parse(char **argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    return options_parse(&options, argc, argv);
}

static int clear_environment(void **state)
{
    (void)state;
    return clearenv();
}

static void a_program_alone_is_enough(void **state)
{
    (void)state;
    assert_int_equal(PARSE("sh", "-c", "x", "--policy"), 0);
    assert_string_equal(options.program[0], "sh");
    assert_string_equal(options.program[1], "-c");
    assert_string_equal(options.program[3], "--policy");
    assert_null(options.program[4]);
    assert_int_equal(options.verbosity, 1);
    assert_false(options.verbosity_given);
    assert_null(options.policy);
    assert_int_equal(options.death_signal, 0);
}

static void lines_of_tini_mean_the_same(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-s", "-g", "-w", "-vvv", "-p", "SIGKILL", "-e", "143", "-e0", "--", "echo", "-h"), 0);
    assert_true(options.subreaper && options.kill_group && options.warn_on_reap && options.verbosity_given);
    assert_int_equal(options.verbosity, 3);
    assert_int_equal(options.death_signal, SIGKILL);
    for (int code = 0; code < 256; code++)
        assert_int_equal(options.remap[code], code == 143 || code == 0);
    assert_string_equal(options.program[0], "echo");
    assert_string_equal(options.program[1], "-h");
    assert_false(options.help);

    assert_int_equal(PARSE("-sgvpSIGTERM", "-v", "--", "--", "x"), 0);
    assert_int_equal(options.death_signal, SIGTERM);
    assert_int_equal(options.verbosity, 3);
    assert_string_equal(options.program[0], "--");

    assert_int_equal(PARSE("-", "x"), 0); /* a lone '-' is no option */
    assert_string_equal(options.program[0], "-");
    assert_int_equal(PARSE(""), 0);
    assert_string_equal(options.program[0], "");
    assert_int_equal(PARSE("-vvvvvvvvv", "x"), 0);
    assert_int_equal(options.verbosity, 3);
}

static void every_option_has_a_long_name(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--subreaper", "--death-signal", "RTMIN+3", "--verbose", "--warn-on-reap",
                           "--kill-process-group", "--remap-exit=7", "--policy=gunicorn", "--set", "trim.at=1G",
                           "--set=trim.settle=3s", "--rewrite", "TERM:QUIT", "--check", "--dry-run", "x"),
                     0);
    assert_true(options.subreaper && options.warn_on_reap && options.kill_group && options.check && options.dry_run);
    assert_int_equal(options.death_signal, 37);
    assert_int_equal(options.verbosity, 2);
    assert_int_equal(options.remap[7], 1);
    assert_string_equal(options.policy, "gunicorn");
    assert_int_equal(options.set_count, 2);
    assert_string_equal(options.set[0], "trim.at=1G");
    assert_string_equal(options.set[1], "trim.settle=3s");
    assert_int_equal(options.rewrite_count, 1);
    assert_string_equal(options.rewrite[0], "TERM:QUIT");
    assert_int_equal(PARSE("--license"), 0);
    assert_true(options.license);
    assert_int_equal(PARSE("--help"), 0);
    assert_true(options.help);
    assert_int_equal(PARSE("--version"), 0);
    assert_true(options.version);
}

static void every_exit_code_can_be_remapped(void **state)
{
    (void)state;
    for (int code = 0; code < 256; code++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", code);
        assert_int_equal(PARSE("-e", text, "x"), 0);
        for (int i = 0; i < 256; i++)
            assert_int_equal(options.remap[i], i == code);
    }
}

static void every_signal_can_be_the_death_signal(void **state)
{
    (void)state;
    for (int signal = 1; signal <= 64; signal++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", signal);
        assert_int_equal(PARSE("-p", text, "x"), 0);
        assert_int_equal(options.death_signal, signal);
    }
    assert_int_equal(PARSE("-p", "int", "x"), 0);
    assert_int_equal(options.death_signal, SIGINT);
}

static void what_is_shown_wins_over_the_rest(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-h", "--nonsense"), 0);
    assert_true(options.help);
    assert_int_equal(PARSE("-sh9"), 0);
    assert_true(options.help);
    assert_int_equal(PARSE("-l"), 0);
    assert_true(options.license);
    assert_int_equal(PARSE("--nonsense", "-h"), -1);
}

static void check_needs_no_program(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--check"), 0);
    assert_null(options.program);
    assert_int_equal(PARSE("--check", "--"), 0);
    assert_null(options.program);
    assert_int_equal(PARSE("--check", "x", "y"), 0);
    assert_string_equal(options.program[1], "y");
}

static void wrong_words_are_named(void **state)
{
    static const struct {
        char *argv[5];
        const char *error;
    } rows[] = {
        { { "trimtab" }, "no program is given; usage: trimtab [options] [--] program [args]" },
        { { "trimtab", "-s" }, "no program is given; usage: trimtab [options] [--] program [args]" },
        { { "trimtab", "--" }, "no program is given; usage: trimtab [options] [--] program [args]" },
        { { "trimtab", "-x", "y" }, "unknown option '-x'; usage: trimtab [options] [--] program [args], or --help" },
        { { "trimtab", "-sxv", "y" }, "unknown option '-x'; usage: trimtab [options] [--] program [args], or --help" },
        { { "trimtab", "-s\x1b", "y" },
          "unknown option '-\\x1b'; usage: trimtab [options] [--] program [args], or --help" },
        { { "trimtab", "-s-", "y" }, "unknown option '--'; usage: trimtab [options] [--] program [args], or --help" },
        { { "trimtab", "--polcy", "y" }, "unknown option '--polcy'; did you mean '--policy'?" },
        { { "trimtab", "--ver", "y" },
          "unknown option '--ver'; usage: trimtab [options] [--] program [args], or "
          "--help" },
        { { "trimtab", "--=", "y" }, "unknown option '--='; usage: trimtab [options] [--] program [args], or --help" },
        { { "trimtab", "---", "y" }, "unknown option '---'; usage: trimtab [options] [--] program [args], or --help" },
        { { "trimtab", "--check=yes" }, "--check takes no argument; usage: trimtab [options] [--] program [args]" },
        { { "trimtab", "--policy" }, "--policy needs an argument: FILE|NAME" },
        { { "trimtab", "--set" }, "--set needs an argument: SECTION.KEY=VALUE" },
        { { "trimtab", "-p" }, "-p needs an argument: SIGNAL" },
        { { "trimtab", "-se" }, "-e needs an argument: CODE" },
        { { "trimtab", "-p", "FOO", "x" }, "-p: 'FOO' is not a signal (TERM, SIGTERM, RTMIN+3, 15)" },
        { { "trimtab", "-p", "65", "x" }, "-p: '65' is not a signal (TERM, SIGTERM, RTMIN+3, 15)" },
        { { "trimtab", "-e", "256", "x" }, "-e: '256' is not an exit code (0 to 255)" },
        { { "trimtab", "-e", "-1", "x" }, "-e: '-1' is not an exit code (0 to 255)" },
        { { "trimtab", "-e1x", "x" }, "-e: '1x' is not an exit code (0 to 255)" },
        { { "trimtab", "-e", "", "x" }, "-e: '' is not an exit code (0 to 255)" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *argv[6] = { NULL };
        memcpy(argv, rows[i].argv, sizeof rows[i].argv);
        assert_int_equal(parse(argv), -1);
        assert_string_equal(options.error, rows[i].error);
    }
}

static void settings_have_a_largest_number(void **state)
{
    char *argv[2 * OPTIONS_SETS_MAX + 6] = { "trimtab" };
    int argc = 1;

    (void)state;
    for (int i = 0; i < OPTIONS_SETS_MAX; i++) {
        argv[argc++] = "--set";
        argv[argc++] = "a.b=c";
    }
    argv[argc++] = "x";
    assert_int_equal(parse(argv), 0);
    assert_int_equal(options.set_count, OPTIONS_SETS_MAX);
    argv[argc - 1] = "--set=a.b=c";
    argv[argc] = "x";
    assert_int_equal(parse(argv), -1);
    assert_string_equal(options.error, "--set is given more than 64 times");
}

static void variables_of_tini_win_over_flags(void **state)
{
    static const struct {
        const char *text;
        int verbosity;
    } rows[] = { { "0", 0 },  { "1", 1 },    { "3", 3 }, { "9", 3 }, { "99999999999999999999", 3 },
                 { "-1", 0 }, { "junk", 0 }, { "", 0 },  { "2x", 2 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(setenv("TINI_VERBOSITY", rows[i].text, 1), 0);
        assert_int_equal(PARSE("-v", "x"), 0);
        assert_int_equal(options.verbosity, rows[i].verbosity);
        assert_true(options.verbosity_given);
    }
    assert_int_equal(setenv("TINI_SUBREAPER", "", 1), 0);
    assert_int_equal(setenv("TINI_KILL_PROCESS_GROUP", "no", 1), 0);
    assert_int_equal(PARSE("x"), 0);
    assert_true(options.subreaper && options.kill_group);
}

static void the_policy_may_come_from_the_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("TRIMTAB_POLICY", "gunicorn", 1), 0);
    assert_int_equal(PARSE("x"), 0);
    assert_string_equal(options.policy, "gunicorn");
    assert_int_equal(PARSE("--policy", "./x.ini", "x"), 0);
    assert_string_equal(options.policy, "./x.ini");
    assert_int_equal(setenv("TRIMTAB_POLICY", "", 1), 0);
    assert_int_equal(PARSE("x"), 0);
    assert_null(options.policy);
}

static void help_tells_every_option(void **state)
{
    static const char *const words[] = { "usage: trimtab",
                                         "-s, --subreaper",
                                         "-p, --death-signal SIGNAL",
                                         "-v, --verbose",
                                         "-w, --warn-on-reap",
                                         "-g, --kill-process-group",
                                         "-e, --remap-exit CODE",
                                         "--policy FILE|NAME",
                                         "--set SECTION.KEY=VALUE",
                                         "--rewrite FROM:TO",
                                         "--check",
                                         "--dry-run",
                                         "-l, --license",
                                         "-h, --help",
                                         "--version",
                                         "TRIMTAB_<SECTION>_<KEY>",
                                         "TINI_SUBREAPER" };
    char text[4096], small[40];

    (void)state;
    options_help(text, sizeof text);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!strstr(text, words[i]))
            fail_msg("the help does not tell of %s", words[i]);
    }
    assert_true(strlen(text) < 2048);
    assert_int_equal(text[strlen(text) - 1], '\n');
    options_help(small, sizeof small); /* cut, not overrun */
    assert_int_equal(strlen(small), sizeof small - 1);
    assert_non_null(strstr(options_license, "Permission is hereby granted"));
    assert_int_equal(options_license[strlen(options_license) - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_program_alone_is_enough, clear_environment),
        cmocka_unit_test_setup(lines_of_tini_mean_the_same, clear_environment),
        cmocka_unit_test_setup(every_option_has_a_long_name, clear_environment),
        cmocka_unit_test_setup(every_exit_code_can_be_remapped, clear_environment),
        cmocka_unit_test_setup(every_signal_can_be_the_death_signal, clear_environment),
        cmocka_unit_test_setup(what_is_shown_wins_over_the_rest, clear_environment),
        cmocka_unit_test_setup(check_needs_no_program, clear_environment),
        cmocka_unit_test_setup(wrong_words_are_named, clear_environment),
        cmocka_unit_test_setup(settings_have_a_largest_number, clear_environment),
        cmocka_unit_test_setup(variables_of_tini_win_over_flags, clear_environment),
        cmocka_unit_test_setup(the_policy_may_come_from_the_environment, clear_environment),
        cmocka_unit_test(help_tells_every_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
