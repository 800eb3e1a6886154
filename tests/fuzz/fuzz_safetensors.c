/* SPDX-License-Identifier: MIT */
/* Any bytes as a safetensors file: nothing crashes, what is allocated is bounded
 * by what is there, and what is read lies in the file without a gap. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "governor/model/quantization_config.h"
#include "governor/model/safetensors.h"
#include "tests/fuzz/promises.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_header(const struct gov__header *header, size_t size)
{
    uint64_t end = size;

    must(header->count > 0 && header->file_count == 1, "a model");
    for (size_t i = header->count; i > 0; i--) {
        const struct gov_tensor *t =
            &header->tensors[header->places[i - 1].tensor];

        must_be_printable(t->name);
        must(t->dims <= 4 && t->type != NULL, "a shape and a type");
        must(t->bytes == 0 || t->file_offset + t->bytes == end,
             "no gap behind a tensor");
        if (t->bytes != 0)
            end = t->file_offset;
        gov__quantized_parameters(header, t);
    }
    must(end >= 8 && end <= size, "no gap before the first");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *file;
    struct gov__header header;
    gov_error err = {0};
    char path[32];
    int fd;

    if (file == NULL)
        file = tmpfile();
    must(file != NULL, "a temporary file");
    fd = fileno(file);
    must(pwrite(fd, data, size, 0) == (ssize_t)size &&
             ftruncate(fd, (off_t)size) == 0,
         "a temporary file");
    snprintf(path, sizeof(path), "/dev/fd/%d", fd);

    allocated = 0;
    if (gov__safetensors_open(&header, path, &counting, &err) == GOV_OK) {
        check_header(&header, size);
        gov__header_fini(&header);
    } else {
        must(err.message[0] != '\0', "a sentence");
        must_be_printable(err.message);
    }
    must(allocated <= 128 * 1024 + 16 * size, "memory bounded by the file");
    return 0;
}
