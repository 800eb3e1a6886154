/* SPDX-License-Identifier: MIT */
/* Sessions publish beside each other. Owns runtime->gauges. */
#include "governor/runtime/gauges.h"

#include <stdio.h>
#include <string.h>

#include "governor/runtime/runtime_priv.h"

#define BIT(counter) (UINT64_C(1) << GOV_PAGE_##counter)

/* What a session has done, and what it holds. */
#define DONE                                                                   \
    (BIT(TOKENS) | BIT(REQUESTS) | BIT(WEIGHTS_STREAMED) | BIT(WEIGHTS_LATE) | \
     BIT(KV_GIVEN_BACK) | BIT(WEIGHTS_WAIT_US) | BIT(STALL_US))
#define HELD                                                                   \
    (BIT(WEIGHTS_MAPPED) | BIT(WEIGHTS_RESIDENT) | BIT(WEIGHTS_HOT) |          \
     BIT(WEIGHTS_COLD) | BIT(WEIGHTS_ANCHORED) | BIT(KV_RESERVED) |            \
     BIT(KV_USED) | BIT(CONTEXT) | BIT(CONTEXT_USED) | BIT(CONVERSATIONS) |    \
     BIT(CONVERSATIONS_STORED) | BIT(STATE_BYTES))
/* All is warm when the least warm one is. */
#define LEAST BIT(WEIGHTS_WARM)

/* NULL when the id is none, or that of a session that is gone. */
static struct gov__gauge_set *find(struct gov_runtime *runtime, uint32_t id)
{
    struct gov__gauge_set *set;

    if (runtime == NULL || id == 0)
        return NULL;
    set = &runtime->gauges.set[id % GOV__GAUGES];
    return atomic_load_explicit(&set->id, memory_order_relaxed) == id ? set
                                                                      : NULL;
}

uint32_t gov_gauges_new(gov_runtime *runtime)
{
    struct gov__gauges *gauges;
    uint32_t id = 0;

    if (runtime == NULL || gov__runtime_forked(runtime))
        return 0;
    gauges = &runtime->gauges;
    pthread_mutex_lock(&runtime->lock);
    /* One more than there are: 0 is no id. */
    for (int tries = 0; id == 0 && tries <= GOV__GAUGES; tries++) {
        const uint32_t next = ++gauges->last_id;
        struct gov__gauge_set *set = &gauges->set[next % GOV__GAUGES];

        if (atomic_load(&set->id) == 0) {
            atomic_store(&set->id, next);
            id = next;
        }
    }
    pthread_mutex_unlock(&runtime->lock);
    return id;
}

void gov_gauges_set(gov_runtime *runtime, uint32_t id, gov_page_counter counter,
                    uint64_t value)
{
    struct gov__gauge_set *set = find(runtime, id);
    const uint64_t bit = UINT64_C(1) << ((unsigned int)counter % 64);

    if (set == NULL || (unsigned int)counter >= GOV_PAGE_COUNTERS)
        return;
    if (((DONE | HELD | LEAST) & bit) == 0) {
        gov_publish(runtime, counter, value);
        return;
    }
    atomic_store_explicit(&set->counter[counter], value, memory_order_relaxed);
    /* Who sees the bit sees a value. */
    if ((atomic_load_explicit(&set->have, memory_order_relaxed) & bit) == 0)
        atomic_fetch_or_explicit(&set->have, bit, memory_order_release);
}

static char *text_of(struct gov__gauge_set *set,
                     const struct gov__page_field *field)
{
    return (char *)&set->texts + (field->at - GOV__PAGE_AT_TEXTS);
}

void gov_gauges_text(gov_runtime *runtime, uint32_t id, gov_page_text text,
                     const char *value)
{
    const struct gov__page_field *field = gov__page_field(text);
    struct gov__gauge_set *set = find(runtime, id);

    if (set == NULL || value == NULL || field == NULL ||
        gov__runtime_forked(runtime))
        return;
    pthread_mutex_lock(&runtime->lock);
    set->have_text |= UINT32_C(1) << text;
    if (gov__page_cut(text_of(set, field), field->bytes, value))
        set->changed = ++runtime->gauges.changes;
    pthread_mutex_unlock(&runtime->lock);
}

static uint64_t value_of(struct gov__gauge_set *set, int counter)
{
    return atomic_load_explicit(&set->counter[counter], memory_order_relaxed);
}

