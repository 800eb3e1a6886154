/* SPDX-License-Identifier: MIT */
/* The runtime's insides: look.c (how memory is), work.c (what is done about it) and
 * loop.c (by which thread, when); budget.c, publish.c, relief*.c, policy_watch.c,
 * simulate.c and control.c (what other processes ask for), models.c, gauges.c.
 *
 * There is one lock. It guards everything below it in the struct and is never
 * held over a callback of the app, a call of a cache, the platform or the page.
 * What must outlast such a call is marked under the lock instead: `looking`,
 * `working` and `relieving` keep a second thread out of a turn, `loading` and
 * `keeping_house` out of files, `calls` and `delivering` make gov_relief_remove() and
 * gov_on_event() wait, `exclusive` makes a pass wait. `working` and `relieving` are
 * taken from a thread that does not come back, and given to another one.
 * Whoever takes such a mark back broadcasts `changed`. */
#ifndef GOV_RUNTIME_RUNTIME_PRIV_H
#define GOV_RUNTIME_RUNTIME_PRIV_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "governor/platform/platform.h"
#include "governor/pressure/evidence.h"
#include "governor/runtime.h"
#include "governor/runtime/activity_priv.h"
#include "governor/runtime/gauges.h"
#include "governor/runtime/models_priv.h"
#include "governor/runtime/page_shown.h"
#include "governor/runtime/page_writer.h"
#include "governor/runtime/policy_watch.h"
#include "governor/runtime/relief_priv.h"
#include "governor/runtime/requests.h"
#include "policies/ladder.h"

#define GOV__STEPS 16     /* that the app has waiting */
#define GOV__STEPS_TOLD 2 /* that gov_control_simulate() has beside them */

struct gov__sim_step {
    uint64_t at_ms;
    bool end; /* back to real evidence */
    gov_level level;
    bool told; /* by another process */
};

/* The socket of control.c, which one thread makes and another one reads from; `problem`
 * is under the lock. */
struct gov__control {
    _Atomic int fd; /* -1: none; one that is made anew has the same number */
    uint32_t made;  /* the writer's, when the socket was made */
    dev_t device;   /* of its name */
    ino_t inode;    /* the same */
    uint64_t quiet_until_ms;         /* of the thread that reads */
    char problem[GOV_MESSAGE_BYTES]; /* why there is none, or "" */
};

/* The fastest pace: faster reads starve PSI triggers of others. */
#define GOV__MIN_SAMPLE_MS 100

#define GOV__LOOK_POLLS (2 + GOV__WATCH_FDS)

/* What a look found, for who works. */
struct gov__judged {
    struct gov__sample sample;
    gov_level before, level;
    bool hand_over;      /* it became time to look often */
    bool budget_changed; /* `news` says how */
    char news[160];
    char reason[128];
};

/* As many looks as in three seconds of the fastest pace. */
#define GOV__TODO 32

/* A listener, or a file system, that takes so long is taken for one that does not come
 * back. Relief has its own measure (relief_priv.h). */
#define GOV__STUCK_US 1000000

/* One that works, and two for those that do not come back. */
#define GOV__WORKERS 3

enum gov__worker_state {
    GOV__WORKER_NONE,
    GOV__WORKER_RUNS,
    GOV__WORKER_ENDED, /* to be joined */
};

struct gov__worker {
    struct gov_runtime *runtime;
    pthread_t thread;
    enum gov__worker_state state;
};

