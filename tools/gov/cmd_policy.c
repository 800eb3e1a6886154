/* SPDX-License-Identifier: MIT */
/* gov policy: finds the command and runs it; each has a file of its own. */
#include <string.h>

#include "tools/gov/policy_verbs.h"

static const struct {
    const char *name, *arguments;
    int (*run)(int argc, char **argv);
    const char *sentence;
} verbs[] = {
    {"check", "[FILE]...", gov_policy_check_main,
     "find all that is wrong with policy files"},
    {"show", "", gov_policy_show_main,
     "show the policy in force, and where each line is from"},
    {"facts", "", gov_policy_facts_main, "list what rules may ask about"},
    {"test", "DIR|FILE...", gov_policy_test_main,
     "decide cases, and compare with what they expect"},
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void usage(FILE *out)
{
    size_t count;
    const char *const *names = gov_policy_shipped_names(&count);

    fprintf(out,
            "usage: gov policy COMMAND [ARGUMENT]...\n\n"
            "A policy says how models are loaded and how memory is given back. "
            "The one in\nforce is a shipped one (");
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%s",
                i == 0          ? ""
                : i + 1 < count ? ", "
                                : " or ",
                names[i]);
    fprintf(out, "), with the\nsystem's "
                 "file laid over it, the user's over that, and the one that a "
                 "command\nnames with --policy over all.\n\nCommands:\n");
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-5s %-12s %s\n", verbs[i].name, verbs[i].arguments,
                verbs[i].sentence);
    fprintf(out, "\nOptions:\n"
                 "  -h, --help     show this help and exit\n\n"
                 "See gov policy COMMAND --help; gov plan --explain shows each "
                 "rule at work.\n");
}

int gov_cmd_policy(int argc, char **argv)
{
    const char *names[VERBS], *near;

    if (argc < 2) {
        usage(stderr);
        return CLI_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return gov_finish("policy");
    }
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    for (size_t i = 0; i < VERBS; i++)
        names[i] = verbs[i].name;
    near = argv[1][0] == '-' ? NULL : cli_nearest(argv[1], names, VERBS);
    fprintf(stderr, "gov policy: unknown %s %s%s%s%s See gov policy --help\n",
            argv[1][0] == '-' ? "option" : "command", cli_show(argv[1]).text,
            near != NULL ? "; did you mean " : "", near != NULL ? near : "",
            near != NULL ? "?" : ".");
    return CLI_EXIT_USAGE;
}
