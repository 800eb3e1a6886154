/* SPDX-License-Identifier: MIT */
/* Adoption: finds the engine's mapping of a model, refuses what cannot be
 * governed, and hands the rest to the streamer. Never maps, locks or writes
 * anything itself: the mapping stays the engine's. */
#include "governor/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/memory/streamer.h"
#include "governor/memory/weights_priv.h"
#include "governor/model/model_text.h"
#include "governor/model/tensor_names.h"

#define DEFAULT_AHEAD 2
/* Of a path in a message. */
#define LABEL_BYTES 80
/* No options of any version are larger: bounds a read of a wild size. */
#define OPTIONS_BYTES_MAX 512

struct gov_weights {
    struct gov_alloc alloc;
    struct gov__mapping mapping;
    bool tells_resident; /* the kernel does, for this file and user */
    struct gov__streamer streamer;
};

/* ---- checks --------------------------------------------------------------- */

/* Members that the caller's version of the struct lacks are 0; bytes that this
 * version does not know must be. */
static gov_status read_options(struct gov_weights_options *out,
                               const struct gov_weights_options *in,
                               gov_error *err)
{
    const unsigned char *bytes = (const unsigned char *)in;

    *out = gov_weights_options_default();
    if (in != NULL) {
        if (in->size < sizeof(in->size) || in->size > OPTIONS_BYTES_MAX)
            return gov_fail(err, GOV_E_INVALID, 0,
                            "weights options of %zu bytes are none; start from "
                            "gov_weights_options_default()",
                            in->size);
        for (size_t i = sizeof(*out); i < in->size; i++)
            if (bytes[i] != 0)
                return gov_fail(err, GOV_E_INVALID, 0,
                                "the weights options are of a newer version; "
                                "leave what this library does not know at 0");
        memset(out, 0, sizeof(*out));
        memcpy(out, in, in->size < sizeof(*out) ? in->size : sizeof(*out));
    }
    if (out->ahead == 0)
        out->ahead = DEFAULT_AHEAD;
    /* They may come from anywhere; negative ones are large here. */
    if ((unsigned)out->hold > GOV_HOLD_DENSE ||
        (unsigned)out->warm > GOV_WARM_NONE ||
        (unsigned)out->advise_load > GOV_ADVICE_RANDOM ||
        (unsigned)out->advise_pass > GOV_ADVICE_RANDOM)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the weights options hold, warm, advise_load and "
                        "advise_pass are %d, %d, %d and %d, and one is none "
                        "that is known; leave it at 0",
                        (int)out->hold, (int)out->warm, (int)out->advise_load,
                        (int)out->advise_pass);
    return GOV_OK;
}

static enum gov__advice advice_of(gov_advice advice)
{
    switch (advice) {
    case GOV_ADVICE_SEQUENTIAL:
        return GOV__ADVICE_SEQUENTIAL;
    case GOV_ADVICE_RANDOM:
        return GOV__ADVICE_RANDOM;
    case GOV_ADVICE_NORMAL:
        break;
    }
    return GOV__ADVICE_NORMAL;
}

/* Opens the file again and makes sure that it is the one whose header was
 * read: an engine that started later may have mapped another of that name. */
static gov_status open_same(gov_weights *weights, const gov_model *model,
                            const char *label, gov_error *err)
{
    const char *path = gov_model_path(model);
    int *fd = &weights->streamer.fd;
    uint64_t device, inode, bytes;
    struct stat st;

    gov_model_identity(model, &device, &inode, &bytes);
    do /* O_NONBLOCK: should a FIFO be there now, do not wait for a writer */
        *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0)
        return gov_fail(err, errno == ENOENT ? GOV_E_NOT_FOUND : GOV_E_IO,
                        errno, "cannot open %s to stream it", label);
    if (fstat(*fd, &st) != 0)
        return gov_fail(err, GOV_E_IO, errno, "cannot examine %s", label);
    if ((uint64_t)st.st_dev != device || (uint64_t)st.st_ino != inode ||
        (uint64_t)st.st_size != bytes)
        return gov_fail(err, GOV_E_IO, 0,
                        "%s was replaced since its header was read; load the "
                        "model again",
                        label);
    /* Linux answers "all of it" to anybody else (mm/mincore.c). */
    weights->tells_resident = st.st_uid == geteuid() ||
                              faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
    return GOV_OK;
}

/* The engine need not map the header, nor what lies behind the last tensor:
 * llama.cpp unmaps both. */
static bool covers_units(const struct gov__mapping *mapping,
                         const struct gov_unit *units, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (units[i].file_offset < mapping->file_offset ||
            units[i].file_offset - mapping->file_offset > mapping->bytes ||
            units[i].bytes >
                mapping->bytes - (units[i].file_offset - mapping->file_offset))
            return false;
    return true;
}

