/* SPDX-License-Identifier: MIT */
/* The safetensors reader against files that are wrong in one way each, against
 * every changed byte and every length, and against a system that fails. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "governor/model/quantization_config.h"
#include "governor/model/safetensors.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/safetensors_writer.h"

static char directory[400], path[512];

static void setup(void)
{
    snprintf(directory, sizeof(directory), "%s", fresh_directory());
    snprintf(path, sizeof(path), "%s/m.safetensors", directory);
    faults_reset();
}

static void teardown(void)
{
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    drop_directory();
}

static const char *in(const char *name)
{
    static char at[600];

    snprintf(at, sizeof(at), "%s/%s", directory, name);
    return at;
}

static void save_raw(const char *at, const char *json, uint64_t data)
{
    struct safetensors_writer w = {0};

    safetensors_raw(&w, json);
    safetensors_save(&w, at, data);
    safetensors_free(&w);
}

/* Fails as it should, with that sentence. */
static void refuses(const char *at, gov_status want, const char *message)
{
    struct gov__header header;
    gov_error err = {0};
    gov_status status =
        gov__safetensors_open(&header, at, faults_alloc(), &err);

    if (status == GOV_OK)
        gov__header_fini(&header);
    ck_assert_msg(status == want, "%.500s: got %d (%s)", at, (int)status,
                  err.message);
    if (message != NULL)
        ck_assert_str_eq(err.message, message);
}

static void reads(struct gov__header *header, const char *at)
{
    gov_error err = {0};
    gov_status status = gov__safetensors_open(header, at, faults_alloc(), &err);

    ck_assert_msg(status == GOV_OK, "%s: got %d (%s)", at, (int)status,
                  err.message);
    ck_assert_str_eq(header->format, "safetensors");
    ck_assert_uint_ge(header->file_count, 1);
    ck_assert_uint_ge(header->count, 1);
}

static const struct gov_tensor *tensor(const struct gov__header *header,
                                       const char *name)
{
    for (size_t i = 0; i < header->count; i++)
        if (strcmp(header->tensors[i].name, name) == 0)
            return &header->tensors[i];
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

/* ---- wrong in one way ------------------------------------------------------ */

#define T(name, rest) "\"" name "\":{" rest "}"
#define A "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"
#define DAMAGED(fact)                                                          \
    "model m.safetensors is damaged: " fact "; download it again"
#define BROKEN(at, fact) DAMAGED("its JSON is broken at byte " at " (" fact ")")
#define SIZE(shape)                                                            \
    "{" T("a",                                                                 \
          "\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[0,8]") "}"
#define PLACE(offsets)                                                         \
    "{" T("a", "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets) "}"

static const struct {
    const char *json;
    uint64_t data;
    gov_status status;
    const char *message;
} hostile[] = {
    {"", 0, GOV_E_FORMAT, BROKEN("1", "an object is wanted")},
    {"[]", 0, GOV_E_FORMAT, BROKEN("1", "an object is wanted")},
    {"{", 0, GOV_E_FORMAT, BROKEN("2", "a text is wanted")},
    {"{}", 0, GOV_E_FORMAT,
     "m.safetensors has no tensors and so is not a model; name a file with "
     "weights"},
    {"{} x", 0, GOV_E_FORMAT, BROKEN("4", "something follows it")},
    {"{}}", 0, GOV_E_FORMAT, BROKEN("3", "something follows it")},
    {"{\"__metadata__\":{\"a\":1}}", 0, GOV_E_FORMAT,
     BROKEN("22", "a text is wanted")},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, GOV_E_FORMAT,
     DAMAGED("tensor \"__metadata__\" comes twice")},
    {"{\"a\":1}", 0, GOV_E_FORMAT, BROKEN("6", "an object is wanted")},
    {"{\"a\" 1}", 0, GOV_E_FORMAT, BROKEN("6", "a colon is missing")},
    {"{" T("a", A) ",}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", A) " " T("b", A) "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", A ",") "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", "") "}", 0, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" has no type, no shape or no offsets")},
    {"{" T("a", "\"dtype\":\"F32\",\"shape\":[2]") "}", 0, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" has no type, no shape or no offsets")},
    {"{" T("a", A ",\"dtype\":\"F32\"") "}", 8, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" has two types")},
    {"{" T("a", A ",\"shape\":[2]") "}", 8, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" has two shapes")},
    {"{" T("a", A ",\"data_offsets\":[0,8]") "}", 8, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" has two places")},
    {"{" T("a", A) "," T("a", "\"dtype\":\"U8\",\"shape\":[1],"
                              "\"data_offsets\":[8,9]") "}",
     9, GOV_E_FORMAT, DAMAGED("tensor \"a\" comes twice")},
    {"{" T("a", "\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]") "}",
     8, GOV_E_UNSUPPORTED,
     "model m.safetensors has tensor \"a\" of type \"F31\", which is not "
     "known; update governor"},
    {"{" T("a", "\"dtype\":\"F32\\u0000\",\"shape\":[2]") "}", 8,
     GOV_E_UNSUPPORTED, NULL},
    {"{" T("a", "\"dtype\":32") "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("", A) "}", 8, GOV_E_FORMAT, DAMAGED("a tensor's name has 0 bytes")},
    {"{" T("a\\u001b[2J", A) "}", 8, GOV_E_FORMAT,
     DAMAGED("a tensor's name is \"a\\x1B[2J\"")},
    {"{" T("a\\u0000b", A) "}", 8, GOV_E_FORMAT,
     DAMAGED("a tensor's name is \"a\\x00b\"")},
    {"{" T("\\ud83d\\ude00", A) "}", 8, GOV_E_FORMAT,
     DAMAGED("a tensor's name is \"\xF0\x9F\x98\x80\"")},
    {"{" T("\\ud83d", A) "}", 8, GOV_E_FORMAT,
     BROKEN("9", "half of a character")},
    {"{" T("\\ude00", A) "}", 8, GOV_E_FORMAT,
     BROKEN("9", "half of a character")},
    {"{" T("\\ude00\\ude00", A) "}", 8, GOV_E_FORMAT,
     BROKEN("9", "half of a character")},
    {"{" T("\\ud83d\\u0041", A) "}", 8, GOV_E_FORMAT,
     BROKEN("15", "half of a character")},
    {"{" T("\\ud83d\\ue000", A) "}", 8, GOV_E_FORMAT,
     BROKEN("15", "half of a character")},
    {"{" T("\\uD8", A) "}", 8, GOV_E_FORMAT,
     BROKEN("7", "an escape has no four digits")},
    {"{" T("\\x41", A) "}", 8, GOV_E_FORMAT, BROKEN("4", "no such escape")},
    {"{\"a\nb\":{" A "}}", 8, GOV_E_FORMAT, BROKEN("4", "a text does not end")},
    {"{\"a", 8, GOV_E_FORMAT, BROKEN("4", "a text does not end")},
    {SIZE("[3]"), 8, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" has 8 bytes by its offsets and 12 by its shape")},
    {SIZE("[4294967296,4294967296]"), 8, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" is larger than any memory")},
    {SIZE("[18446744073709551615]"), 8, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" is larger than any memory")},
    {SIZE("[18446744073709551616]"), 8, GOV_E_FORMAT,
     BROKEN("49", "a number is larger than any")},
    {SIZE("[0,18446744073709551615]"), 8, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" is larger than any memory")},
    {SIZE("[-2]"), 8, GOV_E_FORMAT, BROKEN("30", "a whole number is wanted")},
    {SIZE("[-0]"), 8, GOV_E_FORMAT, BROKEN("30", "a whole number is wanted")},
    {SIZE("[2.0]"), 8, GOV_E_FORMAT, BROKEN("31", "a whole number is wanted")},
    {SIZE("[2e0]"), 8, GOV_E_FORMAT, BROKEN("31", "a whole number is wanted")},
    {SIZE("[02]"), 8, GOV_E_FORMAT, BROKEN("31", "a number begins with 0")},
    {SIZE("[1e400]"), 8, GOV_E_FORMAT, NULL},
    {SIZE("[[2]]"), 8, GOV_E_FORMAT, NULL},
    {SIZE("[true]"), 8, GOV_E_FORMAT, NULL},
    {SIZE("null"), 8, GOV_E_FORMAT, BROKEN("29", "an array is wanted")},
    {PLACE("[0]"), 8, GOV_E_FORMAT, DAMAGED("tensor \"a\" has no two offsets")},
    {PLACE("[]"), 8, GOV_E_FORMAT, DAMAGED("tensor \"a\" has no two offsets")},
    {PLACE("[0,8,8]"), 8, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" has no two offsets")},
    {PLACE("[0,8.0]"), 8, GOV_E_FORMAT, NULL},
    {PLACE("[8,0]"), 8, GOV_E_FORMAT,
     DAMAGED("tensor \"a\" ends before it begins")},
    {PLACE("[0,8]"), 7, GOV_E_FORMAT,
     "model m.safetensors is truncated: tensor \"a\" ends at byte 8 of its "
     "data, which has 7; download it again"},
    {PLACE("[18446744073709551607,18446744073709551615]"), 8, GOV_E_FORMAT,
     "model m.safetensors is truncated: tensor \"a\" ends at byte "
     "18446744073709551615 of its data, which has 8; download it again"},
    {PLACE("[0,8]"), 9, GOV_E_FORMAT,
     DAMAGED("1 bytes of it belong to no tensor")},
    {PLACE("[1,9]"), 9, GOV_E_FORMAT,
     DAMAGED("1 bytes of it belong to no tensor")},
    {"{" T("a", A) "," T(
         "b", "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[9,17]") "}",
     17, GOV_E_FORMAT, DAMAGED("1 bytes of it belong to no tensor")},
    {"{" T("a", A) "," T(
         "b", "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[7,15]") "}",
     15, GOV_E_FORMAT, DAMAGED("tensors \"a\" and \"b\" overlap")},
    /* As many bytes as there are, one of them twice. */
    {"{" T("a", A) "," T(
         "b", "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[7,15]") "}",
     16, GOV_E_FORMAT, DAMAGED("tensors \"a\" and \"b\" overlap")},
    {"{" T("a", "\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]") "}", 2,
     GOV_E_FORMAT, DAMAGED("tensor \"a\" is no whole number of bytes")},
    {"{" T("a",
           "\"dtype\":\"F6_E2M3\",\"shape\":[2],\"data_offsets\":[0,2]") "}",
     2, GOV_E_FORMAT, DAMAGED("tensor \"a\" is no whole number of bytes")},
    {"{" T("a", A ",\"x\":tru") "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", A ",\"x\":-") "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", A ",\"x\":1.") "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", A ",\"x\":1e") "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", A ",\"x\":01") "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", A ",\"x\":[1,]") "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", A ",\"x\":{\"y\"}") "}", 8, GOV_E_FORMAT, NULL},
    {"{" T("a", A ",\"x\":[}") "}", 8, GOV_E_FORMAT, NULL},
};

