/* SPDX-License-Identifier: MIT */
/* Telemetry: what requests cost, on this machine and for its user alone. An SQLite
 * database that an app asks for (gov_options.telemetry), with one row a request,
 * one a relief action and one now and then of how memory was; `gov report` reads
 * it. No word of a prompt or of an answer is ever in it, nor a path. docs/telemetry.md
 * has the schema. */
#ifndef GOV_TELEMETRY_H
#define GOV_TELEMETRY_H

#include <stdbool.h>

#include "policies/alloc.h"
#include "policies/level.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a request ended. */
typedef enum gov_request_end {
    GOV_REQUEST_DONE = 0,
    GOV_REQUEST_STOPPED = 1, /* by the app, or its user */
    GOV_REQUEST_FAILED = 2,
} gov_request_end;

/* One request: a prompt, and the tokens that answered it. Zeroed, with `size` set, to
 * start; what is not known stays zero but where a member says otherwise. */
struct gov_request {
    size_t size;
    int64_t at_ms; /* Unix time of its beginning in ms; 0: now */
    char app[32];  /* "": the runtime's; as all texts ended by a NUL */
    char engine[48];
    char model[96]; /* a name for people, never a path */
    char strategy[16];
    char profile[40]; /* of the device; "": the one that is stored */
    bool cold;        /* the first one since the model was loaded */
    gov_request_end end;
    gov_level level; /* the highest while it ran */
    uint32_t prompt_tokens;
    uint32_t reused_tokens;  /* of the conversation, known and not read again */
    uint32_t tokens;         /* that answered it */
    uint64_t first_token_us; /* from its beginning; 0: there was none */
    uint64_t took_us;        /* from its beginning to its end */
    uint64_t weights_wait_us;          /* of that, waited for weights */
    uint64_t stall_us;                 /* of that, stalled for memory */
    uint64_t major_faults, read_bytes; /* while it ran */
    uint32_t evictions;                /* relief actions while it ran */
    uint64_t footprint_bytes;          /* at its end */
};

/* One relief action. */
struct gov_telemetry_relief {
    int64_t at_ms; /* Unix time, ms */
    char app[32];
    char action[32];
    gov_level level;
    uint64_t claimed_bytes, yield_bytes, took_us;
};

/* How memory was. */
struct gov_telemetry_sample {
    int64_t at_ms; /* Unix time, ms */
    char app[32];
    gov_level level;
    uint64_t footprint_bytes, budget_bytes;
    uint64_t headroom_bytes;         /* UINT64_MAX: not known */
    uint64_t weights_resident_bytes; /* UINT64_MAX: not known */
    uint64_t process;                /* its pid: which of several it was of */
};

typedef struct gov_telemetry gov_telemetry;

/* The usual database: governor/telemetry.db in $XDG_STATE_HOME, else in
 * ~/.local/state. GOV_E_INVALID: neither is set, or the name is too long. */
GOV_API GOV_NODISCARD gov_status gov_telemetry_path(char *out, size_t bytes,
                                                    gov_error *err);

/* ---- writing --------------------------------------------------------------- */

/* Opens a database for writing, makes it (0600, and the directory 0700) where it is
 * missing. path NULL: the usual one. max_bytes is how large it may become, its log
 * included, before the oldest rows go; 0: 64 MiB; at least 1 MiB. alloc NULL: the C
 * library's (SQLite has its own). Several processes may write to one.
 *
 * GOV_E_FORMAT       it is no database of telemetry, or damaged
 * GOV_E_UNSUPPORTED  of a newer version
 * GOV_E_PERMISSION   somebody else's, or in a directory where everybody may write
 * GOV_E_BUSY         another process holds it
 * GOV_E_INVALID, GOV_E_IO, GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status
gov_telemetry_open(gov_telemetry **out, const char *path, uint64_t max_bytes,
                   const struct gov_alloc *alloc, gov_error *err);

struct gov_telemetry_batch {
    const struct gov_request *requests;
    const struct gov_telemetry_relief *reliefs;
    const struct gov_telemetry_sample *samples;
    size_t request_count, relief_count, sample_count;
    uint64_t
        lost; /* rows that were lost before these, to be told by a report */
};

#define GOV_TELEMETRY_BATCH 512 /* requests at most, reliefs, and samples */

/* Writes all of a batch, or nothing. Waits for the disk, and for another writer up
 * to a second: not for hot paths. One thread at a time.
 *
 * What is larger than 2^48 is cut to that; a time of 0 is now.
 *
 * GOV_E_BUSY   another process writes, for longer than that; or reads for so long
 *              that the log cannot be emptied; try again
 * GOV_E_IO     the disk, or the user's quota, is full (os_errno ENOSPC), or
 *              failed; or the file was removed since it was opened
 * GOV_E_INVALID  too many rows, or a child of fork()
 * GOV_E_FORMAT, GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status
gov_telemetry_write(gov_telemetry *telemetry,
                    const struct gov_telemetry_batch *batch, gov_error *err);

/* Accepts NULL. In a child of fork() the files are left alone. */
GOV_API void gov_telemetry_close(gov_telemetry *telemetry);

