/* SPDX-License-Identifier: MIT */
/* Several models in one process: who uses which, and what may be unloaded.
 * Chooses among models of one place in the ladder; whether one goes at all the
 * ladder does. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "governor/runtime/runtime_priv.h"

#define PRIORITIES 1000000
#define COSTS 1000 /* within one priority */

/* ---- lists ------------------------------------------------------------------ */

/* Not in a child of fork(): somebody may have held the lock then. */
static bool is_ours(struct gov_runtime *runtime)
{
    return runtime != NULL &&
           atomic_load(&runtime->models.owner) == (int32_t)getpid();
}

/* Also one that is being removed. id 0: a free one. */
static struct gov__model *find_locked(struct gov_runtime *runtime, uint32_t id)
{
    for (size_t i = 0; i < GOV__MODELS; i++)
        if (runtime->models.model[i].id == id)
            return &runtime->models.model[i];
    return NULL;
}

static bool has_name_locked(const struct gov_runtime *runtime, const char *name)
{
    for (size_t i = 0; i < GOV__MODELS; i++)
        if (runtime->models.model[i].id != 0 &&
            strcmp(runtime->models.model[i].name, name) == 0)
            return true;
    return false;
}

static void changed_locked(struct gov_runtime *runtime)
{
    uint64_t count = 0, loaded = 0;

    for (size_t i = 0; i < GOV__MODELS; i++) {
        const struct gov__model *model = &runtime->models.model[i];

        count += model->id != 0;
        loaded += model->id != 0 && model->state == GOV__MODEL_LOADED;
    }
    gov_publish(runtime, GOV_PAGE_MODELS, count);
    gov_publish(runtime, GOV_PAGE_MODELS_LOADED, loaded);
    pthread_cond_broadcast(&runtime->changed);
}

static bool is_moving(const struct gov__model *model)
{
    return model->state == GOV__MODEL_LOADING ||
           model->state == GOV__MODEL_UNLOADING;
}

/* ---- relief ------------------------------------------------------------------- */

static bool is_idle(const struct gov__model *model)
{
    return model->id != 0 && !model->removed &&
           model->state == GOV__MODEL_LOADED && model->uses == 0 &&
           model->held == 0;
}

static const struct gov__relief_slot *
slot_locked(const struct gov_runtime *runtime, const struct gov__model *model)
{
    for (size_t i = 0; i < GOV__RELIEFS; i++)
        if (runtime->slots[i].id == model->relief_id)
            return &runtime->slots[i];
    return NULL;
}

/* Whether an equal one that may run, and gives something, has been idle longer: the
 * ladder would take the largest of them. */
static bool is_behind_locked(const struct gov_runtime *runtime,
                             const struct gov__model *model, uint64_t now_ms)
{
    const struct gov__relief_slot *own = slot_locked(runtime, model);

    for (size_t i = 0; own != NULL && i < GOV__MODELS; i++) {
        const struct gov__model *other = &runtime->models.model[i];
        const struct gov__relief_slot *slot;

        if (!is_idle(other) || other->cost != model->cost ||
            other->used_at >= model->used_at ||
            other->offered < GOV_LADDER_LEAST_BYTES)
            continue;
        slot = slot_locked(runtime, other);
        if (slot != NULL && slot->place == own->place && !slot->retired &&
            slot->from_level != GOV_LEVEL_NEVER &&
            slot->rest_until_ms <= now_ms)
            return true;
    }
    return false;
}

static uint64_t offer_model(void *ctx, gov_level level)
{
    struct gov__model *model = ctx;
    struct gov_runtime *runtime = model->runtime;
    const uint64_t now_ms = gov__runtime_ms(runtime);
    const uint64_t bytes = model->entry.bytes(model->entry.ctx);
    bool goes;

    (void)level;
    pthread_mutex_lock(&runtime->lock);
    goes = is_idle(model);
    if (goes) {
        model->offered = bytes;
        goes = !is_behind_locked(runtime, model, now_ms);
    }
    pthread_mutex_unlock(&runtime->lock);
    return goes ? bytes : 0;
}

/* Unless somebody uses it since it was asked. */
static void unload_model(void *ctx, gov_level level)
{
    struct gov__model *model = ctx;
    struct gov_runtime *runtime = model->runtime;
    bool goes;

    (void)level;
    pthread_mutex_lock(&runtime->lock);
    goes = is_idle(model);
    if (goes) {
        model->state = GOV__MODEL_UNLOADING;
        changed_locked(runtime);
    }
    pthread_mutex_unlock(&runtime->lock);
    if (!goes)
        return;
    model->entry.unload(model->entry.ctx);
    pthread_mutex_lock(&runtime->lock);
    model->state = GOV__MODEL_UNLOADED;
    changed_locked(runtime);
    pthread_mutex_unlock(&runtime->lock);
}

