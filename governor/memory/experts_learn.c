/* SPDX-License-Identifier: MIT */
/* Finds the experts of a model and where their matrices lie. Owns nothing; trusts
 * no number in the model beyond what its header was checked for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "governor/memory/experts.h"
#include "governor/model/tensor_names.h"

/* Of models that exist the largest has some 23,000 (60 layers of 384) of three
 * matrices each. A file can claim any number: what is beyond is not owned. */
#define EXPERTS_MAX ((uint32_t)1 << 20)
#define SLICES_MAX ((uint32_t)1 << 22)

/* What is known of a unit while learning. */
struct found {
    uint32_t singles, stacks; /* tensors of one expert, or of all of them */
    uint32_t low, high;       /* numbers of experts */
};

struct learning {
    struct gov__experts *experts;
    const gov_model *model;
    const struct gov_unit *units;
    const struct gov_tensor *tensors;
    size_t unit_count, tensor_count;
    struct found *found;
    uint64_t slices;
};

/* By name: asking gov_unit_expert() for each number takes a walk through the
 * unit each, which is seconds where experts are tensors of their own. */
static void look_at_tensors(struct learning *l)
{
    for (size_t i = 0; i < l->tensor_count; i++) {
        const struct gov_tensor *tensor = &l->tensors[i];
        struct found *found = &l->found[tensor->unit];
        uint32_t number;

        if (l->units[tensor->unit].kind != GOV_UNIT_EXPERTS ||
            tensor->bytes == 0)
            continue;
        number = gov__tensor_role(tensor->name).expert;
        if (number == GOV__ALL_EXPERTS) {
            found->stacks++;
            continue;
        }
        if (found->singles == 0 || number < found->low)
            found->low = number;
        if (found->singles == 0 || number > found->high)
            found->high = number;
        found->singles++;
    }
}

static bool is_mapped(const struct gov__range *range,
                      const struct gov_unit *unit)
{
    const struct gov__range_file *file;

    if (unit->file >= range->file_count)
        return false;
    file = &range->files[unit->file];
    return file->base != NULL && unit->file_offset >= file->file_offset &&
           unit->file_offset + unit->bytes <= file->file_offset + file->bytes;
}

/* Whether all bytes of a unit of experts belong to some expert. */
static bool is_cut_evenly(const struct learning *l, uint32_t index)
{
    const struct gov_unit *unit = &l->units[index];
    struct found *found = &l->found[index];

    if (found->stacks == 0)
        return found->singles > 0;
    if (found->singles > 0 || unit->experts == 0 ||
        gov_unit_expert(l->model, index, 0, NULL, 0) != found->stacks)
        return false;
    found->low = 0;
    found->high = unit->experts - 1;
    return true;
}

/* How many units from this one on are of the same layer. */
static uint32_t layer_from(const struct learning *l, uint32_t index)
{
    uint32_t n = 0;

    while (index + n < l->unit_count &&
           (l->units[index + n].kind == GOV_UNIT_LAYER ||
            l->units[index + n].kind == GOV_UNIT_EXPERTS) &&
           l->units[index + n].layer == l->units[index].layer)
        n++;
    return n;
}

static uint64_t slices_of(const struct learning *l, uint32_t index)
{
    const struct found *found = &l->found[index];

    return found->singles + (uint64_t)found->stacks * l->units[index].experts;
}

/* Gives the units of a layer the numbers that they have together. */
static void number_layer(struct learning *l, uint32_t begin, uint32_t end)
{
    struct gov__experts *experts = l->experts;
    uint32_t low = UINT32_MAX, high = 0;
    uint64_t slices = l->slices;
    bool fits;

    for (uint32_t i = begin; i < end; i++)
        if (experts->units[i].owned) {
            low = l->found[i].low < low ? l->found[i].low : low;
            high = l->found[i].high > high ? l->found[i].high : high;
            slices += slices_of(l, i);
        }
    if (low > high) /* none is owned */
        return;
    fits = high - low < EXPERTS_MAX - experts->expert_count &&
           slices <= SLICES_MAX;
    for (uint32_t i = begin; i < end; i++)
        if (experts->units[i].owned && fits)
            experts->units[i] = (struct gov__expert_unit){
                experts->expert_count, low, high - low + 1, true};
        else
            experts->units[i].owned = false;
    if (fits) {
        experts->expert_count += high - low + 1;
        l->slices = slices;
    }
}

static void look_at_units(struct learning *l)
{
    uint32_t next;

    for (uint32_t i = 0; i < l->unit_count; i++)
        l->experts->units[i].owned =
            l->units[i].kind == GOV_UNIT_EXPERTS &&
            is_mapped(l->experts->range, &l->units[i]) && is_cut_evenly(l, i);
    for (uint32_t i = 0; i < l->unit_count; i = next) {
        uint32_t of_layer = layer_from(l, i);

        next = i + (of_layer > 0 ? of_layer : 1);
        number_layer(l, i, next);
    }
    for (uint32_t i = 0; i < l->unit_count; i++)
        if (!l->experts->units[i].owned)
            l->slices++;
}

