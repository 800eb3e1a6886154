/* SPDX-License-Identifier: MIT */
/* The governed range: a model file that an engine has mapped, unit by unit hot
 * (kept in memory) or cold (read ahead of the forward pass, dropped behind it).
 * The engine's pointers never change and its bytes are never anything but the
 * file's. */
#ifndef GOV_WEIGHTS_H
#define GOV_WEIGHTS_H

#include "governor/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gov_weights gov_weights;

struct gov_weights_options {
    size_t size;        /* set by gov_weights_options_default() */
    uint64_t hot_bytes; /* weights that may stay; 0 streams everything */
    uint32_t ahead;     /* cold units read ahead; 0 means 2 */
    const struct gov_alloc *alloc; /* copied; NULL means the C library's */
};

static inline struct gov_weights_options gov_weights_options_default(void)
{
    struct gov_weights_options options = {sizeof(struct gov_weights_options),
                                          UINT64_MAX, 0, NULL};
    return options;
}

/* Finds this process's mapping of the model's file and takes charge of it.
 * Chooses hot units so that cold ones are spread evenly, drops cold units that
 * are in memory, and starts one thread, which reads hot units that are not in
 * memory, streams the cold ones, and sleeps while there is neither. An embedding
 * that is only looked up in is left to demand paging unless everything is hot.
 * The model must stay open and the mapping in place until gov_weights_release().
 *
 * GOV_E_NOT_FOUND    this process does not map the file
 * GOV_E_UNSUPPORTED  the mapping cannot be governed (locked, split, not whole);
 *                    the message says why
 * GOV_E_IO           the file was replaced since the header was read */
GOV_API GOV_NODISCARD gov_status
gov_weights_adopt(gov_weights **out, const gov_model *model,
                  const struct gov_weights_options *options, gov_error *err);

/* Stops streaming and leaves the mapping to the engine. Accepts NULL. No other
 * call on it may be running. */
GOV_API void gov_weights_release(gov_weights *weights);

/* The engine begins to use `unit`. Wakes the streamer; takes no lock that is
 * held over I/O, makes no system call unless the streamer sleeps, never waits.
 * For the thread that drives the engine. */
GOV_API void gov_weights_reached(gov_weights *weights, uint32_t unit);

/* Changes how much may stay, from any thread. Units become hot or cold as the
 * pass goes by: none is taken away from under the engine for longer than one
 * read. Returns the bytes that will stay. */
GOV_API uint64_t gov_weights_set_hot(gov_weights *weights, uint64_t hot_bytes);

struct gov_weights_account {
    uint64_t mapped_bytes;
    uint64_t hot_bytes, cold_bytes; /* of units, as now decided */
    uint64_t resident_bytes;        /* by the kernel's word; 0 if unknown */
    bool resident_known;
    uint64_t streamed_bytes; /* read ahead since adoption */
    uint64_t dropped_bytes;  /* dropped behind since adoption */
    uint64_t late_units;     /* reached before their read had ended */
    uint64_t passes;
    uint64_t window_bytes; /* most that cold units take while they are used */
    uint64_t failures;     /* reads, drops and advice that the kernel refused */
};

/* Counters from any thread; `exact` also asks the kernel what is resident
 * (about 23 ns a page). */
GOV_API void gov_weights_account(gov_weights *weights, bool exact,
                                 struct gov_weights_account *out);

/* One character per unit for a residency map: 'H' hot, 'h' hot and still to be
 * read, 's' streamed in, '-' absent, '.' left to demand paging. Writes at most bytes - 1 characters and a NUL; returns the units. */
GOV_API size_t gov_weights_map(gov_weights *weights, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
