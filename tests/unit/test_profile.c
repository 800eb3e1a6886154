/* SPDX-License-Identifier: MIT */
/* Storing a device and reading it back, and every file that must not be
 * believed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/device/device_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define ADD_ROWS(tc, test, table)                                              \
    tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

static const char *dir;
static char path[512];

static void begin(void)
{
    dir = fresh_directory();
    snprintf(path, sizeof(path), "%s/device.json", dir);
    ck_assert_int_eq(setenv("XDG_CONFIG_HOME", dir, 1), 0);
}

/* Everything known and nothing zero, so that a member that is lost shows. */
static struct gov_device whole_device(void)
{
    struct gov_device device;

    memset(&device, 0, sizeof(device));
    device.size = sizeof(device);
    gov__device_set(&device, GOV_FACT_DEVICE_RAM, 16 * GIB, "/proc/meminfo");
    gov__device_set(&device, GOV_FACT_DEVICE_LIMIT, 8 * GIB,
                    "cgroup v2 /app, memory.max");
    gov__device_set(&device, GOV_FACT_DEVICE_OTHERS, 100 * MIB, "others");
    gov__device_budget(&device);
    gov__device_set(&device, GOV_FACT_DEVICE_SWAP, 2 * GIB, "/proc/meminfo");
    gov__device_unknown(&device, GOV_FACT_DEVICE_ZRAM, "may not be read");
    gov__device_set(&device, GOV_FACT_DEVICE_MEMLOCK, UINT64_MAX, "getrlimit");
    gov__device_set(&device, GOV_FACT_DEVICE_PAGE_SIZE, 4096, "sysconf");
    gov__device_set_text(&device, GOV_FACT_DEVICE_CPU, "Some \"CPU\" \\ 3 GHz",
                         "/proc/cpuinfo");
    gov__device_set(&device, GOV_FACT_DEVICE_CORES, 8, "sched_getaffinity");
    gov__device_set_text(&device, GOV_FACT_DEVICE_SYSTEM,
                         "Linux 6.1.0-18-amd64", "uname()");
    gov__device_set(&device, GOV_FACT_DEVICE_PSI, 1, "tried");
    gov__device_set(&device, GOV_FACT_DEVICE_IO_URING, 0, "tried: EPERM");
    gov__device_set(&device, GOV_FACT_DEVICE_REPACK_GAIN, 1255, "llama.cpp");
    gov__device_set(&device, GOV_FACT_DEVICE_HUGE_GAIN, 985, "llama.cpp");
    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++)
        device.figures[i] = (struct gov_device_figure){
            true, i % 2 == 1, 3 + i, 2000 + i, 1000 + i, 3000 + i, "a note"};
    device.gpu_count = 2;
    device.gpus[0] =
        (struct gov_gpu){"RTX \"1\"", "0000:65:00.0", 8 * GIB, 7 * GIB,
                         GIB,         false,          false,   "NVML"};
    device.gpus[1] =
        (struct gov_gpu){"lavapipe", "", 0, 15 * GIB, 0, true, true, "Vulkan"};
    device.measured_full = true;
    device.measured_at = 1700000000;
    strcpy(device.measured_on, "/var/tmp");
    return device;
}

static void save(const struct gov_device *device)
{
    gov_error err = {0};

    ck_assert_msg(gov_device_save(device, path, &err) == GOV_OK, "%s",
                  err.message);
}

static void write_file(const char *text, size_t bytes, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, bytes), (ssize_t)bytes);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

static int entries(const char *directory)
{
    DIR *stream = opendir(directory);
    int n = 0;

    ck_assert_ptr_nonnull(stream);
    while (readdir(stream) != NULL)
        n++;
    closedir(stream);
    return n - 2;
}

/* The call must fail with this status and exactly this sentence, in which %s
 * stands for the path. */
static void expect(gov_status status, const gov_error *err, gov_status want,
                   const char *format)
{
    const char *at = strstr(format, "%s");
    char message[2048];

    if (at == NULL)
        snprintf(message, sizeof(message), "%s", format);
    else
        snprintf(message, sizeof(message), "%.*s%s%s", (int)(at - format),
                 format, path, at + 2);
    ck_assert_str_eq(err->message, message);
    ck_assert_int_eq(status, want);
    ck_assert_int_eq(err->status, want);
}

static void expect_load(gov_status want, const char *format)
{
    struct gov_device device, untouched;
    gov_error err = {0};
    gov_status status;

    memset(&device, 0x5a, sizeof(device));
    untouched = device;
    status = gov_device_load(&device, path, &err);
    expect(status, &err, want, format);
    ck_assert_int_eq(memcmp(&device, &untouched, sizeof(device)), 0);
    ck_assert_int_eq(gov_device_load(&device, path, NULL), want);
}

/* ---- round trips ----------------------------------------------------------- */

