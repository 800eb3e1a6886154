/* SPDX-License-Identifier: MIT */
/* How much of a session's weights stays: follows the budget, gives hot weights back
 * as relief and takes them again in steps, and lends them what the plan reserved
 * and nothing uses. Owns session->hot. */
#include <string.h>

#include "adapters/llama/llama_session.h"

/* What is lent changes in such steps, since each changes which parts are hot: some
 * hundred tokens of a conversation. */
#define LENT_STEP ((uint64_t)8 << 20)
/* Reading the counters takes 30 us. */
#define LEND_US 250000
/* No pass for so long: nobody is waiting for what was lent. */
#define IDLE_US 1000000
/* Calls of relieve() that come sooner than this after one another are slices of one
 * run; an action rests 5 s at least. */
#define RUN_US 2500000
/* The streamer drops what became cold by itself, beside a pass or without one: 0.23
 * GB in 15 to 25 ms and 0.45 GB in 43 to 100 ms, measured on two busy cores. */
#define SETTLE_MS 500

/* What the window over streamed weights takes, where all were to stay before. */
static uint64_t window_bytes(const gov_session *session)
{
    size_t count;
    const struct gov_unit *units = gov_model_units(session->file, &count);
    const uint32_t ahead =
        session->plan.ahead != 0 ? session->plan.ahead : GOV__LLAMA_AHEAD_USUAL;
    uint64_t most = 0;

    for (size_t i = 0; i < count; i++)
        if (units[i].kind == GOV_UNIT_LAYER && units[i].bytes > most)
            most = units[i].bytes;
    return most * (ahead + 1);
}

static uint64_t less(uint64_t n, uint64_t by)
{
    return n > by ? n - by : 0;
}

/* a * part / whole; in pages, since the product of two sizes would not fit. */
static uint64_t share_of(uint64_t a, uint64_t part, uint64_t whole)
{
    return (a >> 12) * (part >> 12) / ((whole >> 12) + 1) << 12;
}

/* Of another budget: what the plan left unused goes first. Of a larger one the
 * weights get the share that the plan gave them, but not of two sessions: each of
 * them would take it. */
static uint64_t hot_for(const struct gov__llama_hot *hot, uint64_t budget)
{
    uint64_t to = hot->plan, share;

    if (budget < hot->budget) {
        const uint64_t cut = hot->budget - budget;

        if (cut > hot->slack)
            to = less(to, cut - hot->slack);
        return to < hot->plan && hot->plan == hot->all ? less(to, hot->window)
                                                       : to;
    }
    if (hot->budget == 0 || gov__llama_log_users() > 1)
        return to;
    to += budget - hot->budget;
    share = share_of(hot->plan, budget, hot->budget);
    if (share < hot->plan)
        share = hot->plan;
    to = to < share ? to : share;
    return to < hot->all ? to : hot->all;
}

/* The least of what the budget and relief allow, and no less than the policy
 * leaves. Lock held. */
static void apply_locked(gov_session *session)
{
    struct gov__llama_hot *hot = &session->hot;
    uint64_t to = hot->by_relief < hot->floor ? hot->floor : hot->by_relief;

    if (hot->by_budget + hot->lent < to)
        to = hot->by_budget + hot->lent;
    if (to == hot->now)
        return;
    /* The engine reports its layers from the next one on. */
    if (to < hot->all && !session->by_bells)
        atomic_store(&session->reporting, true);
    hot->now = to;
    (void)gov_weights_set_hot(session->weights, to);
}

/* ---- relief --------------------------------------------------------------------- */

/* What a run at that level lowers it to at most, of what it was when that began.
 * Lock held. */
static uint64_t lowest_locked(const struct gov__llama_hot *hot, gov_level level,
                              uint64_t now_us)
{
    const bool under_way =
        hot->relieved_us != 0 && now_us - hot->relieved_us <= RUN_US;
    const uint64_t from = under_way ? hot->relieved_from : hot->now;
    uint64_t to = from - from / (level >= GOV_LEVEL_CRITICAL ? 2 : 4);

    to = to < hot->floor ? hot->floor : to;
    return to < hot->now ? to : hot->now;
}

/* What leaves memory where `now` becomes `to`: not what is not there yet, nor the
 * window that what is cold passes through from then on, and half as much that is
 * being read. Lock held. */
