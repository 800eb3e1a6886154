/* SPDX-License-Identifier: MIT */
/* The views of govtop, by scripted keys: what lies over the table, what fills the
 * screen, what is hidden, and what a process is told. */
#include <inttypes.h>

#include "tests/unit/govtop_fixture.h"
#include "tests/unit/govtop_screens.h"
#include "tools/govtop/top_csv.h"

/* ---- screens ---------------------------------------------------------------- */

START_TEST(screens_are_as_saved)
{
    const struct saved_screen *screen = &screens[_i];
    char key[16];

    if (screen->utf8 && !has_utf8("screens_are_as_saved"))
        return;
    sample_all(screen->turns);
    draw(screen->width, screen->height, screen->utf8);
    for (const char *keys = screen->keys; (keys = next_key(keys, key)) != NULL;)
        press_one(screen, key);
    expect(screen->name);
}
END_TEST

START_TEST(a_menu_shows_what_is_chosen)
{
    int chosen = 0;

    if (!has_utf8("a_menu_shows_what_is_chosen"))
        return;
    sample_all(9);
    ck_assert(press("{F9}"));
    draw(80, 24, true);
    /* The first item, and nothing else in the box: not the row of the table that is
     * selected below it. */
    for (int row = 0; row < 24; row++)
        for (int column = 3; column < 45; column++) {
            const struct top_cell *line = &grid.cell[(ptrdiff_t)row * 80];

            if (line[2].character != 0x2502) /* an edge of the box */
                continue;
            ck_assert_int_eq(line[column].selected, line[3].character == '>');
            chosen += line[column].selected;
        }
    ck_assert_int_eq(chosen, 42);
}
END_TEST

START_TEST(a_menu_tells_of_one_that_ended)
{
    sample_all(9);
    ck_assert(press("{Down}{F9}"));
    update(1, 0); /* 31 is left, and selected from now on */
    draw(80, 24, false);
    memset(have, 0, sizeof(have));
    render(have);
    ck_assert_msg(strstr(have, " tell 4242 (ended) ") != NULL, "%s", have);
}
END_TEST

START_TEST(machine_and_gpu_have_lines)
{
    if (!has_utf8("machine_and_gpu_have_lines"))
        return;
    sample_all(9);
    snprintf(model.gpu.name, sizeof(model.gpu.name), "Some Processor 9000");
    model.gpu.working_set_bytes = 22528 * MIB;
    machine.have |= GOV_MACHINE_HAVE_LIMIT | GOV_MACHINE_HAVE_SWAP;
    update(3, 0);
    draw(100, 36, true);
    expect("head-all");
}
END_TEST

/* Where something else than the budget leaves less, that is said; an older writer does
 * not tell. */
static const struct {
    const char *source, *room, *detail;
} sources[] = {
    {"budget", "144M of headroom: its budget, 6.00G, less its footprint",
     "144M headroom\n"},
    {"container limit", "144M of headroom: the container limit leaves no more",
     "144M headroom (container limit)\n"},
    {"system memory", "144M of headroom: the system memory leaves no more",
     "144M headroom (system memory)\n"},
    {"", "144M of headroom\n", "144M headroom\n"},
};

START_TEST(headroom_has_its_source)
{
    if (!has_utf8("headroom_has_its_source"))
        return;
    fill_turn(1);
    TEXT(&pages[0], HEADROOM_SOURCE, sources[_i].source);
    update(3, 0);
    draw(120, 36, true);
    memset(have, 0, sizeof(have));
    render(have);
    ck_assert_msg(strstr(have, sources[_i].room) != NULL, "%s", have);
    ck_assert_msg(strstr(have, sources[_i].detail) != NULL, "%s", have);
}
END_TEST

/* Also where the difference is less than a permille of the budget. */
START_TEST(the_worst_has_the_least_headroom)
{
    fill_turn(1);
    for (int i = 0; i < 2; i++) {
        set(&pages[i], GOV_PAGE_LEVEL, GOV_LEVEL_NORMAL);
        set(&pages[i], GOV_PAGE_BUDGET, 20480 * MIB);
        set(&pages[i], GOV_PAGE_HEADROOM, (uint64_t)(20470 - i) * MIB);
    }
    update(2, 0);
    draw(80, 24, false);
    memset(have, 0, sizeof(have));
    render(have);
    ck_assert_msg(strstr(have, " worst  normal 4242 gov run ") != NULL, "%s",
                  have);
}
END_TEST

/* ---- pages that cannot be read ---------------------------------------------- */

