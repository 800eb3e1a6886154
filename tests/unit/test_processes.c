/* SPDX-License-Identifier: MIT */
/* Ungoverned processes that run models: over small copies of /proc, and a child that
 * maps a model. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/runtime/processes_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/tree.h"

/* Elsewhere than on Linux it does not exist; then there is nothing to test. */
#pragma weak gov__platform_linux_at

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define UNTOLD UINT64_MAX
#define ROOM 8

static struct gov_platform platform;
static const char *root; /* of the tree in use */
static struct gov_process list[ROOM];
static size_t count;
static gov_error err;

static gov_status look_past(const int32_t *passed, size_t pass)
{
    struct gov__listing all = {list, ROOM, 77, passed, pass};
    gov_status status;

    memset(list, 0xA5, sizeof(list));
    status = gov__process_list(&platform, &all, &err);
    count = all.count;
    return status;
}

static gov_status look(void)
{
    return look_past(NULL, 0);
}

/* ---- a small /proc ---------------------------------------------------------------- */

#define STAT_RSS(name, state, flags, start, pages)                             \
    "42 (" name ") " state " 1 10 10 0 -1 " flags                              \
    " 1234 0 56 0 7 8 0 0 20 0 1 0 " start " 22 " pages                        \
    " 18446744073709551615 0\n"
#define STAT(name, state, flags, start)                                        \
    STAT_RSS(name, state, flags, start, "33")
#define STAT_LARGE(name) STAT_RSS(name, "R", PLAIN, "98765", "16384")
#define PLAIN "4194560"
#define STATUS(anon, file, swap, sleeps)                                       \
    "Name:\tx\nVmPeak:\t999 kB\nRssAnon:\t" anon " kB\nRssFile:\t" file        \
    " kB\nRssShmem:\t8 kB\nVmSwap:\t" swap                                     \
    " kB\nThreads:\t1\nvoluntary_ctxt_switches:\t" sleeps                      \
    "\nnonvoluntary_ctxt_switches:\t9\n"
#define SMALL STATUS("100", "40", "16", "7")

#define MAP(from, to, inode, path)                                             \
    from "-" to " r--s 00000000 08:01 " inode "                 " path "\n"
#define FIGURES(rss, anon, swap)                                               \
    "Size: 4096 kB\nKernelPageSize: 4 kB\nRss: " rss " kB\nPss: 1 kB\n"        \
    "Anonymous: " anon " kB\nAnonHugePages: 777 kB\nSwap: " swap               \
    " kB\nSwapPss: 777 kB\nVmFlags: rd mr\n"
#define ROLLUP                                                                 \
    "00400000-7ffd000 ---p 00000000 00:00 0  [rollup]\n" FIGURES("9999",       \
                                                                 "104", "18")
#define BLOB                                                                   \
    "sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Twice 2 MiB of one file, 3 MiB of a smaller one, a library, heap. */
#define HEAP MAP("01000000", "01100000", "0", "[heap]")
#define FILE_A1 MAP("7f0000000000", "7f0000200000", "11", "/m/a.gguf")
#define FILE_A2 MAP("7f0000200000", "7f0000400000", "11", "/m/a.gguf")
#define FILE_B MAP("7f0000400000", "7f0000700000", "12", "/m/b.safetensors")
#define FILE_C MAP("7f0000700000", "7f0000900000", "13", "/usr/lib/c.so")
#define MAPS HEAP FILE_A1 FILE_A2 FILE_B FILE_C
#define SMAPS                                                                  \
    HEAP FIGURES("400", "300", "20") FILE_A1 FIGURES("500", "4", "0")          \
        FILE_A2 FIGURES("600", "0", "0") FILE_B FIGURES("70", "0", "0")        \
            FILE_C FIGURES("80", "5", "1")

#define A_MODEL "a.gguf", 7 * MIB, 1170 * KIB, 330 * KIB, 21 * KIB, true

