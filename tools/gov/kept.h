/* SPDX-License-Identifier: MIT */
/* A conversation that is kept on disk between runs. */
#ifndef GOV_TOOLS_KEPT_H
#define GOV_TOOLS_KEPT_H

#include "tools/gov/output.h"

struct gov_kept {
    const char *directory; /* NULL: nothing is kept */
    const char *name;      /* NULL: "main" */
    gov_spill *spill;
    uint32_t id; /* 0: the session's own */
};

/* Opens the directory; without one there is nothing to do, here and below. */
gov_status gov_kept_open(struct gov_kept *kept, gov_error *err);
/* Takes the conversation up, and says so when it is not new. */
gov_status gov_kept_begin(struct gov_kept *kept,
                          const struct gov_engine *engine, gov_session *session,
                          struct gov_output *output, gov_error *err);
/* Stores it; GOV_OK says that it is on the disk. */
gov_status gov_kept_end(struct gov_kept *kept, const struct gov_engine *engine,
                        gov_session *session, gov_error *err);
/* After the session was unloaded. */
void gov_kept_close(struct gov_kept *kept);

#endif
