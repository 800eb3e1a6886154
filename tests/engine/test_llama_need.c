/* SPDX-License-Identifier: MIT */
/* What a model needs, three times: gov_model_need()'s arithmetic, the adapter's
 * dry run, and a real load of llama.cpp. Weights, KV and state must be equal to
 * the byte, compute buffers within 10 %; the dry run must be equal throughout.
 * The real models of tests/models/shapes have no numbers in them and are only dry
 * run. */
#include "governor/governor.h"
#include "tests/engine/llama_breakdown.h"
#include "tests/engine/llama_fixture.h"

#ifdef GOV_LLAMA_VERSION

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define SHAPES "tests/models/shapes"

static const char *const presets[] = {
    "tiny",          "tiny-mixtral",   "tiny-qwen2",          "tiny-qwen3",
    "tiny-qwen3moe", "tiny-gemma2",    "tiny-gemma3",         "tiny-gemma4",
    "tiny-phi3",     "tiny-deepseek2", "tiny-deepseek2-lite", "tiny-gpt-oss",
    "tiny-mamba",    "tiny-falcon-h1", "tiny-granitehybrid",  "tiny-lfm2",
    "tiny-openelm",  "tiny-bert"};

static const gov_kv_type kv_types[] = {GOV_KV_F16, GOV_KV_Q8_0};

static char shape_names[64][64];
static int shape_count;

/* ---- three answers --------------------------------------------------------------- */

struct subject {
    const char *name;
    const struct gov_engine *engine;
    gov_model *model;
    char report[8192]; /* what is wrong, a line each */
};

static void check_ok(gov_status status, const gov_error *err)
{
    ck_assert_msg(status == GOV_OK, "%s", err->message);
}

static void open_subject(struct subject *s, const char *name, const char *path)
{
    gov_error err;

    memset(s, 0, sizeof(*s));
    s->name = name;
    check_ok(gov_engine_open(&s->engine, "llama", &err), &err);
    ck_assert(s->engine->dry_run != NULL);
    check_ok(gov_model_open(&s->model, path, NULL, &err), &err);
}

static struct gov_need_request request_of(uint32_t context, gov_kv_type type)
{
    struct gov_need_request request = gov_need_request_default();

    request.context = context;
    request.k_type = request.v_type = type;
    return request;
}

static void complain(struct subject *s, const struct gov_need_request *r,
                     const char *what, uint64_t ours, uint64_t theirs)
{
    size_t at = strlen(s->report);

    snprintf(
        s->report + at, sizeof(s->report) - at,
        "%s, %u tokens of %s%s%s: %s %" PRIu64 ", llama.cpp %" PRIu64
        " (%+.2f %%)\n",
        s->name, r->context, gov_kv_type_name(r->k_type),
        r->unified ? "" : ", apart",
        r->flash_attention ? "" : ", no flash attention", what, ours, theirs,
        theirs == 0 ? 100
                    : 100 * ((double)ours - (double)theirs) / (double)theirs);
}

static void equal(struct subject *s, const struct gov_need_request *r,
                  const char *what, uint64_t ours, uint64_t theirs)
{
    if (ours != theirs)
        complain(s, r, what, ours, theirs);
}

/* An estimate beside the dry run. */
static void judge(struct subject *s, const struct gov_need_request *r,
                  const struct gov_need *e, const struct gov_need *a)
{
    ck_assert(e->kv_exact);
    ck_assert(e->compute_known);
    equal(s, r, "weights", e->ram.weights, a->ram.weights);
    equal(s, r, "KV", e->ram.kv, a->ram.kv);
    equal(s, r, "state", e->ram.state, a->ram.state);
    equal(s, r, "output", e->ram.output, a->ram.output);
    equal(s, r, "repack", e->repack, a->repack);
    /* Where nothing is kept the engine has no cells to tell of. */
    if (a->cells != 0)
        equal(s, r, "cells", e->cells, a->cells);
    equal(s, r, "window cells", e->window_cells, a->window_cells);
    if (e->ram.compute * 10 < a->ram.compute * 9 ||
        e->ram.compute * 10 > a->ram.compute * 11)
        complain(s, r, "compute", e->ram.compute, a->ram.compute);
}

