/* SPDX-License-Identifier: MIT */
/* The interface that an engine adapter implements and `gov` opens at run time,
 * and how to find one. An adapter is a shared object that exports one function,
 * gov_engine_entry(). */
#ifndef GOV_ENGINE_H
#define GOV_ENGINE_H

#include "governor/device.h"
#include "governor/model.h"
#include "governor/runtime.h"
#include "governor/spill.h"
#include "governor/weights.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a member changes its meaning; adapters of another are refused. */
#define GOV_ENGINE_ABI 5

typedef struct gov_session gov_session; /* a loaded model with one context */

struct gov_load {
    size_t size;                 /* of the struct, set by the caller */
    const gov_model *model;      /* open until the session is unloaded */
    const struct gov_plan *plan; /* copied */
    gov_runtime *runtime;        /* open until unloaded; NULL: not governed */
    uint32_t threads; /* 0: the processors this process may use, less one while
                       * weights are streamed */
    gov_progress_fn progress; /* may be NULL; returning false cancels */
    void *progress_ctx;
    /* Told while weights are brought in after load() has returned, on a thread of
     * the library; returning false leaves the rest to its use. May be NULL. */
    gov_progress_fn warming;
    void *warming_ctx;
    /* For a file whose tensors are encrypted; may be NULL. Needs a heap plan. */
    gov_decrypt_fn decrypt;
    void *decrypt_ctx;
    /* Where conversations go when nobody continues them and memory is short; open
     * until unloaded. NULL: they stay in memory, but for those that another one needs
     * the room of. */
    gov_spill *spill;
};

struct gov_generate {
    size_t size;        /* of the struct, set by the caller */
    const char *prompt; /* UTF-8; appended to the conversation */
    uint32_t tokens;    /* at most this many */
    bool ignore_end;    /* go on after the model's end token */
    /* One generated piece of text (may be empty or end within a character);
     * returning false stops. May be NULL. */
    bool (*piece)(void *ctx, const char *text, size_t bytes);
    /* Asked between tokens and layers; true stops. May be NULL. */
    bool (*stop)(void *ctx);
    void *ctx;
    /* Which conversation is continued; 0: the one that every session has. */
    uint32_t conversation;
};

struct gov_generated {
    uint32_t prompt_tokens, tokens;
    uint32_t
        known_tokens; /* of the conversation, that had not to be read again */
    uint64_t first_token_us; /* from the call to the first token */
    uint64_t decode_us;      /* from the first token to the last */
    bool ended;              /* the model's end token came */
    bool context_full;       /* no room for another token */
};

struct gov_kv_usage {
    uint64_t reserved_bytes; /* for the whole context */
    uint64_t used_bytes;     /* cells that hold tokens */
    uint64_t held_bytes;     /* backed by memory, as far as is known */
    uint32_t context_tokens, used_tokens;
    uint64_t given_back_bytes; /* since the load; only what was held counts */
    /* Whole pages that could be given back now: cells of one page may be in use
     * and not. */
    uint64_t unused_bytes;
    bool on_device; /* not in this process's memory: nothing is given back */
};

/* ---- conversations --------------------------------------------------------------- */

enum gov_conversation_place {
    GOV_CONVERSATION_NEW = 0,    /* no token yet */
    GOV_CONVERSATION_MEMORY = 1, /* can go on at once */
    GOV_CONVERSATION_STORED = 2, /* on disk; it comes back when it is used */
    /* Its state is nowhere; its tokens are, and are read again when it is used. */
    GOV_CONVERSATION_TOKENS = 3,
};

struct gov_conversation_options {
    size_t size; /* set by gov_conversation_options_default() */
    /* The name that it has on disk: one that was stored under it is taken up again,
     * also after the process ended. Copied. NULL: it ends with the session. */
    const char *name;
    uint32_t
        priority; /* those of a lower one leave memory first; 0 is the usual */
};

static inline struct gov_conversation_options
gov_conversation_options_default(void)
{
    struct gov_conversation_options options = {
        sizeof(struct gov_conversation_options), NULL, 0};
    return options;
}

/* One conversation, for who shows it. */
struct gov_conversation {
    size_t size; /* of the struct, set by the engine */
    uint32_t id;
    uint32_t priority;
    enum gov_conversation_place place;
    uint32_t tokens;
    uint32_t forgotten;    /* tokens that its history lost, since it began */
    uint64_t bytes;        /* of memory that its cells take */
    uint64_t stored_bytes; /* of its file; 0: there is none */
    uint64_t idle_ms;      /* since it was used */
    bool busy;             /* in use, or on its way to the disk */
    char name[GOV_SPILL_NAME_BYTES]; /* "": none */
};

