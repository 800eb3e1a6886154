/* SPDX-License-Identifier: MIT */
/* The forms that governed weights have in memory (kept, anchored, read past the
 * page cache), models of several files and several models, and what is built on
 * them: patience, milestones, decryption, doorbells, experts. The test is the
 * engine; whatever happens, the bytes that it reads are the file's. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "governor/memory/weights_state.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"

#define LAYERS 6
#define FILES 2
#define MODELS 2
#define PATIENCE_MS 20000
#define EXPERTS 8
#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

/* A model, and the engine that maps it. */
static struct engine {
    unsigned number;
    char path[FILES][512];
    uint64_t data[FILES], bytes[FILES]; /* data: where the tensors begin */
    unsigned char *base[FILES];
    uint32_t files;
    gov_model *model;
    const struct gov_unit *units;
    uint32_t unit_count;
    gov_weights *weights;
} engines[MODELS];

static struct engine *const first = &engines[0];
static char directory[400];
static uint64_t page;
static gov_error err;
static atomic_bool done, corrupt; /* of the threads of a test */
static uint64_t rows_kib;         /* of the embedding */
static unsigned char key;         /* of the cipher; 0: plain */

/* ---- the model and the engine ----------------------------------------------- */

static uint64_t pattern(const struct engine *e, uint32_t file, uint64_t offset)
{
    uint64_t x = (offset / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15) +
                 e->number * UINT64_C(0x1234567) + file * 77;

    return x ^ (x >> 29);
}

static void write_pattern(const struct engine *e, uint32_t file)
{
    static uint64_t block[8192];
    int fd = open(e->path[file], O_WRONLY);

    ck_assert_int_ge(fd, 0);
    for (uint64_t at = e->data[file]; at < e->bytes[file];) {
        size_t bytes = sizeof(block);

        if (bytes > e->bytes[file] - at)
            bytes = (size_t)(e->bytes[file] - at);
        for (size_t i = 0; i < sizeof(block) / 8; i++)
            block[i] = pattern(e, file, at + i * 8) ^
                       key * UINT64_C(0x0101010101010101);
        ck_assert_int_eq(pwrite(fd, block, bytes, (off_t)at), (ssize_t)bytes);
        at += bytes;
    }
    /* Dirty pages cannot be dropped. */
    ck_assert_int_eq(fsync(fd), 0);
    close(fd);
}

static void add_layer(struct gguf_writer *w, int layer, uint64_t kib)
{
    char name[64];

    snprintf(name, sizeof(name), "blk.%d.attn_norm.weight", layer);
    gguf_add(w, name, T_F32, 256, 1);
    snprintf(name, sizeof(name), "blk.%d.attn_q.weight", layer);
    gguf_add(w, name, T_F32, 256, kib);
}

static void save(struct engine *e, struct gguf_writer *w, uint32_t file)
{
    e->data[file] = gguf_finish(w);
    e->bytes[file] = w->file_bytes;
    gguf_save(w, e->path[file], w->file_bytes);
    gguf_free(w);
    write_pattern(e, file);
}

static void open_model(struct engine *e)
{
    size_t count;

    ck_assert_msg(gov_model_open(&e->model, e->path[0], NULL, &err) == GOV_OK,
                  "%s", err.message);
    e->units = gov_model_units(e->model, &count);
    e->unit_count = (uint32_t)count;
}

static void map_model(struct engine *e)
{
    for (uint32_t f = 0; f < e->files; f++) {
        int fd = open(e->path[f], O_RDONLY);
        void *at =
            mmap(NULL, (size_t)e->bytes[f], PROT_READ, MAP_SHARED, fd, 0);

        ck_assert_ptr_ne(at, MAP_FAILED);
        close(fd);
        e->base[f] = at;
        for (uint64_t i = 0; i < e->bytes[f]; i += page)
            (void)*(volatile unsigned char *)(e->base[f] + i);
    }
}

/* Layers of that many KiB and a bit, so that their edges share pages; half of them
 * in the second file, where there is one. */
static void make_model(struct engine *e, uint32_t files, uint64_t kib)
{
    const uint32_t tensors = 2 * LAYERS + 3;
    struct gguf_writer w;

    memset(e, 0, sizeof(*e));
    e->number = (unsigned)(e - engines);
    e->files = files;
    for (uint32_t f = 0; f < files; f++) {
        if (files == 1)
            snprintf(e->path[f], sizeof(e->path[f]), "%s/m%u.gguf", directory,
                     e->number);
        else
            snprintf(e->path[f], sizeof(e->path[f]), "%s/m%u-%05u-of-%05u.gguf",
                     directory, e->number, (unsigned)f + 1, (unsigned)files);
        gguf_begin(&w);
        if (f == 0)
            gguf_key_text(&w, "general.architecture", "llama");
        if (files > 1)
            gguf_key_split(&w, (uint16_t)f, (uint16_t)files, tensors);
        if (f == 0)
            gguf_add(&w, "token_embd.weight", T_F32, 256, rows_kib);
        for (int i = 0; i < LAYERS; i++)
            if (files == 1 || (i >= LAYERS / 2) == (f > 0))
                add_layer(&w, i, kib);
        if (f + 1 == files) {
            gguf_add(&w, "output_norm.weight", T_F32, 256, 0);
            gguf_add(&w, "output.weight", T_F32, 256, 512);
        }
        save(e, &w, f);
    }
    open_model(e);
    ck_assert_uint_eq(e->unit_count, LAYERS + 2);
    map_model(e);
}

/* A layer of experts each, of 32 KiB. */
static void make_experts(struct engine *e)
{
    const uint64_t shape[4] = {256, 32, EXPERTS, 0};
    struct gguf_writer w;

    memset(e, 0, sizeof(*e));
    e->files = 1;
    snprintf(e->path[0], sizeof(e->path[0]), "%s/experts.gguf", directory);
    gguf_begin(&w);
    gguf_key_text(&w, "general.architecture", "qwen3moe");
    gguf_key_u32(&w, "qwen3moe.expert_count", EXPERTS);
    gguf_add(&w, "token_embd.weight", T_F32, 256, 40);
    for (int i = 0; i < LAYERS; i++) {
        char name[64];

        add_layer(&w, i, 100);
        snprintf(name, sizeof(name), "blk.%d.ffn_up_exps.weight", i);
        gguf_tensor(&w, name, T_F32, shape, w.next);
        w.next += 256 * 32 * EXPERTS * sizeof(float);
    }
    gguf_add(&w, "output.weight", T_F32, 256, 40);
    save(e, &w, 0);
    open_model(e);
    map_model(e);
}

/* ThreadSanitizer takes putting memory in place for a write. */
__attribute__((no_sanitize("thread"))) static bool
is_pattern(const struct engine *e, uint32_t file, uint64_t offset,
           uint64_t bytes, uint64_t step)
{
    uint64_t end = offset + bytes;

    for (uint64_t at = (offset + 7) / 8 * 8; at + 8 <= end; at += step)
        if (*(const volatile uint64_t *)(const void *)(e->base[file] + at) !=
            pattern(e, file, at))
            return false;
    return true;
}

static bool unit_is_right(const struct engine *e, uint32_t unit, uint64_t step)
{
    return is_pattern(e, e->units[unit].file, e->units[unit].file_offset,
                      e->units[unit].bytes, step);
}

static bool all_is_right(const struct engine *e)
{
    for (uint32_t f = 0; f < e->files; f++)
        if (!is_pattern(e, f, e->data[f], e->bytes[f] - e->data[f], 8))
            return false;
    return true;
}

static void set_up(void)
{
    const struct gov_platform *native = gov__platform_native();

    faults_reset();
    memset(engines, 0, sizeof(engines));
    key = 0;
    rows_kib = 512;
    atomic_store(&done, false);
    atomic_store(&corrupt, false);
    snprintf(directory, sizeof(directory), "%s", fresh_directory());
    page = native->page_bytes(native->ctx);
}

static void unload(struct engine *e)
{
    gov_weights_release(e->weights);
    gov_model_close(e->model);
    for (uint32_t f = 0; f < e->files; f++)
        if (e->base[f] != NULL)
            munmap(e->base[f], (size_t)e->bytes[f]);
    memset(e, 0, sizeof(*e));
}

static void tear_down(void)
{
    faults_reset();
    for (int i = 0; i < MODELS; i++)
        unload(&engines[i]);
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    drop_directory();
}

static void set_up_small(void)
{
    set_up();
    make_model(first, 1, 256);
}

/* Rows of three parts. */
static void set_up_wide(void)
{
    set_up();
    rows_kib = 9 * KIB;
    make_model(first, 1, 256);
}

/* ---- forms -------------------------------------------------------------------- */

static const struct form {
    const char *name;
    bool anchor, direct;
    uint32_t files;
} forms[] = {
    {"kept", false, false, 1},         {"anchored", true, false, 1},
    {"direct", false, true, 1},        {"both", true, true, 1},
    {"kept, split", false, false, 2},  {"anchored, split", true, false, 2},
    {"direct, split", false, true, 2}, {"both, split", true, true, 2},
};

