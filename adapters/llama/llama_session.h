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
#include <pthread.h>
#include <stdatomic.h>

#include "adapters/llama/llama_kv.h"
#include "governor/activity.h"
#include "governor/governor.h"

/* States of prompts; a prompt of 1000 tokens takes 48 MB on a 1B model. */
#define GOV__LLAMA_PROMPT_BYTES (UINT64_C(64) << 20)

/* Experts of a layer that can be told apart; those beyond are left to demand
 * paging. More than any model has. */
#define GOV__LLAMA_EXPERTS 1024

/* How much of the weights stays: the least of what the budget and relief say. */
struct gov_llama_mapping;
struct gov__llama_hot {
    pthread_mutex_t lock;   /* all that follows */
    bool governed;          /* constant once loaded */
    uint64_t all, plan;     /* constant, and: */
    uint64_t budget, slack; /* at load, and what the plan left of it */
    uint64_t window;        /* beside what stays, as far as is known */
    uint64_t by_budget, by_relief, floor, now;
    /* The last slice of relief, 0: none since; and what there was when its run
     * began. */
    uint64_t relieved_us, relieved_from;
    uint64_t passed_us; /* when the last pass began */
    /* The passes' own: of what the plan reserved for other things. */
    uint64_t lent, looked_us;
    uint64_t shortfall; /* what a smaller budget took of those, weights apart */
    uint32_t looked_past; /* tokens of the conversation when it was looked */
    uint64_t
        anon_before; /* of the process, before the load; where it is known */
    bool knows_anon;
    uint32_t largest_batch; /* tokens */
};

/* During the load of weights that the engine repacks out of a mapping, and what
 * remains of that. */
struct gov__llama_copy {
    bool wanted;  /* constant: it is done that way */
    bool direct;  /* past the page cache */
    bool tried;   /* once a load */
    bool changed; /* a file was, meanwhile */
    gov_weights *weights;
    bool *done;              /* one a tensor */
    uint64_t all, sum;       /* bytes by the engine's count: of all, so far */
    struct timespec *stamps; /* of the files, when they were mapped */
    struct gov_weights_account account; /* of it all; tests ask */
};

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

    struct gov__llama_copy copy;
    struct gov_llama_mapping
        *mappings;         /* during a load: they are written down */
    gov_weights *weights;  /* NULL: the engine's, or cannot be governed */
    atomic_bool reporting; /* the callback reports every layer; relief, which
                            * makes units cold, turns it on */
    bool until_warm;       /* it does so, too, while what stays is read: a layer
                            * is then waited for, and not faulted in */
    bool streaming;        /* there are cold units; tests ask */
    bool by_bells;         /* the range finds out where the engine is */
    bool follows_experts;  /* the callback reports which are used */
    /* The first unit of each layer, of its experts, and of the output;
     * UINT32_MAX: none. One block. */
    uint32_t *unit_of_layer, *experts_of_layer;
    uint32_t layers, output_unit;
    uint32_t told_unit;         /* the last that was reported, or UINT32_MAX */
    uint64_t weights_bytes;     /* of all units */
    uint64_t engine_us, own_us; /* of load() */
    bool exploring;             /* a pass that is shown and not computed */
    uint32_t layers_shown, choices_shown;
    /* Where the engine mapped the files, in their order; NULL: not known. */
    struct gov_weights_place *places;
    bool read_first; /* it read all of them when it did */
    char no_anchor
        [GOV_MESSAGE_BYTES]; /* why heap weights are the engine's copy; or "" */
    gov_decrypt_fn decrypt;
    void *decrypt_ctx;
    gov_progress_fn warming;
    void *warming_ctx;
    struct gov__llama_hot hot;
    struct gov_pass_account pass; /* the last one */

    struct gov__llama_kv kv;
    uint32_t relief_id, cache_id, weights_id;
    gov_cache *prompts; /* state after a prompt, by a hash of its tokens */

    llama_token *tokens;   /* room for one context */
    _Atomic uint32_t past; /* tokens of the conversation in the context */
    const float *logits;   /* of the last token; NULL: there are none */
    float *kept_logits;    /* room for those of a prompt that was put back */
    uint64_t generated;
    uint32_t gauges; /* what this session publishes */
    uint64_t published_us;
    _Atomic uint64_t expected;   /* gov_expect()ed, and still to come */
    atomic_bool expects_no_more; /* what is not there by now comes as it may */
    const struct gov_generate *request; /* during generate(), else NULL */
    char text[1024];                    /* describe() */
};

/* Memory for small things, zeroed; NULL when there is none. */
void *gov__llama_new(size_t bytes);
void gov__llama_delete(void *block); /* accepts NULL */

/* Goes on with what describe() says. */
__attribute__((format(printf, 2, 3))) void
gov__llama_say(gov_session *session, const char *format, ...);

/* Units that are read ahead where the plan does not say. */
#define GOV__LLAMA_AHEAD_USUAL 2

/* Microseconds of a monotonic clock. */
uint64_t gov__llama_now_us(void);

/* llama.cpp's callback for graph nodes: learns where the KV cache lies and, when
 * reporting, tells the governed range which unit comes next. */
bool gov__llama_node(struct ggml_tensor *node, bool ask, void *session);

/* llama.cpp's question between nodes whether to stop the pass. */
bool gov__llama_stop(void *session);

