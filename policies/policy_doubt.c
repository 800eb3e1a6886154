/* SPDX-License-Identifier: MIT */
/* Finds rules that say nothing. Works on the rules alone, whatever the facts;
 * says only what is certain. */
#include "policies/policy_priv.h"

#include <string.h>

#include "policies/words_priv.h"

/* What the demands seen so far leave of one fact. */
struct left {
    int64_t low, high;
    const struct gov__node *text; /* the text it has to be equal to */
};

static enum gov__op mirror(enum gov__op op)
{
    switch (op) {
    case GOV__OP_LT:
        return GOV__OP_GT;
    case GOV__OP_LE:
        return GOV__OP_GE;
    case GOV__OP_GT:
        return GOV__OP_LT;
    case GOV__OP_GE:
        return GOV__OP_LE;
    default:
        return op;
    }
}

/* Numbers in conditions are never negative, so nothing here overflows but
 * n + 1. */
static bool narrow(struct left *left, enum gov__op op, int64_t n)
{
    if ((op == GOV__OP_EQ || op == GOV__OP_GE) && n > left->low)
        left->low = n;
    if ((op == GOV__OP_EQ || op == GOV__OP_LE) && n < left->high)
        left->high = n;
    if (op == GOV__OP_LT && n - 1 < left->high)
        left->high = n - 1;
    if (op == GOV__OP_GT && n == INT64_MAX)
        return false;
    if (op == GOV__OP_GT && n + 1 > left->low)
        left->low = n + 1;
    return left->low <= left->high;
}

static bool narrow_text(const struct gov__expr *expr, struct left *left,
                        enum gov__op op, const struct gov__node *text)
{
    const struct gov__node *old = left->text;

    if (op != GOV__OP_EQ)
        return true;
    left->text = text;
    return old == NULL ||
           (old->bytes == text->bytes &&
            memcmp(expr->text + old->start + 1, expr->text + text->start + 1,
                   text->bytes) == 0);
}

/* Takes in one demand; false when it contradicts those before it. */
static bool demand(const struct gov__expr *expr, const struct gov__node *node,
                   struct left *facts)
{
    const struct gov__node *a = &expr->nodes[node->left];
    const struct gov__node *b = &expr->nodes[node->right];
    enum gov__op op = (enum gov__op)node->op;

    if (op == GOV__OP_FACT)
        return narrow(&facts[node->number], GOV__OP_EQ, 1);
    if (op == GOV__OP_NOT && a->op == GOV__OP_FACT)
        return narrow(&facts[a->number], GOV__OP_EQ, 0);
    if (op < GOV__OP_EQ || op > GOV__OP_GE)
        return true;
    if (b->op == GOV__OP_FACT) {
        const struct gov__node *swap = a;

        a = b;
        b = swap;
        op = mirror(op);
    }
    if (a->op != GOV__OP_FACT)
        return true;
    if (b->op == GOV__OP_TEXT)
        return narrow_text(expr, &facts[a->number], op, b);
    return b->op != GOV__OP_NUMBER || narrow(&facts[a->number], op, b->number);
}

gov_fact gov__expr_contradiction(const struct gov__expr *expr)
{
    struct left facts[GOV_FACT_COUNT];
    bool must[GOV__EXPR_NODES] = {false};

    for (int i = 0; i < GOV_FACT_COUNT; i++)
        facts[i] = (struct left){0, INT64_MAX, NULL};
    /* All that hangs on "and" from the top must be true. */
    must[expr->count - 1] = true;
    for (uint32_t i = expr->count; i-- > 0;) {
        const struct gov__node *node = &expr->nodes[i];

        if (!must[i])
            continue;
        if (node->op == GOV__OP_AND) {
            must[node->left] = true;
            must[node->right] = true;
        } else if (!demand(expr, node, facts)) {
            const struct gov__node *a = &expr->nodes[node->left];

            if (node->op == GOV__OP_FACT)
                a = node;
            else if (a->op != GOV__OP_FACT)
                a = &expr->nodes[node->right];
            return (gov_fact)a->number;
        }
    }
    return GOV_FACT_COUNT;
}

static enum gov__truth whatever(const struct gov__rule *rule)
{
    return rule->when == NULL ? GOV__TRUE : gov__expr_eval(rule->when, NULL);
}

static bool loads(gov_strategy strategy)
{
    return strategy != GOV_STRATEGY_UNSET && strategy != GOV_STRATEGY_REFUSE;
}

/* A model whose heads cannot be held in that type passes the rule over. */
static bool depends_on_heads(const struct gov__rule *rule)
{
    uint32_t bytes;

    return rule->set[GOV__SET_KV_TYPE] &&
           gov_kv_type_block((gov_kv_type)rule->value[GOV__SET_KV_TYPE],
                             &bytes) > 1;
}

/* Whether `before`, which always matches, leaves nothing to `rule`. */
static bool covers(const struct gov__rule *before, const struct gov__rule *rule)
{
    if (depends_on_heads(before))
        return false;
    if (rule->strategy != GOV_STRATEGY_UNSET)
        return before->strategy == GOV_STRATEGY_REFUSE ||
               ((before->strategy == GOV_STRATEGY_HYBRID ||
                 before->strategy == GOV_STRATEGY_MMAP) &&
                loads(rule->strategy));
    if (before->strategy != GOV_STRATEGY_UNSET)
        return false;
    for (int i = 0; i < GOV__SETTINGS; i++)
        if (rule->set[i] && !before->set[i])
            return false;
    return true;
}

static bool doubtful(const gov_policy *rules, size_t index, char *out,
                     size_t bytes)
{
    const struct gov__rule *rule = &rules->list[index];
    gov_fact fact;

    if (whatever(rule) == GOV__FALSE) {
        gov__put(out, bytes, 0, "its condition is false whatever the facts");
        return true;
    }
    fact = rule->when != NULL ? gov__expr_contradiction(rule->when)
                              : GOV_FACT_COUNT;
    if (fact != GOV_FACT_COUNT) {
        gov__put(out, bytes, 0, "what it demands of %s cannot all be true",
                 gov_fact_info(fact)->name);
        return true;
    }
    for (size_t i = 0; i < index; i++) {
        const struct gov__rule *before = &rules->list[i];

        if (!covers(before, rule) || whatever(before) != GOV__TRUE)
            continue;
        gov__put(out, bytes, 0,
                 loads(before->strategy)
                     ? "%s before it always matches, so this one is tried only "
                       "when that does not fit"
                     : "%s before it always matches and leaves it nothing",
                 before->name);
        return true;
    }
    return false;
}

size_t gov_policy_doubts(const gov_policy *rules, gov_doubt_fn doubt, void *ctx)
{
    char sentence[192];
    size_t count = 0;

    for (size_t i = 0; i < rules->count; i++) {
        const struct gov__rule *rule = &rules->list[i];

        if (!doubtful(rules, i, sentence, sizeof(sentence)))
            continue;
        count++;
        if (doubt != NULL)
            doubt(ctx, rule->name, rule->line, sentence);
    }
    return count;
}
