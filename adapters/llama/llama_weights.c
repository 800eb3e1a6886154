/* SPDX-License-Identifier: MIT */
/* How a session's weights are held: maps the model without reading it, hands the
 * mapping to the governed range under the plan, and tells it where the engine is.
 * Owns session->weights; computes nothing. */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "adapters/llama/llama_session.h"
#include "adapters/llama_interpose/interpose.h"

#define NO_UNIT UINT32_MAX
/* Threads that bring weights in: one beside the two that read what is waited for,
 * since they share their processors with the engine, and two where nothing runs
 * before all of it is there. */
#define READERS_HEAP 2
#define READERS_MAPPED 1
/* Longest that a layer waits for what is missing of it: 0.4 GB of a slow disk. */
#define PATIENCE_MS 1000

/* ---- mapping -------------------------------------------------------------------- */

#ifdef __ELF__
/* In the program that has them: llama_interpose/interpose.h. */
#pragma weak gov_llama_interpose_begin
#pragma weak gov_llama_interpose_end
#pragma weak gov_llama_interpose_watch

static bool can_map_unread(void)
{
    return gov_llama_interpose_begin != NULL && gov_llama_interpose_end != NULL;
}

static void map_begin(struct gov_llama_mapping *list, size_t room)
{
    gov_llama_interpose_begin(list, room);
}

static size_t map_end(void)
{
    return gov_llama_interpose_end();
}

static bool watch_unmap(const struct gov_llama_mapping *list, size_t count,
                        void (*unmaps)(void *ctx), void *ctx)
{
    return gov_llama_interpose_watch != NULL &&
           gov_llama_interpose_watch(list, count, unmaps, ctx);
}
#else
/* There mapping a file reads nothing of it. */
static bool can_map_unread(void)
{
    return true;
}

static void map_begin(struct gov_llama_mapping *list, size_t room)
{
    (void)list;
    (void)room;
}

static size_t map_end(void)
{
    return 0;
}

static bool watch_unmap(const struct gov_llama_mapping *list, size_t count,
                        void (*unmaps)(void *ctx), void *ctx)
{
    (void)list;
    (void)count;
    (void)unmaps;
    (void)ctx;
    return false;
}
#endif

static void note_places(gov_session *session,
                        const struct gov_llama_mapping *list, size_t count)
{
    size_t files;
    const struct gov_model_file *file = gov_model_files(session->file, &files);

    for (size_t i = 0; i < files; i++) {
        session->places[i] = (struct gov_weights_place){NULL, 0};
        for (size_t k = 0; k < count; k++)
            if (list[k].device == file[i].device &&
                list[k].inode == file[i].inode) {
                session->places[i].base = list[k].base;
                session->places[i].bytes = list[k].bytes;
            }
    }
}

bool gov__llama_can_copy(const gov_session *session)
{
    return session->plan.strategy == GOV_STRATEGY_HEAP &&
           session->plan.repack && session->plan.gpu_layers == 0 &&
           session->decrypt == NULL && can_map_unread() &&
           watch_unmap(NULL, 0, NULL, NULL);
}

static void unmaps(void *ctx)
{
    gov__llama_copy_end(ctx);
}

/* Everything is mapped when the engine first tells how far it is. Before it unmaps
 * anything, being done or having failed, nobody else may be at work there. */
void gov__llama_loading(gov_session *session, float share)
{
    struct gov__llama_copy *copy = &session->copy;
    size_t count;

    if (session->mappings == NULL || !copy->wanted || share <= 0)
        return;
    if (!copy->tried) {
        copy->tried = true;
        count = map_end();
        note_places(session, session->mappings, count);
        /* Else what the engine would have asked for. */
        if (gov__llama_copy_begin(session, share))
            (void)watch_unmap(session->mappings, count, unmaps, session);
        else
            gov__llama_advise(session, POSIX_MADV_WILLNEED);
    }
    gov__llama_copy_reached(session, share);
}

