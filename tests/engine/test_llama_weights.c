/* SPDX-License-Identifier: MIT */
/* The governed range under llama.cpp itself: adopted here without the adapter,
 * told of every layer, and changed underneath as fast as a thread can, while two
 * others compare the mapping with the file. Every logit must have the bits of a
 * run that nobody governed, and every byte read must be the file's.
 *
 * GOV_LONG=1 computes thousands of tokens a row instead of some hundred. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define CONTEXT 512
#define TURN_TOKENS 32
#define LONG_TURNS 100
#define LAYERS 64
#define EXPERTS 64

static void check_ok(gov_status status, const gov_error *err)
{
    ck_assert_msg(status == GOV_OK, "%s", err->message);
}

static uint32_t turn_count(uint32_t usual)
{
    const char *wanted = getenv("GOV_LONG");

    return wanted != NULL && *wanted == '1' ? LONG_TURNS : usual;
}

static uint32_t roll(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* ---- what is said, and what comes of it -------------------------------------------- */

/* The logits of every token of all turns, in the order of a run. */
struct record {
    const char *file;
    int threads;
    uint32_t turns;
    size_t vocabulary;
    float *logits; /* shared with the process that computes them */
    size_t bytes;
};

static struct record records[8];

/* Both runs do this: a prompt of 5 to 244 tokens, then token by token. */
static int32_t prompt_of(uint32_t turn, size_t vocabulary, llama_token *out)
{
    int32_t n = 5 + (int32_t)(turn * 83 % 240);
    uint64_t seed = turn;

    for (int32_t i = 0; i < n; i++)
        out[i] = (llama_token)(3 + roll(&seed) % (vocabulary - 3));
    return n;
}

typedef void (*pass_fn)(void *ctx, bool begins);
typedef bool (*seen_fn)(void *ctx, const float *logits, size_t at);

/* Runs the turns on an open context; `seen` gets the logits of each pass. */
static void converse(struct control *c, uint32_t turns, pass_fn pass,
                     seen_fn seen, void *ctx)
{
    llama_token tokens[256];
    size_t at = 0;

    for (uint32_t turn = 0; turn < turns; turn++) {
        int32_t n = prompt_of(turn, c->vocabulary, tokens);

        control_clear(c);
        for (uint32_t i = 0; i < TURN_TOKENS; i++) {
            if (pass != NULL)
                pass(ctx, true);
            control_decode(c, tokens, n);
            if (pass != NULL)
                pass(ctx, false);
            if (!seen(ctx, c->logits, at++))
                return;
            tokens[0] = control_choose(c);
            n = 1;
        }
    }
}

static bool keep_logits(void *ctx, const float *logits, size_t at)
{
    struct record *record = ctx;

    memcpy(record->logits + at * record->vocabulary, logits,
           record->vocabulary * sizeof(float));
    return true;
}

/* In a process of its own: the engine's threads do not survive a fork. */
static void compute_record(struct record *record)
{
    struct llama_context_params params =
        control_params(CONTEXT, record->threads);
    struct control control;

    control_open(&control, in_directory(record->file), false, &params);
    if (control.vocabulary != record->vocabulary)
        _exit(2);
    converse(&control, record->turns, NULL, keep_logits, record);
    control_close(&control);
    _exit(0);
}

