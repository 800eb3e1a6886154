/* SPDX-License-Identifier: MIT */
/* What rules decide beside strategy, context and KV type: what stays and how it is
 * brought in, conversations, layers on a GPU, and what is said to a person. */
#include "tests/unit/plan_fixture.h"

static struct gov_facts facts;
static struct gov_plan plan;
static gov_error err;
static char traced[4096];

static void write_trace(void *ctx, const char *rule, const char *verdict,
                        const char *detail)
{
    size_t used = strlen(traced);

    ck_assert_ptr_eq(ctx, traced);
    snprintf(traced + used, sizeof(traced) - used, "%s|%s|%s\n", rule, verdict,
             detail);
}

/* The usual facts and those given; the plan for them. */
static gov_status decide(const char *text, const char *given)
{
    gov_policy *rules = read_rules(text);
    gov_status status;

    usual(&facts);
    give(&facts, given);
    traced[0] = '\0';
    err.message[0] = '\0';
    status = gov_plan_decide(&plan, rules, &facts, write_trace, traced, &err);
    gov_policy_free(rules);
    return status;
}

/* ---- mapped weights ---- */

static const struct {
    const char *rules, *given, *want;
} mapped[] = {
    {HEAD "  []\n", "", "mmap spread use 0 normal normal"},
    {ALWAYS("hybrid"), "model.moe=1", "hybrid spread use 0 normal normal"},
    {ALWAYS("hybrid, hold: dense, warm: file, warm_rate: 2 MiB, advise_load: "
            "sequential, advise_pass: random"),
     "", "hybrid dense file 2097152 sequential random"},
    {ALWAYS("hybrid, hold: first"), "", "hybrid first use 0 normal normal"},
    {HEAD RULE("a", "true", "hold: first") RULE("b", "true", "hold: dense")
         RULE("c", "true", "strategy: hybrid, hold: dense, warm: none")
             RULE("d", "true", "warm: file"),
     "", "hybrid first none 0 normal normal"},
    /* of a mapping of which all stays, nothing is held before the rest */
    {HEAD RULE("a", "true", "hold: first, advise_pass: sequential"), "",
     "mmap spread use 0 normal sequential"},
    {HEAD RULE("a", "true", "hold: first, advise_pass: sequential"),
     "budget.ram=3G", "hybrid first use 0 normal sequential"},
    /* what is not brought in has no speed */
    {HEAD RULE("a", "true", "warm: none, warm_rate: 5 MiB"), "",
     "mmap spread none 0 normal normal"},
    /* in the heap there is no mapping */
    {HEAD RULE("a", "true", "hold: first, warm: file, warm_rate: 5 MiB")
         RULE("b", "true", "advise_load: random, advise_pass: random")
             RULE("c", "true", "strategy: heap"),
     "", "heap spread use 0 normal normal"},
};

START_TEST(maps)
{
    char got[128];

    ck_assert_msg(decide(mapped[_i].rules, mapped[_i].given) == GOV_OK, "%s",
                  err.message);
    snprintf(got, sizeof(got), "%s %s %s %llu %s %s",
             gov_strategy_name(plan.strategy), gov_hold_name(plan.hold),
             gov_warm_name(plan.warm), (unsigned long long)plan.warm_rate,
             gov_advice_name(plan.advise_load),
             gov_advice_name(plan.advise_pass));
    ck_assert_str_eq(got, mapped[_i].want);
}
END_TEST

/* ---- anchored weights ---- */

#define ANCHOR HEAD RULE("a", "true", "anchor: true")
#define AND(then) RULE("b", "true", then)
#define BUFFERS (768 * MIB)
/* Of 3 GiB, less buffers, what is streamed, reads in flight and the headroom that
 * is no reason to warn any more (16 %): 1992 and 1500.48 MiB, and then some, as
 * the window holds the cold share only. */
#define HOT_KEPT UINT64_C(2253836288)
#define HOT_ANCHORED UINT64_C(1697705984)

