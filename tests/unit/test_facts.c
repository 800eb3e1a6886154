/* SPDX-License-Identifier: MIT */
/* The fact table and how values are written for a person. */
#include <string.h>

#include "policies/facts.h"
#include "tests/support/run.h"

START_TEST(table_is_whole)
{
    const struct gov_fact_info *info = gov_fact_info((gov_fact)_i);

    ck_assert_ptr_nonnull(info);
    ck_assert_ptr_nonnull(strchr(info->name, '.'));
    ck_assert_int_gt((int)strlen(info->source), 0);
    ck_assert_int_gt((int)strlen(info->sentence), 0);
    ck_assert_int_eq((int)gov_fact_find(info->name, strlen(info->name)), _i);
    /* Another fact may have the shorter name, and then it is that one. */
    ck_assert_int_ne((int)gov_fact_find(info->name, strlen(info->name) - 1),
                     _i);
}
END_TEST

START_TEST(no_such_fact)
{
    struct gov_facts facts = {0};

    ck_assert_ptr_null(gov_fact_info(GOV_FACT_COUNT));
    ck_assert_ptr_null(gov_fact_info((gov_fact)-1));
    gov_facts_set(&facts, GOV_FACT_COUNT, 1);
    gov_facts_set_text(&facts, GOV_FACT_COUNT, "x");
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_COUNT, 7), 7);
    ck_assert_int_eq((int)gov_fact_find("", 0), GOV_FACT_COUNT);
}
END_TEST

START_TEST(unknown_is_not_zero)
{
    struct gov_facts facts = {0};

    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_RAM, 9), 9);
    gov_facts_set(&facts, GOV_FACT_DEVICE_RAM, 0);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_RAM, 9), 0);
    gov_facts_set(&facts, GOV_FACT_DEVICE_RAM, UINT64_MAX);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_RAM, 9), INT64_MAX);
    facts.value[GOV_FACT_DEVICE_RAM].number = -1;
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_RAM, 9), 9);
    gov_facts_set_text(&facts, GOV_FACT_DEVICE_OS, "linux");
    ck_assert(facts.value[GOV_FACT_DEVICE_OS].known);
    gov_facts_set_text(&facts, GOV_FACT_DEVICE_OS, NULL);
    ck_assert(!facts.value[GOV_FACT_DEVICE_OS].known);
}
END_TEST

START_TEST(types_have_names)
{
    static const char *const names[] = {"bytes",    "count", "ratio",
                                        "duration", "flag",  "text"};

    ck_assert_str_eq(gov_type_name((gov_type)_i), names[_i]);
    ck_assert_str_eq(gov_type_name((gov_type)99), "unknown");
}
END_TEST

