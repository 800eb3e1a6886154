/* SPDX-License-Identifier: MIT */
/* See yaml_priv.h. */
#include "policies/yaml_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policies/words_priv.h"

#define NAME_SHOWN 80 /* of a file's name, in a message of 256 bytes */
#define KEYS_MAX 32   /* of any mapping: bits of a mask */

/* ---- failing ---- */

void gov__one_line(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
}

bool gov__yaml_fail_at(struct gov__yaml *y, struct gov__place place,
                       const char *sentence)
{
    size_t at = gov__offset_of(y->text, y->bytes, place);
    size_t length = strlen(y->name);
    const char *tail = y->name;

    if (y->status != GOV_OK)
        return false;
    /* What is missed at the end belongs behind the last word, where a person
     * would write it. */
    if (at == y->bytes) {
        while (at > 0 && gov__is_space(y->text[at - 1]))
            at--;
        place = gov__place_of(y->text, y->bytes, at);
    }
    if (length > NAME_SHOWN) {
        tail += length - NAME_SHOWN;
        while (((unsigned char)*tail & 0xC0) == 0x80)
            tail++;
    }
    y->status = gov_fail(y->err, GOV_E_FORMAT, 0, "%s%s:%zu:%zu: %s",
                         tail == y->name ? "" : "...", tail, place.line,
                         place.column, sentence);
    if (y->err != NULL)
        gov__one_line(y->err->message);
    return false;
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
    char sentence[GOV__YAML_SENTENCE];
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
    if (y->status == GOV_OK)
        y->status =
            gov_fail(y->err, GOV_E_NOMEM, 0, "no memory to read the %s of %s",
                     y->content, y->name);
    return false;
}

