/* SPDX-License-Identifier: MIT */
/* The llama.cpp adapter against a control that runs the same batches through
 * llama.cpp's own API: whatever the governor does underneath, every logit must
 * have the same bits. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>

#include "adapters/llama/llama_session.h"
#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void make_models(void)
{
    make_model("q4_0.gguf", "Q4_0", "tiny");
    make_model("q4_k.gguf", "Q4_K", "tiny");
    make_model("f16.gguf", "F16", "tiny");
    make_model("small.gguf", "Q4_0", "small");
}

/* ---- a session under test --------------------------------------------------------- */

struct fixture {
    const struct gov_engine *engine;
    gov_runtime *runtime;
    gov_model *model;
    gov_session *session;
    struct control control;
};

static void check_ok(gov_status status, const gov_error *err)
{
    ck_assert_msg(status == GOV_OK, "%s", err->message);
}

static struct gov_plan plan_for(const gov_model *model, gov_strategy strategy,
                                uint32_t hot_permille, uint32_t context)
{
    struct gov_plan plan = {.strategy = strategy,
                            .kv_type = GOV_KV_F16,
                            .context = context,
                            .ahead = 2};
    const struct gov_unit *units;
    size_t count;

    units = gov_model_units(model, &count);
    for (size_t i = 0; i < count; i++)
        plan.weights_bytes += units[i].bytes;
    plan.hot_bytes = plan.weights_bytes / 1000 * hot_permille;
    plan.cold_bytes = plan.weights_bytes - plan.hot_bytes;
    return plan;
}

static gov_runtime *runtime_new(void)
{
    struct gov_options options = gov_options_default();
    gov_runtime *runtime;
    gov_error err;

    options.no_thread = true;
    options.no_publish = true;
    check_ok(gov_open(&runtime, &options, &err), &err);
    return runtime;
}

static gov_session *load(const struct fixture *f, const struct gov_plan *plan,
                         uint32_t threads)
{
    struct gov_load request = {.size = sizeof(request),
                               .model = f->model,
                               .plan = plan,
                               .runtime = f->runtime,
                               .threads = threads};
    gov_session *session;
    gov_error err;

    check_ok(f->engine->load(&session, &request, &err), &err);
    return session;
}

/* Opens everything but a control; context 0 loads nothing. */
static void open_fixture(struct fixture *f, const char *file,
                         gov_strategy strategy, uint32_t context)
{
    struct gov_plan plan;
    gov_error err;

    memset(f, 0, sizeof(*f));
    check_ok(gov_engine_open(&f->engine, "llama", &err), &err);
    check_ok(gov_model_open(&f->model, in_directory(file), NULL, &err), &err);
    f->runtime = runtime_new();
    if (context == 0)
        return;
    plan = plan_for(f->model, strategy, 500, context);
    f->session = load(f, &plan, 1);
}

static void open_control(struct fixture *f, uint32_t context)
{
    struct llama_context_params params = control_params(context, 1);

    control_open(&f->control, gov_model_path(f->model), false, &params);
}

static void close_fixture(struct fixture *f)
{
    if (f->engine != NULL)
        f->engine->unload(f->session);
    if (f->control.model != NULL)
        control_close(&f->control);
    gov_close(f->runtime);
    gov_model_close(f->model);
}

/* Raises the simulated level from normal, so that no action rests, and lets the
 * ladder run. Any thread. */
static void relieve(gov_runtime *runtime, gov_level level)
{
    gov_error err;

    check_ok(gov_simulate(runtime, GOV_LEVEL_NORMAL, 0, &err), &err);
    gov_step(runtime);
    check_ok(gov_simulate(runtime, level, 0, &err), &err);
    gov_step(runtime);
}

static void calm(gov_runtime *runtime)
{
    gov_error err;

    check_ok(gov_simulate(runtime, GOV_LEVEL_NORMAL, 0, &err), &err);
    gov_step(runtime);
}

/* What the runtime does some seconds after that. */
static void grow_again(struct fixture *f)
{
    gov_cache_apply_level(f->session->prompts, GOV_LEVEL_NORMAL);
}

/* ---- one turn beside the control -------------------------------------------------- */

struct turn {
    struct fixture *f;
    uint32_t tokens; /* seen so far */
    uint32_t refuse; /* piece() says no at this token; 0: never */
    long questions;  /* stop() so far */
    long stop_at;    /* stop() says yes at this question; 0: never */
    bool compare;
    uint32_t wrong; /* first token whose logits differ; 0: none */
};

/* What the session chose from, against what the control chooses from. */
static bool on_piece(void *ctx, const char *text, size_t bytes)
{
    struct turn *turn = ctx;
    struct control *control = &turn->f->control;
    size_t count;
    const float *logits = turn->f->engine->logits(turn->f->session, &count);
    char piece[64];
    llama_token token;
    int32_t n;

    turn->tokens++;
    if (turn->compare && turn->wrong == 0) {
        token = control_choose(control);
        n = llama_token_to_piece(control->vocab, token, piece, sizeof(piece), 0,
                                 false);
        if (count != control->vocabulary || n < 0 || (size_t)n != bytes ||
            memcmp(piece, text, bytes) != 0 ||
            memcmp(logits, control->logits, count * sizeof(float)) != 0)
            turn->wrong = turn->tokens;
        if (control->past < llama_n_ctx(control->context))
            control_decode(control, &token, 1);
    }
    return turn->tokens != turn->refuse;
}

static bool on_stop(void *ctx)
{
    struct turn *turn = ctx;

    return ++turn->questions == turn->stop_at;
}

static gov_status generate(struct turn *turn, const char *prompt,
                           uint32_t tokens, struct gov_generated *out,
                           gov_error *err)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = prompt,
                                   .tokens = tokens,
                                   .ignore_end = true,
                                   .piece = on_piece,
                                   .stop = on_stop,
                                   .ctx = turn};

    return turn->f->engine->generate(turn->f->session, &request, out, err);
}

/* The same turn for both; every logit must be equal. */
static struct gov_generated compare(struct fixture *f, const char *prompt,
                                    uint32_t tokens)
{
    struct turn turn = {.f = f, .compare = true};
    struct gov_generated out;
    gov_error err;

    control_read(&f->control, prompt, f->control.past == 0);
    check_ok(generate(&turn, prompt, tokens, &out, &err), &err);
    ck_assert_msg(turn.wrong == 0, "token %u of %u differs", turn.wrong,
                  out.tokens);
    ck_assert_uint_eq(turn.tokens, out.tokens);
    return out;
}

static void reset(struct fixture *f)
{
    f->engine->reset(f->session);
    if (f->control.context != NULL)
        control_clear(&f->control);
}

/* A text of a few hundred tokens. */
static const char *long_text(int words)
{
    static const char *const word[] = {"the ", "little ", "robot ",  "was ",
                                       "in ",  "a ",      "garden ", "and "};
    static char text[65536];
    size_t at = 0;

    for (int i = 0; i < words && at < sizeof(text) - 16; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s",
                               word[(i * 7 + i / 8) % 8]);
    return text;
}

/* ---- pressure underneath ----------------------------------------------------------- */

/* Writes garbage into every cell that holds no token, between passes, and says
 * that memory is behind all of it again: the next action gives it back. Nothing
 * that is read may come from there. */
struct pressure {
    struct fixture *f;
    pthread_t thread;
    atomic_bool stop;
    uint32_t poison_id;
    bool set_hot;   /* also changes what is hot, at random */
    bool warn_only; /* spares the prompts that are kept */
    _Atomic uint32_t poisoned;
};

static const struct gov__kv_cells *cells_of(const gov_session *session,
                                            uint32_t layer)
{
    return &session->kv.cache[session->kv.layer[layer].cache - 1];
}

/* K and V of every cell that holds a token, or of every other one. */
static void fill_cells(gov_session *session, bool unused, unsigned char byte)
{
    for (uint32_t i = 0; i < session->kv.layers; i++) {
        const struct gov__kv_layer *layer = &session->kv.layer[i];
        const struct gov__kv_cells *cells;
        const struct ggml_tensor *tensors[] = {layer->k, layer->v};

        if (layer->cache == 0) /* no graph has shown yet whose it is */
            continue;
        cells = cells_of(session, i);
        for (int t = 0; t < 2; t++)
            for (uint32_t c = 0; tensors[t] != NULL && c < cells->per_stream;
                 c++)
                if ((cells->owner[c] == 0) == unused)
                    memset((char *)tensors[t]->data + c * tensors[t]->nb[1],
                           byte, tensors[t]->nb[1]);
    }
}

/* As after a longer conversation: memory is behind all of it. */
static void back_all(gov_session *session)
{
    for (uint32_t i = 0; i < session->kv.caches; i++) {
        struct gov__kv_cells *cells = &session->kv.cache[i];

        memset(cells->backed, 3, cells->per_stream);
        for (int which = 0; which < 2; which++) {
            cells->held[which] = cells->per_stream;
            cells->loose[which] = cells->per_stream - cells->used;
        }
        cells->changed = true;
    }
    atomic_store(&session->kv.unused_bytes, GOV_LADDER_LEAST_BYTES);
}