START_TEST(everything_comes_back)
{
    struct gov_device device = whole_device(), back;
    gov_error err = {0};

    begin();
    save(&device);
    memset(&back, 0, sizeof(back));
    ck_assert_msg(gov_device_load(&back, path, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_int_eq(memcmp(&device, &back, sizeof(device)), 0);
}
END_TEST

/* Unknown is not zero: each fact and figure taken away alone stays away. */
START_TEST(unknown_comes_back_unknown)
{
    struct gov_device device = whole_device(), back;
    static char text[65536];

    for (uint32_t i = 0; i < device.fact_count + GOV_FIGURE_COUNT; i++) {
        device = whole_device();
        if (i < device.fact_count)
            gov__device_unknown(&device, device.facts[i].fact, "not said");
        else
            device.figures[i - device.fact_count] =
                (struct gov_device_figure){.note = "cannot be had"};
        ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                         GOV_OK);
        ck_assert_ptr_nonnull(strstr(text, "null"));
        memset(&back, 0, sizeof(back));
        ck_assert_int_eq(
            gov__profile_parse(&back, text, strlen(text), "x", NULL), GOV_OK);
        ck_assert_int_eq(memcmp(&device, &back, sizeof(device)), 0);
    }
}
END_TEST

START_TEST(the_text_is_this)
{
    struct gov_device device = {.size = sizeof(device)};
    static char text[65536];
    const char *figures;

    gov__device_set(&device, GOV_FACT_DEVICE_RAM, 17179869184, "/proc/meminfo");
    gov__device_unknown(&device, GOV_FACT_DEVICE_LIMIT, "no limit");
    gov__device_set_text(&device, GOV_FACT_DEVICE_CPU, "a \"CPU\" \\", "");
    gov__device_set(&device, GOV_FACT_DEVICE_PSI, 1, "tried");
    /* Not for a file to say: it follows from figures. */
    gov__device_set(&device, GOV_FACT_DEVICE_READ_RATE, 1, "");
    gov__device_set(&device, GOV_FACT_MODEL_FILE, 1, "");
    /* A second entry is not what gov_device_fact() answers. */
    device.facts[device.fact_count++].fact = GOV_FACT_DEVICE_RAM;
    device.measured_at = 1700000000;
    strcpy(device.measured_on, "/var/tmp");
    device.figures[0] =
        (struct gov_device_figure){true, true, 3, 200, 100, 300, "slow"};
    strcpy(device.figures[1].note, "too old");
    device.gpu_count = 1;
    device.gpus[0] = (struct gov_gpu){.name = "GPU",
                                      .working_set_bytes = 5,
                                      .shares_ram = true,
                                      .source = "Vulkan"};
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    figures = strstr(text, "    \"read.parallel\"");
    ck_assert_ptr_nonnull(figures);
    ck_assert_msg(strncmp(text,
                          "{\n"
                          "  \"format\": \"governor device profile\",\n"
                          "  \"version\": 2,\n"
                          "  \"measured_at_s\": 1700000000,\n"
                          "  \"measured_on\": \"/var/tmp\",\n"
                          "  \"measured_full\": false,\n"
                          "  \"facts\": {\n"
                          "    \"device.ram\": {\n"
                          "      \"value\": 17179869184,\n"
                          "      \"source\": \"/proc/meminfo\"\n"
                          "    },\n"
                          "    \"device.limit\": {\n"
                          "      \"value\": null,\n"
                          "      \"source\": \"no limit\"\n"
                          "    },\n"
                          "    \"device.cpu\": {\n"
                          "      \"value\": \"a \\\"CPU\\\" \\\\\",\n"
                          "      \"source\": \"\"\n"
                          "    },\n"
                          "    \"device.psi\": {\n"
                          "      \"value\": true,\n"
                          "      \"source\": \"tried\"\n"
                          "    }\n"
                          "  },\n"
                          "  \"figures\": {\n"
                          "    \"read.readahead\": {\n"
                          "      \"median\": 200,\n"
                          "      \"low\": 100,\n"
                          "      \"high\": 300,\n"
                          "      \"samples\": 3,\n"
                          "      \"noisy\": true,\n"
                          "      \"note\": \"slow\"\n"
                          "    },\n"
                          "    \"read.populate\": {\n"
                          "      \"median\": null,\n"
                          "      \"low\": null,\n"
                          "      \"high\": null,\n"
                          "      \"samples\": 0,\n"
                          "      \"noisy\": false,\n"
                          "      \"note\": \"too old\"\n"
                          "    },\n",
                          (size_t)(figures - text)) == 0,
                  "%s", text);
    ck_assert_str_eq(strstr(text, "  \"gpus\""),
                     "  \"gpus\": [\n"
                     "    {\n"
                     "      \"name\": \"GPU\",\n"
                     "      \"bus\": \"\",\n"
                     "      \"memory_bytes\": null,\n"
                     "      \"working_set_bytes\": 5,\n"
                     "      \"used_bytes\": null,\n"
                     "      \"shares_ram\": true,\n"
                     "      \"software\": false,\n"
                     "      \"source\": \"Vulkan\"\n"
                     "    }\n"
                     "  ]\n"
                     "}");
}
END_TEST

/* Fills a device with the longest there can be of everything, in the character
 * that takes most room in JSON. */
static struct gov_device widest_device(char c)
{
    struct gov_device device;

    memset(&device, c, sizeof(device));
    device.size = sizeof(device);
    device.fact_count = 0;
    for (unsigned i = 0; i < GOV_FACT_COUNT; i++) {
        const struct gov_fact_info *info = gov_fact_info((gov_fact)i);
        struct gov_device_fact *at = &device.facts[device.fact_count];

        if (!gov__device_lists((gov_fact)i))
            continue;
        at->fact = (gov_fact)i;
        at->known = true;
        at->number = info->type == GOV_TYPE_TEXT   ? 0
                     : info->type == GOV_TYPE_FLAG ? 1
                                                   : UINT64_MAX;
        device.fact_count++;
    }
    device.gpu_count = GOV_DEVICE_GPUS;
    for (unsigned i = 0; i < GOV_DEVICE_GPUS; i++) {
        struct gov_gpu *gpu = &device.gpus[i];

        gpu->memory_bytes = gpu->working_set_bytes = gpu->used_bytes =
            UINT64_MAX;
        gpu->shares_ram = gpu->software = false;
    }
    for (unsigned i = 0; i < GOV_DEVICE_FIGURES; i++)
        device.figures[i] = (struct gov_device_figure){
            true, false, UINT32_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, ""};
    for (unsigned i = 0; i < GOV_DEVICE_FIGURES; i++)
        memset(device.figures[i].note, c, sizeof(device.figures[i].note));
    device.measured_full = false;
    return device;
}

/* The promise that 64 KiB suffice, for the worst texts there can be; none of
 * them ends. What is not printable ASCII is not written. */
START_TEST(json_fits_where_it_says)
{
    static const char widest[] = {'"', '\\', 1, '\x9b', '/'};
    static char text[65536];
    struct gov_device device = widest_device(widest[_i]);
    gov_error err = {0};
    size_t length;

    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text) - 1, &err),
                     GOV_OK);
    length = strlen(text);
    for (size_t i = 0; i < length; i++)
        ck_assert(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
    ck_assert_int_eq(gov_device_json(&device, text, length + 1, &err), GOV_OK);
    ck_assert_int_eq(gov_device_json(&device, text, length, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_device_json(&device, text, 0, &err), GOV_E_INVALID);
    begin();
    save(&device);
}
END_TEST

START_TEST(json_of_nothing)
{
    struct gov_device device;
    gov_error err = {0};
    char text[64];

    memset(&device, 0, sizeof(device));
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "the device was never probed; call "
                                  "gov_device_probe() first");
    ck_assert_int_eq(gov_device_json(NULL, text, sizeof(text), NULL),
                     GOV_E_INVALID);
    /* Counts beyond the lists are not believed. */
    device = whole_device();
    device.fact_count = device.gpu_count = UINT32_MAX;
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_E_INVALID);
}
END_TEST

