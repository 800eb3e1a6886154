/* SPDX-License-Identifier: MIT */
#include "tools/gov/metrics_text.h"

#include <inttypes.h>
#include <string.h>

#include "tools/gov/metrics_lines.h"

/* ---- governed processes ----------------------------------------------------------- */

#define GAUGE GOV_METRIC_GAUGE
#define COUNTER GOV_METRIC_COUNTER
#define BYTES "bytes", 0
#define MICROSECONDS "seconds", 6
#define NUMBER "", 0

/* X(counter, kind, name, unit and digits, help). docs/page.md says what each is. */
#define COUNTER_MAP(X)                                                         \
    X(UPDATED_US, GAUGE, "governor_page_age_seconds", MICROSECONDS,            \
      "Since the process has published its last figures.")                     \
    X(LEVEL, GAUGE, "governor_level", NUMBER,                                  \
      "Level of memory pressure: 0 normal, 50 warn, 100 critical.")            \
    X(LEVEL_SIMULATED, GAUGE, "governor_level_simulated", NUMBER,              \
      "1 while that level is simulated.")                                      \
    X(BUDGET, GAUGE, "governor_budget_bytes", BYTES,                           \
      "Memory the app may use.")                                               \
    X(HEADROOM, GAUGE, "governor_headroom_bytes", BYTES,                       \
      "What of the budget is not used, or less where less is left.")           \
    X(FOOTPRINT, GAUGE, "governor_footprint_bytes", BYTES,                     \
      "Memory that is charged and cannot be dropped; clean file pages are "    \
      "not in it.")                                                            \
    X(ANON, GAUGE, "governor_anonymous_bytes", BYTES,                          \
      "Anonymous memory in RAM.")                                              \
    X(SWAP, GAUGE, "governor_swap_bytes", BYTES,                               \
      "Anonymous memory swapped or compressed.")                               \
    X(RESIDENT_FILE, GAUGE, "governor_resident_file_bytes", BYTES,             \
      "File pages mapped and in memory, which can be dropped.")                \
    X(MAJOR_FAULTS, COUNTER, "governor_major_faults", NUMBER,                  \
      "Page faults that read storage.")                                        \
    X(MINOR_FAULTS, COUNTER, "governor_minor_faults", NUMBER,                  \
      "Page faults that did not read storage.")                                \
    X(READ_BYTES, COUNTER, "governor_read_bytes", BYTES, "Read from storage.") \
    X(WEIGHTS_MAPPED, GAUGE, "governor_weights_mapped_bytes", BYTES,           \
      "Size of the mapped weights.")                                           \
    X(WEIGHTS_RESIDENT, GAUGE, "governor_weights_resident_bytes", BYTES,       \
      "Mapped weights in memory.")                                             \
    X(WEIGHTS_HOT, GAUGE, "governor_weights_hot_bytes", BYTES,                 \
      "Weights that stay in memory.")                                          \
    X(WEIGHTS_COLD, GAUGE, "governor_weights_cold_bytes", BYTES,               \
      "Weights that are streamed.")                                            \
    X(WEIGHTS_STREAMED, COUNTER, "governor_weights_streamed_bytes", BYTES,     \
      "Weights read ahead.")                                                   \
    X(WEIGHTS_LATE, COUNTER, "governor_weights_late_units", NUMBER,            \
      "Units of weights reached before their read had ended.")                 \
    X(KV_RESERVED, GAUGE, "governor_kv_reserved_bytes", BYTES,                 \
      "KV cache for the whole context.")                                       \
    X(KV_USED, GAUGE, "governor_kv_used_bytes", BYTES,                         \
      "KV cache that holds tokens.")                                           \
    X(KV_GIVEN_BACK, COUNTER, "governor_kv_given_back_bytes", BYTES,           \
      "Unused KV cache given back.")                                           \
    X(CONTEXT, GAUGE, "governor_context_tokens", NUMBER,                       \
      "Tokens the context can hold.")                                          \
    X(CONTEXT_USED, GAUGE, "governor_context_used_tokens", NUMBER,             \
      "Tokens in the context.")                                                \
    X(CACHE, GAUGE, "governor_cache_bytes", BYTES, "In governed caches.")      \
    X(TOKENS, COUNTER, "governor_tokens", NUMBER, "Tokens generated.")         \
    X(TOKEN_RATE_MILLI, GAUGE, "governor_tokens_per_second", "", 3,            \
      "Recent rate of generating.")                                            \
    X(FIRST_TOKEN_US, GAUGE, "governor_first_token_seconds", MICROSECONDS,     \
      "Latency of the last first token.")                                      \
    X(RELIEFS, COUNTER, "governor_reliefs", NUMBER, "Relief actions run.")     \
    X(YIELD_TOTAL, COUNTER, "governor_yield_bytes", BYTES,                     \
      "Memory given back by relief, as measured.")                             \
    X(YIELD_LAST, GAUGE, "governor_last_yield_bytes", BYTES,                   \
      "Memory the last relief action gave back.")                              \
    X(PASS_US, GAUGE, "governor_pass_seconds", MICROSECONDS,                   \
      "Time of the last forward pass.")                                        \
    X(PASS_WEIGHTS_US, GAUGE, "governor_pass_weights_seconds", MICROSECONDS,   \
      "Waited for weights in the last forward pass.")                          \
    X(PASS_RECLAIM_US, GAUGE, "governor_pass_reclaim_seconds", MICROSECONDS,   \
      "Stalled for memory in the last forward pass.")                          \
    X(PASS_MAJOR_FAULTS, GAUGE, "governor_pass_major_faults", NUMBER,          \
      "Page faults that read storage in the last forward pass.")               \
    X(PASS_READ, GAUGE, "governor_pass_read_bytes", BYTES,                     \
      "Read from storage in the last forward pass.")                           \
    X(WEIGHTS_ANCHORED, GAUGE, "governor_weights_anchored_bytes", BYTES,       \
      "Weights in anonymous memory.")                                          \
    X(WEIGHTS_WARM, GAUGE, "governor_weights_warm_ratio", "ratio", 3,          \
      "Of the weights that stay, those that are in memory.")                   \
    X(REFAULT, COUNTER, "governor_refault_bytes", BYTES,                       \
      "File pages read again after the system took them.")                     \
    X(FILL, GAUGE, "governor_fill_bytes_per_second", NUMBER,                   \
      "What headroom loses.")                                                  \
    X(EXPECTED, GAUGE, "governor_expected_bytes", BYTES,                       \
      "Memory that loads have announced and still take.")                      \
    X(RELIEF_BARREN, GAUGE, "governor_relief_barren_actions", NUMBER,          \
      "Relief actions that gave nothing and rest until the level is normal.")  \
    X(RELIEF_OVERDUE, GAUGE, "governor_relief_overdue_actions", NUMBER,        \
      "Relief actions of which a call does not return.")                       \
    X(MODELS, GAUGE, "governor_models", NUMBER,                                \
      "Models that may be unloaded and come back.")                            \
    X(MODELS_LOADED, GAUGE, "governor_models_loaded", NUMBER,                  \
      "Those of them that are loaded.")                                        \
    X(WEIGHTS_WAIT_US, COUNTER, "governor_weights_wait_seconds", MICROSECONDS, \
      "Time that forward passes waited for weights.")                          \
    X(STALL_US, COUNTER, "governor_stall_seconds", MICROSECONDS,               \
      "Time that forward passes stalled for memory.")                          \
    X(REQUESTS, COUNTER, "governor_requests", NUMBER, "Prompts answered.")     \
    X(CONVERSATIONS, GAUGE, "governor_conversations", NUMBER,                  \
      "Conversations that there are.")                                         \
    X(CONVERSATIONS_STORED, GAUGE, "governor_conversations_stored", NUMBER,    \
      "Those of them that are only on disk.")                                  \
    X(STATE_BYTES, GAUGE, "governor_state_bytes", BYTES,                       \
      "Conversations on disk.")                                                \
    X(TELEMETRY_LOST, COUNTER, "governor_telemetry_lost_rows", NUMBER,         \
      "Rows of telemetry that were lost.")                                     \
    X(SHARED, GAUGE, "governor_shared_bytes", BYTES,                           \
      "Shared memory that is in the footprint.")

