/* SPDX-License-Identifier: MIT */
#include "tests/support/sim_platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool fails(struct sim *sim, const char *name)
{
    uint64_t number = atomic_fetch_add(&sim->calls, 1);
    uint64_t at = sim->fail_at;

    if (number < at || (number > at && !sim->fail_forever))
        return false;
    if (number == at)
        sim->failed = name;
    return true;
}

void sim_lock(struct sim *sim)
{
    pthread_mutex_lock(&sim->lock);
}

void sim_unlock(struct sim *sim)
{
    pthread_mutex_unlock(&sim->lock);
}

void sim_grow(struct sim *sim, int64_t bytes)
{
    sim_lock(sim);
    sim->process.footprint_bytes += (uint64_t)bytes;
    sim_unlock(sim);
}

void sim_advance_ms(struct sim *sim, uint64_t ms)
{
    atomic_fetch_add(&sim->now_us, ms * 1000);
}

void sim_fail(struct sim *sim, uint64_t n, bool forever)
{
    sim->calls = 0;
    sim->failed = "none";
    sim->fail_forever = forever;
    sim->fail_at = n;
}

/* Copies a figure out, or says why not. */
static int tell(struct sim *sim, const char *name, const int *rc, void *out,
                const void *figure, size_t bytes)
{
    int answer;

    if (fails(sim, name))
        return EIO;
    sim_lock(sim);
    answer = *rc;
    if (answer == 0)
        memcpy(out, figure, bytes);
    sim_unlock(sim);
    return answer;
}

static uint64_t now_us(void *ctx)
{
    return ((struct sim *)ctx)->now_us;
}

static size_t page_bytes(void *ctx)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    return native->page_bytes(native->ctx);
}

static int machine(void *ctx, struct gov__machine *out)
{
    struct sim *sim = ctx;

    return tell(sim, "machine", &sim->machine_rc, out, &sim->machine,
                sizeof(*out));
}

static int limit(void *ctx, struct gov__limit *out)
{
    struct sim *sim = ctx;

    return tell(sim, "limit", &sim->limit_rc, out, &sim->limit, sizeof(*out));
}

static int stall(void *ctx, struct gov__stall *out)
{
    struct sim *sim = ctx;

    return tell(sim, "stall", &sim->stall_rc, out, &sim->stall, sizeof(*out));
}

static int process(void *ctx, int pid, struct gov__process *out)
{
    struct sim *sim = ctx;

    (void)pid;
    return tell(sim, "process", &sim->process_rc, out, &sim->process,
                sizeof(*out));
}

static int alive(void *ctx, int pid, uint64_t start_ticks)
{
    (void)pid;
    (void)start_ticks;
    return fails(ctx, "alive") ? EIO : 0;
}

static int map(void *ctx, size_t bytes, const char *tag, void **out)
{
    const struct gov_platform *native = gov__platform_native();
    struct sim *sim = ctx;
    int rc = fails(sim, "map") ? EIO : sim->map_rc;

    if (rc == 0)
        rc = native->map(native->ctx, bytes, tag, out);
    if (rc == 0) {
        atomic_fetch_add(&sim->maps, 1);
        atomic_fetch_add(&sim->mapped_bytes, (int64_t)bytes);
    }
    return rc;
}

static int unmap(void *ctx, void *base, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();
    struct sim *sim = ctx;

    atomic_fetch_sub(&sim->maps, 1);
    atomic_fetch_sub(&sim->mapped_bytes, (int64_t)bytes);
    return native->unmap(native->ctx, base, bytes);
}

static int discard(void *ctx, void *base, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    return fails(ctx, "discard") ? EIO
                                 : native->discard(native->ctx, base, bytes);
}

/* The kernel could take the pages, and never does. */
static int offer(void *ctx, void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return fails(ctx, "offer") ? EIO : 0;
}

static int refaults(void *ctx, uint64_t *out)
{
    struct sim *sim = ctx;

    sim_lock(sim);
    *out = sim->refault_bytes;
    sim_unlock(sim);
    return sim->refaults_rc;
}

static int no_range(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    (void)base;
    (void)bytes;
    return ENOTSUP;
}

static int drop_cached(void *ctx, int fd, uint64_t offset, uint64_t bytes)
{
    (void)ctx;
    (void)fd;
    (void)offset;
    (void)bytes;
    return ENOTSUP;
}

