/* SPDX-License-Identifier: MIT */
/* Reads a trace: see governor/trace.h. A line at a time, so that no trace takes
 * more memory than its longest line. Trusts nothing. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/model/model_text.h"
#include "governor/runtime/trace_priv.h"

#define LINE_BYTES ((size_t)64 * 1024)
#define FILE_BYTES ((uint64_t)1 << 30)
#define VERSION 1

struct reader {
    char name[96]; /* for messages */
    struct gov_trace_head *head;
    bool (*event)(void *ctx, const struct gov_replay_event *event);
    void *ctx;
    gov_error *err;
    size_t line; /* that is read, from 1 */
    uint64_t last_ms;
    size_t last_line;            /* where that was */
    bool stopped;                /* by the caller */
    struct gov_replay_event now; /* actions stay from one sample to the next */
    /* Of the line. */
    const json_t *object;
    gov_status status; /* the first error */
};

static void init(struct reader *r, const char *name,
                 struct gov_trace_head *head, gov_error *err)
{
    memset(r, 0, sizeof(*r));
    gov__text_path(r->name, sizeof(r->name), name);
    r->head = head;
    r->err = err;
    if (head != NULL)
        memset(head, 0, sizeof(*head));
}

/* Keeps the first error of a line. */
static bool bad(struct reader *r, const char *sentence, const char *key)
{
    if (r->status == GOV_OK)
        r->status = gov_fail(r->err, GOV_E_FORMAT, 0, "%s:%zu: %s%s%s", r->name,
                             r->line, key == NULL ? "" : key,
                             key == NULL ? "" : " ", sentence);
    return false;
}

/* ---- values ------------------------------------------------------------------ */

/* False where it is not there, or wrong: bad() was called then. */
static bool number(struct reader *r, const char *key, uint64_t max,
                   uint64_t *out)
{
    const json_t *value = json_object_get(r->object, key);
    json_int_t n = json_integer_value(value);

    if (value == NULL)
        return false;
    if (!json_is_integer(value) || n < 0)
        return bad(r, "is no whole number from 0 on", key);
    if ((uint64_t)n > max)
        return bad(r, "is larger than it can be", key);
    *out = (uint64_t)n;
    return true;
}

/* False where it is not there. */
static bool flag(struct reader *r, const char *key)
{
    const json_t *value = json_object_get(r->object, key);

    if (value != NULL && !json_is_boolean(value))
        bad(r, "is neither true nor false", key);
    return json_is_true(value);
}

static bool needed_number(struct reader *r, const char *key, uint64_t *out)
{
    return number(r, key, INT64_MAX, out) || bad(r, "is missing", key);
}

/* Two figures that are known together or not at all. */
static bool pair(struct reader *r, const char *a, const char *b,
                 uint64_t *out_a, uint64_t *out_b)
{
    bool has_a = number(r, a, INT64_MAX, out_a);
    bool has_b = number(r, b, INT64_MAX, out_b);

    if (has_a && !has_b)
        return bad(r, "is missing", b);
    if (has_b && !has_a)
        return bad(r, "is missing", a);
    return has_a;
}

/* Copies a text, cut at a character where it is too long. A text that is not
 * there is empty. */
static bool text(struct reader *r, const json_t *from, const char *key,
                 char *out, size_t room)
{
    const json_t *value = json_object_get(from, key);
    const char *string = json_string_value(value);
    size_t bytes = json_string_length(value);

    if (value == NULL)
        return false;
    if (string == NULL)
        return bad(r, "is no text", key);
    if (bytes >= room)
        for (bytes = room - 1; ((unsigned char)string[bytes] & 0xC0) == 0x80;)
            bytes--;
    memset(out, 0, room);
    memcpy(out, string, bytes);
    return true;
}

/* The name of an action: one that is cut would be another action's. */
static bool action_name(struct reader *r, const json_t *from, const char *key,
                        char out[GOV_ACTION_NAME])
{
    size_t bytes = json_string_length(json_object_get(from, key));

    if (!text(r, from, key, out, GOV_ACTION_NAME))
        return bad(r, "is missing", key);
    if (bytes == 0 || bytes >= GOV_ACTION_NAME)
        return bad(r, "is no action: its name has 1 to 31 bytes", key);
    return true;
}

/* ---- lines ------------------------------------------------------------------- */