static bool is_unknown(const gov_session *session)
{
    for (uint32_t i = 0; i < session->kv.caches; i++)
        if (session->kv.cache[i].unknown)
            return true;
    return false;
}

static uint64_t poison_offer(void *ctx, gov_level level)
{
    const struct pressure *pressure = ctx;

    (void)level;
    return pressure->f->session != NULL ? 1 << 20 : 0;
}

static void poison_run(void *ctx, gov_level level)
{
    struct pressure *pressure = ctx;
    gov_session *session = pressure->f->session;

    (void)level;
    if (is_unknown(session))
        return;
    fill_cells(session, true, 0x3c); /* 1.06 as a half */
    back_all(session);
    atomic_fetch_add(&pressure->poisoned, 1);
}

static void *press(void *arg)
{
    static const struct timespec breath = {0, 3000000};
    struct pressure *pressure = arg;
    unsigned int seed = 1;

    while (!atomic_load(&pressure->stop)) {
        relieve(pressure->f->runtime, pressure->warn_only || seed % 2 == 0
                                          ? GOV_LEVEL_WARN
                                          : GOV_LEVEL_CRITICAL);
        seed = seed * 1103515245 + 12345;
        if (pressure->set_hot && pressure->f->session->weights != NULL)
            gov_weights_set_hot(pressure->f->session->weights,
                                (seed >> 8) % 2000000);
        if (!pressure->warn_only)
            nanosleep(&breath, NULL);
    }
    return NULL;
}

static void press_begin(struct pressure *pressure, struct fixture *f)
{
    struct gov_relief relief = gov_relief_default();
    gov_error err;

    pressure->f = f;
    relief.name = "test.poison";
    relief.between_passes = true;
    relief.ctx = pressure;
    relief.offer = poison_offer;
    relief.run = poison_run;
    check_ok(gov_relief_add(f->runtime, &relief, &pressure->poison_id, &err),
             &err);
    ck_assert_int_eq(pthread_create(&pressure->thread, NULL, press, pressure),
                     0);
}

static void press_end(struct pressure *pressure)
{
    atomic_store(&pressure->stop, true);
    pthread_join(pressure->thread, NULL);
    gov_relief_remove(pressure->f->runtime, pressure->poison_id);
    calm(pressure->f->runtime);
}

/* ---- bits -------------------------------------------------------------------------- */

static const struct {
    const char *file;
    gov_strategy strategy;
    uint32_t hot_permille;
    gov_kv_type kv_type;
    uint32_t threads;
    bool repack, set_hot;
} ways[] = {
    {"q4_0.gguf", GOV_STRATEGY_MMAP, 1000, GOV_KV_F16, 1, false, false},
    {"q4_k.gguf", GOV_STRATEGY_MMAP, 1000, GOV_KV_Q8_0, 1, false, false},
    {"f16.gguf", GOV_STRATEGY_MMAP, 1000, GOV_KV_F16, 1, false, false},
    {"q4_0.gguf", GOV_STRATEGY_HYBRID, 0, GOV_KV_F16, 1, false, false},
    {"q4_k.gguf", GOV_STRATEGY_HYBRID, 500, GOV_KV_F16, 1, false, false},
    {"f16.gguf", GOV_STRATEGY_HYBRID, 500, GOV_KV_Q8_0, 1, false, true},
    {"q4_0.gguf", GOV_STRATEGY_HYBRID, 500, GOV_KV_F16, 2, false, true},
    {"q4_0.gguf", GOV_STRATEGY_HEAP, 1000, GOV_KV_F16, 1, true, false},
    {"q4_k.gguf", GOV_STRATEGY_HEAP, 1000, GOV_KV_F16, 1, true, false},
    {"f16.gguf", GOV_STRATEGY_HEAP, 1000, GOV_KV_F16, 1, false, false},
};

START_TEST(logits_have_the_same_bits)
{
    const bool two = ways[_i].threads == 2; /* slow where cores are shared */
    struct fixture f;
    struct pressure pressure = {.set_hot = ways[_i].set_hot};
    struct llama_context_params params;
    struct gov_weights_account account;
    struct gov_plan plan;

    open_fixture(&f, ways[_i].file, ways[_i].strategy, 0);
    plan = plan_for(f.model, ways[_i].strategy, ways[_i].hot_permille, 1536);
    plan.kv_type = ways[_i].kv_type;
    plan.repack = ways[_i].repack;
    f.session = load(&f, &plan, ways[_i].threads);
    ck_assert_ptr_nonnull(strstr(f.engine->describe(f.session),
                                 gov_strategy_name(plan.strategy)));
    params = control_params(1536, (int32_t)ways[_i].threads);
    if (plan.kv_type == GOV_KV_Q8_0)
        params.type_k = params.type_v = GGML_TYPE_Q8_0;
    control_open(&f.control, in_directory(ways[_i].file), plan.repack, &params);
    press_begin(&pressure, &f);
    ck_assert_uint_gt(
        compare(&f, long_text(two ? 8 : 340), two ? 8 : 100).prompt_tokens,
        two ? 8 : CONTROL_BATCH);
    compare(&f, " and then she said:", two ? 4 : 50);
    press_end(&pressure);
    ck_assert_uint_gt(atomic_load(&pressure.poisoned), 0);
    ck_assert_uint_gt(atomic_load(&f.session->kv.given_back_bytes), 0);
    ck_assert_int_eq(f.session->streaming,
                     plan.strategy == GOV_STRATEGY_HYBRID);
    /* This program is none that is told of unmapping. */
    ck_assert(!f.session->copy.wanted);
    if (f.session->streaming) {
        gov_weights_account(f.session->weights, false, &account);
        ck_assert_uint_ge(account.passes, two ? 12 : 150);
        ck_assert_uint_gt(account.streamed_bytes, 0);
    }
    close_fixture(&f);
}
END_TEST

/* Windows, experts, latent and recurrent state. What is not streamed is mapped;
 * experts are streamed. */
static const char *const others[] = {
    "tiny-gemma3", "tiny-qwen3moe",  "tiny-deepseek2", "tiny-gpt-oss",
    "tiny-mamba",  "tiny-falcon-h1", "tiny-lfm2",
};

START_TEST(other_architectures_have_the_same_bits)
{
    struct fixture f;
    struct pressure pressure = {.set_hot = false};
    struct gov_weights_account account;
    char file[64];

    snprintf(file, sizeof(file), "%s.gguf", others[_i]);
    make_model(file, "Q4_0", others[_i]);
    open_fixture(&f, file, GOV_STRATEGY_HYBRID, 1536);
    open_control(&f, 1536);
    press_begin(&pressure, &f);
    ck_assert_uint_gt(compare(&f, long_text(340), 40).prompt_tokens,
                      CONTROL_BATCH);
    compare(&f, " and then she said:", 40);
    press_end(&pressure);
    if (strcmp(others[_i], "tiny-qwen3moe") == 0) {
        ck_assert(f.session->streaming);
        gov_weights_account(f.session->weights, false, &account);
        ck_assert_uint_gt(account.passes, 80);
        ck_assert_uint_gt(account.streamed_bytes, 0);
    }
    close_fixture(&f);
}
END_TEST

/* Whatever is hot, however it comes in, and whatever the system is told. */
static const struct {
    const char *file, *preset;
    gov_strategy strategy;
    gov_hold hold;
    gov_warm warm;
    uint64_t warm_rate;
    gov_advice load, pass;
} holds[] = {
    {"q4_0.gguf", "tiny", GOV_STRATEGY_HYBRID, GOV_HOLD_FIRST, GOV_WARM_USE, 0,
     GOV_ADVICE_NORMAL, GOV_ADVICE_NORMAL},
    {"q4_0.gguf", "tiny", GOV_STRATEGY_HYBRID, GOV_HOLD_FIRST, GOV_WARM_NONE, 0,
     GOV_ADVICE_SEQUENTIAL, GOV_ADVICE_RANDOM},
    {"q4_0.gguf", "tiny", GOV_STRATEGY_HYBRID, GOV_HOLD_SPREAD, GOV_WARM_FILE,
     8 << 20, GOV_ADVICE_SEQUENTIAL, GOV_ADVICE_NORMAL},
    {"q4_0.gguf", "tiny", GOV_STRATEGY_HYBRID, GOV_HOLD_SPREAD, GOV_WARM_NONE,
     0, GOV_ADVICE_RANDOM, GOV_ADVICE_SEQUENTIAL},
    {"hold-moe.gguf", "tiny-qwen3moe", GOV_STRATEGY_HYBRID, GOV_HOLD_DENSE,
     GOV_WARM_USE, 1 << 20, GOV_ADVICE_NORMAL, GOV_ADVICE_RANDOM},
    {"hold-moe.gguf", "tiny-qwen3moe", GOV_STRATEGY_HYBRID, GOV_HOLD_DENSE,
     GOV_WARM_NONE, 0, GOV_ADVICE_NORMAL, GOV_ADVICE_NORMAL},
    {"q4_0.gguf", "tiny", GOV_STRATEGY_MMAP, GOV_HOLD_SPREAD, GOV_WARM_NONE, 0,
     GOV_ADVICE_RANDOM, GOV_ADVICE_NORMAL},
    {"q4_0.gguf", "tiny", GOV_STRATEGY_MMAP, GOV_HOLD_SPREAD, GOV_WARM_FILE,
     8 << 20, GOV_ADVICE_SEQUENTIAL, GOV_ADVICE_RANDOM},
};