START_TEST(a_page_of_another_version_is_a_row)
{
    if (!has_utf8("a_page_of_another_version_is_a_row"))
        return;
    memset(pages, 0, sizeof(pages));
    pages[0].pid = 77;
    pages[0].version = 9;
    pages[0].start_ticks = 5;
    fill_streaming(&pages[1], 3);
    fill_machine(3);
    update(2, 0);
    ck_assert(top_is_foreign(&model.process[0]));
    ck_assert(!top_is_foreign(&model.process[1]));
    ck_assert(press("{Down}"));
    draw(80, 24, true);
    expect("other-version");
}
END_TEST

/* ---- hidden rows ------------------------------------------------------------ */

START_TEST(a_search_goes_on)
{
    sample_all(9);
    ck_assert(press("/3"));
    ck_assert_int_eq(state.selected, 31);
    ck_assert(press("{F3}"));
    ck_assert_int_eq(state.selected, 4242 == state.selected ? 4242 : 1234567);
    ck_assert(press("{Esc}"));
    ck_assert_int_eq(state.over, TOP_NOTHING);
    ck_assert_str_eq(state.filter, "");
}
END_TEST

START_TEST(a_filter_is_what_is_typed)
{
    size_t order[TOP_ROWS];

    sample_all(9);
    ck_assert(press("\\MIXTRAL"));
    ck_assert_uint_eq(top_table_order(&model, &state, order), 1);
    ck_assert_int_eq(top_table_selected(&model, &state)->page.pid, 31);
    ck_assert(press("{Back}{Back}{Back}{Back}{Back}{Back}{Back}{Back}"));
    ck_assert_uint_eq(top_table_order(&model, &state, order), 3);
    ck_assert(press("4242{Enter}"));
    ck_assert_uint_eq(top_table_order(&model, &state, order), 1);
    ck_assert(press("{Esc}"));
    ck_assert_uint_eq(top_table_order(&model, &state, order), 3);
    ck_assert(press("u"));
    ck_assert_uint_eq(top_table_order(&model, &state, order), 5);
    ck_assert(press("\\x{Esc}u"));
    ck_assert_uint_eq(top_table_order(&model, &state, order), 3);
}
END_TEST

START_TEST(a_character_is_taken_back_as_a_whole)
{
    sample_all(9);
    ck_assert(press("\\a"));
    ck_assert(top_view_key(&state, &model, 0x7F16));
    ck_assert_str_eq(state.filter, "a\xE7\xBC\x96");
    ck_assert(press("{Back}"));
    ck_assert_str_eq(state.filter, "a");
    ck_assert(press("{Back}{Back}{Back}"));
    ck_assert_str_eq(state.filter, "");
    for (int i = 0; i < 200; i++)
        ck_assert(press("x"));
    ck_assert_uint_eq(strlen(state.filter), TOP_TYPED_BYTES - 1);
}
END_TEST

START_TEST(columns_of_letters_are_sorted_by)
{
    sample_all(9);
    ck_assert(press("P"));
    ck_assert_int_eq(state.sort, TOP_TOKENS);
    ck_assert(press("M"));
    ck_assert_int_eq(state.sort, TOP_FOOTPRINT);
    ck_assert(press("T"));
    ck_assert_int_eq(state.sort, TOP_WAIT);
    ck_assert(press("{F6}{Home}{Enter}"));
    ck_assert_int_eq(state.sort, TOP_PID);
    ck_assert(!state.reverse);
    ck_assert(press("{F6}{Enter}")); /* the same once more */
    ck_assert(state.reverse);
    ck_assert(press("{F6}{Up}{Enter}")); /* from the first to the last */
    ck_assert_int_eq(state.sort, TOP_RELIEF);
    ck_assert(!state.reverse);
    ck_assert(press("{F6}{Down}{Esc}"));
    ck_assert_int_eq(state.sort, TOP_RELIEF);
}
END_TEST

/* ---- orders ----------------------------------------------------------------- */

static const struct {
    const char *keys;
    struct top_order want;
} orders[] = {
    {"{Down}{F9}{Enter}", {TOP_SIMULATE, 4242, GOV_LEVEL_WARN, 10000, 0}},
    {"{Down}{F9}c", {TOP_SIMULATE, 4242, GOV_LEVEL_CRITICAL, 10000, 0}},
    {"{F9}{Down}{Down}{Enter}", {.kind = TOP_SIMULATE_END, .pid = 31}},
    {"{Down}{F9}r{Enter}", {.kind = TOP_GIVE, .pid = 4242}},
    {"{Down}{F9}r0{Enter}", {.kind = TOP_GIVE, .pid = 4242}},
    {"{Down}{F9}{Up}{Enter}512M{Enter}",
     {.kind = TOP_GIVE, .pid = 4242, .bytes = 512 * MIB}},
    {"{Down}{F9}r1x{Back}G{Enter}",
     {.kind = TOP_GIVE, .pid = 4242, .bytes = 1024 * MIB}},
    {"{Down}{F9}rmuch{Enter}", {.kind = TOP_NO_ORDER}},
    {"{Down}{F9}r5M{Esc}", {.kind = TOP_NO_ORDER}},
    {"{F9}{Esc}", {.kind = TOP_NO_ORDER}},
    {"u\\qwen{Enter}{F9}w", {.kind = TOP_NO_ORDER}},
    {"\\nobody{Enter}{F9}w", {.kind = TOP_NO_ORDER}},
    {"{Down}{F5}{F9}e", {.kind = TOP_SIMULATE_END, .pid = 4242}},
};

