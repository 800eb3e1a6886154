/* SPDX-License-Identifier: MIT */
/* Reads that go on by themselves, as the platform makes them, on the real kernel:
 * what comes, how each ends that cannot be, who ends a sleep, and that nothing is
 * left behind. Then a kernel that has none, or denies them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define MOST 4
#define PIECE ((size_t)64 << 10)
#define FILE_BYTES (MOST * PIECE + 1000)
/* Longer than any of this takes. */
#define LONG_US 20000000

static const struct gov_platform *p;
static struct gov__read_queue queue;
static unsigned char *buffer;
static char path[512];
static int fd = -1;
static bool is_open;

/* ---- the file ------------------------------------------------------------------- */

static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)((offset * UINT64_C(0x9E3779B97F4A7C15)) >> 37);
}

static bool is_file(const unsigned char *bytes, uint64_t offset, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != byte_at(offset + i))
            return false;
    return true;
}

static void set_up(void)
{
    faults_reset();
    p = gov__platform_native();
    snprintf(path, sizeof(path), "%s/file", fresh_directory());
    buffer = aligned_alloc(4096, (MOST + 1) * PIECE);
    ck_assert_ptr_nonnull(buffer);
    for (size_t i = 0; i < FILE_BYTES; i++)
        buffer[i] = byte_at(i);
    fd = open(path, O_RDWR | O_CREAT, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, buffer, FILE_BYTES), (ssize_t)FILE_BYTES);
    ck_assert_int_eq(fsync(fd), 0);
    memset(buffer, 0xee, (MOST + 1) * PIECE);
}

static void tear_down(void)
{
    faults_reset();
    if (is_open)
        ck_assert_int_eq(p->reads_close(p->ctx, &queue), 0);
    is_open = false;
    close(fd);
    free(buffer);
    drop_directory();
}

/* False, with a word, where there are none. */
static bool has_reads(const char *test)
{
    int rc =
        p->reads_open != NULL ? p->reads_open(p->ctx, &queue, MOST) : ENOTSUP;

    if (rc == ENOTSUP)
        skip_test(test, "no reads that go on by themselves here");
    else
        ck_assert_int_eq(rc, 0);
    is_open = rc == 0;
    return is_open;
}

static int start(int from, void *to, size_t bytes, uint64_t offset,
                 uint32_t tag)
{
    const struct gov__read read = {from, to, bytes, offset, tag};

    return p->reads_start(p->ctx, &queue, &read);
}

/* Sleeps until one has ended. */
static int64_t take(uint32_t *tag)
{
    int64_t result;
    int rc;

    while ((rc = p->reads_take(p->ctx, &queue, tag, &result)) == ENODATA)
        ck_assert_int_eq(p->reads_sleep(p->ctx, &queue, 0), 0);
    ck_assert_int_eq(rc, 0);
    return result;
}

static void expect_none(void)
{
    int64_t result;
    uint32_t tag;

    ck_assert_int_eq(p->reads_take(p->ctx, &queue, &tag, &result), ENODATA);
}

/* What that many microseconds are, at least and at most. */
static uint64_t sleep_for(uint64_t timeout_us)
{
    uint64_t began = p->now_us(p->ctx);

    ck_assert_int_eq(p->reads_sleep(p->ctx, &queue, timeout_us), 0);
    return p->now_us(p->ctx) - began;
}

/* ---- reads ---------------------------------------------------------------------- */

/* Several at once, and again: each is told once, with its own tag. */
START_TEST(reads_what_is_there)
{
    if (!has_reads("reads_what_is_there"))
        return;
    if (_i != 0 && p->set_direct(p->ctx, fd, true) != 0) {
        skip_test("reads_what_is_there", "no reads past the page cache here");
        return;
    }
    expect_none();
    for (int round = 0; round < 20; round++) {
        bool seen[MOST] = {false};
        uint32_t tag;

        memset(buffer, 0xee, MOST * PIECE);
        for (uint32_t i = 0; i < MOST; i++)
            ck_assert_int_eq(
                start(fd, buffer + i * PIECE, PIECE, i * PIECE, 70 + i), 0);
        for (int i = 0; i < MOST; i++) {
            ck_assert_int_eq(take(&tag), (int64_t)PIECE);
            ck_assert_uint_ge(tag, 70);
            ck_assert_uint_lt(tag, 70 + MOST);
            ck_assert(!seen[tag - 70]);
            seen[tag - 70] = true;
            ck_assert(is_file(buffer + (tag - 70) * PIECE, (tag - 70) * PIECE,
                              PIECE));
        }
        expect_none();
    }
}
END_TEST

