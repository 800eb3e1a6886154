/* SPDX-License-Identifier: MIT */
/* The policy shown: it looks as expected, says where each line is from, and reads
 * as the same policy whatever stands in it. */
#include <stdio.h>
#include <string.h>

#include "policies/plan.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (UINT64_C(1) << 20)

static gov_policy *build(const struct gov_policy_layer *layers, size_t count)
{
    gov_policy *policy = NULL;
    gov_error err;

    ck_assert_msg(gov_policy_build(&policy, layers, count, NULL, NULL,
                                   faults_alloc(), &err) == GOV_OK,
                  "%s\n%s", err.message,
                  count > 0 ? layers[count - 1].text : "");
    return policy;
}

static gov_policy *read_text(const char *name, const char *text)
{
    struct gov_policy_layer layer = {name, text, strlen(text)};

    return build(&layer, 1);
}

/* Lines as they are shown, with or without their origins before them. */
struct shown {
    char text[256 * 1024];
    size_t used;
    bool origins;
};

static void write_line(void *ctx, const char *text, const char *file,
                       size_t line)
{
    struct shown *shown = ctx;
    char origin[64] = "";

    ck_assert_ptr_null(strchr(text, '\n'));
    if (shown->origins && file != NULL)
        snprintf(origin, sizeof(origin), "%s:%zu", file, line);
    shown->used += (size_t)snprintf(
        shown->text + shown->used, sizeof(shown->text) - shown->used,
        shown->origins ? "%-10s|%s\n" : "%s%s\n", origin, text);
    ck_assert_uint_lt(shown->used, sizeof(shown->text));
}

static const char *show(const gov_policy *policy, struct shown *shown,
                        bool origins)
{
    shown->used = 0;
    shown->origins = origins;
    gov_policy_show(policy, write_line, shown);
    gov_policy_show(policy, NULL, NULL);
    return shown->text;
}

static struct shown first, second;

/* ---- what it looks like ---- */

static const char lower[] =
    "version: 1\n"
    "base: none\n"
    "levels: {warn_stall: 7.5 %, window: 12 s, warn_stall_exit: 3 %,\n"
    "         critical_stall: 10 %, critical_stall_exit: 5 %,\n"
    "         warn_headroom: 10 %, warn_headroom_exit: 90 %,\n"
    "         critical_headroom: 0.4 %, critical_headroom_exit: 6 %}\n"
    "regrow: {after: 2 min, every: 1500 ms}\n"
    "ladder:\n"
    "  - {action: kv.*, from: critical, floor: 64 MiB}\n"
    "  - action: weights.cold\n"
    "    rest: 90 s\n"
    "    floor_tokens: 1024\n"
    "  - action: '*'\n"
    "rules:\n"
    "  - name: a\n"
    "    when: >\n"
    "      model.moe\n"
    "      and device.os == \"a  b: #c\"\n"
    "    then: {strategy: heap, repack: true, hot: 12.3456 %}\n"
    "    because: \"it's said: yes\"\n"
    "  - {name: b, then: {strategy: refuse, instead: 'a, b'}, because: b,\n"
    "     unknown: no-match, when: model.moe\n"
    "       and   device.os == \"a  b\"}\n";

static const char upper[] =
    "version: 1\n"
    "levels:\n"
    "  window: 8 s\n"
    "rules:\n"
    "  - name: c\n"
    "    because: d\n"
    "    then:\n"
    "      warm_rate: 104857600 B\n"
    "      gpu_layers: all\n"
    "      context: 512\n"
    "      warning: \"\\u00fcber\\ttab\"\n"
    "  - name: a\n"
    "    because: other\n"
    "    then: {warn: false,\n"
    "      ahead: 3}\n"
    "  - {name: d, because: e, then: {ahead: 3, warn: true}}\n";