/* What bringing a conversation back costs, as measured so far on this machine and
 * 0 where nothing was; and what will be done. */
struct gov_conversation_cost {
    size_t size;        /* of the struct, set by the engine */
    uint64_t store_us;  /* to write it and read it back */
    uint64_t bring_us;  /* to have it in memory again */
    uint64_t reread_us; /* to compute its tokens again */
    uint64_t bytes;     /* of its state */
    bool rereads;       /* reading the tokens again is the faster one */
    char why[160];      /* a sentence with the figures */
};

/* How much of a conversation's history stays: its first tokens, and the last. */
struct gov_forget {
    size_t size; /* of the struct, set by the caller */
    /* The system's prompt, say. Where history was cut before and what follows was
     * not moved up since, no more than what lies before that cut. */
    uint32_t first_tokens;
    uint32_t recent_tokens;
    bool keep_positions; /* what follows the gap is not moved up to it */
};

struct gov_resize {
    size_t size;         /* of the struct, set by the caller */
    uint32_t context;    /* tokens; 0: as it is */
    gov_kv_type kv_type; /* GOV_KV_UNSET: as it is */
};

/* Where an engine is in its work. */
struct gov_where {
    size_t size; /* of the struct, set by the engine */
    bool computing;
    uint32_t layer, layers; /* the one begun last; 0 of 0: it does not tell */
    uint64_t passes;
};

/* Functions marked (optional) may be NULL. Sessions are for one thread at a
 * time, except where said. */
struct gov_engine {
    size_t size;
    uint32_t abi;     /* GOV_ENGINE_ABI */
    const char *name; /* "llama.cpp" */
    /* Version of the engine in use; static. */
    const char *(*version)(void);

    /* Loads a model under a plan. Which strategy runs, and why if it is not the
     * plan's, is in session text and published. */
    gov_status (*load)(gov_session **out, const struct gov_load *load,
                       gov_error *err);
    /* Accepts NULL. */
    void (*unload)(gov_session *session);
    /* One sentence on how the weights are held; borrowed from the session. */
    const char *(*describe)(const gov_session *session);
    /* Continues the conversation. GOV_E_CANCELLED when stop or piece said so;
     * the conversation stays valid. */
    gov_status (*generate)(gov_session *session,
                           const struct gov_generate *request,
                           struct gov_generated *out, gov_error *err);
    /* (optional) Any thread. */
    void (*kv_usage)(gov_session *session, struct gov_kv_usage *out);
    /* (optional) Forgets the conversation. */
    void (*reset)(gov_session *session);
    /* (optional) Logits of the last token; borrowed until the next generate. */
    const float *(*logits)(gov_session *session, size_t *count);
    /* (optional) What the engine itself says that it would allocate: its own dry
     * run, which reads the header and allocates neither weights nor KV. Takes the
     * time of a load without weights, a tenth of a second and more. Any thread.
     *
     * Runs in a child process, by fork() alone: an engine may end its process
     * over a header that it does not expect. The child is killed after 30 s and
     * is gone when the call returns. For the host that means:
     *  - Of its threads only the caller's is in the child, with the locks that
     *    others held. Should the engine or an allocator need one of them, the
     *    call fails after the 30 s; best call it while the rest is quiet.
     *  - None of its signal handlers, atexit() functions and stdio buffers is
     *    run or written there; pthread_atfork() handlers are run. The child
     *    holds all its descriptors open meanwhile.
     *  - It gets a SIGCHLD. That it ignores them, or waits for any child and
     *    finds this one, does no harm.
     *  - fork() takes longer in a large process (page tables are copied), and
     *    limits or a filter of system calls may forbid it.
     *
     * GOV_E_INVALID      a NULL, another version's struct, or a request that the
     *                    engine cannot be asked
     * GOV_E_UNSUPPORTED  this build of the adapter cannot ask, or the engine
     *                    does not run this model; the sentence says which
     * GOV_E_IO           no child process can be had
     * GOV_E_NOMEM        there is no memory for the header
     * GOV_E_ENGINE       the engine failed, in its own words, or took too long */
    gov_status (*dry_run)(const gov_model *model,
                          const struct gov_need_request *request,
                          struct gov_need *out, gov_error *err);
    /* (optional) Sets the engine.* facts. Cheap; any thread. */
    void (*facts)(struct gov_facts *facts);
    /* (optional) How the weights are held and what passes cost; `exact` as in
     * gov_weights_account(). False: they are not governed. Any thread. */
    bool (*weights)(gov_session *session, bool exact,
                    struct gov_weights_account *out);
    /* (optional) Waits as gov_weights_wait(); true also where nothing is to be
     * waited for. Any thread. */
    bool (*wait)(gov_session *session, bool all, uint32_t timeout_ms);
    /* (optional) Measures what this engine gains on this machine from repacked
     * weights and from huge pages, as device.repack_gain and device.huge_gain:
     * 1000 is none, 1250 a quarter faster. Takes about a second; any thread.
     *
     * GOV_E_UNSUPPORTED  this build of the engine repacks nothing here
     * GOV_E_CANCELLED    progress said so */
    gov_status (*gains)(struct gov_facts *facts, gov_progress_fn progress,
                        void *progress_ctx, gov_error *err);
    /* (optional) What of load() was the adapter's own work, in microseconds: all
     * but the engine's loading of the model and making of its context. */
    uint64_t (*load_own_us)(const gov_session *session);
    /* (optional) Any thread. */
    void (*where)(gov_session *session, struct gov_where *out);

