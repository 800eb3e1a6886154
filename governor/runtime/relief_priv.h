/* SPDX-License-Identifier: MIT */
/* Actions that give memory back, as the runtime holds them: slots (relief_slots.c),
 * turns and calls (relief_turn.c), what an action gave (relief_yield.c), one action
 * in slices (relief_slices.c), the ladder (relief.c), what for (relief_asked.c), and
 * taking memory again (relief_regrow.c).
 *
 * One thread at a time has the turn: it gives back, regrows or tells floors. It
 * calls actions with no lock held, and each call is written down with the time it
 * began, so that another thread sees one that does not return, and takes the turn
 * away: gov__relief_overdue(). A thread whose turn was taken learns that when its
 * call returns; it settles its own slot then and touches nothing else. */
#ifndef GOV_RUNTIME_RELIEF_PRIV_H
#define GOV_RUNTIME_RELIEF_PRIV_H

#include <pthread.h>

#include "governor/relief.h"
#include "policies/ladder.h"

#define GOV__RELIEFS 32
#define GOV__SLICE_US 2000
/* A call that was promised to be short is overdue after: two looks and a half at
 * the pace of an alert, in which 0.5 GB go at 2 GB/s; no scheduler of a busy machine
 * was seen to hold a thread so long. Twenty slices are 40 ms. */
#define GOV__PATIENCE_US 250000
/* run() and regrow() promise nothing: the kernel takes a second for 10 GB of small
 * pages. */
#define GOV__PATIENCE_WHOLE_US 1000000
#define GOV__SETTLE_MS_MAX 10000
#define GOV__BARREN_RUNS 3

/* What is looked at around a call. */
struct gov__weight {
    bool known;
    uint64_t bytes[2]; /* by gov_relief_measure */
};

/* One run of an action: its slices, and what comes of them later. */
struct gov__account {
    bool open;     /* there is one, and it was not told yet */
    bool active;   /* a thread is at it */
    bool settling; /* no more slices; it is only measured */
    bool unknown; /* the system did not tell, or nobody can tell whose it was */
    uint64_t offered_bytes, claimed_bytes;
    int64_t fell_bytes;   /* around all slices */
    uint64_t yield_bytes; /* the most that was measured */
    uint64_t before_bytes, after_bytes, took_us;
    uint32_t slices;
    uint64_t slice_ms;     /* when the last slice ended */
    uint64_t others_bytes; /* credited to anybody by then */
    uint64_t later_bytes;  /* of its yield, what came after that */
};

struct gov__relief_slot {
    uint32_t id;              /* 0: free */
    bool removed;             /* no call of it begins any more */
    bool dies;                /* it removed itself: gone with its last call */
    uint32_t calls;           /* of its functions that are running */
    uint32_t overdue;         /* of those, calls that do not return */
    struct gov_relief relief; /* its name is the copy below */
    char name[32];
    gov_cache *cache; /* of gov_relief_add_cache(), else NULL */
    uint64_t rest_until_ms;
    bool gave;    /* ran since it last regrew; or did not regrow all */
    bool growing; /* took memory again since the level is NORMAL */
    /* What the policy says of it; written by who has the turn. */
    uint32_t policy_serial; /* of the policy that said it; 0: none did yet */
    uint32_t place;
    gov_level from_level;
    uint64_t floor_bytes;
    uint32_t floor_tokens;
    bool floor_broken; /* it has one and cannot leave a part: it never runs */
    uint32_t budget_serial; /* of the budget it was told, or was there at */
    /* What it gave. */
    struct gov__account account;
    uint64_t claimed_bytes, measured_bytes, last_yield_bytes;
    uint32_t runs, barren;
    bool retired;          /* barren: not before the level is NORMAL */
    const char *late_what; /* static: what is overdue, to be told; or NULL */
    uint64_t late_ms;
    bool late_in_pass;
    /* Who is inside a call of it, by lane. */
    bool inside[2];
    pthread_t caller[2];
};

/* A call of an action. */
struct gov__relief_running {
    size_t at;   /* its slot */
    uint32_t id; /* 0: none runs */
    uint64_t since_us;
    uint64_t turn;           /* 0: nobody has the lane */
    pthread_t by;            /* who has it */
    uint64_t tells_since_us; /* a listener, within the turn; 0: it does not */
    uint64_t patience_us;
    const char *what; /* static: "run()" */
};

/* Budgets are told beside the turn: whoever steps does it, also while the engine's
 * thread gives back. So there are two lanes, each with one call at most. */
enum gov__lane {
    GOV__LANE_TURN,
    GOV__LANE_BUDGET,
};

/* Who has the turn, and what it calls. Under the runtime's lock. */
struct gov__relief_turn {
    uint64_t last; /* number that was given to a turn; none is given twice */
    struct gov__relief_running running[2]; /* by lane */
    uint32_t budget_serial;                /* another one for each budget */
    pthread_t exclusive_by;                /* while runtime->exclusive */
    bool exclusive_late;                   /* and its call is overdue */
    /* What all actions together were believed, by measure: what one gave meanwhile
     * is not what another gives later. */
    uint64_t credited_bytes[2];
};

