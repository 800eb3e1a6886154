/* SPDX-License-Identifier: MIT */
/* Conversations of the llama.cpp adapter: kept apart, stored, brought back, found
 * again by another process, cut, and moved into another context. What a conversation
 * that stayed alone in memory computes is the measure: the same bits. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "adapters/llama/llama_session.h"
#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define CONTEXT 1024
#define MIB ((uint64_t)1 << 20)

static const struct {
    const char *file, *type, *preset;
    bool cuts;  /* history can be forgotten */
    bool cells; /* a conversation takes memory by its tokens */
} models[] = {
    {"plain.gguf", "Q4_0", "tiny", true, true},
    {"window.gguf", "Q4_0", "tiny-gemma3", true, true},
    {"experts.gguf", "Q4_0", "tiny-mixtral", true, true},
    {"recurrent.gguf", "Q4_0", "tiny-mamba", false, false},
    {"hybrid.gguf", "Q4_0", "tiny-falcon-h1", false, true},
};

static void make_models(void)
{
    for (int i = 0; i < COUNT(models); i++)
        make_model(models[i].file, models[i].type, models[i].preset);
    make_model("small.gguf", "Q4_0", "small");
}

/* ---- a session --------------------------------------------------------------------- */

struct host {
    const struct gov_engine *engine;
    gov_runtime *runtime;
    gov_model *model;
    gov_spill *spill;
    gov_session *session;
    char directory[256];
    char heard[4096]; /* notices, one after the other */
};

static void check_ok(gov_status status, const gov_error *err)
{
    ck_assert_msg(status == GOV_OK, "%s", err->message);
}

static void hear(void *ctx, const struct gov_event *event)
{
    struct host *h = ctx;
    const size_t at = strlen(h->heard);

    if (event->kind == GOV_EVENT_NOTICE)
        snprintf(h->heard + at, sizeof(h->heard) - at, "%s\n", event->text);
}

static void open_runtime(struct host *h)
{
    struct gov_options options = gov_options_default();
    gov_error err;

    options.no_thread = true;
    options.no_publish = true;
    check_ok(gov_open(&h->runtime, &options, &err), &err);
    gov_on_event(h->runtime, hear, h);
}

/* Beside the models, which fresh_directory() would remove. */
static const char *place(void)
{
    static char path[300];

    snprintf(path, sizeof(path), "%s/XXXXXX", models_directory);
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static void open_spill(struct host *h, uint64_t quota)
{
    struct gov_spill_options options = gov_spill_options_default();
    gov_error err;

    options.directory = h->directory;
    options.quota_bytes = quota;
    options.spare_bytes = 1;
    check_ok(gov_spill_open(&h->spill, &options, &err), &err);
}

static void load(struct host *h, uint32_t context, uint32_t sequences,
                 gov_kv_type type)
{
    struct gov_plan plan = {.strategy = GOV_STRATEGY_MMAP,
                            .kv_type = type,
                            .context = context,
                            .sequences = sequences};
    struct gov_load request = {.size = sizeof(request),
                               .model = h->model,
                               .plan = &plan,
                               .runtime = h->runtime,
                               .threads = 1,
                               .spill = h->spill};
    gov_error err;

    check_ok(h->engine->load(&h->session, &request, &err), &err);
}

/* A host without a session; `where` NULL: without a directory, too. */
static void open_host(struct host *h, const char *file, const char *where)
{
    gov_error err;

    memset(h, 0, sizeof(*h));
    check_ok(gov_engine_open(&h->engine, "llama", &err), &err);
    check_ok(gov_model_open(&h->model, in_directory(file), NULL, &err), &err);
    open_runtime(h);
    if (where == NULL)
        return;
    snprintf(h->directory, sizeof(h->directory), "%s/talks", where);
    open_spill(h, 0);
}

static void unload(struct host *h)
{
    h->engine->unload(h->session);
    h->session = NULL;
}

static void close_host(struct host *h)
{
    unload(h);
    gov_spill_close(h->spill);
    gov_close(h->runtime);
    gov_model_close(h->model);
}

/* ---- turns ------------------------------------------------------------------------- */

/* What was said, and a sum over the bits of all logits. */
struct said {
    char text[2048];
    uint64_t bits;
    float first[1024]; /* what the first token was chosen from */
    struct host *h;
    struct gov_generated out;
};

static bool on_piece(void *ctx, const char *text, size_t bytes)
{
    struct said *said = ctx;
    const size_t at = strlen(said->text);
    size_t count;
    const float *logits = said->h->engine->logits(said->h->session, &count);
    const unsigned char *raw = (const unsigned char *)logits;

    if (at == 0)
        memcpy(said->first, logits, sizeof(said->first));
    for (size_t i = 0; i < count * sizeof(float); i++)
        said->bits = (said->bits ^ raw[i]) * UINT64_C(0x100000001b3);
    snprintf(said->text + at, sizeof(said->text) - at, "%.*s|", (int)bytes,
             text);
    return true;
}

static struct said say(struct host *h, uint32_t id, const char *prompt,
                       uint32_t tokens)
{
    struct said said = {.h = h, .bits = 1};
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = prompt,
                                   .tokens = tokens,
                                   .ignore_end = true,
                                   .piece = on_piece,
                                   .ctx = &said,
                                   .conversation = id};
    gov_error err;

    check_ok(h->engine->generate(h->session, &request, &said.out, &err), &err);
    /* Such small conversations may well be read again faster than a busy disk is;
     * not measured, that is not considered. */
    memset(&h->session->read, 0, sizeof(h->session->read));
    return said;
}

