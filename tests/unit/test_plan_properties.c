/* SPDX-License-Identifier: MIT */
/* What no policy file and no facts can ever bring about, tried with random ones:
 * a plan that exceeds a budget, one that depends on anything but its inputs, a
 * refusal that turns into a load because less is known. Sizes are worked out anew
 * here, in another way than policies/planning/plan_sizes.c does. */
#include "tests/unit/plan_fixture.h"

/* ---- random rules and facts ---- */

static const gov_fact free_facts[] = {
    GOV_FACT_DEVICE_CORES, GOV_FACT_REQUEST_QUERIES,
    GOV_FACT_DEVICE_SWAP,  GOV_FACT_PRESSURE_HEADROOM,
    GOV_FACT_MODEL_MOE,    GOV_FACT_PRESSURE_LEVEL,
    GOV_FACT_MODEL_REPACK};

/* Conditions over facts that no size follows from, and over derived ones. */
static const char *const plain_conditions[] = {
    "device.cores > 4",
    "request.queries_per_minute in [1, 2, 3, 4]",
    "device.swap <= 2 GiB",
    "pressure.headroom < 30 % of budget.ram",
    "model.moe",
    "pressure.level == \"normal\"",
    "pressure.level not in [\"normal\", \"warn\"]",
    "model.repack_bytes >= 50 % of model.weights",
    "device.swap + pressure.headroom > 4 GiB",
    "true",
};
static const char *const sized_conditions[] = {
    "model.heap_footprint <= budget.ram",
    "model.kv > 1 GiB",
    "model.context > 8192",
    "model.kv_quantizable",
    "model.mapped_footprint * 2 < budget.ram",
    "1 GiB < model.weights <= 8 GiB",
    "budget.gpu > 2 GiB",
    "model.kv_per_token > 64 KiB",
};
static const char *const knowing_conditions[] = {
    "known(device.cores)", "not known(model.moe)",
    "known(pressure.level) and pressure.level == \"normal\"",
    "known(request.context)"};

/* What a rule is made of. */
enum asks { ASKS_PLAIN = 0, ASKS_SIZES = 1, ASKS_KNOWN = 2 };

static const char *random_condition(int asks)
{
    if ((asks & ASKS_KNOWN) != 0 && dice(4) == 0)
        return knowing_conditions[dice(COUNT_OF(knowing_conditions))];
    if ((asks & ASKS_SIZES) != 0 && dice(2) == 0)
        return sized_conditions[dice(COUNT_OF(sized_conditions))];
    return plain_conditions[dice(COUNT_OF(plain_conditions))];
}

/* What such rules may be. */
struct recipe {
    bool sizing;     /* they set what sizes follow from, whatever the facts */
    int asks;        /* in conditions */
    int refuse_asks; /* in those of rules that refuse */
    bool tolerant;   /* some that refuse say `unknown: no-match` */
};

static size_t random_rule(char *text, size_t room, int number,
                          const struct recipe *recipe)
{
    static const char *const strategies[] = {"mmap", "hybrid", "heap",
                                             "refuse"};
    static const char *const settings[] = {
        "anchor: true", "anchor: false", "direct: true", "direct: false",
        "warn: true", "hot: 10 %", "ahead: 16", "ahead: 1", "hold: first",
        "warm: file", "warm_rate: 50 MiB", "advise_load: sequential",
        "warning: look out", "repack: true", "repack: false",
        /* from here on sizes follow */
        "kv_type: q8_0", "kv_type: f16", "context: 64", "context: 100000",
        "kv_type: f32", "kv_type: iq4_nl", "sequences: 4", "sequences: 256",
        "gpu_layers: all", "gpu_layers: 7", "gpu_layers: 0"};
    const char *strategy = strategies[dice(4)];
    size_t which =
        dice(4) == 0 ? dice(4) : dice(recipe->sizing ? COUNT_OF(settings) : 15);
    bool chooses = dice(3) > 0, refuses = chooses && strategy[0] == 'r';
    /* refuse takes no setting, mapped strategies not those of others */
    bool with = !chooses || (dice(2) == 0 && strategy[0] == 'h' &&
                             (which < 9 || which > 14));
    int asks = refuses ? recipe->refuse_asks : recipe->asks;

    return (size_t)snprintf(
        text, room,
        "  - name: r%d\n    when: '%s(%s %s %s)'\n    then: {%s%s%s%s}\n%s"
        "    because: b\n",
        number, dice(4) == 0 ? "not " : "", random_condition(asks),
        dice(2) == 0 ? "and" : "or", random_condition(asks),
        chooses ? "strategy: " : "", chooses ? strategy : "",
        chooses && with ? ", " : "", with ? settings[which] : "",
        refuses && recipe->tolerant && dice(2) == 0 ? "    unknown: no-match\n"
                                                    : "");
}

