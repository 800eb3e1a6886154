/* SPDX-License-Identifier: MIT */
/* Relief beside generation, as often as the shipped rests allow in an hour: each
 * action gives memory back and takes it again while a conversation goes on, and
 * every logit has the bits that llama.cpp gives without any of it. GOV_RACE says
 * how often; 720 is an hour, for an action rests 5 s. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define CONTEXT 1024
#define PROMPTS 3
#define TOKENS 6
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What races; each gives something after every conversation. */
static const char *const actions[] = {"cache.prompts", "kv.unused",
                                      "weights.hot"};

struct race {
    const struct gov_engine *engine;
    gov_runtime *runtime;
    gov_model *model;
    gov_session *session;
    struct control control;
    pthread_t thread;
    atomic_bool stop;
    /* Runs that gave something, and levels. */
    _Atomic uint64_t gave[COUNT(actions)], turns;
    /* Of each prompt: the logits that each token is chosen from. */
    float *want[PROMPTS];
    uint32_t prompt, token; /* where the conversation is */
    uint64_t tokens, wrong;
};

static void check_ok(gov_status status, const gov_error *err)
{
    ck_assert_msg(status == GOV_OK, "%s", err->message);
}

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

static void on_event(void *ctx, const struct gov_event *event)
{
    struct race *race = ctx;

    if (event->kind == GOV_EVENT_RELIEF)
        for (size_t i = 0; i < COUNT(actions); i++)
            if (strcmp(event->action, actions[i]) == 0 &&
                event->offered_bytes > 0)
                atomic_fetch_add(&race->gave[i], 1);
}

/* CRITICAL and NORMAL in turn, and all that follows from either. */
static void *press(void *arg)
{
    struct race *race = arg;
    unsigned int seed = 1;
    gov_error err;

    while (!atomic_load(&race->stop)) {
        check_ok(gov_simulate(race->runtime, GOV_LEVEL_CRITICAL, 0, &err),
                 &err);
        gov_step(race->runtime);
        seed = seed * 1103515245 + 12345;
        sleep_us((long)(seed >> 8) % 20000); /* for a pass to end */
        check_ok(gov_simulate(race->runtime, GOV_LEVEL_NORMAL, 0, &err), &err);
        for (int i = 0; i < 4; i++) {
            gov_step(race->runtime);
            seed = seed * 1103515245 + 12345;
            sleep_us((long)(seed >> 8) % 4000);
        }
        atomic_fetch_add(&race->turns, 1);
    }
    return NULL;
}

static uint64_t least(const struct race *race)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < COUNT(actions); i++)
        if (atomic_load(&race->gave[i]) < least)
            least = atomic_load(&race->gave[i]);
    return least;
}

/* ---- conversations ------------------------------------------------------------- */

static const char *prompt_text(uint32_t prompt)
{
    static const char *const words[] = {"the ", "little ", "robot ",  "was ",
                                        "in ",  "a ",      "garden ", "and "};
    static char text[4096];
    size_t at = 0;

    for (uint32_t i = 0; i < 90 + 40 * prompt; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s",
                               words[(i * 7 + i / 8 + prompt) % 8]);
    return text;
}

static void ask_control(struct race *race)
{
    struct llama_context_params params = control_params(CONTEXT, 1);
    struct control *c = &race->control;

    control_open(c, gov_model_path(race->model), false, &params);
    for (uint32_t p = 0; p < PROMPTS; p++) {
        race->want[p] = malloc(TOKENS * c->vocabulary * sizeof(float));
        ck_assert_ptr_nonnull(race->want[p]);
        control_clear(c);
        control_read(c, prompt_text(p), true);
        for (uint32_t i = 0; i < TOKENS; i++) {
            llama_token token = control_choose(c);

            memcpy(race->want[p] + i * c->vocabulary, c->logits,
                   c->vocabulary * sizeof(float));
            control_decode(c, &token, 1);
        }
    }
}

static bool on_piece(void *ctx, const char *text, size_t bytes)
{
    struct race *race = ctx;
    const size_t vocabulary = race->control.vocabulary;
    const float *logits;
    size_t count;

    (void)text;
    (void)bytes;
    logits = race->engine->logits(race->session, &count);
    if (count != vocabulary ||
        memcmp(logits, race->want[race->prompt] + race->token * vocabulary,
               count * sizeof(float)) != 0)
        race->wrong++;
    race->token++;
    race->tokens++;
    return true;
}

static void converse(struct race *race, uint32_t prompt)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = prompt_text(prompt),
                                   .tokens = TOKENS,
                                   .ignore_end = true,
                                   .piece = on_piece,
                                   .ctx = race};
    struct gov_generated out;
    gov_error err;

    race->prompt = prompt;
    race->token = 0;
    race->engine->reset(race->session);
    check_ok(race->engine->generate(race->session, &request, &out, &err), &err);
    ck_assert_uint_eq(race->token, TOKENS);
}

