/* SPDX-License-Identifier: MIT */
/* Memory an app can have governed: what it costs now (footprint), blocks that
 * the kernel may take (purgeable), a cache on top of them, and a heap whose
 * bytes are known by purpose (tag). */
#ifndef GOV_MEMORY_H
#define GOV_MEMORY_H

#include <stdbool.h>

#include "policies/alloc.h"
#include "policies/level.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the kernel charges to this process, from its own counters. Footprint and
 * clean resident bytes are different things: never add them together. */
struct gov_footprint {
    uint64_t footprint_bytes; /* anonymous + swapped + private shared */
    uint64_t anon_bytes, swap_bytes;
    uint64_t resident_file_bytes; /* may be dropped by the OS */
    uint64_t minor_faults, major_faults;
    uint64_t read_bytes; /* from storage, 0 where the system does not tell */
};

/* Fills *out. GOV_E_UNSUPPORTED where the system keeps no such counters,
 * GOV_E_IO where they cannot be read. */
GOV_API GOV_NODISCARD gov_status gov_footprint_now(struct gov_footprint *out,
                                                   gov_error *err);

/* Bytes in a memory page: 4096, 16384 or 65536. Never assume. */
GOV_API size_t gov_page_bytes(void);

/* Gives the whole pages inside [base, base + bytes) of this process's anonymous
 * memory back to the system at once; they read as zeros afterwards. Returns the
 * bytes of those pages, 0 when there are none or the system cannot. For engines
 * whose buffers have parts that hold nothing. Any thread. */
GOV_API uint64_t gov_discard(void *base, size_t bytes);

/* ---- purgeable: the kernel may take it while nobody holds it ------------- */

/* One contiguous block whose content can be made again. Where the system has no
 * such memory the block simply stays until it is purged. A block that is let go
 * counts in the footprint until the kernel takes it; purging shows at once. The
 * kernel takes it early: reading a large file once is enough. Letting go and
 * taking back cost some 100 ns a page together, and up to 700 once the block
 * has gone cold; inside another hold both cost 10 ns, and so they do in a group
 * until it is handed over. So hold a block for a piece of work, not for each
 * access, or put it into a group. */
typedef struct gov_purgeable gov_purgeable;

typedef enum gov_purge_state {
    GOV_PURGE_KEPT = 0, /* the bytes are as they were left */
    GOV_PURGE_LOST = 1, /* the content is gone; fill it again */
} gov_purge_state;

/* A block of at least `bytes`, zeroed, held (as after begin). `tag` names it in
 * the process's map where the system can; copied, may be NULL. alloc is copied;
 * NULL means the C library's. Owned by the caller.
 *
 * GOV_E_INVALID      0 bytes
 * GOV_E_NOMEM
 * GOV_E_UNSUPPORTED  this system maps no memory */
GOV_API GOV_NODISCARD gov_status
gov_purgeable_new(gov_purgeable **out, size_t bytes, const char *tag,
                  const struct gov_alloc *alloc, gov_error *err);
/* Accepts NULL. Must not be held by another thread. */
GOV_API void gov_purgeable_free(gov_purgeable *block);

/* Holds the block: until the matching end its bytes stay. *state (state may be
 * NULL) says whether they survived since the last end; after GOV_PURGE_LOST the
 * whole block is zero, and each begin says so until somebody has called end:
 * threads that share a block agree among themselves who fills it. Nests;
 * thread-safe. Returns the address, never NULL, always the same. */
GOV_API void *gov_purgeable_begin(gov_purgeable *block, gov_purge_state *state);
/* Lets go; at the last one the kernel may take the block. Nobody may write to
 * it then, nor rely on what is read from it, until the next begin. */
GOV_API void gov_purgeable_end(gov_purgeable *block);
/* Gives the bytes back at once if nobody holds the block. Returns how many: 0
 * when it is held or purged already. The kernel may have had some before. */
