/* SPDX-License-Identifier: MIT */
/* What a model takes in an engine that works as llama.cpp does, pool by pool;
 * and the facts about it that rules may ask.
 *
 * Cells and layers are counted as llama_context's and llama_kv_cache's
 * constructors do, the place of layers as llama_model's load_tensors(). */
#include <string.h>

#include "governor/model/architectures.h"
#include "governor/model/compute.h"
#include "governor/model/model_priv.h"
#include "governor/model/tensor_names.h"
#include "policies/planning/sizes_priv.h"

struct gov_need_request gov_need_request_default(void)
{
    return (struct gov_need_request){
        .size = sizeof(struct gov_need_request),
        .k_type = GOV_KV_F16,
        .v_type = GOV_KV_F16,
        .sequences = 1,
        .batch = GOV__BATCH_TOKENS,
        .outputs = 1,
        .flash_attention = true,
        .unified = true,
        .strategy = GOV_STRATEGY_MMAP,
    };
}

/* ---- the request ------------------------------------------------------------ */

static gov_status check_type(const char *which, gov_kv_type type,
                             uint32_t divides, gov_error *err)
{
    uint32_t bytes, block = gov_kv_type_block(type, &bytes);

    if (block == 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the type of %s is none; gov_kv_type lists them",
                        which);
    if (divides % block != 0)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s cannot be held as %s: this model's heads are no "
                        "whole number of blocks of %u; f16 works",
                        which, gov_kv_type_name(type), (unsigned)block);
    return GOV_OK;
}

static gov_status check_request(const gov_model *model,
                                struct gov_need_request *r, gov_error *err)
{
    const struct gov__state *state = &model->state;
    uint32_t bytes;
    gov_status status;

    if (r->context == 0) {
        uint64_t most = gov__header_single(&model->header, GOV__KEY_CONTEXT);

        r->context = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
    }
    if (r->context == 0 || r->sequences == 0 || r->batch == 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_model_need() wants a context, a batch and at "
                        "least one sequence; %s",
                        r->context == 0 ? "the model does not tell its context"
                                        : "one of them is 0");
    status = check_type("K", r->k_type, state->k_block, err);
    if (status == GOV_OK)
        status = check_type("V", r->v_type, state->v_block, err);
    if (status != GOV_OK)
        return status;
    if (state->same_type && r->k_type != r->v_type)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "this architecture wants K and V of one type, not %s "
                        "and %s",
                        gov_kv_type_name(r->k_type),
                        gov_kv_type_name(r->v_type));
    if (state->no_flash)
        r->flash_attention = false;
    if (!r->flash_attention && gov_kv_type_block(r->v_type, &bytes) > 1)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "V cannot be held as %s without flash attention%s; ask "
                        "for f16",
                        gov_kv_type_name(r->v_type),
                        state->no_flash ? ", which this architecture does not "
                                          "use"
                                        : "");
    return GOV_OK;
}

/* ---- cells ------------------------------------------------------------------ */

/* Per stream: sequences share one, or have one each. */
struct cells {
    uint64_t full, window, streams;
};

static struct cells count_cells(const struct gov__state *state,
                                const struct gov_need_request *r)
{
    bool one = (r->unified || r->sequences == 1) && !state->apart;
    uint64_t context = gov__kv_cells(r->context);
    uint64_t batch = r->batch < r->context ? r->batch : r->context;
    struct cells cells = {.streams = one ? 1 : r->sequences};

    cells.full =
        one || state->apart ? context : gov__kv_cells(context / r->sequences);
    if (cells.full == 0)
        cells.full = GOV__KV_BLOCK_TOKENS;
    if (state->window != 0) {
        cells.window = gov__sat_add(
            gov__sat_mul(state->window, one ? r->sequences : 1), batch);
        if (cells.window > cells.full)
            cells.window = cells.full;
        cells.window = gov__kv_cells(cells.window);
    }
    return cells;
}

/* Bytes of that many elements; their block divides them, or check_request() has
 * refused the type. */
static uint64_t kv_bytes(uint64_t elements, gov_kv_type type)
{
    uint32_t bytes, block = gov_kv_type_block(type, &bytes);

    return block == 0 ? 0 : gov__sat_mul(elements / block, bytes);
}

/* ---- pools ------------------------------------------------------------------ */

