/* SPDX-License-Identifier: MIT */
/* See pass_meter.h. Knows neither what waits nor what is read: it is told. */
#include "governor/memory/pass_meter.h"

#include <string.h>

/* ---- sums that stop at the largest number ------------------------------------ */

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
    uint64_t old = atomic_load_explicit(to, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(
        to, &old, plus(old, n), memory_order_relaxed, memory_order_relaxed))
        ;
}

static uint64_t waited_for(const struct gov__pass_meter *meter, uint32_t unit)
{
    return atomic_load_explicit(&meter->units[unit].waited_us,
                                memory_order_relaxed);
}

/* ---- a pass ------------------------------------------------------------------- */

static bool count(const struct gov__pass_meter *meter,
                  struct gov__pass_counts *out)
{
    const struct gov_platform *platform = meter->platform;

    memset(out, 0, sizeof(*out));
    return platform->pass_counts != NULL &&
           platform->pass_counts(platform->ctx, out) == 0;
}

/* The clock is read last here and first at the end, so that a pass does not take
 * the time that its counting takes. */
void gov__pass_meter_begin(struct gov__pass_meter *meter)
{
    const struct gov_platform *platform = meter->platform;
    struct gov__pass_counts before;
    bool counted = count(meter, &before);

    pthread_mutex_lock(&meter->lock);
    meter->counted = counted;
    meter->before = before;
    meter->waited_us = 0;
    meter->span_count = 0;
    for (uint32_t i = 0; i < meter->unit_count; i++)
        meter->worst_from[i] = waited_for(meter, i);
    atomic_store_explicit(&meter->pass_late, 0, memory_order_relaxed);
    meter->begun = true;
    meter->began_us = platform->now_us(platform->ctx);
    pthread_mutex_unlock(&meter->lock);
}

/* The counters may be another group's than they were, which the process was moved
 * to, and so be smaller. */
static void count_between(struct gov_pass_account *pass,
                          const struct gov__pass_counts *before,
                          const struct gov__pass_counts *now)
{
    pass->minor_faults = gov__less(now->minor_faults, before->minor_faults);
    pass->major_faults = gov__less(now->major_faults, before->major_faults);
    pass->read_known = before->have_read_bytes && now->have_read_bytes;
    if (pass->read_known)
        pass->read_bytes = gov__less(now->read_bytes, before->read_bytes);
    pass->reclaim_known = before->have_reclaim && now->have_reclaim;
    if (pass->reclaim_known)
        pass->reclaim_us = gov__less(now->reclaim_us, before->reclaim_us);
}

/* The kernel counts time in which any task of the group stalled, also such that
 * the pass did not wait for, and a thread that waits for weights may stall for
 * memory at the same time: neither may make the parts more than the whole. */
static void share_out(struct gov_pass_account *pass)
{
    uint64_t left = pass->pass_us;

    if (pass->weights_us > left)
        pass->weights_us = left;
    left -= pass->weights_us;
    if (pass->reclaim_us > left)
        pass->reclaim_us = left;
    pass->compute_us = left - pass->reclaim_us;
}

static void find_worst(struct gov__pass_meter *meter,
                       struct gov_pass_account *pass)
{
    uint64_t most_in_pass = 0, most = 0;

    pass->worst_unit = UINT32_MAX;
    for (uint32_t i = 0; i < meter->unit_count; i++) {
        uint64_t waited = waited_for(meter, i);

        if (waited - meter->worst_from[i] > most_in_pass) {
            most_in_pass = waited - meter->worst_from[i];
            pass->worst_unit = i;
        }
        if (waited > most) {
            most = waited;
            meter->sum.worst_unit = i;
        }
    }
}

static void add_to_sum(struct gov_pass_account *sum,
                       const struct gov_pass_account *pass, bool first)
{
    sum->pass_us = plus(sum->pass_us, pass->pass_us);
    sum->weights_us = plus(sum->weights_us, pass->weights_us);
    sum->reclaim_us = plus(sum->reclaim_us, pass->reclaim_us);
    sum->compute_us = plus(sum->compute_us, pass->compute_us);
    sum->minor_faults = plus(sum->minor_faults, pass->minor_faults);
    sum->major_faults = plus(sum->major_faults, pass->major_faults);
    sum->read_bytes = plus(sum->read_bytes, pass->read_bytes);
    sum->late_units = pass->late_units > UINT32_MAX - sum->late_units
                          ? UINT32_MAX
                          : sum->late_units + pass->late_units;
    sum->read_known = pass->read_known && (first || sum->read_known);
    sum->reclaim_known = pass->reclaim_known && (first || sum->reclaim_known);
}

bool gov__pass_meter_end(struct gov__pass_meter *meter,
                         struct gov_pass_account *out)
{
    const struct gov_platform *platform = meter->platform;
    uint64_t now_us = platform->now_us(platform->ctx);
    struct gov_pass_account pass;
    struct gov__pass_counts now;
    bool counted = count(meter, &now), begun;

