/* SPDX-License-Identifier: MIT */
/* The policy of a runtime: puts it in force and follows its files. What a policy
 * says of levels and relief is copied; rules of plans are none of its business.
 *
 * A file that changed is read once it stayed the same for a look: an editor that
 * writes it anew leaves it empty, or half, for a moment. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/runtime/runtime_priv.h"
#include "policies/language/words_priv.h"

#define LOOK_MS 1000

/* ---- stamps ---------------------------------------------------------------- */

static void take_stamp(struct gov__policy_stamp *out, const char *path)
{
    struct stat st;

    memset(out, 0, sizeof(*out));
    if (path == NULL)
        return;
    if (stat(path, &st) !=
        0) { /* and not lstat(): such files are often links */
        out->error = errno;
        return;
    }
    out->device = st.st_dev;
    out->inode = st.st_ino;
    out->bytes = st.st_size;
    out->mode = st.st_mode;
    out->modified = st.st_mtim;
    out->changed = st.st_ctime;
}

static bool same_stamp(const struct gov__policy_stamp *a,
                       const struct gov__policy_stamp *b)
{
    return a->error == b->error && a->device == b->device &&
           a->inode == b->inode && a->bytes == b->bytes && a->mode == b->mode &&
           a->modified.tv_sec == b->modified.tv_sec &&
           a->modified.tv_nsec == b->modified.tv_nsec &&
           a->changed == b->changed;
}

static bool same_stamps(const struct gov__policy_stamp *a,
                        const struct gov__policy_stamp *b)
{
    for (size_t i = 0; i < GOV__POLICY_FILES; i++)
        if (!same_stamp(&a[i], &b[i]))
            return false;
    return true;
}

/* Looks at the files; true when they are as at the look before. */
static bool look(struct gov__policy_watch *watch)
{
    struct gov__policy_stamp now[GOV__POLICY_FILES];
    bool same;

    for (size_t i = 0; i < GOV__POLICY_FILES; i++)
        take_stamp(&now[i], watch->files.path[i]);
    same = same_stamps(now, watch->seen);
    memcpy(watch->seen, now, sizeof(now));
    if (!same)
        watch->told = false;
    return same;
}

/* A file that was there when the policy was read, and is not now; or NULL. */
static const char *gone(const struct gov__policy_watch *watch)
{
    for (size_t i = 0; i < GOV__POLICY_FILES; i++)
        if (watch->files.path[i] != NULL && watch->settled[i].error == 0 &&
            (watch->seen[i].error == ENOENT || watch->seen[i].error == ENOTDIR))
            return watch->files.path[i];
    return NULL;
}

static void settle(struct gov__policy_watch *watch)
{
    memcpy(watch->settled, watch->seen, sizeof(watch->settled));
}

/* ---- in force --------------------------------------------------------------- */

/* What is taken of a policy. */
struct reading {
    struct gov_level_rules levels;
    struct gov_relief_rules relief;
    char source[GOV_MESSAGE_BYTES];
};

static gov_status read_policy(struct reading *out,
                              const struct gov__policy_files *files,
                              const struct gov_alloc *alloc, gov_error *err)
{
    const struct gov__policy_request request = {
        .files = files, .alloc = alloc, .source = out->source};
    gov_policy *policy;
    gov_status status = gov__policy_load(&policy, &request, err);

    if (status != GOV_OK)
        return status;
    gov_policy_levels(policy, &out->levels);
    gov_policy_relief(policy, &out->relief);
    gov_policy_free(policy);
    return GOV_OK;
}

static void put_in_force(struct gov_runtime *runtime,
                         const struct reading *reading)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->rules = reading->levels;
    runtime->relief_rules = reading->relief;
    memcpy(runtime->policy_source, reading->source, sizeof(reading->source));
    if (++runtime->policy_serial == 0)
        runtime->policy_serial = 1;
    pthread_mutex_unlock(&runtime->lock);
}

/* Keeps a sentence until somebody listens; `problem` is why what files say is not
 * in force, "" where it is. */
static void put_notice(struct gov_runtime *runtime, const char *problem,
                       const char *what, const char *detail)
{
    pthread_mutex_lock(&runtime->lock);
    gov__put(runtime->policy_problem, sizeof(runtime->policy_problem), 0, "%s",
             problem);
    gov__put(runtime->policy_notice, sizeof(runtime->policy_notice), 0, "%s%s",
             what, detail);
    pthread_mutex_unlock(&runtime->lock);
}

/* Takes the files, or returns false when another thread has them. */
static bool begin_loading(struct gov_runtime *runtime, bool wait)
{
    bool mine;

    pthread_mutex_lock(&runtime->lock);
    while (wait && runtime->loading)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    mine = !runtime->loading;
    runtime->loading = true;
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static void end_loading(struct gov_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->loading = false;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

static gov_status load(struct gov_runtime *runtime, gov_error *err)
{
    struct gov__policy_watch *watch = &runtime->watch;
    struct reading reading;
    gov_status status =
        read_policy(&reading, &watch->files, &runtime->alloc, err);
    const char *missing = gone(watch);
    char text[sizeof(runtime->policy_notice)];

    if (status != GOV_OK)
        return status;
    put_in_force(runtime, &reading);
    gov__put(text, sizeof(text), 0, "%s%s%s", reading.source,
             missing != NULL ? "; there is no more " : "",
             missing != NULL ? missing : "");
    put_notice(runtime, "", "policy reloaded from ", text);
    settle(watch);
    return GOV_OK;
}

/* What is no fault of the files. */
static bool may_pass(gov_status status)
{
    return status == GOV_E_NOMEM || status == GOV_E_IO;
}

/* ---- while it runs ----------------------------------------------------------- */

/* What was in force stays. That is said once for a version of the files; what
 * may pass by itself is tried again. */
static void keep(struct gov_runtime *runtime, gov_status status,
                 const gov_error *why)
{
    struct gov__policy_watch *watch = &runtime->watch;

    if (!look(watch))
        return; /* it was about a file that is being written */
    if (!may_pass(status))
        settle(watch);
    else if (watch->told)
        return;
    watch->told = true;
    put_notice(runtime, why->message,
               "the policy stays as it was: ", why->message);
}

/* Tells what happened to the policy, once somebody listens. */
static void tell(struct gov_runtime *runtime)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE};
    char text[sizeof(runtime->policy_notice)] = "";

    pthread_mutex_lock(&runtime->lock);
    if (runtime->event != NULL) {
        memcpy(text, runtime->policy_notice, sizeof(text));
        runtime->policy_notice[0] = '\0';
    }
    pthread_mutex_unlock(&runtime->lock);
    event.text = text;
    if (text[0] != '\0')
        gov__runtime_event(runtime, &event);
}

