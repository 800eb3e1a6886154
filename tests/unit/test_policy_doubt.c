/* SPDX-License-Identifier: MIT */
/* Doubts about a policy: what is said of the rules that a person would name, and
 * that no doubt is ever wrong: what is doubted is taken out of random policies,
 * and over all facts of small domains no plan may differ. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/plan.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (UINT64_C(1) << 20)
#define POLICIES 500

#define HEAD "version: 1\nbase: none\nrules:\n"
#define RULE(name, when, then)                                                 \
    "  - {name: " name ", when: '" when "', then: {" then                      \
    "}, because: because of " name "}\n"
#define OPEN_RULE(name, when, then)                                            \
    "  - {name: " name ", when: '" when "', then: {" then                      \
    "}, unknown: no-match, because: because of " name "}\n"
#define ALWAYS(name, then)                                                     \
    "  - {name: " name ", then: {" then "}, because: because of " name "}\n"

static gov_policy *read_policy(const char *text)
{
    gov_policy *policy = NULL;
    gov_error err;

    ck_assert_msg(gov_policy_parse(&policy, text, strlen(text), "test",
                                   faults_alloc(), &err) == GOV_OK,
                  "%s\n%s", err.message, text);
    return policy;
}

/* What was told: "rule: sentence\n" for each. */
struct told {
    char text[8192];
    size_t used, count;
};

static void write_doubt(void *ctx, const struct gov_flaw *flaw)
{
    struct told *told = ctx;

    ck_assert(flaw->warning);
    ck_assert_str_eq(flaw->file, "test");
    ck_assert_uint_gt(flaw->line, 0);
    ck_assert_uint_gt(flaw->column, 0);
    told->used += (size_t)snprintf(told->text + told->used,
                                   sizeof(told->text) - told->used, "%s: %s\n",
                                   flaw->rule, flaw->sentence);
    ck_assert_uint_lt(told->used, sizeof(told->text));
    told->count++;
}

static struct told doubts_of(const gov_policy *policy, const char *os)
{
    struct told told = {.used = 0};
    size_t count = gov_policy_doubts(policy, os, write_doubt, &told);

    ck_assert_uint_eq(count, told.count);
    ck_assert_uint_eq(gov_policy_doubts(policy, os, NULL, NULL), count);
    return told;
}

/* ---- what a person would name ---- */

#define NEVER ": its condition is never true\n"
#define DEMANDS(fact) ": what it demands of " fact " cannot all be true\n"
#define SHADOWED(by) ": " by " before it always matches and leaves it nothing\n"
#define COVERED(by)                                                            \
    ": " by " before it matches whenever it does and leaves it nothing\n"
#define SETTLED(what)                                                          \
    ": " what " has no effect: rules before it settle it whenever this one "   \
    "matches\n"
#define IDLE(what, strategy)                                                   \
    ": " what " has no effect beside strategy " strategy "\n"

