/* SPDX-License-Identifier: MIT */
/* Opens and closes a governor, and says what it watches. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "governor/runtime/trace_priv.h"
#include "policies/language/words_priv.h"

#define DEFAULT_SAMPLE_MS 250
#define MAX_SAMPLE_MS 60000
#define STRUCT_BYTES_MAX 4096 /* larger is garbage, not a newer version */

bool gov__read_struct(void *out, size_t bytes, const void *in, size_t in_bytes)
{
    const unsigned char *from = in;

    if (in_bytes < sizeof(size_t) || in_bytes > STRUCT_BYTES_MAX)
        return false;
    for (size_t i = bytes; i < in_bytes; i++)
        if (from[i] != 0)
            return false;
    memset(out, 0, bytes);
    memcpy(out, in, in_bytes < bytes ? in_bytes : bytes);
    return true;
}

/* ---- what everybody asks ---------------------------------------------------- */

uint64_t gov__runtime_ms(const struct gov_runtime *runtime)
{
    const struct gov_platform *p = runtime->platform;

    return (p->now_us(p->ctx) - runtime->opened_us) / 1000;
}

bool gov__runtime_forked(const struct gov_runtime *runtime)
{
    return runtime->creator != getpid();
}

gov_level gov_level_now(const gov_runtime *runtime)
{
    return runtime == NULL ? GOV_LEVEL_NORMAL
                           : (gov_level)atomic_load(&runtime->level);
}

/* ---- open and close ------------------------------------------------------ */

static gov_status read_options(struct gov_options *options,
                               const struct gov_options *in, gov_error *err)
{
    *options = gov_options_default();
    if (in != NULL &&
        !gov__read_struct(options, sizeof(*options), in, in->size))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the options are of a newer version of this library, "
                        "or none; start from gov_options_default()");
    if (options->sample_ms != 0 && (options->sample_ms < GOV__MIN_SAMPLE_MS ||
                                    options->sample_ms > MAX_SAMPLE_MS))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "sample_ms of %" PRIu32 " is not within %d to %d; 0 "
                        "means the usual",
                        options->sample_ms, GOV__MIN_SAMPLE_MS, MAX_SAMPLE_MS);
    return GOV_OK;
}

static void open_page(struct gov_runtime *runtime, const char *directory)
{
    struct gov__process process;
    uint64_t start_ticks = 0;
    gov_error err;

    if (runtime->platform->process(runtime->platform->ctx, 0, &process) == 0)
        start_ticks = process.start_ticks;
    if (gov__page_writer_open(&runtime->writer, directory, (int32_t)getpid(),
                              start_ticks, &err) != GOV_OK)
        memcpy(runtime->publish_problem, err.message,
               sizeof(runtime->publish_problem));
    gov__control_follow(runtime);
}

/* Returns 0 or an errno value. */
static int init_locks(struct gov_runtime *runtime)
{
    int rc = pthread_mutex_init(&runtime->lock, NULL);

    if (rc != 0)
        return rc;
    rc = pthread_mutex_init(&runtime->weighing, NULL);
    if (rc != 0)
        goto no_weighing;
    rc = pthread_cond_init(&runtime->changed, NULL);
    if (rc != 0)
        goto no_changed;
    rc = pthread_cond_init(&runtime->work, NULL);
    if (rc == 0)
        return 0;
    pthread_cond_destroy(&runtime->changed);
no_changed:
    pthread_mutex_destroy(&runtime->weighing);
no_weighing:
    pthread_mutex_destroy(&runtime->lock);
    return rc;
}

