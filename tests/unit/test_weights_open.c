/* SPDX-License-Identifier: MIT */
/* Weights that the library opens itself, with the test as an engine of its own:
 * every view has the file's bytes, aligned for their type, whatever the format,
 * and nothing stays mapped, open or allocated. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/memory/weights_priv.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"
#include "tests/support/safetensors_writer.h"

#define LAYERS 6
#define PARTS 3
#define KIB ((uint64_t)1 << 10)

static char directory[400], path[512];
static gov_model *model;
static const struct gov_tensor *tensors;
static const struct gov_unit *units;
static const struct gov_model_file *files;
static size_t tensor_count, unit_count, file_count;
static gov_weights *weights;
static struct gov__weights_owned *owned;
static gov_error err;

/* The native table, counted. */
static struct gov_platform table;
static int mapped_files, mapped_blocks;
static void *block; /* the last one */
static char last_tag[64];
static _Atomic uint64_t dropped_bytes;

static int count_map_file(void *ctx, int fd, uint64_t offset, size_t bytes,
                          void *at, void **out)
{
    const struct gov_platform *native = gov__platform_native();
    int rc = native->map_file(ctx, fd, offset, bytes, at, out);

    mapped_files += rc == 0 && at == NULL;
    return rc;
}

static int count_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    const struct gov_platform *native = gov__platform_native();
    int rc = native->map(ctx, bytes, tag, out);

    snprintf(last_tag, sizeof(last_tag), "%s", tag);
    if (rc == 0) {
        mapped_blocks++;
        block = *out;
    }
    return rc;
}

static int count_drop_cached(void *ctx, int fd, uint64_t offset, uint64_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    dropped_bytes += bytes;
    return native->drop_cached(ctx, fd, offset, bytes);
}

static int count_unmap(void *ctx, void *base, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    if (base == block)
        mapped_blocks--;
    return native->unmap(ctx, base, bytes);
}

/* Lines of the kernel's list that name a file of the model. */
static int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    int n = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        n += strstr(line, directory) != NULL;
    fclose(maps);
    return n;
}

/* ---- models
 * ------------------------------------------------------------------- */

static const char *in(const char *name)
{
    static char at[512];

    snprintf(at, sizeof(at), "%.400s/%.100s", directory, name);
    return at;
}

/* 1 KiB a row. */
static uint64_t rows = 64;

static void gguf_layer(struct gguf_writer *w, int layer)
{
    char name[64];

    snprintf(name, sizeof(name), "blk.%d.attn_q.weight", layer);
    gguf_add(w, name, T_F32, 256, rows);
    snprintf(name, sizeof(name), "blk.%d.ffn_up.weight", layer);
    gguf_add(w, name, T_Q4_0, 256, rows);
    snprintf(name, sizeof(name), "blk.%d.attn_norm.weight", layer);
    gguf_add(w, name, T_F32, 3, 0);
}

static void gguf_end(struct gguf_writer *w, const char *at)
{
    gguf_finish(w);
    gguf_save(w, at, w->file_bytes);
    gguf_free(w);
}

static void make_gguf(void)
{
    struct gguf_writer w;

    gguf_begin(&w);
    gguf_key_text(&w, "general.architecture", "llama");
    gguf_add(&w, "token_embd.weight", T_F16, 256, rows);
    for (int i = 0; i < LAYERS; i++)
        gguf_layer(&w, i);
    gguf_add(&w, "output.weight", T_Q8_0, 256, rows);
    snprintf(path, sizeof(path), "%s", in("m.gguf"));
    gguf_end(&w, path);
}

static void make_split(void)
{
    for (int part = 0; part < PARTS; part++) {
        struct gguf_writer w;
        char name[64];

        gguf_begin(&w);
        if (part == 0)
            gguf_key_text(&w, "general.architecture", "llama");
        gguf_key_split(&w, (uint16_t)part, PARTS, 3 * LAYERS + 2);
        if (part == 0)
            gguf_add(&w, "token_embd.weight", T_F16, 256, rows);
        for (int i = 0; i < LAYERS / PARTS; i++)
            gguf_layer(&w, part * LAYERS / PARTS + i);
        if (part == PARTS - 1)
            gguf_add(&w, "output.weight", T_Q8_0, 256, rows);
        snprintf(name, sizeof(name), "m-%05d-of-%05d.gguf", part + 1, PARTS);
        gguf_end(&w, in(name));
    }
    snprintf(path, sizeof(path), "%s", in("m-00001-of-00003.gguf"));
}