static void random_rules(char *text, size_t room, const struct recipe *recipe)
{
    size_t used = (size_t)snprintf(text, room, HEAD);
    int count = 1 + (int)dice(8);

    for (int i = 0; i < count; i++)
        used += random_rule(text + used, room - used, i, recipe);
    ck_assert_uint_lt(used, room);
}

static const struct recipe anything = {true, ASKS_SIZES | ASKS_KNOWN,
                                       ASKS_SIZES | ASKS_KNOWN, true};

static uint64_t random_bytes(void)
{
    uint64_t n = UINT64_C(1) << dice(38);

    if (dice(50) == 0)
        return UINT64_MAX >> dice(4);
    return n + dice(n);
}

/* What a model keeps: of each kind sometimes nothing, and sometimes unknown. */
static void random_kept(struct gov_facts *facts)
{
    static const char *const types[] = {"f16",  "q8_0", "f32",  "bf16",  "q4_0",
                                        "q4_1", "q5_0", "q5_1", "iq4_nl"};

    gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN,
                  dice(50) == 0 ? random_bytes() : dice(512 * KIB));
    if (dice(8) == 0)
        gov_facts_set(facts, GOV_FACT_MODEL_KV_PER_TOKEN, 0);
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_MODEL_WINDOW_KV,
                      dice(50) == 0 ? random_bytes() : dice(512 * KIB));
    if (dice(4) > 0)
        gov_facts_set(facts, GOV_FACT_MODEL_WINDOW, dice(9000));
    if (dice(3) == 0)
        gov_facts_set(facts, GOV_FACT_MODEL_STATE,
                      dice(50) == 0 ? random_bytes() : dice(GIB));
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE_PER_TOKEN,
                      dice(50) == 0 ? random_bytes() : dice(8 * KIB));
    if (dice(4) > 0)
        gov_facts_set(facts, GOV_FACT_MODEL_KV_QUANTIZABLE, dice(3) > 0);
    if (dice(4) == 0)
        gov_facts_set(facts, GOV_FACT_MODEL_KNOWN, dice(2));
    if (dice(4) == 0)
        gov_facts_set_text(facts, GOV_FACT_REQUEST_KV_TYPE, types[dice(9)]);
}

static void random_gpu(struct gov_facts *facts)
{
    if (dice(4) > 0)
        gov_facts_set(facts, GOV_FACT_ENGINE_GPU, dice(8) > 0);
    if (dice(8) > 0)
        gov_facts_set(facts, GOV_FACT_GPU_COUNT, dice(4));
    if (dice(8) > 0)
        gov_facts_set(facts, GOV_FACT_GPU_SHARES_RAM, dice(2));
    if (dice(8) > 0)
        gov_facts_set(facts, GOV_FACT_GPU_WORKING_SET,
                      dice(4) == 0 ? random_bytes() : dice(64 * GIB));
    if (dice(8) > 0)
        gov_facts_set(facts, GOV_FACT_BUDGET_GPU,
                      dice(4) == 0 ? random_bytes() : dice(64 * GIB));
    if (dice(4) > 0)
        gov_facts_set(facts, GOV_FACT_MODEL_LAYERS, dice(100));
    if (dice(4) > 0)
        gov_facts_set(facts, GOV_FACT_MODEL_SMALLEST_LAYER,
                      dice(8) == 0 ? random_bytes() : dice(100 * MIB));
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_REQUEST_GPU_LAYERS,
                      dice(8) == 0 ? random_bytes() : dice(50));
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_MODEL_COMPUTE_PER_SEQUENCE,
                      dice(50) == 0 ? random_bytes() : dice(MIB));
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_MODEL_ENGINE, dice(64 * MIB));
}