static struct gov_weights_options options_for(const struct form *form,
                                              uint64_t hot_bytes)
{
    struct gov_weights_options options = gov_weights_options_default();

    options.hot_bytes = hot_bytes;
    options.alloc = faults_alloc();
    options.anchor = form->anchor;
    options.direct = form->direct;
    options.readers = 2;
    options.patience_ms = PATIENCE_MS;
    return options;
}

static void adopt_with(struct engine *e,
                       const struct gov_weights_options *options)
{
    ck_assert_msg(gov_weights_adopt(&e->weights, e->model, options, &err) ==
                      GOV_OK,
                  "%s", err.message);
}

static void adopt(struct engine *e, const struct form *form, uint64_t hot_bytes)
{
    struct gov_weights_options options = options_for(form, hot_bytes);

    adopt_with(e, &options);
}

static struct gov_weights_account account(struct engine *e)
{
    struct gov_weights_account out;

    gov_weights_account(e->weights, false, &out);
    return out;
}

static uint64_t all_bytes(const struct engine *e)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < e->unit_count; i++)
        bytes += e->units[i].bytes;
    return bytes;
}

static const char *map_text(struct engine *e)
{
    static char text[64];

    gov_weights_map(e->weights, text, sizeof(text));
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
    return strcmp(map_text(first), want) == 0;
}

static void wait_for_map(const char *want)
{
    ck_assert_msg(comes_true(map_is, want), "%s, want %s", map_text(first),
                  want);
}

/* The engine uses everything once, and finds it there. */
static void run_pass(struct engine *e)
{
    struct gov_pass_account pass;

    ck_assert_int_eq(gov_weights_pass_begin(e->weights, &err), GOV_OK);
    for (uint32_t i = 0; i < e->unit_count; i++) {
        gov_weights_reached(e->weights, i);
        ck_assert_msg(unit_is_right(e, i, 64), "unit %u", i);
    }
    ck_assert(gov_weights_pass_end(e->weights, &pass));
}

/* Anonymous bytes where the engine has its model, by the kernel's word. */
static uint64_t anonymous_bytes(const struct engine *e)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    unsigned long long from, to, kib;
    uint64_t bytes = 0;
    char line[1024];
    bool ours = false;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2) {
            ours = strstr(line, "governor weights") != NULL;
            for (uint32_t f = 0; f < e->files; f++)
                ours = ours || (from >= (uintptr_t)e->base[f] &&
                                from < (uintptr_t)e->base[f] + e->bytes[f]);
        } else if (ours && sscanf(line, "Anonymous: %llu kB", &kib) == 1) {
            bytes += kib * KIB;
        }
    fclose(maps);
    return bytes;
}

/* A part's edge pages are whole, and each reader and the streamer may hold a part
 * that it has not put in place yet. */
static uint64_t edges_of(const struct engine *e)
{
    return e->weights->streamer.res.part_count * 2 * page;
}

static bool is_anchored(const void *arg)
{
    struct gov_weights_account a;

    (void)arg;
    a = account(first);
    return a.warm && a.there_bytes == a.hot_bytes &&
           a.anchored_bytes >= a.hot_bytes;
}

static bool is_there(const void *arg)
{
    struct gov_weights_account a = account(first);

    (void)arg;
    return a.there_bytes == a.hot_bytes;
}

static bool is_at_most(const void *bytes)
{
    return account(first).anchored_bytes <= *(const uint64_t *)bytes;
}

/* What is hot is anonymous with anchor, what is cold with direct, nothing else;
 * it goes when it is to go, and comes again. */
START_TEST(has_the_form_asked_for)
{
    const struct form *form = &forms[_i];
    uint64_t all, window, bound;

    make_model(first, form->files, 5 * KIB);
    all = all_bytes(first);
    adopt(first, form, all / 2);
    for (int pass = 0; pass < 2; pass++)
        run_pass(first);
    ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
    ck_assert_msg(comes_true(form->anchor ? is_anchored : is_there, NULL), "%s",
                  form->name);
    window = account(first).window_bytes;
    ck_assert(form->anchor || form->direct ||
              account(first).anchored_bytes == 0);
    bound = (form->anchor ? all / 2 : 0) + window;
    ck_assert_uint_le(account(first).anchored_bytes, bound);
    ck_assert_uint_le(anonymous_bytes(first),
                      bound + edges_of(first) + 3 * GOV__PART_BYTES);
    if (form->anchor)
        ck_assert_uint_ge(anonymous_bytes(first), all / 3);

    ck_assert_uint_eq(gov_weights_set_hot(first->weights, 0), 0);
    run_pass(first);
    bound = form->direct ? account(first).window_bytes : 0;
    if (form->anchor && !form->direct)
        bound = account(first).window_bytes; /* until it is passed */
    ck_assert_msg(comes_true(is_at_most, &bound), "%s: %llu of %llu",
                  form->name, (unsigned long long)account(first).anchored_bytes,
                  (unsigned long long)bound);
    ck_assert_uint_le(anonymous_bytes(first),
                      bound + edges_of(first) + GOV__PART_BYTES);
    run_pass(first);

    ck_assert_uint_eq(gov_weights_set_hot(first->weights, UINT64_MAX), all);
    run_pass(first);
    ck_assert_msg(comes_true(form->anchor ? is_anchored : is_there, NULL),
                  "%s: %llu of %llu", form->name,
                  (unsigned long long)account(first).anchored_bytes,
                  (unsigned long long)all);
    ck_assert_str_eq(map_text(first), "HHHHHHHH");
    ck_assert_uint_eq(account(first).anchored_bytes, form->anchor ? all : 0);
    ck_assert_uint_le(anonymous_bytes(first),
                      (form->anchor ? all : 0) + edges_of(first));
    ck_assert(all_is_right(first));
    ck_assert_uint_eq(account(first).failures, 0);
    gov_weights_release(first->weights);
    first->weights = NULL;
    ck_assert(all_is_right(first));
}
END_TEST

/* Rows that are looked up cost a page each, whatever was laid over them. */
START_TEST(looks_rows_up_by_the_page)
{
    static const char rows[] = ".HHHHHHH";
    uint64_t before, all;

    make_model(first, 1, 256);
    all = all_bytes(first);
    adopt(first, &forms[_i], all);
    wait_for_map("HHHHHHHH");
    (void)gov_weights_set_hot(first->weights, all - 1);
    wait_for_map(rows);
    {
        struct gov_weights_account a;

        gov_weights_account(first->weights, true, &a);
        before = a.resident_bytes;
        ck_assert(is_pattern(
            first, 0, first->units[0].file_offset + first->units[0].bytes / 2,
            8, 8));
        gov_weights_account(first->weights, true, &a);
        ck_assert_uint_le(a.resident_bytes, before + 4 * page);
    }
}
END_TEST

/* ---- several models ------------------------------------------------------------- */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void *drive(void *arg)
{
    struct engine *e = arg;
    uint32_t state = 1, unit = 0;

    while (!atomic_load(&done)) {
        unit = next_random(&state) % 8 == 0
                   ? next_random(&state) % e->unit_count
                   : (unit + 1) % e->unit_count;
        gov_weights_reached(e->weights, unit);
        if (!unit_is_right(e, unit, page))
            atomic_store(&corrupt, true);
    }
    return NULL;
}

static void *change(void *arg)
{
    const struct timespec pause = {0, 300000};
    struct engine *e = arg;
    uint64_t all = all_bytes(e);
    uint32_t state = 2;

    while (!atomic_load(&done)) {
        gov_weights_pause(e->weights, next_random(&state) % 4 == 0);
        (void)gov_weights_set_hot(e->weights,
                                  next_random(&state) % 5 == 0
                                      ? UINT64_MAX
                                      : all / 64 * (next_random(&state) % 66));
        nanosleep(&pause, NULL);
    }
    gov_weights_pause(e->weights, false);
    return NULL;
}

static void *look(void *arg)
{
    /* Readers at low priority are to get their turn, too. */
    const struct timespec pause = {0, 50000};
    struct engine *e = arg;
    struct gov_weights_account a;
    uint32_t state = 3;

    while (!atomic_load(&done)) {
        uint32_t f = next_random(&state) % e->files;
        uint64_t at =
            e->data[f] + next_random(&state) % (e->bytes[f] - e->data[f] - 64);

        if (!is_pattern(e, f, at, 64, 8))
            atomic_store(&corrupt, true);
        if (next_random(&state) % 64 == 0)
            nanosleep(&pause, NULL);
        if (next_random(&state) % 256 == 0)
            gov_weights_account(e->weights, next_random(&state) % 16 == 0, &a);
    }
    return NULL;
}

static bool have_passed_often(const void *unused)
{
    (void)unused;
    for (int i = 0; i < MODELS; i++)
        if (engines[i].weights != NULL && account(&engines[i]).passes < 12)
            return false;
    return true;
}

