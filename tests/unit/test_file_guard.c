/* SPDX-License-Identifier: MIT */
/* Files that change while they are mapped: what counts as a change, a lease that
 * holds a writer off, and the handler of SIGBUS, each time in a child of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "governor/memory/file_guard.h"
#include "governor/weights.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define FILES 2
#define PAGES 4

static struct gov_platform platform;
static struct gov__range_file files[FILES];
static struct gov__range range;
static struct gov__file_stamp stamps[FILES];
static struct gov__file_guard guard;
static char paths[FILES][512];
static size_t page;
static uint32_t file;

static int no_lease(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
    return EACCES;
}

static void set_time(const char *path, time_t seconds)
{
    struct timespec times[2] = {{seconds, 0}, {seconds, 0}};

    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_file(uint32_t i, const char *directory)
{
    struct gov__range_file *f = &files[i];
    char *bytes = malloc(PAGES * page);
    int fd;

    snprintf(paths[i], sizeof(paths[i]), "%s/file%d", directory, (int)i);
    ck_assert_ptr_nonnull(bytes);
    memset(bytes, 'a' + (int)i, PAGES * page);
    fd = open(paths[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_eq((int)write(fd, bytes, PAGES * page), (int)(PAGES * page));
    close(fd);
    free(bytes);
    set_time(paths[i], 1000000000);
    f->fd = open(paths[i], O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(f->fd, 0);
    f->direct_fd = -1;
    f->bytes = f->file_bytes = PAGES * page;
    ck_assert_int_eq(platform.map_file(platform.ctx, f->fd, 0, f->bytes, NULL,
                                       (void **)&f->base),
                     0);
}

static void set_up(void)
{
    const char *directory = fresh_directory();

    faults_reset();
    platform = *gov__platform_native();
    page = platform.page_bytes(platform.ctx);
    memset(files, 0, sizeof(files));
    for (uint32_t i = 0; i < FILES; i++)
        make_file(i, directory);
    range = (struct gov__range){&platform, files, FILES, page};
    guard = (struct gov__file_guard){&range, stamps};
}

static void tear_down(void)
{
    faults_reset();
    for (uint32_t i = 0; i < FILES; i++) {
        munmap(files[i].base, files[i].bytes);
        if (files[i].fd >= 0)
            close(files[i].fd);
    }
    drop_directory();
}

static void start(bool leases)
{
    if (!leases)
        platform.lease_take = no_lease;
    ck_assert_int_eq(gov__file_guard_start(&guard), 0);
    ck_assert(!stamps[0].leased || leases);
    ck_assert_int_eq(gov__file_guard_look(&guard, &file), GOV__FILE_SAME);
}

static bool has_lease(const char *test)
{
    if (stamps[0].leased)
        return true;
    skip_test(test, "no leases on this system or file system");
    return false;
}

/* ---- what counts as a change ------------------------------------------------------ */

static void nothing(const char *path)
{
    (void)path;
}

static void overwrite(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    ck_assert_int_eq((int)pwrite(fd, "x", 1, 10), 1);
    close(fd);
}

static void append(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    ck_assert_int_eq((int)write(fd, "x", 1), 1);
    close(fd);
}

static void cut(const char *path)
{
    ck_assert_int_eq(truncate(path, 10), 0);
}

static void overwrite_secretly(const char *path)
{
    overwrite(path);
    set_time(path, 1000000000);
}

static void change_mode(const char *path)
{
    ck_assert_int_eq(chmod(path, 0644), 0);
}

static void add_link(const char *path)
{
    char other[600];

    snprintf(other, sizeof(other), "%s.link", path);
    ck_assert_int_eq(link(path, other), 0);
}

static void replace(const char *path)
{
    char other[600];

    snprintf(other, sizeof(other), "%s.new", path);
    close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ck_assert_int_eq(rename(other, path), 0);
}

static void cut_secretly(const char *path)
{
    cut(path);
    set_time(path, 1000000000);
    add_link(path);
}

static void overwrite_and_link(const char *path)
{
    overwrite(path);
    add_link(path);
}

static void move(const char *path)
{
    char other[600];

    snprintf(other, sizeof(other), "%s.moved", path);
    ck_assert_int_eq(rename(path, other), 0);
}

