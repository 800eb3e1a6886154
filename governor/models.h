/* SPDX-License-Identifier: MIT */
/* Several models in one process: which one may be unloaded when memory is short,
 * and how it comes back when it is used. Knows no engine: the app, or an adapter,
 * says how a model is loaded and unloaded. */
#ifndef GOV_MODELS_H
#define GOV_MODELS_H

#include "governor/relief.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gov_model_entry {
    size_t size;      /* set by gov_model_entry_default() */
    const char *name; /* copied, at most 25 bytes: "embedding" */
    /* 0 is unloaded first; at most 1000000. At one priority the cheapest to load
     * again (rebuild_cost, 999 and more being the same), among equals the one that
     * was used longest ago. A ladder that names one of them puts it in its place. */
    uint32_t priority;
    uint32_t rebuild_cost;
    bool loaded; /* now, as it is registered */
    void *ctx;
    /* Bytes that unload() gives back of the process's footprint; cheap, any thread.
     * File pages that are merely mapped are the system's to take, and not among
     * them. Also while one of the others runs. */
    uint64_t (*bytes)(void *ctx);
    /* Loads it, on the thread that calls gov_models_use(), which it must not call
     * for this model. Fails with a sentence in *err, which is never NULL. */
    gov_status (*load)(void *ctx, gov_error *err);
    /* Unloads it; never while it is used or loads. On the thread that runs relief.
     * May close a session of an engine, and remove relief actions; calls nothing
     * else of the runtime. */
    void (*unload)(void *ctx);
};

static inline struct gov_model_entry gov_model_entry_default(void)
{
    struct gov_model_entry entry = {sizeof(struct gov_model_entry),
                                    NULL,
                                    0,
                                    50,
                                    false,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL};
    return entry;
}

/* Registers a model, at most 16, as relief action "model.NAME", which cannot be
 * undone without loss: it runs at CRITICAL, corroborated, and never while the
 * model is used. It comes back when it is used, not when memory does. Not from a
 * callback.
 *
 * GOV_E_INVALID      also for a name that a model has already
 * GOV_E_BUSY         16 models, or 32 relief actions, are registered
 * GOV_E_UNSUPPORTED  in a child of fork(): models stay with who registered them */
GOV_API GOV_NODISCARD gov_status
gov_models_add(gov_runtime *runtime, const struct gov_model_entry *entry,
               uint32_t *id, gov_error *err);

/* Begins a use: loads the model if it is not loaded, which takes as long as it
 * takes, and keeps it until gov_models_done(). Uses of one model may overlap. One
 * that comes while it is being loaded or unloaded waits, and then loads it itself
 * if it is not there. Any thread.
 *
 * GOV_E_NOT_FOUND    no model has that id, or it is being removed
 * GOV_E_UNSUPPORTED  in a child of fork()
 * others             load()'s: the model stays unloaded, and a later use tries
 *                    again */
GOV_API GOV_NODISCARD gov_status gov_models_use(gov_runtime *runtime,
                                                uint32_t id, gov_error *err);
GOV_API void gov_models_done(gov_runtime *runtime, uint32_t id);

/* Whether it is loaded now. Any thread. */
GOV_API bool gov_models_loaded(gov_runtime *runtime, uint32_t id);

/* Returns once nobody uses it, loads it or unloads it; no use of it begins
 * meanwhile. Unloads nothing. Not from a callback, nor within a use of it. An id
 * that is none is passed over. */
GOV_API void gov_models_remove(gov_runtime *runtime, uint32_t id);

#ifdef __cplusplus
}
#endif
#endif
