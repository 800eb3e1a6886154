/* SPDX-License-Identifier: MIT */
/* What the files of the store share: a connection, its statements, and rows as
 * numbers. docs/telemetry.md says what the tables hold. */
#ifndef GOV_TELEMETRY_PRIV_H
#define GOV_TELEMETRY_PRIV_H

#include <sqlite3.h>
#include <sys/types.h>

#include "governor/telemetry.h"

#define GOV__TELEMETRY_PATH 480 /* SQLite takes 512, its log's name included */
#define GOV__TELEMETRY_BUSY_MS 900
#define GOV__TELEMETRY_LEAST (UINT64_C(1) << 20)

/* The number of a row: its time in ms, and which one of that millisecond it is. So
 * rows are in order of time with no index for it, and every index has the time. */
#define GOV__ROW_BITS 20
#define GOV__DAY_MS INT64_C(86400000)
#define GOV__ROW_DAY (GOV__DAY_MS << GOV__ROW_BITS)
#define GOV__ROW_MS_MAX ((INT64_C(1) << 42) - 1) /* the year 2109 */

/* What is larger is cut: 280 TB, or nine years in us. Sums stay exact. */
#define GOV__ROW_VALUE_MAX ((INT64_C(1) << 48) - 1)
#define GOV__ROW_UNKNOWN (-1) /* NULL in the database */

/* Columns of the tables, in their order. */
enum gov__request_column {
    REQUEST_ID,
    REQUEST_KIND,
    REQUEST_APP,
    REQUEST_PROFILE,
    REQUEST_ENDED,
    REQUEST_LEVEL,
    REQUEST_PROMPT,
    REQUEST_REUSED,
    REQUEST_TOKENS,
    REQUEST_FIRST,
    REQUEST_RATE,
    REQUEST_TOOK,
    REQUEST_WAIT,
    REQUEST_STALL,
    REQUEST_FAULTS,
    REQUEST_READ,
    REQUEST_EVICTIONS,
    REQUEST_FOOTPRINT,
    REQUEST_COLUMNS
};

enum gov__relief_column {
    RELIEF_ID,
    RELIEF_APP,
    RELIEF_ACTION,
    RELIEF_LEVEL,
    RELIEF_CLAIMED,
    RELIEF_YIELD,
    RELIEF_TOOK,
    RELIEF_COLUMNS
};

enum gov__sample_column {
    SAMPLE_ID,
    SAMPLE_APP,
    SAMPLE_LEVEL,
    SAMPLE_FOOTPRINT,
    SAMPLE_BUDGET,
    SAMPLE_HEADROOM,
    SAMPLE_WEIGHTS,
    SAMPLE_PROCESS,
    SAMPLE_COLUMNS
};

#define GOV__ROW_COLUMNS REQUEST_COLUMNS

/* Sums of a day, behind kind (or action), day and app. */
enum gov__request_sum {
    SUM_REQUESTS,
    SUM_STOPPED,
    SUM_FAILED,
    SUM_ANSWERED,
    SUM_RATED,
    SUM_TOKENS,
    SUM_PROMPT,
    SUM_REUSED,
    SUM_FAULTS,
    SUM_READ,
    SUM_WAIT,
    SUM_STALL,
    SUM_TOOK,
    SUM_EVICTIONS,
    REQUEST_SUMS
};

enum gov__relief_sum {
    SUM_RUNS,
    SUM_BARREN,
    SUM_CLAIMED,
    SUM_YIELD,
    RELIEF_SUMS
};

/* Of what values are counted by bucket. Numbers are the file's. */
enum gov__tally {
    TALLY_FIRST = 0,
    TALLY_RATE = 1,
    TALLY_YIELD = 2,
    TALLY_RELIEF_TOOK = 3,
    GOV__TALLIES
};

/* Sixteen a power of two; below 16 a value is its own. */
#define GOV__BUCKETS 720 /* of values below 2^48 */
uint32_t gov__bucket_of(int64_t value);
void gov__bucket_range(uint32_t bucket, int64_t *from, int64_t *to);

/* What names are of. Numbers are the file's. */
enum gov__name_sort {
    NAME_APP = 0,
    NAME_ENGINE = 1,
    NAME_MODEL = 2,
    NAME_STRATEGY = 3,
    NAME_PROFILE = 4,
    NAME_ACTION = 5,
};

/* Statements of a writer; telemetry_schema.c has their text. */
enum gov__statement {
    S_BEGIN,
    S_COMMIT,
    S_NAME_FIND,
    S_NAME_COUNT,
    S_NAME_ADD,
    S_KIND_FIND,
    S_KIND_COUNT,
    S_KIND_ADD,
    S_REQUEST_LAST,
    S_REQUEST_ADD,
    S_REQUEST_DAY,
    S_RELIEF_LAST,
    S_RELIEF_ADD,
    S_RELIEF_DAY,
    S_SAMPLE_LAST,
    S_SAMPLE_ADD,
    S_TALLY,
    S_LOST,
    /* Trimming. */
    S_REQUEST_OLD,
    S_RELIEF_OLD,
    S_SAMPLE_OLD,
    S_REQUEST_UPTO,
    S_RELIEF_UPTO,
    S_REQUEST_DROP,
    S_RELIEF_DROP,
    S_SAMPLE_DROP,
    S_REQUEST_DAY_EMPTY,
    S_RELIEF_DAY_EMPTY,
    S_TALLY_EMPTY,
    S_KIND_EMPTY,
    S_LOST_OLD,
    S_VACUUM,
    S_PAGES,
    S_FREE,
    GOV__STATEMENTS
};

