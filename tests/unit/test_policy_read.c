/* SPDX-License-Identifier: MIT */
/* Policy files: what is read, what is refused and with which words, where the
 * caret stands, and what happens without memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policies/language/words_priv.h"
#include "policies/rules/policy_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* A file with one rule; its first line is line 3, column 5. */
#define RULE(lines) "version: 1\nrules:\n  - " lines "\n"
#define NAMED(lines) RULE("name: a\n    " lines)
/* A condition begins at line 4, column 11. */
#define WHEN(when)                                                             \
    NAMED("when: " when "\n    then: {strategy: heap}\n    because: b")
#define THEN(then) NAMED("because: b\n    then: " then)

static gov_status parse(gov_policy **out, const char *text, gov_error *err)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + 1); /* exact, for the sanitizer */
    gov_status status;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, bytes);
    memset(err, 0, sizeof(*err));
    status = gov_policy_parse(out, bytes > 0 ? copy : NULL, bytes, "f.yaml",
                              NULL, err);
    free(copy);
    return status;
}

/* What was told, as lines "LINE:COLUMN: sentence". */
struct told {
    char lines[16384];
    size_t used;
    size_t count;
};

static void on_flaw(void *ctx, const struct gov_flaw *flaw)
{
    struct told *told = ctx;

    ck_assert(!flaw->warning);
    ck_assert_str_eq(flaw->file, "f.yaml");
    told->used += (size_t)snprintf(told->lines + told->used,
                                   sizeof(told->lines) - told->used,
                                   "%s%zu:%zu: %s", told->count > 0 ? "\n" : "",
                                   flaw->line, flaw->column, flaw->sentence);
    ck_assert_uint_lt(told->used, sizeof(told->lines));
    told->count++;
}

static gov_status read_all(const char *text, size_t bytes, struct told *told,
                           gov_error *err)
{
    const struct gov_policy_layer layer = {"f.yaml", text, bytes};
    struct gov__flaws flaws = {on_flaw, told, 0};
    gov_policy *policy = NULL;
    gov_status status;

    memset(told, 0, sizeof(*told));
    memset(err, 0, sizeof(*err));
    status =
        gov__policy_read(&policy, &layer, &flaws, gov_alloc_default(), err);
    ck_assert(status == GOV_OK || policy == NULL);
    ck_assert_uint_eq(flaws.errors, told->count);
    gov_policy_free(policy);
    return status;
}

static const struct {
    const char *text;
    size_t count;
} good[] = {
    {"version: 1\n", 0},
    {"version: 1\nlevels: {}\nladder: []\nregrow: {}\nbase: none\n", 0},
    {RULE("{name: a, off: true}"), 0},
    {THEN("{warm_rate: 1 MiB, gpu_layers: 0, sequences: 1}"), 1},
    {THEN("{gpu_layers: 65535, hold: spread, warm: none}"), 1},
    {THEN("{advise_load: normal, hold: first, warm: use}"), 1},
    {THEN("{strategy: refuse, instead: less}"), 1},
    {"version: 1\nlevels: {warn_stall: 0.1 %, warn_stall_exit: 0.1 %}\n", 0},
    {"version: 1\nrules: []\n", 0},
    {"rules: []\nversion: \"1\"\n", 0},
    {"---\nversion: 1\nrules: []\n...\n", 0},
    {"# a comment\nversion: 1 # and one\nrules: [] # \xe2\x82\xac\n", 0},
    {"{version: 1, rules: [{name: a, then: {warn: true}, because: b}]}", 1},
    {"\xEF\xBB\xBFversion: 1\nrules: []\n", 0},
    {"version: 1\r\nrules:\r\n  - name: a\r\n    then: {strategy: mmap}\r\n"
     "    because: b\r\n",
     1},
    {WHEN("true"), 1},
    {WHEN("'device.os == ''linux'''"), 1},
    {WHEN("\"device.os == \\\"linux\\\"\""), 1},
    {WHEN("|\n      true\n      and true\n"), 1},
    {WHEN(">-\n      true\n\n      and true\n"), 1},
    {WHEN("model.encrypted and\n      model.moe"), 1},
    {THEN("{strategy: hybrid, kv_type: q8_0, context: 2147483647, warn: false, "
          "hot: 12.5 %, ahead: 16}"),
     1},
    {THEN("{strategy: heap, repack: true}"), 1},
    {THEN("{strategy: mmap, repack: false}"), 1},
    {THEN("{strategy: refuse}\n    unknown: no-match"), 1},
    {THEN("{strategy: refuse}\n    unknown: match"), 1},
    {RULE("name: a\n    then: {warn: true}\n    because: b\n"
          "  - name: 'b-2'\n    then: {warn: true}\n    because: >\n"
          "      folded\n      text"),
     2},
};

START_TEST(reads)
{
    gov_policy *rules = NULL;
    gov_error err;

    ck_assert_msg(parse(&rules, good[_i].text, &err) == GOV_OK, "%s: %s",
                  good[_i].text, err.message);
    ck_assert_uint_eq(gov_policy_rules(rules), good[_i].count);
    ck_assert_str_eq(err.message, "");
    gov_policy_free(rules);
}
END_TEST

START_TEST(reads_what_stands_there)
{
    static const char text[] =
        "version: 1\n"
        "rules:\n"
        "  - name: a\n"
        "    because: \"two  lines\n\n      of text\"\n"
        "    when: device.ram <= 4 GiB\n"
        "    then:\n"
        "      strategy: heap\n"
        "      kv_type: q8_0\n"
        "      context: 1234\n"
        "      repack: false\n"
        "      warn: true\n"
        "      hot: 40 %\n"
        "      ahead: 3\n"
        "      hold: dense\n"
        "      anchor: true\n"
        "      direct: true\n"
        "      warm: file\n"
        "      warm_rate: 100 MiB\n"
        "      advise_load: sequential\n"
        "      advise_pass: random\n"
        "      gpu_layers: 12\n"
        "      sequences: 256\n"
        "      warning: >\n"
        "        slow\n"
        "        disk\n"
        "  - { name: b, then: { strategy: refuse, instead: 'less, ''e.g.''' },"
        " because: c, unknown: no-match }\n"
        "  - { name: c, then: { kv_type: f16, gpu_layers: all }, because: c }\n"
        "  - name: d\n"
        "    off: true\n";
    static const int64_t want[GOV__SETTINGS] = {
        [GOV__SET_KV_TYPE] = GOV_KV_Q8_0,
        [GOV__SET_CONTEXT] = 1234,
        [GOV__SET_REPACK] = 0,
        [GOV__SET_WARN] = 1,
        [GOV__SET_HOT] = 400000,
        [GOV__SET_AHEAD] = 3,
        [GOV__SET_HOLD] = GOV_HOLD_DENSE,
        [GOV__SET_ANCHOR] = 1,
        [GOV__SET_DIRECT] = 1,
        [GOV__SET_WARM] = GOV_WARM_FILE,
        [GOV__SET_WARM_RATE] = INT64_C(100) << 20,
        [GOV__SET_ADVISE_LOAD] = GOV_ADVICE_SEQUENTIAL,
        [GOV__SET_ADVISE_PASS] = GOV_ADVICE_RANDOM,
        [GOV__SET_GPU_LAYERS] = 12,
        [GOV__SET_SEQUENCES] = 256,
        [GOV__SET_WARNING] = 1,
    };
    const struct gov_policy_layer layer = {"f.yaml", text, sizeof(text) - 1};
    struct gov__flaws flaws = {NULL, NULL, 0};
    gov_policy *rules = NULL;
    const struct gov__rule *rule;
    gov_error err;

    ck_assert_msg(gov__policy_read(&rules, &layer, &flaws, gov_alloc_default(),
                                   &err) == GOV_OK,
                  "%s", err.message);
    rule = &rules->list[0];
    ck_assert_str_eq(rule->name, "a");
    ck_assert_uint_eq(rule->at.file, 0);
    ck_assert_uint_eq(rule->at.line, 3);
    ck_assert_uint_eq(rule->at.column, 11);
    ck_assert_str_eq(rules->files[0], "f.yaml");
    ck_assert_str_eq(rule->because, "two  lines of text");
    ck_assert_uint_eq(rule->because_line, 4);
    ck_assert_int_eq(rule->strategy, GOV_STRATEGY_HEAP);
    ck_assert_uint_eq(rule->strategy_line, 9);
    ck_assert_ptr_nonnull(rule->when);
    ck_assert_uint_eq(rule->when_line, 7);
    ck_assert(!rule->unknown_matches);
    ck_assert_uint_eq(rule->unknown_line, 0);
    for (int i = 0; i < GOV__SETTINGS; i++) {
        ck_assert_msg(rule->set[i], "setting %d", i);
        ck_assert_int_eq(rule->value[i], want[i]);
        ck_assert_uint_eq(rule->set_line[i], 10 + (unsigned)i);
    }
    ck_assert_str_eq(rule->warning, "slow disk");
    ck_assert_ptr_null(rule->instead);
    rule = &rules->list[1];
    ck_assert(!rule->unknown_matches);
    ck_assert_uint_eq(rule->unknown_line, 28);
    ck_assert_uint_eq(rule->instead_line, 28);
    ck_assert_str_eq(rule->instead, "less, 'e.g.'");
    ck_assert_ptr_null(rule->when);
    ck_assert_uint_eq(rule->at.column, 13);
    rule = &rules->list[2];
    ck_assert_int_eq(rule->value[GOV__SET_KV_TYPE], GOV_KV_F16);
    ck_assert_int_eq(rule->value[GOV__SET_GPU_LAYERS], GOV__GPU_ALL);
    ck_assert_int_eq(rule->strategy, GOV_STRATEGY_UNSET);
    ck_assert(rules->list[3].off);
    ck_assert_uint_eq(rules->count, 4);
    gov_policy_free(rules);
    /* Alone, there is nothing to take away. */
    ck_assert_int_eq(parse(&rules, text, &err), GOV_OK);
    ck_assert_uint_eq(gov_policy_rules(rules), 3);
    gov_policy_free(rules);
    gov_policy_free(NULL);
}
END_TEST

