/* SPDX-License-Identifier: MIT */
#include "adapters/llama/llama_kv.h"

#include <ggml-backend.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/llama/llama_kv_cells.h"

/* ---- tensors ------------------------------------------------------------------- */

/* "cache_k_l12" is the K cache of layer 12. Recurrent state ("cache_r_l12",
 * "cache_s_l12") looks alike and must not match. */
int gov__kv_layer_of(const char *name, char which)
{
    char prefix[] = "cache_?_l";
    char *end;
    long layer;

    prefix[6] = which;
    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return -1;
    name += sizeof(prefix) - 1;
    if (*name < '0' || *name > '9')
        return -1;
    layer = strtol(name, &end, 10);
    return *end == '\0' && layer < GOV__KV_LAYERS ? (int)layer : -1;
}

/* Memory that ggml allocated for the processor alone. Memory pinned for a device
 * counts as the host's, too, and must stay where it is. */
static bool in_own_memory(const struct ggml_tensor *tensor)
{
    return tensor->buffer != NULL && tensor->data != NULL &&
           ggml_backend_buffer_get_type(tensor->buffer) ==
               ggml_backend_cpu_buffer_type();
}

bool gov__kv_readable(const struct ggml_tensor *tensor)
{
    return tensor->buffer != NULL && tensor->data != NULL &&
           ggml_backend_buffer_is_host(tensor->buffer);
}

/* ---- what there is ------------------------------------------------------------- */

/* One block: positions and heads, owners, and a byte a cell. */
static bool make_arrays(struct gov__kv_cells *cells, uint32_t per_stream,
                        uint32_t streams)
{
    const struct gov_alloc *alloc = gov_alloc_default();
    const size_t count = (size_t)per_stream * streams;
    const size_t bytes =
        count * (sizeof(*cells->pos) + sizeof(*cells->owner) + 1) +
        streams * sizeof(*cells->head);

    memset(cells, 0, sizeof(*cells));
    cells->pos = alloc->alloc(alloc->ctx, bytes);
    if (cells->pos == NULL)
        return false;
    memset(cells->pos, 0, bytes);
    cells->head = (uint32_t *)(cells->pos + count);
    cells->owner = (uint16_t *)(cells->head + streams);
    cells->backed = (uint8_t *)(cells->owner + count);
    cells->per_stream = per_stream;
    cells->streams = streams;
    cells->head_known = true;
    return true;
}

/* The cells of a layer whose K is written with these row numbers: those of another
 * layer in this graph, or new ones. */
static struct gov__kv_cells *cells_for(struct gov__llama_kv *kv,
                                       struct gov__kv_layer *layer,
                                       const struct ggml_tensor *rows)
{
    struct gov__kv_cells *cells = kv->cache;

    if (layer->cache != 0)
        return &kv->cache[layer->cache - 1];
    for (; cells < kv->cache + kv->caches; cells++)
        if (cells->graph == kv->graph && cells->rows == rows &&
            cells->per_stream == layer->k->ne[1] &&
            cells->streams == layer->k->ne[2])
            break;
    if (cells == kv->cache + kv->caches) {
        if (kv->caches == GOV__KV_CACHES ||
            !make_arrays(cells, (uint32_t)layer->k->ne[1],
                         (uint32_t)layer->k->ne[2])) {
            kv->ungovernable = true;
            return NULL;
        }
        kv->caches++;
        /* Where the engine has zeroed it there is memory behind all of it. */
        if (!kv->fresh)
            gov__kv_back_all(cells, GOV__KV_BOTH);
        if (kv->blind) { /* whoever it is of */
            memset(cells->present, 1, sizeof(cells->present));
            gov__kv_lost(cells);
        }
    }
    layer->cache = (uint8_t)(cells - kv->cache + 1);
    cells->bytes[GOV__KV_K] += layer->k->nb[1];
    if (layer->v != NULL)
        cells->bytes[GOV__KV_V] += layer->v->nb[1];
    return cells;
}

/* Remembers the tensor behind a write; false when nothing can be known of it. */
static bool learn(struct gov__llama_kv *kv, const struct ggml_tensor *root,
                  int index, bool is_k)
{
    struct gov__kv_layer *layer = &kv->layer[index];
    const struct ggml_tensor **slot = is_k ? &layer->k : &layer->v;
    const struct ggml_tensor *other = is_k ? layer->v : layer->k;

    if (*slot == root)
        return true;
    if (root->buffer != NULL && !ggml_backend_buffer_is_host(root->buffer))
        kv->on_device = true;
    /* K and V of one layer have the same cells. Two tensors of one name are those
     * of a kind of cache that is not known here. */
    if (!in_own_memory(root) || *slot != NULL || root->ne[3] != 1 ||
        root->ne[1] <= 0 || root->ne[2] <= 0 ||
        root->ne[2] > GOV__KV_SEQUENCES ||
        root->ne[1] > UINT32_MAX / root->ne[2] || !ggml_is_contiguous(root) ||
        (other != NULL &&
         (other->ne[1] != root->ne[1] || other->ne[2] != root->ne[2]))) {
        kv->ungovernable = true;
        return false;
    }
    *slot = root;
    if (!is_k && layer->cache != 0)
        kv->cache[layer->cache - 1].bytes[GOV__KV_V] += root->nb[1];
    atomic_fetch_add(&kv->reserved_bytes, ggml_nbytes(root));
    if ((uint32_t)index >= kv->layers)
        kv->layers = (uint32_t)index + 1;
    return true;
}

