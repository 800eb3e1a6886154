/* SPDX-License-Identifier: MIT */
#include "governor/memory/residency.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "governor/platform/platform.h"

/* ---- parts ---------------------------------------------------------------- */

/* A unit, or what is on one side of its bell, being cut. */
struct cut {
    uint64_t begin, end;   /* of that */
    uint64_t at;           /* where the next part begins */
    uint32_t parts, index; /* equal ones */
};

static uint64_t after_bell(const struct gov__unit *unit, uint64_t page)
{
    return unit->bell + page < unit->end ? unit->bell + page : unit->end;
}

/* Two sides, of which one may be empty; the only one where there is no bell. */
static uint32_t sides_of(const struct gov__unit *unit, uint64_t page,
                         struct cut sides[2])
{
    uint32_t count = 0;

    memset(sides, 0, 2 * sizeof(sides[0]));
    if (unit->bell < unit->begin || unit->bell >= unit->end) {
        sides[0].begin = unit->begin;
        sides[0].end = unit->end;
        count = 1;
    } else {
        if (unit->bell > unit->begin) {
            sides[count].begin = unit->begin;
            sides[count++].end = unit->bell;
        }
        if (after_bell(unit, page) < unit->end || count == 0) {
            sides[count].begin = after_bell(unit, page);
            sides[count++].end = unit->end;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = sides[i].end - sides[i].begin;
        uint64_t parts = (bytes + GOV__PART_BYTES - 1) / GOV__PART_BYTES;

        /* 2^31 parts of 4 MiB are 8 PiB: no file. */
        assert(parts < INT32_MAX);
        sides[i].at = sides[i].begin;
        sides[i].parts = parts == 0 ? 1 : (uint32_t)parts;
    }
    return count;
}

/* At addresses that are multiples of the grain: an edge up to the first, whole
 * parts, and an edge behind the last. */
static uint64_t cut_at_grains(const struct cut *cut, uint64_t phase,
                              uint64_t grain)
{
    uint64_t address = cut->at + phase, end;

    if (address % grain != 0)
        end = gov__round_up(address, grain) - phase;
    else if (cut->end - cut->at >= GOV__PART_BYTES)
        end = cut->at + GOV__PART_BYTES;
    else
        end = gov__round_down(cut->end + phase, grain) - phase;
    return end <= cut->at || end > cut->end ? cut->end : end;
}

/* Equal parts, cut at pages: only a unit's own edges can lie within one. */
static uint64_t cut_equally(struct cut *cut, uint64_t page)
{
    uint64_t bytes = cut->end - cut->begin, end = cut->end;

    if (++cut->index < cut->parts)
        end = gov__round_down(
            cut->begin + bytes / cut->parts * (uint64_t)cut->index, page);
    return end < cut->at ? cut->at : end; /* pages larger than the part */
}

/* Where the next part ends; false when there is none. A side of no bytes has one
 * part. */
static bool cut_next(struct cut *cut, const struct gov__unit *unit,
                     uint64_t page, uint64_t grain, uint64_t *end)
{
    if (grain > page) {
        if (cut->index > 0 && cut->at >= cut->end)
            return false;
        cut->index++;
        *end = cut_at_grains(cut, unit->phase, grain);
    } else {
        if (cut->index >= cut->parts)
            return false;
        *end = cut_equally(cut, page);
    }
    return true;
}

uint32_t gov__residency_parts_of(const struct gov__unit *unit, uint64_t page,
                                 uint64_t grain)
{
    struct cut sides[2];
    uint32_t count = sides_of(unit, page, sides), parts = 0;
    uint64_t end;

    for (uint32_t i = 0; i < count; i++)
        while (cut_next(&sides[i], unit, page, grain, &end)) {
            sides[i].at = end;
            parts++;
        }
    return parts;
}

static int by_file_offset(const void *left, const void *right)
{
    const struct gov__part *a = *(struct gov__part *const *)left;
    const struct gov__part *b = *(struct gov__part *const *)right;

    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static bool is_edge(const struct gov__residency *res,
                    const struct gov__unit *unit, uint64_t begin, uint64_t end)
{
    return res->grain > res->page && ((begin + unit->phase) % res->grain != 0 ||
                                      (end + unit->phase) % res->grain != 0);
}

static void cut_unit(struct gov__residency *res, uint32_t index)
{
    struct gov__unit *unit = &res->units[index];
    bool others = unit->use == GOV__USE_OTHERS;
    struct cut sides[2];
    uint32_t count = sides_of(unit, res->page, sides);
    uint64_t end;

    for (uint32_t i = 0; i < count; i++)
        while (cut_next(&sides[i], unit, res->page, res->grain, &end)) {
            res->parts[res->part_count++] = (struct gov__part){
                .begin = sides[i].at,
                .end = end,
                .file = unit->file,
                .unit = index,
                .edge = is_edge(res, unit, sides[i].at, end),
                .target_hot = true,
                .hot = true,
                .held = others ? GOV__PRESENT : GOV__UNKNOWN};
            sides[i].at = end;
        }
    unit->parts = res->part_count - unit->first;
}

/* Not there and needed whenever the unit is used. What is read by nobody, the
 * engine brings in. */
static bool is_missing(const struct gov__residency *res,
                       const struct gov__part *part)
{
    if (part->held == GOV__PRESENT)
        return false;
    if (part->hot)
        return res->warm != GOV_WARM_NONE;
    return res->units[part->unit].use != GOV__USE_ROWS;
}

static void count_missing(struct gov__residency *res)
{
    for (uint32_t i = 0; i < res->unit_count; i++)
        res->units[i].missing = 0;
    for (uint32_t i = 0; i < res->part_count; i++)
        if (is_missing(res, &res->parts[i]))
            res->units[res->parts[i].unit].missing++;
}

void gov__residency_hold(struct gov__residency *res, uint32_t index,
                         enum gov__held held)
{
    struct gov__part *part = &res->parts[index];
    struct gov__unit *unit = &res->units[part->unit];
    bool before = is_missing(res, part), after;

    part->held = held;
    after = is_missing(res, part);
    if (before && !after)
        unit->missing--;
    else if (after && !before)
        unit->missing++;
}

void gov__residency_init(struct gov__residency *res)
{
    res->part_count = res->position = 0;
    for (uint32_t i = 0; i < res->unit_count; i++) {
        struct gov__unit *unit = &res->units[i];

        unit->first = res->part_count;
        unit->target_cold_bytes = 0;
        unit->any_cold = false;
        unit->wanted = false;
        cut_unit(res, i);
    }
    for (uint32_t i = 0; i < res->part_count; i++)
        res->order[i] = &res->parts[i];
    qsort(res->order, res->part_count, sizeof(struct gov__part *),
          by_file_offset);
    for (uint32_t i = 0; i < res->part_count; i++)
        res->order[i]->rank = i;
    count_missing(res);
}

static enum gov__use use_of(const struct gov__residency *res, uint32_t part)
{
    return res->units[res->parts[part].unit].use;
}

static uint64_t bytes_of(const struct gov__residency *res, uint32_t part)
{
    return gov__part_bytes(&res->parts[part]);
}

/* ---- hot and cold --------------------------------------------------------- */

/* Sets of units, as bits. */
enum set {
    ROWS = 1,
    HEADS = 2,
    DENSE = 4, /* of layers, but for their experts */
    EXPERTS = 8,
    LAYERS = DENSE | EXPERTS,
};

static bool is_of(const struct gov__unit *unit, unsigned set)
{
    switch (unit->use) {
    case GOV__USE_ROWS:
        return (set & ROWS) != 0;
    case GOV__USE_HEAD:
        return (set & HEADS) != 0;
    case GOV__USE_OTHERS:
        return false;
    case GOV__USE_LAYER:
        break;
    }
    return (set & (unit->experts ? EXPERTS : DENSE)) != 0;
}

/* Which parts of a set: whole grains are read fastest, so they go first. */
enum kind {
    ALL,
    WHOLES,
    EDGES,
};

static bool is_in(const struct gov__residency *res, uint32_t part, unsigned set,
                  enum kind kind)
{
    return is_of(&res->units[res->parts[part].unit], set) &&
           (kind == ALL || res->parts[part].edge == (kind == EDGES));
}

struct group {
    uint64_t bytes;
    uint32_t parts;
};

static struct group measure(const struct gov__residency *res, unsigned set,
                            enum kind kind)
{
    struct group group = {0, 0};

    for (uint32_t i = 0; i < res->part_count; i++)
        if (is_in(res, i, set, kind)) {
            group.bytes += bytes_of(res, i);
            group.parts++;
        }
    return group;
}

/* A ring has `slots` places of which k are cold, as evenly as can be: place i
 * is cold where ceil(i * k / slots) steps up. That word is balanced around the
 * ring, so no other choice has a shorter longest run of cold places; and its
 * last place is hot if any is. */
static bool place_is_cold(uint64_t i, uint64_t k, uint64_t slots)
{
    return k > 0 &&
           ((i + 1) * k + slots - 1) / slots != (i * k + slots - 1) / slots;
}

/* Makes k parts of a set cold and returns the bytes of its others. */
static uint64_t spread(struct gov__residency *res, unsigned set, enum kind kind,
                       uint32_t k, uint32_t slots)
{
    uint64_t hot_bytes = 0;
    uint32_t place = 0;

    for (uint32_t i = 0; i < res->part_count; i++) {
        if (!is_in(res, i, set, kind))
            continue;
        res->parts[i].target_hot = !place_is_cold(place++, k, slots);
        if (res->parts[i].target_hot)
            hot_bytes += bytes_of(res, i);
    }
    return hot_bytes;
}

/* All of a set, or nothing of it; returns what is hot. */
static uint64_t take_all(struct gov__residency *res, unsigned set, bool hot)
{
    uint32_t parts = measure(res, set, ALL).parts;

    return spread(res, set, ALL, hot ? 0 : parts, parts);
}

/* Fewest cold parts of a set that leave its hot ones within limit. Parts differ
 * in size, so more cold ones need not mean fewer hot bytes: the search keeps
 * `high` fitting, which holds whatever it meets on the way. `others` are places
 * of the ring that stay hot. */
static uint64_t fit_kind(struct gov__residency *res, unsigned set,
                         enum kind kind, uint64_t limit, uint32_t others)
{
    struct group group = measure(res, set, kind);
    uint32_t slots = group.parts + others;
    uint32_t low = 0, high = group.parts;

    if (group.bytes <= limit)
        return spread(res, set, kind, 0, slots);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (spread(res, set, kind, middle, slots) <= limit)
            high = middle;
        else
            low = middle;
    }
    return spread(res, set, kind, high, slots);
}

/* Edges stay before whole grains do, as long as they fit. */
static uint64_t fit(struct gov__residency *res, unsigned set, uint64_t limit,
                    uint32_t others)
{
    uint64_t edges = measure(res, set, EDGES).bytes, hot_bytes;
    uint32_t wholes = measure(res, set, WHOLES).parts;

    if (edges > limit) {
        (void)spread(res, set, WHOLES, wholes, wholes);
        return fit_kind(res, set, EDGES, limit, others);
    }
    hot_bytes = fit_kind(res, set, WHOLES, limit - edges, others);
    return hot_bytes + spread(res, set, EDGES, 0, 1);
}

static uint64_t unit_bytes(const struct gov__residency *res,
                           const struct gov__unit *unit)
{
    uint64_t bytes = 0;

    for (uint32_t i = unit->first; i < unit->first + unit->parts; i++)
        bytes += bytes_of(res, i);
    return bytes;
}

/* Layers, or heads, whole and in order of use, up to the first that does not fit;
 * `limit` is 0 behind that one. What is somebody else's of a layer neither counts
 * nor changes. Returns what is hot. */
static uint64_t fill(struct gov__residency *res, unsigned set, uint64_t *limit)
{
    uint64_t hot_bytes = 0;

    for (uint32_t i = 0, next; i < res->unit_count; i = next) {
        uint64_t bytes = 0;

        next = i;
        do
            if (is_of(&res->units[next], set))
                bytes += unit_bytes(res, &res->units[next]);
        while (++next < res->unit_count && res->units[next].joined);
        if (bytes > *limit)
            *limit = 0;
        for (uint32_t p = res->units[i].first;
             p < res->part_count && res->parts[p].unit < next; p++)
            if (is_in(res, p, set, ALL))
                res->parts[p].target_hot = bytes <= *limit;
        if (bytes <= *limit) {
            *limit -= bytes;
            hot_bytes += bytes;
        }
    }
    return hot_bytes;
}

static void sum_cold(struct gov__residency *res)
{
    for (uint32_t i = 0; i < res->unit_count; i++)
        res->units[i].target_cold_bytes = 0;
    for (uint32_t i = 0; i < res->part_count; i++)
        if (!res->parts[i].target_hot && use_of(res, i) != GOV__USE_ROWS)
            res->units[res->parts[i].unit].target_cold_bytes +=
                bytes_of(res, i);
}

/* Heads go last: one is as large as several layers, and what is cold of a unit
 * must all be in memory while the unit is used. */
static uint64_t hold_spread(struct gov__residency *res, uint64_t limit)
{
    struct group heads = measure(res, HEADS, ALL);
    /* The heads close the ring between the last layer and the first. */
    uint32_t others = heads.parts > 0 ? 1 : 0;
    uint64_t left = limit - fit(res, HEADS, limit, 0);

    if (heads.bytes > limit) {
        (void)take_all(res, LAYERS, false);
    } else if (res->hold == GOV_HOLD_DENSE &&
               measure(res, DENSE, ALL).bytes <= left) {
        left -= take_all(res, DENSE, true);
        left -= fit(res, EXPERTS, left, others);
    } else if (res->hold == GOV_HOLD_DENSE) {
        (void)take_all(res, EXPERTS, false);
        left -= fit(res, DENSE, left, others);
    } else {
        left -= fit(res, LAYERS, left, others);
    }
    return limit - left;
}

/* A head is used behind all layers, also one that is the embedding. */
static uint64_t hold_first(struct gov__residency *res, uint64_t limit)
{
    uint64_t hot_bytes = fill(res, LAYERS, &limit);

    return hot_bytes + fill(res, HEADS, &limit);
}

/* Rows are the first to be cold: being without them costs a page a token. */
uint64_t gov__residency_decide(struct gov__residency *res, uint64_t limit)
{
    uint64_t all = measure(res, ROWS | HEADS | LAYERS, ALL).bytes;
    uint64_t hot_bytes = res->hold == GOV_HOLD_FIRST ? hold_first(res, limit)
                                                     : hold_spread(res, limit);

    hot_bytes += take_all(res, ROWS, all <= limit);
    sum_cold(res);
    return hot_bytes;
}

uint64_t gov__residency_cold_bytes(const struct gov__residency *res)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < res->unit_count; i++)
        bytes += res->units[i].target_cold_bytes;
    return bytes;
}

