/* SPDX-License-Identifier: MIT */
/* The control socket: who may say what to whom, and everything else that is sent
 * there, for which nothing may happen. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "governor/control.h"
#include "governor/runtime/control_layout.h"
#include "tests/unit/runtime_fixture.h"

static const char *directory;
static char path[1024]; /* of the socket */
static uint8_t bytes[GOV__CONTROL_BYTES];

static gov_runtime *open_here(const char *where, bool no_thread)
{
    struct gov_options options = gov_options_default();
    gov_runtime *out;

    options.budget_bytes = 4 * GIB;
    options.no_thread = no_thread;
    options.sample_ms = 60000; /* a thread that is not woken is late */
    options.no_policy_files = true;
    options.alloc = faults_alloc();
    ck_assert_int_eq(gov__open_on(&out, &options, &sim.table, where, &err),
                     GOV_OK);
    return out;
}

/* The clock is simulated, the process is this one. */
static void set_up_control(void)
{
    const struct gov_platform *native = gov__platform_native();

    faults_reset();
    sim_init(&sim);
    happened[0] = '\0';
    ck_assert_int_eq(native->process(native->ctx, 0, &sim.process), 0);
    sim.process.footprint_bytes = GIB;
    directory = fresh_directory();
    ck_assert_int_eq(chmod(directory, 0700), 0);
    snprintf(path, sizeof(path), "%s/%d.ctl", directory, (int)getpid());
    rt = open_here(directory, true);
    gov_on_event(rt, on_event, NULL);
}

static void tear_down_control(void)
{
    if (rt != NULL)
        tear_down();
    drop_directory();
}

static gov_status tell_own(gov_level level, uint64_t for_ms)
{
    return gov_control_simulate((int32_t)getpid(), level, for_ms, directory,
                                &err);
}

static gov_level after(uint64_t ms)
{
    turn(ms);
    return gov_level_now(rt);
}

/* Any bytes, past the sender's side of control.c. */
static void send_raw(const void *data, size_t size)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    memcpy(to.sun_path, path, strlen(path));
    ck_assert_int_eq(
        sendto(fd, data, size, 0, (struct sockaddr *)&to, sizeof(to)),
        (ssize_t)size);
    close(fd);
}

static void encode(gov_level level, uint64_t for_ms)
{
    struct gov__control_order order = {GOV__CONTROL_SIMULATE, level, for_ms};

    gov__control_encode(bytes, (int32_t)getpid(), &order);
}

/* ---- the message --------------------------------------------------------------- */

START_TEST(an_order_reads_as_it_was_written)
{
    static const gov_level levels[] = {NORMAL, WARN, CRITICAL};
    static const uint64_t times[] = {0, 1, 60000, UINT64_MAX};
    struct gov__control_order got;

    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 4; j++) {
            encode(levels[i], times[j]);
            ck_assert(gov__control_decode(bytes, sizeof(bytes),
                                          (int32_t)getpid(), &got));
            ck_assert_int_eq(got.level, levels[i]);
            ck_assert_int_eq(got.kind, GOV__CONTROL_SIMULATE);
            ck_assert_uint_eq(got.amount, times[j]);
        }
}
END_TEST

START_TEST(whatever_else_is_no_order)
{
    const struct gov__control_order untouched = {GOV__CONTROL_SIMULATE,
                                                 CRITICAL, 7};
    const struct gov__control_order relieve = {GOV__CONTROL_RELIEVE, WARN, 9};
    struct gov__control_order got = untouched;
    uint8_t longer[GOV__CONTROL_BYTES + 1] = {0};

    if (_i == 0)
        encode(WARN, 1000);
    else
        gov__control_encode(bytes, (int32_t)getpid(), &relieve);
    for (size_t i = 0; i < GOV__CONTROL_AT_AMOUNT; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            ck_assert_msg(!gov__control_decode(bytes, sizeof(bytes),
                                               (int32_t)getpid(), &got),
                          "byte %zu, bit %d", i, bit);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    memcpy(longer, bytes, sizeof(bytes));
    for (size_t size = 0; size <= sizeof(longer); size++)
        ck_assert(gov__control_decode(longer, size, (int32_t)getpid(), &got) ==
                  (size == GOV__CONTROL_BYTES));
    got = untouched;
    ck_assert(!gov__control_decode(bytes, 31, (int32_t)getpid(), &got));
    ck_assert_int_eq(got.level, CRITICAL);
    ck_assert_uint_eq(got.amount, 7);
}
END_TEST

/* ---- taking effect ------------------------------------------------------------- */

START_TEST(a_level_is_in_force_for_its_time)
{
    ck_assert_int_eq(tell_own(WARN, 60000), GOV_OK);
    ck_assert_int_eq(gov_level_now(rt), NORMAL);
    ck_assert_int_eq(after(250), WARN);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_LEVEL_SIMULATED], 1);
    ck_assert_int_eq(after(59999), WARN);
    ck_assert_int_eq(after(1), NORMAL);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_LEVEL_SIMULATED], 0);
    ck_happened("event warn: simulated\n"
                "event normal: no sign of pressure\n");
}
END_TEST

