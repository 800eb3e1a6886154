/* SPDX-License-Identifier: MIT */
/* Shows a policy line by line, as YAML that reads as the same policy. Allocates
 * nothing. */
#include "policies/rules/policy_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"

#define COLUMNS 80
/* A condition in which each byte is written as an escape of four, and room for
 * its key. */
#define LINE_MAX_BYTES (4 * GOV__EXPR_TEXT_MAX + 64)

struct show {
    const gov_policy *policy;
    gov_policy_line_fn fn;
    void *ctx;
    char line[LINE_MAX_BYTES];
    size_t used;
};

#define PUT(s, ...)                                                            \
    ((s)->used = gov__put((s)->line, sizeof((s)->line), (s)->used, __VA_ARGS__))

static void end_line(struct show *s, const char *file, size_t line)
{
    s->line[s->used] = '\0';
    if (s->fn != NULL)
        s->fn(s->ctx, s->line, file, line);
    s->used = 0;
}

/* A line that only holds others together. */
static void hold_line(struct show *s, const char *text)
{
    PUT(s, "%s", text);
    end_line(s, NULL, 0);
}

static const char *file_of(const struct show *s, const struct gov__origin *at)
{
    return at->file < s->policy->file_count ? s->policy->files[at->file] : "";
}

/* Ends a line that is from the file of `at`. Where the line is not known, it is
 * that of `at`. */
static void end_at(struct show *s, const struct gov__origin *at, uint32_t line)
{
    end_line(s, file_of(s, at), line > 0 ? line : at->line);
}

/* ---- texts ---- */

enum quoting { PLAIN, SINGLE, DOUBLE };

/* What YAML would read as something else needs quotes, and what moves the cursor
 * has to be escaped. Stricter than YAML is, so that a person need not wonder. */
static enum quoting quoting_of(const char *text, size_t bytes)
{
    enum quoting quoting = PLAIN;

    if (bytes == 0 || strchr("-?:,[]{}#&*!|>'\"%@`= ", text[0]) != NULL ||
        text[bytes - 1] == ' ' || text[bytes - 1] == ':')
        quoting = SINGLE;
    for (size_t i = 0, n; i < bytes; i += n) {
        uint32_t c = 0;

        n = gov__utf8(text + i, bytes - i, &c);
        if (n == 0 || gov__is_control(c) || gov__is_space((char)text[i])) {
            if (text[i] != ' ')
                return DOUBLE;
        }
        n = n > 0 ? n : 1;
        if ((text[i] == ':' && i + 1 < bytes && text[i + 1] == ' ') ||
            (text[i] == '#' && i > 0 && text[i - 1] == ' '))
            quoting = SINGLE;
    }
    return quoting;
}

static void put_character(struct show *s, enum quoting quoting,
                          const char *text, size_t bytes, uint32_t c)
{
    if (quoting == SINGLE && c == '\'')
        PUT(s, "''");
    else if (quoting == DOUBLE && (c == '"' || c == '\\'))
        PUT(s, "\\%c", (char)c);
    else if (quoting == DOUBLE && c == '\n')
        PUT(s, "\\n");
    else if (quoting == DOUBLE && (c < 0x20 || (c >= 0x7F && c < 0xA0)))
        PUT(s, "\\x%02X", (unsigned)c);
    else if (quoting == DOUBLE && gov__is_control(c))
        PUT(s, "\\u%04X", (unsigned)c);
    else
        PUT(s, "%.*s", (int)bytes, text);
}

static void put_text(struct show *s, const char *text, size_t bytes)
{
    static const char *const quotes[] = {"", "'", "\""};
    enum quoting quoting = quoting_of(text, bytes);

    PUT(s, "%s", quotes[quoting]);
    for (size_t i = 0, n; i < bytes; i += n) {
        uint32_t c = 0;

        n = gov__utf8(text + i, bytes - i, &c);
        if (n > 0)
            put_character(s, quoting, text + i, n, c);
        else
            PUT(s, "?"); /* no policy file has it */
        n = n > 0 ? n : 1;
    }
    PUT(s, "%s", quotes[quoting]);
}

/* A condition on one line: what stands between its words is a space, what stands
 * in its texts stays. Returns the bytes in out. */
static size_t join_lines(const struct gov__expr *when,
                         char out[GOV__EXPR_TEXT_MAX])
{
    size_t used = 0;
    char quote = '\0';

    for (size_t i = 0; i < when->bytes; i++) {
        char c = when->text[i];

        if (quote == '\0' && gov__is_space(c)) {
            if (used > 0 && out[used - 1] != ' ')
                out[used++] = ' ';
            continue;
        }
        if (quote == '\0' && (c == '"' || c == '\''))
            quote = c;
        else if (c == quote)
            quote = '\0';
        out[used++] = c;
    }
    while (used > 0 && out[used - 1] == ' ')
        used--;
    return used;
}

/* ---- what a rule sets ---- */

