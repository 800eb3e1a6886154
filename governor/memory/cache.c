/* SPDX-License-Identifier: MIT */
/* A cache limited by what its values cost, least recently used first out. Owns
 * the table, the order and the copies; a value of four pages or more lies in a
 * purgeable block, so that the kernel may take it, all else in segments, mappings
 * in which entry follows entry.
 *
 * Why segments: what an allocator is given back it keeps, most of it, for no page
 * of it is empty. A segment whose entries are all gone is unmapped, and shrinking
 * moves what is left of sparse ones together. It moves what was used last, so
 * what is touched then is what is least likely to be on swap; what goes is not
 * touched but for its header. An entry that is held, or on its way out, stays
 * where it is, and its segment with it.
 *
 * Dropping never allocates: entries are unlinked under the lock, and their blocks
 * released after it. */
#include "governor/memory/memory_priv.h"

#include <inttypes.h>
#include <string.h>

#define LARGE_PAGES 4
#define DEFAULT_LIMIT ((uint64_t)64 << 20)
#define FEW 16        /* buckets that need no allocation; a power of two */
#define NAME_BYTES 32 /* with the NUL */
#define OPTIONS_BYTES_MAX 4096
#define SEGMENT_BYTES ((uint64_t)64 << 10) /* at least; and at most: */
#define SEGMENT_BYTES_MAX ((uint64_t)1 << 20)
#define SEGMENT_PAGES 16 /* at least, so that four and a header fit */
#define SEGMENTS 1024    /* about so many are a full cache */

struct segment {
    struct segment *next, *prev;
    unsigned char *base;
    size_t used;  /* from base on; all below was written to */
    size_t live;  /* of those, in entries that are there */
    size_t stuck; /* entries that cannot move */
};

/* 8 bytes aligned, for the members and the next one. */
struct entry {
    uint64_t key;
    struct entry *chain; /* next in the bucket, or among those to release */
    struct entry *newer, *older;
    gov_purgeable *block; /* NULL: the value follows */
    struct segment *segment;
    size_t bytes;
    uint32_t holds;
    bool linked; /* in table and order */
    bool dead;   /* only its room is left */
    bool lost;   /* to the kernel, as a hold found */
    _Alignas(8) unsigned char value[];
};

struct gov_cache {
    const struct gov_platform *platform;
    struct gov_alloc alloc;
    pthread_mutex_t lock;
    size_t page;
    char name[NAME_BYTES];
    uint64_t limit_bytes; /* as asked for */
    uint64_t level_bytes; /* as the last level left it */
    uint64_t limit_count;
    uint64_t seed;
    struct entry **buckets; /* few, or an array of the allocator's */
    size_t bucket_count;    /* a power of two */
    struct entry *newest, *oldest;
    gov_purgeable_group *group; /* of all blocks */
    bool lazy;                  /* somebody hands the group over, at need */
    bool pressed;               /* the last level was above NORMAL */
    size_t segment_bytes;
    struct segment *segments;     /* all but the spare one */
    struct segment *open, *spare; /* written to; empty, for the next; or NULL */
    uint64_t used, live;          /* sums over segments */
    uint64_t large_count;
    struct gov_cache_usage usage;
    struct entry *few[FEW];
};

/* ---- table ------------------------------------------------------------------ */

/* The finaliser of splitmix64 (http://prng.di.unimi.it/splitmix64.c). Keys are
 * often hashes already, or 1, 2, 3; the seed keeps whoever chooses them from
 * choosing the bucket too. */
static struct entry **bucket_of(const gov_cache *cache, uint64_t key)
{
    uint64_t z = key ^ cache->seed;

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return &cache->buckets[z & (cache->bucket_count - 1)];
}

static struct entry *find_locked(const gov_cache *cache, uint64_t key)
{
    struct entry *entry = *bucket_of(cache, key);

    while (entry != NULL && entry->key != key)
        entry = entry->chain;
    return entry;
}

static void use_few_locked(gov_cache *cache)
{
    if (cache->buckets != cache->few)
        cache->alloc.release(cache->alloc.ctx, cache->buckets);
    memset(cache->few, 0, sizeof(cache->few));
    cache->buckets = cache->few;
    cache->bucket_count = FEW;
}

