/* SPDX-License-Identifier: MIT */
/* Writes a trace: see governor/trace.h. Hooks only put lines into a bounded
 * buffer, under a lock that nobody holds for longer than that; the thread that
 * keeps house takes the buffer and writes it, so that neither relief nor an engine's
 * thread, which runs actions too, ever waits for a disk. One thread at a time has
 * the file, and no lock while it writes: who finds it taken waits for so long and no
 * longer. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "governor/model/model_text.h"
#include "governor/runtime/trace_priv.h"
#include "governor/version.h"
#include "policies/language/words_priv.h"

/* The longest line, 32 actions with names of control characters, has 10 KiB. */
#define BUFFER_BYTES ((size_t)32 * 1024)

#define PATH_BYTES 4096 /* PATH_MAX here; open() takes no more */

/* How long the app waits for a write of another thread. */
#define WAIT_MS 1000
#define FOR_GOOD UINT64_MAX

#define NOTE_BYTES (sizeof(((struct gov_trace_head *)NULL)->note) - 1)

struct buffer {
    size_t used;
    bool full; /* a line was lost */
    char text[BUFFER_BYTES];
};

struct gov__trace {
    _Atomic bool on; /* lines are wanted */

    /* Of who has the file: see take(). */
    int fd;
    pid_t creator;
    uint64_t file_bytes;      /* of whole lines */
    _Atomic uint64_t samples; /* in the file */
    char path[PATH_BYTES];

    pthread_mutex_t lock;
    pthread_cond_t left;
    bool taken, ending; /* the file; and who has it is to end it */
    bool started;       /* a sample was told: what follows belongs to it */
    uint64_t last_ms;
    uint64_t sample_ms; /* of the last sample */
    gov_level level;
    uint32_t count; /* of the actions that were told last */
    struct gov_replay_action action[GOV__RELIEFS];
    struct buffer *filling, *writing; /* swapped by who has the file */
    struct buffer buffer[2];
};

/* The recorder while it records, or NULL. */
static struct gov__trace *recording(const struct gov_runtime *runtime)
{
    struct gov__trace *trace = atomic_load(&runtime->trace);

    return trace != NULL && atomic_load(&trace->on) ? trace : NULL;
}

bool gov__trace_on(const struct gov_runtime *runtime)
{
    return recording(runtime) != NULL;
}

/* ---- lines ------------------------------------------------------------------- */

/* One line under construction at the end of a buffer, which has it only once
 * it is whole. */
struct line {
    struct buffer *to;
    size_t used; /* of the whole buffer; its room when it is full */
};

static struct line begin(struct buffer *to)
{
    return (struct line){to, to->used};
}

static void put(struct line *line, const char *format, ...) GOV_PRINTF(2, 3);

static void put(struct line *line, const char *format, ...)
{
    size_t room = BUFFER_BYTES - line->used;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line->to->text + line->used, room, format, args);
    va_end(args);
    line->used += n >= 0 && (size_t)n < room ? (size_t)n : room;
}

/* JSON of ours and of others has signed numbers. */
static void put_number(struct line *line, const char *key, uint64_t n)
{
    put(line, ",\"%s\":%" PRIu64, key, n < INT64_MAX ? n : INT64_MAX);
}

/* A text as a JSON string. Names and notes come from apps: what is no UTF-8
 * becomes question marks, a byte each, so that no name grows. */
static void put_text(struct line *line, const char *key, const char *text)
{
    size_t bytes = strlen(text), n;
    uint32_t character;

    put(line, ",\"%s\":\"", key);
    for (size_t i = 0; i < bytes; i += n) {
        n = gov__utf8(text + i, bytes - i, &character);
        if (n == 0) {
            n = 1;
            put(line, "?");
        } else if (character < 0x20) {
            put(line, "\\u%04" PRIx32, character);
        } else if (character == '"' || character == '\\') {
            put(line, "\\%c", (char)character);
        } else {
            put(line, "%.*s", (int)n, text + i);
        }
    }
    put(line, "\"");
}

static void end(struct line *line)
{
    put(line, "}\n");
    if (line->used < BUFFER_BYTES)
        line->to->used = line->used;
    else
        line->to->full = true;
}

