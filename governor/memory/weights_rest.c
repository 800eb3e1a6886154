/* SPDX-License-Identifier: MIT */
/* Tells who shows the weights when they have come to rest: what is resident is dear to
 * ask for, and between two passes nobody asks. Owns weights->rest. */
#include "governor/memory/weights_state.h"

/* Where nothing moves by the streamer the kernel may still take pages. Of the time the
 * calls take one part in so many. */
#define REST_SHARE 1000

void gov_weights_on_rest(gov_weights *weights, void (*rest)(void *ctx),
                         void *ctx)
{
    pthread_mutex_lock(&weights->rest.lock);
    weights->rest.call = rest;
    weights->rest.ctx = ctx;
    weights->rest.due_us = 0;
    pthread_mutex_unlock(&weights->rest.lock);
}

static uint64_t moved_bytes(const gov_weights *weights)
{
    const struct gov__streamer *s = &weights->streamer;

    return atomic_load(&s->streamed_bytes) + atomic_load(&s->dropped_bytes) +
           atomic_load(&s->found_bytes);
}

static void call_locked(gov_weights *weights, uint64_t now_us)
{
    const struct gov_platform *platform = weights->range.platform;
    struct gov__weights_rest *rest = &weights->rest;

    if (rest->call == NULL || now_us < rest->due_us)
        return;
    rest->call(rest->ctx);
    rest->due_us =
        now_us + (platform->now_us(platform->ctx) - now_us) * REST_SHARE;
}

void gov__weights_rest(gov_weights *weights, bool idle)
{
    const struct gov_platform *platform = weights->range.platform;
    struct gov__weights_rest *rest = &weights->rest;
    const uint64_t moved = moved_bytes(weights);

    pthread_mutex_lock(&rest->lock);
    if (moved != rest->moved_bytes || !idle)
        rest->due_us = 0; /* what it was told last is of before */
    else
        call_locked(weights, platform->now_us(platform->ctx));
    rest->moved_bytes = moved;
    pthread_mutex_unlock(&rest->lock);
}
