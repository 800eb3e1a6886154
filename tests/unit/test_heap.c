/* SPDX-License-Identifier: MIT */
/* Memory by purpose, on mappings and on a jemalloc of our own making that notes
 * what it is asked. The real one is linked by no test of this directory, since
 * it would replace malloc in all of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "governor/memory/memory_priv.h"
#include "tests/support/run.h"
#include "tests/unit/spy_platform.h"

#define MIB ((size_t)1 << 20)

static struct spy spy;
static struct gov__heap heap;

static void set_up(void)
{
    spy_init(&spy);
    heap = (struct gov__heap)GOV__HEAP_INIT(&spy.table);
}

static void *get(size_t bytes, const char *tag)
{
    return gov__heap_alloc(&heap, bytes, tag);
}

static void put_back(void *block)
{
    gov__heap_free(&heap, block);
}

/* ---- on mappings --------------------------------------------------------------- */

START_TEST(a_block_is_aligned_zeroed_and_counted)
{
    const size_t sizes[] = {0,    1,    63,   64,      65,
                            4031, 4032, 4096, 3 * MIB, 3 * MIB + 1};
    const size_t bytes = sizes[_i];
    unsigned char *block = get(bytes, "a"), *other = get(5, "b");

    ck_assert_ptr_nonnull(block);
    ck_assert_ptr_nonnull(other);
    ck_assert_uint_eq((uintptr_t)block % 64, 0);
    for (size_t i = 0; i < bytes; i++)
        if (block[i] != 0)
            ck_abort_msg("byte %zu is not zero", i);
    memset(block, 0xFF, bytes);
    ck_assert_uint_eq(gov__heap_bytes(&heap, "a"), bytes);
    ck_assert_uint_eq(gov__heap_bytes(&heap, "b"), 5);
    ck_assert_uint_eq(gov__heap_bytes(&heap, "c"), 0);
    ck_assert_uint_eq(gov__heap_bytes(&heap, NULL), bytes + 5);
    put_back(block);
    ck_assert_uint_eq(gov__heap_bytes(&heap, "a"), 0);
    put_back(other);
    ck_assert_uint_eq(gov__heap_bytes(&heap, NULL), 0);
    ck_assert_int_eq(spy.maps, 2);
    ck_assert_int_eq(spy.unmaps, 2);
    ck_assert_uint_eq(spy.bytes, 0);
    ck_assert_int_eq(gov__heap_backend(&heap), GOV_HEAP_MAPPINGS);
}
END_TEST

START_TEST(tags_have_limits)
{
    char name[40] = "1234567890123456789012345678901";
    void *block;

    block = get(1, name);
    ck_assert_ptr_nonnull(block);
    put_back(block);
    ck_assert_ptr_null(get(1, "12345678901234567890123456789012"));
    block = get(7, NULL);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(gov__heap_bytes(&heap, ""), 7);
    put_back(block);
    for (int i = 2; i < GOV__HEAP_TAGS; i++) {
        snprintf(name, sizeof(name), "tag %d", i);
        block = get(1, name);
        ck_assert_ptr_nonnull(block);
        put_back(block);
    }
    ck_assert_ptr_null(get(1, "one more"));
    block = get(1, name);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(gov__heap_bytes(&heap, name), 1);
    put_back(block);
    ck_assert_int_eq(spy.maps, spy.unmaps);
}
END_TEST

START_TEST(no_memory_is_null)
{
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 64, SIZE_MAX / 2 + 1,
                            SIZE_MAX / 2};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        ck_assert_ptr_null(get(sizes[i], "a"));
    spy.map_rc = ENOMEM;
    ck_assert_ptr_null(get(1, "a"));
    ck_assert_uint_eq(gov__heap_bytes(&heap, NULL), 0);
    ck_assert_int_eq(spy.maps, 0);
}
END_TEST

