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
 * has gone cold; inside another hold both cost 10 ns. So hold a block for a
 * piece of work, not for each access. */
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
 * are dropped. The limit counts what an entry takes: its value, a purgeable one
 * in whole pages, and some 64 bytes to find it again. On failure the cache is
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

/* Thread-safe, as all that follow. */
GOV_API void gov_cache_remove(gov_cache *cache, uint64_t key);

/* Drops least recently used entries until at most `keep_bytes` are left;
 * returns the bytes dropped. Allocates nothing and touches no value. */
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
/* Accepts NULL. The memory goes back to the system at once. Thread-safe. */
GOV_API void gov_heap_free(void *block);
/* Bytes now allocated under a tag, as asked for; all of them for NULL. */
GOV_API uint64_t gov_heap_bytes(const char *tag);
/* Asks every allocator in reach (jemalloc's arenas, the C library's) to return
 * free memory to the system. What it gave shows in the footprint only. */
GOV_API void gov_heap_purge(void);
/* Bytes that the allocators in reach hold and nobody uses, by their own word: an
 * upper bound of what gov_heap_purge() gives. 0 where they do not tell. */
GOV_API uint64_t gov_heap_idle_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
