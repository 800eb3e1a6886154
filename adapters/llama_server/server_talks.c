/* SPDX-License-Identifier: MIT */
/* Conversations and the slots they take turns in. What is stored is a slot's state in
 * a file that the model's process writes and reads (server_files.c); it is believed
 * when the numbers of tokens and bytes are those that were there, and once more when
 * the next request counts as many tokens as cached. Whatever fails, the tokens are
 * here, and are computed again.
 *
 * A slot that is erased gives its cells to other conversations. The engine's process
 * keeps the memory: it allocated, and wrote to, the whole context when it began. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "adapters/llama_server/server_session.h"

/* ---- one conversation ------------------------------------------------------------------ */

static struct gov__server_talk *
talk_new(uint32_t id, const struct gov_conversation_options *options)
{
    struct gov__server_talk *talk = gov__server_new(sizeof(*talk));

    if (talk == NULL)
        return NULL;
    talk->shown.size = sizeof(talk->shown);
    talk->shown.id = id;
    talk->shown.place = GOV_CONVERSATION_NEW;
    if (options != NULL) {
        talk->shown.priority = options->priority;
        snprintf(talk->shown.name, sizeof(talk->shown.name), "%s",
                 options->name != NULL ? options->name : "");
    }
    talk->slot = -1;
    talk->exact = true;
    talk->used_us = gov__server_now_us();
    return talk;
}

static void talk_delete(struct gov__server_talk *talk)
{
    if (talk == NULL)
        return;
    gov__server_delete(talk->tokens);
    gov__server_delete(talk);
}

bool gov__server_talk_add(struct gov__server_talk *talk, int32_t token)
{
    void *block = talk->tokens;
    const size_t used = talk->count * sizeof(token);

    if (talk->count == INT32_MAX ||
        !gov__server_grow(&block, &talk->room, used, used + sizeof(token)))
        return false;
    talk->tokens = block;
    talk->tokens[talk->count++] = token;
    return true;
}

struct gov__server_talk *gov__server_talk_find(gov_session *session,
                                               uint32_t id)
{
    for (size_t i = 0; i < SERVER_TALKS; i++)
        if (session->talk[i] != NULL && session->talk[i]->shown.id == id)
            return session->talk[i];
    return NULL;
}

static gov_status find(gov_session *session, uint32_t id,
                       struct gov__server_talk **out, gov_error *err)
{
    *out = gov__server_talk_find(session, id);
    return *out != NULL ? GOV_OK
                        : gov_fail(err, GOV_E_NOT_FOUND, 0,
                                   "%" PRIu32 " is no conversation of this "
                                   "session; converse() begins one",
                                   id);
}

/* How many there are, and where. Lock held. */
static void publish_locked(gov_session *session)
{
    uint64_t count = 0, stored = 0, bytes = 0;

    for (size_t i = 0; i < SERVER_TALKS; i++) {
        const struct gov__server_talk *talk = session->talk[i];

        if (talk == NULL)
            continue;
        count++;
        stored += talk->shown.place == GOV_CONVERSATION_STORED;
        bytes += talk->shown.stored_bytes;
    }
    gov_gauges_set(session->runtime, session->gauges, GOV_PAGE_CONVERSATIONS,
                   count);
    gov_gauges_set(session->runtime, session->gauges,
                   GOV_PAGE_CONVERSATIONS_STORED, stored);
    gov_gauges_set(session->runtime, session->gauges, GOV_PAGE_STATE_BYTES,
                   bytes);
}

/* Lock held. */
static void show(gov_session *session, struct gov__server_talk *talk)
{
    struct gov_conversation *shown = &talk->shown;

    shown->tokens = talk->count;
    if (talk->slot >= 0)
        shown->place =
            talk->count > 0 ? GOV_CONVERSATION_MEMORY : GOV_CONVERSATION_NEW;
    else if (talk->count == 0)
        shown->place = GOV_CONVERSATION_NEW;
    else
        shown->place = talk->stored > 0 ? GOV_CONVERSATION_STORED
                                        : GOV_CONVERSATION_TOKENS;
    shown->bytes = 0;
    if (shown->place == GOV_CONVERSATION_MEMORY && session->context > 0)
        shown->bytes = session->kv_bytes / session->context * talk->count;
    publish_locked(session);
}

