/* SPDX-License-Identifier: MIT */
/* Finds that conditions can never hold together. A claim is taken apart until
 * only facts are left: "and" claims both sides, "or" is tried one side after the
 * other, and each way ends where two demands exclude one another. All ways closed
 * is a proof; a way left open is none, as not all arithmetic is looked through.
 *
 * A condition may also be unknown, so "not true" is not "false": `x < 3` is not
 * true where x is unknown. Allocates nothing. */
#include "policies/language/refute_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"

typedef struct gov__refuter refuter;

struct mark {
    size_t changes, wordings, relations;
};

static struct mark mark_of(const refuter *r)
{
    return (struct mark){r->changes, r->wordings, r->relations};
}

static void undo(refuter *r, struct mark to)
{
    while (r->changes > to.changes) {
        r->changes--;
        r->fact[r->trail[r->changes].fact] = r->trail[r->changes].was;
    }
    r->wordings = to.wordings;
    r->relations = to.relations;
}

/* ---- facts ---- */

static bool clash(refuter *r, gov_fact fact)
{
    r->clash = fact;
    return false;
}

/* Takes over what is left of a fact; false where that is nothing. */
static bool leave(refuter *r, gov_fact fact, struct gov__left left)
{
    if (left.low > left.high || left.values == 0)
        left.known = false;
    if (!left.known && !left.unknown)
        return clash(r, fact);
    if (r->changes < GOV__REFUTE_TRAIL) {
        r->trail[r->changes].fact = fact;
        r->trail[r->changes++].was = r->fact[fact];
        r->fact[fact] = left;
    }
    return true;
}

static bool be_known(refuter *r, gov_fact fact, bool known)
{
    struct gov__left left = r->fact[fact];

    if (known ? !left.unknown : !left.known)
        return true;
    if (known)
        left.unknown = false;
    else
        left.known = false;
    return leave(r, fact, left);
}

/* The fact is known and, held against n, as `order` says. */
static bool narrow(refuter *r, gov_fact fact, unsigned order, int64_t n)
{
    struct gov__left left = r->fact[fact];

    left.unknown = false;
    if ((order & GOV__LESS) == 0 && left.low < n)
        left.low = n;
    if ((order & GOV__MORE) == 0 && left.high > n)
        left.high = n;
    if ((order & GOV__SAME) == 0) {
        if (left.low == n && n == left.high)
            left.known = false;
        else if (left.low == n)
            left.low++;
        else if (left.high == n)
            left.high--;
    }
    return leave(r, fact, left);
}

/* ---- texts ---- */

/* Whether the text itself is as `w` says. */
static bool worded(const char *text, size_t bytes, const struct gov__wording *w)
{
    bool same = w->pattern
                    ? gov__matches(text, bytes, w->text, w->bytes)
                    : bytes == w->bytes && memcmp(text, w->text, bytes) == 0;

    return same != w->inverse;
}

static bool exclude(const struct gov__wording *a, const struct gov__wording *b)
{
    if (!a->pattern && !a->inverse)
        return !worded(a->text, a->bytes, b);
    if (!b->pattern && !b->inverse)
        return !worded(b->text, b->bytes, a);
    if (a->pattern && b->pattern && a->inverse != b->inverse)
        return a->inverse
                   ? gov__pattern_within(b->text, b->bytes, a->text, a->bytes)
                   : gov__pattern_within(a->text, a->bytes, b->text, b->bytes);
    return false;
}

