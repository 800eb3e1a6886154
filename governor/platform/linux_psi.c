/* SPDX-License-Identifier: MIT */
/* Pressure stall information: its text, and triggers on it. A trigger is believed
 * only where the total has grown by what it waits for: the kernel seeds those of
 * unprivileged users from the wrong total, so that they fire right after they were
 * armed (https://github.com/oven-sh/bun/pull/42784). */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"
#include "governor/platform/linux_watch.h"

/* "12.34" per cent as permille: 123. */
static uint32_t permille(const char *text)
{
    uint64_t percent;

    if (!gov__parse_number(text, &percent) || percent > 100)
        return percent > 100 ? 1000 : 0;
    text += strspn(text, " \t");
    text += strspn(text, "0123456789");
    if (percent < 100 && text[0] == '.' && text[1] >= '0' && text[1] <= '9')
        return (uint32_t)percent * 10 + (uint32_t)(text[1] - '0');
    return (uint32_t)percent * 10;
}

/* The text after `key` in the line that starts with `word`; NULL without. */
static const char *value_of(const char *text, const char *word, const char *key)
{
    const char *line = text, *at, *end;

    while (strncmp(line, word, strlen(word)) != 0) {
        line = strchr(line, '\n');
        if (line == NULL)
            return NULL;
        line++;
    }
    end = line + strcspn(line, "\n");
    at = strstr(line, key);
    return at == NULL || at >= end ? NULL : at + strlen(key);
}

bool gov__psi_parse(const char *text, struct gov__psi *out)
{
    const char *at = value_of(text, "some ", "total=");

    memset(out, 0, sizeof(*out));
    if (at == NULL || !gov__parse_number(at, &out->some_us))
        return false;
    /* Older kernels have no "full" for a group's cpu. */
    at = value_of(text, "full ", "total=");
    if (at == NULL || !gov__parse_number(at, &out->full_us))
        out->full_us = 0;
    at = value_of(text, "some ", "avg10=");
    if (at != NULL)
        out->some_permille = permille(at);
    return true;
}

int gov__psi_read(struct gov__linux_kept *kept, const char *path,
                  struct gov__psi *out)
{
    char text[512];
    int rc = gov__file_text(kept, path, text, sizeof(text));

    if (rc != 0)
        return rc;
    return gov__psi_parse(text, out) ? 0 : ENODATA;
}

int gov__linux_pressure(const char *path, uint64_t *some, uint64_t *full)
{
    struct gov__psi psi;
    int rc = gov__psi_read(NULL, path, &psi);

    if (rc != 0)
        return rc;
    *some = psi.some_us;
    *full = psi.full_us;
    return 0;
}

/* ---- triggers -------------------------------------------------------------- */

void gov__trigger_set(struct gov__trigger *trigger, const void *text,
                      size_t bytes)
{
    char word[GOV__TRIGGER_BYTES + 1];
    const char *at = word + 5;

    memset(trigger, 0, sizeof(*trigger));
    if (bytes > sizeof(trigger->text))
        bytes = sizeof(trigger->text); /* the caller has looked */
    memcpy(trigger->text, text, bytes);
    trigger->bytes = bytes;
    memcpy(word, trigger->text, bytes);
    word[bytes] = '\0';
    /* "some 150000 2000000"; what is not like that cannot be verified. */
    trigger->full = strncmp(word, "full ", 5) == 0;
    if ((!trigger->full && strncmp(word, "some ", 5) != 0) ||
        !gov__parse_number(at, &trigger->stall_us))
        return;
    at += strspn(at, " \t");
    at += strspn(at, "0123456789");
    if (!gov__parse_number(at, &trigger->window_us))
        trigger->stall_us = 0;
}

/* The total that the trigger waits for, from the descriptor that it is on. */
static int total_of(const struct gov__trigger *trigger, int fd, uint64_t *out)
{
    struct gov__psi psi;
    char text[512];
    const int rc = gov__watch_text(fd, text, sizeof(text));

    if (rc != 0)
        return rc;
    if (!gov__psi_parse(text, &psi))
        return ENODATA;
    *out = trigger->full ? psi.full_us : psi.some_us;
    return 0;
}

void gov__trigger_since(struct gov__trigger *trigger, int fd, uint64_t now_us)
{
    trigger->since_us = now_us;
    (void)total_of(trigger, fd, &trigger->total_us);
}

int gov__trigger_arm(struct gov__trigger *trigger, int fd, uint64_t now_us)
{
    ssize_t n = 0;
    int rc = 0;

    trigger->since_us = now_us;
    /* Of what is no PSI file, or of an order that is none of ours, nothing can be
     * verified. */
    if (trigger->stall_us != 0)
        rc = total_of(trigger, fd, &trigger->total_us);
    trigger->verifiable = rc == 0 && trigger->stall_us != 0;
    if (rc != 0 && rc != ENODATA)
        return rc;
    if (trigger->bytes == 0)
        return 0;
    do {
        n = write(fd, trigger->text, trigger->bytes);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    return (size_t)n == trigger->bytes ? 0 : EIO;
}

/* poll() takes the event away, and who waits on an epoll that this is in has had
 * it taken already: hence the total is asked whether there was one or not. */
enum gov__heard gov__trigger_heard(struct gov__trigger *trigger, int fd,
                                   short revents, uint64_t now_us)
{
    uint64_t total = 0;
    bool grown;
    int rc;

    if (!trigger->verifiable)
        return (revents & POLLPRI) != 0 ? GOV__HEARD_EVENT
               : (revents & (POLLERR | POLLHUP | POLLNVAL)) != 0
                   ? GOV__HEARD_GONE
                   : GOV__HEARD_NOTHING;
    rc = total_of(trigger, fd, &total);
    if (rc != 0 || (revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        return GOV__HEARD_GONE;
    grown = total > trigger->total_us &&
            total - trigger->total_us >= trigger->stall_us;
    /* What grew in more than a window is no event: forget it. */
    if (grown || total < trigger->total_us || now_us < trigger->since_us ||
        now_us - trigger->since_us >= trigger->window_us) {
        trigger->total_us = total;
        trigger->since_us = now_us;
    }
    if (grown)
        return GOV__HEARD_EVENT;
    return (revents & POLLPRI) != 0 ? GOV__HEARD_FALSE : GOV__HEARD_NOTHING;
}
