/* SPDX-License-Identifier: MIT */
/* Any bytes as a model file: nothing crashes, what is allocated is bounded by
 * what is there, and a model that opens keeps its promises. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "governor/model.h"
#include "governor/model/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t allocated;

static void *counting_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    allocated += bytes;
    return malloc(bytes);
}

static void counting_release(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static const struct gov_alloc counting = {NULL, counting_alloc,
                                          counting_release};

static void must(int truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static void check_text(const char *text)
{
    for (; *text != '\0'; text++)
        must((unsigned char)*text >= 0x20 && *text != 0x7F, "printable text");
}

static void check_model(const gov_model *model, size_t size)
{
    struct gov_facts facts = {0};
    size_t units, tensors;
    const struct gov_unit *unit = gov_model_units(model, &units);
    const struct gov_tensor *tensor = gov_model_tensors(model, &tensors);
    uint64_t left = size;

    must(units > 0 && tensors > 0, "at least one unit");
    for (size_t i = 0; i < units; i++) {
        must(unit[i].bytes > 0 && unit[i].bytes <= left, "units are disjoint");
        left -= unit[i].bytes;
        must(unit[i].file_offset <= size - unit[i].bytes, "unit in the file");
        must(i == 0 || unit[i - 1].kind <= unit[i].kind, "order of use");
    }
    for (size_t i = 0; i < tensors; i++) {
        must(tensor[i].unit < units, "tensor of a unit");
        check_text(tensor[i].name);
        must(tensor[i].bytes <= unit[tensor[i].unit].tensor_bytes,
             "tensor in its unit");
    }
    check_text(gov_model_name(model));
    gov_model_facts(model, GOV_KV_F16, &facts);
    gov_model_facts(model, GOV_KV_Q8_0, &facts);
    must(facts.value[GOV_FACT_MODEL_WEIGHTS].known, "weights are known");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *file;
    struct gov__gguf gguf;
    gov_error err = {0};
    gov_model *model;
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
    if (gov_model_open(&model, path, &counting, &err) == GOV_OK)
        check_model(model, size);
    else
        check_text(err.message);
    must(allocated <= 512 * 1024 + 32 * size, "memory bounded by the file");
    gov_model_close(model);

    /* The same with the file cut short behind its back. */
    if (gov__gguf_read_fd(&gguf, fd, size + 4096, "m", &counting, &err) ==
        GOV_OK)
        gov__gguf_fini(&gguf);
    return 0;
}
