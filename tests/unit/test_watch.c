/* SPDX-License-Identifier: MIT */
/* What wakes on Linux, over small copies of /proc and /sys with FIFOs and files
 * that stand in for the kernel's, and over the kernel that runs the tests. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/tree.h"

/* Elsewhere than on Linux it does not exist; then there is nothing to test. */
#pragma weak gov__platform_linux_at

#define MIB (UINT64_C(1) << 20)
#define PSI(total)                                                             \
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=" #total                     \
    "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

enum { SYSTEMD, STALL, EVENTS, RECLAIM, USAGE };

static struct gov_platform platform;
static const char *root;
static struct gov__watch watch;
static struct gov__watch_for want;
static struct pollfd polled[GOV__WATCH_FDS];
static size_t count;
static struct gov__source sources[GOV__SOURCES];
static int open_before;

static void set_up(void)
{
    unsetenv("MEMORY_PRESSURE_WATCH");
    unsetenv("MEMORY_PRESSURE_WRITE");
    faults_reset();
    want = (struct gov__watch_for){.now_us = 1000000000};
    open_before = faults_open_descriptors();
}

static void tear_down(void)
{
    faults_reset();
    ck_assert_int_eq(faults_open_descriptors(), open_before);
}

static void start(void)
{
    memset(&watch, 0xAA, sizeof(watch));
    ck_assert_int_eq(platform.watch_open(platform.ctx, &watch), 0);
}

static void over(const char *tree)
{
    root = tree_platform(&platform, tree);
    open_before = faults_open_descriptors();
    start();
}

static void polls(void)
{
    count = platform.watch_polls(platform.ctx, &watch, &want, polled);
    ck_assert_uint_le(count, GOV__WATCH_FDS);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_ge(polled[i].fd, 0);
        ck_assert_int_eq(polled[i].revents, 0);
    }
}

static bool heard(void)
{
    return platform.watch_heard(platform.ctx, &watch, polled, count,
                                want.now_us);
}

static void done(void)
{
    platform.watch_close(platform.ctx, &watch);
}

static const struct gov__source *source(size_t which)
{
    size_t n =
        platform.watch_sources(platform.ctx, &watch, sources, GOV__SOURCES);

    ck_assert_uint_gt(n, which);
    for (size_t i = 0; i < n; i++) {
        ck_assert_ptr_nonnull(sources[i].name);
        ck_assert(memchr(sources[i].why, '\0', sizeof(sources[i].why)) != NULL);
        ck_assert_int_ge(sources[i].state, GOV__SOURCE_LIVE);
    }
    return &sources[which];
}

static void is(size_t which, enum gov__source_state state, const char *why)
{
    const struct gov__source *s = source(which);

    ck_assert_msg(s->state == state && strcmp(s->why, why) == 0,
                  "%s: state %d, \"%s\"", s->name, (int)s->state, s->why);
}

/* The descriptor that waits for what is urgent; there is one in these trees. */
static struct pollfd *urgent(void)
{
    for (size_t i = 0; i < count; i++)
        if ((polled[i].events & POLLPRI) != 0)
            return &polled[i];
    ck_abort_msg("nothing waits for POLLPRI");
    return NULL;
}

/* The time-out that unmutes is a source's, too, but of no tree. */
static size_t listened(void)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += (polled[i].events & POLLPRI) != 0;
    return n;
}

/* ---- the PSI trigger -------------------------------------------------------- */

#define SYSTEM_PSI "proc/pressure/memory"

/* Trees without a v2 group have the system's alone. */
static void with_psi(void)
{
    root = tree_platform(&platform, NULL);
    tree_plant_text(root, SYSTEM_PSI, PSI(1000000));
    open_before = faults_open_descriptors();
    start();
    is(STALL, GOV__SOURCE_SPARE, "not armed yet");
    polls();
    is(STALL, GOV__SOURCE_LIVE, "some 150000 2000000");
    ck_assert_uint_eq(listened(), 1);
}

START_TEST(a_trigger_is_written_with_its_nul)
{
    char path[512], text[64];
    FILE *file;

    with_psi();
    snprintf(path, sizeof(path), "%s/" SYSTEM_PSI, root);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(text, 1, 20, file), 20);
    fclose(file);
    ck_assert_mem_eq(text, "some 150000 2000000", 20);
    done();
}
END_TEST

static const struct {
    const char *text;
    bool urgent, look;
    uint64_t events, false_events;
} totals[] = {
    {PSI(1000000), true, false, 0, 1}, /* right after it was armed */
    {PSI(1149999), true, false, 0, 1},
    {PSI(1150000), true, true, 1, 0},
    {PSI(9150000), true, true, 1, 0},
    {PSI(1149999), false, false, 0, 0},
    /* An epoll took the event away. */
    {PSI(1150000), false, true, 1, 0},
    {PSI(999999), true, false, 0, 1}, /* backwards */
    {PSI(0), false, false, 0, 0},
};

START_TEST(a_trigger_is_believed_when_the_total_has_grown)
{
    with_psi();
    tree_plant_text(root, SYSTEM_PSI, totals[_i].text);
    want.now_us += 500000;
    if (totals[_i].urgent)
        urgent()->revents = POLLPRI;
    ck_assert_int_eq(heard(), totals[_i].look);
    ck_assert_uint_eq(source(STALL)->events, totals[_i].events);
    ck_assert_uint_eq(source(STALL)->false_events, totals[_i].false_events);
    done();
}
END_TEST

