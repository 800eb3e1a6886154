/* SPDX-License-Identifier: MIT */
/* Residency and pace: worked out by hand in tables, and properties over models
 * drawn at random from a fixed seed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "governor/memory/pace.h"
#include "governor/memory/residency.h"
#include "tests/support/run.h"

#define PAGE 4096
#define MAX_UNITS 64
#define MAX_PARTS 2048
#define MIB ((uint64_t)1 << 20)

static struct gov__unit units[MAX_UNITS];
static struct gov__part parts[MAX_PARTS];
static struct gov__part *order[MAX_PARTS];
static struct gov__residency res;

static void empty(uint32_t ahead)
{
    memset(units, 0, sizeof(units));
    res = (struct gov__residency){.units = units,
                                  .parts = parts,
                                  .order = order,
                                  .ahead = ahead,
                                  .page = PAGE,
                                  .grain = PAGE};
}

static void unit_at(enum gov__use use, uint64_t begin, uint64_t bytes)
{
    struct gov__unit *unit = &units[res.unit_count++];

    unit->use = use;
    unit->begin = begin;
    unit->end = begin + bytes;
    unit->bell = GOV__NO_BELL_PAGE;
}

/* Behind the last one. */
static void unit(enum gov__use use, uint64_t bytes)
{
    uint64_t begin =
        res.unit_count > 0 ? units[res.unit_count - 1].end : 5 * PAGE;

    unit_at(use, begin, bytes);
}

static void make(void)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < res.unit_count; i++)
        count += gov__residency_parts_of(&units[i], res.page, res.grain);
    ck_assert_uint_le(count, MAX_PARTS);
    gov__residency_init(&res);
    ck_assert_uint_eq(res.part_count, count);
}

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

/* An embedding, layers and heads of odd sizes, at odd places, some out of file
 * order, some smaller than a page, some layers in several units, with and without
 * experts; each seed with all ways to choose what is hot, one after the other. */
static void random_model(uint32_t seed)
{
    uint64_t at = 1000;
    uint32_t n, swaps;

    random_state = seed * 2654435761u + 1;
    empty(random_below(5));
    res.hold = (gov_hold)(seed % 3);
    n = 1 + random_below(MAX_UNITS - 1);
    for (uint32_t i = 0; i < n; i++) {
        enum gov__use use = i == 0 && random_below(2)       ? GOV__USE_ROWS
                            : i + 1 == n && random_below(2) ? GOV__USE_HEAD
                                                            : GOV__USE_LAYER;
        uint64_t bytes = random_below(5) == 0
                             ? random_below(3 * PAGE)
                             : random_below(30) * MIB + random_below(100000);

        unit_at(use, at, bytes);
        units[i].joined = i > 0 && use == GOV__USE_LAYER &&
                          units[i - 1].use == use && random_below(3) == 0;
        units[i].experts = use == GOV__USE_LAYER && random_below(2) == 0;
        at += bytes + random_below(3) * 32;
    }
    swaps = random_below(4);
    while (swaps-- > 0) {
        struct gov__unit *a = &units[random_below(n)];
        struct gov__unit *b = &units[random_below(n)], t = *a;

        a->begin = b->begin;
        a->end = b->end;
        b->begin = t.begin;
        b->end = t.end;
    }
    make();
}

/* The same with large pages, grains, a mapping that begins anywhere, bells, several
 * files, and units that are somebody else's. */
static void random_forms(uint32_t seed)
{
    static const uint64_t grains[] = {1, 16, 512, 1024}; /* of pages of 4 KiB */

    random_model(seed);
    res.page = random_below(4) == 0 ? (uint64_t)16 << 10 : PAGE;
    res.grain = grains[random_below(4)] * PAGE;
    if (res.grain < res.page)
        res.grain = res.page;
    for (uint32_t i = 0; i < res.unit_count; i++) {
        struct gov__unit *unit = &units[i];

        unit->file = random_below(3) == 0;
        unit->phase = random_below(2048) * res.page & (res.grain - 1);
        if (random_below(5) == 0)
            unit->use = GOV__USE_OTHERS;
        if (random_below(2) == 0 && unit->end - unit->begin > 2 * res.page)
            unit->bell =
                (unit->begin / res.page + 1 +
                 random_below((uint32_t)((unit->end - unit->begin) / res.page) -
                              1)) *
                res.page;
    }
    make();
}

static uint64_t total_bytes(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < res.unit_count; i++)
        sum += units[i].end - units[i].begin;
    return sum;
}

/* ---- parts ---------------------------------------------------------------- */

START_TEST(parts_tile_their_units)
{
    random_model((uint32_t)_i);
    for (uint32_t u = 0; u < res.unit_count; u++) {
        uint64_t at = units[u].begin;

        for (uint32_t i = 0; i < units[u].parts; i++) {
            const struct gov__part *part = &parts[units[u].first + i];

            ck_assert_uint_eq(part->unit, u);
            ck_assert_uint_eq(part->begin, at);
            ck_assert_uint_ge(part->end, part->begin);
            ck_assert_uint_le(part->end - part->begin, GOV__PART_BYTES + PAGE);
            ck_assert(i + 1 == units[u].parts || part->end % PAGE == 0);
            at = part->end;
        }
        ck_assert_uint_eq(at, units[u].end);
    }
    for (uint32_t i = 0; i < res.part_count; i++) {
        ck_assert_uint_eq(order[i]->rank, i);
        ck_assert(i == 0 || order[i - 1]->begin <= order[i]->begin);
    }
}
END_TEST

static bool is_at_grain(const struct gov__unit *of, uint64_t offset)
{
    return (offset + of->phase) % res.grain == 0;
}

/* Parts adjoin, but for the bell's page; each but an edge is of whole grains where
 * it is mapped, and an edge is less than a grain. */
static void parts_are_cut_at_grains_of(int seed)
{
    random_forms((uint32_t)seed);
    for (uint32_t u = 0; u < res.unit_count; u++) {
        const struct gov__unit *of = &units[u];
        uint64_t at = of->begin;

        for (uint32_t i = 0; i < of->parts; i++) {
            const struct gov__part *part = &parts[of->first + i];
            uint64_t bytes = part->end - part->begin;

            if (at == of->bell)
                at += res.page;
            ck_assert_uint_eq(part->begin, at);
            ck_assert_uint_eq(part->file, of->file);
            ck_assert(part->end >= at);
            at = part->end;
            ck_assert(at % res.page == 0 || at == of->end);
            if (res.grain == res.page) {
                ck_assert(!part->edge);
                ck_assert_uint_le(bytes, GOV__PART_BYTES + res.page);
                continue;
            }
            ck_assert(part->edge ==
                      !(is_at_grain(of, part->begin) && is_at_grain(of, at)));
            ck_assert_uint_le(bytes,
                              part->edge ? res.grain - 1 : GOV__PART_BYTES);
        }
        ck_assert(at == of->end ||
                  (at == of->bell && at + res.page >= of->end));
    }
}

START_TEST(parts_are_cut_at_grains)
{
    for (int seed = _i * 50; seed < _i * 50 + 50; seed++)
        parts_are_cut_at_grains_of(seed);
}
END_TEST

