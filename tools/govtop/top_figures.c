/* SPDX-License-Identifier: MIT */
/* What a page says of one process, matter by matter: a line each. */
#include <inttypes.h>
#include <string.h>

#include "tools/govtop/top_parts.h"

uint64_t top_pane_counter(const struct top_pane *pane, gov_page_counter c)
{
    return top_counter(&pane->process->page, c);
}

void top_pane_figure(struct top_pane *pane, const char *value,
                     const char *label)
{
    int width = (int)strlen(value) + 1 + (int)strlen(label);

    if (strcmp(value, "-") == 0 || pane->column + width > pane->grid->width)
        return;
    pane->column = top_grid_put(pane->grid, pane->row, pane->column,
                                pane->grid->width, TOP_PLAIN, value);
    pane->column = top_grid_put(pane->grid, pane->row, pane->column + 1,
                                pane->grid->width, TOP_FAINT, label) +
                   3;
}

static void bytes(struct top_pane *pane, gov_page_counter c, const char *label)
{
    char number[TOP_NUMBER];

    top_pane_figure(pane, top_bytes(number, top_pane_counter(pane, c)), label);
}

static void count(struct top_pane *pane, uint64_t n, const char *label)
{
    char number[TOP_NUMBER];

    top_pane_figure(pane, top_count(number, n), label);
}

/* What is worth a word only when there is some of it. */
static bool some(const struct top_pane *pane, gov_page_counter c)
{
    uint64_t n = top_pane_counter(pane, c);

    return n != TOP_UNKNOWN && n > 0;
}

/* "82.0M of 1.69G"; one side may be unknown. */
static void share(struct top_pane *pane, gov_page_counter part,
                  gov_page_counter whole, const char *label)
{
    uint64_t a = top_pane_counter(pane, part),
             b = top_pane_counter(pane, whole);
    char first[TOP_NUMBER], second[TOP_NUMBER], text[3 * TOP_NUMBER];

    if (a == TOP_UNKNOWN && b == TOP_UNKNOWN)
        return;
    if (b == TOP_UNKNOWN)
        snprintf(text, sizeof(text), "%s", top_bytes(first, a));
    else
        snprintf(text, sizeof(text), "%s of %s",
                 a == TOP_UNKNOWN ? "?" : top_bytes(first, a),
                 top_bytes(second, b));
    top_pane_figure(pane, text, label);
}

/* ---- the lines ------------------------------------------------------------- */

void top_figures_level(struct top_pane *pane)
{
    uint64_t level = top_pane_counter(pane, GOV_PAGE_LEVEL);
    uint64_t simulated = top_pane_counter(pane, GOV_PAGE_LEVEL_SIMULATED);
    const char *reason = pane->process->page.text_REASON;
    char dash[5];

    if (top_is_foreign(pane->process)) {
        pane->column = top_grid_print(
            pane->grid, pane->row, pane->column, TOP_WARN,
            "its page is of version %u, which this govtop does not read",
            (unsigned)pane->process->page.version);
        return;
    }
    if (!pane->process->governed) {
        pane->column = top_grid_put(pane->grid, pane->row, pane->column,
                                    pane->grid->width, TOP_FAINT, reason);
        return;
    }
    pane->column =
        top_grid_put(pane->grid, pane->row, pane->column, pane->grid->width,
                     top_level_style(level), top_level_text(level));
    if (simulated != TOP_UNKNOWN && simulated != 0)
        pane->column =
            top_grid_put(pane->grid, pane->row, pane->column + 1,
                         pane->grid->width, TOP_FAINT, "(simulated)");
    if (top_is_stale(pane->process))
        pane->column = top_grid_print(pane->grid, pane->row, pane->column + 1,
                                      TOP_WARN, "no update for %" PRIu64 " s",
                                      pane->process->age_us / 1000000);
    if (reason[0] == '\0')
        return;
    top_encode(dash, top_grid_symbol(pane->grid, TOP_DASH));
    top_grid_print(pane->grid, pane->row, pane->column + 1, TOP_PLAIN, "%s %s",
                   dash, reason);
}

