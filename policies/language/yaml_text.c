/* SPDX-License-Identifier: MIT */
/* See yaml_priv.h. */
#include "policies/language/yaml_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policies/language/words_priv.h"

#define KEYS_MAX 32 /* of any mapping: bits of a mask */

/* ---- failing ---- */

bool gov__yaml_fail_at(struct gov__yaml *y, struct gov__place place,
                       const char *sentence)
{
    size_t at = gov__offset_of(y->text, y->bytes, place);
    struct gov__flaw flaw = {.file = y->name};

    if (y->dead)
        return false;
    /* What is missed at the end belongs behind the last word, where a person
     * would write it. */
    if (at == y->bytes) {
        while (at > 0 && gov__is_space(y->text[at - 1]))
            at--;
        place = gov__place_of(y->text, y->bytes, at);
    }
    flaw.place = place;
    y->status = GOV_E_FORMAT;
    if (y->flaws == NULL)
        (void)gov__flaw_error(y->err, y->name, place, sentence);
    else if (!gov__flaw_add(&y->found, &flaw, sentence))
        return gov__yaml_nomem(y);
    y->dead = y->flaws == NULL || y->found.full;
    return false;
}

void gov__yaml_about(struct gov__yaml *y, struct gov__place from,
                     const char *rule)
{
    for (size_t i = y->found.count; i-- > 0;) {
        struct gov__flaw *flaw = &y->found.kept[i];

        if (flaw->place.line < from.line ||
            (flaw->place.line == from.line && flaw->place.column < from.column))
            return;
        if (flaw->rule[0] == '\0')
            gov__put(flaw->rule, sizeof(flaw->rule), 0, "%s", rule);
    }
}

static struct gov__place mark_place(const yaml_mark_t *mark)
{
    return (struct gov__place){mark->line + 1, mark->column + 1};
}

struct gov__place gov__yaml_place(const struct gov__yaml *y)
{
    return mark_place(&y->event.start_mark);
}

