/* SPDX-License-Identifier: MIT */
/* Grammar and types of the condition language, loosest first:
 *
 *   or:      and { "or" and }
 *   and:     not { "and" not }
 *   not:     "not" not | compare
 *   compare: sum { ("<" | "<=" | ">" | ">=" | "==" | "!=") sum }
 *          | sum ["not"] "in" "[" sum { "," sum } "]"
 *          | sum ["not"] "matches" TEXT
 *   sum:     product { ("+" | "-") product }
 *   product: operand { ("*" | "of") operand }
 *   operand: NUMBER | TEXT | "true" | "false" | FACT | "known" "(" FACT ")"
 *          | "(" or ")" */
#include "policies/language/expr_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"

struct parser {
    struct gov__lexer lexer;
    struct gov__token token; /* the one that comes next */
    struct gov__node nodes[GOV__EXPR_NODES];
    int count;
    int depth;
};

#define FAILED (-1)

#define FAIL(p, ...) (gov__expr_fail((p)->lexer.err, __VA_ARGS__), FAILED)

static bool next(struct parser *p)
{
    return gov__lex(&p->lexer, &p->token);
}

static int add(struct parser *p, struct gov__node node)
{
    if (p->count == GOV__EXPR_NODES)
        return FAIL(p, p->token.offset,
                    "more than %d operations in one condition; make two rules",
                    GOV__EXPR_NODES);
    p->nodes[p->count] = node;
    return p->count++;
}

static gov_type type_of(const struct parser *p, int node)
{
    return (gov_type)p->nodes[node].type;
}

static size_t start_of(const struct parser *p, int node)
{
    return p->nodes[node].start;
}

static int add_two(struct parser *p, enum gov__op op, gov_type type, int left,
                   int right)
{
    struct gov__node node = {0};

    node.op = (uint8_t)op;
    node.type = (uint8_t)type;
    node.left = (uint16_t)left;
    node.right = (uint16_t)right;
    node.start = p->nodes[left].start;
    return add(p, node);
}

/* A type in the middle of a sentence. */
static const char *phrase(gov_type type)
{
    switch (type) {
    case GOV_TYPE_COUNT:
        return "a count";
    case GOV_TYPE_RATIO:
        return "a ratio";
    case GOV_TYPE_DURATION:
        return "a duration";
    case GOV_TYPE_FLAG:
        return "a flag";
    case GOV_TYPE_BYTES:
    case GOV_TYPE_TEXT:
        break;
    }
    return gov_type_name(type);
}

/* How much of the current token to quote. */
static int shown(const struct parser *p)
{
    return gov__short(p->lexer.text + p->token.offset, p->token.bytes);
}

static int parse_or(struct parser *p);

static int parse_fact(struct parser *p, enum gov__op op)
{
    const char *word = p->lexer.text + p->token.offset;
    gov_fact fact = gov_fact_find(word, p->token.bytes);
    struct gov__node node = {0};
    const char *near;

    if (fact == GOV_FACT_COUNT) {
        near = gov__nearest(word, p->token.bytes, gov__fact_names(),
                            GOV_FACT_COUNT);
        return FAIL(p, p->token.offset, "unknown fact \"%.*s\"%s%s%s",
                    gov__short(word, p->token.bytes), word,
                    near != NULL ? "; did you mean " : "",
                    near != NULL ? near : "", near != NULL ? "?" : "");
    }
    node.op = (uint8_t)op;
    node.type = (uint8_t)(op == GOV__OP_KNOWN ? GOV_TYPE_FLAG
                                              : gov_fact_info(fact)->type);
    node.start = (uint32_t)p->token.offset;
    node.bytes = (uint32_t)p->token.bytes;
    node.number = fact;
    return next(p) ? add(p, node) : FAILED;
}

static int parse_known(struct parser *p)
{
    int node;

    if (!next(p))
        return FAILED;
    if (p->token.kind != GOV__TOKEN_OPEN)
        return FAIL(p, p->token.offset, "write known(FACT)");
    if (!next(p))
        return FAILED;
    if (p->token.kind != GOV__TOKEN_NAME)
        return FAIL(p, p->token.offset, "known() asks for the name of a fact");
    node = parse_fact(p, GOV__OP_KNOWN);
    if (node == FAILED)
        return FAILED;
    if (p->token.kind != GOV__TOKEN_CLOSE)
        return FAIL(p, p->token.offset, "known() asks for one fact and \")\"");
    return next(p) ? node : FAILED;
}

