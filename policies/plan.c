/* SPDX-License-Identifier: MIT */
/* Decides a plan: applies the rules in order, then holds what they chose
 * against the budget. Whatever the rules say, a plan that is returned fits.
 *
 * The size of everything follows from the context and the KV type, so rules are
 * tried in stages: those that set the context (and no strategy), with sizes as
 * the app asked; then those that set the KV type, with the context settled; then
 * those that set anything else; then those that choose a strategy. A setting that
 * stands beside a strategy counts when that rule chooses. */
#include "policies/plan.h"

#include <string.h>

#include "policies/rules_priv.h"
#include "policies/sizes_priv.h"
#include "policies/words_priv.h"

#define CONTEXT_DEFAULT 4096 /* tokens, when neither app nor rules say */
#define AHEAD_DEFAULT 2
#define TEXT_FACT_MAX 1024

const char *gov_strategy_name(gov_strategy strategy)
{
    switch (strategy) {
    case GOV_STRATEGY_UNSET:
        break;
    case GOV_STRATEGY_MMAP:
        return "mmap";
    case GOV_STRATEGY_HYBRID:
        return "hybrid";
    case GOV_STRATEGY_HEAP:
        return "heap";
    case GOV_STRATEGY_REFUSE:
        return "refuse";
    }
    return "unset";
}

/* What the rules have settled so far; the earliest rule that sets wins. */
struct settings {
    bool set[GOV__SETTINGS];
    int64_t value[GOV__SETTINGS];
    size_t by[GOV__SETTINGS]; /* index of the rule */
};

/* Bytes that follow from a KV type and a context. */
struct sizes {
    gov_kv_type kv_type;
    uint32_t context;
    uint32_t ahead;
    uint64_t kv, compute;
    uint64_t buffers; /* both together; cannot be dropped */
    uint64_t window;  /* what streaming needs beside them */
};

enum stage { STAGE_CONTEXT, STAGE_KV_TYPE, STAGE_REST };

/* One gov_plan_decide() under way. */
struct decision {
    const gov_rules *rules;
    struct gov_facts early[STAGE_REST]; /* as rules of those stages see them */
    struct gov_facts facts;             /* sizes as settled so far */
    struct settings settings;
    struct gov_plan *plan;
    gov_trace_fn trace;
    void *trace_ctx;
    gov_error *err;
    uint64_t budget, weights, unit;
    uint64_t compute, compute_per_token, engine;
    uint64_t kv_per_token, window_kv_per_token; /* as f16 */
    uint64_t window;                            /* tokens */
    uint64_t state;
    bool encrypted;
    bool known; /* the architecture is */
    bool cache; /* it keeps keys and values at all */
    gov_strategy wish;
    gov_kv_type kv_wish;
};

/* ---- facts ---- */

/* What can be no value of its type is not known. */
static void clean_facts(struct gov_facts *facts)
{
    static const gov_fact positive[] = {GOV_FACT_REQUEST_CONTEXT,
                                        GOV_FACT_MODEL_CONTEXT_MAX,
                                        GOV_FACT_MODEL_WINDOW};
    struct gov_value *value = facts->value;

    for (int i = 0; i < GOV_FACT_COUNT; i++) {
        gov_type type = gov_fact_info((gov_fact)i)->type;

        if (type == GOV_TYPE_TEXT && value[i].known)
            value[i].known =
                value[i].text != NULL &&
                strnlen(value[i].text, TEXT_FACT_MAX) < TEXT_FACT_MAX;
        else if (value[i].number < 0)
            value[i].known = false;
        else if (type == GOV_TYPE_FLAG)
            value[i].number = value[i].number != 0;
    }
    for (size_t i = 0; i < sizeof(positive) / sizeof(positive[0]); i++)
        if (value[positive[i]].number == 0)
            value[positive[i]].known = false;
}

