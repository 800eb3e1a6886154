/* SPDX-License-Identifier: MIT */
/* gov metrics: samples in, text out, and a reader that takes nothing but OpenMetrics,
 * version 1.0, of the kinds that are written here. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/run.h"
#include "tools/gov/metrics_text.h"

#define MIB (UINT64_C(1) << 20)
#define UNTOLD UINT64_MAX

/* ---- a reader --------------------------------------------------------------------- */

#define FAMILIES 128
#define SAMPLES 2048

static struct {
    char families[FAMILIES][64]; /* in the order of their lines */
    size_t family_count;
    char type[16], unit[16];
    bool help, sampled;
    char samples[SAMPLES][1024]; /* name and labels */
    size_t sample_count;
} seen;

static char complaint[256];

#define REFUSE(...)                                                            \
    do {                                                                       \
        snprintf(complaint, sizeof(complaint), __VA_ARGS__);                   \
        return false;                                                          \
    } while (0)

static size_t name_length(const char *at)
{
    size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXY"
                          "Z_:0123456789");

    return *at >= '0' && *at <= '9' ? 0 : n;
}

/* Bytes of one well-formed character, 0 where there is none. */
static size_t utf8(const unsigned char *at)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = at[0] < 0x80                    ? 1
               : at[0] >= 0xC2 && at[0] < 0xE0 ? 2
               : at[0] >= 0xE0 && at[0] < 0xF0 ? 3
               : at[0] >= 0xF0 && at[0] < 0xF5 ? 4
                                               : 0;
    uint32_t c = n == 1 ? at[0] : at[0] & (0x7FU >> n);

    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (at[i] & 0x3FU);
    }
    return c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : n;
}

/* A family begins: none of the others, nor a name that one of the others uses. */
static bool begin_family(const char *name)
{
    char clash[80];

    for (size_t i = 0; i < seen.family_count; i++) {
        if (strcmp(seen.families[i], name) == 0)
            REFUSE("%.100s is interleaved, or there twice", name);
        snprintf(clash, sizeof(clash), "%s_total", seen.families[i]);
        if (strcmp(clash, name) == 0)
            REFUSE("%s clashes with the samples of a counter", name);
    }
    if (seen.family_count == FAMILIES || strlen(name) >= 64)
        REFUSE("too many families, or too long a name");
    snprintf(seen.families[seen.family_count++], 64, "%s", name);
    seen.type[0] = seen.unit[0] = '\0';
    seen.help = seen.sampled = false;
    return true;
}

/* "# TYPE name rest" */
static bool read_metadata(const char *line)
{
    char word[8], name[64], rest[256], end[32];

    if (sscanf(line, "# %7s %63s %255[^\n]", word, name, rest) != 3)
        REFUSE("no metadata: %.100s", line);
    if (name_length(name) != strlen(name))
        REFUSE("no name: %.100s", name);
    if ((seen.family_count == 0 ||
         strcmp(seen.families[seen.family_count - 1], name) != 0) &&
        !begin_family(name))
        return false;
    if (seen.sampled)
        REFUSE("%s has metadata behind its samples", name);
    if (strcmp(word, "TYPE") == 0) {
        if (seen.type[0] != '\0' ||
            (strcmp(rest, "gauge") != 0 && strcmp(rest, "counter") != 0))
            REFUSE("%s has two types, or one that is none", name);
        snprintf(seen.type, sizeof(seen.type), "%.15s", rest);
    } else if (strcmp(word, "UNIT") == 0) {
        snprintf(end, sizeof(end), "_%.30s", rest);
        if (seen.unit[0] != '\0' || strlen(rest) >= sizeof(seen.unit) ||
            strlen(name) < strlen(end) ||
            strcmp(name + strlen(name) - strlen(end), end) != 0)
            REFUSE("%s has two units, or one that does not end its name", name);
        snprintf(seen.unit, sizeof(seen.unit), "%.15s", rest);
    } else if (strcmp(word, "HELP") == 0) {
        if (seen.help || strpbrk(rest, "\\\"") != NULL)
            REFUSE("%s has two helps, or one with escapes", name);
        seen.help = true;
    } else {
        REFUSE("no such word: %.100s", word);
    }
    return true;
}

