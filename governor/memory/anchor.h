/* SPDX-License-Identifier: MIT */
/* Anchoring: puts anonymous memory with a file's bytes where the file is mapped,
 * and the file back. Readers of the range see one or the other, never anything
 * else: the memory is filled and made read-only before it takes the place.
 * Owns nothing between calls; any thread, but one at a time for the same pages. */
#ifndef GOV_MEMORY_ANCHOR_H
#define GOV_MEMORY_ANCHOR_H

#include "governor/memory/range.h"
#include "governor/weights.h"

/* What reads past the page cache need their buffers, offsets and sizes to be
 * multiples of; gov_platform.set_direct(). */
#define GOV__DIRECT_BYTES 4096

/* gov_weights_options.progress is told no more often, here and by the streamer. */
#define GOV__PROGRESS_US 100000

/* Memory that is being filled with a file's bytes. */
struct gov__fill {
    const struct gov__range_file *file;
    int fd; /* that is read: the direct one until it refuses */
    void *target;
    char *staged; /* to be set: a multiple of a page, with room for `bytes` */
    size_t bytes;
    uint64_t begin;
    uint64_t at, end; /* next to be read, and where the file's bytes end */
    bool cached;      /* some were read through the page cache */
};

/* For the pages [begin, end) of a file; all but `staged`. */
void gov__fill_init(struct gov__fill *fill, const struct gov__range *range,
                    uint32_t file, uint64_t begin, uint64_t end, bool direct);

/* What is to be read of it past the page cache, but for the tag; ENOTSUP: it cannot
 * be so. */
int gov__fill_plan(const struct gov__fill *fill, struct gov__read *read);

/* That read has ended with that result. 0 or an errno value; ENODATA: it was cut
 * short. */
int gov__fill_end(struct gov__fill *fill, int64_t result);

/* Reads all that is left, with zeros behind the file's end. 0 or an errno value,
 * as gov__anchor(). What was `cached` is the caller's to drop. */
int gov__fill_read(struct gov__fill *fill);

/* Anchors the pages [begin, end) of a file, offsets in multiples of the page; end
 * may reach past the file's end by less than a page, which reads as zeros. With
 * `direct` it reads with the file's direct_fd where it has one and the offsets
 * allow it, else through the page cache, where what was read is dropped again.
 * 0 or an errno value (ENOMEM, EIO; ENODATA: the file is shorter by now), after
 * which the pages are as they were. */
int gov__anchor(const struct gov__range *range, uint32_t file, uint64_t begin,
                uint64_t end, bool direct);

/* The same past the page cache in two steps, for a read that goes on by itself: takes
 * memory and says what is to be read, but for the tag (ENOTSUP: it cannot be so), and,
 * when the read has ended with that result, puts the memory in place. */
int gov__anchor_begin(const struct gov__range *range, uint32_t file,
                      uint64_t begin, uint64_t end, struct gov__fill *fill,
                      struct gov__read *read);
int gov__anchor_end(const struct gov__range *range, struct gov__fill *fill,
                    int64_t result);
/* Instead of the second: it was never started. */
void gov__anchor_cancel(const struct gov__range *range,
                        const struct gov__fill *fill);

/* Lays the file over those pages again. The anonymous memory is free then.
 * 0 or an errno value, after which it is still anchored. */
int gov__anchor_undo(const struct gov__range *range, uint32_t file,
                     uint64_t begin, uint64_t end);

/* Anchors all units of a model, decrypted, in the order of the files, so that a
 * page that two units share holds the plain bytes of both. Reports to `progress`
 * (may be NULL), which may cancel. On failure some may be anchored already. */
gov_status gov__anchor_decrypted(const struct gov__range *range,
                                 const gov_model *model,
                                 const struct gov_weights_options *options,
                                 gov_error *err);

#endif
