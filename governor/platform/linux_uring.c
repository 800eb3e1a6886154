/* SPDX-License-Identifier: MIT */
/* Reads of a file through io_uring: a ring for one call, by the raw system calls,
 * without liburing. Only measures what it would bring; keeps nothing. */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "governor/platform/linux_parts.h"

#define DEPTH_MAX 64

/* A chunk on its way into its place of the buffer. */
struct slot {
    uint64_t offset;
    unsigned char *to;
    size_t bytes; /* that are still to come; 0: the slot is free */
};

struct ring {
    int fd;
    struct io_uring_params params;
    void *sq, *cq, *entries; /* MAP_FAILED when not mapped */
    size_t sq_bytes, cq_bytes, entries_bytes;
    unsigned queued;  /* entries that the kernel has not taken yet */
    unsigned flights; /* reads that it has taken and not answered */
    unsigned depth;
    struct slot slots[DEPTH_MAX];
};

/* Words that the kernel reads or writes while we run. */
static _Atomic unsigned *word(void *ring, uint32_t offset)
{
    return (_Atomic unsigned *)(void *)((char *)ring + offset);
}

static int map_part(const struct ring *ring, size_t bytes, off_t offset,
                    void **out)
{
    *out = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                ring->fd, offset);
    return *out == MAP_FAILED ? errno : 0;
}

static void close_ring(struct ring *ring)
{
    if (ring->entries != MAP_FAILED)
        (void)munmap(ring->entries, ring->entries_bytes);
    if (ring->cq != MAP_FAILED)
        (void)munmap(ring->cq, ring->cq_bytes);
    if (ring->sq != MAP_FAILED)
        (void)munmap(ring->sq, ring->sq_bytes);
    if (ring->fd >= 0)
        close(ring->fd);
}

/* On failure everything is closed again. The two rings are mapped each on its
 * own, which kernels before and after IORING_FEAT_SINGLE_MMAP (5.4) take. */
static int open_ring(struct ring *ring, unsigned depth)
{
    const struct io_uring_params *p = &ring->params;
    int error = 0;

    memset(ring, 0, sizeof(*ring));
    ring->sq = ring->cq = ring->entries = MAP_FAILED;
    ring->depth = depth;
    ring->fd = (int)syscall(SYS_io_uring_setup, depth, &ring->params);
    if (ring->fd < 0)
        return errno;
    ring->sq_bytes = p->sq_off.array + p->sq_entries * sizeof(unsigned);
    ring->cq_bytes =
        p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    ring->entries_bytes = p->sq_entries * sizeof(struct io_uring_sqe);
    error = map_part(ring, ring->sq_bytes, IORING_OFF_SQ_RING, &ring->sq);
    if (error == 0)
        error = map_part(ring, ring->cq_bytes, IORING_OFF_CQ_RING, &ring->cq);
    if (error == 0)
        error = map_part(ring, ring->entries_bytes, IORING_OFF_SQES,
                         &ring->entries);
    if (error != 0)
        close_ring(ring);
    return error;
}

/* Puts what is still to come of a slot in the queue. There is always room: the
 * queue has at least as many entries as there are slots. */
static void queue(struct ring *ring, int fd, unsigned slot)
{
    const struct slot *s = &ring->slots[slot];
    _Atomic unsigned *tail = word(ring->sq, ring->params.sq_off.tail);
    unsigned at = atomic_load_explicit(tail, memory_order_relaxed);
    unsigned index = at & (ring->params.sq_entries - 1);
    struct io_uring_sqe *entry = (struct io_uring_sqe *)ring->entries + index;

    memset(entry, 0, sizeof(*entry));
    entry->opcode = IORING_OP_READ;
    entry->fd = fd;
    entry->off = s->offset;
    entry->addr = (uintptr_t)s->to;
    entry->len = (uint32_t)s->bytes;
    entry->user_data = slot;
    *((unsigned *)(void *)((char *)ring->sq + ring->params.sq_off.array) +
      index) = index;
    /* The kernel sees the entry before it sees that there is one. */
    atomic_store_explicit(tail, at + 1, memory_order_release);
    ring->queued++;
}

