/* SPDX-License-Identifier: MIT */
/* Starts the library's threads, which the host does not know of. */
#include <signal.h>

#include "governor/platform/platform.h"

int gov__thread_start(pthread_t *out, void *(*run)(void *), void *arg)
{
    /* Blocked, a fault of the thread's own would be undefined (POSIX,
     * pthread_sigmask()); a host may handle these, for us as for itself. */
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    sigset_t blocked, before;
    int rc;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        sigdelset(&blocked, own[i]);
    rc = pthread_sigmask(SIG_SETMASK, &blocked, &before);
    if (rc != 0)
        return rc;
    rc = pthread_create(out, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}
