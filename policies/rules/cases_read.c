/* SPDX-License-Identifier: MIT */
/* Reads cases: what may stand in them and how it is kept. Decides nothing. */
#include "policies/rules/cases_priv.h"

#include <inttypes.h>
#include <string.h>

#include "policies/language/words_priv.h"

#define CASES_MAX 4096
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

struct reader {
    const struct gov__cases_request *request;
    bool begun;              /* cases were read */
    struct gov__case common; /* its facts are those of every case */
    struct gov__case now;
};

/* ---- values --------------------------------------------------------------- */

static bool read_number(struct gov__yaml *y, const char *what, gov_type type,
                        int64_t *out)
{
    struct gov__expr_error error;

    if (!gov__yaml_need_word(y, what))
        return false;
    return gov__expr_literal(gov__yaml_word(y), gov__yaml_word_bytes(y), type,
                             out, &error) ||
           gov__yaml_fail_inside(y, error.offset, error.sentence);
}

static bool read_size(struct gov__yaml *y, const char *what, gov_type type,
                      uint64_t *out)
{
    int64_t number = 0;

    if (!read_number(y, what, type, &number))
        return false;
    *out = (uint64_t)number;
    return true;
}

static bool read_flag(struct gov__yaml *y, const char *what, int64_t *out)
{
    static const char *const names[] = {"false", "true"};

    if (!gov__yaml_need_word(y, what))
        return false;
    for (*out = 0; *out < 2; ++*out)
        if (gov__yaml_is(y, names[*out]))
            return true;
    return gov__yaml_fail_word(y, "this cannot be", names, 2);
}

/* A text of less than `room` bytes. */
static bool read_text(struct gov__yaml *y, const char *what, char *out,
                      size_t room)
{
    if (!gov__yaml_need_word(y, what))
        return false;
    if (gov__yaml_word_bytes(y) == 0 || gov__yaml_word_bytes(y) >= room)
        return gov__yaml_fail(y, "%s has 1 to %zu bytes", what, room - 1);
    memcpy(out, gov__yaml_word(y), gov__yaml_word_bytes(y));
    out[gov__yaml_word_bytes(y)] = '\0';
    gov__one_line(out);
    return true;
}

static bool read_level(struct gov__yaml *y, const char *what, gov_level *out)
{
    static const gov_level values[] = {GOV_LEVEL_NORMAL, GOV_LEVEL_WARN,
                                       GOV_LEVEL_CRITICAL};

    if (!gov__yaml_need_word(y, what))
        return false;
    for (size_t i = 0; i < COUNT_OF(values); i++)
        if (gov__yaml_is(y, gov__levels.names[i])) {
            *out = values[i];
            return true;
        }
    return gov__yaml_fail_word(y, "a level cannot be", gov__levels.names,
                               gov__levels.count);
}

/* ---- facts ---------------------------------------------------------------- */

/* A copy that lives as long as the case. */
static const char *keep_text(struct gov__case *c, const char *text,
                             size_t bytes)
{
    char *copy = c->texts + c->texts_used;

    if (bytes >= sizeof(c->texts) - c->texts_used)
        return NULL;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    c->texts_used += bytes + 1;
    return copy;
}

static bool read_fact(struct gov__yaml *y, struct gov__case *c, gov_fact fact)
{
    const struct gov_fact_info *info = gov_fact_info(fact);
    struct gov_value *value = &c->facts.value[fact];

    if (!gov__yaml_need_word(y, info->name))
        return false;
    memset(value, 0, sizeof(*value));
    if (gov__yaml_is(y, "unknown"))
        return true;
    value->known = true;
    if (info->type == GOV_TYPE_FLAG)
        return read_flag(y, info->name, &value->number);
    if (info->type != GOV_TYPE_TEXT)
        return read_number(y, info->name, info->type, &value->number);
    value->text = keep_text(c, gov__yaml_word(y), gov__yaml_word_bytes(y));
    return value->text != NULL ||
           gov__yaml_fail(y, "the texts of a case are longer than %d bytes",
                          GOV__CASE_TEXTS);
}

