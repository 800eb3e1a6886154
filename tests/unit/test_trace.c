/* SPDX-License-Identifier: MIT */
/* Traces: what is told is what is read back, to the last figure; what goes wrong
 * while writing leaves whole lines; whatever else a file may hold is refused with
 * the line that is wrong. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "governor/model/model_text.h"
#include "governor/runtime/trace_priv.h"
#include "governor/version.h"
#include "tests/unit/runtime_fixture.h"

static char path[600], want[1200];
static struct gov_trace_head head;
static struct gov_replay_event got[300];
static size_t count; /* of got */

static const struct gov_replay_action two[] = {
    {"heap.purge", WARN, 1, 4096, false, false, 0},
    {"kv.unused", CRITICAL, 0, 123456789, true, true, 777},
};

static void set_up_trace(void)
{
    set_up();
    snprintf(path, sizeof(path), "%s/x.trace", fresh_directory());
    count = 0;
}

static void tear_down_trace(void)
{
    faults_disarm();
    gov__trace_close(rt);
    tear_down();
}

static bool count_all(void *ctx, const struct gov_replay_event *event)
{
    (void)event;
    ++*(int *)ctx;
    return true;
}

/* For reading alone: no runtime. */
static void set_up_file(void)
{
    faults_reset();
    snprintf(path, sizeof(path), "%s/x.trace", fresh_directory());
    count = 0;
}

static bool collect(void *ctx, const struct gov_replay_event *event)
{
    (void)ctx;
    ck_assert_uint_lt(count, sizeof(got) / sizeof(got[0]));
    got[count++] = *event;
    return true;
}

static gov_status read_back(void)
{
    count = 0;
    return gov_trace_read(path, &head, collect, NULL, faults_alloc(), &err);
}

#define ck_reads()                                                             \
    do {                                                                       \
        gov_status status_ = read_back();                                      \
        ck_assert_msg(status_ == GOV_OK, "%s", err.message);                   \
    } while (0)

static void record(const char *text)
{
    ck_assert_int_eq(gov_record(rt, path, text, &err), GOV_OK);
}

static void end_record(void)
{
    gov_status status = gov_record_end(rt, NULL, &err);

    ck_assert_msg(status == GOV_OK, "%s", err.message);
}

static void sample_of(const struct gov_evidence *evidence,
                      const struct gov_replay_action *action, uint32_t n)
{
    gov__trace_sample(rt, evidence, NORMAL, "nothing", action, n);
    gov__trace_flush(rt);
}

static void sample_at(uint64_t at_ms)
{
    const struct gov_evidence evidence = {.now_ms = at_ms};

    sample_of(&evidence, two, 2);
}

/* The whole file. */
static char *file_text(void)
{
    static char text[65536];
    int fd = open(path, O_RDONLY);
    ssize_t n;

    ck_assert_int_ge(fd, 0);
    n = read(fd, text, sizeof(text) - 1);
    ck_assert_int_ge(n, 0);
    close(fd);
    text[n] = '\0';
    return text;
}

static void make_file(const char *text, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, bytes), (ssize_t)bytes);
    close(fd);
}

/* ---- there and back ------------------------------------------------------------ */

static void ck_evidence(const struct gov_evidence *a,
                        const struct gov_evidence *b)
{
    ck_assert_uint_eq(a->now_ms, b->now_ms);
    ck_assert_uint_eq(a->have, b->have);
    ck_assert_uint_eq(a->memory_some_us, b->memory_some_us);
    ck_assert_uint_eq(a->memory_full_us, b->memory_full_us);
    ck_assert_uint_eq(a->headroom_bytes, b->headroom_bytes);
    ck_assert_uint_eq(a->budget_bytes, b->budget_bytes);
    ck_assert_int_eq(a->simulated_level, b->simulated_level);
    ck_assert_uint_eq(a->refault_bytes, b->refault_bytes);
    ck_assert_uint_eq(a->own_footprint_bytes, b->own_footprint_bytes);
    ck_assert_uint_eq(a->own_major_faults, b->own_major_faults);
    ck_assert_uint_eq(a->own_resident_file_bytes, b->own_resident_file_bytes);
    ck_assert_uint_eq(a->own_read_bytes, b->own_read_bytes);
    ck_assert_uint_eq(a->streamed_bytes, b->streamed_bytes);
    ck_assert_uint_eq(a->limit_hits, b->limit_hits);
    ck_assert_uint_eq(a->machine_available_bytes, b->machine_available_bytes);
    ck_assert_uint_eq(a->machine_total_bytes, b->machine_total_bytes);
    ck_assert_int_eq(a->os_level, b->os_level);
    ck_assert_uint_eq(a->recent_some_permille, b->recent_some_permille);
    ck_assert_uint_eq(a->expected_bytes, b->expected_bytes);
}

/* Everything, nothing, and each alone. */
static const struct gov_evidence evidences[] = {
    {.now_ms = 0},
    {.now_ms = 1,
     .have = GOV_HAVE_STALL,
     .memory_some_us = 12,
     .memory_full_us = 7},
    {.now_ms = 2, .have = GOV_HAVE_STALL | GOV_HAVE_SYSTEM_STALL},
    {.now_ms = 3, .have = GOV_HAVE_HEADROOM, .budget_bytes = 4 * GIB},
    {.now_ms = 4, .have = GOV_HAVE_SIMULATED},
    {.now_ms = 5, .have = GOV_HAVE_SIMULATED, .simulated_level = WARN},
    {.now_ms = 6, .have = GOV_HAVE_REFAULT, .refault_bytes = 1},
    {.now_ms = 7, .have = GOV_HAVE_REFAULT | GOV_HAVE_SYSTEM_REFAULT},
    {.now_ms = 8,
     .have = GOV_HAVE_OWN,
     .own_footprint_bytes = 1,
     .own_major_faults = 2,
     .own_resident_file_bytes = 3},
    {.now_ms = 9, .have = GOV_HAVE_OWN_READS, .own_read_bytes = 4},
    {.now_ms = 10, .have = GOV_HAVE_LIMIT_HITS, .limit_hits = 5},
    {.now_ms = 11,
     .have = GOV_HAVE_MACHINE,
     .machine_available_bytes = 6,
     .machine_total_bytes = 7},
    {.now_ms = 12, .have = GOV_HAVE_OS_LEVEL, .os_level = CRITICAL},
    {.now_ms = 13, .have = GOV_HAVE_RECENT, .recent_some_permille = 1000},
    {.now_ms = 14, .streamed_bytes = 8},
    {.now_ms = 15, .have = GOV_HAVE_EXPECTED, .expected_bytes = 9},
    {.now_ms = 16, .have = GOV_HAVE_EXPECTED},
    {.now_ms = INT64_MAX,
     .have = 8191,
     .memory_some_us = INT64_MAX,
     .memory_full_us = INT64_MAX,
     .headroom_bytes = INT64_MAX,
     .budget_bytes = INT64_MAX,
     .simulated_level = CRITICAL,
     .refault_bytes = INT64_MAX,
     .own_footprint_bytes = INT64_MAX,
     .own_major_faults = INT64_MAX,
     .own_resident_file_bytes = INT64_MAX,
     .own_read_bytes = INT64_MAX,
     .streamed_bytes = INT64_MAX,
     .limit_hits = INT64_MAX,
     .machine_available_bytes = INT64_MAX,
     .machine_total_bytes = INT64_MAX,
     .os_level = WARN,
     .recent_some_permille = 1000,
     .expected_bytes = INT64_MAX},
};

#define EVIDENCES (sizeof(evidences) / sizeof(evidences[0]))

