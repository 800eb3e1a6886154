/* SPDX-License-Identifier: MIT */
#include "policies/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *gov_status_text(gov_status status)
{
    switch (status) {
#define GOV_STATUS_CASE(name, number, text)                                    \
    case GOV_##name:                                                           \
        return text;
        GOV_STATUS_MAP(GOV_STATUS_CASE)
#undef GOV_STATUS_CASE
    }
    return "unknown status";
}

/* A cut in the middle of a UTF-8 sequence would show as garbage: step back to
 * the start of the last character where it is unfinished. */
static void cut_at_character(char *text, size_t bytes)
{
    size_t end = strlen(text), start = end, length;
    unsigned char lead;

    if (end + 1 < bytes)
        return;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0 || ((unsigned char)text[--start] & 0xC0) != 0xC0)
        return;
    lead = (unsigned char)text[start];
    length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (end - start < length)
        text[start] = '\0';
}

gov_status gov_fail(gov_error *err, gov_status status, int os_errno,
                    const char *format, ...)
{
    va_list args;
    size_t used;
    int n;

    if (err == NULL)
        return status;
    err->status = status;
    err->os_errno = os_errno;
    va_start(args, format);
    n = vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    if (n < 0)
        err->message[0] = '\0';
    used = strlen(err->message);
    if (os_errno != 0 && used + 3 < sizeof(err->message)) {
        memcpy(err->message + used, ": ", 3);
        used += 2;
        if (strerror_r(os_errno, err->message + used,
                       sizeof(err->message) - used) != 0)
            snprintf(err->message + used, sizeof(err->message) - used,
                     "error %d", os_errno);
    }
    cut_at_character(err->message, sizeof(err->message));
    return status;
}
