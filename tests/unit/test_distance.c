/* SPDX-License-Identifier: MIT */
/* How many layers ahead are read: the rule alone, and in a small simulation of a
 * disk that reads layers in a row and an engine that computes with them. */
#include "governor/memory/distance.h"
#include "tests/support/run.h"

#define LAYERS 24
#define PASSES 4096

struct machine {
    uint64_t read_us[LAYERS], compute_us[LAYERS];
    /* When the read of the layer that many behind the newest ended, and when the
     * engine was done with it. */
    uint64_t read_end, compute_end[LAYERS];
    uint64_t pass_us, waited_us, busy_us;
};

/* The n-th use of a layer since the start, at most `ahead` layers behind whose
 * read the engine is. A pass is what happens from its first layer's end to its
 * last one's. */
static void pass(struct machine *m, uint32_t ahead)
{
    uint64_t begin = m->compute_end[LAYERS - 1];
    uint64_t clock = begin;

    m->waited_us = m->busy_us = 0;
    for (uint32_t i = 0; i < LAYERS; i++) {
        /* The read may begin when the engine comes to the layer that is `ahead`
         * before it: when it is done with the one before that. */
        uint32_t gate = (i + 2 * LAYERS - ahead - 1) % LAYERS;
        uint64_t from = m->compute_end[gate];

        if (from > m->read_end)
            m->read_end = from;
        m->read_end += m->read_us[i];
        m->busy_us += m->read_us[i];
        if (m->read_end > clock) {
            m->waited_us += m->read_end - clock;
            clock = m->read_end;
        }
        clock += m->compute_us[i];
        m->compute_end[i] = clock;
    }
    m->pass_us = clock - begin;
}

static struct machine machine(uint64_t read, uint64_t compute)
{
    struct machine m = {.read_end = 0};

    for (uint32_t i = 0; i < LAYERS; i++) {
        m.read_us[i] = read;
        m.compute_us[i] = compute;
    }
    return m;
}

/* Runs so many passes; how often the distance changed, and in `late` how many
 * passes waited for more than a 32nd. */
static uint32_t run(struct machine *m, struct gov__distance *d, uint32_t passes,
                    uint32_t *late)
{
    uint32_t changes = 0;

    *late = 0;
    for (uint32_t i = 0; i < passes; i++) {
        uint32_t before = d->now;
        bool changed;

        pass(m, d->now);
        *late += m->waited_us > m->pass_us / 32;
        changed = gov__distance_pass(d, m->waited_us, m->busy_us, m->pass_us);
        ck_assert(changed == (d->now != before));
        ck_assert_uint_ge(d->now, d->least);
        ck_assert_uint_le(d->now, d->most);
        ck_assert_uint_le(d->now, before + 1);
        ck_assert_uint_ge(d->now + 1, before);
        changes += changed;
    }
    return changes;
}

/* ---- simulated ---------------------------------------------------------------- */

/* Layers alike, read in half the time that they compute: one ahead is enough. */
START_TEST(shrinks_to_the_least_where_layers_are_alike)
{
    struct machine m = machine(1000, 2000);
    struct gov__distance d = {.least = 1, .most = 8, .now = 6};
    uint32_t late;

    ck_assert_uint_eq(run(&m, &d, 200, &late), 5);
    ck_assert_uint_eq(d.now, 1);
    ck_assert_uint_eq(run(&m, &d, PASSES, &late), 0);
    ck_assert_uint_eq(late, 0);
}
END_TEST

/* Reading takes two thirds of the time, but three layers in a row are ten times
 * as long to read: one ahead waits for them, enough ahead does not. */
static struct machine bumpy(void)
{
    struct machine m = machine(500, 1500);

    for (uint32_t i = 6; i < 9; i++)
        m.read_us[i] = 5000;
    return m;
}

START_TEST(grows_until_the_engine_does_not_wait)
{
    struct machine m = bumpy();
    struct gov__distance d = {.least = 1, .most = 16, .now = 1};
    uint32_t late, enough;

    run(&m, &d, 64, &late);
    enough = d.now;
    ck_assert_uint_gt(enough, 1);
    ck_assert_uint_lt(enough, 16);
    pass(&m, enough);
    ck_assert_uint_le(m.waited_us, m.pass_us / 32);
    /* And no further than that: one less waits. */
    for (int i = 0; i < 3; i++)
        pass(&m, enough - 1);
    ck_assert_uint_gt(m.waited_us, m.pass_us / 64);
}
END_TEST

/* From whichever distance it starts it comes to the same one, give or take what is
 * between the two thresholds, and then tries another once in 1024 passes. */
START_TEST(does_not_go_to_and_fro)
{
    struct machine m = bumpy();
    struct gov__distance d = {.least = 1, .most = 16, .now = (uint32_t)_i + 1};
    uint32_t late, settled, changes;

    run(&m, &d, 512, &late);
    settled = d.now;
    changes = run(&m, &d, PASSES, &late);
    ck_assert_uint_le(changes, 2 * (PASSES / 1024));
    ck_assert_uint_le(late, 3 * (PASSES / 1024));
    ck_assert_uint_eq(d.now, settled);
}
END_TEST

