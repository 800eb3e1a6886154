/* SPDX-License-Identifier: MIT */
/* Threads that work while the caller's thread tells progress: reads of storage
 * may take long each, and an app's screen must not wait for them. Outlives no
 * call. */
#include <errno.h>
#include <time.h>

#include "governor/device/measure_priv.h"

#define TELL_NS 4000000 /* between two looks at how far it is */

struct member {
    struct gov__team *team;
    unsigned index;
    pthread_t thread;
};

bool gov__team_go_on(struct gov__team *team, uint64_t done)
{
    atomic_fetch_add(&team->done, done);
    return !atomic_load(&team->stop) &&
           (team->box_us == 0 ||
            gov__measure_now(team->m) - team->begin < team->box_us);
}

static void *run(void *arg)
{
    struct member *member = arg;
    struct gov__team *team = member->team;
    bool aborted;
    uint64_t end;
    int error;

    pthread_mutex_lock(&team->lock);
    while (!team->open)
        pthread_cond_wait(&team->turn, &team->lock);
    aborted = team->aborted;
    pthread_mutex_unlock(&team->lock);
    error = aborted ? 0 : team->work(team, member->index);
    end = gov__measure_now(team->m);
    if (error != 0)
        atomic_store(&team->stop, true);
    pthread_mutex_lock(&team->lock);
    if (team->error == 0)
        team->error = error;
    if (end > team->end)
        team->end = end;
    if (--team->running == 0)
        pthread_cond_broadcast(&team->turn);
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

static int start(struct gov__team *team, struct member *members,
                 unsigned *started)
{
    int error = 0;

    for (*started = 0; *started < team->members && error == 0;) {
        struct member *member = &members[*started];

        member->team = team;
        member->index = *started;
        error = gov__thread_start(&member->thread, run, member);
        *started += error == 0;
    }
    return error;
}

/* By the clock on the wall, which is what a condition waits by everywhere; when
 * somebody sets it, one look comes early or not at all. */
static void wait_a_little(struct gov__team *team)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TELL_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&team->turn, &team->lock, &until);
}

static bool tell(struct gov__team *team)
{
    uint64_t done = atomic_load(&team->done);

    if (done > team->want)
        done = team->want;
    return gov__measure_go_on(team->m,
                              team->from +
                                  (team->to - team->from) * done /
                                      (team->want > 0 ? team->want : 1),
                              team->what);
}

/* Lets the threads go and waits for the last one. */
static void watch(struct gov__team *team, unsigned started, bool aborted)
{
    pthread_mutex_lock(&team->lock);
    team->running = started;
    team->aborted = aborted;
    team->begin = team->end = gov__measure_now(team->m);
    team->open = true;
    pthread_cond_broadcast(&team->turn);
    while (team->running > 0) {
        wait_a_little(team);
        if (team->running == 0)
            break;
        pthread_mutex_unlock(&team->lock);
        if (!tell(team))
            atomic_store(&team->stop, true);
        pthread_mutex_lock(&team->lock);
    }
    pthread_mutex_unlock(&team->lock);
}

int gov__team_run(struct gov__team *team)
{
    struct member members[GOV__TEAM_MAX];
    unsigned started = 0;
    int error;

    atomic_init(&team->done, 0);
    atomic_init(&team->stop, false);
    team->open = false;
    team->error = 0;
    team->unstarted = false;
    if (!tell(team))
        return ECANCELED;
    error = pthread_mutex_init(&team->lock, NULL);
    if (error != 0)
        return error;
    error = pthread_cond_init(&team->turn, NULL);
    if (error == 0) {
        error = start(team, members, &started);
        team->unstarted = error != 0;
        watch(team, started, team->unstarted);
        for (unsigned i = 0; i < started; i++)
            (void)pthread_join(members[i].thread, NULL);
        (void)pthread_cond_destroy(&team->turn);
    }
    (void)pthread_mutex_destroy(&team->lock);
    team->us = team->end - team->begin;
    if (team->m->cancelled)
        return ECANCELED;
    return error != 0 ? error : team->error;
}
