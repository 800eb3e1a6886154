/* SPDX-License-Identifier: MIT */
/* Conversations to the disk and back. The engine writes and reads its state itself,
 * a tensor at a time, so that no copy of it is made in memory; governor/spill.h makes
 * the file safe. Beside the state the file has the tokens, which are enough where the
 * state does not fit: another version of the engine, other KV types. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/llama/llama_params.h"
#include "adapters/llama/llama_session.h"

#define NOTE_VERSION 1
#define STRETCHES 256 /* what is more scattered is read again from its tokens */

/* Followed by stretches and tokens. One machine's: no byte order. */
struct note {
    char magic[8];
    uint32_t version;
    uint32_t count, first, forgotten;
    uint32_t gap_at, gap;
    uint32_t keeps_gap;
    uint32_t stretches;
    uint64_t model; /* whose tokens they are */
    uint64_t fits;  /* whose state it is */
};

static const char magic[8] = "GOVTALK";

/* ---- what fits ---------------------------------------------------------------------- */

/* FNV-1a, of numbers and of a text. */
static uint64_t mix(uint64_t hash, uint64_t number)
{
    for (int i = 0; i < 64; i += 8)
        hash = (hash ^ (number >> i & 0xff)) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = mix(hash, (unsigned char)*text);
    return hash;
}

/* The files as they are: their lengths and when they were written. A copy of a model
 * is another one, whose conversations are not taken up; better than the wrong ones. */
static uint64_t print_of_model(const gov_session *session)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const struct gov_model_file *files;
    size_t count;

    files = gov_model_files(session->file, &count);
    hash = mix(hash, (uint64_t)llama_vocab_n_tokens(session->vocab));
    hash = mix(hash, (uint64_t)llama_model_n_embd(session->model));
    hash = mix(hash, (uint64_t)llama_model_n_layer(session->model));
    for (size_t i = 0; i < count; i++) {
        struct stat st;

        hash = mix(hash, files[i].bytes);
        if (stat(files[i].path, &st) != 0)
            continue;
        hash = mix(hash, (uint64_t)st.st_mtim.tv_sec);
        hash = mix(hash, (uint64_t)st.st_mtim.tv_nsec);
    }
    return hash;
}

static uint64_t print_of_state(const gov_session *session)
{
    uint64_t hash = print_of_model(session);

    hash = mix_text(hash, llama_version());
    hash = mix(hash, (uint64_t)session->plan.kv_type);
    return mix(hash, sizeof(void *));
}

/* ---- the note ----------------------------------------------------------------------- */

static size_t note_bytes(const struct note *note)
{
    return sizeof(*note) + note->stretches * sizeof(struct gov__kv_stretch) +
           note->count * sizeof(llama_token);
}

static unsigned char *make_note(const gov_session *session,
                                const struct gov__llama_talk *talk,
                                size_t *bytes)
{
    struct gov__kv_stretch stretch[STRETCHES];
    struct note note = {
        .version = NOTE_VERSION,
        .count = talk->count,
        .first = talk->first,
        .forgotten = talk->forgotten,
        .gap_at = talk->gap_at,
        .gap = talk->gap,
        .keeps_gap = talk->keeps_gap,
        .model = print_of_model(session),
        .fits = print_of_state(session),
    };
    unsigned char *block;
    size_t at = sizeof(note);

    memcpy(note.magic, magic, sizeof(magic));
    note.stretches = gov__kv_stretches(&session->kv, (uint32_t)talk->sequence,
                                       stretch, STRETCHES);
    if (note.stretches > STRETCHES)
        note.stretches = 0;
    *bytes = note_bytes(&note);
    block = gov__llama_new(*bytes);
    if (block == NULL)
        return NULL;
    memcpy(block, &note, sizeof(note));
    memcpy(block + at, stretch, note.stretches * sizeof(stretch[0]));
    at += note.stretches * sizeof(stretch[0]);
    memcpy(block + at, talk->tokens, note.count * sizeof(llama_token));
    return block;
}

