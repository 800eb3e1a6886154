/* SPDX-License-Identifier: MIT */
#include "tests/support/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/epoll.h>
#include <sys/timerfd.h>
#endif

static _Atomic uint64_t counted, armed_at = FAULTS_NEVER;
static _Atomic bool armed_forever;
static _Atomic int fault_errno = EIO;
static _Atomic(const char *) last_fault = "none";
static _Atomic(const char *) only;
static _Atomic int64_t live;
static void (*_Atomic pread_watch)(int fd, uint64_t offset, size_t bytes);
static _Atomic size_t most = SIZE_MAX;

static void (*_Atomic syscall_watch)(long number, const long given[6],
                                     long result);

static _Atomic(const char *) hooked;
static void (*_Atomic hook_of)(void);

static bool named(const char *list, const char *name)
{
    const char *at;
    size_t n = strlen(name);

    for (at = strstr(list, name); at != NULL; at = strstr(at + 1, name))
        if ((at == list || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

/* Counts one call; true when it must fail. */
static bool counts(const char *name)
{
    uint64_t number, at = armed_at;

    number = atomic_fetch_add(&counted, 1);
    if (number < at || (number > at && !armed_forever))
        return false;
    if (number == at)
        last_fault = name;
    errno = fault_errno;
    return true;
}

static void call_hook(const char *name)
{
    const char *want = hooked;
    void (*hook)(void) = hook_of;

    if (want != NULL && hook != NULL && strcmp(want, name) == 0)
        hook();
}

static bool fails(const char *name)
{
    const char *list = only;

    call_hook(name);
    return (list == NULL || named(list, name)) && counts(name);
}

/* One that counts only where it is named. */
static bool fails_named(const char *name)
{
    const char *list = only;

    call_hook(name);
    return list != NULL && named(list, name) && counts(name);
}

void faults_reset(void)
{
    armed_at = FAULTS_NEVER;
    armed_forever = false;
    counted = 0;
    fault_errno = EIO;
    last_fault = "none";
    only = NULL;
    most = SIZE_MAX;
    faults_watch_pread(NULL);
    faults_watch_syscall(NULL);
    faults_before(NULL, NULL);
}

void faults_arm(uint64_t n, bool forever)
{
    counted = 0;
    last_fault = "none";
    armed_forever = forever;
    armed_at = n;
}

void faults_disarm(void)
{
    armed_at = FAULTS_NEVER;
}

uint64_t faults_count(void)
{
    return counted;
}

const char *faults_last(void)
{
    return last_fault;
}

void faults_set_errno(int number)
{
    fault_errno = number;
}

void faults_only(const char *names)
{
    only = names;
}

void faults_move_at_most(size_t bytes)
{
    most = bytes;
}

static size_t moved(size_t bytes)
{
    return bytes < most ? bytes : most;
}

void faults_watch_pread(void (*watch)(int fd, uint64_t offset, size_t bytes))
{
    pread_watch = watch;
}

void faults_before(const char *name, void (*hook)(void))
{
    hook_of = (void (*)(void))0;
    hooked = name;
    hook_of = hook;
}

void faults_watch_syscall(void (*watch)(long number, const long given[6],
                                        long result))
{
    syscall_watch = watch;
}

static void *counting_alloc(void *ctx, size_t bytes)
{
    void *block;

    (void)ctx;
    if (fails("alloc"))
        return NULL;
    block = malloc(bytes);
    if (block != NULL)
        atomic_fetch_add(&live, 1);
    return block;
}

static void counting_release(void *ctx, void *block)
{
    (void)ctx;
    if (block != NULL)
        atomic_fetch_sub(&live, 1);
    free(block);
}

const struct gov_alloc *faults_alloc(void)
{
    static const struct gov_alloc counting = {NULL, counting_alloc,
                                              counting_release};

    return &counting;
}

int64_t faults_live_blocks(void)
{
    return live;
}

int faults_open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    if (dir == NULL)
        return -1;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 3; /* ".", ".." and the directory itself */
}

/* ---- the wrapped calls ------------------------------------------------------ */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
ssize_t __real_read(int fd, void *buffer, size_t bytes);
ssize_t __wrap_read(int fd, void *buffer, size_t bytes);
ssize_t __real_pread(int fd, void *buffer, size_t bytes, off_t offset);
ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t offset);
ssize_t __real_write(int fd, const void *buffer, size_t bytes);
ssize_t __wrap_write(int fd, const void *buffer, size_t bytes);
ssize_t __real_pwrite(int fd, const void *buffer, size_t bytes, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *buffer, size_t bytes, off_t offset);
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __real_lstat(const char *path, struct stat *st);
int __wrap_lstat(const char *path, struct stat *st);
int __real_ftruncate(int fd, off_t bytes);
int __wrap_ftruncate(int fd, off_t bytes);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __real_madvise(void *base, size_t bytes, int advice);
int __wrap_madvise(void *base, size_t bytes, int advice);
int __real_pipe(int fd[2]);
int __wrap_pipe(int fd[2]);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_munmap(void *base, size_t bytes);
int __wrap_munmap(void *base, size_t bytes);
void *__real_mmap(void *base, size_t bytes, int prot, int flags, int fd,
                  off_t offset);
void *__wrap_mmap(void *base, size_t bytes, int prot, int flags, int fd,
                  off_t offset);
int __real_mprotect(void *base, size_t bytes, int protection);
int __wrap_mprotect(void *base, size_t bytes, int protection);
int __real_msync(void *base, size_t bytes, int flags);
int __wrap_msync(void *base, size_t bytes, int flags);
void *__real_mremap(void *base, size_t bytes, size_t now, int flags, ...);
void *__wrap_mremap(void *base, size_t bytes, size_t now, int flags, ...);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
int __real_ppoll(struct pollfd *fds, nfds_t count,
                 const struct timespec *timeout, const sigset_t *signals);
int __wrap_ppoll(struct pollfd *fds, nfds_t count,
                 const struct timespec *timeout, const sigset_t *signals);
int __real_eventfd(unsigned int count, int flags);
int __wrap_eventfd(unsigned int count, int flags);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_bind(int fd, const struct sockaddr *address, socklen_t bytes);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes);
int __real_connect(int fd, const struct sockaddr *address, socklen_t bytes);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes);
ssize_t __real_send(int fd, const void *buffer, size_t bytes, int flags);
ssize_t __wrap_send(int fd, const void *buffer, size_t bytes, int flags);
ssize_t __real_sendto(int fd, const void *buffer, size_t bytes, int flags,
                      const struct sockaddr *address, socklen_t length);