/* A unit's bytes [begin, end), in units of a page of 4 KiB, and where its parts
 * end; e: the part before it is an edge. */
static const struct {
    const char *name;
    uint64_t begin, end, phase, bell, grain;
    const char *want;
} cuts[] = {
    {"whole grains", 0, 3072, 0, 9999, 512, "1024 2048 3072 "},
    {"the rest is smaller", 0, 1536, 0, 9999, 512, "1024 1536 "},
    {"an edge in front", 500, 1536, 0, 9999, 512, "512e 1536 "},
    {"an edge behind", 512, 1037, 0, 9999, 512, "1024 1037e "},
    {"both", 511, 1025, 0, 9999, 512, "512e 1024 1025e "},
    {"nothing whole", 513, 1023, 0, 9999, 512, "1023e "},
    {"across a grain", 500, 600, 0, 9999, 512, "512e 600e "},
    {"mapped elsewhere", 0, 1024, 100, 9999, 512, "412e 924 1024e "},
    {"mapped at a page less", 1, 1025, 511, 9999, 512, "1025 "},
    {"a bell", 0, 1536, 0, 600, 512, "512 600e 1024e 1536 "},
    {"a bell in front", 0, 1024, 0, 0, 512, "512e 1024 "},
    {"a bell at the end", 0, 1024, 0, 1023, 512, "512 1023e "},
    {"nothing but a bell", 5, 6, 0, 5, 512, "6e "},
    {"no bytes", 512, 512, 0, 9999, 512, "512 "},
    {"no bytes, between grains", 5, 5, 0, 9999, 512, "5e "},
    {"no grain", 100, 2148, 0, 9999, 1, "1124 2148 "},
    {"no grain, a bell", 0, 2048, 0, 1000, 1, "1000 1524 2048 "},
};

START_TEST(cuts_parts)
{
    char got[256] = "";

    empty(1);
    res.grain = cuts[_i].grain * PAGE;
    unit_at(GOV__USE_LAYER, cuts[_i].begin * PAGE,
            (cuts[_i].end - cuts[_i].begin) * PAGE);
    units[0].phase = cuts[_i].phase * PAGE;
    units[0].bell = cuts[_i].bell * PAGE;
    make();
    for (uint32_t i = 0; i < res.part_count; i++)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%u%s ",
                 (unsigned)(parts[i].end / PAGE), parts[i].edge ? "e" : "");
    ck_assert_msg(strcmp(got, cuts[_i].want) == 0, "%s: %s, want %s",
                  cuts[_i].name, got, cuts[_i].want);
}
END_TEST

static void parts_are_in_the_order_of_the_files_of(int seed)
{
    random_forms((uint32_t)seed);
    for (uint32_t i = 0; i < res.part_count; i++) {
        ck_assert_uint_eq(order[i]->rank, i);
        ck_assert(i == 0 || order[i - 1]->file < order[i]->file ||
                  (order[i - 1]->file == order[i]->file &&
                   order[i - 1]->begin <= order[i]->begin));
    }
}

START_TEST(parts_are_in_the_order_of_the_files)
{
    for (int seed = _i * 50; seed < _i * 50 + 50; seed++)
        parts_are_in_the_order_of_the_files_of(seed);
}
END_TEST

START_TEST(part_is_never_cut_below_a_page)
{
    empty(2);
    res.page = 16 * MIB; /* none is, but nothing breaks */
    unit(GOV__USE_LAYER, 40 * MIB);
    make();
    for (uint32_t i = 1; i < res.part_count; i++)
        ck_assert(parts[i].begin % res.page == 0 ||
                  parts[i].begin == units[0].begin);
    ck_assert_uint_eq(parts[res.part_count - 1].end, units[0].end);
}
END_TEST

/* ---- hot and cold --------------------------------------------------------- */

/* One letter a unit: r(ows), l(ayer), e(xperts) of the layer before, h(ead), each
 * of one part of 4 MiB or, in capitals, four parts; j is more of the layer before.
 * want: one character a part, H or c. */
static const struct {
    const char *name, *model;
    uint64_t limit_mib;
    const char *want;
    gov_hold hold;
} choices[] = {
    {"all fits", "rllh", 16, "HHHH", GOV_HOLD_SPREAD},
    {"rows go first", "rllh", 15, "cHHH", GOV_HOLD_SPREAD},
    {"rows alone go", "rllh", 12, "cHHH", GOV_HOLD_SPREAD},
    {"one layer", "rllh", 11, "ccHH", GOV_HOLD_SPREAD},
    {"the other size of it", "rllh", 8, "ccHH", GOV_HOLD_SPREAD},
    {"both layers", "rllh", 7, "cccH", GOV_HOLD_SPREAD},
    {"the head last", "rllh", 4, "cccH", GOV_HOLD_SPREAD},
    {"nothing stays", "rllh", 3, "cccc", GOV_HOLD_SPREAD},
    {"nothing at all", "rllh", 0, "cccc", GOV_HOLD_SPREAD},
    {"every other layer", "llllllllh", 20, "cHcHcHcHH", GOV_HOLD_SPREAD},
    {"a third of them", "llllllllh", 24, "cHHcHHcHH", GOV_HOLD_SPREAD},
    {"two in three", "llllllllh", 12, "ccHccHccH", GOV_HOLD_SPREAD},
    {"no head: a ring", "llll", 8, "cHcH", GOV_HOLD_SPREAD},
    {"no head: one stays", "llll", 4, "cccH", GOV_HOLD_SPREAD},
    {"parts of layers", "LLh", 20, "cHcHcHcHH", GOV_HOLD_SPREAD},
    {"parts of a head", "lH", 8, "ccHcH", GOV_HOLD_SPREAD},
    {"only rows", "r", 3, "c", GOV_HOLD_SPREAD},
    {"only rows, and room", "r", 4, "H", GOV_HOLD_SPREAD},
    {"first: all fits", "rllh", 16, "HHHH", GOV_HOLD_FIRST},
    {"first: not rows", "rllh", 15, "cHHH", GOV_HOLD_FIRST},
    {"first: the head is used last", "rllh", 11, "cHHc", GOV_HOLD_FIRST},
    {"first: one layer", "rllh", 7, "cHcc", GOV_HOLD_FIRST},
    {"first: nothing", "rllh", 3, "cccc", GOV_HOLD_FIRST},
    {"first: layers are whole", "LLh", 31, "HHHHccccc", GOV_HOLD_FIRST},
    {"first: to the byte", "LLh", 32, "HHHHHHHHc", GOV_HOLD_FIRST},
    {"first: nothing behind a gap", "lLlh", 15, "Hcccccc", GOV_HOLD_FIRST},
    {"first: in pieces", "ljjljjh", 20, "HHHcccc", GOV_HOLD_FIRST},
    {"first: an embedding that is a head", "hll", 8, "cHH", GOV_HOLD_FIRST},
    {"first: layers of it come first", "hll", 11, "cHH", GOV_HOLD_FIRST},
    {"dense: no experts", "llllllllh", 20, "cHcHcHcHH", GOV_HOLD_DENSE},
    {"dense: all fits", "rleleh", 24, "HHHHHH", GOV_HOLD_DENSE},
    {"dense: not rows", "rleleh", 23, "cHHHHH", GOV_HOLD_DENSE},
    {"dense: experts go", "rleleh", 16, "cHcHHH", GOV_HOLD_DENSE},
    {"dense: all of them", "rleleh", 12, "cHcHcH", GOV_HOLD_DENSE},
    {"dense: then the rest", "rleleh", 8, "cccHcH", GOV_HOLD_DENSE},
    {"dense: the head last", "rleleh", 4, "cccccH", GOV_HOLD_DENSE},
    {"dense: nothing", "rleleh", 3, "cccccc", GOV_HOLD_DENSE},
    {"dense: evenly over experts", "lElEh", 28, "HcHcHHcHcHH", GOV_HOLD_DENSE},
    {"experts are as others", "rleleh", 12, "ccHcHH", GOV_HOLD_SPREAD},
};