START_TEST(reads_levels_and_relief)
{
    static const char text[] = "version: 1\n"
                               "base: frugal\n"
                               "levels:\n"
                               "  window: 1.5 s\n"
                               "  calm: 0 s\n"
                               "  warn_stall: 7.5 %\n"
                               "  warn_stall_exit: 0 %\n"
                               "  critical_stall: 100 %\n"
                               "  critical_stall_exit: 0.5 %\n"
                               "  warn_headroom: 12 %\n"
                               "  warn_headroom_exit: 90 %\n"
                               "  critical_headroom: 0 %\n"
                               "  critical_headroom_exit: 1 %\n"
                               "  warn_refault: 100 %\n"
                               "  warn_refault_exit: 0 %\n"
                               "  window_fast: 1 s\n"
                               "  warn_stall_fast: 0.3 %\n"
                               "  warn_fill: 3 s\n"
                               "  critical_fill: 2 s\n"
                               "ladder:\n"
                               "  - action: kv.*\n"
                               "    from: critical\n"
                               "    floor: 64 MiB\n"
                               "    floor_tokens: 1024\n"
                               "    rest: 1 ms\n"
                               "    rest_little: 1 h\n"
                               "  - { action: Cache_?-1, from: never }\n"
                               "  - { action: gone, off: true }\n"
                               "  - { action: x, from: warn, floor: 0 B }\n"
                               "regrow: { after: 0 s, every: 60 min }\n";
    gov_policy *policy = NULL;
    struct gov_level_rules levels, levels_default;
    struct gov_relief_rules relief;
    const struct gov_ladder_step *step = relief.step;
    gov_error err;

    gov_level_rules_default(&levels_default);
    ck_assert_msg(parse(&policy, text, &err) == GOV_OK, "%s", err.message);
    gov_policy_levels(policy, &levels);
    ck_assert_uint_eq(levels.window_ms, 1500);
    ck_assert_uint_eq(levels.calm_ms, 0);
    ck_assert_uint_eq(levels.warn_some_permille, 75);
    ck_assert_uint_eq(levels.warn_some_exit_permille, 0);
    ck_assert_uint_eq(levels.critical_full_permille, 1000);
    ck_assert_uint_eq(levels.critical_full_exit_permille, 5);
    ck_assert_uint_eq(levels.warn_headroom_permille, 120);
    ck_assert_uint_eq(levels.warn_headroom_exit_permille, 900);
    ck_assert_uint_eq(levels.critical_headroom_permille, 0);
    ck_assert_uint_eq(levels.critical_headroom_exit_permille, 10);
    ck_assert_uint_eq(levels.warn_refault_permille, 1000);
    ck_assert_uint_eq(levels.warn_refault_exit_permille, 0);
    ck_assert_uint_eq(levels.fast_window_ms, 1000);
    ck_assert_uint_eq(levels.warn_fast_permille, 3);
    ck_assert_uint_eq(levels.warn_fill_ms, 3000);
    ck_assert_uint_eq(levels.critical_fill_ms, 2000);
    ck_assert_uint_eq(levels.system_stall_available_permille,
                      levels_default.system_stall_available_permille);
    ck_assert_uint_eq(levels.system_stall_headroom_permille,
                      levels_default.system_stall_headroom_permille);
    gov_policy_relief(policy, &relief);
    ck_assert_uint_eq(relief.count, 3);
    ck_assert_str_eq(step[0].action, "kv.*");
    ck_assert_int_eq(step[0].from_level, GOV_LEVEL_CRITICAL);
    ck_assert_uint_eq(step[0].floor_bytes, UINT64_C(64) << 20);
    ck_assert_uint_eq(step[0].floor_tokens, 1024);
    ck_assert_uint_eq(step[0].rest_ms, 1);
    ck_assert_uint_eq(step[0].rest_little_ms, 3600000);
    ck_assert_str_eq(step[1].action, "Cache_?-1");
    ck_assert_int_eq(step[1].from_level, GOV_LEVEL_NEVER);
    ck_assert_uint_eq(step[1].rest_ms, 0);
    ck_assert_str_eq(step[2].action, "x");
    ck_assert_int_eq(step[2].from_level, GOV_LEVEL_WARN);
    ck_assert_uint_eq(relief.regrow.after_ms, 0);
    ck_assert_uint_eq(relief.regrow.every_ms, 3600000);
    ck_assert_uint_eq(policy->steps[0].from_line, 22);
    ck_assert_uint_eq(policy->steps[0].floor_line, 23);
    ck_assert_uint_eq(policy->steps[0].floor_tokens_line, 24);
    ck_assert_uint_eq(policy->steps[0].rest_line, 25);
    ck_assert_uint_eq(policy->steps[0].rest_little_line, 26);
    ck_assert_uint_eq(policy->steps[0].at.line, 21);
    ck_assert_uint_eq(policy->steps[0].at.column, 13);
    ck_assert_uint_eq(policy->figures[0].at.line, 4);
    ck_assert_uint_eq(policy->figures[0].at.column, 11);
    ck_assert_str_eq(policy->base, "frugal");
    gov_policy_free(policy);

    ck_assert_int_eq(parse(&policy, "version: 1\n", &err), GOV_OK);
    gov_policy_levels(policy, &levels);
    ck_assert_mem_eq(&levels, &levels_default, sizeof(levels));
    gov_policy_relief(policy, &relief);
    ck_assert_uint_eq(relief.count, 0);
    gov_policy_free(policy);
}
END_TEST

