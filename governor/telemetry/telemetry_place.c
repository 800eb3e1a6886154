/* SPDX-License-Identifier: MIT */
/* Where a database lies, and whether it may lie there. SQLite opens its files by
 * their names, and a descriptor of ours on one of them would take its locks away
 * when it is closed (POSIX): so names are looked at, and the directory is one in
 * which nobody else may put any. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/telemetry/telemetry_priv.h"

static const char *environment(const char *name)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
    const char *value = getenv(name);

    /* The XDG base directory specification: relative paths are ignored. */
    return value != NULL && *value == '/' ? value : NULL;
}

gov_status gov_telemetry_path(char *out, size_t bytes, gov_error *err)
{
    const char *base = environment("XDG_STATE_HOME"), *below = "";
    int n;

    if (base == NULL) {
        base = environment("HOME");
        below = "/.local/state";
    }
    if (base == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "neither XDG_STATE_HOME nor HOME names a directory; "
                        "set one, or give the path of the telemetry");
    n = snprintf(out, bytes, "%s%s/governor/telemetry.db", base, below);
    if (n < 0 || (size_t)n >= bytes)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the path of the telemetry does not fit into %zu "
                        "bytes; set XDG_STATE_HOME to a shorter one",
                        bytes);
    return GOV_OK;
}

static gov_status too_long(const char *path, gov_error *err)
{
    return gov_fail(err, GOV_E_INVALID, 0,
                    "the path of the telemetry, %.60s..., is longer than %d "
                    "bytes; name a shorter one",
                    path, GOV__TELEMETRY_PATH - 1);
}

static gov_status no_directory(const char *directory, int error, gov_error *err)
{
    if (error == ENOENT)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "there is no directory %.160s, so nothing was "
                        "recorded yet",
                        directory);
    return gov_fail(
        err, error == EACCES || error == EPERM ? GOV_E_PERMISSION : GOV_E_IO,
        error, "cannot use the directory %.160s", directory);
}

/* With its parents, where missing. Returns 0 or an errno value. */
static int make_directory(char *directory)
{
    struct stat st;

    for (char *slash = directory + 1;; slash++) {
        const char was = *slash;

        if (was != '/' && was != '\0')
            continue;
        *slash = '\0';
        /* The mask of the process may take rights from its owner, too. What is
         * there need not be ours to make: EACCES, EROFS. */
        if (mkdir(directory, 0700) == 0 ? chmod(directory, 0700) != 0
                                        : errno != EEXIST) {
            const int error = errno;

            if (lstat(directory, &st) != 0)
                return error;
        }
        *slash = was;
        if (was == '\0')
            return 0;
    }
}

/* Others could put a file there under our names, or a link. */
static gov_status check_directory(const char *directory, gov_error *err)
{
    struct stat st;

    if (lstat(directory, &st) != 0)
        return no_directory(directory, errno, err);
    if (!S_ISDIR(st.st_mode))
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "%.160s is no directory; name another file for the "
                        "telemetry",
                        directory);
    if (st.st_uid != geteuid())
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "%.120s belongs to another user; name a file in a "
                        "directory of your own for the telemetry",
                        directory);
    if ((st.st_mode & S_IWOTH) != 0)
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "everybody may write to %.120s; name a file in a "
                        "directory of your own for the telemetry",
                        directory);
    return GOV_OK;
}

/* Without the links in its directory's name: SQLite takes none at all. */
static gov_status resolve(gov_telemetry *t, const char *directory,
                          const char *name, gov_error *err)
{
    char *real = t->alloc->alloc(t->alloc->ctx, PATH_MAX);
    gov_status status = GOV_OK;
    int n;

    if (real == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for the path of %.160s",
                        directory);
    if (realpath(directory, real) == NULL)
        status = no_directory(directory, errno, err);
    if (status == GOV_OK) {
        n = snprintf(t->path, sizeof(t->path), "%s/%s",
                     strcmp(real, "/") == 0 ? "" : real, name);
        if (n < 0 || (size_t)n >= sizeof(t->path))
            status = too_long(real, err);
    }
    if (status == GOV_OK && t->writes)
        status = check_directory(real, err);
    t->alloc->release(t->alloc->ctx, real);
    return status;
}

