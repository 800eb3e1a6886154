/* SPDX-License-Identifier: MIT */
/* The level machine: evidence of memory pressure in, one of three levels and a
 * sentence out. A step function on plain data: the time comes in with the
 * evidence, nothing is allocated, nothing is read. */
#ifndef GOV_POLICIES_LEVEL_H
#define GOV_POLICIES_LEVEL_H

#include <stdbool.h>

#include "policies/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers are ABI and have gaps: compare with >=. */
typedef enum gov_level {
    GOV_LEVEL_NORMAL = 0,
    GOV_LEVEL_WARN = 50,
    GOV_LEVEL_CRITICAL = 100,
} gov_level;

/* "normal", "warn" or "critical", for a number between two levels the lower
 * one's name. Never NULL. */
GOV_API const char *gov_level_name(gov_level level);

/* Which members of struct gov_evidence hold something. Unknown is not zero. */
enum gov_evidence_have {
    GOV_HAVE_STALL = 1 << 0,     /* memory_some_us, memory_full_us */
    GOV_HAVE_HEADROOM = 1 << 1,  /* headroom_bytes, budget_bytes */
    GOV_HAVE_SIMULATED = 1 << 2, /* simulated_level */
    /* With GOV_HAVE_STALL: the totals are the whole system's, others' stalls
     * included. */
    GOV_HAVE_SYSTEM_STALL = 1 << 3,
};

/* One sample. The totals only grow; the machine takes differences. */
struct gov_evidence {
    uint64_t now_ms;         /* monotonic */
    uint32_t have;           /* gov_evidence_have bits */
    uint64_t memory_some_us; /* PSI totals */
    uint64_t memory_full_us;
    uint64_t headroom_bytes; /* budget less what cannot be dropped */
    uint64_t budget_bytes;
    gov_level simulated_level; /* from a simulator; replaces the rest */
};

/* Thresholds. Every stall figure is permille of wall time over window_ms. */
struct gov_level_rules {
    uint32_t window_ms;
    uint32_t warn_some_permille, warn_some_exit_permille;
    uint32_t critical_full_permille, critical_full_exit_permille;
    uint32_t warn_headroom_permille,
        warn_headroom_exit_permille; /* of budget */
    uint32_t critical_headroom_permille, critical_headroom_exit_permille;
    /* A system's stall counts while no more than this share is left. */
    uint32_t system_stall_headroom_permille;
    uint32_t calm_ms; /* evidence must stay calm this long before a step down */
};

/* The shipped thresholds; each one's source is beside it in level.c. */
GOV_API void gov_level_rules_default(struct gov_level_rules *rules);

#define GOV_LEVEL_SAMPLES 32

/* State between steps; zero it to start. Callers copy it freely, for instance
 * to ask "what if", and read `level`, `calm` and `reason`; the rest is private
 * to level.c. */
struct gov_level_machine {
    gov_level level;
    bool calm; /* evidence points below `level`, not long enough to fall */
    bool started;
    bool simulated; /* `level` is a simulator's */
    uint64_t calm_since_ms;
    uint32_t count, next; /* ring of past evidence */
    struct gov_evidence past[GOV_LEVEL_SAMPLES];
    char reason[128];
};

/* Takes one sample and returns the level now in force; machine->reason says why
 * in words that a person can read. Rises at once, falls one level at a time and
 * only after calm_ms of calm: a sample that says nothing is not calm. A clock or
 * total that runs backwards restarts the window instead of inventing a stall.
 * When a simulation ends, the machine starts again from NORMAL with the stall
 * totals it saw meanwhile. Not thread-safe on one machine. */
GOV_API gov_level gov_level_step(struct gov_level_machine *machine,
                                 const struct gov_level_rules *rules,
                                 const struct gov_evidence *now);

/* The bytes that headroom lacks until it no longer speaks for `level`. 0 where
 * that is unknown, where it is not headroom that is short, and for a level that
 * is simulated: then nobody can say how much is enough. */
GOV_API uint64_t gov_level_wanted(const struct gov_level_rules *rules,
                                  gov_level level,
                                  const struct gov_evidence *now);

#ifdef __cplusplus
}
#endif
#endif
