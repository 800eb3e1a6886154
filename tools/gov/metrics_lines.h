/* SPDX-License-Identifier: MIT */
/* Lines of OpenMetrics text: families and their samples. */
#ifndef GOV_TOOLS_METRICS_LINES_H
#define GOV_TOOLS_METRICS_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum gov_metric_kind { GOV_METRIC_GAUGE, GOV_METRIC_COUNTER };

struct gov_metric_family {
    const char *name;
    enum gov_metric_kind kind;
    const char
        *unit; /* "bytes", "seconds", "ratio": the end of the name; or "" */
    unsigned digits;  /* behind the point: 6 of what is in microseconds */
    const char *help; /* nothing that would be escaped */
};

/* A family has its lines together, and they begin only where there is a sample. */
struct gov_metric_writer {
    FILE *out;
    const struct gov_metric_family *family;
    bool begun;
};

/* The samples that follow are of that family, which must last until the next one. */
void gov_metric_begin(struct gov_metric_writer *writer,
                      const struct gov_metric_family *family);
/* A sample is its name, then labels, then its value: a whole number of what the
 * family's digits say. */
void gov_metric_name(struct gov_metric_writer *writer);
/* `first` opens the braces, which the value closes. */
void gov_metric_label(struct gov_metric_writer *writer, bool first,
                      const char *name, const char *value);
void gov_metric_value(struct gov_metric_writer *writer, bool labels,
                      uint64_t value);
/* A family of one sample without labels. */
void gov_metric_plain(struct gov_metric_writer *writer,
                      const struct gov_metric_family *family, uint64_t value);

#endif
