/* SPDX-License-Identifier: MIT */
/* govtop without a terminal: samples in, text screens out. The screens are in
 * tests/unit/screens; with GOVTOP_SCREENS=write they are written anew, to be
 * read before they are committed. */
#include <inttypes.h>
#include <jansson.h>

#include "tests/unit/govtop_fixture.h"
#include "tools/govtop/top_json.h"

/* ---- screens --------------------------------------------------------------- */

START_TEST(styles_are_as_saved)
{
    if (!has_utf8("styles_are_as_saved"))
        return;
    sample(9);
    draw(80, 24, true);
    ck_assert(press("{Down}"));
    draw(80, 24, true);
    render_styles(have);
    compare("styles");
}
END_TEST

START_TEST(one_frame_is_complete)
{
    if (!has_utf8("one_frame_is_complete"))
        return;
    sample(2);
    state.plain = true;
    draw(100, top_view_height(&model, &state), true);
    expect("once");
}
END_TEST

START_TEST(limit_and_swap_have_bars)
{
    if (!has_utf8("limit_and_swap_have_bars"))
        return;
    sample(9);
    fill_machine(10);
    machine.have |= GOV_MACHINE_HAVE_LIMIT | GOV_MACHINE_HAVE_SWAP;
    update(3, 0);
    draw(100, 24, true);
    expect("limit");
}
END_TEST

START_TEST(an_unknown_machine_is_not_zero)
{
    if (!has_utf8("an_unknown_machine_is_not_zero"))
        return;
    sample(1);
    memset(&machine, 0, sizeof(machine));
    update(3, 0);
    draw(80, 24, true);
    expect("unknown-machine");
}
END_TEST

START_TEST(a_problem_is_said)
{
    if (!has_utf8("a_problem_is_said"))
        return;
    fill_machine(1);
    update(0, 0);
    snprintf(state.problem, sizeof(state.problem),
             "/run/user/1000/governor can be written by others (mode 770), so "
             "pages in it cannot be trusted; run chmod 700 "
             "/run/user/1000/governor");
    draw(80, 24, true);
    expect("problem");
}
END_TEST

static void many(size_t n)
{
    memset(pages, 0, sizeof(pages));
    for (size_t i = 0; i < n; i++) {
        pages[i].pid = (int32_t)(100 + i);
        set(&pages[i], GOV_PAGE_FOOTPRINT, (1000 - i) * MIB);
    }
    fill_machine(1);
    update(n, 0);
}

START_TEST(the_selection_stays_in_view)
{
    static const struct {
        const char *keys;
        int32_t pid;
    } steps[] = {{"", 0},         {"{Down}", 101},
                 {"{End}", 139},  {"j", 139},
                 {"{Up}", 138},   {"{PgUp}", 128},
                 {"{Home}", 100}, {"k", 100},
                 {"{PgDn}", 110}, {"{PgDn}{PgDn}{PgDn}", 139},
                 {"{None}", 139}};
    char text[SCREEN_BYTES], line[64];

    many(40);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        ck_assert(press(steps[i].keys));
        ck_assert_int_eq(state.selected, steps[i].pid);
        draw(60, 16, false);
        memset(text, 0, sizeof(text));
        render(text);
        if (steps[i].pid == 0)
            continue;
        snprintf(line, sizeof(line), "     %d -", (int)steps[i].pid);
        ck_assert_msg(strstr(text, line) != NULL, "%d is not in\n%s",
                      (int)steps[i].pid, text);
    }
}
END_TEST

START_TEST(the_first_row_follows_one_that_ended)
{
    many(10);
    ck_assert(press("jj"));
    ck_assert_int_eq(state.selected, 102);
    many(2);
    draw(80, 24, false);
    ck_assert(press("j"));
    ck_assert_int_eq(state.selected, 101);
    many(0);
    draw(80, 24, false);
    ck_assert(press("j{End}"));
}
END_TEST

START_TEST(more_processes_than_room_are_left_out)
{
    many(TOP_PROCESSES + 2);
    ck_assert_uint_eq(model.count, TOP_PROCESSES);
    ck_assert_int_eq(model.process[TOP_PROCESSES - 1].page.pid,
                     100 + TOP_PROCESSES - 1);
}
END_TEST

