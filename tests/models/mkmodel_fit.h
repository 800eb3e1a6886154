/* SPDX-License-Identifier: MIT */
/* Meeting a file size: which preset, how many layers and how wide. Never writes
 * a file. */
#ifndef MKMODEL_FIT_H
#define MKMODEL_FIT_H

#include "mkmodel_options.h"
#include "mkmodel_preset.h"
#include "mkmodel_shape.h"

/* The plain Llama whose natural depth is nearest to what the size asks for. */
const struct mk_preset *mk_preset_for_size(const struct mk_request *request);

/* Sets the layers of a shape and trims its width. Exits with MK_USAGE and one
 * sentence if no number of layers comes near. */
void mk_fit_size(struct mk_shape *shape, const struct mk_request *request);

#endif
