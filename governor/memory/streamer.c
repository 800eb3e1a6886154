/* SPDX-License-Identifier: MIT */
#include "governor/memory/streamer.h"

#include <errno.h>

#include "governor/memory/advice.h"
#include "governor/memory/arrivals.h"
#include "governor/memory/parts.h"
#include "governor/memory/shares.h"
#include "governor/memory/shown.h"
#include "governor/memory/stream_reads.h"
#include "governor/memory/stream_sleep.h"

/* ---- the thread ------------------------------------------------------------- */

/* Sleeps until there is news, or so long where that is not 0; false when the
 * streamer shall end. */
static bool wait_for_news(struct gov__streamer *s, struct gov__seen *seen,
                          uint64_t wait_us)
{
    bool go_on, ordered;

    pthread_mutex_lock(&s->lock);
    gov__sleep_locked(s, seen, wait_us);
    ordered = atomic_load(&s->orders) != seen->orders;
    if (ordered) {
        seen->orders = atomic_load(&s->orders);
        gov__shares_apply_locked(s);
    }
    go_on = !atomic_load(&s->stop);
    pthread_mutex_unlock(&s->lock);
    if (ordered && go_on) {
        gov__parts_leave_forms(s);
        gov__advice_huge(s);
    }
    return go_on;
}

/* Where the engine is, and whether it came around and past where it was: at the
 * same unit it may be a pass later. */
static void look(struct gov__streamer *s, struct gov__seen *seen)
{
    uint32_t position = atomic_load(&s->position);
    uint64_t passes = atomic_load(&s->passes);

    if (passes - seen->passes > 1 ||
        (passes != seen->passes && position >= seen->position))
        gov__residency_lap(&s->res);
    if (passes != seen->passes)
        gov__shares_adapt(s);
    seen->position = position;
    seen->passes = passes;
    gov__residency_aim(&s->res, position);
}

/* One turn: goes where the engine is, drops, and reads until there is news or
 * nothing more may be read. Returns how long to sleep for that; 0: for news. */
static uint64_t follow(struct gov__streamer *s, struct gov__seen *seen)
{
    uint32_t from;

    seen->done = atomic_load(&s->done);
    gov__stream_reads_take(s);
    gov__advice_take_rows_in(s);
    look(s, seen);
    if (s->res.warm == GOV_WARM_NONE) /* the engine may have brought more in */
        gov__shown_all(s);
    from = s->res.units[seen->position].first;
    gov__stream_reads_begin(s, from);
    gov__parts_drop_behind(s);
    while (!gov__sleep_has_news(s, seen) && gov__stream_reads_one(s, from))
        gov__arrivals_tell(s);
    gov__parts_free_slots(s);
    gov__arrivals_look(s, seen->orders);
    gov__arrivals_tell(s);
    gov__advice_when_warm(s);
    return gov__stream_reads_wait_us(s, from);
}

static void *run(void *arg)
{
    struct gov__streamer *s = arg;
    struct gov__seen seen = {UINT32_MAX, 0, 0, 0};
    uint64_t wait_us = 0, ticked_us = s->start_us;

    gov__advice_try_huge(s);
    while (wait_for_news(s, &seen, wait_us)) {
        wait_us = follow(s, &seen);
        if (s->tick != NULL &&
            gov__streamer_now_us(s) - ticked_us >= GOV__TICK_US) {
            ticked_us = gov__streamer_now_us(s);
            s->tick(s->tick_ctx);
        }
    }
    gov__stream_reads_end(s);
    return NULL;
}

/* ---- from outside ------------------------------------------------------------- */

/* That a drop did not help may also be because the engine reads there already. */
static bool is_mapped_elsewhere(const struct gov__streamer *s)
{
    const struct gov_platform *platform = s->range->platform;
    bool mapped = false;

    for (uint32_t i = 0; i < s->range->file_count && !mapped; i++)
        if (platform->mapped_elsewhere(platform->ctx, s->range->files[i].fd,
                                       &mapped) != 0)
            mapped = false;
    return mapped;
}

int gov__streamer_start(struct gov__streamer *s, uint64_t hot_bytes)
{
    int rc;

    rc = pthread_mutex_init(&s->lock, NULL);
    if (rc != 0)
        return rc;
    rc = pthread_cond_init(&s->wake, NULL);
    if (rc != 0)
        goto fail_lock;
    rc = pthread_cond_init(&s->arrived, NULL);
    if (rc != 0)
        goto fail_wake;
    s->start_us = gov__streamer_now_us(s);
    s->asked_ahead = s->target_ahead = s->distance.now = s->res.ahead;
    s->asked_bytes = hot_bytes;
    gov__residency_init(&s->res);
    gov__advice_give(s, s->advise_load);
    gov__shares_decide_locked(s);
    gov__shares_apply_locked(s);
    gov__advice_huge(s);
    gov__residency_aim(&s->res, 0);
    rc = !s->direct && s->cold_bytes > 0 && !gov__parts_can_drop(s) &&
                 is_mapped_elsewhere(s)
             ? EBUSY
             : 0;
    if (rc != 0)
        goto fail_arrived;
    gov__parts_make_slots(s);
    gov__stream_reads_open(s);
    rc = gov__thread_start(&s->thread, run, s);
    if (rc != 0)
        goto fail_reads;
    return 0;
fail_reads:
    gov__stream_reads_close(s);
fail_arrived:
    gov__slots_fini(&s->slots);
    gov__advice_take_back(s);
    pthread_cond_destroy(&s->arrived);
fail_wake:
    pthread_cond_destroy(&s->wake);
fail_lock:
    pthread_mutex_destroy(&s->lock);
    return rc;
}

void gov__streamer_stop(struct gov__streamer *s)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->stop, true);
    gov__sleep_end_locked(s);
    pthread_cond_broadcast(&s->arrived);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    gov__stream_reads_close(s);
    gov__parts_end_slots(s);
    gov__advice_take_back(s);
    pthread_cond_destroy(&s->arrived);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
}

void gov__streamer_reached(struct gov__streamer *s, uint32_t unit)
{
    uint32_t before = atomic_exchange(&s->position, unit);
    bool missing = gov__shown_missing(s, unit);

    if (unit < before)
        atomic_fetch_add(&s->passes, 1);
    if (unit != before && missing) {
        gov__count(&s->late_units, 1);
        gov__pass_meter_late(s->meter, unit);
    }
    /* Signalled under the lock, which the streamer holds from going to sleep
     * until it sleeps: so the signal finds it. */
    if (gov__sleep_is_for_position(s) && gov__shown_interest(s, before, unit)) {
        pthread_mutex_lock(&s->lock);
        gov__sleep_end_locked(s);
        pthread_mutex_unlock(&s->lock);
    }
    if (missing && s->patience_ms > 0)
        gov__arrivals_wait_for_unit(s, unit);
}

uint64_t gov__streamer_set_hot(struct gov__streamer *s, uint64_t hot_bytes)
{
    uint64_t stays;

    pthread_mutex_lock(&s->lock);
    s->asked_bytes = hot_bytes;
    gov__shares_decide_locked(s);
    stays = s->hot_bytes;
    atomic_fetch_add(&s->orders, 1);
    gov__sleep_end_locked(s);
    pthread_mutex_unlock(&s->lock);
    return stays;
}

void gov__streamer_pause(struct gov__streamer *s, bool pause)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->paused, pause);
    atomic_fetch_add(&s->orders, 1);
    gov__sleep_end_locked(s);
    pthread_mutex_unlock(&s->lock);
}
