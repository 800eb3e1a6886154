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
    ck_assert_uint_eq(cost_of(1), entry + 1);
    ck_assert_uint_eq(cost_of(4 * page - 1), entry + 4 * page - 1);
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
    /* The table went with the entries: the cache itself is left. */
    gov_cache_shrink(cache, 0);
    ck_assert_int_eq(faults_live_blocks(), 1);
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
    faults_arm(0, false);
    ck_assert_int_eq(gov_cache_new(&other, &options, &err), GOV_E_NOMEM);
    faults_reset();
    ck_assert_ptr_null(other);
    ck_assert_str_eq(err.message,
                     "no memory for cache \"cache\"; go on without it");
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
        ck_assert_uint_eq(calls, 2 + k); /* entry, marks if large, table */
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

/* ---- threads -------------------------------------------------------------------------- */

static _Atomic int wrong;

/* A value is its key, over and over. */
static void *churn(void *arg)
{
    uint32_t dice = *(const uint32_t *)arg;
    const size_t bytes[] = {8, 800, 4 * page, 6 * page};
    uint64_t *value = calloc(1, 6 * page);

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
    tcase_add_test(tc, no_mapping_for_a_value);
    tcase_add_test(tc, the_level_falls_meanwhile);
    tcase_add_test(tc, threads_share_it);
    suite_add_tcase(s, tc);
    tc = tcase_create("lost to the kernel");
    tcase_add_checked_fixture(tc, set_up, NULL);
    if (can_evict()) {
        tcase_add_loop_test(tc, a_taken_value_is_gone, 0, 9);
        tcase_add_test(tc, asking_for_the_size_finds_out);
        tcase_add_test(tc, a_get_leaves_it_to_the_kernel);
    } else {
        skip_test("cache, values taken", NO_EVICTION);
    }
    suite_add_tcase(s, tc);
    return s;
}
