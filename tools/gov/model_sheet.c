/* SPDX-License-Identifier: MIT */
/* What a sheet of a model shows: sums over its tensors and units, and what it
 * needs. Prints nothing. */
#include "tools/gov/model_sheet.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define UNIT_LINES 12 /* more are summed up */

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- tensors by type --------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
    const struct gov_sheet_type *x = a, *y = b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void fill_types(struct gov_model_sheet *sheet)
{
    size_t count;
    const struct gov_tensor *tensors = gov_model_tensors(sheet->model, &count);

    for (size_t i = 0; i < count; i++) {
        const char *name = tensors[i].type;
        size_t at = 0;

        while (at < sheet->type_count && at < GOV_SHEET_TYPES - 1 &&
               strcmp(sheet->types[at].name, name) != 0)
            at++;
        if (at == sheet->type_count) {
            sheet->types[at].name = at < GOV_SHEET_TYPES - 1 ? name : "others";
            sheet->type_count++;
        }
        sheet->types[at].tensors++;
        sheet->types[at].bytes = add(sheet->types[at].bytes, tensors[i].bytes);
    }
    qsort(sheet->types, sheet->type_count, sizeof(sheet->types[0]), by_bytes);
}

/* ---- units ------------------------------------------------------------------- */

static int by_layer(const void *a, const void *b)
{
    const struct gov_sheet_units *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static int by_use(const void *a, const void *b)
{
    const struct gov_sheet_units *x = a, *y = b;

    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static void join(struct gov_sheet_units *into,
                 const struct gov_sheet_units *other)
{
    into->last = other->last;
    into->layers += other->layers;
    into->bytes = add(into->bytes, other->bytes);
    if (into->experts != other->experts)
        into->experts = 0;
    if (other->least < into->least)
        into->least = other->least;
    if (other->most > into->most)
        into->most = other->most;
    if (other->unit < into->unit)
        into->unit = other->unit;
}

/* Units of one kind and layer become one. They are of different experts, or of
 * different matrices of the same ones: a layer has no more than the model. */
static size_t join_layers(struct gov_sheet_units *units, size_t count,
                          uint64_t experts)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        struct gov_sheet_units *last = &units[used > 0 ? used - 1 : 0];

        if (used == 0 || last->kind != units[i].kind ||
            last->first != units[i].first) {
            units[used++] = units[i];
            continue;
        }
        last->bytes = add(last->bytes, units[i].bytes);
        last->least = last->most = last->bytes;
        last->experts += units[i].experts;
        if (last->experts > experts)
            last->experts = (uint32_t)experts;
        if (units[i].unit < last->unit)
            last->unit = units[i].unit;
    }
    return used;
}

/* Layers that follow each other become one line: those of one size, or all. */
static size_t join_lines(struct gov_sheet_units *units, size_t count, bool all)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        struct gov_sheet_units *last = &units[used > 0 ? used - 1 : 0];

        if (used > 0 && last->kind == units[i].kind &&
            (all ||
             (last->least == units[i].most && last->most == units[i].least &&
              last->experts == units[i].experts &&
              units[i].first - last->last == 1)))
            join(last, &units[i]);
        else
            units[used++] = units[i];
    }
    return used;
}

