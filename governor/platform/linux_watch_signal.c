/* SPDX-License-Identifier: MIT */
/* One signal: what is told of it, and its descriptor. Finds none, waits for none. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "governor/platform/linux_watch.h"

void gov__signal_is(struct gov__signal *signal, enum gov__source_state state,
                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(signal->told.why, sizeof(signal->told.why), format, args);
    va_end(args);
    signal->told.state = state;
}

void gov__signal_close(struct gov__signal *signal)
{
    if (signal->fd >= 0)
        close(signal->fd);
    signal->fd = -1;
    signal->armed = false;
}

void gov__signal_failed(struct gov__signal *signal, int error, const char *what)
{
    enum gov__source_state state = GOV__SOURCE_BROKEN;
    char room[64];

    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENODEV:
    case ENXIO:
    case EOPNOTSUPP:
        state = GOV__SOURCE_ABSENT;
        break;
    case EACCES:
    case EPERM:
    case EROFS:
        state = GOV__SOURCE_DENIED;
        break;
    default:
        break;
    }
    gov__signal_close(signal);
    gov__signal_is(signal, state, "%s: %s", what,
                   strerror_r(error, room, sizeof(room)));
}

void gov__signal_broke(struct gov__signal *signal, int error, const char *what,
                       uint64_t now_us)
{
    gov__signal_failed(signal, error, what);
    /* It was there a moment ago. */
    signal->told.state = error == EACCES || error == EPERM ? GOV__SOURCE_DENIED
                                                           : GOV__SOURCE_BROKEN;
    signal->again_us = now_us + GOV__WATCH_AGAIN_US;
}

int gov__watch_file(const char *group, const char *file, int flags)
{
    char path[GOV__CGROUP_PATH + 32];

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", group, file) >=
        sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, flags | O_CLOEXEC);
}

int gov__watch_text(int fd, char *text, size_t bytes)
{
    ssize_t n;

    do {
        n = pread(fd, text, bytes - 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    text[n] = '\0';
    return 0;
}