START_TEST(keys_end_and_change)
{
    many(1);
    ck_assert(!press("q"));
    ck_assert(!press("{F10}"));
    ck_assert(press("?"));
    ck_assert_int_eq(state.over, TOP_HELP);
    ck_assert(press("{None}"));
    ck_assert_int_eq(state.over, TOP_HELP);
    ck_assert(press("q")); /* closes the help */
    ck_assert_int_eq(state.over, TOP_NOTHING);
    ck_assert(press("{Esc}{Esc}"));
    ck_assert(press("---------"));
    ck_assert_uint_eq(state.delay_ms, 100);
    ck_assert(press("+"));
    ck_assert_uint_eq(state.delay_ms, 200);
    ck_assert(press("++++++++++"));
    ck_assert_uint_eq(state.delay_ms, 60000);
    ck_assert(press("-"));
    ck_assert_uint_eq(state.delay_ms, 10000);
    state.delay_ms = 700; /* from --delay */
    ck_assert(press("-"));
    ck_assert_uint_eq(state.delay_ms, 500);
}
END_TEST

/* ---- anything at any size -------------------------------------------------- */

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void randomise(struct gov_page *page, int32_t pid)
{
    for (int i = 0; i < GOV_PAGE_ACTIONS; i++) {
        struct gov_page_action *action = &page->action[i];

        action->name[0] = (char)next_random();
        action->from_level = (uint32_t)next_random();
        action->flags = (uint32_t)next_random();
        action->runs = (uint32_t)next_random();
        action->rest_ms = (uint32_t)next_random();
        action->claimed_bytes = next_random();
        action->yield_bytes = next_random();
    }
    for (int i = 0; i < GOV_PAGE_EVENTS; i++) {
        page->event[i].at_us = next_random() >> (next_random() % 64);
        page->event[i].kind = (uint32_t)(next_random() % 5);
        page->event[i].level = (uint32_t)next_random();
        page->event[i].yield_bytes = next_random();
        page->event[i].text[0] = (char)next_random();
    }
    page->version = (uint32_t)next_random();
    page->pid = pid;
    page->have = next_random();
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        page->counter[i] = next_random() >> (next_random() % 64);
    for (int i = 0; i < GOV_PAGE_TEXTS; i++) {
        char *text = (char *)gov_page_text_get(page, (gov_page_text)i);

        for (size_t n = next_random() % 16; n > 0; n--)
            *text++ = (char)next_random();
        *text = '\0';
    }
    if (next_random() % 2 == 0)
        for (size_t n = 0, units = next_random() % 511; n < units; n++)
            page->text_UNITS[n] = "Hs-x"[next_random() % 4];
}

/* Whatever lies over the table takes them, or the table does. */
static const char *const wild[] = {
    "{Down}",    "iu{Up}",   "{F7}{End}", "{F5}{End}{PgUp}",    "/x{F3}",
    "\\a{Back}", "{F6}{Up}", "{F9}{Up}",  "{Esc}{F9}r7{Enter}", "?{PgDn}"};

#define WILD (sizeof(wild) / sizeof(wild[0]))

