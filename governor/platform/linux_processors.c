/* SPDX-License-Identifier: MIT */
/* The processors: their model, what they can do, and how many of which kind this
 * process may use. Reads text, and natively the affinity mask; measures nothing. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"

/* ---- /proc/cpuinfo ---------------------------------------------------------------- */

#define CPUINFO "/proc/cpuinfo"

/* The value of the first line "KEY<blanks>: VALUE". Returns 0, ENODATA, or an
 * errno value. */
static int cpuinfo(void *ctx, const char *key, char *out, size_t bytes)
{
    const struct gov__linux_root *root = ctx;
    const size_t n = strlen(key);
    struct gov__lines lines;
    char path[GOV__CGROUP_PATH], *line;
    int rc = gov__path_join(path, sizeof(path), root->root, CPUINFO);

    if (rc == 0)
        rc = gov__lines_open(&lines, path);
    if (rc != 0)
        return rc;
    rc = ENODATA;
    while (rc == ENODATA && (line = gov__lines_next(&lines)) != NULL) {
        const char *colon = line + n;

        if (strncmp(line, key, n) != 0)
            continue;
        colon += strspn(colon, " \t");
        if (colon[0] != ':' || colon[1] != ' ' || colon[2] == '\0')
            continue;
        snprintf(out, bytes, "%s", colon + 2);
        rc = 0;
    }
    if (rc == ENODATA && lines.error != 0)
        rc = lines.error;
    gov__lines_close(&lines);
    return rc;
}

int gov__linux_tell_cpu(void *ctx, struct gov__told *out)
{
    /* x86 says "model name", where "cpu" would find "cpu family"; boards with
     * an arm kernel say "Model" (the board) or "Hardware" (the chip), riscv
     * "uarch", powerpc "cpu"; arm servers say nothing, other arm machines in
     * their device tree. */
    static const char *const keys[] = {"model name", "Model", "Hardware",
                                       "uarch", "cpu"};
    static const char tree[] = "/sys/firmware/devicetree/base/model";
    char model[sizeof(out->text)];
    int rc = ENODATA;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && rc == ENODATA; i++)
        rc = cpuinfo(ctx, keys[i], model, sizeof(model));
    if (rc == 0)
        return gov__told_text(out, model, CPUINFO);
    if (gov__linux_read(ctx, tree, model, sizeof(model)) == 0 &&
        model[0] != '\0')
        return gov__told_text(out, model, "%s", tree);
    if (rc != ENODATA)
        return gov__told_unread(out, CPUINFO, rc);
    return gov__told_nothing(out, CPUINFO " names no model");
}

static bool has_flag(const char *flags, const char *flag)
{
    size_t length = strlen(flag);

    while (*flags != '\0') {
        size_t n = strcspn(flags, " ");

        if (n == length && memcmp(flags, flag, n) == 0)
            return true;
        flags += n;
        flags += strspn(flags, " ");
    }
    return false;
}

/* All of one architecture fit into a fact's text: 83 bytes on x86. */
int gov__linux_tell_simd(void *ctx, struct gov__told *out)
{
    static const char *const known[] = {
        "sse4_2",   "avx",     "f16c",        "fma",         "avx2",
        "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8",
        "amx_bf16", "neon",    "asimd",       "asimddp",     "i8mm",
        "bf16",     "sve",     "sve2",        "sme"};
    char flags[4096], text[sizeof(out->text)];
    size_t used = 0;
    int rc = cpuinfo(ctx, "flags", flags, sizeof(flags)); /* x86 */

    if (rc == ENODATA)
        rc = cpuinfo(ctx, "Features", flags, sizeof(flags)); /* arm */
    if (rc == ENODATA)
        return gov__told_nothing(out, CPUINFO " lists no flags");
    if (rc != 0)
        return gov__told_unread(out, CPUINFO, rc);
    text[0] = '\0';
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t n = strlen(known[i]) + 1;

        if (!has_flag(flags, known[i]) || used + n >= sizeof(text))
            continue;
        snprintf(text + used, sizeof(text) - used, "%s ", known[i]);
        used += n;
    }
    if (used == 0)
        return gov__told_nothing(out, "none that engines use in " CPUINFO);
    return gov__told_text(out, text, CPUINFO);
}

/* ---- sets of processors ------------------------------------------------------------- */

#define CPUS 8192 /* the most that a kernel can be built for */
#define WORD_BITS (8 * sizeof(unsigned long))

struct cpus {
    unsigned long words[CPUS / WORD_BITS]; /* as in cpu_set_t */
};

static bool has_cpu(const struct cpus *set, size_t cpu)
{
    return (set->words[cpu / WORD_BITS] >> cpu % WORD_BITS & 1) != 0;
}

