/* SPDX-License-Identifier: MIT */
/* From positions in a policy file to lines and columns and back, and the picture
 * with a caret. Lines end as libyaml sees them: LF, CR LF or CR. */
#include "policies/language/place_priv.h"
#include "policies/policy_text.h"

#include <string.h>

#include "policies/language/words_priv.h"

size_t gov__skip_mark(const char **text, size_t *bytes)
{
    if (*bytes >= 3 && memcmp(*text, "\xEF\xBB\xBF", 3) == 0) {
        *text += 3;
        *bytes -= 3;
    }
    return *bytes;
}

static size_t break_bytes(const char *text, size_t bytes, size_t at)
{
    if (text[at] == '\r')
        return at + 1 < bytes && text[at + 1] == '\n' ? 2 : 1;
    return text[at] == '\n' ? 1 : 0;
}

static size_t next_character(const char *text, size_t bytes, size_t at)
{
    do
        at++;
    while (at < bytes && ((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

struct gov__place gov__place_of(const char *text, size_t bytes, size_t offset)
{
    struct gov__place place = {1, 1};
    size_t at = 0;

    while (at < offset && at < bytes) {
        size_t n = break_bytes(text, bytes, at);

        if (n > 0) {
            place.line++;
            place.column = 1;
            at += n;
        } else {
            place.column++;
            at = next_character(text, bytes, at);
        }
    }
    return place;
}

static size_t line_start(const char *text, size_t bytes, size_t line)
{
    size_t at = 0;

    while (line > 1 && at < bytes) {
        size_t n = break_bytes(text, bytes, at);

        if (n > 0)
            line--;
        at += n > 0 ? n : 1;
    }
    return at;
}

static size_t line_end(const char *text, size_t bytes, size_t at)
{
    while (at < bytes && break_bytes(text, bytes, at) == 0)
        at++;
    return at;
}

size_t gov__offset_of(const char *text, size_t bytes, struct gov__place place)
{
    size_t at = line_start(text, bytes, place.line);
    size_t end = line_end(text, bytes, at);

    for (size_t i = 1; i < place.column && at < end; i++)
        at = next_character(text, bytes, at);
    return at;
}

/* A scalar's value and its source, walked side by side. */
struct walk {
    const char *text;
    size_t bytes, at;
    enum gov__quoting quoting;
};

/* Passes white space, escapes that stand for it included. */
static void pass_space(struct walk *w)
{
    while (w->at < w->bytes) {
        char second = w->text[w->at + 1 < w->bytes ? w->at + 1 : w->at];

        if (gov__is_space(w->text[w->at]))
            w->at++;
        else if (w->quoting == GOV__DOUBLE && w->text[w->at] == '\\' &&
                 (gov__is_space(second) || second == 'n' || second == 'r' ||
                  second == 't'))
            w->at += 2;
        else
            return;
    }
}

static void pass_character(struct walk *w)
{
    char second = w->text[w->at + 1 < w->bytes ? w->at + 1 : w->at];

    if (w->quoting == GOV__SINGLE && w->text[w->at] == '\'') {
        w->at += 2;
    } else if (w->quoting == GOV__DOUBLE && w->text[w->at] == '\\') {
        w->at += 2;
        if (second == 'x')
            w->at += 2;
        else if (second == 'u')
            w->at += 4;
        else if (second == 'U')
            w->at += 8;
    } else {
        w->at = next_character(w->text, w->bytes, w->at);
    }
}

/* Folding lines only ever changes white space, so everything else stands in
 * the value in the same order as in the source. */
size_t gov__source_of(const char *text, size_t bytes,
                      const struct gov__scalar *scalar, size_t offset)
{
    struct walk w = {text, bytes, scalar->start, scalar->quoting};
    size_t i = 0;

    if (w.quoting == GOV__BLOCK)
        w.at = line_end(text, bytes, w.at);
    else if (w.quoting != GOV__PLAIN)
        w.at++;
    while (i < offset && w.at < bytes) {
        if (gov__is_space(scalar->value[i])) {
            i++;
            continue;
        }
        pass_space(&w);
        if (w.at < bytes)
            pass_character(&w);
        i = next_character(scalar->value, scalar->bytes, i);
    }
    if (offset < scalar->bytes && !gov__is_space(scalar->value[offset]))
        pass_space(&w);
    return w.at < bytes ? w.at : bytes;
}

static size_t number_at(const char **at)
{
    size_t n = 0;

    for (; **at >= '0' && **at <= '9'; (*at)++)
        n = n * 10 + (size_t)(**at - '0');
    return n;
}

/* The place in "NAME:LINE:COLUMN: sentence"; the name may hold colons. */
static struct gov__place place_in(const char *message)
{
    for (const char *at = strchr(message, ':'); at != NULL;
         at = strchr(at + 1, ':')) {
        struct gov__place place;
        const char *end = at + 1;

        place.line = number_at(&end);
        if (*end++ != ':')
            continue;
        place.column = number_at(&end);
        if (place.column > 0 && end[0] == ':' && end[1] == ' ')
            return place;
    }
    return (struct gov__place){0, 0};
}

#define BEFORE 50 /* bytes of a long line that are shown before the caret */
#define AFTER 24

static size_t at_character(const char *text, size_t at, size_t end)
{
    while (at < end && ((unsigned char)text[at] & 0xC0) == 0x80)
        at++;
    return at;
}

/* The length of a character that is shown as it is; of another, which becomes
 * a '?', the length and 0 in *out. */
static size_t shown(const char *text, size_t bytes, uint32_t *out)
{
    size_t n = gov__utf8(text, bytes, out);

    if (n == 0 || gov__is_control(*out))
        *out = 0;
    return n > 0 ? n : 1;
}

void gov_policy_point_error(const char *text, size_t bytes,
                            const gov_error *err, char *out, size_t out_bytes)
{
    struct gov__place place = {0, 0};

    if (err != NULL && err->status == GOV_E_FORMAT)
        place = place_in(err->message);
    gov_policy_point(text, bytes, place.line, place.column, out, out_bytes);
}

void gov_policy_point(const char *text, size_t bytes, size_t line,
                      size_t column, char *out, size_t out_bytes)
{
    struct gov__place place = {line, column};
    size_t start, end, caret, from, to, used;
    uint32_t c;

    if (out_bytes > 0)
        out[0] = '\0';
    if (text == NULL)
        return;
    if (gov__skip_mark(&text, &bytes) > GOV__POLICY_TEXT_MAX || place.line == 0)
        return;
    start = line_start(text, bytes, place.line);
    end = line_end(text, bytes, start);
    if (start == end)
        return;
    caret = gov__offset_of(text, bytes, place);
    from = caret - start > BEFORE ? caret - BEFORE : start;
    from = at_character(text, from, caret);
    /* What is not needed before the caret is left for what is behind it. */
    to = BEFORE + AFTER - (caret - from);
    to = end - caret > to ? caret + to : end;
    to = at_character(text, to, end);
    used = gov__put(out, out_bytes, 0, "%s", from > start ? "..." : "");
    for (size_t at = from, n; at < to; at += n) {
        n = shown(text + at, to - at, &c);
        used = gov__put(out, out_bytes, used, "%.*s", c != 0 ? (int)n : 1,
                        c != 0 ? text + at : "?");
    }
    used = gov__put(out, out_bytes, used, "%s\n%s", to < end ? "..." : "",
                    from > start ? "   " : "");
    for (size_t at = from; at < caret;) {
        at += shown(text + at, to - at, &c);
        used = gov__put(out, out_bytes, used, "%s",
                        c == '\t'              ? "\t"
                        : gov__columns(c) == 0 ? ""
                        : gov__columns(c) == 1 ? " "
                                               : "  ");
    }
    gov__put(out, out_bytes, used, "^");
}