static const struct {
    const char *rules, *doubts;
} rows[] = {
    {HEAD "  []\n", ""},
    /* Conditions that contradict themselves. */
    {HEAD RULE("a", "device.ram < 4 GiB and device.ram >= 4 GiB", "warn: true")
         RULE("b", "1 == 2", "warn: true") RULE("c", "model.moe", "ahead: 1"),
     "a" DEMANDS("device.ram") "b" NEVER},
    {HEAD RULE("a", "model.moe and (device.cores > 1 and not model.moe)",
               "warn: true")
         RULE("b", "device.os == \"linux\" and device.os == \"darwin\"",
              "warn: true")
             RULE("c", "device.os == \"linux\" and device.os != \"darwin\"",
                  "ahead: 1"),
     "a" DEMANDS("model.moe") "b" DEMANDS("device.os")},
    {HEAD RULE("a", "8 GiB < device.ram < 4 GiB", "warn: true"),
     "a" DEMANDS("device.ram")},
    {HEAD RULE("a", "device.cores < 0", "warn: true") RULE(
         "b", "device.cores > 9223372036854775807", "warn: true")
         RULE("c", "device.cores <= 4 or device.cores > 8", "warn: true") RULE(
             "d", "device.cores >= 4 and device.cores <= 4", "ahead: 1")
             RULE("e", "device.cores in [4] and device.cores == 5", "ahead: 1"),
     "a" DEMANDS("device.cores") "b" DEMANDS("device.cores") "e" DEMANDS(
         "device.cores")},
    {HEAD RULE("a",
               "device.cores < 4 and device.cores >= 4 and device.cores <= 4",
               "warn: true")
         RULE("b", "device.os == \"lin\" and device.os == \"linux\"",
              "warn: true"),
     "a" DEMANDS("device.cores") "b" DEMANDS("device.os")},
    {HEAD RULE("a", "device.cores in [1, 2] and device.cores in [3, 4]",
               "warn: true")
         RULE("b", "device.cores in [1, 2] and not device.cores in [2, 1]",
              "warn: true")
             RULE("c", "device.cores in [1, 2] and device.cores != 1",
                  "ahead: 1")
                 RULE("d",
                      "1 <= device.cores <= 2 and device.cores != 1 and "
                      "device.cores != 2",
                      "warn: true")
                     RULE("e",
                          "device.cores != 1 and device.cores != 2 and "
                          "1 <= device.cores <= 2",
                          "warn: true"),
     "a" NEVER "b" NEVER
     "d" DEMANDS("device.cores") "e" DEMANDS("device.cores")},
    {HEAD RULE("a", "known(device.swap) and not known(device.swap)",
               "warn: true")
         RULE("b", "device.swap > 1 GiB and not known(device.swap)",
              "warn: true") RULE("c", "not known(model.weights)", "warn: true")
             RULE("d", "not known(device.swap) or device.swap > 1 GiB",
                  "ahead: 1")
                 RULE("e",
                      "known(device.swap) == false and device.swap > 0 MiB",
                      "warn: true"),
     "a" DEMANDS("device.swap") "b" DEMANDS("device.swap") "c" DEMANDS(
         "model.weights") "e" DEMANDS("device.swap")},
    {HEAD RULE("a",
               "pressure.level != \"normal\" and pressure.level != \"warn\" "
               "and pressure.level != \"critical\"",
               "warn: true")
         RULE("b", "pressure.level matches \"x*\"", "warn: true")
             RULE("c", "pressure.level matches \"c*\"", "ahead: 1")
                 RULE("d",
                      "device.arch matches \"arm*\" and "
                      "device.arch == \"x86_64\"",
                      "warn: true") RULE("e",
                                         "device.arch matches \"arm64*\" and "
                                         "not device.arch matches \"arm*\"",
                                         "warn: true")
                     RULE("f",
                          "device.arch matches \"arm*\" and "
                          "not device.arch matches \"arm?\"",
                          "ahead: 1"),
     "a" DEMANDS("pressure.level") "b" DEMANDS("pressure.level") "d" DEMANDS(
         "device.arch") "e" DEMANDS("device.arch")},
    /* Facts held against each other. */
    {HEAD RULE("a", "device.swap < device.ram and device.ram < device.swap",
               "warn: true")
         RULE("b",
              "model.weights <= 50 % of budget.ram and model.weights > "
              "budget.ram",
              "warn: true")
             RULE("c",
                  "model.weights <= 50 % of budget.ram and model.weights >= "
                  "50 % of budget.ram",
                  "ahead: 1") RULE("d",
                                   "model.weights > 4 GiB and model.weights + "
                                   "device.swap < 2 GiB",
                                   "warn: true")
                 RULE("e",
                      "device.ram - 4 GiB > 2 GiB and device.ram < "
                      "5 GiB",
                      "warn: true"),
     "a" NEVER "b" NEVER "d" NEVER "e" NEVER},
    /* A rule that refuses matches what is unknown. */
    {HEAD RULE("a", "device.ram < 1 GiB and device.ram > 2 GiB",
               "strategy: refuse")
         OPEN_RULE("b", "device.ram < 1 GiB and device.ram > 2 GiB",
                   "strategy: refuse")
             RULE("c", "known(device.ram) and not known(device.ram)",
                  "strategy: refuse"),
     "b" DEMANDS("device.ram") "c" DEMANDS("device.ram")},
    /* Rules that come late. */
    {HEAD ALWAYS("a", "strategy: heap, warn: true") ALWAYS("b", "warn: false"),
     ""},
    {HEAD ALWAYS("a", "warn: true, ahead: 2") RULE("b", "model.moe", "ahead: 3")
         RULE("c", "model.moe", "ahead: 3, hot: 1 %")
             RULE("d", "model.moe", "strategy: hybrid, ahead: 3"),
     "b" SHADOWED("a") "c" SETTLED("ahead") "d" SETTLED("ahead")},
    {HEAD RULE("a", "device.cores >= 2", "ahead: 2")
         RULE("b", "device.cores >= 4", "ahead: 3")
             RULE("c", "device.cores >= 1", "ahead: 3")
                 RULE("d", "device.cores >= 2 and model.moe", "ahead: 4")
                     RULE("e", "model.moe or device.cores >= 2", "ahead: 4"),
     "b" COVERED("a") "d" COVERED("a")},
    {HEAD RULE("a", "model.moe", "ahead: 2") RULE("b", "model.moe", "hot: 1 %")
         RULE("c", "model.moe and device.cores > 1", "ahead: 3, hot: 2 %"),
     "c: rules before it, b the last, settle all that it sets whenever it "
     "matches\n"},
    /* Sizes are settled in stages, and conditions see those of their stage. */
    {HEAD RULE("a", "model.kv > 1 GiB", "warn: true")
         RULE("b", "model.kv > 1 GiB", "warn: false, context: 512")
             RULE("c", "model.kv > 2 GiB", "warn: false"),
     "c" COVERED("a")},
    {HEAD RULE("a", "model.moe", "kv_type: f16")
         RULE("b", "model.moe", "kv_type: f32, context: 512")
             RULE("c", "model.moe", "kv_type: f32"),
     "c" COVERED("a")},
    /* Heads may pass over a rule that always matches; not one of f16. */
    {HEAD ALWAYS("a", "kv_type: q8_0") RULE("b", "model.moe", "kv_type: f32")
         RULE("c", "model.moe", "kv_type: q4_0")
             ALWAYS("d", "strategy: hybrid, kv_type: q8_0")
                 ALWAYS("e", "strategy: mmap"),
     "c" SHADOWED("a")},
    {HEAD ALWAYS("a", "kv_type: f32") RULE("b", "model.moe", "kv_type: q4_0"),
     "b" SHADOWED("a")},
    /* What does not fit is passed over, so others may get their turn. */
    {HEAD ALWAYS("a", "strategy: heap") ALWAYS("b", "strategy: mmap")
         ALWAYS("c", "strategy: hybrid") ALWAYS("d", "strategy: refuse")
             ALWAYS("e", "strategy: refuse") ALWAYS("f", "warn: true")
                 RULE("g", "model.moe", "strategy: heap"),
     "e" SHADOWED("d") "g" SHADOWED("a")},
    {HEAD ALWAYS("a", "strategy: mmap")
         RULE("b", "not known(request.strategy)", "strategy: hybrid")
             RULE("c", "request.strategy != \"hybrid\"",
                  "strategy: hybrid, context: 512"),
     "b" SHADOWED("a")},
    {HEAD RULE("a", "model.moe", "strategy: heap, ahead: 3")
         RULE("b", "model.moe and model.encrypted", "strategy: heap, ahead: 3")
             RULE("c", "model.moe and model.encrypted",
                  "strategy: heap, ahead: 4") ALWAYS("d", "sequences: 2")
                 ALWAYS("e", "strategy: hybrid, sequences: 3")
                     RULE("f", "model.moe", "strategy: hybrid, sequences: 3"),
     "a" IDLE("ahead", "heap") "b" COVERED("a") "c" IDLE(
         "ahead", "heap") "e" SETTLED("sequences") "f" SHADOWED("e")},
    {HEAD ALWAYS("a", "strategy: heap, context: 512")
         ALWAYS("b", "context: 1024")
             RULE("c", "model.moe", "strategy: heap, context: 512"),
     "c" SETTLED("context")},
    {HEAD OPEN_RULE("a", "device.ram < 2 GiB", "strategy: refuse")
         OPEN_RULE("b", "device.ram < 1 GiB", "strategy: refuse")
             RULE("c", "device.ram < 1 GiB", "strategy: refuse")
                 RULE("d", "device.ram < 512 MiB", "strategy: heap"),
     "b" COVERED("a") "d" COVERED("a")},
    {HEAD RULE("a", "device.ram < 2 GiB", "strategy: refuse")
         RULE("b", "device.ram < 1 GiB", "strategy: refuse"),
     "b" COVERED("a")},
    /* What comes close to a doubt and is none: shares of nothing, or of less than
     * nothing; sums that may be small; what takes too long to look through. */
    {HEAD RULE("a",
               "model.weights <= 50 % of budget.ram and model.weights >= "
               "budget.ram",
               "ahead: 1")
         RULE("b",
              "device.ram - device.limit <= 50 % of (device.swap - "
              "device.zram) and device.ram - device.limit > device.swap - "
              "device.zram",
              "ahead: 1")
             RULE("c",
                  "device.ram - device.swap < 1 GiB and device.ram > 8 GiB",
                  "ahead: 1")
                 RULE(
                     "d",
                     "device.cores in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, "
                     "13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, "
                     "27, 28, 29, 30] and device.cores in [31, 32, 33, 34, 35, "
                     "36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, "
                     "50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60]",
                     "ahead: 1"),
     ""},
    /* A machine is judged where the budget is not known, by what is true, and
     * while it is open what the model and the app will tell. */
    {HEAD OPEN_RULE("a", "not known(budget.ram)", "strategy: refuse"), ""},
    {HEAD RULE("a", "device.zram >= 0 MiB", "strategy: refuse") RULE(
         "b", "device.zram >= 0 MiB or known(device.swap)", "strategy: refuse"),
     ""},
    {HEAD OPEN_RULE("a", "known(model.moe) or not known(model.moe)",
                    "strategy: refuse")
         OPEN_RULE("b", "known(model.moe) or device.cores > 1",
                   "strategy: refuse"),
     ""},
    /* c settles the KV type before b, so that others see other sizes. */
    {HEAD RULE("a", "model.moe", "context: 1024")
         RULE("b", "model.moe", "kv_type: f16")
             RULE("c", "model.moe", "context: 512, kv_type: f32"),
     "c" SETTLED("context")},
    {HEAD RULE("a", "model.moe", "sequences: 2")
         RULE("b", "model.moe", "kv_type: f16")
             RULE("c", "model.moe", "sequences: 3, kv_type: f32"),
     "c" SETTLED("sequences")},
    {HEAD RULE("a", "model.kv > 1 GiB", "context: 8192, warn: true")
         RULE("b", "model.kv > 1 GiB", "warn: false")
             RULE("c", "model.context > 4096", "context: 8192, ahead: 3")
                 RULE("d", "model.context > 4096", "ahead: 4"),
     ""},
    /* Settings beside a strategy. */
    {HEAD RULE("a", "model.moe",
               "strategy: heap, hot: 5 %, hold: first, warm: none, "
               "advise_pass: random, ahead: 2")
         RULE("b", "model.moe", "strategy: hybrid, repack: false, hot: 5 %")
             RULE("c", "device.cores > 2",
                  "strategy: mmap, hot: 5 %, hold: first"),
     "a" IDLE("hot", "heap") "a" IDLE("ahead", "heap") "a" IDLE(
         "hold", "heap") "a" IDLE("warm",
                                  "heap") "a" IDLE("advise_pass",
                                                   "heap") "b" IDLE("repack",
                                                                    "hybrid")},
    {HEAD RULE("a", "true", "strategy: heap, anchor: true, repack: false")
         RULE("b", "true", "strategy: mmap, anchor: true")
             RULE("c", "true", "strategy: hybrid, anchor: false"),
     "a" IDLE("anchor", "heap")},
    {HEAD RULE("a", "true", "strategy: heap, direct: true, repack: false")
         RULE("b", "true", "strategy: mmap, direct: true")
             RULE("c", "true", "strategy: hybrid, direct: false"),
     "a" IDLE("direct", "heap")},
    /* The ladder. */
    {"version: 1\nladder:\n"
     "  - {action: kv.*, from: warn}\n"
     "  - {action: kv.unused, from: warn}\n"
     "  - {action: kv.history.*}\n"
     "  - {action: kv*}\n"
     "  - {action: weights.cold, from: never, rest: 1 s}\n"
     "  - {action: weights.hot, from: never, floor: 1 MiB}\n"
     "  - {action: w?ights.*}\n"
     "  - {action: weights.*}\n",
     "ladder kv.unused: kv.* before it takes every such action\n"
     "ladder kv.history.*: kv.* before it takes every such action\n"
     "ladder weights.cold: it never runs, so it has nothing to rest from\n"
     "ladder weights.*: w?ights.* before it takes every such action\n"},
};

