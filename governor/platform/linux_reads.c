/* SPDX-License-Identifier: MIT */
/* Reads that go on while their thread does something else, through io_uring, and
 * an eventfd by which others end its sleep. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "governor/platform/linux_parts.h"
#include "governor/platform/linux_ring.h"

struct reads {
    struct gov__linux_ring ring;
    int bell;
};

_Static_assert(sizeof(struct reads) <= sizeof(struct gov__read_queue),
               "gov__read_queue has room for it");

static struct reads *of(struct gov__read_queue *reads)
{
    return (struct reads *)(void *)reads->room;
}

int gov__linux_reads_open(void *ctx, struct gov__read_queue *reads,
                          uint32_t most)
{
    struct reads *r = of(reads);
    int rc;

    (void)ctx;
    if (most == 0)
        return EINVAL;
    r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->bell < 0)
        return errno;
    rc = gov__linux_ring_open(&r->ring, most);
    /* This came with IORING_OP_READ, in Linux 5.6: a ring of before fails each. */
    if (rc == 0 && (r->ring.params.features & IORING_FEAT_RW_CUR_POS) != 0)
        return 0;
    if (rc == 0) {
        gov__linux_ring_close(&r->ring);
        rc = ENOSYS;
    }
    close(r->bell);
    return rc == ENOSYS || rc == EPERM || rc == EACCES ? ENOTSUP : rc;
}

int gov__linux_reads_start(void *ctx, struct gov__read_queue *reads,
                           const struct gov__read *read)
{
    struct reads *r = of(reads);
    struct io_uring_sqe entry;
    unsigned taken;
    int rc;

    (void)ctx;
    memset(&entry, 0, sizeof(entry));
    entry.opcode = IORING_OP_READ;
    entry.fd = read->fd;
    entry.off = read->offset;
    entry.addr = (uintptr_t)read->buffer;
    entry.len = (uint32_t)read->bytes;
    entry.user_data = read->tag;
    gov__linux_ring_push(&r->ring, &entry);
    do
        rc = gov__linux_ring_enter(&r->ring, 1, 0, &taken);
    while (rc == EINTR && taken == 0);
    if (taken > 0)
        return 0;
    gov__linux_ring_withdraw(&r->ring);
    return rc != 0 ? rc : EAGAIN;
}

int gov__linux_reads_take(void *ctx, struct gov__read_queue *reads,
                          uint32_t *tag, int64_t *result)
{
    struct io_uring_cqe answer;

    (void)ctx;
    if (!gov__linux_ring_pop(&of(reads)->ring, &answer))
        return ENODATA;
    *tag = (uint32_t)answer.user_data;
    *result = answer.res;
    return 0;
}

int gov__linux_reads_sleep(void *ctx, struct gov__read_queue *reads,
                           uint64_t timeout_us)
{
    const struct reads *r = of(reads);
    struct timespec time = {(time_t)(timeout_us / 1000000),
                            (long)(timeout_us % 1000000) * 1000};
    struct pollfd fds[2] = {{.fd = r->ring.fd, .events = POLLIN},
                            {.fd = r->bell, .events = POLLIN}};
    uint64_t rung;

    (void)ctx;
    if (ppoll(fds, 2, timeout_us != 0 ? &time : NULL, NULL) < 0)
        return errno == EINTR ? 0 : errno;
    if (fds[1].revents != 0 && read(r->bell, &rung, sizeof(rung)) < 0 &&
        errno != EAGAIN && errno != EINTR)
        return errno;
    return 0;
}

int gov__linux_reads_wake(void *ctx, struct gov__read_queue *reads)
{
    const uint64_t one = 1;

    (void)ctx;
    /* Full: it rings already. */
    if (write(of(reads)->bell, &one, sizeof(one)) < 0 && errno != EAGAIN)
        return errno;
    return 0;
}

int gov__linux_reads_close(void *ctx, struct gov__read_queue *reads)
{
    struct reads *r = of(reads);

    (void)ctx;
    gov__linux_ring_close(&r->ring);
    return close(r->bell) == 0 ? 0 : errno;
}
