/* SPDX-License-Identifier: MIT */
/* Anchoring on a real mapped file: its bytes are there at all times, whatever
 * fails; decrypted ones are exact, also where units share a page. A file is told
 * from memory by writing to it: what is mapped changes, what is anchored does
 * not. */
#include "governor/memory/anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
/* Of the plain file: not a multiple of any page, nor of a disk's block. */
#define FILE_BYTES (5 * MIB + 12 * KIB + 1234)

static const struct gov_platform *native;
static struct gov_platform table; /* the native one, counted */
static _Atomic int staged, dropped;
static int stage_fails; /* with that errno value */
static bool place_leaves_hole;
static char paths[2][512];
static struct gov__range_file files[2];
static struct gov__range range;
static char *rooms[2];
static size_t room_bytes[2];
static uint64_t real_page;
static gov_model *model;
static gov_error err;

/* ---- the platform, counted ------------------------------------------------------ */

static int stage(void *ctx, const void *target, size_t bytes, void **out)
{
    int rc = stage_fails;

    if (rc == 0)
        rc = native->stage(ctx, target, bytes, out);
    if (rc == 0)
        atomic_fetch_add(&staged, 1);
    return rc;
}

static int unstage(void *ctx, void *base, size_t bytes)
{
    atomic_fetch_sub(&staged, 1);
    return native->unstage(ctx, base, bytes);
}

static int place(void *ctx, void *base, size_t bytes, void *target)
{
    int rc = EFAULT;

    if (!place_leaves_hole)
        rc = native->place(ctx, base, bytes, target);
    else
        ck_assert_int_eq(munmap(target, bytes), 0);
    if (rc == 0)
        atomic_fetch_sub(&staged, 1);
    return rc;
}

static int drop_cached(void *ctx, int fd, uint64_t offset, uint64_t bytes)
{
    atomic_fetch_add(&dropped, 1);
    return native->drop_cached(ctx, fd, offset, bytes);
}

/* ---- files ---------------------------------------------------------------------- */

static unsigned char plain(uint32_t file, uint64_t offset)
{
    return (unsigned char)(((offset + 1 + (uint64_t)file * 77) *
                            UINT64_C(0x9e3779b97f4a7c15)) >>
                           56);
}

/* Never 0: what is encrypted differs everywhere. */
static unsigned char key(uint32_t file, uint64_t offset)
{
    return (
        unsigned char)((((offset + 5) * UINT64_C(0xc2b2ae3d27d4eb4f) + file) >>
                        40) |
                       1);
}

static bool in_unit(uint32_t file, uint64_t offset)
{
    static size_t last; /* most are asked for in a row */
    size_t count;
    const struct gov_unit *units = gov_model_units(model, &count);

    for (size_t i = 0; i < count; i++) {
        const struct gov_unit *u = &units[(last + i) % count];

        if (u->file == file && offset >= u->file_offset &&
            offset - u->file_offset < u->bytes) {
            last = (last + i) % count;
            return true;
        }
    }
    return false;
}

/* From `begin` on; the units' bytes encrypted where there is a model. */
static void write_file(uint32_t file, uint64_t begin, uint64_t bytes)
{
    static unsigned char block[65536];
    int fd = open(paths[file], O_WRONLY | O_CREAT, 0600);
    size_t n;

    ck_assert_int_ge(fd, 0);
    for (uint64_t at = begin; at < bytes; at += n) {
        for (n = 0; n < sizeof(block) && at + n < bytes; n++) {
            block[n] = plain(file, at + n);
            if (model != NULL && in_unit(file, at + n))
                block[n] ^= key(file, at + n);
        }
        ck_assert_int_eq(pwrite(fd, block, n, (off_t)at), (ssize_t)n);
    }
    ck_assert_int_eq(fsync(fd), 0);
    close(fd);
}

/* Maps it at a multiple of a huge page, with room behind its end for whole pages
 * of any size. */
