/* SPDX-License-Identifier: MIT */
/* The tensor types: how large their blocks are and how a run of blocks is
 * filled with seeded random weights of a wanted spread. Never knows which
 * tensor the blocks belong to, and never writes them anywhere.
 *
 * Every block is made, none is copied from a pool: the fillers run at several
 * GB/s per core, which is more than a disk takes, and so no two pages of a
 * model are equal. A test that reads the wrong page sees it.
 *
 * All scales are computed in integers, so that a seed gives the same bytes
 * with every compiler and on every machine. */
#ifndef MKMODEL_TYPES_H
#define MKMODEL_TYPES_H

#include <stdint.h>

struct mk_rng {
    uint64_t s[4];
};

/* xoshiro256++ seeded by splitmix64. */
void mk_rng_seed(struct mk_rng *rng, uint64_t seed);
uint64_t mk_rng_next(struct mk_rng *rng);

/* Mixes a number into a seed: streams for neighbouring numbers are unlike. */
uint64_t mk_seed_mix(uint64_t seed, uint64_t number);

struct mk_type {
    const char *name;
    uint32_t id;             /* enum ggml_type */
    uint32_t file_type;      /* general.file_type of a model made of it */
    uint32_t block_elements; /* a row is a whole number of blocks */
    uint32_t block_bytes;

    /* Fills the blocks with weights of mean 0 and the standard deviation
     * std_q28 / 2^28. */
    void (*fill)(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                 uint64_t blocks);
};

/* Norm weights: F32 near the standard deviation, which is 1 mostly. */
extern const struct mk_type mk_norm_type;
/* What a state keeps of itself, as a logarithm: F32 from -1.5 to -0.5. */
extern const struct mk_type mk_decay_type;

/* NULL for an unknown name; the case of letters does not matter. */
const struct mk_type *mk_type_find(const char *name);
/* The type llama-quantize picks for the output matrix: the matrices' own when
 * it is precise enough, else Q6_K, or Q8_0 for rows that Q6_K cannot divide. */
const struct mk_type *mk_type_for_output(const struct mk_type *matrices,
                                         uint32_t row_elements);
/* The i-th type, or NULL behind the last. */
const struct mk_type *mk_type_at(unsigned i);

/* gain / sqrt(fan_in) in units of 2^-28; gain_q8 in units of 1/256, below
 * 4096. */
uint64_t mk_std_q28(uint32_t gain_q8, uint64_t fan_in);

#endif
