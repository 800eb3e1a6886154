/* SPDX-License-Identifier: MIT */
/* Replay. The proof that a policy's own doing is taken out of a trace: a small
 * machine with a demand of its own is run under one policy and recorded, and what
 * a replay of that trace says of another policy is what the machine does under
 * that one. Then prices, the figures that come out, and events that are lies. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/pressure/replay_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define NORMAL GOV_LEVEL_NORMAL
#define WARN GOV_LEVEL_WARN
#define CRITICAL GOV_LEVEL_CRITICAL
#define MIB ((uint64_t)1 << 20)

static uint64_t seed;

static uint64_t dice(uint64_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % sides;
}

struct rules {
    struct gov_level_rules levels;
    struct gov_relief_rules relief;
};

/* ---- a machine -------------------------------------------------------------- */

#define ACTIONS 5
#define SAMPLES 900
#define LINES 4000
#define TURN 8

static const struct {
    const char *name;
    gov_level from_level;
    uint32_t rebuild_cost, yield_ppm;
    uint64_t took_us;
    bool regrows, leaves;
} actions[ACTIONS] = {
    {"kv.unused", WARN, 0, 1000000, 1700, false, false},
    {"cache.prompts", WARN, 2, 871234, 90000, true, true},
    {"heap.purge", WARN, 1, 333333, 12345, false, false},
    {"kv.idle", CRITICAL, 7, 1000000, 400000, true, true},
    {"cache.pages", WARN, 4, 750000, 10, true, false},
};

/* What happens, whatever is given back. */
struct moment {
    uint64_t now_ms, some_us, full_us;
    uint32_t have;
    gov_level simulated;
    uint64_t budget, other; /* what no action holds */
    uint64_t hold[ACTIONS]; /* with nothing given back */
    bool there[ACTIONS];
};

static struct moment world[SAMPLES];

/* What came of it. */
struct told {
    size_t count;
    char line[LINES][200];
    gov_level level[SAMPLES];
};

struct trace {
    size_t count;
    struct gov_replay_event event[LINES];
};

struct machine {
    const struct rules *rules;
    struct gov_level_machine levels;
    struct gov_regrow regrow;
    uint64_t given[ACTIONS], rest_until_ms[ACTIONS];
    bool gave[ACTIONS];
    struct told *told;
    struct trace *trace; /* NULL: not recorded */
};

static void note(void *ctx, uint64_t at_ms, gov_level level,
                 const char *sentence)
{
    struct told *told = ctx;

    ck_assert_uint_lt(told->count, LINES);
    snprintf(told->line[told->count++], sizeof(told->line[0]),
             "%" PRIu64 " %s %s", at_ms, gov_level_name(level), sentence);
}

static struct gov_replay_event *
record(struct machine *m, enum gov_replay_kind kind, uint64_t now_ms)
{
    static struct gov_replay_event nowhere;
    struct gov_replay_event *event = &nowhere;

    if (m->trace != NULL) {
        ck_assert_uint_lt(m->trace->count, LINES);
        event = &m->trace->event[m->trace->count++];
    }
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    event->evidence.now_ms = now_ms;
    return event;
}

static const struct gov_ladder_step *step_of(const struct machine *m, int i)
{
    static const struct gov_ladder_step nothing;
    uint32_t place = gov_ladder_place(&m->rules->relief, actions[i].name);

    return place < m->rules->relief.count ? &m->rules->relief.step[place]
                                          : &nothing;
}

static uint64_t offer(const struct machine *m, const struct moment *now, int i)
{
    uint64_t floor = actions[i].leaves ? step_of(m, i)->floor_bytes : 0;
    uint64_t gone = m->given[i] + floor;

    return now->there[i] && now->hold[i] > gone ? now->hold[i] - gone : 0;
}

/* The sample, as the governor of this machine sees it. */
static struct gov_evidence look(const struct machine *m,
                                const struct moment *now)
{
    uint64_t footprint = now->other;

    for (int i = 0; i < ACTIONS; i++)
        if (now->there[i])
            footprint += now->hold[i] - m->given[i];
    return (struct gov_evidence){
        .now_ms = now->now_ms,
        .have = now->have,
        .memory_some_us = now->some_us,
        .memory_full_us = now->full_us,
        .simulated_level = now->simulated,
        .budget_bytes = now->budget,
        .headroom_bytes = footprint < now->budget ? now->budget - footprint : 0,
    };
}

static void record_sample(struct machine *m, const struct moment *now,
                          const struct gov_evidence *evidence)
{
    struct gov_replay_event *event = record(m, GOV_REPLAY_SAMPLE, now->now_ms);

    event->evidence = *evidence;
    for (int i = 0; i < ACTIONS; i++) {
        struct gov_replay_action *action = &event->action[event->count];

        if (!now->there[i])
            continue;
        event->count++;
        snprintf(action->name, sizeof(action->name), "%s", actions[i].name);
        action->from_level = actions[i].from_level;
        action->rebuild_cost = actions[i].rebuild_cost;
        action->offered_bytes = offer(m, now, i);
        action->regrows = actions[i].regrows;
        action->leaves = actions[i].leaves;
        if (actions[i].leaves)
            action->floor_bytes = step_of(m, i)->floor_bytes;
    }
}

static void fill(const struct machine *m, const struct moment *now,
                 struct gov_rung rungs[ACTIONS])
{
    for (int i = 0; i < ACTIONS; i++)
        rungs[i] = (struct gov_rung){
            .name = actions[i].name,
            .from_level = step_of(m, i)->from_level != 0
                              ? step_of(m, i)->from_level
                              : actions[i].from_level,
            .place = gov_ladder_place(&m->rules->relief, actions[i].name),
            .rebuild_cost = actions[i].rebuild_cost,
            /* It offers still, and does not run: who_cannot_leave_... in
             * test_relief.c */
            .offered_bytes =
                !actions[i].leaves && step_of(m, i)->floor_bytes > 0
                    ? 0
                    : offer(m, now, i),
            .rest_until_ms = m->rest_until_ms[i],
            .gave = m->gave[i] && actions[i].regrows && now->there[i],
        };
}

static void give(struct machine *m, const struct moment *now, int i,
                 uint64_t *now_us, uint64_t *given)
{
    struct gov_replay_event *event =
        record(m, GOV_REPLAY_RELIEF, *now_us / 1000);
    uint64_t offered = offer(m, now, i);
    uint64_t yield = offered * actions[i].yield_ppm / 1000000;
    char text[160];

    snprintf(event->name, sizeof(event->name), "%s", actions[i].name);
    event->offered_bytes = offered;
    event->yield_bytes = yield;
    event->took_us = actions[i].took_us;
    snprintf(text, sizeof(text),
             "%s gives back %" PRIu64 " KiB of %" PRIu64 " KiB offered",
             actions[i].name, yield >> 10, offered >> 10);
    note(m->told, *now_us / 1000, m->levels.level, text);
    *now_us += actions[i].took_us;
    *given += yield;
    m->given[i] += yield;
    m->gave[i] = true;
    m->rest_until_ms[i] =
        *now_us / 1000 +
        gov_ladder_rest_ms(&m->rules->relief,
                           gov_ladder_place(&m->rules->relief, actions[i].name),
                           offered, yield, actions[i].took_us / 1000);
}

