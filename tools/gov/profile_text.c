/* SPDX-License-Identifier: MIT */
/* Sections of rows: a name, a value, and where it is from in a dimmer tone. A
 * text that is too long for its column goes on in the same column, so the names
 * on the left always line up. */
#include "tools/gov/profile_text.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policies/capacity.h"
#include "tools/cli/text.h"

#define COLUMNS_MIN 60
#define COLUMNS_MAX 100
#define VALUE_AT 21   /* column where values start */
#define VALUE_MOST 40 /* a longer one has a line of its own */
#define MARK_MOST 7
#define SOURCE_LEAST 24 /* columns; with less it goes below */
#define CONTEXT 4096    /* tokens that a model is to have room for */

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"

struct row {
    char label[40], value[192];
    char mark[24], source[320]; /* a word that stands out, and the rest */
    const char *mark_colour, *value_colour; /* NULL: none */
    bool may_be_marked;                     /* keeps the room for it */
};

struct table {
    const struct gov_profile_look *look;
    int mark_columns;
    size_t count;
    struct row row[48];
};

/* ---- columns --------------------------------------------------------------- */

struct gov_profile_look gov_profile_look(void)
{
    struct gov_profile_look look = {COLUMNS_MAX, cli_colour(STDOUT_FILENO),
                                    (int64_t)time(NULL)};
    int columns = cli_columns(STDOUT_FILENO, COLUMNS_MAX);

    if (columns < COLUMNS_MAX)
        look.columns = columns < COLUMNS_MIN ? COLUMNS_MIN : columns;
    return look;
}

static void paint(const struct gov_profile_look *look, const char *code)
{
    if (look->colour && code != NULL)
        fputs(code, stdout);
}

static void put_painted(const struct gov_profile_look *look, const char *code,
                        const char *text)
{
    paint(look, code);
    fputs(text, stdout);
    paint(look, code != NULL ? "\033[0m" : NULL);
}

static void put_source(const struct table *table, const struct row *row,
                       int column)
{
    const struct gov_profile_look *look = table->look;

    if (row->may_be_marked &&
        (table->mark_columns > 0 || row->mark[0] != '\0')) {
        int pad = table->mark_columns - cli_width(row->mark);

        put_painted(look, row->mark_colour, row->mark);
        column += cli_width(row->mark);
        if (row->source[0] != '\0')
            column += printf("%*s", pad > 0 ? pad + 2 : 2, "");
    }
    paint(look, DIM);
    cli_put_wrapped(row->source, column, column, look->columns);
    paint(look, "\033[0m");
}

/* `at` is where sources start in this table. */
static void put_row(const struct table *table, const struct row *row, int at)
{
    const struct gov_profile_look *look = table->look;
    int column = 2 + cli_width(row->label);
    int source = cli_width(row->source) + table->mark_columns + 4;

    printf("  %s", row->label);
    if (column + 2 > VALUE_AT) {
        putchar('\n');
        column = 0;
    }
    printf("%*s", VALUE_AT - column, "");
    paint(look, row->value_colour);
    column = cli_put_wrapped(row->value, VALUE_AT, VALUE_AT, look->columns);
    paint(look, row->value_colour != NULL ? "\033[0m" : NULL);
    if (row->source[0] == '\0' && row->mark[0] == '\0') {
        putchar('\n');
        return;
    }
    /* Below, when there is no room beside it. */
    if (look->columns - at < SOURCE_LEAST && at + source > look->columns + 2)
        at = VALUE_AT + 2;
    if (column + 2 > at && column + source > look->columns) {
        putchar('\n');
        column = 0;
    }
    if (column + 2 > at && column > 0)
        column += printf("  ");
    else
        column += printf("%*s", at - column, "");
    put_source(table, row, column);
    putchar('\n');
}

/* A title, what stands beside it, and the rows; nothing without rows. Empties
 * the table. */
