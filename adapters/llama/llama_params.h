/* SPDX-License-Identifier: MIT */
/* What is asked of llama.cpp, by a load and by its dry run alike: the second
 * tells the truth about the first because both fill their parameters here. And
 * the two halves of the dry run: llama_ask.c, which keeps it away from this
 * process, and llama_dry_run.cpp, which asks the engine. C and C++. */
#ifndef GOV_ADAPTERS_LLAMA_PARAMS_H
#define GOV_ADAPTERS_LLAMA_PARAMS_H

#include <llama.h>

#include "governor/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Without repacking, mapped: what a load changes of it is for its plan to say. The
 * last `gpu_layers` layers, the output being one more, go to the devices that
 * llama.cpp chooses; with 0 it is told of none. */
struct llama_model_params gov__llama_model_params(uint32_t gpu_layers);

/* Whether llama.cpp has a device to put layers on. Any thread. */
bool gov__llama_has_gpu(void);

/* Everything but threads and callbacks. The request is one that
 * gov__llama_check() accepts. */
struct llama_context_params
gov__llama_context_params(const struct gov_need_request *request);

/* llama.cpp ends the process over numbers that it does not expect; `doing` is the
 * word that a sentence begins with. */
gov_status gov__llama_check(const struct gov_need_request *request,
                            const char *doing, gov_error *err);

/* gov_engine's dry_run. */
gov_status gov__llama_ask(const gov_model *model,
                          const struct gov_need_request *request,
                          struct gov_need *out, gov_error *err);

/* Asks the engine in this process, which it may end: see llama_ask.c. On failure
 * `why` is a sentence, or "" when the engine's log has it. */
gov_status gov__llama_dry_run(const char *path,
                              const struct gov_need_request *request,
                              struct gov_need *out, char why[192]);

#ifdef __cplusplus
}
#endif
#endif
