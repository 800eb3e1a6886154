/* SPDX-License-Identifier: MIT */
/* The page into a file: a new one beside it takes its place when it is complete. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/cli/options.h"
#include "tools/cli/progress.h"
#include "tools/gov/report_html.h"

#define NAME_BYTES 4096

static gov_status cannot(gov_error *err, const char *path, int error)
{
    return gov_fail(err, GOV_E_IO, error, "cannot write %s",
                    cli_show(path).text);
}

/* Closes it in any case. */
static gov_status put_page(const struct gov_report *report, FILE *file,
                           bool kept, const char *path, gov_error *err)
{
    bool made = gov_report_html(report, file);
    bool bad = fflush(file) != 0 || ferror(file) != 0;
    int error = bad ? errno : 0;

    if (!bad && kept && fsync(fileno(file)) != 0) {
        bad = true;
        error = errno;
    }
    if (fclose(file) != 0 && !bad) {
        bad = true;
        error = errno;
    }
    if (!made)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for the page");
    if (cli_signal() != 0)
        return gov_fail(err, GOV_E_CANCELLED, 0, "stopped");
    return bad ? cannot(err, path, error) : GOV_OK;
}

/* A new file in the same directory, with the mode that the old one has, or that the
 * user's new files have. */
static FILE *open_beside(const char *path, const struct stat *old,
                         char name[NAME_BYTES])
{
    FILE *file;
    int fd, n;

    n = snprintf(name, NAME_BYTES, "%s.%ld.new", path, (long)getpid());
    if (n < 0 || n >= NAME_BYTES) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return NULL;
    if (old != NULL)
        (void)fchmod(fd, old->st_mode & 0777);
    file = fdopen(fd, "w");
    if (file == NULL) {
        int error = errno;

        close(fd);
        unlink(name);
        errno = error;
    }
    return file;
}

/* `path` is what the user called it. */
static gov_status replace(const struct gov_report *report, const char *target,
                          const struct stat *old, const char *path,
                          gov_error *err)
{
    char name[NAME_BYTES];
    FILE *file = open_beside(target, old, name);
    gov_status status;

    if (file == NULL)
        return cannot(err, path, errno);
    status = put_page(report, file, true, path, err);
    if (status == GOV_OK && rename(name, target) != 0)
        status = cannot(err, path, errno);
    if (status != GOV_OK)
        unlink(name);
    return status;
}

gov_status gov_report_html_file(const struct gov_report *report,
                                const char *path, gov_error *err)
{
    struct stat st;
    gov_status status;
    char *target;
    FILE *file;

    if (stat(path, &st) != 0)
        return replace(report, path, NULL, path, err);
    /* A pipe or a terminal stays what it is. */
    if (!S_ISREG(st.st_mode)) {
        file = fopen(path, "w");
        return file != NULL ? put_page(report, file, false, path, err)
                            : cannot(err, path, errno);
    }
    /* A link stays one, too. */
    target = realpath(path, NULL);
    if (target == NULL)
        return cannot(err, path, errno);
    status = replace(report, target, &st, path, err);
    free(target);
    return status;
}
