/* SPDX-License-Identifier: MIT */
/* A model as the governor sees it: its headers, its tensors grouped into units,
 * and what it will cost in memory. Reads headers only, with pread(); trusts no
 * number in them. */
#ifndef GOV_MODEL_H
#define GOV_MODEL_H

#include "policies/alloc.h"
#include "policies/facts.h"
#include "policies/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gov_model gov_model; /* immutable once open; any thread */

/* ---- what is in it ----------------------------------------------------------- */

typedef enum gov_unit_kind {
    GOV_UNIT_EMBEDDING = 0,
    GOV_UNIT_LAYER = 1,
    GOV_UNIT_OUTPUT = 2,  /* output head, final norm and what else is global */
    GOV_UNIT_EXPERTS = 3, /* expert matrices of a layer */
    GOV_UNIT_PROJECTOR = 4, /* vision or audio encoder and its projector */
} gov_unit_kind;

/* A range of a file that is used together: consecutive tensors of one layer, of
 * the experts of one, of the embedding, of a projector, or of what is global.
 * Units are in order of first use, which need not be the file's, and do not
 * overlap; pages at an edge may be shared with a neighbour (gov_unit_pages()).
 * Most dense files have one unit a layer; where a layer does not lie in one piece
 * it has several of the same number. In a model without an output matrix of its
 * own the embedding is used again at the end of each pass. */
struct gov_unit {
    gov_unit_kind kind;
    uint32_t layer;        /* GOV_UNIT_LAYER, GOV_UNIT_EXPERTS, and projectors
                            * that have layers */
    uint64_t file_offset;  /* of its first byte */
    uint64_t bytes;        /* first to last byte, padding included */
    uint64_t tensor_bytes; /* of its tensors */
    uint32_t tensors;
    uint32_t file;    /* index into the files */
    uint32_t experts; /* GOV_UNIT_EXPERTS: how many the unit holds; else 0 */
};

struct gov_tensor {
    const char *name; /* borrowed from the model */
    const char *type; /* "Q4_0", "BF16"; static */
    uint32_t dims;
    uint64_t shape[4]; /* fastest first, as in ggml; of more than 4 dimensions
                        * the last holds the product of the rest */
    uint64_t file_offset;
    uint64_t bytes;
    uint32_t unit; /* index into the units */
    uint32_t file; /* index into the files */
    bool aligned;  /* it begins at a multiple of its elements' size (of what a
                    * block is made of), so that a mapping of the file can be
                    * used in place; false in some old safetensors */
};

struct gov_model_file {
    const char *path; /* borrowed from the model */
    uint64_t device, inode, bytes;
};

/* Opens a model and reads its headers. `path` names
 *  - a GGUF file, version 2 or 3; of a split one any part, and all parts are
 *    read (NAME-00001-of-00003.gguf);
 *  - a safetensors file, or the .index.json or any shard of several, of which
 *    all are read, or the directory that holds one of these; config.json beside
 *    them is read when it is there.
 * alloc NULL means the C library's. On success *out is owned by the caller,
 * gov_model_close(). On failure it is NULL and holds no file open.
 *
 * GOV_E_NOT_FOUND, GOV_E_PERMISSION, GOV_E_IO  as the file system says
 * GOV_E_FORMAT       not a model file, or one that lies about its sizes
 * GOV_E_UNSUPPORTED  a version, byte order or tensor type that is not read
 * GOV_E_INVALID      no path is given, or one that is too long
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
GOV_API const struct gov_model_file *gov_model_files(const gov_model *model,
                                                     size_t *count);

/* How the weights are quantized, as a person says it: "Q4_K, some Q6_K", "AWQ,
 * 4 bits, groups of 128". Borrowed. */
GOV_API const char *gov_model_quantization(const gov_model *model);

/* Device and inode of the first file the header was read from, so that a later
 * user can tell that it is still that file. */
GOV_API void gov_model_identity(const gov_model *model, uint64_t *device,
                                uint64_t *inode, uint64_t *file_bytes);

/* A unit in pages of that size (a power of two). `outer` is the range rounded
 * outwards: what is read when the unit is used. `inner` is what of it belongs to
 * no other unit, so that it may be dropped alone; its bytes may be 0. A page at
 * an edge that holds only padding or the file's header counts as the unit's. All
 * are 0 for a unit that there is not. */
struct gov_unit_pages {
    uint64_t outer_offset, outer_bytes;
    uint64_t inner_offset, inner_bytes;
    bool shared_before, shared_behind; /* with a neighbour in the file */
};

GOV_API void gov_unit_pages(const gov_model *model, size_t unit,
                            uint64_t page_bytes, struct gov_unit_pages *out);

struct gov_file_range {
    uint32_t file;
    uint64_t offset, bytes;
};