static const struct {
    const char *rules, *given;
    const char *want; /* strategy, anchor and repack as 0 or 1 */
    uint64_t hot, footprint;
} anchors[] = {
    {HEAD "  []\n", "", "mmap 0 0", 4 * GIB, BUFFERS},
    {ANCHOR, "", "mmap 1 0", 4 * GIB, 4 * GIB + BUFFERS},
    {HEAD RULE("n", "true", "anchor: false") RULE("a", "true", "anchor: true"),
     "", "mmap 0 0", 4 * GIB, BUFFERS},
    {ALWAYS("mmap, anchor: true"), "", "mmap 1 0", 4 * GIB, 4 * GIB + BUFFERS},
    /* what is anchored has to fit, to the byte */
    {ANCHOR, "budget.ram=5100273664", "mmap 1 0", 4 * GIB, 5100273664},
    {ANCHOR, "budget.ram=5100273663", "hybrid 1 0", 3400847360,
     3400847360 + BUFFERS},
    {HEAD "  []\n", "budget.ram=3G", "hybrid 0 0", HOT_KEPT, BUFFERS},
    {ANCHOR, "budget.ram=3G", "hybrid 1 0", HOT_ANCHORED,
     HOT_ANCHORED + BUFFERS},
    {ALWAYS("hybrid, anchor: true, hot: 25 %"), "", "hybrid 1 0", GIB,
     GIB + BUFFERS},
    {ALWAYS("hybrid, hot: 25 %"), "", "hybrid 0 0", GIB, BUFFERS},
    /* the headroom is never taken from what streaming needs */
    {ANCHOR, "budget.ram=1080M", "hybrid 1 0", 0, BUFFERS},
    /* the heap is anchored, unless the engine copies it */
    {ALWAYS("heap"), "", "heap 0 1", 4 * GIB, 4 * GIB + BUFFERS},
    {ANCHOR AND("strategy: heap"), "", "heap 0 1", 4 * GIB, 4 * GIB + BUFFERS},
    {ALWAYS("heap, repack: false"), "", "heap 1 0", 4 * GIB, 4 * GIB + BUFFERS},
    {ALWAYS("heap, repack: false, anchor: false"), "", "heap 1 0", 4 * GIB,
     4 * GIB + BUFFERS},
    {ALWAYS("heap"), "model.encrypted=1", "heap 1 0", 4 * GIB,
     4 * GIB + BUFFERS},
    /* a mapping of which a GPU has a part is the engine's */
    {ANCHOR,
     "engine.gpu=1 gpu.count=1 gpu.shares_ram=0 budget.gpu=8G "
     "model.layers=32 request.gpu_layers=3",
     "mmap 0 0", 4 * GIB, BUFFERS},
    {ANCHOR,
     "engine.gpu=1 gpu.count=1 gpu.shares_ram=0 budget.gpu=8G "
     "model.layers=32",
     "mmap 1 0", 4 * GIB, 4 * GIB + BUFFERS},
};

START_TEST(anchors_what_is_hot)
{
    char got[32];

    ck_assert_msg(decide(anchors[_i].rules, anchors[_i].given) == GOV_OK, "%s",
                  err.message);
    snprintf(got, sizeof(got), "%s %d %d", gov_strategy_name(plan.strategy),
             plan.anchor, plan.repack);
    ck_assert_str_eq(got, anchors[_i].want);
    ck_assert_uint_eq(plan.hot_bytes, anchors[_i].hot);
    ck_assert_uint_eq(plan.cold_bytes, 4 * GIB - anchors[_i].hot);
    ck_assert_uint_eq(plan.footprint_bytes, anchors[_i].footprint);
}
END_TEST

/* ---- read past the page cache ---- */

#define DIRECT HEAD RULE("a", "true", "direct: true")
/* Two units of 100 MiB are in memory then, one in use and one arriving: of 3 GiB,
 * less buffers, those, 12 MiB in flight and the headroom where it is anchored, 2092
 * and 1600.48 MiB stay, times 4096 / 3896. */
#define HOT_DIRECT UINT64_C(2306228224)
#define HOT_DIRECT_ANCHORED UINT64_C(1764368384)
/* The share of 200 MiB that is cold, a byte for what was rounded off, and 12 MiB in
 * flight: together with what stays 2304 and 1812.48 MiB, within a page. */
#define PASSING_KEPT UINT64_C(109689313)
#define PASSING_ANCHORED UINT64_C(136147313)
#define PASSING_75 (162 * MIB + 1)

static const struct {
    const char *rules, *given, *want; /* strategy, anchor and direct */
    uint64_t hot, footprint;
} directs[] = {
    {DIRECT, "", "mmap 0 0", 4 * GIB, BUFFERS},
    {DIRECT, "budget.ram=3G", "hybrid 0 1", HOT_DIRECT, BUFFERS + PASSING_KEPT},
    {HEAD RULE("n", "true", "direct: false") RULE("a", "true", "direct: true"),
     "budget.ram=3G", "hybrid 0 0", HOT_KEPT, BUFFERS},
    {DIRECT AND("anchor: true"), "budget.ram=3G", "hybrid 1 1",
     HOT_DIRECT_ANCHORED, BUFFERS + HOT_DIRECT_ANCHORED + PASSING_ANCHORED},
    {ALWAYS("hybrid, direct: true, hot: 25 %"), "", "hybrid 0 1", GIB,
     BUFFERS + PASSING_75},
    /* whole layers are cold then */
    {ALWAYS("hybrid, direct: true, hot: 25 %, hold: first"), "", "hybrid 0 1",
     GIB, BUFFERS + 212 * MIB + 1},
    {ALWAYS("hybrid, direct: true, hot: 25 %, hold: dense"), "", "hybrid 0 1",
     GIB, BUFFERS + 212 * MIB + 1},
    /* what is on its way is never more than there is */
    {ALWAYS("hybrid, direct: true, hot: 99.9 %"), "", "hybrid 0 1",
     UINT64_C(4290672328), BUFFERS + UINT64_C(4294968)},
    {ALWAYS("hybrid, direct: true"), "", "hybrid 0 1", 4 * GIB, BUFFERS},
    /* nor pressure by itself: 16 % of the budget stay free */
    {DIRECT, "budget.ram=980M", "hybrid 0 0", 0, BUFFERS},
    {DIRECT AND("anchor: true"), "budget.ram=980M", "hybrid 1 0", 0, BUFFERS},
    {DIRECT, "budget.ram=1212066047", "hybrid 0 0", 193925120, BUFFERS},
    {DIRECT, "budget.ram=1212066048", "hybrid 0 1", 193925120, 1018135481},
    /* what is anchored as a whole always comes so */
    {ANCHOR, "", "mmap 1 1", 4 * GIB, 4 * GIB + BUFFERS},
    {ALWAYS("heap, repack: false"), "", "heap 1 1", 4 * GIB, 4 * GIB + BUFFERS},
    {ALWAYS("heap"), "", "heap 0 0", 4 * GIB, 4 * GIB + BUFFERS},
};

