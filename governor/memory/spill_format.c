/* SPDX-License-Identifier: MIT */
/* The format of a stored state: names, sums, the trailer. Believes no length. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL /* its state on the stack, whatever version comes later */
#include <xxhash.h>

#include "governor/memory/spill_store.h"

#define MAGIC UINT64_C(0x4c4c495053564f47) /* "GOVSPILL" */
#define VERSION 1

bool gov__spill_name_ok(const char *name)
{
    const size_t bytes = name == NULL ? 0 : strlen(name);

    return bytes > 0 && bytes < GOV_SPILL_NAME_BYTES;
}

void gov__spill_file_of(const char *name, char out[GOV__SPILL_FILE])
{
    const XXH128_hash_t hash = XXH3_128bits(name, strlen(name));

    snprintf(out, GOV__SPILL_FILE, "%016llx%016llx.state",
             (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

/* ---- the trailer ----------------------------------------------------------------- */

void gov__spill_seal(struct gov__spill_trailer *trailer)
{
    trailer->magic = MAGIC;
    trailer->version = VERSION;
    trailer->bytes = sizeof(*trailer);
    trailer->own_sum =
        XXH3_64bits(trailer, offsetof(struct gov__spill_trailer, own_sum));
}

gov_status gov__spill_parse(const void *bytes, uint64_t file_bytes,
                            struct gov__spill_trailer *out)
{
    uint64_t left;

    memcpy(out, bytes, sizeof(*out));
    if (file_bytes < sizeof(*out) || out->magic != MAGIC)
        return GOV_E_FORMAT;
    if (out->own_sum !=
        XXH3_64bits(out, offsetof(struct gov__spill_trailer, own_sum)))
        return GOV_E_FORMAT;
    if (out->version != VERSION || out->bytes != sizeof(*out))
        return GOV_E_UNSUPPORTED;
    left = file_bytes - sizeof(*out);
    if (out->name_bytes == 0 || out->name_bytes >= GOV_SPILL_NAME_BYTES ||
        out->note_bytes > GOV_SPILL_NOTE_BYTES || out->state_bytes > left ||
        out->note_bytes > left - out->state_bytes ||
        out->name_bytes != left - out->state_bytes - out->note_bytes)
        return GOV_E_FORMAT;
    return GOV_OK;
}

/* ---- sums ------------------------------------------------------------------------- */

int gov__spill_pread(int fd, void *out, size_t bytes, uint64_t at)
{
    size_t done = 0;

    while (done < bytes) {
        const ssize_t n =
            pread(fd, (char *)out + done, bytes - done, (off_t)(at + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return EIO; /* it became shorter */
        done += (size_t)n;
    }
    return 0;
}

static void told(const XXH3_state_t *state, struct gov__spill_sum *out)
{
    const XXH128_hash_t hash = XXH3_128bits_digest(state);

    out->half[0] = hash.low64;
    out->half[1] = hash.high64;
}

/* Reads in whole chunks, as direct reads want, which may end behind the file's end. */
int gov__spill_sum_of(int fd, void *chunk, uint32_t grain, uint64_t at,
                      uint64_t bytes, struct gov__spill_sum *out)
{
    const uint64_t end = at + bytes;
    XXH3_state_t state;

    (void)XXH3_128bits_reset(&state);
    while (at < end) {
        const uint64_t from = at / grain * grain;
        const size_t skip = (size_t)(at - from);
        const ssize_t n = pread(fd, chunk, GOV__SPILL_CHUNK, (off_t)from);
        size_t got;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if ((size_t)n <= skip)
            return EIO; /* it became shorter, or less than a grain was read */
        got = (size_t)n - skip;
        if (got > end - at)
            got = (size_t)(end - at);
        (void)XXH3_128bits_update(&state, (char *)chunk + skip, got);
        at += got;
    }
    told(&state, out);
    return 0;
}

void gov__spill_sum_two(const void *a, size_t a_bytes, const void *b,
                        size_t b_bytes, struct gov__spill_sum *out)
{
    XXH3_state_t state;

    (void)XXH3_128bits_reset(&state);
    if (a_bytes > 0)
        (void)XXH3_128bits_update(&state, a, a_bytes);
    (void)XXH3_128bits_update(&state, b, b_bytes);
    told(&state, out);
}

gov_status gov__spill_say(gov_status status, gov_error *err)
{
    if (status == GOV_OK || err == NULL)
        return status;
    for (char *at = err->message; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            *at = '?';
    return status;
}

void *gov__spill_chunk(const gov_spill *spill)
{
    void *chunk = NULL;

    return spill->platform->map(spill->platform->ctx, GOV__SPILL_CHUNK, "spill",
                                &chunk) == 0
               ? chunk
               : NULL;
}

void gov__spill_chunk_free(const gov_spill *spill, void *chunk)
{
    if (chunk != NULL)
        gov__unmap(spill->platform, chunk, GOV__SPILL_CHUNK);
}
