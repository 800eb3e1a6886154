/* SPDX-License-Identifier: MIT */
/* yield ACTION TIMES POLICY [MODEL]: what one relief action says that it gives,
 * beside what the library measured and what the kernel says: resident bytes of the
 * process, anonymous ones, and the charge of its group. POLICY has to keep every
 * other action from running. One line of key=value to stdout, sums over so many
 * turns.
 *
 *   cache.large  cache.small    caches of values of 1 MiB and of 1000 bytes
 *   heap.purge                  the C library's heap, full of what was freed
 *   kv.unused  cache.prompts    of a loaded MODEL, after a conversation
 *   weights.hot                 of a MODEL; its mapping, all of it
 *   weights.hot-streamed  weights.hot-anchored   half of it, the latter as
 *                               anonymous memory
 *   model.MODEL                 unloads a MODEL of several */
#include <stdatomic.h>
#include <unistd.h>

#include "governor/governor.h"
#include "tests/tools/kernel_view.h"

#define HEAP_BLOCKS 60000
#define HEAP_BYTES 2000

struct asked {
    const char *action; /* as the library calls it */
    const char *way;    /* "", "streamed", "anchored" */
    const char *policy, *file;
};

static struct asked asked;
static gov_runtime *runtime;
static gov_cache *cache;
static const struct gov_engine *engine;
static gov_model *model;
static gov_session *session;
static uint32_t entry_id;

static _Atomic uint64_t events, offered_bytes;

static void on_event(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    if (getenv("YIELD_TELL") != NULL)
        fprintf(stderr, "yield: %s\n", event->text);
    if (event->kind != GOV_EVENT_RELIEF ||
        strcmp(event->action, asked.action) != 0)
        return;
    atomic_fetch_add(&offered_bytes, event->offered_bytes);
    atomic_fetch_add(&events, 1);
}

static void must(gov_status status, const gov_error *err)
{
    if (status == GOV_OK)
        return;
    fprintf(stderr, "yield: %s\n", err->message);
    exit(1);
}

/* ---- what is there to be given ------------------------------------------------- */

static void fill_cache(void)
{
    const bool small = strcmp(asked.action, "cache.small") == 0;
    const uint64_t bytes = small ? 1000 : MIB;
    const uint64_t count = small ? 64000 : 128;
    static char value[MIB];
    gov_error err;

    if (cache == NULL) {
        struct gov_cache_options options = gov_cache_options_default();
        uint32_t id;

        options.limit_bytes = 200 * MIB;
        must(gov_cache_new(&cache, &options, &err), &err);
        must(gov_relief_add_cache(runtime, asked.action, cache, &id, &err),
             &err);
    }
    memset(value, 1, sizeof(value));
    for (uint64_t i = 0; i < count; i++)
        must(gov_cache_put(cache, i, value, bytes, &err), &err);
}

/* Above what is freed something stays, or free() would give all of it back. */
static void fill_heap(void)
{
    static char *block[HEAP_BLOCKS], *above;

    for (int i = 0; i < HEAP_BLOCKS; i++)
        if ((block[i] = malloc(HEAP_BYTES)) != NULL)
            memset(block[i], 1, HEAP_BYTES);
    free(above);
    above = malloc(HEAP_BYTES);
    for (int i = 0; i < HEAP_BLOCKS; i++)
        free(block[i]);
    sleep_ms(1100); /* what the library knows of the heap is so old at most */
}

static struct gov_plan plan_for(void)
{
    struct gov_plan plan = {.strategy = GOV_STRATEGY_MMAP,
                            .kv_type = GOV_KV_F16,
                            .context = 4096,
                            .sequences = 1,
                            .ahead = 2};
    const struct gov_unit *units;
    size_t count;

    units = gov_model_units(model, &count);
    for (size_t i = 0; i < count; i++)
        plan.weights_bytes += units[i].bytes;
    plan.hot_bytes = plan.weights_bytes;
    if (asked.way[0] != '\0') {
        plan.strategy = GOV_STRATEGY_HYBRID;
        plan.hot_bytes = plan.weights_bytes / 2;
        plan.anchor = strcmp(asked.way, "anchored") == 0;
        plan.direct = plan.anchor;
    }
    plan.cold_bytes = plan.weights_bytes - plan.hot_bytes;
    return plan;
}

static gov_status load(void *ctx, gov_error *err)
{
    struct gov_plan plan = plan_for();
    struct gov_load request = {.size = sizeof(request),
                               .model = model,
                               .plan = &plan,
                               .runtime = runtime,
                               .threads = 1};

    (void)ctx;
    return engine->load(&session, &request, err);
}

static void unload(void *ctx)
{
    (void)ctx;
    engine->unload(session);
    session = NULL;
}

static void open_model(void)
{
    gov_error err;

    if (engine != NULL)
        return;
    must(gov_engine_open(&engine, "llama", &err), &err);
    must(gov_model_open(&model, asked.file, NULL, &err), &err);
}

static void say(const char *prompt, uint32_t tokens)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = prompt,
                                   .tokens = tokens,
                                   .ignore_end = true};
    struct gov_generated out;
    gov_error err;

    must(engine->generate(session, &request, &out, &err), &err);
}

static void talk(void)
{
    static char text[2048];
    gov_error err;

    open_model();
    if (session == NULL)
        must(load(NULL, &err), &err);
    for (size_t at = 0; at + 16 < sizeof(text);)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "the robot %zu ",
                               at);
    say(text, 4);
    engine->reset(session); /* what it said is kept, and its cells are free */
}