static int advise(void *ctx, void *base, size_t bytes, enum gov__advice advice)
{
    (void)advice;
    return no_range(ctx, base, bytes);
}

static int resident(void *ctx, void *base, size_t bytes, uint64_t *out)
{
    (void)out;
    return no_range(ctx, base, bytes);
}

static int find_mapping(void *ctx, int fd, const void *within, size_t bytes,
                        struct gov__mapping *out)
{
    (void)within;
    (void)bytes;
    (void)ctx;
    (void)fd;
    (void)out;
    return ENOTSUP;
}

static int mapped_elsewhere(void *ctx, int fd, bool *out)
{
    (void)ctx;
    (void)fd;
    (void)out;
    return ENOTSUP;
}

static int map_file(void *ctx, int fd, uint64_t offset, size_t bytes, void *at,
                    void **out)
{
    const struct gov_platform *native = gov__platform_native();

    if (fails(ctx, "map_file"))
        return EIO;
    return native->map_file(native->ctx, fd, offset, bytes, at, out);
}

static void count_stage(struct sim *sim, int64_t n, size_t bytes)
{
    atomic_fetch_add(&sim->maps, n);
    atomic_fetch_add(&sim->mapped_bytes, n * (int64_t)bytes);
}

static int stage(void *ctx, const void *target, size_t bytes, void **out)
{
    const struct gov_platform *native = gov__platform_native();
    int rc = fails(ctx, "stage") ? EIO : 0;

    if (rc == 0)
        rc = native->stage(native->ctx, target, bytes, out);
    if (rc == 0)
        count_stage(ctx, 1, bytes);
    return rc;
}

static int place(void *ctx, void *staged, size_t bytes, void *target)
{
    const struct gov_platform *native = gov__platform_native();
    int rc = fails(ctx, "place") ? EIO : 0;

    if (rc == 0)
        rc = native->place(native->ctx, staged, bytes, target);
    if (rc == 0)
        count_stage(ctx, -1, bytes);
    return rc;
}

static int unstage(void *ctx, void *staged, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    count_stage(ctx, -1, bytes);
    return native->unstage(native->ctx, staged, bytes);
}

static int cover(void *ctx, void *page, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    return fails(ctx, "cover") ? EIO : native->cover(native->ctx, page, bytes);
}

static int step_back(void *ctx)
{
    return fails(ctx, "step_back") ? EIO : 0;
}

static int pass_counts(void *ctx, struct gov__pass_counts *out)
{
    struct sim *sim = ctx;

    return tell(sim, "pass_counts", &sim->pass_rc, out, &sim->pass,
                sizeof(*out));
}

static int slots_open(void *ctx, size_t bytes, void **fill, void **view)
{
    (void)ctx;
    (void)bytes;
    (void)fill;
    (void)view;
    return ENOTSUP;
}

static int slots_show(void *ctx, void *view, size_t bytes, void *target)
{
    (void)ctx;
    (void)view;
    (void)bytes;
    (void)target;
    return ENOTSUP;
}

static int slots_close(void *ctx, void *fill, void *view, size_t bytes)
{
    (void)ctx;
    (void)fill;
    (void)view;
    (void)bytes;
    return ENOTSUP;
}

static int bell_open(void *ctx, int *handle)
{
    (void)ctx;
    (void)handle;
    return ENOTSUP;
}

static int bell_page(void *ctx, int handle, void *page, size_t bytes)
{
    (void)handle;
    return no_range(ctx, page, bytes);
}

static int bell_wait(void *ctx, int handle, uint32_t timeout_ms, void **address)
{
    (void)ctx;
    (void)handle;
    (void)timeout_ms;
    (void)address;
    return ENOTSUP;
}

static int bell_answer(void *ctx, int handle, void *page, const void *bytes,
                       size_t count)
{
    (void)handle;
    (void)bytes;
    return no_range(ctx, page, count);
}

static int no_file(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
    return ENOTSUP;
}

static int lease_wanted(void *ctx, int fd, bool *wanted)
{
    (void)wanted;
    return no_file(ctx, fd);
}

static int idle(void *ctx, uint64_t *out)
{
    (void)ctx;
    (void)out;
    return ENOTSUP;
}

