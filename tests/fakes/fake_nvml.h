/* SPDX-License-Identifier: MIT */
/* What fake_nvml.c answers. A test opens the library, changes the script that it
 * exports as `fake_nvml`, and asks. */
#ifndef GOV_TESTS_FAKE_NVML_H
#define GOV_TESTS_FAKE_NVML_H

#include <stdbool.h>

enum fake_nvml_call {
    FAKE_NVML_INIT,
    FAKE_NVML_COUNT,
    FAKE_NVML_HANDLE,
    FAKE_NVML_NAME,
    FAKE_NVML_PCI,
    FAKE_NVML_MEMORY,
    FAKE_NVML_MIG_MODE,
    FAKE_NVML_MIG_COUNT,
    FAKE_NVML_MIG_HANDLE,
    FAKE_NVML_CALLS
};

struct fake_nvml_script {
    int rc[FAKE_NVML_CALLS]; /* what each call returns; 0 is success */
    unsigned count;          /* what it says there are */
    unsigned mig_of;         /* 1 + index of the one that is cut up; 0: none */
    unsigned mig_count;
    const char *error; /* the text of any error; NULL: it has none */
    bool endless;      /* texts fill their room without a NUL */
    bool null_handles; /* success, and no handle */
    bool null_migs;    /* the same for instances */
    unsigned long long total, used;
    int opened; /* calls of init less those of shutdown */
};

#endif
