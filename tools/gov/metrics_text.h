/* SPDX-License-Identifier: MIT */
/* OpenMetrics text of samples: pure. Base units (bytes, seconds, ratios), and only
 * gauges and counters: those are what parsers of the older Prometheus format, such as
 * the textfile collector of node_exporter, know, too. The level is therefore a number,
 * no stateset; rules compare it. */
#ifndef GOV_TOOLS_METRICS_TEXT_H
#define GOV_TOOLS_METRICS_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "governor/page.h"
#include "governor/processes.h"

struct gov_metrics {
    const struct gov_machine *machine;
    const struct gov_page *pages;
    size_t page_count;
    bool have_others;
    const struct gov_process *others;
    size_t other_count;
};

/* False when the output failed. */
bool gov_metrics_write(const struct gov_metrics *metrics, FILE *out);

#endif
