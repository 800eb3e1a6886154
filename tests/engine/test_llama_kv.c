/* SPDX-License-Identifier: MIT */
/* The bookkeeping of llama.cpp's KV cache, on tensors made by hand and on the
 * engine itself with settings that the adapter does not use. */
#include "adapters/llama/llama_kv.c"

#include <stdlib.h>

#include "tests/engine/llama_fixture.h"
#include "tests/support/run.h"

/* ---- tensors made by hand -------------------------------------------------------- */

struct bench {
    struct ggml_context *fixed, *graph;
    ggml_backend_buffer_t buffer;
    struct ggml_tensor *k, *v, *rows;
    struct gov__llama_kv kv;
};

static struct bench bench; /* 28 KB: off the stack */

static struct ggml_context *context_new(void)
{
    struct ggml_init_params params = {ggml_tensor_overhead() * 64, NULL, true};

    return ggml_init(params);
}

/* K and V of one layer; `width` elements a cell, 32 rows to write at most. */
static void bench_open(int64_t width, int64_t cells, int64_t streams,
                       const char *layer)
{
    memset(&bench, 0, sizeof(bench));
    bench.kv.page_bytes = gov_page_bytes();
    bench.fixed = context_new();
    bench.graph = context_new();
    bench.k =
        ggml_new_tensor_3d(bench.fixed, GGML_TYPE_F16, width, cells, streams);
    bench.v =
        ggml_new_tensor_3d(bench.fixed, GGML_TYPE_F16, width, cells, streams);
    bench.rows = ggml_new_tensor_1d(bench.fixed, GGML_TYPE_I64, 32);
    ggml_format_name(bench.k, "cache_k_l%s", layer);
    ggml_format_name(bench.v, "cache_v_l%s", layer);
    bench.buffer = ggml_backend_alloc_ctx_tensors_from_buft(
        bench.fixed, ggml_backend_cpu_buffer_type());
    ck_assert_ptr_nonnull(bench.buffer);
    ggml_backend_buffer_clear(bench.buffer, 0xa5);
}

static void bench_close(void)
{
    ggml_backend_buffer_free(bench.buffer);
    ggml_free(bench.graph);
    ggml_free(bench.fixed);
}

static void see(struct ggml_tensor *cache, struct ggml_tensor *rows)
{
    struct ggml_tensor *source = ggml_new_tensor_2d(bench.graph, GGML_TYPE_F32,
                                                    cache->ne[0], rows->ne[0]);

    gov__kv_watch(&bench.kv, ggml_set_rows(bench.graph, cache, source, rows));
}

/* As llama.cpp writes cells [from, from + count): K, then V. */
static void write_cells(int64_t from, int64_t count, bool transposed)
{
    struct ggml_tensor *rows = ggml_view_1d(bench.graph, bench.rows, count, 0);
    struct ggml_tensor *k = bench.k, *v = bench.v;

    for (int64_t i = 0; i < count; i++)
        ((int64_t *)bench.rows->data)[i] = from + i;
    rows->buffer = bench.rows->buffer;
    if (transposed)
        v = ggml_reshape_2d(bench.graph, v, 1, ggml_nelements(v));
    if (k->ne[2] > 1)
        k = ggml_reshape_2d(bench.graph, k, k->ne[0], k->ne[1] * k->ne[2]);
    if (v->ne[2] > 1)
        v = ggml_reshape_2d(bench.graph, v, v->ne[0], v->ne[1] * v->ne[2]);
    see(k, rows);
    see(v, rows);
    gov__kv_account(&bench.kv);
}

/* As llama.cpp reads cells [0, count). */
static void read_cells(int64_t count)
{
    const struct ggml_tensor *k = bench.k;

    gov__kv_watch(&bench.kv,
                  ggml_view_4d(bench.graph, bench.k, k->ne[0] / 4, 4, count, 1,
                               k->nb[1] / 4, k->nb[1], k->nb[2], 0));
    gov__kv_account(&bench.kv);
}

/* What cell a byte of a cache tensor belongs to. */
static uint32_t cell_of(const struct ggml_tensor *tensor, bool transposed,
                        size_t byte)
{
    if (!transposed)
        return (uint32_t)(byte / tensor->nb[1]);
    return (uint32_t)((int64_t)(byte / tensor->nb[0]) % tensor->ne[1]);
}