START_TEST(named)
{
    gov_policy *policy = read_policy(rows[_i].rules);
    struct told told = doubts_of(policy, NULL);

    ck_assert_str_eq(told.text, rows[_i].doubts);
    gov_policy_free(policy);
}
END_TEST

static void keep_place(void *ctx, const struct gov_flaw *flaw)
{
    size_t *place = ctx;

    place[0] = flaw->line;
    place[1] = flaw->column;
}

START_TEST(stands_at_the_name)
{
    static const char text[] = HEAD "  - when: model.moe and not model.moe\n"
                                    "    name: x\n"
                                    "    then: {warn: true}\n"
                                    "    because: y\n";
    gov_policy *policy = read_policy(text);
    size_t place[2] = {0, 0};

    ck_assert_uint_eq(gov_policy_doubts(policy, NULL, keep_place, place), 1);
    ck_assert_uint_eq(place[0], 5);
    ck_assert_uint_eq(place[1], 11);
    gov_policy_free(policy);
}
END_TEST

/* ---- systems ---- */

static const struct {
    const char *rules, *linux_doubts, *darwin_doubts;
} systems[] = {
    {HEAD RULE("a", "device.wired_limit > 1 GiB", "warn: true")
         RULE("b", "device.psi", "ahead: 3"),
     "a: linux never tells device.wired_limit, so it never matches there\n",
     "b: darwin never tells device.psi, so it never matches there\n"},
    /* Meant for one system, or for those that do not tell. */
    {HEAD RULE("a", "device.os == \"darwin\" and device.wired_limit > 1 GiB",
               "warn: true")
         RULE("b", "not known(device.psi) or device.psi", "ahead: 3")
             RULE("c", "device.psi or model.moe", "hot: 1 %"),
     "", ""},
    {HEAD RULE("a", "device.wired_limit < 1 GiB", "strategy: refuse"),
     "a: linux never tells device.wired_limit, so it always refuses there\n",
     ""},
    {HEAD RULE("a", "device.wired_limit >= 0 MiB", "strategy: refuse"), "", ""},
    {HEAD OPEN_RULE("b", "device.wired_limit < 1 GiB", "strategy: refuse")
         RULE("c", "device.os == \"darwin\" and device.wired_limit < 2 GiB",
              "strategy: refuse"),
     "b: linux never tells device.wired_limit, so it never matches there\n",
     ""},
};

