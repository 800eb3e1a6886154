/* SPDX-License-Identifier: MIT */
/* What is wrong with a text, gathered, and told in order. */
#ifndef GOV_POLICIES_FLAWS_PRIV_H
#define GOV_POLICIES_FLAWS_PRIV_H

#include "policies/language/place_priv.h"
#include "policies/policy_text.h"

/* Whom it is told. Zeroed: nobody, but it is counted. */
struct gov__flaws {
    gov_flaw_fn fn;
    void *ctx;
    size_t errors;
};

#define GOV__FLAWS_MAX 100
#define GOV__FLAW_SENTENCE 256 /* bytes of one */

struct gov__flaw {
    const char *file; /* borrowed */
    uint32_t order;   /* of the file among others */
    struct gov__place place;
    bool warning;
    char rule[64]; /* "" where it is about none */
    char sentence[GOV__FLAW_SENTENCE];
};

/* What was found, by file, line and column. Zeroed but for `alloc`: nothing. */
struct gov__flaw_list {
    const struct gov_alloc *alloc;
    struct gov__flaw *kept; /* owned */
    size_t count;
    bool full; /* there was one more than it keeps */
};

/* Keeps one; what it is of and its place are in `flaw`, all but the sentence. A
 * full list takes no more. False without memory. */
bool gov__flaw_add(struct gov__flaw_list *list, const struct gov__flaw *flaw,
                   const char *sentence);

/* Tells them, counts errors, and releases the list. The first error of all that
 * `flaws` counted goes to err. */
void gov__flaws_tell(struct gov__flaw_list *list, struct gov__flaws *flaws,
                     gov_error *err);

/* GOV_E_FORMAT as "NAME:LINE:COLUMN: sentence". */
gov_status gov__flaw_error(gov_error *err, const char *file,
                           struct gov__place place, const char *sentence);

/* A name or a quotation may hold a line break. */
void gov__one_line(char *text);

#endif
