/* SPDX-License-Identifier: MIT */
#include "governor/memory/crew.h"

#include <assert.h>
#include <errno.h>

/* Without threads a crew is its owner's alone, and has no lock: before the start
 * and after the stop. Only the owner changes thread_count. */
static void lock(struct gov__crew *crew)
{
    if (crew->thread_count > 0)
        (void)pthread_mutex_lock(&crew->lock);
}

static void unlock(struct gov__crew *crew)
{
    if (crew->thread_count > 0)
        (void)pthread_mutex_unlock(&crew->lock);
}

static uint32_t slot(const struct gov__crew *crew, uint32_t n)
{
    return (crew->waiting_first + n) % (2 * GOV__CREW_MOST);
}

/* The next job, when there is one; false: the thread ends. */
static bool next_locked(struct gov__crew *crew, uint32_t *job)
{
    while (crew->waiting_count == 0 && !crew->stop)
        (void)pthread_cond_wait(&crew->wake, &crew->lock);
    if (crew->stop)
        return false;
    *job = crew->waiting[crew->waiting_first];
    crew->waiting_first = slot(crew, 1);
    crew->waiting_count--;
    return true;
}

static void *run(void *arg)
{
    struct gov__crew *crew = arg;
    const struct gov_platform *platform = crew->platform;
    uint32_t job;

    /* At worst it takes turns with the engine. */
    if (!crew->urgent && platform->step_back != NULL)
        (void)platform->step_back(platform->ctx);
    (void)pthread_mutex_lock(&crew->lock);
    while (next_locked(crew, &job)) {
        int rc;

        (void)pthread_mutex_unlock(&crew->lock);
        rc = crew->work(crew->ctx, job);
        (void)pthread_mutex_lock(&crew->lock);
        crew->finished[crew->finished_count].job = job;
        crew->finished[crew->finished_count++].rc = rc;
        (void)pthread_mutex_unlock(&crew->lock);
        crew->done(crew->ctx);
        (void)pthread_mutex_lock(&crew->lock);
    }
    (void)pthread_mutex_unlock(&crew->lock);
    return NULL;
}

int gov__crew_start(struct gov__crew *crew, uint32_t threads)
{
    int rc;

    assert(threads >= 1 && threads <= GOV__CREW_MOST);
    crew->thread_count = 0;
    crew->stop = false;
    crew->waiting_first = crew->waiting_count = 0;
    crew->finished_count = crew->out = 0;
    rc = pthread_mutex_init(&crew->lock, NULL);
    if (rc != 0)
        return rc;
    rc = pthread_cond_init(&crew->wake, NULL);
    if (rc != 0)
        goto fail;
    while (crew->thread_count < threads && rc == 0) {
        rc = gov__thread_start(&crew->threads[crew->thread_count], run, crew);
        if (rc == 0)
            crew->thread_count++;
    }
    if (crew->thread_count > 0)
        return 0;
    (void)pthread_cond_destroy(&crew->wake);
fail:
    (void)pthread_mutex_destroy(&crew->lock);
    return rc;
}

void gov__crew_stop(struct gov__crew *crew)
{
    uint32_t threads = crew->thread_count;

    if (threads == 0)
        return;
    (void)pthread_mutex_lock(&crew->lock);
    crew->stop = true;
    (void)pthread_cond_broadcast(&crew->wake);
    (void)pthread_mutex_unlock(&crew->lock);
    for (uint32_t i = 0; i < threads; i++)
        (void)pthread_join(crew->threads[i], NULL);
    crew->thread_count = 0;
    (void)pthread_cond_destroy(&crew->wake);
    (void)pthread_mutex_destroy(&crew->lock);
}

bool gov__crew_give(struct gov__crew *crew, uint32_t job)
{
    bool room;

    lock(crew);
    room = crew->out < 2 * crew->thread_count;
    if (room) {
        crew->waiting[slot(crew, crew->waiting_count++)] = job;
        crew->out++;
        (void)pthread_cond_signal(&crew->wake);
    }
    unlock(crew);
    return room;
}

bool gov__crew_take(struct gov__crew *crew, uint32_t *job, int *rc)
{
    bool any;

    lock(crew);
    any = crew->finished_count > 0;
    if (any) {
        *job = crew->finished[0].job;
        *rc = crew->finished[0].rc;
        crew->finished_count--;
        for (uint32_t i = 0; i < crew->finished_count; i++)
            crew->finished[i] = crew->finished[i + 1];
        crew->out--;
    }
    unlock(crew);
    return any;
}

bool gov__crew_recall(struct gov__crew *crew, uint32_t job)
{
    uint32_t i = 0;
    bool found;

    lock(crew);
    while (i < crew->waiting_count && crew->waiting[slot(crew, i)] != job)
        i++;
    found = i < crew->waiting_count;
    if (found) {
        crew->waiting_count--;
        crew->out--;
        for (; i < crew->waiting_count; i++)
            crew->waiting[slot(crew, i)] = crew->waiting[slot(crew, i + 1)];
    }
    unlock(crew);
    return found;
}
