/* SPDX-License-Identifier: MIT */
/* What memory lies behind cells that hold no token. A page goes when all of it
 * belongs to free cells, and any of them has memory. Attention masks such cells, so
 * that they read as zeros afterwards changes no logit. */
#include <string.h>

#include "adapters/llama/llama_kv_cells.h"

/* Stretches of free cells that are handled at a time; on the stack. */
#define RUNS 512

/* Free cells [lo, hi), of which [from, to) have memory behind them; none have when
 * these two are the same. */
struct run {
    uint32_t lo, hi, from, to;
};

/* ---- cells --------------------------------------------------------------------- */

#define IN_EACH(bytes, value)                                                  \
    (UINT64_MAX / ((UINT64_C(1) << (8 * (bytes))) - 1) * (value))

static uint64_t word_at(const void *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof(word));
    return word;
}

/* These look at eight bytes at a time: a context of 131072 cells that was made with
 * memory is looked through after every pass, at 0.7 ms cell by cell. */
static uint32_t skip_used(const uint16_t *owner, uint32_t at, uint32_t end)
{
    for (; at + 4 <= end; at += 4) {
        const uint64_t word = word_at(owner + at);

        /* One of them is 0. */
        if ((word - IN_EACH(2, 1)) & ~word & IN_EACH(2, 0x8000))
            break;
    }
    while (at < end && owner[at] != 0)
        at++;
    return at;
}

static uint32_t skip_free(const uint16_t *owner, uint32_t at, uint32_t end)
{
    while (at + 4 <= end && word_at(owner + at) == 0)
        at += 4;
    while (at < end && owner[at] == 0)
        at++;
    return at;
}

/* Those that have the bit, or have it not. */
static uint32_t skip_alike(const uint8_t *backed, uint32_t at, uint32_t end,
                           unsigned int bit, bool set)
{
    const uint64_t all = IN_EACH(1, bit), want = set ? all : 0;

    while (at + 8 <= end && (word_at(backed + at) & all) == want)
        at += 8;
    while (at < end && ((backed[at] & bit) != 0) == set)
        at++;
    return at;
}

struct runs {
    uint32_t next; /* the cell to go on from */
    uint32_t count;
    struct run run[RUNS];
};

/* All of [lo, hi) is free, and no cell beside it of the same stream. Rows of a
 * transposed tensor end in free cells and the next ones begin with them, so such are
 * told of also where they have no memory. Returns where it ended: when there is no
 * room for more, behind the last that has memory. A page that this one shares with the
 * next goes for its sake, and the next begins behind it. */
static uint32_t add_free(struct runs *runs, const struct gov__kv_cells *cells,
                         unsigned int bit, uint32_t lo, uint32_t hi)
{
    const bool at_end =
        lo % cells->per_stream == 0 || hi % cells->per_stream == 0;
    const uint32_t before = runs->count;
    uint32_t from = lo, to = lo;

    while (runs->count < RUNS) {
        from = skip_alike(cells->backed, to, hi, bit, false);
        if (from == hi)
            break;
        to = skip_alike(cells->backed, from, hi, bit, true);
        runs->run[runs->count++] = (struct run){lo, hi, from, to};
    }
    if (runs->count == before && at_end)
        runs->run[runs->count++] = (struct run){lo, hi, lo, lo};
    return runs->count < RUNS ? hi : to;
}

/* Goes on from the cell where it ended; false when all were seen. */
static bool collect(struct runs *runs, const struct gov__kv_cells *cells,
                    int which)
{
    const uint32_t end = cells->per_stream * cells->streams;
    uint32_t lo = skip_used(cells->owner, runs->next, end), hi;

    runs->count = 0;
    while (lo < end && runs->count < RUNS) {
        hi = lo - lo % cells->per_stream + cells->per_stream;
        hi = skip_free(cells->owner, lo, hi);
        lo = add_free(runs, cells, 1U << which, lo, hi);
        lo = skip_used(cells->owner, lo, end);
    }
    runs->next = lo;
    return runs->count > 0;
}

