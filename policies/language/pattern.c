/* SPDX-License-Identifier: MIT */
/* Patterns: `*` stands for any characters, `?` for one. */
#include "policies/language/words_priv.h"

#define NOBODY 256 /* no character */

/* A walk along both. Only the last `*` is ever tried again, so the time is at
 * most text times pattern. `?` does not pass the character `barred`. */
static bool walk(const char *text, size_t bytes, const char *pattern,
                 size_t pattern_bytes, int barred)
{
    size_t t = 0, p = 0;
    size_t star = SIZE_MAX, retry = 0;

    while (t < bytes) {
        if (p < pattern_bytes && pattern[p] == '*') {
            star = p++;
            retry = t;
        } else if (p < pattern_bytes && pattern[p] == '?' &&
                   text[t] != barred) {
            p++;
            t++;
            while (t < bytes && ((unsigned char)text[t] & 0xC0) == 0x80)
                t++;
        } else if (p < pattern_bytes && pattern[p] == text[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (p < pattern_bytes && pattern[p] == '*')
        p++;
    return p == pattern_bytes;
}

bool gov__matches(const char *text, size_t text_bytes, const char *pattern,
                  size_t pattern_bytes)
{
    return walk(text, text_bytes, pattern, pattern_bytes, NOBODY);
}

/* What stands for any number of characters is not passed by what stands for
 * one. */
bool gov__pattern_within(const char *narrow, size_t narrow_bytes,
                         const char *wide, size_t wide_bytes)
{
    return walk(narrow, narrow_bytes, wide, wide_bytes, '*');
}
