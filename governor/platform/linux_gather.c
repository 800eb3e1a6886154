/* SPDX-License-Identifier: MIT */
/* Several descriptors and a time as one descriptor: an epoll and a timerfd. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "governor/platform/linux_parts.h"

int gov__linux_gather_open(void *ctx, struct gov__gather *gather)
{
    struct epoll_event event = {.events = EPOLLIN};
    int rc;

    (void)ctx;
    *gather = (struct gov__gather){.fd = -1, .timer = -1};
    gather->fd = epoll_create1(EPOLL_CLOEXEC);
    if (gather->fd < 0)
        return errno;
    gather->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    event.data.fd = gather->timer;
    if (gather->timer >= 0 &&
        epoll_ctl(gather->fd, EPOLL_CTL_ADD, gather->timer, &event) == 0)
        return 0;
    rc = errno;
    gov__linux_gather_close(ctx, gather);
    return rc;
}

/* The same bits as poll()'s: linux/eventpoll.h. */
static int add(int epoll, const struct pollfd *polled)
{
    struct epoll_event event = {.events =
                                    (uint32_t)(unsigned short)polled->events,
                                .data = {.fd = polled->fd}};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, polled->fd, &event) == 0)
        return 0;
    if (errno == EEXIST &&
        epoll_ctl(epoll, EPOLL_CTL_MOD, polled->fd, &event) == 0)
        return 0;
    /* A regular file never tells anything, and cannot be waited for. */
    return errno == EPERM ? 0 : errno;
}

static bool is_in(int fd, const struct pollfd *polled, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (polled[i].fd == fd)
            return true;
    return false;
}

static int set_timer(int timer, int timeout_ms)
{
    struct itimerspec when = {0};

    if (timeout_ms >= 0) {
        when.it_value.tv_sec = timeout_ms / 1000;
        /* Zero would be no time at all. */
        when.it_value.tv_nsec =
            timeout_ms == 0 ? 1 : (long)(timeout_ms % 1000) * 1000000;
    }
    return timerfd_settime(timer, 0, &when, NULL) == 0 ? 0 : errno;
}

int gov__linux_gather(void *ctx, struct gov__gather *gather,
                      const struct pollfd *polled, size_t count, int timeout_ms)
{
    int rc;

    (void)ctx;
    if (count > GOV__GATHER_FDS)
        return E2BIG;
    /* What was closed meanwhile has left by itself. */
    for (size_t i = 0; i < gather->count; i++)
        if (!is_in(gather->fds[i], polled, count))
            (void)epoll_ctl(gather->fd, EPOLL_CTL_DEL, gather->fds[i], NULL);
    gather->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (polled[i].fd < 0)
            continue;
        rc = add(gather->fd, &polled[i]);
        if (rc != 0)
            return rc;
        gather->fds[gather->count++] = polled[i].fd;
    }
    return set_timer(gather->timer, timeout_ms);
}

void gov__linux_gather_close(void *ctx, struct gov__gather *gather)
{
    (void)ctx;
    if (gather->timer >= 0)
        close(gather->timer);
    if (gather->fd >= 0)
        close(gather->fd);
    *gather = (struct gov__gather){.fd = -1, .timer = -1};
}