/* Shows the nodes of a pass to gov__llama_node() without computing it: where the
 * cache lies and which layers are reported is known before the first prompt. */
void gov__llama_explore(gov_session *session);

/* ---- llama_fresh.c ---- */

/* llama_init_from_model(), whose caches take memory as they are used where the
 * program can do that. NULL as llama.cpp. */
struct llama_context *
gov__llama_make_context(gov_session *session,
                        struct llama_context_params params);
/* The program lacks the library by which that is done; false also where there is no
 * such library. */
bool gov__llama_takes_all(void);

/* ---- llama_weights.c ---- */

/* llama_model_load_from_file(), without reading what is mapped where the program
 * can do that; finds out where it is. NULL as llama.cpp. */
struct llama_model *gov__llama_map_model(gov_session *session, const char *path,
                                         struct llama_model_params params);
/* posix_madvise() of where it is, if that is known. */
void gov__llama_advise(const gov_session *session, int advice);
/* Heap weights are a mapping that becomes anonymous, not the engine's copy. */
bool gov__llama_anchors_heap(const gov_session *session);
/* Which units are a layer's. */
gov_status gov__llama_map_layers(gov_session *session, gov_error *err);
/* The engine can copy what it repacks out of a mapping. */
bool gov__llama_can_copy(const gov_session *session);
/* While the engine loads: it is so far. */
void gov__llama_loading(gov_session *session, float share);
/* Puts the weights under the plan; what becomes of it is in session->text. Fails
 * only for heap weights that gov__llama_anchors_heap(). */
gov_status gov__llama_hold_weights(gov_session *session, gov_error *err);
/* What there is without the interposed mmap(). */
void gov__llama_say_lost(gov_session *session);
/* Around a pass of so many tokens; `whole` when it was computed to its end. */
gov_status gov__llama_pass_begin(gov_session *session, uint32_t tokens,
                                 gov_error *err);
void gov__llama_pass_end(gov_session *session, bool whole);
/* A layer was computed, experts of one were chosen. */
void gov__llama_reached(gov_session *session, uint32_t layer);
void gov__llama_chosen(gov_session *session, const struct ggml_tensor *chosen,
                       uint32_t layer);
/* An architecture that names few of its layers or none would find the next ones
 * dropped. */
bool gov__llama_tells_layers(const gov_session *session);
/* gov_engine's weights and wait. */
bool gov__llama_weights(gov_session *session, bool exact,
                        struct gov_weights_account *out);
bool gov__llama_wait(gov_session *session, bool all, uint32_t timeout_ms);

/* gov_engine's generate and reset. */
gov_status gov__llama_generate(gov_session *session,
                               const struct gov_generate *request,
                               struct gov_generated *out, gov_error *err);
void gov__llama_reset(gov_session *session);

/* gov_engine's gains. */
gov_status gov__llama_gains(struct gov_facts *facts, gov_progress_fn progress,
                            void *progress_ctx, gov_error *err);

/* While any session is open the engine's log comes here instead of stderr. */
void gov__llama_log_acquire(void);
void gov__llama_log_release(void);
/* Sessions that are open. */
unsigned int gov__llama_log_users(void);
/* The first error that the engine logged on this thread since the session was
 * begun, on one line; "" if none. Later ones repeat it in fewer words. */
void gov__llama_log_error(char *out, size_t bytes);

/* ---- llama_publish.c ---- */

/* What is still going to be taken is no alarm: by a load that begins, by weights
 * that are still brought in when it has ended, and nothing any more: once all is
 * there or is not to be, after the first pass in any case. Any thread. */
void gov__llama_expect_load(gov_session *session);
void gov__llama_expect_warming(gov_session *session);
void gov__llama_expect_nothing(gov_session *session);

void gov__llama_publish_names(gov_session *session);
/* The counters of a session; `settled` also those that cost more. */
void gov__llama_publish(gov_session *session, bool settled);
/* `exact` also asks what is in memory, which takes 2 ms a GiB and more. */
void gov__llama_publish_weights(gov_session *session, bool exact);
void gov__llama_publish_pass(gov_session *session);
/* After each token; the exact account every two seconds, at 6 ms a GiB (mincore):
 * 0.3 %. */
void gov__llama_publish_progress(gov_session *session,
                                 const struct gov_generated *out);

/* ---- llama_copy.c ---- */

/* Before the files are mapped. */
void gov__llama_copy_watch(gov_session *session);
/* None was written to since. What is left of them in use is not copied. */
bool gov__llama_copy_unchanged(const gov_session *session);
/* The engine has mapped the model and has done the first tensor; false when it is
 * left to itself. */
bool gov__llama_copy_begin(gov_session *session, float share);
/* Is so far, and has ended, or is about to unmap something of it. */
void gov__llama_copy_reached(gov_session *session, float share);
void gov__llama_copy_end(gov_session *session);

/* ---- llama_hot.c ---- */

/* Before anything is loaded: what the process has without it. */
void gov__llama_note_anon(gov_session *session);
/* Registers "weights.hot", where weights can be lowered. */
gov_status gov__llama_offer_weights(gov_session *session, gov_error *err);
/* Before a pass of so many tokens: how much of the weights stays from here on. */
void gov__llama_adjust_hot(gov_session *session, uint32_t tokens);

#endif
