/* SPDX-License-Identifier: MIT */
/* One look at how memory is: a sample, the level that follows from it, and how soon
 * to look again. Calls nobody's code and no file system but the kernel's, so that
 * whatever hangs, the level is known. Its thread alone samples; work.c does what
 * there is to do about it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "governor/runtime/runtime_priv.h"

/* The fastest that two processors were seen to touch memory, 2 GB/s, and twice: so
 * much may go in a millisecond, and the next look should come before all has gone. */
#define FILL_BYTES_PER_MS (UINT64_C(4) << 20)
/* Nearer than this a threshold wakes for every breath. Beyond the edge of WARN, or what
 * it wakes for is not WARN yet. */
#define NEAR_BYTES (UINT64_C(16) << 20)

/* ---- what the app says ------------------------------------------------------- */

void gov_expect(gov_runtime *runtime, int64_t bytes)
{
    uint64_t now, next;

    if (runtime == NULL)
        return;
    now = atomic_load(&runtime->expected);
    do
        next = bytes >= 0 ? (now > UINT64_MAX - (uint64_t)bytes
                                 ? UINT64_MAX
                                 : now + (uint64_t)bytes)
                          : gov__less(now, -(uint64_t)bytes);
    while (!atomic_compare_exchange_weak(&runtime->expected, &now, next));
    atomic_store(&runtime->expects, true);
}

static void add_expected(struct gov_runtime *runtime,
                         struct gov_evidence *evidence)
{
    evidence->streamed_bytes = gov__gauges_streamed(runtime);
    if (!atomic_load(&runtime->expects))
        return;
    evidence->have |= GOV_HAVE_EXPECTED;
    evidence->expected_bytes = atomic_load(&runtime->expected);
}

/* ---- the look ------------------------------------------------------------------ */

static void judge(struct gov_runtime *runtime, struct gov__judged *out)
{
    struct gov_evidence *evidence = &out->sample.evidence;

    pthread_mutex_lock(&runtime->lock);
    gov__simulate_due_locked(runtime, evidence->now_ms);
    if (runtime->simulating) {
        evidence->have |= GOV_HAVE_SIMULATED;
        evidence->simulated_level = runtime->simulated;
    }
    out->before = runtime->machine.level;
    out->level = gov_level_step(&runtime->machine, &runtime->rules, evidence);
    atomic_store(&runtime->level, (int)out->level);
    runtime->last = out->sample;
    runtime->given_bytes = 0;
    runtime->wanted_bytes =
        gov_level_wanted(&runtime->rules, out->level, evidence);
    if (out->level > out->before)
        gov__relief_wake_locked(runtime);
    memcpy(out->reason, runtime->machine.reason, sizeof(out->reason));
    /* Where it is time to look often it is time to let go, once. */
    out->hand_over = !runtime->alert;
    runtime->alert = gov_level_look_ms(&runtime->machine, &runtime->rules,
                                       evidence) <= GOV__MIN_SAMPLE_MS;
    out->hand_over = out->hand_over && runtime->alert;
    pthread_mutex_unlock(&runtime->lock);
}

void gov__look(struct gov_runtime *runtime, struct gov__judged *out)
{
    const struct gov_platform *looks = &runtime->looks;
    struct gov__sample *sample = &out->sample;

    memset(out, 0, sizeof(*out));
    out->budget_changed =
        gov__budget_take(runtime, out->news, sizeof(out->news));
    gov__evidence_sample(looks, atomic_load(&runtime->budget_bytes),
                         gov__runtime_ms(runtime), sample);
    if (gov__budget_follow(runtime, sample, out->news, sizeof(out->news))) {
        out->budget_changed = true;
        gov__evidence_sample(looks, atomic_load(&runtime->budget_bytes),
                             gov__runtime_ms(runtime), sample);
    }
    add_expected(runtime, &sample->evidence);
    judge(runtime, out);
}

/* ---- when to look again ----------------------------------------------------------- */

uint64_t gov__look_pace_locked(const struct gov_runtime *runtime)
{
    const struct gov_evidence *last = &runtime->last.evidence;
    uint64_t wait, left = UINT64_MAX;

    if (!runtime->adaptive)
        return runtime->sample_ms;
    wait = gov_level_look_ms(&runtime->machine, &runtime->rules, last);
    if ((last->have & GOV_HAVE_HEADROOM) != 0)
        left = last->headroom_bytes / FILL_BYTES_PER_MS;
    if (wait > left)
        wait = left;
    if (runtime->asked.on) /* as at WARN, where what is given is watched */
        wait = 0;
    return wait < GOV__MIN_SAMPLE_MS ? GOV__MIN_SAMPLE_MS : wait;
}

/* Where nothing is dropped for it, the group's usage when headroom reaches WARN, or
 * half of what is left below that. Lock held. */
static uint64_t mark_locked(const struct gov_runtime *runtime)
{
    const struct gov__sample *last = &runtime->last;
    const uint64_t left = last->evidence.headroom_bytes;
    const uint64_t warn = last->evidence.budget_bytes / 1000 *
                          runtime->rules.warn_headroom_permille;
    uint64_t grow = left > warn ? left - warn : left / 2;

    if ((last->evidence.have & GOV_HAVE_HEADROOM) == 0 || last->used_bytes == 0)
        return 0;
    grow += last->evidence.budget_bytes / 128;
    if (grow < NEAR_BYTES)
        grow = NEAR_BYTES;
    return last->used_bytes + grow;
}

/* What wakes, as it is now. Lock held. */
static void note_sources_locked(struct gov_runtime *runtime)
{
    const struct gov_platform *p = runtime->platform;

    runtime->source_count = p->watch_sources(p->ctx, &runtime->watch_room,
                                             runtime->sources, GOV__SOURCES);
    if (runtime->source_count > GOV__SOURCES)
        runtime->source_count = GOV__SOURCES;
}

