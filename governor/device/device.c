/* SPDX-License-Identifier: MIT */
/* Owns what the system tells about the machine, and the budget that follows
 * from it. Never measures, stores or waits. */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "governor/device/device_priv.h"

#define MIB ((uint64_t)1 << 20)

/* The budget: what this app may use in all, its present use included.
 *
 *   without a limit  ram - reserve
 *   with a limit     limit - reserve - others
 *
 * The reserve of a machine is 10 %, at least 512 MiB, at most 25 %: kernel,
 * page tables and everything else that runs there. A small Debian system with
 * nothing open uses 200 to 500 MiB, a quarter is where a 1 GiB board would
 * otherwise have nothing left for the app.
 *
 * The reserve of a limit is 5 %, at least 32 MiB, at most 25 %: the system is
 * outside, but the kernel charges the group for page tables (0.2 % of what is
 * mapped), sockets and stacks, takes charges for each processor 256 KiB at a
 * time (MEMCG_CHARGE_BATCH), and without some file pages the program's own code
 * is read again and again. A limit close to RAM does not lift the machine's
 * reserve: the larger of both wishes counts.
 *
 * Others are the processes that share the limit's group. What is charged to the
 * group, less file pages (the kernel drops those first) and less what this
 * process itself has, is theirs: at the limit the kernel kills, it does not
 * move them away. A wider group further up that is fuller than that counts in
 * the same way. Swapped pages are not charged, so our own are not taken off.
 * Without a limit others do not count: RAM is shared by everybody, they come
 * and go and can be swapped out; how much is free right now is the headroom,
 * not the budget. */

static uint64_t at_most(uint64_t n, uint64_t limit)
{
    return n < limit ? n : limit;
}

static uint64_t at_least(uint64_t n, uint64_t limit)
{
    return n > limit ? n : limit;
}

static uint64_t less(uint64_t n, uint64_t by)
{
    return n > by ? n - by : 0;
}

static uint64_t machine_reserve(uint64_t ram_bytes)
{
    return at_most(at_least(ram_bytes / 10, 512 * MIB), ram_bytes / 4);
}

static uint64_t limit_reserve(uint64_t limit_bytes)
{
    return at_most(at_least(limit_bytes / 20, 32 * MIB), limit_bytes / 4);
}

void gov__device_budget(struct gov_device *device)
{
    bool have_ram = (device->have & GOV_DEVICE_HAVE_RAM) != 0;
    bool have_limit = (device->have & GOV_DEVICE_HAVE_LIMIT) != 0;
    uint64_t machine =
        have_ram ? less(device->ram_bytes, machine_reserve(device->ram_bytes))
                 : UINT64_MAX;

    device->reserve_bytes = 0;
    device->budget_bytes = 0;
    if (have_limit) {
        device->reserve_bytes = at_least(limit_reserve(device->limit_bytes),
                                         less(device->limit_bytes, machine));
        device->budget_bytes =
            less(less(device->limit_bytes, device->reserve_bytes),
                 device->others_bytes);
    } else if (have_ram) {
        device->reserve_bytes = device->ram_bytes - machine;
        device->budget_bytes = machine;
    }
}

void gov__make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            *text = '?';
}

static void copy_text(char *out, size_t bytes, const char *text)
{
    size_t n = strlen(text);

    if (n > bytes - 1)
        n = bytes - 1;
    memcpy(out, text, n);
    out[n] = '\0';
    gov__make_printable(out);
}

/* A limit that is there but cannot be read (no descriptor left, say) must not
 * pass for none: the budget would be all of the machine's. */
static gov_status probe_limit(const struct gov_platform *platform,
                              struct gov_device *out, gov_error *err)
{
    struct gov__limit limit;
    struct gov__process self;
    int error = platform->limit(platform->ctx, &limit);

    if (error != 0 && error != ENOTSUP)
        return gov_fail(err, GOV_E_IO, error,
                        "cannot read the memory limit of this process");
    if (error != 0 || limit.limit_bytes == UINT64_MAX)
        return GOV_OK;
    out->limit_bytes = limit.limit_bytes;
    copy_text(out->limit_source, sizeof(out->limit_source), limit.source);
    out->have |= GOV_DEVICE_HAVE_LIMIT;
    out->others_bytes =
        less(limit.used_bytes, limit.used_file_bytes) + limit.short_bytes;
    if (platform->process(platform->ctx, 0, &self) == 0)
        out->others_bytes =
            less(out->others_bytes, self.anon_bytes + self.shmem_bytes);
    return GOV_OK;
}