static const struct {
    const char *text, *message;
} bad[] = {
    /* the file */
    {"", "1:1: the file is empty; begin with \"version: 1\""},
    {"# only this\n", "1:12: the file is empty; begin with \"version: 1\""},
    {"rules: []\n", "1:1: a policy file without version"},
    {"version: 2\nrules: []\n",
     "1:10: version is \"2\"; this governor reads version 1"},
    {"version: []\nrules: []\n",
     "1:10: version is one value, not a list or a mapping"},
    {"- a\n", "1:1: a policy file is a mapping: version and what it is"},
    {"version: 1\nrules: 7\n",
     "2:8: rules is a list; each one begins with \"- name:\""},
    {"version: 1\nrules:\n  name: a\n",
     "3:3: rules is a list; each one begins with \"- name:\""},
    {"version: 1\nrules:\n  - a\n",
     "3:5: a rule is a mapping: name and what it is"},
    {"version: 1\nrulse: []\n",
     "2:1: a policy file has no key \"rulse\"; did you mean rules?"},
    {"version: 1\ntiers: []\n",
     "2:1: a policy file has no key \"tiers\"; write version, base, "
     "rules, levels, ladder or regrow"},
    {"version: 1\nversion: 1\n", "2:1: version is given twice"},
    {"version: 1\nrules: []\n---\nversion: 1\n",
     "3:1: a second document; a policy file has one"},
    {"version: 1\n[a]: b\n",
     "2:1: a key is one value, not a list or a mapping"},
    /* what YAML can and policy files cannot */
    {"version: &a 1\nrules: []\n",
     "1:10: policy files have no anchors; leave out the &"},
    {"version: 1\nrules: &a []\n",
     "2:8: policy files have no anchors; leave out the &"},
    {"version: 1\nrules: *a\n",
     "2:8: policy files have no aliases; write it out"},
    {"version: !!int 1\nrules: []\n",
     "1:10: policy files have no tags; leave out the !"},
    {"&x\nversion: 1\n", "1:1: policy files have no anchors; leave out the &"},
    {"version: 1\nrules: !!seq []\n",
     "2:8: policy files have no tags; leave out the !"},
    {"!x\nversion: 1\n", "1:1: policy files have no tags; leave out the !"},
    {THEN("!!map {warn: true}"),
     "5:11: policy files have no tags; leave out the !"},
    /* characters */
    {"version: 1\nrules: []\n# \xff\n",
     "3:3: not UTF-8; save the file in that encoding"},
    {"version: 1 # \xc3\xa4\xc3\xa4 \xc3(\n",
     "1:17: not UTF-8; save the file in that encoding"},
    {"\xff\xfev\0e\0", "1:1: not UTF-8; save the file in that encoding"},
    {"version: 1\a\n", "1:11: a control character"},
    {"version: 1 # \xe2\x80\xa8\n", "1:14: a control character"},
    {"version: 1 # \xc2\x85\n", "1:14: a control character"},
    /* what shows a rule in another order than it is read */
    {"version: 1 # \xe2\x80\xa9\n", "1:14: a control character"},
    {"version: 1 # \xe2\x80\xaa\n", "1:14: a control character"},
    {"version: 1 # a\xe2\x80\xae\n", "1:15: a control character"},
    {"version: 1 # \xe2\x81\xa6\n", "1:14: a control character"},
    {"version: 1 # \xe2\x81\xa9\n", "1:14: a control character"},
    {WHEN("\"device.arch == '\\u202e'\""), "4:28: a control character"},
    {NAMED("because: \"x \\e[2J\""), "3:5: a rule without then\n"
                                     "4:17: a control character"},
    {NAMED("because: \"x \\0 y\""), "3:5: a rule without then\n"
                                    "4:17: a control character"},
    {"version: 1\n\trules: []\n", "2:1: a tab; YAML is indented with spaces"},
    /* YAML itself */
    {"version: 1\nrules: [\n",
     "2:9: did not find expected node content while parsing a flow node"},
    {"version: 'a\n",
     "1:12: found unexpected end of stream while scanning a quoted scalar"},
    {NAMED("because: a: b"),
     "4:15: mapping values are not allowed in this context"},
    /* a rule */
    {RULE("then: {warn: true}\n    because: b"), "3:5: a rule without name"},
    {NAMED("because: b"), "3:5: a rule without then"},
    {NAMED("then: {warn: true}"), "3:5: a rule without because"},
    {NAMED("name: b"), "3:5: a rule without then\n"
                       "3:5: a rule without because\n"
                       "4:5: name is given twice"},
    {NAMED("wehn: true"),
     "3:5: a rule without then\n"
     "3:5: a rule without because\n"
     "4:5: a rule has no key \"wehn\"; did you mean when?"},
    {NAMED("priority: 3"),
     "3:5: a rule without then\n"
     "3:5: a rule without because\n"
     "4:5: a rule has no key \"priority\"; write name, then, because, when, "
     "unknown or off"},
    {RULE("name: Big"),
     "3:5: a rule without then\n"
     "3:5: a rule without because\n"
     "3:11: a name has lower-case letters, digits and hyphens only"},
    {RULE("name: low_ram"),
     "3:5: a rule without then\n"
     "3:5: a rule without because\n"
     "3:14: a name has lower-case letters, digits and hyphens only"},
    {RULE("name: ''"), "3:5: a rule without then\n"
                       "3:5: a rule without because\n"
                       "3:11: a name has 1 to 63 characters"},
    {RULE("name: [a]"), "3:5: a rule without then\n"
                        "3:5: a rule without because\n"
                        "3:11: name is one value, not a list or a mapping"},
    {RULE("name: a\n    then: {warn: true}\n    because: b\n  - name: a"),
     "6:5: a rule without then\n"
     "6:5: a rule without because\n"
     "6:11: a second rule is named a"},
    {NAMED("because: ''"), "3:5: a rule without then\n"
                           "4:14: because is empty; say why the rule is there"},
    {NAMED("because:"), "3:5: a rule without then\n"
                        "4:13: because is empty; say why the rule is there"},
    {NAMED("because: {a: b}"),
     "3:5: a rule without then\n"
     "4:14: because is one value, not a list or a mapping"},
    {THEN("{strategy: heap}\n    unknown: match"),
     "6:14: unknown is for rules that refuse; others never match what is not "
     "known"},
    {THEN("{strategy: refuse}\n    unknown: maybe"),
     "6:14: unknown cannot be \"maybe\"; write match or no-match"},
    /* then */
    {THEN("{}"), "5:11: then sets nothing"},
    {THEN("mmap"), "5:11: then is a mapping: strategy and what it is"},
    {THEN("{strategy: map}"),
     "5:22: strategy cannot be \"map\"; did you mean mmap?"},
    {THEN("{strategy: streaming}"),
     "5:22: strategy cannot be \"streaming\"; write mmap, hybrid, heap or "
     "refuse"},
    {THEN("{strategy: unset}"),
     "5:22: strategy cannot be \"unset\"; write mmap, hybrid, heap or refuse"},
    {THEN("{kv_type: q8}"),
     "5:21: kv_type cannot be \"q8\"; write f16, q8_0, f32, bf16, q4_0, q4_1, "
     "q5_0, q5_1 or iq4_nl"},
    {THEN("{kv_type: q4-0}"),
     "5:21: kv_type cannot be \"q4-0\"; did you mean q4_0?"},
    {THEN("{kv-type: f16}"),
     "5:12: then has no key \"kv-type\"; did you mean kv_type?"},
    {THEN("{warn: yes}"), "5:18: warn cannot be \"yes\"; write false or true"},
    {THEN("{warn: true, warn: true}"), "5:24: warn is given twice"},
    {THEN("{context: many}"), "5:21: write a whole number"},
    {THEN("{context: 0}"), "5:21: context is a number from 1 to 2147483647"},
    {THEN("{context: 2147483648}"),
     "5:21: context is a number from 1 to 2147483647"},
    {THEN("{context: 8 KiB}"), "5:21: write a whole number"},
    {THEN("{context: 8 or 9}"), "5:23: one number is enough here"},
    {THEN("{hot: 101 %}"), "5:17: hot is a share from 0 % to 100 %"},
    {THEN("{hot: 0.5}"), "5:17: a count is a whole number; or give a unit"},
    {THEN("{ahead: 17}"), "5:19: ahead is a number from 1 to 16"},
    {THEN("{strategy: mmap, repack: true}"),
     "5:11: mapped weights cannot be repacked; use strategy heap"},
    {THEN("{strategy: hybrid, repack: true}"),
     "5:11: mapped weights cannot be repacked; use strategy heap"},
    {THEN("{strategy: refuse, warn: true}"),
     "5:11: a rule that refuses sets nothing else"},
    {THEN("{warm: yes}"),
     "5:18: warm cannot be \"yes\"; write use, file or none"},
    {THEN("{hold: layers}"),
     "5:18: hold cannot be \"layers\"; write spread, first or dense"},
    {THEN("{warm_rate: 1048575 B}"), "5:23: warm_rate is at least 1 MiB"},
    {THEN("{warm_rate: 100}"), "5:23: write a size, for instance 16 GiB"},
    {THEN("{warm_rate: 9000000 TiB}"), "5:23: number too large"},
    {THEN("{advise_load: sequentail, advise_pass: none}"),
     "5:25: advise_load cannot be \"sequentail\"; did you mean sequential?\n"
     "5:50: advise_pass cannot be \"none\"; write normal, sequential or "
     "random"},
    {THEN("{gpu_layers: some}"),
     "5:24: gpu_layers is a number of layers, or all"},
    {THEN("{gpu_layers: ''}"),
     "5:24: gpu_layers is a number of layers, or all"},
    {THEN("{gpu_layers: -1}"),
     "5:24: gpu_layers is a number of layers, or all"},
    {THEN("{gpu_layers: 65536}"),
     "5:24: gpu_layers is a number from 0 to 65535"},
    {THEN("{sequences: 0}"), "5:23: sequences is a number from 1 to 256"},
    {THEN("{sequences: 257}"), "5:23: sequences is a number from 1 to 256"},
    {THEN("{sequences: 99999999999999999999}"), "5:23: number too large"},
    {THEN("{anchor: yes}"),
     "5:20: anchor cannot be \"yes\"; write false or true"},
    {THEN("{direct: 1}"), "5:20: direct cannot be \"1\"; write false or true"},
    {THEN("{strategy: refuse, anchor: true}"),
     "5:11: a rule that refuses sets nothing else"},
    {THEN("{warning: ' '}"), "5:21: warning is empty; leave it out for none"},
    {THEN("{strategy: refuse, instead: ''}"),
     "5:39: instead is empty; say what would fit"},
    {THEN("{warn: true, instead: less}"),
     "5:11: instead is for rules that refuse; it says what would fit"},
    {THEN("{strategy: refuse, warning: x}"),
     "5:11: a rule that refuses sets nothing else"},
    {THEN("{priority: 1}"),
     "5:12: then has no key \"priority\"; write strategy, kv_type, context, "
     "repack, warn, hot, ahead, hold, anchor, direct, warm, warm_rate, "
     "advise_load, advise_pass, gpu_layers, sequences, warning or instead"},
    /* what takes a rule away */
    {RULE("name: a\n    off: false"), "4:10: off is true, or is left out"},
    {RULE("name: a\n    off: [true]"),
     "4:10: off is one value, not a list or a mapping"},
    {RULE("off: true"), "3:5: a rule without name"},
    {RULE("name: a\n    because: b\n    off: true"),
     "5:5: a rule that is off has a name and nothing else"},
    {RULE("name: a\n    off: true\n    then: {strategy: map}"),
     "5:22: strategy cannot be \"map\"; did you mean mmap?"},
    /* base */
    {"version: 1\nbase: balancd\n",
     "2:7: base cannot be \"balancd\"; did you mean balanced?"},
    {"version: 1\nbase: mine.yaml\n",
     "2:7: base cannot be \"mine.yaml\"; write balanced, responsive, frugal, "
     "server or none"},
    {"version: 1\nbase:\n",
     "2:6: base cannot be \"\"; write balanced, responsive, frugal, server or "
     "none"},
    {"version: 1\nbase: [balanced]\n",
     "2:7: base is one value, not a list or a mapping"},
    /* levels and regrow */
    {"version: 1\nlevels: high\n",
     "2:9: levels is a mapping: window and what it is"},
    {"version: 1\nlevels: {warn_stal: 1 %}\n",
     "2:10: levels has no key \"warn_stal\"; did you mean warn_stall?"},
    {"version: 1\nlevels: {after: 1 s}\n",
     "2:10: levels has no key \"after\"; write window, calm, warn_stall, "
     "warn_stall_exit, critical_stall, critical_stall_exit, warn_headroom, "
     "warn_headroom_exit, critical_headroom, critical_headroom_exit, "
     "warn_refault, ..."},
    {"version: 1\nlevels: {window: 499 ms}\n",
     "2:18: window is a duration from 500 ms to 1 min"},
    {"version: 1\nlevels: {window_fast: 199 ms}\n",
     "2:23: window_fast is a duration from 200 ms to 1 min"},
    {"version: 1\nlevels: {warn_fill: 61 s}\n",
     "2:21: warn_fill is a duration from 0 s to 1 min"},
    {"version: 1\nlevels: {window: 61 s}\n",
     "2:18: window is a duration from 500 ms to 1 min"},
    {"version: 1\nlevels: {window: 2000}\n",
     "2:18: write a duration, for instance 500 ms"},
    {"version: 1\nlevels: {window: 500.5 ms}\n",
     "2:18: window goes in steps of 1 ms"},
    {"version: 1\nlevels: {calm: 3600001 ms}\n",
     "2:16: calm is a duration from 0 s to 1 h"},
    {"version: 1\nlevels: {warn_stall: 0 %}\n",
     "2:22: warn_stall is a share from 0.1 % to 100 %"},
    {"version: 1\nlevels: {warn_headroom_exit: 90.1 %}\n",
     "2:30: warn_headroom_exit is a share from 0 % to 90 %"},
    {"version: 1\nlevels: {warn_stall: 7.55 %}\n",
     "2:22: warn_stall goes in steps of 0.1 %"},
    {"version: 1\nlevels: {warn_stall: 70}\n",
     "2:22: write a share, for instance 50 %"},
    {"version: 1\nregrow: {after: 1 s, evry: 2 s}\n",
     "2:22: regrow has no key \"evry\"; did you mean every?"},
    {"version: 1\nregrow: {every: 2 h}\n",
     "2:17: every is a duration from 0 s to 1 h"},
    /* ladder */
    {"version: 1\nladder: {}\n",
     "2:9: ladder is a list; each one begins with \"- action:\""},
    {"version: 1\nladder: [kv]\n",
     "2:10: a step is a mapping: action and what it is"},
    {"version: 1\nladder: [{from: warn}]\n", "2:10: a step without action"},
    {"version: 1\nladder: [{action: ''}]\n",
     "2:19: an action has 1 to 31 characters"},
    {"version: 1\nladder: [{action: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}]\n",
     "2:19: an action has 1 to 31 characters"},
    {"version: 1\nladder: [{action: kv unused}]\n",
     "2:21: an action has letters, digits and . - _ only, and as a pattern * "
     "and ?"},
    {"version: 1\nladder: [{action: k\xc3\xa4}]\n",
     "2:20: an action has letters, digits and . - _ only, and as a pattern * "
     "and ?"},
    {"version: 1\nladder: [{action: a}, {action: a}]\n",
     "2:32: a second step is for a"},
    {"version: 1\nladder: [{action: a, from: normal}]\n",
     "2:28: from cannot be \"normal\"; write warn, critical or never"},
    {"version: 1\nladder: [{action: a, floor: 5 %}]\n",
     "2:29: write a size, for instance 16 GiB"},
    {"version: 1\nladder: [{action: a, floor_tokens: 2147483648}]\n",
     "2:36: floor_tokens is a number from 0 to 2147483647"},
    {"version: 1\nladder: [{action: a, rest: 0 s}]\n",
     "2:28: rest is a duration from 1 ms to 1 h"},
    {"version: 1\nladder: [{action: a, rest_little: 2 h}]\n",
     "2:35: rest_little is a duration from 1 ms to 1 h"},
    {"version: 1\nladder: [{action: a, off: true, from: warn}]\n",
     "2:10: a step that is off has an action and nothing else"},
    {"version: 1\nladder: [{action: a, off: no}]\n",
     "2:27: off is true, or is left out"},
    {"version: 1\nladder: [{action: a, price: 3}]\n",
     "2:22: a step has no key \"price\"; write action, off, from, floor, "
     "floor_tokens, rest or rest_little"},
    /* all at once: what is wrong with one thing is said once, and what stands
     * behind it is read */
    {"version: 2\n"
     "rulse: [{name: a}]\n"
     "levels: {window: [1, 2], calm: 1, calm: 2 s, [x]: y}\n"
     "ladder: [{action: a, from: normal}, {from: warn}, [x, [y]], {action: "
     "a}]\n"
     "regrow: 7\n"
     "wrong: {a: {b: [c]}}\n",
     "1:10: version is \"2\"; this governor reads version 1\n"
     "2:1: a policy file has no key \"rulse\"; did you mean rules?\n"
     "3:18: window is one value, not a list or a mapping\n"
     "3:32: write a duration, for instance 500 ms\n"
     "3:35: calm is given twice\n"
     "3:46: a key is one value, not a list or a mapping\n"
     "4:28: from cannot be \"normal\"; write warn, critical or never\n"
     "4:37: a step without action\n"
     "4:51: a step is a mapping: action and what it is\n"
     "4:70: a second step is for a\n"
     "5:9: regrow is a mapping: after and what it is\n"
     "6:1: a policy file has no key \"wrong\"; write version, base, rules, "
     "levels, ladder or regrow"},
    {"version: 1\n"
     "rules:\n"
     "  - name: A\n"
     "    when: device.rma > 1 GiB\n"
     "    then: {strategy: {a: [b, {c: d}]}, contxt: [1], hot: 101 %}\n"
     "    because: x\n"
     "  - just text\n"
     "  - [[a]]\n"
     "  - {name: b, thne: {warn: true}, because: x}\n"
     "  - {name: b, then: {}, because: x, unknown: match}\n"
     "  - {name: c, then: {ahead: 1}, because: x, unknown: match}\n"
     "  - {name: d, then: {strategy: mmap, repack: true}, because: ''}\n"
     "  - {name: e, then: &x {strategy: *x, warn: maybe}, when: *x, because: "
     "!s x}\n"
     "  - *x\n"
     "  - &y {name: f}\n"
     "  - {}\n",
     "3:11: a name has lower-case letters, digits and hyphens only\n"
     "4:11: unknown fact \"device.rma\"; did you mean device.ram?\n"
     "5:22: strategy is one value, not a list or a mapping\n"
     "5:40: then has no key \"contxt\"; did you mean context?\n"
     "5:58: hot is a share from 0 % to 100 %\n"
     "7:5: a rule is a mapping: name and what it is\n"
     "8:5: a rule is a mapping: name and what it is\n"
     "9:15: a rule has no key \"thne\"; did you mean then?\n"
     "10:12: a second rule is named b\n"
     "10:21: then sets nothing\n"
     "11:54: unknown is for rules that refuse; others never match what is not "
     "known\n"
     "12:21: mapped weights cannot be repacked; use strategy heap\n"
     "12:62: because is empty; say why the rule is there\n"
     "13:21: policy files have no anchors; leave out the &\n"
     "13:59: policy files have no aliases; write it out\n"
     "13:72: policy files have no tags; leave out the !\n"
     "14:5: policy files have no aliases; write it out\n"
     "15:5: policy files have no anchors; leave out the &\n"
     "16:5: a rule without name\n"
     "16:5: a rule without then\n"
     "16:5: a rule without because"},
    /* YAML that is none ends it, behind what was wrong before */
    {"version: 2\nbase: x\nrules: [{name: A, then: }, {name: B\nlevels: 1\n",
     "1:10: version is \"2\"; this governor reads version 1\n"
     "2:7: base cannot be \"x\"; write balanced, responsive, frugal, server or "
     "none\n"
     "3:9: a rule without because\n"
     "3:16: a name has lower-case letters, digits and hyphens only\n"
     "3:25: then is a mapping: strategy and what it is\n"
     "3:35: a name has lower-case letters, digits and hyphens only\n"
     "4:7: did not find expected ',' or '}' while parsing a flow mapping"},
    {"version: 2\nrules: []\n---\nversion: 3\n",
     "1:10: version is \"2\"; this governor reads version 1\n"
     "3:1: a second document; a policy file has one"},
    /* conditions, in every way that YAML can write them */
    {WHEN("device.ram <= 500 ms"), "4:25: bytes compared with a duration"},
    {WHEN("device.rma > 2 GiB"),
     "4:11: unknown fact \"device.rma\"; did you mean device.ram?"},
    {WHEN("device.ram   >   2 gb"),
     "4:30: unknown unit \"gb\"; did you mean GB?"},
    {WHEN("'device.ram > 2 gb'"),
     "4:27: unknown unit \"gb\"; did you mean GB?"},
    {WHEN("'device.os == ''linux'' and device.os == 2'"),
     "4:52: text compared with a count"},
    {WHEN("\"device.os == \\\"li\\x6eux\\\" and device.os == 2\""),
     "4:55: text compared with a count"},
    {WHEN("\"model.moe\\n\\u0061nd device.os == 2\""),
     "4:45: text compared with a count"},
    {WHEN("\"model.moe and \\\n      device.os == 2\""),
     "5:20: text compared with a count"},
    {WHEN("|\n      model.moe\n      and device.rma > 2 GiB\n"),
     "6:11: unknown fact \"device.rma\"; did you mean device.ram?"},
    {WHEN(">\n      model.moe\n\n        and device.rma > 2 GiB\n"),
     "7:13: unknown fact \"device.rma\"; did you mean device.ram?"},
    {WHEN("> # why\n      device.rma > 2 GiB\n"),
     "5:7: unknown fact \"device.rma\"; did you mean device.ram?"},
    {WHEN("model.moe\n      and device.rma > 2 GiB"),
     "5:11: unknown fact \"device.rma\"; did you mean device.ram?"},
    {WHEN("device.os == \"\xc3\xa4\xc3\xa4\" and device.rma > 2 GiB"),
     "4:33: unknown fact \"device.rma\"; did you mean device.ram?"},
    {WHEN("model.moe and"), "4:24: the condition ends too early"},
    {WHEN(">\n      model.moe and\n"), "5:20: the condition ends too early"},
    {WHEN(""),
     "4:10: the condition is empty; leave out \"when\" for a rule that always "
     "matches"},
    {WHEN("[a]"), "4:11: when is one value, not a list or a mapping"},
    {"version: 1\rrules: 7\r",
     "2:8: rules is a list; each one begins with \"- name:\""},
    {"\xEF\xBB\xBFversion: 2\n",
     "1:10: version is \"2\"; this governor reads version 1"},
};

