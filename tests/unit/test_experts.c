/* SPDX-License-Identifier: MIT */
/* Experts by recency, with the test as the engine: it maps a model filled with a
 * pattern and says which experts it uses. The order is held against a naive model
 * of it on a table that records pages; what happens to real pages, against the
 * kernel's word. Where slices lie is taken from gov_unit_expert() here, and from
 * the tensors' names in what is tested. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/memory/experts.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"

#define LAYERS 3
#define EXPERTS 8
#define ALL (LAYERS * EXPERTS)
#define PAGES_MAX 8192

static char path[512];
static gov_model *model;
static const struct gov_unit *units;
static size_t unit_count;
static uint64_t file_bytes, data, page;
static struct gov__range_file file;
static struct gov__range range;
static struct gov__experts experts;
static bool inited;

/* ---- a table that records, and passes on if it is to ------------------------- */

static struct recorder {
    struct gov_platform table;
    bool real;
    int prefetch_rc, populate_rc, discard_rc, drop_rc, resident_rc;
    uint64_t now;
    bool mapped[PAGES_MAX], cached[PAGES_MAX];
    bool prefetched[PAGES_MAX], populated[PAGES_MAX]; /* since forget_reads() */
    bool touched[PAGES_MAX];
    int phase; /* 0 drops and starts, 1 ends: may only grow */
    bool out_of_order, not_prefetched;
    bool look;     /* at the first prefetch, as another thread may */
    uint64_t peak; /* of cached pages that no neighbour keeps */
    uint64_t random_bytes, normal_bytes;
    int discards, drops;
    int before_start; /* discards until the first prefetch */
} rec;

static size_t page_count;                        /* of the file */
static bool known[ALL], touches[ALL][PAGES_MAX]; /* see mark() */
static bool kept[PAGES_MAX]; /* by a unit that is not one of experts */

static size_t page_of(const void *at)
{
    return ((size_t)((const char *)at - file.base) + file.file_offset) / page;
}

static void in_phase(int phase)
{
    rec.out_of_order = rec.out_of_order || phase < rec.phase;
    rec.phase = phase;
}

static uint64_t cached_pages(void)
{
    uint64_t n = 0;

    for (size_t i = 0; i < page_count; i++)
        n += rec.cached[i] && !kept[i];
    return n;
}

static int rec_prefetch(void *ctx, void *base, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    in_phase(0);
    if (rec.before_start < 0)
        rec.before_start = rec.discards;
    for (size_t i = 0; i < bytes / page; i++) {
        rec.prefetched[page_of(base) + i] = true;
        rec.cached[page_of(base) + i] = true;
    }
    if (rec.look) {
        rec.look = false;
        gov__experts_look(&experts);
    }
    if (cached_pages() > rec.peak)
        rec.peak = cached_pages();
    if (rec.prefetch_rc != 0 || !rec.real)
        return rec.prefetch_rc;
    return native->prefetch(native->ctx, base, bytes);
}

static int rec_populate(void *ctx, void *base, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    in_phase(1);
    rec.now += 7;
    for (size_t i = 0; i < bytes / page; i++) {
        rec.populated[page_of(base) + i] = true;
        rec.mapped[page_of(base) + i] = true;
        rec.not_prefetched =
            rec.not_prefetched || !rec.prefetched[page_of(base) + i];
    }
    if (rec.populate_rc != 0 || !rec.real)
        return rec.populate_rc;
    return native->populate(native->ctx, base, bytes);
}

static int rec_discard(void *ctx, void *base, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    in_phase(0);
    rec.discards++;
    if (rec.discard_rc != 0)
        return rec.discard_rc;
    for (size_t i = 0; i < bytes / page; i++) {
        rec.mapped[page_of(base) + i] = false;
        rec.touched[page_of(base) + i] = true;
    }
    return rec.real ? native->discard(native->ctx, base, bytes) : 0;
}

static int rec_drop(void *ctx, int fd, uint64_t offset, uint64_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    in_phase(0);
    rec.drops++;
    if (rec.drop_rc != 0)
        return rec.drop_rc;
    for (size_t i = offset / page; i < (offset + bytes) / page; i++)
        rec.cached[i] = rec.cached[i] && rec.mapped[i];
    return rec.real ? native->drop_cached(native->ctx, fd, offset, bytes) : 0;
}

static int rec_resident(void *ctx, void *base, size_t bytes, uint64_t *out)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    if (rec.resident_rc != 0 || rec.real)
        return rec.resident_rc != 0
                   ? rec.resident_rc
                   : native->resident(native->ctx, base, bytes, out);
    *out = 0;
    for (size_t i = 0; i < bytes / page; i++)
        *out += rec.cached[page_of(base) + i] ? page : 0;
    return 0;
}

static int rec_advise(void *ctx, void *base, size_t bytes,
                      enum gov__advice advice)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    if (advice == GOV__ADVICE_RANDOM)
        rec.random_bytes += bytes;
    else
        rec.normal_bytes += bytes;
    for (size_t i = 0; i < bytes / page; i++)
        ck_assert(!kept[page_of(base) + i]);
    return rec.real ? native->advise(native->ctx, base, bytes, advice) : 0;
}

static uint64_t rec_now(void *ctx)
{
    (void)ctx;
    return rec.now;
}

static void forget_reads(void)
{
    memset(rec.prefetched, 0, sizeof(rec.prefetched));
    memset(rec.populated, 0, sizeof(rec.populated));
    memset(rec.touched, 0, sizeof(rec.touched));
    rec.phase = 0;
    rec.peak = 0;
    rec.before_start = -1;
}

/* ---- the model --------------------------------------------------------------- */

