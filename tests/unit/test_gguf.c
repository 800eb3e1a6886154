/* SPDX-License-Identifier: MIT */
/* The header reader against files that are wrong in one way each, against every
 * single changed byte and every length, and against a system that fails. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "governor/model.h"
#include "governor/model/gguf.h"
#include "governor/model/header.h"
#include "governor/model/model_text.h"
#include "governor/model/tensor_types.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"

static char path[512];

static void setup(void)
{
    snprintf(path, sizeof(path), "%s/m.gguf", fresh_directory());
    faults_reset();
}

static void teardown(void)
{
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    drop_directory();
}

/* A model of one layer; 3 tensors, 1728 bytes of data. */
static void good(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_key_u32(w, "llama.block_count", 1);
    gguf_key_texts(w, "tokenizer.ggml.tokens", 3);
    gguf_add(w, "token_embd.weight", T_F32, 32, 8);
    gguf_add(w, "blk.0.attn_q.weight", T_Q4_0, 32, 32);
    gguf_add(w, "output_norm.weight", T_F32, 32, 0);
    gguf_finish(w);
}

/* ---- wrong in one way ------------------------------------------------------ */

static void just_text(struct gguf_writer *w, const char *text, size_t bytes)
{
    memset(w, 0, sizeof(*w));
    gguf_raw(w, text, bytes);
    w->file_bytes = bytes;
}

static void make_empty(struct gguf_writer *w)
{
    just_text(w, "", 0);
}

static void make_two_bytes(struct gguf_writer *w)
{
    just_text(w, "GG", 2);
}

static void make_zip(struct gguf_writer *w)
{
    just_text(w, "PK\003\004 and more", 13);
}

static void make_magic_alone(struct gguf_writer *w)
{
    just_text(w, "GGUF", 4);
}

static void version(struct gguf_writer *w, uint32_t number)
{
    good(w);
    for (unsigned i = 0; i < 4; i++)
        w->data[4 + i] = (uint8_t)(number >> (8 * i));
}

static void make_version_0(struct gguf_writer *w)
{
    version(w, 0);
}

static void make_version_1(struct gguf_writer *w)
{
    version(w, 1);
}

static void make_version_4(struct gguf_writer *w)
{
    version(w, 4);
}

static void make_big_endian(struct gguf_writer *w)
{
    version(w, 0x03000000);
}

static void make_no_tensors(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_finish(w);
}

static void count_at(struct gguf_writer *w, size_t at, uint64_t count)
{
    good(w);
    for (unsigned i = 0; i < 8; i++)
        w->data[at + i] = (uint8_t)(count >> (8 * i));
}

static void make_too_many_tensors(struct gguf_writer *w)
{
    count_at(w, 8, 200);
}

/* There is room for them, but none of it allocated is worth it. */
static void make_many_tensors(struct gguf_writer *w)
{
    count_at(w, 8, 262145);
    w->file_bytes = 8 * 1024 * 1024;
}

static void make_huge_tensor_count(struct gguf_writer *w)
{
    count_at(w, 8, UINT64_MAX);
}

static void make_one_tensor_more(struct gguf_writer *w)
{
    count_at(w, 8, 4);
}

static void make_huge_key_count(struct gguf_writer *w)
{
    count_at(w, 16, UINT64_MAX);
}

static void make_long_key(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_u64(w, UINT64_MAX);
    w->keys = 1;
    gguf_finish(w);
}

static void make_long_text(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key(w, "some.text", GGUF_TEXT);
    gguf_u64(w, UINT64_MAX - 7);
    gguf_finish(w);
}

static void array(struct gguf_writer *w, uint32_t type, uint64_t count)
{
    gguf_begin(w);
    gguf_key(w, "some.array", GGUF_ARRAY);
    gguf_u32(w, type);
    gguf_u64(w, count);
    gguf_finish(w);
}

static void make_huge_array(struct gguf_writer *w)
{
    array(w, GGUF_U64, UINT64_C(1) << 61); /* times 8 is 0 */
}

static void make_long_array(struct gguf_writer *w)
{
    array(w, GGUF_U8, 1000);
}

static void make_long_text_array(struct gguf_writer *w)
{
    array(w, GGUF_TEXT, UINT64_MAX);
}

static void make_nested_array(struct gguf_writer *w)
{
    array(w, GGUF_ARRAY, 1);
}

static void make_value_type(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key(w, "some.value", 13);
    gguf_finish(w);
}

static void make_array_value_type(struct gguf_writer *w)
{
    array(w, UINT32_MAX, 1);
}

static void make_key_twice(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_key_u32(w, "llama.block_count", 1);
    gguf_key_u32(w, "llama.block_count", 2);
    gguf_finish(w);
}

static void make_architecture_twice(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_key_text(w, "general.architecture", "qwen2");
    gguf_finish(w);
}

static void make_architecture_number(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_u32(w, "general.architecture", 1);
    gguf_finish(w);
}

static void make_architecture_long(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture",
                  "0123456789012345678901234567890123456789"
                  "012345678901234567890123");
    gguf_finish(w);
}

static void make_name_number(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_key_u32(w, "general.name", 1);
    gguf_finish(w);
}

static void make_adapter(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.type", "adapter");
    gguf_add(w, "blk.0.attn_q.weight.lora_a", T_F32, 8, 0);
    gguf_finish(w);
}

static void alignment(struct gguf_writer *w, uint32_t bytes)
{
    gguf_begin(w);
    gguf_key_u32(w, "general.alignment", bytes);
    gguf_finish(w);
}

static void make_alignment_0(struct gguf_writer *w)
{
    alignment(w, 0);
}

static void make_alignment_48(struct gguf_writer *w)
{
    alignment(w, 48);
}

static void make_alignment_text(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.alignment", "32");
    gguf_finish(w);
}

static void make_alignment_negative(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key(w, "general.alignment", GGUF_I32);
    gguf_u32(w, (uint32_t)-32);
    gguf_finish(w);
}

static void make_split(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_key(w, "split.no", GGUF_U16);
    gguf_raw(w, "\0\0", 2);
    gguf_key(w, "split.count", GGUF_U16);
    gguf_raw(w, "\3\0", 2);
    gguf_finish(w);
}

static void make_513_layers(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_key_u32(w, "llama.block_count", 513);
    gguf_finish(w);
}

/* One tensor, whose name is `bytes` long. */
static void named(struct gguf_writer *w, const char *name, size_t bytes)
{
    gguf_begin(w);
    gguf_u64(w, bytes);
    gguf_raw(w, name, bytes);
    gguf_u32(w, 1);
    gguf_u64(w, 8);
    gguf_u32(w, T_F32);
    gguf_u64(w, 0);
    w->tensors = 1;
    w->next = 32;
    gguf_finish(w);
}

static void make_no_name(struct gguf_writer *w)
{
    named(w, "", 0);
}

static void make_escape_in_name(struct gguf_writer *w)
{
    named(w, "a\033[2Jb", 6);
}

static void make_nul_in_name(struct gguf_writer *w)
{
    named(w, "a\0b", 3);
}

static void make_del_in_name(struct gguf_writer *w)
{
    named(w, "a\177", 2);
}

static void make_long_name(struct gguf_writer *w)
{
    char name[256];

    memset(name, 'n', sizeof(name));
    named(w, name, sizeof(name));
}

static void make_5_dimensions(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_text(w, "t");
    gguf_u32(w, 5);
    for (int i = 0; i < 5; i++)
        gguf_u64(w, 1);
    gguf_u32(w, T_F32);
    gguf_u64(w, 0);
    w->tensors = 1;
    w->next = 4;
    gguf_finish(w);
}

static void one(struct gguf_writer *w, uint32_t type, uint64_t columns,
                uint64_t rows, uint64_t offset)
{
    uint64_t shape[4] = {columns, rows, 0, 0};

    gguf_begin(w);
    gguf_tensor(w, "t", type, shape, offset);
    w->next = 4096;
    gguf_finish(w);
}

static void make_many_elements(struct gguf_writer *w)
{
    one(w, T_F32, UINT64_C(1) << 40, UINT64_C(1) << 40, 0);
}

static void make_many_bytes(struct gguf_writer *w)
{
    one(w, T_F32, UINT64_C(1) << 31, UINT64_C(1) << 31, 0);
}

/* Nothing times anything is nothing, but no dimension is negative. */
static void make_negative_dimension(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_text(w, "t");
    gguf_u32(w, 2);
    gguf_u64(w, 0);
    gguf_u64(w, UINT64_MAX);
    gguf_u32(w, T_F32);
    gguf_u64(w, 0);
    w->tensors = 1;
    gguf_finish(w);
}

static void make_unknown_type(struct gguf_writer *w)
{
    one(w, 43, 32, 1, 0);
}

static void make_withdrawn_type(struct gguf_writer *w)
{
    one(w, 31, 32, 1, 0);
}