START_TEST(nothing_is_drawn_outside)
{
    if (!has_utf8("nothing_is_drawn_outside"))
        return;
    seed = UINT64_C(88172645463325252) + (uint64_t)_i;
    for (int turn = 0; turn < 60; turn++) {
        size_t count = next_random() % 6;
        int width = 1 + (int)(next_random() % 210);
        int height = 1 + (int)(next_random() % 60);

        memset(pages, 0, sizeof(pages));
        for (size_t i = 0; i < count; i++)
            randomise(&pages[i], (int32_t)(i + 1));
        machine.have = (uint32_t)next_random();
        machine.now_us = next_random() >> 8;
        machine.ram_bytes = next_random() >> (next_random() % 64);
        machine.available_bytes = next_random() >> (next_random() % 64);
        machine.limit_used_bytes = next_random();
        machine.limit_bytes = next_random() >> (next_random() % 64);
        machine.stall_some_us = next_random() >> (next_random() % 64);
        update(count, 0);
        state.sort = (enum top_column)(next_random() % TOP_COLUMNS);
        state.over = (enum top_over)(next_random() % (TOP_RELIEVE + 1));
        state.screen = (enum top_screen)(next_random() % (TOP_LOG + 1));
        state.others = next_random() % 2 == 0;
        state.plain = next_random() % 4 == 0;
        ck_assert(press(wild[next_random() % WILD]));
        draw(width, height, next_random() % 2 == 0);
        for (int i = 0; i < width * height; i++) {
            uint32_t c = grid.cell[i].character;

            ck_assert(c == 0 || (c >= 0x20 && c != 0x7F && c <= 0x10FFFF));
            ck_assert(grid.utf8 || (c >= 0x20 && c < 0x7F));
            ck_assert_int_lt(grid.cell[i].style, TOP_STYLES);
        }
    }
}
END_TEST

START_TEST(columns_fit_every_width)
{
    for (int width = TOP_LEAST_WIDTH; width <= 300; width++) {
        int widths[TOP_COLUMNS],
            gap = top_columns_fit(width, width % 2 == 0, widths), sum = 0;

        for (int c = 0; c < TOP_COLUMNS; c++)
            if (widths[c] > 0)
                sum += widths[c] + gap;
        ck_assert_int_le(1 + sum - gap, width - 1);
        ck_assert_int_gt(widths[TOP_PID], 0);
        ck_assert_int_gt(widths[TOP_APP], 0);
        ck_assert_int_gt(widths[TOP_LEVEL], 0);
        ck_assert_int_gt(widths[TOP_FOOTPRINT], 0);
        ck_assert_int_gt(widths[TOP_HEADROOM], 0);
    }
}
END_TEST

START_TEST(every_order_is_an_order)
{
    enum top_column c = (enum top_column)_i;

    seed = 99;
    memset(pages, 0, sizeof(pages));
    for (size_t i = 0; i < 20; i++)
        randomise(&pages[i], (int32_t)(i + 1));
    fill_machine(1);
    update(20, 0);
    for (size_t turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < 20; i++)
            for (size_t j = 0; j < 20; j++) {
                int order = top_column_compare(c, turn == 1, &model.process[i],
                                               &model.process[j]);
                int back = top_column_compare(c, turn == 1, &model.process[j],
                                              &model.process[i]);

                if (i != j)
                    ck_assert((order < 0) != (back < 0));
            }
}
END_TEST

START_TEST(the_unknown_comes_last)
{
    enum top_column c = (enum top_column)_i;

    sample(2); /* the third has told next to nothing */
    if (c == TOP_PID || c == TOP_FOOTPRINT || c == TOP_FOOTPRINT_LINE)
        return;
    for (int turn = 0; turn < 2; turn++) {
        ck_assert_int_lt(top_column_compare(c, turn == 1, &model.process[1],
                                            &model.process[2]),
                         0);
        ck_assert_int_gt(top_column_compare(c, turn == 1, &model.process[2],
                                            &model.process[1]),
                         0);
    }
}
END_TEST

/* ---- samples --------------------------------------------------------------- */

static const struct {
    const char *name;
    uint64_t updated[2], read[2];
    uint64_t want;
} rates[] = {
    {"a second", {1000000, 2000000}, {100, 600}, 500},
    {"a quarter", {1000000, 1250000}, {100, 600}, 2000},
    {"nothing read", {1000000, 2000000}, {600, 600}, 0},
    {"no update", {1000000, 1000000}, {100, 100}, TOP_UNKNOWN},
    {"too short to tell", {1000000, 1010000}, {100, 600}, TOP_UNKNOWN},
    {"ran backwards", {1000000, 2000000}, {600, 100}, TOP_UNKNOWN},
    {"time ran backwards", {2000000, 1000000}, {100, 600}, TOP_UNKNOWN},
    {"large", {1000000, 2000000}, {0, UINT64_MAX - 1}, 18446744073709000000U},
    {"absent", {1000000, 2000000}, {TOP_UNKNOWN, 600}, TOP_UNKNOWN},
};

