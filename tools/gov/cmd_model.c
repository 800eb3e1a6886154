/* SPDX-License-Identifier: MIT */
/* gov model: what is in a model file and what it costs. Reads headers only. */
#include "tools/gov/model_sheet.h"

static const char *const positional_names[] = {"MODEL"};

static int show(const gov_model *model, uint32_t context, gov_kv_type type,
                bool json, bool tensors)
{
    struct gov_model_sheet sheet;
    int exit_code;
    gov_error err;

    if (gov_model_sheet_fill(&sheet, model, context, type, &err) != GOV_OK) {
        exit_code = gov_fails("model", &err);
    } else if (json) {
        exit_code =
            gov_print_json("model", gov_model_to_json(&sheet, tensors), true);
    } else {
        gov_model_print(&sheet, tensors);
        exit_code = gov_finish("model");
    }
    gov_model_sheet_fini(&sheet);
    return exit_code;
}

int gov_cmd_model(int argc, char **argv)
{
    const char *path[1], *kv_type = NULL;
    struct cli_list positionals = {path, 1, 0};
    bool json = false, tensors = false;
    uint64_t context = 0;
    const struct cli_option options[] = {
        {"--ctx", 'c', CLI_COUNT, 1, GOV_CONTEXT_MAX, &context, "N",
         "show what a context of N tokens needs, instead of the usual ones"},
        {"--kv-type", 0, CLI_TEXT, 0, 0, &kv_type, "TYPE",
         "show it for a KV cache of that type, instead of f16 and q8_0"},
        {"--tensors", 't', CLI_FLAG, 0, 0, &tensors, NULL,
         "list the tensors, too"},
        {"--json", 0, CLI_FLAG, 0, 0, &json, NULL, "print one JSON object"},
    };
    const struct cli_command command = {
        .name = "gov model",
        .synopsis = "MODEL [OPTION]...",
        .sentence = "Shows what is in a model and what it will cost in "
                    "memory. MODEL is a GGUF file (any part of a split one), "
                    "a safetensors file, its index or its directory; headers "
                    "are read, no weights.",
        .what = positional_names,
        .required = 1,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    gov_model *model;
    gov_error err;
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (!gov_kv_type_valid("model", kv_type))
        return CLI_EXIT_USAGE;
    if (gov_model_open(&model, path[0], NULL, &err) != GOV_OK)
        return gov_fails("model", &err);
    exit_code = show(model, (uint32_t)context, gov_kv_type_find(kv_type), json,
                     tensors);
    gov_model_close(model);
    return exit_code;
}