START_TEST(decides)
{
    char got[MAX_PARTS + 1];
    uint64_t hot = 0, said;

    empty(2);
    res.hold = choices[_i].hold;
    for (const char *c = choices[_i].model; *c != '\0'; c++) {
        unit(strchr("rR", *c)   ? GOV__USE_ROWS
             : strchr("hH", *c) ? GOV__USE_HEAD
                                : GOV__USE_LAYER,
             strchr("RLEH", *c) ? 16 * MIB : 4 * MIB);
        units[res.unit_count - 1].joined = strchr("eEj", *c) != NULL;
        units[res.unit_count - 1].experts = strchr("eE", *c) != NULL;
    }
    make();
    said = gov__residency_decide(&res, choices[_i].limit_mib * MIB);
    for (uint32_t i = 0; i < res.part_count; i++) {
        got[i] = parts[i].target_hot ? 'H' : 'c';
        if (parts[i].target_hot)
            hot += parts[i].end - parts[i].begin;
    }
    got[res.part_count] = '\0';
    ck_assert_msg(strcmp(got, choices[_i].want) == 0, "%s: %s, want %s",
                  choices[_i].name, got, choices[_i].want);
    ck_assert_uint_eq(said, hot);
}
END_TEST

/* Cold layer parts in a row, around the ring; what is no layer separates. */
static uint32_t longest_run(void)
{
    uint32_t run = 0, longest = 0;

    for (uint32_t i = 0; i < 2 * res.part_count; i++) {
        const struct gov__part *part = &parts[i % res.part_count];

        if (units[part->unit].use == GOV__USE_ROWS)
            continue;
        run = part->target_hot ? 0 : run + 1;
        if (run > longest)
            longest = run;
    }
    return longest;
}

START_TEST(stays_within_the_limit)
{
    uint64_t all;

    random_model((uint32_t)_i);
    all = total_bytes();
    for (uint64_t step = 0; step <= 64; step++) {
        uint64_t limit = all * step / 64, hot = 0, cold = 0;
        uint64_t said = gov__residency_decide(&res, limit);

        for (uint32_t i = 0; i < res.part_count; i++)
            if (parts[i].target_hot)
                hot += parts[i].end - parts[i].begin;
            else if (units[parts[i].unit].use != GOV__USE_ROWS)
                cold += parts[i].end - parts[i].begin;
        ck_assert_uint_eq(hot, said);
        ck_assert_uint_le(hot, limit);
        ck_assert_uint_eq(cold, gov__residency_cold_bytes(&res));
        ck_assert(step < 64 || hot == all);
    }
}
END_TEST

static bool is_others(uint32_t part)
{
    return units[parts[part].unit].use == GOV__USE_OTHERS;
}

/* What is somebody else's is in no sum and never decided about. */
static void others_do_not_count_of(int seed)
{
    uint64_t all = 0;

    random_forms((uint32_t)seed);
    for (uint32_t i = 0; i < res.part_count; i++)
        all += is_others(i) ? 0 : parts[i].end - parts[i].begin;
    for (uint64_t step = 0; step <= 64; step++) {
        uint64_t limit = all / 64 * step, hot = 0, cold = 0;
        uint64_t said = gov__residency_decide(&res, limit);

        for (uint32_t i = 0; i < res.part_count; i++)
            if (is_others(i))
                ck_assert(parts[i].target_hot);
            else if (parts[i].target_hot)
                hot += parts[i].end - parts[i].begin;
            else if (units[parts[i].unit].use != GOV__USE_ROWS)
                cold += parts[i].end - parts[i].begin;
        ck_assert_uint_eq(hot, said);
        ck_assert_uint_le(hot, limit);
        ck_assert_uint_eq(cold, gov__residency_cold_bytes(&res));
        for (uint32_t ahead = 0; ahead < 5; ahead++)
            ck_assert_uint_le(gov__residency_window_bytes(&res, ahead), cold);
    }
    ck_assert_uint_eq(gov__residency_decide(&res, all), all);
}

START_TEST(others_do_not_count)
{
    for (int seed = _i * 50; seed < _i * 50 + 50; seed++)
        others_do_not_count_of(seed);
}
END_TEST

/* Sets of which the parts are chosen together: bit use, bit 4 for experts. */
static bool is_of_set(uint32_t part, int set)
{
    const struct gov__unit *of = &units[parts[part].unit];

    if (of->use == GOV__USE_HEAD)
        return set == 0;
    if (of->use != GOV__USE_LAYER)
        return false;
    if (res.hold == GOV_HOLD_SPREAD)
        return set == 1;
    return of->experts ? set == 2 : set == 1;
}

/* No whole part is hot where an edge of the same set is cold. */
static void edges_stay_hot_before_whole_parts_of(int seed)
{
    random_forms((uint32_t)seed);
    if (res.hold == GOV_HOLD_FIRST)
        return; /* layers are whole */
    for (uint64_t step = 0; step <= 64; step++) {
        gov__residency_decide(&res, total_bytes() / 64 * step);
        for (int set = 0; set < 3; set++) {
            uint64_t edge_cold = 0, whole_hot = 0;

            for (uint32_t i = 0; i < res.part_count; i++)
                if (is_of_set(i, set) && parts[i].edge && !parts[i].target_hot)
                    edge_cold++;
                else if (is_of_set(i, set) && !parts[i].edge &&
                         parts[i].target_hot)
                    whole_hot += parts[i].end - parts[i].begin;
            ck_assert(edge_cold == 0 || whole_hot == 0);
        }
    }
}

START_TEST(edges_stay_hot_before_whole_parts)
{
    for (int seed = _i * 50; seed < _i * 50 + 50; seed++)
        edges_stay_hot_before_whole_parts_of(seed);
}
END_TEST

/* What was decided before does not matter. */
START_TEST(decides_the_same_again)
{
    static bool hot[MAX_PARTS];
    uint64_t limit, said;

    random_model((uint32_t)_i);
    limit = total_bytes() * random_below(64) / 64;
    said = gov__residency_decide(&res, limit);
    for (uint32_t i = 0; i < res.part_count; i++)
        hot[i] = parts[i].target_hot;
    for (int way = 0; way < 3; way++) {
        gov_hold hold = res.hold;

        res.hold = (gov_hold)way;
        gov__residency_decide(&res, total_bytes() * random_below(66) / 64);
        res.hold = hold;
        ck_assert_uint_eq(gov__residency_decide(&res, limit), said);
        for (uint32_t i = 0; i < res.part_count; i++)
            ck_assert(parts[i].target_hot == hot[i]);
    }
}
END_TEST

