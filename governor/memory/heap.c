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

/* Blocks are large: what they free goes back at once, as a mapping does, and
 * does not wait ten seconds for an allocation to come by and notice. */
static bool make_arena(const struct gov__jemalloc *je, unsigned *arena)
{
    static const char *const kinds[] = {"dirty", "muzzy"};
    size_t bytes = sizeof(*arena);
    ssize_t now = 0;
    char name[48];

    if (je->mallctl("arenas.create", arena, &bytes, NULL, 0) != 0)
        return false;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        snprintf(name, sizeof(name), "arena.%u.%s_decay_ms", *arena, kinds[i]);
        (void)je->mallctl(name, NULL, NULL, &now, sizeof(now));
    }
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
        tag->has_arena = make_arena(&heap->jemalloc, &tag->arena);
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

void gov__heap_purge(struct gov__heap *heap)
{
    if (gov__heap_backend(heap) == GOV_HEAP_JEMALLOC)
        (void)heap->jemalloc.mallctl("arena." MALLCTL_ARENAS_ALL ".purge", NULL,
                                     NULL, NULL, 0);
    (void)heap->platform->trim(heap->platform->ctx);
}

/* One figure of jemalloc's statistics; 0 where they were not built in. */
static uint64_t statistic(const struct gov__jemalloc *je, const char *name)
{
    size_t value = 0, bytes = sizeof(value);

    return je->mallctl(name, &value, &bytes, NULL, 0) == 0 ? value : 0;
}

uint64_t gov__heap_idle(struct gov__heap *heap)
{
    uint64_t idle = 0, used, epoch = 1;

    if (gov__heap_backend(heap) != GOV_HEAP_JEMALLOC) {
        if (heap->platform->idle(heap->platform->ctx, &idle) != 0)
            idle = 0;
        return idle;
    }
    /* Statistics are those of the last epoch: begin a new one. */
    (void)heap->jemalloc.mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
    idle = statistic(&heap->jemalloc, "stats.resident");
    used = statistic(&heap->jemalloc, "stats.active") +
           statistic(&heap->jemalloc, "stats.metadata");
    return idle > used ? idle - used : 0;
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

uint64_t gov_heap_idle_bytes(void)
{
    return gov__heap_idle(&process_heap);
}