static const char expected[] =
    "          |version: 1\n"
    "          |base: none\n"
    "          |\n"
    "          |levels:\n"
    "upper:3   |  window: 8 s\n"
    "built in:0|  calm: 5 s\n"
    "lower:3   |  warn_stall: 7.5 %\n"
    "lower:3   |  warn_stall_exit: 3 %\n"
    "lower:4   |  critical_stall: 10 %\n"
    "lower:4   |  critical_stall_exit: 5 %\n"
    "lower:5   |  warn_headroom: 10 %\n"
    "lower:5   |  warn_headroom_exit: 90 %\n"
    "lower:6   |  critical_headroom: 0.4 %\n"
    "lower:6   |  critical_headroom_exit: 6 %\n"
    "built in:0|  warn_refault: 1 %\n"
    "built in:0|  warn_refault_exit: 0.5 %\n"
    "built in:0|  window_fast: 400 ms\n"
    "built in:0|  warn_stall_fast: 17.5 %\n"
    "built in:0|  warn_fill: 1500 ms\n"
    "built in:0|  critical_fill: 400 ms\n"
    "          |\n"
    "          |regrow:\n"
    "lower:7   |  after: 2 min\n"
    "lower:7   |  every: 1500 ms\n"
    "          |\n"
    "          |ladder:\n"
    "lower:9   |  - { action: kv.*, from: critical, floor: 64 MiB }\n"
    "lower:10  |  - action: weights.cold\n"
    "lower:12  |    floor_tokens: 1024\n"
    "lower:11  |    rest: 90 s\n"
    "lower:13  |  - { action: '*' }\n"
    "          |\n"
    "          |rules:\n"
    "upper:5   |  - name: c\n"
    "          |    then:\n"
    "upper:10  |      context: 512\n"
    "upper:8   |      warm_rate: 100 MiB\n"
    "upper:9   |      gpu_layers: all\n"
    "upper:11  |      warning: \xC3\xBC"
    "ber tab\n"
    "upper:6   |    because: d\n"
    "          |\n"
    "upper:16  |  - name: d\n"
    "upper:16  |    then: { warn: true, ahead: 3 }\n"
    "upper:16  |    because: e\n"
    "          |\n"
    "upper:12  |  - name: a\n"
    "          |    then:\n"
    "upper:14  |      warn: false\n"
    "upper:15  |      ahead: 3\n"
    "upper:13  |    because: other\n"
    "          |\n"
    "lower:21  |  - name: b\n"
    "lower:22  |    when: model.moe and device.os == \"a  b\"\n"
    "          |    then:\n"
    "lower:21  |      strategy: refuse\n"
    "lower:21  |      instead: a, b\n"
    "lower:22  |    unknown: no-match\n"
    "lower:21  |    because: b\n";

START_TEST(looks_as_expected)
{
    const struct gov_policy_layer layers[] = {{"lower", lower, strlen(lower)},
                                              {"upper", upper, strlen(upper)}};
    gov_policy *policy = build(layers, COUNT_OF(layers));

    ck_assert_str_eq(show(policy, &first, true), expected);
    gov_policy_free(policy);
}
END_TEST

/* ---- quoting ---- */

static const struct {
    const char *yaml, *shown;
} quoted[] = {
    {"plain words", "plain words"},
    {"'ends: in a colon:'", "'ends: in a colon:'"},
    {"\"a: b\"", "'a: b'"},
    {"'ends:'", "'ends:'"},
    {"a:b", "a:b"},
    {"'a #b'", "'a #b'"},
    {"a#b", "a#b"},
    {"'  leading'", "'  leading'"},
    {"'it''s'", "it's"},
    {"'''it'''", "'''it'''"},
    {"'\"it\"'", "'\"it\"'"},
    {"'- a'", "'- a'"},
    {"'[a]'", "'[a]'"},
    {"'{a}'", "'{a}'"},
    {"'*a'", "'*a'"},
    {"'&a'", "'&a'"},
    {"'!a'", "'!a'"},
    {"'%a'", "'%a'"},
    {"'@a'", "'@a'"},
    {"'`a'", "'`a'"},
    {"'? a'", "'? a'"},
    {"'| a'", "'| a'"},
    {"'> a'", "'> a'"},
    {"'# a'", "'# a'"},
    {"a, b", "a, b"},
    {"\"a\\\\ \\\"b\\\"\\tc\"", "a\\ \"b\" c"},
    {"\xE2\x82\xAC \xF0\x9F\x98\x80", "\xE2\x82\xAC \xF0\x9F\x98\x80"},
    {"true", "true"},
    {"|\n      two\n      lines", "two lines"},
};

