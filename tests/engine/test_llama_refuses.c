/* SPDX-License-Identifier: MIT */
/* What cannot be governed, or not in the way that was planned, as llama.cpp itself
 * brings it about: a mapping that it locked, weights that it repacked, a file that
 * another process maps, too, and a kernel that denies userfaultfd. Each time the
 * reason is said, and no bit of what is computed changes. Layers on a GPU:
 * test_llama_gpu. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define FILE_NAME "small.gguf"
#define PROMPT "Once upon a time"
#define TOKENS 12
#define LAYERS 4
#define DENIED "GOV_TEST_DENIED" /* set: userfaultfd is */

static gov_error err;

/* Layers of 7 MB. */
static void make_files(void)
{
    const char *arguments[] = {"--quiet",    "--preset", "small", "--embd=1024",
                               "--layers=4", NULL,       NULL};

    make_directory_once();
    arguments[5] = in_directory(FILE_NAME);
    ck_assert_int_eq(run_beside("mkmodel", arguments), 0);
}

static void check_ok(gov_status status)
{
    ck_assert_msg(status == GOV_OK, "%s", err.message);
}

/* A sentence with the model's path in it. */
static const char *about(const char *before, const char *after)
{
    static char text[900];

    snprintf(text, sizeof(text), "%s%s%s", before, in_directory(FILE_NAME),
             after);
    return text;
}

/* ---- another process ----------------------------------------------------------------- */

struct other {
    pid_t pid;
    int until; /* closed: it ends */
};

/* Every page of the file is in its memory when this returns. Made before the engine
 * has threads. */
static void other_begin(struct other *other)
{
    int told[2], until[2];
    char byte;

    ck_assert_int_eq(pipe(told), 0);
    ck_assert_int_eq(pipe(until), 0);
    other->pid = fork();
    ck_assert_int_ge(other->pid, 0);
    if (other->pid == 0) {
        int fd = open(in_directory(FILE_NAME), O_RDONLY | O_CLOEXEC);
        struct stat st;

        close(until[1]);
        if (fd < 0 || fstat(fd, &st) != 0 ||
            mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE,
                 fd, 0) == MAP_FAILED ||
            write(told[1], "", 1) != 1)
            _exit(1);
        (void)!read(until[0], &byte, 1);
        _exit(0);
    }
    close(until[0]);
    close(told[1]);
    ck_assert_int_eq((int)read(told[0], &byte, 1), 1);
    close(told[0]);
    other->until = until[1];
}

static void other_end(struct other *other)
{
    int status;

    if (other->pid == 0)
        return;
    close(other->until);
    ck_assert_int_eq(waitpid(other->pid, &status, 0), other->pid);
    ck_assert_int_eq(status, 0);
    other->pid = 0;
}

/* ---- weights that an app's own engine holds -------------------------------------------- */

static const struct {
    enum llama_load_mode mode;
    bool repack, other;
    const char *before, *after; /* NULL: it is governed, and that is no harm */
} ways[] = {
    {LLAMA_LOAD_MODE_MMAP_MLOCK, false, false, "the mapping of ",
     " is locked in memory, so nothing of it can be dropped; load the model "
     "without mlock"},
    {LLAMA_LOAD_MODE_MMAP, false, true, "another process maps ",
     ", too, so what is dropped here stays in memory; close the other one"},
    {LLAMA_LOAD_MODE_NONE, false, false, "this process does not map ",
     "; let the engine load it with mmap first"},
    {LLAMA_LOAD_MODE_NONE, true, false, "this process does not map ",
     "; let the engine load it with mmap first"},
    {LLAMA_LOAD_MODE_MMAP, true, false, NULL, NULL},
};

static void open_engine(struct control *c, int way)
{
    struct llama_model_params mp = llama_model_default_params();
    struct llama_context_params params = control_params(256, 1);

    memset(c, 0, sizeof(*c));
    llama_log_set(control_silent, NULL);
    mp.n_gpu_layers = 0;
    mp.use_extra_bufts = ways[way].repack;
    mp.load_mode = ways[way].mode;
    c->model = llama_model_load_from_file(in_directory(FILE_NAME), mp);
    ck_assert_ptr_nonnull(c->model);
    c->context = llama_init_from_model(c->model, params);
    ck_assert_ptr_nonnull(c->context);
    c->vocab = llama_model_get_vocab(c->model);
    c->vocabulary = (size_t)llama_vocab_n_tokens(c->vocab);
}

/* The logits of a prompt and some tokens after it. */
static float *speak(struct control *c)
{
    const size_t bytes = c->vocabulary * sizeof(float);
    float *all = malloc(TOKENS * bytes);
    llama_token token;

    ck_assert_ptr_nonnull(all);
    control_clear(c);
    control_read(c, PROMPT, true);
    for (size_t i = 0; i < TOKENS; i++) {
        memcpy(all + i * c->vocabulary, c->logits, bytes);
        token = control_choose(c);
        control_decode(c, &token, 1);
    }
    return all;
}

static uint64_t locked_kib(void)
{
    unsigned long long kib = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "re");

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "VmLck: %llu", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

static gov_status adopt(gov_weights **out, const gov_model *model)
{
    struct gov_weights_options options = gov_weights_options_default();

    options.hot_bytes = 0;
    return gov_weights_adopt(out, model, &options, &err);
}

