/* SPDX-License-Identifier: MIT */
/* See doorbell.h. The one rule: a page is missing only while the thread answers
 * for it, or before it runs; and no handle is closed over a missing page, since
 * the kernel then gives zeros to whoever waits. */
#include "governor/memory/doorbell.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ---- where ------------------------------------------------------------------ */

/* What a layer of llama.cpp reads first (src/models/), as the names go on behind
 * "blk.N."; and for what is global, what comes at the end of every pass. */
static const char *const used_first[] = {
    "attn_norm.",    "attn_qkv.",
    "attn_q.",       "attn_q_a.",
    "attn_k.",       "attn_kv_a_",
    "attn_kv.",      "attn_v.",
    "ssm_in.",       "ssm_conv1d",
    "shortconv.in_", "time_mix_lerp_",
    "time_mix_w1.",  "time_mix_receptance.",
    "output_norm.",  "output."};

static size_t turn(const char *name)
{
    const char *rest = strstr(name, "blk.");
    size_t i;

    if (rest != NULL) {
        rest += strlen("blk.");
        rest += strspn(rest, "0123456789.");
    } else {
        rest = name;
    }
    for (i = 0; i < COUNT_OF(used_first); i++)
        if (strncmp(rest, used_first[i], strlen(used_first[i])) == 0)
            break;
    return i;
}

bool gov__doorbell_place(const gov_model *model, uint32_t unit, uint64_t page,
                         uint64_t *offset)
{
    size_t count, unit_count, best_turn = SIZE_MAX;
    const struct gov_tensor *tensors = gov_model_tensors(model, &count);
    const struct gov_unit *units = gov_model_units(model, &unit_count);
    uint64_t best = UINT64_MAX;

    if (unit >= unit_count || units[unit].kind == GOV_UNIT_EMBEDDING ||
        units[unit].kind == GOV_UNIT_EXPERTS)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct gov_tensor *tensor = &tensors[i];
        uint64_t first = gov__round_up(tensor->file_offset, page);
        size_t when;

        if (tensor->unit != unit ||
            tensor->bytes < first - tensor->file_offset + page)
            continue;
        when = turn(tensor->name);
        if (when < best_turn || (when == best_turn && first < best)) {
            best_turn = when;
            best = first;
        }
    }
    if (best == UINT64_MAX)
        return false;
    *offset = best;
    return true;
}

/* ---- the pages --------------------------------------------------------------- */

static void *page_of(const struct gov__doorbells *bells, uint32_t i)
{
    const struct gov__doorbell *bell = &bells->bells[i];

    return gov__range_address(bells->range, bell->file, bell->offset);
}

static unsigned char *bytes_of(const struct gov__doorbells *bells, uint32_t i)
{
    return bells->bytes + i * bells->range->page;
}

/* Whoever touches it wakes the thread for the last time. */
static unsigned char *stop_page(const struct gov__doorbells *bells)
{
    return bytes_of(bells, bells->count);
}

static void count_failure(struct gov__doorbells *bells)
{
    atomic_fetch_add_explicit(&bells->failures, 1, memory_order_relaxed);
}

/* With pread(): a file that was cut is an error here, and a signal through the
 * mapping. */
static int read_pages(struct gov__doorbells *bells)
{
    size_t page = (size_t)bells->range->page;

    for (uint32_t i = 0; i < bells->count; i++) {
        const struct gov__doorbell *bell = &bells->bells[i];
        int fd = bells->range->files[bell->file].fd;

        for (size_t have = 0; have < page;) {
            ssize_t n = pread(fd, bytes_of(bells, i) + have, page - have,
                              (off_t)(bell->offset + have));

            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return n < 0 ? errno : EIO;
            have += (size_t)n;
        }
    }
    return 0;
}

/* EEXIST: the page is there, and so everybody is let in. */
static int answer(struct gov__doorbells *bells, uint32_t i)
{
    const struct gov_platform *p = bells->range->platform;
    int rc = p->bell_answer(p->ctx, bells->handle, page_of(bells, i),
                            bytes_of(bells, i), (size_t)bells->range->page);

    if (rc == EEXIST)
        return 0;
    if (rc != 0)
        count_failure(bells);
    return rc;
}

/* Lets in who waits and maps the file again. False when the page may be missing
 * still, for want of memory. What was answered and cannot be mapped stays a copy
 * of the file's bytes. */
static bool put_back(struct gov__doorbells *bells, uint32_t i)
{
    const struct gov_platform *p = bells->range->platform;
    const struct gov__doorbell *bell = &bells->bells[i];
    int rc = answer(bells, i);
    void *at;

    if (p->map_file(p->ctx, bells->range->files[bell->file].fd, bell->offset,
                    (size_t)bells->range->page, page_of(bells, i), &at) == 0)
        return true;
    count_failure(bells);
    return rc != ENOMEM;
}

