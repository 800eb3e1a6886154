/* SPDX-License-Identifier: MIT */
/* The bytes of a published page, for the writer, the reader and the fuzzer.
 * docs/page.md is the same in words. */
#ifndef GOV_RUNTIME_PAGE_LAYOUT_H
#define GOV_RUNTIME_PAGE_LAYOUT_H

#include "governor/page.h"

/* Version 2. Integers are little-endian on every machine. Counters have 128
 * slots, as many as the two words of `have` have bits; texts follow each other in
 * the order of GOV_PAGE_TEXT_MAP. What is appended to either map lands in bytes
 * that older writers leave zero and older readers pass over. */
#define GOV__PAGE_MAGIC UINT64_C(0x0A45474150564F47) /* "GOVPAGE\n" */
#define GOV__PAGE_VERSION 2
#define GOV__PAGE_BYTES 8192
#define GOV__PAGE_SLOTS 128

enum gov__page_at {
    /* Of every version, for ever: what a reader needs to know whose page it is. */
    GOV__PAGE_AT_MAGIC = 0,     /* u64 */
    GOV__PAGE_AT_VERSION = 8,   /* u32 */
    GOV__PAGE_AT_SIZE = 12,     /* u32, of the file; GOV__PAGE_BYTES */
    GOV__PAGE_AT_SEQUENCE = 16, /* u64, number of the update */
    GOV__PAGE_AT_PID = 24,      /* u32 */
    GOV__PAGE_AT_ZERO = 28,     /* u32, 0 */
    GOV__PAGE_AT_START = 32,    /* u64, start ticks */
    /* Of version 2. */
    GOV__PAGE_AT_HAVE = 40,     /* 2 x u64, bit n: counter n was set */
    GOV__PAGE_AT_COUNTERS = 64, /* GOV__PAGE_SLOTS x u64 */
    GOV__PAGE_AT_TEXTS = 1088,  /* 2048 bytes */
    GOV__PAGE_AT_ACTIONS = 3136,
    GOV__PAGE_AT_EVENTS = 4416,
    GOV__PAGE_AT_REST = 7872,     /* reserved, 0 */
    GOV__PAGE_AT_CHECKSUM = 8176, /* u64, of all bytes before it */
    GOV__PAGE_AT_TAIL = 8184,     /* u64, the sequence again */
};

/* What every version begins with, and how large one may be. */
#define GOV__PAGE_HEAD_BYTES 40
#define GOV__PAGE_MOST_BYTES 65536

/* Of an action on the page. */
enum gov__page_action_at {
    GOV__ACTION_AT_NAME = 0,        /* 32 bytes */
    GOV__ACTION_AT_FROM_LEVEL = 32, /* u32 */
    GOV__ACTION_AT_FLAGS = 36,      /* u32 */
    GOV__ACTION_AT_RUNS = 40,       /* u32 */
    GOV__ACTION_AT_REST_MS = 44,    /* u32 */
    GOV__ACTION_AT_CLAIMED = 48,    /* u64 */
    GOV__ACTION_AT_YIELD = 56,      /* u64 */
    GOV__ACTION_AT_LAST_YIELD = 64, /* u64 */
    GOV__ACTION_BYTES = 80,         /* the last 8 reserved, 0 */
};

/* Of an event on the page. */
enum gov__page_event_at {
    GOV__EVENT_AT_TIME = 0,   /* u64 */
    GOV__EVENT_AT_KIND = 8,   /* u32 */
    GOV__EVENT_AT_LEVEL = 12, /* u32 */
    GOV__EVENT_AT_YIELD = 16, /* u64 */
    GOV__EVENT_AT_TEXT = 24,  /* 120 bytes */
    GOV__EVENT_BYTES = 144,
};

/* The longest name of a page directory, with the NUL. */
#define GOV__PAGE_PATH_BYTES 1024

/* Big enough for "2147483647.page". */
#define GOV__PAGE_NAME_BYTES 24

/* Where a text of struct gov_page lies in it and on the page. */
struct gov__page_field {
    const char *name;
    size_t offset; /* in struct gov_page */
    size_t at;     /* on the page */
    size_t bytes;  /* with the NUL, the same in both */
};

/* The texts back to back, as on the page. */
struct gov__page_texts {
#define GOV_PAGE_FIELD(id, name, bytes) char id[bytes];
    GOV_PAGE_TEXT_MAP(GOV_PAGE_FIELD)
#undef GOV_PAGE_FIELD
};

/* All texts in order; static. NULL for a number that is none. */
const struct gov__page_field *gov__page_field(gov_page_text text);

/* XXH3, 64 bits, of the bytes before GOV__PAGE_AT_CHECKSUM: against a torn read, not
 * against an enemy. The same number on every machine. */
uint64_t gov__page_checksum(const uint8_t bytes[GOV__PAGE_BYTES]);

enum gov__page_verdict {
    GOV__PAGE_VALID,
    GOV__PAGE_TORN,    /* caught between two updates: read it again */
    GOV__PAGE_FOREIGN, /* no page, or of another version: gov__page_head() */
};

/* Fills *out, except `alive`, from the bytes of a file, whatever they are. *out
 * is untouched unless the verdict is GOV__PAGE_VALID. */
enum gov__page_verdict gov__page_decode(const uint8_t *bytes, size_t size,
                                        struct gov_page *out);

/* Whether these bytes, the first GOV__PAGE_HEAD_BYTES of a file of `size` bytes, are
 * a page of another version. Then *out has its version, pid and start, and in the
 * place of the reason why nothing else. What is read of it an update does not
 * change, so it is whole at any time. */
bool gov__page_head(const uint8_t *bytes, uint64_t size, struct gov_page *out);

/* Opens the directory of the pages (NULL: the default) when it can be trusted:
 * a real directory of this user that nobody else may write. With `make` it is
 * made, 0700, when it is missing. path, of path_bytes, receives its name.
 *
 * GOV_E_NOT_FOUND   it is missing
 * GOV_E_PERMISSION  it cannot be trusted */
gov_status gov__page_directory_open(int *out_fd, const char *directory,
                                    bool make, gov_error *err);

/* Reads the page of one process in an open directory; false when it has none or
 * is dead, and then what a dead one left is removed. */
bool gov__page_find(int directory, int32_t pid, struct gov_page *out);

#endif
