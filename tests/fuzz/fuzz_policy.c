/* SPDX-License-Identifier: MIT */
/* Policy files: any bytes are a file that decides within the budget, or are
 * refused at a line and a column that exist. */
#include <stdlib.h>
#include <string.h>

#include "policies/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MIB (UINT64_C(1) << 20)

static void require(bool fact)
{
    if (!fact)
        abort();
}

/* Fails the allocation that *ctx counts down to. */
static void *failing_alloc(void *ctx, size_t bytes)
{
    unsigned *left = ctx;

    return (*left)-- == 0 ? NULL : malloc(bytes);
}

static void failing_release(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static void on_rule(void *ctx, const char *rule, const char *verdict,
                    const char *detail)
{
    ++*(size_t *)ctx;
    require(rule[0] != '\0' && verdict[0] != '\0' && strlen(detail) < 1024);
}

static void on_doubt(void *ctx, const char *rule, size_t line,
                     const char *sentence)
{
    ++*(size_t *)ctx;
    require(rule[0] != '\0' && line > 0 && sentence[0] != '\0');
}

static void decide(const gov_policy *rules, uint64_t budget, uint64_t weights,
                   bool much)
{
    struct gov_facts facts = {0};
    struct gov_plan plan, again;
    gov_error err = {GOV_OK, 0, ""};
    gov_status status;
    uint32_t block_bytes;
    size_t tried = 0;

    for (int i = 0; much && i < GOV_FACT_COUNT; i++)
        if (gov_fact_info((gov_fact)i)->type == GOV_TYPE_TEXT)
            gov_facts_set_text(&facts, (gov_fact)i, "heap");
        else
            gov_facts_set(&facts, (gov_fact)i, INT64_MAX / 3);
    facts.value[GOV_FACT_REQUEST_KV_TYPE].known = false;
    gov_facts_set(&facts, GOV_FACT_MODEL_ENCRYPTED, 0);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, budget);
    gov_facts_set(&facts, GOV_FACT_MODEL_WEIGHTS, weights);
    gov_facts_set(&facts, GOV_FACT_MODEL_KV_PER_TOKEN, 65536);
    gov_facts_set(&facts, GOV_FACT_MODEL_COMPUTE, 64 * MIB);
    gov_facts_set(&facts, GOV_FACT_MODEL_LARGEST_UNIT, weights / 16);
    gov_facts_set(&facts, GOV_FACT_MODEL_WINDOW_KV, 16384);
    gov_facts_set(&facts, GOV_FACT_MODEL_WINDOW, 1536);
    gov_facts_set(&facts, GOV_FACT_MODEL_STATE, 2 * MIB);
    gov_facts_set(&facts, GOV_FACT_MODEL_COMPUTE_PER_TOKEN, 64);
    gov_facts_set(&facts, GOV_FACT_MODEL_KV_QUANTIZABLE, much);
    status = gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err);
    require(gov_plan_decide(&again, rules, &facts, on_rule, &tried, NULL) ==
            status);
    require(tried == gov_policy_rules(rules));
    require(memcmp(&plan, &again, sizeof(plan)) == 0);
    require(status == GOV_OK || status == GOV_E_REFUSED);
    require(plan.reason[0] != '\0');
    if (status == GOV_E_REFUSED) {
        require(plan.strategy == GOV_STRATEGY_REFUSE);
        require(strcmp(plan.reason, err.message) == 0);
        return;
    }
    require(plan.kv_bytes >= 2 * MIB && plan.compute_bytes >= 64 * MIB);
    require(plan.kv_bytes + plan.compute_bytes + plan.hot_bytes <= budget);
    require(much || gov_kv_type_block(plan.kv_type, &block_bytes) == 1);
    require(plan.footprint_bytes <= budget);
    require(plan.hot_bytes + plan.cold_bytes == weights);
    require(plan.strategy == GOV_STRATEGY_HYBRID || plan.cold_bytes == 0);
}

static void check_error(const char *text, size_t size, const gov_error *err)
{
    char out[300];
    char *end;
    size_t lines = 1, line;

    require(err->status == GOV_E_FORMAT);
    require(strncmp(err->message, "f:", 2) == 0);
    line = strtoul(err->message + 2, &end, 10);
    require(*end == ':' && line > 0);
    require(strtoul(end + 1, &end, 10) > 0 && strncmp(end, ": ", 2) == 0);
    require(end[2] != '\0');
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n' || text[i] == '\r';
    require(line <= lines);
    for (const char *c = err->message; *c != '\0'; c++)
        require((unsigned char)*c >= ' ' && *c != '\x7f');
    gov_policy_point(text, size, err, out, sizeof(out));
    gov_policy_point(text, size, err, out, size % sizeof(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    unsigned left = size > 0 ? data[size - 1] % 16 : 0;
    const struct gov_alloc failing = {&left, failing_alloc, failing_release};
    gov_policy *rules = NULL;
    gov_error err = {GOV_OK, 0, ""};
    gov_status status = gov_policy_parse(&rules, text, size, "f", NULL, &err);
    size_t doubts = 0;

    if (status == GOV_OK) {
        require(gov_policy_doubts(rules, on_doubt, &doubts) == doubts);
        decide(rules, 1024 * MIB, 256 * MIB, false);
        decide(rules, 1024 * MIB, 4096 * MIB, true);
        decide(rules, 200 * MIB, 4096 * MIB, false);
    } else {
        require(rules == NULL);
        check_error(text, size, &err);
    }
    gov_policy_free(rules);
    err.status = GOV_OK;
    rules = NULL;
    if (gov_policy_parse(&rules, text, size, "f", &failing, &err) != status)
        require(err.status == GOV_E_NOMEM && rules == NULL);
    gov_policy_free(rules);
    return 0;
}
