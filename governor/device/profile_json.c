/* SPDX-License-Identifier: MIT */
/* Owns the text of a profile: a device as JSON, and back. Reading trusts
 * nothing: not one type, not one range. Touches no file. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "governor/device/device_priv.h"

#define PROFILE_FORMAT "governor device profile"
#define PROFILE_VERSION 2

#define PIB ((uint64_t)1 << 50)
#define MAX_BYTES (64 * PIB)
#define MAX_RATE PIB                   /* bytes a second */
#define MAX_NS UINT64_C(1000000000000) /* a quarter of an hour */
#define MAX_TIME ((uint64_t)1 << 40)   /* seconds; the year 36812 */
#define MAX_COUNT UINT64_C(0xffffffff) /* of samples */
#define AGAIN "; run gov profile again"

/* ---- writing ---------------------------------------------------------------- */

/* As printable ASCII, which makes the size of a profile foreseeable: at most two
 * bytes for one. `room` is that of the array, whose text need not end. */
static json_t *text_value(const char *text, size_t room)
{
    char printable[256];

    if (room > sizeof(printable))
        room = sizeof(printable);
    memcpy(printable, text, room);
    printable[room - 1] = '\0';
    gov__make_printable(printable);
    return json_string(printable);
}

#define TEXT_VALUE(array) text_value(array, sizeof(array))

static json_t *number_value(bool known, uint64_t n)
{
    if (!known)
        return json_null();
    return json_integer((json_int_t)(n < INT64_MAX ? n : INT64_MAX));
}

static json_t *fact_value(const struct gov_device_fact *at)
{
    const struct gov_fact_info *info = gov_fact_info(at->fact);
    json_t *value;

    if (at->known && info->type == GOV_TYPE_TEXT)
        value = TEXT_VALUE(at->text);
    else if (at->known && info->type == GOV_TYPE_FLAG)
        value = json_boolean(at->number != 0);
    else
        value = number_value(at->known, at->number);
    return json_pack("{s:o, s:o}", "value", value, "source",
                     TEXT_VALUE(at->source));
}

static json_t *facts_value(const struct gov_device *device)
{
    json_t *facts = json_object();

    for (uint32_t i = 0; i < device->fact_count && i < GOV_DEVICE_FACTS; i++) {
        const struct gov_device_fact *at = &device->facts[i];

        /* Once, as gov_device_fact() has it. */
        if (gov__device_lists(at->fact) &&
            gov_device_fact(device, at->fact) == at &&
            json_object_set_new(facts, gov_fact_info(at->fact)->name,
                                fact_value(at)) != 0) {
            json_decref(facts);
            return NULL;
        }
    }
    return facts;
}

static json_t *figure_value(const struct gov_device_figure *at)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:b, s:o}", "median",
                     number_value(at->known, at->median), "low",
                     number_value(at->known, at->low), "high",
                     number_value(at->known, at->high), "samples",
                     (json_int_t)at->samples, "noisy", (int)at->noisy, "note",
                     TEXT_VALUE(at->note));
}

static json_t *figures_value(const struct gov_device *device)
{
    json_t *figures = json_object();

    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++)
        if (json_object_set_new(figures, gov_figure_info((gov_figure)i)->name,
                                figure_value(&device->figures[i])) != 0) {
            json_decref(figures);
            return NULL;
        }
    return figures;
}

static json_t *gpu_value(const struct gov_gpu *at)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o}", "name",
        TEXT_VALUE(at->name), "bus", TEXT_VALUE(at->bus), "memory_bytes",
        number_value(at->memory_bytes != 0, at->memory_bytes),
        "working_set_bytes",
        number_value(at->working_set_bytes != 0, at->working_set_bytes),
        "used_bytes", number_value(at->used_bytes != 0, at->used_bytes),
        "shares_ram", (int)at->shares_ram, "software", (int)at->software,
        "source", TEXT_VALUE(at->source));
}

static json_t *gpus_value(const struct gov_device *device)
{
    json_t *gpus = json_array();

    for (uint32_t i = 0; i < device->gpu_count && i < GOV_DEVICE_GPUS; i++)
        if (json_array_append_new(gpus, gpu_value(&device->gpus[i])) != 0) {
            json_decref(gpus);
            return NULL;
        }
    return gpus;
}

