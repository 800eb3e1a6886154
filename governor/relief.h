/* SPDX-License-Identifier: MIT */
/* Relief: actions of the app, the engine and the library that give memory back
 * when it is short, and take it again when it is not. */
#ifndef GOV_RELIEF_H
#define GOV_RELIEF_H

#include <stdbool.h>

#include "governor/memory.h"
#include "policies/level.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gov_runtime gov_runtime;

/* How what an action gave is told. */
enum gov_relief_measure {
    GOV_RELIEF_FOOTPRINT = 0, /* memory that only this process can give back */
    GOV_RELIEF_RESIDENT = 1,  /* that, and the file pages it maps */
};

/* What one slice of relief is asked for. */
struct gov_relief_want {
    size_t size; /* of the struct, set by the library */
    gov_level level;
    uint64_t bytes; /* still missing; 0: all that the level allows */
    /* Come back after about so long, with what was done by then. */
    uint64_t slice_us;
};

struct gov_relief {
    size_t size;           /* set by gov_relief_default() */
    const char *name;      /* copied, at most 31 bytes: "kv.unused" */
    gov_level from_level;  /* WARN or CRITICAL; not before this level */
    uint32_t rebuild_cost; /* 0 is free to rebuild; lower goes first */
    bool between_passes;   /* run() never while the engine computes */
    void *ctx;
    /* Estimates the bytes that run() would give at that level; cheap, no
     * waiting, any thread. */
    uint64_t (*offer)(void *ctx, gov_level level);
    /* Gives memory back. Must not walk cold memory. What it gave is measured, so
     * it returns nothing. May be NULL where relieve() is set. */
    void (*run)(void *ctx, gov_level level);
    /* The level is back to NORMAL, and it is this one's turn to take memory
     * again; may be NULL. The engine may compute. Only after it ran. */
    void (*regrow)(void *ctx);
    /* How much to leave, by the policy: bytes, and tokens for what counts those;
     * 0: nothing. Called before the first offer() and whenever the policy
     * changes. May be NULL: then it never runs under a policy that has a floor
     * for it, and a NOTICE says so. */
    void (*leave)(void *ctx, uint64_t floor_bytes, uint32_t floor_tokens);
    /* The budget is another one now: a limit was changed, or gov_set_budget() was
     * called. Before relief of the same step, and whether it is short or not; not on
     * the engine's thread. May be NULL. */
    void (*budget)(void *ctx, uint64_t budget_bytes);
    /* Append only. Zero must keep the behaviour of older versions. */
    /* In place of run(), in slices: it is called again, while memory is short and
     * what was measured is less than what is wanted, until it returns 0. Returns
     * what this slice gave, or set on its way, by its own account: that is told
     * beside what was measured. Between two slices passes go on, so the next one may
     * be a pass or a look at memory later; the level may be another one then. */
    uint64_t (*relieve)(void *ctx, const struct gov_relief_want *want);
    /* In place of regrow(), in steps: takes at most so many bytes again (UINT64_MAX:
     * all), and returns what it still lacks; called again, by and by, until that is
     * 0. How much, and how far apart, says the policy. */
    uint64_t (*regrow_by)(void *ctx, uint64_t bytes);
    /* Memory is short again: what is still being taken is to stop. Once, before
     * relief of that level, if it regrew since the level was NORMAL. May be NULL. */
    void (*regrow_stop)(void *ctx);
    /* What it gives comes by and by, at most so long after its last slice, and 10 s:
     * it is measured until then, or until it is what was claimed (by relieve(), or
     * what run() was offered for). Meanwhile it does not run, and what it claims
     * counts as given, unless it gave nothing the last time. 0: at once. */
    uint32_t settle_ms;
    enum gov_relief_measure measure;
    /* What it gives cannot be had again without loss to the user: not by one look
     * at one counter. */
    bool destructive;
};

static inline struct gov_relief gov_relief_default(void)
{
    struct gov_relief relief = {sizeof(struct gov_relief),
                                NULL,
                                GOV_LEVEL_WARN,
                                0,
                                false,
                                NULL,
                                NULL,
                                NULL,
                                NULL,
                                NULL,
                                NULL,
                                NULL,
                                NULL,
                                NULL,
                                0,
                                GOV_RELIEF_FOOTPRINT,
                                false};
    return relief;
}

