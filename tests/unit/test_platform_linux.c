/* SPDX-License-Identifier: MIT */
/* The Linux table over small copies of /proc and /sys (support/tree.h), and over
 * the machine that runs the tests. What tell() says is in test_platform_facts.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/tree.h"

/* Elsewhere than on Linux it does not exist; then there is nothing to test. */
#pragma weak gov__platform_linux_at

static struct gov_platform platform;
static const char *root; /* of the tree in use */

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)
#define NONE UINT64_MAX

/* ---- limit ---------------------------------------------------------------- */

static const struct {
    const char *tree;
    uint64_t limit, used, file, less;
    const char *source;
} limits[] = {
    {"no-cgroup", NONE, 0, 0, 0, ""},
    {"v2-desktop", NONE, 0, 0, 0, ""},
    {"v2-docker", 512 * MIB, 300000000, 100000000, 0,
     "cgroup v2 /, memory.max"},
    {"v2-nested", 2 * GIB, GIB, 128 * MIB, 0,
     "cgroup v2 /kubepods.slice/pod7.slice, memory.max"},
    {"v2-nested-equal", 2 * GIB, GIB, 128 * MIB, 0,
     "cgroup v2 /kubepods.slice/pod7.slice, memory.max"},
    {"v2-nested-short", 6 * GIB, GIB, 256 * MIB, 3840 * MIB,
     "cgroup v2 /kubepods.slice/pod7.slice/cri-1.scope, memory.max"},
    {"v2-high", 3 * GIB, 2 * GIB, GIB, 0,
     "cgroup v2 /kubepods.slice/pod7.slice, memory.high"},
    {"v2-above-ram", NONE, 0, 0, 0, ""},
    {"v2-odd", NONE, 0, 0, 0, ""},
    {"v2-zero", 0, 4 * MIB, 2 * MIB, 0,
     "cgroup v2 /kubepods.slice/pod7.slice/cri-1.scope, memory.max"},
    {"v2-outside", GIB, 1000, 0, 0, "cgroup v2 /, memory.max"},
    {"v2-not-below", GIB, 1000, 0, 0, "cgroup v2 /, memory.max"},
    {"v2-two-mounts", 2 * GIB, 4096, 0, 0,
     "cgroup v2 /user.slice/app.scope, memory.max"},
    {"v2-escapes", 768 * MIB, 100 * MIB, 10 * MIB, 0,
     "cgroup v2 /my-app@1.service, memory.max"},
    {"lxcfs", 2 * GIB, 700 * MIB, 300 * MIB, 0, "cgroup v2 /, memory.max"},
    {"v1-docker", GIB, 700 * MIB, 300 * MIB, 0,
     "cgroup v1 /, memory.limit_in_bytes"},
    {"v1-not-below", 2 * GIB, 700 * MIB, 300 * MIB, 0,
     "cgroup v1 /, memory.limit_in_bytes"},
    {"v1-nested", 3 * GIB, 2 * GIB, GIB + MIB, 0,
     "cgroup v1 /slurm, memory.limit_in_bytes"},
    {"v1-64k", NONE, 0, 0, 0, ""},
    {"hybrid", NONE, 0, 0, 0, ""},
    {"hybrid-limited", 1536 * MIB, 100 * MIB, 51 * MIB, 0,
     "cgroup v1 /agent/9c36, memory.limit_in_bytes"},
    {"laptop-hybrid", NONE, 0, 0, 0, ""},
    {"raspberry-pi", NONE, 0, 0, 0, ""},
    {"android", NONE, 0, 0, 0, ""},
    {"wsl1", NONE, 0, 0, 0, ""},
    {"wsl2", NONE, 0, 0, 0, ""},
};

static const struct {
    const char *tree;
    bool have;
    uint64_t bytes;
} swap_limits[] = {
    {"v2-quota", true, 0},       {"lxcfs", true, 0},
    {"laptop-hybrid", false, 0}, {"v2-above-ram", false, 0},
    {"v1-docker", false, 0},     {"no-cgroup", false, 0},
};