/* What grew before the window is none of an event's. */
START_TEST(a_slow_growth_is_no_event)
{
    with_psi();
    for (int i = 1; i <= 10; i++) {
        char text[200];

        snprintf(text, sizeof(text), "some avg10=0.00 total=%d\n",
                 1000000 + i * 70000);
        tree_plant_text(root, SYSTEM_PSI, text);
        want.now_us += 2000000;
        polls();
        ck_assert(!heard());
    }
    ck_assert_uint_eq(source(STALL)->events, 0);
    done();
}
END_TEST

START_TEST(a_trigger_that_is_gone_is_looked_for_once_a_second)
{
    char path[512];

    with_psi();
    urgent()->revents = _i == 0 ? POLLPRI | POLLERR : POLLNVAL;
    ck_assert(heard()); /* look once: something has changed */
    is(STALL, GOV__SOURCE_BROKEN, "it is gone: No such device");
    snprintf(path, sizeof(path), "%s/" SYSTEM_PSI, root);
    faults_only("open");
    faults_arm(FAULTS_NEVER, false);
    for (int i = 0; i < 9; i++) {
        want.now_us += 100000;
        polls();
        ck_assert_uint_eq(listened(), 0);
        ck_assert(!heard());
    }
    /* Nothing but a look at the group, once: the second is not over. */
    ck_assert_uint_le(faults_count(), 8);
    faults_reset();
    tree_plant_text(root, SYSTEM_PSI, PSI(5));
    want.now_us += 200000;
    polls();
    is(STALL, GOV__SOURCE_LIVE, "some 150000 2000000");
    done();
}
END_TEST

START_TEST(while_alert_nothing_is_waited_for)
{
    with_psi();
    want.alert = true;
    polls();
    ck_assert_uint_eq(count, 0);
    is(STALL, GOV__SOURCE_SPARE, "looked for ten times a second meanwhile");
    /* What grew meanwhile was seen. */
    tree_plant_text(root, SYSTEM_PSI, PSI(9000000));
    ck_assert(!heard());
    want.alert = false;
    want.now_us += 1000000;
    polls();
    ck_assert_uint_eq(listened(), 1);
    urgent()->revents = POLLPRI;
    ck_assert(!heard());
    ck_assert_uint_eq(source(STALL)->events, 0);
    done();
}
END_TEST

/* What the kernel answers, and what is said of it. */
static const struct {
    int error;
    const char *call;
    enum gov__source_state state;
    const char *why;
} refusals[] = {
    {EBUSY, "write", GOV__SOURCE_BROKEN, "arming: Device or resource busy"},
    {EINVAL, "write", GOV__SOURCE_BROKEN, "arming: Invalid argument"},
    {EOPNOTSUPP, "write", GOV__SOURCE_BROKEN,
     "arming: Operation not supported"},
    {EACCES, "write", GOV__SOURCE_DENIED, "arming: Permission denied"},
    {EACCES, "open", GOV__SOURCE_DENIED,
     "/proc/pressure/memory: Permission denied"},
    {EPERM, "open", GOV__SOURCE_DENIED,
     "/proc/pressure/memory: Operation not permitted"},
    {EROFS, "open", GOV__SOURCE_DENIED,
     "/proc/pressure/memory: Read-only file system"},
    {ENOENT, "open", GOV__SOURCE_ABSENT,
     "/proc/pressure/memory: No such file or directory"},
    {EOPNOTSUPP, "open", GOV__SOURCE_ABSENT,
     "/proc/pressure/memory: Operation not supported"},
    {EMFILE, "open", GOV__SOURCE_BROKEN,
     "/proc/pressure/memory: Too many open files"},
};

START_TEST(a_refusal_is_said)
{
    root = tree_platform(&platform, NULL);
    tree_plant_text(root, SYSTEM_PSI, PSI(1));
    open_before = faults_open_descriptors();
    faults_only(refusals[_i].call);
    faults_set_errno(refusals[_i].error);
    faults_arm(0, true);
    start();
    polls();
    is(STALL, refusals[_i].state, refusals[_i].why);
    ck_assert_uint_eq(count, 0);
    /* And no more than that: for what is refused for good nobody asks again. */
    faults_disarm();
    want.now_us += 2000000;
    polls();
    ck_assert_int_eq(source(STALL)->state == GOV__SOURCE_LIVE,
                     refusals[_i].state == GOV__SOURCE_BROKEN);
    done();
}
END_TEST

/* ---- pace ------------------------------------------------------------------- */

/* What is always there to be heard is heard ten times a second, and less and less
 * often when nobody is made alert by it. */
