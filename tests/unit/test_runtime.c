/* SPDX-License-Identifier: MIT */
/* Opening and closing, options, budget, events, publishing, the thread, and
 * what fails. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "governor/memory/memory_priv.h"
#include "tests/unit/runtime_fixture.h"

static struct gov_options quiet(void)
{
    struct gov_options options = gov_options_default();

    options.no_thread = true;
    options.no_publish = true;
    options.no_policy_files = true;
    options.budget_bytes = 4 * GIB;
    options.alloc = faults_alloc();
    return options;
}

static gov_status open_with(const struct gov_options *options,
                            const char *directory)
{
    return gov__open_on(&rt, options, &sim.table, directory, &err);
}

static void set_up_only(void)
{
    faults_reset();
    sim_init(&sim);
    happened[0] = '\0';
}

static const char *describe(void)
{
    static char text[600];

    ck_assert_ptr_eq(gov_describe(rt, text, sizeof(text)), text);
    return text;
}

/* ---- options ------------------------------------------------------------------ */

START_TEST(sample_times)
{
    static const struct {
        uint32_t ms;
        uint32_t want; /* 0: refused */
    } rows[] = {{0, 250},       {1, 0},     {99, 0},        {100, 100},
                {60000, 60000}, {60001, 0}, {UINT32_MAX, 0}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gov_options options = quiet();

        options.sample_ms = rows[i].ms;
        ck_assert_int_eq(open_with(&options, NULL),
                         rows[i].want != 0 ? GOV_OK : GOV_E_INVALID);
        if (rows[i].want != 0)
            ck_assert_uint_eq(rt->sample_ms, rows[i].want);
        else
            ck_assert_ptr_null(rt);
        gov_close(rt);
    }
    ck_assert_str_eq(err.message, "sample_ms of 4294967295 is not within 100 "
                                  "to 60000; 0 means the usual");
}
END_TEST

START_TEST(options_of_other_versions)
{
    struct {
        struct gov_options options;
        uint64_t later[2];
    } newer = {quiet(), {0, 0}};
    static const size_t bad[] = {0, 7, 4097, SIZE_MAX};

    newer.options.size = sizeof(newer);
    ck_assert_int_eq(open_with(&newer.options, NULL), GOV_OK);
    gov_close(rt);
    newer.later[1] = 1;
    ck_assert_int_eq(open_with(&newer.options, NULL), GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "the options are of a newer version of this library, or "
                     "none; start from gov_options_default()");
    newer.later[1] = 0;
    for (size_t i = 0; i < 4; i++) {
        newer.options.size = bad[i];
        ck_assert_int_eq(open_with(&newer.options, NULL), GOV_E_INVALID);
    }
    /* An older one, without what came later: that is 0. */
    newer.options.size = offsetof(struct gov_options, sample_ms);
    newer.options.sample_ms = 7;
    ck_assert_int_eq(open_with(&newer.options, fresh_directory()), GOV_OK);
    ck_assert_uint_eq(rt->sample_ms, 250);
    ck_assert(rt->has_looker);
    gov_close(rt);
}
END_TEST

START_TEST(structs_are_read_by_their_size)
{
    static const uint64_t zeros[1024] = {0};
    unsigned char out[16];

    memset(out, 0xAA, sizeof(out));
    ck_assert(gov__read_struct(out, 16, zeros, 8));
    ck_assert_mem_eq(out, zeros, 16); /* what the caller lacks is 0 */
    ck_assert(gov__read_struct(out, 16, zeros, 4096));
    ck_assert(!gov__read_struct(out, 16, zeros, 4097));
    ck_assert(!gov__read_struct(out, 16, zeros, 7));
}
END_TEST

