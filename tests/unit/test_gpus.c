/* SPDX-License-Identifier: MIT */
/* One list of graphics processors: what each driver's library tells, hostile
 * ones included, and what device/gpus.c makes of it all. The libraries are
 * tests/fakes, and Mesa's lavapipe behind the real Vulkan loader. */
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "governor/device/device_priv.h"
#include "governor/platform/gpu_drivers.h"
#include "governor/platform/linux_parts.h"
#include "tests/fakes/fake_nvml.h"
#include "tests/fakes/fake_vulkan.h"
#include "tests/support/run.h"
#include "tests/support/tree.h"

#define GIB (UINT64_C(1) << 30)
#define MANY 48

/* Elsewhere than on Linux they do not exist; then there is nothing to test. */
#pragma weak gov__nvml_read_from
#pragma weak gov__vulkan_read_from
#pragma weak gov__linux_gpus

static bool here(const char *test)
{
    if (gov__nvml_read_from != NULL)
        return true;
    skip_test(test, "this is not Linux");
    return false;
}

/* A library of tests/fakes and the script that it exports. The handle stays. */
static void *script_of(const char *path, const char *script)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    ck_assert_msg(library != NULL, "%s (run from the top of the tree)",
                  dlerror());
    return dlsym(library, script);
}

/* ---- NVML ------------------------------------------------------------------- */

#define NVML FAKES "fake_nvml.so"

static struct fake_nvml_script *fresh_nvml(void)
{
    struct fake_nvml_script *script = script_of(NVML, "fake_nvml");

    ck_assert_ptr_nonnull(script);
    memset(script, 0, sizeof(*script));
    script->count = 2;
    script->total = 80 * GIB;
    script->used = 3 * GIB;
    return script;
}

static struct gov__gpu told[MANY];
static size_t count;

static void ask_nvml(const char *path)
{
    memset(told, 0xaa, sizeof(told));
    count = 99;
    ck_assert_int_eq(gov__nvml_read_from(path, told, MANY, &count), 0);
    ck_assert_uint_le(count, MANY);
    for (size_t i = 0; i < count; i++) {
        ck_assert_ptr_nonnull(memchr(told[i].name, 0, sizeof(told[i].name)));
        ck_assert_ptr_nonnull(memchr(told[i].bus, 0, sizeof(told[i].bus)));
        ck_assert_ptr_nonnull(
            memchr(told[i].source, 0, sizeof(told[i].source)));
    }
}

START_TEST(nvml_tells_two)
{
    struct fake_nvml_script *script;

    if (!here("nvml_tells_two"))
        return;
    script = fresh_nvml();
    ask_nvml(NVML);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(told[0].name, "NVIDIA Fake 80GB");
    ck_assert_str_eq(told[0].bus, "0000:41:00.0");
    ck_assert_str_eq(told[1].bus, "0000:42:00.0");
    ck_assert_uint_eq(told[1].memory_bytes, 80 * GIB);
    ck_assert_uint_eq(told[1].used_bytes, 3 * GIB);
    ck_assert_uint_eq(told[1].working_set_bytes, 0);
    ck_assert_str_eq(told[1].source, "NVML");
    ck_assert_int_eq(told[1].shares_ram || told[1].software, false);
    ck_assert_int_eq(script->opened, 0);
}
END_TEST

START_TEST(nvml_tells_instances)
{
    struct fake_nvml_script *script;

    if (!here("nvml_tells_instances"))
        return;
    script = fresh_nvml();
    script->mig_of = 1;
    script->mig_count = 2;
    ask_nvml(NVML);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(told[0].name, "NVIDIA Fake 80GB MIG 3g.40gb");
    ck_assert_str_eq(told[0].bus, "0000:41:00.0/mig0");
    ck_assert_str_eq(told[1].bus, "0000:41:00.0/mig1");
    ck_assert_uint_eq(told[1].memory_bytes, 40 * GIB);
    ck_assert_str_eq(told[2].bus, "0000:42:00.0");
    script->mig_count = UINT32_MAX;
    ask_nvml(NVML);
    ck_assert_uint_eq(count, 17);
    script->null_migs = true;
    ask_nvml(NVML);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(script->opened, 0);
}
END_TEST

