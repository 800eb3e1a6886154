/* SPDX-License-Identifier: MIT */
/* Any bytes as a stored state: nothing crashes or hangs, and what is given out lies
 * in the file and is what it was when its sum was made. The bytes as they are, and
 * with a trailer's sum that fits, since no fuzzer would guess one. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "governor/memory/spill_store.h"
#include "tests/fuzz/promises.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME "a"

static char directory[64], path[GOV_SPILL_PATH_BYTES];

static void clean(void)
{
    (void)unlink(path);
    (void)rmdir(directory);
}

static gov_spill *open_one(void)
{
    struct gov_spill_options options = gov_spill_options_default();
    char file[GOV__SPILL_FILE];
    gov_spill *spill;

    snprintf(directory, sizeof(directory), "/tmp/governor-fuzz-XXXXXX");
    must(mkdtemp(directory) != NULL, "a directory");
    atexit(clean);
    options.directory = directory;
    must(gov__spill_open_on(&spill, gov__platform_native(), &counting, &options,
                            NULL) == GOV_OK,
         "a directory");
    gov__spill_file_of(NAME, file);
    snprintf(path, sizeof(path), "%s/%s", gov_spill_directory(spill), file);
    return spill;
}

static void plant(const uint8_t *data, size_t size,
                  const struct gov__spill_trailer *trailer)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const size_t end = trailer != NULL ? sizeof(*trailer) : 0;

    must(fd >= 0 && write(fd, data, size - end) == (ssize_t)(size - end) &&
             (end == 0 || write(fd, trailer, end) == (ssize_t)end),
         "a file");
    close(fd);
}

static void read_it(gov_spill *spill, size_t size)
{
    static unsigned char note[64];
    char where[GOV_SPILL_PATH_BYTES];
    struct gov_spill_state state, listed, checked;
    gov_error err = {0};
    gov_status noted, status;

    allocated = 0;
    noted = gov_spill_note(spill, NAME, note, sizeof(note), &state, &err);
    if (noted != GOV_OK) {
        must(err.message[0] != '\0', "a sentence");
        must_be_printable(err.message);
    }
    status = gov_spill_check(spill, NAME, where, &checked, &err);
    must(allocated <= 2 * size + 2, "memory bounded by the file");
    must(status != GOV_OK || noted == GOV_OK, "the note of a good state");
    if (gov_spill_list(spill, &listed, 1) == 1)
        must(strcmp(listed.name, NAME) == 0 && listed.file_bytes == size,
             "a state that is there");
    if (status != GOV_OK)
        return;
    must(strcmp(where, path) == 0 && checked.file_bytes == size &&
             checked.state_bytes + checked.note_bytes +
                     sizeof(struct gov__spill_trailer) + 1 ==
                 size,
         "lengths that fit");
    must(memcmp(&state, &checked, sizeof(state)) == 0, "one story");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static gov_spill *spill;
    struct gov__spill_trailer trailer;

    if (spill == NULL)
        spill = open_one();
    plant(data, size, NULL);
    read_it(spill, size);
    if (size < sizeof(trailer))
        return 0;
    memcpy(&trailer, data + size - sizeof(trailer), sizeof(trailer));
    trailer.own_sum =
        XXH3_64bits(&trailer, offsetof(struct gov__spill_trailer, own_sum));
    plant(data, size, &trailer);
    read_it(spill, size);
    return 0;
}
