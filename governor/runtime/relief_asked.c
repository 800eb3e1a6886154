/* SPDX-License-Identifier: MIT */
/* What relief is run for: the level in force, or so many bytes that a person asked
 * for. That is beside the level, which it does not change; it is as at WARN, and
 * nothing is destroyed for it. Runs nothing itself (relief.c does). */
#include <inttypes.h>
#include <stdio.h>

#include "governor/runtime/runtime_priv.h"

/* What was not given by then is not asked for any more: the prompt of a large model,
 * whose end an action waits for, takes less. */
#define ASKED_MS 60000

struct gov__need gov__need_locked(const struct gov_runtime *runtime, bool asked)
{
    const struct gov_level_machine *machine = &runtime->machine;

    if (asked)
        return (struct gov__need){runtime->asked.on, GOV_LEVEL_WARN,
                                  runtime->asked.bytes,
                                  runtime->asked.given_bytes};
    return (struct gov__need){
        machine->level >= GOV_LEVEL_WARN && !machine->calm, machine->level,
        runtime->wanted_bytes, runtime->given_bytes};
}

bool gov__need_any_locked(const struct gov_runtime *runtime)
{
    return runtime->asked.on || gov__need_locked(runtime, false).pressed;
}

gov_level gov__need_level_locked(const struct gov_runtime *runtime)
{
    return runtime->asked.on && runtime->machine.level < GOV_LEVEL_WARN
               ? GOV_LEVEL_WARN
               : runtime->machine.level;
}

/* Who asks knows better than a clock when an action is worth it again; one that
 * gives nothing rests on. */
void gov__asked_told(struct gov_runtime *runtime, uint64_t bytes)
{
    const uint64_t now_ms = gov__runtime_ms(runtime);

    pthread_mutex_lock(&runtime->lock);
    if (runtime->asked.on)
        runtime->replaced = runtime->asked;
    runtime->asked = (struct gov__asked){.on = true,
                                         .serial = runtime->asked.serial + 1,
                                         .more = true,
                                         .bytes = bytes,
                                         .until_ms = now_ms + ASKED_MS};
    gov__relief_wake_locked(runtime);
    pthread_mutex_unlock(&runtime->lock);
}

void gov__asked_given_locked(struct gov_runtime *runtime, uint64_t bytes)
{
    runtime->asked.given_bytes += bytes;
}

/* What is on its way may be enough. Lock held. */
static bool comes_still_locked(const struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (runtime->slots[at].id != 0 && runtime->slots[at].account.open)
            return true;
    return false;
}

/* Why it is over, for who reads on; NULL: it is not. Lock held. */
static const char *over_locked(struct gov_runtime *runtime, uint64_t now_ms)
{
    struct gov__asked *asked = &runtime->asked;
    const bool more = asked->more;

    if (!asked->on)
        return NULL;
    asked->more = true; /* until the next turn says that there is none */
    if (asked->bytes != 0 && asked->given_bytes >= asked->bytes)
        return "";
    if (now_ms >= asked->until_ms)
        return ", and that is over now";
    if (more || comes_still_locked(runtime))
        return NULL;
    return asked->bytes != 0 ? "; there is no more to give" : "";
}

static void tell(struct gov_runtime *runtime, const struct gov__asked *asked,
                 const char *why)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE};
    char what[48] = "what there is", text[192];

    if (asked->bytes != 0)
        snprintf(what, sizeof(what), "%" PRIu64 " KiB", asked->bytes >> 10);
    snprintf(text, sizeof(text),
             "asked to give back %s: %" PRIu64 " KiB were given back%s", what,
             asked->given_bytes >> 10, why);
    event.text = text;
    gov__runtime_event(runtime, &event);
}

void gov__asked_end(struct gov_runtime *runtime)
{
    const uint64_t now_ms = gov__runtime_ms(runtime);
    struct gov__asked asked, replaced;
    const char *why;

    pthread_mutex_lock(&runtime->lock);
    replaced = runtime->replaced;
    runtime->replaced.on = false;
    why = over_locked(runtime, now_ms);
    asked = runtime->asked;
    if (why != NULL)
        runtime->asked.on = false;
    pthread_mutex_unlock(&runtime->lock);
    if (replaced.on)
        tell(runtime, &replaced, ", and then something else was asked for");
    if (why != NULL)
        tell(runtime, &asked, why);
}
