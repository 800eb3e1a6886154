/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_model.h"

#include <string.h>

/* A rate over less than this would be mostly noise. */
#define SHORTEST_US 50000

uint64_t top_counter(const struct gov_page *page, gov_page_counter counter)
{
    if ((page->have >> counter & 1) == 0)
        return TOP_UNKNOWN;
    return page->counter[counter];
}

static void push(struct top_series *series, uint64_t value)
{
    series->value[series->next] = value;
    series->next = (series->next + 1) % TOP_HISTORY;
    if (series->count < TOP_HISTORY)
        series->count++;
}

uint64_t top_series_at(const struct top_series *series, uint32_t back)
{
    if (back >= series->count)
        return TOP_UNKNOWN;
    return series->value[(series->next + TOP_HISTORY - 1 - back) % TOP_HISTORY];
}

uint64_t top_series_peak(const struct top_series *series, uint32_t samples)
{
    uint64_t peak = TOP_UNKNOWN;

    for (uint32_t back = 0; back < samples && back < series->count; back++) {
        uint64_t value = top_series_at(series, back);

        if (value != TOP_UNKNOWN && (peak == TOP_UNKNOWN || value > peak))
            peak = value;
    }
    return peak;
}

/* Changes a second between two readings of a total. One that ran backwards was
 * started anew: then nothing is known. */
static uint64_t rate(uint64_t before, uint64_t now, uint64_t elapsed_us)
{
    if (before == TOP_UNKNOWN || now == TOP_UNKNOWN || now < before)
        return TOP_UNKNOWN;
    now -= before;
    if (now <= UINT64_MAX / 1000000)
        return now * 1000000 / elapsed_us;
    now /= elapsed_us;
    return now <= UINT64_MAX / 1000000 ? now * 1000000 : UINT64_MAX - 1;
}

static uint64_t change(const struct top_process *process,
                       gov_page_counter counter, uint64_t elapsed_us)
{
    return rate(top_counter(&process->base, counter),
                top_counter(&process->page, counter), elapsed_us);
}

/* Rates come from the process's own times: it updates at its own pace, and
 * between two updates nothing is known. */
static void measure(struct top_process *process)
{
    uint64_t before = top_counter(&process->base, GOV_PAGE_UPDATED_US);
    uint64_t now = top_counter(&process->page, GOV_PAGE_UPDATED_US);
    uint64_t elapsed_us;

    if (before == TOP_UNKNOWN || now == TOP_UNKNOWN || now < before) {
        process->rates =
            (struct top_rates){TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN};
        process->base = process->page;
        return;
    }
    elapsed_us = now - before;
    if (elapsed_us < SHORTEST_US)
        return;
    process->rates.read_bytes =
        change(process, GOV_PAGE_READ_BYTES, elapsed_us);
    process->rates.major_faults =
        change(process, GOV_PAGE_MAJOR_FAULTS, elapsed_us);
    process->rates.minor_faults =
        change(process, GOV_PAGE_MINOR_FAULTS, elapsed_us);
    process->base = process->page;
}

static void update_process(struct top_process *process,
                           const struct gov_machine *machine)
{
    uint64_t updated = top_counter(&process->page, GOV_PAGE_UPDATED_US);

    measure(process);
    process->age_us = TOP_UNKNOWN;
    if (updated != TOP_UNKNOWN && updated <= machine->now_us)
        process->age_us = machine->now_us - updated;
    push(&process->footprint, top_counter(&process->page, GOV_PAGE_FOOTPRINT));
    push(&process->read, process->rates.read_bytes);
    push(&process->tokens,
         top_counter(&process->page, GOV_PAGE_TOKEN_RATE_MILLI));
}

static uint64_t stall(const struct top_model *model,
                      const struct gov_machine *now, uint32_t have,
                      uint64_t before_us, uint64_t now_us)
{
    uint64_t elapsed_us = now->now_us - model->machine.now_us;
    uint64_t permille;

    if (!model->sampled || (model->machine.have & now->have & have) == 0 ||
        now->now_us <= model->machine.now_us || now_us < before_us)
        return TOP_UNKNOWN;
    permille = top_permille(now_us - before_us, elapsed_us);
    return permille > 1000 ? 1000 : permille;
}

static void update_machine(struct top_model *model,
                           const struct gov_machine *now)
{
    const struct gov_machine *before = &model->machine;

    model->stall_some = stall(model, now, GOV_MACHINE_HAVE_STALL,
                              before->stall_some_us, now->stall_some_us);
    model->stall_full = stall(model, now, GOV_MACHINE_HAVE_STALL,
                              before->stall_full_us, now->stall_full_us);
    model->stall_io = stall(model, now, GOV_MACHINE_HAVE_IO_STALL,
                            before->io_some_us, now->io_some_us);
    push(&model->stall, model->stall_some);
    model->machine = *now;
    model->sampled = true;
}

static bool is_same(const struct gov_page *a, const struct gov_page *b)
{
    return a->pid == b->pid && a->start_ticks == b->start_ticks;
}

void top_model_update(struct top_model *model,
                      const struct gov_machine *machine,
                      const struct gov_page *pages, size_t count)
{
    size_t before = model->count, old = 0;

    if (count > TOP_PROCESSES)
        count = TOP_PROCESSES;
    update_machine(model, machine);
    memcpy(model->spare, model->process, before * sizeof(model->spare[0]));
    for (size_t i = 0; i < count; i++) {
        struct top_process *process = &model->process[i];

        while (old < before && model->spare[old].page.pid < pages[i].pid)
            old++;
        if (old < before && is_same(&model->spare[old].page, &pages[i])) {
            *process = model->spare[old];
        } else {
            memset(process, 0, sizeof(*process));
            process->base = pages[i];
            process->rates =
                (struct top_rates){TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN};
        }
        process->page = pages[i];
        update_process(process, machine);
    }
    model->count = count;
}
