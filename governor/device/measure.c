/* SPDX-License-Identifier: MIT */
/* Owns what can only be known by trying: in which order it is tried, in how much
 * memory, what becomes of the samples, and how it ends. Keeps inside boxes of
 * time and leaves nothing behind. Never stores what it finds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "governor/device/measure_priv.h"

#define BUFFER_BYTES (64 * GOV__MIB)
#define OPTIONS_BYTES_MAX 4096 /* larger is garbage, not a newer version */

/* ---- time and progress --------------------------------------------------- */

uint64_t gov__measure_now(const struct gov__measuring *m)
{
    return m->platform->now_us(m->platform->ctx);
}

bool gov__measure_go_on(struct gov__measuring *m, uint64_t permille,
                        const char *what)
{
    if (m->cancelled)
        return false;
    if (permille > m->permille)
        m->permille = (uint32_t)permille;
    if (m->progress != NULL)
        m->cancelled = !m->progress(m->progress_ctx, m->permille, what);
    return !m->cancelled;
}

/* ---- figures ------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

uint64_t gov__measure_rate(uint64_t bytes, uint64_t us)
{
    return bytes * 1000000 / (us > 0 ? us : 1);
}

void gov__measure_known(struct gov__measuring *m, gov_figure figure,
                        uint64_t *samples, size_t count)
{
    struct gov_device_figure *f = &m->device->figures[figure];

    for (size_t i = 0; i < count; i++)
        if (samples[i] == 0) /* a clock too coarse; 0 would read as none */
            samples[i] = 1;
    qsort(samples, count, sizeof(samples[0]), compare);
    f->known = true;
    f->samples = (uint32_t)count;
    f->low = samples[0];
    f->median = samples[count / 2];
    f->high = samples[count - 1];
    f->noisy = f->high - f->low > f->median / 4;
    f->note[0] = '\0';
}

void gov__measure_note(struct gov__measuring *m, gov_figure figure, int error,
                       const char *why)
{
    struct gov_device_figure *f = &m->device->figures[figure];
    gov_error one;

    (void)gov_fail(&one, GOV_E_IO, error, "%s", why);
    gov__copy_printable(f->note, sizeof(f->note), one.message);
}

static bool is_wanted(const struct gov__measuring *m, unsigned figure)
{
    return m->full || !gov_figure_info((gov_figure)figure)->full;
}

/* What an older run found does not survive beside what this one finds. */
static void forget(struct gov__measuring *m)
{
    memset(m->device->figures, 0, sizeof(m->device->figures));
    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++)
        gov__measure_note(m, (gov_figure)i, 0,
                          is_wanted(m, i) ? "not measured"
                                          : "left out of a quick run");
    m->device->measured_full = m->full;
    m->device->measured_at = 0;
    m->device->measured_on[0] = '\0';
}

/* ---- what was left out --------------------------------------------------- */

static void append(gov_error *err, const char *separator, const char *text)
{
    size_t used = strlen(err->message);

    snprintf(err->message + used, sizeof(err->message) - used, "%s%s",
             used > 0 ? separator : "", text);
}

/* One clause for all figures that miss for the same reason: "read.direct,
 * read.io_uring not measured: why". */
static void tell_missing(const struct gov__measuring *m, gov_error *err)
{
    const struct gov_device_figure *f = m->device->figures;
    bool told[GOV_FIGURE_COUNT] = {false};

    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++) {
        const char *separator = "; ";

        if (told[i] || f[i].known || !is_wanted(m, i))
            continue;
        for (unsigned j = i; j < GOV_FIGURE_COUNT; j++) {
            if (f[j].known || !is_wanted(m, j) ||
                strcmp(f[j].note, f[i].note) != 0)
                continue;
            told[j] = true;
            append(err, separator, gov_figure_info((gov_figure)j)->name);
            separator = ", ";
        }
        append(err, "", " not measured: ");
        append(err, "", f[i].note);
        err->status = GOV_E_IO;
    }
}

/* ---- memory to measure with ---------------------------------------------- */

static uint64_t left_bytes(const struct gov_platform *platform)
{
    struct gov__machine machine;
    struct gov__limit limit;
    uint64_t left = UINT64_MAX;
    int error = platform->limit(platform->ctx, &limit);

    if (error == 0 && limit.limit_bytes != UINT64_MAX)
        left = gov__less(
            gov__less(limit.limit_bytes,
                      gov__less(limit.used_bytes, limit.used_file_bytes)),
            limit.short_bytes);
    else if (error != 0 && error != ENOTSUP)
        left = 0; /* there may be one */
    /* Where what is available is not told, a quarter may be. */
    if (platform->machine(platform->ctx, &machine) == 0) {
        if (machine.available_bytes == 0)
            machine.available_bytes = machine.total_bytes / 4;
        if (machine.available_bytes < left)
            left = machine.available_bytes;
    }
    return left;
}

/* An eighth of what may still be used at most: measuring must not be what gets
 * the app killed. At least 1 MiB, without which nothing can be done. */
