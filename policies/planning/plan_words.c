/* SPDX-License-Identifier: MIT */
/* What a plan says to a person: refusals with a way out, and warnings. */
#include "policies/planning/plan_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"
#include "policies/planning/sizes_priv.h"

static void put_way_out(const struct gov__decision *d,
                        const struct gov__sizes *z, gov_strategy strategy,
                        char *out, size_t used)
{
    uint64_t context = gov__plan_context_that_fits(d, z, strategy);
    const char *with = "";
    /* The type is a rule's, and another context may bring another rule. */
    const char *kv =
        z->kv_type != d->kv_wish ? gov_kv_type_name(z->kv_type) : "";

    if (context == 0 && !d->encrypted && strategy != GOV_STRATEGY_HYBRID) {
        context = gov__plan_context_that_fits(d, z, GOV_STRATEGY_HYBRID);
        with = "hybrid with ";
    }
    if (context == 0)
        gov__put(out, GOV_MESSAGE_BYTES, used, "; no context would fit");
    else
        gov__put(out, GOV_MESSAGE_BYTES, used,
                 "; %sa context of %llu tokens%s%s would fit", with,
                 (unsigned long long)context,
                 kv[0] != '\0' ? " and KV as " : "", kv);
}

static size_t put_need(const struct gov__decision *d,
                       const struct gov__sizes *z, gov_strategy strategy,
                       char *out, size_t used)
{
    bool window = strategy == GOV_STRATEGY_HYBRID;

    return gov__put(
        out, GOV_MESSAGE_BYTES, used,
        "%s (%s %s, KV %s%s for %u tokens, buffers %s) of the %s budget",
        GOV__BYTES(gov__plan_need(d, z, strategy)),
        window ? "window" : "weights",
        GOV__BYTES(window ? z->window : d->weights - z->moved),
        d->known ? "" : "at most ", GOV__BYTES(z->kv), z->context,
        GOV__BYTES(gov__sat_add(gov__sat_add(z->compute, d->engine),
                                window ? 0 : z->added)),
        GOV__BYTES(d->budget));
}

gov_status gov__plan_refuse(struct gov__decision *d, const char *rule,
                            const struct gov__sizes *z)
{
    struct gov_plan *plan = d->plan;

    plan->strategy = GOV_STRATEGY_REFUSE;
    plan->kv_type = z->kv_type;
    plan->context = z->context;
    plan->sequences = z->sequences;
    plan->kv_bytes = z->kv;
    plan->compute_bytes = z->compute;
    plan->engine_bytes = d->engine;
    gov__put(plan->rule, sizeof(plan->rule), 0, "%s", rule);
    return gov_fail(d->err, GOV_E_REFUSED, 0, "%s", plan->reason);
}

/* Nothing that the rules allow fits, not even the smallest. */
gov_status gov__plan_refuse_all(struct gov__decision *d)
{
    struct gov__sizes z = gov__plan_size(d, &d->settings);
    gov_strategy least = GOV_STRATEGY_HYBRID;
    char *out = d->plan->reason;
    size_t used;

    if (d->encrypted)
        least = GOV_STRATEGY_HEAP;
    else if (gov__plan_need(d, &z, GOV_STRATEGY_MMAP) <
             gov__plan_need(d, &z, least))
        least = GOV_STRATEGY_MMAP;
    used = gov__put(out, GOV_MESSAGE_BYTES, 0, "%s %s ",
                    d->encrypted ? "encrypted model" : "model",
                    d->known ? "needs at least" : "may need");
    used = put_need(d, &z, least, out, used);
    /* A smaller context leaves a GPU more layers, and mapping may need less. */
    if (!d->encrypted && gov__plan_context_that_fits(d, &z, GOV_STRATEGY_MMAP) >
                             gov__plan_context_that_fits(d, &z, least))
        least = GOV_STRATEGY_MMAP;
    put_way_out(d, &z, least, out, used);
    return gov__plan_refuse(d, "(budget)", &z);
}