static void random_facts(struct gov_facts *facts)
{
    static const char *const levels[] = {"normal", "warn", "critical"};
    static const char *const wishes[] = {"mmap", "hybrid", "heap"};
    static const gov_fact sizes[] = {
        GOV_FACT_BUDGET_RAM,    GOV_FACT_MODEL_WEIGHTS,
        GOV_FACT_MODEL_COMPUTE, GOV_FACT_MODEL_LARGEST_UNIT,
        GOV_FACT_DEVICE_SWAP,   GOV_FACT_PRESSURE_HEADROOM,
        GOV_FACT_MODEL_REPACK};

    memset(facts, 0, sizeof(*facts));
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_DEVICE_READ_RATE,
                      dice(8) == 0 ? dice(8) : random_bytes());
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_DEVICE_DIRECT_RATE,
                      dice(8) == 0 ? dice(8) : random_bytes());
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        gov_facts_set(facts, sizes[i], random_bytes());
    if (dice(4) > 0)
        gov_facts_set(facts, GOV_FACT_BUDGET_RAM, (GIB << dice(8)) + dice(GIB));
    gov_facts_set(facts, GOV_FACT_DEVICE_CORES, dice(9));
    gov_facts_set(facts, GOV_FACT_REQUEST_QUERIES, dice(9));
    gov_facts_set(facts, GOV_FACT_MODEL_MOE, dice(2));
    gov_facts_set_text(facts, GOV_FACT_PRESSURE_LEVEL, levels[dice(3)]);
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_DEVICE_RAM, random_bytes());
    if (dice(3) == 0)
        gov_facts_set(facts, GOV_FACT_DEVICE_LIMIT, random_bytes());
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_REQUEST_CONTEXT, dice(200000));
    if (dice(2) == 0)
        gov_facts_set(facts, GOV_FACT_MODEL_CONTEXT_MAX, dice(100000));
    if (dice(8) == 0)
        gov_facts_set(facts, GOV_FACT_MODEL_ENCRYPTED, dice(2));
    random_kept(facts);
    random_gpu(facts);
    if (dice(3) == 0)
        gov_facts_set(facts, GOV_FACT_REQUEST_SEQUENCES, dice(300));
    if (dice(4) == 0)
        gov_facts_set_text(facts, GOV_FACT_REQUEST_STRATEGY, wishes[dice(3)]);
}

static uint64_t least(const struct gov_facts *facts, gov_fact fact, uint64_t n)
{
    uint64_t other = gov_facts_get(facts, fact, UINT64_MAX);

    return other < n ? other : n;
}

__extension__ typedef unsigned __int128 wide;

/* Cells for so many tokens, counted block by block. */
static uint64_t slow_cells(uint64_t tokens)
{
    uint64_t cells = 0;

    while (cells < tokens)
        cells += 256;
    return cells;
}

/* Bytes of what takes 64 as f16: 32 elements. */
static uint64_t per_64(gov_kv_type type)
{
    switch (type) {
    case GOV_KV_F32:
        return 128;
    case GOV_KV_F16:
    case GOV_KV_BF16:
        return 64;
    case GOV_KV_Q8_0: /* a scale of two bytes, and 32 of 8 bits */
        return 2 + 32;
    case GOV_KV_Q4_0: /* of 4 bits */
    case GOV_KV_IQ4_NL:
        return 2 + 16;
    case GOV_KV_Q4_1: /* and a minimum of two bytes */
        return 2 + 2 + 16;
    case GOV_KV_Q5_0: /* a fifth bit each */
        return 2 + 4 + 16;
    case GOV_KV_Q5_1:
        return 2 + 2 + 4 + 16;
    case GOV_KV_UNSET:
        break;
    }
    ck_abort_msg("a plan without a KV type");
    return 0;
}

static wide slow_rows(uint64_t f16, gov_kv_type type, uint64_t cells)
{
    wide all = (wide)f16 * per_64(type);

    return (all / 64 + (all % 64 != 0)) * cells;
}

static wide slow_kv(const struct gov_plan *plan, const struct gov_facts *facts)
{
    uint64_t cells = slow_cells(plan->context), kept = cells;
    uint64_t window = gov_facts_get(facts, GOV_FACT_MODEL_WINDOW, 0);
    uint64_t parts = 1, all;
    wide kv;

    /* A window each, and one batch of 512 tokens. */
    all = window * plan->sequences;
    if (window > 512)
        all = (window - 512) * plan->sequences + 512;
    if (window != 0 && slow_cells(all) < cells)
        kept = slow_cells(all);
    if (gov_facts_get(facts, GOV_FACT_MODEL_KNOWN, 1) == 0)
        parts = plan->sequences;
    kv = slow_rows(gov_facts_get(facts, GOV_FACT_MODEL_KV_PER_TOKEN, 0),
                   plan->kv_type, cells) +
         slow_rows(gov_facts_get(facts, GOV_FACT_MODEL_WINDOW_KV, 0),
                   plan->kv_type, kept);
    return kv * parts + (wide)gov_facts_get(facts, GOV_FACT_MODEL_STATE, 0) *
                            plan->sequences;
}

static wide slow_compute(const struct gov_plan *plan,
                         const struct gov_facts *facts)
{
    return (wide)gov_facts_get(facts, GOV_FACT_MODEL_COMPUTE_PER_TOKEN, 0) *
               slow_cells(plan->context) +
           (wide)gov_facts_get(facts, GOV_FACT_MODEL_COMPUTE_PER_SEQUENCE, 0) *
               (plan->sequences - 1) +
           gov_facts_get(facts, GOV_FACT_MODEL_COMPUTE, 0);
}

