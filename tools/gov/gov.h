/* SPDX-License-Identifier: MIT */
/* The command's subcommands and what they share. One file a subcommand; public
 * headers of the library only. */
#ifndef GOV_TOOLS_GOV_H
#define GOV_TOOLS_GOV_H

#include <jansson.h>
#include <stdio.h>

#include "governor/governor.h"
#include "tools/cli/options.h"
#include "tools/cli/progress.h"

#define GOV_EXIT_FAILURE 1

/* Tokens that --ctx takes at most. */
#define GOV_CONTEXT_MAX 16777216

/* Each runs one subcommand and returns the exit status. argv[0] is its name. */
int gov_cmd_profile(int argc, char **argv);
int gov_cmd_plan(int argc, char **argv);
int gov_cmd_model(int argc, char **argv);
int gov_cmd_run(int argc, char **argv);
int gov_cmd_policy(int argc, char **argv);
int gov_cmd_capacity(int argc, char **argv);
int gov_cmd_replay(int argc, char **argv);
int gov_cmd_pressure(int argc, char **argv);
int gov_cmd_metrics(int argc, char **argv);
int gov_cmd_report(int argc, char **argv);

/* Prints "gov NAME: sentence" to stderr; returns the exit status of a failure. */
int gov_fails(const char *name, const gov_error *err);

/* Writes an object as one line (or indented) and releases it. Returns the exit
 * status: output that cannot be written is a failure. */
int gov_print_json(const char *name, json_t *object, bool indented);

/* Flushes stdout; the exit status says whether all of it was written. */
int gov_finish(const char *name);

/* The adapter that plans are made for: gov run's when none is named. */
#define GOV_PLANNED_ENGINE "llama"

/* Everything that a plan needs, opened for a command. */
struct gov_planning {
    struct gov_device device;
    char device_note[GOV_MESSAGE_BYTES];
    gov_model *model;
    gov_policy *rules;
    char policy_source[GOV_MESSAGE_BYTES];
    struct gov_facts facts;
    char what_if_texts[512]; /* that facts of a what-if point into */
    struct gov_plan plan;
    char failure[GOV_MESSAGE_BYTES]; /* why there is no plan; else "" */
};

/* The wishes that plan and run have in common. */
struct gov_wishes {
    const char *model_path;
    const char *policy_name; /* as gov_policy_open() takes it */
    uint64_t context, budget_bytes, queries, sequences; /* 0: not given */
    const char *strategy, *kv_type, *gpu_layers;        /* NULL: not given */
    /* Beside the options: */
    bool no_engine;         /* do not ask an adapter for its facts */
    const char *engine;     /* which one; NULL: GOV_PLANNED_ENGINE */
    const char *what_if;    /* as gov_what_if() takes it; NULL: nothing */
    gov_what_if_fn changed; /* told what it changes */
    void *changed_ctx;
};

/* The row of --policy, the same for every command. */
#define GOV_POLICY_OPTION(target)                                              \
    {                                                                          \
        "--policy", 'P', CLI_TEXT, 0, 0, &(target), "NAME|FILE",               \
            "NAME of a shipped policy, or FILE laid over the user's and the "  \
            "system's"                                                         \
    }

/* Rows of the option table for wishes: strategy, ctx, ... */
#define GOV_WISH_OPTIONS(wishes)                                               \
    {"--ctx",                                                                  \
     'c',                                                                      \
     CLI_COUNT,                                                                \
     1,                                                                        \
     GOV_CONTEXT_MAX,                                                          \
     &(wishes).context,                                                        \
     "N",                                                                      \
     "tokens of context to plan for; the rules choose without it"},            \
        {"--strategy",                                                         \
         0,                                                                    \
         CLI_TEXT,                                                             \
         0,                                                                    \
         0,                                                                    \
         &(wishes).strategy,                                                   \
         "NAME",                                                               \
         "ask for mmap, hybrid or heap; refused if it does not fit"},          \
        {"--kv-type", 0,                                                       \
         CLI_TEXT,    0,                                                       \
         0,           &(wishes).kv_type,                                       \
         "TYPE",      "ask for f16, q8_0 or another type of KV cache"},        \
        {"--queries", 0,                                                       \
         CLI_COUNT,   0,                                                       \
         1000000,     &(wishes).queries,                                       \
         "N",         "requests a minute that are expected"},                  \
        {"--budget",                                                           \
         0,                                                                    \
         CLI_BYTES,                                                            \
         1,                                                                    \
         0,                                                                    \
         &(wishes).budget_bytes,                                               \
         "SIZE",                                                               \
         "memory the model may use; the device profile says without it"},      \
        {"--sequences", 0,                                                     \
         CLI_COUNT,     1,                                                     \
         256,           &(wishes).sequences,                                   \
         "N",           "conversations at once, which share the context"},     \
        {"--gpu-layers",                                                       \
         0,                                                                    \
         CLI_TEXT,                                                             \
         0,                                                                    \
         0,                                                                    \
         &(wishes).gpu_layers,                                                 \
         "N",                                                                  \
         "layers to put on the GPU, or all; the rules choose without it"},     \
        GOV_POLICY_OPTION((wishes).policy_name)

/* Whether --kv-type names a type (NULL does: it was not given); else it has
 * printed that it does not. */
bool gov_kv_type_valid(const char *name, const char *word);

/* Opens device, model and rules and decides. Returns true when there is a plan;
 * else it has printed why and *exit_code is set (a refusal is a failure).
 * gov_planning_close() in either case. */
bool gov_planning_open(const char *name, struct gov_planning *planning,
                       const struct gov_wishes *wishes, gov_trace_fn trace,
                       void *trace_ctx, int *exit_code);
void gov_planning_close(struct gov_planning *planning);

/* What is predicted for the share of a model that a busy system takes. */
#define GOV_EVICTED_PERMILLE 50

/* The plan as JSON, borrowed by nobody. */
json_t *gov_plan_to_json(const struct gov_planning *planning);

#endif
