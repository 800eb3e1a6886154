/* SPDX-License-Identifier: MIT */
/* The command line by table: values, exact messages, and --help. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/run.h"
#include "tools/cli/options.h"

static struct {
    bool json, verbose;
    const char *prompt;
    uint64_t ctx, budget, delay;
    struct cli_list stop, positional;
    const char *stops[2], *words[2];
} got;

static const struct cli_option options[] = {
    {"--json", 'j', CLI_FLAG, 0, 0, &got.json, NULL, "print JSON"},
    {"--verbose", 'v', CLI_FLAG, 0, 0, &got.verbose, NULL, "say more"},
    {"--prompt", 'p', CLI_TEXT, 0, 0, &got.prompt, "TEXT",
     "what the model is asked; this sentence is long enough to go on in a "
     "second line"},
    {"--ctx", 'c', CLI_COUNT, 1, 131072, &got.ctx, "N", "tokens of context"},
    {"--budget", 0, CLI_BYTES, 1 << 20, 0, &got.budget, "BYTES",
     "bytes that may be used"},
    {"--delay", 'd', CLI_SECONDS, 100, 60000, &got.delay, "SECONDS",
     "time between two updates"},
    {"--stop-when-the-model-says", 0, CLI_LIST, 0, 0, &got.stop, "TEXT",
     "stop there; may be given twice"},
};

static const char *const what[] = {"MODEL", "FILE"};

static const struct cli_command command = {
    .name = "gov test",
    .synopsis = "MODEL [FILE] [OPTION]...",
    .sentence = "Does nothing with MODEL.",
    .version = "1.2.3",
    .what = what,
    .required = 1,
    .positionals = &got.positional,
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .notes = "The end.",
};

static void set_up(void)
{
    memset(&got, 0, sizeof(got));
    got.stop = (struct cli_list){got.stops, 2, 0};
    got.positional = (struct cli_list){got.words, 2, 0};
    got.ctx = 4096;
}

/* Splits `line` at single spaces and parses it; "_" is an empty argument. */
static enum cli_outcome parse(const struct cli_command *c, const char *line,
                              char message[CLI_MESSAGE_BYTES])
{
    static char copy[512];
    static char empty[] = "", name[] = "gov";
    char *argv[16] = {name}, *save = NULL;
    int argc = 1;

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save))
        argv[argc++] = strcmp(word, "_") == 0 ? empty : word;
    return cli_parse(c, argc, argv, message);
}

/* ---- what is understood ---------------------------------------------------- */

START_TEST(options_and_positionals_mix)
{
    char message[CLI_MESSAGE_BYTES];

    ck_assert_int_eq(parse(&command,
                           "m.gguf --ctx=8192 -j --prompt hi f -d 0.5 "
                           "--budget 1.5GiB --stop-when-the-model-says a "
                           "--stop-when-the-model-says=",
                           message),
                     CLI_RUN);
    ck_assert_str_eq(message, "");
    ck_assert(got.json);
    ck_assert(!got.verbose);
    ck_assert_str_eq(got.prompt, "hi");
    ck_assert_uint_eq(got.ctx, 8192);
    ck_assert_uint_eq(got.budget, UINT64_C(3) << 29);
    ck_assert_uint_eq(got.delay, 500);
    ck_assert_uint_eq(got.positional.count, 2);
    ck_assert_str_eq(got.words[0], "m.gguf");
    ck_assert_str_eq(got.words[1], "f");
    ck_assert_uint_eq(got.stop.count, 2);
    ck_assert_str_eq(got.stops[0], "a");
    ck_assert_str_eq(got.stops[1], "");
}
END_TEST

static const struct {
    const char *line;
    bool json, verbose;
    uint64_t ctx;
    const char *prompt, *first, *second;
} understood[] = {
    {"m", false, false, 4096, NULL, "m", NULL},
    {"-jv m", true, true, 4096, NULL, "m", NULL},
    {"-jc9 m", true, false, 9, NULL, "m", NULL},
    {"-jvc 9 m", true, true, 9, NULL, "m", NULL},
    {"-c 9 --ctx 10 m", false, false, 10, NULL, "m", NULL},
    {"m -", false, false, 4096, NULL, "m", "-"},
    {"-- m --json", false, false, 4096, NULL, "m", "--json"},
    {"m -- --", false, false, 4096, NULL, "m", "--"},
    {"m -p -j", false, false, 4096, "-j", "m", NULL},
    {"m --prompt --", false, false, 4096, "--", "m", NULL},
    {"m --prompt=a=b", false, false, 4096, "a=b", "m", NULL},
    {"m --prompt _", false, false, 4096, "", "m", NULL},
};

