/* SPDX-License-Identifier: MIT */
/* What a plan is decided by, and what everything takes: facts made sound, sizes
 * for a context and a KV type, and the invariant that what is loaded fits. */
#include "policies/planning/plan_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"
#include "policies/planning/sizes_priv.h"

#define CONTEXT_DEFAULT 4096 /* tokens, when neither app nor rules say */
#define AHEAD_DEFAULT 2
/* Past the page cache the layer behind is dropped before the next is read, and
 * more than one ahead gains nothing (tests/bench/weights.sh, row decode). */
#define AHEAD_DIRECT 1
#define SEQUENCES_MAX 256 /* as rules; llama.cpp's LLAMA_MAX_SEQ */
#define TEXT_FACT_MAX 1024

/* ---- facts ---- */

/* What can be no value of its type is not known. */
void gov__clean_facts(struct gov_facts *facts)
{
    static const gov_fact positive[] = {
        GOV_FACT_REQUEST_CONTEXT, GOV_FACT_REQUEST_SEQUENCES,
        GOV_FACT_MODEL_CONTEXT_MAX, GOV_FACT_MODEL_WINDOW};
    struct gov_value *value = facts->value;

    for (int i = 0; i < GOV_FACT_COUNT; i++) {
        gov_type type = gov_fact_info((gov_fact)i)->type;

        if (type == GOV_TYPE_TEXT && value[i].known)
            value[i].known =
                value[i].text != NULL &&
                strnlen(value[i].text, TEXT_FACT_MAX) < TEXT_FACT_MAX;
        else if (value[i].number < 0)
            value[i].known = false;
        else if (type == GOV_TYPE_FLAG)
            value[i].number = value[i].number != 0;
    }
    for (size_t i = 0; i < sizeof(positive) / sizeof(positive[0]); i++)
        if (value[positive[i]].number == 0)
            value[positive[i]].known = false;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static gov_status need_facts(const struct gov__decision *d)
{
    static const gov_fact needed[] = {
        GOV_FACT_BUDGET_RAM,
        GOV_FACT_MODEL_WEIGHTS,
        GOV_FACT_MODEL_KV_PER_TOKEN,
        GOV_FACT_MODEL_COMPUTE,
    };

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (!d->facts.value[needed[i]].known)
            return gov_fail(d->err, GOV_E_INVALID, 0,
                            "%s is unknown (%s); no plan can do without it, "
                            "and the %s does not tell%s",
                            gov_fact_info(needed[i])->name,
                            gov_fact_info(needed[i])->sentence,
                            gov_fact_info(needed[i])->source,
                            needed[i] == GOV_FACT_BUDGET_RAM
                                ? ""
                                : "; name a whole model, which a projector "
                                  "or a part is not");
    return GOV_OK;
}

static gov_status read_wishes(struct gov__decision *d)
{
    const struct gov_value *strategy =
        &d->facts.value[GOV_FACT_REQUEST_STRATEGY];
    const struct gov_value *kv = &d->facts.value[GOV_FACT_REQUEST_KV_TYPE];
    char text[48], list[64];

    d->wish = GOV_STRATEGY_UNSET;
    for (int s = GOV_STRATEGY_MMAP; s <= GOV_STRATEGY_HEAP; s++)
        if (strategy->known &&
            strcmp(strategy->text, gov_strategy_name((gov_strategy)s)) == 0)
            d->wish = (gov_strategy)s;
    if (strategy->known && d->wish == GOV_STRATEGY_UNSET)
        return gov_fail(
            d->err, GOV_E_INVALID, 0,
            "strategy \"%s\" is asked for; there are mmap, hybrid and heap",
            gov_value_print(text, sizeof(text), GOV_TYPE_TEXT, strategy));
    d->kv_wish = kv->known ? gov_kv_type_find(kv->text) : GOV_KV_F16;
    if (d->kv_wish != GOV_KV_UNSET)
        return GOV_OK;
    return gov_fail(d->err, GOV_E_INVALID, 0,
                    "KV type \"%s\" is asked for; write %s",
                    gov_value_print(text, sizeof(text), GOV_TYPE_TEXT, kv),
                    gov__list(list, sizeof(list), gov__kv_types.names,
                              gov__kv_types.count));
}

gov_status gov__plan_take_facts(struct gov__decision *d,
                                const struct gov_facts *facts)
{
    const struct gov_facts *f = &d->facts;
    gov_status status;

    d->facts = *facts;
    gov__clean_facts(&d->facts);
    status = need_facts(d);
    if (status == GOV_OK)
        status = read_wishes(d);
    if (status != GOV_OK)
        return status;
    d->budget = gov_facts_get(f, GOV_FACT_BUDGET_RAM, 0);
    d->budget =
        least(d->budget, gov_facts_get(f, GOV_FACT_DEVICE_LIMIT, UINT64_MAX));
    d->budget =
        least(d->budget, gov_facts_get(f, GOV_FACT_DEVICE_RAM, UINT64_MAX));
    d->weights = gov_facts_get(f, GOV_FACT_MODEL_WEIGHTS, 0);
    d->compute = gov_facts_get(f, GOV_FACT_MODEL_COMPUTE, 0);
    d->engine = gov_facts_get(f, GOV_FACT_MODEL_ENGINE, 0);
    d->compute_per_token =
        gov_facts_get(f, GOV_FACT_MODEL_COMPUTE_PER_TOKEN, 0);
    d->compute_per_sequence =
        gov_facts_get(f, GOV_FACT_MODEL_COMPUTE_PER_SEQUENCE, 0);
    /* A model of unknown units cannot be streamed: one unit, all of it. */
    d->unit = gov_facts_get(f, GOV_FACT_MODEL_LARGEST_UNIT, d->weights);
    d->kv_per_token = gov_facts_get(f, GOV_FACT_MODEL_KV_PER_TOKEN, 0);
    d->window_kv_per_token = gov_facts_get(f, GOV_FACT_MODEL_WINDOW_KV, 0);
    /* A window of unknown length may be the whole context. */
    d->window = gov_facts_get(f, GOV_FACT_MODEL_WINDOW, UINT64_MAX);
    d->state = gov_facts_get(f, GOV_FACT_MODEL_STATE, 0);
    d->encrypted = gov_facts_get(f, GOV_FACT_MODEL_ENCRYPTED, 0) != 0;
    d->known = gov_facts_get(f, GOV_FACT_MODEL_KNOWN, 1) != 0;
    /* Of what is not there any type will do; the engine may refuse all others. */
    d->cache = d->kv_per_token != 0 || d->window_kv_per_token != 0;
    if (!d->cache)
        d->kv_wish = GOV_KV_F16;
    d->sequences_wish = (uint32_t)least(
        gov_facts_get(f, GOV_FACT_REQUEST_SEQUENCES, 1), SEQUENCES_MAX);
    gov__plan_find_gpu(d);
    return GOV_OK;
}

/* ---- sizes ---- */

uint64_t gov__plan_setting(const struct gov__settings *s,
                           enum gov__setting which, uint64_t otherwise)
{
    return s->set[which] ? (uint64_t)s->value[which] : otherwise;
}

/* Tokens that a layer with a window keeps: each conversation has one of its own,
 * and the batch is there once (llama_kv_cache_iswa's constructor). */
static uint64_t kept_tokens(const struct gov__decision *d, uint64_t sequences)
{
    uint64_t batch = least(d->window, GOV__BATCH_TOKENS);

    if (sequences == 1)
        return d->window;
    if (d->window <= batch) /* so there is none in it */
        return gov__sat_mul(d->window, sequences);
    return gov__sat_add(gov__sat_mul(d->window - batch, sequences), batch);
}

/* What the cache holds for so many tokens once all of them are used, and the
 * state beside it. Conversations share the context's cells and have a state each.
 * An architecture that is not known may be like DeepSeek-V4, which has all cells
 * for each of them. */
static uint64_t kv_bytes(const struct gov__decision *d,
                         const struct gov__sizes *z)
{
    uint64_t cells = gov__kv_cells(z->context);
    uint64_t kept =
        gov__kv_cells(least(z->context, kept_tokens(d, z->sequences)));
    uint64_t kv =
        gov__sat_mul(gov__kv_of_f16(d->kv_per_token, z->kv_type), cells);
    uint64_t window_kv =
        gov__sat_mul(gov__kv_of_f16(d->window_kv_per_token, z->kv_type), kept);

    kv = gov__sat_add(kv, window_kv);
    if (!d->known)
        kv = gov__sat_mul(kv, z->sequences);
    return gov__sat_add(kv, gov__sat_mul(d->state, z->sequences));
}

static uint64_t compute_bytes(const struct gov__decision *d,
                              const struct gov__sizes *z)
{
    return gov__sat_add(
        gov__sat_add(d->compute,
                     gov__sat_mul(d->compute_per_sequence, z->sequences - 1)),
        gov__sat_mul(d->compute_per_token, gov__kv_cells(z->context)));
}

enum gov__truth gov__plan_heads_take(const struct gov__decision *d,
                                     gov_kv_type type)
{
    const struct gov_value *value =
        &d->facts.value[GOV_FACT_MODEL_KV_QUANTIZABLE];
    uint32_t bytes;

    if (!d->cache || gov_kv_type_block(type, &bytes) == 1)
        return GOV__TRUE;
    if (!value->known)
        return GOV__UNKNOWN;
    return value->number != 0 ? GOV__TRUE : GOV__FALSE;
}

/* All that follows from what stands first in *z. */
static void resize(const struct gov__decision *d, struct gov__sizes *z)
{
    uint32_t fewest = z->direct ? GOV__WINDOW_UNITS - 1 : GOV__WINDOW_UNITS;
    uint32_t units = z->ahead_wish + 1;

    z->kv = kv_bytes(d, z);
    z->compute = compute_bytes(d, z);
    z->buffers = gov__sat_add(z->kv, gov__sat_add(z->compute, d->engine));
    z->ahead = z->ahead_wish;
    if (units < fewest)
        units = fewest;
    z->window = gov__sat_mul(d->unit, units);
    if (gov__sat_add(z->buffers, z->window) > d->budget && units > fewest) {
        z->ahead = z->direct ? AHEAD_DIRECT : AHEAD_DEFAULT;
        z->window = gov__sat_mul(d->unit, fewest);
    }
    gov__plan_place(d, z);
}

struct gov__sizes gov__plan_size(const struct gov__decision *d,
                                 const struct gov__settings *s)
{
    uint64_t asked =
        gov_facts_get(&d->facts, GOV_FACT_REQUEST_CONTEXT, CONTEXT_DEFAULT);
    uint64_t most =
        gov_facts_get(&d->facts, GOV_FACT_MODEL_CONTEXT_MAX, INT32_MAX);
    uint64_t context = gov__plan_setting(s, GOV__SET_CONTEXT, asked);
    struct gov__sizes z;

    most = most < INT32_MAX ? most : INT32_MAX;
    z.kv_type = d->kv_wish;
    if (d->cache)
        z.kv_type =
            (gov_kv_type)gov__plan_setting(s, GOV__SET_KV_TYPE, d->kv_wish);
    z.context = (uint32_t)(context < most ? context : most);
    z.sequences =
        (uint32_t)gov__plan_setting(s, GOV__SET_SEQUENCES, d->sequences_wish);
    z.direct = gov__plan_setting(s, GOV__SET_DIRECT, 0) != 0;
    z.ahead_wish = (uint32_t)gov__plan_setting(
        s, GOV__SET_AHEAD, z.direct ? AHEAD_DIRECT : AHEAD_DEFAULT);
    z.gpu_wish =
        (uint32_t)gov__plan_setting(s, GOV__SET_GPU_LAYERS, d->gpu_wish);
    resize(d, &z);
    return z;
}

void gov__plan_derive(struct gov__decision *d)
{
    struct gov__sizes z = gov__plan_size(d, &d->settings);
    struct gov_facts *facts = &d->facts;

    gov_facts_set(facts, GOV_FACT_MODEL_CONTEXT, z.context);
    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN,
                  gov__kv_of_f16(d->kv_per_token, z.kv_type));
    if (facts->value[GOV_FACT_MODEL_WINDOW_KV].known)
        gov_facts_set(facts, GOV_FACT_MODEL_WINDOW_KV,
                      gov__kv_of_f16(d->window_kv_per_token, z.kv_type));
    gov_facts_set(facts, GOV_FACT_MODEL_KV, z.kv);
    gov_facts_set(facts, GOV_FACT_MODEL_MAPPED_FOOTPRINT, z.buffers);
    gov_facts_set(facts, GOV_FACT_MODEL_HEAP_FOOTPRINT,
                  gov__sat_add(d->weights, z.buffers));
}