START_TEST(refuses_hostile)
{
    save_raw(path, hostile[_i].json, hostile[_i].data);
    refuses(path, hostile[_i].status, hostile[_i].message);
}
END_TEST

static const struct {
    const char *text;
    size_t bytes;
    const char *message;
} starts[] = {
    {"", 0, "model m.safetensors is empty; download it again"},
    {"\2\0\0\0\0\0\0", 7,
     "m.safetensors is not a safetensors model: it has 7 bytes; name a "
     ".safetensors file"},
    {"version https://git-lfs.github.com/spec/v1\n", 43,
     "m.safetensors is not a safetensors model: it starts with \"version \", "
     "which is no length; download it again"},
    {"\1\341\365\5\0\0\0\0{", 9, /* 100000001 */
     "m.safetensors is not a safetensors model: it starts with "
     "\"\\x01\\xE1\\xF5\\x05\\x00\\x00\\x00\\x00\", which is no length; "
     "download it again"},
    {"\0\341\365\5\0\0\0\0{", 9,
     "model m.safetensors is truncated: its header has 100000000 bytes and the "
     "file 9; download it again"},
    {"\0\0\0\0\0\0\0\0", 8, BROKEN("1", "an object is wanted")},
};

START_TEST(refuses_other_files)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(starts[_i].text, 1, starts[_i].bytes, file),
                      starts[_i].bytes);
    fclose(file);
    refuses(path, GOV_E_FORMAT, starts[_i].message);
}
END_TEST

START_TEST(refuses_depth)
{
    struct safetensors_writer w;
    struct gov__header header;

    for (int depth = 63; depth <= 65; depth++) {
        safetensors_begin(&w);
        safetensors_raw(&w, "\"a\":{\"x\":");
        for (int i = 0; i < depth; i++)
            safetensors_raw(&w, "[");
        for (int i = 0; i < depth; i++)
            safetensors_raw(&w, "]");
        safetensors_raw(&w, "," A "}");
        w.next = 8;
        safetensors_write(&w, path);
        if (depth < 65) {
            reads(&header, path);
            gov__header_fini(&header);
        } else {
            refuses(path, GOV_E_FORMAT,
                    BROKEN("75", "it nests deeper than 64 levels"));
        }
    }
}
END_TEST

