/* SPDX-License-Identifier: MIT */
/* gov policy facts: what a rule may ask about, from the table that reads it. */
#include <string.h>

#include "tools/gov/policy_verbs.h"

static int list_facts(const char *system, bool json, bool markdown)
{
    json_t *list = json ? json_array() : NULL;

    if (markdown)
        printf(
            "# Facts\n\nWhat a rule may ask about. Made by `gov policy facts "
            "--markdown` from the table in\n`policies/facts.h`.\n\n"
            "| fact | type | source | meaning |\n|---|---|---|---|\n");
    for (int i = 0; i < GOV_FACT_COUNT; i++) {
        const struct gov_fact_info *info = gov_fact_info((gov_fact)i);

        if (!gov_fact_told_by((gov_fact)i, system))
            continue;
        if (json)
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:s, s:s}", "name", info->name,
                                "type", gov_type_name(info->type), "source",
                                info->source, "meaning", info->sentence));
        else
            printf(markdown ? "| `%s` | %s | %s | %s |\n"
                            : "%-28s %-9s %-15s %s\n",
                   info->name, gov_type_name(info->type), info->source,
                   info->sentence);
    }
    return json ? gov_print_json("policy facts", list, true)
                : gov_finish("policy facts");
}

int gov_policy_facts_main(int argc, char **argv)
{
    bool json = false, markdown = false;
    const char *system = NULL;
    const struct cli_option options[] = {
        GOV_POLICY_SYSTEM_OPTION(system,
                                 "only those that linux or darwin can tell"),
        {"--json", 0, CLI_FLAG, 0, 0, &json, NULL, "print a JSON array"},
        {"--markdown", 0, CLI_FLAG, 0, 0, &markdown, NULL,
         "print the reference page"},
    };
    const struct cli_command command = {
        .name = "gov policy facts",
        .synopsis = "[OPTION]...",
        .sentence = "Lists the facts that rules may ask about: name, type, "
                    "where it is from, and meaning.",
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (json && markdown) {
        fprintf(stderr,
                "gov policy facts: --json and --markdown exclude one another; "
                "see gov policy facts --help\n");
        return CLI_EXIT_USAGE;
    }
    if (system != NULL && gov_policy_system("facts", system) == NULL)
        return CLI_EXIT_USAGE;
    return list_facts(system, json, markdown);
}
