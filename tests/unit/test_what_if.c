/* SPDX-License-Identifier: MIT */
/* "What if": names with and without a dot, values, what follows, and what is said
 * of a slip. */
#include <stdio.h>
#include <string.h>

#include "policies/what_if.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static char told[2048];

static void tell(void *ctx, const char *fact, const char *now,
                 const char *before, const char *because)
{
    size_t used = strlen(told);

    ck_assert_ptr_eq(ctx, told);
    snprintf(told + used, sizeof(told) - used, "%s: %s, was %s%s%s\n", fact,
             now, before, because[0] != '\0' ? "; " : "", because);
}

/* 16 GiB, of which 14.4 are the budget; 4 GiB of weights. */
static void usual(struct gov_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    gov_facts_set(facts, GOV_FACT_DEVICE_RAM, 16 * GIB);
    gov_facts_set(facts, GOV_FACT_BUDGET_RAM, 14 * GIB);
    gov_facts_set_text(facts, GOV_FACT_DEVICE_OS, "linux");
    gov_facts_set(facts, GOV_FACT_MODEL_WEIGHTS, 4 * GIB);
    gov_facts_set(facts, GOV_FACT_MODEL_FILE, 4 * GIB + 4096);
    gov_facts_set(facts, GOV_FACT_MODEL_PASS, 3 * GIB);
    gov_facts_set(facts, GOV_FACT_MODEL_LARGEST_UNIT, 100 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_SMALLEST_LAYER, 80 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_REPACK, 0);
    gov_facts_set(facts, GOV_FACT_MODEL_PARAMETERS, 7000000000);
}

static const struct {
    const char *text, *told;
} changes[] = {
    {"gpu.count=2", "gpu.count: 2, was unknown\n"},
    {"budget.ram=3GiB", "budget.ram: 3.00 GiB, was 14.0 GiB\n"},
    {"budget.ram = 3 GiB , cores = 4",
     "budget.ram: 3.00 GiB, was 14.0 GiB\ndevice.cores: 4, was unknown\n"},
    /* the first group that has such a fact; no derived one */
    {"context=8192", "request.context: 8192, was unknown\n"},
    {"kv_per_token=1 KiB,level=warn,working_set=1 GiB,kv_type=q8_0",
     "model.kv_per_token: 1.00 KiB, was unknown\n"
     "pressure.level: warn, was unknown\n"
     "gpu.working_set: 1.00 GiB, was unknown\n"
     "request.kv_type: q8_0, was unknown\n"},
    /* values */
    {"model.moe=true,psi=no,zswap=yes,engine.gpu=false",
     "model.moe: yes, was unknown\ndevice.psi: no, was unknown\n"
     "device.zswap: yes, was unknown\nengine.gpu: no, was unknown\n"},
    {"budget.ram=1.5MB", "budget.ram: 1.43 MiB, was 14.0 GiB\n"},
    {"budget.ram=1.5kB,swap= 000000000000000000000000000000000000000000001 GB ",
     "budget.ram: 1.46 KiB, was 14.0 GiB\n"
     "device.swap: 954 MiB, was unknown\n"},
    {"budget.ram=2TB,swap=0 B",
     "budget.ram: 1.82 TiB, was 14.0 GiB\ndevice.swap: 0 B, was unknown\n"},
    {"os=darwin,cpu=Core i7 @ 3 GHz = fast",
     "device.os: darwin, was linux\n"
     "device.cpu: Core i7 @ 3 GHz = fast, was unknown\n"},
    {"os=unknown", "device.os: unknown, was linux\n"},
    /* what follows */
    {"ram=8GiB", "device.ram: 8.00 GiB, was 16.0 GiB\n"
                 "budget.ram: 7.20 GiB, was 14.0 GiB; follows device.ram\n"},
    {"limit=1 GiB",
     "device.limit: 1.00 GiB, was unknown\n"
     "budget.ram: 768 MiB, was 14.0 GiB; follows device.limit\n"},
    {"ram=8GiB,limit=2GiB",
     "device.ram: 8.00 GiB, was 16.0 GiB\n"
     "device.limit: 2.00 GiB, was unknown\n"
     "budget.ram: 1.50 GiB, was 14.0 GiB; follows device.ram\n"},
    {"ram=8GiB,budget.ram=5GiB", "device.ram: 8.00 GiB, was 16.0 GiB\n"
                                 "budget.ram: 5.00 GiB, was 14.0 GiB\n"},
    {"ram=unknown", "device.ram: unknown, was 16.0 GiB\n"
                    "budget.ram: unknown, was 14.0 GiB; follows device.ram\n"},
    {"weights=2GiB",
     "model.weights: 2.00 GiB, was 4.00 GiB\n"
     "model.file: 2.00 GiB, was 4.00 GiB; in proportion to model.weights\n"
     "model.pass: 1.50 GiB, was 3.00 GiB; in proportion to model.weights\n"
     "model.largest_unit: 50.0 MiB, was 100 MiB; in proportion to "
     "model.weights\n"
     "model.smallest_layer: 40.0 MiB, was 80.0 MiB; in proportion to "
     "model.weights\n"
     "model.repack_bytes: 0 B, was 0 B; in proportion to model.weights\n"
     "model.parameters: 3500000000, was 7000000000; in proportion to "
     "model.weights\n"},
    {"largest_unit=1GiB,model.weights=8GiB,file=1 B,pass=1 B,smallest_layer="
     "unknown,repack_bytes=1 B,parameters=1",
     "model.largest_unit: 1.00 GiB, was 100 MiB\n"
     "model.weights: 8.00 GiB, was 4.00 GiB\n"
     "model.file: 1 B, was 4.00 GiB\nmodel.pass: 1 B, was 3.00 GiB\n"
     "model.smallest_layer: unknown, was 80.0 MiB\n"
     "model.repack_bytes: 1 B, was 0 B\nmodel.parameters: 1, was 7000000000\n"},
    {"model.weights=unknown", "model.weights: unknown, was 4.00 GiB\n"},
};

