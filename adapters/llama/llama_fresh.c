/* SPDX-License-Identifier: MIT */
/* A context is made without memory behind its KV cache: llama.cpp fills a fresh
 * buffer with zeros, and pages that were given back read as zeros. Owns what happens
 * while a context is made; nothing of it stays. */
#include <ggml-backend.h>
#include <string.h>
#include <sys/mman.h>

#include "adapters/llama/llama_session.h"
#include "adapters/llama_interpose/interpose.h"

#ifdef __ELF__
/* In the program that has it: llama_interpose/interpose.h. */
#pragma weak gov_llama_interpose_clears

bool gov__llama_takes_all(void)
{
    return gov_llama_interpose_clears == NULL;
}

static void ask_before_clears(bool (*clears)(void *ctx, void *buffer,
                                             uint8_t value),
                              void *ctx)
{
    if (gov_llama_interpose_clears != NULL)
        gov_llama_interpose_clears(clears, ctx);
}
#else
bool gov__llama_takes_all(void)
{
    return false;
}

static void ask_before_clears(bool (*clears)(void *ctx, void *buffer,
                                             uint8_t value),
                              void *ctx)
{
    (void)clears;
    (void)ctx;
}
#endif

/* The buffers of a context: those that were left without memory, and of those that
 * could be the ones that were not. */
struct buffers {
    size_t page_bytes;
    bool given, cleared;
};

/* Where the system gives huge pages to everybody (transparent_hugepage: always) the
 * first token would take 2 MiB of each tensor, and half a huge page that is given back
 * gives the machine nothing: a cache of 32768 tokens in 16 tensors began with 36.6 MB
 * in place of 5.5. */
static void keep_small(void *pages, size_t bytes)
{
#ifdef MADV_NOHUGEPAGE
    (void)madvise(pages, bytes, MADV_NOHUGEPAGE);
#else
    (void)pages;
    (void)bytes;
#endif
}

/* Where the system takes nothing back (memory that is locked) it is cleared as ever. */
static bool give_back(void *ctx, void *buffer, uint8_t value)
{
    struct buffers *buffers = ctx;
    const size_t bytes = ggml_backend_buffer_get_size(buffer);
    char *base = ggml_backend_buffer_get_base(buffer);
    const size_t before =
        (size_t)(-(uintptr_t)base & (buffers->page_bytes - 1));
    uint64_t given;

    if (value != 0 || bytes <= before ||
        ggml_backend_buffer_get_type(buffer) != ggml_backend_cpu_buffer_type())
        return false;
    given = gov_discard(base, bytes);
    if (given == 0) {
        buffers->cleared = true;
        return false;
    }
    keep_small(base + before, (size_t)given);
    memset(base, 0, before);
    memset(base + before + given, 0, bytes - before - (size_t)given);
    buffers->given = true;
    return true;
}

struct llama_context *
gov__llama_make_context(gov_session *session,
                        struct llama_context_params params)
{
    struct buffers buffers = {session->kv.page_bytes, false, false};
    const int32_t window = llama_model_n_swa(session->model);
    struct llama_context *context;

    ask_before_clears(give_back, &buffers);
    context = llama_init_from_model(session->model, params);
    ask_before_clears(NULL, NULL);
    session->kv.fresh = buffers.given && !buffers.cleared;
    session->kv.window = window > 0 ? (uint32_t)window : 0;
    return context;
}