START_TEST(evidence_is_read_as_it_was)
{
    record("what \"happens\"");
    for (size_t i = 0; i < EVIDENCES; i++)
        sample_of(&evidences[i], two, 2);
    end_record();
    ck_reads();
    ck_assert(!head.cut);
    ck_assert_str_eq(head.app, "app");
    ck_assert_str_eq(head.note, "what \"happens\"");
    ck_assert_uint_eq(head.sample_ms, 250);
    ck_assert(head.simulated);
    ck_assert_uint_eq(count, EVIDENCES);
    for (size_t i = 0; i < EVIDENCES; i++) {
        ck_assert_int_eq(got[i].kind, GOV_REPLAY_SAMPLE);
        ck_evidence(&got[i].evidence, &evidences[i]);
        ck_assert_uint_eq(got[i].count, 2);
        for (size_t n = 0; n < 2; n++) {
            ck_assert_str_eq(got[i].action[n].name, two[n].name);
            ck_assert_int_eq(got[i].action[n].from_level, two[n].from_level);
            ck_assert_uint_eq(got[i].action[n].rebuild_cost,
                              two[n].rebuild_cost);
            ck_assert_uint_eq(got[i].action[n].offered_bytes,
                              two[n].offered_bytes);
            ck_assert_int_eq(got[i].action[n].regrows, two[n].regrows);
            ck_assert_int_eq(got[i].action[n].leaves, two[n].leaves);
            ck_assert_uint_eq(got[i].action[n].floor_bytes, two[n].floor_bytes);
        }
    }
}
END_TEST

/* JSON has no larger numbers that everybody reads. */
START_TEST(figures_end_at_what_json_has)
{
    struct gov_replay_action action = two[0];
    const struct gov_evidence most = {.have = GOV_HAVE_HEADROOM,
                                      .headroom_bytes = UINT64_MAX,
                                      .budget_bytes = UINT64_MAX};

    action.offered_bytes = UINT64_MAX;
    action.rebuild_cost = UINT32_MAX;
    record(NULL);
    sample_of(&most, &action, 1);
    end_record();
    ck_reads();
    ck_assert_uint_eq(got[0].evidence.headroom_bytes, INT64_MAX);
    ck_assert_uint_eq(got[0].action[0].offered_bytes, INT64_MAX);
    ck_assert_uint_eq(got[0].action[0].rebuild_cost, UINT32_MAX);
}
END_TEST

START_TEST(actions_are_read_as_they_were)
{
    record(NULL);
    gov__trace_relief(rt, "early", 1, 1, 1, true); /* of no sample yet */
    gov__trace_regrow(rt, "early");
    sample_at(1000);
    sim_advance_ms(&sim, 1500);
    gov__trace_relief(rt, "kv.unused", 100, 60, 1234, true);
    gov__trace_relief(rt, "heap.purge", 100, 0, 5, false);
    gov__trace_relief(rt, "heap.purge", UINT64_MAX, UINT64_MAX, UINT64_MAX,
                      true);
    gov__trace_regrow(rt, "kv.unused");
    gov__trace_relief(rt, "heap.purge", 100, 0, 5, false);
    sample_at(1501);
    end_record();
    ck_reads();
    ck_assert_uint_eq(count, 7);
    ck_assert(got[5].unmeasured);
    ck_assert(!got[6].unmeasured);
    ck_assert_str_eq(got[6].name, "");
    ck_assert_int_eq(got[1].kind, GOV_REPLAY_RELIEF);
    ck_assert_str_eq(got[1].name, "kv.unused");
    ck_assert_uint_eq(got[1].evidence.now_ms, 1500);
    ck_assert_uint_eq(got[1].offered_bytes, 100);
    ck_assert_uint_eq(got[1].yield_bytes, 60);
    ck_assert_uint_eq(got[1].took_us, 1234);
    ck_assert(!got[1].unmeasured);
    ck_assert_uint_eq(got[1].count, 2); /* those of the sample before */
    ck_assert(got[2].unmeasured);
    ck_assert_uint_eq(got[2].yield_bytes, 0);
    ck_assert_uint_eq(got[3].yield_bytes, INT64_MAX);
    ck_assert_uint_eq(got[3].took_us, INT64_MAX);
    ck_assert_int_eq(got[4].kind, GOV_REPLAY_REGROW);
    ck_assert_str_eq(got[4].name, "kv.unused");
    ck_assert_uint_eq(got[4].yield_bytes, 0);
}
END_TEST

START_TEST(the_inventory_may_change)
{
    const struct gov_evidence at = {.now_ms = 1};
    struct gov_replay_action other = two[1];

    record(NULL);
    sample_of(&at, NULL, 0);
    sample_of(&at, two, 1);
    sample_of(&at, two, 2);
    sample_of(&at, two + 1, 1);
    other.from_level = WARN;
    sample_of(&at, &other, 1);
    other.rebuild_cost = 9;
    sample_of(&at, &other, 1);
    other.floor_bytes = 5;
    sample_of(&at, &other, 1);
    other.regrows = other.leaves = false;
    sample_of(&at, &other, 1);
    sample_of(&at, NULL, 0);
    end_record();
    ck_reads();
    ck_assert_uint_eq(count, 9);
    ck_assert_uint_eq(got[0].count, 0);
    ck_assert_uint_eq(got[1].count, 1);
    ck_assert_uint_eq(got[2].count, 2);
    ck_assert_str_eq(got[3].action[0].name, "kv.unused");
    ck_assert_int_eq(got[3].action[0].from_level, CRITICAL);
    ck_assert_int_eq(got[4].action[0].from_level, WARN);
    ck_assert_uint_eq(got[5].action[0].rebuild_cost, 9);
    ck_assert_uint_eq(got[6].action[0].floor_bytes, 5);
    ck_assert(!got[7].action[0].regrows);
    ck_assert(!got[7].action[0].leaves);
    ck_assert_uint_eq(got[8].count, 0);
}
END_TEST

/* Two threads tell: the clock of one may be a little behind the other's. */
START_TEST(time_never_runs_backwards)
{
    record(NULL);
    sample_at(1000);
    gov__trace_relief(rt, "kv.unused", 1, 1, 1, true); /* at 0 ms */
    sample_at(1001);
    end_record();
    ck_reads();
    ck_assert_uint_eq(got[0].evidence.now_ms, 1000);
    ck_assert_uint_eq(got[1].evidence.now_ms, 1000);
    ck_assert_uint_eq(got[2].evidence.now_ms, 1001);
}
END_TEST

static const struct {
    const char *name, *read;
} names[] = {
    {"plain", "plain"},
    {"a \"quoted\" \\ one", "a \"quoted\" \\ one"},
    {"\x01\t\n\r\x1f\x7f", "\x01\t\n\r\x1f\x7f"},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"\xff"
     "a\xc3",
     "?a?"}, /* alone, and cut off */
    {"\xed\xa0\x80\xc0\x80\xf4\x90\x80\x80",
     "?????????"}, /* surrogate, overlong, past the last */
    {"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12"
     "\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f",
     "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12"
     "\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"},
};

START_TEST(names_are_escaped)
{
    struct gov_replay_action action[GOV_REPLAY_ACTIONS];
    const struct gov_evidence at = {.now_ms = 0};

    for (size_t i = 0; i < GOV_REPLAY_ACTIONS; i++) {
        action[i] = two[0];
        snprintf(action[i].name, sizeof(action[i].name), "%s", names[_i].name);
        action[i].offered_bytes = UINT64_MAX;
        action[i].rebuild_cost = UINT32_MAX;
    }
    record(names[_i].name);
    sample_of(&at, action, GOV_REPLAY_ACTIONS);
    gov__trace_relief(rt, names[_i].name, 1, 1, 1, true);
    gov__trace_regrow(rt, names[_i].name);
    end_record();
    ck_reads();
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(head.note, names[_i].read);
    ck_assert_uint_eq(got[0].count, GOV_REPLAY_ACTIONS);
    ck_assert_str_eq(got[0].action[GOV_REPLAY_ACTIONS - 1].name,
                     names[_i].read);
    ck_assert_str_eq(got[1].name, names[_i].read);
    ck_assert_str_eq(got[2].name, names[_i].read);
}
END_TEST