/* The fact is known and as `w` says. */
static bool word(refuter *r, struct gov__wording w)
{
    struct gov__left left = r->fact[w.fact];
    const char *const *values;
    size_t count;

    w.pattern = w.pattern && (memchr(w.text, '*', w.bytes) != NULL ||
                              memchr(w.text, '?', w.bytes) != NULL);
    values = gov__fact_values(w.fact, &count);
    for (size_t i = 0; i < count; i++)
        if (!worded(values[i], strlen(values[i]), &w))
            left.values &= (uint16_t) ~(1U << i);
    left.unknown = false;
    if (!leave(r, w.fact, left) ||
        (w.pattern && w.inverse &&
         gov__pattern_within("*", 1, w.text, w.bytes)))
        return clash(r, w.fact);
    for (size_t i = 0; i < r->wordings; i++)
        if (r->wording[i].fact == w.fact && exclude(&r->wording[i], &w))
            return clash(r, w.fact);
    r->steps -= (long)r->wordings;
    if (r->wordings < GOV__REFUTE_TERMS)
        r->wording[r->wordings++] = w;
    return true;
}

/* ---- amounts ---- */

struct span {
    int64_t low, high;
};

/* What overflows is unknown, so what is known lies within the limits. */
static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

static int64_t subtract(int64_t a, int64_t b)
{
    int64_t rest;

    if (__builtin_sub_overflow(a, b, &rest))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return rest;
}

static int64_t multiply(int64_t a, int64_t b)
{
    int64_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
    return product;
}

/* As expr.c rounds; the two parts have one sign. */
static int64_t scale(int64_t amount, int64_t ppm)
{
    return add(multiply(amount / 1000000, ppm),
               multiply(amount % 1000000, ppm) / 1000000);
}

static struct span corners(int64_t (*of)(int64_t, int64_t), struct span a,
                           struct span b)
{
    const int64_t corner[] = {of(a.low, b.low), of(a.low, b.high),
                              of(a.high, b.low), of(a.high, b.high)};
    struct span span = {corner[0], corner[0]};

    for (size_t i = 1; i < 4; i++) {
        span.low = corner[i] < span.low ? corner[i] : span.low;
        span.high = corner[i] > span.high ? corner[i] : span.high;
    }
    return span;
}

/* Where an amount can lie; parts of conditions that are none are 0 or 1. */
static struct span span_of(const refuter *r, const struct gov__expr *expr,
                           uint16_t at)
{
    const struct gov__node *node = &expr->nodes[at];
    struct span a, b;

    switch ((enum gov__op)node->op) {
    case GOV__OP_NUMBER:
        return (struct span){node->number, node->number};
    case GOV__OP_FACT:
        return (struct span){r->fact[node->number].low,
                             r->fact[node->number].high};
    case GOV__OP_ADD:
    case GOV__OP_SUB:
    case GOV__OP_MUL:
    case GOV__OP_SCALE:
        break;
    default:
        return (struct span){0, 1};
    }
    a = span_of(r, expr, node->left);
    b = span_of(r, expr, node->right);
    if (node->op == GOV__OP_ADD)
        return (struct span){add(a.low, b.low), add(a.high, b.high)};
    if (node->op == GOV__OP_SUB)
        return (struct span){subtract(a.low, b.high), subtract(a.high, b.low)};
    return corners(node->op == GOV__OP_MUL ? multiply : scale, a, b);
}

static bool same_tree(const struct gov__expr *x, uint16_t at,
                      const struct gov__expr *y, uint16_t there)
{
    const struct gov__node *a = &x->nodes[at], *b = &y->nodes[there];

    if (a->op != b->op || a->type != b->type)
        return false;
    switch ((enum gov__op)a->op) {
    case GOV__OP_NUMBER:
    case GOV__OP_FACT:
    case GOV__OP_KNOWN:
        return a->number == b->number;
    case GOV__OP_TEXT:
        return a->bytes == b->bytes &&
               memcmp(x->text + a->start + 1, y->text + b->start + 1,
                      a->bytes) == 0;
    default:
        return same_tree(x, a->left, y, b->left) &&
               (a->left == a->right || same_tree(x, a->right, y, b->right));
    }
}

