/* SPDX-License-Identifier: MIT */
/* The one place in the library that names malloc(): lint holds the rest to it. */
#include "policies/alloc.h"

#include <stdlib.h>

static void *libc_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static void libc_release(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

const struct gov_alloc *gov_alloc_default(void)
{
    static const struct gov_alloc libc = {NULL, libc_alloc, libc_release};

    return &libc;
}
