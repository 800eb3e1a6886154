/* SPDX-License-Identifier: MIT */
/* Many descriptors and a timer behind one that poll() finds readable: a kqueue, which
 * another kqueue may take in, too. Never run. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/event.h>
#include <unistd.h>

#include "governor/platform/darwin_parts.h"

#define TIMER 1

int gov__darwin_gather_open(void *ctx, struct gov__gather *gather)
{
    int queue, rc = 0;

    (void)ctx;
    memset(gather, 0, sizeof(*gather));
    gather->fd = gather->timer = -1;
    queue = kqueue();
    if (queue < 0)
        return errno;
    if (fcntl(queue, F_SETFD, FD_CLOEXEC) == -1) {
        rc = errno;
        (void)close(queue);
        return rc;
    }
    gather->fd = queue;
    return 0;
}

/* One change. EV_RECEIPT: what it came to is told, and no event is taken. */
static int change(int queue, struct kevent *event)
{
    const struct timespec at_once = {0, 0};
    struct kevent receipt;
    int n;

    event->flags |= EV_RECEIPT;
    do
        n = kevent(queue, event, 1, &receipt, 1, &at_once);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    return n == 1 && (receipt.flags & EV_ERROR) != 0 ? (int)receipt.data : 0;
}

/* A descriptor that was closed took what was said of it along. */
static int forget(int queue, uintptr_t ident, int16_t filter)
{
    struct kevent event;
    int rc;

    EV_SET(&event, ident, filter, EV_DELETE, 0, 0, NULL);
    rc = change(queue, &event);
    return rc == ENOENT || rc == EBADF ? 0 : rc;
}

/* No filter tells what POLLPRI asks for but of sockets, and no source here asks for
 * it. */
static bool asks(const struct pollfd *polled)
{
    return polled->fd >= 0 && (polled->events & POLLIN) != 0;
}

static bool is_asked_for(const struct pollfd *polled, size_t count, int fd)
{
    for (size_t i = 0; i < count; i++)
        if (asks(&polled[i]) && polled[i].fd == fd)
            return true;
    return false;
}

static bool is_gathered(const struct gov__gather *gather, int fd)
{
    for (uint32_t i = 0; i < gather->count; i++)
        if (gather->fds[i] == fd)
            return true;
    return false;
}

/* Adding again what is there changes nothing, and one that was closed, with the
 * number given out anew, is there no more: so each is added. */
static int add(struct gov__gather *gather, int fd)
{
    struct kevent event;
    int rc;

    EV_SET(&event, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL);
    rc = change(gather->fd, &event);
    if (rc != 0 || is_gathered(gather, fd))
        return rc;
    if (gather->count == GOV__GATHER_FDS) { /* full of what did not go */
        (void)forget(gather->fd, (uintptr_t)fd, EVFILT_READ);
        return E2BIG;
    }
    gather->fds[gather->count++] = fd;
    return 0;
}

/* In milliseconds, the filter's unit. It fires once, and stays fired until it is
 * deleted: nobody takes events from here. */
static int set_timer(int queue, int timeout_ms)
{
    struct kevent event;
    int rc = forget(queue, TIMER, EVFILT_TIMER);

    if (rc != 0 || timeout_ms < 0)
        return rc;
    EV_SET(&event, TIMER, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0,
           timeout_ms > 0 ? timeout_ms : 1, NULL);
    return change(queue, &event);
}

/* Takes out what is asked for no more, and remembers what could not be taken out. */
static int sweep(struct gov__gather *gather, const struct pollfd *polled,
                 size_t count)
{
    uint32_t kept = 0;
    int rc = 0;

    for (uint32_t i = 0; i < gather->count; i++) {
        const int fd = gather->fds[i];
        int failed = 0;

        if (!is_asked_for(polled, count, fd)) {
            failed = forget(gather->fd, (uintptr_t)fd, EVFILT_READ);
            if (failed == 0)
                continue;
        }
        gather->fds[kept++] = fd;
        rc = rc != 0 ? rc : failed;
    }
    gather->count = kept;
    return rc;
}

/* The time is set whatever fails before: who waits wakes by that at least. */
int gov__darwin_gather(void *ctx, struct gov__gather *gather,
                       const struct pollfd *polled, size_t count,
                       int timeout_ms)
{
    int rc, failed;

    (void)ctx;
    if (count > GOV__GATHER_FDS)
        return E2BIG;
    rc = sweep(gather, polled, count);
    for (size_t i = 0; i < count; i++) {
        failed = asks(&polled[i]) ? add(gather, polled[i].fd) : 0;
        rc = rc != 0 ? rc : failed;
    }
    failed = set_timer(gather->fd, timeout_ms);
    return rc != 0 ? rc : failed;
}

/* A child of fork() has no kqueue of its parent's: there the number is nobody's, or
 * somebody else's. So it is asked whether it is one. */
void gov__darwin_gather_close(void *ctx, struct gov__gather *gather)
{
    const struct timespec at_once = {0, 0};

    (void)ctx;
    if (gather->fd >= 0 && kevent(gather->fd, NULL, 0, NULL, 0, &at_once) == 0)
        (void)close(gather->fd);
    gather->fd = -1;
    gather->count = 0;
}
