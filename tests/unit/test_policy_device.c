/* SPDX-License-Identifier: MIT */
/* What a policy demands of a machine: which rules count, what is unknown, and
 * that neither models nor requests have a say. */
#include <stdio.h>
#include <string.h>

#include "policies/plan.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (UINT64_C(1024) * 1024)

static gov_policy *read_rules(const char *text, size_t bytes)
{
    gov_policy *rules = NULL;
    gov_error err;

    ck_assert_msg(gov_policy_parse(&rules, text, bytes, "test", faults_alloc(),
                                   &err) == GOV_OK,
                  "%s\n%s", err.message, text);
    return rules;
}

/* A machine of 1 GiB with an x86_64 Linux and 200 MiB to use, no word of its
 * GPU, and a large model for it that the app asks for. */
static void usual(struct gov_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    gov_facts_set_text(facts, GOV_FACT_DEVICE_OS, "linux");
    gov_facts_set_text(facts, GOV_FACT_DEVICE_ARCH, "x86_64");
    gov_facts_set(facts, GOV_FACT_DEVICE_RAM, 1024 * MIB);
    gov_facts_set(facts, GOV_FACT_BUDGET_RAM, 200 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_WEIGHTS, 40960 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_MOE, 1);
    gov_facts_set_text(facts, GOV_FACT_REQUEST_STRATEGY, "heap");
    gov_facts_set_text(facts, GOV_FACT_PRESSURE_LEVEL, "critical");
}

static const struct {
    const char *name, *when;
    bool refused;
} conditions[] = {
    {"a fact of the machine", "device.ram < 2 GiB", true},
    {"that is not so", "device.ram > 2 GiB", false},
    {"the budget", "budget.ram < 256 MiB", true},
    {"a text", "device.os == \"linux\" and device.arch == \"x86_64\"", true},
    {"always", "true", true},
    {"an unknown fact of the machine", "gpu.count == 0", false},
    {"not unknown is unknown", "not gpu.count == 0", false},
    {"whether a fact of the machine is known is known",
     "not known(gpu.working_set)", true},
    {"a model", "model.weights > 1 GiB", false},
    {"a flag of a model", "model.moe", false},
    {"a request", "request.strategy == \"heap\"", false},
    {"the pressure", "pressure.level == \"critical\"", false},
    {"whether a model's fact will be known", "known(model.moe)", false},
    {"or not", "not known(model.encrypted)", false},
    {"or what is asked", "not known(request.context)", false},
    {"a machine and a model", "device.ram < 2 GiB and model.weights > 1 GiB",
     false},
    {"a machine or a model", "device.ram < 2 GiB or model.weights > 1 GiB",
     true},
    {"a model whatever it is", "device.ram < 2 GiB or known(model.moe)", true},
    {"a share of the unknown", "budget.ram < 50 % of model.weights", false},
};

START_TEST(which_conditions_refuse)
{
    char text[512], rule[64] = "untouched";
    char reason[GOV_MESSAGE_BYTES] = "untouched";
    struct gov_facts facts;
    gov_policy *rules;
    gov_error err = {GOV_OK, 0, ""};
    gov_status status;

    snprintf(text, sizeof(text),
             "version: 1\nrules:\n  - {name: demand, when: '%s', then: "
             "{strategy: refuse}, because: so it is}\n",
             conditions[_i].when);
    rules = read_rules(text, strlen(text));
    usual(&facts);
    status = gov_policy_judge_device(rules, &facts, rule, reason, &err);
    ck_assert_msg(status == (conditions[_i].refused ? GOV_E_REFUSED : GOV_OK),
                  "%s: %s", conditions[_i].name, conditions[_i].when);
    ck_assert_str_eq(rule, conditions[_i].refused ? "demand" : "untouched");
    ck_assert_int_eq(strncmp(reason, "so it is, as ", 13) == 0,
                     conditions[_i].refused);
    gov_policy_free(rules);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

#define REFUSE(name, when)                                                     \
    "  - {name: " name ", when: '" when                                        \
    "', then: {strategy: refuse}, because: because of " name "}\n"

START_TEST(says_which_rule_and_why)
{
    static const char text[] =
        "version: 1\nrules:\n"
        "  - {name: choice, then: {strategy: mmap}, because: it is tried}\n"
        "  - {name: setting, when: 'device.ram < 2 GiB', then: {warn: true}, "
        "because: it is set}\n" REFUSE("large", "device.ram > 2 GiB")
            REFUSE("small", "budget.ram < 256 MiB")
                REFUSE("smaller", "budget.ram < 300 MiB");
    gov_policy *rules = read_rules(text, strlen(text));
    char rule[64], reason[GOV_MESSAGE_BYTES];
    struct gov_facts facts, before;
    gov_error err;

    usual(&facts);
    before = facts;
    ck_assert_int_eq(gov_policy_judge_device(rules, &facts, rule, reason, &err),
                     GOV_E_REFUSED);
    ck_assert_str_eq(rule, "small");
    ck_assert_str_eq(reason,
                     "because of small, as budget.ram (200 MiB) < 256 MiB");
    ck_assert_int_eq(err.status, GOV_E_REFUSED);
    ck_assert_str_eq(err.message,
                     "rule small refuses this machine: because of small, as "
                     "budget.ram (200 MiB) < 256 MiB; take another machine or "
                     "change the rule");
    ck_assert_mem_eq(&facts, &before, sizeof(facts));
    ck_assert_int_eq(gov_policy_judge_device(rules, &facts, NULL, NULL, NULL),
                     GOV_E_REFUSED);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, 512 * MIB);
    ck_assert_int_eq(gov_policy_judge_device(rules, &facts, rule, reason, &err),
                     GOV_OK);
    gov_policy_free(rules);
}
END_TEST