START_TEST(what_is_told_replaces_what_was_told)
{
    ck_assert_int_eq(tell_own(WARN, 10000), GOV_OK);
    ck_assert_int_eq(after(250), WARN);
    ck_assert_int_eq(tell_own(CRITICAL, 60000), GOV_OK);
    ck_assert_int_eq(after(9000), CRITICAL);
    ck_assert_int_eq(after(5000), CRITICAL); /* not the end of the first */
    ck_assert_int_eq(tell_own(NORMAL, 60000), GOV_OK);
    sim.process.footprint_bytes = 4 * GIB - 100 * MIB;
    ck_assert_int_eq(after(250), NORMAL);
    ck_assert_int_eq(tell_own(CRITICAL, 0), GOV_OK); /* the level is not read */
    ck_assert_int_eq(after(250), CRITICAL);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_LEVEL_SIMULATED], 0);
    ck_assert_uint_eq(rt->step_count, 0);
}
END_TEST

START_TEST(of_many_the_last_counts)
{
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(tell_own(i % 2 == 0 ? WARN : CRITICAL, 1000), GOV_OK);
    ck_assert_int_eq(after(250), WARN);
    ck_assert_uint_eq(rt->step_count, 1);
}
END_TEST

START_TEST(the_apps_own_steps_stay)
{
    for (int i = 0; i < GOV__STEPS; i++)
        ck_assert_int_eq(gov_simulate(rt, CRITICAL, 5000, &err), GOV_OK);
    ck_assert_int_eq(tell_own(WARN, UINT64_MAX), GOV_OK);
    ck_assert_int_eq(after(250), WARN);
    ck_assert_uint_eq(rt->step_count, GOV__STEPS + 1);
    ck_assert_int_eq(gov_simulate(rt, WARN, 0, &err), GOV_E_BUSY);
    ck_assert_int_eq(after(4750), CRITICAL);
    ck_assert_uint_eq(rt->step_count, 1);
    ck_assert_int_eq(tell_own(NORMAL, 0), GOV_OK);
    ck_assert_int_eq(after(250), NORMAL);
    ck_assert_uint_eq(rt->step_count, 0);
}
END_TEST

START_TEST(a_thread_follows_at_once)
{
    const struct timespec pause = {0, 10000000};
    const struct gov_platform *native = gov__platform_native();
    gov_runtime *own;
    uint64_t began;

    tear_down();
    sim.table.now_us = native->now_us;
    rt = open_here(directory, false);
    own = rt;
    began = native->now_us(native->ctx);
    ck_assert_int_eq(tell_own(CRITICAL, 60000), GOV_OK);
    while (gov_level_now(own) != CRITICAL &&
           native->now_us(native->ctx) - began < 10000000)
        nanosleep(&pause, NULL);
    ck_assert_int_eq(gov_level_now(own), CRITICAL);
}
END_TEST

/* ---- giving back ------------------------------------------------------------------ */

static void ask(uint64_t size)
{
    ck_assert_int_eq(
        gov_control_relieve((int32_t)getpid(), size, directory, &err), GOV_OK);
}

#define ASKED "event asked to give back "

START_TEST(memory_is_given_back_as_at_warn)
{
    struct action dear = {.name = "dear",
                          .cost = 9,
                          .offers = 500 * MIB,
                          .gives = 500 * MIB},
                  cheap = {.name = "cheap",
                           .cost = 1,
                           .offers = 100 * MIB,
                           .gives = 100 * MIB};

    add(&dear);
    add(&cheap);
    ask(80 * MIB);
    ck_assert_int_eq(cheap.runs, 0);
    ck_assert_int_eq(after(250), NORMAL);
    ck_assert_int_eq(cheap.level, WARN);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_LEVEL_SIMULATED], 0);
    ck_happened("run cheap\n"
                "event cheap gave back 102400 KiB of 102400 KiB offered\n" ASKED
                "81920 KiB: 102400 KiB were given back\n");
    ck_assert_int_eq(after(60000), NORMAL);
    ck_assert_int_eq(dear.runs, 0);
    gov_relief_remove(rt, dear.id);
    gov_relief_remove(rt, cheap.id);
}
END_TEST

/* As it would be at a level that is. */
static void corroborate(struct action *action)
{
    (void)action;
    rt->machine.corroborated = true;
}

/* What waits for CRITICAL, and what cannot be undone, stays. */
START_TEST(all_is_what_warn_allows)
{
    struct action actions[] = {
        {.name = "a",
         .cost = 1,
         .offers = MIB,
         .gives = MIB,
         .on_offer = corroborate},
        {.name = "b", .cost = 2, .offers = 2 * MIB, .gives = 2 * MIB},
        {.name = "c", .cost = 3, .offers = GIB, .gives = GIB},
        {.name = "d",
         .cost = 4,
         .offers = GIB,
         .gives = GIB,
         .from_level = CRITICAL},
    };

    for (size_t i = 0; i < 4; i++)
        add(&actions[i]);
    rt->slots[2].relief.destructive = true;
    ask(0);
    turn(250);
    turn(250);
    ck_happened("run a\n"
                "event a gave back 1024 KiB of 1024 KiB offered\n"
                "run b\n"
                "event b gave back 2048 KiB of 2048 KiB offered\n" ASKED
                "what there is: 3072 KiB were given back\n");
    ask(GIB);
    turn(250);
    ck_happened(ASKED "1048576 KiB: 0 KiB were given back; there is no more to "
                      "give\n");
    for (size_t i = 0; i < 4; i++)
        gov_relief_remove(rt, actions[i].id);
}
END_TEST