/* None twice (the compiler warns of that), so all are there when as many are. */
#define COUNT_ONE(id, kind, name, ...) +1
_Static_assert((0 COUNTER_MAP(COUNT_ONE)) == GOV_PAGE_COUNTERS,
               "a counter of the page is no metric yet");

static const struct gov_metric_family counters[GOV_PAGE_COUNTERS] = {
#define FAMILY(id, kind, name, ...) [GOV_PAGE_##id] = {name, kind, __VA_ARGS__},
    COUNTER_MAP(FAMILY)
#undef FAMILY
};

static void put_page_labels(struct gov_metric_writer *writer,
                            const struct gov_page *page)
{
    char pid[16];

    snprintf(pid, sizeof(pid), "%" PRId32, page->pid);
    gov_metric_label(writer, true, "pid", pid);
    gov_metric_label(writer, false, "app", page->text_APP);
    gov_metric_label(writer, false, "model", page->text_MODEL);
    gov_metric_label(writer, false, "engine", page->text_ENGINE);
    gov_metric_label(writer, false, "strategy", page->text_STRATEGY);
}

static uint64_t counter_of(const struct gov_metrics *metrics,
                           const struct gov_page *page, int i)
{
    const uint64_t value = page->counter[i], now = metrics->machine->now_us;

    if (i != GOV_PAGE_UPDATED_US)
        return value;
    return now > value ? now - value : 0;
}

