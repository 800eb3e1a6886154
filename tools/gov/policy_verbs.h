/* SPDX-License-Identifier: MIT */
/* The commands of gov policy, one file each, and what they share: flaws as a
 * compiler shows them, and a policy that is read alone. */
#ifndef GOV_TOOLS_POLICY_VERBS_H
#define GOV_TOOLS_POLICY_VERBS_H

#include "tools/gov/gov.h"

/* Each runs one command; argv[0] is its name. */
int gov_policy_check_main(int argc, char **argv);
int gov_policy_show_main(int argc, char **argv);
int gov_policy_facts_main(int argc, char **argv);
int gov_policy_test_main(int argc, char **argv);

/* Room for a name of a file, cleaned for output. */
#define GOV_NAME_BYTES 1024

/* ---- texts ------------------------------------------------------------------ */

/* A text that a command line or a policy names. */
struct gov_policy_input {
    char *text; /* NULL: not read */
    size_t bytes;
    char name[GOV_NAME_BYTES]; /* for messages */
};

/* Reads a policy, or cases: "-" is standard input, the name of a shipped policy
 * is that one, everything else is a path. gov_policy_input_free() in any case. */
gov_status gov_policy_input_read(struct gov_policy_input *input,
                                 const char *name, gov_error *err);
void gov_policy_input_free(struct gov_policy_input *input);

/* ---- flaws ------------------------------------------------------------------ */

/* Flaws as --json prints them: file, line, column, severity, rule, sentence. */
struct gov_flaw_list {
    json_t *array;
    bool strict;      /* warnings are errors */
    const char *only; /* warnings of this file alone, or NULL */
    size_t errors, warnings;
};

/* Adds a flaw to the struct gov_flaw_list that ctx is, those of one file by line
 * and column, each once: gov_policy_doubts() tells again what gov_policy_build()
 * has told, and more, since it knows the system. A gov_flaw_fn. */
void gov_flaw_add(void *ctx, const struct gov_flaw *flaw);
/* A gov_flaw_fn that leaves warnings out. */
void gov_flaw_add_error(void *ctx, const struct gov_flaw *flaw);
/* Prints one: "FILE:LINE:COLUMN: error: sentence", the line and a caret. The text
 * is `input`'s where the flaw is of that name, else it is read again. */
void gov_flaw_print(const json_t *flaw, const struct gov_policy_input *input);
/* "no errors, 1 warning" */
char *gov_flaw_count(char out[64], const struct gov_flaw_list *list);

/* The system whose facts are meant: `wanted`, or this one's where that is NULL;
 * NULL (and it has said so for `command`) when it is none. */
const char *gov_policy_system(const char *command, const char *wanted);

#define GOV_POLICY_SYSTEM_OPTION(target, what)                                 \
    {                                                                          \
        "--system", 0, CLI_TEXT, 0, 0, &(target), "NAME", what                 \
    }

#endif