/* All that is to stay has come, and a pass has used it. */
static void warm(void)
{
    const uint64_t began = now_us();
    struct gov_weights_account account;
    gov_error err;

    open_model();
    if (session == NULL)
        must(load(NULL, &err), &err);
    do {
        say("Once", 2);
        (void)engine->wait(session, true, 2000);
        if (!engine->weights(session, true, &account))
            exit(1);
    } while (now_us() - began < 20000000 &&
             (account.hot_bytes < plan_for().hot_bytes ||
              account.there_bytes + MIB < account.hot_bytes));
}

/* Mapped weights are the kernel's to drop, before and after. */
static uint64_t bytes_of_model(void *ctx)
{
    struct gov_weights_account account;
    struct gov_kv_usage usage;
    uint64_t bytes = 0;

    (void)ctx;
    if (session == NULL)
        return 0;
    if (engine->weights(session, false, &account))
        bytes += account.anchored_bytes + account.copied_bytes;
    engine->kv_usage(session, &usage);
    return bytes + usage.held_bytes;
}

static void use_model(void)
{
    gov_error err;

    open_model();
    if (entry_id == 0) {
        struct gov_model_entry entry = gov_model_entry_default();

        entry.name = asked.action + strlen("model.");
        entry.bytes = bytes_of_model;
        entry.load = load;
        entry.unload = unload;
        must(gov_models_add(runtime, &entry, &entry_id, &err), &err);
    }
    must(gov_models_use(runtime, entry_id, &err), &err);
    say("Once", 8);
    (void)engine->wait(session, true, 10000);
    gov_models_done(runtime, entry_id);
}

static void prepare(void)
{
    if (strcmp(asked.action, "cache.large") == 0 ||
        strcmp(asked.action, "cache.small") == 0)
        fill_cache();
    else if (strcmp(asked.action, "heap.purge") == 0)
        fill_heap();
    else if (strcmp(asked.action, "weights.hot") == 0)
        warm();
    else if (strncmp(asked.action, "model.", 6) == 0)
        use_model();
    else
        talk();
    sleep_ms(300);
}

/* ---- turns ------------------------------------------------------------------------- */

static void simulate(gov_level level)
{
    gov_error err;

    must(gov_simulate(runtime, level, 0, &err), &err);
    while (gov_level_now(runtime) != level)
        sleep_ms(1);
}

/* Until the action was measured and the process lies still. */
static void wait_for(uint64_t event)
{
    const uint64_t began = now_us();
    struct kernel_view was, now = kernel_view_now();

    while (atomic_load(&events) < event && now_us() - began < 10000000)
        sleep_ms(5);
    do {
        was = now;
        sleep_ms(200);
        now = kernel_view_now();
    } while (now.resident_bytes + 64 * 1024 < was.resident_bytes &&
             now_us() - began < 20000000);
}

static uint64_t less(uint64_t before, uint64_t after)
{
    return before > after ? before - after : 0;
}

/* What the library says: of actions that tell nothing themselves the offer is the
 * claim. */
static void print_said(void)
{
    struct gov_relief_state states[32];
    size_t count;

    for (size_t i = 0; i < 32; i++)
        states[i].size = sizeof(states[i]);
    count = gov_relief_list(runtime, states, 32);
    for (size_t i = 0; i < count && i < 32; i++) {
        const struct gov_relief_state *state = &states[i];

        if (strcmp(state->name, asked.action) == 0)
            printf("events=%llu claimed=%llu measured=%llu ",
                   (unsigned long long)events,
                   (unsigned long long)(state->claimed_bytes != 0
                                            ? state->claimed_bytes
                                            : offered_bytes),
                   (unsigned long long)state->measured_bytes);
    }
}

static void turns(uint64_t times)
{
    uint64_t resident = 0, anon = 0, group = 0;

    for (uint64_t i = 0; i < times; i++) {
        const uint64_t event = atomic_load(&events) + 1;
        struct kernel_view before, after;

        prepare();
        before = kernel_view_now();
        simulate(GOV_LEVEL_CRITICAL);
        wait_for(event);
        after = kernel_view_now();
        resident += less(before.resident_bytes, after.resident_bytes);
        anon += less(before.anon_bytes, after.anon_bytes);
        group += less(before.group_bytes, after.group_bytes);
        simulate(GOV_LEVEL_NORMAL);
        sleep_ms(300);
    }
    print_said();
    printf("resident=%llu anon=%llu group=%llu\n", (unsigned long long)resident,
           (unsigned long long)anon, (unsigned long long)group);
}

static void read_action(const char *name)
{
    static char action[64];
    char *dash;

    snprintf(action, sizeof(action), "%s", name);
    asked.action = action;
    asked.way = "";
    if (strncmp(action, "weights.", 8) == 0 &&
        (dash = strchr(action, '-')) != NULL) {
        *dash = '\0';
        asked.way = dash + 1;
    }
}

int main(int argc, char **argv)
{
    struct gov_options options = gov_options_default();
    gov_error err;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: yield ACTION TIMES POLICY [MODEL]\n");
        return 2;
    }
    read_action(argv[1]);
    asked.policy = argv[3];
    asked.file = argc == 5 ? argv[4] : "";
    options.app = "yield";
    options.policy = asked.policy;
    options.no_policy_files = true;
    must(gov_open(&runtime, &options, &err), &err);
    gov_on_event(runtime, on_event, NULL);
    turns(strtoull(argv[2], NULL, 10));
    if (engine != NULL)
        engine->unload(session);
    gov_close(runtime);
    gov_cache_free(cache);
    gov_model_close(model);
    return 0;
}
