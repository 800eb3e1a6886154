/* SPDX-License-Identifier: MIT */
/* Opens and closes a governor, and the turn of its loop: sample, level, relief,
 * publish. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "governor/device/device_priv.h"
#include "governor/runtime/page_layout.h"
#include "governor/runtime/trace_priv.h"

#define DEFAULT_SAMPLE_MS 250
#define MIN_SAMPLE_MS 100 /* faster reads starve PSI triggers of others */
#define MAX_SAMPLE_MS 60000
/* The fastest that two processors were seen to touch memory, 2 GB/s, and twice: so
 * much may go in a millisecond, and the next sample should come before all has
 * gone. */
#define FILL_BYTES_PER_MS (UINT64_C(4) << 20)
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

/* ---- events -------------------------------------------------------------- */

uint64_t gov__runtime_ms(const struct gov_runtime *runtime)
{
    const struct gov_platform *p = runtime->platform;

    return (p->now_us(p->ctx) - runtime->opened_us) / 1000;
}

void gov__runtime_event(struct gov_runtime *runtime, struct gov_event *event)
{
    gov_event_fn fn;
    void *ctx;

    pthread_mutex_lock(&runtime->lock);
    fn = runtime->event;
    ctx = runtime->event_ctx;
    if (fn != NULL)
        runtime->delivering++;
    pthread_mutex_unlock(&runtime->lock);
    if (fn == NULL)
        return;
    event->size = sizeof(*event);
    event->at_ms = gov__runtime_ms(runtime);
    event->level = gov_level_now(runtime);
    fn(ctx, event);
    pthread_mutex_lock(&runtime->lock);
    runtime->delivering--;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

void gov_on_event(gov_runtime *runtime, gov_event_fn fn, void *ctx)
{
    if (runtime == NULL)
        return;
    pthread_mutex_lock(&runtime->lock);
    runtime->event = fn;
    runtime->event_ctx = ctx;
    while (runtime->delivering > 0)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
}

gov_level gov_level_now(const gov_runtime *runtime)
{
    return runtime == NULL ? GOV_LEVEL_NORMAL
                           : (gov_level)atomic_load(&runtime->level);
}

/* ---- publishing ---------------------------------------------------------- */

void gov_publish(gov_runtime *runtime, gov_page_counter counter, uint64_t value)
{
    const uint64_t bit = UINT64_C(1) << ((unsigned int)counter % 64);

    if (runtime == NULL || (unsigned int)counter >= GOV_PAGE_COUNTERS)
        return;
    atomic_store_explicit(&runtime->counter[counter], value,
                          memory_order_relaxed);
    /* Who sees the bit sees a value. It is set once; a plain load is cheaper. */
    if ((atomic_load_explicit(&runtime->have, memory_order_relaxed) & bit) == 0)
        atomic_fetch_or_explicit(&runtime->have, bit, memory_order_release);
}

/* Publishes a figure, or that it is not known any more. */
static void publish_if(struct gov_runtime *runtime, bool known,
                       gov_page_counter counter, uint64_t value)
{
    if (known)
        gov_publish(runtime, counter, value);
    else
        atomic_fetch_and(&runtime->have, ~(UINT64_C(1) << counter));
}

/* The longest start of a text that has less than `room` bytes and does not end
 * within a UTF-8 character. */
static size_t whole_characters(const char *text, size_t room)
{
    size_t n, last = 0; /* where the last character starts */

    for (n = 0; n < room && text[n] != '\0'; n++)
        if (((unsigned char)text[n] & 0xC0) != 0x80)
            last = n;
    return n < room ? n : last;
}

void gov_publish_text(gov_runtime *runtime, gov_page_text text,
                      const char *value)
{
    const struct gov__page_field *field = gov__page_field(text);
    char *to;
    size_t n;

    if (runtime == NULL || field == NULL || value == NULL)
        return;
    to = (char *)&runtime->page + field->offset;
    n = whole_characters(value, field->bytes);
    pthread_mutex_lock(&runtime->lock);
    memcpy(to, value, n);
    memset(to + n, 0, field->bytes - n);
    pthread_mutex_unlock(&runtime->lock);
}

/* A page that cannot be written is a recorded fact, not a failure. */
static void write_page(struct gov_runtime *runtime)
{
    struct gov_page page;
    gov_error err;
    gov_status status;

    if (!runtime->writer.open)
        return;
    pthread_mutex_lock(&runtime->lock);
    page = runtime->page;
    pthread_mutex_unlock(&runtime->lock);
    page.have = atomic_load_explicit(&runtime->have, memory_order_acquire);
    for (size_t i = 0; i < GOV_PAGE_COUNTERS; i++)
        page.counter[i] =
            atomic_load_explicit(&runtime->counter[i], memory_order_relaxed);
    status = gov__page_writer_update(&runtime->writer, &page, &err);
    pthread_mutex_lock(&runtime->lock);
    runtime->publish_problem[0] = '\0';
    if (status != GOV_OK)
        memcpy(runtime->publish_problem, err.message,
               sizeof(runtime->publish_problem));
    pthread_mutex_unlock(&runtime->lock);
}

static const char *backend(const struct gov__sample *sample)
{
    bool headroom = (sample->evidence.have & GOV_HAVE_HEADROOM) != 0;

    if (sample->stall_source == NULL)
        return headroom ? "headroom only" : "none";
    if (strcmp(sample->stall_source, "system") == 0)
        return headroom ? "PSI (system) and headroom" : "PSI (system)";
    return headroom ? "PSI (own cgroup) and headroom" : "PSI (own cgroup)";
}

static void publish(struct gov_runtime *runtime,
                    const struct gov__sample *sample, const char *reason)
{
    const struct gov_platform *p = runtime->platform;
    const struct gov__process *own = &sample->process;
    bool known = sample->have_process;
    uint64_t cache_bytes;

    gov_publish(runtime, GOV_PAGE_UPDATED_US, p->now_us(p->ctx));
    gov_publish(runtime, GOV_PAGE_LEVEL, (uint64_t)gov_level_now(runtime));
    gov_publish(runtime, GOV_PAGE_LEVEL_SIMULATED,
                (sample->evidence.have & GOV_HAVE_SIMULATED) != 0);
    gov_publish(runtime, GOV_PAGE_BUDGET, runtime->budget_bytes);
    publish_if(runtime, (sample->evidence.have & GOV_HAVE_HEADROOM) != 0,
               GOV_PAGE_HEADROOM, sample->evidence.headroom_bytes);
    publish_if(runtime, known, GOV_PAGE_FOOTPRINT, own->footprint_bytes);
    publish_if(runtime, known, GOV_PAGE_ANON, own->anon_bytes);
    publish_if(runtime, known, GOV_PAGE_SWAP, own->swap_bytes);
    publish_if(runtime, known, GOV_PAGE_RESIDENT_FILE,
               own->resident_file_bytes);
    publish_if(runtime, known, GOV_PAGE_MAJOR_FAULTS, own->major_faults);
    publish_if(runtime, known, GOV_PAGE_MINOR_FAULTS, own->minor_faults);
    publish_if(runtime, known && own->have_read_bytes, GOV_PAGE_READ_BYTES,
               own->read_bytes);
    known = gov__relief_cache_bytes(runtime, &cache_bytes);
    publish_if(runtime, known, GOV_PAGE_CACHE, cache_bytes);
    gov_publish_text(runtime, GOV_PAGE_TEXT_REASON, reason);
    gov_publish_text(runtime, GOV_PAGE_TEXT_BACKEND, backend(sample));
    write_page(runtime);
}

/* ---- the budget ---------------------------------------------------------- */

static gov_status find_budget(struct gov_runtime *runtime, gov_error *err)
{
    struct gov_device device;
    gov_status status =
        gov__device_probe_memory(runtime->platform, &device, err);
    uint64_t budget;

    if (status != GOV_OK)
        return status;
    budget = gov_device_number(&device, GOV_FACT_BUDGET_RAM, 0);
    if (budget == 0)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "this system reports no memory total to govern; set "
                        "budget_bytes");
    atomic_store(&runtime->budget_bytes, budget);
    runtime->limit_bytes =
        gov_device_number(&device, GOV_FACT_DEVICE_LIMIT, UINT64_MAX);
    runtime->ram_bytes = gov_device_number(&device, GOV_FACT_DEVICE_RAM, 0);
    return GOV_OK;
}