void gov_gauges_free(gov_runtime *runtime, uint32_t id)
{
    struct gov__gauge_set *set = find(runtime, id);
    struct gov__gauges *gauges;
    uint64_t have;

    if (set == NULL || gov__runtime_forked(runtime))
        return;
    gauges = &runtime->gauges;
    pthread_mutex_lock(&runtime->lock);
    have = atomic_load_explicit(&set->have, memory_order_acquire);
    gauges->ever |= have;
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++) {
        if ((have & DONE) >> i & 1)
            gauges->ended[i] += value_of(set, i);
        atomic_store_explicit(&set->counter[i], 0, memory_order_relaxed);
    }
    atomic_store(&set->have, 0);
    set->have_text = 0;
    set->changed = 0;
    memset(&set->texts, 0, sizeof(set->texts));
    atomic_store(&set->id, 0);
    pthread_mutex_unlock(&runtime->lock);
}

/* ---- the page --------------------------------------------------------------------- */

static void add_counters_locked(struct gov__gauges *gauges,
                                struct gov_page *page)
{
    uint64_t have, had = gauges->ever;

    for (int i = 0; i < GOV_PAGE_COUNTERS; i++) {
        uint64_t least = UINT64_MAX;

        if ((page->have >> i & 1) == 0)
            page->counter[i] = 0;
        page->counter[i] += gauges->ended[i];
        for (int n = 0; n < GOV__GAUGES; n++) {
            struct gov__gauge_set *set = &gauges->set[n];
            uint64_t value;

            have = atomic_load_explicit(&set->have, memory_order_acquire);
            had |= have;
            if ((have >> i & 1) == 0)
                continue;
            value = value_of(set, i);
            if ((LEAST >> i & 1) == 0)
                page->counter[i] += value;
            else if (value < least)
                page->counter[i] = least = value;
        }
    }
    page->have |= had;
}

static void add_texts_locked(struct gov__gauges *gauges, struct gov_page *page)
{
    struct gov__gauge_set *shown = NULL;
    char name[sizeof(page->text_MODEL) + 32];
    int models = 0;

    for (int n = 0; n < GOV__GAUGES; n++) {
        struct gov__gauge_set *set = &gauges->set[n];

        models += set->texts.MODEL[0] != '\0';
        if (set->changed > (shown == NULL ? 0 : shown->changed))
            shown = set;
    }
    if (shown == NULL)
        return;
    for (int i = 0; i < GOV_PAGE_TEXTS; i++)
        if (shown->have_text >> i & 1)
            (void)gov__page_put(
                page, (gov_page_text)i,
                text_of(shown, gov__page_field((gov_page_text)i)));
    /* The count is not to be cut off. */
    if (models > 1 && shown->texts.MODEL[0] != '\0') {
        snprintf(name, sizeof(name), "1 of %d: %s", models, shown->texts.MODEL);
        (void)gov__page_put(page, GOV_PAGE_TEXT_MODEL, name);
    }
}

static void put_if(struct gov_page *page, bool known, gov_page_counter counter,
                   uint64_t value)
{
    if (!known)
        return;
    page->have |= UINT64_C(1) << counter;
    page->counter[counter] = value;
}

/* What a viewer may want to know of the runtime itself. */
static void add_state_locked(struct gov_runtime *runtime, struct gov_page *page)
{
    const struct gov_evidence *last = &runtime->last.evidence;
    uint64_t barren = 0, overdue = 0;

    for (size_t i = 0; i < GOV__RELIEFS; i++) {
        const struct gov__relief_slot *slot = &runtime->slots[i];

        barren += slot->id != 0 && slot->retired;
        overdue += slot->id != 0 && slot->overdue > 0;
    }
    put_if(page, true, GOV_PAGE_RELIEF_BARREN, barren);
    put_if(page, true, GOV_PAGE_RELIEF_OVERDUE, overdue);
    put_if(page, (last->have & GOV_HAVE_REFAULT) != 0, GOV_PAGE_REFAULT,
           last->refault_bytes);
    put_if(page, (last->have & GOV_HAVE_HEADROOM) != 0, GOV_PAGE_FILL,
           runtime->machine.fill_bytes_per_s);
    put_if(page, atomic_load(&runtime->expects), GOV_PAGE_EXPECTED,
           atomic_load(&runtime->expected));
}

void gov__gauges_fill(struct gov_runtime *runtime, struct gov_page *page)
{
    pthread_mutex_lock(&runtime->lock);
    add_state_locked(runtime, page);
    add_counters_locked(&runtime->gauges, page);
    add_texts_locked(&runtime->gauges, page);
    pthread_mutex_unlock(&runtime->lock);
}

uint64_t gov__gauges_streamed(struct gov_runtime *runtime)
{
    uint64_t sum;

    pthread_mutex_lock(&runtime->lock);
    sum = runtime->gauges.ended[GOV_PAGE_WEIGHTS_STREAMED];
    for (int n = 0; n < GOV__GAUGES; n++)
        sum += value_of(&runtime->gauges.set[n], GOV_PAGE_WEIGHTS_STREAMED);
    pthread_mutex_unlock(&runtime->lock);
    return sum;
}