static void show_now(gov_session *session, struct gov__server_talk *talk)
{
    pthread_mutex_lock(&session->lock);
    show(session, talk);
    pthread_mutex_unlock(&session->lock);
}

void gov__server_talk_use(gov_session *session, struct gov__server_talk *talk,
                          bool busy)
{
    pthread_mutex_lock(&session->lock);
    talk->shown.busy = busy;
    talk->used_us = gov__server_now_us();
    show(session, talk);
    pthread_mutex_unlock(&session->lock);
}

/* ---- slots -------------------------------------------------------------------------------- */

static void take_seat(gov_session *session, struct gov__server_talk *talk,
                      uint32_t slot)
{
    pthread_mutex_lock(&session->lock);
    session->owner[slot] = talk;
    talk->slot = (int32_t)slot;
    show(session, talk);
    pthread_mutex_unlock(&session->lock);
}

static void give_seat(gov_session *session, struct gov__server_talk *talk)
{
    pthread_mutex_lock(&session->lock);
    if (talk->slot >= 0)
        session->owner[talk->slot] = NULL;
    talk->slot = -1;
    talk->exact = false;
    talk->expected = 0;
    show(session, talk);
    pthread_mutex_unlock(&session->lock);
}

/* The slot is the next one's, whatever the server says: that one's request names all
 * of its tokens, and what is there of others does not count. */
static gov_status erase_slot(gov_session *session,
                             struct gov__server_talk *talk, gov_error *err)
{
    const uint32_t slot = (uint32_t)talk->slot;
    struct gov__server_told told;

    give_seat(session, talk);
    return gov__server_slot(session, slot, SERVER_ERASE, NULL, &told, err);
}

/* cost() may look at the same time. */
static void note_us(gov_session *session, uint64_t *us, uint64_t begin)
{
    pthread_mutex_lock(&session->lock);
    *us = gov__server_now_us() - begin;
    pthread_mutex_unlock(&session->lock);
}

static gov_status store(gov_session *session, struct gov__server_talk *talk,
                        gov_error *err)
{
    const uint64_t begin = gov__server_now_us();
    gov_status status = gov__server_settle(session, talk, err);

    if (status == GOV_OK)
        status = gov__server_file_save(session, talk, err);
    /* Where memory was short the server may have emptied the slot. */
    if (status == GOV_E_ENGINE && talk->exact) {
        talk->exact = false;
        status = gov__server_settle(session, talk, err);
        if (status == GOV_OK)
            status = gov__server_file_save(session, talk, err);
    }
    if (status == GOV_OK)
        status = erase_slot(session, talk, err);
    note_us(session, &talk->store_us, begin);
    return status;
}

/* What it would take to compute it again; 0: nothing was computed yet. */
static uint64_t reread_us(const gov_session *session,
                          const struct gov__server_talk *talk)
{
    if (session->read_tokens == 0)
        return 0;
    return session->read_us * talk->shown.tokens / session->read_tokens;
}

static bool rereads(const gov_session *session,
                    const struct gov__server_talk *talk)
{
    const uint64_t again = reread_us(session, talk);

    return again > 0 && talk->bring_us > 0 && again < talk->bring_us;
}

/* The one that is missed the least. */
static struct gov__server_talk *weakest(const gov_session *session,
                                        const struct gov__server_talk *but)
{
    struct gov__server_talk *out = NULL;

    for (uint32_t i = 0; i < session->slots; i++) {
        struct gov__server_talk *one = session->owner[i];

        if (one == but || one->shown.busy)
            continue;
        if (out == NULL || one->shown.priority < out->shown.priority ||
            (one->shown.priority == out->shown.priority &&
             one->used_us < out->used_us))
            out = one;
    }
    return out;
}

