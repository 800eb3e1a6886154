/* SPDX-License-Identifier: MIT */
/* Rules as read: between the file that reads them and the one that decides. */
#ifndef GOV_POLICIES_POLICY_PRIV_H
#define GOV_POLICIES_POLICY_PRIV_H

#include "policies/expr_priv.h"
#include "policies/plan.h"

#define GOV__RULES_MAX 1024
#define GOV__POLICY_TEXT_MAX ((size_t)256 * 1024)
#define GOV__BECAUSE_MAX 200 /* leaves room for figures in plan.reason */

/* What a rule may set beside the strategy. */
enum gov__setting {
    GOV__SET_KV_TYPE, /* gov_kv_type */
    GOV__SET_CONTEXT, /* tokens */
    GOV__SET_REPACK,  /* 0 or 1 */
    GOV__SET_WARN,    /* 0 or 1 */
    GOV__SET_HOT,     /* parts per million of the weights */
    GOV__SET_AHEAD,   /* units */
    GOV__SETTINGS
};

struct gov__rule {
    char name[64];
    size_t line; /* in the file, from 1 */
    char *because;
    struct gov__expr *when; /* NULL: always */
    gov_strategy strategy;
    bool unknown_matches; /* refuse only */
    bool set[GOV__SETTINGS];
    int64_t value[GOV__SETTINGS];
};

struct gov_policy {
    struct gov_alloc alloc;
    size_t count, room;
    struct gov__rule *list;
};

/* Passes the byte order mark that some editors put first; returns the bytes
 * that are left. */
size_t gov__skip_mark(const char **text, size_t *bytes);

/* A position as an editor counts it, from 1, in characters. */
struct gov__place {
    size_t line, column;
};

struct gov__place gov__place_of(const char *text, size_t bytes, size_t offset);
size_t gov__offset_of(const char *text, size_t bytes, struct gov__place place);

/* How a scalar is written in the file. */
enum gov__quoting {
    GOV__PLAIN,
    GOV__SINGLE,
    GOV__DOUBLE,
    GOV__BLOCK, /* | and > */
};

struct gov__scalar {
    size_t start; /* in the file */
    enum gov__quoting quoting;
    const char *value; /* as libyaml gives it */
    size_t bytes;
};

/* Where byte `offset` of a scalar's value stands in the file. */
size_t gov__source_of(const char *text, size_t bytes,
                      const struct gov__scalar *scalar, size_t offset);

#endif