/* Registers an action. *id names it for gov_relief_remove(). At most 32,
 * the library's own heap.purge included.
 *
 * From WARN on actions run, in the order of the policy's ladder, and after them
 * those that it does not name, cheapest first; one at a time and at most eight a
 * turn, until what they gave back, as measured, makes up for the headroom that is
 * missing; where it is stalls that raised the level, or a simulation, all run
 * that the level allows. An action then rests, by the policy (5 s at least, 30 s
 * when it gave little, where it says nothing); a rising level ends every rest.
 * While evidence is calm nothing runs, though the level takes its time to fall; but
 * for what a person asks for (gov_control_relieve()), which runs as at WARN.
 * The first action goes first even where it waits for a pass to end; only at
 * CRITICAL others do not wait with it. At NORMAL those that ran take memory
 * again, one at a time and by and by, the last of the ladder first.
 *
 * On the thread that drives the engine, in gov_pass_end(), all of it takes about
 * one slice (2 ms) and goes on at the end of the next pass; a run() there is not cut
 * short. A pass waits for a slice, or a run(), of a between_passes action.
 *
 * Callbacks are called with no lock held, one at a time but for budget(). They may
 * call gov_level_now(), gov_describe(), gov_publish() and what is said of
 * gov_relief_remove(); gov_step(), gov_dispatch() and gov_pass_end() do no relief
 * there, and gov_pass_begin() does not wait for the action that calls it.
 * gov_close(), gov_record() and gov_on_event() are not for callbacks: they wait for
 * them.
 *
 * One that does not return (250 ms; run() and regrow() a second) is overdue: a
 * NOTICE says so, and while the runtime has threads others go on without it. When it
 * returns it is an action like others again; what it gave is not known, nobody can
 * tell it from theirs. While one that cannot be undone is overdue no other such one
 * runs. Passes still wait for a between_passes action that is overdue: it may be
 * in the engine's memory. gov_close() waits for it, too.
 *
 * GOV_E_INVALID, GOV_E_BUSY (32 are registered), GOV_E_UNSUPPORTED (in a child of
 * fork()) */
GOV_API GOV_NODISCARD gov_status gov_relief_add(gov_runtime *runtime,
                                                const struct gov_relief *relief,
                                                uint32_t *id, gov_error *err);

/* Returns once no call of it is running, however long that takes. A cache keeps as
 * much as at NORMAL again. An id that is none is passed over. From a callback of its
 * own it returns at once, and the action is gone when that callback has returned.
 * From a callback of another one only where that one's callbacks never remove this
 * one; not from a listener, nor with a lock held that its callbacks take. */
GOV_API void gov_relief_remove(gov_runtime *runtime, uint32_t id);

/* What is known of one action, for who shows it. */
struct gov_relief_state {
    size_t size; /* of the struct, set by the library */
    char name[32];
    uint64_t claimed_bytes, measured_bytes; /* since it was registered */
    uint64_t last_yield_bytes;
    uint32_t runs;
    /* Runs in a row that gave nothing. After three it is put to rest until the
     * level is NORMAL again, and a NOTICE says so. */
    uint32_t barren;
    uint64_t rest_ms; /* still; 0: it may run */
    bool retired;     /* put to rest as barren */
    bool running;
    bool overdue; /* a call of it does not return; others go on without it */
};

/* Writes the registered actions, in the order they were registered, at most
 * `room`; returns how many there are. Any thread. */
GOV_API size_t gov_relief_list(gov_runtime *runtime,
                               struct gov_relief_state *out, size_t room);

/* Registers a cache: it shrinks by level, and its bytes are published. It must
 * be removed before it is freed. */
GOV_API GOV_NODISCARD gov_status gov_relief_add_cache(gov_runtime *runtime,
                                                      const char *name,
                                                      gov_cache *cache,
                                                      uint32_t *id,
                                                      gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