/* Swap may be limited where memory is not. */
START_TEST(swap_limit_is_the_least)
{
    struct gov__limit limit;

    root = tree_platform(&platform, swap_limits[_i].tree);
    ck_assert_int_eq(platform.limit(platform.ctx, &limit), 0);
    ck_assert_int_eq(limit.have_swap_limit, swap_limits[_i].have);
    ck_assert_uint_eq(limit.swap_limit_bytes, swap_limits[_i].bytes);
}
END_TEST

/* The pod's, when the container has none of its own. */
START_TEST(swap_limit_of_a_parent)
{
    struct gov__limit limit;

    root = tree_platform(&platform, "v2-quota");
    tree_plant_text(root,
                    "sys/fs/cgroup/kubepods.slice/pod7.slice/cri-1.scope/"
                    "memory.swap.max",
                    "max\n");
    ck_assert_int_eq(platform.limit(platform.ctx, &limit), 0);
    ck_assert(limit.have_swap_limit);
    ck_assert_uint_eq(limit.swap_limit_bytes, GIB);
    ck_assert_uint_eq(limit.limit_bytes, NONE);
}
END_TEST

START_TEST(limit_is_the_tightest)
{
    struct gov__limit limit;

    root = tree_platform(&platform, limits[_i].tree);
    ck_assert_int_eq(platform.limit(platform.ctx, &limit), 0);
    ck_assert_str_eq(limit.source, limits[_i].source);
    ck_assert_uint_eq(limit.limit_bytes, limits[_i].limit);
    ck_assert_uint_eq(limit.used_bytes, limits[_i].used);
    ck_assert_uint_eq(limit.used_file_bytes, limits[_i].file);
    ck_assert_uint_eq(limit.short_bytes, limits[_i].less);
}
END_TEST

/* A path longer than any buffer must not hide the limit of the mount. */
START_TEST(limit_of_a_long_path)
{
    static char cgroup[4000];
    struct gov__limit limit;
    size_t length;

    root = tree_platform(&platform, "v2-not-below");
    memset(cgroup, 'x', sizeof(cgroup));
    length = _i == 0 ? 1000 : _i == 1 ? 1023 : _i == 2 ? 1024 : 3990;
    memcpy(cgroup, "0::/", 4);
    memcpy(cgroup + 3 + length, "\n", 2);
    tree_plant_text(root, "proc/self/cgroup", cgroup);
    ck_assert_int_eq(platform.limit(platform.ctx, &limit), 0);
    ck_assert_uint_eq(limit.limit_bytes, GIB);
    ck_assert_str_eq(limit.source, "cgroup v2 /, memory.max");
}
END_TEST

/* "No limit" of v1 is a number, and no total is there to compare it with. */
START_TEST(limit_without_a_total)
{
    struct gov__limit limit;
    char path[512];

    root = tree_platform(&platform, _i == 0 ? "v1-64k" : "v1-nested");
    snprintf(path, sizeof(path), "%s/proc/meminfo", root);
    ck_assert_int_eq(remove(path), 0);
    ck_assert_int_eq(platform.limit(platform.ctx, &limit), 0);
    ck_assert_uint_eq(limit.limit_bytes, _i == 0 ? NONE : 3 * GIB);
}
END_TEST

/* Whatever the files hold: no crash, and what is reported is consistent. */
START_TEST(limit_of_garbage)
{
    uint32_t seed = 1 + (uint32_t)_i;
    char *text = tree_read(limits[_i].tree);

    for (int round = 0; round < 8; round++) {
        struct gov__limit limit;
        struct gov__stall stall;
        uint64_t bytes;
        char *tree = strdup(text);

        root = tree_platform(&platform, NULL);
        tree_plant_all(root, tree, &seed);
        free(tree);
        ck_assert_int_eq(platform.limit(platform.ctx, &limit), 0);
        ck_assert(limit.limit_bytes != NONE || limit.used_bytes == 0);
        ck_assert(memchr(limit.source, '\0', sizeof(limit.source)) != NULL);
        (void)!platform.stall(platform.ctx, &stall);
        (void)!platform.refaults(platform.ctx, &bytes);
    }
    free(text);
}
END_TEST

/* ---- the other figures ----------------------------------------------------- */