static const struct {
    const char *name;
    void (*change)(const char *path);
    bool leased;
    enum gov__file_news news;
} changes[] = {
    {"nothing", nothing, false, GOV__FILE_SAME},
    {"nothing, leased", nothing, true, GOV__FILE_SAME},
    {"overwritten", overwrite, false, GOV__FILE_CHANGED},
    {"appended to", append, false, GOV__FILE_CHANGED},
    {"cut", cut, false, GOV__FILE_CHANGED},
    {"and the time set back", overwrite_secretly, false, GOV__FILE_CHANGED},
    {"cut, set back and linked", cut_secretly, false, GOV__FILE_CHANGED},
    {"overwritten and linked", overwrite_and_link, false, GOV__FILE_CHANGED},
    {"mode", change_mode, false, GOV__FILE_SAME},
    {"link", add_link, false, GOV__FILE_SAME},
    {"replaced", replace, false, GOV__FILE_SAME},
    {"moved", move, false, GOV__FILE_CHANGED},
    {"moved, leased", move, true, GOV__FILE_SAME},
    {"replaced, leased", replace, true, GOV__FILE_SAME},
};

START_TEST(what_changes_a_files_bytes_is_told)
{
    const struct timespec tick = {0, 20000000};

    start(changes[_i].leased);
    if (changes[_i].leased && !has_lease("changes"))
        return;
    /* Before Linux 6.13 times of change are those of the last tick. */
    nanosleep(&tick, NULL);
    changes[_i].change(paths[1]);
    file = 77;
    for (int again = 0; again < 2; again++)
        ck_assert_msg(gov__file_guard_look(&guard, &file) == changes[_i].news,
                      "%s", changes[_i].name);
    ck_assert_uint_eq(file, changes[_i].news == GOV__FILE_SAME ? 77 : 1);
    gov__file_guard_stop(&guard);
}
END_TEST

START_TEST(a_file_that_cannot_be_asked_passes_for_changed)
{
    start(false);
    faults_only("fstat");
    faults_arm(1, false);
    ck_assert_int_eq(gov__file_guard_look(&guard, &file), GOV__FILE_CHANGED);
    ck_assert_uint_eq(file, 1);
    gov__file_guard_stop(&guard);
}
END_TEST

START_TEST(a_start_that_fails_leaves_nothing)
{
    faults_only("fstat");
    faults_arm(1, false);
    ck_assert_int_eq(gov__file_guard_start(&guard), EIO);
    for (uint32_t i = 0; i < FILES; i++) {
        ck_assert(!stamps[i].leased && stamps[i].slot == 0);
#ifdef F_GETLEASE
        ck_assert_int_eq(fcntl(files[i].fd, F_GETLEASE), F_UNLCK);
#endif
    }
}
END_TEST

/* ---- leases ------------------------------------------------------------------------ */

/* A process that wants to write; its exit status is 0 when it could. */
static pid_t start_writer(const char *path, int flags)
{
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int fd = open(path, O_WRONLY | flags);

        _exit(fd < 0 ? errno : pwrite(fd, "x", 1, 10) == 1 ? 0 : 1);
    }
    return child;
}

