/* SPDX-License-Identifier: MIT */
/* Layers on a GPU: how many there are to be, and what they take there and in RAM.
 *
 * They go from the last one on, the output being the first, as llama.cpp places
 * them. Of layers only the largest part and the smallest layer are known, so both
 * sides are bounds: of what the GPU holds the most, of what RAM is rid of the
 * least.
 *
 *   weights  a largest part for each layer and two for the output, of which norms
 *            lie apart from the matrix; never more than all weights. 1 MiB for
 *            padding.
 *   KV       all of it from the second on: heads, windows, sharing and state
 *            differ from layer to layer, and the last may have all there is. RAM
 *            is rid of none.
 *   buffers  twice those of the processor, which keeps its own; no more is known
 *            than that they are between 0.9 and 2 times (docs/footprint.md).
 *
 * A GPU without memory of its own uses RAM: there its buffers come on top, and
 * weights and KV are counted already. */
#include "policies/planning/plan_priv.h"

#include "policies/planning/sizes_priv.h"

#define PADDING (UINT64_C(1) << 20)

void gov__plan_find_gpu(struct gov__decision *d)
{
    const struct gov_facts *f = &d->facts;
    const struct gov_value *shares = &f->value[GOV_FACT_GPU_SHARES_RAM];
    uint64_t wish = gov_facts_get(f, GOV_FACT_REQUEST_GPU_LAYERS, 0);

    d->layers = gov_facts_get(f, GOV_FACT_MODEL_LAYERS, 0);
    d->smallest_layer = gov_facts_get(f, GOV_FACT_MODEL_SMALLEST_LAYER, 0);
    d->gpu_wish = (uint32_t)(wish < GOV__GPU_ALL ? wish : GOV__GPU_ALL);
    d->gpu_shares = shares->known && shares->number != 0;
    d->gpu_budget = 0;
    if (gov_facts_get(f, GOV_FACT_ENGINE_GPU, 0) != 0 &&
        gov_facts_get(f, GOV_FACT_GPU_COUNT, 0) != 0 && shares->known)
        d->gpu_budget = gov_facts_get(
            f, d->gpu_shares ? GOV_FACT_GPU_WORKING_SET : GOV_FACT_BUDGET_GPU,
            0);
    d->gpu = d->gpu_budget != 0;
}

uint32_t gov__plan_all_layers(const struct gov__decision *d)
{
    return d->layers == 0 || d->layers >= INT32_MAX ? INT32_MAX
                                                    : (uint32_t)d->layers + 1;
}

/* What that many layers take. */
static void place(const struct gov__decision *d, struct gov__sizes *z,
                  uint32_t layers)
{
    uint64_t weights = gov__sat_mul(d->unit, (uint64_t)layers + 1);
    uint64_t moved = 0, added = 0, buffers = gov__sat_mul(z->compute, 2);

    z->gpu_layers = layers;
    z->gpu_weights = z->gpu_bytes = z->moved = z->added = 0;
    if (layers == 0)
        return;
    weights = weights < d->weights ? weights : d->weights;
    z->gpu_weights = gov__sat_add(weights, PADDING);
    z->gpu_bytes = gov__sat_add(gov__sat_add(z->gpu_weights, buffers),
                                layers > 1 ? z->kv : 0);
    if (d->gpu_shares)
        added = gov__sat_add(buffers, PADDING);
    else if (d->layers != 0)
        moved = gov__sat_mul(d->smallest_layer, layers - 1);
    z->moved = moved < d->weights ? moved : d->weights;
    z->added = added;
}

void gov__plan_place(const struct gov__decision *d, struct gov__sizes *z)
{
    uint32_t all = gov__plan_all_layers(d), fit = 0, over;

    place(d, z, 0);
    if (!d->gpu || z->gpu_wish == 0)
        return;
    /* What they take grows with them. */
    over = (z->gpu_wish < all ? z->gpu_wish : all) + 1;
    while (over - fit > 1) {
        uint32_t middle = fit + (over - fit) / 2;

        place(d, z, middle);
        if (z->gpu_bytes <= d->gpu_budget)
            fit = middle;
        else
            over = middle;
    }
    place(d, z, fit);
    /* Where it uses RAM, the model comes before the speed. */
    if (gov__plan_need(d, z, GOV_STRATEGY_MMAP) > d->budget && d->gpu_shares)
        place(d, z, 0);
}