/* Two threads tell of what happens; the one that is told second may have looked
 * at the clock first. */
static struct line begin_event(struct gov__trace *trace, const char *kind,
                               uint64_t at_ms)
{
    struct line line = begin(trace->filling);

    if (at_ms > trace->last_ms)
        trace->last_ms = at_ms;
    put(&line, "{\"kind\":\"%s\"", kind);
    put_number(&line, "at_ms", trace->last_ms);
    return line;
}

static bool same_actions(const struct gov__trace *trace,
                         const struct gov_replay_action *action, uint32_t count)
{
    if (count != trace->count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(action[i].name, trace->action[i].name) != 0 ||
            action[i].from_level != trace->action[i].from_level ||
            action[i].rebuild_cost != trace->action[i].rebuild_cost ||
            action[i].regrows != trace->action[i].regrows ||
            action[i].leaves != trace->action[i].leaves ||
            action[i].floor_bytes != trace->action[i].floor_bytes)
            return false;
    return true;
}

static void put_actions(struct gov__trace *trace,
                        const struct gov_replay_action *action, uint32_t count)
{
    struct line line = begin(trace->filling);

    trace->count = count;
    put(&line, "{\"kind\":\"actions\",\"actions\":[");
    for (uint32_t i = 0; i < count; i++) {
        trace->action[i] = action[i];
        put(&line, "%s{\"cost\":%" PRIu32, i > 0 ? "," : "",
            action[i].rebuild_cost);
        put_number(&line, "from_level", (uint64_t)action[i].from_level);
        put(&line, ",\"regrows\":%s,\"leaves\":%s",
            action[i].regrows ? "true" : "false",
            action[i].leaves ? "true" : "false");
        put_number(&line, "floor_bytes", action[i].floor_bytes);
        put_text(&line, "name", action[i].name);
        put(&line, "}");
    }
    put(&line, "]");
    end(&line);
}

/* What stalls and headroom do not show. */
static void put_signs(struct line *line, const struct gov_evidence *now)
{
    if ((now->have & GOV_HAVE_REFAULT) != 0) {
        put_number(line, "refault_bytes", now->refault_bytes);
        if ((now->have & GOV_HAVE_SYSTEM_REFAULT) != 0)
            put(line, ",\"system_refaults\":true");
    }
    if ((now->have & GOV_HAVE_OWN) != 0) {
        put_number(line, "footprint_bytes", now->own_footprint_bytes);
        put_number(line, "major_faults", now->own_major_faults);
        put_number(line, "resident_file_bytes", now->own_resident_file_bytes);
    }
    if ((now->have & GOV_HAVE_OWN_READS) != 0)
        put_number(line, "read_bytes", now->own_read_bytes);
    if (now->streamed_bytes != 0)
        put_number(line, "streamed_bytes", now->streamed_bytes);
    if ((now->have & GOV_HAVE_LIMIT_HITS) != 0)
        put_number(line, "limit_hits", now->limit_hits);
    if ((now->have & GOV_HAVE_MACHINE) != 0) {
        put_number(line, "available_bytes", now->machine_available_bytes);
        put_number(line, "ram_bytes", now->machine_total_bytes);
    }
    if ((now->have & GOV_HAVE_OS_LEVEL) != 0)
        put_text(line, "os_level", gov_level_name(now->os_level));
    if ((now->have & GOV_HAVE_RECENT) != 0)
        put_number(line, "recent_permille", now->recent_some_permille);
    if ((now->have & GOV_HAVE_EXPECTED) != 0)
        put_number(line, "expected_bytes", now->expected_bytes);
}

