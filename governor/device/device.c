/* SPDX-License-Identifier: MIT */
/* Owns what the system tells about the machine, each fact with where it is
 * from, and how facts are read. Never measures, stores or waits. */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "governor/device/device_priv.h"
#include "policies/capacity.h"

#define SILENT "the system does not say"
#define KEEPS_PLACE "" /* until it is known */

/* ---- the list of facts ------------------------------------------------------ */

/* What a device lists, in this order. */
static const gov_fact order[] = {
    GOV_FACT_DEVICE_RAM,
    GOV_FACT_DEVICE_LIMIT,
    GOV_FACT_DEVICE_RESERVE,
    GOV_FACT_DEVICE_OTHERS,
    GOV_FACT_BUDGET_RAM,
    GOV_FACT_DEVICE_SWAP,
    GOV_FACT_DEVICE_ZRAM,
    GOV_FACT_DEVICE_ZSWAP,
    GOV_FACT_DEVICE_OVERCOMMIT,
    GOV_FACT_DEVICE_MEMLOCK,
    GOV_FACT_DEVICE_PAGE_SIZE,
    GOV_FACT_DEVICE_HUGE_PAGE,
    GOV_FACT_DEVICE_HUGE_PAGES,
    GOV_FACT_DEVICE_CPU,
    GOV_FACT_DEVICE_CORES,
    GOV_FACT_DEVICE_PERFORMANCE_CORES,
    GOV_FACT_DEVICE_EFFICIENCY_CORES,
    GOV_FACT_DEVICE_SIMD,
    GOV_FACT_DEVICE_ARCH,
    GOV_FACT_DEVICE_OS,
    GOV_FACT_DEVICE_SYSTEM,
    GOV_FACT_DEVICE_PSI,
    GOV_FACT_DEVICE_USERFAULTFD,
    GOV_FACT_DEVICE_CACHESTAT,
    GOV_FACT_DEVICE_IO_URING,
    GOV_FACT_DEVICE_PRESSURE_BACKEND,
    GOV_FACT_DEVICE_WIRED_LIMIT,
    GOV_FACT_GPU_COUNT,
    GOV_FACT_DEVICE_TIER,
    GOV_FACT_DEVICE_REPACK_GAIN,
    GOV_FACT_DEVICE_HUGE_GAIN,
};

#define LISTED (sizeof(order) / sizeof(order[0]))

_Static_assert(LISTED <= GOV_DEVICE_FACTS, "a device has room for each fact");

bool gov__device_lists(gov_fact fact)
{
    for (size_t i = 0; i < LISTED; i++)
        if (order[i] == fact)
            return true;
    return false;
}

void gov__make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            *text = '?';
}

void gov__copy_printable(char *out, size_t bytes, const char *text)
{
    size_t n = strnlen(text, bytes - 1);

    memcpy(out, text, n);
    out[n] = '\0';
    gov__make_printable(out);
}

/* The fact's place, emptied; a new one at the end when it has none. NULL when
 * there is no room, which LISTED rules out for what is listed. */
static struct gov_device_fact *place(struct gov_device *device, gov_fact fact)
{
    struct gov_device_fact *at = NULL;

    for (uint32_t i = 0;
         i < device->fact_count && i < GOV_DEVICE_FACTS && at == NULL; i++)
        if (device->facts[i].fact == fact)
            at = &device->facts[i];
    if (at == NULL && device->fact_count < GOV_DEVICE_FACTS)
        at = &device->facts[device->fact_count++];
    if (at != NULL) {
        memset(at, 0, sizeof(*at));
        at->fact = fact;
    }
    return at;
}

void gov__device_set(struct gov_device *device, gov_fact fact, uint64_t number,
                     const char *source)
{
    struct gov_device_fact *at = place(device, fact);

    if (at == NULL)
        return;
    at->known = true;
    at->number = number < INT64_MAX ? number : INT64_MAX;
    gov__copy_printable(at->source, sizeof(at->source), source);
}