static int trim(void *ctx)
{
    (void)ctx;
    return ENOTSUP;
}

static void *symbol(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

static int object_path(void *ctx, const void *address, char *out, size_t bytes)
{
    (void)ctx;
    (void)address;
    (void)out;
    (void)bytes;
    return ENOTSUP;
}

static int tell_fact(void *ctx, gov_fact fact, struct gov__told *out)
{
    struct sim *sim = ctx;
    int rc = tell(sim, "tell", &sim->tell_rc[fact], out, &sim->told[fact],
                  sizeof(*out));

    if (rc != 0) /* the source is valid on failure, too */
        memcpy(out->source, sim->told[fact].source, sizeof(out->source));
    return rc;
}

static int gpus(void *ctx, struct gov__gpu *out, size_t max, size_t *count)
{
    (void)out;
    (void)max;
    (void)count;
    return fails(ctx, "gpus") ? EIO : ENOTSUP;
}

static int set_direct(void *ctx, int fd, bool direct)
{
    (void)ctx;
    (void)fd;
    (void)direct;
    return ENOTSUP;
}

static int read_queued(void *ctx, const struct gov__queued_read *read,
                       uint64_t *done)
{
    (void)ctx;
    (void)read;
    (void)done;
    return ENOTSUP;
}

static int file_system(void *ctx, int fd, char *out, size_t bytes)
{
    (void)ctx;
    (void)fd;
    (void)out;
    (void)bytes;
    return ENOTSUP;
}

static int watch_open(void *ctx, struct gov__watch *watch)
{
    struct sim *sim = ctx;

    if (fails(sim, "watch_open"))
        return EIO;
    memset(watch, 0xAA, sizeof(*watch)); /* nobody else's business */
    atomic_fetch_add(&sim->watches, 1);
    return 0;
}

static size_t watch_polls(void *ctx, struct gov__watch *watch,
                          const struct gov__watch_for *want, struct pollfd *out)
{
    struct sim *sim = ctx;
    size_t count = 0;

    (void)watch;
    sim_lock(sim);
    sim->wanted = *want;
    if (sim->source.state != GOV__SOURCE_BROKEN) {
        sim->source.state = want->alert ? GOV__SOURCE_SPARE : GOV__SOURCE_LIVE;
        if (!want->alert)
            out[count++] = (struct pollfd){sim->watch_pipe[0], POLLIN, 0};
    }
    sim_unlock(sim);
    atomic_fetch_add(&sim->polls, 1);
    return count;
}

static bool watch_heard(void *ctx, struct gov__watch *watch,
                        const struct pollfd *polled, size_t count,
                        uint64_t at_us)
{
    struct sim *sim = ctx;
    bool look = false;
    char what;

    (void)watch;
    (void)at_us;
    sim_lock(sim);
    for (size_t i = 0; i < count; i++) {
        if (polled[i].fd != sim->watch_pipe[0] || polled[i].revents == 0)
            continue;
        while (read(sim->watch_pipe[0], &what, 1) == 1) {
            if (what == 'x')
                sim->source.state = GOV__SOURCE_BROKEN;
            else if (what == 'e')
                sim->source.events++;
            else
                sim->source.false_events++;
            look = look || what == 'e';
        }
    }
    sim_unlock(sim);
    return look;
}

static size_t watch_sources(void *ctx, const struct gov__watch *watch,
                            struct gov__source *out, size_t room)
{
    struct sim *sim = ctx;

    (void)watch;
    if (room == 0)
        return 0;
    sim_lock(sim);
    *out = sim->source;
    sim_unlock(sim);
    return 1;
}

static void watch_close(void *ctx, struct gov__watch *watch)
{
    struct sim *sim = ctx;

    memset(watch, 0xAA, sizeof(*watch));
    atomic_fetch_sub(&sim->watches, 1);
}

static int gather_open(void *ctx, struct gov__gather *gather)
{
    const struct gov_platform *native = gov__platform_native();

    return fails(ctx, "gather_open") ? EIO
                                     : native->gather_open(native->ctx, gather);
}

static int gather(void *ctx, struct gov__gather *gather,
                  const struct pollfd *polled, size_t count, int timeout_ms)
{
    const struct gov_platform *native = gov__platform_native();

    return fails(ctx, "gather")
               ? EIO
               : native->gather(native->ctx, gather, polled, count, timeout_ms);
}

static void gather_close(void *ctx, struct gov__gather *gather)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    native->gather_close(native->ctx, gather);
}