struct fact_reader {
    struct gov__case *of;
    bool seen[GOV_FACT_COUNT];
};

static bool find_fact(struct gov__yaml *y, void *ctx, size_t *key)
{
    struct fact_reader *r = ctx;
    const gov_fact fact =
        gov_fact_find(gov__yaml_word(y), gov__yaml_word_bytes(y));

    if (fact == GOV_FACT_COUNT)
        return gov__yaml_fail_word(y, "there is no fact", gov__fact_names(),
                                   GOV_FACT_COUNT);
    if (r->seen[fact])
        return gov__yaml_fail(y, "%s is given twice",
                              gov_fact_info(fact)->name);
    r->seen[fact] = true;
    *key = fact;
    return true;
}

static bool read_fact_value(struct gov__yaml *y, size_t key, void *ctx)
{
    struct fact_reader *r = ctx;

    return read_fact(y, r->of, (gov_fact)key);
}

/* A mapping of more keys than a shape may have. */
static bool read_facts(struct gov__yaml *y, struct gov__case *c)
{
    struct fact_reader r = {.of = c};

    if (y->refused)
        return false;
    if (y->event.type != YAML_MAPPING_START_EVENT)
        return gov__yaml_fail(y, "facts are a mapping: device.ram and others, "
                                 "and what they are");
    return gov__yaml_pairs(y, find_fact, read_fact_value, &r);
}

/* ---- actions and evidence ------------------------------------------------- */

static bool read_action_value(struct gov__yaml *y, size_t key, void *ctx)
{
    struct gov__case *c = ctx;
    uint32_t n = c->action_count;

    switch (key) {
    case 0:
        return read_text(y, "name", c->actions[n].name,
                         sizeof(c->actions[n].name));
    case 1:
        return read_size(y, "offers", GOV_TYPE_BYTES,
                         &c->actions[n].offered_bytes);
    case 2:
        return read_number(y, "cost", GOV_TYPE_COUNT, &c->actions[n].cost) &&
               (c->actions[n].cost <= UINT32_MAX ||
                gov__yaml_fail(y, "cost is at most %" PRIu32, UINT32_MAX));
    case 3:
        return read_level(y, "from", &c->actions[n].from_level);
    default:
        return read_flag(y, "leaves", &c->actions[n].leaves);
    }
}

static bool read_action(struct gov__yaml *y, void *ctx)
{
    struct gov__case *c = ctx;
    static const char *const keys[] = {"name", "offers", "cost", "from",
                                       "leaves"};
    static const struct gov__yaml_shape shape = {"an action", keys,
                                                 COUNT_OF(keys), 2};

    c->actions[c->action_count].from_level = GOV_LEVEL_WARN;
    if (!gov__yaml_mapping(y, &shape, read_action_value, c))
        return false;
    c->action_count++;
    return true;
}

static bool read_actions(struct gov__yaml *y, struct gov__case *c)
{
    static const struct gov__yaml_items items = {"actions", "name", "actions",
                                                 GOV__CASE_ACTIONS};
    struct gov__place place = gov__yaml_place(y);

    c->has_actions = true;
    if (!gov__yaml_list(y, &items, read_action, c))
        return false;
    return c->action_count > 0 ||
           gov__yaml_fail_at(y, place,
                             "a case without an action decides nothing");
}

static bool read_sample_value(struct gov__yaml *y, size_t key, void *ctx)
{
    struct gov__case *c = ctx;
    struct gov_evidence *e = &c->samples[c->sample_count];
    uint64_t at_us = 0;

    switch (key) {
    case 0:
        if (!read_size(y, "at", GOV_TYPE_DURATION, &at_us))
            return false;
        e->now_ms = at_us / 1000;
        return true;
    case 1:
        e->have |= GOV_HAVE_HEADROOM;
        return read_size(y, "budget", GOV_TYPE_BYTES, &e->budget_bytes);
    case 2:
        e->have |= GOV_HAVE_HEADROOM;
        return read_size(y, "headroom", GOV_TYPE_BYTES, &e->headroom_bytes);
    case 3:
        e->have |= GOV_HAVE_STALL;
        return read_size(y, "some", GOV_TYPE_DURATION, &e->memory_some_us);
    case 4:
        e->have |= GOV_HAVE_STALL;
        return read_size(y, "full", GOV_TYPE_DURATION, &e->memory_full_us);
    default:
        e->have |= GOV_HAVE_SIMULATED;
        return read_level(y, "simulated", &e->simulated_level);
    }
}