static int parse_literal(struct parser *p)
{
    struct gov__node node = {0};

    node.op = GOV__OP_NUMBER;
    node.type = (uint8_t)p->token.type;
    node.start = (uint32_t)p->token.offset;
    node.bytes = (uint32_t)p->token.bytes;
    node.number = p->token.number;
    if (p->token.kind == GOV__TOKEN_TEXT) {
        node.op = GOV__OP_TEXT;
        node.type = GOV_TYPE_TEXT;
        node.bytes -= 2;
    } else if (p->token.kind != GOV__TOKEN_NUMBER) {
        node.type = GOV_TYPE_FLAG;
        node.number = p->token.kind == GOV__TOKEN_TRUE;
    }
    return next(p) ? add(p, node) : FAILED;
}

static int parse_group(struct parser *p)
{
    size_t open = p->token.offset;
    int node;

    if (p->depth == GOV__EXPR_DEPTH)
        return FAIL(p, open, "nested deeper than %d", GOV__EXPR_DEPTH);
    if (!next(p))
        return FAILED;
    p->depth++;
    node = parse_or(p);
    p->depth--;
    if (node == FAILED)
        return FAILED;
    if (p->token.kind != GOV__TOKEN_CLOSE)
        return FAIL(p, p->token.offset, "missing \")\"");
    return next(p) ? node : FAILED;
}

static int parse_operand(struct parser *p)
{
    switch (p->token.kind) {
    case GOV__TOKEN_NUMBER:
    case GOV__TOKEN_TEXT:
    case GOV__TOKEN_TRUE:
    case GOV__TOKEN_FALSE:
        return parse_literal(p);
    case GOV__TOKEN_NAME:
        return parse_fact(p, GOV__OP_FACT);
    case GOV__TOKEN_KNOWN:
        return parse_known(p);
    case GOV__TOKEN_OPEN:
        return parse_group(p);
    case GOV__TOKEN_END:
        return FAIL(p, p->token.offset, "the condition ends too early");
    default:
        return FAIL(p, p->token.offset,
                    "\"%.*s\" where a fact or a value should be", shown(p),
                    p->lexer.text + p->token.offset);
    }
}

static bool is_amount(gov_type type)
{
    return type == GOV_TYPE_BYTES || type == GOV_TYPE_DURATION;
}

static int multiply(struct parser *p, int left, int right)
{
    gov_type a = type_of(p, left), b = type_of(p, right);

    if (is_amount(a) && b == GOV_TYPE_RATIO)
        return add_two(p, GOV__OP_SCALE, a, left, right);
    if ((is_amount(a) || a == GOV_TYPE_COUNT) && b == GOV_TYPE_COUNT)
        return add_two(p, GOV__OP_MUL, a, left, right);
    if (a == GOV_TYPE_COUNT && is_amount(b))
        return add_two(p, GOV__OP_MUL, b, left, right);
    return FAIL(p, start_of(p, right), "%s multiplied by %s", phrase(a),
                phrase(b));
}

static int share(struct parser *p, int left, int right)
{
    gov_type a = type_of(p, left), b = type_of(p, right);
    int node;

    if (a != GOV_TYPE_RATIO)
        return FAIL(p, start_of(p, left),
                    "%s before \"of\"; write a share, for instance 50 %%",
                    phrase(a));
    if (!is_amount(b) && b != GOV_TYPE_COUNT)
        return FAIL(p, start_of(p, right), "a share of %s", phrase(b));
    node = add_two(p, GOV__OP_SCALE, b, right, left);
    if (node != FAILED)
        p->nodes[node].start = p->nodes[left].start;
    return node;
}

static int parse_product(struct parser *p)
{
    int left = parse_operand(p);

    while (left != FAILED && (p->token.kind == GOV__TOKEN_MUL ||
                              p->token.kind == GOV__TOKEN_OF)) {
        bool of = p->token.kind == GOV__TOKEN_OF;
        int right = next(p) ? parse_operand(p) : FAILED;

        if (right == FAILED)
            return FAILED;
        left = of ? share(p, left, right) : multiply(p, left, right);
    }
    return left;
}

static int parse_sum(struct parser *p)
{
    int left = parse_product(p);

    while (left != FAILED && (p->token.kind == GOV__TOKEN_ADD ||
                              p->token.kind == GOV__TOKEN_SUB)) {
        bool sub = p->token.kind == GOV__TOKEN_SUB;
        int right = next(p) ? parse_product(p) : FAILED;
        gov_type a;

        if (right == FAILED)
            return FAILED;
        a = type_of(p, left);
        if (a == GOV_TYPE_FLAG || a == GOV_TYPE_TEXT)
            return FAIL(p, start_of(p, left), "%s in arithmetic", phrase(a));
        if (type_of(p, right) != a)
            return FAIL(p, start_of(p, right),
                        sub ? "%s less %s" : "%s added to %s",
                        phrase(sub ? a : type_of(p, right)),
                        phrase(sub ? type_of(p, right) : a));
        left = add_two(p, sub ? GOV__OP_SUB : GOV__OP_ADD, a, left, right);
    }
    return left;
}

