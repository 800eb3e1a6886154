/* SPDX-License-Identifier: MIT */
/* Groups tensors into units by name and place.
 *
 * The rule: walking through a file, consecutive tensors of the same layer (or of
 * the experts of one, of the embedding, of a projector, or of what is global)
 * form one unit. In most dense files every layer lies in one piece, and that
 * gives one unit for each. Where it does not, a layer has several units with the
 * same number: files converted from several safetensors shards split the layers
 * at the shards' edges, a router lies between the experts it chooses from, and
 * often the output matrix lies at the front and its norm at the end. So units
 * never overlap, and no unit drags bytes along that something else needs. */
#include <stdlib.h>
#include <string.h>

#include "governor/model/model_priv.h"
#include "governor/model/tensor_names.h"

static bool same_unit(const struct gov__tensor_role *a,
                      const struct gov__tensor_role *b)
{
    return a->kind == b->kind && a->stage == b->stage && a->layer == b->layer &&
           a->part == b->part;
}

/* A unit to be: the places first..last-1, in order of file and offset. */
struct run {
    struct gov__tensor_role role;
    uint64_t offset, end, tensor_bytes;
    uint64_t before, behind; /* as in struct gov__unit_place */
    size_t first, last;
    uint32_t file;
};

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

/* Projectors come last: most passes use none. */
static int turn(gov_unit_kind kind)
{
    switch (kind) {
    case GOV_UNIT_EMBEDDING:
        return 0;
    case GOV_UNIT_LAYER:
    case GOV_UNIT_EXPERTS:
        return 1;
    case GOV_UNIT_OUTPUT:
        break;
    case GOV_UNIT_PROJECTOR:
        return 3;
    }
    return 2;
}

static int by_first_use(const void *left, const void *right)
{
    const struct run *a = left, *b = right;
    int order = ORDER(turn(a->role.kind), turn(b->role.kind));

    if (order == 0)
        order = ORDER(a->role.stage, b->role.stage);
    if (order == 0)
        order = ORDER(a->role.layer, b->role.layer);
    if (order == 0)
        order = ORDER(a->role.kind, b->role.kind); /* experts behind the rest */
    if (order == 0)
        order = ORDER(a->role.late, b->role.late);
    if (order == 0)
        order = ORDER(a->role.part, b->role.part);
    if (order == 0)
        order = ORDER(a->file, b->file);
    return order != 0 ? order : ORDER(a->offset, b->offset);
}

static void begin_run(struct run *runs, size_t count, size_t place,
                      const struct gov_tensor *tensor,
                      const struct gov__tensor_role *role)
{
    runs[count] = (struct run){.role = *role,
                               .offset = tensor->file_offset,
                               .behind = UINT64_MAX,
                               .file = tensor->file,
                               .first = count == 0 ? 0 : place};
    if (count > 0 && runs[count - 1].file == tensor->file) {
        runs[count].before = runs[count - 1].end;
        runs[count - 1].behind = tensor->file_offset;
    }
}

/* Finds the runs and returns how many; runs NULL only counts. A tensor without
 * bytes goes with the run it stands in. */
static size_t find_runs(const struct gov__header *header, struct run *runs)
{
    struct gov__tensor_role last = {0};
    uint32_t last_file = 0;
    size_t count = 0;

    for (size_t i = 0; i < header->count; i++) {
        const struct gov_tensor *tensor =
            &header->tensors[header->places[i].tensor];
        struct gov__tensor_role role = gov__tensor_role(tensor->name);
        struct run *run;

        if (tensor->bytes != 0 && (count == 0 || tensor->file != last_file ||
                                   !same_unit(&role, &last))) {
            last = role;
            last_file = tensor->file;
            if (runs != NULL)
                begin_run(runs, count, i, tensor, &role);
            count++;
        }
        if (runs == NULL || count == 0)
            continue;
        run = &runs[count - 1];
        run->last = i + 1;
        if (tensor->bytes != 0) {
            run->end = tensor->file_offset + tensor->bytes;
            run->tensor_bytes += tensor->bytes;
            run->role.late = run->role.late && role.late;
        }
    }
    return count;
}

/* ---- experts ----------------------------------------------------------------- */

/* How many experts a tensor of all of them holds: its slowest dimension, but for
 * those of 1, if the header says the same; else 0. */
static uint64_t stacked(const struct gov__header *header,
                        const struct gov_tensor *tensor)
{
    uint64_t said = gov__header_single(header, GOV__KEY_EXPERTS);
    uint32_t dims = tensor->dims < 4 ? tensor->dims : 4;

    while (dims > 1 && tensor->shape[dims - 1] == 1 && said != 1)
        dims--;
    return dims > 0 && tensor->shape[dims - 1] == said ? said : 0;
}

