/* SPDX-License-Identifier: MIT */
/* The presets: the widths and depths that a shape starts from, one row each.
 * Never checks them. */
#ifndef MKMODEL_PRESET_H
#define MKMODEL_PRESET_H

#include "mkmodel_arch.h"

struct mk_preset {
    const char *name;
    uint32_t layers;
    uint32_t embd;
    uint32_t ff;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t vocab;
    const char *arch;        /* NULL: llama */
    uint32_t head_dim;       /* 0: embd / heads */
    uint32_t ctx;            /* 0: 4096 */
    const char *expert_type; /* NULL: that of the matrices */
    uint32_t n[MK_NUMBERS];
};

/* NULL for an unknown name; mk_preset_at() gives NULL behind the last. */
const struct mk_preset *mk_preset_find(const char *name);
const struct mk_preset *mk_preset_at(unsigned i);

const char *mk_preset_arch(const struct mk_preset *preset);
/* The first of an architecture. */
const struct mk_preset *mk_preset_for(const struct mk_arch *arch);

#endif