static gov_status probe_memory(const struct gov_platform *platform,
                               struct gov_device *out, gov_error *err)
{
    struct gov__machine machine;

    if (platform->machine(platform->ctx, &machine) == 0 &&
        machine.total_bytes > 0) {
        out->ram_bytes = machine.total_bytes;
        out->swap_bytes = machine.swap_total_bytes;
        out->have |= GOV_DEVICE_HAVE_RAM | GOV_DEVICE_HAVE_SWAP;
    }
    return probe_limit(platform, out, err);
}

static void probe_pressure(const struct gov_platform *platform,
                           struct gov_device *out)
{
    struct gov__stall stall;
    const char *backend = "none";

    if (platform->stall(platform->ctx, &stall) == 0 && stall.have_memory)
        backend = strcmp(stall.source, "own cgroup") == 0 ? "PSI (own cgroup)"
                                                          : "PSI (system)";
    else if (out->have & (GOV_DEVICE_HAVE_RAM | GOV_DEVICE_HAVE_LIMIT))
        backend = "headroom only";
    copy_text(out->pressure_backend, sizeof(out->pressure_backend), backend);
}

static void probe_system(const struct gov_platform *platform,
                         struct gov_device *out)
{
    struct utsname names;
    bool known = strcmp(platform->name, "linux") == 0 ||
                 strcmp(platform->name, "darwin") == 0;

    copy_text(out->os, sizeof(out->os), known ? platform->name : "other");
    if (platform->system(platform->ctx, out->system, sizeof(out->system)) != 0)
        out->system[0] = '\0';
    gov__make_printable(out->system);
    /* One name for one thing: Linux says aarch64 where Darwin says arm64. */
    if (uname(&names) >= 0)
        copy_text(out->arch, sizeof(out->arch),
                  strcmp(names.machine, "aarch64") == 0 ? "arm64"
                                                        : names.machine);
}

gov_status gov__device_probe(const struct gov_platform *platform,
                             struct gov_device *out, gov_error *err)
{
    gov_status status;

    if (out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_device_probe() needs a device to fill");
    memset(out, 0, sizeof(*out));
    status = probe_memory(platform, out, err);
    if (status != GOV_OK)
        return status;
    gov__device_budget(out);
    out->size = sizeof(*out);
    out->page_bytes = platform->page_bytes(platform->ctx);
    probe_pressure(platform, out);
    probe_system(platform, out);
    if (platform->cpu(platform->ctx, out->cpu, sizeof(out->cpu), &out->cores) !=
        0) {
        out->cpu[0] = '\0';
        out->cores = 0;
    }
    gov__make_printable(out->cpu);
    if (out->cores > 0)
        out->have |= GOV_DEVICE_HAVE_CORES;
    return GOV_OK;
}

gov_status gov_device_probe(struct gov_device *out, gov_error *err)
{
    return gov__device_probe(gov__platform_native(), out, err);
}

void gov_device_facts(const struct gov_device *device, struct gov_facts *facts)
{
    const struct {
        uint32_t have; /* any of these */
        gov_fact fact;
        uint64_t number;
    } numbers[] = {
        {GOV_DEVICE_HAVE_RAM, GOV_FACT_DEVICE_RAM, device->ram_bytes},
        {GOV_DEVICE_HAVE_LIMIT, GOV_FACT_DEVICE_LIMIT, device->limit_bytes},
        {GOV_DEVICE_HAVE_SWAP, GOV_FACT_DEVICE_SWAP, device->swap_bytes},
        {GOV_DEVICE_HAVE_CORES, GOV_FACT_DEVICE_CORES, device->cores},
        {GOV_DEVICE_HAVE_READ_RATE, GOV_FACT_DEVICE_READ_RATE,
         device->read_rate},
        {GOV_DEVICE_HAVE_RAM | GOV_DEVICE_HAVE_LIMIT, GOV_FACT_BUDGET_RAM,
         device->budget_bytes},
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (device->have & numbers[i].have)
            gov_facts_set(facts, numbers[i].fact, numbers[i].number);
    if (device->page_bytes > 0)
        gov_facts_set(facts, GOV_FACT_DEVICE_PAGE_SIZE, device->page_bytes);
    if (device->os[0] != '\0')
        gov_facts_set_text(facts, GOV_FACT_DEVICE_OS, device->os);
    if (device->arch[0] != '\0')
        gov_facts_set_text(facts, GOV_FACT_DEVICE_ARCH, device->arch);
}
