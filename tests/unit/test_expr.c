/* SPDX-License-Identifier: MIT */
/* Conditions: every operator, every type error, three-valued logic, limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/language/expr_priv.h"
#include "policies/language/words_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define GIB (UINT64_C(1) << 30)

/* T true, F false, U unknown: a truth table is a string. */
static const char letters[] = {'F', 'T', 'U'};

static struct gov__expr *parse(const char *text)
{
    struct gov__expr *expr = NULL;
    struct gov__expr_error error = {0, ""};
    gov_status status =
        gov__expr_parse(&expr, text, strlen(text), gov_alloc_default(), &error);

    ck_assert_msg(status == GOV_OK, "%s: %d at %d: %s", text, (int)status,
                  (int)error.offset, error.sentence);
    return expr;
}

static char eval(const char *text, const struct gov_facts *facts)
{
    struct gov__expr *expr = parse(text);
    char letter = letters[gov__expr_eval(expr, facts)];

    free(expr);
    return letter;
}

/* One fact of each type is known; swap, moe and kv_type are not. */
static void fill(struct gov_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    gov_facts_set(facts, GOV_FACT_DEVICE_RAM, 8 * GIB);
    gov_facts_set(facts, GOV_FACT_DEVICE_LIMIT, INT64_MAX);
    gov_facts_set(facts, GOV_FACT_DEVICE_CORES, 6);
    gov_facts_set(facts, GOV_FACT_MODEL_ENCRYPTED, 1);
    gov_facts_set_text(facts, GOV_FACT_DEVICE_OS, "linux");
    gov_facts_set_text(facts, GOV_FACT_MODEL_ARCHITECTURE, "qw\xc3\xa4n2");
    gov_facts_set_text(facts, GOV_FACT_PRESSURE_LEVEL, "warn");
}

