/* SPDX-License-Identifier: MIT */
/* Memory by purpose: one jemalloc arena per tag where the host brought jemalloc
 * along, anonymous mappings named by tag elsewhere. Never links jemalloc, and
 * never changes what malloc or operator new mean to the host: jemalloc is
 * looked up by name among what the process has already.
 *
 * Debian's libjemalloc cannot be loaded later (its thread-local storage is
 * static), so the one look-up at the first use is enough. A jemalloc linked
 * statically into a program is found only if the program exports mallocx
 * (-rdynamic); if not, blocks are mappings and gov_heap_backend_now() says so. */
#include "governor/memory/memory_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* In front of each block; its size keeps the block on a line of its own. */
union header {
    struct {
        size_t bytes; /* as asked for */
        struct gov__heap_tag *tag;
    } at;
    unsigned char line[64];
};

/* From jemalloc.h 4.0 to 5.3, which need not be there when this is compiled and
 * may rename its functions by macros when it is. */
#define MALLOCX_LG_ALIGN_64 6
#define MALLOCX_ZERO 0x40
#define MALLOCX_TCACHE_NONE 0x100
#define MALLOCX_ARENA_SHIFT 20
#define MALLCTL_ARENAS_ALL "4096"

/* How long freed memory waits for the next allocation while there is enough. */
#define KEEP_MS 1000

/* The one mutable static of the library. gov_heap_alloc() takes no handle, as
 * malloc takes none: what it hands out must be freeable by anybody, and its
 * tags are the process's. Tags are claimed once and only counted afterwards. */
static struct gov__heap process_heap = GOV__HEAP_INIT(NULL);

/* ISO C has no conversion from void * to a function pointer; POSIX promises
 * that they have one representation. */
static bool find_symbol(const struct gov_platform *platform, const char *prefix,
                        const char *name, void *function)
{
    char full[32];
    void *symbol;

    snprintf(full, sizeof(full), "%s%s", prefix, name);
    symbol = platform->symbol(platform->ctx, full);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

/* opt.retain came with 5.0, as arenas.create did; before, the flags of
 * mallocx() meant other things. */
static bool find_jemalloc(struct gov__heap *heap)
{
    static const char *const prefixes[] = {"", "je_"};
    struct gov__jemalloc *je = &heap->jemalloc;

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        bool retain;
        size_t bytes = sizeof(retain);

        if (find_symbol(heap->platform, prefixes[i], "mallocx", &je->mallocx) &&
            find_symbol(heap->platform, prefixes[i], "dallocx", &je->dallocx) &&
            find_symbol(heap->platform, prefixes[i], "mallctl", &je->mallctl) &&
            je->mallctl("opt.retain", &retain, &bytes, NULL, 0) == 0)
            return true;
    }
    return false;
}

static void make_ready_locked(struct gov__heap *heap)
{
    if (heap->ready)
        return;
    if (heap->platform == NULL)
        heap->platform = gov__platform_native();
    heap->backend = find_jemalloc(heap) ? GOV_HEAP_JEMALLOC : GOV_HEAP_MAPPINGS;
    heap->ready = true;
}

static struct gov__heap_tag *find_tag_locked(struct gov__heap *heap,
                                             const char *name)
{
    for (unsigned i = 0; i < heap->tag_count; i++)
        if (strcmp(heap->tags[i].name, name) == 0)
            return &heap->tags[i];
    return NULL;
}

/* Freed pages wait so long for somebody to need them; setting 0 purges at once.
 * jemalloc looks at the clock when it allocates or frees only, so who waits may
 * wait for good, unless a purge comes. */
static void set_decay(const struct gov__jemalloc *je, unsigned arena,
                      uint32_t decay_ms)
{
    static const char *const kinds[] = {"dirty", "muzzy"};
    ssize_t now = (ssize_t)decay_ms;
    char name[48];

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        snprintf(name, sizeof(name), "arena.%u.%s_decay_ms", arena, kinds[i]);
        (void)je->mallctl(name, NULL, NULL, &now, sizeof(now));
    }
}

static bool make_arena(const struct gov__heap *heap, unsigned *arena)
{
    size_t bytes = sizeof(*arena);

    if (heap->jemalloc.mallctl("arenas.create", arena, &bytes, NULL, 0) != 0)
        return false;
    set_decay(&heap->jemalloc, *arena, heap->decay_ms);
    return true;
}

