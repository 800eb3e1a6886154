/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_columns.h"

#include <string.h>

#define STALE_US 10000000

static const struct info {
    const char *title;
    int width, most; /* a column that can use more room grows up to `most` */
    int rank;        /* the lowest stay longest on a narrow terminal */
    int spare;       /* cells that must be left for others to grow */
    bool right;
    const char *sentence;
} columns[TOP_COLUMNS] = {
    [TOP_PID] = {"PID", 7, 7, 0, 0, true, "process id"},
    [TOP_APP] = {"APP", 12, 20, 1, 0, false, "name that the app gave itself"},
    [TOP_ENGINE] = {"ENGINE", 10, 24, 17, 8, false, "engine that runs it"},
    [TOP_MODEL] = {"MODEL", 14, 44, 6, 0, false, "model in use"},
    [TOP_STRATEGY] = {"STRATEGY", 8, 8, 11, 0, false,
                      "mmap, hybrid or heap: where weights are"},
    [TOP_LEVEL] = {"LEVEL", 9, 12, 2, 0, false,
                   "memory pressure; a star: simulated"},
    [TOP_FOOTPRINT] = {"FOOTPRINT", 9, 9, 3, 0, true,
                       "charged to it, and cannot be dropped"},
    [TOP_FOOTPRINT_LINE] = {"HISTORY", 10, 10, 15, 0, false,
                            "the footprint, against the budget"},
    [TOP_HEADROOM] = {"HEADROOM", 8, 8, 4, 0, true, "what may still be used"},
    [TOP_BUDGET] = {"BUDGET", 6, 6, 19, 8, true, "what it may use"},
    [TOP_WEIGHTS] = {"WEIGHTS", 11, 11, 8, 0, true,
                     "in memory / mapped; never footprint"},
    [TOP_HOT] = {"HOT", 5, 5, 13, 0, true, "share of the weights that stays"},
    [TOP_KV] = {"KV", 11, 11, 9, 0, true, "cache that holds tokens / reserved"},
    [TOP_CACHES] = {"CACHES", 6, 6, 18, 8, true,
                    "other caches it can give back"},
    [TOP_FAULTS] = {"FAULT/s", 7, 7, 14, 0, true,
                    "page faults that read storage"},
    [TOP_READ] = {"READ/s", 6, 6, 7, 0, true, "read from storage, bytes"},
    [TOP_TOKENS] = {"TOK/S", 5, 5, 5, 0, true, "tokens generated"},
    [TOP_WAIT] = {"WAIT", 6, 6, 10, 0, true, "time spent waiting for weights"},
    [TOP_STALL_LINE] = {"STALL", 8, 8, 16, 0, false,
                        "time lost for memory, up to 40 %"},
    [TOP_RELIEF] = {"LAST RELIEF", 18, 32, 12, 0, false,
                    "the last action, and what it gave back"},
};

const char *top_column_title(enum top_column column)
{
    return columns[column].title;
}

const char *top_column_sentence(enum top_column column)
{
    return columns[column].sentence;
}

bool top_column_is_right(enum top_column column)
{
    return columns[column].right;
}

/* ---- meaning --------------------------------------------------------------- */

const char *top_level_text(uint64_t level)
{
    if (level == TOP_UNKNOWN)
        return "-";
    return gov_level_name(level > GOV_LEVEL_CRITICAL ? GOV_LEVEL_CRITICAL
                                                     : (gov_level)level);
}

enum top_style top_level_style(uint64_t level)
{
    if (level == TOP_UNKNOWN)
        return TOP_FAINT;
    if (level >= GOV_LEVEL_CRITICAL)
        return TOP_BAD;
    return level >= GOV_LEVEL_WARN ? TOP_WARN : TOP_GOOD;
}

enum top_style top_room_style(uint64_t left, uint64_t whole)
{
    uint64_t permille = top_permille(left, whole);

    if (permille == TOP_UNKNOWN)
        return TOP_PLAIN;
    return permille < 50 ? TOP_BAD : permille < 120 ? TOP_WARN : TOP_GOOD;
}

enum top_style top_stall_style(uint64_t permille)
{
    if (permille == TOP_UNKNOWN)
        return TOP_FAINT;
    return permille >= 200 ? TOP_BAD : permille >= 50 ? TOP_WARN : TOP_PLAIN;
}

bool top_is_stale(const struct top_process *process)
{
    return process->age_us != TOP_UNKNOWN && process->age_us > STALE_US;
}

/* ---- cells ----------------------------------------------------------------- */

static enum top_style show(char out[TOP_CELL_BYTES], const char *text)
{
    snprintf(out, TOP_CELL_BYTES, "%s", text[0] != '\0' ? text : "-");
    return strcmp(out, "-") == 0 ? TOP_FAINT : TOP_PLAIN;
}

