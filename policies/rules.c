/* SPDX-License-Identifier: MIT */
/* Reads rule files: YAML through libyaml's events, so that every mistake has a
 * line and a column. The shape of the file is fixed, so what YAML offers beyond
 * it (aliases, anchors, tags, several documents) is refused: nothing expands,
 * nothing nests. Decides nothing. */
#include "policies/rules_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "policies/words_priv.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define NAME_SHOWN 80 /* of a file's name, in a message of 256 bytes */
#define SENTENCE 192  /* of an error */
#define KEYS_MAX 8    /* of any mapping in a rule file */

struct reader {
    yaml_parser_t yaml;
    yaml_event_t event; /* under the reader's eyes; owned */
    const char *text;
    size_t bytes;
    const char *name;
    gov_rules *rules;
    gov_error *err;
    gov_status status;
};

/* ---- failing: always false, and only the first failure counts ---- */

/* A name or a quotation may hold a line break. */
static void one_line(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
}

static bool fail_at(struct reader *r, struct gov__place place,
                    const char *sentence)
{
    size_t at = gov__offset_of(r->text, r->bytes, place);
    size_t length = strlen(r->name);
    const char *tail = r->name;

    if (r->status != GOV_OK)
        return false;
    /* What is missed at the end belongs behind the last word, where a person
     * would write it. */
    if (at == r->bytes) {
        while (at > 0 && gov__is_space(r->text[at - 1]))
            at--;
        place = gov__place_of(r->text, r->bytes, at);
    }
    if (length > NAME_SHOWN) {
        tail += length - NAME_SHOWN;
        while (((unsigned char)*tail & 0xC0) == 0x80)
            tail++;
    }
    r->status = gov_fail(r->err, GOV_E_FORMAT, 0, "%s%s:%zu:%zu: %s",
                         tail == r->name ? "" : "...", tail, place.line,
                         place.column, sentence);
    if (r->err != NULL)
        one_line(r->err->message);
    return false;
}

static struct gov__place mark_place(const yaml_mark_t *mark)
{
    return (struct gov__place){mark->line + 1, mark->column + 1};
}

/* Fails where the current event begins. */
static bool fail_here(struct reader *r, const char *format, ...)
    GOV_PRINTF(2, 3);

static bool fail_here(struct reader *r, const char *format, ...)
{
    char sentence[SENTENCE];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    return fail_at(r, mark_place(&r->event.start_mark), sentence);
}

static enum gov__quoting quoting_of(const yaml_event_t *event)
{
    switch (event->data.scalar.style) {
    case YAML_SINGLE_QUOTED_SCALAR_STYLE:
        return GOV__SINGLE;
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
        return GOV__DOUBLE;
    case YAML_LITERAL_SCALAR_STYLE:
    case YAML_FOLDED_SCALAR_STYLE:
        return GOV__BLOCK;
    default:
        return GOV__PLAIN;
    }
}

/* Fails at a byte of the current scalar's value. */
static bool fail_inside(struct reader *r, size_t offset, const char *sentence)
{
    const yaml_event_t *e = &r->event;
    struct gov__scalar scalar = {
        gov__offset_of(r->text, r->bytes, mark_place(&e->start_mark)),
        quoting_of(e), (const char *)e->data.scalar.value,
        e->data.scalar.length};
    size_t at = gov__source_of(r->text, r->bytes, &scalar, offset);

    return fail_at(r, gov__place_of(r->text, r->bytes, at), sentence);
}

static bool fail_nomem(struct reader *r)
{
    if (r->status == GOV_OK)
        r->status = gov_fail(r->err, GOV_E_NOMEM, 0,
                             "no memory to read the rules of %s", r->name);
    return false;
}

static bool fail_yaml(struct reader *r)
{
    const yaml_parser_t *yaml = &r->yaml;
    struct gov__place place = mark_place(&yaml->problem_mark);
    size_t at = gov__offset_of(r->text, r->bytes, place);
    char sentence[SENTENCE];

    if (yaml->error == YAML_MEMORY_ERROR)
        return fail_nomem(r);
    if (at < r->bytes && r->text[at] == '\t')
        return fail_at(r, place, "a tab; YAML is indented with spaces");
    gov__put(sentence, sizeof(sentence), 0, "%s%s%s",
             yaml->problem != NULL ? yaml->problem : "this is not YAML",
             yaml->context != NULL ? " " : "",
             yaml->context != NULL ? yaml->context : "");
    return fail_at(r, place, sentence);
}

