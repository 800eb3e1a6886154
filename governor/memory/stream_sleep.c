/* SPDX-License-Identifier: MIT */
#include "governor/memory/stream_sleep.h"

/* A rate may ask for years; a minute is long enough to look again. */
#define SLEEP_US_MAX 60000000

/* What ends the streamer's sleep. The engine's thread pays for a wake-up only
 * when there are cold units to read. */
enum sleep {
    AWAKE,
    SLEEPS_FOR_ORDERS,
    SLEEPS_FOR_POSITION,
};

void gov__sleep_end_locked(struct gov__streamer *s)
{
    if (s->flights.open)
        gov__flights_wake(&s->flights);
    else
        pthread_cond_signal(&s->wake);
}

void gov__sleep_until(struct timespec *out, uint64_t wait_us)
{
    clock_gettime(CLOCK_REALTIME, out);
    out->tv_sec += (time_t)(wait_us / 1000000);
    out->tv_nsec += (long)(wait_us % 1000000) * 1000;
    if (out->tv_nsec >= 1000000000) {
        out->tv_nsec -= 1000000000;
        out->tv_sec++;
    }
}

bool gov__sleep_has_news(const struct gov__streamer *s,
                         const struct gov__seen *seen)
{
    return atomic_load(&s->stop) ||
           atomic_load(&s->position) != seen->position ||
           atomic_load(&s->passes) != seen->passes ||
           atomic_load(&s->done) != seen->done ||
           atomic_load(&s->orders) != seen->orders;
}

/* A read may end, too; the turn that follows finds out. */
static void sleep_in_flight_locked(struct gov__streamer *s,
                                   const struct gov__seen *seen,
                                   uint64_t wait_us)
{
    if (gov__sleep_has_news(s, seen))
        return;
    pthread_mutex_unlock(&s->lock);
    gov__flights_sleep(&s->flights, wait_us);
    pthread_mutex_lock(&s->lock);
}

/* Where the engine is matters for what is cold, for what may be read now and not
 * later, and for what it brings in itself. */
static bool follows_engine_locked(const struct gov__streamer *s)
{
    return s->cold_bytes > 0 || !gov__residency_is_warm(&s->res) ||
           s->advice != s->advise_pass;
}

static void sleep_so_long_locked(struct gov__streamer *s,
                                 const struct gov__seen *seen, uint64_t wait_us)
{
    struct timespec time;
    int rc = 0;

    if (wait_us > SLEEP_US_MAX)
        wait_us = SLEEP_US_MAX;
    if (s->tick != NULL && (wait_us == 0 || wait_us > GOV__TICK_US))
        wait_us = GOV__TICK_US;
    if (s->flights.open) {
        sleep_in_flight_locked(s, seen, wait_us);
        return;
    }
    gov__sleep_until(&time, wait_us);
    while (!gov__sleep_has_news(s, seen) && rc == 0)
        rc = wait_us == 0 ? pthread_cond_wait(&s->wake, &s->lock)
                          : pthread_cond_timedwait(&s->wake, &s->lock, &time);
}

/* `sleeping` is stored before `position` is read and gov__streamer_reached() does it
 * the other way round, both sequentially consistent: one of the two sees the
 * other. */
void gov__sleep_locked(struct gov__streamer *s, const struct gov__seen *seen,
                       uint64_t wait_us)
{
    atomic_store(&s->sleeping, follows_engine_locked(s) ? SLEEPS_FOR_POSITION
                                                        : SLEEPS_FOR_ORDERS);
    sleep_so_long_locked(s, seen, wait_us);
    atomic_store(&s->sleeping, AWAKE);
}

bool gov__sleep_is_for_position(const struct gov__streamer *s)
{
    return atomic_load(&s->sleeping) == SLEEPS_FOR_POSITION;
}
