/* SPDX-License-Identifier: MIT */
/* Several sessions publish beside each other, and one page shows them; who waits
 * for the process is told to the system once. */
#include <errno.h>
#include <sched.h>

#include "governor/activity.h"
#include "tests/unit/runtime_fixture.h"

static struct gov_page page;

/* The page as the next step would write it. */
static void look(void)
{
    memset(&page, 0, sizeof(page));
    page.have = atomic_load(&rt->have);
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        page.counter[i] = atomic_load(&rt->counter[i]);
    gov__gauges_fill(rt, &page);
}

static bool has(gov_page_counter counter)
{
    return (page.have >> counter & 1) != 0;
}

#define ck_shows(which, value)                                                 \
    do {                                                                       \
        look();                                                                \
        ck_assert(has(which));                                                 \
        ck_assert_uint_eq(page.counter[which], value);                         \
    } while (0)

/* What a session holds and has done is added up; what it holds goes with it. */
static const struct {
    gov_page_counter counter;
    uint64_t both, second_alone, none;
} sums[] = {
    {GOV_PAGE_WEIGHTS_MAPPED, 30, 20, 0},
    {GOV_PAGE_WEIGHTS_RESIDENT, 30, 20, 0},
    {GOV_PAGE_WEIGHTS_HOT, 30, 20, 0},
    {GOV_PAGE_WEIGHTS_COLD, 30, 20, 0},
    {GOV_PAGE_WEIGHTS_ANCHORED, 30, 20, 0},
    {GOV_PAGE_KV_RESERVED, 30, 20, 0},
    {GOV_PAGE_KV_USED, 30, 20, 0},
    {GOV_PAGE_CONTEXT, 30, 20, 0},
    {GOV_PAGE_CONTEXT_USED, 30, 20, 0},
    {GOV_PAGE_WEIGHTS_STREAMED, 30, 30, 30},
    {GOV_PAGE_WEIGHTS_LATE, 30, 30, 30},
    {GOV_PAGE_KV_GIVEN_BACK, 30, 30, 30},
    {GOV_PAGE_TOKENS, 30, 30, 30},
    {GOV_PAGE_REQUESTS, 30, 30, 30},
    {GOV_PAGE_WEIGHTS_WAIT_US, 30, 30, 30},
    {GOV_PAGE_STALL_US, 30, 30, 30},
    {GOV_PAGE_CONVERSATIONS, 30, 20, 0},
    {GOV_PAGE_CONVERSATIONS_STORED, 30, 20, 0},
    {GOV_PAGE_STATE_BYTES, 30, 20, 0},
    /* The least warm. */
    {GOV_PAGE_WEIGHTS_WARM, 10, 20, 0},
    /* The last. */
    {GOV_PAGE_TOKEN_RATE_MILLI, 20, 20, 20},
    {GOV_PAGE_FIRST_TOKEN_US, 20, 20, 20},
    {GOV_PAGE_PASS_US, 20, 20, 20},
};

START_TEST(two_sessions_add_up)
{
    const gov_page_counter counter = sums[_i].counter;
    const uint32_t first = gov_gauges_new(rt), second = gov_gauges_new(rt);

    ck_assert(first != 0 && second != 0 && first != second);
    look();
    ck_assert(!has(counter));
    gov_gauges_set(rt, first, counter, 10);
    ck_shows(counter, 10);
    gov_gauges_set(rt, second, counter, 99);
    gov_gauges_set(rt, second, counter, 20);
    ck_shows(counter, sums[_i].both);
    gov_gauges_free(rt, first);
    ck_shows(counter, sums[_i].second_alone);
    gov_gauges_set(rt, first, counter, 7777); /* it is gone */
    gov_gauges_free(rt, first);
    ck_shows(counter, sums[_i].second_alone);
    gov_gauges_free(rt, second);
    ck_shows(counter, sums[_i].none);
}
END_TEST