/* Bytes that must be in memory at once under a strategy. */
uint64_t gov__plan_need(const struct gov__decision *d,
                        const struct gov__sizes *z, gov_strategy strategy)
{
    if (strategy == GOV_STRATEGY_HYBRID)
        return gov__sat_add(z->buffers, z->window);
    return gov__sat_add(gov__sat_add(z->buffers, z->added),
                        d->weights - z->moved);
}

/* The invariant. Bytes that are encrypted on disk mean nothing when mapped. */
bool gov__plan_fits(const struct gov__decision *d, const struct gov__sizes *z,
                    gov_strategy strategy)
{
    if (d->encrypted && strategy != GOV_STRATEGY_HEAP)
        return false;
    return gov__plan_need(d, z, strategy) <= d->budget;
}

/* Whether a smaller context than that of *z would fit. */
static bool context_fits(const struct gov__decision *d,
                         const struct gov__sizes *z, gov_strategy strategy,
                         uint64_t context)
{
    struct gov__sizes other = *z;

    if (context >= z->context)
        return false;
    other.context = (uint32_t)context;
    resize(d, &other);
    return gov__plan_need(d, &other, strategy) <= d->budget;
}

/* The largest context of 2^n or 3 * 2^n tokens, from one block, that would fit
 * where that of *z does not; 0 when none would. What a context needs only grows
 * with it. */
uint64_t gov__plan_context_that_fits(const struct gov__decision *d,
                                     const struct gov__sizes *z,
                                     gov_strategy strategy)
{
    uint64_t power = GOV__KV_BLOCK_TOKENS, found = 0;

    for (; context_fits(d, z, strategy, power); power *= 2) {
        found = power;
        if (context_fits(d, z, strategy, power / 2 * 3))
            found = power / 2 * 3;
    }
    return found;
}
