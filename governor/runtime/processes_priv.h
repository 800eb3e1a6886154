/* SPDX-License-Identifier: MIT */
#ifndef GOV_RUNTIME_PROCESSES_PRIV_H
#define GOV_RUNTIME_PROCESSES_PRIV_H

#include "governor/platform/platform.h"
#include "governor/processes.h"

struct gov__listing {
    struct gov_process *out;
    size_t room, count;
    const int32_t *passed;
    size_t pass;
};

/* gov_process_list() over any platform: fills list->out, and sets list->count. */
gov_status gov__process_list(const struct gov_platform *platform,
                             struct gov__listing *list, gov_error *err);

#endif