static const struct {
    const char *text;
    char want;
} truths[] = {
    /* literals and units */
    {"true", 'T'},
    {"false", 'F'},
    {"1 KiB == 1024 B", 'T'},
    {"1 MiB == 1024 KiB", 'T'},
    {"1 GiB == 1024 MiB", 'T'},
    {"1 TiB == 1024GiB", 'T'},
    {"1.5 GiB == 1536 MiB", 'T'},
    {"1 kB == 1000 B", 'T'},
    {"1 MB == 1000 kB", 'T'},
    {"1.5 GB == 1500MB", 'T'},
    {"2 TB == 2000 GB", 'T'},
    {"0.000001 TB == 1 MB", 'T'},
    {"0.0001 kB == 0 B", 'T'},
    {"931 GiB < 1 TB < 932 GiB", 'T'},
    {"0.1 KiB == 102 B", 'T'}, /* rounded down to whole bytes */
    {"1.000001 MiB == 1048577 B", 'T'},
    {"1 ms == 1000 us", 'T'},
    {"1 s == 1000 ms", 'T'},
    {"1 min == 60 s", 'T'},
    {"1 h == 60 min", 'T'},
    {"0.5 s == 500 ms", 'T'},
    {"12.5 % == 12.5%", 'T'},
    {"0.0001 % > 0 %", 'T'},
    {"9223372036854775807 > 9223372036854775806", 'T'},
    {"'linux' == \"linux\"", 'T'},
    {"'a\"b' == 'a\"b'", 'T'},
    /* comparison */
    {"1 < 2", 'T'},
    {"2 < 2", 'F'},
    {"2 <= 2", 'T'},
    {"3 <= 2", 'F'},
    {"3 > 2", 'T'},
    {"2 > 2", 'F'},
    {"2 >= 2", 'T'},
    {"1 >= 2", 'F'},
    {"2 == 2", 'T'},
    {"2 == 3", 'F'},
    {"2 != 3", 'T'},
    {"2 != 2", 'F'},
    {"true == false", 'F'},
    {"true != false", 'T'},
    {"'a' == 'A'", 'F'},
    {"'a' != 'b'", 'T'},
    {"'a' == 'ab'", 'F'},
    {"1 < 2 < 3", 'T'},
    {"1 < 2 < 2", 'F'},
    {"2 < 2 <= 3", 'F'},
    {"3 >= 2 > 1", 'T'},
    {"1 == 1 == 1", 'T'},
    {"1 == 1 == 2", 'F'},
    {"4 GiB < device.ram <= 8 GiB", 'T'},
    {"8 GiB < device.ram <= 16 GiB", 'F'},
    {"1 GiB < device.swap < 0 B", 'U'},
    {"2 GiB < 1 GiB < device.swap", 'F'}, /* false whatever swap is */
    /* arithmetic */
    {"1 + 2 == 3", 'T'},
    {"1 + 2 * 3 == 7", 'T'},
    {"(1 + 2) * 3 == 9", 'T'},
    {"7 - 3 - 2 == 2", 'T'},
    {"1 GiB + 1 GiB == 2 GiB", 'T'},
    {"1 GiB * 3 == 3 GiB", 'T'},
    {"3 * 1 GiB == 3 GiB", 'T'},
    {"2 * 1 s == 2 s", 'T'},
    {"1 s - 1 ms == 999 ms", 'T'},
    {"10 % + 20 % == 30 %", 'T'},
    {"1 GiB - 2 GiB < 0 B", 'T'}, /* below zero, not around the corner */
    {"50 % of 8 GiB == 4 GiB", 'T'},
    {"8 GiB * 50 % == 4 GiB", 'T'},
    {"50 % of 3 == 1", 'T'},
    {"10 % of 1 s == 100 ms", 'T'},
    {"(20 % + 30 %) of 8 GiB == 4 GiB", 'T'},
    {"50 % of 8 GiB + 1 GiB == 5 GiB", 'T'},
    {"50 % of (8 GiB + 2 GiB) == 5 GiB", 'T'},
    {"100 % of device.limit == device.limit", 'T'},
    {"33.3333 % of 3 B == 0 B", 'T'},
    /* overflow is unknown, and stays so */
    {"device.limit + 1 B > 0 B", 'U'},
    {"device.limit * 2 > 0 B", 'U'},
    {"101 % of device.limit > 0 B", 'U'},
    {"0 B - device.limit - 2 B < 0 B", 'U'},
    {"device.limit + 1 B - 1 B == device.limit", 'U'},
    {"false and device.limit * 2 > 0 B", 'F'},
    /* facts */
    {"model.encrypted", 'T'},
    {"not model.encrypted", 'F'},
    {"model.encrypted == true", 'T'},
    {"device.ram == 8 GiB", 'T'},
    {"device.cores * 2 > 10", 'T'},
    {"device.swap > 0 B", 'U'},
    {"device.swap == device.swap", 'U'},
    {"model.moe", 'U'},
    {"not model.moe", 'U'},
    {"known(device.ram)", 'T'},
    {"known(device.swap)", 'F'},
    {"not known ( device.swap )", 'T'},
    {"known(device.swap) and device.swap > 1 GiB", 'F'},
    /* text */
    {"device.os == \"linux\"", 'T'},
    {"device.os in [\"darwin\", \"linux\"]", 'T'},
    {"device.os in ['darwin']", 'F'},
    {"device.os not in ['darwin', 'other']", 'T'},
    {"device.cores in [4, 6, 8]", 'T'},
    {"device.ram in [4 GiB, device.swap, 8 GiB]", 'T'},
    {"device.ram in [4 GiB, device.swap]", 'U'},
    {"device.ram not in [4 GiB, device.swap]", 'U'},
    {"device.os matches 'linux'", 'T'},
    {"device.os matches 'l*x'", 'T'},
    {"device.os matches '*'", 'T'},
    {"device.os matches '*n*'", 'T'},
    {"device.os matches 'l?n?x'", 'T'},
    {"device.os matches \"?????\"", 'T'},
    {"device.os matches \"????\"", 'F'},
    {"device.os matches \"??????\"", 'F'},
    {"device.os matches ''", 'F'},
    {"device.os matches 'inux'", 'F'},
    {"device.os matches 'linu'", 'F'},
    {"device.os matches 'L*'", 'F'},
    {"device.os matches '*i*u*'", 'T'},
    {"device.os matches '*u*i*'", 'F'},
    {"device.os not matches 'dar*'", 'T'},
    {"device.os matches '[l]*'", 'F'},
    {"model.architecture matches 'qw?n2'", 'T'}, /* one character, two bytes */
    {"model.architecture matches 'qw??n2'", 'F'},
    {"'aaaaaaaaaaaaaaaaaaaaaaab' matches '*a*a*a*a*a*a*a*c'", 'F'},
    {"'' matches '*'", 'T'},
    {"'' matches ''", 'T'},
    {"model.quantization matches 'Q4*'", 'U'},
    /* how tightly things bind */
    {"true or false and false", 'T'},
    {"(true or false) and false", 'F'},
    {"not false and false", 'F'},
    {"not (false and false)", 'T'},
    {"not 1 == 2", 'T'},
    {"not not true", 'T'},
    {"not not not true", 'F'},
    {"(((true)))", 'T'},
    {"\n true\r\n\tand true ", 'T'},
    {"1<2and 2<3", 'T'},
};

