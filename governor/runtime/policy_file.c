/* SPDX-License-Identifier: MIT */
/* Finds and reads policy files. Knows nothing of what is in them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/model/model_text.h"
#include "governor/runtime/policy_watch.h"
#include "policies/language/words_priv.h"
#include "policies/rules/policy_priv.h"

#define SYSTEM_POLICY "/etc/governor/policy.yaml"

static gov_status io_status(int error)
{
    if (error == ENOENT || error == ENOTDIR)
        return GOV_E_NOT_FOUND;
    return error == EACCES || error == EPERM ? GOV_E_PERMISSION : GOV_E_IO;
}

/* ---- one file -------------------------------------------------------------- */

/* A file as it was read. */
struct text {
    char *text; /* NUL-terminated */
    size_t bytes;
    dev_t device;
    ino_t inode;
};

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

/* Less or more than its size: it was changed meanwhile, or it is of the kind that
 * the system makes up when it is read. */
static gov_status fail_size(const struct stat *before, int fd, const char *name,
                            gov_error *err)
{
    struct stat now;

    if (fstat(fd, &now) == 0 && now.st_size == before->st_size &&
        now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == before->st_mtim.tv_nsec)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "policy file %s has another size than it says, as "
                        "those of /proc and /sys do; copy it and name the copy",
                        name);
    return gov_fail(err, GOV_E_IO, 0,
                    "policy file %s changed while it was read; try again",
                    name);
}

/* Half of a file that is being written would be rules that nobody wrote, so it
 * has to stay as it is while it is read. */
static gov_status read_file(struct text *out, const struct stat *st, int fd,
                            const char *name, const struct gov_alloc *alloc,
                            gov_error *err)
{
    const size_t bytes = (size_t)st->st_size;
    char *text = alloc->alloc(alloc->ctx, bytes + 1);
    gov_status status;
    size_t used;
    int rc;

    if (text == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory to read policy file %s; free some first",
                        name);
    rc = read_all(fd, text, bytes + 1, &used);
    if (rc != 0) {
        status =
            gov_fail(err, GOV_E_IO, rc, "cannot read policy file %s", name);
    } else if (used != bytes) {
        status = fail_size(st, fd, name, err);
    } else {
        text[used] = '\0';
        *out = (struct text){text, bytes, st->st_dev, st->st_ino};
        return GOV_OK;
    }
    alloc->release(alloc->ctx, text);
    return status;
}

static gov_status open_file(struct text *out, const char *path,
                            const struct gov_alloc *alloc, gov_error *err)
{
    char name[128];
    struct stat st;
    gov_status status;
    /* A FIFO without a writer must not hang the app: it is refused below. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = errno;

    gov__text_path(name, sizeof(name), path);
    if (fd < 0)
        return gov_fail(err, io_status(rc), rc, "cannot open policy file %s",
                        name);
    if (fstat(fd, &st) != 0) {
        status =
            gov_fail(err, GOV_E_IO, errno, "cannot read policy file %s", name);
    } else if (!S_ISREG(st.st_mode)) {
        status = gov_fail(
            err, GOV_E_FORMAT, 0,
            "policy file %s is no regular file; name a .yaml file", name);
    } else if ((uint64_t)st.st_size > GOV__POLICY_TEXT_MAX) {
        status = gov_fail(err, GOV_E_FORMAT, 0,
                          "policy file %s has %lld bytes, more than the %zu "
                          "that are read; make it smaller",
                          name, (long long)st.st_size, GOV__POLICY_TEXT_MAX);
    } else {
        status = read_file(out, &st, fd, name, alloc, err);
    }
    close(fd);
    return status;
}

gov_status gov_policy_read_text(char **text, size_t *bytes, const char *path,
                                const struct gov_alloc *alloc, gov_error *err)
{
    struct text file = {0};
    gov_status status;

    if (text == NULL || path == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_policy_read_text() needs a path and a place for "
                        "the text");
    status = open_file(&file, path, alloc != NULL ? alloc : gov_alloc_default(),
                       err);
    *text = file.text;
    if (bytes != NULL)
        *bytes = status == GOV_OK ? file.bytes : 0;
    return status;
}

/* ---- where ----------------------------------------------------------------- */

/* The user's policy file into out; false when there is no place for one. */
static bool user_path(char out[GOV__POLICY_PATH])
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
    n = snprintf(out, GOV__POLICY_PATH, "%s%s/governor/policy.yaml", base,
                 middle);
    return n > 0 && n < GOV__POLICY_PATH;
}

static gov_status no_policy(const char *named, gov_error *err)
{
    size_t count;
    const char *const *names = gov_policy_shipped_names(&count);
    const char *meant = gov__nearest(named, strlen(named), names, count);
    char list[80];

    gov__list(list, sizeof(list), names, count);
    return gov_fail(err, GOV_E_INVALID, 0,
                    "there is no policy \"%.*s\"%s%s%s; name %s, or a file, "
                    "with a . or a / in its name",
                    gov__short(named, strlen(named)), named,
                    meant != NULL ? " (did you mean " : "",
                    meant != NULL ? meant : "", meant != NULL ? "?)" : "",
                    list);
}

gov_status gov__policy_find(struct gov__policy_files *files, const char *named,
                            bool alone, char user[GOV__POLICY_PATH],
                            gov_error *err)
{
    size_t count;
    const char *const *names = gov_policy_shipped_names(&count);

    *files = (struct gov__policy_files){0};
    if (!alone) {
        files->path[GOV__SYSTEM_FILE] = SYSTEM_POLICY;
        if (user_path(user))
            files->path[GOV__USER_FILE] = user;
    }
    if (named == NULL)
        return GOV_OK;
    if (strpbrk(named, "./") != NULL) {
        files->path[GOV__NAMED_FILE] = named;
        return GOV_OK;
    }
    for (size_t i = 0; i < count; i++)
        if (strcmp(named, names[i]) == 0)
            files->shipped = names[i];
    return files->shipped != NULL ? GOV_OK : no_policy(named, err);
}