static void make_odd_row(struct gguf_writer *w)
{
    one(w, T_Q4_0, 33, 32, 0);
}

static void make_misaligned(struct gguf_writer *w)
{
    one(w, T_F32, 8, 1, 16);
}

static void make_offset_wraps(struct gguf_writer *w)
{
    one(w, T_F32, 8, 1, UINT64_MAX - 31);
}

static void make_offset_behind(struct gguf_writer *w)
{
    one(w, T_F32, 8, 1, 4096);
}

/* Vectors of 32 bytes, at multiples of one byte. */
static void three(struct gguf_writer *w, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t shape[4] = {8, 0, 0, 0};

    gguf_begin(w);
    w->align = 1;
    gguf_key_u32(w, "general.alignment", 1);
    gguf_tensor(w, "a", T_F32, shape, a);
    gguf_tensor(w, "b", T_F32, shape, b);
    gguf_tensor(w, "c", T_F32, shape, c);
    w->next = 4096;
    gguf_finish(w);
}

static void make_overlap(struct gguf_writer *w)
{
    three(w, 100, 200, 131);
}

static void make_overlap_whole(struct gguf_writer *w)
{
    three(w, 64, 0, 64);
}

static void make_name_twice(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_add(w, "same", T_F32, 8, 0);
    gguf_add(w, "other", T_F32, 8, 0);
    gguf_add(w, "same", T_F32, 8, 0);
    gguf_finish(w);
}

static void make_no_weights(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_text(w, "t");
    gguf_u32(w, 2);
    gguf_u64(w, 0);
    gguf_u64(w, 8);
    gguf_u32(w, T_F32);
    gguf_u64(w, 0);
    w->tensors = 1;
    gguf_finish(w);
}

/* 150 MiB of empty texts, all of it a hole. */
static void make_endless_header(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key(w, "some.array", GGUF_ARRAY);
    gguf_u32(w, GGUF_TEXT);
    gguf_u64(w, 150 * 1024 * 1024 / 8);
    w->next = 150 * 1024 * 1024;
    gguf_finish(w);
}

#define TORN(bytes)                                                            \
    "model m.gguf is truncated: its header does not end within the " bytes     \
    " bytes of the file; download it again"
#define DAMAGED(fact) "model m.gguf is damaged: " fact "; download it again"

static const struct {
    const char *name;
    void (*make)(struct gguf_writer *w);
    gov_status status;
    const char *message;
} hostile[] = {
    {"empty", make_empty, GOV_E_FORMAT,
     "model m.gguf is empty; download it again"},
    {"two bytes", make_two_bytes, GOV_E_FORMAT,
     "m.gguf is not a model: it has 2 bytes; name a .gguf or .safetensors "
     "file"},
    {"zip", make_zip, GOV_E_FORMAT,
     "m.gguf is not a model: it starts with \"PK\\x03\\x04\"; name a .gguf or "
     ".safetensors file"},
    {"magic alone", make_magic_alone, GOV_E_FORMAT, TORN("4")},
    {"version 0", make_version_0, GOV_E_UNSUPPORTED,
     "model m.gguf is of GGUF version 0, and versions 2 and 3 are read; "
     "convert it with a current llama.cpp"},
    {"version 1", make_version_1, GOV_E_UNSUPPORTED,
     "model m.gguf is of GGUF version 1, and versions 2 and 3 are read; "
     "convert it with a current llama.cpp"},
    {"version 4", make_version_4, GOV_E_UNSUPPORTED,
     "model m.gguf is of GGUF version 4, and versions 2 and 3 are read; "
     "convert it with a current llama.cpp"},
    {"big-endian", make_big_endian, GOV_E_UNSUPPORTED,
     "model m.gguf is a big-endian GGUF file, which is not read; use the "
     "little-endian one"},
    {"no tensors", make_no_tensors, GOV_E_FORMAT,
     "m.gguf has no tensors and so is not a model; name a file with weights"},
    {"too many tensors", make_too_many_tensors, GOV_E_FORMAT,
     DAMAGED("it claims 200 tensors")},
    {"many tensors", make_many_tensors, GOV_E_FORMAT,
     DAMAGED("it claims 262145 tensors")},
    {"huge tensor count", make_huge_tensor_count, GOV_E_FORMAT,
     DAMAGED("it claims 18446744073709551615 tensors")},
    {"one tensor more", make_one_tensor_more, GOV_E_FORMAT,
     DAMAGED("a tensor's name has 0 bytes")},
    {"huge key count", make_huge_key_count, GOV_E_FORMAT,
     DAMAGED("it claims 18446744073709551615 keys")},
    {"long key", make_long_key, GOV_E_FORMAT, TORN("32")},
    {"long text", make_long_text, GOV_E_FORMAT, TORN("64")},
    {"huge array", make_huge_array, GOV_E_FORMAT, TORN("64")},
    {"long array", make_long_array, GOV_E_FORMAT, TORN("64")},
    {"long text array", make_long_text_array, GOV_E_FORMAT, TORN("64")},
    {"nested array", make_nested_array, GOV_E_UNSUPPORTED,
     "model m.gguf has an array of arrays at key \"some.array\", which is not "
     "read; convert it with a current llama.cpp"},
    {"value type", make_value_type, GOV_E_FORMAT,
     DAMAGED("key \"some.value\" has a value of no known type")},
    {"array value type", make_array_value_type, GOV_E_FORMAT,
     DAMAGED("key \"some.array\" has a value of no known type")},
    {"key twice", make_key_twice, GOV_E_FORMAT,
     DAMAGED("key \"llama.block_count\" comes twice")},
    {"architecture twice", make_architecture_twice, GOV_E_FORMAT,
     DAMAGED("key \"general.architecture\" comes twice")},
    {"architecture a number", make_architecture_number, GOV_E_FORMAT,
     DAMAGED("key \"general.architecture\" is no text")},
    {"architecture long", make_architecture_long, GOV_E_FORMAT,
     DAMAGED("key \"general.architecture\" is no name of an architecture")},
    {"an adapter", make_adapter, GOV_E_UNSUPPORTED,
     "m.gguf is an adapter (LoRA) and no model; name the model that it is "
     "for"},
    {"name a number", make_name_number, GOV_E_FORMAT,
     DAMAGED("key \"general.name\" is no text")},
    {"alignment 0", make_alignment_0, GOV_E_FORMAT,
     DAMAGED("key \"general.alignment\" is no power of two")},
    {"alignment 48", make_alignment_48, GOV_E_FORMAT,
     DAMAGED("key \"general.alignment\" is no power of two")},
    {"alignment text", make_alignment_text, GOV_E_FORMAT,
     DAMAGED("key \"general.alignment\" is no whole number of 32 bits")},
    {"alignment negative", make_alignment_negative, GOV_E_FORMAT,
     DAMAGED("key \"general.alignment\" is negative")},
    {"split", make_split, GOV_E_FORMAT,
     "model m.gguf is part 1 of 3, and its name does not end in "
     "-00001-of-00003.gguf, so that the others are not found; rename it"},
    {"513 layers", make_513_layers, GOV_E_UNSUPPORTED,
     "model m.gguf has 513 layers, more than the 512 that engines run; name "
     "another model"},
    {"no name", make_no_name, GOV_E_FORMAT,
     DAMAGED("a tensor's name has 0 bytes")},
    {"long name", make_long_name, GOV_E_FORMAT,
     DAMAGED("a tensor's name has 256 bytes")},
    {"escape in name", make_escape_in_name, GOV_E_FORMAT,
     DAMAGED("a tensor's name is \"a\\x1B[2Jb\"")},
    {"DEL in name", make_del_in_name, GOV_E_FORMAT,
     DAMAGED("a tensor's name is \"a\\x7F\"")},
    {"NUL in name", make_nul_in_name, GOV_E_FORMAT,
     DAMAGED("a tensor's name is \"a\\x00b\"")},
    {"5 dimensions", make_5_dimensions, GOV_E_FORMAT,
     DAMAGED("tensor \"t\" has more than 4 dimensions")},
    {"many elements", make_many_elements, GOV_E_FORMAT,
     DAMAGED("tensor \"t\" is larger than any memory")},
    {"many bytes", make_many_bytes, GOV_E_FORMAT,
     DAMAGED("tensor \"t\" is larger than any memory")},
    {"negative dimension", make_negative_dimension, GOV_E_FORMAT,
     DAMAGED("tensor \"t\" is larger than any memory")},
    {"unknown type", make_unknown_type, GOV_E_UNSUPPORTED,
     "model m.gguf has tensor \"t\" of type 43, which is not read; quantize it "
     "again with a current llama.cpp"},
    {"withdrawn type", make_withdrawn_type, GOV_E_UNSUPPORTED,
     "model m.gguf has tensor \"t\" of type 31, Q4_0_4_4, which is not read; "
     "quantize it again with a current llama.cpp"},
    {"odd row", make_odd_row, GOV_E_FORMAT,
     DAMAGED("tensor \"t\" has rows that are no whole number of blocks")},
    {"misaligned", make_misaligned, GOV_E_FORMAT,
     DAMAGED("tensor \"t\" is not aligned")},
    {"offset wraps", make_offset_wraps, GOV_E_FORMAT,
     DAMAGED("tensor \"t\" lies behind any file's end")},
    {"offset behind", make_offset_behind, GOV_E_FORMAT,
     "model m.gguf is truncated: tensor \"t\" ends at byte 4224 of 4192; "
     "download it again"},
    {"overlap", make_overlap, GOV_E_FORMAT,
     DAMAGED("tensors \"a\" and \"c\" overlap")},
    {"overlap whole", make_overlap_whole, GOV_E_FORMAT,
     DAMAGED("tensors \"a\" and \"c\" overlap")},
    {"name twice", make_name_twice, GOV_E_FORMAT,
     DAMAGED("tensor \"same\" comes twice")},
    {"no weights", make_no_weights, GOV_E_FORMAT,
     "m.gguf has no weights and so is not a model; name a file with weights"},
    {"endless header", make_endless_header, GOV_E_FORMAT,
     "model m.gguf has a header of more than 128 MiB, which no model needs; "
     "download it again"},
};