static const struct {
    const char *what;
    const char *stat, *status, *maps, *smaps, *rollup;
    bool shown;
    const char *name, *model;
    uint64_t mapped, resident, footprint, swap;
    bool exact;
} rows[] = {
    {"an engine that maps a model", STAT("llama-server", "S", PLAIN, "98765"),
     SMALL, MAPS, SMAPS, ROLLUP, true, "llama-server", A_MODEL},
    {"a large process that maps one", STAT_LARGE("python3"), SMALL, MAPS, SMAPS,
     ROLLUP, true, "python3", A_MODEL},
    {"a small process is not looked into",
     STAT_RSS("cp", "R", PLAIN, "98765", "1023"), SMALL, MAPS, SMAPS, ROLLUP,
     .shown = false},
    {"a large process without one", STAT_LARGE("firefox"), SMALL, HEAP FILE_C,
     HEAP FIGURES("400", "300", "20"), ROLLUP, .shown = false},
    {"an engine without one: the kernel's sum",
     STAT("ollama", "S", PLAIN, "98765"), SMALL, HEAP FILE_C, NULL, ROLLUP,
     true, "ollama", "", 0, 0, 122 * KIB, 18 * KIB, true},
    {"an engine of another user", STAT("whisper-cli", "S", PLAIN, "98765"),
     SMALL, NULL, NULL, NULL, true, "whisper-cli", "", UNTOLD, UNTOLD,
     116 * KIB, 16 * KIB, false},
    {"mappings that may be listed and not counted",
     STAT("llama-cli", "S", PLAIN, "98765"), SMALL, MAPS, NULL, NULL, true,
     "llama-cli", "a.gguf", 7 * MIB, UNTOLD, 116 * KIB, 16 * KIB, false},
    {"mappings that are gone when they are counted",
     STAT("llama-cli", "S", PLAIN, "98765"), SMALL, MAPS, "", NULL, true,
     "llama-cli", "a.gguf", 7 * MIB, UNTOLD, 116 * KIB, 16 * KIB, false},
    {"a sum that is not whole", STAT("vllm", "S", PLAIN, "98765"), SMALL, "",
     NULL, "Rss: 1 kB\nAnonymous: 2 kB\n", true, "vllm", "", 0, 0, 116 * KIB,
     16 * KIB, false},
    {"a file that was removed", STAT("koboldcpp-linux", "S", PLAIN, "98765"),
     SMALL, MAP("10000", "20000", "1", "/m/x.gguf (deleted)"),
     MAP("10000", "20000", "1", "/m/x.gguf (deleted)") FIGURES("64", "0", "0"),
     NULL, true, "koboldcpp-linux", "x.gguf", 64 * KIB, 64 * KIB, 0, 0, true},
    {"a blob of Ollama's", STAT("ollama", "S", PLAIN, "98765"), SMALL,
     MAP("10000", "20000", "1", "/o/blobs/" BLOB), NULL, NULL, true, "ollama",
     BLOB, 64 * KIB, UNTOLD, 116 * KIB, 16 * KIB, false},
    {"names that only look like models", STAT_LARGE("app"), SMALL,
     MAP("10000", "20000", "1", "/m/.gguf.so")
         MAP("20000", "30000", "1", "/m/x.gguf.part")
             MAP("30000", "40000", "0", "[anon:/m/x.gguf]")
                 MAP("40000", "50000", "1", "/blobs/sha256-12"),
     NULL, NULL, .shown = false},
    {"a zombie", STAT("llama-server", "Z", PLAIN, "98765"), SMALL, NULL, NULL,
     NULL, .shown = false},
    {"a kernel thread", STAT("llama-server", "S", "2129984", "98765"), SMALL,
     "", "", NULL, .shown = false},
    {"one that has just lost its memory",
     STAT("llama-server", "S", PLAIN, "98765"), "Name:\tx\nThreads:\t1\n", "",
     "", NULL, .shown = false},
    {"no status: hidden", STAT("llama-server", "S", PLAIN, "98765"), NULL, NULL,
     NULL, NULL, .shown = false},
    {"cut short", "42 (llama-server) S 1 2 3\n", SMALL, MAPS, SMAPS, NULL,
     .shown = false},
    {"no name", "42 llama-server S 1 2 3\n", SMALL, MAPS, SMAPS, NULL,
     .shown = false},
    {"a name that looks like more fields",
     STAT("llama-) Z 1 2 (", "S", PLAIN, "98765"), SMALL, MAPS, SMAPS, ROLLUP,
     true, "llama-) Z 1 2 (", A_MODEL},
    {"a name that would draw on the screen",
     STAT("llama-\033[2J\n\xff)", "S", PLAIN, "98765"), SMALL, MAPS, SMAPS,
     ROLLUP, true, "llama-\\x1B[2J\\x0A\\xFF)", A_MODEL},
    {"a kernel that does not tell the kinds of memory",
     STAT("llama-cli", "S", PLAIN, "98765"), "VmSwap: 16 kB\n", NULL, NULL,
     NULL, true, "llama-cli", "", UNTOLD, UNTOLD, UNTOLD, 16 * KIB, false},
    {"figures without end", STAT("llama-cli", "S", PLAIN, "98765"),
     STATUS("99999999999999999999", "1", "2", "3"), NULL, NULL, NULL, true,
     "llama-cli", "", UNTOLD, UNTOLD, UNTOLD, 2 * KIB, false},
};