void gov__kv_close(struct gov__llama_kv *kv)
{
    const struct gov_alloc *alloc = gov_alloc_default();

    for (uint32_t i = 0; i < kv->caches; i++)
        alloc->release(alloc->ctx, kv->cache[i].pos);
    memset(kv->cache, 0, sizeof(kv->cache));
    memset(kv->layer, 0, sizeof(kv->layer));
    kv->caches = kv->layers = 0;
}

/* ---- watching ------------------------------------------------------------------ */

static void next_graph(struct gov__llama_kv *kv)
{
    kv->graph++;
    kv->next_pos += (int32_t)kv->tokens;
    kv->tokens = 0;
}

void gov__kv_begin(struct gov__llama_kv *kv, uint32_t sequence, int32_t pos)
{
    next_graph(kv);
    kv->sequence = sequence;
    kv->next_pos = pos;
    kv->looking = false;
    for (uint32_t i = 0; i < kv->caches; i++)
        kv->cache[i].look = false;
}

/* The graph that rotates K has been computed by now. Where the engine did not show
 * it, all of K has memory all the same. */
static void end_shift(struct gov__llama_kv *kv)
{
    for (uint32_t i = 0; !kv->shift_seen && i < kv->caches; i++)
        gov__kv_back_all(&kv->cache[i], GOV__KV_K);
    kv->shifting = kv->shift_seen = false;
}

/* The mask tells something that is not known: whether the mirror is right, or which
 * cells this cache hides. Of the latter there is nothing to see in a conversation
 * shorter than half a window. */
static bool wants_look(const struct gov__llama_kv *kv,
                       const struct gov__kv_cells *cells)
{
    return !cells->unknown &&
           (cells->check[kv->sequence] ||
            (cells->kind == GOV__KV_OPEN && kv->window > 0 &&
             kv->next_pos + (int64_t)kv->tokens > kv->window / 2));
}

/* A K write: its row numbers, an input of the graph, are the cells. */
static void wrote(struct gov__llama_kv *kv, struct gov__kv_cells *cells,
                  const struct ggml_tensor *node)
{
    const struct ggml_tensor *rows = node->src[1];

    if (cells->graph == kv->graph)
        return;
    cells->graph = kv->graph;
    cells->rows = rows;
    if (rows == NULL || rows->type != GGML_TYPE_I64 || rows->ne[0] <= 0 ||
        rows->ne[0] > INT32_MAX || !gov__kv_readable(rows)) {
        gov__kv_lost(cells);
        return;
    }
    kv->tokens = (uint32_t)rows->ne[0];
    if (!gov__kv_has_stream(cells, kv->sequence)) {
        gov__kv_lost(cells);
        return;
    }
    cells->stream = gov__kv_stream(cells, kv->sequence);
    if (!gov__kv_place(cells, kv->sequence, rows->data, kv->tokens,
                       kv->next_pos))
        gov__kv_lost(cells);
    cells->look = wants_look(kv, cells);
    kv->looking |= cells->look;
}

static void write_k(struct gov__llama_kv *kv, const struct ggml_tensor *node,
                    const struct ggml_tensor *root, int index)
{
    struct gov__kv_layer *layer = &kv->layer[index];
    struct gov__kv_cells *cells;

    if (!learn(kv, root, index, true))
        return;
    if (layer->graph == kv->graph)
        next_graph(kv);
    layer->graph = kv->graph;
    if (kv->shifting)
        end_shift(kv);
    cells = cells_for(kv, layer, node->src[1]);
    if (cells == NULL)
        return;
    cells->present[kv->sequence % GOV__KV_SEQUENCES] = 1;
    if (node->ne[0] == root->ne[0])
        wrote(kv, cells, node);
    else
        gov__kv_lost(cells);
}

/* Something else writes to a cache: all of it, as far as is known. The engine
 * rotates K that way. */
static void touched(struct gov__llama_kv *kv, const struct ggml_tensor *root,
                    int index, bool is_k)
{
    const struct gov__kv_layer *layer = &kv->layer[index];

    kv->shift_seen |= kv->shifting && is_k;
    if (layer->cache == 0)
        return;
    if ((is_k ? layer->k : layer->v) != root)
        kv->ungovernable = true;
    gov__kv_back_all(&kv->cache[layer->cache - 1],
                     is_k ? GOV__KV_K : GOV__KV_V);
}

void gov__kv_watch(struct gov__llama_kv *kv, const struct ggml_tensor *node)
{
    const struct ggml_tensor *root = node->view_src;
    int index;
    bool is_k;

    if (node->op == GGML_OP_FLASH_ATTN_EXT || node->op == GGML_OP_SOFT_MAX)
        gov__kv_look(kv, node);
    if (root == NULL || node->op == GGML_OP_VIEW ||
        node->op == GGML_OP_RESHAPE || node->op == GGML_OP_PERMUTE ||
        node->op == GGML_OP_TRANSPOSE)
        return;
    while (root->view_src != NULL)
        root = root->view_src;
    index = gov__kv_layer_of(root->name, 'k');
    is_k = index >= 0;
    if (!is_k)
        index = gov__kv_layer_of(root->name, 'v');
    if (index < 0)
        return;
    if (node->op != GGML_OP_SET_ROWS)
        touched(kv, root, index, is_k);
    else if (is_k)
        write_k(kv, node, root, index);
    /* Without flash attention V is stored transposed and written one element a
     * row. Its cells are K's. */
    else if (learn(kv, root, index, false))
        kv->layer[index].v_transposed = node->ne[0] == 1 && root->ne[0] != 1;
}