static gov_status free_slot(gov_session *session,
                            const struct gov__server_talk *wants,
                            uint32_t *slot, gov_error *err)
{
    struct gov__server_talk *other;
    gov_error passed;

    for (uint32_t i = 0; i < session->slots; i++)
        if (session->owner[i] == NULL) {
            *slot = i;
            return GOV_OK;
        }
    other = weakest(session, wants);
    if (other == NULL)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "all %" PRIu32 " slots of llama-server are in use",
                        session->slots);
    *slot = (uint32_t)other->slot;
    /* Where it cannot be stored its tokens are enough. */
    if (rereads(session, other) || store(session, other, &passed) != GOV_OK)
        (void)(other->slot >= 0 ? erase_slot(session, other, &passed) : GOV_OK);
    return GOV_OK;
}

/* Failure leaves an empty slot, and the tokens. What has no name is stored once more
 * when it has to be; a name's file is what another session would find. */
static void restore(gov_session *session, struct gov__server_talk *talk)
{
    const uint64_t begin = gov__server_now_us();
    gov_error why;

    if (gov__server_file_load(session, talk, &why) == GOV_OK) {
        talk->exact = talk->stored == talk->count;
        talk->expected = talk->stored;
        note_us(session, &talk->bring_us, begin);
    } else {
        snprintf(session->notice, sizeof(session->notice),
                 "conversation %" PRIu32 " was not restored and is computed "
                 "again: %.100s",
                 talk->shown.id, why.message);
    }
    if (talk->shown.name[0] == '\0')
        gov__server_file_remove(session, talk);
}

gov_status gov__server_seat(gov_session *session, struct gov__server_talk *talk,
                            gov_error *err)
{
    uint32_t slot = 0;
    gov_status status;

    if (talk->slot >= 0)
        return GOV_OK;
    status = free_slot(session, talk, &slot, err);
    if (status != GOV_OK)
        return status;
    take_seat(session, talk, slot);
    talk->exact = talk->count == 0;
    if (talk->stored > 0)
        restore(session, talk);
    return GOV_OK;
}

/* ---- the interface ---------------------------------------------------------------------------- */

gov_status gov__server_talks_open(gov_session *session, gov_error *err)
{
    gov__server_files_sweep(session);
    session->talk[0] = talk_new(0, NULL);
    return session->talk[0] != NULL
               ? GOV_OK
               : gov_fail(err, GOV_E_NOMEM, 0, "no memory for a conversation");
}

void gov__server_talks_close(gov_session *session)
{
    for (size_t i = 0; i < SERVER_TALKS; i++) {
        if (session->talk[i] != NULL && session->talk[i]->shown.name[0] == '\0')
            gov__server_file_remove(session, session->talk[i]);
        talk_delete(session->talk[i]);
        session->talk[i] = NULL;
    }
}

static gov_status check_name(const gov_session *session, const char *name,
                             gov_error *err)
{
    if (name == NULL)
        return GOV_OK;
    if (*name == '\0' || *name == '~' || strlen(name) >= GOV_SPILL_NAME_BYTES)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "converse: a name has 1 to %d bytes and begins with "
                        "no ~",
                        GOV_SPILL_NAME_BYTES - 1);
    for (size_t i = 0; i < SERVER_TALKS; i++)
        if (session->talk[i] != NULL &&
            strcmp(session->talk[i]->shown.name, name) == 0)
            return gov_fail(
                err, GOV_E_INVALID, 0,
                "a conversation of this session is called \"%.80s\" "
                "already",
                name);
    return GOV_OK;
}

gov_status gov__server_converse(gov_session *session,
                                const struct gov_conversation_options *options,
                                uint32_t *id, gov_error *err)
{
    struct gov__server_talk *talk;
    gov_status status;
    size_t at = 1;

    *id = 0;
    if (options == NULL || options->size != sizeof(*options))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "converse: needs options of this version");
    status = check_name(session, options->name, err);
    if (status != GOV_OK)
        return status;
    while (at < SERVER_TALKS && session->talk[at] != NULL)
        at++;
    if (at == SERVER_TALKS || session->last_id == UINT32_MAX)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "there are %d conversations, which is all that a "
                        "session has; leave() ends one",
                        SERVER_TALKS);
    talk = talk_new(session->last_id + 1, options);
    if (talk == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a conversation");
    status = gov__server_file_take_up(session, talk, err);
    if (status != GOV_OK) {
        talk_delete(talk);
        return status;
    }
    *id = ++session->last_id;
    pthread_mutex_lock(&session->lock);
    session->talk[at] = talk;
    show(session, talk);
    pthread_mutex_unlock(&session->lock);
    return GOV_OK;
}

