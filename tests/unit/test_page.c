/* SPDX-License-Identifier: MIT */
/* The page: its bytes, the writer, and a reader among files that lie. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "governor/platform/platform.h"
#include "governor/runtime/page_writer.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define ROOM 8
#define PIDS 5

static const char *directory;
static uint64_t own_ticks;
static struct gov_page pages[ROOM];
static size_t count;
static gov_error err;

static void set_up(void)
{
    const struct gov_platform *platform = gov__platform_native();
    struct gov__process self;

    directory = fresh_directory();
    ck_assert_int_eq(chmod(directory, 0700), 0);
    ck_assert_int_eq(platform->process(platform->ctx, 0, &self), 0);
    own_ticks = self.start_ticks;
    faults_reset();
}

static void tear_down(void)
{
    drop_directory();
}

/* ---- helpers --------------------------------------------------------------- */

/* Printed text; good for seven more calls. */
static const char *text(const char *format, ...)
{
    static char ring[8][1200];
    static int next;
    char *out = ring[next++ % 8];
    va_list args;

    va_start(args, format);
    vsnprintf(out, sizeof(ring[0]), format, args);
    va_end(args);
    return out;
}

static void fill_relief(struct gov_page *page)
{
    for (uint32_t i = 0; i < GOV_PAGE_ACTIONS; i++) {
        struct gov_page_action *action = &page->action[i];

        snprintf(action->name, sizeof(action->name), "action.%u", i);
        action->from_level = 50 + 50 * (i % 2);
        action->flags = i % 8;
        action->runs = 1000 + i;
        action->rest_ms = 2000 + i;
        action->claimed_bytes = UINT64_C(0x1000000000) + i;
        action->yield_bytes = UINT64_C(0x2000000000) + i;
        action->last_yield_bytes = UINT64_C(0x3000000000) + i;
    }
    for (uint32_t i = 0; i < GOV_PAGE_EVENTS; i++) {
        struct gov_page_event *event = &page->event[i];

        event->at_us = UINT64_C(0x4000000000) + i;
        event->kind = 1 + i % 3;
        event->level = 50;
        event->yield_bytes = UINT64_C(0x5000000000) + i;
        snprintf(event->text, sizeof(event->text), "event %u \xC3\xA9", i);
    }
}

static void fill(struct gov_page *page)
{
    memset(page, 0, sizeof(*page));
    page->version = 2;
    fill_relief(page);
    page->pid = (int32_t)getpid();
    page->start_ticks = own_ticks;
    page->alive = true;
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++) {
        if (i == GOV_PAGE_CACHE)
            continue; /* one that was never set */
        page->have |= UINT64_C(1) << i;
        page->counter[i] = UINT64_C(0x0102030405060708) * (uint64_t)(i + 1);
    }
    for (int i = 0; i < GOV_PAGE_TEXTS; i++) {
        const struct gov__page_field *field = gov__page_field((gov_page_text)i);

        snprintf((char *)page + field->offset, field->bytes, "%s \xC3\xA9 %d",
                 field->name, i);
    }
}

/* The bytes a writer makes of *page. */
static void image(uint8_t bytes[GOV__PAGE_BYTES], const struct gov_page *page)
{
    struct gov__page_writer writer;
    char name[512];
    int fd;

    ck_assert_int_eq(gov__page_writer_open(&writer, directory, page->pid,
                                           page->start_ticks, &err),
                     GOV_OK);
    ck_assert_int_eq(gov__page_writer_update(&writer, page, &err), GOV_OK);
    snprintf(name, sizeof(name), "%s/%" PRId32 ".page", directory, page->pid);
    fd = open(name, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(read(fd, bytes, GOV__PAGE_BYTES), GOV__PAGE_BYTES);
    ck_assert_int_eq(read(fd, name, 1), 0);
    close(fd);
    gov__page_writer_close(&writer);
}

static void put64(uint8_t *at, uint64_t n)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(n >> (8 * i));
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
    uint64_t n = 0;

    while (bytes > 0)
        n = n << 8 | at[--bytes];
    return n;
}

/* Makes the checksum fit again after the content was changed. */
static void seal(uint8_t bytes[GOV__PAGE_BYTES])
{
    put64(bytes + GOV__PAGE_AT_CHECKSUM, gov__page_checksum(bytes));
}

