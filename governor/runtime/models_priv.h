/* SPDX-License-Identifier: MIT */
/* The models of governor/models.h, as the runtime holds them. Under the runtime's
 * lock, which nobody holds over a call of the app; zeroed there are none. Whoever
 * changes `state`, `uses` or `held` broadcasts `changed`. */
#ifndef GOV_RUNTIME_MODELS_PRIV_H
#define GOV_RUNTIME_MODELS_PRIV_H

#include <stdatomic.h>

#include "governor/models.h"

#define GOV__MODELS 16
#define GOV__MODEL_NAME 26 /* with its NUL; "model." goes before it */

struct gov_runtime;

enum gov__model_state {
    GOV__MODEL_UNLOADED = 0,
    GOV__MODEL_LOADING, /* a thread is inside load() */
    GOV__MODEL_LOADED,
    GOV__MODEL_UNLOADING, /* relief is inside unload() */
};

struct gov__model {
    uint32_t id;  /* 0: free */
    bool removed; /* or not added yet: no use of it begins */
    enum gov__model_state state;
    uint32_t uses;    /* begun and not done */
    uint32_t held;    /* calls that wait for `state`, or load */
    uint64_t used_at; /* count of uses, of all models, when it was used last */
    uint64_t offered; /* by bytes(), at the last look; UINT64_MAX: none yet */
    uint32_t cost;    /* as registered: orders models of one place */
    uint32_t relief_id;
    struct gov_runtime *runtime;
    struct gov_model_entry entry; /* its name is the copy below */
    char name[GOV__MODEL_NAME];
};

struct gov__models {
    /* The process that registered them; 0: none yet. A child of fork() has this
     * memory and not the threads that it is about: it takes no lock. */
    _Atomic int32_t owner;
    uint32_t last_id;
    uint64_t used; /* uses so far */
    struct gov__model model[GOV__MODELS];
};

#endif
