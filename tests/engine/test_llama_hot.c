/* SPDX-License-Identifier: MIT */
/* What the plan reserved and nothing uses is lent to weights: never more than there
 * is, taken back before something else needs it, and with every bit of what is said
 * as it was. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

#include "adapters/llama/llama_session.h"
#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define MIB (UINT64_C(1) << 20)
#define CONTEXT 2048

static void make_models(void)
{
    make_model("small.gguf", "Q4_0", "small");
    make_model("control.gguf", "Q4_0", "small");
}

/* ---- a session ----------------------------------------------------------------- */

struct held {
    const struct gov_engine *engine;
    gov_runtime *runtime;
    gov_model *model;
    gov_session *session;
    struct gov_plan plan;
    uint64_t all;
};

/* What each pass found; the adapter's calls come here first. */
static struct {
    gov_session *session;
    uint32_t passes;
    int32_t largest;
    uint64_t lent_in_largest;
    uint64_t lent_at_first, streamed_before; /* when the first pass began */
    uint64_t
        over; /* the most that was in use or lent beyond what is reserved */
} seen;

static uint64_t anon(void)
{
    struct gov_footprint now;
    gov_error err;

    ck_assert_int_eq(gov_footprint_now(&now, &err), GOV_OK);
    return now.anon_bytes + now.swap_bytes;
}

static uint64_t lent(gov_session *session)
{
    uint64_t bytes;

    pthread_mutex_lock(&session->hot.lock);
    bytes = session->hot.lent;
    pthread_mutex_unlock(&session->hot.lock);
    return bytes;
}

/* The control's own memory is allocated before the session's. */
static void look(void)
{
    struct gov__llama_hot *hot = &seen.session->hot;
    uint64_t now = anon(), taken;

    pthread_mutex_lock(&hot->lock);
    taken = hot->lent + hot->shortfall +
            (now > hot->anon_before ? now - hot->anon_before : 0);
    pthread_mutex_unlock(&hot->lock);
    if (taken > seen.session->plan.footprint_bytes + seen.over)
        seen.over = taken - seen.session->plan.footprint_bytes;
}

__attribute__((visibility("default"))) int32_t
llama_decode(struct llama_context *context, struct llama_batch batch)
{
    static int32_t (*real)(struct llama_context *, struct llama_batch);
    const bool ours = seen.session != NULL && seen.session->context == context;
    int32_t rc;

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "llama_decode");
    if (ours) {
        struct gov_weights_account account;

        gov_weights_account(seen.session->weights, false, &account);
        if (seen.passes++ == 0) {
            seen.lent_at_first = lent(seen.session);
            seen.streamed_before = account.streamed_bytes;
        }
        if (batch.n_tokens >= seen.largest) {
            seen.largest = batch.n_tokens;
            seen.lent_in_largest = lent(seen.session);
        }
    }
    rc = real(context, batch);
    if (ours)
        look();
    return rc;
}

/* The action as it was registered last. */
static struct gov_relief action;

__attribute__((visibility("default"))) gov_status
gov_relief_add(gov_runtime *runtime, const struct gov_relief *relief,
               uint32_t *id, gov_error *err)
{
    static gov_status (*real)(gov_runtime *, const struct gov_relief *,
                              uint32_t *, gov_error *);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "gov_relief_add");
    if (strcmp(relief->name, "weights.hot") == 0)
        action = *relief;
    return real(runtime, relief, id, err);
}

static uint64_t relieve(gov_session *session, gov_level level, uint64_t bytes)
{
    const struct gov_relief_want want = {sizeof(want), level, bytes, 100000};

    return action.relieve(session, &want);
}

