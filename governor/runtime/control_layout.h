/* SPDX-License-Identifier: MIT */
/* What is sent to a governed process, for both ends: PID.ctl beside its page
 * (page_layout.h), a socket that takes datagrams of one form. */
#ifndef GOV_RUNTIME_CONTROL_LAYOUT_H
#define GOV_RUNTIME_CONTROL_LAYOUT_H

#include <stdbool.h>

#include "policies/level.h"

/* Version 1. Integers are little-endian on every machine. A receiver passes over
 * what it does not know: another version, another kind, another size. */
#define GOV__CONTROL_MAGIC UINT64_C(0x0A4C5443564F47AA) /* 0xAA "GOVCTL\n" */
#define GOV__CONTROL_VERSION 1
#define GOV__CONTROL_BYTES 32

enum gov__control_at {
    GOV__CONTROL_AT_MAGIC = 0,   /* u64 */
    GOV__CONTROL_AT_VERSION = 8, /* u32 */
    GOV__CONTROL_AT_KIND = 12,   /* u32 */
    GOV__CONTROL_AT_PID = 16,    /* u32, who is meant */
    GOV__CONTROL_AT_LEVEL = 20,  /* u32, of policies/level.h */
    GOV__CONTROL_AT_AMOUNT = 24, /* u64 */
};

enum gov__control_kind {
    /* A level, for so many milliseconds; 0: back to real evidence. */
    GOV__CONTROL_SIMULATE = 1,
    /* So many bytes, 0: all, as at a level, which is WARN. */
    GOV__CONTROL_RELIEVE = 2,
};

struct gov__control_order {
    enum gov__control_kind kind;
    gov_level level;
    uint64_t amount;
};

void gov__control_encode(uint8_t bytes[GOV__CONTROL_BYTES], int32_t pid,
                         const struct gov__control_order *order);

/* False for whatever is no order to this process; *out is then untouched. */
bool gov__control_decode(const uint8_t *bytes, size_t size, int32_t pid,
                         struct gov__control_order *out);

#endif
