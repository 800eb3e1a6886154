/* SPDX-License-Identifier: MIT */
/* The sheet of a model as text: as wide as its terminal, 80 columns elsewhere,
 * never more than 100. */
#include "tools/gov/model_sheet.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/text.h"

#define COLUMNS_MIN 40
#define COLUMNS_MAX 100
#define COLUMNS_ELSEWHERE 80
#define VALUE_AT 16 /* column where values start */
#define BAR_LEAST 8 /* cells; shorter ones say nothing */
#define BAR_MOST 50
#define FILES_NAMED 3

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define YELLOW "\033[33m"

struct look {
    int columns;
    bool colour, utf8;
};

static void put_painted(const struct look *look, const char *code,
                        const char *text)
{
    if (look->colour)
        printf("%s%s\033[0m", code, text);
    else
        fputs(text, stdout);
}

static void put_heading(const struct look *look, const char *text)
{
    putchar('\n');
    put_painted(look, BOLD, text);
    putchar('\n');
}

/* Figures that are listed stay with their units: "75 %". */
static char *unbroken(char *text)
{
    for (char *at = strchr(text, ' '); at != NULL; at = strchr(at, ' '))
        *at = CLI_NO_BREAK;
    return text;
}

static void put_row(const struct look *look, const char *label,
                    const char *value)
{
    printf("  %s%*s", label, VALUE_AT - 2 - cli_width(label), "");
    cli_put_wrapped(value, VALUE_AT, VALUE_AT, look->columns);
    putchar('\n');
}

/* A sentence below a section. */
static void put_note(const struct look *look, const char *text)
{
    fputs(look->colour ? "  " DIM : "  ", stdout);
    cli_put_wrapped(text, 2, 2, look->columns);
    fputs(look->colour ? "\033[0m\n" : "\n", stdout);
}

/* ---- figures ----------------------------------------------------------------- */

#define FIGURE_BYTES 48 /* two sizes */

/* "109 MiB", "109-129 MiB", "0-5 MiB" or "900 KiB-1.2 MiB". */
static const char *range(char out[FIGURE_BYTES], uint64_t least, uint64_t most)
{
    char low[CLI_SIZE_BYTES], high[CLI_SIZE_BYTES], *unit;

    cli_size(low, least);
    cli_size(high, most);
    if (strcmp(low, high) == 0) {
        snprintf(out, FIGURE_BYTES, "%s", high);
        return out;
    }
    unit = strchr(low, ' ');
    if (unit != NULL && (least == 0 || strcmp(unit, strchr(high, ' ')) == 0))
        *unit = '\0';
    snprintf(out, FIGURE_BYTES, "%s-%s", low, high);
    return out;
}

/* "8.03 billion", three digits of it. */
static const char *many(char out[FIGURE_BYTES], uint64_t number)
{
    static const char *const names[] = {"", " thousand", " million", " billion",
                                        " trillion"};
    double value = (double)number;
    size_t name = 0;

    if (number < 10000) {
        snprintf(out, FIGURE_BYTES, "%" PRIu64, number);
        return out;
    }
    while (value >= 999.5 && name < 4) {
        value /= 1000;
        name++;
    }
    snprintf(out, FIGURE_BYTES, "%.*f%s",
             value >= 99.95   ? 0
             : value >= 9.995 ? 1
                              : 2,
             value, names[name]);
    return out;
}

/* "75 %"; "<1 %" for what is more than nothing. */
static const char *share(char out[FIGURE_BYTES], uint64_t part, uint64_t whole)
{
    double percent = whole == 0 ? 0 : 100 * (double)part / (double)whole;

    if (percent < 1 && part > 0)
        snprintf(out, FIGURE_BYTES, "<1 %%");
    else
        snprintf(out, FIGURE_BYTES, "%.0f %%", percent);
    return out;
}

/* ---- columns ----------------------------------------------------------------- */

enum { GRID_ROWS = 24, GRID_COLUMNS = 6, CELL_BYTES = 80 };

struct grid {
    size_t rows, columns;
    bool left[GRID_COLUMNS];   /* else aligned to the right */
    bool hidden[GRID_COLUMNS]; /* there is no room for it */
    int wide[GRID_COLUMNS];
    char cell[GRID_ROWS][GRID_COLUMNS][CELL_BYTES];
};