static size_t buffer_bytes(const struct gov__measuring *m)
{
    uint64_t bytes = m->left_bytes / 8;

    if (bytes > BUFFER_BYTES)
        bytes = BUFFER_BYTES;
    bytes -= bytes % GOV__MIB;
    return (size_t)(bytes > GOV__MIB ? bytes : GOV__MIB);
}

/* ---- the whole ----------------------------------------------------------- */

/* Storage before the rest of memory: its buffer is touched by then, and what
 * memory is given back was not in use by the page cache. */
static void measure_figures(struct gov__measuring *m, const char *directory)
{
    const struct gov_platform *platform = m->platform;
    void *buffer = NULL;
    uint64_t first_ns;
    int error;

    if (!gov__measure_go_on(m, 0, "touching memory"))
        return;
    m->buffer_bytes = buffer_bytes(m);
    error = platform->map(platform->ctx, m->buffer_bytes, "governor measure",
                          &buffer);
    if (error != 0) {
        for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++)
            if (is_wanted(m, i))
                gov__measure_note(m, (gov_figure)i, error,
                                  "no memory to measure with");
        return;
    }
    m->buffer = buffer;
    first_ns = gov__measure_touch(m);
    gov__measure_storage(m, directory);
    if (!m->cancelled)
        gov__measure_memory(m, first_ns);
    (void)platform->unmap(platform->ctx, buffer, m->buffer_bytes);
}

static gov_status ask_drivers(struct gov__measuring *m, gov_drivers how,
                              gov_error *err)
{
    switch (how) {
    case GOV_DRIVERS_HERE:
        return gov__device_gpus(m->platform, m->device, err);
    case GOV_DRIVERS_IN_CHILD:
        return gov__measure_drivers(m, err);
    case GOV_DRIVERS_NOT:
        break;
    }
    memset(m->device->gpus, 0, sizeof(m->device->gpus));
    m->device->gpu_count = 0;
    gov__device_unknown(m->device, GOV_FACT_GPU_COUNT,
                        "drivers were not asked");
    return GOV_OK;
}

gov_status gov__device_measure(const struct gov_platform *platform,
                               struct gov_device *device,
                               const struct gov_measure_options *options,
                               gov_error *err)
{
    struct gov_device copy;
    struct gov__measuring m = {.platform = platform,
                               .device = &copy,
                               .full = options->full,
                               .progress = options->progress,
                               .progress_ctx = options->progress_ctx};
    gov_error missing = {0}, gpus = {0};

    if (device == NULL || device->size != sizeof(*device))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the device was never probed; call gov_device_probe() "
                        "first");
    copy = *device;
    forget(&m);
    m.left_bytes = left_bytes(platform);
    measure_figures(&m, options->directory);
    if (gov__measure_go_on(&m, GOV__ASKING, "asking graphics drivers") &&
        ask_drivers(&m, options->drivers, &gpus) != GOV_OK)
        missing = gpus;
    if (!gov__measure_go_on(&m, 1000, "done"))
        return gov_fail(err, GOV_E_CANCELLED, 0,
                        "measuring was cancelled; nothing was kept");
    tell_missing(&m, &missing);
    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++)
        if (copy.figures[i].known)
            copy.measured_at = (int64_t)time(NULL);
    gov__device_tier(&copy);
    *device = copy;
    if (err != NULL)
        *err = missing;
    return GOV_OK;
}

static gov_status read_options(struct gov_measure_options *out,
                               const struct gov_measure_options *in,
                               gov_error *err)
{
    const unsigned char *bytes = (const unsigned char *)in;

    memset(out, 0, sizeof(*out));
    if (in == NULL)
        return GOV_OK;
    if (in->size < sizeof(in->size) || in->size > OPTIONS_BYTES_MAX)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "measure options of %zu bytes are none; set size to "
                        "sizeof(struct gov_measure_options)",
                        in->size);
    for (size_t i = sizeof(*out); i < in->size; i++)
        if (bytes[i] != 0)
            return gov_fail(err, GOV_E_INVALID, 0,
                            "the measure options are of a newer version; "
                            "leave what this library does not know at 0");
    memcpy(out, in, in->size < sizeof(*out) ? in->size : sizeof(*out));
    if ((unsigned)out->drivers > GOV_DRIVERS_NOT)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "there is no way %u to ask graphics drivers; see enum "
                        "gov_drivers",
                        (unsigned)out->drivers);
    return GOV_OK;
}

gov_status gov_device_measure(struct gov_device *device,
                              const struct gov_measure_options *options,
                              gov_error *err)
{
    struct gov_measure_options own;
    gov_status status = read_options(&own, options, err);

    if (status != GOV_OK)
        return status;
    if (own.directory ==
        NULL) /* NOLINTNEXTLINE(concurrency-mt-unsafe): reads */
        own.directory = getenv("TMPDIR");
    if (own.directory == NULL || own.directory[0] == '\0')
        own.directory = "/var/tmp";
    return gov__device_measure(gov__platform_native(), device, &own, err);
}
