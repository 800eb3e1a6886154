/* SPDX-License-Identifier: MIT */
/* Which cells of llama.cpp's KV cache hold tokens, and giving back the memory
 * behind those that do not. llama.cpp's API tells neither: both are learned by
 * watching the graph nodes that write the cache.
 *
 * The thread that drives the engine changes this, within a pass; gov__kv_release()
 * runs on any thread, between passes; the counters are for everybody. */
#ifndef GOV_ADAPTERS_LLAMA_KV_H
#define GOV_ADAPTERS_LLAMA_KV_H

#include <ggml.h>
#include <stdatomic.h>

#include "governor/governor.h"

#define GOV__KV_LAYERS 512

/* One layer's pair of tensors. Cells [0, high) may hold tokens; cells
 * [high, backed) hold none but have memory behind them; the rest has been given
 * back and not been written since. */
struct gov__kv_layer {
    const struct ggml_tensor *k, *v; /* NULL: not seen yet, or there is none */
    bool v_transposed;
    uint32_t cells, high, backed;
    /* State was restored, and which cells it took is a guess: those that hold it
     * are among [0, reach). All cells until a pass shows how far it reads; 0:
     * nothing was restored. */
    uint32_t reach;
};

struct gov__llama_kv {
    size_t page_bytes;
    uint32_t layers; /* those from here on were never seen */
    struct gov__kv_layer layer[GOV__KV_LAYERS];
    /* A write was not understood: nothing is given back until the cache is
     * cleared. */
    bool unknown;
    /* Not in this process's own memory, several streams, or the system takes
     * nothing back: nothing is ever given back. */
    bool ungovernable;
    /* While the context was made: buffers that were left without memory, and of
     * those that could be the ones that were not. */
    uint64_t fresh_bytes, cleared_bytes;
    _Atomic uint64_t reserved_bytes; /* for the whole context */
    _Atomic uint64_t used_bytes;     /* cells that may hold tokens */
    _Atomic uint64_t held_bytes;     /* cells with memory behind them */
    _Atomic uint64_t unused_bytes;   /* whole pages that could be given back */
    _Atomic uint64_t given_back_bytes;
};

/* Looks at one node about to be computed; remembers the cache tensors and the
 * cells it writes. */
void gov__kv_watch(struct gov__llama_kv *kv, const struct ggml_tensor *node);

/* The cache was cleared: no cell holds a token. */
void gov__kv_cleared(struct gov__llama_kv *kv);

/* The state of a sequence of so many tokens was put into a cleared cache: nothing
 * is given back until a pass has shown how far it reads. */
void gov__kv_restored(struct gov__llama_kv *kv, uint32_t tokens);

/* Brings the counters up to date with what was watched. */
void gov__kv_account(struct gov__llama_kv *kv);

/* Gives back every whole page that holds no token. */
void gov__kv_release(struct gov__llama_kv *kv);

#endif