static void open_held(struct held *h, uint64_t reserved)
{
    struct gov_options options = gov_options_default();
    const struct gov_unit *units;
    size_t count;
    gov_error err;

    memset(h, 0, sizeof(*h));
    memset(&seen, 0, sizeof(seen));
    options.no_thread = options.no_publish = true;
    options.budget_bytes = UINT64_C(1) << 30;
    ck_assert_int_eq(gov_engine_open(&h->engine, "llama", &err), GOV_OK);
    ck_assert_int_eq(gov_open(&h->runtime, &options, &err), GOV_OK);
    ck_assert_int_eq(
        gov_model_open(&h->model, in_directory("small.gguf"), NULL, &err),
        GOV_OK);
    units = gov_model_units(h->model, &count);
    for (size_t i = 0; i < count; i++)
        h->all += units[i].bytes;
    h->plan = (struct gov_plan){.strategy = GOV_STRATEGY_HYBRID,
                                .kv_type = GOV_KV_F16,
                                .context = CONTEXT,
                                .ahead = 1,
                                .weights_bytes = h->all,
                                .hot_bytes = h->all / 4,
                                .cold_bytes = h->all - h->all / 4,
                                .kv_bytes = reserved / 2,
                                .compute_bytes = reserved / 2,
                                .footprint_bytes = reserved,
                                .budget_bytes = options.budget_bytes};
}

static gov_session *load(const struct held *h)
{
    struct gov_load request = {.size = sizeof(request),
                               .model = h->model,
                               .plan = &h->plan,
                               .runtime = h->runtime,
                               .threads = 1};
    gov_session *session;
    gov_error err;

    ck_assert_msg(h->engine->load(&session, &request, &err) == GOV_OK, "%s",
                  err.message);
    return session;
}

static void hold(struct held *h, uint64_t reserved)
{
    open_held(h, reserved);
    h->session = load(h);
    ck_assert(h->session->streaming);
    seen.session = h->session;
}

static void let_go(struct held *h)
{
    seen.session = NULL;
    h->engine->unload(h->session);
    gov_close(h->runtime);
    gov_model_close(h->model);
}

/* Another model on the same runtime: a file that is mapped twice is governed once. */
static gov_session *load_beside(struct held *another, const struct held *h)
{
    gov_error err;

    *another = *h;
    ck_assert_int_eq(gov_model_open(&another->model,
                                    in_directory("control.gguf"), NULL, &err),
                     GOV_OK);
    another->session = load(another);
    ck_assert(another->session->streaming);
    return another->session;
}

static void let_go_beside(struct held *another)
{
    another->engine->unload(another->session);
    gov_model_close(another->model);
}

static void say(struct held *h, const char *prompt, uint32_t tokens)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = prompt,
                                   .tokens = tokens,
                                   .ignore_end = true};
    struct gov_generated out;
    gov_error err;

    ck_assert_msg(h->engine->generate(h->session, &request, &out, &err) ==
                      GOV_OK,
                  "%s", err.message);
}

/* It is looked at each quarter of a second. */
static uint64_t lent_after(struct held *h, uint32_t looks)
{
    const struct timespec moment = {0, 260000000};

    for (uint32_t i = 0; i < looks; i++) {
        say(h, " and", 2);
        nanosleep(&moment, NULL);
        say(h, " then", 2);
    }
    return lent(h->session);
}

static void wait_ms(uint32_t ms)
{
    const struct timespec moment = {0, (long)ms * 1000000};

    nanosleep(&moment, NULL);
}

static uint64_t hot_now(const struct held *h)
{
    struct gov_weights_account account;

    ck_assert(h->engine->weights(h->session, false, &account));
    return account.hot_bytes;
}

static const char *many_words(uint32_t count)
{
    static char text[1 << 16];

    ck_assert_uint_lt((size_t)count * 7, sizeof(text));
    for (uint32_t i = 0; i < count; i++)
        memcpy(text + (size_t)i * 7, " little", 8);
    return text;
}

static struct {
    atomic_bool stop;
    int gave;
} pressing;

static bool under_sanitizer(const char *test)
{
    if (!is_sanitized())
        return false;
    skip_test(test, "a sanitizer's own memory is more than the budget");
    return true;
}

/* ---- lending ------------------------------------------------------------------------ */

