/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_sample.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "governor/control.h"
#include "governor/device.h"
#include "tools/govtop/top_parts.h"

#define LOOK_MS 2000

uint64_t top_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

gov_status top_source_take(struct top_source *source, gov_error *err)
{
    struct top_sample *sample = &source->sample;
    gov_status status;

    gov_machine_now(&source->machine);
    sample->machine = &source->machine;
    sample->pages = source->pages;
    status = gov_page_list(source->pages, TOP_PROCESSES, &sample->page_count,
                           source->directory, err);
    if (status != GOV_OK)
        sample->page_count = 0;
    if (sample->page_count > TOP_PROCESSES) /* there are more than fit */
        sample->page_count = TOP_PROCESSES;
    return status;
}

gov_status top_source_look(struct top_source *source, bool wanted,
                           gov_error *err)
{
    int32_t passed[TOP_PROCESSES];
    uint64_t now = top_now_ms();
    size_t pages = source->sample.page_count;
    gov_status status;

    if (!wanted) {
        source->sample.other_count = 0;
        source->looked_ms = 0;
        return GOV_OK;
    }
    /* A little early is in time: samples are not taken to the millisecond. */
    if (source->looked_ms != 0 && now - source->looked_ms + 50 < LOOK_MS)
        return GOV_OK;
    for (size_t i = 0; i < pages; i++)
        passed[i] = source->pages[i].pid;
    source->sample.others = source->other;
    status = gov_process_list(source->other, TOP_OTHERS,
                              &source->sample.other_count, passed, pages, err);
    if (status != GOV_OK || source->sample.other_count > TOP_OTHERS)
        source->sample.other_count = status != GOV_OK ? 0 : TOP_OTHERS;
    source->sample.others_us = source->machine.now_us;
    source->looked_ms = now;
    return status;
}

void top_source_gpu(struct top_gpu *out)
{
    static struct gov_device device; /* too large for a stack */

    memset(out, 0, sizeof(*out));
    if (gov_device_load(&device, NULL, NULL) != GOV_OK)
        return;
    for (uint32_t i = 0; i < device.gpu_count; i++) {
        const struct gov_gpu *gpu = &device.gpus[i];

        if (gpu->software || gpu->working_set_bytes <= out->working_set_bytes)
            continue;
        memcpy(out->name, gpu->name, sizeof(out->name));
        out->name[sizeof(out->name) - 1] = '\0';
        out->working_set_bytes = gpu->working_set_bytes;
    }
}

/* ---- orders ----------------------------------------------------------------- */

static void say_done(struct top_state *state, const struct top_order *order)
{
    char number[TOP_NUMBER];

    switch (order->kind) {
    case TOP_SIMULATE:
        top_say(state, false, "%d was told to be at %s for %" PRIu64 " s",
                (int)order->pid, gov_level_name(order->level),
                order->for_ms / 1000);
        break;
    case TOP_SIMULATE_END:
        top_say(state, false, "%d was told to end the simulation",
                (int)order->pid);
        break;
    default:
        top_say(state, false,
                "%d was told to give back %s; its next events (F7) tell what "
                "came of it",
                (int)order->pid,
                order->bytes == 0 ? "all it may"
                                  : top_bytes(number, order->bytes));
        break;
    }
}

void top_order_run(struct top_state *state, const char *directory)
{
    const struct top_order order = state->order;
    gov_status status;
    gov_error err;

    state->order = (struct top_order){.kind = TOP_NO_ORDER};
    if (order.kind == TOP_NO_ORDER)
        return;
    if (order.kind == TOP_GIVE)
        status = gov_control_relieve(order.pid, order.bytes, directory, &err);
    else
        status = gov_control_simulate(
            order.pid, order.level,
            order.kind == TOP_SIMULATE ? order.for_ms : 0, directory, &err);
    if (status == GOV_OK)
        say_done(state, &order);
    else
        top_say(state, true, "%s", err.message);
}
