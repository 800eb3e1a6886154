/* SPDX-License-Identifier: MIT */
/* One run of llama.cpp on a mapped model, stock or with its weights governed,
 * inside the memory cgroup the caller names. Prints one line: milliseconds a
 * token (median, and from the 10th to the 90th hundredth), bytes read a token,
 * and a checksum of all logits, which must not depend on the mode. Compile by
 * hand against an engine; docs are the usage line. Not part of `make check`. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "governor/memory.h"
#include "governor/weights.h"
#include "llama.h"

#define MAX_TOKENS 1000
#define PROMPT_TOKENS 16

struct settings {
    const char *model, *mode, *cgroup;
    int threads, tokens;
    uint32_t ahead;
    uint64_t slack_bytes, hot_bytes; /* hot_bytes 0: from the limit */
};

/* Where the engine is: a unit begins when the last node of the layer before it
 * is done. */
struct place {
    gov_weights *weights;
    uint32_t unit_of_layer[1024], layers, output;
};

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static uint64_t number_in(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    char line[256];
    uint64_t value = 0;
    size_t n = strlen(key);

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, key, n) == 0)
            value = strtoull(line + n, NULL, 10);
    if (file != NULL)
        fclose(file);
    return value;
}

static void quiet(enum ggml_log_level level, const char *text, void *data)
{
    (void)data;
    if (level >= GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static bool at_node(struct ggml_tensor *tensor, bool ask, void *data)
{
    struct place *place = data;
    char *end;
    unsigned long layer;

    if (strncmp(tensor->name, "l_out-", 6) != 0)
        return !ask;
    layer = strtoul(tensor->name + 6, &end, 10);
    if (*end != '\0')
        return !ask;
    if (!ask && layer + 1 < place->layers)
        gov_weights_reached(place->weights, place->unit_of_layer[layer + 1]);
    else if (!ask)
        gov_weights_reached(place->weights, place->output);
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void enter(const char *cgroup)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
    file = fopen(path, "w");
    if (file == NULL || fprintf(file, "%d\n", (int)getpid()) < 0 ||
        fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

/* Pages of the file that earlier runs left are charged elsewhere. */
static void drop_cache(const char *model)
{
    int fd = open(model, O_RDONLY);

    if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        perror(model);
    if (fd >= 0)
        close(fd);
}

/* What may stay: the limit less what cannot be dropped, the window (which
 * depends on what may stay) and some slack for page tables and readahead. */
static void share_limit(struct place *place, const struct settings *set)
{
    char path[512];
    struct gov_weights_account account;
    struct gov_footprint footprint;
    uint64_t limit, taken;
    gov_error err;

    snprintf(path, sizeof(path), "%s/memory.limit_in_bytes", set->cgroup);
    limit = number_in(path, "");
    if (gov_footprint_now(&footprint, &err) != GOV_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    for (int i = 0; i < 8; i++) {
        gov_weights_account(place->weights, false, &account);
        taken =
            footprint.footprint_bytes + account.window_bytes + set->slack_bytes;
        gov_weights_set_hot(place->weights, limit > taken ? limit - taken : 0);
    }
}

static void govern(struct place *place, const struct settings *set,
                   const gov_model *model)
{
    struct gov_weights_options options = gov_weights_options_default();
    size_t count;
    const struct gov_unit *units = gov_model_units(model, &count);
    gov_error err;

    for (size_t i = count; i-- > 0;) {
        if (units[i].kind == GOV_UNIT_LAYER && units[i].layer < 1024) {
            place->unit_of_layer[units[i].layer] = (uint32_t)i;
            if (units[i].layer >= place->layers)
                place->layers = units[i].layer + 1;
        } else if (units[i].kind == GOV_UNIT_OUTPUT) {
            place->output = (uint32_t)i;
        }
    }
    options.ahead = set->ahead;
    options.hot_bytes = set->hot_bytes;
    if (gov_weights_adopt(&place->weights, model, &options, &err) != GOV_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    if (set->hot_bytes == 0)
        share_limit(place, set);
}

static void decode(struct llama_context *context, llama_token *tokens, int n,
                   int vocab, uint64_t *sum)
{
    const float *logits;

    if (llama_decode(context, llama_batch_get_one(tokens, n)) != 0) {
        fputs("decode failed\n", stderr);
        exit(1);
    }
    logits = llama_get_logits_ith(context, -1);
    for (int i = 0; i < vocab; i++) {
        uint32_t bits;

        memcpy(&bits, &logits[i], sizeof(bits));
        *sum = (*sum ^ bits) * UINT64_C(0x100000001b3);
    }
}

static void report(const struct settings *set, const struct place *place,
                   double *ms, double first_ms, uint64_t read_bytes,
                   uint64_t sum)
{
    struct gov_weights_account account;
    char map[1100];
    int n = set->tokens;

    qsort(ms, (size_t)n, sizeof(*ms), by_value);
    printf("%-8s %dt  %7.1f ms/token (%.0f..%.0f)  first %.0f ms  read %.0f "
           "MB/token  sum %016llx\n",
           set->mode, set->threads, ms[n / 2], ms[n / 10], ms[n - 1 - n / 10],
           first_ms, (double)read_bytes / 1e6 / n, (unsigned long long)sum);
    if (place->weights == NULL)
        return;
    gov_weights_account(place->weights, true, &account);
    gov_weights_map(place->weights, map, sizeof(map));
    printf("  streamed %.0f MB dropped %.0f MB late %llu passes %llu failures "
           "%llu resident %.0f MB of hot %.0f + window %.0f  %s\n",
           (double)account.streamed_bytes / 1e6,
           (double)account.dropped_bytes / 1e6,
           (unsigned long long)account.late_units,
           (unsigned long long)account.passes,
           (unsigned long long)account.failures,
           (double)account.resident_bytes / 1e6,
           (double)account.hot_bytes / 1e6, (double)account.window_bytes / 1e6,
           map);
}

static void run(const struct settings *set, const gov_model *model)
{
    struct llama_model_params mp = llama_model_default_params();
    struct llama_context_params cp = llama_context_default_params();
    struct place place = {0};
    static double ms[MAX_TOKENS];
    llama_token prompt[PROMPT_TOKENS];
    struct llama_model *loaded;
    struct llama_context *context;
    bool governed = strcmp(set->mode, "stock") != 0;
    double start, first_ms;
    uint64_t read_before, sum = UINT64_C(0xcbf29ce484222325);
    int vocab;

    mp.load_mode = LLAMA_LOAD_MODE_MMAP;
    mp.use_extra_bufts = false;
    mp.n_gpu_layers = 0;
    loaded = llama_model_load_from_file(set->model, mp);
    cp.n_ctx = 512;
    cp.n_threads = cp.n_threads_batch = set->threads;
    if (governed) {
        cp.cb_eval = at_node;
        cp.cb_eval_user_data = &place;
    }
    context = loaded != NULL ? llama_init_from_model(loaded, cp) : NULL;
    if (context == NULL)
        exit(1);
    vocab = llama_vocab_n_tokens(llama_model_get_vocab(loaded));
    if (governed)
        govern(&place, set, model);
    for (int i = 0; i < PROMPT_TOKENS; i++)
        prompt[i] = 300 + i * 7;
    start = now_ms();
    decode(context, prompt, PROMPT_TOKENS, vocab, &sum);
    first_ms = now_ms() - start;
    for (int i = 0; i < 2; i++)
        decode(context, prompt, 1, vocab, &sum);
    read_before = number_in("/proc/self/io", "read_bytes: ");
    for (int i = 0; i < set->tokens; i++) {
        llama_token token = 500 + i * 3;

        start = now_ms();
        decode(context, &token, 1, vocab, &sum);
        ms[i] = now_ms() - start;
    }
    report(set, &place, ms, first_ms,
           number_in("/proc/self/io", "read_bytes: ") - read_before, sum);
    gov_weights_release(place.weights);
    llama_free(context);
    llama_model_free(loaded);
}

int main(int argc, char **argv)
{
    struct settings set = {.cgroup = "",
                           .threads = 1,
                           .tokens = 12,
                           .ahead = 2,
                           .slack_bytes = (uint64_t)24 << 20};
    gov_model *model;
    gov_error err;

    if (argc < 4) {
        fprintf(stderr,
                "usage: %s MODEL stock|governed CGROUP-FOLDER [threads [tokens "
                "[ahead [slack-MiB [hot-MiB]]]]]\n",
                argv[0]);
        return 2;
    }
    set.model = argv[1];
    set.mode = argv[2];
    set.cgroup = argv[3];
    if (argc > 4)
        set.threads = (int)strtol(argv[4], NULL, 10);
    if (argc > 5)
        set.tokens = (int)strtol(argv[5], NULL, 10);
    if (argc > 6)
        set.ahead = (uint32_t)strtoul(argv[6], NULL, 10);
    if (argc > 7)
        set.slack_bytes = strtoull(argv[7], NULL, 10) << 20;
    if (argc > 8)
        set.hot_bytes = strtoull(argv[8], NULL, 10) << 20;
    if (set.tokens < 1 || set.tokens > MAX_TOKENS)
        return 2;
    drop_cache(set.model);
    enter(set.cgroup);
    llama_log_set(quiet, NULL);
    llama_backend_init();
    if (gov_model_open(&model, set.model, NULL, &err) != GOV_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    run(&set, model);
    gov_model_close(model);
    return 0;
}
