/* SPDX-License-Identifier: MIT */
#include "governor/memory/advice.h"

#include "governor/memory/anchor.h"
#include "governor/memory/parts.h"
#include "governor/memory/shown.h"

/* Rows are touched here and there: with readahead each touch would read
 * megabytes around it that nothing drops again. Rows that were dropped, and no
 * others, have this advice. */
static void advise_rows(struct gov__streamer *s, enum gov__advice advice)
{
    for (uint32_t i = 0; i < s->res.part_count; i++)
        if (gov__part_is_rows(s, &s->res.parts[i]) &&
            s->res.parts[i].held == GOV__ABSENT)
            gov__part_advise(s, i, advice);
}

static bool any_cold(const struct gov__streamer *s)
{
    bool any = false;

    for (uint32_t i = 0; i < s->res.unit_count; i++)
        any = any || s->res.units[i].any_cold;
    return any;
}

/* Experts that stay by recency: their slices lie beside each other in one file. */
static bool has_experts(const struct gov__streamer *s)
{
    bool any = false;

    for (uint32_t i = 0; i < s->res.unit_count; i++)
        any = any || s->res.units[i].use == GOV__USE_OTHERS;
    return any;
}

/* Where everything stays, nothing that the kernel reads beyond a part is in vain, and
 * its own readahead comes in large folios, which asking for pages does not (measured,
 * 1 GB, Linux 6.18: 5.5 GB/s and 5 ms of processor, of 3.5 and 120 ms; with a
 * readahead of 128 KiB 4.0 GB/s and 30 ms). Parts that were let go have advice of
 * their own against it. */
void gov__advice_readahead(struct gov__streamer *s)
{
    atomic_store(&s->readahead,
                 !any_cold(s) && !s->let_go && s->advice != GOV__ADVICE_RANDOM);
}

/* Where the stretch of a file ends that begins with the part in that place of its
 * order and has no rows that are looked up: each touch would read a huge page. Two
 * edges share one, which is not dropped by halves; they are the last to be cold. */
static uint32_t end_of_stretch(const struct gov__streamer *s, uint32_t at)
{
    struct gov__part *const *order = s->res.order;
    uint32_t end = at;

    while (end < s->res.part_count && order[end]->file == order[at]->file &&
           (order[end]->hot || !gov__part_is_rows(s, order[end])))
        end++;
    return end;
}

/* In one call where that is all of a file, so that the mapping stays one to the
 * kernel. */
static void advise_stretch(const struct gov__streamer *s, uint32_t at,
                           uint32_t end)
{
    const struct gov_platform *platform = s->range->platform;
    struct gov__part *const *order = s->res.order;
    const uint32_t index = order[at]->file;
    const struct gov__range_file *file = &s->range->files[index];
    const bool from_start = at == 0 || order[at - 1]->file != index;
    const bool to_end = end == s->res.part_count || order[end]->file != index;
    uint64_t begin = file->file_offset, stop = begin + file->bytes;

    /* A page at either end may be one of rows, too. */
    if (!from_start)
        begin = gov__round_up(order[at]->begin, s->range->page);
    if (!to_end)
        stop = gov__round_down(order[end - 1]->end, s->range->page);
    if (stop > begin) /* where there is no such advice it is as before */
        (void)platform->advise(platform->ctx,
                               gov__range_address(s->range, index, begin),
                               (size_t)(stop - begin), GOV__ADVICE_HUGE);
}

/* Parts are cut at huge pages of the files, too: else one that two parts share would
 * come with either and go with neither. */
static bool is_cut_at_huge_pages(const struct gov__streamer *s)
{
    bool is = s->direct && s->res.grain > s->res.page && !has_experts(s);

    for (uint32_t i = 0; i < s->res.unit_count; i++)
        is = is && s->res.units[i].phase == 0;
    return is;
}

/* With this a page that is missing comes in a huge page of the file, from Linux 5.18
 * on (`readrate --huge`), and is mapped as one: a pass over pages of 4 KiB took 8 %
 * longer on two threads. One more is read ahead, which is welcome where all stays;
 * else see gov__advice_try_huge(). */
void gov__advice_huge(struct gov__streamer *s)
{
    if (s->asked_huge || s->let_go || any_cold(s) || !is_cut_at_huge_pages(s))
        return;
    s->asked_huge = true;
    for (uint32_t at = 0, end;
         at<s->res.part_count; at = end> at ? end : at + 1) {
        end = end_of_stretch(s, at);
        if (end > at)
            advise_stretch(s, at, end);
    }
}

/* Each is a mincore(): a large model that is in memory is not looked through. */
#define LOOKS 16