static struct gov__heap_tag *claim_tag(struct gov__heap *heap, const char *name)
{
    struct gov__heap_tag *tag = NULL;

    if (strlen(name) >= sizeof(tag->name))
        return NULL;
    pthread_mutex_lock(&heap->lock);
    make_ready_locked(heap);
    tag = find_tag_locked(heap, name);
    if (tag == NULL && heap->tag_count < GOV__HEAP_TAGS) {
        tag = &heap->tags[heap->tag_count++];
        snprintf(tag->name, sizeof(tag->name), "%s", name);
    }
    if (tag != NULL && heap->backend == GOV_HEAP_JEMALLOC && !tag->has_arena)
        tag->has_arena = make_arena(heap, &tag->arena);
    if (tag != NULL && heap->backend == GOV_HEAP_JEMALLOC && !tag->has_arena)
        tag = NULL;
    pthread_mutex_unlock(&heap->lock);
    return tag;
}

gov_heap_backend gov__heap_backend(struct gov__heap *heap)
{
    gov_heap_backend backend;

    pthread_mutex_lock(&heap->lock);
    make_ready_locked(heap);
    backend = heap->backend;
    pthread_mutex_unlock(&heap->lock);
    return backend;
}

void *gov__heap_alloc(struct gov__heap *heap, size_t bytes, const char *name)
{
    struct gov__heap_tag *tag = claim_tag(heap, name != NULL ? name : "");
    union header *header = NULL;
    void *base = NULL;

    if (tag == NULL || bytes > SIZE_MAX / 2)
        return NULL;
    /* From here on platform, backend and jemalloc do not change. */
    if (heap->backend == GOV_HEAP_JEMALLOC)
        base = heap->jemalloc.mallocx(
            sizeof(*header) + bytes,
            MALLOCX_LG_ALIGN_64 | MALLOCX_ZERO | MALLOCX_TCACHE_NONE |
                (int)((tag->arena + 1) << MALLOCX_ARENA_SHIFT));
    else if (heap->platform->map(heap->platform->ctx, sizeof(*header) + bytes,
                                 tag->name, &base) != 0)
        return NULL;
    if (base == NULL)
        return NULL;
    header = base;
    header->at.bytes = bytes;
    header->at.tag = tag;
    atomic_fetch_add(&tag->bytes, bytes);
    return header + 1;
}

void gov__heap_free(struct gov__heap *heap, void *block)
{
    union header *header = (union header *)block - 1;
    const size_t bytes = header->at.bytes;

    atomic_fetch_sub(&header->at.tag->bytes, bytes);
    if (heap->backend == GOV_HEAP_JEMALLOC)
        heap->jemalloc.dallocx(header, MALLOCX_TCACHE_NONE);
    else
        gov__unmap(heap->platform, header, sizeof(*header) + bytes);
}

uint64_t gov__heap_bytes(struct gov__heap *heap, const char *name)
{
    uint64_t bytes = 0;

    pthread_mutex_lock(&heap->lock);
    for (unsigned i = 0; i < heap->tag_count; i++)
        if (name == NULL || strcmp(heap->tags[i].name, name) == 0)
            bytes += atomic_load(&heap->tags[i].bytes);
    pthread_mutex_unlock(&heap->lock);
    return bytes;
}

/* ---- giving back --------------------------------------------------------------- */

/* One figure of jemalloc's statistics; 0 where they were not built in. */
static uint64_t statistic(const struct gov__jemalloc *je, const char *name)
{
    size_t value = 0, bytes = sizeof(value);

    return je->mallctl(name, &value, &bytes, NULL, 0) == 0 ? value : 0;
}

/* What a purge of an arena, or of all of them, gives. */
static uint64_t unused_bytes(const struct gov__jemalloc *je, const char *arena)
{
    uint64_t pages = 0, epoch = 1;
    char name[48];

    /* Statistics are those of the last epoch: begin a new one. */
    (void)je->mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
    snprintf(name, sizeof(name), "stats.arenas.%s.pdirty", arena);
    pages = statistic(je, name);
    snprintf(name, sizeof(name), "stats.arenas.%s.pmuzzy", arena);
    pages += statistic(je, name);
    return pages * statistic(je, "arenas.page");
}

