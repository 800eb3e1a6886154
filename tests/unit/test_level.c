/* SPDX-License-Identifier: MIT */
/* The level machine: thresholds, hysteresis, what is missing or runs backwards,
 * and properties that hold whatever the evidence. */
#include <stdlib.h>
#include <string.h>

#include "policies/level.h"
#include "tests/support/run.h"

#define NORMAL GOV_LEVEL_NORMAL
#define WARN GOV_LEVEL_WARN
#define CRITICAL GOV_LEVEL_CRITICAL
#define MIB ((uint64_t)1 << 20)

static struct gov_level_rules rules;
static struct gov_level_machine machine;
static struct gov_evidence now; /* totals run on from step to step */

static void set_up(void)
{
    gov_level_rules_default(&rules);
    memset(&machine, 0, sizeof(machine));
    now = (struct gov_evidence){.now_ms = 1000};
}

static gov_level step(void)
{
    return gov_level_step(&machine, &rules, &now);
}

/* One sample `ms` later, in which some and full tasks stalled for so many
 * permille of the time. */
static gov_level stall(uint64_t ms, uint64_t some, uint64_t full)
{
    now.have |= GOV_HAVE_STALL;
    now.now_ms += ms;
    now.memory_some_us += ms * some;
    now.memory_full_us += ms * full;
    return step();
}

/* One sample `ms` later with so many permille of a budget of 1000 MiB left. */
static gov_level headroom(uint64_t ms, uint64_t permille)
{
    now.have |= GOV_HAVE_HEADROOM;
    now.now_ms += ms;
    now.budget_bytes = 1000 * MIB;
    now.headroom_bytes = permille * MIB;
    return step();
}

static gov_level simulate(uint64_t ms, gov_level level)
{
    now.now_ms += ms;
    now.have |= GOV_HAVE_SIMULATED;
    now.simulated_level = level;
    return step();
}

#define ck_level(expression, want)                                             \
    ck_assert_str_eq(gov_level_name(expression), gov_level_name(want))

/* ---- one look -------------------------------------------------------------- */

/* Every threshold: the figure, the level it is met at, the level that evidence
 * then points to. 2 s of it are fed, in which nothing can fall. */
static const struct {
    const char *name;
    gov_level at;
    int some, full, headroom; /* permille; -1 absent */
    gov_level want;           /* after a fall that calm would allow */
    bool calm;
} thresholds[] = {
    {"nothing", NORMAL, 0, 0, 1000, NORMAL, false},
    {"some just below", NORMAL, 69, 0, -1, NORMAL, false},
    {"some at", NORMAL, 70, 0, -1, WARN, false},
    {"some always", NORMAL, 1000, 0, -1, WARN, false},
    {"full just below", NORMAL, 69, 49, -1, NORMAL, false},
    {"full at", NORMAL, 60, 50, -1, CRITICAL, false},
    {"full below, some above", NORMAL, 200, 49, -1, WARN, false},
    {"headroom above", NORMAL, -1, -1, 121, NORMAL, false},
    {"headroom at", NORMAL, -1, -1, 120, WARN, false},
    {"headroom above critical", NORMAL, -1, -1, 51, WARN, false},
    {"headroom at critical", NORMAL, -1, -1, 50, CRITICAL, false},
    {"no headroom", NORMAL, -1, -1, 0, CRITICAL, false},
    {"the worse one counts", NORMAL, 70, 0, 50, CRITICAL, false},
    {"whichever it is", NORMAL, 200, 50, 120, CRITICAL, false},
    {"warn: some held", WARN, 30, 0, -1, WARN, false},
    {"warn: some let go", WARN, 29, 0, -1, WARN, true},
    {"warn: headroom held", WARN, -1, -1, 160, WARN, false},
    {"warn: headroom let go", WARN, -1, -1, 161, WARN, true},
    {"warn: full at", WARN, 60, 50, -1, CRITICAL, false},
    {"warn: full just below", WARN, 60, 49, -1, WARN, false},
    {"critical: full held", CRITICAL, 29, 20, -1, CRITICAL, false},
    {"critical: full let go", CRITICAL, 29, 19, -1, CRITICAL, true},
    {"critical: some holds no critical", CRITICAL, 999, 0, -1, CRITICAL, true},
    {"critical: headroom held", CRITICAL, -1, -1, 80, CRITICAL, false},
    {"critical: headroom let go", CRITICAL, -1, -1, 81, CRITICAL, true},
};

START_TEST(crosses_at_the_threshold)
{
    gov_level got = NORMAL;

    /* Real evidence puts the machine where the row wants it. */
    if (thresholds[_i].at == WARN)
        ck_level(headroom(0, 120), WARN);
    if (thresholds[_i].at == CRITICAL)
        ck_level(headroom(0, 50), CRITICAL);
    now.have = 0;
    for (int i = 0; i <= 8; i++) {
        now.have = 0;
        now.now_ms += 250;
        if (thresholds[_i].headroom >= 0) {
            now.have |= GOV_HAVE_HEADROOM;
            now.budget_bytes = 1000 * MIB;
            now.headroom_bytes = (uint64_t)thresholds[_i].headroom * MIB;
        }
        if (thresholds[_i].some >= 0)
            got = stall(0, 0, 0);
        else
            got = step();
        now.memory_some_us += 250 * (uint64_t)abs(thresholds[_i].some);
        now.memory_full_us += 250 * (uint64_t)abs(thresholds[_i].full);
    }
    ck_assert_msg(got == thresholds[_i].want && machine.level == got,
                  "%s: got %s: %s", thresholds[_i].name, gov_level_name(got),
                  machine.reason);
    ck_assert_msg(machine.calm == thresholds[_i].calm, "%s: %s",
                  thresholds[_i].name, machine.calm ? "calm" : "not calm");
}
END_TEST

START_TEST(says_why)
{
    stall(250, 0, 0);
    ck_assert_str_eq(machine.reason, "no sign of pressure");
    ck_level(stall(1000, 123, 0), WARN);
    ck_assert_str_eq(machine.reason,
                     "something waited for memory 12.3 % of the last 1.0 s");
    ck_level(stall(250, 500, 500), CRITICAL);
    ck_assert_str_eq(machine.reason,
                     "everything waited for memory 10.0 % of the last 1.2 s");
    now.have = 0;
    ck_level(headroom(250, 49), CRITICAL);
    ck_assert_str_eq(machine.reason, "49 MiB of the 1000 MiB budget are left");
    headroom(250, 500);
    ck_assert_str_eq(machine.reason, "49 MiB of the 1000 MiB budget are left");
    ck_level(headroom(5000, 500), WARN);
    ck_assert_str_eq(machine.reason, "calm for 5.0 s");
    ck_level(simulate(250, CRITICAL), CRITICAL);
    ck_assert_str_eq(machine.reason, "simulated");
    now.have &= ~(uint32_t)GOV_HAVE_SIMULATED;
    ck_level(headroom(250, 500), NORMAL);
    ck_assert_str_eq(machine.reason, "no sign of pressure");
}
END_TEST