/* Everything that cannot fail. */
static void prepare(struct gov_runtime *runtime,
                    const struct gov_options *options,
                    const struct gov_platform *platform)
{
    runtime->platform = platform;
    runtime->creator = getpid();
    runtime->wake[0] = runtime->wake[1] = runtime->gathered.fd = -1;
    atomic_store(&runtime->control.fd, -1);
    runtime->no_thread = options->no_thread;
    runtime->opened_us = platform->now_us(platform->ctx);
    runtime->adaptive = options->sample_ms == 0;
    runtime->sample_ms =
        options->sample_ms == 0 ? DEFAULT_SAMPLE_MS : options->sample_ms;
    gov_publish(runtime, GOV_PAGE_RELIEFS, 0);
    gov_publish(runtime, GOV_PAGE_YIELD_TOTAL, 0);
    gov_publish_text(runtime, GOV_PAGE_TEXT_APP,
                     options->app == NULL ? "app" : options->app);
}

static void destroy(struct gov_runtime *runtime)
{
    const bool forked = gov__runtime_forked(runtime);
    struct gov_alloc alloc = runtime->alloc;

    gov__requests_close(runtime);
    gov__policy_end(runtime);
    gov__control_close(runtime);
    gov__page_writer_close(&runtime->writer);
    gov__look_close(runtime);
    for (int i = 0; i < 2; i++)
        if (runtime->wake[i] >= 0)
            close(runtime->wake[i]);
    /* A thread that is not there may have held them. */
    if (!forked) {
        pthread_cond_destroy(&runtime->work);
        pthread_cond_destroy(&runtime->changed);
        pthread_mutex_destroy(&runtime->weighing);
        pthread_mutex_destroy(&runtime->lock);
    }
    alloc.release(alloc.ctx, runtime);
}

/* NULL when there is no memory; err says so. */
static struct gov_runtime *allocate(const struct gov_alloc *alloc,
                                    gov_error *err)
{
    struct gov_runtime *runtime = alloc->alloc(alloc->ctx, sizeof(*runtime));
    int rc = 0;

    if (runtime == NULL)
        goto fail;
    memset(runtime, 0, sizeof(*runtime));
    runtime->alloc = *alloc;
    rc = init_locks(runtime);
    if (rc != 0)
        goto fail;
    return runtime;
fail:
    alloc->release(alloc->ctx, runtime);
    gov_fail(err, GOV_E_NOMEM, rc,
             "no memory for a runtime of %zu bytes; free some first",
             sizeof(*runtime));
    return NULL;
}