START_TEST(what_cannot_be_unmapped_is_emptied)
{
    unsigned char *block = get(8192, "a");

    ck_assert_ptr_nonnull(block);
    memset(block, 1, 8192);
    spy.unmap_rc = ENOMEM;
    put_back(block);
    ck_assert_int_eq(spy.discards, 1);
    ck_assert_uint_eq(block[4096], 0);
    ck_assert_uint_eq(gov__heap_bytes(&heap, NULL), 0);
}
END_TEST

START_TEST(purge_trims)
{
    gov__heap_purge(&heap);
    ck_assert_int_eq(spy.trims, 1);
}
END_TEST

/* ---- on jemalloc ---------------------------------------------------------------- */

static struct {
    const char *prefix;
    bool lacks_dallocx, is_old, fails_create, fails_alloc, lacks_statistics;
    int epochs;
    unsigned arenas;
    size_t dirty, muzzy; /* pages of each arena */
    int alloc_flags, free_flags;
    size_t bytes;
    int live;
    char calls[512];
} je;

static void *je_alloc(size_t bytes, int flags)
{
    void *block = NULL;

    je.alloc_flags = flags;
    je.bytes = bytes;
    if (je.fails_alloc || posix_memalign(&block, 64, bytes) != 0)
        return NULL;
    memset(block, 0, bytes);
    je.live++;
    return block;
}

static void je_free(void *block, int flags)
{
    je.free_flags = flags;
    je.live--;
    free(block);
}

static int je_control(const char *name, void *old, size_t *old_bytes, void *new,
                      size_t new_bytes)
{
    const size_t used = strlen(je.calls);

    if (strncmp(name, "stats.", 6) == 0 || strcmp(name, "arenas.page") == 0) {
        const char *end = strrchr(name, '.');

        ck_assert_uint_eq(*old_bytes, sizeof(size_t));
        *(size_t *)old = strcmp(end, ".pdirty") == 0   ? je.dirty
                         : strcmp(end, ".pmuzzy") == 0 ? je.muzzy
                                                       : 4096;
        return je.lacks_statistics ? ENOENT : 0;
    }
    if (strcmp(name, "epoch") == 0) {
        je.epochs++;
        return 0;
    }
    snprintf(je.calls + used, sizeof(je.calls) - used, "%s", name);
    if (strstr(name, "decay_ms") != NULL) {
        ck_assert_uint_eq(new_bytes, sizeof(ssize_t));
        snprintf(je.calls + strlen(je.calls),
                 sizeof(je.calls) - strlen(je.calls), "=%zd", *(ssize_t *)new);
    }
    snprintf(je.calls + strlen(je.calls), sizeof(je.calls) - strlen(je.calls),
             " ");
    if (strstr(name, ".purge") != NULL)
        je.dirty = je.muzzy = 0;
    if (strcmp(name, "opt.retain") == 0) {
        ck_assert_uint_eq(*old_bytes, sizeof(bool));
        *(bool *)old = true;
        return je.is_old ? ENOENT : 0;
    }
    if (strcmp(name, "arenas.create") != 0)
        return 0;
    if (je.fails_create)
        return EAGAIN;
    ck_assert_uint_eq(*old_bytes, sizeof(unsigned));
    *(unsigned *)old = 7 + je.arenas++;
    return 0;
}

static void *je_symbol(const char *name)
{
    const size_t n = strlen(je.prefix);
    void *(*alloc)(size_t, int) = je_alloc;
    void (*release)(void *, int) = je_free;
    int (*control)(const char *, void *, size_t *, void *, size_t) = je_control;
    void *symbol = NULL;

    if (strncmp(name, je.prefix, n) != 0)
        return NULL;
    if (strcmp(name + n, "mallocx") == 0)
        memcpy(&symbol, &alloc, sizeof(symbol));
    else if (strcmp(name + n, "dallocx") == 0 && !je.lacks_dallocx)
        memcpy(&symbol, &release, sizeof(symbol));
    else if (strcmp(name + n, "mallctl") == 0)
        memcpy(&symbol, &control, sizeof(symbol));
    return symbol;
}

