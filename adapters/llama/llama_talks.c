/* SPDX-License-Identifier: MIT */
/* The conversations of a session: which there are, which of them the engine has in
 * memory, and who leaves when there is no room. A conversation in memory has one of
 * the engine's sequences; there are as many as the plan says, and any number of
 * conversations. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adapters/llama/llama_session.h"

/* More than a person has open, and few enough to be looked through. */
#define MOST UINT32_MAX

/* ---- one of them ------------------------------------------------------------------ */

static gov_status make_tokens(gov_session *session,
                              struct gov__llama_talk *talk, gov_error *err)
{
    const struct gov_alloc *alloc = gov_alloc_default();
    const uint32_t room = llama_n_ctx(session->context) + 1;

    /* Not touched, so it costs what it is used for. */
    talk->tokens = alloc->alloc(alloc->ctx, room * sizeof(*talk->tokens));
    return talk->tokens != NULL
               ? GOV_OK
               : gov_fail(err, GOV_E_NOMEM, 0,
                          "no memory for a list of %" PRIu32 " tokens", room);
}

void gov__llama_touch(gov_session *session, struct gov__llama_talk *talk)
{
    talk->version = ++session->last_version;
}

void gov__llama_set_past(gov_session *session, struct gov__llama_talk *talk,
                         uint32_t past)
{
    talk->past = past;
    if (talk == session->talk)
        atomic_store(&session->past, past);
}

static bool others_in_memory(const gov_session *session,
                             const struct gov__llama_talk *talk)
{
    for (const struct gov__llama_talk *other = session->talks; other != NULL;
         other = other->next)
        if (other != talk && other->sequence >= 0)
            return true;
    return false;
}

void gov__llama_clear(gov_session *session, struct gov__llama_talk *talk)
{
    llama_memory_t memory = llama_get_memory(session->context);

    if (talk->sequence < 0)
        return;
    if (others_in_memory(session, talk)) {
        (void)llama_memory_seq_rm(memory, talk->sequence, -1, -1);
        gov__kv_removed(&session->kv, (uint32_t)talk->sequence, 0, -1);
    } else {
        llama_memory_clear(memory, false);
        gov__kv_cleared(&session->kv);
    }
    pthread_mutex_lock(&session->shown);
    talk->bytes = 0;
    talk->gap = talk->gap_at = 0; /* read again, it has none */
    pthread_mutex_unlock(&session->shown);
    gov__llama_set_past(session, talk, 0);
}

void gov__llama_drop(gov_session *session, struct gov__llama_talk *talk)
{
    gov__llama_clear(session, talk);
    talk->sequence = -1;
}

void gov__llama_empty(gov_session *session, struct gov__llama_talk *talk)
{
    gov__llama_drop(session, talk);
    pthread_mutex_lock(&session->shown);
    talk->count = 0;
    talk->first = talk->forgotten = 0;
    talk->stored = talk->stored_bytes = talk->state_bytes = 0;
    pthread_mutex_unlock(&session->shown);
    gov__llama_touch(session, talk);
}

struct gov__llama_talk *gov__llama_talk_find(gov_session *session, uint32_t id)
{
    struct gov__llama_talk *talk = session->talks;

    while (talk != NULL && talk->id != id)
        talk = talk->next;
    return talk;
}

/* ---- who leaves -------------------------------------------------------------------- */

/* Of those in memory that nobody uses: of the lowest priority, the one that was used
 * longest ago. */
static struct gov__llama_talk *
choose_victim(gov_session *session, const struct gov__llama_talk *stays)
{
    struct gov__llama_talk *victim = NULL;

    for (struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next) {
        if (talk == stays || talk->sequence < 0 || talk->in_use)
            continue;
        if (victim == NULL || talk->priority < victim->priority ||
            (talk->priority == victim->priority &&
             talk->used_us < victim->used_us))
            victim = talk;
    }
    return victim;
}

/* The context is held, and nothing else is under way. */
static gov_status write_now(gov_session *session, struct gov__llama_talk *talk,
                            gov_error *err)
{
    gov_status status = gov__llama_spill_begin(session, talk, err);

    if (status != GOV_OK)
        return status;
    gov__llama_spill_commit(&session->storing);
    return gov__llama_spill_end(session, true, err);
}

/* To the disk where there is one; where that fails its tokens are kept, and are read
 * again. Nothing but time is lost. */
