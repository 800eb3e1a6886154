/* SPDX-License-Identifier: MIT */
/* The governed range: a model's files, mapped by an engine or by
 * gov_weights_open(). Of its units parts are hot (they stay in memory), the others
 * cold (read ahead of the forward pass, dropped behind it). What is hot is either
 * kept, as file pages that the system may have back, or anchored: anonymous
 * memory at the same addresses, which it may not. Pointers never change, and what
 * they point at is never anything but the file's bytes, or what they decrypt to. */
#ifndef GOV_WEIGHTS_H
#define GOV_WEIGHTS_H

#include <string.h>

#include "governor/device.h"
#include "governor/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gov_weights gov_weights;

/* Bytes of a model's file that are to be decrypted in place. */
struct gov_cipher {
    size_t size;          /* of the struct, set by the library */
    uint32_t unit;        /* index into gov_model_units() */
    uint32_t file;        /* index into gov_model_files() */
    uint64_t file_offset; /* of data[0] */
    uint64_t bytes;       /* the whole unit, padding between tensors included */
    unsigned char *data;  /* as in the file; afterwards as they are used */
};

/* Decrypts one unit; false when that is not possible. Called within
 * gov_weights_adopt() or _open(), on the caller's thread, once a unit, as they lie
 * in the files. What the file keeps plain (header, names, types) is not shown. */
typedef bool (*gov_decrypt_fn)(void *ctx, const struct gov_cipher *cipher);

/* Where an engine has mapped a file of the model. */
struct gov_weights_place {
    void *base; /* NULL: not known */
    uint64_t bytes;
};

/* How the engine's place is learnt, where it calls no gov_weights_reached(). */
typedef enum gov_follow {
    GOV_FOLLOW_CALLS = 0, /* by gov_weights_reached() alone */
    /* By a page a layer that is missing and filled when it is touched: needs no
     * word of the engine. Linux with userfaultfd; else GOV_E_UNSUPPORTED. */
    GOV_FOLLOW_DOORBELLS = 1,
} gov_follow;

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
    /* Append only. Zero must keep the behaviour of older versions. */
    bool anchor; /* what is hot becomes anonymous memory, with huge pages where
                  * there are any: footprint, and no longer the system's to
                  * take. Where that fails it is kept instead */
    bool direct; /* what is read passes the page cache by: what is cold comes as
                  * anonymous memory, too, in huge pages. Where the storage does
                  * that faster (a fact of the device's profile) */
    uint32_t readers;    /* threads that bring hot weights in, at low priority
                       * while nobody waits for them; 0 means 1; at most 16 */
    uint32_t ahead_most; /* `ahead` may grow up to this while reads come late,
                          * and shrink to 1 where they do not; 0: it stays */
    gov_follow follow;
    bool experts; /* the engine calls gov_weights_used(): experts stay by how
                   * recently they were used, in what hot_bytes leaves of the
                   * dense parts */
    const struct gov_weights_place
        *places; /* one a file, copied; NULL: found */
    size_t place_count;
    gov_decrypt_fn
        decrypt; /* all weights are anchored, whatever hot_bytes says,
                             * and there when the call returns */
    void *decrypt_ctx;
    /* Told while hot weights are brought in, on a thread of the library, 10 times
     * a second at most and at the end; false leaves what is missing to its use.
     * With decrypt: on the caller's thread, and false ends the call. */
    gov_progress_fn progress;
    void *progress_ctx;
    /* Called once when the first pass may begin without waiting: what the first
     * ahead + 1 layers need is there. On a thread of the library. */
    void (*ready)(void *ctx);
    void *ready_ctx;
    /* Of the storage, for account.warm_expected_us; 0: not known. */
    uint64_t read_rate;
    /* gov_weights_reached() waits at most so long until what the unit needs is
     * there: one read instead of many faults, and the account knows how long; 0:
     * it never waits, and waiting counts as computing. */
    uint32_t patience_ms;
};

static inline struct gov_weights_options gov_weights_options_default(void)
{
    struct gov_weights_options options;

    memset(&options, 0, sizeof(options));
    options.size = sizeof(options);
    options.hot_bytes = UINT64_MAX;
    return options;
}

