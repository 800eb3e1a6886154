/* SPDX-License-Identifier: MIT */
/* gov run: loads a model under its plan, generates, and reacts to memory
 * pressure, real or simulated. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "tools/gov/kept.h"
#include "tools/gov/output.h"
#include "tools/gov/schedule.h"

#define MAX_PROMPTS 32

/* Sums over forward passes that made one token each. */
struct spent {
    uint64_t passes, pass_us, compute_us, weights_us, reclaim_us;
    uint64_t major_faults, read_bytes;
    bool reclaim_known, read_known;
};

struct run {
    struct gov_wishes wishes;
    const char *engine_name, *simulate;
    const char *record, *note; /* NULL: nothing is recorded */
    const char *telemetry;     /* NULL: none, or with `records` the usual one */
    bool records;
    struct cli_list prompts;
    uint64_t tokens, threads, repeat;
    bool json, ignore_end;

    struct gov_kept kept;
    struct gov_schedule schedule;
    struct gov_planning planning;
    const struct gov_engine *engine;
    gov_runtime *runtime;
    gov_session *session;
    struct gov_output output;
    struct cli_bar bar;
    bool recording;
    bool speaking; /* the first token came: the schedule runs */
    uint64_t total_tokens, total_us, first_token_us;
    bool in_turn;      /* its first token came */
    bool warm;         /* and that was told */
    struct spent from; /* when that token came */
    struct spent spent;
};

/* ---- what passes cost ------------------------------------------------------------ */

/* False where the weights are not governed, or the adapter is an older one. */
static bool account_now(const struct run *run, struct gov_weights_account *out)
{
    const struct gov_engine *engine = run->engine;

    return engine->size >=
               offsetof(struct gov_engine, weights) + sizeof(engine->weights) &&
           engine->weights != NULL && engine->weights(run->session, false, out);
}

static struct spent spent_until(const struct gov_weights_account *account)
{
    const struct gov_pass_account *sum = &account->sum;
    struct spent spent = {
        .passes = account->passes,
        .pass_us = sum->pass_us,
        .compute_us = sum->compute_us,
        .weights_us = sum->weights_us,
        .reclaim_us = sum->reclaim_us,
        .major_faults = sum->major_faults,
        .read_bytes = sum->read_bytes,
        .reclaim_known = sum->reclaim_known,
        .read_known = sum->read_known,
    };

    return spent;
}

static void add_spent(struct spent *to, const struct spent *from,
                      const struct spent *until)
{
    to->passes += until->passes - from->passes;
    to->pass_us += until->pass_us - from->pass_us;
    to->compute_us += until->compute_us - from->compute_us;
    to->weights_us += until->weights_us - from->weights_us;
    to->reclaim_us += until->reclaim_us - from->reclaim_us;
    to->major_faults += until->major_faults - from->major_faults;
    to->read_bytes += until->read_bytes - from->read_bytes;
    to->reclaim_known = until->reclaim_known;
    to->read_known = until->read_known;
}

static double mean(uint64_t sum, const struct spent *spent)
{
    return (double)sum / (double)spent->passes;
}

/* Once, when all that is to stay is there. */
static void tell_warm(struct run *run,
                      const struct gov_weights_account *account)
{
    if (run->warm || !account->warm)
        return;
    run->warm = true;
    gov_output_object(
        &run->output,
        json_pack("{s:s, s:I, s:I, s:I}", "event", "warm", "bytes",
                  (json_int_t)(account->there_bytes > account->found_bytes
                                   ? account->there_bytes - account->found_bytes
                                   : 0),
                  "expected_ms", (json_int_t)(account->warm_expected_us / 1000),
                  "took_ms", (json_int_t)(account->warm_us / 1000)));
}

/* Between passes. What the prompt took is not a token's. */
static void look_at_weights(struct run *run, bool ends)
{
    struct gov_weights_account account;
    struct spent now;

    if (!account_now(run, &account))
        return;
    now = spent_until(&account);
    if (!ends && !run->in_turn)
        run->from = now;
    if (ends && run->in_turn)
        add_spent(&run->spent, &run->from, &now);
    run->in_turn = !ends;
    tell_warm(run, &account);
}

static json_t *spent_to_json(const struct spent *spent)
{
    if (spent->passes == 0)
        return json_null();
    return json_pack(
        "{s:f, s:f, s:o, s:f, s:o}", "compute_ms",
        mean(spent->compute_us, spent) / 1000, "weights_wait_ms",
        mean(spent->weights_us, spent) / 1000, "reclaim_ms",
        spent->reclaim_known ? json_real(mean(spent->reclaim_us, spent) / 1000)
                             : json_null(),
        "major_faults", mean(spent->major_faults, spent), "read_bytes",
        spent->read_known
            ? json_integer((json_int_t)mean(spent->read_bytes, spent))
            : json_null());
}

