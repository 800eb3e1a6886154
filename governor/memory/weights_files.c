/* SPDX-License-Identifier: MIT */
/* Which mappings may be governed: finds a model's files in this process and
 * refuses, with a reason, what cannot be. Never maps, locks or writes anything:
 * the mappings stay whose they are. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/memory/weights_state.h"
#include "governor/model/model_text.h"

static int open_again(const char *path)
{
    int fd;

    do /* O_NONBLOCK: should a FIFO be there now, do not wait for a writer */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    return fd;
}

gov_status gov__weights_open_same(int *fd, struct stat *st,
                                  const struct gov_model_file *file,
                                  const char *label, const char *const words[2],
                                  gov_error *err)
{
    gov_status status = GOV_OK;

    *fd = open_again(file->path);
    if (*fd < 0)
        return gov_fail(err, errno == ENOENT ? GOV_E_NOT_FOUND : GOV_E_IO,
                        errno, "cannot open %s to %s it", label, words[0]);
    if (fstat(*fd, st) != 0)
        status = gov_fail(err, GOV_E_IO, errno, "cannot examine %s", label);
    else if ((uint64_t)st->st_dev != file->device ||
             (uint64_t)st->st_ino != file->inode ||
             (uint64_t)st->st_size != file->bytes)
        status = gov_fail(err, GOV_E_IO, 0,
                          "%s was replaced since its header was read; %s the "
                          "model again",
                          label, words[1]);
    if (status != GOV_OK) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

/* An engine that started later may have mapped another file of that name. */
static gov_status open_same(struct gov__range_file *out,
                            const struct gov_model_file *file,
                            const char *label, gov_error *err)
{
    static const char *const words[2] = {"stream", "load"};
    struct stat st = {.st_uid = 0};
    gov_status status =
        gov__weights_open_same(&out->fd, &st, file, label, words, err);

    if (status != GOV_OK)
        return status;
    out->file_bytes = file->bytes;
    /* Linux answers "all of it" to anybody else (mm/mincore.c). */
    out->tells_resident =
        st.st_uid == geteuid() ||
        faccessat(AT_FDCWD, file->path, W_OK, AT_EACCESS) == 0;
    return GOV_OK;
}

/* Not every file system can; then reads go through the page cache. */
static void open_direct(const struct gov_platform *platform,
                        struct gov__range_file *out, const char *path)
{
    out->direct_fd = open_again(path);
    if (out->direct_fd >= 0 &&
        platform->set_direct(platform->ctx, out->direct_fd, true) != 0) {
        close(out->direct_fd);
        out->direct_fd = -1;
    }
}

/* The engine need not map the header, nor what lies behind the last tensor:
 * llama.cpp unmaps both. */
static bool covers_units(const gov_model *model, uint32_t file,
                         const struct gov__mapping *mapping)
{
    size_t count;
    const struct gov_unit *units = gov_model_units(model, &count);

    for (size_t i = 0; i < count; i++)
        if (units[i].file == file &&
            (units[i].file_offset < mapping->file_offset ||
             units[i].file_offset - mapping->file_offset > mapping->bytes ||
             units[i].bytes > mapping->bytes - (units[i].file_offset -
                                                mapping->file_offset)))
            return false;
    return true;
}

static gov_status refuse(const struct gov__mapping *mapping, int rc,
                         const char *label, gov_error *err)
{
    if (rc == ENOENT)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "this process does not map %s; let the engine load it "
                        "with mmap first",
                        label);
    if (rc == ENOTSUP)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "this system does not tell what a process maps, so the "
                        "weights cannot be governed");
    if (rc != 0)
        return gov_fail(err, GOV_E_IO, rc,
                        "cannot read what this process maps");
    if (mapping->locked)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "the mapping of %s is locked in memory, so nothing of "
                        "it can be dropped; load the model without mlock",
                        label);
    if (mapping->copied)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s is mapped privately, and what the engine may have "
                        "written there would be lost; map it shared",
                        label);
    if (mapping->pieces > 1)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s is mapped in %u pieces; load it once, with all "
                        "weights on the processor",
                        label, (unsigned)mapping->pieces);
    return GOV_OK;
}

/* Files that the library mapped are mapped whole. */
static void take_place(const struct gov_weights_place *place,
                       struct gov__mapping *out)
{
    memset(out, 0, sizeof(*out));
    out->base = place->base;
    out->bytes = (size_t)place->bytes;
    out->pieces = 1;
}

static gov_status find_one(gov_weights *weights, uint32_t index,
                           const struct gov_weights_options *options,
                           const char *label, gov_error *err)
{
    const struct gov_platform *platform = weights->range.platform;
    struct gov__range_file *file = &weights->range.files[index];
    struct gov_weights_place place = {NULL, 0};
    struct gov__mapping mapping;
    gov_status status = GOV_OK;
    int rc;

    if (weights->owned != NULL) {
        take_place(&weights->owned->places[index], &mapping);
    } else {
        if (options->places != NULL && index < options->place_count)
            place = options->places[index];
        rc = platform->find_mapping(platform->ctx, file->fd, place.base,
                                    (size_t)place.bytes, &mapping);
        status = refuse(&mapping, rc, label, err);
    }
    if (status != GOV_OK)
        return status;
    if (!covers_units(weights->model, index, &mapping))
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "the mapping does not cover all weights of %s; load it "
                        "with all weights on the processor",
                        label);
    file->base = mapping.base;
    file->bytes = mapping.bytes;
    file->file_offset = mapping.file_offset;
    weights->mapped_bytes += mapping.bytes;
    return GOV_OK;
}

gov_status gov__weights_find(gov_weights *weights,
                             const struct gov_weights_options *options,
                             gov_error *err)
{
    size_t count;
    const struct gov_model_file *files =
        gov_model_files(weights->model, &count);
    gov_status status = GOV_OK;
    char name[GOV__LABEL_BYTES];

    for (uint32_t i = 0; i < count && status == GOV_OK; i++) {
        gov__text_path(name, sizeof(name), files[i].path);
        status = open_same(&weights->range.files[i], &files[i], name, err);
        if (status == GOV_OK && options->direct)
            open_direct(weights->range.platform, &weights->range.files[i],
                        files[i].path);
        if (status == GOV_OK)
            status = find_one(weights, i, options, name, err);
    }
    return status;
}