/* Finds this process's mappings of the model's files and takes charge of them:
 * all parts of a split model, or GOV_E_NOT_FOUND. Where a file is mapped more than
 * once options->places says which is meant. Cuts units into parts of some MiB and
 * chooses the hot ones as options->hold says, drops cold ones that are in memory,
 * and starts a thread, which reads what is cold ahead and drops it behind, and
 * options->readers more for what is hot and missing. What is there already is not
 * read again. All of them sleep while there is nothing to read. An embedding that
 * is only looked up in is left to demand paging unless everything is hot. With
 * GOV_HOLD_FIRST layers and then heads are hot whole, so up to a layer of
 * hot_bytes stays unused. With GOV_WARM_NONE nothing hot is read: it passes for
 * being there once the engine was reported to be past it. Advice is given to the
 * whole mapping, but for an embedding that is left alone, and taken back by
 * gov_weights_release(). The model must stay open and the mappings in place until
 * then; nothing is allocated after this but what is anchored.
 *
 * It cannot see whether the engine reads there. One that has copied weights into
 * another layout (llama.cpp repacks some types for the processor) and keeps the
 * mapping uses its copy: what stays here is then held twice. Don't adopt such
 * weights.
 *
 * GOV_E_INVALID      no model, no place, options of a newer version, or a hold,
 *                    warm, advice or follow that there is not
 * GOV_E_NOT_FOUND    this process does not map a file, or the file is gone
 * GOV_E_UNSUPPORTED  the mapping cannot be governed (locked, private, split, not
 *                    whole, without options.direct mapped by another process, too), or doorbells cannot
 *                    be had; the message says why
 * GOV_E_IO           a file was replaced since the header was read, or cannot be
 *                    read (decrypt only: else demand paging has the last word)
 * GOV_E_FORMAT       decrypt said no
 * GOV_E_CANCELLED    progress said so while decrypting
 * GOV_E_NOMEM        also where what is decrypted finds no room */
GOV_API GOV_NODISCARD gov_status
gov_weights_adopt(gov_weights **out, const gov_model *model,
                  const struct gov_weights_options *options, gov_error *err);

/* The same for an app with an engine of its own: maps the model's files itself,
 * read-only and without reading them, GGUF or safetensors. gov_weights_tensor()
 * tells where each tensor is; gov_weights_release() unmaps. options->places is
 * passed over. Errors as gov_weights_adopt(). */
GOV_API GOV_NODISCARD gov_status
gov_weights_open(gov_weights **out, const gov_model *model,
                 const struct gov_weights_options *options, gov_error *err);

/* Where a tensor's bytes are. */
struct gov_view {
    const void *data; /* borrowed until gov_weights_release() */
    uint64_t bytes;
    bool copied; /* it is not aligned in the file, so this is a copy */
};

/* The tensor of that index in gov_model_tensors(). In the mapping where its
 * elements are aligned there; else it was copied into anonymous memory when the
 * weights were opened. Also for adopted weights, where one that is not aligned is
 * GOV_E_UNSUPPORTED. Any thread.
 *
 * GOV_E_INVALID  there is no such tensor */
GOV_API GOV_NODISCARD gov_status gov_weights_tensor(const gov_weights *weights,
                                                    size_t tensor,
                                                    struct gov_view *out,
                                                    gov_error *err);

/* Stops reading. Adopted mappings are left to the engine: what is anchored stays
 * so, since it may be in use, and such a mapping is in pieces then, which
 * gov_weights_adopt() refuses: let the engine map the file again. Opened ones are
 * unmapped. Accepts NULL. No other call on it may be running.
 *
 * Until then a child of fork() has no memory where cold weights are read with
 * options.direct, and ends if it reads there. */
GOV_API void gov_weights_release(gov_weights *weights);

/* ---- in use --------------------------------------------------------------- */

/* A forward pass begins: the first unit is in use, and what the pass costs is
 * counted from here. Looks whether a file was changed (an fstat() each, about
 * 1 us): a pass over other weights than were loaded must not be believed.
 *
 * GOV_E_IO  a file was changed, and what is not anchored may be of the new one;
 *           it stays so. Unload the model and load it again */
GOV_API GOV_NODISCARD gov_status gov_weights_pass_begin(gov_weights *weights,
                                                        gov_error *err);

/* What one pass took. Times are by the clock; waits are counted once, however
 * many threads waited. */
struct gov_pass_account {
    uint64_t pass_us;    /* from begin to end */
    uint64_t weights_us; /* of those, waited for weights */
    uint64_t reclaim_us; /* of those, stalled for memory, as the system tells;
                          * of this process's group, or of the whole system */
    uint64_t compute_us; /* the rest */
    uint64_t minor_faults, major_faults; /* of the whole process */
    uint64_t read_bytes;                 /* from storage, by the process */
    bool read_known, reclaim_known;
    uint32_t late_units; /* reached before they were there */
    uint32_t worst_unit; /* waited for longest; UINT32_MAX: none */
    bool changed; /* a file was, before the pass ended: what was computed is not
                   * to be believed */
};

/* And ends. out may be NULL. False when no pass had begun: *out is zeroed. */
GOV_API bool gov_weights_pass_end(gov_weights *weights,
                                  struct gov_pass_account *out);

