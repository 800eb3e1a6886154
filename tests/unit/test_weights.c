/* SPDX-License-Identifier: MIT */
/* Governed weights on a real mapped file, with the test as the engine: it maps
 * a model filled with a pattern, tells where it is, and reads. Whatever the
 * streamer does meanwhile, the bytes are the file's. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "governor/memory/weights_priv.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"

#define LAYERS 8
#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

static char path[512];
static gov_model *model;
static const struct gov_unit *units;
static size_t unit_count;
static uint64_t file_bytes, data; /* data: where the tensors begin */
static uint64_t page;
static unsigned char *base; /* of the engine's mapping: file offset 0 */
static gov_weights *weights;
static gov_error err;
static atomic_bool done, corrupt; /* of the threads of a test */

/* ---- the model and the engine ----------------------------------------------- */

static uint64_t pattern(uint64_t offset)
{
    uint64_t x = (offset / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return x ^ (x >> 29);
}

static void write_pattern(void)
{
    static uint64_t block[8192];
    int fd = open(path, O_WRONLY);

    ck_assert_int_ge(fd, 0);
    for (uint64_t at = data; at < file_bytes;) {
        size_t bytes = sizeof(block);

        if (bytes > file_bytes - at)
            bytes = (size_t)(file_bytes - at);
        for (size_t i = 0; i < sizeof(block) / 8; i++)
            block[i] = pattern(at + i * 8);
        ck_assert_int_eq(pwrite(fd, block, bytes, (off_t)at), (ssize_t)bytes);
        at += bytes;
    }
    /* Dirty pages cannot be dropped. */
    ck_assert_int_eq(fsync(fd), 0);
    close(fd);
}

/* Layers of that many KiB and a bit, so that their edges share pages; an
 * embedding of 512 KiB, and an output matrix of that if it is not tied. */
static void make_model_of(uint64_t layer_kib, bool tied, bool experts)
{
    struct gguf_writer w;

    gguf_begin(&w);
    gguf_key_text(&w, "general.architecture", "llama");
    gguf_add(&w, "token_embd.weight", T_F32, 256, 512);
    for (int i = 0; i < LAYERS; i++) {
        char name[64];

        snprintf(name, sizeof(name), "blk.%d.attn_q.weight", i);
        gguf_add(&w, name, T_F32, 256, layer_kib);
        snprintf(name, sizeof(name), "blk.%d.ffn_up_exps.weight", i);
        if (experts)
            gguf_add(&w, name, T_F32, 256, layer_kib);
        snprintf(name, sizeof(name), "blk.%d.attn_norm.weight", i);
        gguf_add(&w, name, T_F32, 256, 1);
    }
    gguf_add(&w, "output_norm.weight", T_F32, 256, 0);
    if (!tied)
        gguf_add(&w, "output.weight", T_F32, 256, 512);
    data = gguf_finish(&w);
    file_bytes = w.file_bytes;
    gguf_save(&w, path, w.file_bytes);
    gguf_free(&w);
    write_pattern();
    ck_assert_msg(gov_model_open(&model, path, NULL, &err) == GOV_OK, "%s",
                  err.message);
    units = gov_model_units(model, &unit_count);
    ck_assert_uint_eq(unit_count, (experts ? 3 * LAYERS : LAYERS) + 2);
}

static void make_model(uint64_t layer_kib, bool tied)
{
    make_model_of(layer_kib, tied, false);
}

static void *map_part(uint64_t offset, uint64_t bytes, int protection,
                      int flags)
{
    int fd = open(path, O_RDONLY);
    void *at;

    ck_assert_int_ge(fd, 0);
    at = mmap(NULL, (size_t)bytes, protection, flags, fd, (off_t)offset);
    ck_assert_ptr_ne(at, MAP_FAILED);
    close(fd);
    return at;
}

static void map_model(void)
{
    base = map_part(0, file_bytes, PROT_READ, MAP_SHARED);
}

static void touch_all(void)
{
    for (uint64_t at = 0; at < file_bytes; at += page)
        (void)*(volatile unsigned char *)(base + at);
}

static bool is_pattern(uint64_t offset, uint64_t bytes, uint64_t step)
{
    offset = (offset + 7) / 8 * 8;
    for (uint64_t at = offset; at + 8 <= offset + bytes; at += step) {
        uint64_t word;

        memcpy(&word, base + at, sizeof(word));
        if (word != pattern(at))
            return false;
    }
    return true;
}

static void set_up(void)
{
    const struct gov_platform *native = gov__platform_native();

    faults_reset();
    atomic_store(&done, false);
    atomic_store(&corrupt, false);
    snprintf(path, sizeof(path), "%s/m.gguf", fresh_directory());
    page = native->page_bytes(native->ctx);
}

static void leave_gate_open(void);

static void tear_down(void)
{
    leave_gate_open(); /* a test that failed may have left readers at it */
    gov_weights_release(weights);
    weights = NULL;
    gov_model_close(model);
    model = NULL;
    if (base != NULL)
        munmap(base, (size_t)file_bytes);
    base = NULL;
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    drop_directory();
}

/* 256 KiB a layer: units are of one part. */
static void set_up_small(void)
{
    set_up();
    make_model(256, false);
    map_model();
    touch_all();
}

static void set_up_tied(void)
{
    set_up();
    make_model(256, true);
    map_model();
    touch_all();
}

/* A layer is of attention, experts and a norm. */
static void set_up_experts(void)
{
    set_up();
    make_model_of(256, false, true);
    map_model();
    touch_all();
}

/* 9 MiB a layer: three parts each. */
static void set_up_large(void)
{
    set_up();
    make_model(9 * KIB, false);
    map_model();
    touch_all();
}

static struct gov_weights_options options_for(uint64_t hot_bytes)
{
    struct gov_weights_options options = gov_weights_options_default();

    options.hot_bytes = hot_bytes;
    options.alloc = faults_alloc();
    return options;
}

static void adopt_with(const struct gov_weights_options *options)
{
    ck_assert_msg(gov_weights_adopt(&weights, model, options, &err) == GOV_OK,
                  "%s", err.message);
}

static void adopt(uint64_t hot_bytes)
{
    struct gov_weights_options options = options_for(hot_bytes);

    adopt_with(&options);
}

static struct gov_weights_account account(bool exact)
{
    struct gov_weights_account out;

    gov_weights_account(weights, exact, &out);
    return out;
}

static const char *map_text(void)
{
    static char text[128];

    ck_assert_uint_eq(gov_weights_map(weights, text, sizeof(text)), unit_count);
    return text;
}

/* The streamer is another thread: what it will do is waited for. */
static bool comes_true(bool (*condition)(const void *arg), const void *arg)
{
    const struct timespec ms = {0, 1000000};

    for (int i = 0; i < 20000; i++) {
        if (condition(arg))
            return true;
        nanosleep(&ms, NULL);
    }
    return false;
}

static bool map_is(const void *want)
{
    return strcmp(map_text(), want) == 0;
}

static void wait_for_map(const char *want)
{
    ck_assert_msg(comes_true(map_is, want), "%s, want %s", map_text(), want);
}

static bool is_resident_at_most(const void *bytes)
{
    return account(true).resident_bytes <= *(const uint64_t *)bytes;
}

/* Whether a file here leaves memory when it is dropped: on tmpfs it cannot. */
static bool can_drop(const char *test)
{
    const struct gov_platform *native = gov__platform_native();
    uint64_t left = 1;
    int fd = open(path, O_RDONLY);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(native->discard(native->ctx, base, (size_t)file_bytes), 0);
    (void)native->drop_cached(native->ctx, fd, 0, file_bytes);
    ck_assert_int_eq(
        native->resident(native->ctx, base, (size_t)file_bytes, &left), 0);
    close(fd);
    touch_all();
    if (left != 0)
        skip_test(test, "files below TMPDIR do not leave memory");
    return left == 0;
}

/* Advice splits a mapping in the kernel's list; undone, it is whole. */
static int pieces(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    int n = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        n += strstr(line, path) != NULL;
    fclose(maps);
    return n;
}

static uint64_t bytes_of(gov_unit_kind kind)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < unit_count; i++)
        if (units[i].kind == kind)
            bytes += units[i].bytes;
    return bytes;
}

