/* SPDX-License-Identifier: MIT */
/* The mirror of KV caches on the engine itself: two contexts do the same, one of which
 * is released after whatever it did. In place of zeros it gets garbage, so that a cell
 * which is still in use would tell. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "governor/governor.h"

/* Finite as F16, F32 and the scale of Q8_0: what attention masks is multiplied by 0. */
#define POISON 0x5a

static bool poisoning;

static uint64_t discard(void *base, size_t bytes)
{
    const uintptr_t mask = gov_page_bytes() - 1;
    const uintptr_t from = ((uintptr_t)base + mask) & ~mask;
    const uintptr_t to = ((uintptr_t)base + bytes) & ~mask;

    if (!poisoning)
        return gov_discard(base, bytes);
    memset((void *)from, POISON, to - from);
    return to - from;
}

#define gov_discard discard
#include "adapters/llama/llama_kv.c"
#include "adapters/llama/llama_kv_cells.c"
#include "adapters/llama/llama_kv_give.c"
#include "adapters/llama/llama_kv_mask.c"
#undef gov_discard

#include "tests/engine/llama_fixture.h"
#include "tests/support/run.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define SEQUENCES 4
#define BATCH 128
#define UBATCH 32
#define STRETCHES 2048

/* ---- contexts ----------------------------------------------------------------------- */

static const struct setting {
    const char *preset;
    enum llama_flash_attn_type attention;
    enum ggml_type k, v;
    bool unified;
    uint32_t context; /* tokens, of all sequences */
} settings[] = {
    {"tiny", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16, GGML_TYPE_F16, true,
     1024},
    {"tiny", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16, GGML_TYPE_F16, false,
     2048},
    {"tiny", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_Q8_0, GGML_TYPE_Q8_0,
     true, 1024},
    {"tiny", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_Q8_0, GGML_TYPE_Q8_0,
     false, 2048},
    {"tiny", LLAMA_FLASH_ATTN_TYPE_DISABLED, GGML_TYPE_F16, GGML_TYPE_F16, true,
     4096}, /* V transposed */
    {"tiny", LLAMA_FLASH_ATTN_TYPE_DISABLED, GGML_TYPE_F16, GGML_TYPE_F16,
     false, 16384},
    {"tiny", LLAMA_FLASH_ATTN_TYPE_DISABLED, GGML_TYPE_Q8_0, GGML_TYPE_F32,
     true, 4096},
    {"tiny-mixtral", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16,
     GGML_TYPE_F16, true, 1024},
    {"tiny-gemma3", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16, GGML_TYPE_F16,
     true, 2048},
    {"tiny-gemma3", LLAMA_FLASH_ATTN_TYPE_DISABLED, GGML_TYPE_F16,
     GGML_TYPE_F16, false, 4096},
    {"tiny-gpt-oss", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16,
     GGML_TYPE_F16, true, 2048},
    {"tiny-gpt-oss", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_Q8_0,
     GGML_TYPE_Q8_0, false, 4096},
    {"tiny-gemma2", LLAMA_FLASH_ATTN_TYPE_DISABLED, GGML_TYPE_F16,
     GGML_TYPE_F16, true, 2048},
    {"tiny-gemma4", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16, GGML_TYPE_F16,
     true, 2048},
    {"tiny-deepseek2", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16,
     GGML_TYPE_F16, true, 1024}, /* no V */
    {"tiny-granitehybrid", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16,
     GGML_TYPE_F16, true, 1024},
    {"tiny-falcon-h1", LLAMA_FLASH_ATTN_TYPE_ENABLED, GGML_TYPE_F16,
     GGML_TYPE_F16, false, 2048},
    {"tiny-lfm2", LLAMA_FLASH_ATTN_TYPE_DISABLED, GGML_TYPE_F16, GGML_TYPE_F16,
     true, 2048},
};

static const char *file_of(const char *preset)
{
    static char name[64];

    snprintf(name, sizeof(name), "%s.gguf", preset);
    return name;
}

static void make_models(void)
{
    for (int i = 0; i < COUNT(settings); i++)
        make_model(file_of(settings[i].preset), "Q4_0", settings[i].preset);
}