static void set(struct grid *grid, size_t row, size_t column, const char *text)
{
    snprintf(grid->cell[row][column], CELL_BYTES, "%s", text);
}

/* Columns of the terminal that it takes. */
static int measure(struct grid *grid)
{
    int all = 0;

    for (size_t c = 0; c < grid->columns; c++) {
        grid->wide[c] = 0;
        for (size_t r = 0; r < grid->rows; r++)
            if (cli_width(grid->cell[r][c]) > grid->wide[c])
                grid->wide[c] = cli_width(grid->cell[r][c]);
        if (!grid->hidden[c] && grid->wide[c] > 0)
            all += 2 + grid->wide[c];
    }
    return all;
}

static void put_line(const struct grid *grid, size_t row)
{
    for (size_t c = 0; c < grid->columns; c++) {
        const char *text = grid->cell[row][c];
        int pad = grid->wide[c] - cli_width(text);
        bool last = c + 1 == grid->columns;

        if (grid->hidden[c] || grid->wide[c] == 0)
            continue;
        if (grid->left[c])
            printf("  %s%*s", text, last ? 0 : pad, "");
        else
            printf("  %*s%s", pad, "", text);
    }
}

/* ---- what it is -------------------------------------------------------------- */

static void put_architecture(const struct look *look,
                             const struct gov_model_sheet *sheet)
{
    const struct gov_value *value = sheet->facts.value;
    const struct gov_value *name = &value[GOV_FACT_MODEL_ARCHITECTURE];
    const struct gov_value *layers = &value[GOV_FACT_MODEL_LAYERS];
    const struct gov_value *context = &value[GOV_FACT_MODEL_CONTEXT_MAX];
    char line[320];
    int n = snprintf(line, sizeof(line), "%s",
                     name->known ? name->text : "unknown");

    if (layers->known)
        n += snprintf(line + n, sizeof(line) - (size_t)n,
                      ", %" PRId64 " layer%s", layers->number,
                      layers->number == 1 ? "" : "s");
    if (context->known)
        snprintf(line + n, sizeof(line) - (size_t)n,
                 ", a context of %" PRId64 " token%s", context->number,
                 context->number == 1 ? "" : "s");
    put_row(look, "architecture", line);
    if (sheet->known)
        return;
    printf("%*s%s", VALUE_AT, "", look->colour ? YELLOW : "");
    cli_put_wrapped(sheet->tells_kv
                        ? "how it keeps its state is not known: weights are "
                          "exact, KV and state are a range"
                        : "how it keeps its state is not known, nor how much: "
                          "only weights are exact",
                    VALUE_AT, VALUE_AT, look->columns);
    fputs(look->colour ? "\033[0m\n" : "\n", stdout);
}

static void put_parameters(const struct look *look,
                           const struct gov_model_sheet *sheet)
{
    uint64_t all = gov_model_parameters(sheet->model);
    uint64_t active = gov_model_active_parameters(sheet->model);
    uint64_t experts = gov_facts_get(&sheet->facts, GOV_FACT_MODEL_EXPERTS, 0);
    char line[256], figure[FIGURE_BYTES];
    int n;

    if (all == 0) {
        put_row(look, "parameters", "unknown");
        return;
    }
    n = snprintf(line, sizeof(line), "%s", many(figure, all));
    if (active != 0 && active < all && experts > 0)
        n += snprintf(line + n, sizeof(line) - (size_t)n,
                      ", %s of them for a token", many(figure, active));
    if (experts > 0)
        snprintf(line + n, sizeof(line) - (size_t)n,
                 "; %" PRIu64 " of %" PRIu64 " experts in a layer",
                 gov_facts_get(&sheet->facts, GOV_FACT_MODEL_EXPERTS_USED, 0),
                 experts);
    put_row(look, "parameters", line);
}

