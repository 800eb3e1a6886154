/* SPDX-License-Identifier: MIT */
/* Heap weights that llama.cpp repacks: the adapter reads them ahead of its copying,
 * past the page cache, and lets go of the mapping before the engine unmaps any of it.
 * Every logit must have the bits of llama.cpp alone, and nothing may be left behind,
 * however the load ends. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "adapters/llama/llama_session.h"
#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define CONTEXT 512
#define TOKENS 24

static const char text[] = "Once upon a time there was a little robot that";

/* ---- models -------------------------------------------------------------------- */

static const struct row {
    const char *file, *preset, *type;
    const char *more[5];
    bool follows; /* it is known which tensor the engine copies */
} rows[] = {
    {"copy.gguf", "small", "Q4_0", {NULL}, true},
    {"copy-q4k.gguf", "small", "Q4_K", {NULL}, true},
    {"copy-q6k.gguf", "tiny", "Q6_K", {NULL}, true},
    {"copy-q8.gguf", "tiny", "Q8_0", {NULL}, true},
    {"copy-f16.gguf", "tiny", "F16", {NULL}, true},
    {"copy-tied.gguf", "small", "Q4_0", {"--tied"}, true},
    {"copy-sorted.gguf", "small", "Q4_0", {"--sort-by-name"}, true},
    {"copy-one.gguf", "tiny", "Q4_0", {"--layers", "1"}, true},
    {"copy-two.gguf", "small", "Q4_0", {"--layers", "2"}, true},
    {"copy-00001-of-00003.gguf", "small", "Q4_0", {"--split", "3"}, true},
    {"copy-gemma3.gguf", "tiny-gemma3", "Q4_0", {NULL}, true},
    {"copy-gemma4.gguf", "tiny-gemma4", "Q4_0", {NULL}, true},
    {"copy-moe.gguf", "tiny-qwen3moe", "Q4_0", {NULL}, true},
    {"copy-mixtral.gguf", "tiny-mixtral", "Q4_K", {NULL}, true},
    {"copy-oss.gguf", "tiny-gpt-oss", "Q4_0", {NULL}, true},
    {"copy-deepseek.gguf", "tiny-deepseek2", "Q4_0", {NULL}, true},
    {"copy-mamba.gguf", "tiny-mamba", "Q4_0", {NULL}, true},
    {"copy-falcon.gguf", "tiny-falcon-h1", "Q4_0", {NULL}, true},
    {"copy-granite.gguf", "tiny-granitehybrid", "Q4_0", {NULL}, true},
    {"copy-lfm2.gguf", "tiny-lfm2", "Q4_0", {NULL}, true},
    {"copy-phi3.gguf", "tiny-phi3", "Q4_0", {NULL}, true},
    {"copy-openelm.gguf", "tiny-openelm", "Q4_0", {NULL}, true},
};

static void make(const struct row *row)
{
    const char *line[12] = {"--quiet", "--preset", row->preset, "--type",
                            row->type};
    char out[512];
    int n = 5;

    make_directory_once();
    snprintf(out, sizeof(out), "%s", in_directory(row->file));
    if (access(out, R_OK) == 0)
        return;
    for (int i = 0; row->more[i] != NULL; i++)
        line[n++] = row->more[i];
    /* Of a split model that is named whose parts these are. */
    if (strstr(out, "-00001-of-") != NULL)
        snprintf(strstr(out, "-00001-of-"), 8, ".gguf");
    line[n] = out;
    ck_assert_msg(run_beside("mkmodel", line) == 0, "mkmodel %s failed",
                  row->file);
    ck_assert_int_eq(access(in_directory(row->file), R_OK), 0);
}

static void make_all(void)
{
    for (int i = 0; i < COUNT(rows); i++)
        make(&rows[i]);
}

static void make_first(void)
{
    make(&rows[0]);
}

static void copy_file(const char *name, const char *as)
{
    static char block[1 << 16];
    FILE *from = fopen(in_directory(name), "rb");
    FILE *to = fopen(in_directory(as), "wb");
    size_t n;

    ck_assert(from != NULL && to != NULL);
    while ((n = fread(block, 1, sizeof(block), from)) > 0)
        ck_assert_uint_eq(fwrite(block, 1, n, to), n);
    fclose(from);
    ck_assert_int_eq(fclose(to), 0);
}

