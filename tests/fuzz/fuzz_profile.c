/* SPDX-License-Identifier: MIT */
/* The text of a stored profile. Whatever is accepted must be in range, must be
 * written again, and must then be read as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "governor/device/device_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gov_device device, again;
    struct gov_facts facts;
    char text[8192], note[64];
    gov_error err;

    memset(&device, 0, sizeof(device));
    if (gov__profile_parse(&device, (const char *)data, size, "fuzzed", &err) !=
        GOV_OK) {
        must(err.status == GOV_E_FORMAT);
        for (const char *at = err.message; *at != '\0'; at++)
            must(*at >= 0x20 && *at <= 0x7e);
        must(device.size == 0);
        return 0;
    }
    must(device.size == sizeof(device));
    must((device.page_bytes & (device.page_bytes - 1)) == 0);
    must((device.have & GOV_DEVICE_HAVE_RAM) != 0 || device.ram_bytes == 0);
    must((device.have & GOV_DEVICE_HAVE_LIMIT) != 0 || device.limit_bytes == 0);
    must(memchr(device.cpu, '\0', sizeof(device.cpu)) != NULL);
    must(gov_device_json(&device, text, sizeof(text), NULL) == GOV_OK);
    memset(&again, 0, sizeof(again));
    must(gov__profile_parse(&again, text, strlen(text), "again", NULL) ==
         GOV_OK);
    must(memcmp(&device, &again, sizeof(device)) == 0);
    must(!gov__profile_differs(&device, &again, note, sizeof(note)));
    memset(&facts, 0, sizeof(facts));
    gov_device_facts(&device, &facts);
    gov__device_budget(&device);
    return 0;
}
