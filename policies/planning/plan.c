/* SPDX-License-Identifier: MIT */
/* Decides a plan: applies the rules in order, then holds what they chose
 * against the budget. Whatever the rules say, a plan that is returned fits.
 *
 * The size of everything follows from the context and the KV type, so rules are
 * tried in stages: those that set the context or the number of conversations
 * (and no strategy), with sizes as the app asked; then those that set the KV type,
 * with the context settled; then those that set anything else; then those that
 * choose a strategy. A setting that
 * stands beside a strategy counts when that rule chooses. */
#include "policies/planning/plan_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"
#include "policies/planning/sizes_priv.h"

/* A rule must not bring about what the engine refuses: where the heads are not
 * known to take its KV type, it is passed over. Returns what the trace says then,
 * or "". */
static const char *passed_over(const struct gov__decision *d,
                               const struct gov__rule *rule)
{
    if (!rule->set[GOV__SET_KV_TYPE])
        return "";
    switch (
        gov__plan_heads_take(d, (gov_kv_type)rule->value[GOV__SET_KV_TYPE])) {
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

/* How the mapping is used; of weights in the heap there is none. */
static void accept_mapping(struct gov_plan *plan, const struct gov__settings *s)
{
    if (plan->strategy == GOV_STRATEGY_HEAP)
        return;
    if (plan->strategy == GOV_STRATEGY_HYBRID)
        plan->hold =
            (gov_hold)gov__plan_setting(s, GOV__SET_HOLD, GOV_HOLD_SPREAD);
    plan->warm = (gov_warm)gov__plan_setting(s, GOV__SET_WARM, GOV_WARM_USE);
    if (plan->warm != GOV_WARM_NONE)
        plan->warm_rate = gov__plan_setting(s, GOV__SET_WARM_RATE, 0);
    plan->advise_load = (gov_advice)gov__plan_setting(s, GOV__SET_ADVISE_LOAD,
                                                      GOV_ADVICE_NORMAL);
    plan->advise_pass = (gov_advice)gov__plan_setting(s, GOV__SET_ADVISE_PASS,
                                                      GOV_ADVICE_NORMAL);
}

/* What the policy's levels call enough headroom: what is streamed as anonymous
 * memory leaves it free, so that the plan is not itself the pressure. */
static uint64_t headroom(const struct gov__decision *d)
{
    struct gov_level_rules levels;

    gov_policy_levels(d->rules, &levels);
    return gov__scaled(d->budget, levels.warn_headroom_exit_permille, 1000);
}

/* Memory that streamed weights may fill. File pages can be given back as soon as
 * there is pressure. */
static uint64_t room_to_stream(const struct gov__decision *d,
                               const struct gov__sizes *z, bool anchor)
{
    uint64_t room = d->budget - z->buffers, spare;

    if (!anchor)
        return room;
    spare = headroom(d);
    return room > gov__sat_add(z->window, spare) ? room - spare : z->window;
}

/* What cold weights take while they pass through, of what is left for them. Where
 * not every layer keeps the same share, all in the window may be cold. */
static uint64_t window_in(const struct gov__decision *d,
                          const struct gov__sizes *z, uint64_t left)
{
    uint64_t cold = d->weights - d->plan->hot_bytes;
    bool spread = d->plan->hold == GOV_HOLD_SPREAD;
    uint64_t window =
        gov__streamed_window(z->window, cold, spread ? d->weights : cold);

    return window < left ? window : left;
}

/* Past the page cache, unless what is on its way were pressure by itself. Then the
 * window stays that of two units: the layer too many, on its way out, is file
 * pages, which the system can take back. */
static void accept_direct(struct gov__decision *d,
                          const struct gov__settings *s,
                          const struct gov__sizes *z, uint64_t room)
{
    struct gov_plan *plan = d->plan;
    uint64_t taken =
        plan->footprint_bytes + window_in(d, z, room - plan->hot_bytes);

    if (gov__plan_setting(s, GOV__SET_DIRECT, 0) == 0 ||
        gov__sat_add(taken, headroom(d)) > d->budget)
        return;
    plan->direct = true;
    plan->footprint_bytes = taken;
}

/* Which weights stay, and as what. */
static void accept_weights(struct gov__decision *d,
                           const struct gov__settings *s,
                           const struct gov__sizes *z)
{
    struct gov_plan *plan = d->plan;
    uint64_t most = gov__plan_setting(s, GOV__SET_HOT, 1000000);
    bool heap = plan->strategy == GOV_STRATEGY_HEAP;

    plan->hot_bytes = d->weights;
    plan->footprint_bytes = z->buffers;
    if (heap)
        plan->repack =
            gov__plan_setting(s, GOV__SET_REPACK, !d->encrypted) != 0;
    /* A mapping of which a GPU has a part is the engine's own. */
    plan->anchor = heap ? !plan->repack
                        : plan->gpu_layers == 0 &&
                              gov__plan_setting(s, GOV__SET_ANCHOR, 0) != 0;
    plan->direct = plan->anchor && plan->strategy != GOV_STRATEGY_HYBRID;
    if (plan->strategy == GOV_STRATEGY_HYBRID) {
        uint64_t room = room_to_stream(d, z, plan->anchor);
        uint64_t hot = gov__streamed_hot(room, z->window, d->weights);
        uint64_t share = gov__scaled(d->weights, most, 1000000);

        plan->ahead = z->ahead;
        plan->hot_bytes = hot < share ? hot : share;
        if (plan->anchor)
            plan->footprint_bytes += plan->hot_bytes;
        accept_direct(d, s, z, room);
    } else if (heap || plan->anchor) {
        plan->footprint_bytes = gov__plan_need(d, z, plan->strategy);
    } else if (d->gpu_shares) {
        /* What a GPU uses in place cannot be dropped either. */
        plan->footprint_bytes =
            gov__sat_add(z->buffers, gov__sat_add(z->added, z->gpu_weights));
    }
    plan->cold_bytes = d->weights - plan->hot_bytes;
}

/* The rule that chose may speak of file pages; where another one anchors them, it
 * has its say. */
static void put_reason(struct gov__decision *d, const struct gov__rule *rule,
                       const struct gov__settings *s,
                       const struct gov__sizes *z)
{
    struct gov_plan *plan = d->plan;
    const struct gov__rule *other;
    char *out = plan->reason;
    size_t used = 0;

    if (plan->strategy != rule->strategy && rule->strategy == GOV_STRATEGY_MMAP)
        used = gov__put(out, sizeof(plan->reason), used,
                        "%s do not fit the %s budget as a whole, so part of "
                        "the weights is streamed; ",
                        GOV__BYTES(gov__plan_need(d, z, GOV_STRATEGY_MMAP)),
                        GOV__BYTES(d->budget));
    used = gov__put(out, sizeof(plan->reason), used, "%s", rule->because);
    if (!plan->anchor || plan->strategy == GOV_STRATEGY_HEAP)
        return;
    other = &d->rules->list[s->by[GOV__SET_ANCHOR]];
    if (other != rule)
        gov__put(out, sizeof(plan->reason), used, "; %s: %s",
                 plan->strategy == GOV_STRATEGY_HYBRID
                     ? "what stays is anchored"
                     : "anchored instead",
                 other->because);
}

static void put_rates(struct gov_plan *plan, const struct gov_facts *facts)
{
    uint64_t cached = gov_facts_get(facts, GOV_FACT_DEVICE_READ_RATE, 0);
    uint64_t direct = gov_facts_get(facts, GOV_FACT_DEVICE_DIRECT_RATE, cached);

    plan->read_rate = plan->direct && plan->anchor ? direct : cached;
    plan->cold_rate = plan->direct ? direct : cached;
}

static void accept(struct gov__decision *d, const struct gov__rule *rule,
                   const struct gov__settings *s, const struct gov__sizes *z,
                   gov_strategy strategy)
{
    struct gov_plan *plan = d->plan;

    plan->strategy = strategy;
    plan->kv_type = z->kv_type;
    plan->context = z->context;
    plan->kv_bytes = z->kv;
    plan->compute_bytes = z->compute;
    plan->engine_bytes = d->engine;
    plan->sequences = z->sequences;
    if (strategy != GOV_STRATEGY_HYBRID) {
        plan->gpu_layers = z->gpu_layers;
        plan->gpu_bytes = z->gpu_bytes;
    }
    accept_mapping(plan, s);
    accept_weights(d, s, z);
    put_rates(plan, &d->facts);
    plan->warm_us = gov_plan_read_us(plan, plan->hot_bytes);
    gov__put(plan->rule, sizeof(plan->rule), 0, "%s", rule->name);
    put_reason(d, rule, s, z);
    gov__plan_warn(d, z, s);
}

/* The settings as they stand if rule `index` chooses. */
static struct gov__settings with_rule(const struct gov__decision *d,
                                      size_t index)
{
    const struct gov__rule *rule = &d->rules->list[index];
    struct gov__settings s = d->settings;

    for (int i = 0; i < GOV__SETTINGS; i++)
        if (rule->set[i] && (!s.set[i] || s.by[i] > index)) {
            s.set[i] = true;
            s.value[i] = rule->value[i];
            s.by[i] = index;
        }
    return s;
}

static const struct gov_facts *facts_for(const struct gov__decision *d,
                                         const struct gov__rule *rule)
{
    enum gov__stage stage = gov__stage_of(rule);

    return stage < GOV__STAGE_REST ? &d->early[stage] : &d->facts;
}

static enum gov__truth try_rule(const struct gov__decision *d,
                                const struct gov__rule *rule)
{
    if (rule->when == NULL)
        return GOV__TRUE;
    return gov__expr_eval(rule->when, facts_for(d, rule));
}

/* Takes what the rules of a stage settle. */
static void settle(struct gov__decision *d, enum gov__stage stage)
{
    gov__plan_derive(d);
    if (stage < GOV__STAGE_REST)
        d->early[stage] = d->facts;
    for (size_t i = 0; i < d->rules->count; i++) {
        const struct gov__rule *rule = &d->rules->list[i];

        if (rule->strategy == GOV_STRATEGY_UNSET &&
            gov__stage_of(rule) == stage && passed_over(d, rule)[0] == '\0' &&
            try_rule(d, rule) == GOV__TRUE)
            d->settings = with_rule(d, i);
    }
}

static void trace(const struct gov__decision *d, const struct gov__rule *rule,
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

static gov_status refuse_by_rule(struct gov__decision *d,
                                 const struct gov__rule *rule,
                                 enum gov__truth truth)
{
    struct gov__sizes z = gov__plan_size(d, &d->settings);
    char *out = d->plan->reason;
    /* A long reason is cut, never the way out. */
    size_t way = rule->instead != NULL ? strlen(rule->instead) + 2 : 0;
    size_t room = way < GOV_MESSAGE_BYTES ? GOV_MESSAGE_BYTES - way : 1;
    size_t used = gov__put(out, room, 0, "%s", rule->because);

    if (truth == GOV__UNKNOWN) {
        char missing[128];

        gov__expr_missing(rule->when, &d->facts, missing, sizeof(missing));
        gov__put(out, room, used, " (%s)", missing);
    }
    if (rule->instead != NULL)
        gov__put(out, GOV_MESSAGE_BYTES, strlen(out), "; %s", rule->instead);
    trace(d, rule, truth, truth == GOV__UNKNOWN ? ", so it refuses" : "");
    return gov__plan_refuse(d, rule->name, &z);
}

/* A strategy rule that matches: GOV_OK or GOV_E_REFUSED ends the search,
 * GOV_E_NOT_FOUND goes on to the next rule. */
static gov_status choose(struct gov__decision *d, size_t index)
{
    const struct gov__rule *rule = &d->rules->list[index];
    struct gov__settings s = with_rule(d, index);
    struct gov__sizes z = gov__plan_size(d, &s);
    gov_strategy strategy = rule->strategy;
    char note[512] = "";
    size_t used;

    if (passed_over(d, rule)[0] != '\0') {
        trace(d, rule, GOV__TRUE, passed_over(d, rule));
        return GOV_E_NOT_FOUND;
    }
    if (gov__plan_heads_take(d, z.kv_type) == GOV__FALSE) {
        trace(d, rule, GOV__TRUE, "; the KV type asked for cannot be");
        return gov__plan_refuse_kv_type(d, &z);
    }
    if (!gov__plan_fits(d, &z, strategy) && strategy == GOV_STRATEGY_MMAP &&
        d->wish != strategy)
        strategy = GOV_STRATEGY_HYBRID;
    if (gov__plan_fits(d, &z, strategy)) {
        accept(d, rule, &s, &z, strategy);
        used = gov__put(note, sizeof(note), 0, "%s",
                        strategy != rule->strategy ? "; streamed, to fit" : "");
        gov__plan_put_settings(d, &s, index, note, sizeof(note), used);
        trace(d, rule, GOV__TRUE, note);
        return GOV_OK;
    }
    if (d->encrypted && strategy != GOV_STRATEGY_HEAP)
        gov__put(note, sizeof(note), 0,
                 "; cannot be: the weights are encrypted on disk");
    else
        gov__put(note, sizeof(note), 0,
                 "; does not fit: %s needs %s of the %s budget",
                 gov_strategy_name(strategy),
                 GOV__BYTES(gov__plan_need(d, &z, strategy)),
                 GOV__BYTES(d->budget));
    trace(d, rule, GOV__TRUE, note);
    if (d->wish == rule->strategy)
        return gov__plan_refuse_wish(d, rule, &z);
    return GOV_E_NOT_FOUND;
}

/* No rule chose: mapped, or streamed where that does not fit. */
static gov_status choose_default(struct gov__decision *d)
{
    static char because[] = "no rule chose a strategy that fits";
    static const gov_strategy order[] = {GOV_STRATEGY_MMAP,
                                         GOV_STRATEGY_HYBRID};
    const struct gov__rule rule = {.name = "(default)", .because = because};
    struct gov__sizes z = gov__plan_size(d, &d->settings);

    if (gov__plan_heads_take(d, z.kv_type) == GOV__FALSE)
        return gov__plan_refuse_kv_type(d, &z);
    for (size_t i = 0; i < 2; i++)
        if (gov__plan_fits(d, &z, order[i])) {
            accept(d, &rule, &d->settings, &z, order[i]);
            return GOV_OK;
        }
    return gov__plan_refuse_all(d);
}

/* A rule without a strategy, which was applied before. */
static void trace_setting(const struct gov__decision *d, size_t index,
                          enum gov__truth truth)
{
    const struct gov__rule *rule = &d->rules->list[index];
    char note[512] = "";

    if (d->trace == NULL)
        return;
    if (truth == GOV__TRUE && passed_over(d, rule)[0] != '\0')
        gov__put(note, sizeof(note), 0, "%s", passed_over(d, rule));
    else if (truth == GOV__TRUE)
        gov__plan_put_settings(d, &d->settings, index, note, sizeof(note), 0);
    trace(d, rule, truth, note);
}

static gov_status decide(struct gov__decision *d)
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
            trace_setting(d, i, truth);
    }
    return status == GOV_E_NOT_FOUND ? choose_default(d) : status;
}

gov_status gov_plan_decide(struct gov_plan *plan, const gov_policy *rules,
                           const struct gov_facts *facts, gov_trace_fn trace_fn,
                           void *trace_ctx, gov_error *err)
{
    struct gov__decision d;
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
    status = gov__plan_take_facts(&d, facts);
    if (status != GOV_OK)
        return status;
    plan->budget_bytes = d.budget;
    plan->weights_bytes = d.weights;
    plan->gpu_budget_bytes = d.gpu_budget;
    settle(&d, GOV__STAGE_CONTEXT);
    settle(&d, GOV__STAGE_KV_TYPE);
    settle(&d, GOV__STAGE_REST);
    return decide(&d);
}
