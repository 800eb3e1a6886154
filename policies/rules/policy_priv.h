/* SPDX-License-Identifier: MIT */
/* Rules as read: between the file that reads them and the one that decides. */
#ifndef GOV_POLICIES_POLICY_PRIV_H
#define GOV_POLICIES_POLICY_PRIV_H

#include "policies/language/expr_priv.h"
#include "policies/language/flaws_priv.h"
#include "policies/plan.h"
#include "policies/policy_text.h"

#define GOV__RULES_MAX 1024
#define GOV__BECAUSE_MAX 200 /* leaves room for figures in plan.reason */

/* What a rule may set beside the strategy. */
enum gov__setting {
    GOV__SET_KV_TYPE,     /* gov_kv_type */
    GOV__SET_CONTEXT,     /* tokens */
    GOV__SET_REPACK,      /* 0 or 1 */
    GOV__SET_WARN,        /* 0 or 1 */
    GOV__SET_HOT,         /* parts per million of the weights */
    GOV__SET_AHEAD,       /* units */
    GOV__SET_HOLD,        /* gov_hold */
    GOV__SET_ANCHOR,      /* 0 or 1 */
    GOV__SET_DIRECT,      /* 0 or 1 */
    GOV__SET_WARM,        /* gov_warm */
    GOV__SET_WARM_RATE,   /* bytes a second */
    GOV__SET_ADVISE_LOAD, /* gov_advice */
    GOV__SET_ADVISE_PASS, /* gov_advice */
    GOV__SET_GPU_LAYERS,  /* layers; GOV__GPU_ALL: as many as fit */
    GOV__SET_SEQUENCES,   /* conversations */
    GOV__SET_WARNING,     /* 1: the rule has a text that is shown */
    GOV__SETTINGS
};

#define GOV__GPU_ALL INT32_MAX

/* Where something stands: a file of the policy and a place in it. */
struct gov__origin {
    uint32_t file; /* index into gov_policy.files */
    uint32_t line, column;
};

struct gov__rule {
    char name[64];
    struct gov__origin at; /* its name */
    bool off;              /* takes the one of that name below it away */
    char *because, *warning, *instead; /* owned; NULL where not given */
    struct gov__expr *when;            /* NULL: always */
    gov_strategy strategy;
    bool unknown_matches; /* refuse only */
    bool set[GOV__SETTINGS];
    int64_t value[GOV__SETTINGS];
    /* Lines, all of the file of `at`; 0 where not given. */
    uint32_t when_line, because_line, unknown_line, strategy_line, instead_line;
    uint32_t set_line[GOV__SETTINGS];
};

struct gov__ladder_entry {
    struct gov_ladder_step step;
    struct gov__origin at;
    bool off;
    uint32_t from_line, floor_line, floor_tokens_line, rest_line,
        rest_little_line; /* 0 where not given */
};

/* Single figures: levels.* and regrow.*, by the table in policy_figures.c. */
#define GOV__FIGURES 18

struct gov__figure_value {
    bool set;
    struct gov__origin at;
    uint32_t value; /* milliseconds or permille */
};

/* What a figure is. */
struct gov__figure {
    const char *section, *key; /* "levels", "warn_stall" */
    gov_type type;             /* RATIO in permille, DURATION in milliseconds */
    uint32_t least, most;
    size_t offset; /* in gov_level_rules, or in gov_regrow_rules */
};

extern const struct gov__figure gov__figures[GOV__FIGURES];

struct gov_policy {
    struct gov_alloc alloc;
    uint32_t file_count;
    char *files[GOV_POLICY_LAYERS]; /* names; owned */
    size_t count, room;
    struct gov__rule *list;
    uint32_t step_count;
    struct gov__ladder_entry steps[GOV_LADDER_STEPS];
    struct gov__figure_value figures[GOV__FIGURES];
    char base[16]; /* as the text says; "" where it does not */
    struct gov__origin base_at;
};

/* ---- policy_names.c: which rule has which name ----------------------------- */

/* Zeroed: none. */
struct gov__names {
    uint16_t slot[2 * GOV__RULES_MAX]; /* number + 1, by hash of the name */
};

/* The number of the rule of that name; GOV__RULES_MAX where there is none. */
size_t gov__names_find(const struct gov__names *names,
                       const struct gov__rule *list, const char *name);

/* Adds a rule whose name is not among them. */
void gov__names_add(struct gov__names *names, const struct gov__rule *list,
                    size_t number);

/* ---- the files ------------------------------------------------------------- */

/* policy_read.c: one text alone into *out, every error to flaws, the first of
 * all to err. Entries with `off` stay in it; figures are not compared with one
 * another.
 *
 * GOV_E_FORMAT, GOV_E_NOMEM */
gov_status gov__policy_read(gov_policy **out,
                            const struct gov_policy_layer *layer,
                            struct gov__flaws *flaws,
                            const struct gov_alloc *alloc, gov_error *err);

/* An empty one; NULL without memory. */
gov_policy *gov__policy_new(const struct gov_alloc *alloc);

void gov__rule_free(const gov_policy *policy, struct gov__rule *rule);

/* policy_figures.c: lays figures over others, those of files from number `file`
 * on. An exit that is not said where its entry is keeps its proportion to it. */
void gov__figures_lay(struct gov__figure_value under[GOV__FIGURES],
                      const struct gov__figure_value over[GOV__FIGURES],
                      uint32_t file);

/* policy_figures.c: whether figures make sense together, those that the policy
 * does not give being the defaults.
 *
 * GOV_E_FORMAT  told to flaws
 * GOV_E_NOMEM */
gov_status gov__figures_check(const gov_policy *policy,
                              struct gov__flaws *flaws, gov_error *err);

/* When a rule is applied, as sizes follow from what is settled before. */
enum gov__stage { GOV__STAGE_CONTEXT, GOV__STAGE_KV_TYPE, GOV__STAGE_REST };

static inline enum gov__stage gov__stage_of(const struct gov__rule *rule)
{
    if (rule->strategy != GOV_STRATEGY_UNSET)
        return GOV__STAGE_REST;
    if (rule->set[GOV__SET_CONTEXT] || rule->set[GOV__SET_SEQUENCES])
        return GOV__STAGE_CONTEXT;
    return rule->set[GOV__SET_KV_TYPE] ? GOV__STAGE_KV_TYPE : GOV__STAGE_REST;
}

/* policy_show.c: what a setting is called in policy files, and its value as it is
 * written there (not of GOV__SET_WARNING): static, or in out. */
const char *gov__setting_name(enum gov__setting which);
const char *gov__setting_print(char out[32], enum gov__setting which,
                               int64_t value);

#endif