START_TEST(names)
{
    static const struct {
        int number;
        const char *name;
    } all[] = {{0, "normal"},
               {49, "normal"},
               {50, "warn"},
               {99, "warn"},
               {100, "critical"},
               {101, "critical"},
               {2000000000, "critical"}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        ck_assert_str_eq(gov_level_name((gov_level)all[i].number), all[i].name);
}
END_TEST

/* ---- over time --------------------------------------------------------------- */

START_TEST(rises_at_once)
{
    ck_level(headroom(0, 500), NORMAL);
    ck_level(headroom(1, 50), CRITICAL);
}
END_TEST

START_TEST(the_first_sample_may_rise_already)
{
    ck_level(headroom(0, 0), CRITICAL);
}
END_TEST

START_TEST(totals_at_the_first_sample_say_nothing)
{
    now.memory_some_us = now.memory_full_us = UINT64_C(3600000000);
    ck_level(stall(0, 0, 0), NORMAL);
    for (int i = 0; i < 20; i++)
        ck_level(stall(250, 0, 0), NORMAL);
    ck_assert_str_eq(machine.reason, "no sign of pressure");
}
END_TEST

START_TEST(falls_one_level_at_a_time)
{
    int warn_at = -1, normal_at = -1;

    headroom(0, 0);
    for (int ms = 250; ms <= 20000; ms += 250) {
        gov_level level = headroom(250, 900);

        if (level == WARN && warn_at < 0)
            warn_at = ms;
        if (level == NORMAL && normal_at < 0)
            normal_at = ms;
    }
    ck_assert_int_eq(warn_at, 250 + 5000);
    ck_assert_int_eq(normal_at, 250 + 10000);
}
END_TEST

START_TEST(calm_that_is_interrupted_starts_again)
{
    headroom(0, 100);
    for (int ms = 0; ms < 5000; ms += 250)
        ck_level(headroom(250, 500), WARN);
    ck_level(headroom(250, 160), WARN); /* not enough to enter, but to stay */
    for (int ms = 0; ms < 5000; ms += 250)
        ck_level(headroom(250, 500), WARN);
    ck_level(headroom(250, 500), NORMAL);
}
END_TEST

/* A stall of 1 s every other second keeps the level up, and the level changes
 * once; 12 s apart it goes up and down, and no more often than that. */
START_TEST(a_sawtooth_is_bounded)
{
    gov_level before = NORMAL;
    int changes = 0;

    for (int s = 0; s < 600; s++)
        for (int i = 0; i < 4; i++) {
            gov_level level = stall(250, s % 2 ? 300 : 0, s % 2 ? 120 : 0);

            changes += level != before;
            before = level;
        }
    ck_assert_int_le(changes, 2);
    ck_level(before, CRITICAL);
    for (int s = 0; s < 600; s++)
        for (int i = 0; i < 4; i++) {
            gov_level level = stall(250, s % 12 == 11 ? 300 : 0, 0);

            changes += level != before;
            before = level;
        }
    ck_assert_int_le(changes, 2 + 2 * 600 / 12 + 2);
    ck_assert_int_ge(changes, 2 + 600 / 12);
}
END_TEST

/* ---- windows ------------------------------------------------------------------ */

START_TEST(a_short_span_says_nothing)
{
    stall(250, 0, 0);
    memset(&machine, 0, sizeof(machine));
    stall(250, 0, 0);
    ck_level(stall(199, 1000, 1000), NORMAL);
    ck_level(stall(1, 1000, 1000), CRITICAL);
    ck_assert_str_eq(machine.reason,
                     "everything waited for memory 100.0 % of the last 0.2 s");
}
END_TEST

START_TEST(an_old_stall_leaves_the_window)
{
    stall(250, 0, 0);
    ck_level(stall(250, 1000, 0), WARN);
    ck_assert(!machine.calm);
    for (int i = 0; i < 7; i++)
        stall(250, 0, 0);
    ck_assert(!machine.calm); /* 250 ms of 2000 */
    stall(250, 0, 0);
    ck_assert(machine.calm);
}
END_TEST

/* Neither samples that are further apart than the window nor those that come
 * so fast that the ring is full at once hide a stall. */
START_TEST(any_pace_of_samples_sees_a_stall)
{
    static const uint64_t pace[] = {1,   3,    10,   100,  199,  200,
                                    250, 1999, 2000, 2001, 5000, 60000};
    uint64_t ms = pace[_i];
    gov_level level = NORMAL;

    for (int i = 0; i < 20; i++)
        ck_level(stall(ms, 0, 0), NORMAL);
    for (uint64_t t = 0; t < 3000; t += ms)
        level = stall(ms, 100, 0);
    ck_level(level, WARN);
    for (uint64_t t = 0; t < 3000; t += ms)
        level = stall(ms, 100, 100);
    ck_level(level, CRITICAL);
}
END_TEST

START_TEST(a_fast_pace_still_smooths_over_the_window)
{
    rules.warn_fast_permille = 0;
    for (int i = 0; i < 4000; i++)
        stall(1, 0, 0);
    ck_level(stall(130, 1000, 0), NORMAL); /* 65 permille of 2 s */
    ck_level(stall(12, 1000, 0), WARN);    /* 71 */
}
END_TEST

START_TEST(a_narrow_window_still_sees)
{
    rules.window_ms = 0;
    for (int i = 0; i < 8; i++)
        ck_level(stall(150, 0, 0), NORMAL);
    stall(150, 1000, 0);
    ck_level(stall(150, 1000, 0), WARN);
}
END_TEST

/* ---- missing, backwards -------------------------------------------------------- */

/* Stalls of 20 % of the time, the whole system's or the own group's, with so
 * many permille of the budget and of the machine left (-1: unknown), and so many
 * MiB a second that were lost and read again. */
static const struct {
    const char *name;
    bool system;
    int headroom, available, refaults;
    gov_level want;
} others[] = {
    {"the own group's always count", false, 1000, 1000, -1, WARN},
    {"nothing known of the machine, plenty", true, 1000, -1, -1, NORMAL},
    {"nothing known of the machine, just plenty", true, 501, -1, -1, NORMAL},
    {"nothing known of the machine, half", true, 500, -1, -1, WARN},
    {"nothing known", true, -1, -1, -1, WARN},
    /* In its own cgroup a neighbour thrashes: whatever is left here. */
    {"near the own limit", true, 200, 900, -1, NORMAL},
    {"near the own limit, nothing refaults", true, 200, 900, 0, NORMAL},
    {"the machine has just enough", true, 1000, 251, -1, NORMAL},
    {"the machine is short", true, 1000, 250, -1, WARN},
    {"the machine is short, headroom unknown", true, -1, 250, -1, WARN},
    {"we suffer, too", true, 1000, 900, 3, WARN},
    {"a page now and then is no suffering", true, 1000, 900, -2, NORMAL},
};

START_TEST(a_stall_of_others_counts_when_memory_is_short)
{
    now.have = others[_i].system ? GOV_HAVE_SYSTEM_STALL : 0;
    if (others[_i].headroom >= 0)
        now.have |= GOV_HAVE_HEADROOM;
    now.budget_bytes = 1000 * MIB;
    now.headroom_bytes = (uint64_t)abs(others[_i].headroom) * MIB;
    if (others[_i].available >= 0)
        now.have |= GOV_HAVE_MACHINE;
    now.machine_total_bytes = 1000 * MIB;
    now.machine_available_bytes = (uint64_t)abs(others[_i].available) * MIB;
    if (others[_i].refaults != -1)
        now.have |= GOV_HAVE_REFAULT | GOV_HAVE_OWN;
    now.own_resident_file_bytes = 1000 * MIB; /* 10 a second are thrashing */
    for (int i = 0; i < 10; i++) {
        stall(250, 200, 0);
        now.refault_bytes += others[_i].refaults >= 0
                                 ? (uint64_t)others[_i].refaults * MIB / 4
                                 : 4096;
    }
    ck_assert_msg(machine.level == others[_i].want, "%s: %s", others[_i].name,
                  gov_level_name(machine.level));
}
END_TEST

START_TEST(missing_evidence_is_not_calm)
{
    ck_level(headroom(0, 40), CRITICAL);
    now.have = 0;
    for (int i = 0; i < 100; i++) {
        now.now_ms += 1000;
        ck_level(step(), CRITICAL);
    }
    ck_assert_str_eq(machine.reason, "40 MiB of the 1000 MiB budget are left");
    headroom(250, 900);
    ck_level(headroom(4999, 900), CRITICAL);
    now.have = 0;
    now.now_ms += 100;
    step(); /* calm is interrupted by not knowing */
    ck_level(headroom(4999, 900), CRITICAL);
    ck_level(headroom(1, 900), WARN);
}
END_TEST

START_TEST(members_without_their_bit_are_not_read)
{
    now.have = 0;
    now.budget_bytes = 1000 * MIB;
    now.simulated_level = CRITICAL;
    for (int i = 0; i < 10; i++) {
        now.now_ms += 250;
        now.memory_some_us += 250000;
        now.memory_full_us += 250000;
        ck_level(step(), NORMAL);
    }
    now.have = GOV_HAVE_HEADROOM;
    now.budget_bytes = 0; /* of nothing, nothing is left: says nothing */
    ck_level(step(), NORMAL);
}
END_TEST

START_TEST(totals_that_went_missing_start_a_new_window)
{
    for (int i = 0; i < 8; i++)
        stall(250, 0, 0);
    now.have = 0;
    now.now_ms += 250;
    step();
    /* What happened while nobody looked belongs to no window. */
    ck_level(stall(250, 1000, 1000), NORMAL);
    ck_level(stall(250, 0, 0), NORMAL);
}
END_TEST

START_TEST(totals_that_run_backwards_start_a_new_window)
{
    now.memory_some_us = now.memory_full_us = 900000000;
    for (int i = 0; i < 8; i++)
        stall(250, 0, 0);
    if (_i != 1)
        now.memory_some_us = 5;
    if (_i != 0)
        now.memory_full_us = 5;
    ck_level(stall(250, 0, 0), NORMAL);
    ck_level(stall(150, 1000, 1000), NORMAL); /* too short to tell */
    ck_level(stall(50, 1000, 1000), CRITICAL);
}
END_TEST

/* Also where they have grown past the old ones before the window is over. */
START_TEST(totals_from_before_are_forgotten)
{
    now.memory_some_us = now.memory_full_us = 900000000;
    for (int i = 0; i < 8; i++)
        stall(250, 0, 0);
    now.memory_some_us = now.memory_full_us = 900000000 - 10000;
    ck_level(stall(250, 0, 0), NORMAL);
    ck_level(stall(250, 60, 60), CRITICAL); /* 15000 us */
    ck_assert_str_eq(machine.reason,
                     "everything waited for memory 6.0 % of the last 0.2 s");
}
END_TEST

START_TEST(times_from_before_are_forgotten)
{
    now.now_ms = 90000;
    stall(250, 0, 0);
    ck_level(stall(250, 1000, 0), WARN);
    now.now_ms = 10;
    stall(0, 0, 0);
    stall(100, 0, 0); /* too short to call it calm */
    ck_assert(!machine.calm);
}
END_TEST

START_TEST(more_than_all_of_the_time_is_all_of_it)
{
    stall(250, 0, 0);
    ck_level(stall(250, 1700, 0), WARN);
    ck_assert_str_eq(machine.reason,
                     "something waited for memory 100.0 % of the last 0.2 s");
}
END_TEST

/* Backwards against a sample that is no longer the last one: one without totals
 * came between, and was replaced because samples came fast. */
START_TEST(totals_that_run_backwards_unseen_invent_nothing)
{
    now.memory_some_us = now.memory_full_us = 900000000;
    for (int i = 0; i < 8; i++)
        stall(250, 0, 0);
    now.have = 0;
    now.now_ms += 1;
    step();
    now.memory_some_us = now.memory_full_us = 5;
    ck_level(stall(1, 0, 0), NORMAL);
    for (int i = 0; i < 20; i++)
        ck_level(stall(50, 0, 0), NORMAL);
}
END_TEST

START_TEST(a_clock_that_runs_backwards_starts_again)
{
    ck_level(headroom(90000, 100), WARN);
    headroom(250, 900);
    now.now_ms = 10;
    ck_level(headroom(0, 900), WARN); /* calm counts from here */
    ck_level(headroom(4999, 900), WARN);
    ck_level(headroom(1, 900), NORMAL);
}
END_TEST

/* The same within the time in which a sample replaces the one before. */
START_TEST(a_clock_that_runs_backwards_a_little_is_seen)
{
    headroom(90000, 100);
    headroom(250, 100);
    headroom(10, 900); /* calm since here */
    now.now_ms -= 5;
    ck_level(headroom(0, 900), WARN);
    ck_level(headroom(4999, 900), WARN);
    ck_level(headroom(1, 900), NORMAL);
}
END_TEST

/* ---- the fast window ----------------------------------------------------------- */

/* 2 s without a stall, then so many us of it in samples so far apart. WARN after
 * how many of them. */
static const struct {
    uint64_t apart_ms, us;
    int want; /* 0: never */
} fasts[] = {
    {100, 25000, 3}, /* 75 ms in 300 */
    {100, 70000, 1},
    {100, 18000, 4},
    {100, 17400, 9}, /* the slow window: 140 ms and more */
    {250, 69000, 3}, /* never 70 ms in 400; 138, 207 ms in 2 s */
    {250, 70000, 1},
    {1000, 174000, 1}, /* the slow window sees 70 of 1000 first */
};

START_TEST(a_short_large_stall_is_seen_early)
{
    int at = 0;

    for (int i = 0; i < 40; i++)
        ck_level(stall(100, 0, 0), NORMAL);
    for (int i = 1; at == 0 && i <= 20; i++) {
        now.memory_some_us += fasts[_i].us;
        if (stall(fasts[_i].apart_ms, 0, 0) == WARN)
            at = i;
    }
    ck_assert_int_eq(at, fasts[_i].want);
    ck_assert_uint_eq(machine.causes, GOV_CAUSE_STALL);
}
END_TEST

/* Entered by the short window, held and left by the long one. */
START_TEST(the_long_window_holds_what_the_short_one_saw)
{
    for (int i = 0; i < 40; i++)
        stall(100, 0, 0);
    stall(100, 350, 0);
    ck_level(stall(100, 350, 0), WARN); /* 70 ms: 35 permille of 2 s */
    ck_assert_str_eq(machine.reason,
                     "something waited for memory 17.5 % of the last 0.4 s");
    for (int i = 0; i < 17; i++) {
        stall(100, 0, 0);
        ck_assert(!machine.calm);
    }
    for (int i = 0; i < 49;
         i++) /* from when the first half leaves the window */
        stall(100, 0, 0);
    ck_level(machine.level, WARN);
    for (int i = 0; i < 5; i++)
        stall(100, 0, 0);
    ck_level(machine.level, NORMAL);
}
END_TEST

START_TEST(a_stall_before_the_start_is_seen_at_once)
{
    now.have = GOV_HAVE_RECENT;
    now.recent_some_permille = _i == 0 ? 70 : _i == 1 ? 69 : 200;
    if (_i == 2)
        now.have |= GOV_HAVE_SYSTEM_STALL | GOV_HAVE_MACHINE;
    now.machine_total_bytes = now.machine_available_bytes = MIB;
    ck_level(stall(250, 0, 0), _i == 0 ? WARN : NORMAL);
    if (_i == 0)
        ck_assert_str_eq(
            machine.reason,
            "something waited for memory 7.0 % of the last 10.0 s");
    memset(&machine, 0, sizeof(machine));
    now.have = GOV_HAVE_STALL;
    stall(250, 0, 0);
    now.have |= GOV_HAVE_RECENT; /* later samples have a past of their own */
    now.recent_some_permille = 1000;
    ck_level(stall(100, 0, 0), NORMAL);
}
END_TEST

/* ---- how fast headroom goes ---------------------------------------------------- */

/* Three samples, so many ms apart, and permille of 1000 MiB that are left. */
static const struct {
    const char *name;
    uint64_t ms[2], left[3];
    gov_level want;
} fills[] = {
    {"flat", {250, 250}, {400, 400, 400}, NORMAL},
    {"empty in 1.5 s", {100, 100}, {450, 425, 400}, NORMAL}, /* 1.6 s */
    {"empty in less", {100, 100}, {440, 412, 384}, WARN},    /* 1.37 s */
    {"in 0.5 s", {100, 100}, {490, 420, 350}, WARN},
    {"in 0.3 s", {100, 100}, {500, 400, 300}, CRITICAL},
    {"still half", {100, 100}, {900, 700, 501}, NORMAL},
    {"a jump", {100, 100}, {450, 450, 300}, NORMAL},
    {"a jump before", {100, 100}, {450, 300, 300}, NORMAL},
    {"slower by now", {100, 100}, {490, 400, 390}, NORMAL},
    {"growing", {100, 100}, {300, 350, 400}, NORMAL},
    {"two looks at one time", {1, 1}, {500, 400, 300}, NORMAL},
    {"a long time ago", {5001, 100}, {490, 420, 350}, NORMAL},
    {"an hour", {100, 3600000}, {490, 420, 350}, NORMAL},
    {"at 1 Hz", {1000, 1000}, {500, 350, 200}, WARN},
};

START_TEST(memory_that_fills_up_is_a_warning)
{
    headroom(0, fills[_i].left[0]);
    headroom(fills[_i].ms[0], fills[_i].left[1]);
    ck_assert_msg(headroom(fills[_i].ms[1], fills[_i].left[2]) ==
                      fills[_i].want,
                  "%s: %s: %s", fills[_i].name, gov_level_name(machine.level),
                  machine.reason);
    ck_assert_uint_eq(machine.causes,
                      fills[_i].want == NORMAL ? 0 : GOV_CAUSE_FILL);
}
END_TEST

START_TEST(a_rate_of_long_ago_says_nothing_of_now)
{
    rules.warn_fill_ms = 60000;
    headroom(0, 500);
    headroom(_i == 0 ? 5000 : 5001, 400);
    ck_level(headroom(5000, 300), _i == 0 ? WARN : NORMAL);
}
END_TEST

START_TEST(says_how_soon_it_is_full)
{
    headroom(0, 500);
    headroom(100, 450);
    ck_level(headroom(100, 400), WARN);
    ck_assert_str_eq(machine.reason,
                     "the 400 MiB that are left fill up in 0.8 s");
    ck_assert_uint_eq(machine.fill_bytes_per_s, 500 * MIB);
}
END_TEST

START_TEST(a_load_that_was_told_is_no_alarm)
{
    now.have = GOV_HAVE_EXPECTED | GOV_HAVE_OWN;
    now.expected_bytes = 50 * MIB;
    headroom(0, 450);
    headroom(100, 400);
    ck_level(headroom(100, 350), NORMAL);
    now.expected_bytes = 25 * MIB; /* and grows twice as fast as told */
    headroom(100, 300);
    headroom(100, 250);
    ck_level(headroom(100, 200), WARN);
}
END_TEST

/* Until somebody tells what to expect, what this process takes is what it wants:
 * a load is no alarm. What others take is one. */
START_TEST(own_growth_that_nobody_told_of_is_no_alarm)
{
    now.have = GOV_HAVE_OWN;
    headroom(0, 450);
    now.own_footprint_bytes += 50 * MIB;
    headroom(100, 400);
    now.own_footprint_bytes += 50 * MIB;
    ck_level(headroom(100, 350), NORMAL);
    headroom(100, 300);
    ck_level(headroom(100, 250), WARN);
    memset(&machine, 0, sizeof(machine));
    now.have = GOV_HAVE_OWN | GOV_HAVE_EXPECTED; /* told: none */
    headroom(0, 450);
    now.own_footprint_bytes += 50 * MIB;
    headroom(100, 400);
    now.own_footprint_bytes += 50 * MIB;
    ck_level(headroom(100, 350), WARN);
}
END_TEST

START_TEST(another_budget_is_no_growth)
{
    headroom(0, 500);
    headroom(100, 450);
    now.now_ms += 100;
    now.budget_bytes = 900 * MIB;
    now.headroom_bytes = 350 * MIB;
    ck_level(step(), NORMAL);
}
END_TEST

/* A stream of bytes is seen at any pace; samples that come faster than a rate can
 * be told do not hide it. */
START_TEST(any_pace_sees_memory_fill_up)
{
    static const uint64_t pace[] = {1, 10, 33, 80, 100, 250};
    gov_level level = NORMAL;
    uint64_t left = 500;

    for (int i = 0; i < 3000; i++)
        headroom(1, 500);
    while (level == NORMAL && left > 200) {
        left -= pace[_i] > left ? left : pace[_i] / 2 + (pace[_i] == 1);
        level = headroom(pace[_i], left);
    }
    ck_assert_msg(left > 120, "only at %d", (int)left);
    ck_assert_uint_eq(machine.causes, GOV_CAUSE_FILL);
}
END_TEST

/* ---- lost and read again ------------------------------------------------------- */

/* What happens in a second: refaults of the group or of the system; own faults,
 * what they read, what of it stayed. 1000 MiB of file pages are resident. */
static const struct {
    const char *name;
    bool system, own, reads;
    uint64_t refaults, faults, read, stayed, streamed, expected;
    gov_level want;
} thrashes[] = {
    {"the own group", false, true, false, 10, 0, 0, 0, 0, 0, WARN},
    {"less than a hundredth", false, true, false, 9, 0, 0, 0, 0, 0, NORMAL},
    {"of nobody knows what", false, false, true, 99, 999, 99, 0, 0, 0, NORMAL},
    {"the system and ourselves", true, true, true, 99, 999, 99, 0, 0, 0, WARN},
    {"a scan of somebody else's", true, true, true, 999, 0, 0, 0, 0, 0, NORMAL},
    {"he scans and we fault little", true, true, true, 999, 72, 99, 0, 0, 0,
     NORMAL},
    {"he scans and we load", true, true, true, 999, 999, 99, 90, 0, 0, NORMAL},
    {"he scans and we stream", true, true, true, 999, 999, 99, 0, 90, 0,
     NORMAL},
    {"he scans and we read files", true, true, true, 999, 0, 99, 0, 0, 0,
     NORMAL},
    {"a load was told", true, true, true, 99, 999, 99, 0, 0, 1, NORMAL},
    {"a load of what another group lost", false, true, true, 99, 999, 99, 0, 0,
     1, NORMAL},
    {"we read what nobody lost", true, true, true, 0, 999, 99, 0, 0, 0, NORMAL},
    {"reads unknown", true, true, false, 99, 999, 0, 0, 0, 0, NORMAL},
};

static void thrash(int i, uint64_t ms)
{
    now.have |= GOV_HAVE_REFAULT |
                (thrashes[i].system ? GOV_HAVE_SYSTEM_REFAULT : 0) |
                (thrashes[i].own ? GOV_HAVE_OWN : 0) |
                (thrashes[i].reads ? GOV_HAVE_OWN_READS : 0);
    now.now_ms += ms;
    now.refault_bytes += thrashes[i].refaults * MIB * ms / 1000;
    now.own_major_faults += thrashes[i].faults * ms / 1000;
    now.own_read_bytes += thrashes[i].read * MIB * ms / 1000;
    now.own_resident_file_bytes += thrashes[i].stayed * MIB * ms / 1000;
    now.streamed_bytes += thrashes[i].streamed * MIB * ms / 1000;
    now.have |= GOV_HAVE_EXPECTED;
    now.expected_bytes = thrashes[i].expected;
    step();
}

START_TEST(thrashing_is_a_warning_within_a_second)
{
    static const uint64_t pace[] = {100, 250, 1000};

    for (size_t p = 0; p < 3; p++) {
        set_up();
        now.own_resident_file_bytes = 1000 * MIB;
        thrash(_i, 0);
        for (uint64_t ms = 0; ms < 1000; ms += pace[p])
            thrash(_i, pace[p]);
        ck_assert_msg(machine.level == thrashes[_i].want, "%s: %s: %s",
                      thrashes[_i].name, gov_level_name(machine.level),
                      machine.reason);
    }
}
END_TEST

START_TEST(says_what_was_read_again)
{
    now.own_resident_file_bytes = 1000 * MIB;
    thrash(0, 0);
    thrash(0, 999);
    ck_level(machine.level, NORMAL); /* not a whole second's worth */
    thrash(0, 1001);
    ck_level(machine.level, WARN);
    ck_assert_uint_eq(machine.causes, GOV_CAUSE_REFAULT);
    ck_assert_str_eq(machine.reason, "10 MiB of file pages were lost and read "
                                     "again within 1.0 s");
}
END_TEST

/* Held at half of what it is entered at, and then left after calm. */
START_TEST(thrashing_ends)
{
    now.own_resident_file_bytes = 1000 * MIB;
    for (int i = 0; i < 12; i++)
        thrash(0, 100);
    ck_level(machine.level, WARN);
    for (int i = 0; i < 100; i++) {
        now.refault_bytes += 6 * MIB / 10;
        now.now_ms += 100;
        ck_level(step(), WARN);
    }
    for (int i = 0; i < 62; i++) {
        now.refault_bytes += 4 * MIB / 10;
        now.now_ms += 100;
        step();
    }
    ck_level(machine.level, NORMAL);
}
END_TEST

START_TEST(a_process_with_few_file_pages_does_not_thrash)
{
    now.own_resident_file_bytes = MIB;
    now.have = GOV_HAVE_REFAULT | GOV_HAVE_OWN;
    step();
    for (int i = 0; i < 40; i++) {
        now.now_ms += 250;
        now.refault_bytes += MIB - 1;
        ck_level(step(), NORMAL);
    }
    now.now_ms += 250;
    now.refault_bytes += 4 * MIB;
    ck_level(step(), WARN);
}
END_TEST

/* Each of them: a total that shrank leads nowhere. */
START_TEST(refaults_that_run_backwards_invent_nothing)
{
    uint64_t *total[] = {&now.refault_bytes, &now.own_major_faults,
                         &now.own_read_bytes, &now.streamed_bytes};

    for (int i = 0; i < 4; i++)
        *total[i] = 999 * MIB;
    now.have = GOV_HAVE_REFAULT | GOV_HAVE_SYSTEM_REFAULT | GOV_HAVE_OWN |
               GOV_HAVE_OWN_READS;
    step();
    now.now_ms += 1000;
    for (int i = 0; i < 4; i++)
        *total[i] += 100 * MIB;
    now.streamed_bytes -= 99 * MIB;
    *total[_i] = 5;
    ck_level(step(), NORMAL);
}
END_TEST

/* ---- what the system says, limits ---------------------------------------------- */

START_TEST(the_system_is_believed)
{
    now.have = GOV_HAVE_OS_LEVEL;
    ck_level(step(), NORMAL);
    now.os_level = (gov_level)99;
    ck_level(step(), WARN);
    ck_assert_str_eq(machine.reason, "the system says so");
    now.os_level = CRITICAL;
    ck_level(step(), CRITICAL);
    ck_assert_uint_eq(machine.causes, GOV_CAUSE_OS);
    now.os_level = NORMAL;
    for (int i = 0; i < 3; i++) {
        now.now_ms += 5000;
        step();
    }
    ck_level(machine.level, NORMAL);
}
END_TEST

/* A group full of file pages runs into its limit all the time. */
START_TEST(a_limit_alone_is_no_pressure)
{
    now.have = GOV_HAVE_LIMIT_HITS;
    for (int i = 0; i < 20; i++) {
        now.limit_hits += 1000;
        ck_level(headroom(250, 500), NORMAL);
        ck_assert_uint_eq(machine.causes, 0);
    }
    now.limit_hits++;
    headroom(250, 100);
    ck_assert_uint_eq(machine.causes, GOV_CAUSE_HEADROOM | GOV_CAUSE_LIMIT);
    headroom(250, 100);
    ck_assert_uint_eq(machine.causes, GOV_CAUSE_HEADROOM);
}
END_TEST

/* ---- enough for what cannot be undone ------------------------------------------ */

START_TEST(one_look_at_one_counter_is_not_enough)
{
    ck_level(headroom(250, 40), CRITICAL);
    ck_assert(!machine.corroborated);
    for (int i = 0; i < 10; i++) {
        headroom(250, 40);
        ck_assert(!machine.corroborated);
    }
    /* Relief gave what it could, and it is as it was. */
    gov_level_relieved(&machine);
    ck_assert(!machine.corroborated);
    headroom(250, 40);
    ck_assert(machine.corroborated);
    headroom(250, 40);
    ck_assert(machine.corroborated);
    headroom(250, 90); /* and as soon as it is not, that is over */
    ck_assert(!machine.corroborated);
    ck_level(machine.level, CRITICAL);
    gov_level_relieved(&machine); /* calm: nothing to be relieved of */
    headroom(250, 40);
    ck_assert(!machine.corroborated);
}
END_TEST

START_TEST(relief_before_says_nothing_of_after)
{
    headroom(250, 100);
    gov_level_relieved(&machine);
    ck_level(headroom(250, 40), CRITICAL);
    ck_assert(!machine.corroborated);
    gov_level_relieved(&machine);
    now.have = 0; /* nobody knows what is now */
    now.now_ms += 250;
    step();
    ck_assert(!machine.corroborated);
    headroom(250, 40);
    ck_assert(!machine.corroborated);
}
END_TEST

/* Headroom and the rate at which it goes are one counter. */
START_TEST(two_causes_are_enough)
{
    headroom(0, 90);
    headroom(100, 60);
    ck_level(headroom(100, 30), CRITICAL);
    ck_assert_uint_eq(machine.causes, GOV_CAUSE_HEADROOM | GOV_CAUSE_FILL);
    ck_assert(!machine.corroborated);
    now.have |= GOV_HAVE_LIMIT_HITS;
    headroom(100, 30);
    now.limit_hits++;
    headroom(100, 30);
    ck_assert(machine.corroborated);
    memset(&machine, 0, sizeof(machine));
    now.have = GOV_HAVE_HEADROOM;
    stall(0, 0, 0);
    ck_level(stall(250, 500, 500), CRITICAL);
    ck_assert_uint_eq(machine.causes, GOV_CAUSE_STALL | GOV_CAUSE_HEADROOM);
    ck_assert(machine.corroborated);
}
END_TEST

START_TEST(a_simulator_is_enough)
{
    simulate(250, WARN);
    ck_assert(!machine.corroborated);
    simulate(250, CRITICAL);
    ck_assert(machine.corroborated);
    gov_level_relieved(&machine);
    now.have &= ~(uint32_t)GOV_HAVE_SIMULATED;
    ck_level(headroom(250, 40), CRITICAL);
    ck_assert(!machine.corroborated);
}
END_TEST

/* ---- how soon to look again ---------------------------------------------------- */

START_TEST(looks_often_when_little_is_left)
{
    static const struct {
        uint64_t left;
        uint32_t want;
    } flat[] = {{1000, 1000}, {500, 1000}, {499, 997}, {330, 550},
                {162, 105},   {160, 100},  {130, 100}};

    for (size_t i = 0; i < sizeof(flat) / sizeof(flat[0]); i++) {
        memset(&machine, 0, sizeof(machine));
        ck_level(headroom(250, flat[i].left), NORMAL);
        ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now),
                          flat[i].want);
    }
    headroom(250, 120);
    ck_level(headroom(250, 900), WARN);
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 100);
}
END_TEST