/* Room for one more entry. Without memory the chains get longer, no more. */
static void fit_table_locked(gov_cache *cache)
{
    struct entry **buckets;
    size_t want = FEW;

    while (want < cache->usage.count + 1)
        want *= 2;
    if (want <= cache->bucket_count && cache->bucket_count / want < 8)
        return;
    buckets =
        cache->alloc.alloc(cache->alloc.ctx, want * sizeof(struct entry *));
    if (buckets == NULL)
        return;
    memset(buckets, 0, want * sizeof(struct entry *));
    use_few_locked(cache);
    cache->buckets = buckets;
    cache->bucket_count = want;
    for (struct entry *e = cache->newest; e != NULL; e = e->older) {
        struct entry **bucket = bucket_of(cache, e->key);

        e->chain = *bucket;
        *bucket = e;
    }
}

/* ---- order ------------------------------------------------------------------ */

static void unlink_order_locked(gov_cache *cache, struct entry *entry)
{
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        cache->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        cache->oldest = entry->newer;
}

static void make_newest_locked(gov_cache *cache, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    if (cache->newest != NULL)
        cache->newest->newer = entry;
    else
        cache->oldest = entry;
    cache->newest = entry;
}

static uint64_t cost_of(const gov_cache *cache, size_t bytes);

/* Takes the entry out of table and order, and in front of `dropped` unless it is
 * held: then the last one to let go releases it. Returns the new front. */
static struct entry *drop_locked(gov_cache *cache, struct entry *entry,
                                 struct entry *dropped)
{
    struct entry **link = bucket_of(cache, entry->key);

    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    unlink_order_locked(cache, entry);
    entry->linked = false;
    cache->usage.bytes -= cost_of(cache, entry->bytes);
    cache->usage.count--;
    cache->large_count -= entry->block != NULL;
    if (cache->usage.count == 0)
        use_few_locked(cache);
    if (entry->holds > 0)
        return dropped;
    entry->segment->stuck++;
    entry->chain = dropped;
    return entry;
}

static struct entry *evict_locked(gov_cache *cache, uint64_t keep_bytes,
                                  uint64_t keep_count, struct entry *dropped)
{
    while (cache->usage.count > keep_count || cache->usage.bytes > keep_bytes) {
        dropped = drop_locked(cache, cache->oldest, dropped);
        cache->usage.evicted++;
    }
    return dropped;
}

/* ---- entries ---------------------------------------------------------------- */

static bool is_large(const gov_cache *cache, size_t bytes)
{
    return bytes / LARGE_PAGES >= cache->page;
}

/* What an entry takes of its segment. */
static size_t size_of(const gov_cache *cache, size_t bytes)
{
    return sizeof(struct entry) +
           (is_large(cache, bytes) ? 0 : (size_t)gov__round_up(bytes, 8));
}

/* What a value of so many bytes takes, with what is kept about it. */
static uint64_t cost_of(const gov_cache *cache, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return UINT64_MAX;
    return size_of(cache, bytes) +
           (is_large(cache, bytes) ? gov__round_up(bytes, cache->page) : 0);
}

static void free_segments(const gov_cache *cache, struct segment *segment)
{
    while (segment != NULL) {
        struct segment *next = segment->next;

        gov__unmap(cache->platform, segment->base, cache->segment_bytes);
        cache->alloc.release(cache->alloc.ctx, segment);
        segment = next;
    }
}

static struct segment *make_segment(const gov_cache *cache)
{
    struct segment *segment =
        cache->alloc.alloc(cache->alloc.ctx, sizeof(*segment));
    void *base;

    if (segment == NULL)
        return NULL;
    if (cache->platform->map(cache->platform->ctx, cache->segment_bytes,
                             cache->name, &base) != 0) {
        cache->alloc.release(cache->alloc.ctx, segment);
        return NULL;
    }
    memset(segment, 0, sizeof(*segment));
    segment->base = base;
    return segment;
}

/* Called without the lock, for the host's allocator may need the cache. */
static bool make_spare(gov_cache *cache)
{
    struct segment *segment = make_segment(cache);

    if (segment == NULL)
        return false;
    pthread_mutex_lock(&cache->lock);
    if (cache->spare == NULL) {
        cache->spare = segment;
        segment = NULL;
    }
    pthread_mutex_unlock(&cache->lock);
    free_segments(cache, segment);
    return true;
}

/* Room for an entry in a segment; NULL when it takes a spare one. */
static struct entry *place_locked(gov_cache *cache, size_t size)
{
    struct segment *segment = cache->open;
    struct entry *entry;