static uint64_t gives_locked(const gov_session *session, uint64_t to)
{
    const struct gov__llama_hot *hot = &session->hot;
    struct gov_weights_account account;
    uint64_t window, there;

    if (to >= hot->now)
        return 0;
    gov_weights_account(session->weights, false, &account);
    window = share_of(hot->window / 2 * 3, less(hot->all, to), hot->all);
    there = account.there_bytes + account.expert_bytes;
    there = there < hot->now ? share_of(hot->now - to, there, hot->now)
                             : hot->now - to;
    return less(there, less(window, account.window_bytes));
}

static uint64_t offer_hot(void *ctx, gov_level level)
{
    gov_session *session = ctx;
    struct gov__llama_hot *hot = &session->hot;
    uint64_t offered;

    pthread_mutex_lock(&hot->lock);
    offered =
        gives_locked(session, lowest_locked(hot, level, gov__llama_now_us()));
    pthread_mutex_unlock(&hot->lock);
    return offered;
}

/* What is lent to a session that makes no tokens goes whole, whatever is wanted: its
 * next pass looks anew. */
static uint64_t relieve_hot(void *ctx, const struct gov_relief_want *want)
{
    gov_session *session = ctx;
    struct gov__llama_hot *hot = &session->hot;
    const uint64_t now_us = gov__llama_now_us();
    uint64_t to, gives;

    pthread_mutex_lock(&hot->lock);
    if (hot->relieved_us == 0 || now_us - hot->relieved_us > RUN_US)
        hot->relieved_from = hot->now;
    hot->relieved_us = now_us;
    to = lowest_locked(hot, want->level, now_us);
    if (want->bytes != 0 && to < less(hot->now, want->bytes))
        to = less(hot->now, want->bytes);
    if (now_us - hot->passed_us > IDLE_US && to > hot->by_budget)
        to = hot->by_budget;
    gives = gives_locked(session, to);
    hot->by_relief = to;
    if (hot->by_budget + hot->lent > to)
        hot->lent = less(to, hot->by_budget);
    apply_locked(session);
    gov_weights_pause(session->weights, true);
    pthread_mutex_unlock(&hot->lock);
    return gives;
}

/* The readers bring it in when nothing is more urgent. */
static uint64_t regrow_hot_by(void *ctx, uint64_t bytes)
{
    gov_session *session = ctx;
    struct gov__llama_hot *hot = &session->hot;
    uint64_t most, lacks;

    pthread_mutex_lock(&hot->lock);
    most = hot->by_budget + hot->lent;
    if (hot->by_relief < hot->floor)
        hot->by_relief = hot->floor;
    lacks = less(most, hot->by_relief);
    if (bytes < lacks) {
        hot->by_relief += bytes;
        lacks -= bytes;
    } else {
        hot->by_relief = hot->all;
        lacks = 0;
    }
    hot->relieved_us = 0;
    apply_locked(session);
    gov_weights_pause(session->weights, false);
    pthread_mutex_unlock(&hot->lock);
    return lacks;
}

/* Of what comes again nothing more is read. Where it lacks nothing nobody would lift
 * that. */
static void stop_regrowing_hot(void *ctx)
{
    gov_session *session = ctx;

    pthread_mutex_lock(&session->hot.lock);
    if (session->hot.by_relief < session->hot.all)
        gov_weights_pause(session->weights, true);
    pthread_mutex_unlock(&session->hot.lock);
}

static void leave_hot(void *ctx, uint64_t floor_bytes, uint32_t floor_tokens)
{
    gov_session *session = ctx;

    (void)floor_tokens;
    pthread_mutex_lock(&session->hot.lock);
    session->hot.floor = floor_bytes;
    apply_locked(session);
    pthread_mutex_unlock(&session->hot.lock);
}

static void follow_budget(void *ctx, uint64_t budget_bytes)
{
    gov_session *session = ctx;
    struct gov__llama_hot *hot = &session->hot;
    /* As many reads under way as layers in use, and none larger than one. */
    const uint64_t most = 2 * window_bytes(session);
    struct gov_weights_account account;

    pthread_mutex_lock(&hot->lock);
    hot->lent = 0;
    hot->looked_us = 0;
    hot->shortfall =
        less(less(hot->budget, budget_bytes), hot->slack + hot->plan);
    hot->by_budget = hot_for(hot, budget_bytes);
    apply_locked(session);
    /* What passes through beside it is known once something is cold. */
    gov_weights_account(session->weights, false, &account);
    if (account.window_bytes > hot->window && hot->window < most) {
        hot->window = account.window_bytes < most ? account.window_bytes : most;
        hot->by_budget = hot_for(hot, budget_bytes);
        apply_locked(session);
    }
    pthread_mutex_unlock(&hot->lock);
}