START_TEST(looks_often_when_it_goes_fast)
{
    headroom(0, 900);
    headroom(1000, 899); /* 779 s to WARN */
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 1000);
    headroom(1000, 599); /* 479 MiB at 300 a second: 1.6 s, four looks in it */
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 399);
    headroom(1000, 799); /* and when it comes back, at leisure again */
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 1000);
    headroom(100, 599);
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 100);
    now.have |= GOV_HAVE_OWN; /* also where that was expected */
    headroom(1000, 899);
    now.own_footprint_bytes += 300 * MIB;
    headroom(1000, 599);
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 399);
}
END_TEST

START_TEST(looks_often_when_something_stirs)
{
    headroom(0, 900);
    for (int i = 0; i < 10; i++)
        stall(1000, 9, 0);
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 1000);
    ck_level(stall(1000, 10, 0), NORMAL);
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 100);
    now.have |= GOV_HAVE_SYSTEM_STALL | GOV_HAVE_MACHINE; /* somebody else's */
    now.machine_total_bytes = now.machine_available_bytes = MIB;
    stall(1000, 500, 0);
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 1000);
    now.have |= GOV_HAVE_REFAULT | GOV_HAVE_OWN;
    stall(1000, 0, 0);
    now.refault_bytes += MIB - 1;
    stall(1000, 0, 0);
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 1000);
    now.refault_bytes += MIB;
    ck_level(stall(1000, 0, 0), NORMAL);
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 100);
}
END_TEST