START_TEST(counts_what_is_on_its_way)
{
    char got[32];

    ck_assert_msg(decide(directs[_i].rules, directs[_i].given) == GOV_OK, "%s",
                  err.message);
    snprintf(got, sizeof(got), "%s %d %d", gov_strategy_name(plan.strategy),
             plan.anchor, plan.direct);
    ck_assert_str_eq(got, directs[_i].want);
    ck_assert_uint_eq(plan.hot_bytes, directs[_i].hot);
    ck_assert_uint_eq(plan.footprint_bytes, directs[_i].footprint);
}
END_TEST

/* How far ahead is read, and through how many units: what stays tells. */
static const struct {
    const char *rules, *given;
    uint32_t ahead;
    bool direct;
    uint64_t hot;
} aheads[] = {
    {HEAD "  []\n", "budget.ram=3G", 2, false, HOT_KEPT},
    {DIRECT, "budget.ram=3G", 1, true, HOT_DIRECT},
    /* through the page cache one layer is on its way out all the same */
    {ALWAYS("hybrid, ahead: 1"), "budget.ram=3G", 1, false, HOT_KEPT},
    {ALWAYS("hybrid, direct: true, ahead: 1"), "budget.ram=3G", 1, true,
     HOT_DIRECT},
    /* what a rule names wins, wherever direct is settled: 1992 MiB times 4096 /
     * 3796, and 1892 MiB times 4096 / 3696 */
    {ALWAYS("hybrid, direct: true, ahead: 2"), "budget.ram=3G", 2, true,
     HOT_KEPT},
    {ALWAYS("hybrid, direct: true, ahead: 3"), "budget.ram=3G", 3, true,
     UINT64_C(2198614016)},
    {HEAD RULE("a", "true", "ahead: 3") RULE("b", "true", "direct: true"),
     "budget.ram=3G", 3, true, UINT64_C(2198614016)},
    {DIRECT AND("ahead: 3"), "budget.ram=3G", 3, true, UINT64_C(2198614016)},
    /* as long as it fits: 768 + 4 * 100 MiB */
    {DIRECT AND("ahead: 3"), "budget.ram=1168M", 3, false, 0},
    {DIRECT AND("ahead: 3"), "budget.ram=1167M", 1, true, 206147584},
    {DIRECT AND("ahead: 2"), "budget.ram=1067M", 1, false, 95907840},
    /* where direct is too much, the window stays as it was for it */
    {DIRECT, "budget.ram=1080M", 1, false, 110239744},
    {DIRECT, "budget.ram=968M", 1, false, 0},
};

START_TEST(reads_so_far_ahead)
{
    ck_assert_msg(decide(aheads[_i].rules, aheads[_i].given) == GOV_OK, "%s",
                  err.message);
    ck_assert_int_eq(plan.strategy, GOV_STRATEGY_HYBRID);
    ck_assert_uint_eq(plan.ahead, aheads[_i].ahead);
    ck_assert_int_eq(plan.direct, aheads[_i].direct);
    ck_assert_uint_eq(plan.hot_bytes, aheads[_i].hot);
}
END_TEST

START_TEST(needs_two_units_past_the_cache_and_three_through_it)
{
    ck_assert_int_eq(decide(DIRECT, "budget.ram=1015021567"), GOV_E_REFUSED);
    ck_assert_int_eq(decide(DIRECT, "budget.ram=1015021568"), GOV_OK);
    ck_assert_int_eq(decide(HEAD "  []\n", "budget.ram=1119879167"),
                     GOV_E_REFUSED);
    ck_assert_int_eq(decide(HEAD "  []\n", "budget.ram=1119879168"), GOV_OK);
}
END_TEST

START_TEST(says_why_it_anchors)
{
    static const struct {
        const char *rules, *given, *reason;
    } rows[] = {
        {ANCHOR AND("strategy: mmap"), "",
         "because of b; anchored instead: because of a"},
        {ANCHOR AND("strategy: hybrid"), "",
         "because of b; what stays is anchored: because of a"},
        {ANCHOR AND("strategy: mmap"), "budget.ram=3G",
         "4.75 GiB do not fit the 3.00 GiB budget as a whole, so part of the "
         "weights is streamed; because of b; what stays is anchored: because "
         "of a"},
        {ANCHOR, "",
         "no rule chose a strategy that fits; anchored instead: because of a"},
        {ANCHOR AND("strategy: heap, repack: false"), "", "because of b"},
        {ALWAYS("mmap, anchor: true"), "", "because of r"},
        {HEAD RULE("n", "true", "anchor: false") AND("strategy: mmap"), "",
         "because of b"},
    };

    ck_assert_int_eq(decide(rows[_i].rules, rows[_i].given), GOV_OK);
    ck_assert_str_eq(plan.reason, rows[_i].reason);
}
END_TEST

/* The headroom that is left is that of the policy that anchors. */
START_TEST(leaves_the_headroom_of_the_policy)
{
    static const char levels[] =
        "version: 1\nlevels: {warn_headroom: 0 %, warn_headroom_exit: 0 %, "
        "critical_headroom: 0 %, critical_headroom_exit: 0 %}\n"
        "rules:\n" RULE("a", "true", "anchor: true");

    ck_assert_int_eq(decide(levels, "budget.ram=3G"), GOV_OK);
    ck_assert(plan.anchor);
    ck_assert_uint_eq(plan.hot_bytes, HOT_KEPT);
}
END_TEST

