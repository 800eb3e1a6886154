/* SPDX-License-Identifier: MIT */
/* How fast memory is, and what it costs to get some and to give it back. */
#include <string.h>

#include "governor/device/measure_priv.h"

#define SAMPLES 5
#define QUICK_BOX_US 150000 /* of each figure */
#define FULL_BOX_US 500000
#define RETURNED_BYTES (64 * GOV__MIB) /* what GIVE_BACK is the cost of */
#define UNCACHED_BYTES (32 * GOV__MIB) /* as most cores have of any cache */
#define SLICE_MIN_BYTES (4 * GOV__MIB) /* more than a core's own cache */

static uint64_t box_us(const struct gov__measuring *m)
{
    return m->full ? FULL_BOX_US : QUICK_BOX_US;
}

static void touch(const struct gov__measuring *m, unsigned char *base,
                  size_t bytes)
{
    size_t page = m->platform->page_bytes(m->platform->ctx);

    for (size_t at = 0; at < bytes; at += page)
        *(volatile unsigned char *)(base + at) = 1;
}

uint64_t gov__measure_touch(struct gov__measuring *m)
{
    size_t page = m->platform->page_bytes(m->platform->ctx);
    uint64_t begin = gov__measure_now(m);

    touch(m, m->buffer, m->buffer_bytes);
    return (gov__measure_now(m) - begin) * 1000 / (m->buffer_bytes / page);
}

/* ---- reading ------------------------------------------------------------- */

struct reading {
    unsigned char *base;
    size_t slice;                          /* of each member */
    volatile uint64_t kept[GOV__TEAM_MAX]; /* or the loop would be taken out */
};

/* Four sums, so that adding never waits for the sum before. */
static uint64_t sum(const unsigned char *from, size_t bytes)
{
    uint64_t a = 0, b = 0, c = 0, d = 0, word[4];

    for (size_t at = 0; at + sizeof(word) <= bytes; at += sizeof(word)) {
        memcpy(word, from + at, sizeof(word));
        a += word[0];
        b += word[1];
        c += word[2];
        d += word[3];
    }
    return a + b + c + d;
}

static int read_slice(struct gov__team *team, unsigned member)
{
    struct reading *reading = team->ctx;

    reading->kept[member] =
        sum(reading->base + member * reading->slice, reading->slice);
    return 0;
}

static int touch_slice(struct gov__team *team, unsigned member)
{
    struct reading *reading = team->ctx;

    touch(team->m, reading->base + member * reading->slice, reading->slice);
    return 0;
}

/* Samples of a team that is filled in but for its progress. */
static void measure_rate(struct gov__team *team, gov_figure figure,
                         uint64_t bytes)
{
    uint64_t begin = gov__measure_now(team->m), samples[SAMPLES];
    size_t count = 0;

    while (count < SAMPLES && (count == 0 || gov__measure_now(team->m) - begin <
                                                 box_us(team->m))) {
        int error;

        team->from = team->to;
        team->to += 8;
        error = gov__team_run(team);
        if (error != 0) {
            gov__measure_note(team->m, figure, error,
                              "a thread cannot be started");
            return;
        }
        samples[count++] = gov__measure_rate(bytes, team->us);
    }
    gov__measure_known(team->m, figure, samples, count);
}

static void measure_one(struct gov__measuring *m)
{
    struct reading reading = {.base = m->buffer, .slice = m->buffer_bytes};
    struct gov__team team = {.m = m,
                             .work = read_slice,
                             .ctx = &reading,
                             .members = 1,
                             .what = "reading memory",
                             .to = 850};

    if (m->buffer_bytes < UNCACHED_BYTES)
        gov__measure_note(m, GOV_FIGURE_MEMORY_READ, 0,
                          "too little memory is free for more than the caches "
                          "hold");
    else
        measure_rate(&team, GOV_FIGURE_MEMORY_READ, m->buffer_bytes);
}

/* Each member touches its own slice, so that it has it near. */
static void measure_all(struct gov__measuring *m)
{
    const struct gov_platform *platform = m->platform;
    uint64_t members = gov_device_number(m->device, GOV_FACT_DEVICE_CORES, 0);
    uint64_t room = m->left_bytes / 8;
    struct reading reading = {.slice = UNCACHED_BYTES};
    struct gov__team team = {.m = m,
                             .work = touch_slice,
                             .ctx = &reading,
                             .what = "reading memory with all processors",
                             .from = 890,
                             .to = 890};
    void *base;
    int error;

    if (members == 0) {
        gov__measure_note(m, GOV_FIGURE_MEMORY_READ_ALL, 0,
                          "the number of processors is not known");
        return;
    }
    team.members =
        (unsigned)(members < GOV__TEAM_MAX ? members : GOV__TEAM_MAX);
    room = room > m->buffer_bytes ? room - m->buffer_bytes : 0;
    if (room / team.members < reading.slice)
        reading.slice = (size_t)(room / team.members / GOV__MIB * GOV__MIB);
    if (reading.slice < SLICE_MIN_BYTES ||
        reading.slice * team.members < UNCACHED_BYTES) {
        gov__measure_note(m, GOV_FIGURE_MEMORY_READ_ALL, 0,
                          "too little memory is free for more than the caches "
                          "hold");
        return;
    }
    error = platform->map(platform->ctx, reading.slice * team.members,
                          "governor measure", &base);
    if (error != 0) {
        gov__measure_note(m, GOV_FIGURE_MEMORY_READ_ALL, error,
                          "no memory to measure with");
        return;
    }
    reading.base = base;
    error = gov__team_run(&team);
    team.work = read_slice;
    if (error != 0)
        gov__measure_note(m, GOV_FIGURE_MEMORY_READ_ALL, error,
                          "a thread cannot be started");
    else
        measure_rate(&team, GOV_FIGURE_MEMORY_READ_ALL,
                     reading.slice * team.members);
    (void)platform->unmap(platform->ctx, base, reading.slice * team.members);
}

/* ---- giving back --------------------------------------------------------- */

/* Gives the buffer back and touches it again. */
static void measure_give_back(struct gov__measuring *m, uint64_t first_ns)
{
    const struct gov_platform *platform = m->platform;
    uint64_t returns[SAMPLES], faults[SAMPLES + 1] = {first_ns};
    uint64_t begin = gov__measure_now(m);
    size_t count = 0;
    int error = 0;

    while (count < SAMPLES &&
           (count == 0 || gov__measure_now(m) - begin < box_us(m))) {
        uint64_t from = gov__measure_now(m);

        error = platform->discard(platform->ctx, m->buffer, m->buffer_bytes);
        if (error != 0)
            break;
        faults[count + 1] = gov__measure_touch(m);
        /* A smaller buffer costs less in proportion: it is all per page. */
        returns[count] = (gov__measure_now(m) - from) * 1000 *
                         (RETURNED_BYTES / GOV__MIB) /
                         (m->buffer_bytes / GOV__MIB);
        count++;
        if (!gov__measure_go_on(m, 935 + count * 4, "giving memory back"))
            return;
    }
    gov__measure_known(m, GOV_FIGURE_MINOR_FAULT, faults, count + 1);
    if (error != 0 || count == 0)
        gov__measure_note(m, GOV_FIGURE_GIVE_BACK, error,
                          "memory cannot be given back");
    else
        gov__measure_known(m, GOV_FIGURE_GIVE_BACK, returns, count);
}

void gov__measure_memory(struct gov__measuring *m, uint64_t first_ns)
{
    measure_one(m);
    if (!m->cancelled && m->full)
        measure_all(m);
    if (!m->cancelled)
        measure_give_back(m, first_ns);
}
