/* SPDX-License-Identifier: MIT */
/* What stays comes in huge pages of the file, one at a time, beside what does not:
 * where the kernel does that. It is found out by a touch, so the table of this test
 * answers for kernels that cannot be had here. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
    uint64_t comes, stays; /* stays: when half of that was dropped */
    uint64_t there;        /* of every part, before */
    unsigned knows;        /* of huge pages, so often */
    unsigned char *page;   /* that was touched alone */
    uint64_t huge, random, normal, fetched; /* bytes, but for the embedding's */
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
    if (advice == GOV__ADVICE_HUGE && kernel.knows == 0)
        rc = EINVAL;
    else if (advice == GOV__ADVICE_HUGE && counts(at)) {
        kernel.huge += bytes;
        kernel.knows--;
    } else if (advice == GOV__ADVICE_NORMAL && counts(at))
        kernel.normal += bytes;
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
    *resident = kernel.there;
    if (kernel.page != NULL && from <= kernel.page &&
        kernel.page < from + bytes)
        *resident = kernel.comes;
    pthread_mutex_unlock(&kernel.lock);
    return 0;
}

static int told_drop(void *ctx, int fd, uint64_t begin, uint64_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    pthread_mutex_lock(&kernel.lock);
    if (bytes == HUGE_BYTES / 2)
        kernel.comes = kernel.stays;
    pthread_mutex_unlock(&kernel.lock);
    return native->drop_cached(native->ctx, fd, begin, bytes);
}

static int told_tell(void *ctx, gov_fact fact, struct gov__told *told)
{
    (void)ctx;
    if (fact != GOV_FACT_DEVICE_HUGE_PAGE)
        return ENOTSUP;
    told->number = HUGE_BYTES;
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

static void use_kernel(unsigned knows, uint64_t comes, uint64_t stays)
{
    memset(&kernel, 0, sizeof(kernel));
    pthread_mutex_init(&kernel.lock, NULL);
    kernel.table = *gov__platform_native();
    kernel.table.advise = told_advice;
    kernel.table.prefetch = told_prefetch;
    kernel.table.populate = told_populate;
    kernel.table.resident = told_resident;
    kernel.table.drop_cached = told_drop;
    kernel.table.tell = told_tell;
    kernel.knows = knows;
    kernel.comes = comes;
    kernel.stays = stays;
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

#define ALWAYS UINT_MAX
#define ONE HUGE_BYTES, HUGE_BYTES
#define USUAL GOV_ADVICE_NORMAL, GOV_ADVICE_NORMAL

static const struct {
    const char *name;
    uint64_t comes, stays, behind;
    unsigned knows;
    bool direct, some_cold;
    gov_advice load, pass;
    bool touched, huge;
} rows[] = {
    {"one at a time", ONE, 0, ALWAYS, true, true, USUAL, true, true},
    {"at random", ONE, 0, ALWAYS, true, true, GOV_ADVICE_RANDOM,
     GOV_ADVICE_RANDOM, true, true},
    {"a small page", 4 * KIB, 4 * KIB, 0, ALWAYS, true, true, USUAL, true,
     false},
    {"many small pages", HUGE_BYTES, HUGE_BYTES / 2, 0, ALWAYS, true, true,
     USUAL, true, false},
    {"one more ahead", 2 * HUGE_BYTES, 2 * HUGE_BYTES, 0, ALWAYS, true, true,
     USUAL, true, false},
    {"no such advice", ONE, 0, 0, true, true, USUAL, false, false},
    {"refused later", ONE, 0, 1, true, true, USUAL, true, true},
    {"mapped across huge pages", ONE, 64 * KIB, ALWAYS, true, true, USUAL,
     false, false},
    {"advised by phase", ONE, 0, ALWAYS, true, true, GOV_ADVICE_NORMAL,
     GOV_ADVICE_RANDOM, false, false},
    {"read in a row", ONE, 0, ALWAYS, true, true, GOV_ADVICE_SEQUENTIAL,
     GOV_ADVICE_SEQUENTIAL, false, false},
    {"through the page cache", ONE, 0, ALWAYS, false, true, USUAL, false,
     false},
    {"all stays", ONE, 0, ALWAYS, true, false, USUAL, false, false},
};

/* What comes so is not asked for ahead, which would bring in small pages, and is read
 * at random for as long as it comes, where nobody wants that for good; all else is
 * asked for, and keeps the advice it had. */
START_TEST(asks_where_they_come_alone)
{
    const char *name = rows[_i].name;
    uint64_t hot;

    map_model(rows[_i].behind);
    use_kernel(rows[_i].knows, rows[_i].comes, rows[_i].stays);
    adopt(rows[_i].some_cold ? all / 2 : UINT64_MAX, rows[_i].direct,
          rows[_i].load, rows[_i].pass);
    hot = whole_hot();
    ck_assert_uint_gt(hot, all / 4);
    ck_assert_msg((kernel.page != NULL) == rows[_i].touched, "%s", name);
    ck_assert_msg(weights->streamer.huge_alone == rows[_i].huge, "%s", name);
    if (rows[_i].huge && rows[_i].knows == ALWAYS) {
        ck_assert_uint_ge(kernel.huge, hot);
        ck_assert_uint_le(kernel.huge, hot + GOV__PART_BYTES);
        ck_assert_uint_ge(kernel.random, hot);
        if (rows[_i].pass == GOV_ADVICE_NORMAL)
            ck_assert_uint_ge(kernel.normal, hot);
        else
            ck_assert_uint_eq(kernel.normal, 0);
        ck_assert_uint_lt(kernel.fetched, hot / 2);
    } else if (rows[_i].some_cold && rows[_i].behind == 0) {
        ck_assert_uint_le(kernel.huge, GOV__PART_BYTES);
        ck_assert_msg(kernel.fetched >= hot, "%s", name);
    }
    ck_assert_uint_eq(weights->streamer.failures, 0);
}
END_TEST

/* The engine reads what is hot where nobody else does; what is there in part is looked
 * at, and no more. */
START_TEST(touches_nothing_for_nothing)
{
    struct gov_weights_options options = gov_weights_options_default();

    map_model(0);
    use_kernel(ALWAYS, ONE);
    options.hot_bytes = all / 2;
    options.alloc = faults_alloc();
    options.direct = true;
    options.warm = _i == 0 ? GOV_WARM_NONE : GOV_WARM_USE;
    if (_i == 1)
        kernel.there = page;
    ck_assert_msg(gov__weights_adopt_on(&weights, &kernel.table, model,
                                        &options, &err) == GOV_OK,
                  "%s", err.message);
    gov_weights_reached(weights, 1);
    ck_assert(_i == 0 || gov_weights_wait(weights, true, PATIENCE_MS));
    ck_assert(!weights->streamer.huge_alone);
    ck_assert_uint_eq(kernel.huge, 0);
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
    tcase_add_loop_test(tc, touches_nothing_for_nothing, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