START_TEST(what_nothing_uses_is_lent)
{
    struct llama_context_params params = control_params(CONTEXT, 1);
    struct control control;
    struct held h;
    const float *logits;
    llama_token token;
    size_t count;

    control_open(&control, in_directory("control.gguf"), false, &params);
    control_read(&control, "Once upon a time", true);
    hold(&h, 256 * MIB);
    ck_assert_uint_lt(h.session->hot.plan, h.all / 2);
    say(&h, "Once upon a time", 100);
    for (int i = 0; i < 100; i++) {
        token = control_choose(&control);
        control_decode(&control, &token, 1);
    }
    logits = h.engine->logits(h.session, &count);
    ck_assert_mem_eq(logits, control.logits, count * sizeof(float));
    ck_assert_uint_gt(lent_after(&h, 2), h.all / 2);
    ck_assert_uint_eq(hot_now(&h), h.session->hot.all);
    /* Nobody need tell where it is once all of that is there. */
    ck_assert(h.engine->wait(h.session, true, 20000));
    say(&h, " and", 3);
    ck_assert(!atomic_load(&h.session->reporting));
    control_close(&control);
    let_go(&h);
}
END_TEST

/* All fits but for what is reserved and unused: nothing is read twice, and nothing in
 * vain. */
START_TEST(the_first_pass_streams_nothing)
{
    struct gov_weights_account account;
    struct held h;

    hold(&h, 256 * MIB);
    say(&h, "Once upon a time", 1);
    gov_weights_account(h.session->weights, false, &account);
    ck_assert_uint_eq(h.plan.hot_bytes + seen.lent_at_first,
                      h.session->hot.all);
    ck_assert_uint_eq(account.cold_bytes, 0);
    ck_assert_uint_eq(account.streamed_bytes, seen.streamed_before);
    /* And from the second on nobody need tell where the engine is. */
    say(&h, " and", 3);
    ck_assert(!atomic_load(&h.session->reporting));
    let_go(&h);
}
END_TEST

/* The conversation goes on until its context is full, by prompts and by tokens, and
 * so does what the app allocates; what is in use and what is lent is never more than
 * what was reserved, of which in the end less is left than was lent at first. The
 * engine clears its cache when it makes it, so that alone takes no more. */
START_TEST(a_full_context_leaves_no_more)
{
    static unsigned char *blocks[32];
    struct held h;
    uint64_t most = 0;
    int turn = 0;

    if (under_sanitizer("a_full_context_leaves_no_more"))
        return;
    hold(&h, (uint64_t)(52 + 4 * _i) * MIB);
    say(&h, many_words(60), 2);
    while (h.session->past + 200 < CONTEXT) {
        say(&h, many_words(40), 40);
        most = h.session->hot.lent > most ? h.session->hot.lent : most;
        ck_assert_uint_le(hot_now(&h),
                          h.plan.hot_bytes + h.session->hot.lent + 2 * MIB);
        blocks[turn] = malloc(MIB + MIB / 4);
        ck_assert_ptr_nonnull(blocks[turn]);
        memset(blocks[turn++], 1, MIB + MIB / 4);
        h.session->hot.looked_us = 0; /* as if a quarter of a second later */
        ck_assert_int_lt(turn, 32);
    }
    ck_assert_uint_gt(most, 0);
    ck_assert_uint_lt(h.session->hot.lent, most);
    ck_assert_msg(seen.over == 0, "%llu bytes too much",
                  (unsigned long long)seen.over);
    let_go(&h);
    while (turn > 0)
        free(blocks[--turn]);
}
END_TEST

/* As many of the buffers as it may use: of 30 MiB a batch of ten uses one, and one of
 * 200 some 15. */
START_TEST(a_larger_batch_has_it_back)
{
    struct held h;
    uint64_t before;

    open_held(&h, 256 * MIB);
    h.plan.kv_bytes = MIB; /* it is not for its cells */
    h.plan.compute_bytes = h.plan.footprint_bytes = 64 * MIB;
    h.session = seen.session = load(&h);
    say(&h, "Once", 10);
    before = lent_after(&h, 2);
    ck_assert_uint_gt(before, 0);
    ck_assert_int_lt(seen.largest, 10);
    say(&h, many_words(200), 1);
    ck_assert_int_ge(seen.largest, 200);
    ck_assert_uint_le(seen.lent_in_largest + 10 * MIB, before);
    ck_assert_uint_eq(seen.over, 0);
    /* And then it is lent again. */
    ck_assert_uint_gt(lent_after(&h, 2), seen.lent_in_largest);
    let_go(&h);
}
END_TEST