void top_figures_backend(struct top_pane *pane)
{
    const struct gov_page *page = &pane->process->page;
    char dot[5];

    pane->column =
        top_grid_put(pane->grid, pane->row, pane->column, pane->grid->width - 1,
                     TOP_PLAIN, page->text_BACKEND);
    if (page->text_WAKES[0] == '\0')
        return;
    top_encode(dot, top_grid_symbol(pane->grid, TOP_DOT));
    pane->column = top_grid_print(pane->grid, pane->row, pane->column,
                                  TOP_FAINT, " %s %s", dot, page->text_WAKES);
}

/* That it is less than the budget leaves is worth a word. */
static void headroom(struct top_pane *pane)
{
    const char *source = pane->process->page.text_HEADROOM_SOURCE;
    char label[64];

    if (source[0] == '\0' || strcmp(source, "budget") == 0)
        snprintf(label, sizeof(label), "headroom");
    else
        snprintf(label, sizeof(label), "headroom (%s)", source);
    bytes(pane, GOV_PAGE_HEADROOM, label);
}

void top_figures_footprint(struct top_pane *pane)
{
    uint64_t footprint = top_pane_counter(pane, GOV_PAGE_FOOTPRINT);
    uint64_t budget = top_pane_counter(pane, GOV_PAGE_BUDGET);
    uint64_t left = top_pane_counter(pane, GOV_PAGE_HEADROOM);
    int end = pane->column + (pane->grid->width > 120 ? 40 : 20);

    if (budget != TOP_UNKNOWN) {
        top_grid_bar(pane->grid, pane->row, pane->column, end,
                     top_room_style(left, budget),
                     top_permille(footprint, budget));
        pane->column = end + 2;
    }
    share(pane, GOV_PAGE_FOOTPRINT, GOV_PAGE_BUDGET,
          budget != TOP_UNKNOWN ? "budget" : "and no budget is known");
    headroom(pane);
    if (some(pane, GOV_PAGE_FILL))
        bytes(pane, GOV_PAGE_FILL, "lost/s");
    if (some(pane, GOV_PAGE_EXPECTED))
        bytes(pane, GOV_PAGE_EXPECTED, "announced");
}

void top_figures_memory(struct top_pane *pane)
{
    bytes(pane, GOV_PAGE_ANON, "anonymous");
    bytes(pane, GOV_PAGE_SWAP, "swapped");
    if (some(pane, GOV_PAGE_SHARED))
        bytes(pane, GOV_PAGE_SHARED, "shared");
    bytes(pane, GOV_PAGE_CACHE, "caches");
    bytes(pane, GOV_PAGE_RESIDENT_FILE, "file pages, not footprint");
}

void top_figures_weights(struct top_pane *pane)
{
    uint64_t warm = top_pane_counter(pane, GOV_PAGE_WEIGHTS_WARM);
    char number[TOP_NUMBER];

    share(pane, GOV_PAGE_WEIGHTS_RESIDENT, GOV_PAGE_WEIGHTS_MAPPED, "resident");
    bytes(pane, GOV_PAGE_WEIGHTS_HOT, "hot");
    if (warm < 1000)
        top_pane_figure(pane, top_percent(number, warm), "of it there");
    if (top_pane_counter(pane, GOV_PAGE_WEIGHTS_ANCHORED) != 0)
        bytes(pane, GOV_PAGE_WEIGHTS_ANCHORED, "anchored");
    bytes(pane, GOV_PAGE_WEIGHTS_COLD, "cold");
    bytes(pane, GOV_PAGE_WEIGHTS_STREAMED, "streamed");
    count(pane, top_pane_counter(pane, GOV_PAGE_WEIGHTS_LATE), "late units");
}

void top_figures_kv(struct top_pane *pane)
{
    char text[48];
    uint64_t used = top_pane_counter(pane, GOV_PAGE_CONTEXT_USED);
    uint64_t context = top_pane_counter(pane, GOV_PAGE_CONTEXT);

    share(pane, GOV_PAGE_KV_USED, GOV_PAGE_KV_RESERVED, "used");
    if (used != TOP_UNKNOWN && context != TOP_UNKNOWN) {
        snprintf(text, sizeof(text), "%" PRIu64 " of %" PRIu64, used, context);
        top_pane_figure(pane, text, "tokens");
    }
    bytes(pane, GOV_PAGE_KV_GIVEN_BACK, "given back");
}