ssize_t __wrap_sendto(int fd, const void *buffer, size_t bytes, int flags,
                      const struct sockaddr *address, socklen_t length);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
int __real_mlock(const void *base, size_t bytes);
int __wrap_mlock(const void *base, size_t bytes);
int __real_pthread_attr_setstacksize(pthread_attr_t *attr, size_t bytes);
int __wrap_pthread_attr_setstacksize(pthread_attr_t *attr, size_t bytes);
#ifdef __linux__
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __real_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);
int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before);
int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);
#endif
int __real_setpriority(int which, id_t who, int priority);
int __wrap_setpriority(int which, id_t who, int priority);
int __real_getrusage(int who, struct rusage *usage);
int __wrap_getrusage(int who, struct rusage *usage);
int __real_sigaction(int number, const struct sigaction *action,
                     struct sigaction *before);
int __wrap_sigaction(int number, const struct sigaction *action,
                     struct sigaction *before);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __real_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags);
int __real_fstatat(int dir, const char *path, struct stat *st, int flags);
int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags);
int __real_fstatvfs(int fd, struct statvfs *st);
int __wrap_fstatvfs(int fd, struct statvfs *st);
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __real_chmod(const char *path, mode_t mode);
int __wrap_chmod(const char *path, mode_t mode);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
off_t __real_lseek(int fd, off_t offset, int whence);
off_t __wrap_lseek(int fd, off_t offset, int whence);
DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);
char *__real_realpath(const char *path, char *out);
char *__wrap_realpath(const char *path, char *out);
int __real_posix_fallocate(int fd, off_t offset, off_t bytes);
int __wrap_posix_fallocate(int fd, off_t offset, off_t bytes);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg);

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, unsigned int) : 0;
    va_end(args);
    return fails("open") ? -1 : __real_open(path, flags, mode);
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, unsigned int) : 0;
    va_end(args);
    return fails("openat") ? -1 : __real_openat(dir, path, flags, mode);
}