/* ---- bytes --------------------------------------------------------------------- */

/* What happens to each range of whole pages: counted, or given back. Returns bytes. */
typedef uint64_t (*range_fn)(char *start, size_t bytes);

static uint64_t count_range(char *start, size_t bytes)
{
    (void)start;
    return bytes;
}

static uint64_t discard_range(char *start, size_t bytes)
{
    return gov_discard(start, bytes);
}

/* Goes through the free bytes of a tensor, upwards. */
struct walk {
    char *base;
    uintptr_t page;     /* bytes - 1 */
    uintptr_t hi;       /* the free stretch ends here, as far as is known */
    uintptr_t lo;       /* and begins here */
    uintptr_t from, to; /* pages of it that go, if they are free to their end */
    range_fn fn;
    uint64_t total;
};

static void flush(struct walk *walk)
{
    const uintptr_t end = walk->to < walk->hi ? walk->to : walk->hi;
    const uintptr_t from = (walk->from + walk->page) & ~walk->page;
    const uintptr_t to = end & ~walk->page;

    if (from < to)
        walk->total +=
            walk->fn(walk->base + (from - (uintptr_t)walk->base), to - from);
    walk->from = walk->to = 0;
}

/* [lo, hi) is free, and [from, to) of it has memory. */
static void feed(struct walk *walk, uintptr_t lo, uintptr_t hi, uintptr_t from,
                 uintptr_t to)
{
    if (lo > walk->hi) { /* something is in use in between */
        flush(walk);
        walk->lo = lo;
    }
    if (hi > walk->hi)
        walk->hi = hi;
    if (from == to)
        return;
    from &= ~walk->page;
    if (from < walk->lo)
        from = walk->lo;
    if (from > walk->to || walk->to == 0) {
        flush(walk);
        walk->from = from;
    }
    walk->to = (to + walk->page) & ~walk->page;
}

/* One row of cells, which begins at `base` with cell `first`. */
static void feed_row(struct walk *walk, const struct runs *runs, uintptr_t base,
                     uint32_t first, uint32_t end, size_t bytes)
{
    for (uint32_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->run[i];

        if (run->lo < first || run->hi > end)
            continue;
        feed(walk, base + (run->lo - first) * bytes,
             base + (run->hi - first) * bytes,
             base + (run->from - first) * bytes,
             base + (run->to - first) * bytes);
    }
}

static uint64_t each_range(const struct gov__llama_kv *kv,
                           const struct ggml_tensor *tensor, bool transposed,
                           const struct runs *runs, range_fn fn)
{
    const uintptr_t base = (uintptr_t)tensor->data;
    const uint32_t cells = (uint32_t)tensor->ne[1];
    const uint32_t streams = (uint32_t)tensor->ne[2];
    struct walk walk = {tensor->data, kv->page_bytes - 1, 0, 0, 0, 0, fn, 0};

    if (!transposed) /* one row a cell, and the streams one behind the other */
        feed_row(&walk, runs, base, 0, cells * streams, tensor->nb[1]);
    /* One row an element of the embedding, cells side by side in it. */
    for (uint32_t s = 0; transposed && s < streams; s++)
        for (int64_t i = 0; i < tensor->ne[0]; i++)
            feed_row(&walk, runs,
                     base + s * tensor->nb[2] +
                         (size_t)i * cells * tensor->nb[0],
                     s * cells, (s + 1) * cells, tensor->nb[0]);
    flush(&walk);
    return walk.total;
}