static void relieve(struct machine *m, const struct moment *now,
                    const struct gov_evidence *evidence)
{
    uint64_t now_us = now->now_ms * 1000, given = 0;
    uint64_t wanted =
        gov_level_wanted(&m->rules->levels, m->levels.level, evidence);
    struct gov_rung rungs[ACTIONS];

    for (int n = 0; n < TURN; n++) {
        int next;

        fill(m, now, rungs);
        next = gov_ladder_next(rungs, ACTIONS, m->levels.level, now_us / 1000,
                               given, wanted, NULL, 0);
        if (next == GOV_LADDER_DONE)
            return;
        give(m, now, next, &now_us, &given);
    }
}

static void grow(struct machine *m, const struct moment *now)
{
    struct gov_rung rungs[ACTIONS];
    struct gov_replay_event *event;
    char text[160];
    int next;

    fill(m, now, rungs);
    next = gov_regrow_next(&m->regrow, &m->rules->relief.regrow, rungs, ACTIONS,
                           m->levels.level, now->now_ms, NULL, 0);
    if (next == GOV_LADDER_DONE)
        return;
    event = record(m, GOV_REPLAY_REGROW, now->now_ms);
    snprintf(event->name, sizeof(event->name), "%s", actions[next].name);
    snprintf(text, sizeof(text), "%s takes %" PRIu64 " KiB again",
             actions[next].name, m->given[next] >> 10);
    note(m->told, now->now_ms, m->levels.level, text);
    m->gave[next] = false;
    m->given[next] = 0;
}

static void turn(struct machine *m, const struct moment *now)
{
    const gov_level before = m->levels.level;
    struct gov_evidence evidence;
    char text[200];

    for (int i = 0; i < ACTIONS; i++)
        if (!now->there[i]) {
            m->given[i] = m->rest_until_ms[i] = 0;
            m->gave[i] = false;
        }
    evidence = look(m, now);
    record_sample(m, now, &evidence);
    gov_level_step(&m->levels, &m->rules->levels, &evidence);
    if (m->levels.level != before) {
        snprintf(text, sizeof(text), "the level %s to %s: %s",
                 m->levels.level > before ? "rises" : "falls",
                 gov_level_name(m->levels.level), m->levels.reason);
        note(m->told, now->now_ms, m->levels.level, text);
    }
    if (m->levels.level > before)
        memset(m->rest_until_ms, 0, sizeof(m->rest_until_ms));
    if (m->levels.level >= WARN && !m->levels.calm)
        relieve(m, now, &evidence);
    grow(m, now);
}

static void live(const struct rules *rules, struct told *told,
                 struct trace *trace)
{
    struct machine m = {.rules = rules, .told = told, .trace = trace};

    told->count = 0;
    if (trace != NULL)
        trace->count = 0;
    for (size_t k = 0; k < SAMPLES; k++) {
        turn(&m, &world[k]);
        told->level[k] = m.levels.level;
    }
}

/* ---- worlds and policies ----------------------------------------------------- */

/* Actions come and go; what one holds only grows while it is there, for what
 * offers nothing tells nothing of what it holds. `beyond`: the budget is exceeded
 * at times, and by how much nobody tells. */
static void make_world(bool beyond)
{
    struct moment now = {.now_ms = 1000 + dice(100000),
                         .budget = 4000 * MIB,
                         .other = 500 * MIB};

    memset(world, 0, sizeof(world));
    for (int i = 0; i < ACTIONS; i++)
        now.hold[i] = (20 + dice(60)) * MIB;
    for (size_t k = 0; k < SAMPLES; k++) {
        uint64_t held = 0, ms = 100 + dice(300), most;

        now.now_ms += ms;
        now.have = dice(30) == 0 ? 0 : GOV_HAVE_HEADROOM;
        if (k % 300 > 150)
            now.have |= GOV_HAVE_STALL;
        if (k % 300 > 280) {
            now.have |= GOV_HAVE_SIMULATED;
            now.simulated = dice(2) != 0 ? WARN : NORMAL;
        }
        now.some_us += dice(4) == 0 ? ms * dice(200) : 0;
        now.full_us += dice(8) == 0 ? ms * dice(80) : 0;
        for (int i = 0; i < ACTIONS; i++) {
            now.there[i] = i == 0 || (k / 70 + (size_t)i) % 7 != 0;
            if (!now.there[i])
                now.hold[i] = (20 + dice(60)) * MIB;
            else if (dice(6) == 0)
                now.hold[i] += dice(now.hold[i] < 400 * MIB ? 8 * MIB : 1000);
            held += now.there[i] ? now.hold[i] : 0;
        }
        most = now.budget + (beyond ? 200 * MIB : 0);
        if (k % 90 == 0)
            now.other = most - held - dice(700 * MIB);
        else
            now.other += dice(3 * MIB);
        if (now.other + held >= most)
            now.other = most - held - 1 - dice(2 * MIB);
        world[k] = now;
    }
}

static void add_step(struct rules *rules, const char *action)
{
    static const gov_level from[] = {(gov_level)0, WARN, CRITICAL,
                                     GOV_LEVEL_NEVER};
    struct gov_ladder_step *step = &rules->relief.step[rules->relief.count++];

    memcpy(step->action, action, strlen(action));
    step->from_level = from[dice(4)];
    step->floor_bytes = dice(2) * dice(15) * MIB;
    step->rest_ms = (uint32_t)(dice(2) * dice(9000));
    step->rest_little_ms = (uint32_t)(dice(2) * dice(9000));
}

static struct rules make_rules(void)
{
    static const char *const patterns[] = {"kv.*", "cache.prompts", "cache.?*",
                                           "heap.purge", "*"};
    struct rules rules;

    memset(&rules, 0, sizeof(rules));
    gov_level_rules_default(&rules.levels);
    gov_relief_rules_default(&rules.relief);
    rules.levels.warn_headroom_permille = 60 + (uint32_t)dice(100);
    rules.levels.warn_headroom_exit_permille =
        rules.levels.warn_headroom_permille + (uint32_t)dice(50);
    rules.levels.calm_ms = (uint32_t)dice(6000);
    rules.relief.regrow.after_ms = (uint32_t)dice(9000);
    rules.relief.regrow.every_ms = (uint32_t)dice(4000);
    for (uint64_t n = dice(5), at = dice(5); n > 0; n--, at++)
        add_step(&rules, patterns[at % 5]);
    return rules;
}

/* ---- the proof --------------------------------------------------------------- */

static struct told expected, got;
static struct trace trace;
static struct gov_replay_prices prices;

static gov_replay *open_replay(const struct rules *rules)
{
    gov_replay *replay = NULL;

    ck_assert_int_eq(gov__replay_open(&replay, &rules->levels, &rules->relief,
                                      &prices, NULL, NULL),
                     GOV_OK);
    return replay;
}