static gov_status need_facts(const struct decision *d)
{
    static const gov_fact needed[] = {
        GOV_FACT_BUDGET_RAM,
        GOV_FACT_MODEL_WEIGHTS,
        GOV_FACT_MODEL_KV_PER_TOKEN,
        GOV_FACT_MODEL_COMPUTE,
    };

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (!d->facts.value[needed[i]].known)
            return gov_fail(d->err, GOV_E_INVALID, 0,
                            "%s is unknown (%s); no plan can do without it, "
                            "and the %s does not tell%s",
                            gov_fact_info(needed[i])->name,
                            gov_fact_info(needed[i])->sentence,
                            gov_fact_info(needed[i])->source,
                            needed[i] == GOV_FACT_BUDGET_RAM
                                ? ""
                                : "; name a whole model, which a projector "
                                  "or a part is not");
    return GOV_OK;
}

static gov_status read_wishes(struct decision *d)
{
    const struct gov_value *strategy =
        &d->facts.value[GOV_FACT_REQUEST_STRATEGY];
    const struct gov_value *kv = &d->facts.value[GOV_FACT_REQUEST_KV_TYPE];
    char text[48], list[64];
    const char *const *types;
    size_t count;

    d->wish = GOV_STRATEGY_UNSET;
    for (int s = GOV_STRATEGY_MMAP; s <= GOV_STRATEGY_HEAP; s++)
        if (strategy->known &&
            strcmp(strategy->text, gov_strategy_name((gov_strategy)s)) == 0)
            d->wish = (gov_strategy)s;
    if (strategy->known && d->wish == GOV_STRATEGY_UNSET)
        return gov_fail(
            d->err, GOV_E_INVALID, 0,
            "strategy \"%s\" is asked for; there are mmap, hybrid and heap",
            gov_value_print(text, sizeof(text), GOV_TYPE_TEXT, strategy));
    d->kv_wish = kv->known ? gov_kv_type_find(kv->text) : GOV_KV_F16;
    if (d->kv_wish != GOV_KV_UNSET)
        return GOV_OK;
    types = gov__kv_type_names(&count);
    return gov_fail(d->err, GOV_E_INVALID, 0,
                    "KV type \"%s\" is asked for; write %s",
                    gov_value_print(text, sizeof(text), GOV_TYPE_TEXT, kv),
                    gov__list(list, sizeof(list), types, count));
}

static gov_status take_facts(struct decision *d, const struct gov_facts *facts)
{
    const struct gov_facts *f = &d->facts;
    gov_status status;

    d->facts = *facts;
    clean_facts(&d->facts);
    status = need_facts(d);
    if (status == GOV_OK)
        status = read_wishes(d);
    if (status != GOV_OK)
        return status;
    d->budget = gov_facts_get(f, GOV_FACT_BUDGET_RAM, 0);
    if (gov_facts_get(f, GOV_FACT_DEVICE_LIMIT, UINT64_MAX) < d->budget)
        d->budget = gov_facts_get(f, GOV_FACT_DEVICE_LIMIT, 0);
    if (gov_facts_get(f, GOV_FACT_DEVICE_RAM, UINT64_MAX) < d->budget)
        d->budget = gov_facts_get(f, GOV_FACT_DEVICE_RAM, 0);
    d->weights = gov_facts_get(f, GOV_FACT_MODEL_WEIGHTS, 0);
    d->compute = gov_facts_get(f, GOV_FACT_MODEL_COMPUTE, 0);
    d->engine = gov_facts_get(f, GOV_FACT_MODEL_ENGINE, 0);
    d->compute_per_token =
        gov_facts_get(f, GOV_FACT_MODEL_COMPUTE_PER_TOKEN, 0);
    /* A model of unknown units cannot be streamed: one unit, all of it. */
    d->unit = gov_facts_get(f, GOV_FACT_MODEL_LARGEST_UNIT, d->weights);
    d->kv_per_token = gov_facts_get(f, GOV_FACT_MODEL_KV_PER_TOKEN, 0);
    d->window_kv_per_token = gov_facts_get(f, GOV_FACT_MODEL_WINDOW_KV, 0);
    /* A window of unknown length may be the whole context. */
    d->window = gov_facts_get(f, GOV_FACT_MODEL_WINDOW, UINT64_MAX);
    d->state = gov_facts_get(f, GOV_FACT_MODEL_STATE, 0);
    d->encrypted = gov_facts_get(f, GOV_FACT_MODEL_ENCRYPTED, 0) != 0;
    d->known = gov_facts_get(f, GOV_FACT_MODEL_KNOWN, 1) != 0;
    /* Of what is not there any type will do; the engine may refuse all others. */
    d->cache = d->kv_per_token != 0 || d->window_kv_per_token != 0;
    if (!d->cache)
        d->kv_wish = GOV_KV_F16;
    return GOV_OK;
}

