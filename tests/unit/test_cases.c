/* SPDX-License-Identifier: MIT */
/* Cases: what a case says is compared and nothing else, every mistake has its
 * line and column, and those of the shipped policies pass. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/cases.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ---- help ----------------------------------------------------------------- */

struct seen {
    size_t cases, passed, flaws;
    char sentence[600]; /* of the last one that failed */
    char name[100], requirement[20];
    size_t line;
};

static void on_case(void *ctx, const struct gov_case_result *result)
{
    struct seen *seen = ctx;

    ck_assert_str_eq(result->file, "f");
    seen->cases++;
    seen->line = result->line;
    snprintf(seen->name, sizeof(seen->name), "%s", result->name);
    snprintf(seen->requirement, sizeof(seen->requirement), "%s",
             result->requirement);
    ck_assert_int_eq(result->passed, result->sentence[0] == '\0');
    if (result->passed)
        seen->passed++;
    else
        snprintf(seen->sentence, sizeof(seen->sentence), "%s",
                 result->sentence);
}

static void on_flaw(void *ctx, const struct gov_flaw *flaw)
{
    struct seen *seen = ctx;

    ck_assert(!flaw->warning);
    seen->flaws++;
}

static gov_policy *shipped(const char *name)
{
    char base[64];
    const struct gov_policy_layer layer = {"test", base, 0};
    struct gov_policy_layer layers[1] = {layer};
    gov_policy *policy;
    gov_error err;

    layers[0].bytes =
        (size_t)snprintf(base, sizeof(base), "version: 1\nbase: %s\n", name);
    ck_assert_msg(
        gov_policy_build(&policy, layers, 1, NULL, NULL, NULL, &err) == GOV_OK,
        "%s", err.message);
    return policy;
}

static gov_status run(const gov_policy *policy, const char *text,
                      struct seen *seen, gov_error *err)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + 1); /* exact, for the sanitizer */
    struct gov_policy_layer cases;
    gov_status status;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, bytes);
    memset(seen, 0, sizeof(*seen));
    memset(err, 0, sizeof(*err));
    cases = (struct gov_policy_layer){"f", copy, bytes};
    status = gov_cases_run(policy, &cases, on_case, seen, on_flaw, seen,
                           faults_alloc(), err);
    free(copy);
    ck_assert_int_eq(faults_live_blocks(), 0);
    return status;
}

/* ---- mistakes ------------------------------------------------------------- */

#define HEAD "version: 1\ncases:\n"
/* A case whose further keys begin at line 4, column 5. */
#define CASE(more) HEAD "  - name: a\n" more
#define EXPECT "    expect: { strategy: mmap }\n"

