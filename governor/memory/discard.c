/* SPDX-License-Identifier: MIT */
/* Gives back parts of buffers that somebody else allocated. */
#include "governor/memory.h"
#include "governor/platform/platform.h"

size_t gov_page_bytes(void)
{
    const struct gov_platform *platform = gov__platform_native();

    return platform->page_bytes(platform->ctx);
}

uint64_t gov_discard(void *base, size_t bytes)
{
    const struct gov_platform *platform = gov__platform_native();
    uint64_t page = platform->page_bytes(platform->ctx);
    uint64_t start = gov__round_up((uintptr_t)base, page);
    uint64_t end = gov__round_down((uintptr_t)base + bytes, page);

    if (base == NULL || start >= end)
        return 0;
    if (platform->discard(platform->ctx,
                          (char *)base + (start - (uintptr_t)base),
                          (size_t)(end - start)) != 0)
        return 0;
    return end - start;
}
