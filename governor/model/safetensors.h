/* SPDX-License-Identifier: MIT */
/* Reads the headers of a model in safetensors: one file, the shards of an index,
 * or a directory of either, and the configuration beside them. */
#ifndef GOV_MODEL_SAFETENSORS_H
#define GOV_MODEL_SAFETENSORS_H

#include "governor/model/header.h"

/* The path is that of a directory, of a .safetensors file or of a .index.json. Of
 * a shard all are read: those that an index beside it lists or, without one, those
 * that its name tells of. On failure *out holds nothing that must be released.
 * Status codes are gov_model_open()'s. */
gov_status gov__safetensors_open(struct gov__header *out, const char *path,
                                 const struct gov_alloc *alloc, gov_error *err);

#endif
