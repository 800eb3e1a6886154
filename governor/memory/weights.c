/* SPDX-License-Identifier: MIT */
/* The governed range's life: puts it together from a model and its mappings, and
 * takes it apart. What may be governed is in weights_files.c, what happens while
 * it is in use in weights_use.c. */
#include "governor/weights.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "governor/memory/anchor.h"
#include "governor/memory/weights_state.h"
#include "governor/model/model_text.h"
#include "governor/model/tensor_names.h"

#define DEFAULT_AHEAD 2
#define DEFAULT_READERS 1
/* No options of any version are larger: bounds a read of a wild size. */
#define OPTIONS_BYTES_MAX 512

/* ---- options --------------------------------------------------------------- */

/* They may come from anywhere; negative ones are large here. */
static gov_status check_options(const struct gov_weights_options *o,
                                gov_error *err)
{
    if ((unsigned)o->hold > GOV_HOLD_DENSE ||
        (unsigned)o->warm > GOV_WARM_NONE ||
        (unsigned)o->advise_load > GOV_ADVICE_RANDOM ||
        (unsigned)o->advise_pass > GOV_ADVICE_RANDOM)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the weights options hold, warm, advise_load and "
                        "advise_pass are %d, %d, %d and %d, and one is none "
                        "that is known; leave it at 0",
                        (int)o->hold, (int)o->warm, (int)o->advise_load,
                        (int)o->advise_pass);
    if ((unsigned)o->follow > GOV_FOLLOW_DOORBELLS ||
        o->readers > GOV__CREW_MOST)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the weights options follow and readers are %d and "
                        "%u, and one is none that there is; leave it at 0",
                        (int)o->follow, (unsigned)o->readers);
    return GOV_OK;
}

/* Members that the caller's version of the struct lacks are 0; bytes that this
 * version does not know must be. */
gov_status gov__weights_read_options(struct gov_weights_options *out,
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
        out->size = sizeof(*out);
    }
    if (out->ahead == 0)
        out->ahead = DEFAULT_AHEAD;
    if (out->readers == 0)
        out->readers = DEFAULT_READERS;
    return check_options(out, err);
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

static void set_options(gov_weights *weights,
                        const struct gov_weights_options *o)
{
    struct gov__streamer *s = &weights->streamer;

    s->res.ahead = o->ahead;
    s->res.hold = o->hold;
    s->res.warm = o->warm;
    s->pace.rate = o->warm_rate;
    s->advise_load = advice_of(o->advise_load);
    s->advise_pass = advice_of(o->advise_pass);
    s->anchor = o->anchor;
    s->direct = o->direct;
    s->readers = o->readers;
    /* A bell's page is filled while its unit is looked at: who touched it cannot
     * be made to wait for more. */
    s->patience_ms = o->follow == GOV_FOLLOW_DOORBELLS ? 0 : o->patience_ms;
    s->distance.least = 1;
    s->distance.most = o->ahead_most;
    s->progress = o->progress;
    s->progress_ctx = o->progress_ctx;
    s->ready = o->ready;
    s->ready_ctx = o->ready_ctx;
    s->meter = &weights->meter;
    s->range = &weights->range;
    s->alloc = &weights->alloc;
    weights->read_rate = o->read_rate;
}

/* ---- units ------------------------------------------------------------------ */

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

/* A model without an output matrix computes its logits from the token embedding,
 * which is then read whole in every pass; otherwise a pass looks up one row a
 * token in it. A unit that is mostly other embeddings (per layer, in some) stays
 * rows: reading gigabytes for the sake of the small part would be worse. */
static void find_tied(const gov_model *model, struct gov__unit *units)
{
    size_t count, unit_count;
    const struct gov_tensor *tensors = gov_model_tensors(model, &count);
    const struct gov_unit *from = gov_model_units(model, &unit_count);

    for (size_t i = 0; i < count; i++)
        if (gov__is_output_matrix(tensors[i].name))
            return;
    for (size_t i = 0; i < count; i++) {
        uint32_t unit = tensors[i].unit;

        if (gov__is_token_embedding(tensors[i].name) &&
            from[unit].kind == GOV_UNIT_EMBEDDING &&
            tensors[i].bytes >= from[unit].tensor_bytes / 2)
            units[unit].use = GOV__USE_HEAD;
    }
}

