/* SPDX-License-Identifier: MIT */
/* Other processes, as /proc shows them to this user. Reads; changes nothing.
 *
 * Two kinds of files are read. stat, status and io are answered from counters. They
 * take no lock of the process's memory and never wait for it: everybody's stat is read.
 * maps, smaps and smaps_rollup take that lock (mmap_lock, as cmdline, environ and exe
 * would) and wait behind whoever holds it, which in a process that hangs on a dead
 * file system is for good. So they are read only of who may run a model, and not
 * while its main thread is in an uninterruptible sleep from which it does not come
 * back. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"

/* PF_KTHREAD, include/linux/sched.h; told as it is since 2.6. */
#define KERNEL_THREAD 0x00200000

/* Of processes that are not known by name, those that have as much in memory: to list
 * what a browser maps takes up to a millisecond. */
#define LARGE_BYTES (UINT64_C(64) << 20)

/* A second at most, where there are very many. */
#define PROCESSES_MOST 32768
#define LINES_MOST (1U << 20)

/* How often somebody in an uninterruptible sleep is asked again, a millisecond later:
 * each, and all together. Who reads weights from a disk comes back in that time. */
#define ASK_EACH 4
#define ASK_ALL 16

#define UNTOLD UINT64_MAX

struct look {
    const struct gov__linux_root *root;
    const struct gov__others *wanted;
    unsigned lines_left, asks_left;
};

static int process_path(const struct look *look, int pid, const char *file,
                        char *out, size_t bytes)
{
    char relative[64];

    snprintf(relative, sizeof(relative), "/proc/%d/%s", pid, file);
    return gov__path_join(out, bytes, look->root->root, relative);
}

/* Ended meanwhile, or hidden from this user (hidepid): no failure. */
static bool is_gone(int rc)
{
    return rc == ENOENT || rc == ESRCH || rc == EACCES || rc == EPERM ||
           rc == ENODATA;
}

static void add_kib(uint64_t *sum, uint64_t kib)
{
    *sum = kib > (UNTOLD - *sum) / 1024 ? UNTOLD : *sum + kib * 1024;
}

/* ---- without a lock -------------------------------------------------------------- */

/* Fields count from 1; the second is a name in parentheses that may itself hold
 * anything, so fields are counted from the last ')'. */
int gov__linux_stat_parse(char *text, struct gov__linux_stat *out)
{
    char *name = strchr(text, '('), *at = strrchr(text, ')'), *save = NULL;
    bool started = false;

    memset(out, 0, sizeof(*out));
    if (name == NULL || at == NULL || at < name)
        return ENODATA;
    snprintf(out->name, sizeof(out->name), "%.*s", (int)(at - name - 1),
             name + 1);
    at = strtok_r(at + 1, " ", &save);
    for (int field = 3; at != NULL; field++, at = strtok_r(NULL, " ", &save)) {
        if (field == 3)
            out->state = *at;
        if (out->state == 'Z' || out->state == 'X')
            return ESRCH;
        if (field == 9)
            (void)gov__parse_number(at, &out->flags);
        else if (field == 10)
            (void)gov__parse_number(at, &out->minor_faults);
        else if (field == 12)
            (void)gov__parse_number(at, &out->major_faults);
        else if (field == 22)
            started = gov__parse_number(at, &out->start_ticks);
        else if (field == 24)
            (void)gov__parse_number(at, &out->resident_pages);
    }
    return started ? 0 : ENODATA;
}

static int read_stat(const struct look *look, int pid,
                     struct gov__linux_stat *out)
{
    char path[GOV__CGROUP_PATH], text[2048];
    int rc = process_path(look, pid, "stat", path, sizeof(path));

    if (rc == 0)
        rc = gov__file_text(NULL, path, text, sizeof(text));
    return rc == 0 ? gov__linux_stat_parse(text, out) : rc;
}

/* The kernel's running counts, and how often the main thread has slept. ESRCH: it
 * has no memory any more. */
static int read_status(const struct look *look, int pid, struct gov__other *out,
                       uint64_t *sleeps)
{
    static const char *const keys[] = {
        "RssAnon:", "RssFile:", "VmSwap:", "voluntary_ctxt_switches:"};
    uint64_t anon = 0, number[4] = {0};
    bool have[4];
    char path[GOV__CGROUP_PATH];
    int rc = process_path(look, pid, "status", path, sizeof(path));

    if (rc == 0)
        rc = gov__file_numbers(NULL, path, keys, 4, number, have);
    if (rc != 0)
        return rc;
    if (!have[0] && !have[1] && !have[2])
        return ESRCH;
    out->swap_bytes = out->resident_file_bytes = 0;
    add_kib(&anon, number[0]);
    add_kib(&out->resident_file_bytes, number[1]);
    add_kib(&out->swap_bytes, number[2]);
    out->footprint_bytes = anon;
    add_kib(&out->footprint_bytes, number[2]);
    if (!have[0])
        out->footprint_bytes = UNTOLD;
    if (!have[1])
        out->resident_file_bytes = UNTOLD;
    if (!have[2])
        out->swap_bytes = UNTOLD;
    *sleeps = number[3];
    return 0;
}

