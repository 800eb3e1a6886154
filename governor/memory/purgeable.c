/* SPDX-License-Identifier: MIT */
/* Blocks that the kernel may take while nobody holds them. Owns the mapping and
 * the knowledge of whether it survived; never keeps a copy of the content, and
 * writes into it only what is there already.
 *
 * How a loss shows. The kernel takes a lazily freed page (MADV_FREE) whole or
 * not at all, and a page it took reads as zero: never torn in any of our runs,
 * and so by the code (mm/rmap.c, try_to_unmap_one). So one word per page that
 * was not zero when the block was let go tells the page's fate, and it is kept
 * outside, so that the content is not interrupted by marks. A page that was
 * zero all over cannot lose anything and has no mark.
 *
 * Why begin cannot lose the race against the kernel. It swaps the marked word
 * with the value that it should have: one access that reads and needs the page
 * writable.
 *  - The page was taken before it: the access faults, the kernel maps a zeroed
 *    page, and the swap returns zero. Lost.
 *  - Else the same access makes the page dirty, and the kernel, which looks for
 *    that once it has taken the page out of the table, puts it back. Kept, and
 *    safe from then on.
 * Nothing fits between: a CPU that holds a clean translation must walk the page
 * table to set the dirty bit, and faults if the entry is gone; where it is the
 * kernel that marks pages dirty, the entry is read-only until then. With load-
 * and store-exclusive pairs the fault clears the reservation, and the pair
 * starts again. Reading first and writing afterwards would leave a gap in which
 * the page is taken and the write lands on a zeroed one.
 *
 * It must be a swap. An atomic "or" with zero does the same by the book, but
 * clang compiles it to a fence and a load, which leaves the page clean:
 * https://github.com/llvm/llvm-project, lowerIdempotentRMWIntoFencedLoad.
 *
 * How holding stays cheap. One atomic word counts the holds. While the block is
 * plain (its bytes are there, and the kernel was told nothing) begin and end
 * change that word and no more; the last end of a block in no group, and a hand-
 * over, make it not plain, and then only who has the lock changes the word. A
 * count of 0 becomes not plain by one swap, so no begin can slip in between.
 *
 * After fork() parent and child each own their copy, and the marks hold in
 * both: a page is shared until the swap copies it. As with any mutex, a child
 * must not use a block that another thread was beginning or ending meanwhile. */
#include "governor/memory/memory_priv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A word of a page that was not zero. value 0: the page was zero all over. */
struct mark {
    uint32_t value;
    uint32_t word; /* its number in the page */
};

/* The word of a block. Held and not plain: the content was lost, and who holds it
 * has not called end yet. */
#define HOLDS (((uint64_t)1 << 62) - 1)
#define LAZY ((uint64_t)1 << 62) /* in a group: the last end offers nothing */
#define NOT_PLAIN ((uint64_t)1 << 63) /* changed under the lock only */

struct gov_purgeable {
    _Atomic uint64_t word;
    const struct gov_platform *platform;
    struct gov_alloc alloc;
    pthread_mutex_t lock;
    unsigned char *base;
    size_t bytes, page, pages;
    bool can_offer;
    bool offered; /* the kernel may have taken pages; marks[] tells */
    bool purged;  /* by us, since the last end */
    bool torn;    /* a purge failed, perhaps halfway, and no mark would show */
    gov_purgeable_group *group;
    gov_purgeable *next, **link; /* in the group, under its lock */
    struct mark marks[];
};

/* Its lock is taken before a block's. */
struct gov_purgeable_group {
    struct gov_alloc alloc;
    pthread_mutex_t lock;
    gov_purgeable *first;
};

/* A whole number of these is a page. */
#define LINE 64

/* The swap must be one instruction, and fit a word of the content. */
static_assert(ATOMIC_INT_LOCK_FREE == 2 &&
                  sizeof(_Atomic uint32_t) == sizeof(uint32_t),
              "needs atomic 32-bit words without a lock");

/* A page's mark. The last one's place is tried first: in most content a word
 * that was not zero stays so, and then this costs one load. */
static struct mark mark_page(const unsigned char *page, size_t bytes,
                             uint32_t word)
{
    struct mark mark = {0, word};
    size_t at = 0;

    memcpy(&mark.value, page + word * sizeof(mark.value), sizeof(mark.value));
    if (mark.value != 0)
        return mark;
    for (; at < bytes; at += LINE) {
        uint64_t line[LINE / 8], any = 0;

        memcpy(line, page + at, LINE);
        for (size_t i = 0; i < LINE / 8; i++)
            any |= line[i];
        if (any != 0)
            break;
    }
    for (; at < bytes && mark.value == 0; at += sizeof(mark.value)) {
        memcpy(&mark.value, page + at, sizeof(mark.value));
        mark.word = (uint32_t)(at / sizeof(mark.value));
    }
    return mark;
}

