/* SPDX-License-Identifier: MIT */
/* One case as read: between cases_read.c, which knows YAML, and cases.c, which
 * decides and compares. */
#ifndef GOV_POLICIES_CASES_PRIV_H
#define GOV_POLICIES_CASES_PRIV_H

#include "policies/cases.h"
#include "policies/language/words_priv.h"
#include "policies/language/yaml_priv.h"
#include "policies/rules/policy_priv.h"

#define GOV__CASE_ACTIONS 16
#define GOV__CASE_SAMPLES 32
#define GOV__CASE_TEXTS 4096 /* bytes of all texts of a case */
#define GOV__CASE_WORD 128   /* bytes of one expected text */

enum gov__case_kind {
    GOV__CASE_PLAN,   /* facts in, a plan out */
    GOV__CASE_LADDER, /* a level and offers in, an order out */
    GOV__CASE_LEVEL,  /* evidence in, a level out */
};

/* What can be expected, in the order of the table in cases.c. */
#define GOV__EXPECTATIONS 22

/* How what is expected is written, and compared. */
enum gov__expect_as {
    GOV__EXPECT_WORD,    /* one of some words */
    GOV__EXPECT_NAME,    /* a text, equal */
    GOV__EXPECT_PATTERN, /* a text with * and ? */
    GOV__EXPECT_NUMBER,  /* of a gov_type */
    GOV__EXPECT_ORDER,   /* a list of names */
};

struct gov__case;

/* What came: the word or text, or the number. */
struct gov__answer {
    const char *text;
    int64_t number;
};

struct gov__expectation {
    const char *key;
    enum gov__case_kind kind;
    enum gov__expect_as as;
    gov_type type;                                             /* NUMBER */
    const struct gov__words *words;                            /* WORD */
    struct gov__answer (*answer)(const struct gov_plan *plan); /* of a PLAN */
};

extern const struct gov__expectation gov__expectations[GOV__EXPECTATIONS];

struct gov__case {
    char name[96], requirement[16];
    size_t line;
    bool has_level, has_wanted, has_actions, has_evidence, has_facts;

    struct gov_facts facts;

    gov_level level;
    uint64_t wanted_bytes;
    uint32_t action_count;
    struct {
        char name[GOV_ACTION_NAME];
        gov_level from_level;
        uint64_t offered_bytes;
        int64_t cost, leaves;
    } actions[GOV__CASE_ACTIONS];

    uint32_t sample_count;
    struct gov_evidence samples[GOV__CASE_SAMPLES];

    bool expects[GOV__EXPECTATIONS];
    int64_t number[GOV__EXPECTATIONS];
    char word[GOV__EXPECTATIONS][GOV__CASE_WORD];
    uint32_t order_count;
    char order[GOV__CASE_ACTIONS][GOV_ACTION_NAME];

    size_t texts_used;
    char texts[GOV__CASE_TEXTS]; /* what facts point into */
};

enum gov__case_kind gov__case_kind(const struct gov__case *c);

struct gov__cases_request {
    const struct gov_policy_layer *cases;
    char *policy; /* 64 bytes for what the text names; may be NULL */
    /* Called with every case that is without error; may be NULL. */
    void (*each)(void *ctx, const struct gov__case *c);
    void *ctx;
    struct gov__flaws *flaws;
    const struct gov_alloc *alloc;
};

gov_status gov__cases_read(const struct gov__cases_request *request,
                           gov_error *err);

#endif