gov_status gov_device_json(const struct gov_device *device, char *out,
                           size_t bytes, gov_error *err)
{
    json_t *root;
    size_t length = 0;

    if (device == NULL || device->size != sizeof(*device))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the device was never probed; call gov_device_probe() "
                        "first");
    /* json_pack() takes the parts even when it fails, and fails when one of
     * them is NULL. */
    root =
        json_pack("{s:s, s:i, s:I, s:o, s:b, s:o, s:o, s:o}", "format",
                  PROFILE_FORMAT, "version", PROFILE_VERSION, "measured_at_s",
                  (json_int_t)device->measured_at, "measured_on",
                  TEXT_VALUE(device->measured_on), "measured_full",
                  (int)device->measured_full, "facts", facts_value(device),
                  "figures", figures_value(device), "gpus", gpus_value(device));
    if (root != NULL)
        length = json_dumpb(root, out, bytes, JSON_INDENT(2));
    json_decref(root);
    if (length == 0)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for the profile");
    if (length >= bytes)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the profile takes %zu bytes and the buffer has %zu",
                        length + 1, bytes);
    out[length] = '\0';
    return GOV_OK;
}

/* ---- reading ------------------------------------------------------------------ */

/* Where reading is. The first thing that is wrong stops it. */
struct reader {
    const char *path; /* of the file, for messages */
    const char *part; /* "" or the fact or figure that is read */
    gov_error *err;
    gov_status status;
};

static bool wrong(struct reader *reader, const char *name, const char *what)
{
    if (reader->status == GOV_OK)
        reader->status =
            gov_fail(reader->err, GOV_E_FORMAT, 0, "profile %s: %s%s%s %s%s",
                     reader->path, reader->part,
                     reader->part[0] != '\0' && name[0] != '\0' ? ", " : "",
                     name, what, AGAIN);
    return false;
}

static bool read_text(struct reader *reader, const json_t *object,
                      const char *name, char *out, size_t room)
{
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);

    if (text == NULL)
        return wrong(reader, name, "is not a text");
    if (json_string_length(value) >= room)
        return wrong(reader, name, "is too long");
    for (const char *at = text; *at != '\0'; at++)
        if (*at < 0x20 || *at > 0x7e)
            return wrong(reader, name, "is not plain ASCII");
    memcpy(out, text, json_string_length(value) + 1);
    return true;
}

#define READ_TEXT(reader, object, name, array)                                 \
    read_text(reader, object, name, array, sizeof(array))

static bool read_number(struct reader *reader, const json_t *object,
                        const char *name, const uint64_t range[2],
                        uint64_t *out)
{
    const json_t *value = json_object_get(object, name);
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value))
        return wrong(reader, name, "is not a whole number");
    if (n < 0 || (uint64_t)n < range[0] || (uint64_t)n > range[1])
        return wrong(reader, name, "is out of range");
    *out = (uint64_t)n;
    return true;
}

#define RANGE(low, high) ((const uint64_t[2]){low, high})

/* Null, which leaves 0, or a number of bytes that is not 0; of any size, as
 * drivers tell it. */
static bool read_told_bytes(struct reader *reader, const json_t *object,
                            const char *name, uint64_t *out)
{
    *out = 0;
    return json_is_null(json_object_get(object, name)) ||
           read_number(reader, object, name, RANGE(1, INT64_MAX), out);
}

static bool read_flag(struct reader *reader, const json_t *object,
                      const char *name, bool *out)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_boolean(value))
        return wrong(reader, name, "is neither true nor false");
    *out = json_is_true(value);
    return true;
}

/* ---- facts, figures, graphics processors ---------------------------------------- */

/* What a number may be. */
static const uint64_t *fact_range(gov_fact fact, gov_type type)
{
    static const uint64_t ram[] = {1, MAX_BYTES};
    static const uint64_t page[] = {512, (uint64_t)1 << 30};
    static const uint64_t any[] = {0, INT64_MAX};
    static const uint64_t bytes[] = {0, MAX_BYTES};
    static const uint64_t processors[] = {1, 1 << 20};
    static const uint64_t kind[] = {0, 1 << 20};
    static const uint64_t gain[] = {1, GOV__GAIN_MOST};

    switch (fact) {
    case GOV_FACT_DEVICE_RAM:
        return ram;
    case GOV_FACT_DEVICE_PAGE_SIZE:
        return page;
    case GOV_FACT_DEVICE_CORES:
        return processors;
    case GOV_FACT_DEVICE_REPACK_GAIN:
    case GOV_FACT_DEVICE_HUGE_GAIN:
        return gain;
    case GOV_FACT_DEVICE_MEMLOCK: /* without a limit it is all there is */
    case GOV_FACT_DEVICE_LIMIT:
    case GOV_FACT_DEVICE_OTHERS:
        return any;
    default:
        return type == GOV_TYPE_BYTES ? bytes : kind;
    }
}