static void put_file(const char *name, const void *bytes, size_t size)
{
    const char *path;
    int fd;

    path = text("%s/%s", directory, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static bool is_there(const char *name)
{
    const char *path;
    struct stat st;

    path = text("%s/%s", directory, name);
    return lstat(path, &st) == 0;
}

static const char *page_name(int32_t pid)
{
    static char name[GOV__PAGE_NAME_BYTES];

    snprintf(name, sizeof(name), "%" PRId32 ".page", pid);
    return name;
}

/* Where there is no directory there are no pages. */
static size_t list(void)
{
    gov_status status = gov_page_list(pages, ROOM, &count, directory, &err);

    ck_assert_msg(status == GOV_OK || status == GOV_E_NOT_FOUND, "%s",
                  err.message);
    return count;
}

/* The pid of a process that has just ended. */
static int32_t dead_pid(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    return (int32_t)pid;
}

/* ---- names and bytes ------------------------------------------------------- */

START_TEST(names_are_those_of_the_tables)
{
    ck_assert_str_eq(gov_page_counter_name(GOV_PAGE_UPDATED_US), "updated_us");
    ck_assert_str_eq(gov_page_counter_name(GOV_PAGE_YIELD_LAST),
                     "last_yield_bytes");
    ck_assert_ptr_null(gov_page_counter_name(GOV_PAGE_COUNTERS));
    ck_assert_ptr_null(gov_page_counter_name((gov_page_counter)-1));
    ck_assert_str_eq(gov_page_text_name(GOV_PAGE_TEXT_APP), "app");
    ck_assert_str_eq(gov_page_text_name(GOV_PAGE_TEXT_UNITS), "units");
    ck_assert_ptr_null(gov_page_text_name(GOV_PAGE_TEXTS));
    ck_assert_ptr_null(gov_page_text_name((gov_page_text)-1));
    fill(&pages[0]);
    ck_assert_str_eq(gov_page_text_get(&pages[0], GOV_PAGE_TEXT_MODEL),
                     pages[0].text_MODEL);
    ck_assert_str_eq(gov_page_text_get(&pages[0], GOV_PAGE_TEXTS), "");
}
END_TEST

/* docs/page.md in numbers: a change here is a change of the format. */
START_TEST(bytes_are_those_of_the_document)
{
    static const size_t text_at[] = {1088, 1120, 1168, 1264, 1280,
                                     1408, 1472, 1504, 2016};
    static const uint8_t head[] = {'G', 'O', 'V', 'P', 'A', 'G', 'E', '\n',
                                   2,   0,   0,   0,   0,   32,  0,   0};
    uint8_t bytes[GOV__PAGE_BYTES], number[8];
    struct gov_page page;

    fill(&page);
    page.pid = 0x01020304;
    page.start_ticks = UINT64_C(0x1122334455667788);
    image(bytes, &page);
    ck_assert_mem_eq(bytes, head, sizeof(head));
    put64(number, 1);
    ck_assert_mem_eq(bytes + 16, number, 8);
    ck_assert_mem_eq(bytes + 24, "\4\3\2\1\0\0\0\0", 8);
    put64(number, page.start_ticks);
    ck_assert_mem_eq(bytes + 32, number, 8);
    put64(number, page.have);
    ck_assert_mem_eq(bytes + 40, number, 8);
    for (size_t i = 48; i < 64; i++) /* counters 64 to 127, and nothing yet */
        ck_assert_uint_eq(bytes[i], 0);
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++) {
        put64(number, page.counter[i]);
        ck_assert_mem_eq(bytes + 64 + 8 * i, number, 8);
    }
    for (int i = 0; i < (int)(sizeof(text_at) / sizeof(text_at[0])); i++)
        ck_assert_str_eq((const char *)bytes + text_at[i],
                         gov_page_text_get(&page, (gov_page_text)i));
    put64(number, 1);
    ck_assert_mem_eq(bytes + 8184, number, 8);
    ck_assert_uint_eq(gov__page_checksum((const uint8_t[GOV__PAGE_BYTES]){0}),
                      UINT64_C(0x30132aeadcf959bc));
}
END_TEST

START_TEST(actions_and_events_lie_where_the_document_says)
{
    uint8_t bytes[GOV__PAGE_BYTES];
    struct gov_page page;

    fill(&page);
    image(bytes, &page);
    for (size_t i = 0; i < GOV_PAGE_ACTIONS; i++) {
        const uint8_t *at = bytes + 3136 + 80 * i;
        const struct gov_page_action *action = &page.action[i];

        ck_assert_str_eq((const char *)at, action->name);
        ck_assert_uint_eq(get(at + 32, 4), action->from_level);
        ck_assert_uint_eq(get(at + 36, 4), action->flags);
        ck_assert_uint_eq(get(at + 40, 4), action->runs);
        ck_assert_uint_eq(get(at + 44, 4), action->rest_ms);
        ck_assert_uint_eq(get(at + 48, 8), action->claimed_bytes);
        ck_assert_uint_eq(get(at + 56, 8), action->yield_bytes);
        ck_assert_uint_eq(get(at + 64, 8), action->last_yield_bytes);
        ck_assert_uint_eq(get(at + 72, 8), 0);
    }
    for (size_t i = 0; i < GOV_PAGE_EVENTS; i++) {
        const uint8_t *at = bytes + 4416 + 144 * i;
        const struct gov_page_event *event = &page.event[i];

        ck_assert_uint_eq(get(at, 8), event->at_us);
        ck_assert_uint_eq(get(at + 8, 4), event->kind);
        ck_assert_uint_eq(get(at + 12, 4), event->level);
        ck_assert_uint_eq(get(at + 16, 8), event->yield_bytes);
        ck_assert_str_eq((const char *)at + 24, event->text);
    }
    for (size_t i = 7872; i < 8176; i++)
        ck_assert_uint_eq(bytes[i], 0);
}
END_TEST

/* The lists end with the first that is none, whatever follows. */
START_TEST(lists_end_where_they_end)
{
    static const struct gov_page none;
    uint8_t bytes[GOV__PAGE_BYTES];
    struct gov_page page, back;

    fill(&page);
    page.action[3].name[0] = '\0';
    page.event[5].at_us = 0;
    image(bytes, &page);
    ck_assert_uint_eq(bytes[3136 + 80 * 4], 0);
    ck_assert_uint_eq(get(bytes + 4416 + 144 * 6, 8), 0);
    memcpy(bytes + 3136 + 80 * 4, "behind", 7);
    bytes[3136 + 80 * 2 + 37] = 0xFF;  /* flags of a newer version */
    bytes[3136 + 80 * 1 + 3] = '\x1B'; /* in a name */
    bytes[4416 + 144 * 6] = 1;
    memset(bytes + 4416 + 144 * 4 + 24, '\n', 120);
    seal(bytes);
    ck_assert_int_eq(gov__page_decode(bytes, sizeof(bytes), &back),
                     GOV__PAGE_VALID);
    ck_assert_str_eq(back.action[1].name, "act?on.1");
    ck_assert_uint_eq(back.action[2].flags, 2);
    for (size_t i = 3; i < GOV_PAGE_ACTIONS; i++)
        ck_assert_mem_eq(&back.action[i], &none.action[0],
                         sizeof(back.action[i]));
    ck_assert_uint_eq(strspn(back.event[4].text, "?"), 119);
    for (size_t i = 5; i < GOV_PAGE_EVENTS; i++)
        ck_assert_mem_eq(&back.event[i], &none.event[0], sizeof(back.event[i]));
}
END_TEST

START_TEST(what_was_not_set_is_absent)
{
    uint8_t bytes[GOV__PAGE_BYTES];
    struct gov_page page, back;

    memset(&page, 0xFF, sizeof(page));
    page.pid = 77;
    memset(page.action, 0, sizeof(page.action));
    memset(page.event, 0, sizeof(page.event));
    page.have = UINT64_C(1) << GOV_PAGE_LEVEL;
    page.counter[GOV_PAGE_LEVEL] = 50;
    image(bytes, &page);
    ck_assert_int_eq(gov__page_decode(bytes, sizeof(bytes), &back),
                     GOV__PAGE_VALID);
    ck_assert_uint_eq(back.have, UINT64_C(1) << GOV_PAGE_LEVEL);
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        ck_assert_uint_eq(back.counter[i], i == GOV_PAGE_LEVEL ? 50 : 0);
    /* 31 bytes that are no UTF-8 and no NUL. */
    ck_assert_str_eq(back.text_APP, "???????????????????????????????");
}
END_TEST

/* ---- decoding -------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t at;
    uint8_t byte; /* xor */
    bool seal;
    enum gov__page_verdict want;
} changes[] = {
    {"nothing", 100, 0, false, GOV__PAGE_VALID},
    {"magic", 0, 1, true, GOV__PAGE_FOREIGN},
    {"version 3", 8, 1, true, GOV__PAGE_FOREIGN},
    {"version 0", 8, 2, true, GOV__PAGE_FOREIGN},
    {"size", 13, 1, true, GOV__PAGE_FOREIGN},
    {"head sequence", 16, 1, true, GOV__PAGE_TORN},
    {"tail sequence", 8191, 0x80, false, GOV__PAGE_TORN},
    {"checksum", 8183, 1, false, GOV__PAGE_TORN},
    {"a counter", 64, 1, false, GOV__PAGE_TORN},
    {"the last byte under the checksum", 8175, 1, false, GOV__PAGE_TORN},
    {"negative pid", 27, 0x80, true, GOV__PAGE_FOREIGN},
    {"a counter of a newer version", 47, 0x80, true, GOV__PAGE_VALID},
    {"one beyond 64", 55, 0x80, true, GOV__PAGE_VALID},
    {"its value", 1087, 1, true, GOV__PAGE_VALID},
    {"a text of a newer version", 3135, 'x', true, GOV__PAGE_VALID},
    {"a field of an action of a newer version", 3215, 1, true, GOV__PAGE_VALID},
    {"the reserved bytes of a newer version", 8000, 1, true, GOV__PAGE_VALID},
    {"a header field of a newer version", 60, 1, true, GOV__PAGE_VALID},
};

