/* SPDX-License-Identifier: MIT */
#include "tools/cli/text.h"

#include <langinfo.h>
#include <stdio.h>
#include <string.h>

#define LEAST 10

bool cli_utf8(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a tool, which sets it once */
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

int cli_width(const char *text)
{
    int n = 0;

    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* Bytes of the next word, at most `room` characters of it; one that is longer
 * is best cut behind a slash. */
static size_t word_bytes(const char *text, int room)
{
    size_t n = 0, slash = 0;

    while (text[n] != '\0' && text[n] != ' ') {
        if (((unsigned char)text[n] & 0xC0) != 0x80 && room-- <= 0)
            return slash > 0 ? slash : n;
        if (text[n++] == '/')
            slash = n;
    }
    return n;
}

static void put(const char *text)
{
    for (; *text != '\0'; text++)
        putchar(*text == CLI_NO_BREAK ? ' ' : *text);
}

int cli_put_wrapped(const char *text, int column, int indent, int columns)
{
    bool first = true;

    /* A window of one column has no room for a text, but it must end. */
    if (columns < indent + LEAST)
        columns = indent + LEAST;
    if (column + cli_width(text) <= columns) {
        put(text);
        return column + cli_width(text);
    }
    while (*text != '\0') {
        int room = columns - indent;
        size_t bytes = word_bytes(text, room);
        char word[512];
        int wide;

        if (bytes >= sizeof(word))
            bytes = sizeof(word) - 1;
        memcpy(word, text, bytes);
        word[bytes] = '\0';
        wide = cli_width(word);
        if (column + !first + wide > columns && column > indent) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            putchar(' ');
            column++;
        }
        put(word);
        column += wide;
        text += bytes;
        first = false;
        /* A word that was cut goes on in the next line. */
        if (*text != ' ' && *text != '\0') {
            printf("\n%*s", indent, "");
            column = indent;
            first = true;
        }
        text += strspn(text, " ");
    }
    return column;
}
