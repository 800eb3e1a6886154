/* SPDX-License-Identifier: MIT */
/* Reads of parts that go on by themselves, on a real mapped file: what is in the
 * place of a part afterwards is the file's, and one that fails, at whatever step,
 * leaves the part as it was and nothing else behind. */
#include "governor/memory/flights.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/range_fixture.h"

#define SLOTS 3

static struct gov__slots slots;
static struct gov__flights flights;

static void tear_down(void)
{
    faults_reset();
    gov__flights_close(&flights);
    gov__slots_fini(&slots);
    drop_range();
}

/* ---- what is staged -------------------------------------------------------------- */

static int staged; /* neither placed nor given back */
static int fail_stage, fail_start;

static int counted_stage(void *ctx, const void *target, size_t bytes,
                         void **out)
{
    int rc =
        fail_stage != 0 ? fail_stage : native->stage(ctx, target, bytes, out);

    staged += rc == 0;
    return rc;
}

static int counted_place(void *ctx, void *memory, size_t bytes, void *target)
{
    int rc = native->place(ctx, memory, bytes, target);

    staged -= rc == 0;
    return rc;
}

static int counted_unstage(void *ctx, void *memory, size_t bytes)
{
    staged--;
    return native->unstage(ctx, memory, bytes);
}

static int failing_start(void *ctx, struct gov__read_queue *queue,
                         const struct gov__read *read)
{
    return fail_start != 0 ? fail_start : native->reads_start(ctx, queue, read);
}

static void count_staged(void)
{
    staged = fail_stage = fail_start = 0;
    table.stage = counted_stage;
    table.place = counted_place;
    table.unstage = counted_unstage;
    if (table.reads_open != NULL)
        table.reads_start = failing_start;
}

/* False, with a word, where there are none. */
static bool has_flights(const char *test)
{
    int rc;

    count_staged();
    rc = gov__flights_open(&flights, &range, &slots);
    if (rc == ENOTSUP)
        skip_test(test, "no reads that go on by themselves here");
    else
        ck_assert_int_eq(rc, 0);
    ck_assert(flights.open == (rc == 0));
    return rc == 0;
}

static bool has_both(const char *test)
{
    int rc;

    if (!has_flights(test))
        return false;
    rc = gov__slots_init(&slots, &range, faults_alloc(), SLOTS);
    if (rc != 0)
        skip_test(test, "no memory of huge pages to read into here");
    return rc == 0;
}

/* Sleeps until one has ended. */
static int take(uint32_t *part)
{
    int rc = -1;

    while (!gov__flights_take(&flights, part, &rc))
        gov__flights_sleep(&flights, 0);
    return rc;
}

static void expect_none(void)
{
    uint32_t part;
    int rc;

    ck_assert_uint_eq(flights.count, 0);
    ck_assert(!gov__flights_take(&flights, &part, &rc));
}

/* ---- what comes ----------------------------------------------------------------- */

static const struct {
    const char *name;
    uint64_t begin, end; /* rounded to pages */
} parts[] = {
    {"a part", 4 * MIB, 8 * MIB},         {"a huge page", 2 * MIB, 4 * MIB},
    {"a page", 8 * MIB, 8 * MIB + 4096},  {"one and a half", 8 * MIB, 11 * MIB},
    {"to the end", 24 * MIB, FILE_BYTES}, {"the end", 26 * MIB, FILE_BYTES},
};
#define PARTS ((int)(sizeof(parts) / sizeof(parts[0])))

/* The bytes of a part, with zeros behind the file's end, and nothing beside it. */
static void check_placed(uint64_t begin, uint64_t end)
{
    uint64_t last = end < FILE_BYTES ? end : FILE_BYTES;

    ck_assert(is_plain(0, FILE_BYTES));
    ck_assert(is_zero(last, end));
    for (uint64_t n = begin; n < last; n += 16 * page)
        ck_assert(!is_file(n));
    ck_assert(begin == 0 || is_file(begin - 8));
    ck_assert(end > FILE_BYTES || is_file(end));
}

static void check_unplaced(uint64_t begin, uint64_t end)
{
    ck_assert(is_plain(0, FILE_BYTES));
    for (uint64_t n = begin; n < end && n < FILE_BYTES; n += 16 * page)
        ck_assert(is_file(n));
}

