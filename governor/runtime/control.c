/* SPDX-License-Identifier: MIT */
/* Both ends of governor/control.h. The receiving one is a socket in the directory
 * of the pages, which only this user can enter; the kernel says of each datagram
 * that it is this user's. Nobody waits here: a sender does not for a full queue,
 * a receiver takes what is there and leaves the rest for the next turn. */
#include "governor/control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "governor/platform/mail.h"
#include "governor/runtime/control_layout.h"
#include "governor/runtime/runtime_priv.h"

/* Of one turn. A queue holds 10 to 512 (net.unix.max_dgram_qlen). */
#define MOST_ORDERS 64
/* So that who sends all the time makes no more than ten turns a second. */
#define QUIET_MS 100

/* ---- the message ------------------------------------------------------------- */

static void put(uint8_t *at, size_t bytes, uint64_t n)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(n >> (8 * i));
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
    uint64_t n = 0;

    for (size_t i = bytes; i-- > 0;)
        n = n << 8 | at[i];
    return n;
}

void gov__control_encode(uint8_t bytes[GOV__CONTROL_BYTES], int32_t pid,
                         const struct gov__control_order *order)
{
    put(bytes + GOV__CONTROL_AT_MAGIC, 8, GOV__CONTROL_MAGIC);
    put(bytes + GOV__CONTROL_AT_VERSION, 4, GOV__CONTROL_VERSION);
    put(bytes + GOV__CONTROL_AT_KIND, 4, (uint32_t)order->kind);
    put(bytes + GOV__CONTROL_AT_PID, 4, (uint32_t)pid);
    put(bytes + GOV__CONTROL_AT_LEVEL, 4, (uint32_t)order->level);
    put(bytes + GOV__CONTROL_AT_AMOUNT, 8, order->amount);
}

static bool is_level(uint64_t level)
{
    return level == GOV_LEVEL_NORMAL || level == GOV_LEVEL_WARN ||
           level == GOV_LEVEL_CRITICAL;
}

/* Whether there is such an order. */
static bool is_order(uint64_t kind, uint64_t level)
{
    if (kind == GOV__CONTROL_SIMULATE)
        return is_level(level);
    return kind == GOV__CONTROL_RELIEVE && level == GOV_LEVEL_WARN;
}

bool gov__control_decode(const uint8_t *bytes, size_t size, int32_t pid,
                         struct gov__control_order *out)
{
    uint64_t kind, level;

    if (size != GOV__CONTROL_BYTES ||
        get(bytes + GOV__CONTROL_AT_MAGIC, 8) != GOV__CONTROL_MAGIC ||
        get(bytes + GOV__CONTROL_AT_VERSION, 4) != GOV__CONTROL_VERSION ||
        get(bytes + GOV__CONTROL_AT_PID, 4) != (uint32_t)pid)
        return false;
    kind = get(bytes + GOV__CONTROL_AT_KIND, 4);
    level = get(bytes + GOV__CONTROL_AT_LEVEL, 4);
    if (!is_order(kind, level))
        return false;
    out->kind = (enum gov__control_kind)kind;
    out->level = (gov_level)level;
    out->amount = get(bytes + GOV__CONTROL_AT_AMOUNT, 8);
    return true;
}

/* ---- the name ---------------------------------------------------------------- */

static void file_name(char name[GOV__PAGE_NAME_BYTES], int32_t pid)
{
    snprintf(name, GOV__PAGE_NAME_BYTES, "%" PRId32 ".ctl", pid);
}

static gov_status find_address(struct sockaddr_un *out, const char *directory,
                               const char *name, gov_error *err)
{
    int n;

    memset(out, 0, sizeof(*out));
    out->sun_family = AF_UNIX;
    n = snprintf(out->sun_path, sizeof(out->sun_path), "%s/%s", directory,
                 name);
    if (n > 0 && (size_t)n < sizeof(out->sun_path))
        return GOV_OK;
    return gov_fail(err, GOV_E_INVALID, 0,
                    "the page directory %.80s... has a name too long for a "
                    "socket of %zu bytes; set XDG_RUNTIME_DIR to a shorter one",
                    directory, sizeof(out->sun_path) - 1);
}

/* ---- receiving --------------------------------------------------------------- */

/* A socket without a name that is asked for senders; -1 with errno set. */
static int make_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), rc;

    if (fd < 0)
        return -1;
    rc = gov__mail_ask(fd);
    if (rc == 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
                    fcntl(fd, F_SETFL, O_NONBLOCK) != 0))
        rc = errno;
    if (rc == 0)
        return fd;
    close(fd);
    errno = rc;
    return -1;
}

/* What an earlier process of the same pid, or another runtime of this one, has
 * there goes: its page did, too. */
