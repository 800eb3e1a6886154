/* SPDX-License-Identifier: MIT */
/* The device: the machine as the governor sees it, container limits included;
 * measured once, stored, and checked against the machine it is used on. */
#ifndef GOV_DEVICE_H
#define GOV_DEVICE_H

#include "policies/facts.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Figures that can only be known by trying. X(id, "name", unit, full, sentence);
 * `full` ones are left out of a quick run. Append only: ids are ABI. */
#define GOV_FIGURE_MAP(X)                                                      \
    X(READ_READAHEAD, "read.readahead", RATE, false,                           \
      "sequential, pread() of 1 MiB through the page cache")                   \
    X(READ_POPULATE, "read.populate", RATE, false,                             \
      "sequential, a mapping read in by the kernel (MADV_POPULATE_READ)")      \
    X(READ_PARALLEL, "read.parallel", RATE, true,                              \
      "sequential, pread() by four threads through the page cache")            \
    X(READ_DIRECT, "read.direct", RATE, true,                                  \
      "sequential, pread() of 1 MiB past the page cache")                      \
    X(READ_IO_URING, "read.io_uring", RATE, true,                              \
      "sequential, eight queued reads of 1 MiB past the page cache")           \
    X(READ_RANDOM, "read.random", RATE, true,                                  \
      "16 KiB at random places, one at a time")                                \
    X(MEMORY_READ, "memory.read", RATE, false,                                 \
      "memory, sequential, one thread")                                        \
    X(MEMORY_READ_ALL, "memory.read_all", RATE, true,                          \
      "memory, sequential, a thread on each processor")                        \
    X(MINOR_FAULT, "fault.minor", NS, false, "first touch of a fresh page")    \
    X(MAJOR_FAULT, "fault.major", NS, true,                                    \
      "first touch of a page of a file that is not in memory")                 \
    X(GIVE_BACK, "memory.give_back", NS, false,                                \
      "giving 64 MiB back and touching them again")                            \
    X(READ_HUGE, "read.huge", RATE, false,                                     \
      "sequential, pread() of 4 MiB past the page cache into huge pages")

typedef enum gov_figure {
#define GOV_FIGURE_ENUM(id, name, unit, full, sentence) GOV_FIGURE_##id,
    GOV_FIGURE_MAP(GOV_FIGURE_ENUM)
#undef GOV_FIGURE_ENUM
        GOV_FIGURE_COUNT
} gov_figure;

typedef enum gov_figure_unit {
    GOV_UNIT_RATE, /* bytes a second */
    GOV_UNIT_NS,   /* nanoseconds: of a page, or of the whole action */
} gov_figure_unit;

struct gov_figure_info {
    const char *name;
    gov_figure_unit unit;
    bool full;
    const char *sentence;
};

/* What is declared about a figure; NULL for a number that is none. */
GOV_API const struct gov_figure_info *gov_figure_info(gov_figure figure);

/* One measured figure. */
struct gov_device_figure {
    bool known;
    bool noisy; /* high - low is over a quarter of the median */
    uint32_t samples;
    uint64_t median, low, high; /* in the figure's unit; never 0 when known */
    char note[96]; /* "" or why it is unknown, or what stands beside it */
};

/* One fact about the machine: one of GOV_FACT_DEVICE_*, GOV_FACT_GPU_* or
 * GOV_FACT_BUDGET_*. */
struct gov_device_fact {
    gov_fact fact;
    bool known;
    uint64_t number;  /* in the type's unit; a flag is 0 or 1; 0 for texts */
    char text[96];    /* GOV_TYPE_TEXT: printable ASCII */
    char source[160]; /* where it is from: "/proc/meminfo"; when it is not
                         known, why: "the system does not say" */
};

/* One graphics processor. A figure that is not told is 0. */
struct gov_gpu {
    char name[96];
    char bus[32];               /* "0000:65:00.0"; "" when it has none */
    uint64_t memory_bytes;      /* of its own; 0 when it shares RAM */
    uint64_t working_set_bytes; /* what a process may use of it at once */
    uint64_t used_bytes;        /* when it was asked, by everybody */
    bool shares_ram;            /* then what it uses is RAM, and counts there */
    bool software;              /* a processor that draws; no memory counted */
    char source[160];           /* "NVML", "Vulkan, VK_EXT_memory_budget" */
};