uint64_t gov_budget_now(const gov_runtime *runtime)
{
    return runtime == NULL ? 0 : atomic_load(&runtime->budget_bytes);
}

void gov_set_budget(gov_runtime *runtime, uint64_t budget_bytes)
{
    if (runtime == NULL)
        return;
    atomic_store(&runtime->budget_wanted, budget_bytes);
    atomic_store(&runtime->budget_asked, true);
    gov__runtime_wake(runtime);
}

static void tell_budget(struct gov_runtime *runtime, const char *text)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE, .text = text};

    gov__runtime_event(runtime, &event);
    gov__relief_budget(runtime);
}

/* What the app asked for since the last step. While the device's budget cannot be
 * found the one before stays. */
static void take_budget(struct gov_runtime *runtime)
{
    const uint64_t before = atomic_load(&runtime->budget_bytes);
    uint64_t wanted, now;
    char text[96];

    if (!atomic_exchange(&runtime->budget_asked, false))
        return;
    wanted = atomic_load(&runtime->budget_wanted);
    if (wanted != 0)
        atomic_store(&runtime->budget_bytes, wanted);
    else if (find_budget(runtime, NULL) != GOV_OK) {
        atomic_store(&runtime->budget_asked, true);
        return;
    }
    runtime->budget_given = wanted != 0;
    now = atomic_load(&runtime->budget_bytes);
    if (now == before)
        return;
    snprintf(text, sizeof(text), "the budget is %s: %" PRIu64 " MiB",
             wanted != 0 ? "another one" : "the device's again", now >> 20);
    tell_budget(runtime, text);
}

