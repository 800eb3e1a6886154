/* SPDX-License-Identifier: MIT */
/* Reads policy files: what may stand in them and how it is kept. yaml_text.c knows
 * YAML. Decides nothing. */
#include "policies/policy_priv.h"

#include <string.h>

#include "policies/words_priv.h"
#include "policies/yaml_priv.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define KEYS_MAX 8 /* of any mapping in a policy file */

struct reader {
    struct gov__yaml y;
    gov_policy *rules;
};

/* ---- mappings, driven by tables ---- */

struct key;

/* Reads a value: from its first event, which is the current one, to its last.
 * `into` is whatever the mapping is read into. */
typedef bool (*read_fn)(struct reader *r, const struct key *key, void *into);

struct key {
    const char *name;
    read_fn read;
    enum gov__setting setting;
    gov_type type; /* and what follows: read_setting() only */
    int64_t least, most;
};

struct shape {
    const char *what; /* "a rule" */
    const struct key *keys;
    size_t count;
};

/* A mapping while it is read. */
struct mapping {
    struct reader *reader;
    const struct shape *shape;
    void *into;
};

static bool read_value(struct gov__yaml *y, size_t key, void *ctx)
{
    const struct mapping *m = ctx;

    (void)y;
    return m->shape->keys[key].read(m->reader, &m->shape->keys[key], m->into);
}

/* Reads a mapping; the first `required` keys of the shape must be in it. */
static bool read_mapping(struct reader *r, const struct shape *shape,
                         size_t required, void *into)
{
    const char *names[KEYS_MAX];
    struct gov__yaml_shape keys = {shape->what, names, shape->count, required};
    struct mapping m = {r, shape, into};

    for (size_t i = 0; i < shape->count; i++)
        names[i] = shape->keys[i].name;
    return gov__yaml_mapping(&r->y, &keys, read_value, &m);
}

/* ---- values ---- */

/* Index of the current word among names. */
static bool read_choice(struct reader *r, const struct key *key,
                        const char *const *names, size_t count, size_t *out)
{
    char what[32];

    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    for (*out = 0; *out < count; ++*out)
        if (gov__yaml_is(&r->y, names[*out]))
            return true;
    gov__put(what, sizeof(what), 0, "%s cannot be", key->name);
    return gov__yaml_fail_word(&r->y, what, names, count);
}

static bool read_number(struct reader *r, const struct key *key, int64_t *out)
{
    struct gov__expr_error error;

    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    if (!gov__expr_literal(gov__yaml_word(&r->y), gov__yaml_word_bytes(&r->y),
                           key->type, out, &error))
        return gov__yaml_fail_inside(&r->y, error.offset, error.sentence);
    if (*out >= key->least && *out <= key->most)
        return true;
    if (key->type == GOV_TYPE_RATIO)
        return gov__yaml_fail(&r->y, "%s is a share from 0 %% to 100 %%",
                              key->name);
    return gov__yaml_fail(&r->y, "%s is a number from %lld to %lld", key->name,
                          (long long)key->least, (long long)key->most);
}