START_TEST(rests_end_but_not_of_the_barren)
{
    struct action gives = {.name = "gives", .offers = 8 * GIB, .gives = MIB},
                  barren = {.name = "barren", .cost = 1, .offers = MIB};

    add(&gives);
    add(&barren);
    for (int i = 1; i <= 3; i++) {
        ask(2 * MIB);
        turn(250);
        turn(250);
        ck_assert_int_eq(gives.runs, i); /* and not twice: it rests again */
        ck_assert_int_eq(barren.runs, i);
    }
    happened[0] = '\0';
    simulate(WARN); /* the level is not normal: they stay retired */
    turn(250);
    ck_assert_int_eq(gives.runs, 4);
    rt->slots[1].retired = true;
    ask(0);
    turn(250);
    ck_assert_int_eq(gives.runs, 5);
    ck_assert_int_eq(barren.runs, 4);
    gov_relief_remove(rt, gives.id);
    gov_relief_remove(rt, barren.id);
}
END_TEST

START_TEST(a_pass_is_waited_for)
{
    struct action kv = {
        .name = "kv", .between_passes = true, .offers = MIB, .gives = MIB};

    add(&kv);
    gov_pass_begin(rt);
    ask(MIB);
    turn(250);
    turn(250);
    ck_assert_int_eq(kv.runs, 0);
    gov_pass_end(rt);
    ck_happened("run kv\nevent kv gave back 1024 KiB of 1024 KiB offered\n");
    turn(250);
    ck_happened(ASKED "1024 KiB: 1024 KiB were given back\n");
    gov_pass_begin(rt);
    kv.offers = MIB;
    ask(MIB);
    turn(250);
    turn(59999);
    ck_happened("");
    turn(1);
    ck_happened(ASKED "1024 KiB: 0 KiB were given back, and that is over "
                      "now\n");
    gov_pass_end(rt);
    ck_assert_int_eq(kv.runs, 1);
    gov_relief_remove(rt, kv.id);
}
END_TEST

static int slices;
static uint64_t comes; /* at once, of a slice of 1 MiB */

static uint64_t slice(void *ctx, const struct gov_relief_want *want)
{
    (void)ctx;
    slices++;
    ck_assert_int_eq(want->level, WARN);
    sim_advance_ms(&sim, 10);
    sim_grow(&sim, -(int64_t)comes);
    return MIB;
}

static uint64_t offers_all(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    return GIB;
}

static uint32_t add_sliced(uint32_t settle_ms)
{
    struct gov_relief relief = gov_relief_default();
    uint32_t id;

    relief.name = "sliced";
    relief.offer = offers_all;
    relief.relieve = slice;
    relief.settle_ms = settle_ms;
    slices = 0;
    comes = settle_ms == 0 ? MIB : 0;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_OK);
    return id;
}

START_TEST(slices_go_on_from_turn_to_turn)
{
    const uint32_t id = add_sliced(0);

    ask(25 * MIB);
    turn(250);
    ck_assert_int_eq(slices, 10);
    turn(250);
    ck_assert_int_eq(slices, 20);
    ck_happened("");
    turn(250);
    ck_assert_int_eq(slices, 25);
    ck_happened("event sliced gave back 25600 KiB of 1048576 KiB offered; it "
                "says 25600 KiB\n" ASKED
                "25600 KiB: 25600 KiB were given back\n");
    gov_relief_remove(rt, id);
}
END_TEST

/* What is on its way is waited for, and others run when it does not come. */
START_TEST(what_comes_later_counts)
{
    const uint32_t id = add_sliced(2000);
    struct action other = {
        .name = "other", .cost = 9, .offers = 100 * MIB, .gives = 100 * MIB};

    add(&other);
    ask(5 * MIB);
    turn(250);
    ck_assert_int_eq(slices, 5);
    turn(250);
    ck_assert_int_eq(other.runs, 0);
    ck_happened("");
    if (_i == 0)
        sim_grow(&sim, -(int64_t)(5 * MIB));
    turn(2000);
    turn(250);
    ck_assert_int_eq(other.runs, _i);
    if (_i == 0)
        ck_happened(
            "event sliced gave back 5120 KiB of 1048576 KiB offered; it "
            "says 5120 KiB\n" ASKED "5120 KiB: 5120 KiB were given back\n");
    else
        ck_happened("event sliced gave back 0 KiB of 1048576 KiB offered; it "
                    "says 5120 KiB\n"
                    "run other\n"
                    "event other gave back 102400 KiB of 102400 KiB "
                    "offered\n" ASKED "5120 KiB: 102400 KiB were given back\n");
    gov_relief_remove(rt, other.id);
    gov_relief_remove(rt, id);
}
END_TEST

static void is_late(struct action *action)
{
    (void)action;
    sim_advance_ms(&sim, 2000);
    ck_assert(gov__relief_overdue(rt, sim.now_us));
}

