/* SPDX-License-Identifier: MIT */
/* gov capacity: which sizes of models run here, or on which machines, and how
 * fast at best. Loads nothing. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "tools/gov/capacity_sheet.h"
#include "tools/gov/gov.h"

#define LINE 100       /* columns of a terminal that text keeps to */
#define NAME_COLUMN 27 /* of a machine, in the matrix */
#define MATRIX_MODELS 6
/* Where a quick profile is the source: all processors together may get more. */
#define ONE_THREAD "gov profile; memory by one thread alone"

/* ---- machines ---- */

static void find_tier(struct gov_sheet_machine *machine,
                      const struct gov_facts *facts)
{
    /* The shipped table is read; what is left is a machine that is in none. */
    if (gov_tier_find(&machine->tier, facts, NULL, NULL) != GOV_OK)
        memset(&machine->tier, 0, sizeof(machine->tier));
}

static struct gov_sheet_machine *room(struct gov_sheet *sheet)
{
    if (sheet->machine_count == GOV_SHEET_MACHINES) {
        fprintf(stderr, "gov capacity: more than %d machines; name fewer\n",
                GOV_SHEET_MACHINES);
        return NULL;
    }
    return &sheet->machines[sheet->machine_count];
}

/* A profiled machine, or this one. `name` may hold anything. */
static bool add_machine(struct gov_sheet *sheet, const char *name,
                        const struct gov_device *device)
{
    struct gov_sheet_machine *m = room(sheet);
    struct gov_value text = {true, 0, name};
    struct gov_facts facts = {0};
    struct gov_capacity_device *d;

    if (m == NULL)
        return false;
    memset(m, 0, sizeof(*m));
    gov_device_facts(device, &facts);
    d = &m->device;
    gov_value_print(d->name, sizeof(d->name), GOV_TYPE_TEXT, &text);
    d->ram_bytes = gov_facts_get(&facts, GOV_FACT_DEVICE_RAM, 0);
    d->budget_bytes = gov_facts_get(&facts, GOV_FACT_BUDGET_RAM, 0);
    d->gpu_bytes = gov_facts_get(&facts, GOV_FACT_GPU_WORKING_SET, 0);
    d->gpu_shares_ram = gov_facts_get(&facts, GOV_FACT_GPU_SHARES_RAM, 0) != 0;
    d->read_rate = gov_facts_get(&facts, GOV_FACT_DEVICE_READ_RATE, 0);
    d->memory_rate = gov_device_measured(
        device, GOV_FIGURE_MEMORY_READ_ALL,
        gov_facts_get(&facts, GOV_FACT_DEVICE_MEMORY_RATE, 0));
    d->measured = d->memory_rate > 0 || d->read_rate > 0;
    snprintf(d->source, sizeof(d->source), "%s",
             !d->measured ? "the system"
             : gov_device_measured(device, GOV_FIGURE_MEMORY_READ_ALL, 0) > 0
                 ? "gov profile"
                 : ONE_THREAD);
    find_tier(m, &facts);
    sheet->machine_count++;
    return true;
}

static bool add_this(struct gov_sheet *sheet)
{
    struct gov_device device;
    char note[GOV_MESSAGE_BYTES];
    gov_error err;

    if (gov_device_current(&device, note, sizeof(note), &err) != GOV_OK) {
        gov_fails("capacity", &err);
        return false;
    }
    if (note[0] != '\0')
        fprintf(stderr, "gov capacity: %s\n", note);
    return add_machine(sheet, "this machine", &device);
}

/* Named after its file: profiles of a fleet are told apart by that. */
static bool add_profile(struct gov_sheet *sheet, const char *path)
{
    const char *name = strrchr(path, '/');
    struct gov_device device;
    char text[256];
    gov_error err;

    if (gov_device_load(&device, path, &err) != GOV_OK) {
        gov_fails("capacity", &err);
        return false;
    }
    snprintf(text, sizeof(text), "%s", name != NULL ? name + 1 : path);
    if (strlen(text) > 5 && strcmp(text + strlen(text) - 5, ".json") == 0)
        text[strlen(text) - 5] = '\0';
    return add_machine(sheet, text, &device);
}