static void same(const struct said *a, const struct said *b, const char *what)
{
    ck_assert_msg(strcmp(a->text, b->text) == 0, "%s: other words", what);
    ck_assert_msg(a->bits == b->bits, "%s: other bits", what);
}

static uint32_t converse(struct host *h, const char *name)
{
    struct gov_conversation_options options =
        gov_conversation_options_default();
    gov_error err;
    uint32_t id;

    options.name = name;
    check_ok(h->engine->converse(h->session, &options, &id, &err), &err);
    ck_assert_uint_ne(id, 0);
    return id;
}

static struct gov_conversation look(struct host *h, uint32_t id)
{
    struct gov_conversation all[16];
    const size_t count = h->engine->conversations(h->session, all, 16);

    for (size_t i = 0; i < count; i++)
        if (all[i].id == id)
            return all[i];
    ck_abort_msg("no conversation %u of %zu", id, count);
}

static void store(struct host *h, uint32_t id)
{
    gov_error err;

    check_ok(h->engine->store(h->session, id, &err), &err);
    ck_assert_int_eq(look(h, id).place, GOV_CONVERSATION_STORED);
    ck_assert_uint_eq(look(h, id).bytes, 0);
}

static const char *const lines[] = {
    "The old house at the end of the road had been empty for years, and ",
    "Three ships came in on the evening tide with nothing in their holds. ",
    "Nobody in the village knew where the boy had learned to count so fast ",
};

static size_t files_in(const char *directory, char *one, size_t room)
{
    char line[512];
    FILE *list;
    size_t count = 0;

    snprintf(line, sizeof(line), "ls %s", directory);
    list = popen(line, "r");
    ck_assert_ptr_nonnull(list);
    while (fgets(line, sizeof(line), list) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        snprintf(one, room, "%s/%.200s", directory, line);
        count++;
    }
    pclose(list);
    return count;
}

/* ---- apart, stored, brought back --------------------------------------------------- */

/* Three conversations take turns in one sequence, so each leaves for the disk before
 * another is used; each is as if it had been alone. */
