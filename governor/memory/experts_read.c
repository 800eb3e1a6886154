/* SPDX-License-Identifier: MIT */
/* Carries the order of experts out: reads what a call misses, drops what was used
 * longest ago. Touches no page outside of expert slices. Starts no thread and
 * allocates nothing after init.
 *
 * Drops are made under the lock, one expert at a time: about 0.4 us a page, and no
 * disk. So a drop never meets a read of the same pages. They need no thread of
 * their own: each makes room for the next read, while the disk does the earlier
 * ones. */
#include "governor/memory/experts.h"

#include <errno.h>
#include <string.h>

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* ---- dropping ------------------------------------------------------------- */

/* A failure (somebody locked the range) is counted and the pages left. */
static void drop_pages_locked(struct gov__experts *experts, uint32_t index)
{
    const struct gov_platform *platform = experts->range->platform;
    uint64_t begin, end;

    for (uint32_t s = experts->experts[index].slices; s != GOV__NO_SLICE;
         s = experts->slices[s].next) {
        uint32_t file = experts->slices[s].file;
        int fd = experts->range->files[file].fd;

        gov__experts_own_pages(experts, s, &begin, &end);
        if (begin == end)
            continue;
        /* In this order: the cache keeps what is still mapped. */
        if (platform->discard(platform->ctx,
                              gov__range_address(experts->range, file, begin),
                              (size_t)(end - begin)) != 0 ||
            (fd >= 0 &&
             platform->drop_cached(platform->ctx, fd, begin, end - begin) != 0))
            add(&experts->failures, 1);
        else
            add(&experts->dropped_bytes, end - begin);
    }
}

/* Drops one that is too many; false when there is none. */
static bool drop_one_locked(struct gov__experts *experts)
{
    uint32_t index = gov__experts_next_drop(experts);

    if (index == GOV__NO_EXPERT)
        return false;
    drop_pages_locked(experts, index);
    gov__experts_forget(experts, index);
    return true;
}

/* Makes room for what has been asked for, and the next `bytes`: so the disk reads
 * what came first while the rest is dropped. */
static void make_room(struct gov__experts *experts, uint64_t bytes)
{
    experts->pending_bytes = gov__less(experts->pending_bytes, bytes);
    pthread_mutex_lock(&experts->lock);
    while (gov__less(experts->there_bytes, experts->pending_bytes) >
               experts->limit_bytes &&
           drop_one_locked(experts))
        continue;
    pthread_mutex_unlock(&experts->lock);
}

void gov__experts_set_limit(struct gov__experts *experts, uint64_t bytes)
{
    bool more = true;

    pthread_mutex_lock(&experts->lock);
    experts->limit_bytes = bytes;
    pthread_mutex_unlock(&experts->lock);
    /* The engine's thread must not wait for all of it. */
    while (more) {
        pthread_mutex_lock(&experts->lock);
        more = drop_one_locked(experts);
        pthread_mutex_unlock(&experts->lock);
    }
}

/* ---- reading -------------------------------------------------------------- */

enum phase { START, END };

/* Reads are started whatever the advice: what comes by faults alone comes page by
 * page under MADV_RANDOM. That starting fails is harmless: ending reads. */
static void read_slice(struct gov__experts *experts, uint32_t slice,
                       enum phase phase)
{
    const struct gov_platform *platform = experts->range->platform;
    const struct gov__slice *s = &experts->slices[slice];
    uint64_t begin, end;
    void *address;

    gov__experts_pages(experts, slice, &begin, &end);
    address = gov__range_address(experts->range, s->file, begin);
    if (phase == START) {
        make_room(experts, end - begin);
        (void)platform->prefetch(platform->ctx, address, (size_t)(end - begin));
    } else if (platform->populate(platform->ctx, address,
                                  (size_t)(end - begin)) != 0) {
        add(&experts->failures, 1);
        pthread_mutex_lock(&experts->lock);
        experts->experts[s->expert].whole = false;
        pthread_mutex_unlock(&experts->lock);
    }
}

