/* SPDX-License-Identifier: MIT */
/* fill_time HOLDS BYTES KEPT RATE: takes BYTES at RATE bytes a second while KEPT can
 * go, and says when what was noticed. HOLDS says what keeps them:
 *
 *   none     nobody governs: what happens without
 *   action   memory of the app, which a relief action gives back, 4 MiB at a time
 *   cache    a gov_cache of values of 1 MiB, which the kernel may take by itself
 *            once it was let
 *
 * It is done in a child, for the kernel may kill it; this process lives to tell.
 * All of BYTES is touched once and given back before, so that what is timed is the
 * kernel's charge and not a host that finds the pages. One line to stdout; exit
 * status 0 when the child lived, 137 when it was killed. */
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/governor.h"
#include "tests/tools/kernel_view.h"

#define PAGE 4096
#define STEP (4 * MIB)

/* Shared with the parent. Times in microseconds from the first byte, 0: never. */
struct progress {
    _Atomic uint64_t began_us; /* the clock's */
    _Atomic uint64_t done_bytes;
    _Atomic uint64_t below_us; /* the budget's share for WARN was reached */
    _Atomic uint64_t warn_us, critical_us, first_us, enough_us, ended_us;
    _Atomic uint64_t warn_bytes, first_bytes; /* taken by then */
    _Atomic uint64_t left_bytes;              /* of the cache, at the end */
};

static struct progress *seen;
static char *kept;
static uint64_t kept_bytes, need_bytes, below_bytes, given_bytes;
static gov_cache *cache;

static void mark(_Atomic uint64_t *at)
{
    uint64_t none = 0, began = atomic_load(&seen->began_us);

    if (began != 0)
        atomic_compare_exchange_strong(at, &none, now_us() - began);
}

static void on_event(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    if (event->kind == GOV_EVENT_RELIEF && event->yield_bytes > 0) {
        mark(&seen->first_us);
        given_bytes += event->yield_bytes;
        if (given_bytes >= need_bytes)
            mark(&seen->enough_us);
    }
    if (event->kind != GOV_EVENT_LEVEL || event->level < GOV_LEVEL_WARN)
        return;
    if (atomic_load(&seen->warn_us) == 0)
        atomic_store(&seen->warn_bytes, atomic_load(&seen->done_bytes));
    mark(&seen->warn_us);
    if (event->level >= GOV_LEVEL_CRITICAL)
        mark(&seen->critical_us);
}

static char *map(uint64_t bytes)
{
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        perror("fill_time: mmap");
        exit(1);
    }
    return at;
}

static void touch(char *at, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i += PAGE)
        at[i] = 1;
}

static uint64_t offer(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    return kept_bytes - given_bytes;
}

static void give(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    while (given_bytes < kept_bytes) {
        const uint64_t left = kept_bytes - given_bytes;
        const uint64_t n = left < STEP ? left : STEP;

        madvise(kept + given_bytes, n, MADV_DONTNEED);
        given_bytes += n;
        if (atomic_load(&seen->first_us) == 0)
            atomic_store(&seen->first_bytes, atomic_load(&seen->done_bytes));
        mark(&seen->first_us);
        if (given_bytes >= need_bytes)
            mark(&seen->enough_us);
    }
}

static gov_status hold(gov_runtime *runtime, bool in_cache, gov_error *err)
{
    struct gov_cache_options options = gov_cache_options_default();
    struct gov_relief relief = gov_relief_default();
    static char value[MIB];
    gov_status status = GOV_OK;
    uint32_t id;

    if (!in_cache) {
        kept = map(kept_bytes);
        touch(kept, kept_bytes);
        relief.name = "test.kept";
        relief.offer = offer;
        relief.run = give;
        return runtime == NULL ? GOV_OK
                               : gov_relief_add(runtime, &relief, &id, err);
    }
    options.limit_bytes = kept_bytes + kept_bytes / 64;
    status = gov_cache_new(&cache, &options, err);
    if (status == GOV_OK)
        status = gov_relief_add_cache(runtime, "cache.kept", cache, &id, err);
    memset(value, 1, sizeof(value));
    for (uint64_t i = 0; status == GOV_OK && i < kept_bytes / MIB; i++)
        status = gov_cache_put(cache, i, value, sizeof(value), err);
    return status;
}

