/* SPDX-License-Identifier: MIT */
#include "governor/memory/stream_reads.h"

#include <errno.h>

#include "governor/memory/parts.h"
#include "governor/memory/shown.h"
#include "governor/memory/stream_sleep.h"

/* Threads that read what is placed beside the streamer: when one waits for a
 * processor the other's read goes on. */
#define MATES 2

/* What may be read now; *wait_us is 0, or when more may be. */
static enum gov__reads allowed(const struct gov__streamer *s, uint64_t *wait_us)
{
    *wait_us = 0;
    if (atomic_load(&s->paused))
        return GOV__READS_WANTED;
    if (s->pace.rate != 0)
        *wait_us = gov__pace_wait_us(&s->pace, gov__streamer_now_us(s));
    return *wait_us == 0 && !s->has_crew ? GOV__READS_ALL : GOV__READS_WANTED;
}

static uint32_t next_missing(const struct gov__streamer *s, uint32_t from,
                             enum gov__held held)
{
    uint64_t wait_us;

    return gov__residency_next_missing(&s->res, from, held,
                                       allowed(s, &wait_us));
}

/* A read of that part begins: once for each, whoever reads it. */
static void charge(struct gov__streamer *s, uint32_t index)
{
    uint64_t begin, end;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (gov__residency_can_wait(&s->res, index))
        gov__pace_charge(&s->pace, gov__streamer_now_us(s), end - begin);
}

/* Time in which something is read that the engine waits for, or that it will use
 * soon, whoever reads it. */
static void begin_reading(struct gov__streamer *s)
{
    if (s->reading_us == 0)
        s->reading_us = gov__streamer_now_us(s);
}

/* Whether reads go on that this thread does not wait for and will be told of. */
static bool others_read(const struct gov__streamer *s)
{
    return s->flights.count > 0 || (s->has_mate && s->mate.out > 0);
}

static void end_reading(struct gov__streamer *s)
{
    if (s->reading_us == 0 || others_read(s))
        return;
    s->read_us += gov__streamer_now_us(s) - s->reading_us;
    s->reading_us = 0;
}

/* By the kernel's own readahead, or a huge page at a time: asking for pages ahead
 * would bring in small ones. */
static bool comes_at_once(const struct gov__streamer *s, uint32_t index)
{
    return atomic_load(&s->readahead) ||
           gov__part_comes_huge(s, index, s->res.parts[index].hot);
}

/* ---- on this thread --------------------------------------------------------- */

/* Starts a read through the page cache, where that is not read as one is waited for. */
static void start_read(struct gov__streamer *s, uint32_t index)
{
    uint64_t begin, end;

    charge(s, index);
    if (comes_at_once(s, index))
        return;
    gov__residency_pages(&s->res, index, &begin, &end);
    gov__part_prefetch(s, index, begin, end);
    gov__shown_hold(s, index, GOV__COMING);
}

/* Keeps reads in flight while earlier ones are waited for and what is behind is
 * dropped, so that the disk never rests. */
static void start_reads(struct gov__streamer *s, uint32_t from)
{
    uint32_t next;

    while (!atomic_load(&s->readahead) && s->coming < GOV__READS_IN_FLIGHT &&
           (next = next_missing(s, from, GOV__COMING)) != GOV__NO_PART &&
           !comes_at_once(s, next) &&
           !gov__part_comes_placed(s, s->res.parts[next].hot))
        start_read(s, next);
}

static void fill(struct gov__streamer *s, uint32_t index)
{
    struct gov__part *part = &s->res.parts[index];
    struct gov__how how = {gov__part_comes_placed(s, part->hot), part->hot,
                           false, 0};

    begin_reading(s);
    if (how.place)
        charge(s, index);
    else if (part->held != GOV__COMING)
        start_read(s, index);
    how.started = !how.place;
    gov__part_enter_slot(s, index);
    how.slot = part->slot;
    gov__part_finish(s, index, gov__part_read(s, index, how));
    end_reading(s);
}

/* ---- the crews -------------------------------------------------------------- */

/* A job is a part, whether it is hot, and whether it is to be placed. */
static uint32_t job_of(const struct gov__streamer *s, uint32_t index, bool hot)
{
    return index * 4 + (hot ? 2 : 0) + (gov__part_comes_placed(s, hot) ? 1 : 0);
}

static int work(void *ctx, uint32_t job)
{
    struct gov__streamer *s = ctx;
    struct gov__how how = {(job & 1) != 0, (job & 2) != 0, false,
                           s->res.parts[job / 4].slot};

    return (int)gov__part_read(s, job / 4, how);
}

