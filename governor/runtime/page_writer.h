/* SPDX-License-Identifier: MIT */
/* The publishing side of governor/page.h, for the runtime: one file per process
 * that govtop reads.
 *
 * The file is written whole with pwrite() at the pace of the sampler. It is not
 * mapped, because somebody who truncates a mapped file gives its host a SIGBUS.
 * Nothing here is for a hot path: the runtime keeps its counters in atomics and
 * copies them into a struct gov_page once a sample. */
#ifndef GOV_RUNTIME_PAGE_WRITER_H
#define GOV_RUNTIME_PAGE_WRITER_H

#include <stdatomic.h>

#include "governor/runtime/page_layout.h"

/* Storage of the caller; one thread at a time. Zeroed, it is a closed writer. */
struct gov__page_writer {
    bool open;
    int fd;          /* -1 while the file has to be made again */
    int32_t pid;     /* in the name and the content */
    int32_t creator; /* getpid() at open: a forked child leaves the file be */
    uint64_t start_ticks;
    uint64_t sequence;
    _Atomic uint32_t made; /* how often the file was; read by any thread */
    char directory[GOV__PAGE_PATH_BYTES];
};

/* Copies a text into `bytes` bytes, cut at a character boundary and filled up with
 * NUL. True when it was another one. */
bool gov__page_cut(char *to, size_t bytes, const char *value);

/* Sets a text of *page, cut to its field at a character boundary. True when it was
 * another one. */
bool gov__page_put(struct gov_page *page, gov_page_text text,
                   const char *value);

/* Makes the directory where it is missing (NULL: the default one) and in it the
 * empty file of this process, replacing one that an earlier process of the same
 * pid left. Readers see nothing before the first update. On failure *writer is
 * closed.
 *
 * GOV_E_PERMISSION  the directory cannot be trusted; the message says why
 * GOV_E_IO, GOV_E_INVALID (a path that is too long, a pid that is none) */
GOV_NODISCARD gov_status gov__page_writer_open(struct gov__page_writer *writer,
                                               const char *directory,
                                               int32_t pid,
                                               uint64_t start_ticks,
                                               gov_error *err);

/* Publishes counter[], have, the texts, actions and events of *page; its pid,
 * version, start_ticks and alive are passed over, those given at open are written.
 * A text without a NUL is cut.
 *
 * A file that was removed meanwhile (a directory swept, a session ended) is made
 * again. A failure is not final: the next update tries again. GOV_OK and nothing
 * done on a closed writer, in a forked child, and while another writer of the
 * same pid has the file.
 *
 * GOV_E_IO, GOV_E_PERMISSION */
GOV_NODISCARD gov_status
gov__page_writer_update(struct gov__page_writer *writer,
                        const struct gov_page *page, gov_error *err);

/* Removes the file if it is still the writer's, and closes. Accepts a closed
 * writer. */
void gov__page_writer_close(struct gov__page_writer *writer);

#endif
