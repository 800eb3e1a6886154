/* SPDX-License-Identifier: MIT */
/* Where a conversation's state lies. The model's process writes and reads the file;
 * where the host has a place for conversations governor/spill.h makes it safe, and it
 * outlives the session under the conversation's name. Elsewhere it is in the router's
 * directory and goes with it. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/llama_server/server_session.h"

#define NOTE_VERSION 1
#define HEADER_BYTES 4096 /* of llama.cpp's file, beside tokens and cells */

/* Followed by the tokens. One machine's: no byte order. */
struct note {
    char magic[8];
    uint32_t version;
    uint32_t count;
    uint32_t held; /* of them, by the state */
    uint32_t priority;
    uint64_t state_bytes;
    uint64_t model; /* whose tokens they are */
    uint64_t fits;  /* whose state it is */
};

static const char magic[8] = "GOVSERV";

/* ---- what fits ---------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t number)
{
    for (int i = 0; i < 64; i += 8)
        hash = (hash ^ (number >> i & 0xff)) * UINT64_C(0x100000001b3);
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
    uint64_t hash = mix(print_of_model(session), session->plan.kv_type);

    for (const char *at = session->build; *at != '\0'; at++)
        hash = mix(hash, (unsigned char)*at);
    return hash;
}

/* ---- names ---------------------------------------------------------------------------- */

/* In the host's place; those without a name are the session's alone, and begin with a
 * character that no other name does, and the process. */
static const char *spill_name(const gov_session *session,
                              const struct gov__server_talk *talk, char own[64])
{
    if (talk->shown.name[0] != '\0')
        return talk->shown.name;
    snprintf(own, 64, "~%ld-%s-%" PRIu32, (long)getpid(), session->tag,
             talk->shown.id);
    return own;
}

static void file_name(const gov_session *session,
                      const struct gov__server_talk *talk, char out[64])
{
    snprintf(out, 64, "%s-%" PRIu32 ".state", session->tag, talk->shown.id);
}

static bool file_path(const gov_session *session,
                      const struct gov__server_talk *talk,
                      char out[SERVER_PATH_BYTES + 72])
{
    char name[64];

    if (session->slots_directory[0] == '\0')
        return false;
    file_name(session, talk, name);
    snprintf(out, SERVER_PATH_BYTES + 72, "%s/%s", session->slots_directory,
             name);
    return true;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* ---- saving ------------------------------------------------------------------------------ */

static void set_file(gov_session *session, struct gov__server_talk *talk,
                     uint32_t tokens, uint64_t state_bytes, uint64_t file_bytes)
{
    pthread_mutex_lock(&session->lock);
    talk->stored = tokens;
    talk->state_bytes = state_bytes;
    talk->shown.stored_bytes = file_bytes;
    pthread_mutex_unlock(&session->lock);
}

/* Has the server write, and looks at what it says and at what is there. */
static gov_status write_slot(gov_session *session,
                             const struct gov__server_talk *talk,
                             const char *path, const char *name,
                             struct gov__server_told *told, gov_error *err)
{
    struct stat st;
    gov_status status = gov__server_slot(session, (uint32_t)talk->slot,
                                         SERVER_SAVE, name, told, err);

    if (status != GOV_OK)
        return status;
    if (told->tokens == 0 || told->tokens > talk->count ||
        (talk->exact && told->tokens != talk->count))
        return gov_fail(err, GOV_E_ENGINE, 0,
                        "llama-server stored %" PRIu64 " of %" PRIu32 " tokens",
                        told->tokens, talk->count);
    if (path == NULL)
        return GOV_OK;
    if (stat(path, &st) != 0)
        return gov_fail(err, GOV_E_IO, errno,
                        "cannot find what llama-server has stored");
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != told->bytes)
        return gov_fail(err, GOV_E_ENGINE, 0,
                        "llama-server says that it stored %" PRIu64
                        " bytes, and there are %" PRIu64,
                        told->bytes, (uint64_t)st.st_size);
    return GOV_OK;
}

static gov_status save_beside(gov_session *session,
                              struct gov__server_talk *talk, gov_error *err)
{
    char path[SERVER_PATH_BYTES + 72], name[64];
    const bool known = file_path(session, talk, path);
    struct gov__server_told told = {0, 0};
    gov_status status;