/* ---- a session ----------------------------------------------------------------- */

struct held {
    const struct gov_engine *engine;
    gov_model *model;
    gov_session *session;
    struct gov_plan plan;
    uint64_t all;
};

static void open_model(struct held *h, const char *name)
{
    const struct gov_unit *units;
    size_t count;
    gov_error err;

    memset(h, 0, sizeof(*h));
    ck_assert_int_eq(gov_engine_open(&h->engine, "llama", &err), GOV_OK);
    ck_assert_msg(gov_model_open(&h->model, in_directory(name), NULL, &err) ==
                      GOV_OK,
                  "%s", err.message);
    units = gov_model_units(h->model, &count);
    for (size_t i = 0; i < count; i++)
        h->all += units[i].bytes;
    h->plan = (struct gov_plan){.strategy = GOV_STRATEGY_HEAP,
                                .kv_type = GOV_KV_F16,
                                .context = CONTEXT,
                                .repack = true,
                                .weights_bytes = h->all,
                                .hot_bytes = h->all};
}

static gov_status load(struct held *h, gov_progress_fn progress, void *ctx,
                       gov_error *err)
{
    struct gov_load request = {.size = sizeof(request),
                               .model = h->model,
                               .plan = &h->plan,
                               .threads = 1,
                               .progress = progress,
                               .progress_ctx = ctx};

    return h->engine->load(&h->session, &request, err);
}

static void hold(struct held *h, const char *name)
{
    gov_error err;

    open_model(h, name);
    ck_assert_msg(load(h, NULL, NULL, &err) == GOV_OK, "%s", err.message);
}

static void let_go(struct held *h)
{
    h->engine->unload(h->session);
    gov_model_close(h->model);
}

static gov_status say(const struct held *h, uint32_t tokens,
                      bool (*piece)(void *, const char *, size_t), void *ctx,
                      gov_error *err)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = text,
                                   .tokens = tokens,
                                   .ignore_end = true,
                                   .piece = piece,
                                   .ctx = ctx};
    struct gov_generated out;

    return h->engine->generate(h->session, &request, &out, err);
}

struct beside {
    struct held *h;
    struct control control;
    uint32_t tokens, wrong; /* the first whose logits differ; 0: none */
};

static bool on_piece(void *ctx, const char *piece, size_t bytes)
{
    struct beside *b = ctx;
    llama_token token = control_choose(&b->control);
    size_t count;
    const float *logits = b->h->engine->logits(b->h->session, &count);

    (void)piece;
    (void)bytes;
    b->tokens++;
    if (b->wrong == 0 &&
        (count != b->control.vocabulary ||
         memcmp(logits, b->control.logits, count * sizeof(float)) != 0))
        b->wrong = b->tokens;
    control_decode(&b->control, &token, 1);
    return true;
}

/* Against llama.cpp alone, which repacks the same. */
static void compare(struct held *h, const char *name)
{
    struct llama_context_params params = control_params(CONTEXT, 1);
    struct beside b = {.h = h};
    gov_error err;

    control_open(&b.control, in_directory(name), true, &params);
    control_read(&b.control, text, true);
    ck_assert_msg(say(h, TOKENS, on_piece, &b, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(b.tokens, TOKENS);
    ck_assert_msg(b.wrong == 0, "%s: the logits of token %u differ", name,
                  b.wrong);
    control_close(&b.control);
}

/* Lines of /proc/self/maps with that in them. */
static unsigned lines_with(const char *what)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned count = 0;
    char line[1024];

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        count += strstr(line, what) != NULL ? 1 : 0;
    fclose(maps);
    return count;
}

static unsigned open_files(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) != -1 ? 1 : 0;
    return count;
}

/* ---- bits -------------------------------------------------------------------------- */