START_TEST(says_what_is_wrong_and_where)
{
    const char *text = bad[_i].text;
    gov_policy *rules = NULL;
    gov_error err, first;
    struct told told;
    char want[GOV_MESSAGE_BYTES];

    ck_assert_int_eq(read_all(text, strlen(text), &told, &first), GOV_E_FORMAT);
    ck_assert_msg(strcmp(told.lines, bad[_i].message) == 0,
                  "%s\ngot:\n%s\nwant:\n%s", text, told.lines, bad[_i].message);
    snprintf(want, sizeof(want), "f.yaml:%.*s", (int)strcspn(told.lines, "\n"),
             told.lines);
    ck_assert_str_eq(first.message, want);
    ck_assert_int_eq(parse(&rules, text, &err), GOV_E_FORMAT);
    ck_assert_ptr_null(rules);
    ck_assert_int_eq(err.status, GOV_E_FORMAT);
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(
        gov_policy_parse(&rules, text, strlen(text), "x", NULL, NULL),
        GOV_E_FORMAT);
}
END_TEST

static const struct {
    const char *text, *picture;
} carets[] = {
    {WHEN("device.ram <= 500 ms"), "    when: device.ram <= 500 ms\n"
                                   "                        ^"},
    {"version: 1\nrules:\n  - name: a\n    when:\tdevice.rma\n"
     "    then: {warn: true}\n    because: b\n",
     "    when:\tdevice.rma\n"
     "         \t^"},
    {"version: 1\r\nrules: 7\r\n", "rules: 7\n       ^"},
    {"\xEF\xBB\xBFversion: 2\n", "version: 2\n         ^"},
    {"version: 1 # \xc3\xa4\xc3\xa4 \xff\n",
     "version: 1 # \xc3\xa4\xc3\xa4 ?\n                ^"},
    {"version: \a1\n", "version: ?1\n         ^"},
    {WHEN("device.ram > 1 GiB and device.ram > 2 GiB and device.ram > 3 GiB "
          "and device.rma > 4 GiB and device.ram > 5 GiB and true"),
     "... > 1 GiB and device.ram > 2 GiB and device.ram > 3 GiB and "
     "device.rma > 4 GiB and d...\n"},
    {"", ""},
    {"version: 1\nrules: [\n\n", "rules: [\n        ^"},
    /* two columns, none, emoji, emoji joined, full width, a variation, jamo */
    {WHEN("device.arch == '\xe6\x97\xa5"
          "\xe6\x9c\xac"
          "' or x"),
     "    when: device.arch == '\xe6\x97\xa5"
     "\xe6\x9c\xac"
     "' or x\n"
     "                                   ^"},
    {WHEN("device.arch == 'e\xcc\x81"
          "a\xcc\x88"
          "' or x"),
     "    when: device.arch == 'e\xcc\x81"
     "a\xcc\x88"
     "' or x\n"
     "                                 ^"},
    {WHEN("device.arch == '\xf0\x9f\x99\x82"
          "' or x"),
     "    when: device.arch == '\xf0\x9f\x99\x82"
     "' or x\n"
     "                                 ^"},
    {WHEN("device.arch == '\xf0\x9f\x91\xa9"
          "\xe2\x80\x8d"
          "\xf0\x9f\x92\xbb"
          "' or x"),
     "    when: device.arch == '\xf0\x9f\x91\xa9"
     "\xe2\x80\x8d"
     "\xf0\x9f\x92\xbb"
     "' or x\n"
     "                                   ^"},
    {WHEN("device.arch == '\xef\xbc\xa1"
          "\xef\xbc\xa2"
          "' or x"),
     "    when: device.arch == '\xef\xbc\xa1"
     "\xef\xbc\xa2"
     "' or x\n"
     "                                   ^"},
    {WHEN("device.arch == '\xe2\x9d\xa4"
          "\xef\xb8\x8f"
          "' or x"),
     "    when: device.arch == '\xe2\x9d\xa4"
     "\xef\xb8\x8f"
     "' or x\n"
     "                                ^"},
    {WHEN("device.arch == '\xe1\x84\x92"
          "\xe1\x85\xa1"
          "\xe1\x86\xab"
          "' or x"),
     "    when: device.arch == '\xe1\x84\x92"
     "\xe1\x85\xa1"
     "\xe1\x86\xab"
     "' or x\n"
     "                                 ^"},
};