static void evict(gov_session *session, struct gov__llama_talk *talk)
{
    gov_error why;

    gov__llama_drive_settled(session);
    if (talk->past > 0 && session->spill != NULL &&
        talk->stored != talk->version &&
        write_now(session, talk, &why) != GOV_OK)
        gov_notice(session->runtime, why.message);
    gov__llama_drop(session, talk);
    gov__llama_rest(session);
}

bool gov__llama_make_room(gov_session *session,
                          const struct gov__llama_talk *stays)
{
    struct gov__llama_talk *victim = choose_victim(session, stays);

    if (victim == NULL)
        return false;
    evict(session, victim);
    return true;
}

/* Cells are shared by all sequences. */
static uint32_t cells_used(const gov_session *session)
{
    uint32_t used = 0;

    for (const struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next)
        used += talk->past;
    return used;
}

static int32_t free_sequence(const gov_session *session)
{
    for (int32_t sequence = 0; sequence < (int32_t)session->sequences;
         sequence++) {
        const struct gov__llama_talk *talk = session->talks;

        while (talk != NULL && talk->sequence != sequence)
            talk = talk->next;
        if (talk == NULL)
            return sequence;
    }
    return -1;
}

/* ---- coming back ------------------------------------------------------------------- */

static gov_status give_sequence(gov_session *session,
                                struct gov__llama_talk *talk, gov_error *err)
{
    int32_t sequence = free_sequence(session);

    if (sequence < 0 && gov__llama_make_room(session, talk))
        sequence = free_sequence(session);
    if (sequence < 0)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "all %" PRIu32 " sequences of the context are in use; "
                        "continue this conversation when another one is done",
                        session->sequences);
    gov__llama_drive(session);
    talk->sequence = sequence;
    gov__llama_rest(session);
    return GOV_OK;
}

static void tell_reread(gov_session *session, const gov_error *why)
{
    char text[GOV_MESSAGE_BYTES + 32];

    snprintf(text, sizeof(text), "its tokens are read again: %s", why->message);
    gov_notice(session->runtime, text);
}

/* By its file, or where that is not to be by its tokens. */
static gov_status fill(gov_session *session, struct gov__llama_talk *talk,
                       gov_error *err)
{
    struct gov_conversation_cost cost;
    const uint64_t start_us = gov__llama_now_us();
    const uint32_t count = talk->count;
    gov_status status = GOV_E_NOT_FOUND;
    gov_error why;

    (void)gov__llama_cost(session, talk->id, &cost);
    if (talk->stored == talk->version && talk->stored != 0 && talk->loadable &&
        !cost.rereads) {
        gov__llama_drive(session);
        status = gov__llama_spill_read(session, talk, &why);
        gov__llama_rest(session);
        if (status != GOV_OK)
            tell_reread(session, &why);
    }
    if (status == GOV_OK)
        return GOV_OK;
    status = gov__llama_evaluate(session, talk, NULL, count, err);
    if (status == GOV_OK)
        gov__llama_rate_add(session, &session->read, count,
                            gov__llama_now_us() - start_us);
    return status;
}

gov_status gov__llama_take_up(gov_session *session,
                              struct gov__llama_talk *talk, uint32_t more,
                              gov_error *err)
{
    const uint32_t cells = llama_n_ctx(session->context);
    gov_status status = GOV_OK;

    if (session->talk != talk) {
        gov__llama_drive(session);
        session->talk = talk;
        atomic_store(&session->past, talk->past);
        gov__llama_rest(session);
    }
    if (talk->sequence < 0)
        status = give_sequence(session, talk, err);
    if (status != GOV_OK)
        return status;
    while (cells_used(session) - talk->past + talk->count + more > cells &&
           gov__llama_make_room(session, talk))
        ;
    if (talk->past < talk->count)
        status = fill(session, talk, err);
    if (status != GOV_OK && talk->past == 0) {
        gov__llama_drive(session);
        gov__llama_drop(session, talk);
        gov__llama_rest(session);
    }
    return status;
}

/* ---- beginning and ending ----------------------------------------------------------- */

/* No other session has it while this one is there. */
static void name_it(const gov_session *session, struct gov__llama_talk *talk)
{
    snprintf(talk->name, sizeof(talk->name), "~%ld.%p.%" PRIu32, (long)getpid(),
             (const void *)session, talk->id);
}

gov_status gov__llama_talks_open(gov_session *session, gov_error *err)
{
    session->sequences = llama_n_seq_max(session->context);
    session->first.sequence = -1;
    session->talk = &session->first;
    name_it(session, &session->first);
    gov__llama_touch(session, &session->first);
    if (session->spill != NULL)
        gov__llama_spill_sweep(session);
    return make_tokens(session, &session->first, err);
}

