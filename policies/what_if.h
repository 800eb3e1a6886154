/* SPDX-License-Identifier: MIT */
/* "What if this machine had 8 GiB, and the model 5 GB?": facts as text, put over
 * those that were found. */
#ifndef GOV_POLICIES_WHAT_IF_H
#define GOV_POLICIES_WHAT_IF_H

#include "policies/facts.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One change, told to a person: "device.ram" "8.00 GiB" "15.6 GiB" "". */
typedef void (*gov_what_if_fn)(void *ctx, const char *fact, const char *now,
                               const char *before, const char *because);

/* Sets facts as `text` says: "ram=8GiB,model.weights=5GB,device.os=darwin". A name
 * without a dot is that of the first of device, model, request, budget, gpu and
 * pressure that has such a fact, derived ones left out: every decision sets those
 * anew. Numbers are as in conditions (8 GiB, 50 %, 20 ms, 4096), sizes also in MB,
 * GB and TB, flags true, yes, false or no, texts without quotes and without a
 * comma. `unknown` as a value makes a fact unknown. What follows from a fact that
 * is named follows it, unless it is named too:
 *
 *   device.ram or device.limit    budget.ram: the smaller one, less the reserve
 *                                 of a machine with that much
 *   model.weights                 model.file, .pass, .largest_unit,
 *                                 .smallest_layer, .repack_bytes, .parameters, in
 *                                 proportion, where both are known
 *
 * Each change is told to `told` (may be NULL) once all of them are found good;
 * `because` says what a fact that was not named follows. Texts of facts then point
 * into `buffer`, which must live as long as they are used. The facts are untouched
 * on failure.
 *
 * GOV_E_INVALID  a name or a value that is none, one twice, or texts that are too
 *                long; err says which, with what was probably meant */
GOV_API GOV_NODISCARD gov_status gov_what_if(struct gov_facts *facts,
                                             const char *text, char buffer[512],
                                             gov_what_if_fn told, void *ctx,
                                             gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
