/* SPDX-License-Identifier: MIT */
/* What the engine does to cells, done to the mirror: seq_rm(), seq_add(), clear(),
 * find_slot() and apply_ubatch() of llama-kv-cache.cpp. */
#include <string.h>

#include "adapters/llama/llama_kv_cells.h"

/* ---- one cell ------------------------------------------------------------------ */

/* In and out of the sums of cells that have memory and no token. */
static void count_loose(struct gov__kv_cells *cells, uint32_t cell, bool in)
{
    for (int which = GOV__KV_K; which <= GOV__KV_V; which++)
        if (cells->backed[cell] & (1U << which)) {
            cells->loose[which] += in ? 1 : UINT32_MAX;
            cells->changed = true;
        }
}

void gov__kv_occupy(struct gov__kv_cells *cells, uint32_t cell,
                    uint32_t sequence, int32_t pos)
{
    count_loose(cells, cell, false);
    cells->owner[cell] = (uint16_t)(sequence + 1);
    cells->pos[cell] = pos;
    cells->used++;
    cells->used_by[sequence]++;
}

void gov__kv_vacate(struct gov__kv_cells *cells, uint32_t cell)
{
    cells->used--;
    cells->used_by[cells->owner[cell] - 1]--;
    cells->owner[cell] = 0;
    count_loose(cells, cell, true);
}

void gov__kv_back(struct gov__kv_cells *cells, uint32_t cell, int which)
{
    for (int i = GOV__KV_K; i <= GOV__KV_V; i++) {
        if ((which != i && which != GOV__KV_BOTH) ||
            (cells->backed[cell] & (1U << i)) != 0)
            continue;
        cells->backed[cell] |= (uint8_t)(1U << i);
        cells->held[i]++;
        if (cells->owner[cell] == 0) {
            cells->loose[i]++;
            cells->changed = true;
        }
    }
}

void gov__kv_back_all(struct gov__kv_cells *cells, int which)
{
    for (uint32_t i = 0; i < cells->per_stream * cells->streams; i++)
        gov__kv_back(cells, i, which);
}

void gov__kv_lost(struct gov__kv_cells *cells)
{
    if (!cells->unknown) /* else it has all */
        gov__kv_back_all(cells, GOV__KV_BOTH);
    cells->unknown = true;
    cells->head_known = false;
}

/* ---- many ---------------------------------------------------------------------- */

uint32_t gov__kv_stream(const struct gov__kv_cells *cells, uint32_t sequence)
{
    return cells->streams == 1 ? 0 : sequence;
}

bool gov__kv_has_stream(const struct gov__kv_cells *cells, uint32_t sequence)
{
    return sequence < GOV__KV_SEQUENCES &&
           gov__kv_stream(cells, sequence) < cells->streams;
}

/* As seq_rm(): the engine looks for free cells from the first of these on. */
static uint32_t remove_cells(struct gov__kv_cells *cells, uint32_t sequence,
                             int32_t from, int32_t to)
{
    const uint32_t stream = gov__kv_stream(cells, sequence);
    const uint32_t first = stream * cells->per_stream;
    uint32_t head = cells->per_stream, count = 0;

    if (cells->used_by[sequence] == 0)
        return 0;
    for (uint32_t i = 0; i < cells->per_stream; i++) {
        if (cells->owner[first + i] != sequence + 1 ||
            cells->pos[first + i] < from || cells->pos[first + i] >= to)
            continue;
        gov__kv_vacate(cells, first + i);
        if (count++ == 0)
            head = i;
    }
    if (head < cells->head[stream])
        cells->head[stream] = head;
    return count;
}

/* A cache with a window reuses cells that no later token sees. Of a sequence that
 * lost one the engine then removes all that is older. */
struct losses {
    bool any;
    int32_t
        newest[GOV__KV_SEQUENCES]; /* position that was overwritten; or -1 */
};