/* Its file goes unless it has a name. */
static void free_talk(gov_session *session, struct gov__llama_talk *talk)
{
    if (session->spill != NULL && !talk->named && talk->stored != 0)
        (void)gov_spill_remove(session->spill, talk->name, NULL);
    gov_alloc_default()->release(gov_alloc_default()->ctx, talk->tokens);
    talk->tokens = NULL;
    if (talk != &session->first)
        gov__llama_delete(talk);
}

/* What has a name is to be there the next time. */
static bool wants_file(const gov_session *session,
                       const struct gov__llama_talk *talk)
{
    return talk->named && session->spill != NULL && talk->count > 0 &&
           talk->stored != talk->version;
}

/* What is still in memory of those that have a name: whoever unloads need not have
 * left them. */
static void store_named(gov_session *session)
{
    gov_error why;

    for (struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next)
        if (wants_file(session, talk) && talk->past == talk->count &&
            gov__llama_store(session, talk->id, &why) != GOV_OK)
            gov_notice(session->runtime, why.message);
}

void gov__llama_talks_close(gov_session *session)
{
    gov__llama_spill_wait(session);
    if (session->context != NULL)
        store_named(session);
    while (session->first.next != NULL) {
        struct gov__llama_talk *talk = session->first.next;

        session->first.next = talk->next;
        free_talk(session, talk);
    }
    free_talk(session, &session->first);
}

static bool name_is_used(const gov_session *session, const char *name)
{
    for (const struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next)
        if (strcmp(talk->name, name) == 0)
            return true;
    return false;
}

static gov_status check_options(gov_session *session,
                                const struct gov_conversation_options *options,
                                gov_error *err)
{
    const char *name = options->name;

    if (options->size != sizeof(*options))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "converse: the options are of another version");
    if (name != NULL &&
        (*name == '\0' || strlen(name) >= GOV_SPILL_NAME_BYTES ||
         *name == '~' || name_is_used(session, name)))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "converse: a name has 1 to %d bytes, begins with no ~, "
                        "and no other conversation of the session has it",
                        GOV_SPILL_NAME_BYTES - 1);
    if (session->last_id == MOST)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "converse: the session had %" PRIu32
                        " conversations; load the model again for more",
                        MOST);
    return GOV_OK;
}

/* Not found is a new one. */
static gov_status look_up(gov_session *session, struct gov__llama_talk *talk,
                          gov_error *err)
{
    gov_status status;

    if (!talk->named || session->spill == NULL)
        return GOV_OK;
    status = gov__llama_spill_look(session, talk, err);
    return status == GOV_E_NOT_FOUND ? GOV_OK : status;
}

