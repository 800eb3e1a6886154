/* SPDX-License-Identifier: MIT */
/* The runtime: watches memory pressure for one app, runs the relief ladder,
 * measures what each action gave, and publishes all of it for govtop. */
#ifndef GOV_RUNTIME_H
#define GOV_RUNTIME_H

#include <stdbool.h>

#include "governor/memory.h"
#include "governor/page.h"
#include "governor/relief.h"
#include "governor/telemetry.h"
#include "policies/facts.h"
#include "policies/policy_text.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gov_options {
    size_t size;     /* set by gov_options_default(), not by hand */
    const char *app; /* copied; shown in govtop; NULL means "app" */
    /* 0 means the device's, limit less reserve, which follows a limit that is
     * changed while the app runs. */
    uint64_t budget_bytes;
    /* 100 to 60000. 0 means 250 for a host that calls gov_step() itself; the
     * thread looks ten times a second then while memory is short or about to be, and
     * once while there is plenty. */
    uint32_t sample_ms;
    bool no_thread;                /* the app calls gov_step() itself */
    bool no_publish;               /* no page for govtop */
    const struct gov_alloc *alloc; /* copied; NULL means the C library's */
    /* Append only. Zero must keep the behaviour of older versions. */
    /* As gov_policy_open() takes it, copied; NULL: the user's and the system's
     * over the shipped one. Followed while the app runs: steps look at the files,
     * once a second at most, and read what changed and is at the next look as it
     * was. It takes effect if it is a policy; otherwise what was in force stays,
     * and a NOTICE says so. Plans that were made before stay as they are. */
    const char *policy;
    /* The shipped policy, or the one that is named over it, and nothing else. */
    bool no_policy_files;
    /* A database of telemetry (governor/telemetry.h) to write to, copied; "": the
     * usual one; NULL: none, nothing is recorded. One that cannot be written is no
     * failure: gov_describe() and a NOTICE say so, and what is lost is counted. */
    const char *telemetry;
    uint64_t telemetry_bytes; /* how large it may become; 0: 64 MiB */
};

static inline struct gov_options gov_options_default(void)
{
    struct gov_options options = {sizeof(struct gov_options),
                                  NULL,
                                  0,
                                  0,
                                  false,
                                  false,
                                  NULL,
                                  NULL,
                                  false,
                                  NULL,
                                  0};
    return options;
}

/* Opens a governor for this process. On success *out is owned by the caller and
 * released with gov_close(). On failure *out is NULL and err, if given, says
 * why. Starts two threads unless no_thread, one that looks and one that works. A
 * page that cannot be published is no failure: gov_describe() says so.
 *
 * A policy that is named and cannot be read, or is none, is a failure. One that
 * was not named, the user's or the system's, is not: the shipped one is in force
 * then, and gov_describe() and a NOTICE at the first step say so.
 *
 * GOV_E_INVALID      an option is out of range or of a newer version
 * GOV_E_FORMAT, GOV_E_NOT_FOUND, GOV_E_PERMISSION, GOV_E_IO  the policy that is
 *                    named
 * GOV_E_UNSUPPORTED  this system reports no memory total to govern
 * GOV_E_IO           there may be a memory limit, and it cannot be read
 * GOV_E_NOMEM        no memory, no descriptor or no thread is left */
GOV_API GOV_NODISCARD gov_status gov_open(gov_runtime **out,
                                          const struct gov_options *options,
                                          gov_error *err);

/* Stops the threads, once the callbacks that they may be in have returned, removes
 * the page, frees. Registered caches are as at NORMAL again. Accepts NULL. No
 * other call of this runtime may be running or follow; no callback does. Not
 * from a callback. */
GOV_API void gov_close(gov_runtime *runtime);

/* One turn of the loop: sample, level, relief, publish. The internal threads
 * repeat just this; hosts with a loop of their own call it every sample_ms.
 * Waits for nothing but the callbacks it calls and the file systems of what it
 * looks at about once a second, the policy's files, and of what it writes, the
 * page, a trace and telemetry; for the database of that, while another process
 * holds it, up to a second, at first after 2 s and then ever less often. Does
 * nothing while another thread, or the caller of this callback, is inside it: only
 * looks, where the runtime has threads. */