/* ---- reading ---- */

static const struct {
    const char *given;
    uint64_t hot, warm_us;
} warmed[] = {
    {"", 4 * GIB, 0},
    {"device.read_rate=0", 4 * GIB, 0},
    {"device.read_rate=4294967296", 4 * GIB, 1000000},
    {"device.read_rate=4294967297", 4 * GIB, 1000000}, /* 999999.8 */
    {"device.read_rate=4294967295", 4 * GIB, 1000001}, /* 1000000.2 */
    {"device.read_rate=4G budget.ram=3G", HOT_KEPT, 524763},
    {"model.weights=0 model.largest_unit=0 device.read_rate=1", 0, 0},
    /* longer than 64 bits tell */
    {"device.read_rate=1 model.weights=9223372036854775000 "
     "budget.ram=9223372036854775807 model.kv_per_token=0 model.compute=0",
     UINT64_C(9223372036854775000), UINT64_MAX},
};

START_TEST(predicts_warming)
{
    ck_assert_int_eq(decide(HEAD "  []\n", warmed[_i].given), GOV_OK);
    ck_assert_uint_eq(plan.hot_bytes, warmed[_i].hot);
    ck_assert_uint_eq(plan.warm_us, warmed[_i].warm_us);
    ck_assert_uint_eq(gov_plan_read_us(&plan, plan.hot_bytes), plan.warm_us);
    ck_assert_uint_eq(gov_plan_read_us(&plan, 0), 0);
}
END_TEST

/* What stays and the rest, each by its way. */
static const struct {
    const char *rules, *given;
    uint64_t first_us, warm_us;
} ways[] = {
    {ALWAYS("hybrid, hot: 25 %"), "device.read_rate=1G device.direct_rate=3G",
     4000000, 1000000},
    {ALWAYS("hybrid, hot: 25 %, direct: true"),
     "device.read_rate=1G device.direct_rate=3G", 2000000, 1000000},
    {ALWAYS("hybrid, hot: 25 %, direct: true, anchor: true"),
     "device.read_rate=1G device.direct_rate=2G", 2000000, 500000},
    {ALWAYS("hybrid, hot: 25 %, anchor: true"),
     "device.read_rate=1G device.direct_rate=2G", 4000000, 1000000},
    {ALWAYS("mmap"), "device.read_rate=1G device.direct_rate=2G", 4000000,
     4000000},
    {ALWAYS("mmap, anchor: true"), "device.read_rate=1G device.direct_rate=2G",
     2000000, 2000000},
    {ALWAYS("heap, repack: false"), "device.read_rate=1G device.direct_rate=2G",
     2000000, 2000000},
    {ALWAYS("heap"), "device.read_rate=1G device.direct_rate=2G", 4000000,
     4000000},
    /* what passes the cache by is then not known to be faster */
    {ALWAYS("hybrid, hot: 25 %, direct: true"), "device.read_rate=1G", 4000000,
     1000000},
    {ALWAYS("hybrid, hot: 25 %, direct: true"), "device.direct_rate=1G", 0, 0},
    {ALWAYS("mmap, anchor: true"), "device.direct_rate=1G", 4000000, 4000000},
};

START_TEST(predicts_by_the_way_that_is_taken)
{
    ck_assert_int_eq(decide(ways[_i].rules, ways[_i].given), GOV_OK);
    ck_assert_uint_eq(gov_plan_read_us(&plan, plan.weights_bytes),
                      ways[_i].first_us);
    ck_assert_uint_eq(plan.warm_us, ways[_i].warm_us);
    ck_assert_uint_eq(gov_plan_read_us(&plan, plan.hot_bytes), plan.warm_us);
}
END_TEST

static const struct {
    gov_strategy strategy;
    bool anchor;
    uint64_t hot, rate;
    uint32_t permille;
    struct gov_evicted want;
} evictions[] = {
    {GOV_STRATEGY_MMAP, false, 1000000000, 1666666667, 50, {50000000, 30000}},
    {GOV_STRATEGY_HYBRID, false, 1000000000, 1000000000, 50, {50000000, 50000}},
    {GOV_STRATEGY_MMAP, false, 1000, 1000000, 1, {1, 1}},
    {GOV_STRATEGY_MMAP, false, 1001, 1000000, 1, {2, 2}},
    {GOV_STRATEGY_MMAP, false, 999, 1000001, 1000, {999, 999}},
    {GOV_STRATEGY_MMAP, false, 999, 1000000, 1001, {999, 999}},
    {GOV_STRATEGY_MMAP, false, 999, 1000000, 0, {0, 0}},
    {GOV_STRATEGY_MMAP, false, 999, 0, 500, {500, 0}},
    {GOV_STRATEGY_MMAP, false, 0, 1000, 500, {0, 0}},
    {GOV_STRATEGY_MMAP, true, 1000, 1000, 500, {0, 0}},
    {GOV_STRATEGY_HYBRID, true, 1000, 1000, 500, {0, 0}},
    {GOV_STRATEGY_HEAP, false, 1000, 1000, 500, {0, 0}},
    {GOV_STRATEGY_REFUSE, false, 1000, 1000, 500, {0, 0}},
    {GOV_STRATEGY_MMAP, false, UINT64_MAX, 1, 1000, {UINT64_MAX, UINT64_MAX}},
    {GOV_STRATEGY_MMAP,
     false,
     UINT64_MAX,
     UINT64_MAX,
     1000,
     {UINT64_MAX, 1000000}},
};