START_TEST(turns_by_the_disk_change_no_bit)
{
    struct said alone[3][3];
    const char *where = place();
    struct host h;
    uint32_t id[3];

    open_host(&h, models[_i].file, NULL);
    for (int talk = 0; talk < 3; talk++) {
        load(&h, CONTEXT, 1, GOV_KV_F16);
        for (int turn = 0; turn < 3; turn++)
            alone[talk][turn] = say(&h, 0, lines[(talk + turn) % 3], 12);
        unload(&h);
    }
    close_host(&h);
    open_host(&h, models[_i].file, where);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    for (int talk = 0; talk < 3; talk++)
        id[talk] = converse(&h, NULL);
    for (int turn = 0; turn < 3; turn++)
        for (int talk = 0; talk < 3; talk++) {
            struct said now = say(&h, id[talk], lines[(talk + turn) % 3], 12);

            same(&now, &alone[talk][turn], models[_i].preset);
            if (turn > 0)
                ck_assert_uint_gt(now.out.known_tokens, 12);
        }
    ck_assert_int_eq(look(&h, id[0]).place, GOV_CONVERSATION_STORED);
    ck_assert_int_eq(look(&h, id[2]).place, GOV_CONVERSATION_MEMORY);
    ck_assert_str_eq(h.heard, "");
    unload(&h);
    ck_assert_uint_eq(files_in(h.directory, h.heard, sizeof(h.heard)), 0);
    close_host(&h);
}
END_TEST

/* Side by side in memory there are cells of others between: no bit is promised, but
 * that all of each is known, and nothing of another. */
START_TEST(several_stay_in_memory)
{
    struct host h;
    uint32_t id[4];

    open_host(&h, models[_i].file, NULL);
    load(&h, CONTEXT, 4, GOV_KV_F16);
    for (int talk = 0; talk < 4; talk++)
        id[talk] = converse(&h, NULL);
    for (int turn = 0; turn < 3; turn++)
        for (int talk = 0; talk < 4; talk++) {
            const struct gov_conversation before = look(&h, id[talk]);
            struct said now = say(&h, id[talk], lines[(talk + turn) % 3], 8);

            if (turn > 0) /* the first prompt may be one that was kept */
                ck_assert_uint_eq(now.out.known_tokens, before.tokens);
            ck_assert_int_eq(look(&h, id[talk]).place, GOV_CONVERSATION_MEMORY);
            ck_assert_uint_eq(look(&h, id[talk]).tokens,
                              before.tokens + now.out.prompt_tokens + 8);
        }
    ck_assert_uint_eq(h.session->kv.disagreed, 0);
    h.engine->leave(h.session, id[1]);
    h.engine->leave(h.session, id[1]);
    ck_assert_uint_eq(h.engine->conversations(h.session, NULL, 0), 4);
    say(&h, id[0], lines[0], 4);
    ck_assert_uint_eq(h.session->kv.disagreed, 0);
    close_host(&h);
}
END_TEST

/* The session ends and another one takes the conversation up under its name. */
START_TEST(a_name_is_found_again)
{
    const char *where = place();
    struct said first, alone, second;
    struct host h;
    uint32_t id;

    open_host(&h, models[_i].file, NULL);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    first = say(&h, 0, lines[0], 20);
    alone = say(&h, 0, lines[1], 20);
    close_host(&h);

    open_host(&h, models[_i].file, where);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    id = converse(&h, "a/b: the house");
    second = say(&h, id, lines[0], 20);
    same(&second, &first, "first");
    h.engine->leave(h.session, id);
    close_host(&h);

    open_host(&h, models[_i].file, where);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    id = converse(&h, "a/b: the house");
    ck_assert_int_eq(look(&h, id).place, GOV_CONVERSATION_STORED);
    ck_assert_uint_eq(look(&h, id).tokens, first.out.prompt_tokens + 20);
    second = say(&h, id, lines[1], 20);
    ck_assert_uint_eq(second.out.known_tokens, first.out.prompt_tokens + 20);
    same(&second, &alone, "second");
    h.engine->erase(h.session, id);
    ck_assert_uint_eq(files_in(h.directory, h.heard, sizeof(h.heard)), 0);
    close_host(&h);
}
END_TEST

