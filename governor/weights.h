/* SPDX-License-Identifier: MIT */
/* The governed range: a model file that an engine has mapped, parts of its units
 * hot (kept in memory), the others cold (read ahead of the forward pass, dropped
 * behind it). The engine's pointers never change, and what they point at is
 * never anything but the file's bytes. */
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
    uint32_t ahead;     /* layers with cold parts read ahead; 0 means 2 */
    const struct gov_alloc *alloc; /* copied; NULL means the C library's */
    gov_hold hold;                 /* which weights are hot */
    gov_warm warm;                 /* how hot ones are brought in */
    uint64_t warm_rate; /* bytes a second for hot ones; 0: all the disk gives;
                         * layers in the window are not held up by it */
    gov_advice advise_load; /* until all that is hot is there once */
    gov_advice advise_pass; /* from then on */
};

static inline struct gov_weights_options gov_weights_options_default(void)
{
    struct gov_weights_options options = {sizeof(struct gov_weights_options),
                                          UINT64_MAX,
                                          0,
                                          NULL,
                                          GOV_HOLD_SPREAD,
                                          GOV_WARM_USE,
                                          0,
                                          GOV_ADVICE_NORMAL,
                                          GOV_ADVICE_NORMAL};
    return options;
}

/* Finds this process's mapping of the model's file and takes charge of it.
 * Cuts units into parts of some MiB and chooses the hot ones as options->hold
 * says, drops cold ones that are in memory, and starts one thread, which reads
 * what is hot and missing, streams what is cold, and sleeps while there is
 * neither. An embedding that is only looked up in is left to demand paging unless
 * everything is hot. With GOV_HOLD_FIRST layers and then heads are hot whole, so
 * up to a layer of hot_bytes stays unused. With GOV_WARM_NONE the thread reads
 * nothing that is hot: it passes for being there once the engine was reported to
 * be past it. Advice is given to the whole mapping, but for an embedding that is
 * left alone, and taken back by gov_weights_release(). The model must stay open
 * and the mapping in place until then; nothing is allocated after this.
 *
 * GOV_E_INVALID      no model, no place, options of a newer version, or a hold,
 *                    warm or advice that there is not
 * GOV_E_NOT_FOUND    this process does not map the file, or the file is gone
 * GOV_E_UNSUPPORTED  the mapping cannot be governed (locked, private, split, not
 *                    whole); the message says why
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

/* Changes how much may stay, from any thread. The streamer drops what became
 * cold and is not needed next at once, and reads what became hot when nothing
 * more urgent is to be read; what the engine uses meanwhile is read again at
 * worst. Returns the bytes that will stay. */
GOV_API uint64_t gov_weights_set_hot(gov_weights *weights, uint64_t hot_bytes);

struct gov_weights_account {
    uint64_t mapped_bytes;
    uint64_t hot_bytes, cold_bytes; /* of units, as now decided */
    /* By the kernel's word. Unknown, and 0, when it was not asked, and where it
     * does not tell: on files that the user neither owns nor may write. */
    uint64_t resident_bytes;
    bool resident_known;
    uint64_t streamed_bytes; /* read ahead since adoption */
    uint64_t dropped_bytes;  /* dropped behind since adoption */
    uint64_t late_units;     /* reached before their read had ended */
    uint64_t passes;
    /* The most that cold parts take while they are used: hot_bytes and this are
     * what the streamer has in memory. What the engine reads itself, being ahead
     * of it or looking rows up, comes on top until it is dropped. */
    uint64_t window_bytes;
    uint64_t failures; /* reads, drops and advice that the kernel refused */
};

/* Counters from any thread; `exact` also asks the kernel what is resident
 * (about 23 ns a page). */
GOV_API void gov_weights_account(gov_weights *weights, bool exact,
                                 struct gov_weights_account *out);

/* One character per unit for a residency map: 'H' hot, 'h' what is hot of it is
 * still to be read, 's' streamed in, '+' only what is hot of it is there, '-'
 * absent, '.' left to demand paging. Writes at most bytes - 1 characters and a
 * NUL; returns the units. */
GOV_API size_t gov_weights_map(gov_weights *weights, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
