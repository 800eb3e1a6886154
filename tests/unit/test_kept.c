/* SPDX-License-Identifier: MIT */
/* The table of keep(): the same answers as the plain one, from descriptors that
 * stay open; groups that go, a process that is moved, and none left to open. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "governor/pressure/evidence.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/tree.h"

/* Elsewhere than on Linux it does not exist; then there is nothing to test. */
#pragma weak gov__platform_linux_at

#define MIB (UINT64_C(1) << 20)

static struct gov_platform plain, kept;
static struct gov__kept room;
static const char *root;
static int open_before;

#define STAT                                                                   \
    "42 (app) S 1 10 10 0 -1 4194560 1234 0 56 0 7 8 0 0 20 0 1 0 98765 22 "   \
    "33 0\n"

static void set_up(void)
{
    faults_reset();
}

static void keep(void)
{
    memset(&room, 0xAA, sizeof(room));
    open_before = faults_open_descriptors();
    ck_assert_int_eq(plain.keep(plain.ctx, &room, &kept), 0);
    ck_assert_str_eq(kept.name, plain.name);
}

static void over(const char *tree)
{
    root = tree_platform(&plain, tree);
    tree_plant_text(root, "proc/self/status",
                    "RssAnon: 100 kB\nRssFile: 40 kB\nVmSwap: 1 kB\n");
    tree_plant_text(root, "proc/self/stat", STAT);
    tree_plant_text(root, "proc/self/io", "read_bytes: 4096\n");
    keep();
}

static void unkeep(void)
{
    kept.unkeep(kept.ctx, &room);
    ck_assert_int_eq(faults_open_descriptors(), open_before);
}

/* Everything that a look asks for, in one. */
struct answers {
    int machine_rc, limit_rc, stall_rc, refaults_rc, process_rc;
    struct gov__machine machine;
    struct gov__limit limit;
    struct gov__stall stall;
    uint64_t refaults;
    struct gov__process process;
};

static struct answers ask(const struct gov_platform *p)
{
    struct answers a;

    memset(&a, 0, sizeof(a));
    a.process_rc = p->process(p->ctx, 0, &a.process);
    a.stall_rc = p->stall(p->ctx, &a.stall);
    a.limit_rc = p->limit(p->ctx, &a.limit);
    a.machine_rc = p->machine(p->ctx, &a.machine);
    a.refaults_rc = p->refaults(p->ctx, &a.refaults);
    return a;
}

static void same_answers(void)
{
    struct answers a = ask(&plain), b = ask(&kept);

    ck_assert_int_eq(a.machine_rc, b.machine_rc);
    ck_assert_int_eq(a.limit_rc, b.limit_rc);
    ck_assert_int_eq(a.stall_rc, b.stall_rc);
    ck_assert_int_eq(a.refaults_rc, b.refaults_rc);
    ck_assert_int_eq(a.process_rc, b.process_rc);
    if (a.machine_rc == 0)
        ck_assert_mem_eq(&a.machine, &b.machine, sizeof(a.machine));
    ck_assert_str_eq(a.limit.source, b.limit.source);
    ck_assert_uint_eq(a.limit.limit_bytes, b.limit.limit_bytes);
    ck_assert_uint_eq(a.limit.used_bytes, b.limit.used_bytes);
    ck_assert_uint_eq(a.limit.used_file_bytes, b.limit.used_file_bytes);
    ck_assert_uint_eq(a.limit.short_bytes, b.limit.short_bytes);
    ck_assert_int_eq(a.limit.have_hits, b.limit.have_hits);
    ck_assert_uint_eq(a.limit.hits, b.limit.hits);
    ck_assert_uint_eq(a.limit.swap_limit_bytes, b.limit.swap_limit_bytes);
    if (a.stall_rc == 0)
        ck_assert_mem_eq(&a.stall, &b.stall, sizeof(a.stall));
    ck_assert_uint_eq(a.refaults, b.refaults);
    if (a.process_rc == 0)
        ck_assert_mem_eq(&a.process, &b.process, sizeof(a.process));
}

static const char *const trees[] = {
    "no-cgroup",     "v2-desktop",      "v2-docker", "v2-nested",
    "v2-high",       "v2-nested-short", "v2-odd",    "v2-zero",
    "v2-outside",    "v2-two-mounts",   "lxcfs",     "v1-docker",
    "v1-nested",     "hybrid",          "android",   "v2-escapes",
    "hybrid-limited"};
#define TREES (int)(sizeof(trees) / sizeof(trees[0]))

/* At the second look, too, and when what is read has changed. */
START_TEST(the_same_is_told)
{
    over(trees[_i]);
    same_answers();
    same_answers();
    tree_plant_text(root, "proc/meminfo",
                    "MemTotal: 999999999 kB\nMemAvailable: 77 kB\n");
    tree_plant_text(root, "proc/self/status", "RssAnon: 200 kB\n");
    same_answers();
    same_answers();
    unkeep();
}
END_TEST

