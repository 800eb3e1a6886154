/* SPDX-License-Identifier: MIT */
/* The page decoder: the bytes as they are, and once more with a checksum that
 * fits, since no fuzzer would guess one. */
#include <stdlib.h>
#include <string.h>

#include "governor/runtime/page_layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

static void check(const struct gov_page *page)
{
    require(page->pid > 0);
    require(page->have >> GOV_PAGE_COUNTERS == 0);
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        require((page->have >> i & 1) != 0 || page->counter[i] == 0);
    for (int i = 0; i < GOV_PAGE_TEXTS; i++) {
        const char *text = gov_page_text_get(page, (gov_page_text)i);
        size_t bytes = gov__page_field((gov_page_text)i)->bytes;
        size_t used = strnlen(text, bytes);

        require(used < bytes);
        for (size_t j = 0; j < bytes; j++)
            require(j < used ? (unsigned char)text[j] >= 0x20 && text[j] != 0x7F
                             : text[j] == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[GOV__PAGE_BYTES] = {0};
    struct gov_page page;
    uint64_t sum;

    if (gov__page_decode(data, size, &page) == GOV__PAGE_VALID)
        check(&page);
    memcpy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
    memcpy(bytes, "GOVPAGE\n\1\0\0\0\0\10\0\0", GOV__PAGE_AT_SEQUENCE);
    memcpy(bytes + GOV__PAGE_AT_TAIL, bytes + GOV__PAGE_AT_SEQUENCE, 8);
    sum = gov__page_checksum(bytes);
    for (int i = 0; i < 8; i++)
        bytes[GOV__PAGE_AT_CHECKSUM + i] = (uint8_t)(sum >> (8 * i));
    if (gov__page_decode(bytes, sizeof(bytes), &page) == GOV__PAGE_VALID)
        check(&page);
    return 0;
}
