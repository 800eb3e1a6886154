/* SPDX-License-Identifier: MIT */
/* Small copies of /proc, /sys and /dev, for a Linux table that reads below
 * another root. tests/unit/fixtures/NAME.tree holds one each, all files of it in
 * one text: a first line that says where it is from, then for each file
 * "-- NAME --" and its text. What is planted goes with fresh_directory(). */
#ifndef GOV_TESTS_TREE_H
#define GOV_TESTS_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "governor/platform/platform.h"

/* Puts one file below the root, with its directories. */
void tree_plant(const char *root, const char *name, const char *text,
                size_t bytes);
void tree_plant_text(const char *root, const char *name, const char *text);

/* Reads a whole fixture; the caller frees it. */
char *tree_read(const char *name);

/* Puts all files of a tree's text below the root; cuts the text up. With a seed
 * the files' texts, not their names, are spoiled. */
void tree_plant_all(const char *root, char *text, uint32_t *seed);

/* A fresh directory that holds the tree of that name. */
const char *tree_use(const char *name);

/* The Linux table over such a directory, an empty one for NULL. It is the only
 * one: the table filled before reads the new tree from then on. */
const char *tree_platform(struct gov_platform *out, const char *name);

#endif
