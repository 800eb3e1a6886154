/* SPDX-License-Identifier: MIT */
/* gov metrics: all governed processes and the machine, for scrapers. */
#include <stdlib.h>

#include "governor/processes.h"
#include "tools/gov/gov.h"
#include "tools/gov/metrics_text.h"

#define PROCESSES 1024

static struct gov_page pages[PROCESSES];
static struct gov_process others[PROCESSES];

static int print_metrics(const char *directory, bool all)
{
    struct gov_machine machine;
    struct gov_metrics metrics = {
        .machine = &machine, .pages = pages, .others = others};
    int32_t governed[PROCESSES];
    gov_error err;

    if (gov_page_list(pages, PROCESSES, &metrics.page_count, directory, &err) !=
        GOV_OK)
        return gov_fails("metrics", &err);
    for (size_t i = 0; i < metrics.page_count; i++)
        governed[i] = pages[i].pid;
    metrics.have_others = all;
    if (all && gov_process_list(others, PROCESSES, &metrics.other_count,
                                governed, metrics.page_count, &err) != GOV_OK)
        return gov_fails("metrics", &err);
    gov_machine_now(&machine);
    (void)gov_metrics_write(&metrics, stdout);
    return gov_finish("metrics");
}

int gov_cmd_metrics(int argc, char **argv)
{
    const char *directory = NULL;
    bool all = false;
    const struct cli_option options[] = {
        {"--all", 'a', CLI_FLAG, 0, 0, &all, NULL,
         "add processes that run models and are not governed"},
        {"--directory", 0, CLI_TEXT, 0, 0, &directory, "DIR",
         "read the pages in DIR"},
    };
    const struct cli_command command = {
        .name = "gov metrics",
        .synopsis = "[OPTION]...",
        .sentence = "Prints the figures of all governed processes of this "
                    "user, and of the machine, as OpenMetrics text for "
                    "scrapers.",
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
        .notes = "One sample, then it ends. gov(1) has the two lines of a "
                 "crontab\nthat feed a textfile collector.",
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    return print_metrics(directory, all);
}
