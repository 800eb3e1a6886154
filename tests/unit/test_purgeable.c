/* SPDX-License-Identifier: MIT */
/* Purgeable blocks against the real kernel: MADV_PAGEOUT takes lazily freed
 * pages at once, so every loss here is made, not waited for. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/memory/memory_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/unit/spy_platform.h"

#define PAGES 8

static struct spy spy;
static size_t page;
static gov_error err;
static gov_purgeable *block;
static unsigned char *base;
static gov_purgeable_group *group;

static void make(size_t bytes)
{
    ck_assert_int_eq(gov__purgeable_new_on(&block, &spy.table, bytes, "test",
                                           faults_alloc(), &err),
                     GOV_OK);
    base = gov_purgeable_begin(block, NULL);
    gov_purgeable_end(block);
    gov_purgeable_end(block); /* the hold it was made with */
}

static void set_up(void)
{
    faults_reset();
    spy_init(&spy);
    page = spy_page_bytes(NULL);
    make(PAGES * page);
}

static void tear_down(void)
{
    gov_purgeable_free(block);
    block = NULL;
    ck_assert_int_eq(faults_live_blocks(), 0);
    ck_assert_int_eq(spy.maps, spy.unmaps);
    ck_assert_uint_eq(spy.bytes, 0);
}

static void set_up_group(void)
{
    set_up();
    ck_assert_int_eq(gov_purgeable_group_new(&group, faults_alloc(), &err),
                     GOV_OK);
    gov_purgeable_join(block, group);
}

static void tear_down_group(void)
{
    gov_purgeable_group_free(group);
    group = NULL;
    tear_down();
}

static gov_purge_state begin(void)
{
    gov_purge_state state;

    ck_assert_ptr_eq(gov_purgeable_begin(block, &state), base);
    return state;
}

static void end(void)
{
    gov_purgeable_end(block);
}

static bool is_filled(unsigned char with)
{
    for (size_t i = 0; i < gov_purgeable_bytes(block); i++)
        if (base[i] != with)
            return false;
    return true;
}

/* ---- what new gives ---------------------------------------------------------- */

START_TEST(is_new_zeroed_and_held)
{
    const size_t sizes[] = {1, page - 1, page, page + 1, 3 * page};
    const size_t pages[] = {1, 1, 1, 2, 3};
    gov_purge_state state;
    gov_purgeable *other;
    unsigned char *at;

    ck_assert_int_eq(gov_purgeable_new(&other, sizes[_i], NULL, NULL, &err),
                     GOV_OK);
    ck_assert_uint_eq(gov_purgeable_bytes(other), pages[_i] * page);
    at = gov_purgeable_begin(other, &state);
    ck_assert_int_eq(state, GOV_PURGE_KEPT);
    for (size_t i = 0; i < pages[_i] * page; i++)
        ck_assert_uint_eq(at[i], 0);
    memset(at, 1, pages[_i] * page);
    gov_purgeable_end(other);
    ck_assert_uint_eq(gov_purgeable_purge(other), 0); /* still held by new */
    gov_purgeable_end(other);
    ck_assert_uint_eq(gov_purgeable_purge(other), pages[_i] * page);
    gov_purgeable_free(other);
    gov_purgeable_free(NULL);
}
END_TEST

START_TEST(sizes_that_are_none)
{
    gov_purgeable *none = block;

    ck_assert_int_eq(gov_purgeable_new(&none, 0, "x", NULL, &err),
                     GOV_E_INVALID);
    ck_assert_ptr_null(none);
    ck_assert_str_eq(err.message, "a purgeable block of 0 bytes holds nothing; "
                                  "ask for at least 1");
    ck_assert_int_eq(gov_purgeable_new(&none, SIZE_MAX, "x", NULL, &err),
                     GOV_E_NOMEM);
    ck_assert_ptr_null(none);
    ck_assert_str_eq(err.message,
                     "no purgeable block of 18446744073709551615 bytes; ask "
                     "for less or free some memory: Cannot allocate memory");
    ck_assert_int_eq(
        gov_purgeable_new(&none, SIZE_MAX / 2 + 1, "x", NULL, NULL),
        GOV_E_NOMEM);
    spy.map_rc = ENOTSUP;
    ck_assert_int_eq(
        gov__purgeable_new_on(&none, &spy.table, 1, "x", faults_alloc(), &err),
        GOV_E_UNSUPPORTED);
    ck_assert_ptr_null(none);
}
END_TEST