static bool read_sample(struct gov__yaml *y, void *ctx)
{
    struct gov__case *c = ctx;
    static const char *const keys[] = {"at",   "budget", "headroom",
                                       "some", "full",   "simulated"};
    static const struct gov__yaml_shape shape = {"a sample", keys,
                                                 COUNT_OF(keys), 0};

    struct gov__place place = gov__yaml_place(y);
    uint32_t n = c->sample_count;

    if (!gov__yaml_mapping(y, &shape, read_sample_value, c))
        return false;
    if (n > 0 && c->samples[n].now_ms < c->samples[n - 1].now_ms)
        return gov__yaml_fail_at(y, place,
                                 "samples run forwards; this one is before the "
                                 "one above it");
    c->sample_count++;
    return true;
}

static bool read_evidence(struct gov__yaml *y, struct gov__case *c)
{
    static const struct gov__yaml_items items = {"evidence", "at", "samples",
                                                 GOV__CASE_SAMPLES};

    struct gov__place place = gov__yaml_place(y);

    c->has_evidence = true;
    if (y->event.type != YAML_SEQUENCE_START_EVENT)
        return read_sample(y, c);
    if (!gov__yaml_list(y, &items, read_sample, c))
        return false;
    return c->sample_count > 0 ||
           gov__yaml_fail_at(y, place,
                             "a case without a sample decides nothing");
}

/* ---- what is expected ----------------------------------------------------- */

static bool read_order_name(struct gov__yaml *y, void *ctx)
{
    struct gov__case *c = ctx;

    return read_text(y, "an action", c->order[c->order_count++],
                     GOV_ACTION_NAME);
}

static bool read_expectation(struct gov__yaml *y, size_t key, void *ctx)
{
    struct gov__case *c = ctx;
    const struct gov__expectation *e = &gov__expectations[key];
    static const struct gov__yaml_items names = {"order", "", "actions",
                                                 GOV__CASE_ACTIONS};

    c->expects[key] = true;
    if (e->as == GOV__EXPECT_ORDER)
        return gov__yaml_list(y, &names, read_order_name, c);
    if (e->as == GOV__EXPECT_NUMBER)
        return e->type == GOV_TYPE_FLAG
                   ? read_flag(y, e->key, &c->number[key])
                   : read_number(y, e->key, e->type, &c->number[key]);
    if (!read_text(y, e->key, c->word[key], GOV__CASE_WORD))
        return false;
    if (e->words == NULL)
        return true;
    for (size_t i = 0; i < e->words->count; i++)
        if (gov__yaml_is(y, e->words->names[i]))
            return true;
    return gov__yaml_fail_word(y, "this cannot be", e->words->names,
                               e->words->count);
}

static bool read_expect(struct gov__yaml *y, struct gov__case *c)
{
    const char *keys[GOV__EXPECTATIONS];
    struct gov__yaml_shape shape = {"expect", keys, GOV__EXPECTATIONS, 0};

    for (size_t i = 0; i < GOV__EXPECTATIONS; i++)
        keys[i] = gov__expectations[i].key;
    return gov__yaml_mapping(y, &shape, read_expectation, c);
}

/* ---- cases ---------------------------------------------------------------- */

static bool read_case_value(struct gov__yaml *y, size_t key, void *ctx)
{
    struct gov__case *c = ctx;

    switch (key) {
    case 0:
        return read_text(y, "name", c->name, sizeof(c->name));
    case 1:
        return read_expect(y, c);
    case 2:
        return read_text(y, "requirement", c->requirement,
                         sizeof(c->requirement));
    case 3:
        c->has_facts = true;
        return read_facts(y, c);
    case 4:
        c->has_level = true;
        return read_level(y, "level", &c->level);
    case 5:
        c->has_wanted = true;
        return read_size(y, "wanted", GOV_TYPE_BYTES, &c->wanted_bytes);
    case 6:
        return read_actions(y, c);
    default:
        return read_evidence(y, c);
    }
}

