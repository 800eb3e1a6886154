/* SPDX-License-Identifier: MIT */
/* A relief action in slices that does as it is told, for the tests of what the
 * executor does with one. */
#ifndef GOV_TESTS_RELIEF_FIXTURE_H
#define GOV_TESTS_RELIEF_FIXTURE_H

#include "tests/unit/runtime_fixture.h"

struct slicer {
    const char *name;
    bool between_passes, destructive, whole; /* whole: run(), no relieve() */
    uint32_t cost, settle_ms;
    gov_level from_level;
    enum gov_relief_measure measure;
    uint64_t offers, says, gives, gives_file, takes_us; /* a slice */
    uint64_t lacks; /* regrow_by() takes of this */
    int slices;     /* until relieve() returns 0; below 0: never */
    /* What was seen. */
    int calls, regrows, stops, leaves, budgets;
    uint64_t regrow_bytes;
    struct gov_relief_want want;
    void (*inside)(struct slicer *s, const char *where);
    uint32_t id;
};

static inline void slicer_enters(struct slicer *s, const char *where)
{
    if (s->inside != NULL)
        s->inside(s, where);
}

static inline void sim_grow_file(int64_t bytes)
{
    sim_lock(&sim);
    sim.process.resident_file_bytes += (uint64_t)bytes;
    sim_unlock(&sim);
}

static inline uint64_t slicer_offer(void *ctx, gov_level level)
{
    struct slicer *s = ctx;

    (void)level;
    slicer_enters(s, "offer");
    return s->offers;
}

static inline void slicer_gives(struct slicer *s)
{
    s->calls++;
    sim.now_us += s->takes_us;
    sim_grow(&sim, -(int64_t)s->gives);
    sim_grow_file(-(int64_t)s->gives_file);
}

static inline uint64_t slicer_relieve(void *ctx,
                                      const struct gov_relief_want *want)
{
    struct slicer *s = ctx;

    s->want = *want;
    slicer_enters(s, "relieve");
    if (s->slices == 0)
        return 0;
    s->slices--;
    slicer_gives(s);
    return s->says;
}

static inline void slicer_run(void *ctx, gov_level level)
{
    struct slicer *s = ctx;

    (void)level;
    slicer_enters(s, "run");
    slicer_gives(s);
}

static inline uint64_t slicer_regrow_by(void *ctx, uint64_t bytes)
{
    struct slicer *s = ctx;

    slicer_enters(s, "regrow_by");
    s->regrows++;
    s->regrow_bytes = bytes;
    s->lacks -= bytes < s->lacks ? bytes : s->lacks;
    return s->lacks;
}

static inline void slicer_regrow(void *ctx)
{
    struct slicer *s = ctx;

    slicer_enters(s, "regrow");
    s->regrows++;
}

static inline void slicer_regrow_stop(void *ctx)
{
    struct slicer *s = ctx;

    slicer_enters(s, "regrow_stop");
    s->stops++;
}

static inline void slicer_leave(void *ctx, uint64_t bytes, uint32_t tokens)
{
    struct slicer *s = ctx;

    (void)bytes;
    (void)tokens;
    slicer_enters(s, "leave");
    s->leaves++;
}

static inline void slicer_budget(void *ctx, uint64_t bytes)
{
    struct slicer *s = ctx;

    (void)bytes;
    slicer_enters(s, "budget");
    s->budgets++;
}

static inline void add_slicer(struct slicer *s)
{
    struct gov_relief relief = gov_relief_default();

    relief.name = s->name;
    relief.from_level = s->from_level != 0 ? s->from_level : WARN;
    relief.rebuild_cost = s->cost;
    relief.between_passes = s->between_passes;
    relief.destructive = s->destructive;
    relief.measure = s->measure;
    relief.settle_ms = s->settle_ms;
    relief.ctx = s;
    relief.offer = slicer_offer;
    relief.leave = slicer_leave;
    relief.budget = slicer_budget;
    relief.regrow_stop = slicer_regrow_stop;
    if (s->whole) {
        relief.run = slicer_run;
        relief.regrow = slicer_regrow;
    } else {
        relief.relieve = slicer_relieve;
        relief.regrow_by = slicer_regrow_by;
    }
    ck_assert_int_eq(gov_relief_add(rt, &relief, &s->id, &err), GOV_OK);
}

static inline struct gov_relief_state state_of(const char *name)
{
    struct gov_relief_state states[32];
    size_t count = gov_relief_list(rt, states, 32);

    for (size_t i = 0; i < count; i++)
        if (strcmp(states[i].name, name) == 0)
            return states[i];
    ck_abort_msg("no action %s", name);
}

/* Headroom, by the footprint, of so many permille of the budget of 4 GiB. */
static inline void headroom_permille(uint64_t permille)
{
    sim_lock(&sim);
    sim.process.footprint_bytes = 4 * GIB - 4 * GIB / 1000 * permille;
    sim_unlock(&sim);
}

/* ---- an engine's thread beside it ------------------------------------------------ */

static struct gate gate = GATE;

/* Opens the gate at 3 while the pass is under way, which ends at 4. */
static inline void *one_pass(void *arg)
{
    (void)arg;
    gov_pass_begin(rt);
    note("pass", "");
    gate_open(&gate, 3);
    gate_wait(&gate, 4);
    gov_pass_end(rt);
    return NULL;
}

static inline uint32_t passes(void)
{
    uint32_t now;

    pthread_mutex_lock(&rt->lock);
    now = rt->passes;
    pthread_mutex_unlock(&rt->lock);
    return now;
}

#endif
