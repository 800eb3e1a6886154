/* SPDX-License-Identifier: MIT */
/* Reading states: nothing is believed before its sum was right, nothing is mapped. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/memory/spill_store.h"

/* An open state, whose trailer is sound. */
struct opened {
    int fd;
    struct gov__spill_trailer trailer;
    char name[GOV_SPILL_NAME_BYTES];
};

static gov_status damaged(const gov_spill *spill, const char *name,
                          gov_error *err)
{
    return gov_fail(err, GOV_E_FORMAT, 0,
                    "what is stored as %s in %s is damaged, or no state; "
                    "remove it",
                    name, spill->path);
}

/* A FIFO must not hold us up, nor a device do anything. ELOOP: what is there is no
 * file. */
static int open_regular(const gov_spill *spill, const char *file,
                        struct stat *st)
{
    const int fd = openat(spill->dir, file,
                          O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int error;

    if (fd < 0 && errno == ENXIO) /* a socket */
        errno = ELOOP;
    if (fd < 0)
        return -1;
    error = fstat(fd, st) != 0 ? errno : S_ISREG(st->st_mode) ? 0 : ELOOP;
    if (error == 0)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

/* GOV_OK, GOV_E_FORMAT, GOV_E_UNSUPPORTED, or GOV_E_IO and an error number. */
static gov_status read_end(struct opened *o, uint64_t bytes, int *error)
{
    unsigned char last[sizeof(o->trailer)];
    gov_status status;

    if (bytes < sizeof(last))
        return GOV_E_FORMAT;
    *error = gov__spill_pread(o->fd, last, sizeof(last), bytes - sizeof(last));
    if (*error != 0)
        return GOV_E_IO;
    status = gov__spill_parse(last, bytes, &o->trailer);
    if (status != GOV_OK)
        return status;
    memset(o->name, 0, sizeof(o->name));
    *error = gov__spill_pread(o->fd, o->name, (size_t)o->trailer.name_bytes,
                              o->trailer.state_bytes + o->trailer.note_bytes);
    if (*error != 0)
        return GOV_E_IO;
    return strlen(o->name) == o->trailer.name_bytes ? GOV_OK : GOV_E_FORMAT;
}

static gov_status open_state(gov_spill *spill, const char *name,
                             struct opened *out, gov_error *err)
{
    char file[GOV__SPILL_FILE];
    struct stat st;
    gov_status status;
    int error = 0;

    memset(out, 0, sizeof(*out));
    if (!gov__spill_name_ok(name))
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "no state has a name of no bytes, or of %d and more",
                        GOV_SPILL_NAME_BYTES);
    gov__spill_file_of(name, file);
    out->fd = open_regular(spill, file, &st);
    if (out->fd < 0 && errno == ENOENT)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "nothing is stored as %s in %s", name, spill->path);
    if (out->fd < 0 && errno == ELOOP)
        return damaged(spill, name, err);
    if (out->fd < 0)
        return gov_fail(err, errno == EACCES ? GOV_E_PERMISSION : GOV_E_IO,
                        errno, "cannot open what is stored as %s in %s", name,
                        spill->path);
    status = read_end(out, (uint64_t)st.st_size, &error);
    if (status == GOV_OK && strcmp(out->name, name) != 0)
        status = GOV_E_FORMAT;
    if (status == GOV_OK)
        return GOV_OK;
    close(out->fd);
    if (status == GOV_E_UNSUPPORTED)
        return gov_fail(err, status, 0,
                        "what is stored as %s in %s was written by another "
                        "version",
                        name, spill->path);
    if (status == GOV_E_FORMAT)
        return damaged(spill, name, err);
    return gov_fail(err, GOV_E_IO, error,
                    "cannot read what is stored as %s in %s", name,
                    spill->path);
}

static void tell(const struct opened *o, struct gov_spill_state *out)
{
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    memcpy(out->name, o->name, sizeof(out->name));
    out->state_bytes = o->trailer.state_bytes;
    out->note_bytes = o->trailer.note_bytes;
    out->stored_at = o->trailer.stored_at;
    out->file_bytes = o->trailer.state_bytes + o->trailer.note_bytes +
                      o->trailer.name_bytes + sizeof(o->trailer);
}

/* Note and name have one sum; they are read in whole, whatever is asked for. */
static gov_status check_tail(const gov_spill *spill, const struct opened *o,
                             void *note, size_t room, gov_error *err)
{
    const struct gov_alloc *alloc = spill->alloc;
    const size_t bytes = (size_t)o->trailer.note_bytes;
    unsigned char *block = alloc->alloc(alloc->ctx, bytes > 0 ? bytes : 1);
    struct gov__spill_sum sum;
    bool sound = false;
    int error;

    if (block == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for the note of %s",
                        o->name);
    error = gov__spill_pread(o->fd, block, bytes, o->trailer.state_bytes);
    if (error == 0) {
        gov__spill_sum_two(block, bytes, o->name, (size_t)o->trailer.name_bytes,
                           &sum);
        sound = memcmp(sum.half, o->trailer.tail_sum, sizeof(sum.half)) == 0;
    }
    if (sound && room > 0 && bytes > 0)
        memcpy(note, block, room < bytes ? room : bytes);
    alloc->release(alloc->ctx, block);
    if (error != 0)
        return gov_fail(err, GOV_E_IO, error,
                        "cannot read what is stored as %s in %s", o->name,
                        spill->path);
    return sound ? GOV_OK : damaged(spill, o->name, err);
}