struct llama_model *gov__llama_map_model(gov_session *session, const char *path,
                                         struct llama_model_params params)
{
    size_t files;
    struct gov_llama_mapping *list;
    struct llama_model *model;

    /* To a GPU everything is copied at once, for which it had better be there. */
    if (params.load_mode != LLAMA_LOAD_MODE_MMAP ||
        session->plan.gpu_layers > 0 || !can_map_unread()) {
        session->read_first = params.load_mode == LLAMA_LOAD_MODE_MMAP;
        return llama_model_load_from_file(path, params);
    }
    (void)gov_model_files(session->file, &files);
    list = gov__llama_new(files * sizeof(*list));
    if (session->places == NULL)
        session->places = gov__llama_new(files * sizeof(*session->places));
    session->read_first = false;
    map_begin(list, list != NULL ? files : 0);
    session->mappings = session->places != NULL ? list : NULL;
    if (session->copy.wanted)
        gov__llama_copy_watch(session);
    model = llama_model_load_from_file(path, params);
    session->mappings = NULL;
    files = map_end();
    if (session->copy.wanted) {
        (void)watch_unmap(NULL, 0, NULL, NULL);
        gov__llama_copy_end(session);
    } else if (list != NULL && session->places != NULL) {
        note_places(session, list, files);
    }
    gov__llama_delete(list);
    return model;
}

void gov__llama_advise(const gov_session *session, int advice)
{
    size_t files = 0;

    if (session->places != NULL)
        (void)gov_model_files(session->file, &files);
    for (size_t i = 0; i < files; i++)
        if (session->places[i].base != NULL)
            (void)posix_madvise(session->places[i].base,
                                session->places[i].bytes, advice);
}

/* ---- layers ---------------------------------------------------------------------- */

