/* SPDX-License-Identifier: MIT */
/* The published page: what a governed process shows of itself, and how a viewer
 * finds and reads such pages. docs/page.md has the byte layout. */
#ifndef GOV_PAGE_H
#define GOV_PAGE_H

#include <stdbool.h>

#include "policies/level.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(id, "json_name", "sentence"). Append only: positions are the format. A
 * counter is absent, not zero, until it was set once. */
#define GOV_PAGE_COUNTER_MAP(X)                                                \
    X(UPDATED_US, "updated_us", "monotonic time of the last update")           \
    X(LEVEL, "level", "0 normal, 50 warn, 100 critical")                       \
    X(LEVEL_SIMULATED, "level_simulated", "1 while the level is simulated")    \
    X(BUDGET, "budget_bytes", "bytes the app may use")                         \
    X(HEADROOM, "headroom_bytes", "budget not used, or less if less is left")  \
    X(FOOTPRINT, "footprint_bytes", "charged and not droppable")               \
    X(ANON, "anon_bytes", "anonymous memory in RAM")                           \
    X(SWAP, "swap_bytes", "anonymous memory swapped or compressed")            \
    X(RESIDENT_FILE, "resident_file_bytes", "file pages mapped, droppable")    \
    X(MAJOR_FAULTS, "major_faults", "page faults that read storage")           \
    X(MINOR_FAULTS, "minor_faults", "page faults that did not")                \
    X(READ_BYTES, "read_bytes", "bytes read from storage")                     \
    X(WEIGHTS_MAPPED, "weights_mapped_bytes", "size of the mapped weights")    \
    X(WEIGHTS_RESIDENT, "weights_resident_bytes", "of those, in memory")       \
    X(WEIGHTS_HOT, "weights_hot_bytes", "weights that stay in memory")         \
    X(WEIGHTS_COLD, "weights_cold_bytes", "weights that are streamed")         \
    X(WEIGHTS_STREAMED, "weights_streamed_bytes", "read ahead so far")         \
    X(WEIGHTS_LATE, "weights_late_units", "units reached before their read")   \
    X(KV_RESERVED, "kv_reserved_bytes", "KV cache for the whole context")      \
    X(KV_USED, "kv_used_bytes", "KV cache that holds tokens")                  \
    X(KV_GIVEN_BACK, "kv_given_back_bytes", "unused KV given back so far")     \
    X(CONTEXT, "context_tokens", "tokens the context can hold")                \
    X(CONTEXT_USED, "context_used_tokens", "tokens in the context")            \
    X(CACHE, "cache_bytes", "bytes in governed caches")                        \
    X(TOKENS, "tokens", "tokens generated so far")                             \
    X(TOKEN_RATE_MILLI, "tokens_per_second_milli", "recent rate, x 1000")      \
    X(FIRST_TOKEN_US, "first_token_us", "latency of the last first token")     \
    X(RELIEFS, "reliefs", "relief actions run")                                \
    X(YIELD_TOTAL, "yield_bytes", "bytes given back, measured")                \
    X(YIELD_LAST, "last_yield_bytes", "bytes the last action gave")            \
    X(PASS_US, "pass_us", "time of the last forward pass")                     \
    X(PASS_WEIGHTS_US, "pass_weights_us", "of that, waited for weights")       \
    X(PASS_RECLAIM_US, "pass_reclaim_us", "of that, stalled for memory")       \
    X(PASS_MAJOR_FAULTS, "pass_major_faults", "in that pass")                  \
    X(PASS_READ, "pass_read_bytes", "read from storage in that pass")          \
    X(WEIGHTS_ANCHORED, "weights_anchored_bytes",                              \
      "weights in anonymous memory")                                           \
    X(WEIGHTS_WARM, "weights_warm_permille",                                   \
      "of the weights that stay, those that are there")                        \
    X(REFAULT, "refault_bytes", "read again after the system took them")       \
    X(FILL, "fill_bytes_per_second", "what headroom loses")                    \
    X(EXPECTED, "expected_bytes", "announced, and still to come")              \
    X(RELIEF_BARREN, "relief_barren", "actions retired, having given nothing") \
    X(RELIEF_OVERDUE, "relief_overdue", "actions that do not return")          \
    X(MODELS, "models", "models that may be unloaded and come back")           \
    X(MODELS_LOADED, "models_loaded", "of those, loaded")                      \
    X(WEIGHTS_WAIT_US, "weights_wait_us", "waited for weights so far")         \
    X(STALL_US, "stall_us", "passes stalled for memory so far")                \
    X(REQUESTS, "requests", "prompts answered so far")                         \
    X(CONVERSATIONS, "conversations", "that there are")                        \
    X(CONVERSATIONS_STORED, "conversations_stored", "of those, on disk only")  \
    X(STATE_BYTES, "state_bytes", "of conversations on disk")                  \
    X(TELEMETRY_LOST, "telemetry_lost", "rows of telemetry that were lost")    \
    X(SHARED, "shared_bytes", "shared memory that is footprint")

