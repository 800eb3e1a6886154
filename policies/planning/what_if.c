/* SPDX-License-Identifier: MIT */
/* See what_if.h. Works on a copy of the facts, so that a failure changes nothing;
 * allocates nothing. */
#include "policies/what_if.h"

#include <string.h>

#include "policies/language/expr_priv.h"
#include "policies/language/words_priv.h"
#include "policies/planning/reserve.h"
#include "policies/planning/sizes_priv.h"

#define BUFFER_BYTES 512

/* A stretch of the text, without the space around it. */
struct word {
    const char *text;
    size_t bytes;
};

/* One call under way. */
struct asking {
    struct gov_facts facts;
    char *buffer; /* of texts; `used` bytes of it are */
    size_t used;
    size_t count;
    gov_fact order[GOV_FACT_COUNT];      /* facts that change, as they do */
    const char *follows[GOV_FACT_COUNT]; /* why; NULL: it was named */
    bool changed[GOV_FACT_COUNT];
    gov_error *err;
};

static struct word trimmed(const char *text, size_t bytes)
{
    while (bytes > 0 && gov__is_space(text[bytes - 1]))
        bytes--;
    for (; bytes > 0 && gov__is_space(*text); bytes--)
        text++;
    return (struct word){text, bytes};
}

static bool is(struct word word, const char *text)
{
    return strlen(text) == word.bytes &&
           memcmp(text, word.text, word.bytes) == 0;
}

/* ---- names ---- */

/* Set by every decision anew, so nobody can say what it is. */
static bool derived(gov_fact fact)
{
    return strcmp(gov_fact_info(fact)->source, "derived") == 0;
}

static const char *behind_dot(gov_fact fact)
{
    return strchr(gov_fact_info(fact)->name, '.') + 1;
}

/* The fact that a name without a dot stands for. */
static gov_fact find_short(struct word name)
{
    static const char *const groups[] = {"device.", "model.", "request.",
                                         "budget.", "gpu.",   "pressure."};

    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
        for (unsigned i = 0; i < GOV_FACT_COUNT; i++)
            if (strncmp(gov_fact_info((gov_fact)i)->name, groups[g],
                        strlen(groups[g])) == 0 &&
                is(name, behind_dot((gov_fact)i)) && !derived((gov_fact)i))
                return (gov_fact)i;
    return GOV_FACT_COUNT;
}

static gov_status fail_name(const struct asking *a, struct word name)
{
    const char *names[GOV_FACT_COUNT];
    bool dot = memchr(name.text, '.', name.bytes) != NULL;
    const char *near;

    for (unsigned i = 0; i < GOV_FACT_COUNT; i++)
        names[i] =
            dot ? gov_fact_info((gov_fact)i)->name : behind_dot((gov_fact)i);
    near = gov__nearest(name.text, name.bytes, names, GOV_FACT_COUNT);
    if (near != NULL)
        return gov_fail(a->err, GOV_E_INVALID, 0,
                        "there is no fact \"%.*s\"; did you mean %s?",
                        gov__short(name.text, name.bytes), name.text, near);
    return gov_fail(a->err, GOV_E_INVALID, 0,
                    "there is no fact \"%.*s\"; gov policy facts lists them",
                    gov__short(name.text, name.bytes), name.text);
}

static gov_status find(const struct asking *a, struct word name, gov_fact *out)
{
    *out = gov_fact_find(name.text, name.bytes);
    if (*out == GOV_FACT_COUNT)
        *out = find_short(name);
    if (*out == GOV_FACT_COUNT)
        return fail_name(a, name);
    if (derived(*out))
        return gov_fail(a->err, GOV_E_INVALID, 0,
                        "%s follows from other facts, which can be given "
                        "instead",
                        gov_fact_info(*out)->name);
    if (a->changed[*out])
        return gov_fail(a->err, GOV_E_INVALID, 0, "%s is given twice",
                        gov_fact_info(*out)->name);
    return GOV_OK;
}

/* ---- values ---- */

static gov_status set_number(struct asking *a, gov_fact fact, struct word value)
{
    const struct gov_fact_info *info = gov_fact_info(fact);
    struct gov__expr_error wrong;
    int64_t number = 0;

    if (info->type == GOV_TYPE_FLAG) {
        number = is(value, "true") || is(value, "yes");
        if (number == 0 && !is(value, "false") && !is(value, "no"))
            return gov_fail(a->err, GOV_E_INVALID, 0,
                            "%s is true or false, not \"%.*s\"", info->name,
                            gov__short(value.text, value.bytes), value.text);
    } else if (!gov__expr_literal(value.text, value.bytes, info->type, &number,
                                  &wrong)) {
        return gov_fail(a->err, GOV_E_INVALID, 0, "%s=%.*s: %s", info->name,
                        gov__short(value.text, value.bytes), value.text,
                        wrong.sentence);
    }
    gov_facts_set(&a->facts, fact, (uint64_t)number);
    return GOV_OK;
}

