/* SPDX-License-Identifier: MIT */
/* Capacity: which sizes of models run on which machine, in which way, and how
 * fast. Arithmetic on plain data; what it says of speed is a bound that memory
 * and storage set, not a promise about the processor. */
#ifndef GOV_POLICIES_CAPACITY_H
#define GOV_POLICIES_CAPACITY_H

#include "policies/alloc.h"
#include "policies/facts.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Ways to hold a model. Numbers are ABI. */
typedef enum gov_way {
    GOV_WAY_TRADITIONAL =
        0,                /* read into a buffer, then copied: 2x at the peak */
    GOV_WAY_HEAP = 1,     /* read into anonymous memory, once */
    GOV_WAY_MMAP = 2,     /* mapped; all weights fit as file pages */
    GOV_WAY_STREAMED = 3, /* mapped; what does not fit is read again */
    GOV_WAY_COUNT = 4,
} gov_way;

/* "traditional", "heap", "mmap", "streamed". */
GOV_API const char *gov_way_name(gov_way way);

/* One machine. 0 means unknown, except where said. */
struct gov_capacity_device {
    char name[64];
    uint64_t ram_bytes;
    uint64_t budget_bytes; /* what an app may use */
    uint64_t gpu_bytes;    /* working set of its GPU; 0: none or unknown */
    bool gpu_shares_ram;
    uint64_t read_rate;   /* storage, bytes a second */
    uint64_t memory_rate; /* all processors, bytes a second */
    bool measured;        /* by gov profile; else by specification */
    char source[192];     /* where the figures are from */
};

/* One size of model, or a real one. */
struct gov_capacity_model {
    char name[64];          /* "7B Q4_K_M" */
    uint64_t weights_bytes; /* of which one pass reads all */
    uint64_t largest_unit_bytes;
    uint64_t kv_per_token_bytes; /* f16 */
    uint64_t compute_bytes;
};

/* What one way comes to. */
struct gov_capacity_verdict {
    bool runs;
    uint64_t peak_bytes; /* footprint at its highest, file pages too where
                                they must stay */
    uint64_t cold_bytes; /* weights read again each token; streamed only */
    uint64_t
        first_token_ms; /* from nothing in memory, a lower bound; 0 unknown */
    uint64_t tokens_per_1000s; /* an upper bound; 0 unknown */
};

/* Fills one verdict a way. Pure; never fails: sums that overflow do not run, and
 * nothing runs in an unknown budget. Where a way does not run, peak_bytes is what
 * it would take and the rest is 0.
 *
 * What the bounds are made of, with weights W:
 *   first token   mmap, streamed: read W, then one pass over W in memory;
 *                 heap, traditional: read W, copy W (memory reads it and writes
 *                 it), then one pass
 *   each token    one pass over W; streamed: that, or reading what is cold from
 *                 storage, whichever takes longer */
GOV_API void
gov_capacity_estimate(const struct gov_capacity_device *device,
                      const struct gov_capacity_model *model, uint64_t context,
                      struct gov_capacity_verdict out[GOV_WAY_COUNT]);

/* Whether weights, KV and buffers fit the working set of its GPU. Numbers are
 * ABI. */
typedef enum gov_gpu_fit {
    GOV_GPU_UNKNOWN = 0, /* no GPU, or nobody says what it may use */
    GOV_GPU_FITS = 1,
    GOV_GPU_TOO_SMALL = 2,
} gov_gpu_fit;

GOV_API gov_gpu_fit gov_capacity_gpu(const struct gov_capacity_device *device,
                                     const struct gov_capacity_model *model,
                                     uint64_t context);

/* The largest weights that run in that way with `context` tokens, for models
 * shaped like those of the shipped table, in its first quantisation (KV and
 * buffers grow with the weights); 0 when none do. Reads that table: a fraction of
 * a millisecond, with memory from the C library. */
GOV_API uint64_t gov_capacity_largest(const struct gov_capacity_device *device,
                                      gov_way way, uint64_t context);

/* YAML text such as configs/devices.yaml, and what messages call it. */
struct gov_table_text {
    const char *text; /* need not end in NUL; NULL is an empty text */
    size_t bytes;
    const char *name; /* NULL: what is in it */
};

/* A table of machines or of models; from NULL means the shipped one. Writes at
 * most `max` entries and how many there are in *count; on failure *count is 0.
 *
 * GOV_E_FORMAT  the message has NAME:LINE:COLUMN; GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status
gov_capacity_devices(struct gov_capacity_device *out, size_t max, size_t *count,
                     const struct gov_table_text *from, gov_error *err);
GOV_API GOV_NODISCARD gov_status
gov_capacity_models(struct gov_capacity_model *out, size_t max, size_t *count,
                    const struct gov_table_text *from, gov_error *err);

/* A class of machines. */
struct gov_tier {
    char name[32];      /* "laptop" */
    char sentence[192]; /* what it means for models */
    size_t number;      /* place in the table, from 0, smallest first */
};

/* The tier of a machine with these facts: the first of the table whose condition
 * is true. from NULL means the shipped table.
 *
 * GOV_E_NOT_FOUND  no condition is true; what is unknown is not
 * GOV_E_FORMAT, GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status
gov_tier_find(struct gov_tier *out, const struct gov_facts *facts,
              const struct gov_table_text *from, gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