static void same(const char *line, const char *have, const char *want)
{
    ck_assert_msg((have == NULL) == (want == NULL) &&
                      (have == NULL || strcmp(have, want) == 0),
                  "%s: got %s, want %s", line, have != NULL ? have : "nothing",
                  want != NULL ? want : "nothing");
}

START_TEST(lines_are_understood)
{
    char message[CLI_MESSAGE_BYTES];

    ck_assert_msg(parse(&command, understood[_i].line, message) == CLI_RUN,
                  "%s: %s", understood[_i].line, message);
    ck_assert_int_eq(got.json, understood[_i].json);
    ck_assert_int_eq(got.verbose, understood[_i].verbose);
    ck_assert_uint_eq(got.ctx, understood[_i].ctx);
    same(understood[_i].line, got.prompt, understood[_i].prompt);
    same(understood[_i].line, got.words[0], understood[_i].first);
    same(understood[_i].line, got.words[1], understood[_i].second);
}
END_TEST

/* ---- what is refused ------------------------------------------------------- */

static const struct {
    const char *line, *want;
} refused[] = {
    {"m --cxt 3", "gov test: unknown option --cxt; did you mean --ctx? See gov "
                  "test --help"},
    {"m --cxt=3", "gov test: unknown option --cxt; did you mean --ctx? See gov "
                  "test --help"},
    {"m --jsno", "gov test: unknown option --jsno; did you mean --json? See "
                 "gov test --help"},
    {"m --verison", "gov test: unknown option --verison; did you mean "
                    "--version? See gov test --help"},
    {"m --halp", "gov test: unknown option --halp; did you mean --help? See "
                 "gov test --help"},
    {"m --frobnicate", "gov test: unknown option --frobnicate; see gov test "
                       "--help"},
    {"m --x", "gov test: unknown option --x; see gov test --help"},
    {"m -x", "gov test: unknown option -x; see gov test --help"},
    {"m -jx", "gov test: unknown option -jx; see gov test --help"},
    {"m --=3", "gov test: unknown option --; see gov test --help"},
    {"m --ctx", "gov test: --ctx needs a value: --ctx N; see gov test --help"},
    {"m -jc", "gov test: --ctx needs a value: --ctx N; see gov test --help"},
    {"m --json=1", "gov test: --json takes no value"},
    {"m --ctx 0",
     "gov test: --ctx needs a whole number from 1 to 131072, not 0"},
    {"m --ctx=131073",
     "gov test: --ctx needs a whole number from 1 to 131072, not 131073"},
    {"m -c -5",
     "gov test: --ctx needs a whole number from 1 to 131072, not -5"},
    {"m -c 1k",
     "gov test: --ctx needs a whole number from 1 to 131072, not 1k"},
    {"m -c _", "gov test: --ctx needs a whole number from 1 to 131072, not an "
               "empty text"},
    {"m --ctx 99999999999999999999",
     "gov test: --ctx needs a whole number from 1 to 131072, not "
     "99999999999999999999"},
    {"m --budget 4x", "gov test: --budget needs a size such as 512M or 1.5GiB "
                      "of at least 1MiB, not 4x"},
    {"m --budget 4", "gov test: --budget needs a size such as 512M or 1.5GiB "
                     "of at least 1MiB, not 4"},
    {"m -d 0.05",
     "gov test: --delay needs a number of seconds from 0.1 to 60, not 0.05"},
    {"m -d61",
     "gov test: --delay needs a number of seconds from 0.1 to 60, not 61"},
    {"m --stop-when-the-model-says a --stop-when-the-model-says b "
     "--stop-when-the-model-says c",
     "gov test: --stop-when-the-model-says may be given at most 2 times"},
    {"", "gov test: MODEL is missing; see gov test --help"},
    {"-j", "gov test: MODEL is missing; see gov test --help"},
    {"a b c", "gov test: unexpected argument c; see gov test --help"},
    {"a b \x1B[2J", "gov test: unexpected argument ?[2J; see gov test --help"},
    {"a b 0123456789012345678901234567890123456789012345678901234567890123456",
     "gov test: unexpected argument "
     "0123456789012345678901234567890123456789012345678901234567890123...; "
     "see gov test --help"},
    {"a b 012345678901234567890123456789012345678901234567890123456789012\xC3"
     "\xA9 x",
     "gov test: unexpected argument "
     "012345678901234567890123456789012345678901234567890123456789012...; "
     "see gov test --help"},
    /* CSI as one character and as one byte, and what is no UTF-8 */
    {"a b \xC2\x9B"
     "2J",
     "gov test: unexpected argument ??2J; see gov test --help"},
    {"a b \x9B"
     "2J\xC3",
     "gov test: unexpected argument ?2J?; see gov test --help"},
    /* right to left, an isolate, a line's end, marks; and a narrow space */
    {"a b \xE2\x80\xAE\xE2\x81\xA6\xE2\x80\xA8\xD8\x9C\xE2\x80\x8F\xE2\x80\xAF",
     "gov test: unexpected argument ??????????????\xE2\x80\xAF; see "
     "gov test --help"},
    {"a b \xE2\x82\xAC\xF0\x9F\x99\x82\xC3\xA9\x7F",
     "gov test: unexpected argument \xE2\x82\xAC\xF0\x9F\x99\x82\xC3\xA9?; see "
     "gov test --help"},
};

