/* SPDX-License-Identifier: MIT */
/* The spill directory: whose it is, what is in it, how much of it. */
#include "governor/spill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "governor/memory/spill_store.h"

#define USUAL_QUOTA (UINT64_C(8) << 30)
#define MOST_SPARE (UINT64_C(2) << 30)

/* ---- opening ----------------------------------------------------------------------- */

/* Whoever may write there could put states under our names; whoever may read there
 * reads what the user wrote. The path is what an engine is told. */
static gov_status check_directory(const gov_spill *spill, gov_error *err)
{
    struct stat st, there;

    if (fstat(spill->dir, &st) != 0 || lstat(spill->path, &there) != 0)
        return gov_fail(err, GOV_E_IO, errno, "cannot examine %s", spill->path);
    if (st.st_dev != there.st_dev || st.st_ino != there.st_ino)
        return gov_fail(err, GOV_E_IO, 0, "%s was replaced while it was opened",
                        spill->path);
    if (st.st_uid != geteuid())
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "%s belongs to another user; name a directory of your "
                        "own for conversations",
                        spill->path);
    if ((st.st_mode & 077) != 0)
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "%s may be used by others (mode %03o); chmod 700 it, "
                        "or name another directory for conversations",
                        spill->path, (unsigned)(st.st_mode & 0777));
    return GOV_OK;
}

static gov_status too_long(const gov_spill *spill, const char *directory,
                           size_t bytes, gov_error *err)
{
    return gov_fail(err, GOV_E_INVALID, 0,
                    "the path of %.80s has %zu bytes, more than the %zu that "
                    "there is room for; name another directory",
                    directory, bytes, sizeof(spill->path) - 1);
}

/* An engine is told paths, and the process may change its directory. */
static gov_status make_path(gov_spill *spill, gov_error *err)
{
    char *real = spill->alloc->alloc(spill->alloc->ctx, PATH_MAX);
    gov_status status = GOV_OK;
    size_t bytes;

    if (real == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for the path of %s",
                        spill->path);
    if (realpath(spill->path, real) == NULL)
        status = gov_fail(err, GOV_E_IO, errno, "cannot find %s", spill->path);
    else if ((bytes = strlen(real)) >= sizeof(spill->path))
        status = too_long(spill, spill->path, bytes, err);
    else
        memcpy(spill->path, real, bytes + 1);
    spill->alloc->release(spill->alloc->ctx, real);
    return status;
}

/* With a slash at its end a link would be followed. */
static gov_status copy_trimmed(gov_spill *spill, const char *directory,
                               gov_error *err)
{
    size_t bytes = strlen(directory);

    while (bytes > 1 && directory[bytes - 1] == '/')
        bytes--;
    if (bytes >= sizeof(spill->path))
        return too_long(spill, directory, bytes, err);
    memcpy(spill->path, directory, bytes);
    spill->path[bytes] = '\0';
    return GOV_OK;
}

int gov__spill_sync_directory(int fd)
{
    return fsync(fd) != 0 && errno != EINVAL ? errno : 0;
}

/* What lies in a directory that a crash takes away was not stored. Whoever made it
 * may have been killed before this. */
