/* SPDX-License-Identifier: MIT */
/* Finds and reads policy files. Knows nothing of what is in them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/policy.h"
#include "policies/shipped.h"

/* The parser's own limit; a policy file of a person is a few KiB. */
#define MAX_RULES_BYTES ((size_t)256 * 1024)
#define SYSTEM_RULES "/etc/governor/rules.yaml"

const char *gov_policy_shipped(void)
{
    return gov__shipped_balanced;
}

static gov_status io_status(int error)
{
    if (error == ENOENT || error == ENOTDIR)
        return GOV_E_NOT_FOUND;
    return error == EACCES || error == EPERM ? GOV_E_PERMISSION : GOV_E_IO;
}

/* Reads until the file ends or `room` is full. Returns 0 or an errno value. */
static int read_all(int fd, char *text, size_t room, size_t *used)
{
    ssize_t n;

    *used = 0;
    do {
        n = read(fd, text + *used, room - *used);
        if (n > 0)
            *used += (size_t)n;
    } while ((n > 0 && *used < room) || (n < 0 && errno == EINTR));
    return n < 0 ? errno : 0;
}

/* What the caller of gov_policy_open() gave; err is never NULL here. */
struct request {
    gov_policy **out;
    char *pointed;
    const struct gov_alloc *alloc;
    gov_error *err;
};

static gov_status parse(const struct request *to, const char *text,
                        size_t bytes, const char *name)
{
    gov_status status =
        gov_policy_parse(to->out, text, bytes, name, to->alloc, to->err);

    if (status == GOV_E_FORMAT && to->pointed != NULL)
        gov_policy_point(text, bytes, to->err, to->pointed, GOV_MESSAGE_BYTES);
    return status;
}

/* A file of so many bytes; half of one that is being written would be rules that
 * nobody wrote, so it has to stay as it is while it is read. */
static gov_status read_file(const struct request *to, int fd, const char *path,
                            size_t bytes)
{
    const struct gov_alloc *alloc = to->alloc;
    char *text = alloc->alloc(alloc->ctx, bytes + 1);
    gov_status status;
    size_t used;
    int rc;

    if (text == NULL)
        return gov_fail(to->err, GOV_E_NOMEM, 0,
                        "no memory to read policy file %s; free some first",
                        path);
    rc = read_all(fd, text, bytes + 1, &used);
    if (rc != 0)
        status =
            gov_fail(to->err, GOV_E_IO, rc, "cannot read policy file %s", path);
    else if (used != bytes)
        status =
            gov_fail(to->err, GOV_E_IO, 0,
                     "policy file %s changed while it was read; try again", path);
    else
        status = parse(to, text, bytes, path);
    alloc->release(alloc->ctx, text);
    return status;
}

static gov_status open_file(const struct request *to, const char *path)
{
    struct stat st;
    gov_status status;
    /* A FIFO without a writer must not hang the app: it is refused below. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return gov_fail(to->err, io_status(errno), errno,
                        "cannot open policy file %s", path);
    if (fstat(fd, &st) != 0)
        status = gov_fail(to->err, GOV_E_IO, errno, "cannot read policy file %s",
                          path);
    else if (!S_ISREG(st.st_mode))
        status = gov_fail(to->err, GOV_E_FORMAT, 0,
                          "policy file %s is no regular file; name a .yaml file",
                          path);
    else if ((uint64_t)st.st_size > MAX_RULES_BYTES)
        status = gov_fail(to->err, GOV_E_FORMAT, 0,
                          "policy file %s has %lld bytes, more than the %zu that "
                          "are read; make it smaller",
                          path, (long long)st.st_size, MAX_RULES_BYTES);
    else
        status = read_file(to, fd, path, (size_t)st.st_size);
    close(fd);
    return status;
}

/* The user's policy file into out; false when there is no place for one. */
static bool user_path(char *out, size_t bytes)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
    const char *base = getenv("XDG_CONFIG_HOME"), *middle = "";
    int n;

    /* The XDG base directory specification: relative paths are ignored. */
    if (base == NULL || *base != '/') {
        base = getenv("HOME"); /* NOLINT(concurrency-mt-unsafe): reads */
        middle = "/.config";
    }
    if (base == NULL || *base != '/')
        return false;
    n = snprintf(out, bytes, "%s%s/governor/rules.yaml", base, middle);
    return n > 0 && (size_t)n < bytes;
}

static void set_source(char *source, const char *text)
{
    size_t bytes = strnlen(text, GOV_MESSAGE_BYTES - 1);

    if (source == NULL)
        return;
    memcpy(source, text, bytes);
    source[bytes] = '\0';
}

gov_status gov_policy_open(gov_policy **out, const char *path,
                          char source[GOV_MESSAGE_BYTES],
                          char pointed[GOV_MESSAGE_BYTES],
                          const struct gov_alloc *alloc, gov_error *err)
{
    char user[1024];
    const char *candidate[2] = {NULL, SYSTEM_RULES};
    gov_error local;
    const struct request to = {out, pointed,
                               alloc != NULL ? alloc : gov_alloc_default(),
                               err != NULL ? err : &local};

    *out = NULL;
    if (pointed != NULL)
        pointed[0] = '\0';
    set_source(source, path == NULL ? "" : path);
    if (path != NULL)
        return open_file(&to, path);
    if (user_path(user, sizeof(user)))
        candidate[0] = user;
    for (size_t i = 0; i < 2; i++) {
        gov_status status;

        if (candidate[i] == NULL)
            continue;
        status = open_file(&to, candidate[i]);
        if (status == GOV_E_NOT_FOUND)
            continue;
        set_source(source, candidate[i]);
        return status;
    }
    set_source(source, "shipped rules");
    return parse(&to, gov__shipped_balanced, gov__shipped_balanced_bytes,
                 "shipped rules");
}
