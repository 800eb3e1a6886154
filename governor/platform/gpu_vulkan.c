/* SPDX-License-Identifier: MIT */
/* Every processor that a Vulkan driver knows, by the Vulkan loader, which is
 * opened at run time. Makes an instance and no device; believes nothing: counts
 * are bounded, texts are ended. Any VK_ERROR_* means that what was asked for is
 * not told. */
#include "governor/platform/gpu_drivers.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

enum {
    PROCESSORS = 64,   /* more than any machine has; a driver may say 2^32 */
    EXTENSIONS = 1024, /* of one processor; drivers have some 250 */
};

struct vulkan {
    PFN_vkGetInstanceProcAddr find;
    VkInstance instance;
    PFN_vkDestroyInstance destroy;
    PFN_vkEnumeratePhysicalDevices enumerate;
    PFN_vkEnumerateDeviceExtensionProperties extensions;
    PFN_vkGetPhysicalDeviceProperties2KHR properties;
    PFN_vkGetPhysicalDeviceMemoryProperties2KHR memory;
    VkExtensionProperties *names; /* room for EXTENSIONS */
};

/* What of a processor decides how it is asked. */
struct offers {
    bool budget, bus;
};

static VkResult make_instance(struct vulkan *vk)
{
    static const char *const extensions[] = {
        VK_KHR_GET_PHYSICAL_DEVICE_PROPERTIES_2_EXTENSION_NAME};
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                             .pApplicationName = "governor",
                             .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo info = {.sType =
                                     VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &app,
                                 .enabledExtensionCount = 1,
                                 .ppEnabledExtensionNames = extensions};
    PFN_vkCreateInstance create =
        (PFN_vkCreateInstance)vk->find(NULL, "vkCreateInstance");
    VkResult rc = VK_ERROR_INITIALIZATION_FAILED;

    if (create != NULL)
        rc = create(&info, NULL, &vk->instance);
    return rc == VK_SUCCESS && vk->instance == NULL
               ? VK_ERROR_INITIALIZATION_FAILED
               : rc;
}

static PFN_vkVoidFunction find(const struct vulkan *vk, const char *name)
{
    return vk->find(vk->instance, name);
}

static bool find_all(struct vulkan *vk)
{
    vk->destroy = (PFN_vkDestroyInstance)find(vk, "vkDestroyInstance");
    vk->enumerate =
        (PFN_vkEnumeratePhysicalDevices)find(vk, "vkEnumeratePhysicalDevices");
    vk->extensions = (PFN_vkEnumerateDeviceExtensionProperties)find(
        vk, "vkEnumerateDeviceExtensionProperties");
    vk->properties = (PFN_vkGetPhysicalDeviceProperties2KHR)find(
        vk, "vkGetPhysicalDeviceProperties2KHR");
    vk->memory = (PFN_vkGetPhysicalDeviceMemoryProperties2KHR)find(
        vk, "vkGetPhysicalDeviceMemoryProperties2KHR");
    return vk->destroy != NULL && vk->enumerate != NULL &&
           vk->extensions != NULL && vk->properties != NULL &&
           vk->memory != NULL;
}

static bool is(const VkExtensionProperties *extension, const char *name)
{
    return strncmp(extension->extensionName, name,
                   sizeof(extension->extensionName)) == 0;
}

static struct offers read_offers(const struct vulkan *vk, VkPhysicalDevice gpu)
{
    struct offers offers = {false, false};
    uint32_t count = EXTENSIONS;
    VkResult rc = vk->extensions(gpu, NULL, &count, vk->names);

    if (rc != VK_SUCCESS && rc != VK_INCOMPLETE)
        return offers;
    for (uint32_t i = 0; i < count && i < EXTENSIONS; i++) {
        if (is(&vk->names[i], VK_EXT_MEMORY_BUDGET_EXTENSION_NAME))
            offers.budget = true;
        if (is(&vk->names[i], VK_EXT_PCI_BUS_INFO_EXTENSION_NAME))
            offers.bus = true;
    }
    return offers;
}

/* The start of a text that may have no end. */
static void copy_text(char *out, size_t bytes, const char *text, size_t limit)
{
    size_t n = strnlen(text, limit < bytes ? limit : bytes - 1);

    memcpy(out, text, n);
    out[n] = '\0';
}

static void read_identity(const struct vulkan *vk, VkPhysicalDevice gpu,
                          bool has_bus, struct gov__gpu *out)
{
    VkPhysicalDevicePCIBusInfoPropertiesEXT bus = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2KHR all = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2_KHR,
        .pNext = has_bus ? &bus : NULL};
    const VkPhysicalDeviceProperties *of = &all.properties;

    vk->properties(gpu, &all);
    copy_text(out->name, sizeof(out->name), of->deviceName,
              sizeof(of->deviceName));
    out->software = of->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    out->shares_ram = of->deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    if (has_bus)
        snprintf(out->bus, sizeof(out->bus), "%04x:%02x:%02x.%x", bus.pciDomain,
                 bus.pciBus & 0xff, bus.pciDevice & 0xff,
                 bus.pciFunction & 0x7);
}

