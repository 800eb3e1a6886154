/* SPDX-License-Identifier: MIT */
/* Graphics processors as sysfs shows them, over fixtures/drm-NAME.tree. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "governor/platform/gpu_drivers.h"
#include "governor/platform/linux_parts.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/tree.h"

/* Elsewhere than on Linux they do not exist; then there is nothing to test. */
#pragma weak gov__drm_read
#pragma weak gov__linux_gpus

#define MANY 16

static const struct {
    const char *tree;
    size_t count;
    struct gov__gpu gpus[5];
} rows[] = {
    {"drm-amdgpu",
     2,
     {{.name = "amdgpu 1002:744C",
       .bus = "0000:03:00.0",
       .memory_bytes = 25753026560,
       .used_bytes = 1289748480,
       .source = "DRM, amdgpu"},
      {.name = "amdgpu 1002:164E",
       .bus = "0000:0f:00.0",
       .working_set_bytes = 33400000000,
       .used_bytes = 43033088,
       .shares_ram = true,
       .source = "DRM, amdgpu"}}},
    {"drm-intel",
     5,
     {{.name = "i915 8086:A780",
       .bus = "0000:00:02.0",
       .shares_ram = true,
       .source = "DRM, i915"},
      {.name = "xe 8086:E20B",
       .bus = "0000:03:00.0",
       .memory_bytes = 12884901888,
       .source = "DRM, xe"},
      {.name = "xe 8086:0BD5",
       .bus = "0000:4d:00.0",
       .memory_bytes = 137438953472,
       .source = "DRM, xe"},
      {.name = "i915 8086:56A0",
       .bus = "0000:56:00.0",
       .memory_bytes = 17179869184,
       .used_bytes = 1073741824,
       .source = "DRM, i915"},
      {.name = "i915 8086:56A5",
       .bus = "0000:57:00.0",
       .source = "DRM, i915"}}},
    {"drm-asahi",
     1,
     {{.name = "asahi", .shares_ram = true, .source = "DRM, asahi"}}},
    {"drm-container",
     2,
     {{.name = "Instinct MI210",
       .bus = "0000:13:00.0",
       .memory_bytes = 68702699520,
       .source = "DRM, amdgpu"},
      {.name = "nouveau 10DE:2504",
       .bus = "0000:d5:00.0",
       .source = "DRM, nouveau"}}},
    {"no-cgroup", 0, {{.name = ""}}},
};

static bool here(const char *test)
{
    if (gov__drm_read != NULL)
        return true;
    skip_test(test, "this is not Linux");
    return false;
}

START_TEST(reads_a_tree)
{
    struct gov__gpu got[MANY];
    struct gov__linux_root root;
    size_t count = 77;

    if (!here("reads_a_tree"))
        return;
    root.root = tree_use(rows[_i].tree);
    memset(got, 0xaa, sizeof(got));
    /* Below another root nobody else is asked. */
    ck_assert_int_eq(gov__linux_gpus(&root, got, MANY, &count), 0);
    ck_assert_uint_eq(count, rows[_i].count);
    for (size_t i = 0; i < count; i++) {
        const struct gov__gpu *want = &rows[_i].gpus[i];

        ck_assert_str_eq(got[i].name, want->name);
        ck_assert_str_eq(got[i].bus, want->bus);
        ck_assert_str_eq(got[i].source, want->source);
        ck_assert_uint_eq(got[i].memory_bytes, want->memory_bytes);
        ck_assert_uint_eq(got[i].working_set_bytes, want->working_set_bytes);
        ck_assert_uint_eq(got[i].used_bytes, want->used_bytes);
        ck_assert_int_eq(got[i].shares_ram, want->shares_ram);
        ck_assert_int_eq(got[i].software, false);
    }
}
END_TEST

/* As in sysfs: device is a link, and what is above it is not the card. */
START_TEST(card_is_not_above_its_device)
{
    static const char device[] = "sys/devices/pci0000:54/0000:56:00.0";
    static const struct {
        const char *file, *text;
    } files[] = {
        {"uevent", "DRIVER=i915\nPCI_ID=8086:56A0\n"},
        {"drm/renderD128/dev", "226:128\n"},
        {"drm/card0/lmem_total_bytes", "17179869184\n"},
        {"drm/card0/lmem_avail_bytes", "16106127360\n"},
    };
    const char *root;
    char path[512], link[64];
    struct gov__gpu got[MANY];
    size_t count = 0;

    if (!here("card_is_not_above_its_device"))
        return;
    root = tree_use("no-cgroup");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", device, files[i].file);
        tree_plant_text(root, path, files[i].text);
    }
    tree_plant_text(root, "dev/dri/renderD128", "");
    tree_plant_text(root, "sys/class/drm/version", "drm 1.1.0 20060810\n");
    snprintf(path, sizeof(path), "%s/%s/drm/card0/device", root, device);
    ck_assert_int_eq(symlink("../../../0000:56:00.0", path), 0);
    snprintf(path, sizeof(path), "%s/sys/class/drm/card0", root);
    snprintf(link, sizeof(link), "../../../%s/drm/card0", device);
    ck_assert_int_eq(symlink(link, path), 0);
    ck_assert_int_eq(gov__drm_read(root, got, MANY, &count), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(got[0].memory_bytes, 17179869184);
    ck_assert_uint_eq(got[0].used_bytes, 1073741824);
}
END_TEST

