/* SPDX-License-Identifier: MIT */
/* hostile WHAT [MIB]: a governed process whose host is hard on it, and whether levels
 * still arrive and actions still run. One line of key=value to stdout; exit status
 * 1 when something did not come.
 *
 *   plain     nothing: what the others are compared with
 *   limit     the limit of its group is its budget; MIB are taken, and at the end
 *             what woke the runtime goes to stderr
 *   nofile    the host has used up every descriptor
 *   as        ... and all of its address space
 *   memlock   nothing may be locked
 *   signals   a thousand signals a second to every thread, without SA_RESTART
 *   fork      children that end, that close the runtime, and that open their own
 *   groups    its group is removed under it, twice; run in a group of its own
 *             (memlimit --stall) below which it makes others */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/governor.h"
#include "tests/tools/kernel_view.h"

#define PAGE 4096
#define BUDGET (300 * MIB)
#define KEPT (48 * MIB)

static _Atomic uint64_t warned_us, calm_us, gave_bytes;
static _Atomic bool done, given_up;
static char *kept, *taken;
static uint64_t taken_bytes = 220 * MIB;

static void on_event(void *ctx, const struct gov_event *event)
{
    uint64_t none = 0;

    (void)ctx;
    if (event->kind == GOV_EVENT_RELIEF &&
        strcmp(event->action, "test.kept") == 0)
        atomic_fetch_add(&gave_bytes, event->yield_bytes);
    if (event->kind != GOV_EVENT_LEVEL)
        return;
    if (event->level >= GOV_LEVEL_WARN)
        atomic_compare_exchange_strong(&warned_us, &none, now_us());
    else if (atomic_load(&warned_us) != 0)
        atomic_compare_exchange_strong(&calm_us, &none, now_us());
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
    return atomic_load(&given_up) ? 0 : KEPT;
}

static void give(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    madvise(kept, KEPT, MADV_DONTNEED);
    atomic_store(&given_up, true);
}

static char *map(uint64_t bytes)
{
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        perror("hostile: mmap");
        exit(1);
    }
    return at;
}

static gov_runtime *open_governor(uint64_t budget_bytes)
{
    struct gov_options options = gov_options_default();
    struct gov_relief relief = gov_relief_default();
    gov_runtime *runtime;
    uint32_t id;
    gov_error err;

    options.app = "hostile";
    options.no_policy_files = true;
    options.budget_bytes = budget_bytes;
    relief.name = "test.kept";
    relief.offer = offer;
    relief.run = give;
    if (gov_open(&runtime, &options, &err) != GOV_OK ||
        gov_relief_add(runtime, &relief, &id, &err) != GOV_OK) {
        fprintf(stderr, "hostile: %s\n", err.message);
        exit(1);
    }
    gov_on_event(runtime, on_event, NULL);
    return runtime;
}

static bool wait_for(_Atomic uint64_t *what, uint64_t ms)
{
    const uint64_t began = now_us();

    while (atomic_load(what) == 0 && now_us() - began < ms * 1000)
        sleep_ms(2);
    return atomic_load(what) != 0;
}

/* Nearly all of the budget, until WARN, and then nearly nothing, until NORMAL. */
static int be_short(uint64_t within_ms)
{
    const uint64_t began = now_us();
    bool warned, given, calm;

    touch(taken, taken_bytes);
    warned = wait_for(&warned_us, within_ms);
    given = wait_for(&gave_bytes, 2000);
    madvise(taken, taken_bytes, MADV_DONTNEED);
    calm = wait_for(&calm_us, 20000);
    printf("warn_ms=%.1f given_mib=%llu calm=%d\n",
           warned ? (double)(atomic_load(&warned_us) - began) / 1000 : 99999.0,
           (unsigned long long)(atomic_load(&gave_bytes) / MIB), calm);
    fflush(stdout);
    return warned && given && calm ? 0 : 1;
}

/* What the runtime was woken by. */
static void print_sources(gov_runtime *runtime)
{
    static const char *const states[] = {"",       "live",   "spare",
                                         "absent", "denied", "broken"};
    struct gov_source sources[16];
    char line[512];
    size_t count;

    fprintf(stderr, "%s\n", gov_describe(runtime, line, sizeof(line)));
    for (size_t i = 0; i < 16; i++)
        sources[i].size = sizeof(sources[i]);
    count = gov_sources(runtime, sources, 16);
    for (size_t i = 0; i < count && i < 16; i++)
        fprintf(stderr, "source=%s state=%s events=%llu false=%llu (%s)\n",
                sources[i].name, states[sources[i].state % 6],
                (unsigned long long)sources[i].events,
                (unsigned long long)sources[i].false_events, sources[i].why);
}