/* An engine each, somebody who changes what is hot, somebody who reads anywhere. */
static void stress(void)
{
    pthread_t threads[3 * MODELS];
    int count = 0;

    for (int i = 0; i < MODELS; i++) {
        struct engine *e = &engines[i];

        if (e->weights == NULL)
            continue;
        pthread_create(&threads[count++], NULL, drive, e);
        pthread_create(&threads[count++], NULL, change, e);
        pthread_create(&threads[count++], NULL, look, e);
    }
    ck_assert(comes_true(have_passed_often, NULL));
    atomic_store(&done, true);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    ck_assert(!corrupt);
    for (int i = 0; i < MODELS; i++)
        if (engines[i].weights != NULL) {
            ck_assert_uint_eq(account(&engines[i]).failures, 0);
            ck_assert(all_is_right(&engines[i]));
        }
}

START_TEST(holds_under_stress)
{
    const struct form *form = &forms[_i];
    struct gov_weights_options options = options_for(form, MIB);

    make_model(first, form->files, 5 * KIB);
    options.ahead_most = 4;
    adopt_with(first, &options);
    stress();
}
END_TEST

START_TEST(two_models_do_not_disturb_each_other)
{
    make_model(&engines[0], 2, 2 * KIB);
    make_model(&engines[1], 1, 3 * KIB);
    adopt(&engines[0], &forms[1], MIB);
    adopt(&engines[1], &forms[3], 4 * MIB);
    stress();
}
END_TEST

static void places_of(const struct engine *e,
                      struct gov_weights_place places[FILES])
{
    for (uint32_t f = 0; f < e->files; f++)
        places[f] = (struct gov_weights_place){e->base[f], e->bytes[f]};
}

/* Two engines with the same model: each says where its own is. */
START_TEST(one_model_mapped_twice)
{
    struct gov_weights_options options = options_for(&forms[1], MIB);
    struct gov_weights_place places[MODELS][FILES];

    make_model(first, 2, 2 * KIB);
    memcpy(&engines[1], first, sizeof(*first));
    open_model(&engines[1]);
    map_model(&engines[1]);
    ck_assert_int_eq(
        gov_weights_adopt(&first->weights, first->model, &options, &err),
        GOV_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.message, "is mapped in 2 pieces"));
    for (int i = 0; i < MODELS; i++) {
        places_of(&engines[i], places[i]);
        options = options_for(&forms[i * 3], MIB);
        options.places = places[i];
        options.place_count = FILES;
        adopt_with(&engines[i], &options);
    }
    stress();
    /* Only what is in place of one went. */
    ck_assert_uint_eq(account(&engines[0]).anchored_bytes, 0);
    (void)gov_weights_set_hot(engines[1].weights, UINT64_MAX);
    ck_assert(gov_weights_wait(engines[1].weights, true, PATIENCE_MS));
}
END_TEST

/* ---- life ------------------------------------------------------------------------ */

static void *read_on(void *arg)
{
    struct engine *e = arg;
    uint32_t state = 4;

    while (!atomic_load(&done)) {
        uint32_t f = next_random(&state) % e->files;
        uint64_t at =
            e->data[f] + next_random(&state) % (e->bytes[f] - e->data[f] - 64);

        if (!is_pattern(e, f, at, 64, 8))
            atomic_store(&corrupt, true);
    }
    return NULL;
}

static void unmap_model(struct engine *e)
{
    for (uint32_t f = 0; f < e->files; f++)
        munmap(e->base[f], (size_t)e->bytes[f]);
}

/* Adopted in one form after the other, and released while readers are in the
 * middle of something. What was anchored stays, so the engine loads anew. */
START_TEST(is_released_while_readers_are_busy)
{
    int descriptors;
    pthread_t reader;

    make_model(first, 2, 2 * KIB);
    descriptors = faults_open_descriptors();
    for (uint32_t i = 0; i < 40; i++) {
        struct gov_weights_options options =
            options_for(&forms[i % 4], i % 3 * (all_bytes(first) / 2));

        unmap_model(first);
        map_model(first);
        atomic_store(&done, false);
        pthread_create(&reader, NULL, read_on, first);
        options.readers = 1 + i % 4;
        adopt_with(first, &options);
        if (i % 5 != 0)
            gov_weights_reached(first->weights, i % first->unit_count);
        if (i % 2 != 0)
            (void)gov_weights_set_hot(first->weights, i % 7 * MIB);
        gov_weights_release(first->weights);
        first->weights = NULL;
        atomic_store(&done, true);
        pthread_join(reader, NULL);
        ck_assert(!corrupt);
    }
    ck_assert(all_is_right(first));
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
}
END_TEST

static const char *const failing[] = {
    "madvise",
    "mmap",
    "mremap",
    "mprotect",
    "pread",
    "pthread_create",
    "munmap",
    "fstat",
    "open",
    "alloc",
    "mmap,mremap,madvise,pread",
};
#define FAILING ((int)(sizeof(failing) / sizeof(failing[0])))

/* Some pages, some passes, more and less of it hot. */
static void run_with_faults(const struct form *form)
{
    struct gov_weights_options options = options_for(form, 0);
    gov_error e = {0};

    options.patience_ms = 20;
    options.hot_bytes = all_bytes(first) / 2;
    if (gov_weights_adopt(&first->weights, first->model, &options, &e) !=
        GOV_OK) {
        ck_assert_ptr_null(first->weights);
        ck_assert(e.message[0] != '\0');
        return;
    }
    for (uint32_t i = 0; i < 2 * first->unit_count; i++) {
        gov_weights_reached(first->weights, i % first->unit_count);
        ck_assert(unit_is_right(first, i % first->unit_count, 512));
        if (i % 5 == 4)
            (void)gov_weights_set_hot(first->weights, i % 2 * all_bytes(first));
    }
    gov_weights_release(first->weights);
    first->weights = NULL;
}

/* Slower at worst, or a refusal that says why; never wrong. */
START_TEST(survives_calls_that_fail)
{
    const struct form *form = &forms[1 + _i % 3];
    const char *calls = failing[_i / 3];
    int descriptors;

    make_model(first, 1, 64);
    descriptors = faults_open_descriptors();
    for (uint64_t n = 0; n < 13; n++) {
        faults_reset();
        unmap_model(first);
        map_model(first);
        faults_only(calls);
        faults_set_errno(n % 2 ? ENOMEM : EIO);
        faults_arm(n < 12 ? n : 0, n == 12);
        run_with_faults(form);
        faults_reset();
        ck_assert_msg(faults_live_blocks() == 0, "%s %d leaks", calls, (int)n);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
        ck_assert_msg(all_is_right(first), "%s %d", calls, (int)n);
    }
}
END_TEST

/* ---- a gate before every read ---------------------------------------------------- */

static struct gate {
    struct gov_platform table;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
    int waiting, reads;
    uint64_t step_us,
        now_us; /* what each look at the clock adds; 0: the real */
} gate;

static void pass_gate(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.reads++;
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.closed)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    pthread_mutex_unlock(&gate.lock);
}

static int gated_populate(void *ctx, void *at, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    pass_gate();
    return native->populate(native->ctx, at, bytes);
}

static int gated_stage(void *ctx, const void *target, size_t bytes, void **out)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    pass_gate();
    return native->stage(native->ctx, target, bytes, out);
}

static uint64_t gated_clock(void *ctx)
{
    const struct gov_platform *native = gov__platform_native();
    uint64_t now;

    (void)ctx;
    pthread_mutex_lock(&gate.lock);
    gate.now_us += gate.step_us;
    now = gate.step_us > 0 ? gate.now_us : native->now_us(native->ctx);
    pthread_mutex_unlock(&gate.lock);
    return now;
}

static void set_gate(bool closed)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = closed;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void open_gate(void)
{
    set_gate(false);
}

static void wait_for_reads(int count)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting < count)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void adopt_gated(const struct gov_weights_options *options, bool closed,
                        uint64_t step_us)
{
    memset(&gate, 0, sizeof(gate));
    pthread_mutex_init(&gate.lock, NULL);
    pthread_cond_init(&gate.changed, NULL);
    gate.table = *gov__platform_native();
    gate.table.populate = gated_populate;
    gate.table.stage = gated_stage;
    gate.table.now_us = gated_clock;
    gate.closed = closed;
    gate.step_us = step_us;
    ck_assert_msg(gov__weights_adopt_on(&first->weights, &gate.table,
                                        first->model, options, &err) == GOV_OK,
                  "%s", err.message);
}

