/* SPDX-License-Identifier: MIT */
/* pressure_time WHAT [NUMBER]...: a governed process that measures how it is
 * governed; tests/pressure runs it, in groups that memlimit makes. One line of
 * key=value to stdout.
 *
 *   onset FILE N ALERT     stalls that N scans of FILE cause, to WARN; with ALERT 1
 *                          headroom is short, though not enough for a level
 *   thrash FILE            scans FILE itself until WARN, 5 s at most
 *   relief N               WARN to the first bytes given back
 *   idle MS                what being governed costs where nothing happens
 *   count MS               changes of level while somebody else does something
 *   saw BYTES MS           the same while this process takes and gives BYTES, 1 Hz
 *   regrow MS UP DOWN POLICY
 *                          the same, slowly, UP ms and DOWN ms, so that what was
 *                          given is taken again; UP 0: what grows again makes it
 *                          short again, each time */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "governor/governor.h"
#include "tests/tools/kernel_view.h"

#define PAGE 4096
#define MOST 1000

static _Atomic uint64_t warned_us; /* 0: not yet */
static _Atomic unsigned int levels, reliefs, regrows;
static _Atomic bool running;
static char *kept; /* what the relief action gives back */
static uint64_t kept_bytes;
static _Atomic bool is_kept;

static void touch(char *at, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i += PAGE)
        at[i] = 1;
}

static char *map(uint64_t bytes)
{
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        perror("pressure_time: mmap");
        exit(1);
    }
    return at;
}

static void on_event(void *ctx, const struct gov_event *event)
{
    uint64_t none = 0;

    (void)ctx;
    if (event->kind == GOV_EVENT_RELIEF)
        atomic_fetch_add(&reliefs, 1);
    if (event->kind != GOV_EVENT_LEVEL)
        return;
    atomic_fetch_add(&levels, 1);
    if (event->level >= GOV_LEVEL_WARN)
        atomic_compare_exchange_strong(&warned_us, &none, now_us());
}

static gov_runtime *open_under(const char *policy, uint64_t budget_bytes)
{
    struct gov_options options = gov_options_default();
    gov_runtime *runtime;
    gov_error err;

    options.app = "pressure_time";
    options.no_policy_files = true;
    options.policy = policy;
    options.budget_bytes = budget_bytes;
    atomic_store(&warned_us, 0);
    if (gov_open(&runtime, &options, &err) != GOV_OK) {
        fprintf(stderr, "pressure_time: %s\n", err.message);
        exit(1);
    }
    gov_on_event(runtime, on_event, NULL);
    return runtime;
}

static gov_runtime *open_governor(uint64_t budget_bytes)
{
    return open_under(NULL, budget_bytes);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* In milliseconds, with the number of those that there are. */
static void print_times(uint64_t *us, size_t count, size_t of)
{
    if (count == 0) {
        printf("n=0 of=%zu\n", of);
        return;
    }
    qsort(us, count, sizeof(*us), by_number);
    printf("n=%zu of=%zu p50_ms=%.1f p99_ms=%.1f max_ms=%.1f\n", count, of,
           (double)us[count / 2] / 1000, (double)us[(count * 99) / 100] / 1000,
           (double)us[count - 1] / 1000);
}

/* ---- stalls --------------------------------------------------------------------- */

/* With `apart` each page by itself: then whoever reads waits for every one. */
static void scan(const char *path, uint64_t from, bool apart)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    volatile char sink = 0;
    struct stat st;
    const char *at;

    if (fd < 0 || fstat(fd, &st) != 0)
        _exit(1);
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        _exit(1);
    if (apart)
        madvise((void *)at, (size_t)st.st_size, MADV_RANDOM);
    for (uint64_t i = from; atomic_load(&running); i += PAGE)
        sink = (char)(sink + at[i % (uint64_t)st.st_size]);
    munmap((void *)at, (size_t)st.st_size);
    close(fd);
}

static pid_t start_scan(const char *path, uint64_t from)
{
    pid_t child = fork();

    if (child == 0) {
        atomic_store(&running, true);
        scan(path, from, true);
        _exit(0);
    }
    return child;
}

static uint64_t stalled_us(void)
{
    struct gov_machine now;

    gov_machine_now(&now);
    return (now.have & GOV_MACHINE_HAVE_STALL) != 0 ? now.stall_some_us : 0;
}

/* Two scanners in different places stall once the group is full. The onset is when
 * 5 ms were lost within 100 ms; WARN may come before. 0: no WARN in 10 s, though
 * there was one; UINT64_MAX: there was none, for storage is fast and processors are
 * busy, and so nothing to warn of. */