static void put_quantization(const struct look *look,
                             const struct gov_model_sheet *sheet)
{
    uint64_t weights = gov_facts_get(&sheet->facts, GOV_FACT_MODEL_WEIGHTS, 0);
    uint64_t parameters = gov_model_parameters(sheet->model);
    char line[GOV_SHEET_TYPES * 40] = "", figure[FIGURE_BYTES];
    size_t used = 0;

    if (parameters != 0)
        snprintf(line, sizeof(line), "%s; %.3g bits a weight",
                 gov_model_quantization(sheet->model),
                 8 * (double)weights / (double)parameters);
    else
        snprintf(line, sizeof(line), "%s",
                 gov_model_quantization(sheet->model));
    put_row(look, "quantization", line);
    if (sheet->type_count < 2)
        return;
    for (size_t i = 0; i < sheet->type_count && used < sizeof(line); i++) {
        char item[96];

        snprintf(item, sizeof(item), "%.32s %s", sheet->types[i].name,
                 share(figure, sheet->types[i].bytes, weights));
        used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s",
                                 i > 0 ? ", " : "", unbroken(item));
    }
    put_row(look, "", line);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static void put_files(const struct look *look,
                      const struct gov_model_sheet *sheet)
{
    char line[256], size[CLI_SIZE_BYTES];
    size_t count;
    const struct gov_model_file *files = gov_model_files(sheet->model, &count);

    cli_size(size, gov_facts_get(&sheet->facts, GOV_FACT_MODEL_FILE, 0));
    if (count == 1) {
        snprintf(line, sizeof(line), "%s, %s",
                 cli_show(base_name(files[0].path)).text, unbroken(size));
        put_row(look, "file", line);
        return;
    }
    snprintf(line, sizeof(line), "%zu of %s, %s together", count,
             sheet->facts.value[GOV_FACT_MODEL_FORMAT].text, size);
    put_row(look, "files", line);
    for (size_t i = 0; i < count; i++) {
        if (count > FILES_NAMED && i == 1) {
            put_row(look, "", "...");
            i = count - 1;
        }
        put_row(look, "", cli_show(base_name(files[i].path)).text);
    }
}

static void put_reads(const struct look *look,
                      const struct gov_model_sheet *sheet)
{
    uint64_t sparse = gov_model_sparse_pass(sheet->model);
    uint64_t dense = gov_model_dense_pass(sheet->model);
    char line[192], one[CLI_SIZE_BYTES], all[CLI_SIZE_BYTES];

    if (sparse == dense)
        snprintf(line, sizeof(line), "%s of weights", cli_size(one, sparse));
    else
        snprintf(line, sizeof(line),
                 "%s of weights for one token, %s for a batch that uses "
                 "every expert",
                 cli_size(one, sparse), cli_size(all, dense));
    put_row(look, "a pass reads", line);
}

/* Said only where it is not as it should be. */
static void put_alignment(const struct look *look, const gov_model *model)
{
    size_t count, odd = 0;
    const struct gov_tensor *tensors = gov_model_tensors(model, &count);
    char line[192];

    for (size_t i = 0; i < count; i++)
        odd += !tensors[i].aligned;
    if (odd == 0)
        return;
    snprintf(line, sizeof(line),
             "%zu of %zu tensors do not begin at a multiple of their elements' "
             "size: a mapping of them cannot be used in place",
             odd, count);
    put_row(look, "alignment", line);
}

/* ---- units ------------------------------------------------------------------- */

static const char *bar_colour(gov_unit_kind kind)
{
    switch (kind) {
    case GOV_UNIT_EMBEDDING:
    case GOV_UNIT_OUTPUT:
        return "\033[36m";
    case GOV_UNIT_EXPERTS:
        return "\033[35m";
    case GOV_UNIT_PROJECTOR:
        return "\033[33m";
    case GOV_UNIT_LAYER:
        break;
    }
    return "\033[32m";
}

/* A part of the whole, where it stands in the whole: the bars of all lines
 * together are one. */
static void put_bar(const struct look *look, gov_unit_kind kind, int from,
                    int to)
{
    printf("  %*s", from, "");
    if (look->colour)
        fputs(bar_colour(kind), stdout);
    for (int i = from; i < to; i++)
        fputs(look->utf8 ? "\xE2\x96\x88" : "#", stdout);
    if (look->colour)
        fputs("\033[0m", stdout);
}

