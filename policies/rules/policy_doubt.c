/* SPDX-License-Identifier: MIT */
/* Finds rules, settings and steps of the ladder that can have no effect. Works on
 * the policy alone, whatever the facts, and says only what is certain: what it
 * relies on of plan.c stands beside it. Where conditions take too long to look
 * through it says nothing. Allocates nothing. */
#include "policies/rules/policy_priv.h"

#include <string.h>

#include "policies/language/refute_priv.h"
#include "policies/language/words_priv.h"

/* Steps of proofs, of some 11 ns each: for a question about one rule, for one about
 * two, and for all about two together. 1000 rules take 25 ms at most, a few times
 * that where every one of them is made to be hard. */
#define STEPS_ALONE 1000
#define STEPS_PAIR 2000
#define STEPS_PAIRS 2000000

/* What of a rule is asked again and again. */
struct brief {
    uint64_t facts[2]; /* in its condition: a bit each */
    uint32_t settings; /* a bit each */
    uint8_t stage;     /* in which plan.c applies it */
    bool derived;      /* it asks about a fact that stages change */
    bool asks_known;   /* known() of what is not the machine's */
    bool always;       /* it matches whatever the facts */
    bool never;        /* or never */
};

struct doubter {
    const gov_policy *policy;
    gov_flaw_fn fn;
    void *ctx;
    size_t count;
    long steps;                 /* left for pairs */
    size_t last[GOV__SETTINGS]; /* the last rule so far, from 1, that settles it
                                 * without a strategy; 0: none */
    struct brief brief[GOV__RULES_MAX];
    struct gov__refuter refuter;
};

_Static_assert(GOV_FACT_COUNT <= 128, "more words in brief.facts");
_Static_assert(GOV__SETTINGS <= 32, "more words in brief.settings");

static void tell(struct doubter *d, const struct gov__origin *at,
                 const char *name, const char *sentence)
{
    const gov_policy *policy = d->policy;
    const struct gov_flaw flaw = {
        true,     at->file < policy->file_count ? policy->files[at->file] : "",
        at->line, at->column,
        name,     sentence};

    d->count++;
    if (d->fn != NULL)
        d->fn(d->ctx, &flaw);
}

/* ---- rules in brief ---- */

static bool has_fact(const struct brief *brief, gov_fact fact)
{
    return (brief->facts[fact / 64] >> fact % 64 & 1) != 0;
}

/* What gov__plan_derive() sets anew between stages. */
static bool is_derived(gov_fact fact)
{
    return fact == GOV_FACT_MODEL_CONTEXT ||
           fact == GOV_FACT_MODEL_KV_PER_TOKEN ||
           fact == GOV_FACT_MODEL_WINDOW_KV || fact == GOV_FACT_MODEL_KV ||
           fact == GOV_FACT_MODEL_MAPPED_FOOTPRINT ||
           fact == GOV_FACT_MODEL_HEAP_FOOTPRINT;
}

static void summarize(const struct gov__rule *rule, struct brief *brief)
{
    enum gov__truth whatever = GOV__TRUE;

    memset(brief, 0, sizeof(*brief));
    brief->stage = (uint8_t)gov__stage_of(rule);
    for (int i = 0; i < GOV__SETTINGS; i++)
        if (rule->set[i])
            brief->settings |= UINT32_C(1) << i;
    for (uint32_t i = 0; rule->when != NULL && i < rule->when->count; i++) {
        const struct gov__node *node = &rule->when->nodes[i];
        gov_fact fact = (gov_fact)node->number;

        if (node->op != GOV__OP_FACT && node->op != GOV__OP_KNOWN)
            continue;
        brief->facts[fact / 64] |= UINT64_C(1) << fact % 64;
        brief->derived = brief->derived || is_derived(fact);
        brief->asks_known = brief->asks_known || (node->op == GOV__OP_KNOWN &&
                                                  !gov_fact_of_machine(fact));
    }
    if (rule->when != NULL)
        whatever = gov__expr_eval(rule->when, NULL);
    brief->always = whatever == GOV__TRUE;
    brief->never = whatever == GOV__FALSE || rule->off;
}

