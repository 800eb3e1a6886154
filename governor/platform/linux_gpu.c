/* SPDX-License-Identifier: MIT */
/* Graphics processors on Linux: asks everybody who may know, the one closest to
 * the memory first and the one closest to an app last, as device/gpus.c wants
 * it. Knows no driver itself. */
#include "governor/platform/gpu_drivers.h"

#include <dlfcn.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "governor/platform/linux_parts.h"

enum { OBJECTS = 4096 }; /* libraries in one process */

struct object {
    int left; /* to pass by */
    char path[4096];
};

static int copy_path(struct dl_phdr_info *info, size_t size, void *ctx)
{
    struct object *object = ctx;
    int n;

    (void)size;
    if (object->left-- > 0)
        return 0;
    n = snprintf(object->path, sizeof(object->path), "%s", info->dlpi_name);
    if (n < 0 || (size_t)n >= sizeof(object->path))
        object->path[0] = '\0';
    return 1;
}

/* One path at a time: dlopen() in the callback would wait for a lock that a
 * dlopen() of another thread holds, which waits for the callback's. When others
 * load and unload meanwhile, one may be passed by. */
void gov__keep_loaded(const char *symbol)
{
    for (int i = 0; i < OBJECTS; i++) {
        struct object object = {.left = i};
        void *library;

        if (dl_iterate_phdr(copy_path, &object) == 0)
            return;
        if (object.path[0] == '\0') /* the program itself */
            continue;
        library = dlopen(object.path, RTLD_LAZY | RTLD_NOLOAD);
        if (library == NULL)
            continue;
        if (dlsym(library, symbol) != NULL) {
            void *kept =
                dlopen(object.path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);

            if (kept != NULL)
                dlclose(kept);
        }
        dlclose(library);
    }
}

size_t gov__gpu_failed(struct gov__gpu *out, size_t max, const char *why, ...)
{
    va_list args;

    if (max == 0)
        return 0;
    memset(out, 0, sizeof(*out));
    out->failed = true;
    va_start(args, why);
    vsnprintf(out->source, sizeof(out->source), why, args);
    va_end(args);
    return 1;
}

int gov__linux_gpus(void *ctx, struct gov__gpu *out, size_t max, size_t *count)
{
    const char *root = ((const struct gov__linux_root *)ctx)->root;
    /* Another root is a picture of another machine; libraries would tell of
     * this one. */
    bool here = root[0] == '\0';
    size_t nvml = 0, drm = 0, vulkan = 0;
    int rc = 0;

    if (here)
        rc = gov__nvml_read_from("libnvidia-ml.so.1", out, max, &nvml);
    if (rc == 0)
        rc = gov__drm_read(root, out + nvml, max - nvml, &drm);
    if (rc == 0 && here)
        rc = gov__vulkan_read_from("libvulkan.so.1", out + nvml + drm,
                                   max - nvml - drm, &vulkan);
    if (rc == 0)
        *count = nvml + drm + vulkan;
    return rc;
}