static void read_head(struct reader *r)
{
    struct gov_trace_head head = {.app = ""};
    uint64_t version = 0, sample_ms = 0;

    if (json_object_get(r->object, "trace") == NULL) {
        bad(r, "no trace: its first line does not say so", NULL);
        return;
    }
    if (!number(r, "trace", INT64_MAX, &version))
        return;
    if (version > VERSION)
        bad(r, "a trace that a newer governor made; read it with that one",
            NULL);
    if (version == 0)
        bad(r, "is no version of a trace", "trace");
    text(r, r->object, "app", head.app, sizeof(head.app));
    text(r, r->object, "policy", head.policy, sizeof(head.policy));
    text(r, r->object, "note", head.note, sizeof(head.note));
    number(r, "sample_ms", UINT32_MAX, &sample_ms);
    head.sample_ms = (uint32_t)sample_ms;
    if (r->head != NULL)
        *r->head = head;
}

static void read_actions(struct reader *r)
{
    const json_t *line = r->object;
    const json_t *actions = json_object_get(line, "actions");
    size_t count = json_array_size(actions);

    if (!json_is_array(actions)) {
        bad(r, "is no list", "actions");
        return;
    }
    if (count > GOV_REPLAY_ACTIONS) {
        bad(r, "has more than 32 entries", "actions");
        return;
    }
    r->now.count = (uint32_t)count;
    for (size_t i = 0; i < count && r->status == GOV_OK; i++) {
        struct gov_replay_action *action = &r->now.action[i];
        uint64_t level = 0, cost = 0;

        memset(action, 0, sizeof(*action));
        r->object = json_array_get(actions, i);
        if (!json_is_object(r->object)) {
            bad(r, "has an entry that is no object", "actions");
            return;
        }
        action_name(r, r->object, "name", action->name);
        needed_number(r, "cost", &cost);
        needed_number(r, "from_level", &level);
        if (cost > UINT32_MAX)
            bad(r, "is larger than it can be", "cost");
        if (level < GOV_LEVEL_WARN || level > INT_MAX)
            bad(r, "is no level: 50 is warn, 100 is critical", "from_level");
        (void)number(r, "floor_bytes", INT64_MAX, &action->floor_bytes);
        action->regrows = flag(r, "regrows");
        action->leaves = flag(r, "leaves");
        action->rebuild_cost = (uint32_t)cost;
        action->from_level = (gov_level)(level <= INT_MAX ? level : 0);
    }
    r->object = line;
}

/* at_ms, which only grows: nothing else writes traces, and what runs backwards
 * would be two traces in one. */
static void read_time(struct reader *r)
{
    uint64_t at_ms = 0;

    if (!needed_number(r, "at_ms", &at_ms))
        return;
    if (at_ms < r->last_ms && r->status == GOV_OK) {
        r->status = gov_fail(r->err, GOV_E_FORMAT, 0,
                             "%s:%zu: at_ms %" PRIu64 " is before the %" PRIu64
                             " of line %zu; a trace runs forwards",
                             r->name, r->line, at_ms, r->last_ms, r->last_line);
        return;
    }
    r->now.evidence.now_ms = r->last_ms = at_ms;
    r->last_line = r->line;
}

static void read_offers(struct reader *r)
{
    const json_t *offers = json_object_get(r->object, "offers_bytes");

    if (offers != NULL && !json_is_array(offers)) {
        bad(r, "is no list", "offers_bytes");
        return;
    }
    if (json_array_size(offers) != r->now.count) {
        bad(r, "has not one entry for each action", "offers_bytes");
        return;
    }
    for (uint32_t i = 0; i < r->now.count; i++) {
        const json_t *offer = json_array_get(offers, i);

        if (!json_is_integer(offer) || json_integer_value(offer) < 0) {
            bad(r, "has an entry that is no whole number from 0 on",
                "offers_bytes");
            return;
        }
        r->now.action[i].offered_bytes = (uint64_t)json_integer_value(offer);
    }
}

/* False where it is not there. */
static bool level(struct reader *r, const char *key, gov_level *out)
{
    const gov_level all[] = {GOV_LEVEL_NORMAL, GOV_LEVEL_WARN,
                             GOV_LEVEL_CRITICAL};
    char name[16];

    if (!text(r, r->object, key, name, sizeof(name)))
        return false;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(name, gov_level_name(all[i])) == 0) {
            *out = all[i];
            return true;
        }
    return bad(r, "is none of normal, warn, critical", key);
}

static void read_simulated(struct reader *r)
{
    if (!level(r, "simulated", &r->now.evidence.simulated_level))
        return;
    r->now.evidence.have |= GOV_HAVE_SIMULATED;
    if (r->head != NULL)
        r->head->simulated = true;
}

