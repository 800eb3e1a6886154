/* SPDX-License-Identifier: MIT */
#include "tools/gov/engine_view.h"

#include <stddef.h>
#include <string.h>

/* An adapter may be older than the member. */
static bool can_ask(const struct gov_engine *engine)
{
    return engine->size >=
               offsetof(struct gov_engine, dry_run) + sizeof(engine->dry_run) &&
           engine->dry_run != NULL;
}

static bool differs(uint64_t ours, uint64_t theirs)
{
    uint64_t by = ours > theirs ? ours - theirs : theirs - ours;

    return by > theirs / 100;
}

static const char *because(enum gov_view_row row, bool more, bool known)
{
    switch (row) {
    case GOV_VIEW_WEIGHTS:
        return more ? "it holds some tensors twice, or in a layout of its own"
                    : "it leaves out tensors that it does not use";
    case GOV_VIEW_KV:
        return known ? "they do not agree on what this architecture keeps; "
                       "please report it"
                     : "ours is the most that it may be, as this architecture "
                       "is not known";
    case GOV_VIEW_BUFFERS:
    case GOV_VIEW_ROWS:
        break;
    }
    return "ours is an estimate, and the plan is decided by it";
}

static void explain(struct gov_engine_view *view, enum gov_view_row row,
                    uint64_t ours, bool known)
{
    static const char *const names[] = {"weights", "KV", "buffers"};
    uint64_t theirs = view->bytes[row];
    bool more = theirs > ours;
    uint64_t by = more ? theirs - ours : ours - theirs;
    char size[CLI_SIZE_BYTES], percent[32] = "";
    double share;

    if (!differs(ours, theirs))
        return;
    share = ours == 0 ? 0 : 100 * (double)by / (double)ours;
    if (share > 0 && share < 1000)
        snprintf(percent, sizeof(percent), " (%.*f %%)", share < 10 ? 1 : 0,
                 share);
    snprintf(view->difference[row], sizeof(view->difference[row]),
             "%s: %s takes %s %s%s: %s", names[row], view->engine->name,
             cli_size(size, by), more ? "more" : "less", percent,
             because(row, more, known));
}

/* What must be in memory at once by the engine's figures, against the budget
 * that the plan kept. Of weights that are streamed those that stay count. */
static void judge(struct gov_engine_view *view, const struct gov_plan *plan)
{
    uint64_t weights = view->bytes[GOV_VIEW_WEIGHTS], need;
    char need_text[CLI_SIZE_BYTES], budget[CLI_SIZE_BYTES];

    if (plan->strategy == GOV_STRATEGY_HYBRID)
        weights = plan->hot_bytes;
    need = weights + view->bytes[GOV_VIEW_KV] + view->bytes[GOV_VIEW_BUFFERS] +
           plan->engine_bytes;
    if (need <= plan->budget_bytes)
        return;
    snprintf(view->warning, sizeof(view->warning),
             "%s itself asks for %s, more than the budget of %s; ask for a "
             "smaller context with --ctx",
             view->engine->name, cli_size(need_text, need),
             cli_size(budget, plan->budget_bytes));
}

void gov_engine_view_ask(struct gov_engine_view *view,
                         const struct gov_planning *planning)
{
    const struct gov_plan *plan = &planning->plan;
    struct gov_need_request request = gov_need_request_default();
    struct gov_need *need = &view->need;
    bool known = gov_model_known(planning->model);
    gov_error err;

    memset(view, 0, sizeof(*view));
    if (gov_engine_open(&view->engine, GOV_PLANNED_ENGINE, &err) != GOV_OK) {
        view->engine = NULL;
        view->missing = err.status == GOV_E_NOT_FOUND;
        snprintf(view->why, sizeof(view->why), "%s", err.message);
        return;
    }
    if (!can_ask(view->engine)) {
        snprintf(view->why, sizeof(view->why),
                 "this adapter cannot ask %s what it would allocate",
                 view->engine->name);
        return;
    }
    request.context = plan->context;
    request.k_type = request.v_type = plan->kv_type;
    request.strategy = plan->strategy;
    request.repack = plan->repack;
    request.gpu_layers = plan->gpu_layers;
    if (plan->sequences > 1) {
        request.sequences = plan->sequences;
        request.unified = true; /* they share the context */
    }
    if (view->engine->dry_run(planning->model, &request, need, &err) !=
        GOV_OK) {
        snprintf(view->why, sizeof(view->why), "%s", err.message);
        return;
    }
    view->answered = true;
    view->bytes[GOV_VIEW_WEIGHTS] = need->ram.weights + need->gpu.weights;
    view->bytes[GOV_VIEW_KV] =
        need->ram.kv + need->ram.state + need->gpu.kv + need->gpu.state;
    view->bytes[GOV_VIEW_BUFFERS] = need->ram.compute + need->ram.output +
                                    need->gpu.compute + need->gpu.output;
    explain(view, GOV_VIEW_WEIGHTS, plan->weights_bytes, known);
    explain(view, GOV_VIEW_KV, plan->kv_bytes, known);
    explain(view, GOV_VIEW_BUFFERS, plan->compute_bytes, known);
    judge(view, plan);
}

json_t *gov_engine_view_to_json(const struct gov_engine_view *view)
{
    const struct gov_pool *ram = &view->need.ram, *gpu = &view->need.gpu;
    uint64_t state = ram->state + gpu->state;
    uint64_t compute = ram->compute + gpu->compute;
    uint64_t output = ram->output + gpu->output;
    json_t *differences;

    if (view->engine == NULL)
        return json_null();
    if (!view->answered)
        return json_pack("{s:s, s:s, s:s}", "name", view->engine->name,
                         "version", view->engine->version(), "error",
                         view->why);
    differences = json_array();
    for (int row = 0; row < GOV_VIEW_ROWS; row++)
        if (view->difference[row][0] != '\0')
            json_array_append_new(differences,
                                  json_string(view->difference[row]));
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:s}", "name",
                     view->engine->name, "version", view->engine->version(),
                     "weights_bytes", (json_int_t)view->bytes[GOV_VIEW_WEIGHTS],
                     "kv_bytes", (json_int_t)view->bytes[GOV_VIEW_KV],
                     "state_bytes", (json_int_t)state, "compute_bytes",
                     (json_int_t)compute, "output_bytes", (json_int_t)output,
                     "differences", differences, "warning", view->warning);
}