/* Layers from the last one on go to the GPU, the output being one more. */
static bool on_gpu(const struct gov__state *state,
                   const struct gov_need_request *r, uint32_t layer)
{
    return (uint64_t)layer + r->gpu_layers > state->layers;
}

static void add_state(const gov_model *model, const struct gov_need_request *r,
                      const struct cells *cells, struct gov_need *out)
{
    const struct gov__state *state = &model->state;

    for (uint32_t i = 0; i < state->layers && !state->cacheless; i++) {
        struct gov_pool *pool = on_gpu(state, r, i) ? &out->gpu : &out->ram;
        struct gov__layer_state layer;
        uint64_t count, bytes;

        gov__state_layer(&model->header, state, i, &layer);
        if (!r->flash_attention)
            layer.v = layer.plain_v;
        count = gov__sat_mul(layer.window ? cells->window : cells->full,
                             cells->streams);
        bytes = gov__sat_add(kv_bytes(layer.k, r->k_type),
                             kv_bytes(layer.v, r->v_type));
        pool->kv = gov__sat_add(pool->kv, gov__sat_mul(bytes, count));
        pool->state =
            gov__sat_add(pool->state, gov__sat_mul(layer.state, r->sequences));
    }
}

/* ggml's TENSOR_ALIGNMENT: what a tensor is padded to in a buffer. */
#define TENSOR_ALIGNMENT 32

/* In some architectures an embedding that makes the logits too is there twice,
 * except in a mapping. */
static bool held_twice(const gov_model *model, const struct gov_need_request *r)
{
    const struct gov__architecture *architecture =
        gov__architecture_find(model->header.architecture);

    return r->strategy == GOV_STRATEGY_HEAP && architecture != NULL &&
           (architecture->flags & GOV__EMBEDDING_TWICE) != 0;
}

/* An embedding is looked up by the processor, wherever the rest is. One that
 * makes the logits too is there twice when the output is on a GPU. */
static void add_weights(const gov_model *model,
                        const struct gov_need_request *r, struct gov_need *out)
{
    const struct gov__header *header = &model->header;
    bool output_on_gpu = r->gpu_layers > 0, twice = held_twice(model, r);

    for (size_t i = 0; i < header->count; i++) {
        const struct gov_tensor *tensor = &header->tensors[i];
        const struct gov_unit *unit = &model->units[tensor->unit];
        bool gpu = unit->kind == GOV_UNIT_EMBEDDING ? false
                   : unit->kind == GOV_UNIT_OUTPUT
                       ? output_on_gpu
                       : unit->kind != GOV_UNIT_PROJECTOR &&
                             on_gpu(&model->state, r, unit->layer);
        struct gov_pool *pool = gpu ? &out->gpu : &out->ram;
        uint64_t bytes = gov__sat_add(tensor->bytes, TENSOR_ALIGNMENT - 1) &
                         ~(uint64_t)(TENSOR_ALIGNMENT - 1);

        pool->weights = gov__sat_add(pool->weights, bytes);
        if (!model->sums.tied || !gov__is_token_embedding(tensor->name))
            continue;
        if (output_on_gpu)
            out->gpu.weights = gov__sat_add(out->gpu.weights, bytes);
        else if (twice)
            out->ram.weights = gov__sat_add(out->ram.weights, bytes);
    }
    if (r->strategy == GOV_STRATEGY_HEAP && r->repack)
        out->repack = model->sums.repack_bytes;
}

/* With layers on both, each side holds the widest point of one. With all on the
 * GPU the processor keeps what goes there: the rows looked up, twice, and the
 * masks. With the output alone there, the GPU has the rows that come in, twice,
 * and the logits. Coarser than on the processor alone, and rather too much. */
static void add_compute(const gov_model *model,
                        const struct gov_need_request *r,
                        const struct cells *cells, struct gov_need *out)
{
    uint64_t embedding = gov__header_single(&model->header, GOV__KEY_EMBEDDING);
    uint64_t bytes = gov__compute_bytes(model, r, cells->full, cells->window);
    uint64_t rows = gov__sat_mul(gov__sat_mul(embedding, 8), r->batch);
    uint64_t logits = gov__sat_mul(gov__sat_mul(model->sums.vocabulary, 4),
                                   r->outputs != 0 ? r->outputs : r->batch);
    uint64_t masks = model->state.k == 0 ? 0 : cells->full;
    uint64_t inputs;

    out->compute_known = bytes != 0;
    out->ram.compute = bytes;
    if (r->gpu_layers == 0)
        return;
    out->gpu.compute = r->gpu_layers == 1 ? gov__sat_add(rows, logits) : bytes;
    if (out->gpu.compute > bytes)
        out->gpu.compute = bytes;
    if (r->gpu_layers <= model->state.layers)
        return;
    masks = gov__sat_mul(gov__sat_add(masks, cells->window), 2);
    inputs = gov__sat_add(rows, gov__sat_mul(masks, r->batch));
    out->ram.compute = inputs < bytes ? inputs : bytes;
}

