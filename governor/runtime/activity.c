/* SPDX-License-Identifier: MIT */
/* Counts who waits for this process, and tells the system when that begins and
 * ends. The platform is called without the lock, by one thread at a time. */
#include "governor/activity.h"

#include "governor/runtime/runtime_priv.h"

/* One step nearer to what is wanted; false when nothing is left to tell, or
 * another thread is telling. Lock held, and let go meanwhile. */
static bool tell_locked(struct gov_runtime *runtime, const char *why)
{
    struct gov__activity *activity = &runtime->activity;
    const struct gov_platform *p = runtime->platform;
    const bool begin = activity->wanted > 0;
    void *token = activity->token;

    if (activity->telling || activity->told == begin)
        return false;
    activity->telling = true;
    pthread_mutex_unlock(&runtime->lock);
    if (!begin && token != NULL)
        (void)p->activity_end(p->ctx, token);
    if (!begin || p->activity_begin(p->ctx, why, &token) != 0)
        token = NULL;
    pthread_mutex_lock(&runtime->lock);
    activity->telling = false;
    activity->told = begin;
    activity->token = token;
    return true;
}

static void count(struct gov_runtime *runtime, bool begin, const char *why)
{
    struct gov__activity *activity = &runtime->activity;

    pthread_mutex_lock(&runtime->lock);
    if (begin)
        activity->wanted++;
    else if (activity->wanted > 0)
        activity->wanted--;
    while (tell_locked(runtime, why)) {
    }
    pthread_mutex_unlock(&runtime->lock);
}

static bool is_known(const struct gov_runtime *runtime)
{
    return runtime != NULL && !gov__runtime_forked(runtime) &&
           runtime->platform->activity_begin != NULL &&
           runtime->platform->activity_end != NULL;
}

void gov_activity_begin(gov_runtime *runtime, const char *why)
{
    if (is_known(runtime))
        count(runtime, true, why != NULL ? why : "a model is at work");
}

void gov_activity_end(gov_runtime *runtime)
{
    /* Should it be wanted again meanwhile, by who is telling. */
    if (is_known(runtime))
        count(runtime, false, "a model is at work");
}

void gov__activity_close(struct gov_runtime *runtime)
{
    if (runtime->activity.token != NULL)
        (void)runtime->platform->activity_end(runtime->platform->ctx,
                                              runtime->activity.token);
    runtime->activity = (struct gov__activity){0};
}
