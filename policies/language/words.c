/* SPDX-License-Identifier: MIT */
/* See words_priv.h. */
#include "policies/language/words_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t gov__put(char *out, size_t bytes, size_t used, const char *format, ...)
{
    va_list args;
    size_t end;
    int n;

    if (used >= bytes)
        return used;
    va_start(args, format);
    n = vsnprintf(out + used, bytes - used, format, args);
    va_end(args);
    if (n < 0) {
        out[used] = '\0';
        return used;
    }
    if ((size_t)n < bytes - used)
        return used + (size_t)n;
    if (bytes < 8)
        return bytes;
    end = bytes - 4;
    while (end > 0 && ((unsigned char)out[end] & 0xC0) == 0x80)
        end--;
    memcpy(out + end, "...", 4);
    return bytes;
}

size_t gov__utf8(const char *text, size_t bytes, uint32_t *out)
{
    const unsigned char *s = (const unsigned char *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = 0;
    uint32_t c;

    if (bytes == 0)
        return 0;
    c = s[0];
    if (c < 0x80)
        length = 1;
    else if ((c & 0xE0) == 0xC0)
        length = 2;
    else if ((c & 0xF0) == 0xE0)
        length = 3;
    else if ((c & 0xF8) == 0xF0)
        length = 4;
    if (length == 0 || length > bytes)
        return 0;
    if (length > 1)
        c &= 0x7FU >> length;
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3FU);
    }
    if (c < least[length] || (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF)
        return 0;
    *out = c;
    return length;
}

bool gov__is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool gov__is_control(uint32_t character)
{
    if (character == '\t' || character == '\n' || character == '\r')
        return false;
    return character < 0x20 || (character >= 0x7F && character < 0xA0) ||
           (character >= 0x2028 && character <= 0x202E) ||
           (character >= 0x2066 && character <= 0x2069) ||
           character == 0xFEFF || character == 0xFFFE || character == 0xFFFF;
}

#define WORD_MAX 48

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to change, leave out or add to make one word the other. */
static size_t edits(const char *a, size_t a_bytes, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t b_bytes = strlen(b);

    if (a_bytes > WORD_MAX || b_bytes > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= b_bytes; j++)
        row[j] = j;
    for (size_t i = 0; i < a_bytes; i++) {
        size_t corner = row[0]++;

        for (size_t j = 0; j < b_bytes; j++) {
            bool same = lower(a[i]) == lower(b[j]);
            size_t above = row[j + 1];

            row[j + 1] =
                smaller(smaller(row[j], above) + 1, corner + (same ? 0 : 1));
            corner = above;
        }
    }
    return row[b_bytes];
}

const char *gov__nearest(const char *word, size_t bytes,
                         const char *const *names, size_t count)
{
    size_t best = 2 + smaller(2, bytes / 3); /* longer words, more slips */
    const char *found = NULL;

    for (size_t i = 0; i < count; i++) {
        const char *dot = strchr(names[i], '.');
        size_t distance = edits(word, bytes, names[i]);

        if (dot != NULL && strlen(dot + 1) == bytes &&
            memcmp(dot + 1, word, bytes) == 0)
            distance = 0;
        if (distance >= best)
            continue;
        best = distance;
        found = names[i];
    }
    return found;
}

char *gov__list(char *out, size_t bytes, const char *const *names, size_t count)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        used =
            gov__put(out, bytes, used, "%s%s",
                     i == 0 ? "" : (i + 1 < count ? ", " : " or "), names[i]);
    return out;
}

#define QUOTED_MAX 40

int gov__short(const char *text, size_t bytes)
{
    if (bytes <= QUOTED_MAX)
        return (int)bytes;
    bytes = QUOTED_MAX;
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xC0) == 0x80)
        bytes--;
    return (int)bytes;
}

char *gov__bytes_text(char out[32], uint64_t n)
{
    struct gov_value value = {true, 0, NULL};

    value.number = n > INT64_MAX ? INT64_MAX : (int64_t)n;
    return gov_value_print(out, 32, GOV_TYPE_BYTES, &value);
}
