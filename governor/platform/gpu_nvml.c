/* SPDX-License-Identifier: MIT */
/* NVIDIA's processors, by NVIDIA's management library, which comes with the
 * driver and is opened at run time. Only reads, and believes nothing: counts are
 * bounded, texts are ended. */
#include "governor/platform/gpu_drivers.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The few declarations needed, after nvml.h of CUDA 12 (NVML API version 12):
 * https://docs.nvidia.com/deploy/nvml-api/. They are a stable ABI; a call that
 * changed got another suffix (_v2, _v3). nvmlReturn_t is an enum, 0 is success. */
typedef struct nvml_handle *nvml_device;

struct nvml_memory { /* nvmlMemory_t */
    unsigned long long total, free, used;
};

struct nvml_pci { /* nvmlPciInfo_t */
    char bus_id_legacy[16];
    unsigned int domain, bus, device;
    unsigned int device_id, subsystem_id;
    char bus_id[32];
};

struct nvml {
    void *handle;
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned int *count);
    int (*by_index)(unsigned int index, nvml_device *device);
    int (*name)(nvml_device device, char *name, unsigned int length);
    int (*pci)(nvml_device device, struct nvml_pci *pci);
    int (*memory)(nvml_device device, struct nvml_memory *memory);
    const char *(*explain)(int rc); /* may be missing */
    /* Of newer drivers; all or none. */
    int (*mig_mode)(nvml_device device, unsigned int *now, unsigned int *next);
    int (*mig_count)(nvml_device device, unsigned int *count);
    int (*mig_by_index)(nvml_device device, unsigned int index,
                        nvml_device *mig);
};

enum {
    PROCESSORS = 64, /* more than any machine has; a driver may say 2^32 */
    INSTANCES = 16,  /* an A100 has up to 7 */
};

/* POSIX: a pointer from dlsym() may be used as one to a function; ISO C has no
 * conversion for it. */
static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);

    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static bool find_all(struct nvml *nvml)
{
    void *library = nvml->handle;

    if (!find(library, "nvmlInit_v2", &nvml->init) ||
        !find(library, "nvmlShutdown", &nvml->shutdown) ||
        !find(library, "nvmlDeviceGetCount_v2", &nvml->count) ||
        !find(library, "nvmlDeviceGetHandleByIndex_v2", &nvml->by_index) ||
        !find(library, "nvmlDeviceGetName", &nvml->name) ||
        !find(library, "nvmlDeviceGetPciInfo_v3", &nvml->pci) ||
        !find(library, "nvmlDeviceGetMemoryInfo", &nvml->memory))
        return false;
    (void)find(library, "nvmlErrorString", &nvml->explain);
    if (!find(library, "nvmlDeviceGetMigMode", &nvml->mig_mode) ||
        !find(library, "nvmlDeviceGetMaxMigDeviceCount", &nvml->mig_count) ||
        !find(library, "nvmlDeviceGetMigDeviceHandleByIndex",
              &nvml->mig_by_index))
        nvml->mig_mode = NULL;
    return true;
}

/* As sysfs writes it: bus_id has eight digits for the domain, in capitals, and
 * is the only one that has the function. */
static void read_bus(const struct nvml *nvml, nvml_device device, char *out,
                     size_t bytes)
{
    struct nvml_pci pci;
    const char *dot;
    char function = '0';

    memset(&pci, 0, sizeof(pci));
    out[0] = '\0';
    if (nvml->pci(device, &pci) != 0)
        return;
    dot = memchr(pci.bus_id, '.', sizeof(pci.bus_id) - 1);
    if (dot != NULL && dot[1] >= '0' && dot[1] <= '7')
        function = dot[1];
    snprintf(out, bytes, "%04x:%02x:%02x.%c", pci.domain, pci.bus & 0xff,
             pci.device & 0xff, function);
}

static void read_one(const struct nvml *nvml, nvml_device device,
                     struct gov__gpu *out)
{
    struct nvml_memory memory;
    int rc;

