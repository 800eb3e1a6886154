/* SPDX-License-Identifier: MIT */
/* stock MODEL: generates with llama.cpp through its own API and nothing of the
 * governor, in the same way as `gov run`: same batch, same greedy choice. What
 * comparisons call "stock". Prints one JSON object. With --load-only or
 * --vocab-only it ends when the load call has returned. */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct settings {
    const char *model, *prompt;
    int tokens, threads, context;
    bool repack;
    bool print;
    bool load_only, vocab_only;
};

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void silent(enum ggml_log_level level, const char *text, void *data)
{
    (void)data;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static unsigned long long read_bytes(void)
{
    unsigned long long bytes = 0;
    char line[128];
    FILE *f = fopen("/proc/self/io", "re");

    if (f == NULL)
        return 0;
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "read_bytes:", 11) == 0)
            bytes = strtoull(line + 11, NULL, 10);
    fclose(f);
    return bytes;
}

static llama_token choose(struct llama_context *context, int32_t vocabulary)
{
    const float *logits = llama_get_logits_ith(context, -1);
    llama_token best = 0;

    for (llama_token i = 1; i < vocabulary; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static bool parse(int argc, char **argv, struct settings *s)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--no-repack") == 0)
            s->repack = false;
        else if (strcmp(argv[i], "--print") == 0)
            s->print = true;
        else if (strcmp(argv[i], "--load-only") == 0)
            s->load_only = true;
        else if (strcmp(argv[i], "--vocab-only") == 0)
            s->vocab_only = true;
        else if (strcmp(argv[i], "--prompt") == 0)
            s->prompt = value, i++;
        else if (strcmp(argv[i], "--tokens") == 0)
            s->tokens = (int)strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--threads") == 0)
            s->threads = (int)strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--ctx") == 0)
            s->context = (int)strtol(value, NULL, 10), i++;
        else if (argv[i][0] != '-' && s->model == NULL)
            s->model = argv[i];
        else
            return false;
    }
    return s->model != NULL && s->tokens > 0 && s->context > 0;
}

/* Memory that is nobody's file: RssAnon of proc(5). */
static unsigned long long anon_bytes(void)
{
    unsigned long long kib = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "RssAnon: %llu kB", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib * 1024;
}

/* The load call alone. */
static int loaded(double start)
{
    printf("{\"event\":\"loaded\",\"load_ms\":%.3f,\"read_bytes\":%llu}\n",
           (now() - start) * 1e3, read_bytes());
    return 0;
}

static int generate(const struct settings *s, struct llama_context *context,
                    const struct llama_vocab *vocab, double start)
{
    llama_token prompt[1024];
    int32_t vocabulary = llama_vocab_n_tokens(vocab);
    int n = llama_tokenize(vocab, s->prompt, (int32_t)strlen(s->prompt), prompt,
                           1024, true, true);
    unsigned long long read_before;
    double first = 0, last = 0, begun = now();
    char piece[256];

    if (n <= 0 || llama_decode(context, llama_batch_get_one(prompt, n)) != 0)
        return 1;
    read_before = read_bytes();
    for (int i = 0; i < s->tokens; i++) {
        llama_token token = choose(context, vocabulary);

        last = now();
        if (i == 0) {
            first = last;
            read_before = read_bytes();
        }
        if (s->print) {
            int32_t bytes = llama_token_to_piece(vocab, token, piece,
                                                 sizeof(piece), 0, false);

            fwrite(piece, 1, bytes > 0 ? (size_t)bytes : 0, stderr);
        }
        if (i + 1 < s->tokens &&
            llama_decode(context, llama_batch_get_one(&token, 1)) != 0)
            return 1;
    }
    printf("{\"event\":\"done\",\"tokens\":%d,\"tokens_per_second\":%.3f,"
           "\"first_token_ms\":%.0f,\"load_ms\":%.0f,"
           "\"decode_read_bytes\":%llu,\"anon_bytes\":%llu}\n",
           s->tokens, s->tokens > 1 ? (s->tokens - 1) / (last - first) : 0.0,
           (first - begun) * 1e3, (begun - start) * 1e3,
           read_bytes() - read_before, anon_bytes());
    return 0;
}

int main(int argc, char **argv)
{
    struct settings s = {.prompt = "Once upon a time the little robot",
                         .tokens = 16,
                         .threads = 2,
                         .context = 512,
                         .repack = true};
    struct llama_model_params mp = llama_model_default_params();
    struct llama_context_params cp = llama_context_default_params();
    struct llama_context *context = NULL;
    struct llama_model *model;
    double start;
    int rc = 1;

    if (!parse(argc, argv, &s)) {
        fprintf(stderr, "usage: stock MODEL [--prompt TEXT] [--tokens N] "
                        "[--threads N] [--ctx N] [--no-repack] [--print] "
                        "[--load-only] [--vocab-only]\n");
        return 2;
    }
    llama_log_set(silent, NULL);
    start = now();
    mp.n_gpu_layers = 0;
    mp.use_extra_bufts = s.repack;
    mp.vocab_only = s.vocab_only;
    model = llama_model_load_from_file(s.model, mp);
    cp.n_ctx = (uint32_t)s.context;
    cp.n_batch = cp.n_ubatch = 512;
    cp.n_threads = cp.n_threads_batch = s.threads;
    if (model != NULL && (s.load_only || s.vocab_only))
        rc = loaded(start);
    else if (model != NULL)
        context = llama_init_from_model(model, cp);
    if (context != NULL)
        rc = generate(&s, context, llama_model_get_vocab(model), start);
    if (context != NULL)
        llama_free(context);
    if (model != NULL)
        llama_model_free(model);
    if (rc != 0)
        fprintf(stderr, "stock: llama.cpp failed\n");
    return rc;
}