/* What nobody waits for is not read; what the engine comes to is; then all. */
START_TEST(pause_holds_back)
{
    struct gov_weights_options options = options_for(&forms[_i], UINT64_MAX);

    options.readers = 1;
    adopt_gated(&options, true, 0);
    wait_for_reads(2); /* the streamer, and its reader */
    gov_weights_pause(first->weights, true);
    ck_assert(account(first).paused);
    open_gate();
    gov_weights_reached(first->weights, 1);
    /* Those that the reader had been given end. */
    wait_for_map("HHHHHhhh");
    ck_assert(!account(first).warm);
    ck_assert(!gov_weights_wait(first->weights, true, 20));
    gov_weights_reached(first->weights, 6); /* and around the ring */
    wait_for_map("HHHHHhHH");
    gov_weights_pause(first->weights, false);
    ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
    ck_assert(!account(first).paused);
    ck_assert(account(first).warm);
    wait_for_map("HHHHHHHH");
    ck_assert(all_is_right(first));
}
END_TEST

/* ---- milestones -------------------------------------------------------------------- */

static struct {
    atomic_int calls, readies;
    _Atomic uint32_t permille, lowest_step; /* the last; 1: it went back */
    atomic_int stop_at;
    atomic_int after; /* calls since it said no */
} told;

static bool hear(void *ctx, uint32_t permille, const char *what)
{
    (void)ctx;
    if (strcmp(what, "reading weights") != 0 ||
        permille < atomic_load(&told.permille) || permille > 1000)
        atomic_store(&told.lowest_step, 1);
    atomic_store(&told.permille, permille);
    if (atomic_load(&told.stop_at) > 0 &&
        atomic_load(&told.calls) >= atomic_load(&told.stop_at))
        atomic_fetch_add(&told.after, 1);
    return atomic_fetch_add(&told.calls, 1) + 1 != atomic_load(&told.stop_at);
}

static void note_ready(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&told.readies, 1);
}

static struct gov_weights_options telling_options(uint64_t hot_bytes)
{
    struct gov_weights_options options = options_for(&forms[1], hot_bytes);

    memset(&told, 0, sizeof(told));
    options.progress = hear;
    options.ready = note_ready;
    return options;
}

static bool is_told(const void *unused)
{
    (void)unused;
    return atomic_load(&told.permille) == 1000;
}

START_TEST(tells_progress_and_is_ready_once)
{
    struct gov_weights_options options = telling_options(UINT64_MAX);

    adopt_gated(&options, true, 150000);
    ck_assert(!gov_weights_wait(first->weights, false, 0));
    ck_assert_int_eq(told.readies, 0);
    open_gate();
    ck_assert(gov_weights_wait(first->weights, false, PATIENCE_MS));
    ck_assert(account(first).ready);
    ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
    ck_assert(comes_true(is_told, NULL));
    ck_assert_int_ge(told.calls, 2);
    ck_assert_int_eq((int)told.lowest_step, 0);
    ck_assert_int_eq(told.readies, 1);
    for (int i = 0; i < 2; i++) {
        (void)gov_weights_set_hot(first->weights, 0);
        run_pass(first);
        (void)gov_weights_set_hot(first->weights, UINT64_MAX);
        run_pass(first);
    }
    ck_assert_int_eq(told.readies, 1);
    ck_assert_uint_eq(told.permille, 1000);
}
END_TEST

static bool is_absent_somewhere(const void *unused)
{
    (void)unused;
    return strchr(map_text(first), '-') != NULL;
}

/* That all is there is said of what is hot by the last decision. */
START_TEST(waits_again_for_what_is_newly_hot)
{
    struct gov_weights_options options = options_for(&forms[_i], UINT64_MAX);

    adopt_gated(&options, false, 0);
    for (int i = 0; i < 20; i++) {
        ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
        ck_assert_msg(strchr(map_text(first), 'h') == NULL, "%d: %s", i,
                      map_text(first));
        (void)gov_weights_set_hot(first->weights, 0);
        ck_assert(gov_weights_wait(first->weights, true, 0));
        ck_assert(comes_true(is_absent_somewhere, NULL));
        if (i == 0) {
            set_gate(true);
            (void)gov_weights_set_hot(first->weights, UINT64_MAX);
            ck_assert(!gov_weights_wait(first->weights, true, 20));
            ck_assert(gov_weights_wait(first->weights, false, 0));
            ck_assert(account(first).warm); /* it was */
            set_gate(false);
        }
        (void)gov_weights_set_hot(first->weights, UINT64_MAX);
    }
    ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
    wait_for_map("HHHHHHHH");
    ck_assert(all_is_right(first));
}
END_TEST

static atomic_int raised;

/* Makes all hot between the streamer's look, which found all there, and its word. */
static bool raise_at_the_end(void *ctx, uint32_t permille, const char *what)
{
    (void)ctx;
    (void)what;
    if (permille == 1000 && atomic_fetch_add(&raised, 1) == 0) {
        set_gate(true);
        (void)gov_weights_set_hot(first->weights, UINT64_MAX);
    }
    return true;
}

static bool is_raised(const void *unused)
{
    (void)unused;
    return atomic_load(&raised) > 0;
}

START_TEST(more_is_hot_when_all_is_found_there)
{
    struct gov_weights_options options =
        options_for(&forms[_i], all_bytes(first) / 2);

    atomic_store(&raised, 0);
    options.progress = raise_at_the_end;
    adopt_gated(&options, true, 0);
    open_gate();
    ck_assert(comes_true(is_raised, NULL));
    ck_assert(!gov_weights_wait(first->weights, true, 50));
    open_gate();
    ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
    wait_for_map("HHHHHHHH");
}
END_TEST

/* Who wants no more of it gets no more; the engine brings the rest in. */
START_TEST(progress_may_cancel)
{
    struct gov_weights_options options = telling_options(UINT64_MAX);

    told.stop_at = 1;
    options.readers = 1;
    adopt_gated(&options, false, 150000);
    for (int pass = 0; pass < 3; pass++)
        run_pass(first);
    gov_weights_reached(first->weights, 0);
    wait_for_map("HHHHHHHH");
    ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
    ck_assert_int_eq(told.readies, 1);
    ck_assert_int_le(told.after, 1); /* at the end */
    ck_assert(all_is_right(first));
}
END_TEST

/* ---- patience ---------------------------------------------------------------------- */

static void *reach(void *arg)
{
    gov_weights_reached(first->weights, *(const uint32_t *)arg);
    atomic_store(&done, true);
    return NULL;
}

static bool somebody_waits(const void *unused)
{
    (void)unused;
    return atomic_load(&first->weights->streamer.waiters) > 0;
}

/* The engine waits until what it needs is there, and the account knows. */
START_TEST(waits_until_it_is_there)
{
    struct gov_weights_options options = options_for(&forms[_i], 0);
    const struct timespec some = {0, 30000000};
    struct gov_pass_account pass;
    struct gov_unit_account of;
    uint32_t unit = 5;
    pthread_t engine;

    adopt_gated(&options, true, 0);
    wait_for_reads(1);
    ck_assert_int_eq(gov_weights_pass_begin(first->weights, &err), GOV_OK);
    pthread_create(&engine, NULL, reach, &unit);
    ck_assert(comes_true(somebody_waits, NULL));
    nanosleep(&some, NULL);
    ck_assert(!atomic_load(&done));
    open_gate();
    pthread_join(engine, NULL);
    ck_assert(strchr("sH", map_text(first)[unit]) != NULL);
    ck_assert(unit_is_right(first, unit, 8));
    ck_assert(gov_weights_pass_end(first->weights, &pass));
    ck_assert_uint_ge(pass.weights_us, 30000);
    ck_assert_uint_le(pass.weights_us, pass.pass_us);
    ck_assert_uint_eq(pass.worst_unit, unit);
    ck_assert_uint_eq(pass.late_units, 1);
    ck_assert(gov_weights_unit(first->weights, unit, &of));
    ck_assert_uint_ge(of.waited_us, 30000);
    ck_assert_uint_eq(of.late, 1);
    ck_assert(!gov_weights_unit(first->weights, first->unit_count, &of));
    ck_assert_uint_eq(account(first).last.weights_us, pass.weights_us);
}
END_TEST

/* At most so long, and with none not at all. */
START_TEST(patience_ends)
{
    struct gov_weights_options options = options_for(&forms[0], 0);
    struct gov_pass_account pass;

    options.patience_ms = _i == 0 ? 0 : 40;
    adopt_gated(&options, true, 0);
    wait_for_reads(1);
    ck_assert_int_eq(gov_weights_pass_begin(first->weights, &err), GOV_OK);
    gov_weights_reached(first->weights, 5);
    ck_assert(gov_weights_pass_end(first->weights, &pass));
    ck_assert(_i == 0 ? pass.weights_us == 0 : pass.weights_us >= 39000);
    ck_assert(!gov_weights_pass_end(first->weights, &pass));
    ck_assert_uint_eq(pass.pass_us, 0);
    open_gate();
}
END_TEST

/* Who waits is let go when what he waits for will not be read any more: rows that
 * may no longer stay, or all, when the app wants no more of it. */
