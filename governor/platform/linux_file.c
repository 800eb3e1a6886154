/* SPDX-License-Identifier: MIT */
/* What Linux says of an open file, and how it is read. Moves no bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"

int gov__linux_set_direct(void *ctx, int fd, bool direct)
{
    int flags = fcntl(fd, F_GETFL);

    (void)ctx;
    if (flags < 0)
        return errno;
    flags = direct ? flags | O_DIRECT : flags & ~O_DIRECT;
    if (fcntl(fd, F_SETFL, flags) == 0)
        return 0;
    /* A file system that has no such way: tmpfs before 6.6, some of FUSE. */
    return errno == EINVAL ? ENOTSUP : errno;
}

/* The type in a line of mountinfo: "36 35 0:31 ROOT POINT OPTIONS [optional...] -
 * TYPE SOURCE SUPEROPTS". */
static int copy_type(const char *line, char *out, size_t bytes)
{
    const char *type = strstr(line, " - ");
    size_t n;

    if (type == NULL)
        return ENODATA;
    type += 3;
    n = strcspn(type, " ");
    if (n == 0)
        return ENODATA;
    if (n >= bytes)
        return ENAMETOOLONG;
    memcpy(out, type, n);
    out[n] = '\0';
    return 0;
}

/* By the mount that the file was opened through (fdinfo has it since 3.15): the
 * device number of a file on btrfs or overlayfs is in no list, and the magic
 * number of statfs() is one for ext2, ext3 and ext4, and for all of FUSE. */
int gov__linux_file_system(void *ctx, int fd, char *out, size_t bytes)
{
    const struct gov__linux_root *root = ctx;
    char path[GOV__CGROUP_PATH], info[48], *line;
    struct gov__lines lines;
    uint64_t mount, id;
    int rc;

    if (fcntl(fd, F_GETFD) < 0)
        return errno;
    snprintf(info, sizeof(info), "/proc/self/fdinfo/%d", fd);
    rc = gov__path_join(path, sizeof(path), root->root, info);
    if (rc == 0)
        rc = gov__file_number(path, "mnt_id:", &mount);
    if (rc == 0)
        rc = gov__path_join(path, sizeof(path), root->root,
                            "/proc/self/mountinfo");
    if (rc == 0)
        rc = gov__lines_open(&lines, path);
    if (rc != 0)
        return rc == ENOENT ? ENODATA : rc;
    rc = ENODATA; /* opened in another mount namespace */
    while ((line = gov__lines_next(&lines)) != NULL)
        if (gov__parse_number(line, &id) && id == mount) {
            rc = copy_type(line, out, bytes);
            break;
        }
    if (rc == ENODATA && lines.error != 0)
        rc = lines.error;
    gov__lines_close(&lines);
    return rc;
}