/* Other KV types: the tokens are read again, and nobody is asked. */
START_TEST(a_state_that_does_not_fit_is_read_again)
{
    const char *where = place();
    struct said alone, now;
    struct host h;
    uint32_t id;

    open_host(&h, "plain.gguf", where);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    id = converse(&h, "x");
    (void)say(&h, id, lines[0], 20);
    h.engine->leave(h.session, id);
    unload(&h);
    load(&h, CONTEXT, 1, GOV_KV_F32);
    (void)say(&h, 0, lines[0], 20);
    alone = say(&h, 0, lines[1], 20);
    h.engine->reset(h.session);
    id = converse(&h, "x");
    now = say(&h, id, lines[1], 20);
    ck_assert_str_eq(now.text, alone.text);
    close_host(&h);
}
END_TEST

/* ---- what fails ---------------------------------------------------------------------- */

static void spoil(const char *path)
{
    const int fd = open(path, O_RDWR);
    char byte;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, 2000), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(fd, &byte, 1, 2000), 1);
    close(fd);
}

/* A damaged file costs time and a sentence, never a wrong word. */
START_TEST(a_damaged_state_is_not_believed)
{
    const char *where = place();
    struct said alone, now;
    char path[512];
    struct host h;
    uint32_t id;

    open_host(&h, "plain.gguf", where);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    (void)say(&h, 0, lines[0], 20);
    alone = say(&h, 0, lines[1], 20);
    h.engine->reset(h.session);
    id = converse(&h, "x");
    (void)say(&h, id, lines[0], 20);
    store(&h, id);
    ck_assert_uint_eq(files_in(h.directory, path, sizeof(path)), 1);
    spoil(path);
    now = say(&h, id, lines[1], 20);
    ck_assert_str_eq(now.text, alone.text);
    ck_assert_ptr_nonnull(strstr(h.heard, "x"));
    close_host(&h);
}
END_TEST

START_TEST(a_full_directory_leaves_it_in_memory)
{
    const char *where = place();
    struct said alone, now;
    struct host h;
    gov_error err;

    open_host(&h, "plain.gguf", where);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    (void)say(&h, 0, lines[0], 20);
    alone = say(&h, 0, lines[1], 20);
    unload(&h);
    gov_spill_close(h.spill);
    open_spill(&h, 1000);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    (void)say(&h, 0, lines[0], 20);
    ck_assert_int_ne(h.engine->store(h.session, 0, &err), GOV_OK);
    ck_assert_ptr_nonnull(strstr(err.message, h.directory));
    ck_assert_int_eq(look(&h, 0).place, GOV_CONVERSATION_MEMORY);
    now = say(&h, 0, lines[1], 20);
    same(&now, &alone, "after");
    ck_assert_uint_eq(files_in(h.directory, h.heard, sizeof(h.heard)), 0);
    close_host(&h);
}
END_TEST