START_TEST(told_by_systems)
{
    gov_policy *policy = read_policy(systems[_i].rules);
    struct told told;

    told = doubts_of(policy, "linux");
    ck_assert_str_eq(told.text, systems[_i].linux_doubts);
    told = doubts_of(policy, "darwin");
    ck_assert_str_eq(told.text, systems[_i].darwin_doubts);
    gov_policy_free(policy);
}
END_TEST

START_TEST(facts_of_systems)
{
    size_t linux_silent = 0, darwin_silent = 0;

    for (int i = 0; i < GOV_FACT_COUNT; i++) {
        gov_fact fact = (gov_fact)i;
        bool device = strncmp(gov_fact_info(fact)->name, "device.", 7) == 0;

        linux_silent += !gov_fact_told_by(fact, "linux");
        darwin_silent += !gov_fact_told_by(fact, "darwin");
        ck_assert(gov_fact_told_by(fact, NULL));
        ck_assert(gov_fact_told_by(fact, "plan9"));
        ck_assert(device || (gov_fact_told_by(fact, "linux") &&
                             gov_fact_told_by(fact, "darwin")));
        ck_assert(gov_fact_told_by(fact, "linux") ||
                  gov_fact_told_by(fact, "darwin"));
    }
    ck_assert_uint_eq(linux_silent, 1);
    ck_assert_uint_eq(darwin_silent, 8);
    ck_assert(!gov_fact_told_by(GOV_FACT_DEVICE_WIRED_LIMIT, "linux"));
    ck_assert(!gov_fact_told_by(GOV_FACT_DEVICE_PSI, "darwin"));
}
END_TEST