struct side {
    struct llama_context *context;
    struct gov__llama_kv *kv; /* NULL: the engine alone */
    int stop;   /* nodes until the pass is stopped; 0: it is not */
    bool shown; /* the graph that rotates K was */
    float *logits;
};

static struct gov__llama_kv kv;
static struct llama_model *model;
static struct side
    sides[2]; /* the engine alone, and the one that is released */

static bool watch(struct ggml_tensor *node, bool ask, void *data)
{
    struct side *side = data;

    if (ask && side->kv != NULL) {
        gov__kv_watch(side->kv, node);
        side->shown |= side->kv->shift_seen;
    }
    return !ask;
}

static bool stop(void *data)
{
    struct side *side = data;

    return side->stop > 0 && --side->stop == 0;
}

static void open_side(struct side *side, const struct setting *setting,
                      bool mirrored)
{
    struct llama_context_params params = llama_context_default_params();

    memset(side, 0, sizeof(*side));
    side->kv = mirrored ? &kv : NULL;
    params.n_ctx = setting->context;
    params.n_batch = BATCH;
    params.n_ubatch = kv.window > 0 ? BATCH : UBATCH;
    params.n_seq_max = SEQUENCES;
    params.kv_unified = setting->unified;
    params.swa_full = false;
    params.n_threads = params.n_threads_batch = 1;
    params.flash_attn_type = setting->attention;
    params.type_k = setting->k;
    params.type_v = setting->v;
    params.cb_eval = watch;
    params.cb_eval_user_data = side;
    params.abort_callback = stop;
    params.abort_callback_data = side;
    side->context = llama_init_from_model(model, params);
    ck_assert_ptr_nonnull(side->context);
}

/* Positions of each sequence go on here. */
static int32_t next[SEQUENCES];

static void open_both(const struct setting *setting)
{
    struct llama_model_params params = llama_model_default_params();
    int32_t window;

    llama_log_set(control_silent, NULL);
    memset(next, 0, sizeof(next));
    poisoning = false;
    params.n_gpu_layers = 0;
    params.use_extra_bufts = false;
    model = llama_model_load_from_file(in_directory(file_of(setting->preset)),
                                       params);
    ck_assert_ptr_nonnull(model);
    window = llama_model_n_swa(model);
    memset(&kv, 0, sizeof(kv));
    kv.page_bytes = gov_page_bytes();
    kv.window = window > 0 ? (uint32_t)window : 0;
    open_side(&sides[0], setting, false);
    open_side(&sides[1], setting, true);
}

static void close_both(void)
{
    gov__kv_close(&kv);
    llama_free(sides[0].context);
    llama_free(sides[1].context);
    llama_model_free(model);
}

static llama_memory_t memory_of(int side)
{
    return llama_get_memory(sides[side].context);
}

/* ---- what a conversation does -------------------------------------------------------- */

static uint32_t chance(unsigned int *seed, uint32_t n)
{
    return (uint32_t)rand_r(seed) % n;
}

static int decode_side(struct side *side, uint32_t sequence,
                       const llama_token *tokens, int32_t count)
{
    struct llama_batch batch = llama_batch_init(count, 0, 1);
    int rc;

    for (int32_t i = 0; i < count; i++) {
        batch.token[i] = tokens[i];
        batch.pos[i] = next[sequence] + i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = (llama_seq_id)sequence;
        batch.logits[i] = i == count - 1;
    }
    batch.n_tokens = count;
    if (side->kv != NULL)
        gov__kv_begin(side->kv, sequence, next[sequence]);
    rc = llama_decode(side->context, batch);
    if (side->kv != NULL)
        gov__kv_account(side->kv);
    side->stop = 0;
    side->logits = rc == 0 ? llama_get_logits_ith(side->context, -1) : NULL;
    llama_batch_free(batch);
    return rc;
}

static void remove_both(uint32_t sequence, int32_t from, int32_t to)
{
    for (int i = 0; i < 2; i++)
        ck_assert(llama_memory_seq_rm(memory_of(i), (llama_seq_id)sequence,
                                      from, to));
    gov__kv_removed(&kv, sequence, from, to);
    next[sequence] =
        llama_memory_seq_pos_max(memory_of(0), (llama_seq_id)sequence) + 1;
}

/* Random tokens; both sides compute the same bits. Stopped after so many nodes, the
 * pass is taken back. */
