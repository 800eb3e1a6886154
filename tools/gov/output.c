/* SPDX-License-Identifier: MIT */
#include "tools/gov/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

void gov_output_init(struct gov_output *output, bool json)
{
    memset(output, 0, sizeof(*output));
    output->json = json;
    output->colour = cli_colour(STDERR_FILENO);
    output->shared = isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
    output->at_line_start = true;
    pthread_mutex_init(&output->lock, NULL);
}

void gov_output_fini(struct gov_output *output)
{
    pthread_mutex_destroy(&output->lock);
}

#define TEXT_BYTES 512

/* ---- text ------------------------------------------------------------------ */

/* Length of the UTF-8 sequence that a byte starts; 0 for none. */
static size_t sequence_bytes(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if (first >= 0xE0 && first <= 0xEF)
        return 3;
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

/* Moves whole characters from `in` to `out`, U+FFFD for what is none, and keeps
 * an unfinished one at the end back for the next call. Tokens of a model may
 * end within a character; a line of JSON may not. `out` has room for three
 * times the input. */
static size_t whole_characters(struct gov_output *output, const char *in,
                               size_t bytes, char *out)
{
    static const char replacement[3] = {'\xEF', '\xBF', '\xBD'};
    size_t used = 0, at = 0;

    while (at < bytes) {
        size_t need = sequence_bytes((unsigned char)in[at]), n = 1;

        while (n < need && at + n < bytes &&
               ((unsigned char)in[at + n] & 0xC0) == 0x80)
            n++;
        if (need != 0 && n < need && at + n == bytes) {
            output->held_bytes = bytes - at;
            memcpy(output->held, in + at, bytes - at);
            break;
        }
        if (n == need) {
            memcpy(out + used, in + at, n);
            used += n;
        } else {
            memcpy(out + used, replacement, sizeof(replacement));
            used += sizeof(replacement);
        }
        at += n;
    }
    return used;
}

/* At most TEXT_BYTES of text. */
static void print_text_object(struct gov_output *output, const char *text,
                              size_t bytes)
{
    char joined[TEXT_BYTES + sizeof(output->held)], clean[3 * sizeof(joined)];
    size_t length = output->held_bytes;
    json_t *value;

    clean[0] = '\0';
    memcpy(joined, output->held, length);
    memcpy(joined + length, text, bytes);
    output->held_bytes = 0;
    length = whole_characters(output, joined, length + bytes, clean);
    /* jansson checks more than the shape (surrogates, for one): what it refuses
     * is shown as one replacement character. */
    value = json_stringn(clean, length);
    if (value == NULL)
        value = json_string("\xEF\xBF\xBD");
    if (length > 0)
        gov_output_object(
            output, json_pack("{s:s, s:o}", "event", "token", "text", value));
    else
        json_decref(value);
}

bool gov_output_text(struct gov_output *output, const char *text, size_t bytes)
{
    size_t n;
    bool ok;

    if (bytes == 0)
        return true;
    for (; output->json && bytes > 0; bytes -= n, text += n) {
        n = bytes < TEXT_BYTES ? bytes : TEXT_BYTES;
        print_text_object(output, text, n);
    }
    if (output->json)
        return ferror(stdout) == 0;
    pthread_mutex_lock(&output->lock);
    ok = fwrite(text, 1, bytes, stdout) == bytes && fflush(stdout) == 0;
    output->at_line_start = text[bytes - 1] == '\n';
    pthread_mutex_unlock(&output->lock);
    return ok;
}

void gov_output_newline(struct gov_output *output)
{
    if (output->json && output->held_bytes > 0) {
        /* The turn ended within a character: nothing completes it. */
        output->held_bytes = 0;
        gov_output_object(output, json_pack("{s:s, s:s}", "event", "token",
                                            "text", "\xEF\xBF\xBD"));
    }
    if (output->json)
        return;
    pthread_mutex_lock(&output->lock);
    if (!output->at_line_start)
        fputc('\n', stdout);
    fflush(stdout);
    output->at_line_start = true;
    pthread_mutex_unlock(&output->lock);
}

/* ---- events ------------------------------------------------------------------ */

void gov_output_object(struct gov_output *output, json_t *object)
{
    if (output->json && object != NULL) {
        pthread_mutex_lock(&output->lock);
        json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
        fputc('\n', stdout);
        fflush(stdout);
        pthread_mutex_unlock(&output->lock);
    }
    json_decref(object);
}

/* A line of its own, also in the middle of generated text on one terminal. */
static void print_line(struct gov_output *output, const char *colour,
                       const char *line)
{
    pthread_mutex_lock(&output->lock);
    if (output->shared && !output->at_line_start) {
        fputc('\n', stdout);
        fflush(stdout);
        output->at_line_start = true;
    }
    fprintf(stderr, "%s%s%s\n", output->colour ? colour : "", line,
            output->colour ? "\033[0m" : "");
    pthread_mutex_unlock(&output->lock);
}

static const char *level_colour(gov_level level)
{
    if (level >= GOV_LEVEL_CRITICAL)
        return "\033[31m";
    return level >= GOV_LEVEL_WARN ? "\033[33m" : "\033[32m";
}

static void event_object(struct gov_output *output,
                         const struct gov_event *event)
{
    json_t *object =
        json_pack("{s:s, s:I, s:s, s:s}", "event",
                  event->kind == GOV_EVENT_LEVEL    ? "level"
                  : event->kind == GOV_EVENT_RELIEF ? "relief"
                                                    : "notice",
                  "at_ms", (json_int_t)event->at_ms, "level",
                  gov_level_name(event->level), "text", event->text);

    if (event->kind == GOV_EVENT_RELIEF && object != NULL)
        json_object_update_new(
            object, json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I}", "action",
                              event->action, "offered_bytes",
                              (json_int_t)event->offered_bytes, "measure",
                              event->measure == GOV_RELIEF_RESIDENT
                                  ? "footprint and file pages"
                                  : "footprint",
                              "before_bytes", (json_int_t)event->before_bytes,
                              "after_bytes", (json_int_t)event->after_bytes,
                              "yield_bytes", (json_int_t)event->yield_bytes,
                              "took_us", (json_int_t)event->took_us));
    gov_output_object(output, object);
}

void gov_output_event(struct gov_output *output, const struct gov_event *event)
{
    char line[384], before[CLI_SIZE_BYTES], after[CLI_SIZE_BYTES];
    char yield[CLI_SIZE_BYTES];

    if (output->json) {
        event_object(output, event);
        return;
    }
    if (event->kind == GOV_EVENT_RELIEF)
        snprintf(line, sizeof(line),
                 "[%3" PRIu64 ".%02" PRIu64 " s] %s gave back %s: %s %s "
                 "-> %s in %" PRIu64 ".%" PRIu64 " ms",
                 event->at_ms / 1000, event->at_ms % 1000 / 10, event->action,
                 cli_size(yield, event->yield_bytes),
                 event->measure == GOV_RELIEF_RESIDENT
                     ? "footprint and file pages"
                     : "footprint",
                 cli_size(before, event->before_bytes),
                 cli_size(after, event->after_bytes), event->took_us / 1000,
                 event->took_us % 1000 / 100);
    else
        snprintf(line, sizeof(line), "[%3" PRIu64 ".%02" PRIu64 " s] %s",
                 event->at_ms / 1000, event->at_ms % 1000 / 10, event->text);
    print_line(output, level_colour(event->level), line);
}

void gov_output_notice(struct gov_output *output, const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (output->json)
        gov_output_object(
            output, json_pack("{s:s, s:s}", "event", "notice", "text", line));
    else
        print_line(output, "\033[2m", line);
}
