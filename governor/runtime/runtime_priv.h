/* SPDX-License-Identifier: MIT */
/* The runtime's insides, shared by runtime.c (samples, level, publishing),
 * relief_slots.c (who gives memory back), relief.c (the ladder's execution),
 * policy_watch.c (the policy in force), simulate.c and control.c (what other
 * processes ask for).
 *
 * There is one lock. It guards everything below it in the struct and is never
 * held over a callback of the app, a call of a cache, the platform or the page.
 * What must outlast such a call is marked under the lock instead: `stepping` and
 * `relieving` keep a second thread out of a turn, `loading` out of the files of
 * the policy, `calls` and `delivering` make gov_relief_remove() and gov_on_event()
 * wait, `exclusive` makes a pass wait.
 * Whoever takes such a mark back broadcasts `changed`. */
#ifndef GOV_RUNTIME_RUNTIME_PRIV_H
#define GOV_RUNTIME_RUNTIME_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "governor/platform/platform.h"
#include "governor/pressure/evidence.h"
#include "governor/runtime.h"
#include "governor/runtime/page_writer.h"
#include "governor/runtime/policy_watch.h"
#include "policies/ladder.h"

#define GOV__RELIEFS 32
#define GOV__STEPS 16     /* that the app has waiting */
#define GOV__STEPS_TOLD 2 /* that gov_control_simulate() has beside them */

struct gov__relief_slot {
    uint32_t id;              /* 0: free */
    bool removed;             /* no call of it begins any more */
    uint32_t calls;           /* of its functions that are running */
    struct gov_relief relief; /* its name is the copy below */
    char name[32];
    gov_cache *cache; /* of gov_relief_add_cache(), else NULL */
    uint64_t rest_until_ms;
    bool gave; /* ran since it last regrew */
    /* What the policy says of it; written by who has the turn. */
    uint32_t policy_serial; /* of the policy that said it; 0: none did yet */
    uint32_t place;
    gov_level from_level;
    uint64_t floor_bytes;
    uint32_t floor_tokens;
    bool floor_broken; /* it has one and cannot leave a part: it never runs */
};

struct gov__sim_step {
    uint64_t at_ms;
    bool end; /* back to real evidence */
    gov_level level;
    bool told; /* by another process */
};

/* The socket of control.c. Of the thread that takes turns: the runtime's own, or
 * without one whoever calls gov_step(); `problem` is under the lock. */
struct gov__control {
    int fd;        /* -1: none */
    uint32_t made; /* the writer's, when the socket was made */
    dev_t device;  /* of its name */
    ino_t inode;   /* the same */
    uint64_t quiet_until_ms;
    char problem[GOV_MESSAGE_BYTES]; /* why there is none, or "" */
};

struct gov_runtime {
    const struct gov_platform *platform;
    struct gov_alloc alloc;
    uint64_t opened_us;
    uint32_t sample_ms;
    bool adaptive;  /* the host named no pace: the thread finds its own */
    bool no_thread; /* gov_step() is all there is */
    struct gov__control control;
    _Atomic uint64_t budget_bytes;  /* written by the thread that is stepping */
    bool budget_given;              /* by the app; the same */
    _Atomic uint64_t budget_wanted; /* by gov_set_budget() */
    _Atomic bool budget_asked;      /* it was called since the last step */
    uint64_t limit_bytes, ram_bytes; /* what it was derived from */
    bool has_thread;
    pthread_t thread;
    int wake[2]; /* a pipe: a byte wakes the thread; -1 without */
    _Atomic bool stop;
    _Atomic int level;     /* copy for gov_level_now() */
    _Atomic uint64_t have; /* counters set, as in struct gov_page */
    _Atomic uint64_t counter[GOV_PAGE_COUNTERS];
    struct gov__page_writer writer; /* of the thread that is stepping */
    struct gov__trace
        *_Atomic trace;             /* trace_write.c's; NULL: never recorded */
    struct gov_regrow regrow;       /* of the thread that is stepping */
    uint64_t looked_ms;             /* at the policy's files; the same */
    struct gov__policy_watch watch; /* of the thread that is loading */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stepping;          /* one thread is inside gov_step() */
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
    bool relieving;  /* one thread runs the ladder, regrows, or tells floors */
    bool exclusive;  /* an action that must not race a pass is running */
    bool pending;    /* an action waits for the end of a pass */
    bool alert;      /* the stepping thread's: caches were handed over */
    uint32_t passes; /* forward passes under way, or waiting to begin */
    uint64_t wanted_bytes, given_bytes; /* by, and since, the last sample */
    gov_event_fn event;
    void *event_ctx;
    uint32_t delivering; /* calls of a listener that are running */
};

