/* SPDX-License-Identifier: MIT */
/* Several descriptors and a time as one, on whatever system runs the tests. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

static const struct gov_platform *p;
static struct gov__gather gathered;
static int ends[3][2], open_before;

static void set_up(void)
{
    p = gov__platform_native();
    faults_reset();
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pipe(ends[i]), 0);
    open_before = faults_open_descriptors();
    ck_assert_int_eq(p->gather_open(p->ctx, &gathered), 0);
    ck_assert_int_ge(gathered.fd, 0);
    ck_assert_int_ne(fcntl(gathered.fd, F_GETFD) & FD_CLOEXEC, 0);
}

static void tear_down(void)
{
    p->gather_close(p->ctx, &gathered);
    ck_assert_int_eq(gathered.fd, -1);
    ck_assert_int_eq(faults_open_descriptors(), open_before);
    p->gather_close(p->ctx, &gathered); /* once more does nothing */
}

static void gather(size_t from, size_t count, int timeout_ms)
{
    struct pollfd polled[3];

    for (size_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){ends[from + i][0], POLLIN, 0};
    ck_assert_int_eq(p->gather(p->ctx, &gathered, polled, count, timeout_ms),
                     0);
}

static bool readable(int timeout_ms)
{
    struct pollfd one = {gathered.fd, POLLIN, 0};

    return poll(&one, 1, timeout_ms) == 1;
}

static void put(size_t i)
{
    ck_assert_int_eq(write(ends[i][1], "x", 1), 1);
}

START_TEST(each_of_them_is_told)
{
    gather(0, 3, -1);
    ck_assert(!readable(0));
    put((size_t)_i);
    ck_assert(readable(5000));
    ck_assert(readable(0)); /* until it is taken */
}
END_TEST

START_TEST(what_is_left_out_is_not_told)
{
    gather(0, 3, -1);
    put(0);
    gather(1, 2, -1);
    ck_assert(!readable(0));
    put(2);
    ck_assert(readable(5000));
    gather(0, 0, -1);
    ck_assert(!readable(0));
}
END_TEST

START_TEST(the_time_is_told)
{
    uint64_t before = p->now_us(p->ctx);

    gather(0, 1, 20);
    ck_assert(!readable(0));
    ck_assert(readable(5000));
    ck_assert_uint_ge(p->now_us(p->ctx) - before, 20000);
    gather(0, 1, -1); /* no more */
    ck_assert(!readable(0));
    gather(0, 1, 0);
    ck_assert(readable(5000));
    gather(0, 1, 1000000);
    ck_assert(!readable(0));
}
END_TEST

/* The number of one that was closed comes again, as another file. */
START_TEST(a_number_that_was_used_before_is_another_file)
{
    gather(0, 1, -1);
    put(1);
    ck_assert_int_eq(dup2(ends[1][0], ends[0][0]), ends[0][0]);
    gather(0, 1, -1);
    ck_assert(readable(5000));
}
END_TEST

START_TEST(odd_ones_are_survived)
{
    struct pollfd many[GOV__GATHER_FDS + 1], twice[3];
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char path[512];
    int regular;

    snprintf(path, sizeof(path), "%s/file", fresh_directory());
    regular = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(regular, 0);
    for (size_t i = 0; i < GOV__GATHER_FDS + 1; i++)
        many[i] = (struct pollfd){-1, POLLIN, 0};
    ck_assert_int_eq(p->gather(p->ctx, &gathered, many, GOV__GATHER_FDS, -1),
                     0);
    ck_assert_int_eq(
        p->gather(p->ctx, &gathered, many, GOV__GATHER_FDS + 1, -1), E2BIG);
    twice[0] = twice[1] = (struct pollfd){ends[0][0], POLLIN, 0};
    twice[2] = (struct pollfd){regular, POLLPRI, 0};
    ck_assert_int_eq(p->gather(p->ctx, &gathered, twice, 3, -1), 0);
    ck_assert(!readable(0));
    put(0);
    ck_assert(readable(5000));
    close(file);
    close(regular);
}
END_TEST

START_TEST(each_call_fails_in_turn)
{
    static const char calls[] =
        "epoll_create1,epoll_ctl,timerfd_create,timerfd_settime";
    struct pollfd one = {ends[0][0], POLLIN, 0};
    struct gov__gather other;
    uint64_t most;
    int before = faults_open_descriptors();

    faults_only(calls);
    faults_arm(FAULTS_NEVER, false);
    ck_assert_int_eq(p->gather_open(p->ctx, &other), 0);
    ck_assert_int_eq(p->gather(p->ctx, &other, &one, 1, 10), 0);
    p->gather_close(p->ctx, &other);
    most = faults_count();
    for (uint64_t n = 0; n < most; n++) {
        int rc;

        faults_arm(n, _i == 1);
        rc = p->gather_open(p->ctx, &other);
        if (rc == 0)
            rc = p->gather(p->ctx, &other, &one, 1, 10);
        ck_assert_msg(rc == EIO, "%s: %d", faults_last(), rc);
        faults_disarm();
        p->gather_close(p->ctx, &other);
        ck_assert_int_eq(faults_open_descriptors(), before);
    }
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("gather");
    TCase *tc = tcase_create("gather");

    if (gov__platform_native()->gather_open == NULL) {
        puts("SKIP gather: not on this system");
        return s;
    }
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, each_of_them_is_told, 0, 3);
    tcase_add_test(tc, what_is_left_out_is_not_told);
    tcase_add_test(tc, the_time_is_told);
    tcase_add_test(tc, a_number_that_was_used_before_is_another_file);
    tcase_add_test(tc, odd_ones_are_survived);
    tcase_add_loop_test(tc, each_call_fails_in_turn, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
