/* SPDX-License-Identifier: MIT */
/* gov policy test: decides cases and says which came out otherwise. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/cli/text.h"
#include "tools/gov/policy_verbs.h"

struct tests {
    const char *policy; /* --policy, or NULL: as the cases say */
    bool json, verbose, failed;
    json_t *files; /* --json: one object a file */
    /* Of the file at hand, and of all. */
    json_t *cases;
    size_t count, passed, all_count, all_passed, all_files;
};

/* ---- one file ---------------------------------------------------------------- */

static void print_case(const struct tests *tests,
                       const struct gov_case_result *result)
{
    bool painted = cli_colour(STDOUT_FILENO);
    const char *bold = painted ? "\033[1m" : "";
    const char *plain = painted ? "\033[0m" : "";
    const char *colour = !painted         ? ""
                         : result->passed ? "\033[32m"
                                          : "\033[1;31m";
    const char *word = result->passed ? "passed" : "failed";
    char text[GOV_NAME_BYTES], line[GOV_NAME_BYTES];
    size_t used;
    int at;

    if (result->passed && !tests->verbose)
        return;
    cli_clean(text, sizeof(text), result->file);
    at = printf("%s%s:%zu:%s ", bold, text, result->line, plain);
    at += printf("%s%s%s: ", colour, word, plain);
    at -= (int)(strlen(bold) + strlen(colour) + 2 * strlen(plain));
    cli_clean(text, sizeof(text), result->name);
    used = strlen(text);
    if (result->requirement[0] != '\0')
        used += (size_t)snprintf(text + used, sizeof(text) - used, " (%s)",
                                 result->requirement);
    if (!result->passed && used < sizeof(text))
        snprintf(text + used, sizeof(text) - used, ": %s", result->sentence);
    cli_put_wrapped(cli_clean(line, sizeof(line), text), at, 4,
                    cli_columns(STDOUT_FILENO, INT_MAX));
    putchar('\n');
}

static void on_case(void *ctx, const struct gov_case_result *result)
{
    struct tests *tests = ctx;

    tests->count++;
    tests->passed += result->passed;
    if (tests->json)
        json_array_append_new(
            tests->cases,
            json_pack("{s:s, s:s, s:I, s:b, s:s}", "name", result->name,
                      "requirement", result->requirement, "line",
                      (json_int_t)result->line, "passed", (int)result->passed,
                      "sentence", result->sentence));
    else
        print_case(tests, result);
}

/* The policy as `gov policy check` reads it: over the shipped one, whatever is in
 * force on this machine, so that cases come out alike everywhere. */
static gov_status open_policy(gov_policy **out, const char *name,
                              struct gov_flaw_list *flaws,
                              struct gov_policy_input *input, gov_error *err)
{
    gov_status status = gov_policy_input_read(input, name, err);
    struct gov_policy_layer layer;

    *out = NULL;
    if (status != GOV_OK)
        return status;
    layer = (struct gov_policy_layer){input->name, input->text, input->bytes};
    return gov_policy_build(out, &layer, 1, gov_flaw_add_error, flaws, NULL,
                            err);
}

static gov_status run_cases(struct tests *tests,
                            const struct gov_policy_input *cases,
                            struct gov_flaw_list *flaws,
                            struct gov_policy_input *policy_text,
                            gov_error *err)
{
    const struct gov_policy_layer layer = {cases->name, cases->text,
                                           cases->bytes};
    char name[64] = "";
    gov_policy *policy = NULL;
    gov_status status =
        gov_cases_policy(cases->text, cases->bytes, cases->name, name, err);

    if (name[0] == '\0')
        snprintf(name, sizeof(name), "balanced");
    /* What is wrong with a text is told when it is run, whatever decides. */
    if (status == GOV_OK)
        status =
            open_policy(&policy, tests->policy != NULL ? tests->policy : name,
                        flaws, policy_text, err);
    else if (status == GOV_E_FORMAT)
        status = open_policy(&policy, "balanced", flaws, policy_text, err);
    if (status == GOV_OK)
        status = gov_cases_run(policy, &layer, on_case, tests, gov_flaw_add,
                               flaws, NULL, err);
    gov_policy_free(policy);
    return status;
}

static void print_flaws(const struct gov_flaw_list *flaws,
                        const struct gov_policy_input *cases,
                        const struct gov_policy_input *policy)
{
    size_t i;
    json_t *flaw;

    json_array_foreach(flaws->array, i, flaw)
    {
        const char *file = json_string_value(json_object_get(flaw, "file"));

        gov_flaw_print(flaw, file != NULL && strcmp(file, cases->name) == 0
                                 ? cases
                                 : policy);
    }
}

static void print_counts(const char *what, size_t count, size_t passed)
{
    printf("%s: %zu case%s, %zu passed", what, count, count == 1 ? "" : "s",
           passed);
    if (passed < count)
        printf(", %zu failed", count - passed);
    putchar('\n');
}

