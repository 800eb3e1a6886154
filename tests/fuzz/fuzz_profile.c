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

static void must_be_text(const char *text, size_t room)
{
    must(memchr(text, '\0', room) != NULL);
    for (; *text != '\0'; text++)
        must(*text >= 0x20 && *text <= 0x7e);
}

static void check_lists(const struct gov_device *device)
{
    must(device->fact_count <= GOV_DEVICE_FACTS);
    must(device->gpu_count <= GOV_DEVICE_GPUS);
    must_be_text(device->measured_on, sizeof(device->measured_on));
    for (uint32_t i = 0; i < device->fact_count; i++) {
        const struct gov_device_fact *at = &device->facts[i];

        must(gov__device_lists(at->fact));
        must(gov_device_fact(device, at->fact) == at); /* once */
        must(at->known || (at->number == 0 && at->text[0] == '\0'));
        must(at->number <= INT64_MAX);
        must_be_text(at->text, sizeof(at->text));
        must_be_text(at->source, sizeof(at->source));
    }
    for (unsigned i = 0; i < GOV_DEVICE_FIGURES; i++) {
        const struct gov_device_figure *at = &device->figures[i];

        must(at->known ? at->low > 0 && at->low <= at->median &&
                             at->median <= at->high && at->samples > 0
                       : at->median == 0 && at->low == 0 && at->high == 0);
        must_be_text(at->note, sizeof(at->note));
    }
    for (uint32_t i = 0; i < device->gpu_count; i++) {
        must_be_text(device->gpus[i].name, sizeof(device->gpus[i].name));
        must_be_text(device->gpus[i].bus, sizeof(device->gpus[i].bus));
        must_be_text(device->gpus[i].source, sizeof(device->gpus[i].source));
    }
}

static void check_sense(const struct gov_device *device)
{
    uint64_t page = gov_device_number(device, GOV_FACT_DEVICE_PAGE_SIZE, 4096);
    uint64_t ram = gov_device_number(device, GOV_FACT_DEVICE_RAM, UINT64_MAX);

    must(page > 0 && (page & (page - 1)) == 0);
    must(ram > 0);
    must(gov_device_number(device, GOV_FACT_BUDGET_RAM, 0) <= ram);
    must(gov_device_number(device, GOV_FACT_DEVICE_CORES, 1) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[65536];
    struct gov_device device, again;
    struct gov_facts facts;
    char note[64];
    gov_error err;

    memset(&device, 0, sizeof(device));
    if (gov__profile_parse(&device, (const char *)data, size, "fuzzed", &err) !=
        GOV_OK) {
        must(err.status == GOV_E_FORMAT);
        must_be_text(err.message, sizeof(err.message));
        must(device.size == 0);
        return 0;
    }
    must(device.size == sizeof(device));
    check_lists(&device);
    check_sense(&device);
    must(gov_device_json(&device, text, sizeof(text), NULL) == GOV_OK);
    memset(&again, 0, sizeof(again));
    must(gov__profile_parse(&again, text, strlen(text), "again", NULL) ==
         GOV_OK);
    must(memcmp(&device, &again, sizeof(device)) == 0);
    must(gov_device_changes(&device, &again, note, sizeof(note)) == 0);
    memset(&facts, 0, sizeof(facts));
    gov_device_facts(&device, &facts);
    for (unsigned i = 0; i < GOV_FACT_COUNT; i++)
        must(facts.value[i].number >= 0);
    gov__device_budget(&device);
    gov__device_tier(&device);
    return 0;
}