/* A model's size is no part of why a machine is refused. */
START_TEST(shows_the_machine_alone)
{
    static const char text[] = "version: 1\nrules:\n" REFUSE(
        "ram", "device.ram < 2 GiB or model.weights > 1 GiB");
    gov_policy *rules = read_rules(text, strlen(text));
    char reason[GOV_MESSAGE_BYTES];
    struct gov_facts facts;

    usual(&facts);
    ck_assert_int_eq(gov_policy_judge_device(rules, &facts, NULL, reason, NULL),
                     GOV_E_REFUSED);
    ck_assert_str_eq(reason, "because of ram, as device.ram (1.00 GiB) < 2 GiB "
                             "or model.weights (unknown) > 1 GiB");
    gov_policy_free(rules);
}
END_TEST

/* The longest name, reason and condition: cut, but never the way out. */
START_TEST(long_reasons_are_cut)
{
    static const char out[] = "; take another machine or change the rule";
    char text[2048], name[64], because[201], reason[GOV_MESSAGE_BYTES];
    char rule[64];
    struct gov_facts facts;
    gov_policy *rules;
    gov_error err;
    size_t length;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memset(because, 'b', sizeof(because) - 1);
    because[sizeof(because) - 1] = '\0';
    snprintf(text, sizeof(text),
             "version: 1\nrules:\n  - {name: %s, when: 'device.ram < 2 GiB and "
             "device.ram < 3 GiB and device.ram < 4 GiB and device.ram < 5 "
             "GiB and device.ram < 6 GiB', then: {strategy: refuse}, because: "
             "%s}\n",
             name, because);
    rules = read_rules(text, strlen(text));
    usual(&facts);
    ck_assert_int_eq(gov_policy_judge_device(rules, &facts, rule, reason, &err),
                     GOV_E_REFUSED);
    ck_assert_str_eq(rule, name);
    ck_assert_uint_lt(strlen(reason), GOV_MESSAGE_BYTES);
    length = strlen(err.message);
    ck_assert_uint_eq(length, GOV_MESSAGE_BYTES - 1);
    ck_assert_str_eq(err.message + length - strlen(out), out);
    ck_assert_int_eq(memcmp(err.message + length - strlen(out) - 3, "...", 3),
                     0);
    gov_policy_free(rules);
}
END_TEST

/* Facts that can be no value of their type are unknown, as for a plan. */
START_TEST(impossible_facts_are_unknown)
{
    static const char text[] =
        "version: 1\nrules:\n" REFUSE("ram", "device.ram < 2 GiB")
            REFUSE("os", "device.os == \"linux\"");
    gov_policy *rules = read_rules(text, strlen(text));
    struct gov_facts facts;
    gov_error err;

    usual(&facts);
    facts.value[GOV_FACT_DEVICE_RAM].number = -1;
    facts.value[GOV_FACT_DEVICE_OS].text = NULL;
    ck_assert_int_eq(gov_policy_judge_device(rules, &facts, NULL, NULL, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_policy_judge_device(NULL, &facts, NULL, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "a machine is judged by rules and facts; one "
                                  "of them is NULL");
    ck_assert_int_eq(gov_policy_judge_device(rules, NULL, NULL, NULL, &err),
                     GOV_E_INVALID);
    gov_policy_free(rules);
}
END_TEST

/* ---- the shipped file ---- */

static const struct {
    const char *os, *arch;
    uint64_t ram_mib; /* 0: unknown */
    const char *rule; /* "": none */
} shipped[] = {
    {"linux", "x86_64", 200, "ram-floor"},
    {"linux", "x86_64", 255, "ram-floor"},
    {"linux", "x86_64", 256, ""},
    {"linux", "x86_64", 0, ""},
    {"darwin", "arm64", 8192, ""},
    {"darwin", "x86_64", 8192, "intel-mac"},
    {"darwin", "x86_64", 0, "intel-mac"},
    {"darwin", NULL, 8192, ""},
    {NULL, "x86_64", 8192, ""},
};

START_TEST(the_shipped_rules)
{
    static char text[65536];
    FILE *file = fopen("configs/policies/balanced.yaml", "rb");
    char rule[64] = "";
    struct gov_facts facts = {0};
    gov_policy *rules;
    gov_error err;
    size_t bytes;

    ck_assert_ptr_nonnull(file);
    bytes = fread(text, 1, sizeof(text), file);
    fclose(file);
    rules = read_rules(text, bytes);
    gov_facts_set_text(&facts, GOV_FACT_DEVICE_OS, shipped[_i].os);
    gov_facts_set_text(&facts, GOV_FACT_DEVICE_ARCH, shipped[_i].arch);
    if (shipped[_i].ram_mib != 0)
        gov_facts_set(&facts, GOV_FACT_DEVICE_RAM, shipped[_i].ram_mib * MIB);
    ck_assert_int_eq(gov_policy_judge_device(rules, &facts, rule, NULL, &err),
                     shipped[_i].rule[0] != '\0' ? GOV_E_REFUSED : GOV_OK);
    ck_assert_str_eq(rule, shipped[_i].rule);
    gov_policy_free(rules);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("policy_device");
    TCase *t = tcase_create("judge");

    tcase_add_loop_test(t, which_conditions_refuse, 0,
                        (int)COUNT_OF(conditions));
    tcase_add_test(t, says_which_rule_and_why);
    tcase_add_test(t, shows_the_machine_alone);
    tcase_add_test(t, long_reasons_are_cut);
    tcase_add_test(t, impossible_facts_are_unknown);
    tcase_add_loop_test(t, the_shipped_rules, 0, (int)COUNT_OF(shipped));
    suite_add_tcase(s, t);
    return s;
}
