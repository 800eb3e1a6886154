/* SPDX-License-Identifier: MIT */
#include "governor/platform/linux_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int gov__lines_open(struct gov__lines *lines, const char *path)
{
    lines->fd = open(path, O_RDONLY | O_CLOEXEC);
    lines->error = 0;
    lines->start = lines->end = 0;
    lines->eof = false;
    return lines->fd < 0 ? errno : 0;
}

void gov__lines_close(struct gov__lines *lines)
{
    close(lines->fd);
}

/* Moves what is left to the front and reads more behind it. */
static void refill(struct gov__lines *lines)
{
    ssize_t n;

    memmove(lines->buffer, lines->buffer + lines->start,
            lines->end - lines->start);
    lines->end -= lines->start;
    lines->start = 0;
    do {
        n = read(lines->fd, lines->buffer + lines->end,
                 sizeof(lines->buffer) - 1 - lines->end);
    } while (n < 0 && errno == EINTR);
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

int gov__file_number(const char *path, const char *key, uint64_t *out)
{
    struct gov__lines lines;
    size_t length = strlen(key);
    int rc = gov__lines_open(&lines, path);
    char *line;

    if (rc != 0)
        return rc;
    rc = ENOENT;
    while (rc == ENOENT && (line = gov__lines_next(&lines)) != NULL)
        if (strncmp(line, key, length) == 0 &&
            gov__parse_number(line + length, out))
            rc = 0;
    if (rc == ENOENT && lines.error != 0)
        rc = lines.error;
    gov__lines_close(&lines);
    return rc;
}
