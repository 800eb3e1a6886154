/* SPDX-License-Identifier: MIT */
/* Tables: any bytes are a table whose rows can be counted on, or are refused at
 * a line and a column. The first byte says which table they are read as. */
#include <stdlib.h>
#include <string.h>

#include "policies/capacity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MACHINES 8

static void require(bool fact)
{
    if (!fact)
        abort();
}

/* NAME:LINE:COLUMN: sentence, with a line and a column from 1. */
static void check_error(const gov_error *err)
{
    const char *at = err->message;
    char *end;

    require(err->status == GOV_E_FORMAT && strncmp(at, "f:", 2) == 0);
    require(strtoul(at + 2, &end, 10) > 0 && *end == ':');
    require(strtoul(end + 1, &end, 10) > 0 && end[0] == ':' && end[1] == ' ' &&
            end[2] != '\0');
}

static void estimate(const struct gov_capacity_device *device,
                     const struct gov_capacity_model *model)
{
    static const uint64_t contexts[] = {1, 4096, UINT64_MAX};
    struct gov_capacity_verdict v[GOV_WAY_COUNT];

    for (size_t i = 0; i < 3; i++) {
        gov_capacity_estimate(device, model, contexts[i], v);
        for (int way = 0; way < GOV_WAY_COUNT; way++)
            require(!v[way].runs ||
                    (v[way].peak_bytes <= device->budget_bytes &&
                     v[way].cold_bytes <= model->weights_bytes));
        require(v[GOV_WAY_HEAP].runs == v[GOV_WAY_MMAP].runs);
        require(!v[GOV_WAY_TRADITIONAL].runs || v[GOV_WAY_HEAP].runs);
    }
}

static void read_devices(const char *text, size_t bytes)
{
    const struct gov_capacity_model model = {"m", 5000000000, 400000000, 131072,
                                             300000000};
    struct gov_capacity_device list[MACHINES];
    gov_error err = {GOV_OK, 0, ""};
    size_t count;

    if (gov_capacity_devices(list, MACHINES, &count,
                             &(struct gov_table_text){text, bytes, "f"},
                             &err) != GOV_OK) {
        check_error(&err);
        return;
    }
    for (size_t i = 0; i < count && i < MACHINES; i++) {
        require(list[i].name[0] != '\0' && list[i].ram_bytes > 0);
        require(list[i].budget_bytes <= list[i].ram_bytes);
        require(memchr(list[i].source, '\0', sizeof(list[i].source)) != NULL);
        estimate(&list[i], &model);
    }
}

static void read_models(const char *text, size_t bytes)
{
    const struct gov_capacity_device device = {
        .budget_bytes = 8000000000, .read_rate = 1, .memory_rate = 1000};
    struct gov_capacity_model list[MACHINES];
    gov_error err = {GOV_OK, 0, ""};
    size_t count;

    if (gov_capacity_models(list, MACHINES, &count,
                            &(struct gov_table_text){text, bytes, "f"},
                            &err) != GOV_OK) {
        check_error(&err);
        return;
    }
    for (size_t i = 0; i < count && i < MACHINES; i++) {
        require(list[i].name[0] != '\0' && list[i].weights_bytes > 0);
        require(list[i].largest_unit_bytes <= list[i].weights_bytes);
        estimate(&device, &list[i]);
    }
}

static void read_tiers(const char *text, size_t bytes)
{
    const struct gov_table_text from = {text, bytes, "f"};
    struct gov_facts facts = {0};
    gov_error err = {GOV_OK, 0, ""};
    struct gov_tier tier;
    gov_status status;

    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, 8000000000);
    gov_facts_set_text(&facts, GOV_FACT_DEVICE_OS, "linux");
    status = gov_tier_find(&tier, &facts, &from, &err);
    if (status == GOV_OK)
        require(tier.name[0] != '\0' && tier.sentence[0] != '\0');
    else if (status != GOV_E_NOT_FOUND)
        check_error(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size == 0)
        return 0;
    text = malloc(size); /* exact, so that the sanitizer sees an overrun */
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    if (data[0] % 3 == 0)
        read_devices(text, size - 1);
    else if (data[0] % 3 == 1)
        read_models(text, size - 1);
    else
        read_tiers(text, size - 1);
    free(text);
    return 0;
}
