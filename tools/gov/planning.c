/* SPDX-License-Identifier: MIT */
/* What plan and run have in common: gather facts, decide. */
#include <stddef.h>
#include <string.h>

#include "tools/gov/gov.h"

static bool one_of(const char *word, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, names[i]) == 0)
            return true;
    return false;
}

bool gov_kv_type_valid(const char *name, const char *word)
{
    char types[160] = "";
    size_t used = 0;

    if (word == NULL || gov_kv_type_find(word) != GOV_KV_UNSET)
        return true;
    for (int type = GOV_KV_F16; type <= GOV_KV_IQ4_NL && used < sizeof(types);
         type++)
        used += (size_t)snprintf(types + used, sizeof(types) - used, "%s%s",
                                 type == GOV_KV_F16      ? ""
                                 : type == GOV_KV_IQ4_NL ? " or "
                                                         : ", ",
                                 gov_kv_type_name((gov_kv_type)type));
    fprintf(stderr,
            "gov %s: --kv-type %s is none; it takes %s. See gov %s --help\n",
            name, cli_show(word).text, types, name);
    return false;
}

/* More than any model has. */
#define LAYERS_MAX 1000000

/* A number, or "all"; false for what is neither. */
static bool read_gpu_layers(const char *text, uint64_t *out)
{
    *out = LAYERS_MAX;
    return strcmp(text, "all") == 0 ||
           (cli_read_count(text, out) && *out <= LAYERS_MAX);
}

static bool gpu_layers_valid(const char *name, const char *text)
{
    uint64_t layers;

    if (text == NULL || read_gpu_layers(text, &layers))
        return true;
    fprintf(stderr,
            "gov %s: --gpu-layers needs a whole number up to %d, or all, not "
            "%s\n",
            name, LAYERS_MAX, cli_show(text).text);
    return false;
}

/* A wish that no rule could match is a usage error, not a condition. */
static bool wishes_valid(const char *name, const struct gov_wishes *wishes)
{
    static const char *const strategies[] = {"mmap", "hybrid", "heap"};

    if (wishes->strategy != NULL && !one_of(wishes->strategy, strategies, 3)) {
        fprintf(stderr,
                "gov %s: --strategy %s is none; it takes mmap, hybrid or "
                "heap. See gov %s --help\n",
                name, cli_show(wishes->strategy).text, name);
        return false;
    }
    return gpu_layers_valid(name, wishes->gpu_layers) &&
           gov_kv_type_valid(name, wishes->kv_type);
}

static void state_wishes(struct gov_facts *facts,
                         const struct gov_wishes *wishes)
{
    uint64_t layers;

    if (wishes->context != 0)
        gov_facts_set(facts, GOV_FACT_REQUEST_CONTEXT, wishes->context);
    if (wishes->queries != 0)
        gov_facts_set(facts, GOV_FACT_REQUEST_QUERIES, wishes->queries);
    if (wishes->sequences != 0)
        gov_facts_set(facts, GOV_FACT_REQUEST_SEQUENCES, wishes->sequences);
    if (wishes->gpu_layers != NULL &&
        read_gpu_layers(wishes->gpu_layers, &layers)) {
        /* All of them, and the output, which counts as one. */
        if (layers == LAYERS_MAX)
            layers = gov_facts_get(facts, GOV_FACT_MODEL_LAYERS, layers) + 1;
        gov_facts_set(facts, GOV_FACT_REQUEST_GPU_LAYERS, layers);
    }
    if (wishes->strategy != NULL)
        gov_facts_set_text(facts, GOV_FACT_REQUEST_STRATEGY, wishes->strategy);
    if (wishes->kv_type != NULL)
        gov_facts_set_text(facts, GOV_FACT_REQUEST_KV_TYPE, wishes->kv_type);
    if (wishes->budget_bytes != 0)
        gov_facts_set(facts, GOV_FACT_BUDGET_RAM, wishes->budget_bytes);
}

/* What only the engine knows. Opening an adapter takes 2 ms, finding none less;
 * that there is none is told where it matters. */