static const struct {
    gov_type type;
    int64_t number;
    const char *want;
} prints[] = {
    {GOV_TYPE_BYTES, 0, "0 B"},
    {GOV_TYPE_BYTES, 512, "512 B"},
    {GOV_TYPE_BYTES, 1023, "1023 B"},
    {GOV_TYPE_BYTES, 1024, "1.00 KiB"},
    {GOV_TYPE_BYTES, 1536, "1.50 KiB"},
    {GOV_TYPE_BYTES, 10 * 1024 - 1, "10.0 KiB"},
    {GOV_TYPE_BYTES, 100 * 1024 - 1, "100 KiB"},
    {GOV_TYPE_BYTES, 999 * 1024, "999 KiB"},
    {GOV_TYPE_BYTES, 1023 * 1024, "1023 KiB"},
    {GOV_TYPE_BYTES, 1024 * 1024 - 1, "1.00 MiB"},
    {GOV_TYPE_BYTES, INT64_C(3) << 29, "1.50 GiB"},
    {GOV_TYPE_BYTES, INT64_C(47) << 29, "23.5 GiB"},
    {GOV_TYPE_BYTES, INT64_C(24) << 30, "24.0 GiB"},
    {GOV_TYPE_BYTES, (INT64_C(1) << 40) - 1, "1.00 TiB"},
    {GOV_TYPE_BYTES, INT64_MAX, "8.00 EiB"},
    {GOV_TYPE_BYTES, INT64_MIN, "-8.00 EiB"},
    {GOV_TYPE_BYTES, -1536, "-1.50 KiB"},
    {GOV_TYPE_COUNT, 8192, "8192"},
    {GOV_TYPE_COUNT, -1, "-1"},
    {GOV_TYPE_COUNT, INT64_MIN, "-9223372036854775808"},
    {GOV_TYPE_RATIO, 300000, "30 %"},
    {GOV_TYPE_RATIO, 125000, "12.5 %"},
    {GOV_TYPE_RATIO, 1, "0.0001 %"},
    {GOV_TYPE_RATIO, 0, "0 %"},
    {GOV_TYPE_DURATION, 0, "0 us"},
    {GOV_TYPE_DURATION, 999, "999 us"},
    {GOV_TYPE_DURATION, 12000, "12 ms"},
    {GOV_TYPE_DURATION, 12340, "12.3 ms"},
    {GOV_TYPE_DURATION, 500000, "500 ms"},
    {GOV_TYPE_DURATION, 999999, "1 s"},
    {GOV_TYPE_DURATION, 1500000, "1.5 s"},
    {GOV_TYPE_DURATION, 100000000, "100 s"},
    {GOV_TYPE_DURATION, INT64_C(3600) * 1000000, "3600 s"},
    {GOV_TYPE_DURATION, INT64_MAX, "9223372036854 s"},
    {GOV_TYPE_FLAG, 1, "yes"},
    {GOV_TYPE_FLAG, 0, "no"},
};

START_TEST(prints_for_a_person)
{
    struct gov_value value = {true, prints[_i].number, NULL};
    char out[32];

    ck_assert_str_eq(gov_value_print(out, sizeof(out), prints[_i].type, &value),
                     prints[_i].want);
    value.known = false;
    ck_assert_str_eq(gov_value_print(out, sizeof(out), prints[_i].type, &value),
                     "unknown");
}
END_TEST

START_TEST(prints_text)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"llama", "llama"},
        {"", ""},
        {"a\x1b[2Jb\nc", "a?[2Jb?c"},
        {"\xc3\xa4\xff\xc3", "\xc3\xa4??"},
        {"\xc2\x9b", "?"},
    };
    char out[32];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gov_value value = {true, 0, rows[i].text};

        ck_assert_str_eq(
            gov_value_print(out, sizeof(out), GOV_TYPE_TEXT, &value),
            rows[i].want);
    }
}
END_TEST

/* Any size of the buffer: terminated, nothing behind it touched. */
START_TEST(prints_into_little_room)
{
    static const struct gov_value values[] = {
        {true, INT64_C(47) << 29, NULL},
        {true, -5, NULL},
        {true, 0, "a long text with \xc3\xa4\xc3\xb6\xc3\xbc in it"},
        {false, 0, NULL},
    };
    char out[64];

    for (size_t bytes = 0; bytes < 48; bytes++)
        for (size_t i = 0; i < 4; i++)
            for (int type = GOV_TYPE_BYTES; type <= GOV_TYPE_TEXT; type++) {
                memset(out, '#', sizeof(out));
                gov_value_print(out, bytes, (gov_type)type, &values[i]);
                ck_assert_int_eq(out[bytes], '#');
                ck_assert(bytes == 0 || memchr(out, '\0', bytes) != NULL);
            }
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("facts");
    TCase *t = tcase_create("facts");

    tcase_add_loop_test(t, table_is_whole, 0, GOV_FACT_COUNT);
    tcase_add_test(t, no_such_fact);
    tcase_add_test(t, unknown_is_not_zero);
    tcase_add_loop_test(t, types_have_names, 0, 6);
    tcase_add_loop_test(t, prints_for_a_person, 0,
                        (int)(sizeof(prints) / sizeof(prints[0])));
    tcase_add_test(t, prints_text);
    tcase_add_test(t, prints_into_little_room);
    suite_add_tcase(s, t);
    return s;
}