/* Layers are hot whole, up to one, and none behind it; a head is when they all
 * are. Nothing that would still fit is left at the front. */
START_TEST(holds_a_front)
{
    uint64_t limit, left;
    bool gone = false;

    random_model((uint32_t)_i);
    res.hold = GOV_HOLD_FIRST;
    limit = left = total_bytes() * random_below(64) / 64;
    gov__residency_decide(&res, limit);
    for (uint32_t i = 0, next; i < res.unit_count; i = next) {
        uint64_t bytes = 0, hot = 0;

        next = i;
        do {
            bytes += units[next].end - units[next].begin;
            for (uint32_t p = 0; p < units[next].parts; p++)
                hot += parts[units[next].first + p].target_hot
                           ? parts[units[next].first + p].end -
                                 parts[units[next].first + p].begin
                           : 0;
        } while (++next < res.unit_count && units[next].joined);
        if (units[i].use == GOV__USE_ROWS)
            continue;
        gone = gone || bytes > left;
        ck_assert_uint_eq(hot, gone ? 0 : bytes);
        left -= hot;
    }
}
END_TEST

/* No expert is hot while a part that every token uses is not, and what is hot of
 * the others is spread. */
START_TEST(holds_what_all_tokens_use)
{
    uint64_t dense_cold = 0, experts_hot = 0;

    random_model((uint32_t)_i);
    res.hold = GOV_HOLD_DENSE;
    gov__residency_decide(&res, total_bytes() * random_below(64) / 64);
    for (uint32_t i = 0; i < res.part_count; i++) {
        const struct gov__unit *of = &units[parts[i].unit];
        uint64_t bytes = parts[i].end - parts[i].begin;

        if (of->experts)
            experts_hot += parts[i].target_hot ? bytes : 0;
        else if (of->use == GOV__USE_LAYER)
            dense_cold += parts[i].target_hot ? 0 : bytes;
    }
    ck_assert(dense_cold == 0 || experts_hot == 0);
}
END_TEST

/* With parts of one size the limit is used to the last part, and no choice of
 * the same number of cold parts has a shorter longest run. */
START_TEST(spreads_evenly)
{
    uint32_t layers = 1 + (uint32_t)_i;

    empty(2);
    for (uint32_t i = 0; i < layers; i++)
        unit(GOV__USE_LAYER, 4 * MIB);
    unit(GOV__USE_HEAD, 4 * MIB);
    make();
    for (uint32_t hot = 0; hot <= layers; hot++) {
        uint32_t cold = layers - hot;

        ck_assert_uint_eq(gov__residency_decide(&res, (hot + 1) * 4 * MIB + 17),
                          (hot + 1) * 4 * MIB);
        /* hot + 1 parts that stay (the head is one) cut the ring. */
        ck_assert_uint_eq(longest_run(), (cold + hot) / (hot + 1));
    }
}
END_TEST

/* ---- the window ----------------------------------------------------------- */

/* All that is hot is there. */
static void in_force(uint64_t limit)
{
    gov__residency_decide(&res, limit);
    gov__residency_apply(&res);
    for (uint32_t i = 0; i < res.part_count; i++)
        if (parts[i].hot)
            gov__residency_hold(&res, i, GOV__PRESENT);
}

static uint64_t wanted_bytes(void)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < res.part_count; i++)
        if (!parts[i].hot && units[parts[i].unit].wanted)
            bytes += parts[i].end - parts[i].begin;
    return bytes;
}

START_TEST(window_is_a_ring_and_bounded)
{
    uint64_t most = 0;

    random_model((uint32_t)_i);
    in_force(total_bytes() * random_below(64) / 64);
    for (uint32_t position = 0; position < res.unit_count; position++) {
        uint32_t ahead = 0;
        bool gap = false, counted = true;

        gov__residency_aim(&res, position);
        ck_assert(units[position].wanted == units[position].any_cold);
        for (uint32_t d = 1; d < res.unit_count; d++) {
            uint32_t i = (position + d) % res.unit_count;

            if (!units[i].joined)
                counted = false;
            if (!units[i].any_cold) {
                ck_assert(!units[i].wanted);
                continue;
            }
            ck_assert_msg(!units[i].wanted || !gap, "a gap at %u", i);
            gap = !units[i].wanted;
            ahead += units[i].wanted && !counted ? 1 : 0;
            counted = true;
        }
        ck_assert_uint_le(ahead, res.ahead);
        ck_assert(ahead == res.ahead || !gap);
        if (wanted_bytes() > most)
            most = wanted_bytes();
    }
    /* The figure holds for every position. At a hot unit one cold unit less is
     * wanted, so it is met where a cold one is in use. */
    ck_assert_uint_eq(gov__residency_window_bytes(&res, res.ahead), most);
}
END_TEST

/* A router lies between the experts it chooses from: the engine tells of the
 * layer when it begins, and all of it is to be there then. */
START_TEST(a_layer_in_pieces_is_wanted_whole)
{
    empty(1);
    for (int layer = 0; layer < 3; layer++)
        for (int piece = 0; piece < 4; piece++) {
            unit(GOV__USE_LAYER, MIB);
            units[res.unit_count - 1].joined = piece > 0;
        }
    make();
    in_force(0);
    gov__residency_aim(&res, 8);
    for (uint32_t i = 0; i < 12; i++)
        ck_assert_int_eq(units[i].wanted, i < 4 || i >= 8);
    ck_assert_uint_eq(gov__residency_window_bytes(&res, res.ahead), 8 * MIB);
}
END_TEST

/* With whole layers cold the window is as many layers, the head one of them. */
START_TEST(the_window_of_whole_layers)
{
    empty(2);
    for (int i = 0; i < 6; i++)
        unit(GOV__USE_LAYER, 16 * MIB);
    unit(GOV__USE_HEAD, 20 * MIB);
    make();
    res.hold = GOV_HOLD_FIRST;
    in_force(40 * MIB);
    ck_assert_uint_eq(gov__residency_cold_bytes(&res), 84 * MIB);
    ck_assert_uint_eq(gov__residency_window_bytes(&res, res.ahead), 52 * MIB);
    gov__residency_aim(&res, 0);
    for (uint32_t i = 0; i < 7; i++)
        ck_assert_int_eq(units[i].wanted, i == 2 || i == 3);
    gov__residency_aim(&res, 6);
    for (uint32_t i = 0; i < 7; i++)
        ck_assert_int_eq(units[i].wanted, i == 6 || i == 2 || i == 3);
}
END_TEST

/* Pages that the engine had to fault in are dropped behind it like others. */
START_TEST(what_came_late_is_dropped_too)
{
    empty(1);
    for (int i = 0; i < 4; i++)
        unit(GOV__USE_LAYER, MIB);
    make();
    in_force(0);
    for (uint32_t i = 0; i < 4; i++)
        parts[i].held = GOV__ABSENT;
    gov__residency_aim(&res, 0);
    ck_assert_uint_eq(gov__residency_next_drop(&res, 0), GOV__NO_PART);
    gov__residency_aim(&res, 1);
    ck_assert_uint_eq(gov__residency_next_drop(&res, 0), 0);
    ck_assert_uint_eq(gov__residency_next_drop(&res, 1), GOV__NO_PART);
}
END_TEST

