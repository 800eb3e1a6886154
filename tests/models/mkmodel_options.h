/* SPDX-License-Identifier: MIT */
/* The command line: one table of options that drives the parser, the range
 * errors and the help. Never decides what a missing option means. */
#ifndef MKMODEL_OPTIONS_H
#define MKMODEL_OPTIONS_H

#include "mkmodel_arch.h"

#include <stdbool.h>
#include <stdint.h>

/* Numbers and sizes: 0 means not given (the seed excepted, which starts as 1).
 * Texts: NULL means not given; they point into argv. */
struct mk_request {
    const char *arch;
    const char *preset;
    const char *type;
    const char *embd_type;
    const char *output_type;
    const char *expert_type;
    const char *tokenizer;
    const char *name;
    const char *break_kind;
    const char *out;
    uint64_t layers;
    uint64_t embd;
    uint64_t ff;
    uint64_t heads;
    uint64_t kv_heads;
    uint64_t head_dim;
    uint64_t vocab;
    uint64_t ctx;
    uint64_t seed;
    uint64_t target_size;
    uint64_t split;
    uint64_t n[MK_NUMBERS];
    bool tied;
    bool sort_by_name;
    bool sparse;
    bool dry_run;
    bool progress;
    bool quiet;
    bool list_breaks;
    bool help;
};

/* Exits with MK_USAGE and one sentence if the command line is not understood or
 * a number is out of its range. */
void mk_options_parse(struct mk_request *request, int argc, char **argv);

/* Prints the usage and the options, but neither presets nor break kinds. */
void mk_options_help(void);

#endif