START_TEST(decoding_judges)
{
    struct gov_page page, back, before;
    uint8_t bytes[GOV__PAGE_BYTES];
    enum gov__page_verdict verdict;

    fill(&page);
    image(bytes, &page);
    bytes[changes[_i].at] ^= changes[_i].byte;
    if (changes[_i].seal)
        seal(bytes);
    memset(&back, 0xA5, sizeof(back));
    before = back;
    verdict = gov__page_decode(bytes, sizeof(bytes), &back);
    ck_assert_msg(verdict == changes[_i].want, "%s: got %d, want %d",
                  changes[_i].name, (int)verdict, (int)changes[_i].want);
    page.alive = false; /* the caller's */
    ck_assert_mem_eq(&back, verdict == GOV__PAGE_VALID ? &page : &before,
                     sizeof(back));
}
END_TEST

START_TEST(pid_zero_is_no_page)
{
    struct gov_page page, back;
    uint8_t bytes[GOV__PAGE_BYTES];

    fill(&page);
    image(bytes, &page);
    memset(bytes + GOV__PAGE_AT_PID, 0, 4);
    seal(bytes);
    ck_assert_int_eq(gov__page_decode(bytes, sizeof(bytes), &back),
                     GOV__PAGE_FOREIGN);
}
END_TEST

START_TEST(any_other_size_is_foreign)
{
    static const size_t sizes[] = {0, 1, 15, 63, 2048, 8191, 8193};
    uint8_t bytes[GOV__PAGE_BYTES + 1] = {0};
    struct gov_page page, back;

    fill(&page);
    image(bytes, &page);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        ck_assert_int_eq(gov__page_decode(bytes, sizes[i], &back),
                         GOV__PAGE_FOREIGN);
}
END_TEST

START_TEST(no_single_bit_may_flip)
{
    struct gov_page page, back;
    uint8_t bytes[GOV__PAGE_BYTES];

    fill(&page);
    image(bytes, &page);
    /* All of the head and the tail; one of each byte between them. */
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        if (bit / 8 >= 64 && bit / 8 < GOV__PAGE_AT_CHECKSUM &&
            bit % 8 != bit / 8 % 8)
            continue;
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        ck_assert_msg(gov__page_decode(bytes, sizeof(bytes), &back) !=
                          GOV__PAGE_VALID,
                      "bit %zu of byte %zu", bit % 8, bit / 8);
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}
END_TEST

/* Every mix of two updates: the first n bytes new, the others old. */
START_TEST(no_torn_write_passes)
{
    struct gov_page page, back;
    struct gov__page_writer writer;
    uint8_t old[GOV__PAGE_BYTES], new[GOV__PAGE_BYTES];
    const char *path;
    int fd;

    fill(&page);
    ck_assert_int_eq(gov__page_writer_open(&writer, directory, page.pid,
                                           page.start_ticks, &err),
                     GOV_OK);
    path = text("%s/%s", directory, page_name(page.pid));
    fd = open(path, O_RDONLY);
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    ck_assert_int_eq(pread(fd, old, sizeof(old), 0), sizeof(old));
    page.counter[GOV_PAGE_TOKENS]++;
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    ck_assert_int_eq(pread(fd, new, sizeof(new), 0), sizeof(new));
    close(fd);
    for (size_t n = GOV__PAGE_AT_SEQUENCE + 1; n <= GOV__PAGE_AT_TAIL; n++) {
        memcpy(old, new, n);
        ck_assert_msg(gov__page_decode(old, sizeof(old), &back) ==
                          GOV__PAGE_TORN,
                      "a write torn after %zu bytes passed", n);
    }
    gov__page_writer_close(&writer);
}
END_TEST

static const struct {
    const char *name, *in, *want;
} texts[] = {
    {"plain", "llama 3.1 (8B)", "llama 3.1 (8B)"},
    {"accents and CJK stay", "\xC3\xA9 \xE6\xA8\xA1\xE5\x9E\x8B",
     "\xC3\xA9 \xE6\xA8\xA1\xE5\x9E\x8B"},
    {"four bytes stay", "\xF0\x9F\xA6\x99!", "\xF0\x9F\xA6\x99!"},
    {"escape sequence", "a\x1B[2Jb", "a?[2Jb"},
    {"newline, tab, delete", "a\nb\tc\x7F", "a?b?c?"},
    {"C1 control, encoded",
     "a\xC2\x9B"
     "31m",
     "a?31m"},
    {"C1 control, bare",
     "a\x9B"
     "31m",
     "a?31m"},
    {"overlong slash", "\xC0\xAF", "??"},
    {"overlong NUL", "a\xC0\x80z", "a??z"},
    {"overlong, three bytes", "\xE0\x80\xAF", "???"},
    {"surrogate", "\xED\xA0\x80", "???"},
    {"beyond Unicode", "\xF4\x90\x80\x80", "????"},
    {"five bytes", "\xF8\x88\x80\x80\x80", "?????"},
    {"cut short", "ab\xE6\xA8", "ab??"},
    {"cut short, then text",
     "\xE6"
     "abc",
     "?abc"},
    {"right-to-left override",
     "a\xE2\x80\xAE"
     "b",
     "a?b"},
    {"isolates", "\xE2\x81\xA6x\xE2\x81\xA9", "?x?"},
    {"line separator",
     "a\xE2\x80\xA8"
     "b",
     "a?b"},
    {"byte order mark",
     "\xEF\xBB\xBF"
     "a",
     "?a"},
    {"cut at the field", "0123456789012345678901234567890123",
     "0123456789012345678901234567890"},
    {"cut within a character", "012345678901234567890123456789\xC3\xA9",
     "012345678901234567890123456789?"},
};