static void open_file(uint32_t file, uint64_t bytes)
{
    struct gov__range_file *f = &files[file];
    uint64_t huge = 2 * MIB;
    char *room = mmap(NULL, (size_t)(bytes + 2 * huge), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *base;

    ck_assert_ptr_ne(room, MAP_FAILED);
    rooms[file] = room;
    room_bytes[file] = (size_t)(bytes + 2 * huge);
    room += gov__round_up((uintptr_t)room, huge) - (uintptr_t)room;
    f->fd = open(paths[file], O_RDONLY);
    f->direct_fd = open(paths[file], O_RDONLY);
    ck_assert_int_ge(f->fd, 0);
    ck_assert_int_ge(f->direct_fd, 0);
    if (native->set_direct(native->ctx, f->direct_fd, true) != 0) {
        skip_test("anchor", "no reads past the page cache here");
        close(f->direct_fd);
        f->direct_fd = -1;
    }
    ck_assert_int_eq(
        native->map_file(native->ctx, f->fd, 0, (size_t)bytes, room, &base), 0);
    ck_assert_ptr_eq(base, room);
    f->base = room;
    f->file_offset = 0;
    f->bytes = (size_t)bytes;
    f->file_bytes = bytes;
}

/* To ThreadSanitizer putting memory there is a write, which whoever reads must be
 * told of; that they need not be is what is tested. */
__attribute__((no_sanitize("thread"))) static unsigned char at(uint32_t file,
                                                               uint64_t offset)
{
    return *(volatile unsigned char *)(files[file].base + offset);
}

static bool is_zero(uint32_t file, uint64_t begin, uint64_t end)
{
    while (begin < end && at(file, begin) == 0)
        begin++;
    return begin == end;
}

static bool is_plain(uint64_t begin, uint64_t end)
{
    for (uint64_t i = begin; i < end && i < FILE_BYTES; i++)
        if (at(0, i) != plain(0, i))
            return false;
    return true;
}

/* Whether what is there is the file. */
static bool is_file(uint32_t file, uint64_t offset)
{
    unsigned char was, other;
    bool changed;
    int fd = open(paths[file], O_RDWR);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &was, 1, (off_t)offset), 1);
    other = (unsigned char)~was;
    ck_assert_int_eq(pwrite(fd, &other, 1, (off_t)offset), 1);
    changed = at(file, offset) == other;
    ck_assert_int_eq(pwrite(fd, &was, 1, (off_t)offset), 1);
    close(fd);
    return changed;
}

/* The kernel is asked to write there: it says no where the program would die. */
static bool is_read_only(uint32_t file, uint64_t offset)
{
    ssize_t n = pread(files[file].fd, files[file].base + offset, 1, 0);

    return n < 0 && errno == EFAULT;
}

static void setup(void)
{
    void *base;

    faults_reset();
    staged = dropped = stage_fails = 0;
    place_leaves_hole = false;
    native = gov__platform_native();
    table = *native;
    table.stage = stage;
    table.place = place;
    table.unstage = unstage;
    table.drop_cached = drop_cached;
    real_page = native->page_bytes(native->ctx);
    range.platform = &table;
    range.files = files;
    range.file_count = 1;
    range.page = real_page;
    snprintf(paths[0], sizeof(paths[0]), "%s/m-00001-of-00002.gguf",
             fresh_directory());
    snprintf(paths[1], sizeof(paths[1]), "%s", paths[0]);
    memcpy(strstr(paths[1], "00001"), "00002", 5);
    if (native->stage(native->ctx, NULL, real_page, &base) == 0)
        native->unstage(native->ctx, base, real_page);
    else
        native = NULL;
}

static void teardown(void)
{
    faults_reset();
    for (uint32_t i = 0; i < 2; i++) {
        if (rooms[i] == NULL)
            continue;
        munmap(rooms[i], room_bytes[i]);
        close(files[i].fd);
        close(files[i].direct_fd);
        rooms[i] = NULL;
    }
    gov_model_close(model);
    model = NULL;
    drop_directory();
}

/* False, with a word, where the platform has no such memory. */
static bool can(const char *test)
{
    if (native == NULL)
        skip_test(test, "no memory can be put over a file here");
    return native != NULL;
}

static bool plain_file(const char *test)
{
    if (!can(test))
        return false;
    write_file(0, 0, FILE_BYTES);
    open_file(0, FILE_BYTES);
    return true;
}

/* ---- one part ------------------------------------------------------------------- */

static _Atomic int direct_reads, cached_reads;