static uint64_t one_onset(const char *path)
{
    const uint64_t began = now_us(), before = stalled_us();
    uint64_t onset = 0, since = began, lost = before, took = 0;
    pid_t child[2] = {start_scan(path, 0), start_scan(path, 150 * MIB)};

    while (now_us() - began < 10000000 && atomic_load(&warned_us) == 0) {
        if (onset == 0 && stalled_us() - lost > 5000)
            onset = now_us();
        if (now_us() - since >= 100000) {
            since = now_us();
            lost = stalled_us();
        }
        sleep_ms(onset == 0 ? 10 : 1);
    }
    if (atomic_load(&warned_us) == 0)
        fprintf(stderr, "pressure_time: no WARN; %llu us were lost\n",
                (unsigned long long)(stalled_us() - before));
    if (atomic_load(&warned_us) == 0 && onset == 0)
        took = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        kill(child[i], SIGKILL);
        waitpid(child[i], NULL, 0);
    }
    if (atomic_load(&warned_us) != 0)
        took = onset != 0 && atomic_load(&warned_us) > onset
                   ? atomic_load(&warned_us) - onset
                   : 1;
    return took;
}

static int onset(const char *path, uint64_t times, bool alert)
{
    static uint64_t took[MOST];
    size_t count = 0, false_ones = 0, rounds = 0, calm = 0;
    char *ballast = NULL;

    if (times > MOST)
        times = MOST;
    if (alert) {
        ballast = map(800 * MIB);
        touch(ballast, 800 * MIB);
    }
    while (rounds + false_ones < times && calm < times) {
        /* 15 % are left: more than WARN leaves, and not much. */
        gov_runtime *runtime = open_governor(alert ? 950 * MIB : 0);
        uint64_t us;

        sleep_ms(2500);
        if (atomic_load(&warned_us) != 0) {
            false_ones++;
            gov_close(runtime);
            continue;
        }
        us = one_onset(path);
        gov_close(runtime);
        calm += us == UINT64_MAX;
        rounds += us != UINT64_MAX;
        if (us != 0 && us != UINT64_MAX)
            took[count++] = us;
    }
    printf("false=%zu calm=%zu ", false_ones, calm);
    print_times(took, count, times);
    return 0;
}

static void *scan_thread(void *path)
{
    scan(path, 0, false);
    return NULL;
}

static int thrash(char *path)
{
    gov_runtime *runtime = open_governor(0);
    uint64_t began, took = 0;
    pthread_t thread;

    sleep_ms(2500);
    began = now_us();
    atomic_store(&running, true);
    if (pthread_create(&thread, NULL, scan_thread, path) != 0)
        return 1;
    while (now_us() - began < 5000000 && atomic_load(&warned_us) == 0)
        sleep_ms(5);
    if (atomic_load(&warned_us) != 0)
        took = atomic_load(&warned_us) - began;
    atomic_store(&running, false);
    pthread_join(thread, NULL);
    gov_close(runtime);
    print_times(&took, took != 0, 1);
    return 0;
}

/* ---- relief --------------------------------------------------------------------- */

static uint64_t offer(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    return atomic_load(&is_kept) ? kept_bytes : 0;
}

static void give(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    madvise(kept, kept_bytes, MADV_DONTNEED);
    atomic_store(&is_kept, false);
}

static void keep_and_grow(gov_runtime *runtime, uint64_t bytes,
                          void (*grow)(void *))
{
    struct gov_relief relief = gov_relief_default();
    uint32_t id;

    kept = map(bytes);
    kept_bytes = bytes;
    touch(kept, bytes);
    atomic_store(&is_kept, true);
    relief.name = "bench.cache";
    relief.offer = offer;
    relief.run = give;
    relief.regrow = grow;
    if (gov_relief_add(runtime, &relief, &id, NULL) != GOV_OK)
        exit(1);
}

static void keep(gov_runtime *runtime, uint64_t bytes)
{
    keep_and_grow(runtime, bytes, NULL);
}