/* A part that is to stay, of more than one huge page, with nothing of it in memory. */
static uint32_t absent_part(const struct gov__streamer *s)
{
    uint64_t begin, end;

    for (uint32_t i = 0, looks = 0; i < s->res.part_count && looks < LOOKS;
         i++) {
        if (!gov__part_may_be_huge(s, i, s->res.parts[i].hot) ||
            !s->range->files[s->res.parts[i].file].tells_resident)
            continue;
        gov__residency_pages(&s->res, i, &begin, &end);
        if (end - begin <= s->res.grain)
            continue;
        if (gov__part_resident(s, i, begin, end) == 0)
            return i;
        looks++;
    }
    return GOV__NO_PART;
}

/* Whether touching its first page brings one huge page, whole. Where the file system
 * knows no large folios as many small ones come, of which a half can go. */
static bool one_comes(const struct gov__streamer *s, uint32_t index)
{
    const struct gov_platform *platform = s->range->platform;
    const struct gov__range_file *file =
        &s->range->files[s->res.parts[index].file];
    const uint64_t grain = s->res.grain;
    uint64_t begin, end;
    void *page;

    gov__residency_pages(&s->res, index, &begin, &end);
    page = gov__range_address(s->range, s->res.parts[index].file, begin);
    return platform->populate(platform->ctx, page, s->range->page) == 0 &&
           gov__part_resident(s, index, begin, end) == grain &&
           platform->drop_cached(platform->ctx, file->fd, begin + grain / 2,
                                 grain / 2) == 0 &&
           gov__part_resident(s, index, begin, end) == grain;
}

/* Told of huge pages and that accesses are random the kernel reads just the huge page
 * that is missing, from Linux 5.18 on; before, a page of 4 KiB. Which of these is so
 * shows when one is touched. Where all is in memory already nothing shows, and little
 * is to be read. */
void gov__advice_try_huge(struct gov__streamer *s)
{
    uint64_t begin, end;
    uint32_t index;

    if (s->asked_huge || s->res.warm == GOV_WARM_NONE ||
        s->advise_load != s->advise_pass ||
        s->advise_load == GOV__ADVICE_SEQUENTIAL || !is_cut_at_huge_pages(s) ||
        (index = absent_part(s)) == GOV__NO_PART)
        return;
    s->huge_alone = gov__part_ask_huge(s, index) && one_comes(s, index);
    if (s->huge_alone)
        return;
    /* A mapping made anew has no advice at all. */
    gov__residency_pages(&s->res, index, &begin, &end);
    if (gov__anchor_undo(s->range, s->res.parts[index].file, begin, end) != 0)
        gov__count(&s->failures, 1);
    else if (s->advice != GOV__ADVICE_NORMAL)
        gov__part_advise(s, index, s->advice);
}

/* In one call a file, so that a mapping stays one to the kernel; none where
 * nothing changes. Reads of ours do not depend on it: see
 * gov__part_prefetch(). */
void gov__advice_give(struct gov__streamer *s, enum gov__advice advice)
{
    const struct gov_platform *platform = s->range->platform;

    if (s->advice == advice)
        return;
    s->advice = advice;
    gov__advice_readahead(s);
    for (uint32_t i = 0; i < s->range->file_count; i++) {
        const struct gov__range_file *file = &s->range->files[i];

        if (file->bytes > 0 && platform->advise(platform->ctx, file->base,
                                                file->bytes, advice) != 0)
            gov__count(&s->failures, 1);
    }
    advise_rows(s, GOV__ADVICE_RANDOM);
    if (s->advised != NULL)
        s->advised(s->tick_ctx);
}

void gov__advice_take_rows_in(struct gov__streamer *s)
{
    for (uint32_t i = 0; i < s->res.part_count; i++) {
        struct gov__part *part = &s->res.parts[i];

        if (!gov__part_is_rows(s, part) || !part->hot ||
            part->held != GOV__ABSENT)
            continue;
        gov__part_advise(s, i, s->advice);
        gov__shown_hold(s, i, GOV__UNKNOWN);
    }
}

void gov__advice_when_warm(struct gov__streamer *s)
{
    if (s->advice != s->advise_pass &&
        (s->res.warm == GOV_WARM_NONE ? atomic_load(&s->passes) > 0
                                      : gov__residency_is_warm(&s->res)))
        gov__advice_give(s, s->advise_pass);
}

void gov__advice_take_back(struct gov__streamer *s)
{
    if (s->direct) /* parts have advice of their own */
        s->advice = GOV__ADVICE_RANDOM;
    gov__advice_give(s, GOV__ADVICE_NORMAL);
    advise_rows(s, GOV__ADVICE_NORMAL);
}
