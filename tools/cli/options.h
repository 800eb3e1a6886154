/* SPDX-License-Identifier: MIT */
/* Command lines by table: one row an option drives the parser, its errors and
 * --help. Never prints a failure and never exits: the caller does, so that tests
 * can read what it would have said. */
#ifndef GOV_TOOLS_CLI_OPTIONS_H
#define GOV_TOOLS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cli_kind {
    CLI_FLAG,    /* bool: set to true; takes no value */
    CLI_TEXT,    /* const char *: points into argv */
    CLI_COUNT,   /* uint64_t: a whole number */
    CLI_BYTES,   /* uint64_t: "512M", "1.5GiB", "4096"; K, M, G, T are 1024 */
    CLI_SECONDS, /* uint64_t milliseconds: "2", "0.5"; min and max also in ms */
    CLI_LIST,    /* struct cli_list: every use adds one text */
};

/* The target of a CLI_LIST option, and what positionals are collected in. */
struct cli_list {
    const char **item; /* the caller's array of `room` */
    size_t room, count;
};

struct cli_option {
    const char *name; /* "--ctx" */
    char letter;      /* 'c' for -c, 0 for none */
    enum cli_kind kind;
    uint64_t min, max; /* COUNT, BYTES, SECONDS; max 0 means no limit */
    void *target;      /* of the type that `kind` names; never NULL */
    const char *value; /* how --help names the value, "N"; NULL for a FLAG */
    const char *help;  /* one sentence; the default belongs in it */
};

/* --help and -h are there without a row, and so is --version where `version`
 * is set. Options and positionals may be mixed; after "--" everything is
 * positional, and "-" always is. */
struct cli_command {
    const char *name;             /* "gov plan": starts every message */
    const char *synopsis;         /* "MODEL [OPTION]..." */
    const char *sentence;         /* what it does; --help starts with it */
    const char *version;          /* NULL: no --version */
    const char *const *what;      /* names of positionals: {"MODEL", "FILE"} */
    size_t required;              /* how many positionals there must be */
    struct cli_list *positionals; /* NULL: none are taken */
    const struct cli_option *options;
    size_t option_count;
    const char *notes; /* printed at the end of --help; NULL for none */
};

enum cli_outcome {
    CLI_RUN,     /* targets are set: go on */
    CLI_HELP,    /* --help was given: print it and exit 0 */
    CLI_VERSION, /* --version was given: print it and exit 0 */
    CLI_ERROR,   /* message says why: print it and exit 2 */
};

#define CLI_MESSAGE_BYTES 256
#define CLI_EXIT_USAGE 2

/* Reads argv[1] to argv[argc - 1] from left to right. Targets of options that
 * are not given keep their value, so a default is what they held before. The
 * first error ends it. On CLI_ERROR `message` is one sentence that starts with
 * the command's name. */
enum cli_outcome cli_parse(const struct cli_command *command, int argc,
                           char *const *argv, char message[CLI_MESSAGE_BYTES]);

/* What most main() functions want: parses; prints help or version to stdout or
 * the message to stderr, and returns true with *exit_code set if that is all
 * there is to do. */
bool cli_settled(const struct cli_command *command, int argc, char *const *argv,
                 int *exit_code);

void cli_help(const struct cli_command *command, FILE *out);

/* The name in the list that `word` most likely meant, or NULL when none is
 * close. For subcommands, too. */
const char *cli_nearest(const char *word, const char *const *names,
                        size_t count);

/* An argument as it may stand in a message: short, on one line, never a control
 * sequence for the terminal. */
struct cli_shown {
    char text[72];
};

struct cli_shown cli_show(const char *text);

/* The whole text, as far as there is room, as it may stand in a line of output:
 * valid UTF-8 and never a control sequence. Returns out. */
char *cli_clean(char *out, size_t bytes, const char *text);

/* The parsers of values by themselves. Return false for anything else than a
 * whole valid value; *out is then untouched. */
bool cli_read_count(const char *text, uint64_t *out);
bool cli_read_bytes(const char *text, uint64_t *out);
bool cli_read_seconds(const char *text, uint64_t *out_ms);

#endif