static struct {
    uint64_t calls, fail_at;
    bool forever;
    int64_t live;
} heap;

static void *heap_alloc(size_t bytes)
{
    uint64_t n = heap.calls++;
    void *block = NULL;

    if (n < heap.fail_at || (n > heap.fail_at && !heap.forever))
        block = gov_alloc_default()->alloc(NULL, bytes);
    heap.live += block != NULL;
    return block;
}

static void heap_release(void *block)
{
    heap.live -= block != NULL;
    gov_alloc_default()->release(NULL, block);
}

/* Each allocation of the JSON library fails in turn, in writing and in reading:
 * an error, never a part of a profile, and nothing leaks. */
START_TEST(json_without_memory)
{
    struct gov_device device = whole_device(), back;
    static char text[65536], again[65536];
    uint64_t writing, reading;

    json_set_alloc_funcs(heap_alloc, heap_release);
    heap.calls = 0;
    heap.fail_at = UINT64_MAX;
    heap.forever = _i != 0;
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    writing = heap.calls;
    heap.calls = 0;
    ck_assert_int_eq(gov__profile_parse(&back, text, strlen(text), "x", NULL),
                     GOV_OK);
    reading = heap.calls;
    ck_assert_int_eq(heap.live, 0);
    ck_assert_uint_gt(writing, 100);
    ck_assert_uint_gt(reading, 100);
    for (uint64_t n = 0; n < writing + reading; n++) {
        bool write = n < writing;
        gov_error err = {0};
        gov_status status;

        heap.calls = 0;
        heap.fail_at = write ? n : n - writing;
        status = write
                     ? gov_device_json(&device, again, sizeof(again), &err)
                     : gov__profile_parse(&back, text, strlen(text), "x", &err);
        ck_assert_msg(heap.live == 0, "allocation %d leaks", (int)n);
        /* It may do with less, and then it is right; but jansson 2.14 loses a
         * character of a long text when its buffer cannot grow (lex_save()
         * does not look). */
        if (status == GOV_OK) {
            if (write)
                ck_assert_str_eq(again, text);
            else
                ck_assert_int_eq(memcmp(device.figures, back.figures,
                                        sizeof(device.figures)),
                                 0);
            ck_assert(write ||
                      gov_device_changes(&device, &back, NULL, 0) == 0);
            continue;
        }
        /* A token that jansson has no memory for is a wrong one to it. */
        if (!write && status == GOV_E_FORMAT)
            continue;
        ck_assert_int_eq(status, GOV_E_NOMEM);
        ck_assert_str_eq(err.message, write ? "no memory for the profile"
                                            : "no memory to read profile x");
    }
    json_set_alloc_funcs(malloc, free); /* for tests in the same process */
}
END_TEST

/* ---- what must not be believed ---------------------------------------------- */

#define AGAIN "; run gov profile again"