const char *gov__setting_name(enum gov__setting which)
{
    static const char *const names[GOV__SETTINGS] = {
        [GOV__SET_KV_TYPE] = "kv_type",
        [GOV__SET_CONTEXT] = "context",
        [GOV__SET_REPACK] = "repack",
        [GOV__SET_WARN] = "warn",
        [GOV__SET_HOT] = "hot",
        [GOV__SET_AHEAD] = "ahead",
        [GOV__SET_HOLD] = "hold",
        [GOV__SET_ANCHOR] = "anchor",
        [GOV__SET_DIRECT] = "direct",
        [GOV__SET_WARM] = "warm",
        [GOV__SET_WARM_RATE] = "warm_rate",
        [GOV__SET_ADVISE_LOAD] = "advise_load",
        [GOV__SET_ADVISE_PASS] = "advise_pass",
        [GOV__SET_GPU_LAYERS] = "gpu_layers",
        [GOV__SET_SEQUENCES] = "sequences",
        [GOV__SET_WARNING] = "warning",
    };

    return names[which];
}

const char *gov__setting_print(char out[32], enum gov__setting which,
                               int64_t value)
{
    switch (which) {
    case GOV__SET_KV_TYPE:
        return gov_kv_type_name((gov_kv_type)value);
    case GOV__SET_REPACK:
    case GOV__SET_WARN:
    case GOV__SET_ANCHOR:
    case GOV__SET_DIRECT:
        return value != 0 ? "true" : "false";
    case GOV__SET_HOLD:
        return gov_hold_name((gov_hold)value);
    case GOV__SET_WARM:
        return gov_warm_name((gov_warm)value);
    case GOV__SET_ADVISE_LOAD:
    case GOV__SET_ADVISE_PASS:
        return gov_advice_name((gov_advice)value);
    case GOV__SET_HOT:
        return gov__literal_print(out, GOV_TYPE_RATIO, value);
    case GOV__SET_WARM_RATE:
        return gov__literal_print(out, GOV_TYPE_BYTES, value);
    case GOV__SET_GPU_LAYERS:
        if (value == GOV__GPU_ALL)
            return "all";
        break;
    default:
        break;
    }
    return gov__literal_print(out, GOV_TYPE_COUNT, value);
}

/* One `key: value` of a mapping, and where it is from. */
struct pair {
    const char *key, *value;
    bool text; /* to be quoted where it must */
    uint32_t line;
};

#define PAIRS (GOV__SETTINGS + 2)

/* A mapping is written in one line where it was, and where that is short and
 * without sentences. */
static bool is_short(const struct pair *pairs, size_t count, size_t indent)
{
    size_t columns = indent + 4; /* "{ " and " }" */

    for (size_t i = 0; i < count; i++) {
        if (pairs[i].text || pairs[i].line != pairs[0].line)
            return false;
        columns += strlen(pairs[i].key) + strlen(pairs[i].value) + 4;
    }
    return columns - 2 <= COLUMNS;
}

static void put_pair(struct show *s, const struct pair *pair)
{
    PUT(s, "%s: ", pair->key);
    if (pair->text)
        put_text(s, pair->value, strlen(pair->value));
    else
        PUT(s, "%s", pair->value);
}

static void put_flow(struct show *s, const struct pair *pairs, size_t count)
{
    PUT(s, "{ ");
    for (size_t i = 0; i < count; i++) {
        PUT(s, "%s", i > 0 ? ", " : "");
        put_pair(s, &pairs[i]);
    }
    PUT(s, " }");
}

static void show_then(struct show *s, const struct gov__rule *rule)
{
    struct pair pairs[PAIRS];
    char values[GOV__SETTINGS][32];
    size_t count = 0;

    if (rule->strategy != GOV_STRATEGY_UNSET)
        pairs[count++] =
            (struct pair){"strategy", gov_strategy_name(rule->strategy), false,
                          rule->strategy_line};
    for (unsigned i = 0; i < GOV__SETTINGS; i++) {
        enum gov__setting which = (enum gov__setting)i;
        bool text = which == GOV__SET_WARNING;

        if (rule->set[i])
            pairs[count++] = (struct pair){
                gov__setting_name(which),
                text ? rule->warning
                     : gov__setting_print(values[i], which, rule->value[i]),
                text, rule->set_line[i]};
    }
    if (rule->instead != NULL)
        pairs[count++] =
            (struct pair){"instead", rule->instead, true, rule->instead_line};
    if (is_short(pairs, count, strlen("    then: "))) {
        PUT(s, "    then: ");
        put_flow(s, pairs, count);
        end_at(s, &rule->at, pairs[0].line);
        return;
    }
    hold_line(s, "    then:");
    for (size_t i = 0; i < count; i++) {
        PUT(s, "      ");
        put_pair(s, &pairs[i]);
        end_at(s, &rule->at, pairs[i].line);
    }
}

