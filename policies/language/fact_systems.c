/* SPDX-License-Identifier: MIT */
/* Which facts a kind of system can ever tell. Reads nothing: what the files of
 * each system under governor/platform answer is listed here, as a policy is
 * checked on one machine for another. */
#include "policies/facts.h"

#include <string.h>

/* Only what no machine of that kind tells; what some do, such as those whose
 * driver is asked, is not in it. gov__darwin_tell() and gov__linux_tell() answer
 * ENOTSUP for exactly these. */
static const struct {
    const char *os;
    gov_fact fact;
} silent[] = {
    {"linux", GOV_FACT_DEVICE_WIRED_LIMIT},
    {"darwin", GOV_FACT_DEVICE_HUGE_PAGE},
    {"darwin", GOV_FACT_DEVICE_HUGE_PAGES},
    {"darwin", GOV_FACT_DEVICE_ZRAM},
    {"darwin", GOV_FACT_DEVICE_OVERCOMMIT},
    {"darwin", GOV_FACT_DEVICE_PSI},
    {"darwin", GOV_FACT_DEVICE_USERFAULTFD},
    {"darwin", GOV_FACT_DEVICE_CACHESTAT},
    {"darwin", GOV_FACT_DEVICE_IO_URING},
};

bool gov_fact_told_by(gov_fact fact, const char *os)
{
    for (size_t i = 0; os != NULL && i < sizeof(silent) / sizeof(silent[0]);
         i++)
        if (silent[i].fact == fact && strcmp(silent[i].os, os) == 0)
            return false;
    return true;
}