    if (segment == NULL || cache->segment_bytes - segment->used < size) {
        segment = cache->spare;
        if (segment == NULL)
            return NULL;
        cache->spare = NULL;
        cache->open = segment;
        segment->prev = NULL;
        segment->next = cache->segments;
        if (segment->next != NULL)
            segment->next->prev = segment;
        cache->segments = segment;
    }
    entry = (struct entry *)(void *)(segment->base + segment->used);
    segment->used += size;
    segment->live += size;
    cache->used += size;
    cache->live += size;
    return entry;
}

/* Only its room is left of an entry; of a segment without entries nothing, so
 * that goes in front of `empty`. Returns the new front. */
static struct segment *leave_locked(gov_cache *cache, struct entry *entry,
                                    struct segment *empty)
{
    struct segment *segment = entry->segment;
    const size_t size = size_of(cache, entry->bytes);

    entry->dead = true;
    segment->live -= size;
    cache->live -= size;
    if (segment->live > 0)
        return empty;
    cache->used -= segment->used;
    if (segment->prev != NULL)
        segment->prev->next = segment->next;
    else
        cache->segments = segment->next;
    if (segment->next != NULL)
        segment->next->prev = segment->prev;
    if (cache->open == segment)
        cache->open = NULL;
    segment->next = empty;
    return segment;
}

static void release(gov_cache *cache, struct entry *dropped)
{
    struct segment *empty = NULL;

    if (dropped == NULL)
        return;
    for (struct entry *entry = dropped; entry != NULL; entry = entry->chain)
        gov_purgeable_free(entry->block);
    pthread_mutex_lock(&cache->lock);
    while (dropped != NULL) {
        struct entry *next = dropped->chain;

        dropped->segment->stuck--;
        empty = leave_locked(cache, dropped, empty);
        dropped = next;
    }
    pthread_mutex_unlock(&cache->lock);
    free_segments(cache, empty);
}

/* ---- compaction ------------------------------------------------------------- */

/* Into the open segment; false when there is no room. */
static bool move_locked(gov_cache *cache, struct entry *from,
                        struct segment **empty)
{
    const size_t size = size_of(cache, from->bytes);
    struct entry *to = place_locked(cache, size);
    struct entry **link;

    if (to == NULL)
        return false;
    memcpy(to, from, size);
    to->segment = cache->open;
    for (link = bucket_of(cache, from->key); *link != from;)
        link = &(*link)->chain;
    *link = to;
    if (to->newer != NULL)
        to->newer->older = to;
    else
        cache->newest = to;
    if (to->older != NULL)
        to->older->newer = to;
    else
        cache->oldest = to;
    *empty = leave_locked(cache, from, *empty);
    return true;
}

/* The one of which the least is left; NULL when none would give anything. */
static struct segment *sparsest_locked(const gov_cache *cache)
{
    struct segment *best = NULL;

    for (struct segment *segment = cache->segments; segment != NULL;
         segment = segment->next)
        if (segment != cache->open && segment->stuck == 0 &&
            segment->live < segment->used &&
            (best == NULL || segment->live < best->live))
            best = segment;
    return best;
}

/* Moves entries together until at most 1/part of the segments is holes, and one
 * segment more; a segment at a time, so that others get the lock. */
static void compact(gov_cache *cache, unsigned part)
{
    bool more = true;

    while (more) {
        struct segment *segment, *empty = NULL;
        size_t at = 0, used;

        pthread_mutex_lock(&cache->lock);
        segment = cache->used - cache->live >
                          cache->used / part + cache->segment_bytes
                      ? sparsest_locked(cache)
                      : NULL;
        more = segment != NULL;
        used = more ? segment->used : 0;
        while (more && at < used) {
            struct entry *entry = (struct entry *)(void *)(segment->base + at);

            at += size_of(cache, entry->bytes);
            more = entry->dead || move_locked(cache, entry, &empty);
        }
        pthread_mutex_unlock(&cache->lock);
        /* The next one moves into its room: no page of it is there any more. */
        if (empty != NULL &&
            cache->platform->discard(cache->platform->ctx, empty->base,
                                     cache->segment_bytes) == 0) {
            pthread_mutex_lock(&cache->lock);
            if (cache->spare == NULL) {
                *empty = (struct segment){.base = empty->base};
                cache->spare = empty;
                empty = NULL;
            }
            pthread_mutex_unlock(&cache->lock);
        }
        free_segments(cache, empty);
    }
}

