/* SPDX-License-Identifier: MIT */
/* Element types of the KV cache: their names and the room they take. Knows no
 * model and decides nothing. */
#include <string.h>

#include "policies/language/words_priv.h"
#include "policies/planning/sizes_priv.h"

/* X(id, name, elements of a block, its bytes), as in ggml's type_traits
 * (ggml/src/ggml.c), in the order of gov_kv_type. */
#define KV_TYPE_MAP(X)                                                         \
    X(F16, "f16", 1, 2)                                                        \
    X(Q8_0, "q8_0", 32, 34)                                                    \
    X(F32, "f32", 1, 4)                                                        \
    X(BF16, "bf16", 1, 2)                                                      \
    X(Q4_0, "q4_0", 32, 18)                                                    \
    X(Q4_1, "q4_1", 32, 20)                                                    \
    X(Q5_0, "q5_0", 32, 22)                                                    \
    X(Q5_1, "q5_1", 32, 24)                                                    \
    X(IQ4_NL, "iq4_nl", 32, 18)

static const char *const names[] = {
#define KV_NAME(id, name, elements, bytes) [GOV_KV_##id - 1] = name,
    KV_TYPE_MAP(KV_NAME)
#undef KV_NAME
};

#define KV_TYPES (sizeof(names) / sizeof(names[0]))

const struct gov__words gov__kv_types = {names, KV_TYPES, GOV_KV_F16};

static bool is_type(gov_kv_type type)
{
    return type != GOV_KV_UNSET && (size_t)type <= KV_TYPES;
}

const char *gov_kv_type_name(gov_kv_type type)
{
    return is_type(type) ? names[type - 1] : "unset";
}

gov_kv_type gov_kv_type_find(const char *name)
{
    for (size_t i = 0; name != NULL && i < KV_TYPES; i++)
        if (strcmp(name, names[i]) == 0)
            return (gov_kv_type)(i + 1);
    return GOV_KV_UNSET;
}

uint32_t gov_kv_type_block(gov_kv_type type, uint32_t *block_bytes)
{
    static const struct {
        uint32_t elements, bytes;
    } blocks[] = {
#define KV_BLOCK(id, name, elements, bytes)                                    \
    [GOV_KV_##id - 1] = {elements, bytes},
        KV_TYPE_MAP(KV_BLOCK)
#undef KV_BLOCK
    };

    *block_bytes = is_type(type) ? blocks[type - 1].bytes : 0;
    return is_type(type) ? blocks[type - 1].elements : 0;
}

uint64_t gov__kv_of_f16(uint64_t f16_bytes, gov_kv_type type)
{
    uint32_t bytes, elements = gov_kv_type_block(type, &bytes);
    uint64_t block = (uint64_t)elements * 2; /* bytes of it as f16 */

    if (block == 0)
        return UINT64_MAX;
    return gov__sat_add(gov__sat_mul(f16_bytes / block, bytes),
                        (f16_bytes % block * bytes + block - 1) / block);
}
