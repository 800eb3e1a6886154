/* SPDX-License-Identifier: MIT */
/* A model file as the governor sees it: its header, its tensors grouped into
 * units, and what it will cost in memory. Reads the header only, with pread();
 * trusts no number in it. */
#ifndef GOV_MODEL_H
#define GOV_MODEL_H

#include "policies/alloc.h"
#include "policies/facts.h"
#include "policies/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gov_model gov_model; /* immutable once open; any thread */

typedef enum gov_unit_kind {
    GOV_UNIT_EMBEDDING = 0,
    GOV_UNIT_LAYER = 1,
    GOV_UNIT_OUTPUT = 2, /* output head, final norm and what else is global */
} gov_unit_kind;

/* A range of the file that is used together: consecutive tensors of one layer,
 * of the embedding, or of what is global. Units are in order of first use, which
 * need not be the file's, and do not overlap; pages at an edge may be shared
 * with a neighbour. Most files have one unit a layer; one in which a layer does
 * not lie in one piece has several of the same number. In a model without
 * output.weight the embedding is used again at the end of each pass. */
struct gov_unit {
    gov_unit_kind kind;
    uint32_t layer;        /* GOV_UNIT_LAYER */
    uint64_t file_offset;  /* of its first byte */
    uint64_t bytes;        /* first to last byte, padding included */
    uint64_t tensor_bytes; /* of its tensors */
    uint32_t tensors;
};

struct gov_tensor {
    const char *name; /* borrowed from the model */
    const char *type; /* "Q4_0"; static */
    uint32_t dims;
    uint64_t shape[4];
    uint64_t file_offset;
    uint64_t bytes;
    uint32_t unit; /* index into the units */
};

/* Opens and reads the header of a model file: GGUF version 2 or 3. alloc NULL
 * means the C library's. On success *out is owned by the caller,
 * gov_model_close(). On failure it is NULL and holds no file open.
 *
 * GOV_E_NOT_FOUND, GOV_E_PERMISSION, GOV_E_IO  as the file system says
 * GOV_E_FORMAT       not a model file, or one that lies about its sizes
 * GOV_E_UNSUPPORTED  a version, byte order, tensor type or split file that is
 *                    not read
 * GOV_E_INVALID      no path is given
 * GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_model_open(gov_model **out,
                                                const char *path,
                                                const struct gov_alloc *alloc,
                                                gov_error *err);

/* Accepts NULL. */
GOV_API void gov_model_close(gov_model *model);

/* Borrowed from the model, valid until it is closed. */
GOV_API const char *gov_model_path(const gov_model *model);
GOV_API const char *gov_model_name(const gov_model *model); /* "" if none */
GOV_API const struct gov_unit *gov_model_units(const gov_model *model,
                                               size_t *count);
GOV_API const struct gov_tensor *gov_model_tensors(const gov_model *model,
                                                   size_t *count);

/* Device and inode of the file the header was read from, so that a later user
 * can tell that it is still that file. */
GOV_API void gov_model_identity(const gov_model *model, uint64_t *device,
                                uint64_t *inode, uint64_t *file_bytes);

/* KV bytes for one token with that element type, all layers together: exact for
 * plain attention, an upper bound where a sliding window or shared or recurrent
 * layers need less. 0 when the header does not say, or when the model's heads
 * cannot be held in that type. */
GOV_API uint64_t gov_model_kv_per_token(const gov_model *model,
                                        gov_kv_type type);

/* Sets every model.* fact that is known, except the derived ones, for that KV
 * type. Texts are borrowed from the model. */
GOV_API void gov_model_facts(const gov_model *model, gov_kv_type kv_type,
                             struct gov_facts *facts);

#ifdef __cplusplus
}
#endif
#endif