static int name_socket(struct gov__control *control, int fd, int directory,
                       const char *name, const struct sockaddr_un *address)
{
    struct stat st;

    if (unlinkat(directory, name, 0) != 0 && errno != ENOENT)
        return errno;
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
        return errno;
    /* Until here who may enter the directory could send, and is_own() refuses. */
    if (fchmodat(directory, name, 0600, 0) != 0 ||
        fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno;
    control->device = st.st_dev;
    control->inode = st.st_ino;
    return 0;
}

/* Another thread may be waiting for the one before: the new one takes its number. */
static int put_socket(struct gov__control *control, int fd)
{
    const int before = atomic_load(&control->fd);

    if (before < 0) {
        atomic_store(&control->fd, fd);
        return 0;
    }
    if (dup2(fd, before) < 0)
        return errno;
    (void)fcntl(before, F_SETFD, FD_CLOEXEC);
    close(fd);
    return 0;
}

static gov_status open_socket(struct gov_runtime *runtime, gov_error *err)
{
    const struct gov__page_writer *writer = &runtime->writer;
    struct gov__control *control = &runtime->control;
    char name[GOV__PAGE_NAME_BYTES];
    struct sockaddr_un address;
    gov_status status;
    int directory, fd, rc;

    file_name(name, writer->pid);
    status = find_address(&address, writer->directory, name, err);
    if (status != GOV_OK)
        return status;
    status =
        gov__page_directory_open(&directory, writer->directory, false, err);
    if (status != GOV_OK)
        return status;
    fd = make_socket();
    rc = fd < 0 ? errno : name_socket(control, fd, directory, name, &address);
    close(directory);
    if (rc == 0)
        rc = put_socket(control, fd);
    if (rc == 0)
        return GOV_OK;
    if (fd >= 0)
        close(fd);
    return gov_fail(err, GOV_E_IO, rc, "cannot make the socket %s in %s", name,
                    writer->directory);
}

void gov__control_follow(struct gov_runtime *runtime)
{
    struct gov__control *control = &runtime->control;
    const uint32_t made = atomic_load(&runtime->writer.made);
    gov_error err;

    if (made == control->made || runtime->writer.creator != (int32_t)getpid())
        return;
    control->made = made;
    err.message[0] = '\0';
    if (open_socket(runtime, &err) == GOV_OK) {
        err.message[0] = '\0';
        /* Who waits does so for the one before, however long that takes. */
        gov__runtime_wake(runtime);
    }
    pthread_mutex_lock(&runtime->lock);
    memcpy(control->problem, err.message, sizeof(control->problem));
    pthread_mutex_unlock(&runtime->lock);
}

void gov__control_turn(struct gov_runtime *runtime)
{
    struct gov__control *control = &runtime->control;
    struct gov__control_order order, simulate = {0}, relieve = {0};
    uint8_t bytes[GOV__CONTROL_BYTES + 1]; /* one that is longer shows */
    bool own;
    size_t size;
    int taken = 0;

    /* A child of fork() shares the socket and is not meant. */
    if (control->fd < 0 || runtime->writer.creator != (int32_t)getpid())
        return;
    while (taken < MOST_ORDERS &&
           gov__mail_take(control->fd, bytes, sizeof(bytes), &size, &own) ==
               0) {
        taken++;
        if (!own ||
            !gov__control_decode(bytes, size, runtime->writer.pid, &order))
            continue;
        /* Of a kind the last one counts. */
        if (order.kind == GOV__CONTROL_SIMULATE)
            simulate = order;
        else
            relieve = order;
    }
    if (taken > 0)
        control->quiet_until_ms = gov__runtime_ms(runtime) + QUIET_MS;
    if (simulate.kind != 0)
        gov__simulate_told(runtime, simulate.level, simulate.amount);
    if (relieve.kind != 0)
        gov__asked_told(runtime, relieve.amount);
}

int gov__control_fd(const struct gov_runtime *runtime, uint64_t *wait_ms)
{
    const struct gov__control *control = &runtime->control;
    const uint64_t now_ms = gov__runtime_ms(runtime);

    if (control->fd < 0 || now_ms >= control->quiet_until_ms)
        return control->fd;
    if (*wait_ms > control->quiet_until_ms - now_ms)
        *wait_ms = control->quiet_until_ms - now_ms;
    return -1;
}

/* Only the own socket goes, not one that has its name now. */
void gov__control_close(struct gov_runtime *runtime)
{
    const struct gov__page_writer *writer = &runtime->writer;
    struct gov__control *control = &runtime->control;
    char name[GOV__PAGE_NAME_BYTES];
    struct stat st;
    int directory;

    if (control->fd < 0)
        return;
    if (writer->creator == (int32_t)getpid() &&
        gov__page_directory_open(&directory, writer->directory, false, NULL) ==
            GOV_OK) {
        file_name(name, writer->pid);
        if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_dev == control->device && st.st_ino == control->inode)
            unlinkat(directory, name, 0);
        close(directory);
    }
    close(control->fd);
    control->fd = -1;
}