    file_name(session, talk, name);
    status = write_slot(session, talk, known ? path : NULL, name, &told, err);
    if (status == GOV_OK)
        set_file(session, talk, (uint32_t)told.tokens, told.bytes, told.bytes);
    else if (known)
        (void)unlink(path);
    return status;
}

static unsigned char *make_note(const gov_session *session,
                                const struct gov__server_talk *talk,
                                const struct gov__server_told *told,
                                size_t *bytes)
{
    struct note note = {
        .version = NOTE_VERSION,
        .count = talk->count,
        .held = (uint32_t)told->tokens,
        .priority = talk->shown.priority,
        .state_bytes = told->bytes,
        .model = print_of_model(session),
        .fits = print_of_state(session),
    };
    unsigned char *block;

    memcpy(note.magic, magic, sizeof(magic));
    *bytes = sizeof(note) + talk->count * sizeof(talk->tokens[0]);
    block = gov__server_new(*bytes);
    if (block == NULL)
        return NULL;
    memcpy(block, &note, sizeof(note));
    memcpy(block + sizeof(note), talk->tokens,
           talk->count * sizeof(talk->tokens[0]));
    return block;
}

static gov_status save_spilled(gov_session *session,
                               struct gov__server_talk *talk, gov_error *err)
{
    const uint64_t bytes = HEADER_BYTES + talk->shown.bytes +
                           (uint64_t)talk->count * 2 * sizeof(talk->tokens[0]);
    struct gov__server_told told = {0, 0};
    gov_spill_draft *draft = NULL;
    unsigned char *note = NULL;
    uint64_t file_bytes = 0;
    const char *path;
    size_t note_bytes;
    char own[64];
    gov_status status = gov_spill_begin(
        session->spill, spill_name(session, talk, own), bytes, &draft, err);

    if (status != GOV_OK)
        return status;
    path = gov_spill_draft_path(draft);
    status = write_slot(session, talk, path, base_of(path), &told, err);
    if (status == GOV_OK) {
        note = make_note(session, talk, &told, &note_bytes);
        if (note == NULL)
            status = gov_fail(err, GOV_E_NOMEM, 0, "no memory for a note");
    }
    if (status == GOV_OK)
        status = gov_spill_commit(draft, note, note_bytes, &file_bytes, err);
    else
        gov_spill_drop(draft);
    gov__server_delete(note);
    if (status == GOV_OK)
        set_file(session, talk, (uint32_t)told.tokens, told.bytes, file_bytes);
    return status;
}

gov_status gov__server_file_save(gov_session *session,
                                 struct gov__server_talk *talk, gov_error *err)
{
    return session->spill != NULL ? save_spilled(session, talk, err)
                                  : save_beside(session, talk, err);
}

/* ---- loading ------------------------------------------------------------------------------- */

/* llama.cpp v0.5.0 ends its process over a file that was cut, so each is looked at
 * before. */
static gov_status find_file(gov_session *session,
                            const struct gov__server_talk *talk,
                            char name[GOV_SPILL_PATH_BYTES], gov_error *err)
{
    char path[GOV_SPILL_PATH_BYTES], own[64];
    struct gov_spill_state state;
    struct stat st;
    gov_status status;

    if (session->spill != NULL) {
        status = gov_spill_check(session->spill, spill_name(session, talk, own),
                                 path, &state, err);
        if (status == GOV_OK)
            snprintf(name, GOV_SPILL_PATH_BYTES, "%s", base_of(path));
        return status;
    }
    file_name(session, talk, name);
    if (!file_path(session, talk, path))
        return GOV_OK;
    if (stat(path, &st) != 0)
        return gov_fail(err, GOV_E_IO, errno, "its file cannot be found");
    if ((uint64_t)st.st_size != talk->state_bytes)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "its file has %" PRIu64 " bytes and had %" PRIu64,
                        (uint64_t)st.st_size, talk->state_bytes);
    return GOV_OK;
}

gov_status gov__server_file_load(gov_session *session,
                                 struct gov__server_talk *talk, gov_error *err)
{
    char name[GOV_SPILL_PATH_BYTES];
    struct gov__server_told told;
    gov_status status = find_file(session, talk, name, err);

