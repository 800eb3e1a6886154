/* SPDX-License-Identifier: MIT */
/* What the app may use: what it was given, or the device's, which follows a limit
 * that is changed while the app runs. Of the thread that looks; calls nobody. */
#include <inttypes.h>
#include <stdio.h>

#include "governor/device/device_priv.h"
#include "governor/runtime/runtime_priv.h"

gov_status gov__budget_find(struct gov_runtime *runtime, gov_error *err)
{
    struct gov_device device;
    gov_status status =
        gov__device_probe_memory(runtime->platform, &device, err);
    uint64_t budget;

    if (status != GOV_OK)
        return status;
    budget = gov_device_number(&device, GOV_FACT_BUDGET_RAM, 0);
    if (budget == 0)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "this system reports no memory total to govern; set "
                        "budget_bytes");
    atomic_store(&runtime->budget_bytes, budget);
    runtime->limit_bytes =
        gov_device_number(&device, GOV_FACT_DEVICE_LIMIT, UINT64_MAX);
    runtime->ram_bytes = gov_device_number(&device, GOV_FACT_DEVICE_RAM, 0);
    return GOV_OK;
}

uint64_t gov_budget_now(const gov_runtime *runtime)
{
    return runtime == NULL ? 0 : atomic_load(&runtime->budget_bytes);
}

void gov_set_budget(gov_runtime *runtime, uint64_t budget_bytes)
{
    if (runtime == NULL)
        return;
    atomic_store(&runtime->budget_wanted, budget_bytes);
    atomic_store(&runtime->budget_asked, true);
    gov__runtime_wake(runtime);
}

/* What the app asked for since the last look. While the device's budget cannot be
 * found the one before stays. */
bool gov__budget_take(struct gov_runtime *runtime, char *news, size_t bytes)
{
    const uint64_t before = atomic_load(&runtime->budget_bytes);
    uint64_t wanted, now;

    if (!atomic_exchange(&runtime->budget_asked, false))
        return false;
    wanted = atomic_load(&runtime->budget_wanted);
    if (wanted != 0)
        atomic_store(&runtime->budget_bytes, wanted);
    else if (gov__budget_find(runtime, NULL) != GOV_OK) {
        atomic_store(&runtime->budget_asked, true);
        return false;
    }
    runtime->budget_given = wanted != 0;
    now = atomic_load(&runtime->budget_bytes);
    if (now == before)
        return false;
    snprintf(news, bytes, "the budget is %s: %" PRIu64 " MiB",
             wanted != 0 ? "another one" : "the device's again", now >> 20);
    return true;
}

static void tell_bounds(const struct gov_runtime *runtime,
                        const struct gov__sample *sample, char *news,
                        size_t bytes)
{
    char limit[32] = "lifted";

    if (sample->limit_bytes != UINT64_MAX)
        snprintf(limit, sizeof(limit), "now %" PRIu64 " MiB",
                 sample->limit_bytes >> 20);
    snprintf(news, bytes,
             "the memory limit is %s: the budget is %" PRIu64 " MiB", limit,
             atomic_load(&runtime->budget_bytes) >> 20);
}

/* It follows what it was derived from, not every breath of the neighbours: it would
 * wobble, and plans with it. One that an app gave stays. */
bool gov__budget_follow(struct gov_runtime *runtime,
                        const struct gov__sample *sample, char *news,
                        size_t bytes)
{
    const uint64_t before = atomic_load(&runtime->budget_bytes);

    if (runtime->budget_given || !sample->have_bounds ||
        (sample->limit_bytes == runtime->limit_bytes &&
         sample->ram_bytes == runtime->ram_bytes))
        return false;
    if (gov__budget_find(runtime, NULL) != GOV_OK ||
        atomic_load(&runtime->budget_bytes) == before)
        return false;
    tell_bounds(runtime, sample, news, bytes);
    return true;
}
