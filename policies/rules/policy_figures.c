/* SPDX-License-Identifier: MIT */
/* The single figures of a policy: thresholds of levels, and regrow. */
#include "policies/rules/policy_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"

#define LEVEL(key, type, least, most, member)                                  \
    {                                                                          \
        "levels", key, GOV_TYPE_##type, least, most,                           \
            offsetof(struct gov_level_rules, member)                           \
    }
#define REGROW(key, member)                                                    \
    {                                                                          \
        "regrow", key, GOV_TYPE_DURATION, 0, 3600000,                          \
            offsetof(struct gov_regrow_rules, member)                          \
    }

/* Whoever runs at all uses some of the budget, so a level that is left above a
 * larger share would never be left. */
#define HEADROOM_MOST 900

const struct gov__figure gov__figures[GOV__FIGURES] = {
    LEVEL("window", DURATION, 500, 60000, window_ms),
    LEVEL("calm", DURATION, 0, 3600000, calm_ms),
    LEVEL("warn_stall", RATIO, 1, 1000, warn_some_permille),
    LEVEL("warn_stall_exit", RATIO, 0, 1000, warn_some_exit_permille),
    LEVEL("critical_stall", RATIO, 1, 1000, critical_full_permille),
    LEVEL("critical_stall_exit", RATIO, 0, 1000, critical_full_exit_permille),
    LEVEL("warn_headroom", RATIO, 0, HEADROOM_MOST, warn_headroom_permille),
    LEVEL("warn_headroom_exit", RATIO, 0, HEADROOM_MOST,
          warn_headroom_exit_permille),
    LEVEL("critical_headroom", RATIO, 0, HEADROOM_MOST,
          critical_headroom_permille),
    LEVEL("critical_headroom_exit", RATIO, 0, HEADROOM_MOST,
          critical_headroom_exit_permille),
    LEVEL("warn_refault", RATIO, 0, 1000, warn_refault_permille),
    LEVEL("warn_refault_exit", RATIO, 0, 1000, warn_refault_exit_permille),
    LEVEL("window_fast", DURATION, 200, 60000, fast_window_ms),
    LEVEL("warn_stall_fast", RATIO, 0, 1000, warn_fast_permille),
    LEVEL("warn_fill", DURATION, 0, 60000, warn_fill_ms),
    LEVEL("critical_fill", DURATION, 0, 60000, critical_fill_ms),
    REGROW("after", after_ms),
    REGROW("every", every_ms),
};

/* By their place in the table. */
enum {
    WARN_STALL = 2,
    WARN_STALL_EXIT,
    CRITICAL_STALL,
    CRITICAL_STALL_EXIT,
    WARN_HEADROOM,
    WARN_HEADROOM_EXIT,
    CRITICAL_HEADROOM,
    CRITICAL_HEADROOM_EXIT,
    WARN_REFAULT,
    WARN_REFAULT_EXIT,
    FAST_WINDOW,
    WARN_FAST_STALL,
    WARN_FILL,
    CRITICAL_FILL,
    FIRST_REGROW,
};

static void levels_of(const struct gov__figure_value figures[GOV__FIGURES],
                      struct gov_level_rules *out)
{
    gov_level_rules_default(out);
    for (size_t i = 0; i < FIRST_REGROW; i++)
        if (figures[i].set)
            memcpy((char *)out + gov__figures[i].offset, &figures[i].value,
                   sizeof(uint32_t));
}

void gov_policy_levels(const gov_policy *policy, struct gov_level_rules *out)
{
    levels_of(policy->figures, out);
}

void gov_policy_relief(const gov_policy *policy, struct gov_relief_rules *out)
{
    gov_relief_rules_default(out);
    for (size_t i = FIRST_REGROW; i < GOV__FIGURES; i++)
        if (policy->figures[i].set)
            memcpy((char *)&out->regrow + gov__figures[i].offset,
                   &policy->figures[i].value, sizeof(uint32_t));
    out->count = policy->step_count;
    for (uint32_t i = 0; i < policy->step_count; i++)
        out->step[i] = policy->steps[i].step;
}

/* In permille, or milliseconds. */
static uint32_t figure_of(const struct gov_level_rules *rules, size_t figure)
{
    uint32_t value;

    memcpy(&value, (const char *)rules + gov__figures[figure].offset,
           sizeof(value));
    return value;
}

/* ---- one over another ---- */

/* Where a level is left that was left at `left` when it was entered at `was`,
 * and now is at `entry`. */
static uint32_t follow(uint32_t left, uint32_t was, uint32_t entry,
                       bool headroom)
{
    uint64_t moved =
        was > 0 ? ((uint64_t)left * entry + was / 2) / was : (uint64_t)left;

    if (!headroom)
        return moved < entry ? (uint32_t)moved : entry;
    if (moved > HEADROOM_MOST)
        moved = HEADROOM_MOST;
    return moved > entry ? (uint32_t)moved : entry;
}

