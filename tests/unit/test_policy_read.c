/* SPDX-License-Identifier: MIT */
/* Policy files: what is read, what is refused and with which words, where the
 * caret stands, and what happens without memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/policy_priv.h"
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

static const struct {
    const char *text;
    size_t count;
} good[] = {
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
        "  - { name: b, then: { strategy: refuse }, because: c }\n"
        "  - { name: c, then: { kv_type: f16 }, because: c }\n";
    static const int64_t want[GOV__SETTINGS] = {GOV_KV_Q8_0, 1234,   0,
                                                1,           400000, 3};
    gov_policy *rules = NULL;
    const struct gov__rule *rule;
    gov_error err;

    ck_assert_int_eq(parse(&rules, text, &err), GOV_OK);
    rule = &rules->list[0];
    ck_assert_str_eq(rule->name, "a");
    ck_assert_str_eq(rule->because, "two  lines of text");
    ck_assert_int_eq(rule->strategy, GOV_STRATEGY_HEAP);
    ck_assert_ptr_nonnull(rule->when);
    ck_assert(!rule->unknown_matches);
    for (int i = 0; i < GOV__SETTINGS; i++) {
        ck_assert(rule->set[i]);
        ck_assert_int_eq(rule->value[i], want[i]);
    }
    ck_assert(rules->list[1].unknown_matches);
    ck_assert_ptr_null(rules->list[1].when);
    ck_assert_int_eq(rules->list[2].value[GOV__SET_KV_TYPE], GOV_KV_F16);
    ck_assert_int_eq(rules->list[2].strategy, GOV_STRATEGY_UNSET);
    gov_policy_free(rules);
    gov_policy_free(NULL);
}
END_TEST

static const struct {
    const char *text, *message;
} bad[] = {
    /* the file */
    {"", "1:1: the file is empty; begin with \"version: 1\""},
    {"# only this\n", "1:12: the file is empty; begin with \"version: 1\""},
    {"version: 1\n", "1:1: a policy file without rules"},
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
     "2:1: a policy file has no key \"tiers\"; write version or rules"},
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
    {NAMED("because: \"x \\e[2J\""), "4:17: a control character"},
    {NAMED("because: \"x \\0 y\""), "4:17: a control character"},
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
    {NAMED("name: b"), "4:5: name is given twice"},
    {NAMED("wehn: true"),
     "4:5: a rule has no key \"wehn\"; did you mean when?"},
    {NAMED("priority: 3"),
     "4:5: a rule has no key \"priority\"; write name, then, because, when or "
     "unknown"},
    {RULE("name: Big"),
     "3:11: a name has lower-case letters, digits and hyphens only"},
    {RULE("name: low_ram"),
     "3:14: a name has lower-case letters, digits and hyphens only"},
    {RULE("name: ''"), "3:11: a name has 1 to 63 characters"},
    {RULE("name: [a]"), "3:11: name is one value, not a list or a mapping"},
    {RULE("name: a\n    then: {warn: true}\n    because: b\n  - name: a"),
     "6:11: a second rule is named a"},
    {NAMED("because: ''"), "4:14: because is empty; say why the rule is there"},
    {NAMED("because:"), "4:13: because is empty; say why the rule is there"},
    {NAMED("because: {a: b}"),
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
    /* conditions, in every way that YAML can write them */
    {WHEN("device.ram <= 500 ms"), "4:25: bytes compared with a duration"},
    {WHEN("device.rma > 2 GiB"),
     "4:11: unknown fact \"device.rma\"; did you mean device.ram?"},
    {WHEN("device.ram   >   2 GB"),
     "4:30: unknown unit \"GB\"; did you mean GiB?"},
    {WHEN("'device.ram > 2 GB'"),
     "4:27: unknown unit \"GB\"; did you mean GiB?"},
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
    gov_policy *rules = NULL;
    gov_error err;
    char want[GOV_MESSAGE_BYTES];

    snprintf(want, sizeof(want), "f.yaml:%s", bad[_i].message);
    ck_assert_int_eq(parse(&rules, bad[_i].text, &err), GOV_E_FORMAT);
    ck_assert_ptr_null(rules);
    ck_assert_int_eq(err.status, GOV_E_FORMAT);
    ck_assert_msg(strcmp(err.message, want) == 0, "%s\ngot:  %s\nwant: %s",
                  bad[_i].text, err.message, want);
    ck_assert_int_eq(gov_policy_parse(&rules, bad[_i].text, strlen(bad[_i].text),
                                     "x", NULL, NULL),
                     GOV_E_FORMAT);
}
END_TEST