static uint64_t read_bytes(const struct look *look, int pid)
{
    char path[GOV__CGROUP_PATH];
    uint64_t bytes;

    if (process_path(look, pid, "io", path, sizeof(path)) != 0 ||
        gov__file_number(path, "read_bytes:", &bytes) != 0)
        return UNTOLD;
    return bytes;
}

/* Whether the main thread runs, or sleeps so that it can be woken, or has done so
 * since `sleeps` was read. */
static bool comes_back(struct look *look, int pid, char state, uint64_t sleeps)
{
    const struct timespec pause = {0, 1000000};
    struct gov__linux_stat now;
    struct gov__other other;
    uint64_t since = sleeps;

    for (int i = 0; state == 'D' && since == sleeps; i++) {
        if (i == ASK_EACH || look->asks_left == 0)
            return false;
        look->asks_left--;
        nanosleep(&pause, NULL);
        if (read_stat(look, pid, &now) != 0 ||
            read_status(look, pid, &other, &since) != 0)
            return false;
        state = now.state;
    }
    return true;
}

/* ---- what it maps ---------------------------------------------------------------- */

/* The path of a mapped model file in a line of maps or smaps, else NULL. A file that
 * was removed is still one. */
static const char *model_in(const struct look *look, char *line)
{
    static const char removed[] = " (deleted)";
    const size_t end = sizeof(removed) - 1;
    char *path = strchr(line, '/');
    size_t length;

    if (path == NULL)
        return NULL;
    length = strlen(path);
    if (length > end && strcmp(path + length - end, removed) == 0)
        path[length - end] = '\0';
    return look->wanted->is_model(path) ? path : NULL;
}

struct models {
    uint64_t bytes;
    uint64_t most_bytes; /* of the file that the path names */
    char path[GOV__CGROUP_PATH];
};

/* Adds a mapping. The kernel lists pieces of one file, which lie side by side, one
 * after another. */
static void add_mapping(struct models *models, const struct gov__map_line *map,
                        const char *path, struct gov__map_line *last,
                        uint64_t *run)
{
    const uint64_t bytes = gov__less(map->end, map->start);
    const bool same = *run != 0 && map->inode == last->inode &&
                      map->major == last->major && map->minor == last->minor;

    *run = same ? *run + bytes : bytes;
    *last = *map;
    models->bytes += bytes;
    if (*run <= models->most_bytes)
        return;
    models->most_bytes = *run;
    snprintf(models->path, sizeof(models->path), "%s", path);
}

/* From maps, which tells without a look at pages. */
static int find_models(struct look *look, int pid, struct models *out)
{
    struct gov__map_line map, last = {0};
    struct gov__lines lines;
    char path[GOV__CGROUP_PATH], *line;
    uint64_t run = 0;
    int rc = process_path(look, pid, "maps", path, sizeof(path));

    memset(out, 0, sizeof(*out));
    if (rc == 0)
        rc = gov__lines_open(&lines, path);
    if (rc != 0)
        return rc;
    while (look->lines_left > 0 && (line = gov__lines_next(&lines)) != NULL) {
        const char *model = model_in(look, line);

        look->lines_left--;
        if (model != NULL && gov__map_line_parse(line, &map))
            add_mapping(out, &map, model, &last, &run);
    }
    rc = lines.error;
    gov__lines_close(&lines);
    return rc;
}

/* ---- counted pages ---------------------------------------------------------------- */

/* A line of figures of smaps. */
static void add_figure(const char *line, bool of_model, uint64_t *anon,
                       uint64_t *swap, uint64_t *resident)
{
    static const char *const keys[3] = {"Anonymous:", "Swap:", "Rss:"};
    uint64_t *const sums[3] = {anon, swap, of_model ? resident : NULL};
    uint64_t kib;

    for (size_t i = 0; i < 3; i++) {
        const size_t length = strlen(keys[i]);

        if (sums[i] != NULL && strncmp(line, keys[i], length) == 0 &&
            gov__parse_number(line + length, &kib))
            add_kib(sums[i], kib);
    }
}

/* All mappings one by one: what is anonymous in any, and what is resident of model
 * files. One walk over the pages, where smaps_rollup and then smaps as far as the
 * files would be two. */
static void count_mappings(struct look *look, int pid, struct gov__other *out)
{
    uint64_t anon = 0, swap = 0, resident = 0;
    struct gov__lines lines;
    char path[GOV__CGROUP_PATH], *line;
    bool of_model = false, any = false, whole;

    if (process_path(look, pid, "smaps", path, sizeof(path)) != 0 ||
        gov__lines_open(&lines, path) != 0)
        return;
    while ((whole = look->lines_left > 0) &&
           (line = gov__lines_next(&lines)) != NULL) {
        look->lines_left--;
        any = true;
        /* A mapping starts with its address, a figure with a capital. */
        if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f'))
            of_model = model_in(look, line) != NULL;
        else
            add_figure(line, of_model, &anon, &swap, &resident);
    }
    whole = whole && any && lines.error == 0;
    gov__lines_close(&lines);
    if (!whole)
        return;
    out->exact = true;
    out->swap_bytes = swap;
    out->footprint_bytes = anon > UNTOLD - swap ? UNTOLD : anon + swap;
    out->mapped_resident_bytes = resident;
}

