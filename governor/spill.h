/* SPDX-License-Identifier: MIT */
/* A directory of states that need no memory at the moment: conversations, mostly.
 * A state is acknowledged when gov_spill_commit() returns GOV_OK: it was read back
 * from the disk by then and is what was written. Whatever ends the process, or the
 * machine, at any point: there is the state from before or the new one, whole, and a
 * reader tells a damaged file from a good one. What a state is, its writer knows.
 *
 * The directory is its owner's alone (0700, files 0600): a state has in it what the
 * user wrote. One directory may be used by several processes at once. */
#ifndef GOV_SPILL_H
#define GOV_SPILL_H

#include <stdbool.h>

#include "policies/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GOV_SPILL_NAME_BYTES 128        /* of a name, the final NUL included */
#define GOV_SPILL_NOTE_BYTES (8U << 20) /* of a note, at most */
#define GOV_SPILL_PATH_BYTES 1024

typedef struct gov_spill gov_spill;             /* the directory */
typedef struct gov_spill_draft gov_spill_draft; /* a state being written */

struct gov_spill_options {
    size_t size;           /* set by gov_spill_options_default() */
    const char *directory; /* copied; made, 0700, where it is not there; its
                            * parent must be */
    /* Of all files in it, whoever wrote them; 0: 8 GiB. */
    uint64_t quota_bytes;
    uint64_t file_bytes; /* of one; 0: the quota */
    /* What is left to others of the file system; 0: a twentieth of it, 2 GiB at
     * most. */
    uint64_t spare_bytes;
};

static inline struct gov_spill_options gov_spill_options_default(void)
{
    struct gov_spill_options options = {sizeof(struct gov_spill_options), NULL,
                                        0, 0, 0};
    return options;
}

/* Opens a directory, and removes drafts that nobody writes any more. One that is
 * somebody else's, or that others may read or write, is refused; so is a symbolic
 * link.
 *
 * GOV_E_INVALID, GOV_E_IO, GOV_E_PERMISSION, GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_spill_open(
    gov_spill **out, const struct gov_spill_options *options, gov_error *err);

/* After its drafts were committed or dropped. Removes nothing. Accepts NULL. */
GOV_API void gov_spill_close(gov_spill *spill);

/* Where it is; borrowed. */
GOV_API const char *gov_spill_directory(const gov_spill *spill);

/* Begins to write the state called `name` (any text of 1 to 127 bytes; it becomes
 * no part of a path), which will take about `bytes`: what has no room is refused
 * here. An older state of that name stays until the commit. Any thread; several
 * drafts may be written at once.
 *
 * GOV_E_INVALID  the name, or more than the limit of one file
 * GOV_E_BUSY     the quota, the file system's spare space or the process's own
 *                limit does not allow it; the sentence says which, and how much
 *                there is
 * GOV_E_IO, GOV_E_PERMISSION, GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_spill_begin(gov_spill *spill,
                                                 const char *name,
                                                 uint64_t bytes,
                                                 gov_spill_draft **out,
                                                 gov_error *err);

/* The file, for an engine that writes its state itself, from the first byte on and
 * in place of what is there; it must not be renamed or removed. Borrowed. */
GOV_API const char *gov_spill_draft_path(const gov_spill_draft *draft);

/* Appends to the state. After a failure the draft can only be dropped, and a commit
 * refuses it. GOV_E_BUSY, GOV_E_IO, GOV_E_PERMISSION */
GOV_API GOV_NODISCARD gov_status gov_spill_write(gov_spill_draft *draft,
                                                 const void *data, size_t bytes,
                                                 gov_error *err);

/* Ends a state: appends `note` (what its writer wants to know of it without
 * reading it; may be NULL when note_bytes is 0), brings all of it to the disk,
 * reads it back from there and compares, and puts it in the place of an older one.
 * Takes as long as the disk does, and no more than a few MiB of memory; not for a
 * thread that must not wait. Frees the draft, whatever it returns; on failure
 * nothing is left of it and the older state stays, but where it was in its place
 * already and the directory could not be brought to the disk (GOV_E_IO): then the
 * new one is there, whole, and after a crash of the machine either. *stored_bytes
 * (may be NULL) is the length of the file.
 *
 * GOV_E_INVALID  the note is too long
 * GOV_E_BUSY     what was written passes a limit
 * GOV_E_FORMAT   what came back is not what was written
 * GOV_E_IO, GOV_E_PERMISSION, GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_spill_commit(gov_spill_draft *draft,
                                                  const void *note,
                                                  size_t note_bytes,
                                                  uint64_t *stored_bytes,
                                                  gov_error *err);

/* Gives a draft up and removes its file. Accepts NULL. */
GOV_API void gov_spill_drop(gov_spill_draft *draft);

/* What is known of a state. */
struct gov_spill_state {
    size_t size; /* of the struct, set by the library */
    char name[GOV_SPILL_NAME_BYTES];
    uint64_t file_bytes;  /* on the disk */
    uint64_t state_bytes; /* what was written before the note */
    uint64_t note_bytes;
    int64_t stored_at; /* seconds since 1970 */
};

/* Writes the states of the directory, the newest first, the `room` newest; returns
 * how many there are, those that are damaged or of another version left out. Reads
 * a few hundred bytes of each. */
GOV_API size_t gov_spill_list(gov_spill *spill, struct gov_spill_state *out,
                              size_t room);

/* Reads the note of a state, at most `room` bytes of it (`note` may be NULL when
 * room is 0), and what is known of it (`out` may be NULL). Its checksum was right.
 *
 * GOV_E_NOT_FOUND    there is no such state
 * GOV_E_FORMAT       the file is damaged, or none of ours
 * GOV_E_UNSUPPORTED  it is of another version
 * GOV_E_IO, GOV_E_PERMISSION, GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_spill_note(gov_spill *spill,
                                                const char *name, void *note,
                                                size_t room,
                                                struct gov_spill_state *out,
                                                gov_error *err);

/* Reads all of a state and checks it; path[] then names the file, which begins
 * with what was written, for an engine that reads it itself. It may be replaced by
 * a later commit, never changed. Errors as above. */
GOV_API GOV_NODISCARD gov_status gov_spill_check(
    gov_spill *spill, const char *name, char path[GOV_SPILL_PATH_BYTES],
    struct gov_spill_state *out, gov_error *err);

/* The state is not going to be read again soon: its pages need not stay in memory.
 * Advice; failures are passed over. */
GOV_API void gov_spill_cool(gov_spill *spill, const char *name);

/* Removes a state. GOV_E_NOT_FOUND, GOV_E_IO, GOV_E_PERMISSION */
GOV_API gov_status gov_spill_remove(gov_spill *spill, const char *name,
                                    gov_error *err);

/* Bytes of all files in the directory, and what the quota is. Reads the directory. */
GOV_API void gov_spill_usage(gov_spill *spill, uint64_t *used_bytes,
                             uint64_t *quota_bytes);

#ifdef __cplusplus
}
#endif
#endif