static void set_up_jemalloc(void)
{
    set_up();
    memset(&je, 0, sizeof(je));
    je.prefix = "";
    spy.symbol = je_symbol;
}

START_TEST(one_arena_a_tag)
{
    static const char *const prefixes[] = {"", "je_"};
    void *a, *b, *again;

    je.prefix = prefixes[_i];
    ck_assert_int_eq(gov__heap_backend(&heap), GOV_HEAP_JEMALLOC);
    a = get(1000, "a");
    ck_assert_ptr_nonnull(a);
    ck_assert_uint_eq((uintptr_t)a % 64, 0);
    /* MALLOCX_ARENA(7) | MALLOCX_TCACHE_NONE | MALLOCX_ZERO | 64-aligned */
    ck_assert_int_eq(je.alloc_flags, 8 << 20 | 0x100 | 0x40 | 6);
    ck_assert_uint_eq(je.bytes, 1064);
    again = get(1, "a");
    ck_assert_int_eq(je.alloc_flags, 8 << 20 | 0x100 | 0x40 | 6);
    b = get(1, "b");
    ck_assert_int_eq(je.alloc_flags, 9 << 20 | 0x100 | 0x40 | 6);
    ck_assert_str_eq(je.calls, "opt.retain "
                               "arenas.create arena.7.dirty_decay_ms=0 "
                               "arena.7.muzzy_decay_ms=0 "
                               "arenas.create arena.8.dirty_decay_ms=0 "
                               "arena.8.muzzy_decay_ms=0 ");
    ck_assert_uint_eq(gov__heap_bytes(&heap, "a"), 1001);
    put_back(a);
    ck_assert_int_eq(je.free_flags, 0x100);
    put_back(again);
    put_back(b);
    ck_assert_uint_eq(gov__heap_bytes(&heap, NULL), 0);
    ck_assert_int_eq(je.live, 0);
    ck_assert_int_eq(spy.maps, 0);
    je.calls[0] = '\0';
    gov__heap_purge(&heap);
    ck_assert_str_eq(je.calls, "arena.4096.purge ");
    ck_assert_int_eq(spy.trims, 1);
}
END_TEST

START_TEST(half_a_jemalloc_is_none)
{
    void *block;

    je.lacks_dallocx = _i == 0;
    je.is_old = _i == 1;
    ck_assert_int_eq(gov__heap_backend(&heap), GOV_HEAP_MAPPINGS);
    block = get(1, "a");
    ck_assert_ptr_nonnull(block);
    put_back(block);
    gov__heap_purge(&heap);
    ck_assert_int_eq(spy.maps, 1);
    ck_assert_int_eq(je.live, 0);
    ck_assert_ptr_null(strstr(je.calls, "purge"));
}
END_TEST

START_TEST(jemalloc_may_fail_for_a_while)
{
    void *block;

    je.fails_create = true;
    ck_assert_ptr_null(get(1, "a"));
    je.fails_create = false;
    je.fails_alloc = true;
    ck_assert_ptr_null(get(1, "a"));
    je.fails_alloc = false;
    ck_assert_uint_eq(gov__heap_bytes(&heap, NULL), 0);
    block = get(1, "a");
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(je.arenas, 1);
    put_back(block);
}
END_TEST

