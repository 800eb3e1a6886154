/* SPDX-License-Identifier: MIT */
/* See safetensors_json.h. The grammar is RFC 8259's; that bytes above 127 form
 * UTF-8 is not looked at, for no such text is kept. */
#include "governor/model/safetensors_json.h"

#include <inttypes.h>
#include <string.h>

/* Headers nest three deep, and an index two. */
#define DEPTH_LIMIT 64

void gov__json_begin(struct gov__json *json, struct gov__cursor *cursor,
                     uint64_t bytes)
{
    json->cursor = cursor;
    json->left = bytes;
    json->taken = 0;
    json->at = json->have = 0;
}

static bool broken(struct gov__json *json, const char *fact)
{
    struct gov__cursor *cursor = json->cursor;

    if (cursor->status == GOV_OK)
        cursor->status =
            gov_fail(cursor->err, GOV_E_FORMAT, 0,
                     "model %s is damaged: its JSON is broken at byte %" PRIu64
                     " (%s); download it again",
                     cursor->file->label, json->taken + json->at + 1, fact);
    return false;
}

/* Makes the next byte lie in the window; false at the end and after a failure. */
static bool reach(struct gov__json *json)
{
    size_t bytes = sizeof(json->window);

    if (json->at < json->have)
        return true;
    if (json->left == 0 || json->cursor->status != GOV_OK)
        return false;
    if (bytes > json->left)
        bytes = (size_t)json->left;
    if (!gov__cursor_bytes(json->cursor, json->window, bytes))
        return false;
    json->taken += json->have;
    json->left -= bytes;
    json->have = bytes;
    json->at = 0;
    return true;
}

/* The next byte whatever it is, which is not taken; 0 at the end. */
static int next(struct gov__json *json)
{
    return reach(json) ? json->window[json->at] : 0;
}

int gov__json_peek(struct gov__json *json)
{
    int c;

    for (;;) {
        c = next(json);
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return c;
        json->at++;
    }
}

static bool take(struct gov__json *json, char wanted, const char *fact)
{
    if (gov__json_peek(json) != wanted)
        return broken(json, fact);
    json->at++;
    return true;
}

bool gov__json_enter(struct gov__json *json, char open, bool *more)
{
    if (!take(json, open,
              open == '{' ? "an object is wanted" : "an array is wanted"))
        return false;
    *more = gov__json_peek(json) != (open == '{' ? '}' : ']');
    if (!*more)
        json->at++;
    return true;
}

bool gov__json_more(struct gov__json *json, char open, bool *more)
{
    int c = gov__json_peek(json);

    *more = c == ',';
    if (c != ',' && c != (open == '{' ? '}' : ']'))
        return broken(json, "a comma is missing");
    json->at++;
    return true;
}

/* ---- texts ----------------------------------------------------------------- */

/* Where a text goes: what does not fit is only counted. */
struct sink {
    char *out;
    size_t room;
    uint64_t bytes;
};

static void put(struct sink *sink, unsigned c)
{
    if (sink->bytes < sink->room)
        sink->out[sink->bytes] = (char)c;
    sink->bytes++;
}

static void put_character(struct sink *sink, unsigned c)
{
    if (c < 0x80) {
        put(sink, c);
        return;
    }
    if (c < 0x800) {
        put(sink, 0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            put(sink, 0xE0 | c >> 12);
        } else {
            put(sink, 0xF0 | c >> 18);
            put(sink, 0x80 | (c >> 12 & 0x3F));
        }
        put(sink, 0x80 | (c >> 6 & 0x3F));
    }
    put(sink, 0x80 | (c & 0x3F));
}

static bool four_digits(struct gov__json *json, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        int c = next(json);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return broken(json, "an escape has no four digits");
        *out = *out << 4 | (unsigned)digit;
        json->at++;
    }
    return true;
}

/* What is above 16 bits comes as a pair. */
static bool read_unicode(struct gov__json *json, struct sink *sink)
{
    unsigned c, low;

    if (!four_digits(json, &c))
        return false;
    if (c >= 0xD800 && c <= 0xDFFF) {
        if (c >= 0xDC00 || next(json) != '\\')
            return broken(json, "half of a character");
        json->at++;
        if (next(json) != 'u')
            return broken(json, "half of a character");
        json->at++;
        if (!four_digits(json, &low))
            return false;
        if (low < 0xDC00 || low > 0xDFFF)
            return broken(json, "half of a character");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    put_character(sink, c);
    return true;
}

static bool read_escape(struct gov__json *json, struct sink *sink)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    int c = next(json);
    const char *at = c != 0 ? strchr(names, c) : NULL;

    if (c == 'u') {
        json->at++;
        return read_unicode(json, sink);
    }
    if (at == NULL)
        return broken(json, "no such escape");
    json->at++;
    put(sink, (unsigned char)means[at - names]);
    return true;
}