/* "3.10G/4.58G"; one side may be unknown. */
static enum top_style show_pair(char out[TOP_CELL_BYTES], uint64_t part,
                                uint64_t whole)
{
    char a[TOP_NUMBER], b[TOP_NUMBER];

    if (part == TOP_UNKNOWN && whole == TOP_UNKNOWN)
        return show(out, "-");
    snprintf(out, TOP_CELL_BYTES, "%s/%s", top_bytes(a, part),
             top_bytes(b, whole));
    return TOP_PLAIN;
}

/* Of the weights, what stays. */
static uint64_t hot_share(const struct gov_page *page)
{
    return top_permille(top_counter(page, GOV_PAGE_WEIGHTS_HOT),
                        top_counter(page, GOV_PAGE_WEIGHTS_MAPPED));
}

static enum top_style show_level(char out[TOP_CELL_BYTES],
                                 const struct top_process *process)
{
    const struct gov_page *page = &process->page;
    uint64_t level = top_counter(page, GOV_PAGE_LEVEL);
    uint64_t simulated = top_counter(page, GOV_PAGE_LEVEL_SIMULATED);

    if (!process->governed) {
        snprintf(out, TOP_CELL_BYTES, "not governed");
        return TOP_FAINT;
    }
    if (top_is_foreign(process)) {
        snprintf(out, TOP_CELL_BYTES, "page v%u", (unsigned)page->version);
        return TOP_WARN;
    }
    snprintf(out, TOP_CELL_BYTES, "%s%s", top_level_text(level),
             simulated != TOP_UNKNOWN && simulated != 0 ? "*" : "");
    return top_level_style(level);
}

static enum top_style show_relief(char out[TOP_CELL_BYTES],
                                  const struct gov_page *page)
{
    uint64_t yield = top_counter(page, GOV_PAGE_YIELD_LAST);
    char number[TOP_NUMBER];

    if (page->text_LAST_RELIEF[0] == '\0')
        return show(out, "-");
    snprintf(out, TOP_CELL_BYTES, "%s %s", page->text_LAST_RELIEF,
             top_bytes(number, yield));
    return TOP_PLAIN;
}

enum top_style top_column_cell(enum top_column column,
                               const struct top_process *process,
                               char out[TOP_CELL_BYTES])
{
    const struct gov_page *page = &process->page;
    uint64_t budget = top_counter(page, GOV_PAGE_BUDGET);
    uint64_t headroom = top_counter(page, GOV_PAGE_HEADROOM);
    char number[TOP_NUMBER];

    switch (column) {
    case TOP_PID:
        snprintf(out, TOP_CELL_BYTES, "%d", (int)page->pid);
        return TOP_PLAIN;
    case TOP_APP:
        return show(out, page->text_APP);
    case TOP_ENGINE:
        return show(out, page->text_ENGINE);
    case TOP_MODEL:
        return show(out, page->text_MODEL);
    case TOP_STRATEGY:
        return show(out, page->text_STRATEGY);
    case TOP_LEVEL:
        return show_level(out, process);
    case TOP_FOOTPRINT:
        show(out, top_bytes(number, top_counter(page, GOV_PAGE_FOOTPRINT)));
        return TOP_STRONG;
    case TOP_HEADROOM:
        if (show(out, top_bytes(number, headroom)) == TOP_FAINT)
            return TOP_FAINT;
        return top_room_style(headroom, budget);
    case TOP_BUDGET:
        return show(out, top_bytes(number, budget));
    case TOP_WEIGHTS:
        return show_pair(out, top_counter(page, GOV_PAGE_WEIGHTS_RESIDENT),
                         top_counter(page, GOV_PAGE_WEIGHTS_MAPPED));
    case TOP_KV:
        return show_pair(out, top_counter(page, GOV_PAGE_KV_USED),
                         top_counter(page, GOV_PAGE_KV_RESERVED));
    case TOP_HOT:
        return show(out, top_percent(number, hot_share(page)));
    case TOP_CACHES:
        return show(out, top_bytes(number, top_counter(page, GOV_PAGE_CACHE)));
    case TOP_FAULTS:
        return show(out, top_count(number, process->rates.major_faults));
    case TOP_TOKENS:
        return show(
            out,
            top_milli(number, top_counter(page, GOV_PAGE_TOKEN_RATE_MILLI)));
    case TOP_READ:
        return show(out, top_bytes(number, process->rates.read_bytes));
    case TOP_WAIT:
        if (show(out, top_percent(number, process->rates.weights)) == TOP_FAINT)
            return TOP_FAINT;
        return process->rates.weights >= 500   ? TOP_BAD
               : process->rates.weights >= 200 ? TOP_WARN
                                               : TOP_PLAIN;
    case TOP_RELIEF:
        return show_relief(out, page);
    case TOP_FOOTPRINT_LINE:
    case TOP_STALL_LINE:
    case TOP_COLUMNS:
        break;
    }
    return show(out, "");
}