enum { GOV_DEVICE_FACTS = 64, GOV_DEVICE_GPUS = 16, GOV_DEVICE_FIGURES = 32 };

/* Plain data, about 32 KiB; copy it freely. Read it by the functions below. */
struct gov_device {
    size_t size; /* of the struct, set by the library */
    uint32_t fact_count, gpu_count;
    struct gov_device_fact facts[GOV_DEVICE_FACTS];
    struct gov_gpu gpus[GOV_DEVICE_GPUS];
    struct gov_device_figure figures[GOV_DEVICE_FIGURES]; /* by gov_figure */
    bool measured_full;
    int64_t measured_at;   /* seconds since the epoch; 0 when not measured */
    char measured_on[160]; /* the directory that reading was measured in */
};

/* The fact as the device has it, known or not; NULL when this platform has
 * nothing of the kind (there is no wired limit on Linux). Borrowed. */
GOV_API const struct gov_device_fact *
gov_device_fact(const struct gov_device *device, gov_fact fact);

/* The number of a fact, or `otherwise` when it is not known. */
GOV_API uint64_t gov_device_number(const struct gov_device *device,
                                   gov_fact fact, uint64_t otherwise);

/* The text of a fact, or `otherwise` when it is not known. Borrowed. */
GOV_API const char *gov_device_text(const struct gov_device *device,
                                    gov_fact fact, const char *otherwise);

/* The median of a figure, or `otherwise` when it is not known. */
GOV_API uint64_t gov_device_measured(const struct gov_device *device,
                                     gov_figure figure, uint64_t otherwise);

/* Returns false to stop. `permille` of the whole, `what` is being done now. */
typedef bool (*gov_progress_fn)(void *ctx, uint32_t permille, const char *what);

/* Gathers the facts the system tells, without measuring and without asking
 * graphics drivers: a few milliseconds. What this kernel and this user can do is
 * tried, not guessed. budget.ram is what this process may use in all, what it
 * uses already included; device_budget.c has the rule and its reasons. On
 * failure *out is zero.
 *
 * GOV_E_INVALID  out is NULL
 * GOV_E_IO       there may be a memory limit, and it cannot be read */
GOV_API GOV_NODISCARD gov_status gov_device_probe(struct gov_device *out,
                                                  gov_error *err);

/* Processors this process may use, by affinity and quota; 0 when not told. What
 * somebody needs who asks for nothing else: nothing is tried, a few
 * microseconds. */
GOV_API uint32_t gov_device_cores(void);

/* Who loads graphics drivers. */
typedef enum gov_drivers {
    GOV_DRIVERS_HERE = 0, /* this process */
    /* A child, by fork(): a driver that crashes, hangs or prints does it there,
     * and is left out after 10 s. For programs that have no other thread yet, as
     * drivers do in the child what is not allowed after fork() with threads. */
    GOV_DRIVERS_IN_CHILD = 1,
    GOV_DRIVERS_NOT = 2, /* nobody: no graphics processors are listed */
} gov_drivers;

struct gov_measure_options {
    size_t size; /* sizeof(struct gov_measure_options) */
    /* On whose file system reading is measured. NULL: $TMPDIR, else /var/tmp,
     * which is on storage where /tmp is often in memory. */
    const char *directory;
    /* Every figure, under 30 seconds; else under 2. What graphics drivers take to
     * load and to answer comes on top: mostly less than a second, no promise. */
    bool full;
    gov_progress_fn progress; /* may be NULL; on this thread, every few ms */
    void *progress_ctx;
    gov_drivers drivers;
};

