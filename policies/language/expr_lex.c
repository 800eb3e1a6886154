/* SPDX-License-Identifier: MIT */
/* Words, numbers and signs of the condition language. */
#include "policies/language/expr_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policies/language/words_priv.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

void gov__expr_fail(struct gov__expr_error *err, size_t offset,
                    const char *format, ...)
{
    va_list args;

    err->offset = offset;
    va_start(args, format);
    vsnprintf(err->sentence, sizeof(err->sentence), format, args);
    va_end(args);
}

#define FAIL(lexer, ...) (gov__expr_fail((lexer)->err, __VA_ARGS__), false)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void skip_space(struct gov__lexer *lexer)
{
    while (lexer->at < lexer->bytes && gov__is_space(lexer->text[lexer->at]))
        lexer->at++;
}

static size_t word_end(const struct gov__lexer *lexer, size_t at)
{
    while (at < lexer->bytes &&
           (is_letter(lexer->text[at]) || is_digit(lexer->text[at]) ||
            lexer->text[at] == '.'))
        at++;
    return at;
}

static enum gov__token_kind keyword(const char *word, size_t bytes)
{
    static const struct {
        const char *word;
        enum gov__token_kind kind;
    } words[] = {
        {"or", GOV__TOKEN_OR},       {"and", GOV__TOKEN_AND},
        {"not", GOV__TOKEN_NOT},     {"in", GOV__TOKEN_IN},
        {"of", GOV__TOKEN_OF},       {"matches", GOV__TOKEN_MATCHES},
        {"true", GOV__TOKEN_TRUE},   {"false", GOV__TOKEN_FALSE},
        {"known", GOV__TOKEN_KNOWN},
    };

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strlen(words[i].word) == bytes &&
            memcmp(words[i].word, word, bytes) == 0)
            return words[i].kind;
    return GOV__TOKEN_NAME;
}

struct unit {
    gov_type type;
    int64_t scale;
};

/* Of names that are as near to what was written, the first is offered. */
static const char *const unit_names[] = {"KiB", "MiB", "GiB", "TiB", "us",
                                         "ms",  "kB",  "MB",  "GB",  "TB",
                                         "s",   "min", "h",   "B"};
static const struct unit units[] = {
    {GOV_TYPE_BYTES, INT64_C(1) << 10},
    {GOV_TYPE_BYTES, INT64_C(1) << 20},
    {GOV_TYPE_BYTES, INT64_C(1) << 30},
    {GOV_TYPE_BYTES, INT64_C(1) << 40},
    {GOV_TYPE_DURATION, 1},
    {GOV_TYPE_DURATION, 1000},
    {GOV_TYPE_BYTES, 1000},
    {GOV_TYPE_BYTES, 1000000},
    {GOV_TYPE_BYTES, 1000000000},
    {GOV_TYPE_BYTES, INT64_C(1000000000000)},
    {GOV_TYPE_DURATION, 1000000},
    {GOV_TYPE_DURATION, INT64_C(60) * 1000000},
    {GOV_TYPE_DURATION, INT64_C(3600) * 1000000},
    {GOV_TYPE_BYTES, 1},
};

/* Reads the unit behind a number, if there is one. */
static bool lex_unit(struct gov__lexer *lexer, struct unit *out)
{
    const char *word;
    const char *near;
    size_t start, end;

    skip_space(lexer);
    start = lexer->at;
    *out = (struct unit){GOV_TYPE_COUNT, 1};
    if (start < lexer->bytes && lexer->text[start] == '%') {
        *out = (struct unit){GOV_TYPE_RATIO, 10000};
        lexer->at++;
        return true;
    }
    end = word_end(lexer, start);
    word = lexer->text + start;
    if (end == start || !is_letter(word[0]) ||
        keyword(word, end - start) != GOV__TOKEN_NAME)
        return true;
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (strlen(unit_names[i]) == end - start &&
            memcmp(unit_names[i], word, end - start) == 0) {
            *out = units[i];
            lexer->at = end;
            return true;
        }
    near = gov__nearest(word, end - start, unit_names, COUNT_OF(units));
    if (near != NULL)
        return FAIL(lexer, start, "unknown unit \"%.*s\"; did you mean %s?",
                    gov__short(word, end - start), word, near);
    return FAIL(lexer, start,
                "unknown unit \"%.*s\"; units are B, kB, MB, GB, TB, KiB, MiB, "
                "GiB, TiB, us, ms, s, min, h and %%",
                gov__short(word, end - start), word);
}

/* Six digits behind the point keep fraction * unit below 2^63: exact. */
#define FRACTION_DIGITS 6

static bool lex_number(struct gov__lexer *lexer, struct gov__token *out)
{
    size_t start = lexer->at;
    int64_t whole = 0, fraction = 0, divisor = 1;
    bool exact = true, point = false;
    struct unit unit;

    for (; lexer->at < lexer->bytes && is_digit(lexer->text[lexer->at]);
         lexer->at++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, lexer->text[lexer->at] - '0', &whole))
            exact = false;
    if (lexer->at < lexer->bytes && lexer->text[lexer->at] == '.') {
        size_t digits = 0;

        point = true;
        for (lexer->at++;
             lexer->at < lexer->bytes && is_digit(lexer->text[lexer->at]);
             lexer->at++) {
            if (++digits > FRACTION_DIGITS)
                return FAIL(lexer, lexer->at,
                            "more than %d digits behind the point",
                            FRACTION_DIGITS);
            fraction = fraction * 10 + (lexer->text[lexer->at] - '0');
            divisor *= 10;
        }
        if (digits == 0)
            return FAIL(lexer, lexer->at, "no digit behind the point");
    }
    out->bytes = lexer->at - start;
    if (!lex_unit(lexer, &unit))
        return false;
    if (point && unit.type == GOV_TYPE_COUNT)
        return FAIL(lexer, start, "a count is a whole number; or give a unit");
    if (!exact || __builtin_mul_overflow(whole, unit.scale, &whole) ||
        __builtin_add_overflow(whole, fraction * unit.scale / divisor, &whole))
        return FAIL(lexer, start, "number too large");
    out->kind = GOV__TOKEN_NUMBER;
    out->type = unit.type;
    out->number = whole;
    return true;
}