size_t gov__look_polls(struct gov_runtime *runtime,
                       struct pollfd polled[GOV__LOOK_POLLS], uint64_t *wait_ms)
{
    const struct gov_platform *p = runtime->platform;
    struct gov__watch_for want = {.now_us = p->now_us(p->ctx)};
    size_t count = 2;

    pthread_mutex_lock(&runtime->lock);
    *wait_ms = gov__simulate_wait_locked(runtime, gov__runtime_ms(runtime),
                                         gov__look_pace_locked(runtime));
    want.alert = runtime->alert;
    want.used_bytes = mark_locked(runtime);
    pthread_mutex_unlock(&runtime->lock);
    polled[0] = (struct pollfd){.fd = runtime->wake[0], .events = POLLIN};
    polled[1] = (struct pollfd){.fd = gov__control_fd(runtime, wait_ms),
                                .events = POLLIN};
    if (runtime->watches) {
        count +=
            p->watch_polls(p->ctx, &runtime->watch_room, &want, polled + 2);
        pthread_mutex_lock(&runtime->lock);
        note_sources_locked(runtime);
        pthread_mutex_unlock(&runtime->lock);
    }
    return count;
}

bool gov__look_heard(struct gov_runtime *runtime, const struct pollfd *polled,
                     size_t count)
{
    const struct gov_platform *p = runtime->platform;
    bool heard = false;
    char drain[64];

    if (polled[0].revents != 0) {
        /* What is left in the pipe only makes the next wait short. */
        heard = read(runtime->wake[0], drain, sizeof(drain)) != 0;
    }
    if (runtime->watches &&
        p->watch_heard(p->ctx, &runtime->watch_room, polled + 2, count - 2,
                       p->now_us(p->ctx)))
        heard = true;
    return heard || polled[1].revents != 0;
}

/* ---- sources ------------------------------------------------------------------------ */

/* What is read at each look, by the last one. Lock held. */
static size_t list_read_locked(const struct gov_runtime *runtime,
                               struct gov_source out[], size_t room)
{
    const struct gov__sample *last = &runtime->last;
    const uint32_t have = last->evidence.have;
    const struct {
        const char *name, *why;
        bool live;
    } read[] = {
        {"PSI totals", last->stall_source, last->stall_source != NULL},
        {"headroom", last->headroom_source, last->headroom_source != NULL},
        {"own footprint", "this process", last->have_process},
        {"file pages read again",
         (have & GOV_HAVE_SYSTEM_REFAULT) != 0 ? "the system's"
                                               : "the own group's",
         (have & GOV_HAVE_REFAULT) != 0},
        {"the system's own level", "read at each look",
         (have & GOV_HAVE_OS_LEVEL) != 0},
    };
    const size_t count = sizeof(read) / sizeof(read[0]);

    for (size_t i = 0; i < count && i < room; i++) {
        out[i] = (struct gov_source){
            .size = sizeof(out[i]),
            .name = read[i].name,
            .state = read[i].live ? GOV_SOURCE_LIVE : GOV_SOURCE_ABSENT,
        };
        snprintf(out[i].why, sizeof(out[i].why), "%s",
                 read[i].live ? read[i].why : "not told at the last look");
    }
    return count;
}

size_t gov_sources(gov_runtime *runtime, struct gov_source *out, size_t room)
{
    size_t count;

    if (runtime == NULL || gov__runtime_forked(runtime))
        return 0;
    pthread_mutex_lock(&runtime->lock);
    count = list_read_locked(runtime, out, room);
    for (size_t i = 0; i < runtime->source_count; i++, count++) {
        const struct gov__source *from = &runtime->sources[i];

        if (count >= room)
            continue;
        out[count] = (struct gov_source){
            .size = sizeof(out[count]),
            .name = from->name,
            .state = (gov_source_state)from->state,
            .events = from->events,
            .false_events = from->false_events,
        };
        snprintf(out[count].why, sizeof(out[count].why), "%s", from->why);
    }
    pthread_mutex_unlock(&runtime->lock);
    return count;
}

/* ---- begin and end -------------------------------------------------------------------- */

/* *out is p, which keeps open what it reads where that can be: returns whether. */
static bool keep(const struct gov_platform *p, struct gov__kept *kept,
                 struct gov_platform *out)
{
    const bool keeps = p->keep != NULL && p->keep(p->ctx, kept, out) == 0;

    if (!keeps)
        *out = *p;
    return keeps;
}

void gov__look_open(struct gov_runtime *runtime)
{
    const struct gov_platform *p = runtime->platform;
    struct gov__weight weight;

    runtime->keeps = keep(p, &runtime->kept, &runtime->looks);
    runtime->weighs_keeps = keep(p, &runtime->weighs_kept, &runtime->weighs);
    gov__weigh(runtime, &weight); /* opens what it reads */
    runtime->watches = p->watch_open != NULL &&
                       p->watch_open(p->ctx, &runtime->watch_room) == 0;
}

void gov__look_close(struct gov_runtime *runtime)
{
    const struct gov_platform *p = runtime->platform;

    if (runtime->watches)
        p->watch_close(p->ctx, &runtime->watch_room);
    if (runtime->keeps)
        p->unkeep(p->ctx, &runtime->kept);
    if (runtime->weighs_keeps)
        p->unkeep(p->ctx, &runtime->weighs_kept);
    if (runtime->gathered.fd >= 0)
        p->gather_close(p->ctx, &runtime->gathered);
    runtime->watches = runtime->keeps = runtime->weighs_keeps = false;
    runtime->gathered.fd = -1;
}
