/* SPDX-License-Identifier: MIT */
/* The attention mask is the engine's own view of its cells: what a token sees is its
 * sequence's, at its position or before it. */
#include <ggml-backend.h>
#include <math.h>

#include "adapters/llama/llama_kv_cells.h"

/* ---- where it is --------------------------------------------------------------- */

/* The K cache behind what attention multiplies: through views, and through what is
 * done to the product on its way. NULL: it is not of a cache. */
static const struct ggml_tensor *cache_behind(const struct ggml_tensor *t)
{
    for (int steps = 0; t != NULL && steps < 16; steps++) {
        if (gov__kv_layer_of(t->name, 'k') >= 0 && t->view_src == NULL)
            return t;
        t = t->view_src != NULL ? t->view_src : t->src[0];
    }
    return NULL;
}

/* A mask that is filled in before the pass and not computed in it, of so many tokens
 * of one stream. */
static bool usable(const struct ggml_tensor *mask, uint32_t tokens,
                   const struct gov__kv_cells *cells)
{
    return mask != NULL && mask->op == GGML_OP_NONE && mask->view_src == NULL &&
           (mask->type == GGML_TYPE_F16 || mask->type == GGML_TYPE_F32) &&
           ggml_is_contiguous(mask) && gov__kv_readable(mask) &&
           mask->ne[0] <= cells->per_stream && mask->ne[1] >= tokens &&
           mask->ne[2] == 1 && mask->ne[3] == 1;
}

static bool visible(const struct ggml_tensor *mask, uint32_t token,
                    uint32_t cell)
{
    const size_t at = (size_t)token * (size_t)mask->ne[0] + cell;

    if (mask->type == GGML_TYPE_F16)
        return ((const ggml_fp16_t *)mask->data)[at] != 0xfc00; /* -infinity */
    return ((const float *)mask->data)[at] != -INFINITY;
}

/* ---- what it says -------------------------------------------------------------- */

struct view {
    bool stranger; /* a cell is seen that is not the sequence's, or is later */
    bool hidden;   /* one of its cells is not seen */
    bool far;    /* one is seen from as far as the window is wide, or farther */
    bool framed; /* what is seen is what is nearer */
};

static void add_row(struct view *view, const struct gov__llama_kv *kv,
                    const struct gov__kv_cells *cells,
                    const struct ggml_tensor *mask, uint32_t token)
{
    const uint32_t first = cells->stream * cells->per_stream;
    const int32_t pos = kv->next_pos + (int32_t)token;

    for (uint32_t i = 0; i < cells->per_stream; i++) {
        const uint32_t at = first + i;
        const bool own =
            cells->owner[at] == kv->sequence + 1 && cells->pos[at] <= pos;
        const bool seen = i < mask->ne[0] && visible(mask, token, i);
        const bool far = own && pos - (int64_t)cells->pos[at] >= kv->window;

        view->stranger |= seen && !own;
        view->hidden |= own && !seen;
        view->far |= seen && far;
        view->framed &= seen == (own && !far);
    }
}

/* Whether that is what was expected. Finds out which cells the cache hides. */
static bool agrees(const struct gov__llama_kv *kv, struct gov__kv_cells *cells,
                   const struct view *view)
{
    const bool unsure = cells->unsure[kv->sequence];

    if (view->stranger)
        return false;
    if (cells->kind == GOV__KV_OPEN && kv->window > 0) {
        if (view->far)
            cells->kind = GOV__KV_FULL;
        else if (view->hidden)
            cells->kind = GOV__KV_WINDOW;
    }
    if (cells->kind == GOV__KV_WINDOW && !view->framed) {
        /* Chunks look like a window now and then. */
        cells->kind = GOV__KV_STRANGE;
        return !unsure;
    }
    return cells->kind == GOV__KV_WINDOW || cells->kind == GOV__KV_STRANGE ||
           !view->hidden;
}

/* The first token sees what was there before, the last what the pass wrote, too. */
static void compare(struct gov__llama_kv *kv, struct gov__kv_cells *cells,
                    const struct ggml_tensor *mask)
{
    struct view view = {false, false, false, true};

    add_row(&view, kv, cells, mask, 0);
    if (kv->tokens > 1)
        add_row(&view, kv, cells, mask, kv->tokens - 1);
    if (!agrees(kv, cells, &view)) {
        kv->disagreed++;
        gov__kv_lost(cells);
        return;
    }
    cells->check[kv->sequence] = cells->restored[kv->sequence] = 0;
    cells->unsure_count -= cells->unsure[kv->sequence];
    cells->unsure[kv->sequence] = 0;
}

void gov__kv_look(struct gov__llama_kv *kv, const struct ggml_tensor *node)
{
    const bool flash = node->op == GGML_OP_FLASH_ATTN_EXT;
    const struct ggml_tensor *mask = node->src[flash ? 3 : 1], *k;
    struct gov__kv_cells *cells;
    int layer;

    if (!kv->looking)
        return;
    k = cache_behind(flash ? node->src[1] : node->src[0]);
    if (k == NULL)
        return;
    layer = gov__kv_layer_of(k->name, 'k');
    if (kv->layer[layer].k != k || kv->layer[layer].cache == 0)
        return;
    cells = &kv->cache[kv->layer[layer].cache - 1];
    if (!cells->look || cells->graph != kv->graph ||
        !usable(mask, kv->tokens, cells))
        return;
    cells->look = kv->looking = false;
    for (uint32_t i = 0; i < kv->caches; i++)
        kv->looking |= kv->cache[i].look;
    compare(kv, cells, mask);
}