START_TEST(every_way_to_hold_has_the_same_bits)
{
    const bool streams = holds[_i].strategy == GOV_STRATEGY_HYBRID;
    struct fixture f;
    struct pressure pressure = {.set_hot = streams};
    struct gov_weights_account account;
    struct gov_plan plan;

    make_model(holds[_i].file, "Q4_0", holds[_i].preset);
    open_fixture(&f, holds[_i].file, holds[_i].strategy, 0);
    plan = plan_for(f.model, holds[_i].strategy, streams ? 500 : 1000, 512);
    plan.hold = holds[_i].hold;
    plan.warm = holds[_i].warm;
    plan.warm_rate = holds[_i].warm_rate;
    plan.advise_load = holds[_i].load;
    plan.advise_pass = holds[_i].pass;
    f.session = load(&f, &plan, 1);
    ck_assert_int_eq(f.session->streaming, streams);
    open_control(&f, 512);
    compare(&f, "Once upon a time", 12);
    press_begin(&pressure, &f);
    compare(&f, long_text(40), 24);
    press_end(&pressure);
    gov_weights_account(f.session->weights, false, &account);
    ck_assert_uint_ge(account.passes, 34);
    ck_assert_uint_eq(account.failures, 0);
    close_fixture(&f);
}
END_TEST

static char map_shown[512];

static const char *units_shown(const struct fixture *f)
{
    gov_weights_map(f->session->weights, map_shown, sizeof(map_shown));
    return map_shown;
}

/* The streamer is another thread: what it will do is waited for. */
static bool comes_to_show(const struct fixture *f, const char *want)
{
    static const struct timespec breath = {0, 2000000};

    for (int i = 0; i < 5000 && strcmp(units_shown(f), want) != 0; i++)
        nanosleep(&breath, NULL);
    return strcmp(units_shown(f), want) == 0;
}

/* The plan's words reach the weights: units of one part each, so that whole ones
 * are hot. */
START_TEST(a_plan_is_carried_out)
{
    struct fixture f;
    struct gov_plan plan;
    const struct gov_unit *units;
    size_t count;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_HYBRID, 0);
    units = gov_model_units(f.model, &count);
    ck_assert_uint_eq(count, 6);
    plan = plan_for(f.model, GOV_STRATEGY_HYBRID, 0, 512);
    plan.hot_bytes = 2 * units[1].bytes;
    plan.hold = GOV_HOLD_FIRST;
    f.session = load(&f, &plan, 1);
    ck_assert_msg(comes_to_show(&f, ".HHss-"), "%s", map_shown);
    f.engine->unload(f.session);
    /* Brought in by nobody but the engine, and then there: with the first pass
     * of a prompt, and the next one. */
    plan = plan_for(f.model, GOV_STRATEGY_MMAP, 1000, 512);
    plan.warm = GOV_WARM_NONE;
    f.session = load(&f, &plan, 1);
    ck_assert_str_eq(units_shown(&f), "hhhhhh");
    open_control(&f, 512);
    compare(&f, "Once upon a time", 4);
    ck_assert_msg(comes_to_show(&f, "HHHHHH"), "%s", map_shown);
    close_fixture(&f);
}
END_TEST

/* Sequences share the context; what was counted is what is allocated. */
START_TEST(sequences_share_what_was_planned)
{
    struct llama_context_params params = control_params(512, 1);
    struct gov_need_request request = gov_need_request_default();
    struct pressure pressure = {.set_hot = false};
    struct fixture f;
    struct gov_kv_usage usage;
    struct gov_plan plan;
    struct gov_need need;
    gov_error err;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 0);
    plan = plan_for(f.model, GOV_STRATEGY_MMAP, 1000, 512);
    plan.sequences = request.sequences = 4;
    request.context = 512;
    check_ok(gov_model_need(f.model, &request, &need, &err), &err);
    f.session = load(&f, &plan, 1);
    ck_assert_uint_eq(llama_n_seq_max(f.session->context), 4);
    ck_assert_uint_eq(llama_n_ctx(f.session->context), 512);
    ck_assert_uint_eq(llama_n_ctx_seq(f.session->context), 512);
    f.engine->kv_usage(f.session, &usage);
    ck_assert_uint_eq(usage.reserved_bytes, need.ram.kv);
    params.n_seq_max = 4;
    params.kv_unified = true;
    control_open(&f.control, in_directory("q4_0.gguf"), false, &params);
    press_begin(&pressure, &f);
    compare(&f, "Once upon a time", 40);
    press_end(&pressure);
    ck_assert_uint_gt(atomic_load(&f.session->kv.given_back_bytes), 0);
    close_fixture(&f);
}
END_TEST

static const struct {
    gov_kv_type ours;
    enum ggml_type theirs;
} kv_types[] = {
    {GOV_KV_UNSET, GGML_TYPE_F16}, {GOV_KV_F16, GGML_TYPE_F16},
    {GOV_KV_Q8_0, GGML_TYPE_Q8_0}, {GOV_KV_F32, GGML_TYPE_F32},
    {GOV_KV_BF16, GGML_TYPE_BF16}, {GOV_KV_Q4_0, GGML_TYPE_Q4_0},
    {GOV_KV_Q4_1, GGML_TYPE_Q4_1}, {GOV_KV_Q5_0, GGML_TYPE_Q5_0},
    {GOV_KV_Q5_1, GGML_TYPE_Q5_1}, {GOV_KV_IQ4_NL, GGML_TYPE_IQ4_NL},
};

/* Every type that can be planned is one that runs, and takes what is counted. */
START_TEST(every_type_of_cache_has_the_same_bits)
{
    struct fixture f;
    struct llama_context_params params = control_params(512, 1);
    struct gov_kv_usage usage;
    struct gov_plan plan;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 0);
    plan = plan_for(f.model, GOV_STRATEGY_MMAP, 1000, 512);
    plan.kv_type = kv_types[_i].ours;
    f.session = load(&f, &plan, 1);
    params.type_k = params.type_v = kv_types[_i].theirs;
    control_open(&f.control, in_directory("q4_0.gguf"), false, &params);
    compare(&f, "Once upon a time", 40);
    f.engine->kv_usage(f.session, &usage);
    if (plan.kv_type != GOV_KV_UNSET)
        ck_assert_uint_eq(usage.reserved_bytes,
                          512 * gov_model_kv_per_token(f.model, plan.kv_type));
    close_fixture(&f);
}
END_TEST

/* Whichever part is named. */
START_TEST(a_split_model_has_the_same_bits)
{
    const char *arguments[] = {"--quiet", "--preset", "tiny", "--type", "Q4_0",
                               "--split", "3",        NULL,   NULL};
    struct llama_context_params params = control_params(512, 1);
    char part[64];
    struct fixture f;
    struct gov_plan plan;

    arguments[7] = in_directory("split.gguf");
    ck_assert_int_eq(run_beside("mkmodel", arguments), 0);
    snprintf(part, sizeof(part), "split-%05d-of-00003.gguf", _i);
    open_fixture(&f, part, GOV_STRATEGY_MMAP, 0);
    plan = plan_for(f.model, GOV_STRATEGY_MMAP, 1000, 512);
    f.session = load(&f, &plan, 1);
    control_open(&f.control, in_directory("q4_0.gguf"), false, &params);
    compare(&f, "Once upon a time", 40);
    close_fixture(&f);
}
END_TEST

/* llama-quantize orders tensors by name: a layer of experts then lies in four
 * pieces, attention, two matrices of the experts, router and norm, the experts'
 * third. 64 layers of 1.1 MB, so that what stays of each adds up. */
static void make_deep(const char *file, const char *order)
{
    const char *const arguments[] = {
        "--quiet",     "--preset",         "tiny-qwen3moe",
        "--layers=64", in_directory(file), order,
        NULL};

    ck_assert_int_eq(run_beside("mkmodel", arguments), 0);
}

/* Streaming as the policy plans it for a budget. */
static struct gov_plan plan_within(const gov_model *model, uint64_t budget)
{
    static const char text[] = "version: 1\nrules:\n  - name: stream\n"
                               "    then: { strategy: hybrid }\n"
                               "    because: it is a test\n";
    struct gov_facts facts = {0};
    struct gov_plan plan;
    gov_policy *rules;
    gov_error err;