static gov_status set_text(struct asking *a, gov_fact fact, struct word value)
{
    const char *name = gov_fact_info(fact)->name;
    char *text = a->buffer + a->used, list[128];
    const char *const *values;
    const char *near;
    size_t count;
    bool there;

    if (value.bytes >= BUFFER_BYTES - a->used)
        return gov_fail(a->err, GOV_E_INVALID, 0,
                        "%s and the texts before it are longer than %d bytes "
                        "together",
                        name, BUFFER_BYTES - 1);
    values = gov__fact_values(fact, &count);
    there = values == NULL;
    for (size_t i = 0; i < count; i++)
        there = there || is(value, values[i]);
    if (!there) {
        near = gov__nearest(value.text, value.bytes, values, count);
        return gov_fail(
            a->err, GOV_E_INVALID, 0, "%s is never \"%.*s\"; %s%s%s", name,
            gov__short(value.text, value.bytes), value.text,
            near != NULL ? "did you mean " : "it is ",
            near != NULL ? near : gov__list(list, sizeof(list), values, count),
            near != NULL ? "?" : "");
    }
    memcpy(text, value.text, value.bytes);
    text[value.bytes] = '\0';
    a->used += value.bytes + 1;
    gov_facts_set_text(&a->facts, fact, text);
    return GOV_OK;
}

static void note(struct asking *a, gov_fact fact, const char *follows)
{
    a->changed[fact] = true;
    a->follows[a->count] = follows;
    a->order[a->count++] = fact;
}

/* "ram=8GiB" */
static gov_status take(struct asking *a, struct word entry)
{
    const char *equals =
        entry.bytes > 0 ? memchr(entry.text, '=', entry.bytes) : NULL;
    struct word name = entry, value = {entry.text, 0};
    gov_status status;
    gov_fact fact;

    if (equals != NULL) {
        size_t before = (size_t)(equals - entry.text);

        name = trimmed(entry.text, before);
        value = trimmed(equals + 1, entry.bytes - before - 1);
    }
    if (name.bytes == 0 || value.bytes == 0)
        return gov_fail(a->err, GOV_E_INVALID, 0,
                        "\"%.*s\" is no FACT=VALUE, as ram=8GiB is",
                        gov__short(entry.text, entry.bytes), entry.text);
    status = find(a, name, &fact);
    if (status != GOV_OK)
        return status;
    if (is(value, "unknown"))
        a->facts.value[fact] = (struct gov_value){false, 0, NULL};
    else if (gov_fact_info(fact)->type == GOV_TYPE_TEXT)
        status = set_text(a, fact, value);
    else
        status = set_number(a, fact, value);
    if (status == GOV_OK)
        note(a, fact, NULL);
    return status;
}

/* ---- what follows ---- */

static void follow_memory(struct asking *a)
{
    bool ram = a->changed[GOV_FACT_DEVICE_RAM];
    uint64_t all = gov_facts_get(&a->facts, GOV_FACT_DEVICE_RAM, UINT64_MAX);
    uint64_t limit =
        gov_facts_get(&a->facts, GOV_FACT_DEVICE_LIMIT, UINT64_MAX);
    uint64_t less = all < limit ? all : limit;

    if ((!ram && !a->changed[GOV_FACT_DEVICE_LIMIT]) ||
        a->changed[GOV_FACT_BUDGET_RAM])
        return;
    a->facts.value[GOV_FACT_BUDGET_RAM].known = false;
    if (less != UINT64_MAX)
        gov_facts_set(&a->facts, GOV_FACT_BUDGET_RAM,
                      less - gov__reserve_of_ram(less));
    note(a, GOV_FACT_BUDGET_RAM,
         ram ? "follows device.ram" : "follows device.limit");
}

static void follow_weights(struct asking *a, const struct gov_facts *before)
{
    static const gov_fact parts[] = {
        GOV_FACT_MODEL_FILE,         GOV_FACT_MODEL_PASS,
        GOV_FACT_MODEL_LARGEST_UNIT, GOV_FACT_MODEL_SMALLEST_LAYER,
        GOV_FACT_MODEL_REPACK,       GOV_FACT_MODEL_PARAMETERS};
    uint64_t was = gov_facts_get(before, GOV_FACT_MODEL_WEIGHTS, 0);
    uint64_t now = gov_facts_get(&a->facts, GOV_FACT_MODEL_WEIGHTS, 0);

    if (!a->changed[GOV_FACT_MODEL_WEIGHTS] || was == 0 ||
        !a->facts.value[GOV_FACT_MODEL_WEIGHTS].known)
        return;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (a->changed[parts[i]] || !before->value[parts[i]].known)
            continue;
        gov_facts_set(
            &a->facts, parts[i],
            gov__scaled(gov_facts_get(before, parts[i], 0), now, was));
        note(a, parts[i], "in proportion to model.weights");
    }
}

gov_status gov_what_if(struct gov_facts *facts, const char *text,
                       char buffer[512], gov_what_if_fn told, void *ctx,
                       gov_error *err)
{
    struct asking a = {.count = 0};
    gov_status status = GOV_OK;

    if (facts == NULL || text == NULL || buffer == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_what_if() wants facts, a text and a buffer; one "
                        "of them is NULL");
    a.facts = *facts;
    a.buffer = buffer;
    a.err = err;
    for (const char *at = text; status == GOV_OK && at != NULL;) {
        size_t bytes = strcspn(at, ",");

        status = take(&a, trimmed(at, bytes));
        at = at[bytes] == ',' ? at + bytes + 1 : NULL;
    }
    if (status != GOV_OK)
        return status;
    follow_memory(&a);
    follow_weights(&a, facts);
    for (size_t i = 0; i < a.count && told != NULL; i++) {
        const struct gov_fact_info *info = gov_fact_info(a.order[i]);
        char now[64], before[64];

        told(ctx, info->name,
             gov_value_print(now, sizeof(now), info->type,
                             &a.facts.value[a.order[i]]),
             gov_value_print(before, sizeof(before), info->type,
                             &facts->value[a.order[i]]),
             a.follows[i] != NULL ? a.follows[i] : "");
    }
    *facts = a.facts;
    return GOV_OK;
}
