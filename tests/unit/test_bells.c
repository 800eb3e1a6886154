/* SPDX-License-Identifier: MIT */
/* The platform's doorbells: a page that is missing holds up who touches it, tells
 * where that was, and shows nothing but the bytes it is answered with. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define PAGES 8

static const struct gov_platform *p;
static size_t page;
static int fd = -1, bell = -1;
static unsigned char *base, *bytes;
static bool allowed;

static void set_up(void)
{
    char path[512];

    p = gov__platform_native();
    page = p->page_bytes(p->ctx);
    faults_reset();
    bytes = malloc(PAGES * page);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < PAGES * page; i++)
        bytes[i] = (unsigned char)(1 + i % 251);
    snprintf(path, sizeof(path), "%s/file", fresh_directory());
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, bytes, PAGES * page), (int)(PAGES * page));
    ck_assert_int_eq(
        p->map_file(p->ctx, fd, 0, PAGES * page, NULL, (void **)&base), 0);
    allowed = p->bell_open(p->ctx, &bell) == 0;
}

static void tear_down(void)
{
    faults_reset();
    if (allowed)
        ck_assert_int_eq(p->bell_close(p->ctx, bell), 0);
    munmap(base, PAGES * page);
    free(bytes);
    close(fd);
    drop_directory();
}

static bool skipped(const char *test)
{
    if (!allowed)
        skip_test(test, "userfaultfd is forbidden here, or not there");
    return !allowed;
}

struct touch {
    pthread_t thread;
    const unsigned char *at;
    size_t count;
    atomic_bool done;
    bool right;
};

static void *touch(void *arg)
{
    struct touch *touch = arg;

    touch->right =
        memcmp(touch->at, bytes + (touch->at - base), touch->count) == 0;
    touch->done = true;
    return NULL;
}

static void start_touch(struct touch *out, size_t offset, size_t count)
{
    out->at = base + offset;
    out->count = count;
    out->done = false;
    ck_assert_int_eq(pthread_create(&out->thread, NULL, touch, out), 0);
}

static void end_touch(struct touch *out)
{
    pthread_join(out->thread, NULL);
    ck_assert(out->right);
}

/* The next ring, which must come. */
static size_t wait_for_ring(void)
{
    void *address = NULL;
    int rc;

    do {
        rc = p->bell_wait(p->ctx, bell, 10000, &address);
    } while (rc == EINTR);
    ck_assert_int_eq(rc, 0);
    return (size_t)((unsigned char *)address - base);
}

static bool is_quiet(void)
{
    void *address;

    return p->bell_wait(p->ctx, bell, 0, &address) == ETIMEDOUT;
}

START_TEST(who_touches_a_missing_page_waits_and_finds_the_answer)
{
    struct touch first, second;
    size_t at = 2 * page;

    if (skipped("touch"))
        return;
    ck_assert_int_eq(p->bell_lay(p->ctx, bell, base + at, page), 0);
    ck_assert(is_quiet());
    ck_assert_int_eq(memcmp(base, bytes, at), 0);
    ck_assert_int_eq(
        memcmp(base + 3 * page, bytes + 3 * page, (PAGES - 3) * page), 0);
    for (int turn = 0; turn < 50; turn++) {
        start_touch(&first, at + 100, page - 100);
        start_touch(&second, at + page - 1, 1);
        ck_assert_uint_eq(wait_for_ring(), at);
        ck_assert(!first.done && !second.done);
        ck_assert_int_eq(
            p->bell_answer(p->ctx, bell, base + at, bytes + at, page), 0);
        end_touch(&first);
        end_touch(&second);
        while (!is_quiet()) /* the second one's */
            ;
        ck_assert_int_eq(memcmp(base + at, bytes + at, page), 0);
        ck_assert_int_eq(p->bell_arm(p->ctx, bell, base + at, page), 0);
    }
}
END_TEST