typedef enum gov_page_counter {
#define GOV_PAGE_ENUM(id, name, sentence) GOV_PAGE_##id,
    GOV_PAGE_COUNTER_MAP(GOV_PAGE_ENUM)
#undef GOV_PAGE_ENUM
        GOV_PAGE_COUNTERS
} gov_page_counter;

/* X(id, "json_name", bytes with the NUL). */
#define GOV_PAGE_TEXT_MAP(X)                                                   \
    X(APP, "app", 32)                                                          \
    X(ENGINE, "engine", 48)                                                    \
    X(MODEL, "model", 96)                                                      \
    X(STRATEGY, "strategy", 16)                                                \
    X(REASON, "reason", 128)                                                   \
    X(BACKEND, "backend", 64)                                                  \
    X(LAST_RELIEF, "last_relief", 32)                                          \
    X(UNITS, "units", 512)                                                     \
    X(WAKES, "wakes", 256)                                                     \
    X(HEADROOM_SOURCE, "headroom_source", 32)

typedef enum gov_page_text {
#define GOV_PAGE_ENUM(id, name, bytes) GOV_PAGE_TEXT_##id,
    GOV_PAGE_TEXT_MAP(GOV_PAGE_ENUM)
#undef GOV_PAGE_ENUM
        GOV_PAGE_TEXTS
} gov_page_text;

/* A relief action, in the order in which they go (governor/relief.h). */
enum gov_page_action_flags {
    GOV_PAGE_ACTION_RUNNING = 1 << 0,
    GOV_PAGE_ACTION_RETIRED = 1 << 1, /* gave nothing, and rests until normal */
    GOV_PAGE_ACTION_OVERDUE = 1 << 2, /* a call of it does not return */
};

struct gov_page_action {
    char name[32];       /* "" ends the list */
    uint32_t from_level; /* not before this one; above 100: never */
    uint32_t flags;
    uint32_t runs;
    uint32_t rest_ms; /* still; 0: it may run */
    uint64_t claimed_bytes, yield_bytes, last_yield_bytes;
};

/* What happened, as the listener of gov_on_event() was told. */
struct gov_page_event {
    uint64_t at_us; /* the clock of "updated_us"; 0: none */
    uint32_t kind;  /* gov_event_kind */
    uint32_t level;
    uint64_t yield_bytes; /* of relief */
    char text[120];       /* the sentence, cut */
};

#define GOV_PAGE_ACTIONS 16 /* the first ones of the ladder */
#define GOV_PAGE_EVENTS 24  /* the last ones */

/* A consistent copy of one process's page. Every text is NUL-terminated and
 * printable UTF-8, whatever was in the file. */
struct gov_page {
    int32_t pid;
    /* Of the page. One that this library does not read has its pid, its start and
     * nothing else. */
    uint32_t version;
    uint64_t start_ticks; /* start time of the process, 0 unknown */
    bool alive;
    uint64_t have; /* bit n: counter n was set */
    uint64_t counter[GOV_PAGE_COUNTERS];
    struct gov_page_action action[GOV_PAGE_ACTIONS];
    struct gov_page_event event[GOV_PAGE_EVENTS]; /* the oldest first */
#define GOV_PAGE_FIELD(id, name, bytes) char text_##id[bytes];
    GOV_PAGE_TEXT_MAP(GOV_PAGE_FIELD)
#undef GOV_PAGE_FIELD
};