/* What is left when one call fails. */
static const struct {
    enum fake_nvml_call call;
    size_t count;
    const char *name, *bus, *source;
} failing[] = {
    {FAKE_NVML_INIT, 1, "", "", "NVML: error 999"},
    {FAKE_NVML_COUNT, 1, "", "", "NVML: error 999"},
    {FAKE_NVML_HANDLE, 0, "", "", ""},
    {FAKE_NVML_NAME, 3, "", "0000:41:00.0/mig0", "NVML"},
    {FAKE_NVML_PCI, 3, "NVIDIA Fake 80GB MIG 3g.40gb", "", "NVML"},
    {FAKE_NVML_MEMORY, 3, "NVIDIA Fake 80GB MIG 3g.40gb", "0000:41:00.0/mig0",
     "NVML, which does not tell its memory (error 999)"},
    {FAKE_NVML_MIG_MODE, 2, "NVIDIA Fake 80GB", "0000:41:00.0", "NVML"},
    {FAKE_NVML_MIG_COUNT, 1, "NVIDIA Fake 80GB", "0000:42:00.0", "NVML"},
    {FAKE_NVML_MIG_HANDLE, 1, "NVIDIA Fake 80GB", "0000:42:00.0", "NVML"},
};

START_TEST(nvml_call_fails)
{
    struct fake_nvml_script *script;

    if (!here("nvml_call_fails"))
        return;
    script = fresh_nvml();
    script->mig_of = 1;
    script->mig_count = 2;
    script->rc[failing[_i].call] = 999;
    ask_nvml(NVML);
    ck_assert_int_eq(script->opened, 0);
    ck_assert_uint_eq(count, failing[_i].count);
    if (count == 0)
        return;
    ck_assert_str_eq(told[0].name, failing[_i].name);
    ck_assert_str_eq(told[0].bus, failing[_i].bus);
    ck_assert_str_eq(told[0].source, failing[_i].source);
    ck_assert_int_eq(told[0].failed, failing[_i].call <= FAKE_NVML_COUNT);
    ck_assert(failing[_i].call != FAKE_NVML_MEMORY ||
              (told[0].memory_bytes == 0 && told[0].used_bytes == 0));
}
END_TEST

