/* SPDX-License-Identifier: MIT */
/* The fact table and how values are set and shown. Decides nothing. */
#include "policies/facts.h"

#include <string.h>

#include "policies/language/words_priv.h"

static const struct gov_fact_info infos[GOV_FACT_COUNT] = {
#define FACT_INFO(id, name, type, source, sentence)                            \
    {name, GOV_TYPE_##type, source, sentence},
    GOV_FACT_MAP(FACT_INFO)
#undef FACT_INFO
};

const struct gov_fact_info *gov_fact_info(gov_fact fact)
{
    if ((unsigned)fact >= GOV_FACT_COUNT)
        return NULL;
    return &infos[fact];
}

gov_fact gov_fact_find(const char *name, size_t bytes)
{
    for (unsigned i = 0; i < GOV_FACT_COUNT; i++)
        if (strlen(infos[i].name) == bytes &&
            memcmp(infos[i].name, name, bytes) == 0)
            return (gov_fact)i;
    return GOV_FACT_COUNT;
}

const char *const *gov__fact_names(void)
{
    static const char *const names[] = {
#define FACT_NAME(id, name, type, source, sentence) name,
        GOV_FACT_MAP(FACT_NAME)
#undef FACT_NAME
    };

    return names;
}

static const char *const levels[] = {"normal", "warn", "critical"};

const struct gov__words gov__levels = {levels, 3, 0};

const char *const *gov__fact_values(gov_fact fact, size_t *count)
{
    static const char *const formats[] = {"gguf", "safetensors"};

    *count = 3;
    if (fact == GOV_FACT_PRESSURE_LEVEL)
        return levels;
    if (fact == GOV_FACT_REQUEST_STRATEGY)
        return gov__strategies.names; /* all but the last, refuse */
    *count = gov__kv_types.count;
    if (fact == GOV_FACT_REQUEST_KV_TYPE)
        return gov__kv_types.names;
    *count = 2;
    if (fact == GOV_FACT_MODEL_FORMAT)
        return formats;
    *count = 0;
    return NULL;
}

bool gov_fact_of_machine(gov_fact fact)
{
    static const char *const groups[] = {"device.", "gpu.", "budget."};
    const struct gov_fact_info *info = gov_fact_info(fact);

    for (size_t i = 0; info != NULL && i < sizeof(groups) / sizeof(groups[0]);
         i++)
        if (strncmp(info->name, groups[i], strlen(groups[i])) == 0)
            return true;
    return false;
}

const char *gov_type_name(gov_type type)
{
    switch (type) {
    case GOV_TYPE_BYTES:
        return "bytes";
    case GOV_TYPE_COUNT:
        return "count";
    case GOV_TYPE_RATIO:
        return "ratio";
    case GOV_TYPE_DURATION:
        return "duration";
    case GOV_TYPE_FLAG:
        return "flag";
    case GOV_TYPE_TEXT:
        return "text";
    }
    return "unknown";
}

void gov_facts_set(struct gov_facts *facts, gov_fact fact, uint64_t number)
{
    if ((unsigned)fact >= GOV_FACT_COUNT)
        return;
    facts->value[fact].known = true;
    facts->value[fact].number =
        number > INT64_MAX ? INT64_MAX : (int64_t)number;
    facts->value[fact].text = NULL;
}

void gov_facts_set_text(struct gov_facts *facts, gov_fact fact,
                        const char *text)
{
    if ((unsigned)fact >= GOV_FACT_COUNT)
        return;
    facts->value[fact].known = text != NULL;
    facts->value[fact].number = 0;
    facts->value[fact].text = text;
}

uint64_t gov_facts_get(const struct gov_facts *facts, gov_fact fact,
                       uint64_t otherwise)
{
    if ((unsigned)fact >= GOV_FACT_COUNT || !facts->value[fact].known ||
        facts->value[fact].number < 0)
        return otherwise;
    return (uint64_t)facts->value[fact].number;
}

/* Three significant digits of part / whole, where part < 1024 * whole and
 * whole <= 2^20: "1.50", "23.5", "512". False where rounding reaches `next`,
 * so that the caller takes the larger unit. */
static bool put_scaled(char *out, size_t bytes, uint64_t part, uint64_t whole,
                       uint64_t next)
{
    static const unsigned tens[] = {1, 10, 100};

    for (unsigned digits = 3; digits-- > 0;) {
        uint64_t n = (part * tens[digits] + whole / 2) / whole;

        if (n >= 1000 && digits > 0)
            continue;
        if (n >= next)
            return false;
        if (digits == 0)
            gov__put(out, bytes, 0, "%llu", (unsigned long long)n);
        else
            gov__put(out, bytes, 0, "%llu.%0*llu",
                     (unsigned long long)(n / tens[digits]), (int)digits,
                     (unsigned long long)(n % tens[digits]));
        return true;
    }
    return true;
}

static void put_bytes(char *out, size_t bytes, uint64_t n)
{
    static const char *const units[] = {"KiB", "MiB", "GiB",
                                        "TiB", "PiB", "EiB"};
    char digits[24];
    size_t unit = 0;
    uint64_t part = n;

    if (n < 1024) {
        gov__put(out, bytes, 0, "%llu B", (unsigned long long)n);
        return;
    }
    while (part >> 20 != 0) {
        part >>= 10;
        unit++;
    }
    if (!put_scaled(digits, sizeof(digits), part, 1024, 1024)) {
        memcpy(digits, "1.00", 5);
        unit++;
    }
    gov__put(out, bytes, 0, "%s %s", digits, units[unit]);
}

/* Drops zeros that say nothing: "12.0" is 12. */
static void trim(char *digits)
{
    size_t end = strlen(digits);

    if (strchr(digits, '.') == NULL)
        return;
    while (end > 0 && digits[end - 1] == '0')
        digits[--end] = '\0';
    if (end > 0 && digits[end - 1] == '.')
        digits[end - 1] = '\0';
}

static void put_duration(char *out, size_t bytes, uint64_t us)
{
    char digits[24];

    if (us < 1000) {
        gov__put(out, bytes, 0, "%llu us", (unsigned long long)us);
        return;
    }
    if (us < 1000000 && put_scaled(digits, sizeof(digits), us, 1000, 1000)) {
        trim(digits);
        gov__put(out, bytes, 0, "%s ms", digits);
        return;
    }
    if (us / 1000000 >= 1000)
        gov__put(digits, sizeof(digits), 0, "%llu",
                 (unsigned long long)(us / 1000000));
    else
        put_scaled(digits, sizeof(digits), us, 1000000, UINT64_MAX);
    trim(digits);
    gov__put(out, bytes, 0, "%s s", digits);
}

static void put_ratio(char *out, size_t bytes, uint64_t ppm)
{
    char digits[32];

    gov__put(digits, sizeof(digits), 0, "%llu.%04llu",
             (unsigned long long)(ppm / 10000),
             (unsigned long long)(ppm % 10000));
    trim(digits);
    gov__put(out, bytes, 0, "%s %%", digits);
}

/* A text comes from a file that somebody else wrote: what would steer a
 * terminal is shown as '?'. */
static void put_text(char *out, size_t bytes, const char *text)
{
    size_t used = 0;
    size_t left = strnlen(text, bytes);

    while (left > 0 && used < bytes) {
        uint32_t c = 0;
        size_t n = gov__utf8(text, left, &c);
        bool show = n > 0 && c >= 0x20 && !gov__is_control(c);

        n = n > 0 ? n : 1;
        used = gov__put(out, bytes, used, "%.*s", show ? (int)n : 1,
                        show ? text : "?");
        text += n;
        left -= n;
    }
}

char *gov_value_print(char *out, size_t bytes, gov_type type,
                      const struct gov_value *value)
{
    uint64_t n = (uint64_t)value->number;
    size_t sign = 0;

    if (bytes == 0)
        return out;
    out[0] = '\0';
    if (!value->known || (type == GOV_TYPE_TEXT && value->text == NULL)) {
        gov__put(out, bytes, 0, "unknown");
        return out;
    }
    if (type == GOV_TYPE_TEXT) {
        put_text(out, bytes, value->text);
        return out;
    }
    if (value->number < 0 && type != GOV_TYPE_FLAG) {
        n = 0 - n;
        sign = gov__put(out, bytes, 0, "-");
    }
    if (type == GOV_TYPE_FLAG)
        gov__put(out, bytes, 0, "%s", n != 0 ? "yes" : "no");
    else if (type == GOV_TYPE_BYTES)
        put_bytes(out + sign, bytes - sign, n);
    else if (type == GOV_TYPE_DURATION)
        put_duration(out + sign, bytes - sign, n);
    else if (type == GOV_TYPE_RATIO)
        put_ratio(out + sign, bytes - sign, n);
    else
        gov__put(out, bytes, sign, "%llu", (unsigned long long)n);
    return out;
}
