/* SPDX-License-Identifier: MIT */
/* What governor/engine.h promises, asked of every adapter in the same words. A member
 * that an adapter may leave out, and does, is passed over with a line that says so. */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define MODEL "conformance.gguf"
#define CONTEXT 512
#define TEXT_BYTES 8192

static const char *const engines[] = {"llama", "llama-server"};

static const char first[] = "Once upon a time there was a little robot";
static const char second[] = " and then it went into the garden";
static const char other[] = "The question of the day is a friend in the war";

static gov_error err;

static void make_models(void)
{
    char path[600], *end;
    ssize_t n = readlink("/proc/self/exe", path, 500);

    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    end = strstr(path, "/tests/");
    ck_assert_ptr_nonnull(end);
    snprintf(end, 32, "/lib/governor");
    ck_assert_int_eq(setenv("GOVERNOR_ENGINE_DIR", path, 1), 0);
    unsetenv("GOVERNOR_LLAMA_SERVER");
    make_model(MODEL, "Q4_0", "tiny");
}

static void check_ok(gov_status status)
{
    ck_assert_msg(status == GOV_OK, "%s", err.message);
}

static void check_refused(gov_status status, gov_status wanted)
{
    ck_assert_msg(status == wanted, "%s where %s was expected: %s",
                  gov_status_text(status), gov_status_text(wanted),
                  status == GOV_OK ? "" : err.message);
    ck_assert_int_eq(err.status, wanted);
    ck_assert_msg(err.message[0] != '\0', "a failure without a sentence");
}

/* ---- a session --------------------------------------------------------------------- */

struct host {
    const struct gov_engine *engine;
    const char *name;
    gov_model *model;
    gov_spill *spill;
    gov_session *session;
};

/* An engine that cannot be had, although its adapter can: a llama-server that is
 * not installed. */
static char missing[300];

static bool open_engine(struct host *h, int row, const char *test)
{
    char why[400];
    gov_status status;

    memset(h, 0, sizeof(*h));
    h->name = engines[row];
    status = gov_engine_open(&h->engine, h->name, &err);
    if (status == GOV_E_NOT_FOUND ||
        (strcmp(h->name, "llama-server") == 0 && missing[0] != '\0')) {
        snprintf(why, sizeof(why), "%s: %s", h->name,
                 status == GOV_OK ? missing : err.message);
        skip_test(test, why);
        return false;
    }
    check_ok(status);
    check_ok(gov_model_open(&h->model, in_directory(MODEL), NULL, &err));
    return true;
}

static struct gov_plan plan_of(uint32_t sequences)
{
    return (struct gov_plan){.strategy = GOV_STRATEGY_MMAP,
                             .kv_type = GOV_KV_F16,
                             .context = CONTEXT,
                             .sequences = sequences};
}

static gov_status load(struct host *h, const struct gov_plan *plan,
                       gov_progress_fn progress)
{
    struct gov_load request = {.size = sizeof(request),
                               .model = h->model,
                               .plan = plan,
                               .threads = 1,
                               .progress = progress,
                               .spill = h->spill};

    return h->engine->load(&h->session, &request, &err);
}

static bool open_host(struct host *h, int row, uint32_t sequences,
                      const char *test)
{
    struct gov_plan plan = plan_of(sequences);

    if (!open_engine(h, row, test))
        return false;
    check_ok(load(h, &plan, NULL));
    ck_assert_ptr_nonnull(h->session);
    return true;
}

static void close_host(struct host *h)
{
    h->engine->unload(h->session);
    gov_spill_close(h->spill);
    gov_model_close(h->model);
}

/* Whether the adapter has a member that it need not have. */
static bool has(const struct host *h, bool member, const char *test,
                const char *what)
{
    char why[160];

    if (member)
        return true;
    snprintf(why, sizeof(why), "%s has no %s", h->name, what);
    skip_test(test, why);
    return false;
}

