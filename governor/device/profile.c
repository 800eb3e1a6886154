/* SPDX-License-Identifier: MIT */
/* Owns the stored profile: its file, and whether what it says is still about
 * this machine. A file is never trusted: not who wrote it, nor its type, nor
 * its size. The text in it is profile_json.c's. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "governor/device/device_priv.h"

#define PROFILE_MAX_BYTES 65536 /* what gov_device_json() promises to suffice */
#define PATH_ROOM 4096          /* Linux' PATH_MAX */
#define STALE_S 60 /* what stands beside a profile and nobody writes */

/* ---- reading ------------------------------------------------------------- */

static gov_status check_file(int fd, const char *path, size_t *bytes,
                             gov_error *err)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return gov_fail(err, GOV_E_IO, errno, "cannot read profile %s", path);
    if (!S_ISREG(info.st_mode))
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "profile %s is not a regular file; remove it and run "
                        "gov profile again",
                        path);
    if (info.st_uid != geteuid() && info.st_uid != 0)
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "profile %s belongs to user %u, who is neither you nor "
                        "root; remove it and run gov profile again",
                        path, (unsigned)info.st_uid);
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "profile %s can be written by others (mode %04o); "
                        "remove it and run gov profile again",
                        path, (unsigned)(info.st_mode & 07777));
    if (info.st_size >= PROFILE_MAX_BYTES)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "profile %s has %" PRIu64 " bytes, more than any "
                        "profile; remove it and run gov profile again",
                        path, (uint64_t)info.st_size);
    *bytes = (size_t)info.st_size;
    return GOV_OK;
}

static gov_status open_failed(const char *path, int error, gov_error *err)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "there is no profile %s; run gov profile", path);
    case ELOOP:
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "profile %s is a symbolic link, which is not followed; "
                        "remove it and run gov profile again",
                        path);
    case EACCES:
    case EPERM:
        return gov_fail(err, GOV_E_PERMISSION, error, "cannot open profile %s",
                        path);
    default:
        return gov_fail(err, GOV_E_IO, error, "cannot open profile %s", path);
    }
}

/* Reads at most `bytes`; *got is less when the file shrank meanwhile. Returns 0
 * or an errno value. */
static int read_all(int fd, char *text, size_t bytes, size_t *got)
{
    for (*got = 0; *got < bytes;) {
        ssize_t n = read(fd, text + *got, bytes - *got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return 0;
}

static gov_status load_open(struct gov_device *out, int fd, const char *path,
                            gov_error *err)
{
    const struct gov_alloc *alloc = gov_alloc_default();
    size_t bytes = 0, got = 0;
    gov_status status = check_file(fd, path, &bytes, err);
    char *text;
    int error;

    if (status != GOV_OK)
        return status;
    text = alloc->alloc(alloc->ctx, bytes + 1);
    if (text == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory to read profile %s",
                        path);
    error = read_all(fd, text, bytes, &got);
    if (error != 0)
        status = gov_fail(err, GOV_E_IO, error, "cannot read profile %s", path);
    else
        status = gov__profile_parse(out, text, got, path, err);
    alloc->release(alloc->ctx, text);
    return status;
}

gov_status gov_device_load(struct gov_device *out, const char *path,
                           gov_error *err)
{
    char standard[PATH_ROOM];
    gov_status status;
    int fd;

    if (out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_device_load() needs a device to fill");
    if (path == NULL) {
        status = gov_device_path(standard, sizeof(standard), err);
        if (status != GOV_OK)
            return status;
        path = standard;
    }
    /* O_NONBLOCK: a FIFO put there must not hang us; it means nothing to a
     * regular file. */
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return open_failed(path, errno, err);
    status = load_open(out, fd, path, err);
    close(fd);
    return status;
}

/* ---- storing ------------------------------------------------------------- */

static const char *environment(const char *name)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
    return getenv(name);
}

gov_status gov_device_path(char *out, size_t bytes, gov_error *err)
{
    /* The XDG specification has relative paths ignored. */
    const char *base = environment("XDG_CONFIG_HOME");
    const char *below = "";
    int n;

    if (base == NULL || base[0] != '/') {
        base = environment("HOME");
        below = "/.config";
    }
    if (base == NULL || base[0] != '/')
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "neither XDG_CONFIG_HOME nor HOME names a directory; "
                        "set one, or give the path of the profile");
    n = snprintf(out, bytes, "%s%s/governor/device.json", base, below);
    if (n < 0 || (size_t)n >= bytes)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the path of the profile does not fit into %zu bytes",
                        bytes);
    return GOV_OK;
}

