/* SPDX-License-Identifier: MIT */
/* The governed range in use: where the engine is, how much may stay, and what it
 * all cost. */
#include <string.h>

#include "governor/memory/arrivals.h"
#include "governor/memory/weights_state.h"

/* ---- passes ---------------------------------------------------------------- */

/* Who wants to write gets the file, and the weights are no longer to be believed:
 * what is not anchored would show the new bytes. */
bool gov__weights_unchanged(gov_weights *weights)
{
    enum gov__file_news news;
    uint32_t file = 0;

    if (atomic_load(&weights->changed))
        return false;
    pthread_mutex_lock(&weights->guard_lock);
    news = gov__file_guard_look(&weights->guard, &file);
    if (news != GOV__FILE_SAME)
        atomic_store(&weights->changed, true);
    for (file = 0; news != GOV__FILE_SAME && file < weights->range.file_count;
         file++)
        gov__file_guard_yield(&weights->guard, file);
    pthread_mutex_unlock(&weights->guard_lock);
    return news == GOV__FILE_SAME;
}

gov_status gov_weights_pass_begin(gov_weights *weights, gov_error *err)
{
    if (!gov__weights_unchanged(weights))
        return gov_fail(err, GOV_E_IO, 0,
                        "the model's file was written to while it is in use; "
                        "unload it and load it again");
    atomic_store(&weights->in_pass, true);
    gov__pass_meter_begin(&weights->meter);
    gov_weights_reached(weights, 0);
    return GOV_OK;
}

bool gov_weights_pass_end(gov_weights *weights, struct gov_pass_account *out)
{
    bool unchanged = gov__weights_unchanged(weights);
    bool ended = gov__pass_meter_end(&weights->meter, out);

    atomic_store(&weights->in_pass, false);
    if (out != NULL && ended)
        out->changed = !unchanged;
    return ended;
}

void gov_weights_reached(gov_weights *weights, uint32_t unit)
{
    if (unit < weights->streamer.res.unit_count)
        gov__streamer_reached(&weights->streamer, unit);
}

void gov_weights_used(gov_weights *weights, uint32_t unit,
                      const uint32_t *experts, size_t count)
{
    struct gov__experts_wait wait;

    if (!weights->has_experts)
        return;
    wait = gov__experts_used(&weights->experts, unit, experts, count);
    if (wait.bytes > 0)
        gov__pass_meter_read(&weights->meter, unit, wait.bytes);
    if (wait.us > 0)
        gov__pass_meter_waited(&weights->meter, unit, wait.us);
}

/* ---- how much stays ---------------------------------------------------------- */

/* Experts have what the rest leaves, as long as all of that stays: then no window
 * is needed either. */
uint64_t gov_weights_set_hot(gov_weights *weights, uint64_t hot_bytes)
{
    struct gov__streamer *s = &weights->streamer;
    uint64_t stays, left;

    if (!weights->has_experts)
        return gov__streamer_set_hot(s, hot_bytes) + weights->decrypted_bytes;
    pthread_mutex_lock(&weights->hot_lock);
    stays = gov__streamer_set_hot(s, hot_bytes);
    pthread_mutex_lock(&s->lock);
    left = s->cold_bytes == 0 ? gov__less(hot_bytes, stays) : 0;
    pthread_mutex_unlock(&s->lock);
    gov__experts_set_limit(&weights->experts, left);
    pthread_mutex_unlock(&weights->hot_lock);
    return stays + (left < weights->experts.all_bytes
                        ? left
                        : weights->experts.all_bytes);
}

void gov_weights_pause(gov_weights *weights, bool pause)
{
    gov__streamer_pause(&weights->streamer, pause);
}

bool gov_weights_wait(gov_weights *weights, bool all, uint32_t timeout_ms)
{
    return gov__arrivals_wait(&weights->streamer, all, timeout_ms);
}

/* ---- accounts ---------------------------------------------------------------- */

static void count_resident(const gov_weights *weights,
                           struct gov_weights_account *out)
{
    const struct gov_platform *platform = weights->range.platform;