/* What is cold of the layer that begins at that unit; 0 within one. */
static uint64_t cold_from(const struct gov__residency *res, uint32_t i)
{
    uint64_t bytes = 0;

    if (i > 0 && res->units[i].joined)
        return 0;
    do
        bytes += res->units[i++].target_cold_bytes;
    while (i < res->unit_count && res->units[i].joined);
    return bytes;
}

/* Where the first layer after `from` around the ring with something cold begins,
 * if any. */
static uint32_t next_cold(const struct gov__residency *res, uint32_t from)
{
    uint32_t i = from;

    do
        i = i + 1 < res->unit_count ? i + 1 : 0;
    while (cold_from(res, i) == 0 && i != from);
    return i;
}

uint64_t gov__residency_window_bytes(const struct gov__residency *res,
                                     uint32_t ahead)
{
    uint64_t bytes = 0, most, cold = 0;
    uint32_t tail, head;

    for (uint32_t i = 0; i < res->unit_count; i++)
        cold += cold_from(res, i) > 0 ? 1 : 0;
    if (cold <= (uint64_t)ahead + 1)
        return gov__residency_cold_bytes(res);
    /* Slide a window of ahead + 1 neighbouring cold layers once around. */
    tail = head = next_cold(res, res->unit_count - 1);
    for (uint32_t width = 0; width <= ahead; width++) {
        bytes += cold_from(res, head);
        head = next_cold(res, head);
    }
    most = bytes;
    for (uint64_t i = 1; i < cold; i++) {
        bytes += cold_from(res, head);
        bytes -= cold_from(res, tail);
        head = next_cold(res, head);
        tail = next_cold(res, tail);
        if (bytes > most)
            most = bytes;
    }
    return most;
}

