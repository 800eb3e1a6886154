/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_model.h"

#include <stdio.h>
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

static struct top_base base_of(const struct gov_page *page)
{
    return (struct top_base){
        top_counter(page, GOV_PAGE_UPDATED_US),
        top_counter(page, GOV_PAGE_READ_BYTES),
        top_counter(page, GOV_PAGE_MAJOR_FAULTS),
        top_counter(page, GOV_PAGE_MINOR_FAULTS),
        top_counter(page, GOV_PAGE_WEIGHTS_WAIT_US),
        top_counter(page, GOV_PAGE_STALL_US),
    };
}

/* Waiting as a share of time; several sessions may wait at once. */
static uint64_t share(uint64_t before, uint64_t now, uint64_t elapsed_us)
{
    uint64_t permille;

    if (before == TOP_UNKNOWN || now == TOP_UNKNOWN || now < before)
        return TOP_UNKNOWN;
    permille = top_permille(now - before, elapsed_us);
    return permille > 1000 ? 1000 : permille;
}

/* The same of the last pass, from a page that has no totals of waiting. */
static uint64_t share_of_pass(const struct gov_page *page,
                              gov_page_counter total, gov_page_counter part)
{
    uint64_t permille;

    if (top_counter(page, total) != TOP_UNKNOWN)
        return TOP_UNKNOWN;
    permille = top_permille(top_counter(page, part),
                            top_counter(page, GOV_PAGE_PASS_US));
    return permille != TOP_UNKNOWN && permille > 1000 ? 1000 : permille;
}

static const struct top_rates no_rates = {TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN,
                                          TOP_UNKNOWN, TOP_UNKNOWN};

/* Rates come from the process's own times: it updates at its own pace, and
 * between two updates nothing is known. */
static void measure(struct top_process *process)
{
    const struct top_base before = process->base;
    const struct top_base now = base_of(&process->page);
    uint64_t elapsed_us;

    if (before.updated_us == TOP_UNKNOWN || now.updated_us == TOP_UNKNOWN ||
        now.updated_us < before.updated_us) {
        process->rates = no_rates;
        process->base = now;
        return;
    }
    elapsed_us = now.updated_us - before.updated_us;
    if (elapsed_us < SHORTEST_US)
        return;
    process->rates = (struct top_rates){
        rate(before.read_bytes, now.read_bytes, elapsed_us),
        rate(before.major_faults, now.major_faults, elapsed_us),
        rate(before.minor_faults, now.minor_faults, elapsed_us),
        share(before.weights_us, now.weights_us, elapsed_us),
        share(before.stall_us, now.stall_us, elapsed_us),
    };
    process->base = now;
}