/* Layers [first, end), with a header of a multiple of 8 bytes and `odd` more:
 * of which nothing but bytes is aligned when it is odd, and no F32 when it
 * is 2. */
static void make_shard(const char *at, int first, int end, unsigned odd)
{
    struct safetensors_writer w;
    char name[96];

    safetensors_begin(&w);
    if (first == 0)
        safetensors_add(&w, "model.embed_tokens.weight", "F16",
                        SHAPE(rows, 256, 0, 0));
    for (int i = first; i < end; i++) {
        snprintf(name, sizeof(name), "model.layers.%d.self_attn.q_proj.weight",
                 i);
        safetensors_add(&w, name, "F32", SHAPE(rows, 256, 0, 0));
        snprintf(name, sizeof(name), "model.layers.%d.mlp.up_proj.weight", i);
        safetensors_add(&w, name, "F16", SHAPE(rows + 2, 257, 0, 0));
        snprintf(name, sizeof(name), "model.layers.%d.mlp.scale", i);
        safetensors_add(&w, name, "U8", SHAPE(12, 0, 0, 0));
    }
    snprintf(name, sizeof(name), "model.layers.%d.mlp.nothing", first);
    safetensors_tensor(&w, name, "F32", "[0,4]", w.next, w.next);
    safetensors_finish(&w);
    for (unsigned i = 0; i < odd; i++)
        safetensors_raw(&w, " ");
    safetensors_save(&w, at, w.next);
    safetensors_free(&w);
}

static void make_safetensors(void)
{
    snprintf(path, sizeof(path), "%s", in("m.safetensors"));
    make_shard(path, 0, LAYERS, 0);
}

static void make_misaligned(void)
{
    snprintf(path, sizeof(path), "%s", in("m.safetensors"));
    make_shard(path, 0, LAYERS, 1);
}

static void name_shard(FILE *index, const char *shard, int first, int end)
{
    for (int i = first; i < end; i++)
        fprintf(index,
                "\"model.layers.%d.self_attn.q_proj.weight\":\"%s\","
                "\"model.layers.%d.mlp.up_proj.weight\":\"%s\","
                "\"model.layers.%d.mlp.scale\":\"%s\",",
                i, shard, i, shard, i, shard);
    fprintf(index, "\"model.layers.%d.mlp.nothing\":\"%s\"%s", first, shard,
            end == LAYERS ? "}}" : ",");
}

static void make_shards(void)
{
    static const char one[] = "model-00001-of-00003.safetensors",
                      two[] = "model-00002-of-00003.safetensors",
                      three[] = "model-00003-of-00003.safetensors";
    FILE *index;

    make_shard(in(one), 0, 2, 2);
    make_shard(in(two), 2, 4, 0);
    make_shard(in(three), 4, LAYERS, 7);
    snprintf(path, sizeof(path), "%s", in("model.safetensors.index.json"));
    index = fopen(path, "w");
    ck_assert_ptr_nonnull(index);
    fprintf(index, "{\"weight_map\":{\"model.embed_tokens.weight\":\"%s\",",
            one);
    name_shard(index, one, 0, 2);
    name_shard(index, two, 2, 4);
    name_shard(index, three, 4, LAYERS);
    fclose(index);
}

static const struct kind {
    const char *name;
    void (*make)(void);
    size_t files, copied, empty;
} kinds[] = {
    {"GGUF", make_gguf, 1, 0, 0},
    {"split GGUF", make_split, PARTS, 0, 0},
    {"safetensors", make_safetensors, 1, 0, 1},
    {"misaligned safetensors", make_misaligned, 1, 1 + 2 * LAYERS, 1},
    /* q_proj of two layers; the second shard is in order; of the third all but
     * bytes. */
    {"shards", make_shards, 3, 2 + 0 + 4, 3},
};

#define KINDS ((int)(sizeof(kinds) / sizeof(*kinds)))
#define MISALIGNED 3
#define SHARDS 4

static unsigned char pattern(uint32_t file, uint64_t offset)
{
    uint64_t x =
        (offset + 1 + (uint64_t)file * 7919) * UINT64_C(0x9e3779b97f4a7c15);

    return (unsigned char)(x >> 33);
}

/* ThreadSanitizer takes a mapping that is laid over another for a write to all of
 * it; to whoever reads there the kernel shows the one or the other. */
