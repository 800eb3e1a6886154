/* SPDX-License-Identifier: MIT */
#include "tools/gov/report_format.h"

#include <inttypes.h>
#include <stdio.h>

#include "tools/cli/progress.h"

static char *unknown(char *out)
{
    snprintf(out, GOV_FIGURE_BYTES, "-");
    return out;
}

/* Three digits: 9.99, 10.0, 100. */
static char *three(char *out, double value, const char *unit)
{
    snprintf(out, GOV_FIGURE_BYTES, "%.*f%s",
             value >= 99.95   ? 0
             : value >= 9.995 ? 1
                              : 2,
             value, unit);
    return out;
}

char *gov_figure_time(char out[GOV_FIGURE_BYTES], bool known, uint64_t us)
{
    double ms = (double)us / 1000;

    if (!known)
        return unknown(out);
    if (ms < 999.5)
        return three(out, ms, " ms");
    if (ms < 999.5e3)
        return three(out, ms / 1e3, " s");
    return ms < 999.5 * 60e3 ? three(out, ms / 60e3, " min")
                             : three(out, ms / 3600e3, " h");
}

char *gov_figure_rate(char out[GOV_FIGURE_BYTES], bool known, uint64_t milli)
{
    return known ? three(out, (double)milli / 1000, "") : unknown(out);
}

char *gov_figure_count(char out[GOV_FIGURE_BYTES], uint64_t n)
{
    static const char *const units[] = {" k", " M", " G", " T", " P", " E"};
    double value = (double)n / 1000;
    int unit = 0;

    if (n < 100000) {
        snprintf(out, GOV_FIGURE_BYTES, "%" PRIu64, n);
        return out;
    }
    for (; value >= 999.5; unit++)
        value /= 1000;
    return three(out, value, units[unit]);
}

char *gov_figure_each(char out[GOV_FIGURE_BYTES], uint64_t part, uint64_t whole)
{
    double each = whole > 0 ? (double)part / (double)whole : 0;

    if (whole == 0)
        return unknown(out);
    if (part % whole != 0 && each < 999.5)
        return three(out, each, "");
    return gov_figure_count(out, (uint64_t)(each + 0.5));
}

char *gov_figure_bytes(char out[GOV_FIGURE_BYTES], bool known, uint64_t bytes)
{
    return known ? cli_size(out, bytes) : unknown(out);
}

char *gov_figure_share(char out[GOV_FIGURE_BYTES], uint64_t part,
                       uint64_t whole)
{
    double percent = whole > 0 ? 100 * (double)part / (double)whole : 0;

    if (whole == 0)
        return unknown(out);
    if (part == 0 || percent >= 9.95)
        snprintf(out, GOV_FIGURE_BYTES, "%.0f %%", percent);
    else if (percent < 0.1)
        snprintf(out, GOV_FIGURE_BYTES, "<0.1 %%");
    else
        snprintf(out, GOV_FIGURE_BYTES, "%.1f %%", percent);
    return out;
}
