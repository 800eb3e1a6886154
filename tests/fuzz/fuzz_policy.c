/* SPDX-License-Identifier: MIT */
/* Policy files: any bytes are a file that decides within the budget, or are
 * refused at a line and a column that exist. Cut at form feeds, which no policy
 * may hold, they are layers: what is told and what fails agree, and the same
 * layers make the same policy. What is shown of a policy reads as that policy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/rules/policy_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MIB (UINT64_C(1) << 20)

static void require(bool fact)
{
    if (!fact)
        abort();
}

/* Fails the allocation that *ctx counts down to. */
static void *failing_alloc(void *ctx, size_t bytes)
{
    unsigned *left = ctx;

    return (*left)-- == 0 ? NULL : malloc(bytes);
}

static void failing_release(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static void on_rule(void *ctx, const char *rule, const char *verdict,
                    const char *detail)
{
    ++*(size_t *)ctx;
    require(rule[0] != '\0' && verdict[0] != '\0' && strlen(detail) < 1024);
}

static void on_doubt(void *ctx, const struct gov_flaw *flaw)
{
    ++*(size_t *)ctx;
    require(flaw->warning && flaw->line > 0 && flaw->column > 0);
    require(flaw->file[0] != '\0' && flaw->sentence[0] != '\0');
}

static void set_facts(struct gov_facts *facts, uint64_t budget,
                      uint64_t weights, bool much)
{
    memset(facts, 0, sizeof(*facts));
    for (int i = 0; much && i < GOV_FACT_COUNT; i++)
        if (gov_fact_info((gov_fact)i)->type == GOV_TYPE_TEXT)
            gov_facts_set_text(facts, (gov_fact)i, "heap");
        else
            gov_facts_set(facts, (gov_fact)i, INT64_MAX / 3);
    facts->value[GOV_FACT_REQUEST_KV_TYPE].known = false;
    gov_facts_set(facts, GOV_FACT_MODEL_ENCRYPTED, 0);
    gov_facts_set(facts, GOV_FACT_BUDGET_RAM, budget);
    gov_facts_set(facts, GOV_FACT_MODEL_WEIGHTS, weights);
    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN, 65536);
    gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE, 64 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_LARGEST_UNIT, weights / 16);
    gov_facts_set(facts, GOV_FACT_MODEL_WINDOW_KV, 16384);
    gov_facts_set(facts, GOV_FACT_MODEL_WINDOW, 1536);
    gov_facts_set(facts, GOV_FACT_MODEL_STATE, 2 * MIB);
    gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE_PER_TOKEN, 64);
    gov_facts_set(facts, GOV_FACT_MODEL_KV_QUANTIZABLE, much);
}

static void decide(const gov_policy *rules, uint64_t budget, uint64_t weights,
                   bool much)
{
    struct gov_facts facts;
    struct gov_plan plan, again;
    gov_error err = {GOV_OK, 0, ""};
    gov_status status;
    uint32_t block_bytes;
    size_t tried = 0;

    set_facts(&facts, budget, weights, much);
    status = gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err);
    require(gov_plan_decide(&again, rules, &facts, on_rule, &tried, NULL) ==
            status);
    require(tried == gov_policy_rules(rules));
    require(memcmp(&plan, &again, sizeof(plan)) == 0);
    require(status == GOV_OK || status == GOV_E_REFUSED);
    require(plan.reason[0] != '\0');
    if (status == GOV_E_REFUSED) {
        require(plan.strategy == GOV_STRATEGY_REFUSE);
        require(strcmp(plan.reason, err.message) == 0);
        return;
    }
    require(plan.kv_bytes >= 2 * MIB && plan.compute_bytes >= 64 * MIB);
    require(plan.kv_bytes + plan.compute_bytes + plan.hot_bytes <= budget);
    require(much || gov_kv_type_block(plan.kv_type, &block_bytes) == 1);
    require(plan.footprint_bytes <= budget);
    require(plan.hot_bytes + plan.cold_bytes == weights);
    require(plan.strategy == GOV_STRATEGY_HYBRID || plan.cold_bytes == 0);
}