/* ---- blocks ----------------------------------------------------------------- */

/* Whom nobody hands over later is handed over at once. */
static void let_kernel_have(gov_cache *cache, gov_purgeable *block)
{
    bool now;

    pthread_mutex_lock(&cache->lock);
    now = !cache->lazy || cache->pressed;
    pthread_mutex_unlock(&cache->lock);
    if (now)
        (void)gov__purgeable_hand_over(block);
}

/* *out stays NULL for a small value, which its entry holds. */
static gov_status make_block(gov_cache *cache, gov_purgeable **out,
                             const void *value, size_t bytes, gov_error *err)
{
    gov_status status;

    *out = NULL;
    if (value == NULL || !is_large(cache, bytes))
        return GOV_OK;
    status = gov__purgeable_new_on(out, cache->platform, bytes, cache->name,
                                   &cache->alloc, err);
    if (status != GOV_OK)
        return status;
    memcpy(gov_purgeable_begin(*out, NULL), value, bytes);
    gov_purgeable_join(*out, cache->group);
    gov_purgeable_end(*out); /* ours */
    gov_purgeable_end(*out); /* the one it was made with */
    let_kernel_have(cache, *out);
    return GOV_OK;
}

/* ---- life ------------------------------------------------------------------- */

/* Members that the caller's version of the struct lacks are 0; bytes that this
 * version does not know must be. */
static gov_status read_options(struct gov_cache_options *out,
                               const struct gov_cache_options *in,
                               gov_error *err)
{
    const unsigned char *bytes = (const unsigned char *)in;

    *out = gov_cache_options_default();
    if (in == NULL)
        return GOV_OK;
    if (in->size < sizeof(in->size) || in->size > OPTIONS_BYTES_MAX)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "cache options of %zu bytes are none; start from "
                        "gov_cache_options_default()",
                        in->size);
    for (size_t i = sizeof(*out); i < in->size; i++)
        if (bytes[i] != 0)
            return gov_fail(err, GOV_E_INVALID, 0,
                            "the cache options are of a newer version; leave "
                            "what this library does not know at 0");
    memcpy(out, in, in->size < sizeof(*out) ? in->size : sizeof(*out));
    return GOV_OK;
}

static size_t segment_bytes(uint64_t limit_bytes, size_t page)
{
    uint64_t bytes = limit_bytes / SEGMENTS;

    if (bytes < SEGMENT_BYTES)
        bytes = SEGMENT_BYTES;
    if (bytes > SEGMENT_BYTES_MAX)
        bytes = SEGMENT_BYTES_MAX;
    if (bytes < (uint64_t)SEGMENT_PAGES * page)
        bytes = (uint64_t)SEGMENT_PAGES * page;
    return (size_t)gov__round_up(bytes, page);
}

gov_status gov__cache_new_on(gov_cache **out,
                             const struct gov_platform *platform,
                             const struct gov_cache_options *options,
                             gov_error *err)
{
    struct gov_cache_options o;
    const struct gov_alloc *alloc;
    const char *name;
    gov_cache *cache;
    gov_status status;
    int rc = 0;

    *out = NULL;
    status = read_options(&o, options, err);
    if (status != GOV_OK)
        return status;
    name = o.name != NULL ? o.name : "cache";
    if (strlen(name) >= NAME_BYTES)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the cache name \"%.40s\" is longer than %d bytes; "
                        "shorten it",
                        name, NAME_BYTES - 1);
    alloc = o.alloc != NULL ? o.alloc : gov_alloc_default();
    cache = alloc->alloc(alloc->ctx, sizeof(*cache));
    if (cache == NULL)
        goto fail;
    memset(cache, 0, sizeof(*cache));
    if (gov_purgeable_group_new(&cache->group, alloc, NULL) != GOV_OK)
        goto fail;
    rc = pthread_mutex_init(&cache->lock, NULL);
    if (rc != 0)
        goto fail;
    cache->platform = platform;
    cache->alloc = *alloc;
    cache->page = platform->page_bytes(platform->ctx);
    memcpy(cache->name, name, strlen(name));
    cache->limit_bytes = o.limit_bytes != 0 ? o.limit_bytes : DEFAULT_LIMIT;
    cache->level_bytes = cache->limit_bytes;
    cache->usage.limit_bytes = cache->limit_bytes;
    cache->limit_count = o.limit_count != 0 ? o.limit_count : UINT64_MAX;
    cache->seed = (uintptr_t)cache ^ platform->now_us(platform->ctx);
    cache->buckets = cache->few;
    cache->bucket_count = FEW;
    cache->segment_bytes = segment_bytes(cache->limit_bytes, cache->page);
    *out = cache;
    return GOV_OK;