void gov__figures_lay(struct gov__figure_value under[GOV__FIGURES],
                      const struct gov__figure_value over[GOV__FIGURES],
                      uint32_t file)
{
    struct gov_level_rules before;

    levels_of(under, &before);
    for (size_t i = 0; i < GOV__FIGURES; i++) {
        if (!over[i].set)
            continue;
        under[i] = over[i];
        under[i].at.file += file;
    }
    /* An entry, and its exit behind it. */
    for (size_t i = WARN_STALL; i < FAST_WINDOW; i += 2) {
        uint32_t entry = figure_of(&before, i);
        uint32_t left = figure_of(&before, i + 1);
        bool headroom = i >= WARN_HEADROOM && i < WARN_REFAULT;

        /* What contradicts itself below has no proportion to keep. */
        if (!over[i].set || over[i + 1].set ||
            (headroom ? left < entry : left > entry))
            continue;
        under[i + 1] = under[i];
        under[i + 1].value = follow(left, entry, over[i].value, headroom);
    }
}

/* ---- together ---- */

/* The first is not above the second: a level is left later than it is entered,
 * and CRITICAL is not entered before WARN. */
static const struct {
    uint8_t low, high;
} pairs[] = {
    {WARN_STALL_EXIT, WARN_STALL},
    {CRITICAL_STALL_EXIT, CRITICAL_STALL},
    {WARN_HEADROOM, WARN_HEADROOM_EXIT},
    {CRITICAL_HEADROOM, CRITICAL_HEADROOM_EXIT},
    {CRITICAL_HEADROOM, WARN_HEADROOM},
    {WARN_REFAULT_EXIT, WARN_REFAULT},
    {CRITICAL_FILL, WARN_FILL},
};

/* Whether the first is said by a later layer or further down. */
static bool later(const struct gov__figure_value *a,
                  const struct gov__figure_value *b)
{
    if (!a->set || !b->set)
        return a->set;
    if (a->at.file != b->at.file)
        return a->at.file > b->at.file;
    if (a->at.line != b->at.line)
        return a->at.line > b->at.line;
    return a->at.column > b->at.column;
}

/* Tells at `at`, the later one, what is wrong with it beside `other`. */
static bool complain(const gov_policy *policy, struct gov__flaw_list *list,
                     size_t at, size_t other, bool above)
{
    const struct gov__figure_value *value = &policy->figures[at];
    const struct gov__figure_value *beside = &policy->figures[other];
    struct gov__flaw flaw = {.file = policy->files[value->at.file],
                             .order = value->at.file,
                             .place = {value->at.line, value->at.column}};
    struct gov_level_rules rules;
    char mine[32], its[32], where[GOV__FLAW_SENTENCE] = "by default";
    char sentence[GOV__FLAW_SENTENCE];

    gov_policy_levels(policy, &rules);
    gov__literal_print(mine, gov__figures[at].type,
                       (int64_t)figure_of(&rules, at) * 1000);
    gov__literal_print(its, gov__figures[other].type,
                       (int64_t)figure_of(&rules, other) * 1000);
    if (beside->set && beside->at.file == value->at.file)
        gov__put(where, sizeof(where), 0, "in line %u", beside->at.line);
    else if (beside->set)
        gov__put(where, sizeof(where), 0, "in %s:%u",
                 policy->files[beside->at.file], beside->at.line);
    gov__put(sentence, sizeof(sentence), 0,
             "%s is %s, %s than %s, which is %s %s", gov__figures[at].key, mine,
             above ? "more" : "less", gov__figures[other].key, its, where);
    return gov__flaw_add(list, &flaw, sentence);
}

gov_status gov__figures_check(const gov_policy *policy,
                              struct gov__flaws *flaws, gov_error *err)
{
    struct gov__flaw_list list = {.alloc = &policy->alloc};
    struct gov_level_rules rules;
    size_t before = flaws->errors;
    bool kept = true;

    gov_policy_levels(policy, &rules);
    for (size_t i = 0; kept && i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        size_t low = pairs[i].low, high = pairs[i].high;

        if (figure_of(&rules, low) <= figure_of(&rules, high))
            continue;
        if (later(&policy->figures[low], &policy->figures[high]))
            kept = complain(policy, &list, low, high, true);
        else
            kept = complain(policy, &list, high, low, false);
    }
    if (!kept)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory to say what is wrong with %s",
                        policy->files[0]);
    gov__flaws_tell(&list, flaws, err);
    return flaws->errors > before ? GOV_E_FORMAT : GOV_OK;
}