static gov_status store_failed(const char *path, int error, gov_error *err)
{
    bool denied = error == EACCES || error == EPERM || error == EROFS;

    return gov_fail(err, denied ? GOV_E_PERMISSION : GOV_E_IO, error,
                    "cannot store the profile as %s", path);
}

/* The directory of path, made with its parents where missing. The last slash of
 * path stays. Returns 0 or an errno value. */
static int make_directory(const char *path)
{
    char prefix[PATH_ROOM];
    size_t length = strlen(path);

    if (length >= sizeof(prefix))
        return ENAMETOOLONG;
    memcpy(prefix, path, length + 1);
    for (char *slash = strchr(prefix + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(prefix, 0700) != 0 && errno != EEXIST) {
            int error = errno;

            /* What exists need not be ours to make: EACCES, EROFS. */
            if (access(prefix, F_OK) != 0)
                return error;
        }
        *slash = '/';
    }
    return 0;
}

/* A new file beside path, its name in `name`. Returns its descriptor, or -1
 * with errno. */
static int open_beside(const char *path, char *name, size_t bytes)
{
    int fd = -1;

    for (unsigned attempt = 0; attempt < 16; attempt++) {
        int n = snprintf(name, bytes, "%s.%ld-%u.tmp", path, (long)getpid(),
                         attempt);

        if (n < 0 || (size_t)n >= bytes) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  0600);
        /* Another thread's, or left by a killed process of this number. */
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    return fd;
}

static int write_all(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, text, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        text += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* The directory of path, with a slash and a dot behind it. Returns 0 or an errno
 * value. */
static int directory_of(const char *path, char out[PATH_ROOM])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;

    if (length + 2 > PATH_ROOM)
        return ENAMETOOLONG;
    memcpy(out, path, length);
    memcpy(out + length, ".", 2);
    return 0;
}

/* Whether open_beside() makes such names for a file `base`. */
static bool is_beside(const char *name, const char *base)
{
    size_t length = strlen(base);

    if (strncmp(name, base, length) != 0 || name[length] != '.')
        return false;
    name += length + 1;
    return name[strspn(name, "0123456789-")] == '.' &&
           strcmp(name + strspn(name, "0123456789-"), ".tmp") == 0;
}

/* Removes what processes left that were killed while they saved. Saving takes no
 * minute; of an owner in another container the number says nothing. */
static void sweep(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    char name[PATH_ROOM];
    struct dirent *entry;
    struct stat info;
    DIR *dir;

    if (directory_of(path, name) != 0)
        return;
    dir = opendir(name);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own */
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int n = snprintf(name, sizeof(name), "%.*s%s", (int)(base - path), path,
                         entry->d_name);

        if (is_beside(entry->d_name, base) && n > 0 &&
            (size_t)n < sizeof(name) && lstat(name, &info) == 0 &&
            S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
            time(NULL) - info.st_mtime > STALE_S)
            (void)unlink(name);
    }
    if (dir != NULL)
        closedir(dir);
}

/* Makes the new name itself survive a crash. */
static int sync_directory_of(const char *path)
{
    char directory[PATH_ROOM];
    int fd, error = directory_of(path, directory);

    if (error != 0)
        return error;
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0 : errno; /* one may write and not read it */
    /* EINVAL: a file system that has nothing to do here. */
    if (fsync(fd) != 0 && errno != EINVAL)
        error = errno;
    close(fd);
    return error;
}

/* rename() would put a file in the place of a device, /dev/null for one. */
static int check_target(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    if (S_ISDIR(st.st_mode))
        return EISDIR;
    return S_ISREG(st.st_mode) || S_ISLNK(st.st_mode) ? 0 : ENOTSUP;
}

/* Past RLIMIT_FSIZE a write raises SIGXFSZ, which ends a host that did not
 * expect it. */
static bool write_would_kill(size_t bytes)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes;
}