/* llama_context::output_reserve(): a row for each sequence at first, as many as a
 * batch asks for later. */
static void add_output(const gov_model *model, const struct gov_need_request *r,
                       struct gov_need *out)
{
    const struct gov__header *header = &model->header;
    uint64_t rows = r->outputs != 0 ? r->outputs : r->batch;
    uint64_t vocabulary = header->vocabulary_tokens != 0
                              ? header->vocabulary_tokens
                              : model->sums.vocabulary;

    if (rows < r->sequences)
        rows = r->sequences;
    out->ram.output = gov__sat_mul(gov__sat_mul(vocabulary, 4), rows);
}

/* Fitted to what the heap of llama.cpp v0.5.0 held beside its buffers after a
 * prompt of a whole batch, on models of 1 to 64 layers and 512 to 256000 tokens:
 * a token of the vocabulary and a merge take 145 bytes each, a layer 80 KB in
 * names and graphs, what is always there 0.75 MB. A batch is
 * converted for the widest product: to 17/16 bytes a number beside most quantized
 * weights, to 2 beside others. */
static void add_engine(const gov_model *model, const struct gov_need_request *r,
                       struct gov_need *out)
{
    const struct gov__header *header = &model->header;
    uint64_t tokens = header->vocabulary_tokens;
    uint64_t merges = header->vocabulary_merges;
    bool floats = model->sums.type[0] == 'F' || model->sums.type[0] == 'B';
    uint64_t work = gov__sat_mul(model->sums.widest, r->batch);

    /* Beside safetensors the tokenizer is in a file that is not read. */
    if (tokens == 0)
        tokens = merges = model->sums.vocabulary;
    work = gov__scaled(work, floats ? 32 : 17, 16);
    out->engine = gov__sat_add(
        gov__sat_mul(gov__sat_add(tokens, merges), 145),
        gov__sat_add(work, (uint64_t)model->state.layers * 80000 + 750000));
}

gov_status gov_model_need(const gov_model *model,
                          const struct gov_need_request *request,
                          struct gov_need *out, gov_error *err)
{
    struct gov_need_request r;
    struct cells cells;
    const struct gov__state *state;
    gov_status status;

    if (model == NULL || request == NULL || out == NULL ||
        request->size != sizeof(*request))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_model_need() wants a model, a request of "
                        "gov_need_request_default() and a place for the "
                        "answer");
    memset(out, 0, sizeof(*out));
    r = *request;
    status = check_request(model, &r, err);
    if (status != GOV_OK)
        return status;
    state = &model->state;
    cells = count_cells(state, &r);
    out->cells = gov__sat_mul(cells.full, cells.streams);
    out->window_cells = gov__sat_mul(cells.window, cells.streams);
    add_weights(model, &r, out);
    add_state(model, &r, &cells, out);
    add_compute(model, &r, &cells, out);
    add_output(model, &r, out);
    add_engine(model, &r, out);
    out->kv_exact = state->known;
    out->kv_least = gov__sat_add(gov__sat_add(out->ram.kv, out->gpu.kv),
                                 gov__sat_add(out->ram.state, out->gpu.state));
    if (!state->known)
        out->kv_least = gov__sat_add(
            gov__sat_mul(gov__sat_add(kv_bytes(state->least_k, r.k_type),
                                      kv_bytes(state->least_v, r.v_type)),
                         out->cells),
            gov__sat_mul(state->least_state, r.sequences));
    return GOV_OK;
}

bool gov_model_known(const gov_model *model)
{
    return model->state.known;
}

/* ---- by token ---------------------------------------------------------------- */

static bool fits(const struct gov__state *state, gov_kv_type type)
{
    uint32_t bytes, block = gov_kv_type_block(type, &bytes);

    return block != 0 && state->k_block % block == 0 &&
           state->v_block % block == 0 && !(state->no_flash && block > 1);
}

