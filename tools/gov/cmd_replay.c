/* SPDX-License-Identifier: MIT */
/* gov replay: a recorded pressure trace under another policy, or under two, with
 * the trace's clock. Reads the trace once for what actions gave, and once for
 * each policy. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/text.h"
#include "tools/gov/replay_view.h"

#define TOLD_INDENT 22 /* where sentences of --events start */

struct command {
    const char *path;
    struct cli_list policies;
    bool events, json;

    bool colour;
    struct gov_replay_trace trace;
    struct gov_replay_prices prices;
    size_t count; /* of policies */
    struct gov_replay_view view[GOV_REPLAY_POLICIES];
    json_t *told; /* of the policy that is replayed; NULL: it is printed */
};

/* ---- the trace ----------------------------------------------------------------- */

static bool on_learn(void *ctx, const struct gov_replay_event *event)
{
    struct command *command = ctx;
    struct gov_replay_trace *trace = &command->trace;

    if (trace->samples == 0)
        trace->first_ms = event->evidence.now_ms;
    trace->last_ms = event->evidence.now_ms;
    trace->samples += event->kind == GOV_REPLAY_SAMPLE;
    trace->reliefs += event->kind == GOV_REPLAY_RELIEF;
    trace->regrows += event->kind == GOV_REPLAY_REGROW;
    gov_replay_learn(&command->prices, event);
    return true;
}

static gov_status learn(struct command *command, gov_error *err)
{
    struct gov_replay_trace *trace = &command->trace;
    gov_status status = gov_trace_read(command->path, &trace->head, on_learn,
                                       command, NULL, err);

    trace->path = command->path;
    if (status != GOV_OK)
        return status;
    if (trace->head.cut)
        fprintf(stderr,
                "gov replay: the last line of %s is cut off and passed over; "
                "its recorder was killed\n",
                cli_show(command->path).text);
    if (trace->samples == 0)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "trace %s holds no sample, so there is nothing to "
                        "replay",
                        cli_show(command->path).text);
    return GOV_OK;
}

/* ---- one policy ---------------------------------------------------------------- */

static bool on_step(void *ctx, const struct gov_replay_event *event)
{
    gov_replay_step(ctx, event);
    return true;
}

static void on_told(void *ctx, uint64_t at_ms, gov_level level,
                    const char *sentence)
{
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
    struct command *command = ctx;
    char clean[GOV_MESSAGE_BYTES], time[40];

    cli_clean(clean, sizeof(clean), sentence);
    if (command->told != NULL) {
        json_array_append_new(command->told,
                              json_pack("{s:I, s:s, s:s}", "at_ms",
                                        (json_int_t)at_ms, "level",
                                        gov_level_name(level), "text", clean));
        return;
    }
    printf("%10s  %s%-8s%s  ",
           gov_replay_time(time, at_ms - command->trace.first_ms),
           command->colour ? colours[level / GOV_LEVEL_WARN] : "",
           gov_level_name(level), command->colour ? "\033[0m" : "");
    cli_put_wrapped(clean, TOLD_INDENT, TOLD_INDENT,
                    cli_columns(STDOUT_FILENO, INT_MAX));
    putchar('\n');
}

static void listen(struct command *command, gov_replay *replay, size_t n)
{
    char clean[GOV_MESSAGE_BYTES];

    if (!command->events)
        return;
    gov_replay_listen(replay, on_told, command);
    if (command->json)
        command->told = json_array();
    else
        printf("%s%s%s%s\n", n > 0 ? "\n" : "",
               command->colour ? "\033[1m" : "",
               cli_clean(clean, sizeof(clean), command->view[n].policy),
               command->colour ? "\033[0m" : "");
}

static void take_result(struct gov_replay_view *view, const gov_replay *replay)
{
    struct gov_replay_row *row = view->row;

    gov_replay_result(replay, &view->result);
    while (view->count < GOV_REPLAY_ACTIONS &&
           gov_replay_action_at(replay, view->count, row->name, &row->runs,
                                &row->given_bytes, &row->unpriced)) {
        view->count++;
        row++;
    }
}

/* False when it failed, and said why. */
static bool replay_policy(struct command *command, size_t n)
{
    const char *named =
        command->policies.count > 0 ? command->policies.item[n] : NULL;
    struct gov_replay_view *view = &command->view[n];
    char pointed[GOV_MESSAGE_BYTES] = "";
    gov_replay *replay = NULL;
    gov_policy *policy = NULL;
    gov_error err;
    gov_status status = gov_policy_open(&policy, named, view->policy, pointed,
                                        NULL, NULL, NULL, &err);

    if (status == GOV_OK && named != NULL)
        snprintf(view->policy, sizeof(view->policy), "%s", named);
    if (status == GOV_OK)
        status = gov_replay_open(&replay, policy, &command->prices, NULL, &err);
    gov_policy_free(policy);
    if (status == GOV_OK) {
        listen(command, replay, n);
        status =
            gov_trace_read(command->path, NULL, on_step, replay, NULL, &err);
    }
    if (status == GOV_OK)
        take_result(view, replay);
    gov_replay_free(replay);
    if (status == GOV_OK)
        return true;
    gov_fails("replay", &err);
    if (pointed[0] != '\0')
        fprintf(stderr, "%s\n", pointed);
    return false;
}

