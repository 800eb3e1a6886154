/* SPDX-License-Identifier: MIT */
/* The mirror of llama.cpp's KV caches on tensors made by hand: which pages go, what is
 * mirrored of each call, and what is not understood. test_llama_kv_engine.c has the
 * engine itself. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "governor/governor.h"

static bool locked; /* the system takes nothing back */

static uint64_t discard(void *base, size_t bytes)
{
    return locked ? 0 : gov_discard(base, bytes);
}

/* There is no memory for small things. */
static bool without_memory;

static void *alloc_or_not(void *ctx, size_t bytes)
{
    (void)ctx;
    return without_memory ? NULL : malloc(bytes);
}

static void release_it(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static const struct gov_alloc *alloc_default(void)
{
    static const struct gov_alloc alloc = {NULL, alloc_or_not, release_it};

    return &alloc;
}

#define gov_alloc_default alloc_default
#define gov_discard discard
#include "adapters/llama/llama_kv.c"
#include "adapters/llama/llama_kv_cells.c"
#include "adapters/llama/llama_kv_give.c"
#include "adapters/llama/llama_kv_mask.c"
#undef gov_discard
#undef gov_alloc_default

#include "tests/support/run.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define ROWS 256 /* that are written at a time, at most */

/* ---- tensors made by hand -------------------------------------------------------- */

static struct bench {
    struct ggml_context *fixed, *graph;
    ggml_backend_buffer_t buffer;
    struct ggml_tensor *k, *v, *rows, *mask;
    bool transposed;
    struct gov__llama_kv kv;
} bench;

static struct ggml_context *context_new(void)
{
    struct ggml_init_params params = {ggml_tensor_overhead() * 4096, NULL,
                                      true};

    return ggml_init(params);
}

/* K and V of one layer; `width` elements a cell. The context was made without memory
 * when `fresh`. */
static void bench_open(int64_t width, int64_t cells, int64_t streams,
                       const char *layer, bool fresh)
{
    memset(&bench, 0, sizeof(bench));
    bench.kv.page_bytes = gov_page_bytes();
    bench.kv.fresh = fresh;
    bench.fixed = context_new();
    bench.graph = context_new();
    bench.k =
        ggml_new_tensor_3d(bench.fixed, GGML_TYPE_F16, width, cells, streams);
    bench.v =
        ggml_new_tensor_3d(bench.fixed, GGML_TYPE_F16, width, cells, streams);
    bench.rows = ggml_new_tensor_1d(bench.fixed, GGML_TYPE_I64, ROWS);
    bench.mask = ggml_new_tensor_2d(bench.fixed, GGML_TYPE_F32, cells, ROWS);
    ggml_format_name(bench.k, "cache_k_l%s", layer);
    ggml_format_name(bench.v, "cache_v_l%s", layer);
    bench.buffer = ggml_backend_alloc_ctx_tensors_from_buft(
        bench.fixed, ggml_backend_cpu_buffer_type());
    ck_assert_ptr_nonnull(bench.buffer);
    ggml_backend_buffer_clear(bench.buffer, 0xa5);
}

static void bench_close(void)
{
    gov__kv_close(&bench.kv);
    ggml_backend_buffer_free(bench.buffer);
    ggml_free(bench.graph);
    ggml_free(bench.fixed);
}

static struct gov__kv_cells *cells(void)
{
    return &bench.kv.cache[0];
}

static void see(struct ggml_tensor *cache, struct ggml_tensor *rows)
{
    struct ggml_tensor *source = ggml_new_tensor_2d(bench.graph, GGML_TYPE_F32,
                                                    cache->ne[0], rows->ne[0]);

    gov__kv_watch(&bench.kv, ggml_set_rows(bench.graph, cache, source, rows));
}

/* As llama.cpp writes the first `count` of bench.rows: K, then V. */
static void write_graph(int64_t count)
{
    struct ggml_tensor *rows = ggml_view_1d(bench.graph, bench.rows, count, 0);
    struct ggml_tensor *k = bench.k, *v = bench.v;

    rows->buffer = bench.rows->buffer;
    if (bench.transposed)
        v = ggml_reshape_2d(bench.graph, v, 1, ggml_nelements(v));
    if (k->ne[2] > 1)
        k = ggml_reshape_2d(bench.graph, k, k->ne[0], k->ne[1] * k->ne[2]);
    if (v->ne[2] > 1)
        v = ggml_reshape_2d(bench.graph, v, v->ne[0], v->ne[1] * v->ne[2]);
    see(k, rows);
    see(v, rows);
}

/* A pass of one graph that writes cells [from, from + count). */
static void write_cells(uint32_t sequence, int32_t pos, int64_t from,
                        int64_t count)
{
    ggml_reset(bench.graph);
    gov__kv_begin(&bench.kv, sequence, pos);
    for (int64_t i = 0; i < count; i++)
        ((int64_t *)bench.rows->data)[i] = from + i;
    write_graph(count);
    gov__kv_account(&bench.kv);
}

/* An attention node of that pass, whose mask is bench.mask. */
static void attend(int64_t tokens, int64_t n_kv)
{
    struct ggml_tensor *k =
        ggml_view_2d(bench.graph, bench.k, bench.k->ne[0], n_kv, bench.k->nb[1],
                     cells()->stream * bench.k->nb[2]);
    struct ggml_tensor *q =
        ggml_new_tensor_2d(bench.graph, GGML_TYPE_F32, bench.k->ne[0], tokens);
    struct ggml_tensor *mask =
        ggml_new_tensor_2d(bench.graph, GGML_TYPE_F32, n_kv, tokens);

    mask->buffer = bench.mask->buffer;
    mask->data = bench.mask->data;
    gov__kv_watch(
        &bench.kv,
        ggml_soft_max_ext(
            bench.graph,
            ggml_scale(bench.graph, ggml_mul_mat(bench.graph, k, q), 2.0F),
            mask, 1.0F, 0.0F));
    gov__kv_account(&bench.kv);
}

/* The sums are those of the cells. */
static void check_sums(void)
{
    const struct gov__kv_cells *c = cells();
    uint32_t used = 0, held[2] = {0, 0}, loose[2] = {0, 0};
    uint32_t used_by[GOV__KV_SEQUENCES] = {0};

    for (uint32_t i = 0; i < c->per_stream * c->streams; i++) {
        used += c->owner[i] != 0;
        if (c->owner[i] != 0)
            used_by[c->owner[i] - 1]++;
        for (int which = 0; which < 2; which++)
            if (c->backed[i] & (1U << which)) {
                held[which]++;
                loose[which] += c->owner[i] == 0;
            }
    }
    ck_assert_uint_eq(c->used, used);
    ck_assert_mem_eq(c->used_by, used_by, sizeof(used_by));
    ck_assert_mem_eq(c->held, held, sizeof(held));
    ck_assert_mem_eq(c->loose, loose, sizeof(loose));
}

/* ---- which pages go -------------------------------------------------------------- */

/* What a cell is, as the test knows it. */
#define CELLS_MAX 40000
static bool in_use[CELLS_MAX], has_memory[CELLS_MAX];

static uint32_t cell_of(const struct ggml_tensor *tensor, bool transposed,
                        size_t byte)
{
    const size_t element = byte / tensor->nb[0];
    const size_t row = (size_t)tensor->ne[1];

    if (!transposed)
        return (uint32_t)(byte / tensor->nb[1]);
    return (uint32_t)(element / (row * (size_t)tensor->ne[0]) * row +
                      element % row);
}

/* By looking at every byte: pages of which all belong to free cells, and some to one
 * that has memory. */
static uint64_t pages_of(const struct ggml_tensor *tensor, bool transposed,
                         size_t page)
{
    uintptr_t begin = (uintptr_t)tensor->data;
    uintptr_t end = begin + ggml_nbytes(tensor);
    uint64_t bytes = 0;

    for (uintptr_t at = (begin + page - 1) & ~(page - 1); at + page <= end;
         at += page) {
        bool all = true, any = false;

        for (uintptr_t byte = at; byte < at + page && all; byte++) {
            uint32_t cell = cell_of(tensor, transposed, byte - begin);

            all = !in_use[cell];
            any |= has_memory[cell];
        }
        if (all && any)
            bytes += page;
    }
    return bytes;
}

/* Bytes that are not as they were filled: zeros, and all in free cells. One assertion
 * for all of them, since each costs a message to Check. */
static uint64_t lost(const struct ggml_tensor *tensor, bool transposed)
{
    const unsigned char *bytes = tensor->data;
    uint64_t count = 0, wrong = 0;

    for (size_t i = 0; i < ggml_nbytes(tensor); i++) {
        if (bytes[i] == 0xa5)
            continue;
        if (bytes[i] != 0 || in_use[cell_of(tensor, transposed, i)])
            wrong++;
        count++;
    }
    ck_assert_uint_eq(wrong, 0);
    return count;
}

static uint64_t lost_both(void)
{
    return lost(bench.k, false) + lost(bench.v, bench.transposed);
}

static uint64_t pages_both(size_t page)
{
    return pages_of(bench.k, false, page) +
           pages_of(bench.v, bench.transposed, page);
}

static const struct {
    int64_t width, cells, streams;
    bool transposed;
} shapes[] = {
    {256, 128, 1, false}, /* 8 cells a page */
    {96, 256, 1, false},  /* rows do not divide a page */
    {8192, 36, 1, false}, /* a cell is four pages */
    {4, 16384, 1, true},  /* a row is eight pages */
    {16, 3000, 1, true},  /* rows begin within pages */
    {64, 512, 1, true},   /* four rows a page */
    {96, 50, 3, false},   /* streams meet within pages */
    {256, 64, 4, false},  /* ... at pages */
    {16, 3000, 2, true},  {64, 500, 3, true},
};

static uint32_t chance(unsigned int *seed, uint32_t n)
{
    return (uint32_t)rand_r(seed) % n;
}

/* Cells [from, to) of a stream, all or at random, get tokens, in batches whose cells
 * are not in order. */
static void fill(uint32_t stream, uint32_t from, uint32_t to, uint32_t of,
                 unsigned int *seed)
{
    const uint32_t first = stream * (uint32_t)bench.k->ne[1];
    int64_t *row = bench.rows->data;
    int32_t pos = 0;
    int64_t count = 0;

    for (uint32_t i = from; i < to; i++) {
        if (chance(seed, of) != 0 || in_use[first + i])
            continue;
        in_use[first + i] = has_memory[first + i] = true;
        row[count++] = first + i;
        if (count < 32)
            continue;
        gov__kv_begin(&bench.kv, stream, pos);
        write_graph(count);
        pos += (int32_t)count;
        count = 0;
    }
    gov__kv_begin(&bench.kv, stream, pos);
    if (count > 0)
        write_graph(count);
}

/* Removes stretches of positions: as many holes. */
static void punch(uint32_t stream, int holes, unsigned int *seed)
{
    const struct gov__kv_cells *c = cells();
    const uint32_t first = stream * c->per_stream;

    for (int hole = 0; hole < holes; hole++) {
        const int32_t from = (int32_t)chance(seed, 400);
        const int32_t to = from + 1 + (int32_t)chance(seed, 60);

        for (uint32_t i = first; i < first + c->per_stream; i++)
            if (c->owner[i] == stream + 1 && c->pos[i] >= from &&
                c->pos[i] < to)
                in_use[i] = false;
        gov__kv_removed(&bench.kv, stream, from, to);
    }
}

/* How full: the first cells, all cells at random, with holes, or not at all. */
static void make_filling(int filling, unsigned int *seed)
{
    const uint32_t per_stream = (uint32_t)bench.k->ne[1];

    memset(in_use, 0, sizeof(in_use));
    memset(has_memory, !bench.kv.fresh, sizeof(has_memory));
    for (uint32_t s = 0; s < (uint32_t)bench.k->ne[2]; s++) {
        uint32_t to = (uint32_t)filling;

        if (filling > 33)
            to = s % 2 == 0 || filling == 34 ? per_stream : per_stream / 2;
        if (to > per_stream)
            to = per_stream;
        fill(s, 0, 1, 1, seed);
        fill(s, 1, to, filling <= 36 ? 1 : (uint32_t)(filling - 35), seed);
        if (filling >= 35)
            punch(s, filling - 30, seed);
    }
    if (filling == 0) {
        gov__kv_cleared(&bench.kv);
        memset(in_use, 0, sizeof(in_use));
    }
}

static const int fillings[] = {0,  1,  7,  8,  9,  15, 16, 17, 31,
                               32, 34, 35, 36, 38, 45, 60, 75};

START_TEST(exactly_the_whole_unused_pages_go)
{
    const int shape = _i / 2 / COUNT(fillings);
    unsigned int seed = (unsigned int)_i + 1;
    uint64_t want;

    bench_open(shapes[shape].width, shapes[shape].cells, shapes[shape].streams,
               "3", _i % 2 == 1);
    bench.transposed = shapes[shape].transposed;
    make_filling(fillings[_i / 2 % COUNT(fillings)], &seed);
    for (size_t page = 4096; page <= 65536; page *= 4) {
        bench.kv.page_bytes = page;
        cells()->changed = true;
        gov__kv_account(&bench.kv);
        ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes),
                          pages_both(page));
    }
    bench.kv.page_bytes = gov_page_bytes();
    cells()->changed = true;
    gov__kv_account(&bench.kv);
    want = pages_both(gov_page_bytes());
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(lost_both(), want);
    ck_assert_uint_eq(atomic_load(&bench.kv.given_back_bytes), want);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.given_back_bytes), want);
    check_sums();
    bench_close();
}
END_TEST