static void watch(int fd, uint64_t offset, size_t bytes)
{
    if (fd == files[0].direct_fd) {
        atomic_fetch_add(&direct_reads, 1);
        ck_assert_uint_eq(offset % 4096, 0);
        ck_assert_uint_eq(bytes % 4096, 0);
    } else {
        atomic_fetch_add(&cached_reads, 1);
    }
}

static const struct {
    const char *name;
    uint64_t begin, end; /* rounded to pages, and to the file's last one */
} parts[] = {
    {"a page", 64 * KIB, 80 * KIB},
    {"a huge page", 2 * MIB, 4 * MIB},
    {"two", 0, 4 * MIB},
    {"across huge pages", 64 * KIB, 4 * MIB + 128 * KIB},
    {"within one", 2 * MIB + 64 * KIB, 3 * MIB},
    {"to the end", 4 * MIB, FILE_BYTES},
    {"the last page", FILE_BYTES, FILE_BYTES},
    {"all", 0, FILE_BYTES},
};
#define PARTS ((int)(sizeof(parts) / sizeof(parts[0])))

START_TEST(anchors_and_undoes)
{
    bool direct = _i >= PARTS;
    uint64_t begin = gov__round_down(parts[_i % PARTS].begin, real_page);
    uint64_t end = gov__round_up(parts[_i % PARTS].end, real_page);
    uint64_t last = end < FILE_BYTES ? end : FILE_BYTES;

    if (!plain_file("anchors_and_undoes"))
        return;
    ck_assert_int_eq(gov__anchor(&range, 0, begin, end, direct), 0);
    ck_assert_int_eq(staged, 0);
    ck_assert_int_eq(dropped, direct && files[0].direct_fd >= 0 ? 0 : 1);
    ck_assert_msg(is_plain(0, FILE_BYTES), "%s", parts[_i % PARTS].name);
    ck_assert(is_zero(0, last, end));
    for (uint64_t i = begin; i < last; i += real_page) {
        ck_assert(!is_file(0, i));
        ck_assert(is_read_only(0, i));
    }
    ck_assert(!is_file(0, last - 1));
    ck_assert(begin == 0 || is_file(0, begin - 1));
    ck_assert(end > FILE_BYTES || is_file(0, end));

    ck_assert_int_eq(gov__anchor_undo(&range, 0, begin, end), 0);
    ck_assert(is_plain(0, FILE_BYTES));
    for (uint64_t i = begin; i < last; i += real_page)
        ck_assert(is_file(0, i));
    ck_assert(is_read_only(0, begin));
    ck_assert_int_eq(gov__anchor(&range, 0, begin, begin, direct), 0);
    ck_assert_int_eq(gov__anchor_undo(&range, 0, begin, begin), 0);
    ck_assert(is_file(0, begin));
}
END_TEST

/* One read a part; none of the cache where it need not be. */
/* The kernel may take what was mapped away before it finds that it cannot put the
 * memory there. */
START_TEST(a_hole_is_no_place_to_read)
{
    uint64_t begin = gov__round_down(parts[_i].begin, real_page);
    uint64_t end = gov__round_up(parts[_i].end, real_page);

    if (!plain_file("a_hole_is_no_place_to_read"))
        return;
    place_leaves_hole = true;
    ck_assert_int_eq(gov__anchor(&range, 0, begin, end, true), EFAULT);
    ck_assert_int_eq(staged, 0);
    ck_assert(is_plain(0, FILE_BYTES));
    for (uint64_t i = 0; i < FILE_BYTES; i += real_page)
        ck_assert(is_file(0, i));
    ck_assert(is_read_only(0, begin));
    place_leaves_hole = false;
    ck_assert_int_eq(gov__anchor(&range, 0, begin, end, true), 0);
    ck_assert(!is_file(0, begin));
}
END_TEST

START_TEST(reads_a_part_at_once)
{
    uint64_t end = gov__round_up(FILE_BYTES, real_page);

    if (!plain_file("reads_a_part_at_once") || files[0].direct_fd < 0)
        return;
    direct_reads = cached_reads = 0;
    faults_watch_pread(watch);
    ck_assert_int_eq(gov__anchor(&range, 0, 0, end, true), 0);
    ck_assert_int_eq(direct_reads, 1);
    ck_assert_int_eq(cached_reads, 0);
    ck_assert_int_eq(gov__anchor(&range, 0, 0, end, false), 0);
    ck_assert_int_eq(direct_reads, 1);
    ck_assert_int_eq(cached_reads, 1);
    /* A file that cannot be read past the cache. */
    close(files[0].direct_fd);
    files[0].direct_fd = -1;
    ck_assert_int_eq(gov__anchor(&range, 0, 0, end, true), 0);
    ck_assert_int_eq(cached_reads, 2);
    ck_assert(is_plain(0, FILE_BYTES));
}
END_TEST