ssize_t __wrap_read(int fd, void *buffer, size_t bytes)
{
    return fails("read") ? -1 : __real_read(fd, buffer, moved(bytes));
}

ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    void (*watch)(int fd, uint64_t offset, size_t bytes) = pread_watch;

    if (fails("pread"))
        return -1;
    if (watch != NULL)
        watch(fd, (uint64_t)offset, bytes);
    return __real_pread(fd, buffer, moved(bytes), offset);
}

ssize_t __wrap_write(int fd, const void *buffer, size_t bytes)
{
    return fails("write") ? -1 : __real_write(fd, buffer, moved(bytes));
}

ssize_t __wrap_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    return fails("pwrite") ? -1
                           : __real_pwrite(fd, buffer, moved(bytes), offset);
}

int __wrap_fstat(int fd, struct stat *st)
{
    return fails("fstat") ? -1 : __real_fstat(fd, st);
}

int __wrap_lstat(const char *path, struct stat *st)
{
    return fails("lstat") ? -1 : __real_lstat(path, st);
}

int __wrap_ftruncate(int fd, off_t bytes)
{
    return fails("ftruncate") ? -1 : __real_ftruncate(fd, bytes);
}

int __wrap_fsync(int fd)
{
    return fails("fsync") ? -1 : __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    return fails("fdatasync") ? -1 : __real_fdatasync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return fails("rename") ? -1 : __real_rename(from, to);
}

int __wrap_unlink(const char *path)
{
    return fails("unlink") ? -1 : __real_unlink(path);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return fails("mkdir") ? -1 : __real_mkdir(path, mode);
}

int __wrap_madvise(void *base, size_t bytes, int advice)
{
    return fails("madvise") ? -1 : __real_madvise(base, bytes, advice);
}

int __wrap_pipe(int fd[2])
{
    return fails("pipe") ? -1 : __real_pipe(fd);
}

int __wrap_close(int fd)
{
    return __real_close(fd);
}

int __wrap_munmap(void *base, size_t bytes)
{
    return fails_named("munmap") ? -1 : __real_munmap(base, bytes);
}

void *__wrap_mmap(void *base, size_t bytes, int prot, int flags, int fd,
                  off_t offset)
{
    return fails("mmap") ? MAP_FAILED
                         : __real_mmap(base, bytes, prot, flags, fd, offset);
}

int __wrap_mprotect(void *base, size_t bytes, int protection)
{
    return fails_named("mprotect") ? -1
                                   : __real_mprotect(base, bytes, protection);
}

int __wrap_msync(void *base, size_t bytes, int flags)
{
    return fails_named("msync") ? -1 : __real_msync(base, bytes, flags);
}

void *__wrap_mremap(void *base, size_t bytes, size_t now, int flags, ...)
{
    void *at = NULL;
    va_list args;

    va_start(args, flags);
    if ((flags & MREMAP_FIXED) != 0)
        at = va_arg(args, void *);
    va_end(args);
    return fails_named("mremap") ? MAP_FAILED
                                 : __real_mremap(base, bytes, now, flags, at);
}

/* What follows the command is a number or an address, or nothing, which is as
 * good as any number. */
int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;
    long value;

    va_start(args, command);
    value = va_arg(args, long);
    va_end(args);
    return fails_named("fcntl") ? -1 : __real_fcntl(fd, command, value);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    long value;

    va_start(args, request);
    value = va_arg(args, long);
    va_end(args);
    return fails_named("ioctl") ? -1 : __real_ioctl(fd, request, value);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    return fails_named("poll") ? -1 : __real_poll(fds, count, timeout);
}

int __wrap_ppoll(struct pollfd *fds, nfds_t count,
                 const struct timespec *timeout, const sigset_t *signals)
{
    return fails_named("ppoll") ? -1
                                : __real_ppoll(fds, count, timeout, signals);
}

int __wrap_eventfd(unsigned int count, int flags)
{
    return fails_named("eventfd") ? -1 : __real_eventfd(count, flags);
}

long __wrap_syscall(long number, ...)
{
    void (*watch)(long number, const long given[6], long result) =
        syscall_watch;
    long result;
    va_list args;
    long a[6];

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (fails_named("syscall"))
        return -1;
    result = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (watch != NULL)
        watch(number, a, result);
    return result;
}

int __wrap_socket(int domain, int type, int protocol)
{
    return fails_named("socket") ? -1 : __real_socket(domain, type, protocol);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    return fails_named("bind") ? -1 : __real_bind(fd, address, bytes);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    return fails_named("connect") ? -1 : __real_connect(fd, address, bytes);
}

