/* SPDX-License-Identifier: MIT */
/* Reads of a file through io_uring: a ring for one call. Only measures what it
 * would bring; keeps nothing. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "governor/platform/linux_parts.h"
#include "governor/platform/linux_ring.h"

#define DEPTH_MAX 64

/* A chunk on its way into its place of the buffer. */
struct slot {
    uint64_t offset;
    unsigned char *to;
    size_t bytes; /* that are still to come; 0: the slot is free */
};

struct queue {
    struct gov__linux_ring ring;
    unsigned flights; /* reads that the kernel has taken and not answered */
    unsigned depth;
    struct slot slots[DEPTH_MAX];
};

/* Puts what is still to come of a slot in the queue. There is always room: the
 * queue has at least as many entries as there are slots. */
static void push(struct queue *queue, int fd, unsigned slot)
{
    const struct slot *s = &queue->slots[slot];
    struct io_uring_sqe entry;

    memset(&entry, 0, sizeof(entry));
    entry.opcode = IORING_OP_READ;
    entry.fd = fd;
    entry.off = s->offset;
    entry.addr = (uintptr_t)s->to;
    entry.len = (uint32_t)s->bytes;
    entry.user_data = slot;
    gov__linux_ring_push(&queue->ring, &entry);
}

/* Hands over so many of the queued reads and waits for an answer. */
static int enter(struct queue *queue, unsigned handed)
{
    unsigned taken;
    int error = gov__linux_ring_enter(
        &queue->ring, handed, handed + queue->flights > 0 ? 1 : 0, &taken);

    queue->flights += taken;
    return error;
}

/* Takes the answers there are; a read that ended early goes on when `again`.
 * Returns the first error among them. */
static int reap(struct queue *queue, int fd, bool again, uint64_t *done)
{
    struct io_uring_cqe answer;
    int error = 0;

    while (gov__linux_ring_pop(&queue->ring, &answer)) {
        unsigned index = (unsigned)answer.user_data;
        struct slot *s = &queue->slots[index];
        size_t n = answer.res > 0 ? (size_t)answer.res : 0;

        queue->flights--;
        *done += n;
        s->offset += n;
        s->to += n;
        s->bytes -= n;
        if (n == 0 && answer.res != -EINTR && answer.res != -EAGAIN &&
            error == 0)
            error = answer.res < 0 ? -answer.res : EIO; /* the file's end */
        if (s->bytes > 0 && again && error == 0)
            push(queue, fd, index);
    }
    return error;
}

/* The kernel writes to the buffer until the last read is answered. */
static void drain(struct queue *queue, int fd)
{
    const struct timespec pause = {0, 1000000};
    uint64_t ignored = 0;

    while (queue->flights > 0) {
        if (enter(queue, 0) != 0)
            (void)nanosleep(&pause, NULL);
        (void)reap(queue, fd, false, &ignored);
    }
}

/* Fills free slots with the chunks that come next. */
static void refill(struct queue *queue, const struct gov__queued_read *read,
                   uint64_t *asked)
{
    for (unsigned i = 0; i < queue->depth && *asked < read->bytes; i++) {
        struct slot *s = &queue->slots[i];
        uint64_t left = read->bytes - *asked;

        if (s->bytes > 0)
            continue;
        s->offset = read->offset + *asked;
        s->to = read->buffer + i * read->chunk;
        s->bytes = left < read->chunk ? (size_t)left : read->chunk;
        *asked += s->bytes;
        push(queue, read->fd, i);
    }
}

int gov__linux_read_queued(void *ctx, const struct gov__queued_read *read,
                           uint64_t *done)
{
    struct queue queue;
    uint64_t asked = 0;
    int error;

    (void)ctx;
    *done = 0;
    if (read->depth == 0 || read->depth > DEPTH_MAX || read->chunk == 0 ||
        read->chunk > INT32_MAX)
        return EINVAL;
    memset(&queue, 0, sizeof(queue));
    queue.depth = read->depth;
    error = gov__linux_ring_open(&queue.ring, read->depth);
    if (error != 0)
        return error;
    while (error == 0 && *done < read->bytes) {
        refill(&queue, read, &asked);
        error = enter(&queue, queue.ring.queued);
        /* No memory for more reads at once: answers first, if there will be
         * any. */
        if ((error == EAGAIN || error == EBUSY) && queue.flights > 0)
            error = enter(&queue, 0);
        if (error == EINTR)
            error = 0;
        if (error == 0)
            error = reap(&queue, read->fd, true, done);
    }
    drain(&queue, read->fd);
    gov__linux_ring_close(&queue.ring);
    return error;
}
