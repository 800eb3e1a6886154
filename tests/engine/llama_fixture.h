/* SPDX-License-Identifier: MIT */
/* What the engine tests share: models made for them, and the control, which runs
 * llama.cpp through its own API and nothing of ours. */
#ifndef GOV_TESTS_LLAMA_FIXTURE_H
#define GOV_TESTS_LLAMA_FIXTURE_H

#include <check.h>
#include <llama.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/run.h"

/* ---- models -------------------------------------------------------------------- */

/* Made before the tests fork, so that all of them share the files. */
static char models_directory[256];

static inline const char *in_directory(const char *name)
{
    static char path[2][512];
    static int n;

    n = !n;
    snprintf(path[n], sizeof(path[n]), "%s/%s", models_directory, name);
    return path[n];
}

/* Runs a program that lies beside this one; returns how it ended. */
static inline int run_beside(const char *program, const char *const *arguments)
{
    const char *argv[16] = {program};
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
    pid_t child;
    int status, count = 0;

    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    ck_assert_ptr_nonnull(strrchr(path, '/'));
    snprintf(strrchr(path, '/') + 1, 32, "%s", program);
    while (arguments[count] != NULL && count < 14) {
        argv[count + 1] = arguments[count];
        count++;
    }
    child = fork();
    if (child == 0) {
        execv(path, (char *const *)argv);
        _exit(127);
    }
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static inline void make_directory_once(void)
{
    if (models_directory[0] == '\0')
        snprintf(models_directory, sizeof(models_directory), "%s",
                 fresh_directory());
}

static inline void make_model(const char *name, const char *type,
                              const char *preset)
{
    const char *const arguments[] = {"--quiet", "--preset", preset, "--type",
                                     type,      NULL,       NULL};
    const char *line[7];

    make_directory_once();
    if (access(in_directory(name), R_OK) == 0)
        return;
    memcpy(line, arguments, sizeof(line));
    line[5] = in_directory(name);
    ck_assert_msg(run_beside("mkmodel", line) == 0, "mkmodel failed");
}

/* ---- the control ----------------------------------------------------------------- */

#define CONTROL_BATCH 512

struct control {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    size_t vocabulary;
    uint32_t past;
    const float *logits; /* of the last token */
};

static inline void control_silent(enum ggml_log_level level, const char *text,
                                  void *data)
{
    (void)level;
    (void)text;
    (void)data;
}

/* As the adapter sets them, but for its callbacks. */
static inline struct llama_context_params control_params(uint32_t context,
                                                         int32_t threads)
{
    struct llama_context_params params = llama_context_default_params();

    params.n_ctx = context;
    params.n_batch = params.n_ubatch = CONTROL_BATCH;
    params.n_seq_max = 1;
    params.swa_full = false;
    params.n_threads = params.n_threads_batch = threads;
    return params;
}

static inline void control_open(struct control *c, const char *path,
                                bool repack,
                                const struct llama_context_params *params)
{
    struct llama_model_params mp = llama_model_default_params();

    memset(c, 0, sizeof(*c));
    llama_log_set(control_silent, NULL);
    mp.n_gpu_layers = 0;
    mp.use_extra_bufts = repack;
    c->model = llama_model_load_from_file(path, mp);
    ck_assert_ptr_nonnull(c->model);
    c->context = llama_init_from_model(c->model, *params);
    ck_assert_ptr_nonnull(c->context);
    c->vocab = llama_model_get_vocab(c->model);
    c->vocabulary = (size_t)llama_vocab_n_tokens(c->vocab);
}

static inline void control_close(struct control *c)
{
    llama_free(c->context);
    llama_model_free(c->model);
}

static inline void control_decode(struct control *c, llama_token *tokens,
                                  int32_t count)
{
    for (int32_t at = 0; at < count; at += CONTROL_BATCH) {
        int32_t n = count - at < CONTROL_BATCH ? count - at : CONTROL_BATCH;

        ck_assert_int_eq(
            llama_decode(c->context, llama_batch_get_one(tokens + at, n)), 0);
        c->past += (uint32_t)n;
    }
    c->logits = llama_get_logits_ith(c->context, -1);
}

static inline void control_clear(struct control *c)
{
    llama_memory_clear(llama_get_memory(c->context), false);
    c->past = 0;
    c->logits = NULL;
}

static inline int32_t control_tokens(const struct control *c, const char *text,
                                     bool first, llama_token *out, int32_t room)
{
    int32_t n = llama_tokenize(c->vocab, text, (int32_t)strlen(text), out, room,
                               first, true);

    ck_assert_int_gt(n, 0);
    return n;
}

/* Adds a text to the conversation; returns its tokens. */
static inline int32_t control_read(struct control *c, const char *text,
                                   bool first)
{
    static llama_token tokens[8192];
    int32_t n = control_tokens(c, text, first, tokens, 8192);

    control_decode(c, tokens, n);
    return n;
}

static inline llama_token control_choose(const struct control *c)
{
    llama_token best = 0;

    for (size_t i = 1; i < c->vocabulary; i++)
        if (c->logits[i] > c->logits[best])
            best = (llama_token)i;
    return best;
}

/* Bytes of a mapped file that this process has in memory. Not what the account
 * calls resident: that has pages in it which the system still caches. */
static inline uint64_t mapped_bytes_of(const char *name)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    unsigned long long kib;
    uint64_t bytes = 0;
    bool ours = false;
    char line[1024];

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        if (strchr(line, '/') != NULL)
            ours = strstr(line, name) != NULL;
        else if (ours && sscanf(line, "Rss: %llu", &kib) == 1)
            bytes += kib * 1024;
    fclose(maps);
    return bytes;
}

#endif