    if (status == GOV_OK)
        status = gov__server_slot(session, (uint32_t)talk->slot, SERVER_RESTORE,
                                  name, &told, err);
    if (status != GOV_OK)
        return status;
    if (told.tokens != talk->stored || told.bytes != talk->state_bytes)
        return gov_fail(err, GOV_E_ENGINE, 0,
                        "%" PRIu64 " of %" PRIu32 " tokens came back",
                        told.tokens, talk->stored);
    return GOV_OK;
}

void gov__server_file_remove(gov_session *session,
                             struct gov__server_talk *talk)
{
    char path[SERVER_PATH_BYTES + 72], own[64];
    gov_error passed;

    if (talk->shown.stored_bytes > 0) {
        if (session->spill != NULL)
            (void)!gov_spill_remove(session->spill,
                                    spill_name(session, talk, own), &passed);
        else if (file_path(session, talk, path))
            (void)unlink(path);
    }
    set_file(session, talk, 0, 0, 0);
}

/* What processes that were killed have left of conversations without a name, be it by
 * this adapter or the other one. */
void gov__server_files_sweep(gov_session *session)
{
    struct gov_spill_state *states;
    size_t room, count;
    gov_error passed;

    if (session->spill == NULL)
        return;
    room = gov_spill_list(session->spill, NULL, 0);
    states = room == 0 ? NULL : gov__server_new(room * sizeof(*states));
    if (states == NULL)
        return;
    count = gov_spill_list(session->spill, states, room);
    for (size_t i = 0; i < count && i < room; i++) {
        const char *name = states[i].name;
        const long pid = *name == '~' ? strtol(name + 1, NULL, 10) : 0;

        if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            (void)!gov_spill_remove(session->spill, name, &passed);
    }
    gov__server_delete(states);
}

/* ---- taking one up ------------------------------------------------------------------------------ */

static gov_status refuse(const struct gov__server_talk *talk, const char *why,
                         gov_error *err)
{
    return gov_fail(
        err, GOV_E_FORMAT, 0,
        "the stored conversation %.80s %s; erase it, or use another "
        "name",
        talk->shown.name, why);
}

static gov_status take_note(gov_session *session, struct gov__server_talk *talk,
                            const unsigned char *block, size_t bytes,
                            gov_error *err)
{
    struct note note;
    int32_t token;

    if (bytes < sizeof(note))
        return refuse(talk, "was written by another engine", err);
    memcpy(&note, block, sizeof(note));
    if (memcmp(note.magic, magic, sizeof(magic)) != 0 ||
        note.version != NOTE_VERSION ||
        note.count > GOV_SPILL_NOTE_BYTES / sizeof(token) ||
        bytes != sizeof(note) + note.count * sizeof(token))
        return refuse(talk, "was written by another engine, or version", err);
    if (note.model != print_of_model(session))
        return refuse(talk, "is with another model", err);
    if (note.count >= session->slot_context)
        return refuse(talk, "is longer than the context", err);
    for (uint32_t i = 0; i < note.count; i++) {
        memcpy(&token, block + sizeof(note) + i * sizeof(token), sizeof(token));
        if (token < 0 || !gov__server_talk_add(talk, token))
            return gov_fail(err, GOV_E_NOMEM, 0,
                            "no memory for a list of %" PRIu32 " tokens",
                            note.count);
    }
    talk->state_bytes = note.state_bytes;
    /* A state of another engine does not come back; the tokens are enough. */
    talk->stored = note.fits == print_of_state(session) ? note.held : 0;
    return GOV_OK;
}

gov_status gov__server_file_take_up(gov_session *session,
                                    struct gov__server_talk *talk,
                                    gov_error *err)
{
    struct gov_spill_state state;
    unsigned char *block;
    gov_status status;

    if (session->spill == NULL || talk->shown.name[0] == '\0')
        return GOV_OK;
    status =
        gov_spill_note(session->spill, talk->shown.name, NULL, 0, &state, err);
    if (status == GOV_E_NOT_FOUND)
        return GOV_OK;
    if (status != GOV_OK)
        return status;
    block = gov__server_new((size_t)state.note_bytes + 1);
    if (block == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a note");
    status = gov_spill_note(session->spill, talk->shown.name, block,
                            (size_t)state.note_bytes, &state, err);
    if (status == GOV_OK)
        status = take_note(session, talk, block, (size_t)state.note_bytes, err);
    gov__server_delete(block);
    talk->shown.stored_bytes = state.file_bytes;
    return status;
}
