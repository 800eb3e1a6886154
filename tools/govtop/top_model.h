/* SPDX-License-Identifier: MIT */
/* What govtop knows: the last sample of every governed process and of the
 * machine, what changed since the one before, and a short history. Pure: samples
 * come in as arguments, nothing is read here. */
#ifndef GOV_GOVTOP_MODEL_H
#define GOV_GOVTOP_MODEL_H

#include "governor/governor.h"
#include "tools/govtop/top_format.h"

#define TOP_PROCESSES 128
#define TOP_HISTORY 240

/* The last values of something, oldest first; TOP_UNKNOWN where there is none. */
struct top_series {
    uint32_t count, next;
    uint64_t value[TOP_HISTORY];
};

/* Changes a second; TOP_UNKNOWN until two samples have told. */
struct top_rates {
    uint64_t read_bytes, major_faults, minor_faults;
};

struct top_process {
    struct gov_page page;
    struct gov_page base; /* the update that rates are measured from */
    struct top_rates rates;
    uint64_t age_us; /* since its last update; TOP_UNKNOWN */
    struct top_series footprint, read, tokens;
};

struct top_model {
    struct gov_machine machine;
    bool sampled; /* machine holds a sample */
    /* Permille of the time since the last sample; TOP_UNKNOWN. */
    uint64_t stall_some, stall_full, stall_io;
    struct top_series stall; /* of stall_some */
    size_t count;
    struct top_process process[TOP_PROCESSES]; /* by pid, as they come */
    struct top_process spare[TOP_PROCESSES];   /* of the sample before */
};

/* Takes a sample; pages are ordered by pid, as gov_page_list() gives them, and
 * those beyond TOP_PROCESSES are left out. The model starts zeroed. */
void top_model_update(struct top_model *model,
                      const struct gov_machine *machine,
                      const struct gov_page *pages, size_t count);

/* A counter, or TOP_UNKNOWN when it is absent. */
uint64_t top_counter(const struct gov_page *page, gov_page_counter counter);

/* The value `back` samples ago, 0 being the last; TOP_UNKNOWN beyond. */
uint64_t top_series_at(const struct top_series *series, uint32_t back);
/* The largest known of the last `samples`; TOP_UNKNOWN when there is none. */
uint64_t top_series_peak(const struct top_series *series, uint32_t samples);

#endif
