/* SPDX-License-Identifier: MIT */
/* The public face of a model: opens, answers, closes. Headers are read by gguf.c
 * and safetensors.c, grouped by model_units.c, summed up by model_sums.c. */
#include "governor/model.h"
#include "governor/model/model_text.h"

#include <string.h>

#include "governor/model/gguf.h"
#include "governor/model/model_file.h"
#include "governor/model/model_priv.h"
#include "governor/model/safetensors.h"

/* Safetensors begin with the length of a JSON object, in 8 bytes. */
static bool starts_as_safetensors(const unsigned char *start, size_t bytes,
                                  uint64_t file_bytes)
{
    uint64_t length = 0;

    if (bytes < 9 || start[8] != '{')
        return false;
    for (unsigned i = 0; i < 8; i++)
        length |= (uint64_t)start[i] << (8 * i);
    return length <= file_bytes - 8;
}

/* Which reader it is for. What is in a file decides, so that a wrong name does
 * no harm; its name does where that tells nothing, and the reader then says
 * what is wrong. */
static gov_status find_reader(const char *path, bool *safetensors,
                              gov_error *err)
{
    struct gov__model_file file;
    unsigned char start[9];
    size_t bytes = sizeof(start);
    gov_status status;

    *safetensors = gov__model_file_is_directory(path);
    if (*safetensors)
        return GOV_OK;
    status = gov__model_file_open(&file, path, err);
    if (status != GOV_OK)
        return status;
    if (file.id.bytes < bytes)
        bytes = (size_t)file.id.bytes;
    status = gov__model_file_read(&file, 0, start, bytes, err);
    gov__model_file_close(&file);
    if (status != GOV_OK)
        return status;
    if (bytes >= 4 && memcmp(start, "GGUF", 4) == 0)
        *safetensors = false;
    else
        *safetensors = starts_as_safetensors(start, bytes, file.id.bytes) ||
                       gov__text_ends(path, ".safetensors") ||
                       gov__text_ends(path, ".json");
    return GOV_OK;
}

static gov_status read_model(struct gov_model *model, gov_error *err)
{
    char label[GOV__LABEL_BYTES];
    bool safetensors;
    gov_status status = find_reader(model->path, &safetensors, err);

    if (status != GOV_OK)
        return status;
    status = (safetensors ? gov__safetensors_open : gov__gguf_open)(
        &model->header, model->path, &model->alloc, err);
    if (status != GOV_OK)
        return status;
    gov__model_file_label(label, model->path);
    status = gov__model_make_units(model, label, err);
    if (status != GOV_OK)
        return status;
    gov__state_of(&model->header, &model->state);
    gov__model_sum(model);
    return GOV_OK;
}

gov_status gov_model_open(gov_model **out, const char *path,
                          const struct gov_alloc *alloc, gov_error *err)
{
    struct gov_model *model;
    gov_status status;
    size_t bytes;

    if (out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_model_open() needs a place for the model");
    *out = NULL;
    if (path == NULL || path[0] == '\0')
        return gov_fail(err, GOV_E_INVALID, 0,
                        "no model is named; give the path of a .gguf or "
                        ".safetensors file");
    if (alloc == NULL)
        alloc = gov_alloc_default();
    bytes = strlen(path) + 1;
    model = alloc->alloc(alloc->ctx, sizeof(*model) + bytes);
    if (model == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "out of memory while opening a model; free some and "
                        "try again");
    memset(model, 0, sizeof(*model));
    model->alloc = *alloc;
    gov__header_init(&model->header, "", alloc);
    memcpy(model->path, path, bytes);
    status = read_model(model, err);
    if (status == GOV_OK)
        *out = model;
    else
        gov_model_close(model);
    return status;
}

void gov_model_close(gov_model *model)
{
    struct gov_alloc alloc;

    if (model == NULL)
        return;
    alloc = model->alloc;
    gov__header_fini(&model->header);
    alloc.release(alloc.ctx, model->units);
    alloc.release(alloc.ctx, model->unit_places);
    alloc.release(alloc.ctx, model);
}

const char *gov_model_path(const gov_model *model)
{
    return model->path;
}

const char *gov_model_name(const gov_model *model)
{
    return model->header.name;
}

const struct gov_unit *gov_model_units(const gov_model *model, size_t *count)
{
    *count = model->unit_count;
    return model->units;
}

const struct gov_tensor *gov_model_tensors(const gov_model *model,
                                           size_t *count)
{
    *count = model->header.count;
    return model->header.tensors;
}

const struct gov_model_file *gov_model_files(const gov_model *model,
                                             size_t *count)
{
    *count = model->header.file_count;
    return model->header.files;
}

void gov_model_identity(const gov_model *model, uint64_t *device,
                        uint64_t *inode, uint64_t *file_bytes)
{
    const struct gov_model_file *file = model->header.files;

    if (device != NULL)
        *device = file->device;
    if (inode != NULL)
        *inode = file->inode;
    if (file_bytes != NULL)
        *file_bytes = file->bytes;
}