START_TEST(predicts_eviction)
{
    const struct gov_plan made = {.strategy = evictions[_i].strategy,
                                  .anchor = evictions[_i].anchor,
                                  .hot_bytes = evictions[_i].hot,
                                  .read_rate = evictions[_i].rate};
    struct gov_evicted got = gov_plan_evicted(&made, evictions[_i].permille);

    ck_assert_uint_eq(got.bytes, evictions[_i].want.bytes);
    ck_assert_uint_eq(got.us, evictions[_i].want.us);
}
END_TEST

/* ---- conversations ---- */

#define WINDOWED                                                               \
    "model.window_kv_per_token=65536 model.window=1536 model.state=7M"
#define KV(full, window, state)                                                \
    ((full)*128 * KIB + (window)*64 * KIB + (state)*7 * MIB)

static const struct {
    const char *rules, *given;
    uint32_t sequences;
    uint64_t kv, compute;
    const char *warning;
} shared[] = {
    {HEAD "  []\n", WINDOWED, 1, KV(4096, 1536, 1), 256 * MIB, ""},
    {HEAD "  []\n", WINDOWED " request.sequences=2", 2, KV(4096, 2560, 2),
     256 * MIB, ""},
    {HEAD "  []\n", WINDOWED " request.sequences=3", 3, KV(4096, 3584, 3),
     256 * MIB, ""},
    {HEAD "  []\n", WINDOWED " request.sequences=4", 4, KV(4096, 4096, 4),
     256 * MIB, ""},
    {HEAD "  []\n", WINDOWED " request.sequences=0", 1, KV(4096, 1536, 1),
     256 * MIB, ""},
    {HEAD RULE("a", "true", "sequences: 3"), WINDOWED, 3, KV(4096, 3584, 3),
     256 * MIB, ""},
    {HEAD RULE("a", "true", "sequences: 2"),
     "request.sequences=3 model.state=7M", 2, KV(4096, 0, 2), 256 * MIB,
     "3 conversations at once were asked for, 2 is what the rules allow"},
    {HEAD "  []\n", "request.sequences=1000 model.state=1024", 256,
     KV(4096, 0, 0) + 256 * KIB, 256 * MIB,
     "1000 conversations at once were asked for, 256 is the most there can be"},
    {ALWAYS("mmap, sequences: 2"), "model.state=7M", 2, KV(4096, 0, 2),
     256 * MIB, ""},
    {HEAD "  []\n",
     "request.sequences=5 model.compute_per_sequence=1048576 "
     "model.compute_per_token=256",
     5, KV(4096, 0, 0), 261 * MIB, ""},
    /* a window that no batch is in */
    {HEAD "  []\n",
     "request.sequences=3 model.window_kv_per_token=65536 model.window=256", 3,
     KV(4096, 768, 0), 256 * MIB, ""},
    /* may be one that has all cells for each */
    {HEAD "  []\n", "request.sequences=2 model.known=0 model.state=7M", 2,
     KV(8192, 0, 2), 256 * MIB,
     "KV is counted at the most it may be, as the architecture is not known"},
    {HEAD "  []\n",
     "request.sequences=2 model.known=0 model.window_kv_per_token=65536 "
     "model.window=1024",
     2, 2 * KV(4096, 1536, 0), 256 * MIB,
     "KV is counted at the most it may be, as the architecture is not known"},
};

