/* SPDX-License-Identifier: MIT */
/* The tensor types: how large their blocks are and how a run of blocks is
 * filled with seeded random weights of a wanted spread. Never knows which
 * tensor the blocks belong to, and never writes them anywhere.
 *
 * The layouts are those of ggml-common.h. Weights of mean zero matter more
 * than their shape: a matrix with a mean multiplies the all-ones direction by
 * about sqrt(n) per layer, and the network ends up saying one word. Hence the
 * random signs below. */
#include "mkmodel_types.h"

#include "mkmodel_base.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum {
    SCALES = 64, /* block scales per tensor: 0.75 to 1.25 of the middle */
    HALF_MAX = 0x7bff,
    HALF_SIGN = 0x8000
};

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t mk_seed_mix(uint64_t seed, uint64_t number)
{
    uint64_t state = seed;

    state = splitmix64(&state) ^ number;
    return splitmix64(&state);
}

void mk_rng_seed(struct mk_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        rng->s[i] = splitmix64(&seed);
}

static inline uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t next(struct mk_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t mk_rng_next(struct mk_rng *rng)
{
    return next(rng);
}

static uint64_t square_root(uint64_t value)
{
    uint64_t root = 0;

    for (uint64_t bit = (uint64_t)1 << 31; bit != 0; bit >>= 1)
        if ((root | bit) * (root | bit) <= value)
            root |= bit;
    return root;
}

uint64_t mk_std_q28(uint32_t gain_q8, uint64_t fan_in)
{
    uint64_t gain_squared = (uint64_t)gain_q8 * gain_q8;

    return square_root((gain_squared << 40) / fan_in);
}

/* The half-precision number nearest to value / 2^frac; frac is at least 25. */
static uint16_t half_from_fixed(uint64_t value, unsigned frac)
{
    unsigned msb = 0;
    uint64_t units;

    while (msb < 63 && value >> (msb + 1) != 0)
        msb++;
    if (msb + 14 < frac) { /* subnormal: units of 2^-24 */
        units = (value + ((uint64_t)1 << (frac - 25))) >> (frac - 24);
        return (uint16_t)units;
    }
    if (msb > frac + 15)
        return HALF_MAX;
    units = msb > 10 ? (value + ((uint64_t)1 << (msb - 11))) >> (msb - 10)
                     : value << (10 - msb);
    /* A mantissa rounded up to 2048 carries into the exponent by itself. */
    units += (uint64_t)(msb + 15 - frac) << 10;
    units -= 1024;
    return units > HALF_MAX ? HALF_MAX : (uint16_t)units;
}

/* Block scales around std / rms times times_half / 2, where rms_q8 / 256 is the
 * root mean square of the quantised numbers that they multiply. */
static void make_scales(uint16_t *out, uint64_t std_q28, uint64_t rms_q8,
                        unsigned times_half)
{
    uint64_t middle_q36 = (std_q28 << 16) / rms_q8;

    for (unsigned i = 0; i < SCALES; i++)
        out[i] =
            half_from_fixed(middle_q36 * (96 + i) * times_half, 36 + 7 + 1);
}

static void fill_norm(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                      uint64_t blocks)
{
    const uint32_t one = 1u << 24;
    float gain = (float)std_q28 * 0x1p-28f;

    for (uint64_t i = 0; i < blocks; i++) {
        uint32_t sixteenths = (uint32_t)(next(rng) >> 43); /* 0 .. 1/8 */
        float weight = (float)(one - (one >> 4) + sixteenths) * 0x1p-24f * gain;
        uint32_t bits;

        memcpy(&bits, &weight, sizeof(bits));
        mk_store_u32(out + 4 * i, bits);
    }
}

static void fill_decay(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                       uint64_t blocks)
{
    (void)std_q28;
    for (uint64_t i = 0; i < blocks; i++) {
        float weight = -0.5f - (float)(uint32_t)(next(rng) >> 40) * 0x1p-24f;
        uint32_t bits;

        memcpy(&bits, &weight, sizeof(bits));
        mk_store_u32(out + 4 * i, bits);
    }
}

/* The end of a uniform distribution is sqrt(3) standard deviations away. */
static uint64_t uniform_end(uint64_t std_q28)
{
    return std_q28 * 28378 >> 14;
}

static void fill_f32(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                     uint64_t blocks)
{
    float unit = (float)uniform_end(std_q28) * 0x1p-59f;
    uint64_t r = 0;

    for (uint64_t i = 0; i < blocks; i++) {
        float weight;
        uint32_t bits;

        r = i % 2 == 0 ? next(rng) : r >> 32;
        weight = (float)(int32_t)(uint32_t)r * unit;
        memcpy(&bits, &weight, sizeof(bits));
        mk_store_u32(out + 4 * i, bits);
    }
}

static void fill_f16(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                     uint64_t blocks)
{
    uint16_t halves[4096];
    uint64_t end = uniform_end(std_q28);
    uint64_t r = 0;

    for (uint64_t i = 0; i < 2048; i++) {
        uint16_t half = half_from_fixed(end * (2 * i + 1), 28 + 12);

        halves[2 * i] = half;
        halves[2 * i + 1] = half | HALF_SIGN;
    }
    for (uint64_t i = 0; i < blocks; i++) {
        r = i % 4 == 0 ? next(rng) : r >> 16;
        mk_store_u16(out + 2 * i, halves[r & 4095]);
    }
}

static void fill_q8_0(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                      uint64_t blocks)
{
    uint16_t scales[SCALES];

    /* Odd numbers alone, -127 to 127: mean zero, and never the -128 that the
     * quantiser never makes either. */
    make_scales(scales, std_q28, 18918, 2);
    for (uint64_t i = 0; i < blocks; i++, out += 34) {
        mk_store_u16(out, scales[next(rng) >> 58]);
        for (size_t j = 0; j < 4; j++)
            mk_store_u64(out + 2 + 8 * j, next(rng) | 0x0101010101010101u);
    }
}

static void fill_q4_0(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                      uint64_t blocks)
{
    uint16_t scales[SCALES];

    /* -8 to 7 has the mean -1/2: the sign of the scale takes it out. */
    make_scales(scales, std_q28, 1187, 2);
    for (uint64_t i = 0; i < blocks; i++, out += 18) {
        uint64_t r = next(rng);

        mk_store_u16(out, scales[r >> 58] | (uint16_t)(r & HALF_SIGN));
        mk_store_u64(out + 2, next(rng));
        mk_store_u64(out + 10, next(rng));
    }
}

/* Eight 6-bit scales in the packing of get_scale_min_k4(), each block's
 * minimum equal to its scale. */
static void put_k4_scales(uint8_t *out, uint64_t r)
{
    for (size_t j = 0; j < 4; j++) {
        uint8_t low = 32 | ((uint8_t)(r >> (8 * j)) & 31);
        uint8_t high = 32 | ((uint8_t)(r >> (8 * j + 32)) & 31);
        uint8_t low_packed = (uint8_t)(low | (high >> 4) << 6);

        out[j] = low_packed;
        out[j + 4] = low_packed;
        out[j + 8] = (uint8_t)((high & 15) | (high & 15) << 4);
    }
}

static void fill_q4_k(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                      uint64_t blocks)
{
    uint16_t scales[SCALES];
    uint16_t minima[SCALES];

    /* d * s * q - dmin * s with dmin = 7.5 d is d * s * (q - 7.5): mean 0. */
    make_scales(scales, std_q28, 57114, 2);
    make_scales(minima, std_q28, 57114, 15);
    for (uint64_t i = 0; i < blocks; i++, out += 144) {
        uint64_t r = next(rng) >> 58;

        mk_store_u16(out, scales[r]);
        mk_store_u16(out + 2, minima[r]);
        put_k4_scales(out + 4, next(rng));
        for (size_t j = 0; j < 16; j++)
            mk_store_u64(out + 16 + 8 * j, next(rng));
    }
}

static void fill_q6_k(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                      uint64_t blocks)
{
    uint16_t scales[SCALES];

    make_scales(scales, std_q28, 113300, 2);
    for (uint64_t i = 0; i < blocks; i++, out += 210) {
        uint64_t r = 0;

        for (size_t j = 0; j < 24; j++)
            mk_store_u64(out + 8 * j, next(rng));
        for (size_t j = 0; j < 16; j++) {
            r = j % 8 == 0 ? next(rng) : r >> 8;
            out[192 + j] = (uint8_t)(16 | (r & 15));
            if (r & 128)
                out[192 + j] = (uint8_t)-out[192 + j];
        }
        mk_store_u16(out + 208, scales[next(rng) >> 58]);
    }
}

/* The scale is a power of two, so a block has the next one below or above the
 * wanted, as often as makes the mean square right. The sixteen numbers of a
 * block come from 0 to 12, as ggml doubles them, and their negatives: root mean
 * square 5.852. */
static void fill_mxfp4(struct mk_rng *rng, uint64_t std_q28, uint8_t *out,
                       uint64_t blocks)
{
    uint64_t scale = (std_q28 << 8) / 1498 + 1; /* in units of 2^-28 */
    uint64_t below = 1;
    uint64_t ratio_q16;
    uint64_t above_q16;
    uint8_t exponent = 128 - 28;

    for (; below << 1 <= scale; below <<= 1)
        exponent++;
    /* p with (1 - p) below^2 + p (2 below)^2 = scale^2 */
    ratio_q16 = (scale << 16) / below;
    above_q16 = ((ratio_q16 * ratio_q16 >> 16) - 65536) / 3;
    for (uint64_t i = 0; i < blocks; i++, out += 17) {
        bool above = (next(rng) >> 48) < above_q16;

        out[0] = above ? exponent + 1 : exponent;
        mk_store_u64(out + 1, next(rng));
        mk_store_u64(out + 9, next(rng));
    }
}

static const struct mk_type types[] = {
    {"F32", 0, 0, 1, 4, fill_f32},
    {"F16", 1, 1, 1, 2, fill_f16},
    {"Q8_0", 8, 7, 32, 34, fill_q8_0},
    {"Q4_0", 2, 2, 32, 18, fill_q4_0},
    {"Q4_K", 12, 15, 256, 144, fill_q4_k},
    {"Q6_K", 14, 18, 256, 210, fill_q6_k},
    {"MXFP4", 39, 38, 32, 17, fill_mxfp4},
};

const struct mk_type mk_norm_type = {"F32", 0, 0, 1, 4, fill_norm};
const struct mk_type mk_decay_type = {"F32", 0, 0, 1, 4, fill_decay};

const struct mk_type *mk_type_at(unsigned i)
{
    return i < sizeof(types) / sizeof(types[0]) ? &types[i] : NULL;
}

const struct mk_type *mk_type_find(const char *name)
{
    const struct mk_type *type;

    for (unsigned i = 0; (type = mk_type_at(i)) != NULL; i++)
        if (strcasecmp(type->name, name) == 0)
            return type;
    return NULL;
}

const struct mk_type *mk_type_for_output(const struct mk_type *matrices,
                                         uint32_t row_elements)
{
    const struct mk_type *q6_k = mk_type_find("Q6_K");

    if (matrices->block_elements == 1 || matrices->block_bytes == 34)
        return matrices;
    return row_elements % q6_k->block_elements == 0 ? q6_k
                                                    : mk_type_find("Q8_0");
}
