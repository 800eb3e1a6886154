/* SPDX-License-Identifier: MIT */
/* need NAME MODEL.gguf CONTEXT TYPE [SETTING]: a row of a table, what
 * gov_model_need() estimates beside what llama.cpp's dry run says. In front of it,
 * and a tab, is the difference of what is farthest off, in tenths of a per cent, to
 * sort by; behind it, and a tab, that of the compute buffers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "governor/governor.h"

struct pair {
    uint64_t estimate, actual;
};

/* In tenths of a per cent; what should be nothing and is not counts in full. */
static int64_t off(struct pair p)
{
    if (p.estimate == p.actual)
        return 0;
    if (p.actual == 0)
        return 1000;
    return (int64_t)(1000.0 * ((double)p.estimate - (double)p.actual) /
                     (double)p.actual);
}

static double mb(uint64_t bytes)
{
    return (double)bytes / 1e6;
}

static void cell(struct pair p)
{
    if (p.estimate == p.actual)
        printf(" %.1f |", mb(p.actual));
    else
        printf(" **%.1f / %.1f** |", mb(p.estimate), mb(p.actual));
}

static int fail(const char *what, const gov_error *err)
{
    fprintf(stderr, "need: %s: %s\n", what, err->message);
    return 1;
}

static int64_t worst(const struct pair *pairs, int count)
{
    int64_t most = 0;

    for (int i = 0; i < count; i++) {
        int64_t one = off(pairs[i]) < 0 ? -off(pairs[i]) : off(pairs[i]);

        most = one > most ? one : most;
    }
    return most;
}

static void row(char **argv, const struct gov_need *estimate,
                const struct gov_need *actual)
{
    const struct gov_pool *e = &estimate->ram, *a = &actual->ram;
    const struct pair pairs[] = {{e->weights, a->weights},
                                 {e->kv, a->kv},
                                 {e->state, a->state},
                                 {e->output, a->output},
                                 {e->compute, a->compute}};
    double share = (double)off(pairs[4]) / 10;

    printf("%" PRId64 "\t| %s | %s | %s |", worst(pairs, 5), argv[1], argv[3],
           argv[4]);
    for (int i = 0; i < 4; i++)
        cell(pairs[i]);
    printf(share < -10 || share > 10 ? " %.1f | %.1f | **%+.1f %%** |\t%+.1f\n"
                                     : " %.1f | %.1f | %+.1f %% |\t%+.1f\n",
           mb(e->compute), mb(a->compute), share, share);
}

/* What differs from how our adapter loads a model; false for no setting. */
static bool set(struct gov_need_request *request, const char *setting)
{
    if (strcmp(setting, "batch-64") == 0)
        request->batch = 64;
    else if (strcmp(setting, "batch-2048") == 0)
        request->batch = 2048;
    else if (strcmp(setting, "all-outputs") == 0)
        request->outputs = 0;
    else if (strcmp(setting, "4-sequences") == 0)
        request->sequences = 4;
    else if (strcmp(setting, "4-apart") == 0) {
        request->sequences = 4;
        request->unified = false;
    } else if (strcmp(setting, "no-flash") == 0)
        request->flash_attention = false;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct gov_need_request request = gov_need_request_default();
    struct gov_need estimate, actual;
    const struct gov_engine *engine;
    gov_model *model;
    gov_error err;

    if (argc < 5 || argc > 6 || (argc == 6 && !set(&request, argv[5]))) {
        fputs("usage: need NAME MODEL.gguf CONTEXT TYPE [batch-64 | batch-2048 "
              "| all-outputs | 4-sequences | 4-apart | no-flash]\n",
              stderr);
        return 2;
    }
    request.context = (uint32_t)strtoul(argv[3], NULL, 10);
    request.k_type = request.v_type = gov_kv_type_find(argv[4]);
    if (gov_engine_open(&engine, "llama", &err) != GOV_OK ||
        gov_model_open(&model, argv[2], NULL, &err) != GOV_OK)
        return fail(argv[1], &err);
    if (engine->dry_run == NULL) {
        fputs("need: this adapter was built without the engine's sources\n",
              stderr);
        return 77;
    }
    if (gov_model_need(model, &request, &estimate, &err) != GOV_OK ||
        engine->dry_run(model, &request, &actual, &err) != GOV_OK)
        return fail(argv[1], &err);
    row(argv, &estimate, &actual);
    gov_model_close(model);
    return 0;
}