static void job_done(void *ctx)
{
    struct gov__streamer *s = ctx;

    pthread_mutex_lock(&s->lock);
    atomic_fetch_add(&s->done, 1);
    gov__sleep_end_locked(s);
    pthread_mutex_unlock(&s->lock);
}

static void take_back_from(struct gov__streamer *s, struct gov__crew *crew)
{
    uint32_t job;
    int outcome;

    while (gov__crew_take(crew, &job, &outcome)) {
        gov__part_finish(s, job / 4, (enum gov__outcome)outcome);
        s->res.parts[job / 4].out = false;
    }
    end_reading(s);
}

/* What a reader holds and has not begun, and the engine needs now. */
static void recall_wanted(struct gov__streamer *s)
{
    for (uint32_t i = 0; s->has_crew && i < s->res.part_count; i++) {
        struct gov__part *part = &s->res.parts[i];

        if (part->out && s->res.units[part->unit].wanted &&
            gov__crew_recall(&s->crew, job_of(s, i, true))) {
            gov__shown_hold(s, i, GOV__ABSENT);
            part->out = false;
        }
    }
}

/* Gives the crew what is hot, missing, and not needed in the next layers. */
static void give_jobs(struct gov__streamer *s, uint32_t from)
{
    uint64_t wait_us = 0;
    uint32_t next;

    while (s->has_crew && !atomic_load(&s->paused)) {
        if (s->pace.rate != 0)
            wait_us = gov__pace_wait_us(&s->pace, gov__streamer_now_us(s));
        if (wait_us > 0)
            break;
        next = gov__residency_next_missing(&s->res, from, GOV__COMING,
                                           GOV__READS_IDLE);
        if (next == GOV__NO_PART ||
            !gov__crew_give(&s->crew, job_of(s, next, true)))
            break;
        charge(s, next);
        s->res.parts[next].out = true;
        gov__shown_hold(s, next, GOV__COMING);
    }
}

static bool give_mate(struct gov__streamer *s, uint32_t index)
{
    struct gov__part *part = &s->res.parts[index];

    if (!gov__crew_give(&s->mate, job_of(s, index, part->hot))) {
        gov__part_leave_slot(s, part);
        return false;
    }
    begin_reading(s);
    charge(s, index);
    part->out = true;
    gov__shown_hold(s, index, GOV__COMING);
    return true;
}

/* A fresh huge page is zeroed before it is read into, at about twice the rate of
 * the disk: while one of the two waits for the disk the other can do that. */
static void share(struct gov__streamer *s, uint32_t from)
{
    uint32_t next, soonest;

    if (!s->has_mate || s->mate.out > 0)
        return;
    soonest = next_missing(s, from, GOV__COMING);
    if (soonest == GOV__NO_PART)
        return;
    s->res.parts[soonest].out = true; /* that one is the streamer's own */
    next = next_missing(s, from, GOV__COMING);
    s->res.parts[soonest].out = false;
    if (next == GOV__NO_PART ||
        !gov__part_comes_placed(s, s->res.parts[next].hot))
        return;
    gov__part_enter_slot(s, next);
    (void)give_mate(s, next);
}

/* ---- flights ---------------------------------------------------------------- */

/* A read that failed is tried again in the way that tells why, and has others to
 * fall back on, unless nobody wants it any more. */
static void take_flights(struct gov__streamer *s)
{
    uint32_t index;
    int rc;

    while (gov__flights_take(&s->flights, &index, &rc)) {
        struct gov__part *part = &s->res.parts[index];
        enum gov__outcome outcome =
            part->slot != 0 ? GOV__READ_FILLED : GOV__READ_PLACED;

        if (rc != 0 && atomic_load(&s->stop)) {
            gov__part_leave_slot(s, part);
            gov__shown_hold(s, index, GOV__ABSENT);
        } else {
            /* What is in the page cache of it was looked up before. */
            if (rc != 0)
                outcome = gov__part_read(
                    s, index,
                    (struct gov__how){true, false, false, part->slot});
            gov__part_finish(s, index, outcome);
        }
        part->out = false;
    }
    end_reading(s);
}

/* 0; EAGAIN: as many are under way as may be; else an errno value: the part is to be
 * read in another way, as what is hot and in the page cache already, which is copied
 * from there. */
static int start_flight(struct gov__streamer *s, uint32_t index)
{
    struct gov__part *part = &s->res.parts[index];
    uint64_t begin, end, found = 0;
    int rc = 0;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (s->flights.count >=
        (part->slot != 0 ? GOV__FLIGHTS_SLOTS : GOV__FLIGHTS))
        rc = EAGAIN;
    else if (part->hot && !atomic_load(&s->is_warm))
        found = gov__part_resident(s, index, begin, end);
    if (rc == 0 && (end == begin || found > (end - begin) / 2))
        rc = EEXIST;
    if (rc == 0)
        rc = gov__flights_start(&s->flights, index, part->slot, part->file,
                                begin, end);
    if (rc != 0) {
        gov__part_leave_slot(s, part);
        return rc;
    }
    begin_reading(s);
    charge(s, index);
    gov__count(&s->found_bytes, found);
    part->out = true;
    gov__shown_hold(s, index, GOV__COMING);
    return 0;
}