static gov_status keep_directory(const gov_spill *spill, gov_error *err)
{
    const int fd = openat(spill->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = errno;

    if (fd >= 0) {
        error = gov__spill_sync_directory(fd);
        close(fd);
    } else if (error == EACCES) {
        error = 0; /* one may write to it and not read it */
    }
    return error == 0 ? GOV_OK
                      : gov_fail(err, GOV_E_IO, error,
                                 "cannot make sure that %s stays", spill->path);
}

static gov_status open_directory(gov_spill *spill, const char *directory,
                                 gov_error *err)
{
    gov_status status = copy_trimmed(spill, directory, err);

    if (status != GOV_OK)
        return status;
    /* The mask of the process may take rights from its owner, too. */
    if (mkdir(spill->path, 0700) == 0 ? chmod(spill->path, 0700) != 0
                                      : errno != EEXIST)
        return gov_fail(err,
                        errno == EACCES || errno == EPERM ? GOV_E_PERMISSION
                                                          : GOV_E_IO,
                        errno, "cannot make %s", spill->path);
    spill->dir =
        open(spill->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (spill->dir < 0 && (errno == ELOOP || errno == ENOTDIR))
        return gov_fail(err, GOV_E_PERMISSION, errno,
                        "%s is no directory, or a link to one; name the "
                        "directory itself",
                        spill->path);
    if (spill->dir < 0)
        return gov_fail(err, errno == EACCES ? GOV_E_PERMISSION : GOV_E_IO,
                        errno, "cannot open %s", spill->path);
    status = make_path(spill, err);
    if (status == GOV_OK)
        status = check_directory(spill, err);
    return status == GOV_OK ? keep_directory(spill, err) : status;
}

/* Other processes' drafts have other names, also those of one that was killed, had
 * the same id and held the same state. */
static uint64_t first_draft(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

gov_status gov__spill_open_on(gov_spill **out,
                              const struct gov_platform *platform,
                              const struct gov_alloc *alloc,
                              const struct gov_spill_options *options,
                              gov_error *err)
{
    gov_spill *spill;
    gov_status status;
    uint64_t bytes;

    *out = NULL;
    if (options == NULL || options->size != sizeof(*options) ||
        options->directory == NULL || options->directory[0] == '\0')
        return gov_fail(err, GOV_E_INVALID, 0,
                        "a spill directory needs options of this version that "
                        "name it");
    spill = alloc->alloc(alloc->ctx, sizeof(*spill));
    if (spill == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for %s",
                        options->directory);
    memset(spill, 0, sizeof(*spill));
    spill->platform = platform;
    spill->alloc = alloc;
    spill->options = *options;
    spill->dir = -1;
    spill->drafted = first_draft();
    if (spill->options.quota_bytes == 0)
        spill->options.quota_bytes = USUAL_QUOTA;
    if (spill->options.file_bytes == 0)
        spill->options.file_bytes = spill->options.quota_bytes;
    if (pthread_mutex_init(&spill->room, NULL) != 0) {
        alloc->release(alloc->ctx, spill);
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a lock");
    }
    if (pthread_mutex_init(&spill->lock, NULL) != 0) {
        pthread_mutex_destroy(&spill->room);
        alloc->release(alloc->ctx, spill);
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a lock");
    }
    status = open_directory(spill, options->directory, err);
    if (status != GOV_OK) {
        gov_spill_close(spill);
        return gov__spill_say(status, err);
    }
    spill->options.directory = spill->path;
    /* What it weighs is asked again when it counts. */
    (void)gov__spill_weigh(spill, true, &bytes);
    *out = spill;
    return GOV_OK;
}

gov_status gov_spill_open(gov_spill **out,
                          const struct gov_spill_options *options,
                          gov_error *err)
{
    return gov__spill_open_on(out, gov__platform_native(), gov_alloc_default(),
                              options, err);
}

void gov_spill_close(gov_spill *spill)
{
    if (spill == NULL)
        return;
    if (spill->dir >= 0)
        close(spill->dir);
    pthread_mutex_destroy(&spill->lock);
    pthread_mutex_destroy(&spill->room);
    spill->alloc->release(spill->alloc->ctx, spill);
}

const char *gov_spill_directory(const gov_spill *spill)
{
    return spill->path;
}

/* ---- what is in it ------------------------------------------------------------------ */

static bool ends_with(const char *name, const char *end)
{
    const size_t bytes = strlen(name), end_bytes = strlen(end);

    return bytes > end_bytes && strcmp(name + bytes - end_bytes, end) == 0;
}

/* A descriptor of its own: closedir() closes it, and positions are not shared. */
DIR *gov__spill_entries(const gov_spill *spill)
{
    const int fd = openat(spill->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    const int error = errno;

    if (list == NULL && fd >= 0)
        close(fd);
    errno = error;
    return list;
}

/* 0: it is nobody's here. `seen` is how long the file is. */
static uint64_t announced_by_us(gov_spill *spill, const char *file,
                                uint64_t seen)
{
    uint64_t bytes = 0;

    pthread_mutex_lock(&spill->lock);
    for (gov_spill_draft *draft = spill->drafts; draft != NULL;
         draft = draft->next)
        if (strcmp(draft->file, file) == 0) {
            bytes = draft->announced;
            draft->seen = seen;
        }
    pthread_mutex_unlock(&spill->lock);
    return bytes;
}

/* Whoever writes a draft holds its lock, and nobody begins with one that is there:
 * however young it is, a draft that can be locked is a dead one, or one between its
 * making and its locking, whose writer will see that it is gone and make another.
 * Open for writing: over NFS only such a descriptor can be locked. */
static bool sweep_draft(const gov_spill *spill, const char *file)
{
    bool gone = false;
    int fd;

    fd = openat(spill->dir, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        gone = unlinkat(spill->dir, file, 0) == 0;
    close(fd);
    return gone;
}

/* 0 or an error number; what is gone by now weighs nothing. */
static int weigh_file(gov_spill *spill, const char *file, bool sweep,
                      uint64_t *bytes)
{
    const bool draft = ends_with(file, ".draft");
    struct stat st;
    uint64_t size, ours;

    if (fstatat(spill->dir, file, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISREG(st.st_mode))
        return 0;
    size = (uint64_t)st.st_size;
    ours = draft ? announced_by_us(spill, file, size) : 0;
    if (draft && sweep && ours == 0 && sweep_draft(spill, file))
        return 0;
    *bytes += size > ours ? size : ours;
    return 0;
}

int gov__spill_weigh(gov_spill *spill, bool sweep, uint64_t *bytes)
{
    DIR *list = gov__spill_entries(spill);
    const struct dirent *entry;
    int error = 0;

    *bytes = 0;
    if (list == NULL)
        return errno;
    while (error == 0) {
        errno = 0;
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): this list is this call's own */
        entry = readdir(list);
        if (entry == NULL) {
            error = errno;
            break;
        }
        error = weigh_file(spill, entry->d_name, sweep, bytes);
    }
    closedir(list);
    return error;
}

/* ---- room --------------------------------------------------------------------------- */

static double mb(uint64_t bytes)
{
    return (double)bytes / 1e6;
}

/* Whether so many bytes fit where `own` of the used ones are theirs already. */
static bool fits(uint64_t quota, uint64_t used, uint64_t own, uint64_t bytes)
{
    used -= own < used ? own : used;
    return used <= quota && bytes <= quota - used;
}

/* Announced by our drafts, and not on the disk yet, as gov__spill_weigh() saw it. */
static uint64_t to_come(gov_spill *spill)
{
    uint64_t bytes = 0;

    pthread_mutex_lock(&spill->lock);
    for (const gov_spill_draft *draft = spill->drafts; draft != NULL;
         draft = draft->next)
        bytes += gov__less(draft->announced, draft->seen);
    pthread_mutex_unlock(&spill->lock);
    return bytes;
}

static gov_status room_on_disk(gov_spill *spill, const char *name,
                               uint64_t bytes, gov_error *err)
{
    uint64_t spare = spill->options.spare_bytes, all, left;
    struct statvfs fs;

    if (fstatvfs(spill->dir, &fs) != 0)
        return GOV_OK; /* writing will tell */
    all = (uint64_t)fs.f_blocks * fs.f_frsize;
    left = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (spare == 0)
        spare = all / 20 < MOST_SPARE ? all / 20 : MOST_SPARE;
    left = gov__less(left, to_come(spill));
    if (left >= spare && bytes <= left - spare)
        return GOV_OK;
    return gov_fail(err, GOV_E_BUSY, 0,
                    "%s needs %.1f MB, and the file system of %s has %.1f MB "
                    "left, of which %.1f MB are for others; make room there",
                    name, mb(bytes), spill->path, mb(left), mb(spare));
}

/* Past RLIMIT_FSIZE a write raises SIGXFSZ, which ends a host that did not expect
 * it: ours, and an engine's. */
static gov_status room_of_process(const char *name, uint64_t bytes,
                                  gov_error *err)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        limit.rlim_cur == RLIM_INFINITY || bytes <= limit.rlim_cur)
        return GOV_OK;
    return gov_fail(err, GOV_E_BUSY, 0,
                    "%s needs %.1f MB, and this process may write files of "
                    "%.1f MB (ulimit -f); raise that limit",
                    name, mb(bytes), mb(limit.rlim_cur));
}

gov_status gov__spill_room(gov_spill *spill, const char *name, uint64_t bytes,
                           uint64_t own, gov_error *err)
{
    const uint64_t quota = spill->options.quota_bytes;
    gov_status status = room_of_process(name, bytes, err);
    uint64_t used;
    int error;

    if (status != GOV_OK)
        return status;
    if (bytes > spill->options.file_bytes)
        return gov_fail(err, own == 0 ? GOV_E_INVALID : GOV_E_BUSY, 0,
                        "%s needs %.1f MB, more than the %.1f MB that one "
                        "state may take in %s",
                        name, mb(bytes), mb(spill->options.file_bytes),
                        spill->path);
    error = gov__spill_weigh(spill, false, &used);
    if (error == 0 && !fits(quota, used, own, bytes))
        error = gov__spill_weigh(spill, true, &used);
    if (error != 0)
        return gov_fail(err, GOV_E_IO, error, "cannot list %s", spill->path);
    if (!fits(quota, used, own, bytes))
        return gov_fail(err, GOV_E_BUSY, 0,
                        "%s needs %.1f MB, and %s has %.1f MB of its quota of "
                        "%.1f MB; erase conversations, or raise the quota",
                        name, mb(bytes), spill->path,
                        mb(used - (own < used ? own : used)), mb(quota));
    /* What was begun may end, whatever others have taken meanwhile. */
    return own > 0 && bytes <= own
               ? GOV_OK
               : room_on_disk(spill, name, bytes - own, err);
}

void gov_spill_usage(gov_spill *spill, uint64_t *used_bytes,
                     uint64_t *quota_bytes)
{
    if (gov__spill_weigh(spill, false, used_bytes) != 0)
        *used_bytes = 0;
    *quota_bytes = spill->options.quota_bytes;
}
