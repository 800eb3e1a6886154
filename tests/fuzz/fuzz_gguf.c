/* SPDX-License-Identifier: MIT */
/* Any bytes as a model file: nothing crashes, what is allocated is bounded by
 * what is there, and a model that opens keeps its promises. Where the magic comes
 * a second time a second part begins. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "governor/model.h"
#include "tests/fuzz/promises.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_model(const gov_model *model, size_t size)
{
    struct gov_need_request request = gov_need_request_default();
    struct gov_facts facts = {0};
    struct gov_need need;
    gov_error err = {0};
    size_t units, tensors, files;
    const struct gov_model_file *file = gov_model_files(model, &files);
    const struct gov_unit *unit = gov_model_units(model, &units);
    const struct gov_tensor *tensor = gov_model_tensors(model, &tensors);
    uint64_t left = size;

    must(units > 0 && tensors > 0 && files > 0, "at least one unit");
    for (size_t i = 0; i < units; i++) {
        must(unit[i].bytes > 0 && unit[i].bytes <= left, "units are disjoint");
        left -= unit[i].bytes;
        must(unit[i].file < files, "unit in a file");
        must(unit[i].file_offset <= file[unit[i].file].bytes - unit[i].bytes,
             "unit in the file");
    }
    for (size_t i = 0; i < tensors; i++) {
        must(tensor[i].unit < units, "tensor of a unit");
        must(tensor[i].file < files, "tensor of a file");
        must_be_printable(tensor[i].name);
        must(tensor[i].bytes <= unit[tensor[i].unit].tensor_bytes,
             "tensor in its unit");
    }
    must_be_printable(gov_model_name(model));
    must_be_printable(gov_model_quantization(model));
    gov_model_facts(model, &facts);
    must(facts.value[GOV_FACT_MODEL_WEIGHTS].known, "weights are known");
    request.context = 4096;
    must(gov_model_need(model, &request, &need, &err) == GOV_OK ||
             err.message[0] != '\0',
         "a need or a sentence");
}

/* ---- the files ---------------------------------------------------------------- */

static char directory[64];
static struct {
    char path[96];
    int fd;
} parts[2];

static void clean(void)
{
    for (int i = 0; i < 2; i++)
        unlink(parts[i].path);
    rmdir(directory);
}

static void set_up(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(directory, sizeof(directory), "%.40s/fuzzXXXXXX",
             tmp != NULL ? tmp : "/tmp");
    must(mkdtemp(directory) != NULL, "a temporary directory");
    atexit(clean);
    for (int i = 0; i < 2; i++) {
        snprintf(parts[i].path, sizeof(parts[i].path),
                 "%s/m-0000%d-of-00002.gguf", directory, i + 1);
        parts[i].fd =
            open(parts[i].path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        must(parts[i].fd >= 0, "a temporary file");
    }
}

static void save(int part, const uint8_t *data, size_t size)
{
    must(ftruncate(parts[part].fd, (off_t)size) == 0 &&
             pwrite(parts[part].fd, data, size, 0) == (ssize_t)size,
         "a temporary file");
}

/* How many bytes belong to the first part. */
static size_t first_part(const uint8_t *data, size_t size)
{
    for (size_t i = 4; i + 4 <= size; i++)
        if (memcmp(data + i, "GGUF", 4) == 0)
            return i;
    return size;
}

/* Opens a part and returns how many files the model has; 0 for no model. */
static size_t open_part(int part, size_t size)
{
    gov_error err = {0};
    gov_model *model;
    size_t files = 0;

    allocated = 0;
    if (gov_model_open(&model, parts[part].path, &counting, &err) == GOV_OK) {
        check_model(model, size);
        gov_model_files(model, &files);
    } else {
        must(err.message[0] != '\0', "a sentence");
        must_be_printable(err.message);
    }
    must(allocated <= 512 * 1024 + 32 * size, "memory bounded by the files");
    gov_model_close(model);
    return files;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t first = first_part(data, size), files;

    if (directory[0] == '\0')
        set_up();
    save(0, data, first);
    save(1, data + first, size - first);
    files = open_part(0, size);
    if (first < size && open_part(1, size) == 2)
        must(files == 2, "the same model by either part");
    return 0;
}
