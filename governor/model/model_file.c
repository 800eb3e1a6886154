/* SPDX-License-Identifier: MIT */
/* See model_file.h. The only place of the readers that makes system calls, but for
 * safetensors_find.c, which lists directories. */
#include "governor/model/model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/model/model_text.h"

static gov_status cannot(const char *what, int code, const char *path,
                         gov_error *err)
{
    char text[160];
    gov_status status = code == ENOENT || code == ENOTDIR ? GOV_E_NOT_FOUND
                        : code == EACCES || code == EPERM ? GOV_E_PERMISSION
                                                          : GOV_E_IO;

    return gov_fail(err, status, code, "cannot %s model %s", what,
                    gov__text_path(text, sizeof(text), path));
}

char *gov__model_file_label(char out[GOV__LABEL_BYTES], const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash != NULL && slash[1] != '\0')
        path = slash + 1;
    return gov__text_path(out, GOV__LABEL_BYTES, path);
}

bool gov__model_file_is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static gov_status identify(struct gov__model_file *out, const char *path,
                           gov_error *err)
{
    char text[160];
    struct stat st;

    if (fstat(out->fd, &st) != 0)
        return cannot("read", errno, path, err);
    if (!S_ISREG(st.st_mode))
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "cannot read model %s: it is a %s; name a .gguf or "
                        ".safetensors file",
                        gov__text_path(text, sizeof(text), path),
                        S_ISDIR(st.st_mode)    ? "directory"
                        : S_ISFIFO(st.st_mode) ? "pipe"
                                               : "device");
    out->id = (struct gov_model_file){
        path, (uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size};
    out->modified = st.st_mtim;
    return GOV_OK;
}

gov_status gov__model_file_open(struct gov__model_file *out, const char *path,
                                gov_error *err)
{
    gov_status status;

    memset(out, 0, sizeof(*out));
    gov__model_file_label(out->label, path);
    /* Without O_NONBLOCK a pipe that nobody writes to would hold us for good. */
    do
        out->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    while (out->fd < 0 && errno == EINTR);
    if (out->fd < 0)
        return cannot("open", errno, path, err);
    status = identify(out, path, err);
    if (status != GOV_OK)
        gov__model_file_close(out);
    return status;
}

void gov__model_file_close(struct gov__model_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

static gov_status shrank(const char *label, gov_error *err)
{
    return gov_fail(err, GOV_E_IO, 0,
                    "model %s became shorter while it was read; wait until "
                    "nothing writes to it",
                    label);
}

gov_status gov__model_file_read(const struct gov__model_file *file,
                                uint64_t offset, void *out, size_t bytes,
                                gov_error *err)
{
    size_t have = 0;

    while (have < bytes) {
        ssize_t n = pread(file->fd, (char *)out + have, bytes - have,
                          (off_t)(offset + have));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gov_fail(err, GOV_E_IO, errno, "cannot read model %s",
                            file->label);
        if (n == 0)
            return shrank(file->label, err);
        have += (size_t)n;
    }
    return GOV_OK;
}

gov_status gov__model_file_unchanged(const struct gov__model_file *file,
                                     gov_error *err)
{
    const struct gov_model_file *id = &file->id;
    struct stat now, at_path;

    if (fstat(file->fd, &now) != 0)
        return gov_fail(err, GOV_E_IO, errno, "cannot read model %s",
                        file->label);
    if ((uint64_t)now.st_size < id->bytes)
        return shrank(file->label, err);
    if ((uint64_t)now.st_size != id->bytes ||
        now.st_mtim.tv_sec != file->modified.tv_sec ||
        now.st_mtim.tv_nsec != file->modified.tv_nsec)
        return gov_fail(err, GOV_E_IO, 0,
                        "model %s was written to while it was read; wait until "
                        "nothing writes to it",
                        file->label);
    /* The engine opens the path, not our descriptor. */
    if (stat(id->path, &at_path) != 0 ||
        (uint64_t)at_path.st_dev != id->device ||
        (uint64_t)at_path.st_ino != id->inode)
        return gov_fail(err, GOV_E_IO, 0,
                        "model %s was removed or replaced while it was read; "
                        "try again",
                        file->label);
    return GOV_OK;
}