/* Garbage is the same garbage. */
START_TEST(garbage_is_survived)
{
    uint32_t seed = 7 + (uint32_t)_i;

    for (int round = 0; round < 4; round++) {
        char *text = tree_read(trees[_i]);

        root = tree_platform(&plain, NULL);
        tree_plant_all(root, text, &seed);
        free(text);
        keep();
        same_answers();
        same_answers();
        unkeep();
    }
}
END_TEST

START_TEST(a_second_look_opens_nothing_that_is_there)
{
    over(trees[_i]);
    (void)ask(&kept);
    ck_assert_int_le(faults_open_descriptors() - open_before, 24);
    for (int i = 0; i < 3; i++) {
        int now = faults_open_descriptors();

        faults_only("open,fstat");
        faults_arm(FAULTS_NEVER, false);
        (void)ask(&kept);
        /* What is not there is tried for each time. */
        ck_assert_uint_le(faults_count(), 24);
        ck_assert_int_eq(faults_open_descriptors(), now);
    }
    faults_reset();
    unkeep();
}
END_TEST

/* A group is removed and made anew, the process is moved: no stale figure. */
START_TEST(a_removed_file_is_opened_anew)
{
    struct answers a;

    over("v2-docker");
    a = ask(&kept);
    ck_assert_uint_eq(a.stall.memory_some_us, 777);
    /* What the kernel says of a group that is gone. */
    faults_only("pread");
    faults_set_errno(_i == 0 ? ENODEV : _i == 1 ? ENOENT : ESRCH);
    for (uint64_t n = 0; n < 30; n++) {
        /* At the start of a file it is opened anew at once, in the midst of it at
         * the next look. */
        faults_arm(n, false);
        (void)ask(&kept);
        faults_disarm();
        a = ask(&kept);
        ck_assert_int_eq(a.stall_rc, 0);
        ck_assert_uint_eq(a.stall.memory_some_us, 777);
        ck_assert_uint_eq(a.limit.limit_bytes, 512 * MIB);
        ck_assert_int_eq(a.process_rc, 0);
        ck_assert_int_eq(a.machine_rc, 0);
        ck_assert_int_le(faults_open_descriptors() - open_before, 24);
    }
    faults_arm(0, false);
    a = ask(&kept);
    ck_assert_int_eq(a.process_rc, 0);
    faults_reset();
    unkeep();
}
END_TEST

START_TEST(a_move_is_noticed)
{
    struct answers a;

    over("v2-nested");
    a = ask(&kept);
    ck_assert_uint_eq(a.limit.limit_bytes, 2048 * MIB);
    tree_plant_text(root, "sys/fs/cgroup/other/memory.max", "1048576\n");
    tree_plant_text(root, "sys/fs/cgroup/other/memory.current", "4096\n");
    tree_plant_text(root, "proc/self/cgroup", "0::/other\n");
    a = ask(&kept);
    ck_assert_uint_eq(a.limit.limit_bytes, MIB);
    ck_assert_str_eq(a.limit.source, "cgroup v2 /other, memory.max");
    same_answers();
    unkeep();
}
END_TEST

START_TEST(hits_are_those_of_the_group_that_binds)
{
    struct gov__limit limit;

    over(_i < 4 ? "v2-nested" : "v1-docker");
    if (_i == 1 || _i == 2)
        tree_plant_text(root,
                        "sys/fs/cgroup/kubepods.slice/pod7.slice/memory.events",
                        "low 1\nhigh 20\nmax 300\noom 0\n");
    if (_i == 2 || _i == 3)
        tree_plant_text(
            root, "sys/fs/cgroup/kubepods.slice/pod7.slice/memory.events.local",
            "low 1\nhigh 2\nmax 3\noom 7\n");
    if (_i == 4)
        tree_plant_text(root, "sys/fs/cgroup/memory/memory.failcnt", "77\n");
    ck_assert_int_eq(plain.limit(plain.ctx, &limit), 0);
    ck_assert_int_eq(limit.have_hits, _i != 0);
    ck_assert_uint_eq(limit.hits, _i == 0   ? 0
                                  : _i == 1 ? 320
                                  : _i == 4 ? 77
                                            : 5);
    unkeep();
}
END_TEST