/* One that ends with the file, one behind its end. */
START_TEST(ends_with_the_file)
{
    uint32_t tag;

    if (!has_reads("ends_with_the_file"))
        return;
    ck_assert_int_eq(start(fd, buffer, PIECE, MOST * PIECE, 1), 0);
    ck_assert_int_eq(take(&tag), 1000);
    ck_assert(is_file(buffer, MOST * PIECE, 1000));
    ck_assert_uint_eq(buffer[1000], 0xee);
    ck_assert_int_eq(start(fd, buffer, PIECE, 2 * FILE_BYTES, UINT32_MAX), 0);
    ck_assert_int_eq(take(&tag), 0);
    ck_assert_uint_eq(tag, UINT32_MAX);
}
END_TEST

enum wrong {
    NO_FILE,
    FOR_WRITING,
    NO_MEMORY,
    READ_ONLY,
    ODD_BUFFER,
    ODD_OFFSET,
    FOLDER,
    WRONGS
};

static int64_t read_wrongly(enum wrong wrong)
{
    char *page =
        mmap(NULL, PIECE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int other = wrong == FOLDER ? open("/", O_RDONLY) : open(path, O_WRONLY);
    void *to = buffer;
    int from = fd;
    int64_t result;
    uint32_t tag;

    ck_assert_ptr_ne(page, MAP_FAILED);
    if (wrong == NO_MEMORY)
        munmap(page, PIECE);
    if (wrong == NO_MEMORY || wrong == READ_ONLY)
        to = page;
    if (wrong == FOR_WRITING || wrong == FOLDER)
        from = other;
    if (wrong == ODD_BUFFER)
        to = buffer + 1;
    if (wrong == ODD_BUFFER || wrong == ODD_OFFSET)
        ck_assert_int_eq(p->set_direct(p->ctx, fd, true), 0);
    ck_assert_int_eq(start(wrong == NO_FILE ? 9999 : from, to, 4096,
                           wrong == ODD_OFFSET ? 7 : 0, 5),
                     0);
    result = take(&tag);
    ck_assert_uint_eq(tag, 5);
    close(other);
    if (wrong != NO_MEMORY)
        munmap(page, PIECE);
    return result;
}

/* What cannot be is told as the result, and the next one is none the worse. */
START_TEST(tells_what_cannot_be_read)
{
    static const int want[WRONGS] = {
        [NO_FILE] = EBADF,    [FOR_WRITING] = EBADF, [NO_MEMORY] = EFAULT,
        [READ_ONLY] = EFAULT, [ODD_BUFFER] = EINVAL, [ODD_OFFSET] = EINVAL,
        [FOLDER] = EISDIR,
    };
    bool direct = _i == ODD_BUFFER || _i == ODD_OFFSET;
    uint32_t tag;

    if (!has_reads("tells_what_cannot_be_read"))
        return;
    if (direct && p->set_direct(p->ctx, fd, true) != 0) {
        skip_test("tells_what_cannot_be_read",
                  "no reads past the page cache here");
        return;
    }
    ck_assert_int_eq(read_wrongly((enum wrong)_i), -want[_i]);
    if (direct)
        ck_assert_int_eq(p->set_direct(p->ctx, fd, false), 0);
    ck_assert_int_eq(start(fd, buffer, PIECE, PIECE, 6), 0);
    ck_assert_int_eq(take(&tag), (int64_t)PIECE);
    ck_assert(is_file(buffer, PIECE, PIECE));
    expect_none();
}
END_TEST

/* ---- sleep ---------------------------------------------------------------------- */

START_TEST(sleeps_so_long)
{
    if (!has_reads("sleeps_so_long"))
        return;
    ck_assert_uint_ge(sleep_for(30000), 30000);
    ck_assert_uint_ge(sleep_for(1), 1);
    /* More than fits in a long of 32 bits, in nanoseconds. */
    ck_assert_int_eq(p->reads_wake(p->ctx, &queue), 0);
    ck_assert_uint_lt(sleep_for(UINT64_C(5000000000)), LONG_US);
}
END_TEST

/* A wake that comes before the sleep ends it; many are one; none is left. */
START_TEST(a_wake_is_not_lost)
{
    if (!has_reads("a_wake_is_not_lost"))
        return;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++)
            ck_assert_int_eq(p->reads_wake(p->ctx, &queue), 0);
        ck_assert_uint_lt(sleep_for(LONG_US), LONG_US);
        ck_assert_uint_ge(sleep_for(20000), 20000);
    }
}
END_TEST

