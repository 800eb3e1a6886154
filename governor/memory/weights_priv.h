/* SPDX-License-Identifier: MIT */
/* gov_weights on any platform table, for tests. The table is borrowed and must
 * outlive what was made with it. */
#ifndef GOV_MEMORY_WEIGHTS_PRIV_H
#define GOV_MEMORY_WEIGHTS_PRIV_H

#include "governor/platform/platform.h"
#include "governor/weights.h"

gov_status gov__weights_adopt_on(gov_weights **out,
                                 const struct gov_platform *platform,
                                 const gov_model *model,
                                 const struct gov_weights_options *options,
                                 gov_error *err);

#endif
