/* SPDX-License-Identifier: MIT */
/* Owns the text of a profile: a device as JSON, and back. Reading trusts
 * nothing: not one type, not one range. Touches no file. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "governor/device/device_priv.h"

#define PROFILE_FORMAT "governor device profile"
#define PROFILE_VERSION 1

#define PIB ((uint64_t)1 << 50)

#define RAM GOV_DEVICE_HAVE_RAM
#define LIMIT GOV_DEVICE_HAVE_LIMIT
#define READ_RATE GOV_DEVICE_HAVE_READ_RATE
#define MEMORY_RATE GOV_DEVICE_HAVE_MEMORY_RATE
#define FAULT_COST GOV_DEVICE_HAVE_FAULT_COST
#define GIVE_BACK GOV_DEVICE_HAVE_GIVE_BACK

/* ---- members: one table writes and reads them ---------------------------- */

enum kind { U64, U32, I64, FLAG, TEXT };

/* A member is null, and reading it leaves zero, unless one bit of `have` is
 * set; have 0 is always there. Reading a figure that is not null sets `sets`;
 * members that belong to it come after it. */
static const struct member {
    const char *name;
    enum kind kind;
    uint32_t have, sets;
    size_t offset;
    uint64_t min, max; /* of numbers; TEXT: max is the room with the NUL */
} members[] = {
#define AT(field) offsetof(struct gov_device, field)
#define ALWAYS(kind, name, field, min, max)                                    \
    {                                                                          \
        name, kind, 0, 0, AT(field), min, max                                  \
    }
#define STRING(name, field, have)                                              \
    {                                                                          \
        name, TEXT, have, 0, AT(field), 0,                                     \
            sizeof(((struct gov_device *)NULL)->field)                         \
    }
#define FIGURE(kind, name, field, have, min, max)                              \
    {                                                                          \
        name, kind, have, have, AT(field), min, max                            \
    }
#define PART(kind, name, field, have, max)                                     \
    {                                                                          \
        name, kind, have, 0, AT(field), 0, max                                 \
    }
    ALWAYS(I64, "measured_at_s", measured_at, 0, (uint64_t)1 << 40),
    STRING("cpu", cpu, 0),
    FIGURE(U32, "cores", cores, GOV_DEVICE_HAVE_CORES, 1, 1 << 20),
    STRING("os", os, 0),
    STRING("system", system, 0),
    STRING("arch", arch, 0),
    ALWAYS(U64, "page_bytes", page_bytes, 512, (uint64_t)1 << 30),
    FIGURE(U64, "ram_bytes", ram_bytes, RAM, 1, 64 * PIB),
    FIGURE(U64, "swap_bytes", swap_bytes, GOV_DEVICE_HAVE_SWAP, 0, 64 * PIB),
    FIGURE(U64, "limit_bytes", limit_bytes, LIMIT, 0, 64 * PIB),
    STRING("limit_source", limit_source, LIMIT),
    PART(U64, "others_bytes", others_bytes, LIMIT, 64 * PIB),
    PART(U64, "reserve_bytes", reserve_bytes, RAM | LIMIT, 64 * PIB),
    PART(U64, "budget_bytes", budget_bytes, RAM | LIMIT, 64 * PIB),
    STRING("pressure_backend", pressure_backend, 0),
    FIGURE(U64, "read_rate_bytes_per_s", read_rate, READ_RATE, 1, PIB),
    PART(FLAG, "read_rate_noisy", read_rate_noisy, READ_RATE, 1),
    FIGURE(U64, "memory_rate_bytes_per_s", memory_rate, MEMORY_RATE, 1, PIB),
    PART(FLAG, "memory_rate_noisy", memory_rate_noisy, MEMORY_RATE, 1),
    FIGURE(U64, "minor_fault_ns", minor_fault_ns, FAULT_COST, 1, 1000000000),
    PART(FLAG, "minor_fault_noisy", minor_fault_noisy, FAULT_COST, 1),
    FIGURE(U64, "give_back_us", give_back_us, GIVE_BACK, 1, 1000000000),
    PART(FLAG, "give_back_noisy", give_back_noisy, GIVE_BACK, 1),
};

#define MEMBERS (sizeof(members) / sizeof(members[0]))

static json_t *member_value(const struct member *member,
                            const struct gov_device *device)
{
    const char *at = (const char *)device + member->offset;

    if (member->have != 0 && (device->have & member->have) == 0)
        return json_null();
    switch (member->kind) {
    case U64: {
        uint64_t n;

        memcpy(&n, at, sizeof(n));
        return json_integer((json_int_t)(n < INT64_MAX ? n : INT64_MAX));
    }
    case I64: {
        int64_t n;

        memcpy(&n, at, sizeof(n));
        return json_integer(n);
    }
    case U32: {
        uint32_t n;

        memcpy(&n, at, sizeof(n));
        return json_integer(n);
    }
    case FLAG: {
        bool flag;

        memcpy(&flag, at, sizeof(flag));
        return json_boolean(flag);
    }
    case TEXT:
        break;
    }
    return json_stringn(at, strnlen(at, (size_t)member->max - 1));
}