GOV_API void gov_step(gov_runtime *runtime);

/* For a host with a loop of its own and no_thread: a descriptor that poll() finds
 * readable when gov_dispatch() has something to do, be it that time is over or that
 * memory grows short. The runtime's; not to be read from, nor closed. The same one
 * until gov_close().
 *
 * GOV_E_UNSUPPORTED  the runtime has its thread, or the system has no such
 *                    descriptor: call gov_step() by a timer of the host's
 * GOV_E_IO           no descriptor is left */
GOV_API GOV_NODISCARD gov_status gov_fd(gov_runtime *runtime, int *fd,
                                        gov_error *err);

/* Does what is due, gov_step() among it, and waits for nothing else than that does:
 * with telemetry up to a second for a database that is held. To be called when that
 * descriptor is readable; when it is not it costs little. On one thread. */
GOV_API void gov_dispatch(gov_runtime *runtime);

/* A source of evidence: whether it wakes the runtime, and why not. */
typedef enum gov_source_state {
    GOV_SOURCE_LIVE = 1, /* it wakes the runtime, or is read at each look */
    GOV_SOURCE_SPARE,    /* it would work, and is not needed now */
    GOV_SOURCE_ABSENT,   /* this system has none */
    GOV_SOURCE_DENIED,   /* this user, or this container, may not */
    GOV_SOURCE_BROKEN,   /* it went, or told what was not so */
} gov_source_state;

struct gov_source {
    size_t size;      /* of the struct, set by the library */
    const char *name; /* static; "PSI trigger (own cgroup)" */
    gov_source_state state;
    uint64_t events;
    uint64_t
        false_events; /* that could not be verified, and were passed over */
    char why[96]; /* in a few words: what it waits for, or why it does not */
};

/* Writes the sources that this system may have, at most `room`; returns how many
 * there are. As the last look found them. Any thread. */
GOV_API size_t gov_sources(gov_runtime *runtime, struct gov_source *out,
                           size_t room);

/* The app says that it is about to take so many bytes, of memory or of file pages
 * (a load), and, with the negative, that it is done: memory that fills by so much
 * is no alarm until then. Adds up; never below 0. Any thread. */
GOV_API void gov_expect(gov_runtime *runtime, int64_t bytes);

/* The thread that drives the engine calls these around every forward pass.
 * Relief that must not race one runs between passes: on a thread of the runtime's
 * while the engine is idle, else inside gov_pass_end(), where no other action
 * runs. gov_pass_begin() waits for such an action that is running, one at most.
 * A mutex each, about 50 ns. Passes may overlap: between passes is when none is
 * under way. */
GOV_API void gov_pass_begin(gov_runtime *runtime);
GOV_API void gov_pass_end(gov_runtime *runtime);

GOV_API gov_level gov_level_now(const gov_runtime *runtime);

/* What the app may use now, as the last step saw it. Any thread. */
GOV_API uint64_t gov_budget_now(const gov_runtime *runtime);

/* The app names another budget (0: the device's again), which takes effect at the
 * next step; what is loaded follows it (gov_relief.budget). Any thread. */
GOV_API void gov_set_budget(gov_runtime *runtime, uint64_t budget_bytes);

/* Sets pressure.headroom and pressure.level, for a plan: how memory is now, before
 * the model is loaded. One look against budget.ram, which must be set, by the
 * policy's levels (NULL: the defaults); whether anybody waits for memory takes
 * longer to tell and is not asked. Sets nothing where the system does not tell.
 * Needs no runtime, allocates nothing, about 100 us; any thread. */
GOV_API void gov_pressure_facts(struct gov_facts *facts,
                                const gov_policy *policy);

/* Which evidence is live and why others are not, the budget and its source: one
 * line for a person. Always NUL-terminated; returns out. */
GOV_API char *gov_describe(gov_runtime *runtime, char *out, size_t bytes);

/* ---- events --------------------------------------------------------------- */

typedef enum gov_event_kind {
    GOV_EVENT_LEVEL = 1,  /* the level changed */
    GOV_EVENT_RELIEF = 2, /* an action ran; its yield is measured */
    GOV_EVENT_NOTICE = 3, /* something a person may want to know */
} gov_event_kind;