START_TEST(rates_are_changes_a_second)
{
    for (int i = 0; i < 2; i++) {
        memset(pages, 0, sizeof(pages));
        pages[0].pid = 1;
        set(&pages[0], GOV_PAGE_UPDATED_US, rates[_i].updated[i]);
        if (rates[_i].read[i] != TOP_UNKNOWN || i == 1)
            set(&pages[0], GOV_PAGE_READ_BYTES, rates[_i].read[i]);
        fill_machine((uint64_t)i);
        update(1, 0);
    }
    ck_assert_msg(model.process[0].rates.read_bytes == rates[_i].want,
                  "%s: got %" PRIu64, rates[_i].name,
                  model.process[0].rates.read_bytes);
}
END_TEST

START_TEST(a_reused_pid_starts_anew)
{
    sample(5);
    ck_assert_uint_eq(model.process[1].footprint.count, 5);
    pages[1].start_ticks++;
    set(&pages[1], GOV_PAGE_UPDATED_US, 20000000);
    update(3, 0);
    ck_assert_uint_eq(model.process[1].footprint.count, 1);
    ck_assert_uint_eq(model.process[1].rates.read_bytes, TOP_UNKNOWN);
    ck_assert_uint_eq(model.process[0].footprint.count, 6);
}
END_TEST

START_TEST(a_process_that_comes_between_keeps_the_others)
{
    sample(3);
    pages[3] = pages[2];
    pages[2] = pages[1];
    memset(&pages[1], 0, sizeof(pages[1]));
    pages[1].pid = 32;
    update(4, 0);
    ck_assert_uint_eq(model.process[0].footprint.count, 4);
    ck_assert_uint_eq(model.process[1].footprint.count, 1);
    ck_assert_uint_eq(model.process[2].footprint.count, 4);
    ck_assert_uint_eq(model.process[3].footprint.count, 4);
    pages[0] = pages[2];
    update(1, 0);
    ck_assert_uint_eq(model.count, 1);
    ck_assert_uint_eq(model.process[0].footprint.count, 5);
}
END_TEST

START_TEST(stalls_are_shares_of_time)
{
    fill_machine(1);
    update(0, 0);
    ck_assert_uint_eq(model.stall_some, TOP_UNKNOWN);
    machine.now_us += 500000;
    machine.stall_some_us += 50000;
    machine.stall_full_us += 900000; /* totals of many cores may be more */
    update(0, 0);
    ck_assert_uint_eq(model.stall_some, 100);
    ck_assert_uint_eq(model.stall_full, 1000);
    ck_assert_uint_eq(model.stall_io, 0);
    machine.now_us += 500000;
    machine.stall_some_us = 0;
    machine.have &= ~(uint32_t)GOV_MACHINE_HAVE_IO_STALL;
    update(0, 0);
    ck_assert_uint_eq(model.stall_some, TOP_UNKNOWN);
    ck_assert_uint_eq(model.stall_io, TOP_UNKNOWN);
    update(0, 0); /* no time has passed */
    ck_assert_uint_eq(model.stall_full, TOP_UNKNOWN);
}
END_TEST

START_TEST(a_history_forgets_the_oldest)
{
    for (uint64_t i = 0; i < TOP_HISTORY + 10; i++) {
        many(1);
        set(&pages[0], GOV_PAGE_FOOTPRINT, i);
        update(1, 0);
    }
    ck_assert_uint_eq(model.process[0].footprint.count, TOP_HISTORY);
    ck_assert_uint_eq(top_series_at(&model.process[0].footprint, 0),
                      TOP_HISTORY + 9);
    ck_assert_uint_eq(top_series_at(&model.process[0].footprint, TOP_HISTORY),
                      TOP_UNKNOWN);
    ck_assert_uint_eq(top_series_peak(&model.process[0].footprint, 1),
                      TOP_HISTORY + 9);
}
END_TEST

/* ---- numbers --------------------------------------------------------------- */