/* So are those of units that nobody looked at: the engine was past them before
 * they were wanted. Rows are only looked up. */
START_TEST(what_was_jumped_over_is_dropped_too)
{
    empty(1);
    unit(GOV__USE_ROWS, MIB);
    for (int i = 0; i < 7; i++)
        unit(GOV__USE_LAYER, MIB);
    make();
    in_force(0);
    for (uint32_t i = 0; i < 8; i++)
        parts[i].held = GOV__ABSENT;
    gov__residency_aim(&res, 1);
    gov__residency_aim(&res, 6);
    for (uint32_t i = 1; i < 6; i++)
        ck_assert_uint_eq(gov__residency_next_drop(&res, i), i);
    ck_assert_uint_eq(gov__residency_next_drop(&res, 6), GOV__NO_PART);
    /* Around the ring: over the last, and over the rows. */
    gov__residency_aim(&res, 2);
    ck_assert_uint_eq(gov__residency_next_drop(&res, 6), 6);
    ck_assert_uint_eq(gov__residency_next_drop(&res, 7), 7);
    ck_assert_int_eq(parts[0].held, GOV__ABSENT);
}
END_TEST

/* So is what is not wanted any more since less is read ahead. */
START_TEST(what_left_the_window_is_dropped_too)
{
    empty(2);
    for (int i = 0; i < 6; i++)
        unit(GOV__USE_LAYER, MIB);
    make();
    in_force(0);
    for (uint32_t i = 0; i < 6; i++)
        gov__residency_hold(&res, i, GOV__ABSENT);
    gov__residency_aim(&res, 0);
    res.ahead = 1;
    gov__residency_aim(&res, 0);
    ck_assert_uint_eq(gov__residency_next_drop(&res, 0), 2);
    ck_assert_uint_eq(gov__residency_next_drop(&res, 3), GOV__NO_PART);
}
END_TEST

START_TEST(rows_are_never_wanted)
{
    empty(2);
    unit(GOV__USE_ROWS, 8 * MIB);
    unit(GOV__USE_LAYER, 4 * MIB);
    make();
    in_force(0);
    gov__residency_aim(&res, 0);
    ck_assert(!units[0].wanted);
    ck_assert(units[1].wanted);
    ck_assert_uint_eq(gov__residency_cold_bytes(&res), 4 * MIB);
}
END_TEST

/* ---- what to do next ------------------------------------------------------ */

/* Runs the decisions as the streamer does, without a kernel, for passes with
 * limits that change at random: what is held never exceeds hot and window, what
 * the engine uses is there in the end, and it all comes to rest. */
START_TEST(steps_come_to_rest)
{
    random_model((uint32_t)_i);
    for (uint32_t step = 0; step < 6 * res.unit_count; step++) {
        uint32_t position = step % res.unit_count, part, from;
        uint64_t bound, held = 0;

        if (random_below(10) == 0)
            in_force(total_bytes() * random_below(66) / 64);
        gov__residency_aim(&res, position);
        for (part = 0;
             (part = gov__residency_next_drop(&res, part)) != GOV__NO_PART;) {
            ck_assert(!parts[part].hot && !units[parts[part].unit].wanted);
            gov__residency_hold(&res, part, GOV__ABSENT);
        }
        from = units[position].first;
        bound = 2 * res.part_count;
        while ((part = gov__residency_next_missing(&res, from, GOV__PRESENT,
                                                   GOV__READS_ALL)) !=
               GOV__NO_PART) {
            ck_assert(parts[part].hot || units[parts[part].unit].wanted);
            gov__residency_hold(&res, part, GOV__PRESENT);
            ck_assert_uint_gt(bound--, 0);
        }
        for (uint32_t i = 0; i < res.part_count; i++)
            if (parts[i].held != GOV__ABSENT && !parts[i].hot)
                held += parts[i].end - parts[i].begin;
        ck_assert_uint_le(held, gov__residency_window_bytes(&res, res.ahead));
        for (uint32_t i = 0; i < units[position].parts; i++)
            ck_assert(parts[from + i].held == GOV__PRESENT ||
                      units[position].use == GOV__USE_ROWS);
    }
}
END_TEST

static void check_missing(void)
{
    for (uint32_t u = 0; u < res.unit_count; u++) {
        uint32_t missing = 0;

        for (uint32_t i = units[u].first; i < units[u].first + units[u].parts;
             i++)
            if (parts[i].held != GOV__PRESENT &&
                (parts[i].hot ? res.warm != GOV_WARM_NONE
                              : units[u].use != GOV__USE_ROWS))
                missing++;
        ck_assert_uint_eq(units[u].missing, missing);
    }
}

static void take_out_or_back(void)
{
    uint32_t part = random_below(res.part_count);

    if (!parts[part].out &&
        (is_others(part) || parts[part].held >= GOV__COMING))
        return;
    gov__residency_hold(&res, part,
                        parts[part].out ? GOV__PRESENT : GOV__COMING);
    parts[part].out = !parts[part].out;
}

static void drop_one(void)
{
    uint32_t part = gov__residency_next_drop(&res, 0);

    if (part == GOV__NO_PART)
        return;
    ck_assert(!is_others(part) && !parts[part].out && !parts[part].hot);
    ck_assert(!units[parts[part].unit].wanted);
    gov__residency_hold(&res, part, GOV__ABSENT);
}

static void read_one(void)
{
    enum gov__held below = random_below(2) ? GOV__COMING : GOV__PRESENT;
    enum gov__reads reads = (enum gov__reads)random_below(3);
    uint32_t part = gov__residency_next_missing(
        &res, random_below(res.part_count), below, reads);

    if (part == GOV__NO_PART)
        return;
    ck_assert(!is_others(part) && !parts[part].out);
    ck_assert(parts[part].held < below);
    ck_assert(parts[part].hot || units[parts[part].unit].wanted);
    ck_assert(reads != GOV__READS_IDLE ||
              (parts[part].hot && gov__residency_can_wait(&res, part)));
    gov__residency_hold(&res, part, below);
}

/* Whatever happens in whatever order: what is missing is known, and nobody's
 * parts but our own are touched. */
static void knows_what_is_missing_of(int seed)
{
    random_forms((uint32_t)seed);
    res.warm = (gov_warm)(seed / 3 % 3);
    gov__residency_apply(&res);
    for (int step = 0; step < 400; step++) {
        switch (random_below(9)) {
        case 0:
            gov__residency_decide(&res, total_bytes() / 64 * random_below(66));
            gov__residency_apply(&res);
            break;
        case 1:
            gov__residency_aim(&res, random_below(res.unit_count));
            break;
        case 2:
            if (random_below(10) == 0)
                gov__residency_lap(&res);
            break;
        case 3:
        case 4:
            take_out_or_back();
            break;
        case 5:
            drop_one();
            break;
        default:
            read_one();
        }
        check_missing();
    }
    for (uint32_t i = 0; i < res.part_count; i++)
        ck_assert(!is_others(i) || parts[i].held == GOV__PRESENT);
}

