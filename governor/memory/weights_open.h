/* SPDX-License-Identifier: MIT */
/* A model's files that the library mapped itself, and the tensors of them that
 * had to be copied. Owns those mappings and that memory, and no descriptor. What
 * is in a mapping, file or anchored, is not its business: it unmaps all. */
#ifndef GOV_MEMORY_WEIGHTS_OPEN_H
#define GOV_MEMORY_WEIGHTS_OPEN_H

#include "governor/platform/platform.h"
#include "governor/weights.h"

struct gov__weights_owned {
    struct gov_alloc alloc;
    const struct gov_platform *platform; /* borrowed */
    const gov_model *model;              /* borrowed */

    /* One a file: mapped whole, from offset 0; bytes are the file's. */
    struct gov_weights_place *places;
    size_t file_count;

    /* NULL and 0 where every tensor is used in place. */
    char *copies;
    uint64_t copied_bytes; /* of that memory: whole pages */
    uint64_t *copied_at;   /* one a tensor: where in `copies` it is, or
                            * GOV__NOT_COPIED */
    bool *unit_copied;     /* one a unit: all its tensors are there */
};

#define GOV__NOT_COPIED UINT64_MAX

/* Maps the files and copies what is not aligned. On success *out is the caller's,
 * gov__weights_owned_free(). options as gov__weights_read_options() left them. */
gov_status gov__weights_owned_new(struct gov__weights_owned **out,
                                  const struct gov_platform *platform,
                                  const gov_model *model,
                                  const struct gov_weights_options *options,
                                  gov_error *err);

/* Unmaps and frees. Accepts NULL. */
void gov__weights_owned_free(struct gov__weights_owned *owned);

/* All tensors of that unit were copied: nobody reads it in the mapping, so that
 * nothing of it need be brought in. owned may be NULL. */
static inline bool
gov__weights_owned_copied(const struct gov__weights_owned *owned, uint32_t unit)
{
    return owned != NULL && owned->unit_copied != NULL &&
           owned->unit_copied[unit];
}

#endif