/* Cells are freed in any order, with a release now and then: in the end nothing stays
 * of what no other tensor shares. */
START_TEST(nothing_is_left_behind)
{
    const int shape = _i % COUNT(shapes);
    unsigned int seed = (unsigned int)_i + 1;

    bench_open(shapes[shape].width, shapes[shape].cells, shapes[shape].streams,
               "0", false);
    bench.transposed = shapes[shape].transposed;
    make_filling(34, &seed);
    for (int n = 0; n < 400; n++) {
        punch(chance(&seed, cells()->streams), 1, &seed);
        if (chance(&seed, 4) == 0)
            gov__kv_release(&bench.kv);
        if (chance(&seed, 40) == 0)
            ck_assert_uint_le(lost_both(),
                              ggml_nbytes(bench.k) + ggml_nbytes(bench.v));
    }
    for (uint32_t s = 0; s < cells()->streams; s++)
        gov__kv_removed(&bench.kv, s, 0, -1);
    memset(in_use, 0, sizeof(in_use));
    memset(has_memory, 1, sizeof(has_memory));
    ck_assert_uint_eq(atomic_load(&bench.kv.used_bytes), 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(lost_both(), pages_both(gov_page_bytes()));
    /* At the ends of the two. */
    ck_assert_uint_lt(atomic_load(&bench.kv.held_bytes),
                      4 * bench.kv.page_bytes);
    check_sums();
    bench_close();
}
END_TEST

/* More free stretches than are handled at a time, the first of which are no page. */
START_TEST(as_many_stretches_as_there_are_go)
{
    uint64_t want;

    bench_open(1024, 6000, 1, "0", _i == 1);
    memset(in_use, 0, sizeof(in_use));
    memset(has_memory, _i == 0, sizeof(has_memory));
    for (int64_t i = 0; i < 6000; i += i < 3000 ? 2 : 4) {
        write_cells(0, (int32_t)i, i, 1);
        in_use[i] = has_memory[i] = true;
    }
    if (_i == 1) { /* one stretch, of as many that have memory */
        gov__kv_removed(&bench.kv, 0, 0, -1);
        memset(in_use, 0, sizeof(in_use));
    }
    want = pages_both(gov_page_bytes());
    ck_assert_uint_gt(want, 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    ck_assert_uint_eq(atomic_load(&bench.kv.given_back_bytes), want);
    ck_assert_uint_eq(lost_both(), want);
    bench_close();
}
END_TEST

START_TEST(what_is_locked_is_offered_once)
{
    bench_open(256, 128, 1, "0", false);
    write_cells(0, 0, 0, 8);
    ck_assert_uint_gt(atomic_load(&bench.kv.unused_bytes), 0);
    locked = true;
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    ck_assert_uint_eq(atomic_load(&bench.kv.given_back_bytes), 0);
    ck_assert(bench.kv.ungovernable);
    locked = false;
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.given_back_bytes), 0);
    bench_close();
}
END_TEST

