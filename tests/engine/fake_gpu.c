/* SPDX-License-Identifier: MIT */
/* See fake_gpu.h. The interface is ggml/src/ggml-backend-impl.h. */
#include "tests/engine/fake_gpu.h"

#include <stdlib.h>
#include <string.h>

#include "ggml-backend-impl.h"

#define MEMORY_BYTES ((size_t)1 << 40)

static struct ggml_backend_device device;
static struct ggml_backend_buffer_type buffer_type;

static const char *name_of_type(ggml_backend_buffer_type_t type)
{
    (void)type;
    return "Fake";
}

static const char *name_of_device(ggml_backend_dev_t dev)
{
    (void)dev;
    return "Fake0";
}

static const char *name_of_backend(ggml_backend_t backend)
{
    (void)backend;
    return "Fake0";
}

static const char *name_of_registry(ggml_backend_reg_t reg)
{
    (void)reg;
    return "Fake";
}

/* ---- buffers ----------------------------------------------------------------- */

#define BUFFERS 64

static ggml_backend_buffer_t live[BUFFERS];

static uint64_t bytes_of(bool weights)
{
    uint64_t bytes = 0;

    for (int i = 0; i < BUFFERS; i++)
        if (live[i] != NULL &&
            (live[i]->usage == GGML_BACKEND_BUFFER_USAGE_WEIGHTS) == weights)
            bytes += live[i]->size;
    return bytes;
}

uint64_t fake_gpu_weights(void)
{
    return bytes_of(true);
}

uint64_t fake_gpu_others(void)
{
    return bytes_of(false);
}

bool fake_gpu_holds(const void *address)
{
    for (int i = 0; i < BUFFERS; i++)
        if (live[i] != NULL &&
            (const char *)address >= (char *)live[i]->context &&
            (const char *)address < (char *)live[i]->context + live[i]->size)
            return true;
    return false;
}

static void free_buffer(ggml_backend_buffer_t buffer)
{
    for (int i = 0; i < BUFFERS; i++)
        if (live[i] == buffer)
            live[i] = NULL;
    free(buffer->context);
}

static void *base_of(ggml_backend_buffer_t buffer)
{
    return buffer->context;
}

static void set_tensor(ggml_backend_buffer_t buffer, struct ggml_tensor *tensor,
                       const void *data, size_t offset, size_t size)
{
    (void)buffer;
    memcpy((char *)tensor->data + offset, data, size);
}

static void get_tensor(ggml_backend_buffer_t buffer,
                       const struct ggml_tensor *tensor, void *data,
                       size_t offset, size_t size)
{
    (void)buffer;
    memcpy(data, (const char *)tensor->data + offset, size);
}

static void clear(ggml_backend_buffer_t buffer, uint8_t value)
{
    memset(buffer->context, value, buffer->size);
}

static size_t alignment_of(ggml_backend_buffer_type_t type)
{
    (void)type;
    return 32;
}

static ggml_backend_buffer_t new_buffer(ggml_backend_buffer_type_t type,
                                        size_t size)
{
    struct ggml_backend_buffer_i calls = {.free_buffer = free_buffer,
                                          .get_base = base_of,
                                          .set_tensor = set_tensor,
                                          .get_tensor = get_tensor,
                                          .clear = clear};
    void *memory = aligned_alloc(4096, (size + 4096) & ~(size_t)4095);
    int slot = 0;

    while (slot < BUFFERS && live[slot] != NULL)
        slot++;
    if (memory == NULL || slot == BUFFERS) {
        free(memory);
        return NULL;
    }
    live[slot] = ggml_backend_buffer_init(type, calls, memory, size);
    return live[slot];
}

/* ---- backend ----------------------------------------------------------------- */

static void free_backend(ggml_backend_t backend)
{
    free(backend);
}

static enum ggml_status compute(ggml_backend_t backend,
                                struct ggml_cgraph *graph)
{
    (void)backend;
    (void)graph;
    return GGML_STATUS_FAILED; /* nobody should run a model on it */
}

static ggml_backend_t new_backend(ggml_backend_dev_t dev, const char *params)
{
    static ggml_guid guid = {0x66, 0x61, 0x6b, 0x65};
    ggml_backend_t backend = calloc(1, sizeof(*backend));

    (void)params;
    if (backend == NULL)
        return NULL;
    backend->guid = &guid;
    backend->device = dev;
    backend->iface.get_name = name_of_backend;
    backend->iface.free = free_backend;
    backend->iface.graph_compute = compute;
    return backend;
}

/* ---- device ------------------------------------------------------------------- */

static void memory_of(ggml_backend_dev_t dev, size_t *available, size_t *total)
{
    (void)dev;
    *available = *total = MEMORY_BYTES;
}

static enum ggml_backend_dev_type type_of(ggml_backend_dev_t dev)
{
    (void)dev;
    return GGML_BACKEND_DEVICE_TYPE_GPU;
}

static void tell(ggml_backend_dev_t dev, struct ggml_backend_dev_props *out)
{
    memset(out, 0, sizeof(*out));
    out->name = out->description = name_of_device(dev);
    out->type = type_of(dev);
    memory_of(dev, &out->memory_free, &out->memory_total);
}

static ggml_backend_buffer_type_t type_of_buffers(ggml_backend_dev_t dev)
{
    (void)dev;
    return &buffer_type;
}

static bool takes_operation(ggml_backend_dev_t dev,
                            const struct ggml_tensor *operation)
{
    (void)dev;
    (void)operation;
    return true;
}

static bool takes_buffer(ggml_backend_dev_t dev,
                         ggml_backend_buffer_type_t type)
{
    (void)dev;
    return type == &buffer_type;
}

static size_t device_count(ggml_backend_reg_t reg)
{
    (void)reg;
    return 1;
}

static ggml_backend_dev_t device_at(ggml_backend_reg_t reg, size_t index)
{
    (void)reg;
    return index == 0 ? &device : NULL;
}

void fake_gpu_register(void)
{
    static struct ggml_backend_reg reg;

    reg.api_version = GGML_BACKEND_API_VERSION;
    reg.iface.get_name = name_of_registry;
    reg.iface.get_device_count = device_count;
    reg.iface.get_device = device_at;
    buffer_type.iface.get_name = name_of_type;
    buffer_type.iface.alloc_buffer = new_buffer;
    buffer_type.iface.get_alignment = alignment_of;
    buffer_type.device = &device;
    device.iface.get_name = name_of_device;
    device.iface.get_description = name_of_device;
    device.iface.get_memory = memory_of;
    device.iface.get_type = type_of;
    device.iface.get_props = tell;
    device.iface.init_backend = new_backend;
    device.iface.get_buffer_type = type_of_buffers;
    device.iface.supports_op = takes_operation;
    device.iface.supports_buft = takes_buffer;
    device.reg = &reg;
    ggml_backend_register(&reg);
}
