/* SPDX-License-Identifier: MIT */
/* Signs of pressure that lead or that stalls do not show: how fast headroom goes,
 * and file pages that are read again and again. And how soon to look again. */
#include <inttypes.h>
#include <stdio.h>

#include "policies/pressure/level_priv.h"

/* Two samples that are closer say nothing of a rate, two that are further apart
 * nothing of now. */
#define FILL_LEAST_MS 80
#define FILL_MOST_MS 5000

#define REFAULT_WINDOW_MS 1000
/* A process with hardly any file pages does not thrash. */
#define REFAULT_LEAST_BYTES ((uint64_t)4 << 20)
/* What a major fault reads, at most: the kernel's readahead (read_ahead_kb). */
#define FAULT_BYTES ((uint64_t)128 << 10)
#define SUFFERS_BYTES ((uint64_t)1 << 20)

/* Where rules say nothing: faster reads starve PSI triggers of others. */
#define ALERT_MS 100
/* A pace that suits whoever knows nothing of headroom. */
#define UNKNOWN_MS 250
/* Looks until headroom reaches WARN, at least. */
#define LOOKS_AHEAD 4

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* bytes * a / b; the nearest that there is where the product is too large. */
static uint64_t scaled(uint64_t bytes, uint64_t a, uint64_t b)
{
    if (a == 0 || bytes <= UINT64_MAX / a)
        return bytes * a / b;
    if (b / a > 0)
        return bytes / (b / a);
    return bytes / b > UINT64_MAX / a - 1 ? UINT64_MAX : bytes / b * a;
}

/* ---- fill rate ------------------------------------------------------------- */

static bool knows_headroom(const struct gov_evidence *e)
{
    return (e->have & GOV_HAVE_HEADROOM) != 0 && e->budget_bytes != 0;
}

/* The newest sample that is far enough from `to`, among those from *back on, which
 * then is its number; NULL where there is none, or one of another budget. */
static const struct gov_evidence *step_back(const struct gov_level_machine *m,
                                            const struct gov_evidence *to,
                                            uint32_t *back)
{
    for (; *back < m->count; (*back)++) {
        const struct gov_evidence *past = gov__past(m, *back);
        const uint64_t ms = to->now_ms - past->now_ms;

        if (!knows_headroom(past) || past->budget_bytes != to->budget_bytes ||
            ms > FILL_MOST_MS)
            return NULL;
        if (ms >= FILL_LEAST_MS)
            return past;
    }
    return NULL;
}

/* What was to be expected of the growth between two samples. */
static uint64_t expected_growth(const struct gov_evidence *from,
                                const struct gov_evidence *to)
{
    const uint32_t both = from->have & to->have;

    if ((both & GOV_HAVE_EXPECTED) != 0)
        return from->expected_bytes;
    if ((both & GOV_HAVE_OWN) != 0)
        return less(to->own_footprint_bytes, from->own_footprint_bytes);
    return 0;
}

/* Bytes a second: of all that headroom lost, and without what was expected. */
static uint64_t loss_rate(const struct gov_evidence *from,
                          const struct gov_evidence *to, uint64_t expected)
{
    const uint64_t lost = less(from->headroom_bytes, to->headroom_bytes);

    return scaled(less(lost, expected), 1000, to->now_ms - from->now_ms);
}

static uint64_t fill_rate(const struct gov_evidence *from,
                          const struct gov_evidence *to)
{
    return loss_rate(from, to, expected_growth(from, to));
}

/* One large allocation is no stream of them: the rate is the slower one of the
 * last two steps. */
void gov__judge_fill(const struct gov_level_machine *m,
                     const struct gov_level_rules *r,
                     const struct gov_evidence *now, struct gov__finding *f)
{
    const struct gov_evidence *last, *before;
    uint64_t rate, empty_ms;
    uint32_t back = 0;
    char text[128];

    if (!knows_headroom(now))
        return;
    last = step_back(m, now, &back);
    if (last == NULL)
        return;
    f->fill_bytes_per_s = loss_rate(last, now, 0);
    before = step_back(m, last, &back);
    if (before == NULL)
        return;
    rate = smaller(fill_rate(last, now), fill_rate(before, last));
    if (rate == 0 || now->headroom_bytes / gov__permille(now->budget_bytes) >
                         r->fill_headroom_permille)
        return;
    empty_ms = scaled(now->headroom_bytes, 1000, rate);
    snprintf(text, sizeof(text),
             "the %" PRIu64 " MiB that are left fill up in %" PRIu64 ".%" PRIu64
             " s",
             now->headroom_bytes >> 20, empty_ms / 1000, empty_ms / 100 % 10);
    if (empty_ms < r->critical_fill_ms)
        gov__raise(f, GOV_LEVEL_CRITICAL, GOV_CAUSE_FILL, text);
    else if (empty_ms < r->warn_fill_ms)
        gov__raise(f, GOV_LEVEL_WARN, GOV_CAUSE_FILL, text);
}

/* ---- refaults -------------------------------------------------------------- */

#define OF_REFAULTS                                                            \
    (GOV_HAVE_REFAULT | GOV_HAVE_SYSTEM_REFAULT | GOV_HAVE_OWN |               \
     GOV_HAVE_OWN_READS)

static bool refaults_lead_to(const struct gov_evidence *past,
                             const struct gov_evidence *now)
{
    if (((past->have ^ now->have) & OF_REFAULTS) != 0 ||
        past->refault_bytes > now->refault_bytes)
        return false;
    if ((now->have & GOV_HAVE_OWN) != 0 &&
        past->own_major_faults > now->own_major_faults)
        return false;
    return (now->have & GOV_HAVE_OWN_READS) == 0 ||
           (past->own_read_bytes <= now->own_read_bytes &&
            past->streamed_bytes <= now->streamed_bytes);
}

