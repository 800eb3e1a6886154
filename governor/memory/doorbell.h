/* SPDX-License-Identifier: MIT */
/* Doorbells: tell where an engine is that does not say so. In each layer one page
 * of the governed range is memory of our own that goes missing; the engine's first
 * touch waits until the file's bytes are there, and tells. A bell is armed again
 * once another one rang. Owns the platform's handle, a thread, and those pages:
 * nobody else may advise, discard, populate or anchor them. To populate or to hand
 * one to a system call fails (EFAULT) while it is armed.
 *
 * Who reads such a page finds the bytes that the file had at the start, at any
 * moment and with any number of threads. They stay those if the file is changed or
 * cut later, until the stop maps the file again. */
#ifndef GOV_MEMORY_DOORBELL_H
#define GOV_MEMORY_DOORBELL_H

#include <pthread.h>
#include <stdatomic.h>

#include "governor/memory/range.h"
#include "governor/model.h"

struct gov__doorbell {
    uint32_t unit; /* one bell a unit */
    uint32_t file;
    uint64_t offset; /* of its page in the file */
    bool armed;      /* the thread's: its next touch is told */
};

struct gov__doorbells {
    /* Set by the caller before the start, constant until stopped; the rest is
     * zeroed by him. */
    const struct gov__range *range;
    struct gov__doorbell *bells; /* borrowed, in order of use */
    uint32_t count;
    /* On the bells' thread, in the order in which they rang, once each time. The
     * engine goes on meanwhile; others that touch a bell wait for its return, and
     * so it must not touch one. */
    void (*rang)(void *ctx, uint32_t unit);
    void *ctx;

    int handle; /* the platform's */
    /* Of all pages, as in the file, and behind them one that stops the thread;
     * the platform's map(). NULL: not started. */
    unsigned char *bytes;
    /* failures: what the system refused. over: the thread gave up because of one
     * and has mapped the file again; no bell rings any more. */
    _Atomic uint64_t rings, failures;
    atomic_bool over;
    pthread_t thread;
};

/* The page to lay a bell over in a unit: the first that lies wholly inside one
 * tensor, of the tensors in the order in which llama.cpp's layers use them
 * (attn_norm, then what reads its result, then the rest by offset). *offset is in
 * the file, a multiple of `page`. False when no tensor of the unit holds a page,
 * and for units of which a pass may use nothing there: embeddings, experts. */
bool gov__doorbell_place(const gov_model *model, uint32_t unit, uint64_t page,
                         uint64_t *offset);

/* Reads the pages' bytes, lays the bells over them, armed, and starts the thread.
 * 0 or an errno value, after which the file is mapped everywhere again: ENOTSUP:
 * this system has no such thing; EPERM: it forbids it; EIO: the file is shorter
 * than a bell's page, or cannot be read; EINVAL: there is no bell. A single bell
 * rings once: no other tells when its page is no longer in use. */
int gov__doorbells_start(struct gov__doorbells *bells);

/* Ends the thread and maps the file everywhere again; who waits at a bell is let
 * in. Takes about a call of rang() and 10 us a bell. Where the kernel has neither
 * a page nor a mapping to give it waits for one (and so does a start that fails):
 * to go on would show zeros. Does nothing when they were not started. Not from
 * rang(), and not while holding what that waits for. */
void gov__doorbells_stop(struct gov__doorbells *bells);

#endif
