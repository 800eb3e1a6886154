/* SPDX-License-Identifier: MIT */
/* Classes of machines: a table of conditions over what is known of the machine
 * alone. Decides nothing about models. */
#include <stddef.h>
#include <string.h>

#include "policies/capacity.h"
#include "policies/language/tables.h"
#include "policies/language/words_priv.h"
#include "policies/shipped.h"

struct row {
    char name[sizeof(((struct gov_tier *)0)->name)];
    char means[sizeof(((struct gov_tier *)0)->sentence)];
    struct gov__expr *when; /* owned */
};

struct search {
    const struct gov_facts *facts;
    struct gov_tier *out;
    size_t rows;
    bool found;
};

static void drop(struct row *row)
{
    const struct gov_alloc *alloc = gov_alloc_default();

    alloc->release(alloc->ctx, row->when);
    row->when = NULL;
}

/* A tier is known before any model is, and is itself no reason for a tier. */
static bool may_ask(gov_fact fact)
{
    return fact != GOV_FACT_DEVICE_TIER && gov_fact_of_machine(fact);
}

static gov_status cell_when(const struct gov__column *column, const char *value,
                            size_t bytes, void *cell,
                            struct gov__expr_error *err)
{
    struct gov__expr **when = cell;
    struct gov__expr *parsed = NULL;
    const struct gov__expr *expr;
    gov_status status =
        gov__expr_parse(&parsed, value, bytes, gov_alloc_default(), err);

    (void)column;
    if (status != GOV_OK)
        return status;
    *when = parsed;
    expr = parsed;
    for (uint32_t i = 0; i < expr->count; i++) {
        const struct gov__node *node = &expr->nodes[i];

        if ((node->op != GOV__OP_FACT && node->op != GOV__OP_KNOWN) ||
            may_ask((gov_fact)node->number))
            continue;
        gov__expr_fail(err, node->start,
                       "a tier depends on device.*, gpu.* and budget.* alone, "
                       "not on %s",
                       gov_fact_info((gov_fact)node->number)->name);
        return GOV_E_FORMAT;
    }
    return GOV_OK;
}

static gov_status take(void *ctx, void *into, struct gov__expr_error *err)
{
    struct search *s = ctx;
    struct row *row = into;

    (void)err;
    if (!s->found && gov__expr_eval(row->when, s->facts) == GOV__TRUE) {
        s->found = true;
        s->out->number = s->rows;
        memcpy(s->out->name, row->name, sizeof(row->name));
        memcpy(s->out->sentence, row->means, sizeof(row->means));
    }
    s->rows++;
    drop(row);
    return GOV_OK;
}

gov_status gov_tier_find(struct gov_tier *out, const struct gov_facts *facts,
                         const struct gov_table_text *from, gov_error *err)
{
    static const struct gov__column columns[] = {
        {"name", gov__cell_text, offsetof(struct row, name),
         sizeof(((struct row *)0)->name)},
        {"when", cell_when, offsetof(struct row, when), 0},
        {"means", gov__cell_text, offsetof(struct row, means),
         sizeof(((struct row *)0)->means)},
    };
    static const struct gov__table table = {
        "tiers", "a tier", columns, 3, 3, sizeof(struct row)};
    const struct gov_table_text shipped = {
        gov__shipped_tiers, gov__shipped_tiers_bytes, "shipped tiers"};
    struct search search = {facts, out, 0, false};
    struct row row;
    gov_status status;

    memset(out, 0, sizeof(*out));
    if (from == NULL)
        from = &shipped;
    status = gov__table_read(&table, from, &row, take, &search, err);
    drop(&row);
    if (status != GOV_OK) {
        memset(out, 0, sizeof(*out));
        return status;
    }
    if (!search.found)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "no tier of %s has a condition that is true of this "
                        "machine; add one that ends with \"when: true\"",
                        from->name != NULL ? from->name : table.list);
    return GOV_OK;
}