static void plant(const char *name, const char *text)
{
    char path[64];

    snprintf(path, sizeof(path), "proc/42/%s", name);
    if (text != NULL)
        tree_plant_text(root, path, text);
}

/* Files beside processes, as in every /proc. */
static void plant_row(int row)
{
    root = tree_platform(&platform, NULL);
    tree_plant_text(root, "proc/meminfo", "MemTotal: 1024 kB\n");
    tree_plant_text(root, "proc/42x/stat", rows[0].stat);
    tree_plant_text(root, "proc/0/stat", rows[0].stat);
    tree_plant_text(root, "proc/99999999999/stat", rows[0].stat);
    plant("stat", rows[row].stat);
    plant("status", rows[row].status);
    plant("maps", rows[row].maps);
    plant("smaps", rows[row].smaps);
    plant("smaps_rollup", rows[row].rollup);
    plant("io", "rchar: 1\nread_bytes: 4096\nwrite_bytes: 2\n");
}

START_TEST(process_is_listed)
{
    const struct gov_process *got = &list[0];

    plant_row(_i);
    ck_assert_int_eq(look(), GOV_OK);
    ck_assert_msg(count == (rows[_i].shown ? 1 : 0), "%s: %zu listed",
                  rows[_i].what, count);
    if (!rows[_i].shown)
        return;
    ck_assert_uint_eq(got->size, sizeof(*got));
    ck_assert_int_eq(got->pid, 42);
    ck_assert_uint_eq(got->start_ticks, 98765);
    ck_assert_str_eq(got->name, rows[_i].name);
    ck_assert_str_eq(got->model, rows[_i].model);
    ck_assert_uint_eq(got->mapped_bytes, rows[_i].mapped);
    ck_assert_uint_eq(got->mapped_resident_bytes, rows[_i].resident);
    ck_assert_uint_eq(got->footprint_bytes, rows[_i].footprint);
    ck_assert_uint_eq(got->swap_bytes, rows[_i].swap);
    ck_assert_int_eq(got->exact, rows[_i].exact);
    ck_assert_uint_eq(got->minor_faults, 1234);
    ck_assert_uint_eq(got->major_faults, 56);
    ck_assert_uint_eq(got->read_bytes, 4096);
}
END_TEST