static gov_status refuse_note(const struct gov__llama_talk *talk,
                              const char *why, gov_error *err)
{
    return gov_fail(err, GOV_E_FORMAT, 0,
                    "the stored conversation %s %s; remove it, or use another "
                    "name",
                    talk->name, why);
}

/* Its checksum was right, so it is what an adapter wrote; another version's
 * perhaps. */
static gov_status check_note(const gov_session *session,
                             const struct gov__llama_talk *talk,
                             const struct note *note, size_t bytes,
                             gov_error *err)
{
    if (bytes < sizeof(*note) ||
        memcmp(note->magic, magic, sizeof(magic)) != 0 ||
        note->version != NOTE_VERSION ||
        note->count > GOV_SPILL_NOTE_BYTES / sizeof(llama_token) ||
        note->stretches > STRETCHES || bytes != note_bytes(note))
        return refuse_note(talk, "was written by another version", err);
    if (note->model != print_of_model(session))
        return refuse_note(talk, "was had with another model", err);
    if (note->count > llama_n_ctx(session->context))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the stored conversation %s has %" PRIu32
                        " tokens and the context room for %" PRIu32
                        "; ask for a larger one",
                        talk->name, note->count, llama_n_ctx(session->context));
    return GOV_OK;
}

/* Reads a note; *out is to be freed. */
static gov_status read_note(gov_session *session,
                            const struct gov__llama_talk *talk,
                            struct gov_spill_state *state, unsigned char **out,
                            gov_error *err)
{
    struct note note;
    gov_status status;

    *out = NULL;
    status = gov_spill_note(session->spill, talk->name, NULL, 0, state, err);
    if (status != GOV_OK)
        return status;
    *out = gov__llama_new((size_t)state->note_bytes + sizeof(note));
    if (*out == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for the tokens of conversation %s",
                        talk->name);
    status = gov_spill_note(session->spill, talk->name, *out,
                            (size_t)state->note_bytes, state, err);
    memcpy(&note, *out, sizeof(note));
    if (status == GOV_OK)
        status =
            check_note(session, talk, &note, (size_t)state->note_bytes, err);
    if (status != GOV_OK) {
        gov__llama_delete(*out);
        *out = NULL;
    }
    return status;
}

gov_status gov__llama_spill_look(gov_session *session,
                                 struct gov__llama_talk *talk, gov_error *err)
{
    struct gov_spill_state state;
    unsigned char *block;
    struct note note;
    gov_status status = read_note(session, talk, &state, &block, err);

    if (status != GOV_OK)
        return status;
    memcpy(&note, block, sizeof(note));
    memcpy(talk->tokens,
           block + sizeof(note) +
               note.stretches * sizeof(struct gov__kv_stretch),
           note.count * sizeof(llama_token));
    talk->count = note.count;
    talk->first = note.first;
    talk->forgotten = note.forgotten;
    talk->stored = (uint64_t)talk->version;
    talk->stored_bytes = state.file_bytes;
    talk->state_bytes = state.state_bytes;
    talk->loadable = note.fits == print_of_state(session);
    gov__llama_delete(block);
    return GOV_OK;
}

/* ---- to the disk -------------------------------------------------------------------- */

static gov_status engine_writes(gov_session *session,
                                const struct gov__llama_talk *talk,
                                const char *path, gov_error *err)
{
    char why[192];

    gov__llama_log_begin();
    if (llama_state_seq_save_file(session->context, path, talk->sequence,
                                  talk->tokens, 0) != 0)
        return GOV_OK;
    gov__llama_log_error(why, sizeof(why));
    return gov_fail(err, GOV_E_IO, 0,
                    "llama.cpp cannot write conversation %s to the disk, and "
                    "it stays in memory: %s",
                    talk->name, why[0] != '\0' ? why : "it does not say why");
}