const struct top_series *top_column_line(enum top_column column,
                                         const struct top_process *process,
                                         uint64_t *full)
{
    if (column == TOP_STALL_LINE) {
        *full = TOP_STALL_FULL;
        return &process->stall;
    }
    if (column != TOP_FOOTPRINT_LINE)
        return NULL;
    *full = top_counter(&process->page, GOV_PAGE_BUDGET);
    if (*full == TOP_UNKNOWN)
        *full = top_series_peak(&process->footprint, TOP_HISTORY);
    return &process->footprint;
}

/* ---- order ----------------------------------------------------------------- */

/* The text that a column is sorted by; false for a column of numbers. */
static bool text_of(enum top_column column, const struct top_process *process,
                    const char **text)
{
    switch (column) {
    case TOP_APP:
        *text = process->page.text_APP;
        return true;
    case TOP_ENGINE:
        *text = process->page.text_ENGINE;
        return true;
    case TOP_MODEL:
        *text = process->page.text_MODEL;
        return true;
    case TOP_STRATEGY:
        *text = process->page.text_STRATEGY;
        return true;
    case TOP_RELIEF:
        *text = process->page.text_LAST_RELIEF;
        return true;
    default:
        return false;
    }
}

static uint64_t number_of(enum top_column column,
                          const struct top_process *process)
{
    const struct gov_page *page = &process->page;

    switch (column) {
    case TOP_PID:
        return (uint64_t)page->pid;
    case TOP_LEVEL:
        return top_counter(page, GOV_PAGE_LEVEL);
    case TOP_HEADROOM:
        return top_counter(page, GOV_PAGE_HEADROOM);
    case TOP_BUDGET:
        return top_counter(page, GOV_PAGE_BUDGET);
    case TOP_WEIGHTS:
        return top_counter(page, GOV_PAGE_WEIGHTS_RESIDENT);
    case TOP_HOT:
        return hot_share(page);
    case TOP_KV:
        return top_counter(page, GOV_PAGE_KV_USED);
    case TOP_CACHES:
        return top_counter(page, GOV_PAGE_CACHE);
    case TOP_FAULTS:
        return process->rates.major_faults;
    case TOP_READ:
        return process->rates.read_bytes;
    case TOP_TOKENS:
        return top_counter(page, GOV_PAGE_TOKEN_RATE_MILLI);
    case TOP_WAIT:
        return process->rates.weights;
    case TOP_STALL_LINE:
        return process->rates.stall;
    default:
        return top_counter(page, GOV_PAGE_FOOTPRINT);
    }
}

int top_column_compare(enum top_column column, bool reverse,
                       const struct top_process *a, const struct top_process *b)
{
    const char *text_a, *text_b;
    bool unknown_a, unknown_b;
    int order;

    if (text_of(column, a, &text_a) && text_of(column, b, &text_b)) {
        unknown_a = text_a[0] == '\0';
        unknown_b = text_b[0] == '\0';
        order = strcmp(text_a, text_b);
    } else {
        uint64_t number_a = number_of(column, a);
        uint64_t number_b = number_of(column, b);

        unknown_a = number_a == TOP_UNKNOWN;
        unknown_b = number_b == TOP_UNKNOWN;
        order = number_a > number_b ? -1 : number_a < number_b;
        if (column == TOP_PID || column == TOP_HEADROOM)
            order = -order; /* here the small ones matter */
    }
    if (unknown_a != unknown_b)
        return unknown_a ? 1 : -1;
    if (order == 0)
        return a->page.pid < b->page.pid ? -1 : 1;
    return reverse ? -order : order;
}

/* ---- layout ---------------------------------------------------------------- */

static int total(const int widths[TOP_COLUMNS], int gap)
{
    int sum = 2; /* the margins */

    for (int c = 0; c < TOP_COLUMNS; c++)
        if (widths[c] > 0)
            sum += widths[c] + gap;
    return sum - gap;
}

int top_columns_fit(int width, bool others, int widths[TOP_COLUMNS])
{
    static const enum top_column growing[] = {TOP_LEVEL, TOP_MODEL, TOP_RELIEF,
                                              TOP_ENGINE, TOP_APP};
    int gap = 1;

    for (int c = 0; c < TOP_COLUMNS; c++)
        widths[c] = 0;
    for (int rank = 0; rank < TOP_COLUMNS; rank++)
        for (int c = 0; c < TOP_COLUMNS; c++) {
            if (columns[c].rank != rank)
                continue;
            widths[c] = columns[c].width;
            if (total(widths, gap) + columns[c].spare > width)
                widths[c] = 0;
        }
    if (width >= 100 && total(widths, 2) <= width)
        gap = 2;
    for (size_t i = 0; i < sizeof(growing) / sizeof(growing[0]); i++) {
        enum top_column c = growing[i];
        int room = width - total(widths, gap);

        if (widths[c] == 0 || room <= 0 || (c == TOP_LEVEL && !others))
            continue;
        if (room > columns[c].most - widths[c])
            room = columns[c].most - widths[c];
        widths[c] += room;
    }
    return gap;
}