ssize_t __wrap_send(int fd, const void *buffer, size_t bytes, int flags)
{
    return fails_named("send") ? -1 : __real_send(fd, buffer, bytes, flags);
}

ssize_t __wrap_sendto(int fd, const void *buffer, size_t bytes, int flags,
                      const struct sockaddr *address, socklen_t length)
{
    return fails_named("sendto")
               ? -1
               : __real_sendto(fd, buffer, bytes, flags, address, length);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return fails_named("sendmsg") ? -1 : __real_sendmsg(fd, message, flags);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    return fails_named("recvmsg") ? -1 : __real_recvmsg(fd, message, flags);
}

int __wrap_mlock(const void *base, size_t bytes)
{
    return fails_named("mlock") ? -1 : __real_mlock(base, bytes);
}

/* Returns the error instead of setting errno. */
int __wrap_pthread_attr_setstacksize(pthread_attr_t *attr, size_t bytes)
{
    return fails_named("pthread_attr_setstacksize")
               ? fault_errno
               : __real_pthread_attr_setstacksize(attr, bytes);
}

#ifdef __linux__
int __wrap_epoll_create1(int flags)
{
    return fails_named("epoll_create1") ? -1 : __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    return fails_named("epoll_ctl") ? -1
                                    : __real_epoll_ctl(epoll, what, fd, event);
}

int __wrap_timerfd_create(int clock, int flags)
{
    return fails_named("timerfd_create") ? -1
                                         : __real_timerfd_create(clock, flags);
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before)
{
    return fails_named("timerfd_settime")
               ? -1
               : __real_timerfd_settime(fd, flags, when, before);
}

int __wrap_prctl(int option, ...)
{
    unsigned long a[4];
    va_list args;

    va_start(args, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(args, unsigned long);
    va_end(args);
    return fails_named("prctl") ? -1
                                : __real_prctl(option, a[0], a[1], a[2], a[3]);
}
#endif

int __wrap_setpriority(int which, id_t who, int priority)
{
    return fails_named("setpriority")
               ? -1
               : __real_setpriority(which, who, priority);
}

int __wrap_getrusage(int who, struct rusage *usage)
{
    return fails_named("getrusage") ? -1 : __real_getrusage(who, usage);
}

int __wrap_sigaction(int number, const struct sigaction *action,
                     struct sigaction *before)
{
    return fails_named("sigaction") ? -1
                                    : __real_sigaction(number, action, before);
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails_named("renameat")
               ? -1
               : __real_renameat(from_dir, from, to_dir, to);
}

int __wrap_unlinkat(int dir, const char *path, int flags)
{
    return fails_named("unlinkat") ? -1 : __real_unlinkat(dir, path, flags);
}

int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags)
{
    return fails_named("fstatat") ? -1 : __real_fstatat(dir, path, st, flags);
}

int __wrap_fstatvfs(int fd, struct statvfs *st)
{
    return fails_named("fstatvfs") ? -1 : __real_fstatvfs(fd, st);
}

int __wrap_flock(int fd, int operation)
{
    return fails_named("flock") ? -1 : __real_flock(fd, operation);
}

int __wrap_chmod(const char *path, mode_t mode)
{
    return fails_named("chmod") ? -1 : __real_chmod(path, mode);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    return fails_named("fchmod") ? -1 : __real_fchmod(fd, mode);
}

off_t __wrap_lseek(int fd, off_t offset, int whence)
{
    return fails_named("lseek") ? -1 : __real_lseek(fd, offset, whence);
}

DIR *__wrap_fdopendir(int fd)
{
    return fails_named("fdopendir") ? NULL : __real_fdopendir(fd);
}

struct dirent *__wrap_readdir(DIR *dir)
{
    return fails_named("readdir") ? NULL : __real_readdir(dir);
}

char *__wrap_realpath(const char *path, char *out)
{
    return fails_named("realpath") ? NULL : __real_realpath(path, out);
}

/* These two return the error instead of setting errno. */
int __wrap_posix_fallocate(int fd, off_t offset, off_t bytes)
{
    return fails("posix_fallocate") ? fault_errno
                                    : __real_posix_fallocate(fd, offset, bytes);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg)
{
    return fails("pthread_create")
               ? EAGAIN
               : __real_pthread_create(thread, attr, start, arg);
}
