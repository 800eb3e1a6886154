/* SPDX-License-Identifier: MIT */
/* The order of experts and its account: which are there, which was used longest
 * ago, and which pages that means. Pure data: makes no system call, takes no
 * lock, allocates nothing. */
#include "governor/memory/experts.h"

#include <assert.h>

uint32_t gov__experts_find(const struct gov__experts *experts, uint32_t unit,
                           uint32_t number)
{
    const struct gov__expert_unit *u;
    uint32_t index;

    if (!gov__experts_owns(experts, unit))
        return GOV__NO_EXPERT;
    u = &experts->units[unit];
    if (number - u->low >= u->count) /* also wraps around: numbers below */
        return GOV__NO_EXPERT;
    index = u->first + (number - u->low);
    return experts->experts[index].slices == GOV__NO_SLICE ? GOV__NO_EXPERT
                                                           : index;
}

/* ---- pages ---------------------------------------------------------------- */

void gov__experts_pages(const struct gov__experts *experts, uint32_t slice,
                        uint64_t *begin, uint64_t *end)
{
    const struct gov__slice *s = &experts->slices[slice];
    uint64_t page = experts->range->page;

    *begin = gov__round_down(s->offset, page);
    *end = gov__round_up(s->offset + s->bytes, page);
}

/* Whether the page that a slice shares with another one is the other's. Of two
 * slices of one expert it is the earlier's, so that it counts once. */
static bool holds(const struct gov__experts *experts,
                  const struct gov__slice *other, uint32_t expert, bool earlier)
{
    if (other->expert == GOV__NO_EXPERT)
        return true;
    if (other->expert == expert)
        return earlier;
    return experts->experts[other->expert].there;
}

/* Several small slices may share one page, so look past the nearest. */
void gov__experts_own_pages(const struct gov__experts *experts, uint32_t slice,
                            uint64_t *begin, uint64_t *end)
{
    const struct gov__slice *s = &experts->slices[slice];
    uint64_t first, last, from, to;

    gov__experts_pages(experts, slice, &first, &last);
    *begin = first;
    *end = last;
    for (uint32_t i = slice; i-- > 0 && experts->slices[i].file == s->file;) {
        gov__experts_pages(experts, i, &from, &to);
        if (to <= first)
            break;
        if (to > *begin && holds(experts, &experts->slices[i], s->expert, true))
            *begin = to;
    }
    for (uint32_t i = slice + 1;
         i < experts->slice_count && experts->slices[i].file == s->file; i++) {
        gov__experts_pages(experts, i, &from, &to);
        if (from >= last)
            break;
        if (from < *end &&
            holds(experts, &experts->slices[i], s->expert, false))
            *end = from;
    }
    if (*end < *begin)
        *end = *begin;
}

uint64_t gov__experts_own_bytes(const struct gov__experts *experts,
                                uint32_t index)
{
    uint64_t bytes = 0, begin, end;

    for (uint32_t s = experts->experts[index].slices; s != GOV__NO_SLICE;
         s = experts->slices[s].next) {
        gov__experts_own_pages(experts, s, &begin, &end);
        bytes += end - begin;
    }
    return bytes;
}

/* ---- the list ------------------------------------------------------------- */

static void unlink_it(struct gov__experts *experts, uint32_t index)
{
    struct gov__expert *e = &experts->experts[index];

    if (e->newer == GOV__NO_EXPERT)
        experts->newest = e->older;
    else
        experts->experts[e->newer].older = e->older;
    if (e->older == GOV__NO_EXPERT)
        experts->oldest = e->newer;
    else
        experts->experts[e->older].newer = e->newer;
}

static void arrive(struct gov__experts *experts, uint32_t index)
{
    experts->there_bytes += gov__experts_own_bytes(experts, index);
    experts->experts[index].there = true;
}

void gov__experts_touch(struct gov__experts *experts, uint32_t index)
{
    struct gov__expert *e = &experts->experts[index];

    if (e->there)
        unlink_it(experts, index);
    else
        arrive(experts, index);
    e->newer = GOV__NO_EXPERT;
    e->older = experts->newest;
    if (experts->newest != GOV__NO_EXPERT)
        experts->experts[experts->newest].newer = index;
    else
        experts->oldest = index;
    experts->newest = index;
}

void gov__experts_append(struct gov__experts *experts, uint32_t index)
{
    struct gov__expert *e = &experts->experts[index];

    assert(!e->there);
    arrive(experts, index);
    e->older = GOV__NO_EXPERT;
    e->newer = experts->oldest;
    if (experts->oldest != GOV__NO_EXPERT)
        experts->experts[experts->oldest].older = index;
    else
        experts->newest = index;
    experts->oldest = index;
}

/* What is needed was touched by the last call, so it is the newest of all: where
 * the oldest is needed, everything is. */
uint32_t gov__experts_next_drop(const struct gov__experts *experts)
{
    uint32_t oldest = experts->oldest;

    if (experts->there_bytes <= experts->limit_bytes ||
        oldest == GOV__NO_EXPERT ||
        experts->experts[oldest].step == experts->step)
        return GOV__NO_EXPERT;
    return oldest;
}

void gov__experts_forget(struct gov__experts *experts, uint32_t index)
{
    struct gov__expert *e = &experts->experts[index];

    assert(e->there);
    unlink_it(experts, index);
    e->there = false;
    experts->there_bytes -= gov__experts_own_bytes(experts, index);
}
