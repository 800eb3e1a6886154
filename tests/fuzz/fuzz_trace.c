/* SPDX-License-Identifier: MIT */
/* A pressure trace. Whatever is accepted must be within what replay.h promises,
 * must not run backwards, and must be replayed without a doubt: times add up, and
 * a trace that is cut is the same trace without its last line. */
#include <stdint.h>
#include <string.h>

#include "governor/runtime/trace_priv.h"
#include "tests/fuzz/promises.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t last_ms, first_ms, samples, events;
    uint64_t stop_at; /* 0: never */
    struct gov_replay_prices prices;
    gov_replay *replay; /* NULL: learn */
};

static void must_be_text(const char *text, size_t room)
{
    must(memchr(text, '\0', room) != NULL, "texts end");
}

static void check_event(struct seen *seen, const struct gov_replay_event *event)
{
    const struct gov_evidence *now = &event->evidence;

    must(now->now_ms >= seen->last_ms, "time runs forwards");
    must(now->now_ms <= INT64_MAX && now->memory_some_us <= INT64_MAX &&
             now->memory_full_us <= INT64_MAX &&
             now->headroom_bytes <= INT64_MAX &&
             now->budget_bytes <= INT64_MAX &&
             now->refault_bytes <= INT64_MAX &&
             now->own_footprint_bytes <= INT64_MAX &&
             now->own_major_faults <= INT64_MAX &&
             now->own_resident_file_bytes <= INT64_MAX &&
             now->own_read_bytes <= INT64_MAX &&
             now->streamed_bytes <= INT64_MAX && now->limit_hits <= INT64_MAX &&
             now->machine_available_bytes <= INT64_MAX &&
             now->machine_total_bytes <= INT64_MAX &&
             now->recent_some_permille <= 1000 &&
             now->expected_bytes <= INT64_MAX,
         "figures in range");
    must((now->have & ~(uint32_t)8191) == 0, "known evidence");
    must((now->have & GOV_HAVE_SYSTEM_REFAULT) == 0 ||
             (now->have & GOV_HAVE_REFAULT) != 0,
         "whose refaults only where there are some");
    must(now->os_level == GOV_LEVEL_NORMAL || now->os_level == GOV_LEVEL_WARN ||
             now->os_level == GOV_LEVEL_CRITICAL,
         "a level of the system");
    must(now->simulated_level == GOV_LEVEL_NORMAL ||
             now->simulated_level == GOV_LEVEL_WARN ||
             now->simulated_level == GOV_LEVEL_CRITICAL,
         "a level");
    must(event->count <= GOV_REPLAY_ACTIONS, "as many actions as there may be");
    for (uint32_t i = 0; i < event->count; i++) {
        must_be_text(event->action[i].name, GOV_ACTION_NAME);
        must(event->action[i].name[0] != '\0', "a name");
        must(event->action[i].from_level >= GOV_LEVEL_WARN, "a level to run");
        must(event->action[i].offered_bytes <= INT64_MAX, "an offer");
    }
    must_be_text(event->name, GOV_ACTION_NAME);
    must((event->name[0] != '\0') == (event->kind != GOV_REPLAY_SAMPLE),
         "a name where there is an action");
    must(!event->unmeasured || event->yield_bytes == 0, "no yield unmeasured");
}

static bool on_event(void *ctx, const struct gov_replay_event *event)
{
    struct seen *seen = ctx;

    check_event(seen, event);
    if (seen->events++ == 0)
        seen->first_ms = event->evidence.now_ms;
    seen->last_ms = event->evidence.now_ms;
    seen->samples += event->kind == GOV_REPLAY_SAMPLE;
    if (seen->replay == NULL)
        gov_replay_learn(&seen->prices, event);
    else
        gov_replay_step(seen->replay, event);
    return seen->events != seen->stop_at;
}

static void check_head(const struct gov_trace_head *head)
{
    must_be_text(head->app, sizeof(head->app));
    must_be_text(head->policy, sizeof(head->policy));
    must_be_text(head->note, sizeof(head->note));
}

static void replay(struct seen *seen, const char *text, size_t size)
{
    static gov_policy *policy;
    const uint64_t events = seen->events;
    struct gov_replay_result r;

    if (policy == NULL)
        must(gov_policy_build(&policy, NULL, 0, NULL, NULL, NULL, NULL) ==
                 GOV_OK,
             "the shipped policy");
    must(gov_replay_open(&seen->replay, policy, &seen->prices, NULL, NULL) ==
             GOV_OK,
         "a replay opens");
    seen->events = seen->last_ms = 0;
    must(gov__trace_parse(text, size, NULL, on_event, seen, NULL) == GOV_OK,
         "the second reading is the first");
    must(seen->events == events, "as many events again");
    gov_replay_result(seen->replay, &r);
    must(r.normal_ms + r.warn_ms + r.critical_ms == r.span_ms, "times add up");
    must(r.span_ms <= seen->last_ms - seen->first_ms, "no longer than it was");
    must(r.short_ms <= r.span_ms, "short no longer than the span");
    gov_replay_free(seen->replay);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    static struct seen seen;
    struct gov_trace_head head;
    gov_error err;

    memset(&seen, 0, sizeof(seen));
    if (gov__trace_parse(text, size, &head, on_event, &seen, &err) != GOV_OK) {
        must(err.status == GOV_E_FORMAT, "no other failure");
        must(strncmp(err.message, "trace:", 6) == 0, "a place");
        must_be_printable(err.message);
        return 0;
    }
    check_head(&head);
    must(!head.cut || text[size - 1] != '\n', "whole lines are not cut");
    replay(&seen, text, size);
    if (seen.events > 1) {
        const uint64_t half = seen.events / 2;

        memset(&seen, 0, sizeof(seen));
        seen.stop_at = half;
        must(gov__trace_parse(text, size, NULL, on_event, &seen, NULL) ==
                     GOV_OK &&
                 seen.events == half,
             "it stops where it is told to");
    }
    return 0;
}
