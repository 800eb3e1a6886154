/* SPDX-License-Identifier: MIT */
/* What the kernel says of a process and of its memory group, read by the tools that
 * check what the library says: nothing here is the library's. Values are 0 where
 * the kernel does not tell. */
#ifndef GOV_TESTS_KERNEL_VIEW_H
#define GOV_TESTS_KERNEL_VIEW_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB (UINT64_C(1) << 20)

static inline uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline void sleep_ms(uint64_t ms)
{
    struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
        continue;
}

/* The sum of the numbers behind lines that begin with `key`. */
static inline uint64_t kernel_field(const char *path, const char *key)
{
    unsigned long long n = 0, sum = 0;
    char line[512];
    FILE *f = fopen(path, "re");

    if (f == NULL)
        return 0;
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, key, strlen(key)) == 0 &&
            sscanf(line + strlen(key), "%llu", &n) == 1)
            sum += n;
    fclose(f);
    return sum;
}

/* Of the group that this process is in, v1's where there is one. */
static inline bool kernel_group(char *out, size_t bytes)
{
    static const char *const kinds[][2] = {
        {":memory:", "/sys/fs/cgroup/memory"},
        {"0::", "/sys/fs/cgroup"},
    };
    char line[512], probe[1400];

    for (size_t kind = 0; kind < 2; kind++) {
        FILE *f = fopen("/proc/self/cgroup", "re");
        bool found = false;

        while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
            const char *at = strstr(line, kinds[kind][0]);

            if (at == NULL)
                continue;
            line[strcspn(line, "\n")] = '\0';
            snprintf(out, bytes, "%s%s", kinds[kind][1],
                     at + strlen(kinds[kind][0]));
            found = true;
        }
        if (f != NULL)
            fclose(f);
        snprintf(probe, sizeof(probe), "%s/memory.stat", out);
        if (found && (f = fopen(probe, "re")) != NULL) {
            fclose(f);
            return true;
        }
    }
    return false;
}

struct kernel_view {
    uint64_t resident_bytes; /* of the process, less what was freed lazily */
    uint64_t anon_bytes;     /* of those, anonymous, and what is swapped */
    uint64_t group_bytes;    /* charged to its group, if it has one */
};

static inline struct kernel_view kernel_view_now(void)
{
    static const char *const usage[] = {"memory.usage_in_bytes",
                                        "memory.current"};
    const char *const rollup = "/proc/self/smaps_rollup";
    const uint64_t lazy = kernel_field(rollup, "LazyFree:");
    struct kernel_view view = {0};
    char group[640], path[1400];

    view.resident_bytes = (kernel_field(rollup, "Rss:") - lazy) * 1024;
    view.anon_bytes = (kernel_field(rollup, "Anonymous:") - lazy +
                       kernel_field(rollup, "Swap:")) *
                      1024;
    if (kernel_group(group, sizeof(group)))
        for (int i = 0; i < 2 && view.group_bytes == 0; i++) {
            snprintf(path, sizeof(path), "%s/%s", group, usage[i]);
            view.group_bytes = kernel_field(path, "");
        }
    return view;
}

/* How often threads of a process went to sleep, without its first one. */
static inline uint64_t kernel_switches(long pid)
{
    char path[400], directory[64];
    struct dirent *entry;
    uint64_t sum = 0;
    DIR *dir;

    snprintf(directory, sizeof(directory), "/proc/%ld/task", pid);
    dir = opendir(directory);
    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == pid)
            continue;
        snprintf(path, sizeof(path), "%s/%s/status", directory, entry->d_name);
        sum += kernel_field(path, "voluntary_ctxt_switches:");
    }
    closedir(dir);
    return sum;
}

#endif