/* False when the heads cannot be held in that type, as both say. */
static bool compare(struct subject *s, const struct gov_need_request *r,
                    struct gov_need *dry)
{
    struct gov_need estimate;
    gov_error err;
    gov_status status = gov_model_need(s->model, r, &estimate, &err);

    if (status == GOV_E_UNSUPPORTED) {
        ck_assert_int_ne(s->engine->dry_run(s->model, r, dry, &err), GOV_OK);
        return false;
    }
    check_ok(status, &err);
    check_ok(s->engine->dry_run(s->model, r, dry, &err), &err);
    judge(s, r, &estimate, dry);
    return true;
}

/* ---- small models, loaded ---------------------------------------------------------- */

static void load(struct subject *s, const struct gov_need_request *r,
                 const struct gov_need *dry)
{
    struct llama_context_params params = control_params(r->context, 1);
    bool heap = r->strategy == GOV_STRATEGY_HEAP;
    struct breakdown real;

    params.n_outputs_max = 1;
    params.swa_full = false;
    params.type_k = params.type_v =
        r->k_type == GOV_KV_Q8_0 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
    ck_assert(
        llama_breakdown(gov_model_path(s->model),
                        heap ? LLAMA_LOAD_MODE_NONE : LLAMA_LOAD_MODE_MMAP,
                        r->repack, params, &real));
    equal(s, r, heap ? "loaded weights" : "mapped weights", dry->ram.weights,
          real.weights);
    equal(s, r, "loaded KV and state", dry->ram.kv + dry->ram.state,
          real.context);
    equal(s, r, "loaded compute", dry->ram.compute, real.compute);
    ck_assert_double_eq_tol((double)dry->ram.output / 1048576, real.output_mib,
                            0.0051);
}

START_TEST(a_load_allocates_what_was_said)
{
    static const uint32_t contexts[] = {512, 4096};
    char file[64];
    struct subject s;

    snprintf(file, sizeof(file), "%s.gguf", presets[_i]);
    make_model(file, "Q4_0", presets[_i]);
    open_subject(&s, presets[_i], in_directory(file));
    for (int i = 0; i < COUNT(contexts) * COUNT(kv_types) * 3; i++) {
        struct gov_need_request request =
            request_of(contexts[i % 2], kv_types[i / 2 % 2]);
        struct gov_need dry;

        request.strategy = i < 4 ? GOV_STRATEGY_MMAP : GOV_STRATEGY_HEAP;
        request.repack = i >= 8;
        if (compare(&s, &request, &dry))
            load(&s, &request, &dry);
    }
    ck_assert_msg(s.report[0] == '\0', "\n%s", s.report);
    gov_model_close(s.model);
}
END_TEST

/* ---- published models, dry ---------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Before any test runs: a loop has so many rounds. */
static void find_shapes(void)
{
    DIR *directory = opendir(SHAPES);
    const struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');

        if (dot == NULL || strcmp(dot, ".shape") != 0 ||
            shape_count == COUNT(shape_names))
            continue;
        snprintf(shape_names[shape_count++], sizeof(shape_names[0]), "%.*s",
                 (int)(dot - entry->d_name), entry->d_name);
    }
    if (directory != NULL)
        closedir(directory);
    qsort(shape_names, (size_t)shape_count, sizeof(shape_names[0]), by_name);
}

/* Under a sanitizer llama.cpp's dry run of one takes half a minute, and is not what
 * the sanitizer looks at. */
#define SANITIZED_SHARE 5

START_TEST(there_are_shapes)
{
    if (is_sanitized())
        skip_test("a_published_model_needs_what_was_said",
                  "of five models one, where a sanitizer makes it slow");
    ck_assert_int_gt(shape_count, 20);
    ck_assert_int_lt(shape_count, COUNT(shape_names));
}
END_TEST