START_TEST(a_tag_is_purged)
{
    void *a = get(1000, "a"), *b = get(1000, "b");

    je.calls[0] = '\0';
    je.dirty = 5;
    je.muzzy = 2;
    ck_assert_uint_eq(gov__heap_purge_tag(&heap, "c"), 0);
    ck_assert_uint_eq(gov__heap_purge_tag(&heap, NULL), 0);
    ck_assert_str_eq(je.calls, "");
    ck_assert_uint_eq(gov__heap_purge_tag(&heap, "b"), 7 * 4096);
    ck_assert_str_eq(je.calls, "arena.8.purge ");
    je.dirty = 5;
    spy.footprint_bytes = 100 * MIB; /* and stays so: they were never touched */
    ck_assert_uint_eq(gov__heap_purge_tag(&heap, "b"), 0);
    spy.process_rc = EMFILE; /* jemalloc's own word, then */
    je.dirty = 5;
    ck_assert_uint_eq(gov__heap_purge_tag(&heap, "b"), 5 * 4096);
    je.calls[0] = '\0';
    ck_assert_uint_eq(gov__heap_purge_tag(&heap, "b"), 0);
    je.dirty = 5;
    je.lacks_statistics = true; /* it is purged, but who knows */
    ck_assert_uint_eq(gov__heap_purge_tag(&heap, "a"), 0);
    ck_assert_uint_eq(je.dirty, 0);
    put_back(a);
    put_back(b);
}
END_TEST

START_TEST(a_level_sets_the_decay)
{
    void *a = get(1, "a"), *b;

    je.calls[0] = '\0';
    gov__heap_decay(&heap, GOV_LEVEL_WARN);
    ck_assert_str_eq(je.calls, ""); /* as it is */
    gov__heap_decay(&heap, GOV_LEVEL_NORMAL);
    gov__heap_decay(&heap, (gov_level)49);
    ck_assert_str_eq(je.calls, "arena.7.dirty_decay_ms=1000 "
                               "arena.7.muzzy_decay_ms=1000 ");
    je.calls[0] = '\0';
    b = get(1, "b");
    ck_assert_str_eq(je.calls, "arenas.create arena.8.dirty_decay_ms=1000 "
                               "arena.8.muzzy_decay_ms=1000 ");
    je.calls[0] = '\0';
    gov__heap_decay(&heap, GOV_LEVEL_WARN);
    gov__heap_decay(&heap, GOV_LEVEL_CRITICAL);
    ck_assert_str_eq(je.calls,
                     "arena.7.dirty_decay_ms=0 arena.7.muzzy_decay_ms=0 "
                     "arena.8.dirty_decay_ms=0 arena.8.muzzy_decay_ms=0 ");
    put_back(a);
    put_back(b);
}
END_TEST

START_TEST(idle_pages_are_counted_once_a_second)
{
    je.dirty = 10;
    je.muzzy = 3;
    ck_assert_uint_eq(gov__heap_idle(&heap), 13 * 4096 / 1000 * 500);
    je.dirty = 20;
    ck_assert_uint_eq(gov__heap_idle(&heap), 13 * 4096 / 1000 * 500);
    ck_assert_int_eq(je.epochs, 1);
    spy.later_us = 1000000;
    ck_assert_uint_eq(gov__heap_idle(&heap), 23 * 4096 / 1000 * 500);
    gov__heap_purge(&heap);
    ck_assert_uint_eq(gov__heap_idle(&heap), 0);
    ck_assert_int_eq(je.epochs, 3);
    je.lacks_statistics = true;
    spy.later_us = 9000000;
    ck_assert_uint_eq(gov__heap_idle(&heap), 0);
    /* Beside a jemalloc whose names begin with je_ the C library has its own. */
    spy.idle_bytes = 10 * MIB;
    spy.later_us = 10000000;
    ck_assert_uint_eq(gov__heap_idle(&heap), 10 * MIB / 1000 * 500);
}
END_TEST

/* ---- what the C library keeps -------------------------------------------------------- */

static uint64_t idle_later(void)
{
    spy.later_us += 1000000;
    return gov__heap_idle(&heap);
}

/* Half of what is free at first; then as much of it as the last trims gave, and
 * of that only what was not free already after the last one, or came since. */
