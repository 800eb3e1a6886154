/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_format.h"

#include <stdio.h>

/* Thousandths with three digits: "1.42", "14.2", "142", and a unit. */
static char *three_digits(char out[TOP_NUMBER], uint64_t milli,
                          const char *unit)
{
    if (milli < 9995)
        snprintf(out, TOP_NUMBER, "%u.%02u%s", (unsigned)((milli + 5) / 1000),
                 (unsigned)((milli + 5) / 10 % 100), unit);
    else if (milli < 99950)
        snprintf(out, TOP_NUMBER, "%u.%u%s", (unsigned)((milli + 50) / 1000),
                 (unsigned)((milli + 50) / 100 % 10), unit);
    else
        snprintf(out, TOP_NUMBER, "%u%s", (unsigned)((milli + 500) / 1000),
                 unit);
    return out;
}

static char *text(char out[TOP_NUMBER], const char *word)
{
    snprintf(out, TOP_NUMBER, "%s", word);
    return out;
}

/* Numbers from `least` on in steps of `step`, whose names are in `units`. */
static char *scaled(char out[TOP_NUMBER], uint64_t n, unsigned step,
                    const char *units)
{
    uint64_t unit = step, milli;

    for (; *units != '\0'; units++, unit *= step) {
        const char name[] = {*units, '\0'};

        milli = n / unit >= 1000 ? 1000000
                                 : n / unit * 1000 + n % unit * 1000 / unit;
        /* 999.5 would need a fourth digit. */
        if (milli < 999500)
            return three_digits(out, milli, name);
    }
    return text(out, ">999P");
}

char *top_bytes(char out[TOP_NUMBER], uint64_t bytes)
{
    if (bytes == TOP_UNKNOWN)
        return text(out, "-");
    if (bytes < 1000) {
        snprintf(out, TOP_NUMBER, "%uB", (unsigned)bytes);
        return out;
    }
    return scaled(out, bytes, 1024, "KMGTP");
}

char *top_count(char out[TOP_NUMBER], uint64_t n)
{
    if (n == TOP_UNKNOWN)
        return text(out, "-");
    if (n < 10000) {
        snprintf(out, TOP_NUMBER, "%u", (unsigned)n);
        return out;
    }
    return scaled(out, n, 1000, "kMGTP");
}

char *top_milli(char out[TOP_NUMBER], uint64_t milli)
{
    if (milli == TOP_UNKNOWN)
        return text(out, "-");
    if (milli < 999500)
        return three_digits(out, milli, "");
    return top_count(out, milli / 1000);
}

char *top_percent(char out[TOP_NUMBER], uint64_t permille)
{
    if (permille == TOP_UNKNOWN)
        return text(out, "-");
    if (permille > 1000)
        permille = 1000;
    snprintf(out, TOP_NUMBER, "%u.%u%%", (unsigned)(permille / 10),
             (unsigned)(permille % 10));
    return out;
}

char *top_duration(char out[TOP_NUMBER], uint64_t us)
{
    if (us == TOP_UNKNOWN)
        return text(out, "-");
    if (us < 999500)
        return three_digits(out, us, "ms");
    if (us < UINT64_C(999500000))
        return three_digits(out, us / 1000, "s");
    top_count(out, us / 1000000 / 60);
    for (int i = 0; i < TOP_NUMBER - 4; i++)
        if (out[i] == '\0') {
            snprintf(out + i, 4, "min");
            break;
        }
    return out;
}

char *top_ago(char out[TOP_NUMBER], uint64_t us)
{
    static const struct {
        uint64_t seconds, below; /* one of them, and where the next is better */
        const char *name;
    } units[] = {
        {1, 60, "s"},
        {60, 3600, "min"},
        {3600, 86400, "h"},
        {86400, 1000 * UINT64_C(86400), "d"},
    };
    uint64_t seconds = us / 1000000;

    if (us == TOP_UNKNOWN)
        return text(out, "-");
    if (seconds == 0)
        return text(out, "now");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (seconds < units[i].below) {
            snprintf(out, TOP_NUMBER, "%u %s ago",
                     (unsigned)(seconds / units[i].seconds), units[i].name);
            return out;
        }
    return text(out, "long ago");
}

uint64_t top_permille(uint64_t part, uint64_t whole)
{
    if (part == TOP_UNKNOWN || whole == TOP_UNKNOWN || whole == 0)
        return TOP_UNKNOWN;
    while (part > UINT64_MAX / 1000) { /* 2^54 and up: the low bits are noise */
        part /= 2;
        whole = whole / 2 > 0 ? whole / 2 : 1;
    }
    return part * 1000 / whole;
}