START_TEST(a_published_model_needs_what_was_said)
{
    static const uint32_t contexts[] = {4096, 32768};
    const char *arguments[] = {NULL, NULL, NULL};
    char shape[128], file[80];
    struct subject s;

    if (is_sanitized() && _i % SANITIZED_SHARE != 0)
        return;
    snprintf(shape, sizeof(shape), SHAPES "/%s.shape", shape_names[_i]);
    snprintf(file, sizeof(file), "%s.gguf", shape_names[_i]);
    arguments[0] = shape;
    arguments[1] = in_directory(file);
    ck_assert_int_eq(run_beside("shape", arguments), 0);
    open_subject(&s, shape_names[_i], in_directory(file));
    for (int i = 0; i < COUNT(contexts) * COUNT(kv_types); i++) {
        struct gov_need_request request =
            request_of(contexts[i % 2], kv_types[i / 2]);
        struct gov_need dry;

        compare(&s, &request, &dry);
    }
    ck_assert_msg(s.report[0] == '\0', "\n%s", s.report);
    gov_model_close(s.model);
    unlink(in_directory(file));
}
END_TEST

/* ---- what llama.cpp does not take ---------------------------------------------------- */

/* Copies the tiny model and changes bytes behind a metadata key: its type and,
 * for a text, its length lie between. */
static void make_odd(const char *from, const char *key, size_t behind,
                     const void *bytes, size_t count)
{
    static char data[8 << 20];
    FILE *f = fopen(in_directory(from), "rb");
    size_t n, at = 0;

    ck_assert_ptr_nonnull(f);
    n = fread(data, 1, sizeof(data), f);
    fclose(f);
    ck_assert_uint_lt(n, sizeof(data));
    while (at + strlen(key) < n && memcmp(data + at, key, strlen(key)) != 0)
        at++;
    ck_assert_uint_lt(at + strlen(key) + behind + count, n);
    memcpy(data + at + strlen(key) + behind, bytes, count);
    f = fopen(in_directory("odd.gguf"), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, n, f), n);
    fclose(f);
}

static void make_odd_number(const char *from, const char *key, uint32_t value)
{
    make_odd(from, key, 4, &value, sizeof(value));
}

/* The dry run of it, as an app calls it; what it says is in err. */
static gov_status dry_run(const char *file,
                          const struct gov_need_request *request,
                          gov_error *err)
{
    struct gov_need need;
    struct subject s;
    gov_status status;

    memset(err, 0, sizeof(*err));
    open_subject(&s, file, in_directory(file));
    status = s.engine->dry_run(s.model, request, &need, err);
    gov_model_close(s.model);
    /* No child is left, and no pipe. */
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    return status;
}

static const struct gov_need_request *plain_request(void)
{
    static struct gov_need_request request;

    request = request_of(512, GOV_KV_F16);
    return &request;
}

/* llama.cpp asserts it and ends the process. Not ours. */
START_TEST(impossible_headers_end_a_child)
{
    gov_error err;

    make_model("tiny-mixtral.gguf", "Q4_0", "tiny-mixtral");
    make_odd_number("tiny-mixtral.gguf", "llama.expert_used_count", 9);
    ck_assert_int_eq(dry_run("odd.gguf", plain_request(), &err), GOV_E_ENGINE);
    ck_assert_msg(strstr(err.message, "odd.gguf failed: it gave up at "
                                      "llama-model.cpp:") != NULL &&
                      strstr(err.message, "GGML_ASSERT(") != NULL,
                  "%s", err.message);
}
END_TEST

START_TEST(an_unknown_architecture_is_named)
{
    gov_error err;

    make_odd("tiny.gguf", "general.architecture", 12, "lhasa", 5);
    ck_assert_int_eq(dry_run("odd.gguf", plain_request(), &err),
                     GOV_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.message, "unknown model architecture: 'lhasa'"),
                  "%s", err.message);
}
END_TEST

START_TEST(a_vocabulary_is_not_made_of_a_number)
{
    gov_error err;

    make_odd_number("tiny.gguf", "llama.vocab_size", UINT32_MAX);
    ck_assert_int_eq(dry_run("odd.gguf", plain_request(), &err),
                     GOV_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.message, "its llama.vocab_size is no size of a "
                                      "vocabulary"),
                  "%s", err.message);
}
END_TEST

