/* SPDX-License-Identifier: MIT */
/* Reads text files of the kernel line by line, through a buffer on the stack:
 * mountinfo and maps of a container can be any length. Linux only. */
#ifndef GOV_PLATFORM_LINUX_LINES_H
#define GOV_PLATFORM_LINUX_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gov__linux_kept;

struct gov__lines {
    int fd;
    struct gov__linux_kept *kept; /* whose the descriptor is; NULL: ours */
    bool fresh;                   /* it was opened just now */
    const char *path;
    int64_t at;
    int error; /* errno value of a failed read, else 0 */
    size_t start, end;
    bool eof;
    char buffer[4096];
};

/* Returns 0 or an errno value; close with gov__lines_close() on 0. */
int gov__lines_open(struct gov__lines *lines, const char *path);
/* The same through a descriptor of `kept`, where that is not NULL; `path` must last
 * until the close. */
int gov__lines_open_kept(struct gov__lines *lines, struct gov__linux_kept *kept,
                         const char *path);
/* The next line without its newline, NUL-terminated, valid until the next call;
 * NULL at the end or on an error. A line longer than the buffer is cut. */
char *gov__lines_next(struct gov__lines *lines);
void gov__lines_close(struct gov__lines *lines);

/* root + path into out; returns 0, or ENAMETOOLONG. */
int gov__path_join(char *out, size_t bytes, const char *root, const char *path);

/* The number that follows `key` (with its separators) at the start of a line of
 * the file, for instance "MemTotal:". Returns 0, ENOENT when no line has it, or
 * an errno value. Numbers too large become UINT64_MAX. */
int gov__file_number(const char *path, const char *key, uint64_t *out);

/* The same for each of `count` keys, in one go: out[i] and have[i]. What no line has
 * leaves out[i] as it is. */
int gov__file_numbers(struct gov__linux_kept *kept, const char *path,
                      const char *const *keys, size_t count, uint64_t *out,
                      bool *have);

/* As gov__read_text(). */
int gov__file_text(struct gov__linux_kept *kept, const char *path, char *buffer,
                   size_t bytes);

/* Parses a decimal number; false when there is none. */
bool gov__parse_number(const char *text, uint64_t *out);

#endif