static gov_status find_mapping(struct gov_weights *weights,
                               const gov_model *model, const char *label,
                               gov_error *err)
{
    const struct gov_platform *platform = weights->streamer.platform;
    size_t count;
    const struct gov_unit *units = gov_model_units(model, &count);
    int rc = platform->find_mapping(platform->ctx, weights->streamer.fd,
                                    &weights->mapping);

    if (rc == ENOENT)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "this process does not map %s; let the engine load it "
                        "with mmap first",
                        label);
    if (rc == ENOTSUP)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "this system does not tell what a process maps, so the "
                        "weights cannot be governed");
    if (rc != 0)
        return gov_fail(err, GOV_E_IO, rc,
                        "cannot read what this process maps");
    if (weights->mapping.locked)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "the mapping of %s is locked in memory, so nothing of "
                        "it can be dropped; load the model without mlock",
                        label);
    if (weights->mapping.copied)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s is mapped privately, and what the engine may have "
                        "written there would be lost; map it shared",
                        label);
    if (weights->mapping.pieces > 1)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s is mapped in %u pieces; load it once, with all "
                        "weights on the processor",
                        label, (unsigned)weights->mapping.pieces);
    if (!covers_units(&weights->mapping, units, count))
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "the mapping does not cover all weights of %s; load it "
                        "with all weights on the processor",
                        label);
    return GOV_OK;
}

/* ---- life ----------------------------------------------------------------- */

/* A projector is used for pictures and sounds alone, so nothing of it is read for
 * every pass. */
static enum gov__use use_of(gov_unit_kind kind)
{
    switch (kind) {
    case GOV_UNIT_LAYER:
    case GOV_UNIT_EXPERTS:
        return GOV__USE_LAYER;
    case GOV_UNIT_EMBEDDING:
    case GOV_UNIT_PROJECTOR:
        return GOV__USE_ROWS;
    case GOV_UNIT_OUTPUT:
        break;
    }
    return GOV__USE_HEAD;
}

/* What the units' bytes are for. A model without an output matrix computes its
 * logits from the token embedding, which is then read whole in every pass;
 * otherwise a pass looks up one row a token in it. A unit that is mostly other
 * embeddings (per layer, in some) stays rows: reading gigabytes for the sake of
 * the small part would be worse. */
static void find_uses(const gov_model *model, struct gov__unit *units)
{
    size_t count, unit_count;
    const struct gov_tensor *tensors = gov_model_tensors(model, &count);
    const struct gov_unit *from = gov_model_units(model, &unit_count);
    bool tied = true;

    for (size_t i = 0; i < unit_count; i++) {
        units[i].begin = from[i].file_offset;
        units[i].end = from[i].file_offset + from[i].bytes;
        units[i].use = use_of(from[i].kind);
        units[i].experts = from[i].kind == GOV_UNIT_EXPERTS;
        units[i].joined = i > 0 && units[i].use == GOV__USE_LAYER &&
                          units[i - 1].use == GOV__USE_LAYER &&
                          from[i].layer == from[i - 1].layer;
    }
    for (size_t i = 0; i < count; i++)
        if (gov__is_output_matrix(tensors[i].name))
            tied = false;
    for (size_t i = 0; i < count && tied; i++) {
        uint32_t unit = tensors[i].unit;

        if (gov__is_token_embedding(tensors[i].name) &&
            from[unit].kind == GOV_UNIT_EMBEDDING &&
            tensors[i].bytes >= from[unit].tensor_bytes / 2)
            units[unit].use = GOV__USE_HEAD;
    }
}

static void free_weights(gov_weights *weights)
{
    struct gov_alloc alloc = weights->alloc;
    struct gov__streamer *s = &weights->streamer;

    if (s->fd >= 0)
        close(s->fd);
    alloc.release(alloc.ctx, s->res.units);
    alloc.release(alloc.ctx, s->res.parts);
    alloc.release(alloc.ctx, s->res.order);
    alloc.release(alloc.ctx, s->shown);
    alloc.release(alloc.ctx, weights);
}

/* A weights object with room for every unit and part, so that nothing is
 * allocated later, when memory may be short; NULL when there is none now. */