void gov__residency_apply(struct gov__residency *res)
{
    for (uint32_t i = 0; i < res->part_count; i++)
        res->parts[i].hot = res->parts[i].target_hot;
    for (uint32_t i = 0; i < res->unit_count; i++)
        res->units[i].any_cold = res->units[i].target_cold_bytes > 0;
    count_missing(res);
}

/* ---- what to do now ------------------------------------------------------- */

/* What the engine has passed before it was read, it has brought in itself. */
static void pass_by(struct gov__residency *res, const struct gov__unit *unit)
{
    for (uint32_t i = unit->first; i < unit->first + unit->parts; i++)
        if (res->parts[i].held == GOV__ABSENT)
            gov__residency_hold(res, i, GOV__UNKNOWN);
}

/* And so it has, as far as it used it, what is hot and read by nobody else. */
static void bring_in(struct gov__residency *res, const struct gov__unit *unit)
{
    for (uint32_t i = unit->first; i < unit->first + unit->parts; i++)
        if (res->parts[i].hot && res->parts[i].held < GOV__COMING)
            gov__residency_hold(res, i, GOV__PRESENT);
}

/* An engine may be past several units before anybody looks again. Rows are only
 * looked up. */
static void pass_between(struct gov__residency *res, uint32_t position)
{
    for (uint32_t i = res->position; i != position;
         i = (i + 1) % res->unit_count) {
        if (res->units[i].use != GOV__USE_ROWS)
            pass_by(res, &res->units[i]);
        if (res->warm == GOV_WARM_NONE)
            bring_in(res, &res->units[i]);
    }
    res->position = position;
}

