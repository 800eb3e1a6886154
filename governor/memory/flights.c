/* SPDX-License-Identifier: MIT */
#include "governor/memory/flights.h"

#include <errno.h>
#include <string.h>

int gov__flights_open(struct gov__flights *flights,
                      const struct gov__range *range,
                      const struct gov__slots *slots)
{
    const struct gov_platform *platform = range->platform;
    bool any = false;
    int rc;

    memset(flights, 0, sizeof(*flights));
    for (uint32_t i = 0; i < range->file_count; i++)
        any = any || range->files[i].direct_fd >= 0;
    if (platform->reads_open == NULL || !any)
        return ENOTSUP;
    rc = platform->reads_open(platform->ctx, &flights->queue, GOV__FLIGHTS);
    flights->open = rc == 0;
    flights->range = range;
    flights->slots = slots;
    return rc;
}

void gov__flights_close(struct gov__flights *flights)
{
    const struct gov_platform *platform;

    if (!flights->open)
        return;
    platform = flights->range->platform;
    (void)platform->reads_close(platform->ctx, &flights->queue);
    flights->open = false;
}

static int begin_flight(const struct gov__flights *flights,
                        struct gov__flight *flight, uint32_t file,
                        uint64_t begin, uint64_t end, struct gov__read *read)
{
    int rc;

    if (flight->slot == 0)
        return gov__anchor_begin(flights->range, file, begin, end,
                                 &flight->fill, read);
    rc = gov__slots_begin(flights->slots, flight->slot - 1, file, begin, end,
                          &flight->fill);
    return rc != 0 ? rc : gov__fill_plan(&flight->fill, read);
}

int gov__flights_start(struct gov__flights *flights, uint32_t part,
                       uint32_t slot, uint32_t file, uint64_t begin,
                       uint64_t end)
{
    const struct gov_platform *platform;
    struct gov__flight *flight;
    struct gov__read read;
    uint32_t tag = 0;
    int rc;

    if (!flights->open)
        return ENOTSUP;
    while (tag < GOV__FLIGHTS && flights->flight[tag].used)
        tag++;
    if (tag == GOV__FLIGHTS)
        return EAGAIN;
    flight = &flights->flight[tag];
    flight->part = part;
    flight->slot = slot;
    rc = begin_flight(flights, flight, file, begin, end, &read);
    if (rc != 0)
        return rc;
    read.tag = tag;
    platform = flights->range->platform;
    rc = platform->reads_start(platform->ctx, &flights->queue, &read);
    if (rc != 0) {
        if (slot == 0)
            gov__anchor_cancel(flights->range, &flight->fill);
        return rc;
    }
    flight->used = true;
    flights->count++;
    return 0;
}

bool gov__flights_take(struct gov__flights *flights, uint32_t *part, int *rc)
{
    const struct gov_platform *platform;
    struct gov__flight *flight;
    uint32_t tag;
    int64_t result;

    if (flights->count == 0)
        return false;
    platform = flights->range->platform;
    if (platform->reads_take(platform->ctx, &flights->queue, &tag, &result) !=
        0)
        return false;
    flight = &flights->flight[tag];
    flight->used = false;
    flights->count--;
    *part = flight->part;
    *rc = flight->slot != 0
              ? gov__slots_end(flights->slots, flight->slot - 1, &flight->fill,
                               result)
              : gov__anchor_end(flights->range, &flight->fill, result);
    return true;
}

void gov__flights_sleep(struct gov__flights *flights, uint64_t timeout_us)
{
    const struct gov_platform *platform = flights->range->platform;

    (void)platform->reads_sleep(platform->ctx, &flights->queue, timeout_us);
}

void gov__flights_wake(struct gov__flights *flights)
{
    const struct gov_platform *platform = flights->range->platform;

    (void)platform->reads_wake(platform->ctx, &flights->queue);
}
