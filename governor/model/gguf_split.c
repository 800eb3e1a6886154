/* SPDX-License-Identifier: MIT */
/* Finds the files of a model and has them read. A split one is what
 * llama-gguf-split makes: NAME-00001-of-00003.gguf and so on, numbers in the
 * first part, tensors in all (llama_model_loader in llama.cpp's
 * src/llama-model-loader.cpp). How many there are is believed when they are. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "governor/model/gguf_priv.h"
#include "governor/model/model_cursor.h"

/* split.count has 16 bits in llama.cpp. */
#define PARTS_LIMIT 65535
#define SUFFIX_BYTES (sizeof("-00001-of-00003.gguf") - 1)

/* `path` lives as long as the header. */
static gov_status read_file(struct gov__gguf *model, const char *path,
                            struct gov__gguf_part *part)
{
    struct gov__model_file file;
    gov_status status = gov__model_file_open(&file, path, model->err);

    if (status != GOV_OK)
        return status;
    status = gov__gguf_read(model, &file, part);
    /* What makes no sense may be half of something else by now. */
    if (status == GOV_OK || status == GOV_E_FORMAT) {
        gov_status changed = gov__model_file_unchanged(&file, model->err);

        if (changed != GOV_OK)
            status = changed;
    }
    if (status == GOV_OK &&
        !gov__header_add_file(model->header, &file.id, path))
        status = gov__header_no_memory(file.label, model->err);
    gov__model_file_close(&file);
    return status;
}

/* ---- parts ------------------------------------------------------------------ */

struct split {
    const char *path; /* of the part that was named */
    char label[GOV__LABEL_BYTES];
    struct gov__gguf_part named;
};

/* Whether the part's name tells those of the others. */
static gov_status check_named(const struct split *split, gov_error *err)
{
    const struct gov__gguf_part *part = &split->named;
    size_t bytes = strlen(split->path);
    char suffix[32];

    if (!part->numbered)
        return gov_fail(
            err, GOV_E_FORMAT, 0,
            "model %s is damaged: it says that it is one of %" PRIu64
            " parts, but not which; download it again",
            split->label, part->count);
    if (part->count > PARTS_LIMIT || part->number >= part->count)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "model %s is damaged: it says that it is part %" PRIu64
                        " of %" PRIu64 "; download it again",
                        split->label, part->number + 1, part->count);
    snprintf(suffix, sizeof(suffix), "-%05u-of-%05u.gguf",
             (unsigned)part->number + 1, (unsigned)part->count);
    if (bytes <= SUFFIX_BYTES ||
        strcmp(split->path + bytes - SUFFIX_BYTES, suffix) != 0)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "model %s is part %u of %u, and its name does not end "
                        "in %s, so that the others are not found; rename it",
                        split->label, (unsigned)part->number + 1,
                        (unsigned)part->count, suffix);
    return GOV_OK;
}

/* The name of a part, from the one that is known. */
static char *part_path(struct gov__gguf *model, const struct split *split,
                       uint32_t number)
{
    size_t bytes = strlen(split->path);
    char *path = gov__header_keep(model->header, split->path, bytes);
    char *digit;

    if (path == NULL)
        return NULL;
    digit = path + bytes - SUFFIX_BYTES + 5;
    for (uint32_t n = number + 1; *digit != '-'; n /= 10)
        *digit-- = (char)('0' + n % 10);
    return path;
}

static gov_status read_part(struct gov__gguf *model, const struct split *split,
                            uint32_t number)
{
    const struct gov__gguf_part *named = &split->named;
    struct gov__gguf_part part;
    char label[GOV__LABEL_BYTES];
    const char *path = part_path(model, split, number);
    gov_status status;

    if (path == NULL)
        return gov__header_no_memory(split->label, model->err);
    gov__model_file_label(label, path);
    status = read_file(model, path, &part);
    if (status == GOV_E_NOT_FOUND)
        return gov_fail(model->err, status, 0,
                        "model %s is part %u of %u, and %s is not there; "
                        "download it to the same directory",
                        split->label, (unsigned)named->number + 1,
                        (unsigned)named->count, label);
    if (status != GOV_OK)
        return status;
    if (!part.numbered || part.number != number || part.count != named->count ||
        part.tensors != named->tensors)
        return gov_fail(model->err, GOV_E_FORMAT, 0,
                        "%s is not part %u of the model that %s is part %u of; "
                        "download both again",
                        label, number + 1, split->label,
                        (unsigned)named->number + 1);
    return GOV_OK;
}

static gov_status read_parts(struct gov__gguf *model, const struct split *split)
{
    const struct gov__gguf_part *named = &split->named;
    gov_status status = check_named(split, model->err);

    if (status == GOV_OK && named->number != 0) {
        /* Once more from the first part on: it has the numbers. */
        struct gov_alloc alloc = model->header->alloc;

        gov__header_fini(model->header);
        gov__header_init(model->header, "gguf", &alloc);
    }
    for (size_t i = model->header->file_count;
         i < named->count && status == GOV_OK; i++)
        status = read_part(model, split, (uint32_t)i);
    if (status == GOV_OK && named->summed &&
        model->header->count != named->tensors)
        status = gov_fail(model->err, GOV_E_FORMAT, 0,
                          "model %s is damaged: its parts have %zu tensors "
                          "instead of %" PRIu64 "; download it again",
                          split->label, model->header->count, named->tensors);
    return status;
}

static gov_status read_model(struct gov__gguf *model, const char *path)
{
    struct split split = {.path = path};
    const char *kept = gov__header_keep(model->header, path, strlen(path));
    gov_status status;

    gov__model_file_label(split.label, path);
    if (kept == NULL || model->window == NULL)
        return gov__header_no_memory(split.label, model->err);
    status = read_file(model, kept, &split.named);
    if (status == GOV_OK && split.named.count > 1)
        status = read_parts(model, &split);
    if (status != GOV_OK)
        return status;
    if (model->header->count == 0)
        return gov_fail(model->err, GOV_E_FORMAT, 0,
                        "%s has no tensors and so is not a model; name a file "
                        "with weights",
                        split.label);
    return gov__header_check(model->header, split.label, model->err);
}

gov_status gov__gguf_open(struct gov__header *out, const char *path,
                          const struct gov_alloc *alloc, gov_error *err)
{
    struct gov__gguf model = {.header = out, .err = err};
    gov_status status;

    gov__header_init(out, "gguf", alloc);
    model.window = alloc->alloc(alloc->ctx, GOV__CURSOR_WINDOW);
    status = read_model(&model, path);
    alloc->release(alloc->ctx, model.window);
    if (status != GOV_OK)
        gov__header_fini(out);
    return status;
}