/* What the units' bytes are for, and where they are. What is decrypted once, kept
 * by recency, or a copy elsewhere is none of the residency's. */
static void find_uses(gov_weights *weights, bool decrypted)
{
    struct gov__residency *res = &weights->streamer.res;
    size_t count;
    const struct gov_unit *from = gov_model_units(weights->model, &count);

    for (uint32_t i = 0; i < count; i++) {
        struct gov__unit *unit = &res->units[i];
        const struct gov__range_file *file =
            &weights->range.files[from[i].file];

        unit->begin = from[i].file_offset;
        unit->end = from[i].file_offset + from[i].bytes;
        unit->file = from[i].file;
        unit->phase = ((uint64_t)(uintptr_t)file->base - file->file_offset) &
                      (res->grain - 1);
        unit->bell = GOV__NO_BELL_PAGE;
        unit->use = use_of(from[i].kind);
        unit->experts = from[i].kind == GOV_UNIT_EXPERTS;
        unit->joined = i > 0 && unit->use == GOV__USE_LAYER &&
                       use_of(from[i - 1].kind) == GOV__USE_LAYER &&
                       from[i].layer == from[i - 1].layer;
    }
    find_tied(weights->model, res->units);
    for (uint32_t i = 0; i < count; i++)
        if (decrypted ||
            (weights->has_experts && gov__experts_owns(&weights->experts, i)) ||
            (weights->owned != NULL &&
             gov__weights_owned_copied(weights->owned, i)))
            res->units[i].use = GOV__USE_OTHERS;
}

/* A bell a layer, and one at the head. */
static void find_bells(gov_weights *weights)
{
    struct gov__residency *res = &weights->streamer.res;

    for (uint32_t i = 0; i < res->unit_count; i++) {
        struct gov__unit *unit = &res->units[i];
        struct gov__doorbell *bell = &weights->bell_list[weights->bells.count];

        if (unit->joined ||
            (unit->use != GOV__USE_LAYER && unit->use != GOV__USE_HEAD) ||
            !gov__doorbell_place(weights->model, i, res->page, &unit->bell))
            continue;
        *bell = (struct gov__doorbell){
            .unit = i, .file = unit->file, .offset = unit->bell};
        weights->bells.count++;
    }
}

/* ---- memory ----------------------------------------------------------------- */

static void free_weights(gov_weights *weights)
{
    struct gov_alloc alloc = weights->alloc;
    struct gov__streamer *s = &weights->streamer;

    for (uint32_t i = 0;
         weights->range.files != NULL && i < weights->range.file_count; i++) {
        if (weights->range.files[i].fd >= 0)
            close(weights->range.files[i].fd);
        if (weights->range.files[i].direct_fd >= 0)
            close(weights->range.files[i].direct_fd);
    }
    gov__weights_owned_free(weights->owned);
    alloc.release(alloc.ctx, weights->range.files);
    alloc.release(alloc.ctx, weights->guard.stamps);
    alloc.release(alloc.ctx, weights->bell_list);
    alloc.release(alloc.ctx, weights->meter.units);
    alloc.release(alloc.ctx, weights->meter.worst_from);
    alloc.release(alloc.ctx, s->res.units);
    alloc.release(alloc.ctx, s->res.parts);
    alloc.release(alloc.ctx, s->res.order);
    alloc.release(alloc.ctx, s->shown);
    alloc.release(alloc.ctx, weights);
}

/* Zeroed; false when there is none. */
static bool new_array(gov_weights *weights, void *out, size_t count,
                      size_t bytes)
{
    void *block = weights->alloc.alloc(weights->alloc.ctx,
                                       (count == 0 ? 1 : count) * bytes);

    if (block == NULL)
        return false;
    memset(block, 0, (count == 0 ? 1 : count) * bytes);
    memcpy(out, &block, sizeof(block));
    return true;
}