/* A batch of no more tokens than another takes its cells for all that. */
START_TEST(a_batch_has_its_cells_back)
{
    struct held h;
    uint64_t before;

    hold(&h, 256 * MIB); /* 64 KiB a token */
    say(&h, many_words(300), 4);
    before = lent_after(&h, 2);
    ck_assert_uint_gt(before, 0);
    seen.largest = 0;
    say(&h, many_words(290), 1);
    ck_assert_int_ge(seen.largest, 290);
    ck_assert_uint_lt(seen.lent_in_largest, before);
    let_go(&h);
}
END_TEST

START_TEST(a_smaller_budget_ends_it)
{
    struct held h;
    gov_error err;

    hold(&h, 256 * MIB);
    say(&h, "Once", 10);
    ck_assert_uint_gt(lent_after(&h, 2), 0);
    /* Less than what is in use: there is nothing to lend, however often it is
     * looked. */
    ck_assert_int_eq(gov_simulate(h.runtime, GOV_LEVEL_NORMAL, 0, &err),
                     GOV_OK);
    gov_set_budget(h.runtime, 16 * MIB);
    gov_step(h.runtime);
    ck_assert_uint_eq(h.session->hot.lent, 0);
    ck_assert_uint_eq(h.session->hot.by_budget, 0);
    ck_assert_uint_eq(lent_after(&h, 2), 0);
    let_go(&h);
}
END_TEST

/* What relief took comes again in steps, and no more is lent meanwhile. */
START_TEST(under_pressure_no_more_is_lent)
{
    struct held h;
    uint64_t hot, lent;
    gov_error err;

    hold(&h, 256 * MIB);
    say(&h, "Once", 10);
    lent = lent_after(&h, 2);
    ck_assert_uint_gt(lent, 0);
    hot = h.session->hot.now;
    ck_assert_int_eq(gov_simulate(h.runtime, GOV_LEVEL_CRITICAL, 0, &err),
                     GOV_OK);
    gov_step(h.runtime);
    ck_assert_uint_le(h.session->hot.now, hot / 2 + 1);
    hot = h.session->hot.now;
    ck_assert_uint_le(lent_after(&h, 2), lent);
    ck_assert_uint_le(h.session->hot.now, hot);
    let_go(&h);
}
END_TEST

START_TEST(two_sessions_lend_nothing)
{
    struct held h;
    gov_session *other;

    hold(&h, 256 * MIB);
    say(&h, "Once", 10);
    ck_assert_uint_gt(lent_after(&h, 2), 0);
    other = load(&h);
    ck_assert_uint_eq(lent_after(&h, 2), 0);
    ck_assert_uint_le(h.session->hot.now, h.plan.hot_bytes);
    h.engine->unload(other);
    ck_assert_uint_gt(lent_after(&h, 2), 0);
    let_go(&h);
}
END_TEST

/* What is anchored the system cannot take back, and of a mapping all may stay. */
START_TEST(others_lend_nothing)
{
    struct held h;

    open_held(&h, 256 * MIB);
    if (_i == 0)
        h.plan.anchor = true;
    else
        h.plan.strategy = GOV_STRATEGY_MMAP;
    h.session = load(&h);
    say(&h, "Once", 10);
    ck_assert_uint_eq(lent_after(&h, 2), 0);
    let_go(&h);
}
END_TEST

/* ---- relief ------------------------------------------------------------------------- */

/* What an idle session gave is out of memory, the system's cache included, before
 * settle_ms are over, and as much as it said: nothing waits for a pass. */
