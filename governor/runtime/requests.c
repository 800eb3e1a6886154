/* SPDX-License-Identifier: MIT */
#include "governor/runtime/requests.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "governor/device/device_priv.h"
#include "governor/runtime/ring.h"
#include "governor/runtime/runtime_priv.h"
#include "policies/language/words_priv.h"

#define PATH_BYTES 4096
#define SAMPLE_MS 10000
#define WAIT_MS 2000 /* the first one that waits, for others */
#define ENOUGH 64    /* that wait: no longer */
#define RETRY_MS 2000
#define RETRY_MS_MAX 64000

struct gov__requests {
    pthread_mutex_t lock; /* all behind it, up to `problem` */
    struct gov__ring requests, reliefs, samples;
    uint64_t since_ms; /* the first one waits; where any does */
    uint64_t lost;     /* that no batch told of yet */
    uint64_t lost_ever;
    int64_t warn_ms, critical_ms;          /* when it was so high last */
    int64_t relief_ms[GOV__REQUESTS_REST]; /* the last ones */
    size_t reliefs_ever;
    uint64_t sampled_ms;
    gov_level sampled_level;
    bool sampled;
    char problem[GOV_MESSAGE_BYTES];
    /* Of who keeps house. */
    gov_telemetry *telemetry;
    char path[PATH_BYTES];
    char profile[GOV__DEVICE_ID]; /* "": there is none */
    bool sought;                  /* the profile, before the first row */
    uint64_t max_bytes;
    uint64_t retry_at_ms, retry_ms; /* 0: the last one went well */
    struct gov_request batch_requests[GOV__REQUESTS];
    struct gov_telemetry_relief batch_reliefs[GOV__REQUESTS_REST];
    struct gov_telemetry_sample batch_samples[GOV__REQUESTS_REST];
    struct gov_request waiting_requests[GOV__REQUESTS];
    struct gov_telemetry_relief waiting_reliefs[GOV__REQUESTS_REST];
    struct gov_telemetry_sample waiting_samples[GOV__REQUESTS_REST];
};