static bool has_files(const struct gov__policy_files *files)
{
    for (size_t i = 0; i < GOV__POLICY_FILES; i++)
        if (files->path[i] != NULL)
            return true;
    return false;
}

void gov__policy_follow(struct gov_runtime *runtime)
{
    struct gov__policy_watch *watch = &runtime->watch;
    const uint64_t now_ms = gov__runtime_ms(runtime);
    gov_error err;

    if (has_files(&watch->files) && now_ms - runtime->looked_ms >= LOOK_MS &&
        begin_loading(runtime, false)) {
        runtime->looked_ms = now_ms;
        if (look(watch) && !same_stamps(watch->seen, watch->settled)) {
            gov_status status = load(runtime, &err);

            if (status != GOV_OK)
                keep(runtime, status, &err);
        }
        end_loading(runtime);
    }
    tell(runtime);
}

gov_status gov_policy_reload(gov_runtime *runtime, gov_error *err)
{
    struct gov__policy_stamp before[GOV__POLICY_FILES];
    struct gov__policy_watch *watch;
    gov_status status;

    if (runtime == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_policy_reload() needs a runtime");
    if (gov__runtime_forked(runtime))
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "nothing is governed in a child of fork(); open a "
                        "runtime there");
    watch = &runtime->watch;
    (void)begin_loading(runtime, true);
    memcpy(before, watch->seen, sizeof(before));
    (void)look(watch);
    status = load(runtime, err);
    if (status != GOV_OK) /* it was not a look that gov_step() waits for */
        memcpy(watch->seen, before, sizeof(before));
    end_loading(runtime);
    return status;
}

/* ---- open and close ----------------------------------------------------------- */

/* A copy of the path that holds where the process may be by then: apps that go
 * to the background change directories. Where nobody says which one this is, the
 * path stays as it is. */
static char *absolute(const char *path, const struct gov_alloc *alloc)
{
    char here[4096];
    const bool add = path[0] != '/' && getcwd(here, sizeof(here)) != NULL;
    const size_t bytes = (add ? strlen(here) + 1 : 0) + strlen(path) + 1;
    char *copy = alloc->alloc(alloc->ctx, bytes);

    if (copy != NULL)
        snprintf(copy, bytes, "%s%s%s", add ? here : "", add ? "/" : "", path);
    return copy;
}

static gov_status find_files(struct gov__policy_watch *watch,
                             const struct gov_options *options,
                             const struct gov_alloc *alloc, gov_error *err)
{
    const char **named = &watch->files.path[GOV__NAMED_FILE];
    gov_status status =
        gov__policy_find(&watch->files, options->policy,
                         options->no_policy_files, watch->user, err);

    if (status != GOV_OK || *named == NULL)
        return status;
    watch->named = absolute(*named, alloc);
    if (watch->named == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory to keep the path of policy %s; free some "
                        "first",
                        options->policy);
    *named = watch->named;
    return GOV_OK;
}

/* Without the files that nobody named: reads the policy from what is left. */
static gov_status fall_back(struct gov_runtime *runtime,
                            struct reading *reading, const gov_error *why,
                            gov_error *err)
{
    struct gov__policy_files alone = runtime->watch.files;
    char text[GOV_MESSAGE_BYTES + 64];
    gov_status status;

    alone.path[GOV__SYSTEM_FILE] = alone.path[GOV__USER_FILE] = NULL;
    status = read_policy(reading, &alone, &runtime->alloc, err);
    if (status != GOV_OK)
        return status;
    gov__put(
        text, sizeof(text), 0,
        "policy %s is in force, not what its files say: ", reading->source);
    put_notice(runtime, why->message, text, why->message);
    return GOV_OK;
}

gov_status gov__policy_begin(struct gov_runtime *runtime,
                             const struct gov_options *options, gov_error *err)
{
    struct gov__policy_watch *watch = &runtime->watch;
    struct reading reading;
    gov_error why;
    gov_status status = find_files(watch, options, &runtime->alloc, err);

    if (status != GOV_OK)
        return status;
    (void)look(watch);
    settle(watch);
    status = read_policy(&reading, &watch->files, &runtime->alloc, &why);
    if (status == GOV_E_NOMEM)
        return gov_fail(err, status, 0, "%s", why.message);
    if (may_pass(status)) {
        for (size_t i = 0; i < GOV__POLICY_FILES; i++)
            watch->settled[i].error = -1; /* like none: read it again */
        watch->told = true;
    }
    if (status != GOV_OK)
        status = fall_back(runtime, &reading, &why, err);
    if (status == GOV_OK)
        put_in_force(runtime, &reading);
    return status;
}

void gov__policy_end(struct gov_runtime *runtime)
{
    runtime->alloc.release(runtime->alloc.ctx, runtime->watch.named);
}