__attribute__((no_sanitize_thread)) static bool
is_pattern(const struct gov_tensor *tensor, const void *data)
{
    const unsigned char *bytes = data;

    for (uint64_t i = 0; i < tensor->bytes; i++)
        if (bytes[i] != pattern(tensor->file, tensor->file_offset + i))
            return false;
    return true;
}

/* What the tensors hold; the files get an old time, so that a later write
 * shows.
 */
static void fill(void)
{
    const struct timespec old[2] = {{1000000, 0}, {1000000, 0}};

    for (size_t f = 0; f < file_count; f++) {
        int fd = open(files[f].path, O_WRONLY);
        unsigned char *bytes = malloc((size_t)files[f].bytes);

        ck_assert(fd >= 0 && bytes != NULL);
        for (uint64_t i = 0; i < files[f].bytes; i++)
            bytes[i] = pattern((uint32_t)f, i);
        for (size_t i = 0; i < tensor_count; i++)
            if (tensors[i].file == f)
                ck_assert_int_eq(pwrite(fd, bytes + tensors[i].file_offset,
                                        (size_t)tensors[i].bytes,
                                        (off_t)tensors[i].file_offset),
                                 (ssize_t)tensors[i].bytes);
        free(bytes);
        ck_assert_int_eq(fsync(fd), 0); /* dirty pages cannot be dropped */
        ck_assert_int_eq(futimens(fd, old), 0);
        close(fd);
    }
}

static void make(const struct kind *kind)
{
    kind->make();
    ck_assert_msg(gov_model_open(&model, path, NULL, &err) == GOV_OK, "%s",
                  err.message);
    tensors = gov_model_tensors(model, &tensor_count);
    units = gov_model_units(model, &unit_count);
    files = gov_model_files(model, &file_count);
    ck_assert_uint_eq(file_count, kind->files);
    fill();
}

static void set_up(void)
{
    faults_reset();
    rows = 64;
    snprintf(directory, sizeof(directory), "%s", fresh_directory());
    table = *gov__platform_native();
    table.map_file = count_map_file;
    table.map = count_map;
    table.unmap = count_unmap;
    table.drop_cached = count_drop_cached;
    dropped_bytes = 0;
    mapped_files = 0;
    mapped_blocks = 0;
    last_tag[0] = '\0';
}

static void tear_down(void)
{
    faults_reset();
    gov_weights_release(weights);
    weights = NULL;
    gov__weights_owned_free(owned);
    owned = NULL;
    ck_assert_int_eq(mapped_blocks, 0);
    ck_assert_int_eq(mappings(), 0);
    gov_model_close(model);
    model = NULL;
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    drop_directory();
}

static struct gov_weights_options options_for(uint64_t hot_bytes)
{
    struct gov_weights_options options = gov_weights_options_default();

    options.hot_bytes = hot_bytes;
    options.alloc = faults_alloc();
    return options;
}

static gov_status try_owned(gov_decrypt_fn decrypt)
{
    struct gov_weights_options options = options_for(UINT64_MAX);

    options.decrypt = decrypt;
    memset(&err, 0, sizeof(err));
    return gov__weights_owned_new(&owned, &table, model, &options, &err);
}

static void own(void)
{
    ck_assert_msg(try_owned(NULL) == GOV_OK, "%s", err.message);
}

/* Refused with that sentence, of which %s is the path; nothing is left. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void owns_not(gov_decrypt_fn decrypt, gov_status want,
                     const char *message)
{
    int descriptors = faults_open_descriptors();
    char text[GOV_MESSAGE_BYTES];
    gov_status status;

    owned = (struct gov__weights_owned *)&owned;
    status = try_owned(decrypt);
    ck_assert_ptr_null(owned);
    snprintf(text, sizeof(text), message, files[file_count - 1].path);
    ck_assert_str_eq(err.message, text);
    ck_assert_int_eq(status, want);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    ck_assert_int_eq(mappings(), 0);
    ck_assert_int_eq((int)faults_live_blocks(), 0);
}
#pragma GCC diagnostic pop

/* ---- mappings and copies
 * ------------------------------------------------------ */

/* Each file is mapped whole, and what is not aligned copied, to where the
 * widest vector can load it. */