/* Only where it is worth a word: a hundredth of the time was not computing. */
static void print_spent(struct run *run)
{
    const struct spent *spent = &run->spent;
    char size[CLI_SIZE_BYTES];

    if (spent->passes == 0 ||
        spent->weights_us + spent->reclaim_us < spent->pass_us / 100)
        return;
    gov_output_notice(
        &run->output,
        "a token took %.1f ms to compute, %.1f ms waiting for weights and "
        "%.1f ms for memory; %s were read for it",
        mean(spent->compute_us, spent) / 1000,
        mean(spent->weights_us, spent) / 1000,
        mean(spent->reclaim_us, spent) / 1000,
        spent->read_known
            ? cli_size(size, (uint64_t)mean(spent->read_bytes, spent))
            : "unknown bytes");
}

/* ---- callbacks ----------------------------------------------------------------- */

static void on_event(void *ctx, const struct gov_event *event)
{
    struct run *run = ctx;

    gov_output_event(&run->output, event);
}

static bool on_progress(void *ctx, uint32_t permille, const char *what)
{
    struct run *run = ctx;

    cli_bar_draw(&run->bar, permille, what);
    return cli_signal() == 0;
}

static bool on_piece(void *ctx, const char *text, size_t bytes)
{
    struct run *run = ctx;
    gov_error err;

    if (!run->speaking) {
        run->speaking = true;
        if (gov_schedule_start(&run->schedule, run->runtime, false, &err) !=
            GOV_OK)
            gov_output_notice(&run->output, "%s", err.message);
    }
    look_at_weights(run, false);
    return gov_output_text(&run->output, text, bytes);
}

static bool on_stop(void *ctx)
{
    (void)ctx;
    return cli_signal() != 0;
}

/* ---- steps ----------------------------------------------------------------------- */

static bool is_full(const gov_error *err)
{
    return err->os_errno == ENOSPC || err->os_errno == EDQUOT;
}

/* Who asks for it wants to know at once that it cannot be had there. That another
 * process writes there just now is nothing, and a disk that is full may be mended
 * while it runs: of that a notice tells. */
static gov_status try_telemetry(const char *path, gov_error *err)
{
    gov_telemetry *telemetry;
    gov_status status = gov_telemetry_open(&telemetry, path, 0, NULL, err);

    gov_telemetry_close(telemetry);
    return status == GOV_E_BUSY || (status == GOV_E_IO && is_full(err))
               ? GOV_OK
               : status;
}

static gov_status open_runtime(struct run *run, gov_error *err)
{
    struct gov_options options = gov_options_default();
    gov_status status = GOV_OK;

    options.app = "gov run";
    if (run->records || run->telemetry != NULL)
        options.telemetry = run->telemetry == NULL ? "" : run->telemetry;
    if (options.telemetry != NULL)
        status = try_telemetry(options.telemetry, err);
    if (status != GOV_OK)
        return status;
    options.policy = run->wishes.policy_name;
    /* Else the runtime follows a limit that changes. */
    if (run->wishes.budget_bytes != 0)
        options.budget_bytes = run->planning.plan.budget_bytes;
    status = gov_open(&run->runtime, &options, err);
    if (status == GOV_OK)
        gov_on_event(run->runtime, on_event, run);
    return status;
}

/* From before the load on, which is part of what a policy has to bear. */
static gov_status begin_record(struct run *run, gov_error *err)
{
    gov_status status = GOV_OK;

    if (run->record != NULL)
        status = gov_record(run->runtime, run->record, run->note, err);
    run->recording = run->record != NULL && status == GOV_OK;
    return status;
}

static gov_status end_record(struct run *run, gov_error *err)
{
    char path[1024];
    uint64_t samples;
    gov_status status = gov_record_end(run->runtime, &samples, err);

    if (status != GOV_OK || !run->recording)
        return status;
    cli_clean(path, sizeof(path), run->record);
    if (samples == 0)
        gov_output_notice(&run->output,
                          "trace: there was no sample, so there is no %s",
                          path);
    else if (run->json)
        gov_output_object(&run->output,
                          json_pack("{s:s, s:s, s:I}", "event", "trace", "path",
                                    path, "samples", (json_int_t)samples));
    else
        gov_output_notice(&run->output, "trace: %s, %" PRIu64 " samples", path,
                          samples);
    return GOV_OK;
}