static const struct {
    const char *text, *picture;
} carets[] = {
    {WHEN("device.ram <= 500 ms"), "    when: device.ram <= 500 ms\n"
                                   "                        ^"},
    {"version: 1\nrules:\n  - name: a\n    when:\tdevice.rma\n",
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
};

START_TEST(points_at_it)
{
    gov_policy *rules = NULL;
    gov_error err;
    char out[256];
    const char *text = carets[_i].text;

    ck_assert_int_eq(parse(&rules, text, &err), GOV_E_FORMAT);
    gov_policy_point(text, strlen(text), &err, out, sizeof(out));
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
        gov_policy_point(text, strlen(text), &err, out, bytes);
        ck_assert_int_eq(out[bytes], '#');
    }
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
    gov_policy_point(text, used, &err, out, sizeof(out));
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
        gov_policy_point(text, strlen(text), &err, out, sizeof(out));
        ck_assert_str_eq(out, "");
    }
    /* A column behind the end of the line: the caret stays on the line. */
    snprintf(err.message, sizeof(err.message), "a:2:b.yaml:1:999999: x");
    gov_policy_point(text, strlen(text), &err, out, sizeof(out));
    ck_assert_str_eq(out, "version: 1\n          ^");
    gov_policy_point(NULL, 0, &err, out, sizeof(out));
    ck_assert_str_eq(out, "");
    gov_policy_point(text, strlen(text), NULL, out, sizeof(out));
    ck_assert_str_eq(out, "");
    err.status = GOV_E_IO;
    gov_policy_point(text, strlen(text), &err, out, sizeof(out));
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
    ck_assert_int_eq(strncmp(err.message, "rules:1:1: ", 11), 0);
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
        gov_policy_parse(&rules, text, GOV__POLICY_TEXT_MAX, "f", NULL, &err), 0);
    gov_policy_free(rules);
    ck_assert_int_eq(
        gov_policy_parse(&rules, text, GOV__POLICY_TEXT_MAX + 1, "f", NULL, &err),
        GOV_E_FORMAT);
    ck_assert_str_eq(err.message, "f:1:1: a policy file is at most 256 KiB long");
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
    snprintf(text, sizeof(text), RULE("name: %s"), word);
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
    snprintf(text, sizeof(text), NAMED("%.39s\xc3\xa4%s: b"), word, word);
    ck_assert_int_eq(parse(&rules, text, &err), GOV_E_FORMAT);
    snprintf(text, sizeof(text),
             "f.yaml:4:5: a rule has no key \"%.39s\"; write name, then, "
             "because, when or unknown",
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
    ck_assert_int_eq(gov_policy_parse(&rules, bad[_i].text, strlen(bad[_i].text),
                                     "f", faults_alloc(), NULL),
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
            gov_policy_point(copy, n, &err, out, sizeof(out));
        }
        gov_policy_free(rules);
        free(copy);
    }
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("policy_read");
    TCase *t = tcase_create("rules");

    tcase_add_loop_test(t, reads, 0, (int)COUNT_OF(good));
    tcase_add_test(t, reads_what_stands_there);
    tcase_add_loop_test(t, says_what_is_wrong_and_where, 0, (int)COUNT_OF(bad));
    tcase_add_loop_test(t, points_at_it, 0, (int)COUNT_OF(carets));
    tcase_add_test(t, points_at_it_in_any_script);
    tcase_add_test(t, points_at_nothing);
    tcase_add_test(t, names_of_files);
    tcase_add_test(t, limits);
    tcase_add_test(t, long_words);
    tcase_add_loop_test(t, no_memory, 0, 2);
    tcase_add_loop_test(t, no_leak_on_mistakes, 0, (int)COUNT_OF(bad));
    tcase_add_test(t, every_prefix);
    suite_add_tcase(s, t);
    return s;
}