START_TEST(refuses_long_names_and_shapes)
{
    struct safetensors_writer w;
    struct gov__header header;
    char name[300], shape[300] = "[";

    memset(name, 'n', sizeof(name));
    for (size_t bytes = 255; bytes <= 256; bytes++) {
        name[bytes] = '\0';
        name[bytes - 1] = 'e';
        safetensors_begin(&w);
        safetensors_add(&w, name, "U8", SHAPE(3));
        safetensors_write(&w, path);
        if (bytes == 255) {
            reads(&header, path);
            ck_assert_str_eq(header.tensors[0].name, name);
            gov__header_fini(&header);
        } else {
            refuses(path, GOV_E_FORMAT,
                    DAMAGED("a tensor's name has 256 bytes"));
        }
        name[bytes] = 'n';
    }
    for (int i = 0; i < 65; i++)
        snprintf(shape + 1 + 2 * i, 4, "1%s", i < 64 ? "," : "]");
    safetensors_begin(&w);
    safetensors_tensor(&w, "a", "U8", shape, 0, 1);
    w.next = 1;
    safetensors_write(&w, path);
    refuses(path, GOV_E_FORMAT,
            DAMAGED("tensor \"a\" has more than 64 dimensions"));
}
END_TEST

/* ---- what is right ------------------------------------------------------------ */

static const struct {
    const char *name;
    uint64_t bytes; /* of eight */
} types[] = {
    {"BOOL", 8},    {"U8", 8},          {"I8", 8},          {"I16", 16},
    {"U16", 16},    {"F16", 16},        {"BF16", 16},       {"I32", 32},
    {"U32", 32},    {"F32", 32},        {"F64", 64},        {"I64", 64},
    {"U64", 64},    {"C64", 64},        {"F8_E5M2", 8},     {"F8_E4M3", 8},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F4", 4},
    {"F6_E2M3", 6}, {"F6_E3M2", 6},
};

START_TEST(knows_every_type)
{
    struct safetensors_writer w;
    struct gov__header header;

    safetensors_begin(&w);
    safetensors_tensor(&w, "t", types[_i].name, "[2,4]", 0, types[_i].bytes);
    w.next = types[_i].bytes;
    safetensors_write(&w, path);
    reads(&header, path);
    ck_assert_str_eq(header.tensors[0].type, types[_i].name);
    ck_assert_uint_eq(header.tensors[0].bytes, types[_i].bytes);
    ck_assert_uint_eq(header.places[0].type, GOV__NO_TYPE);
    gov__header_fini(&header);
}
END_TEST

START_TEST(reads_good)
{
    struct safetensors_writer w;
    struct gov__header header;
    const struct gov_tensor *t;
    struct stat st;

    safetensors_begin(&w);
    safetensors_raw(&w, " \"__metadata__\" : { \"format\" : \"pt\", "
                        "\"\\ud83d\\ude00\" : \"\xC3\xA9 \\\"\\/\" }");
    safetensors_add(&w, "model.norm.weight", "F32", SHAPE(32));
    safetensors_add(&w, "model.embed_tokens.weight", "BF16", SHAPE(256, 32));
    safetensors_finish(&w);
    safetensors_save(&w, path, w.next);
    reads(&header, path);
    ck_assert_uint_eq(header.count, 2);
    t = tensor(&header, "model.embed_tokens.weight");
    ck_assert_uint_eq(t->dims, 2);
    ck_assert_uint_eq(t->shape[0], 32);
    ck_assert_uint_eq(t->shape[1], 256);
    ck_assert_uint_eq(t->shape[2], 1);
    ck_assert_uint_eq(t->file_offset, 8 + w.bytes + 128);
    ck_assert_uint_eq(t->bytes, 16384);
    ck_assert_str_eq(t->type, "BF16");
    ck_assert_str_eq(header.architecture, "");
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(header.files[0].inode, (uint64_t)st.st_ino);
    ck_assert_uint_eq(header.files[0].bytes, (uint64_t)st.st_size);
    ck_assert_str_eq(header.files[0].path, path);
    ck_assert_uint_eq(header.places[0].offset, 8 + w.bytes);
    ck_assert_uint_eq(header.places[1].offset, t->file_offset);
    safetensors_free(&w);
    gov__header_fini(&header);
}
END_TEST

/* Tensors in any order, unaligned as in files of before 2023, empty ones, scalars,
 * many dimensions, members nobody knows. */
START_TEST(reads_odd)
{
    struct safetensors_writer w;
    struct gov__header header;
    const struct gov_tensor *t;

    safetensors_begin(&w);
    safetensors_raw(&w, T("last", "\"data_offsets\" : [ 9 , 17 ], \"x\": "
                                  "[{}, [], -1.5e+3, 0, \"\", null, true, "
                                  "false, {\"y\":[0.0]}],\"shape\":[2],"
                                  "\"dtype\":\"F32\""));
    safetensors_tensor(&w, "scalar", "F64", "[]", 1, 9);
    safetensors_tensor(&w, "first", "U8", "[1]", 0, 1);
    safetensors_tensor(&w, "empty", "F32", "[3,0,5]", 17, 17);
    safetensors_tensor(&w, "six", "U8", "[2,3,4,5,6,7]", 17, 17 + 5040);
    safetensors_tensor(&w, "sl\\/ash", "U8", "[1]", 5057, 5058);
    w.next = 5058;
    safetensors_write(&w, path);
    reads(&header, path);
    t = tensor(&header, "last");
    ck_assert_uint_eq(t->file_offset % 4, 1);
    t = tensor(&header, "scalar");
    ck_assert_uint_eq(t->dims, 0);
    ck_assert_uint_eq(t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3], 1);
    t = tensor(&header, "empty");
    ck_assert_uint_eq(t->bytes, 0);
    ck_assert_uint_eq(t->shape[1], 0);
    t = tensor(&header, "six");
    ck_assert_uint_eq(t->dims, 4);
    ck_assert_uint_eq(t->shape[0], 7);
    ck_assert_uint_eq(t->shape[1], 6);
    ck_assert_uint_eq(t->shape[2], 5);
    ck_assert_uint_eq(t->shape[3], 24);
    tensor(&header, "sl/ash");
    gov__header_fini(&header);
}
END_TEST

/* ---- indexes and directories --------------------------------------------------- */

static void shard(const char *name, const char *first, const char *second)
{
    struct safetensors_writer w;

    safetensors_begin(&w);
    safetensors_add(&w, first, "F32", SHAPE(4, 2));
    safetensors_add(&w, second, "F32", SHAPE(4));
    safetensors_write(&w, in(name));
}

#define ONE "model-00001-of-00002.safetensors"
#define TWO "model-00002-of-00002.safetensors"
#define INDEX "model.safetensors.index.json"
#define MAP(text)                                                              \
    "{\n \"metadata\": {\"total_size\": 1.5e10},\n \"weight_map\": {" text     \
    "}\n}\n"
#define GOOD_MAP                                                               \
    MAP("\"a\":\"" ONE "\",\"b\":\"" ONE "\",\"c\":\"" TWO "\",\"d\":\"" TWO   \
        "\"")

static void shards(const char *map)
{
    shard(ONE, "a", "b");
    shard(TWO, "c", "d");
    write_text(in(INDEX), map);
}

