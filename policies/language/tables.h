/* SPDX-License-Identifier: MIT */
/* Tables from YAML: "version: 1" and one list of maps of scalars, such as
 * configs/devices.yaml. Every mistake has a line and a column; nothing is
 * guessed. Holds one row at a time and keeps none. */
#ifndef GOV_POLICIES_TABLES_H
#define GOV_POLICIES_TABLES_H

#include "policies/capacity.h"
#include "policies/language/expr_priv.h"

#define GOV__TABLE_ROWS 1024

struct gov__column;

/* Reads one value into its place in the row. GOV_E_FORMAT with *err filled, or
 * GOV_E_NOMEM. */
typedef gov_status (*gov__cell_fn)(const struct gov__column *column,
                                   const char *value, size_t bytes, void *cell,
                                   struct gov__expr_error *err);

struct gov__column {
    const char *name;
    gov__cell_fn read;
    size_t offset; /* of the cell in the row */
    size_t bytes;  /* of the cell, for texts */
};

/* What a table may hold. The first `required` columns must be in every row, the
 * others stay zero where they are left out. */
struct gov__table {
    const char *list; /* "devices": the key of the list */
    const char *row;  /* "a machine" */
    const struct gov__column *columns;
    size_t count, required;
    size_t row_bytes;
};

/* Takes a row that was read; what it keeps it copies. GOV_E_FORMAT with
 * err->sentence filled: the row as a whole is wrong. */
typedef gov_status (*gov__row_fn)(void *ctx, void *row,
                                  struct gov__expr_error *err);

/* Reads a table into `row`, which is zeroed before each one, and calls `take`
 * after each. When it fails, `row` holds what was read of the last one.
 *
 * GOV_E_FORMAT  err has NAME:LINE:COLUMN; GOV_E_NOMEM */
gov_status gov__table_read(const struct gov__table *table,
                           const struct gov_table_text *from, void *row,
                           gov__row_fn take, void *ctx, gov_error *err);

/* Cells. Text: char[column->bytes], not empty. */
gov_status gov__cell_text(const struct gov__column *column, const char *value,
                          size_t bytes, void *cell,
                          struct gov__expr_error *err);
/* uint64_t: "16 GiB". No 0: what is not known is left out. */
gov_status gov__cell_bytes(const struct gov__column *column, const char *value,
                           size_t bytes, void *cell,
                           struct gov__expr_error *err);
/* uint64_t, bytes a second: a size, with "/s" behind it or without. */
gov_status gov__cell_rate(const struct gov__column *column, const char *value,
                          size_t bytes, void *cell,
                          struct gov__expr_error *err);
/* uint64_t: a whole number from 1. */
gov_status gov__cell_count(const struct gov__column *column, const char *value,
                           size_t bytes, void *cell,
                           struct gov__expr_error *err);
/* uint64_t: bits a weight in parts of 10000, "4.8944"; from 0.0001 to 64. */
gov_status gov__cell_bits(const struct gov__column *column, const char *value,
                          size_t bytes, void *cell,
                          struct gov__expr_error *err);
/* bool: true or false. */
gov_status gov__cell_flag(const struct gov__column *column, const char *value,
                          size_t bytes, void *cell,
                          struct gov__expr_error *err);

#endif
