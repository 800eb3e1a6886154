/* SPDX-License-Identifier: MIT */
/* Samples of a made-up machine and of made-up processes: for the tests of govtop, and
 * for the govtop that shows nothing else (tests/tools/govtop_fixed.c). */
#ifndef GOV_TESTS_GOVTOP_PAGES_H
#define GOV_TESTS_GOVTOP_PAGES_H

#include <stdio.h>
#include <string.h>

#include "tools/govtop/top_model.h"

#define MIB (UINT64_C(1) << 20)

static struct gov_machine machine;
static struct gov_page pages[TOP_PROCESSES + 2];
static struct gov_process others[3];

static inline void set(struct gov_page *page, gov_page_counter counter,
                       uint64_t n)
{
    page->have |= UINT64_C(1) << counter;
    page->counter[counter] = n;
}

#define TEXT(page, field, value)                                               \
    snprintf((page)->text_##field, sizeof((page)->text_##field), "%s", value)

static inline void fill_ladder(struct gov_page *page)
{
    static const struct gov_page_action actions[] = {
        {"kv.unused", GOV_LEVEL_NORMAL, 0, 4, 0, 0, 1700 * MIB, 1649 * MIB},
        {"weights.cold", GOV_LEVEL_WARN, GOV_PAGE_ACTION_RUNNING, 6, 0,
         900 * MIB, 1500 * MIB, 250 * MIB},
        {"cache.prompts", GOV_LEVEL_WARN, GOV_PAGE_ACTION_RETIRED, 3, 0,
         12 * MIB, 0, 0},
        {"models.idle", GOV_LEVEL_WARN, 0, 2, 4200, 0, 332 * MIB, 166 * MIB},
        {"talks.store", GOV_LEVEL_CRITICAL, GOV_PAGE_ACTION_OVERDUE, 1, 0,
         310 * MIB, 0, 0},
        {"weights.hot", GOV_LEVEL_CRITICAL, 0, 0, 0, 2867 * MIB, 0, 0},
    };

    memcpy(page->action, actions, sizeof(actions));
}

static inline void fill_event(struct gov_page *page, int at, uint64_t at_us,
                              gov_event_kind kind, gov_level level,
                              uint64_t yield, const char *text)
{
    struct gov_page_event *event = &page->event[at];

    event->at_us = at_us;
    event->kind = (uint32_t)kind;
    event->level = (uint32_t)level;
    event->yield_bytes = yield;
    snprintf(event->text, sizeof(event->text), "%s", text);
}

static inline void fill_events(struct gov_page *page)
{
    fill_event(page, 0, 500000, GOV_EVENT_NOTICE, GOV_LEVEL_NORMAL, 0,
               "loaded Llama-3.1-8B-Instruct-Q4_K_M in 2.1 s");
    fill_event(page, 1, 3100000, GOV_EVENT_LEVEL, GOV_LEVEL_WARN, 0,
               "warn: simulated for 60 s");
    fill_event(page, 2, 3200000, GOV_EVENT_RELIEF, GOV_LEVEL_WARN, 1649 * MIB,
               "kv.unused gave back 1649 MiB of 1700 MiB in 12 ms");
    fill_event(page, 3, 3900000, GOV_EVENT_RELIEF, GOV_LEVEL_WARN, 0,
               "cache.prompts gave nothing three times and rests until the "
               "level is normal");
}

/* A model that streams, at a simulated warning. */
static inline void fill_streaming(struct gov_page *page, uint64_t turn)
{
    page->pid = 4242;
    page->start_ticks = 100;
    set(page, GOV_PAGE_UPDATED_US, 9000000 + turn * 1000000);
    set(page, GOV_PAGE_LEVEL, GOV_LEVEL_WARN);
    set(page, GOV_PAGE_LEVEL_SIMULATED, 1);
    set(page, GOV_PAGE_BUDGET, 3584 * MIB);
    set(page, GOV_PAGE_FOOTPRINT, (1200 + 60 * (turn % 32)) * MIB);
    set(page, GOV_PAGE_HEADROOM, (2384 - 60 * (turn % 32)) * MIB);
    set(page, GOV_PAGE_ANON, (1180 + 60 * (turn % 32)) * MIB);
    set(page, GOV_PAGE_SWAP, 20 * MIB);
    set(page, GOV_PAGE_RESIDENT_FILE, 3200 * MIB);
    set(page, GOV_PAGE_MAJOR_FAULTS, 12 * turn);
    set(page, GOV_PAGE_MINOR_FAULTS, 340 * turn);
    set(page, GOV_PAGE_READ_BYTES, turn * (turn + 1) * 40 * MIB);
    set(page, GOV_PAGE_WEIGHTS_MAPPED, 4690 * MIB);
    set(page, GOV_PAGE_WEIGHTS_RESIDENT, 3174 * MIB);
    set(page, GOV_PAGE_WEIGHTS_HOT, 2867 * MIB);
    set(page, GOV_PAGE_WEIGHTS_COLD, 1823 * MIB);
    set(page, GOV_PAGE_WEIGHTS_STREAMED, 12595 * MIB);
    set(page, GOV_PAGE_WEIGHTS_LATE, 3);
    set(page, GOV_PAGE_WEIGHTS_ANCHORED, 1434 * MIB);
    set(page, GOV_PAGE_WEIGHTS_WARM, 871);
    set(page, GOV_PAGE_PASS_US, 431000);
    set(page, GOV_PAGE_PASS_WEIGHTS_US, 38200);
    set(page, GOV_PAGE_PASS_RECLAIM_US, 0);
    set(page, GOV_PAGE_PASS_READ, 1021 * MIB);
    set(page, GOV_PAGE_PASS_MAJOR_FAULTS, 2);
    set(page, GOV_PAGE_KV_RESERVED, 1731 * MIB);
    set(page, GOV_PAGE_KV_USED, 82 * MIB);
    set(page, GOV_PAGE_KV_GIVEN_BACK, 1649 * MIB);
    set(page, GOV_PAGE_CONTEXT, 16384);
    set(page, GOV_PAGE_CONTEXT_USED, 512);
    set(page, GOV_PAGE_CACHE, 12 * MIB);
    set(page, GOV_PAGE_TOKENS, 1204);
    set(page, GOV_PAGE_TOKEN_RATE_MILLI, 11234 + 400 * (turn % 40));
    set(page, GOV_PAGE_FIRST_TOKEN_US, 312000);
    set(page, GOV_PAGE_RELIEFS, 12);
    set(page, GOV_PAGE_YIELD_TOTAL, 3481 * MIB);
    set(page, GOV_PAGE_YIELD_LAST, 1649 * MIB);
    set(page, GOV_PAGE_FILL, 60 * MIB);
    set(page, GOV_PAGE_EXPECTED, 0);
    set(page, GOV_PAGE_RELIEF_BARREN, 1);
    set(page, GOV_PAGE_RELIEF_OVERDUE, 0);
    set(page, GOV_PAGE_MODELS, 2);
    set(page, GOV_PAGE_MODELS_LOADED, 1);
    TEXT(page, APP, "gov run");
    TEXT(page, ENGINE, "llama.cpp b6123");
    TEXT(page, MODEL, "Llama-3.1-8B-Instruct-Q4_K_M");
    TEXT(page, STRATEGY, "hybrid");
    TEXT(page, REASON, "simulated for 60 s");
    TEXT(page, HEADROOM_SOURCE, "budget");
    TEXT(page, BACKEND, "PSI (own cgroup) and headroom");
    TEXT(page, WAKES,
         "woken by PSI trigger (own cgroup); not by memory.events "
         "(cgroup v2) (no v2 group with the memory controller)");
    TEXT(page, LAST_RELIEF, "kv.unused");
    TEXT(page, UNITS, "HHssHhhHH++HH--HH--HH--HH--HH--HHH");
    set(page, GOV_PAGE_WEIGHTS_WAIT_US, 90000 * turn + turn % 3 * 20000);
    set(page, GOV_PAGE_STALL_US, 20000 * turn + turn % 4 * 6000);
    set(page, GOV_PAGE_REQUESTS, 41);
    set(page, GOV_PAGE_CONVERSATIONS, 5);
    set(page, GOV_PAGE_CONVERSATIONS_STORED, 3);
    set(page, GOV_PAGE_STATE_BYTES, 310 * MIB);
    fill_ladder(page);
    fill_events(page);
}

/* Nearly at its budget; a name that takes two cells a character, and more units
 * than a line has cells. */
static inline void fill_critical(struct gov_page *page, uint64_t turn)
{
    page->pid = 31;
    page->start_ticks = 7;
    set(page, GOV_PAGE_UPDATED_US, 9000000 + turn * 1000000);
    set(page, GOV_PAGE_LEVEL, GOV_LEVEL_CRITICAL);
    set(page, GOV_PAGE_LEVEL_SIMULATED, 0);
    set(page, GOV_PAGE_BUDGET, 6144 * MIB);
    set(page, GOV_PAGE_FOOTPRINT, 6000 * MIB);
    set(page, GOV_PAGE_HEADROOM, 144 * MIB);
    set(page, GOV_PAGE_READ_BYTES, 0);
    set(page, GOV_PAGE_TOKEN_RATE_MILLI, 350);
    TEXT(page, APP, "\xE7\xBC\x96\xE8\xBE\x91\xE5\x99\xA8");
    TEXT(page, MODEL, "Mixtral-8x7B-v0.1-Q4_0");
    TEXT(page, STRATEGY, "mmap");
    TEXT(page, REASON, "headroom 2 % of budget is below 5 %");
    TEXT(page, HEADROOM_SOURCE, "budget");
    for (size_t i = 0; i < 300; i++)
        page->text_UNITS[i] = i % 5 == 0 ? 'H' : i > 200 ? 's' : '-';
    page->text_UNITS[300] = '\0';
    fill_event(page, 0, 3200000, GOV_EVENT_LEVEL, GOV_LEVEL_CRITICAL, 0,
               "critical: headroom 2 % of budget is below 5 %");
}

/* Two that are not governed, of which the kernel tells more or less. */
static inline void fill_others(void)
{
    memset(others, 0, sizeof(others));
    others[0] = (struct gov_process){
        .pid = 900,
        .start_ticks = 3,
        .footprint_bytes = 2100 * MIB,
        .exact = true,
        .swap_bytes = 0,
        .resident_file_bytes = 4300 * MIB,
        .mapped_bytes = 4690 * MIB,
        .mapped_resident_bytes = 4200 * MIB,
        .major_faults = 77,
        .minor_faults = 12000,
        .read_bytes = 4690 * MIB,
    };
    snprintf(others[0].name, sizeof(others[0].name), "llama-server");
    snprintf(others[0].model, sizeof(others[0].model), "qwen2.5-7b.gguf");
    others[1] = (struct gov_process){
        .pid = 5000,
        .footprint_bytes = UINT64_MAX,
        .swap_bytes = UINT64_MAX,
        .resident_file_bytes = UINT64_MAX,
        .mapped_resident_bytes = UINT64_MAX,
        .major_faults = 3,
        .minor_faults = 40,
        .read_bytes = UINT64_MAX,
    };
    snprintf(others[1].name, sizeof(others[1].name), "ollama");
}

/* A process that has not told anything yet, and is silent since. */
static inline void fill_silent(struct gov_page *page)
{
    page->pid = 1234567;
    set(page, GOV_PAGE_UPDATED_US, 1000);
    set(page, GOV_PAGE_FOOTPRINT, 250 * MIB);
}

static inline void fill_machine(uint64_t turn)
{
    machine = (struct gov_machine){
        .size = sizeof(machine),
        .have = GOV_MACHINE_HAVE_RAM | GOV_MACHINE_HAVE_STALL |
                GOV_MACHINE_HAVE_IO_STALL,
        .now_us = 10000000 + turn * 1000000,
        .ram_bytes = 15974 * MIB,
        .available_bytes = 4516 * MIB,
        .swap_bytes = 2048 * MIB,
        .swap_free_bytes = 1731 * MIB,
        .limit_bytes = 8192 * MIB,
        .limit_used_bytes = 7000 * MIB,
        .limit_file_bytes = 500 * MIB,
        .limit_source = "cgroup v2 /app.slice, memory.max",
        .stall_some_us = turn * turn * 6000,
        .stall_full_us = turn * 4000,
        .io_some_us = turn * 123000,
        .stall_source = "system",
    };
}

/* Turn 1, 2, ... of the three processes and of the two that are not governed, a
 * second apart. */
static inline void fill_turn(uint64_t turn)
{
    memset(pages, 0, sizeof(pages));
    fill_critical(&pages[0], turn);
    fill_streaming(&pages[1], turn);
    fill_silent(&pages[2]);
    fill_machine(turn);
    fill_others();
    others[0].major_faults += 3 * turn;
}

#endif