START_TEST(logits_have_the_same_bits)
{
    const struct row *row = &rows[_i];
    struct held h;

    hold(&h, row->file);
    ck_assert(h.session->copy.wanted && h.session->copy.tried);
    ck_assert_ptr_null(h.session->copy.weights);
    if (row->follows)
        ck_assert_msg(h.session->copy.all > 0, "%s is not followed", row->file);
    ck_assert_uint_eq(h.session->copy.account.failures, 0);
    compare(&h, row->file);
    let_go(&h);
    ck_assert_uint_eq(lines_with("/copy"), 0);
}
END_TEST

/* ---- loads that end otherwise -------------------------------------------------------- */

struct stopper {
    uint32_t at; /* permille */
    uint32_t calls;
    void (*then)(void *ctx);
    void *ctx;
    bool done, go_on;
};

static bool on_progress(void *ctx, uint32_t permille, const char *what)
{
    struct stopper *s = ctx;

    (void)what;
    s->calls++;
    if (s->done || permille < s->at)
        return true;
    s->done = true;
    if (s->then != NULL)
        s->then(s->ctx);
    return s->go_on;
}

/* At the first tensor, where nothing is governed yet, in the middle, at the last, and
 * when all is over and the engine has unmapped what it does not need. */
static const uint32_t stops[] = {0, 1, 100, 250, 500, 750, 950, 1000};

START_TEST(a_load_that_is_stopped_leaves_nothing)
{
    struct stopper stopper = {.at = stops[_i]};
    struct held h;
    unsigned files, slots;
    gov_error err;

    open_model(&h, rows[0].file);
    files = open_files();
    slots = lines_with("memfd:");
    for (int i = 0; i < 4; i++) {
        stopper.done = false;
        ck_assert_int_eq(load(&h, on_progress, &stopper, &err),
                         GOV_E_CANCELLED);
        ck_assert_ptr_null(h.session);
        ck_assert_uint_eq(lines_with("/copy"), 0);
        ck_assert_uint_eq(lines_with("memfd:"), slots);
        ck_assert_uint_eq(open_files(), files);
    }
    ck_assert_msg(load(&h, NULL, NULL, &err) == GOV_OK, "%s", err.message);
    compare(&h, rows[0].file);
    let_go(&h);
}
END_TEST

/* The engine unmaps what it copied at the ends of the file while it loads. What lies
 * there from then on is somebody else's. */
START_TEST(nothing_is_mapped_where_the_engine_unmapped)
{
    struct held h;
    uint64_t bytes = 0, from, to;
    char line[1024];
    FILE *maps;

    hold(&h, rows[0].file);
    maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        if (strstr(line, "/copy.gguf") != NULL &&
            sscanf(line, "%lx-%lx", &from, &to) == 2)
            bytes += to - from;
    fclose(maps);
    ck_assert_uint_gt(bytes, 0);
    /* The output, or the last layer's matrices. */
    ck_assert_uint_lt(bytes, h.all);
    compare(&h, rows[0].file);
    let_go(&h);
    ck_assert_uint_eq(lines_with("/copy"), 0);
}
END_TEST

START_TEST(loads_again_and_again)
{
    struct held h;
    unsigned files = 0, lines = 0;
    gov_error err;

    open_model(&h, rows[0].file);
    for (int i = 0; i < 12; i++) {
        ck_assert_msg(load(&h, NULL, NULL, &err) == GOV_OK, "%s", err.message);
        ck_assert_uint_gt(h.session->copy.all, 0);
        h.engine->unload(h.session);
        ck_assert_uint_eq(lines_with("/copy"), 0);
        if (i == 1) {
            files = open_files();
            lines = lines_with("memfd:");
        }
    }
    ck_assert_uint_eq(open_files(), files);
    ck_assert_uint_eq(lines_with("memfd:"), lines);
    ck_assert_msg(load(&h, NULL, NULL, &err) == GOV_OK, "%s", err.message);
    compare(&h, rows[0].file);
    let_go(&h);
}
END_TEST

static void *load_one(void *arg)
{
    struct held *h = arg;
    gov_error err;

    return load(h, NULL, NULL, &err) == GOV_OK ? h : NULL;
}