/* One of a test's own, beside the models that all of them share. */
static void own_directory(char out[300])
{
    snprintf(out, 300, "%s/XXXXXX", models_directory);
    ck_assert_ptr_nonnull(mkdtemp(out));
}

/* With conversations, and a place for them. */
static bool open_talks(struct host *h, int row, uint32_t sequences,
                       const char *test)
{
    struct gov_spill_options options = gov_spill_options_default();
    struct gov_plan plan = plan_of(sequences);
    char path[300];

    if (!open_engine(h, row, test))
        return false;
    if (!has(h, h->engine->converse != NULL, test, "conversations")) {
        gov_model_close(h->model);
        return false;
    }
    own_directory(path);
    options.directory = path;
    options.spare_bytes = 1;
    check_ok(gov_spill_open(&h->spill, &options, &err));
    check_ok(load(h, &plan, NULL));
    return true;
}

/* Before the tests fork, which an engine in this process would not bear. */
static void look_for_server(void)
{
    const struct gov_plan plan = plan_of(1);
    struct host h = {0};

    make_models();
    if (gov_engine_open(&h.engine, "llama-server", &err) != GOV_OK)
        return;
    check_ok(gov_model_open(&h.model, in_directory(MODEL), NULL, &err));
    if (load(&h, &plan, NULL) == GOV_E_NOT_FOUND)
        snprintf(missing, sizeof(missing), "%s", err.message);
    close_host(&h);
}

/* ---- a turn -------------------------------------------------------------------------- */

struct said {
    char text[TEXT_BYTES];
    size_t bytes;
    uint32_t pieces;
    uint32_t refuse; /* piece() says no at this one; 0: never */
    uint32_t questions;
    uint32_t stop; /* stop() says yes at this question; 0: never */
};

static bool on_piece(void *ctx, const char *text, size_t bytes)
{
    struct said *said = ctx;

    ck_assert_uint_lt(said->bytes + bytes, TEXT_BYTES);
    memcpy(said->text + said->bytes, text, bytes);
    said->bytes += bytes;
    said->text[said->bytes] = '\0';
    return ++said->pieces != said->refuse;
}

static bool on_stop(void *ctx)
{
    struct said *said = ctx;

    return ++said->questions == said->stop;
}

static gov_status turn(const struct host *h, uint32_t id, const char *prompt,
                       uint32_t tokens, struct said *said,
                       struct gov_generated *out)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = prompt,
                                   .tokens = tokens,
                                   .ignore_end = true,
                                   .piece = on_piece,
                                   .stop = on_stop,
                                   .ctx = said,
                                   .conversation = id};

    return h->engine->generate(h->session, &request, out, &err);
}

static struct gov_generated say(const struct host *h, uint32_t id,
                                const char *prompt, struct said *said)
{
    struct gov_generated out;

    memset(said, 0, sizeof(*said));
    check_ok(turn(h, id, prompt, 12, said, &out));
    return out;
}

static uint32_t begin(const struct host *h, const char *name)
{
    struct gov_conversation_options options =
        gov_conversation_options_default();
    uint32_t id;

    options.name = name;
    check_ok(h->engine->converse(h->session, &options, &id, &err));
    ck_assert_uint_ne(id, 0);
    return id;
}

static struct gov_conversation look(const struct host *h, uint32_t id)
{
    struct gov_conversation all[16];
    const size_t count = h->engine->conversations(h->session, all, 16);

    ck_assert_uint_le(count, 16);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(all[i].size, sizeof(all[i]));
        if (all[i].id == id)
            return all[i];
    }
    ck_abort_msg("conversation %u is not shown", id);
    return all[0];
}

/* ---- what it is ------------------------------------------------------------------------ */

