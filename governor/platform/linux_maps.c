/* SPDX-License-Identifier: MIT */
/* Who maps a file: /proc/PID/maps of this process, and of those that this user may
 * look into. Reads; changes nothing. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"

/* 9 us each, measured with 142: a second at most where there are a lot of either. */
#define PROCESSES_MOST 4096
#define LINES_MOST (1U << 20)

static int path_in(void *ctx, const char *path, char *out, size_t bytes)
{
    return gov__path_join(out, bytes,
                          ((const struct gov__linux_root *)ctx)->root, path);
}

bool gov__map_line_parse(const char *line, struct gov__map_line *out)
{
    unsigned long start, end;
    unsigned long long offset, inode; /* 64 bits on every machine */
    int at = 0;

    if (sscanf(line, "%lx-%lx %4s %llx %x:%x %llu %n", &start, &end,
               out->permissions, &offset, &out->major, &out->minor, &inode,
               &at) != 7)
        return false;
    out->start = start;
    out->end = end;
    out->offset = offset;
    out->inode = inode;
    out->path = line + at;
    return true;
}

/* Whether a VMA in [start, end) has VM_LOCKED ("lo"). smaps walks page
 * tables (about 4 ms a GiB), so it is read only if anything is locked at all. */
static bool is_locked(void *ctx, uint64_t start, uint64_t end)
{
    struct gov__lines lines;
    char path[GOV__CGROUP_PATH], *line;
    uint64_t locked_kib = 0;
    bool inside = false, locked = false;

    if (path_in(ctx, "/proc/self/status", path, sizeof(path)) != 0 ||
        gov__file_number(path, "VmLck:", &locked_kib) != 0 || locked_kib == 0)
        return false;
    if (path_in(ctx, "/proc/self/smaps", path, sizeof(path)) != 0 ||
        gov__lines_open(&lines, path) != 0)
        return false;
    while (!locked && (line = gov__lines_next(&lines)) != NULL) {
        struct gov__map_line map;

        if (gov__map_line_parse(line, &map))
            inside = map.start < end && map.end > start;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            locked = strstr(line, " lo") != NULL;
    }
    gov__lines_close(&lines);
    return locked;
}

/* An open file, and the kernel's own name of it. */
struct wanted {
    struct stat st;
    char name[GOV__CGROUP_PATH];
};

static int name_file(struct wanted *out, int fd)
{
    char link[32];
    ssize_t n;

    if (fstat(fd, &out->st) != 0)
        return errno;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, out->name, sizeof(out->name) - 1);
    out->name[n > 0 ? n : 0] = '\0';
    return 0;
}

/* On btrfs and overlayfs the device of stat() is not the one in maps; then inode
 * and path must both agree. */
static bool same_file(const struct gov__map_line *map,
                      const struct wanted *file)
{
    if (map->inode != file->st.st_ino)
        return false;
    return (map->major == major(file->st.st_dev) &&
            map->minor == minor(file->st.st_dev)) ||
           (file->name[0] != '\0' && strcmp(map->path, file->name) == 0);
}

static void add_piece(struct gov__mapping *out, const struct gov__map_line *map)
{
    uint64_t end = (uint64_t)(uintptr_t)out->base + out->bytes;

    out->copied = out->copied || map->permissions[3] == 'p';
    /* Advice on a part of a mapping splits it in the kernel's list; pieces
     * that follow on in memory and in the file are still one. */
    if (out->pieces == 1 && map->start == end &&
        map->offset == out->file_offset + out->bytes) {
        out->bytes += map->end - map->start;
        return;
    }
    out->pieces++;
    if (out->pieces == 1) {
        /* The kernel tells addresses as text: there is no pointer to start
         * from. NOLINTNEXTLINE(performance-no-int-to-ptr) */
        out->base = (void *)(uintptr_t)map->start;
        out->bytes = map->end - map->start;
        out->file_offset = map->offset;
    }
}

/* Cuts the line down to what lies in [within, within + bytes), of whole pages: the
 * kernel joins and splits mappings as it likes. False when nothing does. */
