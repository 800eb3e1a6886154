/* SPDX-License-Identifier: MIT */
/* gov plan: decides how a model is loaded and says why. Loads nothing. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/text.h"
#include "tools/gov/engine_view.h"

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

#define NOTE_LEAST 24 /* columns; with less it goes below */

/* The governor's figure, the engine's where `theirs` is not NULL, and what it
 * is. */
static void print_row(const char *name, uint64_t bytes, const char *theirs,
                      const char *note)
{
    char size[CLI_SIZE_BYTES];
    int columns = cli_columns(STDOUT_FILENO, INT_MAX);
    int at = printf("  %-11s %10s", name, cli_size(size, bytes));

    if (theirs != NULL)
        at += printf(" %10s", theirs);
    if (columns - at - 2 < NOTE_LEAST && columns - at - 2 < cli_width(note)) {
        putchar('\n');
        at = printf("  ");
    }
    at += printf("  ");
    cli_put_wrapped(note, at, at, columns);
    putchar('\n');
}

/* "word  sentence", the word painted; without a word the sentence is. */
static void print_sentence(const char *colour, const char *word,
                           const char *sentence)
{
    bool painted = cli_colour(STDOUT_FILENO) && colour[0] != '\0';
    int columns = cli_columns(STDOUT_FILENO, INT_MAX);
    int at = (int)strlen(word);

    printf("%s%s%s", painted ? colour : "", word,
           painted && at > 0 ? "\033[0m" : "");
    if (at > 0)
        at += printf("  ");
    cli_put_wrapped(sentence, at, 0, columns);
    printf("%s\n", painted && word[0] == '\0' ? "\033[0m" : "");
}

/* "4096 tokens, f16 elements, once all is used" */
static void print_kv(const struct gov_planning *planning, const char *theirs)
{
    const struct gov_plan *plan = &planning->plan;
    const struct gov_facts *facts = &planning->facts;
    uint64_t state = gov_facts_get(facts, GOV_FACT_MODEL_STATE, 0);
    bool known = gov_facts_get(facts, GOV_FACT_MODEL_KNOWN, 1) != 0;
    char note[192], size[CLI_SIZE_BYTES];

    if (gov_facts_get(facts, GOV_FACT_MODEL_GENERATES, 1) == 0)
        snprintf(note, sizeof(note), "none: the model keeps no conversation");
    else if (state >= plan->kv_bytes && state > 0)
        snprintf(note, sizeof(note), "however long the conversation");
    else if (state > 0)
        snprintf(note, sizeof(note),
                 "%u tokens, %s elements, once all is used; %s of it state",
                 plan->context, gov_kv_type_name(plan->kv_type),
                 cli_size(size, state));
    else
        snprintf(note, sizeof(note), "%u tokens, %s elements, once all is used",
                 plan->context, gov_kv_type_name(plan->kv_type));
    print_row(!known                                 ? "KV, at most"
              : state >= plan->kv_bytes && state > 0 ? "state"
              : state > 0                            ? "KV + state"
                                                     : "KV cache",
              plan->kv_bytes, theirs, note);
}

static void print_head(const struct gov_planning *planning,
                       const struct gov_engine_view *view)
{
    const struct gov_plan *plan = &planning->plan;
    bool colour = cli_colour(STDOUT_FILENO);

    print_sentence("\033[1m", gov_strategy_name(plan->strategy), plan->reason);
    if (plan->warning[0] != '\0')
        print_sentence("\033[33m", "warning", plan->warning);
    if (view->warning[0] != '\0')
        print_sentence("\033[33m", "warning", view->warning);
    putchar('\n');
    if (view->answered)
        printf("%s%24s %10s%s\n", colour ? "\033[2m" : "", "estimate",
               view->engine->name, colour ? "\033[0m" : "");
}