/* ---- adoption --------------------------------------------------------------- */

START_TEST(keeps_everything_by_default)
{
    struct gov_weights_account a;

    ck_assert_int_eq(gov_weights_adopt(&weights, model, NULL, &err), GOV_OK);
    wait_for_map("HHHHHHHHHH");
    a = account(false);
    ck_assert_uint_ge(a.mapped_bytes, file_bytes);
    ck_assert_uint_lt(a.mapped_bytes, file_bytes + page);
    ck_assert_uint_eq(a.hot_bytes, bytes_of(GOV_UNIT_EMBEDDING) +
                                       bytes_of(GOV_UNIT_LAYER) +
                                       bytes_of(GOV_UNIT_OUTPUT));
    ck_assert_uint_eq(a.cold_bytes + a.window_bytes + a.streamed_bytes, 0);
    ck_assert_uint_eq(a.dropped_bytes + a.late_units + a.failures, 0);
    ck_assert(!a.resident_known && a.resident_bytes == 0);
    for (uint32_t i = 0; i < unit_count; i++)
        gov_weights_reached(weights, i);
    gov_weights_reached(weights, 0);
    ck_assert_uint_eq(account(false).passes, 1);
    ck_assert_uint_eq(account(false).late_units, 0);
}
END_TEST

/* What is cold has gone when adopt returns, but for the first units of a pass;
 * what is rows has too. */
START_TEST(drops_at_once)
{
    uint64_t bound;

    if (!can_drop("drops_at_once"))
        return;
    adopt(0);
    bound = account(false).window_bytes + 2 * page * unit_count;
    ck_assert_msg(is_resident_at_most(&bound), "%llu stay of %llu",
                  (unsigned long long)account(true).resident_bytes,
                  (unsigned long long)bound);
    ck_assert(account(true).resident_known);
    ck_assert_uint_eq(account(false).hot_bytes, 0);
    wait_for_map(".ss-------");
    ck_assert_uint_gt(account(false).dropped_bytes, 0);
    ck_assert(is_pattern(data, file_bytes - data, 8));
}
END_TEST

START_TEST(spreads_what_is_cold)
{
    /* The head and half of the layers. */
    adopt(bytes_of(GOV_UNIT_OUTPUT) + bytes_of(GOV_UNIT_LAYER) / 2);
    wait_for_map(".sHsH-H-HH");
    ck_assert_uint_eq(account(false).hot_bytes,
                      bytes_of(GOV_UNIT_OUTPUT) + bytes_of(GOV_UNIT_LAYER) / 2);
}
END_TEST

/* Also when it changes. */
START_TEST(holds_the_first)
{
    struct gov_weights_options options = options_for(0);

    options.hold = GOV_HOLD_FIRST;
    options.hot_bytes = 3 * units[1].bytes + units[1].bytes / 2;
    adopt_with(&options);
    wait_for_map(".HHHss----");
    ck_assert_uint_eq(account(false).hot_bytes, 3 * units[1].bytes);
    ck_assert_uint_eq(gov_weights_set_hot(weights, units[1].bytes),
                      units[1].bytes);
    wait_for_map(".Hss------");
    (void)gov_weights_set_hot(weights, bytes_of(GOV_UNIT_LAYER));
    wait_for_map(".HHHHHHHHs");
    ck_assert_uint_eq(account(false).cold_bytes, bytes_of(GOV_UNIT_OUTPUT));
}
END_TEST

START_TEST(holds_what_every_token_uses)
{
    struct gov_weights_options options = options_for(0);
    uint64_t dense = bytes_of(GOV_UNIT_OUTPUT) + bytes_of(GOV_UNIT_LAYER);

    options.hold = GOV_HOLD_DENSE;
    options.hot_bytes = dense;
    adopt_with(&options);
    wait_for_map(".HHsHHsHH-HH-HH-HH-HH-HH-H");
    ck_assert_uint_eq(account(false).cold_bytes, bytes_of(GOV_UNIT_EXPERTS));
    (void)gov_weights_set_hot(weights, dense + bytes_of(GOV_UNIT_EXPERTS) / 2);
    wait_for_map(".HHsHHHHHsHHHHH-HHHHH-HHHH");
}
END_TEST

START_TEST(needs_a_tied_embedding_whole)
{
    struct gov_weights_account a;

    adopt(bytes_of(GOV_UNIT_EMBEDDING) + bytes_of(GOV_UNIT_OUTPUT) +
          bytes_of(GOV_UNIT_LAYER) / 2);
    wait_for_map("HsHsH-H-HH");
    (void)gov_weights_set_hot(weights, 0);
    wait_for_map("sss-------");
    a = account(false);
    ck_assert_uint_eq(a.cold_bytes, bytes_of(GOV_UNIT_EMBEDDING) +
                                        bytes_of(GOV_UNIT_LAYER) +
                                        bytes_of(GOV_UNIT_OUTPUT));
}
END_TEST

