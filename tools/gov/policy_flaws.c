/* SPDX-License-Identifier: MIT */
/* Flaws of policies, as a compiler shows its own, and the texts they are in. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tools/cli/text.h"
#include "tools/gov/policy_verbs.h"

/* ---- texts ------------------------------------------------------------------ */

/* One byte more than what is a policy: the reader says that it is too long. */
#define STDIN_BYTES ((size_t)256 * 1024 + 1)

static gov_status make_room(struct gov_policy_input *input, size_t bytes,
                            gov_error *err)
{
    const struct gov_alloc *alloc = gov_alloc_default();

    input->text = alloc->alloc(alloc->ctx, bytes + 1);
    return input->text != NULL
               ? GOV_OK
               : gov_fail(err, GOV_E_NOMEM, 0,
                          "no memory to read a policy; free some first");
}

static gov_status read_stdin(struct gov_policy_input *input, gov_error *err)
{
    gov_status status = make_room(input, STDIN_BYTES, err);

    if (status != GOV_OK)
        return status;
    input->bytes = fread(input->text, 1, STDIN_BYTES, stdin);
    input->text[input->bytes] = '\0';
    if (ferror(stdin) != 0)
        return gov_fail(err, GOV_E_IO, errno, "cannot read standard input");
    return GOV_OK;
}

static gov_status copy_shipped(struct gov_policy_input *input, const char *text,
                               gov_error *err)
{
    gov_status status = make_room(input, input->bytes, err);

    if (status == GOV_OK)
        memcpy(input->text, text, input->bytes + 1);
    return status;
}

gov_status gov_policy_input_read(struct gov_policy_input *input,
                                 const char *name, gov_error *err)
{
    const char *shipped = gov_policy_shipped(name, &input->bytes);

    input->text = NULL;
    cli_clean(input->name, sizeof(input->name),
              strcmp(name, "-") == 0 ? "<stdin>" : name);
    if (shipped != NULL)
        return copy_shipped(input, shipped, err);
    if (strcmp(name, "-") == 0)
        return read_stdin(input, err);
    return gov_policy_read_text(&input->text, &input->bytes, name,
                                gov_alloc_default(), err);
}

void gov_policy_input_free(struct gov_policy_input *input)
{
    const struct gov_alloc *alloc = gov_alloc_default();

    if (input->text != NULL)
        alloc->release(alloc->ctx, input->text);
    input->text = NULL;
}

const char *gov_policy_system(const char *command, const char *wanted)
{
    struct utsname name;

    if (wanted == NULL)
        return uname(&name) == 0 && strcmp(name.sysname, "Darwin") == 0
                   ? "darwin"
                   : "linux";
    if (strcmp(wanted, "linux") == 0)
        return "linux";
    if (strcmp(wanted, "darwin") == 0)
        return "darwin";
    fprintf(stderr,
            "gov policy %s: --system %s is none; it takes linux or darwin. See "
            "gov policy %s --help\n",
            command, cli_show(wanted).text, command);
    return NULL;
}

/* ---- flaws ------------------------------------------------------------------ */

static json_int_t number(const json_t *flaw, const char *key)
{
    return json_integer_value(json_object_get(flaw, key));
}

static const char *word(const json_t *flaw, const char *key)
{
    const char *text = json_string_value(json_object_get(flaw, key));

    return text != NULL ? text : "";
}

/* What is of no line keeps its place behind the others. */
static bool goes_before(const json_t *a, const json_t *b)
{
    return number(a, "line") > 0 &&
           strcmp(word(a, "file"), word(b, "file")) == 0 &&
           (number(a, "line") < number(b, "line") ||
            (number(a, "line") == number(b, "line") &&
             number(a, "column") < number(b, "column")));
}

static bool is_told(const struct gov_flaw_list *list, const json_t *flaw)
{
    for (size_t i = 0; i < json_array_size(list->array); i++)
        if (json_equal(json_array_get(list->array, i), flaw) != 0)
            return true;
    return false;
}

