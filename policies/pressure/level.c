/* SPDX-License-Identifier: MIT */
/* The level machine: stalls, headroom, hysteresis. What grows, and how soon to
 * look again: level_signs.c. */
#include "policies/pressure/level_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Less than this between two samples says nothing about a rate of stall. */
#define MIN_SPAN_MS 200
/* A stall so large in the fast window is one to look at closely. */
#define STIRS_PERMILLE 10

/* One of the three: for a number between two of them the lower one. */
static gov_level named(gov_level level)
{
    if (level >= GOV_LEVEL_CRITICAL)
        return GOV_LEVEL_CRITICAL;
    return level >= GOV_LEVEL_WARN ? GOV_LEVEL_WARN : GOV_LEVEL_NORMAL;
}

const char *gov_level_name(gov_level level)
{
    switch (named(level)) {
    case GOV_LEVEL_CRITICAL:
        return "critical";
    case GOV_LEVEL_WARN:
        return "warn";
    case GOV_LEVEL_NORMAL:
        break;
    }
    return "normal";
}

/* Where the numbers come from:
 *   stall, warn      70 ms of 1 s in Android's lmkd, 100-200 ms of 2 s in
 *                    systemd's sd-event: between them
 *   stall, critical  full for 100 ms of 2 s, GLib's GMemoryMonitor
 *   headroom         earlyoom acts at 10 % and kills at 5 %; WARN comes sooner
 *                    because relief takes time and kills nothing
 *   system stall     ignored above 25 % available: Chromium's memory pressure
 *                    begins at 75 % used. GLib ignores it above 50 %, but half a
 *                    machine is no shortage, and a group that thrashes within its
 *                    own limit stalls the totals whatever is free elsewhere. Above
 *                    50 % of the budget where the machine is unknown
 *   calm             5 s before a step down, XNU's kern_memorystatus_notify.c
 *   fast             70 ms, lmkd's stall, of the 400 ms that four samples of the
 *                    alert pace span
 *   fill             with less than half left (GLib's half again): WARN while
 *                    relief still has the time of a few turns, CRITICAL with that
 *                    of two. earlyoom, too, sleeps by headroom over fill rate
 *   refault          a hundredth of what is resident in a second: the weights of a
 *                    model that fit but for a hundredth. lmkd acts at 30-100 % of
 *                    all file pages, and it kills
 *   look             10 Hz at most, since faster readers starve PSI triggers of
 *                    others; 1 Hz when nothing moves, as earlyoom
 */
void gov_level_rules_default(struct gov_level_rules *rules)
{
    *rules = (struct gov_level_rules){
        .window_ms = 2000,
        .warn_some_permille = 70,
        .warn_some_exit_permille = 30,
        .critical_full_permille = 50,
        .critical_full_exit_permille = 20,
        .warn_headroom_permille = 120,
        .warn_headroom_exit_permille = 160,
        .critical_headroom_permille = 50,
        .critical_headroom_exit_permille = 80,
        .system_stall_headroom_permille = 500,
        .calm_ms = 5000,
        .fast_window_ms = 400,
        .warn_fast_permille = 175,
        .system_stall_available_permille = 250,
        .fill_headroom_permille = 500,
        .warn_fill_ms = 1500,
        .critical_fill_ms = 400,
        .warn_refault_permille = 10,
        .warn_refault_exit_permille = 5,
        .alert_ms = 100,
        .idle_ms = 1000,
    };
}

const struct gov_evidence *gov__past(const struct gov_level_machine *m,
                                     uint32_t back)
{
    return &m->past[(m->next + GOV_LEVEL_SAMPLES - 1 - back) %
                    GOV_LEVEL_SAMPLES];
}

static bool shrank(const struct gov_evidence *before,
                   const struct gov_evidence *now)
{
    return now->memory_some_us < before->memory_some_us ||
           now->memory_full_us < before->memory_full_us;
}