START_TEST(comes_into_new_memory)
{
    uint64_t begin = parts[_i].begin, end = gov__round_up(parts[_i].end, page);
    uint32_t part;

    if (!has_flights("comes_into_new_memory"))
        return;
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(gov__flights_start(&flights, 7, 0, 0, begin, end), 0);
        ck_assert_uint_eq(flights.count, 1);
        /* Until it is taken. Whether what is there is the file is found out by
         * writing to it, which the read would see. */
        ck_assert(is_plain(0, FILE_BYTES));
        ck_assert_int_eq(staged, 1);
        ck_assert_int_eq(take(&part), 0);
        ck_assert_uint_eq(part, 7);
        check_placed(begin, end);
        expect_none();
        ck_assert_int_eq(gov__anchor_undo(&range, 0, begin, end), 0);
        check_unplaced(begin, end);
    }
}
END_TEST

START_TEST(comes_into_a_slot)
{
    uint64_t begin = parts[_i].begin, end = gov__round_up(parts[_i].end, page);
    uint32_t part;

    if (!has_both("comes_into_a_slot"))
        return;
    for (int round = 0; round < 2 * SLOTS; round++) {
        uint32_t slot = gov__slots_take(&slots);

        ck_assert_int_eq(
            gov__flights_start(&flights, 9, slot + 1, 0, begin, end), 0);
        ck_assert_int_eq(take(&part), 0);
        ck_assert_uint_eq(part, 9);
        check_unplaced(begin, end); /* until it is shown */
        ck_assert_int_eq(gov__slots_show(&slots, slot, 0, begin, end), 0);
        check_placed(begin, end);
        expect_none();
        ck_assert_int_eq(gov__anchor_undo(&range, 0, begin, end), 0);
        gov__slots_give(&slots, slot);
        check_unplaced(begin, end);
    }
}
END_TEST

/* As many as there may be, of both kinds, each told once; one more is refused, and
 * leaves those alone. */
START_TEST(several_are_under_way)
{
    bool seen[GOV__FLIGHTS] = {false};
    uint32_t part, slot;

    if (!has_both("several_are_under_way"))
        return;
    slot = gov__slots_take(&slots);
    for (uint32_t i = 0; i < GOV__FLIGHTS; i++)
        ck_assert_int_eq(gov__flights_start(&flights, i, i == 1 ? slot + 1 : 0,
                                            0, 4 * i * MIB, 4 * (i + 1) * MIB),
                         0);
    ck_assert_int_eq(gov__flights_start(&flights, 99, 0, 0, 12 * MIB, 16 * MIB),
                     EAGAIN);
    ck_assert_int_eq(staged, GOV__FLIGHTS - 1);
    for (uint32_t i = 0; i < GOV__FLIGHTS; i++) {
        ck_assert_int_eq(take(&part), 0);
        ck_assert_uint_lt(part, GOV__FLIGHTS);
        ck_assert(!seen[part]);
        seen[part] = true;
    }
    expect_none();
    ck_assert_int_eq(gov__slots_show(&slots, slot, 0, 4 * MIB, 8 * MIB), 0);
    check_placed(0, 12 * MIB);
}
END_TEST

/* ---- what cannot be ------------------------------------------------------------- */

START_TEST(is_not_there)
{
    uint32_t part;
    int rc, descriptors = faults_open_descriptors();

    if (_i == 0)
        table.reads_open = NULL;
    if (_i == 1) { /* nothing can be read past the page cache */
        close(file.direct_fd);
        file.direct_fd = -1;
        descriptors--;
    }
    if (_i == 2) {
        faults_only("syscall");
        faults_set_errno(EPERM);
        faults_arm(0, false);
    }
    ck_assert_int_eq(gov__flights_open(&flights, &range, &slots), ENOTSUP);
    ck_assert(!flights.open);
    ck_assert_int_eq(gov__flights_start(&flights, 1, 0, 0, 0, 4 * MIB),
                     ENOTSUP);
    ck_assert(!gov__flights_take(&flights, &part, &rc));
    gov__flights_close(&flights);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
}
END_TEST

/* Pages that do not fit a slot, more than one read may be, and a file among others
 * that cannot be read past the page cache. */