fail:
    if (cache != NULL)
        gov_purgeable_group_free(cache->group);
    alloc->release(alloc->ctx, cache);
    return gov_fail(err, GOV_E_NOMEM, rc,
                    "no memory for cache \"%s\"; go on without it", name);
}

gov_status gov_cache_new(gov_cache **out,
                         const struct gov_cache_options *options,
                         gov_error *err)
{
    return gov__cache_new_on(out, gov__platform_native(), options, err);
}

void gov_cache_free(gov_cache *cache)
{
    struct gov_alloc alloc;

    if (cache == NULL)
        return;
    alloc = cache->alloc;
    release(cache, evict_locked(cache, 0, 0, NULL));
    free_segments(cache, cache->spare);
    gov_purgeable_group_free(cache->group);
    pthread_mutex_destroy(&cache->lock);
    alloc.release(alloc.ctx, cache);
}

/* ---- use -------------------------------------------------------------------- */

static gov_status refuse(const gov_cache *cache, size_t bytes,
                         uint64_t level_bytes, gov_error *err)
{
    return gov_fail(err, GOV_E_REFUSED, 0,
                    "a value of %zu bytes does not fit cache \"%s\", which "
                    "keeps %" PRIu64 " bytes%s",
                    bytes, cache->name, level_bytes,
                    level_bytes < cache->limit_bytes
                        ? " while memory is short; put it again later"
                        : "; raise its limit");
}

/* Room for an entry, with the lock held then; NULL without it. */
static struct entry *place(gov_cache *cache, size_t size)
{
    struct entry *entry;

    pthread_mutex_lock(&cache->lock);
    while ((entry = place_locked(cache, size)) == NULL) {
        pthread_mutex_unlock(&cache->lock);
        if (!make_spare(cache))
            return NULL;
        pthread_mutex_lock(&cache->lock);
    }
    memset(entry, 0, sizeof(*entry));
    entry->segment = cache->open;
    return entry;
}

/* The entry takes its place, if the level still allows what the caller saw. */
static struct entry *link_locked(gov_cache *cache, struct entry *entry,
                                 uint64_t cost)
{
    struct entry *old = find_locked(cache, entry->key), *dropped = NULL;

    if (old != NULL)
        dropped = drop_locked(cache, old, dropped);
    dropped = evict_locked(cache, cache->level_bytes - cost,
                           cache->limit_count - 1, dropped);
    fit_table_locked(cache);
    entry->chain = *bucket_of(cache, entry->key);
    *bucket_of(cache, entry->key) = entry;
    make_newest_locked(cache, entry);
    entry->linked = true;
    cache->usage.bytes += cost;
    cache->usage.count++;
    cache->large_count += entry->block != NULL;
    return dropped;
}

/* Holes that puts leave are filled now and then, and there is always a spare
 * segment, so that shrinking can move entries without asking for memory. */
static void tidy(gov_cache *cache)
{
    if (make_spare(cache))
        compact(cache, 3);
}

gov_status gov_cache_put(gov_cache *cache, uint64_t key, const void *value,
                         size_t bytes, gov_error *err)
{
    const uint64_t cost = cost_of(cache, bytes);
    struct entry *entry, *dropped;
    gov_purgeable *block;
    uint64_t level_bytes;
    gov_status status;
    bool lacks_spare;

    if (value == NULL && bytes > 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "a value of %zu bytes at NULL cannot be put into cache "
                        "\"%s\"; pass its address",
                        bytes, cache->name);
    pthread_mutex_lock(&cache->lock);
    level_bytes = cache->level_bytes;
    pthread_mutex_unlock(&cache->lock);
    if (cost > level_bytes)
        return refuse(cache, bytes, level_bytes, err);
    /* Copied without the lock; the level may fall meanwhile. */
    status = make_block(cache, &block, value, bytes, err);
    if (status != GOV_OK)
        return status;
    entry = place(cache, size_of(cache, bytes));
    if (entry == NULL) {
        gov_purgeable_free(block);
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for a value of %zu bytes in cache \"%s\"; "
                        "shrink the cache or go on without",
                        bytes, cache->name);
    }
    entry->key = key;
    entry->bytes = bytes;
    entry->block = block;
    if (block == NULL && bytes > 0)
        memcpy(entry->value, value, bytes);
    level_bytes = cache->level_bytes;
    if (cost <= level_bytes) {
        dropped = link_locked(cache, entry, cost);
    } else {
        entry->segment->stuck++;
        dropped = entry;
        status = refuse(cache, bytes, level_bytes, err);
    }
    lacks_spare = cache->spare == NULL;
    pthread_mutex_unlock(&cache->lock);
    release(cache, dropped);
    if (lacks_spare)
        tidy(cache);
    return status;
}