static uint64_t pattern(uint64_t offset)
{
    uint64_t x = (offset / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return x ^ (x >> 29);
}

static void write_pattern(void)
{
    int fd = open(path, O_WRONLY);

    ck_assert_int_ge(fd, 0);
    for (uint64_t at = data; at < file_bytes; at += 4096) {
        uint64_t block[512];
        size_t bytes = file_bytes - at < sizeof(block)
                           ? (size_t)(file_bytes - at)
                           : sizeof(block);

        for (size_t i = 0; i < 512; i++)
            block[i] = pattern(at + i * 8);
        ck_assert_int_eq(pwrite(fd, block, bytes, (off_t)at), (ssize_t)bytes);
    }
    ck_assert_int_eq(fsync(fd), 0); /* dirty pages cannot be dropped */
    close(fd);
}

/* Another file of the model under test. */
static struct gguf_writer w;

static void stack(const char *form, unsigned layer, uint64_t rows,
                  uint64_t count)
{
    const uint64_t shape[4] = {64, rows, count, 0};
    char name[64];

    snprintf(name, sizeof(name), form, layer);
    gguf_tensor(&w, name, T_F32, shape, w.next);
    w.next += (256 * rows * count + 31) / 32 * 32;
}

static void dense(const char *form, unsigned layer, uint64_t rows)
{
    char name[64];

    snprintf(name, sizeof(name), form, layer);
    gguf_add(&w, name, T_F32, 64, rows);
}

static void begin_model(unsigned count)
{
    gguf_begin(&w);
    gguf_key_text(&w, "general.architecture", "qwen3moe");
    gguf_key_u32(&w, "qwen3moe.expert_count", count);
    dense("token_embd.weight", 0, 40);
}

static void map_model(void)
{
    file.fd = open(path, O_RDONLY);
    ck_assert_int_ge(file.fd, 0);
    file.direct_fd = -1;
    file.base = mmap(NULL, file_bytes, PROT_READ, MAP_SHARED, file.fd, 0);
    ck_assert_ptr_ne(file.base, MAP_FAILED);
    file.bytes = file.file_bytes = file_bytes;
    file.tells_resident = true;
    range = (struct gov__range){&rec.table, &file, 1, page};
}

static void find_kept(void)
{
    memset(kept, 0, sizeof(kept));
    for (size_t u = 0; u < unit_count; u++)
        for (uint64_t p = units[u].file_offset / page;
             units[u].kind != GOV_UNIT_EXPERTS &&
             p <= (units[u].file_offset + units[u].bytes - 1) / page;
             p++)
            kept[p] = true;
}

static void open_model(void)
{
    gov_error err;

    data = gguf_finish(&w);
    file_bytes = w.file_bytes;
    page_count = (file_bytes + page - 1) / page;
    ck_assert_uint_le(page_count, PAGES_MAX);
    gguf_save(&w, path, w.file_bytes);
    gguf_free(&w);
    write_pattern();
    ck_assert_msg(gov_model_open(&model, path, NULL, &err) == GOV_OK, "%s",
                  err.message);
    units = gov_model_units(model, &unit_count);
    find_kept();
    memset(known, 0, sizeof(known));
    memset(touches, 0, sizeof(touches));
    map_model();
}

/* As files are written today. A down matrix is of 16.25 pages, a gate of 2.5, an
 * up of a page and a bit, a scale of a sixteenth: edges share pages, and many
 * slices one page. */
static void make_moe(void)
{
    begin_model(EXPERTS);
    for (unsigned i = 0; i < LAYERS; i++) {
        dense("blk.%u.attn_q.weight", i, 37);
        stack("blk.%u.ffn_down_exps.weight", i, 260, EXPERTS);
        stack("blk.%u.ffn_gate_exps.weight", i, 40, EXPERTS);
        dense("blk.%u.ffn_gate_inp.weight", i, 8);
        stack("blk.%u.ffn_up_exps.weight", i, 17, EXPERTS);
        stack("blk.%u.ffn_up_exps.scale", i, 1, EXPERTS);
    }
    dense("output.weight", 0, 33);
    open_model();
    ck_assert_uint_eq(unit_count, 4 * LAYERS + 2);
}

static void set_up(void)
{
    const struct gov_platform *native = gov__platform_native();

    faults_reset();
    memset(&rec, 0, sizeof(rec));
    page = native->page_bytes(native->ctx);
    rec.table = *native;
    rec.table.prefetch = rec_prefetch;
    rec.table.populate = rec_populate;
    rec.table.discard = rec_discard;
    rec.table.drop_cached = rec_drop;
    rec.table.resident = rec_resident;
    rec.table.advise = rec_advise;
    rec.table.now_us = rec_now;
    snprintf(path, sizeof(path), "%s/m.gguf", fresh_directory());
}

static void init_with(uint64_t limit)
{
    ck_assert_int_eq(gov__experts_init(&experts, &range, model, faults_alloc()),
                     0);
    inited = true;
    gov__experts_set_limit(&experts, limit);
}

static void set_up_fake(void)
{
    set_up();
    make_moe();
}

static void tear_down(void)
{
    if (inited)
        gov__experts_fini(&experts);
    inited = false;
    gov_model_close(model);
    model = NULL;
    if (file.base != NULL) {
        munmap(file.base, file.bytes);
        close(file.fd);
    }
    memset(&file, 0, sizeof(file));
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    drop_directory();
}

static void set_up_real(void)
{
    set_up();
    make_moe();
    rec.real = true;
}

/* The first unit of experts of a layer, or the second. */
static uint32_t unit_of(uint32_t layer, int which)
{
    for (uint32_t u = 0; u < unit_count; u++)
        if (units[u].kind == GOV_UNIT_EXPERTS && units[u].layer == layer &&
            which-- == 0)
            return u;
    ck_abort_msg("no unit of experts in layer %u", layer);
    return 0;
}

/* Marks all pages that an expert's matrices touch. Asked for once, as that goes
 * by names. */
static void mark(bool pages[PAGES_MAX], uint32_t layer, uint32_t number)
{
    uint32_t id = layer * EXPERTS + number;

    ck_assert_uint_lt(id, ALL);
    for (uint32_t u = 0; u < unit_count && !known[id]; u++) {
        struct gov_file_range slices[8];
        size_t n = units[u].kind == GOV_UNIT_EXPERTS && units[u].layer == layer
                       ? gov_unit_expert(model, u, number, slices, 8)
                       : 0;

        ck_assert_uint_le(n, 8);
        for (size_t i = 0; i < n; i++)
            for (uint64_t p = slices[i].offset / page;
                 p <= (slices[i].offset + slices[i].bytes - 1) / page; p++)
                touches[id][p] = true;
    }
    known[id] = true;
    for (size_t p = 0; p < page_count; p++)
        pages[p] = pages[p] || touches[id][p];
}

static uint64_t bytes_of(const bool pages[PAGES_MAX], bool without_kept)
{
    uint64_t n = 0;

    for (size_t i = 0; i < page_count; i++)
        n += pages[i] && !(without_kept && kept[i]);
    return n * page;
}

/* What experts from..to-1 of a layer take. */
static uint64_t take(uint32_t layer, uint32_t from, uint32_t to)
{
    bool pages[PAGES_MAX] = {false};

    for (uint32_t i = from; i < to; i++)
        mark(pages, layer, i);
    return bytes_of(pages, true);
}

static struct gov__experts_wait use(uint32_t layer, uint32_t number)
{
    forget_reads();
    return gov__experts_used(&experts, unit_of(layer, 0), &number, 1);
}

/* ---- the order against a naive one -------------------------------------------- */

static struct {
    uint32_t order[ALL]; /* newest first */
    uint32_t count, needed;
    uint64_t limit;
    uint64_t used, missed;
} naive;

static uint64_t naive_bytes(void)
{
    bool pages[PAGES_MAX] = {false};

    for (uint32_t i = 0; i < naive.count; i++)
        mark(pages, naive.order[i] / EXPERTS, naive.order[i] % EXPERTS);
    return bytes_of(pages, true);
}

static bool naive_touch(uint32_t id)
{
    uint32_t at = 0;
    bool was;

    while (at < naive.count && naive.order[at] != id)
        at++;
    was = at < naive.count;
    if (!was)
        naive.count++;
    memmove(&naive.order[1], &naive.order[0], at * sizeof(uint32_t));
    naive.order[0] = id;
    return was;
}

static void naive_shrink(void)
{
    while (naive.count > naive.needed && naive_bytes() > naive.limit)
        naive.count--;
}

/* The list, the account, and the pages that are really there. */
static void compare(int call)
{
    bool there[PAGES_MAX] = {false};
    uint32_t index = experts.newest, last = GOV__NO_EXPERT;

    for (uint32_t i = 0; i < naive.count; i++) {
        uint32_t layer = naive.order[i] / EXPERTS;

        ck_assert_uint_ne(index, GOV__NO_EXPERT);
        ck_assert_msg(index == gov__experts_find(&experts, unit_of(layer, 0),
                                                 naive.order[i] % EXPERTS),
                      "call %d: place %u differs", call, i);
        ck_assert(experts.experts[index].there);
        ck_assert_uint_eq(experts.experts[index].newer, last);
        last = index;
        index = experts.experts[index].older;
        mark(there, layer, naive.order[i] % EXPERTS);
    }
    ck_assert_uint_eq(index, GOV__NO_EXPERT);
    ck_assert_uint_eq(experts.oldest, last);
    ck_assert_uint_eq(experts.there_bytes, bytes_of(there, true));
    for (size_t p = 0; p < page_count; p++)
        if (kept[p] ? rec.touched[p] : rec.cached[p] != there[p])
            ck_abort_msg("call %d: page %zu: cached %d, there %d, kept %d",
                         call, p, rec.cached[p], there[p], kept[p]);
}

static void random_call(unsigned *seed)
{
    bool want[PAGES_MAX] = {false}, named[EXPERTS] = {false};
    uint32_t layer = (uint32_t)(rand_r(seed) % LAYERS), numbers[2 * EXPERTS];
    uint32_t count = (uint32_t)(rand_r(seed) % (2 * EXPERTS + 1));
    uint64_t before;

    if (rand_r(seed) % 4 != 0) /* as a token does, mostly */
        count %= 3;
    naive.needed = 0;
    for (uint32_t i = 0; i < count; i++) {
        /* Repeated, and beyond what there is. */
        numbers[i] = (uint32_t)(rand_r(seed) % (EXPERTS + 2));
        if (numbers[i] >= EXPERTS || named[numbers[i]])
            continue;
        named[numbers[i]] = true;
        naive.needed++;
        naive.used++;
        if (!naive_touch(layer * EXPERTS + numbers[i])) {
            naive.missed++;
            mark(want, layer, numbers[i]);
        }
    }
    naive_shrink();
    before = cached_pages() * page;
    forget_reads();
    (void)gov__experts_used(&experts, unit_of(layer, rand_r(seed) % 2), numbers,
                            count);
    ck_assert(memcmp(rec.populated, want, sizeof(want)) == 0);
    ck_assert(memcmp(rec.prefetched, want, sizeof(want)) == 0);
    ck_assert(!rec.out_of_order && !rec.not_prefetched);
    /* Never more at once than may be, was, or must be. */
    ck_assert(rec.peak * page <= naive.limit || rec.peak * page <= before ||
              rec.peak * page <= naive_bytes());
    ck_assert_uint_eq(experts.used, naive.used);
    ck_assert_uint_eq(experts.missed, naive.missed);
}

START_TEST(order_is_exact)
{
    unsigned seed = (unsigned)_i + 1;
    uint64_t all = 0, allocations;

    memset(&naive, 0, sizeof(naive));
    memset(rec.cached, 0, sizeof(rec.cached));
    faults_only("alloc");
    init_with(0);
    allocations = faults_count();
    for (uint32_t l = 0; l < LAYERS; l++)
        all += take(l, 0, EXPERTS);
    ck_assert_uint_eq(experts.all_bytes, all);
    ck_assert_uint_eq(experts.there_bytes, 0);
    for (int call = 0; call < 10000; call++) {
        if (rand_r(&seed) % 20 == 0) {
            naive.limit = (uint64_t)rand_r(&seed) % (all + all / 8);
            forget_reads();
            gov__experts_set_limit(&experts, naive.limit);
            naive_shrink();
        } else {
            random_call(&seed);
        }
        compare(call);
    }
    ck_assert_uint_eq(experts.failures, 0);
    ck_assert_uint_eq(faults_count(), allocations);
}
END_TEST

/* ---- what is asked of the system -------------------------------------------- */

START_TEST(joins_units_of_a_layer)
{
    bool want[PAGES_MAX] = {false};
    const uint32_t number = 5;
    struct gov__experts_wait wait;
    uint64_t bytes = 4 * (64 * 260 + 64 * 40 + 64 * 17 + 64);

    init_with(UINT64_MAX);
    mark(want, 1, 5);
    rec.now = 1000;
    wait = use(1, 5);
    ck_assert(memcmp(rec.populated, want, sizeof(want)) == 0);
    ck_assert_uint_eq(wait.bytes, bytes);
    ck_assert_uint_eq(wait.us, 4 * 7);
    forget_reads();
    wait = gov__experts_used(&experts, unit_of(1, 1), &number, 1);
    ck_assert_uint_eq(wait.us + wait.bytes + bytes_of(rec.prefetched, false),
                      0);
    ck_assert_uint_eq(experts.used, 2);
    ck_assert_uint_eq(experts.missed, 1);
    ck_assert_uint_eq(experts.read_bytes, bytes);
}
END_TEST

/* The disk has something to do while room is made for the rest. */
START_TEST(drops_while_it_reads)
{
    const uint32_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
    int discards;

    init_with(take(0, 0, EXPERTS));
    (void)gov__experts_used(&experts, unit_of(0, 0), all, EXPERTS);
    ck_assert_int_eq(rec.discards, 0);
    forget_reads();
    (void)gov__experts_used(&experts, unit_of(1, 0), all, EXPERTS);
    discards = rec.discards;
    ck_assert_int_gt(rec.before_start, 0);
    ck_assert_int_le(rec.before_start, discards / 4);
    ck_assert_uint_le(rec.peak * page, experts.limit_bytes);
    ck_assert_uint_eq(experts.there_bytes, take(1, 0, EXPERTS));
}
END_TEST

START_TEST(passes_over_nonsense)
{
    const uint32_t numbers[] = {3, 3, EXPERTS, UINT32_MAX, 3};
    struct gov__experts_wait wait;

    init_with(UINT64_MAX);
    for (uint32_t u = 0; u < unit_count + 2; u++) {
        bool is = u < unit_count && units[u].kind == GOV_UNIT_EXPERTS;

        ck_assert(gov__experts_owns(&experts, u) == is);
        if (is)
            continue;
        wait = gov__experts_used(&experts, u, numbers, 5);
        ck_assert_uint_eq(wait.us + wait.bytes, 0);
    }
    wait = gov__experts_used(&experts, UINT32_MAX, numbers, 5);
    ck_assert_uint_eq(wait.bytes + experts.used + experts.there_bytes, 0);
    (void)gov__experts_used(&experts, unit_of(0, 0), numbers, 5);
    ck_assert_uint_eq(experts.used, 1);
    ck_assert_uint_eq(experts.there_bytes, take(0, 3, 4));
    (void)gov__experts_used(&experts, unit_of(0, 0), NULL, 0);
    ck_assert_uint_eq(experts.used, 1);
}
END_TEST

START_TEST(keeps_what_is_needed_over_the_limit)
{
    const uint32_t numbers[] = {0, 1, 2, 3};
    const uint32_t next = 4;

    init_with(0);
    (void)gov__experts_used(&experts, unit_of(0, 0), numbers, 4);
    ck_assert_uint_eq(experts.there_bytes, take(0, 0, 4));
    gov__experts_set_limit(&experts, take(0, 0, 1)); /* still in use */
    ck_assert_uint_eq(experts.there_bytes, take(0, 0, 4));
    (void)gov__experts_used(&experts, unit_of(1, 0), &next, 1);
    ck_assert_uint_eq(experts.there_bytes, take(1, 4, 5));
    forget_reads();
    (void)gov__experts_used(&experts, unit_of(1, 0), NULL, 0);
    gov__experts_set_limit(&experts, 0);
    ck_assert_uint_eq(experts.there_bytes + cached_pages(), 0);
    ck_assert_uint_eq(experts.dropped_bytes, take(0, 0, 4) + take(1, 4, 5));
}
END_TEST

START_TEST(gives_advice_and_takes_it_back)
{
    uint64_t want = 0;

    init_with(0);
    for (size_t u = 0; u < unit_count; u++)
        if (units[u].kind == GOV_UNIT_EXPERTS)
            want += (units[u].file_offset + units[u].bytes) / page * page -
                    (units[u].file_offset + page - 1) / page * page;
    ck_assert_uint_eq(rec.random_bytes, want);
    ck_assert_uint_eq(rec.normal_bytes, 0);
    gov__experts_advise(&experts, GOV__ADVICE_RANDOM);
    ck_assert_uint_eq(rec.random_bytes, 2 * want);
    gov__experts_fini(&experts);
    inited = false;
    ck_assert_uint_eq(rec.normal_bytes, want);
}
END_TEST

START_TEST(adds_to_the_account)
{
    struct gov_weights_account a;

    memset(&a, 0, sizeof(a));
    a.streamed_bytes = a.dropped_bytes = a.failures = 1;
    init_with(take(0, 2, 3));
    (void)use(0, 2);
    (void)use(0, 2);
    rec.populate_rc = EIO;
    (void)use(2, 0);
    gov__experts_account(&experts, &a);
    ck_assert_uint_eq(a.expert_limit_bytes, take(0, 2, 3));
    ck_assert_uint_eq(a.expert_bytes, take(2, 0, 1));
    ck_assert_uint_eq(a.experts_used, 3);
    ck_assert_uint_eq(a.experts_missed, 2);
    ck_assert_uint_eq(a.streamed_bytes, 1 + experts.read_bytes);
    ck_assert_uint_eq(a.dropped_bytes, 1 + take(0, 2, 3));
    ck_assert_uint_eq(a.failures, 1 + 4);
}
END_TEST

/* ---- failing calls ------------------------------------------------------------ */

START_TEST(reads_again_what_failed)
{
    bool want[PAGES_MAX] = {false};

    init_with(UINT64_MAX);
    mark(want, 0, 1);
    rec.populate_rc = EIO;
    (void)use(0, 1);
    ck_assert_uint_eq(experts.failures, 4);
    ck_assert_uint_eq(experts.there_bytes, take(0, 1, 2));
    rec.populate_rc = 0;
    (void)use(0, 1);
    ck_assert(memcmp(rec.populated, want, sizeof(want)) == 0);
    (void)use(0, 1);
    ck_assert_uint_eq(bytes_of(rec.populated, false), 0);
    ck_assert_uint_eq(experts.missed, 2);
    ck_assert_uint_eq(experts.failures, 4);
    ck_assert_uint_eq(experts.there_bytes, take(0, 1, 2));
}
END_TEST

START_TEST(a_start_that_fails_is_harmless)
{
    init_with(UINT64_MAX);
    rec.prefetch_rc = EIO;
    (void)use(0, 1);
    ck_assert_uint_eq(experts.failures, 0);
    (void)use(0, 1);
    ck_assert_uint_eq(experts.missed, 1);
}
END_TEST

START_TEST(counts_drops_that_fail)
{
    init_with(UINT64_MAX);
    (void)use(0, 1);
    (void)use(0, 2);
    rec.discard_rc = _i == 0 ? EINVAL : 0;
    rec.drop_rc = _i == 0 ? 0 : EIO;
    gov__experts_set_limit(&experts, 0);
    ck_assert_uint_gt(experts.failures, 0);
    ck_assert_uint_eq(experts.there_bytes, take(0, 2, 3));
    ck_assert_uint_eq(experts.dropped_bytes, 0);
    if (_i == 0) /* what is mapped stays in the cache */
        ck_assert_int_eq(rec.drops, 0);
}
END_TEST

START_TEST(does_without_a_descriptor)
{
    int fd = file.fd;

    init_with(UINT64_MAX);
    file.fd = -1;
    (void)use(0, 1);
    (void)use(0, 2);
    gov__experts_set_limit(&experts, 0);
    ck_assert_int_eq(rec.drops, 0);
    ck_assert_int_gt(rec.discards, 0);
    ck_assert_uint_eq(experts.failures, 0);
    file.fd = fd;
}
END_TEST

START_TEST(out_of_memory_leaves_nothing)
{
    uint64_t n = 0;
    int rc;

    do {
        faults_reset();
        faults_only("alloc");
        faults_arm(n++, false);
        rc = gov__experts_init(&experts, &range, model, faults_alloc());
        if (rc != 0) {
            ck_assert_int_eq(rc, ENOMEM);
            ck_assert_int_eq((int)faults_live_blocks(), 0);
        }
    } while (rc != 0);
    inited = true;
    ck_assert_uint_eq(n, 5); /* four arrays, and none */
}
END_TEST

/* ---- models ------------------------------------------------------------------- */

/* 16 tensors of 1.5 pages, of experts 2 to 5, cut in two units. */
START_TEST(learns_single_experts)
{
    bool want[PAGES_MAX] = {false};

    begin_model(EXPERTS);
    for (unsigned i = 2; i < 6; i++) {
        dense("blk.0.ffn_up.%u.weight", i, 24);
        dense("blk.0.ffn_gate.%u.weight", i, 24);
        if (i == 3)
            dense("blk.%u.ffn_norm.weight", 0, 3);
    }
    dense("output.weight", 0, 7);
    open_model();
    init_with(UINT64_MAX);
    ck_assert_uint_eq(gov__experts_find(&experts, unit_of(0, 0), 1),
                      GOV__NO_EXPERT);
    ck_assert_uint_eq(gov__experts_find(&experts, unit_of(0, 0), 6),
                      GOV__NO_EXPERT);
    ck_assert_uint_ne(gov__experts_find(&experts, unit_of(0, 0), 2),
                      GOV__NO_EXPERT);
    mark(want, 0, 5);
    (void)use(0, 5); /* by the other unit's name */
    ck_assert(memcmp(rec.populated, want, sizeof(want)) == 0);
    ck_assert_uint_eq(experts.all_bytes, take(0, 2, 6));
}
END_TEST

/* Numbers 1 and 3 only: 2 is none, and 7 has no bytes. */
START_TEST(learns_holes)
{
    begin_model(EXPERTS);
    dense("blk.0.ffn_up.%u.weight", 1, 24);
    dense("blk.0.ffn_up.%u.weight", 3, 24);
    gguf_text(&w, "blk.0.ffn_up.7.weight");
    gguf_u32(&w, 1);
    gguf_u64(&w, 0);
    gguf_u32(&w, T_F32);
    gguf_u64(&w, w.next);
    w.tensors++;
    open_model();
    init_with(UINT64_MAX);
    ck_assert_uint_eq(experts.slice_count, 3); /* and the embedding */
    ck_assert_uint_eq(experts.expert_count, 3);
    gov__experts_look(&experts);
    ck_assert_uint_eq(experts.oldest, GOV__NO_EXPERT);
    (void)use(0, 2);
    ck_assert_uint_eq(experts.used, 0);
    (void)use(0, 3);
    ck_assert_uint_eq(experts.used, 1);
    ck_assert_uint_eq(experts.all_bytes, take(0, 1, 4));
}
END_TEST

static void make_dense(void)
{
    dense("blk.%u.attn_q.weight", 0, 16);
}

/* A count that the stack has not. */
static void make_other_stack(void)
{
    stack("blk.%u.ffn_up_exps.weight", 0, 16, EXPERTS - 1);
}

/* One of two can be cut: whose is the other? */
static void make_half(void)
{
    stack("blk.%u.ffn_up_exps.weight", 0, 16, EXPERTS);
    stack("blk.%u.ffn_up_chexps.weight", 0, 16, EXPERTS / 2);
}

static void make_mixed(void)
{
    stack("blk.%u.ffn_up_exps.weight", 0, 16, EXPERTS);
    dense("blk.0.ffn_gate.%u.weight", 1, 24);
}

static void (*const not_ours[])(void) = {make_dense, make_other_stack,
                                         make_half, make_mixed};

START_TEST(leaves_what_is_not_cut)
{
    begin_model(EXPERTS);
    not_ours[_i]();
    open_model();
    ck_assert_int_eq(gov__experts_init(&experts, &range, model, faults_alloc()),
                     ENOENT);
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    ck_assert_uint_eq(rec.random_bytes, 0);
}
END_TEST

/* More numbers, or more matrices of them, than anybody has: nothing is allocated
 * for them. */
START_TEST(leaves_too_many)
{
    const uint32_t count = _i == 0 ? (uint32_t)1 << 21 : (uint32_t)1 << 19;
    const uint64_t shape[4] = {1, count, 0, 0};

    begin_model(count);
    for (int i = 0; i < (_i == 0 ? 1 : 9); i++) {
        char name[64];

        snprintf(name, sizeof(name), "blk.0.ffn_up_exps.part%d", i);
        gguf_tensor(&w, name, T_F32, shape, w.next);
        w.next += 4 * shape[1];
    }
    open_model();
    ck_assert_uint_eq(units[1].experts, count);
    ck_assert_int_eq(gov__experts_init(&experts, &range, model, faults_alloc()),
                     ENOENT);
}
END_TEST

/* A unit that is not in the mapping, and a file that is not mapped. */
START_TEST(leaves_what_is_not_mapped)
{
    char *base = file.base;

    file.bytes = units[unit_of(1, 1)].file_offset + units[unit_of(1, 1)].bytes -
                 (_i == 0 ? 1 : 0);
    ck_assert_int_eq(gov__experts_init(&experts, &range, model, faults_alloc()),
                     0);
    ck_assert(gov__experts_owns(&experts, unit_of(1, 0)));
    ck_assert_int_eq(gov__experts_owns(&experts, unit_of(1, 1)), _i != 0);
    ck_assert(!gov__experts_owns(&experts, unit_of(2, 0)));
    gov__experts_fini(&experts);
    file.base = NULL;
    ck_assert_int_eq(gov__experts_init(&experts, &range, model, faults_alloc()),
                     ENOENT);
    file.base = base;
    file.file_offset =
        gov__round_up(units[unit_of(0, 0)].file_offset + 1, page);
    ck_assert_int_eq(gov__experts_init(&experts, &range, model, faults_alloc()),
                     0);
    ck_assert(!gov__experts_owns(&experts, unit_of(0, 0)));
    ck_assert(gov__experts_owns(&experts, unit_of(0, 1)));
    gov__experts_fini(&experts);
    file.file_offset = 0;
    range.file_count = 0;
    ck_assert_int_eq(gov__experts_init(&experts, &range, model, faults_alloc()),
                     ENOENT);
    file.bytes = file_bytes;
}
END_TEST

/* ---- a look at what is there -------------------------------------------------- */

static void cache(uint32_t layer, uint32_t number)
{
    mark(rec.cached, layer, number);
}

START_TEST(takes_over_what_is_whole)
{
    cache(0, 1);
    cache(0, 5);
    cache(2, 7);
    init_with(take(0, 1, 2) + take(0, 5, 6));
    /* Half of one is there. */
    rec.cached[units[unit_of(1, 0)].file_offset / page + 3] = true;
    gov__experts_look(&experts);
    ck_assert_uint_eq(experts.there_bytes, take(0, 1, 2) + take(0, 5, 6));
    ck_assert_uint_eq(cached_pages() * page, experts.there_bytes);
    ck_assert_uint_eq(experts.oldest,
                      gov__experts_find(&experts, unit_of(0, 0), 5));
    ck_assert_uint_eq(use(0, 5).bytes, 0);
    ck_assert_uint_eq(use(0, 1).bytes, 0);
    ck_assert_uint_gt(use(2, 7).bytes, 0);
    ck_assert_uint_eq(experts.missed, 1);
}
END_TEST

START_TEST(shrinks_before_the_first_call)
{
    cache(0, 1);
    init_with(UINT64_MAX);
    gov__experts_look(&experts);
    ck_assert_uint_eq(experts.there_bytes, take(0, 1, 2));
    gov__experts_set_limit(&experts, 0);
    ck_assert_uint_eq(experts.there_bytes + cached_pages(), 0);
}
END_TEST

START_TEST(drops_what_nobody_tells_of)
{
    cache(0, 1);
    init_with(UINT64_MAX);
    (void)use(1, 1);
    (void)use(1, 2);
    file.tells_resident = _i != 0;
    rec.resident_rc = _i != 0 ? EIO : 0;
    forget_reads();
    gov__experts_look(&experts);
    ck_assert_uint_eq(cached_pages() * page, experts.there_bytes);
    ck_assert_uint_eq(experts.there_bytes, take(1, 1, 3));
    (void)use(1, 1);
    ck_assert_uint_eq(experts.missed, 2);
}
END_TEST

START_TEST(reads_again_what_the_system_took)
{
    bool want[PAGES_MAX] = {false};

    init_with(UINT64_MAX);
    (void)use(1, 1);
    (void)use(1, 2);
    mark(want, 1, 1);
    for (size_t p = 0; p < page_count; p++)
        if (want[p] && !kept[p]) {
            rec.cached[p] = false;
            break;
        }
    ck_assert_uint_eq(use(1, 1).bytes, 0); /* nobody has looked */
    (void)use(1, 2);
    gov__experts_look(&experts);
    ck_assert_uint_gt(use(1, 1).bytes, 0);
    ck_assert(memcmp(rec.populated, want, sizeof(want)) == 0);
    ck_assert_uint_eq(use(1, 2).bytes, 0);
}
END_TEST

START_TEST(looks_past_what_is_being_read)
{
    init_with(UINT64_MAX);
    rec.look = true;
    (void)use(1, 1);
    ck_assert(!rec.look);
    ck_assert_uint_eq(use(1, 1).bytes, 0);
    ck_assert_uint_eq(experts.missed, 1);
}
END_TEST

/* Slices at the same offsets of two files share nothing. */
START_TEST(tells_files_apart)
{
    struct gov__slice slices[] = {{100, 50, 0, 0, GOV__NO_SLICE},
                                  {100, 50, 1, 1, GOV__NO_SLICE},
                                  {100, 50, 2, GOV__NO_EXPERT, GOV__NO_SLICE}};
    struct gov__expert two[] = {{.slices = 0, .there = true},
                                {.slices = 1, .there = true}};
    struct gov__range pages = {.page = 4096};
    struct gov__experts of = {.range = &pages,
                              .experts = two,
                              .slices = slices,
                              .expert_count = 2,
                              .slice_count = 3};

    ck_assert_uint_eq(gov__experts_own_bytes(&of, 0), 4096);
    ck_assert_uint_eq(gov__experts_own_bytes(&of, 1), 4096);
    slices[1].file = slices[2].file = 0;
    ck_assert_uint_eq(gov__experts_own_bytes(&of, 0), 0);
    ck_assert_uint_eq(gov__experts_own_bytes(&of, 1), 0);
}
END_TEST

/* ---- on a real file ------------------------------------------------------------- */

static bool is_there(size_t p)
{
    const struct gov_platform *native = gov__platform_native();
    uint64_t bytes = 0;

    ck_assert_int_eq(
        native->resident(native->ctx, file.base + p * page, page, &bytes), 0);
    return bytes > 0;
}

static void empty_cache(void)
{
    const struct gov_platform *native = gov__platform_native();

    ck_assert_int_eq(native->discard(native->ctx, file.base, file.bytes), 0);
    (void)native->drop_cached(native->ctx, file.fd, 0, file_bytes);
}

/* Whether a file here leaves memory when it is dropped: on tmpfs it cannot. */
static bool can_drop(const char *test)
{
    const struct gov_platform *native = gov__platform_native();
    uint64_t left = 1;

    empty_cache();
    ck_assert_int_eq(
        native->resident(native->ctx, file.base, file.bytes, &left), 0);
    if (left != 0)
        skip_test(test, "files below TMPDIR do not leave memory");
    return left == 0;
}

static void check_bytes(uint32_t layer, uint32_t number)
{
    for (uint32_t u = 0; u < unit_count; u++) {
        struct gov_file_range slices[8];
        size_t n = units[u].layer == layer
                       ? gov_unit_expert(model, u, number, slices, 8)
                       : 0;

        for (size_t i = 0; i < n; i++)
            for (uint64_t at = (slices[i].offset + 7) / 8 * 8;
                 at + 8 <= slices[i].offset + slices[i].bytes; at += 8) {
                uint64_t word;

                memcpy(&word, file.base + at, sizeof(word));
                if (word != pattern(at))
                    ck_abort_msg("expert %u of layer %u, at %llu: wrong bytes",
                                 number, layer, (unsigned long long)at);
            }
    }
}

START_TEST(reads_exactly_what_is_missing)
{
    bool want[PAGES_MAX] = {false};

    if (!can_drop("reads_exactly_what_is_missing"))
        return;
    init_with(UINT64_MAX);
    (void)use(1, 2);
    mark(want, 1, 2);
    for (size_t p = 0; p < page_count; p++)
        ck_assert_msg(is_there(p) == want[p], "page %zu", p);
    check_bytes(1, 2);
    (void)use(1, 6);
    (void)use(1, 3);
    mark(want, 1, 6);
    mark(want, 1, 3);
    for (size_t p = 0; p < page_count; p++)
        ck_assert_msg(is_there(p) == want[p], "page %zu", p);
    ck_assert_uint_eq(experts.failures, 0);
}
END_TEST

START_TEST(leaves_shared_edges)
{
    bool one[PAGES_MAX] = {false}, two[PAGES_MAX] = {false};
    const struct gov_platform *native = gov__platform_native();
    size_t shared = 0, with_kept = 0;

    if (!can_drop("leaves_shared_edges"))
        return;
    init_with(UINT64_MAX);
    /* The dense parts are in use: read exactly, as the streamer does. */
    for (size_t p = 0; p < page_count; p++)
        if (kept[p])
            ck_assert_int_eq(
                native->prefetch(native->ctx, file.base + p * page, page), 0);
    mark(one, 0, 0);
    mark(two, 0, 1);
    (void)use(0, 0);
    (void)use(0, 1);
    gov__experts_set_limit(&experts, take(0, 1, 2));
    for (size_t p = 0; p < page_count; p++) {
        shared += one[p] && two[p];
        with_kept += one[p] && kept[p];
        ck_assert_msg(is_there(p) == (two[p] || kept[p]), "page %zu", p);
    }
    ck_assert_uint_gt(shared, 1);
    ck_assert_uint_gt(with_kept, 1);
    (void)use(2, 7); /* and then the edges go, too */
    gov__experts_set_limit(&experts, 0);
    memset(two, 0, sizeof(two));
    mark(two, 2, 7);
    for (size_t p = 0; p < page_count; p++)
        ck_assert_msg(is_there(p) == (two[p] || kept[p]), "page %zu", p);
}
END_TEST

static uint64_t resident_experts(void)
{
    uint64_t bytes = 0;

    for (size_t p = 0; p < page_count; p++)
        bytes += !kept[p] && is_there(p) ? page : 0;
    return bytes;
}

START_TEST(stays_within_the_limit)
{
    unsigned seed = 7;
    uint64_t limit = take(0, 0, EXPERTS) * 3 / 2;

    if (!can_drop("stays_within_the_limit"))
        return;
    init_with(limit);
    for (int i = 0; i < 300; i++) {
        uint32_t layer = (uint32_t)(i % LAYERS), numbers[2];

        numbers[0] = (uint32_t)(rand_r(&seed) % EXPERTS);
        numbers[1] = (uint32_t)(rand_r(&seed) % EXPERTS);
        forget_reads();
        (void)gov__experts_used(&experts, unit_of(layer, 0), numbers, 2);
        check_bytes(layer, numbers[0]);
        check_bytes(layer, numbers[1]);
        ck_assert_uint_eq(resident_experts(), experts.there_bytes);
        ck_assert_uint_le(experts.there_bytes, limit);
        if (i == 100 || i == 200) {
            limit /= 2;
            gov__experts_set_limit(&experts, limit);
            ck_assert_uint_le(resident_experts(), limit);
        }
    }
    ck_assert_uint_eq(experts.failures, 0);
}
END_TEST

START_TEST(takes_over_from_the_last_run)
{
    if (!can_drop("takes_over_from_the_last_run"))
        return;
    for (size_t p = 0; p < page_count; p++)
        (void)*(volatile char *)(file.base + p * page);
    init_with(take(0, 0, EXPERTS));
    gov__experts_look(&experts);
    ck_assert_uint_eq(resident_experts(), experts.there_bytes);
    ck_assert_uint_gt(experts.there_bytes, take(0, 0, EXPERTS) / 2);
    ck_assert_uint_le(experts.there_bytes, experts.limit_bytes);
    for (size_t p = 0; p < page_count; p++)
        ck_assert(!kept[p] || is_there(p));
    ck_assert_uint_eq(use(0, 0).bytes, 0);
}
END_TEST

/* Cut to nothing, or within an expert: reads fail, nothing ends. */
START_TEST(survives_a_file_that_is_cut)
{
    uint64_t at = units[unit_of(1, 0)].file_offset + 5 * page;

    init_with(UINT64_MAX);
    empty_cache();
    ck_assert_int_eq(truncate(path, _i == 0 ? 0 : (off_t)at), 0);
    (void)use(2, 3);
    ck_assert_uint_ge(experts.failures, 4);
    (void)use(1, 0);
    (void)use(0, 0);
    ck_assert_uint_ge(experts.failures, _i == 0 ? 12 : 8);
    gov__experts_look(&experts);
    gov__experts_set_limit(&experts, 0);
    (void)use(2, 3);
    ck_assert_uint_eq(experts.there_bytes, take(2, 3, 4));
}
END_TEST

/* ---- from several threads -------------------------------------------------------- */

static atomic_bool done;

static void *change_limit(void *arg)
{
    unsigned seed = 3;

    (void)arg;
    while (!atomic_load(&done)) {
        struct gov_weights_account a = {0};

        gov__experts_set_limit(&experts, (uint64_t)rand_r(&seed) %
                                             (2 * take(0, 0, EXPERTS)));
        if (rand_r(&seed) % 8 == 0)
            gov__experts_look(&experts);
        gov__experts_account(&experts, &a);
    }
    return NULL;
}

/* The recorder is no thread's friend: this runs on the system's own table. */
START_TEST(limit_changes_during_reads)
{
    pthread_t thread;
    unsigned seed = 5;

    range.platform = gov__platform_native();
    init_with(UINT64_MAX);
    atomic_store(&done, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, change_limit, NULL), 0);
    for (int i = 0; i < 2000; i++) {
        uint32_t numbers[2] = {(uint32_t)(rand_r(&seed) % EXPERTS),
                               (uint32_t)(rand_r(&seed) % EXPERTS)};
        uint32_t layer = (uint32_t)(i % LAYERS);

        (void)gov__experts_used(&experts, unit_of(layer, 0), numbers, 2);
        for (int n = 0; n < 2; n++)
            ck_assert(experts
                          .experts[gov__experts_find(
                              &experts, unit_of(layer, 0), numbers[n])]
                          .there);
        if (i % 100 == 0)
            check_bytes(layer, numbers[0]);
    }
    atomic_store(&done, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    (void)gov__experts_used(&experts, unit_of(0, 0), NULL, 0);
    gov__experts_set_limit(&experts, 0);
    ck_assert_uint_eq(experts.there_bytes, 0);
    ck_assert_uint_eq(experts.oldest, GOV__NO_EXPERT);
    ck_assert_uint_eq(experts.failures, 0);
}
END_TEST

static void add_case(Suite *s, const char *name, SFun setup,
                     const TTest *const *tests)
{
    TCase *c = tcase_create(name);

    tcase_add_checked_fixture(c, setup, tear_down);
    tcase_set_timeout(c, 120);
    for (; *tests != NULL; tests++)
        tcase_add_test(c, *tests);
    suite_add_tcase(s, c);
}

static void add_loop(Suite *s, SFun setup, const TTest *test, int rows)
{
    TCase *c = tcase_create(test->name);

    tcase_add_checked_fixture(c, setup, tear_down);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, test, 0, rows);
    suite_add_tcase(s, c);
}

