/* SPDX-License-Identifier: MIT */
#include "governor/memory/anchor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* The most in one read, so that progress is told meanwhile; a part of the
 * residency's and the pages at its edges fit in one, which is faster than pieces. */
#define READ_MOST ((uint64_t)16 << 20)

void gov__fill_init(struct gov__fill *fill, const struct gov__range *range,
                    uint32_t file, uint64_t begin, uint64_t end, bool direct)
{
    const struct gov__range_file *f = &range->files[file];

    memset(fill, 0, sizeof(*fill));
    fill->file = f;
    fill->fd = direct && f->direct_fd >= 0 ? f->direct_fd : f->fd;
    fill->target = gov__range_address(range, file, begin);
    fill->bytes = (size_t)(end - begin);
    fill->begin = fill->at = begin;
    fill->end = end < f->file_bytes ? end : f->file_bytes;
}

static int fill_begin(struct gov__fill *fill, const struct gov__range *range,
                      uint32_t file, uint64_t begin, uint64_t end, bool direct)
{
    const struct gov_platform *platform = range->platform;
    void *staged;
    int rc;

    gov__fill_init(fill, range, file, begin, end, direct);
    rc = platform->stage(platform->ctx, fill->target, fill->bytes, &staged);
    fill->staged = rc == 0 ? staged : NULL;
    return rc;
}

/* Reads the next bytes. 0 does not mean that there were any. */
static int fill_more(struct gov__fill *fill)
{
    uint64_t bytes = gov__less(fill->end, fill->at);
    ssize_t n;

    /* A read may end anywhere, and the file is short of its last page. */
    if (fill->at % GOV__DIRECT_BYTES != 0)
        fill->fd = fill->file->fd;
    if (bytes > READ_MOST)
        bytes = READ_MOST;
    if (fill->fd == fill->file->fd)
        fill->cached = true;
    else
        bytes = gov__round_up(bytes, GOV__DIRECT_BYTES);
    n = pread(fill->fd, fill->staged + (fill->at - fill->begin), (size_t)bytes,
              (off_t)fill->at);
    if (n > 0) {
        fill->at += (uint64_t)n;
        return 0;
    }
    if (n == 0)
        return ENODATA;
    if (errno == EINVAL && fill->fd != fill->file->fd) {
        fill->fd = fill->file->fd;
        return 0;
    }
    return errno == EINTR ? 0 : errno;
}

/* A direct read fills whole blocks, whatever the disk has behind the file's end,
 * and the file may have grown. */
static void fill_tail(const struct gov__fill *fill)
{
    uint64_t filled = gov__less(fill->end, fill->begin);

    memset(fill->staged + filled, 0, fill->bytes - (size_t)filled);
}

int gov__fill_plan(const struct gov__fill *fill, struct gov__read *read)
{
    if (fill->fd == fill->file->fd || fill->at >= fill->end ||
        fill->at % GOV__DIRECT_BYTES != 0 || fill->bytes > READ_MOST)
        return ENOTSUP;
    read->fd = fill->fd;
    read->buffer = fill->staged;
    read->bytes =
        (size_t)gov__round_up(fill->end - fill->at, GOV__DIRECT_BYTES);
    read->offset = fill->at;
    return 0;
}

int gov__fill_end(struct gov__fill *fill, int64_t result)
{
    if (result < 0)
        return (int)-result;
    fill->at += (uint64_t)result;
    if (fill->at < fill->end)
        return ENODATA;
    fill_tail(fill);
    return 0;
}

int gov__fill_read(struct gov__fill *fill)
{
    int rc = 0;

    while (rc == 0 && fill->at < fill->end)
        rc = fill_more(fill);
    if (rc == 0)
        fill_tail(fill);
    return rc;
}

/* Where it cannot be put in place, the file's pages are there as before: also where
 * that has left a hole, in which the engine would die. */
static int put_in_place(const struct gov__fill *fill,
                        const struct gov_platform *platform)
{
    int rc =
        platform->place(platform->ctx, fill->staged, fill->bytes, fill->target);
    void *out;

    if (rc == EFAULT)
        (void)platform->map_file(platform->ctx, fill->file->fd, fill->begin,
                                 fill->bytes, fill->target, &out);
    return rc;
}