START_TEST(no_place_for_the_runtime)
{
    struct gov_options options = quiet();

    ck_assert_int_eq(gov__open_on(NULL, &options, &sim.table, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "gov_open() needs a place for the runtime");
}
END_TEST

/* ---- budget --------------------------------------------------------------------- */

START_TEST(a_budget_of_0_is_the_devices)
{
    struct gov_options options = quiet();

    options.budget_bytes = 0;
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    ck_assert_uint_eq(rt->budget_bytes, 16 * GIB - 16 * GIB / 10);
    gov_close(rt);
    sim.limit.limit_bytes = 2 * GIB;
    sim.limit.used_bytes = GIB;
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    ck_assert_uint_eq(rt->budget_bytes, 2 * GIB - 2 * GIB / 20);
    gov_close(rt);
}
END_TEST

START_TEST(no_budget_to_be_found)
{
    struct gov_options options = quiet();

    options.budget_bytes = 0;
    sim.machine_rc = EIO;
    ck_assert_int_eq(open_with(&options, NULL), GOV_E_UNSUPPORTED);
    ck_assert_str_eq(err.message, "this system reports no memory total to "
                                  "govern; set budget_bytes");
    ck_assert_ptr_null(rt);
    sim.limit_rc = EACCES;
    ck_assert_int_eq(open_with(&options, NULL), GOV_E_IO);
    ck_assert_str_eq(err.message, "cannot read the memory limit of this "
                                  "process: Permission denied");
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

static void set_limit(uint64_t bytes)
{
    sim_lock(&sim);
    sim.limit.limit_bytes = bytes;
    sim_unlock(&sim);
}

/* A container that is resized while the app runs. */
START_TEST(the_budget_follows_the_limit)
{
    struct gov_options options = quiet();

    options.budget_bytes = 0;
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    gov_on_event(rt, on_event, NULL);
    set_limit(2 * GIB);
    turn(250);
    ck_assert_uint_eq(rt->budget_bytes, 2 * GIB - 2 * GIB / 20);
    ck_happened("event the memory limit is now 2048 MiB: the budget is 1945 "
                "MiB\n");
    turn(250);
    ck_happened(""); /* told once */
    /* The evidence of the same turn is against the new budget. */
    ck_assert_uint_eq(rt->last.evidence.budget_bytes, 2 * GIB - 2 * GIB / 20);
    set_limit(UINT64_MAX);
    turn(250);
    ck_assert_uint_eq(rt->budget_bytes, 16 * GIB - 16 * GIB / 10);
    ck_happened("event the memory limit is lifted: the budget is 14745 MiB\n");
    gov_close(rt);
}
END_TEST

/* Nothing is concluded from a limit that cannot be read just now. */
START_TEST(a_limit_that_cannot_be_read_changes_nothing)
{
    struct gov_options options = quiet();

    options.budget_bytes = 0;
    set_limit(2 * GIB);
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    gov_on_event(rt, on_event, NULL);
    sim.limit_rc = EMFILE;
    turn(250);
    ck_assert_uint_eq(rt->budget_bytes, 2 * GIB - 2 * GIB / 20);
    sim.limit_rc = 0;
    sim.machine_rc = EIO;
    turn(250);
    ck_assert_uint_eq(rt->budget_bytes, 2 * GIB - 2 * GIB / 20);
    ck_happened("");
    gov_close(rt);
}
END_TEST

START_TEST(a_budget_that_was_given_stays)
{
    struct gov_options options = quiet();

    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    gov_on_event(rt, on_event, NULL);
    set_limit(2 * GIB);
    turn(250);
    ck_assert_uint_eq(rt->budget_bytes, 4 * GIB);
    ck_happened("");
    gov_close(rt);
}
END_TEST

/* Another one at the next step, whatever was given at first, and the device's
 * again, which follows the limit as if nothing had been. */
static void name_another_budget(uint64_t given)
{
    struct gov_options options = quiet();

    options.budget_bytes = given;
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    gov_on_event(rt, on_event, NULL);
    gov_set_budget(rt, 3 * GIB);
    ck_assert_uint_ne(gov_budget_now(rt), 3 * GIB);
    turn(250);
    ck_assert_uint_eq(gov_budget_now(rt), 3 * GIB);
    ck_assert_uint_eq(rt->last.evidence.budget_bytes, 3 * GIB);
    ck_happened("event the budget is another one: 3072 MiB\n");
    set_limit(2 * GIB);
    turn(250);
    gov_set_budget(rt, 3 * GIB); /* the same */
    turn(250);
    ck_happened("");
    sim.limit_rc = EMFILE;
    gov_set_budget(rt, 0);
    turn(250);
    ck_assert_uint_eq(gov_budget_now(rt), 3 * GIB);
    ck_happened("");
    sim.limit_rc = 0;
    turn(250);
    ck_assert_uint_eq(gov_budget_now(rt), 2 * GIB - 2 * GIB / 20);
    ck_happened("event the budget is the device's again: 1945 MiB\n");
    set_limit(UINT64_MAX);
    turn(250);
    ck_assert_uint_eq(gov_budget_now(rt), 16 * GIB - 16 * GIB / 10);
    gov_close(rt);
}

START_TEST(an_app_names_another_budget)
{
    name_another_budget(0);
    set_limit(UINT64_MAX);
    happened[0] = '\0';
    name_another_budget(4 * GIB);
    gov_set_budget(NULL, 1);
    ck_assert_uint_eq(gov_budget_now(NULL), 0);
}
END_TEST

/* ---- events ----------------------------------------------------------------------- */

START_TEST(levels_are_announced_once)
{
    set_up();
    turn(250);
    sim.process.footprint_bytes = 4 * GIB - 400 * MIB;
    turn(250);
    turn(250);
    sim.process.footprint_bytes = 4 * GIB - 100 * MIB;
    turn(250);
    sim.process.footprint_bytes = GIB;
    for (int i = 0; i < 60; i++)
        turn(250);
    ck_happened("event warn: 400 MiB of the 4096 MiB budget are left\n"
                "event critical: 100 MiB of the 4096 MiB budget are left\n"
                "event warn: calm for 5.0 s\n"
                "event normal: calm for 5.0 s\n");
    gov_on_event(rt, NULL, NULL);
    sim.process.footprint_bytes = 4 * GIB;
    turn(250);
    ck_happened("");
    ck_assert_int_eq(gov_level_now(rt), CRITICAL);
    tear_down();
}
END_TEST

START_TEST(open_looks_once_already)
{
    struct gov_options options = quiet();

    sim.process.footprint_bytes = 4 * GIB;
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    ck_assert_int_eq(gov_level_now(rt), CRITICAL);
    gov_close(rt);
}
END_TEST

START_TEST(nothing_is_accepted)
{
    char text[32] = "x";

    gov_close(NULL);
    gov_step(NULL);
    gov_pass_begin(NULL);
    gov_pass_end(NULL);
    gov_on_event(NULL, on_event, NULL);
    gov_publish(NULL, GOV_PAGE_TOKENS, 1);
    gov_publish_text(NULL, GOV_PAGE_TEXT_MODEL, "m");
    ck_assert_int_eq(gov_level_now(NULL), NORMAL);
    ck_assert_str_eq(gov_describe(NULL, text, 0), "x");
    ck_assert_str_eq(gov_describe(NULL, text, sizeof(text)), "not governed");
}
END_TEST

/* ---- describe ----------------------------------------------------------------------- */

START_TEST(describes_what_is_watched)
{
    char small[12];

    set_up();
    ck_assert_str_eq(describe(), "watching PSI of the system and headroom "
                                 "(budget); budget 4096 MiB");
    sim.stall.source = "own cgroup";
    sim.machine.available_bytes = 1;
    turn(250);
    ck_assert_str_eq(describe(), "watching PSI of the own cgroup and headroom "
                                 "(system memory); budget 4096 MiB");
    sim.stall_rc = sim.process_rc = sim.machine_rc = EIO;
    turn(250);
    ck_assert_str_eq(describe(), "watching no PSI (the kernel has none for "
                                 "this user); budget 4096 MiB");
    gov_describe(rt, small, sizeof(small));
    ck_assert_str_eq(small, "watching...");
    tear_down();
}
END_TEST

/* ---- publishing ------------------------------------------------------------------------ */

static struct gov_page page;

/* The one page in the directory. */
static void look(const char *directory)
{
    size_t count = 0;

    ck_assert_int_eq(gov_page_list(&page, 1, &count, directory, &err), GOV_OK);
    ck_assert_uint_eq(count, 1);
}

static uint64_t shown(gov_page_counter counter)
{
    ck_assert_msg((page.have >> counter & 1) != 0, "%s is absent",
                  gov_page_counter_name(counter));
    return page.counter[counter];
}

static bool is_shown(gov_page_counter counter)
{
    return (page.have >> counter & 1) != 0;
}

/* Pages are listed while their process is alive: the real one's start time. */
static const char *open_published(const char *app)
{
    const struct gov_platform *native = gov__platform_native();
    struct gov_options options = quiet();
    struct gov__process self;
    const char *directory = fresh_directory();

    ck_assert_int_eq(native->process(native->ctx, 0, &self), 0);
    sim.process.start_ticks = self.start_ticks;
    options.app = app;
    options.no_publish = false;
    ck_assert_int_eq(open_with(&options, directory), GOV_OK);
    return directory;
}

START_TEST(the_page_shows_it_all)
{
    const char *directory = open_published("an app");
    struct action action = {
        .name = "kv.unused", .offers = 4 * MIB, .gives = 3 * MIB};

    look(directory);
    ck_assert_str_eq(page.text_APP, "an app");
    ck_assert_str_eq(page.text_BACKEND, "PSI (system) and headroom");
    ck_assert_str_eq(page.text_REASON, "no sign of pressure");
    ck_assert_uint_eq(shown(GOV_PAGE_BUDGET), 4 * GIB);
    ck_assert_uint_eq(shown(GOV_PAGE_FOOTPRINT), GIB);
    ck_assert_uint_eq(shown(GOV_PAGE_HEADROOM), 3 * GIB);
    ck_assert_uint_eq(shown(GOV_PAGE_LEVEL), NORMAL);
    ck_assert_uint_eq(shown(GOV_PAGE_LEVEL_SIMULATED), 0);
    ck_assert(!is_shown(GOV_PAGE_READ_BYTES));
    ck_assert(!is_shown(GOV_PAGE_TOKENS));
    ck_assert_uint_eq(shown(GOV_PAGE_RELIEFS), 0);
    ck_assert_uint_eq(shown(GOV_PAGE_YIELD_TOTAL), 0);
    ck_assert(!is_shown(GOV_PAGE_YIELD_LAST));
    ck_assert(!is_shown(GOV_PAGE_CACHE));
    add(&action);
    simulate(WARN);
    sim.process.have_read_bytes = true;
    sim.process.read_bytes = 123;
    gov_publish(rt, GOV_PAGE_TOKENS, 17);
    gov_publish(rt, (gov_page_counter)GOV_PAGE_COUNTERS, 99);
    gov_publish_text(rt, GOV_PAGE_TEXT_MODEL, "tiny");
    gov_publish_text(rt, (gov_page_text)GOV_PAGE_TEXTS, "none");
    gov_publish_text(rt, GOV_PAGE_TEXT_MODEL, NULL);
    turn(250);
    look(directory);
    ck_assert_uint_eq(shown(GOV_PAGE_UPDATED_US), sim.now_us);
    ck_assert_uint_eq(shown(GOV_PAGE_LEVEL), WARN);
    ck_assert_uint_eq(shown(GOV_PAGE_LEVEL_SIMULATED), 1);
    ck_assert_uint_eq(shown(GOV_PAGE_READ_BYTES), 123);
    ck_assert_uint_eq(shown(GOV_PAGE_TOKENS), 17);
    ck_assert_uint_eq(shown(GOV_PAGE_RELIEFS), 1);
    ck_assert_uint_eq(shown(GOV_PAGE_YIELD_LAST), 3 * MIB);
    ck_assert_uint_eq(shown(GOV_PAGE_YIELD_TOTAL), 3 * MIB);
    ck_assert_str_eq(page.text_LAST_RELIEF, "kv.unused");
    ck_assert_str_eq(page.text_MODEL, "tiny");
    ck_assert_str_eq(page.text_REASON, "simulated");
    tear_down();
    ck_assert_int_eq(gov_page_list(&page, 1, &(size_t){0}, directory, &err),
                     GOV_OK);
}
END_TEST

START_TEST(what_is_not_known_any_more_is_not_shown)
{
    const char *directory = open_published(NULL);

    look(directory);
    ck_assert_str_eq(page.text_APP, "app");
    sim.process_rc = sim.machine_rc = sim.stall_rc = EIO;
    turn(250);
    look(directory);
    ck_assert(!is_shown(GOV_PAGE_FOOTPRINT));
    ck_assert(!is_shown(GOV_PAGE_HEADROOM));
    ck_assert_str_eq(page.text_HEADROOM_SOURCE, "");
    ck_assert(!is_shown(GOV_PAGE_MAJOR_FAULTS));
    ck_assert(is_shown(GOV_PAGE_BUDGET));
    ck_assert_str_eq(page.text_BACKEND, "none");
    sim.stall_rc = 0;
    turn(250);
    look(directory);
    ck_assert_str_eq(page.text_BACKEND, "PSI (system)");
    sim.stall.source = "own cgroup";
    turn(250);
    look(directory);
    ck_assert_str_eq(page.text_BACKEND, "PSI (own cgroup)");
    sim.stall_rc = EIO;
    sim.process_rc = 0;
    turn(250);
    look(directory);
    ck_assert_str_eq(page.text_BACKEND, "headroom only");
    ck_assert_str_eq(page.text_HEADROOM_SOURCE, "budget");
    ck_assert_uint_eq(shown(GOV_PAGE_FOOTPRINT), GIB);
    sim.machine_rc = 0;
    sim.machine.available_bytes = GIB / 2;
    turn(250);
    look(directory);
    ck_assert_str_eq(page.text_HEADROOM_SOURCE, "system memory");
    ck_assert_uint_eq(shown(GOV_PAGE_HEADROOM), GIB / 2);
    ck_assert_uint_eq(shown(GOV_PAGE_BUDGET), 4 * GIB);
    tear_down();
}
END_TEST

static size_t five_sources(void *ctx, const struct gov__watch *watch,
                           struct gov__source *out, size_t room)
{
    static const struct gov__source sources[] = {
        {"a", GOV__SOURCE_ABSENT, "not set", 0, 0},
        {"b", GOV__SOURCE_LIVE, "10 s", 0, 0},
        {"c", GOV__SOURCE_SPARE, "not armed yet", 0, 0},
        {"d", GOV__SOURCE_LIVE, "low", 0, 0},
        {"e", GOV__SOURCE_DENIED, "no right", 0, 0},
    };

    (void)ctx;
    (void)watch;
    memcpy(out, sources, (room < 5 ? room : 5) * sizeof(sources[0]));
    return 5;
}

START_TEST(what_wakes_is_told_first)
{
    const char *directory;
    int fd;

    sim_watch(&sim);
    sim.table.watch_sources = five_sources;
    directory = open_published(NULL);
    ck_assert_int_eq(gov_fd(rt, &fd, &err), GOV_OK); /* somebody waits */
    turn(250);
    look(directory);
    ck_assert_str_eq(page.text_WAKES,
                     "woken by b, d; in reserve c (not armed yet); not by a "
                     "(not set), e (no right)");
    tear_down();
}
END_TEST

/* The field of a strategy has 16 bytes. */
START_TEST(texts_are_cut_between_characters)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"123456789012345", "123456789012345"},
        {"1234567890123456", "123456789012345"},
        {"12345678901234\xC3\xA9", "12345678901234"},
        {"1234567890123\xC3\xA9", "1234567890123\xC3\xA9"},
        {"123456789012345\xC3\xA9", "123456789012345"},
        {"1234567890123\xE2\x82\xAC", "1234567890123"},
        {"123456789012\xE2\x82\xAC", "123456789012\xE2\x82\xAC"},
        {"123456789012\xF0\x9F\x98\x80", "123456789012"},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
         ""},
    };

    set_up();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gov_publish_text(rt, GOV_PAGE_TEXT_STRATEGY, rows[i].text);
        ck_assert_str_eq(rt->page.text_STRATEGY, rows[i].want);
    }
    tear_down();
}
END_TEST

