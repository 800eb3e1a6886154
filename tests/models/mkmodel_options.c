/* SPDX-License-Identifier: MIT */
/* The command line: one table of options that drives the parser, the range
 * errors and the help. Never decides what a missing option means. */
#include "mkmodel_options.h"

#include "mkmodel_base.h"
#include "mkmodel_plan.h"
#include "mkmodel_vocab.h"

#include <ctype.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AT(member) offsetof(struct mk_request, member)

enum kind { TEXT, NUMBER, SIZE, FLAG };

struct option {
    const char *name;
    const char *value; /* how the help names it */
    enum kind kind;
    size_t member;
    uint64_t min;
    uint64_t max;
    const char *help;
};

/* The largest widths keep every product of three of them below 2^63. */
static const struct option options[] = {
    {"preset", "NAME", TEXT, AT(preset), 0, 0,
     "widths and depth to start from (below); default: small, or by size"},
    {"target-size", "SIZE", SIZE, AT(target_size), 1, (uint64_t)1 << 46,
     "file size to meet within 3 %: 900MiB, 1.5GB; sets --layers, trims --ff"},
    {"type", "TYPE", TEXT, AT(type), 0, 0,
     "of the matrices: F32 F16 Q8_0 Q4_0 Q4_K Q6_K MXFP4; default Q4_0"},
    {"embd-type", "TYPE", TEXT, AT(embd_type), 0, 0,
     "of the embedding; default as --type, or as the output if tied"},
    {"output-type", "TYPE", TEXT, AT(output_type), 0, 0,
     "of the output matrix; default as llama-quantize: Q6_K for 4-bit types"},
    {"expert-type", "TYPE", TEXT, AT(expert_type), 0, 0,
     "of the experts; default by preset, or as --type"},
    {"tied", NULL, FLAG, AT(tied), 0, 0,
     "the embedding serves as output matrix; no output.weight"},
    {"seed", "N", NUMBER, AT(seed), 0, UINT64_MAX,
     "of the weights; default 1. Same options, same bytes"},
    {"arch", "NAME", TEXT, AT(arch), 0, 0,
     "default by preset, or llama; the list is below"},
    {"layers", "N", NUMBER, AT(layers), 1, MK_LAYERS_MAX, "default by preset"},
    {"embd", "N", NUMBER, AT(embd), 32, 65536, "default by preset"},
    {"ff", "N", NUMBER, AT(ff), 32, 1048576,
     "default by preset, or 3 x --embd rounded up to 256"},
    {"heads", "N", NUMBER, AT(heads), 1, 1024,
     "default by preset, or --embd / 64"},
    {"kv-heads", "N", NUMBER, AT(kv_heads), 1, 1024,
     "divides --heads; default by preset, or --heads"},
    {"head-dim", "N", NUMBER, AT(head_dim), 2, 1024,
     "even; default by preset, or --embd / --heads"},
    {"vocab", "N", NUMBER, AT(vocab), MK_VOCAB_MIN, MK_VOCAB_MAX,
     "default by preset; English words fit from 2000 on"},
    {"ctx", "N", NUMBER, AT(ctx), 1, 16777216,
     "the context_length key; default by preset, or 4096"},
    {"experts", "N", NUMBER, AT(n[MK_DIM_EXPERTS]), 1, 512,
     "of each layer; default by preset"},
    {"experts-used", "N", NUMBER, AT(n[MK_DIM_EXPERTS_USED]), 1, 512,
     "by one token; default by preset"},
    {"expert-ff", "N", NUMBER, AT(n[MK_DIM_EXPERT_FF]), 32, 65536,
     "width of one expert, where it is not --ff; default by preset"},
    {"window", "N", NUMBER, AT(n[MK_DIM_WINDOW]), 1, 16777216,
     "tokens that a layer with a window sees; default by preset"},
    {"tokenizer", "KIND", TEXT, AT(tokenizer), 0, 0,
     "spm, wpm or bpe; default by architecture"},
    {"name", "TEXT", TEXT, AT(name), 0, 0, "the general.name key"},
    {"break", "KIND", TEXT, AT(break_kind), 0, 0,
     "make the file hostile in one way; default preset then: tiny"},
    {"list-breaks", NULL, FLAG, AT(list_breaks), 0, 0,
     "print the kinds for --break, one per line"},
    {"split", "N", NUMBER, AT(split), 2, 999,
     "write N files OUT-00001-of-0000N.gguf"},
    {"sort-by-name", NULL, FLAG, AT(sort_by_name), 0, 0,
     "lay tensors out as llama-quantize does: by layer, then by name"},
    {"sparse", NULL, FLAG, AT(sparse), 0, 0,
     "leave the weights a hole: any size, no room, nothing to run"},
    {"dry-run", NULL, FLAG, AT(dry_run), 0, 0,
     "print size, shape and tensors; write nothing"},
    {"progress", NULL, FLAG, AT(progress), 0, 0,
     "draw a bar on stderr if that is a terminal"},
    {"quiet", NULL, FLAG, AT(quiet), 0, 0, "no summary on stdout"},
    {"help", NULL, FLAG, AT(help), 0, 0, "print this"},
};

enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

