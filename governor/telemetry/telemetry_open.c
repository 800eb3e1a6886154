/* SPDX-License-Identifier: MIT */
/* Opens a database and closes it: what SQLite may do with it, and what its answers
 * mean. Nothing in the file is believed: it is no code (no triggers, no views, no
 * functions), never mapped, and its tables are compared with ours. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/telemetry/telemetry_priv.h"

#define USUAL_BYTES (UINT64_C(64) << 20)

/* ---- answers ------------------------------------------------------------------- */

gov_status gov__telemetry_odd(const gov_telemetry *t, const char *what,
                              gov_error *err)
{
    return gov_fail(err, GOV_E_FORMAT, 0, "%.120s %s; %sname another file",
                    t->path, what, t->writes ? "move it away, or " : "");
}

static gov_status disk_failed(const gov_telemetry *t, const char *doing,
                              int error, gov_error *err)
{
    const bool denied = error == EACCES || error == EPERM || error == EROFS;

    return gov_fail(err, denied ? GOV_E_PERMISSION : GOV_E_IO, error,
                    "cannot %s the telemetry %.140s%s", doing, t->path,
                    error == ENOSPC || error == EDQUOT ? "; free some space"
                                                       : "");
}

gov_status gov__telemetry_fail(const gov_telemetry *t, const char *doing,
                               gov_error *err)
{
    const int code = t->db == NULL ? SQLITE_NOMEM : sqlite3_errcode(t->db);
    const int error = t->db == NULL ? 0 : sqlite3_system_errno(t->db);

    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory to %s the telemetry %.140s", doing, t->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return gov_fail(err, GOV_E_BUSY, 0,
                        "another process holds the telemetry %.140s; try again",
                        t->path);
    case SQLITE_FULL:
        return disk_failed(t, doing, ENOSPC, err);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return disk_failed(t, doing, error, err);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return disk_failed(t, doing, EACCES, err);
    case SQLITE_NOTADB:
        return gov__telemetry_odd(t, "is no database", err);
    case SQLITE_CORRUPT:
    case SQLITE_FORMAT:
        return gov__telemetry_odd(t, "is damaged", err);
    default:
        break;
    }
    return gov_fail(err, GOV_E_FORMAT, 0,
                    "cannot %s the telemetry %.100s: %.60s; move it away, or "
                    "name another file",
                    doing, t->path, sqlite3_errmsg(t->db));
}

gov_status gov__telemetry_usable(const gov_telemetry *t, gov_error *err)
{
    if (t == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "there is no telemetry; open it first");
    if (t->creator != getpid())
        return gov_fail(
            err, GOV_E_INVALID, 0,
            "the telemetry was opened by the process before fork(); "
            "open it again");
    return GOV_OK;
}

/* ---- opening --------------------------------------------------------------------- */

