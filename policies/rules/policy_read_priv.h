/* SPDX-License-Identifier: MIT */
/* Mappings of a policy file, driven by tables: between the file that knows which
 * keys there are and the one that reads values. */
#ifndef GOV_POLICIES_POLICY_READ_PRIV_H
#define GOV_POLICIES_POLICY_READ_PRIV_H

#include "policies/language/yaml_priv.h"
#include "policies/rules/policy_priv.h"

#define GOV__KEYS_MAX 20 /* of any mapping in a policy file */

struct gov__reader {
    struct gov__yaml y; /* first: what is called back gets it */
    gov_policy *policy;
    struct gov__names names; /* of the rules so far */
};

struct gov__key;

/* Reads a value, as gov__yaml_body_fn. `into` is whatever the mapping is read
 * into. */
typedef bool (*gov__key_fn)(struct gov__reader *r, const struct gov__key *key,
                            void *into);

struct gov__key {
    const char *name;
    gov__key_fn read;
    size_t which; /* of what `read` reads; its own */
    /* What gov__read_number() takes: least and most are in `unit`, of which the
     * number as written is a multiple. */
    gov_type type;
    int64_t least, most, unit;
};

struct gov__shape {
    const char *what; /* "a rule" */
    const struct gov__key *keys;
    size_t count;
    size_t required; /* so many of the first */
};

/* Reads a mapping; *seen (may be NULL) receives its keys as bits. */
bool gov__read_mapping(struct gov__reader *r, const struct gov__shape *shape,
                       void *into, uint32_t *seen);

/* Tells those of the first `required` keys that are missing. */
bool gov__read_required(struct gov__reader *r, const struct gov__shape *shape,
                        size_t required, uint32_t seen,
                        struct gov__place place);

/* Index of the current word among names. */
bool gov__read_choice(struct gov__reader *r, const char *what,
                      const char *const *names, size_t count, size_t *out);

/* A number of the key's type, in its unit. */
bool gov__read_number(struct gov__reader *r, const struct gov__key *key,
                      int64_t *out);

/* A text of 1 to GOV__BECAUSE_MAX bytes, copied, on one line. `empty` says what
 * to do instead of leaving it empty. */
bool gov__read_sentence(struct gov__reader *r, const char *what,
                        const char *empty, char **out);

/* The value of `off`, which is true. */
bool gov__read_off(struct gov__reader *r, bool *out);

/* policy_then.c: what a rule sets. `into` is a struct gov__rule. */
bool gov__read_then(struct gov__reader *r, const struct gov__key *key,
                    void *into);

#endif