static struct gov_replay_result replay_trace(const struct rules *rules)
{
    struct gov_replay_result result;
    gov_replay *replay = open_replay(rules);
    size_t k = 0;

    got.count = 0;
    gov_replay_listen(replay, note, &got);
    for (size_t i = 0; i < trace.count; i++) {
        gov_replay_step(replay, &trace.event[i]);
        if (trace.event[i].kind == GOV_REPLAY_SAMPLE)
            got.level[k++] = replay->machine.level;
    }
    ck_assert_uint_eq(k, SAMPLES);
    gov_replay_result(replay, &result);
    gov_replay_free(replay);
    return result;
}

static void compare(void)
{
    for (size_t i = 0; i < expected.count && i < got.count; i++)
        ck_assert_str_eq(got.line[i], expected.line[i]);
    ck_assert_uint_eq(got.count, expected.count);
    for (size_t k = 0; k < SAMPLES; k++)
        ck_assert_int_eq(got.level[k], expected.level[k]);
}

static uint32_t count_lines(const char *part)
{
    uint32_t count = 0;

    for (size_t i = 0; i < expected.count; i++)
        count += strstr(expected.line[i], part) != NULL;
    return count;
}

/* With the prices that the trace itself has, also where the budget is exceeded
 * and nobody knows by how much. */
START_TEST(under_its_own_policy_a_trace_replays_as_it_was)
{
    struct gov_replay_result result;
    struct rules rules;

    seed = 1000003U * ((uint64_t)_i + 1);
    make_world(_i % 2 != 0);
    rules = make_rules();
    live(&rules, &expected, &trace);
    memset(&prices, 0, sizeof(prices));
    for (size_t i = 0; i < trace.count; i++)
        gov_replay_learn(&prices, &trace.event[i]);
    result = replay_trace(&rules);
    compare();
    ck_assert_uint_eq(result.actions, count_lines(" gives back "));
    ck_assert_uint_eq(result.regrows, count_lines(" takes "));
    ck_assert_uint_eq(result.modelled_runs, 0);
    ck_assert_uint_eq(result.span_ms,
                      world[SAMPLES - 1].now_ms - world[0].now_ms);
    ck_assert_uint_eq(result.normal_ms + result.warn_ms + result.critical_ms,
                      result.span_ms);
}
END_TEST

static void learn_true_prices(void)
{
    struct gov_replay_event event = {.kind = GOV_REPLAY_RELIEF};

    memset(&prices, 0, sizeof(prices));
    for (int i = 0; i < ACTIONS; i++) {
        memset(event.name, 0, sizeof(event.name));
        memcpy(event.name, actions[i].name, strlen(actions[i].name));
        event.offered_bytes = 1000000000;
        event.yield_bytes = UINT64_C(1000) * actions[i].yield_ppm;
        event.took_us = actions[i].took_us;
        gov_replay_learn(&prices, &event);
    }
}

/* Six policies each; among them such as do nothing, or much more. */
START_TEST(under_another_policy_it_is_as_the_machine_would_do)
{
    struct rules recorded, other;

    seed = 7000003U * ((uint64_t)_i + 1);
    make_world(false);
    recorded = make_rules();
    live(&recorded, &expected, &trace);
    learn_true_prices();
    for (int n = 0; n < 6; n++) {
        other = make_rules();
        live(&other, &expected, NULL);
        replay_trace(&other);
        compare();
    }
}
END_TEST

/* The tests above are worth something only where much happens. */
START_TEST(worlds_are_eventful)
{
    uint32_t given = 0, taken = 0, warn = 0, critical = 0, floors = 0;

    for (uint64_t n = 1; n <= 20; n++) {
        struct rules rules;

        seed = 1000003U * n;
        make_world(n % 2 == 0);
        rules = make_rules();
        live(&rules, &expected, &trace);
        given += count_lines(" gives back ");
        taken += count_lines(" takes ");
        warn += count_lines("to warn");
        critical += count_lines("to critical");
        for (size_t i = 0; i < trace.count; i++)
            for (uint32_t a = 0; a < trace.event[i].count; a++)
                floors += trace.event[i].action[a].floor_bytes != 0;
    }
    ck_assert_uint_gt(given, 400);
    ck_assert_uint_gt(taken, 50);
    ck_assert_uint_gt(warn, 100);
    ck_assert_uint_gt(critical, 20);
    ck_assert_uint_gt(floors, 1000);
}
END_TEST

/* ---- prices ------------------------------------------------------------------- */

static struct gov_replay_event event;

static void set_up(void)
{
    memset(&event, 0, sizeof(event));
    memset(&prices, 0, sizeof(prices));
    memset(&got, 0, sizeof(got));
}

static const char *padded(const char *name)
{
    static char out[GOV_ACTION_NAME];

    memset(out, 0, sizeof(out));
    memcpy(out, name, strlen(name));
    return out;
}

static struct gov_replay_event *relief(const char *name, uint64_t offered,
                                       uint64_t yield, uint64_t took_us)
{
    memset(&event, 0, sizeof(event));
    event.kind = GOV_REPLAY_RELIEF;
    memcpy(event.name, padded(name), sizeof(event.name));
    event.offered_bytes = offered;
    event.yield_bytes = yield;
    event.took_us = took_us;
    return &event;
}

START_TEST(the_median_of_the_last_64_is_the_price)
{
    for (uint64_t i = 0; i < 1000; i++)
        gov_replay_learn(&prices, relief("a", 1000, 1000, 5));
    for (uint64_t i = 0; i < 64; i++)
        gov_replay_learn(&prices, relief("a", 1000, 1000 - i, 64 - i));
    ck_assert_uint_eq(prices.count, 1);
    ck_assert_uint_eq(prices.price[0].runs, 1064);
    ck_assert_uint_eq(prices.price[0].yield_ppm, 968000);
    ck_assert_uint_eq(prices.price[0].took_us, 32);
    gov_replay_learn(&prices, relief("a", 1000, 0, 999));
    ck_assert_uint_eq(prices.price[0].yield_ppm, 967000);
    ck_assert_uint_eq(prices.price[0].took_us, 32);
    gov_replay_learn(&prices, relief("b", 1000, 7, 1));
    ck_assert_uint_eq(prices.count, 2);
    ck_assert_uint_eq(prices.price[1].yield_ppm, 7000);
    gov_replay_learn(&prices, relief("b", 1000, 9, 3));
    ck_assert_uint_eq(prices.price[1].yield_ppm, 7000); /* of two the lower */
    gov_replay_learn(&prices, relief("b", 1000, 8, 2));
    ck_assert_uint_eq(prices.price[1].yield_ppm, 8000);
    ck_assert_uint_eq(prices.price[1].took_us, 2);
}
END_TEST