START_TEST(a_decision_lets_waiters_go)
{
    const struct gov_platform *native = gov__platform_native();
    struct gov_weights_options options = telling_options(UINT64_MAX);
    uint32_t unit = 0; /* of which one part is being read */
    pthread_t engine;
    uint64_t began;

    options.anchor = _i != 0;
    options.readers = 1;
    options.patience_ms = 3 * PATIENCE_MS;
    told.stop_at = _i;
    adopt_gated(&options, true, 150000);
    wait_for_reads(2);
    began = native->now_us(native->ctx);
    pthread_create(&engine, NULL, reach, &unit);
    ck_assert(comes_true(somebody_waits, NULL));
    if (_i == 0)
        (void)gov_weights_set_hot(first->weights, 0);
    open_gate();
    pthread_join(engine, NULL);
    ck_assert_uint_lt(native->now_us(native->ctx) - began, PATIENCE_MS * 1000);
}
END_TEST

/* ---- files that change ------------------------------------------------------------- */

static int no_lease(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
    return EACCES;
}

/* With a lease the writer waits until the governor gave it up, which is told; in
 * each case it stays so. */
START_TEST(a_file_that_is_written_to_is_told)
{
    struct gov_weights_options options = options_for(&forms[1], MIB);
    static struct gov_platform table;
    int fd;

    table = *gov__platform_native();

    if (_i == 0)
        table.lease_take = no_lease;
    make_model(first, 2, 256);
    ck_assert_int_eq(gov__weights_adopt_on(&first->weights, &table,
                                           first->model, &options, &err),
                     GOV_OK);
    run_pass(first);
    ck_assert(!account(first).changed);
    do { /* the lease is given up when that is looked for */
        fd = open(first->path[1], O_WRONLY | O_NONBLOCK);
        ck_assert(fd >= 0 || errno == EWOULDBLOCK);
        if (fd < 0)
            ck_assert_int_eq(gov_weights_pass_begin(first->weights, &err),
                             GOV_E_IO);
    } while (fd < 0);
    ck_assert_int_eq(pwrite(fd, "x", 1, 3), 1);
    close(fd);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(gov_weights_pass_begin(first->weights, &err),
                         GOV_E_IO);
        ck_assert_str_eq(err.message,
                         "the model's file was written to while it is in use; "
                         "unload it and load it again");
        ck_assert(account(first).changed);
    }
    ck_assert(!gov_weights_pass_end(first->weights, NULL));
}
END_TEST

/* ---- decryption -------------------------------------------------------------------- */

static struct {
    int calls, refuse_at;
} cipher_of;

static bool decode(void *ctx, const struct gov_cipher *cipher)
{
    ck_assert_ptr_eq(ctx, &cipher_of);
    ck_assert_uint_eq(cipher->size, sizeof(*cipher));
    ck_assert_uint_eq(cipher->bytes, first->units[cipher->unit].bytes);
    ck_assert_uint_eq(cipher->file, first->units[cipher->unit].file);
    if (++cipher_of.calls == cipher_of.refuse_at)
        return false;
    for (uint64_t i = 0; i < cipher->bytes; i++)
        cipher->data[i] ^= key;
    return true;
}

static struct gov_weights_options decrypting(uint32_t files)
{
    struct gov_weights_options options = options_for(&forms[0], 0);

    key = 0x5a;
    make_model(first, files, 300);
    memset(&cipher_of, 0, sizeof(cipher_of));
    options.decrypt = decode;
    options.decrypt_ctx = &cipher_of;
    return options;
}

START_TEST(decrypts_exactly)
{
    struct gov_weights_options options = decrypting(1 + (uint32_t)_i % 2);
    uint64_t all = all_bytes(first);

    options.direct = _i >= 2;
    adopt_with(first, &options);
    ck_assert_int_eq(cipher_of.calls, (int)first->unit_count);
    for (int i = 0; i < 3; i++) {
        (void)gov_weights_set_hot(first->weights, i % 2 ? UINT64_MAX : 0);
        for (uint32_t u = 0; u < first->unit_count; u++) {
            gov_weights_reached(first->weights, u);
            ck_assert(unit_is_right(first, u, 8));
        }
    }
    ck_assert_uint_eq(
        account(first).streamed_bytes + account(first).dropped_bytes, 0);
    ck_assert_uint_eq(account(first).late_units, 0);
    ck_assert_uint_ge(anonymous_bytes(first), all);
    ck_assert_uint_eq(account(first).anchored_bytes, all);
    ck_assert_uint_eq(account(first).hot_bytes, all);
    ck_assert_uint_eq(account(first).there_bytes, all);
    ck_assert_uint_eq(account(first).cold_bytes, 0);
    /* What the file keeps plain is as in the file. */
    ck_assert_int_eq(memcmp(first->base[0], "GGUF", 4), 0);
}
END_TEST

static bool no_more(void *ctx, uint32_t permille, const char *what)
{
    (void)ctx;
    (void)what;
    return permille < 500;
}

START_TEST(decryption_that_is_refused)
{
    struct gov_weights_options options = decrypting(2);
    int descriptors = faults_open_descriptors();

    cipher_of.refuse_at = _i < 3 ? 1 + 3 * _i : 0;
    if (_i == 3)
        options.progress = no_more;
    if (_i == 4) {
        faults_only("pread");
        faults_arm(3, true);
    }
    ck_assert_int_eq(
        gov_weights_adopt(&first->weights, first->model, &options, &err),
        _i < 3    ? GOV_E_FORMAT
        : _i == 3 ? GOV_E_CANCELLED
                  : GOV_E_IO);
    faults_reset();
    ck_assert_ptr_null(first->weights);
    ck_assert(err.message[0] != '\0');
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    ck_assert_int_eq((int)faults_live_blocks(), 0);
}
END_TEST

/* ---- doorbells --------------------------------------------------------------------- */

static bool adopt_with_bells(const struct form *form, uint64_t hot_bytes,
                             const char *test)
{
    struct gov_weights_options options = options_for(form, hot_bytes);
    gov_status status;

    options.follow = GOV_FOLLOW_DOORBELLS;
    status = gov_weights_adopt(&first->weights, first->model, &options, &err);
    if (status == GOV_E_UNSUPPORTED) {
        skip_test(test, err.message);
        return false;
    }
    ck_assert_msg(status == GOV_OK, "%s", err.message);
    return true;
}

static bool is_at(const void *unit)
{
    return atomic_load(&first->weights->streamer.position) ==
           *(const uint32_t *)unit;
}

/* The engine says nothing, and is followed. */
START_TEST(follows_the_bells)
{
    const struct form *form = &forms[_i];

    make_model(first, form->files, 300);
    if (!adopt_with_bells(form, MIB, "follows_the_bells"))
        return;
    for (int pass = 0; pass < 3; pass++)
        for (uint32_t i = 1; i < first->unit_count; i++) {
            ck_assert(unit_is_right(first, i, 8));
            ck_assert_msg(comes_true(is_at, &i), "%u", i);
        }
    ck_assert_uint_eq(account(first).passes, 2);
    (void)gov_weights_set_hot(first->weights, UINT64_MAX);
    ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
    (void)gov_weights_set_hot(first->weights, 0);
    for (uint32_t i = 0; i < 2 * first->unit_count; i++)
        ck_assert(unit_is_right(first, i % first->unit_count, 8));
    ck_assert_uint_eq(account(first).failures, 0);
    gov_weights_release(first->weights);
    first->weights = NULL;
    ck_assert(all_is_right(first));
}
END_TEST

/* ---- experts ----------------------------------------------------------------------- */

static void check_shares(uint64_t limit)
{
    struct gov_weights_account a = account(first);

    ck_assert_uint_le(a.hot_bytes, limit);
    /* What the last call named stays, however little may. */
    ck_assert_uint_le(a.expert_bytes, a.expert_limit_bytes + 3 * 32 * KIB);
    ck_assert_uint_le(a.hot_bytes + a.cold_bytes, all_bytes(first));
}

/* Experts have what the dense parts leave, however those are held, and the
 * streamer keeps its hands off them. */