static void put_sample(struct gov__trace *trace, const struct gov_evidence *now,
                       const struct gov_replay_action *action, uint32_t count)
{
    struct line line = begin_event(trace, "sample", now->now_ms);

    if ((now->have & GOV_HAVE_STALL) != 0) {
        put_number(&line, "some_us", now->memory_some_us);
        put_number(&line, "full_us", now->memory_full_us);
        if ((now->have & GOV_HAVE_SYSTEM_STALL) != 0)
            put(&line, ",\"system\":true");
    }
    if ((now->have & GOV_HAVE_HEADROOM) != 0) {
        put_number(&line, "headroom_bytes", now->headroom_bytes);
        put_number(&line, "budget_bytes", now->budget_bytes);
    }
    put_signs(&line, now);
    if ((now->have & GOV_HAVE_SIMULATED) != 0)
        put_text(&line, "simulated", gov_level_name(now->simulated_level));
    if (count > 0)
        put(&line, ",\"offers_bytes\":[");
    for (uint32_t i = 0; i < count; i++)
        put(&line, "%s%" PRIu64, i > 0 ? "," : "",
            action[i].offered_bytes < INT64_MAX ? action[i].offered_bytes
                                                : INT64_MAX);
    if (count > 0)
        put(&line, "]");
    end(&line);
}

static void put_level(struct gov__trace *trace, uint64_t at_ms, gov_level level,
                      const char *reason)
{
    struct line line = begin_event(trace, "level", at_ms);

    trace->level = level;
    put_text(&line, "level", gov_level_name(level));
    put_text(&line, "why", reason);
    end(&line);
}

/* ---- the file ---------------------------------------------------------------- */

/* Past RLIMIT_FSIZE a write raises SIGXFSZ, which ends a host that did not
 * expect it. */
static bool write_would_kill(const struct gov__trace *trace, size_t bytes)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           limit.rlim_cur != RLIM_INFINITY &&
           limit.rlim_cur < trace->file_bytes + bytes;
}

/* Writes one line whole, or takes back what was written of it. Returns 0 or an
 * errno value. */
static int write_line(struct gov__trace *trace, const char *text, size_t bytes)
{
    int error;
    ssize_t n;

    if (write_would_kill(trace, bytes))
        return EFBIG;
    do
        n = write(trace->fd, text, bytes);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)bytes) {
        trace->file_bytes += bytes;
        return 0;
    }
    error = n < 0 ? errno : ENOSPC; /* less is what a full disk takes */
    if (n > 0 && ftruncate(trace->fd, (off_t)trace->file_bytes) != 0)
        return error; /* a line that is cut off is one that readers expect */
    return error;
}

static bool is_sample(const char *line, size_t bytes)
{
    static const char begins[] = "{\"kind\":\"sample\",";

    return bytes >= sizeof(begins) &&
           memcmp(line, begins, sizeof(begins) - 1) == 0;
}

/* Writes what the hooks have left. Returns 0 or an errno value. */
static int drain(struct gov__trace *trace)
{
    struct buffer *from;
    const char *at;
    int rc = 0;

    pthread_mutex_lock(&trace->lock);
    from = trace->filling;
    trace->filling = trace->writing;
    trace->writing = from;
    pthread_mutex_unlock(&trace->lock);
    at = from->text;
    while (rc == 0 && at < from->text + from->used) {
        size_t left = (size_t)(from->text + from->used - at);
        const char *next = (const char *)memchr(at, '\n', left) + 1;

        rc = write_line(trace, at, (size_t)(next - at));
        trace->samples += rc == 0 && is_sample(at, (size_t)(next - at));
        at = next;
    }
    if (rc == 0 && from->full)
        rc = ENOBUFS;
    from->used = 0;
    from->full = false;
    return rc;
}

/* Nothing can be replayed without a sample, and the file would be in the way of
 * the next attempt. Whatever else lies at its path by now stays. */
static void remove_empty(const struct gov__trace *trace)
{
    struct stat ours, there;

    if (trace->samples == 0 && trace->creator == getpid() &&
        fstat(trace->fd, &ours) == 0 && lstat(trace->path, &there) == 0 &&
        ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        (void)unlink(trace->path);
}

/* Returns 0 or an errno value. */
static int end_file(struct gov__trace *trace)
{
    int rc;

    atomic_store(&trace->on, false);
    remove_empty(trace);
    rc = close(trace->fd) == 0 || errno == EINTR ? 0 : errno;
    trace->fd = -1;
    return rc;
}

/* With all that was told; in a child of fork() the file is the parent's. Returns 0
 * or an errno value. */
static int finish(struct gov__trace *trace)
{
    int rc = 0, closed;

    if (trace->fd < 0)
        return 0;
    if (trace->creator == getpid())
        rc = drain(trace);
    closed = end_file(trace);
    return rc != 0 ? rc : closed;
}

/* ---- who has the file ----------------------------------------------------------- */

/* The clock that pthread_cond_timedwait() goes by where nobody can set another. */
static struct timespec in_ms(uint64_t ms)
{
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_sec += (time_t)(ms / 1000);
    time.tv_nsec += (long)(ms % 1000) * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_nsec -= 1000000000;
        time.tv_sec++;
    }
    return time;
}

