/* SPDX-License-Identifier: MIT */
#include "governor/runtime/page_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(GOV_PAGE_COUNTERS <= GOV__PAGE_SLOTS,
               "a page has 128 counters; more need version 3");

/* The longest start of a text that has less than `room` bytes and does not end
 * within a UTF-8 character. */
static size_t whole_characters(const char *text, size_t room)
{
    size_t n, last = 0; /* where the last character starts */

    for (n = 0; n < room && text[n] != '\0'; n++)
        if (((unsigned char)text[n] & 0xC0) != 0x80)
            last = n;
    return n < room ? n : last;
}

bool gov__page_cut(char *to, size_t bytes, const char *value)
{
    const size_t n = whole_characters(value, bytes);

    if (strnlen(to, bytes) == n && memcmp(to, value, n) == 0)
        return false;
    memcpy(to, value, n);
    memset(to + n, 0, bytes - n);
    return true;
}

bool gov__page_put(struct gov_page *page, gov_page_text text, const char *value)
{
    const struct gov__page_field *field = gov__page_field(text);

    return field != NULL && value != NULL &&
           gov__page_cut((char *)page + field->offset, field->bytes, value);
}

static void put(uint8_t *at, size_t bytes, uint64_t n)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(n >> (8 * i));
}

static void put_text(uint8_t *at, size_t bytes, const char *text)
{
    memcpy(at, text, strnlen(text, bytes - 1));
}

static void encode_action(uint8_t *at, const struct gov_page_action *action)
{
    put_text(at + GOV__ACTION_AT_NAME, sizeof(action->name), action->name);
    put(at + GOV__ACTION_AT_FROM_LEVEL, 4, action->from_level);
    put(at + GOV__ACTION_AT_FLAGS, 4, action->flags);
    put(at + GOV__ACTION_AT_RUNS, 4, action->runs);
    put(at + GOV__ACTION_AT_REST_MS, 4, action->rest_ms);
    put(at + GOV__ACTION_AT_CLAIMED, 8, action->claimed_bytes);
    put(at + GOV__ACTION_AT_YIELD, 8, action->yield_bytes);
    put(at + GOV__ACTION_AT_LAST_YIELD, 8, action->last_yield_bytes);
}

static void encode_event(uint8_t *at, const struct gov_page_event *event)
{
    put(at + GOV__EVENT_AT_TIME, 8, event->at_us);
    put(at + GOV__EVENT_AT_KIND, 4, event->kind);
    put(at + GOV__EVENT_AT_LEVEL, 4, event->level);
    put(at + GOV__EVENT_AT_YIELD, 8, event->yield_bytes);
    put_text(at + GOV__EVENT_AT_TEXT, sizeof(event->text), event->text);
}

static void encode(uint8_t bytes[GOV__PAGE_BYTES],
                   const struct gov__page_writer *writer,
                   const struct gov_page *page)
{
    const uint64_t known = UINT64_MAX >> (64 - GOV_PAGE_COUNTERS);

    memset(bytes, 0, GOV__PAGE_BYTES);
    put(bytes + GOV__PAGE_AT_MAGIC, 8, GOV__PAGE_MAGIC);
    put(bytes + GOV__PAGE_AT_VERSION, 4, GOV__PAGE_VERSION);
    put(bytes + GOV__PAGE_AT_SIZE, 4, GOV__PAGE_BYTES);
    put(bytes + GOV__PAGE_AT_SEQUENCE, 8, writer->sequence);
    put(bytes + GOV__PAGE_AT_PID, 4, (uint32_t)writer->pid);
    put(bytes + GOV__PAGE_AT_START, 8, writer->start_ticks);
    put(bytes + GOV__PAGE_AT_HAVE, 8, page->have & known);
    for (size_t i = 0; i < GOV_PAGE_COUNTERS; i++)
        if (page->have >> i & 1)
            put(bytes + GOV__PAGE_AT_COUNTERS + 8 * i, 8, page->counter[i]);
    for (int i = 0; i < GOV_PAGE_TEXTS; i++) {
        const struct gov__page_field *field = gov__page_field((gov_page_text)i);

        put_text(bytes + field->at, field->bytes,
                 (const char *)page + field->offset);
    }
    for (size_t i = 0; i < GOV_PAGE_ACTIONS && page->action[i].name[0] != '\0';
         i++)
        encode_action(bytes + GOV__PAGE_AT_ACTIONS + i * GOV__ACTION_BYTES,
                      &page->action[i]);
    for (size_t i = 0; i < GOV_PAGE_EVENTS && page->event[i].at_us != 0; i++)
        encode_event(bytes + GOV__PAGE_AT_EVENTS + i * GOV__EVENT_BYTES,
                     &page->event[i]);
    put(bytes + GOV__PAGE_AT_CHECKSUM, 8, gov__page_checksum(bytes));
    put(bytes + GOV__PAGE_AT_TAIL, 8, writer->sequence);
}