START_TEST(experts_have_what_is_left)
{
    struct gov_weights_options options = options_for(&forms[_i % 4], 0);
    uint64_t all, dense = 0;

    make_experts(first);
    all = all_bytes(first);
    options.hold = (gov_hold)(_i / 4);
    options.experts = true;
    adopt_with(first, &options);
    for (uint32_t u = 0; u < first->unit_count; u++)
        if (first->units[u].kind != GOV_UNIT_EXPERTS)
            dense += first->units[u].bytes;
    for (int step = 0; step < 9; step++) {
        uint64_t limit = all / 8 * (uint64_t)step;
        uint64_t stays = gov_weights_set_hot(first->weights, limit);

        ck_assert_uint_le(stays, limit);
        check_shares(limit);
        ck_assert(limit > dense || account(first).expert_limit_bytes <= limit);
        for (uint32_t u = 0; u < first->unit_count; u++) {
            const uint32_t experts[] = {(u + (uint32_t)step) % EXPERTS,
                                        (3 * u + 1) % EXPERTS, EXPERTS + 7};

            gov_weights_reached(first->weights, u);
            if (first->units[u].kind == GOV_UNIT_EXPERTS) {
                gov_weights_used(first->weights, u, experts, 3);
                ck_assert_int_eq(map_text(first)[u], '.');
            }
            ck_assert(unit_is_right(first, u, 64));
        }
        check_shares(limit);
    }
    ck_assert_uint_gt(account(first).experts_used, 0);
    /* Whole pages, each once, but for those that a neighbour keeps anyway. */
    ck_assert_uint_le(gov_weights_set_hot(first->weights, UINT64_MAX), all);
    ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
    ck_assert_uint_le(account(first).hot_bytes, all);
    ck_assert_uint_ge(account(first).hot_bytes, all - 16 * page);
    ck_assert_uint_eq(account(first).cold_bytes, 0);
    ck_assert(all_is_right(first));
    ck_assert_uint_eq(account(first).failures, 0);
}
END_TEST

/* Without the option it does nothing. */
START_TEST(no_experts_unless_asked)
{
    const uint32_t experts[] = {0, 1};
    struct gov_weights_options options = options_for(&forms[0], UINT64_MAX);

    make_experts(first);
    adopt_with(first, &options);
    gov_weights_used(first->weights, 2, experts, 2);
    ck_assert_uint_eq(account(first).experts_used, 0);
    ck_assert_uint_eq(account(first).expert_limit_bytes, 0);
}
END_TEST

/* ---- where the kernel has no mapping left ----------------------------------------- */

static struct gov_platform full_table;
static atomic_bool full;

static int full_map_file(void *ctx, int fd, uint64_t offset, size_t bytes,
                         void *at, void **out)
{
    if (atomic_load(&full))
        return ENOMEM;
    return gov__platform_native()->map_file(ctx, fd, offset, bytes, at, out);
}

static int full_stage(void *ctx, const void *target, size_t bytes, void **out)
{
    if (atomic_load(&full))
        return ENOMEM;
    return gov__platform_native()->stage(ctx, target, bytes, out);
}

static int full_slots_show(void *ctx, void *view, size_t bytes, void *target)
{
    if (atomic_load(&full))
        return ENOMEM;
    return gov__platform_native()->slots_show(ctx, view, bytes, target);
}

static int slots_before; /* left where munmap() was made to fail */

/* Mappings of slots: Linux names them after their memory. */
static int slot_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    int count = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        count += strstr(line, "memfd:governor weights") != NULL ? 1 : 0;
    fclose(maps);
    return count;
}

/* All is hot, and in other memory; what nobody streams any more takes none. */
static bool slots_are_gone(const void *arg)
{
    return is_there(arg) && account(first).there_bytes == all_bytes(first) &&
           slot_mappings() == slots_before;
}

/* What cannot be taken out of a slot keeps it: another part that was read into it
 * would show there. */
START_TEST(a_slot_that_is_shown_is_not_used_again)
{
    struct gov_weights_options options = options_for(&forms[2], 0);
    const struct gov__slots *slots;

    slots_before = slot_mappings();
    make_model(first, 1, 8 * KIB);
    options.ahead = 1;
    options.anchor = _i != 0;
    full_table = *gov__platform_native();
    full_table.map_file = full_map_file;
    full_table.stage = full_stage;
    full_table.slots_show = full_slots_show;
    atomic_store(&full, false);
    ck_assert_int_eq(gov__weights_adopt_on(&first->weights, &full_table,
                                           first->model, &options, &err),
                     GOV_OK);
    slots = &first->weights->streamer.slots;
    if (slots->count == 0) {
        skip_test("a_slot_that_is_shown_is_not_used_again",
                  "no memory of huge pages to read into here");
        return;
    }
    run_pass(first);
    atomic_store(&full, true);
    for (int pass = 0; pass < 3; pass++) {
        run_pass(first);
        ck_assert(all_is_right(first));
    }
    ck_assert_uint_gt(account(first).failures, 0);
    atomic_store(&full, false);
    run_pass(first);
    ck_assert(all_is_right(first));
    (void)gov_weights_set_hot(first->weights, UINT64_MAX);
    ck_assert(comes_true(slots_are_gone, NULL));
    ck_assert(all_is_right(first));
}
END_TEST

/* They would keep the memory of all, and a child of fork() has none there. */
START_TEST(slots_go_with_the_streamer)
{
    slots_before = slot_mappings();
    make_model(first, 1, 8 * KIB);
    adopt(first, &forms[2], 0);
    run_pass(first);
    if (slot_mappings() == slots_before) {
        skip_test("slots_go_with_the_streamer",
                  "no memory of huge pages to read into here");
        return;
    }
    gov_weights_release(first->weights);
    first->weights = NULL;
    ck_assert_int_eq(slot_mappings(), slots_before);
    ck_assert(all_is_right(first));
}
END_TEST

/* The time for the next read may come between two looks at the clock. */
START_TEST(a_rate_leaves_no_pause)
{
    struct gov_weights_options options = options_for(&forms[_i], UINT64_MAX);
    const struct gov_platform *native = gov__platform_native();
    uint64_t began = native->now_us(native->ctx);

    options.warm = GOV_WARM_FILE;
    options.warm_rate = 140000000;
    make_model(first, 1, 8 * KIB);
    adopt_gated(&options, false, 1000);
    ck_assert(gov_weights_wait(first->weights, true, 20000));
    ck_assert_uint_lt(native->now_us(native->ctx) - began, 3000000);
}
END_TEST

/* ---- reads that go on by themselves ------------------------------------------------ */

enum trouble {
    NO_TROUBLE,
    NOT_THERE,       /* the platform has none */
    DENIED,          /* this process may not */
    START_REFUSED,   /* now and then: no memory */
    START_PUT_OFF,   /* now and then: not just now */
    ENDS_IN_ERROR,   /* now and then */
    ENDS_EARLY,      /* now and then */
    ALWAYS_IN_ERROR, /* each */
    TROUBLES
};

/* The platform whose reads have trouble, are held back, or slow. */
static struct {
    struct gov_platform table;
    enum trouble trouble;
    atomic_int started, taken, refused, spoilt;
    atomic_int left; /* under way when they were closed */
    atomic_bool held;
    uint64_t slow_us;
    uint64_t began_us[GOV__FLIGHTS];
    struct gov__read read[GOV__FLIGHTS];
} air;

static bool now_and_then(void)
{
    static atomic_uint calls;

    return air.trouble == ALWAYS_IN_ERROR ||
           atomic_fetch_add(&calls, 1) % 3 == 1;
}

static uint64_t real_us(void)
{
    const struct gov_platform *native = gov__platform_native();

    return native->now_us(native->ctx);
}

static int air_open(void *ctx, struct gov__read_queue *reads, uint32_t most)
{
    return air.trouble == DENIED
               ? ENOTSUP
               : gov__platform_native()->reads_open(ctx, reads, most);
}

static int air_start(void *ctx, struct gov__read_queue *reads,
                     const struct gov__read *read)
{
    int rc;

    if ((air.trouble == START_REFUSED || air.trouble == START_PUT_OFF) &&
        now_and_then()) {
        atomic_fetch_add(&air.refused, 1);
        return air.trouble == START_REFUSED ? ENOMEM : EAGAIN;
    }
    air.began_us[read->tag] = real_us();
    air.read[read->tag] = *read;
    rc = gov__platform_native()->reads_start(ctx, reads, read);
    if (rc == 0)
        atomic_fetch_add(&air.started, 1);
    return rc;
}

/* Each is under way for so long, one after the other, as on a slow disk. */
static bool is_too_soon(void)
{
    const struct timespec some = {0, 200000};
    uint64_t first_us = UINT64_MAX;

    for (uint32_t i = 0; i < GOV__FLIGHTS; i++)
        if (air.began_us[i] != 0 && air.began_us[i] < first_us)
            first_us = air.began_us[i];
    if (air.slow_us == 0 || real_us() - first_us >= air.slow_us)
        return false;
    nanosleep(&some, NULL);
    return true;
}

static int air_take(void *ctx, struct gov__read_queue *reads, uint32_t *tag,
                    int64_t *result)
{
    int rc;

    if (atomic_load(&air.held) || is_too_soon())
        return ENODATA;
    rc = gov__platform_native()->reads_take(ctx, reads, tag, result);
    if (rc != 0)
        return rc;
    air.began_us[*tag] = 0;
    atomic_fetch_add(&air.taken, 1);
    if (air.trouble >= ENDS_IN_ERROR && now_and_then()) {
        int64_t good = air.trouble == ENDS_EARLY ? *result / 2 : 0;

        /* What was not read is not there. */
        memset((char *)air.read[*tag].buffer + good, 0xee,
               air.read[*tag].bytes - (size_t)good);
        *result = good > 0 ? good : -EIO;
        atomic_fetch_add(&air.spoilt, 1);
    }
    return 0;
}