    check_ok(gov_policy_parse(&rules, text, strlen(text), "test", NULL, &err),
             &err);
    gov_model_facts(model, &facts);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, budget);
    gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, 256);
    check_ok(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err), &err);
    gov_policy_free(rules);
    return plan;
}

/* What a layer takes, however many units it lies in. */
static uint64_t layer_bytes(const gov_model *model, uint32_t layer,
                            uint32_t *pieces)
{
    const struct gov_unit *units;
    uint64_t bytes = 0;
    size_t count;

    units = gov_model_units(model, &count);
    for (size_t i = 0; i < count; i++)
        if ((units[i].kind == GOV_UNIT_LAYER ||
             units[i].kind == GOV_UNIT_EXPERTS) &&
            units[i].layer == layer) {
            bytes += units[i].bytes;
            ++*pieces;
        }
    return bytes;
}
/* What stays of the weights once the streamer has had some seconds to drop what is
 * behind the engine, and what faults have mapped around it: that goes when the
 * engine rests. Under a sanitizer the streamer is many times slower and the engine
 * is not. */
static void check_behind(struct fixture *f, uint64_t most)
{
    static const struct timespec breath = {0, 5000000};
    uint64_t bytes = UINT64_MAX;

    if (is_sanitized()) {
        skip_test("an_order_by_name_stays_within_its_budget",
                  "a sanitizer slows the streamer, not the engine");
        return;
    }
    for (int i = 0; i < 2000 && bytes > most; i++) {
        nanosleep(&breath, NULL);
        bytes = mapped_bytes_of("/sorted.gguf");
        /* A busy machine may have kept the streamer from a whole pass. */
        if (i % 600 == 599 && bytes > most)
            compare(f, "and once more", 1);
    }
    ck_assert_msg(bytes <= most, "%llu stay, at most %llu should",
                  (unsigned long long)bytes, (unsigned long long)most);
}

/* The control reads the same weights from a file in the usual order. */
START_TEST(an_order_by_name_stays_within_its_budget)
{
    const uint64_t budget = UINT64_C(46) << 20;
    struct llama_context_params params = control_params(256, 1);
    struct gov_weights_account account;
    struct gov_plan plan;
    struct fixture f;
    uint32_t pieces = 0;
    uint64_t layer, most;

    make_deep("usual.gguf", NULL);
    make_deep("sorted.gguf", "--sort-by-name");
    open_fixture(&f, "sorted.gguf", GOV_STRATEGY_HYBRID, 0);
    layer = layer_bytes(f.model, 1, &pieces);
    ck_assert_uint_eq(pieces, 4);
    plan = plan_within(f.model, budget);
    f.session = load(&f, &plan, 1);
    ck_assert(f.session->streaming);
    control_open(&f.control, in_directory("usual.gguf"), false, &params);
    compare(&f, "Once upon a time", 40);
    gov_weights_account(f.session->weights, false, &account);
    ck_assert_uint_ge(account.passes, 40);
    ck_assert_uint_le(account.hot_bytes + account.window_bytes,
                      budget - plan.footprint_bytes);
    /* The layer in use, those ahead, and as much as one for the embedding's rows
     * and the edges of 257 units. */
    most = account.hot_bytes + (plan.ahead + 2) * layer;
    ck_assert_uint_lt(most, budget - plan.footprint_bytes);
    check_behind(&f, most);
    /* A long prompt, too. */
    compare(&f, long_text(100), 1);
    check_behind(&f, most);
    close_fixture(&f);
}
END_TEST

/* Another file of that name is another model; so is one that grew. */
START_TEST(a_file_that_changed_is_not_loaded)
{
    const char *arguments[] = {"--quiet", "--preset", "tiny", "--type",
                               "Q4_0",    NULL,       NULL};
    const gov_strategy strategy =
        _i % 2 == 0 ? GOV_STRATEGY_MMAP : GOV_STRATEGY_HEAP;
    struct gov_load order = {.size = sizeof(order)};
    struct fixture f;
    struct gov_plan plan;
    gov_error err;

    arguments[5] = in_directory("changing.gguf");
    ck_assert_int_eq(run_beside("mkmodel", arguments), 0);
    open_fixture(&f, "changing.gguf", strategy, 0);
    plan = plan_for(f.model, strategy, 1000, 512);
    order.model = f.model;
    order.plan = &plan;
    if (_i < 2) {
        arguments[5] = in_directory("other.gguf");
        ck_assert_int_eq(run_beside("mkmodel", arguments), 0);
        ck_assert_int_eq(
            rename(in_directory("other.gguf"), in_directory("changing.gguf")),
            0);
    } else {
        FILE *file = fopen(in_directory("changing.gguf"), "ab");

        ck_assert_ptr_nonnull(file);
        fputc(0, file);
        fclose(file);
    }
    ck_assert_int_eq(f.engine->load(&f.session, &order, &err), GOV_E_IO);
    ck_assert_ptr_nonnull(strstr(err.message, "was replaced or written to"));
    ck_assert_ptr_null(f.session);
    close_fixture(&f);
}
END_TEST

/* ---- the KV cache -------------------------------------------------------------------- */

static uint64_t anonymous(void)
{
    struct gov_footprint now;
    gov_error err;

    check_ok(gov_footprint_now(&now, &err), &err);
    return now.anon_bytes;
}

/* A sum over the bytes of all cells that hold tokens. */
static uint64_t used_sum(const gov_session *session)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < session->kv.layers; i++) {
        const struct gov__kv_layer *layer = &session->kv.layer[i];
        const struct ggml_tensor *tensors[] = {layer->k, layer->v};

        for (int t = 0; t < 2; t++) {
            const unsigned char *bytes = tensors[t]->data;

            const size_t all = cells_of(session, i)->used * tensors[t]->nb[1];

            for (size_t n = 0; n < all; n++)
                sum = sum * 31 + bytes[n];
        }
    }
    return sum;
}

START_TEST(unused_cells_leave_memory)
{
    struct fixture f;
    struct gov_kv_usage usage;
    uint64_t before, sum;

    open_fixture(&f, "small.gguf", GOV_STRATEGY_MMAP, 4096);
    open_control(&f, 4096);
    f.engine->kv_usage(f.session, &usage);
    /* 8 layers, K and V, 256 halves a token: known before the first prompt. */
    ck_assert_uint_eq(usage.reserved_bytes, UINT64_C(8) * 2 * 512 * 4096);
    ck_assert_uint_eq(usage.held_bytes, usage.reserved_bytes);
    ck_assert_uint_eq(usage.used_bytes, 0);
    ck_assert_uint_eq(usage.context_tokens, 4096);
    before = anonymous();
    relieve(f.runtime, GOV_LEVEL_CRITICAL);
    ck_assert_uint_lt(anonymous() + usage.reserved_bytes / 100 * 97, before);
    calm(f.runtime);
    compare(&f, "Once upon a time", 100);
    f.engine->kv_usage(f.session, &usage);
    ck_assert_uint_gt(usage.used_tokens, 100);
    ck_assert_uint_eq(usage.used_bytes,
                      UINT64_C(8) * 2 * 512 * usage.used_tokens);
    ck_assert_uint_eq(usage.held_bytes, usage.used_bytes);
    /* All of it once more, as after a longer conversation. */
    back_all(f.session);
    fill_cells(f.session, true, 0x3c);
    sum = used_sum(f.session);
    before = anonymous();
    relieve(f.runtime, GOV_LEVEL_CRITICAL);
    ck_assert_uint_lt(anonymous() + usage.reserved_bytes / 100 * 93, before);
    ck_assert_uint_eq(used_sum(f.session), sum);
    calm(f.runtime);
    compare(&f, " and so", 20);
    f.engine->reset(f.session);
    f.engine->kv_usage(f.session, &usage);
    ck_assert_uint_eq(usage.used_tokens, 0);
    ck_assert_uint_eq(usage.used_bytes, 0);
    ck_assert_uint_gt(atomic_load(&f.session->kv.unused_bytes), 0);
    relieve(f.runtime, GOV_LEVEL_CRITICAL);
    f.engine->kv_usage(f.session, &usage);
    ck_assert_uint_eq(usage.held_bytes, 0);
    close_fixture(&f);
}
END_TEST

static const char *const prompts[] = {"Once upon a time", "The little robot",
                                      "Once upon a time there was a dog",
                                      "In the garden"};

/* Turns, resets, full contexts and pressure in any order: first prompts come
 * again and are put back from the cache when pressure has not emptied it. */
