/* SPDX-License-Identifier: MIT */
/* The sheet of gov capacity as a picture: machines as rows, models as columns,
 * one cell for each pair. SVG that stands alone: no script, no font, nothing from
 * elsewhere; follows the reader's light or dark scheme. Integers only. */
#include <inttypes.h>
#include <string.h>

#include "tools/gov/capacity_sheet.h"
#include "tools/gov/gov.h"

/* Pixels. */
#define MARGIN 28
#define LABEL 304     /* of a row */
#define CELL_WIDTH 56 /* with the gap on its right */
#define CELL_HEIGHT 38
#define GAP 4
#define SIZE_GAP 12      /* between sizes of models */
#define TOP 158          /* of the first row */
#define LEGEND 136       /* below the last one */
#define LEAST_WIDTH 1040 /* of the legend */
#define NAME_SHOWN 28    /* characters of a machine's */

struct canvas {
    const struct gov_sheet *sheet;
    FILE *out;
    int width, height;
    int x[GOV_SHEET_MODELS]; /* of each column */
};

static const struct {
    const char *class;
    const char *legend;
} fits[GOV_FITS] = {
    [GOV_FIT_UNKNOWN] = {"unknown", "unknown"},
    [GOV_FIT_NOT] = {"not", "does not run"},
    [GOV_FIT_STREAMED] = {"streamed", "runs streamed: a share stays, the rest "
                                      "is read for each token"},
    [GOV_FIT_WHOLE] = {"whole", "fits once: mapped or in the heap"},
    [GOV_FIT_EASY] = {"easy", "fits twice: even the traditional way runs"},
};

static const char style[] =
    "<style>\n"
    "svg{--paper:#ffffff;--ink:#1b2330;--soft:#5b6675;--rule:#d9dee6;"
    "--easy:#1f7a4d;--easy-ink:#ffffff;--whole:#bfe6cf;--whole-ink:#0f3d26;"
    "--streamed:#ffe3a8;--hatch:#f6cf7d;--streamed-ink:#4f3600;"
    "--not:#eef0f4;--not-ink:#667080}\n"
    "@media (prefers-color-scheme:dark){svg{--paper:#12161d;--ink:#e8ecf2;"
    "--soft:#9aa6b6;--rule:#2c3440;"
    "--easy:#2f9e68;--easy-ink:#04140c;--whole:#1d4a35;--whole-ink:#c9f0da;"
    "--streamed:#4a3a12;--hatch:#5c4a1b;--streamed-ink:#ffe0a0;"
    "--not:#1c222b;--not-ink:#7f8b9b}}\n"
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,"
    "'DejaVu Sans',sans-serif;font-size:13px;fill:var(--ink)}\n"
    ".title{font-size:22px;font-weight:650}\n"
    ".sub,.spec,.quant,.note{fill:var(--soft)}\n"
    ".spec,.quant{font-size:11px}\n"
    ".size{font-size:15px;font-weight:650}\n"
    ".name{font-weight:600}\n"
    ".speed{font-variant-numeric:tabular-nums;font-weight:600}\n"
    ".easy rect,rect.easy{fill:var(--easy)}.easy .speed,.easy .gpu"
    "{fill:var(--easy-ink)}\n"
    ".whole rect,rect.whole{fill:var(--whole)}.whole .speed,.whole .gpu"
    "{fill:var(--whole-ink)}\n"
    ".streamed rect,rect.streamed{fill:url(#hatch)}.streamed .speed,"
    ".streamed .gpu{fill:var(--streamed-ink)}\n"
    ".not rect,rect.not,.unknown rect,rect.unknown{fill:var(--not)}"
    ".not .speed,.unknown .speed,.not .gpu,.unknown .gpu"
    "{fill:var(--not-ink);font-weight:400}\n"
    ".gpu{font-size:9px;font-weight:700}\n"
    ".rule{stroke:var(--rule);stroke-width:1}\n"
    "</style>\n"
    "<defs><pattern id=\"hatch\" width=\"8\" height=\"8\" "
    "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
    "<rect width=\"8\" height=\"8\" style=\"fill:var(--streamed)\"/>"
    "<rect width=\"3\" height=\"8\" style=\"fill:var(--hatch)\"/>"
    "</pattern></defs>\n";

/* A name is somebody else's text. It holds no control characters: see
 * gov_capacity_models() and add_machine(). */
static void put_escaped(FILE *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes && text[i] != '\0'; i++)
        switch (text[i]) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(text[i], out);
        }
}

/* Bytes of the first `most` characters. */
static size_t first_characters(const char *text, size_t most)
{
    size_t at = 0, characters = 0;

    for (; text[at] != '\0'; at++) {
        if (((unsigned char)text[at] & 0xC0) != 0x80 && characters++ == most)
            return at;
    }
    return at;
}