static json_t *loaded_to_json(struct run *run, uint64_t took_us)
{
    const struct gov_engine *engine = run->engine;
    const bool tells_own =
        engine->size >= offsetof(struct gov_engine, load_own_us) +
                            sizeof(engine->load_own_us) &&
        engine->load_own_us != NULL;
    char line[GOV_MESSAGE_BYTES];

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:s}", "event", "loaded", "engine",
        engine->name, "version", engine->version(), "weights",
        engine->describe(run->session), "load_ms", (json_int_t)(took_us / 1000),
        "load_us", (json_int_t)took_us, "own_us",
        tells_own ? json_integer((json_int_t)engine->load_own_us(run->session))
                  : json_null(),
        "watching", gov_describe(run->runtime, line, sizeof(line)));
}

static gov_status load(struct run *run, gov_error *err)
{
    struct gov_load load = {
        .size = sizeof(load),
        .model = run->planning.model,
        .plan = &run->planning.plan,
        .runtime = run->runtime,
        .threads = (uint32_t)run->threads,
        .progress = on_progress,
        .progress_ctx = run,
        .spill = run->kept.spill,
    };
    char line[GOV_MESSAGE_BYTES];
    uint64_t start = cli_now_us(), took;
    gov_status status;

    /* So that a model that is cut under us ends with a sentence. Where it cannot
     * be had it ends as it would without. */
    (void)!gov_sigbus_guard(NULL);
    status = run->engine->load(&run->session, &load, err);
    cli_bar_clear(&run->bar);
    if (status != GOV_OK)
        return status;
    took = cli_now_us() - start;
    if (run->json) {
        gov_output_object(&run->output, loaded_to_json(run, took));
        return GOV_OK;
    }
    gov_output_notice(
        &run->output, "%s (%s) loaded in %" PRIu64 ".%02" PRIu64 " s; %s",
        run->engine->describe(run->session), run->engine->name, took / 1000000,
        took / 10000 % 100, gov_describe(run->runtime, line, sizeof(line)));
    return GOV_OK;
}

/* More is not to be had where less was planned than was asked for. */
static void tell_full(struct run *run)
{
    const uint32_t context = run->planning.plan.context;
    const char *s = context == 1 ? "" : "s";

    if (run->wishes.context > context)
        gov_output_notice(&run->output,
                          "the context of %" PRIu32 " token%s is full; --ctx "
                          "asked for %" PRIu64 ", and gov plan --explain shows "
                          "why it is less",
                          context, s, run->wishes.context);
    else
        gov_output_notice(&run->output,
                          "the context of %" PRIu32 " token%s is full; ask for "
                          "more with --ctx",
                          context, s);
}

static gov_status generate(struct run *run, const char *prompt, gov_error *err)
{
    struct gov_generate request = {
        .size = sizeof(request),
        .prompt = prompt,
        .tokens = (uint32_t)run->tokens,
        .ignore_end = run->ignore_end,
        .piece = on_piece,
        .stop = on_stop,
        .ctx = run,
        .conversation = run->kept.id,
    };
    struct gov_generated out;
    gov_status status;

    if (!run->json)
        gov_output_text(&run->output, prompt, strlen(prompt));
    status = run->engine->generate(run->session, &request, &out, err);
    look_at_weights(run, true);
    gov_output_newline(&run->output);
    run->total_tokens += out.tokens;
    run->total_us += out.decode_us;
    if (run->first_token_us == 0)
        run->first_token_us = out.first_token_us;
    if (run->json && status == GOV_OK)
        gov_output_object(
            &run->output,
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:b, s:b}", "event", "turn",
                      "prompt_tokens", (json_int_t)out.prompt_tokens,
                      "known_tokens", (json_int_t)out.known_tokens, "tokens",
                      (json_int_t)out.tokens, "first_token_us",
                      (json_int_t)out.first_token_us, "ended", out.ended,
                      "context_full", out.context_full));
    if (out.context_full)
        tell_full(run);
    return status;
}

/* Tokens after the first of each turn, over the time they took. */
static double token_rate(const struct run *run, uint64_t turns)
{
    if (run->total_us == 0 || run->total_tokens <= turns)
        return 0.0;
    return (double)(run->total_tokens - turns) * 1e6 / (double)run->total_us;
}