static const struct {
    char *(*print)(char *, uint64_t);
    uint64_t n;
    const char *want;
} numbers[] = {
    {top_bytes, 0, "0B"},
    {top_bytes, 999, "999B"},
    {top_bytes, 1000, "0.98K"},
    {top_bytes, 1024, "1.00K"},
    {top_bytes, 10234, "9.99K"},
    {top_bytes, 10236, "10.0K"},
    {top_bytes, 102348, "99.9K"},
    {top_bytes, 102350, "100K"},
    {top_bytes, 1023487, "999K"},
    {top_bytes, 1023488, "0.98M"},
    {top_bytes, 1524713390, "1.42G"},
    {top_bytes, UINT64_C(5) << 50, "5.00P"},
    {top_bytes, UINT64_MAX - 1, ">999P"},
    {top_bytes, TOP_UNKNOWN, "-"},
    {top_count, 0, "0"},
    {top_count, 9999, "9999"},
    {top_count, 10000, "10.0k"},
    {top_count, 12345678, "12.3M"},
    {top_count, TOP_UNKNOWN, "-"},
    {top_milli, 0, "0.00"},
    {top_milli, 350, "0.35"},
    {top_milli, 9994, "9.99"},
    {top_milli, 9995, "10.0"},
    {top_milli, 11234, "11.2"},
    {top_milli, 120400, "120"},
    {top_milli, 1234567, "1234"},
    {top_milli, TOP_UNKNOWN, "-"},
    {top_percent, 0, "0.0%"},
    {top_percent, 32, "3.2%"},
    {top_percent, 5000, "100.0%"},
    {top_percent, TOP_UNKNOWN, "-"},
    {top_duration, 400, "0.40ms"},
    {top_duration, 312000, "312ms"},
    {top_duration, 1420000, "1.42s"},
    {top_duration, 999499999, "999s"},
    {top_duration, 1200000000, "20min"},
    {top_duration, UINT64_MAX - 1, "307Gmin"},
    {top_duration, TOP_UNKNOWN, "-"},
};

START_TEST(numbers_are_short)
{
    char out[TOP_NUMBER];

    ck_assert_str_eq(numbers[_i].print(out, numbers[_i].n), numbers[_i].want);
}
END_TEST

START_TEST(shares_do_not_overflow)
{
    ck_assert_uint_eq(top_permille(1, 2), 500);
    ck_assert_uint_eq(top_permille(3, 2), 1500);
    ck_assert_uint_eq(top_permille(0, 0), TOP_UNKNOWN);
    ck_assert_uint_eq(top_permille(TOP_UNKNOWN, 2), TOP_UNKNOWN);
    ck_assert_uint_eq(top_permille(2, TOP_UNKNOWN), TOP_UNKNOWN);
    ck_assert_uint_eq(top_permille(UINT64_MAX / 2, UINT64_MAX - 1), 499);
}
END_TEST

/* ---- cells ----------------------------------------------------------------- */

static const struct {
    const char *name, *text, *want;
    int end;
    bool utf8;
} cuts[] = {
    {"fits", "abcd", "abcd", 4, true},
    {"cut", "abcde", "abc\xE2\x80\xA6", 4, true},
    {"cut in ASCII", "abcde", "abc~", 4, false},
    {"no room", "abc", "", 0, true},
    {"wide fits", "\xE6\xA8\xA1\xE5\x9E\x8B", "\xE6\xA8\xA1\xE5\x9E\x8B", 4,
     true},
    {"wide cut", "\xE6\xA8\xA1\xE5\x9E\x8B", "\xE2\x80\xA6", 3, true},
    {"a mark without a cell", "e\xCC\x81x", "ex", 4, true},
    {"a mark at the end", "e\xCC\x81", "e", 4, true},
    {"no ASCII", "\xE6\xA8\xA1x", "?x", 4, false},
    {"no UTF-8", "\xFF\xC0x", "??x", 4, true},
    {"control", "a\033b", "a?b", 4, true},
};