START_TEST(points_at_it)
{
    gov_policy *rules = NULL;
    gov_error err;
    char out[256];
    const char *text = carets[_i].text;

    ck_assert_int_eq(parse(&rules, text, &err), GOV_E_FORMAT);
    gov_policy_point_error(text, strlen(text), &err, out, sizeof(out));
    if (_i == 6) {
        const char *line = strchr(out, '\n');
        const char *caret = strchr(out, '^');

        ck_assert_ptr_nonnull(line);
        ck_assert_ptr_nonnull(caret);
        ck_assert_ptr_eq(out + (caret - line - 1), strstr(out, "device.rma"));
        ck_assert_int_eq(strncmp(out, "...", 3), 0);
        ck_assert_int_eq(strncmp(line - 3, "...", 3), 0);
        ck_assert_int_lt((int)(line - out), 82);
        return;
    }
    ck_assert_str_eq(out, carets[_i].picture);
    for (size_t bytes = 0; bytes < 60; bytes++) {
        memset(out, '#', sizeof(out));
        gov_policy_point_error(text, strlen(text), &err, out, bytes);
        ck_assert_int_eq(out[bytes], '#');
    }
}
END_TEST

/* First and last of what takes no column and of what takes two, and what stands
 * beside them. */
START_TEST(columns_of_characters)
{
    static const struct {
        uint32_t character;
        unsigned columns;
    } characters[] = {
        {0, 1},       {'a', 1},      {0xE4, 1},       {0x2FF, 1},
        {0x300, 0},   {0x36F, 0},    {0x370, 1},      {0x488, 0},
        {0x10FF, 1},  {0x1100, 2},   {0x115F, 2},     {0x1160, 0},
        {0x200A, 1},  {0x200B, 0},   {0x200D, 0},     {0x2010, 1},
        {0x231A, 2},  {0x231C, 1},   {0x2764, 1},     {0x302A, 0},
        {0x3042, 2},  {0x3099, 0},   {0x4E00, 2},     {0x9FFF, 2},
        {0xAC00, 2},  {0xD7A3, 2},   {0xFE0F, 0},     {0xFF01, 2},
        {0xFF60, 2},  {0xFF61, 1},   {0xFF71, 1},     {0x1F3FB, 2},
        {0x1F600, 2}, {0x1F7D8, 1},  {0x1FAF6, 2},    {0x20000, 2},
        {0x3FFFD, 2}, {0x40000, 1},  {0xE0001, 0},    {0xE01EF, 0},
        {0xF0000, 1}, {0x10FFFF, 1}, {UINT32_MAX, 1},
    };

    for (size_t i = 0; i < COUNT_OF(characters); i++)
        ck_assert_msg(gov__columns(characters[i].character) ==
                          characters[i].columns,
                      "U+%04X", (unsigned)characters[i].character);
}
END_TEST