static int64_t wall_ms(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what waits ------------------------------------------------------------------ */

static size_t waiting_locked(const struct gov__requests *q)
{
    return q->requests.count + q->reliefs.count + q->samples.count;
}

/* Returns whether so many wait that they should be written now. Told at each ENOUGH,
 * as who is woken may find the turn taken; and not where there is no more room. */
static bool add_locked(struct gov_runtime *runtime, struct gov__ring *ring,
                       const void *row)
{
    struct gov__requests *q = runtime->requests;
    size_t lost;

    if (waiting_locked(q) == 0)
        q->since_ms = gov__runtime_ms(runtime);
    lost = gov__ring_push(ring, row);
    q->lost += lost;
    q->lost_ever += lost;
    if (lost != 0)
        gov_publish(runtime, GOV_PAGE_TELEMETRY_LOST, q->lost_ever);
    return lost == 0 && waiting_locked(q) % ENOUGH == 0;
}

/* Without the lock of what waits. */
static void wake_writer(struct gov_runtime *runtime)
{
    if (!runtime->threaded) {
        gov__runtime_wake(runtime);
        return;
    }
    pthread_mutex_lock(&runtime->lock);
    runtime->work_wanted = true;
    pthread_cond_broadcast(&runtime->work);
    pthread_mutex_unlock(&runtime->lock);
}

static void note_level_locked(struct gov__requests *q, gov_level level,
                              int64_t now_ms)
{
    if (level >= GOV_LEVEL_WARN)
        q->warn_ms = now_ms;
    if (level >= GOV_LEVEL_CRITICAL)
        q->critical_ms = now_ms;
}

/* ---- where they come from --------------------------------------------------------- */

/* What the row leaves open, and the runtime knows; but for the app's name, for which
 * its lock is needed. */
static void complete_locked(struct gov_runtime *runtime,
                            struct gov_request *row, int64_t now_ms)
{
    struct gov__requests *q = runtime->requests;

    if (row->at_ms == 0)
        row->at_ms = now_ms - (int64_t)(row->took_us / 1000);
    if (row->level < GOV_LEVEL_CRITICAL && q->critical_ms >= row->at_ms)
        row->level = GOV_LEVEL_CRITICAL;
    if (row->level < GOV_LEVEL_WARN && q->warn_ms >= row->at_ms)
        row->level = GOV_LEVEL_WARN;
    if (row->evictions == 0)
        for (size_t i = 0; i < GOV__REQUESTS_REST; i++)
            row->evictions += q->relief_ms[i] >= row->at_ms;
    if (row->footprint_bytes == 0)
        row->footprint_bytes = atomic_load_explicit(
            &runtime->counter[GOV_PAGE_FOOTPRINT], memory_order_relaxed);
}

/* Of a model that is named by a path nothing but its end is recorded; and where the
 * end may have been cut off, what is left would be a part of the path. */
static void hide_path(char *name, size_t room)
{
    const bool cut = strnlen(name, room) >= room - 1;
    const char *end;

    name[room - 1] = '\0';
    end = name + strlen(name);
    while (end > name && end[-1] != '/' && end[-1] != '\\')
        end--;
    if (end == name)
        return;
    if (cut || *end == '\0')
        end = "model";
    memmove(name, end, strlen(end) + 1);
}

void gov_request_done(gov_runtime *runtime, const struct gov_request *request)
{
    struct gov__requests *q;
    struct gov_request row;
    int64_t now_ms;
    bool enough;

    if (runtime == NULL || request == NULL || runtime->requests == NULL ||
        gov__runtime_forked(runtime) ||
        !gov__read_struct(&row, sizeof(row), request, request->size))
        return;
    q = runtime->requests;
    hide_path(row.model, sizeof(row.model));
    now_ms = wall_ms();
    pthread_mutex_lock(&q->lock);
    note_level_locked(q, gov_level_now(runtime), now_ms);
    complete_locked(runtime, &row, now_ms);
    enough = add_locked(runtime, &q->requests, &row);
    pthread_mutex_unlock(&q->lock);
    if (enough)
        wake_writer(runtime);
}

void gov__requests_relief(struct gov_runtime *runtime, const char *action,
                          uint64_t claimed_bytes, uint64_t yield_bytes,
                          uint64_t took_us, bool measured)
{
    struct gov__requests *q = runtime->requests;
    struct gov_telemetry_relief row = {.at_ms = wall_ms(),
                                       .level = gov_level_now(runtime),
                                       .claimed_bytes = claimed_bytes,
                                       .yield_bytes = yield_bytes,
                                       .took_us = took_us};

    if (q == NULL)
        return;
    (void)gov__put(row.action, sizeof(row.action), 0, "%s", action);
    pthread_mutex_lock(&q->lock);
    q->relief_ms[q->reliefs_ever++ % GOV__REQUESTS_REST] = row.at_ms;
    if (measured)
        (void)add_locked(runtime, &q->reliefs, &row);
    pthread_mutex_unlock(&q->lock);
}

/* As sessions publish it; exact every two seconds. */
static uint64_t weights_resident(struct gov_runtime *runtime)
{
    const gov_page_counter counter = GOV_PAGE_WEIGHTS_RESIDENT;
    struct gov_page page;

    memset(&page, 0, sizeof(page));
    gov__gauges_fill(runtime, &page);
    return page.have >> counter & 1 ? page.counter[counter] : UINT64_MAX;
}

void gov__requests_sample(struct gov_runtime *runtime,
                          const struct gov__sample *sample, gov_level level)
{
    struct gov__requests *q = runtime->requests;
    const uint64_t now_ms = gov__runtime_ms(runtime);
    struct gov_telemetry_sample row = {.at_ms = wall_ms(), .level = level};
    bool due;

    if (q == NULL)
        return;
    pthread_mutex_lock(&q->lock);
    note_level_locked(q, level, row.at_ms);
    due = !q->sampled || q->sampled_level != level ||
          now_ms - q->sampled_ms >= SAMPLE_MS;
    if (due) {
        q->sampled = true;
        q->sampled_level = level;
        q->sampled_ms = now_ms;
    }
    pthread_mutex_unlock(&q->lock);
    if (!due)
        return;
    row.footprint_bytes =
        sample->have_process ? sample->process.footprint_bytes : 0;
    row.budget_bytes = atomic_load(&runtime->budget_bytes);
    row.headroom_bytes = (sample->evidence.have & GOV_HAVE_HEADROOM) != 0
                             ? sample->evidence.headroom_bytes
                             : UINT64_MAX;
    row.weights_resident_bytes = weights_resident(runtime);
    row.process = (uint64_t)runtime->creator;
    pthread_mutex_lock(&q->lock);
    (void)add_locked(runtime, &q->samples, &row);
    pthread_mutex_unlock(&q->lock);
}

/* ---- writing ------------------------------------------------------------------------ */

/* Of the stored profile, as it was before the first row; whether the machine is
 * still the one that it is of is not asked, as that takes trying. */
static void find_profile(struct gov__requests *q)
{
    struct gov_device stored = {0};

    if (q->sought)
        return;
    q->sought = true;
    if (gov_device_load(&stored, NULL, NULL) == GOV_OK)
        gov__device_id(&stored, q->profile);
}

static void name_rows(struct gov_runtime *runtime,
                      const struct gov_telemetry_batch *batch)
{
    struct gov__requests *q = runtime->requests;
    char app[sizeof(runtime->page.text_APP)];
    char name[sizeof(q->batch_requests[0].app)];

    pthread_mutex_lock(&runtime->lock);
    memcpy(app, runtime->page.text_APP, sizeof(app));
    pthread_mutex_unlock(&runtime->lock);
    (void)gov__put(name, sizeof(name), 0, "%s", app);
    find_profile(q);
    for (size_t i = 0; i < batch->request_count; i++) {
        struct gov_request *row = &q->batch_requests[i];

        if (row->app[0] == '\0')
            memcpy(row->app, name, sizeof(name));
        if (row->profile[0] == '\0')
            memcpy(row->profile, q->profile, sizeof(q->profile));
    }
    for (size_t i = 0; i < batch->relief_count; i++)
        memcpy(q->batch_reliefs[i].app, name, sizeof(name));
    for (size_t i = 0; i < batch->sample_count; i++)
        memcpy(q->batch_samples[i].app, name, sizeof(name));
}

/* Whether there is anything to be written now. */
static bool take_batch(struct gov_runtime *runtime, bool all,
                       struct gov_telemetry_batch *out)
{
    struct gov__requests *q = runtime->requests;
    const uint64_t now_ms = gov__runtime_ms(runtime);
    size_t count;
    bool due;

    memset(out, 0, sizeof(*out));
    if (!all && q->retry_ms != 0 && now_ms < q->retry_at_ms)
        return false;
    pthread_mutex_lock(&q->lock);
    count = waiting_locked(q);
    due = count > 0 &&
          (all || count >= ENOUGH || now_ms - q->since_ms >= WAIT_MS);
    if (due) {
        out->requests = q->batch_requests;
        out->reliefs = q->batch_reliefs;
        out->samples = q->batch_samples;
        out->request_count = gov__ring_take(&q->requests, q->batch_requests);
        out->relief_count = gov__ring_take(&q->reliefs, q->batch_reliefs);
        out->sample_count = gov__ring_take(&q->samples, q->batch_samples);
        out->lost = q->lost;
        q->lost = 0;
    }
    pthread_mutex_unlock(&q->lock);
    return due;
}

static gov_status write_once(struct gov_runtime *runtime,
                             const struct gov_telemetry_batch *batch,
                             gov_error *err)
{
    struct gov__requests *q = runtime->requests;
    gov_status status = GOV_OK;

    if (q->telemetry == NULL)
        status = gov_telemetry_open(&q->telemetry, q->path, q->max_bytes,
                                    &runtime->alloc, err);
    if (status == GOV_OK)
        status = gov_telemetry_write(q->telemetry, batch, err);
    /* Who writes is waited for; what else there is, a new connection may mend. */
    if (status != GOV_OK && status != GOV_E_BUSY) {
        gov_telemetry_close(q->telemetry);
        q->telemetry = NULL;
    }
    return status;
}

/* The file may have been removed since it was opened, or be another one. */
static gov_status write_batch(struct gov_runtime *runtime,
                              const struct gov_telemetry_batch *batch,
                              gov_error *err)
{
    const bool was_open = runtime->requests->telemetry != NULL;
    const gov_status status = write_once(runtime, batch, err);

    return status == GOV_OK || status == GOV_E_BUSY || !was_open
               ? status
               : write_once(runtime, batch, err);
}

/* What has no more room is lost. Returns whether that is news. */
static bool keep_batch(struct gov_runtime *runtime,
                       const struct gov_telemetry_batch *batch,
                       const gov_error *err)
{
    struct gov__requests *q = runtime->requests;
    uint64_t lost = 0;
    bool news;

    q->retry_ms = q->retry_ms == 0 ? RETRY_MS : q->retry_ms * 2;
    if (q->retry_ms > RETRY_MS_MAX)
        q->retry_ms = RETRY_MS_MAX;
    q->retry_at_ms = gov__runtime_ms(runtime) + q->retry_ms;
    pthread_mutex_lock(&q->lock);
    lost +=
        gov__ring_put_back(&q->requests, batch->requests, batch->request_count);
    lost +=
        gov__ring_put_back(&q->reliefs, batch->reliefs, batch->relief_count);
    lost +=
        gov__ring_put_back(&q->samples, batch->samples, batch->sample_count);
    q->lost += batch->lost + lost;
    q->lost_ever += lost;
    gov_publish(runtime, GOV_PAGE_TELEMETRY_LOST, q->lost_ever);
    news = q->problem[0] == '\0';
    memcpy(q->problem, err->message, sizeof(q->problem));
    pthread_mutex_unlock(&q->lock);
    return news;
}

static void tell_problem(struct gov_runtime *runtime, const gov_error *err)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE};
    char text[GOV_MESSAGE_BYTES + 64];

    snprintf(text, sizeof(text), "no telemetry is recorded for now: %s",
             err->message);
    event.text = text;
    gov__runtime_event(runtime, &event);
}

