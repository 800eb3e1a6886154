/* SPDX-License-Identifier: MIT */
/* What the files of the llama.cpp adapter share: one loaded model with one
 * context and one conversation. The adapter uses llama.cpp's public C API and
 * governor's public headers, and nothing else of either.
 *
 * Threads: a session is driven by one thread at a time. kv_usage() and the relief
 * callbacks come on others: they read atomics, and gov__kv_release() runs only
 * between passes. So whatever changes the cache, or what is known of it, happens
 * between gov_pass_begin() and gov_pass_end(). */
#ifndef GOV_ADAPTERS_LLAMA_SESSION_H
#define GOV_ADAPTERS_LLAMA_SESSION_H

#include <llama.h>
#include <stdatomic.h>

#include "adapters/llama/llama_kv.h"
#include "governor/governor.h"

/* States of prompts; a prompt of 1000 tokens takes 48 MB on a 1B model. */
#define GOV__LLAMA_PROMPT_BYTES (UINT64_C(64) << 20)

struct gov_session {
    const gov_model *file;
    struct gov_plan plan;
    gov_strategy strategy; /* what runs; the plan's unless text says why not */
    gov_runtime *runtime;  /* NULL: not governed */
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    /* A pass can be taken back: its state is one cell a token. */
    bool revocable;

    gov_weights *weights; /* NULL: heap, or a mapping that cannot be governed */
    bool streaming;       /* cold units: the callback reports every layer */
    /* The first unit of each layer, and of the output; UINT32_MAX: none. */
    uint32_t *unit_of_layer;
    uint32_t layers, output_unit;
    bool exploring; /* a pass that is shown and not computed */
    uint32_t layers_shown;

    struct gov__llama_kv kv;
    uint32_t relief_id, cache_id;
    gov_cache *prompts; /* state after a prompt, by a hash of its tokens */

    llama_token *tokens;   /* room for one context */
    _Atomic uint32_t past; /* tokens of the conversation in the context */
    const float *logits;   /* of the last token; NULL: there are none */
    float *kept_logits;    /* room for those of a prompt that was put back */
    uint64_t generated;
    uint64_t published_us;
    const struct gov_generate *request; /* during generate(), else NULL */
    char text[512];                     /* describe() */
};

/* Memory for small things, zeroed; NULL when there is none. */
void *gov__llama_new(size_t bytes);
void gov__llama_delete(void *block); /* accepts NULL */

/* Microseconds of a monotonic clock. */
uint64_t gov__llama_now_us(void);

/* llama.cpp's callback for graph nodes: learns where the KV cache lies and, when
 * streaming, tells the governed range which unit comes next. */
bool gov__llama_node(struct ggml_tensor *node, bool ask, void *session);

/* llama.cpp's question between nodes whether to stop the pass. */
bool gov__llama_stop(void *session);

/* Shows the nodes of a pass to gov__llama_node() without computing it: where the
 * cache lies and which layers are reported is known before the first prompt. */
void gov__llama_explore(gov_session *session);

/* gov_engine's generate and reset. */
gov_status gov__llama_generate(gov_session *session,
                               const struct gov_generate *request,
                               struct gov_generated *out, gov_error *err);
void gov__llama_reset(gov_session *session);

/* Publishes the counters of a session; `settled` also those that cost more. */
void gov__llama_publish(gov_session *session, bool settled);

/* While any session is open the engine's log comes here instead of stderr. */
void gov__llama_log_acquire(void);
void gov__llama_log_release(void);
/* The first error that the engine logged on this thread since the session was
 * begun, on one line; "" if none. Later ones repeat it in fewer words. */
void gov__llama_log_error(char *out, size_t bytes);

#endif
