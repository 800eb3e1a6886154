/* SPDX-License-Identifier: MIT */
/* Prices of relief actions, learnt from what a trace says they gave. */
#include "policies/pressure/replay_priv.h"

#include <string.h>

#define SAMPLES 64
#define MILLION 1000000U

void gov__replay_name(char out[GOV_ACTION_NAME],
                      const char name[GOV_ACTION_NAME])
{
    const char *end = memchr(name, '\0', GOV_ACTION_NAME - 1);
    size_t bytes = end == NULL ? GOV_ACTION_NAME - 1 : (size_t)(end - name);

    memset(out, 0, GOV_ACTION_NAME);
    memcpy(out, name, bytes);
}

static uint32_t find(const struct gov_replay_prices *prices, const char *name)
{
    uint32_t i = 0;

    while (i < prices->count && i < GOV_REPLAY_ACTIONS &&
           strncmp(prices->price[i].name, name, GOV_ACTION_NAME) != 0)
        i++;
    return i;
}

const struct gov_replay_price *
gov__replay_price(const struct gov_replay_prices *prices, const char *name)
{
    const uint32_t i = find(prices, name);

    if (i >= prices->count || i >= GOV_REPLAY_ACTIONS ||
        prices->price[i].runs == 0)
        return NULL;
    return &prices->price[i];
}

/* The share to the nearest millionth: rounded down, an offer of some megabytes
 * would come out a few bytes short of what it gave. */
static uint32_t share_ppm(uint64_t yield, uint64_t offered)
{
    uint64_t whole = yield / offered, rest = yield % offered, ppm;

    if (whole >= UINT32_MAX / MILLION)
        return UINT32_MAX;
    /* Beyond this, bits that are dropped are less than a millionth. */
    while (offered > UINT64_MAX / (4 * (uint64_t)MILLION)) {
        offered >>= 1;
        rest >>= 1;
    }
    ppm = (rest * MILLION + offered / 2) / offered;
    return (uint32_t)(whole * MILLION + ppm);
}

/* Of an even number of samples the lower one. */
static uint32_t median(const uint32_t *sample, uint32_t count)
{
    uint32_t sorted[SAMPLES];

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;

        for (; at > 0 && sorted[at - 1] > sample[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = sample[i];
    }
    return sorted[(count - 1) / 2];
}

void gov_replay_learn(struct gov_replay_prices *prices,
                      const struct gov_replay_event *event)
{
    char name[GOV_ACTION_NAME];
    struct gov_replay_price *price;
    uint32_t i, known;

    /* What offered nothing, or was not measured, teaches nothing. */
    if (event->kind != GOV_REPLAY_RELIEF || event->unmeasured ||
        event->offered_bytes == 0)
        return;
    gov__replay_name(name, event->name);
    i = find(prices, name);
    if (i >= GOV_REPLAY_ACTIONS)
        return;
    price = &prices->price[i];
    if (i == prices->count) {
        *price = (struct gov_replay_price){.runs = 0};
        memcpy(price->name, name, sizeof(name));
        prices->count++;
    }
    price->sample[price->runs % SAMPLES] =
        share_ppm(event->yield_bytes, event->offered_bytes);
    price->took_sample[price->runs % SAMPLES] =
        event->took_us < UINT32_MAX ? (uint32_t)event->took_us : UINT32_MAX;
    if (price->runs < UINT32_MAX)
        price->runs++;
    known = price->runs < SAMPLES ? price->runs : SAMPLES;
    price->yield_ppm = median(price->sample, known);
    price->took_us = median(price->took_sample, known);
}

uint64_t gov__replay_yield(const struct gov_replay_price *price,
                           uint64_t offered_bytes)
{
    const uint64_t ppm = price == NULL ? MILLION : price->yield_ppm;
    const uint64_t whole = offered_bytes / MILLION;

    if (ppm != 0 && whole > UINT64_MAX / ppm)
        return UINT64_MAX;
    return gov__sum(whole * ppm, offered_bytes % MILLION * ppm / MILLION);
}