static void check_shards(const char *at)
{
    struct gov__header header;

    reads(&header, at);
    ck_assert_uint_eq(header.file_count, 2);
    ck_assert_uint_eq(header.count, 4);
    ck_assert_str_eq(header.files[0].path, in(ONE));
    ck_assert_str_eq(header.files[1].path, in(TWO));
    ck_assert_uint_eq(tensor(&header, "b")->file, 0);
    ck_assert_uint_eq(tensor(&header, "c")->file, 1);
    ck_assert_uint_eq(header.places[2].file, 1);
    gov__header_fini(&header);
}

START_TEST(reads_shards)
{
    char slash[600];

    shards(GOOD_MAP);
    check_shards(in(INDEX));
    check_shards(directory);
    check_shards(in(ONE)); /* one of several means all of them */
    check_shards(in(TWO));
    snprintf(slash, sizeof(slash), "%s/", directory);
    check_shards(slash);
}
END_TEST

START_TEST(reads_shards_here)
{
    char before[4096];
    struct gov__header header;

    shards(GOOD_MAP);
    ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
    ck_assert_int_eq(chdir(directory), 0);
    reads(&header, INDEX);
    ck_assert_str_eq(header.files[0].path, ONE);
    gov__header_fini(&header);
    reads(&header, ".");
    ck_assert_str_eq(header.files[0].path, "./" ONE);
    gov__header_fini(&header);
    ck_assert_int_eq(chdir(before), 0);
}
END_TEST

#undef DAMAGED
#define DAMAGED(fact) "model " INDEX " is damaged: " fact "; download it again"

static const struct {
    const char *map;
    gov_status status;
    const char *message;
} indexes[] = {
    {"{}", GOV_E_FORMAT, DAMAGED("it names no tensors in \"weight_map\"")},
    {MAP(""), GOV_E_FORMAT, DAMAGED("it names no tensors in \"weight_map\"")},
    {"[]", GOV_E_FORMAT,
     DAMAGED("its JSON is broken at byte 1 (an object is wanted)")},
    {"{\"weight_map\":[]}", GOV_E_FORMAT, NULL},
    {"{\"weight_map\":{\"a\":1}}", GOV_E_FORMAT, NULL},
    {"{\"weight_map\":{\"a\":\"" ONE "\"},\"weight_map\":{}}", GOV_E_FORMAT,
     DAMAGED("it has two of \"weight_map\"")},
    {MAP("\"a\":\"../" ONE "\""), GOV_E_FORMAT,
     DAMAGED("it names a shard that is no plain file name, \"../" ONE "\"")},
    {MAP("\"a\":\"/etc/passwd\""), GOV_E_FORMAT,
     DAMAGED("it names a shard that is no plain file name, \"/etc/passwd\"")},
    {MAP("\"a\":\"..\""), GOV_E_FORMAT,
     DAMAGED("it names a shard that is no plain file name, \"..\"")},
    {MAP("\"a\":\".\""), GOV_E_FORMAT, NULL},
    {MAP("\"a\":\"\""), GOV_E_FORMAT, DAMAGED("a shard's name has 0 bytes")},
    {MAP("\"a\":\"x\\u0000y\""), GOV_E_FORMAT,
     DAMAGED("a shard's name is \"x\\x00y\"")},
    {MAP("\"a\":\"x\\u000ay\""), GOV_E_FORMAT,
     DAMAGED("a shard's name is \"x\\x0Ay\"")},
    {MAP("\"a\":\"gone.safetensors\""), GOV_E_NOT_FOUND,
     "model " INDEX " lacks its shard \"gone.safetensors\"; download that "
     "too"},
    {MAP("\"a\":\"" ONE "\",\"x\":\"" ONE "\""), GOV_E_FORMAT,
     DAMAGED("the shard it names does not hold tensor \"x\"")},
    {MAP("\"a\":\"" ONE "\",\"b\":\"" TWO "\""), GOV_E_FORMAT,
     DAMAGED("the shard it names does not hold tensor \"b\"")},
    {MAP("\"a\":\"" ONE "\",\"a\":\"" ONE "\""), GOV_E_FORMAT,
     DAMAGED("it names twice tensor \"a\"")},
    {MAP("\"a\":\"" ONE "\",\"s\":\"same.safetensors\""), GOV_E_FORMAT, NULL},
    {MAP("\"a\":\"pipe\""), GOV_E_FORMAT, NULL},
    {MAP("\"a\":\"" ONE "\"") "x", GOV_E_FORMAT, NULL},
    {MAP("\"a\":\"" ONE "\","), GOV_E_FORMAT, NULL},
};

START_TEST(refuses_indexes)
{
    shards(indexes[_i].map);
    shard("same.safetensors", "s", "a"); /* "a" is in ONE too */
    ck_assert_int_eq(mkfifo(in("pipe"), 0600), 0);
    refuses(in(INDEX), indexes[_i].status, indexes[_i].message);
}
END_TEST

/* A shard that is held twice under two names is read once and told. */
START_TEST(refuses_links)
{
    char to[600];

    shards(MAP("\"a\":\"" ONE "\",\"b\":\"link\""));
    snprintf(to, sizeof(to), "%s", in("link"));
    ck_assert_int_eq(symlink(ONE, to), 0);
    refuses(in(INDEX), GOV_E_FORMAT, DAMAGED("tensor \"a\" comes twice"));
}
END_TEST

/* What a cache of downloads has: names that link to blobs. And a tensor that the
 * index forgot counts. */
START_TEST(follows_links)
{
    struct gov__header header;
    char to[600];

    shard("blob", "a", "b");
    snprintf(to, sizeof(to), "%s", in("model.safetensors"));
    ck_assert_int_eq(symlink("blob", to), 0);
    write_text(in(INDEX), MAP("\"a\":\"model.safetensors\""));
    reads(&header, directory);
    ck_assert_uint_eq(header.count, 2);
    gov__header_fini(&header);
}
END_TEST

START_TEST(looks_into_directories)
{
    char want[700];
    struct gov__header header;

    snprintf(want, sizeof(want),
             "there is no model in %s, neither " INDEX
             " nor model.safetensors nor another *.safetensors; name the "
             "directory of one",
             directory);
    refuses(directory, GOV_E_NOT_FOUND, want);
    shard(".hidden.safetensors", "a", "b");
    shard("not.safetensors.part", "a", "b");
    refuses(directory, GOV_E_NOT_FOUND, want);
    shard("x.safetensors", "a", "b");
    reads(&header, directory);
    ck_assert_str_eq(header.files[0].path, in("x.safetensors"));
    gov__header_fini(&header);
    shard("y.safetensors", "a", "b");
    snprintf(want, sizeof(want),
             "there are several *.safetensors in %s, but neither " INDEX
             " nor model.safetensors; name one of them",
             directory);
    refuses(directory, GOV_E_NOT_FOUND, want);
    shard("model.safetensors", "a", "b");
    reads(&header, directory);
    ck_assert_str_eq(header.files[0].path, in("model.safetensors"));
    gov__header_fini(&header);
    shards(GOOD_MAP);
    check_shards(directory);
}
END_TEST