START_TEST(what_is_offered_is_learned)
{
    spy.idle_bytes = 100 * MIB;
    spy.footprint_bytes = 500 * MIB;
    ck_assert_uint_eq(gov__heap_idle(&heap) / MIB, 49);
    spy.idle_bytes = 7;
    ck_assert_uint_eq(gov__heap_idle(&heap) / MIB, 49); /* not a second later */
    ck_assert_int_eq(spy.looks, 1);
    spy.idle_bytes = 100 * MIB;
    spy.trim_bytes = 30 * MIB;
    gov__heap_purge(&heap);
    ck_assert_uint_eq(gov__heap_idle(&heap), 0); /* free, but without pages */
    ck_assert_uint_eq(idle_later(), 0);
    spy.idle_bytes = 110 * MIB;
    ck_assert_uint_eq((idle_later() + MIB / 2) / MIB, 3); /* 300 permille */
    spy.footprint_bytes += 40 * MIB;
    ck_assert_uint_eq((idle_later() + MIB / 2) / MIB, 15);
    spy.footprint_bytes += 4000 * MIB; /* not the heap's */
    ck_assert_uint_eq((idle_later() + MIB / 2) / MIB, 33);
    spy.footprint_bytes = 470 * MIB;
    spy.idle_bytes = 40 * MIB; /* 60 are in use again, */
    ck_assert_uint_eq(idle_later(), 0);
    spy.idle_bytes = 100 * MIB; /* and not any more */
    ck_assert_uint_eq((idle_later() + MIB / 2) / MIB, 18);
    spy.trim_bytes = 60 * MIB;
    gov__heap_purge(&heap);
    spy.idle_bytes = 200 * MIB;
    ck_assert_uint_eq((idle_later() + MIB / 2) / MIB, 65); /* 650 permille */
    for (int i = 0; i < 12;
         i++) { /* nothing ever comes: something is offered */
        spy.trim_bytes = 0;
        gov__heap_purge(&heap);
        spy.idle_bytes += 100 * MIB;
        ck_assert_uint_gt(idle_later(), 5 * MIB);
    }
    ck_assert_uint_lt(idle_later(), 7 * MIB);
}
END_TEST

/* As glibc's mallinfo2() has them. */
struct info {
    size_t unused_1, pieces, unused_2[6], bytes, unused_3;
};

static struct info info;

static struct info tell_info(void)
{
    return info;
}

static void *info_symbol(const char *name)
{
    struct info (*tell)(void) = tell_info;
    void *symbol = NULL;

    if (strcmp(name, "mallinfo2") == 0)
        memcpy(&symbol, &tell, sizeof(symbol));
    return symbol;
}

/* Crumbs hide a large piece. What is learned of it is never more than is free. */
START_TEST(what_crumbs_hide_is_learned)
{
    spy.symbol = info_symbol;
    spy.footprint_bytes = 500 * MIB;
    spy.idle_bytes = info.bytes = 100 * MIB;
    info.pieces = 50000;
    ck_assert_uint_eq((gov__heap_idle(&heap) + MIB / 2) / MIB, 6);
    spy.trim_bytes = 75 * MIB;
    gov__heap_purge(&heap);
    spy.idle_bytes = info.bytes = 200 * MIB;
    info.pieces = 100000;
    ck_assert_uint_eq((idle_later() + MIB / 2) / MIB, 75);
    info.pieces = 1; /* all of it is one */
    ck_assert_uint_eq((idle_later() + MIB / 2) / MIB, 100);
}
END_TEST

START_TEST(who_does_not_tell_offers_nothing)
{
    spy.idle_bytes = 100 * MIB;
    spy.footprint_bytes = 500 * MIB;
    if (_i == 0)
        spy.idle_rc = ENOTSUP;
    if (_i == 1)
        spy.process_rc = EMFILE;
    ck_assert_uint_eq(gov__heap_idle(&heap) > 0, _i == 1);
    spy.trim_bytes = 100 * MIB;
    gov__heap_purge(&heap);
    ck_assert(!heap.idle.learned);
    ck_assert_uint_eq(idle_later(), 0);
}
END_TEST

