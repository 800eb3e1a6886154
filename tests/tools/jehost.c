/* SPDX-License-Identifier: MIT */
/* A host that links jemalloc, real: are the bytes under a tag jemalloc's own, does
 * a purge give what it says, and is malloc still the host's? Prints what was
 * found; exit status 1 when something is not so. tests/system/jemalloc.sh builds it
 * once more with JE_PREFIX, on a jemalloc whose names begin with je_. */
#include <dlfcn.h>
#include <governor/governor.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What offers_come_back() has jemalloc hold, at least. The C library gives most of
 * what is freed back by itself. */
#ifdef JE_PREFIX
#define mallctl je_mallctl
#define sallocx je_sallocx
#define KEPT (30 * MIB)
#else
#define KEPT (90 * MIB)
#endif

int mallctl(const char *name, void *old, size_t *old_bytes, void *new,
            size_t new_bytes);
size_t sallocx(const void *block, int flags);

#define BLOCKS 20
#define HEADER 64 /* in front of each block: governor/memory/heap.c */
#define MIB ((uint64_t)1 << 20)

static int bad;

static void check(int holds, const char *what, uint64_t is, uint64_t want)
{
    if (!holds) {
        printf("%s: %" PRIu64 ", not %" PRIu64 "\n", what, is, want);
        bad = 1;
    }
}

static void is(const char *what, uint64_t value, uint64_t want)
{
    check(value == want, what, value, want);
}

static void at_least(const char *what, uint64_t value, uint64_t want)
{
    check(value >= want, what, value, want);
}

static uint64_t statistic(unsigned arena, const char *which)
{
    size_t value = 0, bytes = sizeof(value);
    uint64_t epoch = 1;
    char name[64];

    (void)mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
    snprintf(name, sizeof(name), "stats.arenas.%u.%s", arena, which);
    if (mallctl(name, &value, &bytes, NULL, 0) != 0) {
        printf("jemalloc does not know %s\n", name);
        exit(1);
    }
    return value;
}

static uint64_t allocated(unsigned arena)
{
    return statistic(arena, "small.allocated") +
           statistic(arena, "large.allocated");
}

/* jemalloc 5.1; older ones cannot tell. */
static unsigned arena_of(void *block)
{
    unsigned arena = 0;
    size_t bytes = sizeof(arena);

    block = (char *)block - HEADER;
    if (mallctl("arenas.lookup", &arena, &bytes, &block, sizeof(block)) != 0) {
        printf("this jemalloc does not tell whose a block is\n");
        exit(77);
    }
    return arena;
}

static uint64_t footprint(void)
{
    struct gov_footprint now;
    gov_error err;

    if (gov_footprint_now(&now, &err) != GOV_OK) {
        printf("%s\n", err.message);
        exit(77);
    }
    return now.footprint_bytes;
}

/* 1 KiB, 2 KiB, ... of jemalloc's size classes, less our header: then its figure
 * and ours differ by the headers alone. */
static size_t size_of(int i)
{
    return ((size_t)1024 << (i % 11)) - HEADER;
}

static void bytes_are_exact(void)
{
    void *a[BLOCKS], *b;
    uint64_t asked = 0, usable = 0;
    unsigned arena;

    b = gov_heap_alloc(3000, "b");
    for (int i = 0; i < BLOCKS; i++) {
        a[i] = gov_heap_alloc(size_of(i), "a");
        if (a[i] == NULL)
            exit(1);
        asked += size_of(i);
        usable += sallocx((char *)a[i] - HEADER, 0);
        is("alignment", (uintptr_t)a[i] % 64, 0);
        is("arena", arena_of(a[i]), arena_of(a[0]));
    }
    arena = arena_of(a[0]);
    check(arena_of(b) != arena, "an arena each", arena_of(b), arena);
    is("bytes of a", gov_heap_bytes("a"), asked);
    is("bytes of b", gov_heap_bytes("b"), 3000);
    is("jemalloc's bytes of a", allocated(arena), asked + BLOCKS * HEADER);
    is("jemalloc's usable bytes of a", allocated(arena), usable);
    is("jemalloc's bytes of b", allocated(arena_of(b)),
       sallocx((char *)b - HEADER, 0));
    for (int i = 0; i < BLOCKS; i++)
        gov_heap_free(a[i]);
    is("bytes of a, freed", gov_heap_bytes("a"), 0);
    is("jemalloc's bytes of a, freed", allocated(arena), 0);
    is("dirty pages of a, freed", statistic(arena, "pdirty"), 0);
    gov_heap_free(b);
}

