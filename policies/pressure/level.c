/* SPDX-License-Identifier: MIT */
#include "policies/level.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Less than this between two samples says nothing about a rate of stall. */
#define MIN_SPAN_MS 200

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
 *   system stall     ignored above 50 % available, GLib's GMemoryMonitor
 *   calm             5 s before a step down, XNU's kern_memorystatus_notify.c
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
    };
}

/* What one sample, with the window behind it, points to. */
struct finding {
    bool judged; /* there was something to judge by */
    gov_level level;
    char reason[128];
};

static const struct gov_evidence *sample(const struct gov_level_machine *m,
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

/* The sample to take differences from: the oldest within the window, or where
 * samples are taken less often than that, the last one. NULL when totals are
 * missing or reach back less than MIN_SPAN_MS. */
static const struct gov_evidence *
window_start(const struct gov_level_machine *m, uint32_t window_ms,
             const struct gov_evidence *now)
{
    const struct gov_evidence *start = NULL;
    uint64_t span_ms = 0;

    for (uint32_t back = 0; back < m->count; back++) {
        const struct gov_evidence *past = sample(m, back);
        bool enough = span_ms >= MIN_SPAN_MS;

        if ((past->have & GOV_HAVE_STALL) == 0 || shrank(past, now) ||
            (enough && now->now_ms - past->now_ms > window_ms))
            break;
        start = past;
        span_ms = now->now_ms - past->now_ms;
    }
    return span_ms < MIN_SPAN_MS ? NULL : start;
}

static void raise_to(struct finding *f, gov_level level, const char *reason)
{
    if (level <= f->level)
        return;
    f->level = level;
    snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

/* A threshold in force: that of leaving while the level it guards is held. Where
 * a level is entered sooner than it is left, it would come and go with nothing
 * changing; then it is left as it is entered. */
static uint32_t stall_edge(gov_level held, gov_level guarded, uint32_t enter,
                           uint32_t leave)
{
    return held >= guarded && leave < enter ? leave : enter;
}

static uint32_t headroom_edge(gov_level held, gov_level guarded, uint32_t enter,
                              uint32_t leave)
{
    return held >= guarded && leave > enter ? leave : enter;
}

/* Microseconds of stall in a span; who waited all the time and then some has a
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
static uint64_t budget_permille(uint64_t budget_bytes)
{
    return budget_bytes / 1000 + (budget_bytes % 1000 != 0);
}

/* Somebody else's group that thrashes within its own limit stalls the system's
 * totals while memory is plenty here: that is no reason to give anything back. */
static bool is_others_stall(const struct gov_level_rules *r,
                            const struct gov_evidence *now)
{
    const uint32_t both = GOV_HAVE_SYSTEM_STALL | GOV_HAVE_HEADROOM;

    return (now->have & both) == both && now->budget_bytes != 0 &&
           now->headroom_bytes / budget_permille(now->budget_bytes) >
               r->system_stall_headroom_permille;
}

static void judge_stall(const struct gov_level_machine *m,
                        const struct gov_level_rules *r,
                        const struct gov_evidence *now, struct finding *f)
{
    const struct gov_evidence *start;
    uint64_t span_ms, some, full;
    char text[128];

    if ((now->have & GOV_HAVE_STALL) == 0)
        return;
    start = window_start(m, r->window_ms, now);
    if (start == NULL)
        return;
    f->judged = true;
    if (is_others_stall(r, now))
        return;
    span_ms = now->now_ms - start->now_ms;
    some = permille_of(now->memory_some_us - start->memory_some_us, span_ms);
    full = permille_of(now->memory_full_us - start->memory_full_us, span_ms);
    /* No stall is no sign of pressure, whatever the threshold. */
    if (full > 0 && full >= stall_edge(m->level, GOV_LEVEL_CRITICAL,
                                       r->critical_full_permille,
                                       r->critical_full_exit_permille)) {
        say_stall(text, sizeof(text), "everything", full, span_ms);
        raise_to(f, GOV_LEVEL_CRITICAL, text);
    }
    if (some > 0 &&
        some >= stall_edge(m->level, GOV_LEVEL_WARN, r->warn_some_permille,
                           r->warn_some_exit_permille)) {
        say_stall(text, sizeof(text), "something", some, span_ms);
        raise_to(f, GOV_LEVEL_WARN, text);
    }
}

static uint32_t critical_headroom(gov_level held,
                                  const struct gov_level_rules *r)
{
    return headroom_edge(held, GOV_LEVEL_CRITICAL,
                         r->critical_headroom_permille,
                         r->critical_headroom_exit_permille);
}

static uint32_t warn_headroom(gov_level held, const struct gov_level_rules *r)
{
    return headroom_edge(held, GOV_LEVEL_WARN, r->warn_headroom_permille,
                         r->warn_headroom_exit_permille);
}

static void judge_headroom(const struct gov_level_machine *m,
                           const struct gov_level_rules *r,
                           const struct gov_evidence *now, struct finding *f)
{
    uint64_t permille;
    char text[128];

    if ((now->have & GOV_HAVE_HEADROOM) == 0 || now->budget_bytes == 0)
        return;
    f->judged = true;
    permille = now->headroom_bytes / budget_permille(now->budget_bytes);
    snprintf(text, sizeof(text),
             "%" PRIu64 " MiB of the %" PRIu64 " MiB budget are left",
             now->headroom_bytes >> 20, now->budget_bytes >> 20);
    if (permille <= critical_headroom(m->level, r))
        raise_to(f, GOV_LEVEL_CRITICAL, text);
    else if (permille <= warn_headroom(m->level, r))
        raise_to(f, GOV_LEVEL_WARN, text);
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

    if (m->count >= 2 && sample(m, 0)->now_ms - sample(m, 1)->now_ms < apart_ms)
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
    snprintf(m->reason, sizeof(m->reason), "no sign of pressure");
}

static void simulate(struct gov_level_machine *m, gov_level level)
{
    m->simulated = true;
    m->level = named(level);
    m->calm = false;
    snprintf(m->reason, sizeof(m->reason), "simulated");
}

static void follow(struct gov_level_machine *m, const struct gov_level_rules *r,
                   uint64_t now_ms, const struct finding *f)
{
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
    struct finding f = {false, GOV_LEVEL_NORMAL, ""};

    if (m->count > 0 && ran_backwards(sample(m, 0), now)) {
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
        follow(m, r, now->now_ms, &f);
    }
    remember(m, r->window_ms, now);
    return m->level;
}

uint64_t gov_level_wanted(const struct gov_level_rules *r, gov_level level,
                          const struct gov_evidence *now)
{
    uint64_t leave, permille = budget_permille(now->budget_bytes), enough;

    if (level < GOV_LEVEL_WARN || (now->have & GOV_HAVE_SIMULATED) != 0 ||
        (now->have & GOV_HAVE_HEADROOM) == 0 || now->budget_bytes == 0)
        return 0;
    leave = level >= GOV_LEVEL_CRITICAL ? critical_headroom(level, r)
                                        : warn_headroom(level, r);
    /* The first headroom that judge_headroom() finds above the threshold. */
    enough = permille > UINT64_MAX / (leave + 1) ? UINT64_MAX
                                                 : permille * (leave + 1);
    return enough > now->headroom_bytes ? enough - now->headroom_bytes : 0;
}