START_TEST(one_that_does_not_return_is_done_without)
{
    struct action late = {.name = "late",
                          .offers = 9 * MIB,
                          .gives = 9 * MIB,
                          .inside = is_late},
                  other = {
                      .name = "other", .cost = 1, .offers = MIB, .gives = MIB};

    add(&late);
    add(&other);
    ask(MIB);
    turn(250);
    ck_happened("run late\n"
                "event late ran; what it gave back cannot be measured\n");
    turn(250);
    ck_happened("event run() of late has not returned for 2000 ms: relief goes "
                "on without it; see what it waits for\n"
                "run other\n"
                "event other gave back 1024 KiB of 1024 KiB offered\n" ASKED
                "1024 KiB: 1024 KiB were given back\n");
    gov_relief_remove(rt, late.id);
    gov_relief_remove(rt, other.id);
}
END_TEST

START_TEST(what_is_asked_replaces_what_was_asked)
{
    struct action kv = {
        .name = "kv", .between_passes = true, .offers = MIB, .gives = MIB};

    add(&kv);
    gov_pass_begin(rt);
    ask(GIB);
    turn(250);
    ask(4096);
    turn(250);
    gov_pass_end(rt);
    turn(250);
    ck_happened(ASKED "1048576 KiB: 0 KiB were given back, and then something "
                      "else was asked for\nrun kv\nevent kv gave back 1024 KiB "
                      "of 1024 KiB offered\n" ASKED
                      "4 KiB: 1024 KiB were given back\n");
    gov_relief_remove(rt, kv.id);
}
END_TEST

static int offered;

/* It has nothing to give when the next order comes, and something after it. */
static void order_comes(struct action *action)
{
    if (offered++ == 0)
        gov__asked_told(rt, MIB);
    else
        action->offers = MIB;
}

/* The turn under way found nothing for the order before, which is not to be told of
 * the new one. */
START_TEST(an_order_that_has_just_come_is_heard)
{
    struct action late = {
        .name = "late", .gives = MIB, .on_offer = order_comes};

    offered = 0;
    add(&late);
    ask(GIB);
    turn(250);
    ck_happened(ASKED "1048576 KiB: 0 KiB were given back, and then something "
                      "else was asked for\n");
    turn(250);
    ck_happened("run late\nevent late gave back 1024 KiB of 1024 KiB "
                "offered\n" ASKED "1024 KiB: 1024 KiB were given back\n");
    gov_relief_remove(rt, late.id);
}
END_TEST

/* It was normal for long, and what was given is not taken again at once. */
START_TEST(it_is_taken_again_as_after_pressure)
{
    struct action cache = {.name = "cache", .offers = MIB, .gives = MIB};

    add(&cache);
    turn(60000);
    turn(60000);
    ask(0);
    turn(250);
    ck_assert_int_eq(cache.runs, 1);
    for (int i = 0; i < 15; i++)
        turn(1000);
    ck_assert_int_eq(cache.regrows, 0);
    turn(1000);
    ck_assert_int_eq(cache.regrows, 1);
    gov_relief_remove(rt, cache.id);
}
END_TEST

/* What is given for the level counts. */
START_TEST(real_pressure_goes_first)
{
    struct action cheap = {.name = "cheap", .offers = MIB, .gives = MIB},
                  dear = {
                      .name = "dear", .cost = 9, .offers = MIB, .gives = MIB};

    add(&cheap);
    add(&dear);
    simulate(CRITICAL);
    ask(2 * MIB);
    turn(250);
    ck_happened("event critical: simulated\n"
                "run cheap\n"
                "event cheap gave back 1024 KiB of 1024 KiB offered\n"
                "run dear\n"
                "event dear gave back 1024 KiB of 1024 KiB offered\n" ASKED
                "2048 KiB: 2048 KiB were given back\n");
    ck_assert_int_eq(dear.level, CRITICAL);
    gov_relief_remove(rt, cheap.id);
    gov_relief_remove(rt, dear.id);
}
END_TEST

/* While evidence is calm the level asks for nothing, though it falls later. */
START_TEST(a_level_that_is_calm_asks_for_nothing)
{
    struct action cheap = {.name = "cheap"},
                  dear = {.name = "dear", .cost = 9, .gives = MIB};

    add(&cheap);
    add(&dear);
    sim.process.footprint_bytes = 4 * GIB - 100 * MIB;
    ck_assert_int_ge(after(250), WARN);
    sim.process.footprint_bytes = GIB;
    ck_assert_int_ge(after(250), WARN);
    ck_assert(rt->machine.calm);
    cheap.offers = cheap.gives = dear.offers = MIB;
    ask(MIB);
    ck_assert_int_ge(after(250), WARN);
    ck_assert_int_eq(cheap.runs, 1);
    ck_assert_int_eq(dear.runs, 0);
    gov_relief_remove(rt, cheap.id);
    gov_relief_remove(rt, dear.id);
}
END_TEST

START_TEST(a_thread_gives_back_at_once)
{
    const struct timespec pause = {0, 10000000};
    const struct gov_platform *native = gov__platform_native();
    struct action cheap = {.name = "cheap", .offers = MIB, .gives = MIB};
    uint64_t began;

    tear_down();
    sim.table.now_us = native->now_us;
    rt = open_here(directory, false);
    add(&cheap);
    began = native->now_us(native->ctx);
    ask(MIB);
    while (atomic_load(&rt->counter[GOV_PAGE_RELIEFS]) == 0 &&
           native->now_us(native->ctx) - began < 10000000)
        nanosleep(&pause, NULL);
    ck_assert_uint_eq(atomic_load(&rt->counter[GOV_PAGE_RELIEFS]), 1);
    gov_relief_remove(rt, cheap.id);
}
END_TEST