static void check_error(const char *text, size_t size, const gov_error *err)
{
    char out[300];
    char *end;
    size_t lines = 1, line;

    require(err->status == GOV_E_FORMAT);
    require(strncmp(err->message, "f:", 2) == 0);
    line = strtoul(err->message + 2, &end, 10);
    require(*end == ':' && line > 0);
    require(strtoul(end + 1, &end, 10) > 0 && strncmp(end, ": ", 2) == 0);
    require(end[2] != '\0');
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n' || text[i] == '\r';
    require(line <= lines);
    for (const char *c = err->message; *c != '\0'; c++)
        require((unsigned char)*c >= ' ' && *c != '\x7f');
    gov_policy_point_error(text, size, err, out, sizeof(out));
    gov_policy_point_error(text, size, err, out, size % sizeof(out));
}

/* ---- layers ---- */

#define LAYERS 3

/* What was told: how much, the first error, and a digest of all. */
struct told {
    size_t count, errors;
    struct gov_flaw last;
    char first[1024];
    uint64_t digest;
};

static void digest(struct told *told, const char *text)
{
    for (; *text != '\0'; text++)
        told->digest =
            (told->digest ^ (unsigned char)*text) * UINT64_C(1099511628211);
}

static void on_flaw(void *ctx, const struct gov_flaw *flaw)
{
    struct told *told = ctx;
    char line[1024];

    require(flaw->file != NULL && flaw->sentence[0] != '\0');
    require(flaw->rule == NULL || flaw->rule[0] != '\0');
    for (const char *c = flaw->sentence; *c != '\0'; c++)
        require((unsigned char)*c >= ' ' && *c != '\x7f');
    snprintf(line, sizeof(line), "%s:%zu:%zu: %s", flaw->file, flaw->line,
             flaw->column, flaw->sentence);
    digest(told, line);
    digest(told, flaw->rule != NULL ? flaw->rule : "");
    if (!flaw->warning && told->errors++ == 0)
        memcpy(told->first, line, sizeof(line));
    /* Warnings and errors do not mix; a file's are in order, and are told by
     * where they are but for the one that says that there are more. */
    require(flaw->warning == (told->errors == 0));
    if (told->count++ > 0 && flaw->line > 0 && told->last.line > 0 &&
        strcmp(flaw->file, told->last.file) == 0)
        require(flaw->line > told->last.line ||
                (flaw->line == told->last.line &&
                 flaw->column >= told->last.column));
    require((flaw->line > 0) == (flaw->column > 0));
    require(flaw->line > 0 || strstr(flaw->sentence, "more than 100 ") != NULL);
    told->last = *flaw;
}

/* Each layer alone: whether it is one, and what is first wrong with it. */
static gov_status read_layer(const struct gov_policy_layer *layer,
                             gov_error *err)
{
    struct told told = {0};
    struct gov__flaws flaws = {on_flaw, &told, 0};
    gov_policy *policy = NULL, *parsed = NULL;
    gov_error again = {GOV_OK, 0, ""};
    gov_status status =
        gov__policy_read(&policy, layer, &flaws, gov_alloc_default(), err);
    gov_status parse = gov_policy_parse(&parsed, layer->text, layer->bytes,
                                        layer->name, NULL, &again);

    require(flaws.errors == told.errors && told.errors == told.count);
    require((status == GOV_E_FORMAT) == (told.errors > 0));
    require(status == GOV_OK || status == GOV_E_FORMAT);
    require((policy != NULL) == (status == GOV_OK));
    require((parsed != NULL) == (parse == GOV_OK));
    if (status != GOV_OK) {
        require(parse == GOV_E_FORMAT);
        require(strcmp(err->message, again.message) == 0);
        require(strncmp(err->message, told.first, 200) == 0);
    }
    gov_policy_free(policy);
    gov_policy_free(parsed);
    return status;
}