START_TEST(it_is_an_engine)
{
    const struct gov_engine *e;
    struct host h;
    int talks;

    if (!open_engine(&h, _i, "it_is_an_engine"))
        return;
    e = h.engine;
    ck_assert_uint_eq(e->size, sizeof(*e));
    ck_assert_uint_eq(e->abi, GOV_ENGINE_ABI);
    ck_assert(e->name != NULL && e->name[0] != '\0');
    ck_assert(e->version != NULL && e->version()[0] != '\0');
    ck_assert(e->load != NULL && e->unload != NULL && e->describe != NULL &&
              e->generate != NULL);
    talks = (e->converse != NULL) + (e->leave != NULL) + (e->erase != NULL) +
            (e->conversations != NULL) + (e->store != NULL) +
            (e->bring != NULL) + (e->cost != NULL);
    ck_assert_msg(talks == 0 || talks == 7, "%d of 7 members", talks);
    e->unload(NULL);
    gov_model_close(h.model);
}
END_TEST

/* ---- loading ------------------------------------------------------------------------------ */

START_TEST(bad_loads_are_refused)
{
    struct gov_plan good = plan_of(1), plan;
    struct gov_load request = {.size = sizeof(request), .threads = 1};
    struct host h;

    if (!open_engine(&h, _i, "bad_loads_are_refused"))
        return;
    for (int way = 0; way < 8; way++) {
        plan = good;
        request.size = way == 0 ? sizeof(request) - 8 : sizeof(request);
        request.model = way == 1 ? NULL : h.model;
        request.plan = way == 2 ? NULL : &plan;
        request.threads = way == 3 ? 1000000 : 1;
        if (way == 4)
            plan.strategy = GOV_STRATEGY_REFUSE;
        if (way == 5)
            plan.context = 0;
        if (way == 6)
            plan.sequences = 100000;
        if (way == 7)
            plan.kv_type = (gov_kv_type)99;
        h.session = (gov_session *)&h;
        check_refused(h.engine->load(&h.session, &request, &err),
                      GOV_E_INVALID);
        ck_assert_ptr_null(h.session);
    }
    gov_model_close(h.model);
}
END_TEST

static bool never(void *ctx, uint32_t permille, const char *what)
{
    (void)ctx;
    ck_assert_uint_le(permille, 1000);
    ck_assert(what != NULL && what[0] != '\0');
    return false;
}

START_TEST(a_load_can_be_stopped)
{
    struct gov_plan plan = plan_of(1);
    struct host h;

    if (!open_engine(&h, _i, "a_load_can_be_stopped"))
        return;
    check_refused(load(&h, &plan, never), GOV_E_CANCELLED);
    ck_assert_ptr_null(h.session);
    check_ok(load(&h, &plan, NULL));
    close_host(&h);
}
END_TEST

/* It was there when its header was read. */
START_TEST(a_file_that_went_is_not_loaded)
{
    struct gov_plan plan = plan_of(1);
    struct host h;

    if (!open_engine(&h, _i, "a_file_that_went_is_not_loaded"))
        return;
    gov_model_close(h.model);
    make_model("gone.gguf", "Q4_0", "tiny");
    check_ok(gov_model_open(&h.model, in_directory("gone.gguf"), NULL, &err));
    ck_assert_int_eq(unlink(in_directory("gone.gguf")), 0);
    ck_assert_int_ne(load(&h, &plan, NULL), GOV_OK);
    ck_assert_ptr_null(h.session);
    ck_assert_msg(strstr(err.message, "gone.gguf") != NULL, "%s", err.message);
    gov_model_close(h.model);
}
END_TEST

/* ---- generating ------------------------------------------------------------------------------ */

START_TEST(it_generates)
{
    struct gov_generated out;
    struct said said;
    struct host h;

    if (!open_host(&h, _i, 1, "it_generates"))
        return;
    ck_assert(h.engine->describe(h.session) != NULL &&
              h.engine->describe(h.session)[0] != '\0');
    out = say(&h, 0, first, &said);
    ck_assert_uint_eq(out.tokens, 12);
    ck_assert_uint_eq(said.pieces, 12);
    ck_assert_uint_gt(said.bytes, 0);
    ck_assert_uint_gt(out.prompt_tokens, 3);
    ck_assert_uint_eq(out.known_tokens, 0);
    ck_assert_uint_gt(out.first_token_us, 0);
    ck_assert(!out.ended && !out.context_full);
    close_host(&h);
}
END_TEST