/* The caller has the file until let_go(). False: another thread had it all that
 * time; with `ends` that one ends the trace. */
static bool take(struct gov__trace *trace, uint64_t wait_ms, bool ends)
{
    const struct timespec until = in_ms(wait_ms == FOR_GOOD ? 0 : wait_ms);
    bool mine;
    int rc = wait_ms == 0 ? ETIMEDOUT : 0;

    pthread_mutex_lock(&trace->lock);
    while (trace->taken && rc == 0)
        rc = wait_ms == FOR_GOOD
                 ? pthread_cond_wait(&trace->left, &trace->lock)
                 : pthread_cond_timedwait(&trace->left, &trace->lock, &until);
    mine = !trace->taken;
    trace->taken = true;
    if (!mine && ends) {
        trace->ending = true;
        atomic_store(&trace->on, false);
    }
    pthread_mutex_unlock(&trace->lock);
    return mine;
}

/* Ends the trace first where somebody waited for that in vain. Returns 0 or an errno
 * value of its end. */
static int let_go(struct gov__trace *trace)
{
    bool ends;
    int rc = 0;

    for (;;) {
        pthread_mutex_lock(&trace->lock);
        ends = trace->ending;
        trace->ending = false;
        trace->taken = ends;
        pthread_cond_signal(&trace->left);
        pthread_mutex_unlock(&trace->lock);
        if (!ends)
            return rc;
        rc = finish(trace);
    }
}

static gov_status fail_write(gov_error *err, uint64_t samples, int rc)
{
    return gov_fail(err, GOV_E_IO, rc,
                    "the trace cannot be written and ends; %s",
                    samples > 0 ? "what is in it so far can be replayed"
                                : "there is no sample in it, so it is removed");
}

static gov_status fail_make(gov_error *err, const char *path, int rc)
{
    char name[96];

    gov__text_path(name, sizeof(name), path);
    if (rc == EEXIST)
        return gov_fail(err, GOV_E_IO, 0,
                        "%s is there already, and a trace is a new file; take "
                        "another name or remove it",
                        name);
    return gov_fail(err, gov__trace_status(rc), rc, "cannot make trace file %s",
                    name);
}

/* ---- hooks ------------------------------------------------------------------- */

void gov__trace_sample(struct gov_runtime *runtime,
                       const struct gov_evidence *evidence, gov_level level,
                       const char *reason,
                       const struct gov_replay_action *actions, uint32_t count)
{
    struct gov__trace *trace = recording(runtime);

    if (trace == NULL)
        return;
    if (count > GOV__RELIEFS)
        count = GOV__RELIEFS;
    pthread_mutex_lock(&trace->lock);
    /* By a thread that was overtaken while it waited for the app (work.c). */
    if (trace->started && evidence->now_ms < trace->sample_ms) {
        pthread_mutex_unlock(&trace->lock);
        return;
    }
    trace->sample_ms = evidence->now_ms;
    if (!same_actions(trace, actions, count))
        put_actions(trace, actions, count);
    put_sample(trace, evidence, actions, count);
    if (!trace->started || level != trace->level)
        put_level(trace, evidence->now_ms, level, reason);
    trace->started = true;
    pthread_mutex_unlock(&trace->lock);
}

void gov__trace_flush(struct gov_runtime *runtime)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE};
    struct gov__trace *trace = recording(runtime);
    gov_error err;
    int rc = 0, ended;

    if (trace == NULL || !take(trace, 0, false))
        return;
    /* In a child of fork() the file is the parent's. */
    if (trace->fd >= 0 && trace->creator == getpid()) {
        rc = drain(trace);
        if (rc != 0)
            (void)end_file(trace);
    } else if (trace->fd >= 0) {
        (void)end_file(trace);
    }
    ended = let_go(trace);
    rc = rc != 0 ? rc : ended;
    if (rc != 0) {
        fail_write(&err, atomic_load(&trace->samples), rc);
        event.text = err.message;
        gov__runtime_event(runtime, &event);
    }
}