START_TEST(nvml_explains)
{
    struct fake_nvml_script *script;
    char text[4096];

    if (!here("nvml_explains"))
        return;
    script = fresh_nvml();
    script->rc[_i == 0 ? FAKE_NVML_INIT : FAKE_NVML_COUNT] = 18;
    script->error = "Driver/library version mismatch";
    ask_nvml(NVML);
    ck_assert_uint_eq(count, 1);
    ck_assert(told[0].failed);
    ck_assert_str_eq(told[0].name, "");
    ck_assert_str_eq(told[0].source, "NVML: Driver/library version mismatch");
    ck_assert_int_eq(script->opened, 0);
    memset(text, 'E', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    script->error = text;
    ask_nvml(NVML);
    ck_assert_uint_eq(strlen(told[0].source), strlen("NVML: ") + 120);
    ck_assert_int_eq(gov__nvml_read_from(NVML, told, 0, &count), 0);
    ck_assert_uint_eq(count, 0);
    script->error = NULL;
}
END_TEST

START_TEST(nvml_is_hostile)
{
    struct fake_nvml_script *script;
    size_t one;

    if (!here("nvml_is_hostile"))
        return;
    script = fresh_nvml();
    script->endless = true;
    script->total = 1;
    script->used = UINT64_MAX;
    for (unsigned bits = 31; bits < 33; bits++) {
        script->count = bits == 31 ? UINT32_C(1) << 31 : UINT32_MAX;
        ask_nvml(NVML);
        ck_assert_uint_eq(count, MANY);
        ck_assert_uint_eq(strlen(told[0].name), sizeof(told[0].name) - 1);
        ck_assert_str_eq(told[0].bus, "ffffffff:ff:ff.0");
    }
    script->null_handles = true;
    ask_nvml(NVML);
    ck_assert_uint_eq(count, 0);
    script->null_handles = false;
    one = 99;
    memset(told, 0xaa, sizeof(told));
    ck_assert_int_eq(gov__nvml_read_from(NVML, told, 0, &one), 0);
    ck_assert_uint_eq(one, 0);
    ck_assert_int_eq((unsigned char)told[0].name[0], 0xaa);
    ck_assert_int_eq(script->opened, 0);
}
END_TEST

static const struct {
    const char *symbol;
    size_t count;
} missing[] = {
    {"nvmlInit_v2", 0},
    {"nvmlShutdown", 0},
    {"nvmlDeviceGetCount_v2", 0},
    {"nvmlDeviceGetHandleByIndex_v2", 0},
    {"nvmlDeviceGetName", 0},
    {"nvmlDeviceGetPciInfo_v3", 0},
    {"nvmlDeviceGetMemoryInfo", 0},
    {"nvmlErrorString", 0},
    {"nvmlDeviceGetMigMode", 2},
    {"nvmlDeviceGetMaxMigDeviceCount", 2},
    {"nvmlDeviceGetMigDeviceHandleByIndex", 2},
};

/* A copy of the library whose table of names has another one in its place. */
static void copy_without(const char *from, const char *to, const char *symbol)
{
    static char bytes[4 << 20];
    FILE *file = fopen(from, "r");
    size_t n, length = strlen(symbol) + 1, found = 0;

    ck_assert_ptr_nonnull(file);
    n = fread(bytes, 1, sizeof(bytes), file);
    ck_assert_uint_lt(n, sizeof(bytes));
    fclose(file);
    for (size_t i = 1; i + length <= n; i++)
        if (bytes[i - 1] == '\0' && memcmp(bytes + i, symbol, length) == 0) {
            bytes[i] = 'x';
            found++;
        }
    ck_assert_uint_gt(found, 0);
    file = fopen(to, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

START_TEST(nvml_lacks_a_call)
{
    struct fake_nvml_script *script;
    char path[512];

    if (!here("nvml_lacks_a_call"))
        return;
    snprintf(path, sizeof(path), "%s/without.so", fresh_directory());
    copy_without(NVML, path, missing[_i].symbol);
    script = script_of(path, "fake_nvml");
    ck_assert_ptr_nonnull(script);
    script->count = 2;
    script->mig_of = 1;
    script->total = GIB;
    if (strcmp(missing[_i].symbol, "nvmlErrorString") == 0)
        script->rc[FAKE_NVML_INIT] = 18;
    ask_nvml(path);
    if (missing[_i].count == 0) {
        ck_assert(count == 1 && told[0].failed);
        ck_assert_ptr_nonnull(strstr(told[0].source, script->rc[0] == 18
                                                         ? "NVML: error 18"
                                                         : " lacks a call"));
    } else {
        ck_assert_uint_eq(count, missing[_i].count);
        ck_assert(!told[0].failed);
    }
    ck_assert_int_eq(script->opened, 0);
}
END_TEST

/* ---- Vulkan ----------------------------------------------------------------- */

#define VULKAN FAKES "fake_vulkan.so"

static struct fake_vulkan_script *fresh_vulkan(void)
{
    struct fake_vulkan_script *script = script_of(VULKAN, "fake_vulkan");

    ck_assert_ptr_nonnull(script);
    *script = (struct fake_vulkan_script){
        .gpus = {{"NVIDIA Fake 80GB", 2, 0x41, 80 * GIB, 70 * GIB},
                 {"Integrated", 1, 0, 24 * GIB, 20 * GIB},
                 {"Old", 2, 0, 8 * GIB, 0},
                 {"llvmpipe", 4, 0, 32 * GIB, 30 * GIB}},
        .count = 4};
    return script;
}

static void ask_vulkan(void)
{
    memset(told, 0xaa, sizeof(told));
    count = 99;
    ck_assert_int_eq(gov__vulkan_read_from(VULKAN, told, MANY, &count), 0);
    ck_assert_uint_le(count, MANY);
}

START_TEST(vulkan_tells_four)
{
    struct fake_vulkan_script *script;

    if (!here("vulkan_tells_four"))
        return;
    script = fresh_vulkan();
    ask_vulkan();
    ck_assert_uint_eq(count, 4);
    ck_assert_str_eq(told[0].name, "NVIDIA Fake 80GB");
    ck_assert_str_eq(told[0].bus, "0000:41:00.0");
    ck_assert_uint_eq(told[0].memory_bytes, 80 * GIB);
    ck_assert_uint_eq(told[0].working_set_bytes, 70 * GIB);
    ck_assert_uint_eq(told[0].used_bytes, 0);
    ck_assert_str_eq(told[0].source, "Vulkan, VK_EXT_memory_budget");
    ck_assert_int_eq(told[0].shares_ram || told[0].software, false);
    ck_assert_str_eq(told[1].bus, "");
    ck_assert_int_eq(told[1].shares_ram, true);
    ck_assert_uint_eq(told[1].working_set_bytes, 20 * GIB);
    ck_assert_uint_eq(told[2].memory_bytes, 8 * GIB);
    ck_assert_uint_eq(told[2].working_set_bytes, 0);
    ck_assert_str_eq(told[2].source, "Vulkan");
    ck_assert_int_eq(told[3].software, true);
    ck_assert_uint_eq(told[3].memory_bytes, 0);
    ck_assert_uint_eq(told[3].working_set_bytes, 0);
    ck_assert_str_eq(told[3].source, "Vulkan");
    ck_assert_int_eq(script->opened, 0);
    script->gpus[1].budget = 0;
    script->gpus[0].budget = UINT64_MAX;
    ask_vulkan();
    ck_assert_uint_eq(told[0].working_set_bytes, 80 * GIB);
    ck_assert_uint_eq(told[1].working_set_bytes, 24 * GIB);
}
END_TEST

/* -1 and the like are VK_ERROR_*; 5 is VK_INCOMPLETE. */
static const struct {
    int create, enumerate, extensions;
    const char *failure; /* NULL: it tells of four */
} results[] = {
    {-9, 0, 0, "Vulkan: no driver that works"},
    {0, -3, 0, "Vulkan: its drivers list no processor (VkResult -3)"},
    {0, 5, 0, NULL},
    {0, 0, -1, NULL},
    {0, 0, 5, NULL},
    {-1000, -1000, -1000, "Vulkan: it cannot be started (VkResult -1000)"},
};

START_TEST(vulkan_call_fails)
{
    struct fake_vulkan_script *script;

    if (!here("vulkan_call_fails"))
        return;
    script = fresh_vulkan();
    script->create_rc = results[_i].create;
    script->enumerate_rc = results[_i].enumerate;
    script->extensions_rc = results[_i].extensions;
    ask_vulkan();
    ck_assert_uint_eq(count, results[_i].failure != NULL ? 1 : 4);
    ck_assert_int_eq(told[0].failed, results[_i].failure != NULL);
    if (results[_i].failure != NULL)
        ck_assert_str_eq(told[0].source, results[_i].failure);
    ck_assert_int_eq(script->opened, 0);
    if (results[_i].extensions == 5)
        ck_assert_str_eq(told[0].source, "Vulkan, VK_EXT_memory_budget");
    if (results[_i].extensions == -1) {
        ck_assert_str_eq(told[0].bus, "");
        ck_assert_str_eq(told[0].source, "Vulkan");
        ck_assert_uint_eq(told[0].working_set_bytes, 0);
    }
}
END_TEST

static const char *const functions[] = {
    "vkCreateInstance",
    "vkDestroyInstance",
    "vkEnumeratePhysicalDevices",
    "vkEnumerateDeviceExtensionProperties",
    "vkGetPhysicalDeviceProperties2KHR",
    "vkGetPhysicalDeviceMemoryProperties2KHR",
};

START_TEST(vulkan_lacks_a_call)
{
    struct fake_vulkan_script *script;

    if (!here("vulkan_lacks_a_call"))
        return;
    script = fresh_vulkan();
    script->absent = functions[_i];
    ask_vulkan();
    ck_assert(count == 1 && told[0].failed);
    ck_assert_str_eq(told[0].source,
                     _i == 0 ? "Vulkan: it cannot be started (VkResult -3)"
                             : "Vulkan: it lacks a call");
    /* Nobody can destroy one without a call for it. */
    ck_assert_int_eq(script->opened, _i == 1 ? 1 : 0);
    script->opened = 0;
}
END_TEST

START_TEST(vulkan_is_hostile)
{
    struct fake_vulkan_script *script;

    if (!here("vulkan_is_hostile"))
        return;
    script = fresh_vulkan();
    script->endless = true;
    script->count = UINT32_C(1) << 31;
    script->heaps = UINT32_MAX;
    ask_vulkan();
    ck_assert_uint_eq(count, 4); /* handles that are NULL do not count */
    ck_assert_uint_eq(strlen(told[0].name), sizeof(told[0].name) - 1);
    ck_assert_str_eq(told[0].bus, "ffffffff:ff:ff.7");
    ck_assert_int_eq(gov__vulkan_read_from(VULKAN, told, 0, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(script->opened, 0);
}
END_TEST

/* Neither is there, or it is something else. */
START_TEST(no_library)
{
    if (!here("no_library"))
        return;
    ask_nvml("libno-such-thing.so.1");
    ck_assert_uint_eq(count, 0);
    ask_nvml(VULKAN);
    ck_assert(count == 1 && told[0].failed);
    count = 99;
    ck_assert_int_eq(
        gov__vulkan_read_from("libno-such-thing.so.1", told, MANY, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(gov__vulkan_read_from(NVML, told, MANY, &count), 0);
    ck_assert(count == 1 && told[0].failed);
    ck_assert_str_eq(told[0].source, "Vulkan: it lacks a call");
}
END_TEST

/* ---- lavapipe --------------------------------------------------------------- */

/* Whether a driver is in the process. */
static bool is_loaded(const char *name)
{
    void *library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);

    if (library != NULL)
        dlclose(library);
    return library != NULL;
}

/* Makes the Vulkan loader use Mesa's driver without a processor and no other,
 * without a display; false when it is not installed. */
static bool use_lavapipe(const char *test)
{
    static const char *const patterns[] = {
        "/usr/share/vulkan/icd.d/lvp_icd*.json",
        "/usr/local/share/vulkan/icd.d/lvp_icd*.json",
        "/etc/vulkan/icd.d/lvp_icd*.json"};
    glob_t found;
    void *loader;
    int rc = GLOB_NOMATCH;

    if (!here(test))
        return false;
    for (size_t i = 0; i < 3 && rc != 0; i++) {
        rc = glob(patterns[i], 0, NULL, &found);
        if (rc != 0)
            globfree(&found);
    }
    if (rc != 0) {
        skip_test(test, "Mesa's lavapipe is not installed");
        return false;
    }
    /* The first is what newer loaders read. */
    setenv("VK_DRIVER_FILES", found.gl_pathv[0], 1);
    setenv("VK_ICD_FILENAMES", found.gl_pathv[0], 1);
    unsetenv("DISPLAY");
    unsetenv("WAYLAND_DISPLAY");
    globfree(&found);
    loader = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (loader == NULL) {
        skip_test(test, "there is no Vulkan loader");
        return false;
    }
    dlclose(loader);
    return true;
}

START_TEST(lavapipe_is_software)
{
    if (!use_lavapipe("lavapipe_is_software"))
        return;
    /* Twice: the second time everything is loaded already. */
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(
            gov__vulkan_read_from("libvulkan.so.1", told, MANY, &count), 0);
        ck_assert_uint_eq(count, 1);
        ck_assert_msg(strncmp(told[0].name, "llvmpipe", 8) == 0, "%s",
                      told[0].name);
        ck_assert_int_eq(told[0].software, true);
        ck_assert_str_eq(told[0].bus, "");
        ck_assert_str_eq(told[0].source, "Vulkan");
        ck_assert_uint_eq(told[0].memory_bytes, 0);
        ck_assert_uint_eq(told[0].working_set_bytes, 0);
        ck_assert(is_loaded("libvulkan.so.1"));
        ck_assert(is_loaded("libvulkan_lvp.so"));
    }
}
END_TEST

/* The whole way, on this machine. */
START_TEST(device_lists_lavapipe)
{
    const struct gov_platform *native = gov__platform_native();
    struct gov_device device;
    gov_error err;
    int software = 0;

    if (!use_lavapipe("device_lists_lavapipe"))
        return;
    memset(&device, 0, sizeof(device));
    ck_assert_int_eq(gov__device_gpus(native, &device, &err), GOV_OK);
    for (uint32_t i = 0; i < device.gpu_count; i++)
        software += device.gpus[i].software;
    ck_assert_int_eq(software, 1);
}
END_TEST

/* ---- one list --------------------------------------------------------------- */

struct answer {
    struct gov__gpu gpus[8];
    size_t count;
    int rc;
};

static int answer(void *ctx, struct gov__gpu *out, size_t max, size_t *n)
{
    const struct answer *from = ctx;

    for (size_t i = 0; i < max && i < from->count; i++)
        out[i] = from->gpus[i % 8];
    *n = from->count;
    return from->rc;
}

static gov_status list(struct answer *from, struct gov_device *device,
                       gov_error *err)
{
    struct gov_platform platform;

    memset(&platform, 0, sizeof(platform));
    platform.ctx = from;
    platform.gpus = answer;
    memset(err, 0, sizeof(*err));
    return gov__device_gpus(&platform, device, err);
}

#define BUS "0000:41:00.0"

static const struct {
    const char *what;
    struct gov__gpu told[4];
    uint32_t count;
    struct gov_gpu want[3];
} merges[] = {
    {"the same address is one",
     {{.name = "X",
       .bus = BUS,
       .memory_bytes = 80,
       .used_bytes = 3,
       .source = "NVML"},
      {.name = "x 10DE:1",
       .bus = BUS,
       .memory_bytes = 70,
       .used_bytes = 9,
       .source = "DRM, x"},
      {.name = "X of Vulkan",
       .bus = BUS,
       .memory_bytes = 81,
       .working_set_bytes = 75,
       .source = "Vulkan, VK_EXT_memory_budget"}},
     1,
     {{.name = "X of Vulkan",
       .bus = BUS,
       .memory_bytes = 80,
       .working_set_bytes = 75,
       .used_bytes = 3,
       .source = "NVML; DRM, x; Vulkan, VK_EXT_memory_budget"}}},
    {"no budget: what is left",
     {{.name = "X",
       .bus = BUS,
       .memory_bytes = 80,
       .used_bytes = 3,
       .source = "NVML"},
      {.name = "X", .bus = BUS, .memory_bytes = 81, .source = "Vulkan"}},
     1,
     {{.name = "X",
       .bus = BUS,
       .memory_bytes = 80,
       .working_set_bytes = 77,
       .used_bytes = 3,
       .source = "NVML; Vulkan"}}},
    {"instances of one are not it",
     {{.name = "X MIG",
       .bus = BUS "/mig0",
       .memory_bytes = 40,
       .source = "NVML"},
      {.name = "X MIG",
       .bus = BUS "/mig1",
       .memory_bytes = 40,
       .source = "NVML"}},
     2,
     {{.name = "X MIG",
       .bus = BUS "/mig0",
       .memory_bytes = 40,
       .working_set_bytes = 40,
       .source = "NVML"},
      {.name = "X MIG",
       .bus = BUS "/mig1",
       .memory_bytes = 40,
       .working_set_bytes = 40,
       .source = "NVML"}}},
    {"without an address the name decides, once for each driver",
     {{.name = "X", .bus = "a", .memory_bytes = 8, .source = "NVML"},
      {.name = "X", .bus = "b", .memory_bytes = 9, .source = "NVML"},
      {.name = "X", .working_set_bytes = 5, .source = "Vulkan"},
      {.name = "X", .working_set_bytes = 6, .source = "Vulkan"}},
     2,
     {{.name = "X",
       .bus = "a",
       .memory_bytes = 8,
       .working_set_bytes = 5,
       .source = "NVML; Vulkan"},
      {.name = "X",
       .bus = "b",
       .memory_bytes = 9,
       .working_set_bytes = 6,
       .source = "NVML; Vulkan"}}},
    {"the same driver's two without an address are two",
     {{.name = "X", .memory_bytes = 8, .source = "Vulkan"},
      {.name = "X", .memory_bytes = 8, .source = "Vulkan, more"}},
     2,
     {{.name = "X",
       .memory_bytes = 8,
       .working_set_bytes = 8,
       .source = "Vulkan"},
      {.name = "X",
       .memory_bytes = 8,
       .working_set_bytes = 8,
       .source = "Vulkan, more"}}},
    {"other names without an address are others",
     {{.name = "X", .bus = "a", .memory_bytes = 8, .source = "NVML"},
      {.name = "Y", .memory_bytes = 8, .source = "Vulkan"},
      {.name = "", .memory_bytes = 8, .source = "Other"}},
     3,
     {{.name = "X",
       .bus = "a",
       .memory_bytes = 8,
       .working_set_bytes = 8,
       .source = "NVML"},
      {.name = "Y",
       .memory_bytes = 8,
       .working_set_bytes = 8,
       .source = "Vulkan"},
      {.name = "",
       .memory_bytes = 8,
       .working_set_bytes = 8,
       .source = "Other"}}},
    {"a system on a chip has one",
     {{.name = "asahi", .shares_ram = true, .source = "DRM, asahi"},
      {.name = "Apple M1",
       .memory_bytes = 12,
       .working_set_bytes = 9,
       .shares_ram = true,
       .source = "Vulkan, VK_EXT_memory_budget"}},
     1,
     {{.name = "Apple M1",
       .working_set_bytes = 9,
       .shares_ram = true,
       .source = "DRM, asahi; Vulkan, VK_EXT_memory_budget"}}},
    {"who says that it shares RAM is right, and then none is its own",
     {{.name = "i",
       .bus = "a",
       .memory_bytes = 8,
       .used_bytes = 1,
       .source = "DRM, i"},
      {.name = "I",
       .bus = "a",
       .memory_bytes = 30,
       .working_set_bytes = 20,
       .shares_ram = true,
       .source = "Vulkan"}},
     1,
     {{.name = "I",
       .bus = "a",
       .working_set_bytes = 20,
       .used_bytes = 1,
       .shares_ram = true,
       .source = "DRM, i; Vulkan"}}},
    {"what one tells the next need not",
     {{.bus = "a",
       .working_set_bytes = 20,
       .used_bytes = 1,
       .shares_ram = true,
       .source = "DRM, i"},
      {.name = "I", .bus = "a", .source = "Vulkan"},
      {.bus = "a", .source = "Vulkan, again"}},
     1,
     {{.name = "I",
       .bus = "a",
       .working_set_bytes = 20,
       .used_bytes = 1,
       .shares_ram = true,
       .source = "DRM, i; Vulkan"}}},
    {"software has no memory and is nobody else",
     {{.name = "X", .bus = "a", .memory_bytes = 8, .source = "NVML"},
      {.name = "X",
       .memory_bytes = 30,
       .working_set_bytes = 20,
       .used_bytes = 7,
       .software = true,
       .source = "Vulkan"}},
     2,
     {{.name = "X",
       .bus = "a",
       .memory_bytes = 8,
       .working_set_bytes = 8,
       .source = "NVML"},
      {.name = "X", .software = true, .source = "Vulkan"}}},
    {"figures that cannot be",
     {{.name = "X\n\x1b[2J\xff",
       .bus = "a\tb",
       .memory_bytes = UINT64_MAX,
       .used_bytes = UINT64_MAX,
       .source = "N\x01"},
      {.name = "Y",
       .memory_bytes = 8,
       .working_set_bytes = 9,
       .used_bytes = 10,
       .source = "NVML"}},
     2,
     {{.name = "X??[2J?",
       .bus = "a?b",
       .memory_bytes = INT64_MAX,
       .used_bytes = INT64_MAX,
       .source = "N?"},
      {.name = "Y",
       .memory_bytes = 8,
       .working_set_bytes = 8,
       .used_bytes = 8,
       .source = "NVML"}}},
};

START_TEST(makes_one_list)
{
    struct answer from = {.count = 0};
    static struct gov_device device;
    gov_error err;

    memset(&device, 0x55, sizeof(device));
    memcpy(from.gpus, merges[_i].told, sizeof(merges[_i].told));
    while (from.count < 4 && from.gpus[from.count].source[0] != '\0')
        from.count++;
    ck_assert_int_eq(list(&from, &device, &err), GOV_OK);
    ck_assert_msg(device.gpu_count == merges[_i].count, "%s: %d",
                  merges[_i].what, (int)device.gpu_count);
    for (uint32_t i = 0; i < device.gpu_count; i++) {
        const struct gov_gpu *got = &device.gpus[i],
                             *want = &merges[_i].want[i];

        ck_assert_str_eq(got->name, want->name);
        ck_assert_str_eq(got->bus, want->bus);
        ck_assert_str_eq(got->source, want->source);
        ck_assert_uint_eq(got->memory_bytes, want->memory_bytes);
        ck_assert_uint_eq(got->working_set_bytes, want->working_set_bytes);
        ck_assert_uint_eq(got->used_bytes, want->used_bytes);
        ck_assert_int_eq(got->shares_ram, want->shares_ram);
        ck_assert_int_eq(got->software, want->software);
    }
}
END_TEST

static const struct {
    struct gov__gpu told[4];
    uint64_t count;
    const char *source;
} counts[] = {
    {{{.source = ""}}, 0, "no driver tells of one"},
    {{{.name = "X", .source = "NVML"}}, 1, "every driver there is answered"},
    {{{.name = "L", .software = true, .source = "Vulkan"}},
     0,
     "no driver tells of one"},
    {{{.failed = true, .source = "NVML: Driver/library version mismatch"}},
     0,
     "NVML: Driver/library version mismatch"},
    {{{.failed = true, .source = "NVML: \x1b[2J"},
      {.name = "X", .bus = "a", .source = "DRM, x"},
      {.failed = true, .source = "Vulkan: no driver that works"}},
     1,
     "NVML: ?[2J; Vulkan: no driver that works"},
};

START_TEST(a_driver_that_fails_is_told)
{
    struct answer from = {.count = 0};
    static struct gov_device device;
    const struct gov_device_fact *fact;
    gov_error err;

    memset(&device, 0, sizeof(device));
    memcpy(from.gpus, counts[_i].told, sizeof(counts[_i].told));
    while (from.count < 4 && from.gpus[from.count].source[0] != '\0')
        from.count++;
    ck_assert_int_eq(list(&from, &device, &err), GOV_OK);
    ck_assert_uint_eq(device.gpu_count,
                      counts[_i].count + counts[_i].told[0].software);
    fact = gov_device_fact(&device, GOV_FACT_GPU_COUNT);
    ck_assert(fact != NULL && fact->known);
    ck_assert_uint_eq(fact->number, counts[_i].count);
    ck_assert_str_eq(fact->source, counts[_i].source);
}
END_TEST

START_TEST(more_than_there_is_room_for)
{
    struct answer from = {.count = SIZE_MAX};
    static struct gov_device device;
    gov_error err;

    for (int i = 0; i < 8; i++) {
        memset(from.gpus[i].source, 'a' + i, sizeof(from.gpus[i].source));
        memset(from.gpus[i].name, 'a' + i, sizeof(from.gpus[i].name));
    }
    memset(&device, 0, sizeof(device));
    ck_assert_int_eq(list(&from, &device, &err), GOV_OK);
    ck_assert_uint_eq(device.gpu_count, GOV_DEVICE_GPUS);
    ck_assert_uint_eq(strlen(device.gpus[15].name),
                      sizeof(device.gpus[15].name) - 1);
}
END_TEST

START_TEST(platform_fails)
{
    struct answer from = {.rc = EMFILE, .count = 3};
    static struct gov_device device;
    gov_error err;

    memset(&device, 0, sizeof(device));
    device.gpu_count = 1;
    ck_assert_int_eq(list(&from, &device, &err), GOV_E_IO);
    ck_assert_msg(
        strcmp(err.message,
               "cannot list graphics processors: Too many open files") == 0,
        "%s", err.message);
    ck_assert_uint_eq(device.gpu_count, 1);
    from.rc = ENOMEM;
    ck_assert_int_eq(list(&from, &device, &err), GOV_E_NOMEM);
    from.rc = ENOTSUP;
    ck_assert_int_eq(list(&from, &device, &err), GOV_OK);
    ck_assert_uint_eq(device.gpu_count, 0);
    ck_assert(!gov_device_fact(&device, GOV_FACT_GPU_COUNT)->known);
    ck_assert_str_eq(err.message, "");
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *suite(void)
{
    Suite *s = suite_create("gpus");
    TCase *tc = tcase_create("gpus");

    tcase_set_timeout(tc, 30); /* LLVM is large */
    tcase_add_test(tc, nvml_tells_two);
    tcase_add_test(tc, nvml_tells_instances);
    tcase_add_loop_test(tc, nvml_call_fails, 0, ROWS(failing));
    tcase_add_loop_test(tc, nvml_explains, 0, 2);
    tcase_add_test(tc, nvml_is_hostile);
    tcase_add_loop_test(tc, nvml_lacks_a_call, 0, ROWS(missing));
    tcase_add_test(tc, vulkan_tells_four);
    tcase_add_loop_test(tc, vulkan_call_fails, 0, ROWS(results));
    tcase_add_loop_test(tc, vulkan_lacks_a_call, 0, ROWS(functions));
    tcase_add_test(tc, vulkan_is_hostile);
    tcase_add_test(tc, no_library);
    tcase_add_test(tc, lavapipe_is_software);
    tcase_add_test(tc, device_lists_lavapipe);
    tcase_add_loop_test(tc, makes_one_list, 0, ROWS(merges));
    tcase_add_loop_test(tc, a_driver_that_fails_is_told, 0, ROWS(counts));
    tcase_add_test(tc, more_than_there_is_room_for);
    tcase_add_test(tc, platform_fails);
    suite_add_tcase(s, tc);
    return s;
}