static void put_table(struct table *table, const char *title, const char *note)
{
    int widest = 0;

    if (table->count == 0)
        return;
    table->mark_columns = 0;
    for (size_t i = 0; i < table->count; i++) {
        int wide = cli_width(table->row[i].value);

        if (wide <= VALUE_MOST && wide > widest)
            widest = wide;
        /* The word for both at once is rare, and may stand out. */
        wide = cli_width(table->row[i].mark);
        if (wide > table->mark_columns && wide <= MARK_MOST)
            table->mark_columns = wide;
    }
    put_painted(table->look, BOLD, title);
    if (note[0] != '\0') {
        int column = (int)strlen(title) + printf("  ");

        paint(table->look, DIM);
        cli_put_wrapped(note, column, 2, table->look->columns);
        paint(table->look, "\033[0m");
    }
    putchar('\n');
    for (size_t i = 0; i < table->count; i++)
        put_row(table, &table->row[i], VALUE_AT + widest + 2);
    putchar('\n');
    table->count = 0;
}

static struct row *add(struct table *table, const char *label,
                       const char *value, const char *source)
{
    struct row *row;

    if (table->count == sizeof(table->row) / sizeof(table->row[0]))
        table->count--; /* cannot be: there is room for all facts of a device */
    row = &table->row[table->count++];
    memset(row, 0, sizeof(*row));
    snprintf(row->label, sizeof(row->label), "%s", label);
    snprintf(row->value, sizeof(row->value), "%s", value);
    snprintf(row->source, sizeof(row->source), "%s", source);
    return row;
}

/* ---- facts ----------------------------------------------------------------- */

enum section { MACHINE, MEMORY, WORKS, ELSEWHERE, MORE };

/* In the order they are shown. ELSEWHERE: shown with what it is made of. */
static const struct {
    gov_fact fact;
    enum section section;
    const char *label;
} words[] = {
    {GOV_FACT_DEVICE_SYSTEM, MACHINE, "system"},
    {GOV_FACT_DEVICE_CPU, MACHINE, "processor"},
    {GOV_FACT_DEVICE_ARCH, MACHINE, "architecture"},
    {GOV_FACT_DEVICE_CORES, MACHINE, "processors"},
    {GOV_FACT_DEVICE_PERFORMANCE_CORES, MACHINE, "  performance"},
    {GOV_FACT_DEVICE_EFFICIENCY_CORES, MACHINE, "  efficiency"},
    {GOV_FACT_DEVICE_SIMD, MACHINE, "vectors"},
    {GOV_FACT_DEVICE_RAM, MEMORY, "installed"},
    {GOV_FACT_DEVICE_LIMIT, MEMORY, "limit"},
    {GOV_FACT_DEVICE_RESERVE, MEMORY, "reserve"},
    {GOV_FACT_DEVICE_OTHERS, MEMORY, "used by others"},
    {GOV_FACT_BUDGET_RAM, MEMORY, "for models"},
    {GOV_FACT_DEVICE_SWAP, MEMORY, "swap"},
    {GOV_FACT_DEVICE_ZRAM, MEMORY, "  in zram"},
    {GOV_FACT_DEVICE_ZSWAP, MEMORY, "  through zswap"},
    {GOV_FACT_DEVICE_PAGE_SIZE, MEMORY, "page"},
    {GOV_FACT_DEVICE_HUGE_PAGE, MEMORY, "huge page"},
    {GOV_FACT_DEVICE_HUGE_PAGES, MEMORY, "  given"},
    {GOV_FACT_DEVICE_OVERCOMMIT, MEMORY, "overcommit"},
    {GOV_FACT_DEVICE_MEMLOCK, MEMORY, "may be locked"},
    {GOV_FACT_DEVICE_WIRED_LIMIT, MEMORY, "wired limit"},
    {GOV_FACT_DEVICE_PRESSURE_BACKEND, WORKS, "pressure"},
    {GOV_FACT_DEVICE_PSI, WORKS, "PSI"},
    {GOV_FACT_DEVICE_USERFAULTFD, WORKS, "userfaultfd"},
    {GOV_FACT_DEVICE_CACHESTAT, WORKS, "cachestat"},
    {GOV_FACT_DEVICE_IO_URING, WORKS, "io_uring"},
    {GOV_FACT_DEVICE_OS, ELSEWHERE, ""},
    {GOV_FACT_DEVICE_READ_RATE, ELSEWHERE, ""},
    {GOV_FACT_DEVICE_DIRECT_RATE, ELSEWHERE, ""},
    {GOV_FACT_DEVICE_READ_PATH, ELSEWHERE, ""},
    {GOV_FACT_DEVICE_RANDOM_READ_RATE, ELSEWHERE, ""},
    {GOV_FACT_DEVICE_MEMORY_RATE, ELSEWHERE, ""},
    {GOV_FACT_DEVICE_TIER, ELSEWHERE, ""},
    {GOV_FACT_GPU_COUNT, ELSEWHERE, ""},
    {GOV_FACT_GPU_WORKING_SET, ELSEWHERE, ""},
    {GOV_FACT_GPU_SHARES_RAM, ELSEWHERE, ""},
    {GOV_FACT_BUDGET_GPU, ELSEWHERE, ""},
    {GOV_FACT_DEVICE_REPACK_GAIN, ELSEWHERE, ""},
    {GOV_FACT_DEVICE_HUGE_GAIN, ELSEWHERE, ""},
};