START_TEST(a_file_that_shrinks_is_an_error)
{
    struct gov_need need;
    struct subject s;
    gov_error err;

    make_odd_number("tiny.gguf", "llama.context_length", 4096);
    open_subject(&s, "odd", in_directory("odd.gguf"));
    ck_assert_int_eq(truncate(in_directory("odd.gguf"), 4096), 0);
    ck_assert_int_eq(s.engine->dry_run(s.model, plain_request(), &need, &err),
                     GOV_E_ENGINE);
    ck_assert_msg(strstr(err.message, "failed to load model") ||
                      strstr(err.message, "failed to read"),
                  "%s", err.message);
    gov_model_close(s.model);
}
END_TEST

START_TEST(requests_are_checked)
{
    struct gov_need_request request = *plain_request();
    gov_error err;

    request.context = INT32_MAX;
    ck_assert_int_eq(dry_run("tiny.gguf", &request, &err), GOV_E_INVALID);
    request = *plain_request();
    request.k_type = 77;
    ck_assert_int_eq(dry_run("tiny.gguf", &request, &err), GOV_E_INVALID);
    request = *plain_request();
    request.sequences = 257;
    ck_assert_int_eq(dry_run("tiny.gguf", &request, &err), GOV_E_INVALID);
    request = *plain_request();
    request.batch = 0;
    ck_assert_int_eq(dry_run("tiny.gguf", &request, &err), GOV_E_INVALID);
    request = *plain_request();
    request.flash_attention = false;
    request.v_type = GOV_KV_Q8_0;
    ck_assert_int_eq(dry_run("tiny.gguf", &request, &err), GOV_E_ENGINE);
    ck_assert_msg(strstr(err.message, "requires flash_attn"), "%s",
                  err.message);
    request = *plain_request();
    request.context = 0; /* the model's */
    ck_assert_int_eq(dry_run("tiny.gguf", &request, &err), GOV_OK);
}
END_TEST

START_TEST(sequences_are_counted)
{
    static const uint32_t outputs[] = {1, 16, 0};
    struct subject s;

    open_subject(&s, "tiny", in_directory("tiny.gguf"));
    for (int i = 0; i < 12; i++) {
        struct gov_need_request request = request_of(4096, GOV_KV_F16);
        struct gov_need dry;

        request.sequences = 4;
        request.unified = i & 1;
        request.flash_attention = i & 2;
        request.outputs = outputs[i / 4];
        compare(&s, &request, &dry);
    }
    ck_assert_msg(s.report[0] == '\0', "\n%s", s.report);
    gov_model_close(s.model);
}
END_TEST

START_TEST(a_gpu_needs_a_driver)
{
    struct gov_need_request request = *plain_request();
    gov_error err;

    if (llama_supports_gpu_offload()) {
        skip_test("a_gpu_needs_a_driver",
                  "this llama.cpp has a driver for a GPU");
        return;
    }
    request.gpu_layers = 2;
    ck_assert_int_eq(dry_run("tiny.gguf", &request, &err), GOV_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.message, "no driver for a GPU"), "%s",
                  err.message);
}
END_TEST

/* What the app has told llama.cpp's log, and its own descriptors, stay. */
START_TEST(nothing_of_the_host_changes)
{
    ggml_log_callback callback;
    gov_error err;
    void *data;
    int before, after;

    llama_log_set(control_silent, &err);
    before = dup(0);
    close(before);
    check_ok(dry_run("tiny.gguf", plain_request(), &err), &err);
    after = dup(0);
    close(after);
    ck_assert_int_eq(before, after);
    llama_log_get(&callback, &data);
    ck_assert(callback == control_silent && data == &err);
}
END_TEST

/* In a process with threads, one may fork while the pipe is open: what it makes
 * holds the pipe as long as it lives. Here between the pipe and the fork, and the
 * dry run's own child ends without a word. */
static pid_t holder = 1; /* 0: one is to be made; -1: it is being made */

static void hold_pipe(void)
{
    if (holder != 0)
        return;
    holder = -1;
    holder = fork();
    if (holder == 0) {
        pause();
        _exit(0);
    }
}

static void end_without_a_word(void)
{
    if (holder > 1)
        _exit(3);
}