START_TEST(maps_and_copies)
{
    const struct kind *kind = &kinds[_i];
    int descriptors;
    size_t copied = 0;
    uint64_t bytes = 0;

    make(kind);
    descriptors = faults_open_descriptors();
    own();
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    ck_assert_uint_eq(owned->file_count, kind->files);
    ck_assert_int_eq(mapped_files, (int)kind->files);
    ck_assert_int_eq(mapped_blocks, kind->copied > 0);
    ck_assert_str_eq(last_tag, kind->copied > 0 ? "governor tensors" : "");
    for (size_t i = 0; i < tensor_count; i++) {
        const struct gov_tensor *t = &tensors[i];
        const struct gov_weights_place *place = &owned->places[t->file];

        ck_assert_uint_eq(place->bytes, files[t->file].bytes);
        ck_assert(is_pattern(t, (char *)place->base + t->file_offset));
        if (owned->copied_at == NULL)
            continue;
        if (owned->copied_at[i] == GOV__NOT_COPIED) {
            ck_assert(t->aligned || t->bytes == 0);
            continue;
        }
        ck_assert(!t->aligned && t->bytes > 0);
        ck_assert_uint_eq(owned->copied_at[i] % 64, 0);
        ck_assert_uint_le(owned->copied_at[i] + t->bytes, owned->copied_bytes);
        ck_assert(is_pattern(t, owned->copies + owned->copied_at[i]));
        copied++;
        bytes += t->bytes;
    }
    ck_assert_uint_eq(copied, kind->copied);
    /* A copy is all that memory holds of a tensor. */
    ck_assert_uint_eq(dropped_bytes, bytes);
    ck_assert_int_eq(owned->copied_bytes > 0, kind->copied > 0);
}
END_TEST

/* A unit that is used in place in part must be brought in. */
START_TEST(tells_which_units_are_copied)
{
    make(&kinds[_i]);
    own();
    for (uint32_t u = 0; u < unit_count; u++) {
        bool in_place = false;

        for (size_t i = 0; i < tensor_count; i++)
            in_place |= tensors[i].unit == u && tensors[i].bytes > 0 &&
                        tensors[i].aligned;
        ck_assert_int_eq(gov__weights_owned_copied(owned, u),
                         owned->copies != NULL && !in_place);
        ck_assert(!gov__weights_owned_copied(NULL, u));
    }
    if (_i == MISALIGNED)
        ck_assert(gov__weights_owned_copied(owned, 0)); /* the embedding */
}
END_TEST

START_TEST(frees_nothing_without_a_block)
{
    gov__weights_owned_free(NULL);
}
END_TEST

static bool never(void *ctx, const struct gov_cipher *cipher)
{
    (void)ctx;
    (void)cipher;
    return false;
}

START_TEST(copies_nothing_encrypted)
{
    make(&kinds[MISALIGNED]);
    owns_not(never, GOV_E_UNSUPPORTED,
             "tensor \"model.embed_tokens.weight\" of %s is not aligned, and "
             "what is encrypted is used where it lies; write the file anew "
             "with aligned tensors");
}
END_TEST

START_TEST(takes_what_is_encrypted_and_aligned)
{
    make(&kinds[2]);
    ck_assert_msg(try_owned(never) == GOV_OK, "%s", err.message);
}
END_TEST

static void gone(const char *at)
{
    ck_assert_int_eq(unlink(at), 0);
}

static void replaced(const char *at)
{
    char other[600];
    struct stat st;
    int fd;

    ck_assert_int_eq(stat(at, &st), 0);
    snprintf(other, sizeof(other), "%s.new", at);
    fd = open(other, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, st.st_size), 0);
    close(fd);
    ck_assert_int_eq(rename(other, at), 0);
}

static void longer(const char *at)
{
    struct stat st;

    ck_assert_int_eq(stat(at, &st), 0);
    ck_assert_int_eq(truncate(at, st.st_size + 1), 0);
}

static void shorter(const char *at)
{
    struct stat st;

    ck_assert_int_eq(stat(at, &st), 0);
    ck_assert_int_eq(truncate(at, st.st_size - 1), 0);
}

static void pipe_there(const char *at)
{
    gone(at);
    ck_assert_int_eq(mkfifo(at, 0600), 0);
}

#define REPLACED                                                               \
    "%s was replaced since its header was read; open the model again"

static const struct {
    void (*change)(const char *at);
    gov_status status;
    const char *message;
} changes[] = {
    {gone, GOV_E_NOT_FOUND,
     "cannot open %s to map it: No such file or directory"},
    {replaced, GOV_E_IO, REPLACED},
    {longer, GOV_E_IO, REPLACED},
    {shorter, GOV_E_IO, REPLACED},
    {pipe_there, GOV_E_IO, REPLACED},
};