void gov__residency_lap(struct gov__residency *res)
{
    if (res->warm != GOV_WARM_NONE)
        return;
    for (uint32_t i = 0; i < res->unit_count; i++)
        bring_in(res, &res->units[i]);
}

void gov__residency_aim(struct gov__residency *res, uint32_t position)
{
    uint32_t layers = 0, cold = 0;
    bool counted = true; /* the layer in use is not one ahead */

    assert(position < res->unit_count);
    pass_between(res, position);
    for (uint32_t d = 0; d < res->unit_count; d++) {
        uint32_t i = (uint32_t)(((uint64_t)position + d) % res->unit_count);
        struct gov__unit *unit = &res->units[i];
        bool before = unit->wanted;

        if (d > 0 && (i == 0 || !unit->joined)) {
            counted = false;
            layers++;
        }
        if (unit->any_cold && !counted) {
            counted = true;
            cold++;
        }
        unit->wanted = (unit->any_cold && cold <= res->ahead) ||
                       (unit->missing > 0 && layers <= res->ahead);
        if (before && !unit->wanted)
            pass_by(res, unit);
    }
}

static bool needed(const struct gov__residency *res,
                   const struct gov__part *part)
{
    return part->hot || res->units[part->unit].wanted;
}

/* Rows that are looked up are never read as a whole, but a neighbour's drop must
 * leave the page they share: it may be in use, and nobody reads it ahead. */
