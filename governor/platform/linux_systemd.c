/* SPDX-License-Identifier: MIT */
/* $MEMORY_PRESSURE_WATCH and $MEMORY_PRESSURE_WRITE, by which a service manager says
 * what to wait for: https://systemd.io/PRESSURE/. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "governor/platform/linux_watch.h"

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

/* Strict: groups of four, padded, and nothing in the bits that are left over. */
bool gov__base64(const char *text, unsigned char *out, size_t room,
                 size_t *bytes)
{
    size_t length = strlen(text), n = 0;

    if (length % 4 != 0)
        return false;
    for (size_t i = 0; i < length; i += 4) {
        size_t have = i + 4 < length || text[i + 3] != '=' ? 4
                      : text[i + 2] != '='                 ? 3
                                                           : 2;
        uint32_t word = 0;

        for (size_t j = 0; j < have; j++) {
            int digit = digit_of(text[i + j]);

            if (digit < 0)
                return false;
            word |= (uint32_t)digit << (18 - 6 * j);
        }
        if ((word & ((UINT32_C(1) << (8 * (4 - have))) - 1)) != 0 && have < 4)
            return false;
        for (size_t j = 0; j + 1 < have; j++, n++) {
            if (n == room)
                return false;
            out[n] = (unsigned char)(word >> (16 - 8 * j));
        }
    }
    *bytes = n;
    return true;
}

void gov__systemd_read(struct gov__linux_watch *watch, const char *path,
                       const char *to_write)
{
    struct gov__signal *signal = &watch->signals[GOV__SIGNAL_SYSTEMD];
    unsigned char text[GOV__TRIGGER_BYTES];
    size_t bytes = 0;

    signal->told.name = "$MEMORY_PRESSURE_WATCH";
    watch->systemd_path[0] = '\0';
    if (path == NULL) {
        gov__signal_is(signal, GOV__SOURCE_ABSENT, "not set");
    } else if (strcmp(path, "/dev/null") == 0) {
        watch->systemd_off = true;
        gov__signal_is(signal, GOV__SOURCE_ABSENT,
                       "/dev/null: no trigger is wanted");
    } else if (path[0] != '/') {
        gov__signal_is(signal, GOV__SOURCE_BROKEN, "not an absolute path");
    } else if (strlen(path) >= sizeof(watch->systemd_path)) {
        gov__signal_is(signal, GOV__SOURCE_BROKEN, "longer than 1023 bytes");
    } else if (to_write != NULL &&
               !gov__base64(to_write, text, sizeof(text), &bytes)) {
        gov__signal_is(
            signal, GOV__SOURCE_BROKEN,
            "$MEMORY_PRESSURE_WRITE is no Base64 of at most %d bytes",
            GOV__TRIGGER_BYTES);
    } else {
        memcpy(watch->systemd_path, path, strlen(path) + 1);
        gov__trigger_set(&watch->systemd, text, bytes);
    }
}

static int connected(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
}

/* Why a file will never tell of anything, and is not written to; NULL: it may. */
static const char *never_tells(int fd, const struct gov__trigger *order)
{
    struct epoll_event event = {.events = EPOLLPRI};
    struct gov__psi psi;
    char text[512];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    int set, rc;

    text[n > 0 ? n : 0] = '\0';
    if (gov__psi_parse(text, &psi))
        return order->bytes == 0
                   ? "$MEMORY_PRESSURE_WRITE does not say what to wait for"
                   : NULL;
    /* A file of a disk can be polled, and tells that it can be read. */
    set = epoll_create1(EPOLL_CLOEXEC);
    if (set < 0)
        return NULL;
    rc = epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
    close(set);
    return rc == EPERM ? "a file that nobody can wait for" : NULL;
}

/* Opened once, and armed in the same step for what is no file of the kernel's: who
 * is at the other end of a FIFO or a socket need not be told of our pace. */
void gov__systemd_find(struct gov__linux_watch *watch)
{
    struct gov__signal *signal = &watch->signals[GOV__SIGNAL_SYSTEMD];
    const char *path = watch->systemd_path;
    struct gov__trigger *order = &watch->systemd;
    const char *why;
    struct stat st;
    ssize_t n = (ssize_t)order->bytes;

    if (stat(path, &st) != 0) {
        gov__signal_failed(signal, errno, "stat");
        return;
    }
    watch->systemd_triggers = S_ISREG(st.st_mode);
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) &&
        !S_ISSOCK(st.st_mode)) {
        gov__signal_is(signal, GOV__SOURCE_BROKEN,
                       "neither a file, nor a FIFO, nor a socket");
        return;
    }
    /* A FIFO that is open for writing, too, never ends. */
    signal->fd =
        S_ISSOCK(st.st_mode)
            ? connected(path)
            : open(path, (S_ISREG(st.st_mode) && order->bytes == 0 ? O_RDONLY
                                                                   : O_RDWR) |
                             O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (signal->fd < 0) {
        gov__signal_failed(signal, errno, "open");
        return;
    }
    gov__signal_is(signal, GOV__SOURCE_SPARE, "not armed yet");
    if (watch->systemd_triggers) {
        why = never_tells(signal->fd, order);
        if (why != NULL) {
            gov__signal_close(signal);
            gov__signal_is(signal, GOV__SOURCE_BROKEN, "%s", why);
        }
        return;
    }
    if (order->bytes > 0)
        n = S_ISSOCK(st.st_mode)
                ? send(signal->fd, order->text, order->bytes, MSG_NOSIGNAL)
                : write(signal->fd, order->text, order->bytes);
    if (n != (ssize_t)order->bytes)
        gov__signal_failed(signal, n < 0 ? errno : EIO, "write");
}

enum gov__heard gov__systemd_heard(struct gov__linux_watch *watch,
                                   short revents, uint64_t now_us)
{
    const int fd = watch->signals[GOV__SIGNAL_SYSTEMD].fd;
    char bytes[GOV__TRIGGER_BYTES];
    const struct gov__trigger *order = &watch->systemd;

    if (watch->systemd_triggers)
        return gov__trigger_heard(&watch->systemd, fd, revents, now_us);
    /* Of a FIFO that nobody else reads, what was written comes back. */
    if (order->bytes > 0 && (revents & POLLIN) != 0) {
        ssize_t n = read(fd, bytes, order->bytes);

        if (n > 0)
            return n == (ssize_t)order->bytes &&
                           memcmp(bytes, order->text, order->bytes) == 0
                       ? GOV__HEARD_FALSE
                       : GOV__HEARD_EVENT;
    }
    return gov__drained(fd, revents);
}