#define WORDS (sizeof(words) / sizeof(words[0]))

static void put_value(char *out, size_t bytes,
                      const struct gov_device_fact *fact)
{
    gov_type type = gov_fact_info(fact->fact)->type;
    struct gov_value value = {true, (int64_t)fact->number, fact->text};
    char size[CLI_SIZE_BYTES];

    if (type == GOV_TYPE_TEXT)
        snprintf(out, bytes, "%s", fact->text[0] != '\0' ? fact->text : "none");
    else if (fact->number >= INT64_MAX)
        snprintf(out, bytes, "unlimited");
    else if (type == GOV_TYPE_BYTES)
        snprintf(out, bytes, "%s",
                 fact->number == 0 ? "none" : cli_size(size, fact->number));
    else
        gov_value_print(out, bytes, type, &value);
}

static void add_fact(struct table *table, const char *label,
                     const struct gov_device_fact *fact)
{
    char value[192] = "unknown";
    struct row *row;

    /* A limit that is there is known, or probing fails. */
    if (fact->fact == GOV_FACT_DEVICE_LIMIT && !fact->known) {
        add(table, label, "none", "");
        return;
    }
    if (fact->known)
        put_value(value, sizeof(value), fact);
    row = add(table, label, value, fact->source);
    if (fact->fact == GOV_FACT_BUDGET_RAM && fact->known)
        row->value_colour = BOLD;
    else if (!fact->known)
        row->value_colour = DIM;
}

/* Whether two facts are unknown for one reason, which is then said once. */
static bool alike_unknown(const struct gov_device_fact *a,
                          const struct gov_device_fact *b)
{
    return a != NULL && b != NULL && !a->known && !b->known &&
           strcmp(a->source, b->source) == 0;
}

static void put_facts(struct table *table, const struct gov_device *device,
                      enum section section, const char *title)
{
    bool one_kind = alike_unknown(
        gov_device_fact(device, GOV_FACT_DEVICE_PERFORMANCE_CORES),
        gov_device_fact(device, GOV_FACT_DEVICE_EFFICIENCY_CORES));

    for (size_t i = 0; i < WORDS; i++) {
        const struct gov_device_fact *fact =
            words[i].section == section ? gov_device_fact(device, words[i].fact)
                                        : NULL;
        const char *label = words[i].label;

        /* Others count only where there is a limit to share with them. */
        if (fact == NULL ||
            (!fact->known && fact->fact == GOV_FACT_DEVICE_OTHERS) ||
            (one_kind && fact->fact == GOV_FACT_DEVICE_EFFICIENCY_CORES))
            continue;
        if (one_kind && fact->fact == GOV_FACT_DEVICE_PERFORMANCE_CORES)
            label = "  their kinds";
        add_fact(table, label, fact);
    }
    put_table(table, title, "");
}

/* Facts of a later library that have no words here yet. */
static void put_more(struct table *table, const struct gov_device *device)
{
    for (uint32_t i = 0; i < device->fact_count; i++) {
        const struct gov_device_fact *fact = &device->facts[i];
        size_t at = 0;

        while (at < WORDS && words[at].fact != fact->fact)
            at++;
        if (at == WORDS && gov_fact_info(fact->fact) != NULL)
            add_fact(table, gov_fact_info(fact->fact)->name, fact);
    }
    put_table(table, "More", "");
}

/* ---- graphics -------------------------------------------------------------- */