/* A long line of three-byte characters is cut between two of them: neither 50
 * bytes before the caret nor 24 behind it is where one begins. */
START_TEST(points_at_it_in_any_script)
{
    char text[512] = "", out[256];
    gov_error err = {GOV_E_FORMAT, 0, "f:1:41: x"};
    size_t used = 0;

    for (int i = 0; i < 80; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
                                 i == 40 ? "x" : "", "\xe2\x82\xac");
    gov_policy_point_error(text, used, &err, out, sizeof(out));
    ck_assert_int_eq(strncmp(out, "...\xe2\x82\xac", 6), 0);
    ck_assert_ptr_null(strchr(out, '?'));
    ck_assert_ptr_nonnull(strstr(out, "\xe2\x82\xac...\n"));
    ck_assert_str_eq(strchr(out, '\n') + 1, "                   ^");
}
END_TEST

/* Messages that were not made for this text, or for any. */
START_TEST(points_at_nothing)
{
    static const char *const messages[] = {
        "",          ":",        "x:",
        "x:1",       "x:1:",     "x:1:1",
        "x:0:0: a",  "x:1:0: a", "x:99999999999999999999999999:1: a",
        "no memory", "a:b:c: d",
    };
    static const char text[] = "version: 1";
    gov_error err = {GOV_E_FORMAT, 0, ""};
    char out[64];

    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        snprintf(err.message, sizeof(err.message), "%s", messages[i]);
        gov_policy_point_error(text, strlen(text), &err, out, sizeof(out));
        ck_assert_str_eq(out, "");
    }
    /* A column behind the end of the line: the caret stays on the line. */
    snprintf(err.message, sizeof(err.message), "a:2:b.yaml:1:999999: x");
    gov_policy_point_error(text, strlen(text), &err, out, sizeof(out));
    ck_assert_str_eq(out, "version: 1\n          ^");
    gov_policy_point_error(NULL, 0, &err, out, sizeof(out));
    ck_assert_str_eq(out, "");
    gov_policy_point_error(text, strlen(text), NULL, out, sizeof(out));
    ck_assert_str_eq(out, "");
    err.status = GOV_E_IO;
    gov_policy_point_error(text, strlen(text), &err, out, sizeof(out));
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(names_of_files)
{
    char name[400];
    gov_policy *rules = NULL;
    gov_error err;

    memset(name, 'x', sizeof(name));
    memcpy(name + sizeof(name) - 8, "/f.yaml", 8);
    ck_assert_int_eq(gov_policy_parse(&rules, "a", 1, name, NULL, &err),
                     GOV_E_FORMAT);
    ck_assert_int_eq(strncmp(err.message, "...xxx", 6), 0);
    ck_assert_ptr_nonnull(
        strstr(err.message, "/f.yaml:1:1: a policy file is a mapping"));
    /* cut in the middle of a character */
    for (size_t i = 0; i + 1 < sizeof(name); i += 2)
        memcpy(name + i, "\xc3\xa4", 2);
    name[sizeof(name) - 1] = '\0';
    ck_assert_int_eq(gov_policy_parse(&rules, "a", 1, name + 1, NULL, &err),
                     GOV_E_FORMAT);
    ck_assert_int_eq(strncmp(err.message, "...\xc3\xa4", 5), 0);
    ck_assert_int_eq(gov_policy_parse(&rules, "a", 1, "a\nb\x1b", NULL, &err),
                     GOV_E_FORMAT);
    ck_assert_str_eq(
        err.message,
        "a b :1:1: a policy file is a mapping: version and what it is");
    ck_assert_int_eq(gov_policy_parse(&rules, "a", 1, NULL, NULL, &err),
                     GOV_E_FORMAT);
    ck_assert_int_eq(strncmp(err.message, "policy:1:1: ", 12), 0);
}
END_TEST

/* `count` rules, each with a condition. */
static char *many_rules(int count, size_t *bytes)
{
    size_t room = 64 + (size_t)count * 128;
    char *text = malloc(room);
    size_t used;

    ck_assert_ptr_nonnull(text);
    used = (size_t)snprintf(text, room, "version: 1\nrules:\n");
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, room - used,
                                 "  - name: rule-%d\n"
                                 "    when: device.ram <= %d MiB\n"
                                 "    then: {strategy: heap}\n"
                                 "    because: b\n",
                                 i, i);
    *bytes = used;
    return text;
}

START_TEST(limits)
{
    gov_policy *rules = NULL;
    gov_error err;
    size_t bytes;
    char *text = many_rules(GOV__RULES_MAX, &bytes);

    ck_assert_int_eq(gov_policy_parse(&rules, text, bytes, "f", NULL, &err), 0);
    ck_assert_uint_eq(gov_policy_rules(rules), GOV__RULES_MAX);
    ck_assert_str_eq(rules->list[1023].name, "rule-1023");
    gov_policy_free(rules);
    free(text);

    text = many_rules(GOV__RULES_MAX + 1, &bytes);
    ck_assert_int_eq(gov_policy_parse(&rules, text, bytes, "f", NULL, &err),
                     GOV_E_FORMAT);
    ck_assert_str_eq(err.message, "f:4099:5: more than 1024 rules");
    free(text);

    text = malloc(GOV__POLICY_TEXT_MAX + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, '\n', GOV__POLICY_TEXT_MAX + 1);
    memcpy(text, "version: 1\nrules: []\n", 21);
    ck_assert_int_eq(
        gov_policy_parse(&rules, text, GOV__POLICY_TEXT_MAX, "f", NULL, &err),
        0);
    gov_policy_free(rules);
    ck_assert_int_eq(gov_policy_parse(&rules, text, GOV__POLICY_TEXT_MAX + 1,
                                      "f", NULL, &err),
                     GOV_E_FORMAT);
    ck_assert_str_eq(err.message,
                     "f:1:1: a policy file is at most 256 KiB long");
    free(text);
}
END_TEST

