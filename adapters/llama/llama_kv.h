/* SPDX-License-Identifier: MIT */
/* Which cells of llama.cpp's KV caches hold tokens, of which sequence and at which
 * position, and giving back the memory behind those that hold none. llama.cpp's API
 * tells neither. What it does to cells is mirrored here: writes, by watching the
 * graph nodes that make them; all else, because the adapter says what it asks for
 * (gov__kv_removed() and the like, right after the engine's own call). What was
 * mirrored is compared with the engine's own view, the attention mask of the
 * sequence's next pass, after anything but plain writes; where they differ nothing is
 * given back any more until the cache is cleared or no sequence is left in it.
 *
 * A context has one cache or several (full attention and a sliding window have cells
 * of their own): layers that are written with the same row numbers share theirs.
 * A cell is one sequence's alone: the adapter never copies sequences, and a pass is
 * one sequence's. Where a model has a window a pass must be one graph (llama.cpp's
 * n_ubatch as its n_batch): of several the engine lets go of what the window hides
 * from the last before it computes the first, which is not seen. What is in use stays
 * all the same, but states become unknown.
 *
 * The thread that drives the engine changes this, between gov_pass_begin() and
 * gov_pass_end(); gov__kv_release() runs on any thread, between passes; the counters
 * are for everybody. */
#ifndef GOV_ADAPTERS_LLAMA_KV_H
#define GOV_ADAPTERS_LLAMA_KV_H

#include <ggml.h>
#include <stdatomic.h>

#include "governor/governor.h"

#define GOV__KV_LAYERS 512
#define GOV__KV_CACHES 4      /* of different cells, in one context */
#define GOV__KV_SEQUENCES 256 /* LLAMA_MAX_SEQ */

/* Which of a sequence's cells a cache shows to its attention. */
enum gov__kv_kind {
    GOV__KV_OPEN = 0,    /* nothing has been hidden yet: see `window` */
    GOV__KV_FULL = 1,    /* all of them */
    GOV__KV_WINDOW = 2,  /* the last `window` positions */
    GOV__KV_STRANGE = 3, /* some others */
};

/* The cells of one cache. Those of stream s are [s * per_stream, (s + 1) *
 * per_stream). All arrays are one block, of gov_alloc_default(). What is twofold is
 * that of K and that of V. */
struct gov__kv_cells {
    uint32_t per_stream, streams;
    uint16_t *owner; /* a sequence, plus 1; 0: the cell holds no token */
    int32_t *pos;
    uint8_t *backed; /* memory behind a cell's K (1), V (2) */
    /* Where the engine looks for free cells next, a stream each: it decides where a
     * restored sequence goes. */
    uint32_t *head;
    uint32_t used; /* cells that hold tokens */
    uint32_t used_by[GOV__KV_SEQUENCES];
    uint32_t held[2];  /* cells with memory behind them */
    uint32_t loose[2]; /* those of them that hold no token */
    uint64_t bytes[2]; /* of a cell, in all layers */
    uint64_t unused;   /* what could be given back, as of the last account */
    bool changed;      /* since then */
    /* Nothing is given back until the cache is cleared, or no sequence is left. */
    bool unknown;
    bool head_known;
    enum gov__kv_kind kind;
    /* The next mask of a sequence is compared; until then it is not sure where the
     * restored ones are, and nothing is given back either. */
    uint8_t check[GOV__KV_SEQUENCES];
    uint8_t unsure[GOV__KV_SEQUENCES];
    uint32_t unsure_count;
    uint8_t restored[GOV__KV_SEQUENCES]; /* and not compared since */
    uint8_t present[GOV__KV_SEQUENCES];  /* may have cells */
    /* The last graph that wrote to it, with these row numbers; and whether its mask
     * is still to be compared. */
    uint32_t graph;
    const struct ggml_tensor *rows;
    uint32_t stream;
    bool look;
};

/* One layer's pair of tensors. */
struct gov__kv_layer {
    const struct ggml_tensor *k, *v; /* NULL: not seen yet, or there is none */
    bool v_transposed;
    uint8_t cache;  /* its cells, plus 1; 0: not known yet */
    uint32_t graph; /* the last in which it was written to */
};

