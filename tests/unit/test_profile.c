/* SPDX-License-Identifier: MIT */
/* Storing a device and reading it back, and every file that must not be
 * believed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    device.have = GOV_DEVICE_HAVE_RAM | GOV_DEVICE_HAVE_LIMIT |
                  GOV_DEVICE_HAVE_SWAP | GOV_DEVICE_HAVE_CORES |
                  GOV_DEVICE_HAVE_READ_RATE | GOV_DEVICE_HAVE_FAULT_COST |
                  GOV_DEVICE_HAVE_MEMORY_RATE | GOV_DEVICE_HAVE_GIVE_BACK;
    device.ram_bytes = 16 * GIB;
    device.limit_bytes = 8 * GIB;
    device.others_bytes = 100 * MIB;
    gov__device_budget(&device);
    device.swap_bytes = 2 * GIB;
    device.page_bytes = 4096;
    device.cores = 8;
    strcpy(device.limit_source, "cgroup v2 /app, memory.max");
    strcpy(device.cpu, "Some \"CPU\" \\ 3 GHz");
    strcpy(device.os, "linux");
    strcpy(device.system, "Linux 6.1.0-18-amd64");
    strcpy(device.arch, "x86_64");
    strcpy(device.pressure_backend, "PSI (own cgroup)");
    device.read_rate = 1500000000;
    device.read_rate_noisy = true;
    device.memory_rate = 20000000000;
    device.memory_rate_noisy = true;
    device.minor_fault_ns = 250;
    device.minor_fault_noisy = true;
    device.give_back_us = 9000;
    device.give_back_noisy = true;
    device.measured_at = 1700000000;
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

/* Unknown is not zero: each figure taken away alone stays away. */
START_TEST(unknown_comes_back_unknown)
{
    struct gov_device device = whole_device(), back;
    uint32_t bit = UINT32_C(1) << _i;
    char text[8192];

    begin();
    device.have &= ~bit;
    if (bit == GOV_DEVICE_HAVE_LIMIT || bit == GOV_DEVICE_HAVE_RAM)
        gov__device_budget(&device);
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    ck_assert_ptr_nonnull(strstr(text, "null"));
    save(&device);
    memset(&back, 0, sizeof(back));
    ck_assert_int_eq(gov_device_load(&back, path, NULL), GOV_OK);
    ck_assert_uint_eq(back.have, device.have);
    ck_assert_uint_eq(back.budget_bytes, device.budget_bytes);
    if (bit == GOV_DEVICE_HAVE_READ_RATE)
        ck_assert(back.read_rate == 0 && !back.read_rate_noisy);
    if (bit == GOV_DEVICE_HAVE_LIMIT)
        ck_assert(back.limit_source[0] == '\0' && back.others_bytes == 0);
}
END_TEST

START_TEST(the_text_is_this)
{
    struct gov_device device = whole_device();
    char text[8192];

    device.have &=
        ~(uint32_t)(GOV_DEVICE_HAVE_LIMIT | GOV_DEVICE_HAVE_READ_RATE);
    gov__device_budget(&device);
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    ck_assert_str_eq(text, "{\n"
                           "  \"format\": \"governor device profile\",\n"
                           "  \"version\": 1,\n"
                           "  \"measured_at_s\": 1700000000,\n"
                           "  \"cpu\": \"Some \\\"CPU\\\" \\\\ 3 GHz\",\n"
                           "  \"cores\": 8,\n"
                           "  \"os\": \"linux\",\n"
                           "  \"system\": \"Linux 6.1.0-18-amd64\",\n"
                           "  \"arch\": \"x86_64\",\n"
                           "  \"page_bytes\": 4096,\n"
                           "  \"ram_bytes\": 17179869184,\n"
                           "  \"swap_bytes\": 2147483648,\n"
                           "  \"limit_bytes\": null,\n"
                           "  \"limit_source\": null,\n"
                           "  \"others_bytes\": null,\n"
                           "  \"reserve_bytes\": 1717986918,\n"
                           "  \"budget_bytes\": 15461882266,\n"
                           "  \"pressure_backend\": \"PSI (own cgroup)\",\n"
                           "  \"read_rate_bytes_per_s\": null,\n"
                           "  \"read_rate_noisy\": null,\n"
                           "  \"memory_rate_bytes_per_s\": 20000000000,\n"
                           "  \"memory_rate_noisy\": true,\n"
                           "  \"minor_fault_ns\": 250,\n"
                           "  \"minor_fault_noisy\": true,\n"
                           "  \"give_back_us\": 9000,\n"
                           "  \"give_back_noisy\": true\n"
                           "}");
}
END_TEST