static void open_text(const struct canvas *c, const char *class, int x, int y,
                      const char *anchor)
{
    fprintf(c->out, "<text class=\"%s\" x=\"%d\" y=\"%d\"%s%s%s>", class, x, y,
            anchor[0] != '\0' ? " text-anchor=\"" : "", anchor,
            anchor[0] != '\0' ? "\"" : "");
}

static void put_text(const struct canvas *c, const char *class, int x, int y,
                     const char *anchor, const char *text)
{
    open_text(c, class, x, y, anchor);
    put_escaped(c->out, text, SIZE_MAX);
    fputs("</text>\n", c->out);
}

/* "16.0 GiB", "unknown". */
static char *amount(char out[32], uint64_t bytes)
{
    struct gov_value value = {bytes > 0, (int64_t)bytes, NULL};

    return gov_value_print(out, 32, GOV_TYPE_BYTES, &value);
}

static void put_head(const struct canvas *c)
{
    const struct gov_sheet *s = c->sheet;
    char text[160];

    fprintf(c->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
            "height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" "
            "aria-labelledby=\"title desc\">\n"
            "<title id=\"title\">Which models run on which machine</title>\n"
            "<desc id=\"desc\">%zu machines as rows, %zu models as columns, "
            "%" PRIu64 " tokens of context. Each cell says how the model is "
            "held at best and how many tokens a second memory and storage "
            "allow at most.</desc>\n",
            c->width, c->height, c->width, c->height, s->machine_count,
            s->model_count, s->context);
    fputs(style, c->out);
    fprintf(c->out,
            "<rect width=\"%d\" height=\"%d\" style=\"fill:var(--paper)\"/>\n",
            c->width, c->height);
    put_text(c, "title", MARGIN, MARGIN + 20, "",
             "Which models run on which machine");
    snprintf(text, sizeof(text),
             "Tokens a second at most, as memory and storage bound them, with "
             "%" PRIu64 " tokens of context.",
             s->context);
    put_text(c, "sub", MARGIN, MARGIN + 44, "", text);
}

/* Sizes over their quantisations. */
static void put_columns(const struct canvas *c)
{
    const struct gov_sheet *s = c->sheet;
    char text[32];

    for (size_t i = 0, end; i < s->model_count; i = end) {
        const char *name = s->models[i].name;
        int right;

        for (end = i + 1; end < s->model_count &&
                          gov_sheet_same_size(name, s->models[end].name);)
            end++;
        right = c->x[end - 1] + CELL_WIDTH - GAP;
        open_text(c, "size", (c->x[i] + right) / 2, TOP - 52, "middle");
        put_escaped(c->out, name, gov_sheet_size_bytes(name));
        fprintf(c->out,
                "</text>\n<line class=\"rule\" x1=\"%d\" y1=\"%d\" x2=\"%d\" "
                "y2=\"%d\"/>\n",
                c->x[i], TOP - 43, right, TOP - 43);
        for (size_t j = i; j < end; j++) {
            const char *quant = s->models[j].name;

            quant += gov_sheet_size_bytes(quant);
            put_text(c, "quant", c->x[j] + (CELL_WIDTH - GAP) / 2, TOP - 27,
                     "middle", quant + (*quant == ' '));
            put_text(c, "quant", c->x[j] + (CELL_WIDTH - GAP) / 2, TOP - 12,
                     "middle", amount(text, s->models[j].weights_bytes));
        }
    }
}

static void put_label(const struct canvas *c, const struct gov_sheet_machine *m,
                      int y)
{
    const struct gov_capacity_device *d = &m->device;
    size_t bytes = first_characters(d->name, NAME_SHOWN);
    char memory[32], storage[32], text[160];

    fputs("<g><title>", c->out);
    put_escaped(c->out, d->name, SIZE_MAX);
    fputs(": ", c->out);
    put_escaped(c->out, d->source, SIZE_MAX);
    fputs("</title>", c->out);
    open_text(c, "name", MARGIN, y + 16, "");
    put_escaped(c->out, d->name, bytes);
    fprintf(c->out, "%s</text>\n", d->name[bytes] != '\0' ? "..." : "");
    put_text(c, "spec", MARGIN + LABEL - 14, y + 16, "end", m->tier.name);
    snprintf(text, sizeof(text), "memory %s%s, storage %s%s%s",
             amount(memory, d->memory_rate), d->memory_rate > 0 ? "/s" : "",
             amount(storage, d->read_rate), d->read_rate > 0 ? "/s" : "",
             d->measured ? "; measured" : "");
    put_text(c, "spec", MARGIN, y + 31, "", text);
    fputs("</g>\n", c->out);
}