static const struct {
    uint64_t offered, yield, took_us;
    uint32_t ppm;
    uint64_t took;
} shares[] = {
    {1, 0, 0, 0, 0},
    {1, 1, 1, 1000000, 1},
    {3, 1, 1, 333333, 1},
    {3, 2, 1, 666667, 1},
    {1000000000, 1999, 1, 2, 1},
    {2, 5, 1, 2500000, 1},
    {2, 1, (UINT64_C(1) << 32) + 5, 500000, UINT32_MAX},
    {1, 4293, 1, 4293000000, 1},
    {1, 4294, 1, UINT32_MAX, 1},
    {1, UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT32_MAX},
    {UINT64_MAX, UINT64_MAX, UINT32_MAX, 1000000, UINT32_MAX},
    {UINT64_MAX, UINT64_MAX / 4, 0, 250000, 0},
    {UINT64_MAX, 0, 0, 0, 0},
    {UINT64_MAX / 2, UINT64_MAX, 0, 2000000, 0},
};

START_TEST(a_share_is_to_the_nearest_millionth)
{
    gov_replay_learn(&prices, relief("a", shares[_i].offered, shares[_i].yield,
                                     shares[_i].took_us));
    ck_assert_uint_eq(prices.price[0].yield_ppm, shares[_i].ppm);
    ck_assert_uint_eq(prices.price[0].took_us, shares[_i].took);
}
END_TEST

START_TEST(what_says_nothing_teaches_nothing)
{
    gov_replay_learn(&prices, relief("a", 0, 100, 1));
    relief("a", 100, 0, 1)->unmeasured = true;
    gov_replay_learn(&prices, &event);
    relief("a", 100, 50, 1)->kind = GOV_REPLAY_REGROW;
    gov_replay_learn(&prices, &event);
    event.kind = GOV_REPLAY_SAMPLE;
    gov_replay_learn(&prices, &event);
    event.kind = (enum gov_replay_kind)77;
    gov_replay_learn(&prices, &event);
    ck_assert_uint_eq(prices.count, 0);
}
END_TEST

START_TEST(a_price_list_is_full_at_some_time)
{
    for (int i = 0; i < 40; i++) {
        char name[GOV_ACTION_NAME];

        snprintf(name, sizeof(name), "action %d", i);
        gov_replay_learn(&prices, relief(name, 100, 50, 1));
        gov_replay_learn(&prices, relief(name, 100, 50, 1));
    }
    ck_assert_uint_eq(prices.count, GOV_REPLAY_ACTIONS);
    ck_assert_uint_eq(prices.price[31].runs, 2);
    ck_assert_str_eq(prices.price[31].name, "action 31");
    prices.price[0].runs = UINT32_MAX;
    gov_replay_learn(&prices, relief("action 0", 100, 50, 1));
    ck_assert_uint_eq(prices.price[0].runs, UINT32_MAX);
    prices.price[0].runs = 0; /* nothing was learnt */
    ck_assert_ptr_null(gov__replay_price(&prices, "action 0"));
    ck_assert_ptr_nonnull(gov__replay_price(&prices, "action 1"));
    prices.count = UINT32_MAX; /* a lie */
    gov_replay_learn(&prices, relief("action 99", 100, 50, 1));
    ck_assert_ptr_null(gov__replay_price(&prices, "action 99"));
}
END_TEST

static const struct {
    uint32_t ppm;
    uint64_t offered, want;
} yields[] = {
    {1000000, 12345, 12345},
    {500000, 3, 1},
    {333333, 3000000, 999999},
    {0, UINT64_MAX, 0},
    {1000000, UINT64_MAX, UINT64_MAX},
    {UINT32_MAX, UINT64_MAX, UINT64_MAX},
    {UINT32_MAX, 1, 4294},
    {999999, UINT64_MAX, UINT64_C(18446725626965477905)},
};

START_TEST(a_yield_is_exact_or_all_there_is)
{
    const struct gov_replay_price price = {.runs = 1,
                                           .yield_ppm = yields[_i].ppm};

    ck_assert_uint_eq(gov__replay_yield(&price, yields[_i].offered),
                      yields[_i].want);
    ck_assert_uint_eq(gov__replay_yield(NULL, yields[_i].offered),
                      yields[_i].offered);
}
END_TEST

/* ---- figures, one by one ------------------------------------------------------- */

static struct rules plain;
static gov_replay *replay;

static void set_up_replay(void)
{
    set_up();
    memset(&plain, 0, sizeof(plain));
    gov_level_rules_default(&plain.levels);
    gov_relief_rules_default(&plain.relief);
    replay = open_replay(&plain);
    gov_replay_listen(replay, note, &got);
}

static void tear_down_replay(void)
{
    gov_replay_free(replay);
    replay = NULL;
}

static void reopen(void)
{
    tear_down_replay();
    replay = open_replay(&plain);
    gov_replay_listen(replay, note, &got);
}

/* Begins a sample of so many MiB of headroom of a budget of 1000. */
static void begin(uint64_t now_ms, uint64_t headroom_mib)
{
    memset(&event, 0, sizeof(event));
    event.kind = GOV_REPLAY_SAMPLE;
    event.evidence.now_ms = now_ms;
    event.evidence.have = GOV_HAVE_HEADROOM;
    event.evidence.budget_bytes = 1000 * MIB;
    event.evidence.headroom_bytes = headroom_mib * MIB;
}

static struct gov_replay_action *has(const char *name, uint64_t offered_mib)
{
    struct gov_replay_action *action = &event.action[event.count++];

    memcpy(action->name, padded(name), sizeof(action->name));
    action->from_level = WARN;
    action->offered_bytes = offered_mib * MIB;
    action->regrows = true;
    return action;
}

static void go(void)
{
    gov_replay_step(replay, &event);
}

static struct gov_replay_result result(void)
{
    struct gov_replay_result out;

    gov_replay_result(replay, &out);
    return out;
}

/* A sample with one action, "a". */
static void sample(uint64_t now_ms, uint64_t headroom_mib, uint64_t offered_mib)
{
    begin(now_ms, headroom_mib);
    has("a", offered_mib);
    go();
}

static void recorded(const char *name, uint64_t yield_mib)
{
    relief(name, yield_mib * MIB, yield_mib * MIB, 0);
    go();
}

START_TEST(tells_what_happens_in_sentences)
{
    gov_replay_learn(&prices, relief("a", 1000, 500, 2000));
    reopen();
    sample(1000, 500, 10);
    begin(2000, 100);
    has("a", 10);
    has("new", 3);
    go();
    for (uint64_t ms = 3000; ms <= 40000; ms += 1000) {
        begin(ms, 500);
        has("a", 5);
        has("new", 0);
        go();
    }
    ck_assert_uint_eq(got.count, 6);
    ck_assert_str_eq(got.line[0],
                     "2000 warn the level rises to warn: 100 MiB of the 1000 "
                     "MiB budget are left");
    ck_assert_str_eq(got.line[1],
                     "2000 warn a gives back 5120 KiB of 10240 KiB offered");
    ck_assert_str_eq(got.line[2],
                     "2002 warn new gives back 3072 KiB of 3072 KiB offered "
                     "(modelled: it was never measured)");
    ck_assert_str_eq(got.line[3],
                     "8000 normal the level falls to normal: calm for 5.0 s");
    ck_assert_str_eq(got.line[4], "23000 normal new takes 3072 KiB again");
    ck_assert_str_eq(got.line[5], "29000 normal a takes 5120 KiB again");
    gov_replay_listen(replay, NULL, NULL);
    sample(90000, 0, 10);
    ck_assert_uint_eq(got.count, 6);
}
END_TEST

