/* SPDX-License-Identifier: MIT */
#include "governor/platform/mail.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

int gov__mail_ask(int fd)
{
#ifdef __linux__
    const int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
        return errno;
#else
    (void)fd;
#endif
    return 0;
}

#ifdef __linux__
/* The kernel vouches for the credentials; a datagram that has none is nobody's. */
static bool is_own(struct msghdr *message)
{
    struct cmsghdr *part;
    struct ucred sender;

    for (part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET &&
            part->cmsg_type == SCM_CREDENTIALS &&
            part->cmsg_len == CMSG_LEN(sizeof(sender))) {
            memcpy(&sender, CMSG_DATA(part), sizeof(sender));
            return sender.uid == geteuid();
        }
    return false;
}

/* There is room for credentials alone, so the kernel puts none of the sender's
 * descriptors into this process (unix(7)): nothing is to be closed. */
#define PARTS CMSG_SPACE(sizeof(struct ucred))
#else
static bool is_own(struct msghdr *message)
{
    (void)message;
    return true;
}

#define PARTS CMSG_SPACE(sizeof(int))
#endif

int gov__mail_take(int fd, void *out, size_t room, size_t *size, bool *own)
{
    union {
        struct cmsghdr aligned;
        unsigned char bytes[PARTS];
    } parts;
    struct iovec bytes = {out, room};
    struct msghdr message;
    ssize_t n;

    memset(&message, 0, sizeof(message));
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
#ifdef __linux__
    message.msg_control = parts.bytes;
    message.msg_controllen = sizeof(parts.bytes);
#else
    (void)parts; /* no room for descriptors of the sender's */
#endif
    do
        n = recvmsg(fd, &message, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EWOULDBLOCK ? EAGAIN : errno;
    *size = (size_t)n;
    *own = is_own(&message);
    return 0;
}
