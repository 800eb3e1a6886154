/* SPDX-License-Identifier: MIT */
/* Lays policies over one another: which texts take part, in which order, and what
 * becomes of each entry. Reads no text itself. */
#include "policies/rules/policy_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"
#include "policies/shipped.h"

/* ---- what is shipped ---- */

#define SHIPPED 4

static const char *const shipped[SHIPPED] = {"balanced", "responsive", "frugal",
                                             "server"};

const char *const *gov_policy_shipped_names(size_t *count)
{
    *count = SHIPPED;
    return shipped;
}

const char *gov_policy_shipped(const char *name, size_t *bytes)
{
    const char *const texts[SHIPPED] = {
        gov__shipped_balanced, gov__shipped_responsive, gov__shipped_frugal,
        gov__shipped_server};

    for (size_t i = 0; name != NULL && i < SHIPPED; i++) {
        if (strcmp(name, shipped[i]) != 0)
            continue;
        if (bytes != NULL)
            *bytes = strlen(texts[i]);
        return texts[i];
    }
    return NULL;
}

/* The shipped policy of that name, as a name that stays; or NULL. */
static const char *shipped_name(const char *name)
{
    for (size_t i = 0; i < SHIPPED; i++)
        if (strcmp(name, shipped[i]) == 0)
            return shipped[i];
    return NULL;
}

/* ---- one over another ---- */

static gov_status fail_room(const gov_policy *over, struct gov__origin at,
                            const char *rule, const char *sentence,
                            struct gov__flaws *flaws, gov_error *err)
{
    struct gov__flaw_list list = {.alloc = &over->alloc};
    struct gov__flaw flaw = {.file = over->files[at.file],
                             .place = {at.line, at.column}};

    gov__put(flaw.rule, sizeof(flaw.rule), 0, "%s", rule);
    if (!gov__flaw_add(&list, &flaw, sentence))
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory to lay %s over others",
                        flaw.file);
    gov__flaws_tell(&list, flaws, err);
    return GOV_E_FORMAT;
}

/* Which rule of `under` has the name of each rule of `over`. */
static void match(const gov_policy *under, const gov_policy *over,
                  uint16_t place[GOV__RULES_MAX])
{
    struct gov__names names;

    memset(&names, 0, sizeof(names));
    for (size_t i = 0; i < under->count; i++)
        gov__names_add(&names, under->list, i);
    for (size_t i = 0; i < over->count; i++)
        place[i] =
            (uint16_t)gov__names_find(&names, under->list, over->list[i].name);
}

/* How many rules there will be, and whether there is room for them. */
static gov_status count_rules(const gov_policy *under, const gov_policy *over,
                              const uint16_t place[GOV__RULES_MAX],
                              size_t *total, struct gov__flaws *flaws,
                              gov_error *err)
{
    size_t below = under->count;
    char sentence[GOV__FLAW_SENTENCE];

    for (size_t i = 0; i < over->count; i++)
        if (over->list[i].off && place[i] != GOV__RULES_MAX)
            below--;
    *total = below;
    for (size_t i = 0; i < over->count; i++) {
        const struct gov__rule *rule = &over->list[i];

        if (rule->off || place[i] != GOV__RULES_MAX)
            continue;
        if (++*total <= GOV__RULES_MAX)
            continue;
        gov__put(sentence, sizeof(sentence), 0,
                 "more than %d rules, with the %zu that this file lies over",
                 GOV__RULES_MAX, below);
        return fail_room(over, rule->at, rule->name, sentence, flaws, err);
    }
    return GOV_OK;
}

static gov_status lay_rules(gov_policy *under, gov_policy *over,
                            struct gov__flaws *flaws, gov_error *err)
{
    uint16_t place[GOV__RULES_MAX];
    struct gov__rule *list;
    size_t total = 0, used = 0, lost = 0;
    gov_status status;