static void decode(uint32_t sequence, int32_t count, int stop_after,
                   unsigned int *seed)
{
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    const uint32_t vocabulary = (uint32_t)llama_vocab_n_tokens(vocab);
    llama_token tokens[BATCH];
    int rc[2];

    ck_assert_int_le(count, BATCH);
    for (int32_t i = 0; i < count; i++)
        tokens[i] = (llama_token)chance(seed, vocabulary);
    for (int i = 0; i < 2; i++) {
        sides[i].stop = stop_after;
        rc[i] = decode_side(&sides[i], sequence, tokens, count);
    }
    ck_assert_int_eq(rc[0], rc[1]);
    ck_assert_int_eq(kv.disagreed, 0);
    if (rc[0] == 0) {
        ck_assert_mem_eq(sides[0].logits, sides[1].logits,
                         vocabulary * sizeof(float));
        next[sequence] += count;
        return;
    }
    ck_assert_int_eq(rc[0], 2);
    /* A recurrent state has no past. */
    remove_both(sequence, llama_model_is_hybrid(model) ? 0 : next[sequence],
                -1);
}

static void clear_both(void)
{
    for (int i = 0; i < 2; i++)
        llama_memory_clear(memory_of(i), false);
    gov__kv_cleared(&kv);
    memset(next, 0, sizeof(next));
}

/* Forgets [from, to) and moves what follows up to it. */
static void forget(uint32_t sequence, int32_t from, int32_t to)
{
    const int32_t length = next[sequence];

    remove_both(sequence, from, to);
    for (int i = 0; i < 2; i++)
        llama_memory_seq_add(memory_of(i), (llama_seq_id)sequence, to, -1,
                             from - to);
    gov__kv_moved(&kv, sequence, to, -1, from - to);
    next[sequence] = length - (to - from);
}

/* ---- states --------------------------------------------------------------------------- */

static struct saved {
    uint8_t *bytes[2];
    size_t size;
    struct gov__kv_stretch stretch[STRETCHES];
    uint32_t stretches;
    int32_t next;
} saved[3];

static void save(struct saved *to, uint32_t sequence)
{
    for (int i = 0; i < 2; i++) {
        to->size = llama_state_seq_get_size_ext(sides[i].context,
                                                (llama_seq_id)sequence, 0);
        free(to->bytes[i]);
        to->bytes[i] = malloc(to->size);
        ck_assert_ptr_nonnull(to->bytes[i]);
        ck_assert_uint_eq(
            llama_state_seq_get_data_ext(sides[i].context, to->bytes[i],
                                         to->size, (llama_seq_id)sequence, 0),
            to->size);
    }
    ck_assert_mem_eq(to->bytes[0], to->bytes[1], to->size);
    to->stretches = gov__kv_stretches(&kv, sequence, to->stretch, STRETCHES);
    ck_assert_uint_le(to->stretches, STRETCHES);
    to->next = next[sequence];
}

static void restore(const struct saved *from, uint32_t sequence)
{
    for (int i = 0; i < 2; i++)
        ck_assert_uint_eq(
            llama_state_seq_set_data_ext(sides[i].context, from->bytes[i],
                                         from->size, (llama_seq_id)sequence, 0),
            from->size);
    gov__kv_restored(&kv, sequence, from->stretch, from->stretches);
    next[sequence] = from->next;
}

static void forget_saved(void)
{
    for (int i = 0; i < COUNT(saved); i++) {
        free(saved[i].bytes[0]);
        free(saved[i].bytes[1]);
        memset(&saved[i], 0, sizeof(saved[i]));
    }
}

/* ---- what must hold ------------------------------------------------------------------- */

/* The engine tells no more of its cells than this. What a window let go of is still
 * taken to be in use now and then. */
static void check_positions(void)
{
    for (uint32_t s = 0; s < SEQUENCES; s++)
        for (uint32_t i = 0; i < kv.caches; i++) {
            const struct gov__kv_cells *c = &kv.cache[i];
            llama_pos min = INT32_MAX, max = -1;

            for (uint32_t at = 0; at < c->per_stream * c->streams; at++)
                if (c->owner[at] == s + 1) {
                    min = c->pos[at] < min ? c->pos[at] : min;
                    max = c->pos[at] > max ? c->pos[at] : max;
                }
            ck_assert_int_eq(
                max, llama_memory_seq_pos_max(memory_of(1), (llama_seq_id)s));
            if (max >= 0 && c->kind != GOV__KV_FULL)
                ck_assert_int_le(min, llama_memory_seq_pos_min(
                                          memory_of(1), (llama_seq_id)s));
            ck_assert_uint_eq(c->used_by[s] == 0, max < 0);
        }
}