/* A weights object with room for every file and unit, so that nothing is
 * allocated later, when memory may be short; NULL when there is none now. */
static gov_weights *new_weights(const struct gov_alloc *alloc,
                                const gov_model *model)
{
    gov_weights *weights = alloc->alloc(alloc->ctx, sizeof(*weights));
    size_t units, files;

    if (weights == NULL)
        return NULL;
    (void)gov_model_units(model, &units);
    (void)gov_model_files(model, &files);
    memset(weights, 0, sizeof(*weights));
    weights->alloc = *alloc;
    weights->model = model;
    if (!new_array(weights, &weights->range.files, files,
                   sizeof(*weights->range.files)) ||
        !new_array(weights, &weights->guard.stamps, files,
                   sizeof(*weights->guard.stamps)) ||
        !new_array(weights, &weights->bell_list, units,
                   sizeof(*weights->bell_list)) ||
        !new_array(weights, &weights->meter.units, units,
                   sizeof(*weights->meter.units)) ||
        !new_array(weights, &weights->meter.worst_from, units,
                   sizeof(*weights->meter.worst_from)) ||
        !new_array(weights, &weights->streamer.res.units, units,
                   sizeof(*weights->streamer.res.units)) ||
        !new_array(weights, &weights->streamer.shown, units,
                   sizeof(*weights->streamer.shown))) {
        free_weights(weights);
        return NULL;
    }
    for (size_t i = 0; i < files; i++)
        weights->range.files[i].fd = weights->range.files[i].direct_fd = -1;
    for (size_t i = 0; i < units; i++)
        atomic_init(&weights->streamer.shown[i], GOV__SHOWN_ABSENT);
    weights->range.file_count = (uint32_t)files;
    weights->streamer.res.unit_count = (uint32_t)units;
    weights->meter.unit_count = (uint32_t)units;
    return weights;
}

static bool new_parts(gov_weights *weights)
{
    struct gov__residency *res = &weights->streamer.res;
    size_t parts = 0;

    for (uint32_t i = 0; i < res->unit_count; i++)
        parts += gov__residency_parts_of(&res->units[i], res->page, res->grain);
    return new_array(weights, &res->parts, parts, sizeof(*res->parts)) &&
           new_array(weights, &res->order, parts, sizeof(struct gov__part *));
}

/* Whole huge pages are read faster than small ones, where the page cache is passed
 * by: a transfer to the device names fewer pieces. gov profile shows by how much
 * ("read, huge pages" against "read, direct"). */
static uint64_t grain_of(const gov_weights *weights)
{
    const struct gov_platform *platform = weights->range.platform;
    struct gov__told told;

    if (!weights->streamer.anchor && !weights->streamer.direct)
        return weights->range.page;
    memset(&told, 0, sizeof(told));
    if (platform->tell == NULL ||
        platform->tell(platform->ctx, GOV_FACT_DEVICE_HUGE_PAGE, &told) != 0 ||
        told.number <= weights->range.page || told.number > GOV__PART_BYTES ||
        (told.number & (told.number - 1)) != 0)
        return weights->range.page;
    return told.number;
}

/* ---- life ----------------------------------------------------------------- */

static gov_status fail_start(int rc, const char *label, gov_error *err)
{
    if (rc == EBUSY)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "another process maps %s, too, so what is dropped here "
                        "stays in memory; close the other one",
                        label);
    return gov_fail(err, GOV_E_NOMEM, rc,
                    "cannot start the thread that streams %s", label);
}

static gov_status decrypt_all(gov_weights *weights,
                              const struct gov_weights_options *o,
                              gov_error *err)
{
    size_t count;
    const struct gov_unit *units = gov_model_units(weights->model, &count);

    for (size_t i = 0; i < count; i++)
        weights->decrypted_bytes += units[i].bytes;
    return gov__anchor_decrypted(&weights->range, weights->model, o, err);
}