START_TEST(no_source_wakes_more_than_ten_times_a_second)
{
    uint64_t total = 1000000, looks = 0, first = 0;
    char text[256];
    int file;

    with_psi();
    snprintf(text, sizeof(text), "%s/" SYSTEM_PSI, root);
    file = open(text, O_WRONLY | O_TRUNC | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
    for (int i = 0; i < 10000; i++) { /* 1 ms each */
        /* Over the one before: some file systems, ext4 for one, wait for the disk
         * where a file that was emptied is closed, 3 ms a time. */
        int length = snprintf(text, sizeof(text), "some total=%012llu\n",
                              (unsigned long long)(total += 200000));

        ck_assert_int_eq(pwrite(file, text, (size_t)length, 0), length);
        want.now_us += 1000;
        polls();
        for (size_t j = 0; j < count; j++)
            polled[j].revents = polled[j].events;
        looks += heard();
        if (_i == 1) { /* somebody is made alert by it each time */
            want.alert = true;
            polls();
            want.alert = false;
            polls();
        }
        if (i == 999)
            first = looks;
    }
    ck_assert_uint_le(first, 10);
    ck_assert_uint_ge(first, _i == 1 ? 10 : 4);
    ck_assert_uint_le(looks, _i == 1 ? 100 : 8);
    ck_assert_uint_ge(looks, _i == 1 ? 90 : 6);
    ck_assert_uint_eq(source(STALL)->events, looks);
    close(file);
    done();
}
END_TEST

/* Whoever waits a minute is woken when a muted source may be heard again. */
START_TEST(a_muted_source_is_heard_when_its_time_is_over)
{
    with_psi();
    tree_plant_text(root, SYSTEM_PSI, PSI(2000000));
    ck_assert(heard());
    want.now_us += 99000;
    polls();
    ck_assert_uint_eq(listened(), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(poll(polled, 1, 5000), 1);
    ck_assert(!heard());
    want.now_us += 1000;
    polls();
    ck_assert_uint_eq(listened(), 1);
    done();
}
END_TEST

/* ---- memory.events ---------------------------------------------------------- */

#define EVENTS_DIR "sys/fs/cgroup/kubepods.slice/pod7.slice/"

static const struct {
    const char *before, *after;
    short revents;
    bool look;
    uint64_t false_events;
} events[] = {
    {"low 1\nhigh 2\nmax 3\noom 0\noom_kill 0\n",
     "low 1\nhigh 2\nmax 4\noom 0\noom_kill 0\n", POLLPRI | POLLERR, true, 0},
    {"low 1\nhigh 2\nmax 3\noom 0\n", "low 1\nhigh 3\nmax 3\noom 0\n", POLLPRI,
     true, 0},
    {"max 3\noom 0\n", "max 3\noom 1\n", POLLPRI, true, 0},
    {"low 1\nmax 3\noom_kill 0\n", "low 9\nmax 3\noom_kill 5\n", POLLPRI, false,
     1},
    {"max 3\n", "max 3\n", POLLPRI, false, 1},
    {"max 3\n", "max 4\n", 0, false, 0},
    {"max 3\n", "max 2\n", POLLPRI, false, 1},
    {"max 3\n", "\xff\n\nmax x\nmax", POLLPRI, false, 1},
    {"", "max 1\n", POLLPRI, true, 0},
};

START_TEST(events_of_the_binding_group_count)
{
    const char *file = _i % 2 == 0 ? EVENTS_DIR "memory.events.local"
                                   : EVENTS_DIR "memory.events";

    root = tree_platform(&platform, "v2-nested");
    tree_plant_text(root, file, events[_i].before);
    open_before = faults_open_descriptors();
    start();
    is(EVENTS, GOV__SOURCE_SPARE, strrchr(file, '/') + 1);
    polls();
    is(EVENTS, GOV__SOURCE_LIVE, "high, max, oom");
    is(RECLAIM, GOV__SOURCE_ABSENT, "no v1 group with the memory controller");
    is(USAGE, GOV__SOURCE_ABSENT, "no v1 group with the memory controller");
    tree_plant_text(root, file, events[_i].after);
    urgent()->revents = events[_i].revents;
    ck_assert_int_eq(heard(), events[_i].look);
    ck_assert_uint_eq(source(EVENTS)->events, events[_i].look);
    ck_assert_uint_eq(source(EVENTS)->false_events, events[_i].false_events);
    done();
}
END_TEST

/* Where things are, in hierarchies of all kinds and lines in any order. */
static const struct {
    const char *tree, *stall;
    enum gov__source_state stalls;
    const char *bound; /* v1: the group whose limit binds, or the topmost */
} places[] = {
    {"no-cgroup", "PSI trigger (system)", GOV__SOURCE_ABSENT, NULL},
    {"v2-desktop", "PSI trigger (own cgroup)", GOV__SOURCE_LIVE, NULL},
    {"v2-docker", "PSI trigger (own cgroup)", GOV__SOURCE_LIVE, NULL},
    {"hybrid", "PSI trigger (system)", GOV__SOURCE_LIVE,
     "sys/fs/cgroup/memory"},
    {"hybrid-limited", "PSI trigger (system)", GOV__SOURCE_LIVE,
     "sys/fs/cgroup/memory/agent/9c36"},
    {"v1-nested", "PSI trigger (system)", GOV__SOURCE_ABSENT,
     "sys/fs/cgroup/memory/slurm"},
    {"v1-docker", "PSI trigger (system)", GOV__SOURCE_ABSENT,
     "sys/fs/cgroup/memory"},
};

static void reverse_lines(const char *name)
{
    char path[512], text[4096], turned[4096] = "";
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    file = fopen(path, "r");
    if (file == NULL)
        return;
    n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    while (n > 0) {
        char *line;

        if (text[n - 1] == '\n')
            text[n - 1] = '\0';
        line = strrchr(text, '\n');
        line = line == NULL ? text : line + 1;
        strncat(turned, line, sizeof(turned) - strlen(turned) - 2);
        strncat(turned, "\n", 2);
        *line = '\0';
        n = (size_t)(line - text);
    }
    tree_plant_text(root, name, turned);
}

START_TEST(every_layout_is_known)
{
    const char *bound = places[_i / 2].bound;
    char name[256], text[64] = "";
    FILE *file;

    root = tree_platform(&platform, places[_i / 2].tree);
    if (_i % 2 == 1) {
        reverse_lines("proc/self/cgroup");
        reverse_lines("proc/self/mountinfo");
    }
    for (size_t i = 0; i < 3 && bound != NULL; i++) {
        static const char *const files[] = {"cgroup.event_control",
                                            "memory.pressure_level",
                                            "memory.usage_in_bytes"};

        snprintf(name, sizeof(name), "%s/%s", bound, files[i]);
        tree_plant_text(root, name, i == 2 ? "5000000\n" : "");
    }
    want.used_bytes = 10 * MIB;
    open_before = faults_open_descriptors();
    start();
    polls();
    ck_assert_str_eq(source(STALL)->name, places[_i / 2].stall);
    ck_assert_int_eq(source(STALL)->state, places[_i / 2].stalls);
    if (bound == NULL) {
        is(RECLAIM, GOV__SOURCE_ABSENT,
           "no v1 group with the memory controller");
    } else {
        is(RECLAIM, GOV__SOURCE_LIVE, "low,local");
        is(USAGE, GOV__SOURCE_LIVE, "10 MiB in use");
        is(EVENTS, GOV__SOURCE_ABSENT,
           "no v2 group with the memory controller");
        snprintf(name, sizeof(name), "%s/%s/cgroup.event_control", root, bound);
        file = fopen(name, "r");
        ck_assert_ptr_nonnull(file);
        ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, file), 10);
        fclose(file);
        ck_assert_ptr_nonnull(strstr(text, " 10485760"));
    }
    done();
}
END_TEST

