/* SPDX-License-Identifier: MIT */
#include "governor/memory/pace.h"

/* Who is late by so much may make it up: sleeps end late. */
#define SLACK_US 20000

uint64_t gov__pace_wait_us(const struct gov__pace *pace, uint64_t now_us)
{
    return pace->next_us > now_us ? pace->next_us - now_us : 0;
}

void gov__pace_charge(struct gov__pace *pace, uint64_t now_us, uint64_t bytes)
{
    uint64_t from = now_us > SLACK_US ? now_us - SLACK_US : 0;
    uint64_t us = UINT64_MAX;

    if (pace->rate == 0)
        return;
    if (pace->next_us > from)
        from = pace->next_us;
    if (bytes <= UINT64_MAX / 1000000)
        us = bytes * 1000000 / pace->rate;
    pace->next_us = us > UINT64_MAX - from ? UINT64_MAX : from + us;
}