/* ---- sizes ---- */

static uint64_t setting(const struct settings *s, enum gov__setting which,
                        uint64_t otherwise)
{
    return s->set[which] ? (uint64_t)s->value[which] : otherwise;
}

/* What the cache holds for so many tokens once all of them are used, and the
 * state beside it. */
static uint64_t kv_bytes(const struct decision *d, gov_kv_type type,
                         uint64_t context)
{
    uint64_t cells = gov__kv_cells(context);
    uint64_t kept = gov__kv_cells(context < d->window ? context : d->window);
    uint64_t kv = gov__sat_mul(gov__kv_of_f16(d->kv_per_token, type), cells);
    uint64_t window_kv =
        gov__sat_mul(gov__kv_of_f16(d->window_kv_per_token, type), kept);

    return gov__sat_add(gov__sat_add(kv, window_kv), d->state);
}

static uint64_t compute_bytes(const struct decision *d, uint64_t context)
{
    return gov__sat_add(
        d->compute, gov__sat_mul(d->compute_per_token, gov__kv_cells(context)));
}

/* Whether the model's heads can be held in that type: llama.cpp makes no cache in
 * which a head is no whole number of blocks. */
static enum gov__truth heads_take(const struct decision *d, gov_kv_type type)
{
    const struct gov_value *value =
        &d->facts.value[GOV_FACT_MODEL_KV_QUANTIZABLE];
    uint32_t bytes;

    if (!d->cache || gov_kv_type_block(type, &bytes) == 1)
        return GOV__TRUE;
    if (!value->known)
        return GOV__UNKNOWN;
    return value->number != 0 ? GOV__TRUE : GOV__FALSE;
}

/* A rule must not bring about what the engine refuses: where the heads are not
 * known to take its KV type, it is passed over. Returns what the trace says then,
 * or "". */
static const char *passed_over(const struct decision *d,
                               const struct gov__rule *rule)
{
    if (!rule->set[GOV__SET_KV_TYPE])
        return "";
    switch (heads_take(d, (gov_kv_type)rule->value[GOV__SET_KV_TYPE])) {
    case GOV__FALSE:
        return "; passed over: heads of this model are no whole blocks of its "
               "kv_type";
    case GOV__UNKNOWN:
        return "; passed over: whether the heads are whole blocks of its "
               "kv_type is unknown";
    case GOV__TRUE:
        break;
    }
    return "";
}

static struct sizes size_up(const struct decision *d, const struct settings *s)
{
    uint64_t asked =
        gov_facts_get(&d->facts, GOV_FACT_REQUEST_CONTEXT, CONTEXT_DEFAULT);
    uint64_t most =
        gov_facts_get(&d->facts, GOV_FACT_MODEL_CONTEXT_MAX, INT32_MAX);
    uint64_t context = setting(s, GOV__SET_CONTEXT, asked);
    struct sizes z;
    uint64_t units;

    most = most < INT32_MAX ? most : INT32_MAX;
    z.kv_type = d->kv_wish;
    if (d->cache)
        z.kv_type = (gov_kv_type)setting(s, GOV__SET_KV_TYPE, d->kv_wish);
    z.context = (uint32_t)(context < most ? context : most);
    z.ahead = (uint32_t)setting(s, GOV__SET_AHEAD, AHEAD_DEFAULT);
    z.kv = kv_bytes(d, z.kv_type, z.context);
    z.compute = compute_bytes(d, z.context);
    z.buffers = gov__sat_add(z.kv, gov__sat_add(z.compute, d->engine));
    units = z.ahead + 1 > GOV__WINDOW_UNITS ? z.ahead + 1 : GOV__WINDOW_UNITS;
    z.window = gov__sat_mul(d->unit, units);
    if (gov__sat_add(z.buffers, z.window) > d->budget &&
        units > GOV__WINDOW_UNITS) {
        z.ahead = AHEAD_DEFAULT;
        z.window = gov__sat_mul(d->unit, GOV__WINDOW_UNITS);
    }
    return z;
}