START_TEST(evaluates)
{
    struct gov_facts facts;
    char got;

    fill(&facts);
    got = eval(truths[_i].text, &facts);
    ck_assert_msg(got == truths[_i].want, "%s is %c", truths[_i].text, got);
}
END_TEST

/* Operands in the order F, T, U. */
START_TEST(kleene_tables)
{
    static const char *const names[] = {"false", "true", "model.moe"};
    static const struct {
        const char *op, *want;
    } tables[] = {
        {"and", "FFFFTUFUU"}, {"or", "FTUTTTUTU"},      {"==", "TFUFTUUUU"},
        {"!=", "FTUTFUUUU"},  {"and not", "FFFTFUUFU"},
    };
    struct gov_facts facts;
    char text[64];

    fill(&facts);
    for (size_t t = 0; t < COUNT_OF(tables); t++)
        for (size_t i = 0; i < 9; i++) {
            char got;

            snprintf(text, sizeof(text), "%s %s %s", names[i / 3], tables[t].op,
                     names[i % 3]);
            got = eval(text, &facts);
            ck_assert_msg(got == tables[t].want[i], "%s is %c", text, got);
        }
}
END_TEST

/* Knowing less never turns a true condition false or a false one true. */
START_TEST(knowing_less_is_monotone)
{
    static const char *const conditions[] = {
        "device.ram > 4 GiB and (device.cores < 4 or model.encrypted)",
        "not (device.os == 'linux' and device.cores in [4, 6])",
        "1 GiB < device.ram < 16 GiB or pressure.level == 'warn'",
        "device.ram - 50 % of device.ram < 5 GiB and not model.encrypted",
    };
    static const gov_fact known[] = {
        GOV_FACT_DEVICE_RAM, GOV_FACT_DEVICE_CORES, GOV_FACT_MODEL_ENCRYPTED,
        GOV_FACT_DEVICE_OS, GOV_FACT_PRESSURE_LEVEL};
    struct gov_facts facts;

    for (unsigned mask = 0; mask < 32; mask++) {
        char less, more;

        fill(&facts);
        more = eval(conditions[_i], &facts);
        for (unsigned i = 0; i < 5; i++)
            if ((mask & 1U << i) != 0)
                facts.value[known[i]].known = false;
        less = eval(conditions[_i], &facts);
        ck_assert(less == more || less == 'U');
    }
}
END_TEST

