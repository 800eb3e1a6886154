/* SPDX-License-Identifier: MIT */
/* Rows that wait, beside a list that is as simple as can be. */
#include <string.h>

#include "governor/runtime/ring.h"
#include "tests/support/run.h"

#define ROOM 5

static int items[ROOM];
static struct gov__ring ring;
static int list[4 * ROOM]; /* what must be in it */
static size_t listed;

static void set_up(void)
{
    ring = (struct gov__ring){.items = (unsigned char *)items,
                              .bytes = sizeof(items[0]),
                              .room = ROOM};
    listed = 0;
}

static void push(int row)
{
    const size_t lost = gov__ring_push(&ring, &row);

    list[listed++] = row;
    ck_assert_uint_eq(lost, listed > ROOM);
    if (lost == 0)
        return;
    memmove(list, list + 1, ROOM * sizeof(list[0]));
    listed = ROOM;
}

static size_t take(int out[ROOM])
{
    const size_t count = gov__ring_take(&ring, out);

    ck_assert_uint_eq(count, listed);
    ck_assert_mem_eq(out, list, listed * sizeof(list[0]));
    ck_assert_uint_eq(ring.count, 0);
    listed = 0;
    return count;
}

START_TEST(the_oldest_go)
{
    int out[ROOM];

    for (int n = 0; n < 3 * ROOM; n++)
        push(n);
    ck_assert_uint_eq(take(out), ROOM);
    ck_assert_int_eq(out[0], 2 * ROOM);
    ck_assert_uint_eq(take(out), 0);
}
END_TEST

/* So many are taken, so many come meanwhile, and the first are put back. */
START_TEST(what_is_put_back_is_in_front)
{
    const size_t taken = (size_t)_i / (ROOM + 1),
                 came = (size_t)_i % (ROOM + 1);
    const size_t lost = taken + came > ROOM ? taken + came - ROOM : 0;
    int out[ROOM], again[ROOM];

    for (int n = 0; n < 3; n++) /* begins anywhere */
        push(-1);
    (void)take(again);
    for (size_t n = 0; n < taken; n++)
        push((int)n);
    ck_assert_uint_eq(take(out), taken);
    for (size_t n = 0; n < came; n++)
        push((int)(taken + n));
    ck_assert_uint_eq(gov__ring_put_back(&ring, out, taken), lost);
    listed = 0;
    for (size_t n = lost; n < taken + came; n++)
        list[listed++] = (int)n;
    ck_assert_uint_eq(take(again), taken + came - lost);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("ring");
    TCase *tc = tcase_create("ring");

    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, the_oldest_go);
    tcase_add_loop_test(tc, what_is_put_back_is_in_front, 0,
                        (ROOM + 1) * (ROOM + 1));
    suite_add_tcase(s, tc);
    return s;
}
