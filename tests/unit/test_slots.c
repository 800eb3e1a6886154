/* SPDX-License-Identifier: MIT */
/* Slots on a real mapped file: whoever reads there finds its bytes at all times,
 * whichever slot they are in and whatever fails. */
#include "governor/memory/slots.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/memory/anchor.h"
#include "governor/memory/residency.h"
#include "tests/unit/range_fixture.h"

#define COUNT 3

/* Linux; elsewhere there are no slots to look at. */
#ifndef RUSAGE_THREAD
#define RUSAGE_THREAD RUSAGE_SELF
#endif

static struct gov__slots slots;

static void teardown(void)
{
    faults_reset();
    gov__slots_fini(&slots);
    drop_range();
}

/* False, with a word, where there are none. */
static bool has_slots(const char *test)
{
    int rc = gov__slots_init(&slots, &range, faults_alloc(), COUNT);

    if (rc == ENOTSUP)
        skip_test(test, "no memory of huge pages to read into here");
    else
        ck_assert_int_eq(rc, 0);
    return rc == 0;
}

static long faults_of_thread(void)
{
    struct rusage usage;

    ck_assert_int_eq(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_minflt + usage.ru_majflt;
}

/* Mappings of memory for slots in this process. */
static int mappings(void)
{
    char line[1024];
    int count = 0;
    FILE *f = fopen("/proc/self/maps", "r");

    ck_assert_ptr_ne(f, NULL);
    while (fgets(line, sizeof(line), f) != NULL)
        count += strstr(line, "memfd:governor weights") != NULL;
    fclose(f);
    return count;
}

/* ---- one part ------------------------------------------------------------------- */

static int place(const struct gov__slots *in, uint32_t slot, uint32_t of,
                 uint64_t begin, uint64_t end)
{
    int rc = gov__slots_fill(in, slot, of, begin, end);

    return rc != 0 ? rc : gov__slots_show(in, slot, of, begin, end);
}

static const struct {
    const char *name;
    uint64_t begin, end; /* rounded to pages */
} parts[] = {
    {"a part", 4 * MIB, 8 * MIB},
    {"a huge page", 2 * MIB, 4 * MIB},
    {"a part between two", 6 * MIB, 10 * MIB},
    {"a page", 8 * MIB, 8 * MIB + 4096},
    {"one and a half", 8 * MIB, 11 * MIB},
    {"to the end", 24 * MIB, FILE_BYTES},
    {"the end", 26 * MIB, FILE_BYTES},
};
#define PARTS ((int)(sizeof(parts) / sizeof(parts[0])))

START_TEST(places_and_undoes)
{
    uint64_t begin = parts[_i].begin, end = gov__round_up(parts[_i].end, page);
    uint64_t last = end < FILE_BYTES ? end : FILE_BYTES;
    int descriptors = faults_open_descriptors();
    long faults, least = LONG_MAX;

    if (!has_slots("places_and_undoes"))
        return;
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    for (int i = 0; i < 2 * COUNT; i++) {
        uint32_t slot = gov__slots_take(&slots);

        ck_assert(gov__slots_fits(&slots, 0, begin, end));
        ck_assert_int_eq(place(&slots, slot, 0, begin, end), 0);
        faults = faults_of_thread();
        for (uint64_t n = begin; n < last; n += page)
            (void)at(n);
        faults = faults_of_thread() - faults;
        if (faults < least)
            least = faults;
        ck_assert_msg(is_plain(0, FILE_BYTES), "%s", parts[_i].name);
        ck_assert(is_zero(last, end));
        for (uint64_t n = begin; n < last; n += page)
            ck_assert(!is_file(n));
        ck_assert(begin == 0 || is_file(begin - 8));
        ck_assert(end > FILE_BYTES || is_file(end));
        ck_assert_int_eq(
            mprotect(file.base + begin, end - begin, PROT_READ | PROT_WRITE),
            -1);
        ck_assert_int_eq(errno, EACCES);

        ck_assert_int_eq(gov__anchor_undo(&range, 0, begin, end), 0);
        gov__slots_give(&slots, slot);
        ck_assert(is_plain(0, FILE_BYTES));
        for (uint64_t n = begin; n < last; n += page)
            ck_assert(is_file(n));
    }
    /* The kernel may take from the page table what it likes, now and then. */
    ck_assert_msg(least == 0, "%s: %ld faults", parts[_i].name, least);
}
END_TEST

START_TEST(takes_and_gives)
{
    uint32_t taken[COUNT];

    if (!has_slots("takes_and_gives"))
        return;
    for (int round = 0; round < 3; round++) {
        bool seen[COUNT] = {false};

        for (int i = 0; i < COUNT; i++) {
            taken[i] = gov__slots_take(&slots);
            ck_assert_uint_lt(taken[i], COUNT);
            ck_assert(!seen[taken[i]]);
            seen[taken[i]] = true;
        }
        ck_assert_uint_eq(gov__slots_take(&slots), GOV__NO_SLOT);
        for (int i = 0; i < COUNT; i++)
            gov__slots_give(&slots, taken[i]);
    }
}
END_TEST

START_TEST(says_what_does_not_fit)
{
    uint32_t slot;

    if (!has_slots("says_what_does_not_fit"))
        return;
    slot = gov__slots_take(&slots);
    ck_assert_int_eq(place(&slots, slot, 0, page, 4 * MIB), ERANGE);
    ck_assert_int_eq(place(&slots, slot, 0, MIB, 2 * MIB), ERANGE);
    ck_assert_int_eq(place(&slots, slot, 0, 0, 4 * MIB + page), ERANGE);
    ck_assert_int_eq(place(&slots, slot, 0, 0, 0), ERANGE);
    ck_assert_int_eq(place(&slots, slot, 0, 4 * MIB, 2 * MIB), ERANGE);
    /* It is the address that counts. */
    file.file_offset = MIB;
    ck_assert_int_eq(place(&slots, slot, 0, 2 * MIB, 3 * MIB), ERANGE);
    file.file_offset = 0;
    ck_assert(is_plain(0, FILE_BYTES));
    ck_assert(is_file(0));
}
END_TEST

/* What is shown, is in use by the process, and nothing of it twice. */
START_TEST(is_charged_once)
{
    struct gov__process before, after;

    if (!has_slots("is_charged_once"))
        return;
    gov__slots_fini(&slots);
    ck_assert_int_eq(native->process(native->ctx, 0, &before), 0);
    ck_assert_int_eq(gov__slots_init(&slots, &range, faults_alloc(), COUNT), 0);
    for (uint64_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(place(&slots, gov__slots_take(&slots), 0, 4 * i * MIB,
                               4 * (i + 1) * MIB),
                         0);
    ck_assert_int_eq(native->process(native->ctx, 0, &after), 0);
    ck_assert_uint_ge(after.shmem_bytes - before.shmem_bytes, 4 * MIB * COUNT);
    ck_assert_uint_lt(after.shmem_bytes - before.shmem_bytes, 6 * MIB * COUNT);
    gov__slots_fini(&slots);
    ck_assert(is_plain(0, FILE_BYTES));
    ck_assert(!is_file(0));
    ck_assert_uint_eq(gov__slots_take(&slots), GOV__NO_SLOT);
    gov__slots_fini(&slots);
}
END_TEST

/* ---- what fails ------------------------------------------------------------------ */

/* What pread() says once, and what comes of it. */
static const struct {
    int error, want;
} reads[] = {{EINTR, 0}, {EINVAL, 0}, {EIO, EIO}};

START_TEST(reads_that_fail)
{
    if (!has_slots("reads_that_fail") || file.direct_fd < 0)
        return;
    faults_only("pread");
    faults_set_errno(reads[_i].error);
    faults_arm(0, false);
    ck_assert_int_eq(
        place(&slots, gov__slots_take(&slots), 0, 4 * MIB, 8 * MIB),
        reads[_i].want);
    faults_disarm();
    ck_assert(is_plain(0, FILE_BYTES));
    ck_assert(is_file(4 * MIB) == (reads[_i].want != 0));
}
END_TEST

/* Also where it ends between two pages, and where the slot has had bytes. */
START_TEST(file_is_shorter)
{
    static const uint64_t ends[] = {24 * MIB, 25 * MIB, 25 * MIB + 512,
                                    25 * MIB + 17};
    uint64_t end = gov__round_up(FILE_BYTES, page);
    uint32_t slot;

    if (!has_slots("file_is_shorter"))
        return;
    slot = gov__slots_take(&slots);
    ck_assert_int_eq(place(&slots, slot, 0, 0, 4 * MIB), 0);
    ck_assert_int_eq(gov__anchor_undo(&range, 0, 0, 4 * MIB), 0);
    ck_assert_int_eq(truncate(path, (off_t)ends[_i]), 0);
    ck_assert_int_eq(place(&slots, slot, 0, 24 * MIB, end), ENODATA);
    ck_assert(is_file(0));
    /* It was made shorter before it was looked at. */
    file.file_bytes = ends[_i];
    end = gov__round_up(file.file_bytes, page);
    if (end == 24 * MIB)
        return;
    ck_assert_int_eq(place(&slots, slot, 0, 24 * MIB, end), 0);
    ck_assert(is_plain(24 * MIB, gov__round_down(ends[_i], 8)));
    ck_assert(is_zero(gov__round_up(ends[_i], 8), end));
}
END_TEST

/* Nobody has been told of what is behind the end that was known. */
START_TEST(file_is_longer)
{
    uint64_t end;

    if (!has_slots("file_is_longer"))
        return;
    file.file_bytes = 3 * MIB + 24;
    end = gov__round_up(file.file_bytes, page);
    ck_assert_int_eq(place(&slots, gov__slots_take(&slots), 0, 0, end), 0);
    ck_assert(is_plain(0, file.file_bytes));
    ck_assert(is_zero(file.file_bytes, end));
}
END_TEST

static int no_slots(void *ctx, size_t bytes, void **fill, void **view)
{
    (void)ctx;
    (void)bytes;
    (void)fill;
    (void)view;
    return ENOTSUP;
}

/* Without any of them. */
static void check_none(void)
{
    ck_assert_uint_eq(gov__slots_take(&slots), GOV__NO_SLOT);
    ck_assert(!gov__slots_fits(&slots, 0, 0, 4 * MIB));
    ck_assert_int_eq(place(&slots, 0, 0, 0, 4 * MIB), ERANGE);
    ck_assert_int_eq(faults_live_blocks(), 0);
    gov__slots_fini(&slots);
}

START_TEST(has_none)
{
    table.slots_open = no_slots;
    ck_assert_int_eq(gov__slots_init(&slots, &range, faults_alloc(), COUNT),
                     ENOTSUP);
    check_none();
    ck_assert_int_eq(gov__slots_init(&slots, &range, faults_alloc(), 0),
                     EINVAL);
    check_none();
    table.slots_open = native->slots_open;
    range.page = 16 * KIB;
    ck_assert_int_eq(gov__slots_init(&slots, &range, faults_alloc(), COUNT),
                     ENOTSUP);
    check_none();
}
END_TEST

/* Each call fails, once and for good: there are slots or nothing is left of them. */
START_TEST(init_fails_clean)
{
    static const int errors[] = {ENOMEM, EINVAL, EAGAIN};
    bool forever = _i % 2 != 0;
    int descriptors = faults_open_descriptors();
    uint64_t calls;

    if (!has_slots("init_fails_clean"))
        return;
    gov__slots_fini(&slots);
    ck_assert_int_eq(mappings(), 0);
    faults_only("alloc,mmap,madvise,ftruncate,fcntl");
    faults_arm(FAULTS_NEVER, false);
    ck_assert_int_eq(gov__slots_init(&slots, &range, faults_alloc(), COUNT), 0);
    calls = faults_count();
    ck_assert_uint_ge(calls, 8 + 2 * 2 * COUNT);
    gov__slots_fini(&slots);
    for (uint64_t n = 0; n < calls; n++) {
        int rc;

        faults_set_errno(errors[_i / 2]);
        faults_arm(n, forever);
        rc = gov__slots_init(&slots, &range, faults_alloc(), COUNT);
        faults_disarm();
        if (rc != 0) {
            check_none();
        } else {
            ck_assert_str_eq(faults_last(), "madvise");
            ck_assert_int_eq(
                place(&slots, gov__slots_take(&slots), 0, 0, 4 * MIB), 0);
            ck_assert(is_plain(0, FILE_BYTES));
            ck_assert_int_eq(gov__anchor_undo(&range, 0, 0, 4 * MIB), 0);
            gov__slots_fini(&slots);
        }
        ck_assert_int_eq(mappings(), 0);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
    }
}
END_TEST

START_TEST(place_fails_clean)
{
    uint64_t calls, end = gov__round_up(FILE_BYTES, page);
    uint32_t slot;

    if (!has_slots("place_fails_clean"))
        return;
    slot = gov__slots_take(&slots);
    faults_only("pread,mmap,madvise,mremap");
    faults_arm(FAULTS_NEVER, false);
    ck_assert_int_eq(place(&slots, slot, 0, 24 * MIB, end), 0);
    ck_assert_int_eq(gov__anchor_undo(&range, 0, 24 * MIB, end), 0);
    calls = faults_count();
    ck_assert_uint_ge(calls, 5);
    for (uint64_t n = 0; n < calls; n++) {
        bool placed;
        int rc;

        faults_arm(n, _i != 0);
        rc = place(&slots, slot, 0, 24 * MIB, end);
        faults_disarm();
        placed = !is_file(24 * MIB);
        ck_assert_msg(placed == (rc == 0), "%s", faults_last());
        /* Faults to come are no failure, nor is what one is charged. */
        ck_assert(rc != 0 || strcmp(faults_last(), "none") == 0 ||
                  strcmp(faults_last(), "madvise") == 0);
        ck_assert(is_plain(0, FILE_BYTES));
        ck_assert_int_eq(gov__anchor_undo(&range, 0, 24 * MIB, end), 0);
        ck_assert(is_file(24 * MIB));
    }
}
END_TEST

/* As mremap() does when memory for page tables cannot be had on its way. */
static int loses_the_place(void *ctx, void *view, size_t bytes, void *target)
{
    (void)ctx;
    (void)view;
    ck_assert_int_eq(munmap(target, bytes), 0);
    return EFAULT;
}

START_TEST(file_comes_back)
{
    if (!has_slots("file_comes_back"))
        return;
    table.slots_show = loses_the_place;
    ck_assert_int_eq(
        place(&slots, gov__slots_take(&slots), 0, 4 * MIB, 8 * MIB), EFAULT);
    ck_assert(is_plain(0, FILE_BYTES));
    ck_assert(is_file(4 * MIB));
}
END_TEST

/* ---- other processes --------------------------------------------------------------- */

/* 0 when there is nothing at that place in a child. */
static int child_sees(void)
{
    if (msync(file.base, page, MS_ASYNC) == 0 || errno != ENOMEM)
        return 1;
    if (msync(slots.fill, page, MS_ASYNC) == 0 || errno != ENOMEM)
        return 2;
    if (msync(slots.view, page, MS_ASYNC) == 0 || errno != ENOMEM)
        return 3;
    return at(4 * MIB) == word(4 * MIB / 8) ? 0 : 4;
}

static int child_places(void)
{
    uint32_t slot;
    int rc;

    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 1;
    rc = gov__slots_init(&slots, &range, faults_alloc(), COUNT);
    if (rc != 0)
        return 2;
    slot = gov__slots_take(&slots);
    if (place(&slots, slot, 0, 0, 4 * MIB) != 0 || !is_plain(0, FILE_BYTES))
        return 3;
    return gov__anchor_undo(&range, 0, 0, 4 * MIB) == 0 ? 0 : 4;
}

static int in_child(int (*run)(void))
{
    int status = -1;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(run());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + status;
}

START_TEST(child_has_no_slots)
{
    if (!has_slots("child_has_no_slots"))
        return;
    ck_assert_int_eq(place(&slots, gov__slots_take(&slots), 0, 0, 4 * MIB), 0);
    ck_assert_int_eq(in_child(child_sees), 0);
    ck_assert(is_plain(0, FILE_BYTES));
}
END_TEST

START_TEST(needs_no_privilege)
{
    if (!has_slots("needs_no_privilege"))
        return;
    gov__slots_fini(&slots);
    if (geteuid() != 0) {
        skip_test("needs_no_privilege", "nothing here ran with any");
        return;
    }
    ck_assert_int_eq(in_child(child_places), 0);
}
END_TEST

/* ---- while others read ------------------------------------------------------------- */

#define READERS 4
#define WHOLE 6 /* parts of the file */

static atomic_bool over, wrong;
static _Atomic int shown[COUNT]; /* at how many places */
static _Atomic uint64_t recycled;

static void *reads_on(void *arg)
{
    uint64_t x = *(const uint64_t *)arg;

    while (!over)
        for (int i = 0; i < 4096; i++) {
            x = x * UINT64_C(6364136223846793005) +
                UINT64_C(1442695040888963407);
            uint64_t offset = gov__round_down((x >> 20) % FILE_BYTES, 8);

            if (at(offset) != word(offset / 8))
                wrong = true;
        }
    return NULL;
}

struct job {
    pthread_t thread;
    uint32_t slot, part;
    int rc;
};

static void *places(void *arg)
{
    struct job *job = arg;
    uint64_t begin = job->part * GOV__PART_BYTES;

    if (atomic_load(&shown[job->slot]) != 0)
        wrong = true;
    job->rc = place(&slots, job->slot, 0, begin, begin + GOV__PART_BYTES);
    if (job->rc == 0)
        atomic_fetch_add(&shown[job->slot], 1);
    return NULL;
}

/* The streamer's order: the file over it, then the slot is free. */
static void undo(const struct job *job)
{
    uint64_t begin = job->part * GOV__PART_BYTES;

    ck_assert_int_eq(
        gov__anchor_undo(&range, 0, begin, begin + GOV__PART_BYTES), 0);
    atomic_fetch_sub(&shown[job->slot], 1);
    gov__slots_give(&slots, job->slot);
    recycled++;
}

static uint64_t now_ms(void)
{
    return native->now_us(native->ctx) / 1000;
}

START_TEST(readers_see_the_file_at_all_times)
{
    pthread_t readers[READERS];
    uint64_t seeds[READERS];
    struct job jobs[2], kept;
    uint64_t until = now_ms() + 1500;

    memset(&kept, 0, sizeof(kept));
    over = wrong = false;
    if (!has_slots("readers_see_the_file_at_all_times"))
        return;
    for (int i = 0; i < READERS; i++) {
        seeds[i] = (uint64_t)i + 1;
        ck_assert_int_eq(pthread_create(&readers[i], NULL, reads_on, &seeds[i]),
                         0);
    }
    /* Two parts are read while one is still there, around the ring. */
    for (uint32_t n = 0; now_ms() < until && !wrong; n += 2) {
        for (uint32_t i = 0; i < 2; i++) {
            jobs[i].slot = gov__slots_take(&slots);
            ck_assert_uint_ne(jobs[i].slot, GOV__NO_SLOT);
            jobs[i].part = (n + i) % WHOLE;
            ck_assert_int_eq(
                pthread_create(&jobs[i].thread, NULL, places, &jobs[i]), 0);
        }
        for (uint32_t i = 0; i < 2; i++) {
            pthread_join(jobs[i].thread, NULL);
            ck_assert_int_eq(jobs[i].rc, 0);
        }
        if (n > 0)
            undo(&kept);
        undo(&jobs[0]);
        kept = jobs[1];
    }
    over = true;
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    ck_assert(!wrong);
    ck_assert_uint_gt(recycled, 20);
    ck_assert(is_plain(0, FILE_BYTES));
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("slots");
    TCase *tc = tcase_create("slots");

    tcase_add_checked_fixture(tc, make_range, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, places_and_undoes, 0, PARTS);
    tcase_add_test(tc, takes_and_gives);
    tcase_add_test(tc, says_what_does_not_fit);
    tcase_add_test(tc, is_charged_once);
    tcase_add_loop_test(tc, reads_that_fail, 0,
                        (int)(sizeof(reads) / sizeof(reads[0])));
    tcase_add_loop_test(tc, file_is_shorter, 0, 4);
    tcase_add_test(tc, file_is_longer);
    tcase_add_test(tc, has_none);
    tcase_add_loop_test(tc, init_fails_clean, 0, 6);
    tcase_add_loop_test(tc, place_fails_clean, 0, 2);
    tcase_add_test(tc, file_comes_back);
    tcase_add_test(tc, child_has_no_slots);
    tcase_add_test(tc, needs_no_privilege);
    tcase_add_test(tc, readers_see_the_file_at_all_times);
    suite_add_tcase(s, tc);
    return s;
}
