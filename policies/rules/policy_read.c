/* SPDX-License-Identifier: MIT */
/* Reads policy files: which keys stand where and how it is kept. policy_values.c
 * knows values, policy_then.c what a rule sets, yaml_text.c YAML. Decides
 * nothing. */
#include "policies/rules/policy_read_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define HOUR_MS 3600000
#define KEY_BIT(n) (UINT32_C(1) << (n))

static uint32_t key_line(const struct gov__reader *r)
{
    return (uint32_t)r->y.key.line;
}

static struct gov__origin origin(const struct gov__reader *r)
{
    struct gov__place place = gov__yaml_place(&r->y);

    return (struct gov__origin){0, (uint32_t)place.line,
                                (uint32_t)place.column};
}

/* ---- a rule ---- */

struct draft {
    struct gov__rule *rule;
    struct gov__place unknown; /* where `unknown` is given, else line 0 */
    struct gov__place off;
    bool no_match;
};

static bool read_name(struct gov__reader *r, const struct gov__key *key,
                      void *into)
{
    struct draft *draft = into;
    struct gov__rule *rule = draft->rule;
    const gov_policy *policy = r->policy;
    size_t bytes;

    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    bytes = gov__yaml_word_bytes(&r->y);
    if (bytes == 0 || bytes >= sizeof(rule->name))
        return gov__yaml_fail(&r->y, "a name has 1 to %zu characters",
                              sizeof(rule->name) - 1);
    for (size_t i = 0; i < bytes; i++) {
        char c = gov__yaml_word(&r->y)[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return gov__yaml_fail_inside(
                &r->y, i,
                "a name has lower-case letters, digits and "
                "hyphens only");
    }
    memcpy(rule->name, gov__yaml_word(&r->y), bytes);
    rule->at = origin(r);
    if (gov__names_find(&r->names, policy->list, rule->name) < GOV__RULES_MAX)
        return gov__yaml_fail(&r->y, "a second rule is named %s", rule->name);
    gov__names_add(&r->names, policy->list, policy->count);
    return true;
}

static bool read_then(struct gov__reader *r, const struct gov__key *key,
                      void *into)
{
    return gov__read_then(r, key, ((struct draft *)into)->rule);
}

static bool read_when(struct gov__reader *r, const struct gov__key *key,
                      void *into)
{
    struct gov__rule *rule = ((struct draft *)into)->rule;
    struct gov__expr_error error;
    gov_status status;

    rule->when_line = key_line(r);
    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    status =
        gov__expr_parse(&rule->when, gov__yaml_word(&r->y),
                        gov__yaml_word_bytes(&r->y), &r->policy->alloc, &error);
    if (status == GOV_E_NOMEM)
        return gov__yaml_nomem(&r->y);
    return status == GOV_OK ||
           gov__yaml_fail_inside(&r->y, error.offset, error.sentence);
}

static bool read_because(struct gov__reader *r, const struct gov__key *key,
                         void *into)
{
    struct gov__rule *rule = ((struct draft *)into)->rule;

    rule->because_line = key_line(r);
    return gov__read_sentence(r, key->name, "say why the rule is there",
                              &rule->because);
}

static bool read_unknown(struct gov__reader *r, const struct gov__key *key,
                         void *into)
{
    static const char *const names[] = {"match", "no-match"};
    struct draft *draft = into;
    size_t index = 0;

    draft->rule->unknown_line = key_line(r);
    draft->unknown = gov__yaml_place(&r->y);
    if (!gov__read_choice(r, key->name, names, COUNT_OF(names), &index))
        return false;
    draft->no_match = index == 1;
    return true;
}

static bool read_rule_off(struct gov__reader *r, const struct gov__key *key,
                          void *into)
{
    struct draft *draft = into;

    (void)key;
    draft->off = r->y.key;
    return gov__read_off(r, &draft->rule->off);
}

/* In the order of `rule_keys`. */
enum { RULE_NAME, RULE_THEN, RULE_BECAUSE, RULE_WHEN, RULE_UNKNOWN, RULE_OFF };

static const struct gov__key rule_keys[] = {
    {.name = "name", .read = read_name},
    {.name = "then", .read = read_then},
    {.name = "because", .read = read_because},
    {.name = "when", .read = read_when},
    {.name = "unknown", .read = read_unknown},
    {.name = "off", .read = read_rule_off},
};
static const struct gov__shape rule_shape = {"a rule", rule_keys,
                                             COUNT_OF(rule_keys), 0};

/* Finishes a rule that had no mistake so far. */
static bool finish_rule(struct gov__reader *r, const struct draft *draft,
                        uint32_t seen)
{
    struct gov__rule *rule = draft->rule;

    if (rule->off && seen != (KEY_BIT(RULE_NAME) | KEY_BIT(RULE_OFF)))
        return gov__yaml_fail_at(
            &r->y, draft->off,
            "a rule that is off has a name and nothing else");
    if (draft->unknown.line > 0 && rule->strategy != GOV_STRATEGY_REFUSE)
        return gov__yaml_fail_at(
            &r->y, draft->unknown,
            "unknown is for rules that refuse; others never match "
            "what is not known");
    rule->unknown_matches =
        rule->strategy == GOV_STRATEGY_REFUSE && !draft->no_match;
    return true;
}

/* Makes room for `count` rules. False without memory. */
static bool grow(gov_policy *policy, size_t count)
{
    const struct gov_alloc *alloc = &policy->alloc;
    size_t room = policy->room * 2 > 16 ? policy->room * 2 : 16;
    struct gov__rule *list;

    if (count <= policy->room)
        return true;
    room = room > count ? room : count;
    list = alloc->alloc(alloc->ctx, room * sizeof(*list));
    if (list == NULL)
        return false;
    if (policy->count > 0)
        memcpy(list, policy->list, policy->count * sizeof(*list));
    alloc->release(alloc->ctx, policy->list);
    policy->list = list;
    policy->room = room;
    return true;
}

/* A rule with a mistake stays in the list, so that its name is taken and it is
 * freed with all others. */
static bool read_rule(struct gov__yaml *y, void *ctx)
{
    struct gov__reader *r = ctx;
    gov_policy *policy = r->policy;
    struct gov__place place = gov__yaml_place(y);
    struct draft draft = {0};
    bool mapping = y->event.type == YAML_MAPPING_START_EVENT && !y->refused;
    uint32_t seen;
    bool good;

    if (!grow(policy, policy->count + 1))
        return gov__yaml_nomem(y);
    draft.rule = &policy->list[policy->count];
    memset(draft.rule, 0, sizeof(*draft.rule));
    good = gov__read_mapping(r, &rule_shape, &draft, &seen);
    if (mapping)
        good = gov__read_required(r, &rule_shape,
                                  (seen & KEY_BIT(RULE_OFF)) != 0
                                      ? RULE_NAME + 1
                                      : RULE_BECAUSE + 1,
                                  seen, place) &&
               good;
    good = good && finish_rule(r, &draft, seen);
    if (!good)
        gov__yaml_about(y, place, draft.rule->name);
    policy->count++;
    return good;
}

static bool read_rules(struct gov__reader *r, const struct gov__key *key,
                       void *into)
{
    static const struct gov__yaml_items items = {"rules", "name", "rules",
                                                 GOV__RULES_MAX};

    (void)key, (void)into;
    return gov__yaml_list(&r->y, &items, read_rule, r);
}

/* ---- a step of the ladder ---- */

static bool read_action(struct gov__reader *r, const struct gov__key *key,
                        void *into)
{
    struct gov__ladder_entry *entry = into;
    const char *word;
    size_t bytes;

    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    word = gov__yaml_word(&r->y);
    bytes = gov__yaml_word_bytes(&r->y);
    if (bytes == 0 || bytes >= GOV_ACTION_NAME)
        return gov__yaml_fail(&r->y, "an action has 1 to %d characters",
                              GOV_ACTION_NAME - 1);
    for (size_t i = 0; i < bytes; i++)
        if (!(word[i] >= 'a' && word[i] <= 'z') &&
            !(word[i] >= 'A' && word[i] <= 'Z') &&
            !(word[i] >= '0' && word[i] <= '9') &&
            (word[i] == '\0' || strchr(".-_*?", word[i]) == NULL))
            return gov__yaml_fail_inside(
                &r->y, i,
                "an action has letters, digits and . - _ only, and as a "
                "pattern * and ?");
    memcpy(entry->step.action, word, bytes);
    entry->at = origin(r);
    for (const struct gov__ladder_entry *e = r->policy->steps; e < entry; e++)
        if (strcmp(e->step.action, entry->step.action) == 0)
            return gov__yaml_fail(&r->y, "a second step is for %s",
                                  entry->step.action);
    return true;
}

static bool read_from(struct gov__reader *r, const struct gov__key *key,
                      void *into)
{
    static const char *const names[] = {"warn", "critical", "never"};
    static const gov_level levels[] = {GOV_LEVEL_WARN, GOV_LEVEL_CRITICAL,
                                       GOV_LEVEL_NEVER};
    struct gov__ladder_entry *entry = into;
    size_t index = 0;

    entry->from_line = key_line(r);
    if (!gov__read_choice(r, key->name, names, COUNT_OF(names), &index))
        return false;
    entry->step.from_level = levels[index];
    return true;
}

static bool read_floor(struct gov__reader *r, const struct gov__key *key,
                       void *into)
{
    struct gov__ladder_entry *entry = into;
    int64_t value = 0;

    entry->floor_line = key_line(r);
    if (!gov__read_number(r, key, &value))
        return false;
    entry->step.floor_bytes = (uint64_t)value;
    return true;
}

/* A number of 32 bits and the line that it has. */
static bool read_small(struct gov__reader *r, const struct gov__key *key,
                       uint32_t *out, uint32_t *line)
{
    int64_t value = 0;

    *line = key_line(r);
    if (!gov__read_number(r, key, &value))
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool read_floor_tokens(struct gov__reader *r, const struct gov__key *key,
                              void *into)
{
    struct gov__ladder_entry *entry = into;

    return read_small(r, key, &entry->step.floor_tokens,
                      &entry->floor_tokens_line);
}

static bool read_rest(struct gov__reader *r, const struct gov__key *key,
                      void *into)
{
    struct gov__ladder_entry *entry = into;

    return read_small(r, key, &entry->step.rest_ms, &entry->rest_line);
}

static bool read_rest_little(struct gov__reader *r, const struct gov__key *key,
                             void *into)
{
    struct gov__ladder_entry *entry = into;

    return read_small(r, key, &entry->step.rest_little_ms,
                      &entry->rest_little_line);
}

static bool read_step_off(struct gov__reader *r, const struct gov__key *key,
                          void *into)
{
    (void)key;
    return gov__read_off(r, &((struct gov__ladder_entry *)into)->off);
}

/* No rest at all would be 0, which stands for what the ladder says. */
static const struct gov__key step_keys[] = {
    {.name = "action", .read = read_action},
    {"off", read_step_off, 0, GOV_TYPE_FLAG, 0, 0, 1},
    {"from", read_from, 0, GOV_TYPE_TEXT, 0, 0, 1},
    {"floor", read_floor, 0, GOV_TYPE_BYTES, 0, INT64_MAX, 1},
    {"floor_tokens", read_floor_tokens, 0, GOV_TYPE_COUNT, 0, INT32_MAX, 1},
    {"rest", read_rest, 0, GOV_TYPE_DURATION, 1, HOUR_MS, 1000},
    {"rest_little", read_rest_little, 0, GOV_TYPE_DURATION, 1, HOUR_MS, 1000},
};

static bool read_step(struct gov__yaml *y, void *ctx)
{
    static const struct gov__shape shape = {"a step", step_keys,
                                            COUNT_OF(step_keys), 1};
    struct gov__reader *r = ctx;
    gov_policy *policy = r->policy;
    struct gov__ladder_entry *entry = &policy->steps[policy->step_count];
    struct gov__place place = gov__yaml_place(y);
    char about[64];
    uint32_t seen;
    bool good;

    memset(entry, 0, sizeof(*entry));
    good = gov__read_mapping(r, &shape, entry, &seen);
    if (good && entry->off && seen != (KEY_BIT(0) | KEY_BIT(1)))
        good = gov__yaml_fail_at(
            y, place, "a step that is off has an action and nothing else");
    gov__put(about, sizeof(about), 0, "ladder %s", entry->step.action);
    if (!good && entry->step.action[0] != '\0')
        gov__yaml_about(y, place, about);
    policy->step_count++;
    return good;
}

static bool read_ladder(struct gov__reader *r, const struct gov__key *key,
                        void *into)
{
    static const struct gov__yaml_items items = {"ladder", "action", "steps",
                                                 GOV_LADDER_STEPS};

    (void)key, (void)into;
    return gov__yaml_list(&r->y, &items, read_step, r);
}

/* ---- figures ---- */

static bool read_figure(struct gov__reader *r, const struct gov__key *key,
                        void *into)
{
    struct gov__figure_value *value = &r->policy->figures[key->which];
    int64_t number = 0;

    (void)into;
    if (!gov__read_number(r, key, &number))
        return false;
    *value = (struct gov__figure_value){true, origin(r), (uint32_t)number};
    return true;
}

/* A section of figures: its keys are those of the table. */
static bool read_figures(struct gov__reader *r, const struct gov__key *key,
                         void *into)
{
    struct gov__key keys[GOV__FIGURES];
    struct gov__shape shape = {key->name, keys, 0, 0};

    for (size_t i = 0; i < GOV__FIGURES; i++) {
        const struct gov__figure *f = &gov__figures[i];

        if (strcmp(f->section, key->name) == 0)
            keys[shape.count++] = (struct gov__key){
                f->key, read_figure, i, f->type, f->least, f->most, 1000};
    }
    return gov__read_mapping(r, &shape, into, NULL);
}

/* ---- the file ---- */

static bool read_version(struct gov__reader *r, const struct gov__key *key,
                         void *into)
{
    (void)key, (void)into;
    return gov__yaml_version(&r->y);
}

static bool read_base(struct gov__reader *r, const struct gov__key *key,
                      void *into)
{
    const char *names[8];
    size_t count, index = 0;
    const char *const *shipped = gov_policy_shipped_names(&count);

    (void)into;
    for (size_t i = 0; i < count; i++)
        names[i] = shipped[i];
    names[count] = "none";
    if (!gov__read_choice(r, key->name, names, count + 1, &index))
        return false;
    r->policy->base_at = origin(r);
    gov__put(r->policy->base, sizeof(r->policy->base), 0, "%s", names[index]);
    return true;
}

static bool read_file(struct gov__yaml *y, void *ctx)
{
    static const struct gov__key keys[] = {
        {.name = "version", .read = read_version},
        {.name = "base", .read = read_base},
        {.name = "rules", .read = read_rules},
        {.name = "levels", .read = read_figures},
        {.name = "ladder", .read = read_ladder},
        {.name = "regrow", .read = read_figures},
    };
    static const struct gov__shape shape = {"a policy file", keys,
                                            COUNT_OF(keys), 1};

    (void)y;
    return gov__read_mapping(ctx, &shape, NULL, NULL);
}

gov_status gov__policy_read(gov_policy **out,
                            const struct gov_policy_layer *layer,
                            struct gov__flaws *flaws,
                            const struct gov_alloc *alloc, gov_error *err)
{
    struct gov__reader r;
    size_t length;

    *out = NULL;
    memset(&r, 0, sizeof(r));
    r.y.text = layer->text;
    r.y.bytes = layer->bytes;
    r.y.name = layer->name != NULL ? layer->name : "policy";
    r.y.kind = "policy file";
    r.y.content = "rules";
    r.y.err = err;
    r.y.flaws = flaws;
    r.y.alloc = alloc;
    r.policy = gov__policy_new(alloc);
    length = strlen(r.y.name) + 1;
    if (r.policy != NULL)
        r.policy->files[0] = alloc->alloc(alloc->ctx, length);
    if (r.policy == NULL || r.policy->files[0] == NULL) {
        gov__yaml_nomem(&r.y);
        goto fail;
    }
    memcpy(r.policy->files[0], r.y.name, length);
    r.policy->file_count = 1;
    if (gov__yaml_read(&r.y, read_file, &r) != GOV_OK)
        goto fail;
    *out = r.policy;
    return GOV_OK;
fail:
    gov_policy_free(r.policy);
    return r.y.status;
}

/* What is off takes nothing away where there is nothing below. */
static void drop_off(gov_policy *policy)
{
    size_t kept = 0;
    uint32_t steps = 0;

    for (size_t i = 0; i < policy->count; i++)
        if (!policy->list[i].off)
            policy->list[kept++] = policy->list[i];
    policy->count = kept;
    for (uint32_t i = 0; i < policy->step_count; i++)
        if (!policy->steps[i].off)
            policy->steps[steps++] = policy->steps[i];
    policy->step_count = steps;
}

gov_status gov_policy_parse(gov_policy **out, const char *text, size_t bytes,
                            const char *name, const struct gov_alloc *alloc,
                            gov_error *err)
{
    const struct gov_policy_layer layer = {name, text, bytes};
    struct gov__figure_value figures[GOV__FIGURES] = {{.set = false}};
    struct gov__flaws flaws = {NULL, NULL, 0};
    gov_policy *policy;
    gov_status status;

    *out = NULL;
    if (alloc == NULL)
        alloc = gov_alloc_default();
    status = gov__policy_read(&policy, &layer, &flaws, alloc, err);
    if (policy == NULL)
        return status;
    gov__figures_lay(figures, policy->figures, 0);
    memcpy(policy->figures, figures, sizeof(figures));
    status = gov__figures_check(policy, &flaws, err);
    if (status != GOV_OK) {
        gov_policy_free(policy);
        return status;
    }
    drop_off(policy);
    *out = policy;
    return GOV_OK;
}

/* ---- policies as memory ---- */

gov_policy *gov__policy_new(const struct gov_alloc *alloc)
{
    gov_policy *policy = alloc->alloc(alloc->ctx, sizeof(*policy));

    if (policy != NULL) {
        memset(policy, 0, sizeof(*policy));
        policy->alloc = *alloc;
    }
    return policy;
}

void gov__rule_free(const gov_policy *policy, struct gov__rule *rule)
{
    const struct gov_alloc *alloc = &policy->alloc;

    alloc->release(alloc->ctx, rule->because);
    alloc->release(alloc->ctx, rule->warning);
    alloc->release(alloc->ctx, rule->instead);
    alloc->release(alloc->ctx, rule->when);
}

void gov_policy_free(gov_policy *policy)
{
    struct gov_alloc alloc;

    if (policy == NULL)
        return;
    for (size_t i = 0; i < policy->count; i++)
        gov__rule_free(policy, &policy->list[i]);
    for (size_t i = 0; i < GOV_POLICY_LAYERS; i++)
        policy->alloc.release(policy->alloc.ctx, policy->files[i]);
    alloc = policy->alloc;
    alloc.release(alloc.ctx, policy->list);
    alloc.release(alloc.ctx, policy);
}

size_t gov_policy_rules(const gov_policy *policy)
{
    return policy->count;
}