/* Members that a trace of an older version lacks are unknown. */
static void read_signs(struct reader *r, struct gov_evidence *now)
{
    bool system = flag(r, "system_refaults");
    uint64_t recent = 0;

    if (number(r, "refault_bytes", INT64_MAX, &now->refault_bytes))
        now->have |= GOV_HAVE_REFAULT;
    if (system && (now->have & GOV_HAVE_REFAULT) != 0)
        now->have |= GOV_HAVE_SYSTEM_REFAULT;
    if (pair(r, "major_faults", "resident_file_bytes", &now->own_major_faults,
             &now->own_resident_file_bytes))
        now->have |= GOV_HAVE_OWN;
    if (number(r, "read_bytes", INT64_MAX, &now->own_read_bytes))
        now->have |= GOV_HAVE_OWN_READS;
    if (number(r, "limit_hits", INT64_MAX, &now->limit_hits))
        now->have |= GOV_HAVE_LIMIT_HITS;
    if (pair(r, "available_bytes", "ram_bytes", &now->machine_available_bytes,
             &now->machine_total_bytes))
        now->have |= GOV_HAVE_MACHINE;
    if (level(r, "os_level", &now->os_level))
        now->have |= GOV_HAVE_OS_LEVEL;
    if (number(r, "recent_permille", 1000, &recent))
        now->have |= GOV_HAVE_RECENT;
    now->recent_some_permille = (uint32_t)recent;
    (void)number(r, "streamed_bytes", INT64_MAX, &now->streamed_bytes);
    (void)number(r, "footprint_bytes", INT64_MAX, &now->own_footprint_bytes);
    if (number(r, "expected_bytes", INT64_MAX, &now->expected_bytes))
        now->have |= GOV_HAVE_EXPECTED;
}

static void read_sample(struct reader *r)
{
    struct gov_evidence *now = &r->now.evidence;
    bool system = flag(r, "system");

    if (pair(r, "some_us", "full_us", &now->memory_some_us,
             &now->memory_full_us))
        now->have |= GOV_HAVE_STALL;
    if (system && (now->have & GOV_HAVE_STALL) != 0)
        now->have |= GOV_HAVE_SYSTEM_STALL;
    if (pair(r, "headroom_bytes", "budget_bytes", &now->headroom_bytes,
             &now->budget_bytes))
        now->have |= GOV_HAVE_HEADROOM;
    read_signs(r, now);
    read_simulated(r);
    read_offers(r);
}

static void read_relief(struct reader *r)
{
    action_name(r, r->object, "action", r->now.name);
    needed_number(r, "offered_bytes", &r->now.offered_bytes);
    r->now.unmeasured =
        !number(r, "yield_bytes", INT64_MAX, &r->now.yield_bytes);
    needed_number(r, "took_us", &r->now.took_us);
}

static void read_event(struct reader *r, enum gov_replay_kind kind)
{
    struct gov_replay_event *now = &r->now;

    now->kind = kind;
    memset(&now->evidence, 0, sizeof(now->evidence));
    memset(now->name, 0, sizeof(now->name));
    now->offered_bytes = now->yield_bytes = now->took_us = 0;
    now->unmeasured = false;
    read_time(r);
    if (kind == GOV_REPLAY_SAMPLE)
        read_sample(r);
    else if (kind == GOV_REPLAY_RELIEF)
        read_relief(r);
    else
        action_name(r, r->object, "action", now->name);
    if (r->status == GOV_OK && !r->event(r->ctx, now))
        r->stopped = true;
}

static void read_object(struct reader *r)
{
    const json_t *kind = json_object_get(r->object, "kind");
    const char *name = json_string_value(kind);

    if (r->line == 1)
        read_head(r);
    else if (name == NULL)
        bad(r, kind == NULL ? "is missing" : "is no text", "kind");
    else if (strcmp(name, "sample") == 0)
        read_event(r, GOV_REPLAY_SAMPLE);
    else if (strcmp(name, "relief") == 0)
        read_event(r, GOV_REPLAY_RELIEF);
    else if (strcmp(name, "regrow") == 0)
        read_event(r, GOV_REPLAY_REGROW);
    else if (strcmp(name, "actions") == 0)
        read_actions(r);
    /* Other kinds are passed over: "level" is for people, and more may come. */
}

/* A line that begins as an object is one that something is wrong with; what, the
 * parser says, and quotes bytes of the line. */
static void bad_json(struct reader *r, const json_error_t *wrong)
{
    char text[JSON_ERROR_TEXT_LENGTH + 64], says[sizeof(wrong->text)];

    if (wrong == NULL) {
        bad(r,
            r->line == 1 ? "no trace: its first line is no JSON object"
                         : "no JSON object; the file is damaged",
            NULL);
        return;
    }
    gov__text_safe(says, sizeof(says), wrong->text, strlen(wrong->text));
    snprintf(text, sizeof(text), "%s%s; the file is damaged",
             r->line == 1 ? "no trace: " : "", says);
    bad(r, text, NULL);
}

