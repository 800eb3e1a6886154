/* SPDX-License-Identifier: MIT */
/* The saved screens of tests/unit/screens that keys lead to: what is drawn
 * (test_govtop_views.c), and what a terminal shows (test_govtop_pty.c). */
#ifndef GOV_TESTS_GOVTOP_SCREENS_H
#define GOV_TESTS_GOVTOP_SCREENS_H

#include "tests/unit/govtop_fixture.h"

static const struct saved_screen {
    const char *name;
    int width, height;
    bool utf8;
    uint64_t turns; /* samples taken before the keys */
    const char *keys;
} screens[] = {
    {"60x16", 60, 16, true, 9, ""},
    {"80x24", 80, 24, true, 9, ""},
    {"80x24-ascii", 80, 24, false, 9, "{Down}"},
    {"120x36", 120, 36, true, 30, "{Down}"},
    {"200x50", 200, 50, true, 250, "{Down}"},
    {"first-sample", 100, 30, true, 1, "{Down}"},
    {"silent", 100, 30, true, 9, "jj"},
    {"nothing", 80, 24, true, 0, ""},
    {"help-closed", 80, 24, true, 9, "?q"},
    {"sorted-by-pid", 100, 20, true, 9, "<<<<"},
    {"sorted-by-level-turned", 100, 20, true, 9, "<i"},
    {"paused", 80, 24, true, 9, "++--- "},
    {"too-small", 59, 16, true, 9, ""},
    {"help-60x16", 60, 16, true, 9, "?"},
    {"help-60x16-end", 60, 16, true, 9, "?{PgDn}{PgDn}{PgDn}{PgDn}"},
    {"help-80x24", 80, 24, true, 9, "{F1}"},
    {"help-200x50", 200, 50, true, 9, "h"},
    {"detail-60x16", 60, 16, true, 9, "{Down}{F5}"},
    {"detail-60x16-map", 60, 16, true, 9, "{Enter}{PgDn}"},
    {"detail-80x24", 80, 24, true, 9, "{Down}{Enter}"},
    {"detail-80x24-ladder", 80, 24, true, 9, "{Down}{Enter}{PgDn}"},
    {"detail-80x24-end", 80, 24, true, 9, "{Down}{Enter}{End}"},
    {"detail-80x24-ascii", 80, 24, false, 9, "{Down}{Enter}{Down}{Down}"},
    {"detail-200x50", 200, 50, true, 9, "{Down}{F5}"},
    {"detail-200x50-many", 200, 50, true, 9, "{F5}"},
    {"log-60x16", 60, 16, true, 9, "l"},
    {"log-80x24", 80, 24, true, 9, "{F7}"},
    {"log-80x24-scrolled", 80, 18, false, 9, "{F7}{Down}{Down}"},
    {"log-200x50", 200, 50, true, 9, "{F7}"},
    {"log-filtered", 80, 24, true, 9, "\\llama{Enter}l"},
    {"menu-sort-60x16", 60, 16, true, 9, "{F6}{Down}"},
    {"menu-sort-80x24", 80, 24, true, 9, "{F6}{End}"},
    {"menu-sort-200x50", 200, 50, true, 9, "{F6}"},
    {"menu-tell-60x16", 60, 16, true, 9, "{F9}"},
    {"menu-tell-80x24-ascii", 80, 24, false, 9, "{Down}{F9}{Down}{Down}"},
    {"menu-tell-200x50", 200, 50, true, 9, "{Down}{F9}{Up}"},
    {"menu-tell-nobody", 80, 24, true, 9, "u\\qwen{Enter}{F9}"},
    {"prompt-60x16", 60, 16, true, 9, "{Down}{F9}r512M"},
    {"prompt-80x24", 80, 24, true, 9, "{Down}{F9}{Up}{Enter}1.5G"},
    {"prompt-no-size", 80, 24, false, 9, "{Down}{F9}rmuch{Enter}"},
    {"prompt-200x50", 200, 50, true, 9, "{Down}{F9}r"},
    {"search-60x16", 60, 16, true, 9, "/LLAMA"},
    {"search-80x24", 80, 24, true, 9, "{F3}llama"},
    {"search-nothing", 80, 24, false, 9, "/nobody"},
    {"filter-60x16", 60, 16, true, 9, "\\llama"},
    {"filter-80x24", 80, 24, true, 9, "{F4}mix"},
    {"filter-kept", 80, 24, true, 9, "{F4}mix{Enter}"},
    {"filter-nothing", 80, 24, true, 9, "\\nobody{Enter}"},
    {"filter-200x50", 200, 50, false, 9, "\\gov"},
    {"others-60x16", 60, 16, true, 9, "u"},
    {"others-80x24", 80, 24, true, 9, "u{Down}"},
    {"others-200x50", 200, 50, true, 9, "u{Down}"},
    {"others-detail", 80, 24, true, 9, "u\\qwen{Enter}{Enter}"},
};

#define SCREENS (int)(sizeof(screens) / sizeof(screens[0]))

/* As the program does it: whoever asks for those that are not governed sees them at
 * once. Drawn between keys, as a terminal would: pages are as long as it is. */
static inline void press_one(const struct saved_screen *screen, const char *key)
{
    bool before = state.others;

    ck_assert(press(key));
    if (state.others && !before) {
        fill_turn(screen->turns + 1);
        update(3, 2);
    }
    draw(screen->width, screen->height, screen->utf8);
}

#endif