START_TEST(changes_facts)
{
    struct gov_facts facts, quiet;
    char buffer[512], other[512];
    gov_error err;

    usual(&facts);
    quiet = facts;
    told[0] = '\0';
    ck_assert_msg(gov_what_if(&facts, changes[_i].text, buffer, tell, told,
                              &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_str_eq(told, changes[_i].told);
    ck_assert_int_eq(
        gov_what_if(&quiet, changes[_i].text, other, NULL, NULL, NULL), GOV_OK);
    for (int i = 0; i < GOV_FACT_COUNT; i++) {
        ck_assert_int_eq(facts.value[i].known, quiet.value[i].known);
        ck_assert_int_eq(facts.value[i].number, quiet.value[i].number);
    }
}
END_TEST

START_TEST(sets_what_it_tells)
{
    struct gov_facts facts;
    char buffer[512];

    usual(&facts);
    ck_assert_int_eq(gov_what_if(&facts,
                                 "ram=8GiB,os=darwin,model.moe=yes,"
                                 "read_rate=unknown,model.weights=5GB",
                                 buffer, NULL, NULL, NULL),
                     GOV_OK);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_RAM, 0), 8 * GIB);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_BUDGET_RAM, 0),
                      8 * GIB - 8 * GIB / 10);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_WEIGHTS, 0),
                      5000000000);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_MOE, 0), 1);
    ck_assert(!facts.value[GOV_FACT_DEVICE_READ_RATE].known);
    ck_assert_str_eq(facts.value[GOV_FACT_DEVICE_OS].text, "darwin");
    ck_assert_ptr_eq(facts.value[GOV_FACT_DEVICE_OS].text, buffer);
}
END_TEST

/* Nothing to be in proportion to. */
START_TEST(weights_from_nothing)
{
    struct gov_facts facts;
    char buffer[512];

    for (int i = 0; i < 2; i++) {
        usual(&facts);
        facts.value[GOV_FACT_MODEL_WEIGHTS].known = i == 0;
        facts.value[GOV_FACT_MODEL_WEIGHTS].number = 0;
        told[0] = '\0';
        ck_assert_int_eq(
            gov_what_if(&facts, "model.weights=1GiB", buffer, tell, told, NULL),
            GOV_OK);
        ck_assert_str_eq(told, i == 0 ? "model.weights: 1.00 GiB, was 0 B\n"
                                      : "model.weights: 1.00 GiB, was "
                                        "unknown\n");
    }
}
END_TEST

