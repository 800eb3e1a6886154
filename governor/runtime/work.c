/* SPDX-License-Identifier: MIT */
/* What there is to do about what a look found: events, relief, regrow, the page, the
 * files of the policy. Everything here may call the app, or wait for a file system,
 * and so may not come back: it is done by one thread at a time, whose turn the thread
 * that looks gives to another one then (loop.c). */
#include <stdio.h>
#include <string.h>

#include "governor/runtime/trace_priv.h"

/* ---- events ---------------------------------------------------------------------- */

/* A listener that does not come back gets nothing more until it does: the thread
 * that tells it the next thing would not come back either. Lock held. */
static bool listens_locked(struct gov_runtime *runtime, uint64_t now_us)
{
    if (runtime->event == NULL)
        return false;
    if (runtime->delivering == 0)
        runtime->delivered_us = now_us;
    return now_us - runtime->delivered_us < GOV__STUCK_US;
}

/* Whether this thread has the turn. Lock held. */
static bool works_locked(const struct gov_runtime *runtime)
{
    return runtime->working && pthread_equal(runtime->worker, pthread_self());
}

void gov__runtime_event(struct gov_runtime *runtime, struct gov_event *event)
{
    const struct gov_platform *p = runtime->platform;
    gov_event_fn fn = NULL;
    uint64_t now_us;
    bool waits; /* for a file system, meanwhile and after */
    bool known;
    void *ctx;

    if (event->kind != GOV_EVENT_LEVEL)
        event->level = gov_level_now(runtime);
    pthread_mutex_lock(&runtime->lock);
    /* Asked here, so that another thread that was let in before is no later. */
    now_us = p->now_us(p->ctx);
    waits = works_locked(runtime) && runtime->waits_since_us != 0;
    if (listens_locked(runtime, now_us)) {
        fn = runtime->event;
        runtime->delivering++;
        if (works_locked(runtime))
            runtime->waits_since_us = now_us;
        gov__turn_tells_locked(runtime, now_us);
    }
    /* Who hangs is told the level when it is back. */
    known =
        event->kind != GOV_EVENT_LEVEL || fn != NULL || runtime->event == NULL;
    if (event->kind == GOV_EVENT_LEVEL && known)
        runtime->told_level = event->level;
    if (known)
        gov__shown_add_locked(&runtime->shown, event, now_us);
    ctx = runtime->event_ctx;
    pthread_mutex_unlock(&runtime->lock);
    if (fn == NULL)
        return;
    event->size = sizeof(*event);
    event->at_ms = gov__runtime_ms(runtime);
    fn(ctx, event);
    pthread_mutex_lock(&runtime->lock);
    runtime->delivering--;
    if (works_locked(runtime))
        runtime->waits_since_us = waits ? p->now_us(p->ctx) : 0;
    gov__turn_tells_locked(runtime, 0);
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

void gov_notice(gov_runtime *runtime, const char *text)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE, .text = text};

    if (runtime != NULL && text != NULL && !gov__runtime_forked(runtime))
        gov__runtime_event(runtime, &event);
}

static void announce_budget(struct gov_runtime *runtime, const char *news)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE, .text = news};

    gov__relief_budget(runtime);
    gov__runtime_event(runtime, &event);
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
}

/* ---- a turn ------------------------------------------------------------------------ */

