/* SPDX-License-Identifier: MIT */
/* A short name for what a profile is of, for rows that are kept beside it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "governor/device/device_priv.h"

/* Integers in one order on every machine. */
static void add_number(XXH3_state_t *state, uint64_t n)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(n >> (8 * i));
    (void)XXH3_64bits_update(state, bytes, sizeof(bytes));
}

void gov__device_id(const struct gov_device *device, char out[GOV__DEVICE_ID])
{
    XXH3_state_t state;
    gov_fact fact;

    (void)XXH3_64bits_reset(&state);
    for (size_t i = 0; gov__device_depends_on(i, &fact); i++) {
        const struct gov_device_fact *at = gov_device_fact(device, fact);
        const bool known = at != NULL && at->known;

        add_number(&state, known);
        if (!known)
            continue;
        add_number(&state, at->number);
        (void)XXH3_64bits_update(&state, at->text, strlen(at->text) + 1);
    }
    snprintf(out, GOV__DEVICE_ID, "%016" PRIx64, XXH3_64bits_digest(&state));
}