void gov__device_set_text(struct gov_device *device, gov_fact fact,
                          const char *text, const char *source)
{
    struct gov_device_fact *at = place(device, fact);

    if (at == NULL)
        return;
    at->known = true;
    gov__copy_printable(at->text, sizeof(at->text), text);
    gov__copy_printable(at->source, sizeof(at->source), source);
}

void gov__device_unknown(struct gov_device *device, gov_fact fact,
                         const char *why)
{
    struct gov_device_fact *at = place(device, fact);

    if (at != NULL)
        gov__copy_printable(at->source, sizeof(at->source), why);
}

const struct gov_device_fact *gov_device_fact(const struct gov_device *device,
                                              gov_fact fact)
{
    for (uint32_t i = 0; i < device->fact_count && i < GOV_DEVICE_FACTS; i++)
        if (device->facts[i].fact == fact)
            return &device->facts[i];
    return NULL;
}

static bool is_text(gov_fact fact)
{
    const struct gov_fact_info *info = gov_fact_info(fact);

    return info != NULL && info->type == GOV_TYPE_TEXT;
}

uint64_t gov_device_number(const struct gov_device *device, gov_fact fact,
                           uint64_t otherwise)
{
    const struct gov_device_fact *at = gov_device_fact(device, fact);

    return at != NULL && at->known && !is_text(fact) ? at->number : otherwise;
}

const char *gov_device_text(const struct gov_device *device, gov_fact fact,
                            const char *otherwise)
{
    const struct gov_device_fact *at = gov_device_fact(device, fact);

    return at != NULL && at->known && is_text(fact) ? at->text : otherwise;
}

/* ---- probing ------------------------------------------------------------------ */

/* Of these there is always some. */
static bool is_never_zero(gov_fact fact)
{
    return fact == GOV_FACT_DEVICE_RAM || fact == GOV_FACT_DEVICE_CORES ||
           fact == GOV_FACT_DEVICE_PAGE_SIZE;
}

/* Asks the platform. An answer that cannot be is none. */
static int ask(const struct gov_platform *platform, gov_fact fact,
               struct gov__told *told)
{
    int error;

    memset(told, 0, sizeof(*told));
    error = platform->tell(platform->ctx, fact, told);
    if (error == 0 &&
        (is_text(fact) ? told->text[0] == '\0'
                       : told->number == 0 && is_never_zero(fact)))
        error = ENODATA;
    if (told->source[0] == '\0')
        memcpy(told->source, SILENT, sizeof(SILENT));
    return error;
}

/* What the platform tells, and nothing where it has no such fact. */
static int list_told(const struct gov_platform *platform,
                     struct gov_device *out, gov_fact fact)
{
    struct gov__told told;
    int error = ask(platform, fact, &told);

    if (error == 0 && is_text(fact))
        gov__device_set_text(out, fact, told.text, told.source);
    else if (error == 0)
        gov__device_set(out, fact, told.number, told.source);
    else if (error != ENOTSUP)
        gov__device_unknown(out, fact, told.source);
    return error;
}

/* A limit that is there but cannot be read (no descriptor left, say) must not
 * pass for none: the budget would be all of the machine's. */
static gov_status probe_limit(const struct gov_platform *platform,
                              struct gov_device *out, gov_error *err)
{
    struct gov__limit limit;
    struct gov__process self;
    bool have_self;
    int error = platform->limit(platform->ctx, &limit);

