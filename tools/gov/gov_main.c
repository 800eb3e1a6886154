/* SPDX-License-Identifier: MIT */
/* gov: the governor's command. Finds the subcommand and runs it. */
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/gov/gov.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *sentence;
} commands[] = {
    {"profile", gov_cmd_profile, "measure this machine once and remember it"},
    {"model", gov_cmd_model, "show what is in a model file and what it costs"},
    {"capacity", gov_cmd_capacity,
     "show which sizes of models run here, or on which machine"},
    {"plan", gov_cmd_plan, "decide how a model is loaded, and say why"},
    {"run", gov_cmd_run, "load a model under its plan, generate, react"},
    {"policy", gov_cmd_policy, "check, show and test the policies that decide"},
    {"replay", gov_cmd_replay,
     "replay recorded memory pressure under other policies"},
    {"pressure", gov_cmd_pressure,
     "simulate memory pressure in running processes, or watch it"},
    {"report", gov_cmd_report,
     "show what requests cost, as text or as a page with plots"},
    {"metrics", gov_cmd_metrics,
     "print the figures of governed processes for scrapers"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
    fprintf(out, "usage: gov COMMAND [ARGUMENT]...\n\n"
                 "Keeps a machine responsive while it runs a local model: "
                 "plans how the model is\nloaded, watches memory pressure and "
                 "gives memory back, cheapest first.\n\nCommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].sentence);
    fprintf(out, "\nOptions:\n"
                 "  -h, --help     show this help and exit\n"
                 "      --version  show the version and exit\n\n"
                 "See gov COMMAND --help; govtop shows governed processes "
                 "live.\n");
}

int gov_fails(const char *name, const gov_error *err)
{
    fprintf(stderr, "gov %s: %s\n", name, err->message);
    return GOV_EXIT_FAILURE;
}

int gov_finish(const char *name)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return EXIT_SUCCESS;
    fprintf(stderr,
            "gov %s: cannot write the output; is the disk full or the pipe "
            "closed?\n",
            name);
    return GOV_EXIT_FAILURE;
}

int gov_print_json(const char *name, json_t *object, bool indented)
{
    if (object == NULL) {
        fprintf(stderr, "gov %s: no memory for the output\n", name);
        return GOV_EXIT_FAILURE;
    }
    json_dumpf(object, stdout,
               indented ? JSON_INDENT(2) : JSON_COMPACT | JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(object);
    return gov_finish(name);
}

static int unknown_command(const char *word)
{
    const char *names[COMMANDS], *near;

    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    near = cli_nearest(word, names, COMMANDS);
    fprintf(stderr, "gov: unknown command %s%s%s%s See gov --help\n",
            cli_show(word).text, near != NULL ? "; did you mean " : "",
            near != NULL ? near : "", near != NULL ? "?" : ".");
    return CLI_EXIT_USAGE;
}

/* A standard descriptor that came closed would be given to the next file that is
 * opened, a model or a profile, and that would get what is printed. These are
 * open for reading, so that printing fails as it did. */
static void hold_standard_files(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    hold_standard_files();
    setlocale(LC_CTYPE, ""); /* NOLINT(concurrency-mt-unsafe): one thread */
    if (argc < 2) {
        usage(stderr);
        return CLI_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return gov_finish("help");
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("gov %s\n", GOV_VERSION);
        return gov_finish("version");
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (argv[1][0] == '-') {
        fprintf(stderr, "gov: unknown option %s. See gov --help\n",
                cli_show(argv[1]).text);
        return CLI_EXIT_USAGE;
    }
    return unknown_command(argv[1]);
}
