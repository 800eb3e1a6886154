/* SPDX-License-Identifier: MIT */
/* Which of the sources that were found are waited for now, and arming those: it costs
 * a grace period of RCU, so what is armed stays so. Hears nothing. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

#include "governor/platform/linux_watch.h"

/* Registering a v1 threshold waits for a grace period of RCU, 10-30 ms: not anew for
 * a smaller part than this. */
#define USAGE_STEP 64

const char *gov__watch_spared(const struct gov__linux_watch *watch, size_t kind,
                              const struct gov__watch_for *want)
{
    const struct gov__signal *systemd = &watch->signals[GOV__SIGNAL_SYSTEMD];

    /* Memory that fills is through with what is left between two looks. */
    if (want->alert && kind != GOV__SIGNAL_USAGE &&
        (kind != GOV__SIGNAL_SYSTEMD || watch->systemd_triggers))
        return "looked for ten times a second meanwhile";
    if (kind == GOV__SIGNAL_STALL && watch->systemd_off)
        return "$MEMORY_PRESSURE_WATCH is /dev/null";
    if (kind == GOV__SIGNAL_STALL && watch->systemd_triggers &&
        systemd->told.state == GOV__SOURCE_LIVE)
        return "that of $MEMORY_PRESSURE_WATCH is waited for";
    if (kind == GOV__SIGNAL_USAGE && want->used_bytes == 0)
        return "no limit to come near";
    return NULL;
}

/* What came while nobody listened was seen by looking. What is armed stays so: to
 * take a trigger back waits for a grace period of RCU, 8-28 ms. */
static void forget_old(struct gov__linux_watch *watch, size_t kind,
                       uint64_t now_us)
{
    struct pollfd old = {watch->signals[kind].fd, POLLPRI, 0};

    switch ((enum gov__signal_kind)kind) {
    case GOV__SIGNAL_SYSTEMD:
        if (watch->systemd_triggers && poll(&old, 1, 0) >= 0)
            gov__trigger_since(&watch->systemd, old.fd, now_us);
        break;
    case GOV__SIGNAL_STALL:
        if (poll(&old, 1, 0) >= 0)
            gov__trigger_since(&watch->stall, old.fd, now_us);
        break;
    case GOV__SIGNAL_EVENTS:
        (void)gov__events_heard(watch, POLLPRI);
        break;
    case GOV__SIGNAL_RECLAIM:
    case GOV__SIGNAL_USAGE:
        (void)gov__drained(old.fd, POLLIN);
        break;
    case GOV__SIGNALS:
        break;
    }
}

/* Whether usage is to be told of at another figure than now. Registering waits for
 * RCU, too: once a second at most, and when the one before has been told. */
static bool is_elsewhere(const struct gov__linux_watch *watch,
                         const struct gov__watch_for *want)
{
    const uint64_t step = want->used_bytes / USAGE_STEP;

    if (gov__less(want->used_bytes, watch->used_bytes) <= step &&
        gov__less(watch->used_bytes, want->used_bytes) <= step)
        return false;
    return want->now_us < watch->used_us ||
           want->now_us - watch->used_us >= GOV__WATCH_AGAIN_US ||
           watch->signals[GOV__SIGNAL_USAGE].heard_us >= watch->used_us;
}

static int arm(struct gov__linux_watch *watch, size_t kind,
               const struct gov__watch_for *want)
{
    struct gov__signal *signal = &watch->signals[kind];

    switch ((enum gov__signal_kind)kind) {
    case GOV__SIGNAL_SYSTEMD:
        return watch->systemd_triggers
                   ? gov__trigger_arm(&watch->systemd, signal->fd, want->now_us)
                   : 0;
    case GOV__SIGNAL_STALL:
        return gov__trigger_arm(&watch->stall, signal->fd, want->now_us);
    case GOV__SIGNAL_RECLAIM:
        return gov__reclaim_arm(watch);
    case GOV__SIGNAL_USAGE:
        return gov__usage_arm(watch, want->used_bytes, want->now_us);
    case GOV__SIGNAL_EVENTS:
    case GOV__SIGNALS:
        break;
    }
    return 0;
}

void gov__watch_listen(struct gov__linux_watch *watch, size_t kind,
                       const struct gov__watch_for *want)
{
    struct gov__signal *signal = &watch->signals[kind];
    int rc = 0;

    if (!signal->armed ||
        (kind == GOV__SIGNAL_USAGE && is_elsewhere(watch, want)))
        rc = arm(watch, kind, want);
    else if (signal->told.state == GOV__SOURCE_SPARE)
        forget_old(watch, kind, want->now_us);
    else
        return;
    if (rc != 0) {
        gov__signal_broke(signal, rc, "arming", want->now_us);
        return;
    }
    signal->armed = true;
    switch ((enum gov__signal_kind)kind) {
    case GOV__SIGNAL_SYSTEMD:
        gov__signal_is(signal, GOV__SOURCE_LIVE, "%.95s", watch->systemd_path);
        break;
    case GOV__SIGNAL_STALL:
        gov__signal_is(signal, GOV__SOURCE_LIVE, "%s", watch->stall.text);
        break;
    case GOV__SIGNAL_EVENTS:
        gov__signal_is(signal, GOV__SOURCE_LIVE, "high, max, oom");
        break;
    case GOV__SIGNAL_RECLAIM:
        gov__signal_is(signal, GOV__SOURCE_LIVE, "low,local");
        break;
    case GOV__SIGNAL_USAGE:
        gov__signal_is(signal, GOV__SOURCE_LIVE, "%" PRIu64 " MiB in use",
                       watch->used_bytes >> 20);
        break;
    case GOV__SIGNALS:
        break;
    }
}