gov_status gov__llama_spill_begin(gov_session *session,
                                  struct gov__llama_talk *talk, gov_error *err)
{
    struct gov__llama_storing *storing = &session->storing;
    const uint64_t bytes = llama_state_seq_get_size_ext(
        session->context, talk->sequence, LLAMA_STATE_SEQ_FLAGS_NONE);
    gov_spill_draft *draft;
    gov_status status;

    /* Positions and K are two things until a pass has brought them together. */
    if (session->kv.shifting)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "conversation %s is being moved up in the context, and "
                        "can be stored when it was continued",
                        talk->name);
    status = gov_spill_begin(session->spill, talk->name, bytes, &draft, err);
    if (status != GOV_OK)
        return status;
    storing->begun_us = gov__llama_now_us();
    storing->note = make_note(session, talk, &storing->note_bytes);
    if (storing->note == NULL)
        status =
            gov_fail(err, GOV_E_NOMEM, 0,
                     "no memory for the tokens of conversation %s", talk->name);
    if (status == GOV_OK)
        status = engine_writes(session, talk, gov_spill_draft_path(draft), err);
    if (status != GOV_OK) {
        gov__llama_delete(storing->note);
        gov_spill_drop(draft);
        return status;
    }
    storing->draft = draft;
    storing->version = talk->version;
    pthread_mutex_lock(&session->shown);
    storing->talk = talk;
    talk->state_bytes = bytes;
    pthread_mutex_unlock(&session->shown);
    return GOV_OK;
}

void gov__llama_spill_commit(struct gov__llama_storing *storing)
{
    storing->status =
        gov_spill_commit(storing->draft, storing->note, storing->note_bytes,
                         &storing->file_bytes, &storing->err);
    atomic_store(&storing->done, true);
}

gov_status gov__llama_spill_end(gov_session *session, bool drop, gov_error *err)
{
    struct gov__llama_storing *storing = &session->storing;
    struct gov__llama_talk *talk = storing->talk;
    const gov_status status = storing->status;

    if (!atomic_load(&storing->done))
        return GOV_OK;
    gov__llama_delete(storing->note);
    storing->note = NULL;
    if (status == GOV_OK) {
        gov__llama_rate_add(session, &session->stored, talk->state_bytes,
                            gov__llama_now_us() - storing->begun_us);
        pthread_mutex_lock(&session->shown);
        talk->stored = storing->version;
        talk->stored_bytes = storing->file_bytes;
        talk->loadable = true;
        pthread_mutex_unlock(&session->shown);
    } else if (err != NULL) {
        *err = storing->err;
    } else {
        gov_notice(session->runtime, storing->err.message);
    }
    if (status == GOV_OK && drop && !talk->in_use &&
        talk->version == storing->version) {
        gov__llama_drop(session, talk);
        gov__kv_account(&session->kv);
        gov__kv_release(&session->kv);
        gov_spill_cool(session->spill, talk->name);
    }
    pthread_mutex_lock(&session->shown);
    storing->talk = NULL;
    pthread_mutex_unlock(&session->shown);
    atomic_store(&storing->done, false);
    gov__llama_publish_talks(session);
    return status;
}

static void *thread_main(void *data)
{
    gov_session *session = data;

    gov__llama_spill_commit(&session->storing);
    /* An engine that computes ends it between its passes. */
    gov__llama_drive(session);
    gov__llama_rest(session);
    atomic_store(&session->storing.exited, true);
    return NULL;
}

void gov__llama_spill_go_on(gov_session *session)
{
    struct gov__llama_storing *storing = &session->storing;
    sigset_t all, before;
    bool threaded;

    sigfillset(&all); /* the host's are for the host's threads */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&storing->exited, false);
    pthread_mutex_lock(&session->shown);
    storing->threaded =
        pthread_create(&storing->thread, NULL, thread_main, session) == 0;
    threaded = storing->threaded;
    pthread_mutex_unlock(&session->shown);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (threaded)
        return;
    gov__llama_spill_commit(storing);
    (void)gov__llama_spill_end(session, true, NULL);
}