/* A label's value, from behind its quote to behind the other; NULL: malformed. */
static const char *skip_value(const char *at)
{
    while (*at != '"') {
        size_t n = utf8((const unsigned char *)at);

        if (n == 0 || *at == '\0')
            return NULL;
        if (*at == '\\') {
            if (at[1] != '\\' && at[1] != '"' && at[1] != 'n')
                return NULL;
            n = 2;
        }
        at += n;
    }
    return at + 1;
}

static bool is_number(const char *at)
{
    size_t whole = strspn(at, "0123456789"), behind;

    if (whole == 0)
        return false;
    at += whole;
    if (*at == '\0')
        return true;
    behind = strspn(at + 1, "0123456789");
    return *at == '.' && behind > 0 && at[1 + behind] == '\0';
}

/* Labels from the opening brace to behind the closing one. */
static const char *skip_labels(const char *at)
{
    char names[16][32];
    size_t count = 0;

    do {
        size_t n = name_length(++at);

        if (n == 0 || n >= 32 || count == 16 || at[n] != '=' ||
            at[n + 1] != '"')
            return NULL;
        memcpy(names[count], at, n);
        names[count][n] = '\0';
        for (size_t i = 0; i < count; i++)
            if (strcmp(names[i], names[count]) == 0)
                return NULL;
        count++;
        at = skip_value(at + n + 2);
    } while (at != NULL && *at == ',');
    return at != NULL && *at == '}' ? at + 1 : NULL;
}

static bool read_sample(const char *line)
{
    const char *at = line + name_length(line), *family;
    size_t name = (size_t)(at - line), length;

    if (seen.family_count == 0)
        REFUSE("a sample before any metadata");
    family = seen.families[seen.family_count - 1];
    length = strlen(family);
    if (seen.type[0] == '\0')
        REFUSE("%.100s has no type before its samples", family);
    if (strncmp(line, family, length) != 0 || name < length ||
        (strcmp(seen.type, "counter") == 0
             ? name != length + 6 || strncmp(line + length, "_total", 6) != 0
             : name != length))
        REFUSE("not a sample of %.100s: %.100s", family, line);
    if (*at == '{')
        at = skip_labels(at);
    if (at == NULL || *at != ' ' || !is_number(at + 1))
        REFUSE("malformed: %.100s", line);
    seen.sampled = true;
    length = (size_t)(at - line);
    if (seen.sample_count == SAMPLES || length >= 1024)
        REFUSE("too many samples, or too long a line");
    memcpy(seen.samples[seen.sample_count], line, length);
    seen.samples[seen.sample_count][length] = '\0';
    for (size_t i = 0; i < seen.sample_count; i++)
        if (strcmp(seen.samples[i], seen.samples[seen.sample_count]) == 0)
            REFUSE("there twice: %.100s", seen.samples[i]);
    seen.sample_count++;
    return true;
}

/* False, and `complaint` says why, when the text is not as it must be. */
static bool is_open_metrics(const char *text)
{
    static char line[4096];

    memset(&seen, 0, sizeof(seen));
    while (*text != '\0') {
        const char *end = strchr(text, '\n');

        if (end == NULL || (size_t)(end - text) >= sizeof(line))
            REFUSE("the last line has no end, or one is too long");
        memcpy(line, text, (size_t)(end - text));
        line[end - text] = '\0';
        text = end + 1;
        if (strcmp(line, "# EOF") == 0) {
            if (*text != '\0')
                REFUSE("something behind the end");
            return true;
        }
        if (line[0] == '#' ? !read_metadata(line) : !read_sample(line))
            return false;
    }
    REFUSE("no end");
}