START_TEST(commands_are_orders)
{
    const struct top_order *want = &orders[_i].want;

    sample_all(9);
    ck_assert(press(orders[_i].keys));
    ck_assert_int_eq(state.order.kind, want->kind);
    if (want->kind == TOP_NO_ORDER)
        return;
    ck_assert_int_eq(state.order.pid, want->pid);
    ck_assert_uint_eq(state.order.bytes, want->bytes);
    if (want->kind == TOP_SIMULATE) {
        ck_assert_int_eq(state.order.level, want->level);
        ck_assert_uint_eq(state.order.for_ms, want->for_ms);
    }
}
END_TEST

START_TEST(a_process_that_cannot_be_told_is_said)
{
    sample_all(9);
    ck_assert(press("u\\qwen{Enter}{F9}"));
    ck_assert_str_eq(
        state.status,
        "900 is not governed: only governed processes take commands");
    ck_assert(state.status_bad);
    ck_assert(press("{Down}"));
    ck_assert_str_eq(state.status, "");
    ck_assert(press("\\nobody{Enter}{F9}"));
    ck_assert_str_eq(state.status, "there is no process to tell anything");
}
END_TEST

/* ---- samples of others ------------------------------------------------------ */

START_TEST(others_are_rows_between_the_governed)
{
    sample_all(9);
    ck_assert_uint_eq(model.count, 5);
    ck_assert_uint_eq(model.governed, 3);
    ck_assert_int_eq(model.process[1].page.pid, 900);
    ck_assert(!model.process[1].governed);
    ck_assert_uint_eq(model.process[1].rates.major_faults, 3);
    ck_assert_int_eq(model.process[3].page.pid, 5000);
    ck_assert_uint_eq(top_counter(&model.process[3].page, GOV_PAGE_FOOTPRINT),
                      TOP_UNKNOWN);
    /* One that became governed since it was looked up is there once. */
    others[0].pid = 4242;
    update(3, 1);
    ck_assert_uint_eq(model.count, 3);
    ck_assert_uint_eq(model.governed, 3);
    ck_assert_uint_eq(model.process[1].footprint.count, 10);
}
END_TEST

static const struct {
    const char *name;
    uint64_t wait[2], pass[2], want; /* pass: weights, whole */
} waits[] = {
    {"of time", {100000, 350000}, {0, 0}, 250},
    {"nothing", {100000, 100000}, {0, 0}, 0},
    {"more than time", {0, 5000000}, {0, 0}, 1000},
    {"ran backwards", {9, 1}, {0, 0}, TOP_UNKNOWN},
    {"of a pass", {TOP_UNKNOWN, TOP_UNKNOWN}, {300, 1000}, 300},
    {"not even that", {TOP_UNKNOWN, TOP_UNKNOWN}, {0, 0}, TOP_UNKNOWN},
};

START_TEST(waiting_is_a_share)
{
    for (int i = 0; i < 2; i++) {
        memset(pages, 0, sizeof(pages));
        pages[0].pid = 1;
        set(&pages[0], GOV_PAGE_UPDATED_US, 1000000 * (uint64_t)(i + 1));
        if (waits[_i].wait[i] != TOP_UNKNOWN)
            set(&pages[0], GOV_PAGE_WEIGHTS_WAIT_US, waits[_i].wait[i]);
        if (waits[_i].pass[1] > 0) {
            set(&pages[0], GOV_PAGE_PASS_WEIGHTS_US, waits[_i].pass[0]);
            set(&pages[0], GOV_PAGE_PASS_US, waits[_i].pass[1]);
        }
        fill_machine((uint64_t)i);
        update(1, 0);
    }
    ck_assert_msg(model.process[0].rates.weights == waits[_i].want,
                  "%s: got %" PRIu64, waits[_i].name,
                  model.process[0].rates.weights);
}
END_TEST