static void check_state(void)
{
    for (uint32_t i = 0; i < kv.caches; i++) {
        ck_assert(!kv.cache[i].unknown);
        ck_assert_int_ne(kv.cache[i].kind, GOV__KV_STRANGE);
    }
    ck_assert(!kv.ungovernable);
    ck_assert(!kv.on_device);
    if (!llama_model_is_hybrid(model))
        check_positions();
}

/* ---- two contexts that do the same ------------------------------------------------------ */

static uint32_t tokens_in_use(void)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < kv.caches; i++)
        if (kv.cache[i].used > most)
            most = kv.cache[i].used;
    return most;
}

/* So many more have room beside what is there, whoever they are of. */
static bool has_room(const struct setting *setting, uint32_t sequence,
                     uint32_t tokens)
{
    if (setting->unified)
        return tokens_in_use() + tokens <= setting->context;
    return (uint32_t)next[sequence] + tokens <= setting->context / SEQUENCES;
}

static void take_something_back(uint32_t sequence, unsigned int *seed)
{
    const int32_t length = next[sequence];
    int32_t most = length;

    if (llama_model_is_hybrid(model) || chance(seed, 4) == 0) {
        remove_both(sequence, -1, -1);
        return;
    }
    if (llama_model_n_swa(model) > 0 && most > 20)
        most = 20;
    most = (int32_t)chance(seed, (uint32_t)most);
    remove_both(sequence, length - most, -1);
}

static void forget_something(uint32_t sequence, unsigned int *seed)
{
    const int32_t length = next[sequence];
    const int32_t from = (int32_t)chance(seed, (uint32_t)length);
    const int32_t to = from + (int32_t)chance(seed, (uint32_t)(length - from));

    if (!llama_memory_can_shift(memory_of(0)) || llama_model_is_hybrid(model) ||
        kv.window > 0 || from == to)
        return;
    if (chance(seed, 3) == 0 && to < length)
        remove_both(sequence, from, to); /* positions stay */
    else
        forget(sequence, from, to);
}

static void save_or_restore(const struct setting *setting, uint32_t sequence,
                            unsigned int *seed)
{
    struct saved *slot = &saved[chance(seed, COUNT(saved))];

    if (slot->bytes[0] == NULL || chance(seed, 2) == 0) {
        if (next[sequence] > 0)
            save(slot, sequence);
        return;
    }
    if (setting->unified ? has_room(setting, sequence, (uint32_t)slot->next)
                         : (uint32_t)slot->next <= setting->context / SEQUENCES)
        restore(slot, sequence);
}

static void do_something(const struct setting *setting, unsigned int *seed)
{
    const uint32_t sequence = chance(seed, SEQUENCES);
    const uint32_t count =
        chance(seed, 3) == 0 ? 1 + chance(seed, BATCH) : 1 + chance(seed, 4);
    const uint32_t what = chance(seed, 100);

    if (!has_room(setting, sequence, count)) {
        remove_both(sequence, -1, -1);
        return;
    }
    if (what < 65)
        decode(sequence, (int32_t)count, 0, seed);
    else if (what < 70)
        decode(sequence, (int32_t)count, 1 + (int)chance(seed, 500), seed);
    else if (what < 77 && next[sequence] > 0)
        take_something_back(sequence, seed);
    else if (what < 87 && next[sequence] > 1)
        forget_something(sequence, seed);
    else if (what < 99)
        save_or_restore(setting, sequence, seed);
    else
        clear_both();
}

#define STEPS 80
#define SEEDS 2