/* The promise that 8 KiB suffice, for the worst texts there can be. */
START_TEST(json_fits_where_it_says)
{
    struct gov_device device = whole_device();
    gov_error err = {0};
    char text[8192];
    size_t length;

    memset(device.cpu, 1, sizeof(device.cpu) - 1);
    memset(device.system, 1, sizeof(device.system) - 1);
    memset(device.limit_source, 1, sizeof(device.limit_source) - 1);
    memset(device.pressure_backend, 1, sizeof(device.pressure_backend) - 1);
    memset(device.os, 1, sizeof(device.os)); /* not even terminated */
    device.ram_bytes = UINT64_MAX;
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), &err),
                     GOV_OK);
    length = strlen(text);
    ck_assert_int_eq(gov_device_json(&device, text, length + 1, &err), GOV_OK);
    ck_assert_int_eq(gov_device_json(&device, text, length, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_device_json(&device, text, 0, &err), GOV_E_INVALID);

    device = whole_device();
    strcpy(device.cpu, "caf\xe9");
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "cpu of the device is not UTF-8, or there is "
                                  "no memory for it");
    memset(&device, 0, sizeof(device));
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "the device was never probed; call "
                                  "gov_device_probe() first");
    ck_assert_int_eq(gov_device_json(NULL, text, sizeof(text), NULL),
                     GOV_E_INVALID);
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
    {NULL, "{\"version\": 1}", "%s is not a device profile" AGAIN},
    {"device profile", "device file", "%s is not a device profile" AGAIN},
    {"\"governor device profile\"", "5", "%s is not a device profile" AGAIN},
    {"\"version\": 1", "\"version\": 7",
     "profile %s is of version 7, this gov reads 1" AGAIN},
    {"\"version\": 1", "\"version\": -1",
     "profile %s is of version -1, this gov reads 1" AGAIN},
    {"\"version\": 1", "\"version\": 1.0", "profile %s has no version" AGAIN},
    {"\"version\": 1,", "", "profile %s has no version" AGAIN},
    {"8589934592", "\"8589934592\"",
     "profile %s: limit_bytes is not a whole number" AGAIN},
    {"17179869184", "17179869184.5",
     "profile %s: ram_bytes is not a whole number" AGAIN},
    {"17179869184", "true",
     "profile %s: ram_bytes is not a whole number" AGAIN},
    {"17179869184", "-1", "profile %s: ram_bytes is out of range" AGAIN},
    {"17179869184", "0", "profile %s: ram_bytes is out of range" AGAIN},
    {"17179869184", "72057594037927937",
     "profile %s: ram_bytes is out of range" AGAIN},
    {"17179869184", "99999999999999999999",
     "profile %s is broken at line 11, column 35 (too big integer near "
     "'99999999999999999999')" AGAIN},
    {"17179869184", "4096",
     "profile %s: limit_bytes is more than ram_bytes" AGAIN},
    {"\"cores\": 8", "\"cores\": 4294967297",
     "profile %s: cores is out of range" AGAIN},
    {"4096", "4097", "profile %s: page_bytes is no power of two" AGAIN},
    {"4096", "0", "profile %s: page_bytes is out of range" AGAIN},
    {"4096", "null", "profile %s: there is no page_bytes" AGAIN},
    {"\"linux\"", "null", "profile %s: there is no os" AGAIN},
    {"\"linux\"", "17", "profile %s: os is not a text" AGAIN},
    {"\"linux\"", "\"sixteen  letters\"", "profile %s: os is too long" AGAIN},
    {"\"linux\"", "\"fifteen letters\"", NULL},
    {"\"linux\"", "\"\\u001b[2J\"",
     "profile %s: os has control characters" AGAIN},
    {"\"linux\"", "\"\\u009b2J\"",
     "profile %s: os has control characters" AGAIN},
    {"\"linux\"", "\"a\\u0000b\"",
     "profile %s is broken at line 7, column 18 (\\u0000 is not allowed "
     "without JSON_ALLOW_NUL near '\"a\\u0000b\"')" AGAIN},
    {"\"read_rate_noisy\": true", "\"read_rate_noisy\": 1",
     "profile %s: read_rate_noisy is neither true nor false" AGAIN},
    {"\"give_back_us\": 9000", "\"give_back_us\": 0",
     "profile %s: give_back_us is out of range" AGAIN},
    {"\"budget_bytes\": ", "\"budget_bytes\": 9",
     "profile %s: budget_bytes and reserve_bytes are more than there "
     "is" AGAIN},
    {"\"os\"", "\"cpu\"",
     "profile %s is broken at line 7, column 7 (duplicate object key near "
     "'\"cpu\"')" AGAIN},
    {"}\n", "} x\n",
     "profile %s is broken at line 27, column 3 (end of file expected near "
     "'x')" AGAIN},
    {"}\n", "",
     "profile %s is broken at line 27, column 0 ('}' expected near end of "
     "file)" AGAIN},
    {"linux", "\xff\xfe",
     "profile %s is broken at line 7, column 9 (unable to decode byte 0xff "
     "near '\"')" AGAIN},
    {"linux\"", "\x1b[2J\x1b",
     "profile %s is broken at line 7, column 9 (control character 0x1b near "
     "'\"')" AGAIN},
    /* What is not known, or more than is known, is no fault. */
    {"17179869184", "null", NULL},
    {"\"version\": 1,", "\"version\": 1, \"gpu\": {\"name\": []},", NULL},
    {"8589934592", "null", NULL},
    {"\"read_rate_noisy\": true", "\"read_rate_noisy\": null", NULL},
    {"{\n", "\n\n\t {", NULL},
};