START_TEST(bytes_are_those_of_cells)
{
    bench_open(256, 64, 1, "0", true);
    write_cells(3, 0, 0, 10);
    write_cells(5, 0, 10, 4);
    ck_assert_uint_eq(atomic_load(&bench.kv.reserved_bytes), 2 * 64 * 512);
    ck_assert_uint_eq(atomic_load(&bench.kv.used_bytes), 2 * 14 * 512);
    ck_assert_uint_eq(atomic_load(&bench.kv.held_bytes), 2 * 14 * 512);
    ck_assert_uint_eq(gov__kv_bytes_of(&bench.kv, 3), 2 * 10 * 512);
    ck_assert_uint_eq(gov__kv_bytes_of(&bench.kv, 5), 2 * 4 * 512);
    ck_assert_uint_eq(gov__kv_bytes_of(&bench.kv, 4), 0);
    ck_assert_uint_eq(gov__kv_bytes_of(&bench.kv, GOV__KV_SEQUENCES), 0);
    gov__kv_removed(&bench.kv, 3, 0, -1);
    ck_assert_uint_eq(atomic_load(&bench.kv.used_bytes), 2 * 4 * 512);
    ck_assert_uint_eq(atomic_load(&bench.kv.held_bytes), 2 * 14 * 512);
    gov__kv_close(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.reserved_bytes), 2 * 64 * 512);
    bench_close();
}
END_TEST

/* ---- names, and what is not understood --------------------------------------------- */

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
    bench_open(256, 64, 1, names[_i].layer, false);
    write_cells(0, 0, 0, 4);
    ck_assert_int_eq(bench.kv.layers > 0, names[_i].matches);
    ck_assert_int_eq(bench.kv.caches > 0, names[_i].matches);
    ck_assert(!bench.kv.ungovernable);
    ck_assert(!cells()->unknown);
    bench_close();
}
END_TEST

static const char *const strangers[] = {"cache_r_l0", "cache_s_l0",
                                        "cache_k",    "cache_kk_l0",
                                        "k_l0",       "cache_idx_k_l0"};

START_TEST(recurrent_state_does_not_match)
{
    bench_open(256, 64, 1, "0", false);
    ggml_set_name(bench.k, strangers[_i]);
    ggml_set_name(bench.v, strangers[_i]);
    write_cells(0, 0, 0, 4);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(bench.kv.layers, 0);
    ck_assert_uint_eq(lost_both(), 0);
    bench_close();
}
END_TEST

/* Each way in which the cache is not what is expected, and what it makes. */
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
    bench.v->nb[2] /= 2;
    bench.v->nb[3] /= 2;
}

static void break_row(void)
{
    write_cells(0, 0, 64, 1);
}