static void same(const gov_policy *a, const gov_policy *b)
{
    struct gov_level_rules levels[2];
    struct gov_relief_rules relief[2];

    require(a->count == b->count && a->step_count == b->step_count);
    require(a->file_count == b->file_count && a->count <= GOV__RULES_MAX);
    for (size_t i = 0; i < a->count; i++) {
        require(strcmp(a->list[i].name, b->list[i].name) == 0);
        require(a->list[i].at.file == b->list[i].at.file);
        require(a->list[i].at.file < a->file_count && a->list[i].at.line > 0);
        require(!a->list[i].off);
        require(memcmp(a->list[i].value, b->list[i].value,
                       sizeof(a->list[i].value)) == 0);
        for (size_t j = 0; j < i && i < 64; j++)
            require(strcmp(a->list[i].name, a->list[j].name) != 0);
    }
    memset(levels, 0, sizeof(levels));
    memset(relief, 0, sizeof(relief));
    gov_policy_levels(a, &levels[0]);
    gov_policy_levels(b, &levels[1]);
    require(memcmp(&levels[0], &levels[1], sizeof(levels[0])) == 0);
    require(levels[0].warn_some_exit_permille <= levels[0].warn_some_permille);
    require(levels[0].critical_full_exit_permille <=
            levels[0].critical_full_permille);
    require(levels[0].warn_headroom_exit_permille >=
            levels[0].warn_headroom_permille);
    require(levels[0].critical_headroom_exit_permille >=
            levels[0].critical_headroom_permille);
    require(levels[0].critical_headroom_permille <=
            levels[0].warn_headroom_permille);
    require(levels[0].warn_refault_exit_permille <=
            levels[0].warn_refault_permille);
    require(levels[0].critical_fill_ms <= levels[0].warn_fill_ms);
    gov_policy_relief(a, &relief[0]);
    gov_policy_relief(b, &relief[1]);
    require(relief[0].count == relief[1].count && relief[0].count <= 32);
    for (uint32_t i = 0; i < relief[0].count; i++)
        require(memcmp(&relief[0].step[i], &relief[1].step[i],
                       sizeof(relief[0].step[i])) == 0);
}

static size_t cut(const char *text, size_t size,
                  struct gov_policy_layer layers[LAYERS])
{
    static const char *const names[LAYERS] = {"a", "b", "c"};
    size_t count = 0;

    for (;;) {
        const char *end = size > 0 ? memchr(text, '\f', size) : NULL;
        size_t bytes =
            end != NULL && count + 1 < LAYERS ? (size_t)(end - text) : size;

        layers[count] = (struct gov_policy_layer){names[count], text, bytes};
        count++;
        if (bytes == size)
            return count;
        text += bytes + 1;
        size -= bytes + 1;
    }
}

/* ---- showing ---- */

/* What is shown, line by line; `more`: there is more than a policy may be long. */
struct shown {
    char text[GOV__POLICY_TEXT_MAX];
    size_t bytes;
    bool more;
};

static void on_line(void *ctx, const char *text, const char *file, size_t line)
{
    struct shown *shown = ctx;
    size_t bytes = strlen(text);

    require(strpbrk(text, "\r\n") == NULL);
    require(line == 0 || (file != NULL && file[0] != '\0'));
    shown->more = shown->more || bytes >= sizeof(shown->text) - shown->bytes;
    if (shown->more)
        return;
    memcpy(shown->text + shown->bytes, text, bytes);
    shown->bytes += bytes;
    shown->text[shown->bytes++] = '\n';
}

static void same_plan(const gov_policy *a, const gov_policy *b,
                      const struct gov_facts *facts)
{
    struct gov_plan plan, again;
    gov_status status = gov_plan_decide(&plan, a, facts, NULL, NULL, NULL);

    require(gov_plan_decide(&again, b, facts, NULL, NULL, NULL) == status);
    require(memcmp(&plan, &again, sizeof(plan)) == 0);
}

/* Two that say the same, whatever files they are from. */
static void same_meaning(const gov_policy *a, const gov_policy *b)
{
    struct gov_level_rules levels[2];
    struct gov_relief_rules relief[2];
    struct gov_facts facts;

    memset(levels, 0, sizeof(levels));
    memset(relief, 0, sizeof(relief));
    gov_policy_levels(a, &levels[0]);
    gov_policy_levels(b, &levels[1]);
    require(memcmp(&levels[0], &levels[1], sizeof(levels[0])) == 0);
    gov_policy_relief(a, &relief[0]);
    gov_policy_relief(b, &relief[1]);
    require(memcmp(&relief[0], &relief[1], sizeof(relief[0])) == 0);
    require(gov_policy_rules(a) == gov_policy_rules(b));
    require(gov_policy_doubts(a, "linux", NULL, NULL) ==
            gov_policy_doubts(b, "linux", NULL, NULL));
    for (unsigned i = 0; i < 4; i++) {
        set_facts(&facts, (i % 2 == 0 ? 1024 : 200) * MIB, 512 * MIB, i > 1);
        same_plan(a, b, &facts);
        gov_facts_set_text(&facts, GOV_FACT_DEVICE_OS, "linux");
        gov_facts_set(&facts, GOV_FACT_DEVICE_RAM, 2048 * MIB);
        gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, 16384);
        same_plan(a, b, &facts);
    }
}

