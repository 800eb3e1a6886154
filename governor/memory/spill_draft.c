/* SPDX-License-Identifier: MIT */
/* Writing a state: beside the older one, checked on the disk, and then in its
 * place. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "governor/memory/spill_store.h"

#define TRIES 100  /* of a draft's name that others have */
#define GRAIN 4096 /* of direct reads */

static gov_status status_of(int error)
{
    if (error == ENOSPC || error == EDQUOT)
        return GOV_E_BUSY;
    return error == EACCES || error == EPERM ? GOV_E_PERMISSION : GOV_E_IO;
}

/* ---- beginning --------------------------------------------------------------------- */

static void name_draft(gov_spill *spill, struct gov_spill_draft *draft)
{
    char state[GOV__SPILL_FILE];

    gov__spill_file_of(draft->name, state);
    pthread_mutex_lock(&spill->lock);
    snprintf(draft->file, sizeof(draft->file), "%.32s.%ld.%" PRIu64 ".draft",
             state, (long)getpid(), ++spill->drafted);
    pthread_mutex_unlock(&spill->lock);
    snprintf(draft->path, sizeof(draft->path), "%s/%s", spill->path,
             draft->file);
}

/* Between making and locking it another process may have swept it. 0 or an error
 * number. */
static int make_file(gov_spill *spill, struct gov_spill_draft *draft)
{
    for (int i = 0; i < TRIES; i++) {
        int error = 0;
        struct stat st;

        name_draft(spill, draft);
        draft->fd =
            openat(spill->dir, draft->file,
                   O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (draft->fd < 0 && errno == EEXIST)
            continue;
        if (draft->fd < 0)
            return errno;
        /* The mask of the process may take rights from its owner, too. */
        if (flock(draft->fd, LOCK_EX | LOCK_NB) != 0 ||
            fstat(draft->fd, &st) != 0 || fchmod(draft->fd, 0600) != 0)
            error = errno;
        else if (st.st_nlink == 1)
            return 0;
        (void)unlinkat(spill->dir, draft->file, 0);
        close(draft->fd);
        draft->fd = -1;
        if (error != 0 && error != EWOULDBLOCK)
            return error;
    }
    return EEXIST;
}

static gov_status begin(gov_spill *spill, const char *name, uint64_t bytes,
                        gov_spill_draft **out, gov_error *err)
{
    const struct gov_alloc *alloc = spill->alloc;
    struct gov_spill_draft *draft;
    gov_status status;
    int error;

    status = gov__spill_room(spill, name, bytes, 0, err);
    if (status != GOV_OK)
        return status;
    draft = alloc->alloc(alloc->ctx, sizeof(*draft));
    if (draft == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory to write %s", name);
    memset(draft, 0, sizeof(*draft));
    draft->spill = spill;
    draft->announced = bytes > 0 ? bytes : 1;
    memcpy(draft->name, name, strlen(name) + 1);
    error = make_file(spill, draft);
    if (error != 0) {
        alloc->release(alloc->ctx, draft);
        return gov_fail(err, status_of(error), error,
                        "cannot make a file in %s", spill->path);
    }
    pthread_mutex_lock(&spill->lock);
    draft->next = spill->drafts;
    spill->drafts = draft;
    pthread_mutex_unlock(&spill->lock);
    *out = draft;
    return GOV_OK;
}

gov_status gov_spill_begin(gov_spill *spill, const char *name, uint64_t bytes,
                           gov_spill_draft **out, gov_error *err)
{
    gov_status status;

    *out = NULL;
    if (!gov__spill_name_ok(name))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the name of a state has 1 to %d bytes",
                        GOV_SPILL_NAME_BYTES - 1);
    pthread_mutex_lock(&spill->room);
    status = begin(spill, name, bytes, out, err);
    pthread_mutex_unlock(&spill->room);
    return gov__spill_say(status, err);
}

const char *gov_spill_draft_path(const gov_spill_draft *draft)
{
    return draft->path;
}

/* ---- writing ------------------------------------------------------------------------ */

static gov_status cannot_write(const struct gov_spill_draft *draft, int error,
                               gov_error *err)
{
    return gov_fail(err, status_of(error), error, "cannot write %s to %s",
                    draft->name, draft->spill->path);
}

static int write_all(int fd, const void *data, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        const ssize_t n = write(fd, (const char *)data + done, bytes - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        done += (size_t)n;
    }
    return 0;
}

/* More was written than was announced: see room_of_process() in spill.c. */
static bool kills(off_t end, size_t bytes)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           limit.rlim_cur != RLIM_INFINITY &&
           (limit.rlim_cur < (rlim_t)end ||
            limit.rlim_cur - (rlim_t)end < bytes);
}

