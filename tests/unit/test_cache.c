/* SPDX-License-Identifier: MIT */
/* The cache: what stays and what goes, as scripts in a table; what the kernel
 * takes; what fails. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "governor/memory/memory_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/unit/spy_platform.h"

#define SMALL 100
#define SEGMENT (16 * page) /* of a cache of the default size */
#define MIB ((uint64_t)1 << 20)

static struct spy spy;
static size_t page;
static gov_error err;
static gov_cache *cache;

static void make(uint64_t limit_bytes, uint32_t limit_count)
{
    struct gov_cache_options options = gov_cache_options_default();

    options.name = "test";
    options.limit_bytes = limit_bytes;
    options.limit_count = limit_count;
    options.alloc = faults_alloc();
    ck_assert_int_eq(gov__cache_new_on(&cache, &spy.table, &options, &err),
                     GOV_OK);
}

static void drop(void)
{
    gov_cache_free(cache);
    cache = NULL;
    ck_assert_int_eq(faults_live_blocks(), 0);
    ck_assert_int_eq(spy.maps, spy.unmaps);
    ck_assert_uint_eq(spy.bytes, 0);
}

static void set_up(void)
{
    faults_reset();
    spy_init(&spy);
    page = spy_page_bytes(NULL);
    spy.passed_over = SEGMENT;
    make(0, 0);
}

static struct gov_cache_usage usage(void)
{
    struct gov_cache_usage now;

    gov_cache_usage(cache, &now);
    return now;
}

static unsigned char byte_of(uint64_t key, size_t i)
{
    return (unsigned char)(key * 7 + i * 31 + i / 4096);
}

static gov_status put(uint64_t key, size_t bytes)
{
    unsigned char *value = malloc(bytes + 1);
    gov_status status;

    ck_assert_ptr_nonnull(value);
    for (size_t i = 0; i < bytes; i++)
        value[i] = byte_of(key, i);
    status = gov_cache_put(cache, key, value, bytes, &err);
    free(value);
    return status;
}

/* The value is there, whole, and the one that was put. */
static bool has(uint64_t key, size_t bytes)
{
    unsigned char *value = malloc(bytes + 1);
    size_t got = SIZE_MAX, bad = 0;
    bool there;

    ck_assert_ptr_nonnull(value);
    value[bytes] = 0xAA;
    there = gov_cache_get(cache, key, value, bytes + 1, &got);
    ck_assert(there ? got == bytes : got == SIZE_MAX);
    ck_assert_uint_eq(value[bytes], 0xAA);
    for (size_t i = 0; there && i < bytes; i++)
        bad += value[i] != byte_of(key, i);
    ck_assert_uint_eq(bad, 0);
    free(value);
    return there;
}

/* What a value of so many bytes costs, as the cache counts. */
static uint64_t cost_of(size_t bytes)
{
    uint64_t cost;

    make(0, 0);
    ck_assert_int_eq(put(1, bytes), GOV_OK);
    cost = usage().bytes;
    drop();
    return cost;
}

/* ---- what stays ---------------------------------------------------------------- */

/* pN puts a small value under N, gN gets it, rN removes it, sN shrinks to N
 * values, lN applies level N. */
static const struct {
    const char *name;
    unsigned limit_values; /* 0: as many as one likes */
    uint32_t limit_count;
    const char *script;
    const char *left; /* least recently used first */
    uint64_t hits, misses, evicted;
} scripts[] = {
    {"empty", 3, 0, "", "", 0, 0, 0},
    {"fits exactly", 3, 0, "p1 p2 p3", "1 2 3", 0, 0, 0},
    {"one too many", 3, 0, "p1 p2 p3 p4", "2 3 4", 0, 0, 1},
    {"room for one", 1, 0, "p1 p2 p3", "3", 0, 0, 2},
    {"a get keeps", 3, 0, "p1 p2 p3 g1 p4", "3 1 4", 1, 0, 1},
    {"a miss does not", 3, 0, "p1 p2 p3 g9 p4", "2 3 4", 0, 1, 1},
    {"a put of the same key keeps", 3, 0, "p1 p2 p3 p1 p4", "3 1 4", 0, 0, 1},
    {"the same key again and again", 3, 0, "p1 p1 p1 p1", "1", 0, 0, 0},
    {"remove the newest", 3, 0, "p1 p2 p3 r3 p4", "1 2 4", 0, 0, 0},
    {"remove the oldest", 3, 0, "p1 p2 p3 r1 p4", "2 3 4", 0, 0, 0},
    {"remove the middle", 3, 0, "p1 p2 p3 r2 p4", "1 3 4", 0, 0, 0},
    {"remove what is not there", 3, 0, "p1 r2", "1", 0, 0, 0},
    {"remove all", 3, 0, "p1 p2 r1 r2 g1 g2", "", 0, 2, 0},
    {"count exactly", 0, 2, "p1 p2", "1 2", 0, 0, 0},
    {"count one over", 0, 2, "p1 p2 p3", "2 3", 0, 0, 1},
    {"count of one", 0, 1, "p1 p2 p2 p3", "3", 0, 0, 2},
    {"count and a get", 0, 2, "p1 p2 g1 p3", "1 3", 1, 0, 1},
    {"replacing is not counting", 0, 2, "p1 p2 p2 p1", "2 1", 0, 0, 0},
    {"shrink", 9, 0, "p1 p2 p3 p4 g1 s2", "4 1", 1, 0, 2},
    {"shrink to more than there is", 9, 0, "p1 p2 s5", "1 2", 0, 0, 0},
    {"shrink to nothing", 9, 0, "p1 p2 s0 g1 p3", "3", 0, 1, 2},
    {"shrink is not a limit", 9, 0, "p1 p2 s1 p3 p4", "2 3 4", 0, 0, 1},
    {"normal", 4, 0, "p1 p2 p3 p4 l0", "1 2 3 4", 0, 0, 0},
    {"below warn", 4, 0, "p1 p2 p3 p4 l49", "1 2 3 4", 0, 0, 0},
    {"warn", 4, 0, "p1 p2 p3 p4 l50", "3 4", 0, 0, 2},
    {"warn stays", 4, 0, "p1 p2 l50 p3 p4", "3 4", 0, 0, 2},
    {"between", 4, 0, "p1 p2 p3 p4 l99", "3 4", 0, 0, 2},
    {"critical", 4, 0, "p1 p2 p3 p4 l100", "", 0, 0, 4},
    {"and back", 4, 0, "p1 p2 l100 l0 p3 p4", "3 4", 0, 0, 2},
    {"step by step", 4, 0, "p1 p2 l100 l50 p1 p2 p3 l0 p4", "2 3 4", 0, 0, 3},
};