START_TEST(released_cells_change_no_logit)
{
    const struct setting *setting = &settings[_i / SEEDS];
    unsigned int seed = (unsigned int)_i % SEEDS + 1;

    open_both(setting);
    poisoning = _i % SEEDS != 0;
    for (int step = 0; step < STEPS; step++) {
        do_something(setting, &seed);
        check_state();
        if (chance(&seed, 2) == 0)
            gov__kv_release(&kv);
    }
    ck_assert_uint_gt(atomic_load(&kv.given_back_bytes), 0);
    ck_assert_uint_eq(kv.caches, kv.window > 0 ? 2 : 1);
    if (setting->attention == LLAMA_FLASH_ATTN_TYPE_DISABLED)
        for (uint32_t i = 0; i < kv.layers; i++)
            ck_assert(kv.layer[i].v == NULL || kv.layer[i].v_transposed);
    forget_saved();
    close_both();
}
END_TEST

/* ---- one thing at a time ----------------------------------------------------------------- */

/* The graph that rotates K is shown, and what it brought goes again. */
START_TEST(the_engine_shows_that_it_rotates)
{
    unsigned int seed = 1;
    uint32_t all;

    open_both(&settings[_i]);
    decode(0, 128, 0, &seed);
    gov__kv_release(&kv);
    all = kv.cache[0].per_stream * kv.cache[0].streams;
    ck_assert_uint_eq(kv.cache[0].held[GOV__KV_K], 128);
    forget(0, 10, 100);
    gov__kv_release(&kv);
    ck_assert_uint_eq(kv.cache[0].held[GOV__KV_K], 38);
    ck_assert(!sides[1].shown);
    decode(0, 1, 0, &seed);
    ck_assert(sides[1].shown);
    ck_assert_uint_eq(kv.cache[0].held[GOV__KV_K], all);
    ck_assert_uint_gt(atomic_load(&kv.unused_bytes), 0);
    gov__kv_release(&kv);
    ck_assert_uint_eq(kv.cache[0].held[GOV__KV_K], 39);
    close_both();
}
END_TEST

/* Cell by cell: K of the restored sequence is that of the one that was saved. */
START_TEST(a_state_is_where_it_was_predicted)
{
    const struct ggml_tensor *k;
    unsigned int seed = 1;
    struct gov__kv_cells *c = &kv.cache[0];
    uint32_t from[64], to[64], n = 0, m = 0;

    open_both(&settings[_i]);
    decode(0, 20, 0, &seed);
    decode(1, 30, 0, &seed);
    decode(0, 15, 0, &seed);
    decode(2, 5, 0, &seed);
    remove_both(1, -1, -1);
    decode(2, 3, 0, &seed); /* the next are looked for behind these */
    save(&saved[0], 0);
    restore(&saved[0], 3);
    for (uint32_t i = 0; i < c->per_stream * c->streams; i++) {
        if (c->owner[i] == 1)
            from[n++] = i;
        if (c->owner[i] == 4)
            to[m++] = i;
    }
    ck_assert_uint_eq(n, 35);
    ck_assert_uint_eq(m, 35);
    k = kv.layer[0].k;
    for (uint32_t i = 0; i < n; i++)
        ck_assert_mem_eq((char *)k->data + from[i] * k->nb[1],
                         (char *)k->data + to[i] * k->nb[1], k->nb[1]);
    ck_assert_uint_eq(c->unsure_count, settings[_i].unified);
    decode(2, 1, 0, &seed);
    ck_assert_uint_eq(c->unsure_count, settings[_i].unified);
    decode(3, 1, 0, &seed);
    ck_assert_uint_eq(c->unsure_count, 0);
    ck_assert_uint_gt(atomic_load(&kv.unused_bytes), 0);
    forget_saved();
    close_both();
}
END_TEST