/* ---- whether rules match ---- */

/* A rule that refuses also matches what is unknown, unless it says otherwise. */
static struct gov__claim matching(const struct gov__rule *rule)
{
    bool unknown =
        rule->strategy == GOV_STRATEGY_REFUSE && rule->unknown_matches;

    return (struct gov__claim){
        rule->when, rule->when != NULL ? (uint16_t)(rule->when->count - 1) : 0,
        unknown ? GOV__NOT_FALSE : GOV__IS_TRUE, NULL};
}

static struct gov__claim not_matching(const struct gov__rule *rule)
{
    struct gov__claim claim = matching(rule);

    claim.demand = claim.demand == GOV__IS_TRUE ? GOV__NOT_TRUE : GOV__IS_FALSE;
    return claim;
}

/* No plan is made without the first four, and the others follow from them. Only
 * gov_policy_judge_device(), which looks at rules that refuse, does without. */
static void start(struct doubter *d, const struct gov__rule *rule)
{
    static const gov_fact needed[] = {GOV_FACT_BUDGET_RAM,
                                      GOV_FACT_MODEL_WEIGHTS,
                                      GOV_FACT_MODEL_KV_PER_TOKEN,
                                      GOV_FACT_MODEL_COMPUTE,
                                      GOV_FACT_MODEL_CONTEXT,
                                      GOV_FACT_MODEL_KV,
                                      GOV_FACT_MODEL_MAPPED_FOOTPRINT,
                                      GOV_FACT_MODEL_HEAP_FOOTPRINT};

    gov__refuter_start(&d->refuter);
    for (size_t i = 0; rule->strategy != GOV_STRATEGY_REFUSE &&
                       i < sizeof(needed) / sizeof(needed[0]);
         i++)
        gov__refuter_know(&d->refuter, needed[i], true);
}

/* Whether the claims exclude each other. */
static bool exclude(struct doubter *d, struct gov__claim claim,
                    const struct gov__claim *other)
{
    bool refuted;

    claim.rest = other;
    d->refuter.steps = STEPS_PAIR;
    refuted = gov__refute(&d->refuter, &claim, NULL);
    d->steps -= STEPS_PAIR - d->refuter.steps;
    return refuted;
}

/* Whether `before` matches whenever the rule does. */
static bool implied(struct doubter *d, size_t before, size_t index)
{
    const struct gov__rule *a = &d->policy->list[before];
    const struct gov__rule *b = &d->policy->list[index];
    const struct brief *mine = &d->brief[index], *its = &d->brief[before];
    struct gov__claim claim = matching(b), other = not_matching(a);

    if (its->always)
        return true;
    /* Conditions over other facts say nothing about each other. */
    if (claim.expr == NULL || d->steps <= 0 ||
        ((mine->facts[0] & its->facts[0]) | (mine->facts[1] & its->facts[1])) ==
            0 ||
        !exclude(d, claim, &other))
        return false;
    if (a->strategy != GOV_STRATEGY_REFUSE ||
        b->strategy != GOV_STRATEGY_REFUSE)
        return true;
    /* gov_policy_judge_device() asks what is true, and takes it as open whether
     * facts that are not the machine's will be known. */
    claim.demand = GOV__IS_TRUE;
    other.demand = GOV__NOT_TRUE;
    return !its->asks_known && exclude(d, claim, &other);
}

/* ---- a rule alone ---- */

static bool never_matches(struct doubter *d, const struct gov__rule *rule,
                          char *out, size_t bytes)
{
    struct gov__claim claim = matching(rule);
    gov_fact fact;

    if (claim.expr == NULL)
        return false;
    d->refuter.steps = STEPS_ALONE;
    if (!gov__refute(&d->refuter, &claim, &fact))
        return false;
    if (fact == GOV_FACT_COUNT)
        gov__put(out, bytes, 0, "its condition is never true");
    else
        gov__put(out, bytes, 0, "what it demands of %s cannot all be true",
                 gov_fact_info(fact)->name);
    return true;
}