/* The marks are allocated, then the pages mapped. */
START_TEST(each_failure_is_told_and_leaks_nothing)
{
    for (int n = 0; n < 2; n++) {
        const int64_t live = faults_live_blocks();
        gov_purgeable *other = block;
        gov_status status;

        spy.map_rc = n == 1 ? ENOMEM : 0;
        faults_only("alloc");
        faults_arm(n == 0 ? 0 : FAULTS_NEVER, false);
        status = gov__purgeable_new_on(&other, &spy.table, page, "x",
                                       faults_alloc(), &err);
        ck_assert_uint_eq(faults_count(), 1);
        faults_reset();
        ck_assert_int_eq(status, GOV_E_NOMEM);
        ck_assert_ptr_null(other);
        ck_assert_int_eq(err.os_errno, ENOMEM);
        ck_assert_int_eq(faults_live_blocks(), live);
    }
}
END_TEST

/* ---- kept and lost ----------------------------------------------------------- */

START_TEST(stays_without_pressure)
{
    begin();
    memset(base, 7, PAGES * page);
    for (int i = 0; i < 3; i++) {
        end();
        ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
        ck_assert(is_filled(7));
    }
    end();
}
END_TEST

START_TEST(is_lost_to_pressure)
{
    for (int i = 0; i < 3; i++) {
        begin();
        memset(base, 7, PAGES * page);
        end();
        ck_assert_int_eq(evict(base, PAGES * page), 0);
        ck_assert_int_eq(begin(), GOV_PURGE_LOST);
        ck_assert(is_filled(0));
        end();
    }
}
END_TEST

/* One page is enough, whichever; and then all of the block is zero. */
START_TEST(is_lost_as_a_whole)
{
    begin();
    memset(base, 7, PAGES * page);
    end();
    ck_assert_int_eq(evict(base + (size_t)_i * page, page), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert(is_filled(0));
    memset(base, 8, PAGES * page);
    end();
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(8));
    end();
}
END_TEST

/* What begin took back the kernel cannot have: with a begin that only reads,
 * or with an atomic "or" of 0 built by clang, this loses the block. */
START_TEST(a_hold_holds)
{
    begin();
    memset(base, 7, PAGES * page);
    end();
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert_int_eq(evict(base, PAGES * page), 0);
    ck_assert(is_filled(7));
    end();
}
END_TEST

/* ---- content that is zero in places ------------------------------------------ */

/* The page holds one byte that is not zero, or none (-1 is the last byte). */
static const int places[] = {0, 1, 3, 4, 7, 8, 60, 63, 64, 100, 128, 2047, -1};

