/* SPDX-License-Identifier: MIT */
/* Facts: everything a rule may ask about, declared once. The table below drives
 * the type checker, the trace and the reference page. */
#ifndef GOV_POLICIES_FACTS_H
#define GOV_POLICIES_FACTS_H

#include <stdbool.h>

#include "policies/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a value is written and what it may be compared with. */
typedef enum gov_type {
    GOV_TYPE_BYTES,    /* bytes */
    GOV_TYPE_COUNT,    /* a plain number */
    GOV_TYPE_RATIO,    /* parts per million */
    GOV_TYPE_DURATION, /* microseconds */
    GOV_TYPE_FLAG,     /* 0 or 1 */
    GOV_TYPE_TEXT,     /* UTF-8 */
} gov_type;

/* X(id, "name", type, "source", "sentence"). Append only: ids are ABI. */
#define GOV_FACT_MAP(X)                                                        \
    X(DEVICE_RAM, "device.ram", BYTES, "device profile", "memory installed")   \
    X(DEVICE_LIMIT, "device.limit", BYTES, "device profile",                   \
      "the container's or the system's memory limit for this process")         \
    X(DEVICE_SWAP, "device.swap", BYTES, "device profile",                     \
      "swap space, compressed or on disk")                                     \
    X(DEVICE_PAGE_SIZE, "device.page_size", BYTES, "device profile",           \
      "size of a memory page")                                                 \
    X(DEVICE_CORES, "device.cores", COUNT, "device profile",                   \
      "processors this process may use")                                       \
    X(DEVICE_OS, "device.os", TEXT, "device profile",                          \
      "operating system: linux, darwin or other")                              \
    X(DEVICE_ARCH, "device.arch", TEXT, "device profile",                      \
      "processor architecture, for instance x86_64 or arm64")                  \
    X(DEVICE_READ_RATE, "device.read_rate", BYTES, "device profile",           \
      "sequential read bandwidth of the model's file system, bytes a second")  \
    X(BUDGET_RAM, "budget.ram", BYTES, "device profile",                       \
      "bytes of memory the app may use: limit less reserve")                   \
    X(MODEL_FORMAT, "model.format", TEXT, "model file",                        \
      "container format: gguf or safetensors")                                 \
    X(MODEL_ARCHITECTURE, "model.architecture", TEXT, "model file",            \
      "architecture name as the file gives it")                                \
    X(MODEL_QUANTIZATION, "model.quantization", TEXT, "model file",            \
      "tensor type that holds most of the weights")                            \
    X(MODEL_FILE, "model.file", BYTES, "model file", "size of the file")       \
    X(MODEL_WEIGHTS, "model.weights", BYTES, "model file",                     \
      "bytes of all tensors")                                                  \
    X(MODEL_LAYERS, "model.layers", COUNT, "model file", "transformer blocks") \
    X(MODEL_CONTEXT_MAX, "model.context_max", COUNT, "model file",             \
      "tokens of context the model was trained for")                           \
    X(MODEL_KV_PER_TOKEN, "model.kv_per_token", BYTES, "model file",           \
      "KV cache per token of layers that attend to everything, with the "      \
      "planned element type")                                                  \
    X(MODEL_KV, "model.kv", BYTES, "derived",                                  \
      "KV cache for the planned context, and state that does not grow")        \
    X(MODEL_COMPUTE, "model.compute", BYTES, "model file",                     \
      "estimate of the engine's buffers, without what the context adds")       \
    X(MODEL_LARGEST_UNIT, "model.largest_unit", BYTES, "model file",           \
      "largest part of the weights that is used together: a layer, mostly")    \
    X(MODEL_REPACK, "model.repack_bytes", BYTES, "model file",                 \
      "weights that the engine would copy into a faster layout")               \
    X(MODEL_MAPPED_FOOTPRINT, "model.mapped_footprint", BYTES, "derived",      \
      "memory that cannot be dropped when weights are mapped")                 \
    X(MODEL_HEAP_FOOTPRINT, "model.heap_footprint", BYTES, "derived",          \
      "memory that cannot be dropped when weights are in the heap")            \
    X(MODEL_ENCRYPTED, "model.encrypted", FLAG, "the app",                     \
      "tensor data is encrypted on disk")                                      \
    X(MODEL_MOE, "model.moe", FLAG, "model file",                              \
      "mixture of experts: a token uses some of the weights only")             \
    X(REQUEST_CONTEXT, "request.context", COUNT, "the app",                    \
      "tokens of context the app asks for")                                    \
    X(REQUEST_STRATEGY, "request.strategy", TEXT, "the app",                   \
      "strategy the app asks for")                                             \
    X(REQUEST_KV_TYPE, "request.kv_type", TEXT, "the app",                     \
      "KV element type the app asks for")                                      \
    X(REQUEST_QUERIES, "request.queries_per_minute", COUNT, "the app",         \
      "requests a minute the app expects")                                     \
    X(PRESSURE_LEVEL, "pressure.level", TEXT, "pressure",                      \
      "level at launch: normal, warn or critical")                             \
    X(PRESSURE_HEADROOM, "pressure.headroom", BYTES, "pressure",               \
      "budget less footprint at launch")                                       \
    X(DEVICE_CPU, "device.cpu", TEXT, "device profile",                        \
      "model of the processor")                                                \
    X(DEVICE_PERFORMANCE_CORES, "device.performance_cores", COUNT,             \
      "device profile", "of the processors, those built for speed")            \
    X(DEVICE_EFFICIENCY_CORES, "device.efficiency_cores", COUNT,               \
      "device profile", "of the processors, those built to save power")        \
    X(DEVICE_SIMD, "device.simd", TEXT, "device profile",                      \
      "vector instructions that engines use, weakest first, separated by "     \
      "spaces")                                                                \
    X(DEVICE_SYSTEM, "device.system", TEXT, "device profile",                  \
      "kernel and its version")                                                \
    X(DEVICE_HUGE_PAGE, "device.huge_page", BYTES, "device profile",           \
      "size of a transparent huge page")                                       \
    X(DEVICE_HUGE_PAGES, "device.thp", TEXT, "device profile",                 \
      "who gets transparent huge pages: always, madvise or never")             \
    X(DEVICE_ZRAM, "device.zram", BYTES, "device profile",                     \
      "swap that is compressed memory, before compression")                    \
    X(DEVICE_ZSWAP, "device.zswap", FLAG, "device profile",                    \
      "pages are compressed in memory before they go to swap")                 \
    X(DEVICE_OVERCOMMIT, "device.overcommit", TEXT, "device profile",          \
      "what the kernel promises: heuristic, always or strict")                 \
    X(DEVICE_MEMLOCK, "device.memlock", BYTES, "device profile",               \
      "memory this user may lock")                                             \
    X(DEVICE_PSI, "device.psi", FLAG, "device profile",                        \
      "pressure stall information can be read")                                \
    X(DEVICE_USERFAULTFD, "device.userfaultfd", FLAG, "device profile",        \
      "this user may handle page faults of its own process")                   \
    X(DEVICE_CACHESTAT, "device.cachestat", FLAG, "device profile",            \
      "this user may ask what of a file is in memory")                         \
    X(DEVICE_IO_URING, "device.io_uring", FLAG, "device profile",              \
      "this user may queue reads with io_uring")                               \
    X(DEVICE_PRESSURE_BACKEND, "device.pressure_backend", TEXT,                \
      "device profile", "where memory pressure will be read")                  \
    X(DEVICE_WIRED_LIMIT, "device.wired_limit", BYTES, "device profile",       \
      "iogpu.wired_limit_mb, when somebody has set it")                        \
    X(DEVICE_RESERVE, "device.reserve", BYTES, "device profile",               \
      "memory never lent to models")                                           \
    X(DEVICE_OTHERS, "device.others", BYTES, "device profile",                 \
      "charged to the limit's group by other processes and not droppable")     \
    X(DEVICE_READ_PATH, "device.read_path", TEXT, "device profile",            \
      "fastest way to read a file: readahead, populate, parallel, direct, "    \
      "io_uring or huge")                                                      \
    X(DEVICE_RANDOM_READ_RATE, "device.random_read_rate", BYTES,               \
      "device profile", "16 KiB random read bandwidth, bytes a second")        \
    X(DEVICE_MEMORY_RATE, "device.memory_rate", BYTES, "device profile",       \
      "sequential read bandwidth of memory, bytes a second")                   \
    X(DEVICE_TIER, "device.tier", TEXT, "device profile",                      \
      "what class of machine this is, by tiers.yaml")                          \
    X(GPU_COUNT, "gpu.count", COUNT, "device profile",                         \
      "graphics processors, software ones not counted")                        \
    X(GPU_WORKING_SET, "gpu.working_set", BYTES, "device profile",             \
      "memory the GPU with the largest share may use at once")                 \
    X(GPU_SHARES_RAM, "gpu.shares_ram", FLAG, "device profile",                \
      "that GPU has no memory of its own")                                     \
    X(BUDGET_GPU, "budget.gpu", BYTES, "device profile",                       \
      "bytes of GPU memory beside budget.ram; 0 where the GPU shares RAM")     \
    X(MODEL_KNOWN, "model.known", FLAG, "model file",                          \
      "it is known how this architecture keeps its state; if not, KV is the "  \
      "most it may be")                                                        \
    X(MODEL_WINDOW_KV, "model.window_kv_per_token", BYTES, "model file",       \
      "KV cache per token of layers that look back over a window, with the "   \
      "planned element type")                                                  \
    X(MODEL_WINDOW, "model.window", COUNT, "model file",                       \
      "tokens that such a layer keeps at most")                                \
    X(MODEL_STATE, "model.state", BYTES, "model file",                         \
      "state that does not grow with the context: recurrent layers")           \
    X(MODEL_KV_QUANTIZABLE, "model.kv_quantizable", FLAG, "model file",        \
      "every head is a whole number of blocks of 32, so KV can be quantized")  \
    X(MODEL_COMPUTE_PER_TOKEN, "model.compute_per_token", BYTES, "model file", \
      "what each token of context adds to model.compute")                      \
    X(MODEL_PASS, "model.pass", BYTES, "model file",                           \
      "weights that are read for one token")                                   \
    X(MODEL_PARAMETERS, "model.parameters", COUNT, "model file",               \
      "weights, as numbers")                                                   \
    X(MODEL_EXPERTS, "model.experts", COUNT, "model file",                     \
      "experts in a layer; 0 in dense models")                                 \
    X(MODEL_EXPERTS_USED, "model.experts_used", COUNT, "model file",           \
      "experts that a token uses")                                             \
    X(MODEL_FILES, "model.files", COUNT, "model file",                         \
      "files that the model is split into")                                    \
    X(MODEL_GENERATES, "model.generates", FLAG, "model file",                  \
      "it continues a text; false for models that give embeddings")            \
    X(MODEL_CONTEXT, "model.context", COUNT, "derived",                        \
      "tokens of context that are planned")                                    \
    X(MODEL_ENGINE, "model.engine", BYTES, "model file",                       \
      "estimate of what the engine keeps beside its buffers: vocabulary, "     \
      "graphs, working space")                                                 \
    X(MODEL_SMALLEST_LAYER, "model.smallest_layer", BYTES, "model file",       \
      "weights of the smallest layer")                                         \
    X(REQUEST_SEQUENCES, "request.sequences", COUNT, "the app",                \
      "conversations at once that the app asks for")                           \
    X(REQUEST_GPU_LAYERS, "request.gpu_layers", COUNT, "the app",              \
      "layers on a GPU that the app asks for")                                 \
    X(ENGINE_GPU, "engine.gpu", FLAG, "the engine",                            \
      "this build of the engine can put layers on a GPU that is there")        \
    X(MODEL_COMPUTE_PER_SEQUENCE, "model.compute_per_sequence", BYTES,         \
      "model file",                                                            \
      "what each conversation beyond the first adds to model.compute")         \
    X(DEVICE_REPACK_GAIN, "device.repack_gain", COUNT, "device profile",       \
      "speed of the engine with repacked weights, in thousandths of that "     \
      "with mapped ones: 1000 is no gain")                                     \
    X(DEVICE_HUGE_GAIN, "device.huge_gain", COUNT, "device profile",           \
      "the same with anchored weights in huge pages")                          \
    X(DEVICE_DIRECT_RATE, "device.direct_rate", BYTES, "device profile",       \
      "the same as device.read_rate past the page cache, into memory in huge " \
      "pages")