/* Of K or V, in all layers of a cache. */
static uint64_t each_layer(const struct gov__llama_kv *kv, uint32_t cache,
                           int which, const struct runs *runs, range_fn fn)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < kv->layers; i++) {
        const struct gov__kv_layer *layer = &kv->layer[i];
        const struct ggml_tensor *tensor =
            which == GOV__KV_K ? layer->k : layer->v;

        if (layer->cache == cache + 1 && tensor != NULL)
            total +=
                each_range(kv, tensor,
                           which == GOV__KV_V && layer->v_transposed, runs, fn);
    }
    return total;
}

/* ---- counting ------------------------------------------------------------------ */

static bool may_give(const struct gov__llama_kv *kv,
                     const struct gov__kv_cells *cells)
{
    return !kv->ungovernable && !cells->unknown && cells->unsure_count == 0;
}

static uint64_t count_unused(const struct gov__llama_kv *kv, uint32_t cache)
{
    const struct gov__kv_cells *cells = &kv->cache[cache];
    struct runs runs;
    uint64_t total = 0;

    for (int which = GOV__KV_K; which <= GOV__KV_V; which++) {
        if (cells->loose[which] == 0)
            continue;
        for (runs.next = 0; collect(&runs, cells, which);)
            total += each_layer(kv, cache, which, &runs, count_range);
    }
    return total;
}

uint64_t gov__kv_bytes_of(const struct gov__llama_kv *kv, uint32_t sequence)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < kv->caches && sequence < GOV__KV_SEQUENCES; i++)
        total +=
            kv->cache[i].used_by[sequence] *
            (kv->cache[i].bytes[GOV__KV_K] + kv->cache[i].bytes[GOV__KV_V]);
    return total;
}

void gov__kv_account(struct gov__llama_kv *kv)
{
    uint64_t used = 0, held = 0, unused = 0;

    for (uint32_t i = 0; i < kv->caches; i++) {
        struct gov__kv_cells *cells = &kv->cache[i];

        if (cells->changed && may_give(kv, cells)) {
            cells->unused = count_unused(kv, i);
            cells->changed = false;
        }
        for (int which = GOV__KV_K; which <= GOV__KV_V; which++) {
            used += cells->used * cells->bytes[which];
            held += cells->held[which] * cells->bytes[which];
        }
        if (may_give(kv, cells))
            unused += cells->unused;
    }
    atomic_store(&kv->used_bytes, used);
    atomic_store(&kv->held_bytes, held);
    atomic_store(&kv->unused_bytes, unused);
}

/* ---- giving back --------------------------------------------------------------- */

/* Also of a cell that shares a page with one in use: when that is freed the page
 * goes for its sake. */
static void forget_memory(struct gov__kv_cells *cells, int which,
                          const struct runs *runs)
{
    for (uint32_t i = 0; i < runs->count; i++)
        for (uint32_t at = runs->run[i].from; at < runs->run[i].to; at++) {
            cells->backed[at] &= (uint8_t)(1U << !which); /* the other's */
            cells->held[which]--;
            cells->loose[which]--;
        }
    cells->changed = true;
}

static void release(struct gov__llama_kv *kv, uint32_t cache, int which)
{
    struct gov__kv_cells *cells = &kv->cache[cache];
    struct runs runs = {.next = 0};
    uint64_t given;

    if (cells->loose[which] == 0)
        return;
    while (!kv->ungovernable && collect(&runs, cells, which)) {
        if (each_layer(kv, cache, which, &runs, count_range) == 0)
            continue;
        given = each_layer(kv, cache, which, &runs, discard_range);
        if (given == 0) /* locked into memory, say: do not offer it again */
            kv->ungovernable = true;
        else
            forget_memory(cells, which, &runs);
        atomic_fetch_add(&kv->given_back_bytes, given);
    }
}

void gov__kv_release(struct gov__llama_kv *kv)
{
    for (uint32_t i = 0; i < kv->caches; i++)
        for (int which = GOV__KV_K; which <= GOV__KV_V; which++)
            if (may_give(kv, &kv->cache[i]))
                release(kv, i, which);
    gov__kv_account(kv);
}
