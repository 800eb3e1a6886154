/* SPDX-License-Identifier: MIT */
/* What a decision costs: no allocation at all, and microseconds, so that an app may
 * ask whenever it likes. Figures are printed; bounds are wide, for slow machines
 * (tests/bench/policy_time.c has those that are promised). */
#include <stdlib.h>
#include <time.h>

#include "tests/support/faults.h"
#include "tests/support/many_rules.h"
#include "tests/support/run.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* ---- every allocation of the process, the C library's own among them ---- */

#if defined(__GLIBC__) && !defined(SANITIZED)
#define COUNTS_ALL 1

static unsigned long allocations;

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    allocations++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes)
{
    allocations++;
    return __libc_realloc(block, bytes);
}
#endif

static char text[256 * 1024];

static gov_policy *read_many(unsigned count)
{
    gov_policy *policy = NULL;
    size_t bytes = many_rules(text, sizeof(text), count);
    gov_error err;

    ck_assert_msg(gov_policy_parse(&policy, text, bytes, "many", faults_alloc(),
                                   &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_uint_eq(gov_policy_rules(policy), count);
    return policy;
}

static void count_bytes(void *ctx, const char *rule, const char *verdict,
                        const char *detail)
{
    *(size_t *)ctx += strlen(rule) + strlen(verdict) + strlen(detail);
}

/* Loads, refuses and lacks facts, with and without a trace: how often each. */
static unsigned decide_all(const gov_policy *policy)
{
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err;
    size_t bytes = 0;
    unsigned as_it_should = 0;

    many_rules_facts(&facts);
    as_it_should +=
        gov_plan_decide(&plan, policy, &facts, NULL, NULL, &err) == GOV_OK;
    as_it_should += gov_plan_decide(&plan, policy, &facts, count_bytes, &bytes,
                                    &err) == GOV_OK;
    facts.value[GOV_FACT_MODEL_MOE].known = false;
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, 4096);
    as_it_should += gov_plan_decide(&plan, policy, &facts, count_bytes, &bytes,
                                    &err) == GOV_E_REFUSED;
    facts.value[GOV_FACT_BUDGET_RAM].known = false;
    as_it_should += gov_plan_decide(&plan, policy, &facts, count_bytes, &bytes,
                                    &err) == GOV_E_INVALID;
    return as_it_should;
}

START_TEST(deciding_allocates_nothing)
{
    gov_policy *policy;
    uint64_t calls;

    faults_reset();
    policy = read_many(100);
    calls = faults_count();
#ifdef COUNTS_ALL
    {
        unsigned long before = allocations, made;
        unsigned as_it_should = decide_all(policy);

        made = allocations - before; /* a check allocates, too */
        ck_assert_uint_eq(made, 0);
        ck_assert_uint_eq(as_it_should, 4);
        ck_assert_uint_gt(before, 100); /* it does count */
    }
#else
    printf("plan: only the policy's own allocations are counted: there is no "
           "glibc, or a sanitizer has its own\n");
    ck_assert_uint_eq(decide_all(policy), 4);
#endif
    ck_assert_uint_eq(faults_count(), calls);
    gov_policy_free(policy);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

static long now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Processor time, the least of several rounds: others use the machine, too. */
START_TEST(deciding_takes_microseconds)
{
    gov_policy *policy = read_many(100);
    struct gov_facts facts;
    struct gov_plan plan;
    long best = 1000000000;

    many_rules_facts(&facts);
    for (int round = 0; round < 20; round++) {
        long begin = now_ns(), took;

        for (int i = 0; i < 50; i++)
            ck_assert_int_eq(
                gov_plan_decide(&plan, policy, &facts, NULL, NULL, NULL), 0);
        took = (now_ns() - begin) / 50;
        best = took < best ? took : best;
    }
    printf("plan: a decision over 100 rules takes %ld ns\n", best);
    fflush(stdout);
    ck_assert_int_lt(best, 1000000); /* a sanitizer's, on a slow machine */
    gov_policy_free(policy);
}
END_TEST

START_TEST(reading_takes_milliseconds)
{
    long best = 1000000000;

    for (int round = 0; round < 3; round++) {
        long begin = now_ns(), took;
        gov_policy *policy = read_many(1000);

        took = now_ns() - begin;
        gov_policy_free(policy);
        best = took < best ? took : best;
    }
    printf("policy: 1000 rules are read in %ld us\n", best / 1000);
    fflush(stdout);
    ck_assert_int_lt(best, 1000000000);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("plan_cost");
    TCase *t = tcase_create("plan_cost");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, deciding_allocates_nothing);
    tcase_add_test(t, deciding_takes_microseconds);
    tcase_add_test(t, reading_takes_milliseconds);
    suite_add_tcase(s, t);
    return s;
}