START_TEST(an_answer_to_what_is_there_changes_nothing)
{
    size_t at = 5 * page;

    if (skipped("answer"))
        return;
    ck_assert_int_eq(p->bell_lay(p->ctx, bell, base + at, 3 * page), 0);
    /* The one in the middle, then all three: one is there, two are not. */
    ck_assert_int_eq(
        p->bell_answer(p->ctx, bell, base + at + page, bytes + at + page, page),
        0);
    ck_assert_int_eq(
        p->bell_answer(p->ctx, bell, base + at, bytes + at, 3 * page), 0);
    ck_assert_int_eq(p->bell_answer(p->ctx, bell, base + at, bytes, page), 0);
    ck_assert(is_quiet());
    ck_assert_int_eq(memcmp(base, bytes, PAGES * page), 0);
}
END_TEST

static atomic_bool stop_reading;
static atomic_uint wrong;

/* That pages are exchanged while they are read is what is tested here. */
__attribute__((no_sanitize_thread)) static void *read_on(void *arg)
{
    const volatile unsigned char *at = base;

    (void)arg;
    while (!stop_reading)
        for (size_t i = 0; i < PAGES * page; i++)
            if (at[i] != bytes[i])
                wrong++;
    return NULL;
}

/* The trap of a page that is there before its bytes: laid, rung, armed and taken
 * away again while somebody reads all the time. */
START_TEST(a_reader_never_sees_anything_but_the_bytes)
{
    pthread_t reader;
    void *address, *out;

    if (skipped("reader"))
        return;
    ck_assert_int_eq(pthread_create(&reader, NULL, read_on, NULL), 0);
    for (int turn = 0; turn < 300; turn++) {
        unsigned char *at = base + (size_t)(turn % PAGES) * page;

        ck_assert_int_eq(p->bell_lay(p->ctx, bell, at, page), 0);
        for (int ring = 0; ring < 3; ring++) {
            while (p->bell_wait(p->ctx, bell, 1, &address) != 0)
                ;
            ck_assert_int_eq(
                p->bell_answer(p->ctx, bell, at, bytes + (at - base), page), 0);
            if (ring < 2)
                ck_assert_int_eq(p->bell_arm(p->ctx, bell, at, page), 0);
        }
        ck_assert_int_eq(
            p->map_file(p->ctx, fd, (uint64_t)(at - base), page, at, &out), 0);
    }
    stop_reading = true;
    pthread_join(reader, NULL);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(closing_lets_everybody_go_on)
{
    struct touch waiting;

    if (skipped("close"))
        return;
    ck_assert_int_eq(p->bell_lay(p->ctx, bell, base, page), 0);
    start_touch(&waiting, 0, page);
    ck_assert_uint_eq(wait_for_ring(), 0);
    ck_assert_int_eq(p->bell_close(p->ctx, bell), 0);
    allowed = false;
    pthread_join(waiting.thread, NULL);
    ck_assert(!waiting.right); /* zeros, as the contract says */
}
END_TEST

START_TEST(a_system_call_and_a_child_get_no_zeros)
{
    int pipes[2], status = 0;
    pid_t child;

    if (skipped("child"))
        return;
    ck_assert_int_eq(p->bell_lay(p->ctx, bell, base, page), 0);
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq((int)write(pipes[1], base, 8), -1);
    ck_assert_int_eq(errno, EFAULT);
    close(pipes[0]);
    close(pipes[1]);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(((volatile unsigned char *)base)[0] == 0 ? 1 : 2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}
END_TEST

START_TEST(what_cannot_be_laid_stays_as_it_is)
{
    static const char *const calls[] = {"mmap", "mremap", "madvise", "ioctl",
                                        "mprotect"};
    void *address;

    if (skipped("lay"))
        return;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (uint64_t n = 0;; n++) {
            int rc;

            faults_only(calls[i]);
            faults_set_errno(EIO);
            faults_arm(n, true);
            rc = p->bell_lay(p->ctx, bell, base + page, page);
            if (faults_count() <= n) {
                faults_reset();
                ck_assert_int_eq(rc, 0);
                break;
            }
            faults_reset();
            ck_assert_msg(rc == EIO, "%s %d: %d", calls[i], (int)n, rc);
            ck_assert_int_eq(memcmp(base, bytes, PAGES * page), 0);
        }
        ck_assert_int_eq(
            p->map_file(p->ctx, fd, page, page, base + page, &address), 0);
    }
}
END_TEST

START_TEST(what_lies_behind_the_files_end_cannot_be_laid)
{
    if (skipped("end"))
        return;
    ck_assert_int_eq(ftruncate(fd, (off_t)(4 * page)), 0);
    ck_assert_int_eq(p->bell_lay(p->ctx, bell, base + 4 * page, page), EFAULT);
    ck_assert_int_eq(p->bell_lay(p->ctx, bell, base + 3 * page, page), 0);
}
END_TEST

START_TEST(calls_that_fail_are_told)
{
    void *address;
    int other, before = faults_open_descriptors();

    if (skipped("faults"))
        return;
    faults_set_errno(EPERM);
    faults_only("syscall");
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_open(p->ctx, &other), EPERM);
    faults_set_errno(ENOSYS);
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_open(p->ctx, &other), EPERM);
    faults_set_errno(EMFILE);
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_open(p->ctx, &other), EMFILE);
    faults_only("ioctl");
    faults_set_errno(EINVAL);
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_open(p->ctx, &other), EINVAL);
    ck_assert_int_eq(faults_open_descriptors(), before);

    faults_reset();
    ck_assert_int_eq(p->bell_lay(p->ctx, bell, base, page), 0);
    faults_only("ioctl");
    faults_set_errno(ENOMEM);
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_answer(p->ctx, bell, base, bytes, page), ENOMEM);
    faults_set_errno(EAGAIN); /* once, then it works */
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_answer(p->ctx, bell, base, bytes, page), 0);
    faults_set_errno(ENOENT);
    faults_arm(1, false); /* the waking */
    ck_assert_int_eq(p->bell_answer(p->ctx, bell, base, bytes, page), ENOENT);
    faults_only("madvise");
    faults_set_errno(EINVAL);
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_arm(p->ctx, bell, base, page), EINVAL);
    faults_only("poll");
    faults_set_errno(EINTR);
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_wait(p->ctx, bell, 0, &address), EINTR);
}
END_TEST

