/* SPDX-License-Identifier: MIT */
/* What this engine gains on this machine from weights in a layout of its own, and
 * from huge pages: products of a matrix and a vector, which is what generating a
 * token is made of, timed beside each other. Owns nothing that outlives a call. */
#include <errno.h>
#include <ggml-backend.h>
#include <ggml.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "adapters/llama/llama_session.h"

#define SIDE 4096
#define MATRICES 8 /* 75 MB: more than processors' caches hold */
#define ROUNDS 12
#define HUGE ((size_t)2 << 20)

/* ISO C has no conversion of an object's address to a function's. */
union entry {
    void *address;
    ggml_backend_dev_get_extra_bufts_t get_types;
    ggml_backend_set_n_threads_t set_threads;
};

static union entry find_entry(ggml_backend_dev_t device, const char *name)
{
    return (union entry){.address = ggml_backend_reg_get_proc_address(
                             ggml_backend_dev_backend_reg(device), name)};
}

/* One way to hold the matrices, and what multiplies them. */
struct way {
    struct ggml_context *weights, *rest;
    ggml_backend_buffer_t buffer, rest_buffer;
    struct ggml_cgraph *graph[MATRICES]; /* a product each */
    void *pages;
    size_t page_bytes;
    uint64_t best_ns[MATRICES];
};

static void close_way(struct way *way)
{
    if (way->buffer != NULL)
        ggml_backend_buffer_free(way->buffer);
    if (way->rest_buffer != NULL)
        ggml_backend_buffer_free(way->rest_buffer);
    if (way->weights != NULL)
        ggml_free(way->weights);
    if (way->rest != NULL)
        ggml_free(way->rest);
    if (way->pages != NULL)
        munmap(way->pages, way->page_bytes);
}

static struct ggml_context *new_context(size_t tensors)
{
    struct ggml_init_params params = {
        (ggml_tensor_overhead() + ggml_graph_overhead()) * tensors, NULL, true};

    return ggml_init(params);
}