START_TEST(requests_that_cannot_be)
{
    struct gov_conversation_options options =
        gov_conversation_options_default();
    struct gov_forget forget = {.size = sizeof(forget)};
    struct gov_resize resize = {.size = sizeof(resize)};
    struct gov_generated out;
    struct gov_generate request = {
        .size = sizeof(request), .prompt = "x", .tokens = 1, .conversation = 7};
    struct gov_conversation_cost cost;
    struct host h;
    gov_error err;
    uint32_t id;

    open_host(&h, "plain.gguf", NULL);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    ck_assert_int_eq(h.engine->generate(h.session, &request, &out, &err),
                     GOV_E_NOT_FOUND);
    ck_assert_int_eq(h.engine->store(h.session, 0, &err), GOV_E_UNSUPPORTED);
    ck_assert_int_eq(h.engine->store(h.session, 7, &err), GOV_E_NOT_FOUND);
    ck_assert_int_eq(h.engine->bring(h.session, 7, &err), GOV_E_NOT_FOUND);
    ck_assert_int_eq(h.engine->forget(h.session, 7, &forget, NULL, &err),
                     GOV_E_NOT_FOUND);
    ck_assert(!h.engine->cost(h.session, 7, &cost));
    options.name = "~x";
    ck_assert_int_eq(h.engine->converse(h.session, &options, &id, &err),
                     GOV_E_INVALID);
    options.name = "";
    ck_assert_int_eq(h.engine->converse(h.session, &options, &id, &err),
                     GOV_E_INVALID);
    options.name = "twice";
    check_ok(h.engine->converse(h.session, &options, &id, &err), &err);
    ck_assert_int_eq(h.engine->converse(h.session, &options, &id, &err),
                     GOV_E_INVALID);
    (void)say(&h, 0, lines[0], 20);
    resize.context = 8;
    ck_assert_int_eq(h.engine->resize(h.session, &resize, &err), GOV_E_INVALID);
    forget.size = 1;
    ck_assert_int_eq(h.engine->forget(h.session, 0, &forget, NULL, &err),
                     GOV_E_INVALID);
    h.engine->leave(h.session, 77);
    close_host(&h);
}
END_TEST

/* ---- history --------------------------------------------------------------------------- */

/* Bytes of memory behind K and V, by the kernel. */
static uint64_t behind(const gov_session *session)
{
    const struct gov__llama_kv *kv = &session->kv;
    static unsigned char there[1 << 20];
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < kv->layers; i++)
        for (int which = 0; which < 2; which++) {
            const struct ggml_tensor *t =
                which == 0 ? kv->layer[i].k : kv->layer[i].v;
            char *from;
            size_t before, bytes_of;

            if (t == NULL)
                continue;
            before = (uintptr_t)t->data & (kv->page_bytes - 1);
            from = (char *)t->data - before;
            bytes_of = (before + ggml_nbytes(t) + kv->page_bytes - 1) &
                       ~(kv->page_bytes - 1);
            ck_assert_int_eq(mincore(from, bytes_of, there), 0);
            for (size_t page = 0; page < bytes_of / kv->page_bytes; page++)
                bytes += (there[page] & 1) * kv->page_bytes;
        }
    return bytes;
}

static void read_much(struct host *h, uint32_t id, uint32_t tokens)
{
    static char text[65536];
    size_t at = 0;

    text[0] = '\0';
    while (look(h, id).tokens < tokens) {
        at = 0;
        for (int i = 0; i < 4; i++)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s",
                                   lines[i % 3]);
        (void)say(h, id, text, 1);
    }
}

/* Half of a conversation goes, and its memory with it, at once; after the positions
 * were moved up the next pass takes it and gives it back. */
START_TEST(half_of_the_history_gives_half_of_the_memory)
{
    struct gov_forget forget = {.size = sizeof(forget), .first_tokens = 32};
    uint64_t before, after, want;
    uint32_t tokens, gone;
    struct host h;
    gov_error err;

    open_host(&h, "small.gguf", NULL);
    load(&h, 8192, 1, GOV_KV_F16);
    read_much(&h, 0, 4000);
    tokens = look(&h, 0).tokens;
    before = behind(h.session);
    forget.recent_tokens = tokens / 2 - 32;
    check_ok(h.engine->forget(h.session, 0, &forget, &gone, &err), &err);
    ck_assert_uint_ge(gone, tokens / 2);
    ck_assert_uint_eq(look(&h, 0).tokens, tokens - gone);
    ck_assert_uint_eq(look(&h, 0).forgotten, gone);
    after = behind(h.session);
    want = before / tokens * gone;
    ck_assert_msg(before - after >= want * 95 / 100,
                  "%lu of %lu bytes came back", before - after, want);
    ck_assert_ptr_nonnull(strstr(h.heard, "no longer knows"));
    (void)say(&h, 0, lines[0], 4);
    ck_assert_uint_eq(h.session->kv.disagreed, 0);
    ck_assert_msg(behind(h.session) <= after + 2 * MIB,
                  "%lu after the shift, %lu before", behind(h.session), after);
    close_host(&h);
}
END_TEST

