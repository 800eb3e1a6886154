/* SPDX-License-Identifier: MIT */
/* Asks graphics drivers in a child process: a driver is somebody else's code, and
 * what it does to its process (a crash, a hang, text on standard output) ends with
 * the child. Outlives no call. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/device/measure_priv.h"

/* The first start of a driver took up to 0.9 s on a busy machine. */
#define ASK_BOX_US 10000000
#define ALARM_S 15 /* should the parent be killed meanwhile */

/* What comes through the pipe. */
struct answer {
    gov_status status;
    gov_error error;
    uint32_t count;
    struct gov_gpu gpus[GOV_DEVICE_GPUS];
    struct gov_device_fact total; /* GOV_FACT_GPU_COUNT */
};

static bool write_all(int fd, const void *from, size_t bytes)
{
    const char *at = from;

    while (bytes > 0) {
        ssize_t n = write(fd, at, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* The child's whole life. */
static void ask(const struct gov__measuring *m, int fd)
{
    const struct rlimit none = {0, 0};
    const struct gov_device_fact *total;
    struct gov_device *device = m->device; /* the child's own copy */
    struct answer answer;
    int null = open("/dev/null", O_RDWR);

    memset(&answer, 0, sizeof(answer));
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)alarm(ALARM_S);
    for (int to = 0; null >= 0 && to <= 2; to++)
        if (to != fd)
            (void)dup2(null, to);
    answer.status = gov__device_gpus(m->platform, device, &answer.error);
    answer.count = device->gpu_count;
    memcpy(answer.gpus, device->gpus, sizeof(answer.gpus));
    total = gov_device_fact(device, GOV_FACT_GPU_COUNT);
    if (total != NULL)
        answer.total = *total;
    _exit(write_all(fd, &answer, sizeof(answer)) ? 0 : 1);
}

/* Reads the answer while progress is told; *closed when the other end is. Returns
 * the bytes that came. */
static size_t listen_to(struct gov__measuring *m, int fd, struct answer *answer,
                        bool *closed)
{
    uint64_t begin = gov__measure_now(m);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    size_t got = 0;

    *closed = false;
    while (!*closed && got < sizeof(*answer) &&
           gov__measure_now(m) - begin < ASK_BOX_US &&
           gov__measure_go_on(m, GOV__ASKING, "asking graphics drivers")) {
        ssize_t n;

        if (poll(&ready, 1, 10) <= 0)
            continue;
        n = read(fd, (char *)answer + got, sizeof(*answer) - got);
        *closed = n == 0 || (n < 0 && errno != EINTR);
        got += n > 0 ? (size_t)n : 0;
    }
    return got;
}

static gov_status not_told(struct gov__measuring *m, const char *why,
                           gov_error *err)
{
    gov__device_unknown(m->device, GOV_FACT_GPU_COUNT, why);
    return gov_fail(err, GOV_E_IO, 0, "graphics processors not listed: %s",
                    why);
}

/* A driver may have written anywhere in the child. */
static bool is_sound(const struct answer *answer)
{
    bool sound =
        answer->count <= GOV_DEVICE_GPUS &&
        memchr(answer->total.source, 0, sizeof(answer->total.source)) != NULL &&
        memchr(answer->error.message, 0, sizeof(answer->error.message)) != NULL;

    for (uint32_t i = 0; sound && i < answer->count; i++)
        sound =
            memchr(answer->gpus[i].name, 0, sizeof(answer->gpus[i].name)) &&
            memchr(answer->gpus[i].bus, 0, sizeof(answer->gpus[i].bus)) &&
            memchr(answer->gpus[i].source, 0, sizeof(answer->gpus[i].source));
    return sound;
}

static gov_status take(struct gov__measuring *m, const struct answer *answer,
                       gov_error *err)
{
    struct gov_device *device = m->device;

    if (!is_sound(answer))
        return not_told(m, "a driver spoiled the answer", err);
    if (answer->status != GOV_OK) {
        if (err != NULL)
            *err = answer->error;
        return answer->status;
    }
    device->gpu_count = answer->count;
    memcpy(device->gpus, answer->gpus, sizeof(device->gpus));
    if (answer->total.known)
        gov__device_set(device, GOV_FACT_GPU_COUNT, answer->total.number,
                        answer->total.source);
    else
        gov__device_unknown(device, GOV_FACT_GPU_COUNT, answer->total.source);
    return GOV_OK;
}

/* Ends the child, whatever it does, and returns how it ended. */
static int end_child(pid_t pid)
{
    int ended = 0;
    pid_t waited;

    (void)kill(pid, SIGKILL); /* no matter to one that is ending already */
    do {
        waited = waitpid(pid, &ended, 0);
    } while (waited < 0 && errno == EINTR);
    return waited == pid ? ended : 0;
}

gov_status gov__measure_drivers(struct gov__measuring *m, gov_error *err)
{
    char why[96] = "the process that asked the drivers told nothing";
    struct answer answer;
    int ends[2], ended;
    bool closed;
    size_t got;
    pid_t pid;

    memset(m->device->gpus, 0, sizeof(m->device->gpus));
    m->device->gpu_count = 0;
    if (pipe(ends) != 0)
        return not_told(m, "no pipe to a process that asks the drivers", err);
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    pid = fork();
    if (pid == 0)
        ask(m, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return not_told(m, "no process could be had to ask the drivers", err);
    }
    got = listen_to(m, ends[0], &answer, &closed);
    close(ends[0]);
    ended = end_child(pid);
    if (got == sizeof(answer))
        return take(m, &answer, err);
    if (!closed)
        snprintf(why, sizeof(why), "a driver did not answer within %d s",
                 ASK_BOX_US / 1000000);
    else if (WIFSIGNALED(ended))
        snprintf(why, sizeof(why),
                 "a driver ended the process that asked it (signal %d)",
                 WTERMSIG(ended));
    return not_told(m, why, err);
}