/* `pressure.level == "warning"` would never match: say so when it is read. */
static bool can_be(struct parser *p, int fact, int text)
{
    const struct gov__node *a = &p->nodes[fact];
    const struct gov__node *b = &p->nodes[text];
    const char *word = p->lexer.text + b->start + 1;
    const char *const *values;
    const char *near;
    char list[64];
    size_t count;

    if (a->op != GOV__OP_FACT || b->op != GOV__OP_TEXT)
        return true;
    values = gov__fact_values((gov_fact)a->number, &count);
    for (size_t i = 0; i < count; i++)
        if (strlen(values[i]) == b->bytes &&
            memcmp(values[i], word, b->bytes) == 0)
            return true;
    if (count == 0)
        return true;
    near = gov__nearest(word, b->bytes, values, count);
    if (near == NULL)
        near = gov__list(list, sizeof(list), values, count);
    gov__expr_fail(p->lexer.err, b->start, "%s is never \"%.*s\"; it is %s",
                   gov_fact_info((gov_fact)a->number)->name,
                   gov__short(word, b->bytes), word, near);
    return false;
}

static int compare(struct parser *p, enum gov__op op, int left, int right)
{
    gov_type a = type_of(p, left), b = type_of(p, right);

    if (a != b)
        return FAIL(p, start_of(p, right), "%s compared with %s", phrase(a),
                    phrase(b));
    if ((a == GOV_TYPE_FLAG || a == GOV_TYPE_TEXT) && op != GOV__OP_EQ &&
        op != GOV__OP_NE)
        return FAIL(p, start_of(p, left),
                    "%s has no order; compare it with == or !=", phrase(a));
    if (!can_be(p, left, right) || !can_be(p, right, left))
        return FAILED;
    return add_two(p, op, GOV_TYPE_FLAG, left, right);
}

static bool comparison(enum gov__token_kind kind, enum gov__op *op)
{
    if (kind < GOV__TOKEN_EQ || kind > GOV__TOKEN_GE)
        return false;
    *op = (enum gov__op)((int)GOV__OP_EQ + ((int)kind - (int)GOV__TOKEN_EQ));
    return true;
}

/* Whether a chain may go on from one sign to the next: `a < b <= c` reads
 * well, `a < b > c` and `a != b != c` do not mean what they seem to. */
static bool same_way(enum gov__op a, enum gov__op b)
{
    bool less = a == GOV__OP_LT || a == GOV__OP_LE;
    bool more = a == GOV__OP_GT || a == GOV__OP_GE;

    if (less)
        return b == GOV__OP_LT || b == GOV__OP_LE;
    if (more)
        return b == GOV__OP_GT || b == GOV__OP_GE;
    return a == GOV__OP_EQ && b == GOV__OP_EQ;
}

static int parse_chain(struct parser *p, int left)
{
    enum gov__op op, last = GOV__OP_EQ;
    int whole = FAILED;

    while (comparison(p->token.kind, &op)) {
        size_t sign = p->token.offset;
        int right, both;

        if (whole != FAILED && !same_way(last, op))
            return FAIL(p, sign,
                        "a chain of comparisons goes one way; use \"and\"");
        right = next(p) ? parse_sum(p) : FAILED;
        if (right == FAILED)
            return FAILED;
        both = compare(p, op, left, right);
        if (both != FAILED && whole != FAILED)
            both = add_two(p, GOV__OP_AND, GOV_TYPE_FLAG, whole, both);
        if (both == FAILED)
            return FAILED;
        whole = both;
        left = right;
        last = op;
    }
    return whole;
}

static int parse_in(struct parser *p, int left)
{
    int whole = FAILED;

    if (!next(p))
        return FAILED;
    if (p->token.kind != GOV__TOKEN_LIST)
        return FAIL(p, p->token.offset, "\"in\" asks for a list: [a, b]");
    do {
        int right = next(p) ? parse_sum(p) : FAILED;
        int equal =
            right == FAILED ? FAILED : compare(p, GOV__OP_EQ, left, right);

        if (equal != FAILED && whole != FAILED)
            equal = add_two(p, GOV__OP_OR, GOV_TYPE_FLAG, whole, equal);
        if (equal == FAILED)
            return FAILED;
        whole = equal;
    } while (p->token.kind == GOV__TOKEN_COMMA);
    if (p->token.kind != GOV__TOKEN_LIST_END)
        return FAIL(p, p->token.offset, "missing \"]\"");
    return next(p) ? whole : FAILED;
}

static int parse_matches(struct parser *p, int left)
{
    int right;

    if (!next(p))
        return FAILED;
    if (p->token.kind != GOV__TOKEN_TEXT)
        return FAIL(p, p->token.offset,
                    "\"matches\" asks for a text such as \"llama*\"");
    right = parse_literal(p);
    if (right == FAILED)
        return FAILED;
    if (type_of(p, left) != GOV_TYPE_TEXT)
        return FAIL(p, start_of(p, left), "%s matched with text",
                    phrase(type_of(p, left)));
    return add_two(p, GOV__OP_MATCH, GOV_TYPE_FLAG, left, right);
}