bool gov__json_text(struct gov__json *json, char *out, size_t room,
                    uint64_t *bytes)
{
    struct sink sink = {out, room, 0};

    if (!take(json, '"', "a text is wanted"))
        return false;
    for (;;) {
        int c = next(json);

        if (c < 0x20)
            return broken(json, "a text does not end");
        json->at++;
        if (c == '"')
            break;
        if (c != '\\')
            put(&sink, (unsigned)c);
        else if (!read_escape(json, &sink))
            return false;
    }
    *bytes = sink.bytes;
    return true;
}

bool gov__json_colon(struct gov__json *json)
{
    return take(json, ':', "a colon is missing");
}

bool gov__json_name(struct gov__json *json, char *out, size_t room,
                    uint64_t *bytes)
{
    return gov__json_text(json, out, room, bytes) && gov__json_colon(json);
}

/* ---- numbers and the rest ---------------------------------------------------- */

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

bool gov__json_whole(struct gov__json *json, uint64_t *out)
{
    static const char fact[] = "a whole number is wanted";
    uint64_t value = 0;
    bool zero = gov__json_peek(json) == '0';
    int c = next(json);

    if (!is_digit(c))
        return broken(json, fact);
    for (; is_digit(c); c = next(json)) {
        unsigned digit = (unsigned)(c - '0');

        if (value > (UINT64_MAX - digit) / 10)
            return broken(json, "a number is larger than any");
        value = value * 10 + digit;
        json->at++;
        if (zero && is_digit(next(json)))
            return broken(json, "a number begins with 0");
    }
    if (c == '.' || c == 'e' || c == 'E')
        return broken(json, fact);
    *out = value;
    return true;
}

static bool skip_digits(struct gov__json *json)
{
    if (!is_digit(next(json)))
        return broken(json, "a digit is wanted");
    while (is_digit(next(json)))
        json->at++;
    return true;
}

static bool skip_number(struct gov__json *json)
{
    if (next(json) == '-')
        json->at++;
    if (next(json) == '0') {
        json->at++;
        if (is_digit(next(json)))
            return broken(json, "a number begins with 0");
    } else if (!skip_digits(json)) {
        return false;
    }
    if (next(json) == '.') {
        json->at++;
        if (!skip_digits(json))
            return false;
    }
    if (next(json) != 'e' && next(json) != 'E')
        return true;
    json->at++;
    if (next(json) == '+' || next(json) == '-')
        json->at++;
    return skip_digits(json);
}

static bool skip_word(struct gov__json *json, const char *word)
{
    for (; *word != '\0'; word++) {
        if (next(json) != *word)
            return broken(json, "a value is wanted");
        json->at++;
    }
    return true;
}

static bool skip_value(struct gov__json *json, unsigned depth);

static bool skip_members(struct gov__json *json, char open, unsigned depth)
{
    uint64_t bytes;
    bool more;

    if (depth == 0)
        return broken(json, "it nests deeper than 64 levels");
    if (!gov__json_enter(json, open, &more))
        return false;
    while (more) {
        if (open == '{' && !gov__json_name(json, NULL, 0, &bytes))
            return false;
        if (!skip_value(json, depth - 1) || !gov__json_more(json, open, &more))
            return false;
    }
    return true;
}

static bool skip_value(struct gov__json *json, unsigned depth)
{
    uint64_t bytes;
    int c = gov__json_peek(json);

    switch (c) {
    case '{':
    case '[':
        return skip_members(json, (char)c, depth);
    case '"':
        return gov__json_text(json, NULL, 0, &bytes);
    case 't':
        return skip_word(json, "true");
    case 'f':
        return skip_word(json, "false");
    case 'n':
        return skip_word(json, "null");
    default:
        return skip_number(json);
    }
}

bool gov__json_skip(struct gov__json *json)
{
    return skip_value(json, DEPTH_LIMIT);
}

bool gov__json_end(struct gov__json *json)
{
    return (gov__json_peek(json) == 0 && json->at == json->have &&
            json->left == 0 && json->cursor->status == GOV_OK) ||
           broken(json, "something follows it");
}
