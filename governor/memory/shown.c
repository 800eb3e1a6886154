/* SPDX-License-Identifier: MIT */
#include "governor/memory/shown.h"

static unsigned char shown_of(const struct gov__streamer *s,
                              const struct gov__unit *unit)
{
    bool hot = false, warming = false, cold = false, absent = false;

    for (uint32_t i = unit->first; i < unit->first + unit->parts; i++) {
        const struct gov__part *part = &s->res.parts[i];
        bool there = part->held == GOV__PRESENT;

        hot = hot || part->hot;
        cold = cold || !part->hot;
        warming = warming || (part->hot && !there);
        absent = absent || (!part->hot && !there);
    }
    if (unit->use == GOV__USE_OTHERS || (cold && unit->use == GOV__USE_ROWS))
        return GOV__SHOWN_ROWS;
    if (warming)
        return GOV__SHOWN_WARMING;
    if (absent)
        return hot ? GOV__SHOWN_PARTLY : GOV__SHOWN_ABSENT;
    return cold ? GOV__SHOWN_STREAMED : GOV__SHOWN_HOT;
}

static void store(struct gov__streamer *s, uint32_t index)
{
    const struct gov__unit *unit = &s->res.units[index];
    unsigned char c = shown_of(s, unit);

    if (unit->missing > 0)
        c |= GOV__SHOWN_MISSING;
    atomic_store(&s->shown[index], c);
}

/* `shown` is stored before `waiters` is read, and who waits does it the other way
 * round, both sequentially consistent: one of the two sees the other. */
static void show(struct gov__streamer *s, uint32_t index)
{
    store(s, index);
    if (s->res.units[index].missing == 0 && atomic_load(&s->waiters) > 0) {
        pthread_mutex_lock(&s->lock);
        pthread_cond_broadcast(&s->arrived);
        pthread_mutex_unlock(&s->lock);
    }
}

void gov__shown_all(struct gov__streamer *s)
{
    uint64_t there = 0;

    for (uint32_t i = 0; i < s->res.part_count; i++)
        if (s->res.parts[i].hot && s->res.parts[i].held == GOV__PRESENT &&
            s->res.units[s->res.parts[i].unit].use != GOV__USE_OTHERS)
            there += gov__part_bytes(&s->res.parts[i]);
    atomic_store(&s->there_bytes, there);
    for (uint32_t i = 0; i < s->res.unit_count; i++)
        store(s, i);
}

void gov__shown_hold(struct gov__streamer *s, uint32_t index,
                     enum gov__held held)
{
    struct gov__part *part = &s->res.parts[index];

    if (part->held == GOV__COMING && !part->out)
        s->coming--;
    if (part->hot && part->held == GOV__PRESENT && held != GOV__PRESENT)
        atomic_fetch_sub(&s->there_bytes, gov__part_bytes(part));
    if (part->hot && part->held != GOV__PRESENT && held == GOV__PRESENT)
        gov__count(&s->there_bytes, gov__part_bytes(part));
    if (held == GOV__COMING && !part->out)
        s->coming++;
    gov__residency_hold(&s->res, index, held);
    show(s, part->unit);
}

/* ---- what the engine asks --------------------------------------------------- */

bool gov__shown_missing(const struct gov__streamer *s, uint32_t unit)
{
    do
        if ((atomic_load(&s->shown[unit]) & GOV__SHOWN_MISSING) != 0)
            return true;
    while (++unit < s->res.unit_count && s->res.units[unit].joined);
    return false;
}

/* Whether the streamer has something to do when the engine comes to a layer or leaves
 * it: nothing where all of it is hot and there, and waking it takes a processor from
 * the engine. */
static bool is_of_interest(const struct gov__streamer *s, uint32_t unit)
{
    while (unit > 0 && s->res.units[unit].joined)
        unit--;
    do {
        unsigned char c = atomic_load(&s->shown[unit]);

        if (c != GOV__SHOWN_HOT && c != GOV__SHOWN_ROWS)
            return true;
    } while (++unit < s->res.unit_count && s->res.units[unit].joined);
    return false;
}

bool gov__shown_interest(const struct gov__streamer *s, uint32_t before,
                         uint32_t unit)
{
    if (unit <= before) /* a pass begins, or nobody knows */
        return true;
    for (uint32_t i = before; i <= unit; i++)
        if (is_of_interest(s, i))
            return true;
    return false;
}