START_TEST(says_what_it_cannot_start)
{
    struct gov__range_file two[2];
    uint32_t slot;

    if (!has_both("says_what_it_cannot_start"))
        return;
    slot = gov__slots_take(&slots);
    ck_assert_int_eq(
        gov__flights_start(&flights, 1, slot + 1, 0, page, 2 * MIB), ERANGE);
    ck_assert_int_eq(gov__flights_start(&flights, 1, 0, 0, 0, 18 * MIB),
                     ENOTSUP);
    two[0] = two[1] = file;
    two[1].direct_fd = -1;
    range.files = two;
    range.file_count = 2;
    ck_assert_int_eq(gov__flights_start(&flights, 1, 0, 1, 0, 4 * MIB),
                     ENOTSUP);
    ck_assert_int_eq(gov__flights_start(&flights, 1, slot + 1, 1, 0, 4 * MIB),
                     ENOTSUP);
    range.files = &file;
    range.file_count = 1;
    ck_assert_int_eq(staged, 0);
    expect_none();
    check_unplaced(0, FILE_BYTES);
}
END_TEST

/* At each step, into both: nothing is under way, nothing is left, and the next one
 * comes. */
START_TEST(a_start_that_fails_leaves_nothing)
{
    bool in_slot = _i % 2 != 0;
    uint32_t slot, part;

    if (!has_both("a_start_that_fails_leaves_nothing"))
        return;
    slot = in_slot ? gov__slots_take(&slots) + 1 : 0;
    *(_i < 2 ? &fail_stage : &fail_start) = ENOMEM;
    for (int i = 0; i < 5; i++) {
        int rc = gov__flights_start(&flights, 3, slot, 0, 4 * MIB, 8 * MIB);

        if (_i == 1) { /* nothing is staged for a slot */
            ck_assert_int_eq(rc, 0);
            ck_assert_int_eq(take(&part), 0);
            continue;
        }
        ck_assert_int_eq(rc, ENOMEM);
        expect_none();
        ck_assert_int_eq(staged, 0);
    }
    fail_stage = fail_start = 0;
    check_unplaced(4 * MIB, 8 * MIB);
    ck_assert_int_eq(gov__flights_start(&flights, 3, slot, 0, 4 * MIB, 8 * MIB),
                     0);
    ck_assert_int_eq(take(&part), 0);
    if (in_slot)
        ck_assert_int_eq(gov__slots_show(&slots, slot - 1, 0, 4 * MIB, 8 * MIB),
                         0);
    check_placed(4 * MIB, 8 * MIB);
}
END_TEST

/* ---- how it ends ---------------------------------------------------------------- */

static int64_t ends_with; /* INT64_MAX: as it does */

static int ending_take(void *ctx, struct gov__read_queue *queue, uint32_t *tag,
                       int64_t *result)
{
    int rc = native->reads_take(ctx, queue, tag, result);

    if (rc == 0 && ends_with != INT64_MAX)
        *result = ends_with;
    return rc;
}

static const struct {
    int64_t result;
    int want;
} ends[] = {
    {-EIO, EIO},
    {-EFAULT, EFAULT},
    {-EINVAL, EINVAL},
    {-ECANCELED, ECANCELED},
    {0, ENODATA},
    {1, ENODATA},
    {512, ENODATA},
    {4 * MIB - 1, ENODATA},
    {4 * MIB - 4096, ENODATA},
    {4 * MIB, 0},
};
#define ENDS ((int)(sizeof(ends) / sizeof(ends[0])))

/* An error, or fewer bytes: the part is as it was, and no memory is kept. */
START_TEST(a_read_that_fails_leaves_the_file)
{
    bool in_slot = _i >= ENDS;
    int want = ends[_i % ENDS].want;
    uint32_t slot, part;

    table.reads_take = ending_take;
    if (!has_both("a_read_that_fails_leaves_the_file"))
        return;
    slot = in_slot ? gov__slots_take(&slots) + 1 : 0;
    ends_with = ends[_i % ENDS].result;
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(
            gov__flights_start(&flights, 3, slot, 0, 4 * MIB, 8 * MIB), 0);
        ck_assert_int_eq(take(&part), want);
        expect_none();
        ck_assert_int_eq(staged, 0);
        if (want == 0 || in_slot)
            continue;
        check_unplaced(4 * MIB, 8 * MIB);
    }
    ends_with = INT64_MAX;
    ck_assert_int_eq(gov__flights_start(&flights, 3, slot, 0, 4 * MIB, 8 * MIB),
                     0);
    ck_assert_int_eq(take(&part), 0);
    if (in_slot)
        ck_assert_int_eq(gov__slots_show(&slots, slot - 1, 0, 4 * MIB, 8 * MIB),
                         0);
    check_placed(4 * MIB, 8 * MIB);
}
END_TEST

/* Bytes that were behind the end that was known, or in the slot before, are seen by
 * nobody; a file that is shorter by now is told. */
