/* SPDX-License-Identifier: MIT */
/* Graphics processors as the kernel's drivers show them below
 * <root>/sys/class/drm/cardN/device. Reads files; loads nothing and wakes no
 * processor that sleeps. */
#include "governor/platform/gpu_drivers.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "governor/platform/linux_lines.h"

enum {
    CARDS = 128, /* for long there were at most 64 */
    TILES = 8,   /* of one Intel processor; two were built */
};

struct card {
    const char *root;
    char path[512]; /* <root>/sys/class/drm/cardN/device */
    char driver[32], id[24];
    struct gov__gpu *out;
    int rc; /* why a file could not be looked for; 0 while all is well */
};

/* What is not there is not told; being short of descriptors or memory says
 * nothing about the file. */
static void note(struct card *card, int error)
{
    if (error == EMFILE || error == ENFILE || error == ENOMEM)
        card->rc = error;
}

/* The figure of a file below the first bytes of the card's path; 0 when it is not
 * told. */
static uint64_t number_below(struct card *card, size_t bytes, const char *file)
{
    char path[sizeof(card->path) + 64];
    uint64_t n = 0;
    int rc;

    snprintf(path, sizeof(path), "%.*s/%s", (int)bytes, card->path, file);
    rc = gov__file_number(path, "", &n);
    note(card, rc);
    return rc == 0 ? n : 0;
}

static uint64_t number(struct card *card, const char *file)
{
    return number_below(card, strlen(card->path), file);
}

/* The first line of a file of the card; "" when it is not told. */
static void line_of(struct card *card, const char *file, char *out,
                    size_t bytes)
{
    char path[sizeof(card->path) + 300];
    struct gov__lines lines;
    const char *line;
    int rc;

    out[0] = '\0';
    snprintf(path, sizeof(path), "%s/%s", card->path, file);
    rc = gov__lines_open(&lines, path);
    note(card, rc);
    if (rc != 0)
        return;
    line = gov__lines_next(&lines);
    if (line != NULL)
        snprintf(out, bytes, "%s", line);
    gov__lines_close(&lines);
}

/* Writes "DIRECTORY/ENTRY" of the first entry that starts so; false when none
 * does. */