START_TEST(the_same_is_said_twice)
{
    struct said once, twice;
    struct host h;

    if (!open_host(&h, _i, 1, "the_same_is_said_twice"))
        return;
    if (!has(&h, h.engine->reset != NULL, "the_same_is_said_twice", "reset")) {
        close_host(&h);
        return;
    }
    say(&h, 0, first, &once);
    h.engine->reset(h.session);
    say(&h, 0, first, &twice);
    ck_assert_str_eq(once.text, twice.text);
    /* And not because it says that to everything. */
    say(&h, 0, second, &twice);
    ck_assert_str_ne(once.text, twice.text);
    close_host(&h);
}
END_TEST

START_TEST(no_more_tokens_than_asked_for)
{
    static const uint32_t limits[] = {0, 1, 7};
    struct gov_generated out;
    struct said said;
    struct host h;

    if (!open_host(&h, _i, 1, "no_more_tokens_than_asked_for"))
        return;
    for (int i = 0; i < COUNT(limits); i++) {
        memset(&said, 0, sizeof(said));
        check_ok(turn(&h, 0, first, limits[i], &said, &out));
        ck_assert_uint_eq(out.tokens, limits[i]);
        ck_assert_uint_eq(said.pieces, limits[i]);
    }
    close_host(&h);
}
END_TEST

START_TEST(the_context_has_an_end)
{
    struct gov_generated out;
    struct said said = {0};
    struct host h;

    if (!open_host(&h, _i, 1, "the_context_has_an_end"))
        return;
    check_ok(turn(&h, 0, first, 10 * CONTEXT, &said, &out));
    ck_assert(out.context_full);
    ck_assert_uint_le(out.tokens + out.prompt_tokens, CONTEXT + 1);
    ck_assert_uint_ge(out.tokens + out.prompt_tokens, CONTEXT - 1);
    check_refused(turn(&h, 0, second, 4, &said, &out), GOV_E_INVALID);
    close_host(&h);
}
END_TEST

/* The receiver, and who is asked. */
START_TEST(a_turn_can_be_stopped)
{
    struct gov_generated out;
    struct said said;
    struct host h;

    if (!open_host(&h, _i, 1, "a_turn_can_be_stopped"))
        return;
    memset(&said, 0, sizeof(said));
    said.refuse = 3;
    check_refused(turn(&h, 0, first, 60, &said, &out), GOV_E_CANCELLED);
    ck_assert_uint_eq(said.pieces, 3);
    say(&h, 0, second, &said);
    memset(&said, 0, sizeof(said));
    said.stop = 1;
    check_refused(turn(&h, 0, second, 60, &said, &out), GOV_E_CANCELLED);
    ck_assert_uint_lt(said.pieces, 60);
    out = say(&h, 0, second, &said);
    ck_assert_uint_eq(out.tokens, 12);
    close_host(&h);
}
END_TEST

/* A prompt that was refused has not been. */
START_TEST(bad_requests_change_nothing)
{
    static char long_prompt[CONTEXT * 16];
    struct gov_generate request = {.size = sizeof(request), .tokens = 4};
    struct gov_generated out;
    struct said said, wanted;
    struct host h;

    if (!open_host(&h, _i, 1, "bad_requests_change_nothing"))
        return;
    say(&h, 0, first, &said);
    say(&h, 0, second, &wanted);
    h.engine->unload(h.session);
    check_ok(load(&h,
                  &(struct gov_plan){.strategy = GOV_STRATEGY_MMAP,
                                     .kv_type = GOV_KV_F16,
                                     .context = CONTEXT,
                                     .sequences = 1},
                  NULL));
    say(&h, 0, first, &said);
    check_refused(h.engine->generate(h.session, &request, &out, &err),
                  GOV_E_INVALID);
    request.prompt = second;
    request.size = 8;
    check_refused(h.engine->generate(h.session, &request, &out, &err),
                  GOV_E_INVALID);
    for (size_t at = 0; at + sizeof(first) < sizeof(long_prompt);
         at += sizeof(first) - 1)
        memcpy(long_prompt + at, first, sizeof(first) - 1);
    memset(&said, 0, sizeof(said));
    check_refused(turn(&h, 0, long_prompt, 4, &said, &out), GOV_E_INVALID);
    check_refused(turn(&h, 0, "", 4, &said, &out), GOV_E_INVALID);
    say(&h, 0, second, &said);
    ck_assert_str_eq(said.text, wanted.text);
    close_host(&h);
}
END_TEST