START_TEST(a_state_without_tokens_is_not_cut)
{
    struct gov_forget forget = {
        .size = sizeof(forget), .first_tokens = 4, .recent_tokens = 4};
    struct host h;
    gov_error err;
    uint32_t gone;

    open_host(&h, models[_i].file, NULL);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    (void)say(&h, 0, lines[0], 20);
    if (models[_i].cuts) {
        check_ok(h.engine->forget(h.session, 0, &forget, &gone, &err), &err);
        ck_assert_uint_eq(look(&h, 0).tokens, 8);
    } else {
        ck_assert_int_eq(h.engine->forget(h.session, 0, &forget, &gone, &err),
                         GOV_E_UNSUPPORTED);
    }
    (void)say(&h, 0, lines[1], 20);
    ck_assert_uint_eq(h.session->kv.disagreed, 0);
    close_host(&h);
}
END_TEST

static double distance(const struct said *a, const struct said *b)
{
    double most = 0;

    for (size_t i = 0; i < COUNT(a->first); i++)
        most = fmax(most, fabs((double)a->first[i] - (double)b->first[i]));
    return most;
}

/* What is cut and then stored, moved or continued is the same conversation: K is
 * rotated right before a pass, and never saved half done. Stored, its cells lie side
 * by side when it comes back, and sums are added up in another order: that much it
 * may differ from one that stayed (half rotated: by 10 and more). */
START_TEST(a_cut_conversation_is_stored_whole)
{
    struct gov_forget forget = {
        .size = sizeof(forget), .first_tokens = 8, .recent_tokens = 24};
    struct gov_resize resize = {.size = sizeof(resize), .context = 2048};
    static struct said way[3];
    struct host h;
    gov_error err;

    if (!models[_i].cuts)
        return;
    open_host(&h, models[_i].file, place());
    for (int i = 0; i < 3; i++) {
        load(&h, CONTEXT, 1, GOV_KV_F32);
        (void)say(&h, 0, lines[0], 30);
        (void)say(&h, 0, lines[1], 30);
        check_ok(h.engine->forget(h.session, 0, &forget, NULL, &err), &err);
        if (i == 1)
            store(&h, 0);
        if (i == 2)
            check_ok(h.engine->resize(h.session, &resize, &err), &err);
        way[i] = say(&h, 0, lines[2], 20);
        ck_assert_uint_eq(h.session->kv.disagreed, 0);
        unload(&h);
    }
    same(&way[1], &way[2], "stored, and moved");
    ck_assert_msg(distance(&way[0], &way[1]) < 1, "%f from one that stayed",
                  distance(&way[0], &way[1]));
    close_host(&h);
}
END_TEST

/* A larger context takes larger batches. */
START_TEST(a_context_that_grows_reads_long_prompts)
{
    struct gov_resize resize = {.size = sizeof(resize), .context = 2048};
    struct host h;
    gov_error err;

    open_host(&h, "plain.gguf", NULL);
    load(&h, 256, 1, GOV_KV_F16);
    (void)say(&h, 0, lines[0], 4);
    check_ok(h.engine->resize(h.session, &resize, &err), &err);
    read_much(&h, 0, 1000);
    resize.context = 300;
    ck_assert_int_eq(h.engine->resize(h.session, &resize, NULL), GOV_E_INVALID);
    close_host(&h);
}
END_TEST