/* ---- turns and calls: relief_turn.c --------------------------------------- */

/* The number of the turn, or 0 when another thread has it, or when this one is inside
 * a callback of an action. Lock held. */
uint64_t gov__turn_take_locked(struct gov_runtime *runtime,
                               enum gov__lane lane);
/* Whether it is still this turn. */
bool gov__turn_mine(struct gov_runtime *runtime, uint64_t turn);
bool gov__turn_mine_locked(const struct gov_runtime *runtime, uint64_t turn);
/* Ends it, if it is still this one. Lock held; the caller broadcasts `changed`. */
void gov__turn_end_locked(struct gov_runtime *runtime, uint64_t turn);

/* Ends it, if it is still this one, and wakes who waits for that; 0 is none. No
 * lock held. */
void gov__turn_over(struct gov_runtime *runtime, uint64_t turn);

/* A call of the action at `at`, which the caller has entered, in that turn. */
struct gov__call {
    uint64_t turn;
    size_t at;
    enum gov__lane lane;
};

void gov__call_begin(struct gov_runtime *runtime, struct gov__call *call,
                     uint64_t patience_us, const char *what);
/* False: it was overdue, and the turn is another thread's. */
bool gov__call_end(struct gov_runtime *runtime, const struct gov__call *call);

/* Who has a turn is in a call of the listener since then; 0: not any more. Only this
 * thread's. Lock held. */
void gov__turn_tells_locked(struct gov_runtime *runtime, uint64_t since_us);

/* Whether a call of who has the turn does not come back. Then its action is left
 * out until it does, and the turn is free. Calls nobody; no lock held. The next
 * sample tells it with a NOTICE. The turn is free, too, where it is the listener that
 * does not come back. If that was the thread whose turn it is to work, that turn is
 * free as well. */
bool gov__relief_overdue(struct gov_runtime *runtime, uint64_t now_us);
void gov__relief_tell_overdue(struct gov_runtime *runtime);

/* ---- slots: relief_slots.c ------------------------------------------------- */

/* Begins a call of the action in a slot, which then stays until
 * gov__slot_leave(), and copies it. False when there is none, when a call of it is
 * overdue, or (id not 0) when it is another one. */
bool gov__slot_enter(struct gov_runtime *runtime, size_t at, uint32_t id,
                     struct gov__relief_slot *out);
void gov__slot_leave(struct gov_runtime *runtime, size_t at);
void gov__slot_leave_locked(struct gov_runtime *runtime, size_t at);

/* Whether this thread is inside a callback of it. */
bool gov__slot_calls_us_locked(const struct gov__relief_slot *slot);

/* gov__slot_enter(), and the action knows what the policy in force wants it to
 * leave. Only for who has the turn; false also when it lost it: then it is to
 * ask gov__turn_mine(). */
bool gov__slot_enter_told(struct gov_runtime *runtime, uint64_t turn, size_t at,
                          struct gov__relief_slot *out);

/* Whether an action waits to take memory again, and the level lets it. Lock held. */
bool gov__relief_regrows_locked(const struct gov_runtime *runtime);

/* Whether a name has neither spaces nor control characters: it is shown in lines of
 * text, and policies name it. */
bool gov__name_is_plain(const char *name);

/* What is known of one action. Lock held. */
void gov__slot_state_locked(const struct gov_runtime *runtime,
                            const struct gov__relief_slot *slot,
                            uint64_t now_ms, struct gov_relief_state *out);

/* Bytes in the registered caches; false when there is none. */
bool gov__relief_cache_bytes(struct gov_runtime *runtime, uint64_t *bytes);

/* Lets the kernel take what caches hold and nobody uses, before we ask for it: memory
 * may fill faster than we look. */
void gov__relief_hand_over(struct gov_runtime *runtime);

/* Lifts what gov_relief_add_cache() did to caches: the runtime closes. */
void gov__relief_close(struct gov_runtime *runtime);

/* Lifts all rests, but not those of barren actions: the level rose. Lock held. */
void gov__relief_wake_locked(struct gov_runtime *runtime);

/* ---- what an action gave: relief_yield.c ----------------------------------- */

void gov__weigh(struct gov_runtime *runtime, struct gov__weight *look);

/* Opens the account of a run, or goes on with the one that is open. */
void gov__account_open(struct gov_runtime *runtime, size_t at,
                       uint64_t offered_bytes);

/* What one call came to. */
struct gov__slice {
    struct gov__weight before, after;
    uint64_t claimed_bytes; /* by the action's own account */
    uint64_t took_us;
    bool lost; /* others went on while it ran: nobody can tell whose it was */
};

void gov__account_slice(struct gov_runtime *runtime, size_t at,
                        const struct gov__slice *slice);

/* The thread is not at it any more, and leaves the slot. `ended`: no slice
 * follows; it is told, or settles. */
