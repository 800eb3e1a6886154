/* SPDX-License-Identifier: MIT */
/* Graphics processors, as Metal tells of them. Never run. */
#include <errno.h>
#include <stdio.h>

#include "governor/platform/darwin_objc.h"
#include "governor/platform/darwin_parts.h"

#define METAL "/System/Library/Frameworks/Metal.framework/Metal"

typedef gov__objc_object object;
typedef gov__objc_selector selector;

/* BOOL is one byte on both processors. */
struct objc {
    selector (*named)(const char *name);
    void *(*push)(void);
    void (*pop)(void *pool);
    object (*send)(object, selector);
    object (*send_index)(object, selector, unsigned long);
    unsigned long (*send_count)(object, selector);
    uint64_t (*send_bytes)(object, selector);
    unsigned char (*send_flag)(object, selector);
    unsigned char (*send_asks)(object, selector, selector);
    const char *(*send_text)(object, selector);
    object (*all_devices)(void);
    object (*one_device)(void);
};

static int open_metal(struct objc *out)
{
    void *runtime = dlopen(GOV__DARWIN_OBJC, RTLD_LAZY | RTLD_LOCAL);
    void *metal = dlopen(METAL, RTLD_LAZY | RTLD_LOCAL);
    bool whole;

    memset(out, 0, sizeof(*out));
    if (runtime == NULL || metal == NULL)
        return ENOTSUP;
    whole = gov__darwin_find(runtime, "sel_registerName", &out->named) &&
            gov__darwin_find(runtime, "objc_autoreleasePoolPush", &out->push) &&
            gov__darwin_find(runtime, "objc_autoreleasePoolPop", &out->pop) &&
            gov__darwin_find(runtime, "objc_msgSend", &out->send) &&
            gov__darwin_find(runtime, "objc_msgSend", &out->send_index) &&
            gov__darwin_find(runtime, "objc_msgSend", &out->send_count) &&
            gov__darwin_find(runtime, "objc_msgSend", &out->send_bytes) &&
            gov__darwin_find(runtime, "objc_msgSend", &out->send_flag) &&
            gov__darwin_find(runtime, "objc_msgSend", &out->send_asks) &&
            gov__darwin_find(runtime, "objc_msgSend", &out->send_text);
    /* iOS has no list of devices before iOS 18. */
    (void)gov__darwin_find(metal, "MTLCopyAllDevices", &out->all_devices);
    (void)gov__darwin_find(metal, "MTLCreateSystemDefaultDevice",
                           &out->one_device);
    return whole && (out->all_devices != NULL || out->one_device != NULL)
               ? 0
               : ENOTSUP;
}

/* The selector, or NULL where the device does not know it: a message that it does
 * not know would end the process. */
static selector knows(const struct objc *objc, object device, const char *name)
{
    selector asked = objc->named("respondsToSelector:");
    selector wanted = objc->named(name);

    if (asked == NULL || wanted == NULL)
        return NULL;
    return objc->send_asks(device, asked, wanted) != 0 ? wanted : NULL;
}

static uint64_t bytes_of(const struct objc *objc, object device,
                         const char *name)
{
    selector wanted = knows(objc, device, name);

    return wanted == NULL ? 0 : objc->send_bytes(device, wanted);
}

/* currentAllocatedSize is what this process has there, and all that is told. */
static void describe(const struct objc *objc, object device,
                     struct gov__gpu *out)
{
    selector name = knows(objc, device, "name");
    selector unified = knows(objc, device, "hasUnifiedMemory");
    object string = name == NULL ? NULL : objc->send(device, name);
    const char *text = NULL;

    memset(out, 0, sizeof(*out));
    if (string != NULL && knows(objc, string, "UTF8String") != NULL)
        text = objc->send_text(string, objc->named("UTF8String"));
    snprintf(out->name, sizeof(out->name), "%s", text == NULL ? "GPU" : text);
    out->working_set_bytes =
        bytes_of(objc, device, "recommendedMaxWorkingSetSize");
    out->used_bytes = bytes_of(objc, device, "currentAllocatedSize");
    out->shares_ram = unified != NULL && objc->send_flag(device, unified) != 0;
    snprintf(out->source, sizeof(out->source),
             out->working_set_bytes > 0 ? "Metal, recommendedMaxWorkingSetSize"
                                        : "Metal, which tells no working set");
}

/* On macOS MTLCreateSystemDefaultDevice() wants CoreGraphics linked, so it comes
 * second. Both hand over what they return. */
static size_t list(const struct objc *objc, struct gov__gpu *out, size_t max)
{
    selector release = objc->named("release");
    object all = objc->all_devices == NULL ? NULL : objc->all_devices();
    object one;
    size_t n = 0;

    if (all != NULL) {
        unsigned long count = objc->send_count(all, objc->named("count"));

        for (unsigned long i = 0; i < count && n < max; i++) {
            object device =
                objc->send_index(all, objc->named("objectAtIndex:"), i);

            if (device != NULL)
                describe(objc, device, &out[n++]);
        }
        (void)objc->send(all, release);
    }
    if (n > 0 || max == 0 || objc->one_device == NULL)
        return n;
    one = objc->one_device();
    if (one == NULL)
        return 0;
    describe(objc, one, &out[0]);
    (void)objc->send(one, release);
    return 1;
}

int gov__darwin_gpus(void *ctx, struct gov__gpu *out, size_t max, size_t *count)
{
    struct objc objc;
    void *pool;
    int rc = open_metal(&objc);

    (void)ctx;
    *count = 0;
    if (rc != 0)
        return rc;
    pool = objc.push();
    *count = list(&objc, out, max);
    objc.pop(pool);
    return 0;
}
