/* SPDX-License-Identifier: MIT */
/* What gov_fail() makes of a sentence. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policies/status.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* `dots` dots and a text behind them; how many bytes of it are kept. */
static const struct {
    size_t dots;
    const char *text;
    size_t kept;
} lengths[] = {
    {0, "", 0},
    {254, "x", 255},
    {255, "x", 255},
    /* what just fits stays */
    {253, "\xC3\xA9", 255},
    {252, "\xE2\x82\xAC", 255},
    {251, "\xF0\x9F\x98\x80", 255},
    {252, "\xC3\xA9x", 255},
    /* what does not goes, as a whole */
    {254, "\xC3\xA9", 254},
    {253, "\xE2\x82\xAC", 253},
    {254, "\xE2\x82\xAC", 254},
    {252, "\xF0\x9F\x98\x80", 252},
    {254, "\xF0\x9F\x98\x80", 254},
    {253, "\xC3\xA9\xC3\xA9", 255},
    {252, "\xC3\xA9\xC3\xA9", 254},
};

START_TEST(a_sentence_is_cut_between_characters)
{
    char text[300];
    gov_error err;

    memset(text, '.', sizeof(text));
    snprintf(text + lengths[_i].dots, sizeof(text) - lengths[_i].dots, "%s",
             lengths[_i].text);
    ck_assert_int_eq(gov_fail(&err, GOV_E_IO, 0, "%s", text), GOV_E_IO);
    ck_assert_int_eq(err.status, GOV_E_IO);
    ck_assert_uint_eq(strlen(err.message), lengths[_i].kept);
    ck_assert_int_eq(strncmp(err.message, text, lengths[_i].kept), 0);
}
END_TEST

START_TEST(a_cause_is_told)
{
    char want[64];
    gov_error err;

    snprintf(want, sizeof(want), "7 bytes: %s", strerror(ENOSPC));
    ck_assert_int_eq(gov_fail(&err, GOV_E_IO, ENOSPC, "%d bytes", 7), GOV_E_IO);
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(err.os_errno, ENOSPC);
    ck_assert_int_eq(gov_fail(NULL, GOV_E_IO, ENOSPC, "%d", 7), GOV_E_IO);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("status");
    TCase *t = tcase_create("sentences");

    tcase_add_loop_test(t, a_sentence_is_cut_between_characters, 0,
                        COUNT_OF(lengths));
    tcase_add_test(t, a_cause_is_told);
    suite_add_tcase(s, t);
    return s;
}
