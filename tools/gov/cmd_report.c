/* SPDX-License-Identifier: MIT */
/* gov report: what requests cost, from a database of telemetry. */
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "governor/telemetry.h"
#include "tools/gov/gov.h"
#include "tools/gov/report_html.h"
#include "tools/gov/report_json.h"
#include "tools/gov/report_text.h"

#define DAY_S 86400

/* As the command line has it. */
struct wanted {
    const char *since, *app, *html;
    uint64_t days; /* 0: not given */
    bool json, csv;
};

/* Options that cannot be meant together, and which say so. */
static bool is_sensible(const struct wanted *w)
{
    const struct {
        bool given;
        const char *first, *second;
    } pairs[] = {
        {w->json && w->html != NULL, "--json", "--html"},
        {w->json && w->csv, "--json", "--csv"},
        {w->csv && w->html != NULL, "--csv", "--html"},
        {w->days > 0 && w->since != NULL, "--days", "--since"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i].given) {
            fprintf(stderr,
                    "gov report: %s and %s exclude one another; see gov "
                    "report --help\n",
                    pairs[i].first, pairs[i].second);
            return false;
        }
    return true;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t days_to(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = y / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
           719468;
}

/* "2026-11-21", and nothing that is no day. */
static bool read_date(const char *text, int64_t *day)
{
    static const char shape[] = "dddd-dd-dd";
    int64_t part[3] = {0, 0, 0};
    char again[GOV_REPORT_TIME_BYTES];
    int at = 0;

    if (strlen(text) != strlen(shape))
        return false;
    for (size_t i = 0; shape[i] != '\0'; i++) {
        if (shape[i] == '-' && text[i] == '-')
            at++;
        else if (shape[i] == 'd' && text[i] >= '0' && text[i] <= '9')
            part[at] = part[at] * 10 + (text[i] - '0');
        else
            return false;
    }
    if (part[0] < 1970 || part[1] < 1 || part[1] > 12 || part[2] < 1)
        return false;
    *day = days_to(part[0], part[1], part[2]);
    /* February 30 comes back as another day. */
    return strcmp(gov_report_date(again, *day * DAY_S * 1000), text) == 0;
}

static bool set_span(struct gov_telemetry_span *span, const struct wanted *w)
{
    span->from_day = INT64_MIN;
    span->to_day = INT64_MAX;
    span->app = w->app;
    if (w->days > 0)
        span->from_day = (int64_t)time(NULL) / DAY_S - (int64_t)w->days + 1;
    if (w->since == NULL || read_date(w->since, &span->from_day))
        return true;
    fprintf(stderr,
            "gov report: --since needs a day such as 2026-11-21, not %s\n",
            cli_show(w->since).text);
    return false;
}

static int fails(const char *path, gov_status status, const gov_error *err)
{
    struct stat st;
    const bool there = path != NULL && lstat(path, &st) == 0;

    if (status != GOV_E_NOT_FOUND)
        return gov_fails("report", err);
    fprintf(stderr,
            "gov report: %s%s; record with gov run --telemetry, or in an app "
            "with gov_options.telemetry\n",
            path != NULL ? cli_show(path).text : "nothing was recorded yet",
            there          ? " exists, but nothing was recorded in it yet"
            : path != NULL ? " does not exist"
                           : "");
    return GOV_EXIT_FAILURE;
}

static int show(const struct gov_report *report, const struct wanted *w)
{
    gov_error err;

    if (w->json)
        return gov_print_json("report", gov_report_json(report), true);
    if (w->html != NULL && strcmp(w->html, "-") != 0) {
        if (gov_report_html_file(report, w->html, &err) != GOV_OK)
            return gov_fails("report", &err);
    } else if (w->html != NULL) {
        if (!gov_report_html(report, stdout)) {
            gov_fail(&err, GOV_E_NOMEM, 0, "no memory for the page");
            return gov_fails("report", &err);
        }
    } else {
        gov_report_text(report);
    }
    return gov_finish("report");
}

static int run(const char *path, const struct wanted *w)
{
    struct gov_report report;
    gov_status status;
    gov_error err;
    int exit_code;

    memset(&report, 0, sizeof(report));
    if (!set_span(&report.span, w))
        return CLI_EXIT_USAGE;
    if (path != NULL && strlen(path) >= sizeof(report.path)) {
        gov_fail(&err, GOV_E_INVALID, 0, "the name of the file is too long");
        return gov_fails("report", &err);
    }
    if (path != NULL)
        memcpy(report.path, path, strlen(path) + 1);
    if (w->csv) {
        status = gov_report_csv(path, &report.span, &err);
        return status == GOV_OK ? gov_finish("report")
                                : fails(path, status, &err);
    }
    status = gov_report_read(&report, w->html != NULL, &err);
    exit_code = status == GOV_OK ? show(&report, w) : fails(path, status, &err);
    gov_report_free(&report);
    return exit_code;
}

int gov_cmd_report(int argc, char **argv)
{
    static const char *const what[] = {"FILE"};
    const char *path[1];
    struct cli_list positionals = {path, 1, 0};
    struct wanted w = {NULL, NULL, NULL, 0, false, false};
    const struct cli_option options[] = {
        {"--days", 'd', CLI_COUNT, 1, 36500, &w.days, "N",
         "only the last N days, today included; days are those of UTC"},
        {"--since", 's', CLI_TEXT, 0, 0, &w.since, "DATE",
         "only from that day on, such as 2026-11-21"},
        {"--app", 'a', CLI_TEXT, 0, 0, &w.app, "NAME",
         "only of that app; of all without it"},
        {"--html", 0, CLI_TEXT, 0, 0, &w.html, "FILE",
         "write a page with plots to FILE; - is standard output"},
        {"--csv", 0, CLI_FLAG, 0, 0, &w.csv, NULL,
         "print a row for each request, for spreadsheets"},
        {"--json", 0, CLI_FLAG, 0, 0, &w.json, NULL, "print one JSON object"},
    };
    const struct cli_command command = {
        .name = "gov report",
        .synopsis = "[FILE] [OPTION]...",
        .sentence = "Shows what requests cost: first tokens, tokens a second, "
                    "faults and relief, from what was recorded in FILE; the "
                    "usual database without one.",
        .what = what,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (!is_sensible(&w))
        return CLI_EXIT_USAGE;
    /* A file that is half written is removed again. */
    if (w.html != NULL)
        cli_catch_signals();
    exit_code = run(positionals.count > 0 ? path[0] : NULL, &w);
    if (cli_signal() != 0)
        cli_end_by_signal(cli_signal());
    return exit_code;
}