struct gov_runtime {
    const struct gov_platform *platform;
    struct gov_alloc alloc;
    uint64_t opened_us;
    uint32_t sample_ms;
    bool adaptive;  /* the host named no pace: the thread finds its own */
    bool no_thread; /* gov_step() is all there is */
    struct gov__control control;
    _Atomic uint64_t budget_bytes;   /* written by the thread that is looking */
    bool budget_given;               /* by the app; the same */
    _Atomic uint64_t budget_wanted;  /* by gov_set_budget() */
    _Atomic bool budget_asked;       /* it was called since the last step */
    uint64_t limit_bytes, ram_bytes; /* what it was derived from */
    pid_t creator; /* a child of fork() has none of the threads */
    bool threaded, has_looker;
    pthread_t looker;
    struct gov__worker workers[GOV__WORKERS];
    uint64_t woke_ms; /* whoever works; the same */
    int wake[2];      /* a pipe: a byte wakes the looker; -1 without */
    struct gov__gather gathered; /* of gov_fd(); fd -1: not asked for */
    uint64_t due_us;             /* the next look of gov_dispatch() */
    _Atomic bool stop;
    /* Of the thread that looks. */
    struct gov_platform looks; /* keeps open what it reads, where that can be */
    struct gov__kept kept;
    bool keeps, watches;
    /* For weighing what relief gave, on whatever thread that is. */
    pthread_mutex_t weighing; /* taken last */
    struct gov_platform weighs;
    struct gov__kept weighs_kept;
    bool weighs_keeps;
    struct gov__watch watch_room;
    _Atomic uint64_t expected; /* of gov_expect() */
    _Atomic bool expects;      /* which was called */
    _Atomic int level;         /* copy for gov_level_now() */
    _Atomic uint64_t have;     /* counters set, as in struct gov_page */
    _Atomic uint64_t counter[GOV_PAGE_COUNTERS];
    struct gov__gauges gauges;
    struct gov__requests *requests; /* NULL: no telemetry; has its own lock */
    struct gov__page_writer writer; /* of the thread that keeps house */
    struct gov__trace
        *_Atomic trace;             /* trace_write.c's; NULL: never recorded */
    struct gov_regrow regrow;       /* of the thread that is working */
    uint64_t looked_ms;             /* at the policy's files; the same */
    struct gov__policy_watch watch; /* of the thread that is loading */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_cond_t work;         /* there is some */
    struct gov__worker *current; /* who is to do it */
    bool work_wanted;
    bool nobody_works;    /* all do not come back */
    gov_level told_level; /* as the listener knows it */
    bool looking;         /* one thread is inside a look */
    bool working;         /* one thread has the turn to work: `worker` */
    pthread_t worker;
    uint64_t work_turn; /* which turn that is */
    bool work_lost;     /* one was taken away; of the thread that looks */
    uint64_t
        waits_since_us; /* for a listener or a file system; 0: it does not */
    bool keeping_house; /* one thread is at the files */
    struct gov__judged todo[GOV__TODO]; /* a ring */
    size_t todo_first, todo_count;
    struct gov__source
        sources[GOV__SOURCES]; /* that may wake, by the last look */
    size_t source_count;
    struct gov__relief_turn turn;
    bool loading;           /* one thread looks at the files of the policy */
    uint32_t policy_serial; /* another one for each policy; never 0 */
    struct gov_level_rules rules;
    struct gov_relief_rules relief_rules;
    char policy_source[GOV_MESSAGE_BYTES];
    char policy_problem[GOV_MESSAGE_BYTES]; /* why it is not what files say */
    char
        policy_notice[2 * GOV_MESSAGE_BYTES + 64]; /* still to be told, or "" */
    struct gov_level_machine machine;
    struct gov__sample last;
    char publish_problem[GOV_MESSAGE_BYTES];
    struct gov_page page; /* its texts; the rest is filled when published */
    struct gov__sim_step steps[GOV__STEPS + GOV__STEPS_TOLD];
    uint32_t step_count;
    bool simulating;
    gov_level simulated;
    struct gov__relief_slot slots[GOV__RELIEFS];
    uint32_t last_id;
    struct gov__models models;
    struct gov__activity activity;
    struct gov__shown shown;
    struct gov__asked asked;
    struct gov__asked replaced; /* by the one above, which is to be told */
    bool relieving;  /* one thread runs the ladder, regrows, or tells floors */
    bool exclusive;  /* an action that must not race a pass is running */
    bool pending;    /* an action waits for the end of a pass */
    bool alert;      /* it is time to look often; caches were handed over */
    uint32_t passes; /* forward passes under way, or waiting to begin */
    uint64_t wanted_bytes, given_bytes; /* by, and since, the last sample */
    gov_event_fn event;
    void *event_ctx;
    uint32_t delivering;   /* calls of a listener that are running */
    uint64_t delivered_us; /* since when one is, at least */
};

/* Milliseconds since gov_open(). */
uint64_t gov__runtime_ms(const struct gov_runtime *runtime);

/* Whether this is a child of fork() of the process that opened the runtime: it has
 * no thread, and the descriptors are its parent's. Nothing is governed there. */
bool gov__runtime_forked(const struct gov_runtime *runtime);

/* ---- budget.c ---------------------------------------------------------------- */

/* The device's budget. */
gov_status gov__budget_find(struct gov_runtime *runtime, gov_error *err);

/* Whether the budget is another one: by gov_set_budget(), and by what a look found of
 * limits. Then `news` says so. */
bool gov__budget_take(struct gov_runtime *runtime, char *news, size_t bytes);
bool gov__budget_follow(struct gov_runtime *runtime,
                        const struct gov__sample *sample, char *news,
                        size_t bytes);

/* ---- look.c -------------------------------------------------------------------- */

/* Opens what looks and what wakes; nothing of it can fail. */
void gov__look_open(struct gov_runtime *runtime);
void gov__look_close(struct gov_runtime *runtime);