    match(under, over, place);
    status = count_rules(under, over, place, &total, flaws, err);
    if (status != GOV_OK)
        return status;
    list = under->alloc.alloc(under->alloc.ctx,
                              (total > 0 ? total : 1) * sizeof(*list));
    if (list == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory to lay %s over others",
                        over->files[0]);
    for (size_t i = 0; i < over->count; i++) {
        struct gov__rule *rule = &over->list[i];

        rule->at.file += under->file_count;
        if (place[i] != GOV__RULES_MAX) {
            gov__rule_free(under, &under->list[place[i]]);
            under->list[place[i]] = *rule;
        } else if (rule->off) {
            over->list[lost++] = *rule;
        } else {
            list[used++] = *rule;
        }
    }
    over->count = lost;
    for (size_t i = 0; i < under->count; i++)
        if (!under->list[i].off)
            list[used++] = under->list[i];
    under->alloc.release(under->alloc.ctx, under->list);
    under->list = list;
    under->count = used;
    under->room = total;
    return GOV_OK;
}

static uint32_t step_of(const gov_policy *policy, const char *action)
{
    uint32_t i = 0;

    while (i < policy->step_count &&
           strcmp(policy->steps[i].step.action, action) != 0)
        i++;
    return i;
}

static gov_status lay_ladder(gov_policy *under, gov_policy *over,
                             struct gov__flaws *flaws, gov_error *err)
{
    struct gov__ladder_entry all[2 * GOV_LADDER_STEPS];
    uint32_t used = 0, lost = 0, kept = 0;
    char sentence[GOV__FLAW_SENTENCE], about[64];

    for (uint32_t i = 0; i < over->step_count; i++) {
        struct gov__ladder_entry entry = over->steps[i];
        uint32_t below = step_of(under, entry.step.action);

        entry.at.file += under->file_count;
        if (below < under->step_count)
            under->steps[below] = entry;
        else if (entry.off)
            over->steps[lost++] = entry;
        else
            all[used++] = entry;
    }
    for (uint32_t i = 0; i < under->step_count; i++)
        if (!under->steps[i].off)
            under->steps[kept++] = under->steps[i];
    under->step_count = kept;
    over->step_count = lost;
    if (used + kept > GOV_LADDER_STEPS) {
        struct gov__ladder_entry *entry = &all[GOV_LADDER_STEPS - kept];

        gov__put(sentence, sizeof(sentence), 0,
                 "more than %d steps, with the %u that this file lies over",
                 GOV_LADDER_STEPS, kept);
        gov__put(about, sizeof(about), 0, "ladder %s", entry->step.action);
        entry->at.file -= under->file_count;
        return fail_room(over, entry->at, about, sentence, flaws, err);
    }
    memcpy(&all[used], under->steps, kept * sizeof(all[0]));
    under->step_count = used + kept;
    memcpy(under->steps, all, under->step_count * sizeof(all[0]));
    return GOV_OK;
}

/* Lays `over` over `under`, taking its contents; both stay to be
 * freed. Entries with `off` that take nothing away stay in `over`.
 *
 * GOV_E_FORMAT  there is no room for all; told to flaws
 * GOV_E_NOMEM */
static gov_status lay(gov_policy *under, gov_policy *over,
                      struct gov__flaws *flaws, gov_error *err)
{
    gov_status status = lay_rules(under, over, flaws, err);

    if (status == GOV_OK)
        status = lay_ladder(under, over, flaws, err);
    if (status != GOV_OK)
        return status;
    gov__figures_lay(under->figures, over->figures, under->file_count);
    if (over->base[0] != '\0') {
        memcpy(under->base, over->base, sizeof(under->base));
        under->base_at = over->base_at;
        under->base_at.file += under->file_count;
    }
    for (uint32_t i = 0; i < over->file_count; i++) {
        under->files[under->file_count++] = over->files[i];
        over->files[i] = NULL;
    }
    over->file_count = 0;
    return GOV_OK;
}

/* ---- all of them ---- */

