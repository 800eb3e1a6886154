/* SPDX-License-Identifier: MIT */
/* What the files of this adapter share. The engine is another process: llama-server
 * as a router, which runs a process of its own for the model. Nothing that either
 * says is believed before it was looked at. */
#ifndef GOV_SERVER_SESSION_H
#define GOV_SERVER_SESSION_H

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "governor/governor.h"

#define SERVER_PATH_BYTES 512
#define SERVER_NAME_BYTES 128
#define SERVER_SLOTS 256 /* LLAMA_MAX_SEQ */
#define SERVER_TALKS 256
#define SERVER_OWN_MODEL "model" /* its name in a router of ours */

/* ---- memory, time (server_engine.c) ------------------------------------------- */

/* Zeroed; NULL when there is none. */
void *gov__server_new(size_t bytes);
void gov__server_delete(void *block);
/* Makes *block hold `bytes`, of which the first `used` are kept. */
bool gov__server_grow(void **block, size_t *room, size_t used, size_t bytes);
uint64_t gov__server_now_us(void);
/* Replaces what a terminal would act on. */
void gov__server_plain(char *text);

/* ---- HTTP (server_http.c) ----------------------------------------------------- */

struct gov__server_http {
    CURL *curl;
    CURLM *multi;
    struct curl_slist *headers;
    char base[SERVER_PATH_BYTES];   /* "http://127.0.0.1:8080" */
    char socket[SERVER_PATH_BYTES]; /* "": by TCP */
    uint64_t silence_us;            /* the longest that nothing may come for */
    bool global;
};

struct gov__server_call {
    const char *path; /* with its query */
    const char *body; /* JSON; NULL: GET */
    /* Takes the body of a reply of status 200 as it comes; false ends the call.
     * NULL: it is collected. */
    bool (*sink)(void *ctx, const char *data, size_t bytes);
    /* Asked about 50 times a second; true ends the call. May be NULL. */
    bool (*stop)(void *ctx);
    void *ctx;
};

struct gov__server_reply {
    long code;
    char *data; /* NUL at its end; freed by gov__server_reply_free() */
    size_t bytes;
    bool stopped; /* by sink or stop */
};

gov_status gov__server_http_open(struct gov__server_http *http,
                                 const char *base, const char *socket,
                                 const char *key, gov_error *err);
void gov__server_http_close(struct gov__server_http *http);
/* GOV_OK also for a reply that is a refusal. */
gov_status gov__server_call(struct gov__server_http *http,
                            const struct gov__server_call *call,
                            struct gov__server_reply *reply, gov_error *err);
void gov__server_reply_free(struct gov__server_reply *reply);
/* A refusal as a sentence, in the server's words where it has any. */
gov_status gov__server_refused(const char *path,
                               const struct gov__server_reply *reply,
                               gov_error *err);
/* A reply of status 200 as a JSON object, to be json_decref()ed; NULL on failure. */
gov_status gov__server_get(struct gov__server_http *http, const char *path,
                           json_t **out, gov_error *err);
/* Takes `body`, which may be NULL when there was no memory for it. */
gov_status gov__server_post(struct gov__server_http *http, const char *path,
                            json_t *body, json_t **out, gov_error *err);
/* As text, for gov__server_delete(); NULL when there is no memory. */
char *gov__server_json_text(const json_t *root);

/* Members of an object that may be anything: false where they are not there, of
 * another type, or out of range. */
bool gov__server_count(const json_t *object, const char *key, uint64_t most,
                       uint64_t *out);
/* Milliseconds with a fraction, as microseconds. */
bool gov__server_ms(const json_t *object, const char *key, uint64_t *us);

/* ---- the router (server_router.c) ---------------------------------------------- */

struct gov__server_router {
    pid_t pid;     /* of what watches over it; 0: it is somebody else's */
    int leash;     /* a pipe: when it closes the router ends */
    char home[64]; /* its directory; "": none */
};

/* Starts one for the model and the plan. */
gov_status gov__server_router_start(struct gov__server_router *router,
                                    const struct gov_load *load,
                                    const char *slots, char key[65],
                                    gov_error *err);
/* Whether it is at its end. */
bool gov__server_router_ended(struct gov__server_router *router);
/* What it said last, for a sentence. */
void gov__server_router_last_words(const struct gov__server_router *router,
                                   char *out, size_t bytes);
/* Ends it and all that it has started, and removes its directory. Accepts one that
 * was not started. */
void gov__server_router_stop(struct gov__server_router *router);

/* ---- another process (server_process.c) ------------------------------------------ */

struct gov__server_process {
    pid_t pid;                /* 0: not found */
    uint64_t footprint_bytes; /* anonymous, swapped and shared */
    uint64_t file_bytes;      /* of mapped files, in its memory */
};

/* The process that was started with exactly these arguments (an array of strings);
 * 0 where there is none, or the system does not tell. */
pid_t gov__server_process_find(const json_t *arguments);
/* False when it is not there, or the system does not tell. */
bool gov__server_process_memory(pid_t pid, struct gov__server_process *out);

/* ---- the session -------------------------------------------------------------------- */

/* A conversation. Its tokens are here, whatever becomes of the server: each request
 * names all of them, and the server computes what it has not got. */