#define CHANGES ((int)(sizeof(changes) / sizeof(*changes)))

/* The last file of several: those before it are mapped by then. */
START_TEST(sees_another_file)
{
    make(&kinds[SHARDS]);
    changes[_i].change(files[file_count - 1].path);
    owns_not(NULL, changes[_i].status, changes[_i].message);
}
END_TEST

static void cut_it(int fd, uint64_t offset, size_t bytes)
{
    (void)fd;
    (void)offset;
    (void)bytes;
    ck_assert_int_eq(truncate(path, 5000), 0);
}

static void write_it(int fd, uint64_t offset, size_t bytes)
{
    int to = open(path, O_WRONLY);

    (void)fd;
    (void)offset;
    (void)bytes;
    ck_assert_int_eq(pwrite(to, "x", 1, 4096), 1);
    close(to);
}

START_TEST(sees_that_a_file_is_cut)
{
    make(&kinds[MISALIGNED]);
    faults_watch_pread(cut_it);
    owns_not(NULL, GOV_E_IO,
             "%s became shorter while it was read; wait until nothing writes "
             "to it");
}
END_TEST

START_TEST(sees_that_a_file_is_written_to)
{
    make(&kinds[MISALIGNED]);
    faults_watch_pread(write_it);
    owns_not(NULL, GOV_E_IO,
             "%s was written to while it was read; wait until nothing writes "
             "to it");
}
END_TEST

static int refuse_map_file(void *ctx, int fd, uint64_t offset, size_t bytes,
                           void *at, void **out)
{
    (void)ctx;
    (void)fd;
    (void)offset;
    (void)bytes;
    (void)at;
    (void)out;
    return mapped_files++ == 0 ? ENOTSUP : ENOMEM;
}

START_TEST(needs_a_system_that_maps)
{
    static const char want[] =
        "this system cannot map %s, so the weights cannot be governed";

    make(&kinds[0]);
    table.map_file = NULL;
    owns_not(NULL, GOV_E_UNSUPPORTED, want);
    table.map_file = refuse_map_file;
    owns_not(NULL, GOV_E_UNSUPPORTED, want);
    owns_not(NULL, GOV_E_NOMEM, "cannot map %s: Cannot allocate memory");
}
END_TEST

static int refuse_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    (void)ctx;
    (void)bytes;
    (void)tag;
    (void)out;
    return ENOMEM;
}

START_TEST(needs_room_for_copies)
{
    make(&kinds[MISALIGNED]);
    table.map = refuse_map;
    owns_not(NULL, GOV_E_NOMEM,
             "no memory for the tensors of %s that are not aligned: Cannot "
             "allocate memory");
}
END_TEST

/* Every call and every allocation, once and for good. */
START_TEST(fails_cleanly)
{
    int descriptors;
    uint64_t calls;

    make(&kinds[SHARDS]);
    descriptors = faults_open_descriptors();
    faults_reset();
    own();
    calls = faults_count();
    gov__weights_owned_free(owned);
    owned = NULL;
    ck_assert_uint_ge(calls, 20);
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        faults_reset();
        faults_arm(n, _i != 0);
        status = try_owned(NULL);
        faults_disarm();
        ck_assert_msg(status != GOV_OK, "%s, call %d is swallowed",
                      faults_last(), (int)n);
        ck_assert_ptr_null(owned);
        ck_assert_msg(err.message[0] != '\0', "%s is mute", faults_last());
        ck_assert_msg(faults_live_blocks() == 0, "%s leaks", faults_last());
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
        ck_assert_int_eq(mappings(), 0);
        ck_assert_int_eq(mapped_blocks, 0);
    }
}
END_TEST

START_TEST(goes_on_after_a_signal)
{
    static const char *const calls[] = {"open", "pread"};

    make(&kinds[MISALIGNED]);
    faults_only(calls[_i]);
    faults_set_errno(EINTR);
    faults_arm(0, false);
    own();
    ck_assert_str_eq(faults_last(), calls[_i]);
}
END_TEST

/* ---- views -------------------------------------------------------------------- */

static gov_status try_open(const struct gov_weights_options *options)
{
    memset(&err, 0, sizeof(err));
    return gov__weights_open_on(&weights, &table, model, options, &err);
}

