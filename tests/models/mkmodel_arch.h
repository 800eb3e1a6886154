/* SPDX-License-Identifier: MIT */
/* The architectures as data: which tensors each has, of which widths, in which
 * layers, and which keys tell a reader so. Names and shapes are those of
 * llama.cpp's src/models/ and src/llama-arch.cpp. Never computes an offset and
 * never writes a byte. */
#ifndef MKMODEL_ARCH_H
#define MKMODEL_ARCH_H

#include "mkmodel_types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A width of a model. Those up to MK_NUMBERS are numbers that a preset sets
 * beside the common ones; the others are fields of a shape or follow. */
enum mk_dim {
    MK_DIM_NONE,
    MK_DIM_EXPERTS,
    MK_DIM_EXPERTS_USED,
    MK_DIM_EXPERT_FF,
    MK_DIM_SHARED_EXPERTS,
    MK_DIM_DENSE_LEAD, /* layers before the first with experts */
    MK_DIM_WINDOW,
    MK_DIM_WINDOW_PERIOD, /* every n-th layer sees all; 0: as llama.cpp does */
    MK_DIM_ATTN_PERIOD,   /* every n-th layer has attention, the rest recur */
    MK_DIM_SHARED_KV,     /* last layers, which use the KV of earlier ones */
    MK_DIM_Q_LORA,
    MK_DIM_KV_LORA,
    MK_DIM_ROT,
    MK_DIM_KEY_MLA,
    MK_DIM_VALUE_MLA,
    MK_DIM_CONV, /* taps of the convolution before a state */
    MK_DIM_STATE,
    MK_DIM_DT_RANK, /* in Mamba 2 the heads of the state */
    MK_DIM_GROUPS,
    MK_NUMBERS,

    MK_DIM_EMBD = MK_NUMBERS,
    MK_DIM_Q,  /* heads x head_dim */
    MK_DIM_KV, /* kv_heads x head_dim */
    MK_DIM_FF,
    MK_DIM_VOCAB,
    MK_DIM_CTX,
    MK_DIM_LAYERS,
    MK_DIM_HEADS,
    MK_DIM_KV_HEADS,
    MK_DIM_HEAD,
    MK_DIM_HEAD_2, /* half of it: one rotation turns two elements */
    MK_DIM_ONE,
    MK_DIM_TWO,
    MK_DIM_QKV,       /* the three in one matrix */
    MK_DIM_FF_2,      /* gate and up in one */
    MK_DIM_EMBD_3,    /* three gates in one */
    MK_DIM_SHARED_FF, /* the experts that see every token, side by side */
    MK_DIM_KV_CACHED, /* kv_lora + rot: all that MLA keeps of a token */
    MK_DIM_NOPE,      /* key_mla - rot: the part without positions */
    MK_DIM_Q_MLA,     /* heads x key_mla */
    MK_DIM_V_MLA,     /* heads x value_mla */
    MK_DIM_INNER,     /* 2 x embd: the width of a state space */
    MK_DIM_INNER_2,   /* with its gate */
    MK_DIM_SSM_X,     /* dt_rank + 2 x state */
    MK_DIM_SSM_CONV,  /* inner + 2 x groups x state */
    MK_DIM_SSM_IN,    /* inner + SSM_CONV + dt_rank */
    MK_DIM_SSM_GROUP  /* inner / groups */
};

enum mk_role {
    MK_MATRIX,
    MK_NORM,
    MK_EMBEDDING,
    MK_OUTPUT,
    MK_EXPERT,
    MK_ANY,    /* a matrix whose rows need not suit the type */
    MK_FULL,   /* a matrix that no quantiser touches: F32 */
    MK_VECTOR, /* F32 of mean zero, whatever its width */
    MK_DECAY   /* F32 from -1.5 to -0.5 */
};

enum mk_place { MK_BEFORE, MK_LAYER, MK_AFTER };

enum mk_when {
    MK_WHEN_ALWAYS,
    MK_WHEN_DENSE,
    MK_WHEN_EXPERTS,
    MK_WHEN_ATTENTION,
    MK_WHEN_RECURRENT,
    MK_WHEN_Q_LORA,
    MK_WHEN_NO_Q_LORA
};

enum mk_suffix { MK_WEIGHT, MK_BIAS, MK_BARE };

/* One tensor of an architecture, in file order: those before the layers, those
 * of each layer, those after. */
struct mk_tensor_rule {
    const char *name; /* without "blk.N." and without its suffix */
    enum mk_place place;
    enum mk_role role;
    enum mk_dim columns; /* elements of a row, which is the fan-in */
    enum mk_dim rows;
    uint32_t gain_q8; /* standard deviation x sqrt(fan-in) x 256 */
    enum mk_dim planes;
    enum mk_when when;
    enum mk_suffix suffix;
};

struct mk_tensor_rules {
    const struct mk_tensor_rule *list;
    size_t count;
};

enum mk_key_kind {
    MK_KEY_U32,
    MK_KEY_OPTIONAL, /* not written if 0 */
    MK_KEY_LAYERS,   /* an array if the layers differ */
    MK_KEY_WINDOWS,  /* an array: true for a layer with a window */
    MK_KEY_CONSTANT,
    MK_KEY_F32,
    MK_KEY_BOOL
};

/* One key of an architecture, without "ARCH.". */
struct mk_key {
    const char *name;
    enum mk_key_kind kind;
    enum mk_dim dim;
    float constant; /* for the last three kinds */
};

struct mk_keys {
    const struct mk_key *list;
    size_t count;
};

enum mk_tie { MK_TIE_EITHER, MK_TIE_ALWAYS, MK_TIE_NEVER };
enum mk_tokenizer { MK_SPM, MK_WPM, MK_BPE };
enum { MK_GROUPS_MAX = 8 };

struct mk_arch {
    const char *name;
    const struct mk_tensor_rules *tensors[MK_GROUPS_MAX]; /* up to a NULL */
    const struct mk_keys *keys[MK_GROUPS_MAX];            /* up to a NULL */
    enum mk_tokenizer tokenizer;
    enum mk_tie tie;
    bool square;     /* heads x head_dim is embd */
    bool grows;      /* later layers have more heads and are wider */
    bool own_widths; /* its experts have a width of their own, not ff */
};

struct mk_shape {
    const struct mk_arch *arch;
    const struct mk_type *type;        /* of the matrices */
    const struct mk_type *embd_type;   /* of the embedding */
    const struct mk_type *output_type; /* of the output matrix */
    const struct mk_type *expert_type;
    const char *name;
    uint64_t seed;
    uint32_t layers;
    uint32_t embd;
    uint32_t ff;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t head_dim;
    uint32_t vocab;
    uint32_t ctx;
    uint32_t n[MK_NUMBERS];
    enum mk_tokenizer tokenizer;
    bool tied; /* the embedding is the output matrix too */
};

/* NULL for an unknown name; mk_arch_at() gives NULL behind the last. */
const struct mk_arch *mk_arch_find(const char *name);
const struct mk_arch *mk_arch_at(unsigned i);

#endif
