/* SPDX-License-Identifier: MIT */
/* Several models in one process: the one in use stays, the others go in order and
 * come back when they are used. */
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "tests/unit/runtime_fixture.h"

struct model {
    const char *name;
    uint32_t priority, cost;
    bool loaded;
    uint64_t bytes;
    _Atomic int loads, unloads, users;
    _Atomic bool there;
    _Atomic int fails; /* so many loads from now on; -1: all */
    bool mute;         /* and do not say why */
    bool quiet;        /* what happens to it is not noted */
    struct gate *gate; /* load() and unload() open 1 and wait for 2 */
    uint32_t id;
};

static void meet(const struct model *model)
{
    struct gate *gate = model->gate;
    bool first;

    if (gate == NULL)
        return;
    pthread_mutex_lock(&gate->lock);
    first = gate->stage == 0;
    pthread_mutex_unlock(&gate->lock);
    if (first)
        gate_open(gate, 1);
    gate_wait(gate, 2);
}

static uint64_t model_bytes(void *ctx)
{
    return ((struct model *)ctx)->bytes;
}

static gov_status model_load(void *ctx, gov_error *why)
{
    struct model *model = ctx;

    ck_assert_msg(!atomic_load(&model->there), "loaded twice");
    meet(model);
    if (atomic_load(&model->fails) != 0) {
        if (atomic_load(&model->fails) > 0)
            atomic_fetch_sub(&model->fails, 1);
        return model->mute
                   ? GOV_E_IO
                   : gov_fail(why, GOV_E_FORMAT, 0,
                              "%s is no model; name another", model->name);
    }
    if (!model->quiet)
        note("load ", model->name);
    atomic_fetch_add(&model->loads, 1);
    sim_grow(&sim, (int64_t)model->bytes);
    atomic_store(&model->there, true);
    return GOV_OK;
}

static void model_unload(void *ctx)
{
    struct model *model = ctx;

    ck_assert_msg(atomic_exchange(&model->there, false), "unloaded twice");
    ck_assert_int_eq(atomic_load(&model->users), 0);
    meet(model);
    if (!model->quiet)
        note("unload ", model->name);
    atomic_fetch_add(&model->unloads, 1);
    sim_grow(&sim, -(int64_t)model->bytes);
}

static struct gov_model_entry entry_of(struct model *model)
{
    struct gov_model_entry entry = gov_model_entry_default();

    entry.name = model->name;
    entry.priority = model->priority;
    if (model->cost != 0)
        entry.rebuild_cost = model->cost;
    entry.loaded = model->loaded;
    entry.ctx = model;
    entry.bytes = model_bytes;
    entry.load = model_load;
    entry.unload = model_unload;
    return entry;
}

static void register_model(struct model *model)
{
    const struct gov_model_entry entry = entry_of(model);

    if (model->bytes == 0)
        model->bytes = 100 * MIB;
    atomic_store(&model->there, model->loaded);
    if (model->loaded)
        sim_grow(&sim, (int64_t)model->bytes);
    ck_assert_int_eq(gov_models_add(rt, &entry, &model->id, &err), GOV_OK);
}

