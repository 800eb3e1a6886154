/* SPDX-License-Identifier: MIT */
/* header_time FILE [TURNS]: reads a model's header by turns with gov_model_open()
 * and with llama.cpp's gguf_init_from_file(). Prints a row of a table: the
 * medians in ms, their ratio, the best of each, how many turns. The first turn,
 * which may read from storage, does not count. */
#include <gguf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "governor/model.h"

#define TURNS_MOST 1000

static double now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec * 1e-6;
}

static double time_ours(const char *path)
{
    double start = now_ms();
    gov_model *model;
    gov_error err;

    if (gov_model_open(&model, path, NULL, &err) != GOV_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    gov_model_close(model);
    return now_ms() - start;
}

static double time_theirs(const char *path)
{
    /* Without the tensors that llama.cpp then makes: the least it can do. */
    struct gguf_init_params params = {.no_alloc = true, .ctx = NULL};
    double start = now_ms();
    struct gguf_context *context = gguf_init_from_file(path, params);

    if (context == NULL) {
        fprintf(stderr, "llama.cpp does not read %s\n", path);
        exit(1);
    }
    gguf_free(context);
    return now_ms() - start;
}

static int by_time(const void *left, const void *right)
{
    const double *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

int main(int argc, char **argv)
{
    static double ours[TURNS_MOST], theirs[TURNS_MOST];
    int turns = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 21;

    if (argc < 2 || turns < 1 || turns > TURNS_MOST) {
        fprintf(stderr, "usage: header_time FILE [TURNS]\n");
        return 2;
    }
    time_ours(argv[1]);
    for (int i = 0; i < turns; i++) {
        ours[i] = time_ours(argv[1]);
        theirs[i] = time_theirs(argv[1]);
    }
    qsort(ours, (size_t)turns, sizeof(ours[0]), by_time);
    qsort(theirs, (size_t)turns, sizeof(theirs[0]), by_time);
    printf("| %.2f | %.2f | %.1f | %.2f | %.2f | %d |\n", ours[turns / 2],
           theirs[turns / 2], theirs[turns / 2] / ours[turns / 2], ours[0],
           theirs[0], turns);
    return 0;
}