START_TEST(the_hosts_own_are_added)
{
    const uint32_t id = gov_gauges_new(rt);

    gov_publish(rt, GOV_PAGE_KV_USED, 5);
    gov_gauges_set(rt, id, GOV_PAGE_KV_USED, 3);
    ck_shows(GOV_PAGE_KV_USED, 8);
    gov_gauges_free(rt, id);
    ck_shows(GOV_PAGE_KV_USED, 5);
}
END_TEST

START_TEST(the_runtimes_own_are_beside_them)
{
    look();
    ck_assert(!has(GOV_PAGE_EXPECTED) && !has(GOV_PAGE_REFAULT));
    ck_shows(GOV_PAGE_RELIEF_BARREN, 0);
    ck_shows(GOV_PAGE_RELIEF_OVERDUE, 0);
    gov_expect(rt, 70);
    ck_shows(GOV_PAGE_EXPECTED, 70);
    gov_expect(rt, -70);
    ck_shows(GOV_PAGE_EXPECTED, 0);
    rt->slots[3].id = rt->slots[5].id = 1;
    rt->slots[3].retired = rt->slots[4].retired = true;
    rt->slots[5].overdue = 2;
    rt->last.evidence.have |= GOV_HAVE_REFAULT;
    rt->last.evidence.refault_bytes = 4096;
    ck_shows(GOV_PAGE_RELIEF_BARREN, 1);
    ck_shows(GOV_PAGE_RELIEF_OVERDUE, 1);
    ck_shows(GOV_PAGE_REFAULT, 4096);
    rt->machine.fill_bytes_per_s = 9;
    ck_shows(GOV_PAGE_FILL, 9);
    memset(&rt->slots[3], 0, 3 * sizeof(rt->slots[3]));
}
END_TEST

START_TEST(texts_are_of_one_session)
{
    const uint32_t first = gov_gauges_new(rt), second = gov_gauges_new(rt);
    char longest[200];

    gov_publish_text(rt, GOV_PAGE_TEXT_MODEL, "the host's");
    look();
    memcpy(page.text_MODEL, rt->page.text_MODEL, sizeof(page.text_MODEL));
    gov__gauges_fill(rt, &page);
    ck_assert_str_eq(page.text_MODEL, "the host's");
    gov_gauges_text(rt, first, GOV_PAGE_TEXT_MODEL, "small");
    gov_gauges_text(rt, first, GOV_PAGE_TEXT_UNITS, "HHH");
    look();
    ck_assert_str_eq(page.text_MODEL, "small");
    gov_gauges_text(rt, second, GOV_PAGE_TEXT_MODEL, "large");
    gov_gauges_text(rt, second, GOV_PAGE_TEXT_UNITS, "ss");
    look();
    ck_assert_str_eq(page.text_MODEL, "1 of 2: large");
    ck_assert_str_eq(page.text_UNITS, "ss");
    gov_gauges_text(rt, first, GOV_PAGE_TEXT_UNITS, "HHH"); /* as it was */
    look();
    ck_assert_str_eq(page.text_UNITS, "ss");
    gov_gauges_text(rt, first, GOV_PAGE_TEXT_UNITS, "HH-");
    look();
    ck_assert_str_eq(page.text_MODEL, "1 of 2: small");
    ck_assert_str_eq(page.text_UNITS, "HH-");
    gov_gauges_free(rt, first);
    look();
    ck_assert_str_eq(page.text_MODEL, "large");
    ck_assert_str_eq(page.text_UNITS, "ss");
    memset(longest, 'm', sizeof(longest));
    memcpy(longest + 94, "\xc3\xa4", 2); /* would end within it */
    longest[199] = '\0';
    gov_gauges_text(rt, second, GOV_PAGE_TEXT_MODEL, longest);
    look();
    ck_assert_uint_eq(strlen(page.text_MODEL), 94);
    gov_gauges_free(rt, second);
    look();
    ck_assert_str_eq(page.text_MODEL, "");
}
END_TEST

