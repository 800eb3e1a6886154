/* SPDX-License-Identifier: MIT */
/* See sizes_priv.h. */
#include "policies/planning/sizes_priv.h"

/* Bytes of the reads that governor/memory/stream_reads.h keeps in flight. */
#define READS_SLACK ((uint64_t)12 << 20)

uint64_t gov__sat_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t gov__sat_mul(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/* Adds to *left, which is less than c as `more` is; 1 where that went past c,
 * which is then taken off. */
static unsigned add_below(uint64_t *left, uint64_t more, uint64_t c)
{
    if (*left < c - more) {
        *left += more;
        return 0;
    }
    *left -= c - more;
    return 1;
}

/* rest * b / c, where rest < c: multiplied and divided bit by bit, since the
 * product may take 128 of them. */
static uint64_t scaled_rest(uint64_t rest, uint64_t b, uint64_t c)
{
    uint64_t out = 0, left = 0;

    for (int bit = 63; bit >= 0; bit--) {
        out = 2 * out + add_below(&left, left, c);
        if ((b >> bit & 1) != 0)
            out += add_below(&left, rest, c);
    }
    return out;
}

uint64_t gov__scaled(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t whole, rest;

    if (c == 0)
        return UINT64_MAX;
    whole = gov__sat_mul(a / c, b);
    rest = a % c;
    if (b == 0 || rest <= UINT64_MAX / b)
        return gov__sat_add(whole, rest * b / c);
    return gov__sat_add(whole, scaled_rest(rest, b, c));
}

uint64_t gov__kv_cells(uint64_t context)
{
    uint64_t blocks = context / GOV__KV_BLOCK_TOKENS +
                      (context % GOV__KV_BLOCK_TOKENS != 0 ? 1 : 0);

    return gov__sat_mul(blocks, GOV__KV_BLOCK_TOKENS);
}

/* The governed range streams the same share of every layer, so the window holds
 * that share of its units and not all of them: hot + window * (weights - hot) /
 * weights <= room, solved for hot. Counted in pages of 4 KiB, so that the product
 * stays within 64 bits for weights of up to 16 TiB. */
uint64_t gov__streamed_hot(uint64_t room, uint64_t window, uint64_t weights)
{
    uint64_t hot = room - window; /* it fits, or hybrid was not chosen */
    uint64_t pages = (weights - window) >> 12;

    if (weights <= window || weights >> 44 != 0 || pages == 0)
        return hot;
    /* Three reads are in flight beside the window: see READS_SLACK. */
    hot = hot > READS_SLACK ? hot - READS_SLACK : 0;
    if (hot >= weights)
        return hot;
    return (hot >> 12) * (weights >> 12) / pages << 12;
}

uint64_t gov__streamed_window(uint64_t window, uint64_t cold, uint64_t of)
{
    uint64_t most;

    if (cold == 0)
        return 0;
    /* What is rounded off is less than a byte. */
    most = gov__sat_add(gov__scaled(window, cold, of), 1 + READS_SLACK);
    return most < cold ? most : cold;
}