struct gov_telemetry {
    const struct gov_alloc *alloc;
    struct gov_alloc given;
    sqlite3 *db;
    pid_t creator; /* a child of fork() must not touch the connection */
    bool writes;
    uint64_t max_bytes;
    uint64_t page_bytes;
    dev_t device; /* of the file that was opened */
    ino_t inode;
    sqlite3_stmt *statement[GOV__STATEMENTS];
    char path[GOV__TELEMETRY_PATH];
    char log[GOV__TELEMETRY_PATH + 8]; /* "...-wal" */
};

/* ---- telemetry_place.c: where it lies, and whose that is ---- */

/* The path that is meant, with no link in it; its directory is made where `make`
 * says so, and may be trusted. */
gov_status gov__telemetry_place(gov_telemetry *t, const char *path, bool make,
                                gov_error *err);
/* What is there by that name may be a database of ours; *there: anything is. */
gov_status gov__telemetry_examine(const gov_telemetry *t, bool *there,
                                  gov_error *err);
/* The file is still the one that was opened. */
bool gov__telemetry_stays(const gov_telemetry *t);
/* Of the files, now; the database's alone where `log` is false. */
uint64_t gov__telemetry_bytes(const gov_telemetry *t);
uint64_t gov__telemetry_log_bytes(const gov_telemetry *t);
/* A write might end the host (SIGXFSZ). */
gov_status gov__telemetry_may_grow(gov_telemetry *t, gov_error *err);

/* ---- telemetry_open.c ---- */

/* What SQLite says, as a sentence. `doing`: "write to". */
gov_status gov__telemetry_fail(const gov_telemetry *t, const char *doing,
                               gov_error *err);
gov_status gov__telemetry_odd(const gov_telemetry *t, const char *what,
                              gov_error *err);
/* GOV_OK for an open connection of this process. */
gov_status gov__telemetry_usable(const gov_telemetry *t, gov_error *err);

/* ---- telemetry_schema.c ---- */

/* That its tables are ours, and nothing else is there; or nothing at all. Changes
 * nothing: it may be somebody else's. */
gov_status gov__telemetry_known(gov_telemetry *t, bool *empty, gov_error *err);
gov_status gov__telemetry_make(gov_telemetry *t, gov_error *err);
gov_status gov__telemetry_prepare(gov_telemetry *t, gov_error *err);
/* One number that a pragma or a query tells. */
bool gov__telemetry_number(sqlite3 *db, const char *sql, int64_t *out);

/* ---- rows (telemetry_tally.c) ---- */

/* All that change the database return whether SQLite did it; else its error is what
 * the connection has. */
bool gov__row_bind(sqlite3_stmt *s, const int64_t *row, int columns);
void gov__row_read(sqlite3_stmt *s, int64_t *row, int columns);
bool gov__run(gov_telemetry *t, enum gov__statement which);

/* A row of requests, of relief, is there from now on (sign 1), or no more (-1). */
bool gov__tally_request(gov_telemetry *t, const int64_t *row, int sign);
bool gov__tally_relief(gov_telemetry *t, const int64_t *row, int sign);

/* ---- telemetry_trim.c ---- */

/* Before a batch of so many rows, outside of a transaction: makes room for it. */
bool gov__telemetry_trim(gov_telemetry *t, size_t rows);
/* Behind one: the log stays short. */
void gov__telemetry_shorten(gov_telemetry *t);

/* ---- reading: telemetry_rows.c, telemetry_report.c, telemetry_percentiles.c ---- */

/* Of an app that there is none of: id -1, which no row has. */
struct gov__span {
    int64_t from, to; /* numbers of rows, both included */
    int64_t from_day, to_day;
    int64_t app; /* 0: all */
};

gov_status gov__read_begin(gov_telemetry *t,
                           const struct gov_telemetry_span *in,
                           struct gov__span *out, bool *began, gov_error *err);
/* Ends it; status and err as they were, or what ending it says. */
gov_status gov__read_end(gov_telemetry *t, bool began, gov_status status);
sqlite3_stmt *gov__read_prepare(gov_telemetry *t, const char *sql);
/* A day that a row may have. */
int64_t gov__day_within(int64_t day);
uint64_t gov__sum(uint64_t a, int64_t b);
void gov__column_text(sqlite3_stmt *s, int column, char *out, size_t bytes);

struct gov__tallied {
    uint64_t all;
    uint64_t bucket[GOV__BUCKETS];
};

bool gov__tally_read(gov_telemetry *t, enum gov__tally what, int64_t kind,
                     const struct gov__span *span, struct gov__tallied *out);
gov_status gov__percentiles(gov_telemetry *t, enum gov__tally what,
                            int64_t kind, const struct gov__span *span,
                            struct gov_percentiles *out, gov_error *err);

#endif
