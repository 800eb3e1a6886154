/* SPDX-License-Identifier: MIT */
/* A file of a model while its header is read: opened so that nothing can hold
 * us, read with pread() and never through a mapping, and known again by size,
 * time and inode. Knows nothing of what is in it. */
#ifndef GOV_MODEL_MODEL_FILE_H
#define GOV_MODEL_MODEL_FILE_H

#include <time.h>

#include "governor/model.h"

#define GOV__LABEL_BYTES 72

struct gov__model_file {
    int fd;                   /* -1 when it is not open */
    struct gov_model_file id; /* its path is the one given, borrowed */
    struct timespec modified;
    char label[GOV__LABEL_BYTES]; /* see below */
};

/* Whether the path is that of a directory. */
bool gov__model_file_is_directory(const char *path);

/* Opens that regular file for reading. On failure nothing is open, and close()
 * may be called all the same.
 *
 * GOV_E_NOT_FOUND, GOV_E_PERMISSION, GOV_E_IO  as the file system says
 * GOV_E_FORMAT  a directory, a pipe or a device */
gov_status gov__model_file_open(struct gov__model_file *out, const char *path,
                                gov_error *err);

/* Accepts one that is not open. */
void gov__model_file_close(struct gov__model_file *file);

/* Reads exactly that many bytes, which the file has by its size: where it ends
 * earlier it became shorter, GOV_E_IO. */
gov_status gov__model_file_read(const struct gov__model_file *file,
                                uint64_t offset, void *out, size_t bytes,
                                gov_error *err);

/* GOV_E_IO when the file was cut short, written to, removed or replaced since it
 * was opened, so that what was read of it may be parts of two files. A system
 * keeps time in steps of some milliseconds: a write within the same one that
 * leaves the size alone is not seen. */
gov_status gov__model_file_unchanged(const struct gov__model_file *file,
                                     gov_error *err);

/* The last part of a path, printable: messages about what is in a file go by
 * it. */
char *gov__model_file_label(char out[GOV__LABEL_BYTES], const char *path);

#endif