START_TEST(texts_are_cut_at_cells)
{
    char text[SCREEN_BYTES] = "";
    size_t length;

    if (!has_utf8("texts_are_cut_at_cells"))
        return;
    ck_assert(top_grid_open(&grid, 10, 1, cuts[_i].utf8));
    top_grid_put(&grid, 0, 0, cuts[_i].end, TOP_PLAIN, cuts[_i].text);
    render(text);
    length = strlen(cuts[_i].want);
    ck_assert_msg(strncmp(text, cuts[_i].want, length) == 0 &&
                      strcmp(text + length, "\n") == 0,
                  "%s: got %s", cuts[_i].name, text);
}
END_TEST

START_TEST(colours_are_escapes_that_end)
{
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    ck_assert(top_grid_open(&grid, 10, 1, false));
    top_grid_put(&grid, 0, 0, 10, TOP_PLAIN, "a");
    top_grid_put(&grid, 0, 1, 10, TOP_BAD, "bc");
    top_grid_write(&grid, out, true);
    fclose(out);
    ck_assert_str_eq(text, "a\033[0;1;31mbc\033[0m\n");
}
END_TEST

/* ---- JSON ------------------------------------------------------------------ */

static json_int_t integer(json_t *object, const char *name)
{
    ck_assert_msg(json_is_integer(json_object_get(object, name)), "no %s",
                  name);
    return json_integer_value(json_object_get(object, name));
}

static void check_lists(json_t *page)
{
    json_t *actions = json_object_get(page, "actions"), *one;
    json_t *events = json_object_get(page, "events");

    ck_assert_uint_eq(json_array_size(actions), 6);
    one = json_array_get(actions, 1);
    ck_assert_str_eq(json_string_value(json_object_get(one, "name")),
                     "weights.cold");
    ck_assert_int_eq(integer(one, "from_level"), GOV_LEVEL_WARN);
    ck_assert_int_eq(integer(one, "runs"), 6);
    ck_assert_int_eq(integer(one, "claimed_bytes"), (json_int_t)(900 * MIB));
    ck_assert_int_eq(integer(one, "yield_bytes"), (json_int_t)(1500 * MIB));
    ck_assert_int_eq(integer(one, "last_yield_bytes"), (json_int_t)(250 * MIB));
    ck_assert(json_is_true(json_object_get(one, "running")));
    ck_assert(json_is_false(json_object_get(one, "retired")));
    ck_assert_int_eq(integer(json_array_get(actions, 3), "rest_ms"), 4200);
    ck_assert_uint_eq(json_array_size(events), 4);
    one = json_array_get(events, 2);
    ck_assert_int_eq(integer(one, "at_us"), 3200000);
    ck_assert_int_eq(integer(one, "yield_bytes"), (json_int_t)(1649 * MIB));
    ck_assert_str_eq(json_string_value(json_object_get(one, "kind")), "relief");
    one = json_array_get(events, 1);
    ck_assert(json_is_null(json_object_get(one, "yield_bytes")));
}

static void check_others(json_t *list)
{
    ck_assert_uint_eq(json_array_size(list), 2);
    ck_assert_int_eq(integer(json_array_get(list, 0), "footprint_bytes"),
                     (json_int_t)(2100 * MIB));
    ck_assert(json_is_null(
        json_object_get(json_array_get(list, 1), "footprint_bytes")));
    ck_assert(json_is_null(json_object_get(json_array_get(list, 1), "model")));
}