static void run_script(const char *script, uint64_t cost)
{
    char *text = strdup(script), *save = NULL;

    for (char *word = strtok_r(text, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        const uint64_t n = strtoull(word + 1, NULL, 10);
        const uint64_t before = usage().bytes;

        switch (word[0]) {
        case 'p':
            ck_assert_int_eq(put(n, SMALL), GOV_OK);
            break;
        case 'g':
            has(n, SMALL);
            break;
        case 'r':
            gov_cache_remove(cache, n);
            break;
        case 's':
            ck_assert_uint_eq(gov_cache_shrink(cache, n * cost),
                              before - usage().bytes);
            break;
        default:
            ck_assert_uint_eq(gov_cache_apply_level(cache, (gov_level)n),
                              before - usage().bytes);
        }
    }
    free(text);
}

START_TEST(what_stays)
{
    char left[64] = "";
    uint64_t cost;
    struct gov_cache_usage now;

    drop();
    cost = cost_of(SMALL);
    make(scripts[_i].limit_values * cost, scripts[_i].limit_count);
    run_script(scripts[_i].script, cost);
    now = usage();
    ck_assert_msg(now.bytes == now.count * cost, "%s", scripts[_i].name);
    ck_assert_msg(now.hits == scripts[_i].hits, "%s", scripts[_i].name);
    ck_assert_msg(now.misses == scripts[_i].misses, "%s", scripts[_i].name);
    ck_assert_msg(now.evicted == scripts[_i].evicted, "%s", scripts[_i].name);
    ck_assert_uint_eq(now.lost, 0);
    /* Who goes next is the least recently used: drop one at a time and see who
     * is gone, from copies, for a look is a use. */
    for (uint64_t keep = now.count; keep-- > 0;) {
        const size_t at = strlen(left);
        unsigned gone = 0;

        drop();
        make(scripts[_i].limit_values * cost, scripts[_i].limit_count);
        run_script(scripts[_i].script, cost);
        gov_cache_shrink(cache, (keep + 1) * cost);
        for (unsigned key = 1; key < 10; key++)
            gone |= (unsigned)has(key, SMALL) << key;
        drop();
        make(scripts[_i].limit_values * cost, scripts[_i].limit_count);
        run_script(scripts[_i].script, cost);
        gov_cache_shrink(cache, keep * cost);
        for (unsigned key = 1; key < 10; key++)
            gone &= ~((unsigned)has(key, SMALL) << key);
        ck_assert_int_eq(__builtin_popcount(gone), 1);
        snprintf(left + at, sizeof(left) - at, "%s%d", at == 0 ? "" : " ",
                 __builtin_ctz(gone));
    }
    ck_assert_msg(strcmp(left, scripts[_i].left) == 0, "%s: \"%s\"",
                  scripts[_i].name, left);
    drop();
}
END_TEST

/* ---- limits -------------------------------------------------------------------- */

START_TEST(a_limit_is_exact)
{
    const size_t sizes[] = {
        0, 1, SMALL, 4 * page - 1, 4 * page, 4 * page + 1, 9 * page + 3};
    const uint64_t cost = (drop(), cost_of(sizes[_i]));

    if (_i == 0)
        ck_assert_uint_eq(cost, 64); /* as the header says, about */
    make(cost, 0);
    ck_assert_int_eq(put(1, sizes[_i]), GOV_OK);
    ck_assert(has(1, sizes[_i]));
    ck_assert_uint_eq(usage().bytes, cost);
    ck_assert_uint_eq(usage().limit_bytes, cost);
    drop();
    make(cost - 1, 0);
    ck_assert_int_eq(put(1, sizes[_i]), GOV_E_REFUSED);
    ck_assert(!has(1, sizes[_i]));
    ck_assert_uint_eq(usage().bytes, 0);
    drop();
}
END_TEST

START_TEST(what_is_counted)
{
    const uint64_t entry = (drop(), cost_of(0));

    ck_assert_uint_ge(entry, 32);
    ck_assert_uint_le(entry, 128);
    ck_assert_uint_eq(cost_of(1), entry + 8); /* each starts aligned */
    ck_assert_uint_eq(cost_of(8), entry + 8);
    ck_assert_uint_eq(cost_of(4 * page - 1), entry + 4 * page);
    ck_assert_uint_eq(cost_of(4 * page), entry + 4 * page);
    ck_assert_uint_eq(cost_of(4 * page + 1), entry + 5 * page);
}
END_TEST

START_TEST(a_refusal_changes_nothing)
{
    drop();
    make(1000, 0);
    ck_assert_int_eq(put(1, SMALL), GOV_OK);
    ck_assert_int_eq(put(1, 1000), GOV_E_REFUSED);
    ck_assert_str_eq(err.message,
                     "a value of 1000 bytes does not fit cache \"test\", which "
                     "keeps 1000 bytes; raise its limit");
    ck_assert(has(1, SMALL));
    ck_assert_int_eq(gov_cache_put(cache, 1, "", SIZE_MAX, NULL),
                     GOV_E_REFUSED);
    gov_cache_apply_level(cache, GOV_LEVEL_CRITICAL);
    ck_assert_int_eq(put(1, 0), GOV_E_REFUSED);
    ck_assert_str_eq(err.message,
                     "a value of 0 bytes does not fit cache \"test\", which "
                     "keeps 0 bytes while memory is short; put it again later");
    ck_assert_uint_eq(usage().limit_bytes, 1000);
    drop();
    make(1, 0);
    ck_assert_int_eq(put(1, 0), GOV_E_REFUSED);
    drop();
    /* Larger than memory, within the limit. */
    make(UINT64_MAX, 0);
    ck_assert_int_eq(gov_cache_put(cache, 1, "", SIZE_MAX, &err), GOV_E_NOMEM);
    drop();
}
END_TEST

START_TEST(zero_means_the_default)
{
    ck_assert_uint_eq(usage().limit_bytes, (uint64_t)64 << 20);
    ck_assert_int_eq(put(1, (size_t)32 << 20), GOV_OK);
    ck_assert_int_eq(put(2, (size_t)31 << 20), GOV_OK);
    ck_assert_uint_eq(usage().count, 2);
    ck_assert_int_eq(put(3, (size_t)2 << 20), GOV_OK);
    ck_assert_uint_eq(usage().count, 2);
    ck_assert(!has(1, (size_t)32 << 20));
    drop();
}
END_TEST

/* ---- values -------------------------------------------------------------------- */

START_TEST(a_value_comes_back)
{
    const size_t sizes[] = {
        0, 1, 64, 4 * page - 1, 4 * page, 4 * page + 1, (size_t)1 << 20};
    const size_t bytes = sizes[_i], half = bytes / 2;
    unsigned char *part = calloc(1, bytes + 1);
    size_t got = 0;

    ck_assert_ptr_nonnull(part);
    ck_assert_int_eq(put(5, bytes), GOV_OK);
    ck_assert_int_eq(spy.maps, bytes >= 4 * page);
    ck_assert(has(5, bytes));
    ck_assert(has(5, bytes));
    /* No room for all, no interest in the size, only in the size. */
    ck_assert(gov_cache_get(cache, 5, part, half, &got));
    ck_assert_uint_eq(got, bytes);
    for (size_t i = 0; i < half; i++)
        ck_assert_uint_eq(part[i], byte_of(5, i));
    ck_assert_uint_eq(part[half], 0);
    ck_assert(gov_cache_get(cache, 5, part, 0, NULL));
    got = 0;
    ck_assert(gov_cache_get(cache, 5, NULL, 1000, &got));
    ck_assert_uint_eq(got, bytes);
    ck_assert_uint_eq(usage().hits, 5);
    free(part);
    drop();
}
END_TEST

START_TEST(a_put_replaces)
{
    const size_t sizes[] = {0, 9 * page, 10, 10, 4 * page, 5 * page, 1};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        ck_assert_int_eq(put(1, sizes[i]), GOV_OK);
        ck_assert(has(1, sizes[i]));
        ck_assert_uint_eq(usage().count, 1);
    }
    ck_assert_int_eq(spy.maps, 3);
    ck_assert_int_eq(spy.unmaps, 3);
    ck_assert_uint_eq(usage().evicted, 0);
    drop();
}
END_TEST