/* By looking at every byte: pages of which all belong to cells [from, to). */
static uint64_t pages_of(const struct ggml_tensor *tensor, bool transposed,
                         const uint32_t cells[2], size_t page)
{
    uintptr_t begin = (uintptr_t)tensor->data;
    uintptr_t end = begin + ggml_nbytes(tensor);
    uint64_t bytes = 0;

    for (uintptr_t at = (begin + page - 1) & ~(page - 1); at + page <= end;
         at += page) {
        bool all = true;

        for (uintptr_t byte = at; byte < at + page && all; byte++) {
            uint32_t cell = cell_of(tensor, transposed, byte - begin);

            all = cell >= cells[0] && cell < cells[1];
        }
        if (all)
            bytes += page;
    }
    return bytes;
}

/* Bytes that are not as they were filled: zeros, and all in unused cells. One
 * assertion for all of them, since each costs a message to Check. */
static uint64_t lost(const struct ggml_tensor *tensor, bool transposed,
                     uint32_t high)
{
    const unsigned char *bytes = tensor->data;
    uint64_t count = 0, wrong = 0;

    for (size_t i = 0; i < ggml_nbytes(tensor); i++) {
        if (bytes[i] == 0xa5)
            continue;
        if (bytes[i] != 0 || cell_of(tensor, transposed, i) < high)
            wrong++;
        count++;
    }
    ck_assert_uint_eq(wrong, 0);
    return count;
}

static const struct {
    int64_t width, cells;
    bool transposed;
} shapes[] = {
    {256, 128, false}, /* 8 cells a page */
    {96, 256, false},  /* rows do not divide a page */
    {8192, 36, false}, /* a cell is four pages */
    {4, 16384, true},  /* a row is eight pages */
    {16, 3000, true},  /* rows begin within pages */
    {64, 512, true},   /* four rows a page */
};

static const uint32_t fills[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32};

START_TEST(exactly_the_whole_unused_pages_go)
{
    const size_t shape = (size_t)_i / (sizeof(fills) / sizeof(fills[0]));
    const uint32_t high =
        fills[(size_t)_i % (sizeof(fills) / sizeof(fills[0]))];
    const bool transposed = shapes[shape].transposed;
    const uint32_t cells[2] = {high, (uint32_t)shapes[shape].cells};
    uint64_t want;

    bench_open(shapes[shape].width, shapes[shape].cells, 1, "3");
    write_cells(0, high > 0 ? high : 1, transposed);
    if (high == 0)
        gov__kv_cleared(&bench.kv);
    for (size_t page = 4096; page <= 65536; page *= 4) {
        bench.kv.page_bytes = page;
        gov__kv_account(&bench.kv);
        want = pages_of(bench.k, false, cells, page) +
               pages_of(bench.v, transposed, cells, page);
        ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), want);
    }
    bench.kv.page_bytes = gov_page_bytes();
    want = pages_of(bench.k, false, cells, gov_page_bytes()) +
           pages_of(bench.v, transposed, cells, gov_page_bytes());
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(
        lost(bench.k, false, high) + lost(bench.v, transposed, high), want);
    ck_assert_uint_eq(atomic_load(&bench.kv.given_back_bytes), want);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.given_back_bytes), want);
    bench_close();
}
END_TEST

/* Grows, is released, grows on, is cleared, is released: the page that used and
 * unused cells shared goes at last. */
START_TEST(nothing_is_left_behind_after_growing)
{
    const uint32_t all[2] = {0, 512};

    bench_open(96, 512, 1, "0");
    write_cells(0, 5, false);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(bench.kv.layer[0].backed, 5);
    for (int64_t at = 5; at < 101; at += 32)
        write_cells(at, 32, false);
    ck_assert_uint_eq(bench.kv.layer[0].high, 101);
    ck_assert_uint_eq(bench.kv.layer[0].backed, 101);
    memset(bench.k->data, 0xa5, 101 * bench.k->nb[1]);
    gov__kv_cleared(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.used_bytes), 0);
    ck_assert_uint_eq(atomic_load(&bench.kv.held_bytes), 2 * 101 * 96 * 2);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.held_bytes), 0);
    ck_assert_uint_eq(lost(bench.k, false, 0),
                      pages_of(bench.k, false, all, gov_page_bytes()));
    bench_close();
}
END_TEST

static const struct {
    const char *layer; /* what follows cache_k_l and cache_v_l */
    bool matches;
} names[] = {
    {"0", true},
    {"511", true},
    {"512", false},
    {"0x", false},
    {"999999999999", false},
    {"99999999999999999999", false},
    {"", false},
    {"-1", false},
    {" 1", false},
    {"1 (view)", false},
    {"+1", false},
};

START_TEST(only_names_of_the_cache_match)
{
    bench_open(256, 64, 1, names[_i].layer);
    write_cells(0, 4, false);
    ck_assert_int_eq(bench.kv.layers > 0, names[_i].matches);
    ck_assert(!bench.kv.ungovernable);
    ck_assert(!bench.kv.unknown);
    bench_close();
}
END_TEST