START_TEST(the_file_is_as_documented)
{
    const struct gov_evidence now = {
        .now_ms = 250,
        .have = GOV_HAVE_STALL | GOV_HAVE_HEADROOM | GOV_HAVE_SYSTEM_STALL |
                GOV_HAVE_REFAULT | GOV_HAVE_SYSTEM_REFAULT | GOV_HAVE_OWN |
                GOV_HAVE_OWN_READS | GOV_HAVE_LIMIT_HITS | GOV_HAVE_MACHINE |
                GOV_HAVE_OS_LEVEL | GOV_HAVE_RECENT | GOV_HAVE_EXPECTED,
        .memory_some_us = 12,
        .memory_full_us = 3,
        .headroom_bytes = 100,
        .budget_bytes = 200,
        .refault_bytes = 21,
        .own_footprint_bytes = 20,
        .own_major_faults = 22,
        .own_resident_file_bytes = 23,
        .own_read_bytes = 24,
        .streamed_bytes = 25,
        .limit_hits = 26,
        .machine_available_bytes = 27,
        .machine_total_bytes = 28,
        .os_level = WARN,
        .recent_some_permille = 29,
        .expected_bytes = 30};
    const struct gov_evidence next = {
        .now_ms = 500, .have = GOV_HAVE_SIMULATED, .simulated_level = WARN};
    struct stat st;

    record("a note");
    gov__trace_sample(rt, &now, NORMAL, "all is well", two, 2);
    gov__trace_sample(rt, &next, WARN, "simulated", two, 2);
    gov__trace_flush(rt);
    gov__trace_relief(rt, "kv.unused", 10, 9, 8, true);
    gov__trace_relief(rt, "kv.unused", 10, 0, 8, false);
    gov__trace_regrow(rt, "kv.unused");
    end_record();
    snprintf(
        want, sizeof(want),
        "{\"trace\":1,\"governor\":\"%s\",\"app\":\"app\",\"policy\":"
        "\"balanced\","
        "\"sample_ms\":250,\"note\":\"a note\"}\n"
        "{\"kind\":\"actions\",\"actions\":[{\"cost\":1,\"from_level\":50,"
        "\"regrows\":false,\"leaves\":false,\"floor_bytes\":0,\"name\":"
        "\"heap.purge\"},{\"cost\":0,\"from_level\":100,\"regrows\":true,"
        "\"leaves\":true,\"floor_bytes\":777,\"name\":\"kv.unused\"}]}\n"
        "{\"kind\":\"sample\",\"at_ms\":250,\"some_us\":12,\"full_us\":3,"
        "\"system\":true,\"headroom_bytes\":100,\"budget_bytes\":200,"
        "\"refault_bytes\":21,\"system_refaults\":true,"
        "\"footprint_bytes\":20,\"major_faults\":22,\"resident_file_bytes\":23,"
        "\"read_bytes\":24,\"streamed_bytes\":25,\"limit_hits\":26,"
        "\"available_bytes\":27,\"ram_bytes\":28,\"os_level\":\"warn\","
        "\"recent_permille\":29,\"expected_bytes\":30,"
        "\"offers_bytes\":[4096,123456789]}\n"
        "{\"kind\":\"level\",\"at_ms\":250,\"level\":\"normal\",\"why\":"
        "\"all is well\"}\n"
        "{\"kind\":\"sample\",\"at_ms\":500,\"simulated\":\"warn\","
        "\"offers_bytes\":[4096,123456789]}\n"
        "{\"kind\":\"level\",\"at_ms\":500,\"level\":\"warn\",\"why\":"
        "\"simulated\"}\n"
        "{\"kind\":\"relief\",\"at_ms\":500,\"action\":\"kv.unused\","
        "\"offered_bytes\":10,\"yield_bytes\":9,\"took_us\":8}\n"
        "{\"kind\":\"relief\",\"at_ms\":500,\"action\":\"kv.unused\","
        "\"offered_bytes\":10,\"took_us\":8}\n"
        "{\"kind\":\"regrow\",\"at_ms\":500,\"action\":\"kv.unused\"}\n",
        GOV_VERSION);
    ck_assert_str_eq(file_text(), want);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

static const struct {
    const char *source, *policy;
} sources[] = {
    {"", ""},
    {"balanced", "balanced"},
    {"balanced, /etc/governor/policy.yaml, /home/a b/c.yaml",
     "balanced, policy.yaml, c.yaml"},
    {"./mine.yaml", "mine.yaml"},
    {"frugal, ../a/b/", "frugal, "},
    {"/", ""},
};

START_TEST(no_path_of_a_policy_is_kept)
{
    memset(rt->policy_source, 0, sizeof(rt->policy_source));
    memcpy(rt->policy_source, sources[_i].source, strlen(sources[_i].source));
    record(NULL);
    sample_at(1);
    end_record();
    ck_reads();
    ck_assert_str_eq(head.policy, sources[_i].policy);
}
END_TEST

/* ---- one trace a runtime ------------------------------------------------------- */

START_TEST(there_is_one_trace_at_a_time)
{
    uint64_t samples;

    ck_assert(!gov__trace_on(rt));
    record(NULL);
    ck_assert(gov__trace_on(rt));
    sample_at(1);
    ck_assert_int_eq(gov_record(rt, "/nowhere", NULL, &err), GOV_E_BUSY);
    ck_assert_str_eq(err.message,
                     "this runtime records a trace already; end it first");
    end_record();
    ck_assert(!gov__trace_on(rt));
    end_record(); /* there is none: nothing to do */
    sample_at(2);
    gov__trace_relief(rt, "late", 1, 1, 1, true);
    gov__trace_regrow(rt, "late");
    ck_reads();
    ck_assert_uint_eq(count, 1);
    snprintf(path, sizeof(path), "%s/y.trace", fresh_directory());
    record(NULL); /* and another one */
    sample_at(7);
    end_record();
    ck_assert_int_eq(gov_record_end(rt, &samples, &err), GOV_OK);
    ck_assert_uint_eq(samples, 1);
    ck_reads();
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(got[0].evidence.now_ms, 7);
}
END_TEST

START_TEST(closing_ends_it)
{
    record(NULL);
    sample_at(1);
    gov__trace_relief(rt, "kv.unused", 1, 1, 1, true);
    gov__trace_close(rt);
    gov__trace_close(rt);
    ck_assert(!gov__trace_on(rt));
    ck_reads();
    ck_assert_uint_eq(count, 2);
}
END_TEST

START_TEST(arguments_are_checked)
{
    char note[257];
    uint64_t samples = 7;

    ck_assert_int_eq(gov_record(NULL, path, NULL, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "gov_record() needs a runtime and a path");
    ck_assert_int_eq(gov_record(rt, NULL, NULL, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_record_end(NULL, &samples, &err), GOV_OK);
    ck_assert_uint_eq(samples, 0);
    memset(note, 'x', sizeof(note));
    note[256] = '\0';
    ck_assert_int_eq(gov_record(rt, path, note, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "the note of the trace has 256 bytes, more "
                                  "than 255; make it shorter");
    note[255] = '\0';
    record(note);
    sample_at(1);
    end_record();
    ck_reads();
    ck_assert_str_eq(head.note, note);
    ck_assert_int_eq(gov_trace_read(NULL, NULL, collect, NULL, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_trace_read(path, NULL, NULL, NULL, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "gov_trace_read() needs a path and a function to call");
}
END_TEST

START_TEST(a_file_that_is_there_stays)
{
    make_file("mine", 4);
    ck_assert_int_eq(gov_record(rt, path, NULL, &err), GOV_E_IO);
    snprintf(want, sizeof(want),
             "%s is there already, and a trace is a new file; take another "
             "name or remove it",
             path);
    ck_assert_str_eq(err.message, want);
    ck_assert_str_eq(file_text(), "mine");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("elsewhere", path), 0);
    ck_assert_int_eq(gov_record(rt, path, NULL, &err), GOV_E_IO);
    ck_assert_int_eq(gov_record(rt, "/nowhere/x", NULL, &err), GOV_E_NOT_FOUND);
}
END_TEST

/* The next attempt finds no file in its way. */
START_TEST(without_a_sample_none_stays)
{
    uint64_t samples = 7;
    struct stat st;
    pid_t child;
    int status;

    record(NULL);
    gov__trace_relief(rt, "kv.unused", 1, 1, 1, true);
    child = fork();
    if (child == 0) {
        gov__trace_close(rt);
        _exit(stat(path, &st) == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(gov_record_end(rt, &samples, &err), GOV_OK);
    ck_assert_uint_eq(samples, 0);
    ck_assert_int_eq(stat(path, &st), -1);
    record(NULL);
    gov__trace_close(rt);
    ck_assert_int_eq(stat(path, &st), -1);
}
END_TEST

START_TEST(without_a_sample_what_is_not_ours_stays)
{
    record(NULL);
    ck_assert_int_eq(unlink(path), 0);
    make_file("mine", 4);
    end_record();
    ck_assert_str_eq(file_text(), "mine");
}
END_TEST

/* A name that would move the cursor, in the sentence. */
START_TEST(names_in_sentences_are_printable)
{
    size_t length = strlen(path);

    snprintf(path + length, sizeof(path) - length, "-\033[2J\n/x");
    ck_assert_int_eq(gov_record(rt, path, NULL, &err), GOV_E_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.message,
                                 "x.trace-\\x1B[2J\\x0A/x: No such "
                                 "file or directory"));
    path[length + 6] = '\0';
    make_file("", 0);
    ck_assert_int_eq(gov_record(rt, path, NULL, &err), GOV_E_IO);
    ck_assert_ptr_nonnull(
        strstr(err.message, "x.trace-\\x1B[2J\\x0A is there already"));
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/* ---- what goes wrong while writing ------------------------------------------------ */

#define ENDS                                                                   \
    "the trace cannot be written and ends; what is in it so far can "          \
    "be replayed: "

START_TEST(a_full_disk_ends_it)
{
    record(NULL);
    sample_at(1);
    faults_set_errno(ENOSPC);
    faults_only("write");
    faults_arm((uint64_t)_i, true);
    sample_at(2);
    gov__trace_relief(rt, "kv.unused", 1, 1, 1, true);
    sample_at(3);
    sample_at(4);
    faults_disarm();
    ck_happened("event " ENDS "No space left on device\n");
    ck_assert(!gov__trace_on(rt));
    sample_at(5);
    end_record();
    ck_reads();
    ck_assert(!head.cut);
    ck_assert_uint_eq(count, (size_t)_i + 1);
}
END_TEST

/* The sample itself is what could not be written. */
START_TEST(a_full_disk_before_a_sample_leaves_none)
{
    struct stat st;

    record(NULL);
    faults_set_errno(ENOSPC);
    faults_only("write");
    faults_arm((uint64_t)_i, true);
    sample_at(1);
    faults_disarm();
    ck_happened("event the trace cannot be written and ends; there is no "
                "sample in it, so it is removed: No space left on device\n");
    ck_assert_int_eq(stat(path, &st), -1);
    end_record();
}
END_TEST

/* And where it could, it stays. */
START_TEST(a_full_disk_behind_a_sample_leaves_it)
{
    record(NULL);
    faults_set_errno(ENOSPC);
    faults_only("write");
    faults_arm(2, true); /* actions, sample, level */
    sample_at(1);
    faults_disarm();
    ck_happened("event " ENDS "No space left on device\n");
    ck_reads();
    ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(a_file_without_a_first_line_goes)
{
    struct stat st;

    faults_only("write");
    faults_set_errno(ENOSPC);
    faults_arm(0, false);
    ck_assert_int_eq(gov_record(rt, path, NULL, &err), GOV_E_IO);
    snprintf(want, sizeof(want),
             "cannot write trace file %s: No space left on device", path);
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(stat(path, &st), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert(!gov__trace_on(rt));
    record(NULL); /* there is room again */
    sample_at(1);
    end_record();
    ck_reads();
    ck_assert_uint_eq(count, 1);
}
END_TEST

static bool has_bytes(off_t bytes)
{
    struct stat st;

    return stat(path, &st) == 0 && st.st_size >= bytes;
}

/* kill -9, at any time. */
START_TEST(a_killed_recorder_leaves_whole_lines)
{
    int n, status;
    pid_t pid;

    for (off_t bytes = 1; bytes < 200000; bytes *= 3) {
        unlink(path);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            record(NULL);
            for (uint64_t i = 0;; i++)
                sample_at(i);
        }
        while (!has_bytes(bytes))
            sched_yield();
        kill(pid, SIGKILL);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFSIGNALED(status));
        n = 0;
        ck_assert_msg(gov_trace_read(path, &head, count_all, &n, NULL, &err) ==
                          GOV_OK,
                      "%s", err.message);
        ck_assert_int_ge(n, (int)(bytes / 200) - 1);
    }
}
END_TEST

/* Where a line is written in part, that part goes. */
START_TEST(a_line_that_is_cut_goes)
{
    char *text;
    int status;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 ||
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
            _exit(77);
        *strrchr(path, '/') = '\0';
        if (mount("none", path, "tmpfs", 0, "size=8k") != 0)
            _exit(77);
        strcat(path, "/x.trace"); /* NOLINT: room enough */
        record(NULL);
        for (uint64_t i = 0; i < 250; i++)
            sample_at(i);
        ck_assert(!gov__trace_on(rt));
        text = file_text();
        _exit(text[strlen(text) - 1] == '\n' && read_back() == GOV_OK &&
                      !head.cut && count > 20 &&
                      strstr(happened, "No space left") != NULL
                  ? 0
                  : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip_test("a_line_that_is_cut_goes", "no tmpfs can be mounted");
        return;
    }
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* Nothing may end the host: not by SIGXFSZ either. */
START_TEST(a_limit_of_files_ends_it)
{
    struct rlimit before, limit;

    record(NULL);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 1000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (uint64_t i = 0; i < 50; i++)
        sample_at(i);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_happened("event " ENDS "File too large\n");
    ck_reads();
    ck_assert(!head.cut);
    ck_assert_uint_gt(count, 2);
}
END_TEST

static gov_status write_one(void)
{
    gov_status status = gov_record(rt, path, NULL, &err);

    if (status != GOV_OK)
        return status;
    sample_at(1);
    gov__trace_relief(rt, "kv.unused", 1, 1, 1, true);
    status = gov_record_end(rt, NULL, &err);
    return happened[0] != '\0' && status == GOV_OK ? GOV_E_IO : status;
}

START_TEST(every_fault_is_told)
{
    uint64_t calls;
    int fds = faults_open_descriptors();
    struct stat st;

    faults_reset();
    ck_assert_int_eq(write_one(), GOV_OK);
    calls = faults_count();
    ck_assert_uint_ge(calls, 6);
    for (uint64_t n = 0; n < calls; n++) {
        gov__trace_close(rt);
        unlink(path);
        happened[0] = '\0';
        faults_reset();
        faults_arm(n, _i != 0);
        err.message[0] = '\0';
        ck_assert_msg(write_one() != GOV_OK, "fault %d (%s) was swallowed",
                      (int)n, faults_last());
        faults_disarm();
        ck_assert(err.message[0] != '\0' || happened[0] != '\0');
        ck_assert(!gov__trace_on(rt));
        ck_assert_int_eq(faults_open_descriptors(), fds);
        /* One that can be replayed, or none, but for what cannot be unlinked
         * either. */
        if (stat(path, &st) == 0 && st.st_size > 0)
            ck_assert_int_eq(read_back(), GOV_OK);
    }
}
END_TEST

START_TEST(every_fault_of_reading_is_told)
{
    uint64_t calls;

    record(NULL);
    sample_at(1);
    end_record();
    faults_reset();
    ck_reads();
    calls = faults_count();
    ck_assert_uint_ge(calls, 4);
    for (uint64_t n = 0; n < calls; n++) {
        int64_t blocks = faults_live_blocks();
        int fds = faults_open_descriptors();

        faults_arm(n, _i != 0);
        err.message[0] = '\0';
        ck_assert_msg(read_back() != GOV_OK, "fault %d (%s) was swallowed",
                      (int)n, faults_last());
        faults_disarm();
        ck_assert(err.message[0] != '\0');
        ck_assert_int_eq(faults_live_blocks(), blocks);
        ck_assert_int_eq(faults_open_descriptors(), fds);
    }
}
END_TEST

START_TEST(a_forked_child_leaves_it_be)
{
    int status;
    pid_t pid;

    record(NULL);
    sample_at(1);
    gov__trace_relief(rt, "kv.unused", 1, 1, 1, true);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        sample_at(2);
        gov__trace_close(rt);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    sample_at(3);
    end_record();
    ck_reads();
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(got[2].evidence.now_ms, 3);
}
END_TEST

/* By a thread that the app kept, and whose turn another one took. */
START_TEST(a_sample_that_was_overtaken_is_left_out)
{
    record(NULL);
    sample_at(5);
    sample_at(3);
    sample_at(6);
    end_record();
    ck_reads();
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(got[0].evidence.now_ms, 5);
    ck_assert_uint_eq(got[1].evidence.now_ms, 6);
}
END_TEST

/* Between two samples at most 8 actions run a turn; should more happen than
 * there is room for, the trace says no less than the truth: it ends. */
START_TEST(more_than_there_is_room_for_ends_it)
{
    int n = 0;

    record(NULL);
    sample_at(1);
    for (int i = 0; i < 1000; i++)
        gov__trace_relief(rt, "kv.unused", 1, 1, 1, true);
    sample_at(2);
    ck_happened("event " ENDS "No buffer space available\n");
    ck_assert_int_eq(gov_trace_read(path, &head, count_all, &n, NULL, &err),
                     GOV_OK);
    ck_assert(!head.cut);
    ck_assert_int_gt(n, 100);
}
END_TEST

/* A sample is told on the thread that steps: it may cost next to nothing. */
START_TEST(a_sample_costs_little)
{
    struct gov_replay_action action[GOV_REPLAY_ACTIONS];
    struct gov_evidence now = evidences[EVIDENCES - 1];
    struct timespec a, b;
    double us;

    for (size_t i = 0; i < GOV_REPLAY_ACTIONS; i++)
        action[i] = two[i % 2];
    record(NULL);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (uint64_t i = 0; i < 2000; i++)
        sample_of(&now, action, GOV_REPLAY_ACTIONS);
    clock_gettime(CLOCK_MONOTONIC, &b);
    us = ((double)(b.tv_sec - a.tv_sec) * 1e9 +
          (double)(b.tv_nsec - a.tv_nsec)) /
         2000e3;
    printf("a sample with 32 actions takes %.1f us\n", us);
    /* Ten times the goal: sanitizers, and other work on this machine. */
    ck_assert_double_lt(us, 500);
    end_record();
}
END_TEST

static bool pass_over(void *ctx, const struct gov_replay_event *event)
{
    (void)ctx, (void)event;
    return true;
}

/* Threads that run actions, one that steps, one that begins and ends. */
static void *tell(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        gov__trace_relief(rt, arg, 1, 1, 1, true);
        gov__trace_regrow(rt, arg);
    }
    return NULL;
}

static void *step(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < 400; i++)
        sample_at(i);
    return NULL;
}

START_TEST(threads_may_tell)
{
    pthread_t threads[3];
    gov_status status;

    for (int i = 0; i < 20; i++) {
        unlink(path);
        record(NULL);
        sample_at(0);
        if (i % 5 == 0) {
            threads[0] = start(tell, "a");
            threads[1] = start(tell, "b");
            threads[2] = start(step, NULL);
        }
        /* More may be told than there is room for: that ends it, too. */
        status = gov_record_end(rt, NULL, &err);
        ck_assert(status == GOV_OK || err.os_errno == ENOBUFS);
        if (i % 5 == 4)
            for (int n = 0; n < 3; n++)
                pthread_join(threads[n], NULL);
        /* Only that each line is whole; there may be any number. */
        ck_assert_msg(
            gov_trace_read(path, &head, pass_over, NULL, NULL, &err) == GOV_OK,
            "%s", err.message);
        ck_assert(!head.cut);
    }
}
END_TEST

/* ---- a file system that hangs --------------------------------------------------- */

/* What is written to the trace goes into a pipe that is full, until it is drained. */
static int hung;

static void hang(void)
{
    struct stat ours, st;
    char byte = 0;
    int fd, ends[2];

    ck_assert_int_eq(stat(path, &ours), 0);
    for (fd = 3; fd < 1024; fd++)
        if (fstat(fd, &st) == 0 && st.st_ino == ours.st_ino &&
            st.st_dev == ours.st_dev)
            break;
    ck_assert_int_lt(fd, 1024);
    ck_assert_int_eq(pipe(ends), 0);
    hung = ends[0];
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], &byte, 1) == 1)
        continue;
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
    ck_assert_int_eq(dup2(ends[1], fd), fd);
    close(ends[1]);
}

/* Returns what was written to it; the trace has to end, or this waits for more. */
static const char *release_hung(pthread_t thread)
{
    static char text[1 << 18]; /* what filled it is at most 64 KiB of NULs */
    const char *at = text;
    size_t used = 0;
    ssize_t n;

    while ((n = read(hung, text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    close(hung);
    pthread_join(thread, NULL);
    while (at < text + used && *at == '\0')
        at++;
    return at;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *flush(void *arg)
{
    (void)arg;
    gov__trace_flush(rt);
    return NULL;
}

static void *end_it(void *arg)
{
    *(gov_status *)arg = gov_record_end(rt, NULL, NULL);
    return NULL;
}

/* A sample waits for the flush of another thread, which waits for the disk. */
static pthread_t hang_a_flush(void)
{
    static const struct gov_evidence second = {.now_ms = 2};
    const struct timespec while_it_begins = {0, 100000000};
    pthread_t thread;

    record(NULL);
    sample_at(1);
    hang();
    gov__trace_sample(rt, &second, NORMAL, "nothing", two, 2);
    thread = start(flush, NULL);
    nanosleep(&while_it_begins, NULL);
    return thread;
}

START_TEST(nobody_hangs_behind_a_flush)
{
    pthread_t thread = hang_a_flush();
    uint64_t samples = 0;
    double began = now_s();
    const char *written;

    ck_assert_int_eq(gov_record(rt, "/nowhere", NULL, &err), GOV_E_BUSY);
    ck_assert_double_lt(now_s() - began, 0.5);
    gov__trace_relief(rt, "kv.unused", 1, 1, 1, true);
    began = now_s();
    ck_assert_int_eq(gov_record_end(rt, &samples, &err), GOV_E_BUSY);
    ck_assert_str_eq(err.message,
                     "a write to the trace has not come back for 1000 ms; the "
                     "trace ends when it does");
    ck_assert_uint_eq(samples, 1);
    ck_assert_double_ge(now_s() - began, 0.9);
    ck_assert_double_lt(now_s() - began, 3);
    /* It ends: nothing more is told, and no other one begins. */
    ck_assert(!gov__trace_on(rt));
    sample_at(3);
    ck_assert_int_eq(gov_record(rt, "/nowhere", NULL, &err), GOV_E_BUSY);
    ck_assert_str_eq(err.message,
                     "a write to the trace before has not come back for 1000 "
                     "ms; try again later");
    written = release_hung(thread);
    ck_assert_ptr_nonnull(strstr(written, "\"kind\":\"sample\",\"at_ms\":2"));
    ck_assert_ptr_nonnull(strstr(written, "\"kind\":\"relief\""));
    ck_assert_ptr_null(strstr(written, "\"at_ms\":3"));
    ck_assert_int_eq(gov_record_end(rt, &samples, &err), GOV_OK);
    ck_assert_uint_eq(samples, 2);
    ck_reads();
    snprintf(path, sizeof(path), "%s/y.trace", fresh_directory());
    record(NULL);
    sample_at(7);
    end_record();
    ck_reads();
}
END_TEST

/* What could not be written then the listener is told: the call is over. */
START_TEST(an_end_that_came_late_may_fail)
{
    pthread_t thread = hang_a_flush();

    gov__trace_relief(rt, "kv.unused", 1, 1, 1, true);
    ck_assert_int_eq(gov_record_end(rt, NULL, &err), GOV_E_BUSY);
    faults_set_errno(ENOSPC);
    faults_only("write");
    faults_arm(0, true);
    (void)release_hung(thread);
    faults_disarm();
    ck_happened("event " ENDS "No space left on device\n");
    end_record();
    ck_reads();
    ck_assert_uint_eq(count, 1);
}
END_TEST

/* And the thread that keeps house does not hang behind who ends the trace. */
START_TEST(a_flush_hangs_behind_nobody)
{
    const struct timespec while_it_begins = {0, 100000000};
    gov_status status = GOV_E_BUSY;
    pthread_t thread;
    double began;

    record(NULL);
    sample_at(1);
    hang();
    gov__trace_relief(rt, "kv.unused", 1, 1, 1, true);
    thread = start(end_it, &status);
    nanosleep(&while_it_begins, NULL);
    began = now_s();
    gov__trace_flush(rt);
    ck_assert_double_lt(now_s() - began, 0.5);
    (void)release_hung(thread);
    ck_assert_int_eq(status, GOV_OK);
    ck_reads();
}
END_TEST

/* ---- what a file may hold --------------------------------------------------------- */

#define HEAD "{\"trace\":1}\n"
#define ACTIONS(list) HEAD "{\"kind\":\"actions\",\"actions\":" list "}\n"
#define ACTION(members) ACTIONS("[{" members "}]")
#define ONE ACTION("\"name\":\"a\",\"cost\":0,\"from_level\":50")
#define SAMPLE(members) HEAD "{\"kind\":\"sample\",\"at_ms\":1" members "}\n"
#define RELIEF(members) HEAD "{\"kind\":\"relief\",\"at_ms\":1" members "}\n"
#define THE_REST ",\"offered_bytes\":1,\"yield_bytes\":1,\"took_us\":1"
#define THIRTY_ONE "1234567890123456789012345678901"

static const struct {
    const char *text, *says;
    size_t bytes; /* 0: up to the NUL */
} wrong[] = {
    {"", "1: no trace: the file is empty", 0},
    {"x", "1: no trace: its first line is no JSON object", 0},
    {"{\"trace\":1",
     "1: no trace: '}' expected near end of file; the file is damaged", 0},
    {"[]\n", "1: no trace: its first line is no JSON object", 0},
    {"\n" HEAD, "1: no trace: its first line is no JSON object", 0},
    {"\0\n", "1: no trace: its first line is no JSON object", 2},
    {"{}\n", "1: no trace: its first line does not say so", 0},
    {"{\"kind\":\"sample\",\"at_ms\":1}\n",
     "1: no trace: its first line does not say so", 0},
    {"{\"trace\":2}\n",
     "1: a trace that a newer governor made; read it with that one", 0},
    {"{\"trace\":0}\n", "1: trace is no version of a trace", 0},
    {"{\"trace\":-1}\n", "1: trace is no whole number from 0 on", 0},
    {"{\"trace\":\"1\"}\n", "1: trace is no whole number from 0 on", 0},
    {"{\"trace\":1.0}\n", "1: trace is no whole number from 0 on", 0},
    {"{\"trace\":1,\"trace\":1}\n",
     "1: no trace: duplicate object key near '\"trace\"'; the file is damaged",
     0},
    {"{\"trace\":1,\"app\":1}\n", "1: app is no text", 0},
    {"{\"trace\":1,\"policy\":[]}\n", "1: policy is no text", 0},
    {"{\"trace\":1,\"note\":null}\n", "1: note is no text", 0},
    {"{\"trace\":1,\"sample_ms\":4294967296}\n",
     "1: sample_ms is larger than it can be", 0},
    {HEAD "\n", "2: no JSON object; the file is damaged", 0},
    {HEAD "x\n", "2: no JSON object; the file is damaged", 0},
    {HEAD "\"x\"\n", "2: no JSON object; the file is damaged", 0},
    {HEAD "{\"kind\":\"\0\"}\n",
     "2: control character 0x0 near '\"'; the file is damaged",
     sizeof(HEAD "{\"kind\":\"\0\"}\n") - 1},
    {HEAD "{\"kind\":\"\\u0000\"}\n",
     "2: \\u0000 is not allowed without JSON_ALLOW_NUL near '\"\\u0000\"'; the "
     "file is damaged",
     0},
    {HEAD "{\"kind\":\"\xff\"}\n",
     "2: unable to decode byte 0xff near '\"'; the file is damaged", 0},
    {HEAD "{\"kind\":\"x\"} {}\n",
     "2: end of file expected near '{'; the file is damaged", 0},
    {HEAD "{\"at_ms\":123456789012345678901234567890}\n",
     "2: too big integer; the file is damaged", 0},
    {HEAD "{\"at_ms\":9223372036854775808,\"kind\":\"x\"}\n",
     "2: too big integer near '9223372036854775808'; the file is damaged", 0},
    {HEAD "{\"at_ms\":1,\"at_ms\":1}\n",
     "2: duplicate object key near '\"at_ms\"'; the file is damaged", 0},
    {HEAD "{\"a\" \x1b[2J:1}\n",
     "2: ':' expected near '\\x1B'; the file is damaged", 0},
    {HEAD "{}\n", "2: kind is missing", 0},
    {HEAD "{\"kind\":1}\n", "2: kind is no text", 0},
    {HEAD "{\"kind\":\"sample\"}\n", "2: at_ms is missing", 0},
    {HEAD "{\"kind\":\"sample\",\"at_ms\":-1}\n",
     "2: at_ms is no whole number from 0 on", 0},
    {HEAD "{\"kind\":\"sample\",\"at_ms\":true}\n",
     "2: at_ms is no whole number from 0 on", 0},
    {SAMPLE("") HEAD, "3: kind is missing", 0},
    {HEAD "{\"kind\":\"regrow\",\"at_ms\":5,\"action\":\"a\"}\n"
          "{\"kind\":\"sample\",\"at_ms\":4}\n",
     "3: at_ms 4 is before the 5 of line 2; a trace runs forwards", 0},
    {SAMPLE(",\"some_us\":1"), "2: full_us is missing", 0},
    {SAMPLE(",\"full_us\":1"), "2: some_us is missing", 0},
    {SAMPLE(",\"some_us\":1,\"full_us\":-1"),
     "2: full_us is no whole number from 0 on", 0},
    {SAMPLE(",\"headroom_bytes\":1"), "2: budget_bytes is missing", 0},
    {SAMPLE(",\"budget_bytes\":1"), "2: headroom_bytes is missing", 0},
    {SAMPLE(",\"headroom_bytes\":1e3,\"budget_bytes\":1"),
     "2: headroom_bytes is no whole number from 0 on", 0},
    {SAMPLE(",\"system\":1"), "2: system is neither true nor false", 0},
    {SAMPLE(",\"simulated\":50"), "2: simulated is no text", 0},
    {SAMPLE(",\"simulated\":\"warm\""),
     "2: simulated is none of normal, warn, critical", 0},
    {SAMPLE(",\"major_faults\":1"), "2: resident_file_bytes is missing", 0},
    {SAMPLE(",\"ram_bytes\":1"), "2: available_bytes is missing", 0},
    {SAMPLE(",\"refault_bytes\":-1"),
     "2: refault_bytes is no whole number from 0 on", 0},
    {SAMPLE(",\"read_bytes\":\"1\""),
     "2: read_bytes is no whole number from 0 on", 0},
    {SAMPLE(",\"streamed_bytes\":-1"),
     "2: streamed_bytes is no whole number from 0 on", 0},
    {SAMPLE(",\"limit_hits\":0.5"),
     "2: limit_hits is no whole number from 0 on", 0},
    {SAMPLE(",\"expected_bytes\":[]"),
     "2: expected_bytes is no whole number from 0 on", 0},
    {SAMPLE(",\"system_refaults\":0"),
     "2: system_refaults is neither true nor false", 0},
    {SAMPLE(",\"recent_permille\":1001"),
     "2: recent_permille is larger than it can be", 0},
    {SAMPLE(",\"os_level\":\"low\""),
     "2: os_level is none of normal, warn, critical", 0},
    {SAMPLE(",\"offers_bytes\":1"), "2: offers_bytes is no list", 0},
    {SAMPLE(",\"offers_bytes\":[1]"),
     "2: offers_bytes has not one entry for each action", 0},
    {ONE "{\"kind\":\"sample\",\"at_ms\":1}\n",
     "3: offers_bytes has not one entry for each action", 0},
    {ONE "{\"kind\":\"sample\",\"at_ms\":1,\"offers_bytes\":[-1]}\n",
     "3: offers_bytes has an entry that is no whole number from 0 on", 0},
    {ACTIONS("1"), "2: actions is no list", 0},
    {HEAD "{\"kind\":\"actions\"}\n", "2: actions is no list", 0},
    {ACTIONS("[1]"), "2: actions has an entry that is no object", 0},
    {ACTIONS("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
             "1,1]"),
     "2: actions has more than 32 entries", 0},
    {ACTION("\"cost\":0,\"from_level\":50"), "2: name is missing", 0},
    {ACTION("\"name\":\"\",\"cost\":0,\"from_level\":50"),
     "2: name is no action: its name has 1 to 31 bytes", 0},
    {ACTION("\"name\":\"" THIRTY_ONE "2\",\"cost\":0,\"from_level\":50"),
     "2: name is no action: its name has 1 to 31 bytes", 0},
    {ACTION("\"name\":\"a\",\"from_level\":50"), "2: cost is missing", 0},
    {ACTION("\"name\":\"a\",\"cost\":4294967296,\"from_level\":50"),
     "2: cost is larger than it can be", 0},
    {ACTION("\"name\":\"a\",\"cost\":0"), "2: from_level is missing", 0},
    {ACTION("\"name\":\"a\",\"cost\":0,\"from_level\":0"),
     "2: from_level is no level: 50 is warn, 100 is critical", 0},
    {ACTION("\"name\":\"a\",\"cost\":0,\"from_level\":2147483648"),
     "2: from_level is no level: 50 is warn, 100 is critical", 0},
    {ACTION("\"name\":\"a\",\"cost\":0,\"from_level\":50,\"regrows\":1"),
     "2: regrows is neither true nor false", 0},
    {ACTION("\"name\":\"a\",\"cost\":0,\"from_level\":50,\"leaves\":\"\""),
     "2: leaves is neither true nor false", 0},
    {ACTION("\"name\":\"a\",\"cost\":0,\"from_level\":50,\"floor_bytes\":"
            "-1"),
     "2: floor_bytes is no whole number from 0 on", 0},
    {RELIEF(THE_REST), "2: action is missing", 0},
    {RELIEF(THE_REST ",\"action\":7"), "2: action is no text", 0},
    {RELIEF(",\"action\":\"a\",\"took_us\":1"), "2: offered_bytes is missing",
     0},
    {RELIEF(",\"action\":\"a\",\"offered_bytes\":1"), "2: took_us is missing",
     0},
    {RELIEF(",\"action\":\"a\",\"offered_bytes\":1,\"took_us\":1,"
            "\"yield_bytes\":null"),
     "2: yield_bytes is no whole number from 0 on", 0},
    {HEAD "{\"kind\":\"regrow\",\"at_ms\":1}\n", "2: action is missing", 0},
};

#define WRONG (sizeof(wrong) / sizeof(wrong[0]))

START_TEST(what_is_wrong_is_named)
{
    size_t bytes =
        wrong[_i].bytes != 0 ? wrong[_i].bytes : strlen(wrong[_i].text);
    char shown[96];

    make_file(wrong[_i].text, bytes);
    ck_assert_msg(read_back() == GOV_E_FORMAT, "row %d: %s", _i,
                  wrong[_i].text);
    gov__text_path(shown, sizeof(shown), path);
    snprintf(want, sizeof(want), "%s:%s", shown, wrong[_i].says);
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(
        gov__trace_parse(wrong[_i].text, bytes, NULL, collect, NULL, &err),
        GOV_E_FORMAT);
    snprintf(want, sizeof(want), "trace:%s", wrong[_i].says);
    ck_assert_str_eq(err.message, want);
}
END_TEST

/* Cut anywhere, a trace is a shorter one. */
START_TEST(the_last_line_may_be_cut)
{
    static const char text[] =
        SAMPLE(",\"x\":\"\xc3\xa9\"") "{\"kind\":\"sample\",\"at_ms\":2}";
    const size_t first = sizeof(HEAD) - 1;
    const size_t second = sizeof(SAMPLE(",\"x\":\"\xc3\xa9\"")) - 1;

    for (size_t bytes = first; bytes < sizeof(text); bytes++) {
        size_t whole =
            (size_t)(bytes >= second - 1) + (bytes == sizeof(text) - 1);
        bool at_end = bytes == first || bytes == second ||
                      bytes == second - 1 || bytes == sizeof(text) - 1;

        make_file(text, bytes);
        ck_reads();
        ck_assert_uint_eq(count, whole);
        ck_assert_int_eq(head.cut, !at_end);
        ck_assert_int_eq(gov_trace_read(path, NULL, collect, NULL, NULL, &err),
                         GOV_OK);
        count = 0;
    }
}
END_TEST

START_TEST(what_is_new_is_passed_over)
{
    static const char text[] =
        "{\"x\":{},\"trace\":1,\"app\":\"\\u00e9\"}\r\n"
        "{\"kind\":\"moon\"}\n"
        "{\"kind\":\"sample\",\"at_ms\":1,\"moon\":[1.5,null]}\n"
        "{\"kind\":\"actions\",\"actions\":[]}";

    make_file(text, sizeof(text) - 1);
    ck_reads();
    ck_assert(!head.cut);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(head.app, "\xc3\xa9");
    ck_assert(!head.simulated);
    ck_assert_uint_eq(head.sample_ms, 0);
}
END_TEST

/* Texts of the first line are cut at a character. */
START_TEST(a_long_head_is_cut)
{
    char text[900] = "{\"trace\":1,\"app\":\"a", app[64] = "a";

    for (int i = 0; i < 100; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "\xc3\xa9");
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "\"}");
    for (int i = 0; i < 31; i++)
        snprintf(app + strlen(app), sizeof(app) - strlen(app), "\xc3\xa9");
    make_file(text, strlen(text));
    ck_reads();
    ck_assert_str_eq(head.app, app);
}
END_TEST

static bool stop_at_two(void *ctx, const struct gov_replay_event *event)
{
    (void)event;
    return ++*(int *)ctx < 2;
}

START_TEST(reading_may_be_stopped)
{
    static const char text[] = SAMPLE("") "{\"kind\":\"sample\",\"at_ms\":2}\n"
                                          "garbage\n";
    int n = 0;

    make_file(text, sizeof(text) - 1);
    ck_assert_int_eq(gov_trace_read(path, &head, stop_at_two, &n, NULL, &err),
                     GOV_OK);
    ck_assert_int_eq(n, 2);
    ck_assert(!head.cut);
}
END_TEST

/* A line of 64 KiB is read wherever it lies, one byte more is not. */
START_TEST(lines_are_bounded)
{
    const size_t most = 65536, room = 4 * most;
    char *text = calloc(1, room);
    size_t used, from, pad;

    ck_assert_ptr_nonnull(text);
    for (size_t before = 0; before < 3; before++)
        for (size_t more = 0; more < 2; more++) {
            used = (size_t)snprintf(text, room, HEAD);
            for (size_t i = 0; i < before * 700; i++)
                used += (size_t)snprintf(
                    text + used, room - used,
                    "{\"kind\":\"moon\",\"n\":\"%040zu\"}\n", i);
            from = used;
            used += (size_t)snprintf(text + used, room - used,
                                     "{\"kind\":\"sample\",\"at_ms\":1");
            pad = most - (used - from) - 1 + more;
            memset(text + used, ' ', pad);
            used += pad;
            used += (size_t)snprintf(text + used, room - used, "}");
            ck_assert_uint_eq(used - from, most + more);
            used += (size_t)snprintf(text + used, room - used, "\n");
            make_file(text, used);
            if (more == 0) {
                ck_reads();
                ck_assert_uint_eq(count, 1);
                continue;
            }
            ck_assert_int_eq(read_back(), GOV_E_FORMAT);
            snprintf(want, sizeof(want), ":%zu: a line of more than 64 KiB",
                     2 + before * 700);
            ck_assert_ptr_nonnull(strstr(err.message, want));
        }
    free(text);
}
END_TEST

/* A file of 4 GiB without a line in it is not read to its end. */
START_TEST(files_are_bounded)
{
    make_file(HEAD, sizeof(HEAD) - 1);
    ck_assert_int_eq(truncate(path, (off_t)4 << 30), 0);
    ck_assert_int_eq(read_back(), GOV_E_FORMAT);
    ck_assert_ptr_nonnull(
        strstr(err.message, ":2: a line of more than 64 KiB"));
}
END_TEST

START_TEST(only_regular_files_are_read)
{
    char shown[96];

    ck_assert_int_eq(read_back(), GOV_E_NOT_FOUND);
    gov__text_path(shown, sizeof(shown), path);
    snprintf(want, sizeof(want),
             "cannot open trace %s: No such file or directory", shown);
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(read_back(), GOV_E_FORMAT);
    snprintf(want, sizeof(want),
             "trace %s is no regular file; name one that gov run --record made",
             shown);
    ck_assert_str_eq(err.message, want);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(read_back(), GOV_E_FORMAT);
    snprintf(path, sizeof(path), "/dev/zero");
    ck_assert_int_eq(read_back(), GOV_E_FORMAT);
}
END_TEST

/* ---- with the whole runtime ----------------------------------------------------------- */

START_TEST(a_runtime_records_itself)
{
    struct action purge = {.name = "heap.purge",
                           .cost = 1,
                           .offers = 30 * MIB,
                           .gives = 20 * MIB,
                           .takes_ms = 3};
    size_t reliefs = 0, samples = 0;

    add(&purge);
    turn(250);
    record("a squeeze");
    turn(250);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(gov_simulate_end(rt, 0, &err), GOV_OK);
    for (int i = 0; i < 40; i++)
        turn(1000);
    gov_close(rt); /* ends it */
    set_up();
    ck_reads();
    ck_assert(!head.cut);
    ck_assert(head.simulated);
    for (size_t i = 0; i < count; i++) {
        samples += got[i].kind == GOV_REPLAY_SAMPLE;
        if (got[i].kind == GOV_REPLAY_RELIEF) {
            reliefs++;
            ck_assert_str_eq(got[i].name, "heap.purge");
            ck_assert_uint_eq(got[i].offered_bytes, 30 * MIB);
            ck_assert_uint_eq(got[i].yield_bytes, 20 * MIB);
            ck_assert_uint_eq(got[i].took_us, 3000);
            ck_assert_uint_eq(got[i - 1].evidence.simulated_level, WARN);
            ck_assert_uint_eq(got[i - 1].action[0].offered_bytes, 30 * MIB);
        }
    }
    ck_assert_uint_eq(samples, 42);
    ck_assert_uint_eq(reliefs, 1);
    ck_assert_int_eq(got[count - 1].kind, GOV_REPLAY_SAMPLE);
}
END_TEST

static struct gov_replay *replayed;

static bool replay(void *ctx, const struct gov_replay_event *event)
{
    (void)ctx;
    gov_replay_step(replayed, event);
    return true;
}

/* What an action can be told is in the trace, without which a replay under the
 * same policy would not regrow what the runtime did. */
START_TEST(what_a_runtime_did_is_replayed)
{
    static struct gov_replay_prices prices;
    struct gov_relief plain = gov_relief_default();
    struct gov_replay_result result;
    struct action able = {.name = "able", .offers = 9 * MIB, .gives = 9 * MIB};
    struct gov_policy *policy;
    uint32_t id;

    add(&able);
    plain.name = "plain";
    plain.ctx = &able;
    plain.offer = action_offer;
    plain.run = action_run;
    ck_assert_int_eq(gov_relief_add(rt, &plain, &id, &err), GOV_OK);
    pthread_mutex_lock(&rt->lock);
    rt->relief_rules.count = 1;
    rt->relief_rules.step[0] =
        (struct gov_ladder_step){.action = "*", .floor_bytes = 5};
    rt->policy_serial++;
    pthread_mutex_unlock(&rt->lock);
    record(NULL);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(gov_simulate_end(rt, 0, &err), GOV_OK);
    for (int i = 0; i < 40; i++)
        turn(1000);
    ck_assert_int_eq(able.regrows, 1);
    end_record();
    ck_reads();
    ck_assert(got[0].action[0].regrows && got[0].action[0].leaves);
    ck_assert_uint_eq(got[0].action[0].floor_bytes, 5);
    ck_assert(!got[0].action[1].regrows && !got[0].action[1].leaves);
    ck_assert_uint_eq(got[0].action[1].floor_bytes, 0);
    for (size_t i = 0; i < count; i++)
        gov_replay_learn(&prices, &got[i]);
    ck_assert_int_eq(gov_policy_open(&policy, "balanced", NULL, NULL, NULL,
                                     NULL, NULL, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_replay_open(&replayed, policy, &prices, NULL, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_trace_read(path, NULL, replay, NULL, NULL, &err),
                     GOV_OK);
    gov_replay_result(replayed, &result);
    ck_assert_uint_eq(result.regrows, 1);
    ck_assert_uint_eq(result.taken_bytes, 9 * MIB + 5); /* nothing is left */
    gov_replay_free(replayed);
    gov_policy_free(policy);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("trace");
    TCase *writer = tcase_create("writing"), *reader = tcase_create("reading");

    tcase_add_checked_fixture(writer, set_up_trace, tear_down_trace);
    tcase_add_checked_fixture(reader, set_up_file, NULL);
    tcase_add_test(writer, evidence_is_read_as_it_was);
    tcase_add_test(writer, figures_end_at_what_json_has);
    tcase_add_test(writer, actions_are_read_as_they_were);
    tcase_add_test(writer, the_inventory_may_change);
    tcase_add_test(writer, time_never_runs_backwards);
    tcase_add_loop_test(writer, names_are_escaped, 0,
                        (int)(sizeof(names) / sizeof(names[0])));
    tcase_add_test(writer, the_file_is_as_documented);
    tcase_add_loop_test(writer, no_path_of_a_policy_is_kept, 0,
                        (int)(sizeof(sources) / sizeof(sources[0])));
    tcase_add_test(writer, a_file_without_a_first_line_goes);
    tcase_add_test(writer, a_killed_recorder_leaves_whole_lines);
    tcase_add_test(writer, there_is_one_trace_at_a_time);
    tcase_add_test(writer, closing_ends_it);
    tcase_add_test(writer, arguments_are_checked);
    tcase_add_test(writer, a_file_that_is_there_stays);
    tcase_add_test(writer, without_a_sample_none_stays);
    tcase_add_test(writer, without_a_sample_what_is_not_ours_stays);
    tcase_add_test(writer, names_in_sentences_are_printable);
    tcase_add_loop_test(writer, a_full_disk_before_a_sample_leaves_none, 0, 2);
    tcase_add_test(writer, a_full_disk_behind_a_sample_leaves_it);
    tcase_add_loop_test(writer, a_full_disk_ends_it, 0, 2);
    tcase_add_test(writer, a_line_that_is_cut_goes);
    tcase_add_test(writer, a_limit_of_files_ends_it);
    tcase_add_loop_test(writer, every_fault_is_told, 0, 2);
    tcase_add_test(writer, a_forked_child_leaves_it_be);
    tcase_add_test(writer, a_sample_that_was_overtaken_is_left_out);
    tcase_add_test(writer, more_than_there_is_room_for_ends_it);
    tcase_add_test(writer, a_sample_costs_little);
    tcase_add_test(writer, threads_may_tell);
    tcase_add_test(writer, nobody_hangs_behind_a_flush);
    tcase_add_test(writer, an_end_that_came_late_may_fail);
    tcase_add_test(writer, a_flush_hangs_behind_nobody);
    tcase_add_test(writer, a_runtime_records_itself);
    tcase_add_test(writer, what_a_runtime_did_is_replayed);
    tcase_add_loop_test(writer, every_fault_of_reading_is_told, 0, 2);
    tcase_add_loop_test(reader, what_is_wrong_is_named, 0, (int)WRONG);
    tcase_add_test(reader, the_last_line_may_be_cut);
    tcase_add_test(reader, what_is_new_is_passed_over);
    tcase_add_test(reader, a_long_head_is_cut);
    tcase_add_test(reader, reading_may_be_stopped);
    tcase_add_test(reader, lines_are_bounded);
    tcase_add_test(reader, files_are_bounded);
    tcase_add_test(reader, only_regular_files_are_read);
    suite_add_tcase(s, writer);
    suite_add_tcase(s, reader);
    return s;
}