static void print_figures(const struct gov_planning *planning,
                          const struct gov_engine_view *view, bool asked)
{
    const struct gov_plan *plan = &planning->plan;
    bool heap = plan->strategy == GOV_STRATEGY_HEAP;
    const struct gov_device_fact *limit =
        gov_device_fact(&planning->device, GOV_FACT_DEVICE_LIMIT);
    const char *none = view->answered ? "" : NULL;
    char theirs[GOV_VIEW_ROWS][CLI_SIZE_BYTES];
    const char *engine[GOV_VIEW_ROWS];
    char note[64];

    for (int row = 0; row < GOV_VIEW_ROWS; row++)
        engine[row] =
            view->answered ? cli_size(theirs[row], view->bytes[row]) : NULL;
    print_row("weights", plan->weights_bytes, engine[GOV_VIEW_WEIGHTS],
              heap && plan->repack ? "anonymous, repacked by the engine"
              : heap               ? "anonymous"
                                   : "mapped from the file");
    if (plan->strategy == GOV_STRATEGY_HYBRID) {
        print_row("  hot", plan->hot_bytes, none, "stay in memory");
        snprintf(note, sizeof(note), "streamed each pass, %u units ahead",
                 plan->ahead);
        print_row("  cold", plan->cold_bytes, none, note);
    }
    print_kv(planning, engine[GOV_VIEW_KV]);
    print_row("buffers", plan->compute_bytes, engine[GOV_VIEW_BUFFERS],
              plan->compute_bytes == 0 ? "no estimate for this architecture"
                                       : "intermediate results");
    print_row("engine", plan->engine_bytes, none,
              "vocabulary, graphs, working space: estimated");
    print_row("footprint", plan->footprint_bytes, none,
              "predicted; cannot be dropped");
    print_row("budget", plan->budget_bytes, none,
              asked                           ? "asked for with --budget"
              : limit != NULL && limit->known ? limit->source
                                              : "memory less reserve");
}

/* Where the engine says something else, or why it says nothing. That there is
 * no adapter is usual, and said only to who wants to know everything. */
static void print_differences(const struct gov_engine_view *view, bool explain)
{
    char line[GOV_MESSAGE_BYTES + 40];
    bool any = false;

    if (!view->answered) {
        if (view->why[0] == '\0' || (view->missing && !explain))
            return;
        snprintf(line, sizeof(line), "no figures of the engine: %s", view->why);
        putchar('\n');
        print_sentence("\033[2m", "", line);
    }
    for (int row = 0; row < GOV_VIEW_ROWS; row++) {
        if (view->difference[row][0] == '\0')
            continue;
        if (!any)
            putchar('\n');
        any = true;
        print_sentence("", "", view->difference[row]);
    }
}

static void print_plan(const struct gov_planning *planning,
                       const struct gov_engine_view *view, bool asked,
                       bool explain)
{
    const struct gov_plan *plan = &planning->plan;
    char size[CLI_SIZE_BYTES];

    print_head(planning, view);
    print_figures(planning, view, asked);
    if (plan->strategy != GOV_STRATEGY_HYBRID &&
        plan->footprint_bytes <= plan->budget_bytes)
        printf("\n%s of the budget stay free.\n",
               cli_size(size, plan->budget_bytes - plan->footprint_bytes));
    print_differences(view, explain);
}

static const char *const positional_names[] = {"MODEL"};

int gov_cmd_plan(int argc, char **argv)
{
    const char *model[1];
    struct cli_list positionals = {model, 1, 0};
    struct gov_wishes wishes = {0};
    bool json = false, explain = false, no_engine = false;
    const struct cli_option options[] = {
        GOV_WISH_OPTIONS(wishes),
        {"--explain", 'e', CLI_FLAG, 0, 0, &explain, NULL,
         "show every rule with the values filled in"},
        {"--no-engine", 0, CLI_FLAG, 0, 0, &no_engine, NULL,
         "do not ask the engine what it would allocate itself"},
        {"--json", 0, CLI_FLAG, 0, 0, &json, NULL,
         "print the plan as one JSON object"},
    };
    const struct cli_command command = {
        .name = "gov plan",
        .synopsis = "MODEL [OPTION]...",
        .sentence = "Decides how MODEL is loaded on this machine, and says "
                    "why, beside what the engine says that it would "
                    "allocate. Loads nothing.",
        .what = positional_names,
        .required = 1,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    struct gov_planning planning;
    struct gov_engine_view view = {0};
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
        if (!no_engine)
            gov_engine_view_ask(&view, &planning);
        if (json) {
            json_t *object = gov_plan_to_json(&planning);

            json_object_set_new(object, "engine",
                                gov_engine_view_to_json(&view));
            if (trace.rules != NULL)
                json_object_set(object, "trace", trace.rules);
            exit_code = gov_print_json("plan", object, true);
        } else {
            if (explain)
                printf("  (from %s)\n\n", planning.policy_source);
            print_plan(&planning, &view, wishes.budget_bytes != 0, explain);
            exit_code = gov_finish("plan");
        }
    }
    json_decref(trace.rules);
    gov_planning_close(&planning);
    return exit_code;
}
