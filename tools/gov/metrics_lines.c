/* SPDX-License-Identifier: MIT */
#include "tools/gov/metrics_lines.h"

#include <inttypes.h>

#include "tools/cli/options.h"

/* No text is longer. */
#define LABEL_BYTES 512

void gov_metric_begin(struct gov_metric_writer *writer,
                      const struct gov_metric_family *family)
{
    writer->family = family;
    writer->begun = false;
}

static void put_head(struct gov_metric_writer *writer)
{
    const struct gov_metric_family *family = writer->family;

    fprintf(writer->out, "# TYPE %s %s\n", family->name,
            family->kind == GOV_METRIC_COUNTER ? "counter" : "gauge");
    if (family->unit[0] != '\0')
        fprintf(writer->out, "# UNIT %s %s\n", family->name, family->unit);
    fprintf(writer->out, "# HELP %s %s\n", family->name, family->help);
    writer->begun = true;
}

void gov_metric_name(struct gov_metric_writer *writer)
{
    if (!writer->begun)
        put_head(writer);
    fprintf(writer->out, "%s%s", writer->family->name,
            writer->family->kind == GOV_METRIC_COUNTER ? "_total" : "");
}

void gov_metric_label(struct gov_metric_writer *writer, bool first,
                      const char *name, const char *value)
{
    char clean[LABEL_BYTES];

    fprintf(writer->out, "%s%s=\"", first ? "{" : ",", name);
    /* No control characters, so no newline to escape, and only valid UTF-8. */
    cli_clean(clean, sizeof(clean), value);
    for (const char *at = clean; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            fputc('\\', writer->out);
        fputc(*at, writer->out);
    }
    fputc('"', writer->out);
}

void gov_metric_value(struct gov_metric_writer *writer, bool labels,
                      uint64_t value)
{
    int digits = (int)writer->family->digits;
    uint64_t one = 1, rest;

    for (int i = 0; i < digits; i++)
        one *= 10;
    fprintf(writer->out, "%s %" PRIu64, labels ? "}" : "", value / one);
    rest = value % one;
    while (rest != 0 && rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    if (rest != 0)
        fprintf(writer->out, ".%0*" PRIu64, digits, rest);
    fputc('\n', writer->out);
}

void gov_metric_plain(struct gov_metric_writer *writer,
                      const struct gov_metric_family *family, uint64_t value)
{
    gov_metric_begin(writer, family);
    gov_metric_name(writer);
    gov_metric_value(writer, false, value);
}