/* One edit of the whole device's text each. */
static const struct {
    const char *find, *put; /* find NULL: put is the whole text */
    const char *message;    /* NULL: it is accepted */
} edits[] = {
    {NULL, "",
     "profile %s is broken at line 1, column 0 ('[' or '{' expected near end "
     "of file)" AGAIN},
    {NULL, "[1]", "%s is not a device profile" AGAIN},
    {NULL, "{\"version\": 2}", "%s is not a device profile" AGAIN},
    {"device profile", "device file", "%s is not a device profile" AGAIN},
    {"\"governor device profile\"", "5", "%s is not a device profile" AGAIN},
    {"\"version\": 2", "\"version\": 1",
     "profile %s is of version 1, this governor writes version 2" AGAIN},
    {"\"version\": 2", "\"version\": 3",
     "profile %s is of version 3, this governor writes version 2" AGAIN},
    {"\"version\": 2", "\"version\": -1",
     "profile %s is of version -1, this governor writes version 2" AGAIN},
    {"\"version\": 2", "\"version\": 2.0", "profile %s has no version" AGAIN},
    {"\"version\": 2,", "", "profile %s has no version" AGAIN},
    {"1700000000", "-1", "profile %s: measured_at_s is out of range" AGAIN},
    {"1700000000", "null",
     "profile %s: measured_at_s is not a whole number" AGAIN},
    {"1700000000", "0",
     "profile %s: measured_at_s is 0, and there are figures" AGAIN},
    {"\"/var/tmp\"", "7", "profile %s: measured_on is not a text" AGAIN},
    {"\"measured_full\": true", "\"measured_full\": 1",
     "profile %s: measured_full is neither true nor false" AGAIN},
    {"\"facts\"", "\"fact\"", "profile %s: facts is no object" AGAIN},
    {"\"figures\"", "\"figure\"", "profile %s: figures is no object" AGAIN},
    {"\"gpus\"", "\"gpu\"", "profile %s: gpus is no array" AGAIN},
    {"8589934592", "\"8589934592\"",
     "profile %s: device.limit, value is not a whole number" AGAIN},
    {": 1255", ": 0",
     "profile %s: device.repack_gain, value is out of range" AGAIN},
    {": 985", ": 1000001",
     "profile %s: device.huge_gain, value is out of range" AGAIN},
    {": 985", ": 1000000", NULL},
    /* as a version before them wrote it */
    {"\"device.repack_gain\"", "\"device.unheard_of\"", NULL},
    {"17179869184", "17179869184.5",
     "profile %s: device.ram, value is not a whole number" AGAIN},
    {"17179869184", "true",
     "profile %s: device.ram, value is not a whole number" AGAIN},
    {"17179869184", "-1",
     "profile %s: device.ram, value is out of range" AGAIN},
    {"17179869184", "0", "profile %s: device.ram, value is out of range" AGAIN},
    {"17179869184", "72057594037927937",
     "profile %s: device.ram, value is out of range" AGAIN},
    {"17179869184", "99999999999999999999",
     "profile %s is broken at line 9, column 35 (too big integer near "
     "'99999999999999999999')" AGAIN},
    {"17179869184", "4096",
     "profile %s: budget.ram and device.reserve are more than there is" AGAIN},
    {"8589934592", "8000000000",
     "profile %s: budget.ram and device.reserve are more than there is" AGAIN},
    {"\"device.cores\": {\n      \"value\": 8",
     "\"device.cores\": {\n      \"value\": 4294967297",
     "profile %s: device.cores, value is out of range" AGAIN},
    {"4096", "4097", "profile %s: device.page_size is no power of two" AGAIN},
    {"4096", "0", "profile %s: device.page_size, value is out of range" AGAIN},
    {"\"Linux 6.1.0-18-amd64\"", "17",
     "profile %s: device.system, value is not a text" AGAIN},
    {"\"Linux 6.1.0-18-amd64\"",
     "\"123456789012345678901234567890123456789012345678901234567890"
     "123456789012345678901234567890123456\"",
     "profile %s: device.system, value is too long" AGAIN},
    {"\"Linux 6.1.0-18-amd64\"",
     "\"123456789012345678901234567890123456789012345678901234567890"
     "12345678901234567890123456789012345\"",
     NULL},
    {"Linux 6", "\\u001b[2J",
     "profile %s: device.system, value is not plain ASCII" AGAIN},
    {"Linux 6", "\\u009b2J",
     "profile %s: device.system, value is not plain ASCII" AGAIN},
    {"Linux 6", "\\u202e",
     "profile %s: device.system, value is not plain ASCII" AGAIN},
    {"Linux 6", "a\\u0000b",
     "profile %s is broken at line 53, column 38 (\\u0000 is not allowed "
     "without JSON_ALLOW_NUL)" AGAIN},
    {"\"sysconf\"", "null",
     "profile %s: device.page_size, source is not a text" AGAIN},
    {"\"value\": true", "\"value\": 1",
     "profile %s: device.psi, value is neither true nor false" AGAIN},
    {"\"device.psi\": {", "\"device.psi\": 4, \"x\": {",
     "profile %s: device.psi is no object" AGAIN},
    {"\"read.readahead\": {", "\"read.readahead\": [], \"x\": {",
     "profile %s: read.readahead is no object" AGAIN},
    {"\"median\": 2000", "\"median\": 0",
     "profile %s: read.readahead, median is out of range" AGAIN},
    {"\"median\": 2000", "\"median\": 1125899906842625",
     "profile %s: read.readahead, median is out of range" AGAIN},
    {"\"median\": 2008", "\"median\": 1000000000001",
     "profile %s: fault.minor, median is out of range" AGAIN},
    {"\"median\": 2000", "\"median\": 999",
     "profile %s: read.readahead has a median that is not between low and "
     "high" AGAIN},
    {"\"high\": 3000", "\"high\": 1999",
     "profile %s: read.readahead has a median that is not between low and "
     "high" AGAIN},
    {"\"low\": 1000", "\"low\": null",
     "profile %s: read.readahead, low is not a whole number" AGAIN},
    {"\"samples\": 3", "\"samples\": 0",
     "profile %s: read.readahead, samples is out of range" AGAIN},
    {"\"samples\": 3", "\"samples\": 4294967296",
     "profile %s: read.readahead, samples is out of range" AGAIN},
    {"\"noisy\": false", "\"noisy\": null",
     "profile %s: read.readahead, noisy is neither true nor false" AGAIN},
    {"\"a note\"", "\"a\\nnote\"",
     "profile %s: read.readahead, note is not plain ASCII" AGAIN},
    {"\"0000:65:00.0\"", "\"0123456789012345678901234567890X\"",
     "profile %s: a graphics processor, bus is too long" AGAIN},
    {"\"memory_bytes\": 8589934592", "\"memory_bytes\": 0",
     "profile %s: a graphics processor, memory_bytes is out of range" AGAIN},
    {"\"shares_ram\": false", "\"shares_ram\": true",
     "profile %s: a graphics processor shares RAM and has memory of its "
     "own" AGAIN},
    {"\"memory_bytes\": 8589934592", "\"memory_bytes\": 7516192767",
     "profile %s: a graphics processor may use more memory than it has" AGAIN},
    {"\"memory_bytes\": 8589934592", "\"memory_bytes\": 7516192768", NULL},
    {"\"shares_ram\": false", "\"shares_ram\": null",
     "profile %s: a graphics processor, shares_ram is neither true nor "
     "false" AGAIN},
    {"\"gpus\": [", "\"gpus\": [0,",
     "profile %s: a graphics processor is no object" AGAIN},
    {"\"gpus\": [", "\"gpus\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,",
     "profile %s: gpus has more entries than any machine" AGAIN},
    {"\"device.cores\"", "\"device.ram\"",
     "profile %s is broken at line 48, column 16 (duplicate object key near "
     "'\"device.ram\"')" AGAIN},
    {"]\n}\n", "]\n} x\n",
     "profile %s is broken at line 193, column 3 (end of file expected near "
     "'x')" AGAIN},
    {"]\n}\n", "]",
     "profile %s is broken at line 192, column 3 ('}' expected near end of "
     "file)" AGAIN},
    {"Linux", "\xff\xfe",
     "profile %s is broken at line 53, column 16 (unable to decode byte 0xff "
     "near '\"')" AGAIN},
    {"Linux", "\x1b[2J\x1b",
     "profile %s is broken at line 53, column 16 (control character 0x1b near "
     "'\"')" AGAIN},
    /* What is not known, or more than is known, is no fault. */
    {"17179869184", "null", NULL},
    {"\"version\": 2,", "\"version\": 2, \"npus\": {\"name\": []},", NULL},
    {"\"device.ram\": {", "\"device.npu\": 4, \"device.ram\": {", NULL},
    {"\"device.ram\": {", "\"device.read_rate\": 4, \"device.ram\": {", NULL},
    {"\"device.ram\": {", "\"model.file\": 4, \"device.ram\": {", NULL},
    {"\"read.readahead\": {", "\"read.tape\": {", NULL},
    {"\"value\": true,", "\"more\": 1,", NULL},
    {"\"name\": ", "\"more\": 1, \"name\": ", NULL},
    {"{\n", "\n\n\t {", NULL},
};