START_TEST(one_byte_is_enough)
{
    const size_t at = places[_i] < 0 ? page - 1 : (size_t)places[_i];

    begin();
    for (size_t i = 0; i < PAGES; i++)
        base[i * page + at] = 0x80;
    end();
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert_int_eq(evict(base, PAGES * page), 0);
    for (size_t i = 0; i < PAGES * page; i++)
        ck_assert_uint_eq(base[i], i % page == at ? 0x80 : 0);
    end();
    ck_assert_int_eq(evict(base + (PAGES - 1) * page, page), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert(is_filled(0));
    end();
}
END_TEST

START_TEST(zeroes_cannot_be_lost)
{
    begin();
    end();
    ck_assert_int_eq(evict(base, PAGES * page), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(0));
    base[3 * page + 5] = 1;
    end();
    for (size_t i = 0; i < PAGES; i++)
        if (i != 3)
            ck_assert_int_eq(evict(base + i * page, page), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert_uint_eq(base[3 * page + 5], 1);
    end();
}
END_TEST

/* A mark from before must not speak for what is there now. */
START_TEST(marks_follow_the_content)
{
    for (size_t at = 0; at < page; at += 257) {
        begin();
        memset(base, 0, page);
        base[at] = 1;
        end();
        ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
        ck_assert_uint_eq(base[at], 1);
        end();
        ck_assert_int_eq(evict(base, page), 0);
        ck_assert_int_eq(begin(), GOV_PURGE_LOST);
        end();
    }
}
END_TEST

/* ---- holds ------------------------------------------------------------------- */

START_TEST(only_the_last_end_lets_go)
{
    const int offers = spy.offers;

    begin();
    memset(base, 7, PAGES * page);
    begin();
    begin();
    end();
    end();
    ck_assert_int_eq(spy.offers, offers);
    ck_assert_int_eq(evict(base, PAGES * page), 0);
    ck_assert(is_filled(7));
    end();
    ck_assert_int_eq(spy.offers, offers + 1);
    end(); /* one too many changes nothing */
    ck_assert_int_eq(spy.offers, offers + 1);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert_int_eq(spy.offers, offers + 1);
    ck_assert_int_eq(evict(base, PAGES * page), 0);
    ck_assert(is_filled(7));
    end();
}
END_TEST

START_TEST(a_loss_is_told_until_an_end)
{
    begin();
    memset(base, 7, PAGES * page);
    end();
    ck_assert_int_eq(evict(base, PAGES * page), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    end();
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    end();
    end();
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    end();
}
END_TEST

/* ---- purge ------------------------------------------------------------------- */

START_TEST(purge_gives_back_what_nobody_holds)
{
    begin();
    memset(base, 7, PAGES * page);
    ck_assert_uint_eq(gov_purgeable_purge(block), 0);
    ck_assert(is_filled(7));
    end();
    ck_assert_uint_eq(gov_purgeable_purge(block), PAGES * page);
    ck_assert_uint_eq(gov_purgeable_purge(block), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert(is_filled(0));
    memset(base, 8, PAGES * page);
    ck_assert_uint_eq(gov_purgeable_purge(block), 0);
    end();
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(8));
    end();
}
END_TEST

START_TEST(purge_shows_in_the_footprint)
{
    const uint64_t bytes = (uint64_t)64 << 20;
    struct gov_footprint before, after;
    gov_purgeable *large;

    ck_assert_int_eq(gov_purgeable_new(&large, bytes, "large", NULL, &err),
                     GOV_OK);
    memset(gov_purgeable_begin(large, NULL), 1, bytes);
    gov_purgeable_end(large);
    gov_purgeable_end(large);
    if (gov_footprint_now(&before, &err) != GOV_OK) {
        skip_test("purge_shows_in_the_footprint", err.message);
        gov_purgeable_free(large);
        return;
    }
    ck_assert_uint_eq(gov_purgeable_purge(large), bytes);
    ck_assert_int_eq(gov_footprint_now(&after, &err), GOV_OK);
    ck_assert_uint_le(after.footprint_bytes + bytes * 15 / 16,
                      before.footprint_bytes);
    gov_purgeable_free(large);
}
END_TEST

/* ---- systems that refuse ------------------------------------------------------ */

START_TEST(without_offers_it_stays_until_purged)
{
    int offers;

    spy.offer_rc = ENOTSUP;
    begin();
    memset(base, 7, PAGES * page);
    end();
    offers = spy.offers;
    (void)evict(base, PAGES * page);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(7));
    end();
    ck_assert_int_eq(spy.offers, offers); /* asked once, never again */
    ck_assert(gov__purgeable_read(block, NULL, 0));
    ck_assert_uint_eq(gov_purgeable_purge(block), PAGES * page);
    ck_assert(!gov__purgeable_read(block, NULL, 0));
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert(is_filled(0));
    end();
}
END_TEST

/* An offer that fails may have offered a part: the marks decide. */
START_TEST(a_failed_offer_is_not_trusted)
{
    begin();
    memset(base, 7, PAGES * page);
    spy.offer_rc = EINVAL;
    end();
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(7));
    end();
    ck_assert_int_eq(madvise(base + page, page, MADV_DONTNEED), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert(is_filled(0));
    end();
}
END_TEST

START_TEST(a_failed_discard_zeroes_by_hand)
{
    begin();
    memset(base, 7, PAGES * page);
    end();
    spy.discard_rc = EINVAL;
    ck_assert_uint_eq(gov_purgeable_purge(block), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(7));
    end();
    ck_assert_int_eq(madvise(base + page, page, MADV_DONTNEED), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert(is_filled(0));
    end();
}
END_TEST

START_TEST(locked_pages_stay)
{
    if (mlock(base, PAGES * page) != 0) {
        skip_test("locked_pages_stay", strerror(errno));
        return;
    }
    if (madvise(base, page, MADV_DONTNEED) == 0) {
        skip_test("locked_pages_stay", "mlock() locks nothing here, as under "
                                       "a sanitizer");
        return;
    }
    begin();
    memset(base, 7, PAGES * page);
    end();
    (void)evict(base, PAGES * page);
    ck_assert_uint_eq(gov_purgeable_purge(block), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(7));
    munlock(base, PAGES * page);
    end();
}
END_TEST

/* A range that cannot be unmapped is at least emptied. */
START_TEST(a_failed_unmap_discards)
{
    const int discards = spy.discards;
    unsigned char *at = base;

    begin();
    memset(base, 7, PAGES * page);
    end();
    spy.unmap_rc = ENOMEM;
    gov_purgeable_free(block);
    block = NULL;
    ck_assert_int_eq(spy.discards, discards + 1);
    ck_assert_uint_eq(at[0], 0);
    munmap(at, PAGES * page);
}
END_TEST

/* ---- reading without a hold --------------------------------------------------- */

START_TEST(read_copies_what_survived)
{
    unsigned char *copy = calloc(PAGES + 1, page);

    ck_assert_ptr_nonnull(copy);
    begin();
    for (size_t i = 0; i < PAGES * page; i++)
        base[i] = (unsigned char)(i * 31 + i / page);
    ck_assert(gov__purgeable_read(block, copy, PAGES * page)); /* held */
    end();
    memset(copy, 0, PAGES * page);
    ck_assert(gov__purgeable_read(block, copy, SIZE_MAX));
    ck_assert_int_eq(memcmp(copy, base, PAGES * page), 0);
    memset(copy, 0, PAGES * page);
    ck_assert(gov__purgeable_read(block, copy, 5));
    ck_assert_int_eq(memcmp(copy, base, 5), 0);
    ck_assert_uint_eq(copy[5], 0);
    ck_assert(gov__purgeable_read(block, NULL, 5));
    if (can_evict()) {
        /* What is only read stays the kernel's, and a loss anywhere counts. */
        ck_assert_int_eq(evict(base + (PAGES - 1) * page, page), 0);
        ck_assert(!gov__purgeable_read(block, copy, 5));
        ck_assert_int_eq(begin(), GOV_PURGE_LOST);
        ck_assert(!gov__purgeable_read(block, copy, 5));
        base[0] = 1;
        end();
    }
    ck_assert(gov__purgeable_read(block, copy, 5));
    gov_purgeable_purge(block);
    ck_assert(!gov__purgeable_read(block, copy, 5));
    free(copy);
}
END_TEST

/* ---- fork --------------------------------------------------------------------- */

/* 0 when the child finds its own copy, kept, then loses it, as it should. */
static int check_child(void)
{
    gov_purge_state state;

    gov_purgeable_begin(block, &state);
    if (state != GOV_PURGE_KEPT || !is_filled(7))
        return 1;
    if (evict(base, PAGES * page) != 0 || !is_filled(7))
        return 2;
    memset(base, 9, PAGES * page);
    gov_purgeable_end(block);
    if (group != NULL)
        (void)gov_purgeable_group_hand_over(group);
    if (evict(base, PAGES * page) != 0)
        return 3;
    gov_purgeable_begin(block, &state);
    return state == GOV_PURGE_LOST && is_filled(0) ? 0 : 4;
}

START_TEST(a_child_has_a_copy)
{
    int status;
    pid_t child;

    begin();
    memset(base, 7, PAGES * page);
    end();
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(check_child());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(7));
    end();
}
END_TEST

/* ---- anything in any order ------------------------------------------------------ */

/* What the block should say, kept beside it. */
struct model {
    int holds;
    bool lost, told, offered;
    unsigned char *content;
};

static uint32_t dice;

static uint32_t roll(uint32_t sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % sides;
}

static void model_begin(struct model *model)
{
    const bool first = model->holds++ == 0;

    if (first && model->lost) {
        memset(model->content, 0, PAGES * page);
        model->told = true;
    }
    model->lost = model->offered = false;
    ck_assert_int_eq(begin(), model->told ? GOV_PURGE_LOST : GOV_PURGE_KEPT);
    ck_assert_int_eq(memcmp(base, model->content, PAGES * page), 0);
}

static bool model_page_is_zero(const struct model *model, size_t i)
{
    for (size_t k = 0; k < page; k++)
        if (model->content[i * page + k] != 0)
            return false;
    return true;
}

static void model_write(struct model *model)
{
    const size_t at = roll(PAGES) * page + roll(4) * (page / 4) + roll(9);
    const unsigned char value = (unsigned char)(roll(3) == 0 ? 0 : roll(256));

    if (model->holds == 0)
        return;
    if (roll(4) == 0) {
        memset(base + at / page * page, value, page);
        memset(model->content + at / page * page, value, page);
    }
    base[at] = value;
    model->content[at] = value;
}

static void model_step(struct model *model)
{
    const size_t i = roll(PAGES);

    switch (roll(7)) {
    case 0:
    case 1:
        model_begin(model);
        break;
    case 2:
        end();
        model->told = model->told && model->holds == 0;
        model->holds -= model->holds > 0;
        model->offered |= model->holds == 0 && group == NULL;
        break;
    case 3:
        model_write(model);
        break;
    case 4:
        ck_assert_int_eq(evict(base + i * page, page), 0);
        model->lost |= model->offered && !model_page_is_zero(model, i);
        break;
    case 5:
        if (group == NULL || roll(3) != 0)
            break;
        (void)gov_purgeable_group_hand_over(group);
        model->offered |= model->holds == 0;
        break;
    default:
        if (roll(4) == 0 && gov_purgeable_purge(block) != 0)
            model->lost = true;
        ck_assert_int_eq(gov__purgeable_read(block, NULL, 0),
                         !model->lost && !model->told);
    }
}

START_TEST(does_what_a_model_does)
{
    struct model model = {.content = calloc(PAGES, page),
                          .offered = group == NULL};

    ck_assert_ptr_nonnull(model.content);
    dice = (uint32_t)_i * 7919 + 1;
    for (int n = 0; n < 2000; n++)
        model_step(&model);
    free(model.content);
}
END_TEST

/* ---- threads -------------------------------------------------------------------- */

#define ROUNDS 20000

static atomic_bool stop;
static _Atomic int losses, torn;
static pthread_mutex_t fill_lock = PTHREAD_MUTEX_INITIALIZER;

static void start_over(void)
{
    stop = false;
    losses = 0;
    torn = 0;
}

/* A hold in a group is short. On a busy machine the taker may get its turn late: rounds in which nothing
 * was taken prove nothing. */
static int rounds(void)
{
    return group != NULL ? 10 * ROUNDS : ROUNDS;
}

static bool goes_on(int n, int rounds)
{
    return n < rounds || (losses == 0 && n < 1000 * rounds);
}

static void *take_pages(void *arg)
{
    uint32_t i = 0;

    (void)arg;
    while (!atomic_load(&stop)) {
        if (group != NULL)
            (void)gov_purgeable_group_hand_over(group);
        (void)evict(base + i++ % PAGES * page, page);
        if (i % 64 == 0)
            sched_yield();
    }
    return NULL;
}

/* Who is told of a loss fills the block, once; then all of it must be there,
 * however much the other thread takes. */
static void *use_block(void *arg)
{
    (void)arg;
    for (int n = 0; goes_on(n, rounds()); n++) {
        gov_purge_state state;
        unsigned char *at = gov_purgeable_begin(block, &state);

        if (state == GOV_PURGE_LOST) {
            pthread_mutex_lock(&fill_lock);
            if (at[PAGES * page - 1] == 0) {
                memset(at, 7, PAGES * page);
                losses++;
            }
            pthread_mutex_unlock(&fill_lock);
        }
        for (size_t i = 0; i < PAGES * page; i += page / 4)
            torn += at[i] != 7;
        gov_purgeable_end(block);
    }
    return NULL;
}

START_TEST(no_race_is_lost)
{
    const int threads = _i + 1;
    pthread_t taker, users[2];

    start_over();
    begin();
    memset(base, 7, PAGES * page);
    end();
    ck_assert_int_eq(pthread_create(&taker, NULL, take_pages, NULL), 0);
    for (int i = 0; i < threads; i++)
        ck_assert_int_eq(pthread_create(&users[i], NULL, use_block, NULL), 0);
    for (int i = 0; i < threads; i++)
        pthread_join(users[i], NULL);
    atomic_store(&stop, true);
    pthread_join(taker, NULL);
    ck_assert_int_eq(torn, 0);
    ck_assert_int_gt(losses, 0);
}
END_TEST

/* A copy made while pages go is either whole or called lost. */
static void *read_block(void *arg)
{
    unsigned char *copy = malloc(PAGES * page);

    (void)arg;
    for (int n = 0; copy != NULL && goes_on(n, ROUNDS / 4); n++) {
        if (!gov__purgeable_read(block, copy, PAGES * page)) {
            memset(gov_purgeable_begin(block, NULL), 7, PAGES * page);
            gov_purgeable_end(block);
            losses++;
            continue;
        }
        for (size_t i = 0; i < PAGES * page; i++)
            torn += copy[i] != 7;
    }
    free(copy);
    return NULL;
}

START_TEST(no_copy_is_torn)
{
    pthread_t taker, reader;

    start_over();
    begin();
    memset(base, 7, PAGES * page);
    end();
    ck_assert_int_eq(pthread_create(&taker, NULL, take_pages, NULL), 0);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_block, NULL), 0);
    pthread_join(reader, NULL);
    atomic_store(&stop, true);
    pthread_join(taker, NULL);
    ck_assert_int_eq(torn, 0);
    ck_assert_int_gt(losses, 0);
}
END_TEST

