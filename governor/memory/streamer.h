/* SPDX-License-Identifier: MIT */
/* The streamer: one thread that carries the residency decisions out on a mapped
 * file, reading ahead of the engine and dropping behind it. Owns the thread and
 * the units' state; never allocates, never touches a byte of the mapping
 * itself, and never fails the engine: what it cannot do, demand paging does. */
#ifndef GOV_MEMORY_STREAMER_H
#define GOV_MEMORY_STREAMER_H

#include <pthread.h>
#include <stdatomic.h>

#include "governor/memory/pace.h"
#include "governor/memory/residency.h"
#include "governor/platform/platform.h"

/* A unit as other threads may see it: the characters of gov_weights_map(). */
enum gov__shown {
    GOV__SHOWN_HOT = 'H',      /* all hot, all there */
    GOV__SHOWN_WARMING = 'h',  /* what is hot of it is still being read */
    GOV__SHOWN_STREAMED = 's', /* cold in part or whole, all there */
    GOV__SHOWN_PARTLY = '+',   /* what is hot of it is there */
    GOV__SHOWN_ABSENT = '-',   /* all cold, not all there */
    GOV__SHOWN_ROWS = '.',     /* left to demand paging */
};

struct gov__streamer {
    /* Set by the caller before gov__streamer_start(), constant until stopped. */
    const struct gov_platform *platform;
    int fd;               /* the mapped file, open for reading */
    char *base;           /* where file_offset is mapped */
    uint64_t file_offset; /* of base */
    size_t bytes;         /* of the mapping */
    atomic_uchar *shown;  /* one for each unit */
    enum gov__advice advise_load, advise_pass;

    /* After the start: what is named target_ under the lock, the rest of it
     * the thread's alone. Its hold and warm are set by the caller. */
    struct gov__residency res;
    struct gov__pace pace; /* rate is set by the caller */
    uint32_t coming;       /* parts whose read was started and not waited for */
    enum gov__advice advice; /* the mapping's, but for cold rows */

    /* Any thread. */
    _Atomic uint32_t position; /* the unit that the engine uses */
    _Atomic uint32_t orders;   /* changes with every decision */
    _Atomic uint32_t sleeping; /* enum sleep of streamer.c */
    atomic_bool stop;
    _Atomic uint64_t streamed_bytes, dropped_bytes, failures;
    _Atomic uint64_t late_units, passes;

    /* Lock order: this one is taken last, and nothing is called while it is
     * held but the pure decisions. Never held over I/O. */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* by the clock on the wall, as everywhere */
    uint64_t hot_bytes, cold_bytes, window_bytes; /* of target_hot */
    pthread_t thread;
};

/* Decides for hot_bytes, drops what is cold and not wanted at once, and starts
 * the thread. 0 or an errno value, after which nothing is left running. */
int gov__streamer_start(struct gov__streamer *streamer, uint64_t hot_bytes);

/* Ends the thread, which takes at most one read, and hands the mapping back
 * with the advice it came with. */
void gov__streamer_stop(struct gov__streamer *streamer);

/* The engine begins to use `unit`, which exists. */
void gov__streamer_reached(struct gov__streamer *streamer, uint32_t unit);

/* Decides anew; returns the bytes that will be hot. Any thread. */
uint64_t gov__streamer_set_hot(struct gov__streamer *streamer,
                               uint64_t hot_bytes);

#endif
