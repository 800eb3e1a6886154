/* SPDX-License-Identifier: MIT */
/* budget_cut MODEL --budget BYTES --cut PERCENT: generates under a budget, takes that
 * share of it away in the middle with gov_set_budget(), and prints one JSON object:
 * what each token took before and after, and how long the process's footprint and
 * the model's pages in memory together stayed above what is left. Uses public
 * headers alone, as an app would. Exit status 77 where weights are not streamed. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "governor/governor.h"

#define TOKENS 256

struct cut {
    const char *path;
    uint64_t budget_bytes, percent, tokens, threads;

    const struct gov_engine *engine;
    gov_policy *policy;
    gov_runtime *runtime;
    gov_model *model;
    gov_session *session;
    struct gov_device device;
    struct gov_plan plan;

    uint32_t seen;
    double last, token_ms[TOKENS];

    pthread_t watcher;
    atomic_bool stop;
    _Atomic uint64_t cut_us;   /* when; 0: not yet */
    _Atomic uint64_t above_us; /* when there was last too much in memory */
    _Atomic uint64_t most_bytes, end_bytes; /* after the cut */
};

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t left_bytes(const struct cut *cut)
{
    return cut->budget_bytes / 100 * (100 - cut->percent);
}

/* ---- what is in memory ------------------------------------------------------------ */

/* By the kernel's word, of a range that maps a file. */
static uint64_t resident(unsigned char *base, size_t bytes, size_t page)
{
    static unsigned char there[1 << 16];
    const size_t step = sizeof(there) * page;
    uint64_t sum = 0;

    for (size_t at = 0; at < bytes; at += step) {
        size_t n = bytes - at < step ? bytes - at : step;

        if (mincore(base + at, n, there) != 0)
            continue;
        for (size_t i = 0; i < (n + page - 1) / page; i++)
            sum += (there[i] & 1) * page;
    }
    return sum;
}

/* What of the model's file this process has mapped and is in memory. */
static uint64_t weights_bytes(const struct cut *cut)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long from, to;
    uint64_t sum = 0;
    char line[1024];

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
        if (strstr(line, cut->path) != NULL &&
            sscanf(line, "%lx-%lx", &from, &to) == 2)
            sum += resident((unsigned char *)from, to - from, page);
    if (maps != NULL)
        fclose(maps);
    return sum;
}

static void *watch(void *arg)
{
    const struct timespec breath = {0, 10000000};
    struct cut *cut = arg;

    while (!atomic_load(&cut->stop)) {
        struct gov_footprint footprint;
        uint64_t bytes;

        if (atomic_load(&cut->cut_us) != 0 &&
            gov_footprint_now(&footprint, NULL) == GOV_OK) {
            bytes = footprint.footprint_bytes + weights_bytes(cut);
            atomic_store(&cut->end_bytes, bytes);
            if (bytes > atomic_load(&cut->most_bytes))
                atomic_store(&cut->most_bytes, bytes);
            if (bytes > left_bytes(cut))
                atomic_store(&cut->above_us, now_us());
        }
        nanosleep(&breath, NULL);
    }
    return NULL;
}

/* ---- generating ------------------------------------------------------------------- */

/* Half of the tokens come before the cut. */
static bool on_piece(void *ctx, const char *text, size_t bytes)
{
    struct cut *cut = ctx;
    uint64_t at = now_us();

    (void)text;
    (void)bytes;
    if (cut->seen > 0)
        cut->token_ms[cut->seen - 1] = ((double)at - cut->last) / 1e3;
    cut->seen++;
    if (cut->seen == cut->tokens / 2) {
        atomic_store(&cut->cut_us, at);
        atomic_store(&cut->above_us, at);
        gov_set_budget(cut->runtime, left_bytes(cut));
    }
    cut->last = (double)now_us();
    return true;
}

static gov_status plan(struct cut *cut, gov_error *err)
{
    struct gov_facts facts = {0};
    char note[GOV_MESSAGE_BYTES];
    gov_status status = gov_model_open(&cut->model, cut->path, NULL, err);

    if (status == GOV_OK)
        status = gov_policy_open(&cut->policy, NULL, NULL, NULL, NULL, NULL,
                                 NULL, err);
    if (status == GOV_OK)
        status = gov_device_current(&cut->device, note, sizeof(note), err);
    if (status != GOV_OK)
        return status;
    gov_device_facts(&cut->device, &facts);
    gov_model_facts(cut->model, &facts);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, cut->budget_bytes);
    gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, 512);
    return gov_plan_decide(&cut->plan, cut->policy, &facts, NULL, NULL, err);
}