    if (error != 0 && error != ENOTSUP)
        return gov_fail(err, GOV_E_IO, error,
                        "cannot read the memory limit of this process");
    if (error != 0 || limit.limit_bytes == UINT64_MAX) {
        gov__device_unknown(out, GOV_FACT_DEVICE_LIMIT, "no limit");
        gov__device_unknown(out, GOV_FACT_DEVICE_RESERVE, KEEPS_PLACE);
        gov__device_unknown(out, GOV_FACT_DEVICE_OTHERS, "no limit");
        return GOV_OK;
    }
    have_self = platform->process(platform->ctx, 0, &self) == 0;
    gov__device_set(out, GOV_FACT_DEVICE_LIMIT, limit.limit_bytes,
                    limit.source);
    gov__device_unknown(out, GOV_FACT_DEVICE_RESERVE, KEEPS_PLACE);
    gov__device_set(
        out, GOV_FACT_DEVICE_OTHERS,
        gov__device_others(&limit,
                           have_self ? self.anon_bytes + self.shmem_bytes : 0),
        have_self ? "charged to the limit's group, less file pages "
                    "and this process"
                  : "charged to the limit's group, less file "
                    "pages; what this process has is not told");
    return GOV_OK;
}

/* As it is told, or as machine() has it: 0 is then no figure. */
static void list_memory(const struct gov_platform *platform,
                        struct gov_device *out, gov_fact fact, uint64_t bytes)
{
    if (list_told(platform, out, fact) != ENOTSUP)
        return;
    if (bytes > 0)
        gov__device_set(out, fact, bytes, "the system's memory totals");
    else
        gov__device_unknown(out, fact, SILENT);
}

static gov_status probe_memory(const struct gov_platform *platform,
                               struct gov_device *out, gov_error *err)
{
    struct gov__machine machine;
    gov_status status;

    if (platform->machine(platform->ctx, &machine) != 0)
        memset(&machine, 0, sizeof(machine));
    list_memory(platform, out, GOV_FACT_DEVICE_RAM, machine.total_bytes);
    status = probe_limit(platform, out, err);
    if (status != GOV_OK)
        return status;
    gov__device_budget(out);
    list_memory(platform, out, GOV_FACT_DEVICE_SWAP, machine.swap_total_bytes);
    return GOV_OK;
}

static void probe_pressure(const struct gov_platform *platform,
                           struct gov_device *out)
{
    struct gov__stall stall;
    bool read =
        platform->stall(platform->ctx, &stall) == 0 && stall.have_memory;
    const struct gov_device_fact *budget =
        gov_device_fact(out, GOV_FACT_BUDGET_RAM);
    const char *backend = "none";

    if (read)
        backend = strcmp(stall.source, "own cgroup") == 0 ? "PSI (own cgroup)"
                                                          : "PSI (system)";
    else if (budget != NULL && budget->known)
        backend = "headroom only";
    gov__device_set_text(out, GOV_FACT_DEVICE_PRESSURE_BACKEND, backend,
                         read ? "memory stalls were read"
                              : "memory stalls cannot be read");
}

/* What every system says in some way, told or not. */
static void probe_anyway(const struct gov_platform *platform,
                         struct gov_device *out, gov_fact fact)
{
    struct utsname names;

    if (list_told(platform, out, fact) == 0)
        return;
    if (fact == GOV_FACT_DEVICE_PAGE_SIZE)
        gov__device_set(out, fact, platform->page_bytes(platform->ctx),
                        "sysconf(_SC_PAGESIZE)");
    else if (fact == GOV_FACT_DEVICE_OS)
        gov__device_set_text(out, fact,
                             strcmp(platform->name, "linux") == 0 ||
                                     strcmp(platform->name, "darwin") == 0
                                 ? platform->name
                                 : "other",
                             "what the library was built for");
    else if (uname(&names) >= 0) /* arm64 is aarch64 to Linux' uname() */
        gov__device_set_text(
            out, fact,
            strcmp(names.machine, "aarch64") == 0 ? "arm64" : names.machine,
            "uname()");
}