START_TEST(any_order_gives_the_same_bits)
{
    struct fixture f;
    struct gov_cache_usage cache;
    struct gov_generated out = {0};
    unsigned int seed = 12345u + (unsigned int)_i;
    uint32_t full = 0;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_HYBRID, 256);
    open_control(&f, 256);
    for (int n = 0; n < 60; n++) {
        uint32_t dice = (seed = seed * 1103515245 + 12345) >> 16;
        uint64_t sum;

        switch (dice % 8) {
        case 0:
            reset(&f);
            break;
        case 1:
        case 2:
            sum = used_sum(f.session);
            relieve(f.runtime,
                    dice % 3 == 0 ? GOV_LEVEL_CRITICAL : GOV_LEVEL_WARN);
            if (dice % 5 != 0) {
                calm(f.runtime);
                grow_again(&f);
            }
            ck_assert_uint_eq(used_sum(f.session), sum);
            break;
        default:
            if (256 - f.session->past < 40)
                reset(&f);
            out = compare(&f, prompts[dice / 8 % 4], dice / 32 % 64);
            if (dice / 2048 % 4 == 0 && 256 - f.session->past >= 40)
                out = compare(&f, prompts[0], 1000);
            full += out.context_full ? 1 : 0;
            if (out.context_full)
                reset(&f);
        }
        ck_assert_uint_eq(f.session->past, f.control.past);
    }
    gov_cache_usage(f.session->prompts, &cache);
    ck_assert_uint_gt(cache.hits, 0);
    ck_assert_uint_gt(full, 0);
    ck_assert_uint_gt(atomic_load(&f.session->kv.given_back_bytes), 0);
    close_fixture(&f);
}
END_TEST

/* ---- prompts that come again ------------------------------------------------------------ */

START_TEST(a_prompt_comes_back_whole)
{
    struct fixture f;
    struct gov_cache_usage cache;
    uint64_t given, sum;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 2048);
    open_control(&f, 2048);
    compare(&f, long_text(340), 10);
    reset(&f);
    relieve(f.runtime, GOV_LEVEL_WARN); /* WARN keeps half of the cache */
    given = atomic_load(&f.session->kv.given_back_bytes);
    ck_assert_uint_gt(given, 0);
    calm(f.runtime);
    compare(&f, long_text(340), 50);
    gov_cache_usage(f.session->prompts, &cache);
    if (cache.lost > 0) {
        skip_test("a_prompt_comes_back_whole", "the kernel took the prompt");
        return;
    }
    ck_assert_uint_eq(cache.hits, 2); /* asked for its size, then for it */
    /* Where it was put is known, and was compared. */
    ck_assert_uint_eq(f.session->kv.cache[0].used, f.session->past);
    ck_assert_uint_eq(f.session->kv.cache[0].unsure_count, 0);
    ck_assert_uint_eq(f.session->kv.disagreed, 0);
    sum = used_sum(f.session);
    back_all(f.session);
    fill_cells(f.session, true, 0x3c);
    relieve(f.runtime, GOV_LEVEL_CRITICAL);
    ck_assert_uint_gt(atomic_load(&f.session->kv.given_back_bytes), given);
    given = atomic_load(&f.session->kv.given_back_bytes);
    ck_assert_uint_eq(used_sum(f.session), sum);
    calm(f.runtime);
    compare(&f, " and then", 20);
    reset(&f);
    relieve(f.runtime, GOV_LEVEL_CRITICAL);
    ck_assert_uint_gt(atomic_load(&f.session->kv.given_back_bytes), given);
    close_fixture(&f);
}
END_TEST

/* The cells of all layers that hold tokens, one after another. */
static size_t copy_cells(const gov_session *session, unsigned char *out,
                         size_t room)
{
    size_t at = 0;

    for (uint32_t i = 0; i < session->kv.layers; i++) {
        const struct gov__kv_layer *layer = &session->kv.layer[i];
        const struct ggml_tensor *tensors[] = {layer->k, layer->v};

        for (int t = 0; t < 2; t++) {
            size_t bytes = cells_of(session, i)->used * tensors[t]->nb[1];

            ck_assert_uint_le(at + bytes, room);
            memcpy(out + at, tensors[t]->data, bytes);
            at += bytes;
        }
    }
    return at;
}

/* The state must not be taken away while it is being put back. */
START_TEST(a_prompt_comes_back_under_pressure)
{
    static unsigned char want[4 << 20], got[4 << 20];
    struct fixture f;
    struct pressure pressure = {.warn_only = true};
    struct turn turn = {.f = &f};
    struct gov_generated out;
    struct gov_cache_usage cache;
    size_t bytes;
    gov_error err;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 2048);
    check_ok(generate(&turn, long_text(340), 0, &out, &err), &err);
    bytes = copy_cells(f.session, want, sizeof(want));
    press_begin(&pressure, &f);
    for (int n = 0; n < 300; n++) {
        f.engine->reset(f.session);
        check_ok(generate(&turn, long_text(340), 0, &out, &err), &err);
        ck_assert_uint_eq(copy_cells(f.session, got, sizeof(got)), bytes);
        ck_assert_msg(memcmp(want, got, bytes) == 0,
                      "restored state %d differs", n);
    }
    press_end(&pressure);
    gov_cache_usage(f.session->prompts, &cache);
    ck_assert_uint_gt(cache.hits, 0);
    close_fixture(&f);
}
END_TEST

static uint64_t key_of(const struct control *c, const char *prompt)
{
    static llama_token tokens[1024];
    size_t bytes = (size_t)control_tokens(c, prompt, true, tokens, 1024) *
                   sizeof(tokens[0]);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((unsigned char *)tokens)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

enum forgery { OTHER_PROMPT, CUT, TINY, EMPTY, NOISE, FORGERIES };

/* What lies under a prompt's key is another prompt's state, or none. */
START_TEST(a_wrong_state_is_never_put_back)
{
    static const char *const pair[] = {"q 1 2 3", "q 3 2 1"};
    static unsigned char block[1 << 20];
    struct fixture f;
    size_t bytes = 0;
    uint32_t count;
    uint64_t key;
    gov_error err;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 512);
    open_control(&f, 512);
    count = compare(&f, pair[0], 5).prompt_tokens;
    reset(&f);
    ck_assert_uint_eq(compare(&f, pair[1], 5).prompt_tokens, count);
    reset(&f);
    key = key_of(&f.control, pair[1]);
    ck_assert(
        gov_cache_get(f.session->prompts,
                      _i == OTHER_PROMPT ? key_of(&f.control, pair[0]) : key,
                      block, sizeof(block), &bytes));
    ck_assert_uint_lt(bytes, sizeof(block));
    if (_i == CUT)
        bytes -= 1000;
    if (_i == TINY) /* the tokens and nothing more */
        bytes = sizeof(count) + count * sizeof(llama_token) + 8;
    if (_i == EMPTY)
        bytes = 0;
    if (_i == NOISE) /* right tokens, right length, no state */
        memset(block + bytes / 2, 0xee, bytes - bytes / 2);
    if (_i == NOISE)
        memset(block + bytes - 12000, 0xee, 2000);
    check_ok(gov_cache_put(f.session->prompts, key, block, bytes, &err), &err);
    if (_i == NOISE) { /* must not crash; what it says is its own affair */
        struct turn turn = {.f = &f};
        struct gov_generated out;

        (void)generate(&turn, pair[1], 5, &out, &err);
    } else {
        compare(&f, pair[1], 20);
        ck_assert(!f.session->kv.cache[0].unknown);
    }
    close_fixture(&f);
}
END_TEST

START_TEST(nothing_is_kept_when_memory_is_short)
{
    struct fixture f;
    struct gov_cache_usage cache;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 512);
    open_control(&f, 512);
    relieve(f.runtime, GOV_LEVEL_WARN);
    compare(&f, prompts[0], 5);
    gov_cache_usage(f.session->prompts, &cache);
    ck_assert_uint_eq(cache.count, 0);
    calm(f.runtime);
    reset(&f);
    compare(&f, prompts[0], 5);
    gov_cache_usage(f.session->prompts, &cache);
    ck_assert_uint_eq(cache.count, 1);
    close_fixture(&f);
}
END_TEST

/* ---- stopping ------------------------------------------------------------------------------- */

/* Takes the control to where a stopped turn left the session: as many of the
 * turn's tokens as are in the conversation, or none of them. */
static void follow(struct fixture *f, const char *prompt)
{
    uint32_t before = f->control.past, kept = f->session->past;
    llama_token token;

    if (kept == before)
        return;
    control_read(&f->control, prompt, before == 0);
    while (f->control.past < kept) {
        token = control_choose(&f->control);
        control_decode(&f->control, &token, 1);
    }
    ck_assert_uint_eq(f->control.past, kept);
}

/* Stops at any question: in the first batch of a prompt or in its second, in a
 * token, or between two. */