static void print_done(struct run *run, uint64_t turns)
{
    struct gov_footprint footprint;
    char size[CLI_SIZE_BYTES];
    double rate = token_rate(run, turns);

    if (gov_footprint_now(&footprint, NULL) != GOV_OK)
        memset(&footprint, 0, sizeof(footprint));
    if (run->json)
        gov_output_object(
            &run->output,
            json_pack("{s:s, s:I, s:f, s:I, s:s, s:I, s:I, s:o}", "event",
                      "done", "tokens", (json_int_t)run->total_tokens,
                      "tokens_per_second", rate, "first_token_ms",
                      (json_int_t)(run->first_token_us / 1000), "strategy",
                      gov_strategy_name(run->planning.plan.strategy),
                      "footprint_bytes", (json_int_t)footprint.footprint_bytes,
                      "read_bytes", (json_int_t)footprint.read_bytes,
                      "per_token", spent_to_json(&run->spent)));
    else {
        gov_output_notice(&run->output,
                          "%" PRIu64 " tokens, %.2f tokens/s, first token "
                          "after %" PRIu64 " ms, footprint %s",
                          run->total_tokens, rate, run->first_token_us / 1000,
                          cli_size(size, footprint.footprint_bytes));
        print_spent(run);
    }
}

static gov_status converse(struct run *run, uint64_t *turns, gov_error *err)
{
    gov_status status =
        gov_schedule_start(&run->schedule, run->runtime, true, err);

    for (uint64_t n = 0; n < run->repeat && status == GOV_OK; n++) {
        if (n > 0 && run->engine->reset != NULL)
            run->engine->reset(run->session);
        for (size_t i = 0; i < run->prompts.count && status == GOV_OK; i++) {
            status = generate(run, run->prompts.item[i], err);
            (*turns)++;
        }
    }
    return status;
}

static void print_plan(struct run *run)
{
    const struct gov_plan *plan = &run->planning.plan;
    json_t *object;

    if (run->json) {
        object = gov_plan_to_json(&run->planning);
        if (object != NULL)
            json_object_set_new(object, "event", json_string("plan"));
        gov_output_object(&run->output, object);
    } else {
        gov_output_notice(&run->output, "plan: %s, %s",
                          gov_strategy_name(plan->strategy), plan->reason);
    }
    if (plan->warning[0] != '\0')
        gov_output_notice(&run->output, "warning: %s", plan->warning);
}

/* Everything after the command line; the planning is open. */
static int run_planned(struct run *run)
{
    gov_error err;
    uint64_t turns = 0;
    gov_status status = gov_engine_open(&run->engine, run->engine_name, &err);

    if (status == GOV_OK) {
        print_plan(run);
        status = open_runtime(run, &err);
    }
    if (status == GOV_OK)
        status = begin_record(run, &err);
    if (status == GOV_OK)
        status = gov_kept_open(&run->kept, &err);
    if (status == GOV_OK)
        status = load(run, &err);
    if (status == GOV_OK)
        status = gov_kept_begin(&run->kept, run->engine, run->session,
                                &run->output, &err);
    if (status == GOV_OK)
        status = converse(run, &turns, &err);
    /* Before it is said to be done. */
    if (gov_kept_end(&run->kept, run->engine, run->session,
                     status == GOV_OK ? &err : NULL) != GOV_OK &&
        status == GOV_OK)
        status = err.status;
    if (status == GOV_OK)
        print_done(run, turns);
    if (end_record(run, status == GOV_OK ? &err : NULL) != GOV_OK &&
        status == GOV_OK)
        status = err.status;
    /* No events once the session is being taken down. */
    gov_on_event(run->runtime, NULL, NULL);
    if (run->engine != NULL)
        run->engine->unload(run->session);
    gov_kept_close(&run->kept);
    gov_close(run->runtime);
    if (cli_signal() != 0)
        return GOV_EXIT_FAILURE; /* the caller ends by the signal */
    if (ferror(stdout) != 0)
        return gov_finish("run");
    if (status == GOV_OK)
        return gov_finish("run");
    gov_output_object(&run->output, json_pack("{s:s, s:s}", "event", "error",
                                              "text", err.message));
    return gov_fails("run", &err);
}

