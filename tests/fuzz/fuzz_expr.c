/* SPDX-License-Identifier: MIT */
/* Conditions: the first bytes choose facts, the rest is the text. What is said
 * to hold whatever the facts must hold for these facts. */
#include <stdlib.h>
#include <string.h>

#include "policies/language/refute_priv.h"
#include "policies/language/words_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FACT_BYTES 8

static void require(bool fact)
{
    if (!fact)
        abort();
}

static void set_facts(struct gov_facts *facts, const uint8_t *bytes)
{
    static const char *const texts[] = {"", "linux", "warn", "heap", "a*b?"};

    memset(facts, 0, sizeof(*facts));
    for (unsigned i = 0; i < GOV_FACT_COUNT; i++) {
        unsigned byte = bytes[i % FACT_BYTES] + i * 7U;
        size_t count;
        const char *const *values = gov__fact_values((gov_fact)i, &count);

        if (byte % 3 == 0)
            continue;
        if (count > 0)
            gov_facts_set_text(facts, (gov_fact)i, values[byte % count]);
        else if (gov_fact_info((gov_fact)i)->type == GOV_TYPE_TEXT)
            gov_facts_set_text(facts, (gov_fact)i, texts[byte % 5]);
        else if (gov_fact_info((gov_fact)i)->type == GOV_TYPE_FLAG)
            gov_facts_set(facts, (gov_fact)i, byte % 2);
        else
            gov_facts_set(facts, (gov_fact)i,
                          byte % 5 == 0 ? UINT64_MAX
                                        : UINT64_C(1) << byte % 64);
    }
}

/* What is refuted is not so. */
static void check_refuted(const struct gov__expr *expr, enum gov__truth truth)
{
    static struct gov__refuter refuter;
    const bool is[] = {truth == GOV__TRUE, truth == GOV__FALSE,
                       truth != GOV__TRUE, truth != GOV__FALSE};

    for (unsigned i = 0; i < 4; i++) {
        struct gov__claim claim = {expr, (uint16_t)(expr->count - 1),
                                   (enum gov__demand)i, NULL};

        gov__refuter_start(&refuter);
        refuter.steps = 4000;
        require(!gov__refute(&refuter, &claim, NULL) || !is[i]);
        require(refuter.changes == 0 && refuter.wordings == 0 &&
                refuter.relations == 0);
    }
}

static void check(const struct gov__expr *expr, const uint8_t *bytes)
{
    enum gov__truth whatever = gov__expr_eval(expr, NULL);
    struct gov_facts facts;
    enum gov__truth all, less;
    char out[128];

    set_facts(&facts, bytes);
    all = gov__expr_eval(expr, &facts);
    require(whatever == GOV__UNKNOWN || all == whatever);
    check_refuted(expr, all);
    for (size_t n = 0; n <= sizeof(out); n += 16) {
        gov__expr_show(expr, &facts, out, n);
        gov__expr_missing(expr, &facts, out, n);
    }
    /* Knowing less may leave the question open, but not turn the answer,
     * except where the condition asks what is known. */
    if (memchr(expr->text, 'k', expr->bytes) != NULL)
        return;
    for (unsigned i = 0; i < GOV_FACT_COUNT; i++)
        if ((bytes[i % FACT_BYTES] >> i % 8 & 1) != 0)
            facts.value[i].known = false;
    less = gov__expr_eval(expr, &facts);
    require(less == all || less == GOV__UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gov__expr_error err = {SIZE_MAX, ""};
    struct gov__expr *expr = NULL;
    const char *text = (const char *)data + FACT_BYTES;
    int64_t number;

    if (size < FACT_BYTES)
        return 0;
    size -= FACT_BYTES;
    (void)gov__expr_literal(text, size, GOV_TYPE_RATIO, &number, &err);
    if (gov__expr_parse(&expr, text, size, gov_alloc_default(), &err) !=
        GOV_OK) {
        require(expr == NULL && err.offset <= size && err.sentence[0] != '\0');
        return 0;
    }
    check(expr, data);
    free(expr);
    return 0;
}
