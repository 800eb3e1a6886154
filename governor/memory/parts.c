/* SPDX-License-Identifier: MIT */
#include "governor/memory/parts.h"

#include "governor/memory/anchor.h"
#include "governor/memory/shown.h"

static void *address(const struct gov__streamer *s, uint32_t index,
                     uint64_t offset)
{
    return gov__range_address(s->range, s->res.parts[index].file, offset);
}

bool gov__part_is_rows(const struct gov__streamer *s,
                       const struct gov__part *part)
{
    return s->res.units[part->unit].use == GOV__USE_ROWS;
}

bool gov__part_comes_placed(const struct gov__streamer *s, bool hot)
{
    return hot ? s->anchor : s->direct;
}

void gov__part_leave_slot(struct gov__streamer *s, struct gov__part *part)
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
        gov__count(&s->placed_bytes, gov__part_bytes(part));
    if (!placed && part->placed)
        atomic_fetch_sub(&s->placed_bytes, gov__part_bytes(part));
    part->placed = placed;
}

void gov__part_advise(struct gov__streamer *s, uint32_t index,
                      enum gov__advice advice)
{
    const struct gov_platform *platform = s->range->platform;
    uint64_t begin, end;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (end > begin && platform->advise(platform->ctx, address(s, index, begin),
                                        (size_t)(end - begin), advice) != 0)
        gov__count(&s->failures, 1);
}

bool gov__part_may_be_huge(const struct gov__streamer *s, uint32_t index,
                           bool hot)
{
    const struct gov__part *part = &s->res.parts[index];

    return hot && !part->edge && !gov__part_comes_placed(s, hot) &&
           s->res.units[part->unit].use != GOV__USE_OTHERS;
}

bool gov__part_ask_huge(const struct gov__streamer *s, uint32_t index)
{
    const struct gov_platform *platform = s->range->platform;
    uint64_t begin, end;
    size_t bytes;
    void *at;

    gov__residency_pages(&s->res, index, &begin, &end);
    at = address(s, index, begin);
    bytes = (size_t)(end - begin);
    return platform->advise(platform->ctx, at, bytes, GOV__ADVICE_HUGE) == 0 &&
           platform->advise(platform->ctx, at, bytes, GOV__ADVICE_RANDOM) == 0;
}

/* Reclaim passes over how recently pages were used where accesses are random (Linux
 * 6.3, vma_has_recency()): what stays would go before a file that somebody reads
 * once. */
void gov__part_has_come(struct gov__streamer *s, uint32_t index)
{
    if (s->advise_pass != GOV__ADVICE_RANDOM)
        gov__part_advise(s, index, s->advise_pass);
}

bool gov__part_comes_huge(const struct gov__streamer *s, uint32_t index,
                          bool hot)
{
    return s->huge_alone && gov__part_may_be_huge(s, index, hot);
}

/* ---- dropping --------------------------------------------------------------- */

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
    if (rc == 0 && (s->direct || gov__part_is_rows(s, &s->res.parts[index])))
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

    if (gov__part_is_rows(s, part))
        gov__part_advise(s, index, GOV__ADVICE_RANDOM);
    gov__residency_drop_pages(&s->res, index, &begin, &end);
    /* Also a page that a neighbour shares, who then has the file's: what comes
     * into the slot next must be seen nowhere else. */
    if (part->slot != 0)
        gov__residency_pages(&s->res, index, &begin, &end);
    if (end > begin) {
        /* In this order: the cache keeps what is still mapped. */
        if (let_go(s, index, begin, end) != 0) {
            gov__count(&s->failures, 1);
            /* It is there, and shown: were it read again and that failed, too,
             * the slot would pass for free. */
            if (part->slot != 0)
                return;
        } else {
            set_placed(s, part, false);
            gov__part_leave_slot(s, part);
            if (platform->drop_cached(platform->ctx,
                                      s->range->files[part->file].fd, begin,
                                      end - begin) != 0)
                gov__count(&s->failures, 1);
            else
                gov__count(&s->dropped_bytes, end - begin);
        }
    } else {
        set_placed(s, part, false); /* what there is of it is its neighbours' */
    }
    gov__shown_hold(s, index, GOV__ABSENT);
}

/* What was read while it was cold and is hot by now, to be read again; where it
 * cannot go, it is there. */
static void leave_form(struct gov__streamer *s, uint32_t index)
{
    drop(s, index);
    if (is_in_wrong_form(s, &s->res.parts[index]))
        gov__shown_hold(s, index, GOV__PRESENT);
}

void gov__parts_drop_behind(struct gov__streamer *s)
{
    uint32_t index = 0;

    while ((index = gov__residency_next_drop(&s->res, index)) != GOV__NO_PART)
        drop(s, index++);
}

bool gov__parts_can_drop(struct gov__streamer *s)
{
    uint64_t begin, end;

    for (uint32_t i = 0; i < s->res.part_count; i++) {
        const struct gov__part *part = &s->res.parts[i];

        gov__residency_drop_pages(&s->res, i, &begin, &end);
        if (part->hot || gov__part_bytes(part) < GOV__PART_BYTES / 2 ||
            begin == end ||
            gov__part_resident(s, i, begin, end) <= (end - begin) / 2)
            continue;
        drop(s, i);
        return gov__part_resident(s, i, begin, end) <= (end - begin) / 2;
    }
    return true;
}

/* ---- reading ---------------------------------------------------------------- */