START_TEST(knows_what_is_missing)
{
    for (int seed = _i * 50; seed < _i * 50 + 50; seed++)
        knows_what_is_missing_of(seed);
}
END_TEST

START_TEST(nearest_missing_comes_first)
{
    empty(1);
    for (int i = 0; i < 4; i++)
        unit(GOV__USE_LAYER, 8 * MIB);
    make();
    gov__residency_decide(&res, UINT64_MAX);
    gov__residency_apply(&res);
    ck_assert_uint_eq(
        gov__residency_next_missing(&res, 4, GOV__COMING, GOV__READS_ALL), 4);
    parts[4].held = GOV__COMING;
    ck_assert_uint_eq(
        gov__residency_next_missing(&res, 4, GOV__COMING, GOV__READS_ALL), 5);
    ck_assert_uint_eq(
        gov__residency_next_missing(&res, 4, GOV__PRESENT, GOV__READS_ALL), 4);
    for (int i = 0; i < 8; i++)
        parts[i].held = GOV__PRESENT;
    ck_assert_uint_eq(
        gov__residency_next_missing(&res, 4, GOV__PRESENT, GOV__READS_ALL),
        GOV__NO_PART);
    parts[3].held = GOV__ABSENT;
    ck_assert_uint_eq(
        gov__residency_next_missing(&res, 4, GOV__PRESENT, GOV__READS_ALL), 3);
}
END_TEST

/* Units 0, 2 and 4 are hot and missing, 1, 3 and 5 cold, two parts each; the file
 * has them from the last to the first. The engine is at 3, so that one, what is
 * missing of the next layer and the next that is cold are wanted. */
static void make_warming(gov_warm warm)
{
    empty(1);
    for (int i = 0; i < 6; i++)
        unit_at(GOV__USE_LAYER, (uint64_t)(5 - i) * 8 * MIB, 8 * MIB);
    make();
    res.warm = warm;
    for (uint32_t i = 0; i < res.part_count; i++) {
        parts[i].target_hot = i / 2 % 2 == 0;
        parts[i].held = parts[i].target_hot ? GOV__UNKNOWN : GOV__ABSENT;
    }
    for (uint32_t i = 1; i < 6; i += 2)
        units[i].target_cold_bytes = 8 * MIB;
    gov__residency_apply(&res);
    gov__residency_aim(&res, 3);
}

/* Reads one after the other until none is left; their numbers. */
static const char *reads_from(uint32_t from, enum gov__reads reads)
{
    static char text[MAX_PARTS];
    uint32_t next, n = 0;

    while ((next = gov__residency_next_missing(&res, from, GOV__PRESENT,
                                               reads)) != GOV__NO_PART) {
        text[n++] = "0123456789ab"[next];
        gov__residency_hold(&res, next, GOV__PRESENT);
    }
    text[n] = '\0';
    return text;
}

static const struct {
    gov_warm warm;
    enum gov__reads reads;
    const char *want;
} warmings[] = {
    {GOV_WARM_USE, GOV__READS_ALL, "6789ab0145"},
    {GOV_WARM_USE, GOV__READS_WANTED, "6789ab"},
    {GOV_WARM_USE, GOV__READS_IDLE, "0145"},
    {GOV_WARM_FILE, GOV__READS_ALL, "6789ab4501"},
    {GOV_WARM_FILE, GOV__READS_WANTED, "6789ab"},
    {GOV_WARM_FILE, GOV__READS_IDLE, "4501"},
    {GOV_WARM_NONE, GOV__READS_ALL, "67ab"},
    {GOV_WARM_NONE, GOV__READS_WANTED, "67ab"},
    {GOV_WARM_NONE, GOV__READS_IDLE, ""},
};

START_TEST(warms_in_order)
{
    bool none = warmings[_i].warm == GOV_WARM_NONE;

    make_warming(warmings[_i].warm);
    ck_assert_str_eq(reads_from(6, warmings[_i].reads), warmings[_i].want);
    ck_assert_int_eq(gov__residency_is_warm(&res),
                     strlen(warmings[_i].want) == 10);
    /* The engine went by unit 1. */
    ck_assert_uint_eq(gov__residency_next_drop(&res, 0), 2);
    ck_assert_uint_eq(gov__residency_next_drop(&res, 4), GOV__NO_PART);
    for (uint32_t i = 0; i < res.part_count; i++)
        ck_assert_int_eq(gov__residency_can_wait(&res, i),
                         i < 6 || (none && parts[i].hot));
}
END_TEST

/* Hot parts of a unit in the window are as urgent as its others, and read by
 * nobody where that was asked. */
START_TEST(warms_what_is_wanted)
{
    make_warming(warmings[_i].warm);
    parts[6].target_hot = true;
    units[3].target_cold_bytes = 4 * MIB;
    gov__residency_apply(&res);
    gov__residency_aim(&res, 3);
    ck_assert(!gov__residency_can_wait(&res, 6));
    ck_assert_str_eq(reads_from(6, GOV__READS_WANTED),
                     warmings[_i].warm == GOV_WARM_NONE ? "7ab" : "6789ab");
}
END_TEST

/* Layers that are all hot are wanted as far as the engine will be soon and no
 * farther, and only while something of them is missing. */
START_TEST(wants_what_is_missing_ahead)
{
    empty(2);
    for (int i = 0; i < 12; i++) {
        unit(GOV__USE_LAYER, MIB);
        units[i].joined = i % 2 == 1;
    }
    make();
    gov__residency_decide(&res, UINT64_MAX);
    gov__residency_apply(&res);
    gov__residency_aim(&res, 8);
    for (uint32_t i = 0; i < 12; i++)
        ck_assert_int_eq(units[i].wanted, i < 2 || i >= 8);
    gov__residency_hold(&res, 10, GOV__COMING);
    gov__residency_hold(&res, 1, GOV__PRESENT);
    gov__residency_hold(&res, 9, GOV__PRESENT);
    gov__residency_aim(&res, 8);
    for (uint32_t i = 0; i < 12; i++)
        ck_assert_int_eq(units[i].wanted,
                         i == 0 || i == 8 || i == 10 || i == 11);
    /* What is left to the engine is wanted by nobody. */
    res.warm = GOV_WARM_NONE;
    gov__residency_apply(&res);
    gov__residency_aim(&res, 8);
    for (uint32_t i = 0; i < 12; i++)
        ck_assert(!units[i].wanted && units[i].missing == 0);
}
END_TEST

/* A read that was started is ended, whatever became of the part meanwhile: else
 * its place among those in flight would never be free again. */
START_TEST(what_was_started_is_ended)
{
    if (warmings[_i].reads == GOV__READS_IDLE)
        return; /* asks for none that was */
    make_warming(warmings[_i].warm);
    gov__residency_hold(&res, 0, GOV__COMING);
    ck_assert_ptr_nonnull(strchr(reads_from(6, warmings[_i].reads), '0'));
    make_warming(warmings[_i].warm);
    gov__residency_hold(&res, 0, GOV__COMING);
    gov__residency_hold(&res, 5, GOV__COMING);
    (void)reads_from(6, warmings[_i].reads);
    ck_assert(parts[0].held == GOV__PRESENT && parts[5].held == GOV__PRESENT);
}
END_TEST