START_TEST(edited_text)
{
    struct gov_device device = whole_device(), back;
    const char *find = edits[_i].find, *put = edits[_i].put, *at;
    static char text[65536], edited[65536];
    gov_error err = {0};

    begin();
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text) - 1, NULL),
                     GOV_OK);
    strcat(text, "\n");
    if (find == NULL) {
        snprintf(edited, sizeof(edited), "%s", put);
    } else {
        at = strstr(text, find);
        ck_assert_ptr_nonnull(at);
        snprintf(edited, sizeof(edited), "%.*s%s%s", (int)(at - text), text,
                 put, at + strlen(find));
    }
    write_file(edited, strlen(edited), 0600);
    if (edits[_i].message == NULL)
        ck_assert_msg(gov_device_load(&back, path, &err) == GOV_OK, "%s",
                      err.message);
    else
        expect_load(GOV_E_FORMAT, edits[_i].message);
}
END_TEST

/* What must not come from a file does not. */
START_TEST(derived_facts_are_passed_over)
{
    struct gov_device device = {.size = sizeof(device)}, back;
    static char text[65536];
    char *at;

    gov__device_set(&device, GOV_FACT_DEVICE_MEMLOCK, 5, "");
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    at = strstr(text, "device.memlock");
    ck_assert_ptr_nonnull(at);
    memcpy(at, "device.tierXXX", 14); /* nobody's */
    ck_assert_int_eq(gov__profile_parse(&back, text, strlen(text), "x", NULL),
                     GOV_OK);
    ck_assert_uint_eq(back.fact_count, 0);
    memcpy(at, "gpu.shares_ram", 14); /* follows from the list of GPUs */
    ck_assert_int_eq(gov__profile_parse(&back, text, strlen(text), "x", NULL),
                     GOV_OK);
    ck_assert_uint_eq(back.fact_count, 0);
}
END_TEST

/* Whatever bytes are flipped, inserted or cut: no crash, and what is accepted
 * can be written and read again as it is. */
START_TEST(mutations_are_harmless)
{
    struct gov_device device = whole_device(), back, twice;
    static char text[65536], mutant[65536], again[65536];
    uint32_t seed = 1 + (uint32_t)_i;
    size_t length;

    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    length = strlen(text);
    for (int round = 0; round < 3000; round++) {
        gov_error err = {0};

        memcpy(mutant, text, length);
        for (int n = 0; n < 1 + round % 3; n++) {
            size_t at;

            seed = seed * 1664525 + 1013904223;
            at = (seed >> 8) % length;
            if (seed % 3 == 0)
                mutant[at] = (char)(seed >> 16);
            else if (seed % 3 == 1)
                mutant[at] = "0123456789-.eE\",:{}[]"[(seed >> 16) % 21];
            else
                mutant[at] = mutant[(seed >> 12) % length];
        }
        memset(&back, 0, sizeof(back));
        if (gov__profile_parse(&back, mutant, length, "x", &err) != GOV_OK) {
            ck_assert_int_eq(err.status, GOV_E_FORMAT);
            for (const char *c = err.message; *c != '\0'; c++)
                ck_assert_msg(*c >= 0x20 && *c <= 0x7e, "%s", err.message);
            continue;
        }
        ck_assert_int_eq(gov_device_json(&back, again, sizeof(again), NULL),
                         GOV_OK);
        memset(&twice, 0, sizeof(twice));
        ck_assert_int_eq(
            gov__profile_parse(&twice, again, strlen(again), "x", NULL),
            GOV_OK);
        ck_assert_int_eq(memcmp(&back, &twice, sizeof(back)), 0);
    }
}
END_TEST

/* ---- files that are not what they should be ---------------------------------- */

START_TEST(missing_file)
{
    begin();
    expect_load(GOV_E_NOT_FOUND, "there is no profile %s; run gov profile");
    snprintf(path, sizeof(path), "%s/no/such/directory/device.json", dir);
    expect_load(GOV_E_NOT_FOUND, "there is no profile %s; run gov profile");
}
END_TEST

START_TEST(file_as_directory)
{
    begin();
    write_file("x", 1, 0600);
    snprintf(path, sizeof(path), "%s/device.json/device.json", dir);
    expect_load(GOV_E_NOT_FOUND, "there is no profile %s; run gov profile");
}
END_TEST

START_TEST(symbolic_link)
{
    struct gov_device device = whole_device();
    char target[600];
    struct stat st;

    begin();
    save(&device);
    snprintf(target, sizeof(target), "%s/real", dir);
    ck_assert_int_eq(rename(path, target), 0);
    ck_assert_int_eq(symlink(target, path), 0);
    expect_load(GOV_E_PERMISSION,
                "profile %s is a symbolic link, which is not followed; remove "
                "it and run gov profile again");
    /* Storing replaces the link and leaves what it points to alone. */
    ck_assert_int_eq(truncate(target, 3), 0);
    save(&device);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISREG(st.st_mode));
    ck_assert_int_eq(stat(target, &st), 0);
    ck_assert_int_eq(st.st_size, 3);
}
END_TEST

#define NOT_REGULAR                                                            \
    "profile %s is not a regular file; remove it and run gov profile again"

START_TEST(directory_instead)
{
    gov_error err = {0};
    struct gov_device device = whole_device();

    begin();
    ck_assert_int_eq(mkdir(path, 0700), 0);
    expect_load(GOV_E_FORMAT, NOT_REGULAR);
    expect(gov_device_save(&device, path, &err), &err, GOV_E_IO,
           "cannot store the profile as %s: Is a directory");
    ck_assert_int_eq(entries(dir), 1);
}
END_TEST

START_TEST(fifo_does_not_hang)
{
    gov_error err = {0};
    struct gov_device device = whole_device();
    struct stat st;

    begin();
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    expect_load(GOV_E_FORMAT, NOT_REGULAR);
    expect(gov_device_save(&device, path, &err), &err, GOV_E_INVALID,
           "cannot store the profile as %s: it is no file; name one");
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISFIFO(st.st_mode)); /* /dev/null would be gone */
}
END_TEST