/* Units are in order of use, and what a layer begins with is its first. */
gov_status gov__llama_map_layers(gov_session *session, gov_error *err)
{
    size_t count;
    const struct gov_unit *units = gov_model_units(session->file, &count);
    const uint32_t layers = (uint32_t)llama_model_n_layer(session->model);

    session->layers = layers;
    session->output_unit = NO_UNIT;
    session->weights_bytes = 0;
    gov__llama_delete(session->unit_of_layer);
    session->unit_of_layer =
        gov__llama_new(2 * ((size_t)layers + 1) * sizeof(uint32_t));
    if (session->unit_of_layer == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for a list of %u layers", layers);
    session->experts_of_layer = session->unit_of_layer + layers + 1;
    for (uint32_t i = 0; i <= layers; i++)
        session->unit_of_layer[i] = session->experts_of_layer[i] = NO_UNIT;
    for (size_t i = count; i-- > 0;) {
        session->weights_bytes += units[i].bytes;
        if (units[i].kind == GOV_UNIT_OUTPUT)
            session->output_unit = (uint32_t)i;
        if (units[i].layer >= layers)
            continue;
        if (units[i].kind == GOV_UNIT_LAYER)
            session->unit_of_layer[units[i].layer] = (uint32_t)i;
        if (units[i].kind == GOV_UNIT_EXPERTS)
            session->experts_of_layer[units[i].layer] = (uint32_t)i;
    }
    return GOV_OK;
}

bool gov__llama_tells_layers(const gov_session *session)
{
    return session->layers_shown >= (session->layers + 1) / 2;
}

/* Every layer with experts says once which it uses: some architectures choose
 * twice, or by numbers of another set. */
static bool tells_experts(const gov_session *session)
{
    uint32_t with = 0;

    for (uint32_t i = 0; i < session->layers; i++)
        with += session->experts_of_layer[i] != NO_UNIT ? 1 : 0;
    return with > 0 && session->choices_shown == with;
}

/* ---- adoption -------------------------------------------------------------------- */

static bool on_warming(void *ctx, uint32_t permille, const char *what)
{
    gov_session *session = ctx;

    bool goes_on;

    gov_gauges_set(session->runtime, session->gauges, GOV_PAGE_WEIGHTS_WARM,
                   permille);
    goes_on = session->warming == NULL ||
              session->warming(session->warming_ctx, permille, what);
    if (!goes_on || permille >= 1000)
        gov__llama_expect_nothing(session);
    return goes_on;
}

static struct gov_weights_options weights_options(gov_session *session)
{
    const struct gov_plan *plan = &session->plan;
    struct gov_weights_options options = gov_weights_options_default();
    const bool heap = plan->strategy == GOV_STRATEGY_HEAP;

    options.ahead = plan->ahead;
    options.hold = plan->hold;
    options.warm = plan->warm;
    options.warm_rate = plan->warm_rate;
    options.advise_load = plan->advise_load;
    options.advise_pass = plan->advise_pass;
    options.anchor = heap || plan->anchor;
    options.direct = heap || plan->direct;
    options.readers = heap ? READERS_HEAP : READERS_MAPPED;
    options.places = session->places;
    if (session->places != NULL)
        (void)gov_model_files(session->file, &options.place_count);
    options.decrypt = session->decrypt;
    options.decrypt_ctx = session->decrypt_ctx;
    options.progress = on_warming;
    options.progress_ctx = session;
    options.read_rate = plan->read_rate;
    return options;
}

static gov_status adopt_as(gov_session *session, uint64_t hot_bytes,
                           gov_follow follow, gov_error *err)
{
    struct gov_weights_options options = weights_options(session);

    options.hot_bytes = hot_bytes;
    options.follow = follow;
    /* No further than was planned for. */
    options.ahead_most =
        options.ahead != 0 ? options.ahead : GOV__LLAMA_AHEAD_USUAL;
    if (follow == GOV_FOLLOW_CALLS && gov__llama_tells_layers(session))
        options.patience_ms = PATIENCE_MS;
    if (hot_bytes < session->weights_bytes)
        options.experts = tells_experts(session);
    session->follows_experts = options.experts;
    return gov_weights_adopt(&session->weights, session->file, &options, err);
}

/* All of them are to stay. Where that takes a while the engine tells its layers. */
static gov_status adopt_all(gov_session *session, gov_error *err)
{
    gov_status status = adopt_as(session, UINT64_MAX, GOV_FOLLOW_CALLS, err);

    session->until_warm = status == GOV_OK &&
                          gov__llama_tells_layers(session) &&
                          !gov_weights_wait(session->weights, true, 0);
    if (session->until_warm)
        atomic_store(&session->reporting, true);
    return status;
}

/* Says how it is, for describe(), once it is so. */
static void say_hybrid(gov_session *session, const char *how)
{
    const struct gov_plan *plan = &session->plan;

    session->strategy = GOV_STRATEGY_HYBRID;
    if (session->follows_experts)
        gov__llama_say(session,
                       "hybrid: %" PRIu64 " MB of weights stay in memory, "
                       "experts by how recently they were used; what is "
                       "missing of the other %" PRIu64 " MB is read%s",
                       plan->hot_bytes / 1000000, plan->cold_bytes / 1000000,
                       how);
    else
        gov__llama_say(session,
                       "hybrid: %" PRIu64 " MB of weights stay in memory, "
                       "%" PRIu64
                       " MB are streamed each pass, %u unit%s ahead%s",
                       plan->hot_bytes / 1000000, plan->cold_bytes / 1000000,
                       plan->ahead, plan->ahead == 1 ? "" : "s", how);
}

/* Streaming needs to know where the engine is: by its word, else by doorbells. */
static gov_status adopt_streamed(gov_session *session, gov_error *err)
{
    const uint64_t hot = session->plan.hot_bytes;
    gov_status status;

    if (gov__llama_tells_layers(session)) {
        status = adopt_as(session, hot, GOV_FOLLOW_CALLS, err);
        if (status == GOV_OK) {
            session->streaming = true;
            atomic_store(&session->reporting, true);
            say_hybrid(session, "");
        }
        return status;
    }
    if (adopt_as(session, hot, GOV_FOLLOW_DOORBELLS, err) == GOV_OK) {
        session->streaming = session->by_bells = true;
        say_hybrid(session, ", followed by doorbells");
        return GOV_OK;
    }
    status = adopt_all(session, err);
    if (status == GOV_OK)
        gov__llama_say(
            session,
            "mmap, not streamed: llama.cpp reports %u of the %u layers of this "
            "architecture, so the system decides what stays",
            session->layers_shown, session->layers);
    return status;
}

/* Takes charge of the engine's mapping. That it cannot be governed is no
 * failure: the model runs as it would without us, and says why. Of a model that
 * is partly on a GPU the engine has unmapped what it needs no more, at the ends of
 * the file. */
static void hold_mapped(gov_session *session)
{
    const struct gov_plan *plan = &session->plan;
    gov_status status;
    gov_error err;

    session->strategy = GOV_STRATEGY_MMAP;
    if (plan->gpu_layers > 0) {
        gov__llama_say(session, "mmap, not governed: layers are on a GPU");
        return;
    }
    if (plan->strategy == GOV_STRATEGY_HYBRID) {
        status = adopt_streamed(session, &err);
    } else {
        status = adopt_all(session, &err);
        if (status == GOV_OK)
            gov__llama_say(session,
                           "mmap: %" PRIu64
                           " MB of weights are mapped and all may stay",
                           plan->weights_bytes / 1000000);
    }
    if (status != GOV_OK) {
        /* What the engine would have asked for. */
        gov__llama_advise(session, POSIX_MADV_WILLNEED);
        gov__llama_say(session, "mmap, not governed: %s", err.message);
    }
}

bool gov__llama_anchors_heap(const gov_session *session)
{
    return session->plan.strategy == GOV_STRATEGY_HEAP &&
           (session->decrypt != NULL ||
            (!session->plan.repack && session->plan.gpu_layers == 0 &&
             session->no_anchor[0] == '\0' && can_map_unread()));
}

static gov_status hold_heap(gov_session *session, gov_error *err)
{
    const bool anchors = gov__llama_anchors_heap(session);
    gov_status status = GOV_OK;

    session->strategy = GOV_STRATEGY_HEAP;
    if (anchors)
        status = adopt_all(session, err);
    if (status != GOV_OK)
        return status;
    gov__llama_say(session,
                   "heap: %" PRIu64 " MB of weights are in anonymous memory%s",
                   session->plan.weights_bytes / 1000000,
                   session->decrypt != NULL ? ", decrypted"
                   : session->copy.wanted   ? " where the engine repacks them, "
                                              "and mapped where it does not"
                   : session->plan.repack   ? ", repacked by the engine"
                                            : "");
    if (session->no_anchor[0] != '\0')
        gov__llama_say(session, ", copied there by the engine: %s",
                       session->no_anchor);
    return GOV_OK;
}

gov_status gov__llama_hold_weights(gov_session *session, gov_error *err)
{
    if (session->plan.strategy == GOV_STRATEGY_HEAP)
        return hold_heap(session, err);
    hold_mapped(session);
    return GOV_OK;
}

void gov__llama_say_lost(gov_session *session)
{
    const bool takes_all = gov__llama_takes_all();

    if (session->plan.gpu_layers > 0 || (!takes_all && !session->read_first))
        return;
    gov__llama_say(session, "; llama.cpp %s%s%s",
                   session->read_first ? "read all of it first" : "",
                   session->read_first && takes_all ? " and " : "",
                   takes_all ? "took memory for the whole context" : "");
    gov__llama_say(session, ", since this program is not linked with "
                            "libgovernor-llama-interpose");
}

/* ---- passes ----------------------------------------------------------------------- */

static bool all_there(const gov_session *session)
{
    struct gov_weights_account account;

    gov_weights_account(session->weights, false, &account);
    return account.cold_bytes == 0 &&
           account.there_bytes + account.expert_bytes >= account.hot_bytes;
}

/* All is there: reports are work for nothing, unless something became cold. */
static void end_warming(gov_session *session)
{
    pthread_mutex_lock(&session->hot.lock);
    session->until_warm = false;
    if (session->hot.now >= session->hot.all)
        atomic_store(&session->reporting, false);
    pthread_mutex_unlock(&session->hot.lock);
}

gov_status gov__llama_pass_begin(gov_session *session, uint32_t tokens,
                                 gov_error *err)
{
    if (session->copy.wanted && !gov__llama_copy_unchanged(session))
        return gov_fail(err, GOV_E_IO, 0,
                        "the model's file was written to while it is in use; "
                        "unload it and load it again");
    if (session->weights == NULL)
        return GOV_OK;
    session->told_unit = NO_UNIT;
    if (session->until_warm && all_there(session))
        end_warming(session);
    gov__llama_adjust_hot(session, tokens);
    return gov_weights_pass_begin(session->weights, err);
}

void gov__llama_pass_end(gov_session *session, bool whole)
{
    struct gov_pass_account *pass = &session->pass;

    if (session->copy.wanted)
        pass->changed = !gov__llama_copy_unchanged(session);
    if (session->weights == NULL)
        return;
    /* Where layers are not reported, too: what is left to the engine to bring in
     * is there once it has been over it. */
    if (whole && session->told_unit != session->output_unit)
        gov_weights_reached(session->weights, session->output_unit);
    gov__llama_expect_nothing(session);
    if (gov_weights_pass_end(session->weights, pass))
        gov__llama_publish_pass(session);
}

void gov__llama_reached(gov_session *session, uint32_t layer)
{
    session->told_unit = layer + 1 < session->layers
                             ? session->unit_of_layer[layer + 1]
                             : session->output_unit;
    gov_weights_reached(session->weights, session->told_unit);
}

/* "ffn_moe_topk-N": the numbers of the experts that each token of the batch goes
 * to; a view into a row of all of them in order, mostly. */
void gov__llama_chosen(gov_session *session, const struct ggml_tensor *chosen,
                       uint32_t layer)
{
    size_t count, numbers = 0;
    const struct gov_unit *units = gov_model_units(session->file, &count);
    const uint32_t first =
        layer < session->layers ? session->experts_of_layer[layer] : NO_UNIT;
    uint32_t list[GOV__LLAMA_EXPERTS];
    uint64_t seen[GOV__LLAMA_EXPERTS / 64] = {0};

    if (first == NO_UNIT || chosen->type != GGML_TYPE_I32 ||
        chosen->data == NULL)
        return;
    for (int64_t token = 0; token < chosen->ne[1]; token++)
        for (int64_t i = 0; i < chosen->ne[0]; i++) {
            int32_t n;

            memcpy(&n,
                   (const char *)chosen->data + (size_t)token * chosen->nb[1] +
                       (size_t)i * chosen->nb[0],
                   sizeof(n));
            if (n < 0 || n >= GOV__LLAMA_EXPERTS ||
                (seen[n / 64] >> (n % 64) & 1) != 0)
                continue;
            seen[n / 64] |= UINT64_C(1) << (n % 64);
            list[numbers++] = (uint32_t)n;
        }
    for (uint32_t i = first; i < count; i++)
        if (units[i].kind == GOV_UNIT_EXPERTS && units[i].layer == layer)
            gov_weights_used(session->weights, i, list, numbers);
}

/* ---- accounts ----------------------------------------------------------------------- */

bool gov__llama_weights(gov_session *session, bool exact,
                        struct gov_weights_account *out)
{
    if (session->weights == NULL)
        return false;
    gov_weights_account(session->weights, exact, out);
    return true;
}

bool gov__llama_wait(gov_session *session, bool all, uint32_t timeout_ms)
{
    return session->weights == NULL ||
           gov_weights_wait(session->weights, all, timeout_ms);
}
