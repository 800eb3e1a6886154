/* SPDX-License-Identifier: MIT */
/* What conditions can never be together, whatever the facts: a tableau over their
 * three-valued logic, with what is left of each fact along the way. */
#ifndef GOV_POLICIES_REFUTE_PRIV_H
#define GOV_POLICIES_REFUTE_PRIV_H

#include "policies/language/expr_priv.h"

/* What is claimed of a condition. Of three values two are unions, so that every
 * claim has an opposite: IS_TRUE and NOT_TRUE, IS_FALSE and NOT_FALSE. */
enum gov__demand {
    GOV__IS_TRUE,
    GOV__IS_FALSE,
    GOV__NOT_TRUE,  /* false or unknown */
    GOV__NOT_FALSE, /* true or unknown */
};

/* Claims that are to hold together: a list through `rest`. Those that say most
 * come first. */
struct gov__claim {
    const struct gov__expr *expr;
    uint16_t node;
    enum gov__demand demand;
    const struct gov__claim *rest;
};

/* What may be of one fact. */
struct gov__left {
    int64_t low, high;   /* when it is known and no text */
    uint16_t values;     /* of a text with gov__fact_values(): a bit each */
    bool known, unknown; /* it may be */
};

/* A text, or a pattern that one is to match or not. */
struct gov__wording {
    gov_fact fact;
    bool pattern, inverse;
    const char *text;
    size_t bytes;
};

/* What is known of two amounts that are compared, as bits of gov__order. */
struct gov__relation {
    const struct gov__expr *expr;
    uint16_t a, b;
    uint8_t order;
};

enum gov__order { GOV__LESS = 1, GOV__SAME = 2, GOV__MORE = 4 };

#define GOV__REFUTE_TRAIL 512
#define GOV__REFUTE_TERMS 256

/* Some 40 KiB; not to be copied. What is claimed beyond its room is forgotten,
 * which refutes less. */
struct gov__refuter {
    struct gov__left fact[GOV_FACT_COUNT];
    struct {
        gov_fact fact;
        struct gov__left was;
    } trail[GOV__REFUTE_TRAIL];
    struct gov__wording wording[GOV__REFUTE_TERMS];
    struct gov__relation relation[GOV__REFUTE_TERMS];
    size_t changes, wordings, relations;
    long steps;     /* that are left: beyond them nothing is refuted */
    bool branched;  /* since the last gov__refute() began */
    gov_fact clash; /* about which the last claim contradicted another */
};

/* Everything is possible; no steps are left. */
void gov__refuter_start(struct gov__refuter *r);

/* From now on that fact is known, or unknown; that text. False where that cannot
 * be. */
bool gov__refuter_know(struct gov__refuter *r, gov_fact fact, bool known);
bool gov__refuter_be_text(struct gov__refuter *r, gov_fact fact,
                          const char *text);

/* Whether the claims can certainly not hold together. Then *fact (may be NULL) is
 * the one of which they demand what cannot be, or GOV_FACT_COUNT where it is not
 * a single one. False is no proof that they can. */
bool gov__refute(struct gov__refuter *r, const struct gov__claim *claims,
                 gov_fact *fact);

#endif