struct gov_event {
    size_t size; /* of the struct, set by the library */
    gov_event_kind kind;
    uint64_t at_ms; /* since gov_open() */
    gov_level level;
    const char *text;   /* one sentence; valid during the call */
    const char *action; /* RELIEF: its name; else NULL */
    uint64_t offered_bytes;
    uint64_t before_bytes,
        after_bytes;      /* of `measure`, by the kernel's counters */
    uint64_t yield_bytes; /* before less after, never negative */
    uint64_t took_us;
    /* Footprint, or with file pages, which are none. */
    enum gov_relief_measure measure;
};

typedef void (*gov_event_fn)(void *ctx, const struct gov_event *event);

/* Calls fn for every event, on the thread where it happened, with no lock held.
 * That is one of the runtime's, the one that calls gov_step(), or the engine's in
 * gov_pass_end(): several may call fn at the same time. While a call takes longer
 * than a second fn is told nothing: what happens meanwhile is lost, but for the
 * level, which it is told by the first step after. fn may call
 * gov_level_now(), gov_describe() and the gov_publish ones, and nothing else of
 * this runtime. One listener: a second call replaces it, NULL removes it.
 * Returns once no call of the one before is running, so its ctx may go: not from
 * fn, and not with a lock held that fn takes. */
GOV_API void gov_on_event(gov_runtime *runtime, gov_event_fn fn, void *ctx);

/* Tells the listener a NOTICE of the app's or an adapter's own: a sentence of at
 * most 255 bytes, used during the call. On the caller's thread, which holds no lock
 * that the listener takes; also in callbacks of relief. Nothing in a child of
 * fork(), nor without a runtime. */
GOV_API void gov_notice(gov_runtime *runtime, const char *text);

/* ---- simulation ----------------------------------------------------------- */

/* The level becomes `level`, whatever the evidence, after `delay_ms` and until
 * the next simulated step. Of steps that are due at the same turn the last one
 * counts. At most 16 steps wait at a time.
 *
 * GOV_E_BUSY         16 are waiting
 * GOV_E_INVALID      level is none of the three
 * GOV_E_UNSUPPORTED  in a child of fork() */
GOV_API GOV_NODISCARD gov_status gov_simulate(gov_runtime *runtime,
                                              gov_level level,
                                              uint64_t delay_ms,
                                              gov_error *err);
/* Back to real evidence after `delay_ms`, judged from NORMAL. */
GOV_API GOV_NODISCARD gov_status gov_simulate_end(gov_runtime *runtime,
                                                  uint64_t delay_ms,
                                                  gov_error *err);

/* ---- policy --------------------------------------------------------------- */

/* Reads the policy's files again now, whether they changed or not, and puts it in
 * force: from the next step on, which tells it. On failure what is in force
 * stays. Any thread, but not from a callback.
 *
 * GOV_E_FORMAT and others as gov_policy_open()
 * GOV_E_UNSUPPORTED  in a child of fork() */
GOV_API GOV_NODISCARD gov_status gov_policy_reload(gov_runtime *runtime,
                                                   gov_error *err);

/* ---- telemetry -------------------------------------------------------------- */

/* A request is over: one row, copied, written by and by with others. Where the app
 * asked for no telemetry, nothing. What the runtime knows itself (app, level,
 * evictions, footprint) it fills in where the row leaves it zero. A mutex and no
 * system call; any thread. Of more than 256 that wait the oldest is lost, and
 * counted. */
GOV_API void gov_request_done(gov_runtime *runtime,
                              const struct gov_request *request);

/* ---- publishing ------------------------------------------------------------ */

/* Sets one counter of the published page: a relaxed atomic store, for hot
 * paths. The page shows it after the next step. */
GOV_API void gov_publish(gov_runtime *runtime, gov_page_counter counter,
                         uint64_t value);
/* Sets one text, cut to its field at a character boundary. Takes the lock. */
GOV_API void gov_publish_text(gov_runtime *runtime, gov_page_text text,
                              const char *value);

#ifdef __cplusplus
}
#endif
#endif