gov_status gov_spill_write(gov_spill_draft *draft, const void *data,
                           size_t bytes, gov_error *err)
{
    /* An engine may have written before, through a descriptor of its own. */
    const off_t end = lseek(draft->fd, 0, SEEK_END);
    int error = end < 0 ? errno : 0;

    if (error == 0 && kills(end, bytes))
        error = EFBIG;
    if (error == 0)
        error = write_all(draft->fd, data, bytes);
    if (error == 0)
        return GOV_OK;
    draft->broken = true;
    return gov__spill_say(cannot_write(draft, error, err), err);
}

/* ---- ending ------------------------------------------------------------------------- */

static void forget(struct gov_spill_draft *draft)
{
    gov_spill *spill = draft->spill;
    struct gov_spill_draft **at;

    pthread_mutex_lock(&spill->lock);
    for (at = &spill->drafts; *at != draft; at = &(*at)->next)
        ;
    *at = draft->next;
    pthread_mutex_unlock(&spill->lock);
    close(draft->fd);
    spill->alloc->release(spill->alloc->ctx, draft);
}

void gov_spill_drop(gov_spill_draft *draft)
{
    if (draft == NULL)
        return;
    if (!draft->placed)
        (void)unlinkat(draft->spill->dir, draft->file, 0);
    forget(draft);
}

/* The file that was written is the one that was locked, still under its name: its
 * whole path, as an engine was told it. */
static gov_status check_file(const struct gov_spill_draft *draft,
                             uint64_t *bytes, gov_error *err)
{
    struct stat ours, there;

    if (fstat(draft->fd, &ours) != 0 || lstat(draft->path, &there) != 0)
        return gov_fail(err, GOV_E_IO, errno, "cannot examine %s", draft->path);
    if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino ||
        ours.st_nlink != 1)
        return gov_fail(err, GOV_E_IO, 0,
                        "%s was replaced while it was written", draft->path);
    *bytes = (uint64_t)ours.st_size;
    return GOV_OK;
}

/* What the page cache has of it: what was written. */
static int seal(struct gov_spill_draft *draft, void *chunk, uint64_t bytes,
                const void *note, size_t note_bytes,
                struct gov__spill_trailer *trailer)
{
    const size_t name_bytes = strlen(draft->name);
    struct gov__spill_sum state, tail;
    int error = gov__spill_sum_of(draft->fd, chunk, 1, 0, bytes, &state);

    if (error != 0)
        return error;
    gov__spill_sum_two(note, note_bytes, draft->name, name_bytes, &tail);
    memset(trailer, 0, sizeof(*trailer));
    trailer->state_bytes = bytes;
    trailer->note_bytes = note_bytes;
    trailer->name_bytes = name_bytes;
    trailer->stored_at = (int64_t)time(NULL);
    memcpy(trailer->state_sum, state.half, sizeof(state.half));
    memcpy(trailer->tail_sum, tail.half, sizeof(tail.half));
    gov__spill_seal(trailer);
    if (lseek(draft->fd, (off_t)bytes, SEEK_SET) < 0)
        return errno;
    if (note_bytes > 0)
        error = write_all(draft->fd, note, note_bytes);
    if (error == 0)
        error = write_all(draft->fd, draft->name, name_bytes);
    if (error == 0)
        error = write_all(draft->fd, trailer, sizeof(*trailer));
    return error;
}

/* 0 or an error number. After a failure what was written may be lost though a second
 * call says otherwise: never asked again. */
static int to_disk(int fd)
{
#ifdef F_FULLFSYNC
    if (fcntl(fd, F_FULLFSYNC) ==
        0) /* Darwin's fsync() ends in the drive's cache */
        return 0;
#endif
    return fsync(fd) != 0 ? errno : 0;
}

/* 0 or an error number. */
static int sums_of(const struct gov_spill_draft *draft, void *chunk,
                   uint32_t grain, const struct gov__spill_trailer *trailer,
                   struct gov__spill_sum *state, struct gov__spill_sum *tail)
{
    const int error = gov__spill_sum_of(draft->fd, chunk, grain, 0,
                                        trailer->state_bytes, state);

    return error != 0 ? error
                      : gov__spill_sum_of(
                            draft->fd, chunk, grain, trailer->state_bytes,
                            trailer->note_bytes + trailer->name_bytes, tail);
}

/* Past the page cache where that can be: what is on the disk, not what was meant to
 * be. */