static void add_gpu(struct table *table, const struct gov_gpu *gpu, uint32_t n)
{
    char label[24], value[192], size[CLI_SIZE_BYTES], source[256];
    const char *then = "";
    size_t used = 0;

    snprintf(label, sizeof(label), "GPU %" PRIu32, n);
    snprintf(source, sizeof(source), "%s%s%s", gpu->source,
             gpu->bus[0] != '\0' ? ", at " : "", gpu->bus);
    add(table, label, gpu->name[0] != '\0' ? gpu->name : "unnamed", source);
    if (gpu->software) {
        add(table, "", "draws on the processor; not counted", "");
        return;
    }
    value[0] = '\0';
    if (gpu->shares_ram)
        used += (size_t)snprintf(value, sizeof(value), "shares the memory");
    else if (gpu->memory_bytes != 0)
        used += (size_t)snprintf(value, sizeof(value), "%s of its own",
                                 cli_size(size, gpu->memory_bytes));
    then = used > 0 ? ", " : "";
    if (gpu->working_set_bytes != 0)
        used +=
            (size_t)snprintf(value + used, sizeof(value) - used, "%s%s at once",
                             then, cli_size(size, gpu->working_set_bytes));
    then = used > 0 ? ", " : "";
    if (gpu->used_bytes != 0)
        used +=
            (size_t)snprintf(value + used, sizeof(value) - used, "%s%s in use",
                             then, cli_size(size, gpu->used_bytes));
    add(table, "", used > 0 ? value : "unknown",
        used > 0 ? "" : "its driver tells of no memory");
}

static void put_graphics(struct table *table, const struct gov_device *device,
                         const struct gov_facts *facts)
{
    const struct gov_device_fact *count =
        gov_device_fact(device, GOV_FACT_GPU_COUNT);
    const char *source = count != NULL ? count->source : "";
    uint64_t budget = gov_facts_get(facts, GOV_FACT_BUDGET_GPU, 0);
    char size[CLI_SIZE_BYTES];
    struct row *row;

    for (uint32_t i = 0; i < device->gpu_count; i++)
        add_gpu(table, &device->gpus[i], i);
    if (device->gpu_count == 0)
        add(table, "GPU", count != NULL && count->known ? "none" : "unknown",
            source);
    else if (count != NULL && count->known)
        add_fact(table, "counted", count);
    if (budget != 0) {
        row = add(table, "for models", cli_size(size, budget),
                  "beside the memory above");
        row->value_colour = BOLD;
    }
    put_table(table, "Graphics", "");
}

/* ---- figures --------------------------------------------------------------- */

/* In the order in which they are shown, and shorter than the library's sentences:
 * a row is one line of 100 columns. */
static const struct figure_words {
    gov_figure figure;
    const char *label, *how;
} figures[] = {
    {GOV_FIGURE_READ_READAHEAD, "read, readahead", "pread(), page cache"},
    {GOV_FIGURE_READ_POPULATE, "read, populate", "mapped, MADV_POPULATE_READ"},
    {GOV_FIGURE_READ_PARALLEL, "read, parallel", "pread() by four threads"},
    {GOV_FIGURE_READ_DIRECT, "read, direct", "pread() past the page cache"},
    {GOV_FIGURE_READ_IO_URING, "read, io_uring",
     "eight at once, past the cache"},
    {GOV_FIGURE_READ_HUGE, "read, huge pages", "4 MiB past the page cache"},
    {GOV_FIGURE_READ_RANDOM, "read, at random", "16 KiB, one after another"},
    {GOV_FIGURE_MEMORY_READ, "memory", "one thread"},
    {GOV_FIGURE_MEMORY_READ_ALL, "memory, all", "a thread on each processor"},
    {GOV_FIGURE_MINOR_FAULT, "fresh page", "first touch of memory"},
    {GOV_FIGURE_MAJOR_FAULT, "page of a file",
     "first touch, read from storage"},
    {GOV_FIGURE_GIVE_BACK, "64 MiB and back", "given back, touched again"},
};
_Static_assert(sizeof(figures) / sizeof(figures[0]) == GOV_FIGURE_COUNT,
               "every figure has a row");

/* "1.61 GiB/s   (1.48 to 1.70, 5 samples)": all three in the unit of the
 * median, so that they can be compared at a glance. */