/* Whether the rule, which may match on such a system as far as its other facts go,
 * never does, or refuses always, as some fact is never told there. */
static bool never_told(struct doubter *d, size_t index, const char *os,
                       char *out, size_t bytes)
{
    const struct gov__rule *rule = &d->policy->list[index];
    struct gov__claim is = matching(rule), is_not = not_matching(rule);
    gov_fact silent = GOV_FACT_COUNT;
    bool matches, passes;

    for (int i = GOV_FACT_COUNT; i-- > 0;)
        if (has_fact(&d->brief[index], (gov_fact)i) &&
            !gov_fact_told_by((gov_fact)i, os))
            silent = (gov_fact)i;
    if (silent == GOV_FACT_COUNT)
        return false;
    gov__refuter_be_text(&d->refuter, GOV_FACT_DEVICE_OS, os);
    d->refuter.steps = STEPS_ALONE;
    matches = !gov__refute(&d->refuter, &is, NULL);
    passes = !gov__refute(&d->refuter, &is_not, NULL);
    for (int i = 0; i < GOV_FACT_COUNT; i++)
        if (!gov_fact_told_by((gov_fact)i, os))
            gov__refuter_know(&d->refuter, (gov_fact)i, false);
    if (matches && gov__refute(&d->refuter, &is, NULL))
        gov__put(out, bytes, 0, "%s never tells %s, so it never matches there",
                 os, gov_fact_info(silent)->name);
    else if (passes && rule->unknown_matches &&
             gov__refute(&d->refuter, &is_not, NULL))
        gov__put(out, bytes, 0, "%s never tells %s, so it always refuses there",
                 os, gov_fact_info(silent)->name);
    else
        return false;
    return true;
}

/* ---- rules that come after others ---- */

/* What decides how much is needed. */
static const enum gov__setting sizes[] = {GOV__SET_KV_TYPE, GOV__SET_CONTEXT,
                                          GOV__SET_AHEAD, GOV__SET_GPU_LAYERS,
                                          GOV__SET_SEQUENCES};

/* Whether both rules would plan the same sizes. A rule between them that settles
 * something counts beside the later one only. */
static bool same_sizes(const struct doubter *d, size_t before, size_t index)
{
    const struct gov__rule *a = &d->policy->list[before];
    const struct gov__rule *b = &d->policy->list[index];

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        enum gov__setting s = sizes[i];

        if (!a->set[s] && !b->set[s])
            continue;
        if (!a->set[s] || !b->set[s] || a->value[s] != b->value[s] ||
            d->last[s] > before + 1)
            return false;
    }
    return true;
}

/* Whether the app may ask for that strategy where the rule matches. It is then
 * told by this rule that it cannot have it. */
static bool may_be_wished(struct doubter *d, const struct gov__rule *rule)
{
    struct gov__claim claim = matching(rule);
    bool may = true;

    start(d, rule);
    if (claim.expr != NULL && d->steps > 0 &&
        gov__refuter_be_text(&d->refuter, GOV_FACT_REQUEST_STRATEGY,
                             gov_strategy_name(rule->strategy)))
        may = !exclude(d, claim, NULL);
    start(d, rule);
    return may;
}

/* Whether the first rule matches with the second and leaves it nothing. One
 * that loads does so when it fits, so there must be nothing that fits the second
 * alone. A mapping that does not fit is streamed, unless a mapping was wished. */
static bool leaves_nothing(struct doubter *d, size_t before, size_t index)
{
    const struct gov__rule *a = &d->policy->list[before];
    const struct gov__rule *b = &d->policy->list[index];

    if (a->strategy == GOV_STRATEGY_REFUSE)
        return implied(d, before, index);
    if (b->strategy != a->strategy && (a->strategy != GOV_STRATEGY_MMAP ||
                                       b->strategy != GOV_STRATEGY_HYBRID))
        return false;
    return same_sizes(d, before, index) && implied(d, before, index) &&
           (b->strategy == a->strategy || !may_be_wished(d, b));
}