START_TEST(two_load_at_once)
{
    pthread_t thread[2];
    struct held h[2];
    void *ended;

    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 2; i++) {
            open_model(&h[i], rows[0].file);
            ck_assert_int_eq(pthread_create(&thread[i], NULL, load_one, &h[i]),
                             0);
        }
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(pthread_join(thread[i], &ended), 0);
            ck_assert_ptr_nonnull(ended);
            ck_assert_uint_gt(h[i].session->copy.all, 0);
        }
        for (int i = 0; i < 2; i++) {
            compare(&h[i], rows[0].file);
            let_go(&h[i]);
        }
    }
    ck_assert_uint_eq(lines_with("/copy"), 0);
}
END_TEST

/* A child has what the engine has, and not what passes through. */
static void fork_one(void *ctx)
{
    pid_t child = fork();
    int status;

    (void)ctx;
    if (child == 0)
        _exit(0);
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

START_TEST(a_fork_meanwhile)
{
    struct stopper stopper = {.at = 500, .then = fork_one, .go_on = true};
    struct held h;
    gov_error err;

    open_model(&h, rows[0].file);
    ck_assert_msg(load(&h, on_progress, &stopper, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert(stopper.done);
    compare(&h, rows[0].file);
    let_go(&h);
}
END_TEST

/* ---- files that change ------------------------------------------------------------------ */

struct writer {
    const char *name;
    bool cuts;
    pid_t child;
};

static void change(const struct writer *w)
{
    struct stat st;
    int fd = open(in_directory(w->name), O_RDWR);
    char byte;

    if (fd < 0 || fstat(fd, &st) != 0 ||
        (w->cuts ? ftruncate(fd, st.st_size / 4)
                 : pread(fd, &byte, 1, st.st_size / 2) != 1 ||
                       pwrite(fd, &byte, 1, st.st_size / 2) != 1))
        _exit(1);
    _exit(0);
}

static void start_writer(void *ctx)
{
    struct writer *w = ctx;

    w->child = fork();
    if (w->child == 0)
        change(w);
    ck_assert_int_gt(w->child, 0);
}

/* Under a lease its open() waits as long as the copying takes, here longer than an
 * idle range would keep anybody waiting. */
static void start_waiting(void *ctx)
{
    const struct timespec moments = {2, 200000000};
    struct writer *w = ctx;
    int status;

    start_writer(w);
    nanosleep(&moments, NULL);
    ck_assert_int_eq(waitpid(w->child, &status, WNOHANG), 0);
}

static bool has_leases(const char *name)
{
    int fd = open(in_directory(name), O_RDONLY);
    bool leased = fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0;

    if (fd >= 0)
        close(fd);
    return leased;
}

/* Who writes or cuts waits until all is copied; what comes of the rest is refused,
 * by the load or by what is asked of it next. */
START_TEST(a_file_that_changes_meanwhile)
{
    struct writer writer = {.name = "changed.gguf", .cuts = _i != 0};
    struct stopper stopper = {
        .at = 300, .then = start_waiting, .ctx = &writer, .go_on = true};
    struct held h;
    gov_status status;
    gov_error err;
    int ended;

    copy_file(rows[0].file, writer.name);
    if (!has_leases(writer.name)) {
        skip_test("a_file_that_changes_meanwhile",
                  "this file system has no leases");
        return;
    }
    open_model(&h, writer.name);
    status = load(&h, on_progress, &stopper, &err);
    ck_assert(stopper.done);
    ck_assert_int_eq(waitpid(writer.child, &ended, 0), writer.child);
    ck_assert_int_eq(ended, 0);
    if (status == GOV_OK)
        status = say(&h, 3, NULL, NULL, &err);
    ck_assert_int_eq(status, GOV_E_IO);
    ck_assert_msg(strstr(err.message, "written to") != NULL, "%s", err.message);
    let_go(&h);
}
END_TEST

/* The embedding is looked up in the file. Another of that name is none of ours. */
START_TEST(a_file_that_changes_afterwards)
{
    const struct timespec moment = {0, 20000000}; /* a file's time has ticks */
    struct writer writer = {.name = "later.gguf"};
    struct held h;
    gov_error err;
    int ended;

    copy_file(rows[0].file, writer.name);
    nanosleep(&moment, NULL);
    hold(&h, writer.name);
    ck_assert_msg(say(&h, 3, NULL, NULL, &err) == GOV_OK, "%s", err.message);
    copy_file(rows[0].file, "other.gguf");
    if (_i == 0)
        start_writer(&writer);
    else
        ck_assert_int_eq(
            rename(in_directory("other.gguf"), in_directory(writer.name)), 0);
    if (_i == 0)
        ck_assert_int_eq(waitpid(writer.child, &ended, 0), writer.child);
    if (_i == 0) {
        ck_assert_int_eq(say(&h, 3, NULL, NULL, &err), GOV_E_IO);
        ck_assert_msg(strstr(err.message, "load it again") != NULL, "%s",
                      err.message);
    } else {
        ck_assert_msg(say(&h, 3, NULL, NULL, &err) == GOV_OK, "%s",
                      err.message);
    }
    let_go(&h);
}
END_TEST

/* ---- ways -------------------------------------------------------------------------------- */

/* What passes through is memory that nobody can take: where it does not fit beside
 * the copy it is the system's pages. */
START_TEST(what_passes_through_fits)
{
    struct held h;
    gov_error err;

    open_model(&h, rows[0].file);
    h.plan.budget_bytes = h.all + (_i == 0 ? UINT64_C(1) << 30 : 4096);
    ck_assert_msg(load(&h, NULL, NULL, &err) == GOV_OK, "%s", err.message);
    ck_assert_int_eq(h.session->copy.direct, _i == 0);
    ck_assert_uint_gt(h.session->copy.account.streamed_bytes, h.all / 2);
    ck_assert_uint_eq(h.session->copy.account.failures, 0);
    compare(&h, rows[0].file);
    let_go(&h);
}
END_TEST

/* It is read once, and of the mapping stays what the engine uses there. */
START_TEST(what_was_copied_is_not_kept)
{
    struct held h;
    struct gov_weights_account *account;

    if (is_sanitized()) {
        skip_test("what_was_copied_is_not_kept",
                  "a sanitizer slows the streamer, not the engine");
        return;
    }
    hold(&h, rows[0].file);
    account = &h.session->copy.account;
    ck_assert_ptr_nonnull(
        strstr(h.engine->describe(h.session), "mapped where it does not"));
    ck_assert_uint_lt(account->streamed_bytes, h.all + h.all / 4);
    ck_assert_uint_lt(mapped_bytes_of("/copy.gguf"), h.all / 2);
    let_go(&h);
}
END_TEST

START_TEST(what_is_not_repacked_is_not_copied)
{
    struct held h;
    gov_error err;

    open_model(&h, rows[0].file);
    h.plan.repack = false;
    ck_assert_msg(load(&h, NULL, NULL, &err) == GOV_OK, "%s", err.message);
    ck_assert(!h.session->copy.wanted);
    ck_assert_ptr_null(
        strstr(h.engine->describe(h.session), "mapped where it does not"));
    let_go(&h);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama_copy");
    TCase *bits = tcase_create("bits"), *life = tcase_create("life");

    tcase_add_loop_test(bits, logits_have_the_same_bits, 0, COUNT(rows));
    tcase_add_unchecked_fixture(bits, make_all, NULL);
    tcase_set_timeout(bits, 30);
    suite_add_tcase(s, bits);
    tcase_add_loop_test(life, a_load_that_is_stopped_leaves_nothing, 0,
                        COUNT(stops));
    tcase_add_test(life, nothing_is_mapped_where_the_engine_unmapped);
    tcase_add_test(life, loads_again_and_again);
    tcase_add_test(life, two_load_at_once);
    tcase_add_test(life, a_fork_meanwhile);
    tcase_add_loop_test(life, a_file_that_changes_meanwhile, 0, 2);
    tcase_add_loop_test(life, a_file_that_changes_afterwards, 0, 2);
    tcase_add_loop_test(life, what_passes_through_fits, 0, 2);
    tcase_add_test(life, what_was_copied_is_not_kept);
    tcase_add_test(life, what_is_not_repacked_is_not_copied);
    tcase_add_unchecked_fixture(life, make_first, NULL);
    tcase_set_timeout(life, 30);
    suite_add_tcase(s, life);
    return s;
}
