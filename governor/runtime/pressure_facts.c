/* SPDX-License-Identifier: MIT */
/* What a plan may ask of memory pressure, before there is a runtime. */
#include "governor/pressure/evidence.h"
#include "governor/runtime/runtime_priv.h"

void gov__pressure_facts_on(const struct gov_platform *platform,
                            struct gov_facts *facts, const gov_policy *policy)
{
    uint64_t budget = gov_facts_get(facts, GOV_FACT_BUDGET_RAM, 0);
    struct gov_level_machine machine = {0};
    struct gov_level_rules rules;
    struct gov__sample sample;

    gov__evidence_sample(platform, budget, 0, &sample);
    if ((sample.evidence.have & GOV_HAVE_HEADROOM) == 0)
        return;
    if (policy != NULL)
        gov_policy_levels(policy, &rules);
    else
        gov_level_rules_default(&rules);
    gov_facts_set(facts, GOV_FACT_PRESSURE_HEADROOM,
                  sample.evidence.headroom_bytes);
    gov_facts_set_text(
        facts, GOV_FACT_PRESSURE_LEVEL,
        gov_level_name(gov_level_step(&machine, &rules, &sample.evidence)));
}

void gov_pressure_facts(struct gov_facts *facts, const gov_policy *policy)
{
    gov__pressure_facts_on(gov__platform_native(), facts, policy);
}