/* The path that is meant, with a slash in it; the usual one where there is none. */
static gov_status choose(char out[GOV__TELEMETRY_PATH], const char *path,
                         gov_error *err)
{
    int n;

    if (path == NULL || path[0] == '\0')
        return gov_telemetry_path(out, GOV__TELEMETRY_PATH, err);
    n = snprintf(out, GOV__TELEMETRY_PATH, "%s%s",
                 strchr(path, '/') == NULL ? "./" : "", path);
    return n < 0 || n >= GOV__TELEMETRY_PATH ? too_long(path, err) : GOV_OK;
}

gov_status gov__telemetry_place(gov_telemetry *t, const char *path, bool make,
                                gov_error *err)
{
    char directory[GOV__TELEMETRY_PATH] = "";
    gov_status status = choose(directory, path, err);
    char *slash = strrchr(directory, '/');
    const char *name;
    struct stat st;
    int rc;

    if (status != GOV_OK || slash == NULL)
        return status;
    name = slash + 1;
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        (stat(directory, &st) == 0 && S_ISDIR(st.st_mode)))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "%.160s names a directory; the telemetry is a file",
                        directory);
    if (slash == directory && make)
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "the telemetry cannot lie in /; name a file in a "
                        "directory of your own");
    *slash = '\0';
    rc = make ? make_directory(directory) : 0;
    if (rc != 0)
        return no_directory(directory, rc, err);
    status = resolve(t, slash == directory ? "/" : directory, name, err);
    (void)snprintf(t->log, sizeof(t->log), "%s-wal", t->path);
    return status;
}

/* What SQLite opens beside a database by itself: a pipe of that name would hold it for
 * ever. */
static gov_status examine_beside(const gov_telemetry *t, uid_t owner,
                                 gov_error *err)
{
    static const char *const ends[] = {"-journal", "-wal", "-shm"};
    char path[GOV__TELEMETRY_PATH + 16];
    struct stat st;

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", t->path, ends[i]);
        if (lstat(path, &st) != 0) {
            if (errno == ENOENT)
                continue;
            return no_directory(path, errno, err);
        }
        if (!S_ISREG(st.st_mode))
            return gov_fail(err, GOV_E_PERMISSION, 0,
                            "%.160s is no file; remove it, or name another "
                            "file for the telemetry",
                            path);
        if (st.st_uid != owner && st.st_uid != geteuid())
            return gov_fail(err, GOV_E_PERMISSION, 0,
                            "%.120s belongs to another user; name another file "
                            "for the telemetry",
                            path);
    }
    return GOV_OK;
}

gov_status gov__telemetry_examine(const gov_telemetry *t, bool *there,
                                  gov_error *err)
{
    struct stat st;

    *there = lstat(t->path, &st) == 0;
    if (!*there && errno == ENOENT)
        return examine_beside(t, geteuid(), err);
    if (!*there)
        return no_directory(t->path, errno, err);
    if (!S_ISREG(st.st_mode))
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "%.160s is no file, or a link to one; name the "
                        "telemetry itself",
                        t->path);
    if (t->writes && st.st_uid != geteuid())
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "%.160s belongs to another user; name another file for "
                        "the telemetry",
                        t->path);
    return examine_beside(t, st.st_uid, err);
}

bool gov__telemetry_stays(const gov_telemetry *t)
{
    struct stat st;

    return lstat(t->path, &st) == 0 && st.st_dev == t->device &&
           st.st_ino == t->inode;
}

static uint64_t bytes_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

uint64_t gov__telemetry_bytes(const gov_telemetry *t)
{
    return bytes_of(t->path);
}

uint64_t gov__telemetry_log_bytes(const gov_telemetry *t)
{
    return bytes_of(t->log);
}

gov_status gov__telemetry_may_grow(gov_telemetry *t, gov_error *err)
{
    const uint64_t file = gov__telemetry_bytes(t);
    const uint64_t log = gov__telemetry_log_bytes(t);
    const uint64_t most = file > log ? file : log;
    struct rlimit limit;

    /* Past it a write raises SIGXFSZ, which ends a host that did not expect it. */
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        limit.rlim_cur == RLIM_INFINITY ||
        (limit.rlim_cur >= t->max_bytes &&
         limit.rlim_cur - t->max_bytes >= most))
        return GOV_OK;
    return gov_fail(err, GOV_E_IO, 0,
                    "files of this process may become no larger than %llu KiB, "
                    "and the telemetry might; raise that limit (ulimit -f), or "
                    "lower that of the telemetry",
                    (unsigned long long)limit.rlim_cur >> 10);
}