static void update_process(struct top_process *process,
                           const struct gov_machine *machine)
{
    const struct gov_page *page = &process->page;
    uint64_t updated = top_counter(page, GOV_PAGE_UPDATED_US);

    measure(process);
    if (process->rates.weights == TOP_UNKNOWN)
        process->rates.weights = share_of_pass(page, GOV_PAGE_WEIGHTS_WAIT_US,
                                               GOV_PAGE_PASS_WEIGHTS_US);
    if (process->rates.stall == TOP_UNKNOWN)
        process->rates.stall =
            share_of_pass(page, GOV_PAGE_STALL_US, GOV_PAGE_PASS_RECLAIM_US);
    process->age_us = TOP_UNKNOWN;
    if (updated != TOP_UNKNOWN && updated <= machine->now_us)
        process->age_us = machine->now_us - updated;
    push(&process->footprint, top_counter(page, GOV_PAGE_FOOTPRINT));
    push(&process->read, process->rates.read_bytes);
    push(&process->tokens, top_counter(page, GOV_PAGE_TOKEN_RATE_MILLI));
    push(&process->stall, process->rates.stall);
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

/* ---- processes -------------------------------------------------------------- */

static void tell(struct gov_page *page, gov_page_counter counter, uint64_t n)
{
    if (n == UINT64_MAX)
        return;
    page->have |= UINT64_C(1) << counter;
    page->counter[counter] = n;
}

/* What the kernel tells of a process, under the names that a page has for it. */
static void fill_other(struct gov_page *page, const struct gov_process *other,
                       uint64_t at_us)
{
    memset(page, 0, sizeof(*page));
    page->pid = other->pid;
    page->start_ticks = other->start_ticks;
    page->alive = true;
    tell(page, GOV_PAGE_UPDATED_US, at_us);
    tell(page, GOV_PAGE_FOOTPRINT, other->footprint_bytes);
    tell(page, GOV_PAGE_SWAP, other->swap_bytes);
    tell(page, GOV_PAGE_RESIDENT_FILE, other->resident_file_bytes);
    if (other->mapped_bytes > 0) {
        tell(page, GOV_PAGE_WEIGHTS_MAPPED, other->mapped_bytes);
        tell(page, GOV_PAGE_WEIGHTS_RESIDENT, other->mapped_resident_bytes);
    }
    tell(page, GOV_PAGE_MAJOR_FAULTS, other->major_faults);
    tell(page, GOV_PAGE_MINOR_FAULTS, other->minor_faults);
    tell(page, GOV_PAGE_READ_BYTES, other->read_bytes);
    memcpy(page->text_APP, other->name, sizeof(page->text_APP));
    page->text_APP[sizeof(page->text_APP) - 1] = '\0';
    memcpy(page->text_MODEL, other->model, sizeof(page->text_MODEL));
    page->text_MODEL[sizeof(page->text_MODEL) - 1] = '\0';
    snprintf(page->text_REASON, sizeof(page->text_REASON),
             "not governed; figures are the kernel's%s",
             other->exact ? "" : ", the footprint an estimate");
}

bool top_is_foreign(const struct top_process *process)
{
    return process->governed && process->page.have == 0 &&
           process->page.version != 0 && process->page.text_APP[0] == '\0';
}

/* What was known of the process of a row before; NULL: nothing. *old is where to
 * go on looking. */
static const struct top_process *find_old(const struct top_model *model,
                                          size_t before, size_t *old,
                                          const struct gov_page *page,
                                          bool governed)
{
    const struct top_process *found;

    while (*old < before && model->spare[*old].page.pid < page->pid)
        (*old)++;
    if (*old == before)
        return NULL;
    found = &model->spare[*old];
    return found->page.pid == page->pid &&
                   found->page.start_ticks == page->start_ticks &&
                   found->governed == governed
               ? found
               : NULL;
}

/* Whatever was in this place before: it has the history of `found`, or none. */
static void settle(struct top_process *process, const struct top_process *found,
                   bool governed)
{
    const struct gov_page page = process->page; /* the new one */

    if (found != NULL) {
        *process = *found;
    } else {
        memset(process, 0, sizeof(*process));
        process->governed = governed;
        process->base = base_of(&page);
        process->rates = no_rates;
    }
    process->page = page;
}

/* Where a merge of both lists by pid is. */
struct merge {
    const struct top_sample *sample;
    size_t page, other; /* the next of each */
    size_t pages, others;
};

/* Which comes next: a page, or one that is not governed; -1 at the end. */
static int next_row(struct merge *m)
{
    int32_t page_pid, other_pid;

    if (m->page == m->pages && m->other == m->others)
        return -1;
    page_pid = m->page < m->pages ? m->sample->pages[m->page].pid : INT32_MAX;
    other_pid =
        m->other < m->others ? m->sample->others[m->other].pid : INT32_MAX;
    if (other_pid < page_pid) {
        m->other++;
        return 0;
    }
    /* In both it was looked up before it was governed. */
    if (other_pid == page_pid && m->other < m->others)
        m->other++;
    m->page++;
    return 1;
}

static struct merge merge_of(const struct top_sample *sample)
{
    size_t pages = sample->page_count, others = sample->other_count;

    return (struct merge){sample, 0, 0,
                          pages > TOP_PROCESSES ? TOP_PROCESSES : pages,
                          others > TOP_OTHERS ? TOP_OTHERS : others};
}

/* The same processes as in the sample before, which most often are: then none has
 * to be moved. */
static bool is_unchanged(const struct top_model *model,
                         const struct top_sample *sample)
{
    struct merge m = merge_of(sample);
    size_t i = 0;

    for (int governed; (governed = next_row(&m)) >= 0; i++) {
        const struct top_process *process = &model->process[i];
        int32_t pid = governed ? sample->pages[m.page - 1].pid
                               : sample->others[m.other - 1].pid;
        uint64_t start = governed ? sample->pages[m.page - 1].start_ticks
                                  : sample->others[m.other - 1].start_ticks;

        if (i == model->count || process->page.pid != pid ||
            process->page.start_ticks != start ||
            process->governed != (governed == 1))
            return false;
    }
    return i == model->count;
}

void top_model_update(struct top_model *model, const struct top_sample *sample)
{
    struct merge m = merge_of(sample);
    size_t before = model->count, old = 0;
    bool unchanged = is_unchanged(model, sample);

    update_machine(model, sample->machine);
    if (!unchanged)
        memcpy(model->spare, model->process, before * sizeof(model->spare[0]));
    model->count = 0;
    model->governed = 0;
    for (int governed; (governed = next_row(&m)) >= 0;) {
        struct top_process *process = &model->process[model->count];

        if (governed)
            process->page = sample->pages[m.page - 1];
        else
            fill_other(&process->page, &sample->others[m.other - 1],
                       sample->others_us);
        if (!unchanged)
            settle(process,
                   find_old(model, before, &old, &process->page, governed == 1),
                   governed == 1);
        update_process(process, &model->machine);
        model->count++;
        model->governed += governed == 1;
    }
}
