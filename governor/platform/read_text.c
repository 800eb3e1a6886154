/* SPDX-License-Identifier: MIT */
/* Reads one small file; the same on every system. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "governor/platform/platform.h"

int gov__read_text(const char *path, char *buffer, size_t bytes,
                   size_t *out_length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    int rc = 0;

    if (fd < 0)
        return errno;
    for (;;) {
        ssize_t n = read(fd, buffer + used, bytes - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = errno;
        if (n <= 0)
            break;
        used += (size_t)n;
        if (used == bytes) {
            rc = EFBIG;
            break;
        }
    }
    close(fd);
    if (rc != 0)
        return rc;
    buffer[used] = '\0';
    if (out_length != NULL)
        *out_length = used;
    return 0;
}
