/* SPDX-License-Identifier: MIT */
/* Whether a model fits this machine as it is now, and how it is to be loaded: what
 * both examples ask before they load it. */
#include <governor/governor.h>

/* By the policy in force. *facts is what the app wishes and its engine can, and gets
 * the rest. False: it does not fit, or something is wrong, and *err tells. */
static inline bool plan_decide(struct gov_plan *plan, const gov_model *model,
                               struct gov_facts *facts, gov_error *err)
{
    struct gov_device device;
    gov_policy *policy = NULL;
    bool ok = gov_policy_open(&policy, NULL, NULL, NULL, NULL, NULL, NULL,
                              err) == GOV_OK &&
              gov_device_current(&device, NULL, 0, err) == GOV_OK;

    if (ok) {
        gov_device_facts(&device, facts);
        gov_model_facts(model, facts);
        gov_pressure_facts(facts, policy);
        ok = gov_plan_decide(plan, policy, facts, NULL, NULL, err) == GOV_OK;
    }
    gov_policy_free(policy);
    return ok;
}

/* The same for an app with a loop of its own, which here asks for f16 and `most`
 * tokens at most. One that can use a GPU says so: GOV_FACT_ENGINE_GPU. */
static inline bool plan_load(struct gov_plan *plan, const char *path,
                             uint32_t most, gov_error *err)
{
    struct gov_facts facts = {0};
    gov_model *model;
    bool ok;

    if (gov_model_open(&model, path, NULL, err) != GOV_OK)
        return false;
    gov_facts_set_text(&facts, GOV_FACT_REQUEST_KV_TYPE, "f16");
    ok = plan_decide(plan, model, &facts, err);
    if (ok && gov_facts_get(&facts, GOV_FACT_MODEL_GENERATES, 1) == 0)
        ok = gov_fail(err, GOV_E_UNSUPPORTED, 0,
                      "%s makes no text; name a model that does", path) == 0;
    gov_model_close(model);
    if (ok && plan->context > most)
        plan->context = most;
    return ok;
}
