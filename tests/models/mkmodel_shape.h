/* SPDX-License-Identifier: MIT */
/* From what was asked to a shape: presets, defaults, the size to meet, and the
 * checks that a shape can be built. Never writes a file. */
#ifndef MKMODEL_SHAPE_H
#define MKMODEL_SHAPE_H

#include "mkmodel_options.h"
#include "mkmodel_plan.h"
#include "mkmodel_preset.h"

/* Exits with MK_USAGE and one sentence if no such model can be built. */
void mk_shape_init(struct mk_shape *shape, const struct mk_request *request);

/* What the request makes of a preset, unchecked but for names. */
void mk_shape_from(struct mk_shape *shape, const struct mk_request *request,
                   const struct mk_preset *preset);

/* Bytes of the whole file. */
uint64_t mk_shape_bytes(const struct mk_shape *shape);

void mk_presets_help(void);

#endif