/* What a reader hears, and sees when pointing at the cell. */
static void put_cell_title(const struct canvas *c, size_t row, size_t column,
                           const struct gov_sheet_match *match)
{
    const struct gov_sheet_machine *machine = &c->sheet->machines[row];
    char text[384], first[32], second[32];

    if (match->fit == GOV_FIT_NOT)
        snprintf(text, sizeof(text), "%s, %s: needs %s of %s",
                 machine->device.name, c->sheet->models[column].name,
                 amount(first, match->verdict[GOV_WAY_STREAMED].peak_bytes),
                 amount(second, machine->device.budget_bytes));
    else if (match->way == GOV_WAY_COUNT)
        snprintf(text, sizeof(text), "%s, %s: unknown", machine->device.name,
                 c->sheet->models[column].name);
    else
        snprintf(
            text, sizeof(text),
            "%s, %s: %s, %s tokens a second at most, first token after "
            "%s%s",
            machine->device.name, c->sheet->models[column].name,
            gov_way_name(match->way),
            gov_sheet_speed(first, match->verdict[match->way].tokens_per_1000s),
            gov_sheet_time(second, match->verdict[match->way].first_token_ms),
            match->gpu == GOV_GPU_FITS ? "; fits the GPU" : "");
    fputs("<title>", c->out);
    put_escaped(c->out, text, sizeof(text));
    fputs("</title>", c->out);
}

static void put_cell(const struct canvas *c, size_t row, size_t column)
{
    int x = c->x[column], y = TOP + (int)row * CELL_HEIGHT;
    struct gov_sheet_match match;
    char speed[24] = ""; /* as gov_sheet_speed() wants */

    gov_sheet_judge(c->sheet, row, column, &match);
    fprintf(c->out, "<g class=\"%s\">", fits[match.fit].class);
    put_cell_title(c, row, column, &match);
    fprintf(c->out,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\"/>", x,
            y, CELL_WIDTH - GAP, CELL_HEIGHT - GAP);
    if (match.way != GOV_WAY_COUNT)
        gov_sheet_speed(speed, match.verdict[match.way].tokens_per_1000s);
    else
        snprintf(speed, sizeof(speed), "%s",
                 match.fit == GOV_FIT_NOT ? "\xE2\x80\x93" : "?");
    put_text(c, "speed", x + (CELL_WIDTH - GAP) / 2, y + 22, "middle", speed);
    if (match.gpu == GOV_GPU_FITS)
        put_text(c, "gpu", x + CELL_WIDTH - GAP - 5, y + 10, "end", "G");
    fputs("</g>\n", c->out);
}

static void put_legend(const struct canvas *c)
{
    static const enum gov_sheet_fit order[] = {GOV_FIT_EASY, GOV_FIT_WHOLE,
                                               GOV_FIT_STREAMED, GOV_FIT_NOT};
    static const int left[] = {0, 400};
    int y = TOP + (int)c->sheet->machine_count * CELL_HEIGHT + 16;

    fprintf(c->out,
            "<line class=\"rule\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n",
            MARGIN, y, c->width - MARGIN, y);
    for (int i = 0; i < 4; i++) {
        int x = MARGIN + left[i / 2], at = y + 16 + i % 2 * 24;

        fprintf(c->out,
                "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"22\" "
                "height=\"15\" rx=\"3\"/>\n",
                fits[order[i]].class, x, at);
        put_text(c, "note", x + 32, at + 12, "", fits[order[i]].legend);
    }
    put_text(
        c, "note", MARGIN, y + 78, "",
        "?: not known. G: weights, KV and buffers fit the GPU, which has its "
        "own speed. "
        "Upper bounds by memory and storage, not what a processor reaches.");
    put_text(c, "note", MARGIN, y + 98, "",
             "Memory and storage by published specification where they are not "
             "measured.");
}

static void lay_out(struct canvas *c)
{
    const struct gov_sheet *s = c->sheet;
    int x = MARGIN + LABEL;

    for (size_t i = 0; i < s->model_count; i++) {
        if (i > 0 &&
            !gov_sheet_same_size(s->models[i - 1].name, s->models[i].name))
            x += SIZE_GAP;
        c->x[i] = x;
        x += CELL_WIDTH;
    }
    c->width = x - GAP + MARGIN;
    if (c->width < LEAST_WIDTH)
        c->width = LEAST_WIDTH;
    c->height = TOP + (int)s->machine_count * CELL_HEIGHT + LEGEND;
}

void gov_sheet_svg(const struct gov_sheet *sheet, FILE *out)
{
    struct canvas c = {.sheet = sheet, .out = out};

    lay_out(&c);
    put_head(&c);
    put_columns(&c);
    for (size_t row = 0; row < sheet->machine_count; row++) {
        put_label(&c, &sheet->machines[row], TOP + (int)row * CELL_HEIGHT);
        for (size_t column = 0; column < sheet->model_count; column++)
            put_cell(&c, row, column);
    }
    put_legend(&c);
    fputs("</svg>\n", out);
}