    memset(&pass, 0, sizeof(pass));
    pthread_mutex_lock(&meter->lock);
    begun = meter->begun;
    if (begun) {
        pass.pass_us = gov__less(now_us, meter->began_us);
        pass.weights_us = meter->waited_us;
        pass.late_units =
            atomic_load_explicit(&meter->pass_late, memory_order_relaxed);
        if (counted && meter->counted)
            count_between(&pass, &meter->before, &now);
        share_out(&pass);
        find_worst(meter, &pass);
        add_to_sum(&meter->sum, &pass, !meter->ended);
        meter->last = pass;
        meter->ended = true;
        meter->begun = false;
    }
    pthread_mutex_unlock(&meter->lock);
    if (out != NULL)
        *out = pass;
    return begun;
}

/* ---- what it is told ---------------------------------------------------------- */

/* Adds what of [begin, end) no span has. Waits are told as they end, so that the
 * last span ends last, and those that the new one reaches into are the last ones.
 * Where there are too many the oldest is forgotten: to be counted twice, a wait
 * would have to outlast fifteen others that lie apart. */
static void add_span(struct gov__pass_meter *meter, uint64_t begin,
                     uint64_t end)
{
    uint64_t known = 0;

    while (meter->span_count > 0) {
        const struct gov__meter_span *last =
            &meter->spans[meter->span_count - 1];

        if (last->end_us < begin)
            break;
        known += last->end_us - last->begin_us;
        if (last->begin_us < begin)
            begin = last->begin_us;
        meter->span_count--;
    }
    meter->waited_us += end - begin - known;
    if (meter->span_count == GOV__METER_SPANS) {
        meter->span_count--;
        memmove(meter->spans, meter->spans + 1,
                meter->span_count * sizeof(*meter->spans));
    }
    meter->spans[meter->span_count++] = (struct gov__meter_span){begin, end};
}

void gov__pass_meter_waited(struct gov__pass_meter *meter, uint32_t unit,
                            uint64_t us)
{
    const struct gov_platform *platform = meter->platform;

    if (unit >= meter->unit_count)
        return;
    add(&meter->units[unit].waited_us, us);
    pthread_mutex_lock(&meter->lock);
    if (meter->begun) {
        /* Under the lock: the order of ends is what add_span() stands on. */
        uint64_t end = platform->now_us(platform->ctx);
        uint64_t begin = gov__less(end, us);

        if (begin < meter->began_us)
            begin = meter->began_us;
        if (begin < end)
            add_span(meter, begin, end);
    }
    pthread_mutex_unlock(&meter->lock);
}

void gov__pass_meter_late(struct gov__pass_meter *meter, uint32_t unit)
{
    _Atomic uint32_t *late = &meter->pass_late;
    uint32_t old = atomic_load_explicit(late, memory_order_relaxed);

    if (unit >= meter->unit_count)
        return;
    add(&meter->units[unit].late, 1);
    while (old < UINT32_MAX &&
           !atomic_compare_exchange_weak_explicit(
               late, &old, old + 1, memory_order_relaxed, memory_order_relaxed))
        ;
}

void gov__pass_meter_read(struct gov__pass_meter *meter, uint32_t unit,
                          uint64_t bytes)
{
    if (unit >= meter->unit_count)
        return;
    add(&meter->units[unit].read_bytes, bytes);
    add(&meter->units[unit].reads, 1);
}

/* ---- what it tells ------------------------------------------------------------ */

void gov__pass_meter_account(struct gov__pass_meter *meter,
                             struct gov_weights_account *out)
{
    pthread_mutex_lock(&meter->lock);
    out->last = meter->last;
    out->sum = meter->sum;
    pthread_mutex_unlock(&meter->lock);
}

bool gov__pass_meter_unit(const struct gov__pass_meter *meter, uint32_t unit,
                          struct gov_unit_account *out)
{
    const struct gov__unit_meter *from;

    memset(out, 0, sizeof(*out));
    if (unit >= meter->unit_count)
        return false;
    from = &meter->units[unit];
    out->read_bytes =
        atomic_load_explicit(&from->read_bytes, memory_order_relaxed);
    out->reads = atomic_load_explicit(&from->reads, memory_order_relaxed);
    out->waited_us = waited_for(meter, unit);
    out->late = atomic_load_explicit(&from->late, memory_order_relaxed);
    return true;
}

/* ---- life --------------------------------------------------------------------- */

int gov__pass_meter_init(struct gov__pass_meter *meter)
{
    atomic_init(&meter->pass_late, 0);
    meter->begun = false;
    meter->ended = false;
    meter->counted = false;
    meter->span_count = 0;
    memset(&meter->last, 0, sizeof(meter->last));
    meter->last.worst_unit = UINT32_MAX;
    meter->sum = meter->last;
    return pthread_mutex_init(&meter->lock, NULL);
}

void gov__pass_meter_fini(struct gov__pass_meter *meter)
{
    pthread_mutex_destroy(&meter->lock);
}