static const struct {
    const char *text, *sentence;
} slips[] = {
    {"", "\"\" is no FACT=VALUE, as ram=8GiB is"},
    {"ram", "\"ram\" is no FACT=VALUE, as ram=8GiB is"},
    {"ram=8GiB,", "\"\" is no FACT=VALUE, as ram=8GiB is"},
    {"ram= ", "\"ram=\" is no FACT=VALUE, as ram=8GiB is"},
    {"=8GiB", "\"=8GiB\" is no FACT=VALUE, as ram=8GiB is"},
    {"model.weigths=5GB",
     "there is no fact \"model.weigths\"; did you mean model.weights?"},
    {"weigths=5GB", "there is no fact \"weigths\"; did you mean weights?"},
    {"completely_else=1",
     "there is no fact \"completely_else\"; gov policy facts lists them"},
    {"model.kv=1 GiB",
     "model.kv follows from other facts, which can be given instead"},
    {"ram=8GiB,device.ram=9GiB", "device.ram is given twice"},
    {"ram=8GB8", "device.ram=8GB8: unknown unit \"GB8\"; did you mean GB?"},
    {"ram=fewGB", "device.ram=fewGB: write a size, for instance 16 GiB"},
    {"ram=8 GIB", "device.ram=8 GIB: unknown unit \"GIB\"; did you mean GiB?"},
    {"ram=8", "device.ram=8: write a size, for instance 16 GiB"},
    {"ram=-8GiB", "device.ram=-8GiB: write a size, for instance 16 GiB"},
    {"ram=99999999TB", "device.ram=99999999TB: number too large"},
    {"cores=many", "device.cores=many: write a whole number"},
    {"cores=4 4", "device.cores=4 4: one number is enough here"},
    {"model.moe=maybe", "model.moe is true or false, not \"maybe\""},
    {"request.strategy=heep",
     "request.strategy is never \"heep\"; did you mean heap?"},
    {"pressure.level=wild",
     "pressure.level is never \"wild\"; it is normal, warn or critical"},
};

START_TEST(says_what_is_wrong)
{
    struct gov_facts facts, before;
    char buffer[512];
    gov_error err;

    usual(&facts);
    before = facts;
    told[0] = '\0';
    ck_assert_int_eq(
        gov_what_if(&facts, slips[_i].text, buffer, tell, told, &err),
        GOV_E_INVALID);
    ck_assert_str_eq(err.message, slips[_i].sentence);
    ck_assert_str_eq(told, "");
    ck_assert_mem_eq(&facts, &before, sizeof(facts));
    ck_assert_int_eq(
        gov_what_if(&facts, slips[_i].text, buffer, NULL, NULL, NULL),
        GOV_E_INVALID);
}
END_TEST

/* Texts fill the buffer to the byte. */
START_TEST(long_texts)
{
    static const char too_long[] = "device.arch and the texts before it are "
                                   "longer than 511 bytes together";
    struct gov_facts facts;
    char buffer[512 + 1], text[1024];
    gov_error err;

    usual(&facts);
    memset(buffer, '#', sizeof(buffer));
    snprintf(text, sizeof(text), "os=%0500d,arch=%010d", 1, 2);
    ck_assert_int_eq(gov_what_if(&facts, text, buffer, NULL, NULL, &err),
                     GOV_OK);
    ck_assert_uint_eq(strlen(facts.value[GOV_FACT_DEVICE_OS].text), 500);
    ck_assert_uint_eq(strlen(facts.value[GOV_FACT_DEVICE_ARCH].text), 10);
    ck_assert_int_eq(buffer[512], '#');
    snprintf(text, sizeof(text), "os=%0500d,arch=%011d", 1, 2);
    ck_assert_int_eq(gov_what_if(&facts, text, buffer, NULL, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, too_long);
    ck_assert_int_eq(buffer[512], '#');
    ck_assert_int_eq(gov_what_if(NULL, "ram=1GiB", buffer, NULL, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_what_if(&facts, NULL, buffer, NULL, NULL, &err),
                     GOV_E_INVALID);
}
END_TEST

/* Every fact can be named whole, and what cannot be given says so. */
START_TEST(every_fact)
{
    static const char *const values[] = {"1 KiB", "1",   "1 %",
                                         "1 ms",  "yes", "f16"};
    const struct gov_fact_info *info = gov_fact_info((gov_fact)_i);
    struct gov_facts facts = {0};
    char text[128], buffer[512];
    const char *value = values[info->type];
    gov_status status;

    if (_i == GOV_FACT_MODEL_FORMAT)
        value = "gguf";
    if (_i == GOV_FACT_PRESSURE_LEVEL)
        value = "warn";
    if (_i == GOV_FACT_REQUEST_STRATEGY)
        value = "mmap";
    snprintf(text, sizeof(text), "%s=%s", info->name, value);
    status = gov_what_if(&facts, text, buffer, NULL, NULL, NULL);
    ck_assert_int_eq(
        status, strcmp(info->source, "derived") == 0 ? GOV_E_INVALID : GOV_OK);
    ck_assert(facts.value[_i].known == (status == GOV_OK));
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("what_if");
    TCase *t = tcase_create("what_if");

    tcase_add_loop_test(t, changes_facts, 0, (int)COUNT_OF(changes));
    tcase_add_test(t, sets_what_it_tells);
    tcase_add_test(t, weights_from_nothing);
    tcase_add_loop_test(t, says_what_is_wrong, 0, (int)COUNT_OF(slips));
    tcase_add_test(t, long_texts);
    tcase_add_loop_test(t, every_fact, 0, GOV_FACT_COUNT);
    suite_add_tcase(s, t);
    return s;
}