static const struct {
    const char *text;
    bool valid;
} texts[] = {
    {"# EOF\n", true},
    {"# TYPE a gauge\na 1\n# EOF\n", true},
    {"# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds h\n"
     "a_seconds_total{b=\"c\\\\\\\"\\n\xC3\xA4\",d=\"\"} 1.5\n# EOF\n",
     true},
    {"", false},
    {"# EOF", false},
    {"# EOF\n\n", false},
    {"\n# EOF\n", false},
    {"# TYPE a gauge\na 1\n", false},
    {"a 1\n# EOF\n", false},
    {"# HELP a h\na 1\n# EOF\n", false},
    {"# TYPE a stateset\na 1\n# EOF\n", false},
    {"# TYPE a gauge\n# TYPE a gauge\na 1\n# EOF\n", false},
    {"# TYPE a gauge\na 1\n# HELP a h\n# EOF\n", false},
    {"# TYPE a gauge\na 1\na 2\n# EOF\n", false},
    {"# TYPE a gauge\na{b=\"1\"} 1\n# TYPE c gauge\nc 1\na{b=\"2\"} 1\n# EOF\n",
     false},
    {"# TYPE a gauge\na 1\n# TYPE c gauge\nc 1\n# TYPE a gauge\n# EOF\n",
     false},
    {"# TYPE a counter\na 1\n# EOF\n", false},
    {"# TYPE a gauge\na_total 1\n# EOF\n", false},
    {"# TYPE a counter\na_total 1\n# TYPE a_total gauge\na_total 1\n# EOF\n",
     false},
    {"# TYPE a gauge\n# UNIT a bytes\na 1\n# EOF\n", false},
    {"# TYPE a gauge\na{b=\"c\"d\"} 1\n# EOF\n", false},
    {"# TYPE a gauge\na{b=\"c\\d\"} 1\n# EOF\n", false},
    {"# TYPE a gauge\na{b=\"\xFF\"} 1\n# EOF\n", false},
    {"# TYPE a gauge\na{b=\"c\nd\"} 1\n# EOF\n", false},
    {"# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n# EOF\n", false},
    {"# TYPE a gauge\na{b=\"1\",} 1\n# EOF\n", false},
    {"# TYPE a gauge\na  1\n# EOF\n", false},
    {"# TYPE a gauge\na -1.\n# EOF\n", false},
    {"# TYPE 1a gauge\n1a 1\n# EOF\n", false},
};

START_TEST(the_reader_is_strict)
{
    ck_assert_msg(is_open_metrics(texts[_i].text) == texts[_i].valid, "%s: %s",
                  texts[_i].text, complaint);
}
END_TEST

/* ---- what is written -------------------------------------------------------------- */

static struct gov_machine machine;
static struct gov_page pages[3];
static struct gov_process others[2];
static struct gov_metrics metrics;
static char *text;