START_TEST(a_page_that_cannot_be_made_is_no_failure)
{
    struct gov_options options = quiet();
    const char *directory = fresh_directory();
    char path[400], want[700];
    int fd;

    snprintf(path, sizeof(path), "%s/file", directory);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    options.no_publish = false;
    ck_assert_int_eq(open_with(&options, path), GOV_OK);
    gov_step(rt);
    snprintf(want, sizeof(want),
             "watching PSI of the system and headroom "
             "(budget); budget 4096 MiB; not shown in "
             "govtop: %s",
             rt->publish_problem);
    ck_assert_str_ne(rt->publish_problem, "");
    ck_assert_str_eq(describe(), want);
    gov_close(rt);
}
END_TEST

START_TEST(a_page_that_cannot_be_written_is_said_until_it_can)
{
    open_published("app");
    faults_only("pwrite");
    faults_set_errno(ENOSPC);
    faults_arm(0, true);
    turn(250);
    ck_assert_ptr_nonnull(strstr(describe(), "; not shown in govtop: cannot "
                                             "write the page"));
    faults_disarm();
    turn(250);
    ck_assert_ptr_null(strstr(describe(), "govtop"));
    tear_down();
}
END_TEST

/* ---- the thread --------------------------------------------------------------------------- */

static struct gate gate = GATE;