/* No type that the engine would refuse. */
static void check_kv_type(const struct gov_plan *plan,
                          const struct gov_facts *facts)
{
    const struct gov_value *heads =
        &facts->value[GOV_FACT_MODEL_KV_QUANTIZABLE];
    const struct gov_value *wish = &facts->value[GOV_FACT_REQUEST_KV_TYPE];
    bool cache = gov_facts_get(facts, GOV_FACT_MODEL_KV_PER_TOKEN, 0) != 0 ||
                 gov_facts_get(facts, GOV_FACT_MODEL_WINDOW_KV, 0) != 0;
    bool asked =
        wish->known && strcmp(wish->text, gov_kv_type_name(plan->kv_type)) == 0;

    ck_assert(cache || plan->kv_type == GOV_KV_F16);
    ck_assert(per_64(plan->kv_type) % 64 == 0 ||
              (heads->known ? heads->number != 0 : asked));
    ck_assert(gov_facts_get(facts, GOV_FACT_MODEL_KNOWN, 1) != 0 ||
              strstr(plan->warning, "the architecture is not known") != NULL);
}

/* What a GPU holds fits there; returns what RAM holds less, or more, for it. */
static wide check_gpu(const struct gov_plan *plan,
                      const struct gov_facts *facts, bool *more)
{
    uint64_t weights = gov_facts_get(facts, GOV_FACT_MODEL_WEIGHTS, 0);
    uint64_t unit = gov_facts_get(facts, GOV_FACT_MODEL_LARGEST_UNIT, weights);
    uint64_t layers = gov_facts_get(facts, GOV_FACT_MODEL_LAYERS, 0);
    const struct gov_value *shares = &facts->value[GOV_FACT_GPU_SHARES_RAM];
    wide there = (wide)unit * plan->gpu_layers, less;

    *more = false;
    if (plan->gpu_layers == 0) {
        ck_assert_uint_eq(plan->gpu_bytes, 0);
        return 0;
    }
    ck_assert_int_ne(plan->strategy, GOV_STRATEGY_HYBRID);
    ck_assert_uint_eq(gov_facts_get(facts, GOV_FACT_ENGINE_GPU, 0), 1);
    ck_assert_uint_ge(gov_facts_get(facts, GOV_FACT_GPU_COUNT, 0), 1);
    ck_assert(shares->known);
    ck_assert_uint_eq(plan->gpu_budget_bytes,
                      gov_facts_get(facts,
                                    shares->number ? GOV_FACT_GPU_WORKING_SET
                                                   : GOV_FACT_BUDGET_GPU,
                                    0));
    if (there > weights)
        there = weights;
    there += 2 * (wide)plan->compute_bytes;
    if (plan->gpu_layers > 1)
        there += plan->kv_bytes;
    ck_assert(there <= plan->gpu_bytes);
    ck_assert_uint_le(plan->gpu_bytes, plan->gpu_budget_bytes);
    ck_assert(layers == 0 || plan->gpu_layers <= layers + 1);
    *more = shares->number != 0;
    if (*more)
        return 2 * (wide)plan->compute_bytes;
    if (layers == 0)
        return 0;
    less = (wide)gov_facts_get(facts, GOV_FACT_MODEL_SMALLEST_LAYER, 0) *
           (plan->gpu_layers - 1);
    return less < weights ? less : weights;
}

/* How long reading takes, rounded up: what stays, and then the rest, each at its
 * rate. */
static uint64_t slow_us(const struct gov_plan *plan,
                        const struct gov_facts *facts, uint64_t bytes)
{
    wide cached = gov_facts_get(facts, GOV_FACT_DEVICE_READ_RATE, 0), us;
    wide direct =
        gov_facts_get(facts, GOV_FACT_DEVICE_DIRECT_RATE, (uint64_t)cached);
    wide first = plan->anchor && plan->direct ? direct : cached;
    wide then = plan->direct && direct > 0 ? direct
                : plan->direct             ? first
                                           : cached;
    uint64_t hot = bytes < plan->hot_bytes ? bytes : plan->hot_bytes;

    if (first == 0)
        return 0;
    if (first == then)
        hot = bytes;
    us = ((wide)hot * 1000000 + first - 1) / first;
    if (bytes > hot)
        us += ((wide)(bytes - hot) * 1000000 + then - 1) / then;
    return us < UINT64_MAX ? (uint64_t)us : UINT64_MAX;
}

static void check_reads(const struct gov_plan *plan,
                        const struct gov_facts *facts)
{
    uint32_t share = (uint32_t)dice(1100);
    struct gov_evicted evicted = gov_plan_evicted(plan, share);
    wide bytes = (wide)plan->hot_bytes * (share < 1000 ? share : 1000);

    ck_assert_uint_eq(plan->warm_us, slow_us(plan, facts, plan->hot_bytes));
    ck_assert_uint_eq(gov_plan_read_us(plan, plan->weights_bytes),
                      slow_us(plan, facts, plan->weights_bytes));
    if (plan->anchor || plan->strategy == GOV_STRATEGY_HEAP)
        bytes = 0;
    ck_assert(evicted.bytes == (bytes + 999) / 1000);
    ck_assert_uint_eq(evicted.us, slow_us(plan, facts, evicted.bytes));
}