/* Returns 0 or an errno value; on failure nothing is left beside path. */
static int replace(const char *path, const char *text, size_t bytes)
{
    char name[PATH_ROOM];
    int error;
    int fd = open_beside(path, name, sizeof(name));

    if (fd < 0 && errno == ENOENT) {
        error = make_directory(path);
        if (error != 0)
            return error;
        fd = open_beside(path, name, sizeof(name));
    }
    if (fd < 0)
        return errno;
    /* An odd umask has taken more away; what has no modes refuses. */
    (void)fchmod(fd, 0600);
    error = write_all(fd, text, bytes);
    if (error == 0 && fsync(fd) != 0)
        error = errno;
    close(fd); /* fsync() has told what there is to tell */
    if (error == 0 && rename(name, path) != 0)
        error = errno;
    if (error != 0) {
        (void)unlink(name);
        return error;
    }
    sweep(path);
    return sync_directory_of(path);
}

static gov_status store(const char *path, const char *text, size_t bytes,
                        gov_error *err)
{
    int error = check_target(path);

    if (error == ENOTSUP)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "cannot store the profile as %s: it is no file; name "
                        "one",
                        path);
    if (error == 0 && write_would_kill(bytes))
        return gov_fail(err, GOV_E_IO, 0,
                        "cannot store the profile as %s: files of this process "
                        "may not have %zu bytes; raise its limit (ulimit -f)",
                        path, bytes);
    if (error == 0)
        error = replace(path, text, bytes);
    return error == 0 ? GOV_OK : store_failed(path, error, err);
}

