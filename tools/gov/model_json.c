/* SPDX-License-Identifier: MIT */
/* The sheet of a model as JSON: numbers as they are, null for what is unknown,
 * ranges as {"least", "most"}. */
#include <inttypes.h>
#include <string.h>

#include "tools/gov/model_sheet.h"

/* Paths need not be UTF-8, and JSON must be. */
static json_t *text(const char *in)
{
    json_t *value = json_string(in);
    char out[512];
    size_t n = 0;

    if (value != NULL)
        return value;
    for (; in[n] != '\0' && n < sizeof(out) - 1; n++)
        out[n] = (char)((unsigned char)in[n] < 0x80 ? in[n] : '?');
    out[n] = '\0';
    return json_string(out);
}

static json_t *number(uint64_t value)
{
    return json_integer(value < INT64_MAX ? (json_int_t)value : INT64_MAX);
}

static json_t *range(uint64_t least, uint64_t most)
{
    return json_pack("{s:o, s:o}", "least", number(least), "most",
                     number(most));
}

static void put_facts(json_t *object, const struct gov_facts *facts)
{
    for (int fact = 0; fact < GOV_FACT_COUNT; fact++) {
        const struct gov_fact_info *info = gov_fact_info((gov_fact)fact);
        const struct gov_value *value = &facts->value[fact];

        if (strncmp(info->name, "model.", 6) != 0)
            continue;
        json_object_set_new(object, info->name + 6,
                            !value->known ? json_null()
                            : info->type == GOV_TYPE_TEXT
                                ? text(value->text)
                                : json_integer(value->number));
    }
}

static json_t *types(const struct gov_model_sheet *sheet)
{
    json_t *list = json_array();

    for (size_t i = 0; i < sheet->type_count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o}", "type", sheet->types[i].name,
                            "tensors", number(sheet->types[i].tensors), "bytes",
                            number(sheet->types[i].bytes)));
    return list;
}

static json_t *files(const gov_model *model)
{
    json_t *list = json_array();
    size_t count;
    const struct gov_model_file *file = gov_model_files(model, &count);

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "path",
                                              text(file[i].path), "bytes",
                                              number(file[i].bytes)));
    return list;
}

static json_t *units(const gov_model *model)
{
    static const char *const kinds[] = {"embedding", "layer", "output",
                                        "experts", "projector"};
    json_t *list = json_array();
    size_t count;
    const struct gov_unit *unit = gov_model_units(model, &count);

    for (size_t i = 0; i < count; i++) {
        const char *kind = kinds[unit[i].kind];
        bool layered =
            unit[i].kind == GOV_UNIT_LAYER || unit[i].kind == GOV_UNIT_EXPERTS;
        char name[24];

        snprintf(name, sizeof(name), "%s", kind);
        if (layered)
            snprintf(name, sizeof(name), "%s %" PRIu32, kind, unit[i].layer);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                            "unit", name, "kind", kind, "layer",
                            layered ? number(unit[i].layer) : json_null(),
                            "file", number(unit[i].file), "offset",
                            number(unit[i].file_offset), "bytes",
                            number(unit[i].bytes), "tensor_bytes",
                            number(unit[i].tensor_bytes), "tensors",
                            number(unit[i].tensors), "experts",
                            number(unit[i].experts)));
    }
    return list;
}

static json_t *kv(const struct gov_model_sheet *sheet)
{
    json_t *object = json_object();

    for (size_t i = 0; i < sheet->kv_count; i++)
        json_object_set_new(object, gov_kv_type_name(sheet->kv[i].type),
                            sheet->tells_kv && sheet->kv[i].held
                                ? number(sheet->kv[i].per_token)
                                : json_null());
    return object;
}

static json_t *needs(const struct gov_model_sheet *sheet)
{
    json_t *list = json_array();

    for (size_t i = 0; i < sheet->need_count; i++) {
        const struct gov_need *need = &sheet->need[i].need;
        uint64_t least, most = gov_sheet_total(need, &least);
        bool known = need->compute_known && sheet->tells_kv;

        json_array_append_new(
            list,
            json_pack(
                "{s:o, s:s, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "context",
                number(sheet->need[i].context), "kv_type",
                gov_kv_type_name(sheet->need[i].type), "weights_bytes",
                number(need->ram.weights), "kv_and_state_bytes",
                sheet->tells_kv ? range(need->kv_least, gov_sheet_kept(need))
                                : json_null(),
                "kv_exact", need->kv_exact, "state_bytes",
                sheet->tells_kv ? number(need->ram.state) : json_null(),
                "compute_bytes",
                need->compute_known ? number(need->ram.compute) : json_null(),
                "output_bytes", number(need->ram.output), "engine_bytes",
                number(need->engine), "total_bytes",
                known ? range(least, most) : json_null()));
    }
    return list;
}

static json_t *tensors(const gov_model *model)
{
    json_t *list = json_array();
    size_t count;
    const struct gov_tensor *tensor = gov_model_tensors(model, &count);

    for (size_t i = 0; i < count; i++) {
        json_t *shape = json_array();

        for (uint32_t d = 0; d < tensor[i].dims && d < 4; d++)
            json_array_append_new(shape, number(tensor[i].shape[d]));
        json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b}", "name",
                      tensor[i].name, "type", tensor[i].type, "shape", shape,
                      "file", number(tensor[i].file), "offset",
                      number(tensor[i].file_offset), "bytes",
                      number(tensor[i].bytes), "unit", number(tensor[i].unit),
                      "aligned", tensor[i].aligned));
    }
    return list;
}

json_t *gov_model_to_json(const struct gov_model_sheet *sheet,
                          bool with_tensors)
{
    const gov_model *model = sheet->model;
    json_t *object = json_object();

    json_object_set_new(object, "path", text(gov_model_path(model)));
    json_object_set_new(object, "name", text(gov_model_name(model)));
    put_facts(object, &sheet->facts);
    json_object_set_new(object, "active_parameters",
                        number(gov_model_active_parameters(model)));
    json_object_set_new(object, "quantization_mix",
                        text(gov_model_quantization(model)));
    json_object_set_new(object, "sparse_pass_bytes",
                        number(gov_model_sparse_pass(model)));
    json_object_set_new(object, "dense_pass_bytes",
                        number(gov_model_dense_pass(model)));
    json_object_set_new(object, "types", types(sheet));
    json_object_set_new(object, "parts", files(model));
    json_object_set_new(object, "units", units(model));
    json_object_set_new(object, "kv_per_token_by_type", kv(sheet));
    json_object_set_new(object, "need", needs(sheet));
    if (with_tensors)
        json_object_set_new(object, "tensors", tensors(model));
    return object;
}
