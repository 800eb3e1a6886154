/* SPDX-License-Identifier: MIT */
/* Simulated levels: a short schedule that replaces the evidence. */
#include <string.h>

#include "governor/runtime/runtime_priv.h"

/* Keeps the schedule in order of time; equal times keep the order of calls. */
static void insert_locked(struct gov_runtime *runtime,
                          const struct gov__sim_step *step)
{
    uint32_t at = runtime->step_count;

    while (at > 0 && runtime->steps[at - 1].at_ms > step->at_ms)
        at--;
    memmove(&runtime->steps[at + 1], &runtime->steps[at],
            (runtime->step_count - at) * sizeof(*step));
    runtime->steps[at] = *step;
    runtime->step_count++;
}

static uint32_t waiting_locked(const struct gov_runtime *runtime)
{
    uint32_t own = 0;

    for (uint32_t i = 0; i < runtime->step_count; i++)
        own += !runtime->steps[i].told;
    return own;
}

static uint64_t after(uint64_t now_ms, uint64_t delay_ms)
{
    return delay_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + delay_ms;
}

static gov_status schedule(struct gov_runtime *runtime,
                           struct gov__sim_step step, uint64_t delay_ms,
                           gov_error *err)
{
    if (runtime == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "no runtime to simulate on; open one first");
    if (gov__runtime_forked(runtime))
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "nothing is governed in a child of fork(); open a "
                        "runtime there");
    step.at_ms = after(gov__runtime_ms(runtime), delay_ms);
    pthread_mutex_lock(&runtime->lock);
    if (waiting_locked(runtime) == GOV__STEPS) {
        pthread_mutex_unlock(&runtime->lock);
        return gov_fail(err, GOV_E_BUSY, 0,
                        "%d simulated steps are waiting already; simulate "
                        "fewer, or later",
                        GOV__STEPS);
    }
    insert_locked(runtime, &step);
    pthread_mutex_unlock(&runtime->lock);
    gov__runtime_wake(runtime);
    return GOV_OK;
}

gov_status gov_simulate(gov_runtime *runtime, gov_level level,
                        uint64_t delay_ms, gov_error *err)
{
    if (level != GOV_LEVEL_NORMAL && level != GOV_LEVEL_WARN &&
        level != GOV_LEVEL_CRITICAL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "%d is no level; simulate normal, warn or critical",
                        (int)level);
    return schedule(runtime, (struct gov__sim_step){0, false, level, false},
                    delay_ms, err);
}

gov_status gov_simulate_end(gov_runtime *runtime, uint64_t delay_ms,
                            gov_error *err)
{
    return schedule(runtime,
                    (struct gov__sim_step){0, true, GOV_LEVEL_NORMAL, false},
                    delay_ms, err);
}

void gov__simulate_told(struct gov_runtime *runtime, gov_level level,
                        uint64_t for_ms)
{
    const uint64_t now = gov__runtime_ms(runtime);
    struct gov__sim_step begin = {now, for_ms == 0, level, true};
    struct gov__sim_step end = {after(now, for_ms), true, level, true};
    uint32_t kept = 0;

    pthread_mutex_lock(&runtime->lock);
    for (uint32_t i = 0; i < runtime->step_count; i++)
        if (!runtime->steps[i].told)
            runtime->steps[kept++] = runtime->steps[i];
    runtime->step_count = kept;
    insert_locked(runtime, &begin);
    if (for_ms != 0)
        insert_locked(runtime, &end);
    pthread_mutex_unlock(&runtime->lock);
}

void gov__simulate_due_locked(struct gov_runtime *runtime, uint64_t now_ms)
{
    uint32_t due = 0;

    while (due < runtime->step_count && runtime->steps[due].at_ms <= now_ms)
        due++;
    if (due == 0)
        return;
    runtime->simulating = !runtime->steps[due - 1].end;
    runtime->simulated = runtime->steps[due - 1].level;
    runtime->step_count -= due;
    memmove(runtime->steps, runtime->steps + due,
            runtime->step_count * sizeof(runtime->steps[0]));
}

uint64_t gov__simulate_wait_locked(const struct gov_runtime *runtime,
                                   uint64_t now_ms, uint64_t limit)
{
    uint64_t at;

    if (runtime->step_count == 0)
        return limit;
    at = runtime->steps[0].at_ms;
    if (at <= now_ms)
        return 0;
    return at - now_ms < limit ? at - now_ms : limit;
}
