/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_grid.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "tools/govtop/top_format.h"

bool top_grid_open(struct top_grid *grid, int width, int height, bool utf8)
{
    size_t cells = (size_t)width * (size_t)height;
    struct top_cell *cell = grid->cell;

    if (cell == NULL || width != grid->width || height != grid->height)
        cell = realloc(cell, (cells > 0 ? cells : 1) * sizeof(*cell));
    if (cell == NULL)
        return false;
    *grid = (struct top_grid){width, height, utf8, cell, 0, height};
    for (size_t i = 0; i < cells; i++)
        cell[i] = (struct top_cell){' ', TOP_PLAIN, false};
    return true;
}

void top_grid_close(struct top_grid *grid)
{
    free(grid->cell);
    memset(grid, 0, sizeof(*grid));
}

static void set(struct top_grid *grid, int row, int column,
                enum top_style style, uint32_t character)
{
    struct top_cell *cell;

    if (row < grid->top || row >= grid->end || column < 0 ||
        column >= grid->width)
        return;
    cell = &grid->cell[(size_t)row * (size_t)grid->width + (size_t)column];
    /* What is left of a wide one that was half overdrawn is a blank. */
    if (cell->character == 0 && character != 0 && column > 0)
        cell[-1].character = ' ';
    if (column + 1 < grid->width && cell[1].character == 0)
        cell[1].character = ' ';
    cell->character = character;
    cell->style = (uint8_t)style;
}

/* The character at *at, which moves behind it. Bytes that are no UTF-8, and
 * control characters, come out as '?'. */
static uint32_t next_character(const char **at)
{
    const unsigned char *byte = (const unsigned char *)*at;
    uint32_t c = byte[0];
    int more = c < 0x80 ? 0 : c < 0xC2 ? -1 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;

    (*at)++;
    if (more < 0 || c > 0xF4)
        return '?';
    if (more > 0)
        c &= 0x3FU >> more;
    for (int i = 1; i <= more; i++) {
        if ((byte[i] & 0xC0) != 0x80)
            return '?';
        c = c << 6 | (byte[i] & 0x3FU);
        (*at)++;
    }
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c > 0x10FFFF ? '?' : c;
}

/* How many cells *c takes. ASCII outputs show '?' for what they lack. */
static int cells_of(const struct top_grid *grid, uint32_t *c)
{
    int width = 1;

    if (*c < 0x80)
        return 1;
    if (grid->utf8)
        width = wcwidth((wchar_t)*c);
    if (!grid->utf8 || width < 0) {
        *c = '?';
        width = 1;
    }
    return width;
}

int top_grid_put(struct top_grid *grid, int row, int column, int end,
                 enum top_style style, const char *text)
{
    int last = -1; /* where the last character was put */

    if (end > grid->width)
        end = grid->width;
    while (*text != '\0') {
        uint32_t c = next_character(&text);
        int width = cells_of(grid, &c);

        if (width == 0)
            continue;
        if (column + width > end) {
            if (last >= 0) {
                set(grid, row, last, style, top_grid_symbol(grid, TOP_CUT));
                if (last + 1 < column) /* it was a wide one */
                    set(grid, row, last + 1, style, ' ');
            }
            break;
        }
        last = column;
        set(grid, row, column, style, c);
        if (width == 2)
            set(grid, row, column + 1, style, 0);
        column += width;
    }
    return column;
}

int top_grid_width(const struct top_grid *grid, const char *text)
{
    int width = 0;

    while (*text != '\0') {
        uint32_t c = next_character(&text);

        width += cells_of(grid, &c);
    }
    return width;
}

void top_grid_put_right(struct top_grid *grid, int row, int column, int end,
                        enum top_style style, const char *text)
{
    int width = top_grid_width(grid, text);

    if (end - width > column)
        column = end - width;
    top_grid_put(grid, row, column, end, style, text);
}

int top_grid_print(struct top_grid *grid, int row, int column,
                   enum top_style style, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return top_grid_put(grid, row, column, grid->width, style, text);
}

void top_grid_fill(struct top_grid *grid, int row, int from, int end,
                   enum top_style style, uint32_t character)
{
    for (int column = from; column < end; column++)
        set(grid, row, column, style, character);
}

static void mark(struct top_grid *grid, int row, int from, int end, bool on)
{
    if (row < grid->top || row >= grid->end)
        return;
    for (int column = from < 0 ? 0 : from; column < end && column < grid->width;
         column++)
        grid->cell[(size_t)row * (size_t)grid->width + (size_t)column]
            .selected = on;
}

void top_grid_select(struct top_grid *grid, int row, int from, int end)
{
    mark(grid, row, from, end, true);
}

void top_grid_clip(struct top_grid *grid, int top, int end)
{
    grid->top = top < 0 ? 0 : top;
    grid->end = end > grid->height ? grid->height : end;
}

void top_grid_box(struct top_grid *grid, int row, int column, int height,
                  int width, const char *title)
{
    int bottom = row + height - 1, right = column + width - 1;
    uint32_t rule = top_grid_symbol(grid, TOP_RULE);
    uint32_t edge = top_grid_symbol(grid, TOP_EDGE);

    for (int r = row; r <= bottom; r++) {
        mark(grid, r, column, right + 1, false);
        top_grid_fill(grid, r, column, right + 1, TOP_FAINT,
                      r == row || r == bottom ? rule : ' ');
        if (r > row && r < bottom) {
            set(grid, r, column, TOP_FAINT, edge);
            set(grid, r, right, TOP_FAINT, edge);
        }
    }
    set(grid, row, column, TOP_FAINT, top_grid_symbol(grid, TOP_CORNER_1));
    set(grid, row, right, TOP_FAINT, top_grid_symbol(grid, TOP_CORNER_2));
    set(grid, bottom, right, TOP_FAINT, top_grid_symbol(grid, TOP_CORNER_3));
    set(grid, bottom, column, TOP_FAINT, top_grid_symbol(grid, TOP_CORNER_4));
    column = top_grid_put(grid, row, column + 2, right - 2, TOP_STRONG, " ");
    column = top_grid_put(grid, row, column, right - 2, TOP_STRONG, title);
    top_grid_put(grid, row, column, right - 1, TOP_STRONG, " ");
}