/* The disk works all the time: more ahead takes memory and wins nothing. */
START_TEST(stays_where_the_disk_is_the_limit)
{
    struct machine m = machine(2000, 1000);
    struct gov__distance d = {.least = 1, .most = 8, .now = 2};
    uint32_t late;

    m.read_us[3] = 9000;
    ck_assert_uint_eq(run(&m, &d, PASSES, &late), 0);
    ck_assert_uint_eq(d.now, 2);
    ck_assert_uint_eq(late, PASSES);
}
END_TEST

/* A disk that becomes fast: what was too short is tried again in the end. */
START_TEST(forgets_in_time)
{
    struct machine m = bumpy();
    struct gov__distance d = {.least = 1, .most = 16, .now = 1};
    uint32_t late, settled;

    run(&m, &d, 64, &late);
    settled = d.now;
    m = machine(100, 1500);
    run(&m, &d, 900, &late);
    ck_assert_uint_eq(d.now, settled);
    run(&m, &d, 124 + settled * 16, &late);
    ck_assert_uint_eq(d.now, 1);
}
END_TEST

/* ---- by the pass --------------------------------------------------------------- */

/* From 4 of 2 to 6 layers, with 3 too short (0: nothing was), after `calm` calm
 * passes and a pass that waited for `last`: one of 6400 us. */
static const struct {
    const char *name;
    uint32_t calm, tried;
    uint64_t last, waited, read;
    uint32_t want;
} cases[] = {
    {"waited twice, the reader was idle", 0, 0, 900, 900, 3000, 5},
    {"waited once", 0, 0, 0, 900, 3000, 4},
    {"and a little before", 0, 0, 200, 900, 3000, 4},
    {"a little", 0, 0, 900, 200, 3000, 4},
    {"a little more", 0, 0, 900, 201, 3000, 5},
    {"the reader worked all the time", 0, 0, 900, 900, 6400, 4},
    {"nearly all the time", 0, 0, 900, 900, 6200, 4},
    {"not quite all", 0, 0, 900, 900, 6199, 5},
    {"by more than one thread", 0, 0, 900, 900, 20000, 4},
    {"calm for 15", 14, 0, 0, 0, 3000, 4},
    {"calm for 16", 15, 0, 0, 0, 3000, 3},
    {"nearly calm", 15, 0, 0, 100, 3000, 3},
    {"not calm", 15, 0, 0, 101, 3000, 4},
    {"was too short", 15, 3, 0, 0, 3000, 4},
    {"less than that was too short", 15, 2, 0, 0, 3000, 3},
    {"too short once upon a time", 1023, 3, 0, 0, 3000, 3},
    {"not long ago", 1022, 3, 0, 0, 3000, 4},
};

START_TEST(decides)
{
    struct gov__distance d = {.least = 2,
                              .most = 6,
                              .now = 4,
                              .calm = cases[_i].calm,
                              .tried = cases[_i].tried,
                              .last_us = cases[_i].last};
    bool changed =
        gov__distance_pass(&d, cases[_i].waited, cases[_i].read, 6400);

    ck_assert_msg(d.now == cases[_i].want, "%s: %u layers, want %u",
                  cases[_i].name, d.now, cases[_i].want);
    ck_assert_msg(changed == (cases[_i].want != 4), "%s", cases[_i].name);
}
END_TEST

/* What was seen at another distance says nothing of this one. */
START_TEST(looks_anew_after_a_change)
{
    struct gov__distance d = {.least = 1, .most = 9, .now = 4};

    for (uint32_t i = 0; i < 8; i++) {
        ck_assert(gov__distance_pass(&d, 500, 0, 1000) == (i % 2 != 0));
        ck_assert_uint_eq(d.now, 4 + (i + 1) / 2);
    }
    d = (struct gov__distance){.least = 1, .most = 9, .now = 4};
    for (uint32_t i = 1; i <= 47; i++) {
        ck_assert(gov__distance_pass(&d, 0, 0, 1000) == (i % 16 == 0));
        ck_assert_uint_eq(d.now, 4 - i / 16);
    }
}
END_TEST

START_TEST(stays_within_its_bounds)
{
    struct gov__distance d = {.least = 2, .most = 3, .now = 2};

    for (int i = 0; i < 100; i++)
        gov__distance_pass(&d, 500, 0, 1000);
    ck_assert_uint_eq(d.now, 3);
    for (int i = 0; i < 5000; i++)
        gov__distance_pass(&d, 0, 0, 1000);
    ck_assert_uint_eq(d.now, 2);
    /* A pass that took no time, and one that waited longer than it took. */
    ck_assert(!gov__distance_pass(&d, 0, 0, 0));
    ck_assert(!gov__distance_pass(&d, UINT64_MAX, UINT64_MAX, 1000));
    ck_assert(!gov__distance_pass(&d, UINT64_MAX, UINT64_MAX, UINT64_MAX));
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("distance");
    TCase *tc = tcase_create("distance");

    tcase_add_test(tc, shrinks_to_the_least_where_layers_are_alike);
    tcase_add_test(tc, grows_until_the_engine_does_not_wait);
    tcase_add_loop_test(tc, does_not_go_to_and_fro, 0, 16);
    tcase_add_test(tc, stays_where_the_disk_is_the_limit);
    tcase_add_test(tc, forgets_in_time);
    tcase_add_loop_test(tc, decides, 0,
                        (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(tc, looks_anew_after_a_change);
    tcase_add_test(tc, stays_within_its_bounds);
    suite_add_tcase(s, tc);
    return s;
}
