/* SPDX-License-Identifier: MIT */
/* What a forward pass is measured by, and how a thread that nobody waits for
 * stands behind the others. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"

static const char *root_of(void *ctx)
{
    return ((const struct gov__linux_root *)ctx)->root;
}

/* This process's group in v2's hierarchy, "/app.slice/x": the line "0::" of
 * /proc/self/cgroup. False when there is none, or none that can be seen here. */
static bool own_group(const char *root, char *out, size_t bytes)
{
    struct gov__lines lines;
    char path[GOV__CGROUP_PATH], *line;
    bool found = false;

    if (gov__path_join(path, sizeof(path), root, "/proc/self/cgroup") != 0 ||
        gov__lines_open(&lines, path) != 0)
        return false;
    while (!found && (line = gov__lines_next(&lines)) != NULL) {
        size_t length = strlen(line);

        if (strncmp(line, "0::/", 4) != 0 || length - 3 >= bytes)
            continue;
        memcpy(out, line + 3, length - 2);
        found = strncmp(out, "/..", 3) != 0;
    }
    gov__lines_close(&lines);
    return found;
}

/* Looks where v2 is mounted by custom, alone or beside v1, and not for where it
 * is, as gov__linux_stall() does: reading mountinfo takes 16 us and more. */
static int own_pressure(const char *root, uint64_t *out)
{
    static const char *const mounts[] = {"/sys/fs/cgroup",
                                         "/sys/fs/cgroup/unified"};
    char group[GOV__CGROUP_PATH], path[2 * GOV__CGROUP_PATH];
    uint64_t full;

    if (own_group(root, group, sizeof(group)))
        for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
            int n = snprintf(path, sizeof(path), "%s%s%s/memory.pressure", root,
                             mounts[i], group[1] != '\0' ? group : "");

            if (n > 0 && (size_t)n < sizeof(path) &&
                gov__linux_pressure(path, out, &full) == 0)
                return 0;
        }
    if (gov__path_join(path, sizeof(path), root, "/proc/pressure/memory") != 0)
        return ENAMETOOLONG;
    return gov__linux_pressure(path, out, &full);
}

/* 0.2 us for the faults, 1.2 for what was read, 4 for the pressure. */
int gov__linux_pass_counts(void *ctx, struct gov__pass_counts *out)
{
    struct rusage usage;
    char path[GOV__CGROUP_PATH];

    memset(out, 0, sizeof(*out));
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return errno;
    out->minor_faults = (uint64_t)usage.ru_minflt;
    out->major_faults = (uint64_t)usage.ru_majflt;
    /* Not readable once the process has changed its user, nor where I/O is not
     * accounted. */
    if (gov__path_join(path, sizeof(path), root_of(ctx), "/proc/self/io") == 0)
        out->have_read_bytes =
            gov__file_number(path, "read_bytes:", &out->read_bytes) == 0;
    out->have_reclaim = own_pressure(root_of(ctx), &out->reclaim_us) == 0;
    return 0;
}

/* linux/ioprio.h, which older headers lack. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_BEST_EFFORT 2
#define IOPRIO_CLASS_IDLE 3
#define IOPRIO_CLASS_SHIFT 13
#define IOPRIO_LOWEST 7

/* Nice enough that a thread of the engine gets nine times as much. */
#define NICE 10

/* Both calls take 0 for the calling thread, whatever POSIX says of processes.
 * Who already stands further back stays there. */
int gov__linux_step_back(void *ctx)
{
    int priority, rc = 0;
    long now = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);

    (void)ctx;
    if (now < 0 || now >> IOPRIO_CLASS_SHIFT != IOPRIO_CLASS_IDLE)
        if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
                    (IOPRIO_CLASS_BEST_EFFORT << IOPRIO_CLASS_SHIFT) |
                        IOPRIO_LOWEST) != 0)
            rc = errno;
    errno = 0;
    priority = getpriority(PRIO_PROCESS, 0);
    if (priority < NICE && errno == 0 &&
        setpriority(PRIO_PROCESS, 0, NICE) != 0)
        rc = rc != 0 ? rc : errno;
    return rc;
}