static const struct {
    const char *suffix;
    uint64_t factor;
} units[] = {
    {"", 1},
    {"B", 1},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", 1000000000000},
    {"K", 1u << 10},
    {"M", 1u << 20},
    {"G", 1u << 30},
    {"T", (uint64_t)1 << 40},
    {"KiB", 1u << 10},
    {"MiB", 1u << 20},
    {"GiB", 1u << 30},
    {"TiB", (uint64_t)1 << 40},
};

/* Reads digits; returns what follows them, or NULL if none or too many. */
static const char *parse_digits(const char *text, uint64_t *out)
{
    const char *p = text;
    uint64_t value = 0;

    for (; isdigit((unsigned char)*p); p++) {
        unsigned digit = (unsigned)(*p - '0');

        if (value > (UINT64_MAX - digit) / 10)
            return NULL;
        value = 10 * value + digit;
    }
    *out = value;
    return p == text ? NULL : p;
}

static uint64_t parse_number(const struct option *o, const char *text)
{
    uint64_t value;
    const char *end = parse_digits(text, &value);

    if (end == NULL || *end != '\0' || value < o->min || value > o->max)
        mk_die(MK_USAGE,
               "--%s is \"%s\" but must be a whole number from %" PRIu64
               " to %" PRIu64 "; see mkmodel --help",
               o->name, text, o->min, o->max);
    return value;
}

/* The part behind the decimal point counts to six digits. */
static bool parse_size(const char *text, uint64_t *out)
{
    uint64_t whole;
    uint64_t millionths = 0;
    const char *p = parse_digits(text, &whole);

    if (p == NULL)
        return false;
    if (*p == '.') {
        uint64_t place = 100000;

        for (p++; isdigit((unsigned char)*p); p++, place /= 10)
            millionths += place * (uint64_t)(*p - '0');
    }
    p += strspn(p, " ");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(units[i].suffix, p) != 0)
            continue;
        if (whole > ((uint64_t)1 << 62) / units[i].factor)
            return false;
        *out = whole * units[i].factor;
        *out += units[i].factor / 1000000 * millionths +
                units[i].factor % 1000000 * millionths / 1000000;
        return true;
    }
    return false;
}

static void store(struct mk_request *request, const struct option *o,
                  const char *text)
{
    char *member = (char *)request + o->member;
    uint64_t number = 0;
    bool yes = true;

    switch (o->kind) {
    case TEXT:
        memcpy(member, &text, sizeof(text));
        break;
    case NUMBER:
        number = parse_number(o, text);
        memcpy(member, &number, sizeof(number));
        break;
    case SIZE:
        if (!parse_size(text, &number) || number < o->min || number > o->max)
            mk_die(MK_USAGE,
                   "--%s is \"%s\" but must be a size such as 900MiB or "
                   "1.5GB, at most 64TiB; see mkmodel --help",
                   o->name, text);
        memcpy(member, &number, sizeof(number));
        break;
    case FLAG:
        memcpy(member, &yes, sizeof(yes));
        break;
    }
}

static const struct option *find(const char *name, size_t len)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strlen(options[i].name) == len &&
            strncmp(options[i].name, name, len) == 0)
            return &options[i];
    mk_die(MK_USAGE, "there is no option --%.*s; see mkmodel --help", (int)len,
           name);
}

/* Handles argv[i] and returns the number of arguments it took. */
static int parse_one(struct mk_request *request, char **argv, int i)
{
    const char *name = argv[i] + 2;
    size_t len = strcspn(name, "=");
    const struct option *o = find(name, len);

    if (o->kind == FLAG) {
        if (name[len] == '=')
            mk_die(MK_USAGE, "--%s takes no value; write it alone", o->name);
        store(request, o, NULL);
        return 1;
    }
    if (name[len] == '=') {
        store(request, o, name + len + 1);
        return 1;
    }
    if (argv[i + 1] == NULL)
        mk_die(MK_USAGE, "--%s needs a value; write --%s %s", o->name, o->name,
               o->value);
    store(request, o, argv[i + 1]);
    return 2;
}

void mk_options_parse(struct mk_request *request, int argc, char **argv)
{
    bool only_files = false;
    int i = 1;

    memset(request, 0, sizeof(*request));
    request->seed = 1;
    while (i < argc) {
        if (!only_files && strcmp(argv[i], "--") == 0) {
            only_files = true;
            i++;
        } else if (!only_files && strncmp(argv[i], "--", 2) == 0) {
            i += parse_one(request, argv, i);
        } else if (!only_files && argv[i][0] == '-' && argv[i][1] != '\0') {
            mk_die(MK_USAGE, "there is no option %s; see mkmodel --help",
                   argv[i]);
        } else if (request->out != NULL) {
            mk_die(MK_USAGE,
                   "both %s and %s are given as output; give one file",
                   request->out, argv[i]);
        } else {
            request->out = argv[i++];
        }
    }
}

void mk_options_help(void)
{
    puts("usage: mkmodel [options] OUT.gguf\n"
         "Writes a GGUF model with seeded random weights that llama.cpp loads "
         "and runs.\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        char left[32];

        snprintf(left, sizeof(left), "--%s %s", options[i].name,
                 options[i].value == NULL ? "" : options[i].value);
        printf("  %-20s %s\n", left, options[i].help);
    }
}