START_TEST(texts_are_cleaned)
{
    uint8_t bytes[GOV__PAGE_BYTES];
    struct gov_page page, back;

    memset(&page, 0, sizeof(page));
    page.pid = 5;
    image(bytes, &page);
    memset(bytes + GOV__PAGE_AT_TEXTS, 0, 32);
    memcpy(bytes + GOV__PAGE_AT_TEXTS, texts[_i].in, strnlen(texts[_i].in, 32));
    seal(bytes);
    ck_assert_int_eq(gov__page_decode(bytes, sizeof(bytes), &back),
                     GOV__PAGE_VALID);
    ck_assert_msg(strcmp(back.text_APP, texts[_i].want) == 0,
                  "%s: got '%s', want '%s'", texts[_i].name, back.text_APP,
                  texts[_i].want);
}
END_TEST

/* ---- the writer ------------------------------------------------------------ */

START_TEST(what_is_written_is_read)
{
    struct gov__page_writer writer;
    struct gov_page page;

    fill(&page);
    ck_assert_int_eq(
        gov__page_writer_open(&writer, directory, page.pid, own_ticks, &err),
        GOV_OK);
    ck_assert_uint_eq(list(), 0); /* nothing before the first update */
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    ck_assert_uint_eq(list(), 1);
    ck_assert_mem_eq(&pages[0], &page, sizeof(page));
    page.counter[GOV_PAGE_TOKENS] = 12345;
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    ck_assert_uint_eq(list(), 1);
    ck_assert_mem_eq(&pages[0], &page, sizeof(page));
    gov__page_writer_close(&writer);
    ck_assert(!is_there(page_name(page.pid)));
    ck_assert_uint_eq(list(), 0);
    gov__page_writer_close(&writer); /* a closed one is accepted */
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
}
END_TEST

START_TEST(files_are_private)
{
    struct gov__page_writer writer;
    struct gov_page page;
    const char *path;
    struct stat st;

    umask(0);
    fill(&page);
    path = text("%s/made", directory);
    ck_assert_int_eq(
        gov__page_writer_open(&writer, path, page.pid, own_ticks, &err),
        GOV_OK);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    path = text("%s/made/%s", directory, page_name(page.pid));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    gov__page_writer_close(&writer);
}
END_TEST

/* Whatever an earlier process or a stranger left under the name. */
START_TEST(a_stale_file_is_replaced_not_followed)
{
    struct gov__page_writer writer;
    const char *victim, *path;
    struct gov_page page;
    struct stat st;

    fill(&page);
    put_file("victim", "precious", 8);
    victim = text("%s/victim", directory);
    path = text("%s/%s", directory, page_name(page.pid));
    if (_i == 0)
        put_file(page_name(page.pid), "old", 3);
    else if (_i == 1)
        ck_assert_int_eq(symlink(victim, path), 0);
    else
        ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(
        gov__page_writer_open(&writer, directory, page.pid, own_ticks, &err),
        GOV_OK);
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    ck_assert_uint_eq(list(), 1);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISREG(st.st_mode));
    ck_assert_int_eq(stat(victim, &st), 0);
    ck_assert_int_eq(st.st_size, 8);
    gov__page_writer_close(&writer);
}
END_TEST

START_TEST(damage_lasts_until_the_next_update)
{
    struct gov__page_writer writer;
    struct gov_page page;
    const char *path;
    char run[512];

    fill(&page);
    snprintf(run, sizeof(run), "%s/run", directory);
    directory = run;
    ck_assert_int_eq(
        gov__page_writer_open(&writer, directory, page.pid, own_ticks, &err),
        GOV_OK);
    path = text("%s/%s", directory, page_name(page.pid));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
        ck_assert_uint_eq(list(), 1);
        if (i == 0)
            ck_assert_int_eq(truncate(path, 0), 0);
        else
            ck_assert_int_eq(unlink(path), 0);
        if (i == 2)
            ck_assert_int_eq(rmdir(directory), 0);
        ck_assert_uint_eq(list(), 0);
    }
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    ck_assert_uint_eq(list(), 1);
    gov__page_writer_close(&writer);
    ck_assert(!is_there(page_name(page.pid)));
}
END_TEST

/* Two runtimes in one process: the later one has the name until it closes. */
START_TEST(two_writers_share_a_name_in_turn)
{
    struct gov__page_writer first, second;
    struct gov_page page;

    fill(&page);
    ck_assert_int_eq(
        gov__page_writer_open(&first, directory, page.pid, own_ticks, &err),
        GOV_OK);
    ck_assert_int_eq(
        gov__page_writer_open(&second, directory, page.pid, own_ticks, &err),
        GOV_OK);
    snprintf(page.text_APP, sizeof(page.text_APP), "second");
    ck_assert_int_eq(gov__page_writer_update(&second, &page, &err), GOV_OK);
    snprintf(page.text_APP, sizeof(page.text_APP), "first");
    ck_assert_int_eq(gov__page_writer_update(&first, &page, &err), GOV_OK);
    ck_assert_uint_eq(list(), 1);
    ck_assert_str_eq(pages[0].text_APP, "second");
    gov__page_writer_close(&second);
    ck_assert_uint_eq(list(), 0);
    ck_assert_int_eq(gov__page_writer_update(&first, &page, &err), GOV_OK);
    ck_assert_uint_eq(list(), 1);
    ck_assert_str_eq(pages[0].text_APP, "first");
    gov__page_writer_close(&first);
}
END_TEST

START_TEST(closing_leaves_the_file_of_another_writer)
{
    struct gov__page_writer first, second;
    struct gov_page page;

    fill(&page);
    ck_assert_int_eq(
        gov__page_writer_open(&first, directory, page.pid, own_ticks, &err),
        GOV_OK);
    ck_assert_int_eq(
        gov__page_writer_open(&second, directory, page.pid, own_ticks, &err),
        GOV_OK);
    ck_assert_int_eq(gov__page_writer_update(&second, &page, &err), GOV_OK);
    gov__page_writer_close(&first);
    ck_assert_uint_eq(list(), 1);
    gov__page_writer_close(&second);
}
END_TEST