static const struct {
    mode_t mode;
    const char *message;
} modes[] = {
    {0600, NULL},
    {0400, NULL},
    {0644, NULL},
    {0622, "profile %s can be written by others (mode 0622); remove it and run "
           "gov profile again"},
    {0620, "profile %s can be written by others (mode 0620); remove it and run "
           "gov profile again"},
    {0602, "profile %s can be written by others (mode 0602); remove it and run "
           "gov profile again"},
    {0666, "profile %s can be written by others (mode 0666); remove it and run "
           "gov profile again"},
};

START_TEST(writable_by_others)
{
    struct gov_device device = whole_device();

    begin();
    save(&device);
    ck_assert_int_eq(chmod(path, modes[_i].mode), 0);
    if (modes[_i].message == NULL)
        ck_assert_int_eq(gov_device_load(&device, path, NULL), GOV_OK);
    else
        expect_load(GOV_E_PERMISSION, modes[_i].message);
}
END_TEST

START_TEST(owned_by_another)
{
    struct gov_device device = whole_device();

    begin();
    if (geteuid() != 0) {
        skip_test("owned_by_another", "only root can give a file away");
        return;
    }
    save(&device);
    ck_assert_int_eq(chown(path, 12345, (gid_t)-1), 0);
    expect_load(GOV_E_PERMISSION,
                "profile %s belongs to user 12345, who is neither you nor "
                "root; remove it and run gov profile again");
    /* What root has put there for everybody is believed. */
    ck_assert_int_eq(chown(path, 0, (gid_t)-1), 0);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    ck_assert_int_eq(seteuid(12345), 0);
    ck_assert_int_eq(gov_device_load(&device, path, NULL), GOV_OK);
    ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(too_large)
{
    static char text[65536];

    begin();
    memset(text, ' ', sizeof(text));
    write_file(text, sizeof(text), 0600);
    expect_load(GOV_E_FORMAT,
                "profile %s has 65536 bytes, more than any profile; remove it "
                "and run gov profile again");
    write_file(text, sizeof(text) - 1, 0600);
    expect_load(GOV_E_FORMAT,
                "profile %s is broken at line 1, column 65535 ('[' or '{' "
                "expected near end of file)" AGAIN);
}
END_TEST

/* ---- storing ------------------------------------------------------------------ */

START_TEST(modes_are_private)
{
    struct gov_device device = whole_device();
    char made[600];
    struct stat st;
    mode_t before;

    begin();
    before = umask(0);
    snprintf(path, sizeof(path), "%s/a/b/device.json", dir);
    save(&device);
    (void)umask(before);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    for (int depth = 0; depth < 2; depth++) {
        snprintf(made, sizeof(made), "%s/a%s", dir, depth == 0 ? "" : "/b");
        ck_assert_int_eq(stat(made, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0700);
    }
    ck_assert_int_eq(entries(made), 1);
    /* A profile that its owner could not read would be none. */
    before = umask(0777);
    save(&device);
    (void)umask(before);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

START_TEST(relative_path)
{
    struct gov_device device = whole_device();
    char before[2048];

    begin();
    ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
    ck_assert_int_eq(chdir(dir), 0);
    strcpy(path, "here.json");
    save(&device);
    strcpy(path, "sub/here.json");
    save(&device);
    ck_assert_int_eq(gov_device_load(&device, path, NULL), GOV_OK);
    ck_assert_int_eq(chdir(before), 0);
}
END_TEST

START_TEST(unwritable_directory)
{
    struct gov_device device = whole_device();
    gov_error err = {0};

    begin();
    ck_assert_int_eq(chmod(dir, 0500), 0);
    if (geteuid() == 0) /* root may write anywhere; somebody else may not */
        ck_assert_int_eq(seteuid(12345), 0);
    expect(gov_device_save(&device, path, &err), &err, GOV_E_PERMISSION,
           "cannot store the profile as %s: Permission denied");
    snprintf(path, sizeof(path), "%s/sub/device.json", dir);
    expect(gov_device_save(&device, path, &err), &err, GOV_E_PERMISSION,
           "cannot store the profile as %s: Permission denied");
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chmod(dir, 0700), 0);
    ck_assert_int_eq(entries(dir), 0);
}
END_TEST

/* Another thread, or a killed process with this number, has left its files. */
START_TEST(names_that_are_taken)
{
    struct gov_device device = whole_device();
    gov_error err = {0};
    char name[600];

    begin();
    for (int n = 0; n < 16; n++) {
        snprintf(name, sizeof(name), "%s.%ld-%d.tmp", path, (long)getpid(), n);
        ck_assert_int_eq(symlink("/nowhere", name), 0);
        if (n == 14)
            save(&device);
    }
    expect(gov_device_save(&device, path, &err), &err, GOV_E_IO,
           "cannot store the profile as %s: File exists");
    ck_assert_int_eq(gov_device_load(&device, path, NULL), GOV_OK);
}
END_TEST

/* Of a process that was killed while it saved; not what is new, or somebody
 * else's. */
START_TEST(what_is_stale_is_removed)
{
    static const char *const names[] = {".123-0.tmp", ".123-1.tmp", ".x.tmp",
                                        ".123-0.tmp.old"};
    const struct timespec old[2] = {{1000000000, 0}, {1000000000, 0}};
    struct gov_device device = whole_device();
    char name[600];

    begin();
    for (size_t i = 0; i < 4; i++) {
        int fd;

        snprintf(name, sizeof(name), "%s%s", path, names[i]);
        fd = open(name, O_WRONLY | O_CREAT, 0600);
        ck_assert_int_ge(fd, 0);
        if (i != 1)
            ck_assert_int_eq(futimens(fd, old), 0);
        close(fd);
    }
    save(&device);
    ck_assert_int_eq(entries(dir), 4); /* the first is gone, the profile came */
    snprintf(name, sizeof(name), "%s%s", path, names[0]);
    ck_assert_int_eq(access(name, F_OK), -1);
}
END_TEST

static uint64_t cores(const struct gov_device *device)
{
    return gov_device_number(device, GOV_FACT_DEVICE_CORES, 0);
}

/* Each call fails in turn: the old profile stays whole, nothing is beside it. */
START_TEST(failing_calls)
{
    struct gov_device old = whole_device(), new = whole_device(), back;
    bool forever = _i != 0;
    uint64_t calls;

    gov__device_set(&new, GOV_FACT_DEVICE_CORES, 9, "");
    begin();
    save(&old);
    faults_reset();
    save(&new);
    calls = faults_count();
    ck_assert_uint_ge(calls, 6); /* open write fsync rename open fsync */
    for (uint64_t n = 0; n < calls; n++) {
        int before = faults_open_descriptors();
        gov_error err = {0};
        gov_status status;

        save(&old);
        faults_set_errno(ENOSPC);
        faults_arm(n, forever);
        status = gov_device_save(&new, path, &err);
        faults_disarm();
        ck_assert_msg(status != GOV_OK, "%s was swallowed", faults_last());
        expect(status, &err, GOV_E_IO,
               "cannot store the profile as %s: No space left on device");
        ck_assert_int_eq(faults_open_descriptors(), before);
        /* For good, removing the temporary file fails as well. */
        if (!forever)
            ck_assert_msg(entries(dir) == 1, "%s left a file", faults_last());
        ck_assert_int_eq(gov_device_load(&back, path, NULL), GOV_OK);
        ck_assert_uint_ge(cores(&back), 8);
        ck_assert_uint_le(cores(&back), 9);
    }
}
END_TEST

START_TEST(failing_reads)
{
    struct gov_device device = whole_device(), back;
    uint64_t calls;

    begin();
    save(&device);
    faults_reset();
    ck_assert_int_eq(gov_device_load(&back, path, NULL), GOV_OK);
    calls = faults_count();
    ck_assert_uint_ge(calls, 3); /* open fstat read */
    for (uint64_t n = 0; n < 2 * calls; n++) {
        int before = faults_open_descriptors();
        gov_error err = {0};

        faults_arm(n % calls, n >= calls);
        ck_assert_int_eq(gov_device_load(&back, path, &err), GOV_E_IO);
        faults_disarm();
        ck_assert_int_eq(err.os_errno, EIO);
        ck_assert_int_eq(faults_open_descriptors(), before);
    }
}
END_TEST

/* A write past RLIMIT_FSIZE would end the host with SIGXFSZ. */
START_TEST(file_size_limit)
{
    struct gov_device device = whole_device(), back;
    struct rlimit before, limit;
    static char text[65536];
    char message[512];
    gov_error err = {0};
    size_t bytes;

    begin();
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    bytes = strlen(text) + 1;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    save(&device);
    limit.rlim_cur = bytes - 1;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    gov__device_set(&device, GOV_FACT_DEVICE_CORES, 9, "sched_getaffinity");
    snprintf(message, sizeof(message),
             "cannot store the profile as %%s: files of this process may not "
             "have %zu bytes; raise its limit (ulimit -f)",
             bytes);
    expect(gov_device_save(&device, path, &err), &err, GOV_E_IO, message);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(entries(dir), 1);
    ck_assert_int_eq(gov_device_load(&back, path, NULL), GOV_OK);
    ck_assert_uint_eq(cores(&back), 8);
}
END_TEST

/* ---- where ------------------------------------------------------------------- */

static const struct {
    const char *xdg, *home, *want;
} places[] = {
    {"/xdg", "/home/me", "/xdg/governor/device.json"},
    {NULL, "/home/me", "/home/me/.config/governor/device.json"},
    {"", "/home/me", "/home/me/.config/governor/device.json"},
    {"relative", "/home/me", "/home/me/.config/governor/device.json"},
    {NULL, NULL, NULL},
    {"", "", NULL},
    {"a", "b", NULL},
};

START_TEST(default_path)
{
    gov_error err = {0};
    struct gov_device device = whole_device();
    char out[64];

    if (places[_i].xdg == NULL)
        unsetenv("XDG_CONFIG_HOME");
    else
        setenv("XDG_CONFIG_HOME", places[_i].xdg, 1);
    if (places[_i].home == NULL)
        unsetenv("HOME");
    else
        setenv("HOME", places[_i].home, 1);
    if (places[_i].want != NULL) {
        ck_assert_int_eq(gov_device_path(out, sizeof(out), &err), GOV_OK);
        ck_assert_str_eq(out, places[_i].want);
        expect(gov_device_path(out, strlen(out), &err), &err, GOV_E_INVALID,
               _i == 0 ? "the path of the profile does not fit into 25 bytes"
                       : "the path of the profile does not fit into 37 bytes");
        return;
    }
    expect(gov_device_path(out, sizeof(out), &err), &err, GOV_E_NOT_FOUND,
           "neither XDG_CONFIG_HOME nor HOME names a directory; set one, or "
           "give the path of the profile");
    ck_assert_int_eq(gov_device_save(&device, NULL, NULL), GOV_E_NOT_FOUND);
    ck_assert_int_eq(gov_device_load(&device, NULL, NULL), GOV_E_NOT_FOUND);
}
END_TEST

START_TEST(default_path_is_used)
{
    struct gov_device device = whole_device(), back;

    begin();
    ck_assert_int_eq(gov_device_save(&device, NULL, NULL), GOV_OK);
    snprintf(path, sizeof(path), "%s/governor/device.json", dir);
    ck_assert_int_eq(access(path, F_OK), 0);
    memset(&back, 0, sizeof(back));
    ck_assert_int_eq(gov_device_load(&back, NULL, NULL), GOV_OK);
    ck_assert_int_eq(memcmp(&device, &back, sizeof(device)), 0);
    ck_assert_int_eq(gov_device_load(NULL, NULL, NULL), GOV_E_INVALID);
}
END_TEST

/* ---- is it still this machine? ------------------------------------------------ */

static void other_cpu(struct gov_device *now)
{
    gov__device_set_text(now, GOV_FACT_DEVICE_CPU, "Other", "");
}

static void no_cpu(struct gov_device *now)
{
    gov__device_unknown(now, GOV_FACT_DEVICE_CPU, "");
}

static void other_system(struct gov_device *now)
{
    gov__device_set_text(now, GOV_FACT_DEVICE_SYSTEM, "Linux 6.12.1", "");
}

static void set_ram(struct gov_device *now, uint64_t bytes)
{
    gov__device_set(now, GOV_FACT_DEVICE_RAM, bytes, "");
}

static void more_ram(struct gov_device *now)
{
    set_ram(now, 16 * GIB + GIB / 2);
}

static void little_more_ram(struct gov_device *now)
{
    set_ram(now, 16 * GIB + GIB / 6);
}

static void unknown_ram(struct gov_device *now)
{
    gov__device_unknown(now, GOV_FACT_DEVICE_RAM, "");
}

static void no_limit(struct gov_device *now)
{
    gov__device_unknown(now, GOV_FACT_DEVICE_LIMIT, "no limit");
}

static void other_limit(struct gov_device *now)
{
    gov__device_set(now, GOV_FACT_DEVICE_LIMIT, 2 * GIB, "");
}

static void other_page(struct gov_device *now)
{
    gov__device_set(now, GOV_FACT_DEVICE_PAGE_SIZE, 16384, "");
}

static void fewer_cores(struct gov_device *now)
{
    gov__device_set(now, GOV_FACT_DEVICE_CORES, 1, "");
}

static void io_uring(struct gov_device *now)
{
    gov__device_set(now, GOV_FACT_DEVICE_IO_URING, 1, "");
}

static void huge_pages(struct gov_device *now)
{
    gov__device_set_text(now, GOV_FACT_DEVICE_HUGE_PAGES, "always", "");
}

static void much(struct gov_device *now)
{
    other_cpu(now);
    more_ram(now);
    no_limit(now);
    other_system(now);
}

/* None of it is what a figure hangs on. */
static void more_use(struct gov_device *now)
{
    gov__device_set(now, GOV_FACT_DEVICE_OTHERS, 300 * MIB, "");
    gov__device_set(now, GOV_FACT_DEVICE_SWAP, 0, "");
    gov__device_set(now, GOV_FACT_DEVICE_MEMLOCK, 0, "");
    gov__device_set_text(now, GOV_FACT_DEVICE_PRESSURE_BACKEND, "none", "");
    gov__device_set_text(now, GOV_FACT_DEVICE_TIER, "laptop", "");
    gov__device_budget(now);
}

/* Where it is from is not what it is. */
static void other_source(struct gov_device *now)
{
    gov__device_set(now, GOV_FACT_DEVICE_CORES, 8, "somewhere else");
}

static const struct {
    void (*change)(struct gov_device *now);
    size_t count;
    const char *text;
} changes[] = {
    {other_cpu, 1, "processor was Some \"CPU\" \\ 3 GHz, now Other"},
    {no_cpu, 1, "processor was Some \"CPU\" \\ 3 GHz, now unknown"},
    {other_system, 1, "kernel was Linux 6.1.0-18-amd64, now Linux 6.12.1"},
    {more_ram, 1, "RAM was 16.0 GiB, now 16.5 GiB"},
    {unknown_ram, 1, "RAM was 16.0 GiB, now unknown"},
    {no_limit, 1, "memory limit was 8.00 GiB, now none"},
    {other_limit, 1, "memory limit was 8.00 GiB, now 2.00 GiB"},
    {other_page, 1, "page size was 4.00 KiB, now 16.0 KiB"},
    {fewer_cores, 1, "processors were 8, now 1"},
    {io_uring, 1, "io_uring for this user was no, now yes"},
    {huge_pages, 1, "huge pages were unknown, now always"},
    {much, 4,
     "processor was Some \"CPU\" \\ 3 GHz, now Other; RAM was 16.0 GiB, now "
     "16.5 GiB; memory limit was 8.00 GiB, now none; kernel was Linux "
     "6.1.0-18-amd64, now Linux 6.12.1"},
    {little_more_ram, 0, ""},
    {more_use, 0, ""},
    {other_source, 0, ""},
};

START_TEST(changed_machine)
{
    struct gov_device stored = whole_device(), now = whole_device();
    char text[512] = "?";

    changes[_i].change(&now);
    ck_assert_uint_eq(gov_device_changes(&stored, &now, text, sizeof(text)),
                      changes[_i].count);
    ck_assert_str_eq(text, changes[_i].text);
    /* The other way round it has changed, too; with no room it still counts. */
    ck_assert_uint_eq(gov_device_changes(&now, &stored, NULL, 0),
                      changes[_i].count);
    /* What does not fit is cut. */
    for (size_t bytes = 1; bytes < sizeof(text); bytes++) {
        memset(text, '?', sizeof(text));
        ck_assert_uint_eq(gov_device_changes(&stored, &now, text, bytes),
                          changes[_i].count);
        ck_assert_int_eq(strncmp(text, changes[_i].text, bytes - 1), 0);
        ck_assert_uint_lt(strnlen(text, bytes), bytes);
        ck_assert_int_eq(text[bytes], '?');
    }
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("profile");
    TCase *tc = tcase_create("text");

    suite_add_tcase(s, tc);
    tcase_add_test(tc, everything_comes_back);
    tcase_add_test(tc, unknown_comes_back_unknown);
    tcase_add_test(tc, the_text_is_this);
    tcase_add_loop_test(tc, json_fits_where_it_says, 0, 5);
    tcase_add_test(tc, json_of_nothing);
    tcase_add_loop_test(tc, json_without_memory, 0, 2);
    ADD_ROWS(tc, edited_text, edits);
    tcase_add_test(tc, derived_facts_are_passed_over);
    tcase_add_loop_test(tc, mutations_are_harmless, 0, 4);
    tc = tcase_create("file");
    suite_add_tcase(s, tc);
    tcase_add_test(tc, missing_file);
    tcase_add_test(tc, file_as_directory);
    tcase_add_test(tc, symbolic_link);
    tcase_add_test(tc, directory_instead);
    tcase_add_test(tc, fifo_does_not_hang);
    ADD_ROWS(tc, writable_by_others, modes);
    tcase_add_test(tc, owned_by_another);
    tcase_add_test(tc, too_large);
    tcase_add_test(tc, modes_are_private);
    tcase_add_test(tc, relative_path);
    tcase_add_test(tc, unwritable_directory);
    tcase_add_test(tc, names_that_are_taken);
    tcase_add_test(tc, what_is_stale_is_removed);
    tcase_add_loop_test(tc, failing_calls, 0, 2);
    tcase_add_test(tc, failing_reads);
    tcase_add_test(tc, file_size_limit);
    ADD_ROWS(tc, default_path, places);
    tcase_add_test(tc, default_path_is_used);
    ADD_ROWS(tc, changed_machine, changes);
    return s;
}
