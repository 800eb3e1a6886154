/* SPDX-License-Identifier: MIT */
/* See tables.h. */
#include "policies/language/tables.h"

#include <string.h>

#include "policies/language/words_priv.h"
#include "policies/language/yaml_priv.h"

#define COLUMNS_MAX 16
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ---- cells ---- */

#define FAIL(err, ...) (gov__expr_fail((err), __VA_ARGS__), GOV_E_FORMAT)

gov_status gov__cell_text(const struct gov__column *column, const char *value,
                          size_t bytes, void *cell, struct gov__expr_error *err)
{
    while (bytes > 0 && gov__is_space(value[bytes - 1]))
        bytes--;
    if (bytes == 0)
        return FAIL(err, 0, "%s is empty", column->name);
    if (bytes >= column->bytes)
        return FAIL(err, 0, "%s is longer than %zu bytes", column->name,
                    column->bytes - 1);
    memcpy(cell, value, bytes);
    gov__one_line(cell);
    return GOV_OK;
}

static gov_status read_positive(const char *value, size_t bytes, gov_type type,
                                uint64_t *out, struct gov__expr_error *err)
{
    int64_t number = 0;

    if (!gov__expr_literal(value, bytes, type, &number, err))
        return GOV_E_FORMAT;
    if (number == 0)
        return FAIL(err, 0, "0 is no figure; leave out what is not known");
    *out = (uint64_t)number;
    return GOV_OK;
}

gov_status gov__cell_bytes(const struct gov__column *column, const char *value,
                           size_t bytes, void *cell,
                           struct gov__expr_error *err)
{
    (void)column;
    return read_positive(value, bytes, GOV_TYPE_BYTES, cell, err);
}

gov_status gov__cell_rate(const struct gov__column *column, const char *value,
                          size_t bytes, void *cell, struct gov__expr_error *err)
{
    if (bytes > 2 && memcmp(value + bytes - 2, "/s", 2) == 0)
        bytes -= 2;
    return gov__cell_bytes(column, value, bytes, cell, err);
}

gov_status gov__cell_count(const struct gov__column *column, const char *value,
                           size_t bytes, void *cell,
                           struct gov__expr_error *err)
{
    (void)column;
    return read_positive(value, bytes, GOV_TYPE_COUNT, cell, err);
}

gov_status gov__cell_bits(const struct gov__column *column, const char *value,
                          size_t bytes, void *cell, struct gov__expr_error *err)
{
    char percent[32];
    int64_t number = 0;

    /* Fractions need a unit, and a share is kept in parts of 10000. */
    if (bytes > sizeof(percent) - 1 || memchr(value, '%', bytes) != NULL)
        return FAIL(err, 0, "%s is a number of bits, for instance 4.5",
                    column->name);
    memcpy(percent, value, bytes);
    percent[bytes] = '%';
    if (!gov__expr_literal(percent, bytes + 1, GOV_TYPE_RATIO, &number, err)) {
        err->offset = err->offset < bytes ? err->offset : 0;
        return FAIL(err, err->offset,
                    "%s is a number of bits, for instance 4.5", column->name);
    }
    if (number < 1 || number > 640000)
        return FAIL(err, 0, "%s is a number of bits up to 64", column->name);
    memcpy(cell, &(uint64_t){(uint64_t)number}, sizeof(uint64_t));
    return GOV_OK;
}

gov_status gov__cell_flag(const struct gov__column *column, const char *value,
                          size_t bytes, void *cell, struct gov__expr_error *err)
{
    bool yes = bytes == 4 && memcmp(value, "true", 4) == 0;

    if (!yes && !(bytes == 5 && memcmp(value, "false", 5) == 0))
        return FAIL(err, 0, "%s is true or false", column->name);
    memcpy(cell, &yes, sizeof(yes));
    return GOV_OK;
}

/* ---- rows ---- */

struct reading {
    const struct gov__table *table;
    unsigned char *row;
    gov__row_fn take;
    void *ctx;
    size_t rows;
};

static bool read_cell(struct gov__yaml *y, size_t key, void *ctx)
{
    const struct reading *r = ctx;
    const struct gov__column *column = &r->table->columns[key];
    struct gov__expr_error error;
    gov_status status;

    if (!gov__yaml_need_word(y, column->name))
        return false;
    status = column->read(column, gov__yaml_word(y), gov__yaml_word_bytes(y),
                          r->row + column->offset, &error);
    if (status == GOV_E_NOMEM)
        return gov__yaml_nomem(y);
    return status == GOV_OK ||
           gov__yaml_fail_inside(y, error.offset, error.sentence);
}

static bool read_row(struct gov__yaml *y, struct reading *r)
{
    const struct gov__table *table = r->table;
    const char *names[COLUMNS_MAX];
    const struct gov__yaml_shape shape = {table->row, names, table->count,
                                          table->required};
    struct gov__place place = gov__yaml_place(y);
    struct gov__expr_error error;
    gov_status status;

    if (r->rows == GOV__TABLE_ROWS)
        return gov__yaml_fail(y, "more than %d entries", GOV__TABLE_ROWS);
    for (size_t i = 0; i < table->count; i++)
        names[i] = table->columns[i].name;
    memset(r->row, 0, table->row_bytes);
    if (!gov__yaml_mapping(y, &shape, read_cell, r))
        return false;
    r->rows++;
    status = r->take(r->ctx, r->row, &error);
    if (status == GOV_E_NOMEM)
        return gov__yaml_nomem(y);
    return status == GOV_OK || gov__yaml_fail_at(y, place, error.sentence);
}

static bool read_rows(struct gov__yaml *y, struct reading *r)
{
    if (y->event.type != YAML_SEQUENCE_START_EVENT)
        return gov__yaml_fail(y, "%s is a list; each one begins with \"- %s:\"",
                              r->table->list, r->table->columns[0].name);
    for (;;) {
        if (!gov__yaml_next(y))
            return false;
        if (y->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (!read_row(y, r))
            return false;
    }
}

static bool read_top_value(struct gov__yaml *y, size_t key, void *ctx)
{
    return key == 0 ? gov__yaml_version(y) : read_rows(y, ctx);
}

static bool read_top(struct gov__yaml *y, void *ctx)
{
    const struct reading *r = ctx;
    const char *const names[] = {"version", r->table->list};
    const struct gov__yaml_shape shape = {"a table", names, 2, 2};

    return gov__yaml_mapping(y, &shape, read_top_value, ctx);
}

gov_status gov__table_read(const struct gov__table *table,
                           const struct gov_table_text *from, void *row,
                           gov__row_fn take, void *ctx, gov_error *err)
{
    struct reading r = {table, row, take, ctx, 0};
    struct gov__yaml y;

    memset(&y, 0, sizeof(y));
    memset(row, 0, table->row_bytes);
    y.text = from->text;
    y.bytes = from->bytes;
    y.name = from->name != NULL ? from->name : table->list;
    y.kind = "table";
    y.content = table->list;
    y.err = err;
    return gov__yaml_read(&y, read_top, &r);
}
