/* SPDX-License-Identifier: MIT */
/* The table of figures, as device.h declares them. Measures nothing. */
#include "governor/device/device_priv.h"

static const struct gov_figure_info infos[GOV_FIGURE_COUNT] = {
#define FIGURE_INFO(id, name, unit, full, sentence)                            \
    {name, GOV_UNIT_##unit, full, sentence},
    GOV_FIGURE_MAP(FIGURE_INFO)
#undef FIGURE_INFO
};

_Static_assert((int)GOV_FIGURE_COUNT <= (int)GOV_DEVICE_FIGURES,
               "every figure has a place in struct gov_device");

const struct gov_figure_info *gov_figure_info(gov_figure figure)
{
    if ((unsigned)figure >= GOV_FIGURE_COUNT)
        return NULL;
    return &infos[figure];
}

uint64_t gov_device_measured(const struct gov_device *device, gov_figure figure,
                             uint64_t otherwise)
{
    if ((unsigned)figure >= GOV_FIGURE_COUNT || !device->figures[figure].known)
        return otherwise;
    return device->figures[figure].median;
}
