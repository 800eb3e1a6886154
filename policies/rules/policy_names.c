/* SPDX-License-Identifier: MIT */
/* Which rule has which name: a thousand rules are read, and laid over another
 * thousand, without comparing each with each. */
#include "policies/rules/policy_priv.h"

#include <string.h>

#define SLOTS ((size_t)2 * GOV__RULES_MAX) /* a power of two, half used */

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static size_t hash(const char *name)
{
    uint32_t h = UINT32_C(2166136261);

    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * UINT32_C(16777619);
    return h;
}

/* The slot of that name, or the one where it belongs. */
static size_t slot_of(const struct gov__names *names,
                      const struct gov__rule *list, const char *name)
{
    size_t at = hash(name) % SLOTS;

    while (names->slot[at] != 0 &&
           strcmp(list[names->slot[at] - 1].name, name) != 0)
        at = (at + 1) % SLOTS;
    return at;
}

size_t gov__names_find(const struct gov__names *names,
                       const struct gov__rule *list, const char *name)
{
    uint16_t slot = names->slot[slot_of(names, list, name)];

    return slot != 0 ? (size_t)slot - 1 : GOV__RULES_MAX;
}

void gov__names_add(struct gov__names *names, const struct gov__rule *list,
                    size_t number)
{
    names->slot[slot_of(names, list, list[number].name)] =
        (uint16_t)(number + 1);
}