static void flush(struct gov_runtime *runtime, bool all)
{
    struct gov__requests *q = runtime->requests;
    struct gov_telemetry_batch batch;
    gov_error err;

    if (!take_batch(runtime, all, &batch))
        return;
    name_rows(runtime, &batch);
    if (write_batch(runtime, &batch, &err) != GOV_OK) {
        if (keep_batch(runtime, &batch, &err))
            tell_problem(runtime, &err);
        return;
    }
    q->retry_ms = 0;
    pthread_mutex_lock(&q->lock);
    q->problem[0] = '\0';
    pthread_mutex_unlock(&q->lock);
}

void gov__requests_flush(struct gov_runtime *runtime)
{
    if (runtime->requests != NULL)
        flush(runtime, false);
}

void gov__requests_problem(struct gov_runtime *runtime,
                           char out[GOV_MESSAGE_BYTES])
{
    struct gov__requests *q = runtime->requests;

    out[0] = '\0';
    if (q == NULL)
        return;
    pthread_mutex_lock(&q->lock);
    memcpy(out, q->problem, GOV_MESSAGE_BYTES);
    pthread_mutex_unlock(&q->lock);
}

/* ---- begin and end ------------------------------------------------------------------- */

static void init_rings(struct gov__requests *q)
{
    q->requests =
        (struct gov__ring){(unsigned char *)q->waiting_requests,
                           sizeof(q->waiting_requests[0]), GOV__REQUESTS, 0, 0};
    q->reliefs = (struct gov__ring){(unsigned char *)q->waiting_reliefs,
                                    sizeof(q->waiting_reliefs[0]),
                                    GOV__REQUESTS_REST, 0, 0};
    q->samples = (struct gov__ring){(unsigned char *)q->waiting_samples,
                                    sizeof(q->waiting_samples[0]),
                                    GOV__REQUESTS_REST, 0, 0};
}