static void put_figure(char *out, size_t bytes, gov_figure_unit unit,
                       const struct gov_device_figure *f)
{
    static const char *const names[2][6] = {
        {"B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s", "PiB/s"},
        {"ns", "us", "ms", "s", NULL, NULL},
    };
    const char *const *name = names[unit == GOV_UNIT_NS];
    double base = unit == GOV_UNIT_NS ? 1000 : 1024, one = 1, value;
    char median[32], spread[96] = "";
    int decimals;

    value = (double)f->median;
    for (; value >= 999.5 && name[1] != NULL; name++) {
        value /= base;
        one *= base;
    }
    decimals = one < 2 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(median, sizeof(median), "%.*f %s", decimals, value, *name);
    if (f->samples > 1)
        snprintf(spread, sizeof(spread), "%.*f to %.*f, ", decimals,
                 (double)f->low / one, decimals, (double)f->high / one);
    snprintf(out, bytes, "%-12s (%s%" PRIu32 " sample%s)", median, spread,
             f->samples, f->samples == 1 ? "" : "s");
}

static void add_figure(struct table *table, const struct figure_words *words_of,
                       const struct gov_device_figure *f, const char *fastest)
{
    const struct gov_figure_info *info = gov_figure_info(words_of->figure);
    bool wide = table->look->columns >= COLUMNS_MAX - 4, best;
    char value[128] = "unknown", source[320];
    struct row *row;

    if (!f->known) {
        row = add(table, words_of->label, value,
                  f->note[0] != '\0' ? f->note : "could not be measured");
        row->value_colour = DIM;
        return;
    }
    best = strncmp(info->name, "read.", 5) == 0 &&
           strcmp(info->name + 5, fastest) == 0;
    wide = wide && !(best && f->noisy); /* two marks take its place */
    put_figure(value, sizeof(value), info->unit, f);
    snprintf(source, sizeof(source), "%s%s%s", wide ? words_of->how : "",
             wide && f->note[0] != '\0' ? "; " : "", f->note);
    row = add(table, words_of->label, value, source);
    snprintf(row->mark, sizeof(row->mark), "%s%s%s", best ? "fastest" : "",
             best && f->noisy ? ", " : "", f->noisy ? "noisy" : "");
    row->mark_colour = f->noisy ? YELLOW : GREEN;
    row->may_be_marked = true;
}

/* "25.0 % faster": what an engine gains, in thousandths of 1000. */
static void add_gain(struct table *table, const char *label,
                     const struct gov_device *device, gov_fact fact)
{
    const struct gov_device_fact *at = gov_device_fact(device, fact);
    char value[64] = "unknown";
    uint64_t by;
    struct row *row;

    /* An older profile has none, and a quick run leaves them out. */
    if (at == NULL || (!at->known && !device->measured_full))
        return;
    by = at->number > 1000 ? at->number - 1000 : 1000 - at->number;
    if (at->known && by == 0)
        snprintf(value, sizeof(value), "no faster");
    else if (at->known)
        snprintf(value, sizeof(value), "%" PRIu64 ".%" PRIu64 " %% %s", by / 10,
                 by % 10, at->number > 1000 ? "faster" : "slower");
    row = add(table, label, value, at->source);
    if (!at->known)
        row->value_colour = DIM;
}

static void put_age(char *out, size_t bytes, int64_t then, int64_t now)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}};
    int64_t age;

    if (then > now) {
        snprintf(out, bytes, "in the future, by this clock");
        return;
    }
    age = then < 0 ? now : now - then;
    for (size_t i = 0; i < 3; i++) {
        int64_t n = age / units[i].seconds;

        if (n > 0) {
            snprintf(out, bytes, "%" PRId64 " %s%s ago", n, units[i].name,
                     n == 1 ? "" : "s");
            return;
        }
    }
    snprintf(out, bytes, "just now");
}

static void put_when(char *out, size_t bytes, const struct gov_device *device,
                     int64_t now)
{
    time_t at = (time_t)device->measured_at;
    char date[40] = "", age[64];
    struct tm tm;

    if (localtime_r(&at, &tm) == NULL ||
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &tm) == 0)
        snprintf(date, sizeof(date), "at an odd time");
    put_age(age, sizeof(age), device->measured_at, now);
    snprintf(out, bytes, "%s, %s%s%s%s", date, age,
             device->measured_full ? "" : ", quickly",
             device->measured_on[0] != '\0' ? "; reading in " : "",
             device->measured_on);
}

