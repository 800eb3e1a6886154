/* SPDX-License-Identifier: MIT */
/* A Vulkan loader for tests, with the answers of a script. Owns no processor. */
#include "tests/fakes/fake_vulkan.h"

#include <stdio.h>
#include <string.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT extern struct fake_vulkan_script fake_vulkan;
struct fake_vulkan_script fake_vulkan;

EXPORT PFN_vkVoidFunction vkGetInstanceProcAddr(VkInstance instance,
                                                const char *name);

static char instance_place;

static const struct fake_vulkan_gpu *gpu_of(VkPhysicalDevice gpu)
{
    return (const struct fake_vulkan_gpu *)(const void *)gpu;
}

static VkResult create(const VkInstanceCreateInfo *info,
                       const VkAllocationCallbacks *alloc, VkInstance *out)
{
    (void)alloc;
    if (info->enabledExtensionCount != 1 ||
        strcmp(info->ppEnabledExtensionNames[0],
               "VK_KHR_get_physical_device_properties2") != 0)
        return VK_ERROR_EXTENSION_NOT_PRESENT;
    if (fake_vulkan.create_rc != 0)
        return (VkResult)fake_vulkan.create_rc;
    *out = (VkInstance)(void *)&instance_place;
    fake_vulkan.opened++;
    return VK_SUCCESS;
}

static void destroy(VkInstance instance, const VkAllocationCallbacks *alloc)
{
    (void)instance;
    (void)alloc;
    fake_vulkan.opened--;
}

static VkResult enumerate(VkInstance instance, uint32_t *count,
                          VkPhysicalDevice *out)
{
    uint32_t room = *count;

    (void)instance;
    *count = fake_vulkan.count;
    for (uint32_t i = 0; i < room && i < 4 && i < fake_vulkan.count; i++)
        out[i] = (VkPhysicalDevice)(void *)&fake_vulkan.gpus[i];
    return (VkResult)fake_vulkan.enumerate_rc;
}

static VkResult extensions(VkPhysicalDevice gpu, const char *layer,
                           uint32_t *count, VkExtensionProperties *out)
{
    uint32_t room = *count, n = 0;

    (void)layer;
    if (fake_vulkan.endless)
        for (uint32_t i = 0; i < room; i++)
            memset(out[i].extensionName, 'V', sizeof(out[i].extensionName));
    else
        snprintf(out[n++].extensionName, VK_MAX_EXTENSION_NAME_SIZE,
                 "VK_KHR_maintenance1");
    if (gpu_of(gpu)->budget != 0)
        snprintf(out[n++].extensionName, VK_MAX_EXTENSION_NAME_SIZE,
                 "VK_EXT_memory_budget");
    if (gpu_of(gpu)->pci_bus != 0)
        snprintf(out[n++].extensionName, VK_MAX_EXTENSION_NAME_SIZE,
                 "VK_EXT_pci_bus_info");
    *count = fake_vulkan.endless ? UINT32_MAX : n;
    return (VkResult)fake_vulkan.extensions_rc;
}

static void properties(VkPhysicalDevice gpu, VkPhysicalDeviceProperties2 *out)
{
    VkPhysicalDevicePCIBusInfoPropertiesEXT *bus = out->pNext;
    char *name = out->properties.deviceName;

    if (fake_vulkan.endless)
        memset(name, 'D', sizeof(out->properties.deviceName));
    else
        snprintf(name, sizeof(out->properties.deviceName), "%s",
                 gpu_of(gpu)->name);
    out->properties.deviceType = (VkPhysicalDeviceType)gpu_of(gpu)->type;
    if (bus != NULL)
        bus->pciBus = gpu_of(gpu)->pci_bus;
    if (bus != NULL && fake_vulkan.endless)
        bus->pciDomain = bus->pciBus = bus->pciDevice = bus->pciFunction =
            UINT32_MAX;
}

/* The memory, the host's, and NVIDIA's window on the first. */
static void memory(VkPhysicalDevice gpu, VkPhysicalDeviceMemoryProperties2 *out)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget = out->pNext;
    VkMemoryHeap *heaps = out->memoryProperties.memoryHeaps;

    out->memoryProperties.memoryHeapCount =
        fake_vulkan.heaps != 0 ? fake_vulkan.heaps : 3;
    heaps[0].size = UINT64_C(1) << 40;
    heaps[1].size = gpu_of(gpu)->heap;
    heaps[1].flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
    heaps[2].size = UINT64_C(214) << 20;
    heaps[2].flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
    if (budget == NULL)
        return;
    budget->heapBudget[0] = UINT64_C(1) << 40;
    budget->heapBudget[1] = gpu_of(gpu)->budget;
    budget->heapBudget[2] = UINT64_C(200) << 20;
}

PFN_vkVoidFunction vkGetInstanceProcAddr(VkInstance instance, const char *name)
{
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } all[] = {
        {"vkCreateInstance", (PFN_vkVoidFunction)create},
        {"vkDestroyInstance", (PFN_vkVoidFunction)destroy},
        {"vkEnumeratePhysicalDevices", (PFN_vkVoidFunction)enumerate},
        {"vkEnumerateDeviceExtensionProperties",
         (PFN_vkVoidFunction)extensions},
        {"vkGetPhysicalDeviceProperties2KHR", (PFN_vkVoidFunction)properties},
        {"vkGetPhysicalDeviceMemoryProperties2KHR", (PFN_vkVoidFunction)memory},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(name, all[i].name) == 0 && (instance != NULL) == (i > 0) &&
            (fake_vulkan.absent == NULL ||
             strcmp(name, fake_vulkan.absent) != 0))
            return all[i].function;
    return NULL;
}