static bool fail_yaml(struct gov__yaml *y)
{
    const yaml_parser_t *yaml = &y->parser;
    struct gov__place place = mark_place(&yaml->problem_mark);
    size_t at = gov__offset_of(y->text, y->bytes, place);
    char sentence[GOV__YAML_SENTENCE];

    if (yaml->error == YAML_MEMORY_ERROR)
        return gov__yaml_nomem(y);
    if (at < y->bytes && y->text[at] == '\t')
        return gov__yaml_fail_at(y, place,
                                 "a tab; YAML is indented with spaces");
    gov__put(sentence, sizeof(sentence), 0, "%s%s%s",
             yaml->problem != NULL ? yaml->problem : "this is not YAML",
             yaml->context != NULL ? " " : "",
             yaml->context != NULL ? yaml->context : "");
    return gov__yaml_fail_at(y, place, sentence);
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

int gov__yaml_shown(const struct gov__yaml *y)
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

bool gov__yaml_next(struct gov__yaml *y)
{
    yaml_event_delete(&y->event);
    if (!yaml_parser_parse(&y->parser, &y->event))
        return fail_yaml(y);
    return check_event(y);
}

static bool advance_by(struct gov__yaml *y, int events)
{
    bool ok = true;

    while (ok && events-- > 0)
        ok = gov__yaml_next(y);
    return ok;
}

bool gov__yaml_need_word(struct gov__yaml *y, const char *what)
{
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
    char list[96];

    if (near != NULL)
        return gov__yaml_fail(y, "%s \"%.*s\"; did you mean %s?", what,
                              gov__yaml_shown(y), gov__yaml_word(y), near);
    return gov__yaml_fail(y, "%s \"%.*s\"; write %s", what, gov__yaml_shown(y),
                          gov__yaml_word(y),
                          gov__list(list, sizeof(list), names, count));
}

/* ---- mappings ---- */

struct mapping {
    const struct gov__yaml_shape *shape;
    gov__yaml_value_fn value;
    void *ctx;
    uint32_t seen; /* keys, as bits */
};

static bool read_pair(struct gov__yaml *y, struct mapping *m)
{
    const struct gov__yaml_shape *shape = m->shape;
    char what[32];

    if (!gov__yaml_need_word(y, "a key"))
        return false;
    for (size_t i = 0; i < shape->count && i < KEYS_MAX; i++) {
        if (!gov__yaml_is(y, shape->names[i]))
            continue;
        if ((m->seen & UINT32_C(1) << i) != 0)
            return gov__yaml_fail(y, "%s is given twice", shape->names[i]);
        m->seen |= UINT32_C(1) << i;
        return gov__yaml_next(y) && m->value(y, i, m->ctx);
    }
    gov__put(what, sizeof(what), 0, "%s has no key", shape->what);
    return gov__yaml_fail_word(y, what, shape->names, shape->count);
}

bool gov__yaml_mapping(struct gov__yaml *y, const struct gov__yaml_shape *shape,
                       gov__yaml_value_fn value, void *ctx)
{
    struct gov__place place = gov__yaml_place(y);
    struct mapping m = {shape, value, ctx, 0};

    if (y->event.type != YAML_MAPPING_START_EVENT)
        return gov__yaml_fail(y, "%s is a mapping: %s and what it is",
                              shape->what, shape->names[0]);
    for (;;) {
        if (!gov__yaml_next(y))
            return false;
        if (y->event.type == YAML_MAPPING_END_EVENT)
            break;
        if (!read_pair(y, &m))
            return false;
    }
    for (size_t i = 0; i < shape->required; i++) {
        char sentence[GOV__YAML_SENTENCE];

        if ((m.seen & UINT32_C(1) << i) != 0)
            continue;
        gov__put(sentence, sizeof(sentence), 0, "%s without %s", shape->what,
                 shape->names[i]);
        return gov__yaml_fail_at(y, place, sentence);
    }
    return true;
}

bool gov__yaml_version(struct gov__yaml *y)
{
    if (!gov__yaml_need_word(y, "version"))
        return false;
    if (gov__yaml_is(y, "1"))
        return true;
    return gov__yaml_fail(y,
                          "version is \"%.*s\"; this governor reads version 1",
                          gov__yaml_shown(y), gov__yaml_word(y));
}

/* ---- the whole text ---- */

static bool check_text(struct gov__yaml *y)
{
    char sentence[GOV__YAML_SENTENCE];

    if (y->bytes > GOV__POLICY_TEXT_MAX) {
        gov__put(sentence, sizeof(sentence), 0, "a %s is at most 256 KiB long",
                 y->kind);
        return gov__yaml_fail_at(y, (struct gov__place){1, 1}, sentence);
    }
    for (size_t at = 0, n; at < y->bytes; at += n) {
        uint32_t c = 0;

        n = gov__utf8(y->text + at, y->bytes - at, &c);
        if (n > 0 && !gov__is_control(c))
            continue;
        return gov__yaml_fail_at(
            y, gov__place_of(y->text, y->bytes, at),
            n == 0 ? "not UTF-8; save the file in that encoding"
                   : "a control character");
    }
    return true;
}

static bool read_document(struct gov__yaml *y, gov__yaml_body_fn body,
                          void *ctx)
{
    if (!advance_by(y, 2))
        return false;
    if (y->event.type == YAML_STREAM_END_EVENT)
        return gov__yaml_fail(y,
                              "the file is empty; begin with \"version: 1\"");
    if (!gov__yaml_next(y) || !body(y, ctx) || !advance_by(y, 2))
        return false;
    if (y->event.type != YAML_STREAM_END_EVENT)
        return gov__yaml_fail(y, "a second document; a %s has one", y->kind);
    return true;
}

gov_status gov__yaml_read(struct gov__yaml *y, gov__yaml_body_fn body,
                          void *ctx)
{
    if (y->text == NULL) {
        y->text = "";
        y->bytes = 0;
    }
    gov__skip_mark(&y->text, &y->bytes);
    if (!check_text(y))
        return y->status;
    if (!yaml_parser_initialize(&y->parser)) {
        gov__yaml_nomem(y);
        return y->status;
    }
    yaml_parser_set_encoding(&y->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&y->parser, (const unsigned char *)y->text,
                                 y->bytes);
    read_document(y, body, ctx);
    yaml_event_delete(&y->event);
    yaml_parser_delete(&y->parser);
    return y->status;
}