START_TEST(the_cache_fills)
{
    struct gov_kv_usage before, after;
    struct gov_generated out;
    struct said said;
    struct host h;

    if (!open_host(&h, _i, 1, "the_cache_fills"))
        return;
    if (!has(&h, h.engine->kv_usage != NULL, "the_cache_fills", "kv_usage")) {
        close_host(&h);
        return;
    }
    h.engine->kv_usage(h.session, &before);
    ck_assert_uint_eq(before.used_tokens, 0);
    ck_assert_uint_eq(before.used_bytes, 0);
    ck_assert_uint_ge(before.context_tokens, CONTEXT);
    ck_assert_uint_gt(before.reserved_bytes, 0);
    out = say(&h, 0, first, &said);
    h.engine->kv_usage(h.session, &after);
    ck_assert_uint_eq(after.used_tokens, out.tokens + out.prompt_tokens);
    ck_assert_uint_gt(after.used_bytes, 0);
    ck_assert_uint_le(after.used_bytes, after.reserved_bytes);
    ck_assert_uint_le(after.used_tokens, after.context_tokens);
    h.engine->reset(h.session);
    h.engine->kv_usage(h.session, &after);
    ck_assert_uint_eq(after.used_tokens, 0);
    close_host(&h);
}
END_TEST

/* ---- conversations ------------------------------------------------------------------------------- */

START_TEST(conversations_do_not_meet)
{
    struct said alone, apart, between;
    uint32_t one, two;
    struct host h;

    if (!open_talks(&h, _i, 4, "conversations_do_not_meet"))
        return;
    one = begin(&h, NULL);
    say(&h, one, first, &alone);
    say(&h, one, second, &alone);
    h.engine->leave(h.session, one);
    one = begin(&h, NULL);
    two = begin(&h, NULL);
    ck_assert_uint_ne(one, two);
    say(&h, one, first, &apart);
    say(&h, two, other, &between);
    say(&h, 0, other, &apart);
    ck_assert_str_eq(apart.text, between.text);
    say(&h, one, second, &apart);
    ck_assert_str_eq(apart.text, alone.text);
    ck_assert_str_ne(between.text, alone.text);
    close_host(&h);
}
END_TEST

