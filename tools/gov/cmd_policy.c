/* SPDX-License-Identifier: MIT */
/* gov policy: checks policy files and lists the facts they may use. */
#include <string.h>

#include "tools/gov/gov.h"

static int list_facts(bool json, bool markdown)
{
    json_t *list = json ? json_array() : NULL;

    if (markdown)
        printf(
            "# Facts\n\nWhat a rule may ask about. Made by `gov policy facts "
            "--markdown` from the table in\n`policies/facts.h`.\n\n"
            "| fact | type | source | meaning |\n|---|---|---|---|\n");
    for (int i = 0; i < GOV_FACT_COUNT; i++) {
        const struct gov_fact_info *info = gov_fact_info((gov_fact)i);

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

static void on_doubt(void *ctx, const char *rule, size_t line,
                     const char *sentence)
{
    fprintf(stderr, "gov policy check: %s:%zu: rule %s: %s\n",
            (const char *)ctx, line, rule, sentence);
}

static int check_file(const char *path)
{
    char source[GOV_MESSAGE_BYTES], pointed[GOV_MESSAGE_BYTES];
    gov_policy *rules;
    gov_error err;
    size_t doubts;

    if (gov_policy_open(&rules, path, source, pointed, NULL, &err) != GOV_OK) {
        fprintf(stderr, "gov policy check: %s\n", err.message);
        if (pointed[0] != '\0')
            fprintf(stderr, "%s\n", pointed);
        return GOV_EXIT_FAILURE;
    }
    doubts = gov_policy_doubts(rules, on_doubt, source);
    printf("%s: %zu rules, no errors", source, gov_policy_rules(rules));
    if (doubts > 0)
        printf(", %zu without effect", doubts);
    putchar('\n');
    gov_policy_free(rules);
    return 0;
}

int gov_cmd_policy(int argc, char **argv)
{
    const char *words[64];
    struct cli_list positionals = {words, 64, 0};
    static const char *const what[] = {"facts|check|show"};
    static const char *const verbs[] = {"facts", "check", "show"};
    bool json = false, markdown = false;
    const struct cli_option options[] = {
        {"--json", 0, CLI_FLAG, 0, 0, &json, NULL,
         "with facts: print a JSON array"},
        {"--markdown", 0, CLI_FLAG, 0, 0, &markdown, NULL,
         "with facts: print the reference page"},
    };
    const struct cli_command command = {
        .name = "gov policy",
        .synopsis = "facts | show | check [FILE]...",
        .sentence = "Lists the facts that rules may use, shows the shipped "
                    "rules, or checks policy files (the ones in force when none "
                    "is named).",
        .what = what,
        .required = 1,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    const char *near;
    int exit_code, worst = 0;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (strcmp(words[0], "check") != 0 && positionals.count > 1) {
        fprintf(stderr,
                "gov policy: unexpected argument %s; see gov policy --help\n",
                cli_show(words[1]).text);
        return CLI_EXIT_USAGE;
    }
    if (json && markdown) {
        fprintf(stderr,
                "gov policy: --json and --markdown exclude one another; "
                "see gov policy --help\n");
        return CLI_EXIT_USAGE;
    }
    if (strcmp(words[0], "facts") == 0)
        return list_facts(json, markdown);
    if (strcmp(words[0], "show") == 0) {
        fputs(gov_policy_shipped(), stdout);
        return gov_finish("policy show");
    }
    if (strcmp(words[0], "check") != 0) {
        near = cli_nearest(words[0], verbs, 3);
        fprintf(stderr,
                "gov policy: unknown command %s%s%s%s See gov policy "
                "--help\n",
                cli_show(words[0]).text, near != NULL ? "; did you mean " : "",
                near != NULL ? near : "", near != NULL ? "?" : ".");
        return CLI_EXIT_USAGE;
    }
    if (positionals.count == 1)
        worst = check_file(NULL);
    for (size_t i = 1; i < positionals.count; i++)
        if (check_file(words[i]) != 0)
            worst = GOV_EXIT_FAILURE;
    exit_code = gov_finish("policy check");
    return worst != 0 ? worst : exit_code;
}