/* A mirror that is wrong is found out by the mask, and nothing goes any more. */
START_TEST(a_wrong_mirror_is_found_out)
{
    const struct setting *setting = &settings[_i / 3];
    struct gov__kv_cells *c = &kv.cache[0];
    llama_token token = 5;
    unsigned int seed = 1;
    uint64_t given;

    open_both(setting);
    decode(0, 40, 0, &seed);
    decode(1, 20, 0, &seed);
    gov__kv_release(&kv);
    remove_both(0, 30, -1);
    if (_i % 3 == 0)
        gov__kv_vacate(c, 12); /* in use, and taken to be free */
    else if (_i % 3 == 1)
        gov__kv_occupy(c, 35, 0, 29); /* free, and taken to be in use */
    else
        c->pos[12] = 100;
    given = atomic_load(&kv.given_back_bytes);
    ck_assert_int_eq(decode_side(&sides[1], 0, &token, 1), 0);
    ck_assert_uint_eq(kv.disagreed, 1);
    ck_assert(c->unknown);
    gov__kv_release(&kv);
    ck_assert_uint_eq(atomic_load(&kv.given_back_bytes), given);
    ck_assert_uint_eq(atomic_load(&kv.unused_bytes), 0);
    clear_both();
    kv.disagreed = 0;
    ck_assert(!c->unknown);
    gov__kv_release(&kv);
    ck_assert_uint_gt(atomic_load(&kv.given_back_bytes), given);
    decode(0, 9, 0, &seed);
    ck_assert_uint_eq(c->used, 9);
    close_both();
}
END_TEST

/* ---- against the kernel -------------------------------------------------------------------- */

static uint64_t resident_bytes(const struct ggml_tensor *tensor)
{
    const size_t page = kv.page_bytes;
    const uintptr_t from = (uintptr_t)tensor->data & ~(page - 1);
    const uintptr_t to = (uintptr_t)tensor->data + ggml_nbytes(tensor);
    const size_t pages = (to - from + page - 1) / page;
    unsigned char *in = malloc(pages);
    uint64_t bytes = 0;

    ck_assert_ptr_nonnull(in);
    ck_assert_int_eq(mincore((void *)from, pages * page, in), 0);
    for (size_t i = 0; i < pages; i++)
        bytes += (in[i] & 1) * page;
    free(in);
    return bytes;
}

/* What is said to be held is resident, a page at either end of what is used of a
 * tensor and of a hole in it aside, and the page that its end shares with the next
 * tensor. */
static void check_resident(uint32_t holes)
{
    uint64_t held = atomic_load(&kv.held_bytes), resident = 0;
    uint64_t edges = 0;

    for (uint32_t i = 0; i < kv.layers; i++) {
        resident +=
            resident_bytes(kv.layer[i].k) + resident_bytes(kv.layer[i].v);
        edges += 2 * (3 + 2 * holes) * kv.page_bytes;
    }
    ck_assert_uint_le(held, resident);
    ck_assert_uint_le(resident, held + edges);
}

START_TEST(what_is_held_is_resident)
{
    const struct setting setting = {
        "tiny",        LLAMA_FLASH_ATTN_TYPE_ENABLED,
        GGML_TYPE_F16, GGML_TYPE_F16,
        true,          16384};
    unsigned int seed = 1;

    open_both(&setting);
    decode(0, 1, 0, &seed);
    clear_both();
    gov__kv_release(&kv);
    ck_assert_uint_lt(atomic_load(&kv.held_bytes),
                      4 * kv.layers * kv.page_bytes);
    for (int n = 0; n < 200; n++) {
        decode((uint32_t)n / 100, 1, 0, &seed);
        check_resident(0);
    }
    ck_assert_uint_eq(kv.cache[0].held[0], 200);
    remove_both(0, 40, 60);
    gov__kv_release(&kv);
    check_resident(1);
    remove_both(0, -1, -1);
    gov__kv_release(&kv);
    check_resident(1);
    ck_assert_uint_eq(kv.cache[0].used, 100);
    ck_assert_uint_eq(atomic_load(&kv.unused_bytes), 0);
    close_both();
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama_kv_engine");
    TCase *random = tcase_create("random"), *single = tcase_create("single");

    tcase_add_unchecked_fixture(random, make_models, NULL);
    tcase_add_loop_test(random, released_cells_change_no_logit, 0,
                        SEEDS * COUNT(settings));
    tcase_set_timeout(random, 60);
    suite_add_tcase(s, random);
    tcase_add_unchecked_fixture(single, make_models, NULL);
    tcase_add_loop_test(single, the_engine_shows_that_it_rotates, 0, 7);
    tcase_add_loop_test(single, a_state_is_where_it_was_predicted, 0, 2);
    tcase_add_loop_test(single, a_wrong_mirror_is_found_out, 0, 3 * 7);
    tcase_add_test(single, what_is_held_is_resident);
    suite_add_tcase(s, single);
    return s;
}