static void show_rule(struct show *s, const struct gov__rule *rule)
{
    char when[GOV__EXPR_TEXT_MAX];

    PUT(s, "  - name: ");
    put_text(s, rule->name, strlen(rule->name));
    end_at(s, &rule->at, 0);
    if (rule->when != NULL) {
        PUT(s, "    when: ");
        put_text(s, when, join_lines(rule->when, when));
        end_at(s, &rule->at, rule->when_line);
    }
    show_then(s, rule);
    if (rule->unknown_line > 0) {
        PUT(s, "    unknown: %s", rule->unknown_matches ? "match" : "no-match");
        end_at(s, &rule->at, rule->unknown_line);
    }
    PUT(s, "    because: ");
    put_text(s, rule->because, strlen(rule->because));
    end_at(s, &rule->at, rule->because_line);
}

/* ---- sections ---- */

static const char *from_name(gov_level level)
{
    if (level >= GOV_LEVEL_NEVER)
        return "never";
    return level >= GOV_LEVEL_CRITICAL ? "critical" : "warn";
}

static size_t step_pairs(const struct gov__ladder_entry *entry,
                         struct pair pairs[6], char values[6][32])
{
    const struct gov_ladder_step *step = &entry->step;
    const struct {
        const char *key;
        gov_type type;
        int64_t value;
        uint32_t line;
    } figures[] = {
        {"floor", GOV_TYPE_BYTES, (int64_t)step->floor_bytes,
         entry->floor_line},
        {"floor_tokens", GOV_TYPE_COUNT, step->floor_tokens,
         entry->floor_tokens_line},
        {"rest", GOV_TYPE_DURATION, (int64_t)step->rest_ms * 1000,
         entry->rest_line},
        {"rest_little", GOV_TYPE_DURATION, (int64_t)step->rest_little_ms * 1000,
         entry->rest_little_line},
    };
    size_t count = 0;

    if (entry->from_line > 0)
        pairs[count++] = (struct pair){"from", from_name(step->from_level),
                                       false, entry->from_line};
    for (size_t i = 0; i < 4; i++)
        if (figures[i].line > 0)
            pairs[count++] =
                (struct pair){figures[i].key,
                              gov__literal_print(values[i], figures[i].type,
                                                 figures[i].value),
                              false, figures[i].line};
    return count;
}

static void show_step(struct show *s, const struct gov__ladder_entry *entry)
{
    struct pair pairs[6];
    char values[6][32];
    const char *action = entry->step.action;
    size_t count = step_pairs(entry, pairs, values);
    size_t indent = strlen("  - action: ") + strlen(action) + 4;
    bool same = count == 0 || pairs[0].line == entry->at.line;

    PUT(s, "  - ");
    if (same && is_short(pairs, count, indent)) {
        PUT(s, "{ action: ");
        put_text(s, action, strlen(action));
        for (size_t i = 0; i < count; i++) {
            PUT(s, ", ");
            put_pair(s, &pairs[i]);
        }
        PUT(s, " }");
        end_at(s, &entry->at, 0);
        return;
    }
    PUT(s, "action: ");
    put_text(s, action, strlen(action));
    end_at(s, &entry->at, 0);
    for (size_t i = 0; i < count; i++) {
        PUT(s, "    ");
        put_pair(s, &pairs[i]);
        end_at(s, &entry->at, pairs[i].line);
    }
}

/* All figures of a section: those of no file are built in. */
static void show_figures(struct show *s, const char *section)
{
    struct gov_level_rules levels;
    struct gov_relief_rules relief;

    gov_policy_levels(s->policy, &levels);
    gov_policy_relief(s->policy, &relief);
    hold_line(s, "");
    PUT(s, "%s:", section);
    end_line(s, NULL, 0);
    for (size_t i = 0; i < GOV__FIGURES; i++) {
        const struct gov__figure *figure = &gov__figures[i];
        const struct gov__figure_value *given = &s->policy->figures[i];
        bool regrow = strcmp(figure->section, "regrow") == 0;
        const char *from =
            regrow ? (const char *)&relief.regrow : (const char *)&levels;
        uint32_t value;
        char text[32];

        if (strcmp(figure->section, section) != 0)
            continue;
        memcpy(&value, from + figure->offset, sizeof(value));
        PUT(s, "  %s: %s", figure->key,
            gov__literal_print(text, figure->type, (int64_t)value * 1000));
        if (given->set)
            end_at(s, &given->at, 0);
        else
            end_line(s, "built in", 0);
    }
}

void gov_policy_show(const gov_policy *policy, gov_policy_line_fn line,
                     void *ctx)
{
    struct show s;
    bool any = false;

    s.policy = policy;
    s.fn = line;
    s.ctx = ctx;
    s.used = 0;
    hold_line(&s, "version: 1");
    hold_line(&s, "base: none");
    show_figures(&s, "levels");
    show_figures(&s, "regrow");
    for (uint32_t i = 0; i < policy->step_count; i++) {
        if (policy->steps[i].off)
            continue;
        if (!any) {
            hold_line(&s, "");
            hold_line(&s, "ladder:");
        }
        any = true;
        show_step(&s, &policy->steps[i]);
    }
    any = false;
    for (size_t i = 0; i < policy->count; i++) {
        if (policy->list[i].off)
            continue;
        hold_line(&s, "");
        if (!any)
            hold_line(&s, "rules:");
        any = true;
        show_rule(&s, &policy->list[i]);
    }
}