void gov__trace_relief(struct gov_runtime *runtime, const char *name,
                       uint64_t offered_bytes, uint64_t yield_bytes,
                       uint64_t took_us, bool measured)
{
    struct gov__trace *trace = recording(runtime);
    uint64_t now_ms = gov__runtime_ms(runtime);
    struct line line;

    if (trace == NULL)
        return;
    pthread_mutex_lock(&trace->lock);
    if (trace->started) {
        line = begin_event(trace, "relief", now_ms);
        put_text(&line, "action", name);
        put_number(&line, "offered_bytes", offered_bytes);
        if (measured)
            put_number(&line, "yield_bytes", yield_bytes);
        put_number(&line, "took_us", took_us);
        end(&line);
    }
    pthread_mutex_unlock(&trace->lock);
}

void gov__trace_regrow(struct gov_runtime *runtime, const char *name)
{
    struct gov__trace *trace = recording(runtime);
    uint64_t now_ms = gov__runtime_ms(runtime);
    struct line line;

    if (trace == NULL)
        return;
    pthread_mutex_lock(&trace->lock);
    if (trace->started) {
        line = begin_event(trace, "regrow", now_ms);
        put_text(&line, "action", name);
        end(&line);
    }
    pthread_mutex_unlock(&trace->lock);
}

/* ---- begin and end ----------------------------------------------------------- */

static void release(const struct gov_alloc *alloc, struct gov__trace *trace)
{
    pthread_cond_destroy(&trace->left);
    pthread_mutex_destroy(&trace->lock);
    alloc->release(alloc->ctx, trace);
}

static struct gov__trace *make(const struct gov_alloc *alloc)
{
    struct gov__trace *trace = alloc->alloc(alloc->ctx, sizeof(*trace));

    if (trace == NULL)
        return NULL;
    memset(trace, 0, sizeof(*trace));
    trace->fd = -1;
    trace->creator = getpid();
    trace->filling = &trace->buffer[0];
    trace->writing = &trace->buffer[1];
    if (pthread_mutex_init(&trace->lock, NULL) != 0) {
        alloc->release(alloc->ctx, trace);
        return NULL;
    }
    if (pthread_cond_init(&trace->left, NULL) != 0) {
        pthread_mutex_destroy(&trace->lock);
        alloc->release(alloc->ctx, trace);
        return NULL;
    }
    return trace;
}

/* The runtime's recorder, made when it is first needed; NULL: no memory. It
 * stays until the runtime closes, since a hook may be inside it. */
static struct gov__trace *recorder(struct gov_runtime *runtime)
{
    struct gov__trace *there = atomic_load(&runtime->trace), *made;

    if (there != NULL)
        return there;
    made = make(&runtime->alloc);
    if (made == NULL ||
        atomic_compare_exchange_strong(&runtime->trace, &there, made))
        return made;
    release(&runtime->alloc, made); /* another thread was faster */
    return there;
}

/* Leaves of each path in a policy's source ("balanced, /etc/.../policy.yaml")
 * its last part: a trace holds no paths. */
static void drop_directories(char *source)
{
    char *to = source, *piece = source;

    for (const char *from = source; *from != '\0'; from++) {
        if (*from == '/') {
            to = piece;
            continue;
        }
        *to++ = *from;
        if (*from == ' ' && from > source && from[-1] == ',')
            piece = to;
    }
    *to = '\0';
}

static void put_head(struct gov_runtime *runtime, struct gov__trace *trace,
                     const char *note)
{
    char app[sizeof(runtime->page.text_APP)];
    char policy[sizeof(runtime->policy_source)];
    struct line line = begin(trace->filling);

    pthread_mutex_lock(&runtime->lock);
    memcpy(app, runtime->page.text_APP, sizeof(app));
    memcpy(policy, runtime->policy_source, sizeof(policy));
    pthread_mutex_unlock(&runtime->lock);
    drop_directories(policy);
    put(&line, "{\"trace\":1");
    put_text(&line, "governor", GOV_VERSION);
    put_text(&line, "app", app);
    put_text(&line, "policy", policy);
    put_number(&line, "sample_ms", runtime->sample_ms);
    put_text(&line, "note", note == NULL ? "" : note);
    end(&line);
}

