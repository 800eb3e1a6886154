/* SPDX-License-Identifier: MIT */
#include <cstdlib>
#include <cstring>
#include <llama-cpp.h>
#include <src/llama-ext.h>

#include "tests/engine/llama_breakdown.h"

static void watch(ggml_log_level, const char *text, void *data)
{
    const char words[] = "output buffer size =";
    const char *found = std::strstr(text, words);

    if (found != nullptr)
        static_cast<breakdown *>(data)->output_mib =
            std::strtod(found + sizeof(words) - 1, nullptr);
}

bool llama_breakdown(const char *path, llama_load_mode mode, bool repack,
                     llama_context_params params, breakdown *out)
{
    static ggml_backend_dev_t no_devices[] = {nullptr};
    llama_model_params mp = llama_model_default_params();

    *out = {};
    llama_log_set(watch, out);
    mp.devices = no_devices;
    mp.load_mode = mode;
    mp.use_extra_bufts = repack;

    const llama_model_ptr model(llama_model_load_from_file(path, mp));
    const llama_context_ptr context(
        model ? llama_init_from_model(model.get(), params) : nullptr);

    if (!context)
        return false;
    for (const auto &[type, bytes] :
         llama_get_memory_breakdown(context.get())) {
        out->weights += bytes.model;
        out->context += bytes.context;
        out->compute += bytes.compute;
    }
    return true;
}
