/* SPDX-License-Identifier: MIT */
/* What the published page shows: counters and texts, from wherever they come, and
 * what each look found. */
#include <string.h>

#include "governor/runtime/page_layout.h"
#include "governor/runtime/runtime_priv.h"
#include "policies/language/words_priv.h"

void gov_publish(gov_runtime *runtime, gov_page_counter counter, uint64_t value)
{
    const uint64_t bit = UINT64_C(1) << ((unsigned int)counter % 64);

    if (runtime == NULL || (unsigned int)counter >= GOV_PAGE_COUNTERS)
        return;
    atomic_store_explicit(&runtime->counter[counter], value,
                          memory_order_relaxed);
    /* Who sees the bit sees a value. It is set once; a plain load is cheaper. */
    if ((atomic_load_explicit(&runtime->have, memory_order_relaxed) & bit) == 0)
        atomic_fetch_or_explicit(&runtime->have, bit, memory_order_release);
}

/* Publishes a figure, or that it is not known any more. */
static void publish_if(struct gov_runtime *runtime, bool known,
                       gov_page_counter counter, uint64_t value)
{
    if (known)
        gov_publish(runtime, counter, value);
    else
        atomic_fetch_and(&runtime->have, ~(UINT64_C(1) << counter));
}

void gov_publish_text(gov_runtime *runtime, gov_page_text text,
                      const char *value)
{
    if (runtime == NULL || value == NULL || gov__runtime_forked(runtime))
        return;
    pthread_mutex_lock(&runtime->lock);
    (void)gov__page_put(&runtime->page, text, value);
    pthread_mutex_unlock(&runtime->lock);
}

/* A page that cannot be written is a recorded fact, not a failure. */
static void write_page(struct gov_runtime *runtime)
{
    struct gov_page page;
    gov_error err;
    gov_status status;

    if (!runtime->writer.open)
        return;
    pthread_mutex_lock(&runtime->lock);
    page = runtime->page;
    pthread_mutex_unlock(&runtime->lock);
    page.have = atomic_load_explicit(&runtime->have, memory_order_acquire);
    for (size_t i = 0; i < GOV_PAGE_COUNTERS; i++)
        page.counter[i] =
            atomic_load_explicit(&runtime->counter[i], memory_order_relaxed);
    gov__gauges_fill(runtime, &page);
    gov__shown_fill(runtime, &page);
    status = gov__page_writer_update(&runtime->writer, &page, &err);
    pthread_mutex_lock(&runtime->lock);
    runtime->publish_problem[0] = '\0';
    if (status != GOV_OK)
        memcpy(runtime->publish_problem, err.message,
               sizeof(runtime->publish_problem));
    pthread_mutex_unlock(&runtime->lock);
}

static void publish_backend(struct gov_runtime *runtime,
                            const struct gov__sample *sample)
{
    char text[sizeof(runtime->page.text_BACKEND)];
    const char *and = "";
    size_t at = 0;

    text[0] = '\0';
    if (sample->stall_source != NULL) {
        at = gov__put(text, sizeof(text), at, "PSI (%s)", sample->stall_source);
        and = " and ";
    }
    if ((sample->evidence.have & GOV_HAVE_OS_LEVEL) != 0) {
        at = gov__put(text, sizeof(text), at, "%sthe system's level", and);
        and = " and ";
    }
    if ((sample->evidence.have & GOV_HAVE_HEADROOM) != 0)
        at = gov__put(text, sizeof(text), at, "%sheadroom%s", and,
                      at == 0 ? " only" : "");
    gov_publish_text(runtime, GOV_PAGE_TEXT_BACKEND, at > 0 ? text : "none");
}

/* What wakes before the next look, what does as soon as it is needed, and what would
 * and may not. */
static const char *const wakes_words[] = {"woken by ", "in reserve ",
                                          "not by "};
#define WAKES_WORDS (sizeof(wakes_words) / sizeof(wakes_words[0]))

static size_t wakes_word(enum gov__source_state state)
{
    return state == GOV__SOURCE_LIVE ? 0 : state == GOV__SOURCE_SPARE ? 1 : 2;
}

/* Names the sources that a word is for, and why, but where they wake. Lock held. */
static size_t put_sources_locked(const struct gov_runtime *runtime, size_t word,
                                 char *text, size_t bytes, size_t at)
{
    const char *before = wakes_words[word];

    for (size_t i = 0; i < runtime->source_count; i++) {
        const struct gov__source *source = &runtime->sources[i];

        if (wakes_word(source->state) != word)
            continue;
        if (before == wakes_words[word] && at > 0)
            at = gov__put(text, bytes, at, "; ");
        at = gov__put(text, bytes, at, "%s%s", before, source->name);
        if (word > 0)
            at = gov__put(text, bytes, at, " (%s)", source->why);
        before = ", ";
    }
    return at;
}

static void publish_wakes(struct gov_runtime *runtime)
{
    char text[sizeof(runtime->page.text_WAKES)];
    size_t at = 0;

    text[0] = '\0';
    pthread_mutex_lock(&runtime->lock);
    for (size_t word = 0; word < WAKES_WORDS; word++)
        at = put_sources_locked(runtime, word, text, sizeof(text), at);
    (void)gov__page_put(&runtime->page, GOV_PAGE_TEXT_WAKES, text);
    pthread_mutex_unlock(&runtime->lock);
}

void gov__publish(struct gov_runtime *runtime, const struct gov__sample *sample,
                  const char *reason)
{
    const struct gov_platform *p = runtime->platform;
    const struct gov__process *own = &sample->process;
    bool known = sample->have_process;
    uint64_t cache_bytes;

    gov_publish(runtime, GOV_PAGE_UPDATED_US, p->now_us(p->ctx));
    gov_publish(runtime, GOV_PAGE_LEVEL, (uint64_t)gov_level_now(runtime));
    gov_publish(runtime, GOV_PAGE_LEVEL_SIMULATED,
                (sample->evidence.have & GOV_HAVE_SIMULATED) != 0);
    gov_publish(runtime, GOV_PAGE_BUDGET, runtime->budget_bytes);
    publish_if(runtime, (sample->evidence.have & GOV_HAVE_HEADROOM) != 0,
               GOV_PAGE_HEADROOM, sample->evidence.headroom_bytes);
    gov_publish_text(runtime, GOV_PAGE_TEXT_HEADROOM_SOURCE,
                     sample->headroom_source != NULL ? sample->headroom_source
                                                     : "");
    publish_if(runtime, known, GOV_PAGE_FOOTPRINT, own->footprint_bytes);
    publish_if(runtime, known, GOV_PAGE_ANON, own->anon_bytes);
    publish_if(runtime, known, GOV_PAGE_SWAP, own->swap_bytes);
    publish_if(runtime, known, GOV_PAGE_SHARED, own->shmem_bytes);
    publish_if(runtime, known, GOV_PAGE_RESIDENT_FILE,
               own->resident_file_bytes);
    publish_if(runtime, known, GOV_PAGE_MAJOR_FAULTS, own->major_faults);
    publish_if(runtime, known, GOV_PAGE_MINOR_FAULTS, own->minor_faults);
    publish_if(runtime, known && own->have_read_bytes, GOV_PAGE_READ_BYTES,
               own->read_bytes);
    known = gov__relief_cache_bytes(runtime, &cache_bytes);
    publish_if(runtime, known, GOV_PAGE_CACHE, cache_bytes);
    gov_publish_text(runtime, GOV_PAGE_TEXT_REASON, reason);
    publish_backend(runtime, sample);
    publish_wakes(runtime);
    write_page(runtime);
}