/* An amount as a share of another: of itself, all of it. */
static uint16_t amount_of(const struct gov__expr *expr, uint16_t at,
                          int64_t *share)
{
    const struct gov__node *node = &expr->nodes[at];
    const struct gov__node *right = &expr->nodes[node->right];

    *share = 1000000;
    if (node->op != GOV__OP_SCALE || right->op != GOV__OP_NUMBER)
        return at;
    *share = right->number;
    return node->left;
}

/* A smaller share is no larger amount, of what is not negative. */
static bool shares_exclude(const refuter *r, const struct gov__relation *x,
                           const struct gov__relation *y)
{
    const struct gov__relation *less = x, *more = y;
    int64_t share, other;
    uint16_t amount = amount_of(x->expr, x->b, &share);

    if (!same_tree(x->expr, x->a, y->expr, y->a) ||
        !same_tree(x->expr, amount, y->expr,
                   amount_of(y->expr, y->b, &other)) ||
        span_of(r, x->expr, amount).low < 0)
        return false;
    if (share > other) {
        less = y;
        more = x;
    }
    return ((less->order & GOV__MORE) == 0 && more->order == GOV__MORE) ||
           (less->order == GOV__LESS && (more->order & GOV__LESS) == 0);
}

static unsigned mirror(unsigned order)
{
    return (order & GOV__SAME) | (order & GOV__LESS ? GOV__MORE : 0U) |
           (order & GOV__MORE ? GOV__LESS : 0U);
}

static struct gov__relation turned(const struct gov__relation *x)
{
    return (struct gov__relation){x->expr, x->b, x->a,
                                  (uint8_t)mirror(x->order)};
}

/* 1 where both compare the same two amounts, -1 where the other way round. */
static int same_pair(const struct gov__relation *x,
                     const struct gov__relation *y)
{
    if (same_tree(x->expr, x->a, y->expr, y->a) &&
        same_tree(x->expr, x->b, y->expr, y->b))
        return 1;
    return same_tree(x->expr, x->a, y->expr, y->b) &&
                   same_tree(x->expr, x->b, y->expr, y->a)
               ? -1
               : 0;
}

/* All facts are known that a known amount is made of. */
static bool know_parts(refuter *r, const struct gov__expr *expr, uint16_t at)
{
    const struct gov__node *node = &expr->nodes[at];

    switch ((enum gov__op)node->op) {
    case GOV__OP_FACT:
        return be_known(r, (gov_fact)node->number, true);
    case GOV__OP_ADD:
    case GOV__OP_SUB:
    case GOV__OP_MUL:
    case GOV__OP_SCALE:
        return know_parts(r, expr, node->left) &&
               know_parts(r, expr, node->right);
    default:
        return true;
    }
}

static bool relate(refuter *r, struct gov__relation new)
{
    if (!know_parts(r, new.expr, new.a) || !know_parts(r, new.expr, new.b))
        return false;
    r->steps -= (long)r->relations;
    for (size_t i = 0; i < r->relations; i++) {
        const struct gov__relation *old = &r->relation[i];
        const struct gov__relation back = turned(old), turn = turned(&new);
        int same = same_pair(old, &new);

        if (same != 0)
            new.order &= (uint8_t)(same > 0 ? old->order : mirror(old->order));
        if (new.order == 0 || shares_exclude(r, old, &new) ||
            shares_exclude(r, &back, &new) || shares_exclude(r, old, &turn) ||
            shares_exclude(r, &back, &turn))
            return clash(r, GOV_FACT_COUNT);
    }
    if (r->relations < GOV__REFUTE_TERMS)
        r->relation[r->relations++] = new;
    return true;
}

