/* SPDX-License-Identifier: MIT */
/* What fake_vulkan.c answers. A test opens the library, changes the script that
 * it exports as `fake_vulkan`, and asks. */
#ifndef GOV_TESTS_FAKE_VULKAN_H
#define GOV_TESTS_FAKE_VULKAN_H

#include <stdbool.h>
#include <stdint.h>

struct fake_vulkan_gpu {
    const char *name;
    int type;              /* VkPhysicalDeviceType: 1 integrated, 2 discrete */
    uint32_t pci_bus;      /* 0: the driver does not say */
    uint64_t heap, budget; /* a budget of 0: no VK_EXT_memory_budget */
};

struct fake_vulkan_script {
    struct fake_vulkan_gpu gpus[4];
    uint32_t count;     /* what it says there are; may be more */
    uint32_t heaps;     /* the same; 0 means the three that there are */
    const char *absent; /* a function that it lacks */
    int create_rc, enumerate_rc, extensions_rc; /* VkResult */
    bool endless; /* texts fill their room without a NUL, counts are 2^32-1 */
    int opened;   /* instances alive */
};

#endif