static char *copy_text(const struct reader *r, const char *text, size_t bytes)
{
    const struct gov_alloc *alloc = &r->rules->alloc;
    char *copy = alloc->alloc(alloc->ctx, bytes + 1);

    if (copy != NULL) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

/* A rule while it is read. */
struct draft {
    struct gov__rule *rule;
    struct gov__place unknown; /* where `unknown` is given, else line 0 */
    bool no_match;
};

static bool read_setting(struct reader *r, const struct key *key, void *into)
{
    struct gov__rule *rule = into;

    rule->set[key->setting] = true;
    return read_number(r, key, &rule->value[key->setting]);
}

/* A word of `names`, of which the first stands for `first`. */
static bool read_word(struct reader *r, const struct key *key,
                      struct gov__rule *rule, const char *const *names,
                      size_t count, int64_t first)
{
    size_t index = 0;

    rule->set[key->setting] = true;
    if (!read_choice(r, key, names, count, &index))
        return false;
    rule->value[key->setting] = first + (int64_t)index;
    return true;
}

static bool read_flag(struct reader *r, const struct key *key, void *into)
{
    static const char *const names[] = {"false", "true"};

    return read_word(r, key, into, names, COUNT_OF(names), 0);
}

static bool read_kv_type(struct reader *r, const struct key *key, void *into)
{
    size_t count;
    const char *const *names = gov__kv_type_names(&count);

    return read_word(r, key, into, names, count, GOV_KV_F16);
}

static bool read_strategy(struct reader *r, const struct key *key, void *into)
{
    static const char *const names[] = {"mmap", "hybrid", "heap", "refuse"};
    struct gov__rule *rule = into;
    size_t index = 0;

    if (!read_choice(r, key, names, COUNT_OF(names), &index))
        return false;
    rule->strategy = (gov_strategy)(index + GOV_STRATEGY_MMAP);
    return true;
}

static bool read_then(struct reader *r, const struct key *key, void *into)
{
    static const struct key keys[] = {
        {.name = "strategy", .read = read_strategy},
        {"kv_type", read_kv_type, GOV__SET_KV_TYPE, 0, 0, 0},
        {"context", read_setting, GOV__SET_CONTEXT, GOV_TYPE_COUNT, 1,
         INT32_MAX},
        {"repack", read_flag, GOV__SET_REPACK, 0, 0, 0},
        {"warn", read_flag, GOV__SET_WARN, 0, 0, 0},
        {"hot", read_setting, GOV__SET_HOT, GOV_TYPE_RATIO, 0, 1000000},
        {"ahead", read_setting, GOV__SET_AHEAD, GOV_TYPE_COUNT, 1, 16},
    };
    static const struct shape shape = {"then", keys, COUNT_OF(keys)};
    const struct draft *draft = into;
    const struct gov__rule *rule = draft->rule;
    struct gov__place place = gov__yaml_place(&r->y);
    bool any = false;

    (void)key;
    if (!read_mapping(r, &shape, 0, draft->rule))
        return false;
    for (int i = 0; i < GOV__SETTINGS; i++)
        any = any || rule->set[i];
    if (!any && rule->strategy == GOV_STRATEGY_UNSET)
        return gov__yaml_fail_at(&r->y, place, "then sets nothing");
    if (any && rule->strategy == GOV_STRATEGY_REFUSE)
        return gov__yaml_fail_at(&r->y, place,
                                 "a rule that refuses sets nothing else");
    if (rule->value[GOV__SET_REPACK] != 0 &&
        (rule->strategy == GOV_STRATEGY_MMAP ||
         rule->strategy == GOV_STRATEGY_HYBRID))
        return gov__yaml_fail_at(
            &r->y, place,
            "mapped weights cannot be repacked; use strategy heap");
    return true;
}

static bool read_name(struct reader *r, const struct key *key, void *into)
{
    struct draft *draft = into;
    const struct gov_policy *rules = r->rules;
    size_t bytes;

    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    bytes = gov__yaml_word_bytes(&r->y);
    if (bytes == 0 || bytes >= sizeof(draft->rule->name))
        return gov__yaml_fail(&r->y, "a name has 1 to %zu characters",
                              sizeof(draft->rule->name) - 1);
    for (size_t i = 0; i < bytes; i++) {
        char c = gov__yaml_word(&r->y)[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return gov__yaml_fail_inside(
                &r->y, i,
                "a name has lower-case letters, digits and "
                "hyphens only");
    }
    for (size_t i = 0; i < rules->count; i++)
        if (gov__yaml_is(&r->y, rules->list[i].name))
            return gov__yaml_fail(&r->y, "a second rule is named %s",
                                  rules->list[i].name);
    memcpy(draft->rule->name, gov__yaml_word(&r->y), bytes);
    return true;
}

static bool read_when(struct reader *r, const struct key *key, void *into)
{
    struct draft *draft = into;
    struct gov__expr_error error;
    gov_status status;

    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    status =
        gov__expr_parse(&draft->rule->when, gov__yaml_word(&r->y),
                        gov__yaml_word_bytes(&r->y), &r->rules->alloc, &error);
    if (status == GOV_E_NOMEM)
        return gov__yaml_nomem(&r->y);
    return status == GOV_OK ||
           gov__yaml_fail_inside(&r->y, error.offset, error.sentence);
}

static bool read_because(struct reader *r, const struct key *key, void *into)
{
    struct draft *draft = into;
    size_t bytes;

    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    bytes = gov__yaml_word_bytes(&r->y);
    while (bytes > 0 && gov__is_space(gov__yaml_word(&r->y)[bytes - 1]))
        bytes--;
    if (bytes == 0)
        return gov__yaml_fail(&r->y,
                              "because is empty; say why the rule is there");
    if (bytes > GOV__BECAUSE_MAX)
        return gov__yaml_fail(&r->y, "because is longer than %d bytes",
                              GOV__BECAUSE_MAX);
    draft->rule->because = copy_text(r, gov__yaml_word(&r->y), bytes);
    if (draft->rule->because == NULL)
        return gov__yaml_nomem(&r->y);
    gov__one_line(draft->rule->because);
    return true;
}

static bool read_unknown(struct reader *r, const struct key *key, void *into)
{
    static const char *const names[] = {"match", "no-match"};
    struct draft *draft = into;
    size_t index = 0;

    draft->unknown = gov__yaml_place(&r->y);
    if (!read_choice(r, key, names, 2, &index))
        return false;
    draft->no_match = index == 1;
    return true;
}

/* ---- rules ---- */

static struct gov__rule *add_rule(struct reader *r)
{
    gov_policy *rules = r->rules;
    struct gov__rule *list = rules->list;

    if (rules->count == rules->room) {
        size_t room = rules->room > 0 ? rules->room * 2 : 16;

        list = rules->alloc.alloc(rules->alloc.ctx, room * sizeof(*list));
        if (list == NULL)
            return NULL;
        if (rules->count > 0)
            memcpy(list, rules->list, rules->count * sizeof(*list));
        rules->alloc.release(rules->alloc.ctx, rules->list);
        rules->list = list;
        rules->room = room;
    }
    memset(&list[rules->count], 0, sizeof(*list));
    return &list[rules->count];
}

static void free_rule(const gov_policy *rules, struct gov__rule *rule)
{
    rules->alloc.release(rules->alloc.ctx, rule->because);
    rules->alloc.release(rules->alloc.ctx, rule->when);
}

static bool read_rule(struct reader *r)
{
    static const struct key keys[] = {
        {.name = "name", .read = read_name},
        {.name = "then", .read = read_then},
        {.name = "because", .read = read_because},
        {.name = "when", .read = read_when},
        {.name = "unknown", .read = read_unknown},
    };
    static const struct shape shape = {"a rule", keys, COUNT_OF(keys)};
    struct draft draft = {NULL, {0, 0}, false};

    if (r->rules->count == GOV__RULES_MAX)
        return gov__yaml_fail(&r->y, "more than %d rules", GOV__RULES_MAX);
    draft.rule = add_rule(r);
    if (draft.rule == NULL)
        return gov__yaml_nomem(&r->y);
    draft.rule->line = r->y.event.start_mark.line + 1;
    if (!read_mapping(r, &shape, 3, &draft)) {
        free_rule(r->rules, draft.rule);
        return false;
    }
    r->rules->count++;
    if (draft.unknown.line > 0 && draft.rule->strategy != GOV_STRATEGY_REFUSE)
        return gov__yaml_fail_at(
            &r->y, draft.unknown,
            "unknown is for rules that refuse; others never match "
            "what is not known");
    draft.rule->unknown_matches =
        draft.rule->strategy == GOV_STRATEGY_REFUSE && !draft.no_match;
    return true;
}

static bool read_rules(struct reader *r, const struct key *key, void *into)
{
    (void)into;
    if (r->y.event.type != YAML_SEQUENCE_START_EVENT)
        return gov__yaml_fail(
            &r->y, "%s is a list; each one begins with \"- name:\"", key->name);
    for (;;) {
        if (!gov__yaml_next(&r->y))
            return false;
        if (r->y.event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (!read_rule(r))
            return false;
    }
}

static bool read_version(struct reader *r, const struct key *key, void *into)
{
    (void)key;
    (void)into;
    return gov__yaml_version(&r->y);
}

static bool read_file(struct gov__yaml *y, void *ctx)
{
    static const struct key keys[] = {
        {.name = "version", .read = read_version},
        {.name = "rules", .read = read_rules},
    };
    static const struct shape shape = {"a policy file", keys, COUNT_OF(keys)};

    (void)y;
    return read_mapping(ctx, &shape, COUNT_OF(keys), NULL);
}

gov_status gov_policy_parse(gov_policy **out, const char *text, size_t bytes,
                           const char *name, const struct gov_alloc *alloc,
                           gov_error *err)
{
    struct reader r;
    gov_policy *rules;

    *out = NULL;
    if (alloc == NULL)
        alloc = gov_alloc_default();
    memset(&r, 0, sizeof(r));
    r.y.text = text;
    r.y.bytes = bytes;
    r.y.name = name != NULL ? name : "rules";
    r.y.kind = "policy file";
    r.y.content = "rules";
    r.y.err = err;
    rules = alloc->alloc(alloc->ctx, sizeof(*rules));
    if (rules == NULL) {
        gov__yaml_nomem(&r.y);
        return r.y.status;
    }
    memset(rules, 0, sizeof(*rules));
    rules->alloc = *alloc;
    r.rules = rules;
    if (gov__yaml_read(&r.y, read_file, &r) != GOV_OK) {
        gov_policy_free(rules);
        return r.y.status;
    }
    *out = rules;
    return GOV_OK;
}

void gov_policy_free(gov_policy *rules)
{
    struct gov_alloc alloc;

    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->count; i++)
        free_rule(rules, &rules->list[i]);
    alloc = rules->alloc;
    alloc.release(alloc.ctx, rules->list);
    alloc.release(alloc.ctx, rules);
}

size_t gov_policy_rules(const gov_policy *rules)
{
    return rules->count;
}