static void derive(struct decision *d)
{
    struct sizes z = size_up(d, &d->settings);
    struct gov_facts *facts = &d->facts;

    gov_facts_set(facts, GOV_FACT_MODEL_CONTEXT, z.context);
    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN,
                  gov__kv_of_f16(d->kv_per_token, z.kv_type));
    if (facts->value[GOV_FACT_MODEL_WINDOW_KV].known)
        gov_facts_set(facts, GOV_FACT_MODEL_WINDOW_KV,
                      gov__kv_of_f16(d->window_kv_per_token, z.kv_type));
    gov_facts_set(facts, GOV_FACT_MODEL_KV, z.kv);
    gov_facts_set(facts, GOV_FACT_MODEL_MAPPED_FOOTPRINT, z.buffers);
    gov_facts_set(facts, GOV_FACT_MODEL_HEAP_FOOTPRINT,
                  gov__sat_add(d->weights, z.buffers));
}

/* Bytes that must be in memory at once under a strategy. */
static uint64_t need(const struct decision *d, const struct sizes *z,
                     gov_strategy strategy)
{
    return gov__sat_add(
        z->buffers, strategy == GOV_STRATEGY_HYBRID ? z->window : d->weights);
}

/* The invariant. Bytes that are encrypted on disk mean nothing when mapped. */
static bool fits(const struct decision *d, const struct sizes *z,
                 gov_strategy strategy)
{
    if (d->encrypted && strategy != GOV_STRATEGY_HEAP)
        return false;
    return need(d, z, strategy) <= d->budget;
}

/* ---- sentences ---- */

/* Whether a smaller context than that of *z would fit. */
static bool context_fits(const struct decision *d, const struct sizes *z,
                         gov_strategy strategy, uint64_t context)
{
    struct sizes other = *z;

    if (context >= z->context)
        return false;
    other.buffers =
        gov__sat_add(kv_bytes(d, z->kv_type, context),
                     gov__sat_add(compute_bytes(d, context), d->engine));
    return need(d, &other, strategy) <= d->budget;
}

/* The largest context of 2^n or 3 * 2^n tokens, from one block, that would fit
 * where that of *z does not; 0 when none would. What a context needs only grows
 * with it. */
static uint64_t context_that_fits(const struct decision *d,
                                  const struct sizes *z, gov_strategy strategy)
{
    uint64_t power = GOV__KV_BLOCK_TOKENS, found = 0;

    for (; context_fits(d, z, strategy, power); power *= 2) {
        found = power;
        if (context_fits(d, z, strategy, power / 2 * 3))
            found = power / 2 * 3;
    }
    return found;
}

