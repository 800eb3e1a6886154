/* SPDX-License-Identifier: MIT */
/* The tables of machines and of models: which columns they have, and what
 * follows from them. */
#include <stddef.h>
#include <string.h>

#include "policies/capacity.h"
#include "policies/language/tables.h"
#include "policies/planning/reserve.h"
#include "policies/planning/sizes_priv.h"
#include "policies/shipped.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#define COLUMN(row, key, cell, member)                                         \
    {                                                                          \
        key, gov__cell_##cell, offsetof(row, member),                          \
            sizeof(((row *)0)->member)                                         \
    }

/* ---- machines ---- */

struct devices {
    struct gov_capacity_device *out;
    size_t max, count;
};

static gov_status take_device(void *ctx, void *row, struct gov__expr_error *err)
{
    struct devices *list = ctx;
    struct gov_capacity_device *device = row;

    if (device->gpu_shares_ram && device->gpu_bytes > device->ram_bytes) {
        gov__expr_fail(err, 0,
                       "the GPU shares the RAM and has more than there "
                       "is");
        return GOV_E_FORMAT;
    }
    device->budget_bytes =
        device->ram_bytes - gov__reserve_of_ram(device->ram_bytes);
    if (list->count < list->max)
        list->out[list->count] = *device;
    list->count++;
    return GOV_OK;
}

gov_status gov_capacity_devices(struct gov_capacity_device *out, size_t max,
                                size_t *count,
                                const struct gov_table_text *from,
                                gov_error *err)
{
#define CELL(key, cell, member)                                                \
    COLUMN(struct gov_capacity_device, key, cell, member)
    static const struct gov__column columns[] = {
        CELL("name", text, name),
        CELL("ram", bytes, ram_bytes),
        CELL("source", text, source),
        CELL("memory_rate", rate, memory_rate),
        CELL("read_rate", rate, read_rate),
        CELL("gpu", bytes, gpu_bytes),
        CELL("gpu_shares_ram", flag, gpu_shares_ram),
    };
#undef CELL
    static const struct gov__table table = {
        "devices",         "a machine", columns,
        COUNT_OF(columns), 3,           sizeof(struct gov_capacity_device)};
    const struct gov_table_text shipped = {
        gov__shipped_devices, gov__shipped_devices_bytes, "shipped devices"};
    struct devices list = {out, max, 0};
    struct gov_capacity_device row;
    gov_status status;

    status = gov__table_read(&table, from != NULL ? from : &shipped, &row,
                             take_device, &list, err);
    *count = status == GOV_OK ? list.count : 0;
    return status;
}

/* ---- models ---- */

struct model_row {
    char name[sizeof(((struct gov_capacity_model *)0)->name)];
    char source[192];
    uint64_t parameters, bits;           /* of all weights */
    uint64_t unit_parameters, unit_bits; /* of the largest unit */
    uint64_t layers, kv_heads, head_size;
    uint64_t compute;
};

struct models {
    struct gov_capacity_model *out;
    size_t max, count;
};

static gov_status take_model(void *ctx, void *into, struct gov__expr_error *err)
{
    const struct model_row *row = into;
    struct models *list = ctx;
    struct gov_capacity_model m = {.compute_bytes = row->compute};

    memcpy(m.name, row->name, sizeof(m.name));
    /* Bits are in parts of 10000, and a byte has 8. */
    m.weights_bytes = gov__scaled(row->parameters, row->bits, 80000);
    m.largest_unit_bytes =
        gov__scaled(row->unit_parameters, row->unit_bits, 80000);
    /* Keys and values, two bytes each. */
    m.kv_per_token_bytes =
        gov__sat_mul(gov__sat_mul(row->layers, row->kv_heads),
                     gov__sat_mul(row->head_size, 4));
    if (m.weights_bytes > INT64_MAX || m.kv_per_token_bytes > INT64_MAX) {
        gov__expr_fail(err, 0, "the sizes are larger than 2^63 bytes");
        return GOV_E_FORMAT;
    }
    if (m.largest_unit_bytes > m.weights_bytes || m.weights_bytes == 0) {
        gov__expr_fail(err, 0, "the largest unit is more than all weights");
        return GOV_E_FORMAT;
    }
    if (list->count < list->max)
        list->out[list->count] = m;
    list->count++;
    return GOV_OK;
}

gov_status gov_capacity_models(struct gov_capacity_model *out, size_t max,
                               size_t *count, const struct gov_table_text *from,
                               gov_error *err)
{
#define CELL(key, cell, member) COLUMN(struct model_row, key, cell, member)
    static const struct gov__column columns[] = {
        CELL("name", text, name),
        CELL("parameters", count, parameters),
        CELL("bits", bits, bits),
        CELL("unit_parameters", count, unit_parameters),
        CELL("unit_bits", bits, unit_bits),
        CELL("layers", count, layers),
        CELL("kv_heads", count, kv_heads),
        CELL("head_size", count, head_size),
        CELL("compute", bytes, compute),
        CELL("source", text, source),
    };
#undef CELL
    static const struct gov__table table = {
        "models",          "a model",         columns,
        COUNT_OF(columns), COUNT_OF(columns), sizeof(struct model_row)};
    const struct gov_table_text shipped = {
        gov__shipped_models, gov__shipped_models_bytes, "shipped models"};
    struct models list = {out, max, 0};
    struct model_row row;
    gov_status status;

    status = gov__table_read(&table, from != NULL ? from : &shipped, &row,
                             take_model, &list, err);
    *count = status == GOV_OK ? list.count : 0;
    return status;
}