START_TEST(counts_time_by_level)
{
    sample(10000, 500, 0);
    ck_assert_uint_eq(result().span_ms, 0);
    sample(11000, 100, 0);
    sample(13000, 10, 0);
    sample(17000, 900, 0);
    sample(22000, 900, 0); /* calm for 5 s: warn */
    sample(27000, 900, 0); /* normal */
    sample(28000, 900, 0);
    ck_assert_uint_eq(result().normal_ms, 1000 + 1000);
    ck_assert_uint_eq(result().warn_ms, 2000 + 5000);
    ck_assert_uint_eq(result().critical_ms, 4000 + 5000);
    ck_assert_uint_eq(result().span_ms, 18000);
    ck_assert_uint_eq(result().rises, 2);
    ck_assert_uint_eq(result().falls, 2);
}
END_TEST

/* Relief that was recorded is taken out: the headroom, and what was on offer. */
START_TEST(what_was_given_is_taken_out)
{
    plain.relief.count = 1;
    memcpy(plain.relief.step[0].action, "a", 2);
    plain.relief.step[0].from_level = GOV_LEVEL_NEVER;
    reopen();
    sample(1000, 500, 300);
    recorded("a", 300);
    sample(2000, 500, 0); /* 200 without */
    ck_assert_uint_eq(result().least_headroom_bytes, 200 * MIB);
    ck_assert_uint_eq(gov__replay_offer(&replay->model.slot[0], 0), 300 * MIB);
    recorded("a", 50);
    sample(3000, 390, 0); /* 40: critical */
    ck_assert_int_eq(replay->machine.level, CRITICAL);
    ck_assert_uint_eq(result().least_headroom_bytes, 40 * MIB);
    ck_assert_uint_eq(gov__replay_offer(&replay->model.slot[0], 0), 350 * MIB);
    event.kind = GOV_REPLAY_REGROW;
    memcpy(event.name, padded("a"), sizeof(event.name));
    go();
    sample(4000, 390, 0); /* as it was */
    ck_assert(replay->machine.calm);
    recorded("a", 400);
    sample(5000, 390, 0); /* less than nothing */
    ck_assert_int_eq(replay->machine.level, CRITICAL);
    ck_assert_uint_eq(result().least_headroom_bytes, 0);
    ck_assert_uint_eq(result().actions, 0);
}
END_TEST

/* The other way round: a policy that gives where the recorded one did not. */
START_TEST(what_is_given_is_put_in)
{
    sample(1000, 100, 300);
    ck_assert_uint_eq(result().actions, 1);
    ck_assert_uint_eq(result().given_bytes, 300 * MIB);
    sample(2000, 100, 300); /* 400; and nothing left to offer */
    ck_assert(replay->machine.calm);
    ck_assert_uint_eq(gov__replay_offer(&replay->model.slot[0], 0), 0);
    sample(2500, 100, 320);
    ck_assert_uint_eq(gov__replay_offer(&replay->model.slot[0], 0), 20 * MIB);
    ck_assert_uint_eq(result().least_headroom_bytes, 100 * MIB);
    ck_assert_uint_eq(result().modelled_runs, 1);
}
END_TEST

START_TEST(headroom_is_never_above_the_budget)
{
    sample(1000, 10, 5000);
    sample(2000, 10, 5000);
    ck_assert_uint_eq(replay->machine
                          .past[(replay->machine.next + GOV_LEVEL_SAMPLES - 1) %
                                GOV_LEVEL_SAMPLES]
                          .headroom_bytes,
                      1000 * MIB);
}
END_TEST

/* Enough is given and no more; the order is the ladder's; a rest is kept, and
 * ended by a level that rises. */
START_TEST(relief_stops_at_what_is_wanted_and_rests)
{
    plain.relief.count = 1;
    memcpy(plain.relief.step[0].action, "z*", 3);
    reopen();
    begin(1000, 100); /* 61 MiB and a little are wanted */
    has("a", 70);
    has("b", 30);
    has("zz", 40);
    go();
    ck_assert_uint_eq(got.count, 3);
    ck_assert_ptr_nonnull(strstr(got.line[1], "zz gives"));
    ck_assert_ptr_nonnull(strstr(got.line[2], "a gives"));
    recorded("a", 0);
    begin(2000, 0); /* 110 with what was given; more is on offer */
    has("a", 90);
    has("b", 30);
    has("zz", 60);
    go();
    ck_assert_uint_eq(got.count, 4); /* only b does not rest */
    ck_assert_ptr_nonnull(strstr(got.line[3], "b gives"));
    begin(3000, 0);
    event.evidence.have |= GOV_HAVE_SIMULATED;
    event.evidence.simulated_level = CRITICAL;
    has("a", 90);
    has("b", 30);
    has("zz", 60);
    go();
    ck_assert_uint_eq(result().actions, 5); /* a and zz: the level rose */
}
END_TEST

START_TEST(at_most_eight_actions_a_turn)
{
    begin(1000, 0);
    for (int i = 0; i < 20; i++) {
        char name[8];

        snprintf(name, sizeof(name), "a%d", i);
        has(name, 1);
    }
    go();
    ck_assert_uint_eq(result().actions, 8);
    event.evidence.now_ms += 250;
    go();
    ck_assert_uint_eq(result().actions, 16);
}
END_TEST

START_TEST(floors_are_left)
{
    struct gov_replay_action *a;

    plain.relief.count = 1;
    memcpy(plain.relief.step[0].action, "*", 2);
    plain.relief.step[0].floor_bytes = 10 * MIB;
    reopen();
    begin(1000, 0);
    a = has("held", 25); /* beside the 5 that it was told to leave then */
    a->leaves = true;
    a->floor_bytes = 5 * MIB;
    has("cannot", 25)->floor_bytes = 5 * MIB; /* means nothing */
    a = has("little", 7);
    a->leaves = true;
    a = has("nothing",
            0); /* holds at most the 30 that it left, so nobody knows */
    a->leaves = true;
    a->floor_bytes = 30 * MIB;
    go();
    ck_assert_uint_eq(got.count, 2);
    ck_assert_ptr_nonnull(strstr(got.line[1], "held gives back 20480 KiB"));
}
END_TEST

/* What cannot leave a part does not run above a floor in tokens, either. */
START_TEST(a_floor_in_tokens_is_a_floor)
{
    plain.relief.count = 1;
    memcpy(plain.relief.step[0].action, "*", 2);
    plain.relief.step[0].floor_tokens = 1024;
    reopen();
    begin(1000, 0);
    has("cannot", 25);
    has("can", 25)->leaves = true;
    go();
    ck_assert_uint_eq(got.count, 2);
    ck_assert_ptr_nonnull(strstr(got.line[1], "can gives back 25600 KiB"));
}
END_TEST