struct building {
    const struct gov_alloc *alloc;
    struct gov__flaws flaws;
    gov_error *err;
    gov_policy *given[GOV_POLICY_LAYERS];
    gov_policy *below[SHIPPED]; /* the one at the bottom last */
    size_t given_count, below_count;
    size_t first;      /* of those given that take part */
    gov_policy *whole; /* empty at first: that nothing is below is no case */
};

/* Reads all, to tell all mistakes. */
static gov_status read_given(struct building *b,
                             const struct gov_policy_layer *layers,
                             size_t count)
{
    gov_status whole = GOV_OK;

    for (size_t i = 0; i < count; i++) {
        gov_status status = gov__policy_read(&b->given[i], &layers[i],
                                             &b->flaws, b->alloc, b->err);

        if (status == GOV_E_NOMEM)
            return status;
        if (status != GOV_OK)
            whole = status;
    }
    b->given_count = count;
    return whole;
}

/* What the given layers lie over; NULL: nothing. */
static const char *find_base(struct building *b)
{
    const char *base = shipped[0];

    for (size_t i = 0; i < b->given_count; i++) {
        const char *said = b->given[i]->base;

        if (said[0] == '\0')
            continue;
        base = shipped_name(said);
        if (base == NULL)
            b->first = i;
    }
    return base;
}

/* A shipped policy, the one it is based on, and so on. */
static gov_status read_shipped(struct building *b, const char *name)
{
    while (name != NULL && b->below_count < SHIPPED) {
        struct gov_policy_layer layer = {name, NULL, 0};
        gov_policy **policy = &b->below[b->below_count];
        gov_status status;

        layer.text = gov_policy_shipped(name, &layer.bytes);
        status = gov__policy_read(policy, &layer, &b->flaws, b->alloc, b->err);
        if (status != GOV_OK)
            return status;
        b->below_count++;
        name = shipped_name((*policy)->base);
    }
    return GOV_OK;
}

static gov_status lay_all(struct building *b)
{
    size_t count = b->below_count + b->given_count - b->first;
    gov_status status = GOV_OK;

    if (count > GOV_POLICY_LAYERS)
        return gov_fail(b->err, GOV_E_INVALID, 0,
                        "%zu policies over %zu shipped ones are more than %d; "
                        "leave one out",
                        b->given_count - b->first, b->below_count,
                        GOV_POLICY_LAYERS);
    for (size_t i = b->below_count; i-- > 0 && status == GOV_OK;)
        status = lay(b->whole, b->below[i], &b->flaws, b->err);
    for (size_t i = b->first; i < b->given_count && status == GOV_OK; i++)
        status = lay(b->whole, b->given[i], &b->flaws, b->err);
    if (status == GOV_OK)
        status = gov__figures_check(b->whole, &b->flaws, b->err);
    return status;
}

/* ---- warnings ---- */

struct warnings {
    const gov_policy *policy;
    uint32_t first; /* file that was given */
    struct gov__flaw_list list;
    bool no_memory;
};

static void warn(struct warnings *w, struct gov__origin at, const char *rule,
                 const char *sentence)
{
    struct gov__flaw flaw = {.file = w->policy->files[at.file],
                             .order = at.file,
                             .place = {at.line, at.column},
                             .warning = true};

    gov__put(flaw.rule, sizeof(flaw.rule), 0, "%s", rule);
    if (!gov__flaw_add(&w->list, &flaw, sentence))
        w->no_memory = true;
}

static void on_doubt(void *ctx, const struct gov_flaw *flaw)
{
    struct warnings *w = ctx;

    for (uint32_t i = w->first; i < w->policy->file_count; i++)
        if (flaw->file == w->policy->files[i])
            warn(w,
                 (struct gov__origin){i, (uint32_t)flaw->line,
                                      (uint32_t)flaw->column},
                 flaw->rule != NULL ? flaw->rule : "", flaw->sentence);
}