static void set_units(struct grid *grid, size_t row,
                      const struct gov_sheet_units *units, uint64_t whole)
{
    char name[40], figure[FIGURE_BYTES], cell[CELL_BYTES];
    bool sliced = units->experts > 0 && units->least == units->most;

    set(grid, row, 0, gov_sheet_units_name(units, name, sizeof(name)));
    if (sliced)
        snprintf(cell, sizeof(cell), "%" PRIu32 " x %" PRIu32 " x %s",
                 units->layers, units->experts,
                 range(figure, units->least / units->experts,
                       units->most / units->experts));
    else
        snprintf(cell, sizeof(cell), "%" PRIu32 " x %.24s", units->layers,
                 range(figure, units->least, units->most));
    if (units->layers > 1 || sliced)
        set(grid, row, 1, cell);
    set(grid, row, 2, cli_size(figure, units->bytes));
    set(grid, row, 3, share(figure, units->bytes, whole));
}

static void put_units(const struct look *look,
                      const struct gov_model_sheet *sheet)
{
    struct grid grid = {.columns = 4, .left = {true, false, false, false}};
    uint64_t whole = 0, before = 0;
    double each;
    int cells;

    for (size_t i = 0; i < sheet->unit_count; i++)
        whole += sheet->units[i].bytes;
    for (size_t i = 0; i < sheet->unit_count && i < GRID_ROWS; i++)
        set_units(&grid, grid.rows++, &sheet->units[i], whole);
    if (measure(&grid) > look->columns) {
        grid.hidden[1] = true;
        measure(&grid);
    }
    cells = look->columns - measure(&grid) - 2;
    if (cells > BAR_MOST)
        cells = BAR_MOST;
    each = whole == 0 ? 0 : (double)cells / (double)whole;
    put_heading(look, "Weights in order of first use");
    for (size_t i = 0; i < grid.rows; i++) {
        const struct gov_sheet_units *units = &sheet->units[i];
        int from = (int)(each * (double)before), to;

        before += units->bytes;
        to = (int)(each * (double)before + 0.5);
        if (to > cells)
            to = cells;
        if (from >= to)
            from = to > 0 ? to - 1 : 0;
        put_line(&grid, i);
        if (cells >= BAR_LEAST)
            put_bar(look, units->kind, from, from == to ? to + 1 : to);
        putchar('\n');
    }
}

/* ---- KV ---------------------------------------------------------------------- */

/* "f16 or bf16 128 KiB, q8_0 68.0 KiB"; what the heads allow. */
static void list_kv(const struct gov_model_sheet *sheet, char *out,
                    size_t bytes)
{
    char item[128] = ""; /* all types, should they agree */
    char size[CLI_SIZE_BYTES];
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sheet->kv_count && used < bytes; i++) {
        const struct gov_sheet_kv *kv = &sheet->kv[i];
        bool same = i + 1 < sheet->kv_count && sheet->kv[i + 1].held &&
                    sheet->kv[i + 1].per_token == kv->per_token;
        size_t n = strlen(item);

        if (!kv->held)
            continue;
        snprintf(item + n, sizeof(item) - n, "%s %s",
                 gov_kv_type_name(kv->type),
                 same ? "or " : cli_size(size, kv->per_token));
        if (same)
            continue;
        used += (size_t)snprintf(out + used, bytes - used, "%s%s",
                                 used > 0 ? ", " : "", unbroken(item));
        item[0] = '\0';
    }
}

/* The sentence of the library, without what it repeats for each type. */
static void list_refused(const struct look *look,
                         const struct gov_model_sheet *sheet)
{
    const char *why = NULL;
    char line[GOV_MESSAGE_BYTES + 128];
    size_t used = 0;

    for (size_t i = 0; i < sheet->kv_count && used < sizeof(line); i++) {
        const struct gov_sheet_kv *kv = &sheet->kv[i];

        if (kv->held)
            continue;
        why = kv->why;
        used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s",
                                 used > 0 ? ", " : "no ",
                                 gov_kv_type_name(kv->type));
    }
    if (why == NULL || used >= sizeof(line))
        return;
    snprintf(line + used, sizeof(line) - used, ": %s",
             strstr(why, ": ") != NULL ? strstr(why, ": ") + 2 : why);
    put_note(look, line);
}