START_TEST(looks_as_often_as_rules_allow)
{
    stall(1000, 0, 0); /* headroom is unknown */
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 250);
    rules.idle_ms = 200;
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 200);
    rules.alert_ms = 300; /* the wrong way round: never faster than alert */
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 300);
    headroom(250, 900);
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 300);
    rules.alert_ms = rules.idle_ms = 0; /* rules of an older version */
    ck_assert_uint_eq(gov_level_look_ms(&machine, &rules, &now), 100);
}
END_TEST

/* ---- simulated ------------------------------------------------------------------ */

START_TEST(a_simulated_level_replaces_the_evidence)
{
    static const int levels[][2] = {{0, NORMAL},     {49, NORMAL},
                                    {50, WARN},      {99, WARN},
                                    {100, CRITICAL}, {99999, CRITICAL}};

    headroom(0, 0);
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        ck_assert_int_eq(simulate(1, (gov_level)levels[i][0]), levels[i][1]);
        ck_assert(!machine.calm);
    }
}
END_TEST

START_TEST(after_a_simulation_evidence_is_judged_from_normal)
{
    for (int i = 0; i < 8; i++)
        stall(250, 0, 0);
    simulate(250, CRITICAL);
    now.have &= ~(uint32_t)GOV_HAVE_SIMULATED;
    ck_level(stall(250, 0, 0), NORMAL);
    simulate(250, NORMAL);
    for (int i = 0; i < 8; i++)
        ck_level(stall(250, 100, 0), NORMAL);
    /* The stall was seen all along. */
    now.have &= ~(uint32_t)GOV_HAVE_SIMULATED;
    ck_level(stall(1, 0, 0), WARN);
}
END_TEST