/* What pread() says once, and what comes of it. */
static const struct {
    const char *name;
    int error;
    bool direct;
    int want, dropped;
} reads[] = {
    {"interrupted", EINTR, false, 0, 1},
    {"interrupted, direct", EINTR, true, 0, 0},
    {"refused, direct", EINVAL, true, 0, 1},
    {"refused", EINVAL, false, EINVAL, 1},
    {"failed", EIO, false, EIO, 1},
    {"failed, direct", EIO, true, EIO, 0},
};

START_TEST(reads_that_fail)
{
    if (!plain_file("reads_that_fail") || files[0].direct_fd < 0)
        return;
    faults_only("pread");
    faults_set_errno(reads[_i].error);
    faults_arm(0, false);
    ck_assert_int_eq(
        gov__anchor(&range, 0, 64 * KIB, 3 * MIB, reads[_i].direct),
        reads[_i].want);
    faults_disarm();
    ck_assert_int_eq(staged, 0);
    ck_assert_int_eq(dropped, reads[_i].dropped);
    ck_assert(is_plain(0, FILE_BYTES));
    ck_assert(is_file(0, 2 * MIB) == (reads[_i].want != 0));
}
END_TEST

/* The file ends at a page, at a block of a disk and elsewhere. */
START_TEST(file_is_shorter)
{
    static const uint64_t ends[] = {64 * KIB, 5 * MIB, 5 * MIB + 512,
                                    5 * MIB + 17, FILE_BYTES - 1};
    uint64_t end = gov__round_up(FILE_BYTES, real_page);

    if (!plain_file("file_is_shorter"))
        return;
    ck_assert_int_eq(truncate(paths[0], (off_t)ends[_i / 2]), 0);
    /* Where a read ended short the next one is not aligned. */
    faults_watch_pread(watch);
    ck_assert_int_eq(gov__anchor(&range, 0, 64 * KIB, end, _i % 2 != 0),
                     ENODATA);
    ck_assert_int_eq(staged, 0);
    ck_assert(is_file(0, 0));
}
END_TEST

/* Nobody has been told of what is behind the end that was known. */
START_TEST(file_is_longer)
{
    uint64_t end;

    if (!plain_file("file_is_longer"))
        return;
    files[0].file_bytes = 3 * MIB + 17;
    end = gov__round_up(files[0].file_bytes, real_page);
    ck_assert_int_eq(gov__anchor(&range, 0, 0, end, _i != 0), 0);
    ck_assert(is_plain(0, files[0].file_bytes));
    ck_assert(is_zero(0, files[0].file_bytes, end));
}
END_TEST

/* A mapping that begins within the file, and another one of the same file. */
START_TEST(anchors_where_it_is_told)
{
    unsigned char *other;

    if (!plain_file("anchors_where_it_is_told"))
        return;
    files[0].base += 2 * MIB;
    files[0].file_offset = 2 * MIB;
    files[0].bytes -= 2 * MIB;
    other = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, files[0].fd, 0);
    ck_assert_ptr_ne(other, MAP_FAILED);
    ck_assert_int_eq(gov__anchor(&range, 0, 4 * MIB, 5 * MIB, _i != 0), 0);
    files[0].base -= 2 * MIB;
    ck_assert(is_plain(0, FILE_BYTES));
    ck_assert(!is_file(0, 4 * MIB));
    ck_assert(is_file(0, 4 * MIB - 1));
    ck_assert(is_file(0, 5 * MIB));
    files[0].base = (char *)other;
    ck_assert(is_plain(0, FILE_BYTES));
    ck_assert(is_file(0, 4 * MIB));
    munmap(other, FILE_BYTES);
}
END_TEST

/* Each call that can fail does, once and for good: it is anchored or it is not, and
 * the bytes are the same. */
