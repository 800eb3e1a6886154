/* SPDX-License-Identifier: MIT */
/* Estimates: what a model takes and how fast it can be at best. Arithmetic only;
 * what stays of a streamed model is as plan.c has it. */
#include "policies/capacity.h"

#include <string.h>

#include "policies/planning/sizes_priv.h"

#define MODELS_MAX 64 /* of the shipped table */

const char *gov_way_name(gov_way way)
{
    switch (way) {
    case GOV_WAY_TRADITIONAL:
        return "traditional";
    case GOV_WAY_HEAP:
        return "heap";
    case GOV_WAY_MMAP:
        return "mmap";
    case GOV_WAY_STREAMED:
        return "streamed";
    case GOV_WAY_COUNT:
        break;
    }
    return "unknown";
}

/* KV and compute buffers. */
static uint64_t buffers(const struct gov_capacity_model *model,
                        uint64_t context)
{
    uint64_t kv =
        gov__sat_mul(model->kv_per_token_bytes, gov__kv_cells(context));

    return gov__sat_add(kv, model->compute_bytes);
}

static uint64_t window(const struct gov_capacity_model *model)
{
    return gov__sat_mul(model->largest_unit_bytes, GOV__WINDOW_UNITS);
}

static uint64_t peak(const struct gov_capacity_model *model, gov_way way,
                     uint64_t context)
{
    uint64_t weights = model->weights_bytes;

    if (way == GOV_WAY_TRADITIONAL)
        weights = gov__sat_add(weights, weights);
    else if (way == GOV_WAY_STREAMED)
        weights = window(model);
    return gov__sat_add(buffers(model, context), weights);
}

/* Rates rounded towards the bound, and never to 0, which is unknown. */
static uint64_t tokens_bound(uint64_t rate, uint64_t bytes)
{
    uint64_t tokens = gov__scaled(rate, 1000, bytes);

    return tokens > 0 ? tokens : 1;
}

static uint64_t ms(uint64_t bytes, uint64_t rate)
{
    return gov__scaled(bytes, 1000, rate);
}

static uint64_t first_token(const struct gov_capacity_device *device,
                            uint64_t weights, gov_way way)
{
    uint64_t pass, sum;

    if (device->read_rate == 0 || device->memory_rate == 0)
        return 0;
    pass = ms(weights, device->memory_rate);
    sum = gov__sat_add(ms(weights, device->read_rate), pass);
    if (way == GOV_WAY_TRADITIONAL || way == GOV_WAY_HEAP)
        sum = gov__sat_add(sum, gov__sat_mul(pass, 2));
    return sum > 0 ? sum : 1;
}

/* cold: bytes from storage for each token. */
static uint64_t tokens(const struct gov_capacity_device *device,
                       uint64_t weights, uint64_t cold)
{
    uint64_t memory, storage;

    if (device->memory_rate == 0 || (cold > 0 && device->read_rate == 0))
        return 0;
    memory = tokens_bound(device->memory_rate, weights);
    storage = tokens_bound(device->read_rate, cold);
    return cold > 0 && storage < memory ? storage : memory;
}

static void judge(const struct gov_capacity_device *device,
                  const struct gov_capacity_model *model, gov_way way,
                  uint64_t context, struct gov_capacity_verdict *out)
{
    uint64_t weights = model->weights_bytes, hot = weights;

    out->peak_bytes = peak(model, way, context);
    out->runs = weights > 0 && out->peak_bytes < UINT64_MAX &&
                out->peak_bytes <= device->budget_bytes;
    if (!out->runs)
        return;
    if (way == GOV_WAY_STREAMED)
        hot = gov__streamed_hot(device->budget_bytes - buffers(model, context),
                                window(model), weights);
    out->cold_bytes = hot < weights ? weights - hot : 0;
    out->first_token_ms = first_token(device, weights, way);
    out->tokens_per_1000s = tokens(device, weights, out->cold_bytes);
}

