/* SPDX-License-Identifier: MIT */
/* gov plan: decides how a model is loaded and says why. Loads nothing. */
#include <string.h>
#include <unistd.h>

#include "tools/gov/gov.h"

/* --explain, as text or collected for --json. */
struct trace {
    bool print;
    json_t *rules;
};

static void on_rule(void *ctx, const char *rule, const char *verdict,
                    const char *detail)
{
    struct trace *trace = ctx;

    if (trace->rules != NULL)
        json_array_append_new(trace->rules,
                              json_pack("{s:s, s:s, s:s}", "rule", rule,
                                        "verdict", verdict, "detail", detail));
    if (trace->print)
        printf("  %-11s %-20s %s\n", verdict, rule, detail);
}

static void print_row(const char *name, uint64_t bytes, const char *note)
{
    char size[CLI_SIZE_BYTES];

    printf("  %-11s %10s  %s\n", name, cli_size(size, bytes), note);
}

static void print_plan(const struct gov_planning *planning, bool asked)
{
    const struct gov_plan *plan = &planning->plan;
    bool colour = cli_colour(STDOUT_FILENO);
    bool heap = plan->strategy == GOV_STRATEGY_HEAP;
    const struct gov_device_fact *limit =
        gov_device_fact(&planning->device, GOV_FACT_DEVICE_LIMIT);
    char note[192], size[CLI_SIZE_BYTES];

    printf("%s%s%s  %s\n", colour ? "\033[1m" : "",
           gov_strategy_name(plan->strategy), colour ? "\033[0m" : "",
           plan->reason);
    if (plan->warning[0] != '\0')
        printf("%swarning%s  %s\n", colour ? "\033[33m" : "",
               colour ? "\033[0m" : "", plan->warning);
    putchar('\n');
    print_row("weights", plan->weights_bytes,
              heap && plan->repack ? "anonymous, repacked by the engine"
              : heap               ? "anonymous"
                                   : "mapped from the file");
    if (plan->strategy == GOV_STRATEGY_HYBRID) {
        print_row("  hot", plan->hot_bytes, "stay in memory");
        snprintf(note, sizeof(note), "streamed each pass, %u units ahead",
                 plan->ahead);
        print_row("  cold", plan->cold_bytes, note);
    }
    snprintf(note, sizeof(note), "%u tokens, %s elements, once all is used",
             plan->context, gov_kv_type_name(plan->kv_type));
    print_row("KV cache", plan->kv_bytes, note);
    print_row("footprint", plan->footprint_bytes,
              "predicted; cannot be dropped");
    snprintf(note, sizeof(note), "%s",
             asked                           ? "asked for with --budget"
             : limit != NULL && limit->known ? limit->source
                                             : "memory less reserve");
    print_row("budget", plan->budget_bytes, note);
    if (plan->strategy != GOV_STRATEGY_HYBRID &&
        plan->footprint_bytes <= plan->budget_bytes)
        printf("\n%s of the budget stay free.\n",
               cli_size(size, plan->budget_bytes - plan->footprint_bytes));
}

static const char *const positional_names[] = {"MODEL"};

int gov_cmd_plan(int argc, char **argv)
{
    const char *model[1];
    struct cli_list positionals = {model, 1, 0};
    struct gov_wishes wishes = {0};
    bool json = false, explain = false;
    const struct cli_option options[] = {
        GOV_WISH_OPTIONS(wishes),
        {"--explain", 'e', CLI_FLAG, 0, 0, &explain, NULL,
         "show every rule with the values filled in"},
        {"--json", 0, CLI_FLAG, 0, 0, &json, NULL,
         "print the plan as one JSON object"},
    };
    const struct cli_command command = {
        .name = "gov plan",
        .synopsis = "MODEL [OPTION]...",
        .sentence = "Decides how MODEL is loaded on this machine, and says "
                    "why. Loads nothing.",
        .what = positional_names,
        .required = 1,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    struct gov_planning planning;
    struct trace trace = {false, NULL};
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    wishes.model_path = model[0];
    trace.print = explain && !json;
    trace.rules = explain && json ? json_array() : NULL;
    if (trace.print)
        printf("rules tried:\n");
    if (gov_planning_open("plan", &planning, &wishes, explain ? on_rule : NULL,
                          &trace, &exit_code)) {
        if (json) {
            json_t *object = gov_plan_to_json(&planning);

            if (trace.rules != NULL)
                json_object_set(object, "trace", trace.rules);
            exit_code = gov_print_json("plan", object, true);
        } else {
            if (explain)
                printf("  (from %s)\n\n", planning.rules_source);
            print_plan(&planning, wishes.budget_bytes != 0);
            exit_code = gov_finish("plan");
        }
    }
    json_decref(trace.rules);
    gov_planning_close(&planning);
    return exit_code;
}
