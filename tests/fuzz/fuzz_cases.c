/* SPDX-License-Identifier: MIT */
/* Case files: any bytes are cases that are decided, or are refused with all that
 * is wrong; then none is decided. The same text says the same again, and without
 * memory nothing is said. */
#include <stdint.h>
#include <string.h>

#include "policies/cases.h"
#include "tests/fuzz/promises.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was told: how much, the first error, and a digest of all. */
struct told {
    size_t cases, errors, lines, line;
    char first[1024];
    uint64_t digest;
};

static void digest(struct told *told, const char *text)
{
    do
        told->digest =
            (told->digest ^ (unsigned char)*text) * UINT64_C(1099511628211);
    while (*text++ != '\0');
}

static void on_case(void *ctx, const struct gov_case_result *result)
{
    struct told *told = ctx;

    must(told->errors == 0, "no case is decided beside an error");
    must(strcmp(result->file, "f") == 0, "the file as it was named");
    must(result->name[0] != '\0' && strlen(result->name) < 96, "a name");
    must(strlen(result->requirement) < 16, "a requirement, or none");
    must(result->line >= told->line && result->line > 0 &&
             result->line <= told->lines,
         "in order, at lines that exist");
    must(result->passed == (result->sentence[0] == '\0'),
         "a sentence where it did not pass");
    must_be_printable(result->name);
    must_be_printable(result->requirement);
    must_be_printable(result->sentence);
    digest(told, result->name);
    digest(told, result->requirement);
    digest(told, result->sentence);
    told->line = result->line;
    told->cases++;
}

static void on_flaw(void *ctx, const struct gov_flaw *flaw)
{
    struct told *told = ctx;
    char line[1024];

    must(!flaw->warning, "cases have no doubts");
    must(told->cases == 0, "errors come before cases");
    must(flaw->sentence[0] != '\0', "a sentence");
    must(flaw->line <= told->lines, "a line that exists");
    must((flaw->line > 0) == (flaw->column > 0), "a line and a column");
    must_be_printable(flaw->sentence);
    snprintf(line, sizeof(line), "%s:%zu:%zu: %s", flaw->file, flaw->line,
             flaw->column, flaw->sentence);
    digest(told, line);
    if (told->errors++ == 0)
        memcpy(told->first, line, sizeof(line));
}

/* Fails the allocation that is counted down to; counts what is not released. */
struct scarce {
    unsigned left, held;
};

static void *scarce_alloc(void *ctx, size_t bytes)
{
    struct scarce *scarce = ctx;

    if (scarce->left-- == 0)
        return NULL;
    scarce->held++;
    return malloc(bytes);
}

static void scarce_release(void *ctx, void *block)
{
    struct scarce *scarce = ctx;

    scarce->held -= block != NULL;
    free(block);
}

static gov_status run(struct told *told, const char *text, size_t size,
                      const struct gov_alloc *alloc, gov_error *err)
{
    const struct gov_policy_layer cases = {"f", text, size};
    static gov_policy *policy;

    if (policy == NULL)
        must(gov_policy_build(&policy, NULL, 0, NULL, NULL, NULL, NULL) ==
                 GOV_OK,
             "the shipped policy");
    memset(told, 0, sizeof(*told));
    memset(err, 0, sizeof(*err));
    told->lines = 1;
    for (size_t i = 0; i < size; i++)
        told->lines += text[i] == '\n' || text[i] == '\r';
    return gov_cases_run(policy, &cases, on_case, told, on_flaw, told, alloc,
                         err);
}

static void run_without_memory(const char *text, size_t size,
                               const struct told *first, gov_status status)
{
    /* A reader, what it found, and a reader again. */
    struct scarce scarce = {size > 0 ? (unsigned char)text[size / 2] % 4 : 0,
                            0};
    const struct gov_alloc alloc = {&scarce, scarce_alloc, scarce_release};
    struct told told;
    gov_error err;

    if (run(&told, text, size, &alloc, &err) == status) {
        must(told.digest == first->digest, "as with all memory");
    } else {
        must(err.status == GOV_E_NOMEM, "no other failure for want of memory");
        must(told.cases == 0 && told.errors == 0, "nothing is told by halves");
    }
    must(scarce.held == 0, "all is released");
}

static void ask_policy(const char *text, size_t size, gov_status status,
                       const gov_error *first)
{
    char *policy = malloc(64);
    gov_error err = {GOV_OK, 0, ""};

    if (policy == NULL)
        return;
    memset(policy, 'x', 64);
    must(gov_cases_policy(text, size, "f", policy, &err) == status,
         "one judgement of a text");
    must(strcmp(err.message, first->message) == 0, "in the same words");
    must(memchr(policy, '\0', 64) != NULL, "a name that ends");
    must_be_printable(policy);
    free(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct told told, again;
    gov_error err, second;
    gov_status status = run(&told, text, size, NULL, &err);

    must(status == GOV_OK || status == GOV_E_FORMAT, "cases or none");
    must((status == GOV_E_FORMAT) == (told.errors > 0), "errors are told");
    must(status == GOV_OK || told.cases == 0, "then no case is");
    must(err.status == status, "an error where it failed");
    must(strncmp(err.message, told.first, 200) == 0, "the first one");
    must_be_printable(err.message);
    must(run(&again, text, size, NULL, &second) == status &&
             again.digest == told.digest && again.cases == told.cases &&
             again.errors == told.errors,
         "the same text says the same");
    run_without_memory(text, size, &told, status);
    ask_policy(text, size, status, &err);
    return 0;
}
