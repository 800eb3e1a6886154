/* SPDX-License-Identifier: MIT */
/* Evidence: the tightest of three bounds, and what is unknown stays unknown. */
#include <errno.h>
#include <string.h>

#include "governor/pressure/evidence.h"
#include "tests/support/run.h"
#include "tests/support/sim_platform.h"

#define MIB SIM_MIB
#define GIB SIM_GIB
#define NONE UINT64_MAX

static struct sim sim;
static struct gov__sample out;

static void set_up(void)
{
    sim_init(&sim);
    memset(&out, 0xAA, sizeof(out));
}

static void sample(uint64_t budget_bytes)
{
    gov__evidence_sample(&sim.table, budget_bytes, 77, &out);
}

/* What the four calls of a sound system tell beside headroom. */
#define SOUND                                                                  \
    (GOV_HAVE_STALL | GOV_HAVE_SYSTEM_STALL | GOV_HAVE_RECENT | GOV_HAVE_OWN | \
     GOV_HAVE_MACHINE)

/* Figures in MiB; a limit of NONE is none. */
static const struct {
    const char *name;
    uint64_t budget, footprint, limit, used, file, narrow, available;
    uint64_t want;
    const char *source; /* NULL: unknown */
} bounds[] = {
    {"the budget", 4096, 1024, NONE, 0, 0, 0, 8192, 3072, "budget"},
    {"more than the budget", 4096, 5000, NONE, 0, 0, 0, 8192, 0, "budget"},
    {"the limit", 4096, 1024, 2048, 1536, 0, 0, 8192, 512, "container limit"},
    {"less its file pages", 4096, 1024, 2048, 1536, 1000, 0, 8192, 1512,
     "container limit"},
    {"all of it file pages", 4096, 1024, 2048, 1536, 1600, 0, 8192, 2048,
     "container limit"},
    {"over the limit", 4096, 1024, 2048, 3000, 0, 0, 8192, 0,
     "container limit"},
    {"a fuller group above", 4096, 1024, 2048, 1536, 1000, 1400, 8192, 112,
     "container limit"},
    {"a full group above", 4096, 1024, 2048, 1536, 1000, 9999, 8192, 0,
     "container limit"},
    {"a wide limit", 4096, 1024, 9999, 1024, 0, 0, 8192, 3072, "budget"},
    {"a limit with no charge told", 4096, 1024, 2048, 0, 0, 0, 8192, 3072,
     "budget"},
    {"the system", 4096, 1024, 9999, 1024, 0, 0, 100, 100, "system memory"},
    {"the system does not tell", 4096, 1024, NONE, 0, 0, 0, 0, 3072, "budget"},
    {"equal bounds: the first", 4096, 1024, 4096, 1024, 0, 0, 3072, 3072,
     "budget"},
    {"no budget", 0, 1024, 2048, 1536, 0, 0, 8192, 0, NULL},
};

START_TEST(the_tightest_bound_counts)
{
    sim.process.footprint_bytes = bounds[_i].footprint * MIB;
    sim.limit = (struct gov__limit){.limit_bytes = bounds[_i].limit == NONE
                                                       ? UINT64_MAX
                                                       : bounds[_i].limit * MIB,
                                    .used_bytes = bounds[_i].used * MIB,
                                    .used_file_bytes = bounds[_i].file * MIB,
                                    .short_bytes = bounds[_i].narrow * MIB};
    sim.machine.available_bytes = bounds[_i].available * MIB;
    sample(bounds[_i].budget * MIB);
    ck_assert_uint_eq(out.evidence.now_ms, 77);
    if (bounds[_i].source == NULL) {
        ck_assert_uint_eq(out.evidence.have, SOUND);
        ck_assert_ptr_null(out.headroom_source);
        ck_assert_uint_eq(out.evidence.headroom_bytes, 0);
        return;
    }
    /* A machine that does not tell what is left of it is not known. */
    ck_assert_uint_eq(out.evidence.have,
                      (bounds[_i].available == 0
                           ? SOUND & ~(unsigned int)GOV_HAVE_MACHINE
                           : SOUND) |
                          GOV_HAVE_HEADROOM);
    ck_assert_str_eq(out.headroom_source, bounds[_i].source);
    ck_assert_uint_eq(out.evidence.headroom_bytes, bounds[_i].want * MIB);
    ck_assert_uint_eq(out.evidence.budget_bytes, bounds[_i].budget * MIB);
}
END_TEST