static void take(char *at, uint64_t bytes, uint64_t rate)
{
    const uint64_t began = now_us();
    uint64_t done = 0;

    atomic_store(&seen->began_us, began);
    while (done < bytes) {
        const uint64_t n = bytes - done < MIB ? bytes - done : MIB;
        uint64_t due;

        touch(at + done, n);
        done += n;
        atomic_store(&seen->done_bytes, done);
        if (done >= below_bytes)
            mark(&seen->below_us);
        due = began + done * 1000 / (rate / 1000);
        while (now_us() < due)
            continue;
    }
    mark(&seen->ended_us);
}

/* WARN is due where 12 % of the budget are left, unless filling speaks before. */
static void find_marks(gov_runtime *runtime, uint64_t bytes)
{
    const struct kernel_view now = kernel_view_now();
    const uint64_t budget = gov_budget_now(runtime);
    struct gov_machine machine;

    gov_machine_now(&machine);
    if ((machine.have & GOV_MACHINE_HAVE_LIMIT) != 0 &&
        now.group_bytes + bytes > machine.limit_bytes)
        need_bytes = now.group_bytes + bytes - machine.limit_bytes;
    below_bytes = budget / 100 * 88 > now.group_bytes
                      ? budget / 100 * 88 - now.group_bytes
                      : 0;
}

static int fill(const char *holds, uint64_t bytes, uint64_t rate)
{
    struct gov_options options = gov_options_default();
    const bool governed = strcmp(holds, "none") != 0;
    gov_runtime *runtime = NULL;
    gov_error err;
    char *at = map(bytes);

    touch(at, bytes);
    madvise(at, bytes, MADV_DONTNEED);
    options.app = "fill_time";
    options.no_policy_files = true;
    if (governed && gov_open(&runtime, &options, &err) != GOV_OK) {
        fprintf(stderr, "fill_time: %s\n", err.message);
        return 1;
    }
    if (governed)
        gov_on_event(runtime, on_event, NULL);
    if (hold(runtime, strcmp(holds, "cache") == 0, &err) != GOV_OK) {
        fprintf(stderr, "fill_time: %s\n", err.message);
        return 1;
    }
    sleep_ms(1200);
    if (governed)
        find_marks(runtime, bytes);
    take(at, bytes, rate);
    /* The kernel may have taken of it what nobody gave. */
    if (cache != NULL) {
        const uint64_t left = kernel_view_now().anon_bytes;

        atomic_store(&seen->left_bytes, left > bytes ? left - bytes : 0);
    }
    gov_close(runtime);
    return 0;
}

static void print_ms(const char *name, uint64_t us)
{
    if (us == 0)
        printf(" %s=-", name);
    else
        printf(" %s=%.1f", name, (double)us / 1000);
}

static void print_all(bool survived)
{
    const uint64_t began = seen->began_us, done = seen->done_bytes;
    const uint64_t took = seen->ended_us;

    printf("survived=%d mb_s=%llu", survived,
           (unsigned long long)(took == 0 ? 0 : done / took));
    print_ms("below_ms", seen->below_us);
    print_ms("warn_ms", seen->warn_us);
    print_ms("critical_ms", seen->critical_us);
    print_ms("first_ms", seen->first_us);
    print_ms("enough_ms", seen->enough_us);
    print_ms("end_ms", seen->ended_us);
    printf(" taken_at_warn_mib=%llu taken_mib=%llu left_mib=%llu began=%d\n",
           (unsigned long long)(seen->warn_bytes / MIB),
           (unsigned long long)(done / MIB),
           (unsigned long long)(seen->left_bytes / MIB), began != 0);
}

int main(int argc, char **argv)
{
    uint64_t bytes, rate;
    int status = 0;
    pid_t child;

    if (argc != 5 || (rate = strtoull(argv[4], NULL, 10)) < 1000 ||
        (bytes = strtoull(argv[2], NULL, 10)) == 0 ||
        (kept_bytes = strtoull(argv[3], NULL, 10)) < MIB ||
        strstr(" none action cache ", argv[1]) == NULL) {
        fprintf(stderr, "usage: fill_time none|action|cache BYTES KEPT RATE\n");
        return 2;
    }
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED || (child = fork()) < 0) {
        perror("fill_time");
        return 1;
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(fill(argv[1], bytes, rate));
    }
    if (waitpid(child, &status, 0) != child)
        return 1;
    print_all(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