void sim_watch(struct sim *sim)
{
    const struct gov_platform *native = gov__platform_native();

    if (pipe(sim->watch_pipe) != 0)
        return;
    (void)fcntl(sim->watch_pipe[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(sim->watch_pipe[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(sim->watch_pipe[1], F_SETFD, FD_CLOEXEC);
    sim->source = (struct gov__source){
        .name = "a test", .state = GOV__SOURCE_SPARE, .why = "a pipe"};
    sim->table.watch_open = watch_open;
    sim->table.watch_polls = watch_polls;
    sim->table.watch_heard = watch_heard;
    sim->table.watch_sources = watch_sources;
    sim->table.watch_close = watch_close;
    if (native->gather_open == NULL)
        return;
    sim->table.gather_open = gather_open;
    sim->table.gather = gather;
    sim->table.gather_close = gather_close;
}

void sim_tell(struct sim *sim, gov_fact fact, uint64_t number, const char *text)
{
    struct gov__told *told = &sim->told[fact];

    sim_lock(sim);
    sim->tell_rc[fact] = 0;
    told->number = number;
    snprintf(told->text, sizeof(told->text), "%s", text != NULL ? text : "");
    snprintf(told->source, sizeof(told->source), "the simulator");
    sim_unlock(sim);
}

void sim_init(struct sim *sim)
{
    static const struct gov_platform table = {
        .name = "sim",
        .now_us = now_us,
        .page_bytes = page_bytes,
        .machine = machine,
        .limit = limit,
        .stall = stall,
        .refaults = refaults,
        .process = process,
        .alive = alive,
        .map = map,
        .unmap = unmap,
        .discard = discard,
        .offer = offer,
        .prefetch = no_range,
        .populate = no_range,
        .drop_cached = drop_cached,
        .advise = advise,
        .resident = resident,
        .find_mapping = find_mapping,
        .mapped_elsewhere = mapped_elsewhere,
        .map_file = map_file,
        .stage = stage,
        .place = place,
        .unstage = unstage,
        .slots_open = slots_open,
        .slots_show = slots_show,
        .slots_close = slots_close,
        .cover = cover,
        .step_back = step_back,
        .pass_counts = pass_counts,
        .bell_open = bell_open,
        .bell_lay = bell_page,
        .bell_arm = bell_page,
        .bell_wait = bell_wait,
        .bell_answer = bell_answer,
        .bell_close = no_file,
        .lease_take = no_file,
        .lease_wanted = lease_wanted,
        .lease_drop = no_file,
        .trim = trim,
        .idle = idle,
        .symbol = symbol,
        .object_path = object_path,
        .tell = tell_fact,
        .gpus = gpus,
        .set_direct = set_direct,
        .read_queued = read_queued,
        .file_system = file_system,
    };

    memset(sim, 0, sizeof(*sim));
    sim->watch_pipe[0] = sim->watch_pipe[1] = -1;
    pthread_mutex_init(&sim->lock, NULL);
    sim->table = table;
    sim->table.ctx = sim;
    sim->now_us = 1000000;
    sim->machine = (struct gov__machine){.total_bytes = 16 * SIM_GIB,
                                         .available_bytes = 12 * SIM_GIB};
    sim->limit.limit_bytes = UINT64_MAX;
    sim->stall = (struct gov__stall){.have_memory = true, .source = "system"};
    sim->process = (struct gov__process){
        .footprint_bytes = SIM_GIB, .anon_bytes = SIM_GIB, .start_ticks = 1};
    sim->refaults_rc = ENOTSUP;
    for (size_t i = 0; i < GOV_FACT_COUNT; i++)
        sim->tell_rc[i] = ENOTSUP;
    sim_tell(sim, GOV_FACT_DEVICE_CPU, 0, "simulated");
    sim_tell(sim, GOV_FACT_DEVICE_CORES, 4, NULL);
    sim_tell(sim, GOV_FACT_DEVICE_SYSTEM, 0, "Simulated 1.0");
    sim_fail(sim, SIM_NEVER, false);
}