static bool ask(gov_telemetry *t, const char *sql)
{
    return sqlite3_exec(t->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* What is in the file is data, and never more than that. */
static bool distrust(gov_telemetry *t)
{
    return sqlite3_db_config(t->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) ==
               SQLITE_OK &&
           sqlite3_db_config(t->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) ==
               SQLITE_OK &&
           sqlite3_db_config(t->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) ==
               SQLITE_OK &&
           sqlite3_db_config(t->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL) ==
               SQLITE_OK &&
           ask(t, "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;"
                  "PRAGMA temp_store = MEMORY");
}

static gov_status connect(gov_telemetry *t, gov_error *err)
{
    const int flags = (t->writes ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                 : SQLITE_OPEN_READONLY) |
                      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
                      SQLITE_OPEN_PRIVATECACHE;
    struct stat st;

    if (sqlite3_open_v2(t->path, &t->db, flags, NULL) != SQLITE_OK)
        return gov__telemetry_fail(t, "open", err);
    (void)sqlite3_busy_timeout(t->db, GOV__TELEMETRY_BUSY_MS);
    if (lstat(t->path, &st) != 0)
        return disk_failed(t, "open", errno, err);
    t->device = st.st_dev;
    t->inode = st.st_ino;
    return distrust(t) ? GOV_OK : gov__telemetry_fail(t, "open", err);
}

/* Of a file that is ours. Its log gets the rights that it has itself.
 *
 * The first two count before anything is in the file, and are of no effect later.
 * Of the log nothing is synced until it is copied: a crash of the machine loses what
 * came last, the death of a process nothing. */
static gov_status configure(gov_telemetry *t, gov_error *err)
{
    int64_t bytes = 0;

    if (chmod(t->path, 0600) != 0)
        return disk_failed(t, "open", errno, err);
    if (!ask(t, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;"
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -2048") ||
        !gov__telemetry_number(t->db, "PRAGMA page_size", &bytes))
        return gov__telemetry_fail(t, "open", err);
    t->page_bytes = (uint64_t)bytes;
    return GOV_OK;
}

static gov_telemetry *allocate(const struct gov_alloc *alloc, bool writes,
                               gov_error *err)
{
    const struct gov_alloc *from = alloc != NULL ? alloc : gov_alloc_default();
    gov_telemetry *t = from->alloc(from->ctx, sizeof(*t));

    if (t == NULL) {
        gov_fail(err, GOV_E_NOMEM, 0, "no memory for telemetry of %zu bytes",
                 sizeof(*t));
        return NULL;
    }
    memset(t, 0, sizeof(*t));
    t->given = *from;
    t->alloc = &t->given;
    t->creator = getpid();
    t->writes = writes;
    return t;
}

gov_status gov_telemetry_open(gov_telemetry **out, const char *path,
                              uint64_t max_bytes, const struct gov_alloc *alloc,
                              gov_error *err)
{
    gov_telemetry *t;
    gov_status status;
    bool there, empty = false;

    if (out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "opening telemetry needs a place for it");
    *out = NULL;
    if (max_bytes != 0 && max_bytes < GOV__TELEMETRY_LEAST)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "telemetry of at most %llu bytes is less than 1 MiB; "
                        "allow more",
                        (unsigned long long)max_bytes);
    t = allocate(alloc, true, err);
    if (t == NULL)
        return GOV_E_NOMEM;
    t->max_bytes = max_bytes == 0 ? USUAL_BYTES : max_bytes;
    status = gov__telemetry_place(t, path, true, err);
    if (status == GOV_OK)
        status = gov__telemetry_examine(t, &there, err);
    if (status == GOV_OK)
        status = gov__telemetry_may_grow(t, err);
    if (status == GOV_OK)
        status = connect(t, err);
    if (status == GOV_OK)
        status = gov__telemetry_known(t, &empty, err);
    if (status == GOV_OK)
        status = configure(t, err);
    if (status == GOV_OK && empty)
        status = gov__telemetry_make(t, err);
    if (status == GOV_OK)
        status = gov__telemetry_prepare(t, err);
    if (status != GOV_OK) {
        gov_telemetry_close(t);
        return status;
    }
    *out = t;
    return GOV_OK;
}

gov_status gov_telemetry_read(gov_telemetry **out, const char *path,
                              gov_error *err)
{
    gov_telemetry *t;
    gov_status status;
    bool there = false, empty = false;

    if (out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "reading telemetry needs a place for it");
    *out = NULL;
    t = allocate(NULL, false, err);
    if (t == NULL)
        return GOV_E_NOMEM;
    status = gov__telemetry_place(t, path, false, err);
    if (status == GOV_OK)
        status = gov__telemetry_examine(t, &there, err);
    if (status == GOV_OK && !there)
        status =
            gov_fail(err, GOV_E_NOT_FOUND, 0,
                     "there is no %.160s: nothing was recorded yet", t->path);
    if (status == GOV_OK)
        status = connect(t, err);
    if (status == GOV_OK)
        status = gov__telemetry_known(t, &empty, err);
    if (status == GOV_OK && empty)
        status = gov_fail(err, GOV_E_NOT_FOUND, 0,
                          "%.160s is empty: nothing was recorded yet", t->path);
    if (status != GOV_OK) {
        gov_telemetry_close(t);
        return status;
    }
    *out = t;
    return GOV_OK;
}

void gov_telemetry_close(gov_telemetry *t)
{
    struct gov_alloc alloc;

    if (t == NULL)
        return;
    alloc = t->given;
    /* In a child of fork() the log is the parent's, and would be removed. */
    if (t->creator == getpid()) {
        for (int i = 0; i < GOV__STATEMENTS; i++)
            (void)sqlite3_finalize(t->statement[i]);
        (void)sqlite3_close(t->db);
    }
    alloc.release(alloc.ctx, t);
}
