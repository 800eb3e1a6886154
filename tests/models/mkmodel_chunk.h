/* SPDX-License-Identifier: MIT */
/* The data section cut into runs of blocks that can be filled in any order:
 * each with one spread and a random stream of its own, so that the bytes do not
 * depend on who fills them when. Never writes a file. */
#ifndef MKMODEL_CHUNK_H
#define MKMODEL_CHUNK_H

#include "mkmodel_plan.h"

enum { MK_CHUNK_BYTES = 4 << 20 };

struct mk_chunk {
    const struct mk_type *type;
    uint64_t blocks;
    uint64_t at; /* in the file */
    uint64_t std_q28;
    uint64_t seed;
};

struct mk_chunks {
    struct mk_chunk *list;
    size_t count;
    size_t cap;
};

/* data_at is where the data section begins in the file. */
void mk_chunks_init(struct mk_chunks *chunks, const struct mk_shape *shape,
                    const struct mk_plan *plan, uint64_t data_at);
void mk_chunks_fini(struct mk_chunks *chunks);

#endif
