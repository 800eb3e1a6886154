/* SPDX-License-Identifier: MIT */
/* libgovernor-llama-interpose: a program that links it before its C library, or
 * is started with it preloaded, calls mmap(), munmap() and posix_madvise() through
 * it, and its engine ggml_backend_buffer_clear().
 * While a load of the adapter is under way on a thread, that thread's mappings of
 * files are made without MAP_POPULATE, and advice to read them whole is passed
 * over: llama.cpp would read all of a model before the first token, where the
 * governed range brings it in as it is used; and before it unmaps any of that the
 * range lets go of it. While it makes a context, buffers are filled with zeros by
 * giving their memory back: a KV cache takes memory as it is used. Everything else
 * goes to the system, or to the engine, unchanged, errno included. The adapter finds
 * these by name; without them loading works, and describe() says what is lost.
 *
 * A static program links libgovernor-llama-interpose.a with -Wl,--wrap=mmap
 * -Wl,--wrap=mmap64 -Wl,--wrap=munmap -Wl,--wrap=posix_madvise
 * -Wl,--wrap=ggml_backend_buffer_clear instead. */
#ifndef GOV_LLAMA_INTERPOSE_H
#define GOV_LLAMA_INTERPOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policies/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of one mapping that was made meanwhile. */
struct gov_llama_mapping {
    void *base;
    size_t bytes;
    uint64_t device, inode; /* of the file, by fstat() */
};

/* From now on, on this thread: file mappings are not populated, and the first
 * `room` of them are written down (list may be NULL). One at a time a thread;
 * a second call replaces the first. */
GOV_API void gov_llama_interpose_begin(struct gov_llama_mapping *list,
                                       size_t room);
/* No longer; returns how many mappings were written down. */
GOV_API size_t gov_llama_interpose_end(void);

/* Calls `unmaps` once, on this thread, right before it first unmaps anything of
 * `list`, which stays the caller's and in place until then; it may unmap, but not
 * what is listed. Without `unmaps` nothing is watched any more. False where
 * munmap() does not come this way: a static program lacks -Wl,--wrap=munmap. */
GOV_API bool gov_llama_interpose_watch(const struct gov_llama_mapping *list,
                                       size_t count, void (*unmaps)(void *ctx),
                                       void *ctx);

/* From now on `clears` is asked, on this thread, before ggml fills a buffer (a
 * ggml_backend_buffer_t) with one value: true where that is done already. It may
 * clear others. NULL: nobody is asked any more. */
GOV_API void gov_llama_interpose_clears(bool (*clears)(void *ctx, void *buffer,
                                                       uint8_t value),
                                        void *ctx);

#ifdef __cplusplus
}
#endif
#endif