static void put_measured(struct table *table, const struct gov_device *device,
                         const struct gov_facts *facts)
{
    const struct gov_value *path = &facts->value[GOV_FACT_DEVICE_READ_PATH];
    unsigned left_out = 0;
    char note[320] = "", count[32];

    for (int i = 0; i < GOV_FIGURE_COUNT; i++) {
        const struct gov_device_figure *f = &device->figures[figures[i].figure];
        const struct gov_figure_info *info = gov_figure_info(figures[i].figure);

        if (!f->known && info->full && !device->measured_full)
            left_out++;
        else
            add_figure(table, &figures[i], f, path->known ? path->text : "");
    }
    add_gain(table, "repacked weights", device, GOV_FACT_DEVICE_REPACK_GAIN);
    add_gain(table, "huge pages", device, GOV_FACT_DEVICE_HUGE_GAIN);
    if (device->measured_at == 0) {
        table->count = 0;
        add(table, "nothing", "yet", "gov profile measures, in under 30 s");
    } else if (left_out > 0) {
        snprintf(count, sizeof(count), "%u figures", left_out);
        add(table, "left out", count,
            "gov profile without --quick measures them, in under 30 s");
    }
    if (device->measured_at != 0)
        put_when(note, sizeof(note), device, table->look->now);
    put_table(table, "Measured", note);
}

/* ---- tier ------------------------------------------------------------------ */

static void put_tier(struct table *table, const struct gov_device *device,
                     const struct gov_facts *facts)
{
    static const char *const sentences[GOV_WAY_COUNT] = {
        [GOV_WAY_TRADITIONAL] = "read, then copied, as many programs do",
        [GOV_WAY_HEAP] = "read once into memory of its own",
        [GOV_WAY_MMAP] = "mapped; all of it stays in memory",
        [GOV_WAY_STREAMED] = "mapped; what does not fit is read for each token",
    };
    struct gov_capacity_device machine = {
        .ram_bytes = gov_facts_get(facts, GOV_FACT_DEVICE_RAM, 0),
        .budget_bytes = gov_facts_get(facts, GOV_FACT_BUDGET_RAM, 0),
        .gpu_bytes = gov_facts_get(facts, GOV_FACT_GPU_WORKING_SET, 0),
        .gpu_shares_ram = gov_facts_get(facts, GOV_FACT_GPU_SHARES_RAM, 0) != 0,
        .read_rate = gov_facts_get(facts, GOV_FACT_DEVICE_READ_RATE, 0),
        .memory_rate = gov_facts_get(facts, GOV_FACT_DEVICE_MEMORY_RATE, 0),
        .measured = device->measured_at != 0,
    };
    struct gov_tier tier;
    struct row *row;
    gov_error err;

    if (gov_tier_find(&tier, facts, NULL, &err) == GOV_OK) {
        row = add(table, "this machine", tier.name, tier.sentence);
        row->value_colour = BOLD;
    } else {
        add(table, "this machine", "unknown", err.message);
    }
    for (int way = 0; way < GOV_WAY_COUNT; way++) {
        uint64_t most = gov_capacity_largest(&machine, (gov_way)way, CONTEXT);
        char value[64] = "nothing", size[CLI_SIZE_BYTES];

        if (most > INT64_MAX)
            snprintf(value, sizeof(value), "any size");
        else if (most != 0)
            snprintf(value, sizeof(value), "up to %s", cli_size(size, most));
        add(table, gov_way_name((gov_way)way),
            machine.budget_bytes != 0 ? value : "unknown", sentences[way]);
    }
    put_table(table, "Tier",
              "the largest weights that run, with 4096 tokens of context");
}

/* ---- all of it ------------------------------------------------------------- */

void gov_profile_print(const struct gov_device *device,
                       const struct gov_profile_look *look)
{
    struct table table;
    struct gov_facts facts;

    memset(&facts, 0, sizeof(facts));
    gov_device_facts(device, &facts);
    table.look = look;
    table.count = 0;
    put_facts(&table, device, MACHINE, "Machine");
    put_facts(&table, device, MEMORY, "Memory");
    put_facts(&table, device, WORKS, "What works here");
    put_graphics(&table, device, &facts);
    put_more(&table, device);
    put_measured(&table, device, &facts);
    put_tier(&table, device, &facts);
}

void gov_profile_say(const struct gov_profile_look *look, const char *title,
                     const char *text)
{
    put_painted(look, BOLD, title);
    printf(": ");
    cli_put_wrapped(text, (int)strlen(title) + 2, 2, look->columns);
    putchar('\n');
}