static void open_with(const struct gov_weights_options *options)
{
    ck_assert_msg(try_open(options) == GOV_OK, "%s", err.message);
}

static struct gov_view view(size_t tensor)
{
    struct gov_view out;

    ck_assert_msg(gov_weights_tensor(weights, tensor, &out, &err) == GOV_OK,
                  "%s", err.message);
    return out;
}

START_TEST(views_have_the_bytes_of_the_file)
{
    const struct kind *kind = &kinds[_i];
    struct gov_weights_options options = options_for(UINT64_MAX);
    struct gov_weights_account account;
    size_t copied = 0, empty = 0;
    uint64_t bytes = 0;

    make(kind);
    open_with(&options);
    for (size_t i = 0; i < tensor_count; i++) {
        struct gov_view v = view(i);

        ck_assert_uint_eq(v.bytes, tensors[i].bytes);
        ck_assert_ptr_nonnull(v.data);
        ck_assert(is_pattern(&tensors[i], v.data));
        ck_assert_int_eq(v.copied, !tensors[i].aligned && v.bytes > 0);
        ck_assert(!v.copied || (uintptr_t)v.data % 64 == 0);
        if (strcmp(tensors[i].type, "F32") == 0 && v.bytes > 0)
            ck_assert_uint_eq((uintptr_t)v.data % 4, 0);
        copied += v.copied;
        empty += v.bytes == 0;
    }
    ck_assert_uint_eq(copied, kind->copied);
    ck_assert_uint_eq(empty, kind->empty);
    for (size_t i = 0; i < file_count; i++)
        bytes += files[i].bytes;
    gov_weights_account(weights, false, &account);
    ck_assert_uint_eq(account.mapped_bytes, bytes);
    ck_assert_int_eq(account.copied_bytes > 0, kind->copied > 0);
    ck_assert_uint_eq(account.failures, 0);
}
END_TEST