/* Everything that runs beside the streamer. What was started is ended by
 * stop_rest(), also when this fails. */
static gov_status start_rest(gov_weights *weights,
                             const struct gov_weights_options *o,
                             const char *label, gov_error *err)
{
    int rc;

    weights->guard.range = &weights->range;
    rc = gov__file_guard_start(&weights->guard);
    if (rc != 0)
        return gov_fail(err, GOV_E_IO, rc, "cannot examine %s", label);
    weights->has_guard = true;
    if (o->decrypt != NULL)
        return decrypt_all(weights, o, err);
    if (o->follow != GOV_FOLLOW_DOORBELLS)
        return GOV_OK;
    rc = gov__doorbells_start(&weights->bells);
    if (rc == ENOTSUP || rc == EPERM || rc == EINVAL)
        return gov_fail(err, GOV_E_UNSUPPORTED, rc,
                        "doorbells cannot be had for %s (userfaultfd), so it "
                        "is not known where the engine is; let it call "
                        "gov_weights_reached()",
                        label);
    if (rc != 0)
        return gov_fail(err, GOV_E_IO, rc, "cannot lay doorbells in %s", label);
    weights->has_bells = true;
    return GOV_OK;
}

static void stop_rest(gov_weights *weights)
{
    if (weights->has_bells)
        gov__doorbells_stop(&weights->bells);
    if (weights->has_guard)
        gov__file_guard_stop(&weights->guard);
}

static void rang(void *ctx, uint32_t unit)
{
    gov_weights_reached(ctx, unit);
}

/* Experts are looked at when the engine has rested for a second: what the loader
 * left of them is to be dropped, and what faults mapped around those that were read
 * (16 pages each, where the cache had them). */
static void tick(void *ctx)
{
    gov_weights *weights = ctx;
    const uint64_t pass = atomic_load(&weights->streamer.passes) + 1;
    const bool in_pass = atomic_load(&weights->in_pass);

    if (!in_pass)
        (void)gov__weights_unchanged(weights);
    gov__weights_rest(weights, !in_pass && weights->seen_pass == pass);
    if (weights->has_experts && weights->looked_pass != pass &&
        (weights->looked_pass == 0 || weights->seen_pass == pass)) {
        gov__experts_look(&weights->experts);
        weights->looked_pass = pass;
    }
    weights->seen_pass = pass;
}

static void advised(void *ctx)
{
    gov_weights *weights = ctx;

    if (weights->has_experts)
        gov__experts_advise(&weights->experts, GOV__ADVICE_RANDOM);
}

/* What is known of the model before anything runs. */
static gov_status prepare(gov_weights *weights,
                          const struct gov_weights_options *o,
                          const char *label, gov_error *err)
{
    gov_status status = gov__weights_find(weights, o, err);
    int rc = 0;

    if (status != GOV_OK)
        return status;
    weights->streamer.res.page = weights->range.page;
    weights->streamer.res.grain = grain_of(weights);
    if (o->experts && o->decrypt == NULL)
        rc = gov__experts_init(&weights->experts, &weights->range,
                               weights->model, &weights->alloc);
    weights->has_experts = o->experts && o->decrypt == NULL && rc == 0;
    find_uses(weights, o->decrypt != NULL);
    weights->bells.range = &weights->range;
    weights->bells.bells = weights->bell_list;
    weights->bells.rang = rang;
    weights->bells.ctx = weights;
    if (o->follow == GOV_FOLLOW_DOORBELLS)
        find_bells(weights);
    if (rc == ENOMEM || !new_parts(weights))
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "out of memory for the parts of %s; free some and try "
                        "again",
                        label);
    weights->streamer.tick = tick;
    weights->streamer.advised = advised;
    weights->streamer.tick_ctx = weights;
    return GOV_OK;
}

