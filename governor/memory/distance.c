/* SPDX-License-Identifier: MIT */
#include "governor/memory/distance.h"

/* A layer ahead is memory that cannot be hot, and what is not hot is read in each
 * pass. Models of interest have some 32 layers, so it costs about this part of
 * the reads; less than that is not worth it. */
#define WORTH 32

/* A wait that small does not count, so that between it and WORTH nothing is done:
 * what was given up for the one must not be asked back for the other. */
#define CALM 64

/* Shrinking wins a layer's memory, being wrong costs two late passes: after so
 * many calm ones that is at most an eighth. */
#define CALM_PASSES 16

/* What was too short may do when the machine has less to do, but two late passes
 * in so many are below 0.2 %, which nobody can measure. */
#define FORGET_PASSES 1024

static uint64_t less_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool change(struct gov__distance *distance, uint32_t layers)
{
    /* What was seen was at another distance. */
    distance->calm = 0;
    distance->last_us = 0;
    distance->now = layers;
    return true;
}

bool gov__distance_pass(struct gov__distance *distance, uint64_t waited_us,
                        uint64_t read_us, uint64_t pass_us)
{
    uint64_t idle_us = pass_us > read_us ? pass_us - read_us : 0;
    /* One late pass is a hiccup of the disk, or a prompt after tokens. */
    uint64_t late_us = less_of(waited_us, distance->last_us);

    distance->last_us = waited_us;
    if (waited_us > pass_us / CALM)
        distance->calm = 0;
    else if (distance->calm < FORGET_PASSES)
        distance->calm++;

    /* Reading earlier moves reads into idle time: it wins no more than that. */
    if (less_of(late_us, idle_us) > pass_us / WORTH) {
        if (distance->now >= distance->most)
            return false;
        if (distance->tried < distance->now)
            distance->tried = distance->now;
        return change(distance, distance->now + 1);
    }
    if (distance->calm == FORGET_PASSES)
        distance->tried = 0;
    if (distance->calm < CALM_PASSES || distance->now <= distance->least ||
        distance->now - 1 <= distance->tried)
        return false;
    return change(distance, distance->now - 1);
}
