/* SPDX-License-Identifier: MIT */
/* What gov model shows, however it shows it. */
#ifndef GOV_TOOLS_MODEL_SHEET_H
#define GOV_TOOLS_MODEL_SHEET_H

#include "tools/gov/gov.h"

enum {
    GOV_SHEET_TYPES = 32,    /* of tensors; more of them are summed up in one */
    GOV_SHEET_CONTEXTS = 4,  /* 4K, 8K, 32K and the model's own */
    GOV_SHEET_NEED_TYPES = 2 /* f16 and q8_0 */
};

/* Tensors of one type. */
struct gov_sheet_type {
    const char *name;
    uint64_t tensors, bytes;
};

/* Units of one kind: consecutive layers of one size; or, where these would be
 * many lines, all layers. */
struct gov_sheet_units {
    gov_unit_kind kind;
    uint32_t first, last; /* layers; the same for what has none */
    uint32_t layers;      /* how many of them there are */
    uint32_t experts;     /* in each; 0: none, or not the same */
    uint64_t least, most; /* bytes of a layer */
    uint64_t bytes;       /* of all */
    size_t unit;          /* the first of them */
};

struct gov_sheet_kv {
    gov_kv_type type;
    bool held;          /* the heads can be held in it; else `why` */
    uint64_t per_token; /* bytes, in layers that attend to everything */
    char why[GOV_MESSAGE_BYTES];
};

struct gov_sheet_need {
    uint32_t context;
    gov_kv_type type;
    struct gov_need need;
};

struct gov_model_sheet {
    const gov_model *model;
    struct gov_facts facts;
    bool known;     /* the architecture */
    bool generates; /* it keeps a conversation */
    bool tells_kv;  /* what it keeps is known, or the most it may be */
    bool keeps_kv;  /* what it keeps grows with the context */

    struct gov_sheet_type types[GOV_SHEET_TYPES]; /* the largest first */
    size_t type_count;
    struct gov_sheet_units *units; /* in order of first use */
    size_t unit_count;
    struct gov_sheet_kv kv[GOV_KV_IQ4_NL]; /* the widest first */
    size_t kv_count;
    struct gov_sheet_need need[GOV_SHEET_CONTEXTS * GOV_SHEET_NEED_TYPES];
    size_t need_count;
};

/* Fills a sheet. `context` 0: the usual ones; `type` GOV_KV_UNSET: the usual
 * ones. gov_model_sheet_fini() in either case.
 *
 * GOV_E_UNSUPPORTED  the heads cannot be held in that type
 * GOV_E_INVALID      the model was not made for so large a context
 * GOV_E_NOMEM */
gov_status gov_model_sheet_fill(struct gov_model_sheet *sheet,
                                const gov_model *model, uint32_t context,
                                gov_kv_type type, gov_error *err);
void gov_model_sheet_fini(struct gov_model_sheet *sheet);

/* "layers 0-31", "experts of layer 3", "embedding"; at most 40 bytes. */
const char *gov_sheet_units_name(const struct gov_sheet_units *units, char *out,
                                 size_t bytes);

/* All that a need takes in RAM: the least and the most it may be. */
uint64_t gov_sheet_total(const struct gov_need *need, uint64_t *least);

/* KV and state at most; and buffers for intermediate results and logits. */
uint64_t gov_sheet_kept(const struct gov_need *need);
uint64_t gov_sheet_buffers(const struct gov_need *need);

/* Prints the sheet as text, and each tensor where `tensors`. */
void gov_model_print(const struct gov_model_sheet *sheet, bool tensors);

/* As JSON; NULL when there is no memory. */
json_t *gov_model_to_json(const struct gov_model_sheet *sheet, bool tensors);

#endif