START_TEST(actions_of_one_name_are_one)
{
    struct gov_replay_action *a;

    plain.relief.count = 1;
    memcpy(plain.relief.step[0].action, "*", 2);
    plain.relief.step[0].floor_bytes = 1 * MIB;
    reopen();
    begin(1000, 100);
    a = has("kv", 10);
    a->from_level = CRITICAL;
    a->rebuild_cost = 9;
    a->leaves = true;
    a = has("kv", 20);
    a->rebuild_cost = 2;
    a->regrows = false;
    a->leaves = true;
    has("other", 99)->rebuild_cost = 3;
    go();
    ck_assert_ptr_nonnull(strstr(got.line[1], "kv gives back 28672 KiB"));
    ck_assert_uint_eq(replay->model.count, 2);
    ck_assert_uint_eq(replay->model.slot[0].registered, 2);
    ck_assert(replay->model.slot[0].regrows);
}
END_TEST

/* A model that is unloaded takes its actions with it, and what they gave. */
START_TEST(who_goes_takes_along_what_it_gave)
{
    sample(1000, 100, 300);
    recorded("a", 50);
    begin(2000, 500);
    go();
    begin(3000, 500);
    has("a", 40);
    go();
    ck_assert_uint_eq(gov__replay_offer(&replay->model.slot[0], 0), 40 * MIB);
    for (uint64_t ms = 4000; ms < 60000; ms += 1000) {
        begin(ms, 500);
        has("a", 40);
        go();
    }
    ck_assert_uint_eq(result().regrows, 0);
}
END_TEST

START_TEST(only_who_can_regrows)
{
    for (uint64_t ms = 1000; ms < 90000; ms += 1000) {
        begin(ms, ms == 1000 ? 0 : 900);
        has("a", 10)->regrows = false;
        has("b", 20);
        go();
    }
    ck_assert_uint_eq(result().actions, 2);
    ck_assert_uint_eq(result().regrows, 1);
    ck_assert_uint_eq(result().given_bytes, 30 * MIB);
    ck_assert_uint_eq(result().taken_bytes, 20 * MIB);
}
END_TEST

START_TEST(who_regrows_no_longer_does_not)
{
    sample(1000, 0, 10);
    for (uint64_t ms = 2000; ms < 90000; ms += 1000) {
        begin(ms, 900);
        has("a", 10)->regrows = false;
        go();
    }
    ck_assert_uint_eq(result().regrows, 0);
}
END_TEST

START_TEST(steps_of_the_level_are_counted)
{
    static const gov_level levels[] = {CRITICAL, NORMAL, WARN, CRITICAL,
                                       NORMAL};

    for (uint64_t i = 0; i < 5; i++) {
        begin(i * 100000, 500);
        event.evidence.have |= GOV_HAVE_SIMULATED;
        event.evidence.simulated_level = levels[i];
        go();
    }
    ck_assert_uint_eq(result().rises, 4);
    ck_assert_uint_eq(result().falls, 4);
    ck_assert_uint_eq(result().critical_ms, 200000);
    ck_assert_uint_eq(result().warn_ms, 100000);
}
END_TEST

/* Once a fall, once a regrowth, and not after a minute. */
START_TEST(oscillations_are_counted)
{
    static const struct {
        uint64_t rises_ms;
        uint32_t want;
    } rows[] = {{27999, 2}, {66999, 2}, {67000, 1}, {81999, 1}, {82000, 0}};
    uint64_t ms;

    sample(1000, 100, 300);
    for (ms = 2000; ms <= 22000; ms += 1000) /* falls at 7 s, regrows at 22 s */
        sample(ms, 900, 300);
    ck_assert_uint_eq(result().regrows, 1);
    ck_assert_uint_eq(result().oscillations, 0);
    sample(rows[_i].rises_ms, 100, 300);
    ck_assert_uint_eq(result().actions, 2);
    ck_assert_uint_eq(result().oscillations, rows[_i].want);
    sample(rows[_i].rises_ms + 1000, 100, 0);
    begin(rows[_i].rises_ms + 2000, 0); /* rises, and runs, again */
    event.evidence.have |= GOV_HAVE_SIMULATED;
    event.evidence.simulated_level = CRITICAL;
    has("a", 400);
    go();
    ck_assert_uint_eq(result().rises, 3);
    ck_assert_uint_eq(result().actions, 3);
    ck_assert_uint_eq(result().oscillations, rows[_i].want);
}
END_TEST

/* Six hours in which what regrows is wanted back, at once or whenever a neighbour
 * returns. Without back-off the first one has 1000 of each. */
static const uint32_t periods_s[] = {0, 10, 40, 47, 90, 240, 600, 1800};

START_TEST(oscillations_over_hours_are_few)
{
    const uint64_t period = periods_s[_i];

    gov_replay_listen(replay, NULL, NULL);
    for (uint64_t s = 1; s <= 6 * 3600; s++)
        sample(s * 1000, period != 0 && s % period > period / 2 ? 600 : 100,
               300);
    ck_assert_msg(result().regrows <= 45, "%u regrows", result().regrows);
    ck_assert_msg(result().oscillations <= 45, "%u oscillations",
                  result().oscillations);
    ck_assert_uint_ge(result().regrows, 1);
}
END_TEST

/* A conversation is not lost to one look at headroom; caches are. */
START_TEST(what_cannot_be_undone_waits_for_a_turn_that_did_not_help)
{
    begin(1000, 10);
    has("kv.history", 20);
    has("cache.x", 20);
    go();
    ck_assert_uint_eq(result().actions, 1);
    ck_assert_ptr_nonnull(strstr(got.line[got.count - 1], "cache.x gives"));
    begin(1100, 10);
    has("kv.history", 20);
    has("cache.x", 20);
    go();
    ck_assert_uint_eq(result().actions, 2);
    ck_assert_ptr_nonnull(strstr(got.line[got.count - 1], "kv.history gives"));
}
END_TEST

START_TEST(being_short_is_counted)
{
    sample(1000, 0, 0);  /* nothing left, and nothing to give */
    sample(3000, 0, 10); /* nothing left, but something comes at once */
    sample(7000, 500, 10);
    sample(9000, 500, 10);
    ck_assert_uint_eq(result().short_ms, 2000);
    ck_assert(result().headroom_known);
    ck_assert_uint_eq(result().least_headroom_bytes, 0);
}
END_TEST

START_TEST(unknown_headroom_is_not_none)
{
    sample(1000, 0, 0);
    reopen();
    begin(1000, 0);
    event.evidence.have = 0;
    go();
    event.evidence.now_ms = 5000;
    event.evidence.have = GOV_HAVE_HEADROOM;
    event.evidence.budget_bytes = 0; /* of nothing, nothing is left */
    go();
    event.evidence.now_ms = 9000;
    go();
    ck_assert(!result().headroom_known);
    ck_assert_uint_eq(result().short_ms, 0);
    ck_assert_uint_eq(result().normal_ms, 8000);
}
END_TEST