/* What was not taken ends each sleep, also one with a wake. */
START_TEST(what_has_ended_is_not_slept_through)
{
    uint32_t tag;

    if (!has_reads("what_has_ended_is_not_slept_through"))
        return;
    ck_assert_int_eq(start(fd, buffer, PIECE, 0, 3), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_lt(sleep_for(LONG_US), LONG_US);
    ck_assert_int_eq(p->reads_wake(p->ctx, &queue), 0);
    ck_assert_uint_lt(sleep_for(LONG_US), LONG_US);
    ck_assert_int_eq(take(&tag), (int64_t)PIECE);
    ck_assert_uint_ge(sleep_for(20000), 20000);
}
END_TEST

static void pause_ms(long ms)
{
    const struct timespec time = {0, ms * 1000000};

    nanosleep(&time, NULL);
}

static void *wake_soon(void *arg)
{
    (void)arg;
    pause_ms(20);
    (void)p->reads_wake(p->ctx, &queue);
    return NULL;
}

START_TEST(others_end_the_sleep)
{
    pthread_t thread;

    if (!has_reads("others_end_the_sleep"))
        return;
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, wake_soon, NULL), 0);
        ck_assert_uint_lt(sleep_for(i % 2 == 0 ? 0 : LONG_US), LONG_US);
        pthread_join(thread, NULL);
    }
}
END_TEST

static atomic_int turns, said;

static void *say_and_wake(void *arg)
{
    for (int i = 1; i <= 20000; i++) {
        atomic_store(&said, i);
        (void)p->reads_wake(p->ctx, &queue);
        while (i % 64 == 0 && atomic_load(&turns) < i)
            ;
    }
    return arg;
}

/* What was said before a wake is seen after the sleep, however the two meet: where
 * one were lost, nobody would go on. */
START_TEST(no_wake_is_lost_among_many)
{
    pthread_t thread;
    int seen = 0;

    if (!has_reads("no_wake_is_lost_among_many"))
        return;
    atomic_store(&said, 0);
    atomic_store(&turns, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, say_and_wake, NULL), 0);
    while (seen < 20000) {
        if (atomic_load(&said) == seen)
            ck_assert_uint_lt(sleep_for(LONG_US), LONG_US);
        seen = atomic_load(&said);
        atomic_store(&turns, seen);
    }
    pthread_join(thread, NULL);
}
END_TEST

static atomic_int signals;

static void note_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
}

struct target {
    pthread_t thread;
    atomic_bool done;
};

static void *send_signals(void *arg)
{
    struct target *target = arg;

    while (!atomic_load(&target->done)) {
        pthread_kill(target->thread, SIGUSR1);
        pause_ms(1);
    }
    return NULL;
}

/* Signals of the host's that restart nothing: a sleep may end early, which is no
 * error, and what is read is right. */
START_TEST(signals_do_no_harm)
{
    struct sigaction action = {.sa_handler = note_signal};
    struct target target = {.thread = pthread_self()};
    pthread_t thread;
    uint32_t tag;

    if (!has_reads("signals_do_no_harm"))
        return;
    atomic_init(&target.done, false);
    sigemptyset(&action.sa_mask);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, send_signals, &target), 0);
    while (atomic_load(&signals) < 20)
        (void)sleep_for(LONG_US);
    for (int round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < MOST; i++)
            ck_assert_int_eq(start(fd, buffer + i * PIECE, PIECE, i * PIECE, i),
                             0);
        for (int i = 0; i < MOST; i++)
            ck_assert_int_eq(take(&tag), (int64_t)PIECE);
    }
    ck_assert(is_file(buffer, 0, MOST * PIECE));
    atomic_store(&target.done, true);
    pthread_join(thread, NULL);
    ck_assert_int_eq(p->reads_wake(p->ctx, &queue), 0);
}
END_TEST