START_TEST(fails_clean)
{
    bool direct = (_i & 1) != 0, forever = (_i & 2) != 0;
    uint64_t calls, end = gov__round_up(FILE_BYTES, real_page);
    int rc;

    if (!plain_file("fails_clean"))
        return;
    faults_arm(FAULTS_NEVER, false);
    ck_assert_int_eq(gov__anchor(&range, 0, 2 * MIB, end, direct), 0);
    ck_assert_int_eq(gov__anchor_undo(&range, 0, 2 * MIB, end), 0);
    calls = faults_count();
    ck_assert_uint_ge(calls, 3);
    for (uint64_t n = 0; n < calls; n++) {
        const char *failed;
        bool anchored;

        faults_arm(n, forever);
        rc = gov__anchor(&range, 0, 2 * MIB, end, direct);
        failed = faults_last();
        faults_disarm();
        anchored = !is_file(0, 3 * MIB);
        ck_assert_msg(anchored == (rc == 0), "%s", failed);
        /* Without huge pages it is as good, only slower. */
        ck_assert_msg(rc != 0 || strcmp(failed, "none") == 0 ||
                          strcmp(failed, "madvise") == 0,
                      "%s was swallowed", failed);
        ck_assert(is_plain(0, FILE_BYTES));
        ck_assert_int_eq(staged, 0);
        if (!anchored)
            continue;
        faults_arm(0, forever);
        rc = gov__anchor_undo(&range, 0, 2 * MIB, end);
        faults_disarm();
        ck_assert_int_eq(rc, EIO);
        ck_assert(!is_file(0, 3 * MIB));
        ck_assert_int_eq(gov__anchor_undo(&range, 0, 2 * MIB, end), 0);
        ck_assert(is_plain(0, FILE_BYTES));
    }
}
END_TEST

/* ---- while others read ------------------------------------------------------------ */

static atomic_bool over, wrong;

static void *reads_on(void *arg)
{
    uint64_t x = (uintptr_t)arg;

    while (!over)
        for (int i = 0; i < 4096; i++) {
            x = x * UINT64_C(6364136223846793005) +
                UINT64_C(1442695040888963407);
            uint64_t offset = (x >> 20) % FILE_BYTES;

            if (at(0, offset) != plain(0, offset))
                wrong = true;
        }
    return NULL;
}

/* Each has its own pages, with an edge inside a huge page. */
static void *flips(void *arg)
{
    uint64_t n = (uintptr_t)arg;
    uint64_t cut = 2 * MIB + 64 * KIB;
    uint64_t begin = n == 0 ? 0 : cut;
    uint64_t end = n == 0 ? cut : gov__round_up(FILE_BYTES, real_page);

    for (int i = 0; i < 300 && !wrong; i++) {
        if (gov__anchor(&range, 0, begin, end, i % 3 != 0) != 0 ||
            gov__anchor_undo(&range, 0, begin, end) != 0)
            wrong = true;
    }
    return NULL;
}