static unsigned count_cpus(const struct cpus *set)
{
    unsigned n = 0;

    for (size_t cpu = 0; cpu < CPUS; cpu++)
        n += has_cpu(set, cpu);
    return n;
}

/* "0-3,8,10-11"; adds to the set what is well-formed. */
static void add_list(struct cpus *set, const char *list)
{
    uint64_t first, last;

    while (gov__parse_number(list, &first)) {
        list += strspn(list, " \t0123456789");
        last = first;
        if (*list == '-' && !gov__parse_number(list + 1, &last))
            return;
        for (uint64_t cpu = first; cpu <= last && cpu < CPUS; cpu++)
            set->words[cpu / WORD_BITS] |= 1UL << cpu % WORD_BITS;
        list += strspn(list, "-0123456789");
        if (*list != ',')
            return;
        list++;
    }
}

/* Adds the list in a file; returns 0 or an errno value. */
static int add_file(void *ctx, const char *path, struct cpus *set)
{
    char list[4096];
    int rc = gov__linux_read(ctx, path, list, sizeof(list));

    if (rc == 0)
        add_list(set, list);
    return rc;
}

static void keep_common(struct cpus *set, const struct cpus *other)
{
    for (size_t i = 0; i < CPUS / WORD_BITS; i++)
        set->words[i] &= other->words[i];
}

#define STATUS "/proc/self/status"

/* What /proc says the affinity mask is, which counts processors that are switched
 * off. */
static int allowed_in_text(void *ctx, struct cpus *set)
{
    static const char key[] = "Cpus_allowed_list:";
    const struct gov__linux_root *root = ctx;
    struct cpus online = {{0}};
    struct gov__lines lines;
    char path[GOV__CGROUP_PATH], *line;
    int rc = gov__path_join(path, sizeof(path), root->root, STATUS);

    if (rc == 0)
        rc = gov__lines_open(&lines, path);
    if (rc != 0)
        return rc;
    while ((line = gov__lines_next(&lines)) != NULL)
        if (strncmp(line, key, sizeof(key) - 1) == 0)
            add_list(set, line + sizeof(key) - 1);
    rc = lines.error;
    gov__lines_close(&lines);
    if (rc != 0)
        return rc;
    rc = add_file(ctx, "/sys/devices/system/cpu/online", &online);
    if (rc == 0)
        keep_common(set, &online);
    return gov__cgroup_absent(rc) ? 0 : rc;
}

/* The processors that this thread may run on, and where that is from. */
static int allowed(void *ctx, struct cpus *set, const char **source)
{
    memset(set, 0, sizeof(*set));
    *source = "affinity mask";
    if (gov__linux_is_native(ctx) &&
        sched_getaffinity(0, sizeof(set->words), (cpu_set_t *)set->words) == 0)
        return 0;
    *source = STATUS ", Cpus_allowed_list";
    return allowed_in_text(ctx, set);
}

/* ---- how many ------------------------------------------------------------------------ */

/* What a group may use: time in each period, in microseconds. */
struct quota {
    uint64_t cores; /* rounded up; UINT64_MAX without one */
    char source[96];
};

static void read_quota(const char *group, const char *name, bool v2,
                       struct quota *out)
{
    uint64_t quota, period = 0, cores;
    char path[GOV__CGROUP_PATH + 16], text[64];

    if (v2) { /* "max 100000" */
        int n = snprintf(path, sizeof(path), "%s/cpu.max", group);
        char *space;

        if (n < 0 || (size_t)n >= sizeof(path) ||
            gov__read_text(path, text, sizeof(text), NULL) != 0 ||
            !gov__parse_number(text, &quota))
            return;
        space = strchr(text, ' ');
        if (space == NULL || !gov__parse_number(space, &period))
            return;
    } else if (gov__cgroup_number(group, "cpu.cfs_quota_us", "", &quota) != 0 ||
               gov__cgroup_number(group, "cpu.cfs_period_us", "", &period) !=
                   0) { /* "-1" is no number */
        return;
    }
    if (quota == 0 || period == 0)
        return;
    cores = quota / period + (quota % period != 0);
    if (cores >= out->cores)
        return;
    out->cores = cores;
    snprintf(out->source, sizeof(out->source), "cgroup %s %.50s, %s",
             v2 ? "v2" : "v1", *name == '\0' ? "/" : name,
             v2 ? "cpu.max" : "cpu.cfs_quota_us");
}

/* The least quota of the group and those above it. What cannot be read is none:
 * it would only lower a count that nobody's memory depends on. */