/* ---- groups ---------------------------------------------------------------------- */

/* Nothing is asked of the kernel before the hand-over, and it takes nothing. */
START_TEST(in_a_group_the_kernel_is_not_told)
{
    const int offers = spy.offers, discards = spy.discards;

    (void)gov_purgeable_group_hand_over(group);
    begin();
    memset(base, 7, PAGES * page);
    end();
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(evict(base, PAGES * page), 0);
        ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
        begin();
        end();
        end();
        end(); /* one too many changes nothing */
    }
    ck_assert_int_eq(spy.offers, offers);
    ck_assert_int_eq(spy.discards, discards);
    ck_assert(is_filled(7));
    ck_assert_uint_eq(gov_purgeable_group_hand_over(group), PAGES * page);
    ck_assert_uint_eq(gov_purgeable_group_hand_over(group), 0);
    ck_assert_int_eq(spy.offers, offers + 1);
    ck_assert_int_eq(evict(base + page, page), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert(is_filled(0));
    memset(base, 8, PAGES * page);
    end();
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    end();
    end();
    ck_assert_int_eq(spy.offers, offers + 1);
    ck_assert_int_eq(evict(base, PAGES * page), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(8));
    end();
    (void)gov_purgeable_group_purge(group);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    end(); /* of what was lost, too */
    ck_assert_int_eq(spy.offers, offers + 1);
}
END_TEST