#define TEXT(page, field, value)                                               \
    snprintf((page)->text_##field, sizeof((page)->text_##field), "%s", value)

static void set(struct gov_page *page, gov_page_counter counter, uint64_t n)
{
    page->have |= UINT64_C(1) << counter;
    page->counter[counter] = n;
}

static void start(void)
{
    memset(&machine, 0, sizeof(machine));
    memset(pages, 0, sizeof(pages));
    memset(others, 0, sizeof(others));
    metrics = (struct gov_metrics){
        .machine = &machine, .pages = pages, .others = others};
    machine.now_us = 10000000;
    for (int i = 0; i < 3; i++)
        pages[i].pid = 100 + i;
    TEXT(&pages[0], APP, "app");
    TEXT(&pages[0], MODEL, "model-Q4");
    TEXT(&pages[0], ENGINE, "llama.cpp");
    TEXT(&pages[0], STRATEGY, "hybrid");
    text = NULL;
}

static void stop(void)
{
    free(text);
}

static void write_metrics(void)
{
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    ck_assert_ptr_nonnull(out);
    ck_assert(gov_metrics_write(&metrics, out));
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_msg(is_open_metrics(text), "%s", complaint);
}

/* Check ends a test whose message is as long as the text. */
#define HAS(line)                                                              \
    ck_assert_msg(strstr(text, "\n" line "\n") != NULL, "no line %s", line)
#define HAS_NOT(part) ck_assert_msg(strstr(text, part) == NULL, "%s", part)
#define LABELS                                                                 \
    "pid=\"100\",app=\"app\",model=\"model-Q4\",engine=\"llama.cpp\","         \
    "strategy=\"hybrid\""

START_TEST(nothing_is_a_sample)
{
    write_metrics();
    ck_assert_uint_eq(seen.sample_count, 1);
    HAS("governor_processes 0");
    HAS_NOT("ungoverned");
}
END_TEST

/* Base units: no rounding, no exponent, no zeros for nothing. */
START_TEST(units_are_base_units)
{
    metrics.page_count = 1;
    set(&pages[0], GOV_PAGE_FOOTPRINT, UINT64_MAX);
    set(&pages[0], GOV_PAGE_FIRST_TOKEN_US, 312000);
    set(&pages[0], GOV_PAGE_PASS_US, 1);
    set(&pages[0], GOV_PAGE_STALL_US, 12345678);
    set(&pages[0], GOV_PAGE_WEIGHTS_WAIT_US, 2000000);
    set(&pages[0], GOV_PAGE_TOKEN_RATE_MILLI, 11034);
    set(&pages[0], GOV_PAGE_WEIGHTS_WARM, 1000);
    set(&pages[0], GOV_PAGE_UPDATED_US, 9750000);
    set(&pages[0], GOV_PAGE_LEVEL, 50);
    set(&pages[0], GOV_PAGE_TOKENS, 0);
    write_metrics();
    HAS("governor_footprint_bytes{" LABELS "} 18446744073709551615");
    HAS("governor_first_token_seconds{" LABELS "} 0.312");
    HAS("governor_pass_seconds{" LABELS "} 0.000001");
    HAS("governor_stall_seconds_total{" LABELS "} 12.345678");
    HAS("governor_weights_wait_seconds_total{" LABELS "} 2");
    HAS("governor_tokens_per_second{" LABELS "} 11.034");
    HAS("governor_weights_warm_ratio{" LABELS "} 1");
    HAS("governor_page_age_seconds{" LABELS "} 0.25");
    HAS("governor_level{" LABELS "} 50");
    HAS("governor_tokens_total{" LABELS "} 0");
    HAS("# UNIT governor_weights_warm_ratio ratio");
    /* What the process does not know is no zero. */
    HAS_NOT("governor_budget_bytes");
    ck_assert_uint_eq(seen.sample_count, 11);
}
END_TEST

/* The clocks of two processors may be a little apart. */
START_TEST(a_page_is_not_from_the_future)
{
    metrics.page_count = 1;
    set(&pages[0], GOV_PAGE_UPDATED_US, machine.now_us + 5);
    write_metrics();
    HAS("governor_page_age_seconds{" LABELS "} 0");
}
END_TEST

/* A bit of the page and a family for each, in one run of lines for all processes. */
START_TEST(every_counter_is_a_metric)
{
    metrics.page_count = 3;
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
            set(&pages[n], (gov_page_counter)i, (uint64_t)i);
    write_metrics();
    ck_assert_uint_eq(seen.sample_count, 3 * GOV_PAGE_COUNTERS + 1);
    ck_assert_uint_eq(seen.family_count, GOV_PAGE_COUNTERS + 1);
    HAS("governor_processes 3");
}
END_TEST

/* The page says of each whether it only grows: those are the totals. */
START_TEST(totals_are_counters)
{
    static const char *const names[] = {"major_faults",
                                        "minor_faults",
                                        "read_bytes",
                                        "weights_streamed_bytes",
                                        "weights_late_units",
                                        "kv_given_back_bytes",
                                        "tokens",
                                        "reliefs",
                                        "yield_bytes",
                                        "refault_bytes",
                                        "weights_wait_seconds",
                                        "stall_seconds",
                                        "requests",
                                        "telemetry_lost_rows"};
    size_t count = 0;
    char line[96];

    metrics.page_count = 1;
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        set(&pages[0], (gov_page_counter)i, 1);
    write_metrics();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(line, sizeof(line), "# TYPE governor_%s counter\n", names[i]);
        ck_assert_msg(strstr(text, line) != NULL, "%s", names[i]);
    }
    for (const char *at = text; (at = strstr(at, " counter\n")) != NULL; at++)
        count++;
    ck_assert_uint_eq(count, sizeof(names) / sizeof(names[0]));
}
END_TEST

static const struct {
    const char *app, *want;
} labels[] = {
    {"a\"b", "app=\"a\\\"b\","},
    {"a\\", "app=\"a\\\\\","},
    {"\\n\"} 1", "app=\"\\\\n\\\"} 1\","},
    {"a\nb\r\t\033[2J", "app=\"a?b???[2J\","},
    {"\xC3\xA4 \xF0\x9F\xA6\x99", "app=\"\xC3\xA4 \xF0\x9F\xA6\x99\","},
    {"\xC3(\xFF\x80", "app=\"?(??\","},
    {"", "app=\"\","},
};

