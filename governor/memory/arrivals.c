/* SPDX-License-Identifier: MIT */
#include "governor/memory/arrivals.h"

#include "governor/memory/anchor.h"
#include "governor/memory/shown.h"
#include "governor/memory/stream_sleep.h"

/* What the first pass begins with. */
static bool is_ready(const struct gov__streamer *s)
{
    uint32_t layers = 0;

    for (uint32_t i = 0; i < s->res.unit_count; i++) {
        if (!s->res.units[i].joined && layers++ > s->res.ahead)
            break;
        if (s->res.units[i].missing > 0)
            return false;
    }
    return true;
}

static void reach_ready(struct gov__streamer *s)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->is_ready, true);
    pthread_cond_broadcast(&s->arrived);
    pthread_mutex_unlock(&s->lock);
}

/* Whoever hears of progress may want no more of it. */
static void tell_progress(struct gov__streamer *s, bool last)
{
    uint64_t hot, now = gov__streamer_now_us(s);
    uint64_t there = atomic_load(&s->there_bytes);

    if (s->progress == NULL || atomic_load(&s->is_warm) ||
        s->res.warm == GOV_WARM_NONE ||
        (!last && now - s->told_us < GOV__PROGRESS_US))
        return;
    s->told_us = now;
    pthread_mutex_lock(&s->lock);
    hot = s->hot_bytes;
    pthread_mutex_unlock(&s->lock);
    if (s->progress(s->progress_ctx,
                    last || there >= hot ? 1000
                                         : (uint32_t)(there / (hot / 1000 + 1)),
                    "reading weights") ||
        last)
        return;
    s->res.warm = GOV_WARM_NONE; /* and so nothing hot is missing any more */
    atomic_fetch_add(&s->orders, 1);
}

/* Who decides meanwhile that more is hot waits for a later turn. */
static void reach_all(struct gov__streamer *s, uint32_t orders)
{
    pthread_mutex_lock(&s->lock);
    if (atomic_load(&s->orders) == orders) {
        atomic_store(&s->all_there, true);
        pthread_cond_broadcast(&s->arrived);
    }
    pthread_mutex_unlock(&s->lock);
}

void gov__arrivals_look(struct gov__streamer *s, uint32_t orders)
{
    if (!atomic_load(&s->is_ready) && is_ready(s)) {
        reach_ready(s);
        if (s->ready != NULL)
            s->ready(s->ready_ctx);
    }
    if (atomic_load(&s->all_there) || !gov__residency_is_warm(&s->res))
        return;
    if (!atomic_load(&s->is_warm)) {
        atomic_store(&s->warm_us, gov__streamer_now_us(s) - s->start_us);
        tell_progress(s, true);
        atomic_store(&s->is_warm, true);
    }
    reach_all(s, orders);
}

void gov__arrivals_tell(struct gov__streamer *s)
{
    tell_progress(s, false);
}

/* ---- who waits ---------------------------------------------------------------- */

void gov__arrivals_wait_for_unit(struct gov__streamer *s, uint32_t unit)
{
    uint64_t began = gov__streamer_now_us(s), waited;
    struct timespec time;
    int rc = 0;

    gov__sleep_until(&time, (uint64_t)s->patience_ms * 1000);
    pthread_mutex_lock(&s->lock);
    atomic_fetch_add(&s->waiters, 1);
    while (gov__shown_missing(s, unit) && !atomic_load(&s->stop) && rc == 0)
        rc = pthread_cond_timedwait(&s->arrived, &s->lock, &time);
    atomic_fetch_sub(&s->waiters, 1);
    pthread_mutex_unlock(&s->lock);
    waited = gov__streamer_now_us(s) - began;
    gov__count(&s->waited_sum_us, waited);
    gov__pass_meter_waited(s->meter, unit, waited);
}

bool gov__arrivals_wait(struct gov__streamer *s, bool all, uint32_t timeout_ms)
{
    atomic_bool *milestone = all ? &s->all_there : &s->is_ready;
    struct timespec time;
    int rc = 0;

    gov__sleep_until(&time, (uint64_t)timeout_ms * 1000);
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(milestone) && !atomic_load(&s->stop) && rc == 0)
        rc = pthread_cond_timedwait(&s->arrived, &s->lock, &time);
    pthread_mutex_unlock(&s->lock);
    return atomic_load(milestone);
}