/* ---- opening and closing -------------------------------------------------------- */

static int lines_of_maps(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int c, lines = 0;

    ck_assert_ptr_nonnull(maps);
    while ((c = getc(maps)) != EOF)
        lines += c == '\n';
    fclose(maps);
    return lines;
}

/* A sanitizer maps and unmaps some of its own meanwhile; what is left behind each time
 * is more after many times. */
static void are_mappings(int before)
{
    ck_assert_int_le(lines_of_maps(), before + (is_sanitized() ? 4 : 0));
}

START_TEST(leaves_nothing_behind)
{
    int descriptors, mappings;
    uint32_t tag;

    if (!has_reads("leaves_nothing_behind"))
        return;
    ck_assert_int_eq(p->reads_close(p->ctx, &queue), 0);
    is_open = false;
    ck_assert_int_eq(p->reads_open(p->ctx, &queue, 0), EINVAL);
    (void)lines_of_maps(); /* takes what memory it needs */
    descriptors = faults_open_descriptors();
    mappings = lines_of_maps();
    for (uint32_t i = 1; i <= 60; i++) {
        ck_assert_int_eq(p->reads_open(p->ctx, &queue, i), 0);
        if (i % 2 == 0) {
            ck_assert_int_eq(start(fd, buffer, PIECE, 0, i), 0);
            ck_assert_int_eq(take(&tag), (int64_t)PIECE);
        }
        if (i % 3 == 0)
            ck_assert_int_eq(p->reads_wake(p->ctx, &queue), 0);
        ck_assert_int_eq(p->reads_close(p->ctx, &queue), 0);
    }
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    are_mappings(mappings);
}
END_TEST

/* A program that is started has neither. */
START_TEST(is_closed_at_exec)
{
    bool before[64];
    int opened = 0;

    for (int i = 0; i < 64; i++)
        before[i] = fcntl(i, F_GETFD) >= 0;
    if (!has_reads("is_closed_at_exec"))
        return;
    for (int i = 0; i < 64; i++) {
        int flags = fcntl(i, F_GETFD);

        if (flags < 0 || before[i])
            continue;
        ck_assert_msg((flags & FD_CLOEXEC) != 0, "%d", i);
        opened++;
    }
    ck_assert_int_eq(opened, 2);
}
END_TEST

/* A child of fork() that ends does its parent's no harm. */
START_TEST(a_child_does_no_harm)
{
    uint32_t tag;

    if (!has_reads("a_child_does_no_harm"))
        return;
    for (int round = 0; round < 10; round++) {
        pid_t child;
        int status;

        for (uint32_t i = 0; i < MOST; i++)
            ck_assert_int_eq(start(fd, buffer + i * PIECE, PIECE, i * PIECE, i),
                             0);
        child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0)
            _exit(0);
        for (int i = 0; i < MOST; i++)
            ck_assert_int_eq(take(&tag), (int64_t)PIECE);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(is_file(buffer, 0, MOST * PIECE));
    }
}
END_TEST

static const struct {
    const char *calls;
    int number;
    uint64_t at; /* of those calls */
    int want;
} refusals[] = {
    {"eventfd", EMFILE, 0, EMFILE},  {"syscall", EPERM, 0, ENOTSUP},
    {"syscall", EACCES, 0, ENOTSUP}, {"syscall", ENOSYS, 0, ENOTSUP},
    {"syscall", ENOMEM, 0, ENOMEM},  {"mmap", ENOMEM, 0, ENOMEM},
    {"mmap", ENOMEM, 1, ENOMEM},     {"mmap", EAGAIN, 2, EAGAIN},
};

static void is_refused(int refusal)
{
    faults_only(refusals[refusal].calls);
    faults_set_errno(refusals[refusal].number);
    faults_arm(refusals[refusal].at, false);
    ck_assert_int_eq(p->reads_open(p->ctx, &queue, MOST),
                     refusals[refusal].want);
    faults_reset();
}

START_TEST(says_why_it_cannot_open)
{
    int descriptors, mappings;

    if (!has_reads("says_why_it_cannot_open"))
        return;
    ck_assert_int_eq(p->reads_close(p->ctx, &queue), 0);
    is_open = false;
    (void)lines_of_maps();
    descriptors = faults_open_descriptors();
    mappings = lines_of_maps();
    for (int i = 0; i < 20; i++)
        is_refused(_i);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    are_mappings(mappings);
}
END_TEST