START_TEST(what_is_held_is_not_handed_over)
{
    begin();
    memset(base, 7, PAGES * page);
    ck_assert_uint_eq(gov_purgeable_group_hand_over(group), 0);
    ck_assert_uint_eq(gov_purgeable_group_purge(group), 0);
    ck_assert_uint_eq(gov_purgeable_group_bytes(group), 0);
    ck_assert_int_eq(evict(base, PAGES * page), 0);
    end();
    ck_assert_uint_eq(gov_purgeable_group_bytes(group), PAGES * page);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(7));
    end();
    ck_assert_uint_eq(gov_purgeable_group_purge(group), PAGES * page);
    ck_assert_uint_eq(gov_purgeable_group_purge(group), 0);
    ck_assert_uint_eq(gov_purgeable_group_bytes(group), 0);
    ck_assert_uint_eq(gov_purgeable_group_hand_over(group), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert(is_filled(0));
    end();
}
END_TEST

START_TEST(what_the_kernel_took_is_not_counted)
{
    begin();
    memset(base, 7, PAGES * page);
    end();
    (void)gov_purgeable_group_hand_over(group);
    ck_assert_uint_eq(gov_purgeable_group_bytes(group), PAGES * page);
    ck_assert_int_eq(evict(base + page, 3 * page), 0);
    ck_assert_uint_eq(gov_purgeable_group_bytes(group), (PAGES - 3) * page);
    spy.resident_rc = ENOSYS; /* an upper bound, then */
    ck_assert_uint_eq(gov_purgeable_group_bytes(group), PAGES * page);
}
END_TEST

