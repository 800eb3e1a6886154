/* SPDX-License-Identifier: MIT */
/* Tables: the shipped ones say what was published, and every mistake has its
 * line and column. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/capacity.h"
#include "policies/language/tables.h"
#include "policies/planning/reserve.h"
#include "policies/rules/policy_priv.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define HEAD "version: 1\ndevices:\n"
/* A machine: its name is line 3, column 11; what follows begins at line 4. */
#define MACHINE(more) HEAD "  - name: a\n" more
#define WHOLE "    ram: 8 GiB\n    source: s\n"
/* A value at line 6, column 18. */
#define RATE(value) MACHINE(WHOLE "    memory_rate: " value "\n")

#define LINES_OF_MODEL                                                         \
    "    parameters: 1000000\n    bits: 4.5\n    unit_parameters: 1000\n"      \
    "    unit_bits: 8\n    layers: 2\n    kv_heads: 3\n    head_size: 64\n"    \
    "    source: s\n    compute: 1 MiB\n"
#define MODEL(lines) "version: 1\nmodels:\n  - name: m Q\n" lines

static gov_status read_devices(const char *text, struct gov_capacity_device *d,
                               size_t max, size_t *count, gov_error *err)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + 1); /* exact, for the sanitizer */
    gov_status status;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, bytes);
    memset(err, 0, sizeof(*err));
    status = gov_capacity_devices(
        d, max, count, &(struct gov_table_text){copy, bytes, "f"}, err);
    free(copy);
    return status;
}

static gov_status read_models(const char *text, struct gov_capacity_model *m,
                              size_t max, size_t *count, gov_error *err)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + 1);
    gov_status status;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, bytes);
    memset(err, 0, sizeof(*err));
    status = gov_capacity_models(
        m, max, count, &(struct gov_table_text){copy, bytes, "f"}, err);
    free(copy);
    return status;
}

/* ---- machines ---- */