static bool stays(const struct gov__residency *res,
                  const struct gov__part *part)
{
    return needed(res, part) || res->units[part->unit].use == GOV__USE_ROWS;
}

uint32_t gov__residency_next_drop(const struct gov__residency *res,
                                  uint32_t from)
{
    for (uint32_t i = from; i < res->part_count; i++)
        if (res->parts[i].held != GOV__ABSENT && !res->parts[i].out &&
            !needed(res, &res->parts[i]))
            return i;
    return GOV__NO_PART;
}

bool gov__residency_can_wait(const struct gov__residency *res, uint32_t index)
{
    return !res->units[res->parts[index].unit].wanted;
}

/* Hot parts that come in the order of the file, behind all others. */
static bool is_filed(const struct gov__residency *res,
                     const struct gov__part *part)
{
    return res->warm == GOV_WARM_FILE && part->hot &&
           !res->units[part->unit].wanted;
}

/* Whether a part that is needed is to be read, or a read of it to be ended. */
static bool is_due(const struct gov__residency *res,
                   const struct gov__part *part, enum gov__reads reads)
{
    bool wanted = res->units[part->unit].wanted;

    if (part->out)
        return false;
    if (reads == GOV__READS_IDLE)
        return part->hot && !wanted && res->warm != GOV_WARM_NONE;
    if (part->held == GOV__COMING)
        return true;
    if (part->hot && res->warm == GOV_WARM_NONE)
        return false;
    return reads == GOV__READS_ALL || wanted;
}

