/* SPDX-License-Identifier: MIT */
/* What this kernel lets this user do, found by doing it: nothing of a try stays
 * behind. A call that works, or that is refused for good, is an answer; one that
 * fails for want of a descriptor or of memory is not. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"

/* Newer than Debian 12's headers (Linux 6.5); the same number everywhere but on
 * alpha and mips, where -1 is answered with ENOSYS. */
#ifndef SYS_cachestat
#if defined(__alpha__) || defined(__mips__)
#define SYS_cachestat (-1)
#else
#define SYS_cachestat 451
#endif
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#define ENDED (-1) /* the try was the end of the process that made it */

/* ---- trying --------------------------------------------------------------------- */

/* What keeps a child away says nothing of the call that it was for: EPERM and the
 * like would be taken for its answer. */
static int no_child(int error)
{
    return error == EAGAIN || error == ENOMEM ? error : ECHILD;
}

/* A seccomp filter may answer a call with the end of the process (systemd's
 * SystemCallFilter=, the one of Android's apps), and cannot be asked. So where
 * there is a filter a child goes first. It shares nothing, gets no signal that is
 * meant for the app, and as it ends without SIGCHLD no wait() of the app's sees
 * it. Returns what `attempt` does, ENDED, or an errno value. */
static int in_child(int (*attempt)(void))
{
    sigset_t all, before;
    int status = 0;
    pid_t pid, waited;
    int rc;

    sigfillset(&all);
    rc = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (rc != 0)
        return no_child(rc);
    /* All arguments are 0, so that their order, which differs between
     * architectures, does not matter: a fork() without a signal at its end. */
    pid = (pid_t)syscall(SYS_clone, 0UL, 0UL, 0UL, 0UL, 0UL);
    if (pid == 0) {
        (void)prctl(PR_SET_DUMPABLE, 0); /* no core file */
        _exit(attempt());
    }
    rc = pid < 0 ? no_child(errno) : 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return rc;
    do {
        waited = waitpid(pid, &status, __WALL);
    } while (waited < 0 && errno == EINTR);
    if (waited < 0)
        return no_child(errno);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    /* Somebody else may have killed it: the kernel, for want of memory. */
    return WTERMSIG(status) == SIGSYS ? ENDED : ECHILD;
}

static int attempted(int (*attempt)(void))
{
    /* 0: no filter; -1: a kernel without seccomp. */
    return prctl(PR_GET_SECCOMP) > 0 ? in_child(attempt) : attempt();
}

/* Says what came of a try of `call`; `forbids` is what refuses it. */
static int verdict(struct gov__told *out, int rc, const char *call,
                   const char *forbids)
{
    switch (rc) {
    case 0:
        return gov__told_number(out, 1, "tried: %s", call);
    case ENDED:
        return gov__told_number(
            out, 0, "tried in a child process: a seccomp filter ended it");
    case ENOSYS:
        return gov__told_number(out, 0, "tried: ENOSYS, there is no %s here",
                                call);
    case EPERM:
    case EACCES:
        return gov__told_number(out, 0, "tried: not permitted (%s)", forbids);
    case EINVAL:
    case EOPNOTSUPP:
        return gov__told_number(out, 0, "tried: this kernel's %s is too old",
                                call);
    default:
        return gov__told_nothing(out, "could not be tried: %s, errno %d", call,
                                 rc);
    }
}

static int not_tried(struct gov__told *out)
{
    return gov__told_nothing(out, "not tried on a written copy");
}

/* ---- userfaultfd ------------------------------------------------------------------ */

/* User mode only, which needs no privilege, is known since Linux 5.11. */
static int attempt_userfaultfd(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    long fd =
        syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    int rc;

    if (fd < 0)
        return errno;
    rc = ioctl((int)fd, UFFDIO_API, &api) == 0 ? 0 : errno;
    close((int)fd);
    return rc;
}

int gov__linux_try_userfaultfd(void *ctx, struct gov__told *out)
{
    if (!gov__linux_is_native(ctx))
        return not_tried(out);
    return verdict(out, attempted(attempt_userfaultfd),
                   "userfaultfd(UFFD_USER_MODE_ONLY)",
                   "a seccomp filter or a security module");
}

/* ---- cachestat -------------------------------------------------------------------- */

/* On a file of our own: since 2025 kernels ask for the right to write it. */
static int attempt_cachestat(void)
{
    struct {
        uint64_t offset, bytes;
    } range = {0, 0};
    uint64_t figures[16] = {0}; /* struct cachestat has 5, and may grow */
    int fd = memfd_create("gov-cachestat", MFD_CLOEXEC);
    int rc;

    if (fd < 0) /* of which nothing follows for cachestat() */
        return errno == EMFILE || errno == ENFILE ? errno : EIO;
    rc = syscall(SYS_cachestat, fd, &range, figures, 0U) == 0 ? 0 : errno;
    close(fd);
    return rc;
}

