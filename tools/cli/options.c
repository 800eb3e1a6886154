/* SPDX-License-Identifier: MIT */
#include "tools/cli/options.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "policies/status.h"

#define HELP_WIDTH 80
#define SHOWN_BYTES 64

/* ---- values ---------------------------------------------------------------- */

/* Reads "12" or "1.5" times unit, exactly, to six decimals. */
static bool read_scaled(const char *text, size_t length, uint64_t unit,
                        uint64_t *out)
{
    uint64_t whole = 0, part = 0, scale = 1;
    size_t i = 0;

    for (; i < length && isdigit((unsigned char)text[i]); i++) {
        unsigned digit = (unsigned)(text[i] - '0');

        if (whole > (UINT64_MAX - digit) / 10)
            return false;
        whole = whole * 10 + digit;
    }
    if (i == 0)
        return false;
    if (i < length && unit > 1 && text[i] == '.' && i + 1 < length) {
        for (i++; i < length && isdigit((unsigned char)text[i]); i++) {
            if (scale == 1000000)
                continue; /* beyond what can matter */
            part = part * 10 + (unsigned)(text[i] - '0');
            scale *= 10;
        }
    }
    if (i < length || whole > UINT64_MAX / unit)
        return false;
    part = part * unit / scale; /* below unit, which is at most 2^40 */
    if (whole * unit > UINT64_MAX - part)
        return false;
    *out = whole * unit + part;
    return true;
}

bool cli_read_count(const char *text, uint64_t *out)
{
    return read_scaled(text, strlen(text), 1, out);
}

bool cli_read_seconds(const char *text, uint64_t *out_ms)
{
    size_t length = strlen(text);

    if (length > 1 && text[length - 1] == 's')
        length--;
    return read_scaled(text, length, 1000, out_ms);
}

bool cli_read_bytes(const char *text, uint64_t *out)
{
    static const char letters[] = "KMGT";
    size_t length = strlen(text);
    uint64_t unit = 1;
    const char *found;

    if (length > 1 && text[length - 1] == 'B') {
        length--;
        if (length > 1 && text[length - 1] == 'i') {
            length--;
            /* "iB" alone is no unit. */
            if (isdigit((unsigned char)text[length - 1]))
                return false;
        }
    }
    if (length > 1 && !isdigit((unsigned char)text[length - 1])) {
        found = strchr(letters, toupper((unsigned char)text[length - 1]));
        if (found == NULL)
            return false;
        unit = (uint64_t)1 << (10 * (found - letters + 1));
        length--;
    }
    return read_scaled(text, length, unit, out);
}

/* ---- messages -------------------------------------------------------------- */

struct parser {
    const struct cli_command *command;
    char *const *argv;
    int argc, next; /* the argument to read next */
    char *message;
};

/* Whether a character of that many bytes ends a line or turns the direction of
 * what is around it: U+061C, U+200E and F, U+2028 to 202E, U+2066 to 2069. */
static bool misleads(const unsigned char *c, size_t bytes)
{
    if (bytes == 2)
        return c[0] == 0xD8 && c[1] == 0x9C;
    if (bytes != 3 || c[0] != 0xE2)
        return false;
    return (c[1] == 0x80 &&
            (c[2] == 0x8E || c[2] == 0x8F || (c[2] >= 0xA8 && c[2] <= 0xAE))) ||
           (c[1] == 0x81 && c[2] >= 0xA6 && c[2] <= 0xA9);
}

/* Length of the UTF-8 character that text starts with; 0 for what is none, or
 * moves a terminal's cursor, C0 and C1 controls and DEL, or misleads. */
static size_t character(const char *text, size_t length)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t bytes = c[0] < 0x80                   ? 1
                   : c[0] >= 0xC2 && c[0] < 0xE0 ? 2
                   : c[0] >= 0xE0 && c[0] < 0xF0 ? 3
                   : c[0] >= 0xF0 && c[0] < 0xF5 ? 4
                                                 : 0;

    if (bytes > length || c[0] < 0x20 || c[0] == 0x7F)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((c[i] & 0xC0) != 0x80)
            return 0;
    if (misleads(c, bytes))
        return 0;
    return bytes == 2 && c[0] == 0xC2 && c[1] < 0xA0 ? 0 : bytes;
}

static struct cli_shown show(const char *text, size_t length)
{
    struct cli_shown out = {""};
    size_t at = 0;