/* Whether all relations can be, in what is left of the facts. */
static bool relations_hold(refuter *r)
{
    for (size_t i = 0; i < r->relations; i++) {
        const struct gov__relation *x = &r->relation[i];
        const struct gov__node *node = &x->expr->nodes[x->a];
        struct span a = span_of(r, x->expr, x->a);
        struct span b = span_of(r, x->expr, x->b);
        unsigned order = (a.low < b.high ? GOV__LESS : 0U) |
                         (a.high > b.low ? GOV__MORE : 0U) |
                         (a.low <= b.high && b.low <= a.high ? GOV__SAME : 0U);

        /* What a full trail does not take would be narrowed for ever. */
        if (--r->steps < 0)
            return true;
        if (node->type == GOV_TYPE_TEXT)
            continue;
        if ((order & x->order) == 0)
            return clash(r, node->op == GOV__OP_FACT ? (gov_fact)node->number
                                                     : GOV_FACT_COUNT);
        /* A gap that has come to lie at an end makes what is left shorter. */
        if (node->op != GOV__OP_FACT || b.low != b.high ||
            (a.low != b.low && a.high != b.low) || (x->order & GOV__SAME) != 0)
            continue;
        if (!narrow(r, (gov_fact)node->number, x->order, b.low))
            return false;
        i = SIZE_MAX; /* from the first one again */
    }
    return true;
}

/* ---- claims ---- */

static bool may_hold(refuter *r, const struct gov__claim *claim);

static enum gov__demand opposite_value(enum gov__demand demand)
{
    static const enum gov__demand opposite[] = {GOV__IS_FALSE, GOV__IS_TRUE,
                                                GOV__NOT_FALSE, GOV__NOT_TRUE};

    return opposite[demand];
}

/* Whether it is known what is compared. */
static bool is_known(const refuter *r, const struct gov__expr *expr,
                     uint16_t at)
{
    const struct gov__node *node = &expr->nodes[at];
    const struct gov__node *share = &expr->nodes[node->right];

    switch ((enum gov__op)node->op) {
    case GOV__OP_NUMBER:
    case GOV__OP_TEXT:
        return true;
    case GOV__OP_FACT:
        return !r->fact[node->number].unknown;
    case GOV__OP_SCALE: /* a share up to all of it does not overflow */
        return share->op == GOV__OP_NUMBER && share->number >= 0 &&
               share->number <= 1000000 && is_known(r, expr, node->left);
    default:
        return false;
    }
}

static unsigned order_of(enum gov__op op)
{
    static const unsigned order[] = {GOV__SAME, GOV__LESS | GOV__MORE,
                                     GOV__LESS, GOV__LESS | GOV__SAME,
                                     GOV__MORE, GOV__MORE | GOV__SAME};

    return order[op - GOV__OP_EQ];
}

/* A comparison, sides turned so that a fact stands to the left. */
static struct gov__relation relation_of(const struct gov__claim *claim,
                                        enum gov__demand demand)
{
    const struct gov__node *node = &claim->expr->nodes[claim->node];
    unsigned order = order_of((enum gov__op)node->op);
    struct gov__relation x = {claim->expr, node->left, node->right, 0};

    if (demand == GOV__IS_FALSE)
        order ^= GOV__LESS | GOV__SAME | GOV__MORE;
    if (claim->expr->nodes[node->left].op != GOV__OP_FACT &&
        claim->expr->nodes[node->right].op == GOV__OP_FACT) {
        x.a = node->right;
        x.b = node->left;
        order = mirror(order);
    }
    x.order = (uint8_t)order;
    return x;
}

static bool is_text_leaf(const struct gov__claim *claim,
                         struct gov__wording *out)
{
    const struct gov__expr *expr = claim->expr;
    const struct gov__node *node = &expr->nodes[claim->node];
    const struct gov__node *a = &expr->nodes[node->left];
    const struct gov__node *b = &expr->nodes[node->right];

    if (a->op == GOV__OP_TEXT && node->op != GOV__OP_MATCH) {
        const struct gov__node *swap = a;

        a = b;
        b = swap;
    }
    if (a->op != GOV__OP_FACT || b->op != GOV__OP_TEXT)
        return false;
    *out = (struct gov__wording){(gov_fact)a->number, node->op == GOV__OP_MATCH,
                                 node->op == GOV__OP_NE,
                                 expr->text + b->start + 1, b->bytes};
    return true;
}