/* The process is moved: what is watched goes along, within a second. */
START_TEST(a_move_to_another_group_is_followed)
{
    over("v2-nested");
    is(EVENTS, GOV__SOURCE_ABSENT, "memory.events: No such file or directory");
    polls();
    tree_plant_text(root, "sys/fs/cgroup/other/memory.events", "max 1\n");
    tree_plant_text(root, "sys/fs/cgroup/other/memory.max", "1000000\n");
    tree_plant_text(root, "sys/fs/cgroup/other/memory.pressure", PSI(3));
    tree_plant_text(root, "proc/self/cgroup", "0::/other\n");
    want.now_us += 900000;
    polls();
    is(EVENTS, GOV__SOURCE_ABSENT, "memory.events: No such file or directory");
    want.now_us += 200000;
    polls();
    is(EVENTS, GOV__SOURCE_LIVE, "high, max, oom");
    ck_assert_str_eq(source(STALL)->name, "PSI trigger (own cgroup)");
    is(STALL, GOV__SOURCE_LIVE, "some 150000 2000000");
    done();
}
END_TEST

/* ---- $MEMORY_PRESSURE_WATCH -------------------------------------------------- */

static char there[256]; /* a path for the variable */

static const char *place(const char *name)
{
    snprintf(there, sizeof(there), "%s/%s", root, name);
    return there;
}

static const struct {
    const char *path, *order; /* of the variables; "@" is a file of the tree */
    enum gov__source_state state;
    const char *why;
} variables[] = {
    {NULL, NULL, GOV__SOURCE_ABSENT, "not set"},
    {NULL, "c29tZQ==", GOV__SOURCE_ABSENT, "not set"},
    {"/dev/null", NULL, GOV__SOURCE_ABSENT, "/dev/null: no trigger is wanted"},
    {"", NULL, GOV__SOURCE_BROKEN, "not an absolute path"},
    {"memory.pressure", NULL, GOV__SOURCE_BROKEN, "not an absolute path"},
    {"/nowhere/memory.pressure", NULL, GOV__SOURCE_ABSENT,
     "stat: No such file or directory"},
    {"/tmp", NULL, GOV__SOURCE_BROKEN,
     "neither a file, nor a FIFO, nor a socket"},
    {"/dev/zero", NULL, GOV__SOURCE_BROKEN,
     "neither a file, nor a FIFO, nor a socket"},
    {"@own", "c29tZ", GOV__SOURCE_BROKEN,
     "$MEMORY_PRESSURE_WRITE is no Base64 of at most 128 bytes"},
    {"@own", "!!!!", GOV__SOURCE_BROKEN,
     "$MEMORY_PRESSURE_WRITE is no Base64 of at most 128 bytes"},
    {"@own", "c29tZR==", GOV__SOURCE_BROKEN, /* bits are left over */
     "$MEMORY_PRESSURE_WRITE is no Base64 of at most 128 bytes"},
    {"@own", "c2=tZQ==", GOV__SOURCE_BROKEN,
     "$MEMORY_PRESSURE_WRITE is no Base64 of at most 128 bytes"},
    {"@own", "", GOV__SOURCE_BROKEN,
     "$MEMORY_PRESSURE_WRITE does not say what to wait for"},
    {"@own", NULL, GOV__SOURCE_BROKEN,
     "$MEMORY_PRESSURE_WRITE does not say what to wait for"},
    {"/proc/self/status", NULL, GOV__SOURCE_BROKEN,
     "a file that nobody can wait for"},
    {"@notes.txt", "c29tZSAyMDAwMDAgMjAwMDAwMAA=", GOV__SOURCE_BROKEN,
     "a file that nobody can wait for"},
    {"@own", "c29tZSAyMDAwMDAgMjAwMDAwMAA=", GOV__SOURCE_SPARE,
     "not armed yet"},
};

