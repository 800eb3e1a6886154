/* SPDX-License-Identifier: MIT */
/* What govtop knows: the last sample of every process and of the machine, what
 * changed since the one before, and a short history. Pure: samples come in as
 * arguments, nothing is read here. */
#ifndef GOV_GOVTOP_MODEL_H
#define GOV_GOVTOP_MODEL_H

#include "governor/governor.h"
#include "governor/processes.h"
#include "tools/govtop/top_format.h"

#define TOP_PROCESSES 128 /* that are governed */
#define TOP_OTHERS 64     /* that are not */
#define TOP_ROWS (TOP_PROCESSES + TOP_OTHERS)
#define TOP_HISTORY 240

/* The last values of something, oldest first; TOP_UNKNOWN where there is none. */
struct top_series {
    uint32_t count, next;
    uint64_t value[TOP_HISTORY];
};

/* Changes a second; TOP_UNKNOWN until two samples have told. */
struct top_rates {
    uint64_t read_bytes, major_faults, minor_faults;
    /* Of the time between two updates, permille; of the last pass where the totals
     * do not tell. */
    uint64_t weights, stall;
};

/* Totals of the update that rates are measured from. */
struct top_base {
    uint64_t updated_us, read_bytes, major_faults, minor_faults, weights_us,
        stall_us;
};

struct top_process {
    /* Of one that is not governed, what the kernel tells of it, under the same
     * names. */
    struct gov_page page;
    bool governed;
    struct top_base base;
    struct top_rates rates;
    uint64_t age_us; /* since its last update; TOP_UNKNOWN */
    struct top_series footprint, read, tokens, stall;
};

/* The graphics processor with the largest working set. */
struct top_gpu {
    char name[96]; /* "": there is none, or none is known */
    uint64_t working_set_bytes;
};

struct top_model {
    struct gov_machine machine;
    struct top_gpu gpu; /* set by the caller, once */
    bool sampled;       /* machine holds a sample */
    /* Permille of the time since the last sample; TOP_UNKNOWN. */
    uint64_t stall_some, stall_full, stall_io;
    struct top_series stall; /* of stall_some */
    size_t count, governed;  /* processes; of those, the governed ones */
    struct top_process process[TOP_ROWS]; /* by pid, as they come */
    struct top_process spare[TOP_ROWS];   /* of the sample before */
};

/* One sample. Both lists are ordered by pid; what is beyond TOP_PROCESSES and
 * TOP_OTHERS is left out, and of a process that is in both the page counts. */
struct top_sample {
    const struct gov_machine *machine;
    const struct gov_page *pages;
    size_t page_count;
    const struct gov_process *others; /* may be of an earlier sample */
    size_t other_count;
    uint64_t others_us; /* when they were looked up, by the machine's clock */
};

/* Takes a sample. The model starts zeroed. */
void top_model_update(struct top_model *model, const struct top_sample *sample);

/* A counter, or TOP_UNKNOWN when it is absent. */
uint64_t top_counter(const struct gov_page *page, gov_page_counter counter);
/* The page is of a version that this program does not read. */
bool top_is_foreign(const struct top_process *process);

/* The value `back` samples ago, 0 being the last; TOP_UNKNOWN beyond. */
uint64_t top_series_at(const struct top_series *series, uint32_t back);
/* The largest known of the last `samples`; TOP_UNKNOWN when there is none. */
uint64_t top_series_peak(const struct top_series *series, uint32_t samples);

#endif