/* A comparison that is true or false. */
static bool compared(refuter *r, const struct gov__claim *claim,
                     enum gov__demand demand)
{
    const struct gov__expr *expr = claim->expr;
    struct gov__relation x;
    struct gov__wording w;
    const struct gov__node *a, *b;

    if (is_text_leaf(claim, &w)) {
        w.inverse = w.inverse != (demand == GOV__IS_FALSE);
        return word(r, w);
    }
    if (expr->nodes[claim->node].op == GOV__OP_MATCH)
        return true;
    x = relation_of(claim, demand);
    a = &expr->nodes[x.a];
    b = &expr->nodes[x.b];
    if (a->op != GOV__OP_FACT || b->op != GOV__OP_NUMBER)
        return relate(r, x);
    return narrow(r, (gov_fact)a->number, x.order, b->number) &&
           (x.order != (GOV__LESS | GOV__MORE) || relate(r, x));
}

/* Whether the value of a leaf is certainly known; else *fact is the one it hangs
 * on alone, or GOV_FACT_COUNT. */
static bool leaf_known(const refuter *r, const struct gov__claim *claim,
                       gov_fact *fact)
{
    const struct gov__expr *expr = claim->expr;
    const struct gov__node *node = &expr->nodes[claim->node];
    const struct gov__node *a, *b;
    struct gov__relation x;

    *fact = GOV_FACT_COUNT;
    if (node->op == GOV__OP_FACT) {
        *fact = (gov_fact)node->number;
        return !r->fact[*fact].unknown;
    }
    a = &expr->nodes[node->left];
    b = &expr->nodes[node->right];
    if (a->op == GOV__OP_FACT &&
        (b->op == GOV__OP_NUMBER || b->op == GOV__OP_TEXT))
        *fact = (gov_fact)a->number;
    else if (b->op == GOV__OP_FACT &&
             (a->op == GOV__OP_NUMBER || a->op == GOV__OP_TEXT))
        *fact = (gov_fact)b->number;
    if (is_known(r, expr, node->left) && is_known(r, expr, node->right))
        return true;
    if (node->op == GOV__OP_MATCH || *fact != GOV_FACT_COUNT)
        return false;
    x = relation_of(claim, GOV__IS_TRUE);
    for (size_t i = 0; i < r->relations; i++)
        if (same_pair(&r->relation[i], &x) != 0)
            return true;
    return false;
}

static bool leaf_true_or_false(refuter *r, const struct gov__claim *claim,
                               enum gov__demand demand)
{
    const struct gov__node *node = &claim->expr->nodes[claim->node];

    if (node->op == GOV__OP_NUMBER)
        return (node->number != 0) == (demand == GOV__IS_TRUE) ||
               clash(r, GOV_FACT_COUNT);
    if (node->op == GOV__OP_FACT)
        return narrow(r, (gov_fact)node->number, GOV__SAME,
                      demand == GOV__IS_TRUE);
    return compared(r, claim, demand);
}

static bool leaf_may_hold(refuter *r, const struct gov__claim *claim)
{
    enum gov__demand demand = claim->demand;
    struct mark mark = mark_of(r);
    gov_fact fact;

    if (demand >= GOV__NOT_TRUE) {
        const bool literal =
            claim->expr->nodes[claim->node].op == GOV__OP_NUMBER;

        if (!literal && !leaf_known(r, claim, &fact)) {
            if (fact == GOV_FACT_COUNT)
                return may_hold(r, claim->rest);
            r->branched = r->branched || r->fact[fact].known;
            if (be_known(r, fact, false) && may_hold(r, claim->rest))
                return true;
            undo(r, mark);
        }
        demand = demand == GOV__NOT_TRUE ? GOV__IS_FALSE : GOV__IS_TRUE;
    }
    return leaf_true_or_false(r, claim, demand) && may_hold(r, claim->rest);
}

