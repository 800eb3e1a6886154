/* SPDX-License-Identifier: MIT */
/* Cases: facts in, expected decision, so that rules can be tested like code.
 *
 *   version: 1
 *   policy: balanced              # shipped; what is being tested when nobody says
 *   common: { device.ram: 16 GiB }  # facts of every case
 *   cases:
 *     - name: small device
 *       requirement: S5           # optional
 *       facts: { device.ram: 4 GiB, model.weights: 1 GiB }
 *       expect: { strategy: heap, rule: small-device, warn: true }
 *     - name: caches first
 *       level: warn               # a case of the ladder
 *       actions:
 *         - { name: kv.unused, offers: 100 MiB }
 *         - { name: cache.pages, offers: 5 MiB, cost: 3, from: critical,
 *             leaves: true }    # can leave a part: else no floor lets it run
 *       expect: { order: [cache.pages, kv.unused] }
 *     - name: headroom is short   # a case of the level machine
 *       evidence: { budget: 8 GiB, headroom: 500 MiB }
 *       expect: { level: warn }
 *
 * Pure; the directory is walked by `gov policy test`. */
#ifndef GOV_POLICIES_CASES_H
#define GOV_POLICIES_CASES_H

#include "policies/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gov_case_result {
    const char *file, *name;
    const char *requirement; /* "" where none is given */
    size_t line;
    bool passed;
    const char *sentence; /* what was expected and what came; "" when passed */
};

/* Strings are valid during the call. */
typedef void (*gov_case_fn)(void *ctx, const struct gov_case_result *result);

/* The policy that a text of cases names, copied to `policy`; "" where it names
 * none. Errors as gov_cases_run(). */
GOV_API GOV_NODISCARD gov_status gov_cases_policy(const char *text,
                                                  size_t bytes,
                                                  const char *name,
                                                  char policy[64],
                                                  gov_error *err);

/* Reads cases and decides each by `policy`; calls `told` for each in order. What
 * is wrong with the text is told to `flaw` (may be NULL), all of it; then no case
 * is decided.
 *
 * GOV_E_FORMAT   the text holds no cases; err has the first error
 * GOV_E_INVALID  a NULL
 * GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status
gov_cases_run(const gov_policy *policy, const struct gov_policy_layer *cases,
              gov_case_fn told, void *told_ctx, gov_flaw_fn flaw,
              void *flaw_ctx, const struct gov_alloc *alloc, gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