static bool lex_text(struct gov__lexer *lexer, struct gov__token *out)
{
    const char *start = lexer->text + lexer->at;
    const char *end = memchr(start + 1, start[0], lexer->bytes - lexer->at - 1);

    if (end == NULL)
        return FAIL(lexer, out->offset, "text has no closing quote");
    out->kind = GOV__TOKEN_TEXT;
    out->bytes = (size_t)(end - start) + 1;
    lexer->at += out->bytes;
    return true;
}

static bool lex_sign(struct gov__lexer *lexer, struct gov__token *out)
{
    static const struct {
        char sign[3];
        enum gov__token_kind kind;
        const char *wrong; /* what to write instead */
    } signs[] = {
        {"==", GOV__TOKEN_EQ, NULL},      {"!=", GOV__TOKEN_NE, NULL},
        {"<=", GOV__TOKEN_LE, NULL},      {">=", GOV__TOKEN_GE, NULL},
        {"&&", GOV__TOKEN_END, "and"},    {"||", GOV__TOKEN_END, "or"},
        {"<", GOV__TOKEN_LT, NULL},       {">", GOV__TOKEN_GT, NULL},
        {"+", GOV__TOKEN_ADD, NULL},      {"-", GOV__TOKEN_SUB, NULL},
        {"*", GOV__TOKEN_MUL, NULL},      {"(", GOV__TOKEN_OPEN, NULL},
        {")", GOV__TOKEN_CLOSE, NULL},    {"[", GOV__TOKEN_LIST, NULL},
        {",", GOV__TOKEN_COMMA, NULL},    {"]", GOV__TOKEN_LIST_END, NULL},
        {"=", GOV__TOKEN_END, "=="},      {"!", GOV__TOKEN_END, "not"},
        {"&", GOV__TOKEN_END, "and"},     {"|", GOV__TOKEN_END, "or"},
        {"/", GOV__TOKEN_END, "50 % of"},
    };
    const char *at = lexer->text + lexer->at;
    size_t left = lexer->bytes - lexer->at;
    uint32_t c;

    for (size_t i = 0; i < COUNT_OF(signs); i++) {
        size_t n = strlen(signs[i].sign);

        if (n > left || memcmp(at, signs[i].sign, n) != 0)
            continue;
        if (signs[i].wrong != NULL)
            return FAIL(lexer, lexer->at, "\"%s\" is not used here; write %s",
                        signs[i].sign, signs[i].wrong);
        out->kind = signs[i].kind;
        out->bytes = n;
        lexer->at += n;
        return true;
    }
    left = gov__utf8(at, left, &c);
    return FAIL(lexer, lexer->at, "\"%.*s\" is not part of a condition",
                (int)left, at);
}

bool gov__lex(struct gov__lexer *lexer, struct gov__token *out)
{
    char c;

    skip_space(lexer);
    *out = (struct gov__token){GOV__TOKEN_END, lexer->at, 0, GOV_TYPE_FLAG, 0};
    if (lexer->at == lexer->bytes)
        return true;
    c = lexer->text[lexer->at];
    if (is_digit(c))
        return lex_number(lexer, out);
    if (c == '"' || c == '\'')
        return lex_text(lexer, out);
    if (!is_letter(c))
        return lex_sign(lexer, out);
    out->bytes = word_end(lexer, lexer->at) - lexer->at;
    out->kind = keyword(lexer->text + lexer->at, out->bytes);
    lexer->at += out->bytes;
    return true;
}

bool gov__expr_literal(const char *text, size_t bytes, gov_type type,
                       int64_t *out, struct gov__expr_error *err)
{
    struct gov__lexer lexer = {text, bytes, 0, err};
    struct gov__token token, end;

    if (!gov__lex(&lexer, &token))
        return false;
    if (token.kind != GOV__TOKEN_NUMBER || token.type != type)
        return FAIL(&lexer, token.offset, "%s",
                    type == GOV_TYPE_RATIO ? "write a share, for instance 50 %"
                    : type == GOV_TYPE_BYTES
                        ? "write a size, for instance 16 GiB"
                    : type == GOV_TYPE_DURATION
                        ? "write a duration, for instance 500 ms"
                        : "write a whole number");
    if (!gov__lex(&lexer, &end))
        return false;
    if (end.kind != GOV__TOKEN_END)
        return FAIL(&lexer, end.offset, "one number is enough here");
    *out = token.number;
    return true;
}

char *gov__literal_print(char out[32], gov_type type, int64_t number)
{
    const struct gov_value value = {true, number, NULL};
    const char *name = type == GOV_TYPE_BYTES ? "B" : "s"; /* of 0 */
    int64_t scale = 1;

    if (type != GOV_TYPE_BYTES && type != GOV_TYPE_DURATION)
        return gov_value_print(out, 32, type, &value);
    for (size_t i = 0; number != 0 && i < COUNT_OF(units); i++)
        if (units[i].type == type && number % units[i].scale == 0 &&
            units[i].scale >= scale) {
            name = unit_names[i];
            scale = units[i].scale;
        }
    gov__put(out, 32, 0, "%lld %s", (long long)(number / scale), name);
    return out;
}
