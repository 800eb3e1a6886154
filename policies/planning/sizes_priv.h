/* SPDX-License-Identifier: MIT */
/* Arithmetic of what stays in memory, which a plan and a table of machines have
 * in common. A sum that does not fit 64 bits is UINT64_MAX: more than anybody
 * has. */
#ifndef GOV_POLICIES_SIZES_PRIV_H
#define GOV_POLICIES_SIZES_PRIV_H

#include "policies/plan.h"

uint64_t gov__sat_add(uint64_t a, uint64_t b);
uint64_t gov__sat_mul(uint64_t a, uint64_t b);

/* a * b / c, rounded down; UINT64_MAX where that does not fit or c is 0. */
uint64_t gov__scaled(uint64_t a, uint64_t b, uint64_t c);

/* llama.cpp makes room for whole blocks of 256 tokens, whatever is asked for
 * (GGML_PAD(n_ctx, 256) in src/llama-context.cpp). An engine with smaller blocks
 * uses at most that much less. */
#define GOV__KV_BLOCK_TOKENS 256
uint64_t gov__kv_cells(uint64_t context);

/* Tokens that a pass takes at most: llama.cpp's default micro-batch, and our
 * adapter's. model.window has room for one beside the window itself. */
#define GOV__BATCH_TOKENS 512

/* What takes so many bytes as f16, in elements of another type; UINT64_MAX for
 * what is no type. Exact where it is whole blocks, else rounded up. */
uint64_t gov__kv_of_f16(uint64_t f16_bytes, gov_kv_type type);

/* Least units of a streamed model in memory: one in use, one arriving, one leaving,
 * which past the page cache has left before. */
#define GOV__WINDOW_UNITS 3

/* Weights that may stay when the rest is streamed through `window` bytes, which
 * fit `room`: the budget less KV and buffers. */
uint64_t gov__streamed_hot(uint64_t room, uint64_t window, uint64_t weights);

/* What `cold` bytes take at most while they pass through a window of so many bytes
 * of whole layers, where they are of layers of `of` bytes, the same share of
 * each. */
uint64_t gov__streamed_window(uint64_t window, uint64_t cold, uint64_t of);

#endif