static void make_record(const char *file, const char *preset, size_t vocabulary,
                        int threads, uint32_t turns)
{
    struct record *record = records;
    pid_t child;
    int status;

    make_model(file, "Q4_0", preset);
    while (record->file != NULL)
        record++;
    *record = (struct record){.file = file,
                              .threads = threads,
                              .turns = turn_count(turns),
                              .vocabulary = vocabulary};
    record->bytes =
        record->turns * TURN_TOKENS * vocabulary * sizeof(*record->logits);
    record->logits = mmap(NULL, record->bytes, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(record->logits, MAP_FAILED);
    child = fork();
    if (child == 0)
        compute_record(record);
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(status == 0, "the control of %s ended with %d", file, status);
}

static void make_records(void)
{
    make_record("small.gguf", "small", 4096, 1, 5);
    make_record("small.gguf", "small", 4096, 2, 1);
    make_record("moe.gguf", "tiny-qwen3moe", 1024, 1, 6);
}

static const struct record *record_of(const char *file, int threads)
{
    const struct record *record = records;

    while (strcmp(record->file, file) != 0 || record->threads != threads)
        record++;
    return record;
}

/* ---- the file under the mapping ------------------------------------------------------ */

struct place {
    const unsigned char *base; /* where the file is mapped */
    const unsigned char *copy; /* its bytes, read */
    size_t bytes;
};

static void read_copy(struct place *place, const char *path, size_t offset)
{
    unsigned char *copy = malloc(place->bytes);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t done = 0;

    ck_assert_ptr_nonnull(copy);
    ck_assert_int_ge(fd, 0);
    while (done < place->bytes) {
        ssize_t n =
            pread(fd, copy + done, place->bytes - done, (off_t)(offset + done));

        if (n <= 0)
            break;
        done += (size_t)n;
    }
    close(fd);
    /* Behind the end of the file the last page is zeros. */
    memset(copy + done, 0, place->bytes - done);
    place->copy = copy;
}

/* Where the engine has mapped it, before it is governed. */
static void find_place(struct place *place, const char *path)
{
    unsigned long from, to, offset = 0;
    char line[1024];
    FILE *maps = fopen("/proc/self/maps", "re");

    ck_assert_ptr_nonnull(maps);
    while (place->base == NULL && fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, path) == NULL ||
            sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) != 3)
            continue;
        place->base = (const unsigned char *)from; /* NOLINT: an address */
        place->bytes = to - from;
    }
    fclose(maps);
    ck_assert_msg(place->base != NULL, "%s is not mapped", path);
    read_copy(place, path, offset);
}

/* ---- threads that make it hard --------------------------------------------------------- */

struct hardship {
    const struct place *place;
    gov_weights *weights;
    uint64_t most_bytes;
    atomic_bool stop;
    _Atomic uint64_t flips, looks;
    _Atomic uint64_t wrong; /* 1 + offset of the first wrong byte; 0: none */
    _Atomic uint32_t readers;
    pthread_t thread[3];
    int threads;
};

/* What is hot becomes cold and back, with no breath taken: some sizes are all
 * and nothing. */
static void *flip(void *arg)
{
    struct hardship *h = arg;
    struct gov_weights_account account;
    char map[256];
    uint64_t seed = 7;

    while (!atomic_load(&h->stop)) {
        uint32_t n = roll(&seed);
        uint64_t bytes = h->most_bytes / 900 * (roll(&seed) % 1000);

        gov_weights_set_hot(h->weights, n % 7 == 0 ? 0 : bytes);
        if (n % 5 == 0)
            gov_weights_pause(h->weights, n % 2 == 0);
        if (n % 11 == 0) {
            gov_weights_account(h->weights, n % 33 == 0, &account);
            gov_weights_map(h->weights, map, sizeof(map));
        }
        atomic_fetch_add(&h->flips, 1);
        /* A lock that is taken again at once may starve who waits for it. */
        sched_yield();
    }
    gov_weights_pause(h->weights, false);
    return NULL;
}

/* ThreadSanitizer takes a mapping that is laid over another for a write. For the
 * kernel it is none: who reads there finds one page or the other. memcmp() would be
 * watched, too. */
__attribute__((no_sanitize("thread"))) static bool
differ(const unsigned char *a, const unsigned char *b, size_t bytes)
{
    const volatile uint64_t *x = (const volatile uint64_t *)a;
    const volatile uint64_t *y = (const volatile uint64_t *)b;

    for (size_t i = 0; i < bytes / sizeof(*x); i++)
        if (x[i] != y[i])
            return true;
    return false;
}