/* Where the matrices of one expert lie, within a unit of experts, whether the
 * file fuses the experts of a layer into one tensor or not. Writes at most
 * `room` ranges, in order of offset, and returns how many there are; 0 for a
 * unit of another kind or an expert that it does not hold. */
GOV_API size_t gov_unit_expert(const gov_model *model, size_t unit,
                               uint32_t expert, struct gov_file_range *out,
                               size_t room);

/* ---- what it costs ------------------------------------------------------------ */

/* What is asked of the model. Fill with gov_need_request_default(). */
struct gov_need_request {
    size_t size;        /* of the struct, set by _default() */
    uint32_t context;   /* tokens, over all sequences; 0: the model's most */
    gov_kv_type k_type; /* f16 */
    gov_kv_type v_type; /* f16 */
    uint32_t sequences; /* 1 */
    uint32_t batch;     /* most tokens in one pass; 512 */
    uint32_t outputs;   /* most tokens of a pass that have logits; 1; 0: all */
    uint32_t
        gpu_layers; /* layers from the last one on whose weights and KV go to
                           * a GPU, the output being one more; 0 */
    bool flash_attention; /* true; llama.cpp's default where it can */
    bool unified; /* sequences share the context's cells; false: each has
                           * an equal part */
    gov_strategy strategy; /* where weights are: mmap (and hybrid) or heap */
    bool repack;           /* heap only: the engine may repack */
};

GOV_API struct gov_need_request gov_need_request_default(void);

/* Bytes in one kind of memory. */
struct gov_pool {
    uint64_t weights; /* file pages when mapped; else allocated */
    uint64_t kv;      /* cells for the whole context */
    uint64_t state;   /* recurrent layers and convolutions; does not grow */
    uint64_t compute; /* buffers for intermediate results */
    uint64_t output;  /* logits and embeddings handed to the app */
};

struct gov_need {
    struct gov_pool ram, gpu;
    uint64_t repack; /* of ram.weights: what the engine would hold in a layout
                         * of its own, anonymous whatever the strategy */
    uint64_t cells;  /* KV cells a layer that attends to everything has */
    uint64_t window_cells; /* and one that looks back over a window; 0: none */
    /* What the engine keeps in RAM beside all that: vocabulary, graphs, working
     * space of matrix products. Fitted to llama.cpp v0.5.0, not its arithmetic. */
    uint64_t engine;
    /* What KV and state may be at least: less than they are above where the
     * architecture is not known, which then count the most that they may be. */
    uint64_t kv_least;
    bool kv_exact; /* kv and state are what llama.cpp allocates, to the byte */
    bool compute_known; /* false: no estimate, and compute is 0 */
};

/* Estimates what the model takes in an engine that works as llama.cpp does.
 * Weights are exact, each tensor padded to 32 bytes as ggml does. KV and state are exact for the architectures that
 * gov_model_known() tells, else ranges. Compute buffers are an estimate: within
 * 10 % of llama.cpp's for what docs/footprint.md lists.
 *
 * GOV_E_UNSUPPORTED  the heads cannot be held in that KV type (the sentence says
 *                    which can), or a quantized V is asked for without flash
 *                    attention
 * GOV_E_INVALID      a NULL, another version's struct, or no context is given
 *                    and the model does not tell its own */
GOV_API GOV_NODISCARD gov_status
gov_model_need(const gov_model *model, const struct gov_need_request *request,
               struct gov_need *out, gov_error *err);

/* Whether it is known how this architecture keeps keys, values and state. */
GOV_API bool gov_model_known(const gov_model *model);

/* KV bytes that one more token takes with that element type, in layers that
 * attend to everything; exact where gov_model_known(), else the most it may be.
 * 0 when the header does not say, or when the heads cannot be held in that
 * type. */
GOV_API uint64_t gov_model_kv_per_token(const gov_model *model,
                                        gov_kv_type type);

/* Bytes of weights that a pass over one token reads, and over a batch that uses
 * every expert. Equal in dense models. Of an embedding that is only looked up,
 * one row is counted. */
GOV_API uint64_t gov_model_sparse_pass(const gov_model *model);
GOV_API uint64_t gov_model_dense_pass(const gov_model *model);

/* Weights as numbers, not bytes: all, and those that one token uses. */
GOV_API uint64_t gov_model_parameters(const gov_model *model);
GOV_API uint64_t gov_model_active_parameters(const gov_model *model);

/* Sets every model.* fact that is known, except the derived ones. KV facts are
 * those of f16, whatever will be planned. Texts are borrowed from the model. */
GOV_API void gov_model_facts(const gov_model *model, struct gov_facts *facts);

#ifdef __cplusplus
}
#endif
#endif