START_TEST(shipped_policies_are_without_doubt)
{
    size_t count;
    const char *const *names = gov_policy_shipped_names(&count);
    const char *text = gov_policy_shipped(names[_i], NULL);
    gov_policy *policy = read_policy(text);
    struct told told = doubts_of(policy, NULL);

    ck_assert_str_eq(told.text, "");
    told = doubts_of(policy, "linux");
    ck_assert_str_eq(told.text, "");
    told = doubts_of(policy, "darwin");
    ck_assert_str_eq(told.text, "");
    gov_policy_free(policy);
}
END_TEST

/* ---- never wrong ---- */

static uint64_t seed;

static unsigned dice(unsigned sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % sides);
}

static const char *one_of(const char *const *words, size_t count)
{
    return words[dice((unsigned)count)];
}

#define ONE_OF(...)                                                            \
    one_of((const char *const[]){__VA_ARGS__},                                 \
           COUNT_OF(((const char *const[]){__VA_ARGS__})))

/* A fact, all it can be beside unknown, and atoms of conditions about it. */
struct domain {
    gov_fact fact;
    unsigned values;
    uint64_t number[4];
    const char *text[4];
    const char *atoms[16];
};

#define LAST NULL

static const struct domain domains[] = {
    {GOV_FACT_DEVICE_CORES,
     4,
     {0, 1, 2, 3},
     {NULL},
     {"device.cores < 2", "device.cores >= 2", "1 <= device.cores < 3",
      "device.cores in [0, 2]", "device.cores not in [1, 2]",
      "device.cores == 1", "3 != device.cores", "known(device.cores)",
      "device.cores * 2 > 3", "device.cores + 1 <= 2", "device.cores > 0",
      "device.cores - 2 > 0", "50 % of device.cores >= 1",
      "device.cores < request.queries_per_minute",
      "device.cores >= request.queries_per_minute", LAST}},
    {GOV_FACT_REQUEST_QUERIES,
     4,
     {0, 1, 2, 3},
     {NULL},
     {"request.queries_per_minute > 1",
      "request.queries_per_minute in [1, 2, 3]",
      "request.queries_per_minute == 2", "request.queries_per_minute <= 2",
      "known(request.queries_per_minute)",
      "request.queries_per_minute > device.cores",
      "request.queries_per_minute == device.cores",
      "request.queries_per_minute + device.cores > 3",
      "request.queries_per_minute <= 50 % of device.cores",
      "request.queries_per_minute > 50 % of device.cores", LAST}},
    {GOV_FACT_MODEL_MOE,
     2,
     {0, 1},
     {NULL},
     {"model.moe", "not model.moe", "model.moe == false", "model.moe != true",
      "known(model.moe)", "model.moe == model.encrypted",
      "model.moe != model.encrypted", "(device.cores > 1) == model.moe", LAST}},
    {GOV_FACT_MODEL_ENCRYPTED,
     2,
     {0, 1},
     {NULL},
     {"model.encrypted", "not model.encrypted", "known(model.encrypted)",
      LAST}},
    {GOV_FACT_MODEL_KV_QUANTIZABLE,
     2,
     {0, 1},
     {NULL},
     {"model.kv_quantizable", "not known(model.kv_quantizable)", LAST}},
    {GOV_FACT_DEVICE_ARCH,
     3,
     {0},
     {"arm", "arm64", "x"},
     {"device.arch == \"arm\"", "device.arch != \"arm64\"",
      "device.arch matches \"arm*\"", "device.arch matches \"arm?*\"",
      "device.arch not in [\"arm\", \"x\"]", "device.arch matches \"*4\"",
      "not device.arch matches \"?\"", "\"x\" == device.arch",
      "known(device.arch)", LAST}},
    {GOV_FACT_PRESSURE_LEVEL,
     3,
     {0},
     {"normal", "warn", "critical"},
     {"pressure.level == \"normal\"", "pressure.level != \"warn\"",
      "pressure.level in [\"warn\", \"critical\"]",
      "pressure.level matches \"*al\"", LAST}},
    {GOV_FACT_REQUEST_STRATEGY,
     3,
     {0},
     {"mmap", "hybrid", "heap"},
     {"request.strategy == \"hybrid\"", "request.strategy != \"hybrid\"",
      "not known(request.strategy)", "request.strategy matches \"h*\"", LAST}},
    {GOV_FACT_REQUEST_CONTEXT,
     2,
     {2048, 16384},
     {NULL},
     {"request.context > 4096", "known(request.context)",
      "model.context > 4096", "model.context <= 4096", "model.context > 1024",
      "model.kv > 256 MiB", "model.kv <= 512 MiB", "model.kv > 1 GiB", LAST}},
    /* With the other sizes: fits, streams only, fits only the heap's way of
     * being small, fits nothing. */
    {GOV_FACT_BUDGET_RAM,
     4,
     {8192 * MIB, 3072 * MIB, 1100 * MIB, 512 * MIB},
     {NULL},
     {"budget.ram >= 4 GiB", "budget.ram < 2 GiB",
      "model.heap_footprint <= budget.ram",
      "model.heap_footprint <= 50 % of budget.ram",
      "model.heap_footprint > budget.ram", "known(budget.ram)",
      "model.mapped_footprint > 30 % of budget.ram",
      "model.weights + model.kv <= budget.ram", LAST}},
    {GOV_FACT_MODEL_WEIGHTS,
     2,
     {4096 * MIB, 150 * MIB},
     {NULL},
     {"model.weights > 1 GiB", "model.weights < budget.ram",
      "budget.ram <= model.weights", LAST}},
};