static void put_counters(struct gov_metric_writer *writer,
                         const struct gov_metrics *metrics)
{
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++) {
        gov_metric_begin(writer, &counters[i]);
        for (size_t n = 0; n < metrics->page_count; n++) {
            const struct gov_page *page = &metrics->pages[n];

            if ((page->have >> i & 1) == 0)
                continue;
            gov_metric_name(writer);
            put_page_labels(writer, page);
            gov_metric_value(writer, true, counter_of(metrics, page, i));
        }
    }
}

/* ---- their relief actions --------------------------------------------------------- */

static const struct gov_metric_family actions[] = {
    {"governor_action_from_level", GAUGE, NUMBER,
     "The level from which on the relief action may run."},
    {"governor_action_runs", COUNTER, NUMBER, "Runs of the relief action."},
    {"governor_action_claimed_bytes", COUNTER, BYTES,
     "Memory the relief action said that it gave back."},
    {"governor_action_yield_bytes", COUNTER, BYTES,
     "Memory the relief action gave back, as measured."},
    {"governor_action_last_yield_bytes", GAUGE, BYTES,
     "Memory its last run gave back, as measured."},
    {"governor_action_rest_seconds", GAUGE, "seconds", 3,
     "For how long the relief action still rests."},
    {"governor_action_running", GAUGE, NUMBER, "1 while it runs."},
    {"governor_action_retired", GAUGE, NUMBER,
     "1 when it gave nothing and rests until the level is normal."},
    {"governor_action_overdue", GAUGE, NUMBER,
     "1 when a call of it does not return."},
};

#define ACTION_FAMILIES (sizeof(actions) / sizeof(actions[0]))

/* In the order of the families. */
static void action_values(const struct gov_page_action *action,
                          uint64_t out[ACTION_FAMILIES])
{
    const uint64_t values[] = {
        action->from_level,
        action->runs,
        action->claimed_bytes,
        action->yield_bytes,
        action->last_yield_bytes,
        action->rest_ms,
        (action->flags & GOV_PAGE_ACTION_RUNNING) != 0,
        (action->flags & GOV_PAGE_ACTION_RETIRED) != 0,
        (action->flags & GOV_PAGE_ACTION_OVERDUE) != 0,
    };

    _Static_assert(sizeof(values) == ACTION_FAMILIES * sizeof(values[0]),
                   "a family of actions has no value");
    memcpy(out, values, sizeof(values));
}

/* How many before it have its name: two may, and would be one series. */
static unsigned namesakes(const struct gov_page *page, size_t at)
{
    unsigned n = 0;

    for (size_t i = 0; i < at; i++)
        n += strcmp(page->action[i].name, page->action[at].name) == 0;
    return n;
}

