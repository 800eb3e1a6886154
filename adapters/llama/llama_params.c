/* SPDX-License-Identifier: MIT */
/* Requests as llama.cpp's parameters. Loads nothing. */
#include "adapters/llama/llama_params.h"

#include <ggml-backend.h>
#include <inttypes.h>

#define SEQUENCES 256      /* LLAMA_MAX_SEQ */
#define MANY_LAYERS 100000 /* more than any model has */

static const enum ggml_type kv_types[] = {
    [GOV_KV_UNSET] = GGML_TYPE_F16, [GOV_KV_F16] = GGML_TYPE_F16,
    [GOV_KV_Q8_0] = GGML_TYPE_Q8_0, [GOV_KV_F32] = GGML_TYPE_F32,
    [GOV_KV_BF16] = GGML_TYPE_BF16, [GOV_KV_Q4_0] = GGML_TYPE_Q4_0,
    [GOV_KV_Q4_1] = GGML_TYPE_Q4_1, [GOV_KV_Q5_0] = GGML_TYPE_Q5_0,
    [GOV_KV_Q5_1] = GGML_TYPE_Q5_1, [GOV_KV_IQ4_NL] = GGML_TYPE_IQ4_NL,
};
#define KV_TYPES (sizeof(kv_types) / sizeof(kv_types[0]))

/* With an accelerator in reach llama.cpp may keep weights in memory pinned for
 * it, which is not mapped. The list is only read, whatever its type says. */
struct llama_model_params gov__llama_model_params(uint32_t gpu_layers)
{
    static ggml_backend_dev_t no_devices[] = {NULL};
    struct llama_model_params params = llama_model_default_params();

    if (gpu_layers == 0)
        params.devices = no_devices;
    /* A negative number would be all of them. */
    params.n_gpu_layers =
        gpu_layers < MANY_LAYERS ? (int32_t)gpu_layers : MANY_LAYERS;
    params.load_mode = LLAMA_LOAD_MODE_MMAP;
    /* Repacking copies weights into anonymous memory, which is what a mapping
     * is there to avoid. */
    params.use_extra_bufts = false;
    return params;
}

/* llama_supports_gpu_offload() is also true of a build that could ask another
 * machine, where nobody has named one. */
bool gov__llama_has_gpu(void)
{
    if (!llama_supports_gpu_offload())
        return false;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++)
        switch (ggml_backend_dev_type(ggml_backend_dev_get(i))) {
        case GGML_BACKEND_DEVICE_TYPE_GPU:
        case GGML_BACKEND_DEVICE_TYPE_IGPU:
            return true;
        default:
            break;
        }
    return false;
}

struct llama_context_params
gov__llama_context_params(const struct gov_need_request *request)
{
    struct llama_context_params params = llama_context_default_params();

    params.n_ctx = request->context;
    params.n_batch = params.n_ubatch = request->batch;
    params.n_seq_max = request->sequences;
    /* The default reserves logits for every token of a batch. It must hold a
     * row for each sequence. */
    params.n_outputs_max = request->outputs;
    if (request->outputs != 0 && request->outputs < request->sequences)
        params.n_outputs_max = request->sequences;
    params.type_k = kv_types[request->k_type];
    params.type_v = kv_types[request->v_type];
    params.flash_attn_type = request->flash_attention
                                 ? LLAMA_FLASH_ATTN_TYPE_AUTO
                                 : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.kv_unified = request->unified;
    /* The default keeps the whole context in layers that look back over a
     * window of it. */
    params.swa_full = false;
    return params;
}

gov_status gov__llama_check(const struct gov_need_request *request,
                            const char *doing, gov_error *err)
{
    if ((size_t)request->k_type >= KV_TYPES ||
        (size_t)request->v_type >= KV_TYPES)
        return gov_fail(
            err, GOV_E_INVALID, 0,
            "%s: K and V of types %d and %d are none that are known", doing,
            (int)request->k_type, (int)request->v_type);
    if (request->context == 0 || request->context > INT32_MAX - 256)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "%s: a context of %" PRIu32
                        " tokens is none that llama.cpp can make",
                        doing, request->context);
    if (request->batch == 0 || request->batch > INT32_MAX ||
        request->outputs > request->batch)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "%s: a batch of %" PRIu32 " tokens with %" PRIu32
                        " outputs is none that llama.cpp can compute",
                        doing, request->batch, request->outputs);
    if (request->sequences == 0 || request->sequences > SEQUENCES ||
        request->sequences > request->batch)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "%s: %" PRIu32 " sequences are more than llama.cpp "
                        "can keep apart, or none",
                        doing, request->sequences);
    return GOV_OK;
}