/* Names of files may hold anything and be of any length. */
START_TEST(model_names_are_fit_to_show)
{
    static char maps[6000];
    char name[3000];

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(maps, sizeof(maps),
             "10000-20000 r--s 00000000 08:01 7   /m\033[1m/%.*s%s-Q4_K.gguf\n",
             _i == 0 ? 200 : 2900, name, "\033]0;\xC2\x9B");
    plant_row(0);
    plant("maps", maps);
    ck_assert_int_eq(look(), GOV_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_ptr_nonnull(memchr(list[0].model, '\0', sizeof(list[0].model)));
    ck_assert_ptr_null(strchr(list[0].model, '\033'));
    ck_assert_int_eq(strncmp(list[0].model, "...", 3), 0);
    /* One that is longer than a path can be loses its end. */
    ck_assert_int_eq(strstr(list[0].model, "-Q4_K.gguf") != NULL, _i == 0);
}
END_TEST

/* Other users' counters are theirs. */
START_TEST(io_may_be_hidden)
{
    char path[512];

    plant_row(0);
    snprintf(path, sizeof(path), "%s/proc/42/io", root);
    ck_assert_int_eq(remove(path), 0);
    ck_assert_int_eq(look(), GOV_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(list[0].read_bytes, UNTOLD);
}
END_TEST

static void plant_many(void)
{
    static const int pids[] = {9, 1000, 42, 7, 3000000, 100, 8, 11, 12, 13};
    char path[64];

    root = tree_platform(&platform, NULL);
    for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        snprintf(path, sizeof(path), "proc/%d/stat", pids[i]);
        tree_plant_text(root, path, rows[0].stat);
        snprintf(path, sizeof(path), "proc/%d/status", pids[i]);
        tree_plant_text(root, path, SMALL);
    }
}

START_TEST(lowest_pids_come_first)
{
    static const int32_t want[ROOM] = {7, 8, 9, 11, 12, 13, 42, 100};
    struct gov__listing none = {.count = 1};

    plant_many();
    ck_assert_int_eq(look(), GOV_OK);
    ck_assert_uint_eq(count, ROOM);
    for (size_t i = 0; i < ROOM; i++)
        ck_assert_int_eq(list[i].pid, want[i]);
    ck_assert_int_eq(gov__process_list(&platform, &none, NULL), GOV_OK);
    ck_assert_uint_eq(none.count, 0);
}
END_TEST

START_TEST(passed_over_are_those_shown_already)
{
    static const int32_t passed[] = {42, 7, 5, 3000000, 9, 11};
    static const int32_t want[] = {8, 12, 13, 100, 1000};

    plant_many();
    ck_assert_int_eq(look_past(passed, 6), GOV_OK);
    ck_assert_uint_eq(count, 5);
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(list[i].pid, want[i]);
}
END_TEST

/* ---- processes that are not what they were ---------------------------------------- */

/* A FIFO stands for a file that does not answer: opening it waits for good. */
static void plant_fifo(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/proc/42/%s", root, name);
    (void)remove(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}

START_TEST(stuck_ones_are_not_waited_for)
{
    plant_row(0);
    plant("stat", STAT("llama-server", "D", PLAIN, "98765"));
    plant_fifo("maps");
    plant_fifo("smaps");
    plant_fifo("smaps_rollup");
    plant_fifo("cmdline");
    ck_assert_int_eq(look(), GOV_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(list[0].model, "");
    ck_assert_uint_eq(list[0].mapped_bytes, UNTOLD);
    ck_assert_uint_eq(list[0].footprint_bytes, 116 * KIB);
    ck_assert(!list[0].exact);
}
END_TEST

static int opens, change_at;
static const char *new_stat, *new_status;

static void change(void)
{
    if (opens++ != change_at)
        return;
    plant("stat", new_stat);
    plant("status", new_status);
}

/* Asleep at each look, but not the same sleep; then one that is awake. */
START_TEST(those_that_read_weights_come_back)
{
    plant_row(0);
    plant("stat", STAT("llama-server", "D", PLAIN, "98765"));
    opens = 0;
    change_at = 4;
    new_stat = _i == 0 ? NULL : rows[0].stat;
    new_status = _i == 0 ? STATUS("100", "40", "16", "8") : NULL;
    faults_reset();
    faults_before("open", change);
    ck_assert_int_eq(look(), GOV_OK);
    faults_reset();
    ck_assert_int_gt(opens, change_at);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(list[0].model, "a.gguf");
    ck_assert(list[0].exact);
}
END_TEST

/* Many that are stuck cost no more than a few. */
START_TEST(many_stuck_ones_are_asked_less)
{
    char path[64];

    root = tree_platform(&platform, NULL);
    for (int pid = 100; pid < 400; pid++) {
        snprintf(path, sizeof(path), "proc/%d/stat", pid);
        tree_plant_text(root, path, STAT("llama-cli", "D", PLAIN, "98765"));
        snprintf(path, sizeof(path), "proc/%d/status", pid);
        tree_plant_text(root, path, SMALL);
    }
    faults_reset();
    ck_assert_int_eq(look(), GOV_OK);
    /* stat, status, io and stat again of each, and twice 16 questions. */
    faults_only("open");
    faults_arm(FAULTS_NEVER, false);
    ck_assert_int_eq(look(), GOV_OK);
    ck_assert_uint_eq(faults_count(), 1 + 300 * 4 + 16 * 2);
    ck_assert_uint_eq(count, ROOM);
    faults_reset();
}
END_TEST

static void vanish(void)
{
    static const char *const files[] = {"stat", "status",       "maps",
                                        "io",   "smaps_rollup", "smaps"};
    char path[512];

    if (opens++ != change_at)
        return;
    for (size_t i = 0; i < 6; i++) {
        snprintf(path, sizeof(path), "%s/proc/42/%s", root, files[i]);
        (void)remove(path);
    }
}

/* Gone at any moment: it is not listed, and nothing else happens. The last moment is
 * behind the last look at it. */
START_TEST(processes_vanish)
{
    bool listed = false;

    for (change_at = 0; !listed; change_at++) {
        plant_row(0);
        opens = 0;
        faults_reset();
        faults_before("open", vanish);
        ck_assert_int_eq(look(), GOV_OK);
        listed = opens <= change_at;
        ck_assert_uint_eq(count, listed ? 1 : 0);
    }
    ck_assert_int_gt(change_at, 6);
    faults_reset();
}
END_TEST

/* Another process under the same number is not mixed with the first. */
START_TEST(numbers_are_used_again)
{
    plant_row(0);
    opens = 0;
    change_at = 4;
    new_stat = STAT("llama-server", "S", PLAIN, "98766");
    new_status = NULL;
    faults_reset();
    faults_before("open", change);
    ck_assert_int_eq(look(), GOV_OK);
    ck_assert_int_gt(opens, change_at);
    ck_assert_uint_eq(count, 0);
    faults_reset();
}
END_TEST

/* ---- failures --------------------------------------------------------------------- */

START_TEST(failing_calls_are_survived)
{
    uint64_t calls;
    int open_before;

    plant_row(0);
    faults_reset();
    faults_only("open,read,fdopendir,readdir");
    open_before = faults_open_descriptors();
    faults_arm(FAULTS_NEVER, false);
    ck_assert_int_eq(look(), GOV_OK);
    calls = faults_count();
    ck_assert_uint_gt(calls, 16);
    for (uint64_t n = 0; n < 2 * calls; n++) {
        gov_status status;

        faults_arm(n % calls, n >= calls);
        status = look();
        faults_disarm();
        ck_assert_int_eq(faults_open_descriptors(), open_before);
        if (status != GOV_OK) {
            ck_assert_int_eq(status, GOV_E_IO);
            ck_assert_int_eq(err.os_errno, EIO);
            ck_assert_uint_eq(count, 0);
            continue;
        }
        /* A figure is missing, none is wrong. */
        ck_assert_uint_eq(count, 1);
        ck_assert(list[0].mapped_bytes == 7 * MIB ||
                  list[0].mapped_bytes == UNTOLD);
        ck_assert(list[0].mapped_resident_bytes == 1170 * KIB ||
                  list[0].mapped_resident_bytes == UNTOLD);
        ck_assert_uint_eq(list[0].footprint_bytes,
                          (list[0].exact ? 330 : 116) * KIB);
    }
    faults_reset();
}
END_TEST

/* Without a descriptor nobody was seen: that is no empty list. */
START_TEST(no_descriptors_are_told)
{
    plant_row(0);
    faults_reset();
    faults_only("open");
    faults_set_errno(EMFILE);
    faults_arm((uint64_t)_i, true);
    ck_assert_int_eq(look(), GOV_E_IO);
    faults_reset();
    ck_assert_int_eq(err.os_errno, EMFILE);
    ck_assert_ptr_nonnull(strstr(err.message, "cannot list"));
}
END_TEST

START_TEST(memory_for_the_stream_is_told)
{
    plant_row(0);
    faults_reset();
    faults_only("fdopendir");
    faults_set_errno(ENOMEM);
    faults_arm(0, true);
    ck_assert_int_eq(look(), GOV_E_NOMEM);
    faults_reset();
}
END_TEST

START_TEST(other_systems_do_not_tell)
{
    platform = (struct gov_platform){.name = "none"};
    ck_assert_int_eq(look(), GOV_E_UNSUPPORTED);
    ck_assert_uint_eq(count, 0);
    ck_assert_ptr_nonnull(strstr(err.message, "cannot be listed"));
}
END_TEST

START_TEST(no_proc_is_told)
{
    root = tree_platform(&platform, NULL);
    ck_assert_int_eq(look(), GOV_E_IO);
    ck_assert_int_eq(err.os_errno, ENOENT);
}
END_TEST

/* Writes something else over a few bytes. */
static void plant_spoilt(const char *name, const char *text, uint32_t *seed)
{
    static const char junk[] = "\n :,/-()\\019mfSD";
    char path[64], spoilt[4096];
    size_t bytes = strlen(text);

    ck_assert_uint_lt(bytes, sizeof(spoilt));
    memcpy(spoilt, text, bytes + 1);
    for (size_t n = 0; n < 1 + bytes / 48; n++) {
        *seed = *seed * 1664525 + 1013904223;
        spoilt[(*seed >> 8) % bytes] = junk[(*seed >> 4) % (sizeof(junk) - 1)];
    }
    snprintf(path, sizeof(path), "proc/42/%s", name);
    tree_plant(root, path, spoilt, bytes);
}

START_TEST(garbage_is_survived)
{
    uint32_t seed = 1 + (uint32_t)_i;

    root = tree_platform(&platform, NULL);
    for (int round = 0; round < 50; round++) {
        plant_spoilt("stat", rows[0].stat, &seed);
        plant_spoilt("status", SMALL, &seed);
        plant_spoilt("maps", MAPS, &seed);
        plant_spoilt("smaps", SMAPS, &seed);
        plant_spoilt("smaps_rollup", ROLLUP, &seed);
        ck_assert_int_eq(look(), GOV_OK);
        ck_assert_uint_le(count, 1);
        if (count == 0)
            continue;
        ck_assert_ptr_nonnull(memchr(list[0].name, '\0', sizeof(list[0].name)));
        ck_assert_ptr_nonnull(
            memchr(list[0].model, '\0', sizeof(list[0].model)));
        ck_assert(!list[0].exact || list[0].footprint_bytes == UNTOLD ||
                  list[0].footprint_bytes >= list[0].swap_bytes);
    }
}
END_TEST

/* ---- the real one ----------------------------------------------------------------- */

#define CHILD_FILE (80 * MIB)
#define CHILD_TOUCHED (72 * MIB)
#define CHILD_HEAP (24 * MIB)

static pid_t child;
static int child_ends;

/* Touches pages of a model and of its own, says so and waits until it is let go. */
static void be_child(const char *path, const char *name, int ready, int go)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    volatile const char *file;
    volatile char *heap;
    char sum = 0;

    prctl(PR_SET_NAME, name);
    if (fd < 0)
        _exit(1);
    file = mmap(NULL, CHILD_FILE, PROT_READ, MAP_SHARED, fd, 0);
    heap = mmap(NULL, CHILD_HEAP, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (file == MAP_FAILED || heap == MAP_FAILED)
        _exit(2);
    for (size_t at = 0; at < CHILD_TOUCHED; at += 4096)
        sum = (char)(sum + file[at]);
    for (size_t at = 0; at < CHILD_HEAP; at += 4096)
        heap[at] = (char)(sum + 1);
    if (write(ready, &sum, 1) != 1)
        _exit(3);
    (void)!read(go, &sum, 1);
    _exit(0);
}

static void start_child(const char *name)
{
    const char *directory = fresh_directory();
    int ready[2], go[2], fd;
    char path[512], byte;

    snprintf(path, sizeof(path), "%s/live.gguf", directory);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, CHILD_FILE), 0);
    close(fd);
    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(go), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(go[1]);
        be_child(path, name, ready[1], go[0]);
    }
    close(ready[1]);
    close(go[0]);
    child_ends = go[1];
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
}

