/* SPDX-License-Identifier: MIT */
/* Any bytes as config.json: nothing crashes, what is learnt is in range and
 * printable, and memory is bounded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "governor/model/config_json.h"
#include "governor/model/quantization_config.h"
#include "tests/fuzz/promises.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
    must(memchr(text, '\0', room) != NULL, "a text that ends");
    must_be_printable(text);
}

static void check_header(const struct gov__header *header)
{
    struct gov_tensor tensor = {.name = "q.weight",
                                .type = "U8",
                                .dims = 2,
                                .shape = {UINT64_MAX, 2, 3, 0},
                                .bytes = UINT64_MAX};

    check_text(header->architecture, sizeof(header->architecture));
    check_text(header->quantization.method,
               sizeof(header->quantization.method));
    must(header->quantization.bits <= 320, "bits of a weight");
    for (unsigned i = 0; i < GOV__KEYS; i++) {
        const struct gov__number *n = &header->number[i];

        must(n->count <= GOV__LAYERS_MAX, "as many as layers");
        must((n->count > 1) == (n->each != NULL), "an array of several");
        must(n->count < 2 || n->one == n->each[0], "the first");
    }
    must(gov__header_largest(header, GOV__KEY_BLOCKS) <= GOV__LAYERS_MAX,
         "layers that engines run");
    gov__quantized_parameters(header, &tensor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *file;
    struct gov__model_file open_file = {.label = "config.json"};
    struct gov__header header;
    gov_error err = {0};

    if (file == NULL)
        file = tmpfile();
    must(file != NULL, "a temporary file");
    open_file.fd = fileno(file);
    open_file.id.bytes = size;
    must(pwrite(open_file.fd, data, size, 0) == (ssize_t)size &&
             ftruncate(open_file.fd, (off_t)size) == 0,
         "a temporary file");
    allocated = 0;
    gov__header_init(&header, "safetensors", &counting);
    if (gov__config_json_read(&header, &open_file, &err) != GOV_OK) {
        must(err.message[0] != '\0', "a sentence");
        check_text(err.message, sizeof(err.message));
    } else if (gov__quantize_config_read(&header, &open_file, &err) == GOV_OK) {
        check_header(&header);
    }
    gov__header_fini(&header);
    must(allocated <= 512 * 1024, "memory is bounded");
    return 0;
}
