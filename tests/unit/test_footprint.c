/* SPDX-License-Identifier: MIT */
/* The process's own counters: what is filled, what is said when they fail, and
 * that they follow what the process does. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "governor/memory/memory_priv.h"
#include "tests/support/run.h"

#define MIB ((uint64_t)1 << 20)

static struct gov__process figures;
static int answer;

static int fake_process(void *ctx, int pid, struct gov__process *out)
{
    (void)ctx;
    ck_assert_int_eq(pid, 0);
    *out = figures;
    return answer;
}

static const struct gov_platform fake = {.name = "fake",
                                         .process = fake_process};

START_TEST(figures_are_passed_on)
{
    struct gov_footprint now;
    gov_error err;

    figures = (struct gov__process){.footprint_bytes = 1,
                                    .anon_bytes = 2,
                                    .swap_bytes = 3,
                                    .shmem_bytes = 4,
                                    .resident_file_bytes = 5,
                                    .minor_faults = 6,
                                    .major_faults = 7,
                                    .have_read_bytes = true,
                                    .read_bytes = 8};
    answer = 0;
    ck_assert_int_eq(gov__footprint_on(&fake, &now, &err), GOV_OK);
    ck_assert_uint_eq(now.footprint_bytes, 1);
    ck_assert_uint_eq(now.anon_bytes, 2);
    ck_assert_uint_eq(now.swap_bytes, 3);
    ck_assert_uint_eq(now.resident_file_bytes, 5);
    ck_assert_uint_eq(now.minor_faults, 6);
    ck_assert_uint_eq(now.major_faults, 7);
    ck_assert_uint_eq(now.read_bytes, 8);
    figures.have_read_bytes = false;
    ck_assert_int_eq(gov__footprint_on(&fake, &now, &err), GOV_OK);
    ck_assert_uint_eq(now.read_bytes, 0);
}
END_TEST

static const struct {
    int rc;
    gov_status status;
} failures[] = {{ENOTSUP, GOV_E_UNSUPPORTED}, {EACCES, GOV_E_IO}};

START_TEST(failure_is_told)
{
    struct gov_footprint now;
    gov_error err;
    char want[GOV_MESSAGE_BYTES];

    answer = failures[_i].rc;
    ck_assert_int_eq(gov__footprint_on(&fake, &now, &err), failures[_i].status);
    ck_assert_int_eq(err.os_errno, failures[_i].rc);
    snprintf(want, sizeof(want),
             "the system does not tell what memory this process uses; go on "
             "without: %s",
             strerror(failures[_i].rc));
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(gov__footprint_on(&fake, &now, NULL), failures[_i].status);
}
END_TEST

START_TEST(follows_the_process)
{
    const size_t bytes = 64 * MIB;
    struct gov_footprint before, with, after;
    gov_error err;
    unsigned char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(base, MAP_FAILED);
    if (gov_footprint_now(&before, &err) == GOV_E_UNSUPPORTED) {
        skip_test("follows_the_process", err.message);
        return;
    }
    memset(base, 1, bytes);
    ck_assert_int_eq(gov_footprint_now(&with, &err), GOV_OK);
    ck_assert_uint_ge(with.footprint_bytes, before.footprint_bytes + 60 * MIB);
    ck_assert_uint_ge(with.anon_bytes + with.swap_bytes, 60 * MIB);
    ck_assert_uint_gt(with.minor_faults, before.minor_faults);
    munmap(base, bytes);
    ck_assert_int_eq(gov_footprint_now(&after, &err), GOV_OK);
    ck_assert_uint_le(after.footprint_bytes + 60 * MIB, with.footprint_bytes);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("footprint");
    TCase *tc = tcase_create("footprint");

    tcase_add_test(tc, figures_are_passed_on);
    tcase_add_loop_test(tc, failure_is_told, 0,
                        sizeof(failures) / sizeof(failures[0]));
    tcase_add_test(tc, follows_the_process);
    suite_add_tcase(s, tc);
    return s;
}
