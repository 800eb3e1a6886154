/* SPDX-License-Identifier: MIT */
/* Names and sizes from ggml (ggml.c type_traits, ggml-common.h) as of September
 * 2026; numbers are file format and never change.
 *
 * The last column follows ggml_repack_get_optimal_repack_type() in
 * ggml-cpu/repack.cpp and is an upper bound over the processors of one
 * architecture: Q2_K counts though it wants AVX-512, and on arm64 all count
 * though they want dot products or i8mm. Buffers of AMX and of other
 * accelerators are not in it. */
#include "governor/model/tensor_types.h"

#include <stddef.h>

#if defined(__aarch64__)
#define REPACK(x86, arm) (arm)
#else
#define REPACK(x86, arm) (x86)
#endif

static const struct gov__tensor_type types[] = {
    [0] = {"F32", 1, 4, 0},
    [1] = {"F16", 1, 2, 0},
    [2] = {"Q4_0", 32, 18, REPACK(8, 4)},
    [3] = {"Q4_1", 32, 20, 0},
    [4] = {"Q4_2", 0, 0, 0},
    [5] = {"Q4_3", 0, 0, 0},
    [6] = {"Q5_0", 32, 22, 0},
    [7] = {"Q5_1", 32, 24, 0},
    [8] = {"Q8_0", 32, 34, REPACK(0, 4)},
    [9] = {"Q8_1", 32, 36, 0},
    [10] = {"Q2_K", 256, 84, REPACK(8, 0)},
    [11] = {"Q3_K", 256, 110, 0},
    [12] = {"Q4_K", 256, 144, REPACK(8, 8)},
    [13] = {"Q5_K", 256, 176, REPACK(0, 8)},
    [14] = {"Q6_K", 256, 210, REPACK(0, 8)},
    [15] = {"Q8_K", 256, 292, 0},
    [16] = {"IQ2_XXS", 256, 66, 0},
    [17] = {"IQ2_XS", 256, 74, 0},
    [18] = {"IQ3_XXS", 256, 98, 0},
    [19] = {"IQ1_S", 256, 50, 0},
    [20] = {"IQ4_NL", 32, 18, REPACK(8, 4)},
    [21] = {"IQ3_S", 256, 110, 0},
    [22] = {"IQ2_S", 256, 82, 0},
    [23] = {"IQ4_XS", 256, 136, 0},
    [24] = {"I8", 1, 1, 0},
    [25] = {"I16", 1, 2, 0},
    [26] = {"I32", 1, 4, 0},
    [27] = {"I64", 1, 8, 0},
    [28] = {"F64", 1, 8, 0},
    [29] = {"IQ1_M", 256, 56, 0},
    [30] = {"BF16", 1, 2, 0},
    [31] = {"Q4_0_4_4", 0, 0, 0},
    [32] = {"Q4_0_4_8", 0, 0, 0},
    [33] = {"Q4_0_8_8", 0, 0, 0},
    [34] = {"TQ1_0", 256, 54, 0},
    [35] = {"TQ2_0", 256, 66, 0},
    [36] = {"IQ4_NL_4_4", 0, 0, 0},
    [37] = {"IQ4_NL_4_8", 0, 0, 0},
    [38] = {"IQ4_NL_8_8", 0, 0, 0},
    [39] = {"MXFP4", 32, 17, REPACK(8, 4)},
    [40] = {"NVFP4", 64, 36, 0},
    [41] = {"Q1_0", 128, 18, REPACK(0, 4)},
    [42] = {"Q2_0", 64, 18, 0},
};

const struct gov__tensor_type *gov__tensor_type(uint32_t number)
{
    if (number >= sizeof(types) / sizeof(types[0]))
        return NULL;
    return &types[number];
}
