/* SPDX-License-Identifier: MIT */
/* A policy file of many rules, and facts that none but its last chooses for: what
 * a decision over it takes is the most for its length. */
#ifndef GOV_TESTS_MANY_RULES_H
#define GOV_TESTS_MANY_RULES_H

#include <stdio.h>
#include <string.h>

#include "policies/plan.h"

/* Writes that many rules to out and returns their length, of which a rule takes
 * less than 240 bytes. Every fourth sets something and matches, every fourth
 * refuses, the others choose; conditions are of 3 to 13 operations. */
static inline size_t many_rules(char *out, size_t bytes, unsigned count)
{
    static const char *const settings[] = {"warn: false", "ahead: 3",
                                           "kv_type: f16", "hot: 60 %",
                                           "context: 4096"};
    size_t used = (size_t)snprintf(out, bytes, "version: 1\nrules:\n");

    for (unsigned i = 0; i + 1 < count; i++) {
        used += (size_t)snprintf(out + used, bytes - used,
                                 "  - name: rule-%u\n", i);
        if (i % 4 == 0)
            used += (size_t)snprintf(
                out + used, bytes - used,
                "    when: device.cores > %u or device.os == \"linux\"\n"
                "    then: {%s}\n",
                i + 9, settings[i / 4 % 5]);
        else if (i % 4 == 1)
            used += (size_t)snprintf(
                out + used, bytes - used,
                "    when: device.ram < %u MiB and budget.ram <= 512 MiB\n"
                "    then: {strategy: refuse}\n",
                i + 9);
        else if (i % 4 == 2)
            used += (size_t)snprintf(
                out + used, bytes - used,
                "    when: model.architecture matches \"*frob%u\" or "
                "request.strategy in [\"heap\", \"mmap\"]\n"
                "    then: {strategy: heap}\n",
                i);
        else
            used += (size_t)snprintf(
                out + used, bytes - used,
                "    when: model.heap_footprint + %u MiB <= 50 %% of "
                "budget.ram and known(model.moe) and device.swap > 1 GiB\n"
                "    then: {strategy: heap, repack: true}\n",
                i);
        used += (size_t)snprintf(out + used, bytes - used,
                                 "    because: it is one of many\n");
    }
    return used +
           (size_t)snprintf(out + used, bytes - used,
                            "  - name: last\n    then: {strategy: mmap}\n"
                            "    because: nothing else matched\n");
}

static inline void many_rules_facts(struct gov_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    gov_facts_set(facts, GOV_FACT_DEVICE_RAM, UINT64_C(8) << 30);
    gov_facts_set(facts, GOV_FACT_DEVICE_CORES, 8);
    gov_facts_set(facts, GOV_FACT_DEVICE_SWAP, 0);
    gov_facts_set_text(facts, GOV_FACT_DEVICE_OS, "linux");
    gov_facts_set(facts, GOV_FACT_BUDGET_RAM, UINT64_C(7) << 30);
    gov_facts_set_text(facts, GOV_FACT_MODEL_ARCHITECTURE, "llama");
    gov_facts_set(facts, GOV_FACT_MODEL_WEIGHTS, UINT64_C(4) << 30);
    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN, 131072);
    gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE, UINT64_C(256) << 20);
    gov_facts_set(facts, GOV_FACT_MODEL_LARGEST_UNIT, UINT64_C(100) << 20);
    gov_facts_set(facts, GOV_FACT_MODEL_MOE, 0);
    gov_facts_set_text(facts, GOV_FACT_REQUEST_STRATEGY, "hybrid");
}

#endif
