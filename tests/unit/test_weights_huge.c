/* SPDX-License-Identifier: MIT */
/* What stays comes in huge pages of the file, one at a time, beside what does not:
 * where the kernel does that. It is found out by a touch, so the table of this test
 * answers for kernels that cannot be had here. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "governor/memory/weights_state.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"

#define LAYERS 4
#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define HUGE_BYTES (2 * MIB)
#define PATIENCE_MS 20000

static char path[512];
static gov_model *model;
static gov_weights *weights;
static const struct gov_unit *units;
static uint32_t unit_count;
static uint64_t file_bytes, page, all;
static unsigned char *room, *base;
static size_t room_bytes;
static gov_error err;

/* What was asked of the kernel, and what of a part is there once a page of it was
 * touched. */
static struct {
    struct gov_platform table;
    pthread_mutex_t lock;
    uint64_t comes;
    bool knows;                     /* of huge pages */
    unsigned char *page;            /* that was touched alone */
    uint64_t huge, random, fetched; /* bytes, but for the embedding's */
} kernel;

static void set_up(void)
{
    struct gguf_writer w;
    size_t count;

    faults_reset();
    page = gov__platform_native()->page_bytes(gov__platform_native()->ctx);
    snprintf(path, sizeof(path), "%s/m.gguf", fresh_directory());
    gguf_begin(&w);
    gguf_key_text(&w, "general.architecture", "llama");
    gguf_add(&w, "token_embd.weight", T_F32, 256, 512);
    for (int i = 0; i < LAYERS; i++) {
        char name[64];

        snprintf(name, sizeof(name), "blk.%d.attn_q.weight", i);
        gguf_add(&w, name, T_F32, 256, 23 * KIB);
    }
    gguf_add(&w, "output.weight", T_F32, 256, 512);
    (void)gguf_finish(&w);
    file_bytes = w.file_bytes;
    gguf_save(&w, path, file_bytes);
    gguf_free(&w);
    ck_assert_msg(gov_model_open(&model, path, NULL, &err) == GOV_OK, "%s",
                  err.message);
    units = gov_model_units(model, &count);
    unit_count = (uint32_t)count;
    all = 0;
    for (uint32_t i = 0; i < unit_count; i++)
        all += units[i].bytes;
}

/* So far behind a multiple of a huge page. */
static void map_model(uint64_t behind)
{
    int fd = open(path, O_RDONLY);

    ck_assert_int_ge(fd, 0);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    room_bytes = (size_t)(file_bytes + 2 * HUGE_BYTES);
    room =
        mmap(NULL, room_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(room, MAP_FAILED);
    base = room +
           (gov__round_up((uintptr_t)room, HUGE_BYTES) - (uintptr_t)room) +
           behind;
    ck_assert_ptr_eq(mmap(base, (size_t)file_bytes, PROT_READ,
                          MAP_SHARED | MAP_FIXED, fd, 0),
                     base);
    close(fd);
}

static void tear_down(void)
{
    faults_reset();
    gov_weights_release(weights);
    weights = NULL;
    gov_model_close(model);
    munmap(room, room_bytes);
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    drop_directory();
}

/* Whether these pages are of a layer or a head. */
static bool counts(const void *at)
{
    return (const unsigned char *)at - base >= (ptrdiff_t)units[1].file_offset;
}

static int told_advice(void *ctx, void *at, size_t bytes,
                       enum gov__advice advice)
{
    int rc = 0;

    (void)ctx;
    pthread_mutex_lock(&kernel.lock);
    if (advice == GOV__ADVICE_HUGE && !kernel.knows)
        rc = EINVAL;
    else if (advice == GOV__ADVICE_HUGE && counts(at))
        kernel.huge += bytes;
    else if (advice == GOV__ADVICE_RANDOM && counts(at))
        kernel.random += bytes;
    pthread_mutex_unlock(&kernel.lock);
    return rc;
}

static int told_prefetch(void *ctx, void *at, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    pthread_mutex_lock(&kernel.lock);
    kernel.fetched += counts(at) ? bytes : 0;
    pthread_mutex_unlock(&kernel.lock);
    return native->prefetch(native->ctx, at, bytes);
}

static int told_populate(void *ctx, void *at, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    pthread_mutex_lock(&kernel.lock);
    if (bytes == page && kernel.page == NULL)
        kernel.page = at;
    pthread_mutex_unlock(&kernel.lock);
    return native->populate(native->ctx, at, bytes);
}

static int told_resident(void *ctx, void *at, size_t bytes, uint64_t *resident)
{
    const unsigned char *from = at;

    (void)ctx;
    pthread_mutex_lock(&kernel.lock);
    *resident =
        kernel.page != NULL && from <= kernel.page && kernel.page < from + bytes
            ? kernel.comes
            : 0;
    pthread_mutex_unlock(&kernel.lock);
    return 0;
}

static void adopt(uint64_t hot_bytes, bool direct, gov_advice load,
                  gov_advice pass)
{
    struct gov_weights_options options = gov_weights_options_default();

    options.hot_bytes = hot_bytes;
    options.alloc = faults_alloc();
    options.direct = direct;
    options.readers = 1;
    options.advise_load = load;
    options.advise_pass = pass;
    ck_assert_msg(gov__weights_adopt_on(&weights, &kernel.table, model,
                                        &options, &err) == GOV_OK,
                  "%s", err.message);
    ck_assert(gov_weights_wait(weights, true, PATIENCE_MS));
}

static void use_kernel(bool knows, uint64_t comes)
{
    memset(&kernel, 0, sizeof(kernel));
    pthread_mutex_init(&kernel.lock, NULL);
    kernel.table = *gov__platform_native();
    kernel.table.advise = told_advice;
    kernel.table.prefetch = told_prefetch;
    kernel.table.populate = told_populate;
    kernel.table.resident = told_resident;
    kernel.knows = knows;
    kernel.comes = comes;
}

/* Bytes of whole huge pages that stay, as the streamer has decided. */
static uint64_t whole_hot(void)
{
    const struct gov__streamer *s = &weights->streamer;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < s->res.part_count; i++)
        if (s->res.parts[i].hot && !s->res.parts[i].edge &&
            s->res.parts[i].begin >= units[1].file_offset)
            bytes += gov__part_bytes(&s->res.parts[i]);
    return bytes;
}