START_TEST(a_stopped_part_never_happened)
{
    static const int per_mille[] = {1,    30,   300,  520,  700,  900,
                                    1000, 1010, 1200, 1500, 2000, 3000};
    struct fixture f;
    struct turn whole = {.f = &f};
    struct gov_generated out;
    gov_error err;

    open_fixture(&f, "q4_0.gguf",
                 _i == 0 ? GOV_STRATEGY_MMAP : GOV_STRATEGY_HYBRID, 4096);
    open_control(&f, 4096);
    check_ok(generate(&whole, long_text(341), 0, &out, &err), &err);
    ck_assert_int_gt(whole.questions, 100);
    for (int n = 0; n < COUNT(per_mille); n++) {
        struct turn turn = {.f = &f};
        const char *text = long_text(340 - n); /* not one that is kept */

        turn.stop_at = whole.questions * per_mille[n] / 1000 + 1;
        if (n % 3 == 0)
            reset(&f);
        if (n % 6 != 0)
            compare(&f, prompts[n % 4], 3);
        ck_assert_int_eq(generate(&turn, text, 1000, &out, &err),
                         GOV_E_CANCELLED);
        ck_assert_str_eq(err.message, "generation was stopped");
        ck_assert_int_eq(turn.questions, turn.stop_at);
        ck_assert_uint_eq(out.tokens, turn.tokens);
        if (per_mille[n] < 1000)
            ck_assert_uint_eq(f.session->past, f.control.past);
        follow(&f, text);
        relieve(f.runtime, GOV_LEVEL_WARN);
        calm(f.runtime);
        compare(&f, " and", 10);
    }
    close_fixture(&f);
}
END_TEST

START_TEST(the_receiver_can_stop)
{
    struct fixture f;
    struct gov_generated out;
    gov_error err;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 512);
    open_control(&f, 512);
    for (uint32_t n = 1; n < 6; n++) {
        struct turn turn = {.f = &f, .refuse = n};
        uint32_t before = f.session->past;

        ck_assert_int_eq(generate(&turn, " so", 100, &out, &err),
                         GOV_E_CANCELLED);
        ck_assert_uint_eq(out.tokens, n);
        /* The token that was refused is not part of the conversation. */
        ck_assert_uint_eq(f.session->past, before + out.prompt_tokens + n - 1);
        follow(&f, " so");
        compare(&f, " it", 5);
    }
    close_fixture(&f);
}
END_TEST

/* ---- errors ----------------------------------------------------------------------------------- */

START_TEST(prompts_that_cannot_be_read)
{
    struct fixture f;
    struct turn turn = {.f = &f};
    struct gov_generated out;
    size_t count;
    gov_error err;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 256);
    open_control(&f, 256);
    ck_assert_ptr_null(f.engine->logits(f.session, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(generate(&turn, long_text(340), 5, &out, &err),
                     GOV_E_INVALID);
    ck_assert_ptr_nonnull(
        strstr(err.message, "the context has room for 255; "));
    compare(&f, prompts[0], 5);
    ck_assert_int_eq(generate(&turn, "", 5, &out, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "the prompt has no tokens; give some text");
    ck_assert_int_eq(generate(&turn, long_text(340), 5, &out, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(generate(&turn, NULL, 5, &out, &err), GOV_E_INVALID);
    compare(&f, "\xff\xfe\x80 \xc3( \xed\xa0\x80 \xf4\x90\x80\x80 abc \xe2\x82",
            20);
    ck_assert_uint_eq(compare(&f, " x", 0).tokens, 0);
    close_fixture(&f);
}
END_TEST

/* An empty first prompt is its begin token alone. */
START_TEST(an_empty_first_prompt_begins)
{
    struct fixture f;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 256);
    open_control(&f, 256);
    ck_assert_uint_eq(compare(&f, "", 20).prompt_tokens, 1);
    reset(&f);
    compare(&f, "", 20);
    close_fixture(&f);
}
END_TEST

/* A prompt that fills the context to the last cell leaves no room for a token;
 * one less leaves room for one. */
START_TEST(the_last_cell_is_for_a_token)
{
    static llama_token tokens[512];
    struct fixture f;
    struct turn turn = {.f = &f};
    struct gov_generated out;
    char text[2048] = "";
    size_t bytes = 0;
    gov_error err;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 256);
    open_control(&f, 256);
    while (control_tokens(&f.control, text, true, tokens, 512) < 256)
        text[bytes] = bytes % 2 == 0 ? 'z' : 'q', bytes++;
    ck_assert_int_eq(control_tokens(&f.control, text, true, tokens, 512), 256);
    ck_assert_int_eq(generate(&turn, text, 5, &out, &err), GOV_E_INVALID);
    text[bytes - 1] = '\0';
    ck_assert_int_eq(control_tokens(&f.control, text, true, tokens, 512), 255);
    out = compare(&f, text, 5);
    ck_assert(out.context_full);
    ck_assert_uint_eq(out.tokens, 2); /* the second has no cell any more */
    close_fixture(&f);
}
END_TEST

START_TEST(a_full_context_says_so)
{
    struct fixture f;
    struct turn turn = {.f = &f};
    struct gov_generated out;
    gov_error err;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 256);
    open_control(&f, 256);
    out = compare(&f, prompts[0], 100000);
    ck_assert(out.context_full);
    ck_assert_uint_eq(f.session->past, 256);
    ck_assert_int_eq(generate(&turn, " x", 1, &out, &err), GOV_E_INVALID);
    ck_assert_ptr_nonnull(strstr(err.message, "the context has room for 0; "));
    reset(&f);
    compare(&f, prompts[0], 30);
    close_fixture(&f);
}
END_TEST

static const struct {
    gov_strategy strategy;
    uint32_t context, threads;
    size_t load_bytes;
    const char *message;
    uint32_t sequences;
} bad_loads[] = {
    {GOV_STRATEGY_UNSET, 256, 1, 0,
     "load: needs a model and a plan that loads it, of this version", 1},
    {GOV_STRATEGY_REFUSE, 256, 1, 0,
     "load: needs a model and a plan that loads it, of this version", 1},
    {(gov_strategy)77, 256, 1, 0,
     "load: needs a model and a plan that loads it, of this version", 1},
    {GOV_STRATEGY_MMAP, 256, 1, 8,
     "load: needs a model and a plan that loads it, of this version", 1},
    {GOV_STRATEGY_MMAP, 0, 1, 0,
     "load: a context of 0 tokens is none that llama.cpp can make", 1},
    {GOV_STRATEGY_MMAP, UINT32_MAX, 1, 0,
     "load: a context of 4294967295 tokens is none that llama.cpp can make", 1},
    {GOV_STRATEGY_MMAP, 256, 513, 0,
     "load: 513 threads are more than the 512 that llama.cpp can use", 1},
    {GOV_STRATEGY_MMAP, 256, UINT32_MAX, 0,
     "load: 4294967295 threads are more than the 512 that llama.cpp can use",
     1},
    {GOV_STRATEGY_MMAP, 256, 1, 0,
     "load: 257 sequences are more than llama.cpp can keep apart, or none",
     257},
};

/* A plan for an engine that has a GPU runs on one that has none. */
START_TEST(layers_for_a_gpu_that_there_is_not)
{
    struct fixture f;
    struct gov_facts facts = {0};
    struct gov_plan plan;

    if (llama_supports_gpu_offload()) {
        skip_test("layers_for_a_gpu_that_there_is_not",
                  "this llama.cpp has a driver for a GPU");
        return;
    }
    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 0);
    f.engine->facts(&facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_ENGINE_GPU, 1), 0);
    plan = plan_for(f.model, GOV_STRATEGY_MMAP, 1000, 512);
    plan.gpu_layers = _i == 0 ? 2 : UINT32_MAX;
    f.session = load(&f, &plan, 1);
    ck_assert_msg(
        strstr(f.engine->describe(f.session),
               _i == 0 ? "MB of weights are mapped and all may stay; this "
                         "llama.cpp has no GPU, so the 2 layers planned there "
                         "are in memory, too"
                       : "so the 5 layers planned there are in memory, too"),
        "%s", f.engine->describe(f.session));
    open_control(&f, 512);
    compare(&f, "Once upon a time", 10);
    close_fixture(&f);
}
END_TEST

START_TEST(plans_out_of_range_are_refused)
{
    struct fixture f;
    struct gov_plan plan;
    struct gov_load request = {.size = sizeof(request)};
    gov_error err;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 0);
    plan =
        plan_for(f.model, bad_loads[_i].strategy, 1000, bad_loads[_i].context);
    plan.sequences = bad_loads[_i].sequences;
    request.model = f.model;
    request.plan = &plan;
    request.threads = bad_loads[_i].threads;
    if (bad_loads[_i].load_bytes != 0)
        request.size = bad_loads[_i].load_bytes;
    f.session = (gov_session *)&plan;
    ck_assert_int_eq(f.engine->load(&f.session, &request, &err), GOV_E_INVALID);
    ck_assert_ptr_null(f.session);
    ck_assert_str_eq(err.message, bad_loads[_i].message);
    close_fixture(&f);
}
END_TEST

/* Our reader takes any architecture; llama.cpp does not. */
static void make_stranger(const char *name)
{
    static char bytes[4 << 20];
    FILE *from = fopen(in_directory("q4_0.gguf"), "rb");
    FILE *to = fopen(in_directory(name), "wb");
    size_t count = fread(bytes, 1, sizeof(bytes), from);
    char *key = memmem(bytes, count, "general.architecture", 20);

    ck_assert_ptr_nonnull(key);
    ck_assert_int_eq(memcmp(key + 20 + 4 + 8, "llama", 5), 0);
    key[20 + 4 + 8] = 'q';
    ck_assert_uint_eq(fwrite(bytes, 1, count, to), count);
    fclose(from);
    fclose(to);
}