static void put_action(struct gov_metric_writer *writer,
                       const struct gov_page *page, size_t at, uint64_t value)
{
    const unsigned before = namesakes(page, at);
    char number[16];

    gov_metric_name(writer);
    put_page_labels(writer, page);
    gov_metric_label(writer, false, "action", page->action[at].name);
    if (before > 0) {
        snprintf(number, sizeof(number), "%u", before + 1);
        gov_metric_label(writer, false, "namesake", number);
    }
    gov_metric_value(writer, true, value);
}

static void put_actions(struct gov_metric_writer *writer,
                        const struct gov_metrics *metrics)
{
    uint64_t values[ACTION_FAMILIES];

    for (size_t i = 0; i < ACTION_FAMILIES; i++) {
        gov_metric_begin(writer, &actions[i]);
        for (size_t n = 0; n < metrics->page_count; n++) {
            const struct gov_page *page = &metrics->pages[n];

            for (size_t at = 0; at < GOV_PAGE_ACTIONS; at++) {
                if (page->action[at].name[0] == '\0')
                    break;
                action_values(&page->action[at], values);
                put_action(writer, page, at, values[i]);
            }
        }
    }
}

/* ---- the machine ------------------------------------------------------------------ */

static void put_memory(struct gov_metric_writer *writer,
                       const struct gov_machine *machine)
{
    const struct {
        uint32_t have;
        struct gov_metric_family family;
        uint64_t value;
    } rows[] = {
        {GOV_MACHINE_HAVE_RAM,
         {"governor_machine_memory_bytes", GAUGE, BYTES, "RAM."},
         machine->ram_bytes},
        {GOV_MACHINE_HAVE_RAM,
         {"governor_machine_available_bytes", GAUGE, BYTES,
          "RAM that can be had without swapping, as the kernel estimates it."},
         machine->available_bytes},
        {GOV_MACHINE_HAVE_SWAP,
         {"governor_machine_swap_bytes", GAUGE, BYTES, "Swap space."},
         machine->swap_bytes},
        {GOV_MACHINE_HAVE_SWAP,
         {"governor_machine_swap_free_bytes", GAUGE, BYTES,
          "Swap space that is free."},
         machine->swap_free_bytes},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if ((machine->have & rows[i].have) != 0)
            gov_metric_plain(writer, &rows[i].family, rows[i].value);
}

static void put_limit(struct gov_metric_writer *writer,
                      const struct gov_machine *machine)
{
    const struct {
        struct gov_metric_family family;
        uint64_t value;
    } rows[] = {
        {{"governor_machine_limit_bytes", GAUGE, BYTES,
          "The tightest memory limit that binds this command."},
         machine->limit_bytes},
        {{"governor_machine_limit_used_bytes", GAUGE, BYTES,
          "Charged to the group that has that limit."},
         machine->limit_used_bytes},
        {{"governor_machine_limit_file_bytes", GAUGE, BYTES,
          "File pages in that charge."},
         machine->limit_file_bytes},
    };

    if ((machine->have & GOV_MACHINE_HAVE_LIMIT) == 0)
        return;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gov_metric_begin(writer, &rows[i].family);
        gov_metric_name(writer);
        gov_metric_label(writer, true, "source", machine->limit_source);
        gov_metric_value(writer, true, rows[i].value);
    }
}

static void put_stall(struct gov_metric_writer *writer,
                      const struct gov_machine *machine, const char *who,
                      uint64_t value)
{
    gov_metric_name(writer);
    gov_metric_label(writer, true, "stalled", who);
    gov_metric_label(writer, false, "source", machine->stall_source);
    gov_metric_value(writer, true, value);
}