static gov_status read_back(struct gov_spill_draft *draft, void *chunk,
                            const struct gov__spill_trailer *trailer,
                            gov_error *err)
{
    const struct gov_platform *p = draft->spill->platform;
    const uint64_t end =
        trailer->state_bytes + trailer->note_bytes + trailer->name_bytes;
    struct gov__spill_trailer there;
    struct gov__spill_sum state, tail;
    int error = EINVAL;

    (void)p->drop_cached(p->ctx, draft->fd, 0, end + sizeof(there));
    if (p->set_direct(p->ctx, draft->fd, true) == 0) {
        error = sums_of(draft, chunk, GRAIN, trailer, &state, &tail);
        (void)p->set_direct(p->ctx, draft->fd, false);
    }
    if (error == EINVAL) /* none, or a file system that says so late */
        error = sums_of(draft, chunk, 1, trailer, &state, &tail);
    if (error == 0)
        error = gov__spill_pread(draft->fd, &there, sizeof(there), end);
    if (error != 0)
        return gov_fail(err, GOV_E_IO, error, "cannot read %s back from %s",
                        draft->name, draft->spill->path);
    if (memcmp(state.half, trailer->state_sum, sizeof(state.half)) != 0 ||
        memcmp(tail.half, trailer->tail_sum, sizeof(tail.half)) != 0 ||
        memcmp(&there, trailer, sizeof(there)) != 0)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "%s came back from the disk of %s as something else "
                        "than what was written; do not trust that disk",
                        draft->name, draft->spill->path);
    return GOV_OK;
}

static gov_status put_in_place(struct gov_spill_draft *draft, gov_error *err)
{
    gov_spill *spill = draft->spill;
    char file[GOV__SPILL_FILE];
    int error;

    gov__spill_file_of(draft->name, file);
    if (renameat(spill->dir, draft->file, spill->dir, file) != 0)
        return gov_fail(err, status_of(errno), errno,
                        "cannot put %s into its place in %s", draft->name,
                        spill->path);
    draft->placed = true;
    /* Which of the two states is there after a crash is not sure before this. Both
     * are whole. */
    error = gov__spill_sync_directory(spill->dir);
    if (error != 0)
        return gov_fail(err, GOV_E_IO, error,
                        "%s is in its place in %s, and may not be after a "
                        "crash of the machine",
                        draft->name, spill->path);
    return GOV_OK;
}

/* What it has become: `all` bytes, of which so many are there. */
static gov_status announce(struct gov_spill_draft *draft, uint64_t all,
                           uint64_t bytes, gov_error *err)
{
    gov_spill *spill = draft->spill;
    gov_status status;

    pthread_mutex_lock(&spill->room);
    status = gov__spill_room(
        spill, draft->name, all,
        draft->announced > bytes ? draft->announced : bytes, err);
    if (status == GOV_OK) {
        pthread_mutex_lock(&spill->lock);
        draft->announced = all;
        pthread_mutex_unlock(&spill->lock);
    }
    pthread_mutex_unlock(&spill->room);
    return status;
}

static gov_status commit(struct gov_spill_draft *draft, void *chunk,
                         const void *note, size_t note_bytes,
                         uint64_t *stored_bytes, gov_error *err)
{
    struct gov__spill_trailer trailer;
    uint64_t bytes = 0, all;
    gov_status status = check_file(draft, &bytes, err);
    int error;

    if (status != GOV_OK)
        return status;
    if (draft->broken)
        return gov_fail(err, GOV_E_IO, 0, "%s was not written to its end",
                        draft->name);
    all = bytes + note_bytes + strlen(draft->name) + sizeof(trailer);
    status = announce(draft, all, bytes, err);
    if (status != GOV_OK)
        return status;
    error = seal(draft, chunk, bytes, note, note_bytes, &trailer);
    if (error == 0)
        error = to_disk(draft->fd);
    if (error != 0)
        return cannot_write(draft, error, err);
    status = read_back(draft, chunk, &trailer, err);
    if (status == GOV_OK)
        status = put_in_place(draft, err);
    if (status == GOV_OK && stored_bytes != NULL)
        *stored_bytes = all;
    return status;
}

gov_status gov_spill_commit(gov_spill_draft *draft, const void *note,
                            size_t note_bytes, uint64_t *stored_bytes,
                            gov_error *err)
{
    gov_status status;
    void *chunk;

    if (note_bytes > GOV_SPILL_NOTE_BYTES) {
        status = gov_fail(err, GOV_E_INVALID, 0,
                          "the note of %s has %zu bytes, more than %u",
                          draft->name, note_bytes, GOV_SPILL_NOTE_BYTES);
        gov_spill_drop(draft);
        return gov__spill_say(status, err);
    }
    chunk = gov__spill_chunk(draft->spill);
    status = chunk == NULL
                 ? gov_fail(err, GOV_E_NOMEM, 0, "no memory to read %s back",
                            draft->name)
                 : commit(draft, chunk, note, note_bytes, stored_bytes, err);
    gov__spill_chunk_free(draft->spill, chunk);
    gov_spill_drop(draft);
    return gov__spill_say(status, err);
}
