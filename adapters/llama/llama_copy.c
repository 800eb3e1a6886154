/* SPDX-License-Identifier: MIT */
/* While the engine copies weights out of its mapping, to repack them: they are read
 * ahead of it and dropped behind it, so that its copying and the disk go on at the
 * same time and the file is not in memory twice. What it leaves in the mapping is
 * watched from then on. Owns session->copy. */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "adapters/llama/llama_session.h"

/* Layers ahead of the one that is copied: repacking one takes longer than reading
 * it (33 MB: 9 ms and 6). */
#define AHEAD 1
/* Longest that a layer's copy waits for it. */
#define PATIENCE_MS 1000

/* ---- files ----------------------------------------------------------------------- */

static bool is_named(const struct gov_model_file *file, const struct stat *st)
{
    return (uint64_t)st->st_dev == file->device &&
           (uint64_t)st->st_ino == file->inode;
}

void gov__llama_copy_watch(gov_session *session)
{
    size_t count;
    const struct gov_model_file *files = gov_model_files(session->file, &count);
    struct stat st;

    session->copy.stamps =
        gov__llama_new(count * sizeof(*session->copy.stamps));
    for (size_t i = 0; session->copy.stamps != NULL && i < count; i++)
        if (stat(files[i].path, &st) == 0 && is_named(&files[i], &st))
            session->copy.stamps[i] = st.st_mtim;
}

/* Another file of that name says nothing of the one that is mapped. */
bool gov__llama_copy_unchanged(const gov_session *session)
{
    size_t count;
    const struct gov_model_file *files = gov_model_files(session->file, &count);
    const struct timespec *stamp = session->copy.stamps;
    struct stat st;

    for (size_t i = 0; stamp != NULL && i < count; i++)
        if (stat(files[i].path, &st) == 0 && is_named(&files[i], &st) &&
            ((uint64_t)st.st_size != files[i].bytes ||
             st.st_mtim.tv_sec != stamp[i].tv_sec ||
             st.st_mtim.tv_nsec != stamp[i].tv_nsec))
            return false;
    return true;
}

/* ---- where the engine is --------------------------------------------------------- */

static bool is_layer(const struct gov_unit *unit)
{
    return unit->kind == GOV_UNIT_LAYER || unit->kind == GOV_UNIT_EXPERTS;
}

/* The engine tells what it has done as a share, which is a float: 24 bits, rounded
 * three times, and the difference of two. */
static uint64_t blur(uint64_t bytes)
{
    return (bytes >> 21) + 1;
}

static bool is_about(uint64_t a, uint64_t b, uint64_t blur)
{
    return a > b ? a - b <= blur : b - a <= blur;
}

static uint64_t bytes_of(const gov_session *session, const char *name)
{
    size_t count;
    const struct gov_tensor *tensors = gov_model_tensors(session->file, &count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0)
            return tensors[i].bytes;
    return 0;
}

/* Of what the share is one: of all tensors, with an embedding that is the output,
 * too, counted twice, without those that the engine has no use for. Told by the
 * first one that was done, mostly the embedding; 0 where it fits none. */
static uint64_t bytes_in_all(const gov_session *session, float share)
{
    const uint64_t embedding = bytes_of(session, "token_embd.weight");
    uint64_t all[2] = {0, 0}, less;
    size_t count;
    const struct gov_tensor *tensors = gov_model_tensors(session->file, &count);

    for (size_t i = 0; i < count; i++)
        all[0] += tensors[i].bytes;
    all[1] = all[0] + embedding;
    for (int i = 0; i < 2; i++)
        if (is_about((uint64_t)((double)share * (double)all[i]), embedding,
                     blur(all[i])))
            return all[i];
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < count; k++)
            if (is_about((uint64_t)((double)share * (double)all[i]),
                         tensors[k].bytes, blur(all[i])))
                return all[i];
    less = (uint64_t)((double)embedding / (double)share);
    return less > all[0] / 2 && less < all[0] ? less : 0;
}

/* A tensor of that size was done: the first of those that were not. The engine
 * goes over them as often as there are kinds of memory, each time in the order of
 * the layers, and those that are of one size in one order. */
static void mark_done(gov_session *session, uint64_t bytes)
{
    const uint64_t about = blur(session->copy.all);
    size_t count, first;
    const struct gov_tensor *tensors = gov_model_tensors(session->file, &count);

    first = count;
    for (size_t i = 0; i < count; i++)
        if (!session->copy.done[i] &&
            is_about(tensors[i].bytes, bytes, about) &&
            (first == count || tensors[i].unit < tensors[first].unit))
            first = i;
    if (first < count)
        session->copy.done[first] = true;
}

/* Whether a layer may not pass for copied without it: what is small is no loss, and
 * cannot be told apart. */
static bool counts(const struct gov_tensor *tensor, uint64_t about)
{
    return tensor->dims > 1 && tensor->bytes > 2 * about;
}

/* At the first layer that was not copied whole: further on what is being copied
 * would be dropped. */