/* One line without its end; `whole` when that was there. */
static void read_line(struct reader *r, const char *at, size_t bytes,
                      bool whole)
{
    json_error_t wrong;
    json_t *object;

    r->line++;
    if (bytes > LINE_BYTES) {
        bad(r, "a line of more than 64 KiB", NULL);
        return;
    }
    object = json_loadb(at, bytes, JSON_REJECT_DUPLICATES, &wrong);
    r->object = object;
    if (json_is_object(object))
        read_object(r);
    else if (whole || r->line == 1)
        bad_json(r,
                 object == NULL && bytes > 0 && at[0] == '{' ? &wrong : NULL);
    else if (r->head != NULL)
        r->head->cut = true;
    json_decref(object);
}

/* Reads the lines that are whole, and with `last` the one that is not. Returns
 * how many bytes were read: all there is to do with the rest is to wait for
 * more. */
static size_t feed(struct reader *r, const char *at, size_t bytes, bool last)
{
    size_t used = 0;

    while (used < bytes && r->status == GOV_OK && !r->stopped) {
        const char *end = memchr(at + used, '\n', bytes - used);
        size_t n = end == NULL ? bytes - used : (size_t)(end - (at + used));

        if (end == NULL && !last && n <= LINE_BYTES)
            break;
        read_line(r, at + used, n, end != NULL);
        used += n + (end != NULL);
    }
    return used;
}

static gov_status finish(struct reader *r)
{
    if (r->line == 0) {
        r->line = 1;
        bad(r, "no trace: the file is empty", NULL);
    }
    return r->status;
}

gov_status
gov__trace_parse(const char *text_in, size_t bytes, struct gov_trace_head *head,
                 bool (*event)(void *ctx, const struct gov_replay_event *event),
                 void *ctx, gov_error *err)
{
    struct reader r;

    init(&r, "trace", head, err);
    r.event = event;
    r.ctx = ctx;
    (void)feed(&r, text_in, bytes, true);
    return finish(&r);
}

/* ---- files ------------------------------------------------------------------- */

gov_status gov__trace_status(int error)
{
    if (error == ENOENT || error == ENOTDIR)
        return GOV_E_NOT_FOUND;
    return error == EACCES || error == EPERM ? GOV_E_PERMISSION : GOV_E_IO;
}

/* `room` is more than a line, so that each turn reads something. */
static void read_file(struct reader *r, int fd, char *buffer, size_t room)
{
    size_t have = 0, used;
    uint64_t total = 0;
    ssize_t n;

    do {
        do
            n = read(fd, buffer + have, room - have);
        while (n < 0 && errno == EINTR);
        if (n < 0) {
            r->status = gov_fail(r->err, GOV_E_IO, errno,
                                 "cannot read trace %s", r->name);
            return;
        }
        have += (size_t)n;
        total += (uint64_t)n;
        if (total > FILE_BYTES) {
            r->status = gov_fail(r->err, GOV_E_FORMAT, 0,
                                 "trace %s has more than 1 GiB; cut it, it is "
                                 "made of lines",
                                 r->name);
            return;
        }
        used = feed(r, buffer, have, n == 0);
        have -= used;
        memmove(buffer, buffer + used, have);
    } while (n > 0 && r->status == GOV_OK && !r->stopped);
}

static gov_status open_file(struct reader *r, const char *path, int *fd)
{
    struct stat st;

    /* A FIFO without a writer must not hang the caller: it is refused below. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return gov_fail(r->err, gov__trace_status(errno), errno,
                        "cannot open trace %s", r->name);
    if (fstat(*fd, &st) != 0)
        return gov_fail(r->err, GOV_E_IO, errno, "cannot read trace %s",
                        r->name);
    if (!S_ISREG(st.st_mode))
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "trace %s is no regular file; name one that gov run "
                        "--record made",
                        r->name);
    return GOV_OK;
}

gov_status
gov_trace_read(const char *path, struct gov_trace_head *head,
               bool (*event)(void *ctx, const struct gov_replay_event *event),
               void *ctx, const struct gov_alloc *alloc, gov_error *err)
{
    const size_t room = 2 * LINE_BYTES;
    struct reader r;
    char *buffer;
    int fd = -1;

    if (path == NULL || event == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_trace_read() needs a path and a function to call");
    init(&r, path, head, err);
    r.event = event;
    r.ctx = ctx;
    alloc = alloc != NULL ? alloc : gov_alloc_default();
    buffer = alloc->alloc(alloc->ctx, room);
    if (buffer == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory to read trace %s; free some first", r.name);
    r.status = open_file(&r, path, &fd);
    if (r.status == GOV_OK)
        read_file(&r, fd, buffer, room);
    if (r.status == GOV_OK)
        r.status = finish(&r);
    if (fd >= 0)
        close(fd);
    alloc->release(alloc->ctx, buffer);
    return r.status;
}
