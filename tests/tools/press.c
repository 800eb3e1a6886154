/* SPDX-License-Identifier: MIT */
/* press MODE [OPTION]...: takes memory at a chosen rate, for tests of pressure.
 *
 *   fill --rate B --bytes B [--hold MS]   takes so much and keeps it
 *   saw  --rate B --bytes B --period MS --times N
 *                                         takes it and gives it back, N times
 *   scan FILE [--rate B] --for MS         reads a file over and over, mapped
 *
 * Rates are bytes a second; without one as fast as it goes. Memory is recycled: it
 * is touched once and given back before the clock starts, so that what is timed is
 * the kernel's charge and not a host that finds the pages first. `--recycle B`
 * does so with less, where the whole would not fit. One line at the end, and at
 * each turn of a saw, to stdout: the bytes, the time, the rate that was achieved
 * and, in scan, page faults that read storage. 2 for a command line that makes no
 * sense. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STEP (UINT64_C(4) << 20)
#define PAGE 4096

struct wish {
    const char *mode, *file;
    uint64_t rate, bytes, hold_ms, period_ms, times, for_ms, recycle;
};

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void sleep_us(uint64_t us)
{
    struct timespec pause = {(time_t)(us / 1000000),
                             (long)(us % 1000000) * 1000};

    while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
        continue;
}

/* Waits until so many bytes are due. */
static void keep_pace(const struct wish *wish, uint64_t began, uint64_t done)
{
    uint64_t due, now = now_us();

    if (wish->rate == 0)
        return;
    due = began + (uint64_t)((double)done * 1e6 / (double)wish->rate);
    if (due > now + 500)
        sleep_us(due - now);
}

static void print_rate(const char *what, uint64_t bytes, uint64_t began,
                       long faults)
{
    uint64_t took = now_us() - began;

    printf("%s bytes=%llu ms=%llu mb_s=%llu", what, (unsigned long long)bytes,
           (unsigned long long)(took / 1000),
           (unsigned long long)(bytes / (took == 0 ? 1 : took)));
    if (faults >= 0)
        printf(" major_faults=%ld", faults);
    putchar('\n');
    fflush(stdout);
}

static char *map(uint64_t bytes)
{
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        perror("press: mmap");
        exit(1);
    }
    return at;
}

static void touch(char *at, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i += PAGE)
        at[i] = 1;
}

static void take(const struct wish *wish, char *at, const char *what)
{
    const uint64_t began = now_us();
    uint64_t done = 0;

    while (done < wish->bytes) {
        uint64_t n = wish->bytes - done < STEP ? wish->bytes - done : STEP;

        touch(at + done, n);
        done += n;
        keep_pace(wish, began, done);
    }
    print_rate(what, done, began, -1);
}

static int fill(const struct wish *wish)
{
    char *at = map(wish->bytes);
    uint64_t first = wish->recycle < wish->bytes ? wish->recycle : wish->bytes;

    touch(at, first);
    madvise(at, first, MADV_DONTNEED);
    take(wish, at, "filled");
    sleep_us(wish->hold_ms * 1000);
    return 0;
}

static int saw(const struct wish *wish)
{
    char *at = map(wish->bytes);

    for (uint64_t i = 0; i < wish->times; i++) {
        const uint64_t began = now_us();
        uint64_t spent;

        take(wish, at, "tooth");
        spent = now_us() - began;
        /* It stays for the first half of a period. */
        if (spent < wish->period_ms * 500)
            sleep_us(wish->period_ms * 500 - spent);
        madvise(at, wish->bytes, MADV_DONTNEED);
        spent = now_us() - began;
        if (spent < wish->period_ms * 1000)
            sleep_us(wish->period_ms * 1000 - spent);
    }
    return 0;
}

static long major_faults(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_majflt : -1;
}

static int scan(const struct wish *wish)
{
    const uint64_t began = now_us();
    const long before = major_faults();
    int fd = open(wish->file, O_RDONLY | O_CLOEXEC);
    volatile char sink = 0;
    uint64_t done = 0;
    struct stat st;
    const char *at;

    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < PAGE ||
        (at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)) ==
            MAP_FAILED) {
        perror("press: scan");
        return 1;
    }
    while (now_us() - began < wish->for_ms * 1000) {
        uint64_t from = done % (uint64_t)st.st_size, n = STEP;

        if (n > (uint64_t)st.st_size - from)
            n = (uint64_t)st.st_size - from;
        for (uint64_t i = 0; i < n; i += PAGE)
            sink = (char)(sink + at[from + i]);
        done += n;
        keep_pace(wish, began, done);
    }
    print_rate("scanned", done, began, major_faults() - before);
    return 0;
}

static bool read_wish(struct wish *wish, int argc, char **argv)
{
    const struct {
        const char *name;
        uint64_t *target;
    } options[] = {{"--rate", &wish->rate},      {"--bytes", &wish->bytes},
                   {"--hold", &wish->hold_ms},   {"--period", &wish->period_ms},
                   {"--times", &wish->times},    {"--for", &wish->for_ms},
                   {"--recycle", &wish->recycle}};
    const size_t count = sizeof(options) / sizeof(options[0]);

    if (argc < 2)
        return false;
    wish->mode = argv[1];
    for (int i = 2; i < argc; i++) {
        size_t at = 0;
        char *end;

        while (at < count && strcmp(argv[i], options[at].name) != 0)
            at++;
        if (at == count && wish->file == NULL && argv[i][0] != '-') {
            wish->file = argv[i];
            continue;
        }
        if (at == count || ++i == argc)
            return false;
        *options[at].target = strtoull(argv[i], &end, 10);
        if (*end != '\0' || argv[i][0] == '-')
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct wish wish = {.recycle = UINT64_MAX};

    if (read_wish(&wish, argc, argv)) {
        if (strcmp(wish.mode, "fill") == 0 && wish.bytes > 0)
            return fill(&wish);
        if (strcmp(wish.mode, "saw") == 0 && wish.bytes > 0 &&
            wish.period_ms > 0)
            return saw(&wish);
        if (strcmp(wish.mode, "scan") == 0 && wish.file != NULL)
            return scan(&wish);
    }
    fprintf(stderr, "usage: press fill --rate B --bytes B [--hold MS] | saw "
                    "--rate B --bytes B --period MS --times N | scan FILE "
                    "[--rate B] --for MS\n");
    return 2;
}