START_TEST(edited_text)
{
    struct gov_device device = whole_device(), back;
    const char *find = edits[_i].find, *put = edits[_i].put, *at;
    char text[8192], edited[16384];
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

/* Parts of a figure that is not there do not bring it back. */
START_TEST(a_part_is_not_a_figure)
{
    struct gov_device device = whole_device(), back;
    char text[8192], *at;

    begin();
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    at = strstr(text, "8589934592");
    memcpy(at, "null      ", 10);
    ck_assert_int_eq(gov__profile_parse(&back, text, strlen(text), "x", NULL),
                     GOV_OK);
    ck_assert_uint_eq(back.have & GOV_DEVICE_HAVE_LIMIT, 0);
    ck_assert_uint_eq(back.others_bytes, 0);
    ck_assert_str_eq(back.limit_source, "");
}
END_TEST

/* Whatever bytes are flipped, inserted or cut: no crash, and what is accepted
 * can be written and read again as it is. */
START_TEST(mutations_are_harmless)
{
    struct gov_device device = whole_device(), back, twice;
    char text[8192], mutant[8200], again[8192];
    uint32_t seed = 1 + (uint32_t)_i;
    size_t length;

    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    length = strlen(text);
    for (int round = 0; round < 5000; round++) {
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

/* Each call fails in turn: the old profile stays whole, nothing is beside it. */
START_TEST(failing_calls)
{
    struct gov_device old = whole_device(), new = whole_device(), back;
    bool forever = _i != 0;
    uint64_t calls;

    new.cores = 9;
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
        ck_assert(back.cores == 8 || back.cores == 9);
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
    strcpy(now->cpu, "Other");
}

static void no_cpu(struct gov_device *now)
{
    now->cpu[0] = '\0';
}

static void other_system(struct gov_device *now)
{
    strcpy(now->system, "Linux 6.12.1");
}

static void more_ram(struct gov_device *now)
{
    now->ram_bytes += now->ram_bytes / 32;
}

static void little_more_ram(struct gov_device *now)
{
    now->ram_bytes += now->ram_bytes / 100;
}

static void unknown_ram(struct gov_device *now)
{
    now->have &= ~(uint32_t)GOV_DEVICE_HAVE_RAM;
    now->ram_bytes = 0;
}

static void no_limit(struct gov_device *now)
{
    now->have &= ~(uint32_t)GOV_DEVICE_HAVE_LIMIT;
    now->limit_bytes = 0;
}

static void other_limit(struct gov_device *now)
{
    now->limit_bytes = 2 * GIB;
}

static void other_page(struct gov_device *now)
{
    now->page_bytes = 16384;
}

static void more_use(struct gov_device *now)
{
    now->others_bytes *= 3;
    now->cores = 1;
    gov__device_budget(now);
}

static const struct {
    void (*change)(struct gov_device *now);
    const char *note; /* NULL: the same machine */
} changes[] = {
    {other_cpu,
     "processor was Some \"CPU\" \\ 3 GHz, now Other; run gov profile again"},
    {no_cpu,
     "processor was Some \"CPU\" \\ 3 GHz, now unknown; run gov profile again"},
    {other_system, "system was Linux 6.1.0-18-amd64, now Linux 6.12.1; run gov "
                   "profile again"},
    {more_ram, "RAM was 16.0 GiB, now 16.5 GiB; run gov profile again"},
    {unknown_ram, "RAM was 16.0 GiB, now unknown; run gov profile again"},
    {no_limit, "memory limit was 8.00 GiB, now none; run gov profile again"},
    {other_limit,
     "memory limit was 8.00 GiB, now 2.00 GiB; run gov profile again"},
    {other_page, "page size was 4.00 KiB, now 16.0 KiB; run gov profile again"},
    {little_more_ram, NULL},
    {more_use, NULL},
};

START_TEST(changed_machine)
{
    struct gov_device stored = whole_device(), now = whole_device();
    char note[256] = "";

    changes[_i].change(&now);
    if (changes[_i].note == NULL) {
        ck_assert_msg(!gov__profile_differs(&stored, &now, note, sizeof(note)),
                      "%s", note);
        return;
    }
    ck_assert(gov__profile_differs(&stored, &now, note, sizeof(note)));
    ck_assert_str_eq(note, changes[_i].note);
    ck_assert(gov__profile_differs(&now, &stored, NULL, 0));
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("profile");
    TCase *tc = tcase_create("text");

    suite_add_tcase(s, tc);
    tcase_add_test(tc, everything_comes_back);
    tcase_add_loop_test(tc, unknown_comes_back_unknown, 0, 8);
    tcase_add_test(tc, the_text_is_this);
    tcase_add_test(tc, json_fits_where_it_says);
    ADD_ROWS(tc, edited_text, edits);
    tcase_add_test(tc, a_part_is_not_a_figure);
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
    tcase_add_loop_test(tc, failing_calls, 0, 2);
    tcase_add_test(tc, failing_reads);
    ADD_ROWS(tc, default_path, places);
    tcase_add_test(tc, default_path_is_used);
    ADD_ROWS(tc, changed_machine, changes);
    return s;
}