/* Without an index names tell which shards there are. */
START_TEST(reads_shards_by_name)
{
    shard(ONE, "a", "b");
    shard(TWO, "c", "d");
    check_shards(in(TWO));
    check_shards(in(ONE));
    check_shards(directory);
    shard("modem-00001-of-00002.safetensors", "a", "b"); /* of another */
    refuses(directory, GOV_E_NOT_FOUND, NULL);
    ck_assert_int_eq(unlink(in("modem-00001-of-00002.safetensors")), 0);
    shard("model-00001-of-00003.safetensors", "a", "b"); /* and another */
    refuses(directory, GOV_E_NOT_FOUND, NULL);
    check_shards(in(ONE));
    write_text(in(TWO), "");
    refuses(in(ONE), GOV_E_FORMAT, "model " TWO " is empty; download it again");
    shard(TWO, "c", "a");
    refuses(in(ONE), GOV_E_FORMAT,
            "model " ONE " is damaged: tensor \"a\" comes twice; download it "
            "again");
}
END_TEST

/* What exllamav2 writes: the original's index, and shards of other names. */
START_TEST(passes_over_a_copied_index)
{
    static const char map[] = MAP("\"a\":\"model-00001-of-00009.safetensors\"");
    struct gov__header header;

    write_text(in(INDEX), map);
    refuses(directory, GOV_E_NOT_FOUND,
            "model " INDEX " lacks its shard "
            "\"model-00001-of-00009.safetensors\"; download that too");
    shard("output.safetensors", "a", "b");
    refuses(in(INDEX), GOV_E_NOT_FOUND, NULL);
    reads(&header, directory);
    ck_assert_uint_eq(header.file_count, 1);
    ck_assert_str_eq(header.files[0].path, in("output.safetensors"));
    gov__header_fini(&header);
    ck_assert_int_eq(unlink(in("output.safetensors")), 0);
    shard("output-00002-of-00002.safetensors", "c", "d");
    refuses(directory, GOV_E_NOT_FOUND,
            "model output-00002-of-00002.safetensors is shard 2 of 2, and "
            "output-00001-of-00002.safetensors is not there; download it to "
            "the same directory");
    shard("output-00001-of-00002.safetensors", "a", "b");
    reads(&header, directory);
    ck_assert_uint_eq(header.file_count, 2);
    ck_assert_uint_eq(header.count, 4);
    gov__header_fini(&header);
}
END_TEST

/* But where any of its shards is there, the index is of this model. */
START_TEST(believes_an_index_with_shards)
{
    shard("one.safetensors", "a", "b");
    write_text(in(INDEX),
               MAP("\"a\":\"one.safetensors\",\"x\":\"x.safetensors\""));
    refuses(directory, GOV_E_NOT_FOUND,
            "model " INDEX " lacks its shard \"x.safetensors\"; download that "
            "too");
}
END_TEST

START_TEST(wants_all_shards)
{
    static const struct {
        const char *name;
        int number, count;
    } absurd[] = {{"model-00000-of-00002.safetensors", 0, 2},
                  {"model-00003-of-00002.safetensors", 3, 2},
                  {"model-00001-of-04097.safetensors", 1, 4097},
                  {"model-00000-of-00000.safetensors", 0, 0}};
    struct gov__header header;
    char want[200];

    shard(ONE, "a", "b");
    refuses(in(ONE), GOV_E_NOT_FOUND,
            "model " ONE " is shard 1 of 2, and " TWO " is not there; download "
            "it to the same directory");
    for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
        shard(absurd[i].name, "a", "b");
        snprintf(want, sizeof(want),
                 "model %s is, by its name, shard %d of %d, and no .index.json "
                 "beside it says otherwise; download that too",
                 absurd[i].name, absurd[i].number, absurd[i].count);
        refuses(in(absurd[i].name), GOV_E_FORMAT, want);
    }
    shard("model-00001-of-00001.safetensors", "a", "b");
    reads(&header, in("model-00001-of-00001.safetensors"));
    gov__header_fini(&header);
    refuses(in("gone.safetensors"), GOV_E_NOT_FOUND, NULL);
    refuses(in("gone.index.json"), GOV_E_NOT_FOUND, NULL);
}
END_TEST

/* A model of as many shards as there may be lacks them here; of one more it is not
 * even asked. */
START_TEST(limits_shards)
{
    FILE *map = fopen(in(INDEX), "w");

    ck_assert_ptr_nonnull(map);
    fputs("{\"weight_map\":{", map);
    for (int i = 0; i < 4096 + _i; i++)
        fprintf(map, "%s\"t%d\":\"s%04d\"", i > 0 ? "," : "", i, i);
    fputs("}}", map);
    ck_assert_int_eq(fclose(map), 0);
    if (_i == 0)
        refuses(in(INDEX), GOV_E_NOT_FOUND,
                "model " INDEX " lacks its shard \"s0000\"; download that too");
    else
        refuses(in(INDEX), GOV_E_FORMAT,
                DAMAGED("it has more entries than any needs, at \"t4096\""));
}
END_TEST

START_TEST(bears_long_paths)
{
    char *at = malloc(10001);

    memset(at, 'x', 10000);
    for (int i = 0; i < 10000; i += 100)
        at[i] = '/';
    at[10000] = '\0';
    refuses(at, GOV_E_IO, NULL); /* ENAMETOOLONG */
    memcpy(at + 10000 - 32, "-00001-of-00002.safetensors     ", 32);
    at[9995] = '\0';
    refuses(at, GOV_E_INVALID, NULL);
    free(at);
}
END_TEST

START_TEST(reads_what_lies_beside)
{
    struct gov__header header;

    shards(GOOD_MAP);
    write_text(in("config.json"),
               "{\"model_type\":\"qwen2\",\"num_hidden_layers\":2}");
    write_text(in("quantize_config.json"), "{\"bits\":4,\"group_size\":128}");
    reads(&header, in(TWO));
    ck_assert_str_eq(header.architecture, "qwen2");
    ck_assert_uint_eq(gov__header_single(&header, GOV__KEY_BLOCKS), 2);
    ck_assert_str_eq(header.quantization.method, "gptq");
    ck_assert_uint_eq(header.quantization.group, 128);
    gov__header_fini(&header);
    write_text(in("config.json"), "{\"quantization_config\":{"
                                  "\"quant_method\":\"awq\",\"bits\":8}}");
    reads(&header, directory); /* which is newer */
    ck_assert_str_eq(header.quantization.method, "awq");
    ck_assert_uint_eq(header.quantization.bits, 8);
    gov__header_fini(&header);
    write_text(in("config.json"), "{\n \"a\": [1,\n  x]\n}\n");
    refuses(directory, GOV_E_FORMAT,
            "config.json is broken at line 3, column 3 (invalid token near "
            "'x'); download it again");
    write_text(in("config.json"), "{\"num_hidden_layers\":513}");
    refuses(directory, GOV_E_UNSUPPORTED,
            "config.json tells of 513 layers, more than the 512 that engines "
            "run; name another model");
    ck_assert_int_eq(unlink(in("config.json")), 0);
    ck_assert_int_eq(mkdir(in("config.json"), 0700), 0);
    refuses(directory, GOV_E_FORMAT, NULL);
}
END_TEST