/* ---- reading --------------------------------------------------------------- */

/* Opens for reading, beside writers; path NULL: the usual one. Changes nothing. What
 * a callback below is told holds for that moment: no row comes or goes meanwhile.
 *
 * GOV_E_NOT_FOUND  there is none: nothing was recorded yet
 * GOV_E_FORMAT, GOV_E_UNSUPPORTED, GOV_E_PERMISSION, GOV_E_IO, GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_telemetry_read(gov_telemetry **out,
                                                    const char *path,
                                                    gov_error *err);

/* Which rows. Days are those of UTC, numbered from 1970-01-01, so that what is added
 * up a day need not be added up again. */
struct gov_telemetry_span {
    int64_t from_day, to_day; /* both included; INT64_MIN, INT64_MAX: all */
    const char *app;          /* NULL: of all apps */
};

struct gov_telemetry_totals {
    uint64_t requests, reliefs, samples, lost;
    int64_t first_ms, last_ms; /* of requests; 0 where there are none */
    uint64_t bytes;            /* of the files */
};
GOV_API GOV_NODISCARD gov_status gov_telemetry_sum(
    gov_telemetry *telemetry, const struct gov_telemetry_span *span,
    struct gov_telemetry_totals *out, gov_error *err);

/* P50, P95, P99: the value at position ceil(q * n) of the n in order, so one that
 * was measured. */
struct gov_percentiles {
    uint64_t p50, p95, p99;
};

/* The requests of one engine, model and strategy that were cold, or warm. */
struct gov_telemetry_group {
    char engine[48], model[96], strategy[16];
    bool cold;
    uint64_t requests, stopped, failed;
    uint64_t answered; /* that have a first token: what percentiles are of */
    struct gov_percentiles first_token_us;
    struct gov_percentiles
        rate_milli; /* tokens/s x 1000 behind the first one */
    uint64_t rated; /* requests that have one */
    uint64_t tokens, prompt_tokens, reused_tokens;
    uint64_t major_faults, read_bytes, weights_wait_us, stall_us, took_us;
    uint64_t evictions;
};
/* Calls fn for each, by model, strategy, cold first. fn returns false to end. */
typedef bool (*gov_telemetry_group_fn)(void *ctx,
                                       const struct gov_telemetry_group *group);
GOV_API GOV_NODISCARD gov_status gov_telemetry_groups(
    gov_telemetry *telemetry, const struct gov_telemetry_span *span,
    gov_telemetry_group_fn fn, void *ctx, gov_error *err);

/* How many requests had a first token within [from_us, to_us): buckets of at most
 * 1/16 of their value, those that are empty left out, in order. Of one group. */
typedef bool (*gov_telemetry_bucket_fn)(void *ctx, uint64_t from_us,
                                        uint64_t to_us, uint64_t requests);
GOV_API GOV_NODISCARD gov_status gov_telemetry_latencies(
    gov_telemetry *telemetry, const struct gov_telemetry_span *span,
    const struct gov_telemetry_group *group, gov_telemetry_bucket_fn fn,
    void *ctx, gov_error *err);

/* What an action gave, over all its runs. */
struct gov_telemetry_action {
    char action[32];
    uint64_t runs, barren; /* barren: gave nothing */
    uint64_t claimed_bytes, yield_bytes;
    struct gov_percentiles yield; /* of a run */
    struct gov_percentiles took_us;
};
typedef bool (*gov_telemetry_action_fn)(
    void *ctx, const struct gov_telemetry_action *action);
GOV_API GOV_NODISCARD gov_status gov_telemetry_actions(
    gov_telemetry *telemetry, const struct gov_telemetry_span *span,
    gov_telemetry_action_fn fn, void *ctx, gov_error *err);

/* Row by row, in order of time: the last `most` of the span (0: all). */
typedef bool (*gov_telemetry_request_fn)(void *ctx,
                                         const struct gov_request *request);
GOV_API GOV_NODISCARD gov_status gov_telemetry_requests(
    gov_telemetry *telemetry, const struct gov_telemetry_span *span,
    uint64_t most, gov_telemetry_request_fn fn, void *ctx, gov_error *err);
typedef bool (*gov_telemetry_relief_fn)(
    void *ctx, const struct gov_telemetry_relief *relief);
GOV_API GOV_NODISCARD gov_status gov_telemetry_reliefs(
    gov_telemetry *telemetry, const struct gov_telemetry_span *span,
    uint64_t most, gov_telemetry_relief_fn fn, void *ctx, gov_error *err);
typedef bool (*gov_telemetry_sample_fn)(
    void *ctx, const struct gov_telemetry_sample *sample);
GOV_API GOV_NODISCARD gov_status gov_telemetry_samples(
    gov_telemetry *telemetry, const struct gov_telemetry_span *span,
    uint64_t most, gov_telemetry_sample_fn fn, void *ctx, gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