void gov__account_leave(struct gov_runtime *runtime, size_t at, bool ended);

/* Measures those that settle, tells those that have, ends those that wait for a
 * next slice in vain, and lifts the rest of the barren at NORMAL. With every
 * sample; any thread. */
void gov__relief_settle(struct gov_runtime *runtime);

/* What those that settle are still believed to give. Lock held. */
uint64_t gov__relief_expected_locked(const struct gov_runtime *runtime);

/* ---- one action: relief_slices.c ------------------------------------------- */

/* What a person asked for (relief_asked.c), beside what the level does: under the
 * runtime's lock. */
struct gov__asked {
    bool on;
    uint32_t serial; /* of the order: a turn may be one for the order before */
    bool more;       /* something ran for it in the last turn, or waits */
    uint64_t bytes;  /* 0: all that WARN allows */
    uint64_t given_bytes; /* measured since */
    uint64_t until_ms;
};

/* What relief is run for. */
struct gov__need {
    bool pressed;
    gov_level level;
    uint64_t wanted_bytes; /* 0: all that the level allows */
    uint64_t given_bytes;  /* what is on its way apart */
};

/* Of the level in force, or of what was asked for. Lock held. */
struct gov__need gov__need_locked(const struct gov_runtime *runtime,
                                  bool asked);

/* Whether there is either. Lock held. */
bool gov__need_any_locked(const struct gov_runtime *runtime);

/* The level for what takes memory again: while something is asked for, WARN at
 * least. Lock held. */
gov_level gov__need_level_locked(const struct gov_runtime *runtime);

/* So much was measured, whoever it was run for. Lock held. */
void gov__asked_given_locked(struct gov_runtime *runtime, uint64_t bytes);

/* Ends what was asked for where it was given, or there is no more to give: to be
 * called with every turn of work, after relief. Tells it. */
void gov__asked_end(struct gov_runtime *runtime);

/* Where the ladder is run. */
enum gov__where {
    GOV__IN_STEP,     /* gov_step(): whatever need not wait for a pass */
    GOV__IN_PASS_END, /* on the engine's thread: what has to be there only */
};

struct gov__act {
    uint64_t turn;
    enum gov__where where;
    bool asked;
    size_t at;
    uint32_t id;
    gov_level level;
    uint64_t offered_bytes;
    uint64_t until_us; /* no slice begins after */
    bool full;         /* out: it had all its slices of a turn, and has more */
};

/* Runs an action, or so much of it as there is time for. False: the turn is
 * another thread's. */
bool gov__relief_act(struct gov_runtime *runtime, struct gov__act *act);

/* ---- the ladder: relief.c --------------------------------------------------- */

/* What every action offers now. The slots are copies. */
struct gov__inventory {
    enum gov__where where;
    bool asked; /* run for what was asked for, not for the level */
    bool more;  /* out: something ran, or goes on elsewhere */
    uint64_t turn;
    uint64_t until_us; /* of GOV__IN_PASS_END: nothing begins after */
    gov_level level;
    uint64_t wanted_bytes, given_bytes;
    size_t count;
    struct gov__relief_slot slots[GOV__RELIEFS];
    struct gov_rung rungs[GOV__RELIEFS];
    size_t at[GOV__RELIEFS];      /* index in runtime->slots */
    bool elsewhere[GOV__RELIEFS]; /* cannot run where we stand */
    bool full[GOV__RELIEFS];      /* by slot: had all its slices of this turn */
};

/* Lists the actions, and `asks` what each offers, with no lock held. False: the
 * turn is another thread's. */
bool gov__inventory_take(struct gov_runtime *runtime,
                         struct gov__inventory *inv, bool asks);

/* Runs the ladder for the level in force, and for what was asked for, unless another
 * thread does. */
void gov__relief_run(struct gov_runtime *runtime, enum gov__where where);

/* Measures what settles, stops what regrows if the level says so, tells every
 * action that does not know it yet what the policy wants it to leave, and the
 * trace, if there is one, the sample and what all offer. To be called with every
 * sample, before anything runs for it. */
void gov__relief_sample(struct gov_runtime *runtime,
                        const struct gov_evidence *evidence, gov_level level,
                        const char *reason);

/* ---- taking memory again: relief_regrow.c ----------------------------------- */

/* The budget changed: every action that wants to know is to be told. */
void gov__relief_budget(struct gov_runtime *runtime);

/* Tells those that were not told yet. On the thread that has the turn to work. */
void gov__relief_budget_rest(struct gov_runtime *runtime);

/* Tells those that take memory again to stop, from WARN on. For who has the turn;
 * false when it lost it. */
bool gov__regrow_stop(struct gov_runtime *runtime, uint64_t turn);
bool gov__regrow_stops_locked(const struct gov_runtime *runtime);

/* Lets one action take memory again, or a step of it, if that is due. To be
 * called with every sample. */
void gov__relief_regrow(struct gov_runtime *runtime);

#endif