/* ---- what is wanted ---------------------------------------------------------------- */

static const struct {
    gov_level level;
    uint32_t have;
    uint64_t headroom, budget, want;
} wants[] = {
    {WARN, GOV_HAVE_HEADROOM, 0, 1000, 161},
    {WARN, GOV_HAVE_HEADROOM, 100, 1000, 61},
    {WARN, GOV_HAVE_HEADROOM, 160, 1000, 1},
    {WARN, GOV_HAVE_HEADROOM, 161, 1000, 0},
    {WARN, GOV_HAVE_HEADROOM, UINT64_MAX, 1000, 0},
    {CRITICAL, GOV_HAVE_HEADROOM, 0, 1000, 81},
    {CRITICAL, GOV_HAVE_HEADROOM, 81, 1000, 0},
    {CRITICAL, GOV_HAVE_HEADROOM, 0, 1001, 162},
    {NORMAL, GOV_HAVE_HEADROOM, 0, 1000, 0},
    {WARN, GOV_HAVE_HEADROOM, 0, 0, 0},
    {WARN, GOV_HAVE_STALL, 0, 1000, 0},
    {WARN, GOV_HAVE_HEADROOM | GOV_HAVE_SIMULATED, 0, 1000, 0},
    {WARN, GOV_HAVE_HEADROOM, 0, UINT64_MAX, UINT64_C(2969925795867237872)},
};