/* ---- every byte, every length ------------------------------------------------ */

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Opens it and holds the outcome to what is promised of any. */
static gov_status survives(const char *at, const char *what, size_t number)
{
    uint64_t start = now_us(), took;
    struct gov__header header;
    gov_error err = {0};
    gov_status status =
        gov__safetensors_open(&header, at, faults_alloc(), &err);

    if (status == GOV_OK) {
        for (size_t i = 0; i < header.count; i++) {
            const struct gov_tensor *t = &header.tensors[i];

            ck_assert_uint_lt(t->file, header.file_count);
            ck_assert_uint_le(t->bytes, header.files[t->file].bytes);
            ck_assert_uint_le(t->file_offset,
                              header.files[t->file].bytes - t->bytes);
            ck_assert_uint_le(t->dims, 4);
        }
        gov__header_fini(&header);
    } else {
        ck_assert_msg(err.message[0] != '\0', "%s %zu: mute", what, number);
    }
    took = now_us() - start;
    ck_assert_msg(faults_live_blocks() == 0, "%s %zu: leaks", what, number);
    /* Of the processor: others may use it meanwhile. */
    ck_assert_msg(took < 100000, "%s %zu: slow", what, number);
    return status;
}

static size_t read_whole(const char *at, char *out, size_t room)
{
    FILE *file = fopen(at, "rb");
    size_t bytes;

    ck_assert_ptr_nonnull(file);
    bytes = fread(out, 1, room, file);
    fclose(file);
    return bytes;
}

static const char *const mutated[] = {ONE, INDEX, "config.json",
                                      "quantize_config.json"};

static void plant(void)
{
    shards(GOOD_MAP);
    write_text(in("config.json"),
               "{\"model_type\":\"gemma3\",\"text_config\":{"
               "\"num_hidden_layers\":3,\"hidden_size\":64},"
               "\"quantization\":{\"bits\":4,\"group_size\":64}}");
    write_text(in("quantize_config.json"), "{\"bits\":4,\"group_size\":128}");
}

START_TEST(survives_any_byte)
{
    static const unsigned char change[] = {0x01, 0x02, 0x80, 0xFF, 0x7F, 0x20};
    const char *name = mutated[_i];
    char data[1024];
    int descriptors, refused = 0;
    size_t bytes;

    plant();
    bytes = read_whole(in(name), data, sizeof(data));
    ck_assert_uint_lt(bytes, sizeof(data));
    descriptors = faults_open_descriptors();
    for (size_t i = 0; i < bytes; i++)
        for (size_t k = 0; k < sizeof(change); k++) {
            data[i] = (char)(data[i] ^ change[k]);
            write_bytes(in(name), data, bytes);
            refused += survives(directory, "byte", i) != GOV_OK;
            data[i] = (char)(data[i] ^ change[k]);
        }
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    ck_assert_int_gt(refused, (int)bytes); /* of six times as many */
    write_bytes(in(name), data, bytes);
    ck_assert_int_eq(survives(directory, "unchanged", 0), GOV_OK);
}
END_TEST

START_TEST(survives_any_length)
{
    const char *name = mutated[_i];
    char data[1024];
    size_t bytes;

    plant();
    bytes = read_whole(in(name), data, sizeof(data));
    for (size_t n = 0; n < bytes; n++) {
        bool whole = data[n] == '\n'; /* behind the last brace */

        write_bytes(in(name), data, n);
        ck_assert_msg(whole || survives(directory, "length", n) == GOV_E_FORMAT,
                      "%s of %zu of %zu bytes was read", name, n, bytes);
    }
}
END_TEST

/* ---- a system that fails ------------------------------------------------------ */

/* Enough tensors for arrays to grow and several blocks of names. */
static void plant_many(void)
{
    struct safetensors_writer w;
    char map[40000] = "{\"weight_map\":{", name[80];
    size_t used = strlen(map);

    for (int file = 0; file < 2; file++) {
        safetensors_begin(&w);
        for (int i = 0; i < 150; i++) {
            snprintf(name, sizeof(name),
                     "model.layers.%d.mlp.gate_proj_of_%d.weight", i, file);
            safetensors_add(&w, name, "F16", SHAPE(4));
            used += (size_t)snprintf(map + used, sizeof(map) - used,
                                     "%s\"%s\":\"%s\"", file + i > 0 ? "," : "",
                                     name, file == 0 ? ONE : TWO);
        }
        safetensors_write(&w, in(file == 0 ? ONE : TWO));
    }
    snprintf(map + used, sizeof(map) - used, "}}");
    write_text(in(INDEX), map);
    write_text(in("config.json"),
               "{\"model_type\":\"olmo2\",\"num_hidden_layers\":4,"
               "\"sliding_window\":16}");
    write_text(in("quantize_config.json"), "{\"bits\":4}");
}

START_TEST(survives_any_fault)
{
    struct gov__header header;
    uint64_t calls;
    int descriptors;

    plant_many();
    descriptors = faults_open_descriptors();
    faults_reset();
    reads(&header, directory);
    calls = faults_count();
    gov__header_fini(&header);
    ck_assert_uint_gt(calls, 40);
    for (uint64_t n = 0; n < calls; n++) {
        gov_error err = {0};
        gov_status status;

        faults_reset();
        faults_arm(n, _i != 0);
        status =
            gov__safetensors_open(&header, directory, faults_alloc(), &err);
        ck_assert_msg(status == GOV_E_IO || status == GOV_E_NOMEM,
                      "%s, call %d: got %d", faults_last(), (int)n,
                      (int)status);
        ck_assert_int_eq(status == GOV_E_NOMEM,
                         strcmp(faults_last(), "alloc") == 0);
        ck_assert_msg(err.message[0] != '\0', "call %d is mute", (int)n);
        ck_assert_msg(faults_live_blocks() == 0, "call %d leaks", (int)n);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
    }
    /* Nobody is told, and nothing breaks. */
    faults_reset();
    faults_arm(calls / 2, _i != 0);
    ck_assert_int_ne(
        gov__safetensors_open(&header, directory, faults_alloc(), NULL),
        GOV_OK);
}
END_TEST

START_TEST(goes_on_after_a_signal)
{
    static const char *const calls[] = {"open", "pread"};
    struct gov__header header;

    shards(GOOD_MAP);
    faults_set_errno(EINTR);
    faults_only(calls[_i]);
    faults_arm(0, false);
    reads(&header, in(INDEX));
    ck_assert_str_eq(faults_last(), calls[_i]);
    gov__header_fini(&header);
}
END_TEST

