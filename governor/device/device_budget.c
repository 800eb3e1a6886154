/* SPDX-License-Identifier: MIT */
/* Owns the budget: what this app may use in all, its present use included.
 * Arithmetic on what is known; asks the system nothing.
 *
 *   without a limit  ram - reserve
 *   with a limit     limit - reserve - others
 *
 * The reserve of a machine is policies/planning/reserve.h's.
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
#include "governor/device/device_priv.h"
#include "policies/planning/reserve.h"

#define MIB ((uint64_t)1 << 20)

static uint64_t at_most(uint64_t n, uint64_t limit)
{
    return n < limit ? n : limit;
}

static uint64_t at_least(uint64_t n, uint64_t limit)
{
    return n > limit ? n : limit;
}

uint64_t gov__device_others(const struct gov__limit *limit, uint64_t own_bytes)
{
    uint64_t charged = gov__less(limit->used_bytes, limit->used_file_bytes);

    return gov__less(charged > UINT64_MAX - limit->short_bytes
                         ? UINT64_MAX
                         : charged + limit->short_bytes,
                     own_bytes);
}

static uint64_t limit_reserve(uint64_t limit_bytes)
{
    return at_most(at_least(limit_bytes / 20, 32 * MIB), limit_bytes / 4);
}

static void limited_budget(struct gov_device *device, uint64_t limit_bytes,
                           uint64_t machine_bytes)
{
    uint64_t own = limit_reserve(limit_bytes);
    uint64_t machine = gov__less(limit_bytes, machine_bytes);
    uint64_t reserve = at_least(own, machine);
    uint64_t others = gov_device_number(device, GOV_FACT_DEVICE_OTHERS, 0);

    gov__device_set(device, GOV_FACT_DEVICE_RESERVE, reserve,
                    machine > own
                        ? "10 % of RAM, to which the limit is close"
                        : "5 % of the limit, at least 32 MiB, at most 25 %");
    gov__device_set(device, GOV_FACT_BUDGET_RAM,
                    gov__less(limit_bytes - reserve, others),
                    "limit less reserve less what others have of it");
}

void gov__device_budget(struct gov_device *device)
{
    const struct gov_device_fact *ram =
        gov_device_fact(device, GOV_FACT_DEVICE_RAM);
    const struct gov_device_fact *limit =
        gov_device_fact(device, GOV_FACT_DEVICE_LIMIT);
    bool have_ram = ram != NULL && ram->known;
    uint64_t ram_bytes = have_ram ? ram->number : 0;
    uint64_t reserve = gov__reserve_of_ram(ram_bytes);

    if (limit != NULL && limit->known) {
        limited_budget(device, limit->number,
                       have_ram ? ram_bytes - reserve : UINT64_MAX);
    } else if (have_ram) {
        gov__device_set(device, GOV_FACT_DEVICE_RESERVE, reserve,
                        "10 % of RAM, at least 512 MiB, at most 25 %");
        gov__device_set(device, GOV_FACT_BUDGET_RAM, ram_bytes - reserve,
                        "RAM less reserve");
    } else {
        gov__device_unknown(device, GOV_FACT_DEVICE_RESERVE,
                            "neither RAM nor a limit is known");
        gov__device_unknown(device, GOV_FACT_BUDGET_RAM,
                            "neither RAM nor a limit is known");
    }
}