/* volatile: no access to it may be left out or moved. */
static volatile _Atomic uint32_t *marked_word(const gov_purgeable *block,
                                              size_t i)
{
    void *page = block->base + i * block->page;

    return (volatile _Atomic uint32_t *)page + block->marks[i].word;
}

/* Takes every page back from the kernel; false when one is gone. */
static bool take_back_locked(gov_purgeable *block)
{
    for (size_t i = 0; i < block->pages; i++) {
        const uint32_t value = block->marks[i].value;

        if (value != 0 &&
            atomic_exchange(marked_word(block, i), value) != value)
            return false;
    }
    return true;
}

gov_status gov__purgeable_new_on(gov_purgeable **out,
                                 const struct gov_platform *platform,
                                 size_t bytes, const char *tag,
                                 const struct gov_alloc *alloc, gov_error *err)
{
    const size_t page = platform->page_bytes(platform->ctx);
    gov_purgeable *block = NULL;
    void *base = NULL;
    size_t pages = 0, block_bytes;
    int rc = ENOMEM;

    *out = NULL;
    if (alloc == NULL)
        alloc = gov_alloc_default();
    if (bytes == 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "a purgeable block of 0 bytes holds nothing; ask for "
                        "at least 1");
    if (bytes > SIZE_MAX / 2)
        goto fail;
    pages = (size_t)gov__round_up(bytes, page) / page;
    block_bytes = sizeof(*block) + pages * sizeof(block->marks[0]);
    block = alloc->alloc(alloc->ctx, block_bytes);
    if (block == NULL)
        goto fail;
    memset(block, 0, block_bytes);
    rc = platform->map(platform->ctx, pages * page, tag, &base);
    if (rc != 0)
        goto fail;
    rc = pthread_mutex_init(&block->lock, NULL);
    if (rc != 0)
        goto fail;
    block->platform = platform;
    block->alloc = *alloc;
    block->base = base;
    block->bytes = pages * page;
    block->page = page;
    block->pages = pages;
    block->can_offer = true;
    atomic_init(&block->word, 1);
    *out = block;
    return GOV_OK;
fail:
    if (base != NULL)
        gov__unmap(platform, base, pages * page);
    alloc->release(alloc->ctx, block);
    return gov_fail(err, rc == ENOTSUP ? GOV_E_UNSUPPORTED : GOV_E_NOMEM, rc,
                    "no purgeable block of %zu bytes; ask for less or free "
                    "some memory",
                    bytes);
}

gov_status gov_purgeable_new(gov_purgeable **out, size_t bytes, const char *tag,
                             const struct gov_alloc *alloc, gov_error *err)
{
    return gov__purgeable_new_on(out, gov__platform_native(), bytes, tag, alloc,
                                 err);
}

static void leave_group(gov_purgeable *block)
{
    gov_purgeable_group *group = block->group;

    if (group == NULL)
        return;
    pthread_mutex_lock(&group->lock);
    *block->link = block->next;
    if (block->next != NULL)
        block->next->link = block->link;
    block->group = NULL;
    pthread_mutex_unlock(&group->lock);
}

void gov_purgeable_free(gov_purgeable *block)
{
    struct gov_alloc alloc;

    if (block == NULL)
        return;
    alloc = block->alloc;
    leave_group(block);
    gov__unmap(block->platform, block->base, block->bytes);
    pthread_mutex_destroy(&block->lock);
    alloc.release(alloc.ctx, block);
}

/* A part of the block is gone, so all of it goes. Discarding is refused for
 * locked pages, which the kernel never takes; zero them by hand then. */
static void wipe_locked(gov_purgeable *block)
{
    if (block->platform->discard(block->platform->ctx, block->base,
                                 block->bytes) != 0)
        memset(block->base, 0, block->bytes);
}

/* Marks every page and lets the kernel have them. */
static void offer_locked(gov_purgeable *block)
{
    int rc;

    for (size_t i = 0; i < block->pages; i++)
        block->marks[i] = mark_page(block->base + i * block->page, block->page,
                                    block->marks[i].word);
    rc =
        block->platform->offer(block->platform->ctx, block->base, block->bytes);
    block->can_offer = rc != ENOTSUP;
    /* Any other failure may come after a part was offered. */
    block->offered = block->can_offer;
    if (!block->can_offer)
        atomic_fetch_and_explicit(&block->word, ~NOT_PLAIN,
                                  memory_order_release);
}

