/* SPDX-License-Identifier: MIT */
/* See compute_gaps.h. */
#include "governor/model/compute_gaps.h"

#include <string.h>

#include "policies/planning/sizes_priv.h"

static uint64_t end_of(const struct gov__block *block)
{
    return gov__sat_add(block->at, block->bytes);
}

uint64_t gov__gaps_end(const struct gov__gaps *gaps)
{
    return gaps->count != 0 ? end_of(&gaps->blocks[gaps->count - 1]) : 0;
}

void gov__gaps_drop(struct gov__gaps *gaps, enum gov__compute_tensor tensor)
{
    for (unsigned i = 0; i < gaps->count; i++) {
        if (gaps->blocks[i].tensor != tensor)
            continue;
        memmove(&gaps->blocks[i], &gaps->blocks[i + 1],
                (gaps->count - i - 1) * sizeof(gaps->blocks[0]));
        gaps->count--;
        return;
    }
}

/* Of gaps as small the last is taken, as ggml does; behind all of them when none
 * is large enough. */
void gov__gaps_take(struct gov__gaps *gaps, enum gov__compute_tensor tensor,
                    uint64_t bytes)
{
    uint64_t from = 0, best = UINT64_MAX, at;
    unsigned place;

    gov__gaps_drop(gaps, tensor);
    if (bytes == 0)
        return;
    bytes = gov__sat_add(bytes, 63) & ~(uint64_t)63;
    place = gaps->count;
    at = gov__gaps_end(gaps);
    for (unsigned i = 0; i < gaps->count; i++) {
        uint64_t gap = gaps->blocks[i].at - from;

        if (gaps->blocks[i].at >= from && gap >= bytes && gap <= best) {
            best = gap;
            at = from;
            place = i;
        }
        from = end_of(&gaps->blocks[i]);
    }
    memmove(&gaps->blocks[place + 1], &gaps->blocks[place],
            (gaps->count - place) * sizeof(gaps->blocks[0]));
    gaps->blocks[place] = (struct gov__block){at, bytes, tensor};
    gaps->count++;
    if (gov__sat_add(at, bytes) > gaps->top)
        gaps->top = gov__sat_add(at, bytes);
}

void gov__gaps_become(struct gov__gaps *gaps, enum gov__compute_tensor from,
                      enum gov__compute_tensor to)
{
    gov__gaps_drop(gaps, to);
    for (unsigned i = 0; i < gaps->count; i++) {
        if (gaps->blocks[i].tensor == from)
            gaps->blocks[i].tensor = to;
    }
}

void gov__gaps_turn(struct gov__gaps *gaps, enum gov__compute_tensor tensor,
                    uint64_t bytes)
{
    gov__gaps_take(gaps, SPARE, bytes);
    gov__gaps_become(gaps, SPARE, tensor);
}