/* ---- CSV -------------------------------------------------------------------- */

static size_t cells(const char *line, size_t length)
{
    size_t n = 1;
    bool quoted = false;

    for (size_t i = 0; i < length; i++) {
        quoted = line[i] == '"' ? !quoted : quoted;
        n += line[i] == ',' && !quoted;
    }
    return n;
}

START_TEST(csv_has_a_row_a_process)
{
    static char text[SCREEN_BYTES];
    FILE *out = fmemopen(text, sizeof(text), "w");
    char *line = text, *end;
    size_t rows = 0, wanted = 0;

    sample_all(9);
    TEXT(&model.process[0].page, MODEL, "a \"b\", c");
    TEXT(&model.process[0].page, APP, "=1+1");
    ck_assert(top_csv_header(out));
    ck_assert(top_csv_write(&model, false, 1700000000123, out));
    ck_assert(top_csv_write(&model, true, 1700000000623, out));
    fclose(out);
    ck_assert_ptr_nonnull(
        strstr(text, "time_ms,pid,governed,page_version,app"));
    ck_assert_ptr_nonnull(strstr(text, "\r\n1700000000123,31,1,0,"));
    ck_assert_ptr_nonnull(strstr(text, ",\"a \"\"b\"\", c\","));
    /* No spreadsheet computes what an app calls itself. */
    ck_assert_ptr_nonnull(strstr(text, ",\"'=1+1\","));
    ck_assert_ptr_nonnull(
        strstr(text, "\r\n1700000000623,900,0,0,llama-server,"));
    ck_assert_ptr_null(strstr(text, "1700000000123,900"));
    for (; (end = strstr(line, "\r\n")) != NULL; line = end + 2, rows++) {
        size_t n = cells(line, (size_t)(end - line));

        wanted = rows == 0 ? n : wanted;
        ck_assert_uint_eq(n, wanted);
    }
    ck_assert_uint_eq(rows, 1 + 3 + 5);
    ck_assert_uint_eq(strlen(line), 0);
}
END_TEST

START_TEST(csv_that_cannot_be_written_is_told)
{
    FILE *out = fopen("/dev/full", "w");

    if (out == NULL) {
        skip_test("csv_that_cannot_be_written_is_told",
                  "there is no /dev/full");
        return;
    }
    sample_all(9);
    ck_assert(!top_csv_header(out));
    ck_assert(!top_csv_write(&model, true, 0, out));
    fclose(out);
}
END_TEST

/* ---- how long ago ----------------------------------------------------------- */

static const struct {
    uint64_t us;
    const char *want;
} ages[] = {
    {0, "now"},
    {999999, "now"},
    {12000000, "12 s ago"},
    {59999999, "59 s ago"},
    {60000000, "1 min ago"},
    {UINT64_C(3600000000), "1 h ago"},
    {UINT64_C(86400000000), "1 d ago"},
    {UINT64_MAX - 1, "long ago"},
    {TOP_UNKNOWN, "-"},
};

START_TEST(ages_are_short)
{
    char out[TOP_NUMBER];

    ck_assert_str_eq(top_ago(out, ages[_i].us), ages[_i].want);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *suite(void)
{
    Suite *s = suite_create("govtop views");
    TCase *tc = tcase_create("views");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, screens_are_as_saved, 0, SCREENS);
    tcase_add_test(tc, a_menu_shows_what_is_chosen);
    tcase_add_test(tc, a_menu_tells_of_one_that_ended);
    tcase_add_test(tc, machine_and_gpu_have_lines);
    tcase_add_loop_test(tc, headroom_has_its_source, 0, ROWS(sources));
    tcase_add_test(tc, the_worst_has_the_least_headroom);
    tcase_add_test(tc, a_page_of_another_version_is_a_row);
    tcase_add_test(tc, a_search_goes_on);
    tcase_add_test(tc, a_filter_is_what_is_typed);
    tcase_add_test(tc, a_character_is_taken_back_as_a_whole);
    tcase_add_test(tc, columns_of_letters_are_sorted_by);
    tcase_add_loop_test(tc, commands_are_orders, 0, ROWS(orders));
    tcase_add_test(tc, a_process_that_cannot_be_told_is_said);
    tcase_add_test(tc, others_are_rows_between_the_governed);
    tcase_add_loop_test(tc, waiting_is_a_share, 0, ROWS(waits));
    tcase_add_test(tc, csv_has_a_row_a_process);
    tcase_add_test(tc, csv_that_cannot_be_written_is_told);
    tcase_add_loop_test(tc, ages_are_short, 0, ROWS(ages));
    suite_add_tcase(s, tc);
    return s;
}