START_TEST(blocks_come_and_go)
{
    gov_purgeable *others[3];
    const int offers = spy.offers;

    begin();
    end();
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(gov__purgeable_new_on(&others[i], &spy.table, page,
                                               "o", faults_alloc(), &err),
                         GOV_OK);
        gov_purgeable_join(others[i], group);
        memset(gov_purgeable_begin(others[i], NULL), 1, page);
        gov_purgeable_end(others[i]);
        gov_purgeable_end(others[i]);
    }
    ck_assert_int_eq(spy.offers, offers);
    gov_purgeable_join(others[1], NULL); /* handed over as it leaves */
    ck_assert_int_eq(spy.offers, offers + 1);
    gov_purgeable_join(others[1], NULL);
    ck_assert_int_eq(spy.offers, offers + 1);
    gov_purgeable_free(others[0]);
    gov_purgeable_join(others[2], group); /* is in it already */
    ck_assert_uint_eq(gov_purgeable_group_hand_over(group), (PAGES + 1) * page);
    gov_purgeable_begin(others[2], NULL);
    gov_purgeable_end(others[2]);
    gov_purgeable_group_free(group);
    group = NULL;
    gov_purgeable_group_free(NULL);
    begin();
    end();
    gov_purgeable_begin(others[2], NULL);
    gov_purgeable_end(others[2]);
    ck_assert_int_ge(spy.offers, offers + 4); /* no group, no delay */
    gov_purgeable_free(others[2]);
    gov_purgeable_free(others[1]);
}
END_TEST

