/* SPDX-License-Identifier: MIT */
/* Reads the headers of a GGUF model (version 2 or 3, little-endian): of one file,
 * or of all parts of a split one. */
#ifndef GOV_MODEL_GGUF_H
#define GOV_MODEL_GGUF_H

#include "governor/model/header.h"

/* `path` names the file, or any of the parts. On failure *out holds nothing that
 * must be released. Fails as gov_model_open() does. */
gov_status gov__gguf_open(struct gov__header *out, const char *path,
                          const struct gov_alloc *alloc, gov_error *err);

#endif
