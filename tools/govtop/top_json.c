/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_json.h"

#include <jansson.h>

/* JSON numbers of jansson are signed. */
static json_t *number(bool known, uint64_t n)
{
    if (!known)
        return json_null();
    return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

/* An empty text is one that was not set. */
static json_t *text(const char *value)
{
    return value[0] != '\0' ? json_string(value) : json_null();
}

static json_t *machine_object(const struct gov_machine *m)
{
    bool ram = (m->have & GOV_MACHINE_HAVE_RAM) != 0;
    bool swap = (m->have & GOV_MACHINE_HAVE_SWAP) != 0;
    bool limit = (m->have & GOV_MACHINE_HAVE_LIMIT) != 0;
    bool stall = (m->have & GOV_MACHINE_HAVE_STALL) != 0;
    bool io = (m->have & GOV_MACHINE_HAVE_IO_STALL) != 0;
    const struct {
        const char *name;
        json_t *value;
    } members[] = {
        {"now_us", number(true, m->now_us)},
        {"ram_bytes", number(ram, m->ram_bytes)},
        {"available_bytes", number(ram, m->available_bytes)},
        {"swap_bytes", number(swap, m->swap_bytes)},
        {"swap_free_bytes", number(swap, m->swap_free_bytes)},
        {"limit_bytes", number(limit, m->limit_bytes)},
        {"limit_used_bytes", number(limit, m->limit_used_bytes)},
        {"limit_file_bytes", number(limit, m->limit_file_bytes)},
        {"limit_source", text(m->limit_source)},
        {"stall_some_us", number(stall, m->stall_some_us)},
        {"stall_full_us", number(stall, m->stall_full_us)},
        {"io_some_us", number(io, m->io_some_us)},
        {"stall_source", text(m->stall_source)},
    };
    json_t *object = json_object();

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (json_object_set_new(object, members[i].name, members[i].value) != 0)
            return NULL; /* without memory; the program ends */
    return object;
}

static json_t *page_object(const struct gov_page *page)
{
    json_t *object = json_object();
    int failed = json_object_set_new(object, "pid", json_integer(page->pid));

    for (int i = 0; i < GOV_PAGE_TEXTS; i++)
        failed |= json_object_set_new(
            object, gov_page_text_name((gov_page_text)i),
            text(gov_page_text_get(page, (gov_page_text)i)));
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        failed |= json_object_set_new(
            object, gov_page_counter_name((gov_page_counter)i),
            number((page->have >> i & 1) != 0, page->counter[i]));
    return failed == 0 ? object : NULL;
}

bool top_json_write(const struct gov_machine *machine,
                    const struct gov_page *pages, size_t count, FILE *out)
{
    json_t *root = json_object(), *processes = json_array();
    int failed = 0;

    for (size_t i = 0; i < count; i++)
        failed |= json_array_append_new(processes, page_object(&pages[i]));
    failed |= json_object_set_new(root, "version", json_string(GOV_VERSION));
    failed |= json_object_set_new(root, "machine", machine_object(machine));
    failed |= json_object_set_new(root, "processes", processes);
    if (failed == 0)
        failed |= json_dumpf(root, out, JSON_INDENT(2));
    failed |= fputc('\n', out) == EOF;
    json_decref(root);
    return failed == 0 && fflush(out) == 0;
}
