/* SPDX-License-Identifier: MIT */
/* What a real load of llama.cpp allocates, as it says itself. It is asked in C++,
 * hence a file of its own. Shares nothing with the adapter. */
#ifndef GOV_TESTS_LLAMA_BREAKDOWN_H
#define GOV_TESTS_LLAMA_BREAKDOWN_H

#include <llama.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct breakdown {
    uint64_t weights, context, compute;
    double output_mib; /* from the log, which has two digits after the point */
};

/* Loads the model without an accelerator and makes a context; false when one of
 * the two is refused. */
bool llama_breakdown(const char *path, enum llama_load_mode mode, bool repack,
                     struct llama_context_params params, struct breakdown *out);

#ifdef __cplusplus
}
#endif
#endif