static const struct {
    const char *name;
    uint64_t comes, behind;
    bool knows, direct, some_cold;
    gov_advice load, pass;
    bool touched, huge;
} rows[] = {
    {"one at a time", HUGE_BYTES, 0, true, true, true, GOV_ADVICE_NORMAL,
     GOV_ADVICE_NORMAL, true, true},
    {"one at a time, at random", HUGE_BYTES, 0, true, true, true,
     GOV_ADVICE_RANDOM, GOV_ADVICE_RANDOM, true, true},
    {"small pages", 4 * KIB, 0, true, true, true, GOV_ADVICE_NORMAL,
     GOV_ADVICE_NORMAL, true, false},
    {"one more ahead", 2 * HUGE_BYTES, 0, true, true, true, GOV_ADVICE_NORMAL,
     GOV_ADVICE_NORMAL, true, false},
    {"no such advice", HUGE_BYTES, 0, false, true, true, GOV_ADVICE_NORMAL,
     GOV_ADVICE_NORMAL, false, false},
    {"mapped across huge pages", HUGE_BYTES, 64 * KIB, true, true, true,
     GOV_ADVICE_NORMAL, GOV_ADVICE_NORMAL, false, false},
    {"advised by phase", HUGE_BYTES, 0, true, true, true, GOV_ADVICE_NORMAL,
     GOV_ADVICE_RANDOM, false, false},
    {"read in a row", HUGE_BYTES, 0, true, true, true, GOV_ADVICE_SEQUENTIAL,
     GOV_ADVICE_SEQUENTIAL, false, false},
    {"through the page cache", HUGE_BYTES, 0, true, false, true,
     GOV_ADVICE_NORMAL, GOV_ADVICE_NORMAL, false, false},
    {"all stays", HUGE_BYTES, 0, true, true, false, GOV_ADVICE_NORMAL,
     GOV_ADVICE_NORMAL, false, false},
};

/* What comes so is not asked for ahead, which would bring in small pages; all else is,
 * and keeps the advice it had. */
START_TEST(asks_where_they_come_alone)
{
    uint64_t hot;

    map_model(rows[_i].behind);
    use_kernel(rows[_i].knows, rows[_i].comes);
    adopt(rows[_i].some_cold ? all / 2 : UINT64_MAX, rows[_i].direct,
          rows[_i].load, rows[_i].pass);
    hot = whole_hot();
    ck_assert_uint_gt(hot, all / 4);
    ck_assert_msg((kernel.page != NULL) == rows[_i].touched, "%s",
                  rows[_i].name);
    ck_assert_msg(weights->streamer.huge_alone == rows[_i].huge, "%s",
                  rows[_i].name);
    if (rows[_i].huge) {
        ck_assert_uint_ge(kernel.huge, hot);
        ck_assert_uint_lt(kernel.fetched, hot / 2);
    } else if (rows[_i].some_cold && rows[_i].behind == 0) {
        ck_assert_uint_le(kernel.huge, GOV__PART_BYTES);
        ck_assert_uint_ge(kernel.fetched, hot);
    }
    ck_assert_uint_eq(weights->streamer.failures, 0);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("weights in huge pages");
    TCase *tc = tcase_create("huge");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, asks_where_they_come_alone, 0,
                        sizeof(rows) / sizeof(rows[0]));
    suite_add_tcase(s, tc);
    return s;
}