/* What a reader has in hands is its own, whatever becomes of it. */
START_TEST(what_is_out_is_left_alone)
{
    make_warming(warmings[_i].warm);
    for (uint32_t i = 0; i < res.part_count; i++) {
        gov__residency_hold(&res, i, i % 2 ? GOV__COMING : GOV__UNKNOWN);
        parts[i].out = true;
    }
    ck_assert_str_eq(reads_from(6, warmings[_i].reads), "");
    ck_assert_uint_eq(gov__residency_next_drop(&res, 0), GOV__NO_PART);
    parts[2].out = false;
    ck_assert_uint_eq(gov__residency_next_drop(&res, 0), 2);
    parts[7].out = false;
    ck_assert_str_eq(reads_from(6, warmings[_i].reads),
                     warmings[_i].reads == GOV__READS_IDLE ? "" : "7");
}
END_TEST

/* Two hot units that the engine has been over are there, and stay; the third,
 * of rows, too. */
START_TEST(the_engine_brings_in_what_nobody_reads)
{
    empty(1);
    unit(GOV__USE_ROWS, MIB);
    for (int i = 0; i < 3; i++)
        unit(GOV__USE_LAYER, MIB);
    make();
    res.warm = GOV_WARM_NONE;
    gov__residency_decide(&res, UINT64_MAX);
    gov__residency_apply(&res);
    gov__residency_aim(&res, 2);
    ck_assert_int_eq(parts[0].held, GOV__PRESENT);
    ck_assert_int_eq(parts[1].held, GOV__PRESENT);
    ck_assert_int_eq(parts[2].held, GOV__UNKNOWN);
    ck_assert(!gov__residency_is_warm(&res));
    gov__residency_aim(&res, 0);
    ck_assert(gov__residency_is_warm(&res));
    ck_assert_uint_eq(gov__residency_next_drop(&res, 0), GOV__NO_PART);
    for (uint32_t i = 0; i < res.part_count; i++)
        parts[i].held = i % 2 == 0 ? GOV__UNKNOWN : GOV__ABSENT;
    gov__residency_lap(&res);
    ck_assert(gov__residency_is_warm(&res));
    /* But neither what is cold, nor what is being read. */
    for (uint32_t i = 0; i < res.part_count; i++)
        gov__residency_hold(&res, i, i == 1 ? GOV__COMING : GOV__UNKNOWN);
    parts[2].hot = false;
    gov__residency_lap(&res);
    ck_assert_int_eq(parts[1].held, GOV__COMING);
    ck_assert_int_eq(parts[2].held, GOV__UNKNOWN);
    ck_assert_int_eq(parts[3].held, GOV__PRESENT);
    /* Read by somebody else, it is theirs to say. */
    make();
    res.warm = GOV_WARM_USE;
    gov__residency_lap(&res);
    gov__residency_aim(&res, 2);
    ck_assert_int_eq(parts[1].held, GOV__UNKNOWN);
}
END_TEST

/* ---- pace ----------------------------------------------------------------- */

START_TEST(paces_reads)
{
    struct gov__pace pace = {.rate = 2 * MIB};
    uint64_t now = 1000000;

    ck_assert_uint_eq(gov__pace_wait_us(&pace, now), 0);
    gov__pace_charge(&pace, now, MIB);
    /* The first is paid for from when the slack began. */
    ck_assert_uint_eq(gov__pace_wait_us(&pace, now), 480000);
    ck_assert_uint_eq(gov__pace_wait_us(&pace, now + 479999), 1);
    now += 480000;
    ck_assert_uint_eq(gov__pace_wait_us(&pace, now), 0);
    gov__pace_charge(&pace, now, MIB);
    ck_assert_uint_eq(gov__pace_wait_us(&pace, now), 500000);
    gov__pace_charge(&pace, now, MIB); /* one that could not wait */
    ck_assert_uint_eq(gov__pace_wait_us(&pace, now), 1000000);
    /* A long rest saves nothing up. */
    now += 3600000000;
    gov__pace_charge(&pace, now, MIB);
    ck_assert_uint_eq(gov__pace_wait_us(&pace, now), 480000);
}
END_TEST

START_TEST(paces_nothing_without_a_rate)
{
    struct gov__pace pace = {0};

    gov__pace_charge(&pace, 5, UINT64_MAX);
    ck_assert_uint_eq(gov__pace_wait_us(&pace, 0), 0);
}
END_TEST

START_TEST(paces_whatever_it_is_asked_for)
{
    static const uint64_t odd[] = {1,          3,          MIB,
                                   UINT32_MAX, UINT64_MAX, UINT64_MAX / 2};

    for (int i = 0; i < 6 * 6 * 6; i++) {
        struct gov__pace pace = {.rate = odd[i % 6]};
        uint64_t now = odd[i / 36], before;

        gov__pace_charge(&pace, now, odd[i / 6 % 6]);
        before = pace.next_us;
        gov__pace_charge(&pace, now, odd[i / 6 % 6]);
        ck_assert_uint_ge(pace.next_us, before);
        ck_assert_uint_le(gov__pace_wait_us(&pace, now), pace.next_us);
    }
}
END_TEST

/* Parts of 4 MiB, asked for whenever one may be: over a minute, the rate. */
START_TEST(keeps_its_rate)
{
    static const uint64_t rates[] = {MIB, 10 * MIB, 333 * MIB, 5000 * MIB};
    struct gov__pace pace = {.rate = rates[_i]};
    uint64_t now = 77, begin = now, bytes = 0;

    while (now - begin < 60000000) {
        gov__pace_charge(&pace, now, 4 * MIB);
        bytes += 4 * MIB;
        if (gov__pace_wait_us(&pace, now) > 0)
            now += gov__pace_wait_us(&pace, now) + random_below(3000);
    }
    /* One part may be begun at the end, and what the slack gives. */
    ck_assert_uint_le(bytes, 60 * rates[_i] + rates[_i] / 50 + 8 * MIB);
    ck_assert_uint_ge(bytes, 60 * rates[_i] / 100 * 99);
}
END_TEST

/* ---- edge pages ----------------------------------------------------------- */

/* Units of the given bytes one behind the other from byte 100 of page 0; one
 * letter a unit: s(tays), d(rop). The pages that dropping unit `drop` frees. */
static const struct {
    const char *name;
    uint64_t bytes[5];
    const char *fate;
    uint32_t drop;
    uint64_t begin, end; /* pages */
} edges[] = {
    {"alone", {3 * PAGE}, "d", 0, 0, 4},
    {"hot before", {PAGE, 3 * PAGE}, "sd", 1, 2, 5},
    {"cold before", {PAGE, 3 * PAGE}, "dd", 1, 1, 5},
    {"hot behind", {3 * PAGE, PAGE}, "ds", 0, 0, 3},
    {"cold behind", {3 * PAGE, PAGE}, "dd", 0, 0, 4},
    {"hot on both sides", {PAGE, PAGE, PAGE}, "sds", 1, 0, 0},
    {"a page of its own", {PAGE, 2 * PAGE, PAGE}, "sds", 1, 2, 3},
    {"exact edges", {PAGE - 100, PAGE, PAGE}, "sds", 1, 1, 2},
    {"small hot one at the edge", {PAGE, 10, 2 * PAGE}, "dsd", 0, 0, 1},
    {"and on its other side", {PAGE, 10, 2 * PAGE}, "dsd", 2, 2, 4},
    {"hot one behind a small cold one", {PAGE, 10, PAGE}, "dds", 0, 0, 1},
    {"many small, one stays", {10, 10, 10, 10, 10}, "dddds", 0, 0, 0},
    {"many small, none stays", {10, 10, 10, 10, 10}, "ddddd", 2, 0, 1},
    {"no bytes", {10, 0, 10}, "sds", 1, 0, 0},
    {"no bytes, all cold", {10, 0, 10}, "ddd", 1, 0, 0},
    {"a neighbour without bytes", {PAGE, 0, PAGE}, "dsd", 0, 0, 2},
};

