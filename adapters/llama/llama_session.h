/* SPDX-License-Identifier: MIT */
/* What the files of the llama.cpp adapter share: one loaded model with one
 * context and its conversations. The adapter uses llama.cpp's public C API and
 * governor's public headers, and nothing else of either.
 *
 * Threads: a session is driven by one thread at a time. kv_usage() and the relief
 * callbacks come on others: they read atomics, and what they change of the cache
 * they change between passes. So whatever touches the engine's context, or what is
 * known of it, happens between gov__llama_drive() and gov__llama_rest(), which are
 * a pass to the runtime, or in a relief action that runs between passes. What is
 * shown of conversations has a lock of its own, held for copying only. */
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

/* One conversation. In memory it has a sequence of the engine's, and `past` is
 * `count`; elsewhere it has none, and `past` is 0. What is atomic is read at any time,
 * for an estimate. */
struct gov__llama_talk {
    struct gov__llama_talk *next;
    uint32_t id, priority;
    char name[GOV_SPILL_NAME_BYTES]; /* the app's; or one of ours while it ends
                                      * with the session */
    bool named;
    _Atomic int32_t sequence; /* -1: none */
    /* Its tokens, whether they are in the cache or not; room for a context. */
    llama_token *tokens;
    llama_token *wider; /* while the context is made anew */
    _Atomic uint32_t count, past;
    _Atomic uint32_t first; /* tokens of its first prompt */
    uint32_t forgotten;     /* tokens that its history lost */
    /* Positions from the token `gap_at` on are larger by `gap`: history was cut out,
     * and what follows was not moved up yet. */
    _Atomic uint32_t gap_at, gap;
    uint64_t used_us;         /* when it was used last */
    _Atomic uint64_t version; /* another one after each change */
    _Atomic uint64_t
        stored; /* the version that its file has; 0: there is none */
    _Atomic uint64_t bytes; /* of memory that its cells take */
    uint64_t stored_bytes;  /* of the file */
    uint64_t state_bytes;   /* of its state, as written last; 0: not known */
    bool loadable;          /* the file's state fits this context */
    atomic_bool keeps_gap;  /* the app wants its positions as they are */
    bool in_use;            /* the engine computes for it */
    bool reading;           /* its prompt is read: it must not get shorter */
};

/* One conversation on its way to the disk while the engine goes on. */
struct gov__llama_storing {
    struct gov__llama_talk *talk; /* NULL: none is */
    gov_spill_draft *draft;
    unsigned char *note;
    size_t note_bytes;
    uint64_t version, begun_us, file_bytes;
    /* There is a thread to be waited for, and somebody does: under `shown`. */
    bool threaded, joining;
    pthread_t thread;
    atomic_bool done;   /* it is on the disk, or is not to be */
    atomic_bool exited; /* waiting for the thread takes no time */
    gov_status status;  /* valid when done */
    gov_error err;
};

/* Of what was measured, the newer counting more. */
struct gov__llama_rate {
    uint64_t units, us;
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
    struct gov_pass_account pass;       /* the last one */
    uint64_t weights_wait_us, stall_us; /* of all passes */

    struct gov__llama_kv kv;
    uint32_t relief_id, cache_id, weights_id, idle_id, history_id;
    gov_cache *prompts; /* state after a prompt, by a hash of its tokens */

