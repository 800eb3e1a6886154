/* SPDX-License-Identifier: MIT */
/* A crew of threads, at low CPU and I/O priority if not urgent, to whom one owner
 * gives jobs and takes them back when they are done. A job is a number; what it means is the
 * owner's. Never allocates after the start. */
#ifndef GOV_MEMORY_CREW_H
#define GOV_MEMORY_CREW_H

#include <pthread.h>

#include "governor/platform/platform.h"

#define GOV__CREW_MOST 16 /* threads, and jobs at a time two each */

/* Does one job, on a thread of the crew; what it returns is handed back. */
typedef int (*gov__crew_fn)(void *ctx, uint32_t job);

struct gov__crew {
    /* Set by the caller before the start, constant until stopped. */
    const struct gov_platform *platform;
    gov__crew_fn work;
    bool urgent; /* as quick as any thread, not behind others */
    /* A job is done: wakes the owner. On a thread of the crew, no lock held. */
    void (*done)(void *ctx);
    void *ctx;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t threads[GOV__CREW_MOST];
    uint32_t thread_count;
    bool stop;
    uint32_t waiting[2 * GOV__CREW_MOST], waiting_first, waiting_count;
    struct gov__crew_done {
        uint32_t job;
        int rc;
    } finished[2 * GOV__CREW_MOST];
    uint32_t finished_count, out; /* out: given and not taken back */
};

/* 0, or an errno value when not one of `threads` (1 to GOV__CREW_MOST) could be
 * started; fewer than asked for are no failure. */
int gov__crew_start(struct gov__crew *crew, uint32_t threads);

/* Ends the threads; each finishes the job it is at, those that wait are not done.
 * Jobs that were done and not taken can be taken afterwards, the others recalled.
 * done() is called until this returns: hold nothing that it takes. A crew that was
 * not started, all zeros, may be stopped. */
void gov__crew_stop(struct gov__crew *crew);

/* False when 2 jobs a thread are out already, or it has no threads. For the owner
 * alone. */
bool gov__crew_give(struct gov__crew *crew, uint32_t job);

/* A job that is done, the first one first; false: none. For the owner alone. */
bool gov__crew_take(struct gov__crew *crew, uint32_t *job, int *rc);

/* Takes that job back undone; false: a thread has begun it (and it will be there
 * to take), or it was not given. For the owner alone. */
bool gov__crew_recall(struct gov__crew *crew, uint32_t job);

#endif
