/* SPDX-License-Identifier: MIT */
/* Who looks and who works, and when. With threads of the runtime's: one looks, at its
 * pace or when something wakes it, and one works on what was found. The one that
 * looks also looks after the other: where a callback or a file system does not let it
 * come back, another thread takes its turn. Without: gov_step() and gov_dispatch() do
 * both on the host's. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "governor/runtime/trace_priv.h"

/* While nothing stirs, who works is woken so seldom: the page is not stale before
 * 10 s, and two threads that each wake once a second would wake twice. */
#define QUIET_MS 2000

/* ---- a step ---------------------------------------------------------------------- */

/* False when another thread is inside a look. */
static bool begin_look(struct gov_runtime *runtime)
{
    bool mine;

    pthread_mutex_lock(&runtime->lock);
    mine = !runtime->looking;
    runtime->looking = true;
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static void end_look(struct gov_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->looking = false;
    pthread_mutex_unlock(&runtime->lock);
}

void gov_step(gov_runtime *runtime)
{
    struct gov__judged judged;

    if (runtime == NULL || gov__runtime_forked(runtime) || !begin_look(runtime))
        return;
    if (!runtime->threaded) {
        gov__control_turn(runtime);
        gov__policy_follow(runtime);
    }
    gov__look(runtime, &judged);
    gov__work_add(runtime, &judged);
    /* Until the work is done: a callback of it that steps does nothing. */
    if (runtime->threaded)
        end_look(runtime);
    gov__work(runtime, runtime->threaded);
    if (!runtime->threaded)
        end_look(runtime);
}

/* ---- a loop of the host's ---------------------------------------------------------- */

static bool open_pipe(struct gov_runtime *runtime)
{
    if (runtime->wake[0] >= 0)
        return true;
    if (pipe(runtime->wake) != 0) {
        runtime->wake[0] = runtime->wake[1] = -1;
        return false;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(runtime->wake[i], F_SETFD, FD_CLOEXEC);
        fcntl(runtime->wake[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

/* What to wait for from now on, and how long. */
static int gather(struct gov_runtime *runtime)
{
    const struct gov_platform *p = runtime->platform;
    struct pollfd polled[GOV__LOOK_POLLS];
    uint64_t wait_ms;
    size_t count = gov__look_polls(runtime, polled, &wait_ms);

    runtime->due_us = p->now_us(p->ctx) + wait_ms * 1000;
    return p->gather(p->ctx, &runtime->gathered, polled, count, (int)wait_ms);
}

gov_status gov_fd(gov_runtime *runtime, int *fd, gov_error *err)
{
    const struct gov_platform *p;
    int rc;

    if (runtime == NULL || fd == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_fd() needs a runtime and a place for the "
                        "descriptor");
    p = runtime->platform;
    if (gov__runtime_forked(runtime))
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "nothing is governed in a child of fork(); open a "
                        "runtime there");
    if (runtime->threaded || p->gather == NULL)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        runtime->threaded
                            ? "the runtime has a thread of its own and needs "
                              "no loop; set no_thread"
                            : "this system has no descriptor to wait for all "
                              "of it; call gov_step() by a timer");
    if (runtime->gathered.fd < 0) {
        rc = open_pipe(runtime) ? p->gather_open(p->ctx, &runtime->gathered)
                                : errno;
        if (rc == 0)
            rc = gather(runtime);
        if (rc != 0) {
            if (runtime->gathered.fd >= 0)
                p->gather_close(p->ctx, &runtime->gathered);
            runtime->gathered.fd = -1;
            return gov_fail(err, GOV_E_IO, rc,
                            "cannot make a descriptor to wait for; close some, "
                            "or call gov_step() by a timer");
        }
    }
    *fd = runtime->gathered.fd;
    return GOV_OK;
}

void gov_dispatch(gov_runtime *runtime)
{
    const struct gov_platform *p;
    struct pollfd polled[GOV__LOOK_POLLS];
    uint64_t wait_ms;
    size_t count;
    bool heard;

    if (runtime == NULL || gov__runtime_forked(runtime) || runtime->threaded ||
        runtime->gathered.fd < 0)
        return;
    p = runtime->platform;
    count = gov__look_polls(runtime, polled, &wait_ms);
    /* Whoever polled gov_fd() may have taken an event that only a total still shows. */
    if (poll(polled, (nfds_t)count, 0) < 0)
        for (size_t i = 0; i < count; i++) /* as in wait_for(): ask them all */
            polled[i].revents = polled[i].fd >= 0 ? POLLIN : 0;
    heard = gov__look_heard(runtime, polled, count);
    if (heard || p->now_us(p->ctx) >= runtime->due_us)
        gov_step(runtime);
    /* Where it fails the time is what was gathered last. */
    (void)gather(runtime);
}

/* ---- who works ---------------------------------------------------------------------- */

static void *work_loop(void *arg)
{
    struct gov__worker *me = arg;
    struct gov_runtime *runtime = me->runtime;

    pthread_mutex_lock(&runtime->lock);
    for (;;) {
        while (!atomic_load(&runtime->stop) && runtime->current == me &&
               !runtime->work_wanted)
            pthread_cond_wait(&runtime->work, &runtime->lock);
        /* Who did not come back finds that another one has taken over. */
        if (atomic_load(&runtime->stop) || runtime->current != me)
            break;
        runtime->work_wanted = false;
        pthread_mutex_unlock(&runtime->lock);
        gov__work(runtime, true);
        pthread_mutex_lock(&runtime->lock);
        if (runtime->current == me)
            runtime->nobody_works = false;
    }
    me->state = GOV__WORKER_ENDED;
    pthread_mutex_unlock(&runtime->lock);
    return NULL;
}

/* Lock held: who has ended lets it go before it is joined, and needs it no more. */
static struct gov__worker *free_worker_locked(struct gov_runtime *runtime)
{
    for (size_t i = 0; i < GOV__WORKERS; i++) {
        struct gov__worker *worker = &runtime->workers[i];

        if (worker->state == GOV__WORKER_ENDED) {
            pthread_join(worker->thread, NULL);
            worker->state = GOV__WORKER_NONE;
        }
        if (worker->state == GOV__WORKER_NONE)
            return worker;
    }
    return NULL;
}

/* A thread that works from now on. Returns 0 or an errno value. Lock held, so that who
 * comes back meanwhile does not go for one that could not be had. */
static int start_worker_locked(struct gov_runtime *runtime)
{
    struct gov__worker *worker = free_worker_locked(runtime);
    int rc;

    if (worker == NULL)
        return EAGAIN;
    worker->runtime = runtime;
    rc = gov__thread_start(&worker->thread, work_loop, worker);
    if (rc != 0)
        return rc;
    worker->state = GOV__WORKER_RUNS;
    runtime->current = worker;
    return 0;
}

/* Lock held. */
static bool stirs_locked(const struct gov_runtime *runtime,
                         const struct gov__judged *judged)
{
    return judged->level != GOV_LEVEL_NORMAL ||
           judged->level != judged->before || judged->hand_over ||
           judged->budget_changed || runtime->passes > 0 || runtime->asked.on ||
           gov__relief_regrows_locked(runtime) ||
           judged->sample.evidence.now_ms - runtime->woke_ms >= QUIET_MS;
}

static void wake_worker(struct gov_runtime *runtime,
                        const struct gov__judged *judged)
{
    pthread_mutex_lock(&runtime->lock);
    if (stirs_locked(runtime, judged) || gov__trace_on(runtime)) {
        runtime->woke_ms = judged->sample.evidence.now_ms;
        runtime->work_wanted = true;
        pthread_cond_broadcast(&runtime->work);
    }
    pthread_mutex_unlock(&runtime->lock);
}

/* Where no further thread can be had, what is left is to look, and to say so. Who comes
 * back after all goes on (work_loop()). */
static void look_after_worker(struct gov_runtime *runtime)
{
    const bool lost = gov__work_abandon(runtime);

    pthread_mutex_lock(&runtime->lock);
    if (lost || runtime->nobody_works) {
        runtime->nobody_works = start_worker_locked(runtime) != 0;
        runtime->work_wanted = true;
        pthread_cond_broadcast(&runtime->work);
    }
    pthread_mutex_unlock(&runtime->lock);
}

/* ---- who looks ----------------------------------------------------------------------- */

/* poll(), which cannot be (EINVAL) where the app took away the right to have so many
 * descriptors (RLIMIT_NOFILE): then time alone wakes. */
static int wait_for(struct pollfd *polled, size_t count, uint64_t wait_ms)
{
    const struct timespec pause = {0, GOV__MIN_SAMPLE_MS * 1000000L};
    const int rc = poll(polled, (nfds_t)count, (int)wait_ms);

    if (rc < 0 && errno != EINTR)
        (void)nanosleep(&pause, NULL);
    return rc;
}

static void wait_for_look(struct gov_runtime *runtime)
{
    struct pollfd polled[GOV__LOOK_POLLS];
    const struct gov_platform *p = runtime->platform;
    uint64_t wait_ms, until_us;
    size_t count;

    count = gov__look_polls(runtime, polled, &wait_ms);
    until_us = p->now_us(p->ctx) + wait_ms * 1000;
    while (wait_for(polled, count, wait_ms) > 0 &&
           !gov__look_heard(runtime, polled, count)) {
        const uint64_t now_us = p->now_us(p->ctx);

        /* What was told was not so. */
        if (now_us >= until_us)
            return;
        count = gov__look_polls(runtime, polled, &wait_ms);
        if (wait_ms > (until_us - now_us) / 1000)
            wait_ms = (until_us - now_us) / 1000;
    }
}

static void *look_loop(void *arg)
{
    struct gov_runtime *runtime = arg;
    struct gov__judged judged;

    for (;;) {
        wait_for_look(runtime);
        if (atomic_load(&runtime->stop))
            return NULL;
        gov__control_turn(runtime);
        if (begin_look(runtime)) {
            gov__look(runtime, &judged);
            gov__work_add(runtime, &judged);
            end_look(runtime);
            wake_worker(runtime, &judged);
        }
        look_after_worker(runtime);
    }
}

void gov__runtime_wake(struct gov_runtime *runtime)
{
    /* A full pipe means that the thread is about to wake anyway. */
    if (runtime->wake[1] >= 0 && !gov__runtime_forked(runtime) &&
        write(runtime->wake[1], "", 1) < 0)
        return;
}

/* ---- begin and end -------------------------------------------------------------------- */

int gov__loop_start(struct gov_runtime *runtime)
{
    int rc;

    if (!open_pipe(runtime))
        return errno;
    pthread_mutex_lock(&runtime->lock);
    rc = start_worker_locked(runtime);
    pthread_mutex_unlock(&runtime->lock);
    if (rc != 0)
        return rc;
    runtime->threaded = true;
    rc = gov__thread_start(&runtime->looker, look_loop, runtime);
    if (rc == 0)
        runtime->has_looker = true;
    else
        gov__loop_stop(runtime);
    return rc;
}

void gov__loop_stop(struct gov_runtime *runtime)
{
    atomic_store(&runtime->stop, true);
    if (runtime->has_looker) {
        gov__runtime_wake(runtime);
        pthread_join(runtime->looker, NULL);
    }
    runtime->has_looker = false;
    pthread_mutex_lock(&runtime->lock);
    pthread_cond_broadcast(&runtime->work);
    pthread_mutex_unlock(&runtime->lock);
    for (size_t i = 0; i < GOV__WORKERS; i++) {
        bool started;

        pthread_mutex_lock(&runtime->lock);
        started = runtime->workers[i].state != GOV__WORKER_NONE;
        pthread_mutex_unlock(&runtime->lock);
        if (started)
            pthread_join(runtime->workers[i].thread, NULL);
        runtime->workers[i].state = GOV__WORKER_NONE;
    }
}