START_TEST(readers_see_the_file_at_all_times)
{
    pthread_t readers[2], flippers[2];

    over = wrong = false;
    if (!plain_file("readers_see_the_file_at_all_times"))
        return;
    for (uintptr_t i = 0; i < 2; i++) {
        ck_assert_int_eq(
            pthread_create(&readers[i], NULL, reads_on, (void *)(i + 1)), 0);
        ck_assert_int_eq(pthread_create(&flippers[i], NULL, flips, (void *)i),
                         0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(flippers[i], NULL);
    over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    ck_assert(!wrong);
    ck_assert(is_plain(0, FILE_BYTES));
}
END_TEST

/* ---- decrypted -------------------------------------------------------------------- */

/* Layers `first` to `end` of some columns of 4 bytes, so that edges lie anywhere;
 * small ones share a page by the dozen. */
static void add_layers(struct gguf_writer *w, int first, int end)
{
    for (int i = first; i < end; i++) {
        char name[64];

        snprintf(name, sizeof(name), "blk.%d.attn_q.weight", i);
        gguf_add(w, name, T_F32, 24, i % 5 == 4 ? 3000 : 7);
        snprintf(name, sizeof(name), "blk.%d.attn_norm.weight", i);
        gguf_add(w, name, T_F32, 24, 0);
    }
}

static void save(struct gguf_writer *w, uint32_t file)
{
    gguf_finish(w);
    gguf_save(w, paths[file], w->file_bytes);
    files[file].file_bytes = w->file_bytes;
    gguf_free(w);
}

static void write_part(uint32_t file, uint32_t parts_count, uint64_t rows)
{
    struct gguf_writer w;

    gguf_begin(&w);
    gguf_key_text(&w, "general.architecture", "llama");
    gguf_key_split(&w, (uint16_t)file, (uint16_t)parts_count, 43);
    /* Not in the order of use. */
    if (file + 1 == parts_count) {
        gguf_add(&w, "output_norm.weight", T_F32, 24, 0);
        gguf_add(&w, "output.weight", T_F32, 24, 31);
    }
    if (file == 0)
        gguf_add(&w, "token_embd.weight", T_F32, 24, rows);
    if (file == 0)
        add_layers(&w, 0, 13);
    if (file + 1 == parts_count)
        add_layers(&w, 13, 20);
    save(&w, file);
}

/* A model in so many files, whose units' bytes are encrypted; mapped, with pages
 * of that many bytes. */
static void make_model(uint32_t count, uint64_t rows, uint64_t page)
{
    for (uint32_t i = 0; i < count; i++)
        write_part(i, count, rows);
    ck_assert_msg(gov_model_open(&model, paths[0], NULL, &err) == GOV_OK, "%s",
                  err.message);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t first = files[i].file_bytes, bytes = files[i].file_bytes;
        size_t units;
        const struct gov_unit *u = gov_model_units(model, &units);

        for (size_t n = 0; n < units; n++)
            if (u[n].file == i && u[n].file_offset < first)
                first = u[n].file_offset;
        write_file(i, first, bytes);
        open_file(i, bytes);
    }
    range.file_count = count;
    range.page = page;
}

struct app {
    uint32_t seen, refuse; /* units, and which of them not; from 1 */
    uint32_t file;
    uint64_t offset, behind;    /* where the last one began and ended */
    uint32_t told, cancel_from; /* progress: last permille; then no */
    uint32_t calls;
};

/* The units' bytes there are plain in memory. An assertion is far too slow to make
 * for each. */
static void check_plain(uint32_t file, uint64_t begin, uint64_t end)
{
    uint64_t i = begin;

    while (i < end && (at(file, i) == plain(file, i) || !in_unit(file, i)))
        i++;
    ck_assert_msg(i == end, "file %u, byte %ju is not decrypted", file,
                  (uintmax_t)i);
}

/* Those in front of it that are in one page with it, or were. */
static void check_edge(uint32_t file, uint64_t end)
{
    check_plain(file, gov__less(end, 2 * range.page), end);
}

static bool decrypt(void *ctx, const struct gov_cipher *cipher)
{
    struct app *app = ctx;
    size_t count;
    const struct gov_unit *unit = &gov_model_units(model, &count)[cipher->unit];
    bool good = true;

    ck_assert_uint_eq(cipher->size, sizeof(*cipher));
    ck_assert_uint_eq(cipher->file, unit->file);
    ck_assert_uint_eq(cipher->file_offset, unit->file_offset);
    ck_assert_uint_eq(cipher->bytes, unit->bytes);
    if (cipher->file != app->file)
        app->behind = 0;
    ck_assert_uint_ge(cipher->file, app->file);
    ck_assert_uint_ge(cipher->file_offset, app->behind);
    check_edge(app->file, app->behind);
    app->file = cipher->file;
    app->offset = cipher->file_offset;
    app->behind = cipher->file_offset + cipher->bytes;
    if (++app->seen == app->refuse)
        return false;
    for (uint64_t i = 0; i < cipher->bytes; i++) {
        uint64_t offset = cipher->file_offset + i;

        cipher->data[i] ^= key(cipher->file, offset);
        good = good && cipher->data[i] == plain(cipher->file, offset);
    }
    ck_assert(good);
    return true;
}

static bool progress(void *ctx, uint32_t permille, const char *what)
{
    struct app *app = ctx;

    ck_assert_str_eq(what, "decrypting weights");
    ck_assert_uint_ge(permille, app->told);
    ck_assert_uint_le(permille, 1000);
    app->told = permille;
    app->calls++;
    return app->cancel_from == 0 || permille < app->cancel_from;
}

static struct gov_weights_options ask(struct app *app)
{
    struct gov_weights_options options = gov_weights_options_default();

    options.alloc = faults_alloc();
    options.decrypt = decrypt;
    options.decrypt_ctx = app;
    options.progress = progress;
    options.progress_ctx = app;
    return options;
}

/* The clock of the test: each look is a second later, so that all is told. */
static uint64_t now_us(void *ctx)
{
    static _Atomic uint64_t now = 1000000;

    (void)ctx;
    return atomic_fetch_add(&now, 1000000);
}

/* One and two files; pages of this machine, of 16 and 64 KiB; cached and not. */
START_TEST(decrypts_every_byte)
{
    static const uint64_t pages[] = {0, 16 * KIB, 64 * KIB};
    uint32_t count = (uint32_t)_i % 2 + 1;
    uint64_t page = pages[_i / 4];
    struct app app = {.seen = 0};
    struct gov_weights_options options = ask(&app);
    size_t units;

    if (!can("decrypts_every_byte"))
        return;
    make_model(count, 700, page > real_page ? page : real_page);
    gov_model_units(model, &units);
    ck_assert_uint_gt(units, 20);
    options.direct = (_i & 2) != 0;
    ck_assert_msg(gov__anchor_decrypted(&range, model, &options, &err) ==
                      GOV_OK,
                  "%s", err.message);
    ck_assert_uint_eq(app.seen, units);
    ck_assert_uint_eq(app.told, 1000);
    ck_assert_int_eq(staged, 0);
    ck_assert_int_eq(faults_live_blocks(), 0);
    for (uint32_t f = 0; f < count; f++) {
        static unsigned char head[65536];
        uint64_t end = files[f].file_bytes, i;
        ssize_t n = pread(files[f].fd, head, sizeof(head), 0);

        check_plain(f, 0, end);
        for (i = 0; i < (uint64_t)n; i++)
            if (at(f, i) != head[i] && !in_unit(f, i))
                break;
        ck_assert_uint_eq(i, (uint64_t)n);
        ck_assert(is_zero(f, end, gov__round_up(end, range.page)));
        ck_assert(!is_file(f, end - 1));
        ck_assert(is_read_only(f, end - 1));
    }
}
END_TEST

/* Files of 17 MiB are told of while they are read, and no matter how big a unit
 * is, it is shown whole. */
START_TEST(tells_while_it_reads)
{
    struct app app = {.seen = 0};
    struct gov_weights_options options = ask(&app);
    size_t units;

    if (!can("tells_while_it_reads"))
        return;
    make_model(1, 17 * MIB / 96, real_page);
    gov_model_units(model, &units);
    table.now_us = now_us;
    ck_assert_int_eq(gov__anchor_decrypted(&range, model, &options, &err),
                     GOV_OK);
    ck_assert_uint_eq(app.told, 1000);
    /* Before each read, of which the embedding has two, and after each unit. */
    ck_assert_uint_eq(app.calls, 2 * units + 1);
    check_plain(0, 0, files[0].file_bytes);

    app = (struct app){.cancel_from = 500};
    ck_assert_int_eq(gov__anchor_decrypted(&range, model, &options, &err),
                     GOV_E_CANCELLED);
    ck_assert_str_eq(err.message, "decrypting the weights was cancelled");
    ck_assert_uint_eq(app.seen, 1); /* what is in front of the embedding */
    ck_assert_int_eq(staged, 0);
}
END_TEST

START_TEST(decrypt_says_no)
{
    struct app app = {.refuse = 9};
    struct gov_weights_options options = ask(&app);
    char want[GOV_MESSAGE_BYTES + 600];

    if (!can("decrypt_says_no"))
        return;
    make_model(2, 700, real_page);
    options.progress = NULL;
    ck_assert_int_eq(gov__anchor_decrypted(&range, model, &options, &err),
                     GOV_E_FORMAT);
    ck_assert_uint_eq(app.seen, 9);
    ck_assert_int_eq(staged, 0);
    ck_assert_int_eq(faults_live_blocks(), 0);
    snprintf(want, sizeof(want),
             "the weights at byte %ju of %s cannot be decrypted: check the "
             "key, and that the file is whole",
             (uintmax_t)app.offset, paths[0]);
    ck_assert_str_eq(err.message, want);
}
END_TEST

/* Each call and allocation fails in turn, once and for good. */
START_TEST(decrypting_fails_clean)
{
    struct app app = {.seen = 0};
    struct gov_weights_options options = ask(&app);
    uint64_t calls;

    if (!can("decrypting_fails_clean"))
        return;
    make_model(2, 700, real_page);
    options.direct = true;
    faults_arm(FAULTS_NEVER, false);
    ck_assert_int_eq(gov__anchor_decrypted(&range, model, &options, &err),
                     GOV_OK);
    calls = faults_count();
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;
        const char *failed;

        for (uint32_t f = 0; f < 2; f++)
            ck_assert_int_eq(
                gov__anchor_undo(&range, f, 0,
                                 gov__round_up(files[f].file_bytes, real_page)),
                0);
        app = (struct app){.seen = 0};
        faults_arm(n, _i != 0);
        memset(&err, 0, sizeof(err));
        status = gov__anchor_decrypted(&range, model, &options, &err);
        failed = faults_last();
        faults_disarm();
        ck_assert_int_eq(staged, 0);
        ck_assert_int_eq(faults_live_blocks(), 0);
        if (strcmp(failed, "madvise") == 0 && status == GOV_OK)
            continue;
        ck_assert_msg(status == (n == 0 ? GOV_E_NOMEM : GOV_E_IO), "%s: %s",
                      failed, err.message);
        ck_assert_str_ne(err.message, "");
    }
}
END_TEST

