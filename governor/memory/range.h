/* SPDX-License-Identifier: MIT */
/* The governed range: a model's files and where they are mapped. Plain data and
 * the one place where a file's offset becomes an address. */
#ifndef GOV_MEMORY_RANGE_H
#define GOV_MEMORY_RANGE_H

#include "governor/platform/platform.h"

/* More files than any model has: bounds a place's index. */
#define GOV__RANGE_FILES_MAX 4096

struct gov__range_file {
    int fd;               /* open for reading; -1: none */
    int direct_fd;        /* the same, past the page cache; -1: none */
    char *base;           /* where file_offset is mapped */
    uint64_t file_offset; /* of base; a multiple of the page */
    size_t bytes;         /* of the mapping */
    uint64_t file_bytes;  /* of the file */
    bool tells_resident;  /* the kernel does, for this file and user */
};

struct gov__range {
    const struct gov_platform *platform; /* borrowed */
    struct gov__range_file *files;
    uint32_t file_count;
    uint64_t page; /* bytes, a power of two */
};

/* `offset` lies in the mapping of that file. */
static inline void *gov__range_address(const struct gov__range *range,
                                       uint32_t file, uint64_t offset)
{
    const struct gov__range_file *f = &range->files[file];

    return f->base + (offset - f->file_offset);
}

#endif
