/* SPDX-License-Identifier: MIT */
/* Policies laid over one another: what becomes of each entry, what the whole is
 * based on, where each line came from, what is told, and what happens without
 * memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policies/rules/policy_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define LAYERS 4

/* What was told, as lines "[warning ]FILE:LINE:COLUMN: [RULE: ]sentence". */
struct told {
    char lines[32768];
    size_t used, count, errors;
};

static void on_flaw(void *ctx, const struct gov_flaw *flaw)
{
    struct told *told = ctx;

    told->used += (size_t)snprintf(
        told->lines + told->used, sizeof(told->lines) - told->used,
        "%s%s%s:%zu:%zu: %s%s%s", told->count > 0 ? "\n" : "",
        flaw->warning ? "warning " : "", flaw->file, flaw->line, flaw->column,
        flaw->rule != NULL ? flaw->rule : "", flaw->rule != NULL ? ": " : "",
        flaw->sentence);
    ck_assert_uint_lt(told->used, sizeof(told->lines));
    told->count++;
    told->errors += !flaw->warning;
}

/* Builds of up to LAYERS texts, named a, b, c and d. */
static gov_status build(gov_policy **out, const char *const texts[LAYERS],
                        struct told *told, const struct gov_alloc *alloc,
                        gov_error *err)
{
    static const char *const names[LAYERS] = {"a", "b", "c", "d"};
    struct gov_policy_layer layers[LAYERS];
    size_t count = 0;

    for (; count < LAYERS && texts[count] != NULL; count++)
        layers[count] = (struct gov_policy_layer){names[count], texts[count],
                                                  strlen(texts[count])};
    if (told != NULL)
        memset(told, 0, sizeof(*told));
    memset(err, 0, sizeof(*err));
    return gov_policy_build(out, layers, count, told != NULL ? on_flaw : NULL,
                            told, alloc, err);
}

/* The policy as a line: rules with where they are from, steps, base. */
static void describe(const gov_policy *policy, char *out, size_t bytes)
{
    size_t used = 0;

    for (size_t i = 0; i < policy->count; i++) {
        const struct gov__rule *rule = &policy->list[i];

        used +=
            (size_t)snprintf(out + used, bytes - used, "%s=%s:%u ", rule->name,
                             policy->files[rule->at.file], rule->at.line);
    }
    used += (size_t)snprintf(out + used, bytes - used, "|");
    for (uint32_t i = 0; i < policy->step_count; i++) {
        const struct gov__ladder_entry *e = &policy->steps[i];

        used += (size_t)snprintf(out + used, bytes - used, " %s=%s:%u",
                                 e->step.action, policy->files[e->at.file],
                                 e->at.line);
    }
    used += (size_t)snprintf(out + used, bytes - used, " | %s", policy->base);
    ck_assert_uint_lt(used, bytes);
}

#define V "version: 1\n"
#define NONE V "base: none\n"
/* A rule on a line of its own. */
#define R(name) "  - {name: " name ", then: {hot: 1 %}, because: x}\n"
#define OFF(name) "  - {name: " name ", off: true}\n"
#define S(action) "  - {action: " action ", from: warn}\n"
#define NOSTEP(action) "  - {action: " action ", off: true}\n"

