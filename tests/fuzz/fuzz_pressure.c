/* SPDX-License-Identifier: MIT */
/* Whatever the kernel's files of pressure, and a service manager's variables, hold:
 * the first byte says which reader gets the rest. Linux only. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_watch.h"
#include "tests/fuzz/promises.h"

#pragma weak gov__psi_parse
#pragma weak gov__base64
#pragma weak gov__events_hits
#pragma weak gov__trigger_set
#pragma weak gov__file_numbers

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_psi(const char *text)
{
    struct gov__psi a, b;
    bool first = gov__psi_parse(text, &a);

    memset(&b, 0xAA, sizeof(b));
    must(gov__psi_parse(text, &b) == first, "the same text says the same");
    must(a.some_us == b.some_us && a.full_us == b.full_us &&
             a.some_permille == b.some_permille,
         "and all of it is set");
    must(a.some_permille <= 1000, "a share is no more than all");
    must(!first || strstr(text, "some ") != NULL, "a total has its line");
}

static void read_base64(const char *text)
{
    unsigned char out[GOV__TRIGGER_BYTES], less[8];
    size_t bytes = 0, few = 0;
    bool fits = gov__base64(text, out, sizeof(out), &bytes);

    must(!fits || bytes <= sizeof(out), "no more than there is room for");
    must(!fits || strlen(text) % 4 == 0, "whole groups only");
    must(!fits || (bytes + 2) / 3 == strlen(text) / 4, "three bytes of four");
    must(gov__base64(text, less, sizeof(less), &few) ==
             (fits && bytes <= sizeof(less)),
         "what does not fit is refused");
}

static void read_order(const uint8_t *data, size_t size)
{
    struct gov__trigger trigger;

    if (size > GOV__TRIGGER_BYTES)
        size = GOV__TRIGGER_BYTES;
    gov__trigger_set(&trigger, data, size);
    must(trigger.bytes == size &&
             (size == 0 || memcmp(trigger.text, data, size) == 0),
         "what is to be written stays");
    must(trigger.stall_us == 0 || size >= 8, "a threshold takes some text");
}

static void read_file(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {
        "MemTotal:", "MemAvailable:", "workingset_refault_file ", ""};
    uint64_t out[4] = {1, 2, 3, 4}, one = 5;
    bool have[4], had;
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0)
        return;
    must(write(fd, data, size) == (ssize_t)size, "it is written");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    must(gov__file_numbers(NULL, path, keys, 4, out, have) == 0, "it is read");
    for (size_t i = 0; i < 4; i++) {
        must(have[i] || out[i] == i + 1, "what is not there stays");
        must(gov__file_numbers(NULL, path, &keys[i], 1, &one, &had) == 0 &&
                 had == have[i] && (!had || one == out[i]),
             "together as alone");
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size == 0 || gov__psi_parse == NULL)
        return 0;
    /* Exactly as large as the text: a sanitizer sees one byte over. */
    text = malloc(size);
    must(text != NULL, "there is memory");
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0]) {
    case 'p':
        read_psi(text);
        break;
    case 'b':
        read_base64(text);
        break;
    case 'e':
        must(strpbrk(text, "123456789") != NULL || gov__events_hits(text) == 0,
             "nothing comes of nothing");
        break;
    case 't':
        read_order(data + 1, size - 1);
        break;
    case 'f':
        read_file(data + 1, size - 1);
        break;
    default:
        break;
    }
    free(text);
    return 0;
}