GOV_API uint64_t gov_purgeable_purge(gov_purgeable *block);
/* All of them may be used: what was asked for, rounded up to whole pages. */
GOV_API size_t gov_purgeable_bytes(const gov_purgeable *block);

/* Blocks that somebody hands over when memory gets short, all at once, and that
 * the kernel is not told of before: holding and letting go cost some 10 ns each,
 * however large the block. For who listens to pressure, as a relief action does;
 * without that the kernel would have to swap them. */
typedef struct gov_purgeable_group gov_purgeable_group;

/* alloc as for gov_purgeable_new(). GOV_E_NOMEM. */
GOV_API GOV_NODISCARD gov_status gov_purgeable_group_new(
    gov_purgeable_group **out, const struct gov_alloc *alloc, gov_error *err);
/* Its blocks leave it. Accepts NULL. */
GOV_API void gov_purgeable_group_free(gov_purgeable_group *group);
/* Moves a block into a group, or out of any with NULL: who leaves while nobody
 * holds it is handed over. Both may be used meanwhile, but not by another call
 * of this or of either's free. */
GOV_API void gov_purgeable_join(gov_purgeable *block,
                                gov_purgeable_group *group);
/* Hands over what nobody holds: from then on the kernel may take it, and the
 * next begin of each block finds out, as outside a group. Returns the bytes
 * handed over, which stay in the footprint until the kernel takes them.
 * Allocates nothing; reads a word a page. Thread-safe, as all that follow. */
GOV_API uint64_t gov_purgeable_group_hand_over(gov_purgeable_group *group);
/* Purges what nobody holds; returns the bytes given back. Touches no page. */
GOV_API uint64_t gov_purgeable_group_purge(gov_purgeable_group *group);
/* What a purge would give back now: neither what is held nor what the kernel
 * took already. */
GOV_API uint64_t gov_purgeable_group_bytes(gov_purgeable_group *group);

/* ---- cache: cost-limited, least recently used goes first ----------------- */

typedef struct gov_cache gov_cache;

struct gov_cache_options {
    size_t size;                   /* set by gov_cache_options_default() */
    const char *name;              /* copied, at most 31 bytes; NULL: "cache" */
    uint64_t limit_bytes;          /* 0 means 64 MiB */
    uint32_t limit_count;          /* 0 means no limit */
    const struct gov_alloc *alloc; /* copied; NULL means the C library's */
};

static inline struct gov_cache_options gov_cache_options_default(void)
{
    struct gov_cache_options options = {sizeof(struct gov_cache_options), NULL,
                                        0, 0, NULL};
    return options;
}

/* options NULL means the default ones.
 *
 * GOV_E_INVALID  an option is out of range or of a newer version
 * GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_cache_new(
    gov_cache **out, const struct gov_cache_options *options, gov_error *err);
/* Accepts NULL. Nothing may be held. */
GOV_API void gov_cache_free(gov_cache *cache);

/* Stores a copy of `bytes` under `key`, replacing what was there; entries used
 * least recently are dropped until it fits. A value of four pages or more is
 * purgeable: the kernel may take it at any time; smaller ones go only when they
 * are dropped, and are then moved together, so that whole pages come free. The
 * limit counts what an entry takes: its value, a purgeable one in whole pages,
 * and some 80 bytes to find it again. On failure the cache is
 * as it was. Thread-safe.
 *
 * GOV_E_REFUSED  larger than the limit, or than what the last level left of it
 * GOV_E_INVALID  value is NULL and bytes is not 0
 * GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_cache_put(gov_cache *cache, uint64_t key,
                                               const void *value, size_t bytes,
                                               gov_error *err);

/* Copies the value out if it is there and survived: returns true, with *bytes
 * (bytes may be NULL) the value's size; copies at most `room` bytes. out may be
 * NULL to ask for the size only. A value that the kernel took is removed: false
 * then, and what out holds is worthless. Thread-safe. */
GOV_API bool gov_cache_get(gov_cache *cache, uint64_t key, void *out,
                           size_t room, size_t *bytes);