/* One look: one thread at a time. */
void gov__look(struct gov_runtime *runtime, struct gov__judged *out);

/* Milliseconds from one look to the next, by the last one; the host's, where it gave
 * a pace. Lock held. */
uint64_t gov__look_pace_locked(const struct gov_runtime *runtime);

/* What to wait for until the next look, and for how long at most. */
size_t gov__look_polls(struct gov_runtime *runtime,
                       struct pollfd polled[GOV__LOOK_POLLS],
                       uint64_t *wait_ms);

/* Whether to look now, by what poll() said. */
bool gov__look_heard(struct gov_runtime *runtime, const struct pollfd *polled,
                     size_t count);

/* ---- work.c -------------------------------------------------------------------- */

/* What a look found is to be worked on. */
void gov__work_add(struct gov_runtime *runtime,
                   const struct gov__judged *judged);

/* Works on all of it, unless another thread does. `policy`: looks at its files,
 * too. */
void gov__work(struct gov_runtime *runtime, bool policy);

/* Takes the turn from a thread that does not come back from whom it called. Returns
 * whether there was one. On the thread that looks. */
bool gov__work_abandon(struct gov_runtime *runtime);

/* If that thread has the turn it has lost it. Lock held. */
void gov__work_lost_locked(struct gov_runtime *runtime, pthread_t by);

/* Calls the listener with size, time and, but of a level's, level filled in. No lock
 * held. */
void gov__runtime_event(struct gov_runtime *runtime, struct gov_event *event);

/* ---- loop.c -------------------------------------------------------------------- */

/* Starts the threads; returns 0 or an errno value. Stopping waits for the callbacks
 * that they are in. */
int gov__loop_start(struct gov_runtime *runtime);
void gov__loop_stop(struct gov_runtime *runtime);

/* Wakes the thread that looks, if there is one. */
void gov__runtime_wake(struct gov_runtime *runtime);

/* ---- publish.c ----------------------------------------------------------------- */

void gov__publish(struct gov_runtime *runtime, const struct gov__sample *sample,
                  const char *reason);

/* ---- others ---------------------------------------------------------------------- */

/* Puts the policy in force that the options ask for. What it took is released by
 * gov__policy_end(). */
gov_status gov__policy_begin(struct gov_runtime *runtime,
                             const struct gov_options *options, gov_error *err);
void gov__policy_end(struct gov_runtime *runtime);

/* Looks about once a second whether the policy's files changed, and reads them
 * again if so; tells what there is to tell. On the thread that is stepping. */
void gov__policy_follow(struct gov_runtime *runtime);

/* Applies the simulated steps that are due. Lock held. */
void gov__simulate_due_locked(struct gov_runtime *runtime, uint64_t now_ms);

/* What gov_control_simulate() sent takes effect at the next step, in place of what
 * it sent before. */
void gov__simulate_told(struct gov_runtime *runtime, gov_level level,
                        uint64_t for_ms);

/* What gov_control_relieve() sent: relief_asked.c. */
void gov__asked_told(struct gov_runtime *runtime, uint64_t bytes);

/* The control socket. A page that was made again, because the directory was swept
 * or another runtime of this process had the name, gets one again, by who writes
 * pages. Failing is a recorded fact. A turn takes what was sent, before a look. */
void gov__control_follow(struct gov_runtime *runtime);
void gov__control_turn(struct gov_runtime *runtime);
void gov__control_close(struct gov_runtime *runtime);

/* The descriptor to wait for, or -1, and then *wait_ms is at most until there is
 * one: who sends all the time is not listened to all the time. */
int gov__control_fd(const struct gov_runtime *runtime, uint64_t *wait_ms);

/* Milliseconds until the next simulated step, at most `limit`. Lock held. */
uint64_t gov__simulate_wait_locked(const struct gov_runtime *runtime,
                                   uint64_t now_ms, uint64_t limit);

/* gov_open() on another platform, for tests. */
gov_status gov__open_on(gov_runtime **out, const struct gov_options *options,
                        const struct gov_platform *platform,
                        const char *page_directory, gov_error *err);

/* gov_pressure_facts() on another platform, for tests. */
void gov__pressure_facts_on(const struct gov_platform *platform,
                            struct gov_facts *facts, const gov_policy *policy);

/* Copies a struct that begins with its size, as the caller's version has it,
 * into this version's of `bytes` bytes: members that the caller lacks are 0.
 * False when it sets something that this version does not know, or has no size
 * that makes sense. */
bool gov__read_struct(void *out, size_t bytes, const void *in, size_t in_bytes);

#endif