static bool child(struct card *card, const char *directory, const char *start,
                  char out[280])
{
    char path[sizeof(card->path) + 32];
    const struct dirent *entry;
    DIR *open;

    out[0] = '\0';
    snprintf(path, sizeof(path), "%s/%s", card->path, directory);
    open = opendir(path);
    if (open == NULL) {
        note(card, errno);
        return false;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own */
    while ((entry = readdir(open)) != NULL && out[0] == '\0')
        if (strncmp(entry->d_name, start, strlen(start)) == 0)
            snprintf(out, 280, "%s/%s", directory, entry->d_name);
    closedir(open);
    return out[0] != '\0';
}

/* A container sees every card of its host and can use those alone whose node it
 * was given. */
static bool usable(struct card *card)
{
    char node[280], path[sizeof(card->path) + 300];

    if (!child(card, "drm", "renderD", node))
        return false;
    snprintf(path, sizeof(path), "%s/dev/dri/%s", card->root,
             node + strlen("drm/"));
    return access(path, R_OK | W_OK) == 0;
}

/* Keys are those of the kernel's uevent files, each ending in '='. */
static bool value_of(const char *line, const char *key, char *out, size_t bytes)
{
    size_t length = strlen(key);

    if (strncmp(line, key, length) != 0)
        return false;
    snprintf(out, bytes, "%s", line + length);
    return true;
}

/* False when there is no such card. */
static bool read_identity(struct card *card)
{
    char path[sizeof(card->path) + 16], *line;
    struct gov__lines lines;
    int rc;

    snprintf(path, sizeof(path), "%s/uevent", card->path);
    rc = gov__lines_open(&lines, path);
    note(card, rc);
    if (rc != 0)
        return false;
    while ((line = gov__lines_next(&lines)) != NULL)
        (void)(value_of(line, "DRIVER=", card->driver, sizeof(card->driver)) ||
               value_of(line, "PCI_ID=", card->id, sizeof(card->id)) ||
               value_of(line, "PCI_SLOT_NAME=", card->out->bus,
                        sizeof(card->out->bus)));
    gov__lines_close(&lines);
    return true;
}

/* ---- drivers ---------------------------------------------------------------- */

/* https://docs.kernel.org/gpu/amdgpu/driver-misc.html. "vram" of a processor
 * within the CPU is a part of RAM that the firmware keeps from the system, often
 * 512 MiB; engines use "gtt", which is RAM. Only these have a voltage of the
 * northbridge: https://docs.kernel.org/gpu/amdgpu/thermal.html. */
static void read_amdgpu(struct card *card)
{
    struct gov__gpu *out = card->out;
    char file[300], hwmon[280], label[8] = "", name[sizeof(out->name)];

    if (child(card, "hwmon", "hwmon", hwmon)) {
        snprintf(file, sizeof(file), "%s/in1_label", hwmon);
        line_of(card, file, label, sizeof(label));
    }
    out->shares_ram = strcmp(label, "vddnb") == 0;
    if (out->shares_ram) {
        out->used_bytes = number(card, "mem_info_gtt_used");
        out->working_set_bytes =
            gov__less(number(card, "mem_info_gtt_total"), out->used_bytes);
    } else {
        out->memory_bytes = number(card, "mem_info_vram_total");
        out->used_bytes = number(card, "mem_info_vram_used");
    }
    /* Server cards have it on a chip of theirs. */
    line_of(card, "product_name", name, sizeof(name));
    if (name[0] != '\0')
        snprintf(out->name, sizeof(out->name), "%s", name);
}

/* The one within the CPU is the second device of bus 0 on every Intel chip. */
static void read_intel(struct card *card)
{
    struct gov__gpu *out = card->out;

    out->shares_ram =
        out->memory_bytes == 0 && strcmp(out->bus, "0000:00:02.0") == 0;
}

static void read_xe(struct card *card)
{
    for (int i = 0; i < TILES; i++) {
        char file[48];

        snprintf(file, sizeof(file), "tile%d/physical_vram_size_bytes", i);
        card->out->memory_bytes += number(card, file);
    }
    read_intel(card);
}

/* Only Intel's own builds of i915 have these files; there they are the card's,
 * not its device's, which is a link: ".." would be the bus. */
static void read_i915(struct card *card)
{
    const size_t own = strlen(card->path) - strlen("/device");
    uint64_t total = number_below(card, own, "lmem_total_bytes"),
             free = number_below(card, own, "lmem_avail_bytes");

    card->out->memory_bytes = total;
    if (free != 0)
        card->out->used_bytes = gov__less(total, free);
    read_intel(card);
}

static void read_within_cpu(struct card *card)
{
    card->out->shares_ram = true;
}

/* Those that can compute. Others only drive a screen (ast, simpledrm, vkms) or
 * are a window on the host's (virtio_gpu). NVIDIA's own driver shows nothing
 * here, and NVML knows which of its cards may be used. */
static const struct {
    const char *name;
    void (*read)(struct card *card);
} drivers[] = {
    {"amdgpu", read_amdgpu},
    {"xe", read_xe},
    {"i915", read_i915},
    {"nouveau", NULL},
    {"radeon", NULL},
    {"asahi", read_within_cpu},
    {"panthor", read_within_cpu},
    {"panfrost", read_within_cpu},
    {"v3d", read_within_cpu},
    {"powervr", read_within_cpu},
};

/* Fills card->out; false when the card is none that counts. */
static bool read_card(struct card *card)
{
    struct gov__gpu *out = card->out;

    memset(out, 0, sizeof(*out));
    if (!read_identity(card))
        return false;
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        if (strcmp(card->driver, drivers[i].name) != 0)
            continue;
        if (!usable(card))
            return false;
        snprintf(out->name, sizeof(out->name), "%s%s%s", card->driver,
                 card->id[0] != '\0' ? " " : "", card->id);
        snprintf(out->source, sizeof(out->source), "DRM, %s", card->driver);
        if (drivers[i].read != NULL)
            drivers[i].read(card);
        return true;
    }
    return false;
}

int gov__drm_read(const char *root, struct gov__gpu *out, size_t max,
                  size_t *count)
{
    size_t n = 0;

    *count = 0;
    for (int i = 0; i < CARDS && n < max; i++) {
        struct card card = {.root = root, .out = &out[n]};
        int length = snprintf(card.path, sizeof(card.path),
                              "%s/sys/class/drm/card%d/device", root, i);

        if (length < 0 || (size_t)length >= sizeof(card.path))
            return ENAMETOOLONG;
        if (read_card(&card))
            n++;
        if (card.rc != 0)
            return card.rc;
    }
    *count = n;
    return 0;
}