/* What is worth a line where there are conversations, or requests. */
void top_figures_talks(struct top_pane *pane)
{
    uint64_t talks = top_pane_counter(pane, GOV_PAGE_CONVERSATIONS);

    count(pane, talks, talks == 1 ? "conversation" : "conversations");
    if (some(pane, GOV_PAGE_CONVERSATIONS_STORED))
        count(pane, top_pane_counter(pane, GOV_PAGE_CONVERSATIONS_STORED),
              "on disk only");
    if (some(pane, GOV_PAGE_STATE_BYTES))
        bytes(pane, GOV_PAGE_STATE_BYTES, "on disk");
    count(pane, top_pane_counter(pane, GOV_PAGE_REQUESTS), "answered");
    if (some(pane, GOV_PAGE_TELEMETRY_LOST))
        count(pane, top_pane_counter(pane, GOV_PAGE_TELEMETRY_LOST),
              "rows of telemetry lost");
}

void top_figures_speed(struct top_pane *pane)
{
    char number[TOP_NUMBER];

    top_pane_figure(
        pane,
        top_milli(number, top_pane_counter(pane, GOV_PAGE_TOKEN_RATE_MILLI)),
        "tokens/s");
    count(pane, top_pane_counter(pane, GOV_PAGE_TOKENS), "tokens");
    top_pane_figure(
        pane,
        top_duration(number, top_pane_counter(pane, GOV_PAGE_FIRST_TOKEN_US)),
        "to first token");
    top_pane_figure(pane, top_percent(number, pane->process->rates.weights),
                    "waiting for weights");
    top_pane_figure(pane, top_percent(number, pane->process->rates.stall),
                    "for memory");
}

/* What the last one took, and what of that was waiting. */
void top_figures_pass(struct top_pane *pane)
{
    char number[TOP_NUMBER];

    top_pane_figure(
        pane, top_duration(number, top_pane_counter(pane, GOV_PAGE_PASS_US)),
        "a pass");
    top_pane_figure(
        pane,
        top_duration(number, top_pane_counter(pane, GOV_PAGE_PASS_WEIGHTS_US)),
        "for weights");
    top_pane_figure(
        pane,
        top_duration(number, top_pane_counter(pane, GOV_PAGE_PASS_RECLAIM_US)),
        "for memory");
    bytes(pane, GOV_PAGE_PASS_READ, "read");
    count(pane, top_pane_counter(pane, GOV_PAGE_PASS_MAJOR_FAULTS),
          "major faults");
}

void top_figures_storage(struct top_pane *pane)
{
    char number[TOP_NUMBER];

    top_pane_figure(pane, top_bytes(number, pane->process->rates.read_bytes),
                    "read/s");
    count(pane, pane->process->rates.major_faults, "major faults/s");
    count(pane, pane->process->rates.minor_faults, "minor faults/s");
    bytes(pane, GOV_PAGE_READ_BYTES, "read in all");
}

void top_figures_relief(struct top_pane *pane)
{
    const char *last = pane->process->page.text_LAST_RELIEF;
    char text[48], label[64];

    count(pane, top_pane_counter(pane, GOV_PAGE_RELIEFS), "actions");
    if (some(pane, GOV_PAGE_RELIEF_OVERDUE))
        count(pane, top_pane_counter(pane, GOV_PAGE_RELIEF_OVERDUE), "overdue");
    if (some(pane, GOV_PAGE_RELIEF_BARREN))
        count(pane, top_pane_counter(pane, GOV_PAGE_RELIEF_BARREN),
              "gave nothing");
    if (some(pane, GOV_PAGE_MODELS)) {
        snprintf(text, sizeof(text), "%" PRIu64 " of %" PRIu64,
                 top_pane_counter(pane, GOV_PAGE_MODELS_LOADED),
                 top_pane_counter(pane, GOV_PAGE_MODELS));
        top_pane_figure(pane, text, "models loaded");
    }
    bytes(pane, GOV_PAGE_YIELD_TOTAL, "given back");
    if (last[0] == '\0')
        return;
    snprintf(label, sizeof(label), "by the last, %s", last);
    top_pane_figure(
        pane, top_bytes(text, top_pane_counter(pane, GOV_PAGE_YIELD_LAST)),
        label);
}