static void warn_lost(struct warnings *w, struct gov__origin at,
                      const char *rule, const char *noun, const char *near)
{
    char sentence[GOV__FLAW_SENTENCE];

    gov__put(sentence, sizeof(sentence), 0,
             "off takes nothing away: no %s below has this name%s%s%s", noun,
             near != NULL ? "; did you mean " : "", near != NULL ? near : "",
             near != NULL ? "?" : "");
    warn(w, at, rule, sentence);
}

static const char *near_rule(const gov_policy *policy, const char *name)
{
    const char *names[GOV__RULES_MAX];

    for (size_t i = 0; i < policy->count; i++)
        names[i] = policy->list[i].name;
    return gov__nearest(name, strlen(name), names, policy->count);
}

static void warn_all_lost(struct warnings *w, const gov_policy *over)
{
    for (size_t i = 0; i < over->count && !w->list.full; i++) {
        const struct gov__rule *rule = &over->list[i];

        warn_lost(w, rule->at, rule->name, "rule",
                  near_rule(w->policy, rule->name));
    }
    for (uint32_t i = 0; i < over->step_count && !w->list.full; i++) {
        const struct gov__ladder_entry *entry = &over->steps[i];
        char about[64];

        gov__put(about, sizeof(about), 0, "ladder %s", entry->step.action);
        warn_lost(w, entry->at, about, "step", NULL);
    }
}

/* What stays in a layer that was laid over others is what took nothing away. */
static gov_status warn_all(struct building *b)
{
    struct warnings w = {.policy = b->whole,
                         .first = (uint32_t)b->below_count,
                         .list = {.alloc = b->alloc}};

    if (b->flaws.fn == NULL)
        return GOV_OK;
    for (size_t i = b->first; i < b->given_count; i++)
        warn_all_lost(&w, b->given[i]);
    gov_policy_doubts(w.policy, NULL, on_doubt, &w);
    if (w.no_memory) {
        b->alloc->release(b->alloc->ctx, w.list.kept);
        return gov_fail(b->err, GOV_E_NOMEM, 0,
                        "no memory to say what a policy does not say");
    }
    gov__flaws_tell(&w.list, &b->flaws, b->err);
    return GOV_OK;
}

/* NOLINTNEXTLINE(readability-function-size): one flaw's fn and ctx too many */
gov_status gov_policy_build(gov_policy **out,
                            const struct gov_policy_layer *layers, size_t count,
                            gov_flaw_fn flaw, void *ctx,
                            const struct gov_alloc *alloc, gov_error *err)
{
    struct building b = {.alloc = alloc != NULL ? alloc : gov_alloc_default(),
                         .flaws = {flaw, ctx, 0},
                         .err = err};
    const char *base = NULL;
    gov_status status;

    *out = NULL;
    if (count > GOV_POLICY_LAYERS || (layers == NULL && count > 0))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "a policy is made of %d texts at most, and not of "
                        "NULL; leave some out",
                        GOV_POLICY_LAYERS);
    b.whole = gov__policy_new(b.alloc);
    if (b.whole == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a policy");
    status = read_given(&b, layers, count);
    if (status == GOV_OK) {
        base = find_base(&b);
        status = read_shipped(&b, base);
    }
    if (status == GOV_OK)
        status = lay_all(&b);
    if (status == GOV_OK)
        status = warn_all(&b);
    for (size_t i = 0; i < GOV_POLICY_LAYERS; i++)
        gov_policy_free(b.given[i]);
    for (size_t i = 0; i < SHIPPED; i++)
        gov_policy_free(b.below[i]);
    if (status != GOV_OK) {
        gov_policy_free(b.whole);
        return status;
    }
    gov__put(b.whole->base, sizeof(b.whole->base), 0, "%s",
             base != NULL ? base : "none");
    *out = b.whole;
    return GOV_OK;
}

const char *gov_policy_rule_origin(const gov_policy *policy, const char *name,
                                   size_t *line)
{
    for (size_t i = 0; i < policy->count; i++) {
        const struct gov__origin *at = &policy->list[i].at;

        if (strcmp(policy->list[i].name, name) != 0)
            continue;
        *line = at->line;
        return policy->files[at->file];
    }
    return NULL;
}
