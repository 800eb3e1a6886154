/* SPDX-License-Identifier: MIT */
/* What of the Darwin platform runs anywhere: words of the kernel, notifications that
 * are believed or not, and the numbers that vmmap shows. */
#include "governor/platform/darwin_pure.h"
#include "policies/level.h"
#include "tests/support/run.h"

/* ---- levels -------------------------------------------------------------------- */

static const struct {
    uint64_t word;
    bool known;
    int level;
} words[] = {
    {1, true, GOV_LEVEL_NORMAL},
    {2, true, GOV_LEVEL_WARN},
    {4, true, GOV_LEVEL_CRITICAL},
    {0, false, 0},
    {3, false, 0},
    {8, false, 0},
    {UINT64_C(0x100000002), false, 0},
    {UINT64_MAX, false, 0},
};

START_TEST(the_kernels_words_are_levels)
{
    int level = -1;

    ck_assert(gov__darwin_level(words[_i].word, &level) == words[_i].known);
    ck_assert_int_eq(level, words[_i].known ? words[_i].level : -1);
}
END_TEST

/* ---- notifications ---------------------------------------------------------------- */

#define KNOWN true
#define UNKNOWN false

/* Each row goes on where the one before ended. */
static const struct {
    uint64_t now_ms;
    bool known;
    int level;
    bool look;
    uint64_t false_events;
    const char *what;
} heard[] = {
    {1, KNOWN, 0, false, 1, "normal is nothing"},
    {2, KNOWN, 50, true, 1, "the first one to say so, however early"},
    {60, KNOWN, 100, false, 1, "ten looks a second"},
    {101, KNOWN, 100, false, 1, "... since the last look, not the last event"},
    {102, KNOWN, 100, true, 1, "above normal, changed or not"},
    {400, KNOWN, 0, true, 1, "back to normal is a change"},
    {600, KNOWN, 0, false, 2, "... once"},
    {601, UNKNOWN, 0, true, 2, "nothing speaks against it"},
    {650, UNKNOWN, 0, false, 2, "... ten times a second"},
    {800, KNOWN, 0, false, 3, "nothing is known that could have changed"},
    {900, KNOWN, 50, true, 3, "warn"},
};

START_TEST(notifications_are_checked)
{
    struct gov__darwin_heard state = {0};
    uint64_t n = 0;

    for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++) {
        bool look = gov__darwin_believe(&state, heard[i].known, heard[i].level,
                                        heard[i].now_ms * 1000);

        ck_assert_msg(look == heard[i].look, "%s", heard[i].what);
        ck_assert_msg(state.false_events == heard[i].false_events,
                      "%s: %d false", heard[i].what, (int)state.false_events);
        ck_assert_uint_eq(state.events, ++n);
    }
}
END_TEST

START_TEST(a_storm_is_ten_looks_a_second)
{
    struct gov__darwin_heard state = {.known = true};
    uint32_t looks = 0;

    for (uint64_t us = 0; us < 1000000; us += 100)
        looks +=
            gov__darwin_believe(&state, true, us / 100 % 2 == 0 ? 50 : 100, us)
                ? 1
                : 0;
    ck_assert_uint_eq(looks, 10);
    ck_assert_uint_eq(state.events, 10000);
    ck_assert_uint_eq(state.false_events, 0);
}
END_TEST

/* ---- names of memory ---------------------------------------------------------------- */

/* What the tree maps, as it calls it, and what an app may. */
static const struct {
    const char *text;
    enum gov__darwin_tag tag;
} tags[] = {
    {"governor weights", GOV__DARWIN_WEIGHTS},
    {"governor tensors", GOV__DARWIN_WEIGHTS},
    {"kv.unused", GOV__DARWIN_KV},
    {"kv", GOV__DARWIN_KV},
    {"prompts", GOV__DARWIN_PROMPTS},
    {"prompt state", GOV__DARWIN_PROMPTS},
    {"cache", GOV__DARWIN_CACHE},
    {"my/cache", GOV__DARWIN_CACHE},
    {"gains", GOV__DARWIN_WORK},
    {"governor measure", GOV__DARWIN_MEASURE},
    {"gov-doorbells", GOV__DARWIN_DOORBELLS},
    {"cache of weights", GOV__DARWIN_CACHE},
    {"weightsX", GOV__DARWIN_OTHER},
    {"Weights", GOV__DARWIN_OTHER},
    {"kvs", GOV__DARWIN_OTHER},
    {"k", GOV__DARWIN_OTHER},
    {"we", GOV__DARWIN_OTHER},
    {"governor", GOV__DARWIN_OTHER},
    {"...", GOV__DARWIN_OTHER},
    {"", GOV__DARWIN_OTHER},
    {NULL, GOV__DARWIN_OTHER},
    {"\xff\xfe kv", GOV__DARWIN_KV},
};

START_TEST(memory_has_a_number_by_its_purpose)
{
    ck_assert_msg(gov__darwin_tag_of(tags[_i].text) == tags[_i].tag, "%s: %d",
                  tags[_i].text == NULL ? "NULL" : tags[_i].text,
                  (int)gov__darwin_tag_of(tags[_i].text));
    ck_assert_int_le(tags[_i].tag, 15);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("darwin_pure");
    TCase *t = tcase_create("all");

    tcase_add_loop_test(t, the_kernels_words_are_levels, 0,
                        (int)(sizeof(words) / sizeof(words[0])));
    tcase_add_test(t, notifications_are_checked);
    tcase_add_test(t, a_storm_is_ten_looks_a_second);
    tcase_add_loop_test(t, memory_has_a_number_by_its_purpose, 0,
                        (int)(sizeof(tags) / sizeof(tags[0])));
    suite_add_tcase(s, t);
    return s;
}