/* Memory of small pages, or of huge ones where the system has them. */
static bool place_in_pages(struct way *way, bool huge)
{
    const size_t bytes =
        ggml_nbytes(ggml_get_first_tensor(way->weights)) * MATRICES;
    char *at;

    way->page_bytes = bytes + 2 * HUGE;
    way->pages = mmap(NULL, way->page_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (way->pages == MAP_FAILED) {
        way->pages = NULL;
        return false;
    }
#ifdef MADV_HUGEPAGE
    (void)madvise(way->pages, way->page_bytes,
                  huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#else
    (void)huge;
#endif
    at = (char *)way->pages + HUGE - (uintptr_t)way->pages % HUGE;
    way->buffer = ggml_backend_cpu_buffer_from_ptr(at, bytes);
    if (way->buffer == NULL)
        return false;
    for (struct ggml_tensor *t = ggml_get_first_tensor(way->weights); t != NULL;
         t = ggml_get_next_tensor(way->weights, t)) {
        if (ggml_backend_tensor_alloc(way->buffer, t, at) !=
            GGML_STATUS_SUCCESS)
            return false;
        at += ggml_nbytes(t);
    }
    return true;
}

/* Blocks of a scale (1/16 as a half) and 32 values of 4 bits; which ones does
 * not matter to the time. */
static void fill(unsigned char *bytes, size_t count)
{
    uint32_t n = 1;

    for (size_t i = 0; i < count; i++) {
        n = n * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(n >> 24);
        if (i % 18 < 2)
            bytes[i] = i % 18 == 0 ? 0x00 : 0x2c;
    }
}

/* The matrices, and a graph of one product each. */
static bool describe(struct way *way, ggml_backend_t backend)
{
    struct ggml_tensor *vector, *product;

    way->weights = new_context(MATRICES);
    way->rest = new_context(MATRICES + 1);
    if (way->weights == NULL || way->rest == NULL)
        return false;
    vector = ggml_new_tensor_1d(way->rest, GGML_TYPE_F32, SIDE);
    for (int i = 0; i < MATRICES; i++) {
        product = ggml_mul_mat(
            way->rest,
            ggml_new_tensor_2d(way->weights, GGML_TYPE_Q4_0, SIDE, SIDE),
            vector);
        way->graph[i] = ggml_new_graph(way->rest);
        ggml_build_forward_expand(way->graph[i], product);
        way->best_ns[i] = UINT64_MAX;
    }
    way->rest_buffer = ggml_backend_alloc_ctx_tensors(way->rest, backend);
    if (way->rest_buffer != NULL)
        ggml_backend_buffer_clear(way->rest_buffer, 0);
    return way->rest_buffer != NULL;
}

/* False when there is no memory. */
static bool open_way(struct way *way, ggml_backend_t backend,
                     ggml_backend_buffer_type_t type, bool huge)
{
    unsigned char *bytes;
    size_t count;

    if (!describe(way, backend))
        return false;
    if (type == NULL && !place_in_pages(way, huge))
        return false;
    if (type != NULL)
        way->buffer =
            ggml_backend_alloc_ctx_tensors_from_buft(way->weights, type);
    count = ggml_nbytes(ggml_get_first_tensor(way->weights));
    bytes = way->buffer != NULL ? gov_heap_alloc(count, "gains") : NULL;
    if (bytes == NULL)
        return false;
    fill(bytes, count);
    for (struct ggml_tensor *t = ggml_get_first_tensor(way->weights); t != NULL;
         t = ggml_get_next_tensor(way->weights, t))
        ggml_backend_tensor_set(t, bytes, 0, count);
    gov_heap_free(bytes);
    return true;
}

/* Of this thread, which is the one that multiplies: not what others had the
 * processor for meanwhile. */
static uint64_t spent_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* By the time a matrix comes again all others have been through the caches. */
static bool time_way(struct way *way, ggml_backend_t backend)
{
    for (int i = 0; i < MATRICES; i++) {
        uint64_t start = spent_ns(), took;

        if (ggml_backend_graph_compute(backend, way->graph[i]) !=
            GGML_STATUS_SUCCESS)
            return false;
        took = spent_ns() - start;
        if (took < way->best_ns[i])
            way->best_ns[i] = took;
    }
    return true;
}

/* The layout that llama.cpp would choose: the first of the device's own in which
 * it can multiply. NULL: none. */
static ggml_backend_buffer_type_t find_layout(ggml_backend_dev_t device,
                                              ggml_backend_t backend)
{
    const union entry get =
        find_entry(device, "ggml_backend_dev_get_extra_bufts");
    ggml_backend_buffer_type_t *types =
        get.address != NULL ? get.get_types(device) : NULL;
    ggml_backend_buffer_type_t found = NULL;

    for (; types != NULL && *types != NULL && found == NULL; types++) {
        struct way way = {0};

        if (describe(&way, backend) &&
            (way.buffer = ggml_backend_alloc_ctx_tensors_from_buft(
                 way.weights, *types)) != NULL &&
            ggml_backend_dev_supports_op(device,
                                         ggml_graph_node(way.graph[0], 0)))
            found = *types;
        close_way(&way);
    }
    return found;
}

enum { PLAIN, HUGE_PAGES, REPACKED, WAYS };

static gov_status time_all(struct way ways[WAYS], ggml_backend_t backend,
                           gov_progress_fn progress, void *progress_ctx,
                           gov_error *err)
{
    for (int round = 0; round < ROUNDS; round++) {
        if (progress != NULL &&
            !progress(progress_ctx, (uint32_t)(1000 * round / ROUNDS),
                      "timing the engine"))
            return gov_fail(err, GOV_E_CANCELLED, 0,
                            "timing the engine was stopped");
        for (int i = 0; i < WAYS; i++)
            if (ways[i].buffer != NULL && !time_way(&ways[i], backend))
                return gov_fail(err, GOV_E_ENGINE, 0,
                                "llama.cpp failed to multiply a matrix");
    }
    return GOV_OK;
}

static uint64_t gain(const struct way *way, const struct way *plain)
{
    uint64_t its = 1, plains = 0;

    for (int i = 0; i < MATRICES; i++) {
        its += way->best_ns[i];
        plains += plain->best_ns[i];
    }
    return 1000 * plains / its;
}

static gov_status measure(struct gov_facts *facts, ggml_backend_t backend,
                          ggml_backend_buffer_type_t layout,
                          gov_progress_fn progress, void *progress_ctx,
                          gov_error *err)
{
    struct way ways[WAYS];
    gov_status status;
    bool opened;

    memset(ways, 0, sizeof(ways));
    opened =
        open_way(&ways[PLAIN], backend, NULL, false) &&
        open_way(&ways[HUGE_PAGES], backend, NULL, true) &&
        (layout == NULL || open_way(&ways[REPACKED], backend, layout, false));
    if (opened)
        status = time_all(ways, backend, progress, progress_ctx, err);
    else
        status = gov_fail(err, GOV_E_NOMEM, 0,
                          "no memory for 230 MB of matrices to time the engine "
                          "with; free some and try again");
    if (status == GOV_OK) {
        gov_facts_set(facts, GOV_FACT_DEVICE_HUGE_GAIN,
                      gain(&ways[HUGE_PAGES], &ways[PLAIN]));
        if (layout != NULL)
            gov_facts_set(facts, GOV_FACT_DEVICE_REPACK_GAIN,
                          gain(&ways[REPACKED], &ways[PLAIN]));
        else
            status = gov_fail(err, GOV_E_UNSUPPORTED, 0,
                              "this build of llama.cpp has no layout of its "
                              "own for weights on this processor");
    }
    for (int i = 0; i < WAYS; i++)
        close_way(&ways[i]);
    return status;
}

gov_status gov__llama_gains(struct gov_facts *facts, gov_progress_fn progress,
                            void *progress_ctx, gov_error *err)
{
    ggml_backend_dev_t device =
        ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_t backend =
        device != NULL ? ggml_backend_dev_init(device, NULL) : NULL;
    union entry threads;
    gov_status status;

    if (backend == NULL)
        return gov_fail(err, GOV_E_ENGINE, 0,
                        "llama.cpp has nothing to compute with on this "
                        "processor");
    threads = find_entry(device, "ggml_backend_set_n_threads");
    if (threads.address != NULL)
        threads.set_threads(backend, 1);
    gov__llama_log_acquire();
    status = measure(facts, backend, find_layout(device, backend), progress,
                     progress_ctx, err);
    gov__llama_log_release();
    ggml_backend_free(backend);
    return status;
}