/* The thread is one's own to wait for; `exited_only`: if that takes no time. */
static bool claim_thread(gov_session *session, bool exited_only)
{
    struct gov__llama_storing *storing = &session->storing;
    bool mine;

    pthread_mutex_lock(&session->shown);
    mine = storing->threaded && !storing->joining &&
           (!exited_only || atomic_load(&storing->exited));
    if (mine)
        storing->joining = true;
    pthread_mutex_unlock(&session->shown);
    return mine;
}

static void join_thread(gov_session *session)
{
    (void)pthread_join(session->storing.thread, NULL);
    pthread_mutex_lock(&session->shown);
    session->storing.threaded = session->storing.joining = false;
    pthread_mutex_unlock(&session->shown);
}

static bool is_threaded(gov_session *session)
{
    bool threaded;

    pthread_mutex_lock(&session->shown);
    threaded = session->storing.threaded;
    pthread_mutex_unlock(&session->shown);
    return threaded;
}

/* Relief that joins one does so without waiting. */
void gov__llama_spill_wait(gov_session *session)
{
    while (is_threaded(session)) {
        if (claim_thread(session, false))
            join_thread(session);
        else
            (void)sched_yield();
    }
}

bool gov__llama_spill_settle(gov_session *session)
{
    if (claim_thread(session, true))
        join_thread(session);
    return !is_threaded(session) && session->storing.talk == NULL;
}

void gov__llama_drive_settled(gov_session *session)
{
    for (;;) {
        gov__llama_spill_wait(session);
        gov__llama_drive(session);
        if (session->storing.talk == NULL)
            return;
        gov__llama_rest(session);
    }
}

/* ---- and back ----------------------------------------------------------------------- */

static gov_status engine_reads(gov_session *session,
                               const struct gov__llama_talk *talk,
                               const char *path, gov_error *err)
{
    llama_token none[1];
    size_t count = 0;
    char why[192];

    gov__llama_log_begin();
    if (llama_state_seq_load_file(session->context, path, talk->sequence, none,
                                  0, &count) != 0)
        return GOV_OK;
    gov__llama_log_error(why, sizeof(why));
    return gov_fail(err, GOV_E_ENGINE, 0,
                    "llama.cpp does not take the stored state of conversation "
                    "%s: %s",
                    talk->name, why[0] != '\0' ? why : "it does not say why");
}

/* The state of the file, which was checked, whose cells the note tells of. */
static gov_status put_back(gov_session *session, struct gov__llama_talk *talk,
                           const char *path, const unsigned char *block,
                           gov_error *err)
{
    struct gov__kv_stretch stretch[STRETCHES];
    struct note note;
    gov_status status;

    memcpy(&note, block, sizeof(note));
    memcpy(stretch, block + sizeof(note), note.stretches * sizeof(stretch[0]));
    /* Another session may have stored its own under that name meanwhile. */
    if (note.count != talk->count ||
        memcmp(block + sizeof(note) + note.stretches * sizeof(stretch[0]),
               talk->tokens, note.count * sizeof(*talk->tokens)) != 0)
        return refuse_note(talk, "was stored anew by another session", err);
    status = engine_reads(session, talk, path, err);
    gov__kv_restored(&session->kv, (uint32_t)talk->sequence,
                     note.stretches > 0 ? stretch : NULL, note.stretches);
    if (status != GOV_OK) {
        gov__llama_clear(session, talk);
        return status;
    }
    talk->gap_at = note.gap_at;
    talk->gap = note.gap;
    talk->keeps_gap = note.keeps_gap != 0;
    gov__llama_set_past(session, talk, note.count);
    return GOV_OK;
}