/* ---- JSON ---------------------------------------------------------------------- */

static json_t *text_value(const char *text)
{
    char clean[1024];

    return json_string(cli_clean(clean, sizeof(clean), text));
}

static json_t *trace_value(const struct gov_replay_trace *trace)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:I, s:b, s:b, s:I, s:I, s:I}", "path",
        text_value(trace->path), "app", text_value(trace->head.app), "policy",
        text_value(trace->head.policy), "note", text_value(trace->head.note),
        "sample_ms", (json_int_t)trace->head.sample_ms, "simulated",
        (int)trace->head.simulated, "cut", (int)trace->head.cut, "samples",
        (json_int_t)trace->samples, "reliefs", (json_int_t)trace->reliefs,
        "regrows", (json_int_t)trace->regrows);
}

static json_t *actions_value(const struct gov_replay_view *view)
{
    json_t *actions = json_array();

    for (uint32_t i = 0; i < view->count; i++)
        json_array_append_new(
            actions, json_pack("{s:o, s:I, s:I, s:b}", "name",
                               text_value(view->row[i].name), "runs",
                               (json_int_t)view->row[i].runs, "given_bytes",
                               (json_int_t)view->row[i].given_bytes,
                               "price_recorded", (int)!view->row[i].unpriced));
    return actions;
}

/* Bytes without limit are more than a JSON number of ours can hold. */
static json_int_t number(uint64_t n)
{
    return n < INT64_MAX ? (json_int_t)n : INT64_MAX;
}

static json_t *policy_value(const struct gov_replay_view *view, json_t *told)
{
    const struct gov_replay_result *r = &view->result;
    json_t *value = json_pack(
        "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o,"
        " s:I, s:o}",
        "policy", text_value(view->policy), "span_ms", number(r->span_ms),
        "normal_ms", number(r->normal_ms), "warn_ms", number(r->warn_ms),
        "critical_ms", number(r->critical_ms), "rises", (json_int_t)r->rises,
        "falls", (json_int_t)r->falls, "oscillations",
        (json_int_t)r->oscillations, "actions_run", (json_int_t)r->actions,
        "actions_regrown", (json_int_t)r->regrows, "given_bytes",
        number(r->given_bytes), "taken_bytes", number(r->taken_bytes),
        "least_headroom_bytes",
        r->headroom_known ? json_integer(number(r->least_headroom_bytes))
                          : json_null(),
        "no_headroom_ms",
        r->headroom_known ? json_integer(number(r->short_ms)) : json_null(),
        "modelled_runs", (json_int_t)r->modelled_runs, "actions",
        actions_value(view));

    if (told != NULL && value != NULL)
        json_object_set_new(value, "events", told);
    else
        json_decref(told);
    return value;
}

/* ---- the command --------------------------------------------------------------- */

static int replay_all(struct command *command)
{
    json_t *policies = json_array();
    gov_error err;

    if (learn(command, &err) != GOV_OK) {
        json_decref(policies);
        return gov_fails("replay", &err);
    }
    for (size_t n = 0; n < command->count; n++) {
        bool ok = replay_policy(command, n);

        if (!ok) {
            json_decref(policies);
            json_decref(command->told);
            return GOV_EXIT_FAILURE;
        }
        if (command->json)
            json_array_append_new(
                policies, policy_value(&command->view[n], command->told));
        command->told = NULL;
    }
    if (command->json)
        return gov_print_json(
            "replay",
            json_pack("{s:o, s:o, s:[s,s,s,s]}", "trace",
                      trace_value(&command->trace), "policies", policies,
                      "modelled", "given_bytes", "taken_bytes",
                      "least_headroom_bytes", "no_headroom_ms"),
            true);
    json_decref(policies);
    if (command->events)
        putchar('\n');
    gov_replay_print(&command->trace, command->view, command->count,
                     command->colour);
    return gov_finish("replay");
}

static const char *const positional_names[] = {"TRACE"};

int gov_cmd_replay(int argc, char **argv)
{
    const char *trace[1], *names[GOV_REPLAY_POLICIES];
    struct cli_list positionals = {trace, 1, 0};
    struct command command = {.policies = {names, GOV_REPLAY_POLICIES, 0}};
    const struct cli_option options[] = {
        {"--policy", 'P', CLI_LIST, 0, 0, &command.policies, "NAME",
         "replay under this policy, shipped or in a file; again to compare two "
         "(the one in force)"},
        {"--events", 0, CLI_FLAG, 0, 0, &command.events, NULL,
         "print first what each policy did, and when"},
        {"--json", 0, CLI_FLAG, 0, 0, &command.json, NULL,
         "print everything as one JSON object"},
    };
    const struct cli_command spec = {
        .name = "gov replay",
        .synopsis = "TRACE [--policy NAME]... [OPTION]...",
        .sentence = "Replays memory pressure that gov run --record recorded, "
                    "with the levels and the relief of another policy, and "
                    "compares two. Nothing is loaded and nothing is given "
                    "back. What is modelled and not recorded is marked with ~.",
        .what = positional_names,
        .required = 1,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&spec, argc, argv, &exit_code))
        return exit_code;
    command.path = trace[0];
    command.count = command.policies.count > 0 ? command.policies.count : 1;
    command.colour = !command.json && cli_colour(STDOUT_FILENO);
    return replay_all(&command);
}