    if (length == 0) {
        snprintf(out.text, sizeof(out.text), "an empty text");
        return out;
    }
    while (at < length) {
        size_t bytes = character(text + at, length - at);
        size_t step = bytes > 0 ? bytes : 1;

        if (at + step > SHOWN_BYTES) {
            memcpy(out.text + at, "...", 4);
            break;
        }
        if (bytes > 0)
            memcpy(out.text + at, text + at, bytes);
        else
            out.text[at] = '?';
        at += step;
    }
    return out;
}

struct cli_shown cli_show(const char *text)
{
    return show(text, strlen(text));
}

char *cli_clean(char *out, size_t bytes, const char *text)
{
    size_t at = 0, length = strlen(text);

    while (length > 0) {
        size_t take = character(text, length), step = take > 0 ? take : 1;

        if (at + step >= bytes)
            break;
        if (take > 0)
            memcpy(out + at, text, take);
        else
            out[at] = '?';
        at += step;
        text += step;
        length -= step;
    }
    out[at] = '\0';
    return out;
}

static enum cli_outcome fail(struct parser *p, const char *format, ...)
    GOV_PRINTF(2, 3);

static enum cli_outcome fail(struct parser *p, const char *format, ...)
{
    va_list args;
    int n = snprintf(p->message, CLI_MESSAGE_BYTES, "%s: ", p->command->name);

    if (n < 0 || n >= CLI_MESSAGE_BYTES)
        return CLI_ERROR;
    va_start(args, format);
    vsnprintf(p->message + n, CLI_MESSAGE_BYTES - (size_t)n, format, args);
    va_end(args);
    return CLI_ERROR;
}

static void print_number(char *out, size_t bytes, enum cli_kind kind,
                         uint64_t n)
{
    static const char letters[] = "TGMK";

    if (kind == CLI_BYTES && n > 0) {
        for (int i = 0; i < 4; i++) {
            uint64_t unit = (uint64_t)1 << (40 - 10 * i);

            if (n % unit == 0) {
                snprintf(out, bytes, "%llu%ciB", (unsigned long long)(n / unit),
                         letters[i]);
                return;
            }
        }
    }
    if (kind == CLI_SECONDS && n % 1000 != 0) {
        int decimals = n % 100 == 0 ? 1 : n % 10 == 0 ? 2 : 3;
        unsigned part = (unsigned)(n % 1000);

        for (int i = decimals; i < 3; i++)
            part /= 10;
        snprintf(out, bytes, "%llu.%0*u", (unsigned long long)(n / 1000),
                 decimals, part);
        return;
    }
    if (kind == CLI_SECONDS)
        n /= 1000;
    snprintf(out, bytes, "%llu", (unsigned long long)n);
}

static enum cli_outcome
fail_value(struct parser *p, const struct cli_option *option, const char *text)
{
    static const char *const kinds[] = {
        [CLI_COUNT] = "a whole number",
        [CLI_BYTES] = "a size such as 512M or 1.5GiB",
        [CLI_SECONDS] = "a number of seconds",
    };
    char low[32], high[32], range[96] = "";

    print_number(low, sizeof(low), option->kind, option->min);
    print_number(high, sizeof(high), option->kind, option->max);
    if (option->max != 0)
        snprintf(range, sizeof(range), " from %s to %s", low, high);
    else if (option->min != 0)
        snprintf(range, sizeof(range), " of at least %s", low);
    return fail(p, "%s needs %s%s, not %s", option->name, kinds[option->kind],
                range, show(text, strlen(text)).text);
}

/* ---- which name was meant -------------------------------------------------- */

#define NAME_BYTES 32

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits between two names: insert, delete, replace or swap two neighbours. */
static size_t distance(const char *a, size_t a_length, const char *b,
                       size_t b_length)
{
    size_t row[3][NAME_BYTES + 1];
    size_t *two = row[0], *one = row[1], *now = row[2], *spare;

    if (a_length > NAME_BYTES || b_length > NAME_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        one[j] = two[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;

            now[j] = least(least(one[j], now[j - 1]) + 1, one[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], two[j - 2] + 1);
        }
        spare = two;
        two = one;
        one = now;
        now = spare;
    }
    return one[b_length];
}

/* Keeps in *best what is nearer than *best_distance. One edit in three letters
 * is as far as a suggestion helps. */