START_TEST(reads_a_machine)
{
    static const char text[] =
        "# a comment\n"
        "devices:\n"
        "  - { source: 'a \"sheet\"', name: \"b \\u00e9\", ram: 1.5 GiB }\n"
        "  - name: c\n"
        "    ram: 16 GiB\n"
        "    source: >\n"
        "      two\n"
        "      lines\n"
        "    memory_rate: 100 GB/s\n"
        "    read_rate: 250 MB/s\n"
        "    gpu: 12 GiB\n"
        "    gpu_shares_ram: true\n"
        "version: 1\n";
    struct gov_capacity_device d[3];
    gov_error err;
    size_t count;

    ck_assert_msg(read_devices(text, d, 3, &count, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(d[0].name, "b \xC3\xA9");
    ck_assert_str_eq(d[0].source, "a \"sheet\"");
    ck_assert_uint_eq(d[0].ram_bytes, 1536 * MIB);
    ck_assert_uint_eq(d[0].budget_bytes, 1152 * MIB); /* a quarter is kept */
    ck_assert_uint_eq(d[0].memory_rate, 0);
    ck_assert_uint_eq(d[0].read_rate, 0);
    ck_assert_uint_eq(d[0].gpu_bytes, 0);
    ck_assert(!d[0].gpu_shares_ram);
    ck_assert(!d[0].measured);
    ck_assert_str_eq(d[1].source, "two lines");
    ck_assert_uint_eq(d[1].memory_rate, UINT64_C(100000000000));
    ck_assert_uint_eq(d[1].read_rate, 250000000);
    ck_assert_uint_eq(d[1].gpu_bytes, 12 * GIB);
    ck_assert(d[1].gpu_shares_ram);
    ck_assert(!d[1].measured);
}
END_TEST

static const struct {
    const char *value;
    uint64_t want;
} rates[] = {
    {"1 MB/s", 1000000},
    {"1MB/s", 1000000},
    {"17068 MB/s", UINT64_C(17068000000)},
    {"9223372036 GB/s", UINT64_C(9223372036000000000)},
    {"1.5 GB/s", 1500000000},
    {"5 GB", UINT64_C(5000000000)},
    {"2 GiB/s", 2 * GIB},
    {"90 GiB", 90 * GIB},
    {"1.5 KiB", 1536},
    {"7 B", 7},
};

START_TEST(reads_rates)
{
    struct gov_capacity_device d;
    char text[256];
    gov_error err;
    size_t count;

    snprintf(text, sizeof(text), RATE("%s"), rates[_i].value);
    ck_assert_msg(read_devices(text, &d, 1, &count, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(d.memory_rate, rates[_i].want);
}
END_TEST

/* More than there is room for is counted, not written. */
START_TEST(counts_beyond_room)
{
    struct gov_capacity_device d[2];
    size_t count;
    gov_error err;

    memset(d, 0xA5, sizeof(d));
    ck_assert_int_eq(read_devices(MACHINE(WHOLE) "  - {name: b, ram: 1 GiB, "
                                                 "source: s}\n",
                                  d, 1, &count, &err),
                     GOV_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(d[0].name, "a");
    ck_assert_uint_eq((unsigned char)d[1].name[0], 0xA5);
    ck_assert_int_eq(read_devices(HEAD "  []\n", NULL, 0, &count, &err),
                     GOV_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(
        gov_capacity_devices(d, 1, &count,
                             &(struct gov_table_text){"x", 1, NULL}, NULL),
        GOV_E_FORMAT);
}
END_TEST

static const struct {
    const char *text, *want;
} wrong[] = {
    {"", "1:1: the file is empty; begin with \"version: 1\""},
    {"version: 2\n", "1:10: version is \"2\"; this governor reads version 1"},
    {"version: 1\n", "1:1: a table without devices"},
    {"devices: []\n", "1:1: a table without version"},
    {"version: 1\nversion: 1\n", "2:1: version is given twice"},
    {"version: 1\ndevises: []\n",
     "2:1: a table has no key \"devises\"; did you mean devices?"},
    {"- a\n", "1:1: a table is a mapping: version and what it is"},
    {"version: 1\ndevices: a\n",
     "2:10: devices is a list; each one begins with \"- name:\""},
    {HEAD "  - a\n", "3:5: a machine is a mapping: name and what it is"},
    {HEAD "  - [a]\n", "3:5: a machine is a mapping: name and what it is"},
    {MACHINE(""), "3:5: a machine without ram"},
    {MACHINE("    ram: 1 GiB\n"), "3:5: a machine without source"},
    {MACHINE("    name: b\n"), "4:5: name is given twice"},
    {MACHINE("    rams: 8 GiB\n"),
     "4:5: a machine has no key \"rams\"; did you mean ram?"},
    {MACHINE("    zzzzzzzz: 8 GiB\n"),
     "4:5: a machine has no key \"zzzzzzzz\"; write name, ram, source, "
     "memory_rate, read_rate, gpu or gpu_shares_ram"},
    {MACHINE("    ram: [8 GiB]\n"),
     "4:10: ram is one value, not a list or a mapping"},
    {MACHINE("    ram: {a: b}\n"),
     "4:10: ram is one value, not a list or a mapping"},
    {MACHINE("    ram: 8 gb\n"), "4:12: unknown unit \"gb\"; did you mean GB?"},
    {MACHINE("    ram: 8\n"), "4:10: write a size, for instance 16 GiB"},
    {MACHINE("    ram: 8 s\n"), "4:10: write a size, for instance 16 GiB"},
    {MACHINE("    ram: -8 GiB\n"), "4:10: write a size, for instance 16 GiB"},
    {MACHINE("    ram: ''\n"), "4:11: write a size, for instance 16 GiB"},
    {MACHINE("    ram: '8 GiB 9'\n"), "4:17: one number is enough here"},
    {MACHINE("    ram: 0 B\n"),
     "4:10: 0 is no figure; leave out what is not known"},
    {MACHINE("    ram: 99999999999999999999 GiB\n"), "4:10: number too large"},
    {MACHINE("    ram: 1.1234567 GiB\n"),
     "4:18: more than 6 digits behind the point"},
    {MACHINE("    source: ''\n"), "4:14: source is empty"},
    {MACHINE("    source: ' '\n"), "4:14: source is empty"},
    {HEAD "  - name: "
          "0123456789012345678901234567890123456789012345678901234567890123\n",
     "3:11: name is longer than 63 bytes"},
    {RATE("0 MB/s"), "6:18: 0 is no figure; leave out what is not known"},
    {RATE("1.5/s"), "6:18: a count is a whole number; or give a unit"},
    {RATE("GB/s"), "6:18: write a size, for instance 16 GiB"},
    {RATE("1 GiB MB/s"), "6:24: one number is enough here"},
    {RATE("9223372037 GB/s"), "6:18: number too large"},
    {RATE("99999999999999999999 MB/s"), "6:18: number too large"},
    {RATE("100 gB/s"), "6:22: unknown unit \"gB\"; did you mean GB?"},
    {RATE("100"), "6:18: write a size, for instance 16 GiB"},
    {MACHINE(WHOLE "    gpu_shares_ram: yes\n"),
     "6:21: gpu_shares_ram is true or false"},
    {MACHINE(WHOLE "    gpu_shares_ram: true\n    gpu: 9 GiB\n"),
     "3:5: the GPU shares the RAM and has more than there is"},
    {MACHINE("    ram: &a 8 GiB\n"), "4:10: tables have no anchors; leave out "
                                     "the &"},
    {MACHINE("    ram: *a\n"), "4:10: tables have no aliases; write it out"},
    {MACHINE("    ram: !a 8 GiB\n"), "4:10: tables have no tags; leave out the "
                                     "!"},
    {MACHINE("    source: \"\\e[2J\"\n"), "4:14: a control character"},
    {"version: 1\ndevices: []\n---\nversion: 1\n",
     "3:1: a second document; a table has one"},
    {"version: 1\ndevices:\n\t- name: a\n",
     "3:1: a tab; YAML is indented with spaces"},
    {"version: 1\xFF\n", "1:11: not UTF-8; save the file in that encoding"},
};

START_TEST(says_where)
{
    struct gov_capacity_device d[2];
    size_t count = 7;
    char want[300];
    gov_error err;

    snprintf(want, sizeof(want), "f:%s", wrong[_i].want);
    ck_assert_msg(read_devices(wrong[_i].text, d, 2, &count, &err) ==
                      GOV_E_FORMAT,
                  "%s", wrong[_i].text);
    ck_assert_str_eq(err.message, want);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(is_bounded)
{
    static const char row[] = "  - {name: a, ram: 1 GiB, source: s}\n";
    size_t bytes = sizeof(HEAD) - 1 + (GOV__TABLE_ROWS + 1) * (sizeof(row) - 1);
    char *text = malloc(bytes + 1), *at = text + sizeof(HEAD) - 1;
    struct gov_capacity_device d;
    gov_error err;
    size_t count;

    ck_assert_ptr_nonnull(text);
    memcpy(text, HEAD, sizeof(HEAD) - 1);
    for (int i = 0; i <= GOV__TABLE_ROWS; i++, at += sizeof(row) - 1)
        memcpy(at, row, sizeof(row) - 1);
    ck_assert_int_eq(
        gov_capacity_devices(
            &d, 1, &count,
            &(struct gov_table_text){text, bytes - (sizeof(row) - 1), "f"},
            &err),
        GOV_OK);
    ck_assert_uint_eq(count, GOV__TABLE_ROWS);
    ck_assert_int_eq(
        gov_capacity_devices(&d, 1, &count,
                             &(struct gov_table_text){text, bytes, "f"}, &err),
        GOV_E_FORMAT);
    ck_assert_str_eq(err.message, "f:1027:5: more than 1024 entries");
    free(text);
    text = malloc(GOV__POLICY_TEXT_MAX + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, '\n', GOV__POLICY_TEXT_MAX + 1);
    ck_assert_int_eq(
        gov_capacity_devices(
            &d, 1, &count,
            &(struct gov_table_text){text, GOV__POLICY_TEXT_MAX + 1, NULL},
            &err),
        GOV_E_FORMAT);
    ck_assert_str_eq(err.message,
                     "devices:1:1: a table is at most 256 KiB long");
    free(text);
}
END_TEST

START_TEST(shipped_machines)
{
    struct gov_capacity_device d[64];
    gov_error err;
    size_t count;

    ck_assert_msg(gov_capacity_devices(d, 64, &count, NULL, &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_uint_ge(count, 12);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(d[i].budget_bytes,
                          d[i].ram_bytes - gov__reserve_of_ram(d[i].ram_bytes));
        ck_assert_ptr_nonnull(strstr(d[i].source, "specification"));
        ck_assert_ptr_nonnull(strstr(d[i].source, "https://"));
        ck_assert(!d[i].measured);
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(d[i].name, d[j].name);
    }
}
END_TEST

/* ---- models ---- */

START_TEST(reads_a_model)
{
    struct gov_capacity_model m;
    gov_error err;
    size_t count;

    ck_assert_msg(read_models(MODEL(LINES_OF_MODEL), &m, 1, &count, &err) ==
                      GOV_OK,
                  "%s", err.message);
    ck_assert_str_eq(m.name, "m Q");
    ck_assert_uint_eq(m.weights_bytes, 562500); /* 1e6 * 4.5 / 8 */
    ck_assert_uint_eq(m.largest_unit_bytes, 1000);
    ck_assert_uint_eq(m.kv_per_token_bytes, 1536); /* 2 * 2 * 3 * 64 * 2 */
    ck_assert_uint_eq(m.compute_bytes, MIB);
}
END_TEST

#define BITS(value)                                                            \
    MODEL("    bits: " value "\n    parameters: 1000000\n"                     \
          "    unit_parameters: 1000\n    unit_bits: 8\n    layers: 2\n"       \
          "    kv_heads: 3\n    head_size: 64\n    source: s\n"                \
          "    compute: 1 MiB\n")

static const struct {
    const char *text, *want;
} wrong_models[] = {
    {MODEL(""), "3:5: a model without parameters"},
    {BITS("0"), "4:11: bits is a number of bits up to 64"},
    {BITS("64.0001"), "4:11: bits is a number of bits up to 64"},
    {BITS("four"), "4:11: bits is a number of bits, for instance 4.5"},
    {BITS("4.5 %"), "4:11: bits is a number of bits, for instance 4.5"},
    {BITS("4.5 GiB"), "4:11: bits is a number of bits, for instance 4.5"},
    {BITS("''"), "4:12: bits is a number of bits, for instance 4.5"},
    {BITS("11111111111111111111111111111111"),
     "4:11: bits is a number of bits, for instance 4.5"},
    {BITS("0.005"), "3:5: the largest unit is more than all weights"},
    {MODEL("    layers: 2.5\n"),
     "4:13: a count is a whole number; or give a unit"},
    {MODEL("    layers: 0\n"),
     "4:13: 0 is no figure; leave out what is not known"},
    {"version: 1\nmodels:\n  - name: m\n    parameters: 9223372036854775807\n"
     "    bits: 64\n    unit_parameters: 1\n    unit_bits: 1\n    layers: 1\n"
     "    kv_heads: 1\n    head_size: 1\n    compute: 1 B\n    source: s\n",
     "3:5: the sizes are larger than 2^63 bytes"},
    {"version: 1\nmodels:\n  - name: m\n    parameters: 8\n    bits: 1\n"
     "    unit_parameters: 1\n    unit_bits: 1\n    layers: 4294967296\n"
     "    kv_heads: 4294967296\n    head_size: 1\n    compute: 1 B\n"
     "    source: s\n",
     "3:5: the sizes are larger than 2^63 bytes"},
};

START_TEST(says_where_in_models)
{
    struct gov_capacity_model m;
    char want[300];
    gov_error err;
    size_t count;

    snprintf(want, sizeof(want), "f:%s", wrong_models[_i].want);
    ck_assert_msg(read_models(wrong_models[_i].text, &m, 1, &count, &err) ==
                      GOV_E_FORMAT,
                  "%s", wrong_models[_i].text);
    ck_assert_str_eq(err.message, want);
}
END_TEST

static const struct gov_capacity_model *
find(const struct gov_capacity_model *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    ck_abort_msg("no model %s", name);
    return NULL;
}

/* llama.cpp publishes the sizes of the 8B: 4.58, 7.95 and 14.96 GiB; KV of Llama
 * 3.1 8B is 128 KiB a token, and `gov model` says 266.5 MiB of buffers. */
START_TEST(shipped_models)
{
    static const struct {
        const char *name;
        uint64_t percent_of_gib;
    } published[] = {{"8B Q4_K_M", 458}, {"8B Q8_0", 795}, {"8B F16", 1496}};
    struct gov_capacity_model list[64];
    gov_error err;
    size_t count;

    ck_assert_msg(gov_capacity_models(list, 64, &count, NULL, &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_uint_eq(count, 18);
    for (size_t i = 0; i < COUNT_OF(published); i++) {
        const struct gov_capacity_model *m =
            find(list, count, published[i].name);

        ck_assert_uint_eq((m->weights_bytes * 100 + GIB / 2) / GIB,
                          published[i].percent_of_gib);
        ck_assert_uint_eq(m->kv_per_token_bytes, 128 * 1024);
        ck_assert_uint_eq(m->compute_bytes, 533 * MIB / 2);
    }
}
END_TEST

START_TEST(reserves)
{
    static const struct {
        uint64_t ram, reserve;
    } rows[] = {{0, 0},
                {GIB, 256 * MIB},
                {1600 * MIB, 400 * MIB},
                {2 * GIB, 512 * MIB},
                {4 * GIB, 512 * MIB},
                {5 * GIB, 512 * MIB},
                {10 * GIB, GIB},
                {UINT64_MAX, UINT64_MAX / 10}};

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_uint_eq(gov__reserve_of_ram(rows[i].ram), rows[i].reserve);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("tables");
    TCase *t = tcase_create("tables");

    tcase_add_test(t, reads_a_machine);
    tcase_add_loop_test(t, reads_rates, 0, COUNT_OF(rates));
    tcase_add_test(t, counts_beyond_room);
    tcase_add_loop_test(t, says_where, 0, COUNT_OF(wrong));
    tcase_add_test(t, is_bounded);
    tcase_add_test(t, shipped_machines);
    tcase_add_test(t, reads_a_model);
    tcase_add_loop_test(t, says_where_in_models, 0, COUNT_OF(wrong_models));
    tcase_add_test(t, shipped_models);
    tcase_add_test(t, reserves);
    suite_add_tcase(s, t);
    return s;
}