START_TEST(a_forked_child_leaves_the_page_be)
{
    struct gov__page_writer writer;
    struct gov_page page;
    pid_t pid;

    fill(&page);
    ck_assert_int_eq(
        gov__page_writer_open(&writer, directory, page.pid, own_ticks, &err),
        GOV_OK);
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    pid = fork();
    if (pid == 0) {
        page.counter[GOV_PAGE_TOKENS] = 1;
        if (gov__page_writer_update(&writer, &page, NULL) != GOV_OK)
            _exit(1);
        gov__page_writer_close(&writer);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_uint_eq(list(), 1);
    ck_assert_mem_eq(&pages[0], &page, sizeof(page));
    gov__page_writer_close(&writer);
}
END_TEST

START_TEST(arguments_are_checked)
{
    struct gov__page_writer writer;
    char long_path[GOV__PAGE_PATH_BYTES + 1];
    const char *path, *want;

    ck_assert_int_eq(gov__page_writer_open(&writer, directory, 0, 0, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "0 is no process id to publish a page for");
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    ck_assert_int_eq(gov__page_writer_open(&writer, long_path, 1, 0, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "the name of the page directory is longer than 1023 "
                     "bytes; choose a shorter one");
    path = text("%s/a/b", directory);
    want =
        text("cannot make the page directory %s/a/b: No such file or directory",
             directory);
    ck_assert_int_eq(gov__page_writer_open(&writer, path, 1, 0, &err),
                     GOV_E_IO);
    ck_assert_str_eq(err.message, want);
    gov__page_writer_close(&writer);
}
END_TEST

/* One life of a page; the first failure ends it. */
static gov_status live(const struct gov_page *page)
{
    struct gov__page_writer writer;
    size_t found;
    gov_status status;

    memset(&err, 0, sizeof(err));
    status =
        gov__page_writer_open(&writer, directory, page->pid, own_ticks, &err);
    if (status == GOV_OK)
        status = gov__page_writer_update(&writer, page, &err);
    if (status == GOV_OK)
        status = gov__page_writer_update(&writer, page, &err);
    if (status == GOV_OK)
        status = gov_page_list(pages, ROOM, &found, directory, &err);
    /* A page that cannot be read is passed over: that is no failure. */
    if (status == GOV_OK && found != 1)
        status = GOV_E_NOT_FOUND;
    gov__page_writer_close(&writer);
    return status;
}

START_TEST(every_fault_is_told)
{
    struct gov_page page;
    uint64_t calls;
    int descriptors;

    fill(&page);
    ck_assert_int_eq(live(&page), GOV_OK);
    descriptors = faults_open_descriptors();
    faults_reset();
    faults_only("open,openat,mkdir,pwrite,pread,fstat");
    ck_assert_int_eq(live(&page), GOV_OK);
    calls = faults_count();
    ck_assert_uint_gt(calls, 10);
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        faults_arm(n, _i != 0);
        status = live(&page);
        faults_disarm();
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
        if (status == GOV_E_NOT_FOUND)
            continue;
        /* Absorbed: an fstat() that does not say whether the file is gone; and
         * of the last four, the question whether the process lives, and the
         * three by which close() removes the file. */
        if (status == GOV_OK) {
            ck_assert_msg(strcmp(faults_last(), "fstat") == 0 || n + 4 >= calls,
                          "%s (call %d of %d) was swallowed", faults_last(),
                          (int)n, (int)calls);
            continue;
        }
        ck_assert_msg(err.message[0] != '\0', "fault %d is mute", (int)n);
        /* Nothing is wrong any more: the next life is as good as the first. */
        ck_assert_int_eq(live(&page), GOV_OK);
    }
}
END_TEST

/* Not to know whether the file was removed is no reason to give it up. */
START_TEST(a_failing_stat_does_not_stop_publishing)
{
    struct gov__page_writer writer;
    struct gov_page page;

    fill(&page);
    ck_assert_int_eq(
        gov__page_writer_open(&writer, directory, page.pid, own_ticks, &err),
        GOV_OK);
    faults_only("fstat");
    faults_arm(0, false);
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    faults_disarm();
    ck_assert_str_eq(faults_last(), "fstat");
    ck_assert_uint_eq(list(), 1);
    gov__page_writer_close(&writer);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
    struct gov__page_writer writer;
    struct gov_page page;
    const char *want;

    fill(&page);
    ck_assert_int_eq(
        gov__page_writer_open(&writer, directory, page.pid, own_ticks, &err),
        GOV_OK);
    faults_only("pwrite");
    faults_set_errno(ENOSPC);
    faults_arm(0, false);
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_E_IO);
    want = text("cannot write the page of process %" PRId32
                " in %s: No space left on device",
                page.pid, directory);
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    ck_assert_uint_eq(list(), 1);
    gov__page_writer_close(&writer);
}
END_TEST

/* ---- the reader among strangers -------------------------------------------- */

START_TEST(a_missing_directory_is_a_slip_where_it_was_named)
{
    const char *path;

    path = text("%s/none", directory);
    count = 7;
    ck_assert_int_eq(gov_page_list(pages, ROOM, &count, path, &err),
                     GOV_E_NOT_FOUND);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", directory, 1), 0);
    count = 7;
    ck_assert_int_eq(gov_page_list(pages, ROOM, &count, NULL, &err), GOV_OK);
    ck_assert_uint_eq(count, 0);
    unsetenv("XDG_RUNTIME_DIR");
    ck_assert_int_ne(access(path, F_OK), 0); /* readers make nothing */
}
END_TEST

START_TEST(a_directory_of_others_is_refused)
{
    const char *path, *link, *want;

    path = text("%s/d", directory);
    link = text("%s/l", directory);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(symlink(path, link), 0);
    ck_assert_int_eq(gov_page_list(pages, ROOM, &count, link, &err),
                     GOV_E_PERMISSION);
    want =
        text("%s is a symbolic link or no directory, so pages in it cannot be "
             "trusted; name a directory",
             link);
    ck_assert_str_eq(err.message, want);
    put_file("f", "", 0);
    link = text("%s/f", directory);
    ck_assert_int_eq(gov_page_list(pages, ROOM, &count, link, &err),
                     GOV_E_PERMISSION);
    ck_assert_int_eq(chmod(path, 0770), 0);
    ck_assert_int_eq(gov_page_list(pages, ROOM, &count, path, &err),
                     GOV_E_PERMISSION);
    want =
        text("%s can be written by others (mode 770), so pages in it cannot be "
             "trusted; name a directory that only you can write to",
             path);
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(chmod(path, 0700), 0);
    if (chown(path, 12345, (gid_t)-1) != 0) {
        skip_test("a_directory_of_others_is_refused",
                  "only root can make a directory of another user");
        return;
    }
    ck_assert_int_eq(gov_page_list(pages, ROOM, &count, path, &err),
                     GOV_E_PERMISSION);
    want =
        text("%s belongs to another user (uid 12345), so pages in it cannot be "
             "trusted; name a directory of yours",
             path);
    ck_assert_str_eq(err.message, want);
}
END_TEST

START_TEST(strangers_are_passed_over)
{
    static const char *const names[] = {"0.page",
                                        "01.page",
                                        "-1.page",
                                        "1.pag",
                                        "1.page~",
                                        ".page",
                                        "1",
                                        "4294967297.page",
                                        "1.page.page",
                                        "page",
                                        "+1.page",
                                        " 1.page",
                                        "99999999999999999999.page",
                                        "2147483648.page"};
    uint8_t bytes[GOV__PAGE_BYTES];
    struct gov_page page;
    const char *path, *victim;

    fill(&page);
    image(bytes, &page);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        put_file(names[i], bytes, sizeof(bytes));
    put_file(text("0%d.page", (int)page.pid), bytes, sizeof(bytes));
    put_file(text("%lld.page", 4294967296 + page.pid), bytes, sizeof(bytes));
    put_file("2.page", bytes, sizeof(bytes)); /* the content is another's */
    /* Empty, of one that lives and has not written yet. */
    put_file(text("%d.page", (int)getppid()), "", 0);
    put_file("4.page", "short", 5);
    victim = text("%s/victim", directory);
    put_file("victim", bytes, sizeof(bytes));
    path = text("%s/%s", directory, page_name(page.pid));
    ck_assert_int_eq(symlink(victim, path), 0);
    path = text("%s/6.page", directory);
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* opening it must not wait */
    path = text("%s/7.page", directory);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_uint_eq(list(), 0);
    /* Nothing of all that was touched. */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_msg(is_there(names[i]), "%s was removed", names[i]);
    ck_assert(is_there("2.page"));
    ck_assert(is_there(text("%d.page", (int)getppid())));
    ck_assert(is_there("4.page"));
    ck_assert(is_there("6.page"));
    ck_assert(is_there(page_name(page.pid)));
}
END_TEST

START_TEST(a_page_of_another_user_is_passed_over)
{
    uint8_t bytes[GOV__PAGE_BYTES];
    struct gov_page page;
    const char *path;

    fill(&page);
    image(bytes, &page);
    put_file(page_name(page.pid), bytes, sizeof(bytes));
    ck_assert_uint_eq(list(), 1);
    path = text("%s/%s", directory, page_name(page.pid));
    if (chown(path, 12345, (gid_t)-1) != 0) {
        skip_test("a_page_of_another_user_is_passed_over",
                  "only root can make a file of another user");
        return;
    }
    ck_assert_uint_eq(list(), 0);
    ck_assert(is_there(page_name(page.pid)));
}
END_TEST

START_TEST(pages_of_the_dead_are_removed)
{
    uint8_t bytes[GOV__PAGE_BYTES];
    struct gov_page page;
    int32_t gone = dead_pid();

    fill(&page);
    page.pid = gone;
    image(bytes, &page);
    put_file(page_name(gone), bytes, sizeof(bytes));
    bytes[100] ^= 1; /* of the same process, but not to be believed */
    put_file("8.page", bytes, sizeof(bytes));
    ck_assert_uint_eq(list(), 0);
    ck_assert(!is_there(page_name(gone)));
    ck_assert(is_there("8.page"));
}
END_TEST

/* Of one that was killed after gov_open() and before its first step. What has
 * something in it that is no page is left alone. */
START_TEST(empty_pages_of_the_dead_are_removed)
{
    int32_t gone = dead_pid(), other = dead_pid();

    put_file(page_name(gone), "", 0);
    ck_assert_uint_eq(list(), 0);
    ck_assert(!is_there(page_name(gone)));
    put_file(page_name(other), "short", 5);
    ck_assert_uint_eq(list(), 0);
    ck_assert(is_there(page_name(other)));
}
END_TEST

START_TEST(a_reused_pid_is_a_dead_process)
{
    uint8_t bytes[GOV__PAGE_BYTES];
    struct gov_page page;

    if (own_ticks == 0) {
        skip_test("a_reused_pid_is_a_dead_process",
                  "this system does not tell when a process started");
        return;
    }
    fill(&page);
    page.start_ticks++;
    image(bytes, &page);
    put_file(page_name(page.pid), bytes, sizeof(bytes));
    ck_assert_uint_eq(list(), 0);
    ck_assert(!is_there(page_name(page.pid)));
}
END_TEST

/* More pages than room: the lowest pids, in order. */
START_TEST(pages_come_in_order)
{
    uint8_t bytes[GOV__PAGE_BYTES];
    pid_t child[PIDS];
    struct gov_page page;
    int hold[2];
    char c;

    ck_assert_int_eq(pipe(hold), 0);
    fill(&page);
    page.start_ticks = 0; /* unknown: the pid alone decides */
    for (int i = 0; i < PIDS; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            close(hold[1]);
            _exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
        }
        page.pid = (int32_t)child[i];
        image(bytes, &page);
        put_file(page_name(page.pid), bytes, sizeof(bytes));
    }
    for (size_t room = 0; room <= PIDS; room++) {
        memset(pages, 0xA5, sizeof(pages));
        ck_assert_int_eq(gov_page_list(pages, room, &count, directory, &err),
                         GOV_OK);
        ck_assert_uint_eq(count, room);
        for (size_t i = 0; i < room; i++)
            ck_assert_int_eq(pages[i].pid, child[i]);
        ck_assert_uint_eq(pages[room].have, UINT64_C(0xA5A5A5A5A5A5A5A5));
    }
    close(hold[1]);
    for (int i = 0; i < PIDS; i++)
        ck_assert_int_eq(waitpid(child[i], NULL, 0), child[i]);
    close(hold[0]);
}
END_TEST

