/* SPDX-License-Identifier: MIT */
/* Telling the system that somebody waits, as NSProcessInfo takes it: no App Nap, no
 * stretched timers meanwhile. Never run. */
#include <errno.h>
#include <stdint.h>

#include "governor/platform/darwin_objc.h"
#include "governor/platform/darwin_parts.h"

#define FOUNDATION "/System/Library/Frameworks/Foundation.framework/Foundation"

/* NSActivityUserInitiatedAllowingIdleSystemSleep of Foundation's NSProcessInfo.h:
 * NSActivityUserInitiated, 0x00FFFFFF, less NSActivityIdleSystemSleepDisabled,
 * 1 << 20. An answer is not to be napped, nor its process ended by sudden or
 * automatic termination (bits 14 and 15, both in it). Whether a machine that
 * nobody touches sleeps is for the app and its user to say, not for a library. Not
 * NSActivityLatencyCritical: Apple keeps it for audio and video being recorded. */
#define OPTIONS UINT64_C(0x00EFFFFF)

struct objc {
    gov__objc_selector (*named)(const char *name);
    gov__objc_object (*class_named)(const char *name);
    void *(*push)(void);
    void (*pop)(void *pool);
    gov__objc_object (*send)(gov__objc_object, gov__objc_selector);
    gov__objc_object (*send_text)(gov__objc_object, gov__objc_selector,
                                  const char *);
    gov__objc_object (*send_begin)(gov__objc_object, gov__objc_selector,
                                   uint64_t, gov__objc_object);
    void (*send_end)(gov__objc_object, gov__objc_selector, gov__objc_object);
    unsigned char (*send_asks)(gov__objc_object, gov__objc_selector,
                               gov__objc_selector);
};

static int open_foundation(struct objc *out)
{
    void *runtime = dlopen(GOV__DARWIN_OBJC, RTLD_LAZY | RTLD_LOCAL);
    void *foundation = dlopen(FOUNDATION, RTLD_LAZY | RTLD_LOCAL);

    memset(out, 0, sizeof(*out));
    if (runtime == NULL || foundation == NULL)
        return ENOTSUP;
    return gov__darwin_find(runtime, "sel_registerName", &out->named) &&
                   gov__darwin_find(runtime, "objc_getClass",
                                    &out->class_named) &&
                   gov__darwin_find(runtime, "objc_autoreleasePoolPush",
                                    &out->push) &&
                   gov__darwin_find(runtime, "objc_autoreleasePoolPop",
                                    &out->pop) &&
                   gov__darwin_find(runtime, "objc_msgSend", &out->send) &&
                   gov__darwin_find(runtime, "objc_msgSend", &out->send_text) &&
                   gov__darwin_find(runtime, "objc_msgSend",
                                    &out->send_begin) &&
                   gov__darwin_find(runtime, "objc_msgSend", &out->send_end) &&
                   gov__darwin_find(runtime, "objc_msgSend", &out->send_asks)
               ? 0
               : ENOTSUP;
}

/* The process's NSProcessInfo, or NULL where there is none that knows `method`: a
 * message that it does not know would end the process. */
static gov__objc_object info_that_knows(const struct objc *objc,
                                        const char *method)
{
    gov__objc_object class = objc->class_named("NSProcessInfo"), info;

    if (class == NULL)
        return NULL;
    info = objc->send(class, objc->named("processInfo"));
    if (info == NULL ||
        objc->send_asks(info, objc->named("respondsToSelector:"),
                        objc->named(method)) == 0)
        return NULL;
    return info;
}

/* NULL where the text is no UTF-8, too. The caller's pool owns it. */
static gov__objc_object text_of(const struct objc *objc, const char *text)
{
    gov__objc_object class = objc->class_named("NSString");

    return class == NULL
               ? NULL
               : objc->send_text(class, objc->named("stringWithUTF8String:"),
                                 text);
}

/* What begins is the pool's, as every object that a method without "new", "copy" or
 * "alloc" in its name returns; so it is retained until the end. */
static int begin(const struct objc *objc, const char *why, void **out)
{
    static const char *const method = "beginActivityWithOptions:reason:";
    gov__objc_object info = info_that_knows(objc, method), reason, activity;

    if (info == NULL)
        return ENOTSUP;
    reason = text_of(objc, why);
    if (reason == NULL)
        return EINVAL;
    activity = objc->send_begin(info, objc->named(method), OPTIONS, reason);
    if (activity == NULL)
        return ENOMEM;
    *out = objc->send(activity, objc->named("retain"));
    return 0;
}

/* An empty reason would raise an exception. */
int gov__darwin_activity_begin(void *ctx, const char *why, void **out)
{
    struct objc objc;
    void *pool;
    int rc;

    (void)ctx;
    if (why == NULL || why[0] == '\0')
        return EINVAL;
    rc = open_foundation(&objc);
    if (rc != 0)
        return rc;
    pool = objc.push();
    rc = begin(&objc, why, out);
    objc.pop(pool);
    return rc;
}

int gov__darwin_activity_end(void *ctx, void *activity)
{
    static const char *const method = "endActivity:";
    struct objc objc;
    gov__objc_object info;
    void *pool;
    int rc;

    (void)ctx;
    if (activity == NULL)
        return EINVAL;
    rc = open_foundation(&objc);
    if (rc != 0)
        return rc;
    pool = objc.push();
    info = info_that_knows(&objc, method);
    if (info != NULL)
        objc.send_end(info, objc.named(method), activity);
    (void)objc.send(activity, objc.named("release"));
    objc.pop(pool);
    return info != NULL ? 0 : ENOTSUP;
}