struct gov__llama_kv {
    size_t page_bytes;
    /* The model's window, 0: it has none. llama_model_n_swa(), before the first
     * pass. */
    uint32_t window;
    uint32_t layers; /* those from here on were never seen */
    struct gov__kv_layer layer[GOV__KV_LAYERS];
    uint32_t caches;
    struct gov__kv_cells cache[GOV__KV_CACHES];
    /* The pass under way: whose it is, which graph of all that were seen, the
     * position of its first token, and how many it has. */
    uint32_t sequence;
    uint32_t graph;
    int32_t next_pos;
    uint32_t tokens;
    bool looking; /* a cache has `look` */
    /* Positions were moved: the engine rotates all of K in the next pass; a node
     * that does was seen. */
    bool shifting, shift_seen;
    /* A state was put into caches that were never seen. */
    bool blind;
    /* Not in this process's own memory, no memory for the arrays, or the system takes
     * nothing back: nothing is ever given back. */
    bool ungovernable;
    bool on_device; /* K or V were seen in a device's memory */
    bool fresh;     /* the context was made without memory behind its caches */
    uint32_t disagreed; /* masks that were not as expected; tests ask */
    _Atomic uint64_t reserved_bytes; /* for the whole context */
    _Atomic uint64_t used_bytes;     /* cells that hold tokens */
    _Atomic uint64_t held_bytes;     /* cells with memory behind them */
    _Atomic uint64_t unused_bytes;   /* whole pages that could be given back */
    _Atomic uint64_t given_back_bytes;
};

/* Frees the arrays; all else stays. */
void gov__kv_close(struct gov__llama_kv *kv);

/* Before the engine decodes: tokens of this sequence, the first at `pos`, in this
 * order. */
void gov__kv_begin(struct gov__llama_kv *kv, uint32_t sequence, int32_t pos);

/* Looks at one node about to be computed. */
void gov__kv_watch(struct gov__llama_kv *kv, const struct ggml_tensor *node);

/* The engine's llama_memory_clear(). */
void gov__kv_cleared(struct gov__llama_kv *kv);

/* llama_memory_seq_rm() of positions [from, to), which returned true; to < 0: all from
 * `from` on. Also what the engine removes of itself when a pass was stopped, but not
 * from a model with recurrent state: there all of it stays. The memory can be given
 * back at once. */
void gov__kv_removed(struct gov__llama_kv *kv, uint32_t sequence, int32_t from,
                     int32_t to);

/* llama_memory_seq_add() of [from, to). */
void gov__kv_moved(struct gov__llama_kv *kv, uint32_t sequence, int32_t from,
                   int32_t to, int32_t by);

/* The positions that the state of a sequence has, in the order of its cells, as
 * stretches of successive ones: what gov__kv_restored() wants to know, in any context
 * of the same model. A cache that is not known has one stretch, of none. Writes at
 * most `room` stretches; returns how many there are, over all caches. */
struct gov__kv_stretch {
    uint32_t cache;
    int32_t pos;
    uint32_t count; /* 0: it is not known */
};
uint32_t gov__kv_stretches(const struct gov__llama_kv *kv, uint32_t sequence,
                           struct gov__kv_stretch *out, uint32_t room);

/* The engine has put the state of a sequence back, whose cells were as told: which
 * cells it took is predicted. Where that is not certain the next pass of the sequence
 * compares it; nothing of the cache is given back before. `stretches` NULL: it is not
 * known, and its caches become unknown. */
void gov__kv_restored(struct gov__llama_kv *kv, uint32_t sequence,
                      const struct gov__kv_stretch *stretches, uint32_t count);

/* Bytes of memory behind the cells of one sequence. */
uint64_t gov__kv_bytes_of(const struct gov__llama_kv *kv, uint32_t sequence);

/* Brings the counters up to date. Costs a few additions while no cell without a token
 * has memory behind it, else a look at all cells. */
void gov__kv_account(struct gov__llama_kv *kv);

/* Gives back every whole page that holds no token. Allocates nothing. */
void gov__kv_release(struct gov__llama_kv *kv);

#endif