    if (nvml->name(device, out->name, sizeof(out->name)) != 0)
        out->name[0] = '\0';
    out->name[sizeof(out->name) - 1] = '\0';
    memset(&memory, 0, sizeof(memory));
    rc = nvml->memory(device, &memory);
    if (rc != 0) {
        /* A processor that shares RAM has none to tell of: NOT_SUPPORTED. */
        snprintf(out->source, sizeof(out->source),
                 "NVML, which does not tell its memory (error %d)", rc);
        return;
    }
    out->memory_bytes = memory.total;
    out->used_bytes = memory.used;
    snprintf(out->source, sizeof(out->source), "NVML");
}

/* A processor that is cut up is used by its instances only, each with memory of
 * its own. They are told apart by a suffix: the address is the same. */
static size_t read_instances(const struct nvml *nvml, nvml_device device,
                             const char *bus, struct gov__gpu *out, size_t max)
{
    unsigned int count = 0;
    size_t n = 0;

    if (nvml->mig_count(device, &count) != 0)
        return 0;
    for (unsigned int i = 0; i < count && i < INSTANCES && n < max; i++) {
        nvml_device mig = NULL;

        if (nvml->mig_by_index(device, i, &mig) != 0 || mig == NULL)
            continue;
        memset(&out[n], 0, sizeof(out[n]));
        read_one(nvml, mig, &out[n]);
        if (bus[0] != '\0')
            snprintf(out[n].bus, sizeof(out[n].bus), "%s/mig%u", bus, i);
        n++;
    }
    return n;
}

/* "NVML: Driver/library version mismatch": an update that waits for a restart. */
static size_t tell_error(const struct nvml *nvml, int error,
                         struct gov__gpu *out, size_t max)
{
    const char *text = nvml->explain != NULL ? nvml->explain(error) : NULL;

    if (text == NULL)
        return gov__gpu_failed(out, max, "NVML: error %d", error);
    return gov__gpu_failed(out, max, "NVML: %.120s", text);
}

static size_t read_all(const struct nvml *nvml, struct gov__gpu *out,
                       size_t max)
{
    unsigned int count = 0;
    size_t n = 0;
    int rc = nvml->count(&count);

    if (rc != 0)
        return tell_error(nvml, rc, out, max);
    for (unsigned int i = 0; i < count && i < PROCESSORS && n < max; i++) {
        nvml_device device = NULL;
        unsigned int mig = 0, next = 0;
        char bus[24];

        /* Others use one that this user may not, or that fell off the bus. */
        if (nvml->by_index(i, &device) != 0 || device == NULL)
            continue;
        read_bus(nvml, device, bus, sizeof(bus));
        if (nvml->mig_mode != NULL &&
            nvml->mig_mode(device, &mig, &next) == 0 && mig == 1) {
            n += read_instances(nvml, device, bus, out + n, max - n);
            continue;
        }
        memset(&out[n], 0, sizeof(out[n]));
        read_one(nvml, device, &out[n]);
        snprintf(out[n].bus, sizeof(out[n].bus), "%s", bus);
        n++;
    }
    return n;
}

static size_t ask(struct nvml *nvml, const char *library, struct gov__gpu *out,
                  size_t max)
{
    size_t count;
    int rc;

    if (!find_all(nvml))
        return gov__gpu_failed(out, max, "NVML: %.64s lacks a call", library);
    rc = nvml->init();
    if (rc != 0)
        return tell_error(nvml, rc, out, max);
    /* It counts how often it was initialised: a host that uses it, too, is not
     * disturbed. */
    count = read_all(nvml, out, max);
    nvml->shutdown();
    return count;
}

int gov__nvml_read_from(const char *library, struct gov__gpu *out, size_t max,
                        size_t *count)
{
    struct nvml nvml;

    *count = 0;
    memset(&nvml, 0, sizeof(nvml));
    nvml.handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (nvml.handle == NULL)
        return 0;
    *count = ask(&nvml, library, out, max);
    dlclose(nvml.handle);
    return 0;
}