START_TEST(what_nobody_measured_is_modelled_on_both_sides)
{
    sample(1000, 100, 70);
    relief("a", 70 * MIB, 0, 0)->unmeasured = true;
    go();
    sample(2000, 170, 0);
    ck_assert_uint_eq(replay->model.slot[0].recorded_bytes, 70 * MIB);
    ck_assert_uint_eq(replay->model.slot[0].given_bytes, 70 * MIB);
    ck_assert(replay->machine.calm);
}
END_TEST

START_TEST(a_table_of_actions)
{
    char name[GOV_ACTION_NAME];
    uint32_t runs;
    uint64_t given;
    bool modelled;

    gov_replay_learn(&prices, relief("b", 100, 50, 0));
    reopen();
    begin(1000, 0);
    has("a", 8);
    has("b", 8);
    has("c", 0);
    go();
    ck_assert(gov_replay_action_at(replay, 0, name, &runs, &given, &modelled));
    ck_assert_str_eq(name, "a");
    ck_assert_uint_eq(runs, 1);
    ck_assert_uint_eq(given, 8 * MIB);
    ck_assert(modelled);
    ck_assert(gov_replay_action_at(replay, 1, name, &runs, &given, &modelled));
    ck_assert_str_eq(name, "b");
    ck_assert_uint_eq(given, 4 * MIB);
    ck_assert(!modelled);
    ck_assert(gov_replay_action_at(replay, 2, name, &runs, &given, &modelled));
    ck_assert_uint_eq(runs, 0);
    ck_assert(!gov_replay_action_at(replay, 3, name, &runs, &given, &modelled));
    ck_assert(!gov_replay_action_at(replay, UINT32_MAX, name, &runs, &given,
                                    &modelled));
    ck_assert_uint_eq(result().modelled_runs, 1);
}
END_TEST

/* ---- lies ------------------------------------------------------------------------ */

START_TEST(a_clock_that_runs_backwards_begins_another_span)
{
    sample(50000, 100, 300); /* gives, and rests */
    recorded("a", 60);
    sample(51000, 0, 300);
    sample(9000, 100, 300); /* another machine */
    ck_assert_uint_eq(result().span_ms, 1000);
    ck_assert_uint_eq(result().actions, 2);
    ck_assert_uint_eq(replay->model.slot[0].given_bytes, 300 * MIB);
    ck_assert_uint_eq(replay->model.slot[0].recorded_bytes, 0);
    ck_assert_uint_eq(result().rises, 2);
    sample(9500, 100, 0);
    ck_assert_uint_eq(result().span_ms, 1500);
    ck_assert_uint_eq(result().warn_ms, 1500);
    ck_assert_uint_eq(result().oscillations, 0);
}
END_TEST

/* Nothing of the span before counts in the next: not what fell or regrew, nor what
 * would still have to. */
START_TEST(spans_share_nothing)
{
    sample(1000, 100, 300);
    for (uint64_t ms = 2000; ms <= 22000; ms += 1000) /* regrows at 22 s */
        sample(ms, 900, 300);
    sample(80000, 900, 300);
    ck_assert_uint_eq(result().regrows, 1);
    sample(23000, 900, 300);
    sample(24000, 100, 300); /* rises, and runs */
    ck_assert_uint_eq(result().actions, 2);
    ck_assert_uint_eq(result().oscillations, 0);
    for (uint64_t ms = 1000; ms <= 90000; ms += 1000)
        sample(ms, 900, 300);
    ck_assert_uint_eq(result().regrows, 1);
}
END_TEST

START_TEST(time_saturates_as_a_whole)
{
    for (int i = 0; i < 4; i++) {
        sample(0, i % 2 != 0 ? 100 : 900, 0);
        sample(UINT64_MAX - 5, 900, 0);
    }
    ck_assert_uint_eq(result().span_ms, UINT64_MAX);
    ck_assert_uint_eq(result().normal_ms, UINT64_MAX - 5);
    ck_assert_uint_eq(result().warn_ms, 5);
}
END_TEST

START_TEST(more_names_than_room_are_passed_over)
{
    for (int i = 0; i < 80; i++) {
        char name[16];

        begin(1000 + (uint64_t)i, 0);
        snprintf(name, sizeof(name), "a%d", i);
        has(name, 1);
        go();
        recorded(name, 1);
    }
    ck_assert_uint_eq(replay->model.count, GOV_REPLAY_ACTIONS);
    ck_assert_uint_eq(result().actions, GOV_REPLAY_ACTIONS);
}
END_TEST

static uint64_t odd_number(void)
{
    switch (dice(6)) {
    case 0:
        return UINT64_MAX - dice(3);
    case 1:
        return dice(3);
    case 2:
        return UINT64_C(1) << dice(64);
    default:
        return dice(2000) * MIB;
    }
}

static void odd_event(void)
{
    const uint64_t last_ms = event.evidence.now_ms;

    memset(&event, (int)dice(256), sizeof(event));
    event.kind = (enum gov_replay_kind)(1 + dice(dice(9) == 0 ? 9 : 3));
    event.evidence.now_ms =
        dice(40) == 0 ? odd_number() : last_ms + dice(60000);
    event.evidence.have = (uint32_t)dice(16);
    event.evidence.memory_some_us = odd_number();
    event.evidence.memory_full_us = odd_number();
    event.evidence.headroom_bytes = odd_number();
    event.evidence.budget_bytes = odd_number();
    event.evidence.simulated_level = (gov_level)(int)dice(2000);
    event.count = dice(9) == 0 ? UINT32_MAX : (uint32_t)dice(9);
    event.offered_bytes = odd_number();
    event.yield_bytes = odd_number();
    event.took_us = odd_number();
    event.unmeasured = dice(9) == 0;
    for (int i = 0; i < GOV_REPLAY_ACTIONS; i++) {
        struct gov_replay_action *a = &event.action[i];

        memset(a->name, 0, GOV_ACTION_NAME); /* or none */
        memset(a->name, (int)(1 + dice(9)), dice(2) != 0 ? GOV_ACTION_NAME : 5);
        a->from_level = (gov_level)(int)dice(1200);
        a->rebuild_cost = (uint32_t)odd_number();
        a->offered_bytes = odd_number();
        a->floor_bytes = odd_number();
        a->regrows = dice(2) != 0;
        a->leaves = dice(2) != 0;
    }
    memcpy(event.name, event.action[dice(9)].name, sizeof(event.name));
}

static void invariants(void)
{
    const struct gov_replay_result r = result();

    ck_assert_uint_eq(r.normal_ms + r.warn_ms + r.critical_ms, r.span_ms);
    ck_assert_uint_ge(r.normal_ms + r.warn_ms, r.normal_ms);
    ck_assert_uint_le(r.short_ms, r.span_ms);
    ck_assert_uint_le(r.regrows, r.actions);
    ck_assert_uint_le(r.modelled_runs, r.actions);
    ck_assert_uint_le(r.taken_bytes, r.given_bytes);
    ck_assert_uint_le(r.oscillations, r.rises + r.regrows);
    ck_assert_uint_le(r.falls, r.rises);
}

