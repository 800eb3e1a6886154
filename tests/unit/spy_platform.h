/* SPDX-License-Identifier: MIT */
/* The native platform with a look at what memory is asked of it, and errors on
 * demand; and the one way to make the kernel take freed pages now. For the
 * tests of governor/memory. */
#ifndef GOV_TESTS_SPY_PLATFORM_H
#define GOV_TESTS_SPY_PLATFORM_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "governor/platform/platform.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

struct spy {
    struct gov_platform table;
    _Atomic int maps, unmaps, offers, discards, trims;
    _Atomic size_t bytes; /* mapped less unmapped */
    /* 0 passes the call on; else it is the answer. */
    int map_rc, unmap_rc, offer_rc, discard_rc;
    _Atomic(unsigned char *) last_base;
    void *(*symbol)(const char *name); /* NULL: no symbols */
};

static inline int spy_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    struct spy *spy = ctx;
    const struct gov_platform *native = gov__platform_native();
    int rc = spy->map_rc != 0 ? spy->map_rc
                              : native->map(native->ctx, bytes, tag, out);

    if (rc == 0) {
        spy->maps++;
        spy->bytes += bytes;
        spy->last_base = *out;
    }
    return rc;
}

static inline int spy_unmap(void *ctx, void *base, size_t bytes)
{
    struct spy *spy = ctx;
    const struct gov_platform *native = gov__platform_native();

    spy->unmaps++;
    spy->bytes -= bytes;
    return spy->unmap_rc != 0 ? spy->unmap_rc
                              : native->unmap(native->ctx, base, bytes);
}

static inline int spy_offer(void *ctx, void *base, size_t bytes)
{
    struct spy *spy = ctx;
    const struct gov_platform *native = gov__platform_native();

    spy->offers++;
    return spy->offer_rc != 0 ? spy->offer_rc
                              : native->offer(native->ctx, base, bytes);
}

static inline int spy_discard(void *ctx, void *base, size_t bytes)
{
    struct spy *spy = ctx;
    const struct gov_platform *native = gov__platform_native();

    spy->discards++;
    return spy->discard_rc != 0 ? spy->discard_rc
                                : native->discard(native->ctx, base, bytes);
}

static inline int spy_trim(void *ctx)
{
    ((struct spy *)ctx)->trims++;
    return 0;
}

static inline void *spy_symbol(void *ctx, const char *name)
{
    struct spy *spy = ctx;

    return spy->symbol != NULL ? spy->symbol(name) : NULL;
}

static inline size_t spy_page_bytes(void *ctx)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    return native->page_bytes(native->ctx);
}

static inline uint64_t spy_now_us(void *ctx)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    return native->now_us(native->ctx);
}

static inline void spy_init(struct spy *spy)
{
    memset(spy, 0, sizeof(*spy));
    spy->table.ctx = spy;
    spy->table.name = "spy";
    spy->table.now_us = spy_now_us;
    spy->table.page_bytes = spy_page_bytes;
    spy->table.map = spy_map;
    spy->table.unmap = spy_unmap;
    spy->table.offer = spy_offer;
    spy->table.discard = spy_discard;
    spy->table.trim = spy_trim;
    spy->table.symbol = spy_symbol;
}

/* Makes the kernel take pages of the range that were freed lazily, now. Others
 * keep their bytes, for there or on swap they are not lost. */
static inline int evict(void *base, size_t bytes)
{
    return madvise(base, bytes, MADV_PAGEOUT) == 0 ? 0 : errno;
}

/* Where the kernel is too old (before 5.4), or no Linux, it takes nothing. */
static inline bool can_evict(void)
{
    const struct gov_platform *native = gov__platform_native();
    const size_t page = native->page_bytes(native->ctx);
    void *base = NULL;
    bool taken;

    if (native->map(native->ctx, page, "probe", &base) != 0)
        return false;
    *(volatile char *)base = 1;
    taken = native->offer(native->ctx, base, page) == 0 &&
            evict(base, page) == 0 && *(volatile char *)base == 0;
    (void)native->unmap(native->ctx, base, page);
    return taken;
}

#define NO_EVICTION "this kernel takes no lazily freed pages on request"

#endif