/* ---- what is lent ----------------------------------------------------------------- */

static bool anon_now(uint64_t *bytes)
{
    struct gov_footprint footprint;

    if (gov_footprint_now(&footprint, NULL) != GOV_OK)
        return false;
    *bytes = footprint.anon_bytes + footprint.swap_bytes;
    return true;
}

void gov__llama_note_anon(gov_session *session)
{
    session->hot.knows_anon = anon_now(&session->hot.anon_before);
}

/* What the plan reserved, less what a smaller budget took of that and what there is
 * of it, however that came to be: also what the app has allocated since. A sixteenth
 * stays, for what comes between two looks. Where all weights fit, nothing is
 * streamed, and that needs no window; half of what stays is enough then, or the window
 * would come and go. */
static uint64_t unused_now(const gov_session *session, uint64_t soon)
{
    const struct gov__llama_hot *hot = &session->hot;
    const uint64_t reserved = session->plan.footprint_bytes;
    const uint64_t spare = reserved / (hot->now < hot->all ? 16 : 32);
    struct gov_weights_account account;
    uint64_t anon, unused;

    if (!anon_now(&anon))
        return 0;
    unused = less(reserved,
                  hot->shortfall + less(anon, hot->anon_before) + soon + spare);
    if (hot->by_budget + unused >= hot->all)
        return less(hot->all, hot->by_budget);
    gov_weights_account(session->weights, false, &account);
    return less(unused, account.window_bytes);
}

/* Weights that are anchored the kernel could not take back where we come late. */
static bool lends(const gov_session *session)
{
    return session->hot.knows_anon && !session->plan.anchor &&
           session->strategy == GOV_STRATEGY_HYBRID;
}

/* Cells that the conversation takes and that were not there at the last look. */
static uint64_t growth(const gov_session *session, uint32_t tokens)
{
    const struct gov_plan *plan = &session->plan;

    return less(session->past + tokens, session->hot.looked_past) *
           (plan->kv_bytes / (plan->context == 0 ? 1 : plan->context));
}

/* What a batch of so many tokens uses of the buffers that are reserved for the
 * largest. Measured (1 GB model; contexts of 512 and 2048; with flash attention and
 * without; 1 and 2 threads): at most 0.02 of them and 1.33 of its share. */
static uint64_t buffers_for(const gov_session *session, uint32_t tokens)
{
    const uint64_t all = session->plan.compute_bytes;
    const uint64_t some =
        all / 32 + all / llama_n_ubatch(session->context) * tokens * 3 / 2;

    return some < all ? some : all;
}

/* Of a pass of so many tokens, that takes so much besides. */
static void look_locked(gov_session *session, uint32_t tokens, uint64_t soon)
{
    struct gov__llama_hot *hot = &session->hot;
    const uint64_t unused = unused_now(session, soon);
    uint64_t to = unused;

    hot->looked_us = gov__llama_now_us();
    hot->looked_past = session->past + (tokens > 1 ? tokens : 0);
    if (hot->by_budget + unused < hot->all) {
        to = unused / LENT_STEP * LENT_STEP;
        /* Not to and fro at a step's edge. */
        if (to > hot->lent && unused - to < LENT_STEP / 4)
            to -= LENT_STEP;
    }
    if (to > hot->lent &&
        (gov_level_now(session->runtime) != GOV_LEVEL_NORMAL ||
         hot->by_relief < hot->all))
        return;
    hot->lent = to;
    apply_locked(session);
}

/* A larger batch than any before needs buffers that nothing has used; any takes as
 * many cells as it has tokens. So what the first one leaves is lent before it begins.
 * Two sessions would lend the same: what one of them gives up after the other was
 * loaded passes for unused with both. */
