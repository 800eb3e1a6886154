/* SPDX-License-Identifier: MIT */
/* gov plan: decides how a model is loaded and says why. Loads nothing. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/text.h"
#include "tools/gov/engine_view.h"
#include "tools/gov/explain.h"

#define NOTE_LEAST 24 /* columns; with less it goes below */

/* What the governor says, the engine where `theirs` is not NULL, and what it
 * is. */
static void print_text_row(const char *name, const char *ours,
                           const char *theirs, const char *note)
{
    int columns = cli_columns(STDOUT_FILENO, INT_MAX);
    int at = printf("  %-11s %10s", name, ours);

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

static void print_row(const char *name, uint64_t bytes, const char *theirs,
                      const char *note)
{
    char size[CLI_SIZE_BYTES];

    print_text_row(name, cli_size(size, bytes), theirs, note);
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
    /* Each conversation has its own. */
    uint64_t state =
        gov_facts_get(facts, GOV_FACT_MODEL_STATE, 0) * plan->sequences;
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

/* What is set otherwise than usual. */
static void print_settings(const struct gov_plan *plan, const char *none)
{
    char value[16], note[96], size[CLI_SIZE_BYTES], budget[CLI_SIZE_BYTES];

    if (plan->hold != GOV_HOLD_SPREAD)
        print_text_row("hold", gov_hold_name(plan->hold), none,
                       plan->hold == GOV_HOLD_FIRST
                           ? "whole layers stay, from the first one on"
                           : "what every token uses stays, before experts");
    if (plan->warm != GOV_WARM_USE)
        print_text_row("warm", gov_warm_name(plan->warm), none,
                       plan->warm == GOV_WARM_FILE
                           ? "brought in as it lies in the file"
                           : "brought in when it is used");
    if (plan->warm_rate != 0)
        print_row("warm rate", plan->warm_rate, none,
                  "a second at most, while nobody waits");
    if (plan->advise_load != GOV_ADVICE_NORMAL)
        print_text_row("advice", gov_advice_name(plan->advise_load), none,
                       "to the system, while weights are brought in");
    if (plan->advise_pass != GOV_ADVICE_NORMAL)
        print_text_row("advice", gov_advice_name(plan->advise_pass), none,
                       "to the system, while a pass reads them");
    if (plan->sequences > 1) {
        snprintf(value, sizeof(value), "%u", plan->sequences);
        print_text_row("sequences", value, none,
                       "conversations share the context");
    }
    if (plan->gpu_layers > 0) {
        snprintf(value, sizeof(value), "%u", plan->gpu_layers);
        snprintf(note, sizeof(note), "take %s of the GPU's %s at most",
                 cli_size(size, plan->gpu_bytes),
                 cli_size(budget, plan->gpu_budget_bytes));
        print_text_row("GPU layers", value, none, note);
    }
}

static const char *about_weights(const struct gov_plan *plan)
{
    if (plan->strategy == GOV_STRATEGY_HEAP)
        return plan->repack ? "anonymous, repacked by the engine" : "anonymous";
    if (plan->strategy == GOV_STRATEGY_MMAP && plan->anchor)
        return "mapped from the file, and anchored in memory";
    return "mapped from the file";
}

/* `budget` says where that is from; NULL: from the machine. */
static void print_figures(const struct gov_planning *planning,
                          const struct gov_engine_view *view,
                          const char *budget)
{
    const struct gov_plan *plan = &planning->plan;
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
              about_weights(plan));
    if (plan->strategy == GOV_STRATEGY_HYBRID) {
        print_row("  hot", plan->hot_bytes, none,
                  plan->anchor ? "stay in memory, anchored" : "stay in memory");
        snprintf(note, sizeof(note), "streamed each pass%s, %u unit%s ahead",
                 plan->direct ? " past the page cache" : "", plan->ahead,
                 plan->ahead == 1 ? "" : "s");
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
              budget != NULL                  ? budget
              : limit != NULL && limit->known ? limit->source
                                              : "memory less reserve");
    print_settings(plan, none);
}

static const char *about_time(char out[32], uint64_t us)
{
    const struct gov_value value = {
        true, us < INT64_MAX ? (int64_t)us : INT64_MAX, NULL};

    return gov_value_print(out, 32, GOV_TYPE_DURATION, &value);
}

/* How long storage will be waited for; nothing where its rate is not known. */
static void print_reads(const struct gov_plan *plan)
{
    const struct gov_evicted evicted =
        gov_plan_evicted(plan, GOV_EVICTED_PERMILLE);
    char first[32], again[32], size[CLI_SIZE_BYTES], line[256];
    uint64_t us = gov_plan_read_us(plan, plan->weights_bytes);

    if (plan->read_rate == 0)
        return;
    snprintf(line, sizeof(line),
             "First token after about %s when nothing of it is in memory.",
             about_time(first, us));
    print_sentence("", "", line);
    if (evicted.bytes == 0)
        return;
    snprintf(line, sizeof(line),
             "If the system takes %d %% of what stays: %s are read again, "
             "about %s.",
             GOV_EVICTED_PERMILLE / 10, cli_size(size, evicted.bytes),
             about_time(again, evicted.us));
    print_sentence("", "", line);
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
                       const struct gov_engine_view *view, const char *budget,
                       bool explain)
{
    const struct gov_plan *plan = &planning->plan;
    char size[CLI_SIZE_BYTES];

    print_head(planning, view);
    print_figures(planning, view, budget);
    if (plan->strategy != GOV_STRATEGY_HYBRID || plan->read_rate != 0)
        putchar('\n');
    if (plan->strategy != GOV_STRATEGY_HYBRID &&
        plan->footprint_bytes <= plan->budget_bytes)
        printf("%s of the budget stay free.\n",
               cli_size(size, plan->budget_bytes - plan->footprint_bytes));
    print_reads(plan);
    print_differences(view, explain);
}

/* Several --what-if are one: what follows from one must not undo another. */
static bool join_what_if(char *out, size_t bytes, const struct cli_list *list)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        int n = snprintf(out + used, bytes - used, "%s%s", i > 0 ? "," : "",
                         list->item[i]);

        if (n < 0 || (size_t)n >= bytes - used) {
            fprintf(stderr,
                    "gov plan: --what-if is longer than the %zu "
                    "characters that are read; see gov plan --help\n",
                    bytes - 1);
            return false;
        }
        used += (size_t)n;
    }
    return true;
}

