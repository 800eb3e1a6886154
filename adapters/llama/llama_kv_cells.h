/* SPDX-License-Identifier: MIT */
/* What the files of the mirror of KV caches share: llama_kv.c watches the graph,
 * llama_kv_cells.c is the engine's own changes to cells, llama_kv_mask.c compares,
 * llama_kv_give.c counts and gives back. */
#ifndef GOV_ADAPTERS_LLAMA_KV_CELLS_H
#define GOV_ADAPTERS_LLAMA_KV_CELLS_H

#include "adapters/llama/llama_kv.h"

enum { GOV__KV_K = 0, GOV__KV_V = 1, GOV__KV_BOTH = 2 };

/* The layer that a tensor of this name is the K ('k') or V cache of, or -1. */
int gov__kv_layer_of(const char *name, char which);
/* The host's memory, which may be read. */
bool gov__kv_readable(const struct ggml_tensor *tensor);

/* Where a sequence's cells are: its stream, or the one that all share; and whether
 * there is such a one. */
uint32_t gov__kv_stream(const struct gov__kv_cells *cells, uint32_t sequence);
bool gov__kv_has_stream(const struct gov__kv_cells *cells, uint32_t sequence);

/* ---- llama_kv_cells.c ---- */

/* A free cell gets a token; one is freed; memory comes behind one (`which`: K, V or
 * both). The sums follow. */
void gov__kv_occupy(struct gov__kv_cells *cells, uint32_t cell,
                    uint32_t sequence, int32_t pos);
void gov__kv_vacate(struct gov__kv_cells *cells, uint32_t cell);
void gov__kv_back(struct gov__kv_cells *cells, uint32_t cell, int which);
/* Memory came behind all cells. */
void gov__kv_back_all(struct gov__kv_cells *cells, int which);
/* Puts a sequence's tokens into cells as the engine does, and frees what it frees for
 * them; `cell` are of the whole cache. False when one is out of range, with nothing
 * done. */
bool gov__kv_place(struct gov__kv_cells *cells, uint32_t sequence,
                   const int64_t *cell, uint32_t count, int32_t pos);
/* It is not known any more which cells hold tokens. */
void gov__kv_lost(struct gov__kv_cells *cells);

/* ---- llama_kv_mask.c ---- */

/* Compares what an attention node is going to see, where that is due. */
void gov__kv_look(struct gov__llama_kv *kv, const struct ggml_tensor *node);

#endif