static const struct {
    const char *text, *message;
} mistakes[] = {
    {"", "f:1:1: the file is empty; begin with \"version: 1\""},
    {"version: 1\n", "f:1:1: a case file without cases"},
    {"version: 2\ncases: []\n",
     "f:1:10: version is \"2\"; this governor reads version 1"},
    {HEAD "  - expect: { warn: true }\n", "f:3:5: a case without name"},
    {CASE("    facts: {}\n"), "f:3:5: a case without expect"},
    {CASE("    expect: {}\n"),
     "f:3:5: expect is empty: the case would always pass"},
    {CASE("    expect: { strategy: mmpa }\n"),
     "f:4:25: this cannot be \"mmpa\"; did you mean mmap?"},
    {CASE("    expect: { stratgey: mmap }\n"),
     "f:4:15: expect has no key \"stratgey\"; did you mean strategy?"},
    {CASE("    expect: { context: 4 GiB }\n"), "f:4:24: write a whole number"},
    {CASE("    expect: { warn: yes }\n"),
     "f:4:21: this cannot be \"yes\"; write false or true"},
    {CASE(EXPECT "    facts: { device.rma: 4 GiB }\n"),
     "f:5:14: there is no fact \"device.rma\"; did you mean device.ram?"},
    {CASE(EXPECT "    facts: { device.ram: 4 GiB, device.ram: 5 GiB }\n"),
     "f:5:33: device.ram is given twice"},
    {CASE(EXPECT "    facts: { model.moe: 1 }\n"),
     "f:5:25: this cannot be \"1\"; write false or true"},
    {CASE(EXPECT "    facts: [1]\n"),
     "f:5:12: facts are a mapping: device.ram and others, and what they are"},
    {CASE("    expect: { order: [] }\n"),
     "f:3:5: a case of facts expects no order and no level"},
    {CASE(EXPECT "    level: warn\n"),
     "f:3:5: level and wanted stand beside actions"},
    {CASE(EXPECT "    actions: [{ name: a, offers: 1 B }]\n"),
     "f:3:5: a case with actions has a level and no facts"},
    {CASE(EXPECT "    level: warn\n    actions: [{ name: a, offers: 1 B }]\n"),
     "f:3:5: a case with actions expects an order"},
    {CASE("    level: warn\n    actions: []\n    expect: { order: [] }\n"),
     "f:5:14: a case without an action decides nothing"},
    {CASE("    evidence: []\n    expect: { level: normal }\n"),
     "f:4:15: a case without a sample decides nothing"},
    {CASE("    evidence:\n      - { at: 2 s }\n      - { at: 1 s }\n"
          "    expect: { level: normal }\n"),
     "f:6:9: samples run forwards; this one is before the one above it"},
    {CASE("    evidence: [{ at: 2 s }, {}]\n    expect: { level: normal }\n"),
     "f:4:29: samples run forwards; this one is before the one above it"},
    {CASE("    level: warn\n"
          "    actions: [{ name: a, offers: 1 B, leaves: yes }]\n"
          "    expect: { order: [a] }\n"),
     "f:5:47: this cannot be \"yes\"; write false or true"},
    {CASE(EXPECT "    evidence: {}\n"),
     "f:3:5: a case with evidence expects a level"},
    {CASE(EXPECT "    evidence: {}\n    facts: {}\n"),
     "f:3:5: a case with evidence asks for a level and has nothing else"},
    {CASE("    level: wran\n" EXPECT),
     "f:4:12: a level cannot be \"wran\"; did you mean warn?"},
    {CASE("    level: warn\n    actions: [{ name: a }]\n" EXPECT),
     "f:5:15: an action without offers"},
    {CASE("    level: warn\n    actions:\n"
          "      - { name: a, offers: 1 B, cost: 4294967296 }\n"
          "    expect: { order: [a] }\n"),
     "f:6:39: cost is at most 4294967295"},
    {CASE("    requirement: aaaaaaaaaaaaaaaa\n" EXPECT),
     "f:4:18: requirement has 1 to 15 bytes"},
    {HEAD "  - 5\n", "f:3:5: a case is a mapping: name and what it is"},
    {"version: 1\ncases: 5\n",
     "f:2:8: cases is a list; each one begins with \"- name:\""},
    {CASE(EXPECT) "common: {}\n", "f:5:9: common stands before cases"},
    {HEAD "  - &a { name: a, expect: { warn: true } }\n",
     "f:3:5: case files have no anchors; leave out the &"},
};

START_TEST(a_mistake_has_its_place)
{
    gov_policy *policy = shipped("balanced");
    struct seen seen;
    gov_error err;

    ck_assert_int_eq(run(policy, mistakes[_i].text, &seen, &err), GOV_E_FORMAT);
    ck_assert_str_eq(err.message, mistakes[_i].message);
    ck_assert_uint_eq(seen.cases, 0);
    gov_policy_free(policy);
}
END_TEST

START_TEST(no_case_is_decided_beside_a_mistake)
{
    gov_policy *policy = shipped("balanced");
    struct seen seen;
    gov_error err;

    ck_assert_int_eq(run(policy,
                         CASE(EXPECT) "  - name: b\n    expect: { x: 1 }\n",
                         &seen, &err),
                     GOV_E_FORMAT);
    ck_assert_uint_eq(seen.cases, 0);
    ck_assert_uint_eq(seen.flaws, 1);
    ck_assert_int_eq(run(policy,
                         HEAD "  - name: a\n    expect: { x: 1 }\n"
                              "  - name: b\n    expect: { warn: 2 }\n"
                              "    level: wran\n",
                         &seen, &err),
                     GOV_E_FORMAT);
    ck_assert_uint_eq(seen.flaws, 3);
    gov_policy_free(policy);
}
END_TEST