/* One heap stands for the processor's memory, the largest that is local to it.
 * A second one is a window of 256 MiB through which the host writes to the
 * first, which NVIDIA's driver counts twice, or AMD's and Intel's rest beside
 * that window. */
static void read_memory(const struct vulkan *vk, VkPhysicalDevice gpu,
                        bool has_budget, struct gov__gpu *out)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType =
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2KHR all = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2_KHR,
        .pNext = has_budget ? &budget : NULL};
    const VkPhysicalDeviceMemoryProperties *of = &all.memoryProperties;

    vk->memory(gpu, &all);
    for (uint32_t i = 0; i < of->memoryHeapCount && i < VK_MAX_MEMORY_HEAPS;
         i++) {
        uint64_t size = of->memoryHeaps[i].size;

        if ((of->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) == 0 ||
            size <= out->memory_bytes)
            continue;
        out->memory_bytes = size;
        out->working_set_bytes =
            budget.heapBudget[i] < size ? budget.heapBudget[i] : size;
    }
    /* Nobody else will say how much RAM such a one may use. */
    if (out->shares_ram && out->working_set_bytes == 0)
        out->working_set_bytes = out->memory_bytes;
}

static size_t read_all(const struct vulkan *vk, struct gov__gpu *out,
                       size_t max)
{
    VkPhysicalDevice gpus[PROCESSORS] = {NULL};
    uint32_t count = PROCESSORS;
    VkResult rc = vk->enumerate(vk->instance, &count, gpus);
    size_t n = 0;

    if (rc != VK_SUCCESS && rc != VK_INCOMPLETE)
        return gov__gpu_failed(out, max,
                               "Vulkan: its drivers list no processor "
                               "(VkResult %d)",
                               (int)rc);
    for (uint32_t i = 0; i < count && i < PROCESSORS && n < max; i++) {
        struct gov__gpu *at = &out[n];
        struct offers offers;

        if (gpus[i] == NULL)
            continue;
        memset(at, 0, sizeof(*at));
        offers = read_offers(vk, gpus[i]);
        read_identity(vk, gpus[i], offers.bus, at);
        if (!at->software)
            read_memory(vk, gpus[i], offers.budget, at);
        snprintf(at->source, sizeof(at->source), "Vulkan%s",
                 offers.budget && !at->software ? ", VK_EXT_memory_budget"
                                                : "");
        n++;
    }
    return n;
}

/* The loader answers so when there is no driver for it, too. */
static size_t tell_error(VkResult rc, struct gov__gpu *out, size_t max)
{
    if (rc == VK_ERROR_INCOMPATIBLE_DRIVER)
        return gov__gpu_failed(out, max, "Vulkan: no driver that works");
    return gov__gpu_failed(
        out, max, "Vulkan: it cannot be started (VkResult %d)", (int)rc);
}

static int read_from(void *library, struct gov__gpu *out, size_t max,
                     size_t *count)
{
    const struct gov_alloc *memory = gov_alloc_default();
    struct vulkan vk = {0};
    VkResult rc;
    void *symbol = dlsym(library, "vkGetInstanceProcAddr");

    /* As in gpu_nvml.c: ISO C has no conversion for it. */
    memcpy(&vk.find, &symbol, sizeof(symbol));
    if (vk.find == NULL) {
        *count = gov__gpu_failed(out, max, "Vulkan: it lacks a call");
        return 0;
    }
    vk.names = memory->alloc(memory->ctx, EXTENSIONS * sizeof(*vk.names));
    if (vk.names == NULL)
        return ENOMEM;
    memset(vk.names, 0, EXTENSIONS * sizeof(*vk.names));
    rc = make_instance(&vk);
    if (rc != VK_SUCCESS) {
        *count = tell_error(rc, out, max);
    } else {
        *count = find_all(&vk)
                     ? read_all(&vk, out, max)
                     : gov__gpu_failed(out, max, "Vulkan: it lacks a call");
        /* Every driver exports this one. The loader would unload them with the
         * instance, which itself must not stay: it keeps processors awake and
         * files open. */
        gov__keep_loaded("vk_icdGetInstanceProcAddr");
        if (vk.destroy != NULL)
            vk.destroy(vk.instance, NULL);
    }
    memory->release(memory->ctx, vk.names);
    return 0;
}

int gov__vulkan_read_from(const char *library, struct gov__gpu *out, size_t max,
                          size_t *count)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    int rc;

    *count = 0;
    if (handle == NULL)
        return 0;
    rc = read_from(handle, out, max, count);
    dlclose(handle);
    return rc;
}