START_TEST(long_words)
{
    char text[512], word[256];
    gov_policy *rules = NULL;
    gov_error err;

    memset(word, 'a', sizeof(word));
    word[63] = '\0';
    snprintf(text, sizeof(text),
             RULE("name: %s\n    then: {warn: true}\n"
                  "    because: b"),
             word);
    ck_assert_int_eq(parse(&rules, text, &err), GOV_OK);
    gov_policy_free(rules);
    word[63] = 'a';
    word[64] = '\0';
    snprintf(text, sizeof(text),
             RULE("name: %s\n    then: {warn: true}\n    because: b"), word);
    ck_assert_int_eq(parse(&rules, text, &err), GOV_E_FORMAT);
    ck_assert_str_eq(err.message, "f.yaml:3:11: a name has 1 to 63 characters");

    word[64] = 'a';
    word[200] = '\0';
    snprintf(text, sizeof(text), NAMED("then: {warn: true}\n    because: %s"),
             word);
    ck_assert_int_eq(parse(&rules, text, &err), GOV_OK);
    gov_policy_free(rules);
    word[200] = 'a';
    word[201] = '\0';
    snprintf(text, sizeof(text), NAMED("then: {warn: true}\n    because: %s"),
             word);
    ck_assert_int_eq(parse(&rules, text, &err), GOV_E_FORMAT);
    ck_assert_str_eq(err.message,
                     "f.yaml:5:14: because is longer than 200 bytes");
    /* A long word is quoted in part, cut at a character. */
    snprintf(
        text, sizeof(text),
        NAMED("%.39s\xc3\xa4%s: b\n    then: {warn: true}\n    because: b"),
        word, word);
    ck_assert_int_eq(parse(&rules, text, &err), GOV_E_FORMAT);
    snprintf(text, sizeof(text),
             "f.yaml:4:5: a rule has no key \"%.39s\"; write name, then, "
             "because, when, unknown or off",
             word);
    ck_assert_str_eq(err.message, text);
}
END_TEST

/* Every allocation fails in turn, once (_i == 0) and for good. */
START_TEST(no_memory)
{
    size_t bytes;
    char *text = many_rules(40, &bytes);
    gov_policy *rules = NULL;
    gov_error err;
    uint64_t calls;

    faults_reset();
    ck_assert_int_eq(
        gov_policy_parse(&rules, text, bytes, "f", faults_alloc(), &err), 0);
    gov_policy_free(rules);
    calls = faults_count();
    ck_assert_int_gt((int)calls, 80);
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        faults_arm(n, _i != 0);
        memset(&err, 0, sizeof(err));
        status =
            gov_policy_parse(&rules, text, bytes, "f", faults_alloc(), &err);
        ck_assert_int_eq(status, GOV_E_NOMEM);
        ck_assert_int_eq(err.status, GOV_E_NOMEM);
        ck_assert_str_eq(err.message, "no memory to read the rules of f");
        ck_assert_ptr_null(rules);
        ck_assert_int_eq(faults_live_blocks(), 0);
    }
    faults_disarm();
    free(text);
}
END_TEST

/* A mistake late in the file leaves nothing behind either. */
START_TEST(no_leak_on_mistakes)
{
    gov_policy *rules = NULL;

    faults_reset();
    ck_assert_int_eq(gov_policy_parse(&rules, bad[_i].text,
                                      strlen(bad[_i].text), "f", faults_alloc(),
                                      NULL),
                     GOV_E_FORMAT);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* What is cut off anywhere is refused or is a smaller file, never a crash. */
START_TEST(every_prefix)
{
    static const char text[] =
        NAMED("when: >\n      device.os == \"linux\"\n"
              "    then: {strategy: refuse}\n    unknown: match\n"
              "    because: \"a \\x41 b\"");

    for (size_t n = 0; n < sizeof(text); n++) {
        char *copy = malloc(n + 1);
        char out[256];
        gov_policy *rules = NULL;
        gov_error err = {GOV_OK, 0, ""};

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, text, n);
        if (gov_policy_parse(&rules, copy, n, "f", NULL, &err) != GOV_OK) {
            ck_assert_int_eq(strncmp(err.message, "f:", 2), 0);
            gov_policy_point_error(copy, n, &err, out, sizeof(out));
        }
        gov_policy_free(rules);
        free(copy);
    }
}
END_TEST

/* ---- hostile input ---- */

static const struct {
    const char *name, *head, *body, *tail; /* body over and over */
    const char *message;                   /* of all that is told */
} hostile[] = {
    {"flow lists", "version: 1\nrules: ", "[", "",
     "2:9: a rule is a mapping: name and what it is\n"
     "2:15: nested deeper than 8; nothing in a policy file is"},
    {"flow lists in a rule", "version: 1\nrules: [{name: a, when: ", "[", "",
     "2:25: when is one value, not a list or a mapping\n"
     "2:30: nested deeper than 8; nothing in a policy file is"},
    {"flow mappings", "version: 1\nlevels: ", "{a: ", "",
     "2:10: levels has no key \"a\"; write window, calm, warn_stall, "
     "warn_stall_exit, critical_stall, critical_stall_exit, warn_headroom, "
     "warn_headroom_exit, critical_headroom, critical_headroom_exit, "
     "warn_refault, ...\n"
     "2:37: nested deeper than 8; nothing in a policy file is"},
    {"flow keys", "version: 1\nlevels: ", "{? ", "",
     "2:12: a key is one value, not a list or a mapping\n"
     "2:30: nested deeper than 8; nothing in a policy file is"},
    {"lists in lists", "version: 1\nrules:\n", "- ", "x",
     "3:3: a rule is a mapping: name and what it is\n"
     "3:15: nested deeper than 8; nothing in a policy file is"},
    {"keys in keys", "version: 1\nrules:\n", "? ", "x",
     "2:7: rules is a list; each one begins with \"- name:\"\n"
     "3:3: a key is one value, not a list or a mapping\n"
     "3:17: nested deeper than 8; nothing in a policy file is"},
    {"values in values", "version: 1\nrules:\n", ": ", "x",
     "2:7: rules is a list; each one begins with \"- name:\"\n"
     "3:1: did not find expected key while parsing a block mapping"},
    {"brackets that close nothing", "version: 1\nrules: ", "]", "",
     "2:8: did not find expected node content while parsing a block node"},
    {"quotes", "version: 1\nrules: ", "'", "",
     "2:8: rules is a list; each one begins with \"- name:\""},
    {"questions", "version: 1\nrules: ", "?", "",
     "2:8: rules is a list; each one begins with \"- name:\""},
    {"anchors", "version: 1\nrules: ", "&a ", "",
     "2:8: policy files have no anchors; leave out the &\n"
     "2:11: did not find expected key while parsing a block mapping"},
    {"tags", "version: 1\nrules: ", "!a ", "",
     "2:8: policy files have no tags; leave out the !\n"
     "2:11: did not find expected key while parsing a block mapping"},
    {"tag directives", "", "%TAG !a! b\n", "---\nversion: 1\n",
     "2:1: found duplicate %TAG directive"},
    {"directives", "", "%YAML 1.1\n", "---\nversion: 1\n",
     "2:1: found duplicate %YAML directive"},
    {"documents", "version: 1\n", "---\n", "",
     "2:1: a second document; a policy file has one"},
    {"commas", "version: 1\nrules: [", ",", "]",
     "2:9: did not find expected node content while parsing a flow node"},
    {"empty items", "version: 1\nrules:\n", " -\n", "",
     "3:3: a rule is a mapping: name and what it is\n...\n0:0: more than 100 "
     "errors; the rest is not shown"},
    {"line breaks", "version: 1\n", "\n", "rules: 7\n",
     "262126:8: rules is a list; each one begins with \"- name:\""},
    {"returns", "version: 1\n", "\r", "rules: 7\n",
     "262126:8: rules is a list; each one begins with \"- name:\""},
    {"comments", "version: 1 ", "#", "\nrules: 7\n",
     "2:8: rules is a list; each one begins with \"- name:\""},
    {"spaces", "version: 1\nrules: ", " ", "7\n",
     "2:262132: rules is a list; each one begins with \"- name:\""},
    {"a long key", "version: 1\n", "k", ": 1\n",
     "2:262130: could not find expected ':' while scanning a simple key"},
    {"a long plain key in a flow", "version: 1\nlevels: {", "k", ": 1}\n",
     "2:10: levels has no key \"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\"; "
     "write window, calm, warn_stall, warn_stall_exit, critical_stall, "
     "critical_stall_exit, warn_headroom, warn_headroom_exit, "
     "critical_headroom, critical_headroom_exit, warn_refault, ...\n"
     "2:262129: did not find expected ',' or '}' while parsing a flow mapping"},
    {"a long quoted key", "version: 1\n? '", "k", "'\n: 1\n",
     "2:3: a policy file has no key "
     "\"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\"; write version, base, "
     "rules, levels, ladder or regrow"},
    {"a long name", "version: 1\nrules: [{name: ", "n", "}]\n",
     "2:9: a rule without then\n"
     "2:9: a rule without because\n"
     "2:16: a name has 1 to 63 characters"},
    {"a long condition", "version: 1\nrules: [{name: a, when: ", "(", "}]\n",
     "2:9: a rule without then\n"
     "2:9: a rule without because\n"
     "2:25: a condition longer than 4096 bytes; make two rules"},
    {"a long reason", "version: 1\nrules: [{name: a, because: ", "b", "}]\n",
     "2:9: a rule without then\n"
     "2:28: because is longer than 200 bytes"},
    {"a long action", "version: 1\nladder: [{action: ", "a", "}]\n",
     "2:19: an action has 1 to 31 characters"},
    {"a long number", "version: 1\nlevels: {window: ", "9", " s}\n",
     "2:18: number too large"},
    {"a long fraction", "version: 1\nlevels: {window: 0.", "0", " s}\n",
     "2:26: more than 6 digits behind the point"},
    {"a long choice", "version: 1\nbase: ", "b", "\n",
     "2:7: base cannot be \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"; write "
     "balanced, responsive, frugal, server or none"},
    {"a long version", "version: ", "1", "\n",
     "1:10: version is \"1111111111111111111111111111111111111111\"; this "
     "governor reads version 1"},
    {"a long block", "version: 1\nrules: [{name: a, because: \"", "\\x41",
     "\"}]\n",
     "2:9: a rule without then\n"
     "2:28: because is longer than 200 bytes"},
    {"many wrong keys", "version: 1\n", "a: b\n", "",
     "2:1: a policy file has no key \"a\"; write version, base, rules, levels, "
     "ladder or regrow\n...\n0:0: more than 100 errors; the rest is not shown"},
    {"zeros", "version: 1\nrules: ", "\1", "", "2:8: a control character"},
};

