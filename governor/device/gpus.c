/* SPDX-License-Identifier: MIT */
/* Makes one list of graphics processors out of what several drivers tell of
 * them. Pure: knows no driver and no system. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "governor/device/device_priv.h"

/* What a platform may tell: each processor by three drivers. */
enum { TOLD = 3 * GOV_DEVICE_GPUS };

/* A source is "DRIVER" or "DRIVER, MORE"; joined ones are "; " apart. */
static bool knows(const char *joined, const char *source)
{
    size_t length = strcspn(source, ",;");

    for (const char *at = joined; at != NULL; at = strstr(at, "; ")) {
        at += at[0] == ';' ? 2 : 0;
        if (strcspn(at, ",;") == length && memcmp(at, source, length) == 0)
            return true;
    }
    return false;
}

static void join(char *joined, size_t bytes, const char *source)
{
    size_t length = strlen(joined);

    if (knows(joined, source) || length + 2 + strlen(source) >= bytes)
        return;
    snprintf(joined + length, bytes - length, "%s%s", length > 0 ? "; " : "",
             source);
}

/* Whether two entries, one of them without an address, are one processor: they
 * have the same name, or neither has an address and both share RAM, since a
 * system on a chip has one. What the same driver tells twice is two. */
static bool alike(const struct gov_gpu *a, const struct gov_gpu *b)
{
    bool one_bus = a->bus[0] != '\0' || b->bus[0] != '\0';

    if (a->software != b->software || knows(a->source, b->source) ||
        (a->bus[0] != '\0' && b->bus[0] != '\0'))
        return false;
    if (a->name[0] != '\0' && strcmp(a->name, b->name) == 0)
        return true;
    return !one_bus && a->shares_ram && b->shares_ram;
}

/* The processor in the list that this is, or NULL. An address decides where both
 * have one. */
static struct gov_gpu *same_as(struct gov_device *device,
                               const struct gov_gpu *gpu)
{
    for (uint32_t i = 0; i < device->gpu_count && gpu->bus[0] != '\0'; i++)
        if (strcmp(device->gpus[i].bus, gpu->bus) == 0)
            return &device->gpus[i];
    for (uint32_t i = 0; i < device->gpu_count; i++)
        if (alike(&device->gpus[i], gpu))
            return &device->gpus[i];
    return NULL;
}

/* Drivers are listed from the one closest to the memory to the one closest to an
 * app (NVML, DRM, Vulkan): the first knows best what is there and what is used,
 * the last what this process may have, and the name people know. */
static void merge(struct gov_gpu *to, const struct gov_gpu *from)
{
    if (from->name[0] != '\0')
        memcpy(to->name, from->name, sizeof(to->name));
    if (to->bus[0] == '\0')
        memcpy(to->bus, from->bus, sizeof(to->bus));
    if (to->memory_bytes == 0)
        to->memory_bytes = from->memory_bytes;
    if (to->used_bytes == 0)
        to->used_bytes = from->used_bytes;
    if (from->working_set_bytes != 0)
        to->working_set_bytes = from->working_set_bytes;
    to->shares_ram = to->shares_ram || from->shares_ram;
    join(to->source, sizeof(to->source), from->source);
}

static uint64_t at_most(uint64_t n, uint64_t limit)
{
    return n < limit ? n : limit;
}

/* What must hold whoever told the figures. */
static void finish(struct gov_gpu *gpu)
{
    if (gpu->software)
        gpu->memory_bytes = gpu->working_set_bytes = gpu->used_bytes = 0;
    if (gpu->shares_ram)
        gpu->memory_bytes = 0;
    if (gpu->memory_bytes == 0)
        return;
    gpu->used_bytes = at_most(gpu->used_bytes, gpu->memory_bytes);
    /* What this process has of the used part is counted as if it were others':
     * nobody tells whose it is, and it errs on the safe side. */
    if (gpu->working_set_bytes == 0)
        gpu->working_set_bytes = gpu->memory_bytes - gpu->used_bytes;
    gpu->working_set_bytes = at_most(gpu->working_set_bytes, gpu->memory_bytes);
}

static void copy(struct gov_gpu *out, const struct gov__gpu *told)
{
    memset(out, 0, sizeof(*out));
    gov__copy_printable(out->name, sizeof(out->name), told->name);
    gov__copy_printable(out->bus, sizeof(out->bus), told->bus);
    gov__copy_printable(out->source, sizeof(out->source), told->source);
    out->memory_bytes = at_most(told->memory_bytes, INT64_MAX);
    out->working_set_bytes = at_most(told->working_set_bytes, INT64_MAX);
    out->used_bytes = at_most(told->used_bytes, INT64_MAX);
    out->shares_ram = told->shares_ram;
    out->software = told->software;
}

/* What there is, or why there may be more. */
static void list_count(struct gov_device *device, const char *failures)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < device->gpu_count; i++)
        count += !device->gpus[i].software;
    gov__device_set(device, GOV_FACT_GPU_COUNT, count,
                    failures[0] != '\0' ? failures
                    : count > 0         ? "every driver there is answered"
                                        : "no driver tells of one");
}

gov_status gov__device_gpus(const struct gov_platform *platform,
                            struct gov_device *device, gov_error *err)
{
    struct gov__gpu told[TOLD];
    char failures[sizeof(device->facts[0].source)] = "";
    size_t count = 0;
    int rc = platform->gpus(platform->ctx, told, TOLD, &count);

    if (rc == ENOTSUP)
        count = 0;
    else if (rc != 0)
        return gov_fail(err, rc == ENOMEM ? GOV_E_NOMEM : GOV_E_IO, rc,
                        "cannot list graphics processors");
    memset(device->gpus, 0, sizeof(device->gpus));
    device->gpu_count = 0;
    for (size_t i = 0; i < count && i < TOLD; i++) {
        struct gov_gpu gpu, *known;

        copy(&gpu, &told[i]);
        if (told[i].failed) {
            join(failures, sizeof(failures), gpu.source);
            continue;
        }
        known = same_as(device, &gpu);
        if (known != NULL)
            merge(known, &gpu);
        else if (device->gpu_count < GOV_DEVICE_GPUS)
            device->gpus[device->gpu_count++] = gpu;
    }
    for (uint32_t i = 0; i < device->gpu_count; i++)
        finish(&device->gpus[i]);
    if (rc == ENOTSUP)
        gov__device_unknown(device, GOV_FACT_GPU_COUNT,
                            "nobody can be asked on this system");
    else
        list_count(device, failures);
    return GOV_OK;
}
