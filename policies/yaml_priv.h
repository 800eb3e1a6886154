/* SPDX-License-Identifier: MIT */
/* YAML as policy files and tables use it: libyaml's events, one at a time, with
 * every mistake at NAME:LINE:COLUMN. Their shapes are fixed, so what YAML offers
 * beyond them (aliases, anchors, tags, several documents) is refused: nothing
 * expands, nothing nests. Knows no shape itself. */
#ifndef GOV_POLICIES_YAML_PRIV_H
#define GOV_POLICIES_YAML_PRIV_H

#include <yaml.h>

#include "policies/expr_priv.h"
#include "policies/policy_priv.h"

#define GOV__YAML_SENTENCE 192 /* bytes of an error's */

struct gov__yaml {
    yaml_parser_t parser;
    yaml_event_t event; /* under the reader's eyes; owned */
    const char *text;
    size_t bytes;
    const char *name;    /* of the file, for messages */
    const char *kind;    /* "policy file" */
    const char *content; /* "rules" */
    gov_error *err;
    gov_status status;
};

/* Reads a value: from its first event, which is the current one, to its last.
 * Returns false when something failed, which is then in y->status. */
typedef bool (*gov__yaml_body_fn)(struct gov__yaml *y, void *ctx);

/* Reads the one document that the text is; `body` reads its value. text NULL is
 * an empty text. Fields other than text, bytes, name, kind, content and err are
 * to be zero. Returns y->status. */
gov_status gov__yaml_read(struct gov__yaml *y, gov__yaml_body_fn body,
                          void *ctx);

/* The next event; false when the text is wrong. */
bool gov__yaml_next(struct gov__yaml *y);

struct gov__place gov__yaml_place(const struct gov__yaml *y);

/* Failing: always false, and only the first failure counts. At a place, where
 * the current event begins, and at a byte of the current scalar's value. */
bool gov__yaml_fail_at(struct gov__yaml *y, struct gov__place place,
                       const char *sentence);
bool gov__yaml_fail(struct gov__yaml *y, const char *format, ...)
    GOV_PRINTF(2, 3);
bool gov__yaml_fail_inside(struct gov__yaml *y, size_t offset,
                           const char *sentence);
bool gov__yaml_nomem(struct gov__yaml *y);

/* The current scalar: its value, how much of it to quote, and whether it is
 * that text. */
const char *gov__yaml_word(const struct gov__yaml *y);
size_t gov__yaml_word_bytes(const struct gov__yaml *y);
int gov__yaml_shown(const struct gov__yaml *y);
bool gov__yaml_is(const struct gov__yaml *y, const char *text);

/* Fails where the current event is no scalar. */
bool gov__yaml_need_word(struct gov__yaml *y, const char *what);

/* A word that is none of those it may be: what it is, and what was meant. */
bool gov__yaml_fail_word(struct gov__yaml *y, const char *what,
                         const char *const *names, size_t count);

/* What keys a mapping has; the first `required` must be there. 32 at most. */
struct gov__yaml_shape {
    const char *what; /* "a rule" */
    const char *const *names;
    size_t count, required;
};

/* Reads the value of key number `key`, as gov__yaml_body_fn. */
typedef bool (*gov__yaml_value_fn)(struct gov__yaml *y, size_t key, void *ctx);

/* Reads a mapping. A key that is unknown, given twice or missing fails. */
bool gov__yaml_mapping(struct gov__yaml *y, const struct gov__yaml_shape *shape,
                       gov__yaml_value_fn value, void *ctx);

/* Reads the value of the key "version". */
bool gov__yaml_version(struct gov__yaml *y);

/* A name or a quotation may hold a line break. */
void gov__one_line(char *text);

#endif
