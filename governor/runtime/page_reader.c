/* SPDX-License-Identifier: MIT */
/* Reads the pages of this user's processes. Whatever lies in the directory, a
 * reader neither waits nor believes it: sizes are bounded, texts are cleaned,
 * and a page counts only while its process lives. */
#include "governor/page.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "governor/runtime/page_layout.h"

/* A torn read takes a writer at work in the same microsecond. */
#define READ_TRIES 4

/* ---- the directory --------------------------------------------------------- */

/* XDG_RUNTIME_DIR counts when it is what the standard says: an absolute name of
 * a directory of this user. Under sudo -E it is somebody else's, and a root
 * process that publishes there would lock the user out. */
static const char *runtime_directory(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
    const char *name = getenv("XDG_RUNTIME_DIR");
    struct stat st;

    if (name == NULL || name[0] != '/' || stat(name, &st) != 0 ||
        !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return NULL;
    return name;
}

gov_status gov_page_directory(char *out, size_t bytes, gov_error *err)
{
    const char *base = runtime_directory();
    int n;

    if (base != NULL) {
        n = snprintf(out, bytes, "%s/governor", base);
    } else {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
        base = getenv("TMPDIR");
        if (base == NULL || base[0] != '/')
            base = "/tmp";
        n = snprintf(out, bytes, "%s/governor-%lu", base,
                     (unsigned long)geteuid());
    }
    if (n >= 0 && (size_t)n < bytes)
        return GOV_OK;
    return gov_fail(err, GOV_E_INVALID, 0,
                    "the name of the page directory in %.60s is longer than "
                    "%zu bytes; set XDG_RUNTIME_DIR to a shorter one",
                    base, bytes == 0 ? 0 : bytes - 1);
}

/* `usual`: it is the one that is ours, so its rights are ours to change; of another
 * one that somebody named they are not. */
static gov_status check_directory(int fd, const char *name, bool usual,
                                  gov_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return gov_fail(err, GOV_E_IO, errno, "cannot examine %s", name);
    if (st.st_uid != geteuid())
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "%s belongs to another user (uid %lu), so pages in it "
                        "cannot be trusted; %s",
                        name, (unsigned long)st.st_uid,
                        usual ? "set XDG_RUNTIME_DIR to a directory of yours"
                              : "name a directory of yours");
    if ((st.st_mode & 022) != 0)
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "%s can be written by others (mode %03o), so pages in "
                        "it cannot be trusted; %s%s",
                        name, (unsigned)(st.st_mode & 0777),
                        usual ? "run chmod 700 "
                              : "name a directory that only you can write to",
                        usual ? name : "");
    return GOV_OK;
}

gov_status gov__page_directory_open(int *out_fd, const char *directory,
                                    bool make, gov_error *err)
{
    const bool usual = directory == NULL;
    char fallback[GOV__PAGE_PATH_BYTES];
    gov_status status;
    int fd;

    *out_fd = -1;
    if (usual) {
        status = gov_page_directory(fallback, sizeof(fallback), err);
        if (status != GOV_OK)
            return status;
        directory = fallback;
    }
    if (make && mkdir(directory, 0700) != 0 && errno != EEXIST)
        return gov_fail(err, GOV_E_IO, errno,
                        "cannot make the page directory %s", directory);
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "there is no page directory %s; %s", directory,
                        usual ? "start an app that is governed"
                              : "name another one");
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "%s is a symbolic link or no directory, so pages in it "
                        "cannot be trusted; %s",
                        directory, usual ? "move it away" : "name a directory");
    if (fd < 0)
        return gov_fail(err, errno == EACCES ? GOV_E_PERMISSION : GOV_E_IO,
                        errno, "cannot open the page directory %s", directory);
    status = check_directory(fd, directory, usual, err);
    if (status != GOV_OK) {
        close(fd);
        return status;
    }
    *out_fd = fd;
    return GOV_OK;
}

/* ---- listing --------------------------------------------------------------- */

/* The pid of "123.page" exactly as a writer spells it, else 0; *rest is what
 * follows it then. */
static int32_t pid_of_name(const char *name, const char **rest)
{
    int64_t pid = 0;

    if (*name == '0')
        return 0;
    for (; *name >= '0' && *name <= '9'; name++) {
        pid = pid * 10 + (*name - '0');
        if (pid > INT32_MAX)
            return 0;
    }
    *rest = name;
    return (int32_t)pid;
}