/* Whether a part went cannot be seen where nothing was marked: all is lost. */
START_TEST(a_failed_purge_of_what_is_not_marked_is_a_loss)
{
    begin();
    memset(base, 7, PAGES * page);
    end();
    spy.discard_rc = EINVAL;
    ck_assert_uint_eq(gov_purgeable_group_purge(group), 0);
    ck_assert(!gov__purgeable_read(block, NULL, 0));
    if (_i == 1) {
        spy.discard_rc = 0;
        ck_assert_uint_eq(gov_purgeable_group_purge(group), PAGES * page);
    }
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    ck_assert(is_filled(0));
    end();
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    end();
}
END_TEST

START_TEST(without_offers_nothing_is_handed_over)
{
    spy.offer_rc = ENOTSUP;
    begin();
    memset(base, 7, PAGES * page);
    end();
    ck_assert_uint_eq(gov_purgeable_group_hand_over(group), 0);
    ck_assert_uint_eq(gov_purgeable_group_hand_over(group), 0);
    ck_assert_int_eq(begin(), GOV_PURGE_KEPT);
    ck_assert(is_filled(7));
    end();
    ck_assert_uint_eq(gov_purgeable_group_purge(group), PAGES * page);
    ck_assert_int_eq(begin(), GOV_PURGE_LOST);
    end();
}
END_TEST

START_TEST(no_memory_for_a_group)
{
    gov_purgeable_group *none = group;

    faults_only("alloc");
    faults_arm(0, false);
    ck_assert_int_eq(gov_purgeable_group_new(&none, faults_alloc(), &err),
                     GOV_E_NOMEM);
    faults_reset();
    ck_assert_ptr_null(none);
    ck_assert_str_eq(err.message,
                     "no memory for a group of purgeable blocks; go on without "
                     "it: Cannot allocate memory");
    ck_assert_int_eq(gov_purgeable_group_new(&none, NULL, NULL), GOV_OK);
    gov_purgeable_group_free(none);
}
END_TEST

/* Handing over, purging and counting allocate nothing. */
START_TEST(relief_allocates_nothing)
{
    uint64_t calls;

    faults_only("alloc");
    calls = faults_count();
    (void)gov_purgeable_group_hand_over(group);
    (void)gov_purgeable_group_bytes(group);
    (void)gov_purgeable_group_purge(group);
    ck_assert_uint_eq(faults_count(), calls);
}
END_TEST

/* ---- huge pages and names -------------------------------------------------------- */

static uint64_t huge_bytes(const void *at)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    uintptr_t from, to;
    unsigned long kib = 0;
    bool here = false;

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            here = from <= (uintptr_t)at && (uintptr_t)at < to;
        else if (here && sscanf(line, "AnonHugePages: %lu", &kib) == 1)
            break;
    }
    if (maps != NULL)
        fclose(maps);
    return (uint64_t)kib << 10;
}

/* The kernel splits a huge page to take a part of it, or keeps all of it: what
 * is there afterwards and what begin says are one. */
START_TEST(a_part_of_a_huge_page_is_noticed)
{
    const size_t huge = (size_t)2 << 20, bytes = 3 * huge;
    gov_purge_state state;
    gov_purgeable *large;
    unsigned char *at, *in;
    bool taken;

    ck_assert_int_eq(gov_purgeable_new(&large, bytes, "huge", NULL, &err),
                     GOV_OK);
    at = gov_purgeable_begin(large, NULL);
    in = at + (huge - (uintptr_t)at % huge);
    (void)madvise(at, bytes, MADV_HUGEPAGE);
    memset(at, 7, bytes);
    gov_purgeable_end(large);
    if (_i % 2 != 0)
        gov_purgeable_join(large, group);
    if (huge_bytes(in) == 0) {
        skip_test("a_part_of_a_huge_page_is_noticed", "no huge pages here");
        gov_purgeable_free(large);
        return;
    }
    gov_purgeable_end(large); /* the last one */
    (void)gov_purgeable_group_hand_over(group);
    ck_assert_int_eq(evict(in + 5 * page, _i < 2 ? page : huge - 9 * page), 0);
    taken = *(volatile unsigned char *)(in + 5 * page) == 0;
    ck_assert_int_eq(gov__purgeable_read(large, NULL, 0), !taken);
    gov_purgeable_begin(large, &state);
    ck_assert_int_eq(state, taken ? GOV_PURGE_LOST : GOV_PURGE_KEPT);
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != (taken ? 0 : 7))
            ck_abort_msg("byte %zu is %d", i, at[i]);
    gov_purgeable_end(large);
    gov_purgeable_free(large);
    if (!taken)
        skip_test("a_part_of_a_huge_page_is_noticed",
                  "the kernel takes no part of a huge page");
}
END_TEST