/* While something is asked for it is looked at as often as at WARN. */
START_TEST(who_asks_does_not_wait)
{
    struct action kv = {
        .name = "kv", .between_passes = true, .offers = MIB, .gives = MIB};

    add(&kv);
    rt->adaptive = true;
    ck_assert_uint_gt(gov__look_pace_locked(rt), GOV__MIN_SAMPLE_MS);
    gov_pass_begin(rt);
    ask(0);
    turn(250);
    ck_assert_uint_eq(gov__look_pace_locked(rt), GOV__MIN_SAMPLE_MS);
    gov_pass_end(rt);
    turn(250);
    ck_assert_uint_gt(gov__look_pace_locked(rt), GOV__MIN_SAMPLE_MS);
    gov_relief_remove(rt, kv.id);
}
END_TEST

START_TEST(no_other_order_gives_back)
{
    struct gov__control_order order = {GOV__CONTROL_RELIEVE, CRITICAL, 0};
    struct action cheap = {.name = "cheap", .offers = MIB, .gives = MIB};

    add(&cheap);
    gov__control_encode(bytes, (int32_t)getpid(), &order);
    send_raw(bytes, sizeof(bytes));
    order.kind = (enum gov__control_kind)3;
    order.level = WARN;
    gov__control_encode(bytes, (int32_t)getpid(), &order);
    send_raw(bytes, sizeof(bytes));
    turn(250);
    ck_happened("");
    ck_assert_int_eq(gov_control_relieve(0, MIB, directory, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "0 is no process id; govtop shows those of "
                                  "governed processes");
    gov_relief_remove(rt, cheap.id);
}
END_TEST

/* ---- what nobody may do ---------------------------------------------------------- */

START_TEST(what_is_no_order_is_passed_over)
{
    uint8_t large[4096] = {0};

    send_raw(bytes, 0);
    encode(WARN, 1000);
    send_raw(bytes, sizeof(bytes) - 1);
    memcpy(large, bytes, sizeof(bytes));
    send_raw(large, sizeof(bytes) + 1);
    send_raw(large, sizeof(large));
    bytes[GOV__CONTROL_AT_VERSION]++;
    send_raw(bytes, sizeof(bytes));
    bytes[GOV__CONTROL_AT_VERSION]--;
    bytes[GOV__CONTROL_AT_PID] ^= 1;
    send_raw(bytes, sizeof(bytes));
    ck_assert_int_eq(after(250), NORMAL);
    ck_happened("");
    bytes[GOV__CONTROL_AT_PID] ^= 1;
    send_raw(bytes, sizeof(bytes));
    ck_assert_int_eq(after(250), WARN);
}
END_TEST

/* Sends the order with a part of the sender's choice. */
static ssize_t send_with(int type, const void *part, size_t size)
{
    union {
        struct cmsghdr header;
        unsigned char room[64];
    } parts;
    struct iovec data = {bytes, sizeof(bytes)};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct msghdr message;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), error;
    ssize_t n;

    memcpy(to.sun_path, path, strlen(path));
    memset(&message, 0, sizeof(message));
    memset(&parts, 0, sizeof(parts));
    message.msg_name = &to;
    message.msg_namelen = sizeof(to);
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = &parts;
    message.msg_controllen = CMSG_SPACE(size);
    parts.header.cmsg_level = SOL_SOCKET;
    parts.header.cmsg_type = type;
    parts.header.cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(&parts.header), part, size);
    n = sendmsg(fd, &message, 0);
    error = errno;
    close(fd);
    errno = error;
    return n;
}

#ifdef SCM_CREDENTIALS
START_TEST(another_user_is_not_listened_to)
{
    struct ucred sender = {getpid(), 65534, getgid()};

    encode(CRITICAL, 60000);
    if (send_with(SCM_CREDENTIALS, &sender, sizeof(sender)) < 0) {
        skip_test("another_user_is_not_listened_to",
                  "only root can be another user");
        return;
    }
    ck_assert_int_eq(after(250), NORMAL);
    ck_assert_uint_ne(rt->control.quiet_until_ms, 0); /* it did arrive */
    sender.uid = geteuid();
    ck_assert_int_eq(send_with(SCM_CREDENTIALS, &sender, sizeof(sender)),
                     GOV__CONTROL_BYTES);
    ck_assert_int_eq(after(250), CRITICAL);
}
END_TEST
#endif

START_TEST(descriptors_do_not_come_in)
{
    int before = faults_open_descriptors(), sent[8];

    for (int i = 0; i < 8; i++)
        sent[i] = STDERR_FILENO;
    encode(WARN, 60000);
    ck_assert_int_eq(send_with(SCM_RIGHTS, sent, sizeof(sent)),
                     GOV__CONTROL_BYTES);
    ck_assert_int_eq(after(250), WARN);
    ck_assert_int_eq(faults_open_descriptors(), before);
}
END_TEST