gov_status gov__llama_converse(gov_session *session,
                               const struct gov_conversation_options *options,
                               uint32_t *id, gov_error *err)
{
    struct gov__llama_talk *talk;
    gov_status status = check_options(session, options, err);

    *id = 0;
    if (status != GOV_OK)
        return status;
    talk = gov__llama_new(sizeof(*talk));
    if (talk == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a conversation");
    talk->id = ++session->last_id;
    talk->priority = options->priority;
    talk->sequence = -1;
    talk->named = options->name != NULL;
    if (talk->named)
        snprintf(talk->name, sizeof(talk->name), "%s", options->name);
    else
        name_it(session, talk);
    talk->used_us = gov__llama_now_us();
    gov__llama_touch(session, talk);
    status = make_tokens(session, talk, err);
    if (status == GOV_OK)
        status = look_up(session, talk, err);
    if (status != GOV_OK) {
        free_talk(session, talk);
        return status;
    }
    gov__llama_drive(session);
    pthread_mutex_lock(&session->shown);
    talk->next = session->first.next;
    session->first.next = talk;
    pthread_mutex_unlock(&session->shown);
    gov__llama_rest(session);
    *id = talk->id;
    gov__llama_publish_talks(session);
    return GOV_OK;
}

/* The context is held. */
static void unlink_talk(gov_session *session, struct gov__llama_talk *talk)
{
    struct gov__llama_talk *before = session->talks;

    gov__llama_drop(session, talk);
    gov__kv_account(&session->kv);
    gov__kv_release(&session->kv);
    pthread_mutex_lock(&session->shown);
    while (before->next != talk)
        before = before->next;
    before->next = talk->next;
    if (session->talk == talk) {
        session->talk = &session->first;
        atomic_store(&session->past, session->first.past);
        session->logits = NULL;
    }
    pthread_mutex_unlock(&session->shown);
}

void gov__llama_leave(gov_session *session, uint32_t id)
{
    struct gov__llama_talk *talk = gov__llama_talk_find(session, id);
    gov_error why;

    if (id == 0) {
        gov__llama_reset(session);
        return;
    }
    if (talk == NULL)
        return;
    if (wants_file(session, talk) &&
        gov__llama_store(session, id, &why) != GOV_OK)
        gov_notice(session->runtime, why.message);
    gov__llama_drive_settled(session);
    unlink_talk(session, talk);
    gov__llama_rest(session);
    free_talk(session, talk);
    gov__llama_publish_talks(session);
}

void gov__llama_erase(gov_session *session, uint32_t id)
{
    struct gov__llama_talk *talk = gov__llama_talk_find(session, id);

    if (talk == NULL)
        return;
    gov__llama_drive_settled(session);
    if (session->spill != NULL && (talk->named || talk->stored != 0))
        (void)gov_spill_remove(session->spill, talk->name, NULL);
    gov__llama_empty(session, talk);
    if (id != 0)
        unlink_talk(session, talk);
    gov__llama_rest(session);
    if (id != 0)
        free_talk(session, talk);
    gov__llama_publish_talks(session);
}

/* ---- asked from outside ------------------------------------------------------------- */

gov_status gov__llama_store(gov_session *session, uint32_t id, gov_error *err)
{
    struct gov__llama_talk *talk = gov__llama_talk_find(session, id);
    gov_status status = GOV_OK;

    if (talk == NULL)
        return gov_fail(
            err, GOV_E_NOT_FOUND, 0,
            "store: there is no conversation %" PRIu32 " in this session", id);
    if (session->spill == NULL)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "store: the session was given no directory for "
                        "conversations; name one when the model is loaded");
    /* Of which only the tokens are left: what is stored is a state. */
    if (talk->past < talk->count && talk->stored != talk->version)
        status = gov__llama_take_up(session, talk, 0, err);
    if (status != GOV_OK)
        return status;
    gov__llama_drive_settled(session);
    if (talk->past > 0 && talk->stored != talk->version)
        status = write_now(session, talk, err);
    else if (talk->past > 0)
        gov__llama_drop(session, talk);
    if (status == GOV_OK) {
        gov__kv_account(&session->kv);
        gov__kv_release(&session->kv);
        if (talk == session->talk)
            session->logits = NULL;
    }
    gov__llama_rest(session);
    gov__llama_publish(session, false);
    return status;
}

gov_status gov__llama_bring(gov_session *session, uint32_t id, gov_error *err)
{
    struct gov__llama_talk *talk = gov__llama_talk_find(session, id);
    gov_status status;

    if (talk == NULL)
        return gov_fail(
            err, GOV_E_NOT_FOUND, 0,
            "bring: there is no conversation %" PRIu32 " in this session", id);
    if (talk->past == talk->count)
        return GOV_OK;
    status = gov__llama_take_up(session, talk, 0, err);
    session->logits = NULL;
    gov__llama_publish(session, false);
    return status;
}

enum gov_conversation_place
gov__llama_talk_place(const struct gov__llama_talk *talk)
{
    if (talk->count == 0)
        return GOV_CONVERSATION_NEW;
    if (talk->past == talk->count)
        return GOV_CONVERSATION_MEMORY;
    return talk->stored == talk->version ? GOV_CONVERSATION_STORED
                                         : GOV_CONVERSATION_TOKENS;
}

static void show(const gov_session *session, const struct gov__llama_talk *talk,
                 uint64_t now_us, struct gov_conversation *out)
{
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    out->id = talk->id;
    out->priority = talk->priority;
    out->place = gov__llama_talk_place(talk);
    out->tokens = talk->count;
    out->forgotten = talk->forgotten;
    out->stored_bytes = talk->stored_bytes;
    out->idle_ms = talk->in_use || now_us < talk->used_us
                       ? 0
                       : (now_us - talk->used_us) / 1000;
    out->busy = talk->in_use || session->storing.talk == talk;
    out->bytes = talk->bytes;
    if (talk->named)
        memcpy(out->name, talk->name, sizeof(out->name));
}

size_t gov__llama_conversations(gov_session *session,
                                struct gov_conversation *out, size_t room)
{
    const uint64_t now_us = gov__llama_now_us();
    size_t count = 0;

    pthread_mutex_lock(&session->shown);
    for (const struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next) {
        if (count < room)
            show(session, talk, now_us, &out[count]);
        count++;
    }
    pthread_mutex_unlock(&session->shown);
    return count;
}