/* Everything after what is on memory. */
static void probe_told(const struct gov_platform *platform,
                       struct gov_device *out)
{
    for (size_t i = 0; i < LISTED; i++) {
        if (gov_device_fact(out, order[i]) != NULL)
            continue;
        switch (order[i]) {
        case GOV_FACT_DEVICE_PAGE_SIZE:
        case GOV_FACT_DEVICE_OS:
        case GOV_FACT_DEVICE_ARCH:
            probe_anyway(platform, out, order[i]);
            break;
        case GOV_FACT_DEVICE_PRESSURE_BACKEND:
            probe_pressure(platform, out);
            break;
        case GOV_FACT_GPU_COUNT:
            gov__device_unknown(out, order[i],
                                "the drivers are asked when it is measured");
            break;
        case GOV_FACT_DEVICE_TIER:
            gov__device_tier(out);
            break;
        case GOV_FACT_DEVICE_REPACK_GAIN:
        case GOV_FACT_DEVICE_HUGE_GAIN:
            gov__device_unknown(out, order[i],
                                "the engine is asked when it is measured");
            break;
        default:
            (void)list_told(platform, out, order[i]);
        }
    }
}

gov_status gov__device_probe_memory(const struct gov_platform *platform,
                                    struct gov_device *out, gov_error *err)
{
    gov_status status;

    memset(out, 0, sizeof(*out));
    status = probe_memory(platform, out, err);
    if (status == GOV_OK)
        out->size = sizeof(*out);
    else
        memset(out, 0, sizeof(*out));
    return status;
}

gov_status gov__device_probe(const struct gov_platform *platform,
                             struct gov_device *out, gov_error *err)
{
    gov_status status;

    if (out == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_device_probe() needs a device to fill");
    status = gov__device_probe_memory(platform, out, err);
    if (status == GOV_OK)
        probe_told(platform, out);
    return status;
}

gov_status gov_device_probe(struct gov_device *out, gov_error *err)
{
    return gov__device_probe(gov__platform_native(), out, err);
}

uint32_t gov_device_cores(void)
{
    struct gov__told told;
    int error = ask(gov__platform_native(), GOV_FACT_DEVICE_CORES, &told);

    return error == 0 && told.number <= UINT32_MAX ? (uint32_t)told.number : 0;
}

/* ---- what an engine gains ----------------------------------------------------- */

void gov_device_set_gains(struct gov_device *device,
                          const struct gov_facts *gains, const char *source,
                          const char *why)
{
    static const gov_fact listed[] = {GOV_FACT_DEVICE_REPACK_GAIN,
                                      GOV_FACT_DEVICE_HUGE_GAIN};

    for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++) {
        uint64_t gain = gains != NULL ? gov_facts_get(gains, listed[i], 0) : 0;

        if (gain >= 1 && gain <= GOV__GAIN_MOST)
            gov__device_set(device, listed[i], gain, source);
        else
            gov__device_unknown(device, listed[i], why);
    }
}

/* ---- as facts ------------------------------------------------------------------ */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void figure_facts(const struct gov_device *device,
                         struct gov_facts *facts)
{
    static const struct {
        gov_figure figure;
        const char *path;
    } paths[] = {{GOV_FIGURE_READ_READAHEAD, "readahead"},
                 {GOV_FIGURE_READ_POPULATE, "populate"},
                 {GOV_FIGURE_READ_PARALLEL, "parallel"},
                 {GOV_FIGURE_READ_DIRECT, "direct"},
                 {GOV_FIGURE_READ_IO_URING, "io_uring"},
                 {GOV_FIGURE_READ_HUGE, "huge"}};
    /* The governor reads by these two, and past the cache by one. */
    uint64_t read =
        larger(gov_device_measured(device, GOV_FIGURE_READ_READAHEAD, 0),
               gov_device_measured(device, GOV_FIGURE_READ_POPULATE, 0));
    uint64_t direct = gov_device_measured(device, GOV_FIGURE_READ_HUGE, 0);
    uint64_t random = gov_device_measured(device, GOV_FIGURE_READ_RANDOM, 0);
    uint64_t memory = gov_device_measured(
        device, GOV_FIGURE_MEMORY_READ_ALL,
        gov_device_measured(device, GOV_FIGURE_MEMORY_READ, 0));
    uint64_t fastest = 0;

