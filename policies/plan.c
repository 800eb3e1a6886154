/* SPDX-License-Identifier: MIT */
/* Decides a plan: applies the rules in order, then holds what they chose
 * against the budget. Whatever the rules say, a plan that is returned fits.
 *
 * Rules fall in three kinds. Those that set the KV type or the context (and no
 * strategy) are tried first, with the KV cache computed for what the app asked
 * for, because the size of everything follows from them. Then those that set
 * anything else, then those that choose a strategy; a setting that stands
 * beside a strategy counts when that rule chooses. */
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

const char *gov_kv_type_name(gov_kv_type type)
{
    switch (type) {
    case GOV_KV_UNSET:
        break;
    case GOV_KV_F16:
        return "f16";
    case GOV_KV_Q8_0:
        return "q8_0";
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
    uint64_t kv, buffers; /* buffers: KV and compute; cannot be dropped */
    uint64_t window;      /* what streaming needs beside them */
};

/* One gov_plan_decide() under way. */
struct decision {
    const gov_rules *rules;
    struct gov_facts asked; /* sizes as the app asked */
    struct gov_facts facts; /* sizes as settled */
    struct settings settings;
    struct gov_plan *plan;
    gov_trace_fn trace;
    void *trace_ctx;
    gov_error *err;
    uint64_t budget, weights, compute, unit, f16_per_token;
    bool encrypted;
    gov_strategy wish;
    gov_kv_type kv_wish;
};

/* A block of 32 elements takes 64 bytes as f16 and 34 as q8_0 (32 bytes and a
 * scale of 2). */
static uint64_t kv_per_token(uint64_t f16, gov_kv_type type)
{
    if (type != GOV_KV_Q8_0)
        return f16;
    return f16 / 64 * 34 + (f16 % 64 * 34 + 63) / 64;
}

/* ---- facts ---- */

/* What can be no value of its type is not known. */
static void clean_facts(struct gov_facts *facts)
{
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
    if (value[GOV_FACT_REQUEST_CONTEXT].number == 0)
        value[GOV_FACT_REQUEST_CONTEXT].known = false;
    if (value[GOV_FACT_MODEL_CONTEXT_MAX].number == 0)
        value[GOV_FACT_MODEL_CONTEXT_MAX].known = false;
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
                            "and the %s does not tell",
                            gov_fact_info(needed[i])->name,
                            gov_fact_info(needed[i])->sentence,
                            gov_fact_info(needed[i])->source);
    return GOV_OK;
}

static gov_status read_wishes(struct decision *d)
{
    const struct gov_value *strategy =
        &d->facts.value[GOV_FACT_REQUEST_STRATEGY];
    const struct gov_value *kv = &d->facts.value[GOV_FACT_REQUEST_KV_TYPE];
    char text[48];

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
    d->kv_wish = GOV_KV_F16;
    if (kv->known && strcmp(kv->text, "q8_0") == 0)
        d->kv_wish = GOV_KV_Q8_0;
    else if (kv->known && strcmp(kv->text, "f16") != 0)
        return gov_fail(d->err, GOV_E_INVALID, 0,
                        "KV type \"%s\" is asked for; there are f16 and q8_0",
                        gov_value_print(text, sizeof(text), GOV_TYPE_TEXT, kv));
    return GOV_OK;
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
    /* A model of unknown units cannot be streamed: one unit, all of it. */
    d->unit = gov_facts_get(f, GOV_FACT_MODEL_LARGEST_UNIT, d->weights);
    d->f16_per_token = gov_facts_get(f, GOV_FACT_MODEL_KV_PER_TOKEN, 0);
    d->encrypted = gov_facts_get(f, GOV_FACT_MODEL_ENCRYPTED, 0) != 0;
    return GOV_OK;
}

/* ---- sizes ---- */

static uint64_t setting(const struct settings *s, enum gov__setting which,
                        uint64_t otherwise)
{
    return s->set[which] ? (uint64_t)s->value[which] : otherwise;
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
    z.kv_type = (gov_kv_type)setting(s, GOV__SET_KV_TYPE, d->kv_wish);
    z.context = (uint32_t)(context < most ? context : most);
    z.ahead = (uint32_t)setting(s, GOV__SET_AHEAD, AHEAD_DEFAULT);
    z.kv = gov__sat_mul(kv_per_token(d->f16_per_token, z.kv_type),
                        gov__kv_cells(z.context));
    z.buffers = gov__sat_add(z.kv, d->compute);
    units = z.ahead + 1 > GOV__WINDOW_UNITS ? z.ahead + 1 : GOV__WINDOW_UNITS;
    z.window = gov__sat_mul(d->unit, units);
    if (gov__sat_add(z.buffers, z.window) > d->budget &&
        units > GOV__WINDOW_UNITS) {
        z.ahead = AHEAD_DEFAULT;
        z.window = gov__sat_mul(d->unit, GOV__WINDOW_UNITS);
    }
    return z;
}