static bool read_fact(struct reader *reader, const json_t *object,
                      struct gov_device_fact *out)
{
    const struct gov_fact_info *info = gov_fact_info(out->fact);
    const json_t *value = json_object_get(object, "value");
    bool flag = false;

    if (!json_is_object(object))
        return wrong(reader, "", "is no object");
    if (!READ_TEXT(reader, object, "source", out->source))
        return false;
    out->known = value != NULL && !json_is_null(value);
    if (!out->known)
        return true;
    if (info->type == GOV_TYPE_TEXT)
        return READ_TEXT(reader, object, "value", out->text);
    if (info->type != GOV_TYPE_FLAG)
        return read_number(reader, object, "value",
                           fact_range(out->fact, info->type), &out->number);
    if (!read_flag(reader, object, "value", &flag))
        return false;
    out->number = flag;
    return true;
}

static bool read_facts(struct reader *reader, json_t *facts,
                       struct gov_device *device)
{
    const char *name;
    json_t *object;

    if (!json_is_object(facts))
        return wrong(reader, "facts", "is no object");
    json_object_foreach(facts, name, object)
    {
        gov_fact fact = gov_fact_find(name, strlen(name));
        struct gov_device_fact *at = &device->facts[device->fact_count];

        if (!gov__device_lists(fact))
            continue; /* of a newer version, or not for a file to say */
        reader->part = gov_fact_info(fact)->name;
        at->fact = fact;
        if (!read_fact(reader, object, at))
            return false;
        device->fact_count++; /* names are unique, and each has its place */
    }
    reader->part = "";
    return true;
}

static bool read_figure(struct reader *reader, const json_t *object,
                        gov_figure_unit unit, struct gov_device_figure *out)
{
    const uint64_t *range = RANGE(1, unit == GOV_UNIT_RATE ? MAX_RATE : MAX_NS);
    uint64_t samples = 0;

    if (!json_is_object(object))
        return wrong(reader, "", "is no object");
    if (!READ_TEXT(reader, object, "note", out->note))
        return false;
    if (json_is_null(json_object_get(object, "median")))
        return true;
    if (!read_number(reader, object, "median", range, &out->median) ||
        !read_number(reader, object, "low", range, &out->low) ||
        !read_number(reader, object, "high", range, &out->high) ||
        !read_number(reader, object, "samples", RANGE(1, MAX_COUNT),
                     &samples) ||
        !read_flag(reader, object, "noisy", &out->noisy))
        return false;
    if (out->low > out->median || out->median > out->high)
        return wrong(reader, "",
                     "has a median that is not between low and high");
    out->samples = (uint32_t)samples;
    out->known = true;
    return true;
}

static bool read_figures(struct reader *reader, const json_t *figures,
                         struct gov_device *device)
{
    if (!json_is_object(figures))
        return wrong(reader, "figures", "is no object");
    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++) {
        const struct gov_figure_info *info = gov_figure_info((gov_figure)i);
        const json_t *object = json_object_get(figures, info->name);

        reader->part = info->name;
        if (object != NULL &&
            !read_figure(reader, object, info->unit, &device->figures[i]))
            return false;
    }
    reader->part = "";
    return true;
}

static bool read_gpu(struct reader *reader, const json_t *object,
                     struct gov_gpu *out)
{
    if (!json_is_object(object))
        return wrong(reader, "", "is no object");
    if (!READ_TEXT(reader, object, "name", out->name) ||
        !READ_TEXT(reader, object, "bus", out->bus) ||
        !read_told_bytes(reader, object, "memory_bytes", &out->memory_bytes) ||
        !read_told_bytes(reader, object, "working_set_bytes",
                         &out->working_set_bytes) ||
        !read_told_bytes(reader, object, "used_bytes", &out->used_bytes) ||
        !read_flag(reader, object, "shares_ram", &out->shares_ram) ||
        !read_flag(reader, object, "software", &out->software) ||
        !READ_TEXT(reader, object, "source", out->source))
        return false;
    if (out->memory_bytes != 0 && out->shares_ram)
        return wrong(reader, "", "shares RAM and has memory of its own");
    if (out->memory_bytes != 0 && out->working_set_bytes > out->memory_bytes)
        return wrong(reader, "", "may use more memory than it has");
    return true;
}