gov_status gov_device_json(const struct gov_device *device, char *out,
                           size_t bytes, gov_error *err)
{
    gov_status status = GOV_OK;
    json_t *root;
    size_t length;

    if (device == NULL || device->size != sizeof(*device))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the device was never probed; call gov_device_probe() "
                        "first");
    root = json_pack("{s:s, s:i}", "format", PROFILE_FORMAT, "version",
                     PROFILE_VERSION);
    if (root == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for the profile");
    for (size_t i = 0; i < MEMBERS; i++)
        if (json_object_set_new(root, members[i].name,
                                member_value(&members[i], device)) != 0) {
            status = members[i].kind == TEXT
                         ? gov_fail(err, GOV_E_INVALID, 0,
                                    "%s of the device is not UTF-8, or there "
                                    "is no memory for it",
                                    members[i].name)
                         : gov_fail(err, GOV_E_NOMEM, 0,
                                    "no memory for the profile");
            goto out;
        }
    length = json_dumpb(root, out, bytes, JSON_INDENT(2));
    if (length == 0)
        status = gov_fail(err, GOV_E_NOMEM, 0, "no memory for the profile");
    else if (length >= bytes)
        status = gov_fail(err, GOV_E_INVALID, 0,
                          "the profile takes %zu bytes and the buffer has %zu",
                          length + 1, bytes);
    else
        out[length] = '\0';
out:
    json_decref(root);
    return status;
}

/* ---- reading ------------------------------------------------------------- */

/* Those of ASCII, and U+0080 to U+009F, which terminals obey as well. The text
 * is UTF-8: jansson saw to it. */
static bool has_control_characters(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    for (; *at != '\0'; at++)
        if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0))
            return true;
    return false;
}

/* Returns NULL, or what is wrong with the value. */
static const char *read_text_member(const struct member *member,
                                    const json_t *value, char *at)
{
    size_t length = json_string_length(value);

    if (!json_is_string(value))
        return "is not a text";
    if (length >= member->max)
        return "is too long";
    if (has_control_characters(json_string_value(value)))
        return "has control characters";
    memcpy(at, json_string_value(value), length + 1);
    return NULL;
}

static const char *read_member(const struct member *member, const json_t *value,
                               struct gov_device *out)
{
    char *at = (char *)out + member->offset;
    json_int_t n = json_integer_value(value);
    uint32_t small = (uint32_t)n;
    bool flag = json_is_true(value);

    if (member->kind == TEXT)
        return read_text_member(member, value, at);
    if (member->kind == FLAG) {
        if (!json_is_boolean(value))
            return "is neither true nor false";
        memcpy(at, &flag, sizeof(flag));
        return NULL;
    }
    if (!json_is_integer(value))
        return "is not a whole number";
    if (n < 0 || (uint64_t)n < member->min || (uint64_t)n > member->max)
        return "is out of range";
    if (member->kind == U32)
        memcpy(at, &small, sizeof(small));
    else /* U64 and I64: the same bytes for what is not negative */
        memcpy(at, &n, sizeof(n));
    return NULL;
}

/* Members that are each in range may still contradict each other. */
static const char *contradiction(const struct gov_device *device)
{
    bool limited = (device->have & LIMIT) != 0;
    uint64_t all = limited ? device->limit_bytes : device->ram_bytes;

    if ((device->page_bytes & (device->page_bytes - 1)) != 0)
        return "page_bytes is no power of two";
    if (limited && (device->have & RAM) &&
        device->limit_bytes > device->ram_bytes)
        return "limit_bytes is more than ram_bytes";
    if ((device->have & (RAM | LIMIT)) &&
        (device->reserve_bytes > all ||
         device->budget_bytes > all - device->reserve_bytes))
        return "budget_bytes and reserve_bytes are more than there is";
    return NULL;
}

static gov_status check_version(const json_t *root, const char *path,
                                gov_error *err)
{
    const json_t *format = json_object_get(root, "format");
    const json_t *version = json_object_get(root, "version");

    if (!json_is_string(format) ||
        strcmp(json_string_value(format), PROFILE_FORMAT) != 0)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "%s is not a device profile; run gov profile again",
                        path);
    if (!json_is_integer(version))
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "profile %s has no version; run gov profile again",
                        path);
    if (json_integer_value(version) != PROFILE_VERSION)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "profile %s is of version %" PRId64 ", this gov reads "
                        "%d; run gov profile again",
                        path, (int64_t)json_integer_value(version),
                        PROFILE_VERSION);
    return GOV_OK;
}

static gov_status read_members(const json_t *root, struct gov_device *device,
                               const char *path, gov_error *err)
{
    const char *wrong;

    memset(device, 0, sizeof(*device));
    device->size = sizeof(*device);
    for (size_t i = 0; i < MEMBERS; i++) {
        const struct member *member = &members[i];
        const json_t *value = json_object_get(root, member->name);

        if (value == NULL || json_is_null(value)) {
            if (member->have != 0)
                continue;
            return gov_fail(err, GOV_E_FORMAT, 0,
                            "profile %s: there is no %s; run gov profile again",
                            path, member->name);
        }
        device->have |= member->sets;
        if (member->have != 0 && (device->have & member->have) == 0)
            continue; /* part of a figure that is not there */
        wrong = read_member(member, value, device);
        if (wrong != NULL)
            return gov_fail(err, GOV_E_FORMAT, 0,
                            "profile %s: %s %s; run gov profile again", path,
                            member->name, wrong);
    }
    wrong = contradiction(device);
    if (wrong != NULL)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "profile %s: %s; run gov profile again", path, wrong);
    return GOV_OK;
}

gov_status gov__profile_parse(struct gov_device *out, const char *text,
                              size_t bytes, const char *path, gov_error *err)
{
    struct gov_device device;
    json_error_t json;
    gov_status status;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &json);

    if (root == NULL && json_error_code(&json) == json_error_out_of_memory)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory to read profile %s",
                        path);
    if (root == NULL) {
        /* It quotes the file. */
        gov__make_printable(json.text);
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "profile %s is broken at line %d, column %d (%s); run "
                        "gov profile again",
                        path, json.line, json.column, json.text);
    }
    status = check_version(root, path, err);
    if (status == GOV_OK)
        status = read_members(root, &device, path, err);
    if (status == GOV_OK)
        *out = device;
    json_decref(root);
    return status;
}