START_TEST(takes_options_of_other_versions)
{
    struct {
        struct gov_weights_options known;
        uint64_t newer;
    } options = {options_for(UINT64_MAX), 0};

    options.known.size = sizeof(options);
    ck_assert_int_eq(gov_weights_adopt(&weights, model, &options.known, &err),
                     GOV_OK);
    gov_weights_release(weights);
    options.newer = 1;
    ck_assert_int_eq(gov_weights_adopt(&weights, model, &options.known, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "the weights options are of a newer version; leave what "
                     "this library does not know at 0");
    ck_assert_ptr_null(weights);
    options.known.size = 0;
    ck_assert_int_eq(gov_weights_adopt(&weights, model, &options.known, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "weights options of 0 bytes are none; start "
                                  "from gov_weights_options_default()");
    options.known.size = offsetof(struct gov_weights_options, ahead);
    ck_assert_int_eq(gov_weights_adopt(&weights, model, &options.known, &err),
                     GOV_OK);
    gov_weights_release(weights);
    options.known = options_for(0);
    options.known.warm = (gov_warm)7;
    ck_assert_int_eq(gov_weights_adopt(&weights, model, &options.known, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "the weights options hold, warm, advise_load and "
                     "advise_pass are 0, 7, 0 and 0, and one is none that is "
                     "known; leave it at 0");
    for (int i = 0; i < 4; i++) {
        const int odd = i % 2 == 0 ? 3 : -1;

        options.known = options_for(0);
        options.known.hold = i == 0 ? (gov_hold)odd : GOV_HOLD_SPREAD;
        options.known.warm = i == 1 ? (gov_warm)odd : GOV_WARM_USE;
        options.known.advise_load = i == 2 ? (gov_advice)odd : 0;
        options.known.advise_pass = i == 3 ? (gov_advice)odd : 0;
        ck_assert_int_eq(
            gov_weights_adopt(&weights, model, &options.known, &err),
            GOV_E_INVALID);
    }
    ck_assert_int_eq(gov_weights_adopt(NULL, model, NULL, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "gov_weights_adopt() needs a model and a "
                                  "place for the weights");
}
END_TEST

START_TEST(leaves_the_mapping_as_it_was)
{
    adopt(0);
    wait_for_map(".ss-------");
    ck_assert_int_gt(pieces(), 1);
    gov_weights_release(weights);
    weights = NULL;
    ck_assert_int_eq(pieces(), 1);
    ck_assert(is_pattern(data, file_bytes - data, 8));
    gov_weights_release(NULL);
}
END_TEST

/* ---- refusals ----------------------------------------------------------------- */

static void map_twice(void)
{
    map_model();
    (void)map_part(0, file_bytes, PROT_READ, MAP_SHARED);
}

static void map_with_a_hole(void)
{
    map_model();
    munmap(base + 64 * page, (size_t)page);
}

static void map_the_front(void)
{
    (void)map_part(0, file_bytes / 2, PROT_READ, MAP_SHARED);
}

static void map_all_but_an_end(void)
{
    (void)map_part(0, file_bytes - 64 * page, PROT_READ, MAP_SHARED);
}

static void map_the_back(void)
{
    (void)map_part(16 * page, file_bytes - 16 * page, PROT_READ, MAP_SHARED);
}

static void map_private(void)
{
    (void)map_part(0, file_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static void map_locked(void)
{
    /* Not mlock(): sanitizers make that do nothing. */
    (void)map_part(0, file_bytes, PROT_READ, MAP_SHARED | MAP_LOCKED);
}

static void map_nothing(void)
{
}

static void map_and_replace(void)
{
    char other[600];

    map_model();
    snprintf(other, sizeof(other), "%s.new", path);
    ck_assert_int_eq(rename(path, other), 0);
    ck_assert_int_eq(close(open(path, O_WRONLY | O_CREAT, 0600)), 0);
    ck_assert_int_eq(truncate(path, (off_t)file_bytes), 0);
}

static void map_and_grow(void)
{
    map_model();
    ck_assert_int_eq(truncate(path, (off_t)file_bytes + 1), 0);
}

static void map_and_remove(void)
{
    map_model();
    ck_assert_int_eq(unlink(path), 0);
}

static void map_and_put_a_fifo(void)
{
    map_model();
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static const struct {
    void (*map)(void);
    gov_status status;
    const char *message; /* %s: the path */
} refusals[] = {
    {map_nothing, GOV_E_NOT_FOUND,
     "this process does not map %s; let the engine load it with mmap first"},
    {map_twice, GOV_E_UNSUPPORTED,
     "%s is mapped in 2 pieces; load it once, with all weights on the "
     "processor"},
    {map_with_a_hole, GOV_E_UNSUPPORTED,
     "%s is mapped in 2 pieces; load it once, with all weights on the "
     "processor"},
    {map_the_front, GOV_E_UNSUPPORTED,
     "the mapping does not cover all weights of %s; load it with all weights "
     "on the processor"},
    {map_all_but_an_end, GOV_E_UNSUPPORTED,
     "the mapping does not cover all weights of %s; load it with all weights "
     "on the processor"},
    {map_the_back, GOV_E_UNSUPPORTED,
     "the mapping does not cover all weights of %s; load it with all weights "
     "on the processor"},
    {map_private, GOV_E_UNSUPPORTED,
     "%s is mapped privately, and what the engine may have written there would "
     "be lost; map it shared"},
    {map_locked, GOV_E_UNSUPPORTED,
     "the mapping of %s is locked in memory, so nothing of it can be dropped; "
     "load the model without mlock"},
    {map_and_replace, GOV_E_IO,
     "%s was replaced since its header was read; load the model again"},
    {map_and_grow, GOV_E_IO,
     "%s was replaced since its header was read; load the model again"},
    {map_and_put_a_fifo, GOV_E_IO,
     "%s was replaced since its header was read; load the model again"},
    {map_and_remove, GOV_E_NOT_FOUND,
     "cannot open %s to stream it: No such file or directory"},
};

START_TEST(refuses)
{
    struct gov_weights_options options = options_for(0);
    char want[800];
    int descriptors;

    make_model(256, false);
    refusals[_i].map();
    descriptors = faults_open_descriptors();
    weights = (gov_weights *)&weights;
    ck_assert_int_eq(gov_weights_adopt(&weights, model, &options, &err),
                     refusals[_i].status);
    ck_assert_ptr_null(weights);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(want, sizeof(want), refusals[_i].message, path);
#pragma GCC diagnostic pop
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    ck_assert_int_eq((int)faults_live_blocks(), 0);
}
END_TEST

/* ---- faults ------------------------------------------------------------------- */

/* madvise() is not among them: a refusal of that is absorbed (below). Reading
 * what is locked may fail too; discarding then says so, which is counted. */
#define FATAL_CALLS "alloc,fstat,pthread_create"

START_TEST(fails_cleanly)
{
    struct gov_weights_options options = options_for(0);
    int descriptors = faults_open_descriptors();
    uint64_t calls;

    faults_reset();
    faults_only(FATAL_CALLS);
    adopt(0);
    calls = faults_count();
    gov_weights_release(weights);
    ck_assert_uint_ge(calls, 6);
    for (uint64_t n = 0; n < calls; n++) {
        gov_error e = {0};

        faults_reset();
        faults_only(FATAL_CALLS);
        faults_arm(n, _i != 0);
        if (gov_weights_adopt(&weights, model, &options, &e) == GOV_OK) {
            /* Without a reader of its own what is hot is read by the streamer. */
            ck_assert_msg(strcmp(faults_last(), "pthread_create") == 0 &&
                              _i == 0,
                          "%s, call %d is swallowed", faults_last(), (int)n);
            gov_weights_release(weights);
            continue;
        }
        ck_assert_ptr_null(weights);
        ck_assert_msg(e.message[0] != '\0', "call %d is mute", (int)n);
        ck_assert_msg(faults_live_blocks() == 0, "call %d leaks", (int)n);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
        ck_assert_int_eq(pieces(), 1);
    }
    faults_reset();
    ck_assert(is_pattern(data, file_bytes - data, 8));
}
END_TEST

START_TEST(fails_when_maps_cannot_be_read)
{
    static const char *const calls[] = {"open", "read"};
    struct gov_weights_options options = options_for(0);
    int descriptors = faults_open_descriptors();

    faults_only(calls[_i]);
    faults_arm(0, true);
    ck_assert_int_eq(gov_weights_adopt(&weights, model, &options, &err),
                     GOV_E_IO);
    ck_assert_str_eq(faults_last(), calls[_i]);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
}
END_TEST

START_TEST(goes_on_after_a_signal)
{
    faults_set_errno(EINTR);
    faults_only("open");
    faults_arm(0, false);
    adopt(0);
    ck_assert_str_eq(faults_last(), "open");
}
END_TEST

static bool has_failures(const void *unused)
{
    (void)unused;
    return account(false).failures > 0;
}

/* The kernel refuses everything: slower, never wrong. */
START_TEST(absorbs_a_kernel_that_refuses)
{
    faults_only("madvise");
    faults_arm(0, true);
    adopt(0);
    for (uint32_t i = 0; i < 3 * unit_count; i++) {
        gov_weights_reached(weights, i % (uint32_t)unit_count);
        ck_assert(is_pattern(units[i % unit_count].file_offset,
                             units[i % unit_count].bytes, 512));
    }
    ck_assert(comes_true(has_failures, NULL));
    ck_assert_uint_eq(account(false).dropped_bytes, 0);
    faults_disarm();
}
END_TEST

/* Somebody cuts the file short: reading ahead meets it first, and must not be
 * what gets the SIGBUS. */
START_TEST(survives_a_shorter_file)
{
    adopt(0);
    ck_assert_int_eq(truncate(path, (off_t)(file_bytes / 2)), 0);
    for (uint32_t i = 0; i < unit_count; i++)
        gov_weights_reached(weights, i);
    ck_assert(comes_true(has_failures, NULL));
}
END_TEST

/* ---- a pass ------------------------------------------------------------------- */

/* The platform with a gate before every read, to stop the streamer in one. */
static struct gate {
    struct gov_platform table;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
    int waiting, reads, prefetches;
    uint64_t read_at[256]; /* file offsets */
    uint32_t jump_to; /* where the engine is at the next prefetch; 0: stays */
    bool own_clock;
    uint64_t now_us, step_us; /* and what each look adds */
    int looks;                /* at the clock */
    char advice[32];          /* what was said of the whole mapping: N, S, R */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .changed = PTHREAD_COND_INITIALIZER};

static void leave_gate_open(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static int gated_populate(void *ctx, void *at, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    pthread_mutex_lock(&gate.lock);
    if (gate.reads < 256)
        gate.read_at[gate.reads] = (uint64_t)((unsigned char *)at - base);
    gate.reads++;
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.closed)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    pthread_mutex_unlock(&gate.lock);
    return native->populate(native->ctx, at, bytes);
}

static int counted_prefetch(void *ctx, void *at, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();
    uint32_t jump_to;

    (void)ctx;
    pthread_mutex_lock(&gate.lock);
    gate.prefetches++;
    jump_to = gate.jump_to;
    gate.jump_to = 0;
    pthread_mutex_unlock(&gate.lock);
    if (jump_to != 0)
        gov_weights_reached(weights, jump_to);
    return native->prefetch(native->ctx, at, bytes);
}

static int noted_advise(void *ctx, void *at, size_t bytes,
                        enum gov__advice advice)
{
    const struct gov_platform *native = gov__platform_native();
    static const char letters[] = "NSRH";

    (void)ctx;
    pthread_mutex_lock(&gate.lock);
    if (bytes >= file_bytes && strlen(gate.advice) < sizeof(gate.advice) - 1)
        gate.advice[strlen(gate.advice)] = letters[advice];
    pthread_mutex_unlock(&gate.lock);
    return native->advise(native->ctx, at, bytes, advice);
}

static uint64_t set_clock(void *ctx)
{
    const struct gov_platform *native = gov__platform_native();
    uint64_t now;

    (void)ctx;
    pthread_mutex_lock(&gate.lock);
    gate.looks++;
    gate.now_us += gate.step_us;
    now = gate.own_clock ? gate.now_us : native->now_us(native->ctx);
    pthread_mutex_unlock(&gate.lock);
    return now;
}

/* Reports what the whole mapping was advised so far. */
static const char *advice_given(void)
{
    static char text[32];

    pthread_mutex_lock(&gate.lock);
    memcpy(text, gate.advice, sizeof(text));
    pthread_mutex_unlock(&gate.lock);
    return text;
}

static bool advice_is(const void *want)
{
    return strcmp(advice_given(), want) == 0;
}

static void wait_for_advice(const char *want)
{
    ck_assert_msg(comes_true(advice_is, want), "%s, want %s", advice_given(),
                  want);
}

static int looks(void)
{
    int n;

    pthread_mutex_lock(&gate.lock);
    n = gate.looks;
    pthread_mutex_unlock(&gate.lock);
    return n;
}

static void open_gate(bool open)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = !open;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

/* Reads begun so far, and where the n-th of them was. */
static int reads(void)
{
    int n;

    pthread_mutex_lock(&gate.lock);
    n = gate.reads;
    pthread_mutex_unlock(&gate.lock);
    return n;
}

static int prefetches(void)
{
    int n;

    pthread_mutex_lock(&gate.lock);
    n = gate.prefetches;
    pthread_mutex_unlock(&gate.lock);
    return n;
}

static uint64_t read_at(int n)
{
    uint64_t at;

    pthread_mutex_lock(&gate.lock);
    at = gate.read_at[n];
    pthread_mutex_unlock(&gate.lock);
    return at;
}

static void wait_for_reads(int count)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting < count)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void wait_for_read(void)
{
    wait_for_reads(1);
}

static void make_gate(bool closed)
{
    memset(&gate, 0, sizeof(gate));
    pthread_mutex_init(&gate.lock, NULL);
    pthread_cond_init(&gate.changed, NULL);
    gate.table = *gov__platform_native();
    gate.table.populate = gated_populate;
    gate.table.prefetch = counted_prefetch;
    gate.table.advise = noted_advise;
    gate.table.now_us = set_clock;
    gate.closed = closed;
}

static void adopt_through_gate(const struct gov_weights_options *options)
{
    ck_assert_msg(gov__weights_adopt_on(&weights, &gate.table, model, options,
                                        &err) == GOV_OK,
                  "%s", err.message);
}

static void adopt_gated(uint64_t hot_bytes, uint32_t ahead, bool closed)
{
    struct gov_weights_options options = options_for(hot_bytes);

    options.ahead = ahead;
    make_gate(closed);
    adopt_through_gate(&options);
}

START_TEST(follows_the_engine)
{
    static const char *const maps[] = {
        ".ss-------", ".sss------", ".-sss-----", ".--sss----", ".---sss---",
        ".----sss--", ".-----sss-", ".------sss", ".s------ss", ".ss------s",
    };
    uint64_t layer = units[1].bytes;

    adopt(0);
    for (int pass = 0; pass < 3; pass++)
        for (uint32_t i = 0; i < unit_count; i++) {
            gov_weights_reached(weights, i);
            wait_for_map(maps[i]);
            ck_assert(is_pattern(units[i].file_offset, units[i].bytes, 8));
        }
    ck_assert_uint_eq(account(false).passes, 2);
    ck_assert_uint_eq(account(false).late_units, 0);
    /* Pages at the edges are read twice. */
    ck_assert_uint_ge(account(false).streamed_bytes, 3 * LAYERS * layer);
    ck_assert_uint_lt(account(false).streamed_bytes,
                      3 * (LAYERS + 3) * (layer + 3 * page));
    ck_assert_uint_eq(account(false).failures, 0);
}
END_TEST

START_TEST(reads_in_order_of_use)
{
    int i;

    adopt_gated(0, 3, false);
    wait_for_map(".sss------");
    gov_weights_reached(weights, 7);
    wait_for_map(".s-----sss");
    ck_assert_int_eq(reads(), 6);
    for (i = 0; i < 6; i++) {
        static const int order[] = {1, 2, 3, 7, 8, 9};

        ck_assert_uint_eq(read_at(i),
                          units[order[i]].file_offset / page * page);
    }
}
END_TEST

/* The engine overtakes a read: it is counted, it does not wait, and the streamer
 * goes where the engine is. */
START_TEST(counts_what_is_late)
{
    adopt_gated(0, 3, true);
    wait_for_read();
    gov_weights_reached(weights, 1);
    gov_weights_reached(weights, 1);
    gov_weights_reached(weights, 5);
    ck_assert_uint_eq(account(false).late_units, 2);
    gov_weights_reached(weights, UINT32_MAX); /* no such unit */
    ck_assert_uint_eq(account(false).late_units, 2);
    open_gate(true);
    wait_for_map(".----ssss-");
    ck_assert_int_eq(reads(), 5); /* one, and no more there */
}
END_TEST

START_TEST(keeps_reads_in_flight)
{
    adopt_gated(0, 4, true);
    wait_for_read();
    ck_assert_int_eq(prefetches(), 3);
    open_gate(true);
    wait_for_map(".ssss-----");
    ck_assert_int_eq(reads(), 4);
    ck_assert_int_eq(prefetches(), 4);
}
END_TEST

static bool all_is_there(const void *unused)
{
    struct gov_weights_account a = account(false);

    (void)unused;
    return a.there_bytes == a.hot_bytes;
}

/* Every byte that the streamer maps was asked for ahead, also where the engine
 * jumps while as many reads are under way as may be: by faults alone they would
 * come page by page where the mapping is advised to be read at random. Only where
 * all of it stays, and it is not, the kernel's own readahead is as good or better. */
START_TEST(prefetches_all_it_reads)
{
    static const struct {
        const char *name;
        gov_advice advice;
        uint32_t cold_units; /* the first has rows, which are only looked up */
        int reads, prefetches;
    } rows[] = {
        {"some is cold", GOV_ADVICE_NORMAL, 2, 9, 9},
        {"some is cold, at random", GOV_ADVICE_RANDOM, 2, 9, 9},
        {"all stays", GOV_ADVICE_NORMAL, 0, 10, 2},
        {"all stays, in a row", GOV_ADVICE_SEQUENTIAL, 0, 10, 2},
        {"all stays, at random", GOV_ADVICE_RANDOM, 0, 10, 10},
    };
    struct gov_weights_options options = options_for(0);
    uint64_t all = 0;

    for (uint32_t i = 0; i < unit_count; i++)
        all += units[i].bytes;
    options.ahead = 2;
    options.advise_load = options.advise_pass = rows[_i].advice;
    make_gate(false);
    adopt_through_gate(&options);
    wait_for_map(".ss-------");
    ck_assert_int_eq(reads(), 2);
    ck_assert_int_eq(prefetches(), 2);
    pthread_mutex_lock(&gate.lock);
    gate.jump_to = 6;
    pthread_mutex_unlock(&gate.lock);
    for (uint32_t i = 0; i < rows[_i].cold_units; i++)
        all -= units[i].bytes;
    (void)gov_weights_set_hot(weights, all);
    if (rows[_i].cold_units == 0)
        wait_for_map("HHHHHHHHHH");
    ck_assert(comes_true(all_is_there, NULL));
    ck_assert_msg(reads() == rows[_i].reads, "%s: %d reads", rows[_i].name,
                  reads());
    ck_assert_msg(prefetches() == rows[_i].prefetches, "%s: %d prefetches",
                  rows[_i].name, prefetches());
}
END_TEST

/* ---- bringing in what is hot ------------------------------------------------------ */

static bool is_in_a_window(uint64_t at)
{
    static const int window[] = {0, 1, 2, 6, 7, 8};

    for (size_t i = 0; i < sizeof(window) / sizeof(window[0]); i++)
        if (units[window[i]].file_offset / page * page == at)
            return true;
    return false;
}

/* What nobody waits for is read in the order of use from where the engine is, or
 * of the file; what it needs next is read beside that. Two units are with the
 * reader before the engine moves. */
START_TEST(warms_in_file_order)
{
    static const int order[2][4] = {{3, 4, 9, 5}, {3, 4, 5, 9}};
    int n = 0;
    struct gov_weights_options options = options_for(UINT64_MAX);

    options.warm = _i == 0 ? GOV_WARM_USE : GOV_WARM_FILE;
    make_gate(true);
    adopt_through_gate(&options);
    wait_for_reads(2); /* the streamer, and the reader */
    gov_weights_reached(weights, 6);
    open_gate(true);
    wait_for_map("HHHHHHHHHH");
    ck_assert_int_eq(reads(), 10);
    for (int i = 0; i < 10; i++)
        if (!is_in_a_window(read_at(i)))
            ck_assert_uint_eq(read_at(i),
                              units[order[_i][n++]].file_offset / page * page);
    ck_assert_int_eq(n, 4);
}
END_TEST

/* What is hot is neither read nor dropped; where the engine was, it is there. */
START_TEST(leaves_warming_to_the_engine)
{
    struct gov_weights_options options = options_for(UINT64_MAX);

    options.warm = GOV_WARM_NONE;
    make_gate(false);
    adopt_through_gate(&options);
    ck_assert_str_eq(map_text(), "hhhhhhhhhh");
    gov_weights_reached(weights, 3);
    wait_for_map("HHHhhhhhhh");
    gov_weights_reached(weights, 9);
    wait_for_map("HHHHHHHHHh");
    gov_weights_reached(weights, 0);
    wait_for_map("HHHHHHHHHH");
    ck_assert_int_eq(reads() + prefetches(), 0);
    ck_assert_uint_eq(account(false).dropped_bytes, 0);
    /* What is cold is read ahead all the same. */
    (void)gov_weights_set_hot(weights, bytes_of(GOV_UNIT_OUTPUT) +
                                           bytes_of(GOV_UNIT_LAYER) / 2);
    gov_weights_reached(weights, 3);
    wait_for_map(".-HsHsHsHH");
    (void)gov_weights_set_hot(weights, UINT64_MAX);
    wait_for_map("hhHHHHHHHH");
    /* However little of it the streamer sees. */
    for (uint32_t i = 4; i < 2 * unit_count; i++)
        gov_weights_reached(weights, i % (uint32_t)unit_count);
    wait_for_map("HHHHHHHHHH");
    (void)gov_weights_set_hot(weights, 0);
    wait_for_map(".ss------s");
    (void)gov_weights_set_hot(weights, UINT64_MAX);
    gov_weights_reached(weights, 0);
    gov_weights_reached(weights, 9);
    wait_for_map("HHHHHHHHHH");
    for (int i = 0; i < reads(); i++)
        ck_assert(read_at(i) != units[8].file_offset / page * page &&
                  read_at(i) != units[6].file_offset / page * page);
    ck_assert_int_eq(pieces(), 1);
    ck_assert(is_pattern(data, file_bytes - data, 8));
}
END_TEST

static void set_time(uint64_t us)
{
    pthread_mutex_lock(&gate.lock);
    gate.now_us = us;
    pthread_mutex_unlock(&gate.lock);
}

/* Looks at the clock again. */
static void set_time_and_wake(uint64_t us)
{
    set_time(us);
    gov_weights_pause(weights, false);
}

/* What the engine needs next comes at once, one more hot unit a second. */
START_TEST(warms_at_a_rate)
{
    const uint64_t start = 1000000000;
    struct gov_weights_options options = options_for(0);

    options.hot_bytes =
        bytes_of(GOV_UNIT_OUTPUT) + bytes_of(GOV_UNIT_LAYER) / 2;
    options.warm_rate = units[2].bytes + 2 * page;
    options.advise_load = GOV_ADVICE_SEQUENTIAL;
    make_gate(false);
    gate.own_clock = true;
    gate.now_us = start;
    adopt_through_gate(&options);
    wait_for_map(".sHsH-h-hh");
    set_time_and_wake(start + 900000);
    ck_assert_str_eq(map_text(), ".sHsH-h-hh");
    set_time_and_wake(start + 1000000);
    wait_for_map(".sHsH-H-hh");
    /* Neither did it run around meanwhile, nor does a minute save hours up. */
    ck_assert_int_lt(looks(), 100);
    ck_assert_str_eq(advice_given(), "S"); /* it still loads */
    set_time_and_wake(start + UINT64_C(3600000000));
    wait_for_map(".sHsH-H-Hh");
    set_time_and_wake(start + UINT64_C(7200000000));
    wait_for_map(".sHsH-H-HH");
    wait_for_advice("SN");
    (void)gov_weights_set_hot(weights, 0); /* and it stops within a sleep */
    wait_for_map(".ss-------");
}
END_TEST

/* The clock goes on at every look, so that the time may come at any of them. */
START_TEST(sees_that_its_time_has_come)
{
    struct gov_weights_options options = options_for(UINT64_MAX);

    options.warm_rate = units[1].bytes * 20; /* 50 ms */
    make_gate(false);
    gate.own_clock = true;
    gate.step_us = (uint64_t)_i * 2500;
    adopt_through_gate(&options);
    wait_for_map("HHHHHHHHHH");
}
END_TEST

/* By itself, too. */
START_TEST(goes_on_after_a_sleep)
{
    struct gov_weights_options options = options_for(UINT64_MAX);

    options.warm_rate = 50 * file_bytes; /* 20 ms */
    make_gate(false);
    adopt_through_gate(&options);
    wait_for_map("HHHHHHHHHH");
    ck_assert_int_lt(looks(), 1000);
}
END_TEST

/* ---- advice ------------------------------------------------------------------------ */

/* What the kernel says of each mapping of the file: one letter a piece, S, R or
 * N. */
static const char *kernel_says(void)
{
    static char text[64];
    FILE *maps = fopen("/proc/self/smaps", "r");
    unsigned long long from, to;
    char line[1024];
    bool ours = false;
    size_t n = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL && n < sizeof(text) - 1)
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            ours = strstr(line, path) != NULL;
        else if (ours && strncmp(line, "VmFlags:", 8) == 0)
            text[n++] = strstr(line, " sr") != NULL   ? 'S'
                        : strstr(line, " rr") != NULL ? 'R'
                                                      : 'N';
    fclose(maps);
    text[n] = '\0';
    return text;
}

/* One advice until all that is hot is there, then the other, once. */
START_TEST(advises_by_phase)
{
    struct gov_weights_options options = options_for(UINT64_MAX);

    options.advise_load = GOV_ADVICE_SEQUENTIAL;
    options.advise_pass = GOV_ADVICE_RANDOM;
    make_gate(true);
    adopt_through_gate(&options);
    wait_for_read();
    ck_assert_str_eq(kernel_says(), "S");
    open_gate(true);
    wait_for_advice("SR");
    ck_assert_str_eq(map_text(), "HHHHHHHHHH");
    ck_assert_str_eq(kernel_says(), "R");
    /* Rows have advice of their own while they are cold. */
    (void)gov_weights_set_hot(weights, 0);
    wait_for_map(".ss-------");
    (void)gov_weights_set_hot(weights, UINT64_MAX);
    wait_for_map("HHHHHHHHHH");
    ck_assert_str_eq(kernel_says(), "R");
    ck_assert_str_eq(advice_given(), "SR");
    gov_weights_release(weights);
    weights = NULL;
    ck_assert_str_eq(kernel_says(), "N");
}
END_TEST

static const struct {
    gov_advice load, pass;
    const char *given, *loading, *warm, *released;
} phases[] = {
    {GOV_ADVICE_NORMAL, GOV_ADVICE_NORMAL, "", "RN", "RN", ""},
    {GOV_ADVICE_NORMAL, GOV_ADVICE_SEQUENTIAL, "S", "RN", "RS", "SN"},
    {GOV_ADVICE_SEQUENTIAL, GOV_ADVICE_SEQUENTIAL, "S", "RS", "RS", "SN"},
    {GOV_ADVICE_SEQUENTIAL, GOV_ADVICE_NORMAL, "SN", "RS", "RN", "SN"},
    {GOV_ADVICE_RANDOM, GOV_ADVICE_NORMAL, "RN", "R", "RN", "RN"},
};

/* The file's header lies before the rows, within their first page or not. */
static bool kernel_ends_with(const void *arg)
{
    const char *want = arg, *says = kernel_says();
    const size_t n = strlen(says), k = strlen(want);

    return n >= k && strcmp(says + n - k, want) == 0;
}

/* Rows that are cold are read at random whatever the rest is; they are dropped while
 * the first read is under way. */
START_TEST(advises_around_rows)
{
    struct gov_weights_options options = options_for(0);

    options.hot_bytes = bytes_of(GOV_UNIT_OUTPUT) + bytes_of(GOV_UNIT_LAYER);
    options.advise_load = phases[_i].load;
    options.advise_pass = phases[_i].pass;
    make_gate(true);
    adopt_through_gate(&options);
    wait_for_read();
    ck_assert_msg(comes_true(kernel_ends_with, phases[_i].loading), "%s",
                  kernel_says());
    open_gate(true);
    wait_for_map(".HHHHHHHHH");
    wait_for_advice(phases[_i].given);
    ck_assert_msg(comes_true(kernel_ends_with, phases[_i].warm), "%s",
                  kernel_says());
    gov_weights_release(weights);
    weights = NULL;
    ck_assert_str_eq(advice_given(), phases[_i].released);
    ck_assert_str_eq(kernel_says(), "N");
}
END_TEST

/* Left to the engine, loading ends with its first pass. */
START_TEST(advises_after_the_first_pass)
{
    static const char *const maps[] = {".--Hsshs-h", ".ssH--H--h"};
    struct gov_weights_options options = options_for(0);

    options.hot_bytes = _i == 0 ? UINT64_MAX : bytes_of(GOV_UNIT_LAYER) / 2;
    options.warm = GOV_WARM_NONE;
    options.advise_load = GOV_ADVICE_RANDOM;
    options.advise_pass = GOV_ADVICE_SEQUENTIAL;
    make_gate(false);
    adopt_through_gate(&options);
    gov_weights_reached(weights, 4);
    wait_for_map(_i == 0 ? "HHHHhhhhhh" : maps[0]);
    gov_weights_reached(weights, 9);
    wait_for_map(_i == 0 ? "HHHHHHHHHh" : maps[1]);
    ck_assert_str_eq(advice_given(), "R");
    gov_weights_reached(weights, 0);
    wait_for_advice("RS");
    gov_weights_reached(weights, 5);
    gov_weights_reached(weights, 1);
    ck_assert_str_eq(advice_given(), "RS");
}
END_TEST

/* Refused, it is counted, and all is as without. */
START_TEST(absorbs_refused_advice)
{
    struct gov_weights_options options = options_for(UINT64_MAX);

    options.advise_load = GOV_ADVICE_SEQUENTIAL;
    faults_only("madvise");
    faults_arm(0, false);
    adopt_with(&options);
    ck_assert_str_eq(faults_last(), "madvise");
    wait_for_map("HHHHHHHHHH");
    ck_assert_uint_eq(account(false).failures, 1);
    faults_disarm();
}
END_TEST

/* ---- changing what is hot ------------------------------------------------------- */

START_TEST(changes_what_is_hot)
{
    const uint64_t all = bytes_of(GOV_UNIT_EMBEDDING) +
                         bytes_of(GOV_UNIT_LAYER) + bytes_of(GOV_UNIT_OUTPUT);
    uint64_t bound;

    if (!can_drop("changes_what_is_hot"))
        return;
    adopt(UINT64_MAX);
    wait_for_map("HHHHHHHHHH");
    ck_assert_uint_eq(gov_weights_set_hot(weights, 0), 0);
    bound = account(false).window_bytes + 2 * page * unit_count;
    ck_assert(comes_true(is_resident_at_most, &bound));
    wait_for_map(".ss-------");
    ck_assert_uint_eq(gov_weights_set_hot(weights, all), all);
    wait_for_map("HHHHHHHHHH");
    ck_assert_int_eq(pieces(), 1);
    /* The header's page may have gone with the embedding's. */
    ck_assert_uint_ge(account(true).resident_bytes + page, all);
    ck_assert_uint_eq(gov_weights_set_hot(weights, all - 1),
                      all - bytes_of(GOV_UNIT_EMBEDDING));
    wait_for_map(".HHHHHHHHH");
    ck_assert(is_pattern(data, file_bytes - data, 8));
}
END_TEST

/* Rows that are looked up cost a page each, not a readahead window. */
START_TEST(looks_rows_up_by_the_page)
{
    uint64_t before;

    if (!can_drop("looks_rows_up_by_the_page"))
        return;
    adopt(bytes_of(GOV_UNIT_LAYER) + bytes_of(GOV_UNIT_OUTPUT));
    wait_for_map(".HHHHHHHHH");
    before = account(true).resident_bytes;
    ck_assert(is_pattern(units[0].file_offset + units[0].bytes / 2, 8, 8));
    ck_assert_uint_le(account(true).resident_bytes, before + 4 * page);
}
END_TEST

START_TEST(shows_parts)
{
    uint64_t layer = units[1].bytes;

    adopt(bytes_of(GOV_UNIT_OUTPUT) + LAYERS * layer / 2);
    wait_for_map(".ss++++++H");
    (void)gov_weights_set_hot(weights, 0);
    wait_for_map(".ss-------");
    gov_weights_reached(weights, 4);
    wait_for_map(".---sss---");
    (void)gov_weights_set_hot(weights, bytes_of(GOV_UNIT_OUTPUT));
    wait_for_map(".---sss--H");
    ck_assert_uint_eq(gov_weights_map(weights, NULL, 0), unit_count);
}
END_TEST

static void wait_ms(long ms)
{
    const struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static struct {
    _Atomic int calls;
    _Atomic uint64_t resident_bytes;
} rested;

static void count_rest(void *ctx)
{
    gov_weights *of = ctx;
    struct gov_weights_account now;

    gov_weights_account(of, true, &now);
    atomic_store(&rested.resident_bytes, now.resident_bytes);
    atomic_fetch_add(&rested.calls, 1);
}

/* What was told last is so. */
static bool rest_is_told(const void *arg)
{
    (void)arg;
    return atomic_load(&rested.calls) > 0 &&
           atomic_load(&rested.resident_bytes) == account(true).resident_bytes;
}

static bool rests_again(const void *arg)
{
    return atomic_load(&rested.calls) > *(const int *)arg;
}

START_TEST(tells_that_it_rests)
{
    int calls;

    atomic_store(&rested.calls, 0);
    adopt(UINT64_MAX);
    gov_weights_on_rest(weights, count_rest, weights);
    wait_for_map("HHHHHHHHHH");
    ck_assert(comes_true(rest_is_told, NULL));
    (void)gov_weights_set_hot(weights, 0);
    wait_for_map(".ss-------");
    ck_assert(comes_true(rest_is_told, NULL));
    /* And again, since the kernel may change it. */
    calls = atomic_load(&rested.calls);
    ck_assert(comes_true(rests_again, &calls));
    ck_assert_int_eq(gov_weights_pass_begin(weights, &err), GOV_OK);
    wait_ms(1100); /* what was asked for before */
    calls = atomic_load(&rested.calls);
    wait_ms(2100);
    ck_assert_int_eq(atomic_load(&rested.calls), calls);
    ck_assert(gov_weights_pass_end(weights, NULL));
    ck_assert(comes_true(rests_again, &calls));
    gov_weights_on_rest(weights, NULL, NULL);
    calls = atomic_load(&rested.calls);
    wait_ms(2100);
    ck_assert_int_eq(atomic_load(&rested.calls), calls);
}
END_TEST

/* To a user who neither owns the file nor may write it the kernel says that all
 * of it is in memory. */
START_TEST(knows_what_it_cannot_know)
{
    char folder[512];

    if (geteuid() != 0) {
        skip_test("knows_what_it_cannot_know", "needs root to be another user");
        return;
    }
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path),
             path);
    ck_assert_int_eq(chmod(folder, 0755), 0);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(seteuid(65534), 0);
    adopt(0);
    wait_for_map(".ss-------");
    /* The streamer follows, though all signals are blocked there. */
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert(!account(true).resident_known);
    ck_assert_uint_eq(account(true).resident_bytes, 0);
    ck_assert_uint_gt(account(false).dropped_bytes, 0);
    gov_weights_release(weights);
    adopt(0);
    ck_assert(account(true).resident_known);
}
END_TEST

START_TEST(cuts_the_map_to_fit)
{
    char text[4] = "xyz";

    adopt(UINT64_MAX);
    wait_for_map("HHHHHHHHHH");
    ck_assert_uint_eq(gov_weights_map(weights, text, sizeof(text)), 10);
    ck_assert_str_eq(text, "HHH");
    ck_assert_uint_eq(gov_weights_map(weights, text, 1), 10);
    ck_assert_str_eq(text, "");
}
END_TEST

/* ---- all at once ---------------------------------------------------------------- */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void *drive(void *arg)
{
    uint32_t state = 1, unit = 0;

    (void)arg;
    while (!atomic_load(&done)) {
        unit = next_random(&state) % 8 == 0
                   ? next_random(&state) % (uint32_t)unit_count
                   : (unit + 1) % (uint32_t)unit_count;
        gov_weights_reached(weights, unit);
        if (!is_pattern(units[unit].file_offset, units[unit].bytes, page))
            atomic_store(&corrupt, true);
    }
    return NULL;
}

static void *change(void *arg)
{
    const struct timespec pause = {0, 300000};
    uint32_t state = 2;

    (void)arg;
    while (!atomic_load(&done)) {
        uint64_t limit = next_random(&state) % 5 == 0
                             ? UINT64_MAX
                             : file_bytes / 64 * (next_random(&state) % 66);

        if (gov_weights_set_hot(weights, limit) > limit)
            atomic_store(&corrupt, true);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void *look(void *arg)
{
    char text[64];
    uint32_t state = 3;

    (void)arg;
    while (!atomic_load(&done)) {
        struct gov_weights_account a;
        uint64_t at = data + next_random(&state) % (file_bytes - data - 64);

        gov_weights_account(weights, next_random(&state) % 16 == 0, &a);
        gov_weights_map(weights, text, sizeof(text));
        if (strlen(text) != unit_count || !is_pattern(at, 64, 8))
            atomic_store(&corrupt, true);
    }
    return NULL;
}

static bool has_passed_often(const void *unused)
{
    (void)unused;
    return account(false).passes >= 30;
}

static const struct {
    gov_hold hold;
    gov_warm warm;
    uint64_t rate;
    gov_advice load, pass;
} stresses[] = {
    {GOV_HOLD_SPREAD, GOV_WARM_USE, 0, GOV_ADVICE_NORMAL, GOV_ADVICE_NORMAL},
    {GOV_HOLD_FIRST, GOV_WARM_FILE, 500 * MIB, GOV_ADVICE_SEQUENTIAL,
     GOV_ADVICE_RANDOM},
    {GOV_HOLD_DENSE, GOV_WARM_NONE, 0, GOV_ADVICE_RANDOM,
     GOV_ADVICE_SEQUENTIAL},
};

/* One engine, somebody who changes what is hot, somebody who looks: the bytes
 * are the file's all the time, and in the end. */
START_TEST(holds_under_stress)
{
    struct gov_weights_options options = options_for(file_bytes / 2);
    pthread_t threads[3];

    options.hold = stresses[_i].hold;
    options.warm = stresses[_i].warm;
    options.warm_rate = stresses[_i].rate;
    options.advise_load = stresses[_i].load;
    options.advise_pass = stresses[_i].pass;
    adopt_with(&options);
    pthread_create(&threads[0], NULL, drive, NULL);
    pthread_create(&threads[1], NULL, change, NULL);
    pthread_create(&threads[2], NULL, look, NULL);
    ck_assert(comes_true(has_passed_often, NULL));
    atomic_store(&done, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert(!corrupt);
    ck_assert_uint_eq(account(false).failures, 0);
    ck_assert(is_pattern(data, file_bytes - data, 8));
}
END_TEST

static void *read_on(void *arg)
{
    uint32_t state = 4;

    (void)arg;
    while (!atomic_load(&done)) {
        uint64_t at = data + next_random(&state) % (file_bytes - data - 64);

        if (!is_pattern(at, 64, 8))
            atomic_store(&corrupt, true);
    }
    return NULL;
}

/* Adopted and released again and again while the engine reads; the streamer is
 * always in the middle of something. */
START_TEST(stops_under_load)
{
    int descriptors = faults_open_descriptors();
    pthread_t reader;

    pthread_create(&reader, NULL, read_on, NULL);
    for (uint32_t i = 0; i < 60; i++) {
        struct gov_weights_options options =
            options_for(i % 3 * (file_bytes / 3));

        /* In some it sleeps for a rate. */
        options.warm_rate = i % 2 == 0 ? 0 : 20 * MIB;
        options.advise_load = (gov_advice)(i % 3);
        adopt_with(&options);
        gov_weights_reached(weights, i % (uint32_t)unit_count);
        (void)gov_weights_set_hot(weights, i % 2 * (file_bytes / 2));
        gov_weights_release(weights);
        weights = NULL;
    }
    atomic_store(&done, true);
    pthread_join(reader, NULL);
    ck_assert(!corrupt);
    ck_assert_int_eq(pieces(), 1);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static TCase *add_case(Suite *s, const char *name, void (*before)(void))
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, before, tear_down);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    return tc;
}

Suite *suite(void)
{
    Suite *s = suite_create("weights");
    TCase *tc = add_case(s, "small", set_up_small);

    tcase_add_test(tc, keeps_everything_by_default);
    tcase_add_test(tc, drops_at_once);
    tcase_add_test(tc, spreads_what_is_cold);
    tcase_add_test(tc, takes_options_of_other_versions);
    tcase_add_test(tc, leaves_the_mapping_as_it_was);
    tcase_add_loop_test(tc, fails_cleanly, 0, 2);
    tcase_add_loop_test(tc, fails_when_maps_cannot_be_read, 0, 2);
    tcase_add_test(tc, goes_on_after_a_signal);
    tcase_add_test(tc, absorbs_a_kernel_that_refuses);
    tcase_add_test(tc, survives_a_shorter_file);
    tcase_add_test(tc, follows_the_engine);
    tcase_add_test(tc, reads_in_order_of_use);
    tcase_add_test(tc, counts_what_is_late);
    tcase_add_test(tc, keeps_reads_in_flight);
    tcase_add_test(tc, holds_the_first);
    tcase_add_loop_test(tc, prefetches_all_it_reads, 0, 5);
    tcase_add_loop_test(tc, warms_in_file_order, 0, 2);
    tcase_add_test(tc, leaves_warming_to_the_engine);
    tcase_add_test(tc, warms_at_a_rate);
    tcase_add_test(tc, goes_on_after_a_sleep);
    tcase_add_loop_test(tc, sees_that_its_time_has_come, 1, 20);
    tcase_add_test(tc, advises_by_phase);
    tcase_add_loop_test(tc, advises_around_rows, 0, COUNT(phases));
    tcase_add_loop_test(tc, advises_after_the_first_pass, 0, 2);
    tcase_add_test(tc, absorbs_refused_advice);
    tcase_add_test(tc, changes_what_is_hot);
    tcase_add_test(tc, looks_rows_up_by_the_page);
    tcase_add_test(tc, cuts_the_map_to_fit);
    tcase_add_test(tc, knows_what_it_cannot_know);
    tcase_add_test(add_case(s, "tied", set_up_tied),
                   needs_a_tied_embedding_whole);
    tcase_add_test(add_case(s, "experts", set_up_experts),
                   holds_what_every_token_uses);
    tcase_add_loop_test(add_case(s, "refusals", set_up), refuses, 0,
                        COUNT(refusals));
    tc = add_case(s, "large", set_up_large);
    tcase_add_test(tc, shows_parts);
    tcase_add_test(tc, tells_that_it_rests);
    tcase_add_loop_test(tc, holds_under_stress, 0, COUNT(stresses));
    tcase_add_test(tc, stops_under_load);
    return s;
}