static void break_negative_row(void)
{
    write_cells(0, 0, -1, 1);
}

static void break_rows_type(void)
{
    bench.rows->type = GGML_TYPE_I32;
}

static void break_sequence(void)
{
    write_cells(GOV__KV_SEQUENCES, 0, 0, 1);
}

/* A cache of a kind that is not known here has names of another. */
static struct ggml_tensor *twin(void)
{
    struct ggml_tensor *k;

    write_cells(0, 0, 0, 1);
    k = ggml_dup_tensor(bench.fixed, bench.k);
    ggml_set_name(k, bench.k->name);
    k->buffer = bench.k->buffer;
    k->data = bench.k->data;
    gov__kv_begin(&bench.kv, 0, 1);
    return k;
}

static void break_twin(void)
{
    see(twin(), ggml_view_1d(bench.graph, bench.rows, 1, 0));
}

static void break_copied_twin(void)
{
    struct ggml_tensor *k = twin();

    gov__kv_watch(&bench.kv, ggml_cpy(bench.graph, bench.v, k));
}

static void break_width(void)
{
    gov__kv_begin(&bench.kv, 0, 0);
    see(ggml_reshape_2d(bench.graph, bench.k, 128, 128),
        ggml_view_1d(bench.graph, bench.rows, 1, 0));
}

static const struct {
    void (*make)(void);
    bool unknown, ungovernable;
} breaks[] = {
    {break_buffer, false, true},       {break_no_buffer, false, true},
    {break_cells, false, true},        {break_row, true, false},
    {break_negative_row, true, false}, {break_rows_type, true, false},
    {break_sequence, true, false},     {break_twin, false, true},
    {break_copied_twin, false, true},  {break_width, true, false},
};

START_TEST(what_is_not_understood_is_left_alone)
{
    ggml_backend_buffer_t before;

    bench_open(256, 64, 1, "0", false);
    before = bench.k->buffer;
    breaks[_i].make();
    write_cells(0, 0, 0, 4);
    ck_assert_int_eq(cells()->unknown, breaks[_i].unknown);
    ck_assert_int_eq(bench.kv.ungovernable, breaks[_i].ungovernable);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(lost_both(), 0);
    gov__kv_cleared(&bench.kv);
    ck_assert(!cells()->unknown);
    ck_assert_int_eq(bench.kv.ungovernable, breaks[_i].ungovernable);
    if (!breaks[_i].ungovernable) {
        gov__kv_release(&bench.kv);
        ck_assert_uint_gt(atomic_load(&bench.kv.given_back_bytes), 0);
    }
    if (breaks[_i].make == break_buffer)
        ggml_backend_buffer_free(bench.k->buffer);
    bench.k->buffer = before;
    bench.rows->type = GGML_TYPE_I64;
    bench_close();
}
END_TEST

/* What was written before there was memory to note it is not known. */
START_TEST(without_memory_nothing_is_governed)
{
    bench_open(256, 64, 1, "0", false);
    without_memory = true;
    write_cells(0, 0, 0, 4);
    ck_assert(bench.kv.ungovernable);
    ck_assert_uint_eq(bench.kv.caches, 0);
    without_memory = false;
    write_cells(0, 4, 4, 4);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(lost_both(), 0);
    bench_close();
}
END_TEST

START_TEST(more_caches_than_there_is_room_for_are_not_governed)
{
    struct ggml_tensor *k, *rows;

    bench_open(256, 64, 1, "0", false);
    gov__kv_begin(&bench.kv, 0, 0);
    for (int i = 0; i <= GOV__KV_CACHES; i++) {
        ck_assert(!bench.kv.ungovernable);
        k = ggml_dup_tensor(bench.fixed, bench.k);
        ggml_format_name(k, "cache_k_l%d", i);
        k->buffer = bench.k->buffer;
        k->data = bench.k->data;
        rows = ggml_view_1d(bench.graph, bench.rows, 2, 0);
        rows->buffer = bench.rows->buffer;
        memcpy(rows->data, (int64_t[]){0, 1}, 16);
        see(k, rows);
    }
    ck_assert(bench.kv.ungovernable);
    ck_assert_uint_eq(bench.kv.caches, GOV__KV_CACHES);
    bench_close();
}
END_TEST

/* Streams are written by their own sequences. */
START_TEST(a_row_of_another_stream_is_not_understood)
{
    bench_open(256, 64, 3, "0", false);
    write_cells(1, 0, 64, 4);
    ck_assert(!cells()->unknown);
    ck_assert_uint_eq(cells()->head[1], 4);
    write_cells(1, 4, 126, 4); /* the last two are stream 2's */
    ck_assert(cells()->unknown);
    gov__kv_cleared(&bench.kv);
    write_cells(1, 0, 128, 4);
    ck_assert(cells()->unknown);
    gov__kv_cleared(&bench.kv);
    write_cells(3, 0, 192, 1);
    ck_assert(cells()->unknown);
    bench_close();
}
END_TEST

/* ---- calls that are mirrored ------------------------------------------------------- */

/* Cells as text: a letter a cell, of its sequence; '.' for a free one. */
static const char *owners(void)
{
    static char text[128];
    const struct gov__kv_cells *c = cells();

    ck_assert_uint_lt(c->per_stream * c->streams, sizeof(text));
    for (uint32_t i = 0; i < c->per_stream * c->streams; i++)
        text[i] = c->owner[i] == 0 ? '.' : (char)('a' + c->owner[i] - 1);
    text[c->per_stream * c->streams] = '\0';
    return text;
}

static void check_cells(const char *want, uint32_t head)
{
    ck_assert_str_eq(owners(), want);
    ck_assert_uint_eq(cells()->head[0], head);
    check_sums();
}

START_TEST(graphs_of_one_pass_follow_one_another)
{
    int64_t *row;

    bench_open(256, 16, 1, "0", true);
    gov__kv_begin(&bench.kv, 2, 7);
    row = bench.rows->data;
    for (int64_t i = 0; i < 12; i += 4) {
        for (int64_t n = 0; n < 4; n++)
            row[n] = 11 - i - n;
        write_graph(4);
    }
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(cells()->pos[11 - i], 7 + i);
    check_cells("cccccccccccc....", 1);
    bench_close();
}
END_TEST