static bool add_table(struct gov_sheet *sheet)
{
    struct gov_capacity_device devices[GOV_SHEET_MACHINES];
    size_t count;
    gov_error err;

    if (gov_capacity_devices(devices, GOV_SHEET_MACHINES, &count, NULL, &err) !=
        GOV_OK) {
        gov_fails("capacity", &err);
        return false;
    }
    for (size_t i = 0; i < count && i < GOV_SHEET_MACHINES; i++) {
        struct gov_sheet_machine *m = room(sheet);
        struct gov_facts facts = {0};

        if (m == NULL)
            return false;
        m->device = devices[i];
        gov_facts_set(&facts, GOV_FACT_DEVICE_RAM, devices[i].ram_bytes);
        gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, devices[i].budget_bytes);
        if (devices[i].gpu_bytes > 0) {
            gov_facts_set(&facts, GOV_FACT_GPU_WORKING_SET,
                          devices[i].gpu_bytes);
            gov_facts_set(&facts, GOV_FACT_GPU_SHARES_RAM,
                          devices[i].gpu_shares_ram);
            gov_facts_set(&facts, GOV_FACT_BUDGET_GPU,
                          devices[i].gpu_shares_ram ? 0 : devices[i].gpu_bytes);
        }
        find_tier(m, &facts);
        sheet->machine_count++;
    }
    return true;
}

/* ---- text ---- */

static char *amount(char out[32], uint64_t bytes)
{
    struct gov_value value = {bytes > 0, (int64_t)bytes, NULL};

    return gov_value_print(out, 32, GOV_TYPE_BYTES, &value);
}

static char *rate(char out[48], uint64_t bytes)
{
    char text[32];

    snprintf(out, 48, "%s%s", amount(text, bytes), bytes > 0 ? "/s" : "");
    return out;
}

/* Words, wrapped, all lines but the first behind `indent` blanks. */
static void print_words(const char *text, int used, int indent)
{
    while (*text != '\0') {
        int bytes = (int)strcspn(text, " ");

        if (used > indent && used + 1 + bytes > LINE) {
            printf("\n%*s", indent, "");
            used = indent;
        } else if (used > indent) {
            putchar(' ');
            used++;
        }
        printf("%.*s", bytes, text);
        used += bytes;
        text += bytes;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_machine(const struct gov_capacity_device *d)
{
    char a[32], b[32], c[48], e[48];

    printf("This machine has %s of memory; models may use %s.\n",
           amount(a, d->ram_bytes), amount(b, d->budget_bytes));
    printf("Memory reads %s, storage %s%s.\n", rate(c, d->memory_rate),
           rate(e, d->read_rate),
           d->measured ? ", as measured" : "; gov profile measures them");
    if (strcmp(d->source, ONE_THREAD) == 0)
        printf("That is memory as one thread reads it, and several may get "
               "more: gov profile --full measures it.\n");
    if (d->gpu_bytes > 0)
        printf("Its GPU may use %s%s.\n", amount(a, d->gpu_bytes),
               d->gpu_shares_ram ? " of that memory" : " of its own");
}

/* A line that is put together from columns. */
struct line {
    char text[256];
    size_t used;
};

static void add(struct line *line, const char *format, ...) GOV_PRINTF(2, 3);

static void add(struct line *line, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line->text + line->used, sizeof(line->text) - line->used,
                  format, args);
    va_end(args);
    if (n > 0)
        line->used += (size_t)n;
    if (line->used >= sizeof(line->text))
        line->used = sizeof(line->text) - 1;
}

static void print_line(struct line *line)
{
    while (line->used > 0 && line->text[line->used - 1] == ' ')
        line->used--;
    printf("%.*s\n", (int)line->used, line->text);
}

/* One way of one model. */
static void add_way(struct line *line, const struct gov_capacity_verdict *v,
                    const struct gov_capacity_device *d)
{
    char speed[24], time[24], text[48], size[32];

    if (d->budget_bytes == 0)
        snprintf(text, sizeof(text), "unknown");
    else if (!v->runs)
        snprintf(text, sizeof(text), "no, needs %s",
                 v->peak_bytes == UINT64_MAX ? "too much"
                                             : amount(size, v->peak_bytes));
    else
        snprintf(text, sizeof(text), "%-4s %5s %7s",
                 v->cold_bytes > 0 ? "part" : "yes",
                 gov_sheet_speed(speed, v->tokens_per_1000s),
                 v->first_token_ms > 0 ? gov_sheet_time(time, v->first_token_ms)
                                       : "?");
    add(line, "  %-18s", text);
}

/* Whether the model fits the machine's GPU. */
static bool print_model(const struct gov_sheet *sheet, size_t model)
{
    const struct gov_capacity_model *m = &sheet->models[model];
    struct gov_sheet_match match;
    struct line line = {"", 0};
    char size[32];

    gov_sheet_judge(sheet, 0, model, &match);
    if (model > 0 && !gov_sheet_same_size(m[-1].name, m->name))
        putchar('\n');
    add(&line, "%-10.10s %8s%s", m->name, amount(size, m->weights_bytes),
        match.gpu == GOV_GPU_FITS ? "g" : " ");
    for (int way = 0; way < GOV_WAY_COUNT; way++)
        add_way(&line, &match.verdict[way], &sheet->machines[0].device);
    print_line(&line);
    return match.gpu == GOV_GPU_FITS;
}

static void print_ways(const struct gov_sheet *sheet)
{
    struct line line = {"", 0};
    bool gpu = false;

    add(&line, "%-10s %8s ", "model", "weights");
    for (int way = 0; way < GOV_WAY_COUNT; way++)
        add(&line, "  %-18s", gov_way_name((gov_way)way));
    putchar('\n');
    print_line(&line);
    for (size_t i = 0; i < sheet->model_count; i++)
        gpu = print_model(sheet, i) || gpu;
    printf("\nWith %" PRIu64 " tokens of context: tokens a second at most, and "
           "the first token after at least.\n"
           "yes: all weights stay in memory. part: a share stays, the rest is "
           "read again for each token.\n"
           "Bounds by memory and storage; a processor may be slower. ? is not "
           "known.%s\n",
           sheet->context,
           gpu ? "\ng: weights, KV and buffers fit the GPU, which has its own "
                 "speed."
               : "");
}

/* What the tier means, and the largest of each way. */
static void print_meaning(const struct gov_sheet *sheet)
{
    const struct gov_sheet_machine *m = &sheet->machines[0];
    char text[384], size[32];
    size_t used = 0;

    putchar('\n');
    if (m->tier.name[0] != '\0') {
        snprintf(text, sizeof(text), "%s: %s.", m->tier.name, m->tier.sentence);
        print_words(text, 0, 0);
    }
    for (int way = 0; way < GOV_WAY_COUNT; way++) {
        uint64_t largest =
            gov_capacity_largest(&m->device, (gov_way)way, sheet->context);
        const char *value = largest > 0 ? amount(size, largest) : "none";

        if (m->device.budget_bytes == 0)
            value = "unknown";
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %s",
                                 way == 0 ? "Largest weights: " : ", ",
                                 gov_way_name((gov_way)way), value);
    }
    printf("%s.\n", text);
}