static void show_and_read(const gov_policy *policy)
{
    static struct shown shown, again;
    struct gov_policy_layer layer = {"f", shown.text, 0};
    gov_policy *read = NULL;

    shown.bytes = again.bytes = 0;
    shown.more = again.more = false;
    gov_policy_show(policy, on_line, &shown);
    if (shown.more)
        return;
    require(gov_policy_parse(&read, shown.text, shown.bytes, "f", NULL, NULL) ==
            GOV_OK);
    gov_policy_show(read, on_line, &again);
    require(again.bytes == shown.bytes && !again.more);
    require(memcmp(again.text, shown.text, shown.bytes) == 0);
    same_meaning(policy, read);
    gov_policy_free(read);
    layer.bytes = shown.bytes;
    require(gov_policy_build(&read, &layer, 1, NULL, NULL, NULL, NULL) ==
            GOV_OK);
    same_meaning(policy, read);
    gov_policy_free(read);
}

static void build(const char *text, size_t size)
{
    struct gov_policy_layer layers[LAYERS];
    size_t count = cut(text, size, layers);
    unsigned left = size > 0 ? (unsigned char)text[size / 2] : 0;
    const struct gov_alloc failing = {&left, failing_alloc, failing_release};
    struct told told = {0}, again = {0}, third = {0};
    gov_policy *policy = NULL, *second = NULL;
    gov_error err = {GOV_OK, 0, ""}, first = err;
    gov_status read = GOV_OK;
    gov_status status =
        gov_policy_build(&policy, layers, count, on_flaw, &told, NULL, &err);

    for (size_t i = 0; i < count; i++) {
        gov_error own = {GOV_OK, 0, ""};

        if (read_layer(&layers[i], &own) != GOV_OK && read == GOV_OK) {
            read = GOV_E_FORMAT;
            first = own;
        }
    }
    require(status == GOV_OK || status == GOV_E_FORMAT);
    require((status == GOV_OK) == (policy != NULL));
    require((status == GOV_E_FORMAT) == (told.errors > 0));
    require(read == GOV_OK || status == GOV_E_FORMAT);
    if (read != GOV_OK)
        require(strcmp(first.message, err.message) == 0);
    if (status != GOV_OK)
        require(strncmp(err.message, told.first, 200) == 0);
    require(gov_policy_build(&second, layers, count, on_flaw, &again, NULL,
                             NULL) == status);
    require(told.digest == again.digest && told.count == again.count);
    if (status == GOV_OK) {
        same(policy, second);
        show_and_read(policy);
    }
    gov_policy_free(policy);
    gov_policy_free(second);
    policy = NULL;
    err.status = GOV_OK;
    if (gov_policy_build(&policy, layers, count, on_flaw, &third, &failing,
                         &err) != status)
        require(err.status == GOV_E_NOMEM);
    require((policy == NULL) == (err.status != GOV_OK));
    gov_policy_free(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    unsigned left = size > 0 ? data[size - 1] % 16 : 0;
    const struct gov_alloc failing = {&left, failing_alloc, failing_release};
    gov_policy *rules = NULL;
    gov_error err = {GOV_OK, 0, ""};
    gov_status status = gov_policy_parse(&rules, text, size, "f", NULL, &err);
    size_t doubts = 0;

    if (status == GOV_OK) {
        require(gov_policy_doubts(rules, NULL, on_doubt, &doubts) == doubts);
        decide(rules, 1024 * MIB, 256 * MIB, false);
        decide(rules, 1024 * MIB, 4096 * MIB, true);
        decide(rules, 200 * MIB, 4096 * MIB, false);
        show_and_read(rules);
    } else {
        require(rules == NULL);
        check_error(text, size, &err);
    }
    gov_policy_free(rules);
    err.status = GOV_OK;
    rules = NULL;
    if (gov_policy_parse(&rules, text, size, "f", &failing, &err) != status)
        require(err.status == GOV_E_NOMEM && rules == NULL);
    gov_policy_free(rules);
    build(text, size);
    return 0;
}
