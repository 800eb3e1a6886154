/* SPDX-License-Identifier: MIT */
/* What may wake us on Linux, one signal each: what systemd set up, a PSI trigger, a
 * v2 group's events, a v1 group's reclaim and its usage. linux_watch_find.c finds
 * them, linux_watch_arm.c arms them, linux_watch.c waits for them and hears them;
 * linux_systemd.c, linux_psi.c and linux_events.c know one each.
 * Everything is in the caller's memory; nothing here judges. Linux only. */
#ifndef GOV_PLATFORM_LINUX_WATCH_H
#define GOV_PLATFORM_LINUX_WATCH_H

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/platform.h"

enum gov__signal_kind {
    GOV__SIGNAL_SYSTEMD,
    GOV__SIGNAL_STALL,
    GOV__SIGNAL_EVENTS,
    GOV__SIGNAL_RECLAIM,
    GOV__SIGNAL_USAGE,
    GOV__SIGNALS
};

enum gov__heard {
    GOV__HEARD_NOTHING,
    GOV__HEARD_EVENT,
    GOV__HEARD_FALSE, /* told, and not so */
    GOV__HEARD_GONE,  /* tells nothing any more */
};

struct gov__signal {
    struct gov__source told;
    int fd; /* -1: none */
    bool armed;
    /* Not listened to until then, and how long after the next event: an event that
     * makes nobody alert is heard less and less often. */
    uint64_t muted_until_us, mute_us, heard_us;
    uint64_t again_us; /* BROKEN: not looked for before */
};

/* Callers look at this pace anyway. No more often is what broke looked for again, is
 * it asked where the process is, and is usage armed at another figure. */
#define GOV__WATCH_AGAIN_US 1000000

#define GOV__TRIGGER_BYTES 128

/* A PSI trigger, or whatever else is to be written to be told. */
struct gov__trigger {
    char text[GOV__TRIGGER_BYTES]; /* with its NUL, where it has one */
    size_t bytes;
    bool full, verifiable;
    uint64_t stall_us, window_us;
    uint64_t total_us, since_us; /* when last looked at */
};

struct gov__linux_watch {
    struct gov__signal signals[GOV__SIGNALS];
    struct gov__trigger stall, systemd;
    int timer;                       /* -1: none */
    uint64_t checked_us, membership; /* of the groups: when, and their sum */
    bool was_alert;
    /* The group whose limit binds, else the topmost that can be seen; v1 and v2
     * have it in one hierarchy only. */
    bool bound_v1, bound_v2;
    uint64_t bound_us; /* when it was asked for */
    char bound[GOV__CGROUP_PATH];
    uint64_t hits;                       /* of memory.events */
    uint64_t used_bytes, used_us;        /* what usage is armed at, when */
    char systemd_path[GOV__CGROUP_PATH]; /* "": the variable is not used */
    bool systemd_triggers, systemd_off;  /* POLLPRI file; "/dev/null" */
};

_Static_assert(sizeof(struct gov__linux_watch) <= sizeof(struct gov__watch),
               "struct gov__watch has no room for it");

/* linux_watch_signal.c: what a signal is now. `error` is an errno value: ABSENT,
 * DENIED or BROKEN by what it says. */
void gov__signal_failed(struct gov__signal *signal, int error,
                        const char *what);
__attribute__((format(printf, 3, 4))) void
gov__signal_is(struct gov__signal *signal, enum gov__source_state state,
               const char *format, ...);
/* As gov__signal_failed(), of what was there a moment ago: BROKEN, or DENIED. */
void gov__signal_broke(struct gov__signal *signal, int error, const char *what,
                       uint64_t now_us);
/* Takes it back, without a word. */
void gov__signal_close(struct gov__signal *signal);
/* root + group + file opened; returns the descriptor, or -1 with errno. */
int gov__watch_file(const char *group, const char *file, int flags);
/* What a small file of the kernel says now, NUL-terminated and cut where there is no
 * more room. Returns 0 or an errno value. */
int gov__watch_text(int fd, char *text, size_t bytes);

/* linux_watch_find.c: what there is; then, once a second, what is there by now. */
void gov__watch_find(struct gov__linux_watch *watch,
                     const struct gov__linux_root *root);
void gov__watch_refresh(struct gov__linux_watch *watch,
                        const struct gov__linux_root *root, uint64_t now_us);

/* linux_watch_arm.c: why a source that would work is not waited for; NULL: it is. */
const char *gov__watch_spared(const struct gov__linux_watch *watch, size_t kind,
                              const struct gov__watch_for *want);
/* Makes it LIVE, or says why not. */
void gov__watch_listen(struct gov__linux_watch *watch, size_t kind,
                       const struct gov__watch_for *want);

/* linux_psi.c */
struct gov__linux_kept;
struct gov__psi {
    uint64_t some_us, full_us;
    uint32_t some_permille; /* of the last 10 s */
};
bool gov__psi_parse(const char *text, struct gov__psi *out);
int gov__psi_read(struct gov__linux_kept *kept, const char *path,
                  struct gov__psi *out);
void gov__trigger_set(struct gov__trigger *trigger, const void *text,
                      size_t bytes);
/* What it is told from now on is measured from here. */
void gov__trigger_since(struct gov__trigger *trigger, int fd, uint64_t now_us);
/* Without a text there is nothing to write: somebody else did. */
int gov__trigger_arm(struct gov__trigger *trigger, int fd, uint64_t now_us);
enum gov__heard gov__trigger_heard(struct gov__trigger *trigger, int fd,
                                   short revents, uint64_t now_us);

/* linux_events.c. *_find() opens what there is, SPARE, and arms nothing. */
void gov__events_find(struct gov__linux_watch *watch);
/* The lines of memory.events that say that the limit was run into, summed up. */
uint64_t gov__events_hits(const char *text);
enum gov__heard gov__events_heard(struct gov__linux_watch *watch,
                                  short revents);
void gov__reclaim_find(struct gov__linux_watch *watch);
int gov__reclaim_arm(struct gov__linux_watch *watch);
void gov__usage_find(struct gov__linux_watch *watch);
int gov__usage_arm(struct gov__linux_watch *watch, uint64_t used_bytes,
                   uint64_t now_us);
enum gov__heard gov__usage_heard(struct gov__linux_watch *watch, short revents);
/* Takes what an eventfd, a FIFO or a socket holds. */
enum gov__heard gov__drained(int fd, short revents);

/* linux_systemd.c: reads the variable; then opens what it names. */
void gov__systemd_read(struct gov__linux_watch *watch, const char *path,
                       const char *to_write);
void gov__systemd_find(struct gov__linux_watch *watch);
enum gov__heard gov__systemd_heard(struct gov__linux_watch *watch,
                                   short revents, uint64_t now_us);
bool gov__base64(const char *text, unsigned char *out, size_t room,
                 size_t *bytes);

#endif
