/* SPDX-License-Identifier: MIT */
/* Memory is taken again: in steps, until it is short, and for an hour without making
 * itself short. */
#include "governor/memory/memory_priv.h"
#include "tests/unit/relief_fixture.h"

static void hear_nothing(void)
{
    gov_on_event(rt, NULL, NULL);
}

/* ---- taking memory again ------------------------------------------------------------- */

START_TEST(in_steps)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .lacks = 100 * MIB,
                       .slices = 1};
    const struct gov_relief_rules rules = {.regrow = {1000, 500, 10}};
    const uint64_t step = 4 * GIB / 1000 * 10;

    hear_nothing();
    put_relief(&rules);
    add_slicer(&a);
    simulate(WARN);
    turn(250);
    simulate(NORMAL);
    turn(250);
    turn(999);
    ck_assert_int_eq(a.regrows, 0);
    turn(1);
    ck_assert_int_eq(a.regrows, 1);
    ck_assert_uint_eq(a.regrow_bytes, step);
    turn(499);
    ck_assert_int_eq(a.regrows, 1);
    turn(1);
    turn(500);
    ck_assert_uint_eq(a.lacks, 0);
    turn(5000);
    ck_assert_int_eq(a.regrows, 3);
    ck_assert_int_eq(a.stops, 0);
}
END_TEST

static void stop_before_relief(struct slicer *s, const char *where)
{
    if (strcmp(where, "regrow_stop") == 0)
        note("stop", "");
    if (strcmp(where, "relieve") == 0)
        note("relieve", "");
    (void)s;
}

/* Once, before relief, whoever began; the rest is taken when all is calm again. */
START_TEST(until_memory_is_short)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .lacks = 50 * MIB,
                       .slices = 1,
                       .inside = stop_before_relief};
    struct slicer b = {.name = "b"};
    const struct gov_relief_rules rules = {.regrow = {1000, 500, 10}};

    hear_nothing();
    put_relief(&rules);
    add_slicer(&a);
    add_slicer(&b);
    simulate(WARN);
    turn(250);
    ck_happened("relieve\nrelieve\n");
    simulate(NORMAL);
    turn(250);
    turn(1000);
    ck_assert_int_eq(a.regrows, 1);
    a.slices = 1;
    simulate(WARN);
    turn(250);
    ck_happened("stop\nrelieve\nrelieve\n");
    turn(250);
    ck_assert_int_eq(a.stops, 1);
    ck_assert_int_eq(b.stops, 0);
    simulate(NORMAL);
    turn(250);
    turn(2000); /* twice as long: it was taken too early */
    ck_assert_int_eq(a.regrows, 2);
    ck_assert_uint_eq(a.lacks, 0);
}
END_TEST

/* Also where an engine's thread gets the turn first. */
START_TEST(stopped_at_the_end_of_a_pass)
{
    struct slicer a = {.name = "a",
                       .between_passes = true,
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .lacks = GIB,
                       .slices = 1,
                       .inside = stop_before_relief};

    hear_nothing();
    add_slicer(&a);
    pthread_mutex_lock(&rt->lock);
    rt->slots[0].growing = rt->pending = true;
    rt->machine.level = WARN;
    pthread_mutex_unlock(&rt->lock);
    gov_pass_begin(rt);
    gov_pass_end(rt);
    ck_happened("stop\nrelieve\nrelieve\n");
}
END_TEST

