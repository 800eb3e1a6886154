/* SPDX-License-Identifier: MIT */
#include "governor/memory/streamer.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "governor/memory/anchor.h"

/* Parts being read at a time through the page cache: one that is waited for, the
 * others behind it. Measured, 1 GB model, 2.7 GB/s: with 1, 2, 3 and 4 a token
 * takes 178, 140, 135 and 127 ms; but each is memory that cannot be hot. */
#define READS_IN_FLIGHT 3
/* Threads that read what is placed beside the streamer: when one waits for a
 * processor the other's read goes on. */
#define MATES 2

/* A rate may ask for years; a minute is long enough to look again. */
#define SLEEP_US_MAX 60000000
#define TICK_US 1000000
#define PROGRESS_US 100000

/* What ends the streamer's sleep. The engine's thread pays for a wake-up only
 * when there are cold units to read. */
enum sleep {
    AWAKE,
    SLEEPS_FOR_ORDERS,
    SLEEPS_FOR_POSITION,
};

/* How a read of a part ended, as the crew hands it back. */
enum outcome {
    READ_KEPT,   /* file pages */
    READ_PLACED, /* anonymous ones */
    READ_FILLED, /* the slot that was taken for it, shown nowhere yet */
    READ_FAILED, /* left to demand paging */
};

/* What the thread last acted on. */
struct view {
    uint32_t position;
    uint32_t orders;
    uint32_t done;
    uint64_t passes;
};

static uint64_t now_us(const struct gov__streamer *s)
{
    return s->range->platform->now_us(s->range->platform->ctx);
}

static void *address(const struct gov__streamer *s, uint32_t index,
                     uint64_t offset)
{
    return gov__range_address(s->range, s->res.parts[index].file, offset);
}

/* Ends the streamer's sleep, once there is something to be found. */
static void wake_locked(struct gov__streamer *s)
{
    if (s->flights.open)
        gov__flights_wake(&s->flights);
    else
        pthread_cond_signal(&s->wake);
}

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

/* ---- what others see ------------------------------------------------------- */

static unsigned char shown_of(const struct gov__streamer *s,
                              const struct gov__unit *unit)
{
    bool hot = false, warming = false, cold = false, absent = false;

    for (uint32_t i = unit->first; i < unit->first + unit->parts; i++) {
        const struct gov__part *part = &s->res.parts[i];
        bool there = part->held == GOV__PRESENT;

        hot = hot || part->hot;
        cold = cold || !part->hot;
        warming = warming || (part->hot && !there);
        absent = absent || (!part->hot && !there);
    }
    if (unit->use == GOV__USE_OTHERS || (cold && unit->use == GOV__USE_ROWS))
        return GOV__SHOWN_ROWS;
    if (warming)
        return GOV__SHOWN_WARMING;
    if (absent)
        return hot ? GOV__SHOWN_PARTLY : GOV__SHOWN_ABSENT;
    return cold ? GOV__SHOWN_STREAMED : GOV__SHOWN_HOT;
}

/* `shown` is stored before `waiters` is read, and who waits does it the other way
 * round, both sequentially consistent: one of the two sees the other. */
static void show(struct gov__streamer *s, uint32_t index)
{
    const struct gov__unit *unit = &s->res.units[index];
    unsigned char c = shown_of(s, unit);

    if (unit->missing > 0)
        c |= GOV__SHOWN_MISSING;
    atomic_store(&s->shown[index], c);
    if (unit->missing == 0 && atomic_load(&s->waiters) > 0) {
        pthread_mutex_lock(&s->lock);
        pthread_cond_broadcast(&s->arrived);
        pthread_mutex_unlock(&s->lock);
    }
}

static uint64_t bytes_of(const struct gov__part *part)
{
    return part->end - part->begin;
}

/* After a decision: who is hot has changed. */
static void show_all(struct gov__streamer *s)
{
    uint64_t there = 0;

    for (uint32_t i = 0; i < s->res.part_count; i++)
        if (s->res.parts[i].hot && s->res.parts[i].held == GOV__PRESENT &&
            s->res.units[s->res.parts[i].unit].use != GOV__USE_OTHERS)
            there += bytes_of(&s->res.parts[i]);
    atomic_store(&s->there_bytes, there);
    for (uint32_t i = 0; i < s->res.unit_count; i++)
        atomic_store(
            &s->shown[i],
            (unsigned char)(shown_of(s, &s->res.units[i]) |
                            (s->res.units[i].missing > 0 ? GOV__SHOWN_MISSING
                                                         : 0)));
}

static void hold(struct gov__streamer *s, uint32_t index, enum gov__held held)
{
    struct gov__part *part = &s->res.parts[index];

    if (part->held == GOV__COMING && !part->out)
        s->coming--;
    if (part->hot && part->held == GOV__PRESENT && held != GOV__PRESENT)
        atomic_fetch_sub(&s->there_bytes, bytes_of(part));
    if (part->hot && part->held != GOV__PRESENT && held == GOV__PRESENT)
        add(&s->there_bytes, bytes_of(part));
    if (held == GOV__COMING && !part->out)
        s->coming++;
    gov__residency_hold(&s->res, index, held);
    show(s, part->unit);
}

static bool is_rows(const struct gov__streamer *s, const struct gov__part *part)
{
    return s->res.units[part->unit].use == GOV__USE_ROWS;
}