/* The app asked for exactly this: it is told, not given something else. */
gov_status gov__plan_refuse_wish(struct gov__decision *d,
                                 const struct gov__rule *rule,
                                 const struct gov__sizes *z)
{
    static const gov_strategy others[] = {GOV_STRATEGY_HEAP, GOV_STRATEGY_MMAP,
                                          GOV_STRATEGY_HYBRID};
    gov_strategy wish = rule->strategy;
    char *out = d->plan->reason;
    const char *other = NULL;
    size_t used;

    for (size_t i = 0; i < 3 && other == NULL; i++)
        if (gov__plan_fits(d, z, others[i]))
            other = gov_strategy_name(others[i]);
    used = gov__put(out, GOV_MESSAGE_BYTES, 0, "%s was asked for",
                    gov_strategy_name(wish));
    if (d->encrypted && wish != GOV_STRATEGY_HEAP) {
        used = gov__put(out, GOV_MESSAGE_BYTES, used,
                        ", but the weights are encrypted on disk");
    } else {
        used = gov__put(out, GOV_MESSAGE_BYTES, used, " and needs ");
        used = put_need(d, z, wish, out, used);
    }
    if (other != NULL)
        gov__put(out, GOV_MESSAGE_BYTES, used, "; %s would fit", other);
    else
        put_way_out(d, z, d->encrypted ? GOV_STRATEGY_HEAP : wish, out, used);
    return gov__plan_refuse(d, rule->name, z);
}

/* Another type than the app asked for would change its results unasked, and this
 * one no engine can make. */
gov_status gov__plan_refuse_kv_type(struct gov__decision *d,
                                    const struct gov__sizes *z)
{
    uint32_t bytes;

    gov__put(d->plan->reason, GOV_MESSAGE_BYTES, 0,
             "%s was asked for, but heads of this model are no whole number of "
             "its blocks of %u; ask for f16, bf16 or f32",
             gov_kv_type_name(z->kv_type),
             (unsigned)gov_kv_type_block(z->kv_type, &bytes));
    return gov__plan_refuse(d, "(kv type)", z);
}

static size_t put_note(struct gov_plan *plan, const char *text)
{
    size_t used = strlen(plan->warning);

    plan->warn = true;
    return gov__put(plan->warning, sizeof(plan->warning), used, "%s%s",
                    used > 0 ? "; " : "", text);
}

static void put_kv_warning(struct gov__decision *d, const struct gov__sizes *z)
{
    bool asked = d->facts.value[GOV_FACT_REQUEST_KV_TYPE].known;
    char note[128];

    if (asked && d->kv_wish != z->kv_type) {
        gov__put(note, sizeof(note), 0, "KV as %s was asked for, %s was chosen",
                 gov_kv_type_name(d->kv_wish), gov_kv_type_name(z->kv_type));
        put_note(d->plan, note);
    }
    if (gov__plan_heads_take(d, z->kv_type) == GOV__UNKNOWN) {
        gov__put(note, sizeof(note), 0,
                 "whether the model's heads take KV as %s is not known",
                 gov_kv_type_name(z->kv_type));
        put_note(d->plan, note);
    }
}

static void put_context_warning(struct gov__decision *d,
                                const struct gov__sizes *z)
{
    uint64_t asked = gov_facts_get(&d->facts, GOV_FACT_REQUEST_CONTEXT, 0);
    uint64_t most =
        gov_facts_get(&d->facts, GOV_FACT_MODEL_CONTEXT_MAX, UINT64_MAX);
    char note[160];

    if (asked <= z->context)
        return;
    gov__put(note, sizeof(note), 0,
             "a context of %llu tokens was asked for, %u is %s",
             (unsigned long long)asked, z->context,
             z->context == most ? "the most the model knows"
                                : "what the rules allow");
    put_note(d->plan, note);
}

static void put_sequences_warning(struct gov__decision *d,
                                  const struct gov__sizes *z)
{
    uint64_t asked = gov_facts_get(&d->facts, GOV_FACT_REQUEST_SEQUENCES, 0);
    char note[128];

    if (asked <= z->sequences)
        return;
    gov__put(note, sizeof(note), 0,
             "%llu conversations at once were asked for, %u is %s",
             (unsigned long long)asked, z->sequences,
             z->sequences == d->sequences_wish ? "the most there can be"
                                               : "what the rules allow");
    put_note(d->plan, note);
}

static const char *why_no_gpu(const struct gov__decision *d)
{
    if (gov_facts_get(&d->facts, GOV_FACT_ENGINE_GPU, 0) == 0)
        return "the engine uses none";
    if (gov_facts_get(&d->facts, GOV_FACT_GPU_COUNT, 0) == 0)
        return "there is none";
    return "its memory is not known";
}

