/* SPDX-License-Identifier: MIT */
#include "governor/platform/linux_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"

/* Between systemd's 100-200 ms of 2 s and GLib's 70; unprivileged windows are whole
 * multiples of 2 s. The NUL goes along. */
static const char stall_order[] = "some 150000 2000000";

/* A source is heard ten times a second at most, and one that makes nobody alert
 * less and less often: a group full of file pages runs into its limit all the time.
 * Callers who are not alert look once a second anyway. After a quiet while it starts
 * anew. */
#define MUTE_LEAST_US 100000
#define MUTE_MOST_US 4000000
#define QUIET_US 10000000
#define AGAIN_US 1000000
#define BOUND_US 10000000
/* Registering a v1 threshold waits for a grace period of RCU: 10-30 ms. That one is
 * heard more often: each time it is half of what is left, and at 2 GB/s 100 ms are
 * 200 MB. */
#define USAGE_STEP 64
#define USAGE_MUTE_US 20000

static struct gov__linux_watch *watch_in(struct gov__watch *watch)
{
    return (struct gov__linux_watch *)(void *)watch->room;
}

void gov__signal_is(struct gov__signal *signal, enum gov__source_state state,
                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(signal->told.why, sizeof(signal->told.why), format, args);
    va_end(args);
    signal->told.state = state;
}

void gov__signal_close(struct gov__signal *signal)
{
    if (signal->fd >= 0)
        close(signal->fd);
    signal->fd = -1;
    signal->armed = false;
}

void gov__signal_failed(struct gov__signal *signal, int error, const char *what)
{
    enum gov__source_state state = GOV__SOURCE_BROKEN;
    char room[64];

    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENODEV:
    case ENXIO:
    case EOPNOTSUPP:
        state = GOV__SOURCE_ABSENT;
        break;
    case EACCES:
    case EPERM:
    case EROFS:
        state = GOV__SOURCE_DENIED;
        break;
    default:
        break;
    }
    gov__signal_close(signal);
    gov__signal_is(signal, state, "%s: %s", what,
                   strerror_r(error, room, sizeof(room)));
}

int gov__watch_file(const char *group, const char *file, int flags)
{
    char path[GOV__CGROUP_PATH + 32];

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", group, file) >=
        sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, flags | O_CLOEXEC);
}