/* Frees 32 MiB under a tag, every other block, for jemalloc keeps no free extent
 * of 8 MiB or more (opt.oversize_threshold). Returns the tag's arena. */
#define DIRTY (32 * MIB)

static unsigned leave_dirty(const char *tag)
{
    static void *kept[64];
    void *freed[64];
    unsigned arena;

    for (int i = 0; i < 64; i++) {
        freed[i] = gov_heap_alloc(MIB / 2, tag);
        gov_heap_free(kept[i]); /* of the tag before */
        kept[i] = gov_heap_alloc(MIB / 2, tag);
        if (freed[i] == NULL || kept[i] == NULL)
            exit(1);
        memset(freed[i], 1, MIB / 2);
        memset(kept[i], 1, MIB / 2);
    }
    arena = arena_of(freed[0]);
    for (int i = 0; i < 64; i++)
        gov_heap_free(freed[i]);
    return arena;
}

/* At NORMAL what is freed is kept for a while; a purge of its tag gives it, and so
 * does the level. */
static void tags_are_purged(void)
{
    uint64_t before, after;
    unsigned c, d;

    gov_heap_decay(GOV_LEVEL_NORMAL);
    c = leave_dirty("c");
    d = leave_dirty("d");
    at_least("dirty pages of c", statistic(c, "pdirty"),
             DIRTY / gov_page_bytes());
    before = footprint();
    at_least("a purge of c", gov_heap_purge_tag("c"), DIRTY);
    after = footprint();
    at_least("footprint after it", before - after, DIRTY / 100 * 95);
    is("dirty pages of c, purged", statistic(c, "pdirty"), 0);
    at_least("dirty pages of d", statistic(d, "pdirty"),
             DIRTY / gov_page_bytes());
    before = after;
    gov_heap_decay(GOV_LEVEL_WARN);
    after = footprint();
    at_least("footprint after the level", before - after, DIRTY / 100 * 95);
    is("dirty pages of d, at warn", statistic(d, "pdirty"), 0);
    d = leave_dirty("d");
    is("dirty pages of d, freed at warn", statistic(d, "pdirty"), 0);
}

/* Of the host's own heap, and of the tags': what is offered comes back. */
static void offers_come_back(void)
{
    enum { blocks = 40000, bytes = 2000 };
    static char *kept[blocks];
    uint64_t offered, before, after;

    gov_heap_decay(GOV_LEVEL_NORMAL);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < blocks; i++) {
            kept[i] = malloc(bytes);
            if (kept[i] != NULL)
                memset(kept[i], 1, bytes);
        }
        (void)leave_dirty("e");
        for (int i = 0; i < blocks; i++)
            free(kept[i]);
        if (round == 0) { /* what a purge gives is learned from one */
            (void)gov_heap_idle_bytes();
            gov_heap_purge();
        }
    }
    offered = gov_heap_idle_bytes();
    before = footprint();
    gov_heap_purge();
    after = footprint();
    at_least("offered", offered, KEPT);
    at_least("given", before - after, offered / 100 * 95);
    printf("offered %" PRIu64 " KiB, given %" PRIu64 " KiB\n", offered >> 10,
           (before - after) >> 10);
}

int main(void)
{
    void *const names[] = {dlsym(RTLD_DEFAULT, "malloc"),
                           dlsym(RTLD_DEFAULT, "_Znwm")};

    is("backend", gov_heap_backend_now(), GOV_HEAP_JEMALLOC);
    if (bad)
        return 1;
    bytes_are_exact();
    tags_are_purged();
    offers_come_back();
    check(dlsym(RTLD_DEFAULT, "malloc") == names[0], "malloc moved", 1, 0);
    check(dlsym(RTLD_DEFAULT, "_Znwm") == names[1], "new moved", 1, 0);
    return bad;
}