START_TEST(it_gives_what_it_says)
{
    static const struct {
        gov_level level;
        uint64_t bytes;
    } wants[] = {{GOV_LEVEL_WARN, 0},
                 {GOV_LEVEL_CRITICAL, 0},
                 {GOV_LEVEL_CRITICAL, 4 * MIB}};
    struct gov_weights_account account;
    uint64_t mapped, resident, offered, gave, left;
    struct held h;

    hold(&h, 256 * MIB);
    say(&h, "Once upon a time", 4);
    ck_assert(h.engine->wait(h.session, true, 20000));
    mapped = mapped_bytes_of("small.gguf");
    gov_weights_account(h.session->weights, true, &account);
    ck_assert(account.resident_known);
    resident = account.resident_bytes;
    offered = action.offer(h.session, wants[_i].level);
    gave = relieve(h.session, wants[_i].level, wants[_i].bytes);
    wait_ms(action.settle_ms);
    left = mapped_bytes_of("small.gguf");
    gov_weights_account(h.session->weights, true, &account);
    ck_assert_uint_ge(gave, 2 * MIB);
    if (wants[_i].bytes == 0)
        ck_assert_uint_eq(gave, offered);
    ck_assert_msg(left < mapped && (mapped - left) * 100 >= gave * 95 &&
                      (resident - account.resident_bytes) * 100 >= gave * 95,
                  "gave %llu, it said %llu; resident %lld less",
                  (unsigned long long)(mapped - left), (unsigned long long)gave,
                  (long long)(resident - account.resident_bytes));
    ck_assert_uint_le(mapped - left, gave + gave / 4 + 2 * MIB);
    let_go(&h);
}
END_TEST

/* A run of many slices ends where one at that level does, and the next goes on. */
START_TEST(slices_end_where_a_run_does)
{
    struct held h;
    uint64_t hot, least, gave = 1;
    int slices = 0;

    hold(&h, 256 * MIB);
    say(&h, "Once upon a time", 4);
    ck_assert(h.engine->wait(h.session, true, 20000));
    hot = h.session->hot.now;
    least = hot - hot / 4;
    for (; gave > 0 && slices < 100; slices++)
        gave = relieve(h.session, GOV_LEVEL_WARN, 2 * MIB);
    ck_assert_int_lt(slices, 100);
    ck_assert_int_gt(slices, 2);
    ck_assert_uint_le(h.session->hot.now, least + 2 * MIB);
    ck_assert_uint_ge(h.session->hot.now, least);
    h.session->hot.relieved_us -= 5000000;
    relieve(h.session, GOV_LEVEL_WARN, 0);
    ck_assert_uint_lt(h.session->hot.now, least);
    let_go(&h);
}
END_TEST

/* What relief leaves the policy leaves. */
START_TEST(it_leaves_the_floor)
{
    struct held h;
    uint64_t floor;

    hold(&h, 256 * MIB);
    say(&h, "Once upon a time", 4);
    floor = h.session->hot.now - 4 * MIB;
    action.leave(h.session, floor, 0);
    relieve(h.session, GOV_LEVEL_CRITICAL, 0);
    ck_assert_uint_eq(h.session->hot.now, floor);
    ck_assert_uint_eq(action.offer(h.session, GOV_LEVEL_CRITICAL), 0);
    ck_assert_uint_eq(relieve(h.session, GOV_LEVEL_CRITICAL, 0), 0);
    ck_assert_uint_eq(h.session->hot.now, floor);
    let_go(&h);
}
END_TEST

/* Bytes for bytes; what it still lacks is told, and stopped between two steps it
 * keeps what it has. */
START_TEST(it_takes_again_what_it_may)
{
    struct gov_weights_account account;
    struct held h;
    uint64_t before, low, lacks, last;
    int steps = 0;

    open_held(&h, 256 * MIB);
    h.plan.hot_bytes = h.all / 8 * 7;
    h.session = seen.session = load(&h);
    say(&h, "Once upon a time", 4);
    before = h.session->hot.now;
    relieve(h.session, GOV_LEVEL_CRITICAL, 0);
    low = h.session->hot.now;
    ck_assert_uint_lt(low, before);
    lacks = action.regrow_by(h.session, MIB);
    ck_assert_uint_eq(h.session->hot.now, low + MIB);
    action.regrow_stop(h.session);
    gov_weights_account(h.session->weights, false, &account);
    ck_assert(account.paused);
    for (last = lacks; lacks > 0 && steps < 100; last = lacks, steps++) {
        lacks = action.regrow_by(h.session, MIB);
        ck_assert_uint_eq(lacks, last > MIB ? last - MIB : 0);
    }
    ck_assert_int_gt(steps, 1);
    /* It lacks nothing: nobody would call it again. */
    action.regrow_stop(h.session);
    gov_weights_account(h.session->weights, false, &account);
    ck_assert(!account.paused);
    h.session->hot.looked_us = 0;
    say(&h, " and", 2);
    ck_assert_uint_eq(h.session->hot.now, before);
    ck_assert_uint_eq(action.regrow_by(h.session, MIB), 0);
    let_go(&h);
}
END_TEST