static int status_of(pid_t child)
{
    int status = 0;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(a_writer_waits_until_the_lease_is_given_up)
{
    const struct timespec moment = {0, 1000000};
    pid_t writer;
    int status;

    start(true);
    if (!has_lease("lease"))
        return;
    /* One that will not wait is sent away, and the lease is wanted all the same. */
    writer = start_writer(paths[1], O_NONBLOCK);
    ck_assert_int_eq(WEXITSTATUS(status_of(writer)), EWOULDBLOCK);
    ck_assert_int_eq(gov__file_guard_look(&guard, &file), GOV__FILE_WANTED);
    ck_assert_uint_eq(file, 1);
    gov__file_guard_yield(&guard, 1);
    gov__file_guard_yield(&guard, 1);
    ck_assert_int_eq(gov__file_guard_look(&guard, &file), GOV__FILE_SAME);

    writer = start_writer(paths[0], 0);
    while (gov__file_guard_look(&guard, &file) == GOV__FILE_SAME)
        nanosleep(&moment, NULL);
    ck_assert_uint_eq(file, 0);
    ck_assert_int_eq(waitpid(writer, &status, WNOHANG), 0);
    ck_assert_int_eq(gov__file_guard_look(&guard, &file), GOV__FILE_WANTED);
    ck_assert_int_eq(files[0].base[10], 'a');
    gov__file_guard_yield(&guard, 0);
    ck_assert_int_eq(status_of(writer), 0);
    ck_assert_int_eq(gov__file_guard_look(&guard, &file), GOV__FILE_CHANGED);
    gov__file_guard_stop(&guard);
}
END_TEST

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* SIGIO, which is what a lease sends when nobody says otherwise, ends a process. */
START_TEST(a_lease_that_is_wanted_sends_no_signal)
{
    start(true);
    if (!has_lease("signal"))
        return;
    signal(SIGIO, count_signal);
    signal(SIGURG, count_signal);
    ck_assert_int_eq(WEXITSTATUS(status_of(start_writer(paths[0], O_NONBLOCK))),
                     EWOULDBLOCK);
    ck_assert_int_eq(gov__file_guard_look(&guard, &file), GOV__FILE_WANTED);
    ck_assert_int_eq(signals, 0);
    gov__file_guard_stop(&guard);
    ck_assert_int_eq(status_of(start_writer(paths[0], O_NONBLOCK)), 0);
}
END_TEST

START_TEST(a_lease_that_cannot_be_had_is_no_failure)
{
    int writer;

    start(true);
    if (!has_lease("denied"))
        return;
    gov__file_guard_stop(&guard);
    for (uint64_t n = 0; n < 2; n++) { /* the signal, the lease */
        faults_only("fcntl");
        faults_set_errno(EACCES);
        faults_arm(n, false);
        ck_assert_int_eq(platform.lease_take(platform.ctx, files[0].fd),
                         EACCES);
    }
    faults_arm(2,
               false); /* to whom the signal goes: it is one that is ignored */
    ck_assert_int_eq(platform.lease_take(platform.ctx, files[0].fd), 0);
    faults_reset();
    ck_assert_int_eq(platform.lease_drop(platform.ctx, files[0].fd), 0);
    writer = open(paths[0], O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(platform.lease_take(platform.ctx, files[0].fd), EAGAIN);
    start(true);
    ck_assert(!stamps[0].leased && stamps[1].leased);
    close(writer);
    /* Not told: then it is as good as wanted. */
    faults_only("fcntl");
    faults_arm(0, false);
    ck_assert_int_eq(gov__file_guard_look(&guard, &file), GOV__FILE_WANTED);
    ck_assert_uint_eq(file, 1);
    faults_arm(0, true);
    gov__file_guard_stop(&guard);
    faults_set_errno(EBADF);
    faults_arm(0, false);
    ck_assert_int_eq(platform.lease_drop(platform.ctx, files[1].fd), EBADF);
    faults_reset();
    ck_assert_int_eq(platform.lease_drop(platform.ctx, files[1].fd), 0);
    ck_assert_int_eq(platform.lease_drop(platform.ctx, files[1].fd), 0);
}
END_TEST

/* ---- SIGBUS ------------------------------------------------------------------------- */

/* What a child makes of it: its exit status, or the signal that ended it. */
#define ENDED_BY(number) (1000 + (number))

static int run_child(int (*run)(void))
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        signal(SIGBUS, SIG_DFL); /* a sanitizer has a handler of its own */
        _exit(run());
    }
    status = status_of(child);
    return WIFSIGNALED(status) ? ENDED_BY(WTERMSIG(status))
                               : WEXITSTATUS(status);
}

static int byte_at(uint32_t i, size_t offset)
{
    return ((volatile char *)files[i].base)[offset];
}

static int cut_unguarded(void)
{
    if (gov__file_guard_start(&guard) != 0 || truncate(paths[0], 1) != 0)
        return 1;
    return byte_at(0, page);
}