    pthread_mutex_t drive; /* held while the context is touched, relief apart */
    pthread_mutex_t
        shown;        /* what conversations() tells; never over a call out */
    gov_spill *spill; /* NULL: conversations stay in memory */
    struct gov__llama_talk first;  /* id 0, of every session */
    struct gov__llama_talk *talks; /* all, the first one first */
    struct gov__llama_talk *talk;  /* the one used last */
    uint32_t sequences, last_id;   /* of the engine; of conversations */
    uint64_t last_version;         /* of any conversation */
    struct gov__llama_storing storing;
    struct gov__llama_rate stored, brought, read; /* bytes, bytes, tokens */
    _Atomic uint32_t floor_tokens;                /* what kv.history leaves */
    int32_t *batch_count;                         /* for a batch, ones */
    llama_seq_id *
        *batch_sequence;   /* for a batch, each the next one's address */
    llama_seq_id sequence; /* whose pass it is */
    _Atomic uint32_t past; /* tokens of the conversation used last */
    _Atomic uint32_t context_tokens;
    _Atomic uint64_t passes;
    _Atomic uint32_t layer_now; /* begun last, plus 1 */
    atomic_bool computing;
    const float *logits; /* of the last token; NULL: there are none */
    float *kept_logits;  /* room for those of a prompt that was put back */
    uint64_t generated, requests;
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

/* ---- llama_generate.c ---- */

/* Around whatever touches the context. Not in relief. */
void gov__llama_drive(gov_session *session);
void gov__llama_rest(gov_session *session);
/* Computes `count` tokens at the end of what is in memory of a conversation: these,
 * or with NULL those that its list has there. One that fails or is stopped leaves
 * all as it was before the call, or forgotten where the engine cannot take back. */
gov_status gov__llama_evaluate(gov_session *session,
                               struct gov__llama_talk *talk,
                               const llama_token *tokens, uint32_t count,
                               gov_error *err);
/* Whether so much has room beside what was planned. */
bool gov__llama_has_room(const gov_session *session, uint64_t bytes);

/* ---- llama_talks.c: which conversations there are, and where ---- */

/* Before the first and after the last; of a session whose load failed, too. */
gov_status gov__llama_talks_open(gov_session *session, gov_error *err);
void gov__llama_talks_close(gov_session *session);
/* NULL: there is none. */
struct gov__llama_talk *gov__llama_talk_find(gov_session *session, uint32_t id);
/* Has it in memory with room for `more` tokens, others leaving it if need be. */
gov_status gov__llama_take_up(gov_session *session,
                              struct gov__llama_talk *talk, uint32_t more,
                              gov_error *err);
/* Another conversation leaves memory; false: there is none that could. */
bool gov__llama_make_room(gov_session *session,
                          const struct gov__llama_talk *stays);
/* Its cells are freed; its tokens stay known. While the context is held. */
void gov__llama_clear(gov_session *session, struct gov__llama_talk *talk);
/* And its sequence is another's. */
void gov__llama_drop(gov_session *session, struct gov__llama_talk *talk);
/* It begins anew; a file stays where it is, and is another conversation's. While
 * the context is held. */
void gov__llama_empty(gov_session *session, struct gov__llama_talk *talk);
/* It was changed. */
void gov__llama_touch(gov_session *session, struct gov__llama_talk *talk);
void gov__llama_set_past(gov_session *session, struct gov__llama_talk *talk,
                         uint32_t past);
/* gov_engine's. */
gov_status gov__llama_converse(gov_session *session,
                               const struct gov_conversation_options *options,
                               uint32_t *id, gov_error *err);
void gov__llama_leave(gov_session *session, uint32_t id);
void gov__llama_erase(gov_session *session, uint32_t id);
enum gov_conversation_place
gov__llama_talk_place(const struct gov__llama_talk *talk);
size_t gov__llama_conversations(gov_session *session,
                                struct gov_conversation *out, size_t room);
gov_status gov__llama_store(gov_session *session, uint32_t id, gov_error *err);
gov_status gov__llama_bring(gov_session *session, uint32_t id, gov_error *err);

/* ---- llama_spill.c: to the disk and back ---- */

/* Removes what sessions left that ended without a word. */
void gov__llama_spill_sweep(gov_session *session);
/* The engine writes its state, while the context is held; the rest is done by
 * gov__llama_spill_commit(), on any thread, once. */
gov_status gov__llama_spill_begin(gov_session *session,
                                  struct gov__llama_talk *talk, gov_error *err);
void gov__llama_spill_commit(struct gov__llama_storing *storing);
/* What was committed is noted, and its memory freed where `drop` says so and it was
 * not changed since. While the context is held. Returns the status of it. */
gov_status gov__llama_spill_end(gov_session *session, bool drop,
                                gov_error *err);
/* In the background, as relief does it: the next to hold the context ends it. */
void gov__llama_spill_go_on(gov_session *session);
/* Waits for one that is under way, and ends it. Not while the context is held. */
void gov__llama_spill_wait(gov_session *session);
/* gov__llama_drive(), when none is under way: relief begins none until the context
 * is let go. */
void gov__llama_drive_settled(gov_session *session);
/* Without waiting; false: one is still under way. */
bool gov__llama_spill_settle(gov_session *session);
/* Reads it into a sequence that it was given; the context is held. */
gov_status gov__llama_spill_read(gov_session *session,
                                 struct gov__llama_talk *talk, gov_error *err);
/* What its file knows of a conversation: tokens and all. */
gov_status gov__llama_spill_look(gov_session *session,
                                 struct gov__llama_talk *talk, gov_error *err);
/* gov_engine's. */
bool gov__llama_cost(gov_session *session, uint32_t id,
                     struct gov_conversation_cost *out);
void gov__llama_costs(const gov_session *session,
                      const struct gov__llama_talk *talk,
                      struct gov_conversation_cost *out);
void gov__llama_rate_add(gov_session *session, struct gov__llama_rate *rate,
                         uint64_t units, uint64_t us);

/* ---- llama_forget.c ---- */

/* gov_engine's. */
gov_status gov__llama_forget(gov_session *session, uint32_t id,
                             const struct gov_forget *what, uint32_t *forgotten,
                             gov_error *err);
/* Moves up what follows a gap, when memory is not short: before a pass. */
void gov__llama_close_gap(gov_session *session, struct gov__llama_talk *talk);
/* Registers "kv.idle" and "kv.history". */
gov_status gov__llama_offer_talks(gov_session *session, gov_error *err);

/* ---- llama_resize.c ---- */

gov_status gov__llama_resize(gov_session *session,
                             const struct gov_resize *what, gov_error *err);
/* What belongs to a context, in llama_engine.c: made, and freed. */
struct llama_context *gov__llama_context_new(gov_session *session,
                                             uint32_t threads, gov_error *err);

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
/* What was logged on this thread before is nobody's reason any more. */
void gov__llama_log_begin(void);
/* The first error that the engine logged on this thread since then, or since the
 * session was begun, on one line; "" if none. Later ones repeat it in fewer words. */
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
/* How many conversations there are, and where. Takes `shown`. */
void gov__llama_publish_talks(gov_session *session);
/* `exact` also asks what is in memory, which takes 2 ms a GiB and more. */
void gov__llama_publish_weights(gov_session *session, bool exact);
/* From now on also whenever they have come to rest, on a thread of theirs. */
void gov__llama_publish_rest(gov_session *session);
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
