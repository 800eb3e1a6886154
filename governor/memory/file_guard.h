/* SPDX-License-Identifier: MIT */
/* Files that are written to or cut while they are mapped. Looks (fstat) once a
 * pass; holds a read lease where the file is the user's own, so that a writer
 * waits until what can be saved is; and, if the app asked for it, keeps a read
 * behind the end from ending the process. Owns the leases and the list of
 * addresses that the signal handler knows. */
#ifndef GOV_MEMORY_FILE_GUARD_H
#define GOV_MEMORY_FILE_GUARD_H

#include "governor/memory/range.h"

struct gov__file_stamp {
    uint64_t device, inode, bytes;
    uint64_t modified_ns, changed_ns;
    uint64_t links, mode;
    uint32_t slot; /* in the signal handler's list, from 1; 0: none */
    bool known;    /* of an open file */
    bool leased;
};

struct gov__file_guard {
    const struct gov__range *range;
    struct gov__file_stamp *stamps; /* borrowed, one a file */
};

/* Takes stamps and leases of the files; one that is not open (-1) is only watched
 * by the signal handler. No failure: a lease that cannot be had, and more files in
 * this process than the handler's list has room for (GOV__RANGE_FILES_MAX).
 * 0 or an errno value, after which nothing is held. */
int gov__file_guard_start(struct gov__file_guard *guard);
/* Nobody may read the range meanwhile. */
void gov__file_guard_stop(struct gov__file_guard *guard);

enum gov__file_news {
    GOV__FILE_SAME,
    /* Somebody wants to write to a file under lease and waits until it is given
     * up (gov__file_guard_yield()), 45 s at most (fs.lease-break-time): time to
     * anchor. *file says which. */
    GOV__FILE_WANTED,
    /* Written to, cut, read behind its end, or not to be asked any more; told at
     * every look from then on, before any that is wanted. Not that it was linked,
     * replaced by another, or given another mode: its bytes are the same. Without
     * a lease moving it counts, as nothing tells it from a writer who set the
     * time of the last write back. */
    GOV__FILE_CHANGED,
};

/* About 1 us a file; any thread, one at a time. */
enum gov__file_news gov__file_guard_look(struct gov__file_guard *guard,
                                         uint32_t *file);
/* Gives the lease on a file up. */
void gov__file_guard_yield(struct gov__file_guard *guard, uint32_t file);

#endif