START_TEST(the_end_of_the_file_may_move)
{
    bool in_slot = _i % 2 != 0;
    uint64_t known = 3 * MIB + 24, end = gov__round_up(known, page);
    uint32_t slot, part;

    if (!has_both("the_end_of_the_file_may_move"))
        return;
    slot = in_slot ? gov__slots_take(&slots) + 1 : 0;
    if (in_slot) {
        ck_assert_int_eq(
            gov__flights_start(&flights, 3, slot, 0, 8 * MIB, 12 * MIB), 0);
        ck_assert_int_eq(take(&part), 0);
    }
    if (_i < 2) { /* it is longer than it was */
        file.file_bytes = known;
        ck_assert_int_eq(gov__flights_start(&flights, 3, slot, 0, 0, end), 0);
        ck_assert_int_eq(take(&part), 0);
        if (in_slot)
            ck_assert_int_eq(gov__slots_show(&slots, slot - 1, 0, 0, end), 0);
        ck_assert(is_plain(0, known));
        ck_assert(is_zero(known, end));
        return;
    }
    ck_assert_int_eq(truncate(path, (off_t)known), 0);
    ck_assert_int_eq(gov__flights_start(&flights, 3, slot, 0, 0, 4 * MIB), 0);
    ck_assert_int_eq(take(&part), ENODATA);
    ck_assert(is_plain(0, known));
    /* It was so when it was opened. */
    file.file_bytes = known;
    ck_assert_int_eq(gov__flights_start(&flights, 3, slot, 0, 0, end), 0);
    ck_assert_int_eq(take(&part), 0);
}
END_TEST

/* Memory that cannot be put in place goes; what was anchored is the file's again. */
START_TEST(what_cannot_be_placed_goes)
{
    uint32_t part;

    if (!has_flights("what_cannot_be_placed_goes"))
        return;
    for (uint64_t n = 0; n < 2; n++) {
        ck_assert_int_eq(
            gov__flights_start(&flights, 3, 0, 0, 4 * MIB, 8 * MIB), 0);
        faults_only(n == 0 ? "mprotect" : "mremap");
        faults_set_errno(ENOMEM);
        faults_arm(0, true);
        ck_assert_int_ne(take(&part), 0);
        faults_reset();
        check_unplaced(4 * MIB, 8 * MIB);
        ck_assert_int_eq(staged, 0);
    }
    ck_assert_int_eq(gov__flights_start(&flights, 3, 0, 0, 4 * MIB, 8 * MIB),
                     0);
    ck_assert_int_eq(take(&part), 0);
    check_placed(4 * MIB, 8 * MIB);
}
END_TEST

/* Over and over in every order; nothing is left. */
START_TEST(nothing_is_left)
{
    int descriptors = faults_open_descriptors();
    uint32_t part;

    if (!has_flights("nothing_is_left"))
        return;
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t count = 1 + round % GOV__FLIGHTS;

        for (uint32_t i = 0; i < count; i++)
            ck_assert_int_eq(
                gov__flights_start(&flights, i, 0, 0, 4 * i * MIB,
                                   4 * i * MIB + (1 + round % 4) * MIB),
                0);
        if (round % 3 == 0)
            gov__flights_wake(&flights);
        for (uint32_t i = 0; i < count; i++) {
            ck_assert_int_eq(take(&part), 0);
            ck_assert_int_eq(
                gov__anchor_undo(&range, 0, 4 * part * MIB,
                                 4 * part * MIB + (1 + round % 4) * MIB),
                0);
        }
    }
    ck_assert_int_eq(staged, 0);
    check_unplaced(0, FILE_BYTES);
    gov__flights_close(&flights);
    gov__flights_close(&flights);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("flights");
    TCase *tc = tcase_create("flights");

    tcase_add_checked_fixture(tc, make_range, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, comes_into_new_memory, 0, PARTS);
    tcase_add_loop_test(tc, comes_into_a_slot, 0, PARTS);
    tcase_add_test(tc, several_are_under_way);
    tcase_add_loop_test(tc, is_not_there, 0, 3);
    tcase_add_test(tc, says_what_it_cannot_start);
    tcase_add_loop_test(tc, a_start_that_fails_leaves_nothing, 0, 4);
    tcase_add_loop_test(tc, a_read_that_fails_leaves_the_file, 0, 2 * ENDS);
    tcase_add_loop_test(tc, the_end_of_the_file_may_move, 0, 4);
    tcase_add_test(tc, what_cannot_be_placed_goes);
    tcase_add_test(tc, nothing_is_left);
    suite_add_tcase(s, tc);
    return s;
}