START_TEST(layers_of_one_graph_share_their_cells)
{
    struct ggml_tensor *k[3], *rows, *other;

    bench_open(256, 16, 1, "0", true);
    rows = ggml_view_1d(bench.graph, bench.rows, 2, 0);
    other = ggml_view_1d(bench.graph, bench.rows, 2, 16);
    rows->buffer = other->buffer = bench.rows->buffer;
    memcpy(bench.rows->data, (int64_t[]){0, 1, 5, 6}, 32);
    for (int i = 0; i < 3; i++) {
        k[i] = ggml_dup_tensor(bench.fixed, bench.k);
        ggml_format_name(k[i], "cache_k_l%d", i);
        k[i]->buffer = bench.k->buffer;
        k[i]->data = bench.k->data;
    }
    for (int pass = 0; pass < 2; pass++) {
        gov__kv_begin(&bench.kv, 0, 2 * pass);
        for (int i = 0; i < 3; i++)
            see(k[i], i == 1 ? other : rows);
        memcpy(bench.rows->data, (int64_t[]){2, 3, 7, 8}, 32);
    }
    ck_assert_uint_eq(bench.kv.caches, 2);
    ck_assert_uint_eq(bench.kv.layer[0].cache, 1);
    ck_assert_uint_eq(bench.kv.layer[1].cache, 2);
    ck_assert_uint_eq(bench.kv.layer[2].cache, 1);
    check_cells("aaaa............", 4);
    ck_assert_uint_eq(bench.kv.cache[1].owner[5], 1);
    ck_assert_uint_eq(bench.kv.cache[1].used, 4);
    ck_assert_uint_eq(bench.kv.cache[1].head[0], 9);
    ck_assert_uint_eq(cells()->bytes[0], 2 * 512);
    bench_close();
}
END_TEST

START_TEST(removed_cells_are_free_and_looked_for_first)
{
    bench_open(256, 16, 1, "0", true);
    write_cells(0, 0, 0, 6);
    write_cells(1, 0, 6, 4);
    check_cells("aaaaaabbbb......", 10);
    gov__kv_removed(&bench.kv, 0, 2, 4);
    check_cells("aa..aabbbb......", 2);
    gov__kv_removed(&bench.kv, 0, 100, -1);
    check_cells("aa..aabbbb......", 2);
    gov__kv_removed(&bench.kv, 1, -1, -1);
    check_cells("aa..aa..........", 2);
    gov__kv_removed(&bench.kv, 0, 0, 1);
    check_cells(".a..aa..........", 0);
    gov__kv_removed(&bench.kv, 7, 0, -1);
    gov__kv_removed(&bench.kv, GOV__KV_SEQUENCES, 0, -1);
    check_cells(".a..aa..........", 0);
    gov__kv_cleared(&bench.kv);
    check_cells("................", 0);
    bench_close();
}
END_TEST

START_TEST(moved_cells_keep_their_places)
{
    bench_open(256, 16, 1, "0", true);
    write_cells(0, 0, 0, 8);
    gov__kv_moved(&bench.kv, 0, 3, 3, 5);
    gov__kv_moved(&bench.kv, 0, 0, -1, 0);
    check_cells("aaaaaaaa........", 8);
    ck_assert(!bench.kv.shifting);
    gov__kv_moved(&bench.kv, 1, 0, -1, 2); /* it has none */
    check_cells("aaaaaaaa........", 0);
    ck_assert(!bench.kv.shifting);
    gov__kv_removed(&bench.kv, 0, 2, 5);
    gov__kv_moved(&bench.kv, 0, 5, -1, -3);
    check_cells("aa...aaa........", 0);
    for (int i = 5; i < 8; i++)
        ck_assert_int_eq(cells()->pos[i], i - 3);
    ck_assert(bench.kv.shifting);
    gov__kv_moved(&bench.kv, 0, 1, 3, -2); /* one becomes negative, one 0 */
    check_cells("a....aaa........", 1);
    ck_assert_int_eq(cells()->pos[5], 0);
    bench_close();
}
END_TEST

