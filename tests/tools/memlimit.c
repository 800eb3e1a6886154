/* SPDX-License-Identifier: MIT */
/* memlimit [--stall] BYTES COMMAND [ARGUMENT]...: runs a command in a memory cgroup
 * of its own, v1 or v2, without swap, and removes the cgroup afterwards, whatever
 * happened. Prints one line to stderr at the end: peak bytes and whether the
 * kernel killed something. Exit status: the command's; 77 where no such cgroup
 * can be made, with a sentence that says why; 128 + n when signal n ended it.
 *
 * With --stall the command has a PSI of its own, too: where limits are of v1, it is
 * also put into a v2 group, if one is mounted; 77 if none can be made.
 *
 * When this program itself is killed outright its cgroup stays, empty, because
 * the command dies with it; the next one removes what it finds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "governor-test-"
#define SKIP 77

static char group[640];
static char stall_group[640]; /* "": the same one, or none is asked for */
static int version;
static volatile sig_atomic_t child;

static void on_signal(int signo)
{
    if (child > 0)
        kill((pid_t)child, signo);
}

static bool path_of(char *out, size_t bytes, const char *file)
{
    return (size_t)snprintf(out, bytes, "%s/%s", group, file) < bytes;
}

static bool put(const char *file, const char *text)
{
    char path[768];
    ssize_t n;
    int fd;

    if (!path_of(path, sizeof(path), file))
        return false;
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text);
}

/* The number after `key` in a file of the group; key "" is the first one. */
static bool number(const char *file, const char *key, unsigned long long *out)
{
    char path[768], line[256];
    bool found = false;
    FILE *f;

    if (!path_of(path, sizeof(path), file) || (f = fopen(path, "re")) == NULL)
        return false;
    while (!found && fgets(line, sizeof(line), f) != NULL)
        found = strncmp(line, key, strlen(key)) == 0 &&
                sscanf(line + strlen(key), "%llu", out) == 1;
    fclose(f);
    return found;
}

/* This process's group in the hierarchy of a line of /proc/self/cgroup. */
static bool own_group(const char *controller, char *out, size_t bytes)
{
    char line[512];
    bool found = false;
    FILE *f = fopen("/proc/self/cgroup", "re");

    if (f == NULL)
        return false;
    while (!found && fgets(line, sizeof(line), f) != NULL) {
        char *names = strchr(line, ':'), *path;

        if (names == NULL || (path = strchr(++names, ':')) == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (strcmp(names, controller) != 0)
            continue;
        found = (size_t)snprintf(out, bytes, "%s",
                                 strcmp(path, "/") == 0 ? "" : path) < bytes;
    }
    fclose(f);
    return found;
}

/* Kills what is in a group and below it, and removes what is below it. */
static void clear_group(const char *path, int depth)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char below[1200], line[64];
    FILE *f;

    while (dir != NULL && depth < 4 && (entry = readdir(dir)) != NULL) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            (size_t)snprintf(below, sizeof(below), "%s/%s", path,
                             entry->d_name) >= sizeof(below))
            continue;
        clear_group(below, depth + 1);
        rmdir(below);
    }
    if (dir != NULL)
        closedir(dir);
    snprintf(below, sizeof(below), "%s/cgroup.procs", path);
    f = fopen(below, "re");
    if (f == NULL)
        return;
    while (fgets(line, sizeof(line), f) != NULL)
        kill((pid_t)strtol(line, NULL, 10), SIGKILL);
    fclose(f);
}

/* Removes groups that an earlier memlimit, now dead, left behind. */
static void sweep(const char *parent)
{
    DIR *dir = opendir(parent);
    struct dirent *entry;
    char path[900];

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        long pid;

        if (strncmp(entry->d_name, PREFIX, sizeof(PREFIX) - 1) != 0)
            continue;
        pid = strtol(entry->d_name + sizeof(PREFIX) - 1, NULL, 10);
        if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);
        clear_group(path, 0);
        rmdir(path);
    }
    closedir(dir);
}

static void give_up(const char *why)
{
    fprintf(stderr, "memlimit: no memory cgroup can be made here: %s\n", why);
    exit(SKIP);
}

static bool try_group(const char *parent, const char *limit)
{
    const char *file = version == 1 ? "memory.limit_in_bytes" : "memory.max";

    sweep(parent);
    if ((size_t)snprintf(group, sizeof(group), "%s/%s%d", parent, PREFIX,
                         (int)getpid()) >= sizeof(group))
        return false;
    if (mkdir(group, 0755) != 0)
        return false;
    if (put(file, limit))
        return true;
    rmdir(group);
    return false;
}