/* The first model of each size, as far as they go on a line. */
static size_t pick_models(const struct gov_sheet *sheet,
                          size_t picked[MATRIX_MODELS])
{
    size_t count = 0;

    for (size_t i = 0; i < sheet->model_count && count < MATRIX_MODELS; i++)
        if (i == 0 || !gov_sheet_same_size(sheet->models[i - 1].name,
                                           sheet->models[i].name))
            picked[count++] = i;
    return count;
}

/* A name in so many columns. Counts characters, not cells: wide ones shift. */
static void add_name(struct line *line, const char *name, int columns)
{
    int shown = 0, bytes = 0;

    for (; name[bytes] != '\0'; bytes++)
        if (((unsigned char)name[bytes] & 0xC0) != 0x80 && shown++ == columns)
            break;
    add(line, "%.*s%*s", bytes, name, shown < columns ? columns - shown : 0,
        "");
}

/* Whether some model fits the machine's GPU. */
static bool print_row(const struct gov_sheet *sheet, size_t machine,
                      const size_t *picked, size_t models)
{
    static const char *const marks[GOV_FITS] = {"?", "no", "part", "once",
                                                "twice"};
    struct line line = {"", 0};
    bool gpu = false;

    add_name(&line, sheet->machines[machine].device.name, NAME_COLUMN);
    for (size_t j = 0; j < models; j++) {
        struct gov_sheet_match match;
        char speed[24] = "";

        gov_sheet_judge(sheet, machine, picked[j], &match);
        if (match.way != GOV_WAY_COUNT)
            gov_sheet_speed(speed, match.verdict[match.way].tokens_per_1000s);
        gpu = gpu || match.gpu == GOV_GPU_FITS;
        add(&line, " %-5s%5s%s", marks[match.fit], speed,
            match.gpu == GOV_GPU_FITS ? "g" : " ");
    }
    print_line(&line);
    return gpu;
}