static int cut_guarded(void)
{
    gov_error err;

    /* Of a file that cannot be asked only the handler can tell. */
    close(files[0].fd);
    files[0].fd = -1;
    if (gov_sigbus_guard(&err) != GOV_OK || gov_sigbus_guard(NULL) != GOV_OK ||
        gov__file_guard_start(&guard) != 0 || truncate(paths[0], 1) != 0)
        return 1;
    errno = 0;
    if (gov__file_guard_look(&guard, &file) != GOV__FILE_SAME)
        return 2;
    if (byte_at(0, page + 17) != 0 || byte_at(0, 3 * page) != 0 || errno != 0)
        return 3;
    for (size_t i = page; i < PAGES * page; i++)
        if (byte_at(0, i) != 0)
            return 4;
    if (byte_at(0, 0) != 'a' || byte_at(1, 0) != 'b')
        return 5;
    if (gov__file_guard_look(&guard, &file) != GOV__FILE_CHANGED || file != 0)
        return 6;
    gov__file_guard_stop(&guard);
    /* Another guard of the same slot starts clean. */
    if (gov__file_guard_start(&guard) != 0 ||
        gov__file_guard_look(&guard, &file) != GOV__FILE_SAME)
        return 7;
    return 0;
}

static void *read_all(void *arg)
{
    int *sum = arg;

    for (size_t i = page; i < PAGES * page; i++)
        *sum += byte_at(0, i);
    return NULL;
}

static int cut_under_threads(void)
{
    pthread_t threads[4];
    int sums[4] = {0};

    if (gov_sigbus_guard(NULL) != GOV_OK ||
        gov__file_guard_start(&guard) != 0 || truncate(paths[0], 1) != 0)
        return 1;
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, read_all, &sums[i]) != 0)
            return 2;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return sums[0] + sums[1] + sums[2] + sums[3];
}

static int cut_outside(void)
{
    /* A second call must not make the handler its own predecessor. */
    if (gov_sigbus_guard(NULL) != GOV_OK || gov_sigbus_guard(NULL) != GOV_OK)
        return 1;
    range.file_count = 1;
    if (gov__file_guard_start(&guard) != 0 || truncate(paths[1], 1) != 0)
        return 2;
    return byte_at(1, page);
}

static int cut_after_the_stop(void)
{
    if (gov_sigbus_guard(NULL) != GOV_OK || gov__file_guard_start(&guard) != 0)
        return 1;
    gov__file_guard_stop(&guard);
    if (truncate(paths[0], 1) != 0)
        return 2;
    return byte_at(0, page);
}

static int raised(void)
{
    if (gov_sigbus_guard(NULL) != GOV_OK || gov__file_guard_start(&guard) != 0)
        return 1;
    raise(SIGBUS);
    return 3;
}

static int raised_and_ignored(void)
{
    signal(SIGBUS, SIG_IGN);
    return raised() == 3 ? 0 : 1;
}

static int cut_and_ignored(void)
{
    signal(SIGBUS, SIG_IGN);
    return cut_outside();
}

static void leave(int number)
{
    _exit(number == SIGBUS ? 40 : 1);
}

static void leave_with_info(int number, siginfo_t *info, void *context)
{
    sigset_t blocked;

    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    _exit(number == SIGBUS && context != NULL && info->si_code == BUS_ADRERR &&
                  info->si_addr == files[1].base + page &&
                  sigismember(&blocked, SIGUSR1) == 1
              ? 41
              : 1);
}

static void come_back(int number)
{
    (void)number;
    signals++;
}

static int plain_handler_before(void)
{
    signal(SIGBUS, leave);
    return cut_outside();
}