static gov_weights *new_weights(const struct gov_alloc *alloc,
                                const struct gov_unit *units, size_t count)
{
    gov_weights *weights = alloc->alloc(alloc->ctx, sizeof(*weights));
    struct gov__streamer *s;
    size_t parts = 0;

    if (weights == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        parts += gov__residency_parts_of(units[i].file_offset,
                                         units[i].file_offset + units[i].bytes);
    memset(weights, 0, sizeof(*weights));
    weights->alloc = *alloc;
    s = &weights->streamer;
    s->fd = -1;
    s->res.units = alloc->alloc(alloc->ctx, count * sizeof(*s->res.units));
    s->res.parts = alloc->alloc(alloc->ctx, parts * sizeof(*s->res.parts));
    s->res.order = alloc->alloc(alloc->ctx, parts * sizeof(struct gov__part *));
    s->shown = alloc->alloc(alloc->ctx, count * sizeof(*s->shown));
    if (s->res.units == NULL || s->res.parts == NULL || s->res.order == NULL ||
        s->shown == NULL) {
        free_weights(weights);
        return NULL;
    }
    memset(s->res.units, 0, count * sizeof(*s->res.units));
    for (size_t i = 0; i < count; i++)
        atomic_init(&s->shown[i], GOV__SHOWN_ABSENT);
    s->res.unit_count = (uint32_t)count;
    return weights;
}

static void set_options(struct gov__streamer *s,
                        const struct gov_weights_options *options)
{
    s->res.ahead = options->ahead;
    s->res.hold = options->hold;
    s->res.warm = options->warm;
    s->pace.rate = options->warm_rate;
    s->advise_load = advice_of(options->advise_load);
    s->advise_pass = advice_of(options->advise_pass);
}

gov_status gov__weights_adopt_on(gov_weights **out,
                                 const struct gov_platform *platform,
                                 const gov_model *model,
                                 const struct gov_weights_options *options,
                                 gov_error *err)
{
    char label[LABEL_BYTES];
    struct gov_weights_options o;
    const struct gov_unit *units;
    const struct gov_alloc *alloc;
    gov_weights *weights;
    gov_status status;
    size_t count;
    int rc;

    if (out == NULL || model == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_weights_adopt() needs a model and a place for "
                        "the weights");
    *out = NULL;
    gov__text_path(label, sizeof(label), gov_model_path(model));
    status = read_options(&o, options, err);
    if (status != GOV_OK)
        return status;
    (void)gov_model_files(model, &count);
    if (count > 1)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s is split into %zu files, which are not governed "
                        "yet; join them with llama-gguf-split --merge",
                        label, count);
    units = gov_model_units(model, &count);
    alloc = o.alloc != NULL ? o.alloc : gov_alloc_default();
    weights = new_weights(alloc, units, count);
    if (weights == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "out of memory for the %zu units of %s; free some and "
                        "try again",
                        count, label);
    set_options(&weights->streamer, &o);
    weights->streamer.platform = platform;
    weights->streamer.res.page = platform->page_bytes(platform->ctx);
    status = open_same(weights, model, label, err);
    if (status == GOV_OK)
        status = find_mapping(weights, model, label, err);
    if (status != GOV_OK)
        goto fail;
    weights->streamer.base = weights->mapping.base;
    weights->streamer.file_offset = weights->mapping.file_offset;
    weights->streamer.bytes = weights->mapping.bytes;
    find_uses(model, weights->streamer.res.units);
    rc = gov__streamer_start(&weights->streamer, o.hot_bytes);
    if (rc != 0) {
        status = gov_fail(err, GOV_E_NOMEM, rc,
                          "cannot start the thread that streams %s", label);
        goto fail;
    }
    *out = weights;
    return GOV_OK;
fail:
    free_weights(weights);
    return status;
}

gov_status gov_weights_adopt(gov_weights **out, const gov_model *model,
                             const struct gov_weights_options *options,
                             gov_error *err)
{
    return gov__weights_adopt_on(out, gov__platform_native(), model, options,
                                 err);
}

void gov_weights_release(gov_weights *weights)
{
    if (weights == NULL)
        return;
    gov__streamer_stop(&weights->streamer);
    free_weights(weights);
}

/* ---- in use --------------------------------------------------------------- */

void gov_weights_reached(gov_weights *weights, uint32_t unit)
{
    if (unit < weights->streamer.res.unit_count)
        gov__streamer_reached(&weights->streamer, unit);
}

uint64_t gov_weights_set_hot(gov_weights *weights, uint64_t hot_bytes)
{
    return gov__streamer_set_hot(&weights->streamer, hot_bytes);
}

void gov_weights_account(gov_weights *weights, bool exact,
                         struct gov_weights_account *out)
{
    struct gov__streamer *s = &weights->streamer;

    memset(out, 0, sizeof(*out));
    out->mapped_bytes = weights->mapping.bytes;
    out->streamed_bytes = atomic_load(&s->streamed_bytes);
    out->dropped_bytes = atomic_load(&s->dropped_bytes);
    out->late_units = atomic_load(&s->late_units);
    out->passes = atomic_load(&s->passes);
    out->failures = atomic_load(&s->failures);
    pthread_mutex_lock(&s->lock);
    out->hot_bytes = s->hot_bytes;
    out->cold_bytes = s->cold_bytes;
    out->window_bytes = s->window_bytes;
    pthread_mutex_unlock(&s->lock);
    if (exact && weights->tells_resident &&
        s->platform->resident(s->platform->ctx, weights->mapping.base,
                              weights->mapping.bytes,
                              &out->resident_bytes) == 0)
        out->resident_known = true;
    else
        out->resident_bytes = 0;
}

size_t gov_weights_map(gov_weights *weights, char *out, size_t bytes)
{
    const struct gov__streamer *s = &weights->streamer;
    size_t count = s->res.unit_count;

    if (bytes == 0)
        return count;
    for (size_t i = 0; i < count && i < bytes - 1; i++)
        out[i] = (char)atomic_load_explicit(&s->shown[i], memory_order_relaxed);
    out[count < bytes - 1 ? count : bytes - 1] = '\0';
    return count;
}