static gov_status fill_units(struct gov_model_sheet *sheet, gov_error *err)
{
    size_t count;
    const struct gov_unit *units = gov_model_units(sheet->model, &count);
    struct gov_sheet_units *out = calloc(count, sizeof(*out));

    sheet->units = out;
    if (out == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a sheet");
    for (size_t i = 0; i < count; i++) {
        bool layered = units[i].kind == GOV_UNIT_LAYER ||
                       units[i].kind == GOV_UNIT_EXPERTS;

        out[i] = (struct gov_sheet_units){
            .kind = units[i].kind,
            .first = layered ? units[i].layer : 0,
            .last = layered ? units[i].layer : 0,
            .layers = 1,
            .experts = units[i].experts,
            .least = units[i].tensor_bytes,
            .most = units[i].tensor_bytes,
            .bytes = units[i].tensor_bytes,
            .unit = i,
        };
    }
    qsort(out, count, sizeof(*out), by_layer);
    count = join_layers(
        out, count, gov_facts_get(&sheet->facts, GOV_FACT_MODEL_EXPERTS, 0));
    count = join_lines(out, count, false);
    if (count > UNIT_LINES)
        count = join_lines(out, count, true);
    qsort(out, count, sizeof(*out), by_use);
    sheet->unit_count = count;
    return GOV_OK;
}

const char *gov_sheet_units_name(const struct gov_sheet_units *units, char *out,
                                 size_t bytes)
{
    const char *what =
        units->kind == GOV_UNIT_EXPERTS ? "experts of layer" : "layer";

    switch (units->kind) {
    case GOV_UNIT_EMBEDDING:
        return "embedding";
    case GOV_UNIT_OUTPUT:
        return "output";
    case GOV_UNIT_PROJECTOR:
        return "projector";
    case GOV_UNIT_EXPERTS:
    case GOV_UNIT_LAYER:
        break;
    }
    if (units->first == units->last)
        snprintf(out, bytes, "%s %" PRIu32, what, units->first);
    else
        snprintf(out, bytes, "%ss %" PRIu32 "-%" PRIu32, what, units->first,
                 units->last);
    return out;
}

/* ---- need -------------------------------------------------------------------- */

uint64_t gov_sheet_kept(const struct gov_need *need)
{
    return add(need->ram.kv, need->ram.state);
}

uint64_t gov_sheet_buffers(const struct gov_need *need)
{
    return add(add(need->ram.compute, need->ram.output), need->engine);
}

uint64_t gov_sheet_total(const struct gov_need *need, uint64_t *least)
{
    uint64_t rest = add(need->ram.weights, gov_sheet_buffers(need));

    *least = add(rest, need->kv_least);
    return add(rest, gov_sheet_kept(need));
}

/* An encoder takes a whole text in one pass. */
static gov_status ask(const struct gov_model_sheet *sheet, uint32_t context,
                      gov_kv_type type, struct gov_need *out, gov_error *err)
{
    struct gov_need_request request = gov_need_request_default();

    request.context = context;
    request.k_type = request.v_type = type;
    if (!sheet->generates)
        request.batch = context;
    return gov_model_need(sheet->model, &request, out, err);
}

static void fill_kv(struct gov_model_sheet *sheet)
{
    static const gov_kv_type types[] = {
        GOV_KV_F32,  GOV_KV_F16,  GOV_KV_BF16, GOV_KV_Q8_0,   GOV_KV_Q5_1,
        GOV_KV_Q5_0, GOV_KV_Q4_1, GOV_KV_Q4_0, GOV_KV_IQ4_NL,
    };
    struct gov_need small, large;
    gov_error err;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct gov_sheet_kv *kv = &sheet->kv[sheet->kv_count++];

        kv->type = types[i];
        kv->held = ask(sheet, 4096, types[i], &small, &err) == GOV_OK;
        kv->per_token = gov_model_kv_per_token(sheet->model, types[i]);
        if (!kv->held)
            snprintf(kv->why, sizeof(kv->why), "%s", err.message);
    }
    sheet->keeps_kv =
        sheet->generates && sheet->tells_kv &&
        ask(sheet, 4096, GOV_KV_F16, &small, &err) == GOV_OK &&
        ask(sheet, 8192, GOV_KV_F16, &large, &err) == GOV_OK &&
        (large.ram.kv > 0 || large.kv_least != gov_sheet_kept(&large));
}

/* The usual contexts that the model was made for, and its own; a context that
 * it does not tell is unknown, not none. Returns how many. */
static size_t usual_contexts(uint64_t most, uint32_t out[GOV_SHEET_CONTEXTS])
{
    static const uint32_t usual[] = {4096, 8192, 32768};
    size_t count = 0;

    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        if (most == 0 || usual[i] < most)
            out[count++] = usual[i];
    if (most != 0)
        out[count++] = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
    return count;
}

static gov_status fill_need(struct gov_model_sheet *sheet, uint32_t context,
                            gov_kv_type type, gov_error *err)
{
    static const gov_kv_type usual[GOV_SHEET_NEED_TYPES] = {GOV_KV_F16,
                                                            GOV_KV_Q8_0};
    uint64_t most = gov_facts_get(&sheet->facts, GOV_FACT_MODEL_CONTEXT_MAX, 0);
    uint32_t contexts[GOV_SHEET_CONTEXTS] = {context};
    size_t count = 1;

    if (context > most && most != 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "a context of %" PRIu32 " tokens was asked for, "
                        "%" PRIu64 " is the most the model knows; ask for no "
                        "more",
                        context, most);
    if (context == 0)
        count = usual_contexts(most, contexts);
    for (size_t i = 0; i < count * GOV_SHEET_NEED_TYPES; i++) {
        struct gov_sheet_need *row = &sheet->need[sheet->need_count];
        bool first = i % GOV_SHEET_NEED_TYPES == 0;
        gov_status status;

        if (!first && (type != GOV_KV_UNSET || !sheet->keeps_kv))
            continue;
        row->context = contexts[i / GOV_SHEET_NEED_TYPES];
        row->type =
            type != GOV_KV_UNSET ? type : usual[i % GOV_SHEET_NEED_TYPES];
        status = ask(sheet, row->context, row->type, &row->need, err);
        if (status == GOV_OK)
            sheet->need_count++;
        else if (first)
            return status;
    }
    return GOV_OK;
}

gov_status gov_model_sheet_fill(struct gov_model_sheet *sheet,
                                const gov_model *model, uint32_t context,
                                gov_kv_type type, gov_error *err)
{
    gov_status status;

    memset(sheet, 0, sizeof(*sheet));
    sheet->model = model;
    gov_model_facts(model, &sheet->facts);
    sheet->known = gov_model_known(model);
    sheet->generates =
        gov_facts_get(&sheet->facts, GOV_FACT_MODEL_GENERATES, 1) != 0;
    sheet->tells_kv = !sheet->generates ||
                      sheet->facts.value[GOV_FACT_MODEL_KV_PER_TOKEN].known;
    fill_types(sheet);
    status = fill_units(sheet, err);
    if (status != GOV_OK)
        return status;
    fill_kv(sheet);
    return fill_need(sheet, context, type, err);
}

void gov_model_sheet_fini(struct gov_model_sheet *sheet)
{
    free(sheet->units);
    sheet->units = NULL;
}