START_TEST(stall_totals_are_passed_on)
{
    sim.stall.memory_some_us = 11;
    sim.stall.memory_full_us = 7;
    sim.stall.source = "own cgroup";
    sample(GIB);
    ck_assert_uint_eq(out.evidence.have &
                          (GOV_HAVE_STALL | GOV_HAVE_SYSTEM_STALL),
                      GOV_HAVE_STALL);
    ck_assert_uint_eq(out.evidence.memory_some_us, 11);
    ck_assert_uint_eq(out.evidence.memory_full_us, 7);
    ck_assert_str_eq(out.stall_source, "own cgroup");
    ck_assert(out.have_process);
    ck_assert_uint_eq(out.process.footprint_bytes, GIB);
}
END_TEST

START_TEST(storage_stalls_alone_are_no_memory_stalls)
{
    sim.stall.have_memory = false;
    sim.stall.have_io = true;
    sample(GIB);
    ck_assert_uint_eq(out.evidence.have,
                      GOV_HAVE_HEADROOM | GOV_HAVE_OWN | GOV_HAVE_MACHINE);
    ck_assert_ptr_null(out.stall_source);
}
END_TEST

/* Each subset of the four calls fails: what they tell is absent and the rest is
 * there. */
START_TEST(what_cannot_be_read_is_absent)
{
    uint32_t have = 0;
    const char *source = NULL;

    sim.process_rc = (_i & 1) != 0 ? ENOENT : 0;
    sim.stall_rc = (_i & 2) != 0 ? ENOTSUP : 0;
    sim.limit_rc = (_i & 4) != 0 ? EACCES : 0;
    sim.machine_rc = (_i & 8) != 0 ? EIO : 0;
    sim.limit.limit_bytes = 8 * GIB;
    sim.limit.used_bytes = 5 * GIB;
    sim.machine.available_bytes = 4 * GIB;
    sample(3 * GIB);
    if (sim.process_rc == 0)
        source = "budget"; /* 2 GiB */
    else if (sim.limit_rc == 0)
        source = "container limit"; /* 3 */
    else if (sim.machine_rc == 0)
        source = "system memory"; /* 4, and no more than the budget */
    have |= sim.stall_rc == 0
                ? GOV_HAVE_STALL | GOV_HAVE_SYSTEM_STALL | GOV_HAVE_RECENT
                : 0;
    have |= source != NULL ? GOV_HAVE_HEADROOM : 0;
    have |= sim.process_rc == 0 ? GOV_HAVE_OWN : 0;
    have |= sim.machine_rc == 0 ? GOV_HAVE_MACHINE : 0;
    ck_assert_uint_eq(out.evidence.have, have);
    ck_assert_int_eq(out.have_process, sim.process_rc == 0);
    ck_assert_pstr_eq(out.stall_source, sim.stall_rc == 0 ? "system" : NULL);
    ck_assert_pstr_eq(out.headroom_source, source);
    ck_assert_uint_eq(out.evidence.headroom_bytes, source == NULL ? 0
                                                   : sim.process_rc == 0
                                                       ? 2 * GIB
                                                       : 3 * GIB);
}
END_TEST

START_TEST(a_charge_without_a_limit_bounds_nothing)
{
    sim.process_rc = sim.machine_rc = EIO;
    sim.limit.used_bytes = GIB;
    sample(3 * GIB);
    ck_assert_uint_eq(out.evidence.have,
                      GOV_HAVE_STALL | GOV_HAVE_SYSTEM_STALL | GOV_HAVE_RECENT);
}
END_TEST