static void begin(struct model *model)
{
    ck_assert_msg(gov_models_use(rt, model->id, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert(atomic_load(&model->there));
    atomic_fetch_add(&model->users, 1);
}

static void end(struct model *model)
{
    atomic_fetch_sub(&model->users, 1);
    gov_models_done(rt, model->id);
}

static void use(struct model *model)
{
    begin(model);
    end(model);
}

/* What the listener hears beside it is another test's. */
static void only_models(void)
{
    gov_on_event(rt, NULL, NULL);
    happened[0] = '\0';
}

/* ---- one model ------------------------------------------------------------------- */

START_TEST(it_goes_when_idle_and_comes_back)
{
    struct model chat = {.name = "chat"};

    register_model(&chat);
    only_models();
    ck_assert(!gov_models_loaded(rt, chat.id));
    begin(&chat);
    ck_assert(gov_models_loaded(rt, chat.id));
    begin(&chat);
    ck_happened("load chat\n");
    simulate(CRITICAL);
    turn(100);
    turn(60000);
    end(&chat);
    turn(60000);
    ck_happened("");
    end(&chat);
    turn(60000);
    ck_happened("unload chat\n");
    ck_assert(!gov_models_loaded(rt, chat.id));
    turn(60000);
    simulate(NORMAL);
    turn(600000);
    ck_happened(""); /* not when memory does */
    use(&chat);
    ck_happened("load chat\n");
    gov_models_remove(rt, chat.id);
    ck_assert(!gov_models_loaded(rt, chat.id));
    ck_assert_int_eq(gov_models_use(rt, chat.id, &err), GOV_E_NOT_FOUND);
    ck_happened("");
}
END_TEST

START_TEST(warn_unloads_nothing)
{
    struct model chat = {.name = "chat", .loaded = true};

    register_model(&chat);
    only_models();
    simulate(WARN);
    for (int i = 0; i < 10; i++)
        turn(30000);
    ck_happened("");
}
END_TEST

/* One look at one counter, and what else there is to give, comes first. */
START_TEST(one_look_unloads_nothing)
{
    struct model chat = {.name = "chat", .loaded = true};
    struct action cheap = {.name = "cache.x", .offers = MIB, .gives = MIB};

    register_model(&chat);
    add(&cheap);
    only_models();
    sim_grow(&sim, (int64_t)(4 * GIB - 50 * MIB) -
                       (int64_t)sim.process.footprint_bytes);
    turn(1000);
    ck_assert_int_eq(gov_level_now(rt), CRITICAL);
    ck_happened("run cache.x\n");
    turn(100);
    ck_happened("unload chat\n");
}
END_TEST

START_TEST(what_is_told_of_it)
{
    struct model chat = {.name = "chat"};

    register_model(&chat);
    use(&chat);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_MODELS], 1);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_MODELS_LOADED], 1);
    happened[0] = '\0';
    simulate(CRITICAL);
    turn(100);
    ck_assert_ptr_nonnull(
        strstr(happened, "event model.chat gave back 102400 KiB"));
    ck_assert_uint_eq(rt->counter[GOV_PAGE_MODELS], 1);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_MODELS_LOADED], 0);
    gov_models_remove(rt, chat.id);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_MODELS], 0);
}
END_TEST

/* ---- several --------------------------------------------------------------------- */

/* As they are registered; used in that order, too, but for `used_last`. */
static const struct {
    const char *what;
    struct model model[4];
    const char *used_last, *want;
} orders[] = {
    {"by priority",
     {{.name = "a", .priority = 7},
      {.name = "b", .priority = 3},
      {.name = "c", .priority = 1000000},
      {.name = "d"}},
     "d",
     "unload d\nunload b\nunload a\nunload c\n"},
    {"priority, whatever the cost",
     {{.name = "a", .priority = 1, .cost = UINT32_MAX},
      {.name = "b", .priority = 2, .cost = 1}},
     "a",
     "unload a\nunload b\n"},
    {"at one priority the cheapest",
     {{.name = "a", .cost = 90}, {.name = "b", .cost = 10}},
     "b",
     "unload b\nunload a\n"},
    {"used longest ago, not the largest",
     {{.name = "a", .bytes = 10 * MIB},
      {.name = "b", .bytes = 300 * MIB},
      {.name = "c", .bytes = 200 * MIB}},
     "b",
     "unload a\nunload c\nunload b\n"},
    {"never used: as they came",
     {{.name = "a", .loaded = true, .bytes = 10 * MIB},
      {.name = "b", .loaded = true, .bytes = 300 * MIB}},
     NULL,
     "unload a\nunload b\n"},
    {"by the ladder's word first",
     {{.name = "a"}, {.name = "b"}, {.name = "first"}},
     "first",
     "unload first\nunload a\nunload b\n"},
    {"nothing to give is not in the way",
     {{.name = "a", .bytes = 1}, {.name = "b"}},
     "b",
     "unload b\n"},
};

START_TEST(they_go_in_order)
{
    struct gov_relief_rules rules;
    struct model model[4];

    gov_relief_rules_default(&rules);
    rules.count = 2;
    snprintf(rules.step[0].action, GOV_ACTION_NAME, "model.first");
    snprintf(rules.step[1].action, GOV_ACTION_NAME, "model.*");
    put_relief(&rules);
    memcpy(&model, &orders[_i].model, sizeof(model));
    for (int i = 0; i < 4 && model[i].name != NULL; i++)
        register_model(&model[i]);
    for (int last = 0; orders[_i].used_last != NULL && last < 2; last++)
        for (int i = 0; i < 4 && model[i].name != NULL; i++)
            if ((strcmp(model[i].name, orders[_i].used_last) == 0) ==
                (last > 0))
                use(&model[i]);
    only_models();
    simulate(CRITICAL);
    turn(100);
    turn(100);
    ck_assert_msg(strcmp(happened, orders[_i].want) == 0, "%s: got\n%s",
                  orders[_i].what, happened);
}
END_TEST

