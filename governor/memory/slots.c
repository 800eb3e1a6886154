/* SPDX-License-Identifier: MIT */
#include "governor/memory/slots.h"

#include <errno.h>
#include <string.h>

#include "governor/memory/anchor.h"
#include "governor/memory/residency.h"

int gov__slots_init(struct gov__slots *slots, const struct gov__range *range,
                    const struct gov_alloc *alloc, uint32_t count)
{
    const struct gov_platform *platform = range->platform;
    /* What one entry of the level above a page table covers. */
    const uint64_t huge = range->page / 8 * range->page;
    const uint64_t bytes = count * GOV__PART_BYTES;
    void *fill, *view;
    int rc;

    memset(slots, 0, sizeof(*slots));
    /* Huge pages of 32 MiB would be shown in small pieces. */
    if (huge > GOV__PART_BYTES)
        return ENOTSUP;
    if (count == 0 || (size_t)bytes != bytes)
        return EINVAL;
    slots->free = alloc->alloc(
        alloc->ctx, count * (sizeof(*slots->free) + sizeof(*slots->cached)));
    if (slots->free == NULL)
        return ENOMEM;
    rc = platform->slots_open(platform->ctx, (size_t)bytes, &fill, &view);
    if (rc != 0) {
        alloc->release(alloc->ctx, slots->free);
        memset(slots, 0, sizeof(*slots));
        return rc;
    }
    slots->range = range;
    slots->alloc = alloc;
    slots->fill = fill;
    slots->view = view;
    slots->huge = huge;
    slots->count = slots->free_count = count;
    slots->cached = (bool *)(slots->free + count);
    for (uint32_t i = 0; i < count; i++)
        slots->free[i] = i;
    return 0;
}

void gov__slots_fini(struct gov__slots *slots)
{
    const struct gov_platform *platform;

    if (slots->count == 0)
        return;
    platform = slots->range->platform;
    (void)platform->slots_close(platform->ctx, slots->fill, slots->view,
                                (size_t)(slots->count * GOV__PART_BYTES));
    slots->alloc->release(slots->alloc->ctx, slots->free);
    memset(slots, 0, sizeof(*slots));
}

/* The one that was used last: some of it may be in a cache. */
uint32_t gov__slots_take(struct gov__slots *slots)
{
    return slots->free_count > 0 ? slots->free[--slots->free_count]
                                 : GOV__NO_SLOT;
}

void gov__slots_give(struct gov__slots *slots, uint32_t slot)
{
    slots->free[slots->free_count++] = slot;
}

bool gov__slots_fits(const struct gov__slots *slots, uint32_t file,
                     uint64_t begin, uint64_t end)
{
    return slots->count > 0 && end > begin && end - begin <= GOV__PART_BYTES &&
           (uintptr_t)gov__range_address(slots->range, file, begin) %
                   slots->huge ==
               0;
}

static void fill_slot(const struct gov__slots *slots, uint32_t slot,
                      uint32_t file, uint64_t begin, uint64_t end,
                      struct gov__fill *fill)
{
    gov__fill_init(fill, slots->range, file, begin, end, true);
    fill->staged = slots->fill + slot * GOV__PART_BYTES;
}

/* The pages stay, without a place in the page table: a process would be said to hold
 * them twice, here and where they are shown. */
static void filled(const struct gov__slots *slots, uint32_t slot,
                   const struct gov__fill *fill)
{
    const struct gov_platform *platform = slots->range->platform;

    slots->cached[slot] = fill->cached;
    (void)platform->discard(platform->ctx, fill->staged,
                            (size_t)GOV__PART_BYTES);
}

int gov__slots_fill(const struct gov__slots *slots, uint32_t slot,
                    uint32_t file, uint64_t begin, uint64_t end)
{
    struct gov__fill fill;
    int rc;

    if (!gov__slots_fits(slots, file, begin, end))
        return ERANGE;
    fill_slot(slots, slot, file, begin, end, &fill);
    rc = gov__fill_read(&fill);
    filled(slots, slot, &fill);
    return rc;
}

int gov__slots_begin(const struct gov__slots *slots, uint32_t slot,
                     uint32_t file, uint64_t begin, uint64_t end,
                     struct gov__fill *fill)
{
    if (!gov__slots_fits(slots, file, begin, end))
        return ERANGE;
    fill_slot(slots, slot, file, begin, end, fill);
    return 0;
}

int gov__slots_end(const struct gov__slots *slots, uint32_t slot,
                   struct gov__fill *fill, int64_t result)
{
    int rc = gov__fill_end(fill, result);

    filled(slots, slot, fill);
    return rc;
}

/* Where the place was lost on the way the file comes back. */
int gov__slots_show(const struct gov__slots *slots, uint32_t slot,
                    uint32_t file, uint64_t begin, uint64_t end)
{
    const struct gov_platform *platform = slots->range->platform;
    int rc = platform->slots_show(
        platform->ctx, slots->view + slot * GOV__PART_BYTES,
        (size_t)(end - begin), gov__range_address(slots->range, file, begin));

    if (rc == EFAULT)
        (void)gov__anchor_undo(slots->range, file, begin, end);
    /* Only now: what is mapped is not dropped. */
    if (slots->cached[slot])
        (void)platform->drop_cached(platform->ctx, slots->range->files[file].fd,
                                    begin, end - begin);
    return rc;
}