/* A value in place. */
struct gov_cache_held {
    const void *value; /* 8-byte aligned, a large one to a page */
    size_t bytes;
    void *own; /* the cache's */
};

/* Finds a value as gov_cache_get() does and keeps it where it is, whole, until
 * gov_cache_let_go() of *out: also when it is replaced, removed or dropped
 * meanwhile, which then gives its memory back later. For a piece of work. False
 * leaves *out all zero. Thread-safe. */
GOV_API bool gov_cache_hold(gov_cache *cache, uint64_t key,
                            struct gov_cache_held *out);
/* Once for each hold; *held is all zero afterwards, and of such a one there is
 * nothing to let go. Thread-safe. */
GOV_API void gov_cache_let_go(gov_cache *cache, struct gov_cache_held *held);

/* Thread-safe, as all that follow. */
GOV_API void gov_cache_remove(gov_cache *cache, uint64_t key);

/* Drops least recently used entries until at most `keep_bytes` are left;
 * returns the bytes dropped. Allocates nothing, and touches no value that goes;
 * small ones that stay may move. */
GOV_API uint64_t gov_cache_shrink(gov_cache *cache, uint64_t keep_bytes);

/* What a level asks of a cache: NORMAL its limit, WARN half of it, CRITICAL
 * nothing. Holds until the next call: a cache that may keep nothing refuses
 * every value. Returns the bytes dropped. */
GOV_API uint64_t gov_cache_apply_level(gov_cache *cache, gov_level level);

struct gov_cache_usage {
    uint64_t bytes, count;       /* as the limits count them */
    uint64_t limit_bytes;        /* as asked for, whatever the level */
    uint64_t hits, misses, lost; /* each get is one of these */
    uint64_t evicted;            /* dropped to fit a limit */
};
GOV_API void gov_cache_usage(gov_cache *cache, struct gov_cache_usage *out);

/* ---- heap: memory by purpose --------------------------------------------- */

/* Where governed blocks come from. */
typedef enum gov_heap_backend {
    GOV_HEAP_MAPPINGS = 0, /* anonymous mappings, named by tag */
    GOV_HEAP_JEMALLOC = 1, /* the host links jemalloc: arenas by tag */
} gov_heap_backend;

GOV_API gov_heap_backend gov_heap_backend_now(void);

/* At least `bytes` of zeroed memory, 64-byte aligned, counted under `tag` (at
 * most 31 bytes; copied; NULL is ""). For large blocks: each costs a mapping or
 * an arena extent, and 64 bytes. NULL when there is none, when the tag is too
 * long, or when it would be the process's 65th. Thread-safe. */
GOV_API void *gov_heap_alloc(size_t bytes, const char *tag);
/* Accepts NULL. The memory goes back to the system at once, or when
 * gov_heap_decay() says. Thread-safe. */
GOV_API void gov_heap_free(void *block);
/* Bytes now allocated under a tag, as asked for; all of them for NULL. */
GOV_API uint64_t gov_heap_bytes(const char *tag);
/* Asks every allocator in reach (jemalloc's arenas, the C library's) to return
 * free memory to the system. What it gave shows in the footprint only. */
GOV_API void gov_heap_purge(void);
/* The same for what was freed under one tag; returns the bytes given back. 0 of
 * mappings, which go back as they are freed, and of a tag that is none. */
GOV_API uint64_t gov_heap_purge_tag(const char *tag);
/* How long jemalloc keeps what is freed under tags, for whoever allocates next:
 * a second at NORMAL, above it not at all, and what it has goes at once. Before
 * the first call nothing is kept, for nobody might purge. The host's own arenas
 * are left alone. */
GOV_API void gov_heap_decay(gov_level level);
/* Bytes that gov_heap_purge() would give now, about: of the C library's allocator
 * an estimate by the pieces that are free (half of what is, where it does not tell
 * them) and by what the purges before gave. At most a second old; asking more often costs nothing. 0 where the
 * allocators do not tell. */
GOV_API uint64_t gov_heap_idle_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