static gov_status register_relief(struct gov__model *model, gov_error *err)
{
    struct gov_relief relief = gov_relief_default();
    char name[sizeof("model.") + GOV__MODEL_NAME];
    uint32_t id = 0;
    gov_status status;

    snprintf(name, sizeof(name), "model.%s", model->name);
    relief.name = name;
    relief.from_level = GOV_LEVEL_CRITICAL;
    relief.rebuild_cost = model->cost;
    relief.ctx = model;
    relief.offer = offer_model;
    relief.run = unload_model;
    relief.destructive = true;
    status = gov_relief_add(model->runtime, &relief, &id, err);
    pthread_mutex_lock(&model->runtime->lock);
    model->relief_id = id;
    pthread_mutex_unlock(&model->runtime->lock);
    return status;
}

/* ---- registration ------------------------------------------------------------- */

static gov_status check_entry(const struct gov_model_entry *entry,
                              gov_error *err)
{
    const size_t length = entry->name == NULL ? 0 : strlen(entry->name);

    if (length == 0 || length >= GOV__MODEL_NAME)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the name of model \"%.40s\" is not 1 to %d bytes "
                        "long; change it",
                        length == 0 ? "" : entry->name, GOV__MODEL_NAME - 1);
    if (!gov__name_is_plain(entry->name))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the name of a model has a space or a control "
                        "character in it; take letters, digits and dots");
    if (entry->bytes == NULL || entry->load == NULL || entry->unload == NULL)
        return gov_fail(err, GOV_E_INVALID, 0, "model %s has no %s(); set it",
                        entry->name,
                        entry->bytes == NULL  ? "bytes"
                        : entry->load == NULL ? "load"
                                              : "unload");
    if (entry->priority > PRIORITIES)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "priority %" PRIu32 " of model %s is above %d; choose "
                        "a lower one",
                        entry->priority, entry->name, PRIORITIES);
    return GOV_OK;
}

/* Takes a place, in which nobody finds it yet. */
static gov_status reserve_locked(struct gov_runtime *runtime,
                                 const struct gov_model_entry *entry,
                                 struct gov__model **out, gov_error *err)
{
    struct gov__models *models = &runtime->models;
    struct gov__model *model = find_locked(runtime, 0);
    const uint32_t cost = entry->rebuild_cost;

    if (has_name_locked(runtime, entry->name))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "a model %s is registered already; name this one "
                        "otherwise",
                        entry->name);
    if (model == NULL)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "%d models are registered already; remove one",
                        GOV__MODELS);
    memset(model, 0, sizeof(*model));
    if (++models->last_id == 0)
        models->last_id = 1;
    model->id = models->last_id;
    model->removed = true;
    model->state = entry->loaded ? GOV__MODEL_LOADED : GOV__MODEL_UNLOADED;
    model->used_at = ++models->used;
    model->offered = UINT64_MAX;
    model->cost =
        entry->priority * COSTS + (cost < COSTS - 1 ? cost : COSTS - 1);
    model->runtime = runtime;
    model->entry = *entry;
    memcpy(model->name, entry->name, strlen(entry->name));
    model->entry.name = NULL; /* the copy is what is used */
    *out = model;
    return GOV_OK;
}

gov_status gov_models_add(gov_runtime *runtime,
                          const struct gov_model_entry *entry, uint32_t *id,
                          gov_error *err)
{
    struct gov_model_entry own;
    struct gov__model *model = NULL;
    gov_status status;
    int32_t nobody = 0;

    if (runtime == NULL || entry == NULL || id == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_models_add() needs a runtime, a model and a place "
                        "for its id");
    if (!gov__read_struct(&own, sizeof(own), entry, entry->size))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the model is of a newer version of this library, or "
                        "none; start from gov_model_entry_default()");
    status = check_entry(&own, err);
    if (status != GOV_OK)
        return status;
    if (gov__runtime_forked(runtime) ||
        (!atomic_compare_exchange_strong(&runtime->models.owner, &nobody,
                                         (int32_t)getpid()) &&
         !is_ours(runtime)))
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "models belong to the process that opened the runtime; "
                        "open another one after fork()");
    pthread_mutex_lock(&runtime->lock);
    status = reserve_locked(runtime, &own, &model, err);
    pthread_mutex_unlock(&runtime->lock);
    if (model == NULL)
        return status;
    status = register_relief(model, err);
    pthread_mutex_lock(&runtime->lock);
    if (status == GOV_OK) {
        model->removed = false;
        *id = model->id;
    } else {
        memset(model, 0, sizeof(*model));
    }
    changed_locked(runtime);
    pthread_mutex_unlock(&runtime->lock);
    return status;
}