/* Puts the first `laid` pages back, and lets go of all. */
static void take_down(struct gov__doorbells *bells, uint32_t laid)
{
    const struct gov_platform *p = bells->range->platform;
    void *ignored;

    for (uint32_t i = 0; i < laid; i++)
        while (!put_back(bells, i))
            (void)p->bell_wait(p->ctx, bells->handle, 10, &ignored);
    if (p->bell_close(p->ctx, bells->handle) != 0)
        count_failure(bells);
}

/* ---- the thread -------------------------------------------------------------- */

/* Which bell the touched page is; count when none. From the one behind the last
 * on, which mostly is the one. */
static uint32_t find(const struct gov__doorbells *bells, uint32_t from,
                     const char *address)
{
    for (uint32_t n = 0; n < bells->count; n++) {
        uint32_t i = (from + n) % bells->count;
        const char *page = page_of(bells, i);

        if (address >= page && address < page + bells->range->page)
            return i;
    }
    return bells->count;
}

/* All that rang before bell `i` did; again those that the kernel refused then. */
static void arm_others(struct gov__doorbells *bells, uint32_t i)
{
    const struct gov_platform *p = bells->range->platform;

    for (uint32_t other = 0; other < bells->count; other++) {
        struct gov__doorbell *bell = &bells->bells[other];

        if (other == i || bell->armed)
            continue;
        bell->armed = p->bell_arm(p->ctx, bells->handle, page_of(bells, other),
                                  (size_t)bells->range->page) == 0;
        if (!bell->armed)
            count_failure(bells);
    }
}

/* Of several threads at one page more than one may tell: only the first does it
 * for this pass. But each is answered, whatever we believe of the page. False when
 * that fails. */
static bool ring(struct gov__doorbells *bells, uint32_t i)
{
    struct gov__doorbell *bell = &bells->bells[i];

    if (answer(bells, i) != 0)
        return false;
    if (!bell->armed)
        return true;
    bell->armed = false;
    atomic_fetch_add_explicit(&bells->rings, 1, memory_order_relaxed);
    bells->rang(bells->ctx, bell->unit);
    arm_others(bells, i);
    return true;
}

static void *run(void *arg)
{
    struct gov__doorbells *bells = arg;
    const struct gov_platform *p = bells->range->platform;
    uint32_t next = 0;

    for (;;) {
        void *address = NULL;
        int rc = p->bell_wait(p->ctx, bells->handle, UINT32_MAX, &address);
        uint32_t i;

        if (rc == ETIMEDOUT || rc == EINTR)
            continue;
        if (rc != 0) {
            count_failure(bells);
            break;
        }
        i = find(bells, next, address);
        if (i == bells->count || !ring(bells, i))
            break;
        next = i + 1;
    }
    take_down(bells, bells->count);
    atomic_store(&bells->over, true);
    return NULL;
}

/* ---- start and stop ---------------------------------------------------------- */

static void forget(struct gov__doorbells *bells)
{
    const struct gov_platform *p = bells->range->platform;

    (void)p->unmap(p->ctx, bells->bytes,
                   (bells->count + (size_t)1) * (size_t)bells->range->page);
    bells->bytes = NULL;
}

/* Lays all bells and the page that stops them, and starts the thread. */
static int lay(struct gov__doorbells *bells)
{
    const struct gov_platform *p = bells->range->platform;
    size_t page = (size_t)bells->range->page;
    uint32_t laid = 0;
    int rc = 0;

    /* One that failed may lie there, too. */
    while (rc == 0 && laid < bells->count) {
        bells->bells[laid].armed = true;
        rc = p->bell_lay(p->ctx, bells->handle, page_of(bells, laid++), page);
    }
    if (rc == 0)
        rc = p->bell_lay(p->ctx, bells->handle, stop_page(bells), page);
    if (rc == 0)
        rc = gov__thread_start(&bells->thread, run, bells);
    if (rc != 0)
        take_down(bells, laid);
    return rc;
}

int gov__doorbells_start(struct gov__doorbells *bells)
{
    const struct gov_platform *p = bells->range->platform;
    size_t bytes = (bells->count + (size_t)1) * (size_t)bells->range->page;
    void *memory;
    int rc;

    assert(bells->bytes == NULL);
    if (bells->count == 0)
        return EINVAL;
    atomic_store(&bells->over, false);
    rc = p->map(p->ctx, bytes, "gov-doorbells", &memory);
    if (rc != 0)
        return rc;
    bells->bytes = memory;
    rc = p->bell_open(p->ctx, &bells->handle);
    if (rc == 0) {
        rc = read_pages(bells);
        if (rc == 0)
            rc = lay(bells);
        else
            (void)p->bell_close(p->ctx, bells->handle);
    }
    if (rc != 0)
        forget(bells);
    return rc;
}

void gov__doorbells_stop(struct gov__doorbells *bells)
{
    if (bells->bytes == NULL)
        return;
    /* This thread waits here until the other has closed the handle; what it reads
     * means nothing. */
    (void)*(volatile unsigned char *)stop_page(bells);
    pthread_join(bells->thread, NULL);
    forget(bells);
}
