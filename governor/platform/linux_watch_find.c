/* SPDX-License-Identifier: MIT */
/* Which sources there are: the groups of this process, the one whose limit binds, and
 * what they and systemd have to tell; anew when the process was moved, a limit came or
 * went, or a source broke. Opens them, SPARE; arms none, but what systemd wants
 * written to a FIFO or a socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"
#include "governor/platform/linux_watch.h"

/* Between systemd's 100-200 ms of 2 s and GLib's 70; unprivileged windows are whole
 * multiples of 2 s. The NUL goes along. */
static const char stall_order[] = "some 150000 2000000";

#define BOUND_US 10000000

/* Opens the file that a trigger may be written to, the own group's first. */
static void find_stall(struct gov__linux_watch *watch, const char *root,
                       const struct gov__cgroups *groups)
{
    struct gov__signal *signal = &watch->signals[GOV__SIGNAL_STALL];
    int own = 0;

    signal->told.name = "PSI trigger (system)";
    if (groups->unified.found && !groups->unified.top) {
        signal->fd = gov__watch_file(groups->unified.group, "memory.pressure",
                                     O_RDWR | O_NONBLOCK);
        own = errno;
    }
    if (signal->fd >= 0) {
        signal->told.name = "PSI trigger (own cgroup)";
    } else {
        signal->fd =
            gov__watch_file(root, "proc/pressure/memory", O_RDWR | O_NONBLOCK);
        if (signal->fd < 0) {
            gov__signal_failed(signal, errno, "/proc/pressure/memory");
            return;
        }
    }
    gov__trigger_set(&watch->stall, stall_order, sizeof(stall_order));
    gov__signal_is(signal, GOV__SOURCE_SPARE, "%s",
                   own == EACCES ? "not armed yet; own cgroup's may not be"
                                 : "not armed yet");
}

static void find_one(struct gov__linux_watch *watch, const char *root,
                     const struct gov__cgroups *groups, size_t kind)
{
    struct gov__signal *signal = &watch->signals[kind];

    gov__signal_close(signal);
    switch ((enum gov__signal_kind)kind) {
    case GOV__SIGNAL_SYSTEMD:
        if (watch->systemd_path[0] != '\0')
            gov__systemd_find(watch);
        break;
    case GOV__SIGNAL_STALL:
        find_stall(watch, root, groups);
        break;
    case GOV__SIGNAL_EVENTS:
        gov__events_find(watch);
        break;
    case GOV__SIGNAL_RECLAIM:
        gov__reclaim_find(watch);
        break;
    case GOV__SIGNAL_USAGE:
        gov__usage_find(watch);
        break;
    case GOV__SIGNALS:
        break;
    }
}

/* Where the group is whose limit binds; without one the topmost that can be seen,
 * which on a system of one's own tells of all of it. */
static void find_bound(struct gov__linux_watch *watch,
                       const struct gov__linux_root *root,
                       const struct gov__cgroups *groups)
{
    const struct gov__cgroup *cgroup =
        groups->memory_v1.found ? &groups->memory_v1 : &groups->unified;
    struct gov__limit limit;

    watch->bound_v1 = groups->memory_v1.found;
    watch->bound_v2 = !watch->bound_v1 && groups->unified.found;
    watch->bound[0] = '\0';
    if (watch->bound_v1 || watch->bound_v2)
        memcpy(watch->bound, watch->bound_v1 ? cgroup->mount : cgroup->group,
               sizeof(watch->bound));
    (void)gov__linux_binding(root, &limit, watch->bound);
}

/* All but what systemd set up, which does not go with the group. */
static void find_groups(struct gov__linux_watch *watch,
                        const struct gov__linux_root *root)
{
    struct gov__cgroups groups;

    (void)gov__cgroups_find(root->root, &groups);
    find_bound(watch, root, &groups);
    for (size_t i = GOV__SIGNAL_STALL; i < GOV__SIGNALS; i++)
        find_one(watch, root->root, &groups, i);
}

/* A sum over /proc/self/cgroup: another one is another group. 0: unknown. */
static uint64_t membership(const char *root)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    char path[GOV__CGROUP_PATH], *line;
    struct gov__lines lines;

    if (gov__path_join(path, sizeof(path), root, "/proc/self/cgroup") != 0 ||
        gov__lines_open(&lines, path) != 0)
        return 0;
    while ((line = gov__lines_next(&lines)) != NULL)
        for (; *line != '\0'; line++)
            sum = (sum ^ (unsigned char)*line) * UINT64_C(0x100000001b3);
    if (lines.error != 0)
        sum = 0;
    gov__lines_close(&lines);
    return sum;
}

/* A limit may be set or lifted: seldom, and to ask takes some 100 us. */
static bool is_bound_elsewhere(struct gov__linux_watch *watch,
                               const struct gov__linux_root *root,
                               uint64_t now_us)
{
    char before[GOV__CGROUP_PATH];
    struct gov__cgroups groups;

    if (now_us >= watch->bound_us && now_us - watch->bound_us < BOUND_US)
        return false;
    watch->bound_us = now_us;
    memcpy(before, watch->bound, sizeof(before));
    if (gov__cgroups_find(root->root, &groups) != 0)
        return false;
    find_bound(watch, root, &groups);
    return strcmp(before, watch->bound) != 0;
}

void gov__watch_find(struct gov__linux_watch *watch,
                     const struct gov__linux_root *root)
{
    watch->membership = membership(root->root);
    /* NOLINTBEGIN(concurrency-mt-unsafe): setenv() races are the host's */
    gov__systemd_read(watch, getenv("MEMORY_PRESSURE_WATCH"),
                      getenv("MEMORY_PRESSURE_WRITE"));
    /* NOLINTEND(concurrency-mt-unsafe) */
    find_one(watch, root->root, NULL, GOV__SIGNAL_SYSTEMD);
    find_groups(watch, root);
}

/* Once a second: whether the process was moved, and what is to be looked for
 * again. */
void gov__watch_refresh(struct gov__linux_watch *watch,
                        const struct gov__linux_root *root, uint64_t now_us)
{
    struct gov__cgroups groups;
    bool have_groups = false;
    uint64_t sum;

    if (now_us >= watch->checked_us &&
        now_us - watch->checked_us < GOV__WATCH_AGAIN_US)
        return;
    watch->checked_us = now_us;
    sum = membership(root->root);
    if ((sum != 0 && sum != watch->membership) ||
        is_bound_elsewhere(watch, root, now_us)) {
        if (sum != 0)
            watch->membership = sum;
        find_groups(watch, root);
    }
    for (size_t i = 0; i < GOV__SIGNALS; i++) {
        struct gov__signal *signal = &watch->signals[i];

        if (signal->told.state != GOV__SOURCE_BROKEN ||
            now_us < signal->again_us)
            continue;
        signal->again_us = now_us + GOV__WATCH_AGAIN_US;
        if (!have_groups && i != GOV__SIGNAL_SYSTEMD) {
            (void)gov__cgroups_find(root->root, &groups);
            find_bound(watch, root, &groups);
            have_groups = true;
        }
        find_one(watch, root->root, &groups, i);
    }
}
