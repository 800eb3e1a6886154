/* SPDX-License-Identifier: MIT */
/* Text in columns on stdout, for a person: how wide it is, and where it is broken.
 * Each character is taken to be one column wide. */
#ifndef GOV_TOOLS_CLI_TEXT_H
#define GOV_TOOLS_CLI_TEXT_H

#include <stdbool.h>

/* In text that is wrapped: a space at which no line ends ("12<>MiB"). ASCII's
 * unit separator, which no text of ours has. */
#define CLI_NO_BREAK '\037'

/* Whether the locale's characters are UTF-8; setlocale() comes first. */
bool cli_utf8(void);

/* Characters of UTF-8 text. */
int cli_width(const char *text);

/* Prints text from `column` on, broken between words, and within a word that is
 * longer than a line; lines after the first start at `indent` and have at least
 * 10 columns. Returns the column it ends in. */
int cli_put_wrapped(const char *text, int column, int indent, int columns);

#endif