static const struct {
    const char *text;
    size_t offset;
    const char *sentence;
} errors[] = {
    {"", 0,
     "the condition is empty; leave out \"when\" for a rule that always "
     "matches"},
    {"  ", 0,
     "the condition is empty; leave out \"when\" for a rule that always "
     "matches"},
    /* types */
    {"device.ram <= 500 ms", 14, "bytes compared with a duration"},
    {"device.ram <= 4", 14, "bytes compared with a count"},
    {"device.cores == 50 %", 16, "a count compared with a ratio"},
    {"device.os == 4 GiB", 13, "text compared with bytes"},
    {"true == 1", 8, "a flag compared with a count"},
    {"device.os < \"m\"", 0, "text has no order; compare it with == or !="},
    {"true < false", 0, "a flag has no order; compare it with == or !="},
    {"device.ram", 0,
     "bytes where a condition should be; compare it with something"},
    {"true and device.cores", 9,
     "a count where a condition should be; compare it with something"},
    {"50 % or true", 0,
     "a ratio where a condition should be; compare it with something"},
    {"not device.os", 4,
     "text where a condition should be; compare it with something"},
    {"device.cores > 50 % of device.ram", 15, "a count compared with bytes"},
    {"device.ram + 1 > 2 GiB", 13, "a count added to bytes"},
    {"device.ram - 1 s > 2 GiB", 13, "bytes less a duration"},
    {"device.os + 'x' == 'y'", 0, "text in arithmetic"},
    {"true + true == true", 0, "a flag in arithmetic"},
    {"1 GiB * 1 GiB > 0 B", 8, "bytes multiplied by bytes"},
    {"50 % * 50 % > 1 %", 7, "a ratio multiplied by a ratio"},
    {"2 * 50 % > 1 %", 4, "a count multiplied by a ratio"},
    {"2 of 4 GiB > 1 GiB", 0,
     "a count before \"of\"; write a share, for instance 50 %"},
    {"50 % of 50 % of 8 GiB == 2 GiB", 8, "a share of a ratio"},
    {"50 % of true == 1", 8, "a share of a flag"},
    {"device.ram in [4 GiB, 4]", 22, "bytes compared with a count"},
    {"device.cores matches \"4\"", 0, "a count matched with text"},
    {"device.os matches device.arch", 18,
     "\"matches\" asks for a text such as \"llama*\""},
    /* names */
    {"device.rma > 2 GiB", 0,
     "unknown fact \"device.rma\"; did you mean device.ram?"},
    {"encrypted", 0,
     "unknown fact \"encrypted\"; did you mean model.encrypted?"},
    {"Device.RAM > 1 B", 0,
     "unknown fact \"Device.RAM\"; did you mean device.ram?"},
    {"weather.tomorrow", 0, "unknown fact \"weather.tomorrow\""},
    {"1 == 1 and known(nonsense)", 17, "unknown fact \"nonsense\""},
    {"known device.ram", 6, "write known(FACT)"},
    {"known(1)", 6, "known() asks for the name of a fact"},
    {"known(device.ram > 1 B)", 17, "known() asks for one fact and \")\""},
    {"pressure.level == \"warning\"", 18,
     "pressure.level is never \"warning\"; it is warn"},
    {"pressure.level != \"purple\"", 18,
     "pressure.level is never \"purple\"; it is normal, warn or critical"},
    {"'Warn' == pressure.level", 0,
     "pressure.level is never \"Warn\"; it is warn"},
    {"request.strategy in [\"map\"]", 21,
     "request.strategy is never \"map\"; it is mmap"},
    /* units and numbers */
    {"device.ram > 2 gb", 15, "unknown unit \"gb\"; did you mean GB?"},
    {"device.ram > 2 Gb", 15, "unknown unit \"Gb\"; did you mean GB?"},
    {"device.ram > 2 G", 15, "unknown unit \"G\"; did you mean GB?"},
    {"device.ram > 2 g", 15, "unknown unit \"g\"; did you mean GB?"},
    {"device.ram > 2 KB", 15, "unknown unit \"KB\"; did you mean kB?"},
    {"device.ram > 2 m", 15, "unknown unit \"m\"; did you mean ms?"},
    {"device.ram > 9300000 TB", 13, "number too large"},
    {"device.ram > 2 gib", 15, "unknown unit \"gib\"; did you mean GiB?"},
    {"device.ram > 2 parsec", 15,
     "unknown unit \"parsec\"; units are B, kB, MB, GB, TB, KiB, MiB, GiB, "
     "TiB, us, ms, s, min, h and %"},
    {"device.cores > 1_000", 16,
     "unknown unit \"_000\"; units are B, kB, MB, GB, TB, KiB, MiB, GiB, "
     "TiB, us, ms, s, min, h and %"},
    {"device.cores > 1.5", 15, "a count is a whole number; or give a unit"},
    {"device.ram > 1. GiB", 15, "no digit behind the point"},
    {"device.ram > 1.1234567 GiB", 21, "more than 6 digits behind the point"},
    {"device.ram > 9223372036854775808 B", 13, "number too large"},
    {"device.ram > 99999999999 TiB", 13, "number too large"},
    {"1 < 99999999999999999999999999999", 4, "number too large"},
    /* signs */
    {"device.ram = 2 GiB", 11, "\"=\" is not used here; write =="},
    {"true && true", 5, "\"&&\" is not used here; write and"},
    {"true || true", 5, "\"||\" is not used here; write or"},
    {"!true", 0, "\"!\" is not used here; write not"},
    {"device.ram / 2 > 1 GiB", 11, "\"/\" is not used here; write 50 % of"},
    {"device.ram > $2", 13, "\"$\" is not part of a condition"},
    {"true \xc3\xa4", 5, "\"\xc3\xa4\" is not part of a condition"},
    {"device.os == \"linux", 13, "text has no closing quote"},
    {"device.os == 'linux\"", 13, "text has no closing quote"},
    /* grammar */
    {"true and", 8, "the condition ends too early"},
    {"device.ram >", 12, "the condition ends too early"},
    {"(true", 5, "missing \")\""},
    {"(true]", 5, "missing \")\""},
    {"true)", 4, "\")\" behind the end of the condition"},
    {"true true", 5, "\"true\" behind the end of the condition"},
    {"device.ram 4 GiB", 0,
     "bytes where a condition should be; compare it with something"},
    {"model.encrypted 4 GiB", 16, "\"4\" behind the end of the condition"},
    {"true 'x'", 5, "\"'x'\" behind the end of the condition"},
    {"and true", 0, "\"and\" where a fact or a value should be"},
    {"1 < < 2", 4, "\"<\" where a fact or a value should be"},
    {"-1 < 2", 0, "\"-\" where a fact or a value should be"},
    {"device.os in \"linux\"", 13, "\"in\" asks for a list: [a, b]"},
    {"device.os in []", 14, "\"]\" where a fact or a value should be"},
    {"device.os in ['a' 'b']", 18, "missing \"]\""},
    {"device.os in ['a',]", 18, "\"]\" where a fact or a value should be"},
    {"device.os not 'a'", 14,
     "\"not\" behind a value asks for \"in\" or \"matches\""},
    {"1 < 2 > 1", 6, "a chain of comparisons goes one way; use \"and\""},
    {"1 != 2 != 3", 7, "a chain of comparisons goes one way; use \"and\""},
    {"1 == 2 < 3", 7, "a chain of comparisons goes one way; use \"and\""},
};

