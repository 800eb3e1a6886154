/* SPDX-License-Identifier: MIT */
/* See compute.h. What llama.cpp reserves is not the widest point of a graph, but
 * where its allocator (ggml/src/ggml-alloc.c) puts tensors there: a tensor goes to
 * the smallest gap that takes it, and gaps that take nothing are a tenth to a
 * third of the buffer. So this file replays the large tensors of a pass, layer by
 * layer, in the order of src/llama-graph.cpp and src/models/, into gaps of its
 * own. It knows a layer's kind, not its weights. */
#include <string.h>

#include "governor/model/compute_priv.h"
#include "governor/platform/platform.h"

/* Cells to write keys and values to, and which of them may be looked at. */
static uint64_t mask_of(const struct gov__pass *p, uint64_t cells,
                        uint64_t window_cells)
{
    uint64_t each = gov__sat_mul(p->tokens, p->flash ? 2 : 4);
    uint64_t mask = gov__sat_mul(each, gov__sat_add(cells, window_cells));
    uint64_t indices = 2;
    struct gov__heads heads = gov__heads_of(p, p->last_to_attend);

    if (mask == 0 || p->encoder)
        return mask;
    if (heads.latent != 0)
        indices = 1;
    else if (!p->flash) /* V lies across: an index for each element */
        indices = gov__sat_add(1, gov__sat_mul(heads.kv, heads.v));
    indices = gov__sat_mul(indices, window_cells != 0 ? 2 : 1);
    return gov__sat_add(mask,
                        gov__sat_mul(gov__sat_mul(indices, p->tokens), 8));
}

static uint64_t places_of(const struct gov__pass *p, uint64_t caches)
{
    uint64_t rotation = gov__heads_of(p, p->last_to_attend).k;
    uint64_t sum = gov__sat_mul(p->tokens, 4);

    if (!p->rotate_k)
        return sum;
    rotation &= ~rotation + 1; /* the power of two in it */
    return gov__sat_add(
        sum, gov__sat_mul(gov__sat_mul(rotation, rotation), 4 * caches));
}

/* The end of the buffer before the mask is freed goes to p->top, and that
 * afterwards is returned. */
static uint64_t replay(struct gov__pass *p, uint64_t mask, uint64_t caches)
{
    p->gaps = (struct gov__gaps){0};
    p->beside_scores = p->score_bytes = 0;
    p->rows = p->tokens;
    p->top = 0;
    take(p, TOKENS, rows_of(p, 1));
    take(p, INPUTS, rows_of(p, p->embedding));
    take(p, PLACES, places_of(p, caches));
    if (p->rotate_v)
        take(p, ROTATION, gov__sat_mul(caches, 16384)); /* 64 x 64 */
    take(p, MASK, mask);
    take(p, ROWS, gov__sat_mul(p->outputs, 4));
    take(p, DECAY, gov__pass_decay(p));
    take(p, RESIDUAL, rows_of(p, p->embedding));
    drop(p, TOKENS);
    if (p->encoder) /* it has a norm of its own */
        turn(p, RESIDUAL, rows_of(p, p->embedding));
    if ((p->traits & GEMMA) != 0)
        gov__pass_gemma_begins(p);
    for (uint64_t i = 0; i < p->layers; i++) {
        if ((p->traits & STACKED) != 0)
            gov__pass_gemma3n_layer(p, i);
        else if (p->architecture != NULL &&
                 p->architecture->recurrence == GOV__RECURRENCE_WKV)
            gov__pass_rwkv_layer(p, i);
        else
            gov__pass_layer(p, i);
    }
    if ((p->traits & STACKED) != 0)
        gov__pass_gemma3n_ends(p);
    if ((p->traits & (LATE | STACKED)) != 0) {
        p->rows = p->outputs;
        take(p, NORM, rows_of(p, p->embedding));
        drop(p, ROWS);
    }
    if ((p->traits & STACKED) != 0)
        drop(p, RESIDUAL);
    if ((p->traits & LAYER_NORM) != 0 && !p->encoder)
        turn(p, RESIDUAL, rows_of(p, p->embedding));
    if (!p->encoder)
        take(p, OUT, rows_of(p, p->vocabulary));
    return p->gaps.top;
}

static uint64_t count_tokens(const struct gov_model *model,
                             const struct gov_need_request *request,
                             bool encoder)
{
    uint64_t tokens = request->batch != 0 ? request->batch : 1;
    uint64_t context = request->context;
    uint64_t sequences = request->sequences != 0 ? request->sequences : 1;

    if (context == 0)
        context = gov__header_single(&model->header, GOV__KEY_CONTEXT);
    if (context != 0 && encoder) {
        /* Each sequence has whole blocks of cells, also without a cache. */
        uint64_t parts = request->unified ? 1 : sequences;

        context = gov__sat_mul(gov__kv_cells(context / parts), parts);
    }
    if (context != 0 && tokens > context)
        tokens = context;
    return (tokens + sequences - 1) / sequences * sequences;
}

static bool quantized(gov_kv_type type)
{
    uint32_t bytes;

    return gov_kv_type_block(type, &bytes) > 1;
}

