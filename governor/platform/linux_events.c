/* SPDX-License-Identifier: MIT */
/* What memory control groups tell by themselves: v2's counts of limits that were
 * run into, and v1's reclaim and usage, told through eventfds. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_watch.h"

enum gov__heard gov__drained(int fd, short revents)
{
    char bytes[4096];
    ssize_t n;

    if ((revents & POLLIN) != 0) {
        do {
            n = read(fd, bytes, sizeof(bytes));
        } while (n < 0 && errno == EINTR);
        if (n > 0)
            return GOV__HEARD_EVENT;
        if (n < 0 && errno == EAGAIN)
            return GOV__HEARD_NOTHING;
        return GOV__HEARD_GONE;
    }
    return (revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 ? GOV__HEARD_GONE
                                                           : GOV__HEARD_NOTHING;
}

/* ---- v2 -------------------------------------------------------------------- */

uint64_t gov__events_hits(const char *text)
{
    static const char *const keys[] = {"high ", "max ", "oom "};
    uint64_t hits = 0;

    for (const char *line = text; *line != '\0';) {
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            uint64_t count;

            if (strncmp(line, keys[i], strlen(keys[i])) == 0 &&
                gov__parse_number(line + strlen(keys[i]), &count))
                hits += count;
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return hits;
}

static int count_hits(int fd, uint64_t *out)
{
    char text[512];
    const int rc = gov__watch_text(fd, text, sizeof(text));

    if (rc != 0)
        return rc;
    *out = gov__events_hits(text);
    return 0;
}

void gov__events_find(struct gov__linux_watch *watch)
{
    /* Of the group alone, and with those below it; the first since 5.2. */
    static const char *const files[] = {"memory.events.local", "memory.events"};
    struct gov__signal *signal = &watch->signals[GOV__SIGNAL_EVENTS];
    int error = 0;

    signal->told.name = "memory.events (cgroup v2)";
    if (!watch->bound_v2) {
        gov__signal_is(signal, GOV__SOURCE_ABSENT,
                       "no v2 group with the memory controller");
        return;
    }
    for (size_t i = 0; i < 2 && signal->fd < 0; i++) {
        signal->fd =
            gov__watch_file(watch->bound, files[i], O_RDONLY | O_NONBLOCK);
        if (signal->fd < 0) {
            error = errno;
            continue;
        }
        /* Until it is read it says that there is something new. */
        error = count_hits(signal->fd, &watch->hits);
        if (error == 0)
            gov__signal_is(signal, GOV__SOURCE_SPARE, "%s", files[i]);
    }
    if (error != 0)
        gov__signal_failed(signal, error, files[1]);
}

enum gov__heard gov__events_heard(struct gov__linux_watch *watch, short revents)
{
    uint64_t before = watch->hits;

    if (revents == 0)
        return GOV__HEARD_NOTHING;
    /* POLLERR is set for every event, and for good when the group is gone. */
    if (count_hits(watch->signals[GOV__SIGNAL_EVENTS].fd, &watch->hits) != 0)
        return GOV__HEARD_GONE;
    return watch->hits > before ? GOV__HEARD_EVENT : GOV__HEARD_FALSE;
}

/* ---- v1 -------------------------------------------------------------------- */

static const char usage_file[] = "memory.usage_in_bytes";

/* Makes an eventfd that is written to when what `file` and `args` say happens. It
 * lasts until the last copy of the descriptor is closed; that of the file may go. */
static int notified(const char *group, const char *file, const char *args,
                    int *out)
{
    char order[64];
    int of, control, n, rc = 0;

    of = gov__watch_file(group, file, O_RDONLY);
    if (of < 0)
        return errno;
    control = gov__watch_file(group, "cgroup.event_control", O_WRONLY);
    if (control < 0) {
        rc = errno;
        goto no_control;
    }
    *out = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (*out < 0) {
        rc = errno;
    } else {
        n = snprintf(order, sizeof(order), "%d %d %s", *out, of, args);
        if (write(control, order, (size_t)n) != n) {
            rc = errno != 0 ? errno : EIO;
            close(*out);
            *out = -1;
        }
    }
    close(control);
no_control:
    close(of);
    return rc;
}

/* Whether it could be armed is known when it is, not before. */
static void find_v1(struct gov__linux_watch *watch, struct gov__signal *signal,
                    const char *file)
{
    int fd;

    if (!watch->bound_v1) {
        gov__signal_is(signal, GOV__SOURCE_ABSENT,
                       "no v1 group with the memory controller");
        return;
    }
    fd = gov__watch_file(watch->bound, "cgroup.event_control", O_WRONLY);
    if (fd < 0) {
        gov__signal_failed(signal, errno, "cgroup.event_control");
        return;
    }
    close(fd);
    fd = gov__watch_file(watch->bound, file, O_RDONLY);
    if (fd < 0) {
        gov__signal_failed(signal, errno, file);
        return;
    }
    close(fd);
    gov__signal_is(signal, GOV__SOURCE_SPARE, "not armed yet");
}

void gov__reclaim_find(struct gov__linux_watch *watch)
{
    struct gov__signal *signal = &watch->signals[GOV__SIGNAL_RECLAIM];

    signal->told.name = "memory.pressure_level (cgroup v1)";
    find_v1(watch, signal, "memory.pressure_level");
}

/* "low" comes with the first reclaim; medium and critical were never seen. "local":
 * not for groups below. */
int gov__reclaim_arm(struct gov__linux_watch *watch)
{
    return notified(watch->bound, "memory.pressure_level", "low,local",
                    &watch->signals[GOV__SIGNAL_RECLAIM].fd);
}

void gov__usage_find(struct gov__linux_watch *watch)
{
    struct gov__signal *signal = &watch->signals[GOV__SIGNAL_USAGE];

    signal->told.name = "memory.usage_in_bytes (cgroup v1)";
    watch->used_bytes = 0;
    find_v1(watch, signal, usage_file);
}

int gov__usage_arm(struct gov__linux_watch *watch, uint64_t used_bytes,
                   uint64_t now_us)
{
    struct gov__signal *signal = &watch->signals[GOV__SIGNAL_USAGE];
    const uint64_t one = 1;
    uint64_t used = 0;
    char args[32];
    int rc;

    if (signal->fd >= 0)
        close(signal->fd);
    signal->fd = -1;
    watch->used_bytes = used_bytes;
    watch->used_us = now_us;
    snprintf(args, sizeof(args), "%" PRIu64, used_bytes);
    rc = notified(watch->bound, usage_file, args, &signal->fd);
    if (rc == 0)
        rc = gov__cgroup_number(watch->bound, usage_file, "", &used);
    if (rc != 0)
        return rc;
    /* Only a crossing is told, and it may have been crossed before. */
    if (used >= used_bytes && write(signal->fd, &one, sizeof(one)) < 0)
        return errno;
    return 0;
}

/* It is told in both directions. */
enum gov__heard gov__usage_heard(struct gov__linux_watch *watch, short revents)
{
    enum gov__heard heard =
        gov__drained(watch->signals[GOV__SIGNAL_USAGE].fd, revents);
    uint64_t used = 0;
    int rc;

    if (heard != GOV__HEARD_EVENT)
        return heard;
    rc = gov__cgroup_number(watch->bound, usage_file, "", &used);
    /* Without a free descriptor it is believed: a look has those it needs. */
    if (rc == EMFILE || rc == ENFILE)
        return GOV__HEARD_EVENT;
    if (rc != 0)
        return GOV__HEARD_GONE;
    /* The kernel counts in batches of some pages a processor. */
    return used >= watch->used_bytes - watch->used_bytes / 64
               ? GOV__HEARD_EVENT
               : GOV__HEARD_FALSE;
}