uint64_t gov__part_resident(const struct gov__streamer *s, uint32_t index,
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

/* Whatever the mapping's advice: what is then read by faults alone comes page by page
 * under MADV_RANDOM (measured, 512 MB: 300 MB/s; after a prefetch 2500-3900, as
 * without advice). */
void gov__part_prefetch(const struct gov__streamer *s, uint32_t index,
                        uint64_t begin, uint64_t end)
{
    const struct gov_platform *platform = s->range->platform;

    if (end > begin)
        (void)platform->prefetch(platform->ctx, address(s, index, begin),
                                 (size_t)(end - begin));
}

enum gov__outcome gov__part_read(struct gov__streamer *s, uint32_t index,
                                 struct gov__how how)
{
    const struct gov_platform *platform = s->range->platform;
    uint64_t begin, end, found = 0;
    bool huge, asked = false;
    int rc;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (end == begin)
        return GOV__READ_KEPT;
    if (how.hot && !atomic_load(&s->is_warm)) {
        found = gov__part_resident(s, index, begin, end);
        gov__count(&s->found_bytes, found);
    }
    if (how.slot != 0 &&
        gov__slots_fill(&s->slots, how.slot - 1, s->res.parts[index].file,
                        begin, end) == 0)
        return GOV__READ_FILLED;
    if (how.place && gov__anchor(s->range, s->res.parts[index].file, begin, end,
                                 s->direct && found <= (end - begin) / 2) == 0)
        return GOV__READ_PLACED;
    huge = gov__part_comes_huge(s, index, how.hot);
    if (huge)
        asked = gov__part_ask_huge(s, index);
    /* What comes huge has not been asked for, whoever began. */
    if (!asked && (huge || !how.started) && !atomic_load(&s->readahead))
        gov__part_prefetch(s, index, begin, end);
    rc = platform->populate(platform->ctx, address(s, index, begin),
                            (size_t)(end - begin));
    if (asked)
        gov__part_has_come(s, index);
    return rc == 0 ? GOV__READ_KEPT : GOV__READ_FAILED;
}

/* What is cold and placed is read into a slot: memory that is used again need not be
 * zeroed first, which costs more than the read itself. The slot is the part's while
 * its read is under way and while it is shown. */
void gov__part_enter_slot(struct gov__streamer *s, uint32_t index)
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
static enum gov__outcome show_slot(struct gov__streamer *s, uint32_t index)
{
    const struct gov__part *part = &s->res.parts[index];
    uint64_t begin, end;

    gov__residency_pages(&s->res, index, &begin, &end);
    if (gov__slots_show(&s->slots, part->slot - 1, part->file, begin, end) == 0)
        return GOV__READ_FILLED;
    return gov__part_read(s, index,
                          (struct gov__how){true, part->hot, false, 0});
}

/* Pages that cannot be read (EIO, or EFAULT when the file was cut short) are
 * counted and left to demand paging; the part passes for present, so that the
 * streamer does not spin on it, until it is dropped the next time. */
void gov__part_finish(struct gov__streamer *s, uint32_t index,
                      enum gov__outcome outcome)
{
    struct gov__part *part = &s->res.parts[index];

    if (outcome == GOV__READ_FILLED)
        outcome = show_slot(s, index);
    if (outcome == GOV__READ_FAILED)
        gov__count(&s->failures, 1);
    else if (!part->hot)
        gov__count(&s->streamed_bytes, gov__part_bytes(part));
    if (outcome != GOV__READ_FAILED)
        gov__pass_meter_read(s->meter, part->unit, gov__part_bytes(part));
    /* A part that was placed and is kept now may have both: its edges. */
    if (outcome == GOV__READ_PLACED || outcome == GOV__READ_FILLED)
        set_placed(s, part, true);
    if (outcome != GOV__READ_FILLED)
        gov__part_leave_slot(s, part);
    if (is_in_wrong_form(s, part))
        leave_form(s, index);
    else
        gov__shown_hold(s, index, GOV__PRESENT);
}

/* ---- forms ------------------------------------------------------------------ */

void gov__parts_doubt_forms(struct gov__streamer *s)
{
    for (uint32_t i = 0; i < s->res.part_count; i++) {
        const struct gov__part *part = &s->res.parts[i];
        bool to_anchor = part->hot && !part->placed && s->anchor &&
                         s->res.warm != GOV_WARM_NONE &&
                         gov__part_bytes(part) > 0 &&
                         s->res.units[part->unit].use != GOV__USE_OTHERS;

        if (!part->out && part->held == GOV__PRESENT &&
            (to_anchor || is_in_wrong_form(s, part)))
            gov__residency_hold(&s->res, i, GOV__UNKNOWN);
    }
}

void gov__parts_leave_forms(struct gov__streamer *s)
{
    for (uint32_t i = 0; i < s->res.part_count; i++) {
        const struct gov__part *part = &s->res.parts[i];

        if (!part->out && part->held == GOV__UNKNOWN &&
            is_in_wrong_form(s, part))
            leave_form(s, i);
    }
}

/* ---- slots ------------------------------------------------------------------ */

/* For the window, as it was decided at first, and what is on its way; where there
 * are none, or more are needed, new memory is taken for each read. */
void gov__parts_make_slots(struct gov__streamer *s)
{
    uint64_t count = s->window_bytes / GOV__PART_BYTES;

    if (s->direct && s->cold_bytes > 0 && count > 0 && count < UINT32_MAX)
        (void)gov__slots_init(&s->slots, s->range, s->alloc, (uint32_t)count);
    atomic_store(&s->slot_bytes, s->slots.count * GOV__PART_BYTES);
}

/* Slots take as much memory whether something is in them or not. When something
 * becomes cold again it comes in new memory. */
void gov__parts_free_slots(struct gov__streamer *s)
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
void gov__parts_end_slots(struct gov__streamer *s)
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