/* ---- the process's ---------------------------------------------------------------- */

START_TEST(freeing_shows_in_the_footprint)
{
    const uint64_t bytes = 64 * MIB;
    struct gov_footprint with, without;
    gov_error err;
    void *block = gov_heap_alloc(bytes, "test");

    ck_assert_ptr_nonnull(block);
    memset(block, 1, bytes);
    ck_assert_uint_eq(gov_heap_bytes("test"), bytes);
    ck_assert_uint_eq(gov_heap_bytes(NULL), bytes);
    ck_assert_int_eq(gov_heap_backend_now(), GOV_HEAP_MAPPINGS);
    if (gov_footprint_now(&with, &err) != GOV_OK) {
        skip_test("freeing_shows_in_the_footprint", err.message);
        gov_heap_free(block);
        return;
    }
    gov_heap_free(block);
    gov_heap_free(NULL);
    gov_heap_purge();
    ck_assert_uint_eq(gov_heap_bytes("test"), 0);
    ck_assert_int_eq(gov_footprint_now(&without, &err), GOV_OK);
    ck_assert_uint_le(without.footprint_bytes + bytes * 15 / 16,
                      with.footprint_bytes);
}
END_TEST

static void *churn(void *arg)
{
    char tag[8];

    for (int n = 0; n < 500; n++) {
        unsigned char *blocks[4];

        for (int i = 0; i < 4; i++) {
            snprintf(tag, sizeof(tag), "t%d", (n + i) % 5);
            blocks[i] = gov_heap_alloc((size_t)n * 10, tag);
            if (blocks[i] != NULL && n > 0)
                blocks[i][0] = 1;
        }
        (void)gov_heap_bytes(NULL);
        for (int i = 0; i < 4; i++)
            gov_heap_free(blocks[i]);
    }
    return arg;
}

START_TEST(threads_share_it)
{
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(gov_heap_bytes(NULL), 0);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* What the C library keeps after free() is on offer, and a purge gives it. */
START_TEST(idle_memory_of_the_host_is_seen_and_given)
{
    enum { blocks = 64 * 1024, block = 1000 };
    struct gov_footprint full, purged;
    uint64_t idle;
    char **kept = malloc(blocks * sizeof(*kept));

    ck_assert_ptr_nonnull(kept);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < blocks; i++) {
            kept[i] = malloc(block);
            ck_assert_ptr_nonnull(kept[i]);
            memset(kept[i], 1, block);
        }
        for (int i = 0; i < blocks - 1; i++) /* the last one holds the top */
            free(kept[i]);
        idle = gov_heap_idle_bytes();
        ck_assert_uint_ge(idle,
                          (uint64_t)blocks * block / 10 * (round == 0 ? 4 : 8));
        ck_assert_int_eq(gov_footprint_now(&full, NULL), GOV_OK);
        gov_heap_purge();
        ck_assert_int_eq(gov_footprint_now(&purged, NULL), GOV_OK);
        ck_assert_uint_ge(full.footprint_bytes - purged.footprint_bytes,
                          idle / 100 * 95);
        if (round == 0)
            free(kept[blocks - 1]);
    }
    free(kept[blocks - 1]);
    free(kept);
}
END_TEST
/* What is offered is what comes, at the first purge of a process, too, which has
 * nothing to learn from, and when others before it were of another kind: of what was
 * freed in one piece, in pieces of some pages, and between blocks that stay, of which
 * no page comes back. */