uint32_t gov__residency_next_missing(const struct gov__residency *res,
                                     uint32_t from, enum gov__held held,
                                     enum gov__reads reads)
{
    for (uint32_t d = 0; d < res->part_count; d++) {
        uint32_t i = (uint32_t)(((uint64_t)from + d) % res->part_count);
        const struct gov__part *part = &res->parts[i];

        if (part->held < held && needed(res, part) && !is_filed(res, part) &&
            is_due(res, part, reads))
            return i;
    }
    for (uint32_t i = 0; i < res->part_count; i++) {
        const struct gov__part *part = res->order[i];

        if (part->held < held && is_filed(res, part) &&
            is_due(res, part, reads))
            return (uint32_t)(part - res->parts);
    }
    return GOV__NO_PART;
}

bool gov__residency_is_warm(const struct gov__residency *res)
{
    for (uint32_t i = 0; i < res->part_count; i++)
        if (res->parts[i].hot && res->parts[i].held != GOV__PRESENT)
            return false;
    return true;
}

void gov__residency_pages(const struct gov__residency *res, uint32_t index,
                          uint64_t *begin, uint64_t *end)
{
    const struct gov__part *part = &res->parts[index];

    *begin = gov__round_down(part->begin, res->page);
    *end =
        part->end > part->begin ? gov__round_up(part->end, res->page) : *begin;
}

void gov__residency_drop_pages(const struct gov__residency *res, uint32_t index,
                               uint64_t *begin, uint64_t *end)
{
    uint32_t rank = res->parts[index].rank;
    uint64_t first, last, from, to;

    gov__residency_pages(res, index, &first, &last);
    *begin = first;
    *end = last;
    /* Several small units may share one page, so look past the nearest. */
    for (uint32_t i = rank; i-- > 0 && *begin < *end;) {
        const struct gov__part *before = res->order[i];

        if (before->file != res->parts[index].file)
            break;
        gov__residency_pages(res, (uint32_t)(before - res->parts), &from, &to);
        if (to <= first && before->end > before->begin)
            break;
        if (to > *begin && stays(res, before))
            *begin = to;
    }
    for (uint32_t i = rank + 1; i < res->part_count && *begin < *end; i++) {
        const struct gov__part *after = res->order[i];

        if (after->file != res->parts[index].file)
            break;
        gov__residency_pages(res, (uint32_t)(after - res->parts), &from, &to);
        if (from >= last)
            break;
        if (from < *end && to > from && stays(res, after))
            *end = from;
    }
    if (*end < *begin)
        *end = *begin;
}