void gov_flaw_add(void *ctx, const struct gov_flaw *flaw)
{
    struct gov_flaw_list *list = ctx;
    bool warning = flaw->warning && !list->strict;
    char file[GOV_NAME_BYTES], sentence[GOV_MESSAGE_BYTES];
    size_t at = json_array_size(list->array);
    json_t *object;

    if (flaw->warning && list->only != NULL && flaw->file != NULL &&
        strcmp(flaw->file, list->only) != 0)
        return;
    cli_clean(file, sizeof(file), flaw->file != NULL ? flaw->file : "");
    cli_clean(sentence, sizeof(sentence), flaw->sentence);
    object =
        json_pack("{s:s, s:I, s:I, s:s, s:s?, s:s}", "file", file, "line",
                  (json_int_t)flaw->line, "column", (json_int_t)flaw->column,
                  "severity", warning ? "warning" : "error", "rule", flaw->rule,
                  "sentence", sentence);
    if (is_told(list, object)) {
        json_decref(object);
        return;
    }
    list->errors += !warning;
    list->warnings += warning;
    while (at > 0 && goes_before(object, json_array_get(list->array, at - 1)))
        at--;
    json_array_insert_new(list->array, at, object);
}

void gov_flaw_add_error(void *ctx, const struct gov_flaw *flaw)
{
    if (!flaw->warning)
        gov_flaw_add(ctx, flaw);
}

/* The line and its caret, which has the colour of what it points at. */
static void point(const json_t *flaw, const struct gov_policy_input *input,
                  const char *colour, const char *plain)
{
    char shown[GOV_MESSAGE_BYTES];
    char *caret;

    gov_policy_point(input->text, input->bytes, (size_t)number(flaw, "line"),
                     (size_t)number(flaw, "column"), shown, sizeof(shown));
    caret = strchr(shown, '\n');
    if (caret == NULL)
        return;
    *caret++ = '\0';
    printf("%s\n%s%s%s\n", shown, colour, caret, plain);
}

void gov_flaw_print(const json_t *flaw, const struct gov_policy_input *input)
{
    bool painted = cli_colour(STDOUT_FILENO);
    bool error = strcmp(word(flaw, "severity"), "error") == 0;
    const char *bold = painted ? "\033[1m" : "",
               *plain = painted ? "\033[0m" : "";
    const char *colour = !painted ? "" : error ? "\033[1;31m" : "\033[1;35m";
    const char *rule = word(flaw, "rule");
    struct gov_policy_input again = {NULL, 0, ""};
    int at;

    at = printf("%s%s:", bold, word(flaw, "file"));
    if (number(flaw, "line") > 0)
        at += printf("%d:", (int)number(flaw, "line"));
    if (number(flaw, "column") > 0)
        at += printf("%d:", (int)number(flaw, "column"));
    at -= (int)strlen(bold);
    printf("%s %s%s:%s ", plain, colour, word(flaw, "severity"), plain);
    at += (int)strlen(word(flaw, "severity")) + 3;
    if (rule[0] != '\0')
        at += printf("%s%s: ", strncmp(rule, "ladder ", 7) == 0 ? "" : "rule ",
                     rule);
    cli_put_wrapped(word(flaw, "sentence"), at, 4,
                    cli_columns(STDOUT_FILENO, INT_MAX));
    putchar('\n');
    if (number(flaw, "line") == 0)
        return;
    if (input == NULL || strcmp(input->name, word(flaw, "file")) != 0) {
        gov_error err;

        if (gov_policy_input_read(&again, word(flaw, "file"), &err) != GOV_OK)
            return;
        input = &again;
    }
    point(flaw, input, colour, plain);
    gov_policy_input_free(&again);
}

/* The library tells no more of a text than these, and that there are more. */
#define TOLD_MOST 100

/* "3 errors", "more than 100 errors" */
static size_t put_count(char out[64], size_t used, const char *before, size_t n,
                        const char *noun)
{
    bool more = n > TOLD_MOST;

    return used + (size_t)snprintf(out + used, 64 - used, "%s%s%zu %s%s",
                                   before, more ? "more than " : "",
                                   more ? TOLD_MOST : n, noun,
                                   n == 1 ? "" : "s");
}

char *gov_flaw_count(char out[64], const struct gov_flaw_list *list)
{
    size_t used = 0;

    if (list->errors == 0)
        used = (size_t)snprintf(out, 64, "no errors");
    else
        used = put_count(out, used, "", list->errors, "error");
    if (list->warnings > 0)
        put_count(out, used, ", ", list->warnings, "warning");
    return out;
}