static void end_child(void)
{
    int status;

    if (child <= 0)
        return;
    close(child_ends);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    child = 0;
}

/* Sums of one key of a file of the child's, in bytes, of mappings whose line holds
 * `of`; NULL: of all. */
static uint64_t told(const char *file, const char *key, const char *of)
{
    char path[64], line[1024];
    uint64_t kib, sum = 0;
    bool counts = of == NULL;
    FILE *in;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)child, file);
    in = fopen(path, "r");
    ck_assert_ptr_nonnull(in);
    while (fgets(line, sizeof(line), in) != NULL) {
        if (of != NULL && (line[0] < 'A' || line[0] > 'Z'))
            counts = strstr(line, of) != NULL;
        if (counts && strncmp(line, key, strlen(key)) == 0 &&
            sscanf(line + strlen(key), "%" SCNu64, &kib) == 1)
            sum += kib * KIB;
    }
    fclose(in);
    return sum;
}

static const struct gov_process *find(int32_t pid)
{
    static struct gov_process all[256];

    ck_assert_int_eq(gov_process_list(all, 256, &count, NULL, 0, &err), GOV_OK);
    for (size_t i = 0; i < count; i++)
        if (all[i].pid == pid)
            return &all[i];
    return NULL;
}

#define WITHIN_1_PERCENT(got, want)                                            \
    ck_assert_msg((got)*100 >= (want)*99 && (got)*100 <= (want)*101,           \
                  #got " is %" PRIu64 ", not %" PRIu64, (uint64_t)(got),       \
                  (uint64_t)(want))