START_TEST(labels_are_escaped)
{
    metrics.page_count = 2;
    metrics.have_others = true;
    metrics.other_count = 1;
    TEXT(&pages[0], APP, labels[_i].app);
    TEXT(&pages[1], MODEL, labels[_i].app);
    set(&pages[0], GOV_PAGE_FOOTPRINT, 1);
    set(&pages[1], GOV_PAGE_FOOTPRINT, 1);
    snprintf(pages[0].action[0].name, 32, "x%s", labels[_i].app);
    snprintf(others[0].name, sizeof(others[0].name), "%s", labels[_i].app);
    snprintf(machine.limit_source, sizeof(machine.limit_source), "%s",
             labels[_i].app);
    machine.have = GOV_MACHINE_HAVE_LIMIT;
    write_metrics();
    ck_assert_msg(strstr(text, labels[_i].want) != NULL, "no %s",
                  labels[_i].want);
}
END_TEST

static void add_action(int at, const char *name, uint64_t yield)
{
    struct gov_page_action *action = &pages[0].action[at];

    snprintf(action->name, sizeof(action->name), "%s", name);
    action->from_level = 50;
    action->flags = at == 1 ? GOV_PAGE_ACTION_RETIRED : 0;
    action->runs = 4;
    action->rest_ms = 1500;
    action->claimed_bytes = yield + 1;
    action->yield_bytes = yield;
    action->last_yield_bytes = yield / 4;
}

/* Two sessions have an action of the same name. */
START_TEST(actions_have_their_yield)
{
    metrics.page_count = 2;
    add_action(0, "drop cache", 4 * MIB);
    add_action(1, "kv", 8 * MIB);
    add_action(2, "kv", 12 * MIB);
    write_metrics();
    HAS("governor_action_yield_bytes_total{" LABELS
        ",action=\"drop cache\"} 4194304");
    HAS("governor_action_yield_bytes_total{" LABELS ",action=\"kv\"} 8388608");
    HAS("governor_action_yield_bytes_total{" LABELS
        ",action=\"kv\",namesake=\"2\"} 12582912");
    HAS("governor_action_claimed_bytes_total{" LABELS
        ",action=\"kv\"} 8388609");
    HAS("governor_action_last_yield_bytes{" LABELS ",action=\"kv\"} 2097152");
    HAS("governor_action_runs_total{" LABELS ",action=\"kv\"} 4");
    HAS("governor_action_rest_seconds{" LABELS ",action=\"kv\"} 1.5");
    HAS("governor_action_from_level{" LABELS ",action=\"kv\"} 50");
    HAS("governor_action_retired{" LABELS ",action=\"kv\"} 1");
    HAS("governor_action_retired{" LABELS ",action=\"drop cache\"} 0");
    HAS("governor_action_running{" LABELS ",action=\"kv\"} 0");
    HAS("governor_action_overdue{" LABELS ",action=\"kv\"} 0");
    ck_assert_uint_eq(seen.sample_count, 1 + 9 * 3);
}
END_TEST

START_TEST(the_machine_is_there)
{
    machine.have = GOV_MACHINE_HAVE_RAM | GOV_MACHINE_HAVE_SWAP |
                   GOV_MACHINE_HAVE_LIMIT | GOV_MACHINE_HAVE_STALL |
                   GOV_MACHINE_HAVE_IO_STALL;
    machine.ram_bytes = 16;
    machine.available_bytes = 9;
    machine.swap_bytes = 8;
    machine.swap_free_bytes = 7;
    machine.limit_bytes = 6;
    machine.limit_used_bytes = 5;
    machine.limit_file_bytes = 4;
    snprintf(machine.limit_source, sizeof(machine.limit_source), "%s",
             "cgroup v2 /a, memory.max");
    machine.stall_some_us = 3000001;
    machine.stall_full_us = 2000000;
    machine.io_some_us = 1500000;
    snprintf(machine.stall_source, sizeof(machine.stall_source), "%s",
             "own cgroup");
    write_metrics();
    ck_assert_ptr_eq(strstr(text, "# TYPE governor_machine_memory_bytes gauge\n"
                                  "# UNIT governor_machine_memory_bytes bytes\n"
                                  "# HELP governor_machine_memory_bytes RAM.\n"
                                  "governor_machine_memory_bytes 16\n"),
                     text);
    HAS("governor_machine_available_bytes 9");
    HAS("governor_machine_swap_bytes 8");
    HAS("governor_machine_swap_free_bytes 7");
    HAS("governor_machine_limit_bytes{source=\"cgroup v2 /a, memory.max\"} 6");
    HAS("governor_machine_limit_used_bytes{source=\"cgroup v2 /a, "
        "memory.max\"} 5");
    HAS("governor_machine_limit_file_bytes{source=\"cgroup v2 /a, "
        "memory.max\"} 4");
    HAS("governor_machine_memory_stall_seconds_total{stalled=\"some\","
        "source=\"own cgroup\"} 3.000001");
    HAS("governor_machine_memory_stall_seconds_total{stalled=\"full\","
        "source=\"own cgroup\"} 2");
    HAS("governor_machine_io_stall_seconds_total{stalled=\"some\","
        "source=\"own cgroup\"} 1.5");
    ck_assert_uint_eq(seen.sample_count, 11);
}
END_TEST