gov_status gov__llama_spill_read(gov_session *session,
                                 struct gov__llama_talk *talk, gov_error *err)
{
    const uint64_t start_us = gov__llama_now_us();
    char path[GOV_SPILL_PATH_BYTES];
    struct gov_spill_state state;
    unsigned char *block;
    gov_status status;

    status = read_note(session, talk, &state, &block, err);
    if (status != GOV_OK)
        return status;
    status = gov_spill_check(session->spill, talk->name, path, &state, err);
    if (status == GOV_OK)
        status = put_back(session, talk, path, block, err);
    gov__llama_delete(block);
    if (status == GOV_OK) {
        gov__llama_rate_add(session, &session->brought, state.state_bytes,
                            gov__llama_now_us() - start_us);
        gov_spill_cool(session->spill, talk->name);
    } else {
        pthread_mutex_lock(&session->shown);
        talk->loadable = false;
        pthread_mutex_unlock(&session->shown);
    }
    return status;
}

/* "~PID.…": of a session that ended without a word when that process is gone. One
 * whose number another process has by now stays until that ends, too. */
void gov__llama_spill_sweep(gov_session *session)
{
    struct gov_spill_state *states;
    size_t room = gov_spill_list(session->spill, NULL, 0), count;

    states = room > 0 ? gov__llama_new(room * sizeof(*states)) : NULL;
    if (states == NULL)
        return;
    count = gov_spill_list(session->spill, states, room);
    for (size_t i = 0; i < count && i < room; i++) {
        const char *name = states[i].name;
        const long pid = *name == '~' ? strtol(name + 1, NULL, 10) : 0;

        if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            (void)gov_spill_remove(session->spill, name, NULL);
    }
    gov__llama_delete(states);
}

/* ---- what it costs ------------------------------------------------------------------- */

void gov__llama_rate_add(gov_session *session, struct gov__llama_rate *rate,
                         uint64_t units, uint64_t us)
{
    pthread_mutex_lock(&session->shown);
    rate->units = rate->units / 2 + units;
    rate->us = rate->us / 2 + us;
    pthread_mutex_unlock(&session->shown);
}

static uint64_t time_for(const struct gov__llama_rate *rate, uint64_t units)
{
    return rate->units == 0 ? 0
                            : (uint64_t)((double)rate->us * (double)units /
                                         (double)rate->units);
}

void gov__llama_costs(const gov_session *session,
                      const struct gov__llama_talk *talk,
                      struct gov_conversation_cost *out)
{
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    out->bytes =
        talk->state_bytes != 0 ? talk->state_bytes : (uint64_t)talk->bytes;
    out->store_us = time_for(&session->stored, out->bytes);
    out->bring_us = time_for(&session->brought, out->bytes);
    out->reread_us = time_for(&session->read, talk->count);
    out->rereads =
        !talk->loadable || (out->bring_us != 0 && out->reread_us != 0 &&
                            out->reread_us < out->bring_us);
    if (out->bring_us == 0 || out->reread_us == 0)
        snprintf(out->why, sizeof(out->why), "%s, not both were measured yet",
                 out->rereads ? "its tokens are read again"
                              : "its state is read from the disk");
    else
        snprintf(out->why, sizeof(out->why),
                 "%s: the disk takes %.1f ms, reading its %" PRIu32
                 " tokens again %.1f ms",
                 out->rereads ? "its tokens are read again"
                              : "its state is read from the disk",
                 (double)out->bring_us / 1000, (uint32_t)talk->count,
                 (double)out->reread_us / 1000);
}

bool gov__llama_cost(gov_session *session, uint32_t id,
                     struct gov_conversation_cost *out)
{
    const struct gov__llama_talk *talk;

    pthread_mutex_lock(&session->shown);
    talk = gov__llama_talk_find(session, id);
    if (talk != NULL)
        gov__llama_costs(session, talk, out);
    pthread_mutex_unlock(&session->shown);
    return talk != NULL;
}