static int run_command(struct run *run)
{
    gov_error err;
    int exit_code;

    if (run->simulate != NULL &&
        gov_schedule_read(&run->schedule, run->simulate, &err) != GOV_OK) {
        gov_fails("run", &err);
        return CLI_EXIT_USAGE;
    }
    if (run->prompts.count == 0) {
        fprintf(stderr, "gov run: nothing to say; give --prompt TEXT. See gov "
                        "run --help\n");
        return CLI_EXIT_USAGE;
    }
    if (run->kept.name != NULL && run->kept.directory == NULL) {
        fprintf(stderr, "gov run: --name is of a conversation that is kept; "
                        "give --keep DIR, too. See gov run --help\n");
        return CLI_EXIT_USAGE;
    }
    if (run->repeat > 1 && run->kept.directory != NULL) {
        fprintf(stderr, "gov run: a conversation that is kept is had once; "
                        "give --keep or --repeat. See gov run --help\n");
        return CLI_EXIT_USAGE;
    }
    if (run->note != NULL && run->record == NULL) {
        fprintf(stderr, "gov run: --note is for a trace; give --record FILE, "
                        "too. See gov run --help\n");
        return CLI_EXIT_USAGE;
    }
    cli_catch_signals();
    gov_output_init(&run->output, run->json);
    if (gov_planning_open("run", &run->planning, &run->wishes, NULL, NULL,
                          &exit_code))
        exit_code = run_planned(run);
    else if (run->planning.failure[0] != '\0')
        gov_output_object(&run->output,
                          json_pack("{s:s, s:s}", "event", "error", "text",
                                    run->planning.failure));
    gov_planning_close(&run->planning);
    gov_output_fini(&run->output);
    if (cli_signal() != 0)
        cli_end_by_signal(cli_signal());
    return exit_code;
}

static const char *const positional_names[] = {"MODEL"};

int gov_cmd_run(int argc, char **argv)
{
    const char *model[1], *prompts[MAX_PROMPTS];
    struct cli_list positionals = {model, 1, 0};
    struct run run = {
        .engine_name = "llama",
        .prompts = {prompts, MAX_PROMPTS, 0},
        .tokens = 64,
        .repeat = 1,
    };
    const struct cli_option options[] = {
        {"--prompt", 'p', CLI_LIST, 0, 0, &run.prompts, "TEXT",
         "what to say; again for further turns of the same conversation"},
        {"--tokens", 'n', CLI_COUNT, 1, 1000000, &run.tokens, "N",
         "generate at most N tokens a turn (64)"},
        GOV_WISH_OPTIONS(run.wishes),
        {"--threads", 't', CLI_COUNT, 1, 512, &run.threads, "N",
         "compute on N threads; on all processors without it, on one "
         "less while weights are streamed"},
        {"--simulate", 's', CLI_TEXT, 0, 0, &run.simulate, "STEPS",
         "simulate pressure from the first token on: "
         "warn@2s,critical@4s,normal@6s"},
        {"--record", 0, CLI_TEXT, 0, 0, &run.record, "FILE",
         "record memory pressure and what was done about it into a new FILE, "
         "for gov replay"},
        {"--note", 0, CLI_TEXT, 0, 0, &run.note, "TEXT",
         "what happens in the recording, kept in its first line"},
        {"--telemetry", 0, CLI_FLAG, 0, 0, &run.records, NULL,
         "record what each turn cost, for gov report; no word of it"},
        {"--telemetry-file", 0, CLI_TEXT, 0, 0, &run.telemetry, "FILE",
         "record it in FILE instead of "
         "~/.local/state/governor/telemetry.db"},
        {"--keep", 0, CLI_TEXT, 0, 0, &run.kept.directory, "DIR",
         "keep the conversation in DIR, which is made: it goes there when "
         "memory is short, and a later run continues it"},
        {"--name", 0, CLI_TEXT, 0, 0, &run.kept.name, "NAME",
         "its name there (main)"},
        {"--ignore-end", 0, CLI_FLAG, 0, 0, &run.ignore_end, NULL,
         "go on after the model's end token"},
        {"--repeat", 0, CLI_COUNT, 1, 1000, &run.repeat, "N",
         "have the conversation N times, each from the start (1)"},
        {"--engine", 0, CLI_TEXT, 0, 0, &run.engine_name, "NAME",
         "engine adapter to use (llama)"},
        {"--json", 0, CLI_FLAG, 0, 0, &run.json, NULL,
         "print everything as JSON, one object a line"},
    };
    const struct cli_command command = {
        .name = "gov run",
        .synopsis = "MODEL --prompt TEXT [OPTION]...",
        .sentence = "Loads MODEL under its plan, generates, and gives memory "
                    "back when the machine needs it. Tokens go to stdout, "
                    "events to stderr.",
        .what = positional_names,
        .required = 1,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    run.wishes.model_path = model[0];
    run.wishes.engine = run.engine_name;
    return run_command(&run);
}