/* The engine begins to use `unit`. Wakes the streamer; takes no lock that is
 * held over I/O, makes no system call unless the streamer sleeps. Waits for what
 * is missing of it, and of the units of the same layer, as options.patience_ms
 * says. For the thread that drives the engine. */
GOV_API void gov_weights_reached(gov_weights *weights, uint32_t unit);

/* The engine is about to use these experts of a unit of experts, each named once
 * (further mentions and numbers that are none are passed over). Reads the missing
 * ones, all at once, and returns when they are there; what was used longest ago
 * goes for them. Only with options.experts; else does nothing. For the thread
 * that drives the engine. */
GOV_API void gov_weights_used(gov_weights *weights, uint32_t unit,
                              const uint32_t *experts, size_t count);

/* Changes how much may stay, from any thread. The streamer drops what became
 * cold and is not needed next at once, and reads what became hot when nothing
 * more urgent is to be read; what the engine uses meanwhile is read again at
 * worst. Returns the bytes that will stay. */
GOV_API uint64_t gov_weights_set_hot(gov_weights *weights, uint64_t hot_bytes);

/* Holds back the reading of hot weights that nobody waits for, or goes on with
 * it. Any thread. */
GOV_API void gov_weights_pause(gov_weights *weights, bool pause);

/* Waits at most so long until the first pass may begin without waiting (`all`
 * false) or all that is hot is there. True when that is so. The first stays true;
 * the second is waited for again when more becomes hot, by gov_weights_set_hot() or
 * by an `ahead` that adapts. Any thread. */
GOV_API bool gov_weights_wait(gov_weights *weights, bool all,
                              uint32_t timeout_ms);

/* ---- accounts ------------------------------------------------------------- */

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
    uint64_t anchored_bytes; /* anonymous, at the engine's addresses */
    uint64_t copied_bytes;   /* anonymous, of tensors that are not aligned */
    /* Of what is hot: there when the weights were adopted (where that is known),
     * there now, and how long bringing the rest in takes: as expected from
     * options.read_rate (0: not known), and so far, or until it was done. */
    uint64_t found_bytes, there_bytes;
    uint64_t warm_expected_us, warm_us;
    bool ready, warm; /* stay, also when more becomes hot */
    bool paused;
    bool changed;   /* a file was written to or cut since */
    uint32_t ahead; /* as adapted */
    /* Experts, by recency: bytes that may stay and that are there; asked for, and
     * of those missing. */
    uint64_t expert_limit_bytes, expert_bytes;
    uint64_t experts_used, experts_missed;
    struct gov_pass_account last; /* the last pass that ended */
    struct gov_pass_account sum;  /* of all; late_units stops at UINT32_MAX */
};

/* Counters from any thread; `exact` also asks the kernel what is resident
 * (about 23 ns a page). */
GOV_API void gov_weights_account(gov_weights *weights, bool exact,
                                 struct gov_weights_account *out);

/* Has `rest` called with ctx, on a thread of the weights, within two seconds after
 * what was read or dropped has come to rest, and from then on as often as takes a
 * thousandth of the time, while no pass runs: for who shows what is resident, which the
 * kernel may change, too. NULL: nobody any more; whoever was called has returned then.
 * Any thread but the one that calls `rest`, which must not call this. */
GOV_API void gov_weights_on_rest(gov_weights *weights, void (*rest)(void *ctx),
                                 void *ctx);

/* What one unit cost since the weights were adopted. */
struct gov_unit_account {
    uint64_t read_bytes; /* by the streamer, and its readers */
    uint64_t reads;      /* times that something of it was read */
    uint64_t waited_us;  /* by the engine, as far as is known */
    uint64_t late;       /* times that it was reached before it was there */
};

/* False for a unit that there is not. Any thread. */
GOV_API bool gov_weights_unit(gov_weights *weights, uint32_t unit,
                              struct gov_unit_account *out);

/* One character per unit for a residency map: 'H' hot, 'h' what is hot of it is
 * still to be read, 's' streamed in, '+' only what is hot of it is there, '-'
 * absent, '.' left to demand paging, to the recency of experts, or decrypted. Writes at most
 * bytes - 1 characters and a NUL; returns the units. */
GOV_API size_t gov_weights_map(gov_weights *weights, char *out, size_t bytes);

/* ---- files that are cut under a mapping ------------------------------------- */

/* A file that somebody cuts short while it is mapped ends the process that reads
 * there (SIGBUS), and only a signal handler can prevent that. A library installs
 * none unasked; this is the asking. From then on a read behind the end of a
 * governed file finds zeros, gov_weights_pass_end() and the next
 * gov_weights_pass_begin() tell that the file was changed, and every other SIGBUS
 * goes to the handler that was there before. Once a process; stays.
 *
 * GOV_E_UNSUPPORTED  the handler cannot be installed */
GOV_API GOV_NODISCARD gov_status gov_sigbus_guard(gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