START_TEST(conversations_are_shown)
{
    struct gov_conversation_options options =
        gov_conversation_options_default();
    struct gov_conversation_cost cost;
    struct gov_conversation shown;
    struct gov_generated out;
    uint32_t one, two, none = 0;
    struct said said;
    struct host h;
    size_t count;

    if (!open_talks(&h, _i, 2, "conversations_are_shown"))
        return;
    count = h.engine->conversations(h.session, NULL, 0);
    one = begin(&h, "a diary");
    ck_assert_uint_eq(h.engine->conversations(h.session, NULL, 0), count + 1);
    options.name = "a diary";
    check_refused(h.engine->converse(h.session, &options, &none, &err),
                  GOV_E_INVALID);
    ck_assert_uint_eq(none, 0);
    options.name = NULL;
    options.priority = 7;
    check_ok(h.engine->converse(h.session, &options, &two, &err));
    ck_assert_uint_eq(look(&h, two).priority, 7);
    shown = look(&h, one);
    ck_assert_int_eq(shown.place, GOV_CONVERSATION_NEW);
    ck_assert_str_eq(shown.name, "a diary");
    ck_assert(!shown.busy);
    out = say(&h, one, first, &said);
    shown = look(&h, one);
    ck_assert_int_eq(shown.place, GOV_CONVERSATION_MEMORY);
    ck_assert_uint_eq(shown.tokens, out.tokens + out.prompt_tokens);
    ck_assert_uint_gt(shown.bytes, 0);
    h.engine->leave(h.session, two);
    h.engine->leave(h.session, 4711);
    h.engine->erase(h.session, 4711);
    ck_assert_uint_eq(h.engine->conversations(h.session, NULL, 0), count + 1);
    ck_assert(!h.engine->cost(h.session, two, &cost));
    memset(&said, 0, sizeof(said));
    check_refused(turn(&h, two, first, 1, &said, &out), GOV_E_NOT_FOUND);
    check_refused(h.engine->store(h.session, two, &err), GOV_E_NOT_FOUND);
    check_refused(h.engine->bring(h.session, two, &err), GOV_E_NOT_FOUND);
    h.engine->erase(h.session, one);
    ck_assert_uint_eq(h.engine->conversations(h.session, NULL, 0), count);
    options.name = "a diary"; /* it is free again */
    check_ok(h.engine->converse(h.session, &options, &two, &err));
    close_host(&h);
}
END_TEST

/* It comes back by itself, or when it is fetched. */
START_TEST(what_was_stored_goes_on)
{
    const int engine = _i % COUNT(engines), fetched = _i / COUNT(engines);
    struct gov_conversation_cost cost;
    struct gov_conversation shown;
    struct gov_generated out, before;
    struct said stayed, left;
    uint32_t one, two;
    struct host h;

    if (!open_talks(&h, engine, 4, "what_was_stored_goes_on"))
        return;
    one = begin(&h, NULL);
    say(&h, one, first, &stayed);
    say(&h, one, second, &stayed);
    two = begin(&h, NULL);
    before = say(&h, two, first, &left);
    ck_assert(h.engine->cost(h.session, two, &cost));
    ck_assert_uint_eq(cost.size, sizeof(cost));
    check_ok(h.engine->store(h.session, two, &err));
    shown = look(&h, two);
    ck_assert_int_eq(shown.place, GOV_CONVERSATION_STORED);
    ck_assert_uint_gt(shown.stored_bytes, 0);
    ck_assert_uint_eq(shown.bytes, 0);
    ck_assert_uint_eq(shown.tokens, before.tokens + before.prompt_tokens);
    check_ok(h.engine->store(h.session, two, &err)); /* once more */
    if (fetched) {
        check_ok(h.engine->bring(h.session, two, &err));
        ck_assert_int_eq(look(&h, two).place, GOV_CONVERSATION_MEMORY);
        check_ok(h.engine->bring(h.session, two, &err));
    }
    out = say(&h, two, second, &left);
    ck_assert_str_eq(left.text, stayed.text);
    ck_assert_uint_ge(out.known_tokens,
                      before.tokens + before.prompt_tokens - 1);
    ck_assert(h.engine->cost(h.session, two, &cost));
    ck_assert_uint_gt(cost.store_us, 0);
    ck_assert_uint_gt(cost.bring_us, 0);
    ck_assert_uint_gt(cost.reread_us, 0);
    ck_assert_uint_gt(cost.bytes, 0);
    ck_assert_str_ne(cost.why, "");
    close_host(&h);
}
END_TEST

/* Another session takes up what was stored under a name, and what has none is gone
 * with its session. */