/* Somebody else, who acts while memory is asked for the n-th time. */
static struct {
    int left;
    char shrinks[600], replaces[600], by[600];
} other;

static void *acting_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    if (other.left-- == 0) {
        if (other.shrinks[0] != '\0')
            ck_assert_int_eq(truncate(other.shrinks, 20), 0);
        if (other.replaces[0] != '\0')
            ck_assert_int_eq(rename(other.by, other.replaces), 0);
    }
    return faults_alloc()->alloc(NULL, bytes);
}

/* At every point in time: an error, or what was there before. */
START_TEST(sees_files_change)
{
    struct gov_alloc acting = {NULL, acting_alloc, faults_alloc()->release};
    int noticed = 0, n = 0;
    bool done = false;

    for (; !done; n++) {
        struct gov__header header;
        gov_error err = {0};
        gov_status status;

        memset(&other, 0, sizeof(other));
        other.left = n;
        plant_many();
        if (_i == 0) {
            snprintf(other.shrinks, sizeof(other.shrinks), "%s", in(TWO));
        } else {
            shard("new", "p", "q");
            snprintf(other.by, sizeof(other.by), "%s", in("new"));
            snprintf(other.replaces, sizeof(other.replaces), "%s", in(TWO));
        }
        status = gov__safetensors_open(&header, directory, &acting, &err);
        done = other.left >= 0;
        if (status == GOV_OK) {
            ck_assert_uint_eq(header.count, 300);
            gov__header_fini(&header);
        } else {
            ck_assert(status == GOV_E_IO || status == GOV_E_FORMAT);
            ck_assert_str_ne(err.message, "");
            noticed += status == GOV_E_IO;
        }
        ck_assert_int_eq((int)faults_live_blocks(), 0);
    }
    ck_assert_int_gt(noticed, 2);
}
END_TEST

/* ---- cost ----------------------------------------------------------------------- */

START_TEST(reads_large_headers_fast)
{
    uint64_t best = UINT64_MAX;
    struct safetensors_writer w;
    struct gov__header header;
    char name[80];

    safetensors_begin(&w);
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name),
                 "model.layers.%d.mlp.experts.%d.gate_proj.weight", i / 128,
                 i % 128);
        safetensors_add(&w, name, "F16", SHAPE(4, 4));
    }
    safetensors_write(&w, path);
    for (int i = 0; i < 5; i++) {
        uint64_t start = now_us();

        reads(&header, path);
        start = now_us() - start;
        best = start < best ? start : best;
        gov__header_fini(&header);
    }
    if (getenv("GOV_TEST_VERBOSE") != NULL)
        printf("header with 10000 tensors: %" PRIu64 " us\n", best);
    ck_assert_uint_lt(best, 200000);
}
END_TEST

/* Memory follows what is there, not what is claimed. */
static size_t asked;

static void *adding_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    asked += bytes;
    return faults_alloc()->alloc(NULL, bytes);
}

START_TEST(takes_little_memory)
{
    struct gov_alloc adding = {NULL, adding_alloc, faults_alloc()->release};
    struct safetensors_writer w = {0};
    struct gov__header header;

    asked = 0;
    for (int i = 0; i < 20000; i++)
        safetensors_raw(&w, i == 0 ? "{\"a\":{\"x\":[" : "[],[],[],[],[],");
    safetensors_save(&w, path, UINT64_C(1) << 40);
    safetensors_free(&w);
    ck_assert_int_eq(gov__safetensors_open(&header, path, &adding, NULL),
                     GOV_E_FORMAT);
    ck_assert_uint_lt(asked, 100000);
}
END_TEST

/* ---- quantized weights ------------------------------------------------------------ */