/* However little is wanted. */
START_TEST(what_is_lent_to_an_idle_session_goes)
{
    struct held h;
    uint64_t mapped, gave;

    hold(&h, 256 * MIB);
    say(&h, "Once upon a time", 4);
    ck_assert(h.engine->wait(h.session, true, 20000));
    ck_assert_uint_gt(h.session->hot.lent, 8 * MIB);
    mapped = mapped_bytes_of("small.gguf");
    h.session->hot.passed_us -= 2000000; /* as if it had rested so long */
    gave = relieve(h.session, GOV_LEVEL_WARN, 1);
    ck_assert_uint_eq(h.session->hot.lent, 0);
    ck_assert_uint_le(h.session->hot.now, h.plan.hot_bytes);
    wait_ms(action.settle_ms);
    ck_assert_uint_ge((mapped - mapped_bytes_of("small.gguf")) * 100,
                      gave * 95);
    let_go(&h);
}
END_TEST

static void *press(void *session)
{
    uint64_t turn = 0;

    while (!atomic_load(&pressing.stop)) {
        (void)relieve(session,
                      turn % 3 == 0 ? GOV_LEVEL_CRITICAL : GOV_LEVEL_WARN,
                      turn % 2 == 0 ? 0 : 3 * MIB);
        pressing.gave++;
        wait_ms(3);
        if (turn % 4 == 3)
            action.regrow_stop(session);
        while (turn++ % 4 != 0 && !atomic_load(&pressing.stop))
            (void)action.regrow_by(session, 2 * MIB);
        (void)action.regrow_by(session, UINT64_MAX);
    }
    return NULL;
}

START_TEST(under_relief_all_bits_are_the_same)
{
    struct llama_context_params params = control_params(CONTEXT, 1);
    struct control control;
    struct held h;
    const float *logits;
    llama_token token;
    pthread_t thread;
    size_t count;

    control_open(&control, in_directory("control.gguf"), false, &params);
    control_read(&control, "Once upon a time", true);
    hold(&h, 256 * MIB);
    ck_assert_int_eq(pthread_create(&thread, NULL, press, h.session), 0);
    say(&h, "Once upon a time", 100);
    atomic_store(&pressing.stop, true);
    pthread_join(thread, NULL);
    ck_assert_int_gt(pressing.gave, 2);
    for (int i = 0; i < 100; i++) {
        token = control_choose(&control);
        control_decode(&control, &token, 1);
    }
    logits = h.engine->logits(h.session, &count);
    ck_assert_mem_eq(logits, control.logits, count * sizeof(float));
    control_close(&control);
    let_go(&h);
}
END_TEST

/* Each gives, and what one gave the other does not take, neither by a pass nor by
 * taking its own again. */
START_TEST(two_sessions_give)
{
    struct held h, another;
    gov_session *other;
    uint64_t one, two;

    hold(&h, 256 * MIB);
    other = load_beside(&another, &h);
    say(&h, "Once", 4);
    one = h.session->hot.now;
    two = other->hot.now;
    ck_assert_uint_gt(relieve(h.session, GOV_LEVEL_CRITICAL, 0), 0);
    ck_assert_uint_lt(h.session->hot.now, one);
    ck_assert_uint_eq(other->hot.now, two);
    say(&h, " and", 4);
    ck_assert_uint_lt(h.session->hot.now, one);
    (void)relieve(other, GOV_LEVEL_WARN, 0);
    ck_assert_uint_lt(other->hot.now, two);
    one = h.session->hot.now;
    ck_assert_uint_eq(action.regrow_by(other, UINT64_MAX), 0);
    ck_assert_uint_eq(other->hot.now, two);
    ck_assert_uint_eq(h.session->hot.now, one);
    let_go_beside(&another);
    let_go(&h);
}
END_TEST