/* ---- events ---- */

static const char *word(const struct reader *r)
{
    return (const char *)r->event.data.scalar.value;
}

static size_t word_bytes(const struct reader *r)
{
    return r->event.data.scalar.length;
}

static int shown(const struct reader *r)
{
    return gov__short(word(r), word_bytes(r));
}

static bool is_word(const struct reader *r, const char *text)
{
    return strlen(text) == word_bytes(r) &&
           memcmp(text, word(r), word_bytes(r)) == 0;
}

static bool check_event(struct reader *r)
{
    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (e->type == YAML_ALIAS_EVENT)
        return fail_here(r, "rule files have no aliases; write it out");
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (anchor != NULL)
        return fail_here(r, "rule files have no anchors; leave out the &");
    if (tag != NULL)
        return fail_here(r, "rule files have no tags; leave out the !");
    if (e->type != YAML_SCALAR_EVENT)
        return true;
    /* Escapes can spell what the file itself may not hold. */
    for (size_t at = 0, n; at < word_bytes(r); at += n) {
        uint32_t c = 0;

        n = gov__utf8(word(r) + at, word_bytes(r) - at, &c);
        if (n == 0 || gov__is_control(c))
            return fail_inside(r, at, "a control character");
    }
    return true;
}

static bool advance(struct reader *r)
{
    yaml_event_delete(&r->event);
    if (!yaml_parser_parse(&r->yaml, &r->event))
        return fail_yaml(r);
    return check_event(r);
}

static bool advance_by(struct reader *r, int events)
{
    bool ok = true;

    while (ok && events-- > 0)
        ok = advance(r);
    return ok;
}

static bool need_word(struct reader *r, const char *what)
{
    if (r->event.type != YAML_SCALAR_EVENT)
        return fail_here(r, "%s is one value, not a list or a mapping", what);
    return true;
}

/* ---- mappings, driven by tables ---- */

struct key;

/* Reads a value: from its first event, which is the current one, to its last.
 * `into` is whatever the mapping is read into. */
typedef bool (*read_fn)(struct reader *r, const struct key *key, void *into);

struct key {
    const char *name;
    read_fn read;
    /* read_setting() only: a word of `words`, whose first stands for `least`,
     * or a number of that type. */
    enum gov__setting setting;
    const char *words[2];
    gov_type type;
    int64_t least, most;
};

struct shape {
    const char *what; /* "a rule" */
    const struct key *keys;
    size_t count;
};

/* A word that is none of those it may be. */
static bool fail_word(struct reader *r, const char *what,
                      const char *const *names, size_t count)
{
    const char *near = gov__nearest(word(r), word_bytes(r), names, count);
    char list[96];

    if (near != NULL)
        return fail_here(r, "%s \"%.*s\"; did you mean %s?", what, shown(r),
                         word(r), near);
    return fail_here(r, "%s \"%.*s\"; write %s", what, shown(r), word(r),
                     gov__list(list, sizeof(list), names, count));
}

static bool read_pair(struct reader *r, const struct shape *shape, void *into,
                      unsigned *seen)
{
    const char *names[KEYS_MAX];
    char what[32];

    if (!need_word(r, "a key"))
        return false;
    for (size_t i = 0; i < shape->count; i++) {
        names[i] = shape->keys[i].name;
        if (!is_word(r, names[i]))
            continue;
        if ((*seen & 1U << i) != 0)
            return fail_here(r, "%s is given twice", names[i]);
        *seen |= 1U << i;
        return advance(r) && shape->keys[i].read(r, &shape->keys[i], into);
    }
    gov__put(what, sizeof(what), 0, "%s has no key", shape->what);
    return fail_word(r, what, names, shape->count);
}

/* Reads a mapping; the first `required` keys of the shape must be in it. */
static bool read_mapping(struct reader *r, const struct shape *shape,
                         size_t required, void *into)
{
    struct gov__place place = mark_place(&r->event.start_mark);
    unsigned seen = 0;

    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail_here(r, "%s is a mapping: %s and what it is", shape->what,
                         shape->keys[0].name);
    for (;;) {
        if (!advance(r))
            return false;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        if (!read_pair(r, shape, into, &seen))
            return false;
    }
    for (size_t i = 0; i < required; i++) {
        char sentence[SENTENCE];

        if ((seen & 1U << i) != 0)
            continue;
        gov__put(sentence, sizeof(sentence), 0, "%s without %s", shape->what,
                 shape->keys[i].name);
        return fail_at(r, place, sentence);
    }
    return true;
}