gov_status gov_device_save(const struct gov_device *device, const char *path,
                           gov_error *err)
{
    const struct gov_alloc *alloc = gov_alloc_default();
    char standard[PATH_ROOM], *text;
    gov_status status = GOV_OK;
    size_t length;

    if (path == NULL) {
        status = gov_device_path(standard, sizeof(standard), err);
        path = standard;
    }
    if (status != GOV_OK)
        return status;
    text = alloc->alloc(alloc->ctx, PROFILE_MAX_BYTES);
    if (text == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for the profile");
    /* One byte less than there is: a stored text ends in a newline. */
    status = gov_device_json(device, text, PROFILE_MAX_BYTES - 1, err);
    if (status == GOV_OK) {
        length = strlen(text);
        text[length++] = '\n';
        status = store(path, text, length, err);
    }
    alloc->release(alloc->ctx, text);
    return status;
}

/* ---- the machine it is used on ------------------------------------------- */

/* What figures depend on, in the words of whoever reads what changed. Not swap,
 * which some systems resize by the minute and no figure is about; not what
 * others use of a limit. */
static const struct {
    gov_fact fact;
    const char *was, *unknown;
} figures_depend_on[] = {
    {GOV_FACT_DEVICE_CPU, "processor was", "unknown"},
    {GOV_FACT_DEVICE_CORES, "processors were", "unknown"},
    {GOV_FACT_DEVICE_RAM, "RAM was", "unknown"},
    {GOV_FACT_DEVICE_LIMIT, "memory limit was", "none"},
    {GOV_FACT_DEVICE_PAGE_SIZE, "page size was", "unknown"},
    {GOV_FACT_DEVICE_HUGE_PAGES, "huge pages were", "unknown"},
    {GOV_FACT_DEVICE_SYSTEM, "kernel was", "unknown"},
    {GOV_FACT_DEVICE_IO_URING, "io_uring for this user was", "unknown"},
};

bool gov__device_depends_on(size_t n, gov_fact *out)
{
    if (n >= sizeof(figures_depend_on) / sizeof(figures_depend_on[0]))
        return false;
    *out = figures_depend_on[n].fact;
    return true;
}

static bool is_known(const struct gov_device_fact *at)
{
    return at != NULL && at->known;
}

/* A fact that is known on one side only has changed; one that a platform does
 * not have is as good as one that it does not say. */
static bool has_changed(const struct gov_device_fact *was,
                        const struct gov_device_fact *is)
{
    uint64_t more, less;

    if (!is_known(was) || !is_known(is))
        return is_known(was) != is_known(is);
    more = was->number > is->number ? was->number : is->number;
    less = was->number > is->number ? is->number : was->number;
    /* The kernel takes a share of RAM that changes a little from boot to boot;
     * what differs by less than 1/64 is the same machine. */
    if (was->fact == GOV_FACT_DEVICE_RAM)
        return more - less > more / 64;
    return more != less || strcmp(was->text, is->text) != 0;
}

static const char *print_fact(char *out, size_t bytes,
                              const struct gov_device_fact *at,
                              const char *unknown)
{
    struct gov_value value = {true, 0, NULL};

    if (!is_known(at))
        return unknown;
    value.number = (int64_t)at->number;
    value.text = at->text;
    return gov_value_print(out, bytes, gov_fact_info(at->fact)->type, &value);
}

size_t gov_device_changes(const struct gov_device *stored,
                          const struct gov_device *now, char *out, size_t bytes)
{
    size_t count = 0, used = 0;

    if (bytes > 0)
        out[0] = '\0';
    for (size_t i = 0;
         i < sizeof(figures_depend_on) / sizeof(figures_depend_on[0]); i++) {
        const char *unknown = figures_depend_on[i].unknown;
        const struct gov_device_fact *was =
            gov_device_fact(stored, figures_depend_on[i].fact);
        const struct gov_device_fact *is =
            gov_device_fact(now, figures_depend_on[i].fact);
        char a[96], b[96];
        int n;

        if (!has_changed(was, is))
            continue;
        count++;
        if (used >= bytes)
            continue;
        n = snprintf(out + used, bytes - used, "%s%s %s, now %s",
                     used > 0 ? "; " : "", figures_depend_on[i].was,
                     print_fact(a, sizeof(a), was, unknown),
                     print_fact(b, sizeof(b), is, unknown));
        used += n > 0 ? (size_t)n : 0;
    }
    return count;
}

/* Takes over what was measured, when it was measured here. Says why not in
 * `note`, of `bytes` > 0. */
static void take_measured(struct gov_device *out,
                          const struct gov_device *stored, char *note,
                          size_t bytes)
{
    static const char again[] = "; run gov profile again";
    /* Facts that probing does not tell. */
    static const gov_fact measured[] = {GOV_FACT_GPU_COUNT,
                                        GOV_FACT_DEVICE_REPACK_GAIN,
                                        GOV_FACT_DEVICE_HUGE_GAIN};
    size_t used;

    if (stored->measured_at == 0) {
        snprintf(note, bytes, "the stored profile has no figures%s", again);
        return;
    }
    /* When not all changes have room, what to do about them still has. */
    if (gov_device_changes(stored, out, note,
                           bytes > strlen(again) ? bytes - strlen(again)
                                                 : bytes) > 0) {
        used = strlen(note);
        snprintf(note + used, bytes - used, "%s", again);
        return;
    }
    memcpy(out->figures, stored->figures, sizeof(out->figures));
    memcpy(out->gpus, stored->gpus, sizeof(out->gpus));
    out->gpu_count = stored->gpu_count;
    for (size_t i = 0; i < sizeof(measured) / sizeof(measured[0]); i++) {
        const struct gov_device_fact *at = gov_device_fact(stored, measured[i]);

        if (at != NULL && at->known)
            gov__device_set(out, at->fact, at->number, at->source);
        else if (at != NULL)
            gov__device_unknown(out, at->fact, at->source);
    }
    out->measured_full = stored->measured_full;
    out->measured_at = stored->measured_at;
    memcpy(out->measured_on, stored->measured_on, sizeof(out->measured_on));
    gov__device_tier(out);
}

gov_status gov__device_current(const struct gov_platform *platform,
                               struct gov_device *out, char *note,
                               size_t note_bytes, gov_error *err)
{
    struct gov_device stored = {0};
    char unwanted[GOV_MESSAGE_BYTES];
    gov_error why;
    gov_status status = gov__device_probe(platform, out, err);

    if (status != GOV_OK)
        return status;
    if (note == NULL || note_bytes == 0) {
        note = unwanted;
        note_bytes = sizeof(unwanted);
    }
    note[0] = '\0';
    if (gov_device_load(&stored, NULL, &why) != GOV_OK)
        snprintf(note, note_bytes, "%s", why.message);
    else
        take_measured(out, &stored, note, note_bytes);
    return GOV_OK;
}

gov_status gov_device_current(struct gov_device *out, char *note,
                              size_t note_bytes, gov_error *err)
{
    return gov__device_current(gov__platform_native(), out, note, note_bytes,
                               err);
}