/* Whatever comes, the figures add up, and it comes out the same again. */
START_TEST(any_events_are_survived)
{
    struct gov_replay_result first = {0};

    for (int twice = 0; twice < 2; twice++) {
        struct gov_replay_result r;

        seed = 31337U + (uint64_t)_i;
        memset(&event, 0, sizeof(event));
        memset(&prices, 0, sizeof(prices));
        for (int n = 0; n < 200; n++) {
            odd_event();
            gov_replay_learn(&prices, &event);
        }
        plain = make_rules();
        for (int i = 0; i < GOV_LADDER_STEPS; i++) { /* none is never */
            plain.relief.step[i].from_level = WARN;
            plain.relief.step[i].floor_bytes = i == 0 ? odd_number() : 0;
        }
        reopen();
        gov_replay_listen(replay, NULL, NULL);
        for (int n = 0; n < 4000; n++) {
            odd_event();
            go();
            invariants();
        }
        gov_replay_result(replay, &r);
        if (twice == 0)
            first = r;
        ck_assert_mem_eq(&r, &first, sizeof(r));
        ck_assert_uint_gt(r.actions, 0);
    }
}
END_TEST

/* ---- open ------------------------------------------------------------------------- */

START_TEST(opens_a_policy)
{
    gov_policy *policy = NULL;
    gov_replay *opened = NULL;
    gov_error err;

    ck_assert_int_eq(gov_policy_build(&policy, NULL, 0, NULL, NULL, NULL, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_replay_open(&opened, policy, &prices, NULL, &err),
                     GOV_OK);
    gov_policy_levels(policy, &plain.levels);
    gov_policy_relief(policy, &plain.relief);
    ck_assert_mem_eq(&opened->levels, &plain.levels, sizeof(plain.levels));
    ck_assert_uint_eq(opened->relief.count, plain.relief.count);
    ck_assert_uint_eq(opened->relief.regrow.after_ms,
                      plain.relief.regrow.after_ms);
    gov_replay_free(opened);
    gov_replay_free(NULL);
    for (int i = 0; i < 3; i++) {
        opened = (gov_replay *)&err;
        ck_assert_int_eq(gov_replay_open(i == 0 ? NULL : &opened,
                                         i == 1 ? NULL : policy,
                                         i == 2 ? NULL : &prices, NULL, &err),
                         GOV_E_INVALID);
        ck_assert_str_eq(err.message,
                         "gov_replay_open() needs a place for the replay, a "
                         "policy and prices");
        ck_assert(i == 0 || opened == NULL);
    }
    gov_policy_free(policy);
}
END_TEST

START_TEST(no_memory_is_said)
{
    gov_replay *opened = NULL;
    gov_error err;
    char want[128];

    snprintf(want, sizeof(want),
             "no memory for a replay of %zu bytes; free some first",
             sizeof(struct gov_replay));
    faults_reset();
    ck_assert_int_eq(gov__replay_open(&opened, &plain.levels, &plain.relief,
                                      &prices, faults_alloc(), &err),
                     GOV_OK);
    ck_assert_uint_eq(faults_count(), 1);
    for (int i = 0; i < 99; i++) {
        event.evidence.now_ms = (uint64_t)i * 100;
        event.kind = GOV_REPLAY_SAMPLE;
        gov_replay_step(opened, &event);
    }
    ck_assert_uint_eq(faults_count(), 1); /* a step allocates nothing */
    gov_replay_free(opened);
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    faults_arm(0, true);
    ck_assert_int_eq(gov__replay_open(&opened, &plain.levels, &plain.relief,
                                      &prices, faults_alloc(), &err),
                     GOV_E_NOMEM);
    ck_assert_ptr_null(opened);
    ck_assert_str_eq(err.message, want);
    faults_disarm();
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

static void add_figures(TCase *tc)
{
    tcase_add_test(tc, tells_what_happens_in_sentences);
    tcase_add_test(tc, counts_time_by_level);
    tcase_add_test(tc, what_was_given_is_taken_out);
    tcase_add_test(tc, what_is_given_is_put_in);
    tcase_add_test(tc, headroom_is_never_above_the_budget);
    tcase_add_test(tc, relief_stops_at_what_is_wanted_and_rests);
    tcase_add_test(tc, at_most_eight_actions_a_turn);
    tcase_add_test(tc, floors_are_left);
    tcase_add_test(tc, a_floor_in_tokens_is_a_floor);
    tcase_add_test(tc, actions_of_one_name_are_one);
    tcase_add_test(tc, who_goes_takes_along_what_it_gave);
    tcase_add_test(tc, only_who_can_regrows);
    tcase_add_test(tc, who_regrows_no_longer_does_not);
    tcase_add_test(tc, steps_of_the_level_are_counted);
    tcase_add_loop_test(tc, oscillations_are_counted, 0, 5);
    tcase_add_test(tc, being_short_is_counted);
    tcase_add_loop_test(tc, oscillations_over_hours_are_few, 0,
                        sizeof(periods_s) / sizeof(periods_s[0]));
    tcase_add_test(tc,
                   what_cannot_be_undone_waits_for_a_turn_that_did_not_help);
    tcase_add_test(tc, unknown_headroom_is_not_none);
    tcase_add_test(tc, what_nobody_measured_is_modelled_on_both_sides);
    tcase_add_test(tc, a_table_of_actions);
}

static void add_lies(TCase *tc)
{
    tcase_add_test(tc, a_clock_that_runs_backwards_begins_another_span);
    tcase_add_test(tc, spans_share_nothing);
    tcase_add_test(tc, time_saturates_as_a_whole);
    tcase_add_test(tc, more_names_than_room_are_passed_over);
    tcase_add_loop_test(tc, any_events_are_survived, 0, 4);
    tcase_add_test(tc, opens_a_policy);
    tcase_add_test(tc, no_memory_is_said);
}

Suite *suite(void)
{
    Suite *s = suite_create("replay");
    TCase *proof = tcase_create("proof"), *price = tcase_create("prices"),
          *figures = tcase_create("figures"), *lies = tcase_create("lies");

    tcase_add_loop_test(proof, under_its_own_policy_a_trace_replays_as_it_was,
                        0, 40);
    tcase_add_loop_test(
        proof, under_another_policy_it_is_as_the_machine_would_do, 0, 20);
    tcase_add_test(proof, worlds_are_eventful);
    tcase_set_timeout(proof, 60);
    tcase_add_checked_fixture(price, set_up, NULL);
    tcase_add_test(price, the_median_of_the_last_64_is_the_price);
    tcase_add_loop_test(price, a_share_is_to_the_nearest_millionth, 0,
                        ROWS(shares));
    tcase_add_test(price, what_says_nothing_teaches_nothing);
    tcase_add_test(price, a_price_list_is_full_at_some_time);
    tcase_add_loop_test(price, a_yield_is_exact_or_all_there_is, 0,
                        ROWS(yields));
    tcase_add_checked_fixture(figures, set_up_replay, tear_down_replay);
    add_figures(figures);
    tcase_add_checked_fixture(lies, set_up_replay, tear_down_replay);
    add_lies(lies);
    suite_add_tcase(s, proof);
    suite_add_tcase(s, price);
    suite_add_tcase(s, figures);
    suite_add_tcase(s, lies);
    return s;
}