/* It is shown nowhere any more. */
static void leave_slot(struct gov__streamer *s, struct gov__part *part)
{
    if (part->slot != 0)
        gov__slots_give(&s->slots, part->slot - 1);
    part->slot = 0;
}

/* What is hot is kept where it is not anchored, and never in a slot. */
static bool is_in_wrong_form(const struct gov__streamer *s,
                             const struct gov__part *part)
{
    return part->hot && (part->slot != 0 || (part->placed && !s->anchor));
}

static void set_placed(struct gov__streamer *s, struct gov__part *part,
                       bool placed)
{
    if (placed && !part->placed)
        add(&s->placed_bytes, bytes_of(part));
    if (!placed && part->placed)
        atomic_fetch_sub(&s->placed_bytes, bytes_of(part));
    part->placed = placed;
}

/* ---- advice ---------------------------------------------------------------- */

static void advise(struct gov__streamer *s, uint32_t index,
                   enum gov__advice advice)
{
    const struct gov_platform *platform = s->range->platform;
    uint64_t begin, end;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (end > begin && platform->advise(platform->ctx, address(s, index, begin),
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

/* Where everything stays, nothing that the kernel reads beyond a part is in vain, and
 * its own readahead comes in large folios, which asking for pages does not (measured,
 * 1 GB, Linux 6.18: 5.5 GB/s and 5 ms of processor, of 3.5 and 120 ms; with a
 * readahead of 128 KiB 4.0 GB/s and 30 ms). Parts that were let go have advice of
 * their own against it. */
static void decide_readahead(struct gov__streamer *s)
{
    bool any_cold = false;

    for (uint32_t i = 0; i < s->res.unit_count; i++)
        any_cold = any_cold || s->res.units[i].any_cold;
    atomic_store(&s->readahead,
                 !any_cold && !s->let_go && s->advice != GOV__ADVICE_RANDOM);
}

/* In one call a file, so that a mapping stays one to the kernel; none where
 * nothing changes. Reads of ours do not depend on it: see start_read(). */
static void advise_all(struct gov__streamer *s, enum gov__advice advice)
{
    const struct gov_platform *platform = s->range->platform;

    if (s->advice == advice)
        return;
    s->advice = advice;
    decide_readahead(s);
    for (uint32_t i = 0; i < s->range->file_count; i++) {
        const struct gov__range_file *file = &s->range->files[i];

        if (file->bytes > 0 && platform->advise(platform->ctx, file->base,
                                                file->bytes, advice) != 0)
            add(&s->failures, 1);
    }
    advise_rows(s, GOV__ADVICE_RANDOM);
    if (s->advised != NULL)
        s->advised(s->tick_ctx);
}

/* Rows that became hot are read as everything else. */
static void take_rows_in(struct gov__streamer *s)
{
    for (uint32_t i = 0; i < s->res.part_count; i++) {
        struct gov__part *part = &s->res.parts[i];

        if (!is_rows(s, part) || !part->hot || part->held != GOV__ABSENT)
            continue;
        advise(s, i, s->advice);
        hold(s, i, GOV__UNKNOWN);
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

/* Where anything was placed, discarding could hit anonymous pages at the edges
 * that this part shares, and lose them for good: there the file is mapped over
 * what goes, whichever it is. A late engine then reads there a page at a time,
 * and not megabytes of what is on its way already. */
static int let_go(struct gov__streamer *s, uint32_t index, uint64_t begin,
                  uint64_t end)
{
    const struct gov_platform *platform = s->range->platform;
    int rc;

    if (!s->anchor && !s->direct)
        return platform->discard(platform->ctx, address(s, index, begin),
                                 (size_t)(end - begin));
    rc = gov__anchor_undo(s->range, s->res.parts[index].file, begin, end);
    s->let_go = true;
    atomic_store(&s->readahead, false);
    if (rc == 0 && (s->direct || is_rows(s, &s->res.parts[index])))
        rc = platform->advise(platform->ctx, address(s, index, begin),
                              (size_t)(end - begin), GOV__ADVICE_RANDOM);
    return rc;
}

/* The engine may be reading these very bytes: it then reads them from the file
 * again, which is slow and never wrong. A failure (somebody locked the range)
 * is counted and the pages left; the part's next turn tries again. */
static void drop(struct gov__streamer *s, uint32_t index)
{
    const struct gov_platform *platform = s->range->platform;
    struct gov__part *part = &s->res.parts[index];
    uint64_t begin, end;

    if (is_rows(s, part))
        advise(s, index, GOV__ADVICE_RANDOM);
    gov__residency_drop_pages(&s->res, index, &begin, &end);
    /* Also a page that a neighbour shares, who then has the file's: what comes
     * into the slot next must be seen nowhere else. */
    if (part->slot != 0)
        gov__residency_pages(&s->res, index, &begin, &end);
    if (end > begin) {
        /* In this order: the cache keeps what is still mapped. */
        if (let_go(s, index, begin, end) != 0) {
            add(&s->failures, 1);
            /* It is there, and shown: were it read again and that failed, too,
             * the slot would pass for free. */
            if (part->slot != 0)
                return;
        } else {
            set_placed(s, part, false);
            leave_slot(s, part);
            if (platform->drop_cached(platform->ctx,
                                      s->range->files[part->file].fd, begin,
                                      end - begin) != 0)
                add(&s->failures, 1);
            else
                add(&s->dropped_bytes, end - begin);
        }
    } else {
        set_placed(s, part, false); /* what there is of it is its neighbours' */
    }
    hold(s, index, GOV__ABSENT);
}

/* What was read while it was cold and is hot by now, to be read again; where it
 * cannot go, it is there. */
static void leave_form(struct gov__streamer *s, uint32_t index)
{
    drop(s, index);
    if (is_in_wrong_form(s, &s->res.parts[index]))
        hold(s, index, GOV__PRESENT);
}

static void drop_behind(struct gov__streamer *s)
{
    uint32_t index = 0;

    while ((index = gov__residency_next_drop(&s->res, index)) != GOV__NO_PART)
        drop(s, index++);
}

/* Slots take as much memory whether something is in them or not. When something
 * becomes cold again it comes in new memory. */
static void free_slots(struct gov__streamer *s)
{
    if (s->slots.count == 0 || s->slots.free_count < s->slots.count)
        return;
    for (uint32_t i = 0; i < s->res.unit_count; i++)
        if (s->res.units[i].any_cold)
            return;
    gov__slots_fini(&s->slots);
    atomic_store(&s->slot_bytes, 0);
}

/* One that is shown would keep the memory of all, and a child of fork() has none
 * there. */
static void end_slots(struct gov__streamer *s)
{
    uint64_t begin, end;

    for (uint32_t i = 0; i < s->res.part_count; i++) {
        if (s->res.parts[i].slot == 0)
            continue;
        gov__residency_pages(&s->res, i, &begin, &end);
        (void)gov__anchor_undo(s->range, s->res.parts[i].file, begin, end);
    }
    gov__slots_fini(&s->slots);
}

/* ---- reading -------------------------------------------------------------- */

/* Bytes of these pages that are in memory; 0 where that cannot be told. */
static uint64_t resident_bytes(const struct gov__streamer *s, uint32_t index,
                               uint64_t begin, uint64_t end)
{
    const struct gov_platform *platform = s->range->platform;
    uint64_t resident = 0;

    if (!s->range->files[s->res.parts[index].file].tells_resident ||
        platform->resident(platform->ctx, address(s, index, begin),
                           (size_t)(end - begin), &resident) != 0)
        return 0;
    return resident;
}

/* Reads ahead, whatever the mapping's advice: what is then read by faults alone
 * comes page by page under MADV_RANDOM (measured, 512 MB: 300 MB/s; after a
 * prefetch 2500-3900, as without advice). Failing is harmless. */
static void prefetch(const struct gov__streamer *s, uint32_t index,
                     uint64_t begin, uint64_t end)
{
    const struct gov_platform *platform = s->range->platform;

    if (end > begin)
        (void)platform->prefetch(platform->ctx, address(s, index, begin),
                                 (size_t)(end - begin));
}

struct how {
    bool place, hot;
    bool started;  /* it was prefetched */
    uint32_t slot; /* as a part's */
};

/* Reads one part, placed or kept; waits until it is there. What is hot and lies in
 * the page cache is copied from there. Looks only at what never changes of a part:
 * also called by the crew. */
static enum outcome read_part(struct gov__streamer *s, uint32_t index,
                              struct how how)
{
    const struct gov_platform *platform = s->range->platform;
    uint64_t begin, end, found = 0;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (end == begin)
        return READ_KEPT;
    if (how.hot && !atomic_load(&s->is_warm)) {
        found = resident_bytes(s, index, begin, end);
        add(&s->found_bytes, found);
    }
    if (how.slot != 0 &&
        gov__slots_fill(&s->slots, how.slot - 1, s->res.parts[index].file,
                        begin, end) == 0)
        return READ_FILLED;
    if (how.place && gov__anchor(s->range, s->res.parts[index].file, begin, end,
                                 s->direct && found <= (end - begin) / 2) == 0)
        return READ_PLACED;
    if (!how.started && !atomic_load(&s->readahead))
        prefetch(s, index, begin, end);
    if (platform->populate(platform->ctx, address(s, index, begin),
                           (size_t)(end - begin)) != 0)
        return READ_FAILED;
    return READ_KEPT;
}

/* What is cold and placed is read into a slot where one is free: memory that is
 * used again need not be zeroed first, which costs more than the read itself. The
 * slot is the part's while its read is under way and while it is shown; where no
 * read starts it goes back at once: by the next time the part may be hot. */
static void enter_slot(struct gov__streamer *s, uint32_t index)
{
    struct gov__part *part = &s->res.parts[index];
    uint64_t begin, end;
    uint32_t slot;

    gov__residency_pages(&s->res, index, &begin, &end);
    /* A page that a neighbour shares would go on showing a slot after its part
     * was dropped. */
    if (part->edge || s->res.grain <= s->res.page || part->hot || !s->direct ||
        part->slot != 0 || part->placed ||
        !gov__slots_fits(&s->slots, part->file, begin, end))
        return;
    slot = gov__slots_take(&s->slots);
    part->slot = slot == GOV__NO_SLOT ? 0 : slot + 1;
}

/* Puts what is in the part's slot in place. */
static enum outcome show_slot(struct gov__streamer *s, uint32_t index)
{
    const struct gov__part *part = &s->res.parts[index];
    uint64_t begin, end;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (gov__slots_show(&s->slots, part->slot - 1, part->file, begin, end) == 0)
        return READ_FILLED;
    return read_part(s, index, (struct how){true, part->hot, false, 0});
}

/* Pages that cannot be read (EIO, or EFAULT when the file was cut short) are
 * counted and left to demand paging; the part passes for present, so that the
 * streamer does not spin on it, until it is dropped the next time. */
static void finish(struct gov__streamer *s, uint32_t index,
                   enum outcome outcome)
{
    struct gov__part *part = &s->res.parts[index];

    if (outcome == READ_FILLED)
        outcome = show_slot(s, index);
    if (outcome == READ_FAILED)
        add(&s->failures, 1);
    else if (!part->hot)
        add(&s->streamed_bytes, bytes_of(part));
    if (outcome != READ_FAILED)
        gov__pass_meter_read(s->meter, part->unit, bytes_of(part));
    /* A part that was placed and is kept now may have both: its edges. */
    if (outcome == READ_PLACED || outcome == READ_FILLED)
        set_placed(s, part, true);
    if (outcome != READ_FILLED)
        leave_slot(s, part);
    if (is_in_wrong_form(s, part))
        leave_form(s, index);
    else
        hold(s, index, GOV__PRESENT);
}

static bool is_placed_when_read(const struct gov__streamer *s,
                                const struct gov__part *part)
{
    return part->hot ? s->anchor : s->direct;
}

/* A read of that part begins: once for each, whoever reads it. */
static void charge(struct gov__streamer *s, uint32_t index)
{
    uint64_t begin, end;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (gov__residency_can_wait(&s->res, index))
        gov__pace_charge(&s->pace, now_us(s), end - begin);
}

/* Starts a read through the page cache. */
static void start_read(struct gov__streamer *s, uint32_t index)
{
    uint64_t begin, end;

    charge(s, index);
    if (atomic_load(&s->readahead))
        return;
    gov__residency_pages(&s->res, index, &begin, &end);
    prefetch(s, index, begin, end);
    hold(s, index, GOV__COMING);
}

/* Time in which something is read that the engine waits for, or that it will use
 * soon, whoever reads it. */
static void begin_reading(struct gov__streamer *s)
{
    if (s->reading_us == 0)
        s->reading_us = now_us(s);
}

static void end_reading(struct gov__streamer *s)
{
    if (s->reading_us == 0 || s->flights.count > 0 ||
        (s->has_mate && s->mate.out > 0))
        return;
    s->read_us += now_us(s) - s->reading_us;
    s->reading_us = 0;
}

/* What may be read now; *wait_us is 0, or when more may be. */
static enum gov__reads allowed(const struct gov__streamer *s, uint64_t *wait_us)
{
    *wait_us = 0;
    if (atomic_load(&s->paused))
        return GOV__READS_WANTED;
    if (s->pace.rate != 0)
        *wait_us = gov__pace_wait_us(&s->pace, now_us(s));
    return *wait_us == 0 && !s->has_crew ? GOV__READS_ALL : GOV__READS_WANTED;
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

    while (!atomic_load(&s->readahead) && s->coming < READS_IN_FLIGHT &&
           (next = next_missing(s, from, GOV__COMING)) != GOV__NO_PART &&
           !is_placed_when_read(s, &s->res.parts[next]))
        start_read(s, next);
}

static void fill(struct gov__streamer *s, uint32_t index)
{
    struct gov__part *part = &s->res.parts[index];
    struct how how = {is_placed_when_read(s, part), part->hot, false, 0};

    begin_reading(s);
    if (how.place)
        charge(s, index);
    else if (part->held != GOV__COMING)
        start_read(s, index);
    how.started = !how.place;
    enter_slot(s, index);
    how.slot = part->slot;
    finish(s, index, read_part(s, index, how));
    end_reading(s);
}

/* ---- the crew --------------------------------------------------------------- */

/* A job is a part, whether it is hot, and whether it is to be placed. */
static uint32_t job_of(const struct gov__streamer *s, uint32_t index, bool hot)
{
    return index * 4 + (hot ? 2 : 0) + ((hot ? s->anchor : s->direct) ? 1 : 0);
}

static int work(void *ctx, uint32_t job)
{
    struct gov__streamer *s = ctx;
    struct how how = {(job & 1) != 0, (job & 2) != 0, false,
                      s->res.parts[job / 4].slot};

    return (int)read_part(s, job / 4, how);
}

static void job_done(void *ctx)
{
    struct gov__streamer *s = ctx;

    pthread_mutex_lock(&s->lock);
    atomic_fetch_add(&s->done, 1);
    wake_locked(s);
    pthread_mutex_unlock(&s->lock);
}

static void take_back_from(struct gov__streamer *s, struct gov__crew *crew)
{
    uint32_t job;
    int outcome;

    while (gov__crew_take(crew, &job, &outcome)) {
        finish(s, job / 4, (enum outcome)outcome);
        s->res.parts[job / 4].out = false;
    }
    end_reading(s);
}

/* A read that failed is tried again in the way that tells why, and has others to
 * fall back on, unless nobody wants it any more. */
static void take_flights(struct gov__streamer *s)
{
    uint32_t index;
    int rc;

    while (gov__flights_take(&s->flights, &index, &rc)) {
        struct gov__part *part = &s->res.parts[index];
        enum outcome outcome = part->slot != 0 ? READ_FILLED : READ_PLACED;

        if (rc != 0 && atomic_load(&s->stop)) {
            leave_slot(s, part);
            hold(s, index, GOV__ABSENT);
        } else {
            /* What is in the page cache of it was looked up before. */
            if (rc != 0)
                outcome = read_part(
                    s, index, (struct how){true, false, false, part->slot});
            finish(s, index, outcome);
        }
        part->out = false;
    }
    end_reading(s);
}

static void take_back(struct gov__streamer *s)
{
    take_flights(s);
    if (s->has_crew)
        take_back_from(s, &s->crew);
    if (s->has_mate)
        take_back_from(s, &s->mate);
}

/* What a reader holds and has not begun, and the engine needs now. */
static void recall_wanted(struct gov__streamer *s)
{
    for (uint32_t i = 0; s->has_crew && i < s->res.part_count; i++) {
        struct gov__part *part = &s->res.parts[i];

        if (part->out && s->res.units[part->unit].wanted &&
            gov__crew_recall(&s->crew, job_of(s, i, true))) {
            hold(s, i, GOV__ABSENT);
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
            wait_us = gov__pace_wait_us(&s->pace, now_us(s));
        if (wait_us > 0)
            break;
        next = gov__residency_next_missing(&s->res, from, GOV__COMING,
                                           GOV__READS_IDLE);
        if (next == GOV__NO_PART ||
            !gov__crew_give(&s->crew, job_of(s, next, true)))
            break;
        charge(s, next);
        s->res.parts[next].out = true;
        hold(s, next, GOV__COMING);
    }
}

static bool give_mate(struct gov__streamer *s, uint32_t index)
{
    struct gov__part *part = &s->res.parts[index];

    if (!gov__crew_give(&s->mate, job_of(s, index, part->hot))) {
        leave_slot(s, part);
        return false;
    }
    begin_reading(s);
    charge(s, index);
    part->out = true;
    hold(s, index, GOV__COMING);
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
    if (next == GOV__NO_PART || !is_placed_when_read(s, &s->res.parts[next]))
        return;
    enter_slot(s, next);
    (void)give_mate(s, next);
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
        found = resident_bytes(s, index, begin, end);
    if (rc == 0 && (end == begin || found > (end - begin) / 2))
        rc = EEXIST;
    if (rc == 0)
        rc = gov__flights_start(&s->flights, index, part->slot, part->file,
                                begin, end);
    if (rc != 0) {
        leave_slot(s, part);
        return rc;
    }
    begin_reading(s);
    charge(s, index);
    add(&s->found_bytes, found);
    part->out = true;
    hold(s, index, GOV__COMING);
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
        if (!is_placed_when_read(s, &s->res.parts[next]))
            return false;
        enter_slot(s, next);
        if (s->flights.open)
            rc = start_flight(s, next);
        else if (s->res.parts[next].slot == 0)
            return false;
        else
            rc = give_mate(s, next) ? 0 : EAGAIN;
    }
    return (rc == 0 || rc == EAGAIN) &&
           (s->flights.count > 0 || (s->has_mate && s->mate.out > 0));
}

/* ---- milestones ------------------------------------------------------------- */

static bool is_ready(const struct gov__streamer *s)
{
    uint32_t layers = 0;

    for (uint32_t i = 0; i < s->res.unit_count; i++) {
        if (!s->res.units[i].joined && layers++ > s->res.ahead)
            break;
        if (s->res.units[i].missing > 0)
            return false;
    }
    return true;
}

static void reach_milestone(struct gov__streamer *s, atomic_bool *milestone)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(milestone, true);
    pthread_cond_broadcast(&s->arrived);
    pthread_mutex_unlock(&s->lock);
}

/* Whoever hears of progress may want no more of it. */
static void tell_progress(struct gov__streamer *s, bool last)
{
    uint64_t hot, now = now_us(s);
    uint64_t there = atomic_load(&s->there_bytes);

    if (s->progress == NULL || atomic_load(&s->is_warm) ||
        s->res.warm == GOV_WARM_NONE ||
        (!last && now - s->told_us < PROGRESS_US))
        return;
    s->told_us = now;
    pthread_mutex_lock(&s->lock);
    hot = s->hot_bytes;
    pthread_mutex_unlock(&s->lock);
    if (s->progress(s->progress_ctx,
                    last || there >= hot ? 1000
                                         : (uint32_t)(there / (hot / 1000 + 1)),
                    "reading weights") ||
        last)
        return;
    s->res.warm = GOV_WARM_NONE; /* and so nothing hot is missing any more */
    atomic_fetch_add(&s->orders, 1);
}

static void look_for_milestones(struct gov__streamer *s)
{
    if (!atomic_load(&s->is_ready) && is_ready(s)) {
        reach_milestone(s, &s->is_ready);
        if (s->ready != NULL)
            s->ready(s->ready_ctx);
    }
    if (!atomic_load(&s->is_warm) && gov__residency_is_warm(&s->res)) {
        atomic_store(&s->warm_us, now_us(s) - s->start_us);
        tell_progress(s, true);
        reach_milestone(s, &s->is_warm);
    }
}

/* ---- distance --------------------------------------------------------------- */

/* As far ahead as is tried just now. What the window takes less may stay, and what
 * it takes more may not: together it is what was promised. */
static void decide_locked(struct gov__streamer *s)
{
    uint64_t promised, window, limit = s->asked_bytes;
    const struct gov__residency *res = &s->res;

    s->hot_bytes = gov__residency_decide(&s->res, limit);
    window = gov__residency_window_bytes(res, s->asked_ahead);
    promised = limit > UINT64_MAX - window ? UINT64_MAX : limit + window;
    window = gov__residency_window_bytes(res, s->target_ahead);
    for (int i = 0; i < 4 && s->target_ahead != s->asked_ahead; i++) {
        limit = gov__less(promised, window);
        s->hot_bytes = gov__residency_decide(&s->res, limit);
        window = gov__residency_window_bytes(res, s->target_ahead);
        if (s->hot_bytes <= gov__less(promised, window))
            break;
    }
    s->cold_bytes = gov__residency_cold_bytes(res);
    s->window_bytes = window;
    /* New reads start before what is behind has gone. */
    if (s->cold_bytes > 0)
        s->window_bytes += (s->direct ? 2 : READS_IN_FLIGHT) * GOV__PART_BYTES;
}

/* A pass has gone by. */
static void adapt(struct gov__streamer *s)
{
    uint64_t now = now_us(s), waited = atomic_load(&s->waited_sum_us);
    bool changed;

    if (s->reading_us != 0) {
        s->read_us += now - s->reading_us;
        s->reading_us = now;
    }
    changed = s->distance.most > 0 && s->pass_us != 0 && s->patience_ms > 0 &&
              gov__distance_pass(&s->distance, waited - s->waited_us,
                                 s->read_us, now - s->pass_us);
    s->pass_us = now;
    s->waited_us = waited;
    s->read_us = 0;
    if (!changed)
        return;
    pthread_mutex_lock(&s->lock);
    s->target_ahead = s->distance.now;
    decide_locked(s);
    atomic_fetch_add(&s->orders, 1);
    pthread_mutex_unlock(&s->lock);
}

/* ---- the thread ----------------------------------------------------------- */

static bool has_news(const struct gov__streamer *s, const struct view *seen)
{
    return atomic_load(&s->stop) ||
           atomic_load(&s->position) != seen->position ||
           atomic_load(&s->passes) != seen->passes ||
           atomic_load(&s->done) != seen->done ||
           atomic_load(&s->orders) != seen->orders;
}

/* A part that is there in the form that it shall not have any more is read again
 * in the other: before anybody sees it as one that stays. */
static void doubt_forms(struct gov__streamer *s)
{
    for (uint32_t i = 0; i < s->res.part_count; i++) {
        const struct gov__part *part = &s->res.parts[i];
        bool to_anchor = part->hot && !part->placed && s->anchor &&
                         s->res.warm != GOV_WARM_NONE && bytes_of(part) > 0 &&
                         s->res.units[part->unit].use != GOV__USE_OTHERS;

        if (!part->out && part->held == GOV__PRESENT &&
            (to_anchor || is_in_wrong_form(s, part)))
            gov__residency_hold(&s->res, i, GOV__UNKNOWN);
    }
}

static void leave_forms(struct gov__streamer *s)
{
    for (uint32_t i = 0; i < s->res.part_count; i++) {
        const struct gov__part *part = &s->res.parts[i];

        if (!part->out && part->held == GOV__UNKNOWN &&
            is_in_wrong_form(s, part))
            leave_form(s, i);
    }
}

/* Puts the decision in force; under the lock, or before there is a thread. */
static void take_orders_locked(struct gov__streamer *s, struct view *seen)
{
    seen->orders = atomic_load(&s->orders);
    s->res.ahead = s->target_ahead;
    atomic_store(&s->ahead, s->res.ahead);
    gov__residency_apply(&s->res);
    doubt_forms(s);
    decide_readahead(s);
    show_all(s);
    /* What somebody waits for may be needed no more. */
    pthread_cond_broadcast(&s->arrived);
}

/* Until there is news or the time is over, by the clock on the wall: when
 * somebody sets it, the streamer looks again too early or late. */
static void until(struct timespec *out, uint64_t wait_us)
{
    clock_gettime(CLOCK_REALTIME, out);
    out->tv_sec += (time_t)(wait_us / 1000000);
    out->tv_nsec += (long)(wait_us % 1000000) * 1000;
    if (out->tv_nsec >= 1000000000) {
        out->tv_nsec -= 1000000000;
        out->tv_sec++;
    }
}

/* A read may end, too; the turn that follows finds out. */
static void sleep_in_flight_locked(struct gov__streamer *s,
                                   const struct view *seen, uint64_t wait_us)
{
    if (has_news(s, seen))
        return;
    pthread_mutex_unlock(&s->lock);
    gov__flights_sleep(&s->flights, wait_us);
    pthread_mutex_lock(&s->lock);
}

static void sleep_locked(struct gov__streamer *s, const struct view *seen,
                         uint64_t wait_us)
{
    struct timespec time;
    int rc = 0;

    if (wait_us > SLEEP_US_MAX)
        wait_us = SLEEP_US_MAX;
    if (s->tick != NULL && (wait_us == 0 || wait_us > TICK_US))
        wait_us = TICK_US;
    if (s->flights.open) {
        sleep_in_flight_locked(s, seen, wait_us);
        return;
    }
    until(&time, wait_us);
    while (!has_news(s, seen) && rc == 0)
        rc = wait_us == 0 ? pthread_cond_wait(&s->wake, &s->lock)
                          : pthread_cond_timedwait(&s->wake, &s->lock, &time);
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
    bool go_on, ordered;

    pthread_mutex_lock(&s->lock);
    atomic_store(&s->sleeping, follows_engine_locked(s) ? SLEEPS_FOR_POSITION
                                                        : SLEEPS_FOR_ORDERS);
    sleep_locked(s, seen, wait_us);
    atomic_store(&s->sleeping, AWAKE);
    ordered = atomic_load(&s->orders) != seen->orders;
    if (ordered)
        take_orders_locked(s, seen);
    go_on = !atomic_load(&s->stop);
    pthread_mutex_unlock(&s->lock);
    if (ordered && go_on)
        leave_forms(s);
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
    if (passes != seen->passes)
        adapt(s);
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

    seen->done = atomic_load(&s->done);
    take_back(s);
    take_rows_in(s);
    look(s, seen);
    if (s->res.warm == GOV_WARM_NONE) /* the engine may have brought more in */
        show_all(s);
    from = s->res.units[seen->position].first;
    recall_wanted(s);
    give_jobs(s, from);
    start_reads(s, from);
    drop_behind(s);
    while (!has_news(s, seen) && !leave_to_others(s, from) &&
           (next = next_missing(s, from, GOV__PRESENT)) != GOV__NO_PART) {
        start_reads(s, next);
        share(s, from);
        fill(s, next);
        tell_progress(s, false);
    }
    free_slots(s);
    look_for_milestones(s);
    tell_progress(s, false);
    advise_when_warm(s);
    (void)allowed(s, &wait_us);
    if (gov__residency_next_missing(&s->res, from, GOV__PRESENT,
                                    GOV__READS_ALL) == GOV__NO_PART)
        return 0;
    /* Who lifts the pause wakes us, and so does a crew that has something to do:
     * with a rate it may have been given nothing yet. */
    if (atomic_load(&s->paused) || s->flights.count > 0 ||
        (s->has_mate && s->mate.out > 0) ||
        (s->has_crew && (s->pace.rate == 0 || s->crew.out > 0)))
        return wait_us;
    return wait_us > 0 ? wait_us : 1; /* the time has come meanwhile */
}

static void *run(void *arg)
{
    struct gov__streamer *s = arg;
    struct view seen = {UINT32_MAX, 0, 0, 0};
    uint64_t wait_us = 0, ticked_us = s->start_us;

    while (wait_for_news(s, &seen, wait_us)) {
        wait_us = follow(s, &seen);
        if (s->tick != NULL && now_us(s) - ticked_us >= TICK_US) {
            ticked_us = now_us(s);
            s->tick(s->tick_ctx);
        }
    }
    /* The kernel writes to memory until then. It ends every read; one of a file
     * system whose server does not answer takes as long as pread() does there. */
    while (s->flights.count > 0) {
        gov__flights_sleep(&s->flights, 0);
        take_flights(s);
    }
    return NULL;
}

/* The mapping as the engine made it, all pages left as they are. */
static void give_back(struct gov__streamer *s)
{
    if (s->direct) /* parts have advice of their own */
        s->advice = GOV__ADVICE_RANDOM;
    advise_all(s, GOV__ADVICE_NORMAL);
    advise_rows(s, GOV__ADVICE_NORMAL);
}

/* ---- from outside --------------------------------------------------------- */

/* Drops a part of which something is in memory, and tells whether it went: false
 * where somebody else maps the file, too. True where that cannot be told. */
static bool can_drop(struct gov__streamer *s)
{
    uint64_t begin, end;

    for (uint32_t i = 0; i < s->res.part_count; i++) {
        const struct gov__part *part = &s->res.parts[i];

        gov__residency_drop_pages(&s->res, i, &begin, &end);
        if (part->hot || bytes_of(part) < GOV__PART_BYTES / 2 || begin == end ||
            resident_bytes(s, i, begin, end) <= (end - begin) / 2)
            continue;
        drop(s, i);
        return resident_bytes(s, i, begin, end) <= (end - begin) / 2;
    }
    return true;
}

static void stop_crews(struct gov__streamer *s)
{
    if (s->has_crew)
        gov__crew_stop(&s->crew);
    if (s->has_mate)
        gov__crew_stop(&s->mate);
}

/* For the window, as it was decided at first, and what is on its way; where there
 * are none, or more are needed, new memory is taken for each read. */
static void make_slots(struct gov__streamer *s)
{
    uint64_t count = s->window_bytes / GOV__PART_BYTES;

    if (s->direct && s->cold_bytes > 0 && count > 0 && count < UINT32_MAX)
        (void)gov__slots_init(&s->slots, s->range, s->alloc, (uint32_t)count);
    atomic_store(&s->slot_bytes, s->slots.count * GOV__PART_BYTES);
}

static int start_threads(struct gov__streamer *s)
{
    int rc;

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
    rc = gov__thread_start(&s->thread, run, s);
    if (rc != 0)
        stop_crews(s);
    return rc;
}

/* That a drop did not help may also be because the engine reads there already. */
static bool is_mapped_elsewhere(const struct gov__streamer *s)
{
    const struct gov_platform *platform = s->range->platform;
    bool mapped = false;

    for (uint32_t i = 0; i < s->range->file_count && !mapped; i++)
        if (platform->mapped_elsewhere(platform->ctx, s->range->files[i].fd,
                                       &mapped) != 0)
            mapped = false;
    return mapped;
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
    rc = pthread_cond_init(&s->arrived, NULL);
    if (rc != 0)
        goto fail_wake;
    s->start_us = now_us(s);
    s->asked_ahead = s->target_ahead = s->distance.now = s->res.ahead;
    s->asked_bytes = hot_bytes;
    gov__residency_init(&s->res);
    advise_all(s, s->advise_load);
    decide_locked(s);
    take_orders_locked(s, &seen);
    gov__residency_aim(&s->res, 0);
    rc = !s->direct && s->cold_bytes > 0 && !can_drop(s) &&
                 is_mapped_elsewhere(s)
             ? EBUSY
             : 0;
    if (rc != 0)
        goto fail_arrived;
    make_slots(s);
    if (s->direct || s->anchor)
        (void)gov__flights_open(&s->flights, s->range, &s->slots);
    rc = start_threads(s);
    if (rc != 0)
        goto fail_flights;
    return 0;
fail_flights:
    gov__flights_close(&s->flights);
fail_arrived:
    gov__slots_fini(&s->slots);
    give_back(s);
    pthread_cond_destroy(&s->arrived);
fail_wake:
    pthread_cond_destroy(&s->wake);
fail_lock:
    pthread_mutex_destroy(&s->lock);
    return rc;
}

void gov__streamer_stop(struct gov__streamer *s)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->stop, true);
    wake_locked(s);
    pthread_cond_broadcast(&s->arrived);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    stop_crews(s);
    gov__flights_close(&s->flights);
    end_slots(s);
    give_back(s);
    pthread_cond_destroy(&s->arrived);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
}

/* Who uses that unit, and those of its layer, would have to wait. */
static bool is_missing(const struct gov__streamer *s, uint32_t unit)
{
    do
        if ((atomic_load(&s->shown[unit]) & GOV__SHOWN_MISSING) != 0)
            return true;
    while (++unit < s->res.unit_count && s->res.units[unit].joined);
    return false;
}

static void wait_for_unit(struct gov__streamer *s, uint32_t unit)
{
    uint64_t began = now_us(s), waited;
    struct timespec time;
    int rc = 0;

    until(&time, (uint64_t)s->patience_ms * 1000);
    pthread_mutex_lock(&s->lock);
    atomic_fetch_add(&s->waiters, 1);
    while (is_missing(s, unit) && !atomic_load(&s->stop) && rc == 0)
        rc = pthread_cond_timedwait(&s->arrived, &s->lock, &time);
    atomic_fetch_sub(&s->waiters, 1);
    pthread_mutex_unlock(&s->lock);
    waited = now_us(s) - began;
    add(&s->waited_sum_us, waited);
    gov__pass_meter_waited(s->meter, unit, waited);
}

/* Whether the streamer has something to do when the engine comes to a layer or leaves
 * it: nothing where all of it is hot and there, and waking it takes a processor from
 * the engine. */
static bool is_of_interest(const struct gov__streamer *s, uint32_t unit)
{
    while (unit > 0 && s->res.units[unit].joined)
        unit--;
    do {
        unsigned char c = atomic_load(&s->shown[unit]);

        if (c != GOV__SHOWN_HOT && c != GOV__SHOWN_ROWS)
            return true;
    } while (++unit < s->res.unit_count && s->res.units[unit].joined);
    return false;
}

static bool passes_interest(const struct gov__streamer *s, uint32_t before,
                            uint32_t unit)
{
    if (unit <= before) /* a pass begins, or nobody knows */
        return true;
    for (uint32_t i = before; i <= unit; i++)
        if (is_of_interest(s, i))
            return true;
    return false;
}

void gov__streamer_reached(struct gov__streamer *s, uint32_t unit)
{
    uint32_t before = atomic_exchange(&s->position, unit);
    bool missing = is_missing(s, unit);

    if (unit < before)
        atomic_fetch_add(&s->passes, 1);
    if (unit != before && missing) {
        add(&s->late_units, 1);
        gov__pass_meter_late(s->meter, unit);
    }
    /* Signalled under the lock, which the streamer holds from going to sleep
     * until it sleeps: so the signal finds it. */
    if (atomic_load(&s->sleeping) == SLEEPS_FOR_POSITION &&
        passes_interest(s, before, unit)) {
        pthread_mutex_lock(&s->lock);
        wake_locked(s);
        pthread_mutex_unlock(&s->lock);
    }
    if (missing && s->patience_ms > 0)
        wait_for_unit(s, unit);
}

uint64_t gov__streamer_set_hot(struct gov__streamer *s, uint64_t hot_bytes)
{
    uint64_t stays;

    pthread_mutex_lock(&s->lock);
    s->asked_bytes = hot_bytes;
    decide_locked(s);
    stays = s->hot_bytes;
    atomic_fetch_add(&s->orders, 1);
    wake_locked(s);
    pthread_mutex_unlock(&s->lock);
    return stays;
}

void gov__streamer_pause(struct gov__streamer *s, bool pause)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->paused, pause);
    atomic_fetch_add(&s->orders, 1);
    wake_locked(s);
    pthread_mutex_unlock(&s->lock);
}

bool gov__streamer_wait(struct gov__streamer *s, bool all, uint32_t timeout_ms)
{
    atomic_bool *milestone = all ? &s->is_warm : &s->is_ready;
    struct timespec time;
    int rc = 0;

    until(&time, (uint64_t)timeout_ms * 1000);
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(milestone) && !atomic_load(&s->stop) && rc == 0)
        rc = pthread_cond_timedwait(&s->arrived, &s->lock, &time);
    pthread_mutex_unlock(&s->lock);
    return atomic_load(milestone);
}
