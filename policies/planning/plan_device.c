/* SPDX-License-Identifier: MIT */
/* What the rules say of a machine alone. */
#include "policies/planning/plan_priv.h"

#include "policies/language/words_priv.h"

static gov_status refuse_machine(const struct gov__rule *rule,
                                 const struct gov_facts *facts, char *name,
                                 char *reason, gov_error *err)
{
    static const char out[] = "; take another machine or change the rule";
    char found[128] = "always", why[GOV_MESSAGE_BYTES];
    char text[GOV_MESSAGE_BYTES];
    size_t used = gov__put(text, sizeof(text), 0,
                           "rule %s refuses this machine: ", rule->name);

    if (rule->when != NULL)
        gov__expr_show(rule->when, facts, found, sizeof(found));
    gov__put(why, sizeof(why), 0, "%s, as %s", rule->because, found);
    if (name != NULL)
        gov__put(name, 64, 0, "%s", rule->name);
    if (reason != NULL)
        gov__put(reason, GOV_MESSAGE_BYTES, 0, "%s", why);
    /* A long reason is cut, never the way out. */
    gov__put(text, sizeof(text) - sizeof(out) + 1, used, "%s", why);
    return gov_fail(err, GOV_E_REFUSED, 0, "%s%s", text, out);
}

gov_status gov_policy_judge_device(const gov_policy *rules,
                                   const struct gov_facts *facts, char rule[64],
                                   char reason[GOV_MESSAGE_BYTES],
                                   gov_error *err)
{
    struct gov_facts machine;
    bool open[GOV_FACT_COUNT];

    if (rules == NULL || facts == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "a machine is judged by rules and facts; one of them "
                        "is NULL");
    machine = *facts;
    gov__clean_facts(&machine);
    for (int i = 0; i < GOV_FACT_COUNT; i++) {
        open[i] = !gov_fact_of_machine((gov_fact)i);
        if (open[i])
            machine.value[i].known = false;
    }
    for (size_t i = 0; i < rules->count; i++) {
        const struct gov__rule *r = &rules->list[i];

        if (r->strategy == GOV_STRATEGY_REFUSE &&
            (r->when == NULL ||
             gov__expr_eval_open(r->when, &machine, open) == GOV__TRUE))
            return refuse_machine(r, &machine, rule, reason, err);
    }
    return GOV_OK;
}
