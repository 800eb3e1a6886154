/* SPDX-License-Identifier: MIT */
/* What stands in the `then` of a rule. */
#include "policies/rules/policy_read_priv.h"

#include "policies/language/words_priv.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (INT64_C(1) << 20)
#define LAYERS_MAX 65535 /* of a model */

static int64_t *setting(struct gov__reader *r, const struct gov__key *key,
                        struct gov__rule *rule)
{
    rule->set[key->which] = true;
    rule->set_line[key->which] = (uint32_t)r->y.key.line;
    return &rule->value[key->which];
}

static bool read_setting(struct gov__reader *r, const struct gov__key *key,
                         void *into)
{
    return gov__read_number(r, key, setting(r, key, into));
}

static const struct gov__words *words_of(enum gov__setting which)
{
    static const char *const names[] = {"false", "true"};
    static const struct gov__words flags = {names, COUNT_OF(names), 0};

    switch (which) {
    case GOV__SET_KV_TYPE:
        return &gov__kv_types;
    case GOV__SET_HOLD:
        return &gov__holds;
    case GOV__SET_WARM:
        return &gov__warms;
    case GOV__SET_ADVISE_LOAD:
    case GOV__SET_ADVISE_PASS:
        return &gov__advices;
    default:
        return &flags;
    }
}

static bool read_word(struct gov__reader *r, const struct gov__key *key,
                      void *into)
{
    const struct gov__words *words = words_of((enum gov__setting)key->which);
    int64_t *value = setting(r, key, into);
    size_t index = 0;

    if (!gov__read_choice(r, key->name, words->names, words->count, &index))
        return false;
    *value = words->first + (int64_t)index;
    return true;
}

static bool read_gpu_layers(struct gov__reader *r, const struct gov__key *key,
                            void *into)
{
    int64_t *value = setting(r, key, into);
    char first;

    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    *value = GOV__GPU_ALL;
    if (gov__yaml_is(&r->y, "all"))
        return true;
    first = gov__yaml_word(&r->y)[0]; /* libyaml ends words with NUL */
    if (first < '0' || first > '9')
        return gov__yaml_fail(&r->y,
                              "gpu_layers is a number of layers, or all");
    return gov__read_number(r, key, value);
}

static bool read_strategy(struct gov__reader *r, const struct gov__key *key,
                          void *into)
{
    const struct gov__words *words = &gov__strategies;
    struct gov__rule *rule = into;
    size_t index = 0;

    rule->strategy_line = (uint32_t)r->y.key.line;
    if (!gov__read_choice(r, key->name, words->names, words->count, &index))
        return false;
    rule->strategy = (gov_strategy)((size_t)words->first + index);
    return true;
}

static bool read_warning(struct gov__reader *r, const struct gov__key *key,
                         void *into)
{
    struct gov__rule *rule = into;

    *setting(r, key, rule) = 1;
    return gov__read_sentence(r, key->name, "leave it out for none",
                              &rule->warning);
}

static bool read_instead(struct gov__reader *r, const struct gov__key *key,
                         void *into)
{
    struct gov__rule *rule = into;

    rule->instead_line = (uint32_t)r->y.key.line;
    return gov__read_sentence(r, key->name, "say what would fit",
                              &rule->instead);
}

/* What its settings make of one another; NULL: all is well. */
static const char *mismatch(const struct gov__rule *rule)
{
    bool any = false;

    for (int i = 0; i < GOV__SETTINGS; i++)
        any = any || rule->set[i];
    if (rule->instead != NULL && rule->strategy != GOV_STRATEGY_REFUSE)
        return "instead is for rules that refuse; it says what would fit";
    if (!any && rule->strategy == GOV_STRATEGY_UNSET)
        return "then sets nothing";
    if (any && rule->strategy == GOV_STRATEGY_REFUSE)
        return "a rule that refuses sets nothing else";
    if (rule->value[GOV__SET_REPACK] != 0 &&
        (rule->strategy == GOV_STRATEGY_MMAP ||
         rule->strategy == GOV_STRATEGY_HYBRID))
        return "mapped weights cannot be repacked; use strategy heap";
    return NULL;
}

#define SETTING(name, which, type, least, most)                                \
    {                                                                          \
        name, read_setting, GOV__SET_##which, GOV_TYPE_##type, least, most, 1  \
    }
#define WORD(name, read, which)                                                \
    {                                                                          \
        name, read, GOV__SET_##which, GOV_TYPE_TEXT, 0, 0, 1                   \
    }

static const struct gov__key keys[] = {
    {.name = "strategy", .read = read_strategy},
    WORD("kv_type", read_word, KV_TYPE),
    SETTING("context", CONTEXT, COUNT, 1, INT32_MAX),
    WORD("repack", read_word, REPACK),
    WORD("warn", read_word, WARN),
    SETTING("hot", HOT, RATIO, 0, 1000000),
    SETTING("ahead", AHEAD, COUNT, 1, 16),
    WORD("hold", read_word, HOLD),
    WORD("anchor", read_word, ANCHOR),
    WORD("direct", read_word, DIRECT),
    WORD("warm", read_word, WARM),
    SETTING("warm_rate", WARM_RATE, BYTES, MIB, INT64_MAX),
    WORD("advise_load", read_word, ADVISE_LOAD),
    WORD("advise_pass", read_word, ADVISE_PASS),
    {"gpu_layers", read_gpu_layers, GOV__SET_GPU_LAYERS, GOV_TYPE_COUNT, 0,
     LAYERS_MAX, 1},
    SETTING("sequences", SEQUENCES, COUNT, 1, 256),
    WORD("warning", read_warning, WARNING),
    {.name = "instead", .read = read_instead},
};
_Static_assert(COUNT_OF(keys) <= GOV__KEYS_MAX, "raise GOV__KEYS_MAX");

bool gov__read_then(struct gov__reader *r, const struct gov__key *key,
                    void *into)
{
    static const struct gov__shape shape = {"then", keys, COUNT_OF(keys), 0};
    struct gov__place place = gov__yaml_place(&r->y);
    struct gov__rule *rule = into;
    const char *wrong;

    (void)key;
    if (!gov__read_mapping(r, &shape, rule, NULL))
        return false;
    wrong = mismatch(rule);
    return wrong == NULL || gov__yaml_fail_at(&r->y, place, wrong);
}
