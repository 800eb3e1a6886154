/* SPDX-License-Identifier: MIT */
/* Places in a text: from bytes to lines and columns and back, and from a scalar's
 * value to where it stands. */
#ifndef GOV_POLICIES_PLACE_PRIV_H
#define GOV_POLICIES_PLACE_PRIV_H

#include <stddef.h>

/* Of a policy file, or one of cases. */
#define GOV__POLICY_TEXT_MAX ((size_t)256 * 1024)

/* A position as an editor counts it, from 1, in characters. */
struct gov__place {
    size_t line, column;
};

/* Passes the byte order mark that some editors put first; returns the bytes
 * that are left. */
size_t gov__skip_mark(const char **text, size_t *bytes);

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
