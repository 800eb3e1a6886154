/* SPDX-License-Identifier: MIT */
#include "governor/memory/streamer.h"

#include <errno.h>
#include <time.h>

/* Parts being read at a time: one that is waited for, the others behind it.
 * Measured, 1 GB model, 2.7 GB/s: with 1, 2, 3 and 4 a token takes 178, 140, 135
 * and 127 ms; but each is memory that cannot be hot. */
#define READS_IN_FLIGHT 3

/* A rate may ask for years; a minute is long enough to look again. */
#define SLEEP_US_MAX 60000000

/* What ends the streamer's sleep. The engine's thread pays for a wake-up only
 * when there are cold units to read. */
enum sleep {
    AWAKE,
    SLEEPS_FOR_ORDERS,
    SLEEPS_FOR_POSITION,
};

/* What the thread last acted on. */
struct view {
    uint32_t position;
    uint32_t orders;
    uint64_t passes;
};

static char *address(const struct gov__streamer *s, uint64_t file_offset)
{
    return s->base + (size_t)(file_offset - s->file_offset);
}

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static void show(struct gov__streamer *s, uint32_t index)
{
    const struct gov__unit *unit = &s->res.units[index];
    bool hot = false, warming = false, cold = false, absent = false;
    unsigned char c;

    for (uint32_t i = unit->first; i < unit->first + unit->parts; i++) {
        const struct gov__part *part = &s->res.parts[i];

        hot = hot || part->hot;
        cold = cold || !part->hot;
        warming = warming || (part->hot && part->held != GOV__PRESENT);
        absent = absent || (!part->hot && part->held != GOV__PRESENT);
    }
    if (cold && unit->use == GOV__USE_ROWS)
        c = GOV__SHOWN_ROWS;
    else if (warming)
        c = GOV__SHOWN_WARMING;
    else if (absent)
        c = hot ? GOV__SHOWN_PARTLY : GOV__SHOWN_ABSENT;
    else
        c = cold ? GOV__SHOWN_STREAMED : GOV__SHOWN_HOT;
    atomic_store_explicit(&s->shown[index], c, memory_order_relaxed);
}

static void show_all(struct gov__streamer *s)
{
    for (uint32_t i = 0; i < s->res.unit_count; i++)
        show(s, i);
}

static void hold(struct gov__streamer *s, uint32_t index, enum gov__held held)
{
    struct gov__part *part = &s->res.parts[index];

    if (part->held == GOV__COMING)
        s->coming--;
    if (held == GOV__COMING)
        s->coming++;
    part->held = held;
    show(s, part->unit);
}

static bool is_rows(const struct gov__streamer *s, const struct gov__part *part)
{
    return s->res.units[part->unit].use == GOV__USE_ROWS;
}

/* ---- advice ---------------------------------------------------------------- */

static void advise(struct gov__streamer *s, uint32_t index,
                   enum gov__advice advice)
{
    uint64_t begin, end;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (end > begin && s->platform->advise(s->platform->ctx, address(s, begin),
                                           (size_t)(end - begin), advice) != 0)
        add(&s->failures, 1);
}

/* Rows are touched here and there: with readahead each touch would read
 * megabytes around it that nothing drops again. Rows that were dropped, and no
 * others, have this advice. */
static void advise_rows(struct gov__streamer *s, enum gov__advice advice)
{
    for (uint32_t i = 0; i < s->res.part_count; i++)
        if (is_rows(s, &s->res.parts[i]) && s->res.parts[i].held == GOV__ABSENT)
            advise(s, i, advice);
}

/* In one call, so that the mapping stays one to the kernel; none where nothing
 * changes. Reads of ours do not depend on it: see start_read(). */
static void advise_all(struct gov__streamer *s, enum gov__advice advice)
{
    if (s->advice == advice)
        return;
    s->advice = advice;
    if (s->platform->advise(s->platform->ctx, s->base, s->bytes, advice) != 0)
        add(&s->failures, 1);
    advise_rows(s, GOV__ADVICE_RANDOM);
}

