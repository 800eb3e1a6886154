/* SPDX-License-Identifier: MIT */
/* The data section cut into runs of blocks that can be filled in any order:
 * each with one spread and a random stream of its own, so that the bytes do not
 * depend on who fills them when. Never writes a file. */
#include "mkmodel_chunk.h"

#include "mkmodel_base.h"
#include "mkmodel_vocab.h"

#include <stdlib.h>
#include <string.h>

static void add_chunks(struct mk_chunks *chunks, struct mk_chunk run)
{
    uint64_t most = MK_CHUNK_BYTES / run.type->block_bytes;
    uint64_t left = run.blocks;

    for (uint64_t i = 0; left != 0; i++) {
        struct mk_chunk *chunk;

        if (chunks->count == chunks->cap) {
            size_t cap = 2 * chunks->cap + 64;
            struct mk_chunk *grown = mk_alloc(cap, sizeof(*grown));

            if (chunks->count != 0)
                memcpy(grown, chunks->list, chunks->count * sizeof(*grown));
            free(chunks->list);
            chunks->list = grown;
            chunks->cap = cap;
        }
        chunk = &chunks->list[chunks->count++];
        *chunk = run;
        chunk->blocks = left < most ? left : most;
        chunk->at += i * most * run.type->block_bytes;
        chunk->seed = mk_seed_mix(run.seed, i);
        left -= chunk->blocks;
    }
}

/* Rows that make the logits of control and byte tokens are 32 times smaller:
 * greedy decoding never picks one, sampling hardly ever. Single characters are
 * halved, which makes the text read more like words. */
static void add_tensor(struct mk_chunks *chunks, const struct mk_tensor *tensor,
                       const struct mk_shape *shape, struct mk_chunk run)
{
    static const struct {
        uint64_t end; /* first row behind the band */
        uint64_t divisor;
    } bands[] = {{MK_FIRST_CHAR, 32}, {MK_FIRST_PIECE, 2}, {UINT64_MAX, 1}};
    uint64_t rows = mk_tensor_rows(tensor);
    uint64_t row_blocks = tensor->columns / tensor->type->block_elements;
    uint64_t row = 0;
    size_t band = mk_makes_logits(tensor, shape) ? 0 : 2;

    for (; band < 3 && row < rows; band++) {
        uint64_t end = bands[band].end < rows ? bands[band].end : rows;
        struct mk_chunk part = run;

        part.blocks = (end - row) * row_blocks;
        part.at += row * row_blocks * run.type->block_bytes;
        part.std_q28 /= bands[band].divisor;
        part.seed = mk_seed_mix(run.seed, band);
        add_chunks(chunks, part);
        row = end;
    }
}

/* Vectors are not summed over: their weights do not shrink with the width. */
static uint64_t fan_in(const struct mk_tensor *tensor)
{
    enum mk_role role = tensor->rule->role;

    return role == MK_VECTOR || role == MK_NORM ? 1 : tensor->columns;
}

void mk_chunks_init(struct mk_chunks *chunks, const struct mk_shape *shape,
                    const struct mk_plan *plan, uint64_t data_at)
{
    memset(chunks, 0, sizeof(*chunks));
    for (size_t i = 0; i < plan->count; i++) {
        const struct mk_tensor *t = &plan->tensors[i];
        struct mk_chunk run = {.type = t->type, .at = data_at + t->offset};

        run.std_q28 = mk_std_q28(t->rule->gain_q8, fan_in(t));
        run.seed = t->seed;
        add_tensor(chunks, t, shape, run);
    }
}

void mk_chunks_fini(struct mk_chunks *chunks)
{
    free(chunks->list);
    memset(chunks, 0, sizeof(*chunks));
}
