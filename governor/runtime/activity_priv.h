/* SPDX-License-Identifier: MIT */
/* What governor/activity.h counts, under the runtime's lock; zeroed: nothing. */
#ifndef GOV_RUNTIME_ACTIVITY_PRIV_H
#define GOV_RUNTIME_ACTIVITY_PRIV_H

#include <stdbool.h>
#include <stdint.h>

struct gov_runtime;

struct gov__activity {
    uint32_t wanted; /* begun and not ended */
    bool told;       /* the system knows, or cannot be told */
    bool telling;    /* a thread is inside the platform */
    void *token;     /* the platform's; NULL: none */
};

/* Tells the system that it is over, whoever did not end it: the runtime closes. */
void gov__activity_close(struct gov_runtime *runtime);

#endif
