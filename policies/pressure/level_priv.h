/* SPDX-License-Identifier: MIT */
/* What level.c (the machine: stalls, headroom, hysteresis) and level_signs.c (what
 * grows: fill rate, refaults; and the pace of looks) share. */
#ifndef GOV_POLICIES_LEVEL_PRIV_H
#define GOV_POLICIES_LEVEL_PRIV_H

#include "policies/level.h"

/* What one sample, with the window behind it, points to. */
struct gov__finding {
    bool judged; /* there was something to judge by */
    gov_level level;
    uint32_t causes;
    bool stirring;
    uint64_t fill_bytes_per_s;
    char reason[128];
};

/* ---- level.c --------------------------------------------------------------- */

/* The sample before, the one before that, and so on; back < m->count. */
const struct gov_evidence *gov__past(const struct gov_level_machine *m,
                                     uint32_t back);

/* Whether totals of `past` are known and not above those of `now`. */
typedef bool (*gov__leads_to_fn)(const struct gov_evidence *past,
                                 const struct gov_evidence *now);

/* The sample to take differences from; NULL when totals are missing or reach back
 * too little. */
const struct gov_evidence *gov__window_start(const struct gov_level_machine *m,
                                             uint32_t window_ms,
                                             const struct gov_evidence *now,
                                             gov__leads_to_fn leads_to);

void gov__raise(struct gov__finding *f, gov_level level, uint32_t cause,
                const char *reason);

/* The threshold in force: that of leaving while the guarded level is held. */
uint32_t gov__stall_edge(gov_level held, gov_level guarded, uint32_t enter,
                         uint32_t leave);
uint32_t gov__warn_headroom(gov_level held, const struct gov_level_rules *r);

/* A thousandth, rounded up: 0 of 0 alone. */
uint64_t gov__permille(uint64_t whole);

/* ---- level_signs.c --------------------------------------------------------- */

void gov__judge_fill(const struct gov_level_machine *m,
                     const struct gov_level_rules *r,
                     const struct gov_evidence *now, struct gov__finding *f);
void gov__judge_refaults(const struct gov_level_machine *m,
                         const struct gov_level_rules *r,
                         const struct gov_evidence *now,
                         struct gov__finding *f);

/* Whether this process, or its group, read again what it lost within the window:
 * then a stall of the system is a stall here. */
bool gov__suffers(const struct gov_level_machine *m,
                  const struct gov_level_rules *r,
                  const struct gov_evidence *now);

#endif