static struct gov_options threaded(void)
{
    struct gov_options options = quiet();

    options.no_thread = false;
    options.sample_ms = 100;
    return options;
}

static void tell_gate(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    gate_open(&gate, (int)event->level);
}

START_TEST(the_thread_steps_by_itself)
{
    struct gov_options options = threaded();

    gate.stage = 0;
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    gov_on_event(rt, tell_gate, NULL);
    simulate(WARN);
    gate_wait(&gate, WARN);
    simulate(CRITICAL);
    gate_wait(&gate, CRITICAL);
    gov_close(rt);
}
END_TEST

START_TEST(the_thread_takes_no_signal_of_the_hosts)
{
    struct gov_options options = threaded();
    sigset_t before, after;

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int n = 1; n < 32; n++)
        ck_assert_int_eq(sigismember(&before, n), sigismember(&after, n));
    gov_close(rt);
}
END_TEST

static int masked_usr1 = -1, masked_bus = -1;

static void look_at_mask(void *ctx, const struct gov_event *event)
{
    sigset_t now;

    (void)ctx;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    masked_usr1 = sigismember(&now, SIGUSR1);
    masked_bus = sigismember(&now, SIGBUS);
    gate_open(&gate, (int)event->level);
}

START_TEST(the_thread_lets_its_own_faults_through)
{
    struct gov_options options = threaded();

    gate.stage = 0;
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    gov_on_event(rt, look_at_mask, NULL);
    simulate(WARN);
    gate_wait(&gate, WARN);
    ck_assert_int_eq(masked_usr1, 1);
    ck_assert_int_eq(masked_bus, 0);
    gov_close(rt);
}
END_TEST

