/* SPDX-License-Identifier: MIT */
/* A platform for tests: the clock is set by hand, figures are what the test
 * says, the n-th call fails, and what is mapped or staged is counted. Everything
 * else is inert. Memory is real, so that caches and places work on it. */
#ifndef GOV_TESTS_SIM_PLATFORM_H
#define GOV_TESTS_SIM_PLATFORM_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "governor/platform/platform.h"

#define SIM_NEVER UINT64_MAX
#define SIM_MIB ((uint64_t)1 << 20)
#define SIM_GIB ((uint64_t)1 << 30)

struct sim {
    struct gov_platform table; /* pass &sim.table */
    _Atomic uint64_t now_us;

    /* Figures, and what the call returns: 0 or an errno value. With threads
     * about, change them between sim_lock() and sim_unlock(). */
    pthread_mutex_t lock;
    struct gov__machine machine;
    struct gov__limit limit;
    struct gov__stall stall;
    struct gov__process process;
    struct gov__pass_counts pass;
    uint64_t refault_bytes;
    int refaults_rc; /* ENOTSUP from sim_init() on */
    int machine_rc, limit_rc, stall_rc, process_rc, map_rc, pass_rc;
    /* What tell() answers; it says as a source what is in `told`, if anything. */
    struct gov__told told[GOV_FACT_COUNT];
    int tell_rc[GOV_FACT_COUNT];

    /* With sim_watch(): one source, a pipe of the test's. What is written to
     * watch_pipe[1] wakes whoever polls: 'e' is an event, 'f' a false one, 'x' breaks
     * the source for good. `wanted` is what watch_polls() was asked for last. */
    int watch_pipe[2];
    struct gov__watch_for wanted;
    struct gov__source source;
    _Atomic int watches; /* open ones */
    _Atomic uint64_t polls;

    /* Live ones; staged memory counts until it is placed. */
    _Atomic int64_t maps, mapped_bytes;
    _Atomic uint64_t calls, fail_at;
    _Atomic bool fail_forever;
    _Atomic(const char *) failed; /* name of the call that failed, or "none" */
};

/* 16 GiB of which 12 are available, no limit, PSI of the system at zero, a
 * process of 1 GiB; one second after boot. Of facts, the processor, four of
 * them, and the system; the rest is ENOTSUP. */
void sim_init(struct sim *sim);

/* Gives the table watch_*() and gather*(), which it has not got otherwise; the
 * latter are the system's own, if it has any. Close both ends of the pipe. */
void sim_watch(struct sim *sim);

/* tell() answers this from now on. */
void sim_tell(struct sim *sim, gov_fact fact, uint64_t number,
              const char *text);

/* Call number n from now (from 0) fails with EIO, and with `forever` all that
 * follow; the counter starts again. now_us() and page_bytes() cannot fail. */
void sim_fail(struct sim *sim, uint64_t n, bool forever);

void sim_advance_ms(struct sim *sim, uint64_t ms);

void sim_lock(struct sim *sim);
void sim_unlock(struct sim *sim);
/* Under the lock: the process's footprint changes by so many bytes. */
void sim_grow(struct sim *sim, int64_t bytes);

#endif