bool gov_cache_get(gov_cache *cache, uint64_t key, void *out, size_t room,
                   size_t *bytes)
{
    struct entry *entry, *dropped = NULL;
    bool found = false;

    if (out == NULL)
        room = 0;
    pthread_mutex_lock(&cache->lock);
    entry = find_locked(cache, key);
    if (entry == NULL) {
        cache->usage.misses++;
        goto done;
    }
    room = room < entry->bytes ? room : entry->bytes;
    if (entry->block != NULL && !gov__purgeable_read(entry->block, out, room)) {
        cache->usage.lost++;
        dropped = drop_locked(cache, entry, NULL);
        goto done;
    }
    if (entry->block == NULL && room > 0)
        memcpy(out, entry->value, room);
    if (bytes != NULL)
        *bytes = entry->bytes;
    unlink_order_locked(cache, entry);
    make_newest_locked(cache, entry);
    cache->usage.hits++;
    found = true;
done:
    pthread_mutex_unlock(&cache->lock);
    release(cache, dropped);
    return found;
}

void gov_cache_remove(gov_cache *cache, uint64_t key)
{
    struct entry *entry;

    pthread_mutex_lock(&cache->lock);
    entry = find_locked(cache, key);
    if (entry != NULL)
        entry = drop_locked(cache, entry, NULL);
    pthread_mutex_unlock(&cache->lock);
    release(cache, entry);
}

/* ---- holding ---------------------------------------------------------------- */

static void let_go(gov_cache *cache, struct entry *entry)
{
    struct entry *dropped = NULL;

    if (entry->block != NULL) {
        gov_purgeable_end(entry->block);
        let_kernel_have(cache, entry->block);
    }
    pthread_mutex_lock(&cache->lock);
    if (--entry->holds == 0 && !entry->linked) {
        entry->chain = NULL;
        dropped = entry; /* stays stuck until it is released */
    } else if (entry->holds == 0) {
        entry->segment->stuck--;
    }
    pthread_mutex_unlock(&cache->lock);
    release(cache, dropped);
}

bool gov_cache_hold(gov_cache *cache, uint64_t key, struct gov_cache_held *out)
{
    gov_purge_state state = GOV_PURGE_KEPT;
    struct entry *entry;
    bool kept;

    *out = (struct gov_cache_held){NULL, 0, NULL};
    pthread_mutex_lock(&cache->lock);
    entry = find_locked(cache, key);
    if (entry == NULL)
        cache->usage.misses++;
    else if (entry->holds++ == 0)
        entry->segment->stuck++;
    pthread_mutex_unlock(&cache->lock);
    if (entry == NULL)
        return false;
    out->value = entry->block != NULL
                     ? gov_purgeable_begin(entry->block, &state)
                     : entry->value;
    pthread_mutex_lock(&cache->lock);
    /* A loss is told until somebody lets go; who comes after that finds zeroes,
     * and this. */
    kept = state == GOV_PURGE_KEPT && !entry->lost;
    entry->lost = !kept;
    cache->usage.hits += kept;
    cache->usage.lost += !kept;
    if (entry->linked && kept) {
        unlink_order_locked(cache, entry);
        make_newest_locked(cache, entry);
    } else if (entry->linked) {
        (void)drop_locked(cache, entry, NULL); /* held, so it stays */
    }
    pthread_mutex_unlock(&cache->lock);
    if (kept) {
        out->bytes = entry->bytes;
        out->own = entry;
    } else {
        out->value = NULL;
        let_go(cache, entry);
    }
    return kept;
}