/* Rows that became hot are read as everything else. */
static void take_rows_in(struct gov__streamer *s)
{
    for (uint32_t i = 0; i < s->res.part_count; i++) {
        struct gov__part *part = &s->res.parts[i];

        if (!is_rows(s, part) || !part->hot || part->held != GOV__ABSENT)
            continue;
        advise(s, i, s->advice);
        part->held = GOV__UNKNOWN;
    }
}

/* Loading is over when what is hot is there, or was left to the engine's first
 * pass; it is over once. */
static void advise_when_warm(struct gov__streamer *s)
{
    if (s->advice != s->advise_pass &&
        (s->res.warm == GOV_WARM_NONE ? atomic_load(&s->passes) > 0
                                      : gov__residency_is_warm(&s->res)))
        advise_all(s, s->advise_pass);
}

/* ---- dropping ------------------------------------------------------------- */

/* The engine may be reading these very bytes: it then reads them from the file
 * again, which is slow and never wrong. A failure (somebody locked the range)
 * is counted and the pages left; the part's next turn tries again. */
static void drop(struct gov__streamer *s, uint32_t index)
{
    const struct gov_platform *platform = s->platform;
    struct gov__part *part = &s->res.parts[index];
    uint64_t begin, end;

    if (is_rows(s, part))
        advise(s, index, GOV__ADVICE_RANDOM);
    gov__residency_drop_pages(&s->res, index, &begin, &end);
    if (end > begin) {
        /* In this order: the cache keeps what is still mapped. */
        if (platform->discard(platform->ctx, address(s, begin),
                              (size_t)(end - begin)) != 0 ||
            platform->drop_cached(platform->ctx, s->fd, begin, end - begin) !=
                0)
            add(&s->failures, 1);
        else
            add(&s->dropped_bytes, end - begin);
    }
    hold(s, index, GOV__ABSENT);
}

static void drop_behind(struct gov__streamer *s)
{
    uint32_t index = 0;

    while ((index = gov__residency_next_drop(&s->res, index)) != GOV__NO_PART)
        drop(s, index);
}

/* ---- reading -------------------------------------------------------------- */

/* Reads ahead, whatever the mapping's advice: what fill() reads by faults alone
 * comes page by page under MADV_RANDOM (measured, 512 MB: 300 MB/s; after a
 * prefetch 2500-3900, as without advice). Failing is harmless: fill() reads. */
static void start_read(struct gov__streamer *s, uint32_t index)
{
    const struct gov_platform *platform = s->platform;
    uint64_t begin, end;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (gov__residency_can_wait(&s->res, index))
        gov__pace_charge(&s->pace, platform->now_us(platform->ctx),
                         end - begin);
    if (end > begin)
        (void)platform->prefetch(platform->ctx, address(s, begin),
                                 (size_t)(end - begin));
    hold(s, index, GOV__COMING);
}

/* What may be read now; *wait_us is 0, or when more may be. */
static enum gov__reads allowed(const struct gov__streamer *s, uint64_t *wait_us)
{
    const struct gov_platform *platform = s->platform;

    *wait_us =
        s->pace.rate == 0
            ? 0
            : gov__pace_wait_us(&s->pace, platform->now_us(platform->ctx));
    return *wait_us == 0 ? GOV__READS_ALL : GOV__READS_WANTED;
}

static uint32_t next_missing(const struct gov__streamer *s, uint32_t from,
                             enum gov__held held)
{
    uint64_t wait_us;

    return gov__residency_next_missing(&s->res, from, held,
                                       allowed(s, &wait_us));
}

/* Keeps reads in flight while earlier ones are waited for and what is behind is
 * dropped, so that the disk never rests. */
static void start_reads(struct gov__streamer *s, uint32_t from)
{
    uint32_t next;

    while (s->coming < READS_IN_FLIGHT &&
           (next = next_missing(s, from, GOV__COMING)) != GOV__NO_PART)
        start_read(s, next);
}