static const struct layout {
    const char *config;
    const char *method;
    uint32_t bits, group;
    struct {
        const char *name, *dtype;
        uint64_t shape[4];
        uint64_t weights;
    } tensors[8];
} layouts[] = {
    {"\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4,"
     "\"group_size\":128,\"version\":\"gemm\",\"zero_point\":true}",
     "awq",
     4,
     128,
     {{"q_proj.qweight", "I32", {512, 32}, 131072}, /* 512 in, 256 out */
      {"q_proj.qzeros", "I32", {4, 32}, 0},
      {"q_proj.scales", "F16", {4, 256}, 0},
      {"norm.weight", "F16", {512}, 512}}},
    {"\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4,"
     "\"group_size\":128,\"desc_act\":true}",
     "gptq",
     4,
     128,
     {{"q_proj.qweight", "I32", {64, 256}, 131072},
      {"q_proj.qzeros", "I32", {4, 32}, 0},
      {"q_proj.scales", "F16", {4, 256}, 0},
      {"q_proj.g_idx", "I32", {512}, 0},
      {"lm_head.weight", "F16", {1000, 512}, 512000}}},
    {"\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":3,"
     "\"group_size\":-1}",
     "gptq",
     3,
     0,
     {{"q.qweight", "I32", {48, 256}, 131072}}},
    {"\"quantization_config\":{\"quant_method\":\"exl2\",\"bits\":4.65}",
     "exl2",
     47,
     0,
     {{"q.q_weight", "I32", {470, 100}, 320000},
      {"q.q_scale", "I32", {4, 32}, 0},
      {"q.q_scale_max", "F16", {4}, 0},
      {"q.q_groups", "I16", {8}, 0},
      {"q.q_invperm", "I32", {512}, 0}}},
    {"\"quantization_config\":{\"quant_method\":\"exl3\",\"bits\":4.0}",
     "exl3",
     4,
     0,
     {{"q.trellis", "I16", {32, 16, 64}, 131072},
      {"q.suh", "F16", {512}, 0},
      {"q.svh", "F16", {256}, 0}}},
    {"\"quantization_config\":{\"quant_method\":\"fp8\",\"fmt\":\"e4m3\","
     "\"weight_block_size\":[128,128]}",
     "fp8",
     8,
     128,
     {{"q.weight", "F8_E4M3", {512, 256}, 131072},
      {"q.weight_scale_inv", "F32", {4, 2}, 0}}},
    {"\"quantization_config\":{\"quant_method\":\"compressed-tensors\","
     "\"format\":\"float-quantized\",\"config_groups\":{\"group_0\":{"
     "\"weights\":{\"num_bits\":8,\"type\":\"float\",\"group_size\":null}}}}",
     "fp8",
     8,
     0,
     {{"q.weight", "F8_E4M3", {512, 256}, 131072},
      {"q.weight_scale", "BF16", {256, 1}, 0},
      {"k_proj.k_scale", "F32", {1}, 0}}},
    {"\"quantization_config\":{\"quant_method\":\"compressed-tensors\","
     "\"format\":\"pack-quantized\",\"config_groups\":{\"group_0\":{"
     "\"weights\":{\"num_bits\":4,\"type\":\"int\",\"group_size\":32}}}}",
     "compressed",
     4,
     32,
     {{"q.weight_packed", "I32", {256, 64}, 131072},
      {"q.weight_scale", "BF16", {256, 16}, 0},
      {"q.weight_shape", "I64", {2}, 0}}},
    {"\"quantization_config\":{\"quant_method\":\"compressed-tensors\","
     "\"format\":\"nvfp4-pack-quantized\",\"config_groups\":{\"group_0\":{"
     "\"weights\":{\"num_bits\":4,\"type\":\"float\",\"group_size\":16}}}}",
     "nvfp4",
     4,
     16,
     {{"q.weight_packed", "U8", {256, 256}, 131072},
      {"q.weight_scale", "F8_E4M3", {256, 32}, 0},
      {"q.weight_global_scale", "F32", {1}, 0},
      {"q.input_global_scale", "F32", {1}, 0}}},
    {"\"quantization_config\":{\"quant_method\":\"modelopt\","
     "\"quant_algo\":\"NVFP4\"}",
     "nvfp4",
     4,
     16,
     {{"q.weight", "U8", {256, 256}, 131072},
      {"q.weight_scale", "F8_E4M3", {256, 32}, 0},
      {"q.weight_scale_2", "F32", {1}, 0},
      {"q.input_scale", "F32", {1}, 0}}},
    {"\"quantization_config\":{\"quant_method\":\"mxfp4\"}",
     "mxfp4",
     4,
     32,
     {{"mlp.experts.gate_up_proj_blocks", "U8", {4, 64, 2, 16}, 16384},
      {"mlp.experts.gate_up_proj_scales", "U8", {4, 64, 2}, 0},
      {"mlp.experts.gate_up_proj_bias", "BF16", {4, 64}, 256}}},
    {"\"quantization_config\":{\"quant_method\":\"bitsandbytes\","
     "\"_load_in_4bit\":true,\"load_in_4bit\":true,\"load_in_8bit\":false}",
     "bitsandbytes",
     4,
     0,
     {{"q.weight", "U8", {65536, 1}, 131072},
      {"q.weight.absmax", "U8", {2048}, 0},
      {"q.weight.quant_map", "F32", {16}, 0},
      {"q.weight.nested_absmax", "F32", {8}, 0},
      {"q.weight.quant_state.bitsandbytes__nf4", "U8", {90}, 0},
      {"norm.weight", "BF16", {512}, 512}}},
    {"\"quantization_config\":{\"quant_method\":\"bitsandbytes\","
     "\"load_in_8bit\":true}",
     "bitsandbytes",
     8,
     0,
     {{"q.weight", "I8", {512, 256}, 131072}, {"q.SCB", "F32", {512}, 0}}},
    {"\"quantization_config\":{\"quant_method\":\"bitnet\"}",
     "bitnet",
     2,
     0,
     {{"q.weight", "U8", {128, 256}, 131072},
      {"q.weight_scale", "BF16", {1}, 0}}},
    {"\"quantization\":{\"group_size\":64,\"bits\":4},"
     "\"quantization_config\":{\"group_size\":64,\"bits\":4}",
     "mlx",
     4,
     64,
     {{"q.weight", "U32", {256, 64}, 0}, /* its scales count: bits are mixed */
      {"q.scales", "F16", {256, 8}, 131072},
      {"q.biases", "F16", {256, 8}, 0},
      {"o.weight", "U32", {256, 96}, 0}, /* 6 bits */
      {"o.scales", "F16", {256, 8}, 131072},
      {"q.bias", "F16", {256}, 256},
      {"norm.weight", "F16", {512}, 512}}},
    {"\"quantization_config\":{\"quant_method\":\"unheard-of-method\"}",
     "unheard-of-m...",
     0,
     0,
     {{"q.weight", "U8", {128, 256}, 32768}}},
    {"\"torch_dtype\":\"bfloat16\"",
     "",
     0,
     0,
     {{"q.weight", "BF16", {512, 256}, 131072},
      {"q.scales", "F32", {3}, 3},
      {"q.qweight", "I32", {5}, 5}}},
};

START_TEST(counts_weights)
{
    const struct layout *layout = &layouts[_i];
    struct safetensors_writer w;
    struct gov__header header;
    char config[1000];

    safetensors_begin(&w);
    for (int i = 0; layout->tensors[i].name != NULL; i++)
        safetensors_add(&w, layout->tensors[i].name, layout->tensors[i].dtype,
                        layout->tensors[i].shape);
    safetensors_write(&w, path);
    snprintf(config, sizeof(config), "{\"model_type\":\"llama\",%s}",
             layout->config);
    write_text(in("config.json"), config);
    reads(&header, path);
    ck_assert_str_eq(header.quantization.method, layout->method);
    ck_assert_uint_eq(header.quantization.bits, layout->bits);
    ck_assert_uint_eq(header.quantization.group, layout->group);
    for (int i = 0; layout->tensors[i].name != NULL; i++)
        ck_assert_msg(gov__quantized_parameters(
                          &header, tensor(&header, layout->tensors[i].name)) ==
                          layout->tensors[i].weights,
                      "%s %s", layout->method, layout->tensors[i].name);
    gov__header_fini(&header);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof(table[0]))

Suite *suite(void)
{
    Suite *s = suite_create("safetensors");
    TCase *t = tcase_create("safetensors");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, refuses_hostile, 0, ROWS(hostile));
    tcase_add_loop_test(t, refuses_other_files, 0, ROWS(starts));
    tcase_add_test(t, refuses_depth);
    tcase_add_test(t, refuses_long_names_and_shapes);
    tcase_add_loop_test(t, knows_every_type, 0, ROWS(types));
    tcase_add_test(t, reads_good);
    tcase_add_test(t, reads_odd);
    tcase_add_test(t, reads_shards);
    tcase_add_test(t, reads_shards_here);
    tcase_add_loop_test(t, refuses_indexes, 0, ROWS(indexes));
    tcase_add_test(t, refuses_links);
    tcase_add_test(t, follows_links);
    tcase_add_test(t, looks_into_directories);
    tcase_add_test(t, reads_shards_by_name);
    tcase_add_test(t, passes_over_a_copied_index);
    tcase_add_test(t, believes_an_index_with_shards);
    tcase_add_test(t, wants_all_shards);
    tcase_add_loop_test(t, limits_shards, 0, 2);
    tcase_add_test(t, bears_long_paths);
    tcase_add_test(t, reads_what_lies_beside);
    tcase_add_loop_test(t, survives_any_byte, 0, ROWS(mutated));
    tcase_add_loop_test(t, survives_any_length, 0, ROWS(mutated));
    tcase_add_loop_test(t, survives_any_fault, 0, 2);
    tcase_add_loop_test(t, goes_on_after_a_signal, 0, 2);
    tcase_add_loop_test(t, sees_files_change, 0, 2);
    tcase_add_test(t, reads_large_headers_fast);
    tcase_add_test(t, takes_little_memory);
    tcase_add_loop_test(t, counts_weights, 0, ROWS(layouts));
    suite_add_tcase(s, t);
    return s;
}
