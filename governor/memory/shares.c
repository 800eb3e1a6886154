/* SPDX-License-Identifier: MIT */
#include "governor/memory/shares.h"

#include "governor/memory/advice.h"
#include "governor/memory/parts.h"
#include "governor/memory/shown.h"
#include "governor/memory/stream_reads.h"

static bool is_more_hot_locked(const struct gov__streamer *s)
{
    for (uint32_t i = 0; i < s->res.part_count; i++)
        if (s->res.parts[i].target_hot && !s->res.parts[i].hot)
            return true;
    return false;
}

/* As far ahead as is tried just now. What the window takes less may stay, and what
 * it takes more may not: together it is what was promised. */
void gov__shares_decide_locked(struct gov__streamer *s)
{
    uint64_t promised, window, limit = s->asked_bytes;
    const struct gov__residency *res = &s->res;

    s->hot_bytes = gov__residency_decide(&s->res, limit);
    window = gov__residency_window_bytes(res, s->asked_ahead);
    promised = limit > UINT64_MAX - window ? UINT64_MAX : limit + window;
    window = gov__residency_window_bytes(res, s->target_ahead);
    for (int i = 0; i < 4 && s->target_ahead != s->asked_ahead; i++) {
        limit = gov__less(promised, window);
        s->hot_bytes = gov__residency_decide(&s->res, limit);
        window = gov__residency_window_bytes(res, s->target_ahead);
        if (s->hot_bytes <= gov__less(promised, window))
            break;
    }
    s->cold_bytes = gov__residency_cold_bytes(res);
    s->window_bytes = window;
    /* New reads start before what is behind has gone. */
    if (s->cold_bytes > 0)
        s->window_bytes +=
            (s->direct ? 2 : GOV__READS_IN_FLIGHT) * GOV__PART_BYTES;
    if (is_more_hot_locked(s))
        atomic_store(&s->all_there, false);
}

void gov__shares_apply_locked(struct gov__streamer *s)
{
    s->res.ahead = s->target_ahead;
    atomic_store(&s->ahead, s->res.ahead);
    gov__residency_apply(&s->res);
    gov__parts_doubt_forms(s);
    gov__advice_readahead(s);
    gov__shown_all(s);
    /* What somebody waits for may be needed no more. */
    pthread_cond_broadcast(&s->arrived);
}

void gov__shares_adapt(struct gov__streamer *s)
{
    uint64_t now = gov__streamer_now_us(s),
             waited = atomic_load(&s->waited_sum_us);
    uint64_t spent = gov__stream_reads_spent_us(s, now);
    bool changed;

    changed = s->distance.most > 0 && s->pass_us != 0 && s->patience_ms > 0 &&
              gov__distance_pass(&s->distance, waited - s->waited_us, spent,
                                 now - s->pass_us);
    s->pass_us = now;
    s->waited_us = waited;
    if (!changed)
        return;
    pthread_mutex_lock(&s->lock);
    s->target_ahead = s->distance.now;
    gov__shares_decide_locked(s);
    atomic_fetch_add(&s->orders, 1);
    pthread_mutex_unlock(&s->lock);
}