gov_status gov__requests_open(struct gov_runtime *runtime,
                              const struct gov_options *options, gov_error *err)
{
    const struct gov_alloc *alloc = &runtime->alloc;
    struct gov__requests *q;

    if (options->telemetry == NULL)
        return GOV_OK;
    if (strlen(options->telemetry) >= PATH_BYTES)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the path of the telemetry is longer than %d bytes; "
                        "name a shorter one",
                        PATH_BYTES - 1);
    q = alloc->alloc(alloc->ctx, sizeof(*q));
    if (q == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for telemetry of %zu bytes; free some first",
                        sizeof(*q));
    memset(q, 0, sizeof(*q));
    if (pthread_mutex_init(&q->lock, NULL) != 0) {
        alloc->release(alloc->ctx, q);
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a lock");
    }
    init_rings(q);
    memcpy(q->path, options->telemetry, strlen(options->telemetry) + 1);
    q->max_bytes = options->telemetry_bytes;
    runtime->requests = q;
    gov_publish(runtime, GOV_PAGE_TELEMETRY_LOST, 0);
    return GOV_OK;
}

void gov__requests_close(struct gov_runtime *runtime)
{
    struct gov__requests *q = runtime->requests;
    const bool forked = gov__runtime_forked(runtime);

    if (q == NULL)
        return;
    if (!forked)
        flush(runtime, true);
    gov_telemetry_close(q->telemetry);
    if (!forked) /* a thread that is not there may have held it */
        pthread_mutex_destroy(&q->lock);
    runtime->requests = NULL;
    runtime->alloc.release(runtime->alloc.ctx, q);
}