/* Compares anything, anywhere: a page that is there before its bytes is seen. */
static void *look(void *arg)
{
    struct hardship *h = arg;
    uint64_t seed = 99 + atomic_fetch_add(&h->readers, 1);
    const size_t chunk = 512;

    while (!atomic_load(&h->stop)) {
        size_t at =
            roll(&seed) % (h->place->bytes / chunk) * chunk; /* one page */
        uint64_t none = 0;

        if (differ(h->place->base + at, h->place->copy + at, chunk))
            atomic_compare_exchange_strong(&h->wrong, &none, at + 1);
        if (atomic_fetch_add(&h->looks, 1) % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void hardship_begin(struct hardship *h, bool flips)
{
    if (flips)
        ck_assert_int_eq(
            pthread_create(&h->thread[h->threads++], NULL, flip, h), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(
            pthread_create(&h->thread[h->threads++], NULL, look, h), 0);
}

static void hardship_end(struct hardship *h)
{
    atomic_store(&h->stop, true);
    for (int i = 0; i < h->threads; i++)
        pthread_join(h->thread[i], NULL);
}

/* ---- a governed engine ------------------------------------------------------------------ */

static const struct way {
    const char *name, *file;
    int threads;
    uint32_t hot_permille;
    gov_hold hold;
    bool anchor, direct, bells, experts, flips;
} ways[] = {
    {"all hot", "small.gguf", 1, 1000, .hold = GOV_HOLD_SPREAD},
    {"110 %, flips", "small.gguf", 1, 1100, .flips = true},
    {"70 % stay", "small.gguf", 1, 700, .hold = GOV_HOLD_SPREAD},
    {"50 %, flips", "small.gguf", 1, 500, .flips = true},
    {"50 %, flips, 2 threads", "small.gguf", 2, 500, .flips = true},
    {"first, flips", "small.gguf", 1, 500, .hold = GOV_HOLD_FIRST,
     .flips = true},
    {"nothing stays", "small.gguf", 1, 0, .hold = GOV_HOLD_SPREAD},
    {"anchored whole", "small.gguf", 1, 1000, .anchor = true},
    {"anchored, flips", "small.gguf", 1, 500, .anchor = true, .flips = true},
    {"anchored directly, flips", "small.gguf", 1, 500, .anchor = true,
     .direct = true, .flips = true},
    {"bells", "small.gguf", 1, 500, .bells = true},
    {"bells, flips", "small.gguf", 1, 500, .bells = true, .flips = true},
    {"bells, anchored, flips", "small.gguf", 1, 500, .bells = true,
     .anchor = true, .flips = true},
    {"experts by recency", "moe.gguf", 1, 500, .hold = GOV_HOLD_DENSE,
     .experts = true},
    {"experts, flips", "moe.gguf", 1, 500, .hold = GOV_HOLD_DENSE,
     .experts = true, .flips = true},
    {"experts anchored, flips", "moe.gguf", 1, 500, .hold = GOV_HOLD_DENSE,
     .experts = true, .anchor = true, .flips = true},
};

struct governed {
    const struct way *way;
    const struct record *record;
    gov_model *model;
    gov_weights *weights;
    struct control engine;
    struct place place;
    uint32_t layers;
    uint32_t unit_of_layer[LAYERS + 1]; /* the last one is the output */
    uint32_t experts_of_layer[LAYERS];
    uint64_t bytes;
    size_t wrong; /* 1 + the first token whose logits differ; 0: none */
    uint64_t used;
    struct gov_pass_account pass;
};

/* "l_out-12", "ffn_moe_topk-12". */
static bool names_layer(const char *name, const char *prefix, uint32_t *layer)
{
    size_t n = strlen(prefix);

    if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9')
        return false;
    *layer = (uint32_t)strtoul(name + n, NULL, 10);
    return true;
}

static void tell_experts(struct governed *g, const struct ggml_tensor *chosen,
                         uint32_t layer)
{
    uint32_t list[EXPERTS];
    bool named[EXPERTS] = {false};
    size_t count = 0;

    for (int64_t j = 0; j < chosen->ne[1]; j++)
        for (int64_t i = 0; i < chosen->ne[0]; i++) {
            int32_t expert;

            memcpy(&expert,
                   (const char *)chosen->data + (size_t)i * chosen->nb[0] +
                       (size_t)j * chosen->nb[1],
                   sizeof(expert));
            if (expert >= 0 && expert < EXPERTS && !named[expert]) {
                named[expert] = true;
                list[count++] = (uint32_t)expert;
            }
        }
    gov_weights_used(g->weights, g->experts_of_layer[layer], list, count);
    g->used += count;
}

static bool on_node(struct ggml_tensor *node, bool ask, void *ctx)
{
    struct governed *g = ctx;
    uint32_t layer;

    if (g->weights == NULL)
        return !ask;
    if (g->way->experts && names_layer(node->name, "ffn_moe_topk-", &layer)) {
        if (!ask)
            tell_experts(g, node, layer);
        return true;
    }
    if (g->way->bells || !names_layer(node->name, "l_out-", &layer))
        return !ask;
    if (!ask)
        gov_weights_reached(g->weights, g->unit_of_layer[layer + 1]);
    return true;
}

static void on_pass(void *ctx, bool begins)
{
    struct governed *g = ctx;
    gov_error err;

    if (begins)
        check_ok(gov_weights_pass_begin(g->weights, &err), &err);
    else
        ck_assert(gov_weights_pass_end(g->weights, &g->pass));
}

static bool compare_logits(void *ctx, const float *logits, size_t at)
{
    struct governed *g = ctx;
    size_t n = g->record->vocabulary;

    if (memcmp(logits, g->record->logits + at * n, n * sizeof(float)) == 0)
        return true;
    g->wrong = at + 1;
    return false;
}

static void map_units(struct governed *g)
{
    size_t count;
    const struct gov_unit *units = gov_model_units(g->model, &count);

    g->layers = (uint32_t)llama_model_n_layer(g->engine.model);
    ck_assert_uint_le(g->layers, LAYERS);
    for (size_t i = count; i-- > 0;) {
        g->bytes += units[i].bytes;
        if (units[i].kind == GOV_UNIT_LAYER)
            g->unit_of_layer[units[i].layer] = (uint32_t)i;
        else if (units[i].kind == GOV_UNIT_EXPERTS)
            g->experts_of_layer[units[i].layer] = (uint32_t)i;
        else if (units[i].kind == GOV_UNIT_OUTPUT)
            g->unit_of_layer[g->layers] = (uint32_t)i;
    }
}

static void open_governed(struct governed *g, const struct way *way)
{
    struct llama_context_params params = control_params(CONTEXT, way->threads);
    const char *path = in_directory(way->file);
    gov_error err;

    memset(g, 0, sizeof(*g));
    g->way = way;
    g->record = record_of(way->file, way->threads);
    params.cb_eval = on_node;
    params.cb_eval_user_data = g;
    control_open(&g->engine, path, false, &params);
    check_ok(gov_model_open(&g->model, path, NULL, &err), &err);
    map_units(g);
    find_place(&g->place, path);
}

static gov_status adopt(struct governed *g, gov_error *err)
{
    const struct way *way = g->way;
    struct gov_weights_options options = gov_weights_options_default();

    options.hot_bytes = way->hot_permille > 1000
                            ? UINT64_MAX
                            : g->bytes / 1000 * way->hot_permille;
    options.hold = way->hold;
    options.anchor = way->anchor;
    options.direct = way->direct;
    options.experts = way->experts;
    options.readers = way->anchor ? 2 : 0;
    options.ahead_most = way->flips ? 4 : 0;
    options.follow = way->bells ? GOV_FOLLOW_DOORBELLS : GOV_FOLLOW_CALLS;
    return gov_weights_adopt(&g->weights, g->model, &options, err);
}

static void close_governed(struct governed *g)
{
    gov_weights_release(g->weights);
    control_close(&g->engine);
    gov_model_close(g->model);
    free((void *)g->place.copy); /* NOLINT: made by read_copy() */
}

/* ---- tests -------------------------------------------------------------------------------- */

/* Whether what the row is about took place. */
static void check_account(struct governed *g, const struct hardship *h)
{
    const struct way *way = g->way;
    struct gov_weights_account account;
    uint64_t tokens = (uint64_t)g->record->turns * TURN_TOKENS;

    gov_weights_account(g->weights, false, &account);
    ck_assert_uint_eq(account.failures, 0);
    ck_assert(!account.changed);
    ck_assert_uint_gt(atomic_load(&h->looks), 1000);
    if (way->flips)
        ck_assert_uint_gt(atomic_load(&h->flips), tokens);
    if (way->flips || way->hot_permille < 1000) {
        ck_assert_uint_ge(account.passes, way->bells ? tokens / 2 : tokens - 1);
        ck_assert_uint_gt(account.dropped_bytes, g->bytes);
    }
    if (way->anchor && !way->flips)
        ck_assert_uint_gt(account.anchored_bytes, g->bytes / 1000 * 900);
    if (way->experts) {
        ck_assert_uint_eq(account.experts_used, g->used);
        ck_assert_uint_gt(account.experts_missed, 0);
    }
}

START_TEST(logits_have_the_same_bits)
{
    struct governed g;
    struct hardship h = {.threads = 0};
    gov_error err;
    gov_status status;

    open_governed(&g, &ways[_i]);
    status = adopt(&g, &err);
    if (status == GOV_E_UNSUPPORTED && g.way->bells) {
        skip_test(g.way->name, err.message);
        close_governed(&g);
        return;
    }
    check_ok(status, &err);
    h.place = &g.place;
    h.weights = g.weights;
    h.most_bytes = g.bytes;
    hardship_begin(&h, g.way->flips);
    converse(&g.engine, g.record->turns, on_pass, compare_logits, &g);
    hardship_end(&h);
    ck_assert_msg(g.wrong == 0, "%s: the logits of token %zu differ",
                  g.way->name, g.wrong);
    ck_assert_msg(atomic_load(&h.wrong) == 0,
                  "%s: %llu bytes into the mapping is not what the file has",
                  g.way->name, (unsigned long long)atomic_load(&h.wrong) - 1);
    check_account(&g, &h);
    close_governed(&g);
}
END_TEST

/* A range that is laid over with pages which get their bytes afterwards, as
 * memory filled through a second mapping of it is: those who look must see it,
 * or they prove nothing. */
START_TEST(a_page_before_its_bytes_is_noticed)
{
    const struct timespec moment = {0, 100000};
    struct place place = {NULL, NULL, 1 << 20};
    struct hardship h = {.place = &place};
    const char *path = in_directory("small.gguf");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned char *base;

    ck_assert_int_ge(fd, 0);
    base = mmap(NULL, place.bytes, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    close(fd);
    place.base = base;
    read_copy(&place, path, 0);
    hardship_begin(&h, false);
    while (atomic_load(&h.looks) < 10000)
        nanosleep(&moment, NULL);
    ck_assert_uint_eq(atomic_load(&h.wrong), 0);
    while (atomic_load(&h.wrong) == 0) {
        ck_assert_ptr_eq(mmap(base, place.bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                         base);
        nanosleep(&moment, NULL);
        memcpy(base, place.copy, place.bytes);
    }
    hardship_end(&h);
    munmap(base, place.bytes);
    free((void *)place.copy); /* NOLINT: made by read_copy() */
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama weights");
    TCase *bits = tcase_create("bits");

    tcase_add_loop_test(bits, logits_have_the_same_bits, 0, COUNT(ways));
    tcase_add_test(bits, a_page_before_its_bytes_is_noticed);
    tcase_add_unchecked_fixture(bits, make_records, NULL);
    tcase_set_timeout(bits, getenv("GOV_LONG") != NULL ? 600 : 30);
    suite_add_tcase(s, bits);
    return s;
}