/* No more than is missing. */
START_TEST(one_is_enough)
{
    struct model a = {.name = "a", .loaded = true, .bytes = 600 * MIB};
    struct model b = {.name = "b", .loaded = true, .bytes = 600 * MIB};

    register_model(&a);
    register_model(&b);
    only_models();
    sim_grow(&sim, (int64_t)(4 * GIB - 50 * MIB) -
                       (int64_t)sim.process.footprint_bytes);
    turn(1000);
    turn(100);
    turn(100);
    ck_happened("unload a\n");
}
END_TEST

/* One that was just unloaded and loaded again rests; that is no rest for others. */
START_TEST(who_rests_is_not_in_the_way)
{
    struct model a = {.name = "a"}, b = {.name = "b"};

    register_model(&a);
    register_model(&b);
    use(&a);
    only_models();
    simulate(CRITICAL);
    turn(100);
    ck_happened("unload a\n");
    use(&a);
    use(&b);
    turn(100);
    ck_happened("load a\nload b\nunload b\n");
    turn(60000);
    ck_happened("unload a\n");
}
END_TEST

START_TEST(one_in_use_is_not_in_the_way)
{
    struct model a = {.name = "a"}, b = {.name = "b", .priority = 5};

    register_model(&a);
    register_model(&b);
    begin(&a);
    use(&b);
    only_models();
    simulate(CRITICAL);
    turn(100);
    ck_happened("unload b\n");
    ck_assert(gov_models_loaded(rt, a.id));
    end(&a);
}
END_TEST

/* Not its beginning. */
START_TEST(the_end_of_a_use_counts)
{
    struct model a = {.name = "a", .bytes = 300 * MIB}, b = {.name = "b"};

    register_model(&a);
    register_model(&b);
    begin(&a);
    use(&b);
    end(&a);
    only_models();
    simulate(CRITICAL);
    turn(100);
    ck_happened("unload b\nunload a\n");
}
END_TEST

/* ---- registration ----------------------------------------------------------------- */

static const struct {
    const char *name;
    uint32_t priority;
    int lacks; /* bytes, load, unload */
    const char *want;
} bad[] = {
    {NULL, 0, -1,
     "the name of model \"\" is not 1 to 25 bytes long; change it"},
    {"", 0, -1, "the name of model \"\" is not 1 to 25 bytes long; change it"},
    {"abcdefghijklmnopqrstuvwxyz", 0, -1,
     "the name of model \"abcdefghijklmnopqrstuvwxyz\" is not 1 to 25 bytes "
     "long; change it"},
    {"x\ny", 0, -1,
     "the name of a model has a space or a control character in it; take "
     "letters, digits and dots"},
    {"a", 0, 0, "model a has no bytes(); set it"},
    {"a", 0, 1, "model a has no load(); set it"},
    {"a", 0, 2, "model a has no unload(); set it"},
    {"a", 1000001, -1,
     "priority 1000001 of model a is above 1000000; choose a lower one"},
    {"twice", 0, -1,
     "a model twice is registered already; name this one otherwise"},
};

START_TEST(what_is_none_is_refused)
{
    struct model twice = {.name = "twice"};
    struct gov_model_entry entry = entry_of(&twice);
    uint32_t id = 77;

    register_model(&twice);
    entry.name = bad[_i].name;
    entry.priority = bad[_i].priority;
    if (bad[_i].lacks == 0)
        entry.bytes = NULL;
    if (bad[_i].lacks == 1)
        entry.load = NULL;
    if (bad[_i].lacks == 2)
        entry.unload = NULL;
    ck_assert_int_eq(gov_models_add(rt, &entry, &id, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, bad[_i].want);
    ck_assert_uint_eq(id, 77);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_MODELS], 1);
}
END_TEST

