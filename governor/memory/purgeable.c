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

struct gov_purgeable {
    const struct gov_platform *platform;
    struct gov_alloc alloc;
    pthread_mutex_t lock;
    unsigned char *base;
    size_t bytes, page, pages;
    uint64_t holds;
    bool can_offer;
    bool offered;          /* the kernel may have taken pages; marks[] tells */
    bool purged;           /* by us, since the last end */
    gov_purge_state state; /* what begin says until the next end */
    struct mark marks[];
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
    block->holds = 1;
    block->can_offer = true;
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

void gov_purgeable_free(gov_purgeable *block)
{
    struct gov_alloc alloc;

    if (block == NULL)
        return;
    alloc = block->alloc;
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

void *gov_purgeable_begin(gov_purgeable *block, gov_purge_state *state)
{
    pthread_mutex_lock(&block->lock);
    if (block->holds++ == 0) {
        if (block->purged) {
            block->state = GOV_PURGE_LOST;
        } else if (block->offered && !take_back_locked(block)) {
            wipe_locked(block);
            block->state = GOV_PURGE_LOST;
        }
        block->purged = false;
        block->offered = false;
    }
    if (state != NULL)
        *state = block->state;
    pthread_mutex_unlock(&block->lock);
    return block->base;
}

void gov_purgeable_end(gov_purgeable *block)
{
    int rc;

    pthread_mutex_lock(&block->lock);
    if (block->holds == 0)
        goto out; /* one end too many changes nothing */
    /* Who lets go has filled what it was told was lost. */
    block->state = GOV_PURGE_KEPT;
    if (--block->holds > 0 || !block->can_offer)
        goto out;
    for (size_t i = 0; i < block->pages; i++)
        block->marks[i] = mark_page(block->base + i * block->page, block->page,
                                    block->marks[i].word);
    rc =
        block->platform->offer(block->platform->ctx, block->base, block->bytes);
    block->can_offer = rc != ENOTSUP;
    /* Any other failure may come after a part was offered. */
    block->offered = block->can_offer;
out:
    pthread_mutex_unlock(&block->lock);
}

uint64_t gov_purgeable_purge(gov_purgeable *block)
{
    uint64_t given = 0;

    pthread_mutex_lock(&block->lock);
    /* A discard that failed halfway shows in the marks. */
    if (block->holds == 0 && !block->purged &&
        block->platform->discard(block->platform->ctx, block->base,
                                 block->bytes) == 0) {
        block->purged = true;
        given = block->bytes;
    }
    pthread_mutex_unlock(&block->lock);
    return given;
}

size_t gov_purgeable_bytes(const gov_purgeable *block)
{
    return block->bytes;
}

bool gov__purgeable_read(gov_purgeable *block, void *out, size_t room)
{
    bool kept;

    pthread_mutex_lock(&block->lock);
    kept = !block->purged && block->state == GOV_PURGE_KEPT;
    if (kept && out != NULL && room > 0)
        memcpy(out, block->base, room < block->bytes ? room : block->bytes);
    /* A page goes from kept to taken and never back unless somebody writes, and
     * the lock keeps writers out: if a mark is there after the copy, then its
     * page was all through it. */
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t i = 0; kept && block->offered && i < block->pages; i++)
        kept = block->marks[i].value == 0 ||
               atomic_load(marked_word(block, i)) == block->marks[i].value;
    pthread_mutex_unlock(&block->lock);
    return kept;
}