START_TEST(wants_what_headroom_lacks)
{
    now = (struct gov_evidence){.have = wants[_i].have,
                                .headroom_bytes = wants[_i].headroom,
                                .budget_bytes = wants[_i].budget};
    ck_assert_uint_eq(gov_level_wanted(&rules, wants[_i].level, &now),
                      wants[_i].want);
}
END_TEST

START_TEST(a_rule_beyond_reason_wants_everything)
{
    now = (struct gov_evidence){.have = GOV_HAVE_HEADROOM,
                                .headroom_bytes = 1,
                                .budget_bytes = UINT64_MAX};
    rules.warn_headroom_exit_permille = UINT32_MAX;
    ck_assert_uint_eq(gov_level_wanted(&rules, WARN, &now), UINT64_MAX - 1);
}
END_TEST

/* Given back what was wanted, the level lets go; one byte less and it stays. */
START_TEST(what_is_wanted_is_enough)
{
    for (uint64_t budget = 1000; budget < 9000000; budget = budget * 3 + 7) {
        memset(&machine, 0, sizeof(machine));
        now = (struct gov_evidence){.have = GOV_HAVE_HEADROOM,
                                    .budget_bytes = budget};
        ck_level(step(), CRITICAL);
        now.headroom_bytes = gov_level_wanted(&rules, CRITICAL, &now) - 1;
        step();
        ck_assert(!machine.calm);
        now.headroom_bytes++;
        step();
        ck_assert(machine.calm);
    }
}
END_TEST

/* ---- figures that no checked policy has -------------------------------------------- */

START_TEST(no_stall_is_no_pressure_whatever_the_threshold)
{
    rules.warn_some_permille = rules.warn_some_exit_permille = 0;
    rules.critical_full_permille = rules.critical_full_exit_permille = 0;
    for (int i = 0; i < 20; i++)
        ck_level(stall(250, 0, 0), NORMAL);
    ck_level(stall(250, 9, 0), WARN); /* 1 permille of 2 s */
    ck_level(stall(250, 9, 9), CRITICAL);
    for (int i = 0; i < 80; i++)
        stall(250, 0, 0);
    ck_level(machine.level, NORMAL);
}
END_TEST

/* Who leaves a level sooner than he enters it would come and go. */
START_TEST(thresholds_the_wrong_way_round_do_not_flap)
{
    rules.warn_headroom_exit_permille = 100; /* entered at 120 */
    rules.warn_some_exit_permille = 90;      /* entered at 70 */
    ck_level(headroom(250, 110), WARN);
    for (int i = 0; i < 100; i++)
        ck_level(headroom(250, 110), WARN);
    ck_assert_uint_eq(gov_level_wanted(&rules, WARN, &now), 11 * MIB);
    now.have = 0;
    for (int i = 0; i < 100; i++)
        ck_level(stall(250, 80, 0), WARN);
    for (int i = 0; i < 100; i++)
        stall(250, 60, 0);
    ck_level(machine.level, NORMAL);
}
END_TEST

/* ---- properties --------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t random_bits(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Small, huge, or a step from where it was. */
static uint64_t random_total(uint64_t before)
{
    switch (random_bits() % 8) {
    case 0:
        return random_bits();
    case 1:
        return UINT64_MAX - random_bits() % 3;
    case 2:
        return 0;
    default:
        return before + random_bits() % 400000;
    }
}

