/* SPDX-License-Identifier: MIT */
/* A terminal of a test's own, and a child that runs in it. */
#ifndef GOV_TESTS_PTY_H
#define GOV_TESTS_PTY_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* False: the terminal is gone. */
static inline bool pty_resize(int master, int columns, int rows)
{
    struct winsize size = {.ws_col = (unsigned short)columns,
                           .ws_row = (unsigned short)rows};

    return ioctl(master, TIOCSWINSZ, &size) == 0;
}

/* The side that is the terminal; -1: none can be had. */
static inline int pty_open(int columns, int rows)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 &&
        pty_resize(master, columns, rows))
        return master;
    if (master >= 0)
        close(master);
    return -1;
}

/* In a child: `terminal` (ptsname()) is its controlling one, and all it reads and
 * writes, of that type. */
static inline void pty_enter(const char *terminal, const char *type)
{
    int fd;

    setsid();
    fd = open(terminal, O_RDWR); /* becomes the controlling one */
    for (int i = 0; i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        close(fd);
    setenv("TERM", type, 1);
    unsetenv("LINES");
    unsetenv("COLUMNS");
}

#endif