/* Elements of V for each token, without windows and with them. */
static uint64_t v_of(const struct gov__state *state)
{
    return state->no_flash ? state->plain_v : state->v;
}

static uint64_t window_v_of(const struct gov__state *state)
{
    return state->no_flash ? state->plain_window_v : state->window_v;
}

uint64_t gov_model_kv_per_token(const gov_model *model, gov_kv_type type)
{
    const struct gov__state *s = &model->state;

    if (!fits(s, type))
        return 0;
    return gov__sat_add(kv_bytes(s->k, type), kv_bytes(v_of(s), type));
}

/* ---- facts ------------------------------------------------------------------- */

static void set_if(struct gov_facts *facts, gov_fact fact, uint64_t value)
{
    if (value != 0)
        gov_facts_set(facts, fact, value);
}

/* Whether the header tells enough for KV, be it that there is none. */
static bool kv_told(const struct gov__state *state)
{
    return state->cacheless || state->k != 0 || state->v != 0 ||
           state->window_k != 0 || state->state != 0;
}

static void set_kv_facts(const gov_model *model, struct gov_facts *facts)
{
    const struct gov__state *s = &model->state;

    gov_facts_set(facts, GOV_FACT_MODEL_KNOWN, s->known);
    /* A decoder that pools gives embeddings (llama.cpp's pooling_type). */
    gov_facts_set(facts, GOV_FACT_MODEL_GENERATES,
                  !s->cacheless && gov__header_single(&model->header,
                                                      GOV__KEY_POOLING) == 0);
    if (!kv_told(s))
        return;
    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN,
                  gov__sat_mul(gov__sat_add(s->k, v_of(s)), 2));
    gov_facts_set(facts, GOV_FACT_MODEL_WINDOW_KV,
                  gov__sat_mul(gov__sat_add(s->window_k, window_v_of(s)), 2));
    if (s->window != 0)
        gov_facts_set(facts, GOV_FACT_MODEL_WINDOW,
                      gov__sat_add(s->window, GOV__BATCH_TOKENS));
    gov_facts_set(facts, GOV_FACT_MODEL_STATE, s->state);
    if (s->cacheless || s->k_block != 0)
        gov_facts_set(facts, GOV_FACT_MODEL_KV_QUANTIZABLE,
                      fits(s, GOV_KV_Q8_0) && !s->cacheless);
}

/* With the type that takes more: a quantized cache needs inputs of its own. */
static uint64_t compute_at(const gov_model *model, uint64_t cells,
                           uint64_t window)
{
    struct gov_need_request r = gov_need_request_default();
    uint64_t plain = gov__compute_bytes(model, &r, cells, window), quantized;

    r.k_type = r.v_type = GOV_KV_Q8_0;
    quantized = fits(&model->state, GOV_KV_Q8_0)
                    ? gov__compute_bytes(model, &r, cells, window)
                    : 0;
    return quantized > plain ? quantized : plain;
}

/* What each sequence after the first adds, at most: a row of outputs, a window
 * until that is the whole context, a state under way. Some of it only grows, some
 * stops growing, so more than one number of them is looked at. A batch is made a
 * multiple of their number, so that each may bring a token more. */
static uint64_t compute_each(const gov_model *model, uint64_t cells)
{
    static const uint32_t numbers[] = {1, 2, 256};
    uint64_t one = 0, most = 0;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct gov_need_request r = gov_need_request_default();
        uint64_t bytes, each = 0, others = numbers[i] - 1;

        r.context = cells < UINT32_MAX ? (uint32_t)cells : UINT32_MAX;
        r.sequences = numbers[i];
        bytes = gov__compute_bytes(model, &r, cells,
                                   count_cells(&model->state, &r).window);
        if (i == 0)
            one = bytes;
        if (bytes > one)
            each = (bytes - one) / others + 1;
        if (each > most)
            most = each;
    }
    return gov__sat_add(most, one / GOV__BATCH_TOKENS + 1);
}

/* The estimate is convex in cells, so the line through its ends, rounded up, is
 * never below it. */
