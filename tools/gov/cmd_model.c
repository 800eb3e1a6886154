/* SPDX-License-Identifier: MIT */
/* gov model: a readable sheet of a model file. Reads its header only. */
#include <inttypes.h>
#include <string.h>

#include "tools/gov/gov.h"

#define BAR_CELLS 40

static const char *text_fact(const struct gov_facts *facts, gov_fact fact)
{
    return facts->value[fact].known ? facts->value[fact].text : "unknown";
}

static json_t *number_fact(const struct gov_facts *facts, gov_fact fact)
{
    return facts->value[fact].known ? json_integer(facts->value[fact].number)
                                    : json_null();
}

static const char *unit_name(const struct gov_unit *unit, char *out,
                             size_t bytes)
{
    switch (unit->kind) {
    case GOV_UNIT_EMBEDDING:
        return "embedding";
    case GOV_UNIT_OUTPUT:
        return "output";
    case GOV_UNIT_LAYER:
        break;
    }
    snprintf(out, bytes, "layer %" PRIu32, unit->layer);
    return out;
}

static json_t *to_json(const gov_model *model, const struct gov_facts *facts,
                       bool with_tensors)
{
    json_t *object = json_object(), *list = json_array();
    const struct gov_unit *units;
    const struct gov_tensor *tensors;
    size_t count;
    char name[24];

    json_object_set_new(object, "path", json_string(gov_model_path(model)));
    json_object_set_new(object, "name", json_string(gov_model_name(model)));
    for (int fact = 0; fact < GOV_FACT_COUNT; fact++) {
        const struct gov_fact_info *info = gov_fact_info((gov_fact)fact);

        if (strncmp(info->name, "model.", 6) != 0)
            continue;
        json_object_set_new(object, info->name + 6,
                            info->type == GOV_TYPE_TEXT &&
                                    facts->value[fact].known
                                ? json_string(facts->value[fact].text)
                                : number_fact(facts, (gov_fact)fact));
    }
    units = gov_model_units(model, &count);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:I}", "unit",
                            unit_name(&units[i], name, sizeof(name)), "offset",
                            (json_int_t)units[i].file_offset, "bytes",
                            (json_int_t)units[i].bytes, "tensors",
                            (json_int_t)units[i].tensors));
    json_object_set_new(object, "units", list);
    if (!with_tensors)
        return object;
    list = json_array();
    tensors = gov_model_tensors(model, &count);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:I}", "name", tensors[i].name,
                            "type", tensors[i].type, "offset",
                            (json_int_t)tensors[i].file_offset, "bytes",
                            (json_int_t)tensors[i].bytes));
    json_object_set_new(object, "tensors", list);
    return object;
}

static void print_units(const gov_model *model)
{
    char size[CLI_SIZE_BYTES], name[24], bar[BAR_CELLS + 1];
    const struct gov_unit *units;
    uint64_t largest = 1;
    size_t count;

    units = gov_model_units(model, &count);
    for (size_t i = 0; i < count; i++)
        if (units[i].bytes > largest)
            largest = units[i].bytes;
    printf("\nunits, in order of first use:\n");
    for (size_t i = 0; i < count; i++) {
        /* Divided first: bytes times cells may be more than 64 bits hold. */
        size_t cells = (size_t)(units[i].bytes / (largest / BAR_CELLS + 1));

        memset(bar, '#', cells);
        bar[cells] = '\0';
        printf("  %-10s %10s  %s\n", unit_name(&units[i], name, sizeof(name)),
               cli_size(size, units[i].bytes), bar);
    }
}

static void print_sheet(const gov_model *model, const struct gov_facts *facts)
{
    static const struct {
        const char *label;
        gov_fact fact;
    } rows[] = {
        {"file", GOV_FACT_MODEL_FILE},
        {"weights", GOV_FACT_MODEL_WEIGHTS},
        {"largest unit", GOV_FACT_MODEL_LARGEST_UNIT},
        {"repackable", GOV_FACT_MODEL_REPACK},
        {"layers", GOV_FACT_MODEL_LAYERS},
        {"context", GOV_FACT_MODEL_CONTEXT_MAX},
        {"KV per token", GOV_FACT_MODEL_KV_PER_TOKEN},
        {"buffers", GOV_FACT_MODEL_COMPUTE},
    };
    char value[64];

    printf("%s: %s, %s, %s\n\n",
           *gov_model_name(model) != '\0' ? gov_model_name(model)
                                          : gov_model_path(model),
           text_fact(facts, GOV_FACT_MODEL_ARCHITECTURE),
           text_fact(facts, GOV_FACT_MODEL_QUANTIZATION),
           text_fact(facts, GOV_FACT_MODEL_FORMAT));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        printf("  %-13s %12s  %s\n", rows[i].label,
               gov_value_print(value, sizeof(value),
                               gov_fact_info(rows[i].fact)->type,
                               &facts->value[rows[i].fact]),
               gov_fact_info(rows[i].fact)->sentence);
}

static void print_tensors(const gov_model *model)
{
    const struct gov_tensor *tensors;
    char size[CLI_SIZE_BYTES];
    size_t count;

    tensors = gov_model_tensors(model, &count);
    printf("\ntensors:\n");
    for (size_t i = 0; i < count; i++)
        printf("  %-6s %10s  %s\n", tensors[i].type,
               cli_size(size, tensors[i].bytes), tensors[i].name);
}

static const char *const positional_names[] = {"MODEL"};

int gov_cmd_model(int argc, char **argv)
{
    const char *path[1];
    struct cli_list positionals = {path, 1, 0};
    bool json = false, tensors = false;
    const struct cli_option options[] = {
        {"--tensors", 't', CLI_FLAG, 0, 0, &tensors, NULL,
         "list the tensors, too"},
        {"--json", 0, CLI_FLAG, 0, 0, &json, NULL, "print one JSON object"},
    };
    const struct cli_command command = {
        .name = "gov model",
        .synopsis = "MODEL [OPTION]...",
        .sentence = "Shows what is in a model file and what it will cost in "
                    "memory. Reads its header only.",
        .what = positional_names,
        .required = 1,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    struct gov_facts facts;
    gov_model *model;
    gov_error err;
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (gov_model_open(&model, path[0], NULL, &err) != GOV_OK)
        return gov_fails("model", &err);
    memset(&facts, 0, sizeof(facts));
    gov_model_facts(model, GOV_KV_F16, &facts);
    if (json) {
        exit_code =
            gov_print_json("model", to_json(model, &facts, tensors), true);
    } else {
        print_sheet(model, &facts);
        print_units(model);
        if (tensors)
            print_tensors(model);
        exit_code = gov_finish("model");
    }
    gov_model_close(model);
    return exit_code;
}