static const char *const strangers[] = {"cache_r_l0", "cache_s_l0",
                                        "cache_k",    "cache_kk_l0",
                                        "k_l0",       "cache_idx_k_l0"};

START_TEST(recurrent_state_does_not_match)
{
    bench_open(256, 64, 1, "0");
    ggml_set_name(bench.k, strangers[_i]);
    ggml_set_name(bench.v, strangers[_i]);
    write_cells(0, 4, false);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(bench.kv.layers, 0);
    ck_assert_uint_eq(lost(bench.k, false, 64) + lost(bench.v, false, 64), 0);
    bench_close();
}
END_TEST

/* Each way in which the cache is not what is expected, and what it makes. */
static void break_streams(void)
{
    bench_close();
    bench_open(256, 64, 2, "0");
}

static void break_buffer(void)
{
    /* Host memory, but somebody else's: as memory pinned for a device is. */
    bench.k->buffer =
        ggml_backend_cpu_buffer_from_ptr(bench.k->data, ggml_nbytes(bench.k));
}

static void break_no_buffer(void)
{
    bench.v->buffer = NULL;
}

static void break_cells(void)
{
    bench.v->ne[1] = 32;
}

static void break_row(void)
{
    write_cells(64, 1, false);
}

static void break_negative_row(void)
{
    write_cells(-1, 1, false);
}

static const struct {
    void (*make)(void);
    bool unknown, ungovernable;
} breaks[] = {
    {break_streams, false, true},   {break_buffer, false, true},
    {break_no_buffer, false, true}, {break_cells, false, true},
    {break_row, true, false},       {break_negative_row, true, false},
};

START_TEST(what_is_not_understood_is_left_alone)
{
    ggml_backend_buffer_t before;

    bench_open(256, 64, 1, "0");
    before = bench.k->buffer;
    breaks[_i].make();
    write_cells(0, 4, false);
    ck_assert_int_eq(bench.kv.unknown, breaks[_i].unknown);
    ck_assert_int_eq(bench.kv.ungovernable, breaks[_i].ungovernable);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(lost(bench.k, false, 64) + lost(bench.v, false, 64), 0);
    gov__kv_cleared(&bench.kv);
    ck_assert(!bench.kv.unknown);
    ck_assert_int_eq(bench.kv.ungovernable, breaks[_i].ungovernable);
    if (breaks[_i].make == break_buffer)
        ggml_backend_buffer_free(bench.k->buffer);
    bench.k->buffer = before;
    bench_close();
}
END_TEST

START_TEST(restored_cells_are_kept_and_then_go)
{
    bench_open(256, 64, 1, "0");
    write_cells(0, 1, false);
    gov__kv_cleared(&bench.kv);
    gov__kv_release(&bench.kv);
    memset(bench.k->data, 0xa5, ggml_nbytes(bench.k));
    memset(bench.v->data, 0xa5, ggml_nbytes(bench.v));
    gov__kv_restored(&bench.kv, 40);
    ck_assert_uint_eq(atomic_load(&bench.kv.used_bytes), 2 * 40 * 512);
    ck_assert_uint_eq(atomic_load(&bench.kv.held_bytes), 2 * 40 * 512);
    write_cells(40, 1, false);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    ck_assert_uint_eq(atomic_load(&bench.kv.used_bytes), 2 * 41 * 512);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(lost(bench.k, false, 64) + lost(bench.v, false, 64), 0);
    gov__kv_cleared(&bench.kv);
    ck_assert_uint_gt(atomic_load(&bench.kv.unused_bytes), 2 * 30 * 512);
    gov__kv_release(&bench.kv);
    ck_assert_uint_gt(lost(bench.k, false, 0), 30 * 512);
    bench_close();
}
END_TEST