START_TEST(a_flood_makes_nobody_wait)
{
    uint64_t wait_ms = 1000;
    int sent = 0;

    /* The queue is full some time, and the sender is told so. */
    while (tell_own(WARN, 60000) == GOV_OK && sent < 100000)
        sent++;
    ck_assert_int_lt(sent, 100000);
    ck_assert_int_eq(err.status, GOV_E_BUSY);
    snprintf(happened, sizeof(happened),
             "process %d has not read yet what it was told before; is it "
             "stopped?",
             (int)getpid());
    ck_assert_str_eq(err.message, happened);
    happened[0] = '\0';
    ck_assert_int_eq(gov__control_fd(rt, &wait_ms), rt->control.fd);
    ck_assert_uint_eq(wait_ms, 1000);
    ck_assert_int_eq(after(250), WARN);
    /* For a while it is not listened to, whatever is there. */
    ck_assert_int_eq(gov__control_fd(rt, &wait_ms), -1);
    ck_assert_uint_eq(wait_ms, 100);
    sim_advance_ms(&sim, 60);
    wait_ms = 1000;
    ck_assert_int_eq(gov__control_fd(rt, &wait_ms), -1);
    ck_assert_uint_eq(wait_ms, 40);
    sim_advance_ms(&sim, 40);
    ck_assert_int_eq(gov__control_fd(rt, &wait_ms), rt->control.fd);
}
END_TEST

/* ---- the name -------------------------------------------------------------------- */