static void say_before(const struct doubter *d, size_t before, char *out,
                       size_t bytes)
{
    gov__put(
        out, bytes, 0,
        d->brief[before].always
            ? "%s before it always matches and leaves it nothing"
            : "%s before it matches whenever it does and leaves it nothing",
        d->policy->list[before].name);
}

static bool strategy_comes_late(struct doubter *d, size_t index, char *out,
                                size_t bytes)
{
    for (size_t i = 0; i < index; i++) {
        if (d->policy->list[i].strategy == GOV_STRATEGY_UNSET ||
            d->brief[i].never || !leaves_nothing(d, i, index))
            continue;
        say_before(d, i, out, bytes);
        return true;
    }
    return false;
}

static bool in_blocks(const struct gov__rule *rule)
{
    uint32_t bytes;

    return rule->set[GOV__SET_KV_TYPE] &&
           gov_kv_type_block((gov_kv_type)rule->value[GOV__SET_KV_TYPE],
                             &bytes) > 1;
}

/* Whether what the first rule settles is settled before the second is looked at,
 * whenever that one matches. It is not where heads may pass it over alone, nor
 * where the two see other sizes. */
static bool settles_before(struct doubter *d, size_t before, size_t index)
{
    const struct gov__rule *rules = d->policy->list;
    const struct brief *b = &d->brief[before], *x = &d->brief[index];

    return rules[before].strategy == GOV_STRATEGY_UNSET && !b->never &&
           b->stage <= x->stage && (b->stage == x->stage || !b->derived) &&
           (!in_blocks(&rules[before]) || in_blocks(&rules[index])) &&
           implied(d, before, index);
}

/* Settings of a rule that some before it always settle: a bit each. *count is how
 * many it takes, *last the last of them. */
static uint32_t settled_before(struct doubter *d, size_t index, size_t *count,
                               size_t *last)
{
    uint32_t settings = d->brief[index].settings, settled = 0;

    *count = 0;
    for (size_t i = 0; i < index && settled != settings; i++) {
        uint32_t more = d->brief[i].settings & settings & ~settled;

        if (more == 0 || !settles_before(d, i, index))
            continue;
        settled |= more;
        *last = i;
        ++*count;
    }
    return settled;
}

/* ---- settings without an effect ---- */

/* What says nothing beside a strategy. A mapping may turn out to be streamed. */
static uint32_t idle_settings(gov_strategy strategy)
{
    if (strategy == GOV_STRATEGY_HEAP)
        return 1U << GOV__SET_HOT | 1U << GOV__SET_AHEAD | 1U << GOV__SET_HOLD |
               1U << GOV__SET_ANCHOR | 1U << GOV__SET_DIRECT |
               1U << GOV__SET_WARM | 1U << GOV__SET_WARM_RATE |
               1U << GOV__SET_ADVISE_LOAD | 1U << GOV__SET_ADVISE_PASS;
    if (strategy == GOV_STRATEGY_MMAP || strategy == GOV_STRATEGY_HYBRID)
        return 1U << GOV__SET_REPACK;
    return 0;
}

static void doubt_settings(struct doubter *d, size_t index, uint32_t settled)
{
    const struct gov__rule *rule = &d->policy->list[index];
    uint32_t idle = idle_settings(rule->strategy);
    char sentence[192];

    for (int i = 0; i < GOV__SETTINGS; i++) {
        if (!rule->set[i] || ((idle | settled) >> i & 1) == 0)
            continue;
        if ((idle >> i & 1) != 0)
            gov__put(sentence, sizeof(sentence), 0,
                     "%s has no effect beside strategy %s",
                     gov__setting_name((enum gov__setting)i),
                     gov_strategy_name(rule->strategy));
        else
            gov__put(sentence, sizeof(sentence), 0,
                     "%s has no effect: rules before it settle it whenever "
                     "this one matches",
                     gov__setting_name((enum gov__setting)i));
        tell(d, &rule->at, rule->name, sentence);
    }
}