static void take(struct gov__kv_cells *cells, uint32_t at, uint32_t sequence,
                 int32_t pos, struct losses *losses)
{
    if (cells->owner[at] != 0) {
        const uint32_t owner = cells->owner[at] - 1U;

        if (!losses->any)
            memset(losses->newest, 0xff, sizeof(losses->newest));
        losses->any = true;
        if (cells->pos[at] > losses->newest[owner])
            losses->newest[owner] = cells->pos[at];
        gov__kv_vacate(cells, at);
    }
    gov__kv_occupy(cells, at, sequence, pos);
    gov__kv_back(cells, at, GOV__KV_BOTH);
}

static void purge(struct gov__kv_cells *cells, const struct losses *losses)
{
    for (uint32_t s = 0; losses->any && s < GOV__KV_SEQUENCES; s++)
        if (losses->newest[s] >= 0)
            remove_cells(cells, s, 0, losses->newest[s] + 1);
}

bool gov__kv_place(struct gov__kv_cells *cells, uint32_t sequence,
                   const int64_t *cell, uint32_t count, int32_t pos)
{
    const uint32_t stream = gov__kv_stream(cells, sequence);
    const int64_t first = (int64_t)stream * cells->per_stream;
    struct losses losses;

    for (uint32_t i = 0; i < count; i++)
        if (cell[i] < first || cell[i] >= first + cells->per_stream)
            return false;
    losses.any = false;
    for (uint32_t i = 0; i < count; i++)
        take(cells, (uint32_t)cell[i], sequence, pos + (int32_t)i, &losses);
    purge(cells, &losses);
    cells->head[stream] = (uint32_t)(cell[count - 1] - first) + 1;
    cells->head_known |= cells->streams == 1;
    return true;
}

static void be_sure(struct gov__kv_cells *cells, uint32_t sequence)
{
    cells->unsure_count -= cells->unsure[sequence];
    cells->unsure[sequence] = 0;
}

static void forget_all(struct gov__kv_cells *cells)
{
    for (uint32_t at = 0; at < cells->per_stream * cells->streams; at++)
        if (cells->owner[at] != 0)
            gov__kv_vacate(cells, at);
    memset(cells->check, 0, sizeof(cells->check));
    memset(cells->unsure, 0, sizeof(cells->unsure));
    memset(cells->restored, 0, sizeof(cells->restored));
    memset(cells->present, 0, sizeof(cells->present));
    cells->unsure_count = 0;
    cells->unknown = cells->look = false;
    if (cells->kind == GOV__KV_STRANGE)
        cells->kind = GOV__KV_OPEN;
}

/* All of a sequence, wherever it was, is nowhere now: not even in a cache that is not
 * known. Where a state went that no pass has used the engine may look for free cells
 * from somewhere else, as if it had refused it. */
static void left(struct gov__kv_cells *cells, uint32_t sequence)
{
    be_sure(cells, sequence);
    cells->head_known &= !cells->restored[sequence];
    cells->restored[sequence] = cells->present[sequence] = 0;
    if (cells->unknown &&
        memchr(cells->present, 1, sizeof(cells->present)) == NULL)
        forget_all(cells);
}

void gov__kv_removed(struct gov__llama_kv *kv, uint32_t sequence, int32_t from,
                     int32_t to)
{
    for (uint32_t i = 0; i < kv->caches; i++) {
        struct gov__kv_cells *cells = &kv->cache[i];

        if (!gov__kv_has_stream(cells, sequence))
            continue;
        if (remove_cells(cells, sequence, from < 0 ? 0 : from,
                         to < 0 ? INT32_MAX : to) > 0)
            cells->check[sequence] = 1;
        if (from <= 0 && to < 0)
            left(cells, sequence);
    }
    gov__kv_account(kv);
}

/* seq_add() has the engine look from the first cell on, or from the first that it
 * freed because its position became negative. */
static bool move_cells(struct gov__kv_cells *cells, uint32_t sequence,
                       int32_t from, int32_t to, int32_t by)
{
    const uint32_t stream = gov__kv_stream(cells, sequence);
    const uint32_t first = stream * cells->per_stream;
    bool freed = false, moved = false;

    cells->head[stream] = 0;
    for (uint32_t i = 0; i < cells->per_stream; i++) {
        const uint32_t at = first + i;

        if (cells->owner[at] != sequence + 1 || cells->pos[at] < from ||
            cells->pos[at] >= to)
            continue;
        moved = true;
        cells->pos[at] += by;
        if (cells->pos[at] >= 0)
            continue;
        gov__kv_vacate(cells, at);
        if (!freed)
            cells->head[stream] = i;
        freed = true;
    }
    if (moved)
        cells->check[sequence] = 1;
    return moved;
}