static void random_evidence(void)
{
    now.have = (uint32_t)(random_bits() & 3);
    if (random_bits() % 2 == 0)
        now.have |= (uint32_t)random_bits() & 0x1FF8;
    if (random_bits() % 64 == 0)
        now.have |= GOV_HAVE_SIMULATED;
    now.simulated_level = (gov_level)(int)(random_bits() % 200);
    now.now_ms = random_bits() % 50 == 0 ? random_bits()
                                         : now.now_ms + random_bits() % 1500;
    now.memory_some_us = random_total(now.memory_some_us);
    now.memory_full_us = random_total(now.memory_full_us);
    now.budget_bytes = random_total(now.budget_bytes);
    now.headroom_bytes =
        random_bits() % 4 == 0 ? random_bits() : now.budget_bytes / 2;
    now.refault_bytes = random_total(now.refault_bytes);
    now.own_major_faults = random_total(now.own_major_faults);
    now.own_resident_file_bytes = random_total(now.own_resident_file_bytes);
    now.own_read_bytes = random_total(now.own_read_bytes);
    now.streamed_bytes = random_bits() % 4 == 0 ? random_bits() : 0;
    now.limit_hits = random_total(now.limit_hits);
    now.machine_available_bytes = random_bits() >> random_bits() % 64;
    now.machine_total_bytes = random_bits() >> random_bits() % 64;
    now.os_level = (gov_level)(int)(random_bits() % 150);
    now.recent_some_permille = (uint32_t)random_bits() % 2000;
    now.own_footprint_bytes = random_total(now.own_footprint_bytes);
    now.expected_bytes = random_bits() % 4 == 0 ? random_bits() : 0;
}

/* At both ends of what they can be, and the wrong way round. */
static void random_rules(void)
{
    uint32_t *figure = (uint32_t *)&rules;

    for (size_t i = 0; i < sizeof(rules) / sizeof(*figure); i++)
        figure[i] = random_bits() % 8 == 0   ? UINT32_MAX
                    : random_bits() % 8 == 0 ? 0
                                             : (uint32_t)random_bits() % 1100;
}

static bool speaks(const struct gov_evidence *evidence)
{
    return (evidence->have &
            (GOV_HAVE_STALL | GOV_HAVE_OS_LEVEL | GOV_HAVE_REFAULT)) != 0 ||
           ((evidence->have & GOV_HAVE_HEADROOM) != 0 &&
            evidence->budget_bytes != 0);
}

/* With the shipped rules and with others: one level at a time down, after calm;
 * up never without evidence. */
START_TEST(property)
{
    struct gov_level_machine twin;
    uint64_t changed_ms = 0;
    gov_level before = NORMAL;
    bool simulated = false;

    seed = 88172645463325252U + (uint64_t)_i;
    if (_i >= 4)
        random_rules();
    for (int n = 0; n < 20000; n++) {
        uint64_t last_ms = now.now_ms;
        gov_level level;

        random_evidence();
        twin = machine;
        level = step();
        ck_assert(level == NORMAL || level == WARN || level == CRITICAL);
        ck_assert(level == machine.level);
        /* The same evidence gives the same. */
        gov_level_step(&twin, &rules, &now);
        ck_assert_mem_eq(&twin, &machine, sizeof(twin));
        ck_assert(memchr(machine.reason, '\0', sizeof(machine.reason)) != NULL);
        ck_assert(machine.reason[0] != '\0');
        ck_assert(!machine.corroborated || level == CRITICAL);
        if (random_bits() % 4 == 0)
            gov_level_relieved(&machine);
        ck_assert_uint_gt(gov_level_look_ms(&machine, &rules, &now), 0);
        if (_i < 4) {
            ck_assert_uint_ge(gov_level_look_ms(&machine, &rules, &now), 100);
            ck_assert_uint_le(gov_level_look_ms(&machine, &rules, &now), 1000);
        }
        if ((now.have & GOV_HAVE_SIMULATED) != 0) {
            simulated = true;
            before = level;
            continue;
        }
        ck_assert(speaks(&now) || level <= before);
        /* A simulation ends as it likes; evidence falls slowly. */
        if (!simulated && level < before) {
            ck_assert(before == CRITICAL ? level == WARN : level == NORMAL);
            ck_assert(now.now_ms >= last_ms);
            ck_assert_uint_ge(now.now_ms - changed_ms, rules.calm_ms);
        }
        if (now.now_ms < last_ms || level != before || simulated)
            changed_ms = now.now_ms;
        before = level;
        simulated = false;
    }
}
END_TEST

/* An hour beside somebody who thrashes in a cgroup of his own and scans the disk,
 * while this process takes and gives memory, loads files and streams weights: no
 * event at all, and nothing that wants a closer look for what he does. */
START_TEST(a_neighbour_is_no_event)
{
    seed = 777767777U + (uint64_t)_i;
    now.have = GOV_HAVE_STALL | GOV_HAVE_SYSTEM_STALL | GOV_HAVE_HEADROOM |
               GOV_HAVE_REFAULT | GOV_HAVE_SYSTEM_REFAULT | GOV_HAVE_OWN |
               GOV_HAVE_OWN_READS | GOV_HAVE_LIMIT_HITS | GOV_HAVE_MACHINE;
    now.budget_bytes = 1000 * MIB;
    now.machine_total_bytes = 1000 * MIB;
    for (int n = 0; n < 3600 * 4; n++) {
        const uint64_t ms = 100 + random_bits() % 300;
        /* Who unmaps a file while he loads another one has to tell of the load. */
        const uint64_t kept = n % 100 < 50 ? random_bits() % 100 : 0;
        const uint64_t streamed = random_bits() % 500;

        now.now_ms += ms;
        now.memory_some_us += random_bits() % (ms * 1000);
        now.memory_full_us += random_bits() % (ms * 900);
        now.refault_bytes += random_bits() % (1000 * MIB);
        now.limit_hits += random_bits() % 1000;
        now.machine_available_bytes = (260 + random_bits() % 700) * MIB;
        now.own_footprint_bytes = random_bits() % 830 * MIB;
        now.headroom_bytes = 1000 * MIB - now.own_footprint_bytes;
        now.own_resident_file_bytes += kept * MIB;
        now.own_read_bytes += (kept + streamed) * MIB;
        now.streamed_bytes += streamed * MIB;
        now.own_major_faults += random_bits() % 10000;
        if (n % 100 == 75)
            now.own_resident_file_bytes /= 2;
        ck_assert_msg(step() == NORMAL, "sample %d: %s", n, machine.reason);
        ck_assert(!machine.stirring);
    }
}
END_TEST

/* From the alert pace, whatever the moment and the share of the stall: WARN at the
 * first look after it had 70 ms. */
START_TEST(a_stall_is_a_warning_at_the_next_look)
{
    for (uint64_t share = 200; share <= 1000; share += 50)
        for (uint64_t onset = 0; onset < 100; onset += 7) {
            uint64_t ms = 0;

            set_up();
            for (int i = 0; i < 30; i++)
                stall(100, 0, 0);
            for (now.memory_some_us += onset * share;
                 stall(100, 0, 0) == NORMAL; ms += 100)
                now.memory_some_us += 100 * share;
            ck_assert_uint_le(ms + onset, 70 * 1000 / share + 1 + 100);
        }
}
END_TEST

/* Unlike the default, and at both ends of what they can be. */
START_TEST(any_rules_are_survived)
{
    seed = 424242U + (uint64_t)_i;
    for (int n = 0; n < 2000; n++) {
        random_rules();
        for (int i = 0; i < 20; i++) {
            random_evidence();
            step();
        }
    }
}
END_TEST

/* What lacks its bit is not looked at, now or later: two machines that see the same
 * but for that judge the same. */