START_TEST(opens_and_closes_200_times)
{
    struct gov_options options = threaded();
    const char *directory = fresh_directory();
    int before = faults_open_descriptors();
    size_t count = 9;

    options.no_publish = false;
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(open_with(&options, directory), GOV_OK);
        if (i % 3 == 0)
            simulate(WARN);
        gov_close(rt);
    }
    ck_assert_int_eq(faults_open_descriptors(), before);
    ck_assert_int_eq(faults_live_blocks(), 0);
    ck_assert_int_eq(gov_page_list(NULL, 0, &count, directory, &err), GOV_OK);
    ck_assert_uint_eq(count, 0);
}
END_TEST

static void wait_inside(struct action *action)
{
    (void)action;
    gate_open(&gate, 1);
    gate_wait(&gate, 2);
    note("inside", "");
}

static void *close_it(void *arg)
{
    (void)arg;
    gov_close(rt);
    note("closed", "");
    return NULL;
}

START_TEST(closing_waits_for_an_action_that_runs)
{
    struct gov_options options = threaded();
    struct action action = {.name = "a", .offers = MIB, .inside = wait_inside};
    pthread_t closer;

    gate.stage = 0;
    ck_assert_int_eq(open_with(&options, NULL), GOV_OK);
    add(&action);
    simulate(WARN);
    gate_wait(&gate, 1);
    closer = start(close_it, NULL);
    while (!atomic_load(&rt->stop))
        sched_yield();
    gate_open(&gate, 2);
    pthread_join(closer, NULL);
    ck_happened("run a\ninside\nclosed\n");
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* ---- all at once ---------------------------------------------------------------------------- */

static _Atomic bool enough;
static _Atomic int in_pass, bad;
static _Atomic uint64_t passes_done, events_seen, runs_done;

static uint64_t stress_offer(void *ctx, gov_level level)
{
    (void)ctx;
    return level >= CRITICAL ? 2 * MIB : MIB;
}

static void stress_run(void *ctx, gov_level level)
{
    (void)level;
    if (ctx != NULL && in_pass != 0)
        bad++; /* between passes, and there is one */
    runs_done++;
}

static void stress_event(void *ctx, const struct gov_event *event)
{
    char text[128];

    (void)ctx;
    if (event->text == NULL || event->text[0] == '\0')
        bad++;
    gov_describe(rt, text, sizeof(text));
    events_seen++;
}

static void *stress_engine(void *arg)
{
    (void)arg;
    while (!enough) {
        gov_pass_begin(rt);
        in_pass++;
        gov_publish(rt, GOV_PAGE_TOKENS, passes_done);
        in_pass--;
        gov_pass_end(rt);
        passes_done++;
    }
    return NULL;
}

static void *stress_actions(void *arg)
{
    struct gov_relief relief = gov_relief_default();
    uint32_t id[3];
    gov_cache *cache;

    (void)arg;
    relief.name = "stress";
    relief.offer = stress_offer;
    relief.run = stress_run;
    while (!enough) {
        if (gov__cache_new_on(&cache, &sim.table, NULL, NULL) != GOV_OK)
            break;
        (void)!gov_cache_put(cache, 1, "x", 1, NULL);
        relief.between_passes = true;
        relief.ctx = &in_pass;
        if (gov_relief_add(rt, &relief, &id[0], NULL) != GOV_OK ||
            gov_relief_add_cache(rt, "cache", cache, &id[1], NULL) != GOV_OK)
            bad++;
        relief.between_passes = false;
        relief.ctx = NULL;
        if (gov_relief_add(rt, &relief, &id[2], NULL) != GOV_OK)
            bad++;
        sched_yield();
        for (int i = 0; i < 3; i++)
            gov_relief_remove(rt, id[i]);
        gov_cache_free(cache);
    }
    return NULL;
}

static void *stress_levels(void *arg)
{
    static const gov_level levels[] = {WARN, NORMAL, CRITICAL, WARN};

    (void)arg;
    for (unsigned n = 0; !enough; n++) {
        if (n % 7 == 6)
            (void)!gov_simulate_end(rt, 0, NULL);
        else
            (void)!gov_simulate(rt, levels[n % 4], 0, NULL);
        gov_publish_text(rt, GOV_PAGE_TEXT_MODEL, "stress");
        gov_on_event(rt, n % 64 == 63 ? NULL : stress_event, NULL);
        sim_advance_ms(&sim, 250);
        sched_yield();
    }
    return NULL;
}

START_TEST(all_at_once)
{
    struct gov_options options = threaded();
    const struct gov_platform *native = gov__platform_native();
    uint64_t until;
    pthread_t thread[3];

    options.no_publish = false;
    ck_assert_int_eq(open_with(&options, fresh_directory()), GOV_OK);
    gov_on_event(rt, stress_event, NULL);
    thread[0] = start(stress_engine, NULL);
    thread[1] = start(stress_actions, NULL);
    thread[2] = start(stress_levels, NULL);
    until = native->now_us(native->ctx) + 2000000;
    while (native->now_us(native->ctx) < until)
        gov_step(rt);
    enough = true;
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    gov_close(rt);
    ck_assert_int_eq(bad, 0);
    ck_assert_uint_gt(passes_done, 0);
    ck_assert_uint_gt(events_seen, 0);
    ck_assert_uint_gt(runs_done, 0);
    ck_assert_int_eq(faults_live_blocks(), 0);
    ck_assert_int_eq(sim.maps, 0);
}
END_TEST

/* ---- what fails ------------------------------------------------------------------------------- */

/* Opens with everything on, registers an action, closes. */
static gov_status whole_life(const char *directory, uint64_t budget)
{
    struct gov_options options = quiet();
    struct action action = {.name = "a", .offers = MIB, .gives = MIB};
    gov_status status;

    options.budget_bytes = budget;
    options.no_publish = false;
    options.no_thread = false;
    options.sample_ms = 100; /* how long a thread that is not woken sleeps */
    memset(&err, 0, sizeof(err));
    status = open_with(&options, directory);
    if (status != GOV_OK)
        return status;
    add(&action);
    gov_close(rt);
    return GOV_OK;
}

/* Calls whose failure gov_open() survives, and why that is right. */
static bool absorbed(const char *call)
{
    static const char *const calls[] = {
        "mkdir",   "openat", "open",
        "fstat",   "pwrite", /* no page: gov_describe() says so */
        "read",              /* the byte that wakes stays: one turn more */
        "write",             /* not woken, the thread wakes a sample later */
        "machine", "stall",  /* no such evidence */
        "process",           /* no footprint, no start time in the page */
        "limit",             /* with a budget given: one bound less */
        "tell",              /* facts of the device, not used here */
    };

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(calls[i], call) == 0)
            return true;
    return false;
}