int gov__linux_try_cachestat(void *ctx, struct gov__told *out)
{
    if (!gov__linux_is_native(ctx))
        return not_tried(out);
    return verdict(out, attempted(attempt_cachestat), "cachestat()",
                   "a seccomp filter or a security module");
}

/* ---- io_uring --------------------------------------------------------------------- */

static int attempt_io_uring(void)
{
    struct io_uring_params params;
    long fd;

    memset(&params, 0, sizeof(params));
    fd = syscall(SYS_io_uring_setup, 1U, &params);
    if (fd < 0)
        return errno;
    close((int)fd);
    return 0;
}

int gov__linux_try_io_uring(void *ctx, struct gov__told *out)
{
    char forbids[64] = "a seccomp filter or a security module", text[8];
    uint64_t disabled = 0;

    if (!gov__linux_is_native(ctx))
        return not_tried(out);
    /* 1: only for a group of users; 2: for nobody. Since Linux 6.6. */
    if (gov__linux_read(ctx, "/proc/sys/kernel/io_uring_disabled", text,
                        sizeof(text)) == 0 &&
        gov__parse_number(text, &disabled) && disabled != 0)
        snprintf(forbids, sizeof(forbids), "kernel.io_uring_disabled = %u",
                 (unsigned)disabled);
    return verdict(out, attempted(attempt_io_uring), "io_uring_setup()",
                   forbids);
}

/* ---- locked memory ------------------------------------------------------------------ */

/* Whether a page more than the limit can be locked, as CAP_IPC_LOCK allows. The
 * pages are never touched, so nothing is read or taken. */
static int attempt_beyond_memlock(void)
{
    struct rlimit limit;
    size_t bytes;
    void *base;
    int rc;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return errno;
    if (limit.rlim_cur > SIZE_MAX / 4)
        return EPERM;
    bytes = (size_t)limit.rlim_cur + (size_t)sysconf(_SC_PAGESIZE);
    base = mmap(NULL, bytes, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return errno;
    rc = mlock2(base, bytes, MLOCK_ONFAULT) == 0 ? 0 : errno;
    munmap(base, bytes);
    return rc;
}

/* "Max locked memory         8388608              8388608              bytes" */
static int limit_in_text(void *ctx, uint64_t *out, int *error)
{
    static const char key[] = "Max locked memory";
    const struct gov__linux_root *root = ctx;
    struct gov__lines lines;
    char path[GOV__CGROUP_PATH], *line;
    bool found = false;

    *error =
        gov__path_join(path, sizeof(path), root->root, "/proc/self/limits");
    if (*error == 0)
        *error = gov__lines_open(&lines, path);
    if (*error != 0)
        return ENODATA;
    while (!found && (line = gov__lines_next(&lines)) != NULL) {
        if (strncmp(line, key, sizeof(key) - 1) != 0)
            continue;
        line += sizeof(key) - 1;
        line += strspn(line, " ");
        found = strncmp(line, "unlimited", 9) == 0;
        *out = UINT64_MAX;
        found = found || gov__parse_number(line, out);
    }
    *error = found ? 0 : lines.error;
    gov__lines_close(&lines);
    return found ? 0 : ENODATA;
}

int gov__linux_tell_memlock(void *ctx, struct gov__told *out)
{
    struct rlimit limit;
    uint64_t bytes = 0;
    int error = 0;

    if (!gov__linux_is_native(ctx)) {
        if (limit_in_text(ctx, &bytes, &error) != 0)
            return error != 0
                       ? gov__told_unread(out, "/proc/self/limits", error)
                       : gov__told_nothing(out, "/proc/self/limits has no "
                                                "locked memory");
        return bytes >= INT64_MAX
                   ? gov__told_number(out, INT64_MAX,
                                      "/proc/self/limits: unlimited")
                   : gov__told_number(out, bytes, "/proc/self/limits");
    }
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return gov__told_unread(out, "RLIMIT_MEMLOCK", errno);
    bytes = limit.rlim_cur;
    if (bytes >= INT64_MAX)
        return gov__told_number(out, INT64_MAX, "RLIMIT_MEMLOCK: unlimited");
    if (attempted(attempt_beyond_memlock) == 0)
        return gov__told_number(out, INT64_MAX,
                                "tried: unlimited, as CAP_IPC_LOCK lifts "
                                "RLIMIT_MEMLOCK of %llu",
                                (unsigned long long)bytes);
    return gov__told_number(out, bytes, "RLIMIT_MEMLOCK");
}