START_TEST(lines_are_refused)
{
    char message[CLI_MESSAGE_BYTES];

    ck_assert_int_eq(parse(&command, refused[_i].line, message), CLI_ERROR);
    ck_assert_str_eq(message, refused[_i].want);
}
END_TEST

START_TEST(a_command_without_positionals_takes_none)
{
    struct cli_command bare = {.name = "govtop", .synopsis = "[OPTION]..."};
    char message[CLI_MESSAGE_BYTES];

    ck_assert_int_eq(parse(&bare, "", message), CLI_RUN);
    ck_assert_int_eq(parse(&bare, "x", message), CLI_ERROR);
    ck_assert_str_eq(message,
                     "govtop: unexpected argument x; see govtop --help");
    /* No version was given, so there is no --version. */
    ck_assert_int_eq(parse(&bare, "--version", message), CLI_ERROR);
    ck_assert_str_eq(message,
                     "govtop: unknown option --version; see govtop --help");
}
END_TEST

START_TEST(help_and_version_win_over_what_is_missing)
{
    char message[CLI_MESSAGE_BYTES];

    ck_assert_int_eq(parse(&command, "--help", message), CLI_HELP);
    ck_assert_int_eq(parse(&command, "-h", message), CLI_HELP);
    ck_assert_int_eq(parse(&command, "-jh", message), CLI_HELP);
    ck_assert_int_eq(parse(&command, "m --version", message), CLI_VERSION);
    ck_assert_int_eq(parse(&command, "--bad --help", message), CLI_ERROR);
}
END_TEST

/* ---- values ---------------------------------------------------------------- */

enum { NO = 1 };

