/* SPDX-License-Identifier: MIT */
/* What if: the first bytes choose facts, the rest is the text. A text that is
 * refused changes nothing; of one that is not, all that is told is so, all that
 * is not told stays, and saying it again changes no more. */
#include <stdint.h>
#include <string.h>

#include "policies/language/words_priv.h"
#include "policies/what_if.h"
#include "tests/fuzz/promises.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FACT_BYTES 8
#define BUFFER 512
#define VALUE 64 /* bytes of a value as it is told */

static void set_facts(struct gov_facts *facts, const uint8_t *bytes)
{
    static const char *const texts[] = {"", "linux", "warn", "heap", "a*b?"};

    memset(facts, 0, sizeof(*facts));
    for (unsigned i = 0; i < GOV_FACT_COUNT; i++) {
        gov_type type = gov_fact_info((gov_fact)i)->type;
        unsigned byte = bytes[i % FACT_BYTES] + i * 7U;

        if (byte % 3 == 0)
            continue;
        if (type == GOV_TYPE_TEXT)
            gov_facts_set_text(facts, (gov_fact)i, texts[byte % 5]);
        else if (type == GOV_TYPE_FLAG)
            gov_facts_set(facts, (gov_fact)i, byte % 2);
        else
            gov_facts_set(facts, (gov_fact)i,
                          byte % 5 == 0 ? UINT64_MAX
                                        : (UINT64_C(1) << byte % 64) + byte);
    }
}

/* One asking: the facts before, and what is told. */
struct asking {
    struct gov_facts before;
    size_t count;
    bool told[GOV_FACT_COUNT];
    char now[GOV_FACT_COUNT][VALUE];
};

static const char *print(char out[VALUE], const struct gov_facts *facts,
                         gov_fact fact)
{
    return gov_value_print(out, VALUE, gov_fact_info(fact)->type,
                           &facts->value[fact]);
}

static void on_change(void *ctx, const char *name, const char *now,
                      const char *before, const char *because)
{
    struct asking *asking = ctx;
    gov_fact fact = gov_fact_find(name, strlen(name));
    char was[VALUE];

    must(fact < GOV_FACT_COUNT, "a fact");
    must(!asking->told[fact], "once");
    must(strcmp(gov_fact_info(fact)->source, "derived") != 0,
         "none that is derived");
    must(strlen(now) < VALUE && strlen(before) < VALUE, "short");
    must(strcmp(before, print(was, &asking->before, fact)) == 0, "as it was");
    must_be_printable(now);
    must_be_printable(because);
    memcpy(asking->now[fact], now, strlen(now) + 1);
    asking->told[fact] = true;
    asking->count++;
}

static void check_value(gov_fact fact, const struct gov_value *value,
                        const char *buffer)
{
    const char *const *values;
    bool there = false;
    size_t count;

    if (!value->known || gov_fact_info(fact)->type != GOV_TYPE_TEXT) {
        must(value->text == NULL, "no text where there is none");
        must(value->number >= 0, "no number below 0");
        return;
    }
    must(value->text >= buffer && value->text < buffer + BUFFER, "its place");
    must(memchr(value->text, '\0', (size_t)(buffer + BUFFER - value->text)) !=
             NULL,
         "texts end");
    must(value->text[0] != '\0', "a text");
    values = gov__fact_values(fact, &count);
    for (size_t i = 0; i < count; i++)
        there = there || strcmp(value->text, values[i]) == 0;
    must(there || values == NULL, "one of those it may be");
}

static void check_changes(const struct asking *asking,
                          const struct gov_facts *after, const char *buffer)
{
    char now[VALUE];

    must(asking->count > 0, "a change");
    for (unsigned i = 0; i < GOV_FACT_COUNT; i++) {
        const struct gov_value *was = &asking->before.value[i];
        const struct gov_value *is = &after->value[i];

        if (!asking->told[i]) {
            must(was->known == is->known && was->number == is->number &&
                     was->text == is->text,
                 "what is not told stays");
            continue;
        }
        must(strcmp(asking->now[i], print(now, after, (gov_fact)i)) == 0,
             "what is told is so");
        check_value((gov_fact)i, is, buffer);
    }
}

static void check_same(const struct gov_facts *a, const struct gov_facts *b)
{
    for (unsigned i = 0; i < GOV_FACT_COUNT; i++) {
        const struct gov_value *one = &a->value[i], *two = &b->value[i];

        must(one->known == two->known, "known again");
        must(!one->known || one->number == two->number, "the same number");
        must(!one->known || (one->text == NULL) == (two->text == NULL),
             "a text again");
        must(!one->known || one->text == NULL ||
                 strcmp(one->text, two->text) == 0,
             "the same text");
    }
}

static void ask(struct asking *asking, const char *text, char *buffer,
                char *other)
{
    struct gov_facts facts = asking->before, quiet = facts;
    gov_error err = {GOV_OK, 0, ""};
    gov_status status =
        gov_what_if(&facts, text, buffer, on_change, asking, &err);

    must(gov_what_if(&quiet, text, other, NULL, NULL, NULL) == status,
         "the same, told or not");
    if (status != GOV_OK) {
        must(status == GOV_E_INVALID && err.status == status, "a slip");
        must(err.message[0] != '\0', "a sentence");
        must(asking->count == 0, "nothing is told then");
        must(memcmp(&facts, &asking->before, sizeof(facts)) == 0 &&
                 memcmp(&quiet, &asking->before, sizeof(facts)) == 0,
             "nothing changes then");
        return;
    }
    must(err.status == GOV_OK, "no error");
    check_changes(asking, &facts, buffer);
    check_same(&facts, &quiet);
    must(gov_what_if(&quiet, text, other, NULL, NULL, NULL) == GOV_OK,
         "it can be said twice");
    check_same(&facts, &quiet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct asking *asking = calloc(1, sizeof(*asking));
    /* Exactly as large as they are, so that a sanitizer sees one byte over. */
    char *buffer = malloc(BUFFER), *other = malloc(BUFFER);
    char *text = malloc((size > FACT_BYTES ? size - FACT_BYTES : 0) + 1);

    must(asking != NULL && buffer != NULL && other != NULL && text != NULL,
         "memory for a test");
    if (size >= FACT_BYTES) {
        memcpy(text, data + FACT_BYTES, size - FACT_BYTES);
        text[size - FACT_BYTES] = '\0';
        set_facts(&asking->before, data);
        ask(asking, text, buffer, other);
    }
    free(text);
    free(other);
    free(buffer);
    free(asking);
    return 0;
}