/* Facts have more keys than other mappings, and are read like those. */
START_TEST(every_wrong_fact_is_told)
{
    gov_policy *policy = shipped("balanced");
    struct seen seen;
    gov_error err;

    ck_assert_int_eq(
        run(policy,
            CASE(EXPECT
                 "    facts:\n      device.rma: { a: [1, &b 2] }\n"
                 "      device.ram: [4 GiB]\n      model.moe: 1\n"
                 "      model.layers: 3\n      model.layers: 4\n"
                 "      budget.ram: 1 s\n"
                 "    level: wran\n") "  - name: b\n    expect: { x: 1 }\n",
            &seen, &err),
        GOV_E_FORMAT);
    ck_assert_str_eq(err.message, "f:6:7: there is no fact \"device.rma\"; did "
                                  "you mean device.ram?");
    ck_assert_uint_eq(seen.flaws, 7);
    ck_assert_int_eq(run(policy,
                         "version: 1\ncommon: { device.rma: 1, model.moe: 1 }\n"
                         "cases:\n  - { name: b, expect: { x: 1 } }\n",
                         &seen, &err),
                     GOV_E_FORMAT);
    ck_assert_uint_eq(seen.flaws, 3);
    gov_policy_free(policy);
}
END_TEST

/* ---- comparing ------------------------------------------------------------ */

#define COMMON                                                                 \
    "version: 1\ncommon: { budget.ram: 8 GiB, model.weights: 1 GiB,"           \
    " model.kv_per_token: 1 KiB, model.compute: 1 MiB }\ncases:\n"             \
    "  - name: the case\n    requirement: S5\n"

static const struct {
    const char *text, *sentence; /* "" passes */
} compared[] = {
    {COMMON "    expect: { strategy: mmap, rule: fits, warn: false }\n", ""},
    {COMMON "    expect: { strategy: heap }\n",
     "strategy is mmap, not heap (rule fits)"},
    {COMMON "    expect: { strategy: heap, rule: streams }\n",
     "strategy is mmap, not heap; rule is fits, not streams"},
    {COMMON "    expect: { context: 4097 }\n",
     "context is 4096, not 4097 (rule fits)"},
    {COMMON "    expect: { warn: true }\n", "warn is no, not yes (rule fits)"},
    {COMMON "    expect: { anchor: false }\n", ""},
    {COMMON "    expect: { anchor: true }\n",
     "anchor is no, not yes (rule fits)"},
    {COMMON "    expect: { direct: false }\n", ""},
    {COMMON "    expect: { direct: true }\n",
     "direct is no, not yes (rule fits)"},
    {COMMON "    expect: { warning: \"x*\" }\n",
     "warning is empty, not x* (rule fits)"},
    {COMMON "    expect: { reason: \"*file pages*\" }\n", ""},
    {COMMON "    expect: { hot: 1 GiB, kv_type: f16 }\n", ""},
    {COMMON "    facts: { model.weights: 9 GiB }\n"
            "    expect: { strategy: hybrid }\n",
     "strategy is refuse, not hybrid (rule (budget))"},
    {COMMON "    facts: { model.weights: 9 GiB, model.largest_unit: 1 MiB }\n"
            "    expect: { strategy: hybrid, ahead: 2, hold: spread }\n",
     ""},
    {COMMON "    facts: { model.weights: unknown }\n"
            "    expect: { strategy: mmap }\n",
     "there is no plan: model.weights is unknown (bytes of all tensors); no "
     "plan can do without it, and the model file does not tell; name a whole "
     "model, which a projector or a part is not"},
    {COMMON "    level: critical\n    actions:\n"
            "      - { name: b, offers: 1 MiB }\n"
            "      - { name: heap.purge, offers: 4 KiB }\n"
            "    expect: { order: [heap.purge, b] }\n",
     ""},
    {COMMON "    level: critical\n    actions:\n"
            "      - { name: b, offers: 1 MiB, from: critical }\n"
            "    expect: { order: [] }\n",
     "the order is b"},
    {COMMON "    level: warn\n    actions:\n"
            "      - { name: b, offers: 1 MiB, from: critical }\n"
            "    expect: { order: [b] }\n",
     "the order is empty"},
    {COMMON "    level: warn\n    wanted: 1 MiB\n    actions:\n"
            "      - { name: b, offers: 1 MiB, cost: 2 }\n"
            "      - { name: a, offers: 1 MiB, cost: 1 }\n"
            "    expect: { order: [a, b] }\n",
     "the order is a"},
    {COMMON "    evidence: { budget: 1 GiB, headroom: 1 MiB }\n"
            "    expect: { level: normal }\n",
     "level is critical, not normal (1 MiB of the 1024 MiB budget are left)"},
    {COMMON
     "    evidence:\n      - { at: 0 s, some: 0 s, full: 0 s }\n"
     "      - { at: 1 s, some: 500 ms, full: 0 s }\n"
     "    expect: { level: warn, because: \"something waited*50.0 %*\" }\n",
     ""},
};

