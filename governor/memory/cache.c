/* SPDX-License-Identifier: MIT */
/* A cache limited by what its values cost, least recently used first out. Owns
 * the table, the order and the copies; a value of four pages or more lies in a
 * purgeable block, so that the kernel may take it, smaller ones in the host's
 * allocator, where only dropping them helps: a mapping of its own would cost
 * them more than it could give back.
 *
 * Dropping never allocates and touches no value, for a value that has been cold
 * may be on swap: entries are unlinked under the lock and released after it. */
#include "governor/memory/memory_priv.h"

#include <inttypes.h>
#include <string.h>

#define LARGE_PAGES 4
#define DEFAULT_LIMIT ((uint64_t)64 << 20)
#define FEW 16        /* buckets that need no allocation; a power of two */
#define NAME_BYTES 32 /* with the NUL */
#define OPTIONS_BYTES_MAX 4096

struct entry {
    uint64_t key;
    struct entry *chain; /* next in the bucket, or among those to release */
    struct entry *newer, *older;
    uint64_t cost;
    size_t bytes;
    gov_purgeable *block; /* NULL: the value follows */
    unsigned char value[];
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

/* Takes the entry out and puts it in front of `dropped`; returns it. */
static struct entry *drop_locked(gov_cache *cache, struct entry *entry,
                                 struct entry *dropped)
{
    struct entry **link = bucket_of(cache, entry->key);

    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    unlink_order_locked(cache, entry);
    cache->usage.bytes -= entry->cost;
    cache->usage.count--;
    if (cache->usage.count == 0)
        use_few_locked(cache);
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

static void release(const gov_cache *cache, struct entry *dropped)
{
    while (dropped != NULL) {
        struct entry *next = dropped->chain;

        gov_purgeable_free(dropped->block);
        cache->alloc.release(cache->alloc.ctx, dropped);
        dropped = next;
    }
}

static bool is_large(const gov_cache *cache, size_t bytes)
{
    return bytes / LARGE_PAGES >= cache->page;
}

/* What a value of so many bytes takes, with what is kept about it. */
static uint64_t cost_of(const gov_cache *cache, size_t bytes)
{
    uint64_t value = bytes;

    if (bytes > SIZE_MAX / 2)
        return UINT64_MAX;
    if (is_large(cache, bytes))
        value = gov__round_up(bytes, cache->page);
    return value + sizeof(struct entry);
}

static gov_status make_entry(const gov_cache *cache, struct entry **out,
                             const void *value, size_t bytes, gov_error *err)
{
    const bool large = is_large(cache, bytes);
    struct entry *entry = cache->alloc.alloc(
        cache->alloc.ctx, sizeof(*entry) + (large ? 0 : bytes));
    void *to;

    *out = NULL;
    if (entry == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for a value of %zu bytes in cache \"%s\"; "
                        "shrink the cache or go on without",
                        bytes, cache->name);
    memset(entry, 0, sizeof(*entry));
    to = entry->value;
    entry->bytes = bytes;
    entry->cost = cost_of(cache, bytes);
    if (large) {
        gov_status status =
            gov__purgeable_new_on(&entry->block, cache->platform, bytes,
                                  cache->name, &cache->alloc, err);

        if (status != GOV_OK) {
            cache->alloc.release(cache->alloc.ctx, entry);
            return status;
        }
        to = gov_purgeable_begin(entry->block, NULL);
    }
    if (value != NULL)
        memcpy(to, value, bytes);
    if (large) {
        gov_purgeable_end(entry->block); /* ours */
        gov_purgeable_end(entry->block); /* the one it was made with */
    }
    *out = entry;
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
    *out = cache;
    return GOV_OK;
fail:
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

gov_status gov_cache_put(gov_cache *cache, uint64_t key, const void *value,
                         size_t bytes, gov_error *err)
{
    const uint64_t cost = cost_of(cache, bytes);
    struct entry *entry, *old, *dropped = NULL;
    uint64_t level_bytes;
    gov_status status;

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
    status = make_entry(cache, &entry, value, bytes, err);
    if (entry == NULL)
        return status;
    entry->key = key;
    pthread_mutex_lock(&cache->lock);
    level_bytes = cache->level_bytes;
    if (cost <= level_bytes) {
        old = find_locked(cache, key);
        if (old != NULL)
            dropped = drop_locked(cache, old, dropped);
        dropped = evict_locked(cache, level_bytes - cost,
                               cache->limit_count - 1, dropped);
        fit_table_locked(cache);
        entry->chain = *bucket_of(cache, key);
        *bucket_of(cache, key) = entry;
        make_newest_locked(cache, entry);
        cache->usage.bytes += cost;
        cache->usage.count++;
    } else {
        dropped = entry;
        status = refuse(cache, bytes, level_bytes, err);
    }
    pthread_mutex_unlock(&cache->lock);
    release(cache, dropped);
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

    pthread_mutex_lock(&cache->lock);
    cache->level_bytes = keep_bytes;
    pthread_mutex_unlock(&cache->lock);
    return gov_cache_shrink(cache, keep_bytes);
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