/* The engine rotates all of K, free cells too. */
START_TEST(rotating_brings_memory_behind_all_of_k)
{
    struct ggml_tensor *view, *shift;

    bench_open(256, 64, 1, "0", true);
    write_cells(0, 0, 0, 8);
    gov__kv_moved(&bench.kv, 0, 4, -1, 2);
    ck_assert_uint_eq(atomic_load(&bench.kv.held_bytes), 2 * 8 * 512);
    gov__kv_begin(&bench.kv, 0, 10);
    if (_i == 0) {
        shift = ggml_new_tensor_1d(bench.graph, GGML_TYPE_I32, 64);
        view = ggml_view_3d(bench.graph, bench.k, 64, 4, 64, 128, 512, 0);
        gov__kv_watch(&bench.kv,
                      ggml_rope_inplace(bench.graph, view, shift, 64, 0));
        ck_assert_uint_eq(cells()->held[0], 64);
    }
    write_cells(0, 10, 8, 1);
    ck_assert_uint_eq(cells()->held[0], 64);
    ck_assert_uint_eq(cells()->held[1], 9);
    ck_assert(!bench.kv.shifting);
    ck_assert_uint_gt(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(cells()->held[0], 9);
    write_cells(0, 11, 9, 1);
    ck_assert_uint_eq(cells()->held[0], 10);
    bench_close();
}
END_TEST

/* ---- states ------------------------------------------------------------------------- */

#define STRETCHES 16

START_TEST(stretches_are_positions_in_the_order_of_cells)
{
    const struct gov__kv_stretch want[] = {{0, 0, 2}, {0, 8, 2}, {0, 4, 1}};
    struct gov__kv_stretch got[STRETCHES];
    uint32_t n;

    bench_open(256, 16, 1, "0", true);
    write_cells(0, 0, 0, 5);
    write_cells(1, 0, 5, 2);
    gov__kv_removed(&bench.kv, 0, 2, 4);
    write_cells(0, 8, 2, 2);
    for (uint32_t room = 0; room <= STRETCHES; room++) {
        memset(got, 0xee, sizeof(got));
        n = gov__kv_stretches(&bench.kv, 0, got, room);
        ck_assert_uint_eq(n, 3);
        ck_assert_mem_eq(got, want, (room < 3 ? room : 3) * sizeof(*got));
        if (room < STRETCHES)
            ck_assert_uint_eq(got[room < 3 ? 3 : room].cache, 0xeeeeeeee);
    }
    ck_assert_uint_eq(gov__kv_stretches(&bench.kv, 2, got, STRETCHES), 0);
    write_cells(0, 10, 99, 1);
    ck_assert_uint_eq(gov__kv_stretches(&bench.kv, 0, got, STRETCHES), 1);
    ck_assert_uint_eq(got[0].count, 0);
    gov__kv_cleared(&bench.kv);
    gov__kv_restored(&bench.kv, 0, got, 1);
    ck_assert(cells()->unknown);
    bench_close();
}
END_TEST

/* Where llama.cpp's find_slot() puts a state. */
START_TEST(a_state_goes_where_the_engine_looks)
{
    struct gov__kv_stretch state[2] = {{0, 0, 3}, {0, 9, 2}};

    bench_open(256, 16, 1, "0", true);
    write_cells(0, 0, 0, 2);
    write_cells(1, 0, 2, 2);
    write_cells(0, 2, 4, 2);
    gov__kv_removed(&bench.kv, 1, 0, -1);
    check_cells("aa..aa..........", 2);
    gov__kv_restored(&bench.kv, 2, state, 2);
    check_cells("aaccaaccc.......", 9);
    ck_assert_int_eq(cells()->pos[6], 2);
    ck_assert_int_eq(cells()->pos[8], 10);
    /* It replaces what the sequence had, whose first cell the search begins at. */
    gov__kv_restored(&bench.kv, 0, state, 1);
    check_cells("aacca.ccc.......", 5);
    /* From the end round to the first cells. */
    gov__kv_removed(&bench.kv, 0, 0, -1);
    write_cells(3, 0, 9, 5);
    gov__kv_restored(&bench.kv, 4, state, 2);
    check_cells("eecce.cccdddddee", 5);
    /* From the first cell on where enough is free before. */
    gov__kv_cleared(&bench.kv);
    write_cells(0, 0, 8, 2);
    gov__kv_restored(&bench.kv, 1, state, 1);
    check_cells("bbb.....aa......", 3);
    gov__kv_restored(&bench.kv, 2, &(struct gov__kv_stretch){0, 5, 1}, 1);
    check_cells("bbbc....aa......", 4);
    gov__kv_restored(&bench.kv, 1, state, 0); /* no token: it is not touched */
    check_cells("bbbc....aa......", 4);
    ck_assert(!cells()->unknown);
    gov__kv_restored(&bench.kv, 3, &(struct gov__kv_stretch){0, 5, 11}, 1);
    ck_assert(cells()->unknown); /* there is no room */
    bench_close();
}
END_TEST

/* Nothing is given back on the strength of a prediction; but in an empty stream it is
 * none. */
START_TEST(what_was_restored_is_sure_or_waits)
{
    const struct gov__kv_stretch state = {0, 0, 9};

    bench_open(256, 64, 1, "0", false);
    write_cells(0, 0, 0, 8);
    gov__kv_removed(&bench.kv, 0, 0, -1);
    gov__kv_restored(&bench.kv, 1, &state, 1);
    ck_assert_uint_eq(cells()->unsure_count, 0);
    ck_assert_uint_gt(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_restored(&bench.kv, 2, &state, 1);
    ck_assert_uint_eq(cells()->unsure_count, 1);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.given_back_bytes), 0);
    gov__kv_restored(&bench.kv, 2, &state, 1);
    ck_assert_uint_eq(cells()->unsure_count, 1);
    /* It is gone, wherever it was. */
    gov__kv_removed(&bench.kv, 2, 0, -1);
    ck_assert_uint_eq(cells()->unsure_count, 0);
    ck_assert_uint_gt(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_restored(&bench.kv, 2, NULL, 0);
    ck_assert(cells()->unknown);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_cleared(&bench.kv);
    ck_assert_uint_gt(atomic_load(&bench.kv.unused_bytes), 0);
    bench_close();
}
END_TEST

/* A state that went before any pass used it may never have been there: where the
 * engine looks next is not known until it writes again. */
START_TEST(a_state_that_nobody_used_leaves_a_doubt)
{
    const struct gov__kv_stretch state = {0, 0, 9};

    bench_open(256, 64, 1, "0", false);
    write_cells(0, 0, 20, 8);
    gov__kv_removed(&bench.kv, 0, 0, -1);
    gov__kv_restored(&bench.kv, 1, &state, 1);
    ck_assert_uint_eq(cells()->unsure_count, 0);
    gov__kv_removed(&bench.kv, 1, -1, -1);
    gov__kv_restored(&bench.kv, 1, &state, 1);
    ck_assert_uint_eq(cells()->unsure_count, 1);
    gov__kv_removed(&bench.kv, 1, -1, -1);
    if (_i == 0)
        write_cells(0, 0, 20, 8);
    else
        gov__kv_cleared(&bench.kv);
    gov__kv_removed(&bench.kv, 0, 0, -1);
    gov__kv_restored(&bench.kv, 1, &state, 1);
    ck_assert_uint_eq(cells()->unsure_count, 0);
    bench_close();
}
END_TEST

/* What is not known of a cache does not matter any more when no sequence is left. */
START_TEST(what_is_not_known_ends_with_the_last_sequence)
{
    bench_open(256, 64, 1, "0", false);
    write_cells(0, 0, 0, 8);
    gov__kv_restored(&bench.kv, 2, NULL, 0);
    write_cells(1, 0, 99, 1); /* out of range */
    for (uint32_t s = 0; s < 3; s++) {
        ck_assert(cells()->unknown);
        gov__kv_removed(&bench.kv, s, 5, -1);
        ck_assert(cells()->unknown);
        gov__kv_removed(&bench.kv, s, -1, -1);
    }
    ck_assert(!cells()->unknown);
    ck_assert_uint_gt(atomic_load(&bench.kv.unused_bytes), 0);
    check_cells("................................"
                "................................",
                0);
    gov__kv_restored(&bench.kv, 1, &(struct gov__kv_stretch){0, 0, 9}, 1);
    ck_assert_uint_eq(cells()->unsure_count, 1);
    write_cells(2, 0, 99, 1);
    gov__kv_removed(&bench.kv, 2, -1, -1);
    ck_assert(cells()->unknown);
    gov__kv_removed(&bench.kv, 1, -1, -1);
    ck_assert(!cells()->unknown);
    bench_close();
}
END_TEST

/* What a file says. */
static const struct gov__kv_stretch odd[][2] = {
    {{0, -1, 3}, {0, 5, 1}},
    {{0, INT32_MAX - 2, 5}, {0, 0, 1}},
    {{0, 0, 65}, {0, 0, 1}},
    {{0, 0, 40}, {0, 40, 25}},
    {{0, 0, 4}, {0, 40, UINT32_MAX - 2}},
    {{0, 0, 4}, {1, 0, 4}},
};

START_TEST(a_state_that_cannot_be_is_not_known)
{
    bench_open(256, 64, 1, "0", true);
    write_cells(0, 0, 0, 8);
    gov__kv_restored(&bench.kv, 1, odd[_i], 2);
    ck_assert(cells()->unknown);
    ck_assert_uint_eq(cells()->used_by[1], 0);
    bench_close();
}
END_TEST

START_TEST(a_state_before_the_first_pass_is_not_known)
{
    const struct gov__kv_stretch state = {0, 0, 9};

    bench_open(256, 64, 1, "0", true);
    gov__kv_restored(&bench.kv, 5, &state, 1);
    write_cells(0, 9, 9, 1);
    ck_assert(cells()->unknown);
    ck_assert_uint_eq(atomic_load(&bench.kv.held_bytes), 2 * 64 * 512);
    gov__kv_removed(&bench.kv, 0, 0, -1);
    ck_assert(cells()->unknown);
    gov__kv_cleared(&bench.kv);
    ck_assert(!cells()->unknown);
    bench_close();
}
END_TEST

/* ---- masks -------------------------------------------------------------------------- */

/* Which earlier positions a token sees. */
typedef bool (*rule_fn)(int32_t from, int32_t at);

static bool sees_all(int32_t from, int32_t at)
{
    return at <= from;
}

static bool sees_window(int32_t from, int32_t at)
{
    return at <= from && from - at < 16;
}

static bool sees_chunk(int32_t from, int32_t at)
{
    return at <= from && at / 16 == from / 16;
}

/* The mask as the engine makes it of the cells as they are. */
static void make_mask(rule_fn sees, uint32_t tokens, int64_t n_kv)
{
    const struct gov__kv_cells *c = cells();
    float *mask = bench.mask->data;

    for (uint32_t token = 0; token < tokens; token++)
        for (uint32_t i = 0; i < n_kv; i++) {
            const uint32_t at = c->stream * c->per_stream + i;
            const bool seen =
                c->owner[at] == bench.kv.sequence + 1 &&
                sees(bench.kv.next_pos + (int32_t)token, c->pos[at]);

            mask[token * n_kv + i] = seen ? 0.0F : -INFINITY;
        }
}

/* A pass with its mask; `wrong` is a cell whose place in the last row is changed. */
static void pass(uint32_t sequence, int32_t pos, int64_t from, int64_t tokens,
                 rule_fn sees, int wrong)
{
    const int64_t n_kv = cells()->per_stream;
    float *last = (float *)bench.mask->data + (tokens - 1) * n_kv;

    write_cells(sequence, pos, from, tokens);
    make_mask(sees, (uint32_t)tokens, n_kv);
    if (wrong >= 0)
        last[wrong] = last[wrong] == 0.0F ? -INFINITY : 0.0F;
    attend(tokens, n_kv);
}

START_TEST(a_restored_state_is_sure_after_its_next_pass)
{
    const struct gov__kv_stretch state = {0, 0, 9};

    bench_open(256, 64, 2, "0", false);
    write_cells(1, 0, 64, 8);
    gov__kv_restored(&bench.kv, 1, &state, 1);
    write_cells(0, 0, 0, 8);
    ck_assert_uint_eq(cells()->unsure_count, 0);
    bench_close();
    bench_open(256, 64, 1, "0", false);
    write_cells(0, 0, 0, 8);
    gov__kv_restored(&bench.kv, 1, &state, 1);
    ck_assert_uint_eq(cells()->unsure_count, 1);
    pass(0, 8, 17, 2, sees_all, -1); /* somebody else's */
    ck_assert_uint_eq(cells()->unsure_count, 1);
    pass(1, 9, 19, 3, sees_all, -1);
    ck_assert_uint_eq(cells()->unsure_count, 0);
    ck_assert_uint_gt(atomic_load(&bench.kv.unused_bytes), 0);
    ck_assert_uint_eq(bench.kv.disagreed, 0);
    bench_close();
}
END_TEST

/* A cell that is seen and should not be: free, another sequence's, or later; one that
 * should be and is not; one beyond what is read. */
START_TEST(a_mask_that_is_not_as_expected_ends_it)
{
    static const int wrong[] = {63, 9, 1, 16, -1};
    const int cell = wrong[_i];

    bench_open(256, 64, 1, "0", false);
    write_cells(1, 0, 8, 8);
    write_cells(0, 0, 0, 8);
    gov__kv_removed(&bench.kv, 0, 6, -1);
    if (cell >= 0) {
        pass(0, 6, 16, 2, sees_all, cell);
    } else {
        write_cells(0, 6, 40, 2);
        make_mask(sees_all, 2, 32);
        attend(2, 32);
    }
    ck_assert_uint_eq(bench.kv.disagreed, 1);
    ck_assert(cells()->unknown);
    ck_assert_uint_eq(atomic_load(&bench.kv.unused_bytes), 0);
    gov__kv_release(&bench.kv);
    ck_assert_uint_eq(atomic_load(&bench.kv.given_back_bytes), 0);
    gov__kv_cleared(&bench.kv);
    pass(0, 0, 0, 4, sees_all, -1);
    ck_assert_uint_eq(bench.kv.disagreed, 1);
    ck_assert_uint_gt(atomic_load(&bench.kv.unused_bytes), 0);
    bench_close();
}
END_TEST

START_TEST(moved_cells_are_compared)
{
    bench_open(256, 64, 1, "0", false);
    write_cells(0, 0, 0, 8);
    gov__kv_removed(&bench.kv, 0, 2, 4);
    pass(0, 8, 2, 1, sees_all, -1);
    gov__kv_moved(&bench.kv, 0, 4, -1, -2);
    pass(0, 7, 8, 1, sees_all, _i == 0 ? -1 : 30);
    pass(0, 8, 9, 1, sees_all, 31); /* once */
    ck_assert_int_eq(bench.kv.disagreed, _i);
    bench_close();
}
END_TEST

/* After plain writes nothing is compared: it would cost as much as the mask is long. */
START_TEST(plain_writes_are_not_compared)
{
    bench_open(256, 64, 1, "0", false);
    write_cells(0, 0, 0, 8);
    pass(0, 8, 8, 2, sees_all, 20);
    ck_assert_uint_eq(bench.kv.disagreed, 0);
    ck_assert(!cells()->unknown);
    bench_close();
}
END_TEST

static const struct {
    rule_fn sees;
    int32_t tokens; /* a pass; 48 in all */
    enum gov__kv_kind kind;
} kinds[] = {
    {sees_all, 1, GOV__KV_FULL},      {sees_all, 7, GOV__KV_FULL},
    {sees_window, 1, GOV__KV_WINDOW}, {sees_window, 7, GOV__KV_WINDOW},
    {sees_chunk, 1, GOV__KV_STRANGE}, {sees_chunk, 7, GOV__KV_STRANGE},
    {sees_all, 8, GOV__KV_FULL},      {sees_window, 8, GOV__KV_WINDOW},
};

START_TEST(what_a_cache_hides_is_found_out)
{
    bench_open(256, 64, 1, "0", false);
    bench.kv.window = 16;
    write_cells(0, 0, 0, 1);
    for (int32_t pos = 1; pos < 48; pos += kinds[_i].tokens)
        pass(0, pos, pos, kinds[_i].tokens, kinds[_i].sees, -1);
    ck_assert_int_eq(cells()->kind, kinds[_i].kind);
    ck_assert_uint_eq(bench.kv.disagreed, 0);
    ck_assert(!cells()->unknown);
    /* What was strange may have been a pass that was stopped. */
    gov__kv_cleared(&bench.kv);
    ck_assert_int_eq(cells()->kind, kinds[_i].kind == GOV__KV_STRANGE
                                        ? GOV__KV_OPEN
                                        : kinds[_i].kind);
    bench_close();
}
END_TEST

/* A conversation behind a window is stored without what the window hides, and found
 * again; so are the cells that it takes from another, of which the engine then
 * removes what is older. */
START_TEST(a_window_lets_go_of_what_it_hides)
{
    struct gov__kv_stretch got[STRETCHES];

    bench_open(256, 32, 1, "0", true);
    bench.kv.window = 16;
    write_cells(0, 0, 0, 1);
    for (int32_t pos = 1; pos < 24; pos++)
        pass(0, pos, pos, 1, sees_window, -1);
    ck_assert_int_eq(cells()->kind, GOV__KV_WINDOW);
    ck_assert_uint_eq(gov__kv_stretches(&bench.kv, 0, got, STRETCHES), 1);
    ck_assert_int_eq(got[0].pos, 8);
    ck_assert_uint_eq(got[0].count, 16);
    write_cells(1, 0, 24, 6);
    check_cells("aaaaaaaaaaaaaaaaaaaaaaaabbbbbb..", 30);
    gov__kv_restored(&bench.kv, 2, &(struct gov__kv_stretch){0, 4, 5}, 1);
    check_cells("cccaaaaaaaaaaaaaaaaaaaaabbbbbbcc", 3);
    ck_assert_uint_eq(cells()->unsure_count, 1);
    pass(2, 9, 5, 1, sees_window, -1); /* takes position 5 of the first */
    check_cells("ccc..caaaaaaaaaaaaaaaaaabbbbbbcc", 6);
    ck_assert_uint_eq(cells()->unsure_count, 0);
    ck_assert_uint_eq(bench.kv.disagreed, 0);
    bench_close();
}
END_TEST

/* ---- the suite ---------------------------------------------------------------------- */

static void add_pages(TCase *tcase)
{
    tcase_add_loop_test(tcase, exactly_the_whole_unused_pages_go, 0,
                        2 * COUNT(shapes) * COUNT(fillings));
    tcase_add_loop_test(tcase, nothing_is_left_behind, 0, 4 * COUNT(shapes));
    tcase_add_loop_test(tcase, as_many_stretches_as_there_are_go, 0, 2);
    tcase_add_test(tcase, what_is_locked_is_offered_once);
    tcase_add_test(tcase, bytes_are_those_of_cells);
    tcase_add_loop_test(tcase, only_names_of_the_cache_match, 0, COUNT(names));
    tcase_add_loop_test(tcase, recurrent_state_does_not_match, 0,
                        COUNT(strangers));
    tcase_add_loop_test(tcase, what_is_not_understood_is_left_alone, 0,
                        COUNT(breaks));
    tcase_add_test(tcase, without_memory_nothing_is_governed);
    tcase_add_test(tcase, more_caches_than_there_is_room_for_are_not_governed);
    tcase_add_test(tcase, a_row_of_another_stream_is_not_understood);
}

static void add_calls(TCase *tcase)
{
    tcase_add_test(tcase, graphs_of_one_pass_follow_one_another);
    tcase_add_test(tcase, layers_of_one_graph_share_their_cells);
    tcase_add_test(tcase, removed_cells_are_free_and_looked_for_first);
    tcase_add_test(tcase, moved_cells_keep_their_places);
    tcase_add_loop_test(tcase, rotating_brings_memory_behind_all_of_k, 0, 2);
    tcase_add_test(tcase, stretches_are_positions_in_the_order_of_cells);
    tcase_add_test(tcase, a_state_goes_where_the_engine_looks);
    tcase_add_test(tcase, what_was_restored_is_sure_or_waits);
    tcase_add_loop_test(tcase, a_state_that_nobody_used_leaves_a_doubt, 0, 2);
    tcase_add_test(tcase, what_is_not_known_ends_with_the_last_sequence);
    tcase_add_loop_test(tcase, a_state_that_cannot_be_is_not_known, 0,
                        COUNT(odd));
    tcase_add_test(tcase, a_state_before_the_first_pass_is_not_known);
}

static void add_masks(TCase *tcase)
{
    tcase_add_test(tcase, a_restored_state_is_sure_after_its_next_pass);
    tcase_add_loop_test(tcase, a_mask_that_is_not_as_expected_ends_it, 0, 5);
    tcase_add_loop_test(tcase, moved_cells_are_compared, 0, 2);
    tcase_add_test(tcase, plain_writes_are_not_compared);
    tcase_add_loop_test(tcase, what_a_cache_hides_is_found_out, 0,
                        COUNT(kinds));
    tcase_add_test(tcase, a_window_lets_go_of_what_it_hides);
}

Suite *suite(void)
{
    Suite *s = suite_create("llama_kv");
    TCase *pages = tcase_create("pages"), *calls = tcase_create("calls"),
          *masks = tcase_create("masks");

    add_pages(pages);
    add_calls(calls);
    add_masks(masks);
    suite_add_tcase(s, pages);
    suite_add_tcase(s, calls);
    suite_add_tcase(s, masks);
    return s;
}