START_TEST(each_call_fails_in_turn)
{
    uint64_t calls;

    over(_i / 2 == 0 ? "v2-nested" : "hybrid-limited");
    unkeep();
    faults_only("open,read,pread");
    faults_arm(FAULTS_NEVER, false);
    ck_assert_int_eq(plain.keep(plain.ctx, &room, &kept), 0);
    (void)ask(&kept);
    calls = faults_count();
    unkeep();
    for (uint64_t n = 0; n < calls; n++) {
        struct answers a;

        ck_assert_int_eq(plain.keep(plain.ctx, &room, &kept), 0);
        faults_arm(n, _i % 2 == 1);
        a = ask(&kept);
        /* A limit that cannot be read is not none. */
        ck_assert(a.limit_rc != 0 || a.limit.limit_bytes != UINT64_MAX);
        faults_disarm();
        same_answers(); /* a fault leaves nothing behind */
        unkeep();
    }
}
END_TEST

/* ---- the kernel that runs the tests ------------------------------------------ */

static struct gov__sample sample_of(const struct gov_platform *p)
{
    struct gov__sample out;

    gov__evidence_sample(p, 4096 * MIB, 1, &out);
    return out;
}

START_TEST(native_looks_need_no_descriptor)
{
    struct rlimit before, none;
    struct gov__sample a, b;
    uint64_t from, plain_us, kept_us;

    plain = *gov__platform_native();
    keep();
    a = sample_of(&kept);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    b = sample_of(&kept);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_eq(a.evidence.have, b.evidence.have);
    ck_assert(b.have_bounds && b.have_process);
    ck_assert_uint_eq(a.limit_bytes, b.limit_bytes);

    from = plain.now_us(plain.ctx);
    for (int i = 0; i < 200; i++)
        (void)sample_of(&plain);
    plain_us = plain.now_us(plain.ctx) - from;
    from = plain.now_us(plain.ctx);
    for (int i = 0; i < 200; i++)
        (void)sample_of(&kept);
    kept_us = plain.now_us(plain.ctx) - from;
    printf("# a look: %llu us, kept %llu us, %d descriptors\n",
           (unsigned long long)plain_us / 200,
           (unsigned long long)kept_us / 200,
           faults_open_descriptors() - open_before);
    for (int i = 0; i < 2; i++) {
        faults_only("open,read,pread");
        faults_arm(FAULTS_NEVER, false);
        (void)sample_of(i == 0 ? &plain : &kept);
        printf("# %s: %llu calls\n", i == 0 ? "plain" : "kept",
               (unsigned long long)faults_count());
    }
    faults_reset();
    unkeep();
}
END_TEST

/* The child's own figures, when it asks the plain table; the parent's stay. */
START_TEST(a_child_unkeeps)
{
    int status;
    pid_t pid;

    plain = *gov__platform_native();
    keep();
    (void)ask(&kept);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        kept.unkeep(kept.ctx, &room);
        _exit(faults_open_descriptors() == open_before ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(ask(&kept).process_rc, 0);
    unkeep();
}
END_TEST

/* A real group: the process is moved into one, and out before it is removed. */
START_TEST(native_groups_that_go_are_noticed)
{
    static const char group[] = "/sys/fs/cgroup/unified/governor-kept-test";
    struct answers a;
    char path[128];
    FILE *file;

    if (mkdir(group, 0755) != 0) {
        printf("skip: native_groups_that_go_are_noticed: %s: %s\n", group,
               strerror(errno));
        return;
    }
    plain = *gov__platform_native();
    keep();
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/cgroup.procs",
                 i == 0 ? group : "/sys/fs/cgroup/unified");
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        fprintf(file, "%d", (int)getpid());
        ck_assert_int_eq(fclose(file), 0);
        if (i == 1)
            ck_assert_int_eq(rmdir(group), 0);
        a = ask(&kept);
        ck_assert_int_eq(a.stall_rc, 0);
        ck_assert_str_eq(a.stall.source, i == 0 ? "own cgroup" : "system");
    }
    unkeep();
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("kept");
    TCase *tc = tcase_create("kept");

    if (gov__platform_linux_at == NULL) {
        puts("SKIP kept: not on Linux");
        return s;
    }
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_loop_test(tc, the_same_is_told, 0, TREES);
    tcase_add_loop_test(tc, garbage_is_survived, 0, TREES);
    tcase_add_loop_test(tc, a_second_look_opens_nothing_that_is_there, 0,
                        TREES);
    tcase_add_loop_test(tc, a_removed_file_is_opened_anew, 0, 3);
    tcase_add_test(tc, a_move_is_noticed);
    tcase_add_loop_test(tc, hits_are_those_of_the_group_that_binds, 0, 5);
    tcase_add_loop_test(tc, each_call_fails_in_turn, 0, 4);
    tcase_add_test(tc, native_looks_need_no_descriptor);
    tcase_add_test(tc, a_child_unkeeps);
    tcase_add_test(tc, native_groups_that_go_are_noticed);
    suite_add_tcase(s, tc);
    return s;
}
