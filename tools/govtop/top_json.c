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

/* ---- one process ------------------------------------------------------------ */

static json_t *actions_array(const struct gov_page *page)
{
    json_t *array = json_array();

    for (int i = 0; i < GOV_PAGE_ACTIONS && page->action[i].name[0] != '\0';
         i++) {
        const struct gov_page_action *action = &page->action[i];
        json_t *object = json_pack(
            "{s:s, s:I, s:b, s:b, s:b, s:I, s:I, s:o, s:o, s:o}", "name",
            action->name, "from_level", (json_int_t)action->from_level,
            "running", (action->flags & GOV_PAGE_ACTION_RUNNING) != 0,
            "retired", (action->flags & GOV_PAGE_ACTION_RETIRED) != 0,
            "overdue", (action->flags & GOV_PAGE_ACTION_OVERDUE) != 0, "runs",
            (json_int_t)action->runs, "rest_ms", (json_int_t)action->rest_ms,
            "claimed_bytes", number(true, action->claimed_bytes), "yield_bytes",
            number(true, action->yield_bytes), "last_yield_bytes",
            number(true, action->last_yield_bytes));

        if (json_array_append_new(array, object) != 0)
            return NULL;
    }
    return array;
}

static json_t *kind_of(uint32_t kind)
{
    switch (kind) {
    case GOV_EVENT_LEVEL:
        return json_string("level");
    case GOV_EVENT_RELIEF:
        return json_string("relief");
    case GOV_EVENT_NOTICE:
        return json_string("notice");
    default:
        return json_null(); /* of a newer version */
    }
}

static json_t *events_array(const struct gov_page *page)
{
    json_t *array = json_array();

    for (int i = 0; i < GOV_PAGE_EVENTS; i++) {
        const struct gov_page_event *event = &page->event[i];
        bool relief = event->kind == (uint32_t)GOV_EVENT_RELIEF;
        json_t *object;

        if (event->at_us == 0)
            continue;
        object = json_pack(
            "{s:o, s:o, s:I, s:o, s:o}", "at_us", number(true, event->at_us),
            "kind", kind_of(event->kind), "level", (json_int_t)event->level,
            "yield_bytes", number(relief, event->yield_bytes), "text",
            text(event->text));
        if (json_array_append_new(array, object) != 0)
            return NULL;
    }
    return array;
}

static json_t *page_object(const struct gov_page *page)
{
    json_t *object = json_object();
    int failed = json_object_set_new(object, "pid", json_integer(page->pid));

    failed |= json_object_set_new(object, "page_version",
                                  json_integer((json_int_t)page->version));
    for (int i = 0; i < GOV_PAGE_TEXTS; i++)
        failed |= json_object_set_new(
            object, gov_page_text_name((gov_page_text)i),
            text(gov_page_text_get(page, (gov_page_text)i)));
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        failed |= json_object_set_new(
            object, gov_page_counter_name((gov_page_counter)i),
            number((page->have >> i & 1) != 0, page->counter[i]));
    failed |= json_object_set_new(object, "actions", actions_array(page));
    failed |= json_object_set_new(object, "events", events_array(page));
    return failed == 0 ? object : NULL;
}

static json_t *known(uint64_t n)
{
    return number(n != UINT64_MAX, n);
}

static json_t *other_object(const struct gov_process *other)
{
    return json_pack(
        "{s:i, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "pid",
        (int)other->pid, "name", text(other->name), "model", text(other->model),
        "footprint_bytes", known(other->footprint_bytes), "footprint_exact",
        (int)other->exact, "swap_bytes", known(other->swap_bytes),
        "resident_file_bytes", known(other->resident_file_bytes),
        "mapped_bytes", known(other->mapped_bytes), "mapped_resident_bytes",
        known(other->mapped_resident_bytes), "major_faults",
        known(other->major_faults), "minor_faults", known(other->minor_faults),
        "read_bytes", known(other->read_bytes));
}

/* ---- all of it -------------------------------------------------------------- */

static json_t *others_array(const struct top_sample *sample)
{
    json_t *array = json_array();

    for (size_t i = 0; i < sample->other_count; i++)
        if (json_array_append_new(array, other_object(&sample->others[i])) != 0)
            return NULL;
    return array;
}

bool top_json_write(const struct top_sample *sample, bool others, bool a_line,
                    FILE *out)
{
    json_t *root = json_object(), *processes = json_array();
    int failed = 0;

    for (size_t i = 0; i < sample->page_count; i++)
        failed |=
            json_array_append_new(processes, page_object(&sample->pages[i]));
    failed |= json_object_set_new(root, "version", json_string(GOV_VERSION));
    failed |=
        json_object_set_new(root, "machine", machine_object(sample->machine));
    failed |= json_object_set_new(root, "processes", processes);
    if (others)
        failed |= json_object_set_new(root, "ungoverned", others_array(sample));
    if (failed == 0)
        failed |= json_dumpf(root, out, a_line ? JSON_COMPACT : JSON_INDENT(2));
    failed |= fputc('\n', out) == EOF;
    json_decref(root);
    return failed == 0 && fflush(out) == 0;
}
