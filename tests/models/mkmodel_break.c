/* SPDX-License-Identifier: MIT */
/* Hostile files: one table of ways to spoil a valid model, one flaw each, so
 * that a reader which accepts the file has missed exactly that flaw. Never
 * writes a file. */
#include "mkmodel_break.h"

#include <string.h>

#define HUGE_COUNT ((uint64_t)1 << 60)

static void set_u32(struct mk_header *h, size_t at, uint32_t value)
{
    mk_store_u32(h->bytes.data + at, value);
}

static void set_u64(struct mk_header *h, size_t at, uint64_t value)
{
    mk_store_u64(h->bytes.data + at, value);
}

static void cut_all(struct mk_header *h, const struct mk_plan *plan,
                    uint64_t *file_bytes)
{
    (void)h;
    (void)plan;
    *file_bytes = 0;
}

static void cut_header(struct mk_header *h, const struct mk_plan *plan,
                       uint64_t *file_bytes)
{
    (void)plan;
    *file_bytes = h->bytes.len / 2;
}

static void cut_data(struct mk_header *h, const struct mk_plan *plan,
                     uint64_t *file_bytes)
{
    *file_bytes = h->bytes.len + plan->data_bytes / 2;
}

static void spoil_magic(struct mk_header *h, const struct mk_plan *plan,
                        uint64_t *file_bytes)
{
    (void)plan;
    (void)file_bytes;
    h->bytes.data[h->magic + 3] = 'X';
}

static void spoil_version(struct mk_header *h, const struct mk_plan *plan,
                          uint64_t *file_bytes)
{
    (void)plan;
    (void)file_bytes;
    set_u32(h, h->version, 99);
}

static void spoil_tensor_count(struct mk_header *h, const struct mk_plan *plan,
                               uint64_t *file_bytes)
{
    (void)plan;
    (void)file_bytes;
    set_u64(h, h->tensor_count, HUGE_COUNT);
}

static void spoil_kv_count(struct mk_header *h, const struct mk_plan *plan,
                           uint64_t *file_bytes)
{
    (void)plan;
    (void)file_bytes;
    set_u64(h, h->kv_count, HUGE_COUNT);
}

/* One byte more than the file has behind the length. */
static void spoil_string(struct mk_header *h, const struct mk_plan *plan,
                         uint64_t *file_bytes)
{
    (void)plan;
    set_u64(h, h->string_len, *file_bytes - h->string_len - 8 + 1);
}

static void spoil_array(struct mk_header *h, const struct mk_plan *plan,
                        uint64_t *file_bytes)
{
    (void)plan;
    (void)file_bytes;
    set_u64(h, h->array_len, HUGE_COUNT);
}

static void overlap(struct mk_header *h, const struct mk_plan *plan,
                    uint64_t *file_bytes)
{
    (void)file_bytes;
    set_u64(h, h->tensors[1].offset, plan->tensors[0].offset);
}

static void misalign(struct mk_header *h, const struct mk_plan *plan,
                     uint64_t *file_bytes)
{
    (void)file_bytes;
    set_u64(h, h->tensors[1].offset, plan->tensors[1].offset + 1);
}

static void point_beyond(struct mk_header *h, const struct mk_plan *plan,
                         uint64_t *file_bytes)
{
    (void)file_bytes;
    set_u64(h, h->tensors[plan->count - 1].offset,
            mk_round_up(plan->data_bytes, 4096));
}

/* 2^40 rows of 2^40: the product is 0 in 64 bits. */
static void overflow_dims(struct mk_header *h, const struct mk_plan *plan,
                          uint64_t *file_bytes)
{
    (void)plan;
    (void)file_bytes;
    set_u64(h, h->tensors[0].columns, (uint64_t)1 << 40);
    set_u64(h, h->tensors[0].rows, (uint64_t)1 << 40);
}

/* Two tensors whose names have one length: the later takes the earlier's. */
static void repeat_name(struct mk_header *h, const struct mk_plan *plan,
                        uint64_t *file_bytes)
{
    (void)file_bytes;
    for (size_t i = 1; i < plan->count; i++) {
        const char *name = plan->tensors[i - 1].name;
        size_t len = strlen(name);

        if (strlen(plan->tensors[i].name) != len)
            continue;
        memcpy(h->bytes.data + h->tensors[i].name + 8, name, len);
        return;
    }
}

static void spoil_type(struct mk_header *h, const struct mk_plan *plan,
                       uint64_t *file_bytes)
{
    (void)plan;
    (void)file_bytes;
    set_u32(h, h->tensors[0].type, 1000);
}

/* The depth is in the table. */
static void nest_arrays(struct mk_header *h, const struct mk_plan *plan,
                        uint64_t *file_bytes)
{
    (void)h;
    (void)plan;
    (void)file_bytes;
}

static const struct mk_break breaks[] = {
    {"truncate-header", "the file ends within the header", 0, cut_header},
    {"truncate-data", "the file ends in the middle of the data", 0, cut_data},
    {"magic", "it begins with GGUX", 0, spoil_magic},
    {"version", "version 99", 0, spoil_version},
    {"tensor-count", "2^60 tensors", 0, spoil_tensor_count},
    {"kv-count", "2^60 keys", 0, spoil_kv_count},
    {"string-length", "a string one byte longer than the rest of the file", 0,
     spoil_string},
    {"array-length", "an array of 2^60 strings", 0, spoil_array},
    {"offset-overlap", "the second tensor lies on the first", 0, overlap},
    {"offset-misaligned", "the second tensor lies one byte off", 0, misalign},
    {"offset-beyond", "the last tensor lies behind the end of the file", 0,
     point_beyond},
    {"dims-overflow", "a tensor of 2^40 x 2^40 elements", 0, overflow_dims},
    {"dup-tensor", "two tensors have one name", 0, repeat_name},
    {"bad-type", "a tensor has the type 1000", 0, spoil_type},
    {"nested-array", "a key holds an array 100000 arrays deep", 100000,
     nest_arrays},
    {"empty", "a file of 0 bytes", 0, cut_all},
};

const struct mk_break *mk_break_at(unsigned i)
{
    return i < sizeof(breaks) / sizeof(breaks[0]) ? &breaks[i] : NULL;
}

const struct mk_break *mk_break_find(const char *name)
{
    const struct mk_break *b;

    for (unsigned i = 0; (b = mk_break_at(i)) != NULL; i++)
        if (strcmp(b->name, name) == 0)
            return b;
    return NULL;
}