static uint64_t footprint(const struct gov_platform *platform)
{
    struct gov__process now;

    if (platform->process == NULL ||
        platform->process(platform->ctx, 0, &now) != 0)
        return 0;
    return now.footprint_bytes;
}

static uint64_t free_bytes(const struct gov_platform *platform)
{
    uint64_t bytes = 0;

    return platform->idle != NULL && platform->idle(platform->ctx, &bytes) == 0
               ? bytes
               : 0;
}

/* Of a yield less is expected than was seen, never nothing: what is not tried is
 * not learned. */
#define YIELD_UNKNOWN 500
#define YIELD_MIN 60
#define LOOK_US 1000000

/* What mallinfo2() returns, glibc's from 2.33 on. */
struct glibc_info {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks;
    size_t fordblks, keepcost;
};

/* Permille of what the C library says is free that a trim may give. glibc gives
 * whole pages: of each free piece one less than it has, on average, and nothing of
 * what waits in fast bins. Many crumbs hide a large piece, which is learned
 * (test_heap, tests/pressure/yield.sh). */
static uint32_t yield_of(const struct gov_platform *platform)
{
    const uint64_t page = platform->page_bytes(platform->ctx);
    struct glibc_info (*ask)(void);
    struct glibc_info info;
    uint64_t lost, permille;

    if (!find_symbol(platform, "", "mallinfo2", &ask))
        return YIELD_UNKNOWN;
    info = ask();
    lost = info.fsmblks + info.ordblks * page;
    if (lost >= info.fordblks)
        return YIELD_MIN;
    permille = (info.fordblks - lost) / (info.fordblks / 1000 + 1);
    return permille < YIELD_MIN ? YIELD_MIN : (uint32_t)permille;
}

/* The C library says how much is free, not how much of that is whole pages that
 * are there: pages that went back with the last trim still count. Those are what
 * was free just after it, or less, once some of it is seen in use again; and
 * whatever the process has grown by since may be some of them, touched again
 * while nobody looked. */
static uint64_t fresh_bytes_locked(struct gov__heap *heap)
{
    const uint64_t raw = free_bytes(heap->platform);
    struct gov__heap_idle *idle = &heap->idle;
    uint64_t fresh, now;

    if (raw < idle->floor_bytes)
        idle->floor_bytes = raw;
    fresh = raw - idle->floor_bytes;
    if (idle->floor_bytes > 0) {
        now = footprint(heap->platform);
        fresh += now > idle->footprint_bytes ? now - idle->footprint_bytes : 0;
    }
    return fresh < raw ? fresh : raw;
}

static uint64_t within(uint64_t bytes, uint64_t least, uint64_t most)
{
    if (bytes < least)
        return least;
    return bytes < most ? bytes : most;
}

/* jemalloc counts pages that it unmaps or empties, but also those among them that
 * nobody ever touched: the ends of its size classes. So it, too, is believed as
 * far as it was right. */
uint64_t gov__heap_idle(struct gov__heap *heap)
{
    struct gov__heap_idle *idle = &heap->idle;
    uint64_t now, bytes, unused = 0;

    pthread_mutex_lock(&heap->lock);
    make_ready_locked(heap);
    now = heap->platform->now_us(heap->platform->ctx);
    if (!idle->known || now - idle->looked_us >= LOOK_US) {
        idle->looked_us = now;
        idle->known = true;
        bytes = fresh_bytes_locked(heap);
        if (heap->backend == GOV_HEAP_JEMALLOC)
            unused = unused_bytes(&heap->jemalloc, MALLCTL_ARENAS_ALL);
        idle->raw_bytes = bytes + unused;
        bytes = bytes / 1000 * yield_of(heap->platform) +
                unused / 1000 * YIELD_UNKNOWN;
        if (idle->learned)
            bytes = bytes / 1000 * idle->yield_permille;
        idle->bytes =
            within(bytes, idle->raw_bytes / 1000 * YIELD_MIN, idle->raw_bytes);
    }
    bytes = idle->bytes;
    pthread_mutex_unlock(&heap->lock);
    return bytes;
}

/* The difference, where both are known; others allocate and free meanwhile. */
static uint64_t fallen(uint64_t before, uint64_t after)
{
    return before > after ? before - after : 0;
}

