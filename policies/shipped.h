/* SPDX-License-Identifier: MIT */
/* What lies in configs/, as the build put it into the library: an app that links
 * it needs no file of ours. NUL-terminated; the sizes are without the NUL. */
#ifndef GOV_POLICIES_SHIPPED_H
#define GOV_POLICIES_SHIPPED_H

#include <stddef.h>

#define GOV_SHIPPED(name)                                                      \
    extern const char gov__shipped_##name[];                                   \
    extern const size_t gov__shipped_##name##_bytes;

GOV_SHIPPED(balanced) /* configs/policies/balanced.yaml: a policy */
GOV_SHIPPED(responsive)
GOV_SHIPPED(frugal)
GOV_SHIPPED(server)
GOV_SHIPPED(tiers)   /* configs/tiers.yaml: classes of machines */
GOV_SHIPPED(models)  /* configs/models.yaml: sizes of models */
GOV_SHIPPED(devices) /* configs/devices.yaml: machines by specification */

#undef GOV_SHIPPED

#endif