static uint64_t resident_pages(int statm)
{
    unsigned long long size, resident = 0;
    char text[128];
    ssize_t n = pread(statm, text, sizeof(text) - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    return sscanf(text, "%llu %llu", &size, &resident) == 2 ? resident : 0;
}

static int relief(uint64_t times)
{
    static uint64_t took[MOST];
    const int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    gov_runtime *runtime = open_governor(0);
    size_t count = 0;

    if (times > MOST)
        times = MOST;
    keep(runtime, 64 * MIB);
    for (uint64_t i = 0; i < times; i++) {
        uint64_t before, began = now_us();

        touch(kept, kept_bytes);
        atomic_store(&is_kept, true);
        atomic_store(&warned_us, 0);
        before = resident_pages(statm);
        if (gov_simulate(runtime, GOV_LEVEL_WARN, 0, NULL) != GOV_OK)
            return 1;
        while (resident_pages(statm) + 256 > before &&
               now_us() - began < 2000000)
            sched_yield();
        if (atomic_load(&warned_us) != 0)
            took[count++] = now_us() - atomic_load(&warned_us);
        /* A level that rises again ends all rests. */
        if (gov_simulate(runtime, GOV_LEVEL_NORMAL, 0, NULL) != GOV_OK)
            return 1;
        while (gov_level_now(runtime) != GOV_LEVEL_NORMAL)
            sleep_ms(1);
    }
    gov_close(runtime);
    close(statm);
    print_times(took, count, times);
    return 0;
}

/* ---- cost and calm ---------------------------------------------------------------- */

static uint64_t cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static uint64_t private_kib(void)
{
    return kernel_field("/proc/self/smaps_rollup", "Private_Clean:") +
           kernel_field("/proc/self/smaps_rollup", "Private_Dirty:");
}

static int idle(uint64_t ms)
{
    const uint64_t empty_kib = private_kib();
    gov_runtime *runtime = open_governor(0);
    uint64_t woke, spent, own;

    sleep_ms(1000);
    woke = kernel_switches((long)getpid());
    spent = cpu_us();
    sleep_ms(ms);
    woke = kernel_switches((long)getpid()) - woke;
    spent = cpu_us() - spent;
    own = private_kib() - empty_kib;
    gov_close(runtime);
    printf("wakeups_s=%.2f core_percent=%.3f private_kib=%llu events=%u\n",
           (double)woke * 1000 / (double)ms, (double)spent / 10 / (double)ms,
           (unsigned long long)own, atomic_load(&levels));
    return 0;
}

static int count(uint64_t ms)
{
    gov_runtime *runtime = open_governor(0);

    sleep_ms(ms);
    gov_close(runtime);
    printf("events=%u reliefs=%u\n", atomic_load(&levels),
           atomic_load(&reliefs));
    return 0;
}

static int saw(uint64_t bytes, uint64_t ms)
{
    /* Up, 2 % of the budget are left, down, nearly all is. */
    gov_runtime *runtime = open_governor(bytes + bytes / 50 + 16 * MIB);
    const uint64_t began = now_us();
    char *at = map(bytes);

    keep(runtime, MIB);
    while (now_us() - began < ms * 1000) {
        touch(at, bytes);
        sleep_ms(500);
        madvise(at, bytes, MADV_DONTNEED);
        sleep_ms(500);
    }
    gov_close(runtime);
    printf("teeth=%llu events=%u reliefs=%u\n", (unsigned long long)ms / 1000,
           atomic_load(&levels), atomic_load(&reliefs));
    return 0;
}

static void grow(void *ctx)
{
    (void)ctx;
    touch(kept, kept_bytes);
    atomic_store(&is_kept, true);
    atomic_fetch_add(&regrows, 1);
}

/* 74 % of the budget are used, and 16 % more by what can go: WARN with it, and calm
 * without. What comes and goes takes as much again. */
static int regrow(uint64_t ms, uint64_t up_ms, uint64_t down_ms,
                  const char *policy)
{
    const uint64_t budget = 400 * MIB, tooth = 64 * MIB;
    const uint64_t used = (up_ms == 0 ? 296 : 232) * MIB, began = now_us();
    gov_runtime *runtime = open_under(policy, budget);
    char *base = map(used), *at = map(tooth);
    unsigned int teeth = 0;

    touch(base, used);
    keep_and_grow(runtime, 64 * MIB, grow);
    while (now_us() - began < ms * 1000) {
        if (up_ms != 0) {
            teeth++;
            touch(at, tooth);
            sleep_ms(up_ms);
            madvise(at, tooth, MADV_DONTNEED);
        }
        sleep_ms(down_ms);
    }
    gov_close(runtime);
    printf("teeth=%u events=%u reliefs=%u regrows=%u\n", teeth,
           atomic_load(&levels), atomic_load(&reliefs), atomic_load(&regrows));
    return 0;
}

static uint64_t number(char *const *argv, int argc, int at)
{
    return at < argc ? strtoull(argv[at], NULL, 10) : 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "onset") == 0 && argc == 5)
        return onset(argv[2], number(argv, argc, 3), number(argv, argc, 4));
    if (strcmp(what, "thrash") == 0 && argc == 3)
        return thrash(argv[2]);
    if (strcmp(what, "relief") == 0 && argc == 3)
        return relief(number(argv, argc, 2));
    if (strcmp(what, "idle") == 0 && argc == 3)
        return idle(number(argv, argc, 2));
    if (strcmp(what, "count") == 0 && argc == 3)
        return count(number(argv, argc, 2));
    if (strcmp(what, "saw") == 0 && argc == 4)
        return saw(number(argv, argc, 2), number(argv, argc, 3));
    if (strcmp(what, "regrow") == 0 && argc == 6)
        return regrow(number(argv, argc, 2), number(argv, argc, 3),
                      number(argv, argc, 4), argv[5]);
    fprintf(stderr, "usage: pressure_time onset FILE N ALERT | thrash FILE | "
                    "relief N | idle MS | count MS | saw BYTES MS | "
                    "regrow MS UP DOWN POLICY\n");
    return 2;
}