START_TEST(there_are_sixteen)
{
    uint32_t ids[GOV__GAUGES], again;

    ck_assert_uint_eq(gov_gauges_new(NULL), 0);
    rt->gauges.last_id = UINT32_MAX - 5; /* ids begin anew, and 0 is none */
    for (int i = 0; i < GOV__GAUGES; i++) {
        ids[i] = gov_gauges_new(rt);
        ck_assert_uint_ne(ids[i], 0);
        gov_gauges_set(rt, ids[i], GOV_PAGE_TOKENS, 1);
    }
    ck_assert_uint_eq(gov_gauges_new(rt), 0);
    ck_shows(GOV_PAGE_TOKENS, 16);
    ck_assert_uint_eq(ids[15] % GOV__GAUGES, 0);
    gov_gauges_free(rt, ids[15]);
    rt->gauges.last_id = UINT32_MAX; /* where 0 has its only place */
    ck_assert_uint_ne(gov_gauges_new(rt), 0);
    gov_gauges_free(rt, ids[9]);
    again = gov_gauges_new(rt);
    ck_assert(again != 0 && again != ids[9]);
    gov_gauges_set(rt, ids[9], GOV_PAGE_TOKENS, 1000);
    gov_gauges_text(rt, ids[9], GOV_PAGE_TEXT_MODEL, "gone");
    gov_gauges_set(rt, again, GOV_PAGE_TOKENS, 4);
    ck_shows(GOV_PAGE_TOKENS, 20);
    ck_assert_str_eq(page.text_MODEL, "");
    /* What is none is passed over. */
    gov_gauges_set(rt, 0, GOV_PAGE_TOKENS, 1);
    gov_gauges_set(NULL, again, GOV_PAGE_TOKENS, 1);
    gov_gauges_set(rt, again, GOV_PAGE_COUNTERS, 1);
    gov_gauges_text(rt, again, GOV_PAGE_TEXTS, "x");
    gov_gauges_text(rt, again, GOV_PAGE_TEXT_MODEL, NULL);
    gov_gauges_text(rt, 0, GOV_PAGE_TEXT_MODEL, "x");
    gov_gauges_free(rt, 0);
    gov_gauges_free(NULL, again);
    ck_shows(GOV_PAGE_TOKENS, 20);
}
END_TEST

#define SESSIONS 200

static _Atomic bool over;

static void *come_and_go(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < SESSIONS; i++) {
        const uint32_t id = gov_gauges_new(rt);

        gov_gauges_text(rt, id, GOV_PAGE_TEXT_MODEL, "x");
        for (uint64_t n = 1; n <= 10; n++) {
            gov_gauges_set(rt, id, GOV_PAGE_WEIGHTS_STREAMED, n);
            gov_gauges_set(rt, id, GOV_PAGE_KV_USED, n);
        }
        gov_gauges_free(rt, id);
    }
    return NULL;
}

static void *look_on(void *arg)
{
    uint64_t last = 0, now;

    (void)arg;
    while (!atomic_load(&over)) {
        struct gov_page there = {0};

        gov__gauges_fill(rt, &there);
        now = gov__gauges_streamed(rt);
        ck_assert_uint_ge(now, last);
        last = now;
    }
    return NULL;
}

