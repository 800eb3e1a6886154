/* SPDX-License-Identifier: MIT */
/* Descriptors that stay open between looks, by their paths, and the groups found
 * last. Everywhere NULL stands for none: then a file is opened each time. For one
 * thread at a time. Linux only. */
#ifndef GOV_PLATFORM_LINUX_KEPT_H
#define GOV_PLATFORM_LINUX_KEPT_H

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/platform.h"

#define GOV__KEPT_FILES 24

struct gov__linux_kept {
    struct gov__linux_root root; /* the table's context */
    uint64_t total_bytes;        /* of the machine, at the last look; or 0 */
    uint32_t count, used;
    struct {
        int fd; /* -1: to be opened */
        uint32_t name;
    } files[GOV__KEPT_FILES];
    char names
        [8192]; /* paths, NUL-terminated; those that do not fit are not kept */
    bool have_groups;
    char membership[2048]; /* /proc/self/cgroup, when the groups were found */
    struct gov__cgroups groups;
};

_Static_assert(sizeof(struct gov__linux_kept) <= sizeof(struct gov__kept),
               "struct gov__kept has no room for it");

/* A descriptor to read with pread() and not to close: in *fd; *fresh says that it
 * was opened just now. -1: there is no room to keep it. Returns 0 or an errno value. */
int gov__kept_open(struct gov__linux_kept *kept, const char *path, int *fd,
                   bool *fresh);
/* What was opened is of no use any more. */
void gov__kept_forget(struct gov__linux_kept *kept, int fd);
/* open(), but for what is not there it fails with ENOENT also where no descriptor
 * is free. */
int gov__open_read(const char *path);
/* As gov__cgroups_find(), which fills *room, or what it found last time. */
int gov__kept_groups(const struct gov__linux_root *root,
                     struct gov__cgroups *room,
                     const struct gov__cgroups **out);

int gov__linux_keep(void *ctx, struct gov__kept *room,
                    struct gov_platform *out);
void gov__linux_unkeep(void *ctx, struct gov__kept *room);

#endif
