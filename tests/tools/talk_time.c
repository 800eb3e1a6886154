/* SPDX-License-Identifier: MIT */
/* What a long conversation costs to store, to bring back, to read again and to cut:
 *
 *   talk_time MODEL TOKENS DIRECTORY [CONTEXT]
 *
 * The context has 2048 tokens more than the conversation where it is not named. One line of JSON. Memory is the process's own, by the kernel; times are of single
 * runs. tests/bench/kv.sh makes a table of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "governor/engine.h"
#include "governor/governor.h"

struct host {
    const struct gov_engine *engine;
    gov_runtime *runtime;
    gov_model *model;
    gov_spill *spill;
    gov_session *session;
    uint32_t id;
};

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void must(gov_status status, const gov_error *err)
{
    if (status == GOV_OK)
        return;
    fprintf(stderr, "talk_time: %s\n", err->message);
    exit(1);
}

static uint64_t memory(void)
{
    struct gov_footprint footprint;
    gov_error err;

    must(gov_footprint_now(&footprint, &err), &err);
    return footprint.footprint_bytes;
}

static void open_host(struct host *h, const char *path, uint32_t context,
                      const char *directory)
{
    struct gov_options options = gov_options_default();
    struct gov_spill_options place = gov_spill_options_default();
    struct gov_conversation_options talk = gov_conversation_options_default();
    struct gov_plan plan = {.strategy = GOV_STRATEGY_MMAP,
                            .kv_type = GOV_KV_F16,
                            .context = context};
    struct gov_load load = {.size = sizeof(load), .plan = &plan};
    gov_error err;

    memset(h, 0, sizeof(*h));
    options.no_publish = true;
    options.no_thread = true;
    place.directory = directory;
    must(gov_engine_open(&h->engine, "llama", &err), &err);
    must(gov_open(&h->runtime, &options, &err), &err);
    must(gov_model_open(&h->model, path, NULL, &err), &err);
    must(gov_spill_open(&h->spill, &place, &err), &err);
    load.model = h->model;
    load.runtime = h->runtime;
    load.spill = h->spill;
    must(h->engine->load(&h->session, &load, &err), &err);
    must(h->engine->converse(h->session, &talk, &h->id, &err), &err);
}

static void close_host(struct host *h)
{
    h->engine->unload(h->session);
    gov_spill_close(h->spill);
    gov_model_close(h->model);
    gov_close(h->runtime);
}

static struct gov_generated say(struct host *h, const char *text)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = text,
                                   .tokens = 1,
                                   .ignore_end = true,
                                   .conversation = h->id};
    struct gov_generated out;
    gov_error err;

    must(h->engine->generate(h->session, &request, &out, &err), &err);
    return out;
}

static uint32_t length(struct host *h)
{
    struct gov_conversation all[2];
    const size_t count = h->engine->conversations(h->session, all, 2);

    for (size_t i = 0; i < count && i < 2; i++)
        if (all[i].id == h->id)
            return all[i].tokens;
    return 0;
}

/* Until there are so many tokens; returns what they took. */
static uint64_t read_to(struct host *h, uint32_t tokens)
{
    static const char line[] =
        "The old house at the end of the road had been empty for years, and "
        "nobody in the village knew who had lived there before the war. ";
    static char text[sizeof(line) * 12];
    const uint64_t start_us = now_us();

    text[0] = '\0';
    for (int i = 0; i < 10; i++)
        memcpy(text + (size_t)i * (sizeof(line) - 1), line, sizeof(line));
    while (length(h) < tokens)
        (void)say(h, text);
    return now_us() - start_us;
}

int main(int argc, char **argv)
{
    struct gov_conversation_cost cost;
    struct gov_forget forget = {.size = sizeof(forget), .first_tokens = 64};
    uint64_t empty, full, stored, at, read_us, store_us, bring_us, forget_us;
    uint64_t cut, moved;
    uint32_t tokens, context, forgotten;
    struct host h;
    gov_error err;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: talk_time MODEL TOKENS DIRECTORY [CONTEXT]\n");
        return 2;
    }
    tokens = (uint32_t)strtoul(argv[2], NULL, 10);
    context = argc == 5 ? (uint32_t)strtoul(argv[4], NULL, 10) : tokens + 2048;
    open_host(&h, argv[1], context, argv[3]);
    (void)say(&h, "x");
    empty = memory();
    read_us = read_to(&h, tokens);
    full = memory();
    at = now_us();
    must(h.engine->store(h.session, h.id, &err), &err);
    store_us = now_us() - at;
    stored = memory();
    at = now_us();
    must(h.engine->bring(h.session, h.id, &err), &err);
    bring_us = now_us() - at;
    (void)h.engine->cost(h.session, h.id, &cost);
    tokens = length(&h);
    forget.recent_tokens = tokens / 2 - 64;
    full = memory();
    at = now_us();
    must(h.engine->forget(h.session, h.id, &forget, &forgotten, &err), &err);
    forget_us = now_us() - at;
    cut = memory();
    (void)say(&h, "x");
    moved = memory();
    printf("{\"tokens\": %" PRIu32 ", \"state_bytes\": %" PRIu64
           ", \"read_us\": %" PRIu64 ", \"store_us\": %" PRIu64
           ", \"bring_us\": %" PRIu64 ", \"stored_bytes\": %" PRIu64
           ", \"full_bytes\": %" PRIu64 ", \"forgotten\": %" PRIu32
           ", \"forget_us\": %" PRIu64 ", \"cut_bytes\": %" PRIu64
           ", \"moved_bytes\": %" PRIu64 "}\n",
           tokens, cost.bytes, read_us, store_us, bring_us, stored - empty,
           full - empty, forgotten, forget_us, cut - empty, moved - empty);
    close_host(&h);
    return 0;
}