static void nearer(const char *word, size_t length, const char *name,
                   const char **best, size_t *best_distance)
{
    size_t d = distance(word, length, name, strlen(name));

    if (d < *best_distance && d * 3 <= length) {
        *best_distance = d;
        *best = name;
    }
}

const char *cli_nearest(const char *word, const char *const *names,
                        size_t count)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;

    for (size_t i = 0; i < count; i++)
        nearer(word, strlen(word), names[i], &best, &best_distance);
    return best;
}

static enum cli_outcome fail_unknown(struct parser *p, const char *text,
                                     size_t length)
{
    const struct cli_command *c = p->command;
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;

    if (length > 2) {
        /* The dashes are not evidence, so they do not count. */
        for (size_t i = 0; i < c->option_count; i++)
            nearer(text + 2, length - 2, c->options[i].name + 2, &best,
                   &best_distance);
        nearer(text + 2, length - 2, "help", &best, &best_distance);
        if (c->version != NULL)
            nearer(text + 2, length - 2, "version", &best, &best_distance);
    }
    if (best != NULL)
        return fail(p, "unknown option %s; did you mean --%s? See %s --help",
                    show(text, length).text, best, c->name);
    return fail(p, "unknown option %s; see %s --help", show(text, length).text,
                c->name);
}

/* ---- parsing --------------------------------------------------------------- */

static enum cli_outcome
set_value(struct parser *p, const struct cli_option *option, const char *text)
{
    struct cli_list *list = option->target;
    uint64_t n = 0;
    bool valid = false;

    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)option->target = true;
        return CLI_RUN;
    case CLI_TEXT:
        *(const char **)option->target = text;
        return CLI_RUN;
    case CLI_LIST:
        if (list->count == list->room)
            return fail(p, "%s may be given at most %zu times", option->name,
                        list->room);
        list->item[list->count++] = text;
        return CLI_RUN;
    case CLI_COUNT:
        valid = cli_read_count(text, &n);
        break;
    case CLI_BYTES:
        valid = cli_read_bytes(text, &n);
        break;
    case CLI_SECONDS:
        valid = cli_read_seconds(text, &n);
        break;
    }
    if (!valid || n < option->min || (option->max != 0 && n > option->max))
        return fail_value(p, option, text);
    *(uint64_t *)option->target = n;
    return CLI_RUN;
}

/* `attached` is what follows "=" or the letter; NULL when nothing does. */
static enum cli_outcome take_value(struct parser *p,
                                   const struct cli_option *option,
                                   const char *attached)
{
    if (option->kind == CLI_FLAG) {
        if (attached != NULL)
            return fail(p, "%s takes no value", option->name);
        return set_value(p, option, NULL);
    }
    if (attached == NULL) {
        if (p->next == p->argc)
            return fail(p, "%s needs a value: %s %s; see %s --help",
                        option->name, option->name, option->value,
                        p->command->name);
        attached = p->argv[p->next++];
    }
    return set_value(p, option, attached);
}

static enum cli_outcome parse_long(struct parser *p, const char *text)
{
    const struct cli_command *c = p->command;
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);

    for (size_t i = 0; i < c->option_count; i++) {
        const struct cli_option *option = &c->options[i];

        if (strlen(option->name) == length &&
            memcmp(option->name, text, length) == 0)
            return take_value(p, option, equals != NULL ? equals + 1 : NULL);
    }
    if (strcmp(text, "--help") == 0)
        return CLI_HELP;
    if (strcmp(text, "--version") == 0 && c->version != NULL)
        return CLI_VERSION;
    return fail_unknown(p, text, length);
}

/* "-j", "-jk" for two flags, "-d2" and "-d 2". */
static enum cli_outcome parse_letters(struct parser *p, const char *text)
{
    const struct cli_command *c = p->command;

    for (const char *at = text + 1; *at != '\0'; at++) {
        const struct cli_option *option = NULL;
        enum cli_outcome outcome;

        for (size_t i = 0; i < c->option_count && option == NULL; i++)
            if (c->options[i].letter == *at)
                option = &c->options[i];
        if (option == NULL && *at == 'h')
            return CLI_HELP;
        if (option == NULL)
            return fail_unknown(p, text, strlen(text));
        if (option->kind != CLI_FLAG)
            return take_value(p, option, at[1] != '\0' ? at + 1 : NULL);
        outcome = set_value(p, option, NULL);
        if (outcome != CLI_RUN)
            return outcome;
    }
    return CLI_RUN;
}