static bool read_gpus(struct reader *reader, const json_t *gpus,
                      struct gov_device *device)
{
    if (!json_is_array(gpus))
        return wrong(reader, "gpus", "is no array");
    if (json_array_size(gpus) > GOV_DEVICE_GPUS)
        return wrong(reader, "gpus", "has more entries than any machine");
    reader->part = "a graphics processor";
    for (size_t i = 0; i < json_array_size(gpus); i++)
        if (!read_gpu(reader, json_array_get(gpus, i),
                      &device->gpus[device->gpu_count++]))
            return false;
    reader->part = "";
    return true;
}

/* ---- the whole -------------------------------------------------------------------- */

/* Parts that are each in range may still contradict each other. */
static bool agrees(struct reader *reader, const struct gov_device *device)
{
    uint64_t page = gov_device_number(device, GOV_FACT_DEVICE_PAGE_SIZE, 512);
    uint64_t ram = gov_device_number(device, GOV_FACT_DEVICE_RAM, UINT64_MAX);
    uint64_t all = gov_device_number(device, GOV_FACT_DEVICE_LIMIT, ram);
    uint64_t reserve = gov_device_number(device, GOV_FACT_DEVICE_RESERVE, 0);
    uint64_t budget = gov_device_number(device, GOV_FACT_BUDGET_RAM, 0);
    bool measured = false;

    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++)
        measured = measured || device->figures[i].known;
    if ((page & (page - 1)) != 0)
        return wrong(reader, "device.page_size", "is no power of two");
    if (budget > ram || reserve > all || budget > all - reserve)
        return wrong(reader, "budget.ram",
                     "and device.reserve are more than there is");
    if (measured && device->measured_at == 0)
        return wrong(reader, "measured_at_s", "is 0, and there are figures");
    return true;
}

static gov_status check_version(const json_t *root, const char *path,
                                gov_error *err)
{
    const json_t *format = json_object_get(root, "format");
    const json_t *version = json_object_get(root, "version");

    if (!json_is_string(format) ||
        strcmp(json_string_value(format), PROFILE_FORMAT) != 0)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "%s is not a device profile" AGAIN, path);
    if (!json_is_integer(version))
        return gov_fail(err, GOV_E_FORMAT, 0, "profile %s has no version" AGAIN,
                        path);
    if (json_integer_value(version) != PROFILE_VERSION)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "profile %s is of version %" PRId64 ", this governor "
                        "writes version %d" AGAIN,
                        path, (int64_t)json_integer_value(version),
                        PROFILE_VERSION);
    return GOV_OK;
}

static gov_status read_profile(const json_t *root, struct gov_device *device,
                               const char *path, gov_error *err)
{
    struct reader reader = {path, "", err, GOV_OK};
    uint64_t measured_at = 0;

    memset(device, 0, sizeof(*device));
    device->size = sizeof(*device);
    if (read_number(&reader, root, "measured_at_s", RANGE(0, MAX_TIME),
                    &measured_at) &&
        READ_TEXT(&reader, root, "measured_on", device->measured_on) &&
        read_flag(&reader, root, "measured_full", &device->measured_full) &&
        read_facts(&reader, json_object_get(root, "facts"), device) &&
        read_figures(&reader, json_object_get(root, "figures"), device) &&
        read_gpus(&reader, json_object_get(root, "gpus"), device)) {
        device->measured_at = (int64_t)measured_at;
        (void)agrees(&reader, device);
    }
    return reader.status;
}

gov_status gov__profile_parse(struct gov_device *out, const char *text,
                              size_t bytes, const char *path, gov_error *err)
{
    struct gov_device device;
    json_error_t json;
    gov_status status;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &json);

    /* Without memory for its first buffer jansson says nothing at all. */
    if (root == NULL && (json_error_code(&json) == json_error_out_of_memory ||
                         json.text[0] == '\0'))
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory to read profile %s",
                        path);
    if (root == NULL) {
        /* It quotes the file. */
        gov__make_printable(json.text);
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "profile %s is broken at line %d, column %d (%s)" AGAIN,
                        path, json.line, json.column, json.text);
    }
    status = check_version(root, path, err);
    if (status == GOV_OK)
        status = read_profile(root, &device, path, err);
    if (status == GOV_OK)
        *out = device;
    json_decref(root);
    return status;
}