/* ---- the whole ---- */

static void doubt_rule(struct doubter *d, size_t index, const char *os)
{
    const struct gov__rule *rule = &d->policy->list[index];
    bool chooses = rule->strategy != GOV_STRATEGY_UNSET;
    uint32_t settled = 0;
    char sentence[192];
    size_t count, last = 0;

    start(d, rule);
    if (never_matches(d, rule, sentence, sizeof(sentence))) {
        d->brief[index].never = true;
        tell(d, &rule->at, rule->name, sentence);
        return;
    }
    if (chooses && strategy_comes_late(d, index, sentence, sizeof(sentence))) {
        tell(d, &rule->at, rule->name, sentence);
        return;
    }
    settled = settled_before(d, index, &count, &last);
    if (!chooses && settled == d->brief[index].settings) {
        if (count == 1)
            say_before(d, last, sentence, sizeof(sentence));
        else
            gov__put(sentence, sizeof(sentence), 0,
                     "rules before it, %s the last, settle all that it sets "
                     "whenever it matches",
                     d->policy->list[last].name);
        tell(d, &rule->at, rule->name, sentence);
        return;
    }
    /* Which KV type a rule sets also says for which heads it is passed over. */
    doubt_settings(d, index, settled & ~(1U << GOV__SET_KV_TYPE));
    start(d, rule);
    if (os != NULL && never_told(d, index, os, sentence, sizeof(sentence)))
        tell(d, &rule->at, rule->name, sentence);
}

static void doubt_step(struct doubter *d, uint32_t index)
{
    const struct gov__ladder_entry *steps = d->policy->steps;
    const struct gov__ladder_entry *entry = &steps[index];
    const struct gov_ladder_step *step = &entry->step;
    char sentence[192], name[GOV_ACTION_NAME + 8];

    gov__put(name, sizeof(name), 0, "ladder %s", step->action);
    for (uint32_t i = 0; i < index; i++) {
        const char *before = steps[i].step.action;

        if (steps[i].off ||
            !gov__pattern_within(step->action, strlen(step->action), before,
                                 strlen(before)))
            continue;
        gov__put(sentence, sizeof(sentence), 0,
                 "%s before it takes every such action", before);
        tell(d, &entry->at, name, sentence);
        return;
    }
    /* A floor is told to the action all the same. */
    if (step->from_level >= GOV_LEVEL_NEVER &&
        (step->rest_ms > 0 || step->rest_little_ms > 0))
        tell(d, &entry->at, name,
             "it never runs, so it has nothing to rest from");
}

size_t gov_policy_doubts(const gov_policy *policy, const char *os,
                         gov_flaw_fn fn, void *ctx)
{
    struct doubter d;
    size_t count =
        policy->count < GOV__RULES_MAX ? policy->count : GOV__RULES_MAX;

    d.policy = policy;
    d.fn = fn;
    d.ctx = ctx;
    d.count = 0;
    d.steps = STEPS_PAIRS;
    memset(d.last, 0, sizeof(d.last));
    for (size_t i = 0; i < count; i++)
        summarize(&policy->list[i], &d.brief[i]);
    for (size_t i = 0; i < count; i++) {
        const struct gov__rule *rule = &policy->list[i];

        if (rule->off)
            continue;
        doubt_rule(&d, i, os);
        for (int k = 0; k < GOV__SETTINGS; k++)
            if (rule->strategy == GOV_STRATEGY_UNSET && rule->set[k])
                d.last[k] = i + 1;
    }
    for (uint32_t i = 0; i < policy->step_count; i++)
        if (!policy->steps[i].off)
            doubt_step(&d, i);
    return d.count;
}
