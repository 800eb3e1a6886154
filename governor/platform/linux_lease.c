/* SPDX-License-Identifier: MIT */
/* Read leases: who opens the file to write, or cuts it, waits until the lease is
 * given up, or fs.lease-break-time is over. Asked for, never waited for. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "governor/platform/linux_parts.h"

/* When somebody waits the kernel sends a signal, SIGIO unless told otherwise,
 * whose default ends the process. First it is made one that is ignored by default,
 * then it is sent to nobody; there is an owner to forget only once there is a
 * lease. */
int gov__linux_lease_take(void *ctx, int fd)
{
    (void)ctx;
    if (fcntl(fd, F_SETSIG, SIGURG) != 0 || fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
        return errno;
    (void)fcntl(fd, F_SETOWN, 0);
    return 0;
}

/* The kernel tells what the lease is to become. */
int gov__linux_lease_wanted(void *ctx, int fd, bool *wanted)
{
    int type = fcntl(fd, F_GETLEASE);

    (void)ctx;
    if (type < 0)
        return errno;
    *wanted = type != F_RDLCK;
    return 0;
}

int gov__linux_lease_drop(void *ctx, int fd)
{
    (void)ctx;
    /* EAGAIN: it was taken away, the time being over. */
    return fcntl(fd, F_SETLEASE, F_UNLCK) == 0 || errno == EAGAIN ? 0 : errno;
}