static int air_close(void *ctx, struct gov__read_queue *reads)
{
    atomic_fetch_add(&air.left,
                     atomic_load(&air.started) - atomic_load(&air.taken));
    return gov__platform_native()->reads_close(ctx, reads);
}

static void clear_air(enum trouble trouble)
{
    memset(&air, 0, sizeof(air));
    air.table = *gov__platform_native();
    air.trouble = trouble;
    if (air.table.reads_open == NULL)
        return;
    air.table.reads_open = trouble == NOT_THERE ? NULL : air_open;
    air.table.reads_start = air_start;
    air.table.reads_take = air_take;
    air.table.reads_close = air_close;
}

/* What is in the page cache would be copied from there. */
static void cool(struct engine *e)
{
    for (uint32_t f = 0; f < e->files; f++) {
        int fd = open(e->path[f], O_RDONLY);

        ck_assert_int_eq(
            madvise(e->base[f], (size_t)e->bytes[f], MADV_DONTNEED), 0);
        ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        close(fd);
    }
}

static void adopt_in_air(struct engine *e,
                         const struct gov_weights_options *options)
{
    ck_assert_msg(gov__weights_adopt_on(&e->weights, &air.table, e->model,
                                        options, &err) == GOV_OK,
                  "%s", err.message);
}

/* False, with a word, where there are none. */
static bool flies(const char *test)
{
    if (first->weights->streamer.flights.open)
        return true;
    skip_test(test, "no reads that go on by themselves here");
    return false;
}

static void land(void)
{
    gov_weights_release(first->weights);
    first->weights = NULL;
    ck_assert_int_eq(air.left, 0);
    ck_assert_int_eq(air.started, air.taken);
    ck_assert(all_is_right(first));
}

/* Direct in one file, and both in two, with each trouble. */
START_TEST(holds_under_stress_in_trouble)
{
    const struct form *form = &forms[_i % 2 == 0 ? 2 : 7];
    struct gov_weights_options options = options_for(form, 8 * MIB);
    int descriptors;

    slots_before = slot_mappings();
    make_model(first, form->files, 5 * KIB);
    cool(first);
    descriptors = faults_open_descriptors();
    clear_air((enum trouble)(_i / 2));
    options.ahead_most = 4;
    adopt_in_air(first, &options);
    if (air.trouble == NOT_THERE || air.trouble == DENIED)
        ck_assert(!first->weights->streamer.flights.open);
    stress();
    if (first->weights->streamer.flights.open) {
        ck_assert_int_gt(air.started, 0);
        ck_assert((air.refused > 0) == (air.trouble == START_REFUSED ||
                                        air.trouble == START_PUT_OFF));
        ck_assert((air.spoilt > 0) == (air.trouble >= ENDS_IN_ERROR));
    }
    (void)gov_weights_set_hot(first->weights, 0);
    run_pass(first);
    (void)gov_weights_set_hot(first->weights, UINT64_MAX);
    ck_assert(comes_true(form->anchor ? is_anchored : is_there, NULL));
    ck_assert_uint_eq(account(first).anchored_bytes,
                      form->anchor ? all_bytes(first) : 0);
    land();
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    ck_assert_int_eq(slot_mappings(), slots_before);
}
END_TEST

static bool are_taken(const void *unused)
{
    (void)unused;
    return atomic_load(&air.started) == atomic_load(&air.taken);
}

static bool have_started(const void *count)
{
    return atomic_load(&air.started) >= *(const int *)count;
}

static void *release(void *arg)
{
    gov_weights_release(first->weights);
    atomic_store(&done, true);
    return arg;
}

/* It ends when they do, whatever comes of them, and no earlier: the kernel writes to
 * that memory. */
START_TEST(stop_waits_for_what_is_under_way)
{
    struct gov_weights_options options =
        options_for(&forms[2 + _i % 2], _i % 2 == 0 ? 0 : UINT64_MAX);
    const struct timespec some = {0, 30000000};
    const int two = 2;
    pthread_t thread;

    slots_before = slot_mappings();
    make_model(first, 1, 8 * KIB);
    cool(first);
    clear_air(_i < 2 ? NO_TROUBLE : _i < 4 ? ALWAYS_IN_ERROR : ENDS_EARLY);
    atomic_store(&air.held, true);
    adopt_in_air(first, &options);
    if (!flies("stop_waits_for_what_is_under_way"))
        return;
    gov_weights_reached(first->weights, 0);
    ck_assert(comes_true(have_started, &two));
    ck_assert_int_eq(pthread_create(&thread, NULL, release, NULL), 0);
    nanosleep(&some, NULL);
    ck_assert(!atomic_load(&done));
    atomic_store(&air.held, false);
    pthread_join(thread, NULL);
    first->weights = NULL;
    ck_assert_int_eq(air.left, 0);
    ck_assert_int_le(air.started, 3);
    ck_assert(all_is_right(first));
    ck_assert_int_eq(slot_mappings(), slots_before);
}
END_TEST

/* Of a slot that another part waits for nothing is left when it shall stay. */
START_TEST(what_becomes_hot_is_in_no_slot)
{
    struct gov_weights_options options = options_for(&forms[2 + _i], 0);
    const int two = 2;

    make_model(first, 1, 8 * KIB);
    cool(first);
    clear_air(NO_TROUBLE);
    atomic_store(&air.held, true);
    options.ahead = 2;
    options.readers = 0;
    adopt_in_air(first, &options);
    if (!flies("what_becomes_hot_is_in_no_slot"))
        return;
    ck_assert(comes_true(have_started, &two));
    (void)gov_weights_set_hot(first->weights, UINT64_MAX);
    atomic_store(&air.held, false);
    ck_assert(comes_true(_i == 0 ? is_there : is_anchored, NULL));
    ck_assert_uint_eq(account(first).anchored_bytes,
                      _i == 0 ? 0 : all_bytes(first));
    land();
}
END_TEST

/* As pause_holds_back, where what is under way ends. */
START_TEST(pause_holds_flights_back)
{
    struct gov_weights_options options = options_for(&forms[3], UINT64_MAX);
    const int three = 3;

    cool(first);
    clear_air(NO_TROUBLE);
    atomic_store(&air.held, true);
    adopt_in_air(first, &options);
    if (!flies("pause_holds_flights_back"))
        return;
    ck_assert(comes_true(have_started, &three));
    gov_weights_pause(first->weights, true);
    atomic_store(&air.held, false);
    wait_for_map("HHHhhhhh");
    ck_assert(comes_true(are_taken, NULL));
    ck_assert(!gov_weights_wait(first->weights, true, 30));
    ck_assert_str_eq(map_text(first), "HHHhhhhh");
    ck_assert_int_eq(air.started, 3);
    gov_weights_reached(first->weights, 1);
    wait_for_map("HHHHhhhh");
    gov_weights_reached(first->weights, 6); /* and around the ring */
    wait_for_map("HHHHhhHH");
    ck_assert(comes_true(are_taken, NULL));
    ck_assert(!gov_weights_wait(first->weights, true, 30));
    ck_assert_str_eq(map_text(first), "HHHHhhHH");
    gov_weights_pause(first->weights, false);
    ck_assert(gov_weights_wait(first->weights, true, PATIENCE_MS));
    wait_for_map("HHHHHHHH");
    land();
}
END_TEST

static _Atomic uint64_t hand_us; /* of a clock that is set by hand */
static atomic_int staged;

static uint64_t hand_clock(void *ctx)
{
    (void)ctx;
    return atomic_load(&hand_us);
}

static int counted_stage(void *ctx, const void *target, size_t bytes,
                         void **out)
{
    atomic_fetch_add(&staged, 1);
    return gov__platform_native()->stage(ctx, target, bytes, out);
}

static bool have_staged(const void *count)
{
    return atomic_load(&staged) >= *(const int *)count;
}

/* Each part that can wait is charged, and once: by flights, and where what is in the
 * page cache is copied by the streamer and its mate. */
START_TEST(a_rate_is_kept)
{
    struct gov_weights_options options = options_for(&forms[3], UINT64_MAX);
    const struct timespec some = {0, 60000000};
    int burst = 4, next; /* three are wanted, and one may begin */

    if (_i == 0)
        cool(first);
    clear_air(NO_TROUBLE);
    air.table.now_us = hand_clock;
    air.table.stage = counted_stage;
    atomic_store(&hand_us, 1000000);
    atomic_store(&staged, 0);
    options.readers = 0;
    options.warm_rate = 1000000; /* 0.26 s a part */
    adopt_in_air(first, &options);
    if (!flies("a_rate_is_kept"))
        return;
    ck_assert(comes_true(have_staged, &burst));
    nanosleep(&some, NULL);
    atomic_fetch_add(&hand_us, 150000);
    burst += atomic_load(&staged) > burst ? _i : 0; /* or two, where two ask */
    (void)gov_weights_set_hot(first->weights, UINT64_MAX); /* looks again */
    nanosleep(&some, NULL);
    ck_assert_int_eq(staged, burst);
    next = burst + 1;
    atomic_fetch_add(&hand_us, _i == 0 ? 200000 : 400000);
    (void)gov_weights_set_hot(first->weights, UINT64_MAX);
    ck_assert(comes_true(have_staged, &next));
    ck_assert_int_le(staged, next + _i);
    ck_assert(_i != 0 || air.started == staged);
    land();
}
END_TEST