START_TEST(quotes_what_it_must)
{
    char text[512], want[512];
    gov_policy *policy;

    snprintf(text, sizeof(text),
             "version: 1\nbase: none\nrules:\n  - name: a\n    then: {warn: "
             "true}\n    because: %s\n",
             quoted[_i].yaml);
    snprintf(want, sizeof(want), "    because: %s\n", quoted[_i].shown);
    policy = read_text("one", text);
    show(policy, &first, false);
    ck_assert_msg(strstr(first.text, want) != NULL, "%s\n%s", want, first.text);
    gov_policy_free(policy);
    policy = read_text("two", first.text);
    ck_assert_str_eq(show(policy, &second, false), first.text);
    gov_policy_free(policy);
}
END_TEST

/* ---- the same policy ---- */

static uint64_t seed;

static unsigned dice(unsigned sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % sides);
}

#define ONE_OF(list) ((list)[dice((unsigned)COUNT_OF(list))])

static const char *const texts[] = {"normal", "warn",   "mmap",
                                    "heap",   "hybrid", "f16",
                                    "llama",  "gguf",   "darwin"};

static void random_facts(struct gov_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    for (int i = 0; i < GOV_FACT_COUNT; i++) {
        gov_fact fact = (gov_fact)i;

        if (fact == GOV_FACT_REQUEST_STRATEGY ||
            fact == GOV_FACT_REQUEST_KV_TYPE || dice(3) == 0)
            continue;
        if (gov_fact_info(fact)->type == GOV_TYPE_TEXT)
            gov_facts_set_text(facts, fact, ONE_OF(texts));
        else
            gov_facts_set(facts, fact, UINT64_C(1) << dice(36));
    }
    gov_facts_set(facts, GOV_FACT_BUDGET_RAM, (1 + dice(32)) * 1024 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_WEIGHTS, (1 + dice(32)) * 512 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN,
                  UINT64_C(1024) << dice(8));
    gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE, 100 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_LARGEST_UNIT, 50 * MIB);
    if (dice(3) == 0)
        gov_facts_set_text(facts, GOV_FACT_REQUEST_STRATEGY,
                           texts[2 + dice(3)]);
}

struct decided {
    struct gov_plan plan;
    gov_status status;
    char trace[16384];
    size_t used;
};

static void write_trace(void *ctx, const char *rule, const char *verdict,
                        const char *detail)
{
    struct decided *d = ctx;

    if (d->used < sizeof(d->trace))
        d->used +=
            (size_t)snprintf(d->trace + d->used, sizeof(d->trace) - d->used,
                             "%s %s %s\n", rule, verdict, detail);
}

static void decide(const gov_policy *policy, const struct gov_facts *facts,
                   struct decided *out)
{
    memset(out, 0, sizeof(*out));
    out->status =
        gov_plan_decide(&out->plan, policy, facts, write_trace, out, NULL);
}

static void decide_alike(const gov_policy *a, const gov_policy *b,
                         unsigned times)
{
    static struct decided x, y;
    struct gov_facts facts;

    for (unsigned n = 0; n < times; n++) {
        random_facts(&facts);
        decide(a, &facts, &x);
        decide(b, &facts, &y);
        ck_assert_int_eq(x.status, y.status);
        ck_assert_str_eq(x.trace, y.trace);
        ck_assert_mem_eq(&x.plan, &y.plan, sizeof(x.plan));
    }
}

static void comes_back(const gov_policy *policy, unsigned times)
{
    struct gov_level_rules levels, levels_again;
    struct gov_relief_rules relief, relief_again;
    gov_policy *again = read_text("again", show(policy, &first, false));

    ck_assert_str_eq(show(again, &second, false), first.text);
    memset(&levels, 0, sizeof(levels));
    memset(&levels_again, 0, sizeof(levels_again));
    memset(&relief, 0, sizeof(relief));
    memset(&relief_again, 0, sizeof(relief_again));
    gov_policy_levels(policy, &levels);
    gov_policy_levels(again, &levels_again);
    ck_assert_mem_eq(&levels, &levels_again, sizeof(levels));
    gov_policy_relief(policy, &relief);
    gov_policy_relief(again, &relief_again);
    ck_assert_mem_eq(&relief, &relief_again, sizeof(relief));
    ck_assert_uint_eq(gov_policy_rules(policy), gov_policy_rules(again));
    decide_alike(policy, again, times);
    gov_policy_free(again);
}