START_TEST(says_why_it_does_not_govern)
{
    gov_weights *weights = NULL;
    struct other other = {0};
    struct control c;
    gov_model *model;
    float *before, *after;
    gov_status status;

    if (ways[_i].other)
        other_begin(&other);
    open_engine(&c, _i);
    before = speak(&c);
    check_ok(gov_model_open(&model, in_directory(FILE_NAME), NULL, &err));
    status = adopt(&weights, model);
    if (ways[_i].mode == LLAMA_LOAD_MODE_MMAP_MLOCK && locked_kib() == 0)
        /* By a limit, or by a sanitizer, for which mlock() does nothing. */
        skip_test("locked", "llama.cpp could not lock the model in memory");
    else if (ways[_i].before == NULL)
        check_ok(status);
    else
        ck_assert_str_eq(status == GOV_OK ? "" : err.message,
                         about(ways[_i].before, ways[_i].after));
    after = speak(&c);
    ck_assert_int_eq(
        memcmp(before, after, TOKENS * c.vocabulary * sizeof(float)), 0);
    gov_weights_release(weights);
    weights = NULL;
    if (ways[_i].other) { /* now it can be */
        other_end(&other);
        check_ok(adopt(&weights, model));
        gov_weights_release(weights);
    }
    free(before);
    free(after);
    control_close(&c);
    gov_model_close(model);
}
END_TEST

/* ---- weights that the adapter holds ------------------------------------------------------ */

/* The adapter's calls come here first. A model whose layers have no name that the
 * adapter knows: it is shown no node before the weights are held. */
static bool shows_nothing;

__attribute__((visibility("default"))) int32_t
llama_decode(struct llama_context *context, struct llama_batch batch)
{
    static int32_t (*real)(struct llama_context *, struct llama_batch);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "llama_decode");
    return shows_nothing ? -1 : real(context, batch);
}

struct held {
    const struct gov_engine *engine;
    gov_model *model;
    gov_session *session;
};

/* Half of the weights are to be streamed. */
static void hold(struct held *h)
{
    struct gov_plan plan = {.strategy = GOV_STRATEGY_HYBRID,
                            .kv_type = GOV_KV_F16,
                            .context = 256,
                            .ahead = 2};
    struct gov_load load = {.size = sizeof(load), .plan = &plan, .threads = 1};
    const struct gov_unit *units;
    size_t count;

    check_ok(gov_engine_open(&h->engine, "llama", &err));
    check_ok(gov_model_open(&h->model, in_directory(FILE_NAME), NULL, &err));
    units = gov_model_units(h->model, &count);
    for (size_t i = 0; i < count; i++)
        plan.weights_bytes += units[i].bytes;
    plan.hot_bytes = plan.weights_bytes / 2;
    plan.cold_bytes = plan.weights_bytes - plan.hot_bytes;
    load.model = h->model;
    check_ok(h->engine->load(&h->session, &load, &err));
}

static void let_go(struct held *h)
{
    h->engine->unload(h->session);
    gov_model_close(h->model);
}

/* Says it; and says the same as llama.cpp alone. */
static void check_held(struct held *h, const char *described)
{
    struct llama_context_params params = control_params(256, 1);
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = PROMPT,
                                   .tokens = TOKENS,
                                   .ignore_end = true};
    struct gov_generated out;
    struct control control;
    llama_token token;
    size_t count;

    /* More may follow, of how it was loaded. */
    ck_assert_msg(strncmp(h->engine->describe(h->session), described,
                          strlen(described)) == 0,
                  "%s", h->engine->describe(h->session));
    check_ok(h->engine->generate(h->session, &request, &out, &err));
    ck_assert_uint_eq(out.tokens, TOKENS);
    control_open(&control, in_directory(FILE_NAME), false, &params);
    control_read(&control, PROMPT, true);
    for (int i = 0; i < TOKENS; i++) {
        token = control_choose(&control);
        control_decode(&control, &token, 1);
    }
    ck_assert_int_eq(memcmp(control.logits,
                            h->engine->logits(h->session, &count),
                            control.vocabulary * sizeof(float)),
                     0);
    ck_assert_uint_eq(count, control.vocabulary);
    control_close(&control);
}

START_TEST(another_process_maps_it)
{
    struct other other = {0};
    struct held h = {0};

    other_begin(&other);
    hold(&h);
    check_held(&h, about("mmap, not governed: another process maps ",
                         ", too, so what is dropped here stays in memory; "
                         "close the other one"));
    let_go(&h);
    other_end(&other);
}
END_TEST

/* Without calls and without doorbells nobody knows where the engine is. */
START_TEST(without_userfaultfd)
{
    struct held h = {0};
    char described[200];

    shows_nothing = true;
    hold(&h);
    shows_nothing = false;
    snprintf(described, sizeof(described),
             "mmap, not streamed: llama.cpp reports 0 of the %d layers of this "
             "architecture, so the system decides what stays",
             LAYERS);
    check_held(&h, described);
    let_go(&h);
}
END_TEST

/* This program again, behind a filter of system calls that stays with a process:
 * `deny` of the tests' tools. */
START_TEST(userfaultfd_is_denied)
{
    const char *arguments[] = {"userfaultfd", "--", NULL, NULL};
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int status;

    ck_assert_int_gt(n, 0);
    self[n] = '\0';
    arguments[2] = self;
    ck_assert_int_eq(setenv(DENIED, "1", 1), 0);
    status = run_beside("deny", arguments);
    unsetenv(DENIED);
    if (WIFEXITED(status) &&
        (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127))
        skip_test("userfaultfd_is_denied", "no system call can be denied here");
    else
        ck_assert_int_eq(status, 0);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama refuses");
    TCase *t = tcase_create("refuses");

    tcase_add_unchecked_fixture(t, make_files, NULL);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    if (getenv(DENIED) != NULL) {
        tcase_add_test(t, without_userfaultfd);
        return s;
    }
    tcase_add_loop_test(t, says_why_it_does_not_govern, 0,
                        (int)(sizeof(ways) / sizeof(ways[0])));
    tcase_add_test(t, another_process_maps_it);
    tcase_add_test(t, userfaultfd_is_denied);
    return s;
}