/* Matrix by matrix, and within one in the order of the file, so that a prompt,
 * which uses nearly all experts, reads as a scan does. */
static void read_phase(struct gov__experts *experts,
                       const struct gov__expert_unit *unit, enum phase phase)
{
    struct gov__expert *first = &experts->experts[unit->first];
    bool more = true;

    for (uint32_t i = 0; i < unit->count; i++)
        first[i].at = first[i].coming ? first[i].slices : GOV__NO_SLICE;
    while (more) {
        more = false;
        for (uint32_t i = 0; i < unit->count; i++) {
            uint32_t slice = first[i].at;

            if (slice == GOV__NO_SLICE)
                continue;
            read_slice(experts, slice, phase);
            first[i].at = experts->slices[slice].next;
            more = true;
        }
    }
}

static struct gov__experts_wait
read_missing(struct gov__experts *experts, const struct gov__expert_unit *unit)
{
    const struct gov_platform *platform = experts->range->platform;
    uint64_t began = platform->now_us(platform->ctx);
    struct gov__experts_wait wait = {0, 0};

    /* All at once: a disk is as fast as its queue is deep. */
    read_phase(experts, unit, START);
    read_phase(experts, unit, END);
    for (uint32_t i = unit->first; i < unit->first + unit->count; i++) {
        if (!experts->experts[i].coming)
            continue;
        experts->experts[i].coming = false;
        for (uint32_t s = experts->experts[i].slices; s != GOV__NO_SLICE;
             s = experts->slices[s].next)
            wait.bytes += experts->slices[s].bytes;
    }
    wait.us = platform->now_us(platform->ctx) - began;
    add(&experts->read_bytes, wait.bytes);
    return wait;
}

/* Needed from now on; true when it is to be read. */
static bool need_locked(struct gov__experts *experts, uint32_t index)
{
    struct gov__expert *e = &experts->experts[index];

    e->step = experts->step;
    e->coming = !e->there || !e->whole;
    gov__experts_touch(experts, index);
    e->whole = true;
    return e->coming;
}

struct gov__experts_wait gov__experts_used(struct gov__experts *experts,
                                           uint32_t unit,
                                           const uint32_t *numbers,
                                           size_t count)
{
    struct gov__experts_wait wait = {0, 0};
    uint64_t used = 0, missed = 0, before;

    if (!gov__experts_owns(experts, unit))
        return wait;
    pthread_mutex_lock(&experts->lock);
    experts->step++;
    before = experts->there_bytes;
    for (size_t i = 0; i < count; i++) {
        uint32_t index = gov__experts_find(experts, unit, numbers[i]);

        if (index == GOV__NO_EXPERT ||
            experts->experts[index].step == experts->step)
            continue;
        used++;
        missed += need_locked(experts, index) ? 1 : 0;
    }
    experts->pending_bytes = experts->there_bytes - before;
    while (missed == 0 && drop_one_locked(experts))
        continue;
    pthread_mutex_unlock(&experts->lock);
    add(&experts->used, used);
    if (missed > 0) {
        add(&experts->missed, missed);
        wait = read_missing(experts, &experts->units[unit]);
    }
    return wait;
}

/* ---- what the kernel has ---------------------------------------------------- */

/* Bytes of an expert's pages in memory, of *all; false where nobody tells. */
static bool ask(const struct gov__experts *experts, uint32_t index,
                uint64_t *resident, uint64_t *all)
{
    const struct gov_platform *platform = experts->range->platform;
    uint64_t begin, end, bytes;

    *resident = *all = 0;
    for (uint32_t s = experts->experts[index].slices; s != GOV__NO_SLICE;
         s = experts->slices[s].next) {
        uint32_t file = experts->slices[s].file;

        gov__experts_pages(experts, s, &begin, &end);
        if (!experts->range->files[file].tells_resident ||
            platform->resident(platform->ctx,
                               gov__range_address(experts->range, file, begin),
                               (size_t)(end - begin), &bytes) != 0)
            return false;
        *resident += bytes;
        *all += end - begin;
    }
    return true;
}