static int host_lines;

static void host_log(enum ggml_log_level level, const char *text, void *data)
{
    (void)level;
    (void)text;
    (void)data;
    host_lines++;
}

static bool never(void *ctx, uint32_t permille, const char *what)
{
    uint32_t *calls = ctx;

    ck_assert_uint_le(permille, 1000);
    ck_assert_str_eq(what, "loading the model");
    ++*calls;
    return false;
}

START_TEST(loads_that_fail_leave_nothing)
{
    struct fixture f;
    struct gov_plan plan;
    struct gov_load request = {.size = sizeof(request), .threads = 1};
    uint32_t calls = 0;
    ggml_log_callback callback;
    void *data;
    gov_error err;

    make_stranger("stranger.gguf");
    open_fixture(&f, "stranger.gguf", GOV_STRATEGY_MMAP, 0);
    llama_log_set(host_log, &host_lines);
    plan = plan_for(f.model, GOV_STRATEGY_MMAP, 1000, 256);
    request.model = f.model;
    request.plan = &plan;
    request.runtime = f.runtime;
    ck_assert_int_eq(f.engine->load(&f.session, &request, &err), GOV_E_ENGINE);
    ck_assert_ptr_nonnull(
        strstr(err.message, "unknown model architecture: 'qlama'"));
    ck_assert_ptr_null(f.session);
    gov_model_close(f.model);
    check_ok(gov_model_open(&f.model, in_directory("q4_0.gguf"), NULL, &err),
             &err);
    request.model = f.model;
    request.progress = never;
    request.progress_ctx = &calls;
    ck_assert_int_eq(f.engine->load(&f.session, &request, &err),
                     GOV_E_CANCELLED);
    ck_assert_str_eq(err.message, "loading was stopped");
    ck_assert_uint_eq(calls, 1);
    ck_assert_ptr_null(f.session);
    llama_log_get(&callback, &data);
    ck_assert(callback == host_log && data == &host_lines);
    ck_assert_int_eq(host_lines, 0);
    close_fixture(&f);
}
END_TEST

/* ---- life ------------------------------------------------------------------------------------- */

START_TEST(the_hosts_log_is_put_back)
{
    struct fixture f, g;
    ggml_log_callback callback;
    void *data;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 0);
    llama_log_set(host_log, &host_lines);
    close_fixture(&f);
    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 256);
    open_fixture(&g, "f16.gguf", GOV_STRATEGY_MMAP, 256);
    close_fixture(&f);
    llama_log_get(&callback, &data);
    ck_assert(callback != host_log);
    close_fixture(&g);
    llama_log_get(&callback, &data);
    ck_assert(callback == host_log && data == &host_lines);
    /* What the host sets meanwhile is the host's. */
    llama_log_set(control_silent, NULL);
    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 256);
    llama_log_set(host_log, &host_lines);
    close_fixture(&f);
    llama_log_get(&callback, &data);
    ck_assert(callback == host_log && data == &host_lines);
    llama_log_set(control_silent, NULL);
}
END_TEST

START_TEST(a_file_is_governed_once)
{
    struct fixture f;
    struct gov_plan plan;
    gov_session *second;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_HYBRID, 256);
    ck_assert_ptr_nonnull(strstr(f.engine->describe(f.session), "hybrid: "));
    plan = plan_for(f.model, GOV_STRATEGY_HYBRID, 500, 256);
    second = load(&f, &plan, 1);
    ck_assert_ptr_nonnull(
        strstr(f.engine->describe(second), "mmap, not governed: "));
    ck_assert_int_eq(second->strategy, GOV_STRATEGY_MMAP);
    f.engine->unload(second);
    open_control(&f, 256);
    compare(&f, prompts[0], 30);
    close_fixture(&f);
}
END_TEST

static void *converse(void *arg)
{
    struct fixture *f = arg;

    for (int n = 0; n < 4; n++) {
        compare(f, prompts[n], 40);
        reset(f);
    }
    return NULL;
}

/* Two sessions at once, under one runtime or two, and pressure on both. */
START_TEST(two_sessions_do_not_meet)
{
    struct fixture f, g;
    struct pressure pressure = {.set_hot = true};
    pthread_t other;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_HYBRID, 512);
    open_fixture(&g, "f16.gguf", GOV_STRATEGY_HYBRID, 0);
    if (_i == 0) {
        gov_close(g.runtime);
        g.runtime = f.runtime;
    }
    g.session = load(&g,
                     &(struct gov_plan){.strategy = GOV_STRATEGY_HYBRID,
                                        .kv_type = GOV_KV_F16,
                                        .context = 512,
                                        .ahead = 2},
                     1);
    open_control(&f, 512);
    open_control(&g, 512);
    press_begin(&pressure, &f);
    ck_assert_int_eq(pthread_create(&other, NULL, converse, &g), 0);
    converse(&f);
    pthread_join(other, NULL);
    press_end(&pressure);
    if (_i == 0)
        g.runtime = NULL;
    close_fixture(&g);
    close_fixture(&f);
}
END_TEST

START_TEST(unloading_under_pressure)
{
    struct fixture f;
    struct pressure pressure = {.f = NULL};
    struct gov_plan plan;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_HYBRID, 0);
    plan = plan_for(f.model, GOV_STRATEGY_HYBRID, 300, 512);
    press_begin(&pressure, &f);
    gov_relief_remove(f.runtime, pressure.poison_id); /* it has no session */
    for (int n = 0; n < 25; n++) {
        gov_session *session = load(&f, &plan, 1);
        struct fixture g = f;
        struct turn turn = {.f = &g};
        struct gov_generated out;
        gov_error err;

        g.session = session;
        check_ok(generate(&turn, prompts[n % 4], (uint32_t)n % 5, &out, &err),
                 &err);
        f.engine->unload(session);
    }
    press_end(&pressure);
    close_fixture(&f);
}
END_TEST

START_TEST(it_works_ungoverned)
{
    struct fixture f;
    struct gov_plan plan;

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 0);
    gov_close(f.runtime);
    f.runtime = NULL;
    plan = plan_for(f.model, GOV_STRATEGY_HYBRID, 0, 256);
    f.session = load(&f, &plan, 0);
    f.engine->unload(f.session);
    f.session = load(&f, &plan, 1);
    open_control(&f, 256);
    compare(&f, prompts[0], 20);
    reset(&f);
    compare(&f, prompts[0], 20);
    f.engine->unload(NULL);
    close_fixture(&f);
}
END_TEST

struct holdings {
    long descriptors, mappings;
    uint64_t anonymous;
};

static long lines_of(const char *path)
{
    FILE *file = fopen(path, "r");
    long lines = 0;
    int c;

    while ((c = fgetc(file)) != EOF)
        lines += c == '\n' ? 1 : 0;
    fclose(file);
    return lines;
}

static struct holdings holdings_now(void)
{
    struct holdings now = {0, lines_of("/proc/self/maps"), anonymous()};

    for (int fd = 0; fd < 1024; fd++)
        now.descriptors += dup2(fd, fd) == fd ? 1 : 0;
    return now;
}

START_TEST(fifty_loads_leave_nothing_behind)
{
    static const gov_strategy strategies[] = {
        GOV_STRATEGY_MMAP, GOV_STRATEGY_HYBRID, GOV_STRATEGY_HEAP};
    struct fixture f;
    struct holdings warm = {0}, now;
    uint64_t heap = gov_heap_bytes(NULL);

    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 0);
    for (int n = 0; n < 70; n++) {
        struct gov_plan plan = plan_for(f.model, strategies[n % 3], 500, 1024);
        struct turn turn = {.f = &f};
        struct gov_generated out;
        gov_error err;

        f.session = load(&f, &plan, 1);
        check_ok(generate(&turn, prompts[n % 4], 3, &out, &err), &err);
        f.engine->reset(f.session);
        check_ok(generate(&turn, prompts[n % 4], 3, &out, &err), &err);
        f.engine->unload(f.session);
        f.session = NULL;
        /* What the C library keeps of its threads' arenas is no leak. */
        if (n == 19) {
            gov_heap_purge();
            warm = holdings_now();
        }
    }
    gov_heap_purge();
    now = holdings_now();
    ck_assert_int_eq(now.descriptors, warm.descriptors);
    ck_assert_int_le(now.mappings, warm.mappings + 4);
    if (is_sanitized())
        skip_test("fifty_loads_leave_nothing_behind",
                  "a sanitizer keeps freed memory");
    else
        ck_assert_uint_le(now.anonymous, warm.anonymous + (3 << 20));
    ck_assert_uint_eq(gov_heap_bytes(NULL), heap);
    close_fixture(&f);
}
END_TEST

static struct gov_page page;

