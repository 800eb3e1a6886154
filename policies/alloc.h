/* SPDX-License-Identifier: MIT */
/* How the library asks for memory. A host may give its own; the default is the
 * C library's. Nothing else in the library calls malloc. */
#ifndef GOV_POLICIES_ALLOC_H
#define GOV_POLICIES_ALLOC_H

#include "policies/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Same contract as malloc() and free(): alloc returns NULL when it has none,
 * release accepts NULL. Both may be called from any thread. */
struct gov_alloc {
    void *ctx;
    void *(*alloc)(void *ctx, size_t bytes);
    void (*release)(void *ctx, void *block);
};

/* The C library's malloc() and free(). Never NULL. */
GOV_API const struct gov_alloc *gov_alloc_default(void);

#ifdef __cplusplus
}
#endif
#endif