/* Adds figures and graphics processors. options NULL means all of them zero.
 * Reading is measured in a scratch file of up to 1 GiB (quick: 256 MiB, and never
 * more than a quarter of what is free), already without a name. A figure that
 * cannot be had is left unknown with its note; *err (when given) then says which,
 * and err->message is "" when all succeeded. Loads graphics drivers into the
 * process (NVML, Vulkan), which may start threads of their own; one that is there
 * and fails is told as the source of gpu.count. Slow: not on a UI thread. The
 * times are no promise on storage that answers no request for longer.
 *
 * GOV_E_INVALID    device is NULL or was never probed
 * GOV_E_CANCELLED  progress returned false; nothing is left behind and *device
 *                  is as it was */
GOV_API GOV_NODISCARD gov_status
gov_device_measure(struct gov_device *device,
                   const struct gov_measure_options *options, gov_error *err);

/* Lists device.repack_gain and device.huge_gain as `gains` has them, which is what
 * gov_engine.gains (governor/engine.h) fills in: measured by `source`, an engine
 * and its version. Where one is not in it, or is no gain, `why` says why it is
 * unknown. gains NULL means neither is. Texts are copied, and cut. */
GOV_API void gov_device_set_gains(struct gov_device *device,
                                  const struct gov_facts *gains,
                                  const char *source, const char *why);

/* Writes the default path of the profile ($XDG_CONFIG_HOME/governor/device.json
 * or ~/.config/governor/device.json) into out.
 *
 * GOV_E_NOT_FOUND  neither XDG_CONFIG_HOME nor HOME is set
 * GOV_E_INVALID    out is too small */
GOV_API GOV_NODISCARD gov_status gov_device_path(char *out, size_t bytes,
                                                 gov_error *err);

/* Stores a profile atomically, mode 0600, making the directory (0700) where
 * needed. path NULL means the default. A symbolic link is replaced, not
 * followed. Under that path there is always the old profile or the new one,
 * whole, even after a crash; a failing call leaves no other file behind.
 *
 * GOV_E_INVALID     device was never probed
 * GOV_E_PERMISSION  the directory cannot be written
 * GOV_E_IO          the disk is full, or fails; GOV_E_NOT_FOUND as for
 *                   gov_device_path(); GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_device_save(
    const struct gov_device *device, const char *path, gov_error *err);

/* Reads a stored profile. path NULL means the default. A file that is corrupt,
 * of another version, foreign-owned or writable by others is refused; members
 * it has and this version does not know are passed over.
 *
 * GOV_E_NOT_FOUND   there is none
 * GOV_E_FORMAT      it is no profile; GOV_E_PERMISSION it cannot be trusted */
GOV_API GOV_NODISCARD gov_status gov_device_load(struct gov_device *out,
                                                 const char *path,
                                                 gov_error *err);

/* What anybody should use to plan: probes, and takes figures and graphics
 * processors from the stored profile when there is one of the same machine. A
 * stored profile of a machine that has changed is not used, and `note` (may be
 * NULL) says what changed; the same when there is none or it cannot be read. ""
 * when it is used. Fails as gov_device_probe(). */
GOV_API GOV_NODISCARD gov_status gov_device_current(struct gov_device *out,
                                                    char *note,
                                                    size_t note_bytes,
                                                    gov_error *err);

/* Writes what makes a stored profile one of another machine than `now`: one
 * clause a change ("RAM was 16.0 GiB, now 32.0 GiB; kernel was ..."), "" when
 * it is the same as far as figures go. A memory limit that changed is told, too:
 * what was measured under the old one may be wrong under the new. Returns how
 * many there are. */
GOV_API size_t gov_device_changes(const struct gov_device *stored,
                                  const struct gov_device *now, char *out,
                                  size_t bytes);

/* The profile as JSON text in out, NUL-terminated; the stored format. What is
 * not printable ASCII in a text is written as "?".
 *
 * GOV_E_INVALID  out is too small (64 KiB always suffice), or device was never
 *                probed; GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_device_json(
    const struct gov_device *device, char *out, size_t bytes, gov_error *err);

/* Sets every device.*, gpu.* and budget.* fact that is known, those that follow
 * from figures and graphics processors included. Texts are borrowed from
 * *device. */
GOV_API void gov_device_facts(const struct gov_device *device,
                              struct gov_facts *facts);

#ifdef __cplusplus
}
#endif
#endif