static void make_group(const char *limit)
{
    char own[512], parent[600];
    static const char *const roots[] = {"/sys/fs/cgroup",
                                        "/sys/fs/cgroup/unified"};

    version = 1;
    if (own_group("memory", own, sizeof(own))) {
        snprintf(parent, sizeof(parent), "/sys/fs/cgroup/memory%s", own);
        if (try_group(parent, limit) ||
            try_group("/sys/fs/cgroup/memory", limit)) {
            /* Only where swap accounting is on; then swap counts, too. */
            put("memory.memsw.limit_in_bytes", limit);
            return;
        }
        give_up(strerror(errno));
    }
    version = 2;
    if (!own_group("", own, sizeof(own)))
        give_up("the kernel tells of no cgroup");
    for (size_t i = 0; i < 2; i++) {
        snprintf(parent, sizeof(parent), "%s%s", roots[i], own);
        if (try_group(parent, limit) || try_group(roots[i], limit)) {
            put("memory.swap.max", "0");
            return;
        }
    }
    give_up("the memory controller is not delegated to this user");
}

/* A v2 group beside the v1 one, for its PSI alone. */
static void make_stall_group(void)
{
    static const char *const roots[] = {"/sys/fs/cgroup/unified",
                                        "/sys/fs/cgroup"};
    char own[512], parent[600], probe[700];

    if (version == 2)
        return;
    if (!own_group("", own, sizeof(own)))
        own[0] = '\0';
    for (size_t i = 0; i < 4; i++) {
        snprintf(parent, sizeof(parent), "%s%s", roots[i / 2],
                 i % 2 == 0 ? own : "");
        snprintf(probe, sizeof(probe), "%s/cgroup.controllers", parent);
        if (access(probe, F_OK) != 0)
            continue;
        sweep(parent);
        snprintf(stall_group, sizeof(stall_group), "%s/%s%d", parent, PREFIX,
                 (int)getpid());
        snprintf(probe, sizeof(probe), "%s/memory.pressure", stall_group);
        if (mkdir(stall_group, 0755) == 0) {
            if (access(probe, R_OK) == 0)
                return;
            rmdir(stall_group);
        }
    }
    stall_group[0] = '\0';
    errno = ENOTSUP;
}

static bool enter_stall_group(const char *pid)
{
    char path[768];
    FILE *f;
    int rc;

    if (stall_group[0] == '\0')
        return true;
    snprintf(path, sizeof(path), "%s/cgroup.procs", stall_group);
    f = fopen(path, "we");
    if (f == NULL)
        return false;
    rc = fputs(pid, f);
    return fclose(f) == 0 && rc >= 0;
}

/* Kills what is left in the groups and removes them; children of the command may
 * need a moment to go. */
static void remove_group(void)
{
    struct timespec pause = {0, 20000000};

    for (int i = 0; i < 250; i++) {
        if (stall_group[0] != '\0' &&
            (rmdir(stall_group) == 0 || errno == ENOENT))
            stall_group[0] = '\0';
        if ((rmdir(group) == 0 || errno == ENOENT) && stall_group[0] == '\0')
            return;
        clear_group(group, 0);
        if (stall_group[0] != '\0')
            clear_group(stall_group, 0);
        if (version == 1)
            put("memory.force_empty", "0");
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "memlimit: cgroup %s could not be removed: %s\n", group,
            strerror(errno));
}

static void report(void)
{
    unsigned long long peak = 0, kills = 0;

    number(version == 1 ? "memory.max_usage_in_bytes" : "memory.peak", "",
           &peak);
    number(version == 1 ? "memory.oom_control" : "memory.events", "oom_kill ",
           &kills);
    fprintf(stderr, "memlimit: peak_bytes=%llu oom_kills=%llu\n", peak, kills);
}

static void run_child(char **argv, int gate)
{
    char byte;

    /* Dies with this program, and starts only once it is in the group. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(gate, &byte, 1) != 1)
        _exit(125);
    close(gate);
    execvp(argv[0], argv);
    fprintf(stderr, "memlimit: cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    unsigned long long limit;
    char text[32], *end;
    int gate[2], status = 0;
    bool stall = argc > 1 && strcmp(argv[1], "--stall") == 0;
    pid_t pid;

    argc -= stall;
    argv += stall;
    if (argc < 3) {
        fprintf(stderr,
                "usage: memlimit [--stall] BYTES COMMAND [ARGUMENT]...\n");
        return 2;
    }
    limit = strtoull(argv[1], &end, 10);
    if (*end != '\0' || limit < 4096) {
        fprintf(stderr, "memlimit: %s is no number of bytes\n", argv[1]);
        return 2;
    }
    snprintf(text, sizeof(text), "%llu", limit);
    make_group(text);
    if (stall)
        make_stall_group();
    if (stall && version == 1 && stall_group[0] == '\0') {
        remove_group();
        give_up("there is no v2 group with a PSI of its own");
    }
    if (pipe(gate) != 0 || (pid = fork()) < 0) {
        remove_group();
        perror("memlimit");
        return 125;
    }
    if (pid == 0) {
        close(gate[1]);
        run_child(argv + 2, gate[0]);
    }
    child = pid;
    for (size_t i = 0; i < 3; i++)
        signal(signals[i], on_signal);
    snprintf(text, sizeof(text), "%d", (int)pid);
    if (!put("cgroup.procs", text) || !enter_stall_group(text)) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        remove_group();
        give_up(strerror(errno));
    }
    if (write(gate[1], "", 1) != 1)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    child = 0;
    report();
    remove_group();
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