static const struct {
    const char *name, *meminfo;
    int error;
    struct gov__machine want;
} machines[] = {
    {"all",
     "MemTotal:  16777216 kB\nMemFree: 1 kB\nMemAvailable:  9437184 kB\n"
     "SwapTotal: 2097152 kB\nSwapFree: 1048576 kB\n",
     0,
     {16 * GIB, 9 * GIB, 2 * GIB, GIB}},
    {"no MemAvailable: before 3.14",
     "MemTotal: 1024 kB\nMemFree: 512 kB\n",
     0,
     {MIB, 0, 0, 0}},
    {"no newline at the end", "MemTotal: 1024 kB", 0, {MIB, 0, 0, 0}},
    {"no total", "MemFree: 512 kB\n", ENODATA, {0}},
    {"zero", "MemTotal: 0 kB\n", ENODATA, {0}},
    {"too much", "MemTotal: 99999999999999999999 kB\n", ENODATA, {0}},
    {"a word", "MemTotal: lots\n", ENODATA, {0}},
    {"empty", "", ENODATA, {0}},
    {"no file", NULL, ENOENT, {0}},
};

START_TEST(machine_is_read)
{
    const struct gov__machine *want = &machines[_i].want;
    struct gov__machine machine;

    root = tree_platform(&platform, NULL);
    if (machines[_i].meminfo != NULL)
        tree_plant_text(root, "proc/meminfo", machines[_i].meminfo);
    ck_assert_msg(platform.machine(platform.ctx, &machine) ==
                      machines[_i].error,
                  "%s", machines[_i].name);
    if (machines[_i].error != 0)
        return;
    ck_assert_uint_eq(machine.total_bytes, want->total_bytes);
    ck_assert_uint_eq(machine.available_bytes, want->available_bytes);
    ck_assert_uint_eq(machine.swap_total_bytes, want->swap_total_bytes);
    ck_assert_uint_eq(machine.swap_free_bytes, want->swap_free_bytes);
}
END_TEST

static const struct {
    const char *tree;
    int error;
    const char *source;
    uint64_t some, full, io;
} stalls[] = {
    {"no-cgroup", ENOTSUP, NULL, 0, 0, 0},
    {"v2-desktop", 0, "own cgroup", 111, 22, 333},
    {"v2-docker", 0, "own cgroup", 777, 70, 888}, /* not the host's */
    {"hybrid", 0, "system", 12, 3, 5},
};

START_TEST(stall_is_the_own_groups)
{
    struct gov__stall stall;

    root = tree_platform(&platform, stalls[_i].tree);
    ck_assert_int_eq(platform.stall(platform.ctx, &stall), stalls[_i].error);
    if (stalls[_i].error != 0)
        return;
    ck_assert_str_eq(stall.source, stalls[_i].source);
    ck_assert(stall.have_memory && stall.have_io);
    ck_assert_uint_eq(stall.memory_some_us, stalls[_i].some);
    ck_assert_uint_eq(stall.memory_full_us, stalls[_i].full);
    ck_assert_uint_eq(stall.io_some_us, stalls[_i].io);
}
END_TEST

static const struct {
    const char *tree;
    uint64_t pages;
} refaults[] = {{"v2-docker", 1000}, {"v1-docker", 2000}, {"no-cgroup", 5}};

START_TEST(refaults_are_read)
{
    uint64_t bytes;

    root = tree_platform(&platform, refaults[_i].tree);
    ck_assert_int_eq(platform.refaults(platform.ctx, &bytes), 0);
    ck_assert_uint_eq(bytes, refaults[_i].pages * (uint64_t)getpagesize());
}
END_TEST

#define STAT_TAIL                                                              \
    " 1 10 10 0 -1 4194560 1234 0 56 0 7 8 0 0 20 0 1 0 98765 22 33 "          \
    "18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"
#define STATUS                                                                 \
    "Name:\tapp\nVmPeak:\t  999 kB\nRssAnon:\t     100 kB\n"                   \
    "RssFile:\t      40 kB\nRssShmem:\t       8 kB\nVmSwap:\t       16 kB\n"