/* Two sessions use one name: nobody gets the other's words. */
START_TEST(a_name_that_another_session_stored_is_not_taken)
{
    const char *where = place();
    struct said alone, now;
    struct host one, other;
    uint32_t id, others;
    gov_error err;

    open_host(&one, "plain.gguf", NULL);
    load(&one, CONTEXT, 1, GOV_KV_F16);
    (void)say(&one, 0, lines[0], 20);
    alone = say(&one, 0, lines[1], 20);
    close_host(&one);
    open_host(&one, "plain.gguf", where);
    load(&one, CONTEXT, 1, GOV_KV_F16);
    id = converse(&one, "x");
    (void)say(&one, id, lines[0], 20);
    store(&one, id);
    open_host(&other, "experts.gguf", NULL);
    snprintf(other.directory, sizeof(other.directory), "%s", one.directory);
    gov_model_close(other.model);
    check_ok(
        gov_model_open(&other.model, in_directory("plain.gguf"), NULL, &err),
        &err);
    open_spill(&other, 0);
    load(&other, CONTEXT, 1, GOV_KV_F16);
    others = converse(&other, "x");
    (void)say(&other, others, lines[2], 40);
    other.engine->leave(other.session, others);
    now = say(&one, id, lines[1], 20);
    ck_assert_str_eq(now.text, alone.text);
    ck_assert_ptr_nonnull(strstr(one.heard, "another session"));
    close_host(&other);
    close_host(&one);
}
END_TEST

static bool stop_at_once(void *ctx)
{
    int *asked = ctx;

    return ++*asked > 6;
}

/* Where the engine cannot take a pass back the tokens are read again; unload()
 * stores what has a name. */
START_TEST(a_stop_loses_no_token)
{
    const char *where = place();
    struct host h;
    uint32_t id, tokens;
    int asked = 0;
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = lines[1],
                                   .tokens = 50,
                                   .ignore_end = true,
                                   .stop = stop_at_once,
                                   .ctx = &asked};
    struct gov_generated out;
    gov_error err;

    open_host(&h, models[_i].file, where);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    id = converse(&h, "x");
    (void)say(&h, id, lines[0], 20);
    tokens = look(&h, id).tokens;
    request.conversation = id;
    ck_assert_int_eq(h.engine->generate(h.session, &request, &out, &err),
                     GOV_E_CANCELLED);
    ck_assert_uint_ge(look(&h, id).tokens, tokens);
    tokens = look(&h, id).tokens;
    (void)say(&h, id, lines[2], 5);
    ck_assert_uint_gt(look(&h, id).tokens, tokens + 5);
    tokens = look(&h, id).tokens;
    unload(&h);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    id = converse(&h, "x");
    ck_assert_uint_eq(look(&h, id).tokens, tokens);
    close_host(&h);
}
END_TEST

/* ---- relief ------------------------------------------------------------------------------ */

static void relieve(struct host *h, gov_level level)
{
    gov_error err;

    check_ok(gov_simulate(h->runtime, GOV_LEVEL_NORMAL, 0, &err), &err);
    gov_step(h->runtime);
    check_ok(gov_simulate(h->runtime, level, 0, &err), &err);
    gov_step(h->runtime);
}

static void wait_for_place(struct host *h, uint32_t id,
                           enum gov_conversation_place place)
{
    const struct timespec pause = {0, 10000000};

    for (int i = 0; i < 1000 && look(h, id).place != place; i++)
        nanosleep(&pause, NULL);
    ck_assert_int_eq(look(h, id).place, place);
}

/* Short of memory: the conversation goes to the disk beside whatever goes on, and
 * comes back as it was. */
START_TEST(relief_stores_what_is_idle)
{
    const char *where = place();
    struct said alone, now;
    struct host h;

    open_host(&h, models[_i].file, where);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    (void)say(&h, 0, lines[0], 20);
    alone = say(&h, 0, lines[1], 20);
    h.engine->reset(h.session);
    (void)say(&h, 0, lines[0], 20);
    relieve(&h, GOV_LEVEL_CRITICAL);
    /* One state for all of a conversation gives nothing when it goes. */
    wait_for_place(&h, 0,
                   models[_i].cells ? GOV_CONVERSATION_STORED
                                    : GOV_CONVERSATION_MEMORY);
    ck_assert_int_eq(gov_level_now(h.runtime), GOV_LEVEL_CRITICAL);
    now = say(&h, 0, lines[1], 20);
    same(&now, &alone, models[_i].preset);
    close_host(&h);
}
END_TEST