struct gov__server_talk {
    struct gov_conversation shown; /* id, priority, place, tokens, name, ... */
    int32_t slot;                  /* -1: none */
    int32_t *tokens;
    size_t room; /* bytes */
    uint32_t count;
    bool exact;           /* the slot holds exactly these tokens */
    uint64_t state_bytes; /* of its file, what the server wrote */
    uint32_t stored;      /* tokens in its file */
    uint32_t cached;      /* that the last reply counted */
    uint32_t expected;    /* that the next reply has to count as cached */
    uint64_t used_us;     /* when, by our clock */
    uint64_t store_us, bring_us;
};

struct gov_session {
    struct gov__server_http http;
    struct gov__server_router router;
    const gov_model *file;
    struct gov_plan plan;
    gov_runtime *runtime;
    char model[SERVER_NAME_BYTES];           /* its name in the router */
    char build[64];                          /* "b1-de3ff81" */
    char slots_directory[SERVER_PATH_BYTES]; /* "": the server has none */
    char tag[24];                            /* of this session's files there */
    bool loaded;                             /* by us */
    /* Where conversations go; NULL: the router's directory. */
    gov_spill *spill;
    pid_t pid;             /* of the model's process; 0: not known */
    uint32_t context;      /* tokens, over all slots */
    uint32_t slot_context; /* and of one */
    uint32_t slots;
    uint64_t kv_bytes; /* for the whole context; 0: not known */
    uint32_t gauges;
    uint64_t generated, requests;
    uint64_t read_tokens, read_us; /* prompts, as the server measured them */
    /* Over the conversations, as other threads see them. Never held over a call. */
    pthread_mutex_t lock;
    struct gov__server_talk *talk[SERVER_TALKS]; /* [0] is always there */
    struct gov__server_talk *owner[SERVER_SLOTS];
    uint32_t last_id;
    char notice[200]; /* what a person may want to know, for describe() */
    char *text;       /* TEXT_BYTES */
};
#define SERVER_TEXT_BYTES 1024

/* ---- the router's calls (server_api.c) ------------------------------------------- */

enum gov__server_action { SERVER_SAVE, SERVER_RESTORE, SERVER_ERASE };

/* Waits until the router answers. */
gov_status gov__server_wait_router(gov_session *session, gov_error *err);
/* Finds the model in somebody else's router. */
gov_status gov__server_find_model(gov_session *session, gov_error *err);
gov_status gov__server_load_model(gov_session *session,
                                  const struct gov_load *load, gov_error *err);
/* What the model's process says of itself. */
gov_status gov__server_look(gov_session *session, gov_error *err);
void gov__server_unload_model(gov_session *session);
/* What a slot's reply says; 0 where it does not. */
struct gov__server_told {
    uint64_t tokens, bytes;
};

gov_status gov__server_slot(gov_session *session, uint32_t slot,
                            enum gov__server_action action, const char *file,
                            struct gov__server_told *told, gov_error *err);
/* Appends a text's tokens to a conversation. */
gov_status gov__server_tokenize(gov_session *session,
                                struct gov__server_talk *talk, const char *text,
                                size_t bytes, gov_error *err);

/* ---- conversations (server_talks.c) ------------------------------------------------ */

struct gov__server_talk *gov__server_talk_find(gov_session *session,
                                               uint32_t id);
gov_status gov__server_talks_open(gov_session *session, gov_error *err);
void gov__server_talks_close(gov_session *session);
/* Has it in a slot, with what was stored of it. */
gov_status gov__server_seat(gov_session *session, struct gov__server_talk *talk,
                            gov_error *err);
bool gov__server_talk_add(struct gov__server_talk *talk, int32_t token);
/* Marks it as in use, or not any more, and shows how long it is, and where. */
void gov__server_talk_use(gov_session *session, struct gov__server_talk *talk,
                          bool busy);

gov_status gov__server_converse(gov_session *session,
                                const struct gov_conversation_options *options,
                                uint32_t *id, gov_error *err);
void gov__server_leave(gov_session *session, uint32_t id);
void gov__server_erase(gov_session *session, uint32_t id);
size_t gov__server_conversations(gov_session *session,
                                 struct gov_conversation *out, size_t room);
gov_status gov__server_store(gov_session *session, uint32_t id, gov_error *err);
gov_status gov__server_bring(gov_session *session, uint32_t id, gov_error *err);
bool gov__server_cost(gov_session *session, uint32_t id,
                      struct gov_conversation_cost *out);
void gov__server_reset(gov_session *session);

/* ---- their files (server_files.c) -------------------------------------------- */

/* What is in its slot, which stays. */
gov_status gov__server_file_save(gov_session *session,
                                 struct gov__server_talk *talk, gov_error *err);
/* Into its slot. */
gov_status gov__server_file_load(gov_session *session,
                                 struct gov__server_talk *talk, gov_error *err);
void gov__server_file_remove(gov_session *session,
                             struct gov__server_talk *talk);
void gov__server_files_sweep(gov_session *session);
/* The tokens of what was stored under its name; GOV_OK where nothing was. */
gov_status gov__server_file_take_up(gov_session *session,
                                    struct gov__server_talk *talk,
                                    gov_error *err);

/* ---- generating (server_generate.c) ------------------------------------------------ */

/* Has the slot hold exactly the conversation's tokens. */
gov_status gov__server_settle(gov_session *session,
                              struct gov__server_talk *talk, gov_error *err);
gov_status gov__server_generate(gov_session *session,
                                const struct gov_generate *request,
                                struct gov_generated *out, gov_error *err);

#endif
