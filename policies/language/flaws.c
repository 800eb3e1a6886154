/* SPDX-License-Identifier: MIT */
/* What is wrong with policies: kept in order, bounded, told to a person. Finds
 * nothing itself. */
#include "policies/language/flaws_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"

#define NAME_SHOWN 80 /* of a file's name, in a message of 256 bytes */

void gov__one_line(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
}

gov_status gov__flaw_error(gov_error *err, const char *file,
                           struct gov__place place, const char *sentence)
{
    size_t length = strlen(file);
    const char *tail = file;

    if (length > NAME_SHOWN) {
        tail += length - NAME_SHOWN;
        while (((unsigned char)*tail & 0xC0) == 0x80)
            tail++;
    }
    (void)gov_fail(err, GOV_E_FORMAT, 0, "%s%s:%zu:%zu: %s",
                   tail == file ? "" : "...", tail, place.line, place.column,
                   sentence);
    if (err != NULL)
        gov__one_line(err->message);
    return GOV_E_FORMAT;
}

static bool before(const struct gov__flaw *a, const struct gov__flaw *b)
{
    if (a->order != b->order)
        return a->order < b->order;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line;
    return a->place.column < b->place.column;
}

bool gov__flaw_add(struct gov__flaw_list *list, const struct gov__flaw *flaw,
                   const char *sentence)
{
    const struct gov_alloc *alloc = list->alloc;
    size_t at = list->count;

    list->full = at == GOV__FLAWS_MAX;
    if (list->full)
        return true;
    if (list->kept == NULL)
        list->kept =
            alloc->alloc(alloc->ctx, GOV__FLAWS_MAX * sizeof(*list->kept));
    if (list->kept == NULL)
        return false;
    while (at > 0 && before(flaw, &list->kept[at - 1]))
        at--;
    memmove(&list->kept[at + 1], &list->kept[at],
            (list->count - at) * sizeof(*flaw));
    list->kept[at] = *flaw;
    gov__put(list->kept[at].sentence, GOV__FLAW_SENTENCE, 0, "%s", sentence);
    gov__one_line(list->kept[at].sentence);
    list->count++;
    return true;
}

static void tell(struct gov__flaws *flaws, const struct gov__flaw *flaw,
                 gov_error *err)
{
    struct gov_flaw told = {flaw->warning,      flaw->file, flaw->place.line,
                            flaw->place.column, flaw->rule, flaw->sentence};

    if (flaw->rule[0] == '\0')
        told.rule = NULL;
    if (!flaw->warning && flaws->errors++ == 0)
        (void)gov__flaw_error(err, flaw->file, flaw->place, flaw->sentence);
    if (flaws->fn != NULL)
        flaws->fn(flaws->ctx, &told);
}

void gov__flaws_tell(struct gov__flaw_list *list, struct gov__flaws *flaws,
                     gov_error *err)
{
    for (size_t i = 0; i < list->count; i++)
        tell(flaws, &list->kept[i], err);
    if (list->full) {
        struct gov__flaw more = list->kept[list->count - 1];

        more.place = (struct gov__place){0, 0};
        more.rule[0] = '\0';
        gov__put(more.sentence, sizeof(more.sentence), 0,
                 "more than %d %s; the rest is not shown", GOV__FLAWS_MAX,
                 more.warning ? "warnings" : "errors");
        tell(flaws, &more, err);
    }
    list->alloc->release(list->alloc->ctx, list->kept);
    list->kept = NULL;
    list->count = 0;
    list->full = false;
}
