/* SPDX-License-Identifier: MIT */
/* What the platform puts in the place of a file's pages and takes away again: the
 * bytes that are read there are the file's at every moment, and a call that fails
 * leaves all as it was. Then what stands beside it: a mapping among several of the
 * same file, mappings of other processes, what a pass is measured by, and a thread that steps back. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#pragma weak gov__platform_linux_at

#define PAGES 1536

static const struct gov_platform *p;
static size_t page, whole;
static int fd = -1;
static char path[512];
static unsigned char *base;

/* Every word of the file says where it is: no page is like another. */
static uint64_t word_at(size_t index)
{
    return index * UINT64_C(0x9E3779B97F4A7C15) + 1;
}

static void fill_from(uint64_t *to, size_t offset, size_t bytes)
{
    for (size_t i = 0; i < bytes / 8; i++)
        to[i] = word_at(offset / 8 + i);
}

/* That pages are exchanged while they are read is what is tested here. */
__attribute__((no_sanitize_thread)) static bool is_file(size_t offset,
                                                        size_t bytes)
{
    const volatile uint64_t *words = (const volatile uint64_t *)(base + offset);

    for (size_t i = 0; i < bytes / 8; i++)
        if (words[i] != word_at(offset / 8 + i))
            return false;
    return true;
}

static void set_up(void)
{
    uint64_t *bytes;

    p = gov__platform_native();
    page = p->page_bytes(p->ctx);
    whole = PAGES * page;
    faults_reset();
    snprintf(path, sizeof(path), "%s/file", fresh_directory());
    bytes = malloc(whole);
    ck_assert_ptr_nonnull(bytes);
    fill_from(bytes, 0, whole);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)(write(fd, bytes, whole) == (ssize_t)whole), 1);
    free(bytes);
    close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(p->map_file(p->ctx, fd, 0, whole, NULL, (void **)&base),
                     0);
}

static void tear_down(void)
{
    faults_reset();
    munmap(base, whole);
    close(fd);
    drop_directory();
}

static bool can_place(const char *test)
{
    if (strcmp(p->name, "linux") == 0)
        return true;
    skip_test(test, "this platform cannot move memory");
    return false;
}

/* The permissions of a page, "r--s"; "" where nothing is mapped. Also how much of
 * its mapping is in huge pages, or -1 when it is not told. */
static long look_at(const void *address, char permissions[5])
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[1024];
    bool inside = false;
    long huge = -1;

    ck_assert_ptr_nonnull(file);
    permissions[0] = '\0';
    while (fgets(line, sizeof(line), file) != NULL) {
        unsigned long start, end, at = (unsigned long)(uintptr_t)address;
        char found[5];

        if (sscanf(line, "%lx-%lx %4s ", &start, &end, found) == 3) {
            inside = at >= start && at < end;
            if (inside)
                memcpy(permissions, found, sizeof(found));
        } else if (inside) {
            sscanf(line, "AnonHugePages: %ld", &huge);
        }
    }
    fclose(file);
    return huge;
}

static const char *permissions_of(const void *address)
{
    static char permissions[5];

    look_at(address, permissions);
    return permissions;
}

/* Pages of address space. */
static long address_space(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = -1;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    return pages;
}

/* ---- map_file ------------------------------------------------------------------ */

START_TEST(a_file_is_mapped_where_there_is_room_or_over_what_is_there)
{
    unsigned char *other, *inner;
    uint64_t first;

    ck_assert(is_file(0, whole));
    ck_assert_str_eq(permissions_of(base), "r--s");
    ck_assert_int_eq(
        p->map_file(p->ctx, fd, 8 * page, 4 * page, NULL, (void **)&other), 0);
    memcpy(&first, other, sizeof(first));
    ck_assert(first == word_at(8 * page / 8));
    ck_assert_int_eq(
        p->map_file(p->ctx, fd, 2 * page, page, other + page, (void **)&inner),
        0);
    ck_assert_ptr_eq(inner, other + page);
    memcpy(&first, inner, sizeof(first));
    ck_assert(first == word_at(2 * page / 8));
    memcpy(&first, other + 2 * page, sizeof(first));
    ck_assert(first == word_at(10 * page / 8));
    munmap(other, 4 * page);
}
END_TEST