/* ---- limits ----------------------------------------------------------------------- */

static void use_up_files(void)
{
    struct rlimit limit = {64, 64};

    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        perror("hostile: setrlimit");
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        continue;
}

static void use_up_space(void)
{
    const uint64_t size = kernel_field("/proc/self/status", "VmSize:") * 1024;
    struct rlimit limit = {(rlim_t)size, (rlim_t)size};

    if (setrlimit(RLIMIT_AS, &limit) != 0)
        perror("hostile: setrlimit");
}

static void lock_nothing(void)
{
    struct rlimit limit = {0, 0};

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        perror("hostile: setrlimit");
}

/* ---- signals ------------------------------------------------------------------------ */

static void on_signal(int number)
{
    (void)number;
}

static void *disturb(void *arg)
{
    const long self = syscall(SYS_gettid);

    (void)arg;
    while (!atomic_load(&done)) {
        DIR *dir = opendir("/proc/self/task");
        struct dirent *entry;

        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            const long thread = strtol(entry->d_name, NULL, 10);

            if (thread > 0 && thread != self)
                syscall(SYS_tgkill, getpid(), thread, SIGUSR1);
        }
        if (dir != NULL)
            closedir(dir);
        sleep_ms(1);
    }
    return NULL;
}

static int under_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t thread;
    int rc;

    sigaction(SIGUSR1, &action, NULL);
    if (pthread_create(&thread, NULL, disturb, NULL) != 0)
        return 1;
    rc = be_short(1500);
    atomic_store(&done, true);
    pthread_join(thread, NULL);
    return rc;
}

/* ---- children ------------------------------------------------------------------------ */

static bool ends_well(pid_t child)
{
    const uint64_t began = now_us();
    int status = 1;

    while (waitpid(child, &status, WNOHANG) == 0) {
        if (now_us() - began > 30000000) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return false;
        }
        sleep_ms(5);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool is_published(void)
{
    static struct gov_page pages[64];
    size_t count = 0;
    gov_error err;

    if (gov_page_list(pages, 64, &count, NULL, &err) != GOV_OK)
        return false;
    for (size_t i = 0; i < count && i < 64; i++)
        if (pages[i].pid == (int32_t)getpid())
            return true;
    return false;
}

static int with_children(gov_runtime *runtime)
{
    bool well = true;

    for (int i = 0; i < 3 && well; i++) {
        pid_t child = fork();

        if (child == 0) {
            /* What it inherited, and what it may do with it. */
            (void)gov_level_now(runtime);
            if (i >= 1)
                gov_close(runtime);
            if (i == 2) {
                gov_runtime *own = open_governor(BUDGET);
                int rc;

                sleep_ms(300);
                touch(taken, taken_bytes);
                rc = wait_for(&warned_us, 3000) ? 0 : 1;
                gov_close(own);
                _exit(rc);
            }
            _exit(0);
        }
        well = child > 0 && ends_well(child);
        if (!well)
            printf("child=%d ", i);
    }
    well = well && is_published();
    return be_short(1500) != 0 || !well;
}

/* ---- groups ------------------------------------------------------------------------- */

/* The directories of the own group: of the memory controller, and v2's. */
static size_t own_groups(char out[2][640])
{
    static const char *const roots[] = {"/sys/fs/cgroup/unified",
                                        "/sys/fs/cgroup"};
    size_t count = kernel_group(out[0], sizeof(out[0]));
    char line[512], probe[1400];
    FILE *f = fopen("/proc/self/cgroup", "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < 2 && strncmp(line, "0::", 3) == 0; i++) {
            snprintf(out[count], sizeof(out[count]), "%s%s", roots[i],
                     line + 3);
            snprintf(probe, sizeof(probe), "%s/cgroup.procs", out[count]);
            if (access(probe, F_OK) == 0 &&
                (count == 0 || strcmp(out[0], out[count]) != 0)) {
                count++;
                break;
            }
        }
    }
    if (f != NULL)
        fclose(f);
    return count;
}

