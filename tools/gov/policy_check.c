/* SPDX-License-Identifier: MIT */
/* gov policy check: all that is wrong with policy files. */
#include <string.h>

#include "tools/gov/policy_verbs.h"

struct check {
    const char *system;
    struct gov_flaw_list flaws; /* of all files, for --json */
    bool json, failed;
};

/* "12 rules, 3 ladder steps: ", what the text has by itself. */
static void print_contents(const struct gov_policy_input *input)
{
    struct gov_relief_rules relief;
    gov_policy *own;
    gov_error err;
    size_t rules;

    if (gov_policy_parse(&own, input->text, input->bytes, input->name, NULL,
                         &err) != GOV_OK)
        return;
    rules = gov_policy_rules(own);
    gov_policy_relief(own, &relief);
    gov_policy_free(own);
    if (rules == 0)
        printf("no rules");
    else
        printf("%zu rule%s", rules, rules == 1 ? "" : "s");
    if (relief.count > 0)
        printf(", %u ladder step%s", relief.count,
               relief.count == 1 ? "" : "s");
    printf(": ");
}

/* Prints the flaws since `from`, and adds them to the others. */
static void print_flaws(struct check *check, const struct gov_flaw_list *list,
                        const struct gov_policy_input *input)
{
    size_t i;
    json_t *flaw;

    check->failed = check->failed || list->errors > 0;
    check->flaws.errors += list->errors;
    check->flaws.warnings += list->warnings;
    json_array_extend(check->flaws.array, list->array);
    if (check->json)
        return;
    json_array_foreach(list->array, i, flaw) gov_flaw_print(flaw, input);
}

/* What cannot even be read: on stderr, and among the flaws of --json. */
static void tell_unreadable(struct check *check, const char *name,
                            const gov_error *err)
{
    const struct gov_flaw flaw = {false, name, 0, 0, NULL, err->message};

    check->failed = true;
    gov_flaw_add(&check->flaws, &flaw);
    gov_fails("policy check", err);
}

static void check_file(struct check *check, const char *path)
{
    struct gov_policy_input input;
    struct gov_flaw_list list = {json_array(), check->flaws.strict, NULL, 0, 0};
    gov_policy *policy = NULL;
    gov_error err;
    gov_status status = gov_policy_input_read(&input, path, &err);
    char count[64];

    if (status == GOV_OK) {
        const struct gov_policy_layer layer = {input.name, input.text,
                                               input.bytes};

        list.only = input.name;
        status = gov_policy_build(&policy, &layer, 1, gov_flaw_add, &list, NULL,
                                  &err);
        if (status == GOV_OK)
            gov_policy_doubts(policy, check->system, gov_flaw_add, &list);
    }
    /* What is no policy has told why. */
    if (status != GOV_OK && list.errors == 0)
        tell_unreadable(check, input.name, &err);
    print_flaws(check, &list, &input);
    if (!check->json && (status == GOV_OK || list.errors > 0)) {
        printf("%s: ", input.name);
        if (status == GOV_OK)
            print_contents(&input);
        printf("%s\n", gov_flaw_count(count, &list));
    }
    json_decref(list.array);
    gov_policy_free(policy);
    gov_policy_input_free(&input);
}

/* Warnings are those of files: what is shipped is checked when it is made. */
static void add_of_files(void *ctx, const struct gov_flaw *flaw)
{
    if (flaw->file != NULL && gov_policy_shipped(flaw->file, NULL) == NULL)
        gov_flaw_add(ctx, flaw);
}

static void check_in_force(struct check *check)
{
    struct gov_flaw_list list = {json_array(), check->flaws.strict, NULL, 0, 0};
    char source[GOV_MESSAGE_BYTES] = "", shown[GOV_MESSAGE_BYTES], count[64];
    struct gov_relief_rules relief;
    gov_policy *policy = NULL;
    gov_error err;
    gov_status status = gov_policy_open(&policy, NULL, source, NULL,
                                        gov_flaw_add, &list, NULL, &err);

    if (status == GOV_OK)
        gov_policy_doubts(policy, check->system, add_of_files, &list);
    else if (list.errors == 0)
        tell_unreadable(check, "", &err);
    print_flaws(check, &list, NULL);
    if (!check->json && status == GOV_OK) {
        gov_policy_relief(policy, &relief);
        printf("%s: %zu rules, %u ladder steps: %s\n",
               cli_clean(shown, sizeof(shown), source),
               gov_policy_rules(policy), relief.count,
               gov_flaw_count(count, &list));
    } else if (!check->json && list.errors > 0) {
        printf("%s\n", gov_flaw_count(count, &list));
    }
    json_decref(list.array);
    gov_policy_free(policy);
}

int gov_policy_check_main(int argc, char **argv)
{
    const char *files[256], *system = NULL;
    struct cli_list positionals = {files, 256, 0};
    struct check check = {NULL, {NULL, false, NULL, 0, 0}, false, false};
    static const char *const what[] = {"FILE"};
    const struct cli_option options[] = {
        {"--strict", 0, CLI_FLAG, 0, 0, &check.flaws.strict, NULL,
         "warnings are errors"},
        GOV_POLICY_SYSTEM_OPTION(
            system, "warn of facts that linux or darwin never tells; this "
                    "machine's system without it"),
        {"--json", 0, CLI_FLAG, 0, 0, &check.json, NULL,
         "print a JSON array of all that is wrong"},
    };
    const struct cli_command command = {
        .name = "gov policy check",
        .synopsis = "[FILE]... [OPTION]...",
        .sentence = "Finds all that is wrong with policy files: errors, and "
                    "what can have no effect. Each FILE is laid over the "
                    "shipped policy that it names as its base, balanced "
                    "without one; - is standard input. Without a FILE, those "
                    "in force are checked together. The exit status is 1 "
                    "when there is an error.",
        .what = what,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    check.system = gov_policy_system("check", system);
    if (check.system == NULL)
        return CLI_EXIT_USAGE;
    check.flaws.array = json_array();
    if (positionals.count == 0)
        check_in_force(&check);
    for (size_t i = 0; i < positionals.count; i++)
        check_file(&check, files[i]);
    if (check.json)
        exit_code = gov_print_json("policy check", check.flaws.array, true);
    else
        exit_code = gov_finish("policy check");
    if (!check.json)
        json_decref(check.flaws.array);
    return check.failed ? GOV_EXIT_FAILURE : exit_code;
}