static bool goes_on(struct gov_runtime *runtime, uint64_t turn)
{
    bool mine;

    pthread_mutex_lock(&runtime->lock);
    mine = runtime->working && runtime->work_turn == turn;
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static bool is_told(struct gov_runtime *runtime, gov_level level)
{
    bool told;

    pthread_mutex_lock(&runtime->lock);
    told = runtime->told_level == level;
    pthread_mutex_unlock(&runtime->lock);
    return told;
}

/* Who lost the turn in one of these calls is overtaken: what comes after it in here is
 * old by then. */
static void tell(struct gov_runtime *runtime, uint64_t turn,
                 const struct gov__judged *judged)
{
    gov__requests_sample(runtime, &judged->sample, judged->level);
    if (judged->level != judged->before)
        gov_heap_decay(judged->level);
    if (judged->budget_changed)
        announce_budget(runtime, judged->news);
    if (goes_on(runtime, turn))
        gov__relief_budget_rest(runtime);
    if (goes_on(runtime, turn) && !is_told(runtime, judged->level))
        announce_level(runtime, judged);
    if (judged->hand_over)
        gov__relief_hand_over(runtime);
    if (goes_on(runtime, turn))
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
    char reason[sizeof(runtime->machine.reason)];
    struct gov__sample last;

    if (!begin_house(runtime))
        return;
    if (policy)
        gov__policy_follow(runtime);
    gov__trace_flush(runtime);
    pthread_mutex_lock(&runtime->lock);
    last = runtime->last;
    memcpy(reason, runtime->machine.reason, sizeof(reason));
    pthread_mutex_unlock(&runtime->lock);
    gov__publish(runtime, &last, reason);
    gov__control_follow(runtime); /* what is seen can be spoken to at once */
    gov__requests_flush(runtime); /* last: it may wait for another process */
    end_house(runtime);
}

/* ---- what is to be done --------------------------------------------------------------- */

/* Of the two oldest one is left, with the news of both. */
static void merge_oldest_locked(struct gov_runtime *runtime)
{
    const struct gov__judged *oldest = &runtime->todo[runtime->todo_first];
    struct gov__judged *then;

    runtime->todo_first = (runtime->todo_first + 1) % GOV__TODO;
    runtime->todo_count--;
    then = &runtime->todo[runtime->todo_first];
    then->before = oldest->before;
    then->hand_over |= oldest->hand_over;
    if (oldest->budget_changed && !then->budget_changed) {
        then->budget_changed = true;
        memcpy(then->news, oldest->news, sizeof(then->news));
    }
}

void gov__work_add(struct gov_runtime *runtime,
                   const struct gov__judged *judged)
{
    pthread_mutex_lock(&runtime->lock);
    /* Who works does not come back, and nobody takes over: the latest count. */
    if (runtime->todo_count == GOV__TODO)
        merge_oldest_locked(runtime);
    runtime->todo[(runtime->todo_first + runtime->todo_count++) % GOV__TODO] =
        *judged;
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

static void end(struct gov_runtime *runtime, uint64_t turn)
{
    pthread_mutex_lock(&runtime->lock);
    if (runtime->work_turn == turn)
        runtime->working = false;
    /* Who was woken for it meanwhile found the turn taken. */
    if (runtime->todo_count > 0) {
        runtime->work_wanted = true;
        pthread_cond_broadcast(&runtime->work);
    }
    pthread_mutex_unlock(&runtime->lock);
}

void gov__work(struct gov_runtime *runtime, bool policy)
{
    const uint64_t turn = begin(runtime);
    struct gov__judged judged;

    if (turn == 0)
        return;
    while (goes_on(runtime, turn) && next(runtime, &judged))
        tell(runtime, turn, &judged);
    if (goes_on(runtime, turn))
        gov__relief_run(runtime, GOV__IN_STEP);
    if (goes_on(runtime, turn))
        gov__asked_end(runtime);
    if (goes_on(runtime, turn))
        gov__relief_regrow(runtime);
    if (goes_on(runtime, turn))
        keep_house(runtime, policy);
    end(runtime, turn);
}

void gov__work_lost_locked(struct gov_runtime *runtime, pthread_t by)
{
    if (!runtime->working || !pthread_equal(runtime->worker, by))
        return;
    runtime->working = false;
    runtime->work_turn++;
    runtime->work_lost = true;
}

bool gov__work_abandon(struct gov_runtime *runtime)
{
    const struct gov_platform *p = runtime->platform;
    const uint64_t now_us = p->now_us(p->ctx);
    bool lost;

    (void)gov__relief_overdue(runtime, now_us);
    pthread_mutex_lock(&runtime->lock);
    if (runtime->working && runtime->waits_since_us != 0 &&
        now_us > runtime->waits_since_us &&
        now_us - runtime->waits_since_us > GOV__STUCK_US)
        gov__work_lost_locked(runtime, runtime->worker);
    lost = runtime->work_lost;
    runtime->work_lost = false;
    pthread_mutex_unlock(&runtime->lock);
    return lost;
}