START_TEST(says_what_is_wrong_and_where)
{
    struct gov__expr *expr = NULL;
    struct gov__expr_error error = {99, ""};
    const char *text = errors[_i].text;
    /* On the heap without NUL: reading on is seen by a sanitizer. */
    char *copy = malloc(strlen(text) + 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, strlen(text));
    ck_assert_int_eq(
        gov__expr_parse(&expr, copy, strlen(text), gov_alloc_default(), &error),
        GOV_E_FORMAT);
    ck_assert_ptr_null(expr);
    ck_assert_msg(strcmp(error.sentence, errors[_i].sentence) == 0,
                  "%s: got \"%s\", want \"%s\"", text, error.sentence,
                  errors[_i].sentence);
    ck_assert_msg(error.offset == errors[_i].offset, "%s: got %d, want %d",
                  text, (int)error.offset, (int)errors[_i].offset);
    free(copy);
}
END_TEST

static gov_status parse_long(const char *head, const char *again, int times,
                             const char *tail, struct gov__expr_error *error)
{
    struct gov__expr *expr = NULL;
    size_t bytes = strlen(head) + strlen(again) * (size_t)times + strlen(tail);
    char *text = calloc(1, bytes + 1);
    char *at = text;
    gov_status status;

    ck_assert_ptr_nonnull(text);
    at += snprintf(at, bytes + 1, "%s", head);
    for (int i = 0; i < times; i++)
        at += snprintf(at, bytes + 1 - (size_t)(at - text), "%s", again);
    snprintf(at, bytes + 1 - (size_t)(at - text), "%s", tail);
    status = gov__expr_parse(&expr, text, bytes, gov_alloc_default(), error);
    free(expr);
    free(text);
    return status;
}

