/* SPDX-License-Identifier: MIT */
/* A runtime on the simulated platform without a thread, relief actions that do
 * as they are told, and a log of all that happens, in order. For the tests of
 * governor/runtime. */
#ifndef GOV_TESTS_RUNTIME_FIXTURE_H
#define GOV_TESTS_RUNTIME_FIXTURE_H

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "governor/runtime/runtime_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/sim_platform.h"

#define NORMAL GOV_LEVEL_NORMAL
#define WARN GOV_LEVEL_WARN
#define CRITICAL GOV_LEVEL_CRITICAL
#define MIB SIM_MIB
#define GIB SIM_GIB

static struct sim sim;
static gov_runtime *rt;
static gov_error err;
static char happened[4096];
static pthread_mutex_t happened_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void note(const char *what, const char *text)
{
    pthread_mutex_lock(&happened_lock);
    snprintf(happened + strlen(happened), sizeof(happened) - strlen(happened),
             "%s%s\n", what, text);
    pthread_mutex_unlock(&happened_lock);
}

/* Everything since the last look, a line each. */
#define ck_happened(want)                                                      \
    do {                                                                       \
        ck_assert_str_eq(happened, want);                                      \
        happened[0] = '\0';                                                    \
    } while (0)

static inline void on_event(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    ck_assert_uint_eq(event->size, sizeof(*event));
    note("event ", event->text);
}

struct action {
    const char *name;
    gov_level from_level;
    uint32_t cost;
    bool between_passes;
    uint64_t offers, gives; /* a run gives at most what it offers */
    uint64_t takes_ms;
    int asked, runs, regrows, told;
    uint64_t floor_bytes; /* as told last */
    uint32_t floor_tokens;
    gov_level level;                         /* of the last run */
    void (*inside)(struct action *action);   /* called by run, if set */
    void (*on_offer)(struct action *action); /* called by offer, if set */
    uint32_t id;
};

static inline uint64_t action_offer(void *ctx, gov_level level)
{
    struct action *action = ctx;

    (void)level;
    action->asked++;
    if (action->on_offer != NULL)
        action->on_offer(action);
    return action->offers;
}

static inline void action_run(void *ctx, gov_level level)
{
    struct action *action = ctx;

    note("run ", action->name);
    action->runs++;
    action->level = level;
    if (action->inside != NULL)
        action->inside(action);
    sim_advance_ms(&sim, action->takes_ms);
    sim_grow(&sim, -(int64_t)action->gives);
    action->offers -=
        action->gives < action->offers ? action->gives : action->offers;
}

static inline void action_regrow(void *ctx)
{
    struct action *action = ctx;

    note("regrow ", action->name);
    action->regrows++;
}

static inline void action_leave(void *ctx, uint64_t floor_bytes,
                                uint32_t floor_tokens)
{
    struct action *action = ctx;

    action->told++;
    action->floor_bytes = floor_bytes;
    action->floor_tokens = floor_tokens;
}

static inline void add(struct action *action)
{
    struct gov_relief relief = gov_relief_default();

    relief.name = action->name;
    relief.from_level = action->from_level != 0 ? action->from_level : WARN;
    relief.rebuild_cost = action->cost;
    relief.between_passes = action->between_passes;
    relief.ctx = action;
    relief.offer = action_offer;
    relief.run = action_run;
    relief.regrow = action_regrow;
    relief.leave = action_leave;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &action->id, &err), GOV_OK);
}

/* A turn, `ms` after the last one. */
static inline void turn(uint64_t ms)
{
    sim_advance_ms(&sim, ms);
    gov_step(rt);
}

static inline void simulate(gov_level level)
{
    ck_assert_int_eq(gov_simulate(rt, level, 0, &err), GOV_OK);
}

static inline void set_up(void)
{
    struct gov_options options = gov_options_default();

    faults_reset();
    sim_init(&sim);
    happened[0] = '\0';
    options.budget_bytes = 4 * GIB;
    options.no_thread = true;
    options.no_publish = true;
    options.no_policy_files = true;
    options.alloc = faults_alloc();
    ck_assert_int_eq(gov__open_on(&rt, &options, &sim.table, NULL, &err),
                     GOV_OK);
    gov_on_event(rt, on_event, NULL);
}

/* A policy that says just this of relief. */
static inline void put_relief(const struct gov_relief_rules *rules)
{
    pthread_mutex_lock(&rt->lock);
    rt->relief_rules = *rules;
    rt->policy_serial++;
    pthread_mutex_unlock(&rt->lock);
}

static inline void tear_down(void)
{
    gov_close(rt);
    rt = NULL;
    ck_assert_int_eq(faults_live_blocks(), 0);
}

/* The pipe that wakes the thread, where there is none; and the bytes in it. */
static inline void watch_wakes(void)
{
    ck_assert_int_eq(pipe(rt->wake), 0);
    ck_assert_int_eq(fcntl(rt->wake[0], F_SETFL, O_NONBLOCK), 0);
}

static inline int wakes(void)
{
    char bytes[64];
    ssize_t n = read(rt->wake[0], bytes, sizeof(bytes));

    return n < 0 ? 0 : (int)n;
}

/* ---- threads that wait for each other ----------------------------------------- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int stage;
};

#define GATE                                                                   \
    {                                                                          \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0                 \
    }

static inline void gate_open(struct gate *gate, int stage)
{
    pthread_mutex_lock(&gate->lock);
    gate->stage = stage;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static inline void gate_wait(struct gate *gate, int stage)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->stage < stage)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static inline pthread_t start(void *(*body)(void *), void *arg)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, body, arg), 0);
    return thread;
}

static inline void *step_once(void *arg)
{
    (void)arg;
    gov_step(rt);
    return NULL;
}

#endif
