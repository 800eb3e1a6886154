/* SPDX-License-Identifier: MIT */
/* The format, written down a second time: shares nothing with the reader. */
#include "tests/support/safetensors_writer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void give_up(const char *what)
{
    perror(what);
    abort();
}

void safetensors_raw(struct safetensors_writer *w, const char *json)
{
    size_t bytes = strlen(json);

    if (w->room - w->bytes < bytes + 1) {
        w->room = 2 * w->room + bytes + 4096;
        w->json = realloc(w->json, w->room);
        if (w->json == NULL)
            give_up("realloc");
    }
    memcpy(w->json + w->bytes, json, bytes + 1);
    w->bytes += bytes;
}

void safetensors_begin(struct safetensors_writer *w)
{
    memset(w, 0, sizeof(*w));
    safetensors_raw(w, "{");
}

void safetensors_free(struct safetensors_writer *w)
{
    free(w->json);
    memset(w, 0, sizeof(*w));
}

void safetensors_tensor(struct safetensors_writer *w, const char *name,
                        const char *dtype, const char *shape, uint64_t begin,
                        uint64_t end)
{
    char text[1024];

    snprintf(
        text, sizeof(text),
        "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%" PRIu64
        ",%" PRIu64 "]}",
        w->bytes > 1 ? "," : "", name, dtype, shape, begin, end);
    safetensors_raw(w, text);
}

static uint64_t bits_of(const char *dtype)
{
    static const struct {
        const char *name;
        uint64_t bits;
    } sizes[] = {{"F64", 64},    {"I64", 64}, {"F32", 32},  {"I32", 32},
                 {"U32", 32},    {"F16", 16}, {"BF16", 16}, {"I16", 16},
                 {"F8_E4M3", 8}, {"U8", 8},   {"I8", 8},    {"F4", 4}};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (strcmp(dtype, sizes[i].name) == 0)
            return sizes[i].bits;
    fprintf(stderr, "safetensors_add: %s is not known here\n", dtype);
    abort();
}

uint64_t safetensors_add(struct safetensors_writer *w, const char *name,
                         const char *dtype, const uint64_t shape[4])
{
    uint64_t bits = bits_of(dtype);
    char text[128] = "[";
    size_t used = 1;

    for (unsigned i = 0; i < 4 && shape[i] != 0; i++) {
        bits *= shape[i];
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIu64,
                                 i > 0 ? "," : "", shape[i]);
    }
    snprintf(text + used, sizeof(text) - used, "]");
    safetensors_tensor(w, name, dtype, text, w->next, w->next + bits / 8);
    w->next += bits / 8;
    return bits / 8;
}

void safetensors_finish(struct safetensors_writer *w)
{
    safetensors_raw(w, "}");
    while (w->bytes % 8 != 0)
        safetensors_raw(w, " ");
}

void safetensors_save(const struct safetensors_writer *w, const char *path,
                      uint64_t data)
{
    FILE *file = fopen(path, "wb");
    unsigned char length[8];

    for (unsigned i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)w->bytes >> (8 * i));
    if (file == NULL || fwrite(length, 1, 8, file) != 8 ||
        (w->bytes > 0 && fwrite(w->json, 1, w->bytes, file) != w->bytes) ||
        fflush(file) != 0 ||
        ftruncate(fileno(file), (off_t)(8 + w->bytes + data)) != 0 ||
        fclose(file) != 0)
        give_up(path);
}

void safetensors_write(struct safetensors_writer *w, const char *path)
{
    safetensors_finish(w);
    safetensors_save(w, path, w->next);
    safetensors_free(w);
}

/* Cut to length after it is written, not before: file systems bring what replaces
 * a file so to the disk at once, and that takes milliseconds. */
void write_bytes(const char *path, const void *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes ||
        ftruncate(fd, (off_t)bytes) != 0 || close(fd) != 0)
        give_up(path);
}

void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}
