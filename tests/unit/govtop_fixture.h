/* SPDX-License-Identifier: MIT */
/* A model of made-up processes, keys by name, and saved screens, for the tests of
 * govtop. With GOVTOP_SCREENS=write the screens are written anew, to be read before
 * they are committed. */
#ifndef GOV_TESTS_GOVTOP_FIXTURE_H
#define GOV_TESTS_GOVTOP_FIXTURE_H

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/run.h"
#include "tests/unit/govtop_pages.h"
#include "tools/govtop/top_parts.h"

#define SCREEN_BYTES 65536

static struct top_model model;
static struct top_state state;
static struct top_grid grid;
/* ---- fixtures -------------------------------------------------------------- */

static inline void update(size_t page_count, size_t other_count)
{
    const struct top_sample taken = {&machine, pages,       page_count,
                                     others,   other_count, machine.now_us};

    top_model_update(&model, &taken);
}

/* `turns` samples of the three processes. */
static inline void sample(uint64_t turns)
{
    for (uint64_t turn = 1; turn <= turns; turn++) {
        fill_turn(turn);
        update(3, 0);
    }
}

/* The same, and of the two that are not governed. */
static inline void sample_all(uint64_t turns)
{
    for (uint64_t turn = 1; turn <= turns; turn++) {
        fill_turn(turn);
        update(3, 2);
    }
    if (turns == 0) {
        fill_machine(1);
        update(0, 0);
    }
}

static inline void set_up(void)
{
    memset(&model, 0, sizeof(model));
    state = (struct top_state){.sort = TOP_FOOTPRINT, .delay_ms = 1000};
    memset(pages, 0, sizeof(pages));
}

static inline void tear_down(void)
{
    top_grid_close(&grid);
}

/* Whether characters beyond ASCII have a width here. */
static inline bool has_utf8(const char *test)
{
    if (setlocale(LC_CTYPE, "C.UTF-8") != NULL ||
        setlocale(LC_CTYPE, "en_US.UTF-8") != NULL)
        return true;
    skip_test(test, "there is no UTF-8 locale");
    return false;
}

static inline void draw(int width, int height, bool utf8)
{
    ck_assert(top_grid_open(&grid, width, height, utf8));
    top_view_draw(&grid, &model, &state);
}

static inline void render(char text[SCREEN_BYTES])
{
    FILE *out = fmemopen(text, SCREEN_BYTES, "w");

    ck_assert_ptr_nonnull(out);
    top_grid_write(&grid, out, false);
    fclose(out);
}

/* A letter for the style of every cell, '>' before the selected row. */
static inline void render_styles(char text[SCREEN_BYTES])
{
    for (int i = 0; i < grid.width * grid.height; i++) {
        const struct top_cell *cell = &grid.cell[i];

        if (i > 0 && i % grid.width == 0)
            *text++ = '\n';
        *text++ = cell->selected && i % grid.width == 0
                      ? '>'
                      : ".!fTHlgwbc"[cell->style];
    }
    *text++ = '\n';
    *text = '\0';
}

static char have[SCREEN_BYTES];

/* Compares what is in `have` with a saved screen, line by line. */
static inline void compare(const char *name)
{
    static char want[SCREEN_BYTES];
    const char *mode = getenv("GOVTOP_SCREENS");
    char path[128], *a = have, *b = want;
    size_t n;
    FILE *file;

    snprintf(path, sizeof(path), "tests/unit/screens/%s.txt", name);
    if (mode != NULL && strcmp(mode, "write") == 0) {
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        fputs(have, file);
        fclose(file);
        return;
    }
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s cannot be read", path);
    n = fread(want, 1, sizeof(want) - 1, file);
    want[n] = '\0';
    fclose(file);
    for (int line = 1; *a != '\0' || *b != '\0'; line++) {
        size_t length_a = strcspn(a, "\n"), length_b = strcspn(b, "\n");

        ck_assert_msg(length_a == length_b && memcmp(a, b, length_a) == 0,
                      "%s, line %d:\n have %.*s\n want %.*s", path, line,
                      (int)length_a, a, (int)length_b, b);
        a += length_a + (a[length_a] == '\n');
        b += length_b + (b[length_b] == '\n');
    }
}

static inline void expect(const char *name)
{
    memset(have, 0, sizeof(have));
    render(have);
    compare(name);
}

/* Takes the next key of `keys`: where the rest is, or NULL when there is none. */
static inline const char *next_key(const char *keys, char key[16])
{
    size_t bytes = *keys == '{' ? strcspn(keys, "}") + 1 : 1;

    if (*keys == '\0')
        return NULL;
    snprintf(key, 16, "%.*s", (int)bytes, keys);
    return keys + bytes;
}

/* Keys as they are typed; named ones in braces: "{Down}{F6}x". */
static inline bool press(const char *keys)
{
    static const struct {
        const char *name;
        uint32_t key;
    } names[] = {
        {"{Up}", TOP_KEY_UP},          {"{Down}", TOP_KEY_DOWN},
        {"{PgUp}", TOP_KEY_PAGE_UP},   {"{PgDn}", TOP_KEY_PAGE_DOWN},
        {"{Home}", TOP_KEY_HOME},      {"{End}", TOP_KEY_END},
        {"{Enter}", TOP_KEY_ENTER},    {"{Esc}", TOP_KEY_ESCAPE},
        {"{Back}", TOP_KEY_BACKSPACE}, {"{None}", TOP_KEY_NONE},
        {"{F10}", TOP_KEY_F + 10},     {"{F1}", TOP_KEY_F + 1},
        {"{F3}", TOP_KEY_F + 3},       {"{F4}", TOP_KEY_F + 4},
        {"{F5}", TOP_KEY_F + 5},       {"{F6}", TOP_KEY_F + 6},
        {"{F7}", TOP_KEY_F + 7},       {"{F9}", TOP_KEY_F + 9},
    };

    while (*keys != '\0') {
        uint32_t key = (unsigned char)*keys;
        size_t taken = 1;

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strncmp(keys, names[i].name, strlen(names[i].name)) == 0) {
                key = names[i].key;
                taken = strlen(names[i].name);
            }
        ck_assert_msg(taken > 1 || *keys != '{', "no such key: %s", keys);
        if (!top_view_key(&state, &model, key))
            return false;
        keys += taken;
    }
    return true;
}

#endif