static void announce_bounds(struct gov_runtime *runtime,
                            const struct gov__sample *sample)
{
    char text[160], limit[32] = "lifted";

    if (sample->limit_bytes != UINT64_MAX)
        snprintf(limit, sizeof(limit), "now %" PRIu64 " MiB",
                 sample->limit_bytes >> 20);
    snprintf(text, sizeof(text),
             "the memory limit is %s: the budget is %" PRIu64 " MiB", limit,
             atomic_load(&runtime->budget_bytes) >> 20);
    tell_budget(runtime, text);
}

/* A container may be resized, and memory plugged, while we run. The budget
 * follows what it was derived from, not every breath of the neighbours: it would
 * wobble, and plans with it. One that an app gave stays. Returns whether it
 * changed. */
static bool follow_bounds(struct gov_runtime *runtime,
                          const struct gov__sample *sample)
{
    uint64_t before = atomic_load(&runtime->budget_bytes);

    if (runtime->budget_given || !sample->have_bounds ||
        (sample->limit_bytes == runtime->limit_bytes &&
         sample->ram_bytes == runtime->ram_bytes))
        return false;
    return find_budget(runtime, NULL) == GOV_OK &&
           atomic_load(&runtime->budget_bytes) != before;
}

/* ---- the turn ------------------------------------------------------------ */

/* Steps the level machine; returns the level before it. */
static gov_level judge(struct gov_runtime *runtime, struct gov__sample *sample,
                       char reason[sizeof(runtime->machine.reason)])
{
    gov_level before, now;

    pthread_mutex_lock(&runtime->lock);
    gov__simulate_due_locked(runtime, sample->evidence.now_ms);
    if (runtime->simulating) {
        sample->evidence.have |= GOV_HAVE_SIMULATED;
        sample->evidence.simulated_level = runtime->simulated;
    }
    before = runtime->machine.level;
    now = gov_level_step(&runtime->machine, &runtime->rules, &sample->evidence);
    atomic_store(&runtime->level, (int)now);
    runtime->last = *sample;
    runtime->given_bytes = 0;
    runtime->wanted_bytes =
        gov_level_wanted(&runtime->rules, now, &sample->evidence);
    if (now > before)
        gov__relief_wake_locked(runtime);
    memcpy(reason, runtime->machine.reason, sizeof(runtime->machine.reason));
    pthread_mutex_unlock(&runtime->lock);
    return before;
}

static void announce(struct gov_runtime *runtime, const char *reason)
{
    struct gov_event event = {.kind = GOV_EVENT_LEVEL};
    char text[192];

    snprintf(text, sizeof(text), "%s: %s",
             gov_level_name(gov_level_now(runtime)), reason);
    event.text = text;
    gov__runtime_event(runtime, &event);
}

