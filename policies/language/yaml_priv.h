/* SPDX-License-Identifier: MIT */
/* YAML as policy files and tables use it: libyaml's events, one at a time, with
 * every mistake at NAME:LINE:COLUMN. Their shapes are fixed, so what YAML offers
 * beyond them (aliases, anchors, tags, several documents) is refused: nothing
 * expands, nothing nests deeper than they do. Knows no shape itself.
 *
 * Where `flaws` is given, reading goes on behind a mistake: the value it is in is
 * passed over, and the mapping or list around it is read to its end. Functions
 * that read a value return false when there was a mistake in it, wherever they
 * then stand; the mapping or list around finds its way. */
#ifndef GOV_POLICIES_YAML_PRIV_H
#define GOV_POLICIES_YAML_PRIV_H

#include <yaml.h>

#include "policies/language/expr_priv.h"
#include "policies/language/flaws_priv.h"

#define GOV__YAML_DEPTH 8 /* mappings and lists inside one another */

struct gov__yaml {
    yaml_parser_t parser;
    yaml_event_t event; /* under the reader's eyes; owned */
    const char *text;
    size_t bytes;
    const char *name;    /* of the file, for messages */
    const char *kind;    /* "policy file" */
    const char *content; /* "rules" */
    gov_error *err;
    struct gov__flaws *flaws;      /* NULL: the first mistake ends it */
    const struct gov_alloc *alloc; /* for what `flaws` is told */
    struct gov__place key;         /* of the value that is read */
    gov_status status;             /* the first failure's */
    /* private */
    struct gov__flaw_list found;
    unsigned depth; /* of mappings and lists that are open */
    bool dead;      /* no event comes any more */
    bool refused;   /* the current event is a mistake that was told */
};

/* Reads a value: from its first event, which is the current one, to its last.
 * Returns false when something failed; y->status is not GOV_OK then. */
typedef bool (*gov__yaml_body_fn)(struct gov__yaml *y, void *ctx);

/* Reads the one document that the text is; `body` reads its value. text NULL is
 * an empty text. Fields behind `alloc` are to be zero. Tells flaws what was found,
 * in order of lines. Returns y->status. */
gov_status gov__yaml_read(struct gov__yaml *y, gov__yaml_body_fn body,
                          void *ctx);

/* The next event; false when there is none. */
bool gov__yaml_next(struct gov__yaml *y);

struct gov__place gov__yaml_place(const struct gov__yaml *y);

/* Failing: always false. At a place, where the current event begins, and at a
 * byte of the current scalar's value. */
bool gov__yaml_fail_at(struct gov__yaml *y, struct gov__place place,
                       const char *sentence);
bool gov__yaml_fail(struct gov__yaml *y, const char *format, ...)
    GOV_PRINTF(2, 3);
bool gov__yaml_fail_inside(struct gov__yaml *y, size_t offset,
                           const char *sentence);
bool gov__yaml_nomem(struct gov__yaml *y); /* ends it */

/* What went wrong at `from` or behind it, and is about no rule yet, is about
 * `rule`. */
void gov__yaml_about(struct gov__yaml *y, struct gov__place from,
                     const char *rule);

/* The current scalar: its value, and whether it is that text. */
const char *gov__yaml_word(const struct gov__yaml *y);
size_t gov__yaml_word_bytes(const struct gov__yaml *y);
bool gov__yaml_is(const struct gov__yaml *y, const char *text);

/* False where the current event is no scalar, or was refused. */
bool gov__yaml_need_word(struct gov__yaml *y, const char *what);

/* A word that is none of those it may be: what it is, and what was meant. */
bool gov__yaml_fail_word(struct gov__yaml *y, const char *what,
                         const char *const *names, size_t count);

/* What keys a mapping has, 32 at most; the first `required` must be there. A key
 * that was probably meant by one that is unknown counts as there. */
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

/* The same, and *seen receives the keys as bits: for gov__yaml_need_keys(), where
 * what is required depends on what there is. */
bool gov__yaml_mapping_seen(struct gov__yaml *y,
                            const struct gov__yaml_shape *shape,
                            gov__yaml_value_fn value, void *ctx,
                            uint32_t *seen);
bool gov__yaml_need_keys(struct gov__yaml *y,
                         const struct gov__yaml_shape *shape, size_t required,
                         uint32_t seen, struct gov__place place);

/* Reads the pairs of a mapping, whose start is the current event; `find` says
 * which key the current word is, or fails. */
typedef bool (*gov__yaml_key_fn)(struct gov__yaml *y, void *ctx, size_t *key);

bool gov__yaml_pairs(struct gov__yaml *y, gov__yaml_key_fn find,
                     gov__yaml_value_fn value, void *ctx);

struct gov__yaml_items {
    const char *what;  /* "rules" */
    const char *first; /* the key that an item begins with */
    const char *noun;  /* "rules": what there are at most so many of */
    size_t most;
};

/* Reads a list, each item with `item`. */
bool gov__yaml_list(struct gov__yaml *y, const struct gov__yaml_items *items,
                    gov__yaml_body_fn item, void *ctx);

/* Reads the value of the key "version". */
bool gov__yaml_version(struct gov__yaml *y);

#endif