START_TEST(no_value_is_no_crash)
{
    ck_assert_int_eq(gov_cache_put(cache, 1, NULL, 0, &err), GOV_OK);
    ck_assert(has(1, 0));
    ck_assert_int_eq(gov_cache_put(cache, 1, NULL, 7, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "a value of 7 bytes at NULL cannot be put "
                                  "into cache \"test\"; pass its address");
    ck_assert(has(1, 0));
    drop();
    gov_cache_free(NULL);
}
END_TEST

/* Strides that a weak hash would send to one bucket. */
static const uint64_t strides[] = {
    1, 2, 16, 4096, (uint64_t)1 << 32, (uint64_t)1 << 48};

START_TEST(many_are_all_found)
{
    const uint64_t n = 5000, stride = strides[_i];

    for (uint64_t i = 0; i < n; i++)
        ck_assert_int_eq(put(i * stride, i % 50), GOV_OK);
    ck_assert_uint_eq(usage().count, n);
    for (uint64_t i = 0; i < n; i++)
        ck_assert(has(i * stride, i % 50));
    for (uint64_t i = 0; i < n; i += 2)
        gov_cache_remove(cache, i * stride);
    for (uint64_t i = 0; i < n; i++)
        ck_assert_int_eq(has(i * stride, i % 50), i % 2 == 1);
    gov_cache_shrink(cache, usage().bytes / 100);
    for (uint64_t i = 0; i < 30; i++)
        ck_assert_int_eq(put(i * stride, i % 50), GOV_OK);
    for (uint64_t i = 0; i < 30; i++)
        ck_assert(has(i * stride, i % 50));
    /* The table went with the entries: the cache itself, its group, and what
     * knows of an empty segment are left. */
    gov_cache_shrink(cache, 0);
    ck_assert_int_eq(faults_live_blocks(), 3);
    ck_assert_uint_eq(spy.bytes, SEGMENT);
    ck_assert_uint_eq(usage().bytes, 0);
    ck_assert_uint_eq(usage().count, 0);
    drop();
}
END_TEST

/* ---- the kernel takes ------------------------------------------------------------ */

START_TEST(a_taken_value_is_gone)
{
    const size_t bytes = 9 * page;

    ck_assert_int_eq(put(1, bytes), GOV_OK);
    ck_assert_int_eq(put(2, SMALL), GOV_OK);
    ck_assert_int_eq(evict(spy.last_base + (size_t)_i * page, page), 0);
    ck_assert_uint_eq(usage().count, 2); /* nobody has looked yet */
    ck_assert(!has(1, bytes));
    ck_assert_uint_eq(usage().lost, 1);
    ck_assert_uint_eq(usage().count, 1);
    ck_assert(!has(1, bytes));
    ck_assert_uint_eq(usage().lost, 1);
    ck_assert_uint_eq(usage().misses, 1);
    ck_assert_int_eq(put(1, bytes), GOV_OK);
    ck_assert(has(1, bytes));
    ck_assert(has(2, SMALL));
    ck_assert_uint_eq(usage().hits, 2);
    drop();
}
END_TEST

START_TEST(asking_for_the_size_finds_out)
{
    size_t got = 77;

    ck_assert_int_eq(put(1, 9 * page), GOV_OK);
    ck_assert_int_eq(evict(spy.last_base, 9 * page), 0);
    ck_assert(!gov_cache_get(cache, 1, NULL, 0, &got));
    ck_assert_uint_eq(got, 77);
    ck_assert_uint_eq(usage().lost, 1);
    drop();
}
END_TEST

/* A get is no use of the pages: the kernel may take them right after. */
START_TEST(a_get_leaves_it_to_the_kernel)
{
    const int offers = (put(1, 9 * page), spy.offers);

    ck_assert(has(1, 9 * page));
    ck_assert_int_eq(spy.offers, offers);
    ck_assert_int_eq(evict(spy.last_base, 9 * page), 0);
    ck_assert(!has(1, 9 * page));
    drop();
}
END_TEST

/* Values that cannot be read are dropped, and nothing is asked of the host. */
START_TEST(dropping_touches_no_value)
{
    unsigned char *bases[3];
    uint64_t calls;

    for (uint64_t key = 0; key < 3; key++) {
        ck_assert_int_eq(put(key, 9 * page), GOV_OK);
        bases[key] = spy.last_base;
        ck_assert_int_eq(mprotect(bases[key], 9 * page, PROT_NONE), 0);
    }
    calls = faults_count();
    gov_cache_remove(cache, 0);
    ck_assert_uint_gt(gov_cache_shrink(cache, usage().bytes / 2), 9 * page);
    ck_assert_uint_gt(gov_cache_apply_level(cache, GOV_LEVEL_CRITICAL),
                      9 * page);
    ck_assert_uint_eq(faults_count(), calls);
    ck_assert_uint_eq(usage().count, 0);
    drop();
}
END_TEST

/* ---- options ---------------------------------------------------------------------- */

/* The struct as an older and as a newer version of the header has it. */
struct newer {
    struct gov_cache_options known;
    uint64_t unknown;
};

START_TEST(options_of_other_versions)
{
    struct newer newer = {.known = gov_cache_options_default()};
    struct gov_cache_options older = gov_cache_options_default();
    gov_cache *other = cache;

    newer.known.size = sizeof(newer);
    newer.known.limit_bytes = 5000;
    ck_assert_int_eq(gov_cache_new(&other, &newer.known, &err), GOV_OK);
    gov_cache_free(other);
    newer.unknown = (uint64_t)1 << 63;
    ck_assert_int_eq(gov_cache_new(&other, &newer.known, &err), GOV_E_INVALID);
    ck_assert_ptr_null(other);
    ck_assert_str_eq(err.message,
                     "the cache options are of a newer version; leave what "
                     "this library does not know at 0");
    older.size = offsetof(struct gov_cache_options, limit_count);
    older.limit_bytes = 5000;
    older.limit_count = 1; /* not there yet */
    ck_assert_int_eq(gov_cache_new(&other, &older, &err), GOV_OK);
    ck_assert_int_eq(gov_cache_put(other, 1, "a", 1, &err), GOV_OK);
    ck_assert_int_eq(gov_cache_put(other, 2, "b", 1, &err), GOV_OK);
    ck_assert(gov_cache_get(other, 1, NULL, 0, NULL));
    gov_cache_free(other);
    ck_assert_int_eq(gov_cache_new(&other, NULL, &err), GOV_OK);
    gov_cache_free(other);
    drop();
}
END_TEST

START_TEST(options_that_are_none)
{
    struct gov_cache_options options = gov_cache_options_default();
    const size_t sizes[] = {0, sizeof(size_t) - 1, 5000, SIZE_MAX};
    char want[GOV_MESSAGE_BYTES];
    gov_cache *other = cache;

    options.size = sizes[_i];
    ck_assert_int_eq(gov_cache_new(&other, &options, &err), GOV_E_INVALID);
    ck_assert_ptr_null(other);
    snprintf(want, sizeof(want),
             "cache options of %zu bytes are none; start from "
             "gov_cache_options_default()",
             sizes[_i]);
    ck_assert_str_eq(err.message, want);
    drop();
}
END_TEST

START_TEST(names)
{
    struct gov_cache_options options = gov_cache_options_default();
    gov_cache *other = cache;

    options.name = "1234567890123456789012345678901";
    ck_assert_int_eq(gov_cache_new(&other, &options, &err), GOV_OK);
    gov_cache_free(other);
    options.name = "12345678901234567890123456789012";
    ck_assert_int_eq(gov_cache_new(&other, &options, &err), GOV_E_INVALID);
    ck_assert_ptr_null(other);
    ck_assert_str_eq(err.message,
                     "the cache name \"12345678901234567890123456789012\" is "
                     "longer than 31 bytes; shorten it");
    drop();
}
END_TEST

/* ---- failures ----------------------------------------------------------------------- */

START_TEST(no_memory_for_a_cache)
{
    struct gov_cache_options options = gov_cache_options_default();
    gov_cache *other = cache;

    options.alloc = faults_alloc();
    for (uint64_t n = 0; n < 2; n++) { /* itself and its group */
        faults_arm(n, false);
        ck_assert_int_eq(gov_cache_new(&other, &options, &err), GOV_E_NOMEM);
        faults_reset();
        ck_assert_ptr_null(other);
        ck_assert_str_eq(err.message,
                         "no memory for cache \"cache\"; go on without it");
    }
    drop();
}
END_TEST

/* 20 values are there, so that one more put may grow the table; each call of
 * that put fails in turn, once or (_i is 1) with all that follow. */
static gov_status put_with_fault(uint64_t n, size_t bytes, bool forever)
{
    gov_status status;

    faults_reset();
    faults_only("alloc");
    drop();
    make(0, 0);
    for (uint64_t key = 1; key <= 16; key++)
        ck_assert_int_eq(put(key, SMALL), GOV_OK);
    faults_arm(n, forever);
    status = put(99, bytes);
    faults_disarm();
    return status;
}

START_TEST(each_failure_leaves_the_cache_as_it_was)
{
    const size_t sizes[] = {SMALL, 9 * page};

    for (size_t k = 0; k < 2; k++) {
        uint64_t calls, absorbed = 0;

        ck_assert_int_eq(put_with_fault(FAULTS_NEVER, sizes[k], false), GOV_OK);
        calls = faults_count();
        ck_assert_uint_eq(calls, 1 + k); /* marks if large, table */
        for (uint64_t n = 0; n < calls; n++) {
            gov_status status = put_with_fault(n, sizes[k], _i != 0);

            absorbed += status == GOV_OK;
            ck_assert(status == GOV_OK || status == GOV_E_NOMEM);
            ck_assert_int_eq(has(99, sizes[k]), status == GOV_OK);
            for (uint64_t key = 1; key <= 16; key++)
                ck_assert(has(key, SMALL));
            ck_assert_uint_eq(usage().count, 16 + (status == GOV_OK));
        }
        ck_assert_uint_eq(absorbed, 1); /* the table: chains get longer */
    }
    drop();
}
END_TEST

START_TEST(no_mapping_for_a_value)
{
    ck_assert_int_eq(put(1, 9 * page), GOV_OK);
    spy.map_rc = ENOMEM;
    ck_assert_int_eq(put(1, 8 * page), GOV_E_NOMEM);
    ck_assert_str_ne(err.message, "");
    ck_assert(has(1, 9 * page));
    ck_assert_int_eq(put(2, SMALL), GOV_OK);
    drop();
}
END_TEST

/* All that a cache does, with one of its calls failing: what is found is whole,
 * and nothing is left behind. */
static void do_it_all(void)
{
    struct gov_cache_held held, other;

    make(40 * SEGMENT, 0);
    gov__cache_lazy(cache, true);
    for (uint64_t key = 0; key < 60; key++)
        (void)put(key, key % 7 == 0 ? 5 * page : 3000);
    (void)gov_cache_hold(cache, 7, &held);
    (void)gov_cache_hold(cache, 8, &other);
    for (uint64_t key = 0; key < 60; key += 3)
        gov_cache_remove(cache, key);
    gov_cache_apply_level(cache, GOV_LEVEL_WARN);
    gov_cache_let_go(cache, &held);
    (void)put(99, 6 * page);
    (void)gov__cache_offer(cache, GOV_LEVEL_CRITICAL, 0);
    (void)gov_cache_shrink(cache, usage().bytes / 3);
    gov_cache_let_go(cache, &other);
    for (uint64_t key = 0; key < 60; key++)
        (void)has(key, key % 7 == 0 ? 5 * page : 3000);
    (void)gov__cache_grow(cache, UINT64_MAX);
    drop();
}

START_TEST(each_call_fails_in_turn)
{
    uint64_t calls;

    drop();
    faults_reset();
    faults_only("alloc,mmap,munmap,madvise");
    do_it_all();
    calls = faults_count();
    ck_assert_uint_gt(calls, 40);
    for (uint64_t n = 0; n < calls; n++) {
        faults_arm(n, _i != 0);
        faults_set_errno(ENOMEM);
        cache = NULL;
        if (n >= 2) /* without these there is no cache */
            do_it_all();
        faults_disarm();
    }
    make(0, 0);
    ck_assert_int_eq(put(1, SMALL), GOV_OK);
    drop();
}
END_TEST

START_TEST(no_memory_for_the_first_segment)
{
    faults_only("alloc,mmap");
    for (uint64_t n = 0; n < 2; n++) {
        faults_arm(n, false);
        ck_assert_int_eq(put(1, SMALL), GOV_E_NOMEM);
        faults_disarm();
        ck_assert_str_eq(err.message,
                         "no memory for a value of 100 bytes in cache "
                         "\"test\"; shrink the cache or go on without");
        ck_assert_uint_eq(usage().count, 0);
    }
    ck_assert_int_eq(put(1, SMALL), GOV_OK);
    ck_assert(has(1, SMALL));
    drop();
}
END_TEST

/* An allocator in which pressure strikes: by the time the value is copied, the
 * cache may keep nothing. */
static void *alloc_under_pressure(void *ctx, size_t bytes)
{
    if (cache != NULL)
        gov_cache_apply_level(cache, GOV_LEVEL_CRITICAL);
    return faults_alloc()->alloc(ctx, bytes);
}

START_TEST(the_level_falls_meanwhile)
{
    struct gov_cache_options options = gov_cache_options_default();
    struct gov_alloc alloc = *faults_alloc();

    drop();
    alloc.alloc = alloc_under_pressure;
    options.alloc = &alloc;
    ck_assert_int_eq(gov__cache_new_on(&cache, &spy.table, &options, &err),
                     GOV_OK);
    ck_assert_int_eq(put(1, 9 * page), GOV_E_REFUSED);
    ck_assert_uint_eq(usage().count, 0);
    ck_assert_uint_eq(usage().bytes, 0);
    drop();
}
END_TEST

/* ---- holding ---------------------------------------------------------------------- */

static bool is_whole(const struct gov_cache_held *held, uint64_t key,
                     size_t bytes)
{
    const unsigned char *value = held->value;

    if (held->bytes != bytes)
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (value[i] != byte_of(key, i))
            return false;
    return true;
}

/* Whatever befalls the entry, who holds it has it, where it was. */
START_TEST(what_is_held_stays_in_place)
{
    const size_t sizes[] = {0, 1, 4 * page - 1, 4 * page, 9 * page};
    const size_t bytes = sizes[_i / 5];
    struct gov_cache_held held, again;

    for (uint64_t key = 1; key < 40; key++)
        ck_assert_int_eq(put(key, key == 5 ? bytes : 3000), GOV_OK);
    ck_assert(gov_cache_hold(cache, 5, &held));
    ck_assert(is_whole(&held, 5, bytes));
    ck_assert_uint_eq((uintptr_t)held.value % 8, 0);
    ck_assert(gov_cache_hold(cache, 5, &again));
    ck_assert_ptr_eq(again.value, held.value);
    gov_cache_let_go(cache, &again);
    ck_assert_ptr_null(again.value);
    gov_cache_let_go(cache, &again); /* nothing to let go */
    switch (_i % 5) {
    case 0:
        gov_cache_remove(cache, 5);
        break;
    case 1:
        ck_assert_int_eq(put(5, 77), GOV_OK);
        break;
    case 2:
        gov_cache_shrink(cache, 0);
        break;
    case 3:
        gov_cache_apply_level(cache, GOV_LEVEL_CRITICAL);
        gov_cache_apply_level(cache, GOV_LEVEL_NORMAL);
        break;
    default: /* all others go, and what is left moves together */
        for (uint64_t key = 1; key < 40; key++)
            if (key != 5)
                gov_cache_remove(cache, key);
        gov_cache_shrink(cache, usage().bytes - 1);
    }
    if (bytes >= 4 * page)
        (void)evict((void *)(uintptr_t)held.value, bytes);
    ck_assert(is_whole(&held, 5, bytes));
    for (uint64_t key = 50; key < 90; key++)
        ck_assert_int_eq(put(key, 3000), GOV_OK);
    ck_assert(is_whole(&held, 5, bytes));
    gov_cache_let_go(cache, &held);
    ck_assert_int_eq(has(5, 77), _i % 5 == 1);
    gov_cache_shrink(cache, 0);
    ck_assert_uint_eq(spy.bytes, SEGMENT); /* the empty one */
    drop();
}
END_TEST

/* Who was held moves again. */
START_TEST(what_was_let_go_moves)
{
    struct gov_cache_held held;

    drop();
    make(32 * SEGMENT, 0);
    for (uint64_t key = 0; key < 600; key++) {
        ck_assert_int_eq(put(key, 3000), GOV_OK);
        ck_assert(gov_cache_hold(cache, key, &held));
        gov_cache_let_go(cache, &held);
    }
    for (uint64_t key = 0; key < 600; key++)
        if (key % 4 != 0)
            gov_cache_remove(cache, key);
    gov_cache_shrink(cache, usage().bytes - 1);
    ck_assert_uint_le(spy.bytes, usage().bytes + 4 * SEGMENT);
    for (uint64_t key = 4; key < 600; key += 4)
        ck_assert(has(key, 3000));
    drop();
}
END_TEST

START_TEST(a_hold_is_a_use_and_a_miss_is_none)
{
    struct gov_cache_held held = {"x", 1, NULL};

    ck_assert(!gov_cache_hold(cache, 1, &held));
    ck_assert_ptr_null(held.value);
    ck_assert_uint_eq(held.bytes, 0);
    ck_assert_uint_eq(usage().misses, 1);
    for (uint64_t key = 1; key <= 3; key++)
        ck_assert_int_eq(put(key, SMALL), GOV_OK);
    ck_assert(gov_cache_hold(cache, 1, &held));
    gov_cache_let_go(cache, &held);
    ck_assert_uint_eq(usage().hits, 1);
    gov_cache_shrink(cache, usage().bytes - 1);
    ck_assert(!has(2, SMALL));
    ck_assert(has(1, SMALL));
    drop();
}
END_TEST

START_TEST(a_hold_finds_a_loss)
{
    struct gov_cache_held held;

    ck_assert_int_eq(put(1, 9 * page), GOV_OK);
    ck_assert_int_eq(evict(spy.last_base + page, page), 0);
    ck_assert(!gov_cache_hold(cache, 1, &held));
    ck_assert_ptr_null(held.value);
    ck_assert_uint_eq(usage().lost, 1);
    ck_assert_uint_eq(usage().count, 0);
    ck_assert_int_eq(spy.maps, spy.unmaps);
    ck_assert(!gov_cache_hold(cache, 1, &held));
    ck_assert_uint_eq(usage().misses, 1);
    drop();
}
END_TEST

/* ---- lazy ---------------------------------------------------------------------------- */

/* Who promises to hand over is asked nothing before; from WARN on each value is
 * handed over as it comes. */
START_TEST(lazy_values_are_handed_over_at_need)
{
    struct gov_cache_held held;
    unsigned char *at;
    int offers;

    gov__cache_lazy(cache, true);
    ck_assert_int_eq(put(1, 9 * page), GOV_OK);
    at = spy.last_base;
    ck_assert(gov_cache_hold(cache, 1, &held));
    gov_cache_let_go(cache, &held);
    ck_assert_int_eq(spy.offers, 0);
    (void)evict(at, 9 * page);
    ck_assert(has(1, 9 * page));
    ck_assert_uint_eq(gov__cache_hand_over(cache), 9 * page);
    ck_assert_uint_eq(gov__cache_hand_over(cache), 0);
    ck_assert_int_eq(spy.offers, 1);
    ck_assert(gov_cache_hold(cache, 1, &held));
    gov_cache_let_go(cache, &held);
    gov_cache_apply_level(cache, GOV_LEVEL_WARN);
    ck_assert_int_eq(spy.offers, 2);
    ck_assert_int_eq(put(2, 8 * page), GOV_OK);
    ck_assert_int_eq(spy.offers, 3);
    ck_assert_uint_eq(gov__cache_grow(cache, MIB), 31 * MIB);
    ck_assert_int_eq(put(3, 8 * page), GOV_OK);
    ck_assert_int_eq(spy.offers, 3);
    gov__cache_lazy(cache, false);
    offers = spy.offers;
    ck_assert_int_eq(offers, 4);
    ck_assert_int_eq(put(4, 8 * page), GOV_OK);
    ck_assert_int_eq(spy.offers, 5);
    drop();
}
END_TEST

START_TEST(a_cache_grows_in_steps)
{
    drop();
    make(4 * MIB, 0);
    ck_assert_uint_eq(gov__cache_grow(cache, MIB), 0);
    gov_cache_apply_level(cache, GOV_LEVEL_CRITICAL);
    ck_assert_int_eq(put(1, SMALL), GOV_E_REFUSED);
    ck_assert_uint_eq(gov__cache_grow(cache, MIB), 3 * MIB);
    ck_assert_int_eq(put(1, SMALL), GOV_OK);
    ck_assert_int_eq(put(2, MIB), GOV_E_REFUSED);
    ck_assert_uint_eq(gov__cache_grow(cache, 2 * MIB), MIB);
    ck_assert_int_eq(put(2, MIB), GOV_OK);
    ck_assert_uint_eq(gov__cache_grow(cache, 9 * MIB), 0);
    ck_assert_uint_eq(gov__cache_grow(cache, UINT64_MAX), 0);
    ck_assert_int_eq(put(3, 3 * MIB - 3 * page), GOV_OK);
    drop();
}
END_TEST

/* ---- what comes back ------------------------------------------------------------------- */

static uint32_t luck;

static uint32_t roll(uint32_t sides)
{
    luck = luck * 1664525u + 1013904223u;
    return (luck >> 8) % sides;
}

/* Holes are filled: what is mapped follows what is there. */
START_TEST(holes_are_filled)
{
    drop();
    make(4 * MIB, 0);
    luck = 1;
    for (int n = 0; n < 60000; n++) {
        const uint64_t key = roll(20000);

        if (roll(3) == 0)
            gov_cache_remove(cache, key);
        else
            ck_assert_int_eq(put(key, roll(600)), GOV_OK);
        ck_assert_uint_le(spy.bytes, usage().bytes * 3 / 2 + 4 * SEGMENT);
    }
    for (uint64_t key = 0; key < 20000; key++) {
        size_t bytes = 0;

        if (gov_cache_get(cache, key, NULL, 0, &bytes))
            ck_assert(has(key, bytes));
    }
    drop();
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* What is offered comes back in the footprint, and is most of what goes. */
static const struct {
    const char *name;
    size_t from, to; /* a value's bytes */
    gov_level level;
    unsigned held, taken; /* every nth; 0: none */
} yields[] = {
    {"small, half", 50, 1000, GOV_LEVEL_WARN, 0, 0},
    {"small, all", 50, 1000, GOV_LEVEL_CRITICAL, 0, 0},
    {"tiny, half", 0, 10, GOV_LEVEL_WARN, 0, 0},
    {"mixed, half", 50, 40000, GOV_LEVEL_WARN, 0, 0},
    {"mixed, all", 50, 40000, GOV_LEVEL_CRITICAL, 0, 0},
    {"large, half", 20000, 90000, GOV_LEVEL_WARN, 0, 0},
    {"large, all", 20000, 90000, GOV_LEVEL_CRITICAL, 0, 0},
    {"large, some taken", 20000, 90000, GOV_LEVEL_CRITICAL, 0, 3},
    {"large, some held", 20000, 90000, GOV_LEVEL_CRITICAL, 5, 0},
    {"small, some held", 50, 1000, GOV_LEVEL_CRITICAL, 700, 0},
};

static uint64_t footprint(void)
{
    struct gov_footprint now;

    ck_assert_int_eq(gov_footprint_now(&now, &err), GOV_OK);
    return now.footprint_bytes;
}

static void fill(int row, struct gov_cache_held *held, size_t room)
{
    size_t n = 0;

    for (uint64_t key = 0; usage().evicted == 0; key++) {
        const uint32_t span = (uint32_t)(yields[row].to - yields[row].from);
        const int maps = spy.maps;

        ck_assert_int_eq(put(key, yields[row].from + roll(span)), GOV_OK);
        if (yields[row].taken != 0 && key % yields[row].taken == 0 &&
            spy.maps != maps)
            (void)evict(spy.last_base, 4 * page);
        if (yields[row].held != 0 && key % yields[row].held == 9 && n < room)
            ck_assert(gov_cache_hold(cache, key, &held[n++]));
        /* So that what was used last lies all over. */
        (void)gov_cache_get(cache, roll((uint32_t)key + 1), NULL, 0, NULL);
    }
}

START_TEST(what_is_offered_comes_back)
{
    static struct gov_cache_held held[4000];
    uint64_t offered, dropped, before, after, calls;

    memset(held, 0, sizeof(held));
    drop();
    make(32 * MIB, 0);
    luck = (uint32_t)_i + 1;
    fill(_i, held, 4000);
    if (yields[_i].taken != 0 && !can_evict()) {
        skip_test(yields[_i].name, NO_EVICTION);
        drop();
        return;
    }
    offered = gov__cache_offer(cache, yields[_i].level, 0);
    faults_only("alloc");
    calls = faults_count();
    before = footprint();
    dropped = gov_cache_apply_level(cache, yields[_i].level);
    after = footprint();
    ck_assert_uint_eq(faults_count(), calls);
    ck_assert_msg(before - after >= offered / 100 * 95,
                  "%s: %" PRIu64 " of %" PRIu64 " offered", yields[_i].name,
                  before - after, offered);
    if (yields[_i].held == 0 && yields[_i].taken == 0)
        ck_assert_msg(offered >= dropped / 100 * 90,
                      "%s: %" PRIu64 " offered, %" PRIu64 " dropped",
                      yields[_i].name, offered, dropped);
    ck_assert_uint_gt(offered, MIB);
    for (size_t i = 0; i < 4000; i++)
        gov_cache_let_go(cache, &held[i]);
    drop();
}
END_TEST
#endif

/* ---- threads -------------------------------------------------------------------------- */

static _Atomic int wrong;

/* A value is its key, over and over. */
static void *churn(void *arg)
{
    uint32_t dice = *(const uint32_t *)arg;
    const size_t bytes[] = {8, 800, 4 * page, 6 * page};
    uint64_t *value = calloc(1, 6 * page);
    struct gov_cache_held held;

    for (int n = 0; n < 4000 && value != NULL; n++) {
        uint64_t key;
        size_t got = 0;

        dice = dice * 1664525u + 1013904223u;
        key = (dice >> 8) % 40 + 1;
        for (size_t i = 0; i < bytes[key % 4] / 8; i++)
            value[i] = key;
        if ((dice >> 16) % 3 == 0)
            wrong += gov_cache_put(cache, key, value, bytes[key % 4], NULL) ==
                     GOV_E_NOMEM;
        memset(value, 0, 6 * page);
        if (gov_cache_get(cache, key, value, 6 * page, &got))
            for (size_t i = 0; i < bytes[key % 4] / 8; i++)
                wrong += value[i] != key || got != bytes[key % 4];
        if (n % 3 == 0 && gov_cache_hold(cache, key, &held)) {
            const uint64_t *in_place = held.value;

            for (size_t i = 0; i < bytes[key % 4] / 8; i++)
                wrong += in_place[i] != key || held.bytes != bytes[key % 4];
            gov_cache_let_go(cache, &held);
        }
        if (n % 90 == 0)
            (void)gov__cache_offer(cache, GOV_LEVEL_CRITICAL, 0);
        if (n % 300 == 0)
            gov__cache_lazy(cache, n % 600 == 0);
        if (n % 50 == 0)
            gov_cache_remove(cache, key);
        if (n % 200 == 0)
            gov_cache_shrink(cache, 10 * page);
        if (n % 500 == 0)
            gov_cache_apply_level(cache, (gov_level)(dice >> 16) % 120);
        /* Unmapped or somebody else's by now? Then nothing comes of it. */
        if (n % 7 == 0 && spy.last_base != NULL)
            (void)evict(spy.last_base, 4 * page);
        if (n % 100 == 0)
            wrong += usage().bytes > 60 * page;
    }
    free(value);
    return NULL;
}

START_TEST(threads_share_it)
{
    uint32_t seeds[3] = {1, 22, 333};
    pthread_t threads[3];

    drop();
    make(60 * page, 30);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, &seeds[i]),
                         0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(wrong, 0);
    ck_assert_uint_gt(usage().hits, 0);
    if (can_evict())
        ck_assert_uint_gt(usage().lost, 0);
    drop();
}
END_TEST

/* ---------------------------------------------------------------------------------------- */

Suite *suite(void)
{
    Suite *s = suite_create("cache");
    TCase *tc = tcase_create("cache");

    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, what_stays, 0,
                        sizeof(scripts) / sizeof(scripts[0]));
    tcase_add_loop_test(tc, a_limit_is_exact, 0, 7);
    tcase_add_test(tc, what_is_counted);
    tcase_add_test(tc, a_refusal_changes_nothing);
    tcase_add_test(tc, zero_means_the_default);
    tcase_add_loop_test(tc, a_value_comes_back, 0, 7);
    tcase_add_test(tc, a_put_replaces);
    tcase_add_test(tc, no_value_is_no_crash);
    tcase_add_loop_test(tc, many_are_all_found, 0,
                        sizeof(strides) / sizeof(strides[0]));
    tcase_add_test(tc, dropping_touches_no_value);
    tcase_add_test(tc, options_of_other_versions);
    tcase_add_loop_test(tc, options_that_are_none, 0, 4);
    tcase_add_test(tc, names);
    tcase_add_test(tc, no_memory_for_a_cache);
    tcase_add_loop_test(tc, each_failure_leaves_the_cache_as_it_was, 0, 2);
    tcase_add_loop_test(tc, each_call_fails_in_turn, 0, 2);
    tcase_add_test(tc, no_memory_for_the_first_segment);
    tcase_add_test(tc, no_mapping_for_a_value);
    tcase_add_loop_test(tc, what_is_held_stays_in_place, 0, 25);
    tcase_add_test(tc, what_was_let_go_moves);
    tcase_add_test(tc, a_hold_is_a_use_and_a_miss_is_none);
    tcase_add_test(tc, lazy_values_are_handed_over_at_need);
    tcase_add_test(tc, a_cache_grows_in_steps);
    tcase_add_test(tc, holes_are_filled);
    tcase_add_test(tc, the_level_falls_meanwhile);
    tcase_add_test(tc, threads_share_it);
    suite_add_tcase(s, tc);
    tc = tcase_create("lost to the kernel");
    tcase_add_checked_fixture(tc, set_up, NULL);
    if (can_evict()) {
        tcase_add_loop_test(tc, a_taken_value_is_gone, 0, 9);
        tcase_add_test(tc, asking_for_the_size_finds_out);
        tcase_add_test(tc, a_get_leaves_it_to_the_kernel);
        tcase_add_test(tc, a_hold_finds_a_loss);
    } else {
        skip_test("cache, values taken", NO_EVICTION);
    }
    suite_add_tcase(s, tc);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tc = tcase_create("what comes back");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, what_is_offered_comes_back, 0,
                        sizeof(yields) / sizeof(yields[0]));
    suite_add_tcase(s, tc);
#else
    skip_test("cache, what comes back",
              "a sanitizer's own memory is in the footprint");
#endif
    return s;
}