/* The evidence of pressure takes differences of it. */
START_TEST(what_was_streamed_only_grows)
{
    pthread_t thread[3], looks;

    atomic_store(&over, false);
    looks = start(look_on, NULL);
    for (int i = 0; i < 3; i++)
        thread[i] = start(come_and_go, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    atomic_store(&over, true);
    pthread_join(looks, NULL);
    ck_assert_uint_eq(gov__gauges_streamed(rt), 3 * SESSIONS * 10);
    ck_shows(GOV_PAGE_KV_USED, 0);
}
END_TEST

/* ---- activity -------------------------------------------------------------------- */

static _Atomic int begun, ended, activity_rc;
static struct gate *in_begin; /* opens 1 and waits for 2 */

static int activity_begin(void *ctx, const char *why, void **out)
{
    (void)ctx;
    /* Who ends one tells, too, that another has begun meanwhile. */
    ck_assert(strcmp(why, "loading a model") == 0 ||
              strcmp(why, "a model is at work") == 0);
    if (atomic_load(&activity_rc) != 0)
        return atomic_load(&activity_rc);
    ck_assert_int_eq(atomic_fetch_add(&begun, 1), atomic_load(&ended));
    if (in_begin != NULL) {
        gate_open(in_begin, 1);
        gate_wait(in_begin, 2);
    }
    sched_yield(); /* to be met there */
    *out = &begun;
    return 0;
}

static int activity_end(void *ctx, void *activity)
{
    (void)ctx;
    ck_assert_ptr_eq(activity, &begun);
    sched_yield();
    atomic_fetch_add(&ended, 1);
    return 0;
}

/* A system that has such a thing. */
static void can_be_told(void)
{
    begun = ended = activity_rc = 0;
    in_begin = NULL;
    sim.table.activity_begin = activity_begin;
    sim.table.activity_end = activity_end;
}

static void wait_for_me(void)
{
    gov_activity_begin(rt, "loading a model");
}

START_TEST(the_system_is_told_once)
{
    wait_for_me(); /* a system that has no such thing */
    gov_activity_end(rt);
    gov_activity_begin(NULL, "nothing");
    gov_activity_end(NULL);
    can_be_told();
    gov_activity_end(rt);
    for (int i = 1; i < 4; i++) {
        wait_for_me();
        wait_for_me();
        gov_activity_end(rt);
        ck_assert_int_eq(begun, i);
        ck_assert_int_eq(ended, i - 1);
        gov_activity_end(rt);
        ck_assert_int_eq(ended, i);
    }
    atomic_store(&activity_rc, EIO);
    wait_for_me();
    gov_activity_end(rt);
    ck_assert_int_eq(begun, 3);
    ck_assert_int_eq(ended, 3);
    atomic_store(&activity_rc, 0);
    wait_for_me();
    wait_for_me();
    gov__activity_close(rt);
    ck_assert_int_eq(ended, 4);
}
END_TEST

static void *wait_there(void *arg)
{
    (void)arg;
    wait_for_me();
    return NULL;
}

/* Over before the system knows of it. */
START_TEST(who_tells_tells_the_end_too)
{
    struct gate gate = GATE;
    pthread_t thread;

    can_be_told();
    in_begin = &gate;
    thread = start(wait_there, NULL);
    gate_wait(&gate, 1);
    gov_activity_end(rt);
    ck_assert_int_eq(ended, 0);
    gate_open(&gate, 2);
    pthread_join(thread, NULL);
    ck_assert_int_eq(begun, 1);
    ck_assert_int_eq(ended, 1);
    in_begin = NULL;
}
END_TEST

static void *wait_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        gov_activity_begin(rt, "loading a model");
        gov_activity_end(rt);
    }
    return NULL;
}

START_TEST(waiting_at_the_same_time)
{
    pthread_t thread[3];

    can_be_told();
    for (int i = 0; i < 3; i++)
        thread[i] = start(wait_often, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    ck_assert_int_eq(begun, ended);
    ck_assert_int_gt(begun, 0);
    ck_assert_ptr_null(rt->activity.token);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("gauges");
    TCase *t = tcase_create("gauges");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, two_sessions_add_up, 0,
                        (int)(sizeof(sums) / sizeof(sums[0])));
    tcase_add_test(t, the_hosts_own_are_added);
    tcase_add_test(t, the_runtimes_own_are_beside_them);
    tcase_add_test(t, texts_are_of_one_session);
    tcase_add_test(t, there_are_sixteen);
    tcase_add_test(t, what_was_streamed_only_grows);
    tcase_add_test(t, the_system_is_told_once);
    tcase_add_test(t, who_tells_tells_the_end_too);
    tcase_add_test(t, waiting_at_the_same_time);
    suite_add_tcase(s, t);
    return s;
}
