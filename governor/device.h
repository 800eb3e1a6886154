/* SPDX-License-Identifier: MIT */
/* The device: the machine as the governor sees it, container limits included;
 * measured once, stored, and checked against the machine it is used on. */
#ifndef GOV_DEVICE_H
#define GOV_DEVICE_H

#include "policies/facts.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gov_device_have {
    GOV_DEVICE_HAVE_RAM = 1 << 0,
    GOV_DEVICE_HAVE_LIMIT = 1 << 1, /* there is one */
    GOV_DEVICE_HAVE_SWAP = 1 << 2,
    GOV_DEVICE_HAVE_CORES = 1 << 3,
    GOV_DEVICE_HAVE_READ_RATE = 1 << 4,
    GOV_DEVICE_HAVE_FAULT_COST = 1 << 5,
    GOV_DEVICE_HAVE_MEMORY_RATE = 1 << 6,
    GOV_DEVICE_HAVE_GIVE_BACK = 1 << 7,
};

/* Plain data; copy it freely. Members not in `have` are zero and unknown. */
struct gov_device {
    size_t size; /* of the struct, set by the library */
    uint32_t have;
    uint64_t ram_bytes;
    uint64_t limit_bytes; /* cgroup or jetsam; absent when unlimited */
    char limit_source[160];
    /* Charged to the group of the limit by other processes and not droppable;
     * 0 without a limit. */
    uint64_t others_bytes;
    uint64_t reserve_bytes; /* never lent to models */
    uint64_t budget_bytes;  /* min(ram, limit) less reserve less others */
    uint64_t swap_bytes;
    uint64_t page_bytes;
    uint32_t cores;
    char cpu[96];
    char os[16];               /* "linux", "darwin", "other" */
    char system[96];           /* "Linux 6.1.0-18-amd64" */
    char arch[16];             /* "x86_64", "arm64", ... */
    char pressure_backend[64]; /* "PSI (system)", "headroom only", ... */

    /* Measured; `noisy` when the spread is over a quarter of the median. */
    uint64_t read_rate; /* bytes/s, sequential, page cache cold */
    bool read_rate_noisy;
    uint64_t memory_rate; /* bytes/s, sequential read of RAM, one thread */
    bool memory_rate_noisy;
    uint64_t minor_fault_ns; /* first touch of a fresh anonymous page */
    bool minor_fault_noisy;
    uint64_t give_back_us; /* returning 64 MiB and touching it again */
    bool give_back_noisy;
    int64_t measured_at; /* seconds since the epoch; 0 when not measured */
};

/* Returns false to stop. `permille` of the whole, `what` is being done now. */
typedef bool (*gov_progress_fn)(void *ctx, uint32_t permille, const char *what);

/* Gathers the facts the system tells, without measuring: well under a
 * millisecond. The budget is what this process may use in all, what it uses
 * already included; device.c has the rule and its reasons. A fact the system
 * does not tell is left out. On failure *out is zero.
 *
 * GOV_E_INVALID  out is NULL
 * GOV_E_IO       there may be a memory limit, and it cannot be read */
GOV_API GOV_NODISCARD gov_status gov_device_probe(struct gov_device *out,
                                                  gov_error *err);

/* Adds measurements, in under two seconds, on the file system of `directory`
 * (NULL: $TMPDIR, else /var/tmp, which is on storage where /tmp is often in
 * memory): a scratch file of up to 256 MiB is written there, already without a
 * name. progress may be NULL; it is called on this thread every few
 * milliseconds. A measurement that fails is left out, and *err (when given)
 * says which; err->message is "" when all succeeded. Slow: not on a UI thread.
 * Two seconds are no promise on storage that answers no request for longer.
 *
 * GOV_E_INVALID    device is NULL or was never probed
 * GOV_E_CANCELLED  progress returned false; nothing is left behind and *device
 *                  is as it was */
GOV_API GOV_NODISCARD gov_status gov_device_measure(struct gov_device *device,
                                                    const char *directory,
                                                    gov_progress_fn progress,
                                                    void *progress_ctx,
                                                    gov_error *err);

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

/* What anybody should use to plan: probes, and takes the measurements from the
 * stored profile when there is one of the same machine. A stored profile of a
 * machine that has changed is not used, and `note` (may be NULL) says what
 * changed; the same when there is none or it cannot be read. "" when it is
 * used. Fails as gov_device_probe(). */
GOV_API GOV_NODISCARD gov_status gov_device_current(struct gov_device *out,
                                                    char *note,
                                                    size_t note_bytes,
                                                    gov_error *err);

/* The profile as JSON text in out, NUL-terminated; the stored format.
 *
 * GOV_E_INVALID  out is too small (8 KiB always suffices), device was never
 *                probed, or one of its texts is not UTF-8; GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_device_json(
    const struct gov_device *device, char *out, size_t bytes, gov_error *err);

/* Sets every device.* and budget.* fact that is known. Texts are borrowed from
 * *device. */
GOV_API void gov_device_facts(const struct gov_device *device,
                              struct gov_facts *facts);

#ifdef __cplusplus
}
#endif
#endif
