/* SPDX-License-Identifier: MIT */
/* Policies as text: reading them, laying them over one another, finding what is
 * wrong or says nothing, and showing the result with where each line came from.
 *
 * A policy file is YAML with `version: 1` and any of
 *
 *   base:    balanced | responsive | frugal | server | none
 *   rules:   a list; what a plan is decided by (policies/plan.h)
 *   levels:  thresholds of the level machine (policies/level.h)
 *   ladder:  a list; relief actions in order (policies/ladder.h)
 *   regrow:  how fast memory is taken again after pressure
 *
 * docs/policy.md is the reference. Pure: no file is opened here; governor/policy.h
 * does that. */
#ifndef GOV_POLICIES_POLICY_TEXT_H
#define GOV_POLICIES_POLICY_TEXT_H

#include "policies/alloc.h"
#include "policies/ladder.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A policy as read: opaque, immutable, shared between threads. */
typedef struct gov_policy gov_policy;

/* ---- what is wrong -------------------------------------------------------- */

/* One thing that is wrong with a policy's text, or says nothing. */
struct gov_flaw {
    bool warning;        /* else an error: the text is no policy */
    const char *file;    /* as it was named */
    size_t line, column; /* from 1, in characters; 0: the file as a whole */
    const char *rule; /* the rule (or "ladder ACTION") it is about, or NULL */
    const char *sentence; /* without file, line and rule */
};

/* Strings are valid during the call. */
typedef void (*gov_flaw_fn)(void *ctx, const struct gov_flaw *flaw);

/* The line of a flaw with a caret under its column: two lines without a line
 * break behind the second, written to out (NUL-terminated, empty when there is
 * nothing to show). `text` is the one that was read. A long line is cut around
 * the caret. */
GOV_API void gov_policy_point(const char *text, size_t bytes, size_t line,
                              size_t column, char *out, size_t out_bytes);

/* The same for the place that an error of GOV_E_FORMAT names. */
GOV_API void gov_policy_point_error(const char *text, size_t bytes,
                                    const gov_error *err, char *out,
                                    size_t out_bytes);

/* ---- reading -------------------------------------------------------------- */

/* Reads one text alone (`bytes` long, need not end in NUL); what it is based on
 * is not looked at. `name` is used in messages. Memory comes from `alloc`,
 * copied; NULL means the C library's. On success *out is owned by the caller,
 * gov_policy_free(). err has the first error as NAME:LINE:COLUMN: sentence.
 *
 * GOV_E_FORMAT  the text is no policy
 * GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_policy_parse(
    gov_policy **out, const char *text, size_t bytes, const char *name,
    const struct gov_alloc *alloc, gov_error *err);

/* One text of several. Borrowed during the call. */
struct gov_policy_layer {
    const char *name; /* for messages, and for who wants to know its origin */
    const char *text;
    size_t bytes;
};

#define GOV_POLICY_LAYERS 8 /* at most, shipped ones included */

/* Reads layers, each laid over those before it (the system's, the user's, the
 * app's), all of them over a shipped policy: the one that the last layer with a
 * `base:` names, balanced without one. `base: none` leaves out everything below
 * that layer. What it means that one lies over another:
 *
 *   rules, ladder  an entry named as one below takes its place; with `off: true`
 *                  it takes it away (of a ladder: back to what the action says
 *                  itself). New entries are tried before all that are below.
 *   levels, regrow key by key; an exit that is not given where its entry is keeps
 *                  its proportion to it
 *
 * Every flaw of every layer is told to `flaw` (may be NULL), errors and warnings,
 * in the order of layers and lines; err has the first error. Warnings are those
 * of gov_policy_doubts(), told only where there is no error, and only of the
 * given layers, not of what is shipped. count 0 is the shipped policy alone.
 *
 * GOV_E_FORMAT   a layer is no policy
 * GOV_E_INVALID  layers is NULL where count is not 0, or there are too many
 * GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_policy_build(
    gov_policy **out, const struct gov_policy_layer *layers, size_t count,
    gov_flaw_fn flaw, void *ctx, const struct gov_alloc *alloc, gov_error *err);

/* Accepts NULL. */
GOV_API void gov_policy_free(gov_policy *policy);

/* The shipped policy of that name as text: static, NUL-terminated; NULL where
 * there is none. *bytes (may be NULL) receives its length. */
GOV_API const char *gov_policy_shipped(const char *name, size_t *bytes);

/* Names of the shipped policies, the default first. Static. */
GOV_API const char *const *gov_policy_shipped_names(size_t *count);

/* ---- asking --------------------------------------------------------------- */

/* Number of rules. */
GOV_API size_t gov_policy_rules(const gov_policy *policy);

/* Where the rule of that name is written: the file (borrowed from the policy) and
 * *line; NULL where there is none. */
GOV_API const char *gov_policy_rule_origin(const gov_policy *policy,
                                           const char *name, size_t *line);

/* What the policy says of levels and of relief; where it says nothing, the
 * defaults of gov_level_rules_default() and gov_relief_rules_default(). */
GOV_API void gov_policy_levels(const gov_policy *policy,
                               struct gov_level_rules *out);
GOV_API void gov_policy_relief(const gov_policy *policy,
                               struct gov_relief_rules *out);

/* Finds what can have no effect: rules whose condition contradicts itself, or
 * that an earlier one always comes before; steps of the ladder that an earlier
 * pattern covers; and conditions over facts that no system like `os` ("linux",
 * "darwin"; NULL: that question is not asked) ever tells. Not an error, but
 * hardly meant. Calls `flaw` (may be NULL) for each and returns how many there
 * are. Finds no false ones; does not find all. */
GOV_API size_t gov_policy_doubts(const gov_policy *policy, const char *os,
                                 gov_flaw_fn flaw, void *ctx);

/* One line of a merged policy, and where it came from: file (NULL for a line
 * that only holds others together, such as "rules:") and line. No line break at
 * its end. */
typedef void (*gov_policy_line_fn)(void *ctx, const char *text,
                                   const char *file, size_t line);

/* Tells the policy line by line as YAML. The lines are themselves a policy file,
 * with `base: none`, that reads as the same policy. */
GOV_API void gov_policy_show(const gov_policy *policy, gov_policy_line_fn line,
                             void *ctx);

#ifdef __cplusplus
}
#endif
#endif