#define FACTS 4 /* that a policy asks about, or that vary beside them */

enum {
    CONTEXT,
    KV_TYPE,
    AHEAD,
    HOT,
    WARN,
    SEQUENCES,
    HOLD,
    WARNING,
    WARM,
    SETS
};

static const struct {
    const char *name;
    const char *value[3];
} sets[SETS] = {
    {"context", {"1024", "8192", "20000"}},
    {"kv_type", {"f16", "q8_0", "q4_0"}},
    {"ahead", {"2", "4", "8"}},
    {"hot", {"0 %", "20 %", "50 %"}},
    {"warn", {"true", "false", "true"}},
    {"sequences", {"1", "2", "16"}},
    {"hold", {"spread", "first", "dense"}},
    {"warning", {"aha", "oho", "hm"}},
    {"warm", {"use", "file", "none"}},
};

#define RULES 6

struct random_rule {
    char when[256]; /* "" for always */
    const char *strategy, *unknown;
    int set[SETS]; /* index of a value, -1 */
};

struct random_policy {
    unsigned count;
    struct random_rule rule[RULES];
    const struct domain *facts[FACTS];
};

static void random_condition(const struct random_policy *p, char *out,
                             size_t bytes, unsigned depth)
{
    const struct domain *domain = p->facts[dice(FACTS)];
    unsigned atoms = 0, form = dice(8);
    char left[160], right[160];

    if (depth > 0 && form < 4) {
        random_condition(p, left, sizeof(left), depth - 1);
        random_condition(p, right, sizeof(right), depth - 1);
        if (strlen(left) + strlen(right) + 16 < bytes) {
            snprintf(out, bytes, form < 1 ? "not (%s %s %s)" : "(%s %s %s)",
                     left, dice(2) == 0 ? "and" : "or", right);
            return;
        }
    }
    while (domain->atoms[atoms] != LAST)
        atoms++;
    snprintf(out, bytes, "%s", domain->atoms[dice(atoms)]);
}