/* Takes over, or finds out what is no longer whole. What the last call named is
 * left alone: it may be being read. */
static void take_over_locked(struct gov__experts *experts, uint32_t index)
{
    struct gov__expert *e = &experts->experts[index];
    uint64_t resident, all;

    if ((e->there && e->step == experts->step) ||
        !ask(experts, index, &resident, &all))
        return;
    if (e->there) {
        e->whole = e->whole && resident == all;
    } else if (resident == all &&
               gov__less(experts->limit_bytes, experts->there_bytes) >=
                   gov__experts_own_bytes(experts, index)) {
        gov__experts_append(experts, index);
        e->whole = true;
    }
}

static void clear_locked(struct gov__experts *experts, uint32_t index)
{
    uint64_t resident, all;

    if (!experts->experts[index].there &&
        (!ask(experts, index, &resident, &all) || resident > 0))
        drop_pages_locked(experts, index);
}

/* All are taken over before any is cleared: they share pages. */
void gov__experts_look(struct gov__experts *experts)
{
    for (uint32_t pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < experts->expert_count; i++) {
            if (experts->experts[i].slices == GOV__NO_SLICE)
                continue;
            pthread_mutex_lock(&experts->lock);
            if (pass == 0)
                take_over_locked(experts, i);
            else
                clear_locked(experts, i);
            pthread_mutex_unlock(&experts->lock);
        }
}

/* ---- beginning and end ---------------------------------------------------- */

void gov__experts_advise(struct gov__experts *experts, enum gov__advice advice)
{
    const struct gov__range *range = experts->range;
    const struct gov_platform *platform = range->platform;

    for (uint32_t i = 0; i < experts->unit_count; i++) {
        const struct gov_unit *unit = &experts->model_units[i];
        uint64_t begin = gov__round_up(unit->file_offset, range->page);
        uint64_t end =
            gov__round_down(unit->file_offset + unit->bytes, range->page);

        if (experts->units[i].owned && end > begin &&
            platform->advise(platform->ctx,
                             gov__range_address(range, unit->file, begin),
                             (size_t)(end - begin), advice) != 0)
            add(&experts->failures, 1);
    }
}

int gov__experts_init(struct gov__experts *experts,
                      const struct gov__range *range, const gov_model *model,
                      const struct gov_alloc *alloc)
{
    int rc;

    memset(experts, 0, sizeof(*experts));
    experts->alloc = *alloc;
    experts->range = range;
    rc = gov__experts_learn(experts, model);
    if (rc == 0 && pthread_mutex_init(&experts->lock, NULL) != 0)
        rc = ENOMEM;
    if (rc == 0)
        gov__experts_advise(experts, GOV__ADVICE_RANDOM);
    return rc;
}

void gov__experts_fini(struct gov__experts *experts)
{
    const struct gov_alloc *alloc = &experts->alloc;

    gov__experts_advise(experts, GOV__ADVICE_NORMAL);
    pthread_mutex_destroy(&experts->lock);
    alloc->release(alloc->ctx, experts->slices);
    alloc->release(alloc->ctx, experts->experts);
    alloc->release(alloc->ctx, experts->units);
}

void gov__experts_account(struct gov__experts *experts,
                          struct gov_weights_account *out)
{
    pthread_mutex_lock(&experts->lock);
    out->expert_limit_bytes = experts->limit_bytes;
    out->expert_bytes = experts->there_bytes;
    pthread_mutex_unlock(&experts->lock);
    out->experts_used = atomic_load(&experts->used);
    out->experts_missed = atomic_load(&experts->missed);
    out->streamed_bytes += atomic_load(&experts->read_bytes);
    out->dropped_bytes += atomic_load(&experts->dropped_bytes);
    out->failures += atomic_load(&experts->failures);
}
