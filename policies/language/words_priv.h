/* SPDX-License-Identifier: MIT */
/* Small work on text that several files of the policy need: bounded appending,
 * UTF-8, and "did you mean". Holds no state, allocates nothing. */
#ifndef GOV_POLICIES_WORDS_PRIV_H
#define GOV_POLICIES_WORDS_PRIV_H

#include "policies/facts.h"

/* Appends to out, of which `used` bytes are taken, and returns what is taken
 * then: `bytes` when something did not fit. That is cut at a character and ends
 * in "..."; what follows is dropped. Always NUL-terminated when bytes > 0. */
size_t gov__put(char *out, size_t bytes, size_t used, const char *format, ...)
    GOV_PRINTF(4, 5);

/* Decodes one character: its length, or 0 where the bytes are no UTF-8. */
size_t gov__utf8(const char *text, size_t bytes, uint32_t *out);

bool gov__is_space(char c);

/* Whether a character may not stand in a policy file: it moves the cursor, it
 * ends a line for libyaml but for no editor, or it shows what follows in another
 * order than it is read (https://trojansource.codes). */
bool gov__is_control(uint32_t character);

/* Columns that a character takes on a terminal: 0, 1 or 2. */
unsigned gov__columns(uint32_t character);

/* The name that `word` was probably meant to be, or NULL. Letters of the other
 * case count as equal; the part of a name after its dot is tried as well. */
const char *gov__nearest(const char *word, size_t bytes,
                         const char *const *names, size_t count);

/* "a, b or c" */
char *gov__list(char *out, size_t bytes, const char *const *names,
                size_t count);

/* How many bytes of somebody's text to quote in a sentence. */
int gov__short(const char *text, size_t bytes);

/* Names of all facts, by number. */
const char *const *gov__fact_names(void);

/* What a choice is called in policy files: the first name is that of number
 * `first`, and so on. */
struct gov__words {
    const char *const *names;
    size_t count;
    int first;
};

extern const struct gov__words gov__strategies, gov__holds, gov__warms,
    gov__advices;                             /* plan_names.c */
extern const struct gov__words gov__kv_types; /* kv_types.c */
extern const struct gov__words gov__levels;   /* facts.c; no numbers */

/* The values that a text fact can have, and how many; NULL when any text may
 * turn up. */
const char *const *gov__fact_values(gov_fact fact, size_t *count);

/* pattern.c: whether a text is as a pattern says (`*` stands for any characters,
 * `?` for one), and whether every text that is as pattern `narrow` says is also
 * as `wide` says. */
bool gov__matches(const char *text, size_t text_bytes, const char *pattern,
                  size_t pattern_bytes);
bool gov__pattern_within(const char *narrow, size_t narrow_bytes,
                         const char *wide, size_t wide_bytes);

/* Bytes as a person reads them, in a buffer that lives as long as the full
 * expression it is used in. */
#define GOV__BYTES(n) gov__bytes_text((char[32]){0}, (n))
char *gov__bytes_text(char out[32], uint64_t n);

#endif