void gov_capacity_estimate(const struct gov_capacity_device *device,
                           const struct gov_capacity_model *model,
                           uint64_t context,
                           struct gov_capacity_verdict out[GOV_WAY_COUNT])
{
    memset(out, 0, GOV_WAY_COUNT * sizeof(*out));
    for (int way = 0; way < GOV_WAY_COUNT; way++)
        judge(device, model, (gov_way)way, context, &out[way]);
}

gov_gpu_fit gov_capacity_gpu(const struct gov_capacity_device *device,
                             const struct gov_capacity_model *model,
                             uint64_t context)
{
    uint64_t all = peak(model, GOV_WAY_MMAP, context);

    if (device->gpu_bytes == 0)
        return GOV_GPU_UNKNOWN;
    return all < UINT64_MAX && all <= device->gpu_bytes ? GOV_GPU_FITS
                                                        : GOV_GPU_TOO_SMALL;
}

/* ---- the largest ---- */

/* The models of the first quantisation of a table, smallest first. */
struct ladder {
    struct gov_capacity_model step[MODELS_MAX];
    size_t count;
};

static const char *quantisation(const struct gov_capacity_model *model)
{
    const char *space = strrchr(model->name, ' ');

    return space != NULL ? space : "";
}

static bool read_ladder(struct ladder *out)
{
    struct gov_capacity_model models[MODELS_MAX];
    size_t count;

    out->count = 0;
    if (gov_capacity_models(models, MODELS_MAX, &count, NULL, NULL) != GOV_OK)
        return false;
    for (size_t i = 0; i < count && i < MODELS_MAX; i++) {
        uint64_t last =
            out->count > 0 ? out->step[out->count - 1].weights_bytes : 0;

        if (strcmp(quantisation(&models[i]), quantisation(&models[0])) == 0 &&
            models[i].weights_bytes > last)
            out->step[out->count++] = models[i];
    }
    return out->count > 0;
}

/* Between a and b, as far as part is on the way to whole. */
static uint64_t between(uint64_t a, uint64_t b, uint64_t part, uint64_t whole)
{
    return b >= a ? gov__sat_add(a, gov__scaled(b - a, part, whole))
                  : a - gov__scaled(a - b, part, whole);
}

/* A model of so many weights: in proportion below the smallest and above the
 * largest, and on a straight line from one to the next within. */
static struct gov_capacity_model shaped(const struct ladder *ladder,
                                        uint64_t weights)
{
    static const struct gov_capacity_model nothing;
    const struct gov_capacity_model *low = &nothing, *high = ladder->step;
    struct gov_capacity_model m = {.weights_bytes = weights};
    uint64_t part, whole;

    for (size_t i = 0; i < ladder->count; i++)
        if (ladder->step[i].weights_bytes <= weights) {
            low = &ladder->step[i];
            high = i + 1 < ladder->count ? low + 1 : low;
        }
    if (low == high)
        low = &nothing;
    part = weights - low->weights_bytes;
    whole = high->weights_bytes - low->weights_bytes;
    m.largest_unit_bytes =
        between(low->largest_unit_bytes, high->largest_unit_bytes, part, whole);
    m.kv_per_token_bytes =
        between(low->kv_per_token_bytes, high->kv_per_token_bytes, part, whole);
    m.compute_bytes =
        between(low->compute_bytes, high->compute_bytes, part, whole);
    return m;
}

static bool runs(const struct gov_capacity_device *device,
                 const struct ladder *ladder, uint64_t weights, gov_way way,
                 uint64_t context)
{
    struct gov_capacity_verdict verdict[GOV_WAY_COUNT];
    struct gov_capacity_model model = shaped(ladder, weights);

    gov_capacity_estimate(device, &model, context, verdict);
    return verdict[way].runs;
}

uint64_t gov_capacity_largest(const struct gov_capacity_device *device,
                              gov_way way, uint64_t context)
{
    struct ladder ladder;
    uint64_t low = 0, high = UINT64_MAX; /* low runs, or is 0; high does not */

    if ((unsigned)way >= GOV_WAY_COUNT || !read_ladder(&ladder))
        return 0;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;

        if (runs(device, &ladder, middle, way, context))
            low = middle;
        else
            high = middle;
    }
    return low;
}