/* Of a page that is none of ours no more is read than its head. */
static bool read_file(int fd, int32_t pid, struct gov_page *out)
{
    uint8_t bytes[GOV__PAGE_BYTES + 1];
    struct stat st;
    enum gov__page_verdict verdict = GOV__PAGE_TORN;
    size_t wanted = sizeof(bytes);
    ssize_t n = 0;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        st.st_size < GOV__PAGE_HEAD_BYTES)
        return false;
    if (st.st_size != GOV__PAGE_BYTES)
        wanted = GOV__PAGE_HEAD_BYTES;
    for (int i = 0; i < READ_TRIES && verdict == GOV__PAGE_TORN; i++) {
        n = pread(fd, bytes, wanted, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        verdict = gov__page_decode(bytes, (size_t)n, out);
    }
    if (verdict == GOV__PAGE_FOREIGN && n >= GOV__PAGE_HEAD_BYTES &&
        gov__page_head(bytes, (uint64_t)st.st_size, out))
        verdict = GOV__PAGE_VALID;
    return verdict == GOV__PAGE_VALID && out->pid == pid;
}

/* The file of a process that was killed before it had written a page: made, and
 * empty, from gov_open() to the first step. */
static bool is_unborn(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           st.st_uid == geteuid() && st.st_size == 0;
}

/* Removes what a dead process left: its page and the socket beside it (control.c),
 * each of which may be gone. */
static void sweep(int directory, int32_t pid)
{
    char name[GOV__PAGE_NAME_BYTES];

    snprintf(name, sizeof(name), "%" PRId32 ".page", pid);
    unlinkat(directory, name, 0);
    snprintf(name, sizeof(name), "%" PRId32 ".ctl", pid);
    unlinkat(directory, name, 0);
}

/* A socket that stayed without a page. */
static void sweep_socket(int directory, const char *name, int32_t pid)
{
    const struct gov_platform *platform = gov__platform_native();
    struct stat st;

    if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISSOCK(st.st_mode) && st.st_uid == geteuid() &&
        platform->alive(platform->ctx, pid, 0) == ESRCH)
        unlinkat(directory, name, 0);
}

/* Reads one file of the directory; true for the page of a living process. The
 * page of a dead one is removed: its name, owner and content agree here. */
static bool read_entry(int directory, const char *name, struct gov_page *out)
{
    const struct gov_platform *platform = gov__platform_native();
    const char *rest = "";
    int32_t pid = pid_of_name(name, &rest);
    bool valid, unborn;
    int fd;

    if (pid > 0 && strcmp(rest, ".ctl") == 0)
        sweep_socket(directory, name, pid);
    if (pid == 0 || strcmp(rest, ".page") != 0)
        return false;
    /* O_NONBLOCK: opening a FIFO would wait for its writer. */
    fd = openat(directory, name,
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return false;
    valid = read_file(fd, pid, out);
    unborn = !valid && is_unborn(fd);
    close(fd);
    if (unborn && platform->alive(platform->ctx, pid, 0) == ESRCH)
        sweep(directory, pid);
    if (!valid)
        return false;
    /* Only a clear "no" counts: a system that cannot tell shows the page. */
    out->alive = platform->alive(platform->ctx, pid, out->start_ticks) != ESRCH;
    if (!out->alive)
        sweep(directory, pid);
    return out->alive;
}

bool gov__page_find(int directory, int32_t pid, struct gov_page *out)
{
    char name[GOV__PAGE_NAME_BYTES];

    snprintf(name, sizeof(name), "%" PRId32 ".page", pid);
    return read_entry(directory, name, out);
}

/* Keeps the lowest pids, in order. */
static void insert(struct gov_page *pages, size_t room, size_t *count,
                   const struct gov_page *page)
{
    size_t at = *count;

    while (at > 0 && pages[at - 1].pid > page->pid)
        at--;
    if (at == room)
        return;
    if (*count < room)
        (*count)++;
    memmove(pages + at + 1, pages + at, (*count - at - 1) * sizeof(*pages));
    pages[at] = *page;
}

gov_status gov_page_list(struct gov_page *pages, size_t room, size_t *count,
                         const char *directory, gov_error *err)
{
    struct gov_page page;
    struct dirent *entry;
    gov_status status;
    DIR *stream;
    int fd, error;

    *count = 0;
    status = gov__page_directory_open(&fd, directory, false, err);
    /* Nobody has published yet; but a name that is none is a slip. */
    if (status == GOV_E_NOT_FOUND && directory == NULL)
        return GOV_OK;
    if (status != GOV_OK)
        return status;
    stream = fdopendir(fd);
    if (stream == NULL) {
        error = errno;
        close(fd);
        return gov_fail(err, error == ENOMEM ? GOV_E_NOMEM : GOV_E_IO, error,
                        "cannot list the page directory");
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this call's own */
    while (errno = 0, (entry = readdir(stream)) != NULL)
        if (read_entry(fd, entry->d_name, &page))
            insert(pages, room, count, &page);
    error = errno;
    closedir(stream);
    if (error == 0)
        return GOV_OK;
    *count = 0;
    return gov_fail(err, GOV_E_IO, error, "cannot list the page directory");
}
