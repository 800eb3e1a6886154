/* SPDX-License-Identifier: MIT */
/* A governed range of one real mapped file, every word of which is known, for tests
 * of what is put in its place. A file is told from memory by writing to it: what is
 * mapped changes, what is not does not. */
#ifndef GOV_TESTS_RANGE_FIXTURE_H
#define GOV_TESTS_RANGE_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "governor/memory/range.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
/* Not a multiple of any page, nor of a disk's block; in words. */
#define FILE_BYTES (26 * MIB + 12 * KIB + 1232)
#define ROOM_BYTES (FILE_BYTES + 4 * MIB)

static const struct gov_platform *native;
static struct gov_platform table; /* the native one, or broken */
static char path[512];
static struct gov__range_file file;
static struct gov__range range;
static char *room;
static uint64_t page;

static inline uint64_t word(uint64_t index)
{
    return (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline void write_file(void)
{
    static uint64_t block[8192];
    int fd = open(path, O_WRONLY | O_CREAT, 0644);

    ck_assert_int_ge(fd, 0);
    for (uint64_t at = 0; at < FILE_BYTES; at += sizeof(block)) {
        uint64_t bytes = FILE_BYTES - at;

        if (bytes > sizeof(block))
            bytes = sizeof(block);
        for (uint64_t i = 0; i < bytes / 8; i++)
            block[i] = word(at / 8 + i);
        ck_assert_int_eq(pwrite(fd, block, bytes, (off_t)at), (ssize_t)bytes);
    }
    ck_assert_int_eq(fsync(fd), 0);
    close(fd);
}

/* Maps it at a multiple of a huge page, with room behind its end. */
static inline void open_file(void)
{
    uint64_t huge = 2 * MIB;
    void *base;

    room = mmap(NULL, (size_t)ROOM_BYTES, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(room, MAP_FAILED);
    file.base = room + (gov__round_up((uintptr_t)room, huge) - (uintptr_t)room);
    file.fd = open(path, O_RDONLY);
    file.direct_fd = open(path, O_RDONLY);
    ck_assert_int_ge(file.fd, 0);
    ck_assert_int_ge(file.direct_fd, 0);
    if (native->set_direct(native->ctx, file.direct_fd, true) != 0) {
        close(file.direct_fd);
        file.direct_fd = -1;
    }
    ck_assert_int_eq(native->map_file(native->ctx, file.fd, 0,
                                      (size_t)FILE_BYTES, file.base, &base),
                     0);
    file.file_offset = 0;
    file.bytes = (size_t)FILE_BYTES;
    file.file_bytes = FILE_BYTES;
}

static inline void make_range(void)
{
    faults_reset();
    native = gov__platform_native();
    table = *native;
    page = native->page_bytes(native->ctx);
    range = (struct gov__range){&table, &file, 1, page};
    snprintf(path, sizeof(path), "%s/m.gguf", fresh_directory());
    write_file();
    open_file();
}

/* When what was made of it has gone. */
static inline void drop_range(void)
{
    munmap(room, (size_t)ROOM_BYTES);
    close(file.fd);
    if (file.direct_fd >= 0)
        close(file.direct_fd);
    drop_directory();
    ck_assert_int_eq(faults_live_blocks(), 0);
}

/* To ThreadSanitizer putting memory there is a write, which whoever reads must be
 * told of; that they need not be is what is tested. AddressSanitizer would look
 * into memory of its own, which is a fault the first time. */
__attribute__((no_sanitize("thread"), no_sanitize("address"))) static uint64_t
at(uint64_t offset)
{
    return *(volatile uint64_t *)(void *)(file.base + offset);
}

static inline bool is_plain(uint64_t begin, uint64_t end)
{
    for (uint64_t i = begin; i < end && i < FILE_BYTES; i += 8)
        if (at(i) != word(i / 8))
            return false;
    return true;
}

static inline bool is_zero(uint64_t begin, uint64_t end)
{
    while (begin < end && at(begin) == 0)
        begin += 8;
    return begin == end;
}

/* Whether what is there is the file. */
static inline bool is_file(uint64_t offset)
{
    uint64_t other = ~word(offset / 8), was = word(offset / 8);
    bool changed;
    int fd = open(path, O_RDWR);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, &other, 8, (off_t)offset), 8);
    changed = at(offset) == other;
    ck_assert_int_eq(pwrite(fd, &was, 8, (off_t)offset), 8);
    close(fd);
    return changed;
}

#endif