START_TEST(shares_a_context)
{
    ck_assert_msg(decide(shared[_i].rules, shared[_i].given) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(plan.sequences, shared[_i].sequences);
    ck_assert_uint_eq(plan.kv_bytes, shared[_i].kv);
    ck_assert_uint_eq(plan.compute_bytes, shared[_i].compute);
    ck_assert_str_eq(plan.warning, shared[_i].warning);
}
END_TEST

/* Settled with the context, before the KV type and all that asks for sizes. */
START_TEST(conversations_come_first)
{
    static const char text[] =
        HEAD RULE("a", "model.kv >= 1 GiB", "kv_type: q8_0")
            RULE("b", "model.kv < 1 GiB", "sequences: 8")
                RULE("c", "model.kv == 1296 MiB", "strategy: heap");

    ck_assert_int_eq(decide(text, "model.state=128M"), GOV_OK);
    ck_assert_uint_eq(plan.sequences, 8);
    ck_assert_int_eq(plan.kv_type, GOV_KV_Q8_0);
    ck_assert_str_eq(plan.rule, "c");
}
END_TEST

/* More state than there is room for: refused, with the conversations in the
 * plan. */
START_TEST(too_many_conversations)
{
    ck_assert_int_eq(
        decide(HEAD "  []\n", "request.sequences=100 model.state=100M"),
        GOV_E_REFUSED);
    ck_assert_uint_eq(plan.sequences, 100);
    ck_assert_uint_eq(plan.kv_bytes, (512 + 10000) * MIB);
}
END_TEST

/* ---- a GPU ---- */

/* With 8 GiB of its own, for 32 layers of at least 90 MiB and at most 100 MiB. */
#define GPU                                                                    \
    "engine.gpu=1 gpu.count=1 gpu.shares_ram=0 budget.gpu=8G model.layers=32 " \
    "model.smallest_layer=90M"
#define SHARED                                                                 \
    "engine.gpu=1 gpu.count=1 gpu.shares_ram=1 gpu.working_set=8G "            \
    "budget.gpu=0 model.layers=32 model.smallest_layer=90M"
#define ALL HEAD RULE("g", "true", "gpu_layers: all")

/* Padding, buffers twice, and KV from the second layer on. */
#define THERE(layers)                                                          \
    (MIB + ((uint64_t)(layers) + 1) * 100 * MIB + 512 * MIB +                  \
     ((layers) > 1 ? 512 * MIB : 0))
#define MOST (MIB + 4 * GIB + 1024 * MIB) /* all weights */

static const struct {
    const char *rules, *given;
    uint32_t layers;
    uint64_t bytes;
    const char *warning;
} placed[] = {
    {HEAD "  []\n", GPU, 0, 0, ""},
    {HEAD "  []\n", GPU " request.gpu_layers=0", 0, 0, ""},
    {HEAD "  []\n", GPU " request.gpu_layers=1", 1, THERE(1), ""},
    {HEAD "  []\n", GPU " request.gpu_layers=2", 2, THERE(2), ""},
    {HEAD "  []\n", GPU " request.gpu_layers=33", 33, THERE(33), ""},
    {HEAD "  []\n", GPU " request.gpu_layers=99 model.weights=3G", 33,
     MOST - GIB, ""},
    {HEAD RULE("g", "true", "gpu_layers: 5"), GPU, 5, THERE(5), ""},
    {ALL, GPU, 33, THERE(33), ""},
    {ALL, GPU " model.weights=3G", 33, MOST - GIB, ""},
    {ALWAYS("heap, gpu_layers: all"), GPU, 33, THERE(33), ""},
    /* as many as fit, to the byte: 12 are 1 + 1300 + 1024 MiB */
    {ALL, GPU " budget.gpu=2325M", 12, THERE(12), ""},
    {ALL, GPU " budget.gpu=2438987775", 12, THERE(12), ""},
    {ALL, GPU " budget.gpu=2437939199", 11, THERE(11), ""},
    {ALL, GPU " budget.gpu=600M", 0, 0, ""},
    {HEAD RULE("g", "true", "gpu_layers: 13"), GPU " budget.gpu=2325M", 12,
     THERE(12), "layers on a GPU: a rule sets 13, 12 fit"},
    {HEAD "  []\n", GPU " budget.gpu=2325M request.gpu_layers=13", 12,
     THERE(12), "layers on a GPU: 13 asked for, 12 fit"},
    {ALL, GPU " budget.gpu=2325M request.gpu_layers=13", 12, THERE(12),
     "layers on a GPU: 13 asked for, 12 fit"},
    {ALL, GPU " budget.gpu=2325M request.gpu_layers=7", 12, THERE(12), ""},
    {HEAD RULE("g", "true", "gpu_layers: 5"), GPU " request.gpu_layers=13", 5,
     THERE(5), "layers on a GPU: 13 asked for, 5 is what the rules allow"},
    /* numbers beyond 32 bits */
    {HEAD "  []\n", GPU " request.gpu_layers=4294967297", 33, THERE(33), ""},
    {ALL, GPU " model.layers=4294967295", INT32_MAX, MOST, ""},
    /* how many there are is not known: all are counted with the largest part */
    {HEAD "  []\n", GPU " model.layers=? request.gpu_layers=3", 3, THERE(3),
     ""},
    {ALL, GPU " model.layers=?", INT32_MAX, MOST, ""},
    {ALL, GPU " model.layers=? budget.gpu=2325M", 12, THERE(12), ""},
    {ALL, GPU " model.largest_unit=?", 33, MOST, ""},
    /* then a layer may be all of it, and only the output's KV is not there */
    {ALL, GPU " model.largest_unit=? budget.gpu=5G", 1, MOST - 512 * MIB, ""},
    {ALL, GPU " model.largest_unit=? budget.gpu=4G", 0, 0, ""},
    /* no GPU: only who asked for one is told */
    {ALL, "model.layers=32", 0, 0, ""},
    {ALL, GPU " engine.gpu=0 request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but the engine uses none"},
    {ALL, GPU " engine.gpu=? request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but the engine uses none"},
    {ALL, GPU " gpu.count=0 request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but there is none"},
    {ALL, GPU " gpu.count=? request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but there is none"},
    {ALL, GPU " gpu.shares_ram=? request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but its memory is not known"},
    {ALL, GPU " budget.gpu=? request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but its memory is not known"},
    /* streamed weights */
    {ALWAYS("hybrid, gpu_layers: all"), GPU, 0, 0,
     "layers on a GPU: none while weights are streamed"},
    {ALWAYS("hybrid"), GPU " request.gpu_layers=4", 0, 0,
     "layers on a GPU: none while weights are streamed"},
    {ALWAYS("hybrid"), GPU, 0, 0, ""},
    {ALWAYS("hybrid, gpu_layers: all"), "model.layers=32", 0, 0, ""},
    /* a GPU without memory of its own */
    {ALL, SHARED, 33, THERE(33), ""},
    {ALL, SHARED " gpu.working_set=2325M", 12, THERE(12), ""},
    {ALL, SHARED " gpu.working_set=?", 0, 0, ""},
    /* its buffers are in RAM, too: 4 GiB + 768 MiB + 512 MiB + 1 MiB */
    {ALL, SHARED " budget.ram=5377M", 33, THERE(33), ""},
    {ALL, SHARED " budget.ram=5376M", 0, 0, ""},
    {HEAD "  []\n", SHARED " budget.ram=5376M request.gpu_layers=9", 0, 0,
     "layers on a GPU: 9 asked for, 0 fit"},
};

START_TEST(places_layers)
{
    ck_assert_msg(decide(placed[_i].rules, placed[_i].given) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(plan.gpu_layers, placed[_i].layers);
    ck_assert_uint_eq(plan.gpu_bytes, placed[_i].bytes);
    ck_assert_str_eq(plan.warning, placed[_i].warning);
}
END_TEST

/* What RAM holds: less where the GPU has memory of its own, to the byte. */
static const struct {
    const char *rules, *given;
    gov_strategy strategy;
    uint64_t footprint;
} rams[] = {
    {ALWAYS("heap"), GPU, GOV_STRATEGY_HEAP, 4864 * MIB},
    {ALWAYS("heap"), GPU " request.gpu_layers=11", GOV_STRATEGY_HEAP,
     3964 * MIB},
    {ALWAYS("heap"), GPU " request.gpu_layers=1", GOV_STRATEGY_HEAP,
     4864 * MIB},
    {ALWAYS("heap"), GPU " request.gpu_layers=11 budget.ram=3964M",
     GOV_STRATEGY_HEAP, 3964 * MIB},
    {ALWAYS("heap"), GPU " request.gpu_layers=11 budget.ram=4156555263",
     GOV_STRATEGY_MMAP, 0}, /* one byte short; see below */
    {ALWAYS("mmap"), GPU " request.gpu_layers=11 budget.ram=3964M",
     GOV_STRATEGY_MMAP, 768 * MIB},
    {ALWAYS("mmap"), GPU " request.gpu_layers=11 budget.ram=3963M",
     GOV_STRATEGY_HYBRID, 768 * MIB},
    {ALWAYS("mmap"),
     GPU " request.gpu_layers=11 model.smallest_layer=? budget.ram=4863M",
     GOV_STRATEGY_HYBRID, 768 * MIB},
    {ALWAYS("mmap"),
     GPU " request.gpu_layers=11 model.layers=? "
         "budget.ram=4863M",
     GOV_STRATEGY_HYBRID, 768 * MIB},
    /* a layer that is said to be larger than the model */
    {ALWAYS("heap"), GPU " request.gpu_layers=11 model.smallest_layer=900M",
     GOV_STRATEGY_HEAP, 768 * MIB},
    /* on a shared one nothing goes away, and what it uses cannot be dropped */
    {ALWAYS("heap"), SHARED " request.gpu_layers=11", GOV_STRATEGY_HEAP,
     5377 * MIB},
    {ALWAYS("mmap"), SHARED " request.gpu_layers=11", GOV_STRATEGY_MMAP,
     768 * MIB + 513 * MIB + 1201 * MIB},
};

START_TEST(counts_ram)
{
    ck_assert_msg(decide(rams[_i].rules, rams[_i].given) == GOV_OK, "%s",
                  err.message);
    if (rams[_i].footprint == 0) { /* nor does mmap fit, which needs as much */
        ck_assert_int_eq(plan.strategy, GOV_STRATEGY_HYBRID);
        return;
    }
    ck_assert_int_eq(plan.strategy, rams[_i].strategy);
    ck_assert_uint_eq(plan.footprint_bytes, rams[_i].footprint);
    ck_assert_uint_eq(plan.hot_bytes + plan.cold_bytes, 4 * GIB);
}
END_TEST

START_TEST(tells_the_gpu_budget)
{
    ck_assert_int_eq(decide(HEAD "  []\n", GPU), GOV_OK);
    ck_assert_uint_eq(plan.gpu_budget_bytes, 8 * GIB);
    ck_assert_int_eq(decide(HEAD "  []\n", SHARED " gpu.working_set=3G"),
                     GOV_OK);
    ck_assert_uint_eq(plan.gpu_budget_bytes, 3 * GIB);
    ck_assert_int_eq(decide(HEAD "  []\n", GPU " engine.gpu=0"), GOV_OK);
    ck_assert_uint_eq(plan.gpu_budget_bytes, 0);
    ck_assert_int_eq(decide(ALWAYS("refuse"), GPU), GOV_E_REFUSED);
    ck_assert_uint_eq(plan.gpu_budget_bytes, 8 * GIB);
    ck_assert_uint_eq(plan.gpu_layers, 0);
}
END_TEST

/* ---- what is said ---- */

START_TEST(warns_as_rules_say)
{
    static const struct {
        const char *rules, *given, *warning;
    } rows[] = {
        {HEAD RULE("a", "true", "warning: close the browser"), "",
         "close the browser"},
        {HEAD RULE("a", "true", "warning: one")
             RULE("b", "true", "warning: two"),
         "", "one"},
        {HEAD RULE("a", "false", "warning: one")
             RULE("b", "true", "strategy: heap, warning: two"),
         "", "two"},
        {HEAD RULE("b", "true", "strategy: heap")
             RULE("c", "true", "strategy: mmap, warning: not chosen"),
         "", ""},
        {HEAD RULE("a", "true", "warning: one, warn: true"), "",
         "one; the model takes 768 MiB of the 8.00 GiB budget that cannot be "
         "given back while it is loaded"},
        {HEAD RULE("a", "true", "warning: one"), "request.context=40000",
         "one; a context of 40000 tokens was asked for, 32768 is the most the "
         "model knows"},
    };

    ck_assert_int_eq(decide(rows[_i].rules, rows[_i].given), GOV_OK);
    ck_assert_str_eq(plan.warning, rows[_i].warning);
    ck_assert_int_eq(plan.warn, rows[_i].warning[0] != '\0');
}
END_TEST

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define REFUSE(when, because, instead)                                         \
    HEAD "  - name: r\n    when: " when                                        \
         "\n    then: {strategy: refuse, instead: " instead                    \
         "}\n    because: " because "\n"

START_TEST(says_what_would_fit)
{
    static const struct {
        const char *rules, *reason;
    } rows[] = {
        {REFUSE("'true'", "too slow", "take a model of 3 GiB"),
         "too slow; take a model of 3 GiB"},
        {REFUSE("model.moe and device.swap > 1 B", "too slow", "take another"),
         "too slow (model.moe, device.swap are unknown); take another"},
        /* a long reason is cut, never the way out */
        {REFUSE("'true'", HUNDRED HUNDRED, "b" HUNDRED),
         HUNDRED TEN TEN TEN TEN "012345678...; b" HUNDRED},
    };

    ck_assert_int_eq(decide(rows[_i].rules, ""), GOV_E_REFUSED);
    ck_assert_str_eq(plan.reason, rows[_i].reason);
    ck_assert_str_eq(err.message, rows[_i].reason);
}
END_TEST

START_TEST(traces_what_is_set)
{
    static const char text[] =
        HEAD RULE("a", "true",
                  "kv_type: q8_0, context: 2048, repack: false, warn: true, "
                  "hot: 25 %, ahead: 3")
            RULE("b", "true",
                 "hold: dense, anchor: false, direct: true, warm: file, "
                 "warm_rate: 5 MiB, "
                 "advise_load: random, advise_pass: sequential, gpu_layers: "
                 "all, warning: w")
                RULE("c", "true", "warn: false, sequences: 2, gpu_layers: 7")
                    RULE("d", "true", "warn: false, ahead: 9") RULE(
                        "e", "true", "strategy: hybrid, ahead: 9, hold: first")
                        RULE("f", "true", "hot: 1 %");

    ck_assert_int_eq(decide(text, ""), GOV_OK);
    ck_assert_str_eq(
        traced,
        "a|matched|true; sets kv_type q8_0, context 2048, repack false, warn "
        "true, hot 25 %, ahead 3\n"
        "b|matched|true; sets hold dense, anchor false, direct true, warm "
        "file, warm_rate 5 "
        "MiB, "
        "advise_load random, advise_pass sequential, gpu_layers all, warning\n"
        "c|matched|true; sets sequences 2; warn was set by a; gpu_layers was "
        "set by b\n"
        "d|matched|true; warn was set by a; ahead was set by a\n"
        "e|matched|true; ahead was set by a; hold was set by b\n"
        "f|matched|true; hot was set by a\n");
    ck_assert_int_eq(
        decide(HEAD RULE("e", "true", "strategy: heap, gpu_layers: 5")
                   RULE("a", "true", "gpu_layers: 9, ahead: 2"),
               "budget.ram=3G"),
        GOV_OK);
    ck_assert_str_eq(traced,
                     "e|matched|true; does not fit: heap needs 4.75 GiB of the "
                     "3.00 GiB budget\n"
                     "a|matched|true; sets ahead 2, gpu_layers 9\n");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("plan_settings");
    TCase *t = tcase_create("plan_settings");

    tcase_add_loop_test(t, maps, 0, (int)COUNT_OF(mapped));
    tcase_add_loop_test(t, anchors_what_is_hot, 0, (int)COUNT_OF(anchors));
    tcase_add_loop_test(t, says_why_it_anchors, 0, 7);
    tcase_add_test(t, leaves_the_headroom_of_the_policy);
    tcase_add_loop_test(t, predicts_warming, 0, (int)COUNT_OF(warmed));
    tcase_add_loop_test(t, counts_what_is_on_its_way, 0,
                        (int)COUNT_OF(directs));
    tcase_add_loop_test(t, reads_so_far_ahead, 0, (int)COUNT_OF(aheads));
    tcase_add_test(t, needs_two_units_past_the_cache_and_three_through_it);
    tcase_add_loop_test(t, predicts_by_the_way_that_is_taken, 0,
                        (int)COUNT_OF(ways));
    tcase_add_loop_test(t, predicts_eviction, 0, (int)COUNT_OF(evictions));
    tcase_add_loop_test(t, shares_a_context, 0, (int)COUNT_OF(shared));
    tcase_add_test(t, conversations_come_first);
    tcase_add_test(t, too_many_conversations);
    tcase_add_loop_test(t, places_layers, 0, (int)COUNT_OF(placed));
    tcase_add_loop_test(t, counts_ram, 0, (int)COUNT_OF(rams));
    tcase_add_test(t, tells_the_gpu_budget);
    tcase_add_loop_test(t, warns_as_rules_say, 0, 6);
    tcase_add_loop_test(t, says_what_would_fit, 0, 3);
    tcase_add_test(t, traces_what_is_set);
    suite_add_tcase(s, t);
    return s;
}