void gov__llama_copy_reached(gov_session *session, float share)
{
    struct gov__llama_copy *copy = &session->copy;
    size_t count, units;
    const struct gov_tensor *tensors = gov_model_tensors(session->file, &count);
    const struct gov_unit *unit = gov_model_units(session->file, &units);
    uint64_t now;
    uint32_t first = UINT32_MAX;

    if (copy->weights == NULL)
        return;
    now = (uint64_t)((double)share * (double)copy->all);
    if (now > copy->sum)
        mark_done(session, now - copy->sum);
    copy->sum = now > copy->sum ? now : copy->sum;
    for (size_t i = 0; i < count; i++)
        if (!copy->done[i] && tensors[i].unit < first &&
            is_layer(&unit[tensors[i].unit]) &&
            counts(&tensors[i], blur(copy->all)))
            first = tensors[i].unit;
    if (first < units)
        gov_weights_reached(copy->weights, first);
}

/* ---- the range ------------------------------------------------------------------- */

/* What is used whole from the mapping where it is not copied, and else read once
 * before the layers. */
static uint64_t bytes_of_heads(const gov_session *session)
{
    size_t count;
    const struct gov_unit *units = gov_model_units(session->file, &count);
    const bool tied = bytes_of(session, "output.weight") == 0;
    uint64_t heads = 0;

    for (size_t i = 0; i < count; i++)
        if (units[i].kind == GOV_UNIT_OUTPUT ||
            (tied && units[i].kind == GOV_UNIT_EMBEDDING))
            heads += units[i].bytes;
    return heads;
}

static gov_status adopt(gov_session *session, bool direct)
{
    struct gov_weights_options options = gov_weights_options_default();

    options.hot_bytes = bytes_of_heads(session);
    options.ahead = AHEAD;
    options.direct = direct;
    options.patience_ms = PATIENCE_MS;
    options.places = session->places;
    (void)gov_model_files(session->file, &options.place_count);
    return gov_weights_adopt(&session->copy.weights, session->file, &options,
                             NULL);
}

/* Of the layers that are there at a time, and two parts on their way. */
static uint64_t window_bytes(const gov_session *session)
{
    const uint64_t on_the_way = (uint64_t)8 << 20;
    size_t count;
    const struct gov_unit *units = gov_model_units(session->file, &count);
    uint64_t layer = 0, largest = 0;

    for (size_t i = 0; i < count; i++) {
        if (!is_layer(&units[i]))
            continue;
        if (i == 0 || units[i].layer != units[i - 1].layer)
            layer = 0;
        layer += units[i].bytes;
        if (layer > largest)
            largest = layer;
    }
    return (AHEAD + 1) * largest + on_the_way;
}

/* At the end of the load all is copied, and what passes through lies beside it: in
 * what the plan has for the cache and buffers, which come later, or it must be the
 * system's to take. */
static bool fits(const gov_session *session)
{
    const struct gov_plan *plan = &session->plan;
    const uint64_t taken = plan->weights_bytes + plan->engine_bytes;

    return plan->budget_bytes == 0 ||
           (plan->budget_bytes > taken &&
            window_bytes(session) <= plan->budget_bytes - taken);
}

static bool take_charge(gov_session *session)
{
    session->copy.direct = fits(session);
    return adopt(session, session->copy.direct) == GOV_OK;
}

/* It is one pass, as long as which a file under lease waits for who wants to
 * write. */
bool gov__llama_copy_begin(gov_session *session, float share)
{
    struct gov__llama_copy *copy = &session->copy;
    size_t count;

    (void)gov_model_tensors(session->file, &count);
    copy->sum = 0;
    copy->all = bytes_in_all(session, share);
    if (copy->all == 0)
        return false;
    copy->done = gov__llama_new(count * sizeof(*copy->done));
    if (copy->done == NULL || !take_charge(session)) {
        gov__llama_delete(copy->done);
        copy->done = NULL;
        return false;
    }
    copy->changed = gov_weights_pass_begin(copy->weights, NULL) != GOV_OK;
    return true;
}

/* Each token looks a row up: a page of the disk, with the others of it nearby once it
 * is there (measured, 2 threads: 0.97 of stock's tokens a second without). Asked for
 * in steps, since one call of more is cut short without a word (read_ahead_kb). */
static void read_embedding(const gov_session *session)
{
    const uint64_t step = (uint64_t)512 << 10;
    size_t count;
    const struct gov_unit *units = gov_model_units(session->file, &count);
    const uint64_t page = gov_page_bytes();

    for (size_t i = 0; i < count; i++) {
        const struct gov_weights_place *place = &session->places[units[i].file];
        const uint64_t end = units[i].file_offset + units[i].bytes;

        if (units[i].kind != GOV_UNIT_EMBEDDING || place->base == NULL)
            continue;
        for (uint64_t at = units[i].file_offset / page * page; at < end;
             at += step)
            (void)posix_madvise((char *)place->base + at,
                                (size_t)(end - at < step ? end - at : step),
                                POSIX_MADV_WILLNEED);
    }
}

/* What stays in the mapping of a layer are norms: a page each, where the system would
 * read megabytes around it (measured, 1 GB: 400 MB, and 0.1 s of the first token). */
void gov__llama_copy_end(gov_session *session)
{
    struct gov__llama_copy *copy = &session->copy;
    struct gov_pass_account pass;

    if (copy->weights == NULL)
        return;
    if (gov_weights_pass_end(copy->weights, &pass) && pass.changed)
        copy->changed = true;
    gov_weights_account(copy->weights, false, &copy->account);
    gov_weights_release(copy->weights);
    copy->weights = NULL;
    gov__llama_delete(copy->done);
    copy->done = NULL;
    gov__llama_advise(session, POSIX_MADV_RANDOM);
    read_embedding(session);
}
