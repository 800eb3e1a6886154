/* SPDX-License-Identifier: MIT */
#include "adapters/llama/llama_kv.h"

#include <ggml-backend.h>
#include <stdlib.h>
#include <string.h>

/* ---- watching ---------------------------------------------------------------- */

/* "cache_k_l12" is the K cache of layer 12. Recurrent state ("cache_r_l12",
 * "cache_s_l12") looks alike and must not match. */
static int cache_layer(const char *name, char which)
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

static bool readable(const struct ggml_tensor *tensor)
{
    return tensor->buffer != NULL && tensor->data != NULL &&
           ggml_backend_buffer_is_host(tensor->buffer);
}

/* Remembers the tensor behind a write; false when it is not to be governed. */
static bool learn(struct gov__llama_kv *kv, const struct ggml_tensor *root,
                  int index, bool is_k)
{
    struct gov__kv_layer *layer = &kv->layer[index];
    const struct ggml_tensor **slot = is_k ? &layer->k : &layer->v;

    if (*slot == root)
        return true;
    /* One stream, and K and V of one layer have the same cells. */
    if (!in_own_memory(root) || root->ne[2] != 1 || root->ne[3] != 1 ||
        root->ne[1] <= 0 || root->ne[1] > UINT32_MAX ||
        (layer->cells != 0 && layer->cells != root->ne[1])) {
        kv->ungovernable = true;
        return false;
    }
    *slot = root;
    /* Where the engine has zeroed it there is memory behind all of it. */
    if (layer->cells == 0 && (kv->fresh_bytes == 0 || kv->cleared_bytes > 0))
        layer->backed = (uint32_t)root->ne[1];
    layer->cells = (uint32_t)root->ne[1];
    if ((uint32_t)index >= kv->layers)
        kv->layers = (uint32_t)index + 1;
    return true;
}

/* The cells a K write fills are its row numbers, an input of the graph. */
static void mark(struct gov__llama_kv *kv, struct gov__kv_layer *layer,
                 const struct ggml_tensor *rows)
{
    const int64_t *row;

    if (rows == NULL || rows->type != GGML_TYPE_I64 || !readable(rows)) {
        kv->unknown = true;
        return;
    }
    row = rows->data;
    for (int64_t i = 0; i < rows->ne[0]; i++) {
        if (row[i] < 0 || row[i] >= layer->cells) {
            kv->unknown = true;
            return;
        }
        if (row[i] >= layer->high)
            layer->high = (uint32_t)row[i] + 1;
    }
    if (layer->high > layer->backed)
        layer->backed = layer->high;
}

/* Attention reads K through a view of the cells from the first on, behind the
 * last that holds a token of any sequence (get_n_kv() in llama-kv-cache.cpp). */
static void bound(struct gov__llama_kv *kv, const struct ggml_tensor *root,
                  const struct ggml_tensor *view)
{
    int index = cache_layer(root->name, 'k');
    struct gov__kv_layer *layer;

    if (index < 0)
        return;
    layer = &kv->layer[index];
    if (layer->k == root && view->view_offs == 0 && view->ne[3] == 1 &&
        view->ne[0] * view->ne[1] == root->ne[0] &&
        view->nb[2] == root->nb[1] && view->ne[2] < layer->reach)
        layer->reach = (uint32_t)view->ne[2];
}

void gov__kv_watch(struct gov__llama_kv *kv, const struct ggml_tensor *node)
{
    const struct ggml_tensor *root = node->view_src;
    int index;

    if ((node->op != GGML_OP_SET_ROWS && node->op != GGML_OP_VIEW) ||
        root == NULL)
        return;
    while (root->view_src != NULL)
        root = root->view_src;
    if (node->op == GGML_OP_VIEW) {
        bound(kv, root, node);
        return;
    }
    index = cache_layer(root->name, 'k');
    if (index >= 0) {
        if (learn(kv, root, index, true))
            mark(kv, &kv->layer[index], node->src[1]);
        return;
    }
    index = cache_layer(root->name, 'v');
    /* Without flash attention V is stored transposed and written one element a
     * row. Its cells are K's. */
    if (index >= 0 && learn(kv, root, index, false))
        kv->layer[index].v_transposed = node->ne[0] == 1 && root->ne[0] != 1;
}

void gov__kv_cleared(struct gov__llama_kv *kv)
{
    for (uint32_t i = 0; i < kv->layers; i++)
        kv->layer[i].high = kv->layer[i].reach = 0;
    kv->unknown = false;
    gov__kv_account(kv);
}

/* A cleared cache is filled from its first cell on. The counters rely on it;
 * what is given back does not. */