static const struct {
    const char *name, *texts[LAYERS], *want;
} merges[] = {
    {"alone", {NONE "rules:\n" R("x") R("y")}, "x=a:4 y=a:5 | | none"},
    {"new ones go before what is below, in their own order",
     {NONE "rules:\n" R("x") R("y"), V "rules:\n" R("p") R("q")},
     "p=b:3 q=b:4 x=a:4 y=a:5 | | none"},
    {"one of the same name takes its place",
     {NONE "rules:\n" R("x") R("y") R("z"), V "rules:\n" R("p") R("y")},
     "p=b:3 x=a:4 y=b:4 z=a:6 | | none"},
    {"off takes away",
     {NONE "rules:\n" R("x") R("y"), V "rules:\n" OFF("x") R("p")},
     "p=b:4 y=a:5 | | none"},
    {"what was taken away comes back as new",
     {NONE "rules:\n" R("x") R("y"), V "rules:\n" OFF("y"),
      V "rules:\n" R("y")},
     "y=c:3 x=a:4 | | none"},
    {"all are taken away",
     {NONE "rules:\n" R("x"), V "rules:\n" OFF("x")},
     "| | none"},
    {"three layers",
     {NONE "rules:\n" R("x") R("y"), V "rules:\n" R("p") R("x"),
      V "rules:\n" R("q") R("x") OFF("p")},
     "q=c:3 x=c:4 y=a:5 | | none"},
    {"the ladder is laid as rules are",
     {NONE "ladder:\n" S("k") S("l") S("m*"),
      V "ladder:\n" S("n") S("l") NOSTEP("k"), V "ladder:\n" S("m*") S("k")},
     "| k=c:4 n=b:3 l=b:4 m*=c:3 | none"},
    {"base: none leaves out what is below",
     {V "rules:\n" R("x"), NONE "rules:\n" R("y"), V "rules:\n" R("z")},
     "z=c:3 y=b:4 | | none"},
    {"the topmost base: none counts",
     {NONE "rules:\n" R("x"), NONE "rules:\n" R("y")},
     "y=b:4 | | none"},
    {"nothing at all", {NONE}, "| | none"},
};

START_TEST(lays_over)
{
    gov_policy *policy = NULL;
    struct told told;
    gov_error err;
    char got[1024];

    ck_assert_msg(build(&policy, merges[_i].texts, &told, NULL, &err) == GOV_OK,
                  "%s: %s", merges[_i].name, err.message);
    ck_assert_uint_eq(told.errors, 0);
    ck_assert_str_eq(err.message, "");
    describe(policy, got, sizeof(got));
    ck_assert_msg(strcmp(got, merges[_i].want) == 0, "%s\ngot:  %s\nwant: %s",
                  merges[_i].name, got, merges[_i].want);
    gov_policy_free(policy);
}
END_TEST

/* ---- what is shipped ---- */

static size_t shipped_rules(const char *name)
{
    struct gov_policy_layer layer = {name, NULL, 0};
    gov_policy *policy = NULL;
    gov_error err;
    size_t count;

    layer.text = gov_policy_shipped(name, &layer.bytes);
    ck_assert_ptr_nonnull(layer.text);
    ck_assert_uint_eq(layer.bytes, strlen(layer.text));
    ck_assert_msg(
        gov_policy_build(&policy, &layer, 1, NULL, NULL, NULL, &err) == GOV_OK,
        "%s", err.message);
    count = gov_policy_rules(policy);
    gov_policy_free(policy);
    return count;
}

static const struct {
    const char *texts[LAYERS], *base, *bottom;
} bases[] = {
    {{NULL}, "balanced", "balanced"},
    {{V}, "balanced", "balanced"},
    {{V "base: balanced\n"}, "balanced", "balanced"},
    {{V "base: frugal\n"}, "frugal", "balanced"},
    {{V "base: server\n", V "base: frugal\n"}, "frugal", "balanced"},
    {{V "base: server\n", V}, "server", "balanced"},
    {{V "base: server\n", NONE}, "none", "b"},
    {{NONE, V "base: responsive\n"}, "responsive", "balanced"},
};

