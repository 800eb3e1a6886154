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
    size_t passed_over; /* mappings of this size count in `bytes` alone */
    int map_rc, unmap_rc, offer_rc, discard_rc, resident_rc;
    _Atomic(unsigned char *) last_base;
    const char *_Atomic last_tag;
    void *(*symbol)(const char *name); /* NULL: no symbols */
    /* What the C library's allocator and the kernel say, and do on a trim. */
    _Atomic int looks;
    uint64_t idle_bytes, footprint_bytes, trim_bytes, later_us;
    int idle_rc, process_rc;
};

static inline int spy_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    struct spy *spy = ctx;
    const struct gov_platform *native = gov__platform_native();
    int rc = spy->map_rc != 0 ? spy->map_rc
                              : native->map(native->ctx, bytes, tag, out);

    if (rc == 0)
        spy->bytes += bytes;
    if (rc == 0 && bytes != spy->passed_over) {
        spy->maps++;
        spy->last_base = *out;
        spy->last_tag = tag;
    }
    return rc;
}

static inline int spy_unmap(void *ctx, void *base, size_t bytes)
{
    struct spy *spy = ctx;
    const struct gov_platform *native = gov__platform_native();

    spy->unmaps += bytes != spy->passed_over;
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

static inline int spy_resident(void *ctx, void *base, size_t bytes,
                               uint64_t *out)
{
    struct spy *spy = ctx;
    const struct gov_platform *native = gov__platform_native();

    return spy->resident_rc != 0
               ? spy->resident_rc
               : native->resident(native->ctx, base, bytes, out);
}

static inline int spy_trim(void *ctx)
{
    struct spy *spy = ctx;

    spy->trims++;
    spy->footprint_bytes -= spy->trim_bytes;
    return 0;
}

static inline int spy_idle(void *ctx, uint64_t *out_bytes)
{
    struct spy *spy = ctx;

    spy->looks++;
    *out_bytes = spy->idle_bytes;
    return spy->idle_rc;
}

static inline int spy_process(void *ctx, int pid, struct gov__process *out)
{
    struct spy *spy = ctx;

    (void)pid;
    *out = (struct gov__process){.footprint_bytes = spy->footprint_bytes};
    return spy->process_rc;
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

    return native->now_us(native->ctx) + ((struct spy *)ctx)->later_us;
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
    spy->table.resident = spy_resident;
    spy->table.trim = spy_trim;
    spy->table.idle = spy_idle;
    spy->table.process = spy_process;
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
