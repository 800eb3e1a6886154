/* SPDX-License-Identifier: MIT */
/* Doorbells by userfaultfd: pages that are missing, and a descriptor that tells
 * who touched one. Faults of user mode only, which needs no privilege. Knows
 * nothing of what the pages stand for. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "governor/platform/linux_parts.h"

/* Since Linux 5.11; linux/userfaultfd.h. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static uint64_t number_of(const void *address)
{
    return (uint64_t)(uintptr_t)address;
}

/* EPERM, whichever way it was forbidden: seccomp may also say that there is no
 * such call, and before 5.11 there was no way for a user. */
int gov__linux_bell_open(void *ctx, int *handle)
{
    struct uffdio_api api = {.api = UFFD_API};
    int fd = (int)syscall(SYS_userfaultfd,
                          O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

    (void)ctx;
    if (fd < 0)
        return errno == ENOSYS || errno == EINVAL || errno == EACCES ? EPERM
                                                                     : errno;
    if (ioctl(fd, UFFDIO_API, &api) != 0) {
        int rc = errno;

        close(fd);
        return rc;
    }
    *handle = fd;
    return 0;
}

/* Anonymous memory with what is at `page` goes over it first, and only then may
 * it go missing: new memory is zeros for whoever reads before it is watched. */
static int put_copy(void *ctx, void *page, size_t bytes)
{
    void *copy;
    int rc = gov__linux_stage(ctx, page, bytes, &copy);

    if (rc != 0)
        return rc;
    memcpy(copy, page, bytes);
    rc = gov__linux_place(ctx, copy, bytes, page);
    if (rc != 0)
        (void)gov__linux_unstage(ctx, copy, bytes);
    return rc;
}

int gov__linux_bell_lay(void *ctx, int handle, void *page, size_t bytes)
{
    struct uffdio_register watch = {
        .range = {.start = number_of(page), .len = bytes},
        .mode = UFFDIO_REGISTER_MODE_MISSING};
    int rc;

    /* A page that cannot be read is an error here and no signal below. */
    if (madvise(page, bytes, MADV_POPULATE_READ) != 0 && errno != EINVAL)
        return errno;
    rc = put_copy(ctx, page, bytes);
    if (rc != 0)
        return rc;
    /* A child of fork() is not watched and would read zeros: it gets none. */
    if (madvise(page, bytes, MADV_DONTFORK) != 0)
        return errno;
    if (ioctl(handle, UFFDIO_REGISTER, &watch) != 0)
        return errno;
    return gov__linux_bell_arm(ctx, handle, page, bytes);
}

int gov__linux_bell_arm(void *ctx, int handle, void *page, size_t bytes)
{
    (void)ctx;
    (void)handle;
    return madvise(page, bytes, MADV_DONTNEED) == 0 ? 0 : errno;
}

int gov__linux_bell_wait(void *ctx, int handle, uint32_t timeout_ms,
                         void **address)
{
    struct pollfd poll_fd = {.fd = handle, .events = POLLIN};
    struct uffd_msg message;
    ssize_t n;
    int ready =
        poll(&poll_fd, 1, timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms);

    (void)ctx;
    if (ready <= 0)
        return ready == 0 ? ETIMEDOUT : errno;
    n = read(handle, &message, sizeof(message));
    /* EAGAIN: it was somebody else's by then, or who touched is gone. */
    if (n < 0)
        return errno == EAGAIN ? EINTR : errno;
    if (n != sizeof(message) || message.event != UFFD_EVENT_PAGEFAULT)
        return EINTR;
    /* The kernel tells addresses as numbers: there is no pointer to start from.
     * NOLINTNEXTLINE(performance-no-int-to-ptr) */
    *address = (void *)(uintptr_t)message.arg.pagefault.address;
    return 0;
}

/* EEXIST: somebody filled it since, and whoever waits may not know. */
static int fill(int handle, uint64_t to, const void *from, size_t bytes)
{
    struct uffdio_copy copy = {.dst = to, .src = number_of(from), .len = bytes};
    struct uffdio_range range = {.start = to, .len = bytes};

    while (ioctl(handle, UFFDIO_COPY, &copy) != 0) {
        if (errno == EEXIST)
            return ioctl(handle, UFFDIO_WAKE, &range) == 0 ? 0 : errno;
        if (errno != EAGAIN)
            return errno;
        copy.copy = 0;
    }
    return 0;
}

int gov__linux_bell_answer(void *ctx, int handle, void *page, const void *bytes,
                           size_t count)
{
    size_t step = (size_t)sysconf(_SC_PAGESIZE);
    int rc = 0;

    (void)ctx;
    for (size_t at = 0; at < count && rc == 0; at += step)
        rc = fill(handle, number_of(page) + at, (const char *)bytes + at, step);
    return rc;
}

int gov__linux_bell_close(void *ctx, int handle)
{
    (void)ctx;
    return close(handle) == 0 ? 0 : errno;
}
