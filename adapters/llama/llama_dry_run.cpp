/* SPDX-License-Identifier: MIT */
/* Asks llama.cpp what it would allocate: it loads a model's header and builds its
 * graphs as always, but no weights and no cache. The numbers are behind C++
 * interfaces that llama.cpp calls unstable, so this file is built only against
 * the sources that the library was built from, and refuses another library.
 *
 * Nothing is thrown out of here. llama.cpp also ends the process over some
 * headers (GGML_ASSERT): llama_ask.c calls this where that does no harm. */
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <set>
#include <string>

#include <ggml-backend.h>
#include <gguf.h>
#include <llama-cpp.h>
#include <src/llama-ext.h>
#include <src/llama-kv-cache-iswa.h>
#include <src/llama-kv-cache.h>
#include <src/llama-memory-hybrid-iswa.h>
#include <src/llama-memory-hybrid.h>
#include <src/llama-memory-recurrent.h>
#include <src/llama-model.h>

#include "adapters/llama/llama_params.h"

#define AS_TEXT(word) #word
#define TEXT_OF(macro) AS_TEXT(macro)

namespace
{

/* Of the sources; a number with two points is no number for the compiler. */
constexpr const char *built_from = TEXT_OF(GOV_LLAMA_VERSION);

using sizes = std::map<ggml_backend_buffer_type_t, size_t>;

/* Vocabularies of published models have up to 0.3 million. */
constexpr uint32_t most_tokens = 16u << 20;

struct refusal : std::exception {
    gov_status status;
    std::string sentence; /* "": the engine's log has it */

