/* SPDX-License-Identifier: MIT */
/* Where this process's control groups are: v1, v2 or both at once (hybrid).
 * Finds directories; reads no figures. Linux only. */
#ifndef GOV_PLATFORM_LINUX_CGROUP_H
#define GOV_PLATFORM_LINUX_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A group of a nested cluster has some 400 characters; one that has more than
 * fit is not found below the mount, whose own limit counts then. */
#define GOV__CGROUP_PATH 1024

/* One hierarchy. `mount` is where it is mounted, `group` the directory of this
 * process's group, which starts with `mount`. Both are absolute and start with
 * the platform's root directory. */
struct gov__cgroup {
    bool found;
    bool exact; /* not a mount that stands for a group it does not show */
    bool top;   /* the top of the whole system, not of a container */
    char mount[GOV__CGROUP_PATH];
    char group[GOV__CGROUP_PATH];
    char name[GOV__CGROUP_PATH]; /* group without mount; "/" at the top */
};

struct gov__cgroups {
    struct gov__cgroup memory_v1, cpu_v1;
    struct gov__cgroup unified; /* v2 */
};

/* Fills *out; what is not there stays not found. Returns 0, or an errno value
 * when something may be there that could not be read (EMFILE, ENOMEM, EIO). */
int gov__cgroups_find(const char *root, struct gov__cgroups *out);

/* Whether what was found still answers. */
bool gov__cgroups_answer(const struct gov__cgroups *groups);

/* Whether an errno value says that a file is not there, not ours to read, or of
 * a group that is just being removed. */
bool gov__cgroup_absent(int error);

/* The number after `key` in a file of a group's directory, as
 * gov__file_number(). */
int gov__cgroup_number(const char *group, const char *file, const char *key,
                       uint64_t *out);

/* Shortens `path` by its last component; false when it is `mount` already. */
bool gov__cgroup_parent(char *path, const char *mount);

#endif
