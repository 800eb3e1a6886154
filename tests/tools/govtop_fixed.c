/* SPDX-License-Identifier: MIT */
/* govtop as it is, on a made-up machine: linked with all of it but top_sample.c,
 * whose place this takes, so that what a terminal shows can be compared with saved
 * screens (tests/unit/test_govtop_pty.c).
 *
 *   GOVTOP_TURNS=N govtop_fixed [OPTION]...
 *
 * The first N samples, a second apart, are taken at once; then time stands still. */
#include <stdlib.h>

#include "tests/unit/govtop_pages.h"
#include "tools/govtop/top_parts.h"
#include "tools/govtop/top_sample.h"

static uint64_t turn, now_ms;

static uint64_t turns(void)
{
    const char *text = getenv("GOVTOP_TURNS");

    return text != NULL ? strtoull(text, NULL, 10) : 9;
}

uint64_t top_now_ms(void)
{
    if (turn < turns())
        now_ms += 60000; /* whatever was waited for is due */
    return now_ms;
}

gov_status top_source_take(struct top_source *source, gov_error *err)
{
    (void)err;
    if (turns() == 0) {
        fill_machine(1);
    } else {
        turn++;
        fill_turn(turn);
    }
    source->machine = machine;
    memcpy(source->pages, pages, sizeof(source->pages));
    source->sample = (struct top_sample){
        .machine = &source->machine,
        .pages = source->pages,
        .page_count = turns() == 0 ? 0 : 3,
        .others_us = machine.now_us,
    };
    return GOV_OK;
}

/* They are known whether they are wanted or not, as in the tests of views. */
gov_status top_source_look(struct top_source *source, bool wanted,
                           gov_error *err)
{
    (void)wanted;
    (void)err;
    memcpy(source->other, others, sizeof(others));
    source->sample.others = source->other;
    source->sample.other_count = turns() == 0 ? 0 : 2;
    return GOV_OK;
}

void top_source_gpu(struct top_gpu *out)
{
    memset(out, 0, sizeof(*out));
}

void top_order_run(struct top_state *state, const char *directory)
{
    (void)directory;
    state->order = (struct top_order){.kind = TOP_NO_ORDER};
}