static void ask_engine(struct gov_facts *facts, const char *name)
{
    const struct gov_engine *engine;
    gov_error err;

    if (gov_engine_open(&engine, name != NULL ? name : GOV_PLANNED_ENGINE,
                        &err) == GOV_OK &&
        engine->size >=
            offsetof(struct gov_engine, facts) + sizeof(engine->facts) &&
        engine->facts != NULL)
        engine->facts(facts);
}

/* Tells on what a what-if changes, but not what follows of the budget where one
 * was asked for: that stays. */
struct changes {
    const struct gov_wishes *wishes;
    bool keep_budget;
    bool machine;         /* another one than this */
    bool headroom, level; /* of pressure.*, named */
};

static void on_change(void *ctx, const char *fact, const char *now,
                      const char *before, const char *because)
{
    struct changes *changes = ctx;
    const struct gov_wishes *wishes = changes->wishes;

    changes->machine = changes->machine || strncmp(fact, "device.", 7) == 0 ||
                       strncmp(fact, "budget.", 7) == 0;
    changes->headroom =
        changes->headroom || strcmp(fact, "pressure.headroom") == 0;
    changes->level = changes->level || strcmp(fact, "pressure.level") == 0;
    if (wishes->budget_bytes != 0 && strcmp(fact, "budget.ram") == 0) {
        changes->keep_budget = because[0] != '\0';
        if (changes->keep_budget)
            return;
    }
    if (wishes->changed != NULL)
        wishes->changed(wishes->changed_ctx, fact, now, before, because);
}

static gov_status ask_what_if(struct gov_planning *planning,
                              const struct gov_wishes *wishes, gov_error *err)
{
    struct changes changes = {.wishes = wishes};
    gov_status status =
        gov_what_if(&planning->facts, wishes->what_if, planning->what_if_texts,
                    on_change, &changes, err);

    /* How full this machine is says nothing of another. */
    if (changes.machine && !changes.headroom)
        planning->facts.value[GOV_FACT_PRESSURE_HEADROOM].known = false;
    if (changes.machine && !changes.level)
        planning->facts.value[GOV_FACT_PRESSURE_LEVEL].known = false;
    if (changes.keep_budget)
        gov_facts_set(&planning->facts, GOV_FACT_BUDGET_RAM,
                      wishes->budget_bytes);
    if (status == GOV_E_INVALID && err->status == status) {
        gov_error cause = *err;

        return gov_fail(err, status, 0, "--what-if: %s", cause.message);
    }
    return status;
}

static gov_status gather(struct gov_planning *planning,
                         const struct gov_wishes *wishes,
                         char pointed[GOV_MESSAGE_BYTES], gov_error *err)
{
    gov_status status =
        gov_model_open(&planning->model, wishes->model_path, NULL, err);

    if (status == GOV_OK)
        status = gov_policy_open(&planning->rules, wishes->policy_name,
                                 planning->policy_source, pointed, NULL, NULL,
                                 NULL, err);
    if (status == GOV_OK)
        status = gov_device_current(&planning->device, planning->device_note,
                                    sizeof(planning->device_note), err);
    if (status != GOV_OK)
        return status;
    gov_device_facts(&planning->device, &planning->facts);
    gov_model_facts(planning->model, &planning->facts);
    if (!wishes->no_engine)
        ask_engine(&planning->facts, wishes->engine);
    state_wishes(&planning->facts, wishes);
    gov_pressure_facts(&planning->facts, planning->rules);
    return wishes->what_if != NULL ? ask_what_if(planning, wishes, err)
                                   : GOV_OK;
}