/* Whose refaults they are: where a limit binds there is a group of our own. */
static const struct {
    int limit_rc, process_rc;
    uint64_t limit_bytes;
    bool reads;
    uint32_t have;
} whose[] = {
    {0, 0, 8 * GIB, false, GOV_HAVE_REFAULT},
    {0, 0, UINT64_MAX, true, GOV_HAVE_REFAULT | GOV_HAVE_SYSTEM_REFAULT},
    {EACCES, 0, 8 * GIB, true, GOV_HAVE_REFAULT | GOV_HAVE_SYSTEM_REFAULT},
    /* Nobody could judge them. */
    {0, 0, UINT64_MAX, false, 0},
    {0, EIO, 8 * GIB, true, 0},
};

START_TEST(refaults_are_passed_on)
{
    sim.refaults_rc = 0;
    sim.refault_bytes = 77;
    sim.limit_rc = whose[_i].limit_rc;
    sim.process_rc = whose[_i].process_rc;
    sim.process.have_read_bytes = whose[_i].reads;
    sim.limit.limit_bytes = whose[_i].limit_bytes;
    sample(_i == 0 ? 0 : GIB); /* without a budget, too */
    ck_assert_uint_eq(out.evidence.have &
                          (GOV_HAVE_REFAULT | GOV_HAVE_SYSTEM_REFAULT),
                      whose[_i].have);
    ck_assert_uint_eq(out.evidence.refault_bytes, whose[_i].have != 0 ? 77 : 0);
}
END_TEST

START_TEST(hits_of_the_limit_are_passed_on)
{
    sim.limit.have_hits = _i != 1;
    sim.limit.hits = 9;
    sim.limit_rc = _i == 2 ? EIO : 0;
    sample(_i == 3 ? 0 : GIB); /* without a budget, too */
    ck_assert_uint_eq(out.evidence.have & GOV_HAVE_LIMIT_HITS,
                      _i == 0 || _i == 3 ? GOV_HAVE_LIMIT_HITS : 0);
    ck_assert_uint_eq(out.evidence.limit_hits, _i == 0 || _i == 3 ? 9 : 0);
}
END_TEST

START_TEST(the_recent_stall_is_passed_on)
{
    sim.stall.memory_recent_permille = 123;
    sample(GIB);
    ck_assert_uint_eq(out.evidence.have & GOV_HAVE_RECENT, GOV_HAVE_RECENT);
    ck_assert_uint_eq(out.evidence.recent_some_permille, 123);
}
END_TEST

START_TEST(what_the_process_does_itself_is_passed_on)
{
    sim.process.major_faults = 5;
    sim.process.resident_file_bytes = 6 * MIB;
    sim.process.read_bytes = 7 * MIB;
    sim.process.have_read_bytes = _i == 1;
    sample(GIB);
    ck_assert_uint_eq(out.evidence.own_major_faults, 5);
    ck_assert_uint_eq(out.evidence.own_footprint_bytes, GIB);
    ck_assert_uint_eq(out.evidence.own_resident_file_bytes, 6 * MIB);
    ck_assert_uint_eq(out.evidence.own_read_bytes, _i == 1 ? 7 * MIB : 0);
    ck_assert_uint_eq(out.evidence.have & GOV_HAVE_OWN_READS,
                      _i == 1 ? GOV_HAVE_OWN_READS : 0);
    ck_assert_uint_eq(out.evidence.machine_available_bytes, 12 * GIB);
    ck_assert_uint_eq(out.evidence.machine_total_bytes, 16 * GIB);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("evidence");
    TCase *tc = tcase_create("sample");

    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_loop_test(tc, the_tightest_bound_counts, 0,
                        sizeof(bounds) / sizeof(bounds[0]));
    tcase_add_test(tc, stall_totals_are_passed_on);
    tcase_add_test(tc, a_charge_without_a_limit_bounds_nothing);
    tcase_add_test(tc, storage_stalls_alone_are_no_memory_stalls);
    tcase_add_loop_test(tc, what_cannot_be_read_is_absent, 0, 16);
    tcase_add_loop_test(tc, refaults_are_passed_on, 0,
                        sizeof(whose) / sizeof(whose[0]));
    tcase_add_loop_test(tc, hits_of_the_limit_are_passed_on, 0, 4);
    tcase_add_test(tc, the_recent_stall_is_passed_on);
    tcase_add_loop_test(tc, what_the_process_does_itself_is_passed_on, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