static const struct {
    enum cli_kind kind;
    const char *text;
    uint64_t want;
    bool refused;
} values[] = {
    {CLI_COUNT, "0", 0, false},
    {CLI_COUNT, "18446744073709551615", UINT64_MAX, false},
    {CLI_COUNT, "18446744073709551616", 0, NO},
    {CLI_COUNT, "1.0", 0, NO},
    {CLI_COUNT, "0x10", 0, NO},
    {CLI_COUNT, "+1", 0, NO},
    {CLI_COUNT, " 1", 0, NO},
    {CLI_COUNT, "", 0, NO},
    {CLI_BYTES, "4096", 4096, false},
    {CLI_BYTES, "4096B", 4096, false},
    {CLI_BYTES, "1k", 1024, false},
    {CLI_BYTES, "1KB", 1024, false},
    {CLI_BYTES, "512M", UINT64_C(512) << 20, false},
    {CLI_BYTES, "1.5GiB", UINT64_C(3) << 29, false},
    {CLI_BYTES, "0.000001T", 1099511, false},
    {CLI_BYTES, "1.0000000000000001K", 1024, false},
    {CLI_BYTES, "16777215T", UINT64_C(16777215) << 40, false},
    {CLI_BYTES, "16777216T", 0, NO},
    {CLI_BYTES, "1.5", 0, NO},
    {CLI_BYTES, "1iB", 0, NO},
    {CLI_BYTES, "iB", 0, NO},
    {CLI_BYTES, "K", 0, NO},
    {CLI_BYTES, "B", 0, NO},
    {CLI_BYTES, "1P", 0, NO},
    {CLI_BYTES, "1KK", 0, NO},
    {CLI_BYTES, "1.K", 0, NO},
    {CLI_BYTES, ".5K", 0, NO},
    {CLI_BYTES, "1 K", 0, NO},
    {CLI_BYTES, "", 0, NO},
    {CLI_SECONDS, "2", 2000, false},
    {CLI_SECONDS, "2s", 2000, false},
    {CLI_SECONDS, "0.25", 250, false},
    {CLI_SECONDS, "0.0009", 0, false},
    {CLI_SECONDS, "s", 0, NO},
    {CLI_SECONDS, "1m", 0, NO},
    {CLI_SECONDS, "1e3", 0, NO},
    {CLI_SECONDS, "18446744073709551615", 0, NO},
};

START_TEST(values_are_read)
{
    bool (*const read[])(const char *, uint64_t *) = {
        [CLI_COUNT] = cli_read_count,
        [CLI_BYTES] = cli_read_bytes,
        [CLI_SECONDS] = cli_read_seconds,
    };
    uint64_t n = 77;
    bool valid = read[values[_i].kind](values[_i].text, &n);

    ck_assert_msg(valid == !values[_i].refused, "'%s'", values[_i].text);
    ck_assert_uint_eq(n, valid ? values[_i].want : 77);
}
END_TEST

static const struct {
    const char *word, *want;
} near[] = {
    {"plna", "plan"},
    {"pln", "plan"},
    {"plans", "plan"},
    {"plxy", NULL},
    {"bench", NULL},
    {"policy", "policy"},
    {"polcy", "policy"},
    {"", NULL},
    {"p", NULL},
    {"an-argument-far-longer-than-any-name-of-a-command", NULL},
};

START_TEST(a_near_name_is_found)
{
    static const char *const names[] = {"profile", "plan", "run", "policy"};

    same(near[_i].word, cli_nearest(near[_i].word, names, 4), near[_i].want);
}
END_TEST

/* ---- help ------------------------------------------------------------------ */

START_TEST(help_is_aligned)
{
    static const char want[] =
        "usage: gov test MODEL [FILE] [OPTION]...\n"
        "\n"
        "Does nothing with MODEL.\n"
        "\n"
        "Options:\n"
        "  -j, --json           print JSON\n"
        "  -v, --verbose        say more\n"
        "  -p, --prompt TEXT    what the model is asked; this sentence is long "
        "enough to\n"
        "                       go on in a second line\n"
        "  -c, --ctx N          tokens of context\n"
        "      --budget BYTES   bytes that may be used\n"
        "  -d, --delay SECONDS  time between two updates\n"
        "      --stop-when-the-model-says TEXT\n"
        "                       stop there; may be given twice\n"
        "  -h, --help           show this help and exit\n"
        "      --version        show the version and exit\n"
        "\n"
        "The end.\n";
    char text[2048] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    ck_assert_ptr_nonnull(out);
    cli_help(&command, out);
    fclose(out);
    ck_assert_str_eq(text, want);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *suite(void)
{
    Suite *s = suite_create("cli options");
    TCase *tc = tcase_create("options");

    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, options_and_positionals_mix);
    tcase_add_loop_test(tc, lines_are_understood, 0, ROWS(understood));
    tcase_add_loop_test(tc, lines_are_refused, 0, ROWS(refused));
    tcase_add_test(tc, a_command_without_positionals_takes_none);
    tcase_add_test(tc, help_and_version_win_over_what_is_missing);
    tcase_add_loop_test(tc, values_are_read, 0, ROWS(values));
    tcase_add_loop_test(tc, a_near_name_is_found, 0, ROWS(near));
    tcase_add_test(tc, help_is_aligned);
    suite_add_tcase(s, tc);
    return s;
}