    refusal(gov_status what, std::string why)
        : status(what), sentence(std::move(why))
    {
    }
};

/* A vocabulary that is no more than a number in the header is made in full, 40
 * bytes a token, whatever the number. */
void check_vocabulary(const char *path)
{
    gguf_init_params params = {true, nullptr};
    std::unique_ptr<gguf_context, void (*)(gguf_context *)> header(
        gguf_init_from_file(path, params), gguf_free);

    for (int64_t i = 0; header && i < gguf_get_n_kv(header.get()); i++) {
        const std::string key = gguf_get_key(header.get(), i);
        const std::string end = ".vocab_size";

        if (key.size() > end.size() &&
            key.compare(key.size() - end.size(), end.size(), end) == 0 &&
            gguf_get_kv_type(header.get(), i) == GGUF_TYPE_UINT32 &&
            gguf_get_val_u32(header.get(), i) > most_tokens)
            throw refusal(GOV_E_UNSUPPORTED,
                          "its " + key + " is no size of a vocabulary");
    }
}

llama_model_ptr load(const char *path, const gov_need_request &request)
{
    llama_model_params params = gov__llama_model_params(request.gpu_layers);

    if (request.gpu_layers > 0 && !llama_supports_gpu_offload())
        throw refusal(GOV_E_UNSUPPORTED,
                      "this llama.cpp has no driver for a GPU");
    params.no_alloc = true;
    params.load_mode = LLAMA_LOAD_MODE_NONE; /* it does not do both */
    params.use_extra_bufts =
        request.strategy == GOV_STRATEGY_HEAP && request.repack;

    llama_model_ptr model(llama_model_load_from_file(path, params));

    if (!model)
        throw refusal(GOV_E_ENGINE, "");
    return model;
}

/* Memory of a GPU, and not memory of the host that one can reach. Repacked
 * weights are of no buffer type that calls itself the host's. */
gov_pool &pool_of(ggml_backend_buffer_type_t type, gov_need &need)
{
    const ggml_backend_dev_t device = ggml_backend_buft_get_device(type);

    if (device == nullptr || ggml_backend_buft_is_host(type))
        return need.ram;
    switch (ggml_backend_dev_type(device)) {
    case GGML_BACKEND_DEVICE_TYPE_GPU:
    case GGML_BACKEND_DEVICE_TYPE_IGPU:
        return need.gpu;
    default:
        return need.ram;
    }
}

/* What recurrent layers keep, which the engine's sum does not tell apart from
 * keys and values. A small state that compressed attention keeps beside its
 * cache (deepseek4) stays with those. */
sizes state_of(const llama_memory_i *memory)
{
    if (const auto *m = dynamic_cast<const llama_memory_recurrent *>(memory))
        return m->memory_breakdown();
    if (const auto *m = dynamic_cast<const llama_memory_hybrid *>(memory))
        return m->get_mem_recr()->memory_breakdown();
    if (const auto *m = dynamic_cast<const llama_memory_hybrid_iswa *>(memory))
        return m->get_mem_recr()->memory_breakdown();
    return {};
}

void count_cells(const llama_memory_i *memory, gov_need &need)
{
    const auto *full = dynamic_cast<const llama_kv_cache *>(memory);
    const auto *both = dynamic_cast<const llama_kv_cache_iswa *>(memory);

    if (const auto *m = dynamic_cast<const llama_memory_hybrid *>(memory))
        full = m->get_mem_attn();
    if (const auto *m = dynamic_cast<const llama_memory_hybrid_iswa *>(memory))
        both = m->get_mem_attn();
    if (both != nullptr) {
        const llama_kv_cache *window = both->get_swa();

        full = both->get_base();
        need.window_cells =
            uint64_t{window->get_size()} * window->get_n_stream();
    }
    if (full != nullptr)
        need.cells = uint64_t{full->get_size()} * full->get_n_stream();
}

/* Some architectures (gemma3n) make a second copy of a tied embedding in the same
 * memory. In a mapping both are the same pages, which the dry run does not see:
 * it counts as for a load into memory. */
uint64_t mapped_twice(const llama_model *model,
                      ggml_backend_buffer_type_t plain)
{
    std::set<std::string> seen;
    uint64_t bytes = 0;

    for (const auto &[name, tensor] : llama_internal_get_tensor_map(model))
        if (tensor->buffer != nullptr &&
            ggml_backend_buffer_get_type(tensor->buffer) == plain &&
            !seen.insert(name).second)
            bytes += GGML_PAD(ggml_nbytes(tensor),
                              ggml_backend_buft_get_alignment(plain));
    return bytes;
}

/* llama_context::output_reserve(): a row for each sequence at first, as many as a
 * batch asks for later. */
uint64_t output_bytes(const llama_model *model, const gov_need_request &request)
{
    const llama_vocab *vocab = llama_model_get_vocab(model);
    uint64_t rows =
        request.outputs == 0 ? request.batch : uint64_t{request.outputs};

    if (rows < request.sequences)
        rows = request.sequences;
    return rows * sizeof(float) *
           static_cast<uint64_t>(llama_vocab_n_tokens(vocab));
}

void measure(const char *path, const gov_need_request &request, gov_need &need)
{
    check_vocabulary(path);

    const llama_model_ptr model = load(path, request);
    const llama_context_ptr context(llama_init_from_model(
        model.get(), gov__llama_context_params(&request)));

    if (!context)
        throw refusal(GOV_E_ENGINE, "");

    const llama_memory_i *memory = llama_get_memory(context.get());
    const ggml_backend_buffer_type_t plain = ggml_backend_cpu_buffer_type();
    sizes state = state_of(memory);

    for (const auto &[type, bytes] :
         llama_get_memory_breakdown(context.get())) {
        gov_pool &pool = pool_of(type, need);

        pool.weights += bytes.model;
        pool.compute += bytes.compute;
        pool.state += state[type];
        pool.kv += bytes.context - state[type];
        if (type != plain && &pool == &need.ram &&
            !ggml_backend_buft_is_host(type))
            need.repack += bytes.model;
    }
    if (request.strategy != GOV_STRATEGY_HEAP)
        need.ram.weights -= mapped_twice(model.get(), plain);
    count_cells(memory, need);
    need.ram.output = output_bytes(model.get(), request);
    need.kv_least = need.ram.kv + need.gpu.kv + need.ram.state + need.gpu.state;
    need.kv_exact = true;
    need.compute_known = true;
}

} // namespace

gov_status gov__llama_dry_run(const char *path, const gov_need_request *request,
                              gov_need *out, char why[192])
{
    gov_status status = GOV_E_ENGINE;

    why[0] = '\0';
    *out = gov_need{};
    if (std::strcmp(llama_version(), built_from) != 0) {
        std::snprintf(why, 192,
                      "the library is llama.cpp %s and this adapter was built "
                      "from the sources of %s",
                      llama_version(), built_from);
        return GOV_E_UNSUPPORTED;
    }
    try {
        measure(path, *request, *out);
        return GOV_OK;
    } catch (const refusal &e) {
        status = e.status;
        std::snprintf(why, 192, "%s", e.sentence.c_str());
    } catch (const std::bad_alloc &) {
        status = GOV_E_NOMEM;
        std::snprintf(why, 192, "there is no memory for its header");
    } catch (const std::exception &e) {
        std::snprintf(why, 192, "%s", e.what());
    } catch (...) {
        std::snprintf(why, 192, "it threw what is no exception");
    }
    return status;
}