START_TEST(keeps_shared_pages)
{
    uint64_t at = 100, begin, end;

    empty(1);
    for (size_t i = 0; i < strlen(edges[_i].fate); i++) {
        unit_at(GOV__USE_LAYER, at, edges[_i].bytes[i]);
        at += edges[_i].bytes[i];
    }
    make();
    for (uint32_t i = 0; i < res.part_count; i++)
        parts[i].hot = edges[_i].fate[i] == 's';
    gov__residency_drop_pages(&res, edges[_i].drop, &begin, &end);
    ck_assert_msg(end - begin == (edges[_i].end - edges[_i].begin) * PAGE &&
                      (begin == end || begin == edges[_i].begin * PAGE),
                  "%s: pages %" PRIu64 " to %" PRIu64, edges[_i].name,
                  begin / PAGE, end / PAGE);
}
END_TEST

/* Against the definition: a page may go if every part that has a byte in it may.
 * Whole runs of pages, since a part's pages adjoin. */
static void check_drops(void)
{
    const uint64_t step = res.page;

    in_force(total_bytes() * random_below(64) / 64);
    gov__residency_aim(&res, random_below(res.unit_count));
    for (uint32_t i = 0; i < res.part_count; i++) {
        uint64_t first, last, begin, end;

        if (parts[i].hot || units[parts[i].unit].wanted)
            continue;
        gov__residency_pages(&res, i, &first, &last);
        gov__residency_drop_pages(&res, i, &begin, &end);
        /* Only the pages at the two edges can be shared. */
        for (uint64_t page = first; page < last;
             page +=
             page + step < last && page > first ? last - step - page : step) {
            bool may = true;

            for (uint32_t j = 0; j < res.part_count; j++)
                if (parts[j].file == parts[i].file &&
                    parts[j].begin < page + step && parts[j].end > page &&
                    parts[j].begin < parts[j].end && j != i &&
                    (parts[j].hot || units[parts[j].unit].wanted ||
                     units[parts[j].unit].use == GOV__USE_ROWS))
                    may = false;
            ck_assert_msg((page >= begin && page < end) == may,
                          "part %u, page %" PRIu64, i, page / step);
        }
    }
}

START_TEST(drops_exactly_what_it_may)
{
    random_model((uint32_t)_i);
    check_drops();
    random_forms((uint32_t)_i);
    check_drops();
}
END_TEST

START_TEST(rows_keep_their_edge)
{
    uint64_t begin, end;

    empty(1);
    unit_at(GOV__USE_ROWS, 0, 100);
    unit_at(GOV__USE_LAYER, 100, 2 * PAGE);
    make();
    in_force(0);
    gov__residency_drop_pages(&res, 1, &begin, &end);
    ck_assert_uint_eq(begin, PAGE);
    ck_assert_uint_eq(end, 3 * PAGE);
    gov__residency_drop_pages(&res, 0, &begin, &end);
    ck_assert_uint_eq(begin, 0);
    ck_assert_uint_eq(end, PAGE);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

Suite *suite(void)
{
    Suite *s = suite_create("residency");
    TCase *tc = tcase_create("parts");

    tcase_add_loop_test(tc, parts_tile_their_units, 0, 100);
    tcase_add_test(tc, part_is_never_cut_below_a_page);
    tcase_add_loop_test(tc, cuts_parts, 0, COUNT(cuts));
    tcase_add_loop_test(tc, parts_are_cut_at_grains, 0, 6);
    tcase_add_loop_test(tc, parts_are_in_the_order_of_the_files, 0, 1);
    suite_add_tcase(s, tc);

    tc = tcase_create("hot and cold");
    tcase_add_loop_test(tc, decides, 0, COUNT(choices));
    tcase_add_loop_test(tc, stays_within_the_limit, 0, 100);
    tcase_add_loop_test(tc, others_do_not_count, 0, 3);
    tcase_add_loop_test(tc, edges_stay_hot_before_whole_parts, 0, 3);
    tcase_add_loop_test(tc, spreads_evenly, 0, 40);
    tcase_add_loop_test(tc, decides_the_same_again, 0, 100);
    tcase_add_loop_test(tc, holds_a_front, 0, 100);
    tcase_add_loop_test(tc, holds_what_all_tokens_use, 0, 100);
    suite_add_tcase(s, tc);

    tc = tcase_create("window");
    tcase_add_loop_test(tc, window_is_a_ring_and_bounded, 0, 100);
    tcase_add_test(tc, a_layer_in_pieces_is_wanted_whole);
    tcase_add_test(tc, the_window_of_whole_layers);
    tcase_add_test(tc, what_came_late_is_dropped_too);
    tcase_add_test(tc, what_was_jumped_over_is_dropped_too);
    tcase_add_test(tc, what_left_the_window_is_dropped_too);
    tcase_add_test(tc, rows_are_never_wanted);
    suite_add_tcase(s, tc);

    tc = tcase_create("next");
    tcase_add_loop_test(tc, steps_come_to_rest, 0, 100);
    tcase_add_loop_test(tc, knows_what_is_missing, 0, 3);
    tcase_add_test(tc, wants_what_is_missing_ahead);
    tcase_add_loop_test(tc, what_is_out_is_left_alone, 0, COUNT(warmings));
    tcase_add_test(tc, nearest_missing_comes_first);
    tcase_add_loop_test(tc, warms_in_order, 0, COUNT(warmings));
    tcase_add_loop_test(tc, warms_what_is_wanted, 0, COUNT(warmings));
    tcase_add_loop_test(tc, what_was_started_is_ended, 0, COUNT(warmings));
    tcase_add_test(tc, the_engine_brings_in_what_nobody_reads);
    suite_add_tcase(s, tc);

    tc = tcase_create("pace");
    tcase_add_test(tc, paces_reads);
    tcase_add_test(tc, paces_nothing_without_a_rate);
    tcase_add_test(tc, paces_whatever_it_is_asked_for);
    tcase_add_loop_test(tc, keeps_its_rate, 0, 4);
    suite_add_tcase(s, tc);

    tc = tcase_create("edges");
    tcase_add_loop_test(tc, keeps_shared_pages, 0, COUNT(edges));
    tcase_add_loop_test(tc, drops_exactly_what_it_may, 0, 100);
    tcase_add_test(tc, rows_keep_their_edge);
    suite_add_tcase(s, tc);
    return s;
}
