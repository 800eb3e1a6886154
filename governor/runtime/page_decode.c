/* SPDX-License-Identifier: MIT */
/* What the bytes of a page mean, whatever they are: texts are cleaned, and what is
 * not known is passed over. Reads no file (page_reader.c does). */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "governor/runtime/page_layout.h"

/* ---- names ----------------------------------------------------------------- */

_Static_assert(GOV__PAGE_AT_TEXTS + sizeof(struct gov__page_texts) <=
                   GOV__PAGE_AT_ACTIONS,
               "the texts do not fit the page; longer ones need version 3");
_Static_assert(GOV_PAGE_COUNTERS <= 64,
               "struct gov_page has one word of `have`; see docs/page.md");
_Static_assert(GOV__PAGE_AT_ACTIONS + GOV_PAGE_ACTIONS * GOV__ACTION_BYTES ==
                       GOV__PAGE_AT_EVENTS &&
                   GOV__PAGE_AT_EVENTS + GOV_PAGE_EVENTS * GOV__EVENT_BYTES ==
                       GOV__PAGE_AT_REST,
               "the parts of the page follow each other");

const char *gov_page_counter_name(gov_page_counter counter)
{
    static const char *const names[GOV_PAGE_COUNTERS] = {
#define GOV_PAGE_NAME(id, name, sentence) name,
        GOV_PAGE_COUNTER_MAP(GOV_PAGE_NAME)
#undef GOV_PAGE_NAME
    };

    if ((unsigned)counter >= GOV_PAGE_COUNTERS)
        return NULL;
    return names[counter];
}