static void file_name(char name[GOV__PAGE_NAME_BYTES], int32_t pid)
{
    snprintf(name, GOV__PAGE_NAME_BYTES, "%" PRId32 ".page", pid);
}

/* Makes the file. It needs no temporary name: until the first update it is
 * empty, and readers take no page whose checksum does not hold. With `replace`,
 * a file of that name goes; else it stays, and errno is EEXIST. */
static gov_status make_file(struct gov__page_writer *writer, bool replace,
                            gov_error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    char name[GOV__PAGE_NAME_BYTES];
    gov_status status;
    int directory, error;

    status = gov__page_directory_open(&directory, writer->directory, true, err);
    if (status != GOV_OK)
        return status;
    file_name(name, writer->pid);
    writer->fd = openat(directory, name, flags, 0600);
    if (writer->fd < 0 && errno == EEXIST && replace &&
        unlinkat(directory, name, 0) == 0)
        writer->fd = openat(directory, name, flags, 0600);
    error = errno;
    close(directory);
    if (writer->fd >= 0) {
        atomic_fetch_add(&writer->made, 1);
        return GOV_OK;
    }
    return gov_fail(err, error == EEXIST ? GOV_E_BUSY : GOV_E_IO, error,
                    "cannot make %s in %s, so govtop will not show this "
                    "process",
                    name, writer->directory);
}

/* Past RLIMIT_FSIZE a write raises SIGXFSZ, which ends a host that did not
 * expect it. */
static bool writes_would_kill(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < GOV__PAGE_BYTES;
}

gov_status gov__page_writer_open(struct gov__page_writer *writer,
                                 const char *directory, int32_t pid,
                                 uint64_t start_ticks, gov_error *err)
{
    gov_status status = GOV_OK;

    memset(writer, 0, sizeof(*writer));
    writer->fd = -1;
    if (pid <= 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "%" PRId32 " is no process id to publish a page for",
                        pid);
    if (writes_would_kill())
        return gov_fail(err, GOV_E_IO, 0,
                        "files of this process may not be as large as a page; "
                        "raise its limit (ulimit -f)");
    if (directory == NULL)
        status = gov_page_directory(writer->directory,
                                    sizeof(writer->directory), err);
    else if (strlen(directory) >= sizeof(writer->directory))
        status = gov_fail(err, GOV_E_INVALID, 0,
                          "the name of the page directory is longer than %zu "
                          "bytes; choose a shorter one",
                          sizeof(writer->directory) - 1);
    else
        memcpy(writer->directory, directory, strlen(directory) + 1);
    if (status != GOV_OK)
        return status;
    writer->pid = pid;
    writer->creator = (int32_t)getpid();
    writer->start_ticks = start_ticks;
    status = make_file(writer, true, err);
    writer->open = status == GOV_OK;
    return status;
}

/* Whether the file was removed since it was made. */
static bool is_gone(const struct gov__page_writer *writer)
{
    struct stat st;

    return writer->fd < 0 || (fstat(writer->fd, &st) == 0 && st.st_nlink == 0);
}

gov_status gov__page_writer_update(struct gov__page_writer *writer,
                                   const struct gov_page *page, gov_error *err)
{
    uint8_t bytes[GOV__PAGE_BYTES];
    gov_status status;
    ssize_t n;

    if (!writer->open || writer->creator != (int32_t)getpid())
        return GOV_OK;
    if (is_gone(writer)) {
        if (writer->fd >= 0)
            close(writer->fd);
        writer->fd = -1;
        status = make_file(writer, false, err);
        /* A second runtime of this process has taken the name. Its page is as
         * good; taking it back would go on for ever. */
        if (status == GOV_E_BUSY)
            return GOV_OK;
        if (status != GOV_OK)
            return status;
    }
    writer->sequence++;
    encode(bytes, writer, page);
    do
        n = pwrite(writer->fd, bytes, sizeof(bytes), 0);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(bytes))
        return GOV_OK;
    return gov_fail(err, GOV_E_IO, n < 0 ? errno : ENOSPC,
                    "cannot write the page of process %" PRId32 " in %s",
                    writer->pid, writer->directory);
}

/* Only the writer's own file goes, not one that has its name now. */
static void remove_file(const struct gov__page_writer *writer)
{
    char name[GOV__PAGE_NAME_BYTES];
    struct stat own, named;
    int directory;

    if (gov__page_directory_open(&directory, writer->directory, false, NULL) !=
        GOV_OK)
        return;
    file_name(name, writer->pid);
    if (fstat(writer->fd, &own) == 0 &&
        fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        own.st_dev == named.st_dev && own.st_ino == named.st_ino)
        unlinkat(directory, name, 0);
    close(directory);
}

void gov__page_writer_close(struct gov__page_writer *writer)
{
    if (writer->open && writer->fd >= 0) {
        if (writer->creator == (int32_t)getpid())
            remove_file(writer);
        close(writer->fd);
    }
    writer->open = false;
    writer->fd = -1;
}