/* Where it is time to look often it is time to let go, once. */
static void be_alert(struct gov_runtime *runtime)
{
    bool alert;

    pthread_mutex_lock(&runtime->lock);
    alert = gov_level_look_ms(&runtime->machine, &runtime->rules,
                              &runtime->last.evidence) <= MIN_SAMPLE_MS;
    pthread_mutex_unlock(&runtime->lock);
    if (alert && !runtime->alert)
        gov__relief_hand_over(runtime);
    runtime->alert = alert;
}

/* False when another thread is inside gov_step(). */
static bool begin_step(struct gov_runtime *runtime)
{
    bool mine;

    pthread_mutex_lock(&runtime->lock);
    mine = !runtime->stepping;
    runtime->stepping = true;
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static void end_step(struct gov_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->stepping = false;
    pthread_mutex_unlock(&runtime->lock);
}

void gov_step(gov_runtime *runtime)
{
    char reason[sizeof(runtime->machine.reason)];
    struct gov__sample sample;

    if (runtime == NULL || !begin_step(runtime))
        return;
    if (runtime->no_thread)
        gov__control_turn(runtime);
    gov__policy_follow(runtime);
    take_budget(runtime);
    gov__evidence_sample(runtime->platform, runtime->budget_bytes,
                         gov__runtime_ms(runtime), &sample);
    if (follow_bounds(runtime, &sample)) {
        announce_bounds(runtime, &sample);
        gov__evidence_sample(runtime->platform, runtime->budget_bytes,
                             gov__runtime_ms(runtime), &sample);
    }
    if (judge(runtime, &sample, reason) != gov_level_now(runtime)) {
        announce(runtime, reason);
        gov_heap_decay(gov_level_now(runtime));
    }
    be_alert(runtime);
    gov__relief_sample(runtime, &sample.evidence, reason);
    gov__relief_run(runtime, GOV__IN_STEP);
    gov__relief_regrow(runtime);
    publish(runtime, &sample, reason);
    end_step(runtime);
}

uint64_t gov__runtime_pace_locked(const struct gov_runtime *runtime)
{
    const struct gov_evidence *last = &runtime->last.evidence;
    uint64_t wait, left = UINT64_MAX;

    if (!runtime->adaptive)
        return runtime->sample_ms;
    wait = gov_level_look_ms(&runtime->machine, &runtime->rules, last);
    if ((last->have & GOV_HAVE_HEADROOM) != 0)
        left = last->headroom_bytes / FILL_BYTES_PER_MS;
    if (wait > left)
        wait = left;
    return wait < MIN_SAMPLE_MS ? MIN_SAMPLE_MS : wait;
}

/* Waits until a sample or a simulated step is due, or somebody wakes us or sends
 * something. */
static void wait_for_turn(struct gov_runtime *runtime)
{
    struct pollfd wake[] = {{.fd = runtime->wake[0], .events = POLLIN},
                            {.fd = -1, .events = POLLIN}};
    char drain[64];
    uint64_t wait;

    pthread_mutex_lock(&runtime->lock);
    wait = gov__simulate_wait_locked(runtime, gov__runtime_ms(runtime),
                                     gov__runtime_pace_locked(runtime));
    pthread_mutex_unlock(&runtime->lock);
    wake[1].fd = gov__control_fd(runtime, &wait);
    /* What is left in the pipe only makes the next wait short. */
    if (poll(wake, 2, (int)wait) > 0 && wake[0].revents != 0 &&
        read(runtime->wake[0], drain, sizeof(drain)) < 0)
        return;
}

static void *loop(void *arg)
{
    struct gov_runtime *runtime = arg;

    for (;;) {
        wait_for_turn(runtime);
        if (atomic_load(&runtime->stop))
            return NULL;
        gov__control_turn(runtime);
        gov_step(runtime);
    }
}

void gov__runtime_wake(struct gov_runtime *runtime)
{
    /* A full pipe means that the thread is about to wake anyway. */
    if (runtime->wake[1] >= 0 && write(runtime->wake[1], "", 1) < 0)
        return;
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
    if (options->sample_ms != 0 && (options->sample_ms < MIN_SAMPLE_MS ||
                                    options->sample_ms > MAX_SAMPLE_MS))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "sample_ms of %" PRIu32 " is not within %d to %d; 0 "
                        "means the usual",
                        options->sample_ms, MIN_SAMPLE_MS, MAX_SAMPLE_MS);
    return GOV_OK;
}