void gov_models_remove(gov_runtime *runtime, uint32_t id)
{
    struct gov__model *model;
    uint32_t relief_id;
    bool mine;

    if (!is_ours(runtime) || id == 0)
        return;
    pthread_mutex_lock(&runtime->lock);
    model = find_locked(runtime, id);
    mine = model != NULL && !model->removed;
    if (mine)
        model->removed = true;
    relief_id = mine ? model->relief_id : 0;
    pthread_mutex_unlock(&runtime->lock);
    /* Where it is being unloaded, this waits. */
    gov_relief_remove(runtime, relief_id);
    pthread_mutex_lock(&runtime->lock);
    while (mine && (model->uses > 0 || model->held > 0 || is_moving(model)))
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    if (mine) {
        memset(model, 0, sizeof(*model));
        changed_locked(runtime);
    }
    pthread_mutex_unlock(&runtime->lock);
}

/* ---- use ------------------------------------------------------------------------ */

static gov_status fail_use(const struct gov__model *model, uint32_t id,
                           gov_error *err)
{
    if (model == NULL)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "no model has the id %" PRIu32 "; gov_models_add() "
                        "gives one",
                        id);
    return gov_fail(err, GOV_E_NOT_FOUND, 0,
                    "model %s is being removed; add it again", model->name);
}

/* With the lock let go meanwhile. */
static gov_status load_locked(struct gov_runtime *runtime,
                              struct gov__model *model, gov_error *err)
{
    gov_error why;
    gov_status status;

    memset(&why, 0, sizeof(why));
    model->state = GOV__MODEL_LOADING;
    pthread_mutex_unlock(&runtime->lock);
    status = model->entry.load(model->entry.ctx, &why);
    pthread_mutex_lock(&runtime->lock);
    model->state = status == GOV_OK ? GOV__MODEL_LOADED : GOV__MODEL_UNLOADED;
    if (status == GOV_OK)
        return GOV_OK;
    if (why.message[0] == '\0')
        return gov_fail(err, status, 0,
                        "model %s cannot be loaded, and its load() does not "
                        "say why",
                        model->name);
    if (err != NULL)
        *err = why;
    return status;
}

static gov_status use_locked(struct gov_runtime *runtime,
                             struct gov__model *model, gov_error *err)
{
    gov_status status = GOV_OK;

    model->held++;
    while (!model->removed && is_moving(model))
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    if (model->removed)
        status = fail_use(model, model->id, err);
    else if (model->state == GOV__MODEL_UNLOADED)
        status = load_locked(runtime, model, err);
    model->held--;
    if (status == GOV_OK) {
        model->uses++;
        model->used_at = ++runtime->models.used;
    }
    changed_locked(runtime);
    return status;
}

gov_status gov_models_use(gov_runtime *runtime, uint32_t id, gov_error *err)
{
    struct gov__model *model;
    gov_status status;

    if (runtime == NULL || id == 0)
        return fail_use(NULL, id, err);
    if (!is_ours(runtime))
        return atomic_load(&runtime->models.owner) == 0
                   ? fail_use(NULL, id, err)
                   : gov_fail(err, GOV_E_UNSUPPORTED, 0,
                              "models belong to the process that registered "
                              "them; open another runtime after fork()");
    pthread_mutex_lock(&runtime->lock);
    model = find_locked(runtime, id);
    status = model == NULL || model->removed ? fail_use(model, id, err)
                                             : use_locked(runtime, model, err);
    pthread_mutex_unlock(&runtime->lock);
    return status;
}

void gov_models_done(gov_runtime *runtime, uint32_t id)
{
    struct gov__model *model;

    if (!is_ours(runtime) || id == 0)
        return;
    pthread_mutex_lock(&runtime->lock);
    model = find_locked(runtime, id);
    if (model != NULL && model->uses > 0) {
        model->uses--;
        model->used_at = ++runtime->models.used;
        pthread_cond_broadcast(&runtime->changed);
    }
    pthread_mutex_unlock(&runtime->lock);
}

bool gov_models_loaded(gov_runtime *runtime, uint32_t id)
{
    const struct gov__model *model;
    bool loaded;

    if (!is_ours(runtime) || id == 0)
        return false;
    pthread_mutex_lock(&runtime->lock);
    model = find_locked(runtime, id);
    loaded =
        model != NULL && !model->removed && model->state == GOV__MODEL_LOADED;
    pthread_mutex_unlock(&runtime->lock);
    return loaded;
}