/* What the command line has beside the wishes. */
struct options {
    bool json, explain, no_engine;
    bool budget_asked;
};

static int show_plan(const struct gov_planning *planning,
                     struct gov_explain *explain, const struct options *options)
{
    const char *budget = explain->budget[0] != '\0' ? explain->budget
                         : options->budget_asked    ? "asked for with --budget"
                                                    : NULL;
    struct gov_engine_view view = {0};
    json_t *object;

    if (!options->no_engine && !explain->model_changed)
        gov_engine_view_ask(&view, planning);
    else if (!options->no_engine)
        snprintf(view.why, sizeof(view.why),
                 "they would be of the model as it is");
    if (!options->json) {
        gov_explain_end(explain);
        print_plan(planning, &view, budget, options->explain);
        return gov_finish("plan");
    }
    object = gov_plan_to_json(planning);
    json_object_set_new(object, "engine", gov_engine_view_to_json(&view));
    if (json_array_size(explain->changes) > 0)
        json_object_set(object, "what_if", explain->changes);
    if (options->explain)
        json_object_set(object, "trace", explain->rules);
    return gov_print_json("plan", object, true);
}

/* What was decided is refused, which is an answer, too; it has been said. */
static void print_refusal(const struct gov_planning *planning,
                          const struct gov_explain *explain,
                          const struct options *options)
{
    json_t *object;

    if (!options->json || planning->plan.strategy != GOV_STRATEGY_REFUSE)
        return;
    object = gov_plan_to_json(planning);
    if (json_array_size(explain->changes) > 0)
        json_object_set(object, "what_if", explain->changes);
    if (options->explain)
        json_object_set(object, "trace", explain->rules);
    (void)gov_print_json("plan", object, true);
}

static const char *const positional_names[] = {"MODEL"};

int gov_cmd_plan(int argc, char **argv)
{
    const char *model[1], *changes[32];
    struct cli_list positionals = {model, 1, 0}, what_if = {changes, 32, 0};
    char joined[1024];
    struct gov_wishes wishes = {0};
    struct options given = {0};
    const struct cli_option options[] = {
        GOV_WISH_OPTIONS(wishes),
        {"--what-if", 'w', CLI_LIST, 0, 0, &what_if, "LIST",
         "decide as if facts were others: ram=8GiB,model.weights=5GB; gov "
         "policy facts lists them"},
        {"--explain", 'e', CLI_FLAG, 0, 0, &given.explain, NULL,
         "show every rule with the values filled in, and where it is from"},
        {"--no-engine", 0, CLI_FLAG, 0, 0, &given.no_engine, NULL,
         "do not ask the engine what it would allocate itself"},
        {"--json", 0, CLI_FLAG, 0, 0, &given.json, NULL,
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
    struct gov_explain explain = {0};
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (!join_what_if(joined, sizeof(joined), &what_if))
        return CLI_EXIT_USAGE;
    explain.json = given.json;
    explain.planning = &planning;
    explain.changes = json_array();
    explain.rules = json_array();
    given.budget_asked = wishes.budget_bytes != 0;
    wishes.model_path = model[0];
    wishes.no_engine = given.no_engine;
    wishes.what_if = what_if.count > 0 ? joined : NULL;
    wishes.changed = gov_explain_change;
    wishes.changed_ctx = &explain;
    if (gov_planning_open("plan", &planning, &wishes,
                          given.explain ? gov_explain_rule : NULL, &explain,
                          &exit_code))
        exit_code = show_plan(&planning, &explain, &given);
    else
        print_refusal(&planning, &explain, &given);
    json_decref(explain.changes);
    json_decref(explain.rules);
    gov_planning_close(&planning);
    return exit_code;
}
