/* SPDX-License-Identifier: MIT */
/* Text that came from outside (names in a file, paths) made fit for a message
 * or a terminal. */
#ifndef GOV_MODEL_TEXT_H
#define GOV_MODEL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Writes `bytes` bytes of `text` into out, always NUL-terminated, and returns
 * out. Well-formed UTF-8 is kept; control characters and bytes that are no
 * UTF-8 become \xNN. What does not fit is left out at a character boundary,
 * and "..." says so. room is at least 8. */
char *gov__text_safe(char *out, size_t room, const void *text, size_t bytes);

/* The same for a path, of which it keeps the end. */
char *gov__text_path(char *out, size_t room, const char *path);

/* A name fit for a message. */
struct gov__shown_name {
    char text[68]; /* one of ggml's limit, 63 bytes, is whole */
};

struct gov__shown_name gov__text_show(const void *name, size_t bytes);

/* Whether it ends so, with something in front. */
bool gov__text_ends(const char *text, const char *end);

#endif