typedef enum gov_fact {
#define GOV_FACT_ENUM(id, name, type, source, sentence) GOV_FACT_##id,
    GOV_FACT_MAP(GOV_FACT_ENUM)
#undef GOV_FACT_ENUM
        GOV_FACT_COUNT
} gov_fact;

struct gov_fact_info {
    const char *name;
    gov_type type;
    const char *source;
    const char *sentence;
};

/* What is declared about a fact; NULL for a number that is none. */
GOV_API const struct gov_fact_info *gov_fact_info(gov_fact fact);

/* The fact of that name, or GOV_FACT_COUNT. `bytes` bounds the name, which
 * need not end in NUL. */
GOV_API gov_fact gov_fact_find(const char *name, size_t bytes);

/* Whether a system of that kind ("linux", "darwin") can ever tell it. True for a
 * system that is not known, and for NULL. */
GOV_API bool gov_fact_told_by(gov_fact fact, const char *os);

/* Whether the machine alone settles it: device.*, gpu.* and budget.*. */
GOV_API bool gov_fact_of_machine(gov_fact fact);

/* "bytes", "count", "ratio", "duration", "flag" or "text". */
GOV_API const char *gov_type_name(gov_type type);

/* One value; known == false means the system did not say, which is not zero. */
struct gov_value {
    bool known;
    int64_t number;   /* in the type's unit */
    const char *text; /* GOV_TYPE_TEXT; borrowed */
};

/* All facts of one decision. Zeroed means everything is unknown. Texts are
 * borrowed and must outlive it. */
struct gov_facts {
    struct gov_value value[GOV_FACT_COUNT];
};

/* Set one fact. Numbers beyond INT64_MAX are stored as INT64_MAX. */
GOV_API void gov_facts_set(struct gov_facts *facts, gov_fact fact,
                           uint64_t number);
GOV_API void gov_facts_set_text(struct gov_facts *facts, gov_fact fact,
                                const char *text);

/* The number, or `otherwise` where it is unknown. */
GOV_API uint64_t gov_facts_get(const struct gov_facts *facts, gov_fact fact,
                               uint64_t otherwise);

/* Writes a value as a person reads it ("1.50 GiB", "12 ms", "yes",
 * "unknown") into out, always NUL-terminated, and returns out. */
GOV_API char *gov_value_print(char *out, size_t bytes, gov_type type,
                              const struct gov_value *value);

#ifdef __cplusplus
}
#endif
#endif
