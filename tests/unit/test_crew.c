/* SPDX-License-Identifier: MIT */
/* A crew of threads: each job that is given is done once and can be taken once, or
 * comes back undone. */
#include "governor/memory/crew.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include "tests/support/faults.h"
#include "tests/support/run.h"

#define JOBS 20000

/* What jobs do: count, and wait while the gate is shut. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static bool is_shut;
static uint32_t begun,
    told; /* jobs begun, and calls of done(), under the gate */
static _Atomic uint32_t times[JOBS], stepped_back, unblocked;

static struct gov_platform platform;
static struct gov__crew crew;

static int step_back(void *ctx)
{
    ck_assert_ptr_eq(ctx, &platform);
    atomic_fetch_add(&stepped_back, 1);
    return EPERM; /* is no matter */
}

static int work(void *ctx, uint32_t job)
{
    sigset_t blocked;

    ck_assert_ptr_eq(ctx, &crew);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (!sigismember(&blocked, SIGTERM))
        atomic_fetch_add(&unblocked, 1);
    atomic_fetch_add(&times[job], 1);
    pthread_mutex_lock(&gate);
    begun++;
    pthread_cond_broadcast(&moved);
    while (is_shut)
        pthread_cond_wait(&moved, &gate);
    pthread_mutex_unlock(&gate);
    return (int)job + 1;
}

static void done(void *ctx)
{
    ck_assert_ptr_eq(ctx, &crew);
    pthread_mutex_lock(&gate);
    told++;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&gate);
}

static void shut(bool is)
{
    pthread_mutex_lock(&gate);
    is_shut = is;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&gate);
}

static void wait_for(const uint32_t *count, uint32_t least)
{
    pthread_mutex_lock(&gate);
    while (*count < least)
        pthread_cond_wait(&moved, &gate);
    pthread_mutex_unlock(&gate);
}

static void setup(void)
{
    faults_reset();
    begun = told = 0;
    stepped_back = unblocked = 0;
    for (uint32_t i = 0; i < JOBS; i++)
        times[i] = 0;
    platform.ctx = &platform;
    platform.step_back = step_back;
    crew.platform = &platform;
    crew.work = work;
    crew.done = done;
    crew.ctx = &crew;
}

static void teardown(void)
{
    shut(false);
    gov__crew_stop(&crew);
}

/* ---- tests -------------------------------------------------------------------- */

/* As many threads as the row says, which wait for work nearly always (1) or hardly
 * ever (0): a wake-up that is lost hangs here. */
START_TEST(does_each_job_once)
{
    static const uint32_t threads[] = {1, 2, 3, GOV__CREW_MOST};
    uint32_t given = 0, taken = 0, job, n = threads[_i / 2];
    bool sparse = _i % 2 != 0;
    int rc;

    ck_assert_int_eq(gov__crew_start(&crew, n), 0);
    ck_assert_uint_eq(crew.thread_count, n);
    while (taken < JOBS) {
        uint32_t before = taken;

        while (given < JOBS && (!sparse || given == taken) &&
               gov__crew_give(&crew, given))
            given++;
        ck_assert_uint_le(given - taken, 2 * n);
        wait_for(&told, taken + 1);
        for (; gov__crew_take(&crew, &job, &rc); taken++)
            ck_assert_int_eq(rc, (int)job + 1);
        ck_assert_uint_gt(taken, before);
    }
    ck_assert(!gov__crew_take(&crew, &job, &rc));
    gov__crew_stop(&crew);
    for (uint32_t i = 0; i < JOBS; i++)
        ck_assert_uint_eq(times[i], 1);
    ck_assert_uint_eq(told, JOBS);
    ck_assert_uint_eq(stepped_back, n);
    ck_assert_uint_eq(unblocked, 0);
}
END_TEST

START_TEST(two_jobs_a_thread)
{
    uint32_t job;
    int rc;

    shut(true);
    ck_assert_int_eq(gov__crew_start(&crew, 2), 0);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert(gov__crew_give(&crew, i));
    wait_for(&begun, 2);
    ck_assert(!gov__crew_give(&crew, 4));
    ck_assert(!gov__crew_take(&crew, &job, &rc));
    shut(false);
    wait_for(&told, 4);
    /* Out until they are taken. */
    ck_assert(!gov__crew_give(&crew, 4));
    ck_assert(gov__crew_take(&crew, &job, &rc));
    ck_assert(gov__crew_give(&crew, 4));
    ck_assert(!gov__crew_give(&crew, 5));
}
END_TEST

START_TEST(done_first_is_taken_first)
{
    uint32_t job;
    int rc;

    ck_assert_int_eq(gov__crew_start(&crew, 1), 0);
    ck_assert(gov__crew_give(&crew, 7));
    ck_assert(gov__crew_give(&crew, 3));
    wait_for(&told, 2);
    ck_assert(gov__crew_take(&crew, &job, &rc));
    ck_assert_uint_eq(job, 7);
    ck_assert(gov__crew_take(&crew, &job, &rc));
    ck_assert_uint_eq(job, 3);
}
END_TEST