/* A larger budget is shared: who cannot see the other takes none of what the app
 * left to both. */
START_TEST(two_sessions_take_no_budget_twice)
{
    struct held h, another;
    gov_session *other;

    hold(&h, 256 * MIB);
    other = load_beside(&another, &h);
    action.budget(h.session, UINT64_C(8) << 30);
    action.budget(other, UINT64_C(8) << 30);
    ck_assert_uint_eq(h.session->hot.now, h.plan.hot_bytes);
    ck_assert_uint_eq(other->hot.now, h.plan.hot_bytes);
    let_go_beside(&another);
    action.budget(h.session, UINT64_C(8) << 30);
    ck_assert_uint_eq(h.session->hot.now, h.session->hot.all);
    let_go(&h);
}
END_TEST

/* ---- in a real limit ------------------------------------------------------------------ */

/* A conversation that takes twice what the weights do, and whose state nobody has
 * room to keep. */
START_TEST(a_limit_is_never_met)
{
    static const char script[] =
        "exec \"$0\" run \"$1\" --ctx 4096 --threads 1 --tokens 100 "
        "--ignore-end --prompt \"$2\" > /dev/null 2>&1";
    static const char *const limits[] = {"86000000", "96000000"};
    char gov[512];
    const char *const arguments[] = {
        limits[_i],       "sh", "-c", script, gov, in_directory("small.gguf"),
        many_words(3400), NULL};
    const char *const nothing[] = {limits[_i], "true", NULL};
    ssize_t n = readlink("/proc/self/exe", gov, sizeof(gov) - 16);
    int status;

    ck_assert_int_gt(n, 0);
    gov[n] = '\0';
    *strrchr(gov, '/') = '\0';
    memcpy(strrchr(gov, '/'), "/bin/gov", sizeof("/bin/gov"));
    if (under_sanitizer("a_limit_is_never_met"))
        return;
    status = run_beside("memlimit", nothing);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        skip_test("a_limit_is_never_met", "no memory cgroup can be made");
        return;
    }
    status = run_beside("memlimit", arguments);
    ck_assert_msg(status == 0, "gov ended with %d", status);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama_hot");
    TCase *lent = tcase_create("lent"), *relief = tcase_create("relief");

    tcase_add_test(lent, what_nothing_uses_is_lent);
    tcase_add_test(lent, the_first_pass_streams_nothing);
    tcase_add_loop_test(lent, a_full_context_leaves_no_more, 0, 2);
    tcase_add_test(lent, a_larger_batch_has_it_back);
    tcase_add_test(lent, a_batch_has_its_cells_back);
    tcase_add_test(lent, a_smaller_budget_ends_it);
    tcase_add_test(lent, under_pressure_no_more_is_lent);
    tcase_add_test(lent, two_sessions_lend_nothing);
    tcase_add_loop_test(lent, others_lend_nothing, 0, 2);
    tcase_add_loop_test(lent, a_limit_is_never_met, 0, 2);
    tcase_add_unchecked_fixture(lent, make_models, NULL);
    tcase_set_timeout(lent, 60);
    suite_add_tcase(s, lent);
    tcase_add_loop_test(relief, it_gives_what_it_says, 0, 3);
    tcase_add_test(relief, slices_end_where_a_run_does);
    tcase_add_test(relief, it_leaves_the_floor);
    tcase_add_test(relief, it_takes_again_what_it_may);
    tcase_add_test(relief, what_is_lent_to_an_idle_session_goes);
    tcase_add_test(relief, under_relief_all_bits_are_the_same);
    tcase_add_test(relief, two_sessions_give);
    tcase_add_test(relief, two_sessions_take_no_budget_twice);
    tcase_add_unchecked_fixture(relief, make_models, NULL);
    tcase_set_timeout(relief, 60);
    suite_add_tcase(s, relief);
    return s;
}