static int negate(struct parser *p, int node, size_t start)
{
    if (node != FAILED) {
        node = add_two(p, GOV__OP_NOT, GOV_TYPE_FLAG, node, node);
        if (node != FAILED)
            p->nodes[node].start = (uint32_t)start;
    }
    return node;
}

static int parse_compare(struct parser *p)
{
    int left = parse_sum(p);
    enum gov__op op;
    bool inverse;
    int node;

    if (left == FAILED)
        return FAILED;
    if (comparison(p->token.kind, &op))
        return parse_chain(p, left);
    inverse = p->token.kind == GOV__TOKEN_NOT;
    if (inverse && !next(p))
        return FAILED;
    if (p->token.kind == GOV__TOKEN_IN)
        node = parse_in(p, left);
    else if (p->token.kind == GOV__TOKEN_MATCHES)
        node = parse_matches(p, left);
    else if (inverse)
        return FAIL(p, p->token.offset,
                    "\"not\" behind a value asks for \"in\" or \"matches\"");
    else
        return left;
    return inverse ? negate(p, node, start_of(p, left)) : node;
}

static int need_flag(struct parser *p, int node)
{
    if (node != FAILED && type_of(p, node) != GOV_TYPE_FLAG)
        return FAIL(p, start_of(p, node),
                    "%s where a condition should be; compare it with something",
                    phrase(type_of(p, node)));
    return node;
}

static int parse_not(struct parser *p)
{
    size_t start = p->token.offset;
    int node;

    if (p->token.kind != GOV__TOKEN_NOT)
        return parse_compare(p);
    if (p->depth == GOV__EXPR_DEPTH)
        return FAIL(p, start, "nested deeper than %d", GOV__EXPR_DEPTH);
    if (!next(p))
        return FAILED;
    p->depth++;
    node = need_flag(p, parse_not(p));
    p->depth--;
    return negate(p, node, start);
}

/* Both levels differ in their sign and their operands only. */
static int parse_logic(struct parser *p, enum gov__op op)
{
    bool is_or = op == GOV__OP_OR;
    enum gov__token_kind sign = is_or ? GOV__TOKEN_OR : GOV__TOKEN_AND;
    int left = is_or ? parse_logic(p, GOV__OP_AND) : parse_not(p);

    while (left != FAILED && p->token.kind == sign) {
        int right = FAILED;

        if (need_flag(p, left) != FAILED && next(p))
            right = is_or ? parse_logic(p, GOV__OP_AND) : parse_not(p);
        if (need_flag(p, right) == FAILED)
            return FAILED;
        left = add_two(p, op, GOV_TYPE_FLAG, left, right);
    }
    return left;
}

static int parse_or(struct parser *p)
{
    return parse_logic(p, GOV__OP_OR);
}

static int parse_all(struct parser *p)
{
    int node;

    if (p->lexer.bytes > GOV__EXPR_TEXT_MAX)
        return FAIL(p, 0, "a condition longer than %d bytes; make two rules",
                    GOV__EXPR_TEXT_MAX);
    if (!next(p))
        return FAILED;
    if (p->token.kind == GOV__TOKEN_END)
        return FAIL(p, 0,
                    "the condition is empty; leave out \"when\" for a rule "
                    "that always matches");
    node = need_flag(p, parse_or(p));
    if (node != FAILED && p->token.kind != GOV__TOKEN_END)
        return FAIL(p, p->token.offset,
                    "\"%.*s\" behind the end of the condition", shown(p),
                    p->lexer.text + p->token.offset);
    return node;
}

gov_status gov__expr_parse(struct gov__expr **out, const char *text,
                           size_t bytes, const struct gov_alloc *alloc,
                           struct gov__expr_error *err)
{
    struct parser p;
    struct gov__expr *expr;
    size_t size;
    char *copy;

    p.lexer = (struct gov__lexer){text, bytes, 0, err};
    p.count = 0;
    p.depth = 0;
    if (parse_all(&p) == FAILED)
        return GOV_E_FORMAT;
    size = sizeof(*expr) + (size_t)p.count * sizeof(p.nodes[0]);
    expr = alloc->alloc(alloc->ctx, size + bytes);
    if (expr == NULL)
        return GOV_E_NOMEM;
    copy = (char *)expr + size;
    memcpy(copy, text, bytes);
    expr->text = copy;
    expr->bytes = bytes;
    expr->count = (uint32_t)p.count;
    memcpy(expr->nodes, p.nodes, (size_t)p.count * sizeof(p.nodes[0]));
    *out = expr;
    return GOV_OK;
}