static void lend_locked(gov_session *session, uint32_t tokens)
{
    struct gov__llama_hot *hot = &session->hot;
    const uint64_t margin = session->plan.footprint_bytes / 32;
    const uint64_t grown = growth(session, tokens);
    const bool larger = tokens > hot->largest_batch;

    if (!lends(session))
        return;
    if (gov__llama_log_users() != 1) {
        hot->lent = 0;
        apply_locked(session);
    } else if (larger) {
        look_locked(session, tokens, grown + buffers_for(session, tokens));
    } else if (tokens > 1 && grown > margin) {
        hot->lent = less(hot->lent, grown);
        hot->looked_past = session->past + tokens;
        apply_locked(session);
    } else if (tokens == 1 &&
               (grown > margin ||
                gov__llama_now_us() - hot->looked_us >= LEND_US)) {
        look_locked(session, tokens, 0);
    }
    if (larger) {
        hot->largest_batch = tokens;
        hot->looked_us = 0;
    }
}

void gov__llama_adjust_hot(gov_session *session, uint32_t tokens)
{
    if (!session->hot.governed)
        return;
    pthread_mutex_lock(&session->hot.lock);
    session->hot.passed_us = gov__llama_now_us();
    lend_locked(session, tokens);
    /* Reports cost 2 % of a pass on two threads. */
    if (session->hot.now >= session->hot.all &&
        atomic_load(&session->reporting))
        session->until_warm = true;
    pthread_mutex_unlock(&session->hot.lock);
}

/* What a first token will leave, before anything is read: where all stays it comes by
 * the kernel's own readahead, in large folios, which a pass is 4 % faster over. A
 * longer prompt looks again. */
static void lend_at_once(gov_session *session)
{
    struct gov__llama_hot *hot = &session->hot;

    if (!lends(session) || gov__llama_log_users() != 1)
        return;
    pthread_mutex_lock(&hot->lock);
    look_locked(session, 1, growth(session, 1) + buffers_for(session, 1));
    pthread_mutex_unlock(&hot->lock);
}

/* What can stay so that nothing is streamed. Of an embedding that is only looked up
 * in that is no part: a row a token is read, where all of it took as long as a
 * fourth of a token, and its memory. */
static uint64_t all_that_counts(const gov_session *session)
{
    struct gov_weights_account account;

    if (session->strategy != GOV_STRATEGY_HYBRID || session->follows_experts)
        return session->weights_bytes;
    gov_weights_account(session->weights, false, &account);
    return account.hot_bytes + account.cold_bytes;
}

/* Heap weights of the engine's are not ours to lower, decrypted ones cannot be
 * read again, and where nobody says where the engine is none can be streamed. */
gov_status gov__llama_offer_weights(gov_session *session, gov_error *err)
{
    const struct gov_plan *plan = &session->plan;
    struct gov__llama_hot *hot = &session->hot;
    struct gov_relief relief = gov_relief_default();
    uint64_t need = plan->kv_bytes + plan->compute_bytes + plan->engine_bytes;

    if (session->weights == NULL || session->runtime == NULL ||
        session->decrypt != NULL ||
        !(gov__llama_tells_layers(session) || session->by_bells))
        return GOV_OK;
    hot->all = all_that_counts(session);
    hot->plan =
        session->strategy == GOV_STRATEGY_HYBRID ? plan->hot_bytes : hot->all;
    if (hot->plan > hot->all)
        hot->plan = hot->all;
    hot->now = hot->by_budget = hot->plan;
    hot->by_relief = hot->all;
    hot->window = window_bytes(session);
    hot->budget = gov_budget_now(session->runtime);
    need += hot->plan + (hot->plan < hot->all ? hot->window : 0);
    hot->slack =
        less(plan->budget_bytes != 0 ? plan->budget_bytes : hot->budget, need);
    hot->governed = true;
    relief.name = "weights.hot";
    relief.rebuild_cost = 20; /* each pass reads it again until it regrows */
    relief.ctx = session;
    relief.offer = offer_hot;
    relief.relieve = relieve_hot;
    relief.regrow_by = regrow_hot_by;
    relief.regrow_stop = stop_regrowing_hot;
    relief.settle_ms = SETTLE_MS;
    relief.measure = GOV_RELIEF_RESIDENT;
    relief.leave = leave_hot;
    relief.budget = follow_budget;
    lend_at_once(session);
    return gov_relief_add(session->runtime, &relief, &session->weights_id, err);
}