START_TEST(says_what_failed)
{
    struct app app = {.seen = 0};
    struct gov_weights_options options = ask(&app);
    char want[GOV_MESSAGE_BYTES + 600];
    size_t count;
    const struct gov_unit *units, *unit; /* the first in the file */

    if (!can("says_what_failed"))
        return;
    make_model(1, 700, real_page);
    units = gov_model_units(model, &count);
    unit = units;
    for (size_t i = 1; i < count; i++)
        if (units[i].file_offset < unit->file_offset)
            unit = &units[i];
    stage_fails = ENOMEM;
    ck_assert_int_eq(gov__anchor_decrypted(&range, model, &options, &err),
                     GOV_E_NOMEM);
    snprintf(want, sizeof(want),
             "%ju bytes of weights at byte %ju of %s cannot be brought in: %s",
             (uintmax_t)unit->bytes, (uintmax_t)unit->file_offset, paths[0],
             "Cannot allocate memory");
    ck_assert_str_eq(err.message, want);
    stage_fails = 0;
    ck_assert_int_eq(truncate(paths[0], (off_t)unit->file_offset + 9), 0);
    ck_assert_int_eq(gov__anchor_decrypted(&range, model, &options, &err),
                     GOV_E_IO);
    snprintf(
        want, sizeof(want),
        "the weights at byte %ju of %s are cut short: the file was changed "
        "since its header was read; load it again",
        (uintmax_t)unit->file_offset, paths[0]);
    ck_assert_str_eq(err.message, want);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("anchor");
    TCase *tc = tcase_create("anchor");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 20);
    tcase_add_loop_test(tc, anchors_and_undoes, 0, 2 * PARTS);
    tcase_add_loop_test(tc, a_hole_is_no_place_to_read, 0, PARTS);
    tcase_add_test(tc, reads_a_part_at_once);
    tcase_add_loop_test(tc, reads_that_fail, 0,
                        (int)(sizeof(reads) / sizeof(reads[0])));
    tcase_add_loop_test(tc, file_is_shorter, 0, 10);
    tcase_add_loop_test(tc, file_is_longer, 0, 2);
    tcase_add_loop_test(tc, anchors_where_it_is_told, 0, 2);
    tcase_add_loop_test(tc, fails_clean, 0, 4);
    tcase_add_test(tc, readers_see_the_file_at_all_times);
    tcase_add_loop_test(tc, decrypts_every_byte, 0, 12);
    tcase_add_test(tc, tells_while_it_reads);
    tcase_add_test(tc, decrypt_says_no);
    tcase_add_loop_test(tc, decrypting_fails_clean, 0, 2);
    tcase_add_test(tc, says_what_failed);
    suite_add_tcase(s, tc);
    return s;
}