START_TEST(what_is_expected_is_compared)
{
    gov_policy *policy = shipped("balanced");
    struct seen seen;
    gov_error err;

    ck_assert_msg(run(policy, compared[_i].text, &seen, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(seen.cases, 1);
    ck_assert_str_eq(seen.sentence, compared[_i].sentence);
    ck_assert_str_eq(seen.name, "the case");
    ck_assert_str_eq(seen.requirement, "S5");
    ck_assert_uint_eq(seen.line, 4);
    gov_policy_free(policy);
}
END_TEST

/* An action that cannot leave a part does not run above a floor. */
static const struct {
    const char *floor, *action, *sentence; /* "" : it runs */
} floors[] = {
    {"floor: 2 MiB", "", "the order is empty"},
    {"floor: 2 MiB", ", leaves: false", "the order is empty"},
    {"floor: 2 MiB", ", leaves: true", ""},
    {"floor: 3 MiB", ", leaves: true", "the order is empty"},
    {"floor_tokens: 1", "", "the order is empty"},
    {"floor_tokens: 1", ", leaves: true", ""},
    {"from: warn", "", ""},
    {"from: warn", ", leaves: true", ""},
};

START_TEST(a_floor_is_kept_as_the_runtime_keeps_it)
{
    char text[200], ladder[100];
    struct gov_policy_layer layer = {"test", ladder, 0};
    gov_policy *policy;
    struct seen seen;
    gov_error err;

    layer.bytes = (size_t)snprintf(
        ladder, sizeof(ladder), "version: 1\nladder:\n  - { action: a, %s }\n",
        floors[_i].floor);
    ck_assert_msg(
        gov_policy_build(&policy, &layer, 1, NULL, NULL, NULL, &err) == GOV_OK,
        "%s", err.message);
    snprintf(text, sizeof(text),
             CASE("    level: critical\n"
                  "    actions: [{ name: a, offers: 3 MiB%s }]\n"
                  "    expect: { order: [a] }\n"),
             floors[_i].action);
    ck_assert_msg(run(policy, text, &seen, &err) == GOV_OK, "%s", err.message);
    ck_assert_str_eq(seen.sentence, floors[_i].sentence);
    gov_policy_free(policy);
}
END_TEST

/* Facts of a case are its own: the next one begins from common again. */
START_TEST(cases_do_not_see_each_other)
{
    gov_policy *policy = shipped("balanced");
    struct seen seen;
    gov_error err;

    ck_assert_int_eq(
        run(policy,
            COMMON "    facts: { request.strategy: heap }\n"
                   "    expect: { rule: asked-for-heap }\n"
                   "  - name: next\n    expect: { rule: fits }\n"
                   "  - name: third\n    facts: { request.strategy: mmap }\n"
                   "    expect: { rule: asked-for-mmap }\n",
            &seen, &err),
        GOV_OK);
    ck_assert_uint_eq(seen.cases, 3);
    ck_assert_uint_eq(seen.passed, 3);
    gov_policy_free(policy);
}
END_TEST

START_TEST(no_memory_is_a_sentence)
{
    const struct gov_policy_layer nothing = {"f", "", 0};
    gov_policy *policy = shipped("balanced");
    struct seen seen;
    gov_error err;
    uint64_t calls;

    faults_reset();
    faults_only("alloc");
    ck_assert_int_eq(run(policy, CASE(EXPECT), &seen, &err), GOV_OK);
    calls = faults_count();
    ck_assert_uint_gt(calls, 0);
    for (uint64_t n = 0; n < calls; n++) {
        faults_arm(n, true);
        ck_assert_int_eq(run(policy, CASE(EXPECT), &seen, &err), GOV_E_NOMEM);
        ck_assert_str_eq(err.message, "no memory to read the cases of f");
        faults_disarm();
    }
    ck_assert_int_eq(
        gov_cases_run(NULL, &nothing, NULL, NULL, NULL, NULL, NULL, &err),
        GOV_E_INVALID);
    ck_assert_int_eq(
        gov_cases_run(policy, NULL, NULL, NULL, NULL, NULL, NULL, &err),
        GOV_E_INVALID);
    gov_policy_free(policy);
}
END_TEST

/* ---- the shipped ones ----------------------------------------------------- */

static char *read_whole(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(1 << 18);

    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(text);
    *bytes = fread(text, 1, 1 << 18, file);
    fclose(file);
    return text;
}

static void on_shipped(void *ctx, const struct gov_case_result *result)
{
    size_t *count = ctx;

    ck_assert_msg(result->passed, "%s:%zu: %s: %s", result->file, result->line,
                  result->name, result->sentence);
    ++*count;
}

START_TEST(shipped_cases_pass)
{
    size_t count, bytes, cases = 0;
    const char *const *names = gov_policy_shipped_names(&count);
    char path[128], policy_name[64];
    gov_policy *policy = shipped(names[_i]);
    struct gov_policy_layer layer;
    gov_error err;
    char *text;

    snprintf(path, sizeof(path), "configs/cases/%s.yaml", names[_i]);
    text = read_whole(path, &bytes);
    ck_assert_msg(gov_cases_policy(text, bytes, path, policy_name, &err) ==
                      GOV_OK,
                  "%s", err.message);
    ck_assert_str_eq(policy_name, names[_i]);
    layer = (struct gov_policy_layer){path, text, bytes};
    ck_assert_msg(gov_cases_run(policy, &layer, on_shipped, &cases, NULL, NULL,
                                NULL, &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_uint_ge(cases, 5);
    free(text);
    gov_policy_free(policy);
}
END_TEST

/* Requirements that are rules, and so have a case. */
static const char *const requirements[] = {"S1",  "S2",  "S5",  "S8",  "S9",
                                           "S11", "S12", "S14", "S15", "S16",
                                           "S17", "S18", "S20", "S21", "S24"};

START_TEST(every_requirement_that_is_a_rule_has_a_case)
{
    size_t bytes;
    char *text = read_whole("configs/cases/balanced.yaml", &bytes);
    char want[40];

    text[bytes] = '\0';
    snprintf(want, sizeof(want), "requirement: %s\n", requirements[_i]);
    ck_assert_ptr_nonnull(strstr(text, want));
    free(text);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("cases");
    TCase *t = tcase_create("cases");

    tcase_add_loop_test(t, a_mistake_has_its_place, 0, COUNT_OF(mistakes));
    tcase_add_test(t, no_case_is_decided_beside_a_mistake);
    tcase_add_test(t, every_wrong_fact_is_told);
    tcase_add_loop_test(t, a_floor_is_kept_as_the_runtime_keeps_it, 0,
                        COUNT_OF(floors));
    tcase_add_loop_test(t, what_is_expected_is_compared, 0, COUNT_OF(compared));
    tcase_add_test(t, cases_do_not_see_each_other);
    tcase_add_test(t, no_memory_is_a_sentence);
    tcase_add_loop_test(t, shipped_cases_pass, 0, 4);
    tcase_add_loop_test(t, every_requirement_that_is_a_rule_has_a_case, 0,
                        COUNT_OF(requirements));
    suite_add_tcase(s, t);
    return s;
}