/* ---- values ---- */

/* Index of the current word among names. */
static bool read_choice(struct reader *r, const struct key *key,
                        const char *const *names, size_t count, size_t *out)
{
    char what[32];

    if (!need_word(r, key->name))
        return false;
    for (*out = 0; *out < count; ++*out)
        if (is_word(r, names[*out]))
            return true;
    gov__put(what, sizeof(what), 0, "%s cannot be", key->name);
    return fail_word(r, what, names, count);
}

static bool read_number(struct reader *r, const struct key *key, int64_t *out)
{
    struct gov__expr_error error;

    if (!need_word(r, key->name))
        return false;
    if (!gov__expr_literal(word(r), word_bytes(r), key->type, out, &error))
        return fail_inside(r, error.offset, error.sentence);
    if (*out >= key->least && *out <= key->most)
        return true;
    if (key->type == GOV_TYPE_RATIO)
        return fail_here(r, "%s is a share from 0 %% to 100 %%", key->name);
    return fail_here(r, "%s is a number from %lld to %lld", key->name,
                     (long long)key->least, (long long)key->most);
}

static char *copy_text(const struct reader *r, const char *text, size_t bytes)
{
    const struct gov_alloc *alloc = &r->rules->alloc;
    char *copy = alloc->alloc(alloc->ctx, bytes + 1);

    if (copy != NULL) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

/* A rule while it is read. */
struct draft {
    struct gov__rule *rule;
    struct gov__place unknown; /* where `unknown` is given, else line 0 */
    bool no_match;
};

static bool read_setting(struct reader *r, const struct key *key, void *into)
{
    struct gov__rule *rule = into;
    int64_t *value = &rule->value[key->setting];
    size_t index = 0;

    rule->set[key->setting] = true;
    if (key->words[0] == NULL)
        return read_number(r, key, value);
    if (!read_choice(r, key, key->words, 2, &index))
        return false;
    *value = key->least + (int64_t)index;
    return true;
}

static bool read_strategy(struct reader *r, const struct key *key, void *into)
{
    static const char *const names[] = {"mmap", "hybrid", "heap", "refuse"};
    struct gov__rule *rule = into;
    size_t index = 0;

    if (!read_choice(r, key, names, COUNT_OF(names), &index))
        return false;
    rule->strategy = (gov_strategy)(index + GOV_STRATEGY_MMAP);
    return true;
}

static bool read_then(struct reader *r, const struct key *key, void *into)
{
    static const struct key keys[] = {
        {.name = "strategy", .read = read_strategy},
        {"kv_type", read_setting, GOV__SET_KV_TYPE, {"f16", "q8_0"}, 0, 1, 0},
        {"context",
         read_setting,
         GOV__SET_CONTEXT,
         {0},
         GOV_TYPE_COUNT,
         1,
         INT32_MAX},
        {"repack", read_setting, GOV__SET_REPACK, {"false", "true"}, 0, 0, 0},
        {"warn", read_setting, GOV__SET_WARN, {"false", "true"}, 0, 0, 0},
        {"hot", read_setting, GOV__SET_HOT, {0}, GOV_TYPE_RATIO, 0, 1000000},
        {"ahead", read_setting, GOV__SET_AHEAD, {0}, GOV_TYPE_COUNT, 1, 16},
    };
    static const struct shape shape = {"then", keys, COUNT_OF(keys)};
    const struct draft *draft = into;
    const struct gov__rule *rule = draft->rule;
    struct gov__place place = mark_place(&r->event.start_mark);
    bool any = false;

    (void)key;
    if (!read_mapping(r, &shape, 0, draft->rule))
        return false;
    for (int i = 0; i < GOV__SETTINGS; i++)
        any = any || rule->set[i];
    if (!any && rule->strategy == GOV_STRATEGY_UNSET)
        return fail_at(r, place, "then sets nothing");
    if (any && rule->strategy == GOV_STRATEGY_REFUSE)
        return fail_at(r, place, "a rule that refuses sets nothing else");
    if (rule->value[GOV__SET_REPACK] != 0 &&
        (rule->strategy == GOV_STRATEGY_MMAP ||
         rule->strategy == GOV_STRATEGY_HYBRID))
        return fail_at(r, place,
                       "mapped weights cannot be repacked; use strategy heap");
    return true;
}

static bool read_name(struct reader *r, const struct key *key, void *into)
{
    struct draft *draft = into;
    const struct gov_rules *rules = r->rules;
    size_t bytes;

    if (!need_word(r, key->name))
        return false;
    bytes = word_bytes(r);
    if (bytes == 0 || bytes >= sizeof(draft->rule->name))
        return fail_here(r, "a name has 1 to %zu characters",
                         sizeof(draft->rule->name) - 1);
    for (size_t i = 0; i < bytes; i++) {
        char c = word(r)[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return fail_inside(r, i,
                               "a name has lower-case letters, digits and "
                               "hyphens only");
    }
    for (size_t i = 0; i < rules->count; i++)
        if (is_word(r, rules->list[i].name))
            return fail_here(r, "a second rule is named %s",
                             rules->list[i].name);
    memcpy(draft->rule->name, word(r), bytes);
    return true;
}

static bool read_when(struct reader *r, const struct key *key, void *into)
{
    struct draft *draft = into;
    struct gov__expr_error error;
    gov_status status;

    if (!need_word(r, key->name))
        return false;
    status = gov__expr_parse(&draft->rule->when, word(r), word_bytes(r),
                             &r->rules->alloc, &error);
    if (status == GOV_E_NOMEM)
        return fail_nomem(r);
    return status == GOV_OK || fail_inside(r, error.offset, error.sentence);
}

static bool read_because(struct reader *r, const struct key *key, void *into)
{
    struct draft *draft = into;
    size_t bytes;

    if (!need_word(r, key->name))
        return false;
    bytes = word_bytes(r);
    while (bytes > 0 && gov__is_space(word(r)[bytes - 1]))
        bytes--;
    if (bytes == 0)
        return fail_here(r, "because is empty; say why the rule is there");
    if (bytes > GOV__BECAUSE_MAX)
        return fail_here(r, "because is longer than %d bytes",
                         GOV__BECAUSE_MAX);
    draft->rule->because = copy_text(r, word(r), bytes);
    if (draft->rule->because == NULL)
        return fail_nomem(r);
    one_line(draft->rule->because);
    return true;
}

static bool read_unknown(struct reader *r, const struct key *key, void *into)
{
    static const char *const names[] = {"match", "no-match"};
    struct draft *draft = into;
    size_t index = 0;

    draft->unknown = mark_place(&r->event.start_mark);
    if (!read_choice(r, key, names, 2, &index))
        return false;
    draft->no_match = index == 1;
    return true;
}

/* ---- rules ---- */

static struct gov__rule *add_rule(struct reader *r)
{
    gov_rules *rules = r->rules;
    struct gov__rule *list = rules->list;

    if (rules->count == rules->room) {
        size_t room = rules->room > 0 ? rules->room * 2 : 16;

        list = rules->alloc.alloc(rules->alloc.ctx, room * sizeof(*list));
        if (list == NULL)
            return NULL;
        if (rules->count > 0)
            memcpy(list, rules->list, rules->count * sizeof(*list));
        rules->alloc.release(rules->alloc.ctx, rules->list);
        rules->list = list;
        rules->room = room;
    }
    memset(&list[rules->count], 0, sizeof(*list));
    return &list[rules->count];
}

static void free_rule(const gov_rules *rules, struct gov__rule *rule)
{
    rules->alloc.release(rules->alloc.ctx, rule->because);
    rules->alloc.release(rules->alloc.ctx, rule->when);
}

static bool read_rule(struct reader *r)
{
    static const struct key keys[] = {
        {.name = "name", .read = read_name},
        {.name = "then", .read = read_then},
        {.name = "because", .read = read_because},
        {.name = "when", .read = read_when},
        {.name = "unknown", .read = read_unknown},
    };
    static const struct shape shape = {"a rule", keys, COUNT_OF(keys)};
    struct draft draft = {NULL, {0, 0}, false};

    if (r->rules->count == GOV__RULES_MAX)
        return fail_here(r, "more than %d rules", GOV__RULES_MAX);
    draft.rule = add_rule(r);
    if (draft.rule == NULL)
        return fail_nomem(r);
    draft.rule->line = r->event.start_mark.line + 1;
    if (!read_mapping(r, &shape, 3, &draft)) {
        free_rule(r->rules, draft.rule);
        return false;
    }
    r->rules->count++;
    if (draft.unknown.line > 0 && draft.rule->strategy != GOV_STRATEGY_REFUSE)
        return fail_at(r, draft.unknown,
                       "unknown is for rules that refuse; others never match "
                       "what is not known");
    draft.rule->unknown_matches =
        draft.rule->strategy == GOV_STRATEGY_REFUSE && !draft.no_match;
    return true;
}

static bool read_rules(struct reader *r, const struct key *key, void *into)
{
    (void)into;
    if (r->event.type != YAML_SEQUENCE_START_EVENT)
        return fail_here(r, "%s is a list; each one begins with \"- name:\"",
                         key->name);
    for (;;) {
        if (!advance(r))
            return false;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (!read_rule(r))
            return false;
    }
}

static bool read_version(struct reader *r, const struct key *key, void *into)
{
    (void)into;
    if (!need_word(r, key->name))
        return false;
    if (is_word(r, "1"))
        return true;
    return fail_here(r, "version is \"%.*s\"; this governor reads version 1",
                     shown(r), word(r));
}

static bool read_file(struct reader *r)
{
    static const struct key keys[] = {
        {.name = "version", .read = read_version},
        {.name = "rules", .read = read_rules},
    };
    static const struct shape shape = {"a rule file", keys, COUNT_OF(keys)};

    if (!advance_by(r, 2))
        return false;
    if (r->event.type == YAML_STREAM_END_EVENT)
        return fail_here(r, "the file is empty; begin with \"version: 1\"");
    if (!advance(r) || !read_mapping(r, &shape, 2, NULL))
        return false;
    if (!advance_by(r, 2))
        return false;
    if (r->event.type != YAML_STREAM_END_EVENT)
        return fail_here(r, "a second document; a rule file has one");
    return true;
}

static bool check_text(struct reader *r)
{
    if (r->bytes > GOV__RULES_TEXT_MAX)
        return fail_at(r, (struct gov__place){1, 1},
                       "a rule file is at most 256 KiB long");
    for (size_t at = 0, n; at < r->bytes; at += n) {
        uint32_t c = 0;

        n = gov__utf8(r->text + at, r->bytes - at, &c);
        if (n > 0 && !gov__is_control(c))
            continue;
        return fail_at(r, gov__place_of(r->text, r->bytes, at),
                       n == 0 ? "not UTF-8; save the file in that encoding"
                              : "a control character");
    }
    return true;
}

static bool read_text(struct reader *r)
{
    bool ok;

    if (!check_text(r))
        return false;
    if (!yaml_parser_initialize(&r->yaml))
        return fail_nomem(r);
    yaml_parser_set_encoding(&r->yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->yaml, (const unsigned char *)r->text,
                                 r->bytes);
    ok = read_file(r);
    yaml_event_delete(&r->event);
    yaml_parser_delete(&r->yaml);
    return ok;
}

gov_status gov_rules_parse(gov_rules **out, const char *text, size_t bytes,
                           const char *name, const struct gov_alloc *alloc,
                           gov_error *err)
{
    struct reader r;
    gov_rules *rules;

    *out = NULL;
    if (alloc == NULL)
        alloc = gov_alloc_default();
    memset(&r, 0, sizeof(r));
    r.text = text != NULL ? text : "";
    r.bytes = text != NULL ? bytes : 0;
    r.name = name != NULL ? name : "rules";
    r.err = err;
    gov__skip_mark(&r.text, &r.bytes);
    rules = alloc->alloc(alloc->ctx, sizeof(*rules));
    if (rules == NULL) {
        fail_nomem(&r);
        return r.status;
    }
    memset(rules, 0, sizeof(*rules));
    rules->alloc = *alloc;
    r.rules = rules;
    if (!read_text(&r)) {
        gov_rules_free(rules);
        return r.status;
    }
    *out = rules;
    return GOV_OK;
}

void gov_rules_free(gov_rules *rules)
{
    struct gov_alloc alloc;

    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->count; i++)
        free_rule(rules, &rules->list[i]);
    alloc = rules->alloc;
    alloc.release(alloc.ctx, rules->list);
    alloc.release(alloc.ctx, rules);
}

size_t gov_rules_count(const gov_rules *rules)
{
    return rules->count;
}
