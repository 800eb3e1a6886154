/* SPDX-License-Identifier: MIT */
/* An estimate of llama.cpp's compute buffers: what of a pass over a batch is in
 * memory at once. Pure arithmetic on a header and the shapes of tensors. */
#ifndef GOV_MODEL_COMPUTE_H
#define GOV_MODEL_COMPUTE_H

#include "governor/model/model_priv.h"

/* Bytes that llama.cpp reserves for a graph of that request, whose layers have
 * `cells` cells and, where they look back over a window, `window_cells`. 0 when
 * it cannot be told. For a given request it is a convex function of `cells`, so
 * that a line through two of its points is never below it between them. */
uint64_t gov__compute_bytes(const struct gov_model *model,
                            const struct gov_need_request *request,
                            uint64_t cells, uint64_t window_cells);

#endif
