/* SPDX-License-Identifier: MIT */
/* Reads JSON once, front to back, straight from a file: nothing is kept but what
 * the caller asks for, so that no text, however nested or long, costs memory.
 * (A tree of jansson's takes 40 times the bytes of "[],[],[]", and its memory
 * does not come from a gov_alloc.) Knows no names. */
#ifndef GOV_MODEL_SAFETENSORS_JSON_H
#define GOV_MODEL_SAFETENSORS_JSON_H

#include "governor/model/model_cursor.h"

#define GOV__JSON_WINDOW 4096

struct gov__json {
    struct gov__cursor *cursor; /* where failures go too */
    uint64_t left;              /* bytes of the text that are not in `window` */
    uint64_t taken;             /* bytes of the text that were in it before */
    size_t at, have;
    unsigned char window[GOV__JSON_WINDOW];
};

/* The text is the next `bytes` bytes of the file. */
void gov__json_begin(struct gov__json *json, struct gov__cursor *cursor,
                     uint64_t bytes);

/* The next byte that is no white space; 0 at the end of the text and after a
 * failure. */
int gov__json_peek(struct gov__json *json);

/* Each returns false when something else comes; the cursor's status and error
 * then say where. */

/* An object ('{') or array ('[') begins; *more: it is not empty. */
bool gov__json_enter(struct gov__json *json, char open, bool *more);
/* After a value in it: another comes, or it is closed. */
bool gov__json_more(struct gov__json *json, char open, bool *more);
/* A text: its first `room` bytes at most, without a NUL; *bytes becomes how long
 * it is. */
bool gov__json_text(struct gov__json *json, char *out, size_t room,
                    uint64_t *bytes);
/* What is between a member's name and its value. */
bool gov__json_colon(struct gov__json *json);
/* A member's name and the colon behind it. */
bool gov__json_name(struct gov__json *json, char *out, size_t room,
                    uint64_t *bytes);
/* A whole number of 64 bits, written as one: no sign, fraction or exponent. */
bool gov__json_whole(struct gov__json *json, uint64_t *out);
/* Any value. */
bool gov__json_skip(struct gov__json *json);
/* Nothing but white space follows. */
bool gov__json_end(struct gov__json *json);

#endif
