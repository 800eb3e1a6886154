/* SPDX-License-Identifier: MIT */
/* The public face of a model file: opens, answers, closes. The header is read
 * by gguf.c, grouped by model_units.c and summed up by model_facts.c. */
#include "governor/model.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/model/model_priv.h"
#include "governor/model/model_text.h"

static gov_status cannot_open(int code, const char *path, gov_error *err)
{
    char text[160];
    gov_status status = code == ENOENT || code == ENOTDIR ? GOV_E_NOT_FOUND
                        : code == EACCES || code == EPERM ? GOV_E_PERMISSION
                                                          : GOV_E_IO;

    return gov_fail(err, status, code, "cannot open model %s",
                    gov__text_path(text, sizeof(text), path));
}

/* Without O_NONBLOCK a pipe that nobody writes to would hold us for good. */
static int open_file(const char *path)
{
    int fd;

    do
        fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* The last part of a path, by which messages about the content go. */
static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static gov_status identify(struct gov_model *model, int fd, const char *path,
                           gov_error *err)
{
    char text[160];
    struct stat st;

    if (fstat(fd, &st) != 0)
        return gov_fail(err, GOV_E_IO, errno, "cannot read model %s",
                        gov__text_path(text, sizeof(text), path));
    if (!S_ISREG(st.st_mode))
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "cannot read model %s: it is a %s; name a .gguf file",
                        gov__text_path(text, sizeof(text), path),
                        S_ISDIR(st.st_mode)    ? "directory"
                        : S_ISFIFO(st.st_mode) ? "pipe"
                                               : "device");
    model->device = (uint64_t)st.st_dev;
    model->inode = (uint64_t)st.st_ino;
    model->file_bytes = (uint64_t)st.st_size;
    return GOV_OK;
}

static gov_status read_model(struct gov_model *model, int fd, const char *path,
                             gov_error *err)
{
    char label[72];
    gov_status status = identify(model, fd, path, err);

    if (status != GOV_OK)
        return status;
    gov__text_path(label, sizeof(label), file_name(path));
    status = gov__gguf_read_fd(&model->gguf, fd, model->file_bytes, label,
                               &model->alloc, err);
    if (status == GOV_OK)
        status = gov__model_make_units(model, label, err);
    if (status == GOV_OK)
        gov__model_sum(model);
    return status;
}

gov_status gov_model_open(gov_model **out, const char *path,
                          const struct gov_alloc *alloc, gov_error *err)
{
    struct gov_model *model;
    gov_status status;
    size_t bytes;
    int fd;

    if (out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_model_open() needs a place for the model");
    *out = NULL;
    if (path == NULL || path[0] == '\0')
        return gov_fail(err, GOV_E_INVALID, 0,
                        "no model is named; give the path of a .gguf file");
    if (alloc == NULL)
        alloc = gov_alloc_default();
    fd = open_file(path);
    if (fd < 0)
        return cannot_open(errno, path, err);

    bytes = strlen(path) + 1;
    model = alloc->alloc(alloc->ctx, sizeof(*model) + bytes);
    if (model == NULL) {
        status = gov_fail(err, GOV_E_NOMEM, 0,
                          "out of memory while opening a model; free some and "
                          "try again");
        goto close_file;
    }
    memset(model, 0, sizeof(*model));
    model->alloc = *alloc;
    model->gguf.alloc = *alloc;
    memcpy(model->path, path, bytes);
    status = read_model(model, fd, path, err);
    if (status == GOV_OK)
        *out = model;
    else
        gov_model_close(model);
close_file:
    close(fd);
    return status;
}

void gov_model_close(gov_model *model)
{
    struct gov_alloc alloc;

    if (model == NULL)
        return;
    alloc = model->alloc;
    gov__gguf_fini(&model->gguf);
    alloc.release(alloc.ctx, model->units);
    alloc.release(alloc.ctx, model);
}

const char *gov_model_path(const gov_model *model)
{
    return model->path;
}

const char *gov_model_name(const gov_model *model)
{
    return model->gguf.name;
}

const struct gov_unit *gov_model_units(const gov_model *model, size_t *count)
{
    *count = model->unit_count;
    return model->units;
}

const struct gov_tensor *gov_model_tensors(const gov_model *model,
                                           size_t *count)
{
    *count = model->gguf.count;
    return model->gguf.tensors;
}

void gov_model_identity(const gov_model *model, uint64_t *device,
                        uint64_t *inode, uint64_t *file_bytes)
{
    if (device != NULL)
        *device = model->device;
    if (inode != NULL)
        *inode = model->inode;
    if (file_bytes != NULL)
        *file_bytes = model->file_bytes;
}