/* Related to an earlier one, half of the time. */
static void random_when(const struct random_policy *p, char out[256])
{
    char more[64], old[256];

    random_condition(p, out, 160, dice(3));
    if (p->count == 0 || dice(2) == 0) {
        if (dice(10) == 0)
            out[0] = '\0';
        return;
    }
    snprintf(old, sizeof(old), "%s", p->rule[dice(p->count)].when);
    random_condition(p, more, sizeof(more), 0);
    if (old[0] == '\0' || strlen(old) > 180 || dice(3) == 0)
        snprintf(out, 256, "%s", old);
    else
        snprintf(out, 256, "%s %s (%.180s)", more, dice(3) == 0 ? "or" : "and",
                 old);
}

static void random_then(struct random_rule *rule)
{
    unsigned chance = 3;

    rule->strategy = "";
    rule->unknown = "";
    if (dice(2) == 0) {
        rule->strategy = ONE_OF("mmap", "hybrid", "heap", "refuse");
        chance = 5;
        if (strcmp(rule->strategy, "refuse") == 0) {
            rule->unknown = ONE_OF("", "match", "no-match");
            chance = 0;
        }
    }
    for (int i = 0; i < SETS; i++)
        rule->set[i] = chance > 0 && dice(chance * 2) == 0 ? (int)dice(3) : -1;
    if (chance == 3)
        rule->set[dice(SETS)] = (int)dice(3);
}

static void make_random(struct random_policy *p)
{
    memset(p, 0, sizeof(*p));
    for (unsigned i = 0; i < FACTS; i++) {
        const struct domain *domain = &domains[dice(COUNT_OF(domains))];
        bool again = false;

        for (unsigned k = 0; k < i; k++)
            again = again || p->facts[k] == domain;
        i -= again;
        if (!again)
            p->facts[i] = domain;
    }
    for (unsigned count = 2 + dice(RULES - 1); p->count < count; p->count++) {
        random_when(p, p->rule[p->count].when);
        random_then(&p->rule[p->count]);
    }
}

/* The policy as text, without one rule. */
static const char *write_policy(const struct random_policy *p, unsigned without)
{
    static char text[8192];
    size_t used = (size_t)snprintf(text, sizeof(text), "%s", HEAD);

    if (p->count - (without < p->count) == 0)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "  []\n");
    for (unsigned i = 0; i < p->count; i++) {
        const struct random_rule *rule = &p->rule[i];
        const char *comma = "";

        if (i == without)
            continue;
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "  - name: r%u\n    because: of r%u\n", i, i);
        if (rule->when[0] != '\0')
            used += (size_t)snprintf(text + used, sizeof(text) - used,
                                     "    when: '%s'\n", rule->when);
        if (rule->unknown[0] != '\0')
            used += (size_t)snprintf(text + used, sizeof(text) - used,
                                     "    unknown: %s\n", rule->unknown);
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "    then: {");
        if (rule->strategy[0] != '\0') {
            used += (size_t)snprintf(text + used, sizeof(text) - used,
                                     "strategy: %s", rule->strategy);
            comma = ", ";
        }
        for (int s = 0; s < SETS; s++)
            if (rule->set[s] >= 0) {
                used += (size_t)snprintf(text + used, sizeof(text) - used,
                                         "%s%s: %s", comma, sets[s].name,
                                         sets[s].value[rule->set[s]]);
                comma = ", ";
            }
        used += (size_t)snprintf(text + used, sizeof(text) - used, "}\n");
        ck_assert_uint_lt(used, sizeof(text));
    }
    return text;
}

/* The facts that stay what they are. */
static void usual(struct gov_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    gov_facts_set(facts, GOV_FACT_BUDGET_RAM, 3072 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_WEIGHTS, 2048 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN, 128 * 1024);
    gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE, 100 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_LARGEST_UNIT, 100 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_CONTEXT_MAX, 32768);
}

/* Sets facts to combination number n; false when there are no more. */
static bool combine(const struct random_policy *p, unsigned n,
                    struct gov_facts *facts)
{
    usual(facts);
    for (unsigned i = 0; i < FACTS; i++) {
        const struct domain *domain = p->facts[i];
        unsigned choices = domain->values + 1, pick = n % choices;

        n /= choices;
        if (pick == domain->values)
            facts->value[domain->fact].known = false;
        else if (domain->text[0] != NULL)
            gov_facts_set_text(facts, domain->fact, domain->text[pick]);
        else
            gov_facts_set(facts, domain->fact, domain->number[pick]);
    }
    return n == 0;
}