static const struct {
    const char *name, *status, *stat, *io;
    int error;
} processes[] = {
    {"plain", STATUS, "42 (app) S" STAT_TAIL,
     "rchar: 1\nread_bytes: 4096\nwrite_bytes: 2\n", 0},
    {"a name that looks like more fields", STATUS,
     "42 (a) R 9 9 (b)) S" STAT_TAIL, "read_bytes: 4096\n", 0},
    {"zombie", STATUS, "42 (app) Z" STAT_TAIL, "read_bytes: 4096\n", ESRCH},
    {"no figures: a kernel thread", "Name:\tkthread\n", "42 (k) S" STAT_TAIL,
     "read_bytes: 4096\n", ENODATA},
    {"gone", NULL, NULL, NULL, ESRCH},
    {"cut short", STATUS, "42 (app) S 1 2 3\n", NULL, ENODATA},
    {"no name", STATUS, "42 app S 1 2 3\n", NULL, ENODATA},
};

START_TEST(process_is_read)
{
    struct gov__process process;

    root = tree_platform(&platform, NULL);
    if (processes[_i].status != NULL)
        tree_plant_text(root, "proc/42/status", processes[_i].status);
    if (processes[_i].stat != NULL)
        tree_plant_text(root, "proc/42/stat", processes[_i].stat);
    if (processes[_i].io != NULL)
        tree_plant_text(root, "proc/42/io", processes[_i].io);
    ck_assert_msg(platform.process(platform.ctx, 42, &process) ==
                      processes[_i].error,
                  "%s", processes[_i].name);
    if (processes[_i].error != 0)
        return;
    ck_assert_uint_eq(process.anon_bytes, 100 * KIB);
    ck_assert_uint_eq(process.shmem_bytes, 8 * KIB);
    ck_assert_uint_eq(process.swap_bytes, 16 * KIB);
    ck_assert_uint_eq(process.resident_file_bytes, 40 * KIB);
    ck_assert_uint_eq(process.footprint_bytes, 124 * KIB);
    ck_assert_uint_eq(process.minor_faults, 1234);
    ck_assert_uint_eq(process.major_faults, 56);
    ck_assert_uint_eq(process.start_ticks, 98765);
    ck_assert(process.have_read_bytes);
    ck_assert_uint_eq(process.read_bytes, 4096);
    ck_assert_int_eq(platform.alive(platform.ctx, 42, 98765), 0);
    ck_assert_int_eq(platform.alive(platform.ctx, 42, 0), 0);
    ck_assert_int_eq(platform.alive(platform.ctx, 42, 98766), ESRCH);
    ck_assert_int_eq(platform.alive(platform.ctx, 43, 98765), ESRCH);
    ck_assert_int_eq(platform.alive(platform.ctx, 0, 0), ESRCH);
    ck_assert_int_eq(platform.alive(platform.ctx, -1, 0), ESRCH);
}
END_TEST

/* Any open or read that fails costs a figure, never more: no crash, no
 * descriptor, no half-filled answer. */
START_TEST(failing_calls_are_survived)
{
    struct gov__limit limit;
    struct gov__machine machine;
    struct gov__process process;
    uint64_t calls, want;
    int open_before;

    root = tree_platform(&platform, _i == 0 ? "hybrid-limited" : "v2-nested");
    tree_plant_text(root, "proc/self/status", STATUS);
    tree_plant_text(root, "proc/self/stat", "42 (app) S" STAT_TAIL);
    open_before = faults_open_descriptors();
    faults_reset();
    ck_assert_int_eq(platform.limit(platform.ctx, &limit), 0);
    want = limit.limit_bytes;
    ck_assert_uint_ne(want, NONE);
    ck_assert_int_eq(platform.process(platform.ctx, 0, &process), 0);
    ck_assert_int_eq(platform.machine(platform.ctx, &machine), 0);
    calls = faults_count();
    ck_assert_uint_gt(calls, 10);
    for (uint64_t n = 0; n < 2 * calls; n++) {
        int rc;

        faults_arm(n % calls, n >= calls);
        /* A limit that cannot be read is not "none". */
        rc = platform.limit(platform.ctx, &limit);
        ck_assert(rc == EIO || (rc == 0 && limit.limit_bytes == want));
        rc = platform.process(platform.ctx, 0, &process);
        ck_assert(rc == 0 || rc == EIO || rc == ENODATA);
        rc = platform.machine(platform.ctx, &machine);
        ck_assert(rc == 0 ? machine.total_bytes > 0 : rc == EIO);
        faults_disarm();
        ck_assert_int_eq(faults_open_descriptors(), open_before);
    }
}
END_TEST