static int kept_reads, kept_allowed; /* by the lock of the gate */

static int doled_populate(void *ctx, void *at, size_t bytes)
{
    pthread_mutex_lock(&gate.lock);
    kept_reads++;
    while (kept_reads > kept_allowed)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    return gov__platform_native()->populate(ctx, at, bytes);
}

static void allow(int count)
{
    pthread_mutex_lock(&gate.lock);
    kept_allowed = count;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static bool is_streamed(const void *unused)
{
    (void)unused;
    return account(first).streamed_bytes > 0;
}

static int kept_so_far(void)
{
    int n;

    pthread_mutex_lock(&gate.lock);
    n = kept_reads;
    pthread_mutex_unlock(&gate.lock);
    return n;
}

/* What has come is there as soon as the read of another part has ended, not when all
 * that is hot was read. */
START_TEST(what_has_come_is_not_kept_waiting)
{
    struct gov_weights_options options = options_for(&forms[2], 0);
    const struct timespec some = {0, 10000000};
    const int one = 1;
    int allowed = 0, before;

    memset(&gate, 0, sizeof(gate));
    pthread_mutex_init(&gate.lock, NULL);
    pthread_cond_init(&gate.changed, NULL);
    make_model(first, 1, 8 * KIB);
    cool(first);
    clear_air(NO_TROUBLE);
    air.table.populate = doled_populate;
    kept_reads = kept_allowed = 0;
    atomic_store(&air.held, true);
    options.hot_bytes = all_bytes(first) - 3 * MIB; /* one part is cold */
    options.readers = 1;
    faults_only("pthread_create");
    faults_arm(2, false); /* the mates are there, and no crew */
    adopt_in_air(first, &options);
    faults_reset();
    ck_assert(!first->weights->streamer.has_crew);
    if (!flies("what_has_come_is_not_kept_waiting")) {
        allow(INT32_MAX);
        return;
    }
    while (!have_started(&one)) {
        allow(++allowed);
        while (kept_so_far() <= allowed && !have_started(&one))
            ;
    }
    /* It is at the next one that is kept. */
    while (kept_so_far() <= allowed)
        ;
    before = allowed;
    atomic_store(&air.held, false);
    while (!is_streamed(NULL) && !account(first).warm) {
        nanosleep(&some, NULL); /* in which the kernel has ended it */
        allow(++allowed);
    }
    ck_assert_int_le(allowed, before + 12); /* of 20 and more */
    ck_assert(!account(first).warm);
    allow(INT32_MAX);
    land();
}
END_TEST

/* A disk that is busy all the time gives no more when it is asked earlier: that
 * would be memory for nothing. */
START_TEST(a_busy_disk_is_not_asked_earlier)
{
    struct gov_weights_options options = options_for(&forms[2 + _i % 2], 0);
    uint64_t begin_us = 0, before = 0, took_us, busy_us;

    make_model(first, 1, 4 * KIB);
    cool(first);
    clear_air(_i < 2 ? NO_TROUBLE : ENDS_EARLY);
    /* Many times what comparing a unit takes, also where that is slow. */
    air.slow_us = is_sanitized() ? 80000 : 40000;
    options.ahead = 1;
    options.ahead_most = 4;
    adopt_in_air(first, &options);
    if (!flies("a_busy_disk_is_not_asked_earlier"))
        return;
    for (uint32_t i = 0; i < 6 * first->unit_count; i++) {
        gov_weights_reached(first->weights, i % first->unit_count);
        ck_assert(unit_is_right(first, i % first->unit_count, page));
        if (i + 1 == first->unit_count) {
            begin_us = real_us(); /* the first pass maps the file */
            before = account(first).late_units;
        }
        /* Where others keep the processor from the streamer the disk is not busy: each
         * late unit was a read, or several at once. */
        took_us = real_us() - begin_us;
        busy_us = (account(first).late_units - before) * air.slow_us;
        if (account(first).ahead != 1 && busy_us < took_us - took_us / 32) {
            skip_test("a_busy_disk_is_not_asked_earlier",
                      "the machine has too much else to do");
            land();
            return;
        }
        ck_assert_uint_eq(account(first).ahead, 1);
    }
    ck_assert_uint_gt(account(first).late_units, 6);
    land();
}
END_TEST

/* Children come and go while reads are under way; what is anchored they have, too. */
START_TEST(children_do_no_harm)
{
    struct gov_weights_options options = options_for(&forms[2 + _i], 0);
    pid_t child;
    int status;

    make_model(first, 1, 5 * KIB);
    cool(first);
    clear_air(NO_TROUBLE);
    adopt_in_air(first, &options);
    for (uint32_t round = 0; round < 24; round++) {
        gov_weights_reached(first->weights, round % first->unit_count);
        (void)gov_weights_set_hot(first->weights,
                                  round % 5 * (all_bytes(first) / 5));
        child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0)
            _exit(0);
        ck_assert(unit_is_right(first, round % first->unit_count, 8));
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
    }
    (void)gov_weights_set_hot(first->weights, UINT64_MAX);
    ck_assert(comes_true(_i == 0 ? is_there : is_anchored, NULL));
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(all_is_right(first) ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    land();
}
END_TEST

/* ------------------------------------------------------------------------------------ */

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static TCase *add_case(Suite *s, const char *name, void (*before)(void))
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, before, tear_down);
    tcase_set_timeout(tc, 90);
    suite_add_tcase(s, tc);
    return tc;
}

Suite *suite(void)
{
    Suite *s = suite_create("weights_forms");
    TCase *tc = add_case(s, "forms", set_up);

    tcase_add_loop_test(tc, has_the_form_asked_for, 0, COUNT(forms));
    tcase_add_loop_test(tc, looks_rows_up_by_the_page, 0, 4);
    tcase_add_loop_test(tc, holds_under_stress, 0, COUNT(forms));
    tcase_add_test(tc, two_models_do_not_disturb_each_other);
    tcase_add_test(tc, one_model_mapped_twice);
    tcase_add_test(tc, is_released_while_readers_are_busy);
    tcase_add_loop_test(tc, survives_calls_that_fail, 0, 3 * FAILING);
    tcase_add_loop_test(tc, a_file_that_is_written_to_is_told, 0, 2);
    tcase_add_loop_test(tc, decrypts_exactly, 0, 4);
    tcase_add_loop_test(tc, decryption_that_is_refused, 0, 5);
    tcase_add_loop_test(tc, follows_the_bells, 0, COUNT(forms));
    tcase_add_loop_test(tc, experts_have_what_is_left, 0, 12);
    tcase_add_test(tc, no_experts_unless_asked);
    tcase_add_loop_test(tc, a_slot_that_is_shown_is_not_used_again, 0, 2);
    tcase_add_test(tc, slots_go_with_the_streamer);
    tcase_add_loop_test(tc, a_rate_leaves_no_pause, 0, 2);

    tc = add_case(s, "flights", set_up);
    tcase_add_loop_test(tc, holds_under_stress_in_trouble, 0, 2 * TROUBLES);
    tcase_add_loop_test(tc, stop_waits_for_what_is_under_way, 0, 6);
    tcase_add_loop_test(tc, what_becomes_hot_is_in_no_slot, 0, 2);
    tcase_add_test(tc, what_has_come_is_not_kept_waiting);
    tcase_add_loop_test(tc, a_busy_disk_is_not_asked_earlier, 0, 4);
    tcase_add_loop_test(tc, children_do_no_harm, 0, 2);
    tc = add_case(s, "flights, small", set_up_small);
    tcase_add_test(tc, pause_holds_flights_back);
    tcase_add_loop_test(tc, a_rate_is_kept, 0, 2);

    tc = add_case(s, "gated", set_up_small);
    tcase_add_loop_test(tc, pause_holds_back, 0, 2);
    tcase_add_test(tc, tells_progress_and_is_ready_once);
    tcase_add_test(tc, progress_may_cancel);
    tcase_add_loop_test(tc, waits_again_for_what_is_newly_hot, 0, 4);
    tcase_add_loop_test(tc, more_is_hot_when_all_is_found_there, 0, 4);
    tcase_add_loop_test(tc, waits_until_it_is_there, 0, 4);
    tcase_add_loop_test(tc, patience_ends, 0, 2);
    tcase_add_loop_test(add_case(s, "wide", set_up_wide),
                        a_decision_lets_waiters_go, 0, 2);
    return s;
}