gov_status gov__open_on(gov_runtime **out, const struct gov_options *options,
                        const struct gov_platform *platform,
                        const char *page_directory, gov_error *err)
{
    struct gov_runtime *runtime;
    struct gov_options own;
    gov_status status;
    int rc;

    if (out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_open() needs a place for the runtime");
    *out = NULL;
    status = read_options(&own, options, err);
    if (status != GOV_OK)
        return status;
    runtime =
        allocate(own.alloc != NULL ? own.alloc : gov_alloc_default(), err);
    if (runtime == NULL)
        return GOV_E_NOMEM;
    prepare(runtime, &own, platform);
    status = gov__policy_begin(runtime, &own, err);
    if (status != GOV_OK)
        goto fail;
    status = gov__requests_open(runtime, &own, err);
    if (status != GOV_OK)
        goto fail;
    runtime->budget_given = own.budget_bytes != 0;
    runtime->budget_bytes = own.budget_bytes;
    status = runtime->budget_given ? GOV_OK : gov__budget_find(runtime, err);
    if (status != GOV_OK)
        goto fail;
    if (!own.no_publish)
        open_page(runtime, page_directory);
    gov__look_open(runtime);
    gov_step(runtime);
    if (!own.no_thread) {
        rc = gov__loop_start(runtime);
        if (rc != 0) {
            status = gov_fail(err, GOV_E_NOMEM, rc,
                              "cannot start the runtime's threads; raise the "
                              "limits of this process, or set no_thread");
            goto fail;
        }
    }
    *out = runtime;
    return GOV_OK;
fail:
    destroy(runtime);
    return status;
}

static uint64_t offer_idle(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    return gov_heap_idle_bytes();
}

static void purge_heap(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    gov_heap_purge();
}

/* The one action that every process has. */
static gov_status add_heap_purge(gov_runtime *runtime, gov_error *err)
{
    struct gov_relief relief = gov_relief_default();
    uint32_t id;

    relief.name = "heap.purge";
    relief.rebuild_cost = 1; /* page faults of later allocations */
    relief.offer = offer_idle;
    relief.run = purge_heap;
    return gov_relief_add(runtime, &relief, &id, err);
}

gov_status gov_open(gov_runtime **out, const struct gov_options *options,
                    gov_error *err)
{
    gov_status status =
        gov__open_on(out, options, gov__platform_native(), NULL, err);

    if (status == GOV_OK) {
        status = add_heap_purge(*out, err);
        if (status != GOV_OK) {
            gov_close(*out);
            *out = NULL;
        }
    }
    return status;
}

void gov_close(gov_runtime *runtime)
{
    if (runtime == NULL)
        return;
    if (!gov__runtime_forked(runtime)) {
        gov__loop_stop(runtime);
        gov__relief_close(runtime);
        gov__activity_close(runtime);
    }
    gov__trace_close(runtime);
    destroy(runtime);
}

/* What watches, for a person. Lock held. */
static size_t put_watched(const struct gov_runtime *runtime, char *out,
                          size_t bytes)
{
    const struct gov__sample *last = &runtime->last;
    const char *psi = "no PSI (the kernel has none for this user)";
    size_t at;

    if (last->stall_source != NULL)
        psi = strcmp(last->stall_source, "system") == 0
                  ? "PSI of the system"
                  : "PSI of the own cgroup";
    at = gov__put(out, bytes, 0, "watching %s", psi);
    if ((last->evidence.have & GOV_HAVE_OS_LEVEL) != 0)
        at = gov__put(out, bytes, at, " and the system's level");
    if (last->headroom_source != NULL)
        at = gov__put(out, bytes, at, " and headroom (%s)",
                      last->headroom_source);
    for (size_t i = 0; i < runtime->source_count; i++)
        if (runtime->sources[i].state == GOV__SOURCE_LIVE)
            at = gov__put(out, bytes, at, ", woken by %s",
                          runtime->sources[i].name);
    return at;
}

char *gov_describe(gov_runtime *runtime, char *out, size_t bytes)
{
    char problem[GOV_MESSAGE_BYTES];
    size_t at;

    if (bytes == 0)
        return out;
    if (runtime == NULL || gov__runtime_forked(runtime)) {
        snprintf(out, bytes, "not governed");
        return out;
    }
    gov__requests_problem(runtime, problem);
    pthread_mutex_lock(&runtime->lock);
    at = put_watched(runtime, out, bytes);
    at = gov__put(out, bytes, at, "; budget %" PRIu64 " MiB",
                  atomic_load(&runtime->budget_bytes) >> 20);
    if (strcmp(runtime->policy_source, "balanced") != 0)
        at = gov__put(out, bytes, at, "; policy %s", runtime->policy_source);
    if (runtime->policy_problem[0] != '\0')
        at = gov__put(out, bytes, at,
                      "; what policy files say is not in force: %s",
                      runtime->policy_problem);
    if (runtime->publish_problem[0] != '\0')
        at = gov__put(out, bytes, at, "; not shown in govtop: %s",
                      runtime->publish_problem);
    if (problem[0] != '\0')
        at =
            gov__put(out, bytes, at, "; no telemetry is recorded: %s", problem);
    if (runtime->control.problem[0] != '\0')
        at = gov__put(out, bytes, at,
                      "; no pressure is simulated from outside: %s",
                      runtime->control.problem);
    if (runtime->nobody_works)
        (void)gov__put(out, bytes, at,
                       "; what gives memory back does not come back");
    pthread_mutex_unlock(&runtime->lock);
    return out;
}