static void find_quota(void *ctx, struct quota *out)
{
    const struct gov__linux_root *root = ctx;
    struct gov__cgroups groups;
    struct gov__cgroup *at;
    bool v2;

    out->cores = UINT64_MAX;
    if (gov__cgroups_find(root->root, &groups) != 0)
        return;
    v2 = !groups.cpu_v1.found;
    at = v2 ? &groups.unified : &groups.cpu_v1;
    if (!at->found)
        return;
    do {
        read_quota(at->group, at->group + strlen(at->mount), v2, out);
    } while (gov__cgroup_parent(at->group, at->mount));
}

int gov__linux_tell_cores(void *ctx, struct gov__told *out)
{
    struct cpus set;
    struct quota quota;
    const char *source;
    unsigned cores;
    int rc = allowed(ctx, &set, &source);

    if (rc != 0)
        return gov__told_unread(out, STATUS, rc);
    cores = count_cpus(&set);
    if (cores == 0)
        return gov__told_nothing(out, "%s names no processor", source);
    find_quota(ctx, &quota);
    if (quota.cores < cores)
        return gov__told_number(
            out, quota.cores, "%s: the time of %llu of %u processors",
            quota.source, (unsigned long long)quota.cores, cores);
    return gov__told_number(out, cores, "%s", source);
}

/* ---- which kind ---------------------------------------------------------------------- */

#define PRESENT "/sys/devices/system/cpu/present"
#define CORE "/sys/devices/cpu_core/cpus"
#define ATOM "/sys/devices/cpu_atom/cpus"
#define CAPACITY "/sys/devices/system/cpu/cpu*/cpu_capacity"

/* Intel has a set of counters for each kind. The kernel's third kind are the two
 * small processors on the die that stays awake. */
static bool kinds_by_counters(void *ctx, struct cpus *fast, struct cpus *frugal)
{
    int core = add_file(ctx, CORE, fast), atom = add_file(ctx, ATOM, frugal);

    (void)add_file(ctx, "/sys/devices/cpu_lowpower/cpus", frugal);
    return core == 0 && atom == 0 && count_cpus(fast) > 0 &&
           count_cpus(frugal) > 0;
}

/* Arm, and x86 where kinds differ, say what each can do, the best 1024. The
 * lowest kind are those that save power, whatever stands between them and the
 * best: 250, 620 and 1024 are four, two and two in one phone. Those of one kind
 * differ a little too, by binning: hence the bottom quarter of the range, and
 * less than an eighth between all is one kind. */
static int kinds_by_capacity(void *ctx, struct cpus *fast, struct cpus *frugal)
{
    struct cpus present = {{0}};
    uint16_t capacity[CPUS] = {0}; /* 0: not told */
    uint64_t least = UINT64_MAX, most = 0;
    char path[96], text[16];
    int rc = add_file(ctx, PRESENT, &present);

    for (size_t cpu = 0; cpu < CPUS && rc == 0; cpu++) {
        uint64_t n = 0;

        if (!has_cpu(&present, cpu))
            continue;
        snprintf(path, sizeof(path),
                 "/sys/devices/system/cpu/cpu%zu/cpu_capacity", cpu);
        rc = gov__linux_read(ctx, path, text, sizeof(text));
        if (rc != 0 || !gov__parse_number(text, &n) || n == 0 || n > 65535)
            continue;
        capacity[cpu] = (uint16_t)n;
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    if (rc != 0)
        return rc;
    if (most == 0 || least > most - most / 8)
        return ENODATA;
    for (size_t cpu = 0; cpu < CPUS; cpu++)
        if (capacity[cpu] != 0)
            (capacity[cpu] <= least + (most - least) / 4 ? frugal : fast)
                ->words[cpu / WORD_BITS] |= 1UL << cpu % WORD_BITS;
    return 0;
}

int gov__linux_tell_kind(void *ctx, bool fast, struct gov__told *out)
{
    struct cpus set, kinds[2] = {{{0}}, {{0}}};
    const char *source, *from = fast ? CORE : ATOM;
    int rc = allowed(ctx, &set, &source);

    if (rc != 0)
        return gov__told_unread(out, STATUS, rc);
    if (!kinds_by_counters(ctx, &kinds[1], &kinds[0])) {
        memset(kinds, 0, sizeof(kinds));
        from = CAPACITY;
        rc = kinds_by_capacity(ctx, &kinds[1], &kinds[0]);
    }
    if (rc == ENODATA)
        return gov__told_nothing(out, "all of one kind, by %s", from);
    if (rc != 0)
        return gov__told_nothing(out, "the system tells no kinds apart");
    keep_common(&set, &kinds[fast]);
    return gov__told_number(out, count_cpus(&set), "%s and %s", from, source);
}