START_TEST(limits)
{
    struct gov__expr_error e;

    ck_assert_int_eq(parse_long("", "not ", GOV__EXPR_DEPTH, "true", &e), 0);
    ck_assert_int_eq(parse_long("", "not ", GOV__EXPR_DEPTH + 1, "true", &e),
                     GOV_E_FORMAT);
    ck_assert_str_eq(e.sentence, "nested deeper than 32");
    ck_assert_uint_eq(e.offset, 4 * GOV__EXPR_DEPTH);
    ck_assert_int_eq(parse_long("", "(", 33, "true", &e), GOV_E_FORMAT);
    ck_assert_str_eq(e.sentence, "nested deeper than 32");
    ck_assert_int_eq(parse_long("", "(not ", 100, "true", &e), GOV_E_FORMAT);
    ck_assert_str_eq(e.sentence, "nested deeper than 32");

    /* one behind the other is no nesting */
    ck_assert_int_eq(parse_long("true", " and (not true)", 60, "", &e), 0);

    /* n operands and n - 1 operations */
    ck_assert_int_eq(parse_long("true", " or true", 127, "", &e), 0);
    ck_assert_int_eq(parse_long("true", " or true", 128, "", &e), GOV_E_FORMAT);
    ck_assert_str_eq(e.sentence, "more than 256 operations in one condition; "
                                 "make two rules");
    ck_assert_int_eq(parse_long("1 in [1", ",1", 200, "]", &e), GOV_E_FORMAT);

    ck_assert_int_eq(parse_long("true", " ", GOV__EXPR_TEXT_MAX - 4, "", &e),
                     0);
    ck_assert_int_eq(parse_long("true", " ", GOV__EXPR_TEXT_MAX - 3, "", &e),
                     GOV_E_FORMAT);
    ck_assert_str_eq(e.sentence,
                     "a condition longer than 4096 bytes; make two rules");
}
END_TEST

static const struct {
    const char *text, *shown, *missing;
} shows[] = {
    {"device.ram <= 4 GiB and device.swap > 0 B",
     "device.ram (8.00 GiB) <= 4 GiB and device.swap (unknown) > 0 B",
     "device.swap is unknown"},
    {"  model.encrypted\n  or\r\n\tmodel.moe ",
     " model.encrypted (yes) or model.moe (unknown)", "model.moe is unknown"},
    {"model.moe or device.swap > 1 B or model.moe",
     "model.moe (unknown) or device.swap (unknown) > 1 B or model.moe "
     "(unknown)",
     "model.moe, device.swap are unknown"},
    {"device.os=='linux' and true", "device.os (linux)=='linux' and true",
     "the numbers are too large to add up"},
    {"not known(device.swap)", "not known(device.swap)",
     "the numbers are too large to add up"},
    {"device.ram in [1 GiB, device.ram]",
     "device.ram (8.00 GiB) in [1 GiB, device.ram (8.00 GiB)]",
     "the numbers are too large to add up"},
};