static bool is_there(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

static int bind_at(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    memcpy(at.sun_path, name, strlen(name));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

START_TEST(nobody_else_may_use_the_socket)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    tear_down();
    ck_assert(!is_there(path));
}
END_TEST

START_TEST(what_has_the_name_by_now_stays)
{
    int other;

    ck_assert_int_eq(unlink(path), 0);
    other = bind_at(path);
    tear_down();
    ck_assert(is_there(path));
    close(other);
}
END_TEST

START_TEST(what_was_left_there_is_replaced)
{
    tear_down();
    close(bind_at(path));
    rt = open_here(directory, true);
    ck_assert_int_eq(tell_own(WARN, 60000), GOV_OK);
    ck_assert_int_eq(after(250), WARN);
    tear_down();
    ck_assert_int_eq(symlink("/nowhere", path), 0);
    rt = open_here(directory, true);
    ck_assert_int_eq(tell_own(WARN, 60000), GOV_OK);
    ck_assert_int_eq(after(250), WARN);
}
END_TEST

START_TEST(a_swept_directory_gets_it_again)
{
    char page[1024];

    snprintf(page, sizeof(page), "%s/%d.page", directory, (int)getpid());
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(unlink(page), 0);
    turn(250); /* the page */
    turn(250); /* what follows it */
    ck_assert_int_eq(tell_own(WARN, 60000), GOV_OK);
    ck_assert_int_eq(after(250), WARN);
}
END_TEST

/* The thread that waits for the one before does so for a minute. */
START_TEST(a_thread_hears_a_new_socket_at_once)
{
    const struct timespec pause = {0, 10000000};
    const struct gov_platform *native = gov__platform_native();
    char page[1024];
    uint64_t began;

    tear_down();
    sim.table.now_us = native->now_us;
    rt = open_here(directory, false);
    snprintf(page, sizeof(page), "%s/%d.page", directory, (int)getpid());
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(unlink(page), 0);
    began = native->now_us(native->ctx);
    while (!is_there(path) && native->now_us(native->ctx) - began < 10000000) {
        simulate(WARN); /* is a turn of work: the page, then what follows it */
        nanosleep(&pause, NULL);
    }
    ck_assert_int_eq(tell_own(CRITICAL, 60000), GOV_OK);
    while (gov_level_now(rt) != CRITICAL &&
           native->now_us(native->ctx) - began < 20000000)
        nanosleep(&pause, NULL);
    ck_assert_int_eq(gov_level_now(rt), CRITICAL);
}
END_TEST

START_TEST(of_two_runtimes_the_last_one_is_told)
{
    gov_runtime *first = rt, *second = open_here(directory, true);

    gov_step(first);
    gov_step(second);
    ck_assert_int_eq(tell_own(WARN, 60000), GOV_OK);
    gov_step(first);
    gov_step(second);
    ck_assert_int_eq(gov_level_now(first), NORMAL);
    ck_assert_int_eq(gov_level_now(second), WARN);
    gov_close(second);
    gov_step(first);
    gov_step(first);
    ck_assert_int_eq(tell_own(CRITICAL, 60000), GOV_OK);
    gov_step(first);
    ck_assert_int_eq(gov_level_now(first), CRITICAL);
}
END_TEST

START_TEST(a_child_is_not_meant)
{
    int status;
    pid_t child;

    ck_assert_int_eq(tell_own(WARN, 60000), GOV_OK);
    child = fork();
    if (child == 0) {
        gov_step(rt);
        status = gov_level_now(rt) != NORMAL;
        gov_close(rt);
        _exit(status);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert(is_there(path));
    ck_assert_int_eq(after(250), WARN);
}
END_TEST

START_TEST(a_name_too_long_is_a_recorded_fact)
{
    char longer[256], text[1024];
    size_t at = strlen(directory);

    tear_down();
    memcpy(longer, directory, at);
    longer[at] = '/';
    memset(longer + at + 1, 'd', 110);
    longer[at + 111] = '\0';
    rt = open_here(longer, true);
    ck_assert_ptr_nonnull(
        strstr(gov_describe(rt, text, sizeof(text)),
               "; no pressure is simulated from outside: the page directory "));
    ck_assert_int_eq(
        gov_control_simulate((int32_t)getpid(), WARN, 1000, longer, &err),
        GOV_E_INVALID);
    ck_assert_ptr_nonnull(strstr(err.message, "has a name too long for a "
                                              "socket of 107 bytes; set "
                                              "XDG_RUNTIME_DIR to a shorter "
                                              "one"));
    ck_assert_int_eq(after(250), NORMAL);
}
END_TEST

START_TEST(readers_sweep_what_the_dead_left)
{
    struct gov_page page;
    char name[1024], file[1024];
    size_t count;
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    snprintf(name, sizeof(name), "%s/%d.ctl", directory, (int)child);
    close(bind_at(name));
    snprintf(file, sizeof(file), "%s/0%d.ctl", directory, (int)child);
    close(bind_at(file)); /* no name that we give */
    ck_assert_int_eq(gov_page_list(&page, 1, &count, directory, &err), GOV_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert(!is_there(name));
    ck_assert(is_there(file));
    ck_assert(is_there(path)); /* of the living */
    ck_assert_int_eq(mkfifo(name, 0600), 0);
    ck_assert_int_eq(gov_page_list(&page, 1, &count, directory, &err), GOV_OK);
    ck_assert(is_there(name)); /* no socket, not ours */
}
END_TEST

START_TEST(a_page_goes_with_its_socket)
{
    struct gov_page page;
    char name[2][1024];
    size_t count;
    int status, ready[2];
    pid_t child;

    tear_down();
    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        sim.process.start_ticks = 0;
        rt = open_here(directory, true);
        status = write(ready[1], "", 1) != 1;
        pause();
        _exit(status);
    }
    ck_assert_int_eq(read(ready[0], &status, 1), 1);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    for (int i = 0; i < 2; i++) {
        snprintf(name[i], sizeof(name[i]), "%s/%d.%s", directory, (int)child,
                 i == 0 ? "page" : "ctl");
        ck_assert(is_there(name[i]));
    }
    ck_assert_int_eq(gov_page_list(&page, 1, &count, directory, &err), GOV_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert(!is_there(name[0]));
    ck_assert(!is_there(name[1]));
}
END_TEST

/* ---- what the sender is told ------------------------------------------------------ */

static void ck_refused(int32_t pid, gov_level level, gov_status want,
                       const char *message)
{
    ck_assert_int_eq(gov_control_simulate(pid, level, 1000, directory, &err),
                     want);
    ck_assert_str_eq(err.message, message);
}

static char *sentence(const char *format, int pid)
{
    static char out[512];

    snprintf(out, sizeof(out), format, pid, directory);
    return out;
}

START_TEST(each_refusal_says_why)
{
    const int own = (int)getpid();
    int status;
    pid_t child = fork();

    if (child == 0) {
        pause();
        _exit(0);
    }
    ck_refused(0, WARN, GOV_E_INVALID,
               "0 is no process id; govtop shows those of governed processes");
    ck_refused(own, (gov_level)7, GOV_E_INVALID,
               "7 is no level; simulate normal, warn or critical");
    ck_refused((int32_t)child, WARN, GOV_E_NOT_FOUND,
               sentence("process %d is not governed: it has no page in %s; "
                        "where it is another user's, ask as that user",
                        (int)child));
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_refused((int32_t)child, WARN, GOV_E_NOT_FOUND,
               sentence("there is no process %d; govtop shows those that are "
                        "governed",
                        (int)child));
    ck_assert_int_eq(unlink(path), 0);
    ck_refused(own, WARN, GOV_E_UNSUPPORTED,
               sentence("process %d cannot be told anything: it is governed by "
                        "an older version; restart it with this one",
                        own));
    ck_assert_int_eq(symlink("elsewhere", path), 0);
    ck_refused(own, WARN, GOV_E_IO,
               sentence("cannot tell process %d anything: Socket operation on "
                        "non-socket",
                        own));
    ck_assert_int_eq(unlink(path), 0);
    close(bind_at(path));
    ck_refused(
        own, WARN, GOV_E_IO,
        sentence("cannot tell process %d anything: Connection refused", own));
    ck_assert_int_eq(chmod(directory, 0777), 0);
    ck_assert_int_eq(tell_own(WARN, 1000), GOV_E_PERMISSION);
    ck_assert_int_eq(chmod(directory, 0700), 0);
    drop_directory();
    ck_refused(own, WARN, GOV_E_NOT_FOUND,
               sentence("process %d is not governed: it has no page in %s; "
                        "where it is another user's, ask as that user",
                        own));
}
END_TEST

/* A library of before: its page is of version 1, and it passes over what it does not
 * know, so it is not asked. */
START_TEST(an_older_one_cannot_be_asked)
{
    uint8_t page[2048] = "GOVPAGE\n\1\0\0\0\0\10\0\0";
    char name[1024];
    FILE *file;

    for (int i = 0; i < 4; i++)
        page[GOV__PAGE_AT_PID + i] = (uint8_t)(getpid() >> 8 * i);
    snprintf(name, sizeof(name), "%s/%d.page", directory, (int)getpid());
    file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(page, 1, sizeof(page), file), sizeof(page));
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(
        gov_control_relieve((int32_t)getpid(), MIB, directory, &err),
        GOV_E_UNSUPPORTED);
    ck_assert_str_eq(err.message,
                     sentence("process %d cannot be told that: it is governed "
                              "by an older version; restart it with this one",
                              (int)getpid()));
    ck_assert_int_eq(tell_own(WARN, 60000), GOV_OK); /* that it knows */
    ck_assert_int_eq(after(250), WARN);
}
END_TEST

START_TEST(another_users_process_is_refused)
{
    int status;
    pid_t child;

    if (geteuid() != 0) {
        skip_test("another_users_process_is_refused",
                  "only root can be another user");
        return;
    }
    child = fork();
    if (child == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0 ||
            gov_control_simulate((int32_t)getppid(), WARN, 1000, "/nowhere",
                                 &err) != GOV_E_PERMISSION)
            _exit(1);
        _exit(strstr(err.message, " is another user's; only that user can "
                                  "tell it anything") == NULL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* Calls fail in turn while the socket is made, once and for good: the runtime is
 * there all the same, and says what it has not got. */
START_TEST(a_socket_that_cannot_be_made_is_no_failure)
{
    char text[1024];
    int missing = 0;
    uint64_t calls;

    tear_down();
    faults_reset();
    gov_close(open_here(directory, true));
    calls = faults_count();
    for (uint64_t n = 0; n < calls; n++) {
        struct gov_options options = gov_options_default();
        int before;

        faults_reset();
        before = faults_open_descriptors();
        options.budget_bytes = 4 * GIB;
        options.no_thread = true;
        options.no_policy_files = true;
        faults_arm(n, _i != 0);
        if (gov__open_on(&rt, &options, &sim.table, directory, &err) !=
            GOV_OK) {
            rt = NULL;
            continue;
        }
        faults_reset();
        gov_describe(rt, text, sizeof(text));
        if (strstr(text, "simulated from outside") != NULL)
            missing++;
        else if (strstr(text, "not shown in govtop") == NULL)
            ck_assert_int_eq(tell_own(WARN, 60000), GOV_OK);
        turn(250);
        gov_close(rt);
        rt = NULL;
        ck_assert_int_eq(faults_open_descriptors(), before);
    }
    ck_assert_int_gt(missing, 1);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("control");
    TCase *pure = tcase_create("message"), *t = tcase_create("socket");

    tcase_add_test(pure, an_order_reads_as_it_was_written);
    tcase_add_loop_test(pure, whatever_else_is_no_order, 0, 2);
    suite_add_tcase(s, pure);
    tcase_add_checked_fixture(t, set_up_control, tear_down_control);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_level_is_in_force_for_its_time);
    tcase_add_test(t, what_is_told_replaces_what_was_told);
    tcase_add_test(t, of_many_the_last_counts);
    tcase_add_test(t, the_apps_own_steps_stay);
    tcase_add_test(t, a_thread_follows_at_once);
    tcase_add_test(t, what_is_no_order_is_passed_over);
    tcase_add_test(t, memory_is_given_back_as_at_warn);
    tcase_add_test(t, all_is_what_warn_allows);
    tcase_add_test(t, rests_end_but_not_of_the_barren);
    tcase_add_test(t, a_pass_is_waited_for);
    tcase_add_test(t, slices_go_on_from_turn_to_turn);
    tcase_add_loop_test(t, what_comes_later_counts, 0, 2);
    tcase_add_test(t, one_that_does_not_return_is_done_without);
    tcase_add_test(t, what_is_asked_replaces_what_was_asked);
    tcase_add_test(t, an_order_that_has_just_come_is_heard);
    tcase_add_test(t, it_is_taken_again_as_after_pressure);
    tcase_add_test(t, real_pressure_goes_first);
    tcase_add_test(t, a_level_that_is_calm_asks_for_nothing);
    tcase_add_test(t, a_thread_gives_back_at_once);
    tcase_add_test(t, who_asks_does_not_wait);
    tcase_add_test(t, no_other_order_gives_back);
#ifdef SCM_CREDENTIALS
    tcase_add_test(t, another_user_is_not_listened_to);
#endif
    tcase_add_test(t, descriptors_do_not_come_in);
    tcase_add_test(t, a_flood_makes_nobody_wait);
    tcase_add_test(t, nobody_else_may_use_the_socket);
    tcase_add_test(t, what_has_the_name_by_now_stays);
    tcase_add_test(t, what_was_left_there_is_replaced);
    tcase_add_test(t, a_swept_directory_gets_it_again);
    tcase_add_test(t, a_thread_hears_a_new_socket_at_once);
    tcase_add_test(t, of_two_runtimes_the_last_one_is_told);
    tcase_add_test(t, a_child_is_not_meant);
    tcase_add_test(t, a_name_too_long_is_a_recorded_fact);
    tcase_add_test(t, readers_sweep_what_the_dead_left);
    tcase_add_test(t, a_page_goes_with_its_socket);
    tcase_add_test(t, each_refusal_says_why);
    tcase_add_test(t, an_older_one_cannot_be_asked);
    tcase_add_test(t, another_users_process_is_refused);
    tcase_add_loop_test(t, a_socket_that_cannot_be_made_is_no_failure, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