/* Nothing says that a state was put into the first cells. */
START_TEST(what_a_pass_does_not_read_goes_after_a_restore)
{
    bench_open(256, 64, 1, "0");
    write_cells(0, 1, false);
    gov__kv_cleared(&bench.kv);
    gov__kv_restored(&bench.kv, 20);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    read_cells(64);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    /* Not what attention reads: other offset, part of a cell. */
    gov__kv_watch(&bench.kv, ggml_view_4d(bench.graph, bench.k, 64, 4, 8, 1,
                                          128, 512, 512 * 64, 512));
    gov__kv_watch(&bench.kv, ggml_view_4d(bench.graph, bench.k, 32, 4, 8, 1,
                                          128, 512, 512 * 64, 0));
    gov__kv_account(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    write_cells(20, 1, false);
    read_cells(32);
    ck_assert_uint_eq(atomic_load(&bench.kv.used_bytes), 2 * 21 * 512);
    ck_assert_uint_ge(atomic_load(&bench.kv.unused_bytes),
                      2 * (32 * 512 - bench.kv.page_bytes));
    gov__kv_release(&bench.kv);
    ck_assert_uint_ge(lost(bench.k, false, 32) + lost(bench.v, false, 32),
                      2 * (32 * 512 - bench.kv.page_bytes));
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    ck_assert_uint_eq(bench.kv.layer[0].backed, 32);
    write_cells(40, 1, false); /* behind what was read */
    ck_assert_uint_eq(bench.kv.layer[0].backed, 41);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    bench_close();
}
END_TEST

/* ---- the engine with other settings ------------------------------------------------ */

static void make_models(void)
{
    make_model("tiny.gguf", "Q4_0", "tiny");
}

static bool watch(struct ggml_tensor *node, bool ask, void *kv)
{
    if (ask)
        gov__kv_watch(kv, node);
    return !ask;
}

static const struct {
    enum llama_flash_attn_type attention;
    enum ggml_type type;
    uint32_t sequences;
} settings[] = {
    {LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16, 1},
    {LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_Q8_0, 1},
    {LLAMA_FLASH_ATTN_TYPE_DISABLED, GGML_TYPE_F16, 1}, /* V transposed */
    {LLAMA_FLASH_ATTN_TYPE_DISABLED, GGML_TYPE_F32, 1},
    {LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16, 2}, /* two streams */
};

/* Two conversations on one engine, one of which is released after every pass and
 * cleared now and then. */
START_TEST(released_cells_change_no_logit)
{
    static struct gov__llama_kv kv;
    struct control plain, released;
    struct llama_context_params params = control_params(2048, 1);
    uint64_t given = 0;

    params.flash_attn_type = settings[_i].attention;
    params.type_k = params.type_v = settings[_i].type;
    params.n_seq_max = settings[_i].sequences;
    control_open(&plain, in_directory("tiny.gguf"), false, &params);
    memset(&kv, 0, sizeof(kv));
    kv.page_bytes = gov_page_bytes();
    params.cb_eval = watch;
    params.cb_eval_user_data = &kv;
    control_open(&released, in_directory("tiny.gguf"), false, &params);
    for (int n = 0; n < 60; n++) {
        llama_token token;

        if (n % 25 == 0) {
            llama_memory_clear(llama_get_memory(plain.context), false);
            llama_memory_clear(llama_get_memory(released.context), false);
            gov__kv_cleared(&kv);
            control_read(&plain, "Once upon a time", true);
            control_read(&released, "Once upon a time", true);
        }
        gov__kv_release(&kv);
        given = atomic_load(&kv.given_back_bytes);
        token = control_choose(&plain);
        control_decode(&plain, &token, 1);
        control_decode(&released, &token, 1);
        ck_assert_mem_eq(plain.logits, released.logits,
                         plain.vocabulary * sizeof(float));
    }
    ck_assert_int_eq(kv.ungovernable, settings[_i].sequences > 1);
    ck_assert_int_eq(given > 0, settings[_i].sequences == 1);
    if (settings[_i].attention == LLAMA_FLASH_ATTN_TYPE_DISABLED)
        ck_assert(kv.layer[0].v_transposed);
    control_close(&released);
    control_close(&plain);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *suite(void)
{
    Suite *s = suite_create("llama_kv");
    TCase *hand = tcase_create("by hand"), *engine = tcase_create("engine");

    tcase_add_loop_test(hand, exactly_the_whole_unused_pages_go, 0,
                        COUNT(shapes) * COUNT(fills));
    tcase_add_test(hand, nothing_is_left_behind_after_growing);
    tcase_add_loop_test(hand, only_names_of_the_cache_match, 0, COUNT(names));
    tcase_add_loop_test(hand, recurrent_state_does_not_match, 0,
                        COUNT(strangers));
    tcase_add_loop_test(hand, what_is_not_understood_is_left_alone, 0,
                        COUNT(breaks));
    tcase_add_test(hand, restored_cells_are_kept_and_then_go);
    tcase_add_test(hand, what_a_pass_does_not_read_goes_after_a_restore);
    suite_add_tcase(s, hand);
    tcase_add_unchecked_fixture(engine, make_models, NULL);
    tcase_add_loop_test(engine, released_cells_change_no_logit, 0,
                        COUNT(settings));
    suite_add_tcase(s, engine);
    return s;
}