static void print_matrix(const struct gov_sheet *sheet)
{
    size_t picked[MATRIX_MODELS], models = pick_models(sheet, picked);
    struct line line = {"", 0};
    bool gpu = false;

    add(&line, "%-*s", NAME_COLUMN, "machine");
    for (size_t j = 0; j < models; j++)
        add(&line, " %-11.10s", sheet->models[picked[j]].name);
    print_line(&line);
    for (size_t i = 0; i < sheet->machine_count; i++)
        gpu = print_row(sheet, i, picked, models) || gpu;
    printf("\nWith %" PRIu64 " tokens of context: how the model fits, and "
           "tokens a second at most.\n"
           "twice: loads the traditional way, too. once: mapped or in the "
           "heap. part: streamed, a share\nstays and the rest is read again "
           "for each token. no: not even that. ? is not known.%s\n"
           "Bounds by memory and storage; a processor may be slower. --svg and "
           "--json have every quantisation,\nand --json where the figures are "
           "from.\n",
           sheet->context,
           gpu ? "\ng: weights, KV and buffers fit the GPU, which has its own "
                 "speed."
               : "");
}

/* ---- JSON ---- */

/* 0 is unknown. */
static json_t *number(uint64_t n)
{
    return n > 0 ? json_integer((json_int_t)(n < INT64_MAX ? n : INT64_MAX))
                 : json_null();
}

static json_t *verdict_object(const struct gov_capacity_verdict *v)
{
    return json_pack("{s:b, s:o, s:o, s:o, s:o}", "runs", v->runs, "peak_bytes",
                     number(v->peak_bytes), "cold_bytes",
                     v->runs ? json_integer((json_int_t)v->cold_bytes)
                             : json_null(),
                     "first_token_ms", number(v->first_token_ms),
                     "tokens_per_1000s", number(v->tokens_per_1000s));
}

static json_t *model_object(const struct gov_sheet *sheet, size_t machine,
                            size_t model)
{
    static const char *const words[GOV_FITS] = {NULL, "no", "part", "once",
                                                "twice"};
    const struct gov_capacity_model *m = &sheet->models[model];
    json_t *ways = json_object();
    struct gov_sheet_match match;

    gov_sheet_judge(sheet, machine, model, &match);
    for (int way = 0; way < GOV_WAY_COUNT; way++)
        json_object_set_new(ways, gov_way_name((gov_way)way),
                            match.fit == GOV_FIT_UNKNOWN
                                ? json_null()
                                : verdict_object(&match.verdict[way]));
    return json_pack(
        "{s:s, s:o, s:s?, s:s?, s:o, s:o}", "name", m->name, "weights_bytes",
        number(m->weights_bytes), "fit", words[match.fit], "best",
        match.way != GOV_WAY_COUNT ? gov_way_name(match.way) : NULL, "fits_gpu",
        match.gpu == GOV_GPU_UNKNOWN ? json_null()
                                     : json_boolean(match.gpu == GOV_GPU_FITS),
        "ways", ways);
}

static json_t *machine_object(const struct gov_sheet *sheet, size_t machine)
{
    const struct gov_sheet_machine *m = &sheet->machines[machine];
    const struct gov_capacity_device *d = &m->device;
    json_t *models = json_array(), *largest = json_object();

    for (size_t i = 0; i < sheet->model_count; i++)
        json_array_append_new(models, model_object(sheet, machine, i));
    for (int way = 0; way < GOV_WAY_COUNT; way++)
        json_object_set_new(largest, gov_way_name((gov_way)way),
                            d->budget_bytes == 0
                                ? json_null()
                                : json_integer((json_int_t)gov_capacity_largest(
                                      d, (gov_way)way, sheet->context)));
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:s, s:o, s:o, s:o}", "name",
        d->name, "ram_bytes", number(d->ram_bytes), "budget_bytes",
        number(d->budget_bytes), "gpu_bytes", number(d->gpu_bytes),
        "gpu_shares_ram",
        d->gpu_bytes > 0 || d->gpu_shares_ram ? json_boolean(d->gpu_shares_ram)
                                              : json_null(),
        "read_rate", number(d->read_rate), "memory_rate",
        number(d->memory_rate), "measured", d->measured, "source", d->source,
        "tier",
        m->tier.name[0] != '\0' ? json_pack("{s:s, s:s}", "name", m->tier.name,
                                            "means", m->tier.sentence)
                                : json_null(),
        "largest_weights_bytes", largest, "models", models);
}

