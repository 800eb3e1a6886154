/* SPDX-License-Identifier: MIT */
/* Waking, on Darwin: the kernel's notifications of memory pressure, which come by
 * libdispatch, made into a descriptor to poll(). Judges nothing: it says to look,
 * and the level is evidence like any other. Never run.
 *
 * A thread of libdispatch calls back, with a stack of its own and whenever it likes.
 * So all that is done there is one write() into a pipe that never blocks: no lock,
 * no allocation, nobody else's code. A full pipe has said it already. */
#include <assert.h>
#include <dispatch/dispatch.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "governor/platform/darwin_parts.h"
#include "governor/platform/darwin_pure.h"

#define RETRY_US UINT64_C(1000000)

/* libdispatch's thread reads write_end and cancelled, from activation until the
 * cancel handler ran; they do not change in between, nor does the watch move. */
struct watch {
    dispatch_source_t source; /* NULL: none */
    dispatch_semaphore_t cancelled;
    int read_end, write_end;
    pid_t owner;
    bool active;
    enum gov__source_state state;
    uint64_t tried_us;
    struct gov__darwin_heard heard;
};

static_assert(sizeof(struct watch) <= sizeof(struct gov__watch),
              "gov__watch has room for it");

static struct watch *of(struct gov__watch *watch)
{
    return (struct watch *)(void *)watch->room;
}

/* ---- on libdispatch's thread ---------------------------------------------------- */

static void notified(void *context)
{
    const struct watch *w = context;
    const unsigned char byte = 1;
    ssize_t written = write(w->write_end, &byte, sizeof(byte));

    (void)written;
}

static void stopped(void *context)
{
    const struct watch *w = context;

    (void)dispatch_semaphore_signal(w->cancelled);
}

/* ---- the source -------------------------------------------------------------------- */

static void close_ends(struct watch *w)
{
    if (w->read_end >= 0)
        (void)close(w->read_end);
    if (w->write_end >= 0)
        (void)close(w->write_end);
    w->read_end = w->write_end = -1;
}

/* There is no pipe2(): a program that is started by another thread in between gets
 * the two. */
static int open_ends(struct watch *w)
{
    int ends[2], rc = 0;

    if (pipe(ends) != 0)
        return errno;
    w->read_end = ends[0];
    w->write_end = ends[1];
    for (size_t i = 0; i < 2 && rc == 0; i++)
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) == -1 ||
            fcntl(ends[i], F_SETFL, O_NONBLOCK) == -1)
            rc = errno;
    if (rc != 0)
        close_ends(w);
    return rc;
}

/* A queue of its own: it gets a thread also where the app has filled the shared
 * ones with work that blocks. */
static int make_source(struct watch *w)
{
    dispatch_queue_t queue = dispatch_queue_create(
        "governor.pressure",
        dispatch_queue_attr_make_with_qos_class(DISPATCH_QUEUE_SERIAL,
                                                QOS_CLASS_USER_INITIATED, 0));

    if (queue == NULL)
        return ENOMEM;
    w->cancelled = dispatch_semaphore_create(0);
    if (w->cancelled != NULL)
        w->source = dispatch_source_create(
            DISPATCH_SOURCE_TYPE_MEMORYPRESSURE, 0,
            DISPATCH_MEMORYPRESSURE_NORMAL | DISPATCH_MEMORYPRESSURE_WARN |
                DISPATCH_MEMORYPRESSURE_CRITICAL,
            queue);
    dispatch_release(queue); /* the source has its own reference */
    if (w->source != NULL) {
        dispatch_set_context(w->source, w);
        dispatch_source_set_event_handler_f(w->source, notified);
        dispatch_source_set_cancel_handler_f(w->source, stopped);
        return 0;
    }
    if (w->cancelled == NULL)
        return ENOMEM;
    dispatch_release(w->cancelled);
    w->cancelled = NULL;
    return ENOTSUP;
}

static void start(struct watch *w)
{
    int rc = open_ends(w);

    if (rc == 0)
        rc = make_source(w);
    w->state = rc == 0 ? GOV__SOURCE_SPARE : GOV__SOURCE_BROKEN;
    if (rc == ENOTSUP)
        w->state = GOV__SOURCE_ABSENT;
    if (rc != 0)
        close_ends(w);
}

/* Only a source that was activated may be released, and only such a one calls its
 * cancel handler, after which nobody writes. */
static void stop(struct watch *w)
{
    if (w->source == NULL)
        return;
    dispatch_activate(w->source);
    dispatch_source_cancel(w->source);
    (void)dispatch_semaphore_wait(w->cancelled, DISPATCH_TIME_FOREVER);
    dispatch_release(w->source);
    dispatch_release(w->cancelled);
    w->source = NULL;
    w->cancelled = NULL;
}

