/* SPDX-License-Identifier: MIT */
/* Processes that run models and are not governed, from what the kernel tells of
 * them: so that a viewer shows who else takes the machine's memory. */
#ifndef GOV_PROCESSES_H
#define GOV_PROCESSES_H

#include <stdbool.h>

#include "policies/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Figures are UINT64_MAX where the kernel does not tell this user. */
struct gov_process {
    size_t size; /* of the struct, set by the library */
    int32_t pid;
    uint64_t start_ticks; /* as the page's */
    char name[32];        /* "llama-server", "ollama": printable */
    char model[96]; /* the file's name, of the largest model it maps; or "" */
    uint64_t footprint_bytes; /* anonymous memory in RAM and in swap */
    /* Whether footprint_bytes is the kernel's own sum (smaps_rollup), or its running
     * estimate, which may be off by some pages a thread. */
    bool exact;
    uint64_t swap_bytes;
    uint64_t resident_file_bytes;   /* file pages it maps, droppable */
    uint64_t mapped_bytes;          /* size of the model files it maps */
    uint64_t mapped_resident_bytes; /* of those, in memory: its own view */
    uint64_t major_faults, minor_faults, read_bytes; /* totals */
};

/* Writes those that map a model file (.gguf, .safetensors, a blob of Ollama's) or have
 * the name of a known engine, at most `room`, the lowest pids first; *count is how many
 * were written. `pass` pids in `passed` are left out: those that the caller shows
 * already. Those of other users as far as the kernel tells: their names and sizes, not
 * what they map. One without a known name is found only while it has 64 MiB in memory.
 * Takes milliseconds (a look at each process of the system, at each page that such a
 * process has in memory); any thread. Does not wait for a process whose main thread is
 * stuck in the kernel, of which little is known then.
 *
 * GOV_E_UNSUPPORTED  this system does not tell (yet: everything but Linux)
 * GOV_E_NOMEM, GOV_E_IO */
GOV_API GOV_NODISCARD gov_status gov_process_list(struct gov_process *out,
                                                  size_t room, size_t *count,
                                                  const int32_t *passed,
                                                  size_t pass, gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