static void check_fault(gov_status status, const char *call, uint64_t n,
                        int descriptors)
{
    ck_assert_msg(status != GOV_OK || absorbed(call), "%s (%d) was swallowed",
                  call, (int)n);
    ck_assert_msg(status == GOV_OK || err.message[0] != '\0', "%s is mute",
                  call);
    ck_assert_msg(status == GOV_OK || rt == NULL, "%s left a runtime", call);
    ck_assert_msg(faults_live_blocks() == 0, "%s leaks memory", call);
    ck_assert_msg(faults_open_descriptors() == descriptors,
                  "%s leaks descriptors", call);
}

START_TEST(each_system_call_fails_in_turn)
{
    const char *directory = fresh_directory();
    int descriptors = faults_open_descriptors();
    uint64_t calls;

    faults_reset();
    ck_assert_int_eq(whole_life(directory, 4 * GIB), GOV_OK);
    calls = faults_count();
    ck_assert_uint_ge(calls, 5);
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        faults_arm(n, _i != 0);
        status = whole_life(directory, 4 * GIB);
        check_fault(status, faults_last(), n, descriptors);
        faults_disarm();
    }
}
END_TEST

START_TEST(each_platform_call_fails_in_turn)
{
    const char *directory = fresh_directory();
    int descriptors = faults_open_descriptors();
    uint64_t calls;

    ck_assert_int_eq(whole_life(directory, 0), GOV_OK);
    sim_fail(&sim, SIM_NEVER, false);
    ck_assert_int_eq(whole_life(directory, 0), GOV_OK);
    calls = sim.calls;
    ck_assert_uint_ge(calls, 8);
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        sim_fail(&sim, n, _i != 0);
        status = whole_life(directory, 0);
        check_fault(status, sim.failed, n, descriptors);
    }
    /* A limit that cannot be read is no budget. */
    sim_fail(&sim, SIM_NEVER, false);
    sim.limit_rc = EIO;
    ck_assert_int_eq(whole_life(directory, 0), GOV_E_IO);
}
END_TEST