/* ---- one race ------------------------------------------------------------------- */

static const struct {
    const char *name;
    gov_strategy strategy;
    bool anchor;
} ways[] = {
    {"mapped", GOV_STRATEGY_MMAP, false},
    {"streamed", GOV_STRATEGY_HYBRID, false},
    {"anchored", GOV_STRATEGY_HYBRID, true},
};

static void make_models(void)
{
    make_model("q4_0.gguf", "Q4_0", "tiny");
}

/* No rests, so that an hour's runs take a minute. */
static const char *policy(void)
{
    static const char text[] = "version: 1\n"
                               "base: none\n"
                               "regrow: { after: 0 s, every: 0 s }\n";
    const char *path = in_directory("race.yaml");
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    return path;
}

static void open_race(struct race *race, int way)
{
    struct gov_options options = gov_options_default();
    struct gov_plan plan = {.strategy = ways[way].strategy,
                            .kv_type = GOV_KV_F16,
                            .context = CONTEXT,
                            .ahead = 2,
                            .anchor = ways[way].anchor,
                            .direct = ways[way].anchor};
    struct gov_load request = {
        .size = sizeof(request), .plan = &plan, .threads = 1};
    const struct gov_unit *units;
    size_t count;
    gov_error err;

    memset(race, 0, sizeof(*race));
    options.no_thread = true;
    options.no_publish = true;
    options.no_policy_files = true;
    options.policy = policy();
    check_ok(gov_engine_open(&race->engine, "llama", &err), &err);
    check_ok(
        gov_model_open(&race->model, in_directory("q4_0.gguf"), NULL, &err),
        &err);
    check_ok(gov_open(&race->runtime, &options, &err), &err);
    gov_on_event(race->runtime, on_event, race);
    units = gov_model_units(race->model, &count);
    for (size_t i = 0; i < count; i++)
        plan.weights_bytes += units[i].bytes;
    plan.hot_bytes = plan.weights_bytes;
    if (plan.strategy == GOV_STRATEGY_HYBRID)
        plan.hot_bytes = plan.weights_bytes / 2;
    plan.cold_bytes = plan.weights_bytes - plan.hot_bytes;
    request.model = race->model;
    request.runtime = race->runtime;
    check_ok(race->engine->load(&race->session, &request, &err), &err);
    ask_control(race);
}

static void close_race(struct race *race)
{
    race->engine->unload(race->session);
    gov_close(race->runtime);
    control_close(&race->control);
    gov_model_close(race->model);
    for (size_t i = 0; i < PROMPTS; i++)
        free(race->want[i]);
}

/* An action may come before there is something to give again: that is no run. */
START_TEST(an_hour_of_relief_changes_no_bit)
{
    const char *asked = getenv("GOV_RACE");
    const uint64_t cycles = asked != NULL ? strtoull(asked, NULL, 10) : 12;
    struct timespec began, now;
    struct race race;

    open_race(&race, _i);
    converse(&race, 0);
    ck_assert_msg(race.wrong == 0, "it differs without any relief");
    clock_gettime(CLOCK_MONOTONIC, &began);
    ck_assert_int_eq(pthread_create(&race.thread, NULL, press, &race), 0);
    for (uint32_t n = 0; least(&race) < cycles; n++) {
        converse(&race, n % PROMPTS);
        clock_gettime(CLOCK_MONOTONIC, &now);
        ck_assert_msg(now.tv_sec - began.tv_sec < (long)(20 + cycles),
                      "%s: %s ran %" PRIu64 ", %s %" PRIu64 ", %s %" PRIu64
                      " times of %" PRIu64,
                      ways[_i].name, actions[0], race.gave[0], actions[1],
                      race.gave[1], actions[2], race.gave[2], cycles);
    }
    atomic_store(&race.stop, true);
    pthread_join(race.thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("race way=%s cycles=%" PRIu64 " %s=%" PRIu64 " %s=%" PRIu64
           " %s=%" PRIu64 " tokens=%" PRIu64 " wrong=%" PRIu64 " s=%ld\n",
           ways[_i].name, least(&race), actions[0], race.gave[0], actions[1],
           race.gave[1], actions[2], race.gave[2], race.tokens, race.wrong,
           (long)(now.tv_sec - began.tv_sec));
    fflush(stdout);
    ck_assert_uint_eq(race.wrong, 0);
    close_race(&race);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama_race");
    TCase *race = tcase_create("race");

    tcase_add_unchecked_fixture(race, make_models, NULL);
    tcase_add_loop_test(race, an_hour_of_relief_changes_no_bit, 0, COUNT(ways));
    tcase_set_timeout(race, getenv("GOV_RACE") != NULL ? 3600 : 60);
    suite_add_tcase(s, race);
    return s;
}