/* The footprint of what is streamed: anchored, and on its way past the page cache,
 * where reads in flight may take 12 MiB beside the window, and a byte was rounded
 * up. Never more than there is room for, nor than there is to read. */
static void check_streamed(const struct gov_plan *plan, uint64_t room,
                           wide window)
{
    uint64_t kept = plan->anchor ? plan->hot_bytes : 0;
    wide buffers = (wide)plan->budget_bytes - room;
    wide passing = (wide)plan->footprint_bytes - buffers - kept;

    ck_assert((wide)plan->footprint_bytes >= buffers + kept);
    if (!plan->direct) {
        ck_assert(passing == 0);
        return;
    }
    ck_assert(passing <= room - plan->hot_bytes);
    /* 16 % of the budget stay free: no rules of these speak of levels. */
    ck_assert((wide)plan->footprint_bytes * 1000 <=
              (wide)plan->budget_bytes * 840 + 1000);
    ck_assert(passing <= plan->cold_bytes);
    if (plan->hold != GOV_HOLD_SPREAD)
        ck_assert(passing <= window + (12 << 20) + 1);
    else
        ck_assert(passing * plan->weights_bytes <=
                  window * plan->cold_bytes +
                      (wide)plan->weights_bytes * ((12 << 20) + 1));
    /* and no less than passes, where there is room for it */
    if (passing < plan->cold_bytes && passing < room - plan->hot_bytes &&
        !plan->anchor)
        ck_assert(passing * plan->weights_bytes >= window * plan->cold_bytes);
}

/* The invariant, worked out anew from the facts. `least_units`: of a window, two
 * where a rule may have asked to pass the page cache by, even if that is refused. */
static void check_plan(const struct gov_plan *plan,
                       const struct gov_facts *facts, uint32_t least_units)
{
    uint64_t weights = gov_facts_get(facts, GOV_FACT_MODEL_WEIGHTS, 0);
    uint64_t unit = gov_facts_get(facts, GOV_FACT_MODEL_LARGEST_UNIT, weights);
    uint64_t most = gov_facts_get(facts, GOV_FACT_MODEL_CONTEXT_MAX, 0);
    uint64_t budget = least(facts, GOV_FACT_BUDGET_RAM, UINT64_MAX);
    uint64_t buffers = plan->kv_bytes + plan->compute_bytes +
                       gov_facts_get(facts, GOV_FACT_MODEL_ENGINE, 0);
    wide ram, gpu;
    bool more;

    budget = least(facts, GOV_FACT_DEVICE_LIMIT, budget);
    budget = least(facts, GOV_FACT_DEVICE_RAM, budget);
    ck_assert_uint_eq(plan->budget_bytes, budget);
    check_kv_type(plan, facts);
    ck_assert_uint_ge(plan->context, 1);
    ck_assert_uint_ge(plan->sequences, 1);
    ck_assert_uint_le(plan->sequences, 256);
    gpu = check_gpu(plan, facts, &more);
    ck_assert(most == 0 || plan->context <= most);
    ck_assert(slow_kv(plan, facts) == plan->kv_bytes);
    ck_assert(slow_compute(plan, facts) == plan->compute_bytes);
    ck_assert_uint_ge(buffers, plan->compute_bytes); /* did not wrap */
    ck_assert_uint_le(buffers, budget);
    ck_assert_uint_le(plan->hot_bytes, weights);
    ck_assert_uint_eq(plan->hot_bytes + plan->cold_bytes, weights);
    ck_assert(!plan->repack || plan->strategy == GOV_STRATEGY_HEAP);
    ck_assert(gov_facts_get(facts, GOV_FACT_MODEL_ENCRYPTED, 0) == 0 ||
              plan->strategy == GOV_STRATEGY_HEAP);
    ck_assert_uint_le(plan->footprint_bytes, budget);
    check_reads(plan, facts);
    if (plan->strategy == GOV_STRATEGY_HEAP)
        ck_assert_int_eq(plan->anchor, !plan->repack);
    else
        ck_assert(!plan->anchor || plan->gpu_layers == 0);
    if (plan->strategy == GOV_STRATEGY_HYBRID) {
        uint32_t units = plan->ahead + 1;

        ck_assert_uint_ge(plan->ahead, 1);
        ck_assert_uint_le(plan->hot_bytes, budget - buffers);
        if (units < least_units)
            units = least_units;
        /* The window holds the cold share of each of its units. */
        ck_assert((wide)unit * units * plan->cold_bytes <=
                  ((wide)(budget - buffers) - plan->hot_bytes) * weights);
        check_streamed(plan, budget - buffers, (wide)unit * units);
        return;
    }
    ck_assert_int_eq(plan->direct, plan->anchor);
    ck_assert_uint_eq(plan->ahead, 0);
    ck_assert_uint_eq(plan->cold_bytes, 0);
    ram = (wide)weights + buffers;
    ram = more ? ram + gpu : ram - gpu;
    ck_assert(ram <= budget);
    if (plan->strategy == GOV_STRATEGY_HEAP)
        ck_assert(plan->footprint_bytes >= ram &&
                  plan->footprint_bytes <= budget);
    else if (plan->anchor)
        ck_assert(plan->footprint_bytes == ram);
    else if (!more)
        ck_assert_uint_eq(plan->footprint_bytes, buffers);
}