START_TEST(a_ring_that_cannot_be_read_is_told)
{
    struct touch waiting;
    void *address;

    if (skipped("read"))
        return;
    ck_assert_int_eq(p->bell_lay(p->ctx, bell, base, page), 0);
    start_touch(&waiting, 0, page);
    faults_only("read");
    faults_set_errno(EAGAIN);
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_wait(p->ctx, bell, 10000, &address), EINTR);
    faults_set_errno(EIO);
    faults_arm(0, false);
    ck_assert_int_eq(p->bell_wait(p->ctx, bell, 10000, &address), EIO);
    faults_reset();
    ck_assert_uint_eq(wait_for_ring(), 0);
    ck_assert_int_eq(p->bell_answer(p->ctx, bell, base, bytes, page), 0);
    end_touch(&waiting);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("bells");
    TCase *tc = tcase_create("platform");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, who_touches_a_missing_page_waits_and_finds_the_answer);
    tcase_add_test(tc, an_answer_to_what_is_there_changes_nothing);
    tcase_add_test(tc, a_reader_never_sees_anything_but_the_bytes);
    tcase_add_test(tc, closing_lets_everybody_go_on);
    tcase_add_test(tc, a_system_call_and_a_child_get_no_zeros);
    tcase_add_test(tc, what_cannot_be_laid_stays_as_it_is);
    tcase_add_test(tc, what_lies_behind_the_files_end_cannot_be_laid);
    tcase_add_test(tc, calls_that_fail_are_told);
    tcase_add_test(tc, a_ring_that_cannot_be_read_is_told);
    suite_add_tcase(all, tc);
    return all;
}
