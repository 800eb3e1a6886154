/* SPDX-License-Identifier: MIT */
/* What of the Darwin platform needs no Darwin: what the kernel's words mean, and by
 * which number vmmap shows memory. The only part that runs in tests, on any
 * system. */
#ifndef GOV_PLATFORM_DARWIN_PURE_H
#define GOV_PLATFORM_DARWIN_PURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- levels -------------------------------------------------------------------- */

/* kern.memorystatus_vm_pressure_level speaks dispatch's words: 1, 2, 4 (xnu:
 * convert_internal_pressure_level_to_dispatch_level()). *level is 0, 50 or 100 as
 * gov_level; false for a word that is none of them. */
static inline bool gov__darwin_level(uint64_t word, int *level)
{
    switch (word) {
    case 1:
        *level = 0;
        return true;
    case 2:
        *level = 50;
        return true;
    case 4:
        *level = 100;
        return true;
    default:
        return false;
    }
}

/* What notifications said so far, and what was found then. Zeroed: nothing. */
struct gov__darwin_heard {
    bool known; /* level was read the last time */
    int level;
    bool looked;
    uint64_t looked_us;
    uint64_t events, false_events;
};

/* A notification came, and the level was read again: whether to look now. It is
 * true when the level is above normal or has changed, and also where the level is
 * not told, for then nothing speaks against it. Ten looks a second are enough:
 * the kernel leaves 25 s between two notifications of one level (xnu:
 * bsd/kern/kern_memorystatus_notify.c), so one that comes sooner after a look says
 * nothing that was not seen in it, or what the next look sees. */
static inline bool gov__darwin_believe(struct gov__darwin_heard *heard,
                                       bool known, int level, uint64_t now_us)
{
    bool changed = known && heard->known && level != heard->level;
    bool real = !known || level > 0 || changed;

    heard->events++;
    heard->known = known;
    heard->level = level;
    if (!real) {
        heard->false_events++;
        return false;
    }
    if (heard->looked && now_us - heard->looked_us < 100000)
        return false;
    heard->looked = true;
    heard->looked_us = now_us;
    return true;
}

/* ---- names of memory -------------------------------------------------------------- */

/* Numbers that programs may use as they like: VM_MEMORY_APPLICATION_SPECIFIC_1, 240,
 * and the 15 after it. docs/platforms.md has the same table; one that was shipped
 * keeps its number. */
enum gov__darwin_tag {
    GOV__DARWIN_WEIGHTS = 0,
    GOV__DARWIN_KV = 1,
    GOV__DARWIN_PROMPTS = 2,
    GOV__DARWIN_CACHE = 3,
    GOV__DARWIN_WORK = 4,
    GOV__DARWIN_MEASURE = 5,
    GOV__DARWIN_DOORBELLS = 6,
    GOV__DARWIN_OTHER = 15,
};

static inline bool gov__darwin_in_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9');
}

static inline bool gov__darwin_tag_of_word(const char *word, size_t length,
                                           enum gov__darwin_tag *out)
{
    static const struct {
        const char *word;
        enum gov__darwin_tag tag;
    } words[] = {
        {"weights", GOV__DARWIN_WEIGHTS},
        {"tensors", GOV__DARWIN_WEIGHTS},
        {"kv", GOV__DARWIN_KV},
        {"prompt", GOV__DARWIN_PROMPTS},
        {"prompts", GOV__DARWIN_PROMPTS},
        {"cache", GOV__DARWIN_CACHE},
        {"compute", GOV__DARWIN_WORK},
        {"scratch", GOV__DARWIN_WORK},
        {"gains", GOV__DARWIN_WORK},
        {"measure", GOV__DARWIN_MEASURE},
        {"doorbells", GOV__DARWIN_DOORBELLS},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strlen(words[i].word) == length &&
            memcmp(words[i].word, word, length) == 0) {
            *out = words[i].tag;
            return true;
        }
    return false;
}

/* By the first word in the text that stands for a purpose: "governor weights",
 * "kv.unused", "prompt state". What an app calls its own memory is mostly
 * GOV__DARWIN_OTHER, as is NULL. */
static inline enum gov__darwin_tag gov__darwin_tag_of(const char *text)
{
    enum gov__darwin_tag tag = GOV__DARWIN_OTHER;

    while (text != NULL && *text != '\0') {
        size_t length = 0;

        while (gov__darwin_in_word(text[length]))
            length++;
        if (length > 0 && gov__darwin_tag_of_word(text, length, &tag))
            break;
        text += length > 0 ? length : 1;
    }
    return tag;
}

#endif