/* ---- a decision depends on its inputs alone ---- */

/* The trace of one decision, and what is in memory before it. */
struct run {
    struct gov_plan plan;
    gov_error err;
    size_t used, rules;
    char trace[16384];
};

static void keep_trace(void *ctx, const char *rule, const char *verdict,
                       const char *detail)
{
    struct run *run = ctx;

    run->rules++;
    run->used +=
        (size_t)snprintf(run->trace + run->used, sizeof(run->trace) - run->used,
                         "%s|%s|%s\n", rule, verdict, detail);
    ck_assert_uint_lt(run->used, sizeof(run->trace));
}

/* Leaves a pattern where the next call has its variables. */
__attribute__((noinline)) static void soil_stack(int pattern)
{
    volatile char soil[65536];

    for (size_t i = 0; i < sizeof(soil); i++)
        soil[i] = (char)pattern;
}

static gov_status decide(struct run *run, int pattern, const gov_policy *rules,
                         const struct gov_facts *facts)
{
    memset(run, pattern, sizeof(*run));
    run->used = run->rules = 0;
    run->trace[0] = run->err.message[0] = '\0';
    soil_stack(pattern);
    return gov_plan_decide(&run->plan, rules, facts, keep_trace, run,
                           &run->err);
}

START_TEST(no_rules_beat_the_budget)
{
    static struct run run, again;
    char text[4096];
    size_t loaded = 0, on_gpu = 0, anchored[GOV_STRATEGY_REFUSE] = {0},
           direct = 0;

    seed = UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)(_i + 1);
    for (int r = 0; r < 400; r++) {
        gov_policy *rules;
        uint32_t least_units;

        random_rules(text, sizeof(text), &anything);
        least_units = strstr(text, "direct: true") != NULL ? 2 : 3;
        rules = read_rules(text);
        for (int f = 0; f < 20; f++) {
            struct gov_facts facts, before;
            struct gov_plan quiet;
            gov_status status;

            random_facts(&facts);
            memcpy(&before, &facts, sizeof(facts));
            status = decide(&run, 0x00, rules, &facts);
            ck_assert_int_eq(decide(&again, 0xA5, rules, &facts), status);
            soil_stack(0x5A);
            ck_assert_int_eq(
                gov_plan_decide(&quiet, rules, &facts, NULL, NULL, NULL),
                status);
            ck_assert_mem_eq(&run.plan, &again.plan, sizeof(run.plan));
            ck_assert_mem_eq(&run.plan, &quiet, sizeof(run.plan));
            ck_assert_str_eq(run.trace, again.trace);
            ck_assert_str_eq(run.err.message, again.err.message);
            ck_assert_mem_eq(&facts, &before, sizeof(facts));
            ck_assert_uint_eq(run.rules, gov_policy_rules(rules));
            ck_assert_int_gt((int)strlen(run.plan.reason), 0);
            ck_assert_int_eq(run.plan.warning[0] != '\0', run.plan.warn);
            if (status == GOV_OK) {
                check_plan(&run.plan, &facts, least_units);
                loaded++;
                on_gpu += run.plan.gpu_layers > 1;
                anchored[run.plan.strategy] += run.plan.anchor;
                direct +=
                    run.plan.strategy == GOV_STRATEGY_HYBRID && run.plan.direct;
            } else {
                ck_assert_int_eq(status, GOV_E_REFUSED);
                ck_assert_int_eq(run.plan.strategy, GOV_STRATEGY_REFUSE);
                ck_assert_str_eq(run.err.message, run.plan.reason);
            }
        }
        gov_policy_free(rules);
    }
    ck_assert_uint_gt(loaded, 800); /* the dice were not all against it */
    ck_assert_uint_gt(on_gpu, 40);
    ck_assert_uint_gt(direct, 10);
    for (int s = GOV_STRATEGY_MMAP; s <= GOV_STRATEGY_HEAP; s++)
        ck_assert_uint_gt(anchored[s], 10);
}
END_TEST