bool gov__yaml_fail(struct gov__yaml *y, const char *format, ...)
{
    char sentence[GOV__FLAW_SENTENCE];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    return gov__yaml_fail_at(y, mark_place(&y->event.start_mark), sentence);
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

bool gov__yaml_fail_inside(struct gov__yaml *y, size_t offset,
                           const char *sentence)
{
    const yaml_event_t *e = &y->event;
    struct gov__scalar scalar = {
        gov__offset_of(y->text, y->bytes, mark_place(&e->start_mark)),
        quoting_of(e), (const char *)e->data.scalar.value,
        e->data.scalar.length};
    size_t at = gov__source_of(y->text, y->bytes, &scalar, offset);

    return gov__yaml_fail_at(y, gov__place_of(y->text, y->bytes, at), sentence);
}

bool gov__yaml_nomem(struct gov__yaml *y)
{
    if (y->status != GOV_E_NOMEM)
        y->status =
            gov_fail(y->err, GOV_E_NOMEM, 0, "no memory to read the %s of %s",
                     y->content, y->name);
    y->dead = true;
    return false;
}

/* A mistake behind which nothing can be read. */
static bool fail_for_good(struct gov__yaml *y, struct gov__place place,
                          const char *sentence)
{
    gov__yaml_fail_at(y, place, sentence);
    y->dead = true;
    return false;
}

static bool fail_yaml(struct gov__yaml *y)
{
    const yaml_parser_t *yaml = &y->parser;
    struct gov__place place = mark_place(&yaml->problem_mark);
    size_t at = gov__offset_of(y->text, y->bytes, place);
    char sentence[GOV__FLAW_SENTENCE];

    if (yaml->error == YAML_MEMORY_ERROR)
        return gov__yaml_nomem(y);
    if (at < y->bytes && y->text[at] == '\t')
        return fail_for_good(y, place, "a tab; YAML is indented with spaces");
    gov__put(sentence, sizeof(sentence), 0, "%s%s%s",
             yaml->problem != NULL ? yaml->problem : "this is not YAML",
             yaml->context != NULL ? " " : "",
             yaml->context != NULL ? yaml->context : "");
    return fail_for_good(y, place, sentence);
}

/* ---- events ---- */

const char *gov__yaml_word(const struct gov__yaml *y)
{
    return (const char *)y->event.data.scalar.value;
}

size_t gov__yaml_word_bytes(const struct gov__yaml *y)
{
    return y->event.data.scalar.length;
}

/* How much of the current scalar to quote. */
static int shown(const struct gov__yaml *y)
{
    return gov__short(gov__yaml_word(y), gov__yaml_word_bytes(y));
}

bool gov__yaml_is(const struct gov__yaml *y, const char *text)
{
    return strlen(text) == gov__yaml_word_bytes(y) &&
           memcmp(text, gov__yaml_word(y), gov__yaml_word_bytes(y)) == 0;
}

static bool check_event(struct gov__yaml *y)
{
    const yaml_event_t *e = &y->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (e->type == YAML_ALIAS_EVENT)
        return gov__yaml_fail(y, "%ss have no aliases; write it out", y->kind);
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
        return gov__yaml_fail(y, "%ss have no anchors; leave out the &",
                              y->kind);
    if (tag != NULL)
        return gov__yaml_fail(y, "%ss have no tags; leave out the !", y->kind);
    if (e->type != YAML_SCALAR_EVENT)
        return true;
    /* Escapes can spell what the file itself may not hold. */
    for (size_t at = 0, n; at < gov__yaml_word_bytes(y); at += n) {
        uint32_t c = 0;

        n = gov__utf8(gov__yaml_word(y) + at, gov__yaml_word_bytes(y) - at, &c);
        if (n == 0 || gov__is_control(c))
            return gov__yaml_fail_inside(y, at, "a control character");
    }
    return true;
}

/* The next event, whatever it is. */
static bool step(struct gov__yaml *y)
{
    char sentence[GOV__FLAW_SENTENCE];
    yaml_event_type_t type;

    yaml_event_delete(&y->event);
    y->refused = false;
    if (y->dead)
        return false;
    if (!yaml_parser_parse(&y->parser, &y->event))
        return fail_yaml(y);
    type = y->event.type;
    if (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT)
        y->depth--;
    if (type != YAML_SEQUENCE_START_EVENT && type != YAML_MAPPING_START_EVENT)
        return true;
    if (++y->depth <= GOV__YAML_DEPTH)
        return true;
    gov__put(sentence, sizeof(sentence), 0,
             "nested deeper than %d; nothing in a %s is", GOV__YAML_DEPTH,
             y->kind);
    return fail_for_good(y, gov__yaml_place(y), sentence);
}

bool gov__yaml_next(struct gov__yaml *y)
{
    if (!step(y))
        return false;
    y->refused = !check_event(y);
    return !y->dead;
}

/* Passes what is left of a value that stands in a mapping or list, which is
 * itself at that depth. */
static bool pass_rest(struct gov__yaml *y, unsigned depth)
{
    while (!y->dead && y->depth > depth)
        (void)step(y);
    return !y->dead;
}

bool gov__yaml_need_word(struct gov__yaml *y, const char *what)
{
    if (y->refused)
        return false;
    if (y->event.type != YAML_SCALAR_EVENT)
        return gov__yaml_fail(y, "%s is one value, not a list or a mapping",
                              what);
    return true;
}

bool gov__yaml_fail_word(struct gov__yaml *y, const char *what,
                         const char *const *names, size_t count)
{
    const char *near =
        gov__nearest(gov__yaml_word(y), gov__yaml_word_bytes(y), names, count);
    char list[176];

    if (near != NULL)
        return gov__yaml_fail(y, "%s \"%.*s\"; did you mean %s?", what,
                              shown(y), gov__yaml_word(y), near);
    return gov__yaml_fail(y, "%s \"%.*s\"; write %s", what, shown(y),
                          gov__yaml_word(y),
                          gov__list(list, sizeof(list), names, count));
}

/* ---- mappings and lists ---- */

struct mapping {
    const struct gov__yaml_shape *shape;
    gov__yaml_value_fn value;
    void *ctx;
    uint32_t seen; /* keys, as bits */
};

static bool find_key(struct gov__yaml *y, void *ctx, size_t *key)
{
    struct mapping *m = ctx;
    const struct gov__yaml_shape *shape = m->shape;
    const char *near;
    char what[32];

    for (size_t i = 0; i < shape->count && i < KEYS_MAX; i++) {
        if (!gov__yaml_is(y, shape->names[i]))
            continue;
        if ((m->seen & UINT32_C(1) << i) != 0)
            return gov__yaml_fail(y, "%s is given twice", shape->names[i]);
        m->seen |= UINT32_C(1) << i;
        *key = i;
        return true;
    }
    /* Told once: it is not missing, too. */
    near = gov__nearest(gov__yaml_word(y), gov__yaml_word_bytes(y),
                        shape->names, shape->count);
    for (size_t i = 0; i < shape->count && i < KEYS_MAX; i++)
        if (shape->names[i] == near)
            m->seen |= UINT32_C(1) << i;
    gov__put(what, sizeof(what), 0, "%s has no key", shape->what);
    return gov__yaml_fail_word(y, what, shape->names, shape->count);
}

static bool read_value(struct gov__yaml *y, size_t key, void *ctx)
{
    struct mapping *m = ctx;

    return m->value(y, key, m->ctx);
}

bool gov__yaml_pairs(struct gov__yaml *y, gov__yaml_key_fn find,
                     gov__yaml_value_fn value, void *ctx)
{
    const unsigned depth = y->depth;
    bool good = true;

    while (gov__yaml_next(y) && y->event.type != YAML_MAPPING_END_EVENT) {
        size_t key = 0;
        bool found;

        y->key = gov__yaml_place(y);
        found = gov__yaml_need_word(y, "a key") && find(y, ctx, &key);
        if (!pass_rest(y, depth))
            return false;
        if (!found)
            (void)step(y);
        else if (gov__yaml_next(y) && value(y, key, ctx))
            continue;
        pass_rest(y, depth);
        good = false;
    }
    return good && !y->dead;
}

bool gov__yaml_mapping_seen(struct gov__yaml *y,
                            const struct gov__yaml_shape *shape,
                            gov__yaml_value_fn value, void *ctx, uint32_t *seen)
{
    struct gov__place place = gov__yaml_place(y);
    struct mapping m = {shape, value, ctx, 0};
    bool good;

    *seen = 0;
    if (y->refused)
        return false;
    if (y->event.type != YAML_MAPPING_START_EVENT)
        return gov__yaml_fail(y, "%s is a mapping: %s and what it is",
                              shape->what, shape->names[0]);
    good = gov__yaml_pairs(y, find_key, read_value, &m);
    *seen = m.seen;
    return gov__yaml_need_keys(y, shape, shape->required, m.seen, place) &&
           good;
}

bool gov__yaml_need_keys(struct gov__yaml *y,
                         const struct gov__yaml_shape *shape, size_t required,
                         uint32_t seen, struct gov__place place)
{
    bool good = !y->dead;

    for (size_t i = 0; i < required; i++) {
        char sentence[GOV__FLAW_SENTENCE];

        if ((seen & UINT32_C(1) << i) != 0)
            continue;
        gov__put(sentence, sizeof(sentence), 0, "%s without %s", shape->what,
                 shape->names[i]);
        good = gov__yaml_fail_at(y, place, sentence);
    }
    return good;
}

bool gov__yaml_mapping(struct gov__yaml *y, const struct gov__yaml_shape *shape,
                       gov__yaml_value_fn value, void *ctx)
{
    uint32_t seen;

    return gov__yaml_mapping_seen(y, shape, value, ctx, &seen);
}

bool gov__yaml_list(struct gov__yaml *y, const struct gov__yaml_items *items,
                    gov__yaml_body_fn item, void *ctx)
{
    unsigned depth = y->depth;
    bool good = true;

    if (y->refused)
        return false;
    if (y->event.type != YAML_SEQUENCE_START_EVENT)
        return gov__yaml_fail(y, "%s is a list; each one begins with \"- %s:\"",
                              items->what, items->first);
    for (size_t n = 0; gov__yaml_next(y); n++) {
        if (y->event.type == YAML_SEQUENCE_END_EVENT)
            return good;
        if (n == items->most)
            return gov__yaml_fail(y, "more than %zu %s", n, items->noun);
        if (item(y, ctx))
            continue;
        good = false;
        pass_rest(y, depth);
    }
    return false;
}

bool gov__yaml_version(struct gov__yaml *y)
{
    if (!gov__yaml_need_word(y, "version"))
        return false;
    if (gov__yaml_is(y, "1"))
        return true;
    return gov__yaml_fail(y,
                          "version is \"%.*s\"; this governor reads version 1",
                          shown(y), gov__yaml_word(y));
}

/* ---- the whole text ---- */

static bool check_text(struct gov__yaml *y)
{
    char sentence[GOV__FLAW_SENTENCE];

    if (y->bytes > GOV__POLICY_TEXT_MAX) {
        gov__put(sentence, sizeof(sentence), 0, "a %s is at most 256 KiB long",
                 y->kind);
        return fail_for_good(y, (struct gov__place){1, 1}, sentence);
    }
    for (size_t at = 0, n; at < y->bytes; at += n) {
        uint32_t c = 0;

        n = gov__utf8(y->text + at, y->bytes - at, &c);
        if (n > 0 && !gov__is_control(c))
            continue;
        return fail_for_good(y, gov__place_of(y->text, y->bytes, at),
                             n == 0
                                 ? "not UTF-8; save the file in that encoding"
                                 : "a control character");
    }
    return true;
}

static bool advance(struct gov__yaml *y, int events)
{
    bool more = true;

    while (more && events-- > 0)
        more = gov__yaml_next(y);
    return more;
}

static bool read_document(struct gov__yaml *y, gov__yaml_body_fn body,
                          void *ctx)
{
    if (!advance(y, 2))
        return false;
    if (y->event.type == YAML_STREAM_END_EVENT)
        return gov__yaml_fail(y,
                              "the file is empty; begin with \"version: 1\"");
    if (!gov__yaml_next(y))
        return false;
    if (!body(y, ctx))
        pass_rest(y, 0);
    if (!advance(y, 2))
        return false;
    if (y->event.type != YAML_STREAM_END_EVENT)
        return gov__yaml_fail(y, "a second document; a %s has one", y->kind);
    return true;
}

static void read_text(struct gov__yaml *y, gov__yaml_body_fn body, void *ctx)
{
    if (!check_text(y))
        return;
    if (!yaml_parser_initialize(&y->parser)) {
        gov__yaml_nomem(y);
        return;
    }
    yaml_parser_set_encoding(&y->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&y->parser, (const unsigned char *)y->text,
                                 y->bytes);
    read_document(y, body, ctx);
    yaml_event_delete(&y->event);
    yaml_parser_delete(&y->parser);
}

gov_status gov__yaml_read(struct gov__yaml *y, gov__yaml_body_fn body,
                          void *ctx)
{
    struct gov__flaws nobody = {NULL, NULL, 1};

    if (y->text == NULL) {
        y->text = "";
        y->bytes = 0;
    }
    gov__skip_mark(&y->text, &y->bytes);
    y->found.alloc = y->alloc;
    read_text(y, body, ctx);
    /* Without memory what was found is dropped. */
    if (y->flaws != NULL)
        gov__flaws_tell(&y->found,
                        y->status == GOV_E_NOMEM ? &nobody : y->flaws, y->err);
    return y->status;
}