START_TEST(shipped_ones_come_back)
{
    size_t count;
    const char *const *names = gov_policy_shipped_names(&count);
    char text[128];
    gov_policy *policy;

    ck_assert_uint_eq(count, 4);
    snprintf(text, sizeof(text), "version: 1\nbase: %s\n", names[_i]);
    policy = read_text("user", text);
    seed = 88172645463325252U;
    comes_back(policy, 300);
    gov_policy_free(policy);
    policy = build(NULL, 0);
    comes_back(policy, 100);
    gov_policy_free(policy);
}
END_TEST

static size_t put(char *out, size_t bytes, size_t used, const char *text)
{
    size_t length = strlen(text);

    ck_assert_uint_lt(used + length, bytes);
    memcpy(out + used, text, length + 1);
    return used + length;
}

/* A sentence of what YAML could take for something else, in double quotes. */
static size_t put_sentence(char *out, size_t bytes, size_t used)
{
    static const char *const parts[] = {"a",
                                        " ",
                                        ": ",
                                        " #",
                                        "'",
                                        "\\\"",
                                        "-",
                                        "- ",
                                        "{",
                                        "}",
                                        "[",
                                        "]",
                                        ",",
                                        "*",
                                        "&",
                                        "!",
                                        "|",
                                        ">",
                                        "%",
                                        "@",
                                        "`",
                                        "?",
                                        "\\\\",
                                        "\\t",
                                        "=",
                                        "word",
                                        "true",
                                        "~",
                                        "0x1F",
                                        "\xC3\xA9",
                                        "\xF0\x9F\x98\x80",
                                        ":",
                                        "#",
                                        "\\n",
                                        "null",
                                        "\xE2\x80\x94"};

    used = put(out, bytes, used, "\"");
    for (unsigned n = dice(8); n > 0; n--)
        used = put(out, bytes, used, ONE_OF(parts));
    return put(out, bytes, used, "x\"");
}

static const char *const conditions[] = {
    "model.moe",
    "'device.os == \"a: b #c\"'",
    "\"'x' == device.arch\"",
    "'''x'' == device.arch'",
    "\"\\\"it's\\\" != device.arch\"",
    "device.ram in [1 GiB,\n      2 GiB]",
    ">\n      model.moe\n      and not known(device.swap)",
    "|\n      device.arch matches \"a*\"\n      or model.moe",
    "\"device.arch == \\\"a\\\\tb\\\"\"",
    "\"device.arch == \\\"a\\tb\\nc\\\"\"",
    "'\"[1, 2]\" == device.arch'",
    "'device.arch == \"[x]: {y}\"'",
    "1 < device.cores <= 8",
};

static const char *const settings[] = {
    "kv_type: q8_0",        "context: 8192",
    "warn: true",           "hot: 33.3333 %",
    "hot: 0.0001 %",        "ahead: 16",
    "anchor: true",         "anchor: false",
    "direct: true",         "direct: false",
    "hold: first",          "warm: none",
    "warm_rate: 1048577 B", "warm_rate: 1.5 GiB",
    "advise_load: random",  "advise_pass: sequential",
    "gpu_layers: all",      "gpu_layers: 0",
    "sequences: 256",
};

static size_t put_rule(char *out, size_t bytes, size_t used, unsigned index)
{
    static const char *const strategies[] = {"mmap", "hybrid", "heap",
                                             "refuse"};
    const char *strategy = dice(2) == 0 ? ONE_OF(strategies) : NULL;
    bool refuse = strategy != NULL && strcmp(strategy, "refuse") == 0;
    bool flow = dice(2) == 0, some = false;
    char line[128];

    snprintf(line, sizeof(line), "  - name: r%u\n    because: ", index);
    used = put_sentence(out, bytes, put(out, bytes, used, line));
    if (dice(4) != 0) {
        used = put(out, bytes, used, "\n    when: ");
        used = put(out, bytes, used, ONE_OF(conditions));
    }
    if (refuse && dice(2) == 0)
        used = put(out, bytes, used,
                   dice(2) == 0 ? "\n    unknown: match"
                                : "\n    unknown: no-match");
    used = put(out, bytes, used, flow ? "\n    then: {" : "\n    then:");
#define NEXT                                                                   \
    (flow ? (some ? (dice(4) == 0 ? ",\n      " : ", ") : "") : "\n      ")
    if (strategy != NULL) {
        used = put(out, bytes, put(out, bytes, used, NEXT), "strategy: ");
        used = put(out, bytes, used, strategy);
        some = true;
    }
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        size_t key = strcspn(settings[i], ":");

        if (refuse || dice(6) != 0 ||
            (i > 0 && strncmp(settings[i], settings[i - 1], key) == 0))
            continue;
        used = put(out, bytes, put(out, bytes, used, NEXT), settings[i]);
        some = true;
    }
    if (!some || dice(3) == 0) {
        used = put(out, bytes, put(out, bytes, used, NEXT),
                   refuse ? "instead: " : "warning: ");
        used = put_sentence(out, bytes, used);
    }