Suite *suite(void)
{
    const TTest *const fake[] = {joins_units_of_a_layer,
                                 drops_while_it_reads,
                                 passes_over_nonsense,
                                 keeps_what_is_needed_over_the_limit,
                                 gives_advice_and_takes_it_back,
                                 adds_to_the_account,
                                 reads_again_what_failed,
                                 a_start_that_fails_is_harmless,
                                 does_without_a_descriptor,
                                 out_of_memory_leaves_nothing,
                                 takes_over_what_is_whole,
                                 shrinks_before_the_first_call,
                                 reads_again_what_the_system_took,
                                 looks_past_what_is_being_read,
                                 tells_files_apart,
                                 NULL};
    const TTest *const bare[] = {learns_single_experts, learns_holes, NULL};
    const TTest *const real[] = {
        reads_exactly_what_is_missing, leaves_shared_edges,
        stays_within_the_limit,        takes_over_from_the_last_run,
        limit_changes_during_reads,    NULL};
    Suite *s = suite_create("experts");

    add_case(s, "asked of the system", set_up_fake, fake);
    add_case(s, "models", set_up, bare);
    add_case(s, "on a file", set_up_real, real);
    add_loop(s, set_up_fake, order_is_exact, 2);
    add_loop(s, set_up_fake, counts_drops_that_fail, 2);
    add_loop(s, set_up_fake, leaves_what_is_not_mapped, 2);
    add_loop(s, set_up_fake, drops_what_nobody_tells_of, 2);
    add_loop(s, set_up, leaves_what_is_not_cut,
             sizeof(not_ours) / sizeof(not_ours[0]));
    add_loop(s, set_up, leaves_too_many, 2);
    add_loop(s, set_up_real, survives_a_file_that_is_cut, 2);
    return s;
}