static void put_kv(const struct look *look, const struct gov_model_sheet *sheet)
{
    const struct gov_facts *facts = &sheet->facts;
    uint64_t window = gov_facts_get(facts, GOV_FACT_MODEL_WINDOW, 0);
    uint64_t window_kv = gov_facts_get(facts, GOV_FACT_MODEL_WINDOW_KV, 0);
    uint64_t state = gov_facts_get(facts, GOV_FACT_MODEL_STATE, 0);
    char line[512], size[CLI_SIZE_BYTES];

    if (!sheet->generates) {
        put_heading(look, "KV cache");
        put_note(look, "none: it keeps no conversation");
        return;
    }
    if (!sheet->tells_kv) {
        put_heading(look, "KV cache");
        put_note(look, "unknown: the model file does not tell its heads");
        return;
    }
    put_heading(look, sheet->known ? "KV cache for each token"
                                   : "KV cache for each token, at most");
    list_kv(sheet, line, sizeof(line));
    if (sheet->keeps_kv) {
        fputs("  ", stdout);
        cli_put_wrapped(line, 2, 2, look->columns);
        putchar('\n');
        list_refused(look, sheet);
    } else {
        put_note(look, "none: what it keeps does not grow with the context");
    }
    if (window != 0 && window_kv != 0) {
        snprintf(line, sizeof(line),
                 "layers with a window add %s (f16) for each of the last "
                 "%" PRIu64 " tokens",
                 cli_size(size, window_kv), window);
        put_note(look, line);
    }
    if (state != 0) {
        snprintf(line, sizeof(line),
                 "and %s of state, however long the conversation",
                 cli_size(size, state));
        put_note(look, line);
    }
}

/* ---- need -------------------------------------------------------------------- */

enum { N_CONTEXT, N_TYPE, N_WEIGHTS, N_KEPT, N_BUFFERS, N_TOTAL, N_COLUMNS };

static void set_need(struct grid *grid, size_t row,
                     const struct gov_model_sheet *sheet,
                     const struct gov_sheet_need *shown)
{
    const struct gov_need *need = &shown->need;
    char cell[CELL_BYTES], figure[FIGURE_BYTES];
    uint64_t least, most = gov_sheet_total(need, &least);

    snprintf(cell, sizeof(cell), "%" PRIu32, shown->context);
    if (row < 2 || strcmp(grid->cell[row - 1][N_CONTEXT], cell) != 0)
        set(grid, row, N_CONTEXT, cell);
    if (sheet->keeps_kv)
        set(grid, row, N_TYPE, gov_kv_type_name(shown->type));
    set(grid, row, N_WEIGHTS, cli_size(figure, need->ram.weights));
    if (sheet->generates)
        set(grid, row, N_KEPT,
            sheet->tells_kv
                ? range(figure, need->kv_least, gov_sheet_kept(need))
                : "unknown");
    set(grid, row, N_BUFFERS,
        need->compute_known ? cli_size(figure, gov_sheet_buffers(need))
                            : "unknown");
    snprintf(cell, sizeof(cell), "%s%s",
             need->compute_known && sheet->tells_kv ? "" : "> ",
             range(figure, least, most));
    set(grid, row, N_TOTAL, cell);
}

static void put_need(const struct look *look,
                     const struct gov_model_sheet *sheet)
{
    static const size_t least_wanted[] = {N_WEIGHTS, N_BUFFERS, N_KEPT};
    struct grid grid = {.rows = 1, .columns = N_COLUMNS};
    bool state = gov_facts_get(&sheet->facts, GOV_FACT_MODEL_STATE, 0) != 0;

    set(&grid, 0, N_CONTEXT, "context");
    if (sheet->keeps_kv)
        set(&grid, 0, N_TYPE, "type");
    set(&grid, 0, N_WEIGHTS, "weights");
    if (sheet->generates)
        set(&grid, 0, N_KEPT,
            !state            ? "KV"
            : sheet->keeps_kv ? "KV + state"
                              : "state");
    set(&grid, 0, N_BUFFERS, "buffers");
    set(&grid, 0, N_TOTAL, "total in RAM");
    grid.left[N_TYPE] = true;
    for (size_t i = 0; i < sheet->need_count && grid.rows < GRID_ROWS; i++)
        set_need(&grid, grid.rows++, sheet, &sheet->need[i]);
    for (size_t i = 0; i < sizeof(least_wanted) / sizeof(least_wanted[0]) &&
                       measure(&grid) > look->columns;
         i++)
        grid.hidden[least_wanted[i]] = true;
    measure(&grid);
    put_heading(look, sheet->generates ? "Memory for one conversation"
                                       : "Memory for one text");
    for (size_t i = 0; i < grid.rows; i++) {
        if (i == 0 && look->colour)
            fputs(DIM, stdout);
        put_line(&grid, i);
        fputs(i == 0 && look->colour ? "\033[0m\n" : "\n", stdout);
    }
}

