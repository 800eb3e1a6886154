/* SPDX-License-Identifier: MIT */
/* Graphics drivers that do what drivers should not: in a child process, where it
 * ends them alone. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "governor/device/measure_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/sim_platform.h"

static struct sim sim;
static struct gov_device device;
static struct gov__measuring measuring;
static gov_error err;
static int looks; /* of progress that are allowed; < 0: any number */

static bool on_progress(void *ctx, uint32_t permille, const char *what)
{
    (void)ctx;
    (void)permille;
    (void)what;
    return looks < 0 || looks-- > 0;
}

/* Real time: a hand-set clock would not go on while the child lives. */
static uint64_t real_us(void *ctx)
{
    struct timespec now;

    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void set_up(void)
{
    sim_init(&sim);
    sim.table.now_us = real_us;
    looks = -1;
    memset(&err, 0, sizeof(err));
    ck_assert_int_eq(gov__device_probe(&sim.table, &device, &err), GOV_OK);
    device.gpu_count = 3; /* of another time */
    measuring = (struct gov__measuring){
        .platform = &sim.table, .device = &device, .progress = on_progress};
}

static gov_status ask_with(int (*gpus)(void *, struct gov__gpu *, size_t,
                                       size_t *))
{
    int before = faults_open_descriptors();
    gov_status status;

    sim.table.gpus = gpus;
    status = gov__measure_drivers(&measuring, &err);
    ck_assert_int_eq(faults_open_descriptors(), before);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    return status;
}

static const struct gov_device_fact *count(void)
{
    const struct gov_device_fact *fact =
        gov_device_fact(&device, GOV_FACT_GPU_COUNT);

    ck_assert_ptr_nonnull(fact);
    return fact;
}

static void expect_nothing(const char *why)
{
    char message[256];

    ck_assert_uint_eq(device.gpu_count, 0);
    ck_assert(!count()->known);
    ck_assert_str_eq(count()->source, why);
    snprintf(message, sizeof(message), "graphics processors not listed: %s",
             why);
    ck_assert_str_eq(err.message, message);
}

static int well(void *ctx, struct gov__gpu *out, size_t max, size_t *n)
{
    (void)ctx;
    ck_assert_uint_ge(max, 1);
    memset(out, 0, sizeof(*out));
    memcpy(out->name, "Card", 5);
    memcpy(out->source, "Vulkan", 7);
    out->memory_bytes = SIM_GIB;
    *n = 1;
    puts("a driver that talks");
    (void)fflush(stdout);
    return 0;
}

START_TEST(an_answer_comes_through)
{
    ck_assert_int_eq(ask_with(well), GOV_OK);
    ck_assert_uint_eq(device.gpu_count, 1);
    ck_assert_str_eq(device.gpus[0].name, "Card");
    ck_assert_uint_eq(device.gpus[0].memory_bytes, SIM_GIB);
    ck_assert(count()->known);
    ck_assert_uint_eq(count()->number, 1);
}
END_TEST

static int crashes(void *ctx, struct gov__gpu *out, size_t max, size_t *n)
{
    (void)ctx;
    (void)out;
    (void)max;
    (void)n;
    raise(SIGKILL);
    return 0;
}

START_TEST(a_crash_ends_the_child_alone)
{
    ck_assert_int_eq(ask_with(crashes), GOV_E_IO);
    expect_nothing("a driver ended the process that asked it (signal 9)");
}
END_TEST

static int leaves(void *ctx, struct gov__gpu *out, size_t max, size_t *n)
{
    (void)ctx;
    (void)out;
    (void)max;
    (void)n;
    _exit(3);
}

START_TEST(an_exit_is_no_answer)
{
    ck_assert_int_eq(ask_with(leaves), GOV_E_IO);
    expect_nothing("the process that asked the drivers told nothing");
}
END_TEST

static int fails(void *ctx, struct gov__gpu *out, size_t max, size_t *n)
{
    (void)ctx;
    (void)out;
    (void)max;
    (void)n;
    return EIO;
}

START_TEST(an_error_comes_through)
{
    ck_assert_int_eq(ask_with(fails), GOV_E_IO);
    ck_assert_str_eq(err.message, "cannot list graphics processors: "
                                  "Input/output error");
    ck_assert_uint_eq(device.gpu_count, 0);
}
END_TEST

static int hangs(void *ctx, struct gov__gpu *out, size_t max, size_t *n)
{
    (void)ctx;
    (void)out;
    (void)max;
    (void)n;
    for (unsigned i = 0; i < 60; i++) /* the parent does not wait for it */
        sleep(1);
    return 0;
}

START_TEST(a_hang_can_be_cancelled)
{
    uint64_t begin = real_us(NULL);

    looks = 5;
    ck_assert_int_eq(ask_with(hangs), GOV_E_IO);
    ck_assert(measuring.cancelled);
    ck_assert_uint_lt(real_us(NULL) - begin, 5000000);
}
END_TEST

static uint64_t jumping_us(void *ctx)
{
    static uint64_t now;

    (void)ctx;
    return now += 3000000;
}

START_TEST(a_hang_is_left_after_ten_seconds)
{
    sim.table.now_us = jumping_us;
    ck_assert_int_eq(ask_with(hangs), GOV_E_IO);
    expect_nothing("a driver did not answer within 10 s");
}
END_TEST

START_TEST(no_pipe)
{
    faults_reset();
    faults_arm(0, false);
    ck_assert_int_eq(gov__measure_drivers(&measuring, &err), GOV_E_IO);
    faults_disarm();
    ck_assert_str_eq(faults_last(), "pipe");
    expect_nothing("no pipe to a process that asks the drivers");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("measure_drivers");
    TCase *t = tcase_create("child");

    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, an_answer_comes_through);
    tcase_add_test(t, a_crash_ends_the_child_alone);
    tcase_add_test(t, an_exit_is_no_answer);
    tcase_add_test(t, an_error_comes_through);
    tcase_add_test(t, a_hang_can_be_cancelled);
    tcase_add_test(t, a_hang_is_left_after_ten_seconds);
    tcase_add_test(t, no_pipe);
    suite_add_tcase(s, t);
    return s;
}