/* Puts the memory in place, if rc is 0, or gives it back. */
static int fill_end(const struct gov__fill *fill,
                    const struct gov_platform *platform, int rc)
{
    if (rc == 0)
        rc = put_in_place(fill, platform);
    if (rc != 0)
        (void)platform->unstage(platform->ctx, fill->staged, fill->bytes);
    /* Only now: what is mapped is not dropped. */
    if (fill->cached)
        (void)platform->drop_cached(platform->ctx, fill->file->fd, fill->begin,
                                    fill->bytes);
    return rc;
}

int gov__anchor(const struct gov__range *range, uint32_t file, uint64_t begin,
                uint64_t end, bool direct)
{
    struct gov__fill fill;
    int rc;

    if (end <= begin)
        return 0;
    rc = fill_begin(&fill, range, file, begin, end, direct);
    if (rc != 0)
        return rc;
    return fill_end(&fill, range->platform, gov__fill_read(&fill));
}

int gov__anchor_begin(const struct gov__range *range, uint32_t file,
                      uint64_t begin, uint64_t end, struct gov__fill *fill,
                      struct gov__read *read)
{
    int rc = fill_begin(fill, range, file, begin, end, true);

    if (rc != 0)
        return rc;
    rc = gov__fill_plan(fill, read);
    if (rc != 0)
        gov__anchor_cancel(range, fill);
    return rc;
}

int gov__anchor_end(const struct gov__range *range, struct gov__fill *fill,
                    int64_t result)
{
    return fill_end(fill, range->platform, gov__fill_end(fill, result));
}

void gov__anchor_cancel(const struct gov__range *range,
                        const struct gov__fill *fill)
{
    (void)fill_end(fill, range->platform, ECANCELED);
}

int gov__anchor_undo(const struct gov__range *range, uint32_t file,
                     uint64_t begin, uint64_t end)
{
    const struct gov_platform *platform = range->platform;
    void *out;

    if (end <= begin)
        return 0;
    return platform->map_file(platform->ctx, range->files[file].fd, begin,
                              (size_t)(end - begin),
                              gov__range_address(range, file, begin), &out);
}

/* ---- decrypted -------------------------------------------------------------- */

/* The units of a model on their way into memory. */
struct decrypting {
    const struct gov__range *range;
    const gov_model *model;
    const struct gov_weights_options *options;
    gov_error *err;
    uint64_t all_bytes, done_bytes;
    uint64_t told_us;
};

static gov_status tell(struct decrypting *d, uint64_t done_bytes)
{
    const struct gov_platform *platform = d->range->platform;
    uint64_t now = platform->now_us(platform->ctx);
    uint32_t permille;

    if (d->options->progress == NULL || d->all_bytes == 0 ||
        (done_bytes < d->all_bytes && now - d->told_us < GOV__PROGRESS_US))
        return GOV_OK;
    d->told_us = now;
    /* Mapped bytes: 1000 times as many are a number of 64 bits. */
    permille = (uint32_t)(done_bytes * 1000 / d->all_bytes);
    if (d->options->progress(d->options->progress_ctx, permille,
                             "decrypting weights"))
        return GOV_OK;
    return gov_fail(d->err, GOV_E_CANCELLED, 0,
                    "decrypting the weights was cancelled");
}

static gov_status not_read(const struct decrypting *d,
                           const struct gov_unit *unit, int rc)
{
    size_t count;
    const char *path = gov_model_files(d->model, &count)[unit->file].path;

    if (rc == ENODATA)
        return gov_fail(d->err, GOV_E_IO, 0,
                        "the weights at byte %" PRIu64 " of %s are cut short: "
                        "the file was changed since its header was read; load "
                        "it again",
                        unit->file_offset, path);
    return gov_fail(d->err, rc == ENOMEM ? GOV_E_NOMEM : GOV_E_IO, rc,
                    "%" PRIu64 " bytes of weights at byte %" PRIu64
                    " of %s cannot be brought in",
                    unit->bytes, unit->file_offset, path);
}

