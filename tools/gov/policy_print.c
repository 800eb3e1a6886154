/* SPDX-License-Identifier: MIT */
/* gov policy show: the policy in force, each line with where it is from. */
#include <string.h>
#include <unistd.h>

#include "tools/cli/text.h"
#include "tools/gov/policy_verbs.h"

/* Where origins stand at most: a longer line has its own right behind it. */
#define ORIGIN_COLUMN 60

/* What is built in has no line. */
static void add_line(void *ctx, const char *text, const char *file, size_t line)
{
    char name[GOV_NAME_BYTES] = "";

    if (file != NULL)
        cli_clean(name, sizeof(name), file);
    json_array_append_new(
        ctx,
        json_pack("{s:s, s:s?, s:o}", "text", text, "file",
                  file != NULL ? name : NULL, "line",
                  line > 0 ? json_integer((json_int_t)line) : json_null()));
}

static const char *text_of(const json_t *line)
{
    const char *text = json_string_value(json_object_get(line, "text"));

    return text != NULL ? text : "";
}

/* The widest line with an origin that leaves it in its column. */
static int origin_column(const json_t *lines)
{
    size_t i;
    json_t *line;
    int column = 0;

    json_array_foreach(lines, i, line)
    {
        int width = cli_width(text_of(line)) + 2;

        if (!json_is_null(json_object_get(line, "file")) &&
            width <= ORIGIN_COLUMN && width > column)
            column = width;
    }
    return column;
}

/* As a comment of YAML, so that what is shown is a policy file. */
static void print_lines(const json_t *lines)
{
    bool painted = cli_colour(STDOUT_FILENO);
    int column = origin_column(lines);
    size_t i;
    json_t *line;

    json_array_foreach(lines, i, line)
    {
        const char *text = text_of(line);
        const char *file = json_string_value(json_object_get(line, "file"));
        int number = (int)json_integer_value(json_object_get(line, "line"));
        int gap = column - cli_width(text);

        fputs(text, stdout);
        if (file != NULL)
            printf("%*s%s# %s", gap > 2 ? gap : 2, "", painted ? "\033[2m" : "",
                   file);
        if (file != NULL && number > 0)
            printf(":%d", number);
        printf("%s\n", file != NULL && painted ? "\033[0m" : "");
    }
}

static int show_merged(const char *name, bool json)
{
    char source[GOV_MESSAGE_BYTES], pointed[GOV_MESSAGE_BYTES] = "";
    json_t *lines = json_array();
    gov_policy *policy;
    gov_error err;
    gov_status status =
        gov_policy_open(&policy, name, source, pointed, NULL, NULL, NULL, &err);

    if (status != GOV_OK) {
        gov_fails("policy show", &err);
        if (pointed[0] != '\0')
            fprintf(stderr, "%s\n", pointed);
        json_decref(lines);
        return status == GOV_E_INVALID ? CLI_EXIT_USAGE : GOV_EXIT_FAILURE;
    }
    gov_policy_show(policy, add_line, lines);
    gov_policy_free(policy);
    if (json)
        return gov_print_json("policy show", lines, true);
    print_lines(lines);
    json_decref(lines);
    return gov_finish("policy show");
}

static int show_source(const char *name)
{
    const char *text = gov_policy_shipped(name, NULL), *near;
    const char *const *names;
    size_t count;

    if (text != NULL) {
        fputs(text, stdout);
        return gov_finish("policy show");
    }
    names = gov_policy_shipped_names(&count);
    near = cli_nearest(name, names, count);
    fprintf(stderr, "gov policy show: %s is no shipped policy; ",
            cli_show(name).text);
    if (near != NULL)
        fprintf(stderr, "did you mean %s?\n", near);
    for (size_t i = 0; i < count && near == NULL; i++)
        fprintf(stderr, "%s%s",
                i == 0          ? "there are "
                : i + 1 < count ? ", "
                                : " and ",
                names[i]);
    if (near == NULL)
        fputc('\n', stderr);
    return CLI_EXIT_USAGE;
}

int gov_policy_show_main(int argc, char **argv)
{
    const char *name[1], *policy = NULL;
    struct cli_list positionals = {name, 1, 0};
    bool json = false, source = false;
    static const char *const what[] = {"NAME"};
    const struct cli_option options[] = {
        GOV_POLICY_OPTION(policy),
        {"--source", 0, CLI_FLAG, 0, 0, &source, NULL,
         "print the shipped policy NAME (balanced) as it is written, with its "
         "comments"},
        {"--json", 0, CLI_FLAG, 0, 0, &json, NULL,
         "print a JSON array of lines: text, file, line"},
    };
    const struct cli_command command = {
        .name = "gov policy show",
        .synopsis = "[OPTION]... | --source [NAME]",
        .sentence = "Shows the policy in force, all its layers merged, each "
                    "line with the file and line that it is from. What is "
                    "shown is itself a policy file.",
        .what = what,
        .positionals = &positionals,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (source && (json || policy != NULL)) {
        fprintf(stderr,
                "gov policy show: --source and %s exclude one another; see gov "
                "policy show --help\n",
                json ? "--json" : "--policy");
        return CLI_EXIT_USAGE;
    }
    if (!source && positionals.count > 0) {
        fprintf(stderr,
                "gov policy show: unexpected argument %s; a policy is named "
                "with --policy. See gov policy show --help\n",
                cli_show(name[0]).text);
        return CLI_EXIT_USAGE;
    }
    if (source)
        return show_source(positionals.count > 0 ? name[0] : "balanced");
    return show_merged(policy, json);
}