void gov__kv_moved(struct gov__llama_kv *kv, uint32_t sequence, int32_t from,
                   int32_t to, int32_t by)
{
    from = from < 0 ? 0 : from;
    to = to < 0 ? INT32_MAX : to;
    if (by == 0 || from == to)
        return;
    for (uint32_t i = 0; i < kv->caches; i++)
        if (gov__kv_has_stream(&kv->cache[i], sequence))
            kv->shifting |= move_cells(&kv->cache[i], sequence, from, to, by);
    gov__kv_account(kv);
}

void gov__kv_cleared(struct gov__llama_kv *kv)
{
    for (uint32_t i = 0; i < kv->caches; i++) {
        struct gov__kv_cells *cells = &kv->cache[i];

        forget_all(cells);
        memset(cells->head, 0, cells->streams * sizeof(*cells->head));
        cells->head_known = true;
    }
    kv->shifting = kv->shift_seen = kv->blind = false;
    gov__kv_account(kv);
}

/* ---- states -------------------------------------------------------------------- */

static int32_t last_pos(const struct gov__kv_cells *cells, uint32_t sequence)
{
    const uint32_t first = gov__kv_stream(cells, sequence) * cells->per_stream;
    int32_t last = -1;

    for (uint32_t i = first; i < first + cells->per_stream; i++)
        if (cells->owner[i] == sequence + 1 && cells->pos[i] > last)
            last = cells->pos[i];
    return last;
}

/* Where the engine writes a state: its cells in their order, but for those that its
 * next token would not see. */
static uint32_t stretches_of(const struct gov__llama_kv *kv, uint32_t cache,
                             uint32_t sequence, struct gov__kv_stretch *out,
                             uint32_t room)
{
    const struct gov__kv_cells *cells = &kv->cache[cache];
    const uint32_t first = gov__kv_stream(cells, sequence) * cells->per_stream;
    struct gov__kv_stretch now = {cache, -1, 0};
    uint32_t count = 0;
    int64_t oldest = 0;

    if (cells->unknown || cells->kind == GOV__KV_STRANGE) {
        if (room > 0)
            out[0] = now;
        return 1;
    }
    if (cells->kind == GOV__KV_WINDOW)
        oldest = (int64_t)last_pos(cells, sequence) - kv->window + 1;
    for (uint32_t i = first; i < first + cells->per_stream; i++) {
        if (cells->owner[i] != sequence + 1 || cells->pos[i] < oldest)
            continue;
        if (now.count > 0 && cells->pos[i] == now.pos + (int32_t)now.count) {
            now.count++;
            continue;
        }
        if (now.count > 0 && count++ < room)
            out[count - 1] = now;
        now.pos = cells->pos[i];
        now.count = 1;
    }
    if (now.count > 0 && count++ < room)
        out[count - 1] = now;
    return count;
}

uint32_t gov__kv_stretches(const struct gov__llama_kv *kv, uint32_t sequence,
                           struct gov__kv_stretch *out, uint32_t room)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < kv->caches; i++)
        if (gov__kv_has_stream(&kv->cache[i], sequence))
            count +=
                stretches_of(kv, i, sequence, count < room ? out + count : NULL,
                             count < room ? room - count : 0);
    return count;
}

/* Where the engine looks for so many cells. */
struct search {
    uint32_t first, at, tested; /* `at` and the count are of one stream */
    int64_t hidden[GOV__KV_SEQUENCES]; /* positions up to this may be taken */
};

