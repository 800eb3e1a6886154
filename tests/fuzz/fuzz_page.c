/* SPDX-License-Identifier: MIT */
/* The page decoder: the bytes as they are, once more as a page of ours with a
 * checksum that fits, since no fuzzer would guess one, and as the head of a page of
 * another version. */
#include <stdlib.h>
#include <string.h>

#include "governor/runtime/page_layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

/* Printable, and nothing behind its end. */
static void check_text(const char *text, size_t bytes)
{
    const size_t used = strnlen(text, bytes);

    require(used < bytes);
    for (size_t i = 0; i < bytes; i++)
        require(i < used ? (unsigned char)text[i] >= 0x20 && text[i] != 0x7F
                         : text[i] == 0);
}

static void check_lists(const struct gov_page *page)
{
    static const struct gov_page none;
    size_t i = 0;

    for (; i < GOV_PAGE_ACTIONS && page->action[i].name[0] != '\0'; i++) {
        check_text(page->action[i].name, sizeof(page->action[i].name));
        require(page->action[i].flags <= 7);
    }
    for (; i < GOV_PAGE_ACTIONS; i++)
        require(memcmp(&page->action[i], &none.action[0],
                       sizeof(page->action[i])) == 0);
    for (i = 0; i < GOV_PAGE_EVENTS && page->event[i].at_us != 0; i++)
        check_text(page->event[i].text, sizeof(page->event[i].text));
    for (; i < GOV_PAGE_EVENTS; i++)
        require(memcmp(&page->event[i], &none.event[0],
                       sizeof(page->event[i])) == 0);
}

static void check(const struct gov_page *page)
{
    require(page->pid > 0 && !page->alive);
    require(page->have >> GOV_PAGE_COUNTERS == 0);
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        require((page->have >> i & 1) != 0 || page->counter[i] == 0);
    for (int i = 0; i < GOV_PAGE_TEXTS; i++)
        check_text(gov_page_text_get(page, (gov_page_text)i),
                   gov__page_field((gov_page_text)i)->bytes);
    check_lists(page);
}

static void try_head(const uint8_t *data, size_t size)
{
    struct gov_page page;

    if (size < GOV__PAGE_HEAD_BYTES || !gov__page_head(data, size, &page))
        return;
    check(&page);
    require(page.version != 0 && page.version != GOV__PAGE_VERSION);
    require(page.have == 0 && page.action[0].name[0] == '\0' &&
            page.event[0].at_us == 0 && page.text_APP[0] == '\0' &&
            page.text_REASON[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[GOV__PAGE_BYTES] = {0};
    struct gov_page page;
    uint64_t sum;

    if (gov__page_decode(data, size, &page) == GOV__PAGE_VALID)
        check(&page);
    try_head(data, size);
    memcpy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
    memcpy(bytes, "GOVPAGE\n", 8);
    memcpy(bytes + GOV__PAGE_AT_SIZE, "\0\40\0\0", 4);
    try_head(bytes, sizeof(bytes));
    memcpy(bytes + GOV__PAGE_AT_VERSION, "\2\0\0\0", 4);
    memcpy(bytes + GOV__PAGE_AT_TAIL, bytes + GOV__PAGE_AT_SEQUENCE, 8);
    sum = gov__page_checksum(bytes);
    for (int i = 0; i < 8; i++)
        bytes[GOV__PAGE_AT_CHECKSUM + i] = (uint8_t)(sum >> (8 * i));
    if (gov__page_decode(bytes, sizeof(bytes), &page) == GOV__PAGE_VALID) {
        check(&page);
        require(page.version == GOV__PAGE_VERSION);
    }
    return 0;
}
