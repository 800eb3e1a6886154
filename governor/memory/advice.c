/* SPDX-License-Identifier: MIT */
#include "governor/memory/advice.h"

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

/* Where everything stays, nothing that the kernel reads beyond a part is in vain, and
 * its own readahead comes in large folios, which asking for pages does not (measured,
 * 1 GB, Linux 6.18: 5.5 GB/s and 5 ms of processor, of 3.5 and 120 ms; with a
 * readahead of 128 KiB 4.0 GB/s and 30 ms). Parts that were let go have advice of
 * their own against it. */
void gov__advice_readahead(struct gov__streamer *s)
{
    bool any_cold = false;

    for (uint32_t i = 0; i < s->res.unit_count; i++)
        any_cold = any_cold || s->res.units[i].any_cold;
    atomic_store(&s->readahead,
                 !any_cold && !s->let_go && s->advice != GOV__ADVICE_RANDOM);
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