START_TEST(a_pipe_held_by_others_is_no_delay)
{
    struct gov_need need;
    struct subject s;
    gov_error err;

    ck_assert_int_eq(pthread_atfork(hold_pipe, NULL, end_without_a_word), 0);
    open_subject(&s, "tiny", in_directory("tiny.gguf"));
    holder = 0;
    ck_assert_int_eq(s.engine->dry_run(s.model, plain_request(), &need, &err),
                     GOV_E_ENGINE);
    ck_assert_msg(strstr(err.message, "ended without a word"), "%s",
                  err.message);
    kill(holder, SIGKILL);
    ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
    holder = 1;
    gov_model_close(s.model);
}
END_TEST

/* Signals are not the child's: its alarm comes even where the host ignores it,
 * and a host that lets the system reap its children gets its answer. */
START_TEST(a_host_may_ignore_its_children)
{
    sigset_t before, after;
    gov_error err;

    signal(SIGCHLD, SIG_IGN);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    check_ok(dry_run("tiny.gguf", plain_request(), &err), &err);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int i = 1; i < 32; i++)
        ck_assert_int_eq(sigismember(&before, i), sigismember(&after, i));
    signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(no_child_no_answer)
{
    struct rlimit before, none;
    struct gov_need need;
    bool root = geteuid() == 0;
    struct subject s;
    gov_status status;
    gov_error err;

    open_subject(&s, "tiny", in_directory("tiny.gguf"));
    ck_assert_int_eq(getrlimit(RLIMIT_NPROC, &before), 0);
    none = before;
    none.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &none), 0);
    /* Root may have any number of children. */
    if (root)
        ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
    status = s.engine->dry_run(s.model, plain_request(), &need, &err);
    if (root)
        ck_assert_int_eq(setresuid(0, 0, 0), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &before), 0);
    ck_assert_int_eq(status, GOV_E_IO);
    ck_assert_int_eq(err.os_errno, EAGAIN);
    gov_model_close(s.model);
}
END_TEST

static void make_models(void)
{
    make_model("tiny.gguf", "Q4_0", "tiny");
}

Suite *suite(void)
{
    Suite *suite = suite_create("llama_need");
    TCase *real = tcase_create("real"), *dry = tcase_create("dry");
    TCase *odd = tcase_create("odd");

    find_shapes();
    tcase_add_unchecked_fixture(real, make_models, NULL);
    tcase_set_timeout(real, 60);
    tcase_add_loop_test(real, a_load_allocates_what_was_said, 0,
                        COUNT(presets));
    suite_add_tcase(suite, real);
    tcase_add_unchecked_fixture(dry, make_models, NULL);
    tcase_set_timeout(dry, 60);
    tcase_add_test(dry, there_are_shapes);
    tcase_add_loop_test(dry, a_published_model_needs_what_was_said, 0,
                        shape_count);
    suite_add_tcase(suite, dry);
    tcase_add_unchecked_fixture(odd, make_models, NULL);
    tcase_add_test(odd, impossible_headers_end_a_child);
    tcase_add_test(odd, an_unknown_architecture_is_named);
    tcase_add_test(odd, a_vocabulary_is_not_made_of_a_number);
    tcase_add_test(odd, a_file_that_shrinks_is_an_error);
    tcase_add_test(odd, requests_are_checked);
    tcase_add_test(odd, sequences_are_counted);
    tcase_add_test(odd, a_gpu_needs_a_driver);
    tcase_add_test(odd, nothing_of_the_host_changes);
    tcase_add_test(odd, a_pipe_held_by_others_is_no_delay);
    tcase_add_test(odd, a_host_may_ignore_its_children);
    tcase_add_test(odd, no_child_no_answer);
    suite_add_tcase(suite, odd);
    return suite;
}

#else

START_TEST(there_is_no_dry_run)
{
    const struct gov_engine *engine;
    gov_error err;

    skip_test("llama_need", "this llama.cpp comes without its sources, so "
                            "there is no dry run to compare with");
    ck_assert_int_eq(gov_engine_open(&engine, "llama", &err), GOV_OK);
    ck_assert(engine->dry_run == NULL);
}
END_TEST

Suite *suite(void)
{
    Suite *suite = suite_create("llama_need");
    TCase *none = tcase_create("none");

    tcase_add_test(none, there_is_no_dry_run);
    suite_add_tcase(suite, none);
    return suite;
}

#endif
