/* SPDX-License-Identifier: MIT */
#include "governor/platform/linux_kept.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"

int gov__open_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    /* Without a free descriptor the kernel does not even look. */
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        int error = errno;

        if (access(path, R_OK) == 0)
            errno = error;
    }
    return fd;
}

int gov__kept_open(struct gov__linux_kept *kept, const char *path, int *fd,
                   bool *fresh)
{
    const size_t bytes = strlen(path) + 1;
    uint32_t i = 0;

    *fd = -1;
    *fresh = false;
    while (i < kept->count &&
           strcmp(kept->names + kept->files[i].name, path) != 0)
        i++;
    if (i < kept->count && kept->files[i].fd >= 0) {
        *fd = kept->files[i].fd;
        return 0;
    }
    if (i == kept->count &&
        (i == GOV__KEPT_FILES || bytes > sizeof(kept->names) - kept->used))
        return 0;
    *fd = gov__open_read(path);
    if (*fd < 0)
        return errno;
    *fresh = true;
    /* What is not there takes no place. */
    if (i == kept->count) {
        memcpy(kept->names + kept->used, path, bytes);
        kept->files[i].name = kept->used;
        kept->used += (uint32_t)bytes;
        kept->count++;
    }
    kept->files[i].fd = *fd;
    return 0;
}

void gov__kept_forget(struct gov__linux_kept *kept, int fd)
{
    const int error = errno;

    for (uint32_t i = 0; i < kept->count; i++)
        if (kept->files[i].fd == fd)
            kept->files[i].fd = -1;
    close(fd);
    errno = error;
}

static void close_all(struct gov__linux_kept *kept)
{
    for (uint32_t i = 0; i < kept->count; i++)
        if (kept->files[i].fd >= 0)
            close(kept->files[i].fd);
    kept->count = kept->used = 0;
    kept->have_groups = false;
}

/* mountinfo, which a container makes long, is read again only when the groups are
 * others, or are gone. */
int gov__kept_groups(const struct gov__linux_root *root,
                     struct gov__cgroups *room, const struct gov__cgroups **out)
{
    struct gov__linux_kept *kept = root->kept;
    char path[GOV__CGROUP_PATH], text[sizeof(kept->membership)];
    int rc;

    *out = room;
    if (kept == NULL)
        return gov__cgroups_find(root->root, room);
    rc = gov__path_join(path, sizeof(path), root->root, "/proc/self/cgroup");
    if (rc == 0)
        rc = gov__file_text(kept, path, text, sizeof(text));
    if (rc == 0 && kept->have_groups && strcmp(text, kept->membership) == 0 &&
        gov__cgroups_answer(&kept->groups)) {
        *out = &kept->groups;
        return 0;
    }
    /* Too long to be compared, or not there: found each time. */
    if (rc != 0)
        return gov__cgroups_find(root->root, room);
    rc = gov__cgroups_find(root->root, room);
    if (rc != 0)
        return rc;
    if (kept->have_groups)
        close_all(kept); /* paths of the groups before */
    kept->groups = *room;
    memcpy(kept->membership, text, sizeof(text));
    kept->have_groups = true;
    return 0;
}

int gov__linux_keep(void *ctx, struct gov__kept *room, struct gov_platform *out)
{
    struct gov__linux_kept *kept = (struct gov__linux_kept *)(void *)room->room;
    const struct gov__linux_root *root = ctx;

    memset(kept, 0, sizeof(*kept));
    kept->root.root = root->root;
    kept->root.kept = kept;
    gov__linux_table(out, &kept->root);
    return 0;
}

/* Closing is all there is to it, also in a child of fork(): /proc/self/cgroup was
 * opened by its parent and would tell of that. */
void gov__linux_unkeep(void *ctx, struct gov__kept *room)
{
    (void)ctx;
    close_all((struct gov__linux_kept *)(void *)room->room);
}