/* Without a place for it nothing is taken from it. */
START_TEST(relief_without_a_disk_leaves_it)
{
    struct said alone, now;
    struct host h;

    open_host(&h, "plain.gguf", NULL);
    load(&h, CONTEXT, 1, GOV_KV_F16);
    (void)say(&h, 0, lines[0], 20);
    alone = say(&h, 0, lines[1], 20);
    h.engine->reset(h.session);
    (void)say(&h, 0, lines[0], 20);
    relieve(&h, GOV_LEVEL_CRITICAL);
    ck_assert_int_eq(look(&h, 0).place, GOV_CONVERSATION_MEMORY);
    now = say(&h, 0, lines[1], 20);
    same(&now, &alone, "after");
    close_host(&h);
}
END_TEST

/* ---- another context ---------------------------------------------------------------------- */

START_TEST(a_context_that_grows_and_shrinks_keeps_all)
{
    static const struct {
        uint32_t context;
        gov_kv_type type;
        bool bits;
    } next[] = {{2048, GOV_KV_UNSET, true},
                {512, GOV_KV_UNSET, true},
                {0, GOV_KV_F32, false}};
    struct gov_resize resize = {.size = sizeof(resize)};
    struct said alone, now;
    struct host h;
    gov_error err;

    for (int i = 0; i < COUNT(next); i++) {
        open_host(&h, models[_i].file, NULL);
        load(&h, CONTEXT, 1, GOV_KV_F16);
        (void)say(&h, 0, lines[0], 20);
        alone = say(&h, 0, lines[1], 20);
        h.engine->reset(h.session);
        (void)say(&h, 0, lines[0], 20);
        resize.context = next[i].context;
        resize.kv_type = next[i].type;
        check_ok(h.engine->resize(h.session, &resize, &err), &err);
        now = say(&h, 0, lines[1], 20);
        ck_assert_uint_eq(h.session->kv.disagreed, 0);
        if (next[i].bits) {
            ck_assert_uint_gt(now.out.known_tokens, 20);
            ck_assert_str_eq(now.text, alone.text);
        }
        close_host(&h);
    }
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama_talks");
    TCase *talks = tcase_create("conversations");

    tcase_add_unchecked_fixture(talks, make_models, NULL);
    tcase_set_timeout(talks, 120);
    tcase_add_loop_test(talks, turns_by_the_disk_change_no_bit, 0,
                        COUNT(models));
    tcase_add_loop_test(talks, several_stay_in_memory, 0, COUNT(models));
    tcase_add_loop_test(talks, a_name_is_found_again, 0, COUNT(models));
    tcase_add_test(talks, a_state_that_does_not_fit_is_read_again);
    tcase_add_test(talks, a_damaged_state_is_not_believed);
    tcase_add_test(talks, a_full_directory_leaves_it_in_memory);
    tcase_add_test(talks, requests_that_cannot_be);
    tcase_add_test(talks, half_of_the_history_gives_half_of_the_memory);
    tcase_add_loop_test(talks, a_state_without_tokens_is_not_cut, 0,
                        COUNT(models));
    tcase_add_loop_test(talks, a_cut_conversation_is_stored_whole, 0,
                        COUNT(models));
    tcase_add_test(talks, a_context_that_grows_reads_long_prompts);
    tcase_add_test(talks, a_name_that_another_session_stored_is_not_taken);
    tcase_add_loop_test(talks, a_stop_loses_no_token, 0, COUNT(models));
    tcase_add_loop_test(talks, relief_stores_what_is_idle, 0, COUNT(models));
    tcase_add_test(talks, relief_without_a_disk_leaves_it);
    tcase_add_loop_test(talks, a_context_that_grows_and_shrinks_keeps_all, 0,
                        COUNT(models));
    suite_add_tcase(s, talks);
    return s;
}