START_TEST(a_file_that_cannot_be_mapped_is_an_error_and_nothing_changes)
{
    void *out;
    int writer = open(path, O_WRONLY | O_CLOEXEC);

    ck_assert_int_eq(p->map_file(p->ctx, -1, 0, page, base, &out), EBADF);
    ck_assert_int_eq(p->map_file(p->ctx, fd, 1, page, base, &out), EINVAL);
    ck_assert_int_eq(p->map_file(p->ctx, fd, 0, 0, base, &out), EINVAL);
    ck_assert_int_eq(p->map_file(p->ctx, writer, 0, page, base, &out), EACCES);
    close(writer);
    faults_only("mmap");
    faults_set_errno(ENOMEM);
    faults_arm(0, false);
    ck_assert_int_eq(p->map_file(p->ctx, fd, page, page, base, &out), ENOMEM);
    ck_assert(is_file(0, whole));
}
END_TEST

/* ---- stage and place ------------------------------------------------------------ */

static const struct {
    size_t target, bytes; /* in pages */
} stages[] = {{0, 1},     {1, 1},      {7, 511},  {0, 512},
              {1, 512},   {1, 1023},   {0, 600},  {1, 1100},
              {511, 700}, {300, 1000}, {0, 1536}, {1535, 1}};

START_TEST(staged_memory_lies_as_its_target_does_and_nothing_is_left_beside_it)
{
    size_t huge = page / 8 * page, bytes = stages[_i].bytes * page;
    size_t target = stages[_i].target * page;
    size_t lead = (size_t)(-(uintptr_t)(base + target) & (huge - 1));
    unsigned char *staged;
    long before = address_space();

    ck_assert_int_eq(p->stage(p->ctx, base + target, bytes, (void **)&staged),
                     0);
    if (can_place("staged") && lead + huge <= bytes)
        ck_assert_uint_eq((uintptr_t)staged % huge,
                          (uintptr_t)(base + target) % huge);
    ck_assert_str_eq(permissions_of(staged), "rw-p");
    ck_assert_int_eq((int)(address_space() - before), (int)stages[_i].bytes);
    for (size_t i = 0; i < bytes; i += page)
        ck_assert_uint_eq(staged[i], 0);
    memset(staged, 1, bytes);
    ck_assert_int_eq(p->unstage(p->ctx, staged, bytes), 0);
    ck_assert_int_eq((int)(address_space() - before), 0);
}
END_TEST

START_TEST(no_bytes_and_too_many_are_refused)
{
    void *out;

    ck_assert_int_ne(p->stage(p->ctx, base, 0, &out), 0);
    ck_assert_int_ne(p->stage(p->ctx, base, SIZE_MAX & ~(page - 1), &out), 0);
    ck_assert_int_ne(p->stage(p->ctx, base, SIZE_MAX / 2 & ~(page - 1), &out),
                     0);
}
END_TEST

static void *staged_copy(size_t offset, size_t bytes)
{
    void *staged;

    ck_assert_int_eq(p->stage(p->ctx, base + offset, bytes, &staged), 0);
    fill_from(staged, offset, bytes);
    return staged;
}

START_TEST(what_is_placed_is_read_there_and_the_file_can_come_back)
{
    struct gov__mapping mapping;
    size_t at = 100 * page, bytes = 600 * page;
    void *staged, *out;

    if (!can_place("placed"))
        return;
    staged = staged_copy(at, bytes);
    ck_assert_int_eq(p->place(p->ctx, staged, bytes, base + at), 0);
    ck_assert(is_file(0, whole));
    ck_assert_str_eq(permissions_of(base + at), "r--p");
    ck_assert_str_eq(permissions_of(base + at - 1), "r--s");
    ck_assert_str_eq(permissions_of(base + at + bytes), "r--s");
    ck_assert_str_eq(permissions_of(staged), "");
    ck_assert_int_eq(p->find_mapping(p->ctx, fd, NULL, 0, &mapping), 0);
    ck_assert_uint_eq(mapping.pieces, 2);
    ck_assert_int_eq(p->map_file(p->ctx, fd, at, bytes, base + at, &out), 0);
    ck_assert(is_file(0, whole));
    ck_assert_int_eq(p->find_mapping(p->ctx, fd, NULL, 0, &mapping), 0);
    ck_assert_uint_eq(mapping.pieces, 1);
    ck_assert_uint_eq(mapping.bytes, whole);
}
END_TEST

