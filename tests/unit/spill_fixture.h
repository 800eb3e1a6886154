/* SPDX-License-Identifier: MIT */
/* A spill directory for tests: states whose bytes tell which they are, and what is
 * left behind by whatever was done. */
#ifndef GOV_TESTS_SPILL_FIXTURE_H
#define GOV_TESTS_SPILL_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/memory/spill_store.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

static struct gov_platform table; /* the native one, mappings counted */
static _Atomic int mapped;
static gov_spill *spill;
static gov_error err;
static char directory[400];
static int descriptors;

static inline int counted_map(void *ctx, size_t bytes, const char *tag,
                              void **out)
{
    int rc = gov__platform_native()->map(ctx, bytes, tag, out);

    mapped += rc == 0;
    return rc;
}

static inline int counted_unmap(void *ctx, void *base, size_t bytes)
{
    mapped--;
    return gov__platform_native()->unmap(ctx, base, bytes);
}

static inline gov_status open_at(gov_spill **out, const char *where,
                                 uint64_t quota, uint64_t file, uint64_t spare)
{
    struct gov_spill_options options = gov_spill_options_default();

    options.directory = where;
    options.quota_bytes = quota;
    options.file_bytes = file;
    options.spare_bytes = spare;
    memset(&err, 0, sizeof(err));
    return gov__spill_open_on(out, &table, faults_alloc(), &options, &err);
}

/* One byte to spare: the tests' file system may be full. */
static inline void reopen(uint64_t quota, uint64_t file)
{
    gov_spill_close(spill);
    ck_assert_msg(open_at(&spill, directory, quota, file, 1) == GOV_OK, "%s",
                  err.message);
}

static inline void set_up(void)
{
    faults_reset();
    table = *gov__platform_native();
    table.map = counted_map;
    table.unmap = counted_unmap;
    snprintf(directory, sizeof(directory), "%s/spill", fresh_directory());
    descriptors = faults_open_descriptors();
    reopen(0, 0);
}

/* Names in the directory that end so; all of them for "". */
static inline int files_of(const char *end)
{
    DIR *list = opendir(directory);
    const struct dirent *entry;
    int n = 0;

    ck_assert_ptr_nonnull(list);
    while ((entry = readdir(list)) != NULL) {
        const size_t bytes = strlen(entry->d_name);

        n += entry->d_name[0] != '.' && bytes >= strlen(end) &&
             strcmp(entry->d_name + bytes - strlen(end), end) == 0;
    }
    closedir(list);
    return n;
}

static inline void nothing_is_left(void)
{
    ck_assert_int_eq(files_of(".draft"), 0);
    ck_assert_int_eq(mapped, 0);
    ck_assert_int_eq(faults_live_blocks(), spill != NULL);
    ck_assert_int_eq(faults_open_descriptors(), descriptors + (spill != NULL));
}

static inline void tear_down(void)
{
    faults_reset();
    nothing_is_left();
    gov_spill_close(spill);
    spill = NULL;
    nothing_is_left();
    drop_directory();
}

static inline unsigned char byte_of(unsigned seed, size_t i)
{
    return (unsigned char)(seed * 37 + i * 31 + i / 256 + i / 65536 * 3);
}

static inline unsigned char *bytes_of(unsigned seed, size_t bytes)
{
    unsigned char *block = malloc(bytes + 1);

    ck_assert_ptr_nonnull(block);
    for (size_t i = 0; i < bytes; i++)
        block[i] = byte_of(seed, i);
    return block;
}

/* Begins and writes; *out is NULL where that failed. */
static inline gov_status draft_of(gov_spill_draft **out, const char *name,
                                  unsigned seed, size_t bytes)
{
    unsigned char *state = bytes_of(seed, bytes);
    gov_status status = gov_spill_begin(spill, name, bytes, out, &err);

    if (status == GOV_OK)
        status = gov_spill_write(*out, state, bytes, &err);
    if (status != GOV_OK) {
        gov_spill_drop(*out);
        *out = NULL;
    }
    free(state);
    return status;
}

/* Its note has other bytes than it. */
static inline gov_status put(const char *name, unsigned seed, size_t bytes,
                             size_t note_bytes)
{
    unsigned char *note = bytes_of(seed + 1, note_bytes);
    gov_spill_draft *draft = NULL;
    uint64_t stored = 0;
    gov_status status = draft_of(&draft, name, seed, bytes);

    if (status == GOV_OK)
        status = gov_spill_commit(draft, note_bytes > 0 ? note : NULL,
                                  note_bytes, &stored, &err);
    if (status == GOV_OK)
        ck_assert_uint_eq(stored, bytes + note_bytes + strlen(name) +
                                      sizeof(struct gov__spill_trailer));
    free(note);
    return status;
}

static inline bool same_bytes(const char *path, unsigned seed, size_t bytes)
{
    unsigned char *want = bytes_of(seed, bytes), *got = malloc(bytes + 1);
    FILE *file = fopen(path, "rb");
    bool same;

    ck_assert_ptr_nonnull(got);
    same = file != NULL && fread(got, 1, bytes, file) == bytes &&
           memcmp(got, want, bytes) == 0;
    if (file != NULL)
        fclose(file);
    free(got);
    free(want);
    return same;
}

/* It is there and checks, and is this one: state, note, and what is known. */
static inline bool has(const char *name, unsigned seed, size_t bytes,
                       size_t note_bytes)
{
    unsigned char *want = bytes_of(seed + 1, note_bytes);
    unsigned char *note = malloc(note_bytes + 1);
    char path[GOV_SPILL_PATH_BYTES];
    struct gov_spill_state state, again;
    bool same;

    ck_assert_ptr_nonnull(note);
    same =
        gov_spill_check(spill, name, path, &state, &err) == GOV_OK &&
        gov_spill_note(spill, name, note, note_bytes, &again, &err) == GOV_OK &&
        memcmp(note, want, note_bytes) == 0 && state.state_bytes == bytes &&
        state.note_bytes == note_bytes && strcmp(state.name, name) == 0 &&
        memcmp(&state, &again, sizeof(state)) == 0 &&
        state.size == sizeof(state) && same_bytes(path, seed, bytes);
    free(note);
    free(want);
    return same;
}

/* Where a state of that name is, or would be. */
static inline const char *path_of(const char *name)
{
    static char path[GOV_SPILL_PATH_BYTES];
    char file[GOV__SPILL_FILE];

    gov__spill_file_of(name, file);
    snprintf(path, sizeof(path), "%s/%s", directory, file);
    return path;
}

static inline gov_status check(const char *name)
{
    char path[GOV_SPILL_PATH_BYTES];

    memset(&err, 0, sizeof(err));
    return gov_spill_check(spill, name, path, NULL, &err);
}

#endif