START_TEST(refuses_hostile)
{
    struct gguf_writer w;
    gov_model *model = NULL;
    gov_error err = {0};
    gov_status status;

    hostile[_i].make(&w);
    gguf_save(&w, path, w.file_bytes);
    status = gov_model_open(&model, path, faults_alloc(), &err);
    gguf_free(&w);
    ck_assert_msg(status == hostile[_i].status, "%s: got %d (%s)",
                  hostile[_i].name, (int)status, err.message);
    ck_assert_str_eq(err.message, hostile[_i].message);
    ck_assert_int_eq(err.status, status);
    ck_assert_ptr_null(model);
}
END_TEST

/* ---- right, though unusual --------------------------------------------------- */

static gov_model *open_good(struct gguf_writer *w)
{
    gov_model *model = NULL;
    gov_error err = {0};
    gov_status status;

    gguf_save(w, path, w->file_bytes);
    gguf_free(w);
    status = gov_model_open(&model, path, faults_alloc(), &err);
    ck_assert_msg(status == GOV_OK, "%s", err.message);
    return model;
}

START_TEST(reads_good)
{
    const struct gov_tensor *tensors;
    struct gguf_writer w;
    uint64_t device, inode, bytes, data;
    struct stat st;
    gov_model *model;
    size_t count;

    good(&w);
    data = w.bytes;
    bytes = w.file_bytes;
    model = open_good(&w);
    ck_assert_str_eq(gov_model_path(model), path);
    ck_assert_str_eq(gov_model_name(model), "");
    tensors = gov_model_tensors(model, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(tensors[1].name, "blk.0.attn_q.weight");
    ck_assert_str_eq(tensors[1].type, "Q4_0");
    ck_assert_uint_eq(tensors[1].dims, 2);
    ck_assert_uint_eq(tensors[1].shape[0], 32);
    ck_assert_uint_eq(tensors[1].shape[1], 32);
    ck_assert_uint_eq(tensors[1].shape[2], 1);
    ck_assert_uint_eq(tensors[1].file_offset, data + 1024);
    ck_assert_uint_eq(tensors[1].bytes, 576);
    ck_assert_uint_eq(tensors[2].dims, 1);
    ck_assert_int_eq(stat(path, &st), 0);
    gov_model_identity(model, &device, &inode, &w.next);
    ck_assert_uint_eq(device, (uint64_t)st.st_dev);
    ck_assert_uint_eq(inode, (uint64_t)st.st_ino);
    ck_assert_uint_eq(w.next, bytes);
    gov_model_identity(model, NULL, NULL, NULL);
    gov_model_close(model);
    gov_model_close(NULL);
}
END_TEST

START_TEST(reads_version_2)
{
    struct gguf_writer w;

    version(&w, 2);
    gov_model_close(open_good(&w));
}
END_TEST

/* An offset counts from where the header's end is aligned to. */
START_TEST(honours_alignment)
{
    const struct gov_tensor *tensors;
    struct gguf_writer w;
    gov_model *model;
    size_t count;

    gguf_begin(&w);
    w.align = 4096;
    gguf_key_u32(&w, "general.alignment", 4096);
    gguf_add(&w, "a", T_F32, 8, 0);
    gguf_add(&w, "b", T_F32, 8, 0);
    gguf_finish(&w);
    model = open_good(&w);
    tensors = gov_model_tensors(model, &count);
    ck_assert_uint_eq(tensors[0].file_offset, 4096);
    ck_assert_uint_eq(tensors[1].file_offset, 8192);
    gov_model_close(model);
}
END_TEST

/* Neighbours that touch do not overlap. */
START_TEST(reads_neighbours)
{
    struct gguf_writer w;

    three(&w, 100, 200, 132);
    gov_model_close(open_good(&w));
}
END_TEST

/* Gaps, any order, a file that is longer than it needs to be, a tensor without
 * dimensions and one without elements. */
START_TEST(reads_odd_layout)
{
    const uint64_t shape[4] = {8, 0, 0, 0};
    const struct gov_tensor *tensors;
    struct gguf_writer w;
    gov_model *model;
    size_t count;

    gguf_begin(&w);
    gguf_tensor(&w, "late", T_F32, shape, 4096);
    gguf_tensor(&w, "early", T_F32, shape, 64);
    gguf_text(&w, "scalar");
    gguf_u32(&w, 0);
    gguf_u32(&w, T_F32);
    gguf_u64(&w, 0);
    gguf_text(&w, "nothing");
    gguf_u32(&w, 2);
    gguf_u64(&w, 32);
    gguf_u64(&w, 0);
    gguf_u32(&w, T_F32);
    gguf_u64(&w, 64);
    w.tensors += 2;
    w.next = 100000;
    gguf_finish(&w);
    model = open_good(&w);
    tensors = gov_model_tensors(model, &count);
    ck_assert_uint_eq(count, 4);
    ck_assert_uint_eq(tensors[0].bytes, 32);
    ck_assert_uint_eq(tensors[2].bytes, 4);
    ck_assert_uint_eq(tensors[2].dims, 0);
    ck_assert_uint_eq(tensors[3].bytes, 0);
    gov_model_close(model);
}
END_TEST

/* Names are kept in blocks: one that misses fitting by its NUL begins another. */
START_TEST(fills_blocks_of_names)
{
    const struct gov_tensor *tensors;
    struct gguf_writer w;
    gov_model *model;
    char name[32];
    size_t count;

    gguf_begin(&w);
    gguf_add(&w, "sixteen_letters_", T_F32, 1, 0);
    for (int i = 1; i < 1200; i++) {
        snprintf(name, sizeof(name), "fifteen____%04d", i);
        gguf_add(&w, name, T_F32, 1, 0);
    }
    gguf_finish(&w);
    model = open_good(&w);
    tensors = gov_model_tensors(model, &count);
    ck_assert_uint_eq(count, 1200);
    ck_assert_str_eq(tensors[0].name, "sixteen_letters_");
    for (size_t i = 1; i < count; i++) {
        snprintf(name, sizeof(name), "fifteen____%04d", (int)i);
        ck_assert_str_eq(tensors[i].name, name);
    }
    gov_model_close(model);
}
END_TEST

/* Values of every type are passed over at their right width. */
START_TEST(skips_every_type)
{
    static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    static const uint8_t zeros[64];
    struct gguf_writer w;

    gguf_begin(&w);
    for (uint32_t type = 0; type < 13; type++) {
        if (type == GGUF_ARRAY)
            continue;
        gguf_key(&w, "x", type);
        if (type == GGUF_TEXT)
            gguf_text(&w, "some text");
        gguf_raw(&w, zeros, width[type]);
        gguf_key(&w, "y", GGUF_ARRAY);
        gguf_u32(&w, type);
        gguf_u64(&w, 5);
        for (int i = 0; i < 5; i++) {
            if (type == GGUF_TEXT)
                gguf_text(&w, "more");
            gguf_raw(&w, zeros, width[type]);
        }
    }
    /* The end is found: the key behind them all is read. */
    gguf_key_text(&w, "general.name", "found");
    gguf_add(&w, "t", T_F32, 8, 0);
    gguf_finish(&w);
    gov_model *model = open_good(&w);
    ck_assert_str_eq(gov_model_name(model), "found");
    gov_model_close(model);
}
END_TEST

/* Keys that are nobody's may be of any length, hold any byte, come twice. */
START_TEST(skips_odd_keys)
{
    char key[300];
    struct gguf_writer w;
    gov_model *model;

    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    gguf_begin(&w);
    for (size_t n = 120; n < 140; n++) /* around the reader's own limit */
        gguf_key_u32(&w, key + sizeof(key) - 1 - n, 1);
    gguf_key_u32(&w, key, 1);
    gguf_key_u32(&w, key, 1);
    gguf_key_u32(&w, "", 1);
    gguf_u64(&w, 14);
    gguf_raw(&w, "general.name\0x", 14);
    gguf_u32(&w, GGUF_U32);
    gguf_u32(&w, 7);
    w.keys++;
    gguf_key_text(&w, "general.name", "a\tb\377 \xC3\xA9 \xC2\x85");
    gguf_add(&w, "t", T_F32, 8, 0);
    gguf_finish(&w);
    model = open_good(&w);
    ck_assert_str_eq(gov_model_name(model), "a\\x09b\\xFF \xC3\xA9 \\xC2\\x85");
    gov_model_close(model);
}
END_TEST

/* ---- what is no file of its own ---------------------------------------------- */

static const char *opens_as(const char *at, gov_status want)
{
    static gov_error err;
    gov_model *model = NULL;
    gov_status status;

    memset(&err, 0, sizeof(err));
    status = gov_model_open(&model, at, faults_alloc(), &err);
    ck_assert_msg(status == want, "%s: got %d (%s)", at != NULL ? at : "NULL",
                  (int)status, err.message);
    ck_assert_ptr_null(model);
    return err.message;
}

START_TEST(refuses_what_is_no_file)
{
    char at[600], want[700];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    snprintf(at, sizeof(at), "%s/none", fresh_directory());
    snprintf(want, sizeof(want),
             "cannot open model %s: No such file or directory", at);
    ck_assert_str_eq(opens_as(at, GOV_E_NOT_FOUND), want);

    snprintf(at, sizeof(at), "%s/pipe", fresh_directory());
    ck_assert_int_eq(mkfifo(at, 0600), 0);
    snprintf(
        want, sizeof(want),
        "cannot read model %s: it is a pipe; name a .gguf or .safetensors file",
        at);
    ck_assert_str_eq(opens_as(at, GOV_E_FORMAT), want);

    ck_assert_str_eq(
        opens_as("/dev/null", GOV_E_FORMAT),
        "cannot read model /dev/null: it is a device; name a .gguf or "
        ".safetensors file");

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket",
             fresh_directory());
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    opens_as(address.sun_path, GOV_E_IO);
    close(fd);

    ck_assert_str_eq(
        opens_as(NULL, GOV_E_INVALID),
        "no model is named; give the path of a .gguf or .safetensors file");
    opens_as("", GOV_E_INVALID);
    ck_assert_int_eq(gov_model_open(NULL, "x", NULL, NULL), GOV_E_INVALID);
}
END_TEST