static _Atomic bool stop_reading;
static _Atomic uint64_t rounds, wrong;

static void *read_on(void *arg)
{
    (void)arg;
    while (!stop_reading) {
        if (!is_file(0, whole))
            wrong++;
        rounds++;
    }
    return NULL;
}

/* The reader's first page of each round races with the exchange; so does every
 * other sooner or later. */
START_TEST(a_reader_sees_the_files_bytes_at_every_moment)
{
    pthread_t reader;
    unsigned seed = 7;
    void *out;

    if (!can_place("reader"))
        return;
    ck_assert_int_eq(pthread_create(&reader, NULL, read_on, NULL), 0);
    for (int turn = 0; turn < 400 || rounds < 20; turn++) {
        size_t at, bytes;

        seed = seed * 1103515245U + 12345U;
        at = (seed >> 8) % PAGES;
        seed = seed * 1103515245U + 12345U;
        bytes = ((seed >> 8) % (PAGES - at) + 1) * page;
        at *= page;
        ck_assert_int_eq(
            p->place(p->ctx, staged_copy(at, bytes), bytes, base + at), 0);
        if (turn % 3 == 0)
            ck_assert_int_eq(
                p->map_file(p->ctx, fd, at, bytes, base + at, &out), 0);
    }
    stop_reading = true;
    pthread_join(reader, NULL);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

static bool has_huge_pages(size_t huge)
{
    unsigned char *memory = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char permissions[5];
    bool have;

    ck_assert_ptr_ne(memory, MAP_FAILED);
    (void)madvise(memory, 2 * huge, MADV_HUGEPAGE);
    memset(memory, 1, 2 * huge);
    have = look_at(memory, permissions) > 0;
    munmap(memory, 2 * huge);
    return have;
}

START_TEST(huge_pages_stay_huge_where_they_are_placed)
{
    size_t huge = page / 8 * page, bytes = 3 * huge + page;
    char permissions[5];
    unsigned char *target, *staged;
    long before;

    if (!can_place("huge"))
        return;
    if (!has_huge_pages(huge)) {
        skip_test("huge_pages_stay_huge", "no huge pages are to be had");
        return;
    }
    /* One page behind a boundary: nothing but the address decides. */
    target =
        mmap(NULL, 6 * huge, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(target, MAP_FAILED);
    target += (huge - (uintptr_t)target % huge) % huge + huge - page;
    ck_assert_int_eq(p->stage(p->ctx, target, bytes, (void **)&staged), 0);
    memset(staged, 1, bytes);
    before = look_at(staged + page, permissions);
    ck_assert_int_eq((int)before, (int)(3 * huge / 1024));
    ck_assert_int_eq(p->place(p->ctx, staged, bytes, target), 0);
    ck_assert_int_eq((int)look_at(target + page, permissions), (int)before);
}
END_TEST

static const struct {
    const char *call;
    bool stages, places;
} faults[] = {{"mmap", false, true},
              {"munmap", false, true},
              {"madvise", true, true}, /* no huge pages then */
              {"mprotect", true, false},
              {"mremap", true, false}};

START_TEST(a_call_that_fails_leaves_both_as_they_were)
{
    size_t bytes = PAGES * page;
    long before = address_space();
    void *staged;
    int rc;

    if (!can_place("faults"))
        return;
    faults_only(faults[_i].call);
    faults_set_errno(ENOMEM);
    faults_arm(0, false);
    rc = p->stage(p->ctx, base, bytes, &staged);
    ck_assert_int_eq(rc, faults[_i].stages ? 0 : ENOMEM);
    if (rc != 0) {
        ck_assert_str_eq(faults_last(), faults[_i].call);
        ck_assert_int_eq((int)(address_space() - before), 0);
        return;
    }
    fill_from(staged, 0, bytes);
    faults_arm(0, true);
    rc = p->place(p->ctx, staged, bytes, base);
    ck_assert_int_eq(rc, faults[_i].places ? 0 : ENOMEM);
    faults_reset();
    ck_assert(is_file(0, whole));
    if (rc == 0)
        return;
    ck_assert_str_eq(permissions_of(base), "r--s");
    ck_assert_str_eq(permissions_of(staged), "rw-p");
    ((unsigned char *)staged)[0] ^= 1;
    ck_assert_int_eq(p->unstage(p->ctx, staged, bytes), 0);
}
END_TEST

/* The kernel has taken the target away and then found no memory to go on. */
START_TEST(a_target_that_is_gone_is_tried_again_and_told)
{
    size_t bytes = 4 * page;
    void *staged, *out;

    if (!can_place("gone"))
        return;
    staged = staged_copy(0, bytes);
    munmap(base, bytes);
    faults_only("mremap");
    faults_arm(0, true);
    ck_assert_int_eq(p->place(p->ctx, staged, bytes, base), EFAULT);
    ck_assert_int_eq((int)faults_count(), 3);
    ck_assert_str_eq(permissions_of(staged), "rw-p");
    faults_arm(0, false);
    ck_assert_int_eq(p->place(p->ctx, staged, bytes, base), 0);
    faults_reset();
    ck_assert(is_file(0, whole));
    ck_assert_int_eq(p->map_file(p->ctx, fd, 0, bytes, base, &out), 0);
}
END_TEST

START_TEST(a_page_can_be_covered_with_zeros)
{
    void *out;

    ck_assert_int_eq(p->cover(p->ctx, base + page, page), 0);
    ck_assert(is_file(0, page));
    ck_assert(is_file(2 * page, whole - 2 * page));
    for (size_t i = 0; i < page; i++)
        ck_assert_uint_eq(base[page + i], 0);
    ck_assert_str_eq(permissions_of(base + page), "r--p");
    ck_assert_int_eq(p->map_file(p->ctx, fd, page, page, base + page, &out), 0);
    faults_only("mmap");
    faults_arm(0, false);
    ck_assert_int_eq(p->cover(p->ctx, base + page, page), EIO);
    ck_assert(is_file(0, whole));
}
END_TEST

/* ---- a mapping among several --------------------------------------------------------- */

START_TEST(only_what_lies_within_counts)
{
    struct gov__mapping mapping;
    unsigned char *other;

    if (!can_place("within"))
        return;
    ck_assert_int_eq(p->map_file(p->ctx, fd, 0, whole, NULL, (void **)&other),
                     0);
    ck_assert_int_eq(p->find_mapping(p->ctx, fd, NULL, 0, &mapping), 0);
    ck_assert_uint_eq(mapping.pieces, 2);
    /* A file's size is seldom a multiple of the page; advice splits. */
    ck_assert_int_eq(madvise(other + 4 * page, page, MADV_RANDOM), 0);
    ck_assert_int_eq(p->find_mapping(p->ctx, fd, other, whole - 100, &mapping),
                     0);
    ck_assert_uint_eq(mapping.pieces, 1);
    ck_assert_ptr_eq(mapping.base, other);
    ck_assert_uint_eq(mapping.bytes, whole);
    ck_assert_uint_eq(mapping.file_offset, 0);
    /* Part of a mapping. */
    ck_assert_int_eq(
        p->find_mapping(p->ctx, fd, base + 2 * page + 5, 3 * page, &mapping),
        0);
    ck_assert_ptr_eq(mapping.base, base + 2 * page);
    ck_assert_uint_eq(mapping.bytes, 4 * page);
    ck_assert_uint_eq(mapping.file_offset, 2 * page);
    ck_assert(!mapping.locked);
    /* It begins before and ends behind what is asked for. Not mlock(), which does
     * nothing under AddressSanitizer. */
    if (syscall(SYS_mlock, base + page, 5 * page) == 0) {
        ck_assert_int_eq(
            p->find_mapping(p->ctx, fd, base + 2 * page, 3 * page, &mapping),
            0);
        ck_assert(mapping.locked);
        ck_assert_int_eq(p->find_mapping(p->ctx, fd, other, whole, &mapping),
                         0);
        ck_assert(!mapping.locked);
    }
    munmap(other, whole);
    ck_assert_int_eq(p->find_mapping(p->ctx, fd, other, whole, &mapping),
                     ENOENT);
}
END_TEST

/* ---- other processes ------------------------------------------------------------------ */

/* A child that maps the file, or keeps this process's mapping, until it is told to
 * end by closing *to. */
static pid_t start_child(int *to)
{
    int ends[2], told[2];
    char byte = 0;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(pipe(told), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(ends[1]);
        munmap(base, whole);
        if (mmap(NULL, page, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ||
            write(told[1], "", 1) != 1)
            _exit(1);
        (void)!read(ends[0], &byte, 1);
        _exit(0);
    }
    close(ends[0]);
    close(told[1]);
    ck_assert_int_eq((int)read(told[0], &byte, 1), 1);
    close(told[0]);
    *to = ends[1];
    return child;
}

START_TEST(another_process_that_maps_the_file_is_found)
{
    bool elsewhere = true;
    int open_before, to;
    pid_t child;

    if (strcmp(p->name, "linux") != 0) {
        ck_assert_int_eq(p->mapped_elsewhere(p->ctx, fd, &elsewhere), ENOTSUP);
        return;
    }
    open_before = faults_open_descriptors();
    ck_assert_int_eq(p->mapped_elsewhere(p->ctx, fd, &elsewhere), 0);
    ck_assert(!elsewhere); /* Check's own process has not opened it */
    child = start_child(&to);
    ck_assert_int_eq(p->mapped_elsewhere(p->ctx, fd, &elsewhere), 0);
    ck_assert(elsewhere);
    ck_assert_int_eq(close(to), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(p->mapped_elsewhere(p->ctx, fd, &elsewhere), 0);
    ck_assert(!elsewhere);
    ck_assert_int_eq(faults_open_descriptors(), open_before);
    ck_assert_int_eq(p->mapped_elsewhere(p->ctx, -1, &elsewhere), EBADF);
}
END_TEST

/* A /proc that is made up: which of its processes counts, and that none that cannot
 * be read is an error. */
START_TEST(whose_mapping_it_is_is_told_by_device_and_inode_or_name)
{
    static const struct {
        const char *process;
        int major_off, inode_off; /* from those of the file */
        bool named, want;
    } rows[] = {
        {"77", 0, 0, false, true},   {"77", 1, 0, false, false},
        {"77", 1, 0, true, true},    {"77", 0, 1, true, false},
        {"self", 0, 0, true, false}, {"1234", 0, 0, true, false},
        {"7x", 0, 0, true, false},
    };
    struct gov__linux_root root;
    struct gov_platform at;
    char directory[512], name[600];
    bool elsewhere = !rows[_i].want;
    struct stat st;
    FILE *file;

    if (gov__platform_linux_at == NULL || !can_place("made-up processes"))
        return;
    snprintf(directory, sizeof(directory), "%.*s",
             (int)(strlen(path) - strlen("/file")), path);
    ck_assert_int_eq(fstat(fd, &st), 0);
    snprintf(name, sizeof(name), "%s/proc", directory);
    ck_assert_int_eq(mkdir(name, 0700), 0);
    snprintf(name, sizeof(name), "%s/proc/%s", directory, rows[_i].process);
    ck_assert_int_eq(mkdir(name, 0700), 0);
    snprintf(name, sizeof(name), "%s/proc/%s/maps", directory,
             rows[_i].process);
    file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file,
            "1000-2000 r-xp 00000000 00:00 0 \n"
            "7000-9000 r--s 00000000 %02x:%02x %llu    %s\n",
            major(st.st_dev) + (unsigned)rows[_i].major_off, minor(st.st_dev),
            (unsigned long long)st.st_ino + (unsigned)rows[_i].inode_off,
            rows[_i].named ? path : "/elsewhere");
    ck_assert_int_eq(fclose(file), 0);
    snprintf(name, sizeof(name), "%s/proc/88", directory); /* nothing in it */
    ck_assert_int_eq(mkdir(name, 0700), 0);
    if (strcmp(rows[_i].process, "1234") == 0) { /* who is that there */
        snprintf(name, sizeof(name), "%s/proc/self", directory);
        ck_assert_int_eq(symlink("1234", name), 0);
    }
    root.root = directory;
    gov__platform_linux_at(&at, &root);
    ck_assert_int_eq(at.mapped_elsewhere(at.ctx, fd, &elsewhere), 0);
    ck_assert_int_eq(elsewhere, rows[_i].want);
    root.root = "/no/such/root";
    ck_assert_int_eq(at.mapped_elsewhere(at.ctx, fd, &elsewhere), ENOENT);
}
END_TEST

/* ---- what a pass is measured by ------------------------------------------------------- */

START_TEST(faults_and_reads_are_counted)
{
    struct gov__pass_counts before, after;
    unsigned char *fresh;

    fresh = mmap(NULL, 64 * page, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_int_eq(p->pass_counts(p->ctx, &before), 0);
    for (size_t i = 0; i < 64; i++)
        fresh[i * page] = 1;
    ck_assert_int_eq(p->pass_counts(p->ctx, &after), 0);
    ck_assert_uint_ge(after.minor_faults, before.minor_faults + 64);
    ck_assert_uint_lt(after.minor_faults, before.minor_faults + 256);
    munmap(fresh, 64 * page);
    if (!after.have_read_bytes) {
        skip_test("faults_and_reads", "the kernel does not count what is read");
        return;
    }
    ck_assert_uint_ge(after.read_bytes, before.read_bytes);
}
END_TEST

static void write_text(const char *root, const char *name, const char *text)
{
    char at[1024], *slash;
    FILE *file;

    snprintf(at, sizeof(at), "%s%s", root, name);
    for (slash = strchr(at + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(at, 0700);
        *slash = '/';
    }
    file = fopen(at, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

#define PRESSURE(n) "some avg10=0.00 avg60=0.00 avg300=0.00 total=" n "\n"

static const struct {
    const char *name, *cgroup, *file, *text; /* beside the system's 1000 */
    bool have;
    uint64_t us;
} pressures[] = {
    {"own group", "0::/app/x\n", "/sys/fs/cgroup/app/x/memory.pressure",
     PRESSURE("77"), true, 77},
    {"beside v1", "4:memory:/y\n0::/x\n",
     "/sys/fs/cgroup/unified/x/memory.pressure", PRESSURE("78"), true, 78},
    {"the top", "0::/\n", "/sys/fs/cgroup/memory.pressure", PRESSURE("79"),
     true, 79},
    {"no file", "0::/x\n", "/sys/fs/cgroup/y/memory.pressure", PRESSURE("80"),
     true, 1000},
    {"outside", "0::/../x\n", "/sys/fs/x/memory.pressure", PRESSURE("81"), true,
     1000},
    {"v1 alone", "4:memory:/x\n", "/sys/fs/cgroup/x/memory.pressure",
     PRESSURE("82"), true, 1000},
    {"odd", "0::/x\n", "/sys/fs/cgroup/x/memory.pressure", "none\n", true,
     1000},
    {"nothing", "0::/x\n", "/proc/pressure/memory", "", false, 0},
};

START_TEST(pressure_is_that_of_the_own_group_or_the_systems)
{
    struct gov_platform tree;
    struct gov__linux_root root = {.root = fresh_directory()};
    struct gov__pass_counts counts;

    if (gov__platform_linux_at == NULL)
        return;
    gov__platform_linux_at(&tree, &root);
    write_text(root.root, "/sys/fs/cgroup/cgroup.procs", "");
    write_text(root.root, "/proc/self/cgroup", pressures[_i].cgroup);
    write_text(root.root, "/proc/pressure/memory", PRESSURE("1000"));
    write_text(root.root, "/proc/self/io", "rchar: 1\nread_bytes: 4096\n");
    write_text(root.root, pressures[_i].file, pressures[_i].text);
    ck_assert_int_eq(tree.pass_counts(tree.ctx, &counts), 0);
    ck_assert_msg(counts.have_reclaim == pressures[_i].have &&
                      counts.reclaim_us == pressures[_i].us,
                  "%s: %d, %d us", pressures[_i].name, counts.have_reclaim,
                  (int)counts.reclaim_us);
    ck_assert(counts.have_read_bytes && counts.read_bytes == 4096);
}
END_TEST

START_TEST(counts_that_cannot_be_had_are_not_there)
{
    struct gov__pass_counts counts;

    faults_only("getrusage");
    faults_arm(0, false);
    ck_assert_int_eq(p->pass_counts(p->ctx, &counts), EIO);
    faults_only("open");
    faults_arm(0, true);
    ck_assert_int_eq(p->pass_counts(p->ctx, &counts), 0);
    if (strcmp(p->name, "linux") != 0)
        return;
    ck_assert(!counts.have_read_bytes && !counts.have_reclaim);
    ck_assert(counts.minor_faults > 0);
    faults_only("read");
    faults_arm(0, true);
    ck_assert_int_eq(p->pass_counts(p->ctx, &counts), 0);
    ck_assert(!counts.have_read_bytes && !counts.have_reclaim);
}
END_TEST

/* ---- stepping back ----------------------------------------------------------------------- */

#ifdef SYS_ioprio_get
#define IOPRIO(class, level) (((class) << 13) | (level))

struct step {
    const char *fault; /* the call that fails, or NULL */
    long io_before;    /* 0: as it is */
    int nice_before, rc, nice;
    long io;
};

static const struct step steps[] = {
    {NULL, 0, 0, 0, 10, IOPRIO(2, 7)},
    {NULL, IOPRIO(3, 0), 15, 0, 15, IOPRIO(3, 0)},
    {"setpriority", 0, 0, EIO, 0, IOPRIO(2, 7)},
    {"syscall", 0, 0, EIO, 10, 0},
};

static void *step_in_thread(void *arg)
{
    const struct step *step = arg;
    int rc;

    if (step->io_before != 0)
        ck_assert_int_eq((int)syscall(SYS_ioprio_set, 1, 0, step->io_before),
                         0);
    ck_assert_int_eq(setpriority(PRIO_PROCESS, 0, step->nice_before), 0);
    faults_only(step->fault);
    if (step->fault != NULL)
        faults_arm(0, true);
    rc = p->step_back(p->ctx);
    faults_reset();
    ck_assert_int_eq(rc, step->rc);
    ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), step->nice);
    if (step->io != 0)
        ck_assert_int_eq((int)syscall(SYS_ioprio_get, 1, 0), (int)step->io);
    return NULL;
}

START_TEST(only_the_calling_thread_steps_back)
{
    long io = syscall(SYS_ioprio_get, 1, 0);
    int nice_before = getpriority(PRIO_PROCESS, 0);
    pthread_t thread;

    if (!can_place("step_back"))
        return;
    if (nice_before != 0) {
        skip_test("step_back",
                  "the tests themselves run at a nice of their own");
        return;
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, step_in_thread,
                                    (void *)(uintptr_t)&steps[_i]),
                     0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), nice_before);
    ck_assert_int_eq((int)syscall(SYS_ioprio_get, 1, 0), (int)io);
}
END_TEST
#endif

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

Suite *suite(void)
{
    Suite *all = suite_create("platform_place");
    TCase *place = tcase_create("place"), *rest = tcase_create("rest");

    tcase_add_checked_fixture(place, set_up, tear_down);
    tcase_set_timeout(place, 60);
    tcase_add_test(place,
                   a_file_is_mapped_where_there_is_room_or_over_what_is_there);
    tcase_add_test(
        place, a_file_that_cannot_be_mapped_is_an_error_and_nothing_changes);
    tcase_add_loop_test(
        place,
        staged_memory_lies_as_its_target_does_and_nothing_is_left_beside_it, 0,
        ROWS(stages));
    tcase_add_test(place, no_bytes_and_too_many_are_refused);
    tcase_add_test(place,
                   what_is_placed_is_read_there_and_the_file_can_come_back);
    tcase_add_test(place, a_reader_sees_the_files_bytes_at_every_moment);
    tcase_add_test(place, huge_pages_stay_huge_where_they_are_placed);
    tcase_add_loop_test(place, a_call_that_fails_leaves_both_as_they_were, 0,
                        ROWS(faults));
    tcase_add_test(place, a_target_that_is_gone_is_tried_again_and_told);
    tcase_add_test(place, a_page_can_be_covered_with_zeros);
    tcase_add_test(place, only_what_lies_within_counts);
    tcase_add_test(place, another_process_that_maps_the_file_is_found);
    tcase_add_loop_test(
        place, whose_mapping_it_is_is_told_by_device_and_inode_or_name, 0, 7);
    suite_add_tcase(all, place);

    tcase_add_checked_fixture(rest, set_up, tear_down);
    tcase_add_test(rest, faults_and_reads_are_counted);
    tcase_add_loop_test(rest, pressure_is_that_of_the_own_group_or_the_systems,
                        0, ROWS(pressures));
    tcase_add_test(rest, counts_that_cannot_be_had_are_not_there);
#ifdef SYS_ioprio_get
    tcase_add_loop_test(rest, only_the_calling_thread_steps_back, 0,
                        ROWS(steps));
#endif
    suite_add_tcase(all, rest);
    return all;
}
