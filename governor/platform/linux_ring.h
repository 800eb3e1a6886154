/* SPDX-License-Identifier: MIT */
/* A ring of io_uring, by the raw system calls, without liburing: entries in,
 * answers out. One thread at a time. Knows nothing of what they mean. */
#ifndef GOV_PLATFORM_LINUX_RING_H
#define GOV_PLATFORM_LINUX_RING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gov__linux_ring {
    int fd;
    struct io_uring_params params;
    void *sq, *cq, *entries; /* MAP_FAILED when not mapped */
    size_t sq_bytes, cq_bytes, entries_bytes;
    unsigned queued; /* entries that the kernel has not taken yet */
};

/* Room for `depth` entries, and for twice as many answers. 0 or an errno value,
 * after which everything is closed again. */
int gov__linux_ring_open(struct gov__linux_ring *ring, unsigned depth);
void gov__linux_ring_close(struct gov__linux_ring *ring);

/* Queues an entry; there has to be room. */
void gov__linux_ring_push(struct gov__linux_ring *ring,
                          const struct io_uring_sqe *entry);

/* Takes the entry that was pushed last back, when the kernel has not. */
void gov__linux_ring_withdraw(struct gov__linux_ring *ring);

/* Hands `handed` of the queued entries over and waits for `wanted` answers; *taken
 * is how many the kernel took. 0 or an errno value (EINTR, EAGAIN, ...). */
int gov__linux_ring_enter(struct gov__linux_ring *ring, unsigned handed,
                          unsigned wanted, unsigned *taken);

/* The oldest answer; false: there is none. */
bool gov__linux_ring_pop(struct gov__linux_ring *ring,
                         struct io_uring_cqe *out);

#endif