/* Hands over so many of the queued reads and waits for an answer. */
static int enter(struct ring *ring, unsigned handed)
{
    unsigned wanted = handed + ring->flights > 0 ? 1 : 0;
    long taken = syscall(SYS_io_uring_enter, ring->fd, handed, wanted,
                         IORING_ENTER_GETEVENTS, NULL, (size_t)0);

    if (taken < 0)
        return errno;
    ring->queued -= (unsigned)taken;
    ring->flights += (unsigned)taken;
    return 0;
}

/* Takes the answers there are; a read that ended early goes on when `again`.
 * Returns the first error among them. */
static int reap(struct ring *ring, int fd, bool again, uint64_t *done)
{
    const struct io_uring_params *p = &ring->params;
    _Atomic unsigned *head = word(ring->cq, p->cq_off.head);
    unsigned at = atomic_load_explicit(head, memory_order_relaxed);
    /* Sees the answers that were there before the tail moved. */
    unsigned end = atomic_load_explicit(word(ring->cq, p->cq_off.tail),
                                        memory_order_acquire);
    const struct io_uring_cqe *answers =
        (const struct io_uring_cqe *)(void *)((char *)ring->cq +
                                              p->cq_off.cqes);
    int error = 0;

    for (; at != end; at++) {
        const struct io_uring_cqe *answer = &answers[at & (p->cq_entries - 1)];
        unsigned index = (unsigned)answer->user_data;
        struct slot *s = &ring->slots[index];
        size_t n = answer->res > 0 ? (size_t)answer->res : 0;

        ring->flights--;
        *done += n;
        s->offset += n;
        s->to += n;
        s->bytes -= n;
        if (n == 0 && answer->res != -EINTR && answer->res != -EAGAIN &&
            error == 0)
            error = answer->res < 0 ? -answer->res : EIO; /* the file's end */
        if (s->bytes > 0 && again && error == 0)
            queue(ring, fd, index);
    }
    /* The kernel may use their places again. */
    atomic_store_explicit(head, at, memory_order_release);
    return error;
}

/* The kernel writes to the buffer until the last read is answered. */
static void drain(struct ring *ring, int fd)
{
    const struct timespec pause = {0, 1000000};
    uint64_t ignored = 0;

    while (ring->flights > 0) {
        if (enter(ring, 0) != 0)
            (void)nanosleep(&pause, NULL);
        (void)reap(ring, fd, false, &ignored);
    }
}

/* Fills free slots with the chunks that come next. */
static void refill(struct ring *ring, const struct gov__queued_read *read,
                   uint64_t *asked)
{
    for (unsigned i = 0; i < ring->depth && *asked < read->bytes; i++) {
        struct slot *s = &ring->slots[i];
        uint64_t left = read->bytes - *asked;

        if (s->bytes > 0)
            continue;
        s->offset = read->offset + *asked;
        s->to = read->buffer + i * read->chunk;
        s->bytes = left < read->chunk ? (size_t)left : read->chunk;
        *asked += s->bytes;
        queue(ring, read->fd, i);
    }
}

int gov__linux_read_queued(void *ctx, const struct gov__queued_read *read,
                           uint64_t *done)
{
    struct ring ring;
    uint64_t asked = 0;
    int error;

    (void)ctx;
    *done = 0;
    if (read->depth == 0 || read->depth > DEPTH_MAX || read->chunk == 0 ||
        read->chunk > INT32_MAX)
        return EINVAL;
    error = open_ring(&ring, read->depth);
    if (error != 0)
        return error;
    while (error == 0 && *done < read->bytes) {
        refill(&ring, read, &asked);
        error = enter(&ring, ring.queued);
        /* No memory for more reads at once: answers first, if there will be
         * any. */
        if ((error == EAGAIN || error == EBUSY) && ring.flights > 0)
            error = enter(&ring, 0);
        if (error == EINTR)
            error = 0;
        if (error == 0)
            error = reap(&ring, read->fd, true, done);
    }
    drain(&ring, read->fd);
    close_ring(&ring);
    return error;
}