static int start_thread(struct gov_runtime *runtime)
{
    int rc;

    if (pipe(runtime->wake) != 0) {
        runtime->wake[0] = runtime->wake[1] = -1;
        return errno;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(runtime->wake[i], F_SETFD, FD_CLOEXEC);
        fcntl(runtime->wake[i], F_SETFL, O_NONBLOCK);
    }
    rc = gov__thread_start(&runtime->thread, loop, runtime);
    runtime->has_thread = rc == 0;
    return rc;
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

static int init_lock(struct gov_runtime *runtime)
{
    int rc = pthread_mutex_init(&runtime->lock, NULL);

    if (rc != 0)
        return rc;
    rc = pthread_cond_init(&runtime->changed, NULL);
    if (rc != 0)
        pthread_mutex_destroy(&runtime->lock);
    return rc;
}

/* Everything that cannot fail. */
static void prepare(struct gov_runtime *runtime,
                    const struct gov_options *options,
                    const struct gov_platform *platform)
{
    runtime->platform = platform;
    runtime->wake[0] = runtime->wake[1] = -1;
    runtime->control.fd = -1;
    runtime->no_thread = options->no_thread;
    runtime->opened_us = platform->now_us(platform->ctx);
    runtime->adaptive = options->sample_ms == 0;
    runtime->sample_ms =
        options->sample_ms == 0 ? DEFAULT_SAMPLE_MS : options->sample_ms;
    gov_publish_text(runtime, GOV_PAGE_TEXT_APP,
                     options->app == NULL ? "app" : options->app);
}

static void destroy(struct gov_runtime *runtime)
{
    struct gov_alloc alloc = runtime->alloc;

    gov__policy_end(runtime);
    gov__control_close(runtime);
    gov__page_writer_close(&runtime->writer);
    for (int i = 0; i < 2; i++)
        if (runtime->wake[i] >= 0)
            close(runtime->wake[i]);
    pthread_cond_destroy(&runtime->changed);
    pthread_mutex_destroy(&runtime->lock);
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
    rc = init_lock(runtime);
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
    runtime->budget_given = own.budget_bytes != 0;
    runtime->budget_bytes = own.budget_bytes;
    status = runtime->budget_given ? GOV_OK : find_budget(runtime, err);
    if (status != GOV_OK)
        goto fail;
    if (!own.no_publish)
        open_page(runtime, page_directory);
    gov_step(runtime);
    if (!own.no_thread) {
        rc = start_thread(runtime);
        if (rc != 0) {
            status = gov_fail(err, GOV_E_NOMEM, rc,
                              "cannot start the runtime's thread; raise the "
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
    atomic_store(&runtime->stop, true);
    if (runtime->has_thread) {
        gov__runtime_wake(runtime);
        pthread_join(runtime->thread, NULL);
    }
    gov__relief_close(runtime);
    gov__trace_close(runtime);
    destroy(runtime);
}

char *gov_describe(gov_runtime *runtime, char *out, size_t bytes)
{
    const struct gov__sample *last;
    bool usual;

    if (bytes == 0)
        return out;
    if (runtime == NULL) {
        snprintf(out, bytes, "not governed");
        return out;
    }
    pthread_mutex_lock(&runtime->lock);
    last = &runtime->last;
    usual = strcmp(runtime->policy_source, "balanced") == 0;
    snprintf(
        out, bytes, "watching %s%s%s%s%s; budget %llu MiB%s%s%s%s%s%s%s%s",
        last->stall_source != NULL ? "PSI of " : "",
        last->stall_source != NULL
            ? (strcmp(last->stall_source, "system") == 0 ? "the system"
                                                         : "the own cgroup")
            : "no PSI (the kernel has none for this user)",
        last->headroom_source != NULL ? " and headroom (" : "",
        last->headroom_source != NULL ? last->headroom_source : "",
        last->headroom_source != NULL ? ")" : "",
        (unsigned long long)(runtime->budget_bytes >> 20),
        usual ? "" : "; policy ", usual ? "" : runtime->policy_source,
        runtime->policy_problem[0] != '\0'
            ? "; what policy files say is not in force: "
            : "",
        runtime->policy_problem,
        runtime->publish_problem[0] != '\0' ? "; not shown in govtop: " : "",
        runtime->publish_problem,
        runtime->control.problem[0] != '\0' ? "; no pressure is simulated from "
                                              "outside: "
                                            : "",
        runtime->control.problem);
    pthread_mutex_unlock(&runtime->lock);
    return out;
}
