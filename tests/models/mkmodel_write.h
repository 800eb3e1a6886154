/* SPDX-License-Identifier: MIT */
/* The file: written beside its final name by several threads, then renamed, so
 * that the name only ever holds a whole model. Whatever ends the program but
 * SIGKILL, the partial file goes. Never decides what the bytes are. */
#ifndef MKMODEL_WRITE_H
#define MKMODEL_WRITE_H

#include "mkmodel_header.h"

/* Flags. */
enum mk_write {
    MK_WRITE_PROGRESS = 1, /* a bar on stderr if that is a terminal */
    MK_WRITE_SPARSE = 2    /* the header alone, the data a hole */
};

/* Writes the first file_bytes bytes of the model to the path. Exits with
 * MK_FAILED and one sentence if it cannot; if a signal asked to stop, ends by
 * that signal. */
void mk_write_file(const char *path, const struct mk_shape *shape,
                   const struct mk_plan *plan, const struct mk_header *header,
                   uint64_t file_bytes, unsigned how);

#endif