/* The first hold of a block that is not plain: is the content there? */
static bool take_locked(gov_purgeable *block)
{
    bool kept = !block->purged && !block->torn;

    if (block->torn || (kept && block->offered && !take_back_locked(block))) {
        wipe_locked(block);
        kept = false;
    }
    block->purged = block->torn = block->offered = false;
    return kept;
}

static gov_purge_state begin_slowly(gov_purgeable *block)
{
    uint64_t word;
    bool kept = true;

    pthread_mutex_lock(&block->lock);
    word = atomic_load_explicit(&block->word, memory_order_relaxed);
    /* Plain by now? Then others change the word, too. */
    while ((word & NOT_PLAIN) == 0)
        if (atomic_compare_exchange_weak_explicit(&block->word, &word, word + 1,
                                                  memory_order_acquire,
                                                  memory_order_relaxed))
            goto out;
    kept = (word & HOLDS) == 0 && take_locked(block);
    word = (word + 1) & ~(kept ? NOT_PLAIN : 0);
    atomic_store_explicit(&block->word, word, memory_order_release);
out:
    pthread_mutex_unlock(&block->lock);
    return kept ? GOV_PURGE_KEPT : GOV_PURGE_LOST;
}

void *gov_purgeable_begin(gov_purgeable *block, gov_purge_state *state)
{
    gov_purge_state now = GOV_PURGE_KEPT;
    uint64_t word = atomic_load_explicit(&block->word, memory_order_relaxed);

    do {
        if ((word & NOT_PLAIN) != 0) {
            now = begin_slowly(block);
            break;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &block->word, &word, word + 1, memory_order_acquire,
        memory_order_relaxed));
    if (state != NULL)
        *state = now;
    return block->base;
}

/* Lets go where counting is all there is to do; false where it takes the lock. */
static bool end_plainly(gov_purgeable *block)
{
    uint64_t word = atomic_load_explicit(&block->word, memory_order_relaxed);

    do {
        if ((word & NOT_PLAIN) != 0 || (word & (HOLDS | LAZY)) <= 1)
            return false;
        if ((word & HOLDS) == 0)
            return true; /* one end too many changes nothing */
    } while (!atomic_compare_exchange_weak_explicit(
        &block->word, &word, word - 1, memory_order_release,
        memory_order_relaxed));
    return true;
}

void gov_purgeable_end(gov_purgeable *block)
{
    uint64_t word, next;

    if (end_plainly(block))
        return;
    pthread_mutex_lock(&block->lock);
    word = atomic_load_explicit(&block->word, memory_order_relaxed);
    do {
        if ((word & HOLDS) == 0)
            goto out;
        /* Who lets go has filled what it was told was lost: plain again, but
         * after the last one of a block in no group. */
        next = (word & ~NOT_PLAIN) - 1;
        if ((next & (HOLDS | LAZY)) == 0 && block->can_offer)
            next |= NOT_PLAIN;
    } while (!atomic_compare_exchange_weak_explicit(
        &block->word, &word, next, memory_order_acq_rel, memory_order_relaxed));
    if ((next & NOT_PLAIN) != 0)
        offer_locked(block);
out:
    pthread_mutex_unlock(&block->lock);
}

/* From plain and held by nobody to not plain; false when it is anything else. */
static bool seize_locked(gov_purgeable *block)
{
    uint64_t word = atomic_load_explicit(&block->word, memory_order_relaxed);

    do {
        if ((word & (HOLDS | NOT_PLAIN)) != 0)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &block->word, &word, word | NOT_PLAIN, memory_order_acq_rel,
        memory_order_relaxed));
    return true;
}

uint64_t gov__purgeable_hand_over(gov_purgeable *block)
{
    uint64_t given = 0;

    pthread_mutex_lock(&block->lock);
    if (block->can_offer && seize_locked(block)) {
        offer_locked(block);
        given = block->offered ? block->bytes : 0;
    }
    pthread_mutex_unlock(&block->lock);
    return given;
}

/* Nobody holds it and it was not purged: there may be pages to give. */
static bool is_idle_locked(const gov_purgeable *block)
{
    const uint64_t word =
        atomic_load_explicit(&block->word, memory_order_relaxed);

    return (word & HOLDS) == 0 && !block->purged;
}

