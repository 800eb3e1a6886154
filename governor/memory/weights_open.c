/* SPDX-License-Identifier: MIT */
/* See weights_open.h: maps a model's files for an app with an engine of its
 * own, copies the tensors that cannot be used in place, and tells where each
 * is. What stays in memory of a mapping is decided in weights.c. */
#include "governor/memory/weights_open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/memory/memory_priv.h"
#include "governor/memory/weights_priv.h"
#include "governor/model/model_text.h"

/* Of a path in a message. */
#define LABEL_BYTES 80
/* A cache line, and the widest vector that there is. */
#define COPY_ALIGN 64
/* Read, and then out of the page cache again, so that the copy is all there is.
 */
#define COPY_CHUNK ((uint64_t)8 << 20)

/* ---- files ----------------------------------------------------------------- */

struct opened {
    int fd;
    struct timespec modified;
    char label[LABEL_BYTES];
};

static gov_status open_same(struct opened *out,
                            const struct gov_model_file *file, gov_error *err)
{
    static const char *const words[2] = {"map", "open"};
    struct stat st;
    gov_status status;

    gov__text_path(out->label, sizeof(out->label), file->path);
    status =
        gov__weights_open_same(&out->fd, &st, file, out->label, words, err);
    if (status == GOV_OK)
        out->modified = st.st_mtim;
    return status;
}

static gov_status map_one(struct gov__weights_owned *owned,
                          const struct gov_model_file *file,
                          struct gov_weights_place *place, gov_error *err)
{
    const struct gov_platform *platform = owned->platform;
    struct opened f;
    gov_status status = open_same(&f, file, err);
    void *base = NULL;
    int rc = ENOTSUP;

    if (status != GOV_OK)
        return status;
    if (file->bytes > SIZE_MAX)
        rc = ENOMEM;
    else if (platform->map_file != NULL)
        rc = platform->map_file(platform->ctx, f.fd, 0, (size_t)file->bytes,
                                NULL, &base);
    close(f.fd);
    if (rc == ENOTSUP)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "this system cannot map %s, so the weights cannot be "
                        "governed",
                        f.label);
    if (rc != 0)
        return gov_fail(err, rc == ENOMEM ? GOV_E_NOMEM : GOV_E_IO, rc,
                        "cannot map %s", f.label);
    *place = (struct gov_weights_place){base, file->bytes};
    return GOV_OK;
}

static gov_status map_files(struct gov__weights_owned *owned, gov_error *err)
{
    const struct gov_model_file *files =
        gov_model_files(owned->model, &owned->file_count);
    gov_status status = GOV_OK;

    for (size_t i = 0; i < owned->file_count && status == GOV_OK; i++)
        status = map_one(owned, &files[i], &owned->places[i], err);
    return status;
}

/* ---- copies ---------------------------------------------------------------- */

/* Copies lie one behind the other as the tensors do. False when there is no
 * room in the address space for them. */
static bool place_copies(struct gov__weights_owned *owned)
{
    const struct gov_platform *platform = owned->platform;
    const uint64_t page = platform->page_bytes(platform->ctx);
    size_t count, unit_count;
    const struct gov_tensor *tensors = gov_model_tensors(owned->model, &count);
    uint64_t end = 0;

    (void)gov_model_units(owned->model, &unit_count);
    for (size_t i = 0; i < unit_count; i++)
        owned->unit_copied[i] = true;
    for (size_t i = 0; i < count; i++) {
        uint64_t at = gov__round_up(end, COPY_ALIGN);

        owned->copied_at[i] = GOV__NOT_COPIED;
        if (tensors[i].bytes == 0)
            continue;
        if (tensors[i].aligned) {
            owned->unit_copied[tensors[i].unit] = false;
            continue;
        }
        if (tensors[i].bytes > SIZE_MAX / 2 - at)
            return false;
        owned->copied_at[i] = at;
        end = at + tensors[i].bytes;
    }
    owned->copied_bytes = gov__round_up(end, page);
    return true;
}

/* Exactly those bytes, which the file has by its header. 0 or an errno value;
 * ENODATA when it ends before. */
