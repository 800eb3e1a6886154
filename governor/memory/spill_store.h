/* SPDX-License-Identifier: MIT */
/* What the files of the spill directory share. A state's file is
 *
 *   state | note | name | trailer
 *
 * so that an engine which reads its state from the first byte on need not know of
 * the rest. */
#ifndef GOV_MEMORY_SPILL_STORE_H
#define GOV_MEMORY_SPILL_STORE_H

#include <dirent.h>
#include <pthread.h>
#include <sys/types.h>

#include "governor/memory/memory_priv.h"
#include "governor/spill.h"

#define GOV__SPILL_FILE 80 /* a file's name in the directory, at most */
/* Of one read or write; no more memory is used. Aligned, for direct reads. */
#define GOV__SPILL_CHUNK (1U << 20)

struct gov_spill {
    const struct gov_platform *platform;
    const struct gov_alloc *alloc;
    struct gov_spill_options options; /* its directory is `path` */
    int dir;
    pthread_mutex_t room; /* from seeing that there is some to announcing it */
    pthread_mutex_t lock; /* all that follows */
    struct gov_spill_draft *drafts;
    uint64_t drafted; /* part of the next draft's name: begins with the time */
    char path[GOV_SPILL_PATH_BYTES - GOV__SPILL_FILE];
};

struct gov_spill_draft {
    gov_spill *spill;
    struct gov_spill_draft *next;
    int fd; /* locked for as long as it is written */
    uint64_t announced;
    uint64_t seen; /* of its file, when the directory was weighed last */
    bool broken;   /* a write failed: not to be committed */
    bool placed;   /* there is no file of that name any more */
    char name[GOV_SPILL_NAME_BYTES];
    char file[GOV__SPILL_FILE];
    char path[GOV_SPILL_PATH_BYTES];
};

/* The last bytes of a file. One machine's: another byte order is another magic. A
 * trailer is as long in every version, with these first members and `own_sum`: so an
 * older program knows a newer file from a damaged one. */
struct gov__spill_trailer {
    uint64_t magic;
    uint32_t version, bytes; /* of the trailer */
    uint64_t state_bytes, note_bytes, name_bytes;
    int64_t stored_at;
    uint64_t state_sum[2], tail_sum[2]; /* of note and name together */
    uint64_t own_sum;                   /* of all before it */
};

struct gov__spill_sum {
    uint64_t half[2];
};

gov_status gov__spill_open_on(gov_spill **out,
                              const struct gov_platform *platform,
                              const struct gov_alloc *alloc,
                              const struct gov_spill_options *options,
                              gov_error *err);

/* ---- spill_format.c: pure but for reading ---- */

/* "32 hexadecimal digits.state". */
void gov__spill_file_of(const char *name, char out[GOV__SPILL_FILE]);
bool gov__spill_name_ok(const char *name);
void gov__spill_seal(struct gov__spill_trailer *trailer);
/* Whether these are the last bytes of a file of so many: all lengths fit. */
gov_status gov__spill_parse(const void *bytes, uint64_t file_bytes,
                            struct gov__spill_trailer *out);
/* pread() until all is there; 0 or an error number, EIO at the end of the file. */
int gov__spill_pread(int fd, void *out, size_t bytes, uint64_t at);
/* A sum of what an open file has in [at, at + bytes); reads into `chunk`, from places
 * that are multiples of `grain`. 0 or an error number, EIO at the end of the file. */
int gov__spill_sum_of(int fd, void *chunk, uint32_t grain, uint64_t at,
                      uint64_t bytes, struct gov__spill_sum *out);
void gov__spill_sum_two(const void *a, size_t a_bytes, const void *b,
                        size_t b_bytes, struct gov__spill_sum *out);
/* A name may be any text; a sentence is one line. Returns the status. */
gov_status gov__spill_say(gov_status status, gov_error *err);
/* GOV__SPILL_CHUNK bytes, aligned to pages. NULL: there is no memory. */
void *gov__spill_chunk(const gov_spill *spill);
void gov__spill_chunk_free(const gov_spill *spill, void *chunk);

/* ---- spill.c ---- */

/* A list of the directory with a descriptor of its own. NULL, and errno. */
DIR *gov__spill_entries(const gov_spill *spill);
/* Bytes of all files, those of drafts being what was announced where that is more;
 * drafts that nobody writes are removed where `sweep` says so. 0 or an error
 * number. */
int gov__spill_weigh(gov_spill *spill, bool sweep, uint64_t *bytes);
/* Refuses what has no room; `own` is of that already there, or announced. With
 * `room` locked, until what was allowed is announced. */
gov_status gov__spill_room(gov_spill *spill, const char *name, uint64_t bytes,
                           uint64_t own, gov_error *err);
/* fsync() of a directory, which may have nothing to do. 0 or an error number. */
int gov__spill_sync_directory(int fd);

#endif