static bool cut_to(struct gov__map_line *map, const void *within, size_t bytes,
                   uint64_t page)
{
    uint64_t from = gov__round_down((uint64_t)(uintptr_t)within, page);
    uint64_t to = gov__round_up((uint64_t)(uintptr_t)within + bytes, page);

    if (within == NULL)
        return true;
    if (map->end > to)
        map->end = to;
    if (map->start < from) {
        map->offset += from - map->start;
        map->start = from;
    }
    return map->start < map->end;
}

int gov__linux_find_mapping(void *ctx, int fd, const void *within, size_t bytes,
                            struct gov__mapping *out)
{
    struct gov__lines lines;
    char path[GOV__CGROUP_PATH], *line;
    struct gov__map_line map;
    struct wanted file;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = name_file(&file, fd);
    if (rc != 0)
        return rc;
    rc = path_in(ctx, "/proc/self/maps", path, sizeof(path));
    if (rc == 0)
        rc = gov__lines_open(&lines, path);
    if (rc != 0)
        return rc;
    while ((line = gov__lines_next(&lines)) != NULL)
        if (gov__map_line_parse(line, &map) && same_file(&map, &file) &&
            cut_to(&map, within, bytes, (uint64_t)sysconf(_SC_PAGESIZE)))
            add_piece(out, &map);
    rc = lines.error;
    gov__lines_close(&lines);
    if (rc == 0 && out->pieces == 0)
        rc = ENOENT;
    if (rc == 0)
        out->locked = is_locked(ctx, (uint64_t)(uintptr_t)out->base,
                                (uint64_t)(uintptr_t)out->base + out->bytes);
    return rc;
}

/* ---- other processes --------------------------------------------------------- */

/* The name that this process has in that /proc, which may be one of another
 * namespace of processes than getpid() speaks of. */
static void own_name(void *ctx, char *out, size_t bytes)
{
    char path[GOV__CGROUP_PATH];
    ssize_t n = -1;

    if (path_in(ctx, "/proc/self", path, sizeof(path)) == 0)
        n = readlink(path, out, bytes - 1);
    if (n > 0)
        out[n] = '\0';
    else
        snprintf(out, bytes, "%ld", (long)getpid());
}

/* Whether one process maps it; false also where this user may not look, and where
 * it has ended. */
static bool maps_file(const char *path, const struct wanted *file,
                      unsigned *lines_left)
{
    struct gov__lines lines;
    struct gov__map_line map;
    bool found = false;
    char *line;

    if (gov__lines_open(&lines, path) != 0)
        return false;
    while (!found && *lines_left > 0 &&
           (line = gov__lines_next(&lines)) != NULL) {
        --*lines_left;
        found = gov__map_line_parse(line, &map) && same_file(&map, file);
    }
    gov__lines_close(&lines);
    return found;
}

int gov__linux_mapped_elsewhere(void *ctx, int fd, bool *out)
{
    unsigned processes_left = PROCESSES_MOST, lines_left = LINES_MOST;
    char path[GOV__CGROUP_PATH], own[32], name[32];
    const struct dirent *entry;
    struct wanted file;
    uint64_t pid;
    DIR *proc;
    int rc = name_file(&file, fd);

    if (rc == 0)
        rc = path_in(ctx, "/proc", path, sizeof(path));
    if (rc != 0)
        return rc;
    proc = opendir(path);
    if (proc == NULL)
        return errno;
    own_name(ctx, own, sizeof(own));
    *out = false;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has this stream */
    while (!*out && processes_left > 0 && (entry = readdir(proc)) != NULL) {
        if (!gov__parse_number(entry->d_name, &pid) ||
            strcmp(entry->d_name, own) == 0)
            continue;
        processes_left--;
        snprintf(name, sizeof(name), "/proc/%llu/maps",
                 (unsigned long long)pid);
        if (path_in(ctx, name, path, sizeof(path)) == 0)
            *out = maps_file(path, &file, &lines_left);
    }
    closedir(proc);
    return 0;
}