/* "footprint_bytes" and kin; NULL for a number that is none. */
GOV_API const char *gov_page_counter_name(gov_page_counter counter);
GOV_API const char *gov_page_text_name(gov_page_text text);
/* The text field by number; borrowed from page. "" for a number that is none. */
GOV_API const char *gov_page_text_get(const struct gov_page *page,
                                      gov_page_text text);

/* The directory of the pages: $XDG_RUNTIME_DIR/governor, or governor-UID in the
 * temporary directory. */
GOV_API GOV_NODISCARD gov_status gov_page_directory(char *out, size_t bytes,
                                                    gov_error *err);

/* Reads all pages of this user's governed processes that are alive, at most
 * `room`, ordered by pid; *count is how many there are to read. Pages of dead
 * processes are removed. Files that are no page, or not this user's, are passed
 * over. A page of another version, older or newer, is not: it has its version, pid
 * and start, nothing in `have`, and a reason that says so. directory NULL means the
 * default, which may be missing: *count is 0.
 *
 * GOV_E_NOT_FOUND   the directory that was named is missing
 * GOV_E_PERMISSION  it cannot be trusted */
GOV_API GOV_NODISCARD gov_status gov_page_list(struct gov_page *pages,
                                               size_t room, size_t *count,
                                               const char *directory,
                                               gov_error *err);

/* ---- several sessions of one process --------------------------------------- */

typedef struct gov_runtime gov_runtime;

/* Counters and texts of one session, beside those of others. Of what sessions hold
 * and have done the page shows the sum, of rates and times what was set last, of
 * texts those of the session whose texts changed last. gov_publish() is for what
 * belongs to the app as a whole; what is counted by both is added up.
 *
 * Returns an id, or 0, which the others pass over: there is no runtime, or 16 have
 * theirs. Any thread. */
GOV_API uint32_t gov_gauges_new(gov_runtime *runtime);

/* A few relaxed atomics and no lock, for hot paths; the page shows it after the
 * next step. Of one session one counter is set by one thread at a time. */
GOV_API void gov_gauges_set(gov_runtime *runtime, uint32_t id,
                            gov_page_counter counter, uint64_t value);
/* Sets one text, cut to its field at a character boundary. Takes the lock. */
GOV_API void gov_gauges_text(gov_runtime *runtime, uint32_t id,
                             gov_page_text text, const char *value);

/* The session is gone, and with it what it holds. What it has done (tokens, prompts
 * answered, bytes read ahead, late units, KV given back, time waited) goes on to
 * count. */
GOV_API void gov_gauges_free(gov_runtime *runtime, uint32_t id);

/* ---- the machine, for viewers ---------------------------------------------- */

enum gov_machine_have {
    GOV_MACHINE_HAVE_RAM = 1 << 0,
    GOV_MACHINE_HAVE_SWAP = 1 << 1,  /* there is swap space */
    GOV_MACHINE_HAVE_LIMIT = 1 << 2, /* the caller's container has one */
    GOV_MACHINE_HAVE_STALL = 1 << 3,
    GOV_MACHINE_HAVE_IO_STALL = 1 << 4,
};

/* One sample of what all pages share. Members not in `have` are unknown. */
struct gov_machine {
    size_t size; /* of the struct, set by the library */
    uint32_t have;
    uint64_t now_us; /* the clock of "updated_us" */
    uint64_t ram_bytes;
    uint64_t
        available_bytes; /* the kernel's estimate; counts clean file pages */
    uint64_t swap_bytes, swap_free_bytes;
    uint64_t limit_bytes;
    uint64_t limit_used_bytes; /* charged to the group that has the limit */
    uint64_t limit_file_bytes; /* of those, file pages */
    char limit_source[160];
    /* Totals of time lost waiting for memory and storage; they only grow. */
    uint64_t stall_some_us, stall_full_us, io_some_us;
    char stall_source[32]; /* "system" or "own cgroup" */
};

/* Cannot fail: what the system does not tell is absent. Microseconds; any
 * thread. */
GOV_API void gov_machine_now(struct gov_machine *out);

#ifdef __cplusplus
}
#endif
#endif