/* Known by its name, or by nothing but what it maps. */
START_TEST(figures_are_the_kernels)
{
    const struct gov_process *got;
    uint64_t footprint, resident;

    start_child(_i == 0 ? "llama-server" : "some-app");
    got = find(child);
    ck_assert_ptr_nonnull(got);
    footprint = told("smaps_rollup", "Anonymous:", NULL) +
                told("smaps_rollup", "Swap:", NULL);
    resident = told("smaps", "Rss:", "live.gguf");
    ck_assert_str_eq(got->name, _i == 0 ? "llama-server" : "some-app");
    ck_assert_str_eq(got->model, "live.gguf");
    ck_assert(got->exact);
    ck_assert_uint_ge(footprint, CHILD_HEAP);
    ck_assert_uint_ge(resident, CHILD_TOUCHED);
    WITHIN_1_PERCENT(got->footprint_bytes, footprint);
    WITHIN_1_PERCENT(got->mapped_resident_bytes, resident);
    ck_assert_uint_eq(got->mapped_bytes, CHILD_FILE);
    ck_assert_uint_ge(got->minor_faults + got->major_faults,
                      CHILD_HEAP / (2 * MIB));
    ck_assert_uint_ne(got->start_ticks, 0);
    end_child();
    ck_assert_ptr_null(find(got->pid));
}
END_TEST

