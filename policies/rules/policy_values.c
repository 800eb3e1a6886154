/* SPDX-License-Identifier: MIT */
/* Values of a policy file: words, numbers with their limits, texts. Knows no key. */
#include "policies/rules/policy_read_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"

/* ---- mappings ---- */

struct mapping {
    struct gov__reader *reader;
    const struct gov__shape *shape;
    void *into;
};

static bool read_value(struct gov__yaml *y, size_t key, void *ctx)
{
    const struct mapping *m = ctx;
    const struct gov__key *k = &m->shape->keys[key];

    (void)y;
    return k->read(m->reader, k, m->into);
}

static struct gov__yaml_shape yaml_shape(const struct gov__shape *shape,
                                         const char *names[GOV__KEYS_MAX])
{
    for (size_t i = 0; i < shape->count; i++)
        names[i] = shape->keys[i].name;
    return (struct gov__yaml_shape){shape->what, names, shape->count,
                                    shape->required};
}

bool gov__read_mapping(struct gov__reader *r, const struct gov__shape *shape,
                       void *into, uint32_t *seen)
{
    const char *names[GOV__KEYS_MAX];
    const struct gov__yaml_shape keys = yaml_shape(shape, names);
    struct mapping m = {r, shape, into};
    uint32_t unused;

    return gov__yaml_mapping_seen(&r->y, &keys, read_value, &m,
                                  seen != NULL ? seen : &unused);
}

bool gov__read_required(struct gov__reader *r, const struct gov__shape *shape,
                        size_t required, uint32_t seen, struct gov__place place)
{
    const char *names[GOV__KEYS_MAX];
    const struct gov__yaml_shape keys = yaml_shape(shape, names);

    return gov__yaml_need_keys(&r->y, &keys, required, seen, place);
}

/* ---- words ---- */

bool gov__read_choice(struct gov__reader *r, const char *what,
                      const char *const *names, size_t count, size_t *out)
{
    char sentence[32];

    if (!gov__yaml_need_word(&r->y, what))
        return false;
    for (*out = 0; *out < count; ++*out)
        if (gov__yaml_is(&r->y, names[*out]))
            return true;
    gov__put(sentence, sizeof(sentence), 0, "%s cannot be", what);
    return gov__yaml_fail_word(&r->y, sentence, names, count);
}

bool gov__read_off(struct gov__reader *r, bool *out)
{
    if (!gov__yaml_need_word(&r->y, "off"))
        return false;
    *out = gov__yaml_is(&r->y, "true");
    return *out || gov__yaml_fail(&r->y, "off is true, or is left out");
}

/* ---- numbers ---- */

static bool fail_range(struct gov__reader *r, const struct gov__key *key)
{
    static const char *const nouns[] = {
        [GOV_TYPE_BYTES] = "size",  [GOV_TYPE_COUNT] = "number",
        [GOV_TYPE_RATIO] = "share", [GOV_TYPE_DURATION] = "duration",
        [GOV_TYPE_FLAG] = "flag",   [GOV_TYPE_TEXT] = "text",
    };
    char from[32], to[32];

    gov__literal_print(from, key->type, key->least * key->unit);
    if (key->most > INT64_MAX / key->unit || key->most * key->unit == INT64_MAX)
        return gov__yaml_fail(&r->y, "%s is at least %s", key->name, from);
    gov__literal_print(to, key->type, key->most * key->unit);
    return gov__yaml_fail(&r->y, "%s is a %s from %s to %s", key->name,
                          nouns[key->type], from, to);
}

bool gov__read_number(struct gov__reader *r, const struct gov__key *key,
                      int64_t *out)
{
    struct gov__expr_error error;

    if (!gov__yaml_need_word(&r->y, key->name))
        return false;
    if (!gov__expr_literal(gov__yaml_word(&r->y), gov__yaml_word_bytes(&r->y),
                           key->type, out, &error))
        return gov__yaml_fail_inside(&r->y, error.offset, error.sentence);
    if (*out < key->least * key->unit || *out / key->unit > key->most)
        return fail_range(r, key);
    if (*out % key->unit != 0)
        return gov__yaml_fail(&r->y, "%s goes in steps of %s", key->name,
                              key->type == GOV_TYPE_RATIO ? "0.1 %" : "1 ms");
    *out /= key->unit;
    return true;
}

/* ---- texts ---- */

bool gov__read_sentence(struct gov__reader *r, const char *what,
                        const char *empty, char **out)
{
    const struct gov_alloc *alloc = &r->policy->alloc;
    size_t bytes;

    if (!gov__yaml_need_word(&r->y, what))
        return false;
    bytes = gov__yaml_word_bytes(&r->y);
    while (bytes > 0 && gov__is_space(gov__yaml_word(&r->y)[bytes - 1]))
        bytes--;
    if (bytes == 0)
        return gov__yaml_fail(&r->y, "%s is empty; %s", what, empty);
    if (bytes > GOV__BECAUSE_MAX)
        return gov__yaml_fail(&r->y, "%s is longer than %d bytes", what,
                              GOV__BECAUSE_MAX);
    *out = alloc->alloc(alloc->ctx, bytes + 1);
    if (*out == NULL)
        return gov__yaml_nomem(&r->y);
    memcpy(*out, gov__yaml_word(&r->y), bytes);
    (*out)[bytes] = '\0';
    gov__one_line(*out);
    return true;
}