/* Pages that cannot be read (EIO, or EFAULT when the file was cut short) are
 * counted and left to demand paging; the part passes for present, so that the
 * streamer does not spin on it, until it is dropped the next time. */
static void fill(struct gov__streamer *s, uint32_t index)
{
    const struct gov_platform *platform = s->platform;
    struct gov__part *part = &s->res.parts[index];
    uint64_t begin, end;

    if (part->held != GOV__COMING)
        start_read(s, index);
    gov__residency_pages(&s->res, index, &begin, &end);
    if (end > begin && platform->populate(platform->ctx, address(s, begin),
                                          (size_t)(end - begin)) != 0)
        add(&s->failures, 1);
    else if (!part->hot)
        add(&s->streamed_bytes, end - begin);
    hold(s, index, GOV__PRESENT);
}

static bool has_news(const struct gov__streamer *s, const struct view *seen)
{
    return atomic_load(&s->stop) ||
           atomic_load(&s->position) != seen->position ||
           atomic_load(&s->passes) != seen->passes ||
           atomic_load(&s->orders) != seen->orders;
}

/* ---- the thread ----------------------------------------------------------- */

/* Puts the decision in force; under the lock, or before there is a thread. */
static void take_orders_locked(struct gov__streamer *s, struct view *seen)
{
    seen->orders = atomic_load(&s->orders);
    gov__residency_apply(&s->res);
    show_all(s);
}

/* Until there is news or the time is over, by the clock on the wall: when
 * somebody sets it, the streamer looks again too early or late. */
static void sleep_locked(struct gov__streamer *s, const struct view *seen,
                         uint64_t wait_us)
{
    struct timespec until;
    int rc = 0;

    if (wait_us > SLEEP_US_MAX)
        wait_us = SLEEP_US_MAX;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(wait_us / 1000000);
    until.tv_nsec += (long)(wait_us % 1000000) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (!has_news(s, seen) && rc == 0)
        rc = wait_us == 0 ? pthread_cond_wait(&s->wake, &s->lock)
                          : pthread_cond_timedwait(&s->wake, &s->lock, &until);
}

/* Where the engine is matters for what is cold, for what may be read now and not
 * later, and for what it brings in itself. */
static bool follows_engine_locked(const struct gov__streamer *s)
{
    return s->cold_bytes > 0 || !gov__residency_is_warm(&s->res) ||
           s->advice != s->advise_pass;
}

/* Sleeps until there is news, or so long where that is not 0; false when the
 * streamer shall end. `sleeping` is stored before `position` is read and
 * gov__streamer_reached() does it the other way round, both sequentially
 * consistent: one of the two sees the other. */