    if (read > 0)
        gov_facts_set(facts, GOV_FACT_DEVICE_READ_RATE, read);
    if (direct > 0)
        gov_facts_set(facts, GOV_FACT_DEVICE_DIRECT_RATE, direct);
    if (random > 0)
        gov_facts_set(facts, GOV_FACT_DEVICE_RANDOM_READ_RATE, random);
    if (memory > 0)
        gov_facts_set(facts, GOV_FACT_DEVICE_MEMORY_RATE, memory);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        uint64_t rate = gov_device_measured(device, paths[i].figure, 0);

        if (rate > fastest) {
            fastest = rate;
            gov_facts_set_text(facts, GOV_FACT_DEVICE_READ_PATH, paths[i].path);
        }
    }
}

/* Of GPUs that share RAM nothing is beside budget.ram: what they use is in it.
 * Nor do several GPUs make a larger one: a model runs on one of them. */
static void gpu_facts(const struct gov_device *device, struct gov_facts *facts)
{
    const struct gov_device_fact *asked =
        gov_device_fact(device, GOV_FACT_GPU_COUNT);
    const struct gov_gpu *largest = NULL;
    uint64_t count = 0, own = 0;
    bool untold =
        false; /* one has memory of its own and nobody says how much */

    if (asked != NULL && !asked->known)
        return;
    for (uint32_t i = 0; i < device->gpu_count && i < GOV_DEVICE_GPUS; i++) {
        const struct gov_gpu *gpu = &device->gpus[i];

        if (gpu->software)
            continue;
        count++;
        if (largest == NULL ||
            gpu->working_set_bytes > largest->working_set_bytes)
            largest = gpu;
        if (!gpu->shares_ram) {
            own = larger(own, gpu->working_set_bytes);
            untold = untold || gpu->working_set_bytes == 0;
        }
    }
    gov_facts_set(facts, GOV_FACT_GPU_COUNT, count);
    if (own > 0 || !untold)
        gov_facts_set(facts, GOV_FACT_BUDGET_GPU, own);
    if (largest == NULL || largest->working_set_bytes == 0)
        return;
    gov_facts_set(facts, GOV_FACT_GPU_WORKING_SET, largest->working_set_bytes);
    gov_facts_set(facts, GOV_FACT_GPU_SHARES_RAM, largest->shares_ram);
}

void gov_device_facts(const struct gov_device *device, struct gov_facts *facts)
{
    for (uint32_t i = 0; i < device->fact_count && i < GOV_DEVICE_FACTS; i++) {
        const struct gov_device_fact *at = &device->facts[i];

        if (at->known && is_text(at->fact))
            gov_facts_set_text(facts, at->fact, at->text);
        else if (at->known)
            gov_facts_set(facts, at->fact, at->number);
    }
    figure_facts(device, facts);
    if (device->measured_at != 0)
        gpu_facts(device, facts);
}

void gov__device_tier(struct gov_device *device)
{
    struct gov_facts facts;
    struct gov_tier tier;
    gov_error err;

    memset(&facts, 0, sizeof(facts));
    memset(&tier, 0, sizeof(tier));
    memset(&err, 0, sizeof(err));
    gov__device_unknown(device, GOV_FACT_DEVICE_TIER,
                        ""); /* no part of itself */
    gov_device_facts(device, &facts);
    if (gov_tier_find(&tier, &facts, NULL, &err) == GOV_OK)
        gov__device_set_text(device, GOV_FACT_DEVICE_TIER, tier.name,
                             "tiers.yaml");
    else
        gov__device_unknown(device, GOV_FACT_DEVICE_TIER, err.message);
}
