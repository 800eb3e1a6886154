/* SPDX-License-Identifier: MIT */
/* Waiting for what was found and armed, hearing it, and how often: what was heard is
 * not listened to for a while. */
#include "governor/platform/linux_watch.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "governor/platform/linux_parts.h"

/* A source is heard ten times a second at most, and one that makes nobody alert
 * less and less often: a group full of file pages runs into its limit all the time.
 * Callers who are not alert look once a second anyway. After a quiet while it starts
 * anew. */
#define MUTE_LEAST_US 100000
#define MUTE_MOST_US 4000000
#define QUIET_US 10000000
/* Usage is heard more often: each time it is half of what is left, and at 2 GB/s
 * 100 ms are 200 MB. */
#define USAGE_MUTE_US 20000

static struct gov__linux_watch *watch_in(struct gov__watch *watch)
{
    return (struct gov__linux_watch *)(void *)watch->room;
}

int gov__linux_watch_open(void *ctx, struct gov__watch *room)
{
    struct gov__linux_watch *watch = watch_in(room);
    const struct gov__linux_root *root = ctx;

    memset(watch, 0, sizeof(*watch));
    for (size_t i = 0; i < GOV__SIGNALS; i++)
        watch->signals[i].fd = -1;
    /* Without it what is muted is heard at the caller's next turn. */
    watch->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    gov__watch_find(watch, root);
    return 0;
}

/* ---- waiting --------------------------------------------------------------- */

static short events_of(const struct gov__linux_watch *watch, size_t kind)
{
    if (kind == GOV__SIGNAL_STALL || kind == GOV__SIGNAL_EVENTS ||
        (kind == GOV__SIGNAL_SYSTEMD && watch->systemd_triggers))
        return POLLPRI;
    return POLLIN;
}

size_t gov__linux_watch_polls(void *ctx, struct gov__watch *room,
                              const struct gov__watch_for *want,
                              struct pollfd *out)
{
    struct gov__linux_watch *watch = watch_in(room);
    uint64_t unmuted_us = UINT64_MAX;
    size_t count = 0;

    gov__watch_refresh(watch, ctx, want->now_us);
    watch->was_alert = watch->was_alert || want->alert;
    for (size_t i = 0; i < GOV__SIGNALS; i++) {
        struct gov__signal *signal = &watch->signals[i];
        const char *why;

        if (signal->told.state != GOV__SOURCE_LIVE &&
            signal->told.state != GOV__SOURCE_SPARE)
            continue;
        why = gov__watch_spared(watch, i, want);
        if (why != NULL) {
            gov__signal_is(signal, GOV__SOURCE_SPARE, "%s", why);
            continue;
        }
        gov__watch_listen(watch, i, want);
        if (signal->told.state != GOV__SOURCE_LIVE)
            continue;
        if (want->now_us < signal->muted_until_us) {
            if (signal->mute_us < GOV__WATCH_AGAIN_US &&
                signal->muted_until_us < unmuted_us)
                unmuted_us = signal->muted_until_us;
            continue;
        }
        out[count++] =
            (struct pollfd){.fd = signal->fd, .events = events_of(watch, i)};
    }
    if (unmuted_us != UINT64_MAX && watch->timer >= 0) {
        const uint64_t us = unmuted_us - want->now_us;
        const struct itimerspec when = {
            .it_value = {.tv_sec = (time_t)(us / 1000000),
                         .tv_nsec = (long)(us % 1000000 * 1000)}};

        if (timerfd_settime(watch->timer, 0, &when, NULL) == 0)
            out[count++] = (struct pollfd){watch->timer, POLLIN, 0};
    }
    return count;
}

/* ---- hearing --------------------------------------------------------------- */

static enum gov__heard heard(struct gov__linux_watch *watch, size_t kind,
                             short revents, uint64_t now_us)
{
    struct gov__signal *signal = &watch->signals[kind];

    switch ((enum gov__signal_kind)kind) {
    case GOV__SIGNAL_SYSTEMD:
        return gov__systemd_heard(watch, revents, now_us);
    case GOV__SIGNAL_STALL:
        return gov__trigger_heard(&watch->stall, signal->fd, revents, now_us);
    case GOV__SIGNAL_EVENTS:
        return gov__events_heard(watch, revents);
    case GOV__SIGNAL_RECLAIM:
        return gov__drained(signal->fd, revents);
    case GOV__SIGNAL_USAGE:
        return gov__usage_heard(watch, revents);
    case GOV__SIGNALS:
        break;
    }
    return GOV__HEARD_NOTHING;
}

static void mute(struct gov__linux_watch *watch, struct gov__signal *signal,
                 uint64_t now_us)
{
    const uint64_t quiet =
        now_us > signal->heard_us ? now_us - signal->heard_us : 0;

    if (watch->was_alert || quiet >= QUIET_US || signal->mute_us == 0)
        signal->mute_us = MUTE_LEAST_US;
    else if (signal->mute_us < MUTE_MOST_US)
        signal->mute_us = signal->mute_us * 2 < MUTE_MOST_US
                              ? signal->mute_us * 2
                              : MUTE_MOST_US;
    signal->heard_us = now_us;
    signal->muted_until_us =
        now_us + (signal == &watch->signals[GOV__SIGNAL_USAGE]
                      ? USAGE_MUTE_US
                      : signal->mute_us);
}

bool gov__linux_watch_heard(void *ctx, struct gov__watch *room,
                            const struct pollfd *polled, size_t count,
                            uint64_t now_us)
{
    struct gov__linux_watch *watch = watch_in(room);
    bool look = false;

    (void)ctx;
    for (size_t i = 0; i < GOV__SIGNALS; i++) {
        struct gov__signal *signal = &watch->signals[i];
        short revents = 0;

        if (signal->told.state != GOV__SOURCE_LIVE ||
            now_us < signal->muted_until_us)
            continue;
        for (size_t j = 0; j < count; j++)
            if (polled[j].fd == signal->fd)
                revents = polled[j].revents;
        switch (heard(watch, i, revents, now_us)) {
        case GOV__HEARD_NOTHING:
            continue;
        case GOV__HEARD_EVENT:
            signal->told.events++;
            look = true;
            break;
        case GOV__HEARD_FALSE:
            signal->told.false_events++;
            break;
        case GOV__HEARD_GONE:
            gov__signal_broke(signal, ENODEV, "it is gone", now_us);
            look = true;
            continue;
        }
        mute(watch, signal, now_us);
    }
    if (look)
        watch->was_alert = false;
    return look;
}

size_t gov__linux_watch_sources(void *ctx, const struct gov__watch *room,
                                struct gov__source *out, size_t max)
{
    const struct gov__linux_watch *watch =
        (const struct gov__linux_watch *)(const void *)room->room;
    size_t n = max < GOV__SIGNALS ? max : GOV__SIGNALS;

    (void)ctx;
    for (size_t i = 0; i < n; i++)
        out[i] = watch->signals[i].told;
    return n;
}

/* Whatever is armed goes with the last copy of its descriptor, so that of a parent
 * stays when a child of fork() closes it. */
void gov__linux_watch_close(void *ctx, struct gov__watch *room)
{
    struct gov__linux_watch *watch = watch_in(room);

    (void)ctx;
    for (size_t i = 0; i < GOV__SIGNALS; i++)
        gov__signal_close(&watch->signals[i]);
    if (watch->timer >= 0)
        close(watch->timer);
    watch->timer = -1;
}