START_TEST(blocks_have_names)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], want[64], seen[512] = "";
    uintptr_t from, to;

    ck_assert_str_eq(spy.last_tag, "test");
    if (maps == NULL) {
        skip_test("blocks_have_names", "no /proc/self/maps");
        return;
    }
    while (fgets(line, sizeof(line), maps) != NULL)
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2 &&
            from <= (uintptr_t)base && (uintptr_t)base < to)
            snprintf(seen, sizeof(seen), "%s", line);
    fclose(maps);
    ck_assert_str_ne(seen, "");
    snprintf(want, sizeof(want), "[anon:%s]", "test");
    if (strstr(seen, "[anon:") == NULL)
        skip_test("blocks_have_names", "this kernel names no mappings "
                                       "(CONFIG_ANON_VMA_NAME)");
    else
        ck_assert_msg(strstr(seen, want) != NULL, "%s", seen);
}
END_TEST

/* ---------------------------------------------------------------------------------- */

static void add_losses(Suite *s)
{
    const int place_count = sizeof(places) / sizeof(places[0]);
    TCase *tc = tcase_create("lost to the kernel");

    if (!can_evict()) {
        skip_test("purgeable, all losses", NO_EVICTION);
        tcase_add_test(tc, stays_without_pressure);
        suite_add_tcase(s, tc);
        return;
    }
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, is_lost_to_pressure);
    tcase_add_loop_test(tc, is_lost_as_a_whole, 0, PAGES);
    tcase_add_test(tc, a_hold_holds);
    tcase_add_loop_test(tc, one_byte_is_enough, 0, place_count);
    tcase_add_test(tc, zeroes_cannot_be_lost);
    tcase_add_test(tc, marks_follow_the_content);
    tcase_add_test(tc, only_the_last_end_lets_go);
    tcase_add_test(tc, a_loss_is_told_until_an_end);
    tcase_add_test(tc, a_child_has_a_copy);
    tcase_add_loop_test(tc, does_what_a_model_does, 0, 10);
    tcase_add_loop_test(tc, no_race_is_lost, 0, 2);
    tcase_add_test(tc, no_copy_is_torn);
    suite_add_tcase(s, tc);
    tc = tcase_create("lost in a group");
    tcase_add_checked_fixture(tc, set_up_group, tear_down_group);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, in_a_group_the_kernel_is_not_told);
    tcase_add_test(tc, what_the_kernel_took_is_not_counted);
    tcase_add_test(tc, a_child_has_a_copy);
    tcase_add_loop_test(tc, a_part_of_a_huge_page_is_noticed, 0, 4);
    tcase_add_loop_test(tc, does_what_a_model_does, 10, 20);
    tcase_add_loop_test(tc, no_race_is_lost, 0, 2);
    suite_add_tcase(s, tc);
}

Suite *suite(void)
{
    Suite *s = suite_create("purgeable");
    TCase *tc = tcase_create("purgeable");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, is_new_zeroed_and_held, 0, 5);
    tcase_add_test(tc, sizes_that_are_none);
    tcase_add_test(tc, each_failure_is_told_and_leaks_nothing);
    tcase_add_test(tc, stays_without_pressure);
    tcase_add_test(tc, purge_gives_back_what_nobody_holds);
    tcase_add_test(tc, purge_shows_in_the_footprint);
    tcase_add_test(tc, without_offers_it_stays_until_purged);
    tcase_add_test(tc, a_failed_offer_is_not_trusted);
    tcase_add_test(tc, a_failed_discard_zeroes_by_hand);
    tcase_add_test(tc, locked_pages_stay);
    tcase_add_test(tc, read_copies_what_survived);
    tcase_add_test(tc, blocks_have_names);
    suite_add_tcase(s, tc);
    add_losses(s);
    tc = tcase_create("groups");
    tcase_add_checked_fixture(tc, set_up_group, tear_down_group);
    tcase_add_test(tc, what_is_held_is_not_handed_over);
    tcase_add_test(tc, blocks_come_and_go);
    tcase_add_loop_test(tc, a_failed_purge_of_what_is_not_marked_is_a_loss, 0,
                        2);
    tcase_add_test(tc, without_offers_nothing_is_handed_over);
    tcase_add_test(tc, no_memory_for_a_group);
    tcase_add_test(tc, relief_allocates_nothing);
    suite_add_tcase(s, tc);
    tc = tcase_create("unmap");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, a_failed_unmap_discards);
    suite_add_tcase(s, tc);
    return s;
}