START_TEST(a_name_outlives_its_session)
{
    struct gov_plan plan = plan_of(2);
    struct gov_spill_state left[4];
    struct gov_generated out, before;
    struct said wanted, said;
    uint32_t one, nameless;
    struct host h;

    if (!open_talks(&h, _i, 2, "a_name_outlives_its_session"))
        return;
    one = begin(&h, NULL);
    say(&h, one, first, &wanted);
    say(&h, one, second, &wanted);
    h.engine->leave(h.session, one);
    one = begin(&h, "a diary");
    before = say(&h, one, first, &said);
    check_ok(h.engine->store(h.session, one, &err));
    nameless = begin(&h, NULL);
    say(&h, nameless, other, &said);
    check_ok(h.engine->store(h.session, nameless, &err));
    ck_assert_uint_eq(gov_spill_list(h.spill, left, 4), 2);
    h.engine->unload(h.session);
    ck_assert_uint_eq(gov_spill_list(h.spill, left, 4), 1);
    ck_assert_str_eq(left[0].name, "a diary");
    check_ok(load(&h, &plan, NULL));
    one = begin(&h, "a diary");
    ck_assert_int_eq(look(&h, one).place, GOV_CONVERSATION_STORED);
    ck_assert_uint_eq(look(&h, one).tokens,
                      before.tokens + before.prompt_tokens);
    out = say(&h, one, second, &said);
    ck_assert_str_eq(said.text, wanted.text);
    ck_assert_uint_ge(out.known_tokens,
                      before.tokens + before.prompt_tokens - 1);
    h.engine->erase(h.session, one);
    ck_assert_uint_eq(gov_spill_list(h.spill, left, 4), 0);
    one = begin(&h, "a diary");
    ck_assert_int_eq(look(&h, one).place, GOV_CONVERSATION_NEW);
    close_host(&h);
}
END_TEST

/* A file that is not whole is told, by its name, and left. */
START_TEST(a_damaged_name_is_told)
{
    struct gov_conversation_options options =
        gov_conversation_options_default();
    struct gov_plan plan = plan_of(2);
    char path[GOV_SPILL_PATH_BYTES];
    struct gov_spill_state state;
    struct said said;
    struct host h;
    uint32_t id;

    if (!open_talks(&h, _i, 2, "a_damaged_name_is_told"))
        return;
    id = begin(&h, "a diary");
    say(&h, id, first, &said);
    check_ok(h.engine->store(h.session, id, &err));
    h.engine->unload(h.session);
    check_ok(gov_spill_check(h.spill, "a diary", path, &state, &err));
    ck_assert_int_eq(truncate(path, (off_t)state.file_bytes / 2), 0);
    check_ok(load(&h, &plan, NULL));
    options.name = "a diary";
    check_refused(h.engine->converse(h.session, &options, &id, &err),
                  GOV_E_FORMAT);
    ck_assert_int_eq(access(path, F_OK), 0);
    close_host(&h);
}
END_TEST

START_TEST(one_that_was_stopped_can_be_stored)
{
    struct said said = {.refuse = 4};
    struct gov_generated out;
    uint32_t one, tokens;
    struct host h;

    if (!open_talks(&h, _i, 2, "one_that_was_stopped_can_be_stored"))
        return;
    one = begin(&h, NULL);
    check_refused(turn(&h, one, first, 60, &said, &out), GOV_E_CANCELLED);
    tokens = look(&h, one).tokens;
    check_ok(h.engine->store(h.session, one, &err));
    out = say(&h, one, second, &said);
    ck_assert_uint_ge(out.known_tokens, tokens - 1);
    close_host(&h);
}
END_TEST

/* More than have room at once. */
START_TEST(conversations_take_turns)
{
    enum { TALKS = 4 };
    struct said wanted, said;
    uint32_t id[TALKS];
    struct host h;

    if (!open_talks(&h, _i, 2, "conversations_take_turns"))
        return;
    id[0] = begin(&h, NULL);
    say(&h, id[0], first, &wanted);
    say(&h, id[0], second, &wanted);
    h.engine->leave(h.session, id[0]);
    for (int i = 0; i < TALKS; i++) {
        id[i] = begin(&h, NULL);
        say(&h, id[i], first, &said);
    }
    for (int i = 0; i < TALKS; i++) {
        say(&h, id[i], second, &said);
        ck_assert_str_eq(said.text, wanted.text);
    }
    close_host(&h);
}
END_TEST

/* ---- the end ----------------------------------------------------------------------------------------- */