static const struct {
    int blocks, of, kept; /* of each so many blocks so many stay */
    size_t bytes;
} shapes[] = {
    {60000, 60000, 1, 2000}, {2000, 2, 1, 60000}, {60000, 20, 10, 2000},
    {60000, 2, 1, 2000},     {2000, 2, 1, 60000},
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* looks: as a runtime does at WARN, while the blocks are in use. */
static void ck_offer(size_t at, bool looks)
{
    const struct timespec known = {1, 50000000};
    struct gov_footprint full, purged;
    static char *block[60000];
    const int blocks = shapes[at].blocks;
    uint64_t idle, given;

    for (int i = 0; i < blocks; i++) {
        block[i] = malloc(shapes[at].bytes);
        ck_assert_ptr_nonnull(block[i]);
        memset(block[i], 1, shapes[at].bytes);
    }
    if (looks) { /* which is known for a second */
        (void)gov_heap_idle_bytes();
        nanosleep(&known, NULL);
    }
    for (int i = 0; i < blocks; i++)
        if (i % shapes[at].of < shapes[at].of - shapes[at].kept) {
            free(block[i]);
            block[i] = NULL;
        }
    idle = gov_heap_idle_bytes();
    ck_assert_int_eq(gov_footprint_now(&full, NULL), GOV_OK);
    gov_heap_purge();
    ck_assert_int_eq(gov_footprint_now(&purged, NULL), GOV_OK);
    given = full.footprint_bytes > purged.footprint_bytes
                ? full.footprint_bytes - purged.footprint_bytes
                : 0;
    printf("blocks of %zu, %d of %d stay: offered %.1f, gave %.1f MB\n",
           shapes[at].bytes, shapes[at].kept, shapes[at].of, (double)idle / 1e6,
           (double)given / 1e6);
    if (shapes[at].bytes * (size_t)shapes[at].of >= 3 * gov_page_bytes())
        ck_assert(given >= idle / 100 * 95 && given <= idle / 100 * 120);
    else /* of 60 MB */
        ck_assert(idle > 0 && idle < 4 * MIB && given < MIB);
    for (int i = 0; i < blocks; i++)
        free(block[i]);
}

START_TEST(what_is_offered_first_comes)
{
    ck_offer((size_t)_i, false);
}
END_TEST

START_TEST(what_is_offered_comes)
{
    for (size_t i = 0; i < SHAPES; i++)
        ck_offer(i, true);
}
END_TEST
#endif

Suite *suite(void)
{
    Suite *s = suite_create("heap");
    TCase *tc = tcase_create("mappings");

    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_loop_test(tc, a_block_is_aligned_zeroed_and_counted, 0, 10);
    tcase_add_test(tc, tags_have_limits);
    tcase_add_test(tc, no_memory_is_null);
    tcase_add_test(tc, what_cannot_be_unmapped_is_emptied);
    tcase_add_test(tc, purge_trims);
    suite_add_tcase(s, tc);
    tc = tcase_create("jemalloc");
    tcase_add_checked_fixture(tc, set_up_jemalloc, NULL);
    tcase_add_loop_test(tc, one_arena_a_tag, 0, 2);
    tcase_add_loop_test(tc, half_a_jemalloc_is_none, 0, 2);
    tcase_add_test(tc, jemalloc_may_fail_for_a_while);
    tcase_add_test(tc, a_tag_is_purged);
    tcase_add_test(tc, a_level_sets_the_decay);
    tcase_add_test(tc, idle_pages_are_counted_once_a_second);
    suite_add_tcase(s, tc);
    tc = tcase_create("what the C library keeps");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, what_is_offered_is_learned);
    tcase_add_test(tc, what_crumbs_hide_is_learned);
    tcase_add_loop_test(tc, who_does_not_tell_offers_nothing, 0, 2);
    suite_add_tcase(s, tc);
    tc = tcase_create("the process's");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, freeing_shows_in_the_footprint);
    tcase_add_test(tc, threads_share_it);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tc, idle_memory_of_the_host_is_seen_and_given);
    tcase_add_loop_test(tc, what_is_offered_first_comes, 0, (int)SHAPES);
    tcase_add_test(tc, what_is_offered_comes);
#else
    skip_test("idle_memory_of_the_host",
              "the sanitizer's allocator tells nothing");
#endif
    suite_add_tcase(s, tc);
    return s;
}