/* Where no figure of one mapping is wanted the kernel adds up itself. */
static void count_all(const struct look *look, int pid, struct gov__other *out)
{
    static const char *const keys[] = {"Anonymous:", "Swap:"};
    uint64_t kib[2];
    bool have[2];
    char path[GOV__CGROUP_PATH];

    if (process_path(look, pid, "smaps_rollup", path, sizeof(path)) != 0 ||
        gov__file_numbers(NULL, path, keys, 2, kib, have) != 0 || !have[0] ||
        !have[1])
        return;
    out->exact = true;
    out->swap_bytes = out->footprint_bytes = 0;
    add_kib(&out->swap_bytes, kib[1]);
    add_kib(&out->footprint_bytes, kib[0]);
    add_kib(&out->footprint_bytes, kib[1]);
}

/* ---- one process ------------------------------------------------------------------ */

static bool is_large(const struct gov__linux_stat *stat)
{
    return stat->resident_pages >=
           LARGE_BYTES / (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What the process lets its own user see. */
static void look_into(struct look *look, enum gov__regard regard,
                      struct gov__other *out, struct models *models)
{
    if (find_models(look, out->pid, models) != 0)
        return;
    out->mapped_bytes = models->bytes;
    if (models->bytes > 0) {
        count_mappings(look, out->pid, out);
    } else if (regard == GOV__REGARD_ALWAYS) {
        out->mapped_resident_bytes = 0;
        count_all(look, out->pid, out);
    }
}

static int look_at(struct look *look, int pid)
{
    struct gov__linux_stat stat, after;
    struct gov__other other = {
        .pid = pid, .mapped_bytes = UNTOLD, .mapped_resident_bytes = UNTOLD};
    struct models models = {0};
    enum gov__regard regard;
    uint64_t sleeps;
    int rc = read_stat(look, pid, &stat);

    if (rc != 0 || (stat.flags & KERNEL_THREAD) != 0)
        return rc;
    regard = look->wanted->regard(look->wanted->ctx, pid, stat.name);
    if (regard == GOV__REGARD_NONE ||
        (regard != GOV__REGARD_ALWAYS && !is_large(&stat)))
        return 0;
    rc = read_status(look, pid, &other, &sleeps);
    if (rc != 0)
        return rc;
    if (comes_back(look, pid, stat.state, sleeps))
        look_into(look, regard, &other, &models);
    if (regard != GOV__REGARD_ALWAYS && models.bytes == 0)
        return 0;
    other.name = stat.name;
    other.model = models.path;
    other.read_bytes = read_bytes(look, pid);
    /* Still the same one: else the figures are of two, or of one that has ended. */
    rc = read_stat(look, pid, &after);
    if (rc != 0 || after.start_ticks != stat.start_ticks)
        return rc;
    other.start_ticks = after.start_ticks;
    other.minor_faults = after.minor_faults;
    other.major_faults = after.major_faults;
    look->wanted->show(look->wanted->ctx, &other);
    return 0;
}

/* ---- all of them ------------------------------------------------------------------ */

/* The directory of a process: a number, and nothing behind it. */
static int pid_of(const char *name)
{
    uint64_t pid;

    if (name[strspn(name, "0123456789")] != '\0' ||
        !gov__parse_number(name, &pid) || pid == 0 || pid > INT32_MAX)
        return 0;
    return (int)pid;
}

/* NULL, and *rc says why. */
static DIR *open_proc(const struct look *look, int *rc)
{
    char path[GOV__CGROUP_PATH];
    DIR *proc;
    int fd;

    *rc = gov__path_join(path, sizeof(path), look->root->root, "/proc");
    if (*rc != 0)
        return NULL;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    proc = fd < 0 ? NULL : fdopendir(fd);
    if (proc != NULL)
        return proc;
    *rc = errno;
    if (fd >= 0)
        close(fd);
    return NULL;
}

int gov__linux_others(void *ctx, const struct gov__others *wanted)
{
    struct look look = {ctx, wanted, LINES_MOST, ASK_ALL};
    unsigned processes_left = PROCESSES_MOST;
    const struct dirent *entry = NULL;
    int rc;
    DIR *proc = open_proc(&look, &rc);

    if (proc == NULL)
        return rc;
    while (rc == 0 && processes_left > 0) {
        int pid;

        errno = 0;
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has this stream */
        entry = readdir(proc);
        if (entry == NULL) {
            rc = errno;
            break;
        }
        pid = pid_of(entry->d_name);
        if (pid == 0)
            continue;
        processes_left--;
        rc = look_at(&look, pid);
        if (is_gone(rc))
            rc = 0;
    }
    closedir(proc);
    return rc;
}
