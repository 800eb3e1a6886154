/* SPDX-License-Identifier: MIT */
#include "tools/gov/explain.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/text.h"

#define DIM "\033[2m"
#define DETAIL_INDENT 15 /* under the name of the rule */

static const char *paint(const char *code)
{
    return cli_colour(STDOUT_FILENO) ? code : "";
}

/* ---- what if ------------------------------------------------------------------ */

void gov_explain_change(void *ctx, const char *fact, const char *now,
                        const char *before, const char *because)
{
    struct gov_explain *explain = ctx;

    explain->model_changed =
        explain->model_changed || strncmp(fact, "model.", 6) == 0;
    if (strcmp(fact, "budget.ram") == 0)
        snprintf(explain->budget, sizeof(explain->budget), "%s",
                 because[0] != '\0' ? because : "named by --what-if");
    if (explain->json) {
        json_array_append_new(explain->changes,
                              json_pack("{s:s, s:s, s:s, s:s}", "fact", fact,
                                        "now", now, "before", before, "because",
                                        because));
        return;
    }
    if (explain->change_count++ == 0)
        printf("what if\n");
    /* Once for all that follows from the same. */
    if (because[0] != '\0' && strcmp(because, explain->because) != 0)
        printf("  %s%s:%s\n", paint(DIM), because, paint("\033[0m"));
    snprintf(explain->because, sizeof(explain->because), "%s", because);
    printf("  %-20s %10s  %sinstead of %s%s\n", fact, now, paint(DIM), before,
           paint("\033[0m"));
}

/* ---- rules --------------------------------------------------------------------- */

static const char *colour_of(const char *verdict)
{
    if (strcmp(verdict, "matched") == 0)
        return paint("\033[32m");
    return paint(strcmp(verdict, "unknown") == 0 ? "\033[33m" : DIM);
}

static void print_head(const struct gov_explain *explain)
{
    char source[GOV_MESSAGE_BYTES];

    if (explain->change_count > 0)
        putchar('\n');
    printf("rules of ");
    cli_clean(source, sizeof(source), explain->planning->policy_source);
    cli_put_wrapped(source, 9, 9, cli_columns(STDOUT_FILENO, INT_MAX));
    putchar('\n');
}

void gov_explain_rule(void *ctx, const char *rule, const char *verdict,
                      const char *detail)
{
    struct gov_explain *explain = ctx;
    size_t line = 0;
    const char *file =
        gov_policy_rule_origin(explain->planning->rules, rule, &line);
    char origin[1024] = "";

    if (file != NULL)
        cli_clean(origin, sizeof(origin), file);
    if (explain->json) {
        json_array_append_new(explain->rules,
                              json_pack("{s:s, s:s, s:s, s:s, s:I}", "rule",
                                        rule, "verdict", verdict, "detail",
                                        detail, "file", origin, "line",
                                        (json_int_t)line));
        return;
    }
    if (explain->rule_count++ == 0)
        print_head(explain);
    printf("  %s%-13s%s%s", colour_of(verdict), verdict, paint("\033[0m"),
           rule);
    if (file != NULL)
        printf("  %s%s:%zu%s", paint(DIM), origin, line, paint("\033[0m"));
    putchar('\n');
    if (detail[0] == '\0')
        return;
    printf("%*s", DETAIL_INDENT, "");
    cli_put_wrapped(detail, DETAIL_INDENT, DETAIL_INDENT,
                    cli_columns(STDOUT_FILENO, INT_MAX));
    putchar('\n');
}

void gov_explain_end(const struct gov_explain *explain)
{
    if (explain->change_count > 0 || explain->rule_count > 0)
        putchar('\n');
}
