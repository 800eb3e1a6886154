/* SPDX-License-Identifier: MIT */
/* What the files that measure share: a measurement under way, its figures, and
 * the team of threads that does the work while the caller's thread tells how
 * far it is. */
#ifndef GOV_DEVICE_MEASURE_PRIV_H
#define GOV_DEVICE_MEASURE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "governor/device/device_priv.h"

#define GOV__MIB ((uint64_t)1 << 20)

enum { GOV__TEAM_MAX = 64, GOV__SAMPLES_MAX = 8 };

struct gov__measuring {
    const struct gov_platform *platform;
    struct gov_device *device; /* a copy, which a cancel throws away */
    bool full;
    gov_progress_fn progress;
    void *progress_ctx;
    uint32_t permille;     /* the last that was told */
    bool cancelled;        /* progress returned false: stop, keep nothing */
    uint64_t left_bytes;   /* memory that may still be used, as told */
    unsigned char *buffer; /* whole MiB, aligned to pages */
    size_t buffer_bytes;
};

/* ---- measure.c: what all of it needs ----------------------------------------- */

uint64_t gov__measure_now(const struct gov__measuring *m);

/* Tells how far it is; never less than before. Returns false, from then on, when
 * it is to stop. */
bool gov__measure_go_on(struct gov__measuring *m, uint64_t permille,
                        const char *what);

/* Makes a figure of samples, which are sorted. */
void gov__measure_known(struct gov__measuring *m, gov_figure figure,
                        uint64_t *samples, size_t count);

/* Says why a figure is not known, or what stands beside one that is. `error` is
 * an errno value or 0. */
void gov__measure_note(struct gov__measuring *m, gov_figure figure, int error,
                       const char *why);

/* Bytes a second, never 0. */
uint64_t gov__measure_rate(uint64_t bytes, uint64_t us);

/* ---- measure_drivers.c ------------------------------------------------------- */

#define GOV__ASKING 960 /* permille, when drivers are asked */

/* As gov__device_gpus(), by a child process, whose death is no more than an error
 * here. Where nothing was told, gpu.count is unknown and says why. */
gov_status gov__measure_drivers(struct gov__measuring *m, gov_error *err);

/* ---- measure_team.c ---------------------------------------------------------- */

/* Threads that start together, and one figure of how long they took. */
struct gov__team {
    struct gov__measuring *m;
    /* Runs on each thread; returns 0 or an errno value, which stops all. */
    int (*work)(struct gov__team *team, unsigned member);
    void *ctx;
    unsigned members; /* 1 to GOV__TEAM_MAX */
    uint64_t box_us;  /* 0: none */
    /* Progress goes from..to permille as `done` goes to `want`. */
    const char *what;
    uint32_t from, to;
    uint64_t want;

    _Atomic uint64_t done;
    atomic_bool stop;
    uint64_t us;    /* from the start to the end of the last */
    bool unstarted; /* a thread could not be had: nothing was done */

    uint64_t begin, end; /* private from here */
    pthread_mutex_t lock;
    pthread_cond_t turn;
    unsigned running;
    bool open, aborted;
    int error;
};

/* Runs the team and tells progress every few milliseconds, on this thread. When
 * it returns no thread is left, whatever happened. Returns 0 or an errno value;
 * ECANCELED when progress returned false. */
int gov__team_run(struct gov__team *team);

/* For work: counts what was done; false when it is time to stop. */
bool gov__team_go_on(struct gov__team *team, uint64_t done);

/* ---- measure_storage.c, measure_memory.c ------------------------------------- */

/* Every figure of reading, in a scratch file in `directory`. The buffer was
 * touched. */
void gov__measure_storage(struct gov__measuring *m, const char *directory);

/* Touches the buffer for the first time; returns nanoseconds a page. */
uint64_t gov__measure_touch(struct gov__measuring *m);

/* Every figure of memory; `first_ns` is what the first touch cost a page. */
void gov__measure_memory(struct gov__measuring *m, uint64_t first_ns);

#endif