START_TEST(a_cache_in_steps)
{
    struct gov_cache_options options = gov_cache_options_default();
    const struct gov_relief_rules rules = {.regrow = {1000, 500, 1}};
    static const char value[64 << 10];
    struct gov_cache_usage usage;
    gov_cache *cache;
    uint32_t id;

    hear_nothing();
    gov_set_budget(rt, 4000 * MIB); /* steps of 4 MiB */
    put_relief(&rules);
    options.limit_bytes = 10 * MIB;
    options.alloc = faults_alloc();
    ck_assert_int_eq(gov__cache_new_on(&cache, &sim.table, &options, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_relief_add_cache(rt, "cache.a", cache, &id, &err),
                     GOV_OK);
    for (uint64_t key = 0; key < 200; key++)
        ck_assert_int_eq(gov_cache_put(cache, key, value, sizeof(value), &err),
                         GOV_OK);
    simulate(CRITICAL);
    turn(250);
    simulate(NORMAL);
    turn(250);
    turn(500);
    for (uint64_t most = 4; most <= 12; most += 4) {
        turn(500);
        for (uint64_t key = 0; key < 200; key++)
            ck_assert_int_eq(
                gov_cache_put(cache, key, value, sizeof(value), &err), GOV_OK);
        gov_cache_usage(cache, &usage);
        ck_assert_uint_le(usage.bytes, (most > 10 ? 10 : most) * MIB);
        ck_assert_uint_gt(usage.bytes, (most > 10 ? 9 : most - 1) * MIB);
    }
    ck_assert(!rt->slots[0].gave);
    gov_relief_remove(rt, id);
    gov_cache_free(cache);
}
END_TEST

/* ---- an hour ------------------------------------------------------------------------ */

static int levels_up;

static void count_levels(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    if (event->kind == GOV_EVENT_LEVEL && event->level >= WARN)
        levels_up++;
}

/* Memory that this one gives back is what makes it short: it takes it again in
 * steps, is stopped, gives it back, and so on. The rest of the process breathes by
 * 150 MiB every 90 s. */
static struct slicer *breather;
static uint64_t held;

static uint64_t hold_offer(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    return held;
}

static uint64_t hold_relieve(void *ctx, const struct gov_relief_want *want)
{
    uint64_t bytes = 64 * MIB;

    (void)ctx;
    if (want->bytes != 0 && want->bytes < bytes)
        bytes = want->bytes;
    if (bytes > held)
        bytes = held;
    held -= bytes;
    sim_grow(&sim, -(int64_t)bytes);
    breather->calls++;
    return bytes;
}

static uint64_t hold_regrow(void *ctx, uint64_t bytes)
{
    const uint64_t lacks = GIB - held;

    (void)ctx;
    if (bytes > lacks)
        bytes = lacks;
    held += bytes;
    sim_grow(&sim, (int64_t)bytes);
    breather->regrows++;
    return lacks - bytes;
}

START_TEST(an_hour_does_not_oscillate)
{
    struct gov_relief relief = gov_relief_default();
    struct slicer seen = {.name = "held"};
    uint32_t id;
    int half = 0;

    levels_up = 0;
    breather = &seen;
    held = GIB;
    gov_on_event(rt, count_levels, NULL);
    relief.name = seen.name;
    relief.offer = hold_offer;
    relief.relieve = hold_relieve;
    relief.regrow_by = hold_regrow;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_OK);
    headroom_permille(200); /* with all that it holds */
    for (int ms = 0; ms < 3600000; ms += 250) {
        if (ms % 90000 == 45000)
            sim_grow(&sim, (int64_t)(500 * MIB));
        if (ms % 90000 == 0 && ms > 0)
            sim_grow(&sim, -(int64_t)(500 * MIB));
        turn(250);
        if (ms == 1800000)
            half = levels_up;
    }
    ck_assert_int_gt(seen.calls, 0);
    ck_assert_int_gt(seen.regrows, 0);
    /* Forty breaths, and no level of its own making beside them. */
    ck_assert_int_le(levels_up, 40);
    ck_assert_int_le(levels_up - half, half);
}
END_TEST

#define ADD(tc, name) tcase_add_test(tc, name)

Suite *suite(void)
{
    Suite *s = suite_create("relief_regrow");
    TCase *tc = tcase_create("regrow");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    ADD(tc, in_steps);
    ADD(tc, until_memory_is_short);
    ADD(tc, stopped_at_the_end_of_a_pass);
    ADD(tc, a_cache_in_steps);
    ADD(tc, an_hour_does_not_oscillate);
    suite_add_tcase(s, tc);
    return s;
}