bool gov_planning_open(const char *name, struct gov_planning *planning,
                       const struct gov_wishes *wishes, gov_trace_fn trace,
                       void *trace_ctx, int *exit_code)
{
    char pointed[GOV_MESSAGE_BYTES] = "";
    gov_status status;
    gov_error err;

    memset(planning, 0, sizeof(*planning));
    if (!wishes_valid(name, wishes)) {
        *exit_code = CLI_EXIT_USAGE;
        return false;
    }
    status = gather(planning, wishes, pointed, &err);
    /* A profile that is there and is not used; that there is none is usual. */
    if (planning->device_note[0] != '\0' &&
        strncmp(planning->device_note, "there is no", 11) != 0)
        fprintf(stderr, "gov %s: %s\n", name, planning->device_note);
    if (status == GOV_OK &&
        gov_plan_decide(&planning->plan, planning->rules, &planning->facts,
                        trace, trace_ctx, &err) == GOV_OK)
        return true;
    memcpy(planning->failure, err.message, sizeof(planning->failure));
    *exit_code = gov_fails(name, &err);
    /* A policy or a fact that there is not: the command line makes no sense. */
    if (status == GOV_E_INVALID)
        *exit_code = CLI_EXIT_USAGE;
    if (pointed[0] != '\0')
        fprintf(stderr, "%s\n", pointed);
    return false;
}

void gov_planning_close(struct gov_planning *planning)
{
    gov_policy_free(planning->rules);
    gov_model_close(planning->model);
}

static json_t *time_to_json(const struct gov_plan *plan, uint64_t us)
{
    if (plan->read_rate == 0)
        return json_null();
    return json_integer(us < INT64_MAX ? (json_int_t)us : INT64_MAX);
}

/* What is predicted by the rate of reading. */
static json_t *reads_to_json(const struct gov_plan *plan)
{
    const struct gov_evicted evicted =
        gov_plan_evicted(plan, GOV_EVICTED_PERMILLE);

    return json_pack(
        "{s:o, s:o, s:i, s:I, s:o}", "warm_us",
        time_to_json(plan, plan->warm_us), "first_token_us",
        time_to_json(plan, gov_plan_read_us(plan, plan->weights_bytes)),
        "evicted_permille", GOV_EVICTED_PERMILLE, "evicted_bytes",
        (json_int_t)evicted.bytes, "evicted_us",
        time_to_json(plan, evicted.us));
}

json_t *gov_plan_to_json(const struct gov_planning *planning)
{
    const struct gov_plan *plan = &planning->plan;
    char path[1024], policy[GOV_MESSAGE_BYTES];
    json_t *object;

    object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I,"
        " s:I, s:I, s:I, s:I, s:s, s:b, s:b, s:s, s:I, s:s, s:s, s:I, s:I,"
        " s:I, s:I, s:s}",
        "model", cli_clean(path, sizeof(path), gov_model_path(planning->model)),
        "strategy", gov_strategy_name(plan->strategy), "rule", plan->rule,
        "reason", plan->reason, "warning", plan->warning, "context_tokens",
        (json_int_t)plan->context, "kv_type", gov_kv_type_name(plan->kv_type),
        "repack", plan->repack, "warn", plan->warn, "ahead_units",
        (json_int_t)plan->ahead, "budget_bytes", (json_int_t)plan->budget_bytes,
        "weights_bytes", (json_int_t)plan->weights_bytes, "hot_bytes",
        (json_int_t)plan->hot_bytes, "cold_bytes", (json_int_t)plan->cold_bytes,
        "kv_bytes", (json_int_t)plan->kv_bytes, "compute_bytes",
        (json_int_t)plan->compute_bytes, "engine_bytes",
        (json_int_t)plan->engine_bytes, "footprint_bytes",
        (json_int_t)plan->footprint_bytes, "hold", gov_hold_name(plan->hold),
        "anchor", plan->anchor, "direct", plan->direct, "warm",
        gov_warm_name(plan->warm), "warm_rate_bytes",
        (json_int_t)plan->warm_rate, "advise_load",
        gov_advice_name(plan->advise_load), "advise_pass",
        gov_advice_name(plan->advise_pass), "sequences",
        (json_int_t)plan->sequences, "gpu_layers", (json_int_t)plan->gpu_layers,
        "gpu_bytes", (json_int_t)plan->gpu_bytes, "gpu_budget_bytes",
        (json_int_t)plan->gpu_budget_bytes, "policy",
        cli_clean(policy, sizeof(policy), planning->policy_source));
    if (object != NULL)
        json_object_update_new(object, reads_to_json(plan));
    return object;
}