/* ---- all of them ------------------------------------------------------------ */

struct reading {
    const struct gov__policy_request *request;
    struct text text[GOV__POLICY_FILES];
    struct gov_policy_layer layer[GOV__POLICY_FILES + 1];
    size_t count;
    char base[48]; /* the layer that says what was named */
    bool pointed;
};

/* The file that lies at `text` is named, too: it counts once, where it is
 * named. */
static bool is_named(const struct reading *reading, size_t file)
{
    const struct text *named = &reading->text[GOV__NAMED_FILE];

    return file != GOV__NAMED_FILE && named->text != NULL &&
           named->device == reading->text[file].device &&
           named->inode == reading->text[file].inode;
}

static gov_status read_files(struct reading *reading, gov_error *err)
{
    const struct gov__policy_files *files = reading->request->files;

    for (size_t i = 0; i < GOV__POLICY_FILES; i++) {
        gov_status status;

        if (files->path[i] == NULL)
            continue;
        status = open_file(&reading->text[i], files->path[i],
                           reading->request->alloc, err);
        if (status != GOV_OK &&
            (status != GOV_E_NOT_FOUND || i == GOV__NAMED_FILE))
            return status;
    }
    for (size_t i = 0; i < GOV__POLICY_FILES; i++)
        if (reading->text[i].text != NULL && !is_named(reading, i))
            reading->layer[reading->count++] = (struct gov_policy_layer){
                files->path[i], reading->text[i].text, reading->text[i].bytes};
    return GOV_OK;
}

/* A shipped policy that was named: the last word on what the others lie over. */
static void add_base(struct reading *reading)
{
    const char *name = reading->request->files->shipped;

    if (name == NULL)
        return;
    snprintf(reading->base, sizeof(reading->base), "version: 1\nbase: %s\n",
             name);
    reading->layer[reading->count++] =
        (struct gov_policy_layer){name, reading->base, strlen(reading->base)};
}

static void point(struct reading *reading, const struct gov_flaw *flaw)
{
    for (size_t i = 0; i < reading->count; i++) {
        const struct gov_policy_layer *layer = &reading->layer[i];

        if (flaw->file != NULL && strcmp(layer->name, flaw->file) == 0)
            gov_policy_point(layer->text, layer->bytes, flaw->line,
                             flaw->column, reading->request->pointed,
                             GOV_MESSAGE_BYTES);
    }
}

static void on_flaw(void *ctx, const struct gov_flaw *flaw)
{
    struct reading *reading = ctx;

    if (!flaw->warning && !reading->pointed &&
        reading->request->pointed != NULL) {
        reading->pointed = true;
        point(reading, flaw);
    }
    if (reading->request->flaw != NULL)
        reading->request->flaw(reading->request->flaw_ctx, flaw);
}

/* "frugal, /etc/governor/policy.yaml": the uppermost shipped one, and the files
 * that lie over it. What `base: none` left out is not in the policy either. */
static void say_source(char *source, const gov_policy *policy)
{
    uint32_t first = 0;
    size_t used = 0;

    while (first + 1 < policy->file_count &&
           gov_policy_shipped(policy->files[first + 1], NULL) != NULL)
        first++;
    for (uint32_t i = first; i < policy->file_count; i++)
        if (i == first || gov_policy_shipped(policy->files[i], NULL) == NULL)
            used = gov__put(source, GOV_MESSAGE_BYTES, used, "%s%s",
                            i == first ? "" : ", ", policy->files[i]);
}

gov_status gov__policy_load(gov_policy **out,
                            const struct gov__policy_request *request,
                            gov_error *err)
{
    struct reading reading = {.request = request};
    const bool told = request->flaw != NULL || request->pointed != NULL;
    gov_status status;

    *out = NULL;
    if (request->source != NULL)
        request->source[0] = '\0';
    if (request->pointed != NULL)
        request->pointed[0] = '\0';
    status = read_files(&reading, err);
    if (status == GOV_OK) {
        add_base(&reading);
        /* Nobody listens: nobody need look for doubts either. */
        status = gov_policy_build(out, reading.layer, reading.count,
                                  told ? on_flaw : NULL, &reading,
                                  request->alloc, err);
    }
    if (status == GOV_OK && request->source != NULL)
        say_source(request->source, *out);
    for (size_t i = 0; i < GOV__POLICY_FILES; i++)
        request->alloc->release(request->alloc->ctx, reading.text[i].text);
    return status;
}

/* NOLINTNEXTLINE(readability-function-size): each is asked for by some caller */
gov_status gov_policy_open(gov_policy **out, const char *named,
                           char source[GOV_MESSAGE_BYTES],
                           char pointed[GOV_MESSAGE_BYTES], gov_flaw_fn flaw,
                           void *ctx, const struct gov_alloc *alloc,
                           gov_error *err)
{
    char user[GOV__POLICY_PATH];
    struct gov__policy_files files;
    const struct gov__policy_request request = {
        .files = &files,
        .alloc = alloc != NULL ? alloc : gov_alloc_default(),
        .source = source,
        .pointed = pointed,
        .flaw = flaw,
        .flaw_ctx = ctx,
    };
    gov_status status;

    if (out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_policy_open() needs a place for the policy");
    *out = NULL;
    if (source != NULL)
        source[0] = '\0';
    if (pointed != NULL)
        pointed[0] = '\0';
    status = gov__policy_find(&files, named, false, user, err);
    return status == GOV_OK ? gov__policy_load(out, &request, err) : status;
}