static int count_in(const char *path)
{
    DIR *list = opendir(path);
    int count = 0;

    ck_assert_ptr_nonnull(list);
    while (readdir(list) != NULL)
        count++;
    closedir(list);
    return count;
}

/* Processes whose parent is this one. */
static int children(void)
{
    DIR *list = opendir("/proc");
    const struct dirent *entry;
    char path[300], text[256];
    int count = 0;

    ck_assert_ptr_nonnull(list);
    while ((entry = readdir(list)) != NULL) {
        FILE *f;
        long parent = -1;

        snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        f = entry->d_name[0] < '0' || entry->d_name[0] > '9'
                ? NULL
                : fopen(path, "re");
        if (f != NULL && fgets(text, sizeof(text), f) != NULL &&
            strrchr(text, ')') != NULL)
            sscanf(strrchr(text, ')') + 1, " %*c %ld", &parent);
        if (f != NULL)
            fclose(f);
        count += parent == getpid();
    }
    closedir(list);
    return count;
}

/* A pool of threads that the engine keeps for the process is there after the first
 * time. */
START_TEST(nothing_is_left_behind)
{
    char directory[300];
    int threads = 0, files = 0, descriptors = 0, processes = 0;
    struct said said;
    struct host h;

    own_directory(directory);
    ck_assert_int_eq(setenv("TMPDIR", directory, 1), 0);
    for (int i = 0; i < 3; i++) {
        if (!open_host(&h, _i, 2, "nothing_is_left_behind"))
            break;
        say(&h, 0, first, &said);
        if (h.engine->store != NULL)
            (void)!h.engine->store(h.session, 0, &err);
        close_host(&h);
        if (i == 1) {
            threads = count_in("/proc/self/task");
            descriptors = count_in("/proc/self/fd");
            files = count_in(directory);
            processes = children();
        }
        ck_assert_int_eq(count_in(directory), 2);
        if (i < 2)
            continue;
        ck_assert_int_eq(count_in("/proc/self/task"), threads);
        ck_assert_int_eq(count_in("/proc/self/fd"), descriptors);
        ck_assert_int_eq(count_in(directory), files);
        ck_assert_int_eq(children(), processes);
    }
    unsetenv("TMPDIR");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("conformance");
    TCase *t = tcase_create("engines");
    const int n = COUNT(engines);

    tcase_add_loop_test(t, it_is_an_engine, 0, n);
    tcase_add_loop_test(t, bad_loads_are_refused, 0, n);
    tcase_add_loop_test(t, a_load_can_be_stopped, 0, n);
    tcase_add_loop_test(t, a_file_that_went_is_not_loaded, 0, n);
    tcase_add_loop_test(t, it_generates, 0, n);
    tcase_add_loop_test(t, the_same_is_said_twice, 0, n);
    tcase_add_loop_test(t, no_more_tokens_than_asked_for, 0, n);
    tcase_add_loop_test(t, the_context_has_an_end, 0, n);
    tcase_add_loop_test(t, a_turn_can_be_stopped, 0, n);
    tcase_add_loop_test(t, bad_requests_change_nothing, 0, n);
    tcase_add_loop_test(t, the_cache_fills, 0, n);
    tcase_add_loop_test(t, conversations_do_not_meet, 0, n);
    tcase_add_loop_test(t, conversations_are_shown, 0, n);
    tcase_add_loop_test(t, what_was_stored_goes_on, 0, 2 * n);
    tcase_add_loop_test(t, a_name_outlives_its_session, 0, n);
    tcase_add_loop_test(t, a_damaged_name_is_told, 0, n);
    tcase_add_loop_test(t, one_that_was_stopped_can_be_stored, 0, n);
    tcase_add_loop_test(t, conversations_take_turns, 0, n);
    tcase_add_loop_test(t, nothing_is_left_behind, 0, n);
    tcase_add_unchecked_fixture(t, look_for_server, NULL);
    tcase_set_timeout(t, 30);
    suite_add_tcase(s, t);
    return s;
}