static bool write_to(const char *directory, const char *below, const char *file,
                     long number)
{
    char path[1400];
    FILE *f;
    int rc;

    snprintf(path, sizeof(path), "%s%s/%s", directory, below, file);
    f = fopen(path, "we");
    if (f == NULL)
        return false;
    rc = fprintf(f, "%ld", number);
    return fclose(f) == 0 && rc > 0;
}

static bool enter(char groups[2][640], size_t count, const char *below,
                  long pid)
{
    bool entered = count > 0;

    for (size_t i = 0; i < count; i++)
        entered &= write_to(groups[i], below, "cgroup.procs", pid);
    return entered;
}

static void make_or_remove(char groups[2][640], size_t count, const char *below,
                           bool make)
{
    char path[1400];

    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s%s", groups[i], below);
        if ((make ? mkdir(path, 0755) : rmdir(path)) != 0)
            perror(path);
    }
}

/* Of the watched process, over so long, a second. */
static double wakeups(long pid, uint64_t ms)
{
    const uint64_t before = kernel_switches(pid);

    sleep_ms(ms);
    return (double)(kernel_switches(pid) - before) * 1000 / (double)ms;
}

static volatile sig_atomic_t told;

static void on_told(int number)
{
    (void)number;
    told = 1;
}

/* What is watched: opens in the first group, is short when told to. */
static int be_watched(void)
{
    gov_runtime *runtime = open_governor(0);
    int rc;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!told)
        pause();
    rc = be_short(1500);
    gov_close(runtime);
    return rc;
}

static int in_groups(void)
{
    struct sigaction action = {.sa_handler = on_told};
    static char groups[2][640];
    const size_t count = own_groups(groups);
    double still, first, second;
    int gate[2], status = 1;
    pid_t child;
    char byte;

    sigaction(SIGUSR1, &action, NULL);
    make_or_remove(groups, count, "/a", true);
    make_or_remove(groups, count, "/b", true);
    if (!write_to(groups[0], "/a", "memory.limit_in_bytes", 1500 * (long)MIB))
        write_to(groups[0], "/a", "memory.max", 1500 * (long)MIB);
    if (pipe(gate) != 0 || (child = fork()) < 0)
        return 1;
    if (child == 0)
        _exit(read(gate[0], &byte, 1) == 1 ? be_watched() : 1);
    if (!enter(groups, count, "/a", child)) {
        fprintf(stderr, "hostile: no group can be made here\n");
        kill(child, SIGKILL);
    } else if (write(gate[1], "", 1) != 1) {
        kill(child, SIGKILL);
    }
    sleep_ms(3000);
    still = wakeups(child, 3000);
    enter(groups, count, "/b", child);
    make_or_remove(groups, count, "/a", false);
    first = wakeups(child, 3000);
    enter(groups, count, "", child);
    make_or_remove(groups, count, "/b", false);
    second = wakeups(child, 3000);
    printf("groups=%zu still_s=%.1f removed_s=%.1f again_s=%.1f ", count, still,
           first, second);
    fflush(stdout);
    if (!write_to(groups[0], "", "memory.limit_in_bytes", 300 * (long)MIB))
        write_to(groups[0], "", "memory.max", 300 * (long)MIB);
    sleep_ms(1500);
    kill(child, SIGUSR1);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 || argc == 3 ? argv[1] : "";
    gov_runtime *runtime;
    int rc;

    if (strstr(" plain limit nofile as memlock signals fork groups ", what) ==
            NULL ||
        what[0] == '\0') {
        fprintf(stderr,
                "usage: hostile plain|limit|nofile|as|memlock|signals|fork|"
                "groups [MIB]\n");
        return 2;
    }
    if (argc == 3)
        taken_bytes = strtoull(argv[2], NULL, 10) * MIB;
    taken = map(taken_bytes);
    kept = map(KEPT);
    touch(kept, KEPT);
    if (strcmp(what, "groups") == 0)
        return in_groups();
    if (strcmp(what, "memlock") == 0)
        lock_nothing();
    runtime = open_governor(strcmp(what, "limit") == 0 ? 0 : BUDGET);
    sleep_ms(1500);
    if (strcmp(what, "nofile") == 0)
        use_up_files();
    if (strcmp(what, "as") == 0)
        use_up_space();
    if (strcmp(what, "signals") == 0)
        rc = under_signals();
    else if (strcmp(what, "fork") == 0)
        rc = with_children(runtime);
    else
        rc = be_short(1500);
    if (strcmp(what, "limit") == 0)
        print_sources(runtime);
    gov_close(runtime);
    return rc;
}
