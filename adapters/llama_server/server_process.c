/* SPDX-License-Identifier: MIT */
/* The model's process, as the system sees it: the server does not tell its number,
 * but what it was started with, and that holds a port that no other has. Where there
 * is no /proc nothing is known. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters/llama_server/server_session.h"

#define COMMAND_BYTES 8192

/* Reads a small file of a process; returns its bytes. */
static size_t read_small(pid_t pid, const char *name, char *out, size_t room)
{
    char path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, out, room);
    close(fd);
    return n > 0 ? (size_t)n : 0;
}

/* As /proc shows it: words with a NUL behind each. */
static size_t join(const json_t *arguments, char out[COMMAND_BYTES])
{
    size_t used = 0;

    for (size_t i = 0; i < json_array_size(arguments); i++) {
        const char *word = json_string_value(json_array_get(arguments, i));
        const size_t bytes = word == NULL ? 0 : strlen(word) + 1;

        if (word == NULL || bytes > COMMAND_BYTES - used)
            return 0;
        memcpy(out + used, word, bytes);
        used += bytes;
    }
    return used;
}

pid_t gov__server_process_find(const json_t *arguments)
{
    char wanted[COMMAND_BYTES], found[COMMAND_BYTES];
    const size_t bytes = join(arguments, wanted);
    const struct dirent *entry;
    pid_t pid = 0;
    DIR *list = bytes == 0 ? NULL : opendir("/proc");

    if (list == NULL)
        return 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): of a stream of our own */
    while (pid == 0 && (entry = readdir(list)) != NULL) {
        const long number = strtol(entry->d_name, NULL, 10);

        if (number > 0 &&
            read_small((pid_t)number, "cmdline", found, sizeof(found)) ==
                bytes &&
            memcmp(found, wanted, bytes) == 0)
            pid = (pid_t)number;
    }
    closedir(list);
    return pid;
}

static uint64_t field(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10) * 1024;
}

bool gov__server_process_memory(pid_t pid, struct gov__server_process *out)
{
    char text[4096];
    size_t n;

    memset(out, 0, sizeof(*out));
    if (pid <= 0)
        return false;
    n = read_small(pid, "status", text, sizeof(text) - 1);
    text[n] = '\0';
    if (strstr(text, "\nRssAnon:") == NULL)
        return false;
    out->pid = pid;
    out->footprint_bytes = field(text, "\nRssAnon:") +
                           field(text, "\nRssShmem:") +
                           field(text, "\nVmSwap:");
    out->file_bytes = field(text, "\nRssFile:");
    return true;
}