/* ---- sizes ---- */

/* More context never needs less, and with enough memory gets what it asks. */
START_TEST(more_context_needs_more)
{
    gov_policy *rules = read_rules(ALWAYS("mmap"));
    uint64_t grew = 0;

    seed = UINT64_C(0xA0761D6478BD642F) * (uint64_t)(_i + 1);
    for (int f = 0; f < 500; f++) {
        struct gov_facts facts = {0};
        uint64_t context = 1, last = 0;

        random_kept(&facts);
        give(&facts, "budget.ram=9223372036854775807 model.weights=1 "
                     "model.largest_unit=1");
        gov_facts_set(&facts, GOV_FACT_MODEL_COMPUTE, dice(GIB));
        for (int i = 0; i < 40; i++) {
            struct gov_plan plan;
            uint64_t all;

            gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, context);
            if (gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL) != 0)
                break;
            ck_assert_uint_eq(plan.context, context);
            all = plan.kv_bytes + plan.compute_bytes;
            ck_assert_uint_ge(all, last);
            ck_assert_uint_eq(all, plan.footprint_bytes);
            grew += all > last;
            last = all;
            context += 1 + dice(context);
            if (context > INT32_MAX)
                break;
        }
    }
    ck_assert_uint_gt(grew, 2000);
    gov_policy_free(rules);
}
END_TEST

/* The context and type that a refusal advises; false where it advises none. */
static bool advice(const char *sentence, struct gov_facts *facts,
                   uint64_t *context)
{
    static char type[8];
    const char *at = strstr(sentence, "; a context of ");
    const char *hybrid = strstr(sentence, "; hybrid with a context of ");
    const char *end = strstr(sentence, " would fit");
    const char *kv = strstr(sentence, " and KV as ");

    if (hybrid != NULL) {
        at = hybrid + strlen("; hybrid with a context of ");
        gov_facts_set_text(facts, GOV_FACT_REQUEST_STRATEGY, "hybrid");
    } else if (at != NULL) {
        at += strlen("; a context of ");
    }
    if (at == NULL || end == NULL)
        return false;
    *context = strtoull(at, NULL, 10);
    gov_facts_set(facts, GOV_FACT_REQUEST_CONTEXT, *context);
    if (kv != NULL) {
        kv += strlen(" and KV as ");
        snprintf(type, sizeof(type), "%.*s", (int)(end - kv), kv);
        gov_facts_set_text(facts, GOV_FACT_REQUEST_KV_TYPE, type);
    }
    return true;
}

/* A context that is advised is planned when it is asked for, and the next larger
 * of those that are advised is not. */
START_TEST(advice_is_true)
{
    gov_policy *rules = read_rules(gov_policy_shipped("balanced", NULL));
    size_t advised = 0, larger = 0, typed_advice = 0;

    seed = UINT64_C(0xE7037ED1A0B428DB) * (uint64_t)(_i + 1);
    for (int f = 0; f < 20000; f++) {
        struct gov_facts facts;
        struct gov_plan plan;
        gov_error err = {GOV_OK, 0, ""};
        uint64_t context = 0, next, planned;

        random_facts(&facts);
        if (gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err) == 0)
            continue;
        planned = plan.context;
        if (!advice(err.message, &facts, &context))
            continue;
        advised++;
        typed_advice += strstr(err.message, " and KV as ") != NULL;
        ck_assert_uint_lt(context, planned);
        ck_assert_msg(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL) ==
                          GOV_OK,
                      "%s, but: %s", err.message, plan.reason);
        ck_assert_uint_eq(plan.context, context);
        next =
            (context & (context - 1)) == 0 ? context / 2 * 3 : context / 3 * 4;
        if (next >= planned)
            continue;
        larger++;
        gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, next);
        ck_assert_msg(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL) ==
                          GOV_E_REFUSED,
                      "%s, and so would %d", err.message, (int)next);
    }
    ck_assert_uint_gt(advised, 100);
    ck_assert_uint_gt(larger, 50);
    ck_assert_uint_gt(typed_advice, 10);
    gov_policy_free(rules);
}
END_TEST

/* ---- what is not known (plan.h) ---- */

/* The number of a rule made by random_rules(), and what the text says of it. */
static int rule_number(const char *name)
{
    return name[0] == 'r' ? atoi(name + 1) : -1;
}

static bool rule_says(const char *text, int number, const char *what)
{
    char name[32];
    const char *at, *end;

    snprintf(name, sizeof(name), "name: r%d\n", number);
    at = number < 0 ? NULL : strstr(text, name);
    if (at == NULL)
        return false;
    end = strstr(at, "because:");
    at = strstr(at, what);
    return at != NULL && at < end;
}