static void set_compute_facts(const gov_model *model, struct gov_facts *facts)
{
    struct gov_need_request r = gov_need_request_default();
    uint64_t most = gov__header_single(&model->header, GOV__KEY_CONTEXT);
    uint64_t first = GOV__KV_BLOCK_TOKENS, last, low, high, each = 0;
    struct gov_need need = {0};
    struct cells cells;

    r.context = most != 0 && most < UINT32_MAX ? (uint32_t)most : 131072;
    cells = count_cells(&model->state, &r);
    last = cells.full > first ? cells.full : first + GOV__KV_BLOCK_TOKENS;
    low = compute_at(model, first, cells.window);
    high = compute_at(model, last, cells.window);
    if (low == 0 || high == 0)
        return;
    if (high > low)
        each = (high - low + (last - first) - 1) / (last - first);
    low = low > gov__sat_mul(each, first) ? low - each * first : 0;
    add_output(model, &r, &need);
    add_engine(model, &r, &need);
    gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE_PER_SEQUENCE,
                  gov__sat_add(compute_each(model, last), need.ram.output));
    gov_facts_set(facts, GOV_FACT_MODEL_ENGINE, need.engine);
    gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE,
                  gov__sat_add(low, need.ram.output));
    gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE_PER_TOKEN, each);
}

/* Of what each layer has of its own. Where the header counts other layers than
 * the engine places, it is not said which of them the last ones are. */
static void set_smallest_layer(const gov_model *model, struct gov_facts *facts)
{
    uint64_t layers = gov__header_single(&model->header, GOV__KEY_BLOCKS);
    uint64_t bytes[GOV__LAYERS_MAX] = {0}, least = UINT64_MAX;

    if (layers == 0 || layers != model->state.layers ||
        layers > GOV__LAYERS_MAX)
        return;
    for (size_t i = 0; i < model->unit_count; i++) {
        const struct gov_unit *unit = &model->units[i];

        if ((unit->kind == GOV_UNIT_LAYER || unit->kind == GOV_UNIT_EXPERTS) &&
            unit->layer < layers)
            bytes[unit->layer] =
                gov__sat_add(bytes[unit->layer], unit->tensor_bytes);
    }
    for (uint64_t i = 0; i < layers; i++)
        least = bytes[i] < least ? bytes[i] : least;
    gov_facts_set(facts, GOV_FACT_MODEL_SMALLEST_LAYER, least);
}

void gov_model_facts(const gov_model *model, struct gov_facts *facts)
{
    const struct gov__header *header = &model->header;
    const struct gov__model_sums *sums = &model->sums;
    uint64_t bytes = 0;

    for (size_t i = 0; i < header->file_count; i++)
        bytes = gov__sat_add(bytes, header->files[i].bytes);
    gov_facts_set_text(facts, GOV_FACT_MODEL_FORMAT, header->format);
    if (header->architecture[0] != '\0')
        gov_facts_set_text(facts, GOV_FACT_MODEL_ARCHITECTURE,
                           header->architecture);
    gov_facts_set_text(facts, GOV_FACT_MODEL_QUANTIZATION, sums->type);
    gov_facts_set(facts, GOV_FACT_MODEL_FILE, bytes);
    gov_facts_set(facts, GOV_FACT_MODEL_FILES, header->file_count);
    gov_facts_set(facts, GOV_FACT_MODEL_WEIGHTS, sums->weight_bytes);
    gov_facts_set(facts, GOV_FACT_MODEL_PASS, sums->sparse_pass);
    set_if(facts, GOV_FACT_MODEL_PARAMETERS, sums->parameters);
    gov_facts_set(facts, GOV_FACT_MODEL_LARGEST_UNIT, sums->largest_unit_bytes);
    set_smallest_layer(model, facts);
    gov_facts_set(facts, GOV_FACT_MODEL_REPACK, sums->repack_bytes);
    gov_facts_set(facts, GOV_FACT_MODEL_MOE,
                  gov__header_single(header, GOV__KEY_EXPERTS) > 0);
    gov_facts_set(facts, GOV_FACT_MODEL_EXPERTS,
                  gov__header_single(header, GOV__KEY_EXPERTS));
    gov_facts_set(facts, GOV_FACT_MODEL_EXPERTS_USED,
                  gov__header_largest(header, GOV__KEY_EXPERTS_USED));
    set_if(facts, GOV_FACT_MODEL_LAYERS,
           gov__header_single(header, GOV__KEY_BLOCKS));
    set_if(facts, GOV_FACT_MODEL_CONTEXT_MAX,
           gov__header_single(header, GOV__KEY_CONTEXT));
    set_kv_facts(model, facts);
    set_compute_facts(model, facts);
}