/* 10^5 bytes of it and more, as much as a file may have, and far more. */
static char *repeated(size_t i, size_t target, size_t *bytes)
{
    size_t head = strlen(hostile[i].head), tail = strlen(hostile[i].tail);
    size_t body = strlen(hostile[i].body);
    size_t times = (target - head - tail) / body;
    char *text = malloc(head + times * body + tail + 1), *at = text;

    ck_assert_ptr_nonnull(text);
    memcpy(at, hostile[i].head, head);
    at += head;
    for (; times > 0; times--, at += body)
        memcpy(at, hostile[i].body, body);
    memcpy(at, hostile[i].tail, tail + 1);
    *bytes = (size_t)(at - text) + tail;
    return text;
}

START_TEST(hostile_texts)
{
    gov_error err;
    struct told told;
    size_t bytes;
    char *text = repeated((size_t)_i, GOV__POLICY_TEXT_MAX, &bytes);
    clock_t start = clock();
    double took;

    ck_assert_int_eq(read_all(text, bytes, &told, &err), GOV_E_FORMAT);
    took = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (told.count > 100) { /* the first and the last are enough */
        char *first_end = strchr(told.lines, '\n');
        char last[128];

        snprintf(last, sizeof(last), "\n...%s", strrchr(told.lines, '\n'));
        memcpy(first_end, last, strlen(last) + 1);
    }
    ck_assert_msg(strcmp(told.lines, hostile[_i].message) == 0,
                  "%s\ngot:\n%s\nwant:\n%s", hostile[_i].name, told.lines,
                  hostile[_i].message);
    /* 0.05 s at most when measured; sanitizers take twenty times as long. */
    ck_assert_msg(took < 2, "%s took %f s", hostile[_i].name, took);
    free(text);
    text = repeated((size_t)_i, (size_t)1 << 20, &bytes);
    ck_assert_int_eq(read_all(text, bytes, &told, &err), GOV_E_FORMAT);
    ck_assert_str_eq(told.lines, "1:1: a policy file is at most 256 KiB long");
    ck_assert_str_eq(err.message,
                     "f.yaml:1:1: a policy file is at most 256 KiB long");
    free(text);
}
END_TEST

/* https://en.wikipedia.org/wiki/Billion_laughs_attack, as YAML */
START_TEST(billion_laughs)
{
    static const char text[] = "a: &a [lol, lol]\n"
                               "b: &b [*a, *a]\n"
                               "version: 1\n"
                               "rules: &c [*b, *b]\n"
                               "levels: *c\n"
                               "ladder: [*c, *c]\n";
    gov_error err;
    struct told told;

    ck_assert_int_eq(read_all(text, sizeof(text) - 1, &told, &err),
                     GOV_E_FORMAT);
    ck_assert_str_eq(
        told.lines, "1:1: a policy file has no key \"a\"; write version, base, "
                    "rules, levels, ladder or regrow\n"
                    "2:1: a policy file has no key \"b\"; write version, base, "
                    "rules, levels, ladder or regrow\n"
                    "4:8: policy files have no anchors; leave out the &\n"
                    "5:9: policy files have no aliases; write it out\n"
                    "6:10: policy files have no aliases; write it out\n"
                    "6:14: policy files have no aliases; write it out");
}
END_TEST

/* The hundred and first mistake ends it. */
START_TEST(too_many_mistakes)
{
    char text[4096] = "version: 1\nladder:\n";
    size_t used = strlen(text);
    struct told told;
    gov_error err;

    for (int i = 0; i < 30; i++)
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used,
                             "- {action: a%d, from: x, rest: 1, off: 2}\n", i);
    ck_assert_int_eq(read_all(text, used, &told, &err), GOV_E_FORMAT);
    ck_assert_uint_eq(told.count, 90);
    used += (size_t)snprintf(text + used, sizeof(text) - used,
                             "regrow: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, "
                             "g: 1, h: 1, i: 1, j: 1}\n");
    ck_assert_int_eq(read_all(text, used, &told, &err), GOV_E_FORMAT);
    ck_assert_uint_eq(told.count, 100);
    ck_assert_ptr_null(strstr(told.lines, "not shown"));
    used += (size_t)snprintf(text + used, sizeof(text) - used,
                             "base: x\nlevels: 7\n");
    ck_assert_int_eq(read_all(text, used, &told, &err), GOV_E_FORMAT);
    ck_assert_uint_eq(told.count, 101);
    ck_assert_str_eq(strrchr(told.lines, '\n'),
                     "\n0:0: more than 100 errors; the rest is not shown");
    ck_assert_str_eq(err.message, "f.yaml:3:22: from cannot be \"x\"; write "
                                  "warn, critical or never");
}
END_TEST

static void on_named(void *ctx, const struct gov_flaw *flaw)
{
    struct told *told = ctx;

    told->used += (size_t)snprintf(
        told->lines + told->used, sizeof(told->lines) - told->used, "%zu %s\n",
        flaw->line, flaw->rule != NULL ? flaw->rule : "-");
}

/* Each mistake is told with the rule or step that it is in. */
START_TEST(says_which_rule)
{
    static const char text[] = "version: 2\n"
                               "rules:\n"
                               "  - when: a\n"
                               "    then: {hot: 1}\n"
                               "    name: first\n"
                               "  - {name: second, off: no}\n"
                               "  - {when: b}\n"
                               "  - text\n"
                               "ladder:\n"
                               "  - from: x\n"
                               "    action: kv.*\n"
                               "  - {from: x}\n"
                               "regrow: 7\n";
    const struct gov_policy_layer layer = {"f.yaml", text, sizeof(text) - 1};
    struct told told = {.used = 0};
    struct gov__flaws flaws = {on_named, &told, 0};
    gov_policy *policy;

    ck_assert_int_eq(
        gov__policy_read(&policy, &layer, &flaws, gov_alloc_default(), NULL),
        GOV_E_FORMAT);
    ck_assert_str_eq(told.lines, "1 -\n3 first\n3 first\n4 first\n6 second\n"
                                 "7 -\n7 -\n7 -\n7 -\n8 -\n10 ladder kv.*\n"
                                 "12 -\n12 -\n13 -\n");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("policy_read");
    TCase *t = tcase_create("rules");

    tcase_add_loop_test(t, reads, 0, (int)COUNT_OF(good));
    tcase_add_test(t, reads_what_stands_there);
    tcase_add_test(t, reads_levels_and_relief);
    tcase_add_loop_test(t, says_what_is_wrong_and_where, 0, (int)COUNT_OF(bad));
    tcase_add_loop_test(t, points_at_it, 0, (int)COUNT_OF(carets));
    tcase_add_test(t, columns_of_characters);
    tcase_add_test(t, points_at_it_in_any_script);
    tcase_add_test(t, points_at_nothing);
    tcase_add_test(t, names_of_files);
    tcase_add_test(t, limits);
    tcase_add_test(t, long_words);
    tcase_add_loop_test(t, no_memory, 0, 2);
    tcase_add_loop_test(t, no_leak_on_mistakes, 0, (int)COUNT_OF(bad));
    tcase_add_test(t, every_prefix);
    tcase_add_loop_test(t, hostile_texts, 0, (int)COUNT_OF(hostile));
    tcase_add_test(t, billion_laughs);
    tcase_add_test(t, too_many_mistakes);
    tcase_add_test(t, says_which_rule);
    suite_add_tcase(s, t);
    return s;
}