static gov_status decrypt(const struct decrypting *d,
                          const struct gov_unit *unit,
                          const struct gov__fill *fill)
{
    struct gov_cipher cipher;
    size_t count;

    memset(&cipher, 0, sizeof(cipher));
    cipher.size = sizeof(cipher);
    cipher.unit = (uint32_t)(unit - gov_model_units(d->model, &count));
    cipher.file = unit->file;
    cipher.file_offset = unit->file_offset;
    cipher.bytes = unit->bytes;
    cipher.data =
        (unsigned char *)fill->staged + (unit->file_offset - fill->begin);
    if (d->options->decrypt(d->options->decrypt_ctx, &cipher))
        return GOV_OK;
    return gov_fail(d->err, GOV_E_FORMAT, 0,
                    "the weights at byte %" PRIu64 " of %s cannot be "
                    "decrypted: check the key, and that the file is whole",
                    unit->file_offset,
                    gov_model_files(d->model, &count)[unit->file].path);
}

/* Before plain_until the range holds plain bytes, not the file's. */
static gov_status fill_decrypted(struct decrypting *d, struct gov__fill *fill,
                                 const struct gov_unit *unit,
                                 uint64_t plain_until)
{
    gov_status status = GOV_OK;
    int rc;

    while (fill->at < fill->end) {
        uint64_t read = fill->at - fill->begin;

        status = tell(d, d->done_bytes +
                             (read < unit->bytes ? read : unit->bytes - 1));
        if (status != GOV_OK)
            return status;
        rc = fill_more(fill);
        if (rc != 0)
            return not_read(d, unit, rc);
    }
    fill_tail(fill);
    if (plain_until > fill->begin)
        memcpy(fill->staged, fill->target,
               (size_t)(unit->file_offset - fill->begin));
    return decrypt(d, unit, fill);
}

/* *plain_until: where what was anchored of the file ends. */
static gov_status anchor_decrypted(struct decrypting *d,
                                   const struct gov_unit *unit,
                                   uint64_t *plain_until)
{
    uint64_t page = d->range->page;
    uint64_t begin = gov__round_down(unit->file_offset, page);
    uint64_t end = gov__round_up(unit->file_offset + unit->bytes, page);
    gov_status status;
    struct gov__fill fill;
    int rc;

    rc =
        fill_begin(&fill, d->range, unit->file, begin, end, d->options->direct);
    if (rc != 0)
        return not_read(d, unit, rc);
    status = fill_decrypted(d, &fill, unit, *plain_until);
    rc = fill_end(&fill, d->range->platform, status == GOV_OK ? 0 : ECANCELED);
    if (status != GOV_OK)
        return status;
    if (rc != 0)
        return not_read(d, unit, rc);
    *plain_until = end;
    d->done_bytes += unit->bytes;
    return tell(d, d->done_bytes);
}

static int compare_units(const void *a, const void *b)
{
    const struct gov_unit *x = *(const struct gov_unit *const *)a;
    const struct gov_unit *y = *(const struct gov_unit *const *)b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->file_offset > y->file_offset) -
           (x->file_offset < y->file_offset);
}

gov_status gov__anchor_decrypted(const struct gov__range *range,
                                 const gov_model *model,
                                 const struct gov_weights_options *options,
                                 gov_error *err)
{
    const struct gov_alloc *alloc =
        options->alloc != NULL ? options->alloc : gov_alloc_default();
    struct decrypting d = {range, model, options, err, 0, 0, 0};
    const struct gov_unit *units, **order;
    gov_status status = GOV_OK;
    uint64_t plain_until = 0;
    size_t count;

    units = gov_model_units(model, &count);
    order =
        alloc->alloc(alloc->ctx, (count + 1) * sizeof(const struct gov_unit *));
    if (order == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for a list of %zu units", count);
    for (size_t i = 0; i < count; i++) {
        order[i] = &units[i];
        d.all_bytes += units[i].bytes;
    }
    qsort((void *)order, count, sizeof(const struct gov_unit *), compare_units);
    for (size_t i = 0; i < count && status == GOV_OK; i++) {
        if (i > 0 && order[i]->file != order[i - 1]->file)
            plain_until = 0;
        if (order[i]->bytes > 0)
            status = anchor_decrypted(&d, order[i], &plain_until);
    }
    alloc->release(alloc->ctx, (void *)order);
    return status;
}