uint32_t top_grid_symbol(const struct top_grid *grid, enum top_symbol symbol)
{
    static const struct {
        uint32_t utf8;
        char ascii;
    } symbols[] = {
        [TOP_BAR_FULL] = {0x2501, '='},       /* heavy line */
        [TOP_BAR_EMPTY] = {0x2500, '-'},      /* light line */
        [TOP_RULE] = {0x2500, '-'},           /* light line */
        [TOP_CUT] = {0x2026, '~'},            /* ellipsis */
        [TOP_UNIT_HOT] = {0x2588, 'H'},       /* full block */
        [TOP_UNIT_RESIDENT] = {0x2592, 's'},  /* medium shade */
        [TOP_UNIT_STREAMING] = {0x2591, 'h'}, /* light shade */
        [TOP_UNIT_DEMAND] = {0x254C, '.'},    /* dashed line */
        [TOP_UNIT_ABSENT] = {0x00B7, '-'},    /* middle dot */
        [TOP_NO_VALUE] = {0x00B7, ' '},       /* middle dot */
        [TOP_SORT_UP] = {0x25B2, '^'},        /* triangle */
        [TOP_SORT_DOWN] = {0x25BC, 'v'},      /* triangle */
        [TOP_DOT] = {0x00B7, '|'},            /* middle dot */
        [TOP_DASH] = {0x2014, '-'},           /* em dash */
        [TOP_UNIT_PARTLY] = {0x2584, '+'},    /* lower half block */
        [TOP_EDGE] = {0x2502, '|'},           /* light line */
        [TOP_CORNER_1] = {0x250C, '+'},       /* light corners */
        [TOP_CORNER_2] = {0x2510, '+'},
        [TOP_CORNER_3] = {0x2518, '+'},
        [TOP_CORNER_4] = {0x2514, '+'},
        [TOP_CURSOR] = {0x2581, '_'}, /* lower eighth block */
    };

    return grid->utf8 ? symbols[symbol].utf8
                      : (unsigned char)symbols[symbol].ascii;
}

void top_grid_bar(struct top_grid *grid, int row, int from, int end,
                  enum top_style style, uint64_t permille)
{
    uint64_t width = end > from ? (uint64_t)(end - from) : 0, full = 0;

    /* Rounded, but only nothing is empty and only all of it is full. */
    if (permille != TOP_UNKNOWN && permille > 0 && width > 1) {
        full = ((permille > 1000 ? 1000 : permille) * width + 500) / 1000;
        if (full == 0)
            full = 1;
        if (full == width && permille < 1000)
            full--;
    }
    top_grid_fill(grid, row, from, from + (int)full, style,
                  top_grid_symbol(grid, TOP_BAR_FULL));
    top_grid_fill(grid, row, from + (int)full, end, TOP_FAINT,
                  top_grid_symbol(grid, TOP_BAR_EMPTY));
}

void top_grid_spark(struct top_grid *grid, int row, int column, int rows,
                    enum top_style style, uint64_t permille)
{
    static const char ascii[] = "_.:-=+*#";
    uint64_t most = 8 * (uint64_t)rows - 1, eighths;

    if (permille == TOP_UNKNOWN)
        return;
    /* At least the lowest line, one more for what is not nothing. */
    eighths =
        1 + ((permille > 1000 ? 1000 : permille) * (most - 1) + 500) / 1000;
    if (eighths == 1 && permille > 0)
        eighths = 2;
    for (int i = rows - 1; i >= 0 && eighths > 0; i--) {
        uint64_t step = eighths > 8 ? 8 : eighths;

        set(grid, row + i, column, permille == 0 ? TOP_FAINT : style,
            grid->utf8 ? 0x2580 + (uint32_t)step
                       : (unsigned char)ascii[step - 1]);
        eighths -= step;
    }
}

void top_encode(char out[5], uint32_t c)
{
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned first[] = {0, 0, 0xC0, 0xE0, 0xF0};

    out[n] = '\0';
    for (int i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (char)(first[n] | c);
}

void top_grid_write(const struct top_grid *grid, FILE *out, bool colour)
{
    static const char *const codes[TOP_STYLES] = {
        [TOP_PLAIN] = "0",      [TOP_STRONG] = "0;1", [TOP_FAINT] = "0;2",
        [TOP_TITLE] = "0;1;36", [TOP_HEAD] = "0;1",   [TOP_LABEL] = "0;36",
        [TOP_GOOD] = "0;32",    [TOP_WARN] = "0;33",  [TOP_BAD] = "0;1;31",
        [TOP_COOL] = "0;34",
    };

    for (int row = 0; row < grid->height; row++) {
        const struct top_cell *cell =
            &grid->cell[(size_t)row * (size_t)grid->width];
        int end = grid->width, style = TOP_PLAIN;
        char bytes[5];

        while (end > 0 && cell[end - 1].character == ' ')
            end--;
        for (int column = 0; column < end; column++) {
            if (cell[column].character == 0)
                continue;
            if (colour && cell[column].style != style) {
                style = cell[column].style;
                fprintf(out, "\033[%sm", codes[style]);
            }
            top_encode(bytes, cell[column].character);
            fputs(bytes, out);
        }
        if (style != TOP_PLAIN)
            fputs("\033[0m", out);
        fputc('\n', out);
    }
}