/* Somebody closed our descriptors: the numbers may be another's by now, so they are
 * closed no more, and nothing is written there from here on. */
static void lose(struct watch *w)
{
    stop(w);
    w->read_end = w->write_end = -1;
    w->state = GOV__SOURCE_BROKEN;
}

/* ---- the table's ------------------------------------------------------------------ */

int gov__darwin_os_level(int *level)
{
    uint64_t word = 0;
    int rc = gov__darwin_number("kern.memorystatus_vm_pressure_level", &word);

    if (rc == 0 && !gov__darwin_level(word, level))
        rc = ENODATA;
    return rc;
}

int gov__darwin_watch_open(void *ctx, struct gov__watch *watch)
{
    struct watch *w = of(watch);

    (void)ctx;
    memset(w, 0, sizeof(*w));
    w->read_end = w->write_end = -1;
    w->owner = getpid();
    w->heard.known = gov__darwin_os_level(&w->heard.level) == 0;
    start(w);
    return 0;
}

/* Armed for good with the first wait: it costs nothing until it fires, and keeps
 * nobody else from being told. What could not be had is tried again once a second,
 * but for what somebody closed. */
size_t gov__darwin_watch_polls(void *ctx, struct gov__watch *watch,
                               const struct gov__watch_for *want,
                               struct pollfd *out)
{
    struct watch *w = of(watch);

    (void)ctx;
    if (w->state == GOV__SOURCE_BROKEN && !w->active &&
        gov__less(want->now_us, w->tried_us) >= RETRY_US) {
        w->tried_us = want->now_us;
        start(w);
    }
    if (w->source == NULL)
        return 0;
    if (!w->active) {
        w->active = true;
        w->state = GOV__SOURCE_LIVE;
        dispatch_activate(w->source);
    }
    *out = (struct pollfd){.fd = w->read_end, .events = POLLIN};
    return 1;
}

/* False when there is nobody left to write. */
static bool drain(int fd)
{
    unsigned char bytes[64];
    ssize_t n;

    do
        n = read(fd, bytes, sizeof(bytes));
    while (n == (ssize_t)sizeof(bytes) || (n < 0 && errno == EINTR));
    return n > 0 || (n < 0 && errno == EAGAIN);
}

bool gov__darwin_watch_heard(void *ctx, struct gov__watch *watch,
                             const struct pollfd *polled, size_t count,
                             uint64_t now_us)
{
    struct watch *w = of(watch);
    int level = 0, told = 0;
    bool known;

    (void)ctx;
    if (w->source == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (polled[i].fd == w->read_end)
            told |= polled[i].revents;
    if (told == 0)
        return false;
    if ((told & POLLNVAL) != 0 || !drain(w->read_end)) {
        lose(w);
        return false;
    }
    known = gov__darwin_os_level(&level) == 0;
    return gov__darwin_believe(&w->heard, known, level, now_us);
}

static const char *why(const struct watch *w)
{
    switch (w->state) {
    case GOV__SOURCE_LIVE:
        return w->heard.known
                   ? "warn, critical, normal; checked by sysctl"
                   : "warn, critical, normal; sysctl does not tell the level";
    case GOV__SOURCE_SPARE:
        return "not waited for yet";
    case GOV__SOURCE_ABSENT:
        return "libdispatch has no such source";
    case GOV__SOURCE_BROKEN:
    case GOV__SOURCE_DENIED:
        break;
    }
    return w->active ? "somebody closed its pipe" : "no descriptors or memory";
}

size_t gov__darwin_watch_sources(void *ctx, const struct gov__watch *watch,
                                 struct gov__source *out, size_t room)
{
    const struct watch *w = (const struct watch *)(const void *)watch->room;

    (void)ctx;
    if (room == 0)
        return 0;
    memset(out, 0, sizeof(*out));
    out->name = "memory pressure notification (libdispatch)";
    out->state = w->state;
    out->events = w->heard.events;
    out->false_events = w->heard.false_events;
    snprintf(out->why, sizeof(out->why), "%s", why(w));
    return 1;
}

/* In a child of fork() libdispatch may not be called, and its thread is not there:
 * what the source holds stays until the child ends or starts a program. */
void gov__darwin_watch_close(void *ctx, struct gov__watch *watch)
{
    struct watch *w = of(watch);

    (void)ctx;
    if (w->owner == getpid())
        stop(w);
    close_ends(w);
}