static void put_way_out(const struct decision *d, const struct sizes *z,
                        gov_strategy strategy, char *out, size_t used)
{
    uint64_t context = context_that_fits(d, z, strategy);
    const char *with = "";
    /* The type is a rule's, and another context may bring another rule. */
    const char *kv =
        z->kv_type != d->kv_wish ? gov_kv_type_name(z->kv_type) : "";

    if (context == 0 && !d->encrypted && strategy != GOV_STRATEGY_HYBRID) {
        context = context_that_fits(d, z, GOV_STRATEGY_HYBRID);
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

static size_t put_need(const struct decision *d, const struct sizes *z,
                       gov_strategy strategy, char *out, size_t used)
{
    bool window = strategy == GOV_STRATEGY_HYBRID;

    return gov__put(
        out, GOV_MESSAGE_BYTES, used,
        "%s (%s %s, KV %s%s for %u tokens, buffers %s) of the %s budget",
        GOV__BYTES(need(d, z, strategy)), window ? "window" : "weights",
        GOV__BYTES(window ? z->window : d->weights), d->known ? "" : "at most ",
        GOV__BYTES(z->kv), z->context,
        GOV__BYTES(gov__sat_add(z->compute, d->engine)), GOV__BYTES(d->budget));
}

static gov_status refuse(struct decision *d, const char *rule,
                         const struct sizes *z)
{
    struct gov_plan *plan = d->plan;

    plan->strategy = GOV_STRATEGY_REFUSE;
    plan->kv_type = z->kv_type;
    plan->context = z->context;
    plan->kv_bytes = z->kv;
    plan->compute_bytes = z->compute;
    plan->engine_bytes = d->engine;
    gov__put(plan->rule, sizeof(plan->rule), 0, "%s", rule);
    return gov_fail(d->err, GOV_E_REFUSED, 0, "%s", plan->reason);
}

/* Nothing that the rules allow fits, not even the smallest. */
static gov_status refuse_all(struct decision *d)
{
    struct sizes z = size_up(d, &d->settings);
    gov_strategy least = GOV_STRATEGY_HYBRID;
    char *out = d->plan->reason;
    size_t used;

    if (d->encrypted)
        least = GOV_STRATEGY_HEAP;
    else if (need(d, &z, GOV_STRATEGY_MMAP) < need(d, &z, least))
        least = GOV_STRATEGY_MMAP;
    used = gov__put(out, GOV_MESSAGE_BYTES, 0, "%s %s ",
                    d->encrypted ? "encrypted model" : "model",
                    d->known ? "needs at least" : "may need");
    used = put_need(d, &z, least, out, used);
    put_way_out(d, &z, least, out, used);
    return refuse(d, "(budget)", &z);
}

/* The app asked for exactly this: it is told, not given something else. */
static gov_status refuse_wish(struct decision *d, const struct gov__rule *rule,
                              const struct sizes *z)
{
    static const gov_strategy others[] = {GOV_STRATEGY_HEAP, GOV_STRATEGY_MMAP,
                                          GOV_STRATEGY_HYBRID};
    gov_strategy wish = rule->strategy;
    char *out = d->plan->reason;
    const char *other = NULL;
    size_t used;

    for (size_t i = 0; i < 3 && other == NULL; i++)
        if (fits(d, z, others[i]))
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
    return refuse(d, rule->name, z);
}

/* Another type than the app asked for would change its results unasked, and this
 * one no engine can make. */
static gov_status refuse_kv_type(struct decision *d, const struct sizes *z)
{
    uint32_t bytes;

    gov__put(d->plan->reason, GOV_MESSAGE_BYTES, 0,
             "%s was asked for, but heads of this model are no whole number of "
             "its blocks of %u; ask for f16, bf16 or f32",
             gov_kv_type_name(z->kv_type),
             (unsigned)gov_kv_type_block(z->kv_type, &bytes));
    return refuse(d, "(kv type)", z);
}

static size_t put_note(struct gov_plan *plan, const char *text)
{
    size_t used = strlen(plan->warning);

    plan->warn = true;
    return gov__put(plan->warning, sizeof(plan->warning), used, "%s%s",
                    used > 0 ? "; " : "", text);
}

static void put_kv_warning(struct decision *d, const struct sizes *z)
{
    bool asked = d->facts.value[GOV_FACT_REQUEST_KV_TYPE].known;
    char note[128];

    if (asked && d->kv_wish != z->kv_type) {
        gov__put(note, sizeof(note), 0, "KV as %s was asked for, %s was chosen",
                 gov_kv_type_name(d->kv_wish), gov_kv_type_name(z->kv_type));
        put_note(d->plan, note);
    }
    if (heads_take(d, z->kv_type) == GOV__UNKNOWN) {
        gov__put(note, sizeof(note), 0,
                 "whether the model's heads take KV as %s is not known",
                 gov_kv_type_name(z->kv_type));
        put_note(d->plan, note);
    }
}

/* What the app asked for and does not get, and what a person should know. */
static void put_warning(struct decision *d, const struct sizes *z, bool warn)
{
    struct gov_plan *plan = d->plan;
    uint64_t asked = gov_facts_get(&d->facts, GOV_FACT_REQUEST_CONTEXT, 0);
    uint64_t most =
        gov_facts_get(&d->facts, GOV_FACT_MODEL_CONTEXT_MAX, UINT64_MAX);
    const struct gov_value *name = &d->facts.value[GOV_FACT_MODEL_ARCHITECTURE];
    char note[160], text[48];

    if (!d->known) {
        gov__put(note, sizeof(note), 0,
                 "KV is counted at the most it may be, as %s%s is not known",
                 name->known ? "architecture " : "the architecture",
                 name->known
                     ? gov_value_print(text, sizeof(text), GOV_TYPE_TEXT, name)
                     : "");
        put_note(plan, note);
    }
    if (warn) {
        gov__put(note, sizeof(note), 0,
                 "the model takes %s of the %s budget that cannot be given "
                 "back while it is loaded",
                 GOV__BYTES(plan->footprint_bytes), GOV__BYTES(d->budget));
        put_note(plan, note);
    }
    if (plan->strategy == GOV_STRATEGY_HYBRID &&
        gov_facts_get(&d->facts, GOV_FACT_MODEL_FILES, 1) > 1)
        put_note(plan, "the model is split into several files, which cannot be "
                       "streamed yet, so the system decides what stays; join "
                       "them with llama-gguf-split --merge");
    if (asked > z->context) {
        gov__put(note, sizeof(note), 0,
                 "a context of %llu tokens was asked for, %u is %s",
                 (unsigned long long)asked, z->context,
                 z->context == most ? "the most the model knows"
                                    : "what the rules allow");
        put_note(plan, note);
    }
    if (d->wish != GOV_STRATEGY_UNSET && d->wish != plan->strategy) {
        gov__put(note, sizeof(note), 0, "%s was asked for, %s was chosen",
                 gov_strategy_name(d->wish), gov_strategy_name(plan->strategy));
        put_note(plan, note);
    }
    put_kv_warning(d, z);
}

/* ---- deciding ---- */

static void accept(struct decision *d, const struct gov__rule *rule,
                   const struct settings *s, const struct sizes *z,
                   gov_strategy strategy)
{
    struct gov_plan *plan = d->plan;
    uint64_t most = setting(s, GOV__SET_HOT, 1000000);
    size_t used = 0;

    plan->strategy = strategy;
    plan->kv_type = z->kv_type;
    plan->context = z->context;
    plan->kv_bytes = z->kv;
    plan->compute_bytes = z->compute;
    plan->engine_bytes = d->engine;
    plan->footprint_bytes = z->buffers;
    plan->hot_bytes = d->weights;
    if (strategy == GOV_STRATEGY_HEAP) {
        plan->footprint_bytes = need(d, z, strategy);
        plan->repack = setting(s, GOV__SET_REPACK, !d->encrypted) != 0;
    } else if (strategy == GOV_STRATEGY_HYBRID) {
        uint64_t room =
            gov__streamed_hot(d->budget - z->buffers, z->window, d->weights);
        uint64_t share =
            d->weights / 1000000 * most + d->weights % 1000000 * most / 1000000;

        plan->ahead = z->ahead;
        plan->hot_bytes = room < share ? room : share;
        if (plan->hot_bytes > d->weights)
            plan->hot_bytes = d->weights;
    }
    plan->cold_bytes = d->weights - plan->hot_bytes;
    gov__put(plan->rule, sizeof(plan->rule), 0, "%s", rule->name);
    if (strategy != rule->strategy && rule->strategy == GOV_STRATEGY_MMAP)
        used = gov__put(plan->reason, sizeof(plan->reason), used,
                        "%s do not fit the %s budget as a whole, so part of "
                        "the weights is streamed; ",
                        GOV__BYTES(need(d, z, GOV_STRATEGY_MMAP)),
                        GOV__BYTES(d->budget));
    gov__put(plan->reason, sizeof(plan->reason), used, "%s", rule->because);
    put_warning(d, z, setting(s, GOV__SET_WARN, 0) != 0);
}

/* The settings as they stand if rule `index` chooses. */
static struct settings with_rule(const struct decision *d, size_t index)
{
    const struct gov__rule *rule = &d->rules->list[index];
    struct settings s = d->settings;

    for (int i = 0; i < GOV__SETTINGS; i++)
        if (rule->set[i] && (!s.set[i] || s.by[i] > index)) {
            s.set[i] = true;
            s.value[i] = rule->value[i];
            s.by[i] = index;
        }
    return s;
}

/* See the top of the file. */
static enum stage stage_of(const struct gov__rule *rule)
{
    if (rule->strategy != GOV_STRATEGY_UNSET)
        return STAGE_REST;
    if (rule->set[GOV__SET_CONTEXT])
        return STAGE_CONTEXT;
    return rule->set[GOV__SET_KV_TYPE] ? STAGE_KV_TYPE : STAGE_REST;
}

static const struct gov_facts *facts_for(const struct decision *d,
                                         const struct gov__rule *rule)
{
    enum stage stage = stage_of(rule);

    return stage < STAGE_REST ? &d->early[stage] : &d->facts;
}

static enum gov__truth try_rule(const struct decision *d,
                                const struct gov__rule *rule)
{
    if (rule->when == NULL)
        return GOV__TRUE;
    return gov__expr_eval(rule->when, facts_for(d, rule));
}

/* Takes what the rules of a stage settle. */
static void settle(struct decision *d, enum stage stage)
{
    derive(d);
    if (stage < STAGE_REST)
        d->early[stage] = d->facts;
    for (size_t i = 0; i < d->rules->count; i++) {
        const struct gov__rule *rule = &d->rules->list[i];

        if (rule->strategy == GOV_STRATEGY_UNSET && stage_of(rule) == stage &&
            passed_over(d, rule)[0] == '\0' && try_rule(d, rule) == GOV__TRUE)
            d->settings = with_rule(d, i);
    }
}

static void trace(const struct decision *d, const struct gov__rule *rule,
                  enum gov__truth truth, const char *note)
{
    static const char *const verdicts[] = {"no match", "matched", "unknown"};
    const struct gov_facts *facts = facts_for(d, rule);
    char detail[1024];
    size_t used = 0;

    if (d->trace == NULL)
        return;
    detail[0] = '\0';
    if (rule->when == NULL)
        used = gov__put(detail, sizeof(detail), 0, "always");
    else if (truth == GOV__UNKNOWN)
        used = gov__expr_missing(rule->when, facts, detail, sizeof(detail));
    else
        used = gov__expr_show(rule->when, facts, detail, sizeof(detail));
    gov__put(detail, sizeof(detail), used, "%s", note);
    d->trace(d->trace_ctx, rule->name, verdicts[truth], detail);
}

static gov_status refuse_by_rule(struct decision *d,
                                 const struct gov__rule *rule,
                                 enum gov__truth truth)
{
    struct sizes z = size_up(d, &d->settings);
    char *out = d->plan->reason;
    size_t used = gov__put(out, GOV_MESSAGE_BYTES, 0, "%s", rule->because);

    if (truth == GOV__UNKNOWN) {
        char missing[128];

        gov__expr_missing(rule->when, &d->facts, missing, sizeof(missing));
        gov__put(out, GOV_MESSAGE_BYTES, used, " (%s)", missing);
    }
    trace(d, rule, truth, truth == GOV__UNKNOWN ? ", so it refuses" : "");
    return refuse(d, rule->name, &z);
}

/* A strategy rule that matches: GOV_OK or GOV_E_REFUSED ends the search,
 * GOV_E_NOT_FOUND goes on to the next rule. */
static gov_status choose(struct decision *d, size_t index)
{
    const struct gov__rule *rule = &d->rules->list[index];
    struct settings s = with_rule(d, index);
    struct sizes z = size_up(d, &s);
    gov_strategy strategy = rule->strategy;
    char note[160] = "";

    if (passed_over(d, rule)[0] != '\0') {
        trace(d, rule, GOV__TRUE, passed_over(d, rule));
        return GOV_E_NOT_FOUND;
    }
    if (heads_take(d, z.kv_type) == GOV__FALSE) {
        trace(d, rule, GOV__TRUE, "; the KV type asked for cannot be");
        return refuse_kv_type(d, &z);
    }
    if (!fits(d, &z, strategy) && strategy == GOV_STRATEGY_MMAP &&
        d->wish != strategy)
        strategy = GOV_STRATEGY_HYBRID;
    if (fits(d, &z, strategy)) {
        accept(d, rule, &s, &z, strategy);
        gov__put(note, sizeof(note), 0, "%s",
                 strategy != rule->strategy ? "; streamed, to fit" : "");
        trace(d, rule, GOV__TRUE, note);
        return GOV_OK;
    }
    if (d->encrypted && strategy != GOV_STRATEGY_HEAP)
        gov__put(note, sizeof(note), 0,
                 "; cannot be: the weights are encrypted on disk");
    else
        gov__put(note, sizeof(note), 0,
                 "; does not fit: %s needs %s of the %s budget",
                 gov_strategy_name(strategy), GOV__BYTES(need(d, &z, strategy)),
                 GOV__BYTES(d->budget));
    trace(d, rule, GOV__TRUE, note);
    if (d->wish == rule->strategy)
        return refuse_wish(d, rule, &z);
    return GOV_E_NOT_FOUND;
}

/* No rule chose: mapped, or streamed where that does not fit. */
static gov_status choose_default(struct decision *d)
{
    static char because[] = "no rule chose a strategy that fits";
    static const gov_strategy order[] = {GOV_STRATEGY_MMAP,
                                         GOV_STRATEGY_HYBRID};
    const struct gov__rule rule = {.name = "(default)", .because = because};
    struct sizes z = size_up(d, &d->settings);

    if (heads_take(d, z.kv_type) == GOV__FALSE)
        return refuse_kv_type(d, &z);
    for (size_t i = 0; i < 2; i++)
        if (fits(d, &z, order[i])) {
            accept(d, &rule, &d->settings, &z, order[i]);
            return GOV_OK;
        }
    return refuse_all(d);
}

static gov_status decide(struct decision *d)
{
    gov_status status = GOV_E_NOT_FOUND;

    for (size_t i = 0; i < d->rules->count; i++) {
        const struct gov__rule *rule = &d->rules->list[i];
        bool chooses = rule->strategy != GOV_STRATEGY_UNSET;
        enum gov__truth truth;

        if (chooses && status != GOV_E_NOT_FOUND) {
            if (d->trace != NULL)
                d->trace(d->trace_ctx, rule->name, "not reached", "");
            continue;
        }
        if (!chooses && d->trace == NULL)
            continue;
        truth = try_rule(d, rule);
        if (rule->strategy == GOV_STRATEGY_REFUSE &&
            (truth == GOV__TRUE ||
             (truth == GOV__UNKNOWN && rule->unknown_matches)))
            status = refuse_by_rule(d, rule, truth);
        else if (chooses && truth == GOV__TRUE)
            status = choose(d, i);
        else
            trace(d, rule, truth,
                  truth == GOV__TRUE ? passed_over(d, rule) : "");
    }
    return status == GOV_E_NOT_FOUND ? choose_default(d) : status;
}

gov_status gov_plan_decide(struct gov_plan *plan, const gov_rules *rules,
                           const struct gov_facts *facts, gov_trace_fn trace_fn,
                           void *trace_ctx, gov_error *err)
{
    struct decision d;
    gov_status status;

    memset(plan, 0, sizeof(*plan));
    if (rules == NULL || facts == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "a plan needs rules and facts; one of them is NULL");
    d.rules = rules;
    d.plan = plan;
    d.trace = trace_fn;
    d.trace_ctx = trace_ctx;
    d.err = err;
    memset(&d.settings, 0, sizeof(d.settings));
    status = take_facts(&d, facts);
    if (status != GOV_OK)
        return status;
    plan->budget_bytes = d.budget;
    plan->weights_bytes = d.weights;
    settle(&d, STAGE_CONTEXT);
    settle(&d, STAGE_KV_TYPE);
    settle(&d, STAGE_REST);
    return decide(&d);
}

/* ---- the machine alone ---- */

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

gov_status gov_rules_judge_device(const gov_rules *rules,
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
    clean_facts(&machine);
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
