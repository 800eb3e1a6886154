/* SPDX-License-Identifier: MIT */
/* Hostile files: one table of ways to spoil a valid model, one flaw each, so
 * that a reader which accepts the file has missed exactly that flaw. Never
 * writes a file. */
#ifndef MKMODEL_BREAK_H
#define MKMODEL_BREAK_H

#include "mkmodel_header.h"

struct mk_break {
    const char *name;
    const char *help;
    uint32_t deep_arrays; /* for mk_header_init() */

    /* Spoils the header, or returns where the file is to be cut by setting
     * *file_bytes, which holds the whole length before. */
    void (*apply)(struct mk_header *header, const struct mk_plan *plan,
                  uint64_t *file_bytes);
};

/* NULL for an unknown name; mk_break_at() gives NULL behind the last. */
const struct mk_break *mk_break_find(const char *name);
const struct mk_break *mk_break_at(unsigned i);

#endif