static bool stall_leads_to(const struct gov_evidence *past,
                           const struct gov_evidence *now)
{
    return (past->have & GOV_HAVE_STALL) != 0 && !shrank(past, now);
}

/* Oldest within the window, or where samples are taken less often than that, the
 * last one. */
const struct gov_evidence *gov__window_start(const struct gov_level_machine *m,
                                             uint32_t window_ms,
                                             const struct gov_evidence *now,
                                             gov__leads_to_fn leads_to)
{
    const struct gov_evidence *start = NULL;
    uint64_t span_ms = 0;

    for (uint32_t back = 0; back < m->count; back++) {
        const struct gov_evidence *past = gov__past(m, back);
        bool enough = span_ms >= MIN_SPAN_MS;

        if (!leads_to(past, now) ||
            (enough && now->now_ms - past->now_ms > window_ms))
            break;
        start = past;
        span_ms = now->now_ms - past->now_ms;
    }
    return span_ms < MIN_SPAN_MS ? NULL : start;
}

void gov__raise(struct gov__finding *f, gov_level level, uint32_t cause,
                const char *reason)
{
    f->causes |= cause;
    if (level <= f->level)
        return;
    f->level = level;
    snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

/* A threshold in force: that of leaving while the level it guards is held. Where
 * a level is entered sooner than it is left, it would come and go with nothing
 * changing; then it is left as it is entered. */
uint32_t gov__stall_edge(gov_level held, gov_level guarded, uint32_t enter,
                         uint32_t leave)
{
    return held >= guarded && leave < enter ? leave : enter;
}

static uint32_t headroom_edge(gov_level held, gov_level guarded, uint32_t enter,
                              uint32_t leave)
{
    return held >= guarded && leave > enter ? leave : enter;
}

/* Microseconds of stall in a span of milliseconds; who waited all the time and then some has a
 * clock that is a little off. */
static uint64_t permille_of(uint64_t stall_us, uint64_t span_ms)
{
    uint64_t permille = stall_us / span_ms;

    return permille < 1000 ? permille : 1000;
}

static void say_stall(char *out, size_t bytes, const char *who,
                      uint64_t permille, uint64_t span_ms)
{
    snprintf(out, bytes,
             "%s waited for memory %" PRIu64 ".%" PRIu64
             " %% of the last %" PRIu64 ".%" PRIu64 " s",
             who, permille / 10, permille % 10, span_ms / 1000,
             span_ms / 100 % 10);
}

/* Dividing first keeps the products below 2^64 whatever the sizes. */
uint64_t gov__permille(uint64_t whole)
{
    return whole / 1000 + (whole % 1000 != 0);
}

/* Somebody else's group that thrashes within its own limit stalls the system's
 * totals while memory is plenty here: that is no reason to give anything back. How
 * near this process is to a limit of its own has nothing to do with it; it is
 * asked only where there is nothing better. */
static bool is_others_stall(const struct gov_level_machine *m,
                            const struct gov_level_rules *r,
                            const struct gov_evidence *now)
{
    if ((now->have & GOV_HAVE_SYSTEM_STALL) == 0 || gov__suffers(m, r, now))
        return false;
    if ((now->have & GOV_HAVE_MACHINE) != 0 && now->machine_total_bytes != 0 &&
        r->system_stall_available_permille != 0)
        return now->machine_available_bytes /
                   gov__permille(now->machine_total_bytes) >
               r->system_stall_available_permille;
    return (now->have & GOV_HAVE_HEADROOM) != 0 && now->budget_bytes != 0 &&
           now->headroom_bytes / gov__permille(now->budget_bytes) >
               r->system_stall_headroom_permille;
}

/* Compared with the whole window also where less of it was seen: a hiccup between
 * the first two samples is not a stall of that share. */
static void judge_fast_stall(const struct gov_level_machine *m,
                             const struct gov_level_rules *r,
                             const struct gov_evidence *now,
                             struct gov__finding *f)
{
    const struct gov_evidence *start =
        gov__window_start(m, r->fast_window_ms, now, stall_leads_to);
    uint64_t span_ms, stall_us, over_ms;
    char text[128];

    if (start == NULL)
        return;
    span_ms = now->now_ms - start->now_ms;
    over_ms = span_ms > r->fast_window_ms ? span_ms : r->fast_window_ms;
    stall_us = now->memory_some_us - start->memory_some_us;
    if (stall_us / span_ms >= STIRS_PERMILLE)
        f->stirring = true;
    if (r->fast_window_ms == 0 || r->warn_fast_permille == 0 ||
        stall_us / over_ms < r->warn_fast_permille)
        return;
    say_stall(text, sizeof(text), "something", permille_of(stall_us, span_ms),
              span_ms);
    gov__raise(f, GOV_LEVEL_WARN, GOV_CAUSE_STALL, text);
}

/* A process may be started into pressure: the kernel's average is all the past
 * that it has. */
static void judge_recent_stall(const struct gov_level_machine *m,
                               const struct gov_level_rules *r,
                               const struct gov_evidence *now,
                               struct gov__finding *f)
{
    const uint32_t recent =
        now->recent_some_permille < 1000 ? now->recent_some_permille : 1000;
    char text[128];

    if (m->count > 0 || (now->have & GOV_HAVE_RECENT) == 0)
        return;
    f->judged = true;
    if (recent == 0 || recent < r->warn_some_permille ||
        is_others_stall(m, r, now))
        return;
    say_stall(text, sizeof(text), "something", recent, 10000);
    gov__raise(f, GOV_LEVEL_WARN, GOV_CAUSE_STALL, text);
}

static void judge_stall(const struct gov_level_machine *m,
                        const struct gov_level_rules *r,
                        const struct gov_evidence *now, struct gov__finding *f)
{
    const struct gov_evidence *start;
    uint64_t span_ms, some, full;
    char text[128];

    if ((now->have & GOV_HAVE_STALL) == 0)
        return;
    judge_recent_stall(m, r, now, f);
    start = gov__window_start(m, r->window_ms, now, stall_leads_to);
    if (start == NULL)
        return;
    f->judged = true;
    if (is_others_stall(m, r, now))
        return;
    span_ms = now->now_ms - start->now_ms;
    some = permille_of(now->memory_some_us - start->memory_some_us, span_ms);
    full = permille_of(now->memory_full_us - start->memory_full_us, span_ms);
    /* No stall is no sign of pressure, whatever the threshold. */
    if (full > 0 && full >= gov__stall_edge(m->level, GOV_LEVEL_CRITICAL,
                                            r->critical_full_permille,
                                            r->critical_full_exit_permille)) {
        say_stall(text, sizeof(text), "everything", full, span_ms);
        gov__raise(f, GOV_LEVEL_CRITICAL, GOV_CAUSE_STALL, text);
    }
    if (some > 0 &&
        some >= gov__stall_edge(m->level, GOV_LEVEL_WARN, r->warn_some_permille,
                                r->warn_some_exit_permille)) {
        say_stall(text, sizeof(text), "something", some, span_ms);
        gov__raise(f, GOV_LEVEL_WARN, GOV_CAUSE_STALL, text);
    }
    judge_fast_stall(m, r, now, f);
}

static uint32_t critical_headroom(gov_level held,
                                  const struct gov_level_rules *r)
{
    return headroom_edge(held, GOV_LEVEL_CRITICAL,
                         r->critical_headroom_permille,
                         r->critical_headroom_exit_permille);
}

uint32_t gov__warn_headroom(gov_level held, const struct gov_level_rules *r)
{
    return headroom_edge(held, GOV_LEVEL_WARN, r->warn_headroom_permille,
                         r->warn_headroom_exit_permille);
}

/* Against the sample before. */
static bool hit_the_limit(const struct gov_level_machine *m,
                          const struct gov_evidence *now)
{
    const struct gov_evidence *last = m->count > 0 ? gov__past(m, 0) : NULL;

    return last != NULL &&
           (now->have & last->have & GOV_HAVE_LIMIT_HITS) != 0 &&
           now->limit_hits > last->limit_hits;
}

static void judge_headroom(const struct gov_level_machine *m,
                           const struct gov_level_rules *r,
                           const struct gov_evidence *now,
                           struct gov__finding *f)
{
    uint64_t permille;
    char text[128];

    if ((now->have & GOV_HAVE_HEADROOM) == 0 || now->budget_bytes == 0)
        return;
    f->judged = true;
    permille = now->headroom_bytes / gov__permille(now->budget_bytes);
    snprintf(text, sizeof(text),
             "%" PRIu64 " MiB of the %" PRIu64 " MiB budget are left",
             now->headroom_bytes >> 20, now->budget_bytes >> 20);
    if (permille <= critical_headroom(m->level, r))
        gov__raise(f, GOV_LEVEL_CRITICAL, GOV_CAUSE_HEADROOM, text);
    else if (permille <= gov__warn_headroom(m->level, r))
        gov__raise(f, GOV_LEVEL_WARN, GOV_CAUSE_HEADROOM, text);
    /* A group full of file pages runs into its limit all the time, and nothing is
     * wrong with it. */
    if ((f->causes & GOV_CAUSE_HEADROOM) != 0 && hit_the_limit(m, now))
        f->causes |= GOV_CAUSE_LIMIT;
}

static void judge_os_level(const struct gov_evidence *now,
                           struct gov__finding *f)
{
    if ((now->have & GOV_HAVE_OS_LEVEL) == 0)
        return;
    f->judged = true;
    if (now->os_level >= GOV_LEVEL_WARN)
        gov__raise(f, named(now->os_level), GOV_CAUSE_OS, "the system says so");
}

static bool ran_backwards(const struct gov_evidence *last,
                          const struct gov_evidence *now)
{
    if (now->now_ms < last->now_ms)
        return true;
    return (now->have & last->have & GOV_HAVE_STALL) != 0 && shrank(last, now);
}

/* Samples that come faster than the ring is long replace the last one, so that
 * the ring always reaches back over a whole window. */
static void remember(struct gov_level_machine *m, uint32_t window_ms,
                     const struct gov_evidence *now)
{
    const uint32_t apart_ms = window_ms / (GOV_LEVEL_SAMPLES - 2) + 1;

    if (m->count >= 2 &&
        gov__past(m, 0)->now_ms - gov__past(m, 1)->now_ms < apart_ms)
        m->next = (m->next + GOV_LEVEL_SAMPLES - 1) % GOV_LEVEL_SAMPLES;
    else if (m->count < GOV_LEVEL_SAMPLES)
        m->count++;
    m->past[m->next] = *now;
    m->next = (m->next + 1) % GOV_LEVEL_SAMPLES;
}

/* One level down, once the evidence has pointed lower for calm_ms. */
static void fall(struct gov_level_machine *m, const struct gov_level_rules *r,
                 uint64_t now_ms)
{
    if (!m->calm) {
        m->calm = true;
        m->calm_since_ms = now_ms;
        return;
    }
    if (now_ms - m->calm_since_ms < r->calm_ms)
        return;
    m->level =
        m->level >= GOV_LEVEL_CRITICAL ? GOV_LEVEL_WARN : GOV_LEVEL_NORMAL;
    m->calm_since_ms = now_ms;
    snprintf(m->reason, sizeof(m->reason), "calm for %" PRIu32 ".%" PRIu32 " s",
             r->calm_ms / 1000, r->calm_ms % 1000 / 100);
}

static void restart(struct gov_level_machine *m)
{
    m->started = true;
    m->simulated = false;
    m->level = GOV_LEVEL_NORMAL;
    m->calm = false;
    m->corroborated = m->relieved = false;
    snprintf(m->reason, sizeof(m->reason), "no sign of pressure");
}

static void simulate(struct gov_level_machine *m, gov_level level)
{
    m->simulated = true;
    m->level = named(level);
    m->calm = false;
    m->causes = 0;
    m->stirring = m->relieved = false;
    m->fill_bytes_per_s = 0;
    m->corroborated = m->level >= GOV_LEVEL_CRITICAL;
    snprintf(m->reason, sizeof(m->reason), "simulated");
}

/* Headroom and the rate at which it goes are one counter. */
static bool agree(uint32_t causes)
{
    if ((causes & GOV_CAUSE_FILL) != 0)
        causes = (causes & ~(uint32_t)GOV_CAUSE_FILL) | GOV_CAUSE_HEADROOM;
    return (causes & (causes - 1)) != 0;
}

static void corroborate(struct gov_level_machine *m,
                        const struct gov__finding *f)
{
    if (f->level < GOV_LEVEL_CRITICAL)
        m->corroborated = false;
    else if (m->relieved || agree(f->causes))
        m->corroborated = true;
    m->relieved = false;
}

void gov_level_relieved(struct gov_level_machine *m)
{
    m->relieved = m->level >= GOV_LEVEL_CRITICAL && !m->calm && !m->simulated;
}

static void follow(struct gov_level_machine *m, const struct gov_level_rules *r,
                   uint64_t now_ms, const struct gov__finding *f)
{
    m->causes = f->causes;
    m->stirring = f->stirring;
    m->fill_bytes_per_s = f->fill_bytes_per_s;
    corroborate(m, f);
    if (!f->judged) {
        m->calm_since_ms = now_ms; /* unknown is not calm */
    } else if (f->level < m->level) {
        fall(m, r, now_ms);
    } else {
        m->level = f->level;
        m->calm = false;
        if (f->reason[0] != '\0')
            memcpy(m->reason, f->reason, sizeof(m->reason));
    }
}

gov_level gov_level_step(struct gov_level_machine *m,
                         const struct gov_level_rules *r,
                         const struct gov_evidence *now)
{
    struct gov__finding f = {.level = GOV_LEVEL_NORMAL};

    if (m->count > 0 && ran_backwards(gov__past(m, 0), now)) {
        m->count = 0;
        m->calm = false;
    }
    if ((now->have & GOV_HAVE_SIMULATED) != 0) {
        simulate(m, now->simulated_level);
    } else {
        if (!m->started || m->simulated)
            restart(m);
        judge_stall(m, r, now, &f);
        judge_headroom(m, r, now, &f);
        gov__judge_fill(m, r, now, &f);
        gov__judge_refaults(m, r, now, &f);
        judge_os_level(now, &f);
        follow(m, r, now->now_ms, &f);
    }
    remember(m, r->window_ms, now);
    return m->level;
}

uint64_t gov_level_wanted(const struct gov_level_rules *r, gov_level level,
                          const struct gov_evidence *now)
{
    uint64_t leave, permille = gov__permille(now->budget_bytes), enough;

    if (level < GOV_LEVEL_WARN || (now->have & GOV_HAVE_SIMULATED) != 0 ||
        (now->have & GOV_HAVE_HEADROOM) == 0 || now->budget_bytes == 0)
        return 0;
    leave = level >= GOV_LEVEL_CRITICAL ? critical_headroom(level, r)
                                        : gov__warn_headroom(level, r);
    /* The first headroom that judge_headroom() finds above the threshold. */
    enough = permille > UINT64_MAX / (leave + 1) ? UINT64_MAX
                                                 : permille * (leave + 1);
    return enough > now->headroom_bytes ? enough - now->headroom_bytes : 0;
}
