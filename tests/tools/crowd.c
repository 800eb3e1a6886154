/* SPDX-License-Identifier: MIT */
/* What watching a crowd costs:
 *
 *   crowd PROCESSES DIRECTORY SECONDS COMMAND [ARGUMENT]...
 *
 * So many processes write a page each into the directory, four times a second, all
 * counters, texts, actions and events set and changing. The command runs on a
 * terminal of 200x50 that is read; after three seconds its processor time and its
 * memory are taken, then again after so many more:
 *
 *   cpu_us wall_us resident_kib
 *
 * The command is asked to end by the key q. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "governor/runtime/page_writer.h"
#include "tests/support/pty.h"

#define MOST 128
#define SETTLE_MS 3000
#define UPDATE_MS 250

static pid_t writers[MOST];
static int writer_count;

static uint64_t clock_us(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the crowd -------------------------------------------------------------- */

static void fill(struct gov_page *page, uint64_t turn)
{
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++) {
        page->have |= UINT64_C(1) << i;
        page->counter[i] = (turn + 100) * 1048573 * (uint64_t)(i + 1);
    }
    page->counter[GOV_PAGE_UPDATED_US] = clock_us(CLOCK_MONOTONIC);
    page->counter[GOV_PAGE_LEVEL] = turn % 3 * 50;
    for (int i = 0; i < GOV_PAGE_TEXTS; i++)
        gov__page_put(page, (gov_page_text)i, "a name that is in use");
    memset(page->text_UNITS, turn % 2 == 0 ? 'H' : 's', 300);
    for (int i = 0; i < GOV_PAGE_ACTIONS; i++) {
        snprintf(page->action[i].name, sizeof(page->action[i].name),
                 "action.%d", i);
        page->action[i].runs = (uint32_t)turn;
    }
    for (int i = 0; i < GOV_PAGE_EVENTS; i++) {
        page->event[i].at_us = page->counter[GOV_PAGE_UPDATED_US];
        snprintf(page->event[i].text, sizeof(page->event[i].text),
                 "something happened that takes a sentence to tell, %d", i);
    }
}

static void write_pages(const char *directory)
{
    static struct gov__page_writer writer;
    static struct gov_page page;
    const struct gov_platform *platform = gov__platform_native();
    struct timespec pause = {0, UPDATE_MS * 1000000L};
    struct gov__process process;
    gov_error err;

    if (platform->process(platform->ctx, 0, &process) != 0 ||
        gov__page_writer_open(&writer, directory, (int32_t)getpid(),
                              process.start_ticks, &err) != GOV_OK)
        _exit(1);
    for (uint64_t turn = 0; getppid() != 1; turn++) {
        fill(&page, turn);
        if (gov__page_writer_update(&writer, &page, &err) != GOV_OK)
            _exit(1);
        nanosleep(&pause, NULL);
    }
    _exit(0);
}

static void end_crowd(void)
{
    for (int i = 0; i < writer_count; i++)
        kill(writers[i], SIGKILL);
    for (int i = 0; i < writer_count; i++)
        waitpid(writers[i], NULL, 0);
}

static bool start_crowd(int count, const char *directory)
{
    while (writer_count < count) {
        pid_t pid = fork();

        if (pid < 0)
            return false;
        if (pid == 0)
            write_pages(directory);
        writers[writer_count++] = pid;
    }
    return true;
}

/* ---- the watcher ------------------------------------------------------------ */

static pid_t start_watcher(int *terminal, char **command)
{
    pid_t pid;

    *terminal = pty_open(200, 50);
    if (*terminal < 0)
        return -1;
    pid = fork();
    if (pid != 0)
        return pid;
    pty_enter(ptsname(*terminal), "xterm-256color");
    setenv("LC_ALL", "C.UTF-8", 1);
    execv(command[0], command);
    _exit(127);
}

/* Reads what the watcher prints for so long. */
static void drain(int terminal, uint64_t ms)
{
    uint64_t end = clock_us(CLOCK_MONOTONIC) + ms * 1000, now;
    char bytes[4096];

    while ((now = clock_us(CLOCK_MONOTONIC)) < end) {
        struct pollfd input = {.fd = terminal, .events = POLLIN};

        if (poll(&input, 1, (int)((end - now) / 1000) + 1) > 0 &&
            read(terminal, bytes, sizeof(bytes)) <= 0)
            return;
    }
}

static long resident_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    fclose(file);
    return kib;
}

static int watch(int seconds, char **command)
{
    int terminal = -1, status = 1;
    pid_t pid = start_watcher(&terminal, command);
    uint64_t wall, cpu;
    clockid_t clock;
    long kib;

    if (pid < 0)
        return 1;
    drain(terminal, SETTLE_MS);
    if (clock_getcpuclockid(pid, &clock) != 0)
        return 1;
    wall = clock_us(CLOCK_MONOTONIC);
    cpu = clock_us(clock);
    drain(terminal, (uint64_t)seconds * 1000);
    cpu = clock_us(clock) - cpu;
    wall = clock_us(CLOCK_MONOTONIC) - wall;
    kib = resident_kib(pid);
    if (write(terminal, "q", 1) != 1)
        return 1;
    drain(terminal, 1000);
    kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || status != 0 || kib < 0) {
        fprintf(stderr, "the command ended with %d\n", status);
        return 1;
    }
    printf("%llu %llu %ld\n", (unsigned long long)cpu, (unsigned long long)wall,
           kib);
    return 0;
}

int main(int argc, char **argv)
{
    int count = argc > 4 ? atoi(argv[1]) : 0, rc;

    if (count < 1 || count > MOST) {
        fprintf(stderr,
                "usage: crowd PROCESSES DIRECTORY SECONDS COMMAND ...\n");
        return 2;
    }
    rc = start_crowd(count, argv[2]) ? watch(atoi(argv[3]), argv + 4) : 1;
    end_crowd();
    return rc;
}