    /* ---- conversations: all of these or none (optional) ---- */

    /* Begins a conversation, or takes up one that was stored under its name, with
     * this model. Of another version of the engine, or other KV types, its tokens are
     * read again. *id is never 0. A name is one session's at a time: of two that use
     * it the last to store wins, and the other goes on by its tokens.
     *
     * GOV_E_INVALID  also for a name that is in use in this session, or begins
     *                with ~
     * GOV_E_BUSY     more than the engine can tell apart
     * GOV_E_FORMAT   what is stored under that name is damaged, or was had with
     *                another model; it is left there (gov_spill_remove())
     * others         of gov_spill_note() */
    gov_status (*converse)(gov_session *session,
                           const struct gov_conversation_options *options,
                           uint32_t *id, gov_error *err);
    /* Ends one: its cells are given back. One with a name is stored; unload() does
     * that, too, for those whose state is in memory. An id that is none is passed
     * over; 0 is reset. Elsewhere such an id is GOV_E_NOT_FOUND. */
    void (*leave)(gov_session *session, uint32_t id);
    /* Removes its file, too. */
    void (*erase)(gov_session *session, uint32_t id);
    /* Writes the conversations, at most `room`; returns how many there are. Any
     * thread. */
    size_t (*conversations)(gov_session *session, struct gov_conversation *out,
                            size_t room);
    /* Writes a conversation to the disk, and frees its memory when that was read
     * back. Fails with it in memory, whole. GOV_E_UNSUPPORTED: the session has no
     * place for it. */
    gov_status (*store)(gov_session *session, uint32_t id, gov_error *err);
    /* Has one in memory before it is used. When its file cannot be read its tokens
     * are computed again. */
    gov_status (*bring)(gov_session *session, uint32_t id, gov_error *err);
    /* Any thread. False for an id that is none. */
    bool (*cost)(gov_session *session, uint32_t id,
                 struct gov_conversation_cost *out);
    /* (optional) Forgets what lies between the first tokens and the last ones, and
     * gives its memory back. A NOTICE tells the app. *forgotten (may be NULL) are
     * tokens. GOV_E_UNSUPPORTED: this model's state cannot be cut. */
    gov_status (*forget)(gov_session *session, uint32_t id,
                         const struct gov_forget *what, uint32_t *forgotten,
                         gov_error *err);
    /* (optional) Makes the context anew, with every conversation: by its state where
     * that fits, by its tokens elsewhere. GOV_E_INVALID: a conversation is longer.
     * On failure all is as it was. */
    gov_status (*resize)(gov_session *session, const struct gov_resize *what,
                         gov_error *err);
    /* logits() is of the conversation that was generated for last, and of none once
     * one was stored, brought back, cut or left since. */
};

/* What an adapter exports; never NULL. */
#define GOV_ENGINE_ENTRY "gov_engine_entry"
typedef const struct gov_engine *(*gov_engine_entry_fn)(void);

/* Opens the adapter called `name` ("llama"): from $GOVERNOR_ENGINE_DIR if it is
 * set, else from the directory libgovernor was built to look in and from the one
 * beside the library itself. Once opened it stays. *out is static.
 *
 * GOV_E_NOT_FOUND    there is none; the message says where it looked
 * GOV_E_UNSUPPORTED  it is of another ABI, or its engine cannot be loaded */
GOV_API GOV_NODISCARD gov_status gov_engine_open(const struct gov_engine **out,
                                                 const char *name,
                                                 gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
