/* SPDX-License-Identifier: MIT */
#include "governor/platform/linux_ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Words that the kernel reads or writes while we run. */
static _Atomic unsigned *word(void *ring, uint32_t offset)
{
    return (_Atomic unsigned *)(void *)((char *)ring + offset);
}

static int map_part(const struct gov__linux_ring *ring, size_t bytes,
                    off_t offset, void **out)
{
    *out = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                ring->fd, offset);
    return *out == MAP_FAILED ? errno : 0;
}

void gov__linux_ring_close(struct gov__linux_ring *ring)
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

/* The two rings are mapped each on its own, which kernels before and after
 * IORING_FEAT_SINGLE_MMAP (5.4) take. */
int gov__linux_ring_open(struct gov__linux_ring *ring, unsigned depth)
{
    const struct io_uring_params *p = &ring->params;
    int error = 0;

    memset(ring, 0, sizeof(*ring));
    ring->sq = ring->cq = ring->entries = MAP_FAILED;
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
        gov__linux_ring_close(ring);
    return error;
}

void gov__linux_ring_push(struct gov__linux_ring *ring,
                          const struct io_uring_sqe *entry)
{
    _Atomic unsigned *tail = word(ring->sq, ring->params.sq_off.tail);
    unsigned at = atomic_load_explicit(tail, memory_order_relaxed);
    unsigned index = at & (ring->params.sq_entries - 1);

    *((struct io_uring_sqe *)ring->entries + index) = *entry;
    *((unsigned *)(void *)((char *)ring->sq + ring->params.sq_off.array) +
      index) = index;
    /* The kernel sees the entry before it sees that there is one. */
    atomic_store_explicit(tail, at + 1, memory_order_release);
    ring->queued++;
}

/* The kernel looks at the tail within gov__linux_ring_enter() alone. */
void gov__linux_ring_withdraw(struct gov__linux_ring *ring)
{
    _Atomic unsigned *tail = word(ring->sq, ring->params.sq_off.tail);
    unsigned at = atomic_load_explicit(tail, memory_order_relaxed);

    atomic_store_explicit(tail, at - 1, memory_order_release);
    ring->queued--;
}

int gov__linux_ring_enter(struct gov__linux_ring *ring, unsigned handed,
                          unsigned wanted, unsigned *taken)
{
    long rc = syscall(SYS_io_uring_enter, ring->fd, handed, wanted,
                      IORING_ENTER_GETEVENTS, NULL, (size_t)0);

    *taken = rc > 0 ? (unsigned)rc : 0;
    ring->queued -= *taken;
    return rc < 0 ? errno : 0;
}

bool gov__linux_ring_pop(struct gov__linux_ring *ring, struct io_uring_cqe *out)
{
    const struct io_uring_params *p = &ring->params;
    _Atomic unsigned *head = word(ring->cq, p->cq_off.head);
    unsigned at = atomic_load_explicit(head, memory_order_relaxed);
    const struct io_uring_cqe *answers =
        (const struct io_uring_cqe *)(void *)((char *)ring->cq +
                                              p->cq_off.cqes);

    /* Sees the answers that were there before the tail moved. */
    if (at == atomic_load_explicit(word(ring->cq, p->cq_off.tail),
                                   memory_order_acquire))
        return false;
    *out = answers[at & (p->cq_entries - 1)];
    /* The kernel may use its place again. */
    atomic_store_explicit(head, at + 1, memory_order_release);
    return true;
}