void gov__kv_restored(struct gov__llama_kv *kv, uint32_t tokens)
{
    for (uint32_t i = 0; i < kv->layers; i++) {
        struct gov__kv_layer *layer = &kv->layer[i];

        layer->reach = layer->cells;
        layer->high = tokens < layer->cells ? tokens : layer->cells;
        if (layer->high > layer->backed)
            layer->backed = layer->high;
    }
    gov__kv_account(kv);
}

/* ---- ranges ------------------------------------------------------------------ */

/* What happens to each range: counted, or given back. Returns bytes. */
typedef uint64_t (*range_fn)(const struct gov__llama_kv *kv, char *start,
                             size_t bytes);

static uint64_t count_range(const struct gov__llama_kv *kv, char *start,
                            size_t bytes)
{
    uintptr_t mask = kv->page_bytes - 1;
    uintptr_t from = ((uintptr_t)start + mask) & ~mask;
    uintptr_t to = ((uintptr_t)start + bytes) & ~mask;

    return from < to ? to - from : 0;
}

/* The cells hold nothing: no token refers to them, and attention masks them, so
 * that they read as zeros afterwards changes no logit. */
static uint64_t discard_range(const struct gov__llama_kv *kv, char *start,
                              size_t bytes)
{
    (void)kv;
    return gov_discard(start, bytes);
}

/* Adds up fn over every stretch of a tensor that holds cells [from, to) and no
 * other. */
static uint64_t each_range(const struct gov__llama_kv *kv,
                           const struct ggml_tensor *tensor, bool transposed,
                           const uint32_t cells[2], range_fn fn)
{
    const size_t element = tensor->nb[0], count = cells[1] - cells[0];
    char *base = tensor->data;
    uint64_t total = 0;

    if (!transposed) /* one row a cell */
        return fn(kv, base + cells[0] * tensor->nb[1], count * tensor->nb[1]);
    /* One row an element of the embedding, cells side by side in it. Rows may
     * be shorter than pages; an empty cache is one stretch. */
    if (cells[0] == 0)
        return fn(kv, base, ggml_nbytes(tensor));
    for (int64_t i = 0; i < tensor->ne[0]; i++) {
        char *row = base + (size_t)(i * tensor->ne[1]) * element;

        total += fn(kv, row + cells[0] * element, count * element);
    }
    return total;
}

/* From here on no cell holds a token. */
static uint32_t first_unused(const struct gov__kv_layer *layer)
{
    return layer->high > layer->reach ? layer->high : layer->reach;
}

/* From the first unused cell to the last that has memory behind it; or to the
 * last of all, which reaches the page that those two share. */
static uint64_t walk(const struct gov__llama_kv *kv, bool to_the_end,
                     range_fn fn)
{
    uint64_t total = 0;

    if (kv->unknown || kv->ungovernable)
        return 0;
    for (uint32_t i = 0; i < kv->layers; i++) {
        const struct gov__kv_layer *layer = &kv->layer[i];
        const uint32_t cells[2] = {first_unused(layer),
                                   to_the_end ? layer->cells : layer->backed};

        /* Without K nobody has told which cells are in use. */
        if (layer->k == NULL || cells[0] >= layer->backed)
            continue;
        total += each_range(kv, layer->k, false, cells, fn);
        if (layer->v != NULL)
            total += each_range(kv, layer->v, layer->v_transposed, cells, fn);
    }
    return total;
}

void gov__kv_account(struct gov__llama_kv *kv)
{
    uint64_t reserved = 0, used = 0, held = 0;

    for (uint32_t i = 0; i < kv->layers; i++) {
        const struct gov__kv_layer *layer = &kv->layer[i];
        uint64_t bytes = 0;

        if (layer->k != NULL)
            bytes += ggml_nbytes(layer->k);
        if (layer->v != NULL)
            bytes += ggml_nbytes(layer->v);
        if (bytes == 0)
            continue;
        reserved += bytes;
        used += bytes / layer->cells * layer->high;
        held += bytes / layer->cells * layer->backed;
    }
    atomic_store(&kv->reserved_bytes, reserved);
    atomic_store(&kv->used_bytes, used);
    atomic_store(&kv->held_bytes, held);
    atomic_store(&kv->unused_bytes, walk(kv, false, count_range));
}

void gov__kv_release(struct gov__llama_kv *kv)
{
    uint64_t bytes = walk(kv, false, count_range);

    if (bytes == 0)
        return;
    if (walk(kv, true, discard_range) == 0) {
        /* Locked into memory, say: do not offer it again. */
        kv->ungovernable = true;
    } else {
        for (uint32_t i = 0; i < kv->layers; i++) {
            struct gov__kv_layer *layer = &kv->layer[i];

            if (layer->k != NULL && first_unused(layer) < layer->backed)
                layer->backed = first_unused(layer);
        }
        atomic_fetch_add(&kv->given_back_bytes, bytes);
    }
    gov__kv_account(kv);
}