START_TEST(the_variable_is_used_or_it_is_said_why_not)
{
    char text[32];
    FILE *notes;

    root = tree_platform(&platform, NULL);
    tree_plant_text(root, "own", PSI(1));
    tree_plant_text(root, "notes.txt", "dear diary");
    tree_plant_text(root, SYSTEM_PSI, PSI(1));
    if (variables[_i].path != NULL)
        setenv("MEMORY_PRESSURE_WATCH",
               variables[_i].path[0] == '@' ? place(variables[_i].path + 1)
                                            : variables[_i].path,
               1);
    if (variables[_i].order != NULL)
        setenv("MEMORY_PRESSURE_WRITE", variables[_i].order, 1);
    open_before = faults_open_descriptors();
    start();
    is(SYSTEMD, variables[_i].state, variables[_i].why);
    polls();
    if (_i == 2)
        is(STALL, GOV__SOURCE_SPARE, "$MEMORY_PRESSURE_WATCH is /dev/null");
    else if (variables[_i].state == GOV__SOURCE_SPARE)
        is(STALL, GOV__SOURCE_SPARE,
           "that of $MEMORY_PRESSURE_WATCH is waited for");
    else
        is(STALL, GOV__SOURCE_LIVE, "some 150000 2000000");
    ck_assert_uint_eq(listened(), _i == 2 ? 0 : 1);
    done();
    /* What can tell of nothing is not written to. */
    notes = fopen(place("notes.txt"), "r");
    ck_assert_ptr_nonnull(notes);
    ck_assert_ptr_nonnull(fgets(text, sizeof(text), notes));
    fclose(notes);
    ck_assert_str_eq(text, "dear diary");
}
END_TEST

START_TEST(a_path_that_is_too_long_is_not_used)
{
    char path[5000];

    memset(path, '/', sizeof(path));
    path[_i == 0 ? 1024 : 4999] = '\0';
    setenv("MEMORY_PRESSURE_WATCH", path, 1);
    over("no-cgroup");
    is(SYSTEMD, GOV__SOURCE_BROKEN, "longer than 1023 bytes");
    done();
}
END_TEST

