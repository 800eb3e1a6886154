/* SPDX-License-Identifier: MIT */
/* What fuzzers of readers have in common: memory that is counted, and promises
 * that end the process when they are broken. */
#ifndef TESTS_FUZZ_PROMISES_H
#define TESTS_FUZZ_PROMISES_H

#include <stdio.h>
#include <stdlib.h>

#include "policies/alloc.h"

static size_t allocated; /* bytes asked for, whatever was released */

static inline void *counting_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    allocated += bytes;
    return malloc(bytes);
}

static inline void counting_release(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static const struct gov_alloc counting = {NULL, counting_alloc,
                                          counting_release};

static inline void must(int truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static inline void must_be_printable(const char *text)
{
    for (; *text != '\0'; text++)
        must((unsigned char)*text >= 0x20 && *text != 0x7F, "printable text");
}

#endif