/* A ring from before Linux 5.6, which takes reads and fails each. */
static void make_old(long number, const long given[6], long result)
{
    if (number == SYS_io_uring_setup && result >= 0)
        ((struct io_uring_params *)given[1])->features &=
            ~(unsigned)IORING_FEAT_RW_CUR_POS;
}

START_TEST(an_old_ring_is_none)
{
    int descriptors, mappings;

    if (!has_reads("an_old_ring_is_none"))
        return;
    ck_assert_int_eq(p->reads_close(p->ctx, &queue), 0);
    is_open = false;
    descriptors = faults_open_descriptors();
    (void)lines_of_maps();
    mappings = lines_of_maps();
    faults_watch_syscall(make_old);
    ck_assert_int_eq(p->reads_open(p->ctx, &queue, MOST), ENOTSUP);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    are_mappings(mappings);
}
END_TEST

/* What the kernel does not take was never there; what was before goes on. */
START_TEST(a_start_that_fails_leaves_the_others)
{
    static const int numbers[] = {EAGAIN, ENOMEM, EBUSY, EBADF};
    uint32_t tag;

    if (!has_reads("a_start_that_fails_leaves_the_others"))
        return;
    for (uint32_t round = 0; round < 3 * 4; round++) {
        ck_assert_int_eq(start(fd, buffer, PIECE, 0, 1), 0);
        faults_only("syscall");
        faults_set_errno(numbers[round % 4]);
        faults_arm(0, false);
        ck_assert_int_eq(start(fd, buffer + PIECE, PIECE, PIECE, 2),
                         numbers[round % 4]);
        faults_reset();
        ck_assert_int_eq(start(fd, buffer + 2 * PIECE, PIECE, 0, 3), 0);
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(take(&tag), (int64_t)PIECE);
            ck_assert_uint_ne(tag, 2);
        }
        expect_none();
    }
    ck_assert_uint_eq(buffer[PIECE], 0xee);
    /* Interrupted before it took anything: again. */
    faults_only("syscall");
    faults_set_errno(EINTR);
    faults_arm(0, false);
    ck_assert_int_eq(start(fd, buffer + PIECE, PIECE, PIECE, 2), 0);
    faults_reset();
    ck_assert_int_eq(take(&tag), (int64_t)PIECE);
    ck_assert_uint_eq(tag, 2);
}
END_TEST

START_TEST(a_sleep_that_fails_says_so)
{
    if (!has_reads("a_sleep_that_fails_says_so"))
        return;
    faults_only("ppoll");
    faults_set_errno(ENOMEM);
    faults_arm(0, false);
    ck_assert_int_eq(p->reads_sleep(p->ctx, &queue, LONG_US), ENOMEM);
    faults_set_errno(EINTR);
    faults_arm(0, false);
    ck_assert_int_eq(p->reads_sleep(p->ctx, &queue, LONG_US), 0);
    faults_reset();
    ck_assert_uint_ge(sleep_for(20000), 20000);
}
END_TEST

/* ------------------------------------------------------------------------------------ */

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

Suite *suite(void)
{
    Suite *s = suite_create("reads");
    TCase *tc = tcase_create("reads");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, reads_what_is_there, 0, 2);
    tcase_add_test(tc, ends_with_the_file);
    tcase_add_loop_test(tc, tells_what_cannot_be_read, 0, WRONGS);
    tcase_add_test(tc, sleeps_so_long);
    tcase_add_test(tc, a_wake_is_not_lost);
    tcase_add_test(tc, what_has_ended_is_not_slept_through);
    tcase_add_test(tc, others_end_the_sleep);
    tcase_add_test(tc, no_wake_is_lost_among_many);
    tcase_add_test(tc, signals_do_no_harm);
    tcase_add_test(tc, leaves_nothing_behind);
    tcase_add_test(tc, is_closed_at_exec);
    tcase_add_test(tc, a_child_does_no_harm);
    tcase_add_loop_test(tc, says_why_it_cannot_open, 0, COUNT(refusals));
    tcase_add_test(tc, an_old_ring_is_none);
    tcase_add_test(tc, a_start_that_fails_leaves_the_others);
    tcase_add_test(tc, a_sleep_that_fails_says_so);
    suite_add_tcase(s, tc);
    return s;
}