static int print_json(const struct gov_sheet *sheet)
{
    json_t *machines = json_array();

    for (size_t i = 0; i < sheet->machine_count; i++)
        json_array_append_new(machines, machine_object(sheet, i));
    return gov_print_json("capacity",
                          json_pack("{s:I, s:o}", "context",
                                    (json_int_t)sheet->context, "machines",
                                    machines),
                          true);
}

/* ---- picture ---- */

static int write_svg(const struct gov_sheet *sheet, const char *path)
{
    FILE *file;
    gov_error err;
    bool bad;

    if (strcmp(path, "-") == 0) {
        gov_sheet_svg(sheet, stdout);
        return gov_finish("capacity");
    }
    file = fopen(path, "w");
    if (file == NULL) {
        gov_fail(&err, GOV_E_IO, errno, "cannot write %s", cli_show(path).text);
        return gov_fails("capacity", &err);
    }
    gov_sheet_svg(sheet, file);
    bad = ferror(file) != 0;
    if (fclose(file) != 0 || bad) {
        fprintf(stderr,
                "gov capacity: cannot write all of %s; is the disk full?\n",
                cli_show(path).text);
        return GOV_EXIT_FAILURE;
    }
    return gov_finish("capacity");
}

/* ---- the command ---- */

struct wishes {
    struct cli_list profiles;
    bool table, json;
    const char *svg;
};

static bool fill(struct gov_sheet *sheet, const struct wishes *w)
{
    gov_error err;

    if (gov_capacity_models(sheet->models, GOV_SHEET_MODELS,
                            &sheet->model_count, NULL, &err) != GOV_OK) {
        gov_fails("capacity", &err);
        return false;
    }
    if (sheet->model_count > GOV_SHEET_MODELS)
        sheet->model_count = GOV_SHEET_MODELS;
    for (size_t i = 0; i < w->profiles.count; i++)
        if (!add_profile(sheet, w->profiles.item[i]))
            return false;
    if (w->table)
        return add_table(sheet);
    return w->profiles.count > 0 || add_this(sheet);
}

static int show(const struct gov_sheet *sheet, const struct wishes *w)
{
    if (w->svg != NULL)
        return write_svg(sheet, w->svg);
    if (w->json)
        return print_json(sheet);
    if (w->table || w->profiles.count > 0) {
        print_matrix(sheet);
    } else {
        print_machine(&sheet->machines[0].device);
        print_ways(sheet);
        print_meaning(sheet);
    }
    return gov_finish("capacity");
}

int gov_cmd_capacity(int argc, char **argv)
{
    const char *paths[GOV_SHEET_MACHINES];
    struct wishes w = {.profiles = {paths, GOV_SHEET_MACHINES, 0}};
    struct gov_sheet sheet = {.context = 4096};
    const struct cli_option options[] = {
        {"--context", 'c', CLI_COUNT, 1, 16777216, &sheet.context, "N",
         "tokens of context that must fit (4096)"},
        {"--profile", 'p', CLI_LIST, 0, 0, &w.profiles, "FILE",
         "a machine by its stored profile; may be given again"},
        {"--table", 't', CLI_FLAG, 0, 0, &w.table, NULL,
         "common machines by their published specification"},
        {"--json", 0, CLI_FLAG, 0, 0, &w.json, NULL, "print one JSON object"},
        {"--svg", 0, CLI_TEXT, 0, 0, &w.svg, "FILE",
         "draw a picture into FILE; - is standard output"},
    };
    const struct cli_command command = {
        .name = "gov capacity",
        .synopsis = "[OPTION]...",
        .sentence = "Shows which sizes of models run on this machine, or on "
                    "others, in which way, and how fast memory and storage "
                    "let them be at most.",
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (w.json && w.svg != NULL) {
        fprintf(stderr, "gov capacity: --json and --svg exclude one another; "
                        "see gov capacity --help\n");
        return CLI_EXIT_USAGE;
    }
    if (!fill(&sheet, &w))
        return GOV_EXIT_FAILURE;
    return show(&sheet, &w);
}