/* What the kernel does not tell of them is no sample. */
START_TEST(others_are_marked)
{
    metrics.have_others = true;
    metrics.other_count = 2;
    others[0] = (struct gov_process){.pid = 7,
                                     .name = "ollama",
                                     .model = "m.gguf",
                                     .footprint_bytes = 1,
                                     .swap_bytes = 2,
                                     .resident_file_bytes = 3,
                                     .mapped_bytes = 4,
                                     .mapped_resident_bytes = 5,
                                     .major_faults = 6,
                                     .minor_faults = 7,
                                     .read_bytes = 8};
    others[1] = (struct gov_process){.pid = 8,
                                     .name = "lms",
                                     .footprint_bytes = 9,
                                     .swap_bytes = UNTOLD,
                                     .resident_file_bytes = UNTOLD,
                                     .mapped_bytes = UNTOLD,
                                     .mapped_resident_bytes = UNTOLD,
                                     .major_faults = UNTOLD,
                                     .minor_faults = UNTOLD,
                                     .read_bytes = UNTOLD};
    write_metrics();
    HAS("governor_ungoverned_processes 2");
#define OTHER "{pid=\"7\",name=\"ollama\",model=\"m.gguf\"} "
    HAS("governor_ungoverned_footprint_bytes" OTHER "1");
    HAS("governor_ungoverned_swap_bytes" OTHER "2");
    HAS("governor_ungoverned_resident_file_bytes" OTHER "3");
    HAS("governor_ungoverned_mapped_bytes" OTHER "4");
    HAS("governor_ungoverned_mapped_resident_bytes" OTHER "5");
    HAS("governor_ungoverned_major_faults_total" OTHER "6");
    HAS("governor_ungoverned_minor_faults_total" OTHER "7");
    HAS("governor_ungoverned_read_bytes_total" OTHER "8");
    HAS("governor_ungoverned_footprint_bytes{pid=\"8\",name=\"lms\","
        "model=\"\"} 9");
    ck_assert_uint_eq(seen.sample_count, 2 + 9);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
    FILE *out = fopen("/dev/full", "w");

    if (out == NULL) {
        skip_test("a_full_disk_is_told", "this system has no /dev/full");
        return;
    }
    setvbuf(out, NULL, _IONBF, 0);
    ck_assert(!gov_metrics_write(&metrics, out));
    fclose(out);
}
END_TEST

#define ADD_ROWS(tc, test, table)                                              \
    tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

Suite *suite(void)
{
    Suite *s = suite_create("metrics");
    TCase *tc = tcase_create("metrics");

    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(tc, start, stop);
    ADD_ROWS(tc, the_reader_is_strict, texts);
    tcase_add_test(tc, nothing_is_a_sample);
    tcase_add_test(tc, units_are_base_units);
    tcase_add_test(tc, a_page_is_not_from_the_future);
    tcase_add_test(tc, every_counter_is_a_metric);
    tcase_add_test(tc, totals_are_counters);
    ADD_ROWS(tc, labels_are_escaped, labels);
    tcase_add_test(tc, actions_have_their_yield);
    tcase_add_test(tc, the_machine_is_there);
    tcase_add_test(tc, others_are_marked);
    tcase_add_test(tc, a_full_disk_is_told);
    return s;
}