/* The first: whatever becomes unknown, a rule that refuses is passed by earlier
 * ones alone. */
START_TEST(only_earlier_rules_pass_a_refusal)
{
    static const struct recipe recipe = {true, ASKS_SIZES | ASKS_KNOWN,
                                         ASKS_PLAIN, false};
    char text[4096];
    size_t refused = 0, passed = 0;

    seed = UINT64_C(0xD1B54A32D192ED03) * (uint64_t)(_i + 1);
    for (int r = 0; r < 200; r++) {
        gov_policy *rules;

        random_rules(text, sizeof(text), &recipe);
        rules = read_rules(text);
        for (int f = 0; f < 20; f++) {
            struct gov_facts facts;
            struct gov_plan plan;
            gov_status status;
            int refuser;

            random_facts(&facts);
            if (gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL) ==
                    GOV_OK ||
                !rule_says(text, rule_number(plan.rule), "strategy: refuse"))
                continue;
            refuser = rule_number(plan.rule);
            refused++;
            for (size_t i = 0; i < GOV_FACT_COUNT; i++)
                if (dice(8) == 0)
                    facts.value[i].known = false;
            status = gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL);
            if (status == GOV_E_INVALID)
                continue;
            /* An earlier one may say that its KV type cannot be. */
            if (status == GOV_E_REFUSED && plan.rule[0] == '(')
                continue;
            ck_assert_msg(rule_number(plan.rule) >= 0 &&
                              rule_number(plan.rule) <= refuser,
                          "r%d refused, then %s\n%s", refuser, plan.rule, text);
            passed += status == GOV_OK;
            ck_assert(status == GOV_E_REFUSED ||
                      rule_number(plan.rule) < refuser);
        }
        gov_policy_free(rules);
    }
    ck_assert_uint_gt(refused, 100);
    ck_assert_uint_gt(passed, 0); /* so there is something to except */
}
END_TEST

/* The second: facts that no size follows from, of which nobody asks whether they
 * are known, turn no refusal into a load. Sizes are set by rules that do not ask
 * of them. */
START_TEST(unknown_never_turns_refuse_into_load)
{
    static const struct recipe recipe = {false, ASKS_SIZES, ASKS_SIZES, true};
    static const char *const sizing[] = {"kv_type: q8_0",   "context: 64",
                                         "context: 100000", "sequences: 4",
                                         "gpu_layers: all", "gpu_layers: 0"};
    char text[8192];
    size_t refused = 0;

    seed = UINT64_C(0xD6E8FEB86659FD93) * (uint64_t)(_i + 1);
    for (int r = 0; r < 200; r++) {
        gov_policy *rules;

        random_rules(text, sizeof(text), &recipe);
        for (size_t i = dice(3); i > 0; i--)
            snprintf(text + strlen(text), sizeof(text) - strlen(text),
                     "  - {name: s%zu, when: '%s', then: {%s}, because: b}\n",
                     i, sized_conditions[dice(COUNT_OF(sized_conditions))],
                     sizing[dice(COUNT_OF(sizing))]);
        rules = read_rules(text);
        for (int f = 0; f < 20; f++) {
            struct gov_facts facts;
            struct gov_plan plan;
            char first[64];

            random_facts(&facts);
            if (gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL) ==
                    GOV_OK ||
                (strcmp(plan.rule, "(budget)") != 0 &&
                 !rule_says(text, rule_number(plan.rule),
                            "strategy: refuse")) ||
                rule_says(text, rule_number(plan.rule), "unknown: no-match"))
                continue;
            snprintf(first, sizeof(first), "%s", plan.rule);
            refused++;
            for (size_t i = 0; i < COUNT_OF(free_facts); i++)
                if (dice(2) == 0)
                    facts.value[free_facts[i]].known = false;
            ck_assert_msg(gov_plan_decide(&plan, rules, &facts, NULL, NULL,
                                          NULL) == GOV_E_REFUSED,
                          "%s refused, then %s chose\n%s", first, plan.rule,
                          text);
        }
        gov_policy_free(rules);
    }
    ck_assert_uint_gt(refused, 100);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("plan_properties");
    TCase *t = tcase_create("plan_properties");

    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, no_rules_beat_the_budget, 0, 4);
    tcase_add_loop_test(t, more_context_needs_more, 0, 4);
    tcase_add_loop_test(t, advice_is_true, 0, 4);
    tcase_add_loop_test(t, only_earlier_rules_pass_a_refusal, 0, 4);
    tcase_add_loop_test(t, unknown_never_turns_refuse_into_load, 0, 4);
    suite_add_tcase(s, t);
    return s;
}