/* Milliseconds since gov_open(). */
uint64_t gov__runtime_ms(const struct gov_runtime *runtime);

/* Milliseconds from one sample of the thread to the next, by the last one; the
 * host's, where it gave a pace. Lock held. */
uint64_t gov__runtime_pace_locked(const struct gov_runtime *runtime);

/* Calls the listener with size, time and level filled in. No lock held. */
void gov__runtime_event(struct gov_runtime *runtime, struct gov_event *event);

/* Where the ladder is run. */
enum gov__where {
    GOV__IN_STEP,     /* gov_step(): whatever need not wait for a pass */
    GOV__IN_PASS_END, /* on the engine's thread: what has to be there only */
};

/* Runs the ladder for the level in force, unless another thread does. */
void gov__relief_run(struct gov_runtime *runtime, enum gov__where where);

/* Tells every action that does not know it yet what the policy wants it to leave,
 * and the trace, if there is one, the sample and what all offer. To be called
 * with every sample, before anything runs for it. */
void gov__relief_sample(struct gov_runtime *runtime,
                        const struct gov_evidence *evidence,
                        const char *reason);

/* Tells every action that wants to know that the budget changed. On the thread
 * that is stepping. */
void gov__relief_budget(struct gov_runtime *runtime);

/* Lets one action take memory again, if that is due. To be called with every
 * sample. */
void gov__relief_regrow(struct gov_runtime *runtime);

/* Begins a call of the action in a slot, which then stays until
 * gov__slot_leave(), and copies it. False when there is none, or (id not 0)
 * another one. */
bool gov__slot_enter(struct gov_runtime *runtime, size_t at, uint32_t id,
                     struct gov__relief_slot *out);
void gov__slot_leave(struct gov_runtime *runtime, size_t at);

/* gov__slot_enter(), and the action knows what the policy in force wants it to
 * leave. Only for who has the turn: one thread at a time tells. */
bool gov__slot_enter_told(struct gov_runtime *runtime, size_t at,
                          struct gov__relief_slot *out);

/* Bytes in the registered caches; false when there is none. */
bool gov__relief_cache_bytes(struct gov_runtime *runtime, uint64_t *bytes);

/* Lets the kernel take what caches hold and nobody uses, before we ask for it: memory
 * may fill faster than we look. */
void gov__relief_hand_over(struct gov_runtime *runtime);

/* Lifts what gov_relief_add_cache() did to caches: the runtime closes. */
void gov__relief_close(struct gov_runtime *runtime);

/* Lifts all rests: the level rose. Lock held. */
void gov__relief_wake_locked(struct gov_runtime *runtime);

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

/* The control socket. A page that was made again, because the directory was swept
 * or another runtime of this process had the name, gets one again. Failing is a
 * recorded fact. A turn takes what was sent: before gov_step(), and on the same
 * thread as `follow`. */
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

/* Wakes the thread, if there is one. */
void gov__runtime_wake(struct gov_runtime *runtime);

/* Copies a struct that begins with its size, as the caller's version has it,
 * into this version's of `bytes` bytes: members that the caller lacks are 0.
 * False when it sets something that this version does not know, or has no size
 * that makes sense. */
bool gov__read_struct(void *out, size_t bytes, const void *in, size_t in_bytes);

#endif