static bool wait_for_news(struct gov__streamer *s, struct view *seen,
                          uint64_t wait_us)
{
    bool go_on;

    pthread_mutex_lock(&s->lock);
    atomic_store(&s->sleeping, follows_engine_locked(s) ? SLEEPS_FOR_POSITION
                                                        : SLEEPS_FOR_ORDERS);
    sleep_locked(s, seen, wait_us);
    atomic_store(&s->sleeping, AWAKE);
    if (atomic_load(&s->orders) != seen->orders)
        take_orders_locked(s, seen);
    go_on = !atomic_load(&s->stop);
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

/* Where the engine is, and whether it came around and past where it was: at the
 * same unit it may be a pass later. */
static void look(struct gov__streamer *s, struct view *seen)
{
    uint32_t position = atomic_load(&s->position);
    uint64_t passes = atomic_load(&s->passes);

    if (passes - seen->passes > 1 ||
        (passes != seen->passes && position >= seen->position))
        gov__residency_lap(&s->res);
    seen->position = position;
    seen->passes = passes;
    gov__residency_aim(&s->res, position);
}

/* One turn: goes where the engine is, drops, and reads until there is news or
 * nothing more may be read. Returns how long to sleep for that; 0: for news. */
static uint64_t follow(struct gov__streamer *s, struct view *seen)
{
    uint32_t from, next;
    uint64_t wait_us;

    take_rows_in(s);
    look(s, seen);
    if (s->res.warm == GOV_WARM_NONE) /* the engine may have brought more in */
        show_all(s);
    from = s->res.units[seen->position].first;
    start_reads(s, from);
    drop_behind(s);
    while (!has_news(s, seen) &&
           (next = next_missing(s, from, GOV__PRESENT)) != GOV__NO_PART) {
        start_reads(s, next);
        fill(s, next);
    }
    advise_when_warm(s);
    if (gov__residency_next_missing(&s->res, from, GOV__PRESENT,
                                    GOV__READS_ALL) == GOV__NO_PART)
        return 0;
    (void)allowed(s, &wait_us);
    return wait_us > 0 ? wait_us : 1; /* the time has come meanwhile */
}

static void *run(void *arg)
{
    struct gov__streamer *s = arg;
    struct view seen = {UINT32_MAX, 0, 0};
    uint64_t wait_us = 0;

    while (wait_for_news(s, &seen, wait_us))
        wait_us = follow(s, &seen);
    return NULL;
}

/* The mapping as the engine made it, all pages left as they are. */
static void give_back(struct gov__streamer *s)
{
    advise_all(s, GOV__ADVICE_NORMAL);
    advise_rows(s, GOV__ADVICE_NORMAL);
}

/* ---- from outside --------------------------------------------------------- */

static void decide_locked(struct gov__streamer *s, uint64_t hot_bytes)
{
    s->hot_bytes = gov__residency_decide(&s->res, hot_bytes);
    s->cold_bytes = gov__residency_cold_bytes(&s->res);
    s->window_bytes = gov__residency_window_bytes(&s->res);
    /* New reads start before what is behind has gone. */
    if (s->cold_bytes > 0)
        s->window_bytes += READS_IN_FLIGHT * GOV__PART_BYTES;
}

int gov__streamer_start(struct gov__streamer *s, uint64_t hot_bytes)
{
    struct view seen;
    int rc;

    rc = pthread_mutex_init(&s->lock, NULL);
    if (rc != 0)
        return rc;
    rc = pthread_cond_init(&s->wake, NULL);
    if (rc != 0)
        goto fail_lock;
    gov__residency_init(&s->res);
    advise_all(s, s->advise_load);
    decide_locked(s, hot_bytes);
    take_orders_locked(s, &seen);
    gov__residency_aim(&s->res, 0);
    drop_behind(s);
    rc = gov__thread_start(&s->thread, run, s);
    if (rc != 0)
        goto fail_wake;
    return 0;
fail_wake:
    give_back(s);
    pthread_cond_destroy(&s->wake);
fail_lock:
    pthread_mutex_destroy(&s->lock);
    return rc;
}

void gov__streamer_stop(struct gov__streamer *s)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->stop, true);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    give_back(s);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
}

static bool is_late(const struct gov__streamer *s, uint32_t unit)
{
    unsigned char c =
        atomic_load_explicit(&s->shown[unit], memory_order_relaxed);

    return c == GOV__SHOWN_ABSENT || c == GOV__SHOWN_PARTLY;
}

void gov__streamer_reached(struct gov__streamer *s, uint32_t unit)
{
    uint32_t before = atomic_exchange(&s->position, unit);

    if (unit < before)
        atomic_fetch_add(&s->passes, 1);
    if (unit != before && is_late(s, unit))
        add(&s->late_units, 1);
    /* Signalled under the lock, which the streamer holds from going to sleep
     * until it sleeps: so the signal finds it. */
    if (atomic_load(&s->sleeping) == SLEEPS_FOR_POSITION) {
        pthread_mutex_lock(&s->lock);
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
    }
}

uint64_t gov__streamer_set_hot(struct gov__streamer *s, uint64_t hot_bytes)
{
    uint64_t stays;

    pthread_mutex_lock(&s->lock);
    decide_locked(s, hot_bytes);
    stays = s->hot_bytes;
    atomic_fetch_add(&s->orders, 1);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    return stays;
}