/* Turns, with relief that runs: nothing that fails in one stops the next. */
START_TEST(each_call_of_a_turn_fails_in_turn)
{
    const char *directory = open_published("app");
    uint64_t calls;

    sim_fail(&sim, SIM_NEVER, false);
    faults_reset();
    turn(250);
    calls = sim.calls + faults_count();
    for (uint64_t n = 0; n < calls; n++) {
        struct action action = {.name = "a", .offers = MIB, .gives = 0};

        add(&action);
        simulate(n % 2 != 0 ? WARN : CRITICAL);
        sim_fail(&sim, n, _i != 0);
        faults_arm(n, _i != 0);
        turn(60000);
        sim_fail(&sim, SIM_NEVER, false);
        faults_disarm();
        ck_assert_int_eq(action.runs, 1);
        gov_relief_remove(rt, action.id);
        simulate(NORMAL);
        turn(250);
        look(directory);
        ck_assert_uint_eq(shown(GOV_PAGE_LEVEL), NORMAL);
        ck_assert_uint_eq(shown(GOV_PAGE_FOOTPRINT), GIB);
    }
    tear_down();
}
END_TEST

START_TEST(what_failing_calls_say)
{
    static const struct {
        const char *call;
        int number;
        const char *message;
    } rows[] = {
        {"pipe", EMFILE,
         "cannot start the runtime's threads; raise the limits of this "
         "process, or set no_thread: Too many open files"},
        {"pthread_create", EIO,
         "cannot start the runtime's threads; raise the limits of this "
         "process, or set no_thread: Resource temporarily unavailable"},
    };

    for (size_t i = 0; i < 2; i++) {
        faults_reset();
        faults_only(rows[i].call);
        faults_set_errno(rows[i].number);
        faults_arm(0, false);
        ck_assert_int_eq(whole_life(fresh_directory(), 4 * GIB), GOV_E_NOMEM);
        ck_assert_str_eq(err.message, rows[i].message);
    }
    faults_reset();
    faults_only("alloc");
    faults_arm(0, false);
    ck_assert_int_eq(whole_life(fresh_directory(), 4 * GIB), GOV_E_NOMEM);
    ck_assert_ptr_nonnull(strstr(err.message, "no memory for a runtime of "));
}
END_TEST

/* The native platform, whose calls are the system's. */
START_TEST(the_native_platform_opens_or_says_why)
{
    struct gov_options options = quiet();
    int descriptors = faults_open_descriptors();
    uint64_t calls;

    options.budget_bytes = 0;
    ck_assert_int_eq(gov_open(&rt, &options, &err), GOV_OK);
    ck_assert_uint_gt(rt->budget_bytes, 0);
    gov_close(rt);
    faults_reset();
    ck_assert_int_eq(gov_open(&rt, &options, &err), GOV_OK);
    calls = faults_count();
    gov_close(rt);
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        memset(&err, 0, sizeof(err));
        faults_arm(n, _i != 0);
        status = gov_open(&rt, &options, &err);
        faults_disarm();
        /* Which file it was is the platform's affair: tests of its own. */
        ck_assert(status == GOV_OK || (err.message[0] != '\0' && rt == NULL));
        gov_close(rt);
        ck_assert_int_eq(faults_live_blocks(), 0);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
    }
}
END_TEST