gov_status gov_spill_note(gov_spill *spill, const char *name, void *note,
                          size_t room, struct gov_spill_state *out,
                          gov_error *err)
{
    struct opened o;
    gov_status status = open_state(spill, name, &o, err);

    if (status != GOV_OK)
        return gov__spill_say(status, err);
    status = check_tail(spill, &o, note, room, err);
    close(o.fd);
    if (status == GOV_OK && out != NULL)
        tell(&o, out);
    return gov__spill_say(status, err);
}

static gov_status check_state(const gov_spill *spill, const struct opened *o,
                              gov_error *err)
{
    void *chunk = gov__spill_chunk(spill);
    struct gov__spill_sum sum;
    int error;

    if (chunk == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory to read %s", o->name);
    error = gov__spill_sum_of(o->fd, chunk, 1, 0, o->trailer.state_bytes, &sum);
    gov__spill_chunk_free(spill, chunk);
    if (error != 0)
        return gov_fail(err, GOV_E_IO, error,
                        "cannot read what is stored as %s in %s", o->name,
                        spill->path);
    return memcmp(sum.half, o->trailer.state_sum, sizeof(sum.half)) == 0
               ? GOV_OK
               : damaged(spill, o->name, err);
}

gov_status gov_spill_check(gov_spill *spill, const char *name,
                           char path[GOV_SPILL_PATH_BYTES],
                           struct gov_spill_state *out, gov_error *err)
{
    char file[GOV__SPILL_FILE];
    struct opened o;
    gov_status status = open_state(spill, name, &o, err);

    if (status != GOV_OK)
        return gov__spill_say(status, err);
    status = check_tail(spill, &o, NULL, 0, err);
    if (status == GOV_OK)
        status = check_state(spill, &o, err);
    close(o.fd);
    if (status != GOV_OK)
        return gov__spill_say(status, err);
    gov__spill_file_of(name, file);
    snprintf(path, GOV_SPILL_PATH_BYTES, "%s/%s", spill->path, file);
    if (out != NULL)
        tell(&o, out);
    return GOV_OK;
}

void gov_spill_cool(gov_spill *spill, const char *name)
{
    char file[GOV__SPILL_FILE];
    struct stat st;
    int fd;

    if (!gov__spill_name_ok(name))
        return;
    gov__spill_file_of(name, file);
    fd = open_regular(spill, file, &st);
    if (fd < 0)
        return;
    (void)spill->platform->drop_cached(spill->platform->ctx, fd, 0,
                                       (uint64_t)st.st_size);
    close(fd);
}

gov_status gov_spill_remove(gov_spill *spill, const char *name, gov_error *err)
{
    char file[GOV__SPILL_FILE];
    gov_status status;

    if (!gov__spill_name_ok(name))
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "no state has a name of no bytes, or of %d and more",
                        GOV_SPILL_NAME_BYTES);
    gov__spill_file_of(name, file);
    if (unlinkat(spill->dir, file, 0) == 0) {
        const int error = gov__spill_sync_directory(spill->dir);

        return error == 0
                   ? GOV_OK
                   : gov__spill_say(
                         gov_fail(err, GOV_E_IO, error,
                                  "%s is removed from %s, and may be there "
                                  "again after a crash of the machine",
                                  name, spill->path),
                         err);
    }
    if (errno == ENOENT)
        status = gov_fail(err, GOV_E_NOT_FOUND, 0,
                          "nothing is stored as %s in %s", name, spill->path);
    else
        status = gov_fail(err,
                          errno == EACCES || errno == EPERM ? GOV_E_PERMISSION
                                                            : GOV_E_IO,
                          errno, "cannot remove %s from %s", name, spill->path);
    return gov__spill_say(status, err);
}

/* ---- all of them ---------------------------------------------------------------------- */

/* A copy under another name is not that state. */
static bool look_at(const gov_spill *spill, const char *file,
                    struct gov_spill_state *out)
{
    char want[GOV__SPILL_FILE];
    struct opened o;
    struct stat st;
    bool sound;
    int error;

    o.fd = open_regular(spill, file, &st);
    if (o.fd < 0)
        return false;
    sound = read_end(&o, (uint64_t)st.st_size, &error) == GOV_OK;
    close(o.fd);
    if (!sound)
        return false;
    gov__spill_file_of(o.name, want);
    if (strcmp(file, want) != 0)
        return false;
    tell(&o, out);
    return true;
}

static bool newer(const struct gov_spill_state *a,
                  const struct gov_spill_state *b)
{
    return a->stored_at != b->stored_at ? a->stored_at > b->stored_at
                                        : strcmp(a->name, b->name) < 0;
}

/* The newest first, and of more than there is room for the newest. */
static void insert(struct gov_spill_state *out, size_t room, size_t count,
                   const struct gov_spill_state *state)
{
    size_t at = count < room ? count : room;

    while (at > 0 && newer(state, &out[at - 1])) {
        if (at < room)
            out[at] = out[at - 1];
        at--;
    }
    if (at < room)
        out[at] = *state;
}

size_t gov_spill_list(gov_spill *spill, struct gov_spill_state *out,
                      size_t room)
{
    DIR *list = gov__spill_entries(spill);
    const struct dirent *entry;
    struct gov_spill_state state;
    size_t count = 0;

    if (list == NULL)
        return 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): this list is this call's own */
    while ((entry = readdir(list)) != NULL) {
        if (strstr(entry->d_name, ".state") == NULL ||
            !look_at(spill, entry->d_name, &state))
            continue;
        insert(out, room, count, &state);
        count++;
    }
    closedir(list);
    return count;
}