static enum cli_outcome take_positional(struct parser *p, const char *text)
{
    struct cli_list *list = p->command->positionals;

    if (list == NULL || list->count == list->room)
        return fail(p, "unexpected argument %s; see %s --help",
                    show(text, strlen(text)).text, p->command->name);
    list->item[list->count++] = text;
    return CLI_RUN;
}

enum cli_outcome cli_parse(const struct cli_command *command, int argc,
                           char *const *argv, char message[CLI_MESSAGE_BYTES])
{
    struct parser p = {command, argv, argc, 1, message};
    bool options_over = false;

    message[0] = '\0';
    while (p.next < p.argc) {
        const char *text = p.argv[p.next++];
        enum cli_outcome outcome = CLI_RUN;

        if (options_over || text[0] != '-' || text[1] == '\0')
            outcome = take_positional(&p, text);
        else if (text[1] != '-')
            outcome = parse_letters(&p, text);
        else if (text[2] == '\0')
            options_over = true;
        else
            outcome = parse_long(&p, text);
        if (outcome != CLI_RUN)
            return outcome;
    }
    if (command->positionals != NULL &&
        command->positionals->count < command->required)
        return fail(&p, "%s is missing; see %s --help",
                    command->what[command->positionals->count], command->name);
    return CLI_RUN;
}

bool cli_settled(const struct cli_command *command, int argc, char *const *argv,
                 int *exit_code)
{
    char message[CLI_MESSAGE_BYTES];

    *exit_code = 0;
    switch (cli_parse(command, argc, argv, message)) {
    case CLI_RUN:
        return false;
    case CLI_HELP:
        cli_help(command, stdout);
        break;
    case CLI_VERSION:
        printf("%s %s\n", command->name, command->version);
        break;
    case CLI_ERROR:
        fprintf(stderr, "%s\n", message);
        *exit_code = CLI_EXIT_USAGE;
        return true;
    }
    if (fflush(stdout) != 0) {
        fprintf(stderr,
                "%s: cannot write the output; is the disk full or the pipe "
                "closed?\n",
                command->name);
        *exit_code = 1;
    }
    return true;
}

/* ---- help ------------------------------------------------------------------ */

/* Prints text broken between words at HELP_WIDTH, the first line from `column`,
 * the others from `indent`. */
static void wrap(FILE *out, const char *text, int column, int indent)
{
    bool first = true;

    while (*text != '\0') {
        int length = (int)strcspn(text, " ");

        if (!first && column + 1 + length > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
        first = false;
    }
    fputc('\n', out);
}

static int left_side(char *out, size_t bytes, const struct cli_option *option)
{
    char letter[8] = "    ";

    if (option->letter != 0)
        snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    return snprintf(out, bytes, "  %s%s%s%s", letter, option->name,
                    option->value != NULL ? " " : "",
                    option->value != NULL ? option->value : "");
}

static void help_row(FILE *out, const struct cli_option *option, int width)
{
    char left[128];
    int used = left_side(left, sizeof(left), option);

    if (used + 2 > width)
        fprintf(out, "%s\n%*s", left, width, "");
    else
        fprintf(out, "%-*s", width, left);
    wrap(out, option->help, width, width);
}

void cli_help(const struct cli_command *command, FILE *out)
{
    const struct cli_option help = {
        .name = "--help", .letter = 'h', .help = "show this help and exit"};
    const struct cli_option version = {.name = "--version",
                                       .help = "show the version and exit"};
    char left[128];
    int width = 0;

    for (size_t i = 0; i < command->option_count; i++) {
        int used = left_side(left, sizeof(left), &command->options[i]) + 2;

        /* A long one gets a line of its own instead of moving all others. */
        if (used > width && used <= 32)
            width = used;
    }
    if (width < 17)
        width = 17;
    fprintf(out, "usage: %s %s\n\n", command->name, command->synopsis);
    wrap(out, command->sentence, 0, 0);
    fprintf(out, "\nOptions:\n");
    for (size_t i = 0; i < command->option_count; i++)
        help_row(out, &command->options[i], width);
    help_row(out, &help, width);
    if (command->version != NULL)
        help_row(out, &version, width);
    if (command->notes != NULL)
        fprintf(out, "\n%s\n", command->notes);
}
