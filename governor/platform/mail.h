/* SPDX-License-Identifier: MIT */
/* Datagrams of a local socket, and whether this user sent them. The one system
 * call pair for which POSIX has no name. */
#ifndef GOV_PLATFORM_MAIL_H
#define GOV_PLATFORM_MAIL_H

#include <stdbool.h>
#include <stddef.h>

/* Has the kernel say with each datagram who sent it, where it can. Before the
 * socket has its name: what came earlier has no sender. Returns 0 or an errno
 * value. */
int gov__mail_ask(int fd);

/* Takes one datagram and never waits. *size: its bytes, at most `room`; what is
 * longer is cut, so `room` should be more than what is right. *own: this user sent
 * it; true where the system cannot tell, and only the directory keeps others out.
 * Descriptors that come with it do not get into this process. Returns 0 or an errno value; EAGAIN:
 * there is none. */
int gov__mail_take(int fd, void *out, size_t room, size_t *size, bool *own);

#endif