START_TEST(writes_no_more_than_there_is_room_for)
{
    struct gov__gpu got[3];
    size_t count;
    const char *root;

    if (!here("writes_no_more_than_there_is_room_for"))
        return;
    root = tree_use("drm-intel");
    for (size_t max = 0; max < 3; max++) {
        memset(got, 0xaa, sizeof(got));
        ck_assert_int_eq(gov__drm_read(root, got, max, &count), 0);
        ck_assert_uint_eq(count, max);
        ck_assert_int_eq((unsigned char)got[max].name[0], 0xaa);
    }
}
END_TEST

/* Without a descriptor it says so, and not that there is no processor. */
START_TEST(runs_out_of_descriptors)
{
    struct rlimit old, none;
    struct gov__gpu got[MANY];
    size_t count = 0;
    const char *root;
    int rc, before;

    if (!here("runs_out_of_descriptors"))
        return;
    root = tree_use("drm-amdgpu");
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 0;
    before = faults_open_descriptors();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    rc = gov__drm_read(root, got, MANY, &count);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    ck_assert_int_eq(rc, EMFILE);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(gov__drm_read(root, got, MANY, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(faults_open_descriptors(), before);
}
END_TEST

/* Each open and read fails in turn: what is told then is less, never wrong, and
 * a shortage is an error. */
START_TEST(each_call_fails)
{
    static const int errors[] = {EIO, EMFILE, ENOMEM};
    struct gov__gpu got[MANY];
    size_t count;
    uint64_t calls;
    const char *root;
    size_t whole;
    int before;

    if (!here("each_call_fails"))
        return;
    root = tree_use("drm-amdgpu");
    before = faults_open_descriptors();
    faults_reset();
    ck_assert_int_eq(gov__drm_read(root, got, MANY, &count), 0);
    calls = faults_count();
    ck_assert_uint_gt(calls, 10);
    whole = count;
    for (uint64_t n = 0; n < calls; n++) {
        int rc;

        faults_reset();
        faults_set_errno(errors[_i % 3]);
        faults_arm(n, _i >= 3);
        rc = gov__drm_read(root, got, MANY, &count);
        faults_disarm();
        /* Of what is not there nothing is lost, whatever was said of it. */
        if (errors[_i % 3] != EIO && strcmp(faults_last(), "open") == 0)
            ck_assert(rc == errors[_i % 3] ||
                      (rc == 0 && count == whole && _i % 3 == 1));
        ck_assert_uint_le(count, 2);
        for (size_t i = 0; rc == 0 && i < count; i++)
            ck_assert_uint_le(got[i].memory_bytes, 25753026560);
        ck_assert_int_eq(faults_open_descriptors(), before);
    }
    faults_reset();
}
END_TEST

START_TEST(lives_with_junk)
{
    static const char *const trees[] = {"drm-amdgpu", "drm-intel",
                                        "drm-container"};

    if (!here("lives_with_junk"))
        return;
    for (uint32_t seed = 1; seed < 22; seed++) {
        struct gov__gpu got[MANY];
        char *text = tree_read(trees[seed % 3]);
        const char *root = fresh_directory();
        uint32_t at = seed;
        size_t count = MANY + 1;

        tree_plant_all(root, text, &at);
        free(text);
        ck_assert_int_eq(gov__drm_read(root, got, MANY, &count), 0);
        ck_assert_uint_le(count, 5);
        for (size_t i = 0; i < count; i++) {
            ck_assert_ptr_nonnull(memchr(got[i].name, 0, sizeof(got[i].name)));
            ck_assert_ptr_nonnull(memchr(got[i].bus, 0, sizeof(got[i].bus)));
        }
    }
}
END_TEST

START_TEST(takes_lines_of_any_length)
{
    struct gov__gpu got[MANY];
    size_t count;
    const char *root;
    char line[6000];
    const size_t cut = 3000; /* the rest is more than anybody reads */

    if (!here("takes_lines_of_any_length"))
        return;
    root = tree_use("drm-amdgpu");
    memset(line, 'x', sizeof(line));
    memcpy(line, "DRIVER=amdgpu\nPCI_SLOT_NAME=", 28);
    tree_plant(root, "sys/class/drm/card1/device/uevent", line, cut);
    tree_plant(root, "sys/class/drm/card1/device/product_name", line + 100,
               cut);
    ck_assert_int_eq(gov__drm_read(root, got, MANY, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(strlen(got[0].bus), sizeof(got[0].bus) - 1);
    ck_assert_uint_eq(strlen(got[0].name), sizeof(got[0].name) - 1);
    tree_plant(root, "sys/class/drm/card1/device/uevent", line, sizeof(line));
    ck_assert_int_eq(gov__drm_read(root, got, MANY, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(got[0].bus, "");
    memset(line, '/', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    ck_assert_int_eq(gov__drm_read(line, got, MANY, &count), ENAMETOOLONG);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("linux_drm");
    TCase *tc = tcase_create("drm");

    tcase_set_timeout(tc, 20);
    tcase_add_loop_test(tc, reads_a_tree, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, writes_no_more_than_there_is_room_for);
    tcase_add_test(tc, card_is_not_above_its_device);
    tcase_add_test(tc, runs_out_of_descriptors);
    tcase_add_loop_test(tc, each_call_fails, 0, 6);
    tcase_add_test(tc, lives_with_junk);
    tcase_add_test(tc, takes_lines_of_any_length);
    suite_add_tcase(s, tc);
    return s;
}
