/* SPDX-License-Identifier: MIT */
/* Any bytes as the index of two shards: nothing crashes, no file but the shards
 * beside it is read, and what the index says of them is true or refused. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "governor/model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64];

static void must(int truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static const char *in(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

/* Cut to length last: what replaces a file goes to the disk at once. */
static void save(const char *name, const void *data, size_t bytes)
{
    int fd = open(in(name), O_WRONLY | O_CREAT, 0600);

    must(fd >= 0 && pwrite(fd, data, bytes, 0) == (ssize_t)bytes &&
             ftruncate(fd, (off_t)bytes) == 0 && close(fd) == 0,
         "a temporary file");
}

static void clean(void)
{
    unlink(in("m.index.json"));
    unlink(in("a"));
    unlink(in("b"));
    rmdir(directory);
}

/* A shard of two tensors of one byte, x0 and x1. */
static void save_shard(const char *name, char letter)
{
    char text[256] = {0};
    int bytes = snprintf(
        text + 8, sizeof(text) - 8,
        "{\"%c0\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
        "\"%c1\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
        letter, letter);

    text[0] = (char)bytes;
    save(name, text, 8 + (size_t)bytes + 2);
}

static void set_up(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(directory, sizeof(directory), "%.40s/fuzzXXXXXX",
             tmp != NULL ? tmp : "/tmp");
    must(mkdtemp(directory) != NULL, "a temporary directory");
    atexit(clean);
    save_shard("a", 'a');
    save_shard("b", 'b');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gov__header header;
    gov_error err = {0};

    if (directory[0] == '\0')
        set_up();
    save("m.index.json", data, size);
    if (gov__safetensors_open(&header, in("m.index.json"), gov_alloc_default(),
                              &err) != GOV_OK) {
        must(err.message[0] != '\0', "a sentence");
        return 0;
    }
    must(header.file_count <= 2 && header.count == 2 * header.file_count,
         "both tensors of each shard");
    for (size_t i = 0; i < header.file_count; i++)
        must(strcmp(header.files[i].path, in("a")) == 0 ||
                 strcmp(header.files[i].path, in("b")) == 0,
             "no other file");
    gov__header_fini(&header);
    return 0;
}