void gov_cache_let_go(gov_cache *cache, struct gov_cache_held *held)
{
    if (held->own != NULL)
        let_go(cache, held->own);
    *held = (struct gov_cache_held){NULL, 0, NULL};
}

/* ---- by level --------------------------------------------------------------- */

uint64_t gov_cache_shrink(gov_cache *cache, uint64_t keep_bytes)
{
    struct entry *dropped;
    uint64_t before, after;

    pthread_mutex_lock(&cache->lock);
    before = cache->usage.bytes;
    dropped = evict_locked(cache, keep_bytes, UINT64_MAX, NULL);
    after = cache->usage.bytes;
    pthread_mutex_unlock(&cache->lock);
    release(cache, dropped);
    if (before != after)
        compact(cache, 32);
    return before - after;
}

uint64_t gov__cache_keeps(uint64_t limit_bytes, gov_level level,
                          uint64_t floor_bytes)
{
    const uint64_t keep_bytes = level >= GOV_LEVEL_CRITICAL ? 0
                                : level >= GOV_LEVEL_WARN   ? limit_bytes / 2
                                                            : limit_bytes;

    if (floor_bytes > limit_bytes)
        floor_bytes = limit_bytes;
    return keep_bytes > floor_bytes ? keep_bytes : floor_bytes;
}

uint64_t gov__cache_apply(gov_cache *cache, gov_level level,
                          uint64_t floor_bytes)
{
    const uint64_t keep_bytes =
        gov__cache_keeps(cache->limit_bytes, level, floor_bytes);
    uint64_t dropped;

    pthread_mutex_lock(&cache->lock);
    cache->level_bytes = keep_bytes;
    cache->pressed = level >= GOV_LEVEL_WARN;
    pthread_mutex_unlock(&cache->lock);
    dropped = gov_cache_shrink(cache, keep_bytes);
    if (level >= GOV_LEVEL_WARN)
        (void)gov__cache_hand_over(cache);
    return dropped;
}

/* What goes first of a segment is not its pages: at most 1/32 of what stays, and
 * a segment, are holes afterwards (gov_cache_shrink()). */
static uint64_t given_locked(const gov_cache *cache, uint64_t keep_bytes)
{
    uint64_t left = cache->usage.bytes, stays = cache->live, given = 0, holes;

    for (const struct entry *entry = cache->oldest;
         entry != NULL && left > keep_bytes; entry = entry->newer) {
        const uint64_t size = size_of(cache, entry->bytes);

        left -= cost_of(cache, entry->bytes);
        stays -= size;
        if (entry->segment->stuck == 0) /* nor is this one held */
            given += size;
        if (entry->block != NULL)
            given += gov__purgeable_idle(entry->block);
    }
    holes = stays == 0 ? 0 : stays / 32 + cache->segment_bytes;
    return given > holes ? given - holes : 0;
}

uint64_t gov__cache_offer(gov_cache *cache, gov_level level,
                          uint64_t floor_bytes)
{
    uint64_t bytes;

    pthread_mutex_lock(&cache->lock);
    bytes = given_locked(
        cache, gov__cache_keeps(cache->limit_bytes, level, floor_bytes));
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}

uint64_t gov__cache_grow(gov_cache *cache, uint64_t bytes)
{
    uint64_t missing;

    pthread_mutex_lock(&cache->lock);
    missing = cache->limit_bytes - cache->level_bytes;
    if (bytes > missing)
        bytes = missing;
    cache->level_bytes += bytes;
    cache->pressed = false;
    pthread_mutex_unlock(&cache->lock);
    return missing - bytes;
}

void gov__cache_lazy(gov_cache *cache, bool lazy)
{
    pthread_mutex_lock(&cache->lock);
    cache->lazy = lazy;
    pthread_mutex_unlock(&cache->lock);
    if (!lazy)
        (void)gov__cache_hand_over(cache);
}

uint64_t gov__cache_hand_over(gov_cache *cache)
{
    return gov_purgeable_group_hand_over(cache->group);
}

uint64_t gov_cache_apply_level(gov_cache *cache, gov_level level)
{
    return gov__cache_apply(cache, level, 0);
}

void gov_cache_usage(gov_cache *cache, struct gov_cache_usage *out)
{
    pthread_mutex_lock(&cache->lock);
    *out = cache->usage;
    pthread_mutex_unlock(&cache->lock);
}