/* Makes the file and begins it with its first line, or leaves none. */
static gov_status begin_file(struct gov_runtime *runtime,
                             struct gov__trace *trace, const char *path,
                             const char *note, gov_error *err)
{
    const int flags =
        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_APPEND;
    char name[96];
    int rc;

    trace->fd = open(path, flags, 0600);
    if (trace->fd < 0)
        return fail_make(err, path, errno);
    gov__put(trace->path, sizeof(trace->path), 0, "%s", path);
    trace->creator = getpid();
    trace->file_bytes = 0;
    trace->samples = 0;
    pthread_mutex_lock(&trace->lock);
    trace->started = false;
    trace->last_ms = 0;
    trace->count = 0;
    /* What a hook left after the end of the trace before. */
    trace->filling->used = 0;
    trace->filling->full = false;
    put_head(runtime, trace, note);
    pthread_mutex_unlock(&trace->lock);
    rc = drain(trace);
    if (rc == 0) {
        atomic_store(&trace->on, true);
        return GOV_OK;
    }
    (void)end_file(trace);
    return gov_fail(err, GOV_E_IO, rc, "cannot write trace file %s",
                    gov__text_path(name, sizeof(name), path));
}

static gov_status fail_busy(gov_error *err)
{
    return gov_fail(err, GOV_E_BUSY, 0,
                    "this runtime records a trace already; end it first");
}

gov_status gov_record(gov_runtime *runtime, const char *path, const char *note,
                      gov_error *err)
{
    struct gov__trace *trace;
    gov_status status;

    if (runtime == NULL || path == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_record() needs a runtime and a path");
    if (note != NULL && strlen(note) > NOTE_BYTES)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the note of the trace has %zu bytes, more than %zu; "
                        "make it shorter",
                        strlen(note), NOTE_BYTES);
    trace = recorder(runtime);
    if (trace == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for a recorder of %zu bytes; free some "
                        "first",
                        sizeof(*trace));
    if (atomic_load(&trace->on)) /* and may be writing */
        return fail_busy(err);
    if (!take(trace, WAIT_MS, false))
        return gov_fail(err, GOV_E_BUSY, 0,
                        "a write to the trace before has not come back for %d "
                        "ms; try again later",
                        WAIT_MS);
    status = trace->fd >= 0 ? fail_busy(err)
                            : begin_file(runtime, trace, path, note, err);
    (void)let_go(trace);
    if (status == GOV_OK)
        gov__runtime_wake(runtime); /* what is before comes first */
    return status;
}

gov_status gov_record_end(gov_runtime *runtime, uint64_t *samples,
                          gov_error *err)
{
    struct gov__trace *trace =
        runtime == NULL ? NULL : atomic_load(&runtime->trace);
    uint64_t written;
    bool mine;
    int rc = 0;

    if (samples != NULL)
        *samples = 0;
    if (trace == NULL)
        return GOV_OK;
    mine = take(trace, WAIT_MS, true);
    if (mine)
        rc = finish(trace);
    written = atomic_load(&trace->samples);
    if (mine)
        (void)let_go(trace); /* it has ended */
    if (samples != NULL)
        *samples = written;
    if (!mine)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "a write to the trace has not come back for %d ms; the "
                        "trace ends when it does",
                        WAIT_MS);
    return rc == 0 ? GOV_OK : fail_write(err, written, rc);
}

void gov__trace_close(struct gov_runtime *runtime)
{
    struct gov__trace *trace = atomic_load(&runtime->trace);

    if (trace == NULL)
        return;
    atomic_store(&runtime->trace, NULL);
    /* A thread that is not in this child of fork() may have held the locks. */
    if (trace->creator != getpid()) {
        if (trace->fd >= 0)
            (void)close(trace->fd);
        runtime->alloc.release(runtime->alloc.ctx, trace);
        return;
    }
    (void)take(trace, FOR_GOOD, false);
    (void)finish(trace);
    (void)let_go(trace);
    release(&runtime->alloc, trace);
}