static int read_all(int fd, uint64_t offset, char *out, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = pread(fd, out, bytes, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return ENODATA;
        offset += (uint64_t)n;
        out += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static gov_status copy_one(const struct gov__weights_owned *owned,
                           const struct opened *f,
                           const struct gov_tensor *tensor, char *out,
                           gov_error *err)
{
    const struct gov_platform *platform = owned->platform;

    for (uint64_t at = 0; at < tensor->bytes; at += COPY_CHUNK) {
        uint64_t offset = tensor->file_offset + at;
        uint64_t bytes = tensor->bytes - at;
        int rc;

        if (bytes > COPY_CHUNK)
            bytes = COPY_CHUNK;
        rc = read_all(f->fd, offset, out + at, (size_t)bytes);
        if (rc == ENODATA)
            return gov_fail(err, GOV_E_IO, 0,
                            "%s became shorter while it was read; wait until "
                            "nothing writes to it",
                            f->label);
        if (rc != 0)
            return gov_fail(err, GOV_E_IO, rc, "cannot read %s", f->label);
        (void)platform->drop_cached(platform->ctx, f->fd, offset, bytes);
    }
    return GOV_OK;
}

/* What was read between two looks at the file is of one version of it. */
static gov_status close_same(const struct opened *f, gov_status status,
                             gov_error *err)
{
    struct stat st;

    if (status == GOV_OK && fstat(f->fd, &st) != 0)
        status = gov_fail(err, GOV_E_IO, errno, "cannot examine %s", f->label);
    else if (status == GOV_OK && (st.st_mtim.tv_sec != f->modified.tv_sec ||
                                  st.st_mtim.tv_nsec != f->modified.tv_nsec))
        status = gov_fail(err, GOV_E_IO, 0,
                          "%s was written to while it was read; wait until "
                          "nothing writes to it",
                          f->label);
    close(f->fd);
    return status;
}

/* Tensors are listed file by file, so that each file is opened once. */
static gov_status copy_tensors(struct gov__weights_owned *owned, gov_error *err)
{
    size_t count, file_count;
    const struct gov_tensor *tensors = gov_model_tensors(owned->model, &count);
    const struct gov_model_file *files =
        gov_model_files(owned->model, &file_count);
    gov_status status = GOV_OK;
    size_t i = 0;

    while (i < count && status == GOV_OK) {
        uint32_t file = tensors[i].file;
        struct opened f;

        if (owned->copied_at[i] == GOV__NOT_COPIED) {
            i++;
            continue;
        }
        status = open_same(&f, &files[file], err);
        if (status != GOV_OK)
            break;
        for (; i < count && tensors[i].file == file && status == GOV_OK; i++)
            if (owned->copied_at[i] != GOV__NOT_COPIED)
                status = copy_one(owned, &f, &tensors[i],
                                  owned->copies + owned->copied_at[i], err);
        status = close_same(&f, status, err);
    }
    return status;
}

/* The tensor that cannot be used in place; NULL when all can. */
static const struct gov_tensor *first_misaligned(const gov_model *model)
{
    size_t count;
    const struct gov_tensor *tensors = gov_model_tensors(model, &count);

    for (size_t i = 0; i < count; i++)
        if (!tensors[i].aligned && tensors[i].bytes > 0)
            return &tensors[i];
    return NULL;
}

static gov_status make_copies(struct gov__weights_owned *owned,
                              const struct gov_weights_options *options,
                              const char *label, gov_error *err)
{
    const struct gov_platform *platform = owned->platform;
    const struct gov_alloc *alloc = &owned->alloc;
    const struct gov_tensor *first = first_misaligned(owned->model);
    size_t count, unit_count;
    void *copies = NULL;
    int rc;

    if (first == NULL)
        return GOV_OK;
    if (options->decrypt != NULL)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "tensor \"%s\" of %s is not aligned, and what is "
                        "encrypted is used where it lies; write the file anew "
                        "with aligned tensors",
                        gov__text_show(first->name, strlen(first->name)).text,
                        label);
    (void)gov_model_tensors(owned->model, &count);
    (void)gov_model_units(owned->model, &unit_count);
    owned->copied_at =
        alloc->alloc(alloc->ctx, count * sizeof(*owned->copied_at));
    owned->unit_copied =
        alloc->alloc(alloc->ctx, unit_count * sizeof(*owned->unit_copied));
    if (owned->copied_at == NULL || owned->unit_copied == NULL ||
        !place_copies(owned))
        rc = ENOMEM;
    else
        rc = platform->map(platform->ctx, (size_t)owned->copied_bytes,
                           "governor tensors", &copies);
    if (rc != 0)
        return gov_fail(err, rc == ENOMEM ? GOV_E_NOMEM : GOV_E_IO, rc,
                        "no memory for the tensors of %s that are not aligned",
                        label);
    owned->copies = copies;
    return copy_tensors(owned, err);
}

/* ---- life ------------------------------------------------------------------ */

static struct gov__weights_owned *new_owned(const struct gov_platform *platform,
                                            const gov_model *model,
                                            const struct gov_alloc *alloc)
{
    struct gov__weights_owned *owned;
    size_t count, bytes;

    (void)gov_model_files(model, &count);
    bytes = count * sizeof(*owned->places);
    owned = alloc->alloc(alloc->ctx, sizeof(*owned));
    if (owned == NULL)
        return NULL;
    memset(owned, 0, sizeof(*owned));
    owned->alloc = *alloc;
    owned->platform = platform;
    owned->model = model;
    owned->places = alloc->alloc(alloc->ctx, bytes);
    if (owned->places == NULL) {
        alloc->release(alloc->ctx, owned);
        return NULL;
    }
    memset(owned->places, 0, bytes);
    return owned;
}

void gov__weights_owned_free(struct gov__weights_owned *owned)
{
    struct gov_alloc alloc;

    if (owned == NULL)
        return;
    alloc = owned->alloc;
    for (size_t i = 0; i < owned->file_count; i++)
        if (owned->places[i].base != NULL)
            gov__unmap(owned->platform, owned->places[i].base,
                       (size_t)owned->places[i].bytes);
    if (owned->copies != NULL)
        gov__unmap(owned->platform, owned->copies, (size_t)owned->copied_bytes);
    alloc.release(alloc.ctx, owned->unit_copied);
    alloc.release(alloc.ctx, owned->copied_at);
    alloc.release(alloc.ctx, owned->places);
    alloc.release(alloc.ctx, owned);
}

gov_status gov__weights_owned_new(struct gov__weights_owned **out,
                                  const struct gov_platform *platform,
                                  const gov_model *model,
                                  const struct gov_weights_options *options,
                                  gov_error *err)
{
    char label[LABEL_BYTES];
    const struct gov_alloc *alloc =
        options->alloc != NULL ? options->alloc : gov_alloc_default();
    struct gov__weights_owned *owned = new_owned(platform, model, alloc);
    gov_status status;

    *out = NULL;
    gov__text_path(label, sizeof(label), gov_model_path(model));
    if (owned == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "out of memory for the files of %s; free some and try "
                        "again",
                        label);
    status = map_files(owned, err);
    if (status == GOV_OK)
        status = make_copies(owned, options, label, err);
    if (status != GOV_OK) {
        gov__weights_owned_free(owned);
        return status;
    }
    *out = owned;
    return GOV_OK;
}

/* ---- the app's calls --------------------------------------------------------- */

gov_status gov__weights_open_on(gov_weights **out,
                                const struct gov_platform *platform,
                                const gov_model *model,
                                const struct gov_weights_options *options,
                                gov_error *err)
{
    struct gov_weights_options o;
    struct gov__weights_owned *owned;
    gov_status status;

    if (out == NULL || model == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_weights_open() needs a model and a place for the "
                        "weights");
    *out = NULL;
    status = gov__weights_read_options(&o, options, err);
    if (status == GOV_OK)
        status = gov__weights_owned_new(&owned, platform, model, &o, err);
    if (status != GOV_OK)
        return status;
    status = gov__weights_govern(out, platform, model, &o, owned, err);
    if (status != GOV_OK)
        gov__weights_owned_free(owned);
    return status;
}

gov_status gov_weights_open(gov_weights **out, const gov_model *model,
                            const struct gov_weights_options *options,
                            gov_error *err)
{
    return gov__weights_open_on(out, gov__platform_native(), model, options,
                                err);
}

gov_status gov_weights_tensor(const gov_weights *weights, size_t tensor,
                              struct gov_view *out, gov_error *err)
{
    struct gov__weights_seen seen;
    const struct gov_tensor *t;
    size_t count;

    if (weights == NULL || out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_weights_tensor() needs weights and a place for "
                        "the view");
    memset(out, 0, sizeof(*out));
    seen = gov__weights_see(weights);
    t = gov_model_tensors(seen.model, &count);
    if (tensor >= count)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the model has %zu tensors, and none of index %zu",
                        count, tensor);
    t += tensor;
    out->bytes = t->bytes;
    if (t->bytes == 0) /* wherever the header has it: nothing is read there */
        out->data = seen.range->files[t->file].base;
    else if (t->aligned)
        out->data = gov__range_address(seen.range, t->file, t->file_offset);
    else if (seen.owned != NULL) {
        out->data = seen.owned->copies + seen.owned->copied_at[tensor];
        out->copied = true;
    } else {
        memset(out, 0, sizeof(*out));
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "tensor \"%s\" is not aligned where the engine mapped "
                        "it; gov_weights_open() makes a copy",
                        gov__text_show(t->name, strlen(t->name)).text);
    }
    return GOV_OK;
}