static uint32_t count_experts(const struct gov__header *header,
                              const struct run *run)
{
    uint64_t all = 0;
    uint32_t least = UINT32_MAX, most = 0;

    for (size_t i = run->first; i < run->last; i++) {
        const struct gov_tensor *tensor =
            &header->tensors[header->places[i].tensor];
        struct gov__tensor_role role = gov__tensor_role(tensor->name);

        if (role.expert == GOV__ALL_EXPERTS) {
            if (stacked(header, tensor) > all)
                all = stacked(header, tensor);
            continue;
        }
        least = role.expert < least ? role.expert : least;
        most = role.expert > most ? role.expert : most;
    }
    if (all == 0 && least <= most)
        all = (uint64_t)most - least + 1;
    return (uint32_t)all;
}

/* The part of a tensor that belongs to one expert; bytes 0 if none does. */
static struct gov_file_range slice(const struct gov__header *header,
                                   const struct gov_tensor *tensor,
                                   uint32_t expert)
{
    struct gov__tensor_role role = gov__tensor_role(tensor->name);
    struct gov_file_range range = {tensor->file, tensor->file_offset, 0};
    uint64_t experts = stacked(header, tensor);

    if (role.expert == expert) {
        range.bytes = tensor->bytes;
    } else if (role.expert == GOV__ALL_EXPERTS && expert < experts &&
               tensor->bytes % experts == 0) {
        range.bytes = tensor->bytes / experts;
        range.offset += range.bytes * expert;
    }
    return range;
}

size_t gov_unit_expert(const gov_model *model, size_t unit, uint32_t expert,
                       struct gov_file_range *out, size_t room)
{
    const struct gov__header *header = &model->header;
    const struct gov__place *places;
    size_t count = 0;

    if (unit >= model->unit_count || expert == GOV__ALL_EXPERTS ||
        model->units[unit].kind != GOV_UNIT_EXPERTS)
        return 0;
    places = header->places + model->unit_places[unit].first;
    for (uint32_t i = 0; i < model->units[unit].tensors; i++) {
        struct gov_file_range range =
            slice(header, &header->tensors[places[i].tensor], expert);

        if (range.bytes == 0)
            continue;
        if (count < room)
            out[count] = range;
        count++;
    }
    return count;
}

/* ---- pages ------------------------------------------------------------------- */

void gov_unit_pages(const gov_model *model, size_t unit, uint64_t page_bytes,
                    struct gov_unit_pages *out)
{
    const struct gov__unit_place *place;
    const struct gov_unit *u;
    uint64_t mask = page_bytes - 1, end, inner_end;

    memset(out, 0, sizeof(*out));
    if (unit >= model->unit_count)
        return;
    u = &model->units[unit];
    place = &model->unit_places[unit];
    end = u->file_offset + u->bytes;
    out->outer_offset = u->file_offset & ~mask;
    out->outer_bytes = ((end + mask) & ~mask) - out->outer_offset;
    out->shared_before = place->before > out->outer_offset;
    out->shared_behind = place->behind < out->outer_offset + out->outer_bytes;
    out->inner_offset = out->shared_before ? (u->file_offset + mask) & ~mask
                                           : out->outer_offset;
    inner_end =
        out->shared_behind ? end & ~mask : out->outer_offset + out->outer_bytes;
    if (inner_end > out->inner_offset)
        out->inner_bytes = inner_end - out->inner_offset;
}

/* ---- making ------------------------------------------------------------------ */

static void make_unit(struct gov_model *model, const struct run *run,
                      uint32_t index)
{
    struct gov__header *header = &model->header;
    bool experts = run->role.kind == GOV_UNIT_EXPERTS;

    model->units[index] = (struct gov_unit){
        .kind = run->role.kind,
        .layer = run->role.layer,
        .file_offset = run->offset,
        .bytes = run->end - run->offset,
        .tensor_bytes = run->tensor_bytes,
        .tensors = (uint32_t)(run->last - run->first),
        .file = run->file,
        .experts = experts ? count_experts(header, run) : 0,
    };
    model->unit_places[index] =
        (struct gov__unit_place){run->first, run->before, run->behind};
    for (size_t n = run->first; n < run->last; n++)
        header->tensors[header->places[n].tensor].unit = index;
}

gov_status gov__model_make_units(struct gov_model *model, const char *label,
                                 gov_error *err)
{
    struct gov_alloc *alloc = &model->alloc;
    size_t count = find_runs(&model->header, NULL);
    struct run *runs;

    if (count == 0)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "%s has no weights and so is not a model; name a file "
                        "with weights",
                        label);
    runs = alloc->alloc(alloc->ctx, count * sizeof(*runs));
    model->units = alloc->alloc(alloc->ctx, count * sizeof(*model->units));
    model->unit_places =
        alloc->alloc(alloc->ctx, count * sizeof(*model->unit_places));
    if (runs == NULL || model->units == NULL || model->unit_places == NULL) {
        alloc->release(alloc->ctx, runs);
        return gov__header_no_memory(label, err);
    }
    find_runs(&model->header, runs);
    qsort(runs, count, sizeof(*runs), by_first_use);
    for (size_t i = 0; i < count; i++)
        make_unit(model, &runs[i], (uint32_t)i);
    model->unit_count = count;
    alloc->release(alloc->ctx, runs);
    return GOV_OK;
}