/* ---- the real one ---------------------------------------------------------- */

/* The machine that runs the tests, whatever it is. */
START_TEST(native_answers)
{
    const struct gov_platform *native = gov__platform_native();
    struct gov__machine machine;
    struct gov__limit limit;
    struct gov__process process;
    uint64_t before = native->now_us(native->ctx);

    ck_assert_int_eq(native->machine(native->ctx, &machine), 0);
    ck_assert_uint_gt(machine.total_bytes, 16 * MIB);
    ck_assert_uint_le(machine.available_bytes, machine.total_bytes);
    ck_assert_int_eq(native->limit(native->ctx, &limit), 0);
    ck_assert(limit.limit_bytes == NONE ||
              limit.limit_bytes <= machine.total_bytes);
    ck_assert_int_eq(native->process(native->ctx, 0, &process), 0);
    ck_assert_uint_gt(process.anon_bytes, 0);
    ck_assert_int_eq(native->alive(native->ctx, getpid(), process.start_ticks),
                     0);
    ck_assert_uint_ge(native->now_us(native->ctx), before);
}
END_TEST

/* Touched pages are counted, discarded ones read as zero and cost nothing. */
START_TEST(native_moves_memory)
{
    const struct gov_platform *native = gov__platform_native();
    const size_t bytes = 4 * MIB;
    struct gov__process before, touched, after;
    uint64_t resident;
    char *base;
    void *out;

    ck_assert_int_eq(native->process(native->ctx, 0, &before), 0);
    ck_assert_int_eq(native->map(native->ctx, bytes, "test", &out), 0);
    base = out;
    memset(base, 7, bytes);
    ck_assert_int_eq(native->process(native->ctx, 0, &touched), 0);
    ck_assert_uint_ge(touched.anon_bytes, before.anon_bytes + bytes - MIB);
    ck_assert_int_eq(native->resident(native->ctx, base, bytes, &resident), 0);
    ck_assert_uint_eq(resident, bytes);
    ck_assert_int_eq(native->discard(native->ctx, base, bytes), 0);
    ck_assert_int_eq(native->process(native->ctx, 0, &after), 0);
    ck_assert_uint_le(after.anon_bytes, touched.anon_bytes - bytes + MIB);
    ck_assert_int_eq(base[0], 0);
    ck_assert_int_eq(base[bytes - 1], 0);
    ck_assert_int_eq(native->unmap(native->ctx, base, bytes), 0);
}
END_TEST

#define ADD_ROWS(tc, test, table)                                              \
    tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

Suite *suite(void)
{
    Suite *s = suite_create("platform_linux");
    TCase *tc = tcase_create("trees");

    suite_add_tcase(s, tc);
    if (gov__platform_linux_at == NULL) {
        skip_test("platform_linux", "built for another platform");
        return s;
    }
    ADD_ROWS(tc, limit_is_the_tightest, limits);
    ADD_ROWS(tc, swap_limit_is_the_least, swap_limits);
    tcase_add_test(tc, swap_limit_of_a_parent);
    tcase_add_loop_test(tc, limit_of_a_long_path, 0, 4);
    tcase_add_loop_test(tc, limit_without_a_total, 0, 2);
    ADD_ROWS(tc, limit_of_garbage, limits);
    ADD_ROWS(tc, machine_is_read, machines);
    ADD_ROWS(tc, stall_is_the_own_groups, stalls);
    ADD_ROWS(tc, refaults_are_read, refaults);
    ADD_ROWS(tc, process_is_read, processes);
    tcase_add_loop_test(tc, failing_calls_are_survived, 0, 2);
    tc = tcase_create("native");
    suite_add_tcase(s, tc);
    tcase_add_test(tc, native_answers);
    tcase_add_test(tc, native_moves_memory);
    return s;
}