/* "and" that is true, "or" that is not: both sides. Else one of them. */
static bool pair_may_hold(refuter *r, const struct gov__claim *claim)
{
    const struct gov__node *node = &claim->expr->nodes[claim->node];
    bool up = claim->demand == GOV__IS_TRUE || claim->demand == GOV__NOT_FALSE;
    struct gov__claim right = *claim, left = *claim;
    struct mark mark = mark_of(r);

    right.node = node->right;
    left.node = node->left;
    if (up == (node->op == GOV__OP_AND)) {
        left.rest = &right;
        return may_hold(r, &left);
    }
    r->branched = true;
    if (may_hold(r, &left))
        return true;
    undo(r, mark);
    return may_hold(r, &right);
}

/* `flag == false` says of the flag what the rest says of the comparison. */
static bool compares_flag(const struct gov__expr *expr,
                          const struct gov__node *node, uint16_t *other,
                          bool *same)
{
    const struct gov__node *a = &expr->nodes[node->left];
    const struct gov__node *b = &expr->nodes[node->right];

    if ((node->op != GOV__OP_EQ && node->op != GOV__OP_NE) ||
        a->type != GOV_TYPE_FLAG ||
        (a->op != GOV__OP_NUMBER && b->op != GOV__OP_NUMBER))
        return false;
    *other = b->op == GOV__OP_NUMBER ? node->left : node->right;
    *same = ((b->op == GOV__OP_NUMBER ? b : a)->number != 0) ==
            (node->op == GOV__OP_EQ);
    return true;
}

static bool may_hold(refuter *r, const struct gov__claim *claim)
{
    const struct gov__node *node;
    struct gov__claim inner;
    bool same = false;

    if (--r->steps < 0)
        return true;
    if (claim == NULL)
        return relations_hold(r);
    node = &claim->expr->nodes[claim->node];
    inner = *claim;
    if (node->op == GOV__OP_AND || node->op == GOV__OP_OR)
        return pair_may_hold(r, claim);
    if (node->op == GOV__OP_NOT)
        inner.node = node->left;
    else if (node->op == GOV__OP_KNOWN)
        return be_known(r, (gov_fact)node->number,
                        claim->demand == GOV__IS_TRUE ||
                            claim->demand == GOV__NOT_FALSE) &&
               may_hold(r, claim->rest);
    else if (!compares_flag(claim->expr, node, &inner.node, &same))
        return leaf_may_hold(r, claim);
    if (!same)
        inner.demand = opposite_value(claim->demand);
    return may_hold(r, &inner);
}

/* ---- from outside ---- */

void gov__refuter_start(struct gov__refuter *r)
{
    r->changes = r->wordings = r->relations = 0;
    r->steps = 0;
    for (int i = 0; i < GOV_FACT_COUNT; i++) {
        size_t count;
        bool flag = gov_fact_info((gov_fact)i)->type == GOV_TYPE_FLAG;

        gov__fact_values((gov_fact)i, &count);
        r->fact[i] = (struct gov__left){
            0, flag ? 1 : INT64_MAX,
            (uint16_t)(count > 0 ? (1U << count) - 1 : UINT16_MAX), true, true};
    }
}

bool gov__refuter_know(struct gov__refuter *r, gov_fact fact, bool known)
{
    return be_known(r, fact, known);
}

bool gov__refuter_be_text(struct gov__refuter *r, gov_fact fact,
                          const char *text)
{
    return word(r,
                (struct gov__wording){fact, false, false, text, strlen(text)});
}

bool gov__refute(struct gov__refuter *r, const struct gov__claim *claims,
                 gov_fact *fact)
{
    struct mark mark = mark_of(r);
    bool may;

    r->branched = false;
    r->clash = GOV_FACT_COUNT;
    may = may_hold(r, claims);
    undo(r, mark);
    if (fact != NULL)
        *fact = may || r->branched ? GOV_FACT_COUNT : r->clash;
    return !may;
}
