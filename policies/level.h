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
    GOV_HAVE_REFAULT = 1 << 4, /* refault_bytes */
    /* With GOV_HAVE_REFAULT: the total is the whole system's. It speaks for this
     * process only beside GOV_HAVE_OWN and GOV_HAVE_OWN_READS. */
    GOV_HAVE_SYSTEM_REFAULT = 1 << 5,
    /* own_footprint_bytes, own_major_faults, own_resident_file_bytes */
    GOV_HAVE_OWN = 1 << 6,
    GOV_HAVE_LIMIT_HITS = 1 << 7, /* limit_hits */
    GOV_HAVE_MACHINE = 1 << 8,    /* machine_{available,total}_bytes */
    GOV_HAVE_OS_LEVEL = 1 << 9,   /* os_level */
    GOV_HAVE_RECENT = 1 << 10,    /* recent_some_permille */
    GOV_HAVE_OWN_READS = 1 << 11, /* own_read_bytes */
    GOV_HAVE_EXPECTED = 1 << 12,  /* expected_bytes */
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
    /* File pages read again after they were reclaimed, a total: the own group's,
     * or the system's. */
    uint64_t refault_bytes;
    uint64_t own_major_faults; /* a total */
    uint64_t own_resident_file_bytes;
    uint64_t own_read_bytes; /* from storage, a total */
    /* Of own_read_bytes, what was read on purpose into memory that is given back
     * right after (streamed weights), a total. 0: nothing, or nobody counts. */
    uint64_t streamed_bytes;
    uint64_t limit_hits; /* how often the group ran into its limit, a total */
    uint64_t machine_available_bytes, machine_total_bytes;
    gov_level os_level; /* what the system itself reports */
    /* Share of the last 10 s that something waited for memory, as the kernel
     * averages it; used by the first sample only, which has no past. */
    uint32_t recent_some_permille;
    uint64_t own_footprint_bytes;
    /* What loads that are under way will still take: growth up to that is no
     * alarm, and file pages that come in are no thrashing. Where it is unknown, all
     * that this process takes itself is expected. */
    uint64_t expected_bytes;
};

/* Thresholds. Every stall figure is permille of wall time over window_ms. What is
 * 0 from fast_window_ms on switches its rule off. */
struct gov_level_rules {
    uint32_t window_ms;
    uint32_t warn_some_permille, warn_some_exit_permille;
    uint32_t critical_full_permille, critical_full_exit_permille;
    uint32_t warn_headroom_permille,
        warn_headroom_exit_permille; /* of budget */
    uint32_t critical_headroom_permille, critical_headroom_exit_permille;
    /* A system's stall counts while no more than this share of the budget is left,
     * where nothing is known of the machine. */
    uint32_t system_stall_headroom_permille;
    uint32_t calm_ms; /* evidence must stay calm this long before a step down */
    /* A stall that is large for a short time enters WARN before the window has
     * seen enough of it; held is WARN by the window alone. */
    uint32_t fast_window_ms, warn_fast_permille;
    /* A system's stall counts while no more than this share of the machine is
     * available, or this process reads again what it lost. */
    uint32_t system_stall_available_permille;
    /* With no more than this share of the budget left, WARN and CRITICAL when the
     * rest is gone so soon at the rate of the last two samples. */
    uint32_t fill_headroom_permille, warn_fill_ms, critical_fill_ms;
    /* Refaulted bytes in a second, of the file pages that are resident. */
    uint32_t warn_refault_permille, warn_refault_exit_permille;
    uint32_t alert_ms, idle_ms; /* of gov_level_look_ms(); 0: 100, alert_ms */
};

/* What points to WARN or CRITICAL. Bits. */
enum gov_level_cause {
    GOV_CAUSE_STALL = 1,
    GOV_CAUSE_HEADROOM = 2,
    GOV_CAUSE_FILL = 4,
    GOV_CAUSE_REFAULT = 8,
    GOV_CAUSE_LIMIT = 16, /* only ever beside another one */
    GOV_CAUSE_OS = 32,
};

/* The shipped thresholds; each one's source is beside it in level.c. */
GOV_API void gov_level_rules_default(struct gov_level_rules *rules);

#define GOV_LEVEL_SAMPLES 32

/* State between steps; zero it to start. Callers copy it freely, for instance
 * to ask "what if", and read `level`, `calm`, `reason`, `causes`, `corroborated`
 * and `fill_bytes_per_s`; the rest is private to level.c. */
struct gov_level_machine {
    gov_level level;
    bool calm; /* evidence points below `level`, not long enough to fall */
    bool started;
    bool simulated; /* `level` is a simulator's */
    uint64_t calm_since_ms;
    uint32_t count, next; /* ring of past evidence */
    struct gov_evidence past[GOV_LEVEL_SAMPLES];
    char reason[128];
    uint32_t causes; /* gov_level_cause bits of the last sample */
    /* CRITICAL by two causes that do not come from one counter, or still CRITICAL
     * after relief (gov_level_relieved()), or because a simulator says so: enough
     * for what cannot be undone. */
    bool corroborated;
    bool relieved;             /* since the last sample */
    bool stirring;             /* something moves that is no level yet */
    uint64_t fill_bytes_per_s; /* what headroom loses, expected or not; or 0 */
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

/* To be called when a turn of relief is over, with all that it gave. Evidence that
 * is CRITICAL at the next sample, too, is corroborated. */
GOV_API void gov_level_relieved(struct gov_level_machine *machine);

/* How many milliseconds to wait before the next sample, `now` being the one that
 * the machine took last: alert_ms at any level above NORMAL, where something
 * stirs, or where headroom is about to reach WARN; idle_ms while it is ample and
 * flat; between them by how much is left and how fast that goes. Where headroom is
 * unknown, no more than 250 ms. What fills memory faster than that only a source
 * that wakes the caller sees. */
GOV_API uint32_t gov_level_look_ms(const struct gov_level_machine *machine,
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
