/* SPDX-License-Identifier: MIT */
/* Makes allocations and system calls fail, one by one. A clean run counts the
 * calls that can fail; then each fails in turn, once and for good:
 *
 *     faults_reset();            run(); calls = faults_count();
 *     for (n = 0; n < calls; n++) { faults_arm(n, forever); run(); ... }
 *
 * Calls are wrapped at link time (WRAPPED in the Makefile); allocations go
 * through faults_alloc(). close() never fails: nobody can do anything about it.
 * munmap, mprotect, msync, mremap, mlock, fcntl, ioctl, poll, ppoll, eventfd,
 * epoll_create1, epoll_ctl, timerfd_create, timerfd_settime, socket, bind, connect,
 * send, sendto, sendmsg, recvmsg, syscall, setpriority, getrusage, sigaction, prctl,
 * renameat, unlinkat, fstatat, fstatvfs, flock, chmod, fchmod, lseek, fdopendir,
 * readdir, realpath and pthread_attr_setstacksize count and fail only where
 * faults_only() names them. */
#ifndef GOV_TESTS_FAULTS_H
#define GOV_TESTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policies/alloc.h"

#define FAULTS_NEVER UINT64_MAX

/* Nothing fails; counters start at zero. */
void faults_reset(void);
/* Call number n (from 0) fails, and with `forever` all that follow. */
void faults_arm(uint64_t n, bool forever);
/* Stops failing, keeps the counters. */
void faults_disarm(void);
/* Calls that could have failed since the last reset or arm. */
uint64_t faults_count(void);
/* What the armed call was: "mmap", "alloc", ... ; "none" if it never came. */
const char *faults_last(void);
/* The errno that failing calls set; EIO unless changed. ENOSPC is of interest
 * for writes. Reset by faults_reset(). */
void faults_set_errno(int number);
/* Only the calls named in this comma-separated list count ("write,fsync");
 * NULL means all. Reset by faults_reset(). */
void faults_only(const char *names);
/* read(), write(), pread() and pwrite() move no more than this at once; SIZE_MAX ends
 * it. Reset by faults_reset(). */
void faults_move_at_most(size_t bytes);
/* Called before each pread() that does not fail, to see what is asked for or to
 * change the file under the reader; NULL ends it. Reset by faults_reset(). */
void faults_watch_pread(void (*watch)(int fd, uint64_t offset, size_t bytes));
/* Called before each call of this name, failing or not, to do what another process
 * could do in the meantime; NULL ends it. Reset by faults_reset(). */
void faults_before(const char *name, void (*hook)(void));
/* Called after each syscall() that did not fail for a test, with what it was given
 * and returned, to change what it has written; NULL ends it. Reset likewise. */
void faults_watch_syscall(void (*watch)(long number, const long given[6],
                                        long result));
/* An allocator that counts, fails when armed, and knows what is live. */
const struct gov_alloc *faults_alloc(void);
int64_t faults_live_blocks(void);
/* Descriptors open in this process, to see leaks. */
int faults_open_descriptors(void);

#endif