static void add_slice(struct gov__experts *experts, struct gov__slice slice)
{
    if (slice.bytes > 0)
        experts->slices[experts->slice_count++] = slice;
}

static void add_tensor(struct learning *l, const struct gov_tensor *tensor)
{
    const struct gov__expert_unit *unit = &l->experts->units[tensor->unit];
    struct gov__slice slice = {.offset = tensor->file_offset,
                               .bytes = tensor->bytes,
                               .file = tensor->file,
                               .expert = unit->first};

    if (!unit->owned)
        return;
    if (l->found[tensor->unit].stacks == 0) {
        slice.expert += gov__tensor_role(tensor->name).expert - unit->low;
        add_slice(l->experts, slice);
        return;
    }
    /* A stack begins with number 0, and so does its layer. */
    slice.bytes /= l->units[tensor->unit].experts;
    for (uint32_t i = 0; i < l->units[tensor->unit].experts; i++) {
        add_slice(l->experts, slice);
        slice.offset += slice.bytes;
        slice.expert++;
    }
}

static int by_place(const void *left, const void *right)
{
    const struct gov__slice *a = left, *b = right;

    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static void add_slices(struct learning *l)
{
    struct gov__experts *experts = l->experts;

    for (size_t i = 0; i < l->tensor_count; i++)
        add_tensor(l, &l->tensors[i]);
    for (uint32_t i = 0; i < l->unit_count; i++)
        if (!experts->units[i].owned)
            add_slice(experts,
                      (struct gov__slice){.offset = l->units[i].file_offset,
                                          .bytes = l->units[i].bytes,
                                          .file = l->units[i].file,
                                          .expert = GOV__NO_EXPERT});
    qsort(experts->slices, experts->slice_count, sizeof(*experts->slices),
          by_place);
    for (uint32_t i = experts->slice_count; i-- > 0;) {
        struct gov__slice *slice = &experts->slices[i];

        slice->next = GOV__NO_SLICE;
        if (slice->expert == GOV__NO_EXPERT)
            continue;
        slice->next = experts->experts[slice->expert].slices;
        experts->experts[slice->expert].slices = i;
    }
}

static void *new_array(struct gov__experts *experts, uint64_t count,
                       size_t bytes)
{
    void *array = NULL;

    if (count <= SIZE_MAX / bytes)
        array = experts->alloc.alloc(experts->alloc.ctx, count * bytes);
    if (array != NULL)
        memset(array, 0, count * bytes);
    return array;
}

static int make(struct learning *l)
{
    struct gov__experts *experts = l->experts;

    experts->units = new_array(experts, l->unit_count, sizeof(*experts->units));
    l->found = new_array(experts, l->unit_count, sizeof(*l->found));
    if (experts->units == NULL || l->found == NULL)
        return ENOMEM;
    experts->unit_count = (uint32_t)l->unit_count;
    look_at_tensors(l);
    look_at_units(l);
    if (experts->expert_count == 0)
        return ENOENT;
    experts->experts =
        new_array(experts, experts->expert_count, sizeof(*experts->experts));
    experts->slices = new_array(experts, l->slices, sizeof(*experts->slices));
    if (experts->experts == NULL || experts->slices == NULL)
        return ENOMEM;
    for (uint32_t i = 0; i < experts->expert_count; i++)
        experts->experts[i].slices = GOV__NO_SLICE;
    add_slices(l);
    return 0;
}

int gov__experts_learn(struct gov__experts *experts, const gov_model *model)
{
    struct learning l = {.experts = experts, .model = model};
    const struct gov_alloc *alloc = &experts->alloc;
    int rc;

    l.units = gov_model_units(model, &l.unit_count);
    l.tensors = gov_model_tensors(model, &l.tensor_count);
    experts->model_units = l.units;
    experts->newest = experts->oldest = GOV__NO_EXPERT;
    experts->step = 1;
    rc = make(&l);
    alloc->release(alloc->ctx, l.found);
    if (rc != 0) {
        alloc->release(alloc->ctx, experts->slices);
        alloc->release(alloc->ctx, experts->experts);
        alloc->release(alloc->ctx, experts->units);
        return rc;
    }
    for (uint32_t i = 0; i < experts->expert_count; i++)
        if (experts->experts[i].slices != GOV__NO_SLICE)
            gov__experts_touch(experts, i);
    experts->all_bytes = experts->there_bytes;
    while (experts->oldest != GOV__NO_EXPERT)
        gov__experts_forget(experts, experts->oldest);
    return 0;
}