static gov_status load(struct cut *cut, gov_error *err)
{
    struct gov_options options = gov_options_default();
    struct gov_load request = {.size = sizeof(request),
                               .model = cut->model,
                               .plan = &cut->plan,
                               .threads = (uint32_t)cut->threads};
    gov_status status = gov_engine_open(&cut->engine, "llama", err);

    options.app = "cut";
    options.no_publish = true;
    options.budget_bytes = cut->budget_bytes;
    if (status == GOV_OK)
        status = gov_open(&cut->runtime, &options, err);
    request.runtime = cut->runtime;
    if (status == GOV_OK)
        status = cut->engine->load(&cut->session, &request, err);
    return status;
}

static gov_status generate(struct cut *cut, gov_error *err)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt =
                                       "Once upon a time the little robot",
                                   .tokens = (uint32_t)cut->tokens,
                                   .ignore_end = true,
                                   .piece = on_piece,
                                   .ctx = cut};
    struct gov_generated out;
    gov_status status;

    if (pthread_create(&cut->watcher, NULL, watch, cut) != 0)
        return gov_fail(err, GOV_E_NOMEM, 0, "no thread to watch memory with");
    status = cut->engine->generate(cut->session, &request, &out, err);
    /* What became cold last is still being dropped. */
    if (status == GOV_OK)
        nanosleep(&(struct timespec){0, 300000000}, NULL);
    atomic_store(&cut->stop, true);
    pthread_join(cut->watcher, NULL);
    return status;
}

/* ---- the answer ------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, uint64_t count)
{
    double sorted[TOKENS];

    if (count == 0)
        return 0;
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), compare);
    return sorted[count / 2];
}

/* New steady state: the last quarter. Worst: from the third token after the cut. */
static void print(const struct cut *cut)
{
    const uint64_t count = cut->seen - 1, at = cut->tokens / 2 - 1;
    const uint64_t quarter = cut->tokens / 4;
    double steady = median(cut->token_ms + count - quarter, quarter);
    double worst = 0;

    for (uint64_t i = at + 2; i < count; i++)
        if (cut->token_ms[i] > worst)
            worst = cut->token_ms[i];
    printf("{\"event\":\"cut\",\"before_ms\":%.2f,\"steady_ms\":%.2f,"
           "\"worst_ms\":%.2f,\"worst_of_steady\":%.3f,\"below_ms\":%.0f,"
           "\"left_bytes\":%llu,\"most_bytes\":%llu,\"end_bytes\":%llu,"
           "\"token_ms\":[",
           median(cut->token_ms, at), steady, worst,
           steady > 0 ? worst / steady : 0.0,
           (double)(cut->above_us - cut->cut_us) / 1e3,
           (unsigned long long)left_bytes(cut),
           (unsigned long long)cut->most_bytes,
           (unsigned long long)cut->end_bytes);
    for (uint64_t i = 0; i < count; i++)
        printf("%s%.2f", i == 0 ? "" : ",", cut->token_ms[i]);
    printf("]}\n");
}

static bool parse(int argc, char **argv, struct cut *cut)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--budget") == 0)
            cut->budget_bytes = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--cut") == 0)
            cut->percent = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--tokens") == 0)
            cut->tokens = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--threads") == 0)
            cut->threads = strtoull(value, NULL, 10), i++;
        else if (argv[i][0] != '-' && cut->path == NULL)
            cut->path = argv[i];
        else
            return false;
    }
    return cut->path != NULL && cut->budget_bytes > 0 && cut->percent < 100 &&
           cut->tokens >= 16 && cut->tokens <= TOKENS;
}

int main(int argc, char **argv)
{
    struct cut cut = {.percent = 30, .tokens = 48};
    gov_status status;
    gov_error err;
    int rc = 0;

    if (!parse(argc, argv, &cut)) {
        fprintf(stderr,
                "usage: budget_cut MODEL --budget BYTES [--cut PERCENT] "
                "[--tokens 16..256] [--threads N]\n");
        return 2;
    }
    status = plan(&cut, &err);
    if (status == GOV_OK)
        status = load(&cut, &err);
    if (status == GOV_OK && cut.plan.strategy != GOV_STRATEGY_HYBRID) {
        fprintf(stderr, "budget_cut: weights are not streamed: %s\n",
                cut.engine->describe(cut.session));
        rc = 77;
    } else if (status == GOV_OK) {
        status = generate(&cut, &err);
    }
    if (status != GOV_OK) {
        fprintf(stderr, "budget_cut: %s\n", err.message);
        rc = 1;
    }
    if (rc == 0)
        print(&cut);
    if (cut.engine != NULL)
        cut.engine->unload(cut.session);
    gov_close(cut.runtime);
    gov_policy_free(cut.policy);
    gov_model_close(cut.model);
    return rc;
}