static const struct gov_page *own_page(void)
{
    static struct gov_page pages[64];
    size_t count;
    gov_error err;

    check_ok(gov_page_list(pages, 64, &count, NULL, &err), &err);
    for (size_t i = 0; i < count && i < 64; i++)
        if (pages[i].pid == getpid())
            page = pages[i];
    return &page;
}

/* This program is not linked with the interposed calls: on Linux llama.cpp has read
 * the whole file by the time that load() returns, and touched the whole cache. */
START_TEST(what_was_taken_first_is_said)
{
    static const gov_strategy held[] = {GOV_STRATEGY_MMAP, GOV_STRATEGY_HYBRID,
                                        GOV_STRATEGY_HEAP};
    struct utsname system;
    struct fixture f;
    const char *said;
    char want[160];

    ck_assert_int_eq(uname(&system), 0);
    open_fixture(&f, "small.gguf", held[_i], 256);
    snprintf(want, sizeof(want),
             "; llama.cpp %stook memory for the whole context, since this "
             "program is not linked with libgovernor-llama-interpose",
             held[_i] == GOV_STRATEGY_HEAP ? "" : "read all of it first and ");
    said = strstr(f.engine->describe(f.session), want);
    ck_assert_int_eq(said != NULL, strcmp(system.sysname, "Linux") == 0);
    close_fixture(&f);
}
END_TEST

START_TEST(what_runs_is_published)
{
    struct fixture f;
    struct gov_options options = gov_options_default();
    struct gov_plan plan;
    gov_session *second;
    struct turn turn = {.f = &f};
    struct gov_generated out;
    gov_error err;

    setenv("XDG_RUNTIME_DIR", models_directory, 1);
    open_fixture(&f, "q4_0.gguf", GOV_STRATEGY_MMAP, 0);
    gov_close(f.runtime);
    options.no_thread = true;
    check_ok(gov_open(&f.runtime, &options, &err), &err);
    plan = plan_for(f.model, GOV_STRATEGY_HYBRID, 500, 512);
    f.session = load(&f, &plan, 1);
    check_ok(generate(&turn, prompts[0], 10, &out, &err), &err);
    gov_step(f.runtime);
    ck_assert_str_eq(own_page()->text_STRATEGY, "hybrid");
    ck_assert_str_eq(page.text_MODEL, "mkmodel");
    ck_assert_int_eq(strncmp(page.text_ENGINE, "llama.cpp ", 10), 0);
    ck_assert_uint_eq(page.counter[GOV_PAGE_TOKENS], 10);
    ck_assert_uint_eq(page.counter[GOV_PAGE_CONTEXT], 512);
    ck_assert_uint_eq(page.counter[GOV_PAGE_CONTEXT_USED],
                      out.prompt_tokens + 10);
    /* 4 layers, K and V, 128 halves a token. */
    ck_assert_uint_eq(page.counter[GOV_PAGE_KV_RESERVED], 4 * 2 * 256 * 512);
    ck_assert_uint_eq(page.counter[GOV_PAGE_KV_USED],
                      4 * 2 * 256 * (out.prompt_tokens + 10));
    ck_assert_uint_gt(page.counter[GOV_PAGE_WEIGHTS_COLD], 0);
    ck_assert_uint_gt(page.counter[GOV_PAGE_WEIGHTS_MAPPED], 1000000);
    ck_assert_uint_eq(page.counter[GOV_PAGE_REQUESTS], 1);
    ck_assert_uint_eq(page.counter[GOV_PAGE_CONVERSATIONS], 1);
    ck_assert_uint_eq(page.counter[GOV_PAGE_CONVERSATIONS_STORED], 0);
    ck_assert_uint_eq(page.have >> GOV_PAGE_WEIGHTS_WAIT_US & 1, 1);
    ck_assert_uint_ge(page.counter[GOV_PAGE_WEIGHTS_WAIT_US],
                      page.counter[GOV_PAGE_PASS_WEIGHTS_US]);
    f.engine->reset(f.session);
    gov_step(f.runtime);
    ck_assert_uint_eq(own_page()->counter[GOV_PAGE_KV_USED], 0);
    ck_assert_uint_eq(page.counter[GOV_PAGE_CONTEXT_USED], 0);
    ck_assert_uint_eq(page.counter[GOV_PAGE_TOKENS], 10);
    second = load(&f, &plan, 1); /* cannot be governed: it is mapped twice */
    gov_step(f.runtime);
    ck_assert_str_eq(own_page()->text_STRATEGY, "mmap");
    ck_assert_str_eq(page.text_MODEL, "1 of 2: mkmodel");
    ck_assert_uint_eq(page.counter[GOV_PAGE_KV_RESERVED],
                      2 * 4 * 2 * 256 * 512);
    ck_assert_uint_eq(page.counter[GOV_PAGE_CONTEXT], 1024);
    ck_assert_uint_eq(page.counter[GOV_PAGE_TOKENS], 10);
    f.engine->unload(second);
    gov_step(f.runtime);
    ck_assert_str_eq(own_page()->text_STRATEGY, "hybrid");
    ck_assert_str_eq(page.text_MODEL, "mkmodel");
    ck_assert_uint_eq(page.counter[GOV_PAGE_KV_RESERVED], 4 * 2 * 256 * 512);
    ck_assert_uint_gt(page.counter[GOV_PAGE_WEIGHTS_MAPPED], 1000000);
    f.engine->unload(f.session);
    f.session = NULL;
    gov_step(f.runtime);
    ck_assert_str_eq(own_page()->text_STRATEGY, "");
    ck_assert_str_eq(page.text_MODEL, "");
    ck_assert_uint_eq(page.counter[GOV_PAGE_WEIGHTS_MAPPED], 0);
    ck_assert_uint_eq(page.counter[GOV_PAGE_KV_RESERVED], 0);
    close_fixture(&f);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama");
    TCase *bits = tcase_create("bits"), *kv = tcase_create("kv");
    TCase *turns = tcase_create("turns"), *life = tcase_create("life");

    tcase_add_loop_test(bits, logits_have_the_same_bits, 0, COUNT(ways));
    tcase_add_loop_test(bits, other_architectures_have_the_same_bits, 0,
                        COUNT(others));
    tcase_add_loop_test(bits, every_way_to_hold_has_the_same_bits, 0,
                        COUNT(holds));
    tcase_add_test(bits, a_plan_is_carried_out);
    tcase_add_test(bits, sequences_share_what_was_planned);
    tcase_add_loop_test(bits, every_type_of_cache_has_the_same_bits, 0,
                        COUNT(kv_types));
    tcase_add_loop_test(bits, a_split_model_has_the_same_bits, 1, 4);
    tcase_add_test(bits, an_order_by_name_stays_within_its_budget);
    tcase_add_loop_test(bits, a_file_that_changed_is_not_loaded, 0, 3);
    tcase_add_unchecked_fixture(bits, make_models, NULL);
    tcase_set_timeout(bits, 30);
    suite_add_tcase(s, bits);
    tcase_add_test(kv, unused_cells_leave_memory);
    tcase_add_loop_test(kv, any_order_gives_the_same_bits, 0, 3);
    tcase_add_unchecked_fixture(kv, make_models, NULL);
    tcase_set_timeout(kv, 30);
    suite_add_tcase(s, kv);
    tcase_add_test(turns, a_prompt_comes_back_whole);
    tcase_add_test(turns, a_prompt_comes_back_under_pressure);
    tcase_add_loop_test(turns, a_wrong_state_is_never_put_back, 0, FORGERIES);
    tcase_add_test(turns, nothing_is_kept_when_memory_is_short);
    tcase_add_loop_test(turns, a_stopped_part_never_happened, 0, 2);
    tcase_add_test(turns, the_receiver_can_stop);
    tcase_add_test(turns, prompts_that_cannot_be_read);
    tcase_add_test(turns, an_empty_first_prompt_begins);
    tcase_add_test(turns, the_last_cell_is_for_a_token);
    tcase_add_test(turns, a_full_context_says_so);
    tcase_add_unchecked_fixture(turns, make_models, NULL);
    tcase_set_timeout(turns, 30);
    suite_add_tcase(s, turns);
    tcase_add_loop_test(life, plans_out_of_range_are_refused, 0,
                        COUNT(bad_loads));
    tcase_add_loop_test(life, layers_for_a_gpu_that_there_is_not, 0, 2);
    tcase_add_test(life, loads_that_fail_leave_nothing);
    tcase_add_test(life, the_hosts_log_is_put_back);
    tcase_add_test(life, a_file_is_governed_once);
    tcase_add_loop_test(life, two_sessions_do_not_meet, 0, 2);
    tcase_add_test(life, unloading_under_pressure);
    tcase_add_test(life, it_works_ungoverned);
    tcase_add_test(life, fifty_loads_leave_nothing_behind);
    tcase_add_loop_test(life, what_was_taken_first_is_said, 0, 3);
    tcase_add_test(life, what_runs_is_published);
    tcase_add_unchecked_fixture(life, make_models, NULL);
    tcase_set_timeout(life, 30);
    suite_add_tcase(s, life);
    return s;
}