static void derive(const struct decision *d, const struct settings *settings,
                   struct gov_facts *facts)
{
    struct sizes z = size_up(d, settings);

    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN,
                  kv_per_token(d->f16_per_token, z.kv_type));
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

/* The largest context of 2^n or 3 * 2^n tokens, from one block, that would fit;
 * 0 when none would. */
static uint64_t context_that_fits(const struct decision *d,
                                  const struct sizes *z, gov_strategy strategy)
{
    uint64_t fixed = gov__sat_add(
        d->compute, strategy == GOV_STRATEGY_HYBRID ? z->window : d->weights);
    uint64_t each = kv_per_token(d->f16_per_token, z->kv_type);
    uint64_t most, power = GOV__KV_BLOCK_TOKENS, found = 0;

    if (fixed > d->budget || each == 0)
        return 0;
    most = (d->budget - fixed) / each;
    for (; power <= most; power *= 2)
        found = gov__kv_cells(power / 2 * 3) <= most ? power / 2 * 3 : power;
    return found;
}

static void put_way_out(const struct decision *d, const struct sizes *z,
                        gov_strategy strategy, char *out, size_t used)
{
    uint64_t context = context_that_fits(d, z, strategy);
    const char *with = "";

    if (context == 0 && !d->encrypted && strategy != GOV_STRATEGY_HYBRID) {
        context = context_that_fits(d, z, GOV_STRATEGY_HYBRID);
        with = "hybrid with ";
    }
    if (context == 0)
        gov__put(out, GOV_MESSAGE_BYTES, used, "; no context would fit");
    else
        gov__put(out, GOV_MESSAGE_BYTES, used,
                 "; %sa context of %llu tokens would fit", with,
                 (unsigned long long)context);
}

static size_t put_need(const struct decision *d, const struct sizes *z,
                       gov_strategy strategy, char *out, size_t used)
{
    bool window = strategy == GOV_STRATEGY_HYBRID;

    return gov__put(
        out, GOV_MESSAGE_BYTES, used,
        "%s (%s %s, KV %s for %u tokens, buffers %s) of the %s "
        "budget",
        GOV__BYTES(need(d, z, strategy)), window ? "window" : "weights",
        GOV__BYTES(window ? z->window : d->weights), GOV__BYTES(z->kv),
        z->context, GOV__BYTES(d->compute), GOV__BYTES(d->budget));
}

static gov_status refuse(struct decision *d, const char *rule,
                         const struct sizes *z)
{
    struct gov_plan *plan = d->plan;

    plan->strategy = GOV_STRATEGY_REFUSE;
    plan->kv_type = z->kv_type;
    plan->context = z->context;
    plan->kv_bytes = z->kv;
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
    used = gov__put(out, GOV_MESSAGE_BYTES, 0, "%s needs at least ",
                    d->encrypted ? "encrypted model" : "model");
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

static size_t put_note(struct gov_plan *plan, const char *text)
{
    size_t used = strlen(plan->warning);

    plan->warn = true;
    return gov__put(plan->warning, sizeof(plan->warning), used, "%s%s",
                    used > 0 ? "; " : "", text);
}

/* What the app asked for and does not get, and what a person should know. */
static void put_warning(struct decision *d, const struct sizes *z, bool warn)
{
    struct gov_plan *plan = d->plan;
    uint64_t asked = gov_facts_get(&d->facts, GOV_FACT_REQUEST_CONTEXT, 0);
    uint64_t most =
        gov_facts_get(&d->facts, GOV_FACT_MODEL_CONTEXT_MAX, UINT64_MAX);
    char note[128];

    if (warn) {
        gov__put(note, sizeof(note), 0,
                 "the model takes %s of the %s budget that cannot be given "
                 "back while it is loaded",
                 GOV__BYTES(plan->footprint_bytes), GOV__BYTES(d->budget));
        put_note(plan, note);
    }
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

/* Sizing rules come first; see the top of the file. */
static bool is_sizing(const struct gov__rule *rule)
{
    return rule->strategy == GOV_STRATEGY_UNSET &&
           (rule->set[GOV__SET_KV_TYPE] || rule->set[GOV__SET_CONTEXT]);
}

static const struct gov_facts *facts_for(const struct decision *d,
                                         const struct gov__rule *rule)
{
    return is_sizing(rule) ? &d->asked : &d->facts;
}

static enum gov__truth try_rule(const struct decision *d,
                                const struct gov__rule *rule)
{
    if (rule->when == NULL)
        return GOV__TRUE;
    return gov__expr_eval(rule->when, facts_for(d, rule));
}

static void settle(struct decision *d, bool sizing)
{
    for (size_t i = 0; i < d->rules->count; i++) {
        const struct gov__rule *rule = &d->rules->list[i];

        if (rule->strategy == GOV_STRATEGY_UNSET && is_sizing(rule) == sizing &&
            try_rule(d, rule) == GOV__TRUE)
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
            trace(d, rule, truth, "");
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
    d.asked = d.facts;
    derive(&d, &d.settings, &d.asked);
    settle(&d, true);
    derive(&d, &d.settings, &d.facts);
    settle(&d, false);
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
