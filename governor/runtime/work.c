/* SPDX-License-Identifier: MIT */
/* What there is to do about what a look found: events, relief, regrow, the page, the
 * files of the policy. Everything here may call the app, or wait for a file system,
 * and so may not come back: it is done by one thread at a time, whose turn the thread
 * that looks gives to another one then (loop.c). */
#include <stdio.h>
#include <string.h>

#include "governor/runtime/trace_priv.h"

/* A listener, or a file system, that takes so long is taken for one that does not come
 * back. Relief has its own measure (relief.c). */
#define STUCK_US 1000000

/* ---- events ---------------------------------------------------------------------- */

/* A listener that does not come back gets nothing more until it does: the thread
 * that tells it the next thing would not come back either. Lock held. */
static bool listens_locked(struct gov_runtime *runtime, uint64_t now_us)
{
    if (runtime->event == NULL)
        return false;
    if (runtime->delivering == 0)
        runtime->delivered_us = now_us;
    return now_us - runtime->delivered_us < STUCK_US;
}

/* Whether this thread has the turn. Lock held. */
static bool works_locked(const struct gov_runtime *runtime)
{
    return runtime->working && pthread_equal(runtime->worker, pthread_self());
}

void gov__runtime_event(struct gov_runtime *runtime, struct gov_event *event)
{
    const struct gov_platform *p = runtime->platform;
    const uint64_t now_us = p->now_us(p->ctx);
    gov_event_fn fn = NULL;
    void *ctx;

    pthread_mutex_lock(&runtime->lock);
    if (listens_locked(runtime, now_us)) {
        fn = runtime->event;
        runtime->delivering++;
        if (works_locked(runtime))
            runtime->waits_since_us = now_us;
    }
    ctx = runtime->event_ctx;
    pthread_mutex_unlock(&runtime->lock);
    if (fn == NULL)
        return;
    event->size = sizeof(*event);
    event->at_ms = gov__runtime_ms(runtime);
    if (event->kind != GOV_EVENT_LEVEL)
        event->level = gov_level_now(runtime);
    fn(ctx, event);
    pthread_mutex_lock(&runtime->lock);
    runtime->delivering--;
    if (works_locked(runtime))
        runtime->waits_since_us = 0;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

void gov_on_event(gov_runtime *runtime, gov_event_fn fn, void *ctx)
{
    if (runtime == NULL || gov__runtime_forked(runtime))
        return;
    pthread_mutex_lock(&runtime->lock);
    runtime->event = fn;
    runtime->event_ctx = ctx;
    while (runtime->delivering > 0)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
}

static void announce_budget(struct gov_runtime *runtime, const char *news)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE, .text = news};

    gov__runtime_event(runtime, &event);
    gov__relief_budget(runtime);
}

static void announce_level(struct gov_runtime *runtime,
                           const struct gov__judged *judged)
{
    struct gov_event event = {.kind = GOV_EVENT_LEVEL, .level = judged->level};
    char text[192];

    snprintf(text, sizeof(text), "%s: %s", gov_level_name(judged->level),
             judged->reason);
    event.text = text;
    gov__runtime_event(runtime, &event);
    gov_heap_decay(judged->level);
}

/* ---- a turn ------------------------------------------------------------------------ */

static void tell(struct gov_runtime *runtime, const struct gov__judged *judged)
{
    if (judged->budget_changed)
        announce_budget(runtime, judged->news);
    if (judged->level != judged->before)
        announce_level(runtime, judged);
    if (judged->hand_over)
        gov__relief_hand_over(runtime);
    gov__relief_sample(runtime, &judged->sample.evidence, judged->level,
                       judged->reason);
}

/* Takes the files of the app and the user, or returns false: another thread has them,
 * and may not come back. */