START_TEST(json_has_every_name)
{
    static char text[SCREEN_BYTES];
    FILE *out = fmemopen(text, sizeof(text), "w");
    json_t *root, *object, *value;
    json_error_t error;
    const struct top_sample taken = {&machine, pages, 3, others, 2, 0};

    sample(1);
    pages[1].counter[GOV_PAGE_TOKENS] = UINT64_MAX;
    fill_others();
    ck_assert(top_json_write(&taken, true, false, out));
    fclose(out);
    root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s", error.text);
    ck_assert_str_eq(json_string_value(json_object_get(root, "version")),
                     GOV_VERSION);
    object = json_object_get(root, "machine");
    ck_assert_int_eq(json_integer_value(json_object_get(object, "ram_bytes")),
                     (json_int_t)(15974 * MIB));
    ck_assert(json_is_null(json_object_get(object, "swap_bytes")));
    ck_assert(json_is_null(json_object_get(object, "limit_bytes")));
    object = json_object_get(root, "processes");
    ck_assert_uint_eq(json_array_size(object), 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *page = json_array_get(object, i);

        ck_assert_int_eq(json_integer_value(json_object_get(page, "pid")),
                         pages[i].pid);
        for (int c = 0; c < GOV_PAGE_COUNTERS; c++) {
            value = json_object_get(page,
                                    gov_page_counter_name((gov_page_counter)c));
            ck_assert_ptr_nonnull(value);
            if ((pages[i].have >> c & 1) == 0)
                ck_assert(json_is_null(value));
            else
                ck_assert_int_eq(json_integer_value(value),
                                 pages[i].counter[c] > INT64_MAX
                                     ? INT64_MAX
                                     : (json_int_t)pages[i].counter[c]);
        }
        for (int t = 0; t < GOV_PAGE_TEXTS; t++) {
            const char *want = gov_page_text_get(&pages[i], (gov_page_text)t);

            value = json_object_get(page, gov_page_text_name((gov_page_text)t));
            if (want[0] == '\0')
                ck_assert(json_is_null(value));
            else
                ck_assert_str_eq(json_string_value(value), want);
        }
    }
    check_lists(json_array_get(object, 1));
    check_others(json_object_get(root, "ungoverned"));
    json_decref(root);
}
END_TEST

START_TEST(json_that_cannot_be_written_is_told)
{
    const struct top_sample taken = {.machine = &machine};
    FILE *out = fopen("/dev/full", "w");

    if (out == NULL) {
        skip_test("json_that_cannot_be_written_is_told",
                  "there is no /dev/full");
        return;
    }
    fill_machine(1);
    ck_assert(!top_json_write(&taken, false, false, out));
    fclose(out);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *suite(void)
{
    Suite *s = suite_create("govtop");
    TCase *screen = tcase_create("screen"), *parts = tcase_create("parts");

    tcase_add_checked_fixture(screen, set_up, tear_down);
    tcase_add_test(screen, styles_are_as_saved);
    tcase_add_test(screen, one_frame_is_complete);
    tcase_add_test(screen, limit_and_swap_have_bars);
    tcase_add_test(screen, an_unknown_machine_is_not_zero);
    tcase_add_test(screen, a_problem_is_said);
    tcase_add_test(screen, the_selection_stays_in_view);
    tcase_add_test(screen, the_first_row_follows_one_that_ended);
    tcase_add_test(screen, more_processes_than_room_are_left_out);
    tcase_add_test(screen, keys_end_and_change);
    tcase_add_loop_test(screen, nothing_is_drawn_outside, 0, 8);
    suite_add_tcase(s, screen);

    tcase_add_checked_fixture(parts, set_up, tear_down);
    tcase_add_test(parts, columns_fit_every_width);
    tcase_add_loop_test(parts, every_order_is_an_order, 0, TOP_COLUMNS);
    tcase_add_loop_test(parts, the_unknown_comes_last, 0, TOP_COLUMNS);
    tcase_add_loop_test(parts, rates_are_changes_a_second, 0, ROWS(rates));
    tcase_add_test(parts, a_reused_pid_starts_anew);
    tcase_add_test(parts, a_process_that_comes_between_keeps_the_others);
    tcase_add_test(parts, stalls_are_shares_of_time);
    tcase_add_test(parts, a_history_forgets_the_oldest);
    tcase_add_loop_test(parts, numbers_are_short, 0, ROWS(numbers));
    tcase_add_test(parts, shares_do_not_overflow);
    tcase_add_loop_test(parts, texts_are_cut_at_cells, 0, ROWS(cuts));
    tcase_add_test(parts, colours_are_escapes_that_end);
    tcase_add_test(parts, json_has_every_name);
    tcase_add_test(parts, json_that_cannot_be_written_is_told);
    suite_add_tcase(s, parts);
    return s;
}