/* "some 200000 2000000" and its NUL. */
START_TEST(the_order_is_written_to_a_file_and_verified)
{
    char text[64] = "";
    FILE *file;

    root = tree_platform(&platform, NULL);
    tree_plant_text(root, "own", PSI(1000000));
    setenv("MEMORY_PRESSURE_WATCH", place("own"), 1);
    setenv("MEMORY_PRESSURE_WRITE", "c29tZSAyMDAwMDAgMjAwMDAwMAA=", 1);
    open_before = faults_open_descriptors();
    start();
    polls();
    ck_assert_str_eq(source(SYSTEMD)->name, "$MEMORY_PRESSURE_WATCH");
    is(SYSTEMD, GOV__SOURCE_LIVE, there);
    file = fopen(there, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_ge(fread(text, 1, sizeof(text), file), 20);
    fclose(file);
    ck_assert_mem_eq(text, "some 200000 2000000", 20);
    tree_plant_text(root, "own", PSI(1199999));
    urgent()->revents = POLLPRI;
    ck_assert(!heard());
    ck_assert_uint_eq(source(SYSTEMD)->false_events, 1);
    want.now_us += 200000;
    tree_plant_text(root, "own", PSI(1200000));
    polls();
    urgent()->revents = POLLPRI;
    ck_assert(heard());
    done();
}
END_TEST

static void poll_now(int timeout_ms)
{
    ck_assert_int_ge(poll(polled, (nfds_t)count, timeout_ms), 0);
}

/* The mark is at 10 MiB, and is told of in both directions. */
static const struct {
    const char *used; /* NULL: the file is gone */
    int error;        /* of open() */
    bool look;
    uint64_t events, false_events;
    enum gov__source_state then;
} usages[] = {
    {"10485760\n", 0, true, 1, 0, GOV__SOURCE_LIVE},
    {"10321920\n", 0, true, 1, 0, GOV__SOURCE_LIVE}, /* counted in batches */
    {"10321919\n", 0, false, 0, 1, GOV__SOURCE_LIVE},
    {"10321919\n", EMFILE, true, 1, 0, GOV__SOURCE_LIVE},
    {"10321919\n", ENFILE, true, 1, 0, GOV__SOURCE_LIVE},
    {"10321919\n", EIO, true, 0, 0, GOV__SOURCE_BROKEN},
    {NULL, 0, true, 0, 0, GOV__SOURCE_BROKEN},
};

START_TEST(usage_is_believed_where_it_is_so)
{
    static const char used[] =
        "sys/fs/cgroup/memory/agent/9c36/memory.usage_in_bytes";
    const uint64_t one = 1;
    char path[512];

    root = tree_platform(&platform, "hybrid-limited");
    tree_plant_text(root,
                    "sys/fs/cgroup/memory/agent/9c36/cgroup.event_control", "");
    tree_plant_text(root, used, "5000000\n");
    open_before = faults_open_descriptors();
    want.used_bytes = 10 * MIB;
    want.alert = true; /* nothing else is waited for then */
    start();
    polls();
    is(USAGE, GOV__SOURCE_LIVE, "10 MiB in use");
    ck_assert_uint_eq(count, 1);
    /* No file stays open for it: the trigger's, the timer, and what tells. */
    ck_assert_int_eq(faults_open_descriptors(), open_before + 3);
    poll_now(0);
    ck_assert(!heard());
    ck_assert_int_eq(write(polled[0].fd, &one, sizeof(one)),
                     (ssize_t)sizeof(one));
    if (usages[_i].used != NULL) {
        tree_plant_text(root, used, usages[_i].used);
    } else {
        snprintf(path, sizeof(path), "%s/%s", root, used);
        ck_assert_int_eq(unlink(path), 0);
    }
    poll_now(0);
    if (usages[_i].error != 0) {
        faults_only("open");
        faults_set_errno(usages[_i].error);
        faults_arm(0, true);
    }
    ck_assert_int_eq(heard(), usages[_i].look);
    faults_disarm();
    ck_assert_uint_eq(source(USAGE)->events, usages[_i].events);
    ck_assert_uint_eq(source(USAGE)->false_events, usages[_i].false_events);
    ck_assert_int_eq(source(USAGE)->state, usages[_i].then);
    done();
}
END_TEST

/* With an order of its own that comes back, which is no event. */
START_TEST(a_fifo_is_read_empty)
{
    int far;

    root = tree_platform(&platform, NULL);
    ck_assert_int_eq(mkfifo(place("fifo"), 0600), 0);
    setenv("MEMORY_PRESSURE_WATCH", there, 1);
    if (_i == 1)
        setenv("MEMORY_PRESSURE_WRITE", "aGVsbG8=", 1);
    open_before = faults_open_descriptors();
    start();
    polls();
    is(SYSTEMD, GOV__SOURCE_LIVE, there);
    ck_assert_uint_eq(count, 1);
    poll_now(0);
    ck_assert(!heard());
    ck_assert_uint_eq(source(SYSTEMD)->false_events, _i == 1 ? 1 : 0);
    far = open(there, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(far, 0);
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(write(far, "xxx", 3), 3);
        want.now_us += 20000000;
        want.alert = i == 2; /* whoever is at the other end has a pace, too */
        polls();
        poll_now(0);
        ck_assert(heard());
        ck_assert_uint_eq(source(SYSTEMD)->events, (uint64_t)i);
    }
    close(far);
    want.now_us += 20000000;
    polls();
    poll_now(0);
    ck_assert(!heard()); /* that nobody writes is no end */
    is(SYSTEMD, GOV__SOURCE_LIVE, there);
    done();
}
END_TEST

START_TEST(a_socket_is_connected_to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[8] = "";
    int server, far;

    root = tree_platform(&platform, NULL);
    (void)place("socket");
    ck_assert_uint_lt(strlen(there), sizeof(address.sun_path));
    memcpy(address.sun_path, there, strlen(there) + 1);
    server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(server, (struct sockaddr *)&address, sizeof(address)),
                     0);
    ck_assert_int_eq(listen(server, 1), 0);
    setenv("MEMORY_PRESSURE_WATCH", there, 1);
    setenv("MEMORY_PRESSURE_WRITE", "aGVsbG8=", 1);
    start();
    far = accept(server, NULL, NULL);
    ck_assert_int_eq(read(far, text, sizeof(text)), 5);
    ck_assert_str_eq(text, "hello");
    polls();
    is(SYSTEMD, GOV__SOURCE_LIVE, there);
    poll_now(0);
    ck_assert(!heard());
    ck_assert_int_eq(write(far, "x", 1), 1);
    poll_now(0);
    ck_assert(heard());
    ck_assert_uint_eq(source(SYSTEMD)->events, 1);
    /* It ends, and is connected to again, a second later at the earliest. */
    close(far);
    want.now_us += 200000;
    polls();
    poll_now(0);
    ck_assert(heard());
    is(SYSTEMD, GOV__SOURCE_BROKEN, "it is gone: No such device");
    want.now_us += 500000;
    polls();
    ck_assert_uint_eq(count, 0);
    want.now_us += 1000000;
    polls();
    is(SYSTEMD, GOV__SOURCE_LIVE, there);
    ck_assert_uint_eq(count, 1);
    done();
    close(server);
}
END_TEST

/* ---- faults ----------------------------------------------------------------- */

#define ALL_CALLS                                                              \
    "open,read,pread,write,eventfd,timerfd_create,timerfd_settime,socket,"     \
    "connect,send,poll"