static void put_gpu_warning(struct gov__decision *d, const struct gov__sizes *z)
{
    uint32_t all = gov__plan_all_layers(d), planned = d->plan->gpu_layers;
    uint32_t asked = d->gpu_wish < all ? d->gpu_wish : all;
    uint32_t wish = z->gpu_wish < all ? z->gpu_wish : all;
    char note[128];
    size_t used = gov__put(note, sizeof(note), 0, "layers on a GPU: ");

    if (d->gpu && wish > 0 && d->plan->strategy == GOV_STRATEGY_HYBRID)
        gov__put(note, sizeof(note), used, "none while weights are streamed");
    else if (!d->gpu && asked > 0)
        gov__put(note, sizeof(note), used, "%u asked for, but %s", d->gpu_wish,
                 why_no_gpu(d));
    else if (planned < asked)
        gov__put(note, sizeof(note), used, "%u asked for, %u %s", d->gpu_wish,
                 planned, planned == wish ? "is what the rules allow" : "fit");
    else if (d->gpu && planned < wish && z->gpu_wish != GOV__GPU_ALL)
        gov__put(note, sizeof(note), used, "a rule sets %u, %u fit",
                 z->gpu_wish, planned);
    else
        return;
    put_note(d->plan, note);
}

/* What the app asked for and does not get, and what a person should know. */
void gov__plan_warn(struct gov__decision *d, const struct gov__sizes *z,
                    const struct gov__settings *s)
{
    struct gov_plan *plan = d->plan;
    const struct gov_value *name = &d->facts.value[GOV_FACT_MODEL_ARCHITECTURE];
    char note[160], text[48];

    /* What somebody wrote comes first: the end may be cut. */
    if (s->set[GOV__SET_WARNING] && s->value[GOV__SET_WARNING] != 0 &&
        d->rules->list[s->by[GOV__SET_WARNING]].warning != NULL)
        put_note(plan, d->rules->list[s->by[GOV__SET_WARNING]].warning);
    if (!d->known) {
        gov__put(note, sizeof(note), 0,
                 "KV is counted at the most it may be, as %s%s is not known",
                 name->known ? "architecture " : "the architecture",
                 name->known
                     ? gov_value_print(text, sizeof(text), GOV_TYPE_TEXT, name)
                     : "");
        put_note(plan, note);
    }
    if (gov__plan_setting(s, GOV__SET_WARN, 0) != 0) {
        gov__put(note, sizeof(note), 0,
                 "the model takes %s of the %s budget that cannot be given "
                 "back while it is loaded",
                 GOV__BYTES(plan->footprint_bytes), GOV__BYTES(d->budget));
        put_note(plan, note);
    }
    put_context_warning(d, z);
    if (d->wish != GOV_STRATEGY_UNSET && d->wish != plan->strategy) {
        gov__put(note, sizeof(note), 0, "%s was asked for, %s was chosen",
                 gov_strategy_name(d->wish), gov_strategy_name(plan->strategy));
        put_note(plan, note);
    }
    put_kv_warning(d, z);
    put_sequences_warning(d, z);
    put_gpu_warning(d, z);
}

/* ---- the trace ---- */

size_t gov__plan_put_settings(const struct gov__decision *d,
                              const struct gov__settings *s, size_t rule,
                              char *out, size_t bytes, size_t used)
{
    const struct gov__rule *list = d->rules->list;
    const char *begin = "; sets ";
    char text[32];

    for (unsigned i = 0; i < GOV__SETTINGS; i++) {
        enum gov__setting which = (enum gov__setting)i;
        const char *value = "";

        if (!list[rule].set[i] || !s->set[i] || s->by[i] != rule)
            continue;
        if (which != GOV__SET_WARNING) /* a text, which is shown elsewhere */
            value = gov__setting_print(text, which, list[rule].value[i]);
        used = gov__put(out, bytes, used, "%s%s%s%s", begin,
                        gov__setting_name(which), value[0] != '\0' ? " " : "",
                        value);
        begin = ", ";
    }
    for (unsigned i = 0; i < GOV__SETTINGS; i++)
        if (list[rule].set[i] && s->set[i] && s->by[i] != rule)
            used = gov__put(out, bytes, used, "; %s was set by %s",
                            gov__setting_name((enum gov__setting)i),
                            list[s->by[i]].name);
    return used;
}