#define ADD(tc, name) tcase_add_test(tc, name)

/* What a plan may ask before there is a runtime. */
START_TEST(pressure_at_launch_is_a_fact)
{
    static const struct {
        uint64_t available_mib;
        const char *level, *frugal;
    } rows[] = {{4000, "normal", "normal"},
                {600, "normal", "warn"},
                {450, "warn", "warn"},
                {100, "critical", "critical"}};
    static const char text[] = "version: 1\nbase: frugal\n";
    const struct gov_policy_layer layer = {"t", text, sizeof(text) - 1};
    struct gov_facts facts = {0};
    gov_policy *policy;

    sim_lock(&sim);
    sim.machine.available_bytes = rows[_i].available_mib * MIB;
    sim_unlock(&sim);
    gov__pressure_facts_on(&sim.table, &facts, NULL);
    /* Of no budget nothing can be said. */
    ck_assert(!facts.value[GOV_FACT_PRESSURE_LEVEL].known);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, 4000 * MIB);
    gov__pressure_facts_on(&sim.table, &facts, NULL);
    ck_assert_str_eq(facts.value[GOV_FACT_PRESSURE_LEVEL].text, rows[_i].level);
    ck_assert_uint_le(gov_facts_get(&facts, GOV_FACT_PRESSURE_HEADROOM, 0),
                      rows[_i].available_mib * MIB);
    ck_assert_int_eq(
        gov_policy_build(&policy, &layer, 1, NULL, NULL, NULL, &err), GOV_OK);
    gov__pressure_facts_on(&sim.table, &facts, policy);
    ck_assert_str_eq(facts.value[GOV_FACT_PRESSURE_LEVEL].text,
                     rows[_i].frugal);
    gov_policy_free(policy);
}
END_TEST

static uint64_t pace(uint64_t left_bytes)
{
    rt->last.evidence.headroom_bytes = left_bytes;
    return gov__look_pace_locked(rt);
}

START_TEST(the_thread_looks_more_often_where_less_is_left)
{
    set_up();
    turn(250);
    ck_assert_uint_eq(pace(4 * GIB), 1000);
    ck_assert_uint_eq(pace(2400 * MIB), 600); /* gone in twice that at 2 GB/s */
    rt->last.evidence.budget_bytes = 400 * MIB;
    ck_assert_uint_eq(pace(400 * MIB), 100); /* ample, and little */
    ck_assert_uint_eq(pace(0), 100);
    rt->adaptive = false; /* the host gave one */
    ck_assert_uint_eq(pace(0), 250);
    tear_down();
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("runtime");
    TCase *open = tcase_create("opening"), *told = tcase_create("telling"),
          *thread = tcase_create("thread"), *fault = tcase_create("faults");
    TCase *all[] = {open, told, thread, fault};

    for (size_t i = 0; i < 4; i++) {
        tcase_add_checked_fixture(all[i], set_up_only, NULL);
        tcase_set_timeout(all[i], 30);
        suite_add_tcase(s, all[i]);
    }
    tcase_add_loop_test(open, pressure_at_launch_is_a_fact, 0, 4);
    ADD(open, sample_times);
    ADD(open, options_of_other_versions);
    ADD(open, structs_are_read_by_their_size);
    ADD(open, no_place_for_the_runtime);
    ADD(open, a_budget_of_0_is_the_devices);
    ADD(open, no_budget_to_be_found);
    ADD(open, the_budget_follows_the_limit);
    ADD(open, a_limit_that_cannot_be_read_changes_nothing);
    ADD(open, a_budget_that_was_given_stays);
    ADD(open, an_app_names_another_budget);
    ADD(open, open_looks_once_already);
    ADD(told, the_thread_looks_more_often_where_less_is_left);
    ADD(open, nothing_is_accepted);
    ADD(told, levels_are_announced_once);
    ADD(told, describes_what_is_watched);
    ADD(told, the_page_shows_it_all);
    ADD(told, what_wakes_is_told_first);
    ADD(told, what_is_not_known_any_more_is_not_shown);
    ADD(told, texts_are_cut_between_characters);
    ADD(told, a_page_that_cannot_be_made_is_no_failure);
    ADD(told, a_page_that_cannot_be_written_is_said_until_it_can);
    ADD(thread, the_thread_steps_by_itself);
    ADD(thread, the_thread_takes_no_signal_of_the_hosts);
    ADD(thread, the_thread_lets_its_own_faults_through);
    ADD(thread, opens_and_closes_200_times);
    ADD(thread, closing_waits_for_an_action_that_runs);
    ADD(thread, all_at_once);
    tcase_add_loop_test(fault, each_system_call_fails_in_turn, 0, 2);
    tcase_add_loop_test(fault, each_platform_call_fails_in_turn, 0, 2);
    tcase_add_loop_test(fault, each_call_of_a_turn_fails_in_turn, 0, 2);
    ADD(fault, what_failing_calls_say);
    tcase_add_loop_test(fault, the_native_platform_opens_or_says_why, 0, 2);
    return s;
}