/* What a purge gave of what was expected, where nothing had been learned, of it; of
 * little there is little to learn, and nothing where little was expected and less
 * came. */
static void learn_locked(struct gov__heap_idle *idle, uint64_t given)
{
    const uint64_t before = idle->learned ? idle->yield_permille : 1000;
    uint64_t permille;

    if (idle->raw_bytes < (uint64_t)1 << 20 || idle->bytes == 0 ||
        (given < idle->bytes &&
         idle->bytes <= idle->raw_bytes / 1000 * YIELD_MIN))
        return;
    permille = within(given, 0, idle->raw_bytes) * before / idle->bytes;
    if (idle->learned)
        permille = (permille + before) / 2;
    idle->learned = true;
    idle->yield_permille =
        (uint32_t)within(permille, YIELD_MIN, 1000000 / YIELD_MIN);
}

void gov__heap_purge(struct gov__heap *heap)
{
    const bool has_arenas = gov__heap_backend(heap) == GOV_HEAP_JEMALLOC;
    const struct gov_platform *platform = heap->platform;
    uint64_t before = footprint(platform), after;

    if (has_arenas)
        (void)heap->jemalloc.mallctl("arena." MALLCTL_ARENAS_ALL ".purge", NULL,
                                     NULL, NULL, 0);
    (void)platform->trim(platform->ctx);
    after = footprint(platform);
    pthread_mutex_lock(&heap->lock);
    if (heap->idle.known && before != 0 && after != 0)
        learn_locked(&heap->idle, fallen(before, after));
    heap->idle.floor_bytes = free_bytes(platform);
    heap->idle.footprint_bytes = after;
    heap->idle.known = false;
    pthread_mutex_unlock(&heap->lock);
}

uint64_t gov__heap_purge_tag(struct gov__heap *heap, const char *name)
{
    const struct gov__heap_tag *tag;
    uint64_t given = 0, unused, before, after;
    char arena[16], purge[32];

    pthread_mutex_lock(&heap->lock);
    make_ready_locked(heap);
    tag = find_tag_locked(heap, name != NULL ? name : "");
    if (tag != NULL && tag->has_arena) {
        snprintf(arena, sizeof(arena), "%u", tag->arena);
        snprintf(purge, sizeof(purge), "arena.%u.purge", tag->arena);
        unused = unused_bytes(&heap->jemalloc, arena);
        before = footprint(heap->platform);
        (void)heap->jemalloc.mallctl(purge, NULL, NULL, NULL, 0);
        after = footprint(heap->platform);
        given = fallen(unused, unused_bytes(&heap->jemalloc, arena));
        /* Some of its pages were never there. */
        if (before != 0 && after != 0 && given > fallen(before, after))
            given = fallen(before, after);
        heap->idle.known = false;
    }
    pthread_mutex_unlock(&heap->lock);
    return given;
}

void gov__heap_decay(struct gov__heap *heap, gov_level level)
{
    const uint32_t decay_ms = level >= GOV_LEVEL_WARN ? 0 : KEEP_MS;

    pthread_mutex_lock(&heap->lock);
    make_ready_locked(heap);
    if (decay_ms != heap->decay_ms) {
        heap->decay_ms = decay_ms;
        for (unsigned i = 0; i < heap->tag_count; i++)
            if (heap->tags[i].has_arena)
                set_decay(&heap->jemalloc, heap->tags[i].arena, decay_ms);
    }
    pthread_mutex_unlock(&heap->lock);
}

gov_heap_backend gov_heap_backend_now(void)
{
    return gov__heap_backend(&process_heap);
}

void *gov_heap_alloc(size_t bytes, const char *tag)
{
    return gov__heap_alloc(&process_heap, bytes, tag);
}

void gov_heap_free(void *block)
{
    if (block != NULL)
        gov__heap_free(&process_heap, block);
}

uint64_t gov_heap_bytes(const char *tag)
{
    return gov__heap_bytes(&process_heap, tag);
}

void gov_heap_purge(void)
{
    gov__heap_purge(&process_heap);
}

uint64_t gov_heap_purge_tag(const char *tag)
{
    return gov__heap_purge_tag(&process_heap, tag);
}

void gov_heap_decay(gov_level level)
{
    gov__heap_decay(&process_heap, level);
}

uint64_t gov_heap_idle_bytes(void)
{
    return gov__heap_idle(&process_heap);
}