START_TEST(a_decision_depends_on_what_is_known)
{
    struct gov_level_machine twin = machine;

    seed = 1234567U + (uint64_t)_i;
    for (int n = 0; n < 20000; n++) {
        struct gov_evidence other;

        if (n % 500 == 0 && _i >= 2)
            random_rules();
        random_evidence();
        other = now;
        if ((now.have & GOV_HAVE_STALL) == 0) {
            other.memory_some_us = random_bits();
            other.memory_full_us = random_bits();
        }
        if ((now.have & GOV_HAVE_HEADROOM) == 0) {
            other.headroom_bytes = random_bits();
            other.budget_bytes = random_bits();
        }
        if ((now.have & GOV_HAVE_SIMULATED) == 0)
            other.simulated_level = CRITICAL;
        if ((now.have & GOV_HAVE_REFAULT) == 0)
            other.refault_bytes = random_bits();
        if ((now.have & GOV_HAVE_OWN) == 0) {
            other.own_footprint_bytes = random_bits();
            other.own_major_faults = random_bits();
            other.own_resident_file_bytes = random_bits();
        }
        if ((now.have & GOV_HAVE_OWN_READS) == 0)
            other.own_read_bytes = random_bits();
        if ((now.have & GOV_HAVE_LIMIT_HITS) == 0)
            other.limit_hits = random_bits();
        if ((now.have & GOV_HAVE_MACHINE) == 0) {
            other.machine_available_bytes = random_bits();
            other.machine_total_bytes = random_bits();
        }
        if ((now.have & GOV_HAVE_OS_LEVEL) == 0)
            other.os_level = CRITICAL;
        if ((now.have & GOV_HAVE_EXPECTED) == 0)
            other.expected_bytes = random_bits();
        if ((now.have & GOV_HAVE_RECENT) == 0)
            other.recent_some_permille = 1000;
        step();
        gov_level_step(&twin, &rules, &other);
        ck_assert_int_eq(twin.level, machine.level);
        ck_assert(twin.calm == machine.calm);
        ck_assert_uint_eq(twin.causes, machine.causes);
        ck_assert(twin.corroborated == machine.corroborated);
        ck_assert_uint_eq(gov_level_look_ms(&twin, &rules, &other),
                          gov_level_look_ms(&machine, &rules, &now));
        ck_assert_str_eq(twin.reason, machine.reason);
    }
}
END_TEST

/* Whatever the rules: evidence that stays as it is settles the level, and once
 * that is all that was asked, headroom that speaks for it says how much more. */
START_TEST(the_same_evidence_settles)
{
    seed = 987654321U + (uint64_t)_i;
    for (int n = 0; n < 300; n++) {
        const uint64_t some = random_bits() % 300, full = random_bits() % 300;
        const uint64_t left = random_bits() % 1001;
        int changes = 0;

        set_up();
        random_rules();
        rules.calm_ms %= 1100;
        headroom(250, random_bits() % 1001);
        stall(250, 300, 300);
        for (int i = 0; i < 60; i++)
            stall(250, some, full);
        for (int i = 0; i < 200; i++) {
            gov_level before = machine.level;

            now.headroom_bytes = left * MIB;
            changes += stall(250, some, full) != before;
        }
        ck_assert_int_le(changes, 2);
        memset(&machine, 0, sizeof(machine));
        now.have = 0;
        headroom(250, left);
        headroom(250, left);
        ck_assert(machine.calm || machine.level == NORMAL ||
                  gov_level_wanted(&rules, machine.level, &now) > 0);
    }
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *suite(void)
{
    Suite *s = suite_create("level");
    TCase *look = tcase_create("one look"), *time = tcase_create("over time"),
          *odd = tcase_create("missing or odd"), *any = tcase_create("any");
    TCase *all[] = {look, time, odd, any};

    for (size_t i = 0; i < 4; i++) {
        tcase_add_checked_fixture(all[i], set_up, NULL);
        suite_add_tcase(s, all[i]);
    }
    tcase_add_loop_test(look, crosses_at_the_threshold, 0, ROWS(thresholds));
    tcase_add_test(look, says_why);
    tcase_add_test(look, names);
    tcase_add_loop_test(look, wants_what_headroom_lacks, 0, ROWS(wants));
    tcase_add_test(look, a_rule_beyond_reason_wants_everything);
    tcase_add_test(look, what_is_wanted_is_enough);
    tcase_add_test(time, rises_at_once);
    tcase_add_test(time, the_first_sample_may_rise_already);
    tcase_add_test(time, totals_at_the_first_sample_say_nothing);
    tcase_add_test(time, falls_one_level_at_a_time);
    tcase_add_test(time, calm_that_is_interrupted_starts_again);
    tcase_add_test(time, a_sawtooth_is_bounded);
    tcase_add_test(time, a_short_span_says_nothing);
    tcase_add_test(time, an_old_stall_leaves_the_window);
    tcase_add_loop_test(time, any_pace_of_samples_sees_a_stall, 0, 12);
    tcase_add_test(time, a_fast_pace_still_smooths_over_the_window);
    tcase_add_test(time, a_narrow_window_still_sees);
    tcase_add_loop_test(time, a_short_large_stall_is_seen_early, 0,
                        ROWS(fasts));
    tcase_add_test(time, the_long_window_holds_what_the_short_one_saw);
    tcase_add_loop_test(time, a_stall_before_the_start_is_seen_at_once, 0, 3);
    tcase_add_loop_test(time, memory_that_fills_up_is_a_warning, 0,
                        ROWS(fills));
    tcase_add_loop_test(time, a_rate_of_long_ago_says_nothing_of_now, 0, 2);
    tcase_add_test(time, says_how_soon_it_is_full);
    tcase_add_test(time, a_load_that_was_told_is_no_alarm);
    tcase_add_test(time, own_growth_that_nobody_told_of_is_no_alarm);
    tcase_add_test(time, another_budget_is_no_growth);
    tcase_add_loop_test(time, any_pace_sees_memory_fill_up, 0, 6);
    tcase_add_loop_test(time, thrashing_is_a_warning_within_a_second, 0,
                        ROWS(thrashes));
    tcase_add_test(time, says_what_was_read_again);
    tcase_add_test(time, thrashing_ends);
    tcase_add_test(time, a_process_with_few_file_pages_does_not_thrash);
    tcase_add_loop_test(odd, refaults_that_run_backwards_invent_nothing, 0, 4);
    tcase_add_test(look, the_system_is_believed);
    tcase_add_test(look, a_limit_alone_is_no_pressure);
    tcase_add_test(look, one_look_at_one_counter_is_not_enough);
    tcase_add_test(look, relief_before_says_nothing_of_after);
    tcase_add_test(look, two_causes_are_enough);
    tcase_add_test(look, a_simulator_is_enough);
    tcase_add_test(look, looks_often_when_little_is_left);
    tcase_add_test(look, looks_often_when_it_goes_fast);
    tcase_add_test(look, looks_often_when_something_stirs);
    tcase_add_test(look, looks_as_often_as_rules_allow);
    tcase_add_loop_test(odd, a_stall_of_others_counts_when_memory_is_short, 0,
                        (int)(sizeof(others) / sizeof(others[0])));
    tcase_add_test(odd, missing_evidence_is_not_calm);
    tcase_add_test(odd, members_without_their_bit_are_not_read);
    tcase_add_test(odd, totals_that_went_missing_start_a_new_window);
    tcase_add_loop_test(odd, totals_that_run_backwards_start_a_new_window, 0,
                        3);
    tcase_add_test(odd, totals_from_before_are_forgotten);
    tcase_add_test(odd, times_from_before_are_forgotten);
    tcase_add_test(odd, more_than_all_of_the_time_is_all_of_it);
    tcase_add_test(odd, totals_that_run_backwards_unseen_invent_nothing);
    tcase_add_test(odd, a_clock_that_runs_backwards_starts_again);
    tcase_add_test(odd, a_clock_that_runs_backwards_a_little_is_seen);
    tcase_add_test(odd, a_simulated_level_replaces_the_evidence);
    tcase_add_test(odd, after_a_simulation_evidence_is_judged_from_normal);
    tcase_add_loop_test(any, property, 0, 8);
    tcase_add_test(odd, no_stall_is_no_pressure_whatever_the_threshold);
    tcase_add_test(odd, thresholds_the_wrong_way_round_do_not_flap);
    tcase_add_loop_test(any, a_decision_depends_on_what_is_known, 0, 4);
    tcase_add_loop_test(any, the_same_evidence_settles, 0, 4);
    tcase_add_loop_test(any, a_neighbour_is_no_event, 0, 4);
    tcase_add_test(any, a_stall_is_a_warning_at_the_next_look);
    tcase_add_loop_test(any, any_rules_are_survived, 0, 2);
    return s;
}