const struct gov__page_field *gov__page_field(gov_page_text text)
{
    static const struct gov__page_field fields[GOV_PAGE_TEXTS] = {
#define GOV_PAGE_FIELD(id, name, bytes)                                        \
    {name, offsetof(struct gov_page, text_##id),                               \
     GOV__PAGE_AT_TEXTS + offsetof(struct gov__page_texts, id), bytes},
        GOV_PAGE_TEXT_MAP(GOV_PAGE_FIELD)
#undef GOV_PAGE_FIELD
    };

    if ((unsigned)text >= GOV_PAGE_TEXTS)
        return NULL;
    return &fields[text];
}

const char *gov_page_text_name(gov_page_text text)
{
    const struct gov__page_field *field = gov__page_field(text);

    return field == NULL ? NULL : field->name;
}

const char *gov_page_text_get(const struct gov_page *page, gov_page_text text)
{
    const struct gov__page_field *field = gov__page_field(text);

    return field == NULL ? "" : (const char *)page + field->offset;
}

/* ---- decoding -------------------------------------------------------------- */

uint64_t gov__page_checksum(const uint8_t bytes[GOV__PAGE_BYTES])
{
    return XXH3_64bits(bytes, GOV__PAGE_AT_CHECKSUM);
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
    uint64_t n = 0;

    for (size_t i = bytes; i-- > 0;)
        n = n << 8 | at[i];
    return n;
}

/* Characters that would move the cursor, start a control sequence or turn the
 * text around in a terminal. */
static bool is_harmful(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C ||
           (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
           (c >= 0xFFF9 && c <= 0xFFFB);
}

/* Length of the printable UTF-8 character at `at`, 0 when there is none there.
 * *skip is how many bytes to leave out then. Stops at a NUL. */
static size_t character(const uint8_t *at, size_t *skip)
{
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = 1;
    uint32_t c = at[0];

    *skip = 1;
    if (c >= 0xC0 && c < 0xF8) {
        bytes = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
        c &= 0x7FU >> bytes;
    } else if (c >= 0x80) {
        return 0;
    }
    for (size_t i = 1; i < bytes; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (at[i] & 0x3FU);
    }
    if (c < lowest[bytes] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0;
    *skip = bytes;
    return is_harmful(c) ? 0 : bytes;
}

/* Copies a field; what is not printable becomes one '?' a character, and what
 * follows the NUL becomes zero. */
static void copy_text(char *out, const uint8_t *field, size_t bytes)
{
    uint8_t text[sizeof(struct gov__page_texts)]; /* any field fits */
    size_t used = 0, skip;

    memset(out, 0, bytes);
    memcpy(text, field, bytes);
    text[bytes - 1] = '\0';
    for (const uint8_t *at = text; *at != '\0'; at += skip) {
        size_t length = character(at, &skip);

        if (length == 0)
            out[used++] = '?';
        for (size_t i = 0; i < length; i++)
            out[used++] = (char)at[i];
    }
}

static void decode_counters(const uint8_t *bytes, struct gov_page *out)
{
    const uint64_t known = UINT64_MAX >> (64 - GOV_PAGE_COUNTERS);

    out->have = get(bytes + GOV__PAGE_AT_HAVE, 8) & known;
    for (size_t i = 0; i < GOV_PAGE_COUNTERS; i++)
        if (out->have >> i & 1)
            out->counter[i] = get(bytes + GOV__PAGE_AT_COUNTERS + 8 * i, 8);
}

static void decode_texts(const uint8_t *bytes, struct gov_page *out)
{
    for (int i = 0; i < GOV_PAGE_TEXTS; i++) {
        const struct gov__page_field *field = gov__page_field((gov_page_text)i);

        copy_text((char *)out + field->offset, bytes + field->at, field->bytes);
    }
}

static void decode_actions(const uint8_t *at, struct gov_page *out)
{
    const uint32_t known = GOV_PAGE_ACTION_RUNNING | GOV_PAGE_ACTION_RETIRED |
                           GOV_PAGE_ACTION_OVERDUE;

    /* The first that has no name ends the list. */
    for (size_t i = 0; i < GOV_PAGE_ACTIONS; i++, at += GOV__ACTION_BYTES) {
        struct gov_page_action *action = &out->action[i];

        copy_text(action->name, at + GOV__ACTION_AT_NAME, sizeof(action->name));
        if (action->name[0] == '\0')
            return;
        action->from_level = (uint32_t)get(at + GOV__ACTION_AT_FROM_LEVEL, 4);
        action->flags = (uint32_t)get(at + GOV__ACTION_AT_FLAGS, 4) & known;
        action->runs = (uint32_t)get(at + GOV__ACTION_AT_RUNS, 4);
        action->rest_ms = (uint32_t)get(at + GOV__ACTION_AT_REST_MS, 4);
        action->claimed_bytes = get(at + GOV__ACTION_AT_CLAIMED, 8);
        action->yield_bytes = get(at + GOV__ACTION_AT_YIELD, 8);
        action->last_yield_bytes = get(at + GOV__ACTION_AT_LAST_YIELD, 8);
    }
}

static void decode_events(const uint8_t *at, struct gov_page *out)
{
    for (size_t i = 0; i < GOV_PAGE_EVENTS; i++, at += GOV__EVENT_BYTES) {
        struct gov_page_event *event = &out->event[i];

        event->at_us = get(at + GOV__EVENT_AT_TIME, 8);
        if (event->at_us == 0)
            return;
        event->kind = (uint32_t)get(at + GOV__EVENT_AT_KIND, 4);
        event->level = (uint32_t)get(at + GOV__EVENT_AT_LEVEL, 4);
        event->yield_bytes = get(at + GOV__EVENT_AT_YIELD, 8);
        copy_text(event->text, at + GOV__EVENT_AT_TEXT, sizeof(event->text));
    }
}

/* What every version says of whose page it is; false where that is nobody's. */
static bool decode_owner(const uint8_t *bytes, struct gov_page *out)
{
    const uint64_t pid = get(bytes + GOV__PAGE_AT_PID, 4);

    if (pid == 0 || pid > INT32_MAX)
        return false;
    memset(out, 0, sizeof(*out));
    out->pid = (int32_t)pid;
    out->version = (uint32_t)get(bytes + GOV__PAGE_AT_VERSION, 4);
    out->start_ticks = get(bytes + GOV__PAGE_AT_START, 8);
    return true;
}

enum gov__page_verdict gov__page_decode(const uint8_t *bytes, size_t size,
                                        struct gov_page *out)
{
    if (size != GOV__PAGE_BYTES ||
        get(bytes + GOV__PAGE_AT_MAGIC, 8) != GOV__PAGE_MAGIC ||
        get(bytes + GOV__PAGE_AT_VERSION, 4) != GOV__PAGE_VERSION ||
        get(bytes + GOV__PAGE_AT_SIZE, 4) != GOV__PAGE_BYTES)
        return GOV__PAGE_FOREIGN;
    /* The cheap test first: a reader that overtakes the writer sees the new
     * head and the old tail. */
    if (get(bytes + GOV__PAGE_AT_SEQUENCE, 8) !=
            get(bytes + GOV__PAGE_AT_TAIL, 8) ||
        get(bytes + GOV__PAGE_AT_CHECKSUM, 8) != gov__page_checksum(bytes))
        return GOV__PAGE_TORN;
    if (!decode_owner(bytes, out))
        return GOV__PAGE_FOREIGN;
    decode_counters(bytes, out);
    decode_texts(bytes, out);
    decode_actions(bytes + GOV__PAGE_AT_ACTIONS, out);
    decode_events(bytes + GOV__PAGE_AT_EVENTS, out);
    return GOV__PAGE_VALID;
}

bool gov__page_head(const uint8_t *bytes, uint64_t size, struct gov_page *out)
{
    const uint64_t version = get(bytes + GOV__PAGE_AT_VERSION, 4);

    if (size < GOV__PAGE_HEAD_BYTES || size > GOV__PAGE_MOST_BYTES ||
        get(bytes + GOV__PAGE_AT_MAGIC, 8) != GOV__PAGE_MAGIC || version == 0 ||
        version == GOV__PAGE_VERSION ||
        get(bytes + GOV__PAGE_AT_SIZE, 4) != size || !decode_owner(bytes, out))
        return false;
    snprintf(out->text_REASON, sizeof(out->text_REASON),
             "its page is of version %" PRIu64
             ", and this program reads version %d",
             version, GOV__PAGE_VERSION);
    return true;
}