/* Nothing of a zombie is left, whatever it was called. */
START_TEST(zombies_are_not_listed)
{
    siginfo_t info;
    pid_t pid;

    start_child("llama-server");
    pid = child;
    close(child_ends);
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    ck_assert_ptr_null(find(pid));
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    child = 0;
}
END_TEST

/* A stopped one is no stuck one. */
START_TEST(stopped_ones_are_looked_into)
{
    const struct gov_process *got;
    siginfo_t info;

    start_child("llama-server");
    ck_assert_int_eq(kill(child, SIGSTOP), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WSTOPPED), 0);
    got = find(child);
    ck_assert_ptr_nonnull(got);
    ck_assert_str_eq(got->model, "live.gguf");
    ck_assert_int_eq(kill(child, SIGCONT), 0);
    end_child();
}
END_TEST

#define ADD_ROWS(tc, test, table)                                              \
    tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

Suite *suite(void)
{
    Suite *s = suite_create("processes");
    TCase *tc = tcase_create("trees");

    suite_add_tcase(s, tc);
    tcase_add_test(tc, other_systems_do_not_tell);
    if (gov__platform_linux_at == NULL) {
        skip_test("processes", "built for another platform");
        return s;
    }
    ADD_ROWS(tc, process_is_listed, rows);
    tcase_add_loop_test(tc, model_names_are_fit_to_show, 0, 2);
    tcase_add_test(tc, io_may_be_hidden);
    tcase_add_test(tc, lowest_pids_come_first);
    tcase_add_test(tc, passed_over_are_those_shown_already);
    tcase_add_test(tc, stuck_ones_are_not_waited_for);
    tcase_add_loop_test(tc, those_that_read_weights_come_back, 0, 2);
    tcase_add_test(tc, many_stuck_ones_are_asked_less);
    tcase_add_test(tc, processes_vanish);
    tcase_add_test(tc, numbers_are_used_again);
    tcase_add_test(tc, failing_calls_are_survived);
    tcase_add_loop_test(tc, no_descriptors_are_told, 0, 2);
    tcase_add_test(tc, memory_for_the_stream_is_told);
    tcase_add_test(tc, no_proc_is_told);
    tcase_add_loop_test(tc, garbage_is_survived, 0, 8);
    tc = tcase_create("native");
    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, figures_are_the_kernels, 0, 2);
    tcase_add_test(tc, zombies_are_not_listed);
    tcase_add_test(tc, stopped_ones_are_looked_into);
    return s;
}