#undef NEXT
    return put(out, bytes, used, flow ? "}\n" : "\n");
}

static size_t put_ladder(char *out, size_t bytes, size_t used)
{
    static const char *const actions[] = {"kv.unused", "weights.*", "*",
                                          "model.?"};
    static const char *const keys[] = {
        "from: never", "from: warn",        "floor: 3 MiB",
        "floor: 0 B",  "floor_tokens: 256", "rest: 1500 ms",
        "rest: 1 h",   "rest_little: 2 min"};

    used = put(out, bytes, used, "ladder:\n");
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        bool flow = dice(2) == 0;

        used = put(out, bytes, used, flow ? "  - {action: '" : "  - action: '");
        used = put(out, bytes, put(out, bytes, used, actions[i]), "'");
        for (size_t k = dice(2); k < COUNT_OF(keys); k += 2) {
            if (dice(2) == 0)
                continue;
            used = put(out, bytes, used, flow ? ", " : "\n    ");
            used = put(out, bytes, used, keys[k]);
            k += k % 2 == 0;
        }
        used = put(out, bytes, used, flow ? "}\n" : "\n");
    }
    return used;
}

START_TEST(random_ones_come_back)
{
    static char text[65536];

    seed = UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)(_i + 1);
    for (unsigned n = 0; n < 200; n++) {
        gov_policy *policy;
        size_t used = put(text, sizeof(text), 0, "version: 1\nbase: none\n");

        if (dice(2) == 0)
            used = put(text, sizeof(text), used,
                       "levels: {calm: 1500 ms, critical_headroom: 0.5 %}\n"
                       "regrow: {every: 0 s}\n");
        if (dice(2) == 0)
            used = put_ladder(text, sizeof(text), used);
        used = put(text, sizeof(text), used, "rules:\n");
        for (unsigned i = 0; i < 5; i++)
            used = put_rule(text, sizeof(text), used, i);
        policy = read_text("random", text);
        comes_back(policy, 10);
        gov_policy_free(policy);
    }
}
END_TEST

/* The longest condition there is, and one of nothing but what must be escaped. */
START_TEST(long_conditions_come_back)
{
    static char text[32768];
    size_t used = put(text, sizeof(text), 0,
                      "version: 1\nbase: none\nrules:\n  - name: a\n"
                      "    because: b\n    then: {warn: true}\n    when: "
                      "\"device.arch == '");
    gov_policy *policy;

    for (unsigned i = 0; i < 4096 - 17; i++)
        used = put(text, sizeof(text), used,
                   _i == 0   ? "\\t"
                   : _i == 1 ? ""
                             : "'");
    if (_i == 1)
        for (unsigned i = 0; i < 4096 - 17; i++)
            used = put(text, sizeof(text), used, "x");
    put(text, sizeof(text), used, "'\"\n");
    policy = read_text("long", text);
    comes_back(policy, 1);
    gov_policy_free(policy);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("policy_show");
    TCase *t = tcase_create("policy_show");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, looks_as_expected);
    tcase_add_loop_test(t, quotes_what_it_must, 0, (int)COUNT_OF(quoted));
    tcase_add_loop_test(t, shipped_ones_come_back, 0, 4);
    tcase_add_loop_test(t, random_ones_come_back, 0, 4);
    tcase_add_loop_test(t, long_conditions_come_back, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