static int handler_before(void)
{
    struct sigaction action = {.sa_sigaction = leave_with_info,
                               .sa_flags = SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaction(SIGBUS, &action, NULL);
    return cut_outside();
}

static int handler_for_once(void)
{
    struct sigaction action = {.sa_handler = come_back,
                               .sa_flags = (int)SA_RESETHAND};

    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
    if (raised() != 3 || signals != 1)
        return 4;
    raise(SIGBUS);
    return 5;
}

static int not_installed(void)
{
    gov_error err;

    for (uint64_t n = 0; n < 2; n++) {
        faults_only("sigaction");
        faults_set_errno(EINVAL);
        faults_arm(n, false);
        if (gov_sigbus_guard(&err) != GOV_E_UNSUPPORTED)
            return 1;
    }
    faults_reset();
    if (strstr(err.message, "no handler of SIGBUS can be installed") == NULL)
        return 2;
    return cut_guarded();
}

static int cover_fails(void)
{
    if (gov_sigbus_guard(NULL) != GOV_OK ||
        gov__file_guard_start(&guard) != 0 || truncate(paths[0], 1) != 0)
        return 1;
    faults_only("mmap");
    faults_arm(0, true);
    return byte_at(0, page);
}

static const struct {
    const char *name;
    int (*run)(void);
    int want;
} buses[] = {
    {"unguarded", cut_unguarded, ENDED_BY(SIGBUS)},
    {"guarded", cut_guarded, 0},
    {"threads", cut_under_threads, 0},
    {"outside", cut_outside, ENDED_BY(SIGBUS)},
    {"after the stop", cut_after_the_stop, ENDED_BY(SIGBUS)},
    {"raised", raised, ENDED_BY(SIGBUS)},
    {"raised and ignored", raised_and_ignored, 0},
    {"cut and ignored", cut_and_ignored, ENDED_BY(SIGBUS)},
    {"a plain handler", plain_handler_before, 40},
    {"a handler", handler_before, 41},
    {"a handler for once", handler_for_once, ENDED_BY(SIGBUS)},
    {"not installed", not_installed, 0},
    {"no page of zeros", cover_fails, ENDED_BY(SIGBUS)},
};

START_TEST(a_read_behind_the_end_is_as_the_guard_says)
{
    int got;

    platform.lease_take = no_lease;
    got = run_child(buses[_i].run);
    ck_assert_msg(got == buses[_i].want, "%s: %d, not %d", buses[_i].name, got,
                  buses[_i].want);
}
END_TEST

START_TEST(more_files_than_the_list_holds_are_no_failure)
{
    static struct gov__range_file many[GOV__RANGE_FILES_MAX + 1];
    static struct gov__file_stamp many_stamps[GOV__RANGE_FILES_MAX + 1];
    struct gov__range wide = {&platform, many, GOV__RANGE_FILES_MAX + 1, page};
    struct gov__file_guard wide_guard = {&wide, many_stamps};

    for (uint32_t i = 0; i <= GOV__RANGE_FILES_MAX; i++)
        many[i] = (struct gov__range_file){
            .fd = -1, .base = files[0].base, .bytes = page};
    many[3].base = NULL; /* not mapped: needs no place */
    ck_assert_int_eq(gov__file_guard_start(&wide_guard), 0);
    ck_assert_uint_eq(many_stamps[3].slot, 0);
    ck_assert_uint_eq(many_stamps[GOV__RANGE_FILES_MAX].slot,
                      GOV__RANGE_FILES_MAX);
    start(false);
    ck_assert_uint_eq(stamps[0].slot, 0);
    gov__file_guard_stop(&guard);
    gov__file_guard_stop(&wide_guard);
    start(false);
    ck_assert_uint_eq(stamps[0].slot, 1);
    gov__file_guard_stop(&guard);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

Suite *suite(void)
{
    Suite *all = suite_create("file_guard");
    TCase *looks = tcase_create("looks"), *leases = tcase_create("leases");
    TCase *bus = tcase_create("sigbus");

    tcase_add_checked_fixture(looks, set_up, tear_down);
    tcase_add_loop_test(looks, what_changes_a_files_bytes_is_told, 0,
                        ROWS(changes));
    tcase_add_test(looks, a_file_that_cannot_be_asked_passes_for_changed);
    tcase_add_test(looks, a_start_that_fails_leaves_nothing);
    tcase_add_test(looks, more_files_than_the_list_holds_are_no_failure);
    suite_add_tcase(all, looks);

    tcase_add_checked_fixture(leases, set_up, tear_down);
    tcase_set_timeout(leases, 60);
    tcase_add_test(leases, a_writer_waits_until_the_lease_is_given_up);
    tcase_add_test(leases, a_lease_that_is_wanted_sends_no_signal);
    tcase_add_test(leases, a_lease_that_cannot_be_had_is_no_failure);
    suite_add_tcase(all, leases);

    tcase_add_checked_fixture(bus, set_up, tear_down);
    tcase_add_loop_test(bus, a_read_behind_the_end_is_as_the_guard_says, 0,
                        ROWS(buses));
    suite_add_tcase(all, bus);
    return all;
}