/* What this process faulted in from storage and did not keep: everything read, but
 * for what was read on purpose, what is resident now and was not, and what no fault
 * can have brought. Who loads a file for the first time keeps it. */
static uint64_t faulted_in_vain(const struct gov_evidence *from,
                                const struct gov_evidence *to)
{
    const uint64_t faults = to->own_major_faults - from->own_major_faults;
    uint64_t bytes = to->own_read_bytes - from->own_read_bytes;

    bytes = less(bytes, to->streamed_bytes - from->streamed_bytes);
    bytes = less(bytes, less(to->own_resident_file_bytes,
                             from->own_resident_file_bytes));
    return faults > UINT64_MAX / FAULT_BYTES
               ? bytes
               : smaller(bytes, faults * FAULT_BYTES);
}

static bool is_loading(const struct gov_evidence *e)
{
    return (e->have & GOV_HAVE_EXPECTED) != 0 && e->expected_bytes != 0;
}

/* Bytes that were here, were lost and were read again since *start, NULL where
 * nobody can tell. Refaults of the whole system may be a scan of somebody else's:
 * they count as far as this process's own faults do. */
static uint64_t refaulted(const struct gov_level_machine *m, uint32_t window_ms,
                          const struct gov_evidence *now,
                          const struct gov_evidence **start)
{
    const uint32_t own = GOV_HAVE_OWN | GOV_HAVE_OWN_READS;
    uint64_t bytes;

    *start = NULL;
    if ((now->have & GOV_HAVE_REFAULT) == 0)
        return 0;
    if ((now->have & GOV_HAVE_SYSTEM_REFAULT) != 0 && (now->have & own) != own)
        return 0;
    *start = gov__window_start(m, window_ms, now, refaults_lead_to);
    if (*start == NULL)
        return 0;
    /* The kernel takes what another group lost for a refault of who reads it. */
    if (is_loading(now) || is_loading(*start))
        return 0;
    bytes = now->refault_bytes - (*start)->refault_bytes;
    if ((now->have & GOV_HAVE_SYSTEM_REFAULT) == 0)
        return bytes;
    return smaller(bytes, faulted_in_vain(*start, now));
}

bool gov__suffers(const struct gov_level_machine *m,
                  const struct gov_level_rules *r,
                  const struct gov_evidence *now)
{
    const struct gov_evidence *start;

    return refaulted(m, r->window_ms, now, &start) >= SUFFERS_BYTES;
}

void gov__judge_refaults(const struct gov_level_machine *m,
                         const struct gov_level_rules *r,
                         const struct gov_evidence *now, struct gov__finding *f)
{
    const uint32_t edge =
        gov__stall_edge(m->level, GOV_LEVEL_WARN, r->warn_refault_permille,
                        r->warn_refault_exit_permille);
    const struct gov_evidence *start;
    uint64_t bytes, span_ms, enough;
    char text[128];

    if (r->warn_refault_permille == 0 || (now->have & GOV_HAVE_OWN) == 0)
        return;
    bytes = refaulted(m, REFAULT_WINDOW_MS, now, &start);
    if (start == NULL)
        return;
    f->judged = true;
    span_ms = now->now_ms - start->now_ms;
    enough = scaled(now->own_resident_file_bytes, edge, 1000);
    if (enough < REFAULT_LEAST_BYTES)
        enough = REFAULT_LEAST_BYTES;
    /* At least a whole second's worth, however short the span. */
    if (span_ms > REFAULT_WINDOW_MS)
        enough = scaled(enough, span_ms, REFAULT_WINDOW_MS);
    if (bytes >= enough / 4)
        f->stirring = true;
    if (bytes < enough)
        return;
    snprintf(text, sizeof(text),
             "%" PRIu64 " MiB of file pages were lost and read again within "
             "%" PRIu64 ".%" PRIu64 " s",
             bytes >> 20, span_ms / 1000, span_ms / 100 % 10);
    gov__raise(f, GOV_LEVEL_WARN, GOV_CAUSE_REFAULT, text);
}

/* ---- how soon to look again ------------------------------------------------ */

/* From `alert` at the share where WARN is left to `idle` at half of the budget. */
static uint64_t by_share(const struct gov_level_rules *r, uint64_t permille,
                         uint64_t alert, uint64_t idle)
{
    const uint64_t low = gov__warn_headroom(GOV_LEVEL_WARN, r);
    const uint64_t high = r->fill_headroom_permille;

    if (permille <= low)
        return alert;
    if (permille >= high)
        return idle;
    return alert + (idle - alert) * (permille - low) / (high - low);
}

uint32_t gov_level_look_ms(const struct gov_level_machine *m,
                           const struct gov_level_rules *r,
                           const struct gov_evidence *now)
{
    const uint64_t alert = r->alert_ms > 0 ? r->alert_ms : ALERT_MS;
    const uint64_t idle = r->idle_ms > alert ? r->idle_ms : alert;
    uint64_t spare, ms;

    if (m->level >= GOV_LEVEL_WARN || m->stirring)
        return (uint32_t)alert;
    if (!knows_headroom(now))
        return (uint32_t)(idle < UNKNOWN_MS    ? idle
                          : alert > UNKNOWN_MS ? alert
                                               : UNKNOWN_MS);
    ms = by_share(r, now->headroom_bytes / gov__permille(now->budget_bytes),
                  alert, idle);
    if (m->fill_bytes_per_s > 0) {
        spare =
            less(now->headroom_bytes,
                 scaled(now->budget_bytes, r->warn_headroom_permille, 1000));
        ms =
            smaller(ms, scaled(spare, 1000, m->fill_bytes_per_s) / LOOKS_AHEAD);
    }
    return (uint32_t)(ms > alert ? ms : alert);
}