static void empty(gov_session *session, struct gov__server_talk *talk,
                  bool file)
{
    gov_error passed;

    if (talk->slot >= 0)
        (void)erase_slot(session, talk, &passed);
    if (file)
        gov__server_file_remove(session, talk);
    talk->count = 0;
    talk->exact = true;
    show_now(session, talk);
}

void gov__server_reset(gov_session *session)
{
    empty(session, session->talk[0], true);
}

static void end(gov_session *session, uint32_t id, bool erase)
{
    struct gov__server_talk *talk = gov__server_talk_find(session, id);

    if (talk == NULL)
        return;
    empty(session, talk, erase || talk->shown.name[0] == '\0');
    if (id == 0)
        return;
    pthread_mutex_lock(&session->lock);
    for (size_t i = 0; i < SERVER_TALKS; i++)
        if (session->talk[i] == talk)
            session->talk[i] = NULL;
    publish_locked(session);
    pthread_mutex_unlock(&session->lock);
    talk_delete(talk);
}

void gov__server_leave(gov_session *session, uint32_t id)
{
    end(session, id, false);
}

void gov__server_erase(gov_session *session, uint32_t id)
{
    end(session, id, true);
}

size_t gov__server_conversations(gov_session *session,
                                 struct gov_conversation *out, size_t room)
{
    const uint64_t now = gov__server_now_us();
    size_t count = 0;

    pthread_mutex_lock(&session->lock);
    for (size_t i = 0; i < SERVER_TALKS; i++) {
        const struct gov__server_talk *talk = session->talk[i];

        if (talk == NULL)
            continue;
        if (count < room) {
            out[count] = talk->shown;
            if (!talk->shown.busy && now > talk->used_us)
                out[count].idle_ms = (now - talk->used_us) / 1000;
        }
        count++;
    }
    pthread_mutex_unlock(&session->lock);
    return count;
}

gov_status gov__server_store(gov_session *session, uint32_t id, gov_error *err)
{
    struct gov__server_talk *talk;
    gov_status status = find(session, id, &talk, err);

    if (status != GOV_OK || talk->count == 0 || talk->slot < 0)
        return status;
    gov__server_talk_use(session, talk, true);
    status = store(session, talk, err);
    gov__server_talk_use(session, talk, false);
    return status;
}

gov_status gov__server_bring(gov_session *session, uint32_t id, gov_error *err)
{
    struct gov__server_talk *talk;
    gov_status status = find(session, id, &talk, err);

    if (status != GOV_OK || talk->count == 0)
        return status;
    gov__server_talk_use(session, talk, true);
    status = gov__server_seat(session, talk, err);
    if (status == GOV_OK)
        status = gov__server_settle(session, talk, err);
    gov__server_talk_use(session, talk, false);
    return status;
}

bool gov__server_cost(gov_session *session, uint32_t id,
                      struct gov_conversation_cost *out)
{
    const struct gov__server_talk *talk;

    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    pthread_mutex_lock(&session->lock);
    talk = gov__server_talk_find(session, id);
    if (talk != NULL) {
        out->store_us = talk->store_us;
        out->bring_us = talk->bring_us;
        out->reread_us = reread_us(session, talk);
        out->bytes = talk->shown.stored_bytes > 0 ? talk->shown.stored_bytes
                                                  : talk->shown.bytes;
        out->rereads = rereads(session, talk);
        if (out->bring_us == 0 || out->reread_us == 0)
            snprintf(out->why, sizeof(out->why),
                     "not both ways have been measured yet, so it is stored");
        else
            snprintf(out->why, sizeof(out->why),
                     "%s: restoring it took %" PRIu64 " us, reading %" PRIu32
                     " tokens again takes about %" PRIu64 " us",
                     out->rereads ? "read again" : "stored", out->bring_us,
                     talk->shown.tokens, out->reread_us);
    }
    pthread_mutex_unlock(&session->lock);
    return talk != NULL;
}