    out->resident_known = true;
    for (uint32_t i = 0; i < weights->range.file_count; i++) {
        const struct gov__range_file *file = &weights->range.files[i];
        uint64_t bytes = 0;

        if (!file->tells_resident ||
            platform->resident(platform->ctx, file->base, file->bytes,
                               &bytes) != 0)
            out->resident_known = false;
        out->resident_bytes += bytes;
    }
    if (!out->resident_known)
        out->resident_bytes = 0;
}

/* Those that are decided together, and what follows from them. */
static void count_shares(gov_weights *weights, struct gov_weights_account *out)
{
    struct gov__streamer *s = &weights->streamer;

    pthread_mutex_lock(&s->lock);
    out->hot_bytes = s->hot_bytes;
    out->cold_bytes = s->cold_bytes;
    out->window_bytes = s->window_bytes;
    pthread_mutex_unlock(&s->lock);
    /* Slots are there as long as anything is cold, however little passes. */
    if (out->cold_bytes > 0 && out->window_bytes < atomic_load(&s->slot_bytes))
        out->window_bytes = atomic_load(&s->slot_bytes);
    if (weights->read_rate > 0)
        out->warm_expected_us = gov__less(out->hot_bytes, out->found_bytes) *
                                1000 / (weights->read_rate / 1000 + 1);
    out->hot_bytes += weights->decrypted_bytes;
    if (!weights->has_experts)
        return;
    gov__experts_account(&weights->experts, out);
    if (out->expert_limit_bytes > weights->experts.all_bytes)
        out->expert_limit_bytes = weights->experts.all_bytes;
    out->hot_bytes += out->expert_limit_bytes;
    out->cold_bytes += weights->experts.all_bytes - out->expert_limit_bytes;
}

void gov_weights_account(gov_weights *weights, bool exact,
                         struct gov_weights_account *out)
{
    struct gov__streamer *s = &weights->streamer;
    const struct gov_platform *platform = weights->range.platform;

    memset(out, 0, sizeof(*out));
    out->mapped_bytes = weights->mapped_bytes;
    out->streamed_bytes = atomic_load(&s->streamed_bytes);
    out->dropped_bytes = atomic_load(&s->dropped_bytes);
    out->late_units = atomic_load(&s->late_units);
    out->passes = atomic_load(&s->passes);
    out->failures =
        atomic_load(&s->failures) + atomic_load(&weights->bells.failures);
    out->anchored_bytes =
        atomic_load(&s->placed_bytes) + weights->decrypted_bytes;
    out->copied_bytes =
        weights->owned != NULL ? weights->owned->copied_bytes : 0;
    out->found_bytes = atomic_load(&s->found_bytes);
    out->there_bytes = atomic_load(&s->there_bytes) + weights->decrypted_bytes;
    out->ready = atomic_load(&s->is_ready);
    out->warm = atomic_load(&s->is_warm);
    out->warm_us = out->warm ? atomic_load(&s->warm_us)
                             : platform->now_us(platform->ctx) - s->start_us;
    out->paused = atomic_load(&s->paused);
    out->changed = atomic_load(&weights->changed);
    out->ahead = atomic_load(&s->ahead);
    gov__pass_meter_account(&weights->meter, out);
    out->last.changed = out->sum.changed = out->changed;
    count_shares(weights, out);
    if (exact)
        count_resident(weights, out);
}

bool gov_weights_unit(gov_weights *weights, uint32_t unit,
                      struct gov_unit_account *out)
{
    return gov__pass_meter_unit(&weights->meter, unit, out);
}

size_t gov_weights_map(gov_weights *weights, char *out, size_t bytes)
{
    const struct gov__streamer *s = &weights->streamer;
    size_t count = s->res.unit_count;

    if (bytes == 0)
        return count;
    for (size_t i = 0; i < count && i < bytes - 1; i++)
        out[i] =
            (char)(atomic_load_explicit(&s->shown[i], memory_order_relaxed) &
                   ~GOV__SHOWN_MISSING);
    out[count < bytes - 1 ? count : bytes - 1] = '\0';
    return count;
}