START_TEST(lies_over_what_is_shipped)
{
    gov_policy *policy = NULL;
    struct told told;
    gov_error err;

    ck_assert_msg(build(&policy, bases[_i].texts, &told, NULL, &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_str_eq(told.lines, "");
    ck_assert_str_eq(policy->base, bases[_i].base);
    ck_assert_str_eq(policy->files[0], bases[_i].bottom);
    if (strcmp(bases[_i].base, "none") != 0)
        ck_assert_uint_eq(gov_policy_rules(policy),
                          shipped_rules(bases[_i].base));
    else
        ck_assert_uint_eq(gov_policy_rules(policy), 0);
    gov_policy_free(policy);
}
END_TEST

/* A layer below `base: none` is left out even where a later one names a base. */
START_TEST(none_leaves_out_for_good)
{
    static const char *const texts[LAYERS] = {
        V "rules:\n" R("x"), NONE "rules:\n" R("y"), V "base: balanced\n"};
    gov_policy *policy = NULL;
    gov_error err;

    ck_assert_int_eq(build(&policy, texts, NULL, NULL, &err), GOV_OK);
    ck_assert_str_eq(policy->list[0].name, "y");
    ck_assert_uint_eq(gov_policy_rules(policy), shipped_rules("balanced") + 1);
    ck_assert_uint_eq(policy->file_count, 3);
    gov_policy_free(policy);
}
END_TEST

START_TEST(shipped_texts)
{
    size_t count = 0, bytes = 7;
    const char *const *names = gov_policy_shipped_names(&count);

    ck_assert_uint_eq(count, 4);
    ck_assert_str_eq(names[0], "balanced");
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_ge(shipped_rules(names[i]), 1);
    ck_assert_ptr_null(gov_policy_shipped("none", &bytes));
    ck_assert_ptr_null(gov_policy_shipped(NULL, NULL));
    ck_assert_uint_eq(bytes, 7);
    ck_assert_ptr_nonnull(gov_policy_shipped("server", NULL));
}
END_TEST

/* ---- figures ---- */

#define LEVELS(text) "levels: {" text "}\n"

START_TEST(figures_key_by_key)
{
    static const char *const texts[LAYERS] = {
        NONE LEVELS("window: 1 s, warn_stall: 20 %") "regrow: {after: 1 s}\n",
        V LEVELS("warn_stall: 30 %, calm: 7 s"), V "regrow: {every: 9 s}\n"};
    gov_policy *policy = NULL;
    struct gov_level_rules levels, usual;
    struct gov_relief_rules relief;
    gov_error err;

    gov_level_rules_default(&usual);
    ck_assert_int_eq(build(&policy, texts, NULL, NULL, &err), GOV_OK);
    gov_policy_levels(policy, &levels);
    ck_assert_uint_eq(levels.window_ms, 1000);
    ck_assert_uint_eq(levels.warn_some_permille, 300);
    ck_assert_uint_eq(levels.calm_ms, 7000);
    ck_assert_uint_eq(levels.warn_headroom_permille,
                      usual.warn_headroom_permille);
    gov_policy_relief(policy, &relief);
    ck_assert_uint_eq(relief.regrow.after_ms, 1000);
    ck_assert_uint_eq(relief.regrow.every_ms, 9000);
    ck_assert_str_eq(policy->files[policy->figures[0].at.file], "a");
    ck_assert_str_eq(policy->files[policy->figures[2].at.file], "b");
    ck_assert_uint_eq(policy->figures[2].at.line, 2);
    ck_assert_uint_eq(policy->figures[2].at.column, 22);
    ck_assert_str_eq(policy->files[policy->figures[17].at.file], "c");
    gov_policy_free(policy);
}
END_TEST

/* Exits in permille: of both stalls, then of both headrooms. */
static const struct {
    const char *name, *texts[LAYERS];
    uint32_t exits[4];
    const char *from[4]; /* where they are said; NULL: built in */
} exits[] = {
    {"of a shipped policy",
     {V LEVELS("warn_headroom: 15 %") "base: responsive\n"},
     {30, 20, 225, 50},
     {NULL, NULL, "a:2", "responsive:46"}},
    {"of the defaults",
     {NONE LEVELS("warn_stall: 1 %, critical_stall: 100 %,\n"
                  "warn_headroom: 15 %, critical_headroom: 4 %")},
     {4, 400, 200, 64},
     {"a:3", "a:3", "a:4", "a:4"}},
    {"no more than can be left",
     {NONE LEVELS("warn_headroom: 80 %")},
     {30, 20, 900, 80},
     {NULL, NULL, "a:3", NULL}},
    {"of a layer below, rounded",
     {NONE LEVELS("warn_headroom: 20 %, warn_headroom_exit: 30 %"),
      V LEVELS("warn_headroom: 30.1 %")},
     {30, 20, 452, 80},
     {NULL, NULL, "b:2", NULL}},
    {"one that is given stays",
     {NONE LEVELS("warn_headroom: 20 %, warn_headroom_exit: 21 %")},
     {30, 20, 210, 80},
     {NULL, NULL, "a:3", NULL}},
    {"one that contradicts what is below has no proportion",
     {NONE LEVELS("warn_headroom_exit: 7 %, warn_stall_exit: 8 %"),
      V LEVELS("warn_headroom: 6 %, warn_stall: 9 %")},
     {80, 20, 70, 80},
     {"a:3", NULL, "a:3", NULL}},
    {"from nothing, it is at the entry",
     {NONE LEVELS("critical_headroom: 0 %"),
      V LEVELS("critical_headroom: 3 %")},
     {30, 20, 160, 30},
     {NULL, NULL, NULL, "b:2"}},
};

static void add_line(void *ctx, const char *text, const char *file, size_t line)
{
    struct told *told = ctx;

    (void)file, (void)line;
    told->used +=
        (size_t)snprintf(told->lines + told->used,
                         sizeof(told->lines) - told->used, "%s\n", text);
    ck_assert_uint_lt(told->used, sizeof(told->lines));
}

static void check_exits(const gov_policy *policy, const uint32_t want[4])
{
    struct gov_level_rules levels;

    gov_policy_levels(policy, &levels);
    ck_assert_uint_eq(levels.warn_some_exit_permille, want[0]);
    ck_assert_uint_eq(levels.critical_full_exit_permille, want[1]);
    ck_assert_uint_eq(levels.warn_headroom_exit_permille, want[2]);
    ck_assert_uint_eq(levels.critical_headroom_exit_permille, want[3]);
}

/* So does that of refaults; a rule that is switched off is left at once. */
START_TEST(the_exit_of_refaults_follows)
{
    static const char *const keys[] = {
        "levels: { warn_refault: 4 % }\n", "levels: { warn_refault: 0 % }\n",
        "levels: { warn_refault: 4 %, warn_refault_exit: 1 % }\n"};
    static const uint32_t want[] = {20, 0, 10};
    struct gov_level_rules levels;
    gov_policy *policy = NULL;
    char text[128];
    gov_error err;

    snprintf(text, sizeof(text), "version: 1\n%s", keys[_i]);
    ck_assert_int_eq(
        gov_policy_parse(&policy, text, strlen(text), "f", NULL, &err), GOV_OK);
    gov_policy_levels(policy, &levels);
    ck_assert_uint_eq(levels.warn_refault_exit_permille, want[_i]);
    gov_policy_free(policy);
}
END_TEST

/* An exit that is not said where its entry is keeps its proportion to it. */
START_TEST(exits_follow)
{
    gov_policy *policy = NULL, *again = NULL;
    struct told shown = {.used = 0};
    gov_error err;

    ck_assert_msg(build(&policy, exits[_i].texts, NULL, NULL, &err) == GOV_OK,
                  "%s: %s", exits[_i].name, err.message);
    check_exits(policy, exits[_i].exits);
    for (size_t i = 0; i < 4; i++) {
        const struct gov__figure_value *figure = &policy->figures[3 + 2 * i];
        char from[64] = "";

        if (figure->set)
            snprintf(from, sizeof(from), "%s:%u",
                     policy->files[figure->at.file], figure->at.line);
        ck_assert_str_eq(from,
                         exits[_i].from[i] != NULL ? exits[_i].from[i] : "");
    }
    gov_policy_show(policy, add_line, &shown);
    ck_assert_int_eq(
        gov_policy_parse(&again, shown.lines, shown.used, "shown", NULL, &err),
        GOV_OK);
    check_exits(again, exits[_i].exits);
    gov_policy_free(again);
    gov_policy_free(policy);
    if (exits[_i].texts[1] == NULL && _i > 0) { /* one text alone */
        ck_assert_int_eq(gov_policy_parse(&again, exits[_i].texts[0],
                                          strlen(exits[_i].texts[0]), "f", NULL,
                                          &err),
                         GOV_OK);
        check_exits(again, exits[_i].exits);
        gov_policy_free(again);
    }
}
END_TEST

/* ---- what is told ---- */

static const struct {
    const char *name, *texts[LAYERS], *told;
} flaws[] = {
    /* figures that make no sense together */
    {"an exit above its entry, in one file",
     {NONE LEVELS("warn_stall: 5 %, warn_stall_exit: 6 %")},
     "a:3:44: warn_stall_exit is 6 %, more than warn_stall, which is 5 % in "
     "line 3"},
    {"the other way round",
     {NONE LEVELS("warn_stall_exit: 6 %, warn_stall: 5 %")},
     "a:3:44: warn_stall is 5 %, less than warn_stall_exit, which is 6 % in "
     "line 3"},
    {"the one further down is told, whatever its column",
     {NONE "levels:\n     warn_stall: 5 %\n"
           "regrow: {after: 1 s}\n",
      V "levels:\n  warn_headroom: 30 %\n  warn_headroom_exit: 20 %\n"},
     "b:4:23: warn_headroom_exit is 20 %, less than warn_headroom, which is "
     "30 % in line 3"},
    {"the same the other way round",
     {NONE "levels: {         warn_headroom_exit: 20 %,\n"
           "  warn_headroom: 30 %}\n"},
     "a:4:18: warn_headroom is 30 %, more than warn_headroom_exit, which is "
     "20 % in line 3"},
    {"fill above what is built in",
     {NONE LEVELS("warn_fill: 300 ms")},
     "a:3:21: warn_fill is 300 ms, less than critical_fill, which is 400 ms by "
     "default"},
    {"fill below what is built in",
     {NONE LEVELS("critical_fill: 2 s")},
     "a:3:25: critical_fill is 2 s, more than warn_fill, which is 1500 ms by "
     "default"},
    {"refaults",
     {NONE LEVELS("warn_refault_exit: 2 %")},
     "a:3:29: warn_refault_exit is 2 %, more than warn_refault, which is 1 % "
     "by default"},
    {"beside the default",
     {NONE LEVELS("critical_stall_exit: 6 %")},
     "a:3:31: critical_stall_exit is 6 %, more than critical_stall, which is "
     "5 % by default"},
    {"beside another layer",
     {NONE LEVELS("warn_headroom: 20 %, warn_headroom_exit: 30 %"),
      V LEVELS("warn_headroom_exit: 19.9 %")},
     "b:2:30: warn_headroom_exit is 19.9 %, less than warn_headroom, which is "
     "20 % in a:3"},
    {"two at once, and one of each layer",
     {NONE LEVELS("critical_headroom_exit: 4 %"),
      V LEVELS("warn_headroom: 2 %")},
     "a:3:34: critical_headroom_exit is 4 %, less than critical_headroom, "
     "which is 5 % by default\n"
     "b:2:25: warn_headroom is 2 %, less than critical_headroom, which is 5 % "
     "by default"},
    /* mistakes of all layers, in order, those that are left out included */
    {"all layers are read",
     {V "rules: 7\nbase: x\n", NONE "ladder: 7\n", "version: 3\n"},
     "a:2:8: rules is a list; each one begins with \"- name:\"\n"
     "a:3:7: base cannot be \"x\"; write balanced, responsive, frugal, server "
     "or none\n"
     "b:3:9: ladder is a list; each one begins with \"- action:\"\n"
     "c:1:10: version is \"3\"; this governor reads version 1"},
    {"no figures are compared beside a mistake",
     {V LEVELS("warn_stall: 1 %"), "[\n"},
     "b:1:1: a policy file is a mapping: version and what it is\n"
     "b:1:2: did not find expected node content while parsing a flow node"},
    /* off that takes nothing away */
    {"off of nothing",
     {NONE "rules:\n" R("small-device") OFF("y"),
      V "rules:\n" OFF("small-devcie") "ladder:\n" NOSTEP("kv.*")},
     "warning a:5:12: y: off takes nothing away: no rule below has this name\n"
     "warning b:3:12: small-devcie: off takes nothing away: no rule below has "
     "this name; did you mean small-device?\n"
     "warning b:5:14: ladder kv.*: off takes nothing away: no step below has "
     "this name"},
    {"the nearest name is what was meant, not the first that is near",
     {NONE "rules:\n" R("fiat") R("fits"), V "rules:\n" OFF("fitz")},
     "warning a:5:12: fits: fiat before it always matches and leaves it "
     "nothing\n"
     "warning b:3:12: fitz: off takes nothing away: no rule below has this "
     "name; did you mean fits?"},
    {"what is left out takes nothing away, and nobody minds",
     {V "rules:\n" OFF("y"), NONE},
     ""},
    {"off of a rule that is off already",
     {NONE "rules:\n" R("x"), V "rules:\n" OFF("x"), V "rules:\n" OFF("x")},
     "warning c:3:12: x: off takes nothing away: no rule below has this name"},
    /* rules that say nothing, of the given layers alone */
    {"a rule that cannot match",
     {V
      "rules:\n  - {name: never, when: device.ram < 1 B and device.ram > 2 B, "
      "then: {hot: 1 %}, because: x}\n"},
     "warning a:3:12: never: what it demands of device.ram cannot all be true"},
    {"no warnings beside an error",
     {V "rules:\n" OFF("y"), V "rules: 7\n"},
     "b:2:8: rules is a list; each one begins with \"- name:\""},
};

START_TEST(tells)
{
    gov_policy *policy = NULL;
    struct told told;
    gov_error err;
    gov_status status =
        build(&policy, flaws[_i].texts, &told, faults_alloc(), &err);

    ck_assert_msg(strcmp(told.lines, flaws[_i].told) == 0,
                  "%s\ngot:\n%s\nwant:\n%s", flaws[_i].name, told.lines,
                  flaws[_i].told);
    ck_assert_int_eq(status, told.errors > 0 ? GOV_E_FORMAT : GOV_OK);
    ck_assert((status == GOV_OK) == (policy != NULL));
    if (told.errors > 0)
        ck_assert_int_eq(
            strncmp(err.message, told.lines, strcspn(told.lines, "\n")), 0);
    else
        ck_assert_str_eq(err.message, "");
    gov_policy_free(policy);
    /* Nobody listens: the same. */
    ck_assert_int_eq(
        build(&policy, flaws[_i].texts, NULL, faults_alloc(), &err), status);
    gov_policy_free(policy);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* The figures of one text alone are compared, too. */
START_TEST(parse_compares_figures)
{
    static const char text[] = V LEVELS("warn_stall_exit: 8 %");
    gov_policy *policy = NULL;
    gov_error err;

    ck_assert_int_eq(gov_policy_parse(&policy, text, sizeof(text) - 1, "f",
                                      faults_alloc(), &err),
                     GOV_E_FORMAT);
    ck_assert_ptr_null(policy);
    ck_assert_str_eq(err.message,
                     "f:2:27: warn_stall_exit is 8 %, more than warn_stall, "
                     "which is 7 % by default");
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* ---- limits ---- */

/* `count` rules from number `first` on. */
static char *many_rules(const char *head, int first, int count)
{
    size_t room = 256 + (size_t)count * 160, used;
    char *text = malloc(room);

    ck_assert_ptr_nonnull(text);
    used = (size_t)snprintf(text, room, "%srules:\n", head);
    for (int i = first; i < first + count; i++)
        used += (size_t)snprintf(text + used, room - used,
                                 "  - name: rule-%d\n"
                                 "    when: device.ram <= %d MiB and not "
                                 "model.moe\n"
                                 "    then: {strategy: heap, context: 4096}\n"
                                 "    because: reason number %d\n",
                                 i, i + 1, i);
    return text;
}

START_TEST(too_many_rules)
{
    char *below = many_rules(NONE, 0, 1000), *above = many_rules(V, 990, 34);
    char *more = many_rules(V, 990, 35);
    const char *texts[LAYERS] = {below, above};
    gov_policy *policy = NULL;
    struct told told;
    gov_error err;

    ck_assert_int_eq(build(&policy, texts, &told, NULL, &err), GOV_OK);
    ck_assert_uint_eq(gov_policy_rules(policy), 1024);
    ck_assert_str_eq(policy->list[0].name, "rule-1000");
    ck_assert_str_eq(policy->list[1023].name, "rule-999");
    ck_assert_str_eq(policy->files[policy->list[1023].at.file], "b");
    gov_policy_free(policy);
    texts[1] = more;
    ck_assert_int_eq(build(&policy, texts, &told, faults_alloc(), &err),
                     GOV_E_FORMAT);
    ck_assert_str_eq(told.lines, "b:139:11: rule-1024: more than 1024 rules, "
                                 "with the 1000 that this file lies over");
    ck_assert_str_eq(err.message, "b:139:11: more than 1024 rules, with the "
                                  "1000 that this file lies over");
    ck_assert_int_eq(faults_live_blocks(), 0);
    free(below);
    free(above);
    free(more);
}
END_TEST

static void many_steps(char *out, size_t bytes, const char *head, char first,
                       int count)
{
    size_t used = (size_t)snprintf(out, bytes, "%sladder:\n", head);

    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(out + used, bytes - used,
                                 "  - {action: %c%d}\n", first, i);
}

START_TEST(too_many_steps)
{
    char below[2048], above[2048];
    const char *texts[LAYERS] = {below, above};
    gov_policy *policy = NULL;
    struct gov_relief_rules relief;
    struct told told;
    gov_error err;

    many_steps(below, sizeof(below), NONE, 'k', 30);
    many_steps(above, sizeof(above), V, 'l', 2);
    ck_assert_int_eq(build(&policy, texts, &told, NULL, &err), GOV_OK);
    gov_policy_relief(policy, &relief);
    ck_assert_uint_eq(relief.count, 32);
    ck_assert_str_eq(relief.step[0].action, "l0");
    ck_assert_str_eq(relief.step[31].action, "k29");
    gov_policy_free(policy);
    many_steps(above, sizeof(above), V, 'l', 4);
    ck_assert_int_eq(build(&policy, texts, &told, faults_alloc(), &err),
                     GOV_E_FORMAT);
    ck_assert_str_eq(told.lines, "b:5:14: ladder l2: more than 32 steps, with "
                                 "the 30 that this file lies over");
    ck_assert_int_eq(faults_live_blocks(), 0);
    many_steps(below, sizeof(below), V, 'k', 33);
    texts[1] = NULL;
    ck_assert_int_eq(build(&policy, texts, &told, NULL, &err), GOV_E_FORMAT);
    ck_assert_str_eq(told.lines, "a:35:5: more than 32 steps");
}
END_TEST

START_TEST(too_many_layers)
{
    struct gov_policy_layer layers[GOV_POLICY_LAYERS + 1];
    gov_policy *policy = (gov_policy *)layers;
    gov_error err;

    for (size_t i = 0; i < COUNT_OF(layers); i++)
        layers[i] = (struct gov_policy_layer){"x", V, strlen(V)};
    ck_assert_int_eq(
        gov_policy_build(&policy, layers, 7, NULL, NULL, faults_alloc(), &err),
        GOV_OK);
    ck_assert_uint_eq(policy->file_count, 8);
    gov_policy_free(policy);
    ck_assert_int_eq(
        gov_policy_build(&policy, layers, 8, NULL, NULL, faults_alloc(), &err),
        GOV_E_INVALID);
    ck_assert_ptr_null(policy);
    ck_assert_str_eq(err.message,
                     "8 policies over 1 shipped ones are more than "
                     "8; leave one out");
    ck_assert_int_eq(
        gov_policy_build(&policy, layers, 9, NULL, NULL, faults_alloc(), &err),
        GOV_E_INVALID);
    ck_assert_ptr_null(policy);
    ck_assert_str_eq(err.message,
                     "a policy is made of 8 texts at most, and not "
                     "of NULL; leave some out");
    ck_assert_int_eq(
        gov_policy_build(&policy, NULL, 1, NULL, NULL, faults_alloc(), NULL),
        GOV_E_INVALID);
    /* With base: none all eight have room; a name of NULL is none. */
    layers[0] = (struct gov_policy_layer){NULL, NONE, strlen(NONE)};
    ck_assert_int_eq(
        gov_policy_build(&policy, layers, 8, NULL, NULL, faults_alloc(), &err),
        GOV_OK);
    ck_assert_str_eq(policy->files[0], "policy");
    gov_policy_free(policy);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* A thousand rules over the shipped ones, in less than 20 ms where nothing is
 * instrumented; measured 8 ms. */
START_TEST(a_thousand_rules)
{
    char *text = many_rules(V, 0, 1000);
    const char *texts[LAYERS] = {text};
    gov_policy *policy = NULL;
    struct timespec a, b;
    double best = 1e9;
    gov_error err;

    for (int i = 0; i < 5; i++) {
        double ms;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
        ck_assert_int_eq(build(&policy, texts, NULL, NULL, &err), GOV_OK);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
        ms = (double)(b.tv_sec - a.tv_sec) * 1e3 +
             (double)(b.tv_nsec - a.tv_nsec) / 1e6;
        best = ms < best ? ms : best;
        gov_policy_free(policy);
    }
    printf("a thousand rules over the shipped ones: %.1f ms\n", best);
    ck_assert_msg(best < 1000, "%f ms", best);
    free(text);
}
END_TEST

/* ---- without memory ---- */

static const struct {
    const char *name, *texts[LAYERS];
} memories[] = {
    {"three layers",
     {V "base: frugal\nrules:\n" R("x") R("y") "ladder:\n" S("k"),
      V "rules:\n  - {name: z, when: model.moe, then: {strategy: refuse, "
        "instead: i}, because: x}\n" OFF("x"),
      V "rules:\n  - {name: y, then: {warning: w}, because: z}\n" OFF("gone")}},
    {"mistakes", {V "rules: 7\n", NONE "ladder: 7\n", V "x: y\n"}},
    {"figures", {NONE LEVELS("warn_stall_exit: 8 %")}},
    {"too many steps", {NULL}},
};

/* Every allocation fails in turn, once (odd) and for good. */
START_TEST(no_memory)
{
    char below[2048], above[2048];
    const char *texts[LAYERS];
    bool forever = _i % 2 == 0;
    gov_policy *policy = NULL;
    struct told told;
    gov_error err;
    gov_status clean;
    uint64_t calls;

    memcpy(texts, memories[_i / 2].texts, sizeof(texts));
    if (texts[0] == NULL) {
        many_steps(below, sizeof(below), NONE, 'k', 30);
        many_steps(above, sizeof(above), V, 'l', 3);
        texts[0] = below;
        texts[1] = above;
    }
    faults_reset();
    clean = build(&policy, texts, &told, faults_alloc(), &err);
    gov_policy_free(policy);
    calls = faults_count();
    ck_assert_int_gt((int)calls, 3);
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        faults_arm(n, forever);
        policy = NULL;
        status = build(&policy, texts, &told, faults_alloc(), &err);
        faults_disarm();
        ck_assert_msg(status == GOV_E_NOMEM, "%s: fault %d was swallowed: %d",
                      memories[_i / 2].name, (int)n, (int)status);
        ck_assert_int_eq(err.status, GOV_E_NOMEM);
        ck_assert_int_eq(strncmp(err.message, "no memory ", 10), 0);
        ck_assert_ptr_null(policy);
        ck_assert_int_eq(faults_live_blocks(), 0);
    }
    ck_assert_int_eq(clean, _i < 2 ? GOV_OK : GOV_E_FORMAT);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("policy_merge");
    TCase *t = tcase_create("layers");

    tcase_add_loop_test(t, lays_over, 0, (int)COUNT_OF(merges));
    tcase_add_loop_test(t, lies_over_what_is_shipped, 0, (int)COUNT_OF(bases));
    tcase_add_test(t, none_leaves_out_for_good);
    tcase_add_test(t, shipped_texts);
    tcase_add_test(t, figures_key_by_key);
    tcase_add_loop_test(t, the_exit_of_refaults_follows, 0, 3);
    tcase_add_loop_test(t, exits_follow, 0, (int)COUNT_OF(exits));
    tcase_add_loop_test(t, tells, 0, (int)COUNT_OF(flaws));
    tcase_add_test(t, parse_compares_figures);
    tcase_add_test(t, too_many_rules);
    tcase_add_test(t, too_many_steps);
    tcase_add_test(t, too_many_layers);
    tcase_add_test(t, a_thousand_rules);
    tcase_add_loop_test(t, no_memory, 0, 2 * (int)COUNT_OF(memories));
    suite_add_tcase(s, t);
    return s;
}
