/* SPDX-License-Identifier: MIT */
/* UTF-8 in, printable UTF-8 out. */
#include "governor/model/model_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What ends a line or turns the direction of the text around it, with which a
 * name can look like another (Unicode's UAX 9): not for a screen. */
static bool misleads(uint32_t c)
{
    return c == 0x61C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* The length of the UTF-8 character at `at`, 0 when it is malformed (overlong
 * forms and surrogates included), a control character or one that misleads. */
static size_t printable(const unsigned char *at, size_t left)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = at[0] < 0x80             ? 1
               : (at[0] & 0xE0) == 0xC0 ? 2
               : (at[0] & 0xF0) == 0xE0 ? 3
               : (at[0] & 0xF8) == 0xF0 ? 4
                                        : 0;
    uint32_t c;

    if (n == 1)
        return at[0] >= 0x20 && at[0] != 0x7F ? 1 : 0;
    if (n == 0 || n > left)
        return 0;
    c = at[0] & (0xFFU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (at[i] & 0x3FU);
    }
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    return c >= 0xA0 && !misleads(c) ? n : 0;
}

/* One step through text: how many bytes it takes and how many it makes. */
static size_t step(const unsigned char *at, size_t left, size_t *makes)
{
    size_t n = printable(at, left);

    *makes = n != 0 ? n : 4; /* \xNN */
    return n != 0 ? n : 1;
}

char *gov__text_safe(char *out, size_t room, const void *text, size_t bytes)
{
    const unsigned char *in = text;
    size_t used = 0, cut = 0;

    while (bytes > 0) {
        size_t makes, takes = step(in, bytes, &makes);

        if (used + 4 <= room) /* "..." still fits here */
            cut = used;
        if (used + makes >= room)
            break;
        if (printable(in, bytes) != 0)
            memcpy(out + used, in, takes);
        else
            snprintf(out + used, room - used, "\\x%02X", in[0]);
        used += makes;
        in += takes;
        bytes -= takes;
    }
    if (bytes > 0) {
        memcpy(out + cut, "...", 3);
        used = cut + 3;
    }
    out[used] = '\0';
    return out;
}

char *gov__text_path(char *out, size_t room, const char *path)
{
    const unsigned char *in = (const unsigned char *)path;
    size_t left = strlen(path), wide = 0, makes;

    for (size_t i = 0; i < left; wide += makes)
        i += step(in + i, left - i, &makes);
    if (wide < room)
        return gov__text_safe(out, room, path, left);
    while (wide + 3 >= room) {
        size_t takes = step(in, left, &makes);

        wide -= makes;
        in += takes;
        left -= takes;
    }
    memcpy(out, "...", 4);
    gov__text_safe(out + 3, room - 3, in, left);
    return out;
}

struct gov__shown_name gov__text_show(const void *name, size_t bytes)
{
    struct gov__shown_name shown;

    gov__text_safe(shown.text, sizeof(shown.text), name, bytes);
    return shown;
}

bool gov__text_ends(const char *text, const char *end)
{
    size_t bytes = strlen(text), last = strlen(end);

    return bytes > last && strcmp(text + bytes - last, end) == 0;
}