START_TEST(calls_without_anything)
{
    struct model a = {.name = "a"};
    struct {
        struct gov_model_entry entry;
        char newer;
    } newer = {entry_of(&a), 1};
    uint32_t id;

    ck_assert_int_eq(gov_models_add(NULL, &newer.entry, &id, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_models_add(rt, NULL, &id, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_models_add(rt, &newer.entry, NULL, &err),
                     GOV_E_INVALID);
    newer.entry.size = sizeof(newer);
    ck_assert_int_eq(gov_models_add(rt, &newer.entry, &id, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_models_use(NULL, 1, &err), GOV_E_NOT_FOUND);
    ck_assert_int_eq(gov_models_use(rt, 1, &err), GOV_E_NOT_FOUND);
    register_model(&a);
    ck_assert_int_eq(gov_models_use(rt, 0, &err), GOV_E_NOT_FOUND);
    ck_assert_int_eq(gov_models_use(rt, 99, &err), GOV_E_NOT_FOUND);
    ck_assert_str_eq(err.message,
                     "no model has the id 99; gov_models_add() gives one");
    ck_assert_int_eq(gov_models_use(rt, 99, NULL), GOV_E_NOT_FOUND);
    gov_models_done(rt, a.id); /* more than were begun */
    gov_models_done(rt, 0);
    gov_models_done(NULL, 1);
    gov_models_remove(rt, 0);
    gov_models_remove(rt, 99);
    gov_models_remove(NULL, 1);
    ck_assert(!gov_models_loaded(rt, 0) && !gov_models_loaded(NULL, 1));
    use(&a);
}
END_TEST

START_TEST(there_is_no_room)
{
    struct model model[18];
    struct action other[GOV__RELIEFS];
    char names[18 + GOV__RELIEFS][8];
    struct gov_model_entry entry;
    uint32_t id;

    memset(model, 0, sizeof(model));
    memset(other, 0, sizeof(other));
    for (int i = 0; i < 18 + GOV__RELIEFS; i++)
        snprintf(names[i], sizeof(names[i]), "m%d", i);
    for (int i = 0; i < 18; i++)
        model[i].name = names[i];
    for (int i = 0; i < 16; i++)
        register_model(&model[i]);
    entry = entry_of(&model[16]);
    ck_assert_int_eq(gov_models_add(rt, &entry, &id, &err), GOV_E_BUSY);
    ck_assert_str_eq(err.message,
                     "16 models are registered already; remove one");
    gov_models_remove(rt, model[3].id);
    for (int i = 0; i < GOV__RELIEFS - 15; i++) {
        other[i].name = names[18 + i];
        add(&other[i]);
    }
    ck_assert_int_eq(gov_models_add(rt, &entry, &id, &err), GOV_E_BUSY);
    ck_assert_str_eq(err.message,
                     "32 relief actions are registered already; remove one");
    ck_assert_uint_eq(rt->counter[GOV_PAGE_MODELS], 15);
    gov_relief_remove(rt, other[0].id);
    register_model(&model[16]);
    ck_assert(model[16].id != model[3].id);
    ck_assert_int_eq(gov_models_use(rt, model[3].id, &err), GOV_E_NOT_FOUND);
    use(&model[16]);
}
END_TEST

/* ---- loads that fail ---------------------------------------------------------------- */

START_TEST(a_load_that_fails_once_and_for_good)
{
    for (int n = 1; n < 6; n++) {
        struct model a = {.name = "a", .mute = n == 2};

        register_model(&a);
        atomic_store(&a.fails, _i == 0 ? n : -1);
        for (int i = 0; i < n; i++) {
            ck_assert_int_eq(gov_models_use(rt, a.id, i == 1 ? NULL : &err),
                             a.mute ? GOV_E_IO : GOV_E_FORMAT);
            if (i != 1)
                ck_assert_str_eq(err.message,
                                 a.mute ? "model a cannot be loaded, and its "
                                          "load() does not say why"
                                        : "a is no model; name another");
            ck_assert(!gov_models_loaded(rt, a.id));
        }
        simulate(CRITICAL);
        turn(100); /* there is nothing to unload */
        if (_i == 0)
            use(&a);
        else
            ck_assert_int_ne(gov_models_use(rt, a.id, &err), GOV_OK);
        gov_models_remove(rt, a.id);
        ck_assert_int_eq(a.loads, _i == 0);
        ck_assert_int_eq(a.unloads, 0);
    }
}
END_TEST

/* ---- threads ------------------------------------------------------------------------ */

struct call {
    struct model *model;
    gov_status status;
    gov_error err;
};

static void *use_there(void *arg)
{
    struct call *call = arg;

    call->status = gov_models_use(rt, call->model->id, &call->err);
    return NULL;
}

static void *remove_there(void *arg)
{
    struct call *call = arg;

    gov_models_remove(rt, call->model->id);
    return NULL;
}

static void *turn_there(void *arg)
{
    (void)arg;
    gov_step(rt);
    return NULL;
}

/* Until as many calls wait in the model as are wanted. */
static void until_held(uint32_t want)
{
    uint32_t held;

    do {
        sched_yield();
        pthread_mutex_lock(&rt->lock);
        held = rt->models.model[0].held;
        pthread_mutex_unlock(&rt->lock);
    } while (held < want);
}

static void until_removed(void)
{
    bool removed;

    do {
        sched_yield();
        pthread_mutex_lock(&rt->lock);
        removed = rt->models.model[0].removed;
        pthread_mutex_unlock(&rt->lock);
    } while (!removed);
}

/* A second use waits for the load of the first, and loads itself if that fails. */
START_TEST(a_second_use_waits_for_the_load)
{
    struct gate gate = GATE;
    struct model a = {.name = "a", .gate = &gate};
    struct call first = {.model = &a}, second = {.model = &a};
    pthread_t one, two;

    register_model(&a);
    only_models();
    atomic_store(&a.fails, _i);
    one = start(use_there, &first);
    gate_wait(&gate, 1);
    two = start(use_there, &second);
    until_held(2);
    ck_assert(!gov_models_loaded(rt, a.id));
    simulate(CRITICAL);
    turn(100); /* what loads is not unloaded */
    gate_open(&gate, 2);
    pthread_join(one, NULL);
    pthread_join(two, NULL);
    ck_assert_int_eq(first.status, _i == 0 ? GOV_OK : GOV_E_FORMAT);
    ck_assert_int_eq(second.status, GOV_OK);
    ck_happened("load a\n");
    turn(60000);
    ck_happened("");
}
END_TEST

START_TEST(a_use_waits_for_the_unloading)
{
    struct gate gate = GATE;
    struct model a = {.name = "a", .loaded = true, .gate = &gate};
    struct call call = {.model = &a};
    pthread_t relief, user;

    register_model(&a);
    only_models();
    simulate(CRITICAL);
    relief = start(turn_there, NULL);
    gate_wait(&gate, 1);
    ck_assert(!gov_models_loaded(rt, a.id));
    user = start(use_there, &call);
    until_held(1);
    gate_open(&gate, 2);
    pthread_join(relief, NULL);
    pthread_join(user, NULL);
    ck_assert_int_eq(call.status, GOV_OK);
    ck_happened("unload a\nload a\n");
}
END_TEST

/* While it loads, while it unloads, while it is used. */
START_TEST(removing_waits)
{
    struct gate gate = GATE;
    struct model a = {
        .name = "a", .loaded = _i != 0, .gate = _i == 2 ? NULL : &gate};
    struct call first = {.model = &a}, second = {.model = &a};
    pthread_t one, two, remover;

    register_model(&a);
    only_models();
    simulate(CRITICAL);
    if (_i == 2)
        begin(&a);
    one = start(_i == 0 ? use_there : turn_there, &first);
    if (_i != 2)
        gate_wait(&gate, 1);
    two = start(use_there, &second);
    if (_i != 2)
        until_held(_i == 0 ? 2 : 1);
    else
        pthread_join(two, NULL);
    remover = start(remove_there, &first);
    until_removed();
    ck_assert_int_eq(gov_models_use(rt, a.id, &err), GOV_E_NOT_FOUND);
    ck_assert_str_eq(err.message, "model a is being removed; add it again");
    gate_open(&gate, 2);
    pthread_join(one, NULL);
    if (_i != 2)
        pthread_join(two, NULL);
    ck_assert_int_eq(first.status, GOV_OK);
    ck_assert_int_eq(second.status, _i == 2 ? GOV_OK : GOV_E_NOT_FOUND);
    for (int i = 0; i < (_i == 2 ? 2 : _i == 0 ? 1 : 0); i++)
        gov_models_done(rt, a.id);
    pthread_join(remover, NULL);
    ck_happened(_i == 0 ? "load a\n" : _i == 1 ? "unload a\n" : "");
    ck_assert_int_eq(gov_models_use(rt, a.id, &err), GOV_E_NOT_FOUND);
    ck_assert_str_ne(err.message, "model a is being removed; add it again");
}
END_TEST

/* Somebody had the lock when the child was made: it takes none. */
START_TEST(a_child_of_fork_is_told)
{
    struct model a = {.name = "a", .loaded = true}, b = {.name = "b"};
    struct gov_model_entry entry = entry_of(&b);
    uint32_t id;
    pid_t child;
    int status;

    register_model(&a);
    pthread_mutex_lock(&rt->lock);
    child = fork();
    if (child == 0) {
        alarm(10);
        gov_models_done(rt, a.id);
        gov_models_remove(rt, a.id);
        _exit(gov_models_add(rt, &entry, &id, &err) != GOV_E_UNSUPPORTED ||
              gov_models_use(rt, a.id, &err) != GOV_E_UNSUPPORTED ||
              gov_models_loaded(rt, a.id));
    }
    pthread_mutex_unlock(&rt->lock);
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    use(&a);
}
END_TEST

#define USERS 4
#define USES 400

static struct model shared[3] = {{.name = "x", .quiet = true},
                                 {.name = "y", .quiet = true},
                                 {.name = "z", .quiet = true, .priority = 1}};
static _Atomic int users_left;

static void *use_often(void *arg)
{
    const size_t offset = *(const size_t *)arg;

    for (size_t i = 0; i < USES; i++) {
        struct model *model = &shared[(i + offset) % 3];

        if (i % 16 == 0)
            atomic_store(&model->fails, 1);
        if (gov_models_use(rt, model->id, NULL) != GOV_OK)
            continue;
        atomic_fetch_add(&model->users, 1);
        sched_yield();
        ck_assert(atomic_load(&model->there));
        end(model);
    }
    atomic_fetch_sub(&users_left, 1);
    return NULL;
}

/* unload() asserts that nobody uses it. */
START_TEST(using_races_unloading)
{
    pthread_t thread[USERS];
    size_t offset[USERS];

    gov_on_event(rt, NULL, NULL);
    for (int i = 0; i < 3; i++)
        register_model(&shared[i]);
    atomic_store(&users_left, USERS);
    simulate(CRITICAL);
    for (size_t i = 0; i < USERS; i++) {
        offset[i] = i;
        thread[i] = start(use_often, &offset[i]);
    }
    while (atomic_load(&users_left) > 0) {
        turn(40000);
        sched_yield();
    }
    for (int i = 0; i < USERS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 3; i++) {
        atomic_store(&shared[i].fails, 0);
        use(&shared[i]);
        ck_assert_int_eq(shared[i].loads, shared[i].unloads + 1);
        gov_models_remove(rt, shared[i].id);
    }
    ck_assert_uint_eq(rt->counter[GOV_PAGE_MODELS], 0);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("models");
    TCase *t = tcase_create("models");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, it_goes_when_idle_and_comes_back);
    tcase_add_test(t, warn_unloads_nothing);
    tcase_add_test(t, one_look_unloads_nothing);
    tcase_add_test(t, what_is_told_of_it);
    tcase_add_loop_test(t, they_go_in_order, 0,
                        (int)(sizeof(orders) / sizeof(orders[0])));
    tcase_add_test(t, one_is_enough);
    tcase_add_test(t, who_rests_is_not_in_the_way);
    tcase_add_test(t, one_in_use_is_not_in_the_way);
    tcase_add_test(t, the_end_of_a_use_counts);
    tcase_add_loop_test(t, what_is_none_is_refused, 0,
                        (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(t, calls_without_anything);
    tcase_add_test(t, there_is_no_room);
    tcase_add_loop_test(t, a_load_that_fails_once_and_for_good, 0, 2);
    tcase_add_loop_test(t, a_second_use_waits_for_the_load, 0, 2);
    tcase_add_test(t, a_use_waits_for_the_unloading);
    tcase_add_loop_test(t, removing_waits, 0, 3);
    tcase_add_test(t, a_child_of_fork_is_told);
    tcase_add_test(t, using_races_unloading);
    suite_add_tcase(s, t);
    return s;
}