static gov_status start(gov_weights *weights,
                        const struct gov_weights_options *o, const char *label,
                        gov_error *err)
{
    gov_status status = prepare(weights, o, label, err);
    int rc;

    if (status == GOV_OK)
        status = start_rest(weights, o, label, err);
    if (status == GOV_OK) {
        rc = gov__streamer_start(&weights->streamer, o->hot_bytes);
        if (rc != 0)
            status = fail_start(rc, label, err);
    }
    if (status == GOV_OK) {
        if (weights->has_experts) /* what the rest leaves is theirs */
            (void)gov_weights_set_hot(weights, o->hot_bytes);
        return GOV_OK;
    }
    stop_rest(weights);
    if (weights->has_experts)
        gov__experts_fini(&weights->experts);
    return status;
}

/* The locks that last as long as the object. */
static int make_locks(gov_weights *weights)
{
    pthread_mutex_t *const locks[] = {&weights->hot_lock, &weights->guard_lock,
                                      &weights->rest.lock};
    size_t made = 0;
    int rc = 0;

    while (made < sizeof(locks) / sizeof(locks[0]) && rc == 0) {
        rc = pthread_mutex_init(locks[made], NULL);
        made += rc == 0;
    }
    if (rc == 0)
        rc = gov__pass_meter_init(&weights->meter);
    while (rc != 0 && made > 0)
        pthread_mutex_destroy(locks[--made]);
    return rc;
}

static void destroy_locks(gov_weights *weights)
{
    gov__pass_meter_fini(&weights->meter);
    pthread_mutex_destroy(&weights->rest.lock);
    pthread_mutex_destroy(&weights->guard_lock);
    pthread_mutex_destroy(&weights->hot_lock);
}

gov_status gov__weights_govern(gov_weights **out,
                               const struct gov_platform *platform,
                               const gov_model *model,
                               const struct gov_weights_options *options,
                               struct gov__weights_owned *owned, gov_error *err)
{
    const struct gov_alloc *alloc =
        options->alloc != NULL ? options->alloc : gov_alloc_default();
    gov_weights *weights = new_weights(alloc, model);
    char label[GOV__LABEL_BYTES];
    gov_status status;

    *out = NULL;
    gov__text_path(label, sizeof(label), gov_model_path(model));
    if (weights == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "out of memory for the units of %s; free some and try "
                        "again",
                        label);
    weights->range.platform = platform;
    weights->range.page = platform->page_bytes(platform->ctx);
    weights->meter.platform = platform;
    weights->owned = owned;
    set_options(weights, options);
    if (make_locks(weights) != 0) {
        status = gov_fail(err, GOV_E_NOMEM, 0, "no lock is left for %s", label);
    } else {
        status = start(weights, options, label, err);
        if (status != GOV_OK)
            destroy_locks(weights);
    }
    if (status != GOV_OK) {
        weights->owned = NULL; /* still the caller's */
        free_weights(weights);
        return status;
    }
    *out = weights;
    return GOV_OK;
}

gov_status gov__weights_adopt_on(gov_weights **out,
                                 const struct gov_platform *platform,
                                 const gov_model *model,
                                 const struct gov_weights_options *options,
                                 gov_error *err)
{
    struct gov_weights_options o;
    gov_status status;

    if (out == NULL || model == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_weights_adopt() needs a model and a place for "
                        "the weights");
    *out = NULL;
    status = gov__weights_read_options(&o, options, err);
    if (status != GOV_OK)
        return status;
    return gov__weights_govern(out, platform, model, &o, NULL, err);
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
    if (weights->has_bells)
        gov__doorbells_stop(&weights->bells);
    weights->has_bells = false;
    gov__streamer_stop(&weights->streamer);
    stop_rest(weights);
    if (weights->has_experts)
        gov__experts_fini(&weights->experts);
    destroy_locks(weights);
    free_weights(weights);
}

struct gov__weights_seen gov__weights_see(const gov_weights *weights)
{
    struct gov__weights_seen seen = {weights->model, &weights->range,
                                     weights->owned};

    return seen;
}