/* What belongs to one kind of case stands in no other. */
static const char *mismatch(const struct gov__case *c)
{
    enum gov__case_kind kind = gov__case_kind(c);
    bool any = false;

    if (c->has_evidence && (c->has_facts || c->has_actions || c->has_level))
        return "a case with evidence asks for a level and has nothing else";
    if (c->has_actions && (c->has_facts || !c->has_level))
        return "a case with actions has a level and no facts";
    if (!c->has_actions && (c->has_level || c->has_wanted))
        return "level and wanted stand beside actions";
    for (size_t n = 0; n < GOV__EXPECTATIONS; n++) {
        if (!c->expects[n])
            continue;
        any = true;
        if (gov__expectations[n].kind != kind)
            return kind == GOV__CASE_PLAN
                       ? "a case of facts expects no order and no level"
                   : kind == GOV__CASE_LADDER
                       ? "a case with actions expects an order"
                       : "a case with evidence expects a level";
    }
    return any ? NULL : "expect is empty: the case would always pass";
}

static bool read_case(struct gov__yaml *y, void *ctx)
{
    struct reader *r = ctx;
    static const char *const keys[] = {"name",    "expect",  "requirement",
                                       "facts",   "level",   "wanted",
                                       "actions", "evidence"};
    static const struct gov__yaml_shape shape = {"a case", keys, COUNT_OF(keys),
                                                 2};
    struct gov__place place = gov__yaml_place(y);
    const char *wrong;

    /* Texts of common facts stay where they are. */
    memset(&r->now, 0, sizeof(r->now));
    r->now.facts = r->common.facts;
    r->now.line = place.line;
    if (!gov__yaml_mapping(y, &shape, read_case_value, &r->now))
        return false;
    wrong = mismatch(&r->now);
    if (wrong != NULL)
        return gov__yaml_fail_at(y, place, wrong);
    if (r->request->each != NULL)
        r->request->each(r->request->ctx, &r->now);
    return true;
}

static bool read_file_value(struct gov__yaml *y, size_t key, void *ctx)
{
    static const struct gov__yaml_items cases = {"cases", "name", "cases",
                                                 CASES_MAX};
    struct reader *r = ctx;
    char *named = r->request->policy;
    char policy[64];

    switch (key) {
    case 0:
        return gov__yaml_version(y);
    case 1:
        r->begun = true;
        return gov__yaml_list(y, &cases, read_case, r);
    case 2:
        return read_text(y, "policy", named != NULL ? named : policy,
                         sizeof(policy));
    default:
        if (r->begun)
            return gov__yaml_fail(y, "common stands before cases");
        return read_facts(y, &r->common);
    }
}

static bool read_file(struct gov__yaml *y, void *ctx)
{
    static const char *const keys[] = {"version", "cases", "policy", "common"};
    static const struct gov__yaml_shape shape = {"a case file", keys,
                                                 COUNT_OF(keys), 2};

    return gov__yaml_mapping(y, &shape, read_file_value, ctx);
}

gov_status gov__cases_read(const struct gov__cases_request *request,
                           gov_error *err)
{
    const struct gov_policy_layer *cases = request->cases;
    const struct gov_alloc *alloc = request->alloc;
    struct gov__yaml y = {.text = cases->text,
                          .bytes = cases->bytes,
                          .name = cases->name != NULL ? cases->name : "cases",
                          .kind = "case file",
                          .content = "cases",
                          .err = err,
                          .flaws = request->flaws,
                          .alloc = alloc};
    struct reader *r = alloc->alloc(alloc->ctx, sizeof(*r));

    if (r == NULL) {
        gov__yaml_nomem(&y);
        return y.status;
    }
    memset(r, 0, sizeof(*r));
    r->request = request;
    gov__yaml_read(&y, read_file, r);
    alloc->release(alloc->ctx, r);
    return y.status;
}