START_TEST(shows_values)
{
    struct gov__expr *expr = parse(shows[_i].text);
    struct gov_facts facts;
    char out[256];

    fill(&facts);
    gov__expr_show(expr, &facts, out, sizeof(out));
    ck_assert_str_eq(out, shows[_i].shown);
    gov__expr_missing(expr, &facts, out, sizeof(out));
    ck_assert_str_eq(out, shows[_i].missing);
    for (size_t bytes = 0; bytes < 60; bytes++) {
        memset(out, '#', sizeof(out));
        gov__expr_show(expr, &facts, out, bytes);
        ck_assert_int_eq(out[bytes], '#');
        gov__expr_missing(expr, &facts, out, bytes);
        ck_assert_int_eq(out[bytes], '#');
    }
    free(expr);
}
END_TEST

START_TEST(literals)
{
    struct gov__expr_error error;
    int64_t n = 0;

    ck_assert(gov__expr_literal("30 %", 4, GOV_TYPE_RATIO, &n, &error));
    ck_assert_int_eq(n, 300000);
    ck_assert(gov__expr_literal(" 8192 ", 6, GOV_TYPE_COUNT, &n, &error));
    ck_assert_int_eq(n, 8192);
    ck_assert(!gov__expr_literal("8192", 4, GOV_TYPE_RATIO, &n, &error));
    ck_assert_str_eq(error.sentence, "write a share, for instance 50 %");
    ck_assert(!gov__expr_literal("many", 4, GOV_TYPE_COUNT, &n, &error));
    ck_assert_str_eq(error.sentence, "write a whole number");
    ck_assert(!gov__expr_literal("1 2", 3, GOV_TYPE_COUNT, &n, &error));
    ck_assert_str_eq(error.sentence, "one number is enough here");
    ck_assert_uint_eq(error.offset, 2);
    ck_assert(!gov__expr_literal("1 parsec", 8, GOV_TYPE_COUNT, &n, &error));
    ck_assert(!gov__expr_literal("1 $", 3, GOV_TYPE_COUNT, &n, &error));
    ck_assert(!gov__expr_literal("", 0, GOV_TYPE_COUNT, &n, &error));
}
END_TEST

static const struct {
    gov_type type;
    int64_t number;
    const char *text;
} prints[] = {
    {GOV_TYPE_BYTES, 0, "0 B"},
    {GOV_TYPE_BYTES, 999, "999 B"},
    {GOV_TYPE_BYTES, 1000, "1 kB"},
    {GOV_TYPE_BYTES, 1024000, "1000 KiB"},
    {GOV_TYPE_BYTES, 5000000000, "5 GB"},
    {GOV_TYPE_BYTES, INT64_C(1000) << 30, "1000 GiB"},
    {GOV_TYPE_BYTES, INT64_C(3) << 40, "3 TiB"},
    {GOV_TYPE_BYTES, INT64_MAX, "9223372036854775807 B"},
    {GOV_TYPE_DURATION, 1500000, "1500 ms"},
    {GOV_TYPE_DURATION, 60000000, "1 min"},
};

START_TEST(prints_what_reads_back)
{
    struct gov__expr_error error;
    char text[32];
    int64_t n = -1;

    gov__literal_print(text, prints[_i].type, prints[_i].number);
    ck_assert_str_eq(text, prints[_i].text);
    ck_assert(
        gov__expr_literal(text, strlen(text), prints[_i].type, &n, &error));
    ck_assert_int_eq(n, prints[_i].number);
}
END_TEST