START_TEST(recalls_what_no_thread_has_begun)
{
    uint32_t job;
    int rc;

    shut(true);
    ck_assert_int_eq(gov__crew_start(&crew, 2), 0);
    for (uint32_t i = 0; i < 2; i++)
        ck_assert(gov__crew_give(&crew, i));
    wait_for(&begun, 2);
    ck_assert(gov__crew_give(&crew, 2));
    ck_assert(gov__crew_give(&crew, 3));
    ck_assert(!gov__crew_recall(&crew, 0)); /* begun */
    ck_assert(!gov__crew_recall(&crew, 9)); /* not given */
    ck_assert(gov__crew_recall(&crew, 2));
    ck_assert(!gov__crew_recall(&crew, 2));
    ck_assert(gov__crew_give(&crew, 4));
    ck_assert(!gov__crew_give(&crew, 5));
    shut(false);
    wait_for(&told, 4);
    ck_assert(!gov__crew_recall(&crew, 3)); /* done */
    for (uint32_t i = 0; i < 4; i++)
        ck_assert(gov__crew_take(&crew, &job, &rc));
    ck_assert(!gov__crew_take(&crew, &job, &rc));
    ck_assert_uint_eq(times[2], 0);
    ck_assert_uint_eq(times[3], 1);
    ck_assert_uint_eq(times[4], 1);
}
END_TEST

/* Give and recall as fast as it goes: each job is done once or comes back. */
START_TEST(recalls_while_threads_take)
{
    uint32_t recalled = 0, taken = 0, job;
    int rc;

    ck_assert_int_eq(gov__crew_start(&crew, 2), 0);
    for (uint32_t i = 0; i < JOBS; i++) {
        while (!gov__crew_give(&crew, i))
            while (gov__crew_take(&crew, &job, &rc))
                taken++;
        if (i % 2 != 0 && gov__crew_recall(&crew, i)) {
            recalled++;
            ck_assert_uint_eq(times[i], 0);
        }
    }
    wait_for(&told, JOBS - recalled);
    while (gov__crew_take(&crew, &job, &rc))
        taken++;
    ck_assert_uint_eq(taken, JOBS - recalled);
    ck_assert_uint_gt(recalled, 0);
    for (uint32_t i = 0; i < JOBS; i++)
        recalled -= times[i] == 0;
    ck_assert_uint_eq(recalled, 0);
}
END_TEST

static void *open_the_gate(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&crew.lock);
    while (!crew.stop) {
        pthread_mutex_unlock(&crew.lock);
        pthread_mutex_lock(&crew.lock);
    }
    pthread_mutex_unlock(&crew.lock);
    shut(false);
    return NULL;
}

START_TEST(stops_at_work)
{
    pthread_t opener;
    uint32_t job;
    int rc;

    shut(true);
    ck_assert_int_eq(gov__crew_start(&crew, 2), 0);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert(gov__crew_give(&crew, i));
    wait_for(&begun, 2);
    ck_assert_int_eq(pthread_create(&opener, NULL, open_the_gate, NULL), 0);
    gov__crew_stop(&crew);
    pthread_join(opener, NULL);
    /* Two were finished, two never begun. */
    ck_assert_uint_eq(told, 2);
    ck_assert(gov__crew_take(&crew, &job, &rc));
    ck_assert(gov__crew_take(&crew, &job, &rc));
    ck_assert(!gov__crew_take(&crew, &job, &rc));
    ck_assert(gov__crew_recall(&crew, 3));
    ck_assert(gov__crew_recall(&crew, 2));
    ck_assert(!gov__crew_recall(&crew, 1));
    ck_assert(!gov__crew_give(&crew, 5));
    gov__crew_stop(&crew);
}
END_TEST

START_TEST(starts_again)
{
    platform.step_back = NULL;
    for (uint32_t i = 0; i < 200; i++) {
        ck_assert_int_eq(gov__crew_start(&crew, 4), 0);
        if (i % 2 != 0)
            ck_assert(gov__crew_give(&crew, i));
        gov__crew_stop(&crew);
    }
    ck_assert_uint_eq(stepped_back, 0);
}
END_TEST

START_TEST(fewer_threads_are_no_failure)
{
    faults_only("pthread_create");
    faults_set_errno(EAGAIN);
    faults_arm(2, true);
    ck_assert_int_eq(gov__crew_start(&crew, 4), 0);
    faults_disarm();
    ck_assert_uint_eq(crew.thread_count, 2);
    ck_assert(gov__crew_give(&crew, 1));
    wait_for(&told, 1);
    gov__crew_stop(&crew);
    faults_arm(0, true);
    ck_assert_int_eq(gov__crew_start(&crew, 4), EAGAIN);
    faults_disarm();
    ck_assert_uint_eq(crew.thread_count, 0);
    ck_assert(!gov__crew_give(&crew, 1));
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("crew");
    TCase *tc = tcase_create("crew");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, does_each_job_once, 0, 8);
    tcase_add_test(tc, two_jobs_a_thread);
    tcase_add_test(tc, done_first_is_taken_first);
    tcase_add_test(tc, recalls_what_no_thread_has_begun);
    tcase_add_test(tc, recalls_while_threads_take);
    tcase_add_test(tc, stops_at_work);
    tcase_add_test(tc, starts_again);
    tcase_add_test(tc, fewer_threads_are_no_failure);
    suite_add_tcase(s, tc);
    return s;
}
