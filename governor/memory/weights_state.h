/* SPDX-License-Identifier: MIT */
/* What a governed range consists of, for weights.c (life), weights_files.c (what
 * may be governed), weights_use.c (in use, accounts) and weights_rest.c (at rest). */
#ifndef GOV_MEMORY_WEIGHTS_STATE_H
#define GOV_MEMORY_WEIGHTS_STATE_H

#include "governor/memory/doorbell.h"
#include "governor/memory/experts.h"
#include "governor/memory/file_guard.h"
#include "governor/memory/streamer.h"
#include "governor/memory/weights_priv.h"

/* Of a path in a message. */
#define GOV__LABEL_BYTES 80

/* Who is told when nothing moves; under the lock, which is held while it is. */
struct gov__weights_rest {
    pthread_mutex_t lock;
    void (*call)(void *ctx); /* NULL: nobody */
    void *ctx;
    uint64_t moved_bytes; /* read and dropped when it was looked at last */
    uint64_t due_us;
};

struct gov_weights {
    struct gov_alloc alloc;
    const gov_model *model;           /* borrowed */
    struct gov__weights_owned *owned; /* NULL: the engine's mappings */
    struct gov__range range;
    uint64_t mapped_bytes;
    uint64_t read_rate;
    uint64_t decrypted_bytes; /* anchored for good; none of the streamer's */
    struct gov__streamer streamer;
    struct gov__pass_meter meter;

    struct gov__experts experts;
    bool has_experts;
    uint64_t seen_pass, looked_pass; /* plus one; the streamer's thread's */
    pthread_mutex_t hot_lock;        /* so that a limit is one decision */

    struct gov__doorbells bells;
    struct gov__doorbell *bell_list;
    bool has_bells;

    struct gov__weights_rest rest;

    struct gov__file_guard guard;
    bool has_guard;
    pthread_mutex_t guard_lock;
    atomic_bool changed; /* a file was; stays */
    atomic_bool in_pass; /* who wants to write waits for its end */
};

/* Opens every file again, makes sure that it is the one whose header was read, and
 * finds where it is mapped; refuses what cannot be governed. What it opened is the
 * weights' also when it fails. */
gov_status gov__weights_find(gov_weights *weights,
                             const struct gov_weights_options *options,
                             gov_error *err);

/* Once a second: `idle`, no pass ran since the last time. */
void gov__weights_rest(gov_weights *weights, bool idle);

/* Whether the files are still what they were; takes the lock. */
bool gov__weights_unchanged(gov_weights *weights);

#endif
