/* SPDX-License-Identifier: MIT */
/* Evaluation of conditions in three-valued logic (Kleene), and how they are
 * shown with the facts filled in. Integers only; overflow is "unknown". */
#include "policies/language/expr_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"

struct cell {
    bool known;
    int64_t number;
    const char *text;
    size_t bytes;
};

static const struct cell unknown = {false, 0, NULL, 0};

static struct cell number_cell(int64_t number)
{
    struct cell cell = {true, number, NULL, 0};

    return cell;
}

static struct cell fact_cell(const struct gov__node *node,
                             const struct gov_facts *facts, const bool *open)
{
    const struct gov_value *value;
    struct cell cell = unknown;

    if (facts == NULL || (open != NULL && open[node->number]))
        return cell;
    value = &facts->value[node->number];
    cell.known = value->known;
    cell.number = value->number;
    if (node->op == GOV__OP_KNOWN)
        return number_cell(value->known);
    if (value->known && node->type == GOV_TYPE_TEXT) {
        cell.text = value->text;
        cell.bytes = strlen(value->text);
    }
    return cell;
}

/* false and unknown is false; true and unknown is unknown. `dominant` is the
 * value that decides alone: 0 for and, 1 for or. */
static struct cell logic(const struct cell *a, const struct cell *b,
                         int64_t dominant)
{
    if ((a->known && a->number == dominant) ||
        (b->known && b->number == dominant))
        return number_cell(dominant);
    if (!a->known || !b->known)
        return unknown;
    return number_cell(1 - dominant);
}

static bool compare(enum gov__op op, const struct cell *a, const struct cell *b)
{
    switch (op) {
    case GOV__OP_EQ:
    case GOV__OP_NE:
        if (a->text != NULL && b->text != NULL)
            return (a->bytes == b->bytes &&
                    memcmp(a->text, b->text, a->bytes) == 0) ==
                   (op == GOV__OP_EQ);
        return (a->number == b->number) == (op == GOV__OP_EQ);
    case GOV__OP_LT:
        return a->number < b->number;
    case GOV__OP_LE:
        return a->number <= b->number;
    case GOV__OP_GT:
        return a->number > b->number;
    case GOV__OP_GE:
        return a->number >= b->number;
    default:
        return gov__matches(a->text, a->bytes, b->text, b->bytes);
    }
}

/* amount * ppm / 1e6, rounded down, without a wider type. */
static bool scale(int64_t amount, int64_t ppm, int64_t *out)
{
    int64_t whole, part;

    if (__builtin_mul_overflow(amount / 1000000, ppm, &whole) ||
        __builtin_mul_overflow(amount % 1000000, ppm, &part))
        return false;
    return !__builtin_add_overflow(whole, part / 1000000, out);
}

static struct cell arithmetic(enum gov__op op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool exact = true;

    if (op == GOV__OP_ADD)
        exact = !__builtin_add_overflow(a, b, &result);
    else if (op == GOV__OP_SUB)
        exact = !__builtin_sub_overflow(a, b, &result);
    else if (op == GOV__OP_MUL)
        exact = !__builtin_mul_overflow(a, b, &result);
    else
        exact = scale(a, b, &result);
    return exact ? number_cell(result) : unknown;
}

static struct cell eval_node(const struct gov__expr *expr,
                             const struct gov__node *node,
                             const struct cell *cells,
                             const struct gov_facts *facts, const bool *open)
{
    const struct cell *a = &cells[node->left];
    const struct cell *b = &cells[node->right];
    enum gov__op op = (enum gov__op)node->op;
    struct cell text = {true, 0, expr->text + node->start + 1, node->bytes};

    switch (op) {
    case GOV__OP_NUMBER:
        return number_cell(node->number);
    case GOV__OP_TEXT:
        return text;
    case GOV__OP_FACT:
    case GOV__OP_KNOWN:
        return fact_cell(node, facts, open);
    case GOV__OP_AND:
        return logic(a, b, 0);
    case GOV__OP_OR:
        return logic(a, b, 1);
    default:
        break;
    }
    if (!a->known || !b->known)
        return unknown;
    if (op == GOV__OP_NOT)
        return number_cell(!a->number);
    if (op >= GOV__OP_ADD)
        return arithmetic(op, a->number, b->number);
    return number_cell(compare(op, a, b));
}

enum gov__truth gov__expr_eval_open(const struct gov__expr *expr,
                                    const struct gov_facts *facts,
                                    const bool *open)
{
    struct cell cells[GOV__EXPR_NODES];

    /* Leaves look at cells[0] without using it. */
    cells[0] = unknown;
    for (uint32_t i = 0; i < expr->count; i++)
        cells[i] = eval_node(expr, &expr->nodes[i], cells, facts, open);
    if (!cells[expr->count - 1].known)
        return GOV__UNKNOWN;
    return cells[expr->count - 1].number != 0 ? GOV__TRUE : GOV__FALSE;
}

enum gov__truth gov__expr_eval(const struct gov__expr *expr,
                               const struct gov_facts *facts)
{
    return gov__expr_eval_open(expr, facts, NULL);
}

/* A stretch of the condition's own text, on one line. */
static size_t put_source(const struct gov__expr *expr, size_t from, size_t to,
                         char *out, size_t bytes, size_t used)
{
    while (from < to) {
        size_t end = from;

        while (end < to && !gov__is_space(expr->text[end]))
            end++;
        used = gov__put(out, bytes, used, "%.*s", (int)(end - from),
                        expr->text + from);
        for (from = end; from < to && gov__is_space(expr->text[from]);)
            from++;
        if (from > end && from < expr->bytes)
            used = gov__put(out, bytes, used, " ");
    }
    return used;
}

size_t gov__expr_show(const struct gov__expr *expr,
                      const struct gov_facts *facts, char *out, size_t bytes)
{
    size_t used = 0, from = 0;

    for (uint32_t i = 0; i < expr->count; i++) {
        const struct gov__node *node = &expr->nodes[i];
        gov_fact fact = (gov_fact)node->number;
        char value[64];

        if (node->op != GOV__OP_FACT)
            continue;
        used =
            put_source(expr, from, node->start + node->bytes, out, bytes, used);
        from = node->start + node->bytes;
        used = gov__put(out, bytes, used, " (%s)",
                        gov_value_print(value, sizeof(value),
                                        gov_fact_info(fact)->type,
                                        &facts->value[fact]));
    }
    return put_source(expr, from, expr->bytes, out, bytes, used);
}

size_t gov__expr_missing(const struct gov__expr *expr,
                         const struct gov_facts *facts, char *out, size_t bytes)
{
    bool listed[GOV_FACT_COUNT] = {false};
    size_t used = 0;
    unsigned count = 0;

    for (uint32_t i = 0; i < expr->count; i++) {
        const struct gov__node *node = &expr->nodes[i];
        gov_fact fact = (gov_fact)node->number;

        if (node->op != GOV__OP_FACT || facts->value[fact].known ||
            listed[fact])
            continue;
        listed[fact] = true;
        used = gov__put(out, bytes, used, "%s%s", count++ > 0 ? ", " : "",
                        gov_fact_info(fact)->name);
    }
    if (count == 0)
        return gov__put(out, bytes, 0, "the numbers are too large to add up");
    return gov__put(out, bytes, used,
                    count > 1 ? " are unknown" : " is unknown");
}