uint64_t gov_purgeable_purge(gov_purgeable *block)
{
    uint64_t given = 0;

    pthread_mutex_lock(&block->lock);
    (void)seize_locked(block);
    if (!is_idle_locked(block))
        goto out;
    /* Where there are marks they show a discard that failed halfway. */
    block->purged = block->platform->discard(block->platform->ctx, block->base,
                                             block->bytes) == 0;
    block->torn = !block->purged && !block->offered;
    given = block->purged ? block->bytes : 0;
out:
    pthread_mutex_unlock(&block->lock);
    return given;
}

uint64_t gov__purgeable_idle(gov_purgeable *block)
{
    const struct gov_platform *platform = block->platform;
    uint64_t there = 0;

    pthread_mutex_lock(&block->lock);
    if (is_idle_locked(block) &&
        (!block->offered || platform->resident == NULL ||
         platform->resident(platform->ctx, block->base, block->bytes, &there) !=
             0))
        there = block->bytes;
    pthread_mutex_unlock(&block->lock);
    return there;
}

size_t gov_purgeable_bytes(const gov_purgeable *block)
{
    return block->bytes;
}

bool gov__purgeable_read(gov_purgeable *block, void *out, size_t room)
{
    uint64_t word;
    bool kept;

    pthread_mutex_lock(&block->lock);
    word = atomic_load_explicit(&block->word, memory_order_acquire);
    kept = (word & NOT_PLAIN) == 0 ||
           ((word & HOLDS) == 0 && !block->purged && !block->torn);
    if (kept && out != NULL && room > 0)
        memcpy(out, block->base, room < block->bytes ? room : block->bytes);
    /* A page goes from kept to taken and never back unless somebody writes, and
     * nobody does: if a mark is there after the copy, then its page was all
     * through it. */
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t i = 0; kept && block->offered && i < block->pages; i++)
        kept = block->marks[i].value == 0 ||
               atomic_load(marked_word(block, i)) == block->marks[i].value;
    pthread_mutex_unlock(&block->lock);
    return kept;
}

/* ---- groups ----------------------------------------------------------------- */

gov_status gov_purgeable_group_new(gov_purgeable_group **out,
                                   const struct gov_alloc *alloc,
                                   gov_error *err)
{
    gov_purgeable_group *group;
    int rc = ENOMEM;

    *out = NULL;
    if (alloc == NULL)
        alloc = gov_alloc_default();
    group = alloc->alloc(alloc->ctx, sizeof(*group));
    if (group == NULL)
        goto fail;
    group->alloc = *alloc;
    group->first = NULL;
    rc = pthread_mutex_init(&group->lock, NULL);
    if (rc != 0)
        goto fail;
    *out = group;
    return GOV_OK;
fail:
    alloc->release(alloc->ctx, group);
    return gov_fail(err, GOV_E_NOMEM, rc,
                    "no memory for a group of purgeable blocks; go on without "
                    "it");
}

void gov_purgeable_group_free(gov_purgeable_group *group)
{
    struct gov_alloc alloc;

    if (group == NULL)
        return;
    while (group->first != NULL)
        gov_purgeable_join(group->first, NULL);
    alloc = group->alloc;
    pthread_mutex_destroy(&group->lock);
    alloc.release(alloc.ctx, group);
}

void gov_purgeable_join(gov_purgeable *block, gov_purgeable_group *group)
{
    leave_group(block);
    pthread_mutex_lock(&block->lock);
    if (group != NULL)
        atomic_fetch_or(&block->word, LAZY);
    else
        atomic_fetch_and(&block->word, ~LAZY);
    pthread_mutex_unlock(&block->lock);
    if (group == NULL) {
        (void)gov__purgeable_hand_over(block);
        return;
    }
    pthread_mutex_lock(&group->lock);
    block->group = group;
    block->next = group->first;
    block->link = &group->first;
    if (group->first != NULL)
        group->first->link = &block->next;
    group->first = block;
    pthread_mutex_unlock(&group->lock);
}

static uint64_t each(gov_purgeable_group *group,
                     uint64_t (*does)(gov_purgeable *block))
{
    uint64_t bytes = 0;

    pthread_mutex_lock(&group->lock);
    for (gov_purgeable *block = group->first; block != NULL;
         block = block->next)
        bytes += does(block);
    pthread_mutex_unlock(&group->lock);
    return bytes;
}

uint64_t gov_purgeable_group_hand_over(gov_purgeable_group *group)
{
    return each(group, gov__purgeable_hand_over);
}

uint64_t gov_purgeable_group_purge(gov_purgeable_group *group)
{
    return each(group, gov_purgeable_purge);
}

uint64_t gov_purgeable_group_bytes(gov_purgeable_group *group)
{
    return each(group, gov__purgeable_idle);
}