static void once(void)
{
    start();
    for (int i = 0; i < 4; i++) {
        polls();
        for (size_t j = 0; j < count; j++)
            polled[j].revents = polled[j].events;
        (void)heard();
        want.now_us += 1100000;
        want.alert = i == 1;
    }
    (void)source(0);
    done();
}

/* The n-th call fails, once and for good: no crash, no descriptor, and what is
 * left works when the fault is over. */
START_TEST(each_call_fails_in_turn)
{
    static const char *const trees[] = {"v2-nested", "hybrid-limited"};
    uint64_t calls;

    root = tree_platform(&platform, trees[_i / 2]);
    tree_plant_text(root, EVENTS_DIR "memory.events", "max 1\n");
    tree_plant_text(root, SYSTEM_PSI, PSI(1));
    ck_assert_int_eq(mkfifo(place("fifo"), 0600), 0);
    setenv("MEMORY_PRESSURE_WATCH", there, 1);
    setenv("MEMORY_PRESSURE_WRITE", "aGVsbG8=", 1);
    want.used_bytes = 64 * MIB;
    open_before = faults_open_descriptors();
    faults_only(ALL_CALLS);
    faults_arm(FAULTS_NEVER, false);
    once();
    calls = faults_count();
    ck_assert_uint_gt(calls, 30);
    for (uint64_t n = 0; n < calls; n++) {
        faults_arm(n, _i % 2 == 1);
        once();
        faults_disarm();
        ck_assert_msg(faults_open_descriptors() == open_before,
                      "%s leaves a descriptor", faults_last());
    }
}
END_TEST

/* ---- the kernel that runs the tests ------------------------------------------ */

static void use_native(void)
{
    platform = *gov__platform_native();
    want.now_us = platform.now_us(platform.ctx);
    open_before = faults_open_descriptors();
}

/* It says of every source what it is, and arms what it can. */
START_TEST(native_sources_are_told)
{
    use_native();
    want.used_bytes = 8192 * MIB;
    start();
    polls();
    for (size_t i = 0; i <= USAGE; i++) {
        const struct gov__source *s = source(i);

        printf("# %s: %d, %s\n", s->name, (int)s->state, s->why);
        ck_assert_str_ne(s->why, "");
    }
    poll_now(0);
    (void)heard();
    done();
}
END_TEST

START_TEST(native_arming_over_and_over_leaves_nothing)
{
    use_native();
    start();
    for (int i = 0; i < 10000; i++) {
        want.now_us += 10000;
        want.alert = i % 2 == 1;
        polls();
        if (i % 1000 == 1)
            ck_assert_int_le(faults_open_descriptors(), open_before + 8);
    }
    done();
    ck_assert_int_eq(faults_open_descriptors(), open_before);
    /* The kernel takes 8-28 ms to take a trigger back. */
    for (int i = 0; i < 20; i++) {
        start();
        polls();
        done();
        ck_assert_int_eq(faults_open_descriptors(), open_before);
    }
}
END_TEST