/* One of each kind that is none. */
static void put_hostile(int i, const uint8_t *bytes, const uint8_t *torn)
{
    const char *name = text("%d.page", 100000000 + i), *path;

    path = text("%s/%s", directory, name);
    switch (i % 8) {
    case 0:
        put_file(name, torn, GOV__PAGE_BYTES);
        return;
    case 1:
        put_file(name, torn, GOV__PAGE_BYTES - 1);
        return;
    case 2:
        ck_assert_int_eq(symlink("/dev/zero", path), 0);
        return;
    case 3:
        ck_assert_int_eq(mkfifo(path, 0600), 0);
        return;
    case 4:
        put_file(text("%d.ctl", 100000000 + i), bytes, 1);
        return;
    default:
        put_file(name, bytes, GOV__PAGE_BYTES);
    }
}

static size_t count_files(void)
{
    DIR *stream = opendir(directory);
    size_t files = 0;

    ck_assert_ptr_nonnull(stream);
    while (readdir(stream) != NULL)
        files++;
    closedir(stream);
    return files;
}

START_TEST(ten_thousand_files_do_no_harm)
{
    struct timespec start, end;
    struct gov_page page;
    uint8_t bytes[GOV__PAGE_BYTES], torn[GOV__PAGE_BYTES];
    double seconds;
    size_t files;

    fill(&page);
    image(bytes, &page);
    put_file(page_name(page.pid), bytes, sizeof(bytes));
    memcpy(torn, bytes, sizeof(torn));
    torn[100] ^= 1;
    memset(bytes, 'x', sizeof(bytes));
    for (int i = 0; i < 10000; i++)
        put_hostile(i, bytes, torn);
    files = count_files();
    clock_gettime(CLOCK_MONOTONIC, &start);
    ck_assert_uint_eq(list(), 1);
    clock_gettime(CLOCK_MONOTONIC, &end);
    seconds = (double)(end.tv_sec - start.tv_sec) +
              (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    /* 0.2 s on a 2-core machine; the bound leaves room for sanitizers. */
    ck_assert_msg(seconds < 10, "took %.3f s", seconds);
    ck_assert_uint_eq(count_files(), files);
}
END_TEST

/* Killed in the middle of an update: half of the new bytes over the old ones. It is
 * no page, and nobody can tell whose; what has its name next replaces it. */
START_TEST(a_writer_that_died_within_an_update_leaves_no_page)
{
    uint8_t old[GOV__PAGE_BYTES], new[GOV__PAGE_BYTES];
    struct gov__page_writer writer;
    struct gov_page page;

    fill(&page);
    image(old, &page);
    page.counter[GOV_PAGE_TOKENS]++;
    memcpy(new, old, sizeof(new));
    put64(new + 16, 2);
    put64(new + GOV__PAGE_AT_COUNTERS + 8 * GOV_PAGE_TOKENS, 1);
    memcpy(old, new, sizeof(old) / 2);
    put_file(page_name(page.pid), old, sizeof(old));
    ck_assert_uint_eq(list(), 0);
    ck_assert(is_there(page_name(page.pid)));
    ck_assert_int_eq(
        gov__page_writer_open(&writer, directory, page.pid, own_ticks, &err),
        GOV_OK);
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    ck_assert_uint_eq(list(), 1);
    gov__page_writer_close(&writer);
}
END_TEST

/* A writer at full speed never shows a reader a mixed page. */
START_TEST(a_busy_writer_is_read_whole)
{
    struct gov__page_writer writer;
    struct gov_page page;
    size_t seen = 0;
    pid_t pid;

    fill(&page);
    pid = fork();
    if (pid == 0) {
        for (uint64_t n = 0; gov__page_writer_open(&writer, directory, page.pid,
                                                   own_ticks, NULL) == GOV_OK;
             n++) {
            writer.creator = (int32_t)getpid();
            for (;; n++) {
                for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
                    page.counter[i] = n;
                if (gov__page_writer_update(&writer, &page, NULL) != GOV_OK)
                    _exit(1);
            }
        }
        _exit(1);
    }
    for (int turn = 0; turn < 2000000 && seen < 2000; turn++) {
        if (list() == 0)
            continue;
        seen++;
        for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
            if (i != GOV_PAGE_CACHE)
                ck_assert_uint_eq(pages[0].counter[i], pages[0].counter[0]);
    }
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_uint_eq(seen, 2000);
}
END_TEST

/* ---- pages of other versions ------------------------------------------------ */

/* A page of that version: its head, and whatever else. */
static void put_other(int32_t pid, uint32_t version, size_t size,
                      uint64_t start_ticks)
{
    static uint8_t bytes[GOV__PAGE_MOST_BYTES + 1];

    memset(bytes, 0xC3, sizeof(bytes));
    memcpy(bytes, "GOVPAGE\n", 8);
    put64(bytes + 8, version | (uint64_t)size << 32);
    put64(bytes + 24, (uint32_t)pid);
    put64(bytes + 32, start_ticks);
    put_file(page_name(pid), bytes, size);
}

static const struct {
    uint32_t version;
    size_t size;
    bool shown;
} others[] = {
    {1, 2048, true},   {3, 8192, true}, {3, 16384, true},
    {3, 65536, true},  {3, 40, true},   {UINT32_MAX, 4096, true},
    {3, 65537, false}, {3, 39, false},  {0, 4096, false},
    {2, 4096, false}, /* ours has another size */
};

START_TEST(a_page_of_another_version_is_shown_as_such)
{
    const int32_t pid = (int32_t)getpid();
    struct gov_page want;

    memset(&want, 0, sizeof(want));
    want.pid = pid;
    want.version = others[_i].version;
    want.start_ticks = own_ticks;
    want.alive = true;
    snprintf(want.text_REASON, sizeof(want.text_REASON),
             "its page is of version %u, and this program reads version 2",
             others[_i].version);
    put_other(pid, others[_i].version, others[_i].size, own_ticks);
    ck_assert_uint_eq(list(), others[_i].shown ? 1 : 0);
    if (others[_i].shown)
        ck_assert_mem_eq(&pages[0], &want, sizeof(want));
    ck_assert(is_there(page_name(pid)));
}
END_TEST

/* What every version has in common is asked as strictly as of our own. */
START_TEST(another_version_is_no_excuse)
{
    const int32_t pid = (int32_t)getpid(), gone = dead_pid();
    const char *path;

    put_other(pid, 3, 4096, own_ticks);
    path = text("%s/%s", directory, page_name(pid));
    ck_assert_int_eq(truncate(path, 4095), 0); /* not what it says */
    ck_assert_uint_eq(list(), 0);
    ck_assert_int_eq(truncate(path, 4097), 0);
    ck_assert_uint_eq(list(), 0);
    ck_assert_int_eq(truncate(path, 4096), 0);
    ck_assert_uint_eq(list(), 1);
    ck_assert_int_eq(rename(path, text("%s/2.page", directory)), 0);
    ck_assert_uint_eq(list(), 0); /* the content is another's */
    ck_assert(is_there("2.page"));
    ck_assert_int_eq(symlink(text("%s/2.page", directory), path), 0);
    ck_assert_uint_eq(list(), 0);
    ck_assert_int_eq(unlink(path), 0);
    put_other(gone, 3, 4096, 0);
    ck_assert_uint_eq(list(), 0);
    ck_assert(!is_there(page_name(gone)));
    if (own_ticks == 0)
        return;
    put_other(pid, 1, 2048, own_ticks + 1); /* of one that had its pid */
    ck_assert_uint_eq(list(), 0);
    ck_assert(!is_there(page_name(pid)));
}
END_TEST

/* ---- the default directory ------------------------------------------------- */

START_TEST(the_directory_follows_the_environment)
{
    const char *want;
    char out[1024];

    setenv("XDG_RUNTIME_DIR", directory, 1);
    want = text("%s/governor", directory);
    ck_assert_int_eq(gov_page_directory(out, sizeof(out), &err), GOV_OK);
    ck_assert_str_eq(out, want);
    ck_assert_int_eq(gov_page_directory(out, strlen(want), &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_page_directory(out, strlen(want) + 1, &err), GOV_OK);

    setenv("TMPDIR", directory, 1);
    want = text("%s/governor-%lu", directory, (unsigned long)geteuid());
    setenv("XDG_RUNTIME_DIR", ".", 1);
    ck_assert_int_eq(gov_page_directory(out, sizeof(out), &err), GOV_OK);
    ck_assert_str_eq(out, want);
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    ck_assert_int_eq(gov_page_directory(out, sizeof(out), &err), GOV_OK);
    ck_assert_str_eq(out, want);
    unsetenv("XDG_RUNTIME_DIR");
    ck_assert_int_eq(gov_page_directory(out, sizeof(out), &err), GOV_OK);
    ck_assert_str_eq(out, want);

    setenv("TMPDIR", "", 1);
    want = text("/tmp/governor-%lu", (unsigned long)geteuid());
    ck_assert_int_eq(gov_page_directory(out, sizeof(out), &err), GOV_OK);
    ck_assert_str_eq(out, want);
    ck_assert_int_eq(gov_page_directory(out, 4, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "the name of the page directory in /tmp is longer than 3 "
                     "bytes; set XDG_RUNTIME_DIR to a shorter one");
}
END_TEST

/* sudo -E hands root the user's XDG_RUNTIME_DIR. */
START_TEST(the_runtime_directory_of_another_user_is_not_used)
{
    char out[1024];

    if (chown(directory, 12345, (gid_t)-1) != 0) {
        skip_test("the_runtime_directory_of_another_user_is_not_used",
                  "only root can make a directory of another user");
        return;
    }
    setenv("XDG_RUNTIME_DIR", directory, 1);
    unsetenv("TMPDIR");
    ck_assert_int_eq(gov_page_directory(out, sizeof(out), &err), GOV_OK);
    ck_assert_str_eq(out, "/tmp/governor-0");
    ck_assert_int_eq(chown(directory, 0, (gid_t)-1), 0);
}
END_TEST

START_TEST(the_default_directory_is_used)
{
    struct gov__page_writer writer;
    struct gov_page page;

    setenv("XDG_RUNTIME_DIR", directory, 1);
    fill(&page);
    ck_assert_int_eq(
        gov__page_writer_open(&writer, NULL, page.pid, own_ticks, &err),
        GOV_OK);
    ck_assert_int_eq(gov__page_writer_update(&writer, &page, &err), GOV_OK);
    ck_assert_int_eq(gov_page_list(pages, ROOM, &count, NULL, &err), GOV_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert(is_there("governor"));
    gov__page_writer_close(&writer);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *suite(void)
{
    Suite *s = suite_create("page");
    TCase *bytes = tcase_create("bytes"), *writer = tcase_create("writer"),
          *reader = tcase_create("reader");

    tcase_add_checked_fixture(bytes, set_up, tear_down);
    tcase_add_test(bytes, names_are_those_of_the_tables);
    tcase_add_test(bytes, bytes_are_those_of_the_document);
    tcase_add_test(bytes, actions_and_events_lie_where_the_document_says);
    tcase_add_test(bytes, lists_end_where_they_end);
    tcase_add_test(bytes, what_was_not_set_is_absent);
    tcase_add_loop_test(bytes, decoding_judges, 0, ROWS(changes));
    tcase_add_test(bytes, pid_zero_is_no_page);
    tcase_add_test(bytes, any_other_size_is_foreign);
    tcase_add_test(bytes, no_single_bit_may_flip);
    tcase_add_test(bytes, no_torn_write_passes);
    tcase_add_loop_test(bytes, texts_are_cleaned, 0, ROWS(texts));
    suite_add_tcase(s, bytes);

    tcase_add_checked_fixture(writer, set_up, tear_down);
    tcase_add_test(writer, what_is_written_is_read);
    tcase_add_test(writer, files_are_private);
    tcase_add_loop_test(writer, a_stale_file_is_replaced_not_followed, 0, 3);
    tcase_add_test(writer, damage_lasts_until_the_next_update);
    tcase_add_test(writer, two_writers_share_a_name_in_turn);
    tcase_add_test(writer, closing_leaves_the_file_of_another_writer);
    tcase_add_test(writer, a_forked_child_leaves_the_page_be);
    tcase_add_test(writer, arguments_are_checked);
    tcase_add_loop_test(writer, every_fault_is_told, 0, 2);
    tcase_add_test(writer, a_failing_stat_does_not_stop_publishing);
    tcase_add_test(writer, a_full_disk_is_told);
    suite_add_tcase(s, writer);

    tcase_add_checked_fixture(reader, set_up, tear_down);
    tcase_set_timeout(reader, 30);
    tcase_add_test(reader, a_missing_directory_is_a_slip_where_it_was_named);
    tcase_add_test(reader, a_directory_of_others_is_refused);
    tcase_add_test(reader, strangers_are_passed_over);
    tcase_add_test(reader, a_page_of_another_user_is_passed_over);
    tcase_add_test(reader, pages_of_the_dead_are_removed);
    tcase_add_test(reader, empty_pages_of_the_dead_are_removed);
    tcase_add_test(reader, a_reused_pid_is_a_dead_process);
    tcase_add_test(reader, pages_come_in_order);
    tcase_add_test(reader, ten_thousand_files_do_no_harm);
    tcase_add_test(reader, a_writer_that_died_within_an_update_leaves_no_page);
    tcase_add_loop_test(reader, a_page_of_another_version_is_shown_as_such, 0,
                        ROWS(others));
    tcase_add_test(reader, another_version_is_no_excuse);
    tcase_add_test(reader, a_busy_writer_is_read_whole);
    tcase_add_test(reader, the_directory_follows_the_environment);
    tcase_add_test(reader, the_runtime_directory_of_another_user_is_not_used);
    tcase_add_test(reader, the_default_directory_is_used);
    suite_add_tcase(s, reader);
    return s;
}