START_TEST(refuses_what_is_forbidden)
{
    char want[700];
    struct gguf_writer w;

    if (geteuid() == 0) {
        faults_set_errno(EACCES);
        faults_only("open");
        faults_arm(0, true);
    } else {
        good(&w);
        gguf_save(&w, path, w.file_bytes);
        gguf_free(&w);
        ck_assert_int_eq(chmod(path, 0), 0);
    }
    snprintf(want, sizeof(want), "cannot open model %s: Permission denied",
             path);
    ck_assert_str_eq(opens_as(path, GOV_E_PERMISSION), want);
}
END_TEST

static void opens_as_format(const char *at, const char *format)
{
    struct gov_facts facts = {0};
    gov_model *model = NULL;
    gov_error err = {0};

    ck_assert_msg(gov_model_open(&model, at, faults_alloc(), &err) == GOV_OK,
                  "%s", err.message);
    gov_model_facts(model, &facts);
    ck_assert_str_eq(facts.value[GOV_FACT_MODEL_FORMAT].text, format);
    gov_model_close(model);
}

/* What is in a file decides how it is read. */
START_TEST(minds_no_wrong_name)
{
    static const char start[] = "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],"
                                "\"data_offsets\":[0,8]}}";
    char at[600];
    struct gguf_writer w;

    good(&w);
    snprintf(at, sizeof(at), "%s.safetensors", path);
    gguf_save(&w, at, w.file_bytes);
    gguf_free(&w);
    opens_as_format(at, "gguf");

    memset(&w, 0, sizeof(w));
    gguf_u64(&w, sizeof(start) - 1);
    gguf_raw(&w, start, sizeof(start) - 1);
    gguf_save(&w, path, w.bytes + 8);
    gguf_free(&w);
    opens_as_format(path, "safetensors");
}
END_TEST

/* A caller's path goes to a screen too, and may be longer than a message. */
START_TEST(shows_paths_safely)
{
    char at[3000];
    const char *message;

    ck_assert_str_eq(
        opens_as("/none/\033[2J/m", GOV_E_NOT_FOUND),
        "cannot open model /none/\\x1B[2J/m: No such file or directory");
    memset(at, 'x', sizeof(at));
    for (size_t i = 0; i < sizeof(at); i += 100)
        at[i] = '/';
    memcpy(at + sizeof(at) - 8, "/end.gg", 8);
    message = opens_as(at, GOV_E_NOT_FOUND);
    ck_assert_ptr_nonnull(
        strstr(message, "xx/end.gg: No such file or directory"));
    ck_assert_ptr_eq(strstr(message, "cannot open model ...xx"), message);
}
END_TEST

/* ---- in parts ----------------------------------------------------------------- */

/* The path of that part, from 0, in the directory of this test. */
static const char *part_path(unsigned number, unsigned count)
{
    static char at[600];

    snprintf(at, sizeof(at), "%.*s/m-%05u-of-%05u.gguf",
             (int)(strrchr(path, '/') - path), path, number + 1, count);
    return at;
}

static void save_part(struct gguf_writer *w, unsigned number, unsigned count)
{
    gguf_finish(w);
    gguf_save(w, part_path(number, count), w->file_bytes);
    gguf_free(w);
}

/* What is in part 0 alone. */
static void begin_first(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_key_text(w, "general.name", "in parts");
    gguf_key_u32(w, "llama.block_count", 2);
    gguf_key_texts(w, "tokenizer.ggml.tokens", 5);
}

/* A model of 4 tensors in 3 parts; the last has keys of its own that nobody
 * asks, and another alignment. */
static void save_parts(void)
{
    struct gguf_writer w;

    begin_first(&w);
    gguf_key_split(&w, 0, 3, 4);
    gguf_add(&w, "token_embd.weight", T_F32, 32, 5);
    save_part(&w, 0, 3);

    gguf_begin(&w);
    gguf_key_split(&w, 1, 3, 4);
    gguf_add(&w, "blk.0.attn_q.weight", T_Q4_0, 32, 32);
    gguf_add(&w, "blk.0.attn_k.weight", T_Q4_0, 32, 32);
    save_part(&w, 1, 3);

    gguf_begin(&w);
    gguf_key_split(&w, 2, 3, 4);
    w.align = 128;
    gguf_key_text(&w, "general.architecture", "other");
    gguf_key_text(&w, "general.name", "another");
    gguf_key_u32(&w, "llama.block_count", 99);
    gguf_key_u32(&w, "general.alignment", 128);
    gguf_add(&w, "blk.1.attn_q.weight", T_Q4_0, 32, 32);
    save_part(&w, 2, 3);
}