static void test_file(struct tests *tests, const char *path)
{
    struct gov_policy_input cases, policy = {NULL, 0, ""};
    struct gov_flaw_list flaws = {json_array(), false, NULL, 0, 0};
    gov_error err;
    gov_status status = gov_policy_input_read(&cases, path, &err);

    tests->count = tests->passed = 0;
    tests->cases = json_array();
    if (status == GOV_OK)
        status = run_cases(tests, &cases, &flaws, &policy, &err);
    if (status != GOV_OK && flaws.errors == 0)
        gov_fails("policy test", &err);
    if (tests->json)
        json_array_append_new(
            tests->files, json_pack("{s:s, s:s, s:o, s:O, s:s?}", "file",
                                    cases.name, "policy", policy.name, "cases",
                                    tests->cases, "flaws", flaws.array, "error",
                                    status != GOV_OK ? err.message : NULL));
    else {
        json_decref(tests->cases);
        print_flaws(&flaws, &cases, &policy);
        if (status == GOV_OK)
            print_counts(cases.name, tests->count, tests->passed);
    }
    tests->failed =
        tests->failed || status != GOV_OK || tests->passed < tests->count;
    tests->all_files++;
    tests->all_count += tests->count;
    tests->all_passed += tests->passed;
    json_decref(flaws.array);
    gov_policy_input_free(&cases);
    gov_policy_input_free(&policy);
}

/* ---- directories --------------------------------------------------------------- */

static int is_yaml(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return entry->d_name[0] != '.' && length > 5 &&
           strcmp(entry->d_name + length - 5, ".yaml") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void test_directory(struct tests *tests, const char *path)
{
    size_t length = strlen(path);
    struct dirent **entries;
    int count = scandir(path, &entries, is_yaml, by_name);

    if (count <= 0) {
        gov_error err;

        (void)gov_fail(&err, GOV_E_IO, count < 0 ? errno : 0,
                       count < 0 ? "cannot read directory %s"
                                 : "there are no cases in %s: they are in "
                                   "files whose name ends in .yaml",
                       cli_show(path).text);
        gov_fails("policy test", &err);
        tests->failed = true;
    }
    for (int i = 0; i < count; i++) {
        char name[GOV_NAME_BYTES];
        int used = snprintf(name, sizeof(name), "%s%s%s", path,
                            length > 0 && path[length - 1] == '/' ? "" : "/",
                            entries[i]->d_name);

        if (used > 0 && (size_t)used < sizeof(name))
            test_file(tests, name);
        else
            tests->failed = true;
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

/* ---- the command ----------------------------------------------------------------- */

static int finish(struct tests *tests)
{
    char what[48];

    if (tests->json)
        return gov_print_json(
            "policy test",
            json_pack("{s:o, s:I, s:I, s:I}", "files", tests->files, "cases",
                      (json_int_t)tests->all_count, "passed",
                      (json_int_t)tests->all_passed, "failed",
                      (json_int_t)(tests->all_count - tests->all_passed)),
            true);
    json_decref(tests->files);
    snprintf(what, sizeof(what), "%zu files", tests->all_files);
    if (tests->all_files > 1)
        print_counts(what, tests->all_count, tests->all_passed);
    return gov_finish("policy test");
}

int gov_policy_test_main(int argc, char **argv)
{
    const char *paths[256];
    struct cli_list positionals = {paths, 256, 0};
    struct tests tests = {0};
    static const char *const what[] = {"DIR|FILE"};
    const struct cli_option options[] = {
        {"--policy", 'P', CLI_TEXT, 0, 0, &tests.policy, "NAME|FILE",
         "test this one: NAME of a shipped policy, or FILE; without it the one "
         "that the cases name"},
        {"--verbose", 'v', CLI_FLAG, 0, 0, &tests.verbose, NULL,
         "list cases that passed, too"},
        {"--json", 0, CLI_FLAG, 0, 0, &tests.json, NULL,
         "print one JSON object"},
    };
    const struct cli_command command = {
        .name = "gov policy test",
        .synopsis = "DIR|FILE... [OPTION]...",
        .sentence = "Decides the cases in each FILE, and in each file of DIR "
                    "that ends in .yaml, and says which do not come out as "
                    "they expect. Policies are read as gov policy check reads "
                    "them, whatever is in force here. The exit status is 1 "
                    "when one fails, or there is none.",
        .what = what,
        .required = 1,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    tests.files = json_array();
    for (size_t i = 0; i < positionals.count; i++) {
        struct stat st;

        if (stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode))
            test_directory(&tests, paths[i]);
        else
            test_file(&tests, paths[i]);
    }
    exit_code = finish(&tests);
    if (!tests.failed && tests.all_count == 0) {
        fprintf(stderr, "gov policy test: there is no case\n");
        tests.failed = true;
    }
    return tests.failed ? GOV_EXIT_FAILURE : exit_code;
}