struct outcome {
    gov_status status, machine;
    struct gov_plan plan;
    char reason[GOV_MESSAGE_BYTES], message[GOV_MESSAGE_BYTES];
};

static void decide(const gov_policy *policy, const struct gov_facts *facts,
                   struct outcome *out)
{
    gov_error err = {0};

    memset(out, 0, sizeof(*out));
    out->status = gov_plan_decide(&out->plan, policy, facts, NULL, NULL, &err);
    snprintf(out->message, sizeof(out->message), "%s",
             out->status == GOV_OK ? "" : err.message);
    out->machine =
        gov_policy_judge_device(policy, facts, NULL, out->reason, NULL);
}

static bool same_outcomes(const struct random_policy *p, const gov_policy *a,
                          const gov_policy *b)
{
    struct gov_facts facts;
    struct outcome x, y;

    for (unsigned n = 0; combine(p, n, &facts); n++) {
        decide(a, &facts, &x);
        decide(b, &facts, &y);
        if (memcmp(&x, &y, sizeof(x)) != 0)
            return false;
    }
    return true;
}

/* Rules and settings that are doubted. */
struct doubted {
    struct random_policy *p;
    bool rule[RULES];
    bool set[RULES][SETS];
};

static void mark_doubt(void *ctx, const struct gov_flaw *flaw)
{
    struct doubted *doubted = ctx;
    unsigned index = (unsigned)strtoul(flaw->rule + 1, NULL, 10);
    size_t word = strcspn(flaw->sentence, " ");

    ck_assert_uint_lt(index, doubted->p->count);
    if (strncmp(flaw->sentence + word, " has no effect", 14) != 0) {
        doubted->rule[index] = true;
        return;
    }
    for (int s = 0; s < SETS; s++)
        if (strlen(sets[s].name) == word &&
            memcmp(sets[s].name, flaw->sentence, word) == 0)
            doubted->set[index][s] = true;
}

static bool rule_is_useless(const struct random_policy *p,
                            const gov_policy *policy, unsigned rule)
{
    gov_policy *less = read_policy(write_policy(p, rule));
    bool same = same_outcomes(p, policy, less);

    gov_policy_free(less);
    return same;
}

static bool value_is_useless(struct random_policy *p, const gov_policy *policy,
                             unsigned rule, int set)
{
    int was = p->rule[rule].set[set];
    bool same = true;

    for (int value = 0; value < 3 && same; value++) {
        gov_policy *other;

        p->rule[rule].set[set] = value;
        other = read_policy(write_policy(p, p->count));
        same = same_outcomes(p, policy, other);
        gov_policy_free(other);
    }
    p->rule[rule].set[set] = was;
    return same;
}

/* How often something is doubted. */
struct tally {
    unsigned rules, values;
};

static void try_policy(struct tally *tally)
{
    struct random_policy p;
    struct doubted doubted = {.p = &p};
    gov_policy *policy;

    make_random(&p);
    policy = read_policy(write_policy(&p, p.count));
    gov_policy_doubts(policy, NULL, mark_doubt, &doubted);
    for (unsigned i = 0; i < p.count; i++) {
        ck_assert_msg(!doubted.rule[i] || rule_is_useless(&p, policy, i),
                      "r%u is doubted in\n%s", i, write_policy(&p, p.count));
        tally->rules += doubted.rule[i];
        for (int s = 0; s < SETS; s++) {
            ck_assert_msg(!doubted.set[i][s] ||
                              value_is_useless(&p, policy, i, s),
                          "%s of r%u is doubted in\n%s", sets[s].name, i,
                          write_policy(&p, p.count));
            tally->values += doubted.set[i][s];
        }
    }
    gov_policy_free(policy);
}

START_TEST(are_never_wrong)
{
    struct tally tally = {0};

    seed = UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)(_i + 1);
    for (unsigned n = 0; n < POLICIES; n++)
        try_policy(&tally);
    /* Or the above proves nothing. */
    ck_assert_uint_gt(tally.rules, POLICIES / 6);
    ck_assert_uint_gt(tally.values, POLICIES / 10);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("policy_doubt");
    TCase *t = tcase_create("policy_doubt");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, named, 0, (int)COUNT_OF(rows));
    tcase_add_test(t, stands_at_the_name);
    tcase_add_loop_test(t, told_by_systems, 0, (int)COUNT_OF(systems));
    tcase_add_test(t, facts_of_systems);
    tcase_add_loop_test(t, shipped_policies_are_without_doubt, 0, 4);
    tcase_add_loop_test(t, are_never_wrong, 0, 4);
    suite_add_tcase(s, t);
    return s;
}