START_TEST(reads_parts)
{
    static const struct {
        const char *name;
        uint32_t file;
    } want[] = {{"token_embd.weight", 0},
                {"blk.0.attn_q.weight", 1},
                {"blk.0.attn_k.weight", 1},
                {"blk.1.attn_q.weight", 2}};
    uint64_t device, inode, bytes;
    struct gov__header header;
    gov_error err = {0};
    struct stat st;

    save_parts();
    ck_assert_msg(gov__gguf_open(&header, part_path((unsigned)_i, 3),
                                 faults_alloc(), &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_str_eq(header.name, "in parts");
    ck_assert_str_eq(header.architecture, "llama");
    ck_assert_uint_eq(gov__header_single(&header, GOV__KEY_BLOCKS), 2);
    ck_assert_uint_eq(header.vocabulary_tokens, 5);
    ck_assert_uint_eq(header.count, 4);
    for (size_t i = 0; i < header.count; i++) {
        ck_assert_str_eq(header.tensors[i].name, want[i].name);
        ck_assert_uint_eq(header.tensors[i].file, want[i].file);
        ck_assert_uint_eq(header.places[i].file, want[i].file);
        ck_assert_uint_eq(
            header.tensors[i].file_offset % (want[i].file == 2 ? 128 : 32), 0);
    }
    ck_assert_uint_eq(header.file_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_str_eq(header.files[i].path, part_path(i, 3));
        ck_assert_int_eq(stat(part_path(i, 3), &st), 0);
        ck_assert_uint_eq(header.files[i].device, (uint64_t)st.st_dev);
        ck_assert_uint_eq(header.files[i].inode, (uint64_t)st.st_ino);
        ck_assert_uint_eq(header.files[i].bytes, (uint64_t)st.st_size);
    }
    gov__header_fini(&header);

    gov_model *model = NULL;
    ck_assert_int_eq(gov_model_open(&model, part_path((unsigned)_i, 3),
                                    faults_alloc(), &err),
                     GOV_OK);
    ck_assert_str_eq(gov_model_path(model), part_path((unsigned)_i, 3));
    gov_model_identity(model, &device, &inode, &bytes);
    ck_assert_int_eq(stat(part_path(0, 3), &st), 0);
    ck_assert_uint_eq(inode, (uint64_t)st.st_ino);
    gov_model_close(model);
}
END_TEST

/* --no-tensor-first-split; and more parts than a first guess has room for. */
/* No part says how many tensors all have. */
START_TEST(reads_parts_without_a_sum)
{
    gov_model *model;
    size_t tensors;

    for (unsigned i = 0; i < 2; i++) {
        struct gguf_writer w;

        gguf_begin(&w);
        gguf_key_u32(&w, "split.no", i);
        gguf_key_u32(&w, "split.count", 2);
        gguf_add(&w, i == 0 ? "token_embd.weight" : "output.weight", T_F32, 32,
                 5);
        save_part(&w, i, 2);
    }
    ck_assert_int_eq(gov_model_open(&model, part_path(1, 2), NULL, NULL),
                     GOV_OK);
    gov_model_tensors(model, &tensors);
    ck_assert_uint_eq(tensors, 2);
    gov_model_close(model);
}
END_TEST

START_TEST(reads_many_parts)
{
    gov_model *model = NULL;
    const struct gov_tensor *tensors;
    struct gguf_writer w;
    gov_error err = {0};
    size_t files, count;

    begin_first(&w);
    gguf_key_split(&w, 0, 101, 100);
    save_part(&w, 0, 101);
    for (unsigned i = 1; i < 101; i++) {
        char name[64];

        gguf_begin(&w);
        gguf_key_split(&w, (uint16_t)i, 101, 100);
        snprintf(name, sizeof(name), "blk.%u.attn_q.weight", i - 1);
        gguf_add(&w, name, T_F32, 8, 0);
        save_part(&w, i, 101);
    }
    ck_assert_msg(gov_model_open(&model, part_path(100, 101), faults_alloc(),
                                 &err) == GOV_OK,
                  "%s", err.message);
    gov_model_files(model, &files);
    tensors = gov_model_tensors(model, &count);
    ck_assert_uint_eq(files, 101);
    ck_assert_uint_eq(count, 100);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(tensors[i].file, i + 1);
    gov_model_close(model);
}
END_TEST

/* One part of one is a whole, whatever its name. */
START_TEST(reads_one_part)
{
    struct gguf_writer w;

    begin_first(&w);
    gguf_key_split(&w, 0, (uint16_t)_i, 1);
    gguf_add(&w, "token_embd.weight", T_F32, 32, 5);
    gguf_finish(&w);
    gov_model_close(open_good(&w));
}
END_TEST

static void replace_part(unsigned number, unsigned says, unsigned of,
                         uint32_t tensors, const char *tensor)
{
    struct gguf_writer w;

    save_parts();
    gguf_begin(&w);
    gguf_key_split(&w, (uint16_t)says, (uint16_t)of, tensors);
    gguf_add(&w, tensor, T_Q4_0, 32, 32);
    save_part(&w, number, 3);
}

static const char *missing_part(void)
{
    save_parts();
    ck_assert_int_eq(unlink(part_path(2, 3)), 0);
    return part_path(1, 3);
}

static const char *missing_first(void)
{
    save_parts();
    ck_assert_int_eq(unlink(part_path(0, 3)), 0);
    return part_path(1, 3);
}

static const char *no_parts(void)
{
    return part_path(1, 3);
}

static const char *part_is_directory(void)
{
    missing_part();
    ck_assert_int_eq(mkdir(part_path(2, 3), 0700), 0);
    return part_path(0, 3);
}

static const char *part_is_torn(void)
{
    save_parts();
    ck_assert_int_eq(truncate(part_path(2, 3), 100), 0);
    return part_path(0, 3);
}

static const char *part_of_other_number(void)
{
    replace_part(2, 1, 3, 4, "blk.1.attn_q.weight");
    return part_path(0, 3);
}

static const char *part_of_other_count(void)
{
    replace_part(1, 1, 2, 4, "blk.1.attn_q.weight");
    return part_path(2, 3);
}

static const char *part_of_other_model(void)
{
    replace_part(1, 1, 3, 40, "blk.1.attn_q.weight");
    return part_path(0, 3);
}

static const char *part_of_nothing(void)
{
    struct gguf_writer w;

    save_parts();
    good(&w);
    save_part(&w, 1, 3);
    return part_path(0, 3);
}

static const char *first_not_numbered(void)
{
    struct gguf_writer w;

    save_parts();
    gguf_begin(&w);
    gguf_key_u32(&w, "split.count", 3);
    gguf_key_u32(&w, "split.tensors.count", 4);
    gguf_add(&w, "token_embd.weight", T_F32, 32, 5);
    save_part(&w, 0, 3);
    return part_path(1, 3);
}

static const char *fewer_tensors(void)
{
    replace_part(1, 1, 3, 4, "blk.0.attn_q.weight");
    return part_path(0, 3);
}

static const char *tensor_in_two(void)
{
    replace_part(2, 2, 3, 4, "token_embd.weight");
    return part_path(0, 3);
}

/* All parts together have a limit. */
static const char *tensors_over_parts(void)
{
    struct gguf_writer w;

    save_parts();
    gguf_begin(&w);
    gguf_key_split(&w, 1, 3, 4);
    gguf_finish(&w);
    w.data[8] = 0; /* 262144 tensors, and one is there already */
    w.data[10] = 4;
    gguf_save(&w, part_path(1, 3), 8 * 1024 * 1024);
    gguf_free(&w);
    return part_path(0, 3);
}

static const char *no_tensors_in_any(void)
{
    struct gguf_writer w;

    for (unsigned i = 0; i < 2; i++) {
        gguf_begin(&w);
        gguf_key_split(&w, (uint16_t)i, 2, 0);
        save_part(&w, i, 2);
    }
    return part_path(0, 2);
}

static const char *odd_name(void)
{
    save_parts();
    ck_assert_int_eq(rename(part_path(1, 3), path), 0);
    return path;
}

static const char *name_of_another(void)
{
    char from[600];

    save_parts();
    snprintf(from, sizeof(from), "%s", part_path(1, 3));
    ck_assert_int_eq(rename(from, part_path(0, 3)), 0);
    return part_path(0, 3);
}

/* So short that there is no name before the numbers. */
static const char *no_prefix(void)
{
    save_parts();
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(chdir(path), 0);
    ck_assert_int_eq(rename("m-00001-of-00003.gguf", "-00001-of-00003.gguf"),
                     0);
    return "-00001-of-00003.gguf";
}

static const char *claim(uint32_t number, uint32_t count)
{
    struct gguf_writer w;

    gguf_begin(&w);
    if (number != UINT32_MAX)
        gguf_key_u32(&w, "split.no", number);
    gguf_key_u32(&w, "split.count", count);
    gguf_add(&w, "token_embd.weight", T_F32, 32, 5);
    gguf_finish(&w);
    gguf_save(&w, path, w.file_bytes);
    gguf_free(&w);
    return path;
}

static const char *too_many_parts(void)
{
    return claim(0, 65536);
}

static const char *number_too_large(void)
{
    return claim(3, 3);
}

static const char *no_number(void)
{
    return claim(UINT32_MAX, 3);
}

static const char *many_parts_missing(void)
{
    static char at[600];

    snprintf(at, sizeof(at), "%s", part_path(0, 65535));
    claim(0, 65535);
    ck_assert_int_eq(rename(path, at), 0);
    return at;
}

#define P(number) "m-0000" number "-of-00003.gguf"

static const struct {
    const char *name;
    const char *(*make)(void); /* and the path to open */
    gov_status status;
    const char *message;
} torn_apart[] = {
    {"missing part", missing_part, GOV_E_NOT_FOUND,
     "model " P("2") " is part 2 of 3, and " P("3") " is not there; download "
                                                    "it to the same directory"},
    {"missing first", missing_first, GOV_E_NOT_FOUND,
     "model " P("2") " is part 2 of 3, and " P("1") " is not there; download "
                                                    "it to the same directory"},
    {"no parts", no_parts, GOV_E_NOT_FOUND, NULL},
    {"a directory", part_is_directory, GOV_E_FORMAT, NULL},
    {"torn", part_is_torn, GOV_E_FORMAT,
     "model " P("3") " is truncated: its header does not end within the 100 "
                     "bytes of the file; download it again"},
    {"of another number", part_of_other_number, GOV_E_FORMAT,
     P("3") " is not part 3 of the model that " P("1") " is part 1 of; "
                                                       "download both again"},
    {"of another count", part_of_other_count, GOV_E_FORMAT,
     P("2") " is not part 2 of the model that " P("3") " is part 3 of; "
                                                       "download both again"},
    {"of another model", part_of_other_model, GOV_E_FORMAT,
     P("2") " is not part 2 of the model that " P("1") " is part 1 of; "
                                                       "download both again"},
    {"of nothing", part_of_nothing, GOV_E_FORMAT,
     P("2") " is not part 2 of the model that " P("1") " is part 1 of; "
                                                       "download both again"},
    {"first not numbered", first_not_numbered, GOV_E_FORMAT,
     P("1") " is not part 1 of the model that " P("2") " is part 2 of; "
                                                       "download both again"},
    {"fewer tensors", fewer_tensors, GOV_E_FORMAT,
     "model " P("1") " is damaged: its parts have 3 tensors instead of 4; "
                     "download it again"},
    {"a tensor in two", tensor_in_two, GOV_E_FORMAT,
     "model " P("1") " is damaged: tensor \"token_embd.weight\" comes twice; "
                     "download it again"},
    {"tensors over parts", tensors_over_parts, GOV_E_FORMAT,
     "model " P("2") " is damaged: it claims 262144 tensors; download it "
                     "again"},
    {"no tensors in any", no_tensors_in_any, GOV_E_FORMAT,
     "m-00001-of-00002.gguf has no tensors and so is not a model; name a file "
     "with weights"},
    {"odd name", odd_name, GOV_E_FORMAT,
     "model m.gguf is part 2 of 3, and its name does not end in "
     "-00002-of-00003.gguf, so that the others are not found; rename it"},
    {"name of another", name_of_another, GOV_E_FORMAT,
     "model " P("1") " is part 2 of 3, and its name does not end in "
                     "-00002-of-00003.gguf, so that the others are not found; "
                     "rename it"},
    {"no prefix", no_prefix, GOV_E_FORMAT,
     "model -00001-of-00003.gguf is part 1 of 3, and its name does not end in "
     "-00001-of-00003.gguf, so that the others are not found; rename it"},
    {"too many parts", too_many_parts, GOV_E_FORMAT,
     DAMAGED("it says that it is part 1 of 65536")},
    {"number too large", number_too_large, GOV_E_FORMAT,
     DAMAGED("it says that it is part 4 of 3")},
    {"no number", no_number, GOV_E_FORMAT,
     DAMAGED("it says that it is one of 3 parts, but not which")},
    {"many parts missing", many_parts_missing, GOV_E_NOT_FOUND,
     "model m-00001-of-65535.gguf is part 1 of 65535, and "
     "m-00002-of-65535.gguf is not there; download it to the same directory"},
};

START_TEST(refuses_torn_apart)
{
    int descriptors = faults_open_descriptors();
    const char *at = torn_apart[_i].make();
    const char *message = opens_as(at, torn_apart[_i].status);

    if (torn_apart[_i].message != NULL)
        ck_assert_str_eq(message, torn_apart[_i].message);
    else
        ck_assert_ptr_nonnull(strstr(message, "-of-00003.gguf"));
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
}
END_TEST

/* ---- every byte, every length ------------------------------------------------ */

/* Of this process, so that a busy machine makes nothing slow. */
static uint64_t cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void within_the_file(int fd, uint64_t offset, size_t bytes)
{
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_msg(bytes <= (uint64_t)st.st_size &&
                      offset <= (uint64_t)st.st_size - bytes,
                  "reads %zu bytes at %" PRIu64 " of %" PRIu64, bytes, offset,
                  (uint64_t)st.st_size);
}

static void ask_everything(const gov_model *model)
{
    struct gov_need_request request = gov_need_request_default();
    const struct gov_model_file *files;
    const struct gov_tensor *tensor;
    const struct gov_unit *unit;
    struct gov_facts facts = {0};
    struct gov_need need;
    gov_error err = {0};
    size_t units, tensors, count;

    files = gov_model_files(model, &count);
    unit = gov_model_units(model, &units);
    tensor = gov_model_tensors(model, &tensors);
    for (size_t i = 0; i < units; i++)
        ck_assert(unit[i].file < count && unit[i].bytes > 0 &&
                  unit[i].bytes <= files[unit[i].file].bytes &&
                  unit[i].file_offset <=
                      files[unit[i].file].bytes - unit[i].bytes);
    for (size_t i = 0; i < tensors; i++)
        ck_assert(tensor[i].unit < units && tensor[i].file < count);
    gov_model_facts(model, &facts);
    request.context = 4096;
    if (gov_model_need(model, &request, &need, &err) != GOV_OK)
        ck_assert_str_ne(err.message, "");
}

/* Opens a file and holds the outcome to what is promised of any. */
static gov_status survives(const char *at, const char *what, size_t n)
{
    gov_error err = {0};
    gov_model *model = NULL;
    uint64_t start = cpu_us();
    gov_status status;

    faults_watch_pread(within_the_file);
    status = gov_model_open(&model, at, faults_alloc(), &err);
    faults_watch_pread(NULL);
    if (status == GOV_OK)
        ask_everything(model);
    else
        ck_assert_msg(err.message[0] != '\0', "%s %zu: mute", what, n);
    gov_model_close(model);
    ck_assert_msg(faults_live_blocks() == 0, "%s %zu: leaks", what, n);
    ck_assert_msg(cpu_us() - start < 100000, "%s %zu: slow", what, n);
    return status;
}

/* A value of each type that is kept, and of some that are not. */
static void all_sorts(struct gguf_writer *w)
{
    const uint32_t heads[3] = {4, 2, 0};

    gguf_begin(w);
    gguf_key_u32(w, "general.alignment", 8);
    w->align = 8;
    gguf_key(w, "llama.attention.causal", GGUF_BOOL);
    gguf_raw(w, "\1", 1);
    gguf_key_text(w, "general.name", "all sorts");
    gguf_key_text(w, "general.architecture", "llama"); /* read twice */
    gguf_key_u32s(w, "llama.attention.head_count_kv", heads, 3);
    gguf_key(w, "llama.context_length", GGUF_U64);
    gguf_u64(w, 512);
    gguf_tensor(w, "blk.0.ffn_up_exps.weight", T_Q8_0,
                (const uint64_t[4]){32, 2, 3, 0}, 0);
    w->next = 208;
    gguf_add(w, "v.blk.0.attn_q.weight", T_F16, 4, 4);
    gguf_finish(w);
}

static void first_of_two(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_key_u32(w, "llama.block_count", 1);
    gguf_key_split(w, 0, 2, 3);
    gguf_add(w, "token_embd.weight", T_F32, 32, 4);
    gguf_finish(w);
}

static void second_of_two(struct gguf_writer *w)
{
    gguf_begin(w);
    gguf_key_split(w, 1, 2, 3);
    gguf_add(w, "blk.0.attn_q.weight", T_Q4_0, 32, 32);
    gguf_add(w, "output.weight", T_Q4_0, 32, 4);
    gguf_finish(w);
}

/* What is changed and what is then opened. */
static const struct {
    const char *name;
    void (*make)(struct gguf_writer *w);
    int part, named; /* -1: no parts */
} shapes[] = {
    {"plain", good, -1, -1},
    {"all sorts", all_sorts, -1, -1},
    {"first part", first_of_two, 0, 0},
    {"first part, second named", first_of_two, 0, 1},
    {"second part, first named", second_of_two, 1, 0},
    {"second part", second_of_two, 1, 1},
};
#define SHAPES (int)(sizeof(shapes) / sizeof(shapes[0]))

/* Writes that shape's files; `changed` becomes the path of the one to change,
 * `named` of the one to open. */
static void save_shape(int shape, struct gguf_writer *w, char changed[600],
                       char named[600])
{
    snprintf(changed, 600, "%s", path);
    snprintf(named, 600, "%s", path);
    if (shapes[shape].part >= 0) {
        first_of_two(w);
        save_part(w, 0, 2);
        second_of_two(w);
        save_part(w, 1, 2);
        snprintf(changed, 600, "%s",
                 part_path((unsigned)shapes[shape].part, 2));
        snprintf(named, 600, "%s", part_path((unsigned)shapes[shape].named, 2));
    }
    shapes[shape].make(w);
    gguf_save(w, changed, w->file_bytes);
    ck_assert_msg(survives(named, shapes[shape].name, 0) == GOV_OK, "%s",
                  shapes[shape].name);
}

static void put_byte(int fd, size_t at, uint8_t byte)
{
    ck_assert_int_eq((int)pwrite(fd, &byte, 1, (off_t)at), 1);
}

/* Each bit of each byte, and the byte all zeros and all ones. */
START_TEST(survives_any_byte)
{
    char changed[600], named[600];
    int refused = 0, descriptors, fd;
    struct gguf_writer w;

    save_shape(_i, &w, changed, named);
    fd = open(changed, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    descriptors = faults_open_descriptors();
    for (size_t i = 0; i < w.bytes; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            put_byte(fd, i, w.data[i] ^ (uint8_t)(1u << bit));
            refused += survives(named, shapes[_i].name, i) != GOV_OK;
        }
        put_byte(fd, i, 0x00);
        survives(named, shapes[_i].name, i);
        put_byte(fd, i, 0xFF);
        survives(named, shapes[_i].name, i);
        put_byte(fd, i, w.data[i]);
    }
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    /* Lengths, types, offsets, magic: much of a header matters. */
    ck_assert_int_gt(refused, (int)w.bytes * 8 / 3);
    ck_assert_int_eq(survives(named, "unchanged", 0), GOV_OK);
    close(fd);
    gguf_free(&w);
}
END_TEST

START_TEST(survives_any_length)
{
    char changed[600], named[600];
    struct gguf_writer w;
    uint64_t read = 0;
    int fd;

    save_shape(_i, &w, changed, named);
    fd = open(changed, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    for (uint64_t n = w.file_bytes; n-- > 0;) {
        gov_status status;

        ck_assert_int_eq(ftruncate(fd, (off_t)n), 0);
        status = survives(named, shapes[_i].name, (size_t)n);
        ck_assert_msg(status == GOV_OK || status == GOV_E_FORMAT,
                      "%s: got %d at %" PRIu64 " bytes", shapes[_i].name,
                      (int)status, n);
        read += status == GOV_OK;
    }
    close(fd);
    /* Without the padding behind the last tensor. */
    ck_assert_uint_lt(read, w.align);
    gguf_free(&w);
}
END_TEST

/* ---- a system that fails ------------------------------------------------------ */

/* Enough tensors for several blocks of names. */
static void many(struct gguf_writer *w, unsigned tensors)
{
    gguf_begin(w);
    gguf_key_text(w, "general.architecture", "llama");
    gguf_key_texts(w, "tokenizer.ggml.tokens", 30000);
    for (unsigned i = 0; i < tensors; i++) {
        char name[64];

        snprintf(name, sizeof(name), "blk.%u.ffn_gate_%u.weight", i / 10, i);
        gguf_add(w, name, T_Q4_0, 32, 8);
    }
    gguf_finish(w);
}

/* The last part has so many tensors that room must be made for them. */
static void save_large_parts(void)
{
    struct gguf_writer w;

    begin_first(&w);
    gguf_key_split(&w, 0, 3, 401);
    gguf_add(&w, "token_embd.weight", T_F32, 32, 5);
    save_part(&w, 0, 3);
    for (unsigned part = 1; part < 3; part++) {
        gguf_begin(&w);
        gguf_key_split(&w, (uint16_t)part, 3, 401);
        for (unsigned i = 0; i < 200; i++) {
            char name[64];

            snprintf(name, sizeof(name), "blk.%u.ffn_gate_%u.weight", i / 10,
                     200 * part + i);
            gguf_add(&w, name, T_Q4_0, 32, 8);
        }
        save_part(&w, part, 3);
    }
}

/* One file; parts, the first of them named; the last. */
static const char *save_for_faults(int row)
{
    struct gguf_writer w;

    if (row > 0) {
        save_large_parts();
        return part_path(row == 1 ? 0 : 2, 3);
    }
    many(&w, 1000);
    gguf_save(&w, path, w.file_bytes);
    gguf_free(&w);
    return path;
}

START_TEST(survives_any_fault)
{
    const char *at = save_for_faults(_i / 2);
    gov_model *model = NULL;
    uint64_t calls;
    int descriptors;

    descriptors = faults_open_descriptors();
    faults_reset();
    ck_assert_int_eq(gov_model_open(&model, at, faults_alloc(), NULL), GOV_OK);
    calls = faults_count();
    gov_model_close(model);
    ck_assert_uint_gt(calls, 12);
    for (uint64_t n = 0; n < calls; n++) {
        gov_error err = {0};
        gov_status status;

        faults_reset();
        faults_arm(n, _i % 2 != 0);
        status = gov_model_open(&model, at, faults_alloc(), &err);
        ck_assert_msg(status == GOV_E_IO || status == GOV_E_NOMEM,
                      "%s, call %d: got %d", faults_last(), (int)n,
                      (int)status);
        ck_assert_int_eq(status == GOV_E_NOMEM,
                         strcmp(faults_last(), "alloc") == 0);
        ck_assert_ptr_null(model);
        ck_assert_msg(err.message[0] != '\0', "call %d is mute", (int)n);
        ck_assert_msg(faults_live_blocks() == 0, "call %d leaks", (int)n);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
    }
}
END_TEST

/* A signal is no failure. */
START_TEST(goes_on_after_a_signal)
{
    static const char *const calls[] = {"open", "pread"};
    gov_model *model = NULL;
    struct gguf_writer w;

    good(&w);
    gguf_save(&w, path, w.file_bytes);
    gguf_free(&w);
    faults_set_errno(EINTR);
    faults_only(calls[_i]);
    faults_arm(0, false);
    ck_assert_int_eq(gov_model_open(&model, path, NULL, NULL), GOV_OK);
    ck_assert_str_eq(faults_last(), calls[_i]);
    gov_model_close(model);
}
END_TEST

/* ---- a file that changes under the reader ------------------------------------- */

static unsigned preads;
static unsigned change_at; /* before which pread() */
static void (*change)(void);

static void change_before_pread(int fd, uint64_t offset, size_t bytes)
{
    (void)fd;
    (void)offset;
    (void)bytes;
    if (++preads == change_at)
        change();
}

static void cut_to_4(void)
{
    ck_assert_int_eq(truncate(path, 4), 0);
}

static void cut_to_100(void)
{
    ck_assert_int_eq(truncate(path, 100), 0);
}

static void cut_tensors(void)
{
    ck_assert_int_eq(truncate(path, 600000), 0);
}

static void append(void)
{
    FILE *file = fopen(path, "ab");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fputc('x', file), 'x');
    ck_assert_int_eq(fclose(file), 0);
}

static void touch(void)
{
    ck_assert_int_eq(
        utimensat(AT_FDCWD, path, (struct timespec[2]){{1, 0}, {1, 1}}, 0), 0);
}

static void touch_a_little(void)
{
    struct timespec times[2];
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    times[0] = times[1] = st.st_mtim;
    times[1].tv_nsec ^= 1;
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void write_zeros(void)
{
    static const char zeros[70000];
    int fd = open(path, O_WRONLY);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)pwrite(fd, zeros, sizeof(zeros), 0),
                     (int)sizeof(zeros));
    touch(); /* the write may be within the tick of the file's making */
    close(fd);
}

static void remove_it(void)
{
    ck_assert_int_eq(unlink(path), 0);
}

static void replace(void)
{
    remove_it();
    append();
}

#define SHRANK                                                                 \
    "model m.gguf became shorter while it was read; wait until nothing "       \
    "writes "                                                                  \
    "to it"
#define WRITTEN                                                                \
    "model m.gguf was written to while it was read; wait until nothing "       \
    "writes "                                                                  \
    "to it"
#define REPLACED                                                               \
    "model m.gguf was removed or replaced while it was read; try again"

/* The first pread() finds out what the file is, the second reads the header's
 * first window, the third and further ones the rest. */
static const struct {
    const char *name;
    void (*change)(void);
    unsigned before;
    const char *message;
} changes[] = {
    {"cut before the first", cut_to_4, 1, SHRANK},
    {"cut before the window", cut_to_100, 2, SHRANK},
    {"cut between windows", cut_to_100, 3, SHRANK},
    {"cut in the tensors", cut_tensors, 3, SHRANK},
    {"appended to", append, 3, WRITTEN},
    {"touched", touch, 2, WRITTEN},
    {"touched a little", touch_a_little, 3, WRITTEN},
    {"overwritten, then nonsense", write_zeros, 2, WRITTEN},
    {"removed", remove_it, 3, REPLACED},
    {"replaced", replace, 3, REPLACED},
    {"nothing", NULL, 0, NULL},
};

START_TEST(sees_a_file_change)
{
    int descriptors = faults_open_descriptors();
    gov_model *model = NULL;
    struct gguf_writer w;
    gov_error err = {0};
    gov_status status;

    many(&w, 1000);
    gguf_save(&w, path, w.file_bytes);
    gguf_free(&w);
    change = changes[_i].change;
    change_at = changes[_i].before;
    preads = 0;
    faults_watch_pread(change_before_pread);
    status = gov_model_open(&model, path, faults_alloc(), &err);
    faults_reset();
    ck_assert_uint_ge(preads, change_at);
    if (change == NULL) {
        ck_assert_int_eq(status, GOV_OK);
    } else {
        ck_assert_msg(status == GOV_E_IO, "%s: got %d (%s)", changes[_i].name,
                      (int)status, err.message);
        ck_assert_str_eq(err.message, changes[_i].message);
    }
    gov_model_close(model);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
}
END_TEST

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- a header as large as they come -------------------------------------------- */

START_TEST(reads_large_headers_fast)
{
    uint64_t best = UINT64_MAX;
    struct gguf_writer w;
    gov_model *model;

    gguf_begin(&w);
    gguf_key_text(&w, "general.architecture", "llama");
    gguf_key_texts(&w, "tokenizer.ggml.tokens", 256 * 1024);
    gguf_key_texts(&w, "tokenizer.ggml.merges", 500 * 1000);
    for (unsigned i = 0; i < 1000; i++) {
        char name[64];

        snprintf(name, sizeof(name), "blk.%u.ffn_gate_%u.weight", i / 10, i);
        gguf_add(&w, name, T_Q4_0, 32, 8);
    }
    gguf_finish(&w);
    model = open_good(&w);
    gov_model_close(model);
    for (int i = 0; i < 10; i++) {
        uint64_t start = now_us();

        ck_assert_int_eq(gov_model_open(&model, path, NULL, NULL), GOV_OK);
        start = now_us() - start;
        best = start < best ? start : best;
        gov_model_close(model);
    }
    if (getenv("GOV_TEST_VERBOSE") != NULL)
        printf("header with 262144 tokens and 1000 tensors: %" PRIu64 " us\n",
               best);
    /* Promised in 5 ms; twenty times that for busy machines, and a hundred times
     * for sanitizers on them. */
    ck_assert_uint_lt(best, is_sanitized() ? 500000 : 100000);
}
END_TEST

/* ---- the parts ------------------------------------------------------------------ */

/* Names live in blocks of 8 KiB, and none is larger. */
START_TEST(keeps_no_endless_names)
{
    struct gov__header header;
    char *name = calloc(1, 10000);

    ck_assert_ptr_nonnull(name);
    gov__header_init(&header, "gguf", faults_alloc());
    ck_assert_ptr_null(gov__header_keep(&header, name, 10000));
    ck_assert_ptr_null(gov__header_keep(&header, name, 8192));
    ck_assert_ptr_nonnull(gov__header_keep(&header, name, 4096));
    ck_assert_ptr_nonnull(gov__header_keep(&header, name, 4096));
    gov__header_fini(&header);
    free(name);
}
END_TEST

START_TEST(knows_types)
{
    static const struct {
        uint32_t number;
        const char *name;
        uint32_t elements, bytes;
    } known[] = {
        {0, "F32", 1, 4},       {2, "Q4_0", 32, 18},    {8, "Q8_0", 32, 34},
        {12, "Q4_K", 256, 144}, {14, "Q6_K", 256, 210}, {30, "BF16", 1, 2},
        {39, "MXFP4", 32, 17},  {33, "Q4_0_8_8", 0, 0}, {42, "Q2_0", 64, 18},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const struct gov__tensor_type *type = gov__tensor_type(known[i].number);

        ck_assert_str_eq(type->name, known[i].name);
        ck_assert_uint_eq(type->block_elements, known[i].elements);
        ck_assert_uint_eq(type->block_bytes, known[i].bytes);
    }
    for (uint32_t n = 0; n < 43; n++) {
        ck_assert_ptr_nonnull(gov__tensor_type(n)->name);
        ck_assert_int_eq(gov__tensor_type(n)->block_elements == 0,
                         gov__tensor_type(n)->block_bytes == 0);
    }
    ck_assert_ptr_null(gov__tensor_type(43));
    ck_assert_ptr_null(gov__tensor_type(UINT32_MAX));
}
END_TEST

static const struct {
    const char *in, *out;
} texts[] = {
    {"plain", "plain"},
    {"", ""},
    {"\x1B[31m", "\\x1B[31m"},
    {"del\x7F", "del\\x7F"},
    {"\xC3\xA9", "\xC3\xA9"},
    {"\xE2\x82\xAC", "\xE2\x82\xAC"},
    {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
    {"\xC0\xAF", "\\xC0\\xAF"},                   /* overlong */
    {"\xE0\x80\xAF", "\\xE0\\x80\\xAF"},          /* overlong */
    {"\xE0\x82\xA9", "\\xE0\\x82\\xA9"},          /* overlong */
    {"\xED\xA0\x80", "\\xED\\xA0\\x80"},          /* surrogate */
    {"\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"}, /* beyond Unicode */
    {"\xE2\x82", "\\xE2\\x82"},                   /* ends early */
    {"\x80", "\\x80"},
    {"a\xE2\x80\xAE.b", "a\\xE2\\x80\\xAE.b"}, /* right to left, from here */
    {"a\xE2\x81\xA6.b", "a\\xE2\\x81\\xA6.b"}, /* an isolated run */
    {"a\xE2\x80\xA8.b", "a\\xE2\\x80\\xA8.b"}, /* a line's end */
    {"\xD8\x9C\xE2\x80\x8F", "\\xD8\\x9C\\xE2\\x80\\x8F"}, /* marks */
    {"\xE2\x80\x8D\xE2\x80\xAF", "\xE2\x80\x8D\xE2\x80\xAF"},
    {"0123456789012345678901234567890123456789", /* 31 fit */
     "0123456789012345678901234567..."},
    {"012345678901234567890123456\xE2\x82\xAC"
     "890",
     "012345678901234567890123456..."},
    {"0123456789012345678901234567890", "0123456789012345678901234567890"},
    {"01234567890123456789012345678901", "0123456789012345678901234567..."},
};

START_TEST(makes_text_safe)
{
    char out[32];

    ck_assert_str_eq(
        gov__text_safe(out, sizeof(out), texts[_i].in, strlen(texts[_i].in)),
        texts[_i].out);
}
END_TEST

START_TEST(keeps_the_end_of_a_path)
{
    char out[16];

    ck_assert_str_eq(gov__text_path(out, sizeof(out), "/a/b"), "/a/b");
    ck_assert_str_eq(gov__text_path(out, sizeof(out), "/a/b/c/d/e/f/gg"),
                     "/a/b/c/d/e/f/gg");
    ck_assert_str_eq(gov__text_path(out, sizeof(out), "/aa/b/c/d/e/f/g.h"),
                     ".../c/d/e/f/g.h");
    ck_assert_str_eq(gov__text_path(out, sizeof(out), "\1\1\1\1\1\1"),
                     "...\\x01\\x01\\x01");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("gguf");
    TCase *t = tcase_create("gguf");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, refuses_hostile, 0,
                        (int)(sizeof(hostile) / sizeof(hostile[0])));
    tcase_add_test(t, reads_good);
    tcase_add_test(t, reads_version_2);
    tcase_add_test(t, honours_alignment);
    tcase_add_test(t, reads_neighbours);
    tcase_add_test(t, reads_odd_layout);
    tcase_add_test(t, fills_blocks_of_names);
    tcase_add_test(t, skips_every_type);
    tcase_add_test(t, skips_odd_keys);
    tcase_add_test(t, refuses_what_is_no_file);
    tcase_add_test(t, refuses_what_is_forbidden);
    tcase_add_test(t, minds_no_wrong_name);
    tcase_add_test(t, shows_paths_safely);
    tcase_add_loop_test(t, reads_parts, 0, 3);
    tcase_add_test(t, reads_parts_without_a_sum);
    tcase_add_test(t, reads_many_parts);
    tcase_add_loop_test(t, reads_one_part, 0, 2);
    tcase_add_loop_test(t, refuses_torn_apart, 0,
                        (int)(sizeof(torn_apart) / sizeof(torn_apart[0])));
    tcase_add_loop_test(t, survives_any_byte, 0, SHAPES);
    tcase_add_loop_test(t, survives_any_length, 0, SHAPES);
    tcase_add_loop_test(t, survives_any_fault, 0, 6);
    tcase_add_loop_test(t, goes_on_after_a_signal, 0, 2);
    tcase_add_loop_test(t, sees_a_file_change, 0,
                        (int)(sizeof(changes) / sizeof(changes[0])));
    tcase_add_test(t, reads_large_headers_fast);
    tcase_add_test(t, keeps_no_endless_names);
    tcase_add_test(t, knows_types);
    tcase_add_loop_test(t, makes_text_safe, 0,
                        (int)(sizeof(texts) / sizeof(texts[0])));
    tcase_add_test(t, keeps_the_end_of_a_path);
    suite_add_tcase(s, t);
    return s;
}
