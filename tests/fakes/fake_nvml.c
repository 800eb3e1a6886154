/* SPDX-License-Identifier: MIT */
/* A management library for tests: NVIDIA's calls with the answers of a script.
 * Owns no processor. */
#include "tests/fakes/fake_nvml.h"

#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct pci {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
};

struct memory {
    unsigned long long total, free, used;
};

/* A handle is the number of a processor from 1, an instance's from 101. */
static char handles[256];

EXPORT extern struct fake_nvml_script fake_nvml;
struct fake_nvml_script fake_nvml;

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlShutdown(void);
EXPORT const char *nvmlErrorString(int rc);
EXPORT int nvmlDeviceGetCount_v2(unsigned *count);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, char **device);
EXPORT int nvmlDeviceGetName(char *device, char *name, unsigned length);
EXPORT int nvmlDeviceGetPciInfo_v3(char *device, struct pci *pci);
EXPORT int nvmlDeviceGetMemoryInfo(char *device, struct memory *memory);
EXPORT int nvmlDeviceGetMigMode(char *device, unsigned *now, unsigned *next);
EXPORT int nvmlDeviceGetMaxMigDeviceCount(char *device, unsigned *count);
EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(char *device, unsigned index,
                                               char **mig);

int nvmlInit_v2(void)
{
    if (fake_nvml.rc[FAKE_NVML_INIT] == 0)
        fake_nvml.opened++;
    return fake_nvml.rc[FAKE_NVML_INIT];
}

int nvmlShutdown(void)
{
    fake_nvml.opened--;
    return 0;
}

const char *nvmlErrorString(int rc)
{
    (void)rc;
    return fake_nvml.error;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = fake_nvml.count;
    return fake_nvml.rc[FAKE_NVML_COUNT];
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, char **device)
{
    if (!fake_nvml.null_handles)
        *device = &handles[index % 100 + 1];
    return fake_nvml.rc[FAKE_NVML_HANDLE];
}

int nvmlDeviceGetName(char *device, char *name, unsigned length)
{
    if (fake_nvml.endless)
        memset(name, 'N', length);
    else if (device - handles > 100)
        snprintf(name, length, "NVIDIA Fake 80GB MIG 3g.40gb");
    else
        snprintf(name, length, "NVIDIA Fake 80GB");
    return fake_nvml.rc[FAKE_NVML_NAME];
}

int nvmlDeviceGetPciInfo_v3(char *device, struct pci *pci)
{
    if (fake_nvml.endless) {
        memset(pci, 0xff, sizeof(*pci));
        return fake_nvml.rc[FAKE_NVML_PCI];
    }
    pci->bus = 0x40 + (unsigned)(device - handles);
    snprintf(pci->bus_id, sizeof(pci->bus_id), "%08X:%02X:00.0", 0U, pci->bus);
    return fake_nvml.rc[FAKE_NVML_PCI];
}

int nvmlDeviceGetMemoryInfo(char *device, struct memory *memory)
{
    memory->total = fake_nvml.total >> (device - handles > 100);
    memory->used = fake_nvml.used;
    memory->free = memory->total - memory->used;
    return fake_nvml.rc[FAKE_NVML_MEMORY];
}

int nvmlDeviceGetMigMode(char *device, unsigned *now, unsigned *next)
{
    *now = *next = fake_nvml.mig_of == (unsigned)(device - handles);
    return fake_nvml.rc[FAKE_NVML_MIG_MODE];
}

int nvmlDeviceGetMaxMigDeviceCount(char *device, unsigned *count)
{
    (void)device;
    *count = fake_nvml.mig_count;
    return fake_nvml.rc[FAKE_NVML_MIG_COUNT];
}

int nvmlDeviceGetMigDeviceHandleByIndex(char *device, unsigned index,
                                        char **mig)
{
    (void)device;
    if (!fake_nvml.null_migs)
        *mig = &handles[101 + index % 100];
    return fake_nvml.rc[FAKE_NVML_MIG_HANDLE];
}