/* ---- tensors ----------------------------------------------------------------- */

static void shape(const struct gov_tensor *tensor, char *out, size_t bytes)
{
    size_t used = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < tensor->dims && i < 4 && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%" PRIu64,
                                 i > 0 ? " x " : "", tensor->shape[i]);
}

static const char *short_unit(const struct gov_unit *unit, char *out,
                              size_t bytes)
{
    static const char *const names[] = {"embedding", "layer", "output",
                                        "experts", "projector"};

    snprintf(out, bytes, "%s", names[unit->kind]);
    if (unit->kind == GOV_UNIT_LAYER || unit->kind == GOV_UNIT_EXPERTS)
        snprintf(out, bytes, "%s %" PRIu32, names[unit->kind], unit->layer);
    return out;
}

/* On a terminal what has no room is left out; a pipe gets all. */
static void put_tensors(const struct look *look, const gov_model *model)
{
    size_t count, units_count, files;
    const struct gov_tensor *tensors = gov_model_tensors(model, &count);
    const struct gov_unit *units = gov_model_units(model, &units_count);
    char text[96], size[CLI_SIZE_BYTES], unit[24];
    int name_wide = 0, type_wide = 0, shape_wide = 0, room;

    (void)gov_model_files(model, &files);
    for (size_t i = 0; i < count; i++) {
        int n = cli_width(tensors[i].name);

        name_wide = n > name_wide ? n : name_wide;
        n = cli_width(tensors[i].type);
        type_wide = n > type_wide ? n : type_wide;
        shape(&tensors[i], text, sizeof(text));
        n = cli_width(text);
        shape_wide = n > shape_wide ? n : shape_wide;
    }
    put_heading(look, "Tensors");
    for (size_t i = 0; i < count; i++) {
        const struct gov_tensor *tensor = &tensors[i];

        shape(tensor, text, sizeof(text));
        printf("  %-*s  %-*s  %8s", name_wide, tensor->name, type_wide,
               tensor->type, cli_size(size, tensor->bytes));
        room = look->columns - 14 - name_wide - type_wide;
        if (isatty(STDOUT_FILENO) == 0)
            room = 1000;
        if ((room -= shape_wide + 2) >= 0)
            printf("  %-*s", shape_wide, text);
        if ((room -= 13) >= 0)
            printf("  %-11s",
                   short_unit(&units[tensor->unit], unit, sizeof(unit)));
        if ((room -= 14) >= 0)
            printf("  %12" PRIu64, tensor->file_offset);
        if (files > 1 && room >= 11)
            printf("  file %" PRIu32, tensor->file + 1);
        putchar('\n');
    }
}

void gov_model_print(const struct gov_model_sheet *sheet, bool tensors)
{
    struct look look = {cli_columns(STDOUT_FILENO, COLUMNS_ELSEWHERE),
                        cli_colour(STDOUT_FILENO), cli_utf8()};
    const char *name = gov_model_name(sheet->model);

    if (look.columns > COLUMNS_MAX)
        look.columns = COLUMNS_MAX;
    if (look.columns < COLUMNS_MIN)
        look.columns = COLUMNS_MIN;
    put_painted(&look, BOLD,
                *name != '\0'
                    ? name
                    : cli_show(base_name(gov_model_path(sheet->model))).text);
    fputs("\n\n", stdout);
    put_architecture(&look, sheet);
    put_parameters(&look, sheet);
    put_quantization(&look, sheet);
    put_files(&look, sheet);
    put_reads(&look, sheet);
    put_alignment(&look, sheet->model);
    put_units(&look, sheet);
    put_kv(&look, sheet);
    put_need(&look, sheet);
    if (tensors)
        put_tensors(&look, sheet->model);
}