/* The engine may also take cells that a window hides from what comes next. */
static void begin_search(struct search *search, const struct gov__llama_kv *kv,
                         const struct gov__kv_cells *cells, uint32_t stream,
                         uint32_t count)
{
    const uint32_t used =
        cells->streams == 1 ? cells->used : cells->used_by[stream];

    search->first = stream * cells->per_stream;
    search->tested = 0;
    search->at = cells->head[stream];
    if (search->at > used + 2 * (uint64_t)count)
        search->at = 0;
    for (uint32_t s = 0; s < GOV__KV_SEQUENCES; s++) {
        search->hidden[s] = -1;
        if (cells->kind == GOV__KV_WINDOW && cells->used_by[s] > 0 &&
            gov__kv_stream(cells, s) == stream)
            search->hidden[s] = (int64_t)last_pos(cells, s) + 1 - kv->window;
    }
}

/* As find_slot(): the next cell; false when there is none. */
static bool search_next(struct search *search,
                        const struct gov__kv_cells *cells, uint32_t *found)
{
    while (search->tested++ < cells->per_stream) {
        if (search->at >= cells->per_stream)
            search->at = 0;
        *found = search->first + search->at++;
        if (cells->owner[*found] == 0 ||
            cells->pos[*found] <= search->hidden[cells->owner[*found] - 1])
            return true;
    }
    return false;
}

/* Which cells a state takes follows from those that are free and from where the
 * engine begins to look, both of which are mirrored. In a stream without tokens there
 * is no mistaking the former, nor the latter where it is known: it follows from the
 * last row that was written, and what was removed since. So that is sure at once, and
 * all else is compared first. Behind a window it is not even sure which cells were
 * saved. */
static bool restore_cells(struct gov__llama_kv *kv, uint32_t cache,
                          uint32_t sequence,
                          const struct gov__kv_stretch *stretch, uint32_t count)
{
    struct gov__kv_cells *cells = &kv->cache[cache];
    const uint32_t stream = gov__kv_stream(cells, sequence);
    struct losses losses;
    struct search search;
    uint32_t total = 0, at = 0;
    bool empty;

    for (uint32_t i = 0; i < count; i++) {
        if (stretch[i].cache != cache)
            continue;
        if (stretch[i].count == 0 ||
            stretch[i].count > cells->per_stream - total ||
            stretch[i].pos < 0 ||
            stretch[i].pos > INT32_MAX - (int64_t)stretch[i].count)
            return false;
        total += stretch[i].count;
    }
    if (total == 0) /* the engine leaves it as it is */
        return true;
    cells->present[sequence] = 1;
    remove_cells(cells, sequence, 0, INT32_MAX);
    empty = (cells->streams == 1 ? cells->used : cells->used_by[sequence]) == 0;
    if (cells->kind == GOV__KV_STRANGE)
        return false;
    begin_search(&search, kv, cells, stream, total);
    losses.any = false;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t n = 0; stretch[i].cache == cache && n < stretch[i].count;
             n++) {
            if (!search_next(&search, cells, &at))
                return false;
            take(cells, at, sequence, stretch[i].pos + (int32_t)n, &losses);
        }
    purge(cells, &losses);
    cells->head[stream] = at - search.first + 1;
    be_sure(cells, sequence);
    cells->check[sequence] = cells->restored[sequence] = 1;
    cells->unsure[sequence] = !empty || !cells->head_known ||
                              (kv->window > 0 && cells->kind != GOV__KV_FULL);
    cells->unsure_count += cells->unsure[sequence];
    return true;
}

void gov__kv_restored(struct gov__llama_kv *kv, uint32_t sequence,
                      const struct gov__kv_stretch *stretches, uint32_t count)
{
    bool stranger = stretches == NULL || sequence >= GOV__KV_SEQUENCES;

    for (uint32_t i = 0; !stranger && i < count; i++)
        stranger = stretches[i].cache >= kv->caches;
    for (uint32_t i = 0; i < kv->caches; i++) {
        struct gov__kv_cells *cells = &kv->cache[i];

        if (!stranger && gov__kv_has_stream(cells, sequence) &&
            restore_cells(kv, i, sequence, stretches, count))
            continue;
        cells->present[sequence % GOV__KV_SEQUENCES] = 1;
        gov__kv_lost(cells);
    }
    kv->blind |= kv->caches == 0;
    gov__kv_account(kv);
}
