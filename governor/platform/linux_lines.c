/* SPDX-License-Identifier: MIT */
#include "governor/platform/linux_lines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "governor/platform/linux_kept.h"

int gov__lines_open_kept(struct gov__lines *lines, struct gov__linux_kept *kept,
                         const char *path)
{
    int rc;

    lines->kept = kept;
    lines->path = path;
    lines->fresh = true;
    lines->at = 0;
    lines->error = 0;
    lines->start = lines->end = 0;
    lines->eof = false;
    lines->fd = -1;
    if (kept != NULL) {
        rc = gov__kept_open(kept, path, &lines->fd, &lines->fresh);
        if (rc != 0 || lines->fd >= 0)
            return rc;
        lines->kept = NULL; /* has no room for it */
    }
    lines->fd = gov__open_read(path);
    return lines->fd < 0 ? errno : 0;
}

int gov__lines_open(struct gov__lines *lines, const char *path)
{
    return gov__lines_open_kept(lines, NULL, path);
}

void gov__lines_close(struct gov__lines *lines)
{
    if (lines->kept == NULL)
        close(lines->fd);
}

/* More of the file. What was kept may be of a group or a process that is gone: then
 * it is opened anew, once. */
static ssize_t read_more(struct gov__lines *lines, char *to, size_t bytes)
{
    ssize_t n;

    for (;;) {
        n = lines->kept != NULL ? pread(lines->fd, to, bytes, lines->at)
                                : read(lines->fd, to, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n >= 0 || lines->kept == NULL)
            break;
        gov__kept_forget(lines->kept, lines->fd);
        if (lines->fresh || lines->at != 0 ||
            (errno = gov__kept_open(lines->kept, lines->path, &lines->fd,
                                    &lines->fresh)) != 0)
            return -1;
    }
    if (n > 0)
        lines->at += n;
    return n;
}

/* Moves what is left to the front and reads more behind it. */
static void refill(struct gov__lines *lines)
{
    ssize_t n;

    memmove(lines->buffer, lines->buffer + lines->start,
            lines->end - lines->start);
    lines->end -= lines->start;
    lines->start = 0;
    n = read_more(lines, lines->buffer + lines->end,
                  sizeof(lines->buffer) - 1 - lines->end);
    if (n < 0)
        lines->error = errno;
    if (n <= 0)
        lines->eof = true;
    else
        lines->end += (size_t)n;
}

char *gov__lines_next(struct gov__lines *lines)
{
    bool cut = false;

    for (;;) {
        char *line = lines->buffer + lines->start;
        char *newline = memchr(line, '\n', lines->end - lines->start);

        if (newline != NULL) {
            *newline = '\0';
            lines->start = (size_t)(newline - lines->buffer) + 1;
            if (!cut)
                return line;
            cut = false; /* that was the rest of a line handed out before */
            continue;
        }
        if (lines->eof) {
            if (lines->start == lines->end || cut)
                return NULL;
            lines->buffer[lines->end] = '\0';
            lines->start = lines->end;
            return line;
        }
        if (lines->end - lines->start == sizeof(lines->buffer) - 1) {
            /* Longer than the buffer: what a caller wants stands at the front
             * of every such line, so skip the rest of it. */
            lines->start = lines->end;
            cut = true;
        }
        refill(lines);
    }
}

int gov__path_join(char *out, size_t bytes, const char *root, const char *path)
{
    int n = snprintf(out, bytes, "%s%s", root, path);

    return n >= 0 && (size_t)n < bytes ? 0 : ENAMETOOLONG;
}

bool gov__parse_number(const char *text, uint64_t *out)
{
    uint64_t n = 0;

    while (*text == ' ' || *text == '\t')
        text++;
    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
        if (n == UINT64_MAX)
            break;
    }
    *out = n;
    return true;
}

int gov__file_numbers(struct gov__linux_kept *kept, const char *path,
                      const char *const *keys, size_t count, uint64_t *out,
                      bool *have)
{
    struct gov__lines lines;
    size_t missing = count;
    int rc = gov__lines_open_kept(&lines, kept, path);
    char *line;

    for (size_t i = 0; i < count; i++)
        have[i] = false;
    if (rc != 0)
        return rc;
    while (missing > 0 && (line = gov__lines_next(&lines)) != NULL)
        for (size_t i = 0; i < count; i++) {
            size_t length = strlen(keys[i]);

            if (have[i] || strncmp(line, keys[i], length) != 0 ||
                !gov__parse_number(line + length, &out[i]))
                continue;
            have[i] = true;
            missing--;
        }
    rc = missing > 0 ? lines.error : 0;
    gov__lines_close(&lines);
    return rc;
}

int gov__file_number(const char *path, const char *key, uint64_t *out)
{
    bool have;
    int rc = gov__file_numbers(NULL, path, &key, 1, out, &have);

    return rc == 0 && !have ? ENOENT : rc;
}

int gov__file_text(struct gov__linux_kept *kept, const char *path, char *buffer,
                   size_t bytes)
{
    struct gov__lines lines;
    size_t used = 0;
    ssize_t n = 1;
    int rc = gov__lines_open_kept(&lines, kept, path);

    if (rc != 0)
        return rc;
    while (n > 0 && used < bytes) {
        n = read_more(&lines, buffer + used, bytes - used);
        if (n > 0)
            used += (size_t)n;
    }
    rc = n < 0 ? errno : used == bytes ? EFBIG : 0;
    gov__lines_close(&lines);
    if (rc == 0)
        buffer[used] = '\0';
    return rc;
}