/* What is placed is read while the streamer puts other parts in place, drops what
 * is behind, and waits for a processor: the disk need not (measured, 1 GB model in
 * 70 %: 4.5 GB/s when it did, of the disk's 5.4). Where no reads go on by themselves
 * the mate reads what comes into slots. False: the next part is the streamer's
 * own. */
static bool leave_to_others(struct gov__streamer *s, uint32_t from)
{
    uint32_t next;
    int rc = 0;

    take_flights(s); /* the engine may wait for what has come */
    while ((s->flights.open || s->has_mate) && rc == 0 &&
           (next = next_missing(s, from, GOV__COMING)) != GOV__NO_PART) {
        if (!gov__part_comes_placed(s, s->res.parts[next].hot))
            return false;
        gov__part_enter_slot(s, next);
        if (s->flights.open)
            rc = start_flight(s, next);
        else if (s->res.parts[next].slot == 0)
            return false;
        else
            rc = give_mate(s, next) ? 0 : EAGAIN;
    }
    return (rc == 0 || rc == EAGAIN) && others_read(s);
}

/* ---- a turn ----------------------------------------------------------------- */

void gov__stream_reads_take(struct gov__streamer *s)
{
    take_flights(s);
    if (s->has_crew)
        take_back_from(s, &s->crew);
    if (s->has_mate)
        take_back_from(s, &s->mate);
}

void gov__stream_reads_begin(struct gov__streamer *s, uint32_t from)
{
    recall_wanted(s);
    give_jobs(s, from);
    start_reads(s, from);
}

bool gov__stream_reads_one(struct gov__streamer *s, uint32_t from)
{
    uint32_t next;

    if (leave_to_others(s, from))
        return false;
    next = next_missing(s, from, GOV__PRESENT);
    if (next == GOV__NO_PART)
        return false;
    start_reads(s, next);
    share(s, from);
    fill(s, next);
    return true;
}

uint64_t gov__stream_reads_wait_us(const struct gov__streamer *s, uint32_t from)
{
    uint64_t wait_us;

    (void)allowed(s, &wait_us);
    if (gov__residency_next_missing(&s->res, from, GOV__PRESENT,
                                    GOV__READS_ALL) == GOV__NO_PART)
        return 0;
    /* Who lifts the pause wakes us, and so does a crew that has something to do:
     * with a rate it may have been given nothing yet. */
    if (atomic_load(&s->paused) || others_read(s) ||
        (s->has_crew && (s->pace.rate == 0 || s->crew.out > 0)))
        return wait_us;
    return wait_us > 0 ? wait_us : 1; /* the time has come meanwhile */
}

uint64_t gov__stream_reads_spent_us(struct gov__streamer *s, uint64_t now_us)
{
    uint64_t spent_us;

    if (s->reading_us != 0) {
        s->read_us += now_us - s->reading_us;
        s->reading_us = now_us;
    }
    spent_us = s->read_us;
    s->read_us = 0;
    return spent_us;
}

/* ---- who reads ---------------------------------------------------------------- */

void gov__stream_reads_open(struct gov__streamer *s)
{
    if (s->direct || s->anchor)
        (void)gov__flights_open(&s->flights, s->range, &s->slots);
    s->crew.platform = s->range->platform;
    s->crew.work = work;
    s->crew.done = job_done;
    s->crew.ctx = s;
    if (s->direct || s->anchor) {
        s->mate = s->crew;
        s->mate.urgent = true;
        s->has_mate = gov__crew_start(&s->mate, MATES) == 0;
    }
    /* What is anchored one thread reads as fast as the disk gives. */
    if (s->readers > 0 && !(s->flights.open && s->anchor))
        s->has_crew = gov__crew_start(&s->crew, s->readers) == 0;
}

/* The kernel writes to memory until then. It ends every read; one of a file
 * system whose server does not answer takes as long as pread() does there. */
void gov__stream_reads_end(struct gov__streamer *s)
{
    while (s->flights.count > 0) {
        gov__flights_sleep(&s->flights, 0);
        take_flights(s);
    }
}

void gov__stream_reads_close(struct gov__streamer *s)
{
    if (s->has_crew)
        gov__crew_stop(&s->crew);
    if (s->has_mate)
        gov__crew_stop(&s->mate);
    gov__flights_close(&s->flights);
}
