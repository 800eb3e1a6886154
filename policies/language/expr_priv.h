/* SPDX-License-Identifier: MIT */
/* Conditions of rules: read once into a typed list of operations, evaluated
 * many times. Everything that can be wrong with a condition is found when it is
 * read; evaluation cannot fail, it can only not know. */
#ifndef GOV_POLICIES_EXPR_PRIV_H
#define GOV_POLICIES_EXPR_PRIV_H

#include "policies/alloc.h"
#include "policies/facts.h"

#define GOV__EXPR_TEXT_MAX 4096 /* bytes of one condition */
#define GOV__EXPR_NODES 256     /* operations of one condition */
#define GOV__EXPR_DEPTH 32      /* parentheses and `not` inside each other */

/* Where a condition is wrong, as an offset into its text, and why. */
struct gov__expr_error {
    size_t offset;
    char sentence[192];
};

/* Fills err with a formatted sentence. */
void gov__expr_fail(struct gov__expr_error *err, size_t offset,
                    const char *format, ...) GOV_PRINTF(3, 4);

enum gov__token_kind {
    GOV__TOKEN_END,
    GOV__TOKEN_NUMBER, /* with its unit */
    GOV__TOKEN_TEXT,   /* with its quotes */
    GOV__TOKEN_NAME,
    GOV__TOKEN_OR,
    GOV__TOKEN_AND,
    GOV__TOKEN_NOT,
    GOV__TOKEN_IN,
    GOV__TOKEN_MATCHES,
    GOV__TOKEN_OF,
    GOV__TOKEN_KNOWN,
    GOV__TOKEN_TRUE,
    GOV__TOKEN_FALSE,
    GOV__TOKEN_EQ,
    GOV__TOKEN_NE,
    GOV__TOKEN_LT,
    GOV__TOKEN_LE,
    GOV__TOKEN_GT,
    GOV__TOKEN_GE,
    GOV__TOKEN_ADD,
    GOV__TOKEN_SUB,
    GOV__TOKEN_MUL,
    GOV__TOKEN_OPEN,
    GOV__TOKEN_CLOSE,
    GOV__TOKEN_LIST,
    GOV__TOKEN_LIST_END,
    GOV__TOKEN_COMMA,
};

struct gov__token {
    enum gov__token_kind kind;
    size_t offset, bytes;
    gov_type type;  /* NUMBER */
    int64_t number; /* NUMBER */
};

struct gov__lexer {
    const char *text;
    size_t bytes, at;
    struct gov__expr_error *err;
};

/* Reads the next token; false with *lexer->err filled where there is none. */
bool gov__lex(struct gov__lexer *lexer, struct gov__token *out);

/* A number with its unit and nothing else: "30 %", "8192". */
bool gov__expr_literal(const char *text, size_t bytes, gov_type type,
                       int64_t *out, struct gov__expr_error *err);

/* The other way, exactly: what is written reads as the same number. Not for
 * text. */
char *gov__literal_print(char out[32], gov_type type, int64_t number);

enum gov__op {
    GOV__OP_NUMBER,
    GOV__OP_TEXT,
    GOV__OP_FACT,
    GOV__OP_KNOWN,
    GOV__OP_NOT,
    GOV__OP_AND,
    GOV__OP_OR,
    GOV__OP_EQ,
    GOV__OP_NE,
    GOV__OP_LT,
    GOV__OP_LE,
    GOV__OP_GT,
    GOV__OP_GE,
    GOV__OP_MATCH,
    GOV__OP_ADD,
    GOV__OP_SUB,
    GOV__OP_MUL,   /* plain product */
    GOV__OP_SCALE, /* left amount, right parts per million */
};

/* Operands stand before the operation that uses them, so evaluation is one
 * walk from first to last, without recursion. */
struct gov__node {
    uint8_t op, type;     /* gov__op, gov_type */
    uint16_t left, right; /* operands */
    uint32_t start;       /* of the operand in the text; TEXT: of its quote */
    uint32_t bytes;       /* FACT, KNOWN: of the name; TEXT: between quotes */
    int64_t number;       /* NUMBER; FACT and KNOWN: the fact */
};

struct gov__expr {
    const char *text; /* own copy, behind the nodes */
    size_t bytes;
    uint32_t count;
    struct gov__node nodes[];
};

enum gov__truth { GOV__FALSE, GOV__TRUE, GOV__UNKNOWN };

/* Reads a condition. *out is released with alloc.
 *
 * GOV_E_FORMAT  err says what and where
 * GOV_E_NOMEM   err is not filled */
gov_status gov__expr_parse(struct gov__expr **out, const char *text,
                           size_t bytes, const struct gov_alloc *alloc,
                           struct gov__expr_error *err);

/* facts NULL: whatever the facts are; GOV__UNKNOWN when it depends. */
enum gov__truth gov__expr_eval(const struct gov__expr *expr,
                               const struct gov_facts *facts);

/* The same while facts that are `open` (an entry a fact) have yet to be found:
 * whether one will be known is unknown, too. */
enum gov__truth gov__expr_eval_open(const struct gov__expr *expr,
                                    const struct gov_facts *facts,
                                    const bool *open);

/* The condition with the value of each fact behind its name. */
size_t gov__expr_show(const struct gov__expr *expr,
                      const struct gov_facts *facts, char *out, size_t bytes);

/* "model.encrypted is unknown": the facts that a condition lacked. */
size_t gov__expr_missing(const struct gov__expr *expr,
                         const struct gov_facts *facts, char *out,
                         size_t bytes);

#endif
