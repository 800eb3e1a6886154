/* SPDX-License-Identifier: MIT */
/* Rules as text and facts of a usual machine, for tests of plans. */
#ifndef GOV_TESTS_PLAN_FIXTURE_H
#define GOV_TESTS_PLAN_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/plan.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static inline gov_policy *read_rules(const char *text)
{
    gov_policy *rules = NULL;
    gov_error err;

    ck_assert_msg(gov_policy_parse(&rules, text, strlen(text), "test",
                                   faults_alloc(), &err) == GOV_OK,
                  "%s\n%.300s", err.message, text);
    return rules;
}

/* Sets facts from "model.encrypted=1 budget.ram=3G request.strategy=heap"; with
 * "=?" it is not known. Texts live until the next call. */
static inline void give(struct gov_facts *facts, const char *list)
{
    static char words[256];
    char *at = words;

    ck_assert_uint_lt(strlen(list), sizeof(words));
    memcpy(words, list, strlen(list) + 1);
    while (*at != '\0') {
        size_t name = strcspn(at, "=");
        char *value = at + name + 1;
        gov_fact fact = gov_fact_find(at, name);
        char *end;
        uint64_t n;

        ck_assert_msg(fact != GOV_FACT_COUNT, "%s", at);
        at = value + strcspn(value, " ");
        if (*at == ' ')
            *at++ = '\0';
        n = strtoull(value, &end, 10);
        if (*end == 'M')
            n *= MIB;
        else if (*end == 'G')
            n *= GIB;
        if (strcmp(value, "?") == 0)
            facts->value[fact].known = false;
        else if (gov_fact_info(fact)->type == GOV_TYPE_TEXT)
            gov_facts_set_text(facts, fact, value);
        else
            gov_facts_set(facts, fact, n);
    }
}

/* 4 GiB of weights in units of 100 MiB, KV of 128 KiB a token (512 MiB for
 * 4096 tokens) of any type, 256 MiB of buffers, in a budget of 8 GiB. */
static inline void usual(struct gov_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    gov_facts_set(facts, GOV_FACT_BUDGET_RAM, 8 * GIB);
    gov_facts_set(facts, GOV_FACT_MODEL_WEIGHTS, 4 * GIB);
    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN, 128 * KIB);
    gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE, 256 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_LARGEST_UNIT, 100 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_CONTEXT_MAX, 32768);
    gov_facts_set(facts, GOV_FACT_MODEL_KV_QUANTIZABLE, 1);
}

#define HEAD "version: 1\nrules:\n"
#define RULE(name, when, then)                                                 \
    "  - {name: " name ", when: '" when "', then: {" then                      \
    "}, because: because of " name "}\n"

#define ALWAYS(strategy) HEAD RULE("r", "true", "strategy: " strategy)

/* ---- dice ---- */

static uint64_t seed;

static inline uint64_t dice(uint64_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % sides;
}

#endif