/* No descriptor is free when it is opened, or while it is used; later there are. */
START_TEST(native_survives_without_descriptors)
{
    struct rlimit before, none;

    use_native();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    if (_i == 1)
        start();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    if (_i == 0)
        start();
    for (int i = 0; i < 3; i++) {
        polls();
        (void)heard();
        want.now_us += 1100000;
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    polls();
    if (source(STALL)->state != GOV__SOURCE_LIVE)
        printf("# PSI trigger: %s\n", source(STALL)->why);
    ck_assert_int_ne(source(STALL)->state, GOV__SOURCE_BROKEN);
    done();
}
END_TEST

static bool put_in(const char *group, const char *file, const char *text)
{
    char path[256];
    int fd;
    bool done_it;

    snprintf(path, sizeof(path), "%s/%s", group, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    done_it = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done_it;
}

static bool moved_to(const char *group)
{
    char pid[16];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    return put_in(group, "cgroup.procs", pid);
}

/* The group goes while its trigger is armed: told once, and no spinning. */
START_TEST(native_group_is_removed_while_armed)
{
    static const char group[] = "/sys/fs/cgroup/unified/governor-watch-test";
    int woken = 0;

    if (mkdir(group, 0755) != 0) {
        printf("skip: native_group_is_removed_while_armed: %s: %s\n", group,
               strerror(errno));
        return;
    }
    use_native();
    ck_assert(moved_to(group));
    start();
    polls();
    ck_assert_str_eq(source(STALL)->name, "PSI trigger (own cgroup)");
    is(STALL, GOV__SOURCE_LIVE, "some 150000 2000000");
    ck_assert(moved_to("/sys/fs/cgroup/unified"));
    ck_assert_int_eq(rmdir(group), 0);
    poll_now(1000);
    ck_assert(heard());
    is(STALL, GOV__SOURCE_BROKEN, "it is gone: No such device");
    for (int i = 0; i < 20; i++) { /* two seconds */
        want.now_us += 100000;
        polls();
        ck_assert_int_ge(poll(polled, (nfds_t)count, 0), 0);
        woken += heard();
    }
    ck_assert_int_le(woken, 2);
    ck_assert_str_eq(source(STALL)->name, "PSI trigger (system)");
    is(STALL, GOV__SOURCE_LIVE, "some 150000 2000000");
    done();
}
END_TEST

static const char v1_group[] = "/sys/fs/cgroup/memory/governor-watch-test";

/* In a group of 64 MiB: its usage passes a mark, then file pages are reclaimed. */
static void fill_a_v1_group(void)
{
    const size_t bytes = 24 * MIB;
    char *memory, path[512];
    int fd;

    use_native();
    ck_assert(moved_to(v1_group));
    want.used_bytes = 20 * MIB;
    start();
    polls();
    is(RECLAIM, GOV__SOURCE_LIVE, "low,local");
    is(USAGE, GOV__SOURCE_LIVE, "20 MiB in use");
    poll_now(0);
    ck_assert(!heard());
    memory = malloc(bytes);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 1, bytes);
    poll_now(1000);
    ck_assert(heard());
    ck_assert_uint_eq(source(USAGE)->events, 1);
    ck_assert_uint_eq(source(RECLAIM)->events, 0);
    /* A mark that was passed before is told of at once, and this source also while
     * others are not waited for. */
    want.used_bytes = 22 * MIB;
    want.now_us += 1100000;
    want.alert = true;
    polls();
    is(RECLAIM, GOV__SOURCE_SPARE, "looked for ten times a second meanwhile");
    poll_now(0);
    ck_assert(heard());
    ck_assert_uint_eq(source(USAGE)->events, 2);
    want.alert = false;
    snprintf(path, sizeof(path), "%s/file", fresh_directory());
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    want.now_us += 1100000;
    want.used_bytes = 0;
    polls();
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(write(fd, memory, MIB), (ssize_t)MIB);
    poll_now(1000);
    ck_assert(heard());
    ck_assert_uint_eq(source(RECLAIM)->events, 1);
    ck_assert_uint_eq(source(USAGE)->events, 2);
    close(fd);
    free(memory);
    done();
}

START_TEST(native_v1_group_tells)
{
    int status;
    pid_t pid;

#ifdef __SANITIZE_THREAD__
    printf("skip: native_v1_group_tells: a sanitizer's own memory is more than "
           "the limit\n");
    return;
#endif
    if (mkdir(v1_group, 0755) != 0) {
        printf("skip: native_v1_group_tells: %s: %s\n", v1_group,
               strerror(errno));
        return;
    }
    ck_assert(put_in(v1_group, "memory.limit_in_bytes", "67108864"));
    pid = fork();
    if (pid == 0) {
        fill_a_v1_group();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    (void)put_in(v1_group, "memory.force_empty", "0");
    for (int i = 0; i < 100 && rmdir(v1_group) != 0 && errno == EBUSY; i++)
        poll(NULL, 0, 20);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_child_only_closes)
{
    int status;
    pid_t pid;

    with_psi();
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        done();
        _exit(faults_open_descriptors() == open_before ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    tree_plant_text(root, SYSTEM_PSI, PSI(2000000));
    ck_assert(heard());
    done();
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("watch");
    TCase *tc = tcase_create("trees"), *native = tcase_create("native");

    if (gov__platform_linux_at == NULL) {
        puts("SKIP watch: not on Linux");
        return s;
    }
    tcase_set_timeout(native, 60);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_checked_fixture(native, set_up, tear_down);
#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))
    tcase_add_test(tc, a_trigger_is_written_with_its_nul);
    tcase_add_loop_test(tc, a_trigger_is_believed_when_the_total_has_grown, 0,
                        ROWS(totals));
    tcase_add_test(tc, a_slow_growth_is_no_event);
    tcase_add_loop_test(tc, a_trigger_that_is_gone_is_looked_for_once_a_second,
                        0, 2);
    tcase_add_test(tc, while_alert_nothing_is_waited_for);
    tcase_add_loop_test(tc, a_refusal_is_said, 0, ROWS(refusals));
    tcase_add_loop_test(tc, no_source_wakes_more_than_ten_times_a_second, 0, 2);
    tcase_add_test(tc, a_muted_source_is_heard_when_its_time_is_over);
    tcase_add_loop_test(tc, events_of_the_binding_group_count, 0, ROWS(events));
    tcase_add_loop_test(tc, usage_is_believed_where_it_is_so, 0, ROWS(usages));
    tcase_add_loop_test(tc, every_layout_is_known, 0, 2 * ROWS(places));
    tcase_add_test(tc, a_move_to_another_group_is_followed);
    tcase_add_loop_test(tc, the_variable_is_used_or_it_is_said_why_not, 0,
                        ROWS(variables));
    tcase_add_loop_test(tc, a_path_that_is_too_long_is_not_used, 0, 2);
    tcase_add_test(tc, the_order_is_written_to_a_file_and_verified);
    tcase_add_loop_test(tc, a_fifo_is_read_empty, 0, 2);
    tcase_add_test(tc, a_socket_is_connected_to);
    tcase_add_loop_test(tc, each_call_fails_in_turn, 0, 4);
    tcase_add_test(tc, a_child_only_closes);
    tcase_add_test(native, native_sources_are_told);
    tcase_add_test(native, native_arming_over_and_over_leaves_nothing);
    tcase_add_loop_test(native, native_survives_without_descriptors, 0, 2);
    tcase_add_test(native, native_group_is_removed_while_armed);
    tcase_add_test(native, native_v1_group_tells);
    suite_add_tcase(s, tc);
    suite_add_tcase(s, native);
    return s;
}