int gov__watch_text(int fd, char *text, size_t bytes)
{
    ssize_t n;

    do {
        n = pread(fd, text, bytes - 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    text[n] = '\0';
    return 0;
}

/* ---- finding --------------------------------------------------------------- */

/* Opens the file that a trigger may be written to, the own group's first. */
static void find_stall(struct gov__linux_watch *watch, const char *root,
                       const struct gov__cgroups *groups)
{
    struct gov__signal *signal = &watch->signals[GOV__SIGNAL_STALL];
    int own = 0;

    signal->told.name = "PSI trigger (system)";
    if (groups->unified.found && !groups->unified.top) {
        signal->fd = gov__watch_file(groups->unified.group, "memory.pressure",
                                     O_RDWR | O_NONBLOCK);
        own = errno;
    }
    if (signal->fd >= 0) {
        signal->told.name = "PSI trigger (own cgroup)";
    } else {
        signal->fd =
            gov__watch_file(root, "proc/pressure/memory", O_RDWR | O_NONBLOCK);
        if (signal->fd < 0) {
            gov__signal_failed(signal, errno, "/proc/pressure/memory");
            return;
        }
    }
    gov__trigger_set(&watch->stall, stall_order, sizeof(stall_order));
    gov__signal_is(signal, GOV__SOURCE_SPARE, "%s",
                   own == EACCES ? "not armed yet; own cgroup's may not be"
                                 : "not armed yet");
}

static void find_one(struct gov__linux_watch *watch, const char *root,
                     const struct gov__cgroups *groups, size_t kind)
{
    struct gov__signal *signal = &watch->signals[kind];

    gov__signal_close(signal);
    switch ((enum gov__signal_kind)kind) {
    case GOV__SIGNAL_SYSTEMD:
        if (watch->systemd_path[0] != '\0')
            gov__systemd_find(watch);
        break;
    case GOV__SIGNAL_STALL:
        find_stall(watch, root, groups);
        break;
    case GOV__SIGNAL_EVENTS:
        gov__events_find(watch);
        break;
    case GOV__SIGNAL_RECLAIM:
        gov__reclaim_find(watch);
        break;
    case GOV__SIGNAL_USAGE:
        if (watch->usage >= 0)
            close(watch->usage);
        watch->usage = -1;
        watch->used_bytes = 0;
        gov__usage_find(watch);
        break;
    case GOV__SIGNALS:
        break;
    }
}

/* Where the group is whose limit binds; without one the topmost that can be seen,
 * which on a system of one's own tells of all of it. */
static void find_bound(struct gov__linux_watch *watch,
                       const struct gov__linux_root *root,
                       const struct gov__cgroups *groups)
{
    const struct gov__cgroup *cgroup =
        groups->memory_v1.found ? &groups->memory_v1 : &groups->unified;
    struct gov__limit limit;

    watch->bound_v1 = groups->memory_v1.found;
    watch->bound_v2 = !watch->bound_v1 && groups->unified.found;
    watch->bound[0] = '\0';
    if (watch->bound_v1 || watch->bound_v2)
        memcpy(watch->bound, watch->bound_v1 ? cgroup->mount : cgroup->group,
               sizeof(watch->bound));
    (void)gov__linux_binding(root, &limit, watch->bound);
}

/* All but what systemd set up, which does not go with the group. */
static void find_groups(struct gov__linux_watch *watch,
                        const struct gov__linux_root *root)
{
    struct gov__cgroups groups;

    (void)gov__cgroups_find(root->root, &groups);
    find_bound(watch, root, &groups);
    for (size_t i = GOV__SIGNAL_STALL; i < GOV__SIGNALS; i++)
        find_one(watch, root->root, &groups, i);
}

/* A sum over /proc/self/cgroup: another one is another group. 0: unknown. */
static uint64_t membership(const char *root)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    char path[GOV__CGROUP_PATH], *line;
    struct gov__lines lines;

    if (gov__path_join(path, sizeof(path), root, "/proc/self/cgroup") != 0 ||
        gov__lines_open(&lines, path) != 0)
        return 0;
    while ((line = gov__lines_next(&lines)) != NULL)
        for (; *line != '\0'; line++)
            sum = (sum ^ (unsigned char)*line) * UINT64_C(0x100000001b3);
    if (lines.error != 0)
        sum = 0;
    gov__lines_close(&lines);
    return sum;
}

/* A limit may be set or lifted: seldom, and to ask takes some 100 us. */
static bool is_bound_elsewhere(struct gov__linux_watch *watch,
                               const struct gov__linux_root *root,
                               uint64_t now_us)
{
    char before[GOV__CGROUP_PATH];
    struct gov__cgroups groups;

    if (now_us >= watch->bound_us && now_us - watch->bound_us < BOUND_US)
        return false;
    watch->bound_us = now_us;
    memcpy(before, watch->bound, sizeof(before));
    if (gov__cgroups_find(root->root, &groups) != 0)
        return false;
    find_bound(watch, root, &groups);
    return strcmp(before, watch->bound) != 0;
}

/* Once a second: whether the process was moved, and what is to be looked for
 * again. */
static void refresh(struct gov__linux_watch *watch,
                    const struct gov__linux_root *root, uint64_t now_us)
{
    struct gov__cgroups groups;
    bool have_groups = false;
    uint64_t sum;

    if (now_us >= watch->checked_us && now_us - watch->checked_us < AGAIN_US)
        return;
    watch->checked_us = now_us;
    sum = membership(root->root);
    if ((sum != 0 && sum != watch->membership) ||
        is_bound_elsewhere(watch, root, now_us)) {
        if (sum != 0)
            watch->membership = sum;
        find_groups(watch, root);
    }
    for (size_t i = 0; i < GOV__SIGNALS; i++) {
        struct gov__signal *signal = &watch->signals[i];

        if (signal->told.state != GOV__SOURCE_BROKEN ||
            now_us < signal->again_us)
            continue;
        signal->again_us = now_us + AGAIN_US;
        if (!have_groups && i != GOV__SIGNAL_SYSTEMD) {
            (void)gov__cgroups_find(root->root, &groups);
            find_bound(watch, root, &groups);
            have_groups = true;
        }
        find_one(watch, root->root, &groups, i);
    }
}

int gov__linux_watch_open(void *ctx, struct gov__watch *room)
{
    struct gov__linux_watch *watch = watch_in(room);
    const struct gov__linux_root *root = ctx;

    memset(watch, 0, sizeof(*watch));
    watch->usage = -1;
    for (size_t i = 0; i < GOV__SIGNALS; i++)
        watch->signals[i].fd = -1;
    /* Without it what is muted is heard at the caller's next turn. */
    watch->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    watch->membership = membership(root->root);
    /* NOLINTBEGIN(concurrency-mt-unsafe): setenv() races are the host's */
    gov__systemd_read(watch, getenv("MEMORY_PRESSURE_WATCH"),
                      getenv("MEMORY_PRESSURE_WRITE"));
    /* NOLINTEND(concurrency-mt-unsafe) */
    find_one(watch, root->root, NULL, GOV__SIGNAL_SYSTEMD);
    find_groups(watch, root);
    return 0;
}

/* ---- arming ---------------------------------------------------------------- */

static void broke(struct gov__signal *signal, int error, const char *what,
                  uint64_t now_us)
{
    gov__signal_failed(signal, error, what);
    /* It was there a moment ago. */
    signal->told.state = error == EACCES || error == EPERM ? GOV__SOURCE_DENIED
                                                           : GOV__SOURCE_BROKEN;
    signal->again_us = now_us + AGAIN_US;
}

/* Why a source that would work is not waited for; NULL: it is. */
static const char *spared(const struct gov__linux_watch *watch, size_t kind,
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
           want->now_us - watch->used_us >= AGAIN_US ||
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

/* Makes it LIVE, or says why not. */
static void listen_to(struct gov__linux_watch *watch, size_t kind,
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
        broke(signal, rc, "arming", want->now_us);
        return;
    }
    signal->armed = true;
    switch ((enum gov__signal_kind)kind) {
    case GOV__SIGNAL_SYSTEMD:
        gov__signal_is(signal, GOV__SOURCE_LIVE, "%.95s", watch->systemd_path);
        break;
    case GOV__SIGNAL_STALL:
        gov__signal_is(signal, GOV__SOURCE_LIVE, "%s", stall_order);
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

    refresh(watch, ctx, want->now_us);
    watch->was_alert = watch->was_alert || want->alert;
    for (size_t i = 0; i < GOV__SIGNALS; i++) {
        struct gov__signal *signal = &watch->signals[i];
        const char *why;

        if (signal->told.state != GOV__SOURCE_LIVE &&
            signal->told.state != GOV__SOURCE_SPARE)
            continue;
        why = spared(watch, i, want);
        if (why != NULL) {
            gov__signal_is(signal, GOV__SOURCE_SPARE, "%s", why);
            continue;
        }
        listen_to(watch, i, want);
        if (signal->told.state != GOV__SOURCE_LIVE)
            continue;
        if (want->now_us < signal->muted_until_us) {
            if (signal->mute_us < AGAIN_US &&
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
            broke(signal, ENODEV, "it is gone", now_us);
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
    if (watch->usage >= 0)
        close(watch->usage);
    if (watch->timer >= 0)
        close(watch->timer);
    watch->usage = watch->timer = -1;
}