static void put_stalls(struct gov_metric_writer *writer,
                       const struct gov_machine *machine)
{
    static const struct gov_metric_family memory = {
        "governor_machine_memory_stall_seconds", COUNTER, MICROSECONDS,
        "Time in which some or all tasks waited for memory."};
    static const struct gov_metric_family io = {
        "governor_machine_io_stall_seconds", COUNTER, MICROSECONDS,
        "Time in which some tasks waited for storage."};

    if ((machine->have & GOV_MACHINE_HAVE_STALL) != 0) {
        gov_metric_begin(writer, &memory);
        put_stall(writer, machine, "some", machine->stall_some_us);
        put_stall(writer, machine, "full", machine->stall_full_us);
    }
    if ((machine->have & GOV_MACHINE_HAVE_IO_STALL) != 0) {
        gov_metric_begin(writer, &io);
        put_stall(writer, machine, "some", machine->io_some_us);
    }
}

/* ---- ungoverned processes --------------------------------------------------------- */

static const struct gov_metric_family others[] = {
    {"governor_ungoverned_footprint_bytes", GAUGE, BYTES,
     "Anonymous memory of the process, in RAM and in swap."},
    {"governor_ungoverned_swap_bytes", GAUGE, BYTES, "Of that, in swap."},
    {"governor_ungoverned_resident_file_bytes", GAUGE, BYTES,
     "File pages mapped and in memory, which can be dropped."},
    {"governor_ungoverned_mapped_bytes", GAUGE, BYTES,
     "Size of the model files that are mapped."},
    {"governor_ungoverned_mapped_resident_bytes", GAUGE, BYTES,
     "Of those, in memory as the process sees it."},
    {"governor_ungoverned_major_faults", COUNTER, NUMBER,
     "Page faults that read storage."},
    {"governor_ungoverned_minor_faults", COUNTER, NUMBER,
     "Page faults that did not read storage."},
    {"governor_ungoverned_read_bytes", COUNTER, BYTES, "Read from storage."},
};

#define OTHER_FAMILIES (sizeof(others) / sizeof(others[0]))

/* In the order of the families; UINT64_MAX: not told. */
static void other_values(const struct gov_process *process,
                         uint64_t out[OTHER_FAMILIES])
{
    const uint64_t values[] = {
        process->footprint_bytes,       process->swap_bytes,
        process->resident_file_bytes,   process->mapped_bytes,
        process->mapped_resident_bytes, process->major_faults,
        process->minor_faults,          process->read_bytes,
    };

    _Static_assert(sizeof(values) == OTHER_FAMILIES * sizeof(values[0]),
                   "a family of other processes has no value");
    memcpy(out, values, sizeof(values));
}

static void put_other(struct gov_metric_writer *writer,
                      const struct gov_process *process, uint64_t value)
{
    char pid[16];

    snprintf(pid, sizeof(pid), "%" PRId32, process->pid);
    gov_metric_name(writer);
    gov_metric_label(writer, true, "pid", pid);
    gov_metric_label(writer, false, "name", process->name);
    gov_metric_label(writer, false, "model", process->model);
    gov_metric_value(writer, true, value);
}

static void put_others(struct gov_metric_writer *writer,
                       const struct gov_metrics *metrics)
{
    static const struct gov_metric_family number = {
        "governor_ungoverned_processes", GAUGE, NUMBER,
        "Processes that run models and are not governed."};
    uint64_t values[OTHER_FAMILIES];

    gov_metric_plain(writer, &number, metrics->other_count);
    for (size_t i = 0; i < OTHER_FAMILIES; i++) {
        gov_metric_begin(writer, &others[i]);
        for (size_t n = 0; n < metrics->other_count; n++) {
            other_values(&metrics->others[n], values);
            if (values[i] != UINT64_MAX)
                put_other(writer, &metrics->others[n], values[i]);
        }
    }
}

bool gov_metrics_write(const struct gov_metrics *metrics, FILE *out)
{
    static const struct gov_metric_family number = {
        "governor_processes", GAUGE, NUMBER,
        "Governed processes of this user."};
    struct gov_metric_writer writer = {out, NULL, false};

    put_memory(&writer, metrics->machine);
    put_limit(&writer, metrics->machine);
    put_stalls(&writer, metrics->machine);
    gov_metric_plain(&writer, &number, metrics->page_count);
    put_counters(&writer, metrics);
    put_actions(&writer, metrics);
    if (metrics->have_others)
        put_others(&writer, metrics);
    fputs("# EOF\n", out);
    return ferror(out) == 0;
}