START_TEST(knows_which_tensors_there_are)
{
    struct gov_weights_options options = options_for(0);
    struct gov_view out;
    char want[128];

    make(&kinds[0]);
    open_with(&options);
    memset(&out, 0xff, sizeof(out));
    ck_assert_int_eq(gov_weights_tensor(weights, tensor_count, &out, &err),
                     GOV_E_INVALID);
    snprintf(want, sizeof(want),
             "the model has %zu tensors, and none of index %zu", tensor_count,
             tensor_count);
    ck_assert_str_eq(err.message, want);
    ck_assert(out.data == NULL && out.bytes == 0 && !out.copied);
    ck_assert_int_eq(gov_weights_tensor(weights, SIZE_MAX, &out, NULL),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_weights_tensor(NULL, 0, &out, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_weights_tensor(weights, 0, NULL, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "gov_weights_tensor() needs weights and a "
                                  "place for the view");
}
END_TEST

START_TEST(opens_on_this_system)
{
    struct gov_weights_options options = options_for(UINT64_MAX);
    gov_weights *unset = (gov_weights *)&weights;

    make(&kinds[1]);
    ck_assert_int_eq(gov_weights_open(NULL, model, NULL, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_weights_open(&unset, NULL, NULL, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "gov_weights_open() needs a model and a place "
                     "for the weights");
    ck_assert_msg(gov_weights_open(&weights, model, NULL, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert(is_pattern(&tensors[1], view(1).data));
    gov_weights_release(weights);
    weights = NULL;
    ck_assert_int_eq(mappings(), 0);
    /* Places are of mappings that an engine made. */
    options.places = (struct gov_weights_place[]){{directory, 1}};
    options.place_count = 1;
    ck_assert_int_eq(gov_weights_open(&weights, model, &options, &err), GOV_OK);
    ck_assert(is_pattern(&tensors[1], view(1).data));
}
END_TEST

static void opens_not(const struct gov_weights_options *options,
                      gov_status want)
{
    int descriptors = faults_open_descriptors();

    weights = (gov_weights *)&weights;
    ck_assert_int_eq(try_open(options), want);
    ck_assert_ptr_null(weights);
    ck_assert(err.message[0] != '\0');
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    ck_assert_int_eq(mappings(), 0);
    ck_assert_int_eq(mapped_blocks, 0);
    ck_assert_int_eq((int)faults_live_blocks(), 0);
}

START_TEST(opens_no_other_file)
{
    struct gov_weights_options options = options_for(UINT64_MAX);

    make(&kinds[SHARDS]);
    changes[_i].change(files[file_count - 1].path);
    opens_not(&options, changes[_i].status);
}
END_TEST

/* Nothing is copied before the options are known to be good, nor left when what
 * comes after the copies fails. */
START_TEST(opens_nothing_by_wrong_options)
{
    struct gov_weights_options options = options_for(UINT64_MAX);

    make(&kinds[MISALIGNED]);
    options.hold = (gov_hold)99;
    opens_not(&options, GOV_E_INVALID);
    ck_assert_int_eq(mapped_files, 0);
    ck_assert_str_eq(last_tag, "");
    options = options_for(UINT64_MAX);
    faults_only("pthread_create");
    faults_arm(0, true);
    opens_not(&options, GOV_E_NOMEM);
    ck_assert_str_eq(last_tag, "governor tensors");
}
END_TEST

/* Some calls are absorbed, and how many there are is the threads' business too:
 * whatever the outcome, all is given back. */
START_TEST(opens_all_or_nothing)
{
    struct gov_weights_options options = options_for(1);
    int descriptors;
    uint64_t calls;
    int failed = 0;

    make(&kinds[SHARDS]);
    descriptors = faults_open_descriptors();
    faults_reset();
    open_with(&options);
    calls = faults_count();
    gov_weights_release(weights);
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        faults_reset();
        faults_arm(n, _i != 0);
        weights = NULL;
        status = try_open(&options);
        faults_disarm();
        if (status == GOV_OK)
            gov_weights_release(weights);
        else
            ck_assert_msg(weights == NULL && err.message[0] != '\0',
                          "%s is mute", faults_last());
        failed += status != GOV_OK;
        weights = NULL;
        ck_assert_msg(faults_live_blocks() == 0, "%s leaks", faults_last());
        ck_assert_msg(faults_open_descriptors() == descriptors,
                      "%s leaves a descriptor", faults_last());
        ck_assert_msg(mappings() == 0 && mapped_blocks == 0,
                      "%s leaves a mapping", faults_last());
    }
    /* All of gov__weights_owned_new()'s calls, of which there are that many. */
    ck_assert_int_ge(failed, 20);
}
END_TEST

/* What an engine mapped is shown where it lies. */
START_TEST(shows_what_was_adopted)
{
    struct gov_weights_options options = options_for(UINT64_MAX);
    size_t shown = 0, refused = 0;
    char want[GOV_MESSAGE_BYTES];
    unsigned char *base;
    int fd;

    make(&kinds[_i]);
    fd = open(files[0].path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    base = mmap(NULL, (size_t)files[0].bytes, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    close(fd);
    ck_assert_msg(gov_weights_adopt(&weights, model, &options, &err) == GOV_OK,
                  "%s", err.message);
    for (size_t i = 0; i < tensor_count; i++) {
        struct gov_view v;
        gov_status status = gov_weights_tensor(weights, i, &v, &err);

        if (tensors[i].aligned && tensors[i].bytes > 0) {
            ck_assert_int_eq(status, GOV_OK);
            ck_assert_ptr_eq(v.data, base + tensors[i].file_offset);
            ck_assert(!v.copied && v.bytes == tensors[i].bytes);
            shown++;
        } else if (tensors[i].bytes > 0) {
            snprintf(want, sizeof(want),
                     "tensor \"%s\" is not aligned where the engine mapped it; "
                     "gov_weights_open() makes a copy",
                     tensors[i].name);
            ck_assert_int_eq(status, GOV_E_UNSUPPORTED);
            ck_assert_str_eq(err.message, want);
            ck_assert(v.data == NULL && v.bytes == 0);
            refused++;
        } else {
            ck_assert_int_eq(status, GOV_OK);
            ck_assert(v.data != NULL && v.bytes == 0);
        }
    }
    ck_assert_uint_gt(shown, 0);
    ck_assert_uint_eq(refused, kinds[_i].copied);
    gov_weights_release(weights);
    weights = NULL;
    ck_assert_int_eq(mappings(), 1);
    munmap(base, (size_t)files[0].bytes);
}
END_TEST

static bool decode(void *ctx, const struct gov_cipher *cipher)
{
    (void)ctx;
    for (uint64_t i = 0; i < cipher->bytes; i++)
        cipher->data[i] ^= 0x5a;
    return true;
}

START_TEST(shows_what_was_decrypted)
{
    struct gov_weights_options options = options_for(0);

    make(&kinds[_i]);
    options.decrypt = decode;
    open_with(&options);
    for (size_t i = 0; i < tensor_count; i++) {
        struct gov_view v = view(i);
        const unsigned char *bytes = v.data;

        for (uint64_t b = 0; b < v.bytes; b++)
            ck_assert_uint_eq(
                bytes[b] ^ 0x5a,
                pattern(tensors[i].file, tensors[i].file_offset + b));
    }
}
END_TEST

/* ---- an engine ---------------------------------------------------------------- */

static atomic_bool done, corrupt;

/* Views are asked for anew each time, as any thread may. */
static void *read_all_tensors(void *arg)
{
    size_t i = 0;

    (void)arg;
    while (!atomic_load(&done)) {
        struct gov_view v;

        if (gov_weights_tensor(weights, i, &v, NULL) != GOV_OK ||
            !is_pattern(&tensors[i], v.data))
            atomic_store(&corrupt, true);
        i = (i + 1) % tensor_count;
    }
    return NULL;
}

static const struct {
    int kind;
    bool anchor;
} engines[] = {
    {0, false}, {0, true},           {1, false},      {1, true},
    {2, false}, {MISALIGNED, false}, {SHARDS, false}, {SHARDS, true},
};

/* Little stays, and how much that is changes; somebody else reads all the time,
 * ahead of the engine and behind. */
START_TEST(streams_exactly)
{
    struct gov_weights_options options;
    struct gov_weights_account account;
    pthread_t reader;
    uint64_t bytes = 0;

    rows = 512;
    make(&kinds[engines[_i].kind]);
    for (size_t i = 0; i < file_count; i++)
        bytes += files[i].bytes;
    options = options_for(bytes / 4);
    options.anchor = engines[_i].anchor;
    open_with(&options);
    atomic_store(&done, false);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_all_tensors, NULL), 0);
    for (int pass = 0; pass < 12; pass++) {
        struct gov_pass_account cost;

        ck_assert_int_eq(gov_weights_pass_begin(weights, &err), GOV_OK);
        for (uint32_t u = 0; u < unit_count; u++) {
            gov_weights_reached(weights, u);
            for (size_t i = 0; i < tensor_count; i++)
                if (tensors[i].unit == u)
                    ck_assert(is_pattern(&tensors[i], view(i).data));
        }
        ck_assert(gov_weights_pass_end(weights, &cost));
        (void)gov_weights_set_hot(weights, bytes / 8 * (uint64_t)(pass % 5));
    }
    atomic_store(&done, true);
    pthread_join(reader, NULL);
    ck_assert(!atomic_load(&corrupt));
    gov_weights_account(weights, false, &account);
    ck_assert_uint_ge(account.passes, 11);
    ck_assert_uint_eq(account.failures, 0);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("weights_open");
    TCase *t = tcase_create("owned");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, maps_and_copies, 0, KINDS);
    tcase_add_loop_test(t, tells_which_units_are_copied, 0, KINDS);
    tcase_add_test(t, frees_nothing_without_a_block);
    tcase_add_test(t, copies_nothing_encrypted);
    tcase_add_test(t, takes_what_is_encrypted_and_aligned);
    tcase_add_loop_test(t, sees_another_file, 0, CHANGES);
    tcase_add_test(t, sees_that_a_file_is_cut);
    tcase_add_test(t, sees_that_a_file_is_written_to);
    tcase_add_test(t, needs_a_system_that_maps);
    tcase_add_test(t, needs_room_for_copies);
    tcase_add_loop_test(t, fails_cleanly, 0, 2);
    tcase_add_loop_test(t, goes_on_after_a_signal, 0, 2);
    suite_add_tcase(s, t);
    t = tcase_create("open");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, views_have_the_bytes_of_the_file, 0, KINDS);
    tcase_add_test(t, knows_which_tensors_there_are);
    tcase_add_test(t, opens_on_this_system);
    tcase_add_loop_test(t, opens_no_other_file, 0, CHANGES);
    tcase_add_test(t, opens_nothing_by_wrong_options);
    tcase_add_loop_test(t, opens_all_or_nothing, 0, 2);
    tcase_add_loop_test(t, shows_what_was_adopted, 2, 4);
    tcase_add_loop_test(t, shows_what_was_decrypted, 0, 3);
    tcase_add_loop_test(t, streams_exactly, 0,
                        (int)(sizeof(engines) / sizeof(*engines)));
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return s;
}