/* Where some layers have experts and others have not, only tensors tell. */
static void find_experts(const struct gov__model_sums *sums,
                         struct gov__pass *p)
{
    p->fused_experts = sums->fused_experts;
    for (uint64_t i = 0; i < p->layers; i++) {
        if (of_layer(p, GOV__KEY_EXPERTS, i) != 0 &&
            sums->layer_has[i] != GOV__HAS_TENSORS &&
            i >= largest(p, GOV__KEY_DENSE_LEAD))
            p->kinds[i] |= SPARSE;
    }
}

static void find_kinds(const struct gov_model *model, struct gov__pass *p)
{
    for (uint64_t i = 0; i < p->layers; i++) {
        struct gov__layer_state kept;

        gov__state_layer(p->header, &model->state, (uint32_t)i, &kept);
        if (kept.state != 0) {
            p->kinds[i] |= RECURS;
            p->last_to_recur = i;
        }
        if (kept.k != 0 || kept.state == 0) {
            p->kinds[i] |= ATTENDS;
            p->last_to_attend = i;
        }
        if (kept.window)
            p->kinds[i] |= LOOKS_BACK;
        if (kept.k == 0 && kept.state == 0 && model->state.known && !p->encoder)
            p->kinds[i] |= BORROWS;
    }
    find_experts(&model->sums, p);
}

static void start(const struct gov_model *model,
                  const struct gov_need_request *request, struct gov__pass *p)
{
    const struct gov__header *h = &model->header;
    struct gov__heads heads;

    *p = (struct gov__pass){.header = h};
    p->architecture = gov__architecture_find(h->architecture);
    p->traits = gov__compute_traits(h->architecture);
    p->embedding = gov__header_single(h, GOV__KEY_EMBEDDING);
    p->layers = gov__header_single(h, GOV__KEY_BLOCKS);
    if (p->layers > GOV__LAYERS_MAX)
        p->layers = GOV__LAYERS_MAX;
    p->vocabulary = model->sums.vocabulary;
    p->encoder = model->state.cacheless;
    p->windows = model->state.window != 0;
    p->sequences = request->sequences != 0 ? request->sequences : 1;
    p->streams = request->unified ? 1 : p->sequences;
    p->tokens = count_tokens(model, request, p->encoder);
    p->outputs =
        request->outputs != 0 && !p->encoder && request->outputs < p->tokens
            ? request->outputs
            : p->tokens;
    if (p->outputs < p->sequences) /* the engine wants one for each */
        p->outputs = p->sequences;
    p->flash = request->flash_attention && !model->state.no_flash;
    find_kinds(model, p);
    heads = gov__heads_of(p, p->last_to_attend);
    if (heads.latent == 0 && !p->encoder) {
        p->rotate_k = quantized(request->k_type) && heads.k % 64 == 0;
        p->rotate_v = quantized(request->v_type) && heads.v % 64 == 0;
    }
}

/* What is left when the mask is freed, and the output after it. How much of it
 * fits where the mask was is no convex function of the mask, so this is a line
 * through two contexts, and not below that of none. Where it falls again with a
 * mask that has room for all of it, the line is level, half-way between. */
static uint64_t ending(struct gov__pass *p, uint64_t cells,
                       uint64_t window_cells, uint64_t caches)
{
    const uint64_t near = 4096, far = 32768, farthest = 131072;
    uint64_t none = replay(p, 0, caches);
    uint64_t low = replay(p, mask_of(p, near, window_cells), caches);
    uint64_t high = replay(p, mask_of(p, far, window_cells), caches);
    uint64_t out = low > high ? low : high;

    if (cells == 0)
        return none;
    if (high > low &&
        high > replay(p, mask_of(p, farthest, window_cells), caches))
        out = low + (high - low) / 2;
    else if (high > low && cells >= near)
        out = gov__sat_add(low,
                           gov__scaled(high - low, cells - near, far - near));
    else if (high > low)
        out = gov__less(low, gov__scaled(high - low, near - cells, far - near));
    return out > none ? out : none;
}

uint64_t gov__compute_bytes(const struct gov_model *model,
                            const struct gov_need_request *request,
                            uint64_t cells, uint64_t window_cells)
{
    struct gov__pass p;
    uint64_t caches = window_cells != 0 ? 2 : 1, mask, top, out;

    start(model, request, &p);
    if (p.embedding == 0 || p.layers == 0)
        return 0;
    if (model->state.known && model->state.k == 0 && model->state.window_k == 0)
        cells = window_cells = 0;
    if (p.encoder) {
        cells = p.tokens;
        window_cells = 0;
    }
    mask = mask_of(&p, cells, window_cells);
    out = p.encoder ? replay(&p, mask, caches)
                    : ending(&p, cells, window_cells, caches);
    replay(&p, 0, caches);
    top = gov__sat_add(p.top, mask);
    if (!p.flash && p.score_bytes != 0) {
        uint64_t scores = gov__sat_mul(
            p.score_bytes, cells > window_cells ? cells : window_cells);

        scores = gov__sat_add(gov__sat_add(p.beside_scores, scores), mask);
        if (top < scores)
            top = scores;
    }
    return top > out ? top : out;
}