static bool begin_house(struct gov_runtime *runtime)
{
    const struct gov_platform *p = runtime->platform;
    bool mine;

    pthread_mutex_lock(&runtime->lock);
    mine = !runtime->keeping_house;
    runtime->keeping_house = true;
    if (mine && works_locked(runtime))
        runtime->waits_since_us = p->now_us(p->ctx);
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static void end_house(struct gov_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->keeping_house = false;
    if (works_locked(runtime))
        runtime->waits_since_us = 0;
    pthread_mutex_unlock(&runtime->lock);
}

static void keep_house(struct gov_runtime *runtime, bool policy)
{
    struct gov__judged last;
    bool any;

    if (!begin_house(runtime))
        return;
    if (policy)
        gov__policy_follow(runtime);
    gov__trace_flush(runtime);
    gov__control_follow(runtime);
    pthread_mutex_lock(&runtime->lock);
    any = runtime->judged_any;
    last = runtime->judged;
    pthread_mutex_unlock(&runtime->lock);
    if (any)
        gov__publish(runtime, &last.sample, last.reason);
    end_house(runtime);
}

/* ---- what is to be done --------------------------------------------------------------- */

void gov__work_add(struct gov_runtime *runtime,
                   const struct gov__judged *judged)
{
    pthread_mutex_lock(&runtime->lock);
    /* Who works does not come back, and nobody takes over: the latest count. */
    if (runtime->todo_count == GOV__TODO) {
        runtime->todo_first = (runtime->todo_first + 1) % GOV__TODO;
        runtime->todo_count--;
    }
    runtime->todo[(runtime->todo_first + runtime->todo_count++) % GOV__TODO] =
        *judged;
    runtime->judged = *judged;
    runtime->judged_any = true;
    pthread_mutex_unlock(&runtime->lock);
}

static bool next(struct gov_runtime *runtime, struct gov__judged *out)
{
    bool any;

    pthread_mutex_lock(&runtime->lock);
    any = runtime->todo_count > 0;
    if (any) {
        *out = runtime->todo[runtime->todo_first];
        runtime->todo_first = (runtime->todo_first + 1) % GOV__TODO;
        runtime->todo_count--;
    }
    pthread_mutex_unlock(&runtime->lock);
    return any;
}

/* Takes the turn; 0: another thread has it. */
static uint64_t begin(struct gov_runtime *runtime)
{
    uint64_t turn = 0;

    pthread_mutex_lock(&runtime->lock);
    if (!runtime->working) {
        runtime->working = true;
        runtime->worker = pthread_self();
        runtime->waits_since_us = 0;
        turn = ++runtime->work_turn;
    }
    pthread_mutex_unlock(&runtime->lock);
    return turn;
}

static bool goes_on(struct gov_runtime *runtime, uint64_t turn)
{
    bool mine;

    pthread_mutex_lock(&runtime->lock);
    mine = runtime->working && runtime->work_turn == turn;
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static void end(struct gov_runtime *runtime, uint64_t turn)
{
    pthread_mutex_lock(&runtime->lock);
    if (runtime->work_turn == turn)
        runtime->working = false;
    pthread_mutex_unlock(&runtime->lock);
}

void gov__work(struct gov_runtime *runtime, bool policy)
{
    const uint64_t turn = begin(runtime);
    struct gov__judged judged;

    if (turn == 0)
        return;
    while (goes_on(runtime, turn) && next(runtime, &judged))
        tell(runtime, &judged);
    if (goes_on(runtime, turn))
        gov__relief_run(runtime, GOV__IN_STEP);
    if (goes_on(runtime, turn))
        gov__relief_regrow(runtime);
    if (goes_on(runtime, turn))
        keep_house(runtime, policy);
    end(runtime, turn);
}

bool gov__work_abandon(struct gov_runtime *runtime)
{
    const struct gov_platform *p = runtime->platform;
    const uint64_t now_us = p->now_us(p->ctx);
    bool stuck = gov__relief_overdue(runtime, now_us);

    pthread_mutex_lock(&runtime->lock);
    if (runtime->working && runtime->waits_since_us != 0 &&
        now_us - runtime->waits_since_us > STUCK_US)
        stuck = true;
    stuck = stuck && runtime->working;
    if (stuck) {
        runtime->working = false;
        runtime->work_turn++;
    }
    pthread_mutex_unlock(&runtime->lock);
    return stuck;
}