/* ---- sending ----------------------------------------------------------------- */

/* Why there is no page of a process. */
static gov_status no_page(int32_t pid, const char *directory, gov_error *err)
{
    if (kill((pid_t)pid, 0) == 0)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "process %" PRId32 " is not governed: it has no page "
                        "in %s; where it is another user's, ask as that user",
                        pid, directory);
    if (errno == EPERM)
        return gov_fail(err, GOV_E_PERMISSION, 0,
                        "process %" PRId32
                        " is another user's; only that user can tell it "
                        "anything",
                        pid);
    return gov_fail(err, GOV_E_NOT_FOUND, 0,
                    "there is no process %" PRId32 "; govtop shows those that "
                    "are governed",
                    pid);
}

static gov_status too_old(int32_t pid, gov_error *err)
{
    return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                    "process %" PRId32 " cannot be told that: it is governed "
                    "by an older version; restart it with this one",
                    pid);
}

/* What it means that the socket of a process that has a page takes nothing. */
static gov_status not_taken(int32_t pid, int error, gov_error *err)
{
    if (error == ENOENT)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "process %" PRId32 " cannot be told anything: it is "
                        "governed by an older version; restart it with this "
                        "one",
                        pid);
    if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "process %" PRId32 " has not read yet what it was told "
                        "before; is it stopped?",
                        pid);
    return gov_fail(err, GOV_E_IO, error,
                    "cannot tell process %" PRId32 " anything", pid);
}

/* Sends to a name that is a socket of this user in a directory of this user. */
static int send_order(int directory, const char *name,
                      const struct sockaddr_un *address,
                      const uint8_t bytes[GOV__CONTROL_BYTES])
{
    struct stat st;
    ssize_t n;
    int fd, rc = 0;

    if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno;
    if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
        return ENOTSOCK;
    fd = make_socket();
    if (fd < 0)
        return errno;
    do
        n = sendto(fd, bytes, GOV__CONTROL_BYTES, MSG_DONTWAIT,
                   (const struct sockaddr *)address, sizeof(*address));
    while (n < 0 && errno == EINTR);
    if (n != GOV__CONTROL_BYTES)
        rc = n < 0 ? errno : EIO;
    close(fd);
    return rc;
}

/* since: the version of the page of those that know such an order. */
static gov_status tell(int32_t pid, const struct gov__control_order *order,
                       uint32_t since, const char *directory, gov_error *err)
{
    uint8_t bytes[GOV__CONTROL_BYTES];
    char name[GOV__PAGE_NAME_BYTES];
    struct sockaddr_un address;
    struct gov_page page;
    gov_status status;
    int fd, rc;

    status = gov__page_directory_open(&fd, directory, false, err);
    if (status == GOV_E_NOT_FOUND)
        return no_page(pid, directory, err);
    if (status != GOV_OK)
        return status;
    if (!gov__page_find(fd, pid, &page)) {
        close(fd);
        return no_page(pid, directory, err);
    }
    if (page.version < since) {
        close(fd);
        return too_old(pid, err);
    }
    gov__control_encode(bytes, pid, order);
    file_name(name, pid);
    status = find_address(&address, directory, name, err);
    rc = status == GOV_OK ? send_order(fd, name, &address, bytes) : 0;
    close(fd);
    return rc != 0 ? not_taken(pid, rc, err) : status;
}

/* tell(), where the directory is the usual one for NULL. */
static gov_status send_to(int32_t pid, const struct gov__control_order *what,
                          uint32_t since, const char *directory, gov_error *err)
{
    char usual[GOV__PAGE_PATH_BYTES];
    gov_status status;

    if (pid <= 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "%" PRId32 " is no process id; govtop shows those of "
                        "governed processes",
                        pid);
    if (!is_level((uint64_t)what->level))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "%d is no level; simulate normal, warn or critical",
                        (int)what->level);
    if (directory == NULL) {
        status = gov_page_directory(usual, sizeof(usual), err);
        if (status != GOV_OK)
            return status;
        directory = usual;
    }
    return tell(pid, what, since, directory, err);
}

gov_status gov_control_simulate(int32_t pid, gov_level level, uint64_t for_ms,
                                const char *directory, gov_error *err)
{
    const struct gov__control_order what = {
        GOV__CONTROL_SIMULATE, for_ms == 0 ? GOV_LEVEL_NORMAL : level, for_ms};

    return send_to(pid, &what, 1, directory, err);
}

gov_status gov_control_relieve(int32_t pid, uint64_t bytes,
                               const char *directory, gov_error *err)
{
    const struct gov__control_order what = {GOV__CONTROL_RELIEVE,
                                            GOV_LEVEL_WARN, bytes};

    return send_to(pid, &what, 2, directory, err);
}
