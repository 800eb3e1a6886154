/* SPDX-License-Identifier: MIT */
/* What the files of governor/memory share, and what their tests reach for: the
 * public calls on any platform table. A table is borrowed and must outlive what
 * was made with it. */
#ifndef GOV_MEMORY_MEMORY_PRIV_H
#define GOV_MEMORY_MEMORY_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "governor/memory.h"
#include "governor/platform/platform.h"

/* Unmaps. Blocks of one name side by side are one mapping to the kernel, and it
 * refuses to split that once there are 65530 (vm.max_map_count): then the range
 * gives at least its memory back. */
static inline void gov__unmap(const struct gov_platform *platform, void *base,
                              size_t bytes)
{
    if (platform->unmap(platform->ctx, base, bytes) != 0)
        (void)platform->discard(platform->ctx, base, bytes);
}

gov_status gov__footprint_on(const struct gov_platform *platform,
                             struct gov_footprint *out, gov_error *err);

gov_status gov__purgeable_new_on(gov_purgeable **out,
                                 const struct gov_platform *platform,
                                 size_t bytes, const char *tag,
                                 const struct gov_alloc *alloc, gov_error *err);

/* Copies the first `room` bytes (at most the block's) to out, without a hold
 * and without making a page dirty. False when the block did not survive: what
 * was copied is then worthless. Much cheaper than begin, copy, end: the kernel
 * is told nothing, so nothing has to be taken back from it. Nobody may write to
 * the block meanwhile. */
bool gov__purgeable_read(gov_purgeable *block, void *out, size_t room);

/* Hands one block over, if nobody holds it and it was not before; returns its
 * bytes then, else 0. */
uint64_t gov__purgeable_hand_over(gov_purgeable *block);
/* What gov_purgeable_purge() would give back now, as the footprint shows it. */
uint64_t gov__purgeable_idle(gov_purgeable *block);

gov_status gov__cache_new_on(gov_cache **out,
                             const struct gov_platform *platform,
                             const struct gov_cache_options *options,
                             gov_error *err);
/* What a cache of that limit keeps at a level: gov_cache_apply_level(), but never
 * less than a floor that the policy sets. */
uint64_t gov__cache_keeps(uint64_t limit_bytes, gov_level level,
                          uint64_t floor_bytes);
uint64_t gov__cache_apply(gov_cache *cache, gov_level level,
                          uint64_t floor_bytes);
/* What gov__cache_apply() would give back now, as the footprint shows it: neither
 * what is held nor what the kernel took already. */
uint64_t gov__cache_offer(gov_cache *cache, gov_level level,
                          uint64_t floor_bytes);
/* After a level has passed: so many bytes more, up to the limit. Returns what is
 * missing to that. */
uint64_t gov__cache_grow(gov_cache *cache, uint64_t bytes);
/* lazy: the caller promises gov__cache_hand_over(), or gov__cache_apply(), when
 * memory gets short; until then the kernel is not told of values. Else, and from
 * WARN on, each is handed over as it is put or let go. */
void gov__cache_lazy(gov_cache *cache, bool lazy);
/* Returns the bytes that the kernel may take now and could not before. */
uint64_t gov__cache_hand_over(gov_cache *cache);

#define GOV__HEAP_TAGS 64

/* The three entries of jemalloc that we use, under whatever prefix. */
struct gov__jemalloc {
    void *(*mallocx)(size_t bytes, int flags);
    void (*dallocx)(void *block, int flags);
    int (*mallctl)(const char *name, void *old, size_t *old_bytes, void *new,
                   size_t new_bytes);
};

struct gov__heap_tag {
    char name[32];
    _Atomic uint64_t bytes;
    bool has_arena;
    unsigned arena;
};

/* What the C library's allocator says is free, and what of that came back so
 * far: see heap.c. */
struct gov__heap_idle {
    bool known, learned;
    uint64_t looked_us;        /* when `bytes` was true */
    uint64_t bytes, raw_bytes; /* on offer; by the allocator's own word */
    uint64_t floor_bytes;      /* raw, and no page of it */
    uint64_t footprint_bytes;  /* after the last purge */
    uint32_t yield_permille;
};

/* Start with GOV__HEAP_INIT. A tag, once there, stays: blocks point at it. */
struct gov__heap {
    pthread_mutex_t lock; /* all but `bytes` of a tag */
    bool ready;           /* platform, backend and jemalloc are set */
    const struct gov_platform *platform;
    gov_heap_backend backend;
    struct gov__jemalloc jemalloc;
    unsigned tag_count;
    uint32_t decay_ms; /* of the tags' arenas */
    struct gov__heap_idle idle;
    struct gov__heap_tag tags[GOV__HEAP_TAGS];
};

/* platform NULL means the native one. */
#define GOV__HEAP_INIT(platform_)                                              \
    {                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER, .platform = (platform_)             \
    }

gov_heap_backend gov__heap_backend(struct gov__heap *heap);
void *gov__heap_alloc(struct gov__heap *heap, size_t bytes, const char *name);
/* block is not NULL. */
void gov__heap_free(struct gov__heap *heap, void *block);
uint64_t gov__heap_bytes(struct gov__heap *heap, const char *name);
void gov__heap_purge(struct gov__heap *heap);
uint64_t gov__heap_purge_tag(struct gov__heap *heap, const char *name);
void gov__heap_decay(struct gov__heap *heap, gov_level level);
uint64_t gov__heap_idle(struct gov__heap *heap);

#endif