START_TEST(no_memory)
{
    struct gov__expr *expr = NULL;
    struct gov__expr_error error;

    faults_reset();
    faults_arm(0, false);
    ck_assert_int_eq(gov__expr_parse(&expr, "true", 4, faults_alloc(), &error),
                     GOV_E_NOMEM);
    ck_assert_ptr_null(expr);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

START_TEST(characters)
{
    static const struct {
        const char *text;
        size_t length;
        uint32_t character;
    } rows[] = {
        {"a", 1, 'a'},
        {"\xc3\xa4", 2, 0xE4},
        {"\xe2\x82\xac", 3, 0x20AC},
        {"\xf0\x9f\x90\xa7", 4, 0x1F427},
        {"\xf4\x8f\xbf\xbf", 4, 0x10FFFF},
        {"\xf4\x90\x80\x80", 0, 0}, /* beyond the last character */
        {"\xc0\x80", 0, 0},         /* longer than it need be */
        {"\xe0\x9f\xbf", 0, 0},
        {"\xf0\x8f\xbf\xbf", 0, 0},
        {"\xed\xa0\x80", 0, 0}, /* half of a UTF-16 pair */
        {"\x80", 0, 0},
        {"\xc3", 0, 0},
        {"\xe2\x82", 0, 0},
        {"\xc3\x28", 0, 0},
        {"\xff", 0, 0},
        {"", 0, 0},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint32_t c = 0;

        ck_assert_uint_eq(gov__utf8(rows[i].text, strlen(rows[i].text), &c),
                          rows[i].length);
        ck_assert_uint_eq(c, rows[i].character);
    }
}
END_TEST

START_TEST(puts_what_fits)
{
    static const struct {
        size_t bytes;
        const char *want;
    } rows[] = {
        {32, "one \xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"},
        {13, "one \xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"},
        {12, "one \xc3\xa4\xc3\xa4..."},
        {11, "one \xc3\xa4..."},
        {10, "one \xc3\xa4..."},
        {8, "one ..."},
        {4, "one"},
        {1, ""},
    };
    char out[33];

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t used;

        memset(out, '#', sizeof(out));
        out[0] = '\0';
        used = gov__put(out, rows[i].bytes, 0, "%s", "one ");
        used = gov__put(out, rows[i].bytes, used,
                        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4");
        ck_assert_str_eq(out, rows[i].want);
        ck_assert_int_eq(out[rows[i].bytes], '#');
        /* What is full and gets more says that something is missing. */
        if (rows[i].bytes > 8 && rows[i].bytes < 16) {
            used = gov__put(out, rows[i].bytes, used, "x");
            ck_assert_uint_eq(gov__put(out, rows[i].bytes, used, "y"),
                              rows[i].bytes);
            ck_assert_str_eq(out + strlen(out) - 3, "...");
            ck_assert_int_ne(out[strlen(out) - 4], '.');
        }
    }
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("expr");
    TCase *t = tcase_create("expr");

    tcase_add_loop_test(t, evaluates, 0, (int)COUNT_OF(truths));
    tcase_add_test(t, kleene_tables);
    tcase_add_loop_test(t, knowing_less_is_monotone, 0, 4);
    tcase_add_loop_test(t, says_what_is_wrong_and_where, 0,
                        (int)COUNT_OF(errors));
    tcase_add_test(t, limits);
    tcase_add_loop_test(t, shows_values, 0, (int)COUNT_OF(shows));
    tcase_add_test(t, literals);
    tcase_add_loop_test(t, prints_what_reads_back, 0, (int)COUNT_OF(prints));
    tcase_add_test(t, no_memory);
    tcase_add_test(t, characters);
    tcase_add_test(t, puts_what_fits);
    suite_add_tcase(s, t);
    return s;
}
